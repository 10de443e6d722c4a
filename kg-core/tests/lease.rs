//! Leases under schedules of grants, calls, silences and standstills: what the steward says is what a naive oracle says, sweep
//! by sweep, and the promises of leases hold.

use std::collections::BTreeMap;

use kg_core::lease::{
    Beat, GuardState, Lease, LeaseId, LeaseTable, STALL_MS, Said, Steward, Sweep,
};
use kg_core::model::{Health, Name};
use proptest::prelude::*;

const FIVE_MINUTES_MS: u64 = 300_000;
const TEN_MINUTES_MS: u64 = 600_000;

/// Everything that ever happened to a lease, as far as anything follows from it.
struct Naive {
    ttl: u64,
    called: u64,
    said: Said,
    gap: u64,
    lapsed: Option<u64>,
    floor: u64,
    /// Taken over as down, and not called for since.
    was_down: bool,
    /// What it was from when on, without repetitions.
    raw: Vec<(u64, Health)>,
    shown: Health,
}

/// The rules once more, without atomics and bounds.
#[derive(Default)]
struct Oracle {
    leases: BTreeMap<u64, Naive>,
    holding_since: Option<u64>,
    gave_up: bool,
    floor: u64,
    swept: u64,
}

impl Oracle {
    fn hold(&mut self, id: u64, ttl: u64, now: u64, said: Said, shown: Health) {
        let naive = Naive {
            ttl,
            called: now,
            said,
            gap: 0,
            lapsed: None,
            floor: 0,
            was_down: shown == Health::Down,
            raw: Vec::from_iter((shown != Health::Unknown).then_some((0, shown))),
            shown,
        };
        self.leases.insert(id, naive);
    }

    /// Whether the lease was kept, or has come back.
    fn call(&mut self, id: u64, now: u64, said: Said) -> bool {
        let lease = self.leases.get_mut(&id).expect("it is held");
        let kept = lease.lapsed.take().is_none();
        if kept {
            let gap = (now - lease.called).min(lease.ttl);
            lease.gap = gap.max(lease.gap - lease.gap / 8);
        }
        (lease.called, lease.said, lease.was_down) = (now, said, false);
        kept
    }

    fn sweep(&mut self, now: u64) -> Vec<(u64, Health, Health)> {
        let deaf = now - self.swept;
        if deaf > STALL_MS {
            self.floor = now;
        }
        for lease in self.leases.values_mut() {
            lease.floor = lease.floor.max(self.floor);
            if 2 * deaf > lease.ttl {
                lease.floor = now;
            }
        }
        self.swept = now;
        let may_lapse = self.may_lapse(now);
        let mut changes = Vec::new();
        for (id, lease) in &mut self.leases {
            let is_overdue = now - lease.called.max(lease.floor) >= lease.ttl;
            if lease.lapsed.is_none() && is_overdue && may_lapse {
                lease.lapsed = Some(now);
            }
            let raw = lease.lapsed.map_or(lease.said.into(), |_| Health::Down);
            if lease.raw.last().is_none_or(|(_, before)| *before != raw) {
                lease.raw.push((now, raw));
            }
            let to = lease.damped(now, raw);
            if to != lease.shown {
                changes.push((*id, lease.shown, to));
                lease.shown = to;
            }
        }
        changes
    }

    fn may_lapse(&mut self, now: u64) -> bool {
        let (mut all, mut odd) = (0, 0);
        for lease in self.leases.values() {
            let silent = now - lease.called.max(lease.floor);
            let is_odd = match lease.lapsed {
                _ if lease.was_down => continue,
                Some(lapsed) if now - lapsed >= lease.ttl => continue,
                Some(_) => true,
                None => {
                    let patience = (lease.ttl / 2).max(lease.gap + lease.gap / 4);
                    silent > patience || silent >= lease.ttl
                }
            };
            all += 1;
            odd += u64::from(is_odd);
        }
        if all < 10 || 2 * odd < all {
            (self.holding_since, self.gave_up) = (None, false);
        } else if !self.gave_up {
            let since = *self.holding_since.get_or_insert(now);
            if now - since >= FIVE_MINUTES_MS {
                (self.holding_since, self.gave_up) = (None, true);
            }
        }
        self.holding_since.is_none()
    }
}

impl Naive {
    fn damped(&self, now: u64, raw: Health) -> Health {
        if self.shown == Health::Unknown || raw >= self.shown {
            return raw;
        }
        let worse =
            |pair: &&[(u64, Health)]| pair[1].1 > pair[0].1 && now - pair[1].0 < TEN_MINUTES_MS;
        let worsenings = self.raw.windows(2).filter(worse).count().min(8);
        let wait = match worsenings {
            0..3 => 0,
            n => (self.ttl << (n - 2)).min(FIVE_MINUTES_MS),
        };
        let is_due = |health: &Health| {
            let good = self.raw.iter().rev().take_while(|(_, raw)| raw <= health);
            good.last().is_some_and(|(since, _)| now - since >= wait)
        };
        let better = [Health::Up, Health::Degraded].into_iter();
        let due = better.filter(|health| *health < self.shown).find(is_due);
        due.unwrap_or(self.shown)
    }
}

