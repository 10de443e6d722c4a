//! Nobody is told of a revision that they cannot read, and no reader sees a revision go down.

#![cfg(loom)]

mod models {
    use std::sync::Arc;

    use kg_core::commit::head::Head;
    use kg_core::commit::ticket::ticket;
    use kg_core::sync::block_on;
    use loom_tests::{body, check_race};

    fn head() -> Arc<Head<u64>> {
        Arc::new(Head::new(Arc::new(0)))
    }

    #[test]
    fn a_completed_ticket_can_be_read_by_its_caller() {
        check_race(2, 3, |order| {
            let head = head();
            let (completer, ticket) = ticket();
            order.race([
                body(&head, |head| {
                    drop(head.publish(Arc::new(1), || completer.complete(1)))
                }),
                body(&head, |head| {
                    let told = ticket.wait().expect("it is completed");
                    assert!(
                        **head.load() >= told,
                        "told of a revision that cannot be read"
                    );
                }),
            ]);
        });
    }

    #[test]
    fn one_who_waits_for_a_revision_sees_it() {
        check_race(2, 3, |order| {
            let head = head();
            order.race([
                body(&head, |head| {
                    head.publish(Arc::new(1), || ());
                    head.publish(Arc::new(2), || ());
                }),
                body(&head, |head| {
                    assert_eq!(*block_on(head.reached(|revision| *revision >= 2)), 2);
                }),
            ]);
        });
    }

    #[test]
    fn no_reader_sees_a_revision_go_down() {
        check_race(3, 2, |order| {
            let head = head();
            let read = |head: &Head<u64>| {
                let earlier = **head.load();
                let later = *head.load_full();
                assert!(earlier <= later, "a revision went down");
            };
            order.race([
                body(&head, |head| {
                    assert_eq!(*head.publish(Arc::new(1), || ()), 0);
                    assert_eq!(*head.publish(Arc::new(2), || ()), 1);
                }),
                body(&head, read),
                body(&head, read),
            ]);
        });
    }
}

mod controls {
    use kg_core::sync::control::Control;
    use loom_tests::{STUCK, UNORDERED, caught};

    #[test]
    fn a_ticket_that_completes_before_the_head_is_stored() {
        let model = "models::a_completed_ticket_can_be_read_by_its_caller";
        caught(
            Control::AnnouncedFirst,
            model,
            "told of a revision that cannot be read",
        );
    }

    #[test]
    fn a_bell_that_is_rung_before_the_head_is_stored() {
        caught(
            Control::AnnouncedFirst,
            "models::one_who_waits_for_a_revision_sees_it",
            STUCK,
        );
    }

    #[test]
    fn a_head_that_is_stored_without_release() {
        caught(
            Control::RelaxedStore,
            "models::no_reader_sees_a_revision_go_down",
            UNORDERED,
        );
    }
}
