//! A ring after the look is heard by everyone who listens, and brings what the ringer did before it.

#![cfg(loom)]

mod models {
    use std::pin::pin;
    use std::sync::Arc;
    use std::task::{Context, Waker};

    use kg_core::sync::{AtomicUsize, Bell, Ordering, block_on};
    use loom_tests::{body, check_race};

    /// A bell, and what it tells of.
    #[derive(Default)]
    struct News {
        bell: Bell,
        happened: AtomicUsize,
    }

    impl News {
        fn happen(&self) {
            self.happened.store(1, Ordering::Relaxed);
            self.bell.ring();
        }

        /// Waits as the bell's doc says.
        fn wait(&self) {
            block_on(async {
                loop {
                    let seen = self.bell.epoch();
                    if self.happened.load(Ordering::Relaxed) == 1 {
                        break;
                    }
                    self.bell.listen(seen).await;
                }
            });
        }
    }

    #[test]
    fn no_ring_is_lost() {
        check_race(2, 3, |order| {
            let news = Arc::new(News::default());
            order.race([body(&news, News::happen), body(&news, News::wait)]);
        });
    }

    #[test]
    fn each_of_two_who_listen_is_woken() {
        check_race(3, 2, |order| {
            let news = Arc::new(News::default());
            order.race([
                body(&news, News::happen),
                body(&news, News::wait),
                body(&news, News::wait),
            ]);
        });
    }

    #[test]
    fn one_who_leaves_takes_nobodys_wake() {
        check_race(3, 2, |order| {
            let news = Arc::new(News::default());
            order.race([
                body(&news, News::happen),
                body(&news, News::wait),
                body(&news, |news| {
                    let mut listen = pin!(news.bell.listen(news.bell.epoch()));
                    let _ = listen
                        .as_mut()
                        .poll(&mut Context::from_waker(Waker::noop()));
                }),
            ]);
        });
    }
}

mod controls {
    use kg_core::sync::control::Control;
    use loom_tests::{STUCK, caught};

    #[test]
    fn a_bell_that_does_not_look_again() {
        caught(Control::DeafBell, "models::no_ring_is_lost", STUCK);
    }

    #[test]
    fn a_ring_that_does_not_release() {
        caught(Control::RelaxedRing, "models::no_ring_is_lost", STUCK);
    }
}
