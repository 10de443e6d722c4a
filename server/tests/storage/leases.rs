//! The rows of leases, in memory, in SQLite and in PostgreSQL: one suite that all three are held to, and what each owes
//! beside it.

use crate::place::Place;
use crate::postgres::server;
use amadeus::storage::{
    Applied, Edit, LEASE_PAGE, LeaseRow, LeaseRows, LeaseRowsError, OpenOptions, Opened, ServerId,
    create_from_backup, open,
};
use kg_core::lease::LeaseId;
use kg_core::model::{Health, Name};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::time::{Duration, Instant};
use testbed::{Mode, Proxy};
use tokio::task::JoinSet;

const A: ServerId = ServerId(1);
/// The sign of a signed number must make no difference.
const B: ServerId = ServerId(u64::MAX);

/// Rows of a new store, as two servers have them. Where only one process can have them, they share a handle.
trait Subject {
    async fn fresh(&mut self) -> [LeaseRows; 2];
}

async fn rows_of(opened: &Opened) -> LeaseRows {
    let (rows, notice) = LeaseRows::open(opened).await.expect("they open");
    assert_eq!(notice, None);
    rows
}

struct InMemory;

impl Subject for InMemory {
    async fn fresh(&mut self) -> [LeaseRows; 2] {
        let opened = open("memory:", &OpenOptions::default()).await;
        let rows = rows_of(&opened.expect("it opens")).await;
        [rows.clone(), rows]
    }
}

/// The places of all stores so far, which must stay.
#[derive(Default)]
struct InFile(Vec<(Place, Opened)>);

impl Subject for InFile {
    async fn fresh(&mut self) -> [LeaseRows; 2] {
        let place = Place::new();
        let opened = place.open().await.expect("it opens");
        let rows = rows_of(&opened).await;
        self.0.push((place, opened));
        [rows.clone(), rows]
    }
}

