//! The log in PostgreSQL, held to what every log owes, and to what many servers need of it.

use amadeus::storage::{Backend, OpenError, OpenOptions, Opened, open};
use kg_core::log::{AppendError, Batch, CommitLog, Record};
use kg_core::snapshot::Snapshot;
use kg_core::testing::conformance::{Subject, conformance, records};
use std::sync::Arc;
use testbed::Postgres;

/// The server of this program; `None`, and a word about it, where there is none.
pub fn server() -> Option<&'static Postgres> {
    match Postgres::shared() {
        Ok(server) => Some(server),
        Err(missing) => {
            eprintln!("skipped: {missing}");
            None
        }
    }
}

async fn opened(url: &str) -> Opened {
    open(url, &OpenOptions::default()).await.expect("it opens")
}

struct Shared {
    server: &'static Postgres,
    url: String,
}

impl Subject for Shared {
    type Log = Backend;

    async fn fresh(&mut self) -> Backend {
        self.url = self.server.database();
        opened(&self.url).await.backend
    }

    async fn reopened(&mut self, _log: Backend) -> Backend {
        opened(&self.url).await.backend
    }

    async fn compact(&mut self, log: &mut Backend, revision: u64) {
        let mut snapshot = Snapshot::new();
        let records = log.read(1, revision as usize).await;
        for record in &records.expect("they are there") {
            snapshot.fold_in_place(record).expect("it follows");
        }
        let Backend::Postgres(shared) = &*log else {
            panic!("the store is in a database");
        };
        let kept = shared.keep(Arc::new(snapshot), "a store").await;
        assert_eq!(kept.expect("there is room"), None);
        assert_eq!(log.compact(revision).await.expect("it works"), revision + 1);
    }
}

#[tokio::test]
async fn the_postgres_log_conforms() {
    let Some(server) = server() else { return };
    let url = String::new();
    conformance(&mut Shared { server, url }).await;
}

fn batch(id: u128, records: &[Arc<Record>], after: usize, last: usize) -> Batch {
    Batch {
        id,
        after: after as u64,
        records: records[after..last].to_vec(),
    }
}

#[tokio::test]
async fn of_many_that_append_to_one_end_one_succeeds() {
    let Some(server) = server() else { return };
    let url = server.database();
    let records = records(20);
    let mut logs = Vec::new();
    for _ in 0..4 {
        logs.push(opened(&url).await.backend);
    }
    for after in 0..20 {
        let tries = logs.iter_mut().enumerate().map(|(n, log)| {
            let mine = batch((after * 4 + n) as u128, &records, after, after + 1);
            async move { log.append(&mine).await }
        });
        let answers = futures::future::join_all(tries).await;
        let won = answers.iter().filter(|answer| answer.is_ok()).count();
        assert_eq!(won, 1, "{answers:?}");
        let lost = |answer: &&Result<(), AppendError>| matches!(answer, Err(AppendError::MovedOn { last }) if *last == after as u64 + 1);
        assert_eq!(answers.iter().filter(lost).count(), 3, "{answers:?}");
    }
    let read = logs[0].read(1, 100).await.expect("it answers");
    assert_eq!(read.len(), 20);
}

#[tokio::test]
async fn two_servers_that_start_at_once_make_one_store() {
    let Some(server) = server() else { return };
    let url = server.database();
    let options = OpenOptions::default();
    let (one, other) = tokio::join!(open(&url, &options), open(&url, &options));
    let (one, other) = (one.expect("it opens"), other.expect("it opens"));
    assert_eq!(one.store_id, other.store_id);
}

#[tokio::test]
async fn a_database_that_cannot_be_used_is_named_without_its_password() {
    let Some(server) = server() else { return };
    let url = format!(
        "postgres://amadeus:hush@127.0.0.1:{}/no_such",
        server.port()
    );
    let refused = open(&url, &OpenOptions::default()).await.err();
    let refused = refused.expect("there is no such database");
    assert!(
        matches!(refused, OpenError::Unreachable { .. }),
        "{refused}"
    );
    let said = refused.to_string();
    assert!(said.contains("no_such") && !said.contains("hush"), "{said}");
}

#[tokio::test]
async fn a_database_that_is_read_only_refuses_and_recovers() {
    let Some(server) = server() else { return };
    let url = server.database();
    let name = url.rsplit('/').next().expect("a name");
    let records = records(2);
    let mut log = opened(&url).await.backend;
    log.append(&batch(1, &records, 0, 1))
        .await
        .expect("it follows");
    server.run(
        "postgres",
        &format!("ALTER DATABASE {name} SET default_transaction_read_only = on"),
    );
    let mut other = opened_elsewhere(&url).await;
    let refused = other.append(&batch(2, &records, 1, 2)).await;
    assert!(
        matches!(refused, Err(AppendError::Unavailable(_))),
        "{refused:?}"
    );
    server.run(
        "postgres",
        &format!("ALTER DATABASE {name} RESET default_transaction_read_only"),
    );
    // The connection that was refused is given up, and the next one may write.
    other
        .append(&batch(2, &records, 1, 2))
        .await
        .expect("it follows");
    assert_eq!(log.last_revision().await.expect("it answers"), 2);
}

/// Opened although the database is read-only: what is there needs no step of the schema.
async fn opened_elsewhere(url: &str) -> Backend {
    opened(url).await.backend
}
