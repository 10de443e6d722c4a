//! The log in SQLite, held to what every log owes.

use crate::place::Place;
use amadeus::storage::{Backend, StoreFiles};
use kg_core::log::CommitLog;
use kg_core::snapshot::Snapshot;
use kg_core::testing::conformance::{Subject, conformance};

#[derive(Default)]
struct Sqlite {
    current: Option<(Place, StoreFiles)>,
}

impl Sqlite {
    async fn open(&mut self, place: Place) -> Backend {
        let opened = place.open().await.expect("it opens");
        self.current = Some((place, opened.files.expect("it is on disk")));
        opened.backend
    }
}

impl Subject for Sqlite {
    type Log = Backend;

    async fn fresh(&mut self) -> Backend {
        self.open(Place::new()).await
    }

    async fn reopened(&mut self, _log: Backend) -> Backend {
        let (place, _) = self.current.take().expect("a log was made");
        self.open(place.crashed()).await
    }

    async fn compact(&mut self, log: &mut Backend, revision: u64) {
        let mut snapshot = Snapshot::new();
        let records = log
            .read(1, revision as usize)
            .await
            .expect("they are there");
        for record in &records {
            snapshot.fold_in_place(record).expect("it follows");
        }
        let (_, files) = self.current.as_ref().expect("a log was made");
        files.checkpoints.write(&snapshot).expect("there is room");
        assert_eq!(log.compact(revision).await.expect("it works"), revision + 1);
    }
}

#[tokio::test]
async fn the_sqlite_log_conforms() {
    conformance(&mut Sqlite::default()).await;
}

#[tokio::test]
async fn an_append_whose_caller_is_gone_is_whole_or_not_there() {
    use kg_core::log::Batch;
    let records = kg_core::testing::conformance::records(64);
    let place = Place::new();
    let log = place.open().await.expect("it opens").backend;
    for (n, record) in records.iter().enumerate() {
        let batch = Batch {
            id: n as u128,
            after: n as u64,
            records: vec![record.clone()],
        };
        let mut mine = log.clone();
        // Polled once, then dropped: by then the task is under way, or will be.
        let mut append = Box::pin(mine.append(&batch));
        let polled = futures::poll!(&mut append);
        drop(append);
        if polled.is_pending() {
            log.clone()
                .append(&batch)
                .await
                .expect("it is there already, or follows");
        }
        assert_eq!(log.last_revision().await.expect("it answers"), n as u64 + 1);
    }
}
