//! The whole way of an inline commit, through the graph itself: queue, role, log, head and ticket together.

#![cfg(loom)]

mod models {
    use std::sync::Arc;

    use kg_core::commit::{
        CommitError, Committer, Graph, History, HistoryLimits, Options, Pending,
    };
    use kg_core::log::AppendError;
    use kg_core::model::{EntityRef, Object};
    use kg_core::mutation::{Mutation, Transaction};
    use kg_core::snapshot::Snapshot;
    use kg_core::sync::block_on;
    use loom_tests::{body, check_race};

    fn put(name: &str) -> (EntityRef, Transaction) {
        let key = EntityRef::parse("team", name).expect("a valid name");
        let put = Mutation::PutEntity {
            key: key.clone(),
            properties: Object::new(),
        };
        (key, Transaction::of(vec![put]))
    }

    /// Commits an entity of this name and returns its revision, which the caller can read, with the entity in it.
    fn commit(graph: &Arc<Graph>, name: &str) -> u64 {
        let (key, transaction) = put(name);
        let outcome = graph.commit(transaction).expect("committed");
        assert!(outcome.snapshot.entity(&key).is_some());
        graph.read(|snapshot| {
            assert!(
                snapshot.revision() >= outcome.revision,
                "told of a revision that cannot be read"
            );
            assert!(snapshot.entity(&key).is_some());
        });
        outcome.revision
    }

    #[test]
    fn two_callers_make_two_revisions_and_read_their_own() {
        check_race(2, 2, |order| {
            let graph = Arc::new(Graph::in_memory());
            let revisions = order.race([
                body(&graph, |graph| commit(graph, "a")),
                body(&graph, |graph| commit(graph, "b")),
            ]);
            assert!(matches!(revisions, [1, 2] | [2, 1]), "{revisions:?}");
        });
    }

    #[test]
    fn one_who_waits_for_a_revision_reads_it() {
        check_race(2, 2, |order| {
            let graph = Arc::new(Graph::in_memory());
            order.race([
                body(&graph, |graph| assert_eq!(commit(graph, "a"), 1)),
                body(&graph, |graph| {
                    assert_eq!(block_on(graph.reached(1)).revision(), 1)
                }),
            ]);
        });
    }

    #[test]
    fn a_committer_task_answers_what_was_accepted_and_ends_with_the_close() {
        check_race(2, 3, |order| {
            let history = History::new(Arc::new(Snapshot::new()), HistoryLimits::default());
            let graph = Arc::new(Graph::new(history, &Options::default()));
            let mut committer = Committer::new(Arc::clone(&graph), 0);
            let submit = body(&graph, |graph| {
                let pending = graph.submit(put("a").1).expect("it is open");
                graph.close();
                let outcome = pending.wait().expect("it is answered");
                assert_eq!(outcome.expect("committed").revision, 1);
            });
            // As the server's task does.
            let serve = body(&graph, move |graph| {
                loop {
                    let seen = graph.work_epoch();
                    if let Some(staged) = committer.stage() {
                        let _ = committer.settle(staged, Ok(()));
                    } else if graph.is_drained() {
                        break;
                    } else {
                        block_on(graph.listen_for_work(seen));
                    }
                }
            });
            order.race([submit, serve]);
        });
    }

    #[test]
    fn nothing_is_appended_once_the_store_has_failed() {
        check_race(2, 3, |order| {
            let history = History::new(Arc::new(Snapshot::new()), HistoryLimits::default());
            let graph = Arc::new(Graph::new(history, &Options::default()));
            let first = graph.submit(put("a").1).expect("it is open");
            let mut committer = Committer::new(Arc::clone(&graph), 0);
            let submit = body(&graph, |graph| (graph.submit(put("b").1).ok(), None));
            let fail = Box::new(move || -> (Option<Pending>, Option<Committer>) {
                let staged = committer.stage().expect("one waits");
                let _ = committer.settle(staged, Err(AppendError::Broken("a bad disk".into())));
                (None, Some(committer))
            });
            let [(second, _), (_, committer)] = order.race([submit, fail]);
            let mut committer = committer.expect("it was given back");
            assert!(
                committer.stage().is_none(),
                "appended to a store that has failed"
            );
            for pending in [Some(first), second].into_iter().flatten() {
                let answer = pending.wait().expect("it is answered");
                assert!(matches!(answer, Err(CommitError::Unavailable(_))));
            }
        });
    }
}

mod controls {
    use kg_core::sync::control::Control;
    use loom_tests::{STUCK, caught};

    #[test]
    fn a_role_that_is_given_up_without_a_second_look() {
        caught(
            Control::NoSecondLook,
            "models::two_callers_make_two_revisions_and_read_their_own",
            STUCK,
        );
    }

    #[test]
    fn a_ticket_that_completes_before_the_head_is_stored() {
        let model = "models::two_callers_make_two_revisions_and_read_their_own";
        caught(
            Control::AnnouncedFirst,
            model,
            "told of a revision that cannot be read",
        );
    }

    #[test]
    fn a_committer_task_that_does_not_hear_of_work() {
        let model = "models::a_committer_task_answers_what_was_accepted_and_ends_with_the_close";
        caught(Control::DeafBell, model, STUCK);
    }

    #[test]
    fn a_reason_that_is_set_without_release() {
        let model = "models::nothing_is_appended_once_the_store_has_failed";
        caught(
            Control::RelaxedSet,
            model,
            "a value was seen before it was written",
        );
    }

    #[test]
    fn a_committer_that_forgets_that_the_store_has_failed() {
        let model = "models::nothing_is_appended_once_the_store_has_failed";
        caught(
            Control::ForgottenPoison,
            model,
            "appended to a store that has failed",
        );
    }
}
