//! Sessions: refresh tokens that rotate, and what ends them.

use crate::subject::{DAY, NOW, Stores, create, named, secret, session, user};
use amadeus::auth::UserId;
use amadeus::users::{
    Key, KeyId, NewKey, NewUser, PasswordHash, Rotated, UserChange, UserError, UserStatus,
    UserStore,
};
use tokio::task::JoinSet;

async fn begin(store: &UserStore, name: &str, user: &UserId) {
    let begun = store
        .begin_session(&session(name), user, None, secret(name), NOW + DAY, NOW)
        .await;
    begun.expect("it begins");
}

async fn rotate(store: &UserStore, presented: &str, next: &str, now_ms: u64) -> Rotated {
    let rotated = store
        .rotate_session(&secret(presented), secret(next), NOW + 2 * DAY, now_ms)
        .await;
    rotated.expect("it is reached")
}

async fn has_ended(store: &UserStore, name: &str) -> bool {
    let state = store.session(&session(name)).await.expect("it is reached");
    state.expect("it is there").ended
}

pub async fn a_refresh_token_is_exchanged_once(stores: Stores) {
    let ann = create(&stores.one, named("ann")).await;
    begin(&stores.one, "a", &ann.id).await;
    begin(&stores.one, "b", &ann.id).await;
    let state = stores
        .other
        .session(&session("a"))
        .await
        .expect("it is reached")
        .expect("it is there");
    assert_eq!(
        (state.user, state.expires_ms, state.ended),
        (ann.clone(), NOW + DAY, false)
    );
    let done = Rotated::Done {
        session: session("a"),
        user: ann.clone(),
    };
    assert_eq!(rotate(&stores.one, "a", "a2", NOW).await, done);
    assert_eq!(rotate(&stores.other, "a2", "a3", NOW).await, done);
    assert_eq!(
        rotate(&stores.one, "never", "x", NOW).await,
        Rotated::Unknown
    );
    let state = stores
        .other
        .session(&session("a"))
        .await
        .expect("it is reached")
        .expect("it is there");
    assert_eq!((state.expires_ms, state.ended), (NOW + 2 * DAY, false));
    // The oldest gives the copy away as well, and the good one is good no more.
    let reused = Rotated::Reused {
        session: session("a"),
        user_id: ann.id.clone(),
    };
    assert_eq!(rotate(&stores.other, "a", "x", NOW).await, reused);
    assert!(has_ended(&stores.one, "a").await);
    for token in ["a", "a2", "a3"] {
        assert_eq!(
            rotate(&stores.one, token, "x", NOW).await,
            Rotated::Ended,
            "{token}"
        );
    }
    assert_eq!(rotate(&stores.one, "x", "y", NOW).await, Rotated::Unknown);
    assert!(!has_ended(&stores.one, "b").await, "another family");
}

pub async fn of_many_who_exchange_one_token_one_wins_and_the_session_ends(stores: Stores) {
    let ann = create(&stores.one, named("ann")).await;
    begin(&stores.one, "a", &ann.id).await;
    let mut all = JoinSet::new();
    for number in 0..16 {
        let store = if number % 2 == 0 {
            &stores.one
        } else {
            &stores.other
        }
        .clone();
        all.spawn(async move { rotate(&store, "a", &format!("next-{number}"), NOW).await });
    }
    let answers = all.join_all().await;
    let count =
        |wanted: fn(&Rotated) -> bool| answers.iter().filter(|answer| wanted(answer)).count();
    assert_eq!(count(|answer| matches!(answer, Rotated::Done { .. })), 1);
    assert_eq!(count(|answer| matches!(answer, Rotated::Reused { .. })), 1);
    assert_eq!(count(|answer| matches!(answer, Rotated::Ended)), 14);
    assert!(has_ended(&stores.one, "a").await);
}

pub async fn a_session_ends_with_its_time_and_with_its_user(stores: Stores) {
    let store = &stores.one;
    let ann = create(store, named("ann")).await;
    begin(store, "a", &ann.id).await;
    assert_eq!(rotate(store, "a", "b", NOW + DAY).await, Rotated::Expired);
    let status = |status| UserChange {
        status: Some(status),
        ..UserChange::default()
    };
    store
        .update(&ann.id, None, status(UserStatus::Disabled), NOW)
        .await
        .expect("it may");
    assert_eq!(rotate(store, "a", "b", NOW).await, Rotated::Ended);
    let refused = store
        .begin_session(&session("b"), &ann.id, None, secret("b"), NOW + DAY, NOW)
        .await;
    assert!(matches!(refused, Err(UserError::NotFound(_))));
    // Who comes back signs in anew.
    store
        .update(&ann.id, None, status(UserStatus::Active), NOW)
        .await
        .expect("it may");
    assert_eq!(rotate(store, "a", "b", NOW).await, Rotated::Ended);
    begin(store, "c", &ann.id).await;
    assert_eq!(
        store.end_session_by_refresh(&secret("never"), NOW).await,
        Ok(None)
    );
    let ended = store.end_session_by_refresh(&secret("c"), NOW).await;
    assert_eq!(ended, Ok(Some((session("c"), ann.id.clone()))));
    assert_eq!(
        store.end_session_by_refresh(&secret("c"), NOW).await,
        Ok(None)
    );
    assert_eq!(store.end_session(&session("c"), NOW).await, Ok(false));
    // Long after its time it is forgotten, and its token unknown.
    begin(store, "d", &ann.id).await;
    let later = NOW + 3 * DAY;
    store
        .begin_session(
            &session("e"),
            &ann.id,
            None,
            secret("e"),
            later + DAY,
            later,
        )
        .await
        .expect("it begins");
    assert_eq!(store.session(&session("d")).await, Ok(None));
    assert_eq!(rotate(store, "d", "x", later).await, Rotated::Unknown);
}

