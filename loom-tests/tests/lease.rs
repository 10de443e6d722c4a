//! Expiry races keep-alive, and both sides believe the same: a call that was kept is not followed by a lapse that was decided
//! before it, and whoever lapsed is told so.

#![cfg(loom)]

mod models {
    use std::sync::Arc;

    use kg_core::lease::{Beat, Lease, LeaseId, LeaseTable, Pulse, Said, Steward};
    use kg_core::model::{Health, Name};
    use loom_tests::{body, check_race};

    const ID: LeaseId = LeaseId(1);

    /// Also when the holder calls and the steward looks: the lease is due just then.
    const TTL: u32 = 1_000;
    const DUE: u64 = 1_000;

    /// Whether the holder is told that its call was in time.
    fn is_kept(pulse: &Pulse, now: u64) -> bool {
        pulse.beat(now, Said::Up) != Beat::Lapsed
    }

    /// Whether the steward lapses the lease.
    fn is_lapsed(pulse: &Pulse) -> bool {
        let overdue = pulse.heard().filter(|heard| heard.at_ms + DUE <= DUE);
        overdue.is_some_and(|heard| pulse.lapse(heard))
    }

    #[test]
    fn a_call_is_kept_or_the_lease_lapses_and_never_both() {
        check_race(2, 3, |order| {
            let pulse = Arc::new(Pulse::new(0, Said::Up));
            let [kept, lapsed] = order.race([
                body(&pulse, |pulse| is_kept(pulse, DUE)),
                body(&pulse, is_lapsed),
            ]);
            assert_ne!(kept, lapsed, "they believe different things");
            assert_eq!(pulse.heard().is_some(), kept, "the word says otherwise");
        });
    }

    #[test]
    fn all_who_call_are_told_the_same() {
        check_race(3, 2, |order| {
            let pulse = Arc::new(Pulse::new(0, Said::Up));
            let [one, other, lapsed] = order.race([
                body(&pulse, |pulse| is_kept(pulse, DUE)),
                body(&pulse, |pulse| is_kept(pulse, DUE)),
                body(&pulse, is_lapsed),
            ]);
            assert_eq!(
                (one, other),
                (!lapsed, !lapsed),
                "they believe different things"
            );
        });
    }

    /// Also not if the call brings the time that stood there already: it read the clock, and stood still for a whole ttl
    /// before it came here.
    #[test]
    fn a_look_from_before_a_call_lapses_nothing() {
        check_race(2, 3, |order| {
            let pulse = Arc::new(Pulse::new(0, Said::Up));
            let looked = pulse.heard().expect("it lives");
            let [kept, lapsed] = order.race([
                body(&pulse, |pulse| is_kept(pulse, 0)),
                body(&pulse, move |pulse| pulse.lapse(looked)),
            ]);
            assert_ne!(kept, lapsed, "they believe different things");
        });
    }

    #[test]
    fn one_who_lapsed_is_told_so_and_comes_back() {
        check_race(2, 2, |order| {
            let table = Arc::new(LeaseTable::default());
            let service = Name::parse("name", "checkout").expect("a valid name");
            let lease = Lease::new(ID, service, TTL, 0, Said::Up, Health::Up);
            table.hold(lease).expect("there is room");
            let [kept, lapsed] = order.race([
                body(&table, |table| {
                    let call = table.keep_alive(ID, DUE, Said::Up);
                    let kept = call.expect("it is held").beat != Beat::Lapsed;
                    if !kept {
                        table.revive(ID, DUE, Said::Up);
                    }
                    kept
                }),
                body(&table, |table| {
                    let sweep = Steward::default().sweep(table, DUE);
                    sweep.transitions.iter().any(|one| one.to == Health::Down)
                }),
            ]);
            assert_ne!(kept, lapsed, "they believe different things");
            let lease = table.get(ID).expect("it is held");
            assert!(lease.heard().is_some(), "it did not come back");
        });
    }
}

mod controls {
    use kg_core::sync::control::Control;
    use loom_tests::caught;

    const KEPT_OR_LAPSED: &str = "models::a_call_is_kept_or_the_lease_lapses_and_never_both";
    const DIFFERENT: &str = "they believe different things";

    #[test]
    fn a_lapse_over_whatever_arrived() {
        caught(Control::BlindLapse, KEPT_OR_LAPSED, DIFFERENT);
    }

    #[test]
    fn a_call_in_two_steps() {
        caught(Control::TornBeat, KEPT_OR_LAPSED, DIFFERENT);
    }

    #[test]
    fn a_call_that_leaves_no_trace() {
        let model = "models::a_look_from_before_a_call_lapses_nothing";
        caught(Control::UncountedBeat, model, DIFFERENT);
    }
}
