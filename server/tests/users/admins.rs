//! Administrators: the first, the last, and what makes servers look again.

use crate::subject::{NOW, Stores, admin, create, epoch, named, secret, session, user};
use amadeus::auth::{Grant, Role, UserId};
use amadeus::users::{
    Changed, KeyId, NewKey, PasswordHash, Profile, UserChange, UserError, UserStatus,
};

const ADMIN: Grant = Grant {
    role: Role::Admin,
    scope: None,
};

fn disabled() -> UserChange {
    UserChange {
        status: Some(UserStatus::Disabled),
        ..UserChange::default()
    }
}

pub async fn the_last_administrator_stays(stores: Stores) {
    let store = &stores.one;
    let ann = create(store, admin("ann")).await;
    let bob = create(store, admin("bob")).await;
    store
        .update(&bob.id, None, disabled(), NOW)
        .await
        .expect("ann is left");
    // One who may not sign in is none.
    let refused = [
        store.update(&ann.id, None, disabled(), NOW).await,
        store.remove_role(&ann.id, None, ADMIN, NOW).await,
        store.delete(&ann.id, None).await,
    ];
    for refused in refused {
        assert_eq!(refused, Err(UserError::LastAdmin));
    }
    assert_eq!(user(store, &ann.id).await, ann);
    // Who is disabled may lose the role, and be deleted.
    store
        .remove_role(&bob.id, None, ADMIN, NOW)
        .await
        .expect("it may");
    store.delete(&bob.id, None).await.expect("it may");
    let cat = create(store, named("cat")).await;
    store
        .assign_role(&cat.id, None, ADMIN, NOW)
        .await
        .expect("it may");
    store.delete(&ann.id, None).await.expect("cat is left");
    assert_eq!(store.delete(&cat.id, None).await, Err(UserError::LastAdmin));
    assert_eq!(store.has_admin().await, Ok(true));
}

pub async fn of_two_administrators_who_leave_together_one_stays(stores: Stores) {
    for round in 0..10 {
        let ann = create(&stores.one, admin(&format!("ann{round}"))).await;
        let bob = create(&stores.one, admin(&format!("bob{round}"))).await;
        if round > 0 {
            // Whoever stayed the last time.
            let left = stores
                .one
                .list(&filter(), None, 10)
                .await
                .expect("a list")
                .0;
            let before = left
                .iter()
                .find(|user| user.id != ann.id && user.id != bob.id);
            stores
                .one
                .delete(&before.expect("one").id, None)
                .await
                .expect("two are left");
        }
        let (one, other) = tokio::join!(
            stores.one.delete(&ann.id, None),
            stores.other.update(&bob.id, None, disabled(), NOW)
        );
        let refused = [one, other]
            .into_iter()
            .filter(|answer| *answer == Err(UserError::LastAdmin))
            .count();
        assert_eq!(refused, 1);
    }
}

fn filter() -> amadeus::users::UserFilter {
    amadeus::users::UserFilter {
        role: Some(Role::Admin),
        status: Some(UserStatus::Active),
        ..Default::default()
    }
}

pub async fn the_setup_token_makes_one_administrator(stores: Stores) {
    let store = &stores.one;
    let register =
        async |name: &str, token: &str| store.create(named(name), NOW, Some(&secret(token))).await;
    assert_eq!(register("ann", "early").await, Err(UserError::SetupToken));
    assert_eq!(store.offer_setup(secret("first")).await, Ok(true));
    assert_eq!(stores.other.offer_setup(secret("second")).await, Ok(true));
    for wrong in ["first", "", "third"] {
        assert_eq!(
            register("ann", wrong).await,
            Err(UserError::SetupToken),
            "{wrong}"
        );
    }
    assert_eq!(store.user_by_username("ann").await, Ok(None));
    // A refused one does not use it up.
    create(store, named("taken")).await;
    assert!(matches!(
        register("taken", "second").await,
        Err(UserError::AlreadyExists { .. })
    ));
    let second = secret("second");
    let (one, other) = tokio::join!(
        stores.one.create(named("ann"), NOW, Some(&second)),
        stores.other.create(named("bob"), NOW, Some(&second))
    );
    let made: Vec<_> = [one, other].into_iter().flatten().collect();
    assert_eq!(made.len(), 1);
    assert_eq!(made[0].grants, [ADMIN]);
    assert_eq!(register("cat", "second").await, Err(UserError::SetupToken));
    assert_eq!(store.offer_setup(secret("third")).await, Ok(false));
    assert_eq!(register("cat", "third").await, Err(UserError::SetupToken));
}

