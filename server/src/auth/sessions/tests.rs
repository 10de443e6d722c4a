//! Tests of sessions over the real store, in memory, at a time that is given.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use super::*;
use crate::auth::keyring::Source;
use crate::auth::secret::{API_KEY, Secret};
use crate::auth::token::{Claims, LIFETIME_S};
use crate::auth::{Grant, Principal, Role, Standing, UserId};
use crate::storage::{OpenOptions, open};
use crate::users::{
    KeyId, NewKey, NewUser, Profile, SecretHash, SessionId, User, UserChange, UserStatus, Username,
};

const START: u64 = 1_800_000_000_000;
const STORE: &str = "a store";
const MONTH: u64 = 30 * 24 * 60 * 60 * 1_000;

fn start() -> u64 {
    START
}

/// Makes one look-up wait.
#[derive(Default)]
pub struct Halt {
    is_on: AtomicBool,
    reached: Notify,
    go_on: Notify,
}

impl Halt {
    pub async fn wait(&self) {
        if self.is_on.swap(false, Ordering::SeqCst) {
            self.reached.notify_one();
            self.go_on.notified().await;
        }
    }
}

struct World {
    users: UserStore,
    ring: KeyRing,
    sessions: Sessions,
    alice: User,
}

impl World {
    async fn at(clock: fn() -> u64) -> Self {
        let opened = open("memory:", &OpenOptions::default()).await;
        let users = UserStore::open(&opened.expect("it opens")).await;
        let users = users.expect("it opens");
        let ring = KeyRing::open(Source::Memory, clock).await.expect("made");
        let sessions = Sessions::new(users.clone(), ring.clone(), STORE.into(), clock);
        let new = NewUser {
            username: Username::parse("username", "alice").expect("good"),
            email: None,
            password: None,
            profile: Profile::default(),
            grants: vec![Grant::everywhere(Role::Writer)],
            status: UserStatus::Active,
        };
        let alice = users.create(new, START, None).await.expect("created");
        Self {
            users,
            ring,
            sessions,
            alice,
        }
    }

    async fn sign_in(&self, session: &str) -> String {
        let id = SessionId(session.into());
        let refresh = SecretHash::of(session.as_bytes());
        let begun =
            self.users
                .begin_session(&id, &self.alice.id, None, refresh, START + MONTH, START);
        begun.await.expect("begun");
        let claims = Claims::new(self.alice.id.clone(), id, START);
        self.ring.sign(STORE, &claims)
    }

    async fn make_key(&self, grants: Vec<Grant>, expires_ms: Option<u64>) -> (KeyId, String) {
        let id = KeyId("0123456789abcdef".into());
        let secret = Secret::generate(&format!("{API_KEY}{id}_"));
        let new = NewKey {
            id: id.clone(),
            name: "ci".into(),
            user: self.alice.id.clone(),
            grants,
            secret: secret.hash(),
            expires_ms,
        };
        self.users.create_key(new, START).await.expect("made");
        (id, secret.expose().to_owned())
    }

    async fn look(&self, bearer: &str) -> Answer {
        look(&self.sessions, bearer).await
    }
}

/// A certificate as a door hands it on.
fn shown(name: &str, expires_ms: u64) -> ClientCertificate {
    ClientCertificate {
        name: name.into(),
        expires_ms,
        authorities: Authorities::default(),
        digest: SecretHash::of(name.as_bytes()).0,
        chain: Arc::default(),
    }
}

async fn look(sessions: &Sessions, bearer: &str) -> Answer {
    let bearer = Some(bearer.into());
    let credentials = Credentials {
        bearer,
        ..Credentials::default()
    };
    match sessions.authenticate(&credentials) {
        Authenticated::Now(answer) => answer,
        Authenticated::Later(answer) => answer.await,
    }
}

fn grants(session: &Session) -> Vec<Grant> {
    match &*session.standing.borrow() {
        Standing::Good(principal) => principal.grants.clone(),
        Standing::Over(why) => panic!("{why}"),
    }
}

fn over(session: &Session) -> Option<NotSignedIn> {
    match &*session.standing.borrow() {
        Standing::Good(_) => None,
        Standing::Over(why) => Some(why.clone()),
    }
}