/// One who holds a lease and calls.
struct Holder {
    id: u64,
    ttl: u64,
    /// Milliseconds between its calls, in turn.
    rhythm: Vec<u64>,
    calls: usize,
    next_call: u64,
    last_call: u64,
    is_mute: bool,
    says: Said,
}

#[derive(Default)]
struct World {
    now: u64,
    table: LeaseTable,
    steward: Steward,
    oracle: Oracle,
    holders: Vec<Holder>,
    granted: u64,
}

impl World {
    /// A holder of a new lease, which calls after these times, in turn.
    fn grant(&mut self, ttl: u64, rhythm: Vec<u64>, shown: Health) {
        self.granted += 1;
        let (id, ttl_ms) = (self.granted, u32::try_from(ttl).expect("it is short"));
        let service = Name::parse("name", "checkout").expect("a valid name");
        let lease = Lease::new(LeaseId(id), service, ttl_ms, self.now, Said::Up, shown);
        self.table.hold(lease).expect("there is room");
        self.oracle.hold(id, ttl, self.now, Said::Up, shown);
        self.holders.push(Holder {
            id,
            ttl,
            next_call: self.now + rhythm[0],
            rhythm,
            calls: 0,
            last_call: self.now,
            is_mute: false,
            says: Said::Up,
        });
        // The next sweep that is due may be too late for a shorter ttl than all before.
        self.sweep();
    }

    fn sweep(&mut self) -> Sweep {
        let sweep = self.steward.sweep(&self.table, self.now);
        let expected = self.oracle.sweep(self.now);
        let transitions = sweep.transitions.iter();
        let said: Vec<_> = transitions.map(|t| (t.id.0, t.from, t.to)).collect();
        assert_eq!(said, expected, "at {}", self.now);
        let is_holding = matches!(sweep.guard, GuardState::Holding { .. });
        assert_eq!(is_holding, self.oracle.holding_since.is_some());
        sweep
    }

    /// Lets the time go on to the next sweep that is due, and sweeps.
    fn tick(&mut self) -> Sweep {
        let now = self.now + self.steward.next_sweep_ms();
        self.calls_until(now);
        self.now = now;
        self.sweep()
    }

    fn run(&mut self, ms: u64) -> Vec<Sweep> {
        let end = self.now + ms;
        let mut sweeps = Vec::new();
        while self.now < end {
            sweeps.push(self.tick());
        }
        sweeps
    }

    /// All calls that are due until then come in time.
    fn calls_until(&mut self, end: u64) {
        for at in 0..self.holders.len() {
            while !self.holders[at].is_mute && self.holders[at].next_call <= end {
                self.call(at, self.holders[at].next_call);
            }
        }
    }

    fn call(&mut self, at: usize, now: u64) {
        let holder = &mut self.holders[at];
        let (id, says) = (LeaseId(holder.id), holder.says);
        let call = self.table.keep_alive(id, now, says).expect("it is held");
        let kept = call.beat != Beat::Lapsed;
        assert_eq!(kept, self.oracle.call(holder.id, now, says), "at {now}");
        if !kept {
            self.table.revive(id, now, says).expect("it is held");
        }
        holder.calls += 1;
        holder.last_call = now;
        holder.next_call = now + holder.rhythm[holder.calls % holder.rhythm.len()];
    }

    fn mute(&mut self, at: usize) {
        self.holders[at].is_mute = true;
    }

    /// It calls at once.
    fn unmute(&mut self, at: usize) {
        self.holders[at].is_mute = false;
        self.call(at, self.now);
    }

    fn say(&mut self, at: usize, says: Said) {
        self.holders[at].says = says;
        if !self.holders[at].is_mute {
            self.call(at, self.now);
        }
    }

    /// This process stands still: nobody is heard, and nobody sweeps.
    fn stall(&mut self, ms: u64, calls_come_first: bool) {
        self.now += ms;
        let late = |world: &mut Self| {
            for at in 0..world.holders.len() {
                if !world.holders[at].is_mute && world.holders[at].next_call <= world.now {
                    world.call(at, world.now);
                }
            }
        };
        if calls_come_first {
            late(self);
        }
        self.sweep();
        late(self);
    }

    fn release(&mut self, at: usize) {
        let id = self.holders.remove(at).id;
        self.table.release(LeaseId(id));
        self.oracle.leases.remove(&id);
    }
}

