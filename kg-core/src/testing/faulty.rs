//! A log that fails on cue: before it did anything, after it did everything, or without saying which.

use crate::log::{AppendError, Batch, CommitLog, InlineLog, MemoryLog, ReadError, Record};
use std::collections::VecDeque;

/// What becomes of one append.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It succeeds.
    None,
    /// There is no room; nothing was done.
    Full,
    /// It breaks before anything was done, and stays broken.
    BrokenBefore,
    /// It breaks after everything was done, and stays broken.
    BrokenAfter,
    /// No answer comes, and nothing was done.
    UnknownNotDone,
    /// No answer comes, and everything was done.
    UnknownDone,
}

/// A memory log whose appends follow a script; when the script ends, they succeed. Another writer is a clone of the
/// [`MemoryLog`] below it.
#[derive(Debug, Default)]
pub struct FaultyLog {
    log: MemoryLog,
    script: VecDeque<Fault>,
    broken: bool,
    /// The ids of all batches that were given to `append`, in order.
    pub seen: Vec<u128>,
}

impl FaultyLog {
    /// A log over `log` whose first appends go as `script` says.
    #[must_use]
    pub fn new(log: MemoryLog, script: impl IntoIterator<Item = Fault>) -> Self {
        Self {
            log,
            script: script.into_iter().collect(),
            broken: false,
            seen: Vec::new(),
        }
    }
}

impl InlineLog for FaultyLog {
    fn append_now(&mut self, batch: &Batch) -> Result<(), AppendError> {
        self.seen.push(batch.id);
        if self.broken {
            return Err(AppendError::Broken("it broke before".into()));
        }
        let fault = self.script.pop_front().unwrap_or(Fault::None);
        match fault {
            Fault::None => self.log.append_now(batch),
            Fault::Full => Err(AppendError::Full("no space left, on purpose".into())),
            Fault::BrokenBefore | Fault::BrokenAfter => {
                self.broken = true;
                if fault == Fault::BrokenAfter {
                    self.log.append_now(batch)?;
                }
                Err(AppendError::Broken("on purpose".into()))
            }
            Fault::UnknownNotDone => Err(AppendError::Unknown("on purpose".into())),
            Fault::UnknownDone => {
                self.log.append_now(batch)?;
                Err(AppendError::Unknown("on purpose".into()))
            }
        }
    }
}

impl CommitLog for FaultyLog {
    async fn append(&mut self, batch: &Batch) -> Result<(), AppendError> {
        self.append_now(batch)
    }

    async fn read(&self, from: u64, limit: usize) -> Result<Vec<Record>, ReadError> {
        self.log.read(from, limit).await
    }