#[tokio::test]
async fn a_token_is_looked_up_once_and_known_from_then_on() {
    let world = World::at(start).await;
    let token = world.sign_in("s1").await;
    let first = world.look(&token).await.expect("good");
    assert_eq!(first.id, Some(SessionId("s1".into())));
    assert_eq!(first.expires_ms, Some(START + LIFETIME_S * 1_000));
    assert_eq!(grants(&first), world.alice.grants);
    world.users.close().await;
    let again = world.look(&token).await.expect("still good");
    assert!(Arc::ptr_eq(&first, &again));
}

#[tokio::test]
async fn many_who_come_at_once_with_one_token_share_one_look_up() {
    let world = World::at(start).await;
    let token = world.sign_in("s1").await;
    let all = (0..100).map(|_| world.look(&token));
    let all = futures::future::join_all(all).await;
    let first = all[0].as_ref().expect("good");
    for each in &all {
        assert!(Arc::ptr_eq(first, each.as_ref().expect("good")));
    }
    assert_eq!(world.sessions.remembered(), 1);
    assert_eq!(world.sessions.0.asked.len(), 0);
}

#[tokio::test]
async fn whoever_holds_a_session_is_told_when_it_ends_and_it_is_not_good_again() {
    let world = World::at(start).await;
    let (token, other) = (world.sign_in("s1").await, world.sign_in("s2").await);
    let held = world.look(&token).await.expect("good");
    let kept = world.look(&other).await.expect("good");
    let id = SessionId("s1".into());
    world.users.end_session(&id, START).await.expect("ended");
    assert!(world.sessions.catch_up().await);
    assert_eq!(over(&held), Some(NotSignedIn::Revoked));
    assert_eq!(world.look(&token).await.err(), Some(NotSignedIn::Revoked));
    assert_eq!(over(&kept), None);
}

#[tokio::test]
async fn rights_that_change_change_what_is_held() {
    let world = World::at(start).await;
    let held = world.look(&world.sign_in("s1").await).await.expect("good");
    let mut standing = held.standing.clone();
    let (alice, writer) = (&world.alice.id, Grant::everywhere(Role::Writer));
    let removed = world.users.remove_role(alice, None, writer, START).await;
    removed.expect("removed");
    world.sessions.catch_up().await;
    assert!(standing.has_changed().expect("alive"));
    assert!(grants(&held).is_empty());
    standing.mark_unchanged();
    let reader = Grant::everywhere(Role::Reader);
    let given = world
        .users
        .assign_role(alice, None, reader.clone(), START)
        .await;
    given.expect("given");
    world.sessions.catch_up().await;
    assert_eq!(grants(&held), [reader]);
}

#[tokio::test]
async fn a_user_who_is_disabled_or_deleted_is_signed_out_everywhere() {
    let world = World::at(start).await;
    let held = world.look(&world.sign_in("s1").await).await.expect("good");
    let (_, key) = world.make_key(Vec::new(), None).await;
    let by_key = world.look(&key).await.expect("good");
    let disabled = UserChange {
        status: Some(UserStatus::Disabled),
        ..UserChange::default()
    };
    let id = &world.alice.id;
    let changed = world.users.update(id, None, disabled, START).await;
    changed.expect("changed");
    world.sessions.catch_up().await;
    assert_eq!(over(&held), Some(NotSignedIn::Revoked));
    assert_eq!(over(&by_key), Some(NotSignedIn::Revoked));
    assert_eq!(world.look(&key).await.err(), Some(NotSignedIn::Revoked));

    // A key is good again with its user; a session is not.
    let active = UserChange {
        status: Some(UserStatus::Active),
        ..UserChange::default()
    };
    world
        .users
        .update(id, None, active, START)
        .await
        .expect("changed");
    let again = world.look(&key).await.expect("good again");
    world.users.delete(id, None).await.expect("deleted");
    world.sessions.catch_up().await;
    assert_eq!(over(&again), Some(NotSignedIn::Revoked));
    assert_eq!(world.look(&key).await.err(), Some(NotSignedIn::Bad));
}