#[derive(Clone, Debug)]
enum Act {
    Grant {
        ttl: u64,
        percent: u64,
        shown: Health,
    },
    Mute(usize),
    Unmute(usize),
    MuteAll,
    UnmuteAll,
    Say(usize, Said),
    /// It goes up and down so often, and stays for so long each time.
    Flap(usize, u64, u64),
    Release(usize),
    Run(u64),
    Stall(u64, bool),
    Excuse,
}

fn act() -> impl Strategy<Value = Act> {
    use Health::{Degraded, Down, Unknown, Up};
    let who = 0..1_000_usize;
    let said = prop::sample::select(vec![Said::Up, Said::Degraded, Said::Down]);
    let shown = prop::sample::select(vec![Unknown, Unknown, Up, Degraded, Down]);
    let grant = (200..5_000_u64, 20..110_u64, shown);
    prop_oneof![
        8 => grant.prop_map(|(ttl, percent, shown)| Act::Grant { ttl, percent, shown }),
        3 => who.clone().prop_map(Act::Mute),
        2 => who.clone().prop_map(Act::Unmute),
        1 => Just(Act::MuteAll),
        1 => Just(Act::UnmuteAll),
        2 => (who.clone(), said).prop_map(|(who, said)| Act::Say(who, said)),
        2 => (who.clone(), 1..12_u64, 1..2_000_u64).prop_map(|(who, times, ms)| Act::Flap(who, times, ms)),
        1 => who.prop_map(Act::Release),
        6 => (0..8_000_u64).prop_map(Act::Run),
        1 => (0..400_000_u64).prop_map(Act::Run),
        2 => (0..6_000_u64, any::<bool>()).prop_map(|(ms, first)| Act::Stall(ms, first)),
        1 => Just(Act::Excuse),
    ]
}

impl World {
    fn play(&mut self, act: &Act) {
        let some = |who: usize| who.checked_rem(self.holders.len());
        match *act {
            Act::Grant {
                ttl,
                percent,
                shown,
            } => {
                self.grant(ttl, vec![ttl * percent / 100], shown);
            }
            Act::Mute(who) => some(who).into_iter().for_each(|at| self.mute(at)),
            Act::Unmute(who) => some(who).into_iter().for_each(|at| self.unmute(at)),
            Act::MuteAll => (0..self.holders.len()).for_each(|at| self.mute(at)),
            Act::UnmuteAll => (0..self.holders.len()).for_each(|at| self.unmute(at)),
            Act::Say(who, said) => some(who).into_iter().for_each(|at| self.say(at, said)),
            Act::Flap(who, times, ms) => {
                let Some(at) = some(who) else { return };
                for says in [Said::Down, Said::Up]
                    .into_iter()
                    .cycle()
                    .take(2 * times as usize)
                {
                    self.say(at, says);
                    self.run(ms);
                }
            }
            Act::Release(who) => some(who).into_iter().for_each(|at| self.release(at)),
            Act::Run(ms) => drop(self.run(ms)),
            Act::Stall(ms, first) => self.stall(ms, first),
            Act::Excuse => {
                self.steward.excuse(self.now);
                self.oracle.floor = self.now;
            }
        }
    }
}

/// Leases of one ttl, each called for three times in it, that began at different times.
fn alike(count: usize, ttl: u64, phases: &[u64]) -> World {
    let mut world = World::default();
    for phase in phases.iter().cycle().take(count) {
        world.grant(ttl, vec![ttl / 3], Health::Unknown);
        world.run(phase % (ttl / 3));
    }
    world.run(2 * ttl);
    world
}