struct Shared(&'static testbed::Postgres);

impl Subject for Shared {
    async fn fresh(&mut self) -> [LeaseRows; 2] {
        let url = self.0.database();
        let one = open(&url, &OpenOptions::default()).await.expect("it opens");
        let other = open(&url, &OpenOptions::default()).await.expect("it opens");
        [rows_of(&one).await, rows_of(&other).await]
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn lease_rows_in_memory_conform() {
    conformance(&mut InMemory).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn lease_rows_in_sqlite_conform() {
    conformance(&mut InFile::default()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn lease_rows_in_postgres_conform() {
    let Some(server) = server() else { return };
    conformance(&mut Shared(server)).await;
}

async fn conformance(subject: &mut impl Subject) {
    a_grant_may_be_repeated_and_is_refused_to_another_service(subject.fresh().await).await;
    a_take_moves_a_lease_whoever_has_it(subject.fresh().await).await;
    only_its_owner_shows_a_lease(subject.fresh().await).await;
    a_revoked_lease_stays_gone(subject.fresh().await).await;
    edits_are_carried_out_in_order_and_refused_alone(subject.fresh().await).await;
    a_silent_server_is_adopted_once(subject.fresh().await).await;
    a_server_that_left_is_adopted_at_once(subject.fresh().await).await;
    who_is_no_member_changes_nothing(subject.fresh().await).await;
    each_server_learns_every_change_once_and_in_order(subject.fresh().await).await;
    whoever_read_up_to_a_number_missed_nothing_before_it(subject.fresh().await).await;
    of_an_adoption_and_a_late_vouch_one_wins(subject.fresh().await).await;
    ten_thousand_leases_are_granted_at_once(subject.fresh().await).await;
    rows_that_end_before_they_were_read_are_broken(subject.fresh().await).await;
}

fn name(text: &str) -> Name {
    Name::parse("service", text).expect("a valid name")
}

fn id(number: u64) -> LeaseId {
    LeaseId(number)
}

fn grant(number: u64, service: &str, ttl_ms: u32) -> Edit {
    Edit::Grant {
        id: id(number),
        service: name(service),
        ttl_ms,
    }
}

fn take(number: u64) -> Edit {
    Edit::Take { id: id(number) }
}

fn show(number: u64, health: Health) -> Edit {
    Edit::Show {
        id: id(number),
        health,
    }
}

fn revoke(number: u64) -> Edit {
    Edit::Revoke { id: id(number) }
}

fn adopt(server: ServerId, beat: i64) -> Edit {
    Edit::Adopt { server, beat }
}

async fn apply(rows: &LeaseRows, me: ServerId, edits: &[Edit]) -> Applied {
    let applied = rows.apply(me, edits).await.expect("it is reached");
    assert!(applied.member);
    for row in &applied.changed {
        assert_eq!(row.seq, applied.seq, "what is changed carries the number");
    }
    assert!(applied.changed.is_sorted_by_key(|row| row.id));
    applied
}

/// Applies an edit that is refused, and changes nothing.
async fn refused(rows: &LeaseRows, me: ServerId, edit: Edit) {
    let before = all(rows, me).await;
    let applied = apply(rows, me, std::slice::from_ref(&edit)).await;
    assert_eq!(
        (applied.changed.len(), applied.refused.len()),
        (0, 1),
        "{edit:?}"
    );
    assert_eq!(all(rows, me).await, before, "{edit:?}");
}

/// Applies an edit of one lease, and returns it as it is then.
async fn done(rows: &LeaseRows, me: ServerId, edit: Edit) -> LeaseRow {
    let applied = apply(rows, me, std::slice::from_ref(&edit)).await;
    assert_eq!(applied.refused, [], "{edit:?}");
    assert_eq!(applied.changed.len(), 1, "{edit:?}");
    applied.changed[0].clone()
}

/// All rows, by their ids.
async fn all(rows: &LeaseRows, me: ServerId) -> BTreeMap<LeaseId, LeaseRow> {
    let seen = rows.vouch(me, 0).await.expect("it is reached");
    assert!(seen.member && seen.changed.len() < LEASE_PAGE);
    let rows = seen.changed.into_iter();
    rows.map(|row| (row.id, row)).collect()
}

async fn beat_of(rows: &LeaseRows, me: ServerId, server: ServerId) -> Option<i64> {
    let seen = rows.vouch(me, 0).await.expect("it is reached");
    assert!(seen.servers.is_sorted());
    let found = seen.servers.iter().find(|(known, _)| *known == server);
    found.map(|(_, beat)| *beat)
}

async fn both_joined([one, other]: &[LeaseRows; 2]) {
    one.join(A).await.expect("it is reached");
    other.join(B).await.expect("it is reached");
}

async fn a_grant_may_be_repeated_and_is_refused_to_another_service(both: [LeaseRows; 2]) {
    both_joined(&both).await;
    let [one, other] = &both;
    let longest = "n".repeat(256);
    let row = done(one, A, grant(u64::MAX, &longest, u32::MAX)).await;
    let expected = LeaseRow {
        id: id(u64::MAX),
        service: name(&longest),
        ttl_ms: u32::MAX,
        owner: A,
        health: Health::Unknown,
        gone: false,
        seq: 1,
    };
    assert_eq!(row, expected);
    done(one, A, show(u64::MAX, Health::Up)).await;
    // Also at another server, which the client was moved to. What was shown stays.
    let row = done(other, B, grant(u64::MAX, &longest, 5)).await;
    let expected = LeaseRow {
        ttl_ms: 5,
        owner: B,
        health: Health::Up,
        seq: 3,
        ..expected
    };
    assert_eq!(row, expected);
    refused(other, B, grant(u64::MAX, "another", 5)).await;
    done(one, A, revoke(u64::MAX)).await;
    refused(other, B, grant(u64::MAX, &longest, 5)).await;
}

async fn a_take_moves_a_lease_whoever_has_it(both: [LeaseRows; 2]) {
    both_joined(&both).await;
    let [one, other] = &both;
    let granted = done(one, A, grant(1, "a", 5)).await;
    let row = done(other, B, take(1)).await;
    assert_eq!(
        row,
        LeaseRow {
            owner: B,
            seq: 2,
            ..granted
        }
    );
    assert_eq!(done(other, B, take(1)).await.owner, B);
    refused(other, B, take(2)).await;
    done(one, A, revoke(1)).await;
    refused(other, B, take(1)).await;
}

async fn only_its_owner_shows_a_lease(both: [LeaseRows; 2]) {
    both_joined(&both).await;
    let [one, other] = &both;
    let granted = done(one, A, grant(1, "a", 5)).await;
    for health in [Health::Up, Health::Degraded, Health::Down, Health::Unknown] {
        let row = done(one, A, show(1, health)).await;
        assert_eq!(
            row,
            LeaseRow {
                health,
                seq: row.seq,
                ..granted.clone()
            }
        );
    }
    refused(other, B, show(1, Health::Up)).await;
    refused(one, A, show(2, Health::Up)).await;
    done(other, B, take(1)).await;
    refused(one, A, show(1, Health::Up)).await;
    done(other, B, show(1, Health::Up)).await;
    done(other, B, revoke(1)).await;
    refused(other, B, show(1, Health::Down)).await;
}

async fn a_revoked_lease_stays_gone(both: [LeaseRows; 2]) {
    both_joined(&both).await;
    let [one, other] = &both;
    let granted = done(one, A, grant(1, "a", 5)).await;
    // Whoever has it.
    let row = done(other, B, revoke(1)).await;
    assert_eq!(
        row,
        LeaseRow {
            gone: true,
            seq: 2,
            ..granted
        }
    );
    let again = apply(one, A, &[revoke(1)]).await;
    assert_eq!((again.changed, again.refused), (vec![], vec![]));
    assert_eq!(all(one, A).await[&id(1)], row, "it is as it was");
    refused(one, A, revoke(2)).await;
}

async fn edits_are_carried_out_in_order_and_refused_alone(both: [LeaseRows; 2]) {
    both_joined(&both).await;
    let [one, other] = &both;
    apply(other, B, &[grant(7, "b", 5), grant(8, "b", 5)]).await;
    let edits = [
        grant(1, "a", 5),
        grant(2, "a", 5),
        // Of one kind and the same lease: the second must see what the first made of it.
        grant(1, "other", 6),
        grant(1, "a", 7),
        show(9, Health::Up),
        show(1, Health::Up),
        show(1, Health::Degraded),
        show(7, Health::Down),
        take(7),
        show(7, Health::Down),
        revoke(2),
        revoke(2),
        take(2),
        grant(2, "a", 5),
        grant(3, "a", 5),
    ];
    let applied = apply(one, A, &edits).await;
    assert_eq!(applied.refused, [1, 9, 7, 2, 2].map(id));
    let told: Vec<_> = applied
        .changed
        .iter()
        .map(|row| (row.id.0, row.owner, row.ttl_ms, row.health, row.gone))
        .collect();
    let expected = [
        (1, A, 7, Health::Degraded, false),
        (2, A, 5, Health::Unknown, true),
        (3, A, 5, Health::Unknown, false),
        (7, A, 5, Health::Down, false),
    ];
    assert_eq!(told, expected);
    let seen = all(other, B).await;
    assert_eq!(seen.len(), 5);
    assert!(applied.changed.iter().all(|row| seen[&row.id] == *row));
    assert_eq!((seen[&id(8)].owner, seen[&id(8)].seq), (B, 1), "untouched");
    let nothing = apply(one, A, &[]).await;
    assert_eq!((nothing.changed, nothing.refused), (vec![], vec![]));
}

async fn a_silent_server_is_adopted_once(both: [LeaseRows; 2]) {
    both_joined(&both).await;
    let [one, other] = &both;
    let edits = [grant(1, "a", 5), grant(2, "a", 5), grant(3, "a", 5)];
    apply(one, A, &edits).await;
    apply(one, A, &[show(1, Health::Up), revoke(2)]).await;
    apply(other, B, &[grant(4, "b", 5)]).await;
    let beat = beat_of(other, B, A).await.expect("it joined");
    let late = apply(other, B, &[adopt(A, beat - 1), adopt(A, beat + 1)]).await;
    assert_eq!((late.changed, late.refused), (vec![], vec![]));
    let oneself = beat_of(other, B, B).await.expect("it joined");
    assert_eq!(apply(other, B, &[adopt(B, oneself)]).await.changed, []);
    // What came just before goes with it.
    let adopted = apply(other, B, &[take(3), adopt(A, beat), adopt(A, beat)]).await;
    let told: Vec<_> = adopted
        .changed
        .iter()
        .map(|row| (row.id.0, row.owner, row.health))
        .collect();
    let expected = [(1, B, Health::Up), (3, B, Health::Unknown)];
    assert_eq!(told, expected);
    assert_eq!(all(other, B).await[&id(2)].owner, A, "it was gone");
    assert_eq!(beat_of(other, B, A).await, None);
    assert_eq!(apply(other, B, &[adopt(A, beat)]).await.changed, []);
}

async fn a_server_that_left_is_adopted_at_once(both: [LeaseRows; 2]) {
    both_joined(&both).await;
    let [one, other] = &both;
    apply(one, A, &[grant(1, "a", 5)]).await;
    one.leave(A).await.expect("it is reached");
    let seen = one.vouch(A, 0).await.expect("it is reached");
    assert!(!seen.member, "who left vouches no more");
    assert_eq!(beat_of(other, B, A).await, Some(-1));
    let adopted = apply(other, B, &[adopt(A, -1)]).await;
    assert_eq!(adopted.changed.len(), 1);
    // Who never joined has nothing to leave.
    one.leave(A).await.expect("it is reached");
    assert_eq!(beat_of(other, B, A).await, None);
}

async fn who_is_no_member_changes_nothing(both: [LeaseRows; 2]) {
    let [one, other] = &both;
    other.join(B).await.expect("it is reached");
    apply(other, B, &[grant(1, "a", 5)]).await;
    let seen = one.vouch(A, 0).await.expect("it is reached");
    assert!(!seen.member && seen.servers.is_empty() && seen.changed.is_empty());
    assert_eq!(beat_of(other, B, A).await, None, "a vouch does not join");
    let beat = beat_of(other, B, B).await.expect("it joined");
    let edits = [grant(2, "a", 5), take(1), revoke(1), adopt(B, beat)];
    let applied = one.apply(A, &edits).await.expect("it is reached");
    assert!(!applied.member);
    assert_eq!(
        (applied.changed, applied.refused),
        (vec![], vec![id(2), id(1), id(1)])
    );
    let seen = all(other, B).await;
    assert_eq!((seen.len(), seen[&id(1)].seq), (1, 1));
    // It joins again, and may.
    one.join(A).await.expect("it is reached");
    assert_eq!(beat_of(one, A, A).await, Some(1));
    done(one, A, take(1)).await;
}

async fn each_server_learns_every_change_once_and_in_order(both: [LeaseRows; 2]) {
    both_joined(&both).await;
    let handles = [(&both[0], A), (&both[1], B)];
    let mut since = [0, 0];
    let mut learned: [Vec<(u64, u64)>; 2] = [vec![], vec![]];
    let mut made: Vec<(u64, u64)> = Vec::new();
    for round in 0..20_u64 {
        let (rows, me) = handles[(round % 2) as usize];
        let edits = [grant(100 + round, "a", 5), grant(round / 3, "a", 5)];
        let applied = apply(rows, me, &edits).await;
        made.extend(applied.changed.iter().map(|row| (row.seq, row.id.0)));
        for (n, (rows, me)) in handles.iter().enumerate() {
            // The second looks less often: what changed twice in between it learns once, as it is.
            if n == 1 && round % 3 != 2 {
                continue;
            }
            let seen = rows.vouch(*me, since[n]).await.expect("it is reached");
            assert!(
                seen.changed
                    .iter()
                    .all(|row| since[n] < row.seq && row.seq <= seen.seq)
            );
            learned[n].extend(seen.changed.iter().map(|row| (row.seq, row.id.0)));
            since[n] = seen.seq;
        }
    }
    assert_eq!(learned[0], made);
    assert!(learned[1].is_sorted());
    let ids = |list: &[(u64, u64)]| list.iter().map(|(_, id)| *id).collect::<BTreeSet<_>>();
    let unseen = made.last().map(|(seq, _)| *seq) > Some(since[1]);
    let rest = handles[1]
        .0
        .vouch(B, since[1])
        .await
        .expect("it is reached");
    assert_eq!(unseen, !rest.changed.is_empty());
    learned[1].extend(rest.changed.iter().map(|row| (row.seq, row.id.0)));
    assert_eq!(ids(&learned[1]), ids(&made));
    let nothing = handles[1]
        .0
        .vouch(B, rest.seq)
        .await
        .expect("it is reached");
    assert_eq!((nothing.changed, nothing.seq), (vec![], rest.seq));
}

async fn whoever_read_up_to_a_number_missed_nothing_before_it(both: [LeaseRows; 2]) {
    const APPLIERS: u64 = 8;
    const EACH: u64 = 40;
    both_joined(&both).await;
    let mut appliers = JoinSet::new();
    for n in 0..APPLIERS {
        let (rows, me) = (both[(n % 2) as usize].clone(), [A, B][(n % 2) as usize]);
        appliers.spawn(async move {
            let mut made = Vec::new();
            for k in 0..EACH {
                let number = n * 1_000 + k * 10;
                let edits = [grant(number, "a", 5), grant(number + 1, "a", 5)];
                let applied = apply(&rows, me, &edits).await;
                made.push(applied.seq);
            }
            made
        });
    }
    let readers = [(both[0].clone(), A), (both[1].clone(), B)].map(|(rows, me)| {
        tokio::spawn(async move {
            let (mut since, mut learned) = (0, Vec::new());
            while since < APPLIERS * EACH {
                let seen = rows.vouch(me, since).await.expect("it is reached");
                learned.extend(seen.changed.iter().map(|row| (row.seq, row.id.0)));
                since = seen.seq;
            }
            learned
        })
    });
    let mut numbers = Vec::new();
    while let Some(made) = appliers.join_next().await {
        let made = made.expect("no panic");
        assert!(made.is_sorted());
        numbers.extend(made);
    }
    numbers.sort_unstable();
    assert!(
        numbers.iter().copied().eq(1..=APPLIERS * EACH),
        "each its own"
    );
    let truth: Vec<(u64, u64)> = both[0]
        .vouch(A, 0)
        .await
        .expect("it is reached")
        .changed
        .iter()
        .map(|row| (row.seq, row.id.0))
        .collect();
    assert_eq!(truth.len() as u64, 2 * APPLIERS * EACH);
    for reader in readers {
        let within = tokio::time::timeout(Duration::from_secs(60), reader).await;
        assert_eq!(within.expect("it ends").expect("no panic"), truth);
    }
}

async fn of_an_adoption_and_a_late_vouch_one_wins(both: [LeaseRows; 2]) {
    let [one, other] = &both;
    other.join(B).await.expect("it is reached");
    let (mut adoptions, mut vouches) = (0, 0);
    for round in 0..100_u64 {
        one.join(A).await.expect("it is reached");
        apply(one, A, &[grant(round, "a", 5)]).await;
        let beat = beat_of(other, B, A).await.expect("it joined");
        let edits = [adopt(A, beat)];
        // An adoption in a database takes some round trips; the vouch comes at any point of them.
        let (began, pause) = (Instant::now(), Duration::from_micros(round % 20 * 100));
        let vouching = async {
            while began.elapsed() < pause {
                tokio::task::yield_now().await;
            }
            one.vouch(A, 0).await
        };
        let (vouched, adopted) = tokio::join!(vouching, other.apply(B, &edits));
        let adopted = adopted.expect("it is reached");
        let vouched = vouched.expect("it is reached").member;
        let moved = adopted.changed.iter().any(|row| row.id == id(round));
        assert_ne!(moved, vouched, "round {round}");
        let owner = all(other, B).await[&id(round)].owner;
        assert_eq!(owner, if moved { B } else { A });
        if moved {
            adoptions += 1;
        } else {
            vouches += 1;
            apply(other, B, &[adopt(A, beat + 1)]).await;
        }
    }
    assert!(adoptions > 0 && vouches > 0, "{adoptions}, {vouches}");
    eprintln!("{adoptions} adoptions, {vouches} vouches");
}

async fn ten_thousand_leases_are_granted_at_once(both: [LeaseRows; 2]) {
    both_joined(&both).await;
    let [one, other] = &both;
    let some = |ids: std::ops::Range<u64>| -> Vec<Edit> {
        ids.map(|n| grant(n, &format!("service-{n}"), 5)).collect()
    };
    apply(one, A, &some(0..3)).await;
    let began = Instant::now();
    let applied = apply(one, A, &some(3..10_003)).await;
    let took = began.elapsed();
    eprintln!("10,000 grants in {took:?}");
    assert_eq!((applied.changed.len(), applied.refused.len()), (10_000, 0));
    assert!(took < Duration::from_secs(8), "{took:?}");
    apply(other, B, &some(20_000..20_001)).await;
    // A page ends where a number ends, although that makes it longer.
    let began = Instant::now();
    let page = other.vouch(B, 0).await.expect("it is reached");
    eprintln!("a page of {} in {:?}", page.changed.len(), began.elapsed());
    assert_eq!((page.changed.len(), page.seq), (10_003, 2));
    let rest = other.vouch(B, page.seq).await.expect("it is reached");
    assert_eq!((rest.changed.len(), rest.seq), (1, 3));
    // All kinds at once.
    let shown: Vec<Edit> = (0..10_003).map(|n| show(n, Health::Up)).collect();
    assert_eq!(apply(one, A, &shown).await.changed.len(), 10_003);
    let beat = beat_of(other, B, A).await.expect("it joined");
    let adopted = apply(other, B, &[adopt(A, beat)]).await;
    assert_eq!(adopted.changed.len(), 10_003);
    assert!(
        adopted
            .changed
            .iter()
            .all(|row| row.owner == B && row.health == Health::Up)
    );
    let revoked: Vec<Edit> = (0..10_003).map(revoke).collect();
    assert_eq!(apply(other, B, &revoked).await.changed.len(), 10_003);
}

async fn rows_that_end_before_they_were_read_are_broken(both: [LeaseRows; 2]) {
    both_joined(&both).await;
    let broken = both[0].vouch(A, 1).await;
    assert!(
        matches!(broken, Err(LeaseRowsError::Broken(_))),
        "{broken:?}"
    );
}

/// What stands in the rows of a store in a file after a restart.
async fn reopened(place: &Place) -> (Opened, LeaseRows, Option<String>) {
    let opened = place.open().await.expect("it opens");
    let (rows, notice) = LeaseRows::open(&opened).await.expect("they open");
    rows.join(B).await.expect("there is room");
    (opened, rows, notice)
}

/// A store with three leases: one is shown, one is gone.
async fn with_leases(place: &Place) {
    let opened = place.open().await.expect("it opens");
    let rows = rows_of(&opened).await;
    rows.join(A).await.expect("there is room");
    apply(
        &rows,
        A,
        &[grant(1, "a", 5), grant(2, "a", 5), grant(3, "b", 6)],
    )
    .await;
    apply(&rows, A, &[show(1, Health::Up), revoke(2)]).await;
    rows.vouch(A, 0).await.expect("it answers");
    rows.close().await;
    opened.backend.close().await.expect("it closes");
}

#[tokio::test]
async fn lease_rows_in_a_file_are_kept_after_a_kill_and_after_a_close() {
    let place = Place::new();
    let opened = place.open().await.expect("it opens");
    let rows = rows_of(&opened).await;
    rows.join(A).await.expect("there is room");
    apply(
        &rows,
        A,
        &[
            grant(1, "a", 5),
            grant(2, "a", 5),
            grant(u64::MAX, "b", u32::MAX),
        ],
    )
    .await;
    apply(&rows, A, &[show(1, Health::Up), revoke(2)]).await;
    // It changes nothing, and yet has a number.
    apply(&rows, A, &[take(9)]).await;
    let before = all(&rows, A).await;
    let killed = place.crashed();
    rows.close().await;
    let closed = rows.apply(A, &[take(1)]).await;
    assert!(
        matches!(closed, Err(LeaseRowsError::Broken(_))),
        "{closed:?}"
    );
    opened.backend.close().await.expect("it closes");
    for place in [&killed, &place] {
        let (opened, rows, notice) = reopened(place).await;
        assert_eq!(notice, None);
        let seen = rows.vouch(B, 0).await.expect("it answers");
        assert_eq!(seen.seq, 3);
        assert_eq!(all(&rows, B).await, before);
        // Whoever had joined has ended, so nobody has to wait until it is found silent.
        assert_eq!(seen.servers, [(A, -1), (B, 1)]);
        let adopted = apply(&rows, B, &[adopt(A, -1)]).await;
        assert_eq!((adopted.changed.len(), adopted.seq), (2, 4));
        rows.close().await;
        opened.backend.close().await.expect("it closes");
        let (_opened, rows, _) = reopened(place).await;
        assert_eq!(beat_of(&rows, B, A).await, None, "it was adopted");
        assert_eq!(all(&rows, B).await[&id(1)].owner, B);
    }
}

#[tokio::test]
async fn a_damaged_file_of_leases_is_put_aside_and_said_to_be() {
    let place = Place::new();
    with_leases(&place).await;
    let whole = fs::read(place.file(".leases")).expect("it is there");
    let mut flipped = whole.clone();
    // The kind of the second page, which holds a table.
    flipped[4096] ^= 0xff;
    let cases: [&[u8]; 5] = [
        b"",
        b"no database",
        &whole[..whole.len() / 2],
        &flipped,
        &[0; 8192],
    ];
    for damaged in cases {
        let place = Place::new();
        with_leases(&place).await;
        fs::write(place.file(".leases"), damaged).expect("there is room");
        for round in 0..2 {
            let (opened, rows, notice) = reopened(&place).await;
            if round == 0 {
                let notice = notice.expect("it is said");
                assert!(notice.contains("graph.db.leases.damaged"), "{notice}");
                let aside = fs::read(place.file(".leases.damaged")).expect("it is kept");
                // Into an empty file SQLite writes that it is one.
                assert!(aside.starts_with(damaged), "it is as it was");
                assert_eq!(all(&rows, B).await.len(), 0);
                apply(&rows, B, &[grant(5, "a", 5)]).await;
            } else {
                assert_eq!(notice, None);
                assert_eq!(all(&rows, B).await.len(), 1);
            }
            rows.close().await;
            opened.backend.close().await.expect("it closes");
        }
    }
}

#[tokio::test]
async fn a_flip_in_the_files_of_leases_keeps_no_server_from_its_work() {
    let place = Place::new();
    let opened = place.open().await.expect("it opens");
    let rows = rows_of(&opened).await;
    rows.join(A).await.expect("there is room");
    for n in 0..20 {
        apply(&rows, A, &[grant(n, "a", 5), show(n, Health::Up)]).await;
    }
    let killed = place.crashed();
    let whole =
        [".leases", ".leases-wal"].map(|name| fs::read(killed.file(name)).expect("it is there"));
    rows.close().await;
    for at in 0..200 {
        let mut files = whole.clone();
        let (damaged, n) = (&mut files[at % 2], at / 2);
        let byte = n * damaged.len() / 100;
        damaged[byte] ^= 1 << (n % 8);
        for (name, bytes) in [".leases", ".leases-wal"].iter().zip(&files) {
            fs::write(place.file(name), bytes).expect("there is room");
        }
        let (rows, _) = LeaseRows::open(&opened).await.expect("they open");
        rows.join(B).await.expect("there is room");
        apply(&rows, B, &[grant(100, "a", 5)]).await;
        rows.close().await;
    }
}

#[tokio::test]
async fn a_file_of_leases_that_was_tampered_with_is_put_aside_with_the_reason() {
    let cases = [
        ("PRAGMA user_version = 9", "user_version"),
        ("PRAGMA application_id = 1", "application_id"),
        ("DELETE FROM about", "no rows"),
        ("DROP TABLE servers", "servers"),
        ("UPDATE leases SET health = 'better'", "better"),
        ("UPDATE leases SET service = ''", "must"),
        ("UPDATE leases SET ttl_ms = -1", "out of range"),
    ];
    for (sql, reason) in cases {
        let place = Place::new();
        with_leases(&place).await;
        tamper(&place, sql).await;
        let (_opened, rows, notice) = reopened(&place).await;
        let notice = notice.expect("it is said");
        assert!(notice.contains(reason), "{sql}: {notice}");
        assert_eq!(all(&rows, B).await.len(), 0);
    }
}

async fn tamper(place: &Place, sql: &'static str) {
    use sqlx::{ConnectOptions, Connection};
    let options = sqlx::sqlite::SqliteConnectOptions::new().filename(place.file(".leases"));
    let mut connection = options.connect().await.expect("it opens");
    sqlx::raw_sql(sql)
        .execute(&mut connection)
        .await
        .expect("it works");
    connection.close().await.expect("it closes");
}

#[tokio::test]
async fn leases_without_their_store_are_no_store_and_are_removed() {
    let place = Place::new();
    with_leases(&place).await;
    // A store was here, and all of it was removed but its leases.
    let name = |entry: &fs::DirEntry| entry.file_name().to_string_lossy().into_owned();
    for entry in fs::read_dir(place.folder()).expect("it is there") {
        let entry = entry.expect("it can be read");
        if entry.path().is_dir() {
            fs::remove_dir_all(entry.path()).expect("it is there");
        } else if !name(&entry).contains(".leases") {
            fs::remove_file(entry.path()).expect("it is there");
        }
    }
    // A WAL that was left, too.
    fs::write(place.file(".leases-wal"), b"of another file").expect("there is room");
    let (opened, rows, notice) = reopened(&place).await;
    let notice = notice.expect("it is said");
    assert!(notice.contains("another store"), "{notice}");
    assert_eq!(all(&rows, B).await.len(), 0);
    assert!(!place.file(".leases.damaged").exists());
    rows.close().await;
    opened.backend.close().await.expect("it closes");
}

#[tokio::test]
async fn a_store_is_made_of_a_backup_beside_leases_of_an_old_one() {
    let place = Place::new();
    let mut server = place.server().await;
    server.grow(3).await;
    let files = server.opened.files.clone().expect("it is on disk");
    let entry = files
        .backups
        .create(&server.graph.snapshot(), "")
        .expect("there is room");
    let backup = files.backups.folder().join(format!("{}.backup", entry.id));
    server.close().await;
    let old = Place::new();
    with_leases(&old).await;
    let new = Place::new();
    fs::copy(old.file(".leases"), new.file(".leases")).expect("there is room");
    create_from_backup(&new.url(), &backup)
        .await
        .expect("nothing stands there");
    let (opened, rows, notice) = reopened(&new).await;
    assert!(notice.is_some_and(|notice| notice.contains("another store")));
    assert_eq!(opened.history.newest(), 3);
    assert_eq!(all(&rows, B).await.len(), 0);
}

#[tokio::test]
async fn what_is_gone_for_an_hour_is_removed_from_a_file() {
    let place = Place::new();
    with_leases(&place).await;
    tamper(&place, "UPDATE leases SET gone_ms = gone_ms - 3700000").await;
    let (opened, rows, _) = reopened(&place).await;
    assert_eq!(all(&rows, B).await.len(), 3);
    apply(&rows, B, &[take(1)]).await;
    assert_eq!(all(&rows, B).await.len(), 2);
    rows.close().await;
    opened.backend.close().await.expect("it closes");
    let (_opened, rows, _) = reopened(&place).await;
    assert_eq!(all(&rows, B).await.len(), 2);
}

async fn in_database(url: &str) -> (Opened, LeaseRows) {
    let opened = open(url, &OpenOptions::default()).await.expect("it opens");
    let rows = rows_of(&opened).await;
    (opened, rows)
}

#[tokio::test]
async fn lease_rows_in_a_database_outlive_their_servers_and_go_after_an_hour() {
    let Some(server) = server() else { return };
    let url = server.database();
    let database = url.rsplit('/').next().expect("a name");
    let (_opened, rows) = in_database(&url).await;
    rows.join(A).await.expect("it is reached");
    apply(
        &rows,
        A,
        &[grant(1, "a", 5), grant(u64::MAX, "b", u32::MAX)],
    )
    .await;
    apply(&rows, A, &[show(1, Health::Up), revoke(u64::MAX)]).await;
    let before = all(&rows, A).await;
    rows.close().await;
    let closed = rows.vouch(A, 0).await;
    assert!(
        matches!(closed, Err(LeaseRowsError::Broken(_))),
        "{closed:?}"
    );
    let (_opened, rows) = in_database(&url).await;
    rows.join(B).await.expect("it is reached");
    assert_eq!(all(&rows, B).await, before);
    assert_eq!(beat_of(&rows, B, A).await, Some(1), "it may live");
    server.run(
        database,
        "UPDATE amadeus_leases SET gone_at = gone_at - interval '59 min'",
    );
    apply(&rows, B, &[take(1)]).await;
    assert_eq!(all(&rows, B).await.len(), 2);
    server.run(
        database,
        "UPDATE amadeus_leases SET gone_at = gone_at - interval '2 min'",
    );
    apply(&rows, B, &[take(1)]).await;
    assert_eq!(all(&rows, B).await.len(), 1);
    // What is missing does not come back by asking again.
    server.run(database, "DROP TABLE amadeus_leases");
    for broken in [
        rows.vouch(B, 0).await.err(),
        rows.apply(B, &[take(1)]).await.err(),
    ] {
        assert!(
            matches!(broken, Some(LeaseRowsError::Broken(_))),
            "{broken:?}"
        );
    }
}

#[tokio::test]
async fn a_database_without_leases_gets_their_tables_from_two_servers_at_once() {
    let Some(server) = server() else { return };
    let url = server.database();
    let database = url.rsplit('/').next().expect("a name");
    // As version 1 of the schema left it.
    server.run(
        database,
        include_str!("../../migrations/postgres/0001_log.sql"),
    );
    server.run(
        database,
        "INSERT INTO amadeus_store VALUES (true, 1, 'the first', 0, '', 0)",
    );
    let (one, other) = tokio::join!(in_database(&url), in_database(&url));
    assert_eq!(
        (&*one.0.store_id, &*other.0.store_id),
        ("the first", "the first")
    );
    assert_eq!(
        server.run(database, "SELECT version FROM amadeus_store"),
        "5"
    );
    both_joined(&[one.1.clone(), other.1.clone()]).await;
    apply(&one.1, A, &[grant(1, "a", 5)]).await;
    assert_eq!(all(&other.1, B).await.len(), 1);
    assert_eq!(
        server.run(database, "SELECT count(*) FROM amadeus_lease_clock"),
        "1"
    );
    // Those of users, events and runs came with them.
    for table in ["amadeus_user_state", "amadeus_event_head"] {
        let count = format!("SELECT count(*) FROM {table}");
        assert_eq!(server.run(database, &count), "1", "{table}");
    }
    assert_eq!(
        server.run(database, "SELECT count(*) FROM amadeus_runs"),
        "0"
    );
}

#[tokio::test]
async fn a_vouch_is_not_synced_and_a_change_is() {
    let Some(server) = server() else { return };
    let url = server.database();
    let database = url.rsplit('/').next().expect("a name");
    let (_opened, rows) = in_database(&url).await;
    rows.join(A).await.expect("it is reached");
    let note = "CREATE TABLE noted (at serial, how text); \
        CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN \
            INSERT INTO noted (how) VALUES (tg_table_name || ' ' || current_setting('synchronous_commit')); \
            RETURN new; END $$; \
        CREATE TRIGGER note BEFORE UPDATE ON amadeus_lease_servers FOR EACH ROW EXECUTE FUNCTION note(); \
        CREATE TRIGGER note BEFORE INSERT ON amadeus_leases FOR EACH ROW EXECUTE FUNCTION note()";
    server.run(database, note);
    rows.vouch(A, 0).await.expect("it is reached");
    apply(&rows, A, &[grant(1, "a", 5)]).await;
    rows.leave(A).await.expect("it is reached");
    let noted = server.run(database, "SELECT how FROM noted ORDER BY at");
    let expected = [
        "amadeus_lease_servers off",
        "amadeus_leases on",
        "amadeus_lease_servers on",
    ];
    assert_eq!(noted.lines().collect::<Vec<_>>(), expected);
}

#[tokio::test]
async fn a_database_that_is_silent_keeps_nobody_waiting_and_is_gone_on_with() {
    let Some(server) = server() else { return };
    let url = server.database();
    let proxy = Proxy::to(server.port());
    let (_, database) = url.rsplit_once('/').expect("a name");
    let through = format!(
        "postgres://amadeus:hush@127.0.0.1:{}/{database}",
        proxy.port()
    );
    let (_opened, rows) = in_database(&through).await;
    rows.join(A).await.expect("it is reached");
    apply(&rows, A, &[grant(1, "a", 5)]).await;
    proxy.set(Mode::Silent);
    let began = Instant::now();
    let edits = [take(1)];
    let (applied, vouched) = tokio::join!(rows.apply(A, &edits), rows.vouch(A, 0));
    for failed in [applied.err(), vouched.err()] {
        let failed = failed.expect("there was no answer");
        assert!(matches!(failed, LeaseRowsError::Unavailable(_)), "{failed}");
        assert!(!failed.to_string().contains("hush"), "{failed}");
    }
    assert!(
        began.elapsed() < Duration::from_secs(20),
        "{:?}",
        began.elapsed()
    );
    proxy.set(Mode::Pass);
    // The connections that were silent are never asked again.
    let began = Instant::now();
    apply(&rows, A, &edits).await;
    rows.vouch(A, 0).await.expect("it is reached");
    assert!(
        began.elapsed() < Duration::from_secs(5),
        "{:?}",
        began.elapsed()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_that_nobody_goes_on_with_keeps_others_waiting_for_seconds_only() {
    let Some(server) = server() else { return };
    let url = server.database();
    let proxy = Proxy::to(server.port());
    let (_, database) = url.rsplit_once('/').expect("a name");
    let through = format!("postgres://amadeus@127.0.0.1:{}/{database}", proxy.port());
    let (_one, lost) = in_database(&through).await;
    let (_other, rows) = in_database(&url).await;
    lost.join(A).await.expect("it is reached");
    rows.join(B).await.expect("it is reached");
    let slow = "CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN \
            IF new.id = 1 THEN PERFORM pg_sleep(1); END IF; RETURN new; END $$; \
        CREATE TRIGGER slow BEFORE INSERT ON amadeus_leases FOR EACH ROW EXECUTE FUNCTION slow()";
    server.run(database, slow);
    let losing = tokio::spawn(async move { lost.apply(A, &[grant(1, "a", 5)]).await });
    let is = |what: &str| {
        let sql = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND ";
        server.run(database, &format!("{sql} {what}")) == "1"
    };
    // Its answer is swallowed while it holds the clock, and its connection stays open.
    while !is("wait_event = 'PgSleep'") {
        assert!(!losing.is_finished());
    }
    proxy.set(Mode::Mute);
    while !is("state = 'idle in transaction'") {
        assert!(!losing.is_finished());
    }
    let began = Instant::now();
    apply(&rows, B, &[grant(2, "b", 5)]).await;
    let waited = began.elapsed();
    assert!(
        waited > Duration::from_secs(1) && waited < Duration::from_secs(8),
        "{waited:?}"
    );
    assert_eq!(all(&rows, B).await.len(), 1, "what was begun is undone");
    losing.abort();
}