#[tokio::test]
async fn a_key_is_good_for_what_it_says_until_it_expires_or_is_revoked() {
    static NOW: AtomicU64 = AtomicU64::new(START);
    let clock = || NOW.load(Ordering::SeqCst);
    let world = World::at(clock).await;
    let reader = Grant::everywhere(Role::Reader);
    let (id, key) = world
        .make_key(vec![reader.clone()], Some(START + 1_000))
        .await;
    let held = world.look(&key).await.expect("good");
    assert_eq!((grants(&held), held.id.clone()), (vec![reader], None));
    let wrong = format!("{}x", &key[..key.len() - 1]);
    assert_eq!(world.look(&wrong).await.err(), Some(NotSignedIn::Bad));
    NOW.store(START + 1_000, Ordering::SeqCst);
    assert_eq!(world.look(&key).await.err(), Some(NotSignedIn::Expired));
    world.sessions.0.known.tidy(clock(), |_| true);
    assert_eq!(over(&held), Some(NotSignedIn::Expired));
    assert_eq!(world.look(&key).await.err(), Some(NotSignedIn::Expired));
    NOW.store(START, Ordering::SeqCst);
    let held = world.look(&key).await.expect("good");
    world.users.revoke_key(&id, START).await.expect("revoked");
    world.sessions.catch_up().await;
    assert_eq!(over(&held), Some(NotSignedIn::Revoked));
}

#[tokio::test]
async fn a_certificate_is_of_the_user_of_its_name_and_a_token_goes_before_it() {
    let world = World::at(start).await;
    let certificate = |name: &str, bearer: Option<&str>| {
        let credentials = Credentials {
            certificate: Some(shown(name, START + MONTH)),
            bearer: bearer.map(Into::into),
            source: None,
        };
        let found = world.sessions.authenticate(&credentials);
        async move {
            match found {
                Authenticated::Now(answer) => answer,
                Authenticated::Later(answer) => answer.await,
            }
        }
    };
    let held = certificate("alice", None).await.expect("good");
    assert_eq!(
        (grants(&held), held.expires_ms),
        (world.alice.grants.clone(), Some(START + MONTH))
    );
    for other in ["bob", "", "alice@example.org"] {
        assert_eq!(certificate(other, None).await.err(), Some(NotSignedIn::Bad));
    }
    let forged = certificate("alice", Some("forged")).await;
    assert_eq!(forged.err(), Some(NotSignedIn::Bad));
}

#[tokio::test]
async fn without_credentials_and_with_forged_ones_nobody_asks_the_store() {
    let world = World::at(start).await;
    let token = world.sign_in("s1").await;
    let none = world.sessions.authenticate(&Credentials::default());
    assert!(matches!(none, Authenticated::Now(Err(NotSignedIn::Absent))));
    world.users.close().await;
    let cut = &token[..token.len() - 1];
    for forged in [cut, "", "a.b.c", "amk_", "amr_abc", &"x".repeat(10_000)] {
        assert_eq!(
            world.look(forged).await.err(),
            Some(NotSignedIn::Bad),
            "{forged}"
        );
    }
    assert_eq!(world.sessions.remembered(), 0);
}

#[tokio::test]
async fn while_the_store_is_away_what_was_seen_is_good_and_what_was_not_is_not_known() {
    static NOW: AtomicU64 = AtomicU64::new(START);
    let world = World::at(|| NOW.load(Ordering::SeqCst)).await;
    let (seen, unseen) = (world.sign_in("s1").await, world.sign_in("s2").await);
    let held = world.look(&seen).await.expect("good");
    world.users.close().await;
    assert!(!world.sessions.catch_up().await);
    assert!(world.look(&seen).await.is_ok());
    let unknown = world.look(&unseen).await.err();
    assert!(matches!(unknown, Some(NotSignedIn::Unavailable(_))));
    NOW.store(START + LIFETIME_S * 1_000, Ordering::SeqCst);
    assert_eq!(world.look(&seen).await.err(), Some(NotSignedIn::Expired));
    world
        .sessions
        .0
        .known
        .tidy(NOW.load(Ordering::SeqCst), |_| true);
    assert_eq!(over(&held), Some(NotSignedIn::Expired));
}

#[tokio::test]
async fn a_token_of_a_session_that_is_not_the_users_is_bad() {
    let world = World::at(start).await;
    world.sign_in("s1").await;
    let claims = |user: &UserId, session: &str| {
        let claims = Claims::new(user.clone(), SessionId(session.into()), START);
        world.ring.sign(STORE, &claims)
    };
    let other = claims(&UserId("mallory".into()), "s1");
    assert_eq!(world.look(&other).await.err(), Some(NotSignedIn::Bad));
    let none = claims(&world.alice.id, "s2");
    assert_eq!(world.look(&none).await.err(), Some(NotSignedIn::Bad));
}

