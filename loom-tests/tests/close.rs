//! Closing races submitting: after the close every push is refused, and what was accepted is taken and answered.

#![cfg(loom)]

mod models {
    use std::sync::Arc;

    use kg_core::commit::queue::{Queue, Refused};
    use kg_core::commit::ticket::{Abandoned, ticket};
    use kg_core::sync::{AtomicBool, Ordering, block_on};
    use loom_tests::{Body, body, check_race};

    #[test]
    fn what_was_accepted_is_taken_and_the_rest_comes_back() {
        check_race(3, 2, |order| {
            let queue = Arc::new(Queue::new(8));
            let push = |item| -> Body<Vec<usize>> {
                body(&queue, move |queue| {
                    if queue.push(item).is_ok() {
                        vec![item]
                    } else {
                        vec![]
                    }
                })
            };
            let [first, second, mut taken] = order.race([
                push(0),
                push(1),
                body(&queue, |queue| {
                    queue.close();
                    let taken = queue.take_all();
                    assert!(queue.is_spent(), "a push was accepted after the close");
                    taken
                }),
            ]);
            taken.sort_unstable();
            assert_eq!(
                [first, second].concat(),
                taken,
                "what was accepted is not what was taken"
            );
            assert_eq!(queue.push(9), Err(Refused::Closed(9)));
            assert_eq!(queue.len(), 0);
        });
    }

    #[test]
    fn the_committer_learns_of_the_close_and_leaves_nothing() {
        check_race(3, 2, |order| {
            let queue = Arc::new(Queue::new(8));
            let [accepted, _, taken] = order.race([
                body(&queue, |queue| usize::from(queue.push(()).is_ok())),
                body(&queue, |queue| {
                    queue.close();
                    0
                }),
                body(&queue, |queue| {
                    let mut taken = 0;
                    while let Some(batch) = block_on(queue.next_batch()) {
                        taken += batch.len();
                    }
                    taken
                }),
            ]);
            assert_eq!(accepted, taken, "something was stranded");
        });
    }

    #[test]
    fn one_who_is_refused_sees_why() {
        check_race(2, 3, |order| {
            let shared = Arc::new((Queue::new(8), AtomicBool::new(false)));
            order.race([
                body(&shared, |(queue, poisoned)| {
                    poisoned.store(true, Ordering::Relaxed);
                    queue.close();
                }),
                body(&shared, |(queue, poisoned)| {
                    if queue.push(()).is_err() {
                        assert!(poisoned.load(Ordering::Relaxed), "refused without a reason");
                    }
                }),
            ]);
        });
    }

    #[test]
    fn every_ticket_is_answered_also_if_what_was_taken_is_thrown_away() {
        check_race(3, 2, |order| {
            let queue = Arc::new(Queue::new(8));
            let (completer, ticket) = ticket::<()>();
            order.race([
                body(&queue, |queue| {
                    queue.close();
                    drop(queue.take_all());
                }),
                // Accepted or refused, whoever has the completer then drops it.
                body(&queue, |queue| drop(queue.push(completer))),
                Box::new(move || assert_eq!(ticket.wait(), Err(Abandoned))),
            ]);
        });
    }
}

mod controls {
    use kg_core::sync::control::Control;
    use loom_tests::{STUCK, caught};

    #[test]
    fn a_close_in_two_steps() {
        let model = "models::what_was_accepted_is_taken_and_the_rest_comes_back";
        caught(
            Control::TornClose,
            model,
            "what was accepted is not what was taken",
        );
    }

    #[test]
    fn a_close_that_does_not_release() {
        caught(
            Control::RelaxedClose,
            "models::one_who_is_refused_sees_why",
            "refused without a reason",
        );
    }

    #[test]
    fn a_committer_that_does_not_hear_of_the_close() {
        let model = "models::the_committer_learns_of_the_close_and_leaves_nothing";
        caught(Control::DeafBell, model, STUCK);
    }

    #[test]
    fn a_completer_that_is_dropped_in_silence() {
        let model = "models::every_ticket_is_answered_also_if_what_was_taken_is_thrown_away";
        caught(Control::SilentDrop, model, STUCK);
    }
}
