//! One committer at a time, who sees what the last one did; and nothing is stranded when the role is given up.

#![cfg(loom)]

mod models {
    use std::sync::{Arc, Mutex};

    use kg_core::commit::queue::Queue;
    use kg_core::commit::role::Role;
    use loom::cell::UnsafeCell;
    use loom_tests::{Order, assert_each_once, body, check, check_race};

    /// A graph that its callers commit to themselves.
    struct Inline {
        role: Role,
        queue: Queue<usize>,
        /// Stands for what only the holder touches: loom fails if two do at once, or one that does not see what the last did.
        touched: UnsafeCell<()>,
        /// std's lock, which loom does not see.
        committed: Mutex<Vec<usize>>,
    }

    impl Inline {
        #[expect(
            clippy::arc_with_non_send_sync,
            reason = "loom watches the cell, and its threads ask for no Sync"
        )]
        fn new() -> Arc<Self> {
            Arc::new(Self {
                role: Role::default(),
                queue: Queue::new(8),
                touched: UnsafeCell::new(()),
                committed: Mutex::default(),
            })
        }

        fn commit(&self, item: usize) {
            self.queue.push(item).expect("there is room");
            self.role.serve(&self.queue, |batch| {
                self.touched.with_mut(|_| ());
                self.committed
                    .lock()
                    .expect("no holder panics")
                    .extend(batch);
            });
        }

        fn assert_committed(&self, items: usize) {
            let committed = std::mem::take(&mut *self.committed.lock().expect("no holder panics"));
            assert_each_once(committed, items);
        }
    }

    #[test]
    fn two_callers_commit_both_items_one_at_a_time() {
        check_race(2, 3, |order| {
            let graph = Inline::new();
            order.race([
                body(&graph, |graph| graph.commit(0)),
                body(&graph, |graph| graph.commit(1)),
            ]);
            graph.assert_committed(2);
        });
    }

    #[test]
    fn three_callers_strand_nothing() {
        // All alike, so that one order of starting is as good as another.
        check(1, || {
            let graph = Inline::new();
            Order::default()
                .race([0, 1, 2].map(|item| body(&graph, move |graph| graph.commit(item))));
            graph.assert_committed(3);
        });
    }

    #[test]
    fn one_who_is_refused_does_not_take_the_role_from_its_holder() {
        check_race(3, 3, |order| {
            let role = Arc::new(Role::default());
            let ask = |role: &Role| drop(role.try_acquire());
            let hold = |role: &Role| {
                let held = role.try_acquire();
                assert!(
                    held.is_none() || role.try_acquire().is_none(),
                    "two hold the role"
                );
            };
            order.race([body(&role, ask), body(&role, ask), body(&role, hold)]);
            assert!(role.try_acquire().is_some(), "the role was not given up");
        });
    }
}

mod controls {
    use kg_core::sync::control::Control;
    use loom_tests::{UNORDERED, caught};

    const TWO_CALLERS: &str = "models::two_callers_commit_both_items_one_at_a_time";

    #[test]
    fn a_role_that_is_taken_without_acquire() {
        caught(Control::RelaxedRole, TWO_CALLERS, UNORDERED);
    }

    #[test]
    fn a_role_that_is_given_up_with_a_store() {
        caught(Control::DeafRole, TWO_CALLERS, "something was lost");
    }

    #[test]
    fn a_role_that_is_given_up_without_a_second_look() {
        caught(Control::NoSecondLook, TWO_CALLERS, "something was lost");
    }
}