/// The look-up has its answer, the session is ended, everything that is remembered is looked at, and only then does the
/// look-up remember what it was told.
#[tokio::test]
async fn what_was_ended_between_the_answer_and_the_memory_of_a_look_up_is_not_good() {
    let world = World::at(start).await;
    let token = world.sign_in("s1").await;
    let halt = &world.sessions.0.halt;
    halt.is_on.store(true, Ordering::SeqCst);
    let (sessions, presented) = (world.sessions.clone(), token.clone());
    let looked = tokio::spawn(async move { look(&sessions, &presented).await });
    halt.reached.notified().await;
    let id = SessionId("s1".into());
    world.users.end_session(&id, START).await.expect("ended");
    assert!(world.sessions.catch_up().await);
    halt.go_on.notify_one();
    let answer = looked.await.expect("it ends");
    assert_eq!(answer.err(), Some(NotSignedIn::Revoked));
    assert_eq!(world.look(&token).await.err(), Some(NotSignedIn::Revoked));
    assert_eq!(world.sessions.remembered(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn what_is_ended_while_it_is_looked_up_is_over_after_the_next_look() {
    let world = World::at(start).await;
    for n in 0..200 {
        let token = world.sign_in(&format!("s{n}")).await;
        let sessions = world.sessions.clone();
        let looked =
            tokio::spawn(async move { look(&sessions, &token).await.map(|held| (held, token)) });
        let id = SessionId(format!("s{n}").into());
        if n % 3 == 0 {
            tokio::task::yield_now().await;
        }
        world.users.end_session(&id, START).await.expect("ended");
        world.sessions.catch_up().await;
        let Ok((held, token)) = looked.await.expect("it ends") else {
            continue;
        };
        // It was good when it was looked up; by now it must not be, for whoever comes and for whoever holds it.
        assert_eq!(over(&held), Some(NotSignedIn::Revoked), "{n}");
        assert_eq!(world.look(&token).await.err(), Some(NotSignedIn::Revoked));
    }
}

#[tokio::test]
async fn a_certificate_is_good_until_its_time_is_over() {
    static NOW: AtomicU64 = AtomicU64::new(START);
    let clock = || NOW.load(Ordering::SeqCst);
    let world = World::at(clock).await;
    let credentials = Credentials {
        certificate: Some(shown("alice", START + 10)),
        ..Credentials::default()
    };
    let look = async || match world.sessions.authenticate(&credentials) {
        Authenticated::Now(answer) => answer,
        Authenticated::Later(answer) => answer.await,
    };
    let held = look().await.expect("good");
    NOW.store(START + 10, Ordering::SeqCst);
    assert_eq!(look().await.err(), Some(NotSignedIn::Expired));
    world.sessions.0.known.tidy(clock(), |_| true);
    assert_eq!(over(&held), Some(NotSignedIn::Expired));
    assert_eq!(look().await.err(), Some(NotSignedIn::Expired));
    assert_eq!(world.sessions.remembered(), 0);
}

/// A key that nobody has made.
fn made_up(n: usize) -> String {
    format!("amk_{n:032x}_secret")
}

#[tokio::test]
async fn whoever_makes_up_keys_holds_up_nobody_with_a_token() {
    let world = World::at(start).await;
    let token = world.sign_in("s1").await;
    let asked = &world.sessions.0.asked;
    let mut turns = Vec::new();
    for _ in 0..asked::STRANGER_TURNS {
        turns.push(asked.turn(From::Stranger).await.expect("it goes on"));
    }
    let mut waiting = tokio::task::JoinSet::new();
    for n in 0..asked::STRANGERS {
        let sessions = world.sessions.clone();
        waiting.spawn(async move { look(&sessions, &made_up(n)).await });
    }
    while asked.len() < asked::STRANGERS {
        tokio::task::yield_now().await;
    }
    let one_more = made_up(asked::STRANGERS);
    assert_eq!(world.look(&one_more).await.err(), Some(NotSignedIn::Busy));
    assert!(world.look(&token).await.is_ok());
    drop(turns);
    for answer in waiting.join_all().await {
        assert_eq!(answer.err(), Some(NotSignedIn::Bad));
    }
    let answered = world.look(&one_more).await;
    assert_eq!(answered.err(), Some(NotSignedIn::Bad));
    assert_eq!(asked.len(), 0);
}

/// Remembers so many sessions that the store knows nothing of, so each that is looked at ends.
fn remember(world: &World, count: usize) {
    for n in 0..count {
        let user = UserId("somebody".into());
        let principal = Principal {
            user: Some(user.clone()),
            ..Principal::nobody()
        };
        let presented = Presented {
            subject: Subject::Session(SessionId(format!("other {n}").into()), user),
            proof: Proof::Secret,
            expires_ms: None,
        };
        let found = subject::Found {
            principal: Arc::new(principal),
            expires_ms: None,
        };
        let digest = SecretHash::of(&n.to_le_bytes()).0;
        let put = world.sessions.0.known.put(digest, presented, found, START);
        put.expect("there is room");
    }
}

#[tokio::test]
async fn of_many_that_are_remembered_only_those_are_looked_at_that_changed() {
    let world = World::at(start).await;
    let (one, other) = (world.sign_in("s1").await, world.sign_in("s2").await);
    let (id, key) = world.make_key(Vec::new(), None).await;
    let held = [&one, &other, &key].map(|bearer| world.look(bearer));
    let held = futures::future::join_all(held).await;
    let [one, other, key] = &held[..] else {
        panic!("three");
    };
    let (one, other, key) = (
        one.as_ref().expect("good"),
        other.as_ref().expect("good"),
        key.as_ref().expect("good"),
    );
    let others = known::KNOWN - 3;
    remember(&world, others);
    let ends = || [over(one), over(other), over(key)].map(|end| end.is_some());

    let session = SessionId("s1".into());
    world
        .users
        .end_session(&session, START)
        .await
        .expect("ended");
    assert!(world.sessions.catch_up().await);
    assert_eq!(ends(), [true, false, false]);
    assert_eq!(world.sessions.remembered(), others + 2);
    world.users.revoke_key(&id, START).await.expect("revoked");
    assert!(world.sessions.catch_up().await);
    assert_eq!(ends(), [true, false, true]);
    world
        .users
        .delete(&world.alice.id, None)
        .await
        .expect("deleted");
    assert!(world.sessions.catch_up().await);
    assert_eq!(ends(), [true, true, true]);
    assert_eq!(world.sessions.remembered(), others);
}

#[tokio::test]
async fn where_the_store_does_not_know_what_changed_all_is_looked_at() {
    let world = World::at(start).await;
    let held = world.look(&world.sign_in("s1").await).await.expect("good");
    remember(&world, 100);
    // As after a copy of the database from before was put in its place.
    *world.sessions.0.settled.lock().await = Some(1_000);
    assert!(world.sessions.catch_up().await);
    assert_eq!(world.sessions.remembered(), 101, "nobody waits for it");
    let running = tokio::spawn(world.sessions.clone().run());
    while world.sessions.remembered() > 1 {
        tokio::task::yield_now().await;
    }
    assert_eq!(over(&held), None);
    running.abort();
}

#[tokio::test]
async fn what_a_key_has_signed_ends_when_the_operator_takes_the_key_away() {
    static NOW: AtomicU64 = AtomicU64::new(START);
    let clock = || NOW.load(Ordering::SeqCst);
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("keys");
    let write = |text: &str| {
        std::fs::write(&path, text).expect("written");
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            let mode = std::fs::Permissions::from_mode(0o600);
            std::fs::set_permissions(&path, mode).expect("set");
        }
    };
    write(&"11".repeat(32));
    let mut world = World::at(clock).await;
    let source = Source::Given(path.clone());
    world.ring = KeyRing::open(source, clock).await.expect("read");
    world.sessions = Sessions::new(world.users.clone(), world.ring.clone(), STORE.into(), clock);
    let (seen, unseen) = (world.sign_in("s1").await, world.sign_in("s2").await);
    let held = world.look(&seen).await.expect("good");
    let running = tokio::spawn(world.sessions.clone().run());

    // One that is being looked up meanwhile is remembered after the others have ended.
    let halt = &world.sessions.0.halt;
    halt.is_on.store(true, Ordering::SeqCst);
    let (sessions, presented) = (world.sessions.clone(), unseen.clone());
    let looked = tokio::spawn(async move { look(&sessions, &presented).await });
    halt.reached.notified().await;
    write(&"22".repeat(32));
    NOW.fetch_add(1_000, Ordering::SeqCst);
    world.ring.read_again().await;
    let mut standing = held.standing.clone();
    standing.changed().await.expect("somebody tells");
    assert_eq!(over(&held), Some(NotSignedIn::Bad));
    halt.go_on.notify_one();
    let answer = looked.await.expect("it ends");
    assert_eq!(answer.err(), Some(NotSignedIn::Bad));
    for token in [seen, unseen] {
        assert_eq!(world.look(&token).await.err(), Some(NotSignedIn::Bad));
    }
    assert_eq!(world.sessions.remembered(), 0);
    running.abort();
}