/// How many times a lease may be shown better within ten minutes: three times free, then each time after a longer wait.
fn improvements_in_ten_minutes(ttl: u64) -> usize {
    let wait = |worsenings: u32| (ttl << (worsenings.min(8) - 2)).min(FIVE_MINUTES_MS);
    let waits = (3..).scan(0, |sum, worsenings| {
        *sum += wait(worsenings);
        Some(*sum)
    });
    3 + waits.take_while(|sum| *sum <= TEN_MINUTES_MS).count()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn every_sweep_says_what_the_oracle_says(acts in prop::collection::vec(act(), 1..60)) {
        let mut world = World::default();
        for act in &acts {
            world.play(act);
        }
        world.run(2_000);
    }

    #[test]
    fn a_lease_that_is_called_for_within_its_ttl_never_goes_down(
        leases in prop::collection::vec((200..5_000_u64, prop::collection::vec(1..100_u64, 1..8)), 1..25),
    ) {
        let mut world = World::default();
        for (ttl, percents) in leases {
            let rhythm = percents.iter().map(|percent| (ttl * percent / 100).max(1));
            world.grant(ttl, rhythm.collect(), Health::Unknown);
        }
        for sweep in world.run(20_000) {
            prop_assert!(sweep.transitions.iter().all(|one| one.to != Health::Down));
        }
    }

    #[test]
    fn a_lease_that_is_called_for_no_more_is_down_within_a_fifth_over_its_ttl(
        ttls in prop::collection::vec(prop_oneof![200..1_500_u64, 200..60_000_u64], 1..20),
        run in 1..60_000_u64,
        who in any::<prop::sample::Index>(),
    ) {
        let mut world = World::default();
        for ttl in &ttls {
            world.grant(*ttl, vec![ttl / 3], Health::Unknown);
        }
        world.run(run);
        let who = who.index(ttls.len());
        world.mute(who);
        let (ttl, last_call) = (world.holders[who].ttl, world.holders[who].last_call);
        let down = loop {
            if let [one] = &*world.tick().transitions {
                prop_assert_eq!((one.id.0, one.to), (world.holders[who].id, Health::Down));
                break world.now - last_call;
            }
        };
        prop_assert!(ttl <= down && down <= ttl * 12 / 10, "{} of {}", down, ttl);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    #[test]
    fn when_nine_in_ten_fall_silent_all_lapse_in_one_sweep_after_five_minutes(
        count in 10..40_usize,
        ttl in 1_000..20_000_u64,
        phases in prop::collection::vec(0..10_000_u64, 1..8),
    ) {
        let mut world = alike(count, ttl, &phases);
        let silent = (count * 9).div_ceil(10);
        (0..silent).for_each(|at| world.mute(at));
        let mut since = None;
        let lapsed = loop {
            let sweep = world.tick();
            if let GuardState::Holding { since_ms } = sweep.guard {
                since = Some(since_ms);
            }
            if !sweep.transitions.is_empty() {
                break sweep;
            }
        };
        let since = since.expect("the guard held");
        prop_assert!(world.now - since >= FIVE_MINUTES_MS);
        prop_assert!(world.now - since < FIVE_MINUTES_MS + 251);
        prop_assert_eq!(lapsed.guard, GuardState::GaveUp);
        let down: Vec<u64> = lapsed.transitions.iter().map(|one| one.id.0).collect();
        let expected: Vec<u64> = (1..=silent as u64).collect();
        prop_assert_eq!(down, expected);
        // It does not begin again with those that are down already, and is ready once they no longer count.
        let sweeps = world.run(2 * ttl);
        prop_assert!(sweeps.iter().all(|sweep| sweep.transitions.is_empty()));
        prop_assert_eq!(sweeps.last().map(|sweep| sweep.guard), Some(GuardState::Idle));
    }

    #[test]
    fn when_enough_return_the_guard_ends_and_the_others_lapse_in_one_sweep(
        count in 10..40_usize,
        ttl in 1_000..20_000_u64,
        phases in prop::collection::vec(0..10_000_u64, 1..8),
        pause in 0..200_000_u64,
    ) {
        let mut world = alike(count, ttl, &phases);
        let silent = (count * 9).div_ceil(10);
        (0..silent).for_each(|at| world.mute(at));
        let sweeps = world.run(2 * ttl + pause);
        prop_assert!(sweeps.iter().all(|sweep| sweep.transitions.is_empty()));
        prop_assert!(world.oracle.holding_since.is_some());
        // So many stay away that they are just fewer than half.
        let away = (count - 1) / 2;
        (away..silent).for_each(|at| world.unmute(at));
        let sweep = world.tick();
        prop_assert_eq!((sweep.guard, sweep.guard_changed), (GuardState::Idle, true));
        let down: Vec<u64> = sweep.transitions.iter().map(|one| one.id.0).collect();
        let expected: Vec<u64> = (1..=away as u64).collect();
        prop_assert_eq!(down, expected);
    }

    #[test]
    fn a_lease_that_flaps_is_shown_better_a_few_times_only(
        ttl in 1_000..30_000_u64,
        stays in prop::collection::vec(1..40_000_u64, 10..100),
    ) {
        let mut world = World::default();
        world.grant(ttl, vec![ttl / 3], Health::Unknown);
        let mut improved = Vec::new();
        let says = [Said::Down, Said::Up].into_iter().cycle();
        for (stay, says) in stays.iter().cycle().take(200).zip(says) {
            world.say(0, says);
            let end = world.now + stay;
            while world.now < end {
                let sweep = world.tick();
                improved.extend(sweep.transitions.iter().any(|one| one.to < one.from).then_some(world.now));
            }
        }
        let most = improvements_in_ten_minutes(ttl);
        for (place, at) in improved.iter().enumerate() {
            let recent = improved[..=place].iter().filter(|before| at - **before < TEN_MINUTES_MS);
            prop_assert!(recent.count() <= most, "more than {} times by {}", most, at);
        }
    }
}

#[test]
fn of_a_ttl_of_ten_seconds_eight_improvements_fit_into_ten_minutes() {
    assert_eq!(improvements_in_ten_minutes(10_000), 8);
}
