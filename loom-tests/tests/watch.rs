//! A watcher gets each revision after the one at which it subscribed, in order and once, also when it races the writer and
//! when the ring has let go of its place: what it is told of is in the log by then.

#![cfg(loom)]

mod models {
    use std::sync::Arc;

    use kg_core::commit::{Graph, History, HistoryLimits, Options};
    use kg_core::log::{CommitLog, MemoryLog};
    use kg_core::model::{EntityRef, Object};
    use kg_core::mutation::{Mutation, Transaction};
    use kg_core::snapshot::Snapshot;
    use kg_core::sync::block_on;
    use kg_core::watch::{Cursor, Step};
    use loom_tests::{body, check_race};

    /// A graph and its log.
    struct Watched {
        graph: Arc<Graph>,
        log: MemoryLog,
    }

    impl Watched {
        /// With a ring that keeps so many revisions.
        fn new(revisions: usize) -> Arc<Self> {
            let limits = HistoryLimits {
                revisions,
                ..HistoryLimits::default()
            };
            let history = History::new(Arc::new(Snapshot::new()), limits);
            let log = MemoryLog::new();
            let inline = Box::new(log.clone());
            let graph = Arc::new(Graph::inline(history, &Options::default(), inline));
            Arc::new(Self { graph, log })
        }

        fn commit(&self, names: &[&str]) {
            for name in names {
                let put = Mutation::PutEntity {
                    key: EntityRef::parse("team", name).expect("a valid name"),
                    properties: Object::new(),
                };
                let transaction = Transaction::of(vec![put]);
                self.graph.commit(transaction).expect("committed");
            }
        }

        /// Subscribes after the head, as a watch of the server does, and follows up to `last`.
        fn follow(&self, last: u64) {
            let mut came = self.graph.snapshot().revision();
            let mut cursor = Cursor::at(came + 1);
            while came < last {
                let revisions: Vec<u64> = match block_on(cursor.follow(&self.graph, 8)) {
                    Step::Records(records) => records.iter().map(|r| r.revision).collect(),
                    Step::Behind => {
                        let read = block_on(self.log.read(cursor.next(), 8));
                        let records = read.expect("the log keeps everything");
                        assert!(!records.is_empty(), "shown, and not in the log");
                        records.iter().map(|r| r.revision).collect()
                    }
                    Step::AtHead => panic!("sent away with nothing"),
                };
                for revision in revisions {
                    assert_eq!(revision, came + 1, "a gap, or one that came twice");
                    cursor.pass(revision);
                    came = revision;
                }
            }
        }

        /// Whatever the head shows can be read from the log.
        fn reads_from_the_log_what_is_shown(&self) {
            let shown = self.graph.revisions().0;
            let logged = block_on(self.log.last_revision()).expect("a memory log answers");
            assert!(logged >= shown, "shown, and not in the log");
        }
    }

    #[test]
    fn a_watcher_that_subscribes_meanwhile_misses_nothing() {
        check_race(2, 2, |order| {
            let watched = Watched::new(8);
            order.race([
                body(&watched, |watched| watched.commit(&["a", "b"])),
                body(&watched, |watched| watched.follow(2)),
            ]);
        });
    }

    #[test]
    fn a_watcher_that_the_ring_leaves_behind_goes_on_from_the_log() {
        check_race(2, 2, |order| {
            let watched = Watched::new(1);
            order.race([
                body(&watched, |watched| watched.commit(&["a", "b", "c"])),
                body(&watched, |watched| watched.follow(3)),
            ]);
        });
    }

    #[test]
    fn what_is_shown_is_in_the_log() {
        check_race(2, 3, |order| {
            let watched = Watched::new(8);
            order.race([
                body(&watched, |watched| watched.commit(&["a"])),
                body(&watched, Watched::reads_from_the_log_what_is_shown),
            ]);
        });
    }
}

mod controls {
    use kg_core::sync::control::Control;
    use loom_tests::{STUCK, caught};

    const SUBSCRIBES: &str = "models::a_watcher_that_subscribes_meanwhile_misses_nothing";

    #[test]
    fn a_watcher_that_reads_the_epoch_after_its_look() {
        caught(Control::LateEpoch, SUBSCRIBES, STUCK);
    }

    #[test]
    fn a_bell_that_is_rung_before_the_head_is_stored() {
        caught(Control::AnnouncedFirst, SUBSCRIBES, STUCK);
    }

    #[test]
    fn a_batch_that_is_shown_before_it_is_in_the_log() {
        let model = "models::what_is_shown_is_in_the_log";
        caught(Control::VisibleFirst, model, "shown, and not in the log");
    }
}
