//! A part is built once however many ask at the same time, a failure is not kept, and a cycle is an error and no deadlock.

#![cfg(loom)]

mod models {
    use std::convert::Infallible;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use kg_core::registry::{Key, Provider, ResolveError};
    use loom_tests::{body, check_race};

    const NUMBER: Key<u32> = Key::new("number");
    const WORD: Key<String> = Key::new("word");

    /// A provider, and how often its factory ran: std's counter, which loom does not see.
    #[derive(Default)]
    struct Counted {
        provider: Provider,
        runs: Arc<AtomicUsize>,
    }

    impl Counted {
        /// Of a number whose factory fails the first `failures` times.
        fn failing(failures: usize) -> Arc<Self> {
            let counted = Self::default();
            let runs = Arc::clone(&counted.runs);
            counted.provider.register(NUMBER, move |_| {
                let run = runs.fetch_add(1, Ordering::Relaxed);
                if run < failures {
                    Err("not yet")
                } else {
                    Ok(7)
                }
            });
            Arc::new(counted)
        }

        fn resolve(&self) -> Result<Arc<u32>, ResolveError> {
            self.provider.resolve(NUMBER)
        }

        fn runs(&self) -> usize {
            self.runs.load(Ordering::Relaxed)
        }
    }

    #[test]
    fn a_factory_runs_once_and_all_get_the_same_part() {
        check_race(3, 2, |order| {
            let counted = Counted::failing(0);
            let ask = || body(&counted, Counted::resolve);
            let parts = order.race([ask(), ask(), ask()]);
            assert_eq!(counted.runs(), 1, "a factory ran again");
            let [first, second, third] = parts.map(|part| part.expect("built"));
            assert!(Arc::ptr_eq(&first, &second) && Arc::ptr_eq(&first, &third));
            assert_eq!(counted.provider.order(), ["number"]);
        });
    }

    #[test]
    fn a_failure_is_told_to_one_and_not_kept() {
        check_race(2, 3, |order| {
            let counted = Counted::failing(1);
            let ask = || body(&counted, Counted::resolve);
            let parts = order.race([ask(), ask()]);
            let built = parts.iter().filter(|part| part.is_ok()).count();
            assert_eq!((built, counted.runs()), (1, 2), "a failure was kept");
            assert!(counted.resolve().is_ok());
        });
    }

    #[test]
    fn a_cycle_that_two_enter_at_either_end_is_named_to_both() {
        check_race(2, 3, |order| {
            let provider = Arc::new(Provider::new());
            provider.register(NUMBER, |chain| chain.resolve(WORD).map(|w| w.len() as u32));
            provider.register(WORD, |chain| chain.resolve(NUMBER).map(|n| n.to_string()));
            let told = order.race([
                body(&provider, |p| p.resolve(NUMBER).map(drop)),
                body(&provider, |p| p.resolve(WORD).map(drop)),
            ]);
            for (told, path) in told
                .into_iter()
                .zip(["number -> word -> number", "word -> number -> word"])
            {
                let told = told.expect_err("a cycle").to_string();
                assert!(told.contains(path), "{told}");
            }
            assert!(provider.order().is_empty());
        });
    }

    #[test]
    fn a_factory_that_asks_the_provider_itself_waits_for_nobody() {
        check_race(2, 3, |order| {
            let provider = Arc::new(Provider::new());
            let inner = Arc::downgrade(&provider);
            provider.register(NUMBER, move |_| {
                let provider = inner.upgrade().expect("it is in use");
                provider.resolve(NUMBER).map(|n| *n)
            });
            provider.register(WORD, |_| Ok::<_, Infallible>("w".to_owned()));
            order.race([
                body(&provider, |p| assert!(p.resolve(NUMBER).is_err())),
                body(&provider, |p| assert!(p.resolve(WORD).is_ok())),
            ]);
        });
    }
}

mod controls {
    use kg_core::sync::control::Control;
    use loom_tests::{STUCK, caught};

    #[test]
    fn one_who_waited_and_does_not_look_again() {
        let model = "models::a_factory_runs_once_and_all_get_the_same_part";
        caught(Control::ForgottenPart, model, "a factory ran again");
    }

    #[test]
    fn a_factory_that_a_failure_uses_up() {
        let model = "models::a_failure_is_told_to_one_and_not_kept";
        caught(Control::SpentFactory, model, "a failure was kept");
    }

    #[test]
    fn a_builder_that_does_not_know_itself() {
        let model = "models::a_factory_that_asks_the_provider_itself_waits_for_nobody";
        caught(Control::ForgottenBuilder, model, STUCK);
    }
}
