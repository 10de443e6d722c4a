//! What we break on purpose: failpoints, which stop the program at a step of its work, and seeded bugs, which take one
//! promise away. A check that never failed proves little; these show that ours fail when they should.
//!
//! In a build everything here is a constant or an empty function, and nothing of it is left in the machine code. Under
//! `--cfg faults` (`cargo xtask prove`, `cargo xtask chaos`) it is real. A cfg and no cargo feature, because features of
//! one dependant are switched on for all: a release binary must not be able to get them by accident.
//!
//! docs/FAULTS.md lists every point and every bug, with what catches it; a test holds it to the lists here.

#[cfg(faults)]
mod armed;
mod bug;
mod point;

#[cfg(faults)]
pub use armed::{arm, fallible, point};
pub use bug::{Bug, seeded};
pub use point::Point;
#[cfg(not(faults))]
pub use unarmed::{fallible, point};

#[cfg(not(faults))]
mod unarmed {
    use super::Point;
    use std::io;

    /// A step that can be stopped at.
    #[inline(always)]
    pub const fn point(_: Point) {}

    /// A step that can also fail, as input and output do.
    ///
    /// # Errors
    /// None in a build.
    #[inline(always)]
    pub const fn fallible(_: Point) -> io::Result<()> {
        Ok(())
    }
}