pub async fn the_epoch_moves_when_something_is_taken_away(stores: Stores) {
    let store = &stores.one;
    let reader = Grant::everywhere(Role::Reader);
    create(store, admin("boss")).await;
    let ann = epoch(store, false, store.create(named("ann"), NOW, None))
        .await
        .id;
    epoch(
        store,
        true,
        store.assign_role(&ann, None, reader.clone(), NOW),
    )
    .await;
    epoch(
        store,
        false,
        store.assign_role(&ann, None, reader.clone(), NOW),
    )
    .await;
    epoch(store, true, store.remove_role(&ann, None, reader, NOW)).await;
    let profile = Profile {
        team: "x".into(),
        ..Profile::default()
    };
    epoch(store, false, store.update_profile(&ann, None, profile, NOW)).await;
    epoch(store, false, begin(store, "1", &ann)).await;
    epoch(
        store,
        false,
        store.rotate_session(&secret("1"), secret("2"), NOW + 10, NOW),
    )
    .await;
    epoch(
        store,
        true,
        store.rotate_session(&secret("1"), secret("3"), NOW + 10, NOW),
    )
    .await;
    epoch(store, false, store.end_session(&session("1"), NOW)).await;
    epoch(store, false, begin(store, "4", &ann)).await;
    epoch(store, true, store.end_session(&session("4"), NOW)).await;
    epoch(store, false, store.end_sessions_of(&ann, None, NOW)).await;
    epoch(store, false, begin(store, "5", &ann)).await;
    epoch(store, true, store.end_sessions_of(&ann, None, NOW)).await;
    let password = PasswordHash::new("$argon2id$x");
    epoch(store, true, store.set_password(&ann, password, None, NOW)).await;
    epoch(store, true, store.update(&ann, None, disabled(), NOW)).await;
    // Any server sees it.
    epoch(store, true, store.delete(&ann, None)).await;
    assert_eq!(stores.other.epoch().await, store.epoch().await);
}

pub async fn what_has_changed_is_told_by_who_and_which(stores: Stores) {
    let (store, other) = (&stores.one, &stores.other);
    let from = store.epoch().await.expect("it is reached");
    let since = async |epoch| {
        let changes = other.changes_since(epoch).await.expect("it is reached");
        (changes.epoch, changes.what)
    };
    assert_eq!(since(None).await, (from, None));
    assert_eq!(since(Some(from)).await, (from, Some(Vec::new())));
    create(store, admin("boss")).await;
    let ann = create(store, named("ann")).await.id;
    let reader = Grant::everywhere(Role::Reader);
    for name in ["1", "2", "3"] {
        begin(store, name, &ann).await.expect("it begins");
    }
    let new = NewKey {
        id: KeyId("k".into()),
        name: "ci".into(),
        user: ann.clone(),
        grants: Vec::new(),
        secret: secret("k"),
        expires_ms: None,
    };
    store.create_key(new, NOW).await.expect("there is room");
    assert_eq!(since(Some(from)).await, (from, Some(Vec::new())));
    let done = store.end_session(&session("1"), NOW).await;
    assert_eq!(done, Ok(true));
    store
        .assign_role(&ann, None, reader, NOW)
        .await
        .expect("it may");
    store
        .revoke_key(&KeyId("k".into()), NOW)
        .await
        .expect("it is there");
    store
        .end_session_by_refresh(&secret("2"), NOW)
        .await
        .expect("it may");
    store
        .end_sessions_of(&ann, None, NOW)
        .await
        .expect("it may");
    store.delete(&ann, None).await.expect("it may");
    let user = || Changed::User(ann.clone());
    let all = [
        Changed::Session(session("1")),
        user(),
        Changed::Key(KeyId("k".into())),
        Changed::Session(session("2")),
        user(),
        user(),
    ];
    for (step, epoch) in (from..from + 6).enumerate() {
        let told = since(Some(epoch)).await;
        assert_eq!(told, (from + 6, Some(all[step..].to_vec())));
    }
    let ahead = since(Some(from + 7)).await;
    assert_eq!(ahead, (from + 6, None), "of another past");
}

async fn begin(
    store: &amadeus::users::UserStore,
    name: &str,
    user: &UserId,
) -> Result<(), UserError> {
    store
        .begin_session(&session(name), user, None, secret(name), NOW + 10, NOW)
        .await
}

pub async fn users_without_a_role_are_counted_as_far_as_is_asked(stores: Stores) {
    let store = &stores.one;
    create(store, admin("ann")).await;
    let mut without = Vec::new();
    for name in ["bob", "cat", "dan"] {
        without.push(create(store, named(name)).await);
    }
    let many = async |many| store.are_without_role(many).await.expect("counted");
    assert!(many(0).await && many(1).await && many(3).await);
    assert!(!many(4).await);
    let reader = Grant::everywhere(Role::Reader);
    let assigned = store.assign_role(&without[0].id, None, reader, NOW).await;
    assigned.expect("a role");
    assert!(many(2).await && !many(3).await);
}
