//! What copies owe, against a real Redis: two servers over the same rows, each with a line of its own.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use testbed::{Mode, Proxy, Redis, Signal};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

use super::{Copies, TRUST, WAIT};
use crate::auth::{Grant, Role, UserId};
use crate::storage::{OpenOptions, open};
use crate::users::rows::values;
use crate::users::{
    NewUser, PasswordHash, Profile, User, UserChange, UserStatus, UserStore, Username,
};

/// Where readers sit between their miss and their fill, if a test has asked them to.
pub(super) struct Sit {
    asked: AtomicBool,
    sitting: AtomicU64,
    may_go: Semaphore,
    /// How often a copy was read.
    served: AtomicU64,
}

impl Default for Sit {
    fn default() -> Self {
        Self {
            asked: AtomicBool::new(false),
            sitting: AtomicU64::new(0),
            may_go: Semaphore::new(0),
            served: AtomicU64::new(0),
        }
    }
}

impl Sit {
    pub(super) fn count_served(&self) {
        self.served.fetch_add(1, Ordering::SeqCst);
    }

    pub(super) async fn down(&self) {
        if self.asked.swap(false, Ordering::SeqCst) {
            self.sitting.fetch_add(1, Ordering::SeqCst);
            self.may_go.acquire().await.expect("open").forget();
        }
    }
}

/// How long anything may take to come about.
const SOON: Duration = Duration::from_secs(30);

const NOW: u64 = 1_700_000_000_000;

fn redis() -> Option<Redis> {
    match Redis::start() {
        Ok(redis) => Some(redis),
        Err(missing) => {
            eprintln!("skipped: {missing}");
            None
        }
    }
}

async fn rows() -> UserStore {
    let opened = open("memory:", &OpenOptions::default())
        .await
        .expect("it opens");
    UserStore::open(&opened).await.expect("it opens")
}

/// A server of the same rows whose line goes through a proxy.
async fn server(rows: &UserStore, redis: &Redis) -> (UserStore, Proxy) {
    let proxy = Proxy::to(redis.port());
    let server = rows.another_server();
    server
        .keep_copies(&format!("redis://127.0.0.1:{}", proxy.port()))
        .expect("an address");
    keeps_copies(&server).await;
    (server, proxy)
}

async fn ann(server: &UserStore) -> User {
    let new = NewUser {
        username: Username::parse("username", "Ann").expect("a name"),
        email: None,
        password: Some(PasswordHash::new("$argon2id$secret")),
        profile: Profile::default(),
        grants: vec![Grant::everywhere(Role::Reader)],
        status: UserStatus::Active,
    };
    server
        .create(new, NOW, None)
        .await
        .expect("the name is free")
}

