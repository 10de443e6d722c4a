//! The three ways to run a bench program.
//!
//! | how | what it does |
//! |---|---|
//! | `cargo bench --bench NAME` | criterion, where the question suits it; else one round |
//! | `... -- --rounds 5`, which `cargo xtask bench` does | rounds, and in each a line for every figure |
//! | `cargo test`, or `... -- --test` | everything once, tiny: that it still works and that all read the same |

use std::env;
use std::process::exit;

/// How this run was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// By a developer.
    Alone,
    /// By `cargo xtask bench`: so many rounds.
    Rounds(u32),
    /// By a test: each thing once, on something tiny.
    Smoke,
}

impl Mode {
    /// What the arguments of this process ask for. Cargo adds `--bench` to what it measures, and nothing to what it tests.
    ///
    /// # Panics
    /// When `--rounds` is not followed by a number above 0.
    #[must_use]
    pub fn from_args() -> Self {
        let args: Vec<String> = env::args().skip(1).collect();
        let has = |flag: &str| args.iter().any(|arg| arg == flag);
        if has("--list") {
            // cargo-nextest asks every test program what it has: one test, which it then asks for by name.
            if !has("--ignored") {
                println!("smoke: test");
            }
            exit(0);
        }
        Self::from(&args)
    }

    fn from(args: &[String]) -> Self {
        let has = |flag: &str| args.iter().any(|arg| arg == flag);
        if let Some(at) = args.iter().position(|arg| arg == "--rounds") {
            let rounds = args.get(at + 1).and_then(|n| n.parse().ok());
            return Self::Rounds(
                rounds
                    .filter(|&n| n > 0)
                    .expect("--rounds is followed by a number above 0"),
            );
        }
        if has("--test") || !has("--bench") {
            Self::Smoke
        } else {
            Self::Alone
        }
    }

    /// How many rounds to run.
    #[must_use]
    pub fn rounds(self) -> u32 {
        match self {
            Self::Rounds(rounds) => rounds,
            Self::Alone | Self::Smoke => 1,
        }
    }

    /// The size that the question is about, or the small one for a test.
    #[must_use]
    pub fn size<T>(self, real: T, small: T) -> T {
        if self == Self::Smoke { small } else { real }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_arguments_of_cargo_tell_a_measurement_from_a_test() {
        let mode = |args: &str| Mode::from(&args.split(' ').map(str::to_owned).collect::<Vec<_>>());
        assert_eq!(mode("--bench"), Mode::Alone);
        assert_eq!(mode("--bench --test"), Mode::Smoke);
        assert_eq!(mode("--rounds 3"), Mode::Rounds(3));
        assert_eq!(mode(""), Mode::Smoke);
    }
}
