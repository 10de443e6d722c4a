//! Each ticket completes once, whoever comes first, and also when one of its ends is dropped.

#![cfg(loom)]

mod models {
    use std::future::poll_fn;
    use std::pin::Pin;
    use std::sync::Arc;
    use std::task::{Context, Poll, Waker};

    use kg_core::commit::ticket::{Abandoned, Ticket, ticket};
    use kg_core::sync::block_on;
    use loom_tests::check_race;

    #[test]
    fn the_outcome_arrives() {
        check_race(2, 3, |order| {
            let (completer, ticket) = ticket();
            order.race([
                Box::new(move || completer.complete(Box::new(7))),
                Box::new(move || assert_eq!(ticket.wait(), Ok(Box::new(7)))),
            ]);
        });
    }

    #[test]
    fn a_dropped_completer_is_an_answer() {
        check_race(2, 3, |order| {
            let (completer, ticket) = ticket::<u8>();
            order.race([
                Box::new(move || drop(completer)),
                Box::new(move || assert_eq!(ticket.wait(), Err(Abandoned))),
            ]);
        });
    }

    #[test]
    fn a_ticket_may_be_dropped_at_any_moment() {
        check_race(2, 3, |order| {
            let outcome = Arc::new(());
            let delivered = Arc::clone(&outcome);
            let (completer, mut ticket) = ticket();
            order.race([
                Box::new(move || completer.complete(delivered)),
                Box::new(move || {
                    drop(poll_once(&mut ticket));
                    drop(ticket);
                }),
            ]);
            assert_eq!(Arc::strong_count(&outcome), 1, "the outcome was lost");
        });
    }

    #[test]
    fn a_later_poll_replaces_the_waker_of_an_earlier() {
        check_race(2, 3, |order| {
            let (completer, mut ticket) = ticket();
            order.race([
                Box::new(move || completer.complete(1)),
                Box::new(move || {
                    // With a waker that wakes nobody first, as when a future moves to another task.
                    if poll_once(&mut ticket).is_pending() {
                        let again = poll_fn(|context| Pin::new(&mut ticket).poll(context));
                        assert_eq!(block_on(again), Ok(1));
                    }
                    let again = poll_once(&mut ticket);
                    assert_eq!(again, Poll::Ready(Err(Abandoned)), "it completed twice");
                }),
            ]);
        });
    }

    fn poll_once<T>(ticket: &mut Ticket<T>) -> Poll<Result<T, Abandoned>> {
        Pin::new(ticket).poll(&mut Context::from_waker(Waker::noop()))
    }
}

mod controls {
    use kg_core::sync::control::Control;
    use loom_tests::{STUCK, UNORDERED, caught};

    #[test]
    fn a_slot_that_orders_nothing() {
        caught(
            Control::RelaxedSlot,
            "models::the_outcome_arrives",
            UNORDERED,
        );
    }

    #[test]
    fn a_ticket_that_looks_and_then_leaves_its_waker() {
        caught(Control::DeafTicket, "models::the_outcome_arrives", STUCK);
    }

    #[test]
    fn a_completer_that_is_dropped_in_silence() {
        caught(
            Control::SilentDrop,
            "models::a_dropped_completer_is_an_answer",
            STUCK,
        );
    }
}
