//! Taking everything loses nothing and repeats nothing, and the bound holds.

#![cfg(loom)]

mod models {
    use std::sync::Arc;

    use kg_core::commit::queue::{Queue, Refused};
    use kg_core::sync::block_on;
    use loom_tests::{assert_each_once, body, check_race};

    #[test]
    fn take_all_loses_and_repeats_nothing() {
        check_race(3, 2, |order| {
            let queue = Arc::new(Queue::new(8));
            let [_, _, mut taken] = order.race([
                body(&queue, |queue| {
                    queue.push(0).expect("there is room");
                    queue.push(1).expect("there is room");
                    Vec::new()
                }),
                body(&queue, |queue| {
                    queue.push(2).expect("there is room");
                    Vec::new()
                }),
                body(&queue, |queue| {
                    let mut taken = queue.take_all();
                    taken.extend(queue.take_all());
                    taken
                }),
            ]);
            taken.extend(queue.take_all());
            assert_each_once(taken.clone(), 3);
            let place = |item| taken.iter().position(|taken| *taken == item);
            assert!(place(0) < place(1), "out of order: {taken:?}");
            assert_eq!((queue.len(), queue.is_empty()), (0, true));
        });
    }

    #[test]
    fn two_who_take_do_not_share() {
        check_race(3, 2, |order| {
            let queue = Arc::new(Queue::new(8));
            queue.push(0).expect("there is room");
            let taken = order.race([
                body(&queue, |queue| {
                    queue.push(1).expect("there is room");
                    Vec::new()
                }),
                body(&queue, Queue::take_all),
                body(&queue, Queue::take_all),
            ]);
            assert_each_once(taken.into_iter().flatten().chain(queue.take_all()), 2);
        });
    }

    #[test]
    fn no_more_wait_than_may() {
        check_race(2, 3, |order| {
            let queue = Arc::new(Queue::new(1));
            let pushed = order.race([
                body(&queue, |queue| queue.push(0)),
                body(&queue, |queue| queue.push(1)),
            ]);
            assert!(
                matches!(
                    pushed,
                    [Ok(()), Err(Refused::Full(1))] | [Err(Refused::Full(0)), Ok(())]
                ),
                "the bound does not hold"
            );
            assert_eq!(queue.take_all().len(), 1);
            assert_eq!(queue.push(2), Ok(()), "room does not come back");
        });
    }

    #[test]
    fn one_who_waits_for_a_batch_gets_it() {
        check_race(2, 3, |order| {
            let queue = Arc::new(Queue::new(8));
            let [_, taken] = order.race([
                body(&queue, |queue| {
                    queue.push(0).expect("there is room");
                    queue.push(1).expect("there is room");
                    Vec::new()
                }),
                body(&queue, |queue| {
                    let mut taken = Vec::new();
                    while taken.len() < 2 {
                        taken.extend(block_on(queue.next_batch()).expect("it is open"));
                    }
                    taken
                }),
            ]);
            assert_eq!(taken, [0, 1]);
        });
    }

    #[test]
    fn what_nobody_takes_is_dropped() {
        check_race(2, 3, |order| {
            let item = Arc::new(());
            let queue = Arc::new(Queue::new(8));
            let push = || {
                let item = Arc::clone(&item);
                body(&queue, |queue| queue.push(item).expect("there is room"))
            };
            order.race([push(), push()]);
            drop(queue);
            assert_eq!(Arc::strong_count(&item), 1);
        });
    }
}

mod controls {
    use kg_core::sync::control::Control;
    use loom_tests::{STUCK, UNORDERED, caught};

    const TAKE_ALL: &str = "models::take_all_loses_and_repeats_nothing";

    #[test]
    fn a_push_that_does_not_release() {
        caught(Control::RelaxedPush, TAKE_ALL, UNORDERED);
    }

    #[test]
    fn a_take_that_does_not_acquire() {
        caught(Control::RelaxedTake, TAKE_ALL, UNORDERED);
    }

    #[test]
    fn a_take_that_overwrites_what_arrived() {
        caught(Control::BlindTake, TAKE_ALL, "something was lost");
    }

    #[test]
    fn an_admission_in_two_steps() {
        let model = "models::no_more_wait_than_may";
        caught(Control::TornAdmission, model, "the bound does not hold");
    }

    #[test]
    fn a_bell_that_is_not_heard() {
        caught(
            Control::DeafBell,
            "models::one_who_waits_for_a_batch_gets_it",
            STUCK,
        );
    }
}