async fn until(what: &str, mut is_so: impl AsyncFnMut() -> bool) {
    let waiting = async {
        while !is_so().await {
            sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(SOON, waiting)
        .await
        .unwrap_or_else(|_| panic!("{what} does not come about"));
}

fn copies(server: &UserStore) -> &Copies {
    server.copies()
}

/// Waits until the Redis of a server is the home.
async fn keeps_copies(server: &UserStore) {
    until("a home", async || {
        let home = copies(server)
            .ask_home(server.rows())
            .await
            .expect("it is reached");
        copies(server)
            .line()
            .is_some_and(|line| *line.home == home.at)
    })
    .await;
}

/// The copy that lies in Redis, whatever its generation.
async fn lies_there(server: &UserStore, id: &UserId) -> Option<User> {
    let line = copies(server).line().expect("it is connected");
    for generation in 0..100 {
        if let Some(copy) = line.copy(id, generation).await.expect("it answers") {
            return Some(copy);
        }
    }
    None
}

async fn read(server: &UserStore, id: &UserId) -> User {
    server
        .user(id)
        .await
        .expect("it is reached")
        .expect("it is there")
}

async fn join_team(server: &UserStore, id: &UserId, team: &str) -> User {
    let profile = Profile {
        team: team.into(),
        ..Profile::default()
    };
    server
        .update_profile(id, None, profile, NOW)
        .await
        .expect("it may")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_saves_the_question() {
    let Some(redis) = redis() else { return };
    let rows = rows().await;
    let (one, _) = server(&rows, &redis).await;
    let ann = ann(&one).await;
    until("a read from a copy", async || {
        let asked = Instant::now();
        assert_eq!(read(&one, &ann.id).await, ann);
        // Nobody may do this. It shows where an answer comes from.
        let sql = "UPDATE amadeus_users SET version = 7";
        let behind = |sql| -> crate::users::rows::Work<u64> {
            Box::new(move |tx| Box::pin(async move { tx.run(sql, values![]).await }))
        };
        one.rows().write(behind(sql)).await.expect("it is reached");
        let by_id = read(&one, &ann.id).await.version;
        let by_name = one
            .user_by_username("ANN")
            .await
            .expect("it is reached")
            .expect("it is there");
        let in_time = asked.elapsed() < TRUST;
        one.rows()
            .write(behind("UPDATE amadeus_users SET version = 1"))
            .await
            .expect("it is reached");
        in_time && (by_id, by_name.version) == (1, 1)
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_who_sits_between_miss_and_fill_does_not_bring_back_what_was() {
    let Some(redis) = redis() else { return };
    let rows = rows().await;
    let (one, _) = server(&rows, &redis).await;
    let (other, _) = server(&rows, &redis).await;
    let ann = ann(&one).await;
    for (writer, team) in [(&one, "same"), (&other, "another")] {
        let before = join_team(&one, &ann.id, "before").await;
        let sit = &copies(&one).0.sit;
        let (sat, asked) = (sit.sitting.load(Ordering::SeqCst), &sit.asked);
        asked.store(true, Ordering::SeqCst);
        let reader = tokio::spawn({
            let (one, id) = (one.clone(), ann.id.clone());
            async move { read(&one, &id).await }
        });
        until("a reader who sits", async || {
            sit.sitting.load(Ordering::SeqCst) > sat
        })
        .await;
        let after = join_team(writer, &ann.id, team).await;
        // Others fill, or not, before and after the one who sits.
        assert_eq!(read(&other, &ann.id).await, after);
        sit.may_go.add_permits(1);
        assert_eq!(
            reader.await.expect("it ends"),
            before,
            "it had asked before the change"
        );
        for server in [&one, &other, &one, &other] {
            assert_eq!(read(server, &ann.id).await, after, "{team}");
            let by_name = server.user_by_username("ann").await.expect("it is reached");
            assert_eq!(by_name.expect("it is there"), after);
        }
        assert!(
            lies_there(&one, &ann.id)
                .await
                .is_none_or(|copy| copy == after)
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_change_of_a_user_removes_the_copy() {
    let Some(redis) = redis() else { return };
    let rows = rows().await;
    let (one, _) = server(&rows, &redis).await;
    let (other, _) = server(&rows, &redis).await;
    let ann = ann(&one).await;
    let fill = async || {
        until("a copy", async || {
            read(&other, &ann.id).await;
            lies_there(&other, &ann.id).await.is_some()
        })
        .await;
    };
    let writer = Grant::everywhere(Role::Writer);
    let disabled = UserChange {
        status: Some(UserStatus::Disabled),
        ..UserChange::default()
    };
    fill().await;
    one.assign_role(&ann.id, None, writer.clone(), NOW)
        .await
        .expect("it may");
    assert!(lies_there(&other, &ann.id).await.is_none());
    fill().await;
    one.remove_role(&ann.id, None, writer, NOW)
        .await
        .expect("it may");
    assert!(lies_there(&other, &ann.id).await.is_none());
    fill().await;
    one.set_password(&ann.id, PasswordHash::new("$argon2id$other"), None, NOW)
        .await
        .expect("it may");
    assert!(lies_there(&other, &ann.id).await.is_none());
    fill().await;
    one.update(&ann.id, None, disabled, NOW)
        .await
        .expect("it may");
    assert_eq!(read(&other, &ann.id).await.status, UserStatus::Disabled);
    fill().await;
    one.delete(&ann.id, None).await.expect("it may");
    assert_eq!(other.user(&ann.id).await, Ok(None));
    assert_eq!(other.user_by_username("ann").await, Ok(None));
    assert!(lies_there(&other, &ann.id).await.is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_writer_who_does_not_reach_redis_waits_until_nobody_trusts_the_copies() {
    let Some(redis) = redis() else { return };
    let rows = rows().await;
    let (one, line) = server(&rows, &redis).await;
    let (other, _) = server(&rows, &redis).await;
    let ann = ann(&one).await;
    for (mode, team) in [
        (Mode::Silent, "silent"),
        (Mode::Mute, "mute"),
        (Mode::Refuse, "cut"),
    ] {
        keeps_copies(&one).await;
        keeps_copies(&other).await;
        until("a copy", async || {
            read(&other, &ann.id).await;
            lies_there(&other, &ann.id).await.is_some()
        })
        .await;
        line.set(mode);
        if mode == Mode::Refuse {
            line.cut();
        }
        let after = join_team(&one, &ann.id, team).await;
        for _ in 0..10 {
            assert_eq!(read(&other, &ann.id).await, after);
            assert_eq!(read(&one, &ann.id).await, after);
        }
        line.set(Mode::Pass);
        line.cut();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redis_that_is_lost_and_back_serves_nothing_from_before() {
    let Some(redis) = redis() else { return };
    let rows = rows().await;
    let (one, _) = server(&rows, &redis).await;
    let (other, _) = server(&rows, &redis).await;
    let before = ann(&one).await;
    let id = &before.id;
    let first = copies(&one).seen().expect("it was asked").home;
    redis.end(Signal::Kill);
    let after = join_team(&one, id, "while it was away").await;
    assert_eq!(read(&other, id).await, after);
    redis.resume();
    // As if it had kept what it held.
    let client = redis::Client::open(redis.url()).expect("an address");
    let mut restored = client
        .get_multiplexed_async_connection()
        .await
        .expect("it is there");
    let key = format!("amadeus:{}:user:{{{id}}}", copies(&one).0.store_id);
    let old = format!("{} {}", first.generation, crate::users::json::user(&before));
    let restore = async |connection: &mut redis::aio::MultiplexedConnection| {
        let mut set = redis::cmd("SET");
        set.arg(&key).arg(&old).arg("PX").arg(60_000);
        set.exec_async(connection).await.expect("it answers");
    };
    restore(&mut restored).await;
    assert_eq!(read(&one, id).await, after);
    keeps_copies(&one).await;
    keeps_copies(&other).await;
    assert!(copies(&one).seen().expect("it was asked").home.generation > first.generation);
    restore(&mut restored).await;
    for server in [&one, &other, &one, &other] {
        assert_eq!(read(server, id).await, after);
    }
    let last = join_team(&other, id, "after it").await;
    assert_eq!(read(&one, id).await, last);
}

#[tokio::test(flavor = "multi_thread")]
async fn servers_that_were_given_two_redis_or_none_are_told_of_by_the_rows() {
    let (Some(redis), Some(another)) = (redis(), redis()) else {
        return;
    };
    let rows = rows().await;
    let (one, _) = server(&rows, &redis).await;
    let ann = ann(&one).await;
    until("a copy", async || {
        read(&one, &ann.id).await;
        lies_there(&one, &ann.id).await.is_some()
    })
    .await;
    let began = Instant::now();
    let after = join_team(&rows, &ann.id, "by one without").await;
    assert!(began.elapsed() >= WAIT);
    assert_eq!(read(&one, &ann.id).await, after);
    keeps_copies(&one).await;
    let (other, _) = server(&rows, &another).await;
    for round in 0..3 {
        let after = join_team(&other, &ann.id, &format!("other {round}")).await;
        assert_eq!(read(&one, &ann.id).await, after);
        let after = join_team(&one, &ann.id, &format!("one {round}")).await;
        assert_eq!(read(&other, &ann.id).await, after);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_redis_a_change_waits_for_nobody() {
    let rows = rows().await;
    let ann = ann(&rows).await;
    until("quiet", async || {
        copies(&rows).has_settled(&copies(&rows).seen().expect("asked").home)
    })
    .await;
    let began = Instant::now();
    for round in 0..10 {
        let after = join_team(&rows, &ann.id, &round.to_string()).await;
        assert_eq!(read(&rows, &ann.id).await, after);
    }
    assert!(began.elapsed() < WAIT * 5);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_goes_only_by_the_hand_of_its_holder() {
    let Some(redis) = redis() else { return };
    let rows = rows().await;
    let (one, _) = server(&rows, &redis).await;
    let ann = ann(&one).await;
    let line = copies(&one).line().expect("it is connected");
    let token = line
        .put_token(&ann.id)
        .await
        .expect("it answers")
        .expect("none lies there");
    assert_eq!(line.put_token(&ann.id).await.expect("it answers"), None);
    line.take_token_back(&ann.id, "another")
        .await
        .expect("it answers");
    line.fill(&ann.id, "another", 1, &ann)
        .await
        .expect("it answers");
    assert_eq!(line.copy(&ann.id, 1).await.expect("it answers"), None);
    assert_eq!(line.put_token(&ann.id).await.expect("it answers"), None);
    line.fill(&ann.id, &token, 1, &ann)
        .await
        .expect("it answers");
    assert_eq!(
        line.copy(&ann.id, 1).await.expect("it answers"),
        Some(ann.clone())
    );
    assert_eq!(line.copy(&ann.id, 2).await.expect("it answers"), None);
    let token = line
        .put_token(&ann.id)
        .await
        .expect("it answers")
        .expect("it was taken away");
    line.take_token_back(&ann.id, &token)
        .await
        .expect("it answers");
    assert!(line.put_token(&ann.id).await.expect("it answers").is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_lies_in_redis_is_of_one_store_ends_by_itself_and_holds_no_secret() {
    let Some(redis) = redis() else { return };
    let rows = rows().await;
    let (one, _) = server(&rows, &redis).await;
    let ann = ann(&one).await;
    until("a copy", async || {
        one.user_by_username("ann").await.expect("it is reached");
        lies_there(&one, &ann.id).await.is_some()
    })
    .await;
    assert_eq!(one.user(&UserId("nobody".into())).await, Ok(None));
    let client = redis::Client::open(redis.url()).expect("an address");
    let mut connection = client
        .get_multiplexed_async_connection()
        .await
        .expect("it is there");
    let keys: Vec<String> = redis::cmd("KEYS")
        .arg("*")
        .query_async(&mut connection)
        .await
        .expect("it answers");
    assert!(keys.len() >= 2, "{keys:?}");
    for key in keys {
        assert!(
            key.starts_with(&format!("amadeus:{}:", copies(&one).0.store_id)),
            "{key}"
        );
        let ttl: i64 = redis::cmd("PTTL")
            .arg(&key)
            .query_async(&mut connection)
            .await
            .expect("it answers");
        // One may have ended in between.
        assert!(ttl > 0 || ttl == -2, "{key} {ttl}");
        let value: Option<String> = redis::cmd("GET")
            .arg(&key)
            .query_async(&mut connection)
            .await
            .expect("it answers");
        assert!(!value.unwrap_or_default().contains("argon2id"), "{key}");
    }
}

/// Two servers change and read one user while their lines to Redis come and go. A reader who begins after a change was
/// acknowledged finds it, or a later one.
#[tokio::test(flavor = "multi_thread")]
async fn no_read_that_begins_after_a_change_was_acknowledged_misses_it() {
    let Some(redis) = redis() else { return };
    let rows = rows().await;
    let (one, line) = server(&rows, &redis).await;
    let (other, other_line) = server(&rows, &redis).await;
    let ann = ann(&one).await;
    let acknowledged = Arc::new(AtomicU64::new(1));
    let until = Instant::now() + Duration::from_secs(7);
    let mut all = JoinSet::new();
    for server in [&one, &other] {
        let (server, id, acknowledged) = (server.clone(), ann.id.clone(), acknowledged.clone());
        all.spawn(async move {
            let mut changes = 0;
            while Instant::now() < until {
                let after = join_team(&server, &id, &changes.to_string()).await;
                acknowledged.fetch_max(after.version, Ordering::SeqCst);
                changes += 1;
                sleep(Duration::from_millis(changes * 7 % 40)).await;
            }
            changes
        });
    }
    for reader in 0..4 {
        let server = if reader % 2 == 0 { &one } else { &other };
        let (server, id, acknowledged) = (server.clone(), ann.id.clone(), acknowledged.clone());
        all.spawn(async move {
            let mut reads = 0;
            while Instant::now() < until {
                let at_least = acknowledged.load(Ordering::SeqCst);
                let found = match reads % 3 {
                    0 => server
                        .user_by_username("ann")
                        .await
                        .expect("it is reached")
                        .expect("it is there"),
                    _ => read(&server, &id).await,
                };
                assert!(found.version >= at_least, "{} {at_least}", found.version);
                reads += 1;
            }
            reads
        });
    }
    all.spawn(async move {
        // In between there is time for copies.
        let steps = [
            (Mode::Pass, 1_000),
            (Mode::Silent, 300),
            (Mode::Pass, 1_800),
            (Mode::Refuse, 300),
            (Mode::Pass, 1_800),
            (Mode::Slow(Duration::from_millis(30)), 500),
            (Mode::Pass, 1_000),
        ];
        for (step, (mode, ms)) in steps.into_iter().enumerate() {
            let line = if step < 3 { &line } else { &other_line };
            line.set(mode);
            if mode == Mode::Refuse || step > 0 && mode == Mode::Pass {
                line.cut();
            }
            sleep(Duration::from_millis(ms)).await;
        }
        1
    });
    while let Some(done) = all.join_next().await {
        assert!(done.expect("it ends well") > 0);
    }
    for server in [&one, &other] {
        assert!(
            copies(server).0.sit.served.load(Ordering::SeqCst) > 0,
            "copies were read"
        );
    }
}
