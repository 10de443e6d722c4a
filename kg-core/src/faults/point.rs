//! The failpoints, in the order in which a server comes to them.

macro_rules! points {
    ($($point:ident = $name:literal, $doc:literal;)*) => {
        /// A step of the program's work at which it can be stopped.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Point {
            $(#[doc = $doc] $point,)*
        }

        impl Point {
            /// Every point.
            pub const ALL: &'static [Self] = &[$(Self::$point,)*];

            /// The name by which it is armed.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$point => $name,)* }
            }

            /// What has happened when the program comes to it.
            #[must_use]
            pub const fn what(self) -> &'static str {
                match self { $(Self::$point => $doc,)* }
            }
        }
    };
}

points! {
    StoreMade = "store.made", "A new database is whole and synced under its first name.";
    StoreProved = "store.proved", "An existing store was read and proved, and nothing was touched.";
    StoreMarked = "store.marked", "The watermark is open for writing, the log is not.";
    StoreOpened = "store.opened", "The store is open, nobody is served.";
    CommitTaken = "commit.taken", "The committer has taken what waits.";
    CommitPlanning = "commit.planning", "A transaction is being planned.";
    CommitPlanned = "commit.planned", "A batch is planned, nothing of it is in the log.";
    LogBegun = "log.begun", "The log's transaction has begun, nothing is inserted.";
    LogInserted = "log.inserted", "The records are inserted, not committed.";
    LogCommitted = "log.committed", "The records are durable, the watermark is behind.";
    LogMarked = "log.marked", "The watermark is written, the committer does not know yet.";
    CommitAppended = "commit.appended", "The append has succeeded, the head is the old one.";
    CommitPublished = "commit.published", "The new head is visible, nobody was told.";
    CommitAnswering = "commit.answering", "One more ticket of a batch is complete.";
    CommitAnswered = "commit.answered", "All tickets are complete, watchers were not told.";
    CommitAnnounced = "commit.announced", "Watchers were told.";
    ImportChunk = "import.chunk", "A chunk of an import is committed, its reply is not sent.";
    FileWritten = "file.written", "A checkpoint's or a backup's bytes are written, not synced.";
    FileSynced = "file.synced", "They are synced under an unfinished name.";
    FileRenamed = "file.renamed", "They have their name, the folder is not synced.";
    CheckpointWritten = "checkpoint.written", "A checkpoint is durable, older ones still stand.";
    CheckpointRemoved = "checkpoint.removed", "A checkpoint that two newer ones cover is removed.";
    CompactRemoved = "compact.removed", "Records are removed in a transaction that is not committed.";
    CompactCommitted = "compact.committed", "Records are removed for good.";
    BackupWritten = "backup.written", "A backup is durable, not yet proved.";
    RestorePrepared = "restore.prepared", "The content of a restore is durable, no record names it.";
    RestoreCommitted = "restore.committed", "A restore is committed, no checkpoint is behind it.";
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn every_point_is_in_the_document() {
        let document = include_str!("../../../docs/FAULTS.md");
        for point in Point::ALL {
            let row = format!("| `{}` | {} |", point.name(), point.what());
            assert!(document.contains(&row), "docs/FAULTS.md lacks {row}");
        }
        let rows = document.lines().filter(|line| {
            let name = line
                .strip_prefix("| `")
                .and_then(|rest| rest.split('`').next());
            name.is_some_and(|name| name.contains('.'))
        });
        assert_eq!(rows.count(), Point::ALL.len());
    }
}
