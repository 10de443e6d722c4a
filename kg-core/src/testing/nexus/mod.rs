//! Patterns for tests: from JSON, at random, what must come of them, and a machine that carries them out in no time.

pub mod cases;
pub mod drive;
pub mod oracle;
pub mod patterns;