pub async fn a_password_ends_all_sessions_but_one(stores: Stores) {
    let store = &stores.one;
    let (ann, bob) = (
        create(store, named("ann")).await,
        create(store, named("bob")).await,
    );
    for name in ["a", "b", "c"] {
        begin(store, name, &ann.id).await;
    }
    begin(store, "bob", &bob.id).await;
    store
        .end_session(&session("c"), NOW)
        .await
        .expect("it ends");
    let password = PasswordHash::new("$argon2id$v=19$secret");
    let ended = store
        .set_password(&ann.id, password.clone(), Some(&session("a")), NOW + 1)
        .await;
    assert_eq!(ended, Ok(1));
    let kept = stores
        .other
        .credential("ann")
        .await
        .expect("it is reached")
        .expect("it is there");
    assert_eq!(kept.password, Some(password.clone()));
    assert_eq!((kept.user.version, kept.user.updated_ms), (2, NOW + 1));
    for (name, ended) in [("a", false), ("b", true), ("bob", false)] {
        assert_eq!(has_ended(&stores.other, name).await, ended, "{name}");
    }
    assert_eq!(store.end_sessions_of(&ann.id, None, NOW).await, Ok(1));
    let refused = store
        .set_password(&UserId("0".into()), password, None, NOW)
        .await;
    assert!(matches!(refused, Err(UserError::NotFound(_))));
}

pub async fn a_password_that_was_changed_begins_no_session(stores: Stores) {
    let (old, new) = (
        PasswordHash::new("$argon2id$v=19$old"),
        PasswordHash::new("$argon2id$v=19$new"),
    );
    let with_password = NewUser {
        password: Some(old.clone()),
        ..named("ann")
    };
    let (store, ann) = (&stores.one, create(&stores.one, with_password).await.id);
    let begin = async |name: &str, compared: Option<&PasswordHash>| {
        let begun = store
            .begin_session(&session(name), &ann, compared, secret(name), NOW + DAY, NOW)
            .await;
        begun.is_ok()
    };
    assert!(begin("a", Some(&old)).await);
    assert!(!begin("b", None).await);
    // Another hash of the same password counts from then on, and the first no more.
    let anew = PasswordHash::new("$argon2id$v=19$anew");
    let replaced = store.replace_hash(&ann, &old, anew.clone()).await;
    assert_eq!(replaced, Ok(true));
    assert_eq!(store.replace_hash(&ann, &old, new.clone()).await, Ok(false));
    assert!(!begin("c", Some(&old)).await);
    assert!(begin("d", Some(&anew)).await);
    // Somebody has compared the old one, and the other server sets the new one before the session begins.
    let ended = stores
        .other
        .set_password(&ann, new.clone(), None, NOW)
        .await;
    assert_eq!(ended, Ok(2));
    assert!(!begin("e", Some(&anew)).await);
    assert!(begin("f", Some(&new)).await);
    assert_eq!(store.session(&session("e")).await, Ok(None));
}

pub async fn with_one_session_too_many_the_oldest_ends(stores: Stores) {
    let store = &stores.one;
    let ann = create(store, named("ann")).await;
    for number in 0..101 {
        let name = number.to_string();
        let begun = store
            .begin_session(
                &session(&name),
                &ann.id,
                None,
                secret(&name),
                NOW + DAY,
                NOW + number,
            )
            .await;
        begun.expect("it begins");
    }
    assert!(has_ended(store, "0").await);
    assert!(!has_ended(store, "1").await);
    // One that was used is not the oldest.
    assert!(matches!(
        rotate(store, "1", "1b", NOW + 200).await,
        Rotated::Done { .. }
    ));
    begin(store, "more", &ann.id).await;
    assert!(!has_ended(store, "1").await);
    assert!(has_ended(store, "2").await);
}

pub async fn who_is_deleted_leaves_no_row(stores: Stores) {
    let store = &stores.one;
    let ann = create(store, named("ann")).await;
    begin(store, "a", &ann.id).await;
    rotate(store, "a", "a2", NOW).await;
    let new = NewKey {
        id: KeyId("k".into()),
        name: "ci".into(),
        user: ann.id.clone(),
        grants: Vec::new(),
        secret: secret("k"),
        expires_ms: None,
    };
    let _: Key = store.create_key(new, NOW).await.expect("there is room");
    let refused = store.delete(&ann.id, Some(7)).await;
    assert_eq!(
        refused,
        Err(UserError::VersionMismatch {
            expected: 7,
            actual: 1
        })
    );
    assert_eq!(user(store, &ann.id).await, ann);
    assert_eq!(store.delete(&ann.id, Some(1)).await, Ok(ann.clone()));
    assert_eq!(stores.other.user(&ann.id).await, Ok(None));
    assert_eq!(stores.other.session(&session("a")).await, Ok(None));
    assert_eq!(stores.other.key(&KeyId("k".into())).await, Ok(None));
    assert_eq!(rotate(store, "a2", "x", NOW).await, Rotated::Unknown);
    assert!(matches!(
        store.delete(&ann.id, None).await,
        Err(UserError::NotFound(_))
    ));
    for table in [
        "amadeus_users",
        "amadeus_sessions",
        "amadeus_refreshed",
        "amadeus_api_keys",
    ] {
        assert!(
            stores.rows(table).await.is_none_or(|rows| rows == 0),
            "{table}"
        );
    }
}
