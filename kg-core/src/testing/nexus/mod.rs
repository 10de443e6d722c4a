//! Patterns for tests: from JSON, at random, and what must come of them.

pub mod patterns;
