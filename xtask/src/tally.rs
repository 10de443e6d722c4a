//! How many checks passed, failed and were skipped: read from the test runners' own output, never guessed.

use std::fmt;
use std::ops::AddAssign;

/// Counts of one step, or of everything so far.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Tally {
    pub passed: u64,
    pub failed: u64,
    pub skipped: u64,
    /// What failed, by name, for the last lines: whoever sees only the end of a long output has to find it there.
    pub failures: Vec<String>,
}

impl Tally {
    /// One check that is not a test: formatting, lints, a build.
    pub fn of_one(passed: bool) -> Self {
        Self {
            passed: passed.into(),
            failed: (!passed).into(),
            ..Self::default()
        }
    }

    /// Something that could not run here, for the reason that was printed.
    pub fn of_skipped() -> Self {
        Self {
            skipped: 1,
            ..Self::default()
        }
    }

    /// Reads `test result: ok. 3 passed; 0 failed; 1 ignored; ...`, the line that libtest, rustdoc and our Python runner
    /// end each program with; any other line is `None`.
    pub fn from_result_line(line: &str) -> Option<Self> {
        let (_, counts) = line
            .trim()
            .strip_prefix("test result: ")?
            .split_once(". ")?;
        let count = |unit: &str| {
            counts
                .split("; ")
                .find_map(|part| part.strip_suffix(unit)?.trim().parse::<u64>().ok())
        };
        Some(Self {
            passed: count("passed")?,
            failed: count("failed")?,
            skipped: count("ignored").unwrap_or(0),
            failures: Vec::new(),
        })
    }

    /// The name of the test that a runner's line says has failed.
    pub fn failed_test(line: &str) -> Option<&str> {
        let said = line.strip_prefix("test ").unwrap_or(line);
        let name = said.strip_suffix(" ... FAILED")?;
        // Ours in Python say how long each took.
        Some(name.split_once(" (").map_or(name, |(name, _)| name))
    }

    /// Failures that have no name of their own are those of the step.
    pub fn named(mut self, title: &str) -> Self {
        if self.failures.is_empty() && self.failed > 0 {
            self.failures.push(title.to_owned());
        }
        self
    }

    /// A runner that failed without reporting a failed test (it did not compile, or died) is one failure.
    pub fn with_exit(mut self, succeeded: bool) -> Self {
        if !succeeded && self.failed == 0 {
            self.failed = 1;
        }
        self
    }
}

impl AddAssign for Tally {
    fn add_assign(&mut self, other: Self) {
        self.passed += other.passed;
        self.failed += other.failed;
        self.skipped += other.skipped;
        self.failures.extend(other.failures);
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} passed, {} failed", self.passed, self.failed)?;
        if self.skipped > 0 {
            write!(f, ", {} skipped", self.skipped)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_result_line_is_read_and_others_are_not() {
        let line = "test result: FAILED. 12 passed; 2 failed; 1 ignored; 0 measured; 4 filtered out; finished in 0.03s";
        assert_eq!(
            Tally::from_result_line(line),
            Some(Tally {
                passed: 12,
                failed: 2,
                skipped: 1,
                failures: Vec::new(),
            })
        );
        assert_eq!(Tally::from_result_line("test graph::reads ... ok"), None);
        assert_eq!(Tally::from_result_line("test result: nonsense"), None);
    }

    #[test]
    fn a_runner_that_dies_in_silence_is_a_failure() {
        assert_eq!(Tally::default().with_exit(false).failed, 1);
        assert_eq!(
            Tally {
                failed: 3,
                ..Tally::default()
            }
            .with_exit(false)
            .failed,
            3
        );
        assert_eq!(Tally::default().with_exit(true).failed, 0);
    }

    #[test]
    fn what_failed_has_a_name() {
        let rust = "test storage::a_full_disk ... FAILED";
        assert_eq!(Tally::failed_test(rust), Some("storage::a_full_disk"));
        let python = "test_watch.Watching.test_zero (0.3 s) ... FAILED";
        assert_eq!(
            Tally::failed_test(python),
            Some("test_watch.Watching.test_zero")
        );
        assert_eq!(Tally::failed_test("test storage::open ... ok"), None);
        let mut total = Tally::of_one(false).named("Format");
        total += Tally::of_one(true).named("Lints");
        assert_eq!(total.failures, ["Format"]);
    }

    #[test]
    fn the_last_line_is_plain() {
        assert_eq!(
            Tally {
                passed: 7,
                ..Tally::default()
            }
            .to_string(),
            "7 passed, 0 failed"
        );
        assert_eq!(
            Tally {
                passed: 7,
                failed: 1,
                skipped: 2,
                ..Tally::default()
            }
            .to_string(),
            "7 passed, 1 failed, 2 skipped"
        );
    }
}
