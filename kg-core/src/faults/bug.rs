//! Seeded bugs: each takes one promise away, and a check has to notice.
//!
//! They differ from the controls of `sync::control`, which break an ordering or a second look and are for models: these
//! break what the whole program promises, and are for the checks that run against it.

macro_rules! bugs {
    ($($bug:ident, $doc:literal;)*) => {
        /// A bug that can be switched on.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Bug {
            $(#[doc = $doc] $bug,)*
        }

        impl Bug {
            /// Every bug.
            pub const ALL: &'static [Self] = &[$(Self::$bug,)*];

            /// The name by which the environment switches it on.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$bug => stringify!($bug),)* }
            }

            /// What is wrong while it is on.
            #[must_use]
            pub const fn what(self) -> &'static str {
                match self { $(Self::$bug => $doc,)* }
            }
        }
    };
}

bugs! {
    AcknowledgedBeforeAppend, "A write is acknowledged before it is in the log.";
    AcknowledgedBeforeSync, "A write is acknowledged when the log has it and the disk has not.";
    PublishedBeforeLog, "A revision is visible before it is in the log.";
    RefusedBeforeDurable, "A refusal is told before what it is about is durable.";
    DroppedByFullQueue, "A full queue accepts a write and drops it.";
    DroppedByFullWatch, "A watcher that is behind is brought to the head and loses what lies between.";
    LookThenSet, "A request id is looked up in the head, and entered later: in between it applies twice.";
    GuardedByHead, "A precondition is checked against the head, not against what the batch made of it.";
    RepeatedAsNew, "An append without an answer is repeated under another batch id.";
    ForgottenRequests, "A checkpoint leaves the remembered requests out.";
    LostWatermark, "The watermark is not written.";
    UncoveredCompaction, "Records are removed before the checkpoint that covers them is written.";
}

/// Whether this bug is on.
#[cfg(not(faults))]
#[inline(always)]
#[must_use]
pub const fn seeded(_: Bug) -> bool {
    false
}

/// Whether this bug is on: `AMADEUS_SEEDED_BUG` names the one that is, in this process.
#[cfg(faults)]
#[must_use]
pub fn seeded(bug: Bug) -> bool {
    static ON: std::sync::LazyLock<Option<Bug>> = std::sync::LazyLock::new(|| {
        let name = std::env::var("AMADEUS_SEEDED_BUG").ok()?;
        let found = Bug::ALL.iter().find(|bug| bug.name() == name);
        // A name that nobody knows would leave every check green for the wrong reason.
        Some(*found.unwrap_or_else(|| panic!("there is no seeded bug {name:?}")))
    });
    *ON == Some(bug)
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn every_bug_is_in_the_document() {
        let document = include_str!("../../../docs/FAULTS.md");
        for bug in Bug::ALL {
            let row = format!("| `{}` | {} |", bug.name(), bug.what());
            assert!(document.contains(&row), "docs/FAULTS.md lacks {row}");
        }
    }
}
