//! The file beside a store on disk.

use crate::subject::{DAY, NOW, admin, create, named, secret, session};
use amadeus::auth::{Event, Outcome};
use amadeus::storage::{OpenOptions, Opened, open};
use amadeus::users::{
    EventFilter, EventId, KeyId, NewKey, PasswordHash, UserStore, UserStoreError,
};
use std::fs;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

struct Place(TempDir);

impl Place {
    fn new() -> Self {
        Self(tempfile::tempdir().expect("a folder"))
    }

    fn users(&self) -> PathBuf {
        self.0.path().join("graph.db.users")
    }

    async fn store(&self) -> Opened {
        let url = format!("sqlite://{}", self.0.path().join("graph.db").display());
        open(&url, &OpenOptions::default()).await.expect("it opens")
    }
}

async fn close(opened: Opened, users: UserStore) {
    users.close().await;
    opened.backend.close().await.expect("it closes");
}

#[tokio::test]
async fn a_file_that_is_opened_again_keeps_all() {
    let place = Place::new();
    let opened = place.store().await;
    let users = UserStore::open(&opened).await.expect("it opens");
    let ann = create(&users, admin("ann")).await;
    users
        .set_password(&ann.id, PasswordHash::new("$x"), None, NOW)
        .await
        .expect("it may");
    users
        .begin_session(
            &session("a"),
            &ann.id,
            Some(&PasswordHash::new("$x")),
            secret("a"),
            NOW + DAY,
            NOW,
        )
        .await
        .expect("it begins");
    let key = NewKey {
        id: KeyId("k".into()),
        name: "ci".into(),
        user: ann.id.clone(),
        grants: Vec::new(),
        secret: secret("k"),
        expires_ms: None,
    };
    users.create_key(key, NOW).await.expect("there is room");
    let event = Event {
        time_ms: NOW,
        actor: "ann".into(),
        source: String::new(),
        action: "login",
        resource: String::new(),
        outcome: Outcome::Done,
        reason: String::new(),
    };
    users.append_events(&[event]).await.expect("there is room");
    let all = async |users: &UserStore| {
        let credential = users
            .credential("ann")
            .await
            .expect("it is reached")
            .expect("it is there");
        (
            credential.user,
            credential.password,
            users.session(&session("a")).await,
            users.key(&KeyId("k".into())).await,
            users.epoch().await,
            users
                .events(&EventFilter::default(), EventId::default(), 10)
                .await,
        )
    };
    let before = all(&users).await;
    close(opened, users.clone()).await;
    assert!(users.epoch().await.is_err(), "it answers nobody any more");
    let opened = place.store().await;
    let users = UserStore::open(&opened).await.expect("it opens");
    assert_eq!(all(&users).await, before);
    create(&users, named("bob")).await;
}

#[cfg(unix)]
#[tokio::test]
async fn only_the_owner_reads_the_file() {
    use std::os::unix::fs::PermissionsExt as _;
    let place = Place::new();
    let mode = |path: &Path| {
        fs::metadata(path)
            .expect("it is there")
            .permissions()
            .mode()
            & 0o777
    };
    let opened = place.store().await;
    let users = UserStore::open(&opened).await.expect("it opens");
    create(&users, named("ann")).await;
    for entry in fs::read_dir(place.0.path()).expect("a folder") {
        let path = entry.expect("it can be read").path();
        if path.to_string_lossy().contains("graph.db.users") {
            assert_eq!(mode(&path), 0o600, "{}", path.display());
        }
    }
    close(opened, users).await;
    fs::set_permissions(place.users(), fs::Permissions::from_mode(0o644)).expect("it may");
    let opened = place.store().await;
    let _users = UserStore::open(&opened).await.expect("it opens");
    assert_eq!(mode(&place.users()), 0o600);
}

#[tokio::test]
async fn a_file_that_cannot_be_read_is_refused_and_left_as_it_is() {
    for content in [Vec::new(), b"no database".to_vec(), vec![7; 10_000]] {
        let place = Place::new();
        let opened = place.store().await;
        fs::write(place.users(), &content).expect("it may");
        let refused = UserStore::open(&opened).await.err().expect("it is refused");
        assert!(
            matches!(refused, UserStoreError::Damaged { .. }),
            "{refused}"
        );
        assert_eq!(fs::read(place.users()).expect("it is there"), content);
    }
}

#[tokio::test]
async fn a_new_store_beside_the_users_of_another_has_them() {
    let place = Place::new();
    let opened = place.store().await;
    let users = UserStore::open(&opened).await.expect("it opens");
    let ann = create(&users, admin("ann")).await;
    close(opened, users).await;
    for entry in fs::read_dir(place.0.path()).expect("a folder") {
        let path = entry.expect("it can be read").path();
        if !path.to_string_lossy().contains("graph.db.users") && path.is_file() {
            fs::remove_file(path).expect("it may");
        }
    }
    let opened = place.store().await;
    let users = UserStore::open(&opened).await.expect("it opens");
    assert_eq!(users.user(&ann.id).await, Ok(Some(ann)));
}