    async fn last_revision(&self) -> Result<u64, ReadError> {
        self.log.last_revision().await
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::commit::{
        CommitError, Committer, Graph, History, HistoryLimits, Options, Outcome, Settled,
    };
    use crate::error::Refusal;
    use crate::model::{EntityRef, Object};
    use crate::mutation::{Mutation, Precondition, Request, Transaction};
    use crate::snapshot::{RequestKey, Snapshot};
    use crate::sync::block_on;
    use std::sync::Arc;

    /// A server: a graph, its committer, and the loop that a driver runs, without the pauses.
    struct Server {
        graph: Arc<Graph>,
        committer: Committer,
        log: FaultyLog,
    }

    impl Server {
        fn on(log: &MemoryLog, seed: u64, script: impl IntoIterator<Item = Fault>) -> Self {
            let history = History::new(Arc::new(Snapshot::new()), HistoryLimits::default());
            let graph = Arc::new(Graph::new(history, &Options::default()));
            Self {
                committer: Committer::new(graph.clone(), seed),
                graph,
                log: FaultyLog::new(log.clone(), script),
            }
        }

        fn run(&mut self) {
            while let Some(mut staged) = self.committer.stage() {
                loop {
                    let appended = match &staged.batch {
                        Some(batch) => self.log.append_now(batch),
                        None => Ok(()),
                    };
                    match self.committer.settle(staged, appended) {
                        Settled::Done => break,
                        Settled::Repeat(same) => staged = same,
                        Settled::CatchUp => {
                            let from = self.graph.revisions().0 + 1;
                            let missed = block_on(self.log.read(from, 100)).expect("kept");
                            self.committer.catch_up(missed).expect("one history");
                            break;
                        }
                    }
                }
            }
        }

        /// Submits all at once, so that they share a batch, and returns what became of each.
        fn commit(&mut self, all: Vec<Transaction>) -> Vec<Result<Outcome, CommitError>> {
            let submit = |tx| self.graph.submit(tx).expect("there is room");
            let pending: Vec<_> = all.into_iter().map(submit).collect();
            self.run();
            let answer = |p: crate::commit::Pending| p.wait().expect("it was answered");
            pending.into_iter().map(answer).collect()
        }

        fn revision_of(&mut self, tx: Transaction) -> Result<u64, CommitError> {
            self.commit(vec![tx]).remove(0).map(|o| o.revision)
        }
    }

    fn key(name: &str) -> EntityRef {
        EntityRef::parse("key", &format!("team/{name}")).expect("a valid name")
    }

    fn put(name: &str) -> Transaction {
        Transaction::of(vec![Mutation::PutEntity {
            key: key(name),
            properties: Object::new(),
        }])
    }

    fn put_new(name: &str) -> Transaction {
        Transaction {
            preconditions: vec![Precondition::EntityAbsent(key(name))],
            ..put(name)
        }
    }

    #[test]
    fn a_full_store_fails_the_batch_and_the_next_one_works() {
        let mut server = Server::on(&MemoryLog::new(), 1, [Fault::None, Fault::Full]);
        assert_eq!(server.revision_of(put("a")), Ok(1));
        let refused = server.revision_of(put("b"));
        assert!(
            matches!(refused, Err(CommitError::StoreFull(_))),
            "{refused:?}"
        );
        assert_eq!(server.graph.revisions().0, 1);
        assert!(server.graph.read(|s| s.entity(&key("b")).is_none()));
        assert!(server.graph.poisoned().is_none());
        assert_eq!(server.revision_of(put("c")), Ok(2));
    }

    #[test]
    fn refusals_and_no_ops_of_a_failed_batch_fail_with_it() {
        let mut server = Server::on(&MemoryLog::new(), 1, [Fault::Full]);
        // The second and the third are answers about a state that holds the first, which is nowhere durable.
        let answers = server.commit(vec![put("a"), put_new("a"), put("a")]);
        for answer in answers {
            assert!(
                matches!(answer, Err(CommitError::StoreFull(_))),
                "{answer:?}"
            );
        }
        let mut answers = server
            .commit(vec![put("a"), put_new("a"), put("a")])
            .into_iter();
        let mut next = || answers.next().expect("three answers");
        assert!(next().is_ok_and(|o| o.changed && o.revision == 1));
        assert!(matches!(
            next(),
            Err(CommitError::Refused(
                Refusal::AlreadyExists(_) | Refusal::Precondition { .. }
            ))
        ));
        assert!(next().is_ok_and(|o| !o.changed && o.revision == 1));
    }

    #[test]
    fn a_request_id_twice_in_one_batch_applies_once() {
        let mut server = Server::on(&MemoryLog::new(), 1, []);
        let asked = |name, body| Transaction {
            request: Some(Request {
                key: RequestKey::new("me", "r"),
                body,
            }),
            ..put(name)
        };
        let mut answers = server
            .commit(vec![asked("a", 7), asked("a", 7), asked("b", 8)])
            .into_iter();
        let mut next = || answers.next().expect("three answers");
        assert!(next().is_ok_and(|o| o.revision == 1 && !o.repeated));
        let again = next().expect("it is known");
        assert_eq!((again.revision, again.repeated), (1, true));
        assert!(next().is_err(), "the id belongs to another request");
        assert_eq!(server.graph.revisions().0, 1);
    }

    #[test]
    fn of_many_guarded_writes_in_one_batch_one_commits() {
        let mut server = Server::on(&MemoryLog::new(), 1, []);
        let answers = server.commit(vec![put_new("a"), put_new("a"), put_new("a")]);
        let committed = answers.iter().filter(|answer| answer.is_ok()).count();
        assert_eq!((committed, server.graph.revisions().0), (1, 1));
    }

    #[test]
    fn an_unknown_outcome_repeats_the_same_batch_until_it_is_known() {
        for fault in [Fault::UnknownDone, Fault::UnknownNotDone] {
            let log = MemoryLog::new();
            let script = [fault.clone(), Fault::UnknownNotDone, fault];
            let mut server = Server::on(&log, 1, script);
            assert_eq!(server.revision_of(put("a")), Ok(1));
            assert_eq!(server.log.seen.len(), 4);
            assert!(server.log.seen.iter().all(|id| *id == server.log.seen[0]));
            assert_eq!(block_on(log.last_revision()).expect("it answers"), 1);
            assert_eq!(server.revision_of(put("b")), Ok(2));
            assert_ne!(server.log.seen[0], server.log.seen[4]);
        }
    }

    #[test]
    fn a_broken_store_poisons_writing_and_reads_go_on() {
        for fault in [Fault::BrokenBefore, Fault::BrokenAfter] {
            let mut server = Server::on(&MemoryLog::new(), 1, [Fault::None, fault]);
            assert_eq!(server.revision_of(put("a")), Ok(1));
            let refused = server.revision_of(put("b"));
            assert!(
                matches!(refused, Err(CommitError::Unavailable(_))),
                "{refused:?}"
            );
            assert!(server.graph.poisoned().is_some());
            let submitted = server.graph.submit(put("c"));
            assert!(matches!(submitted, Err(CommitError::Unavailable(_))));
            assert_eq!(server.graph.revisions().0, 1);
            assert!(server.graph.read(|s| s.entity(&key("a")).is_some()));
        }
    }

    #[test]
    fn a_log_that_moved_on_is_caught_up_with_and_the_batch_planned_again() {
        let log = MemoryLog::new();
        let mut first = Server::on(&log, 1, []);
        let mut second = Server::on(&log, 2, []);
        assert_eq!(first.revision_of(put_new("a")), Ok(1));
        assert_eq!(first.revision_of(put("b")), Ok(2));
        // The second server has seen nothing of this; its plan for `a` would make revision 1.
        let mut answers = second
            .commit(vec![put("c"), put_new("a"), put("b")])
            .into_iter();
        let mut next = || answers.next().expect("three answers");
        assert!(next().is_ok_and(|o| o.changed && o.revision == 3));
        assert!(matches!(next(), Err(CommitError::Refused(_))));
        assert!(next().is_ok_and(|o| !o.changed));
        assert_eq!(first.revision_of(put("d")), Ok(4));
        let head = |server: &Server| server.graph.read(|s| (s.revision(), s.hash()));
        assert_eq!(second.revision_of(put("d")), Ok(4));
        assert_eq!(head(&first), head(&second));
    }
}
