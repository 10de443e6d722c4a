//! A reader of an old revision races the ring that lets it go: it gets that revision whole, or hears what is kept instead.

#![cfg(loom)]

mod models {
    use std::sync::Arc;

    use kg_core::commit::{Graph, History, HistoryLimits, NotKept, Options};
    use kg_core::log::MemoryLog;
    use kg_core::model::{EntityRef, Object};
    use kg_core::mutation::{Mutation, Transaction};
    use kg_core::snapshot::Snapshot;
    use loom_tests::{body, check_race};

    /// A graph whose ring keeps one revision behind the newest, so that each commit lets one go: what is published is
    /// (0, 0), then (1, 0), (2, 1), (3, 2).
    fn graph() -> Arc<Graph> {
        let limits = HistoryLimits {
            revisions: 1,
            ..HistoryLimits::default()
        };
        let history = History::new(Arc::new(Snapshot::new()), limits);
        let log = Box::new(MemoryLog::new());
        Arc::new(Graph::inline(history, &Options::default(), log))
    }

    /// Makes revisions 1, 2 and so on, each with one entity more.
    fn commit(graph: &Arc<Graph>, revisions: u64) {
        for revision in 1..=revisions {
            let put = Mutation::PutEntity {
                key: EntityRef::parse("team", &revision.to_string()).expect("a valid name"),
                properties: Object::new(),
            };
            let transaction = Transaction::of(vec![put]);
            graph.commit(transaction).expect("committed");
        }
    }

    fn assert_belong_together(newest: u64, oldest: u64) {
        let kept = newest.saturating_sub(1);
        assert_eq!(oldest, kept, "told of what never was published together");
    }

    fn read(graph: &Graph, asked: u64) {
        match graph.snapshot_at(asked) {
            Ok(held) => {
                assert_eq!(held.revision(), asked, "another revision was read");
                assert_eq!(held.entity_count() as u64, asked, "it is not whole");
            }
            Err(NotKept {
                asked: told,
                oldest,
                newest,
            }) => {
                assert_belong_together(newest, oldest);
                assert!(told == asked && (asked < oldest || asked > newest));
            }
        }
    }

    #[test]
    fn a_revision_that_goes_meanwhile_is_read_whole_or_not_at_all() {
        check_race(2, 3, |order| {
            let graph = Arc::new(graph());
            order.race([
                body(&graph, |graph| commit(graph, 3)),
                body(&graph, |graph| {
                    read(graph, 1);
                    read(graph, 2);
                }),
            ]);
        });
    }

    #[test]
    fn one_look_tells_the_newest_and_the_oldest() {
        check_race(2, 3, |order| {
            let graph = Arc::new(graph());
            order.race([
                body(&graph, |graph| commit(graph, 2)),
                body(&graph, |graph| {
                    let (newest, oldest) = graph.revisions();
                    assert_belong_together(newest, oldest);
                }),
            ]);
        });
    }

    #[test]
    fn a_head_and_its_history_are_published_together() {
        check_race(2, 3, |order| {
            let graph = Arc::new(graph());
            order.race([
                body(&graph, |graph| commit(graph, 1)),
                body(&graph, |graph| {
                    let published = graph.published();
                    let newest = published.snapshot.revision();
                    let kept = published.history.at(newest).map(|kept| kept.revision());
                    assert_eq!(kept, Ok(newest), "a head without its history");
                }),
            ]);
        });
    }
}

mod controls {
    use kg_core::sync::control::Control;
    use loom_tests::{UNORDERED, caught};

    #[test]
    fn a_head_that_is_shown_before_its_history() {
        let model = "models::a_head_and_its_history_are_published_together";
        caught(Control::BareHead, model, "a head without its history");
    }

    #[test]
    fn an_answer_from_two_looks() {
        let model = "models::one_look_tells_the_newest_and_the_oldest";
        caught(
            Control::TornLook,
            model,
            "told of what never was published together",
        );
    }

    #[test]
    fn a_head_that_is_stored_without_release() {
        let model = "models::a_revision_that_goes_meanwhile_is_read_whole_or_not_at_all";
        caught(Control::RelaxedStore, model, UNORDERED);
    }
}
