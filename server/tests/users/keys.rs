//! API keys, and the keys that servers sign with.

use crate::subject::{DAY, NOW, Stores, create, named, secret};
use amadeus::auth::{Grant, Role, UserId};
use amadeus::users::{KeyId, NewKey, SigningKey, UserChange, UserError, UserStatus};
use kg_core::access::Scope;
use tokio::task::JoinSet;

fn key(id: &str, name: &str, user: &UserId) -> NewKey {
    NewKey {
        id: KeyId(id.into()),
        name: name.into(),
        user: user.clone(),
        grants: vec![Grant {
            role: Role::Reader,
            scope: Some(Scope::default()),
        }],
        secret: secret(id),
        expires_ms: Some(NOW + DAY),
    }
}

pub async fn a_key_is_good_until_it_ends(stores: Stores) {
    let store = &stores.one;
    let ann = create(store, named("ann")).await;
    let made = store
        .create_key(key("k1", "ci", &ann.id), NOW)
        .await
        .expect("there is room");
    let found = stores
        .other
        .key(&made.id)
        .await
        .expect("it is reached")
        .expect("it is there");
    assert_eq!(found, (made.clone(), secret("k1"), ann.clone()));
    assert!(made.is_live(NOW) && !made.is_live(NOW + DAY));
    let before = store.epoch().await.expect("it is reached");
    let revoked = store
        .revoke_key(&made.id, NOW + 1)
        .await
        .expect("it is there");
    assert_eq!(revoked.revoked_ms, Some(NOW + 1));
    assert!(!revoked.is_live(NOW + 1));
    let after = store.epoch().await.expect("it is reached");
    assert!(after > before);
    assert_eq!(
        store.revoke_key(&made.id, NOW + 2).await,
        Ok(revoked.clone())
    );
    assert_eq!(store.epoch().await, Ok(after));
    let none = store.revoke_key(&KeyId("none".into()), NOW).await;
    assert!(matches!(none, Err(UserError::NotFound(_))));
    store
        .create_key(key("k2", "ci", &ann.id), NOW)
        .await
        .expect("the name is free");
    let list = async |ended, after: Option<&KeyId>, now| {
        let listed = stores
            .other
            .list_keys(&ann.id, ended, after, 10, now)
            .await
            .expect("a list");
        listed
            .into_iter()
            .map(|key| key.id.to_string())
            .collect::<Vec<_>>()
    };
    assert_eq!(list(false, None, NOW).await, ["k2"]);
    assert_eq!(list(true, None, NOW).await, ["k1", "k2"]);
    assert_eq!(list(true, Some(&made.id), NOW).await, ["k2"]);
    assert!(list(false, None, NOW + DAY).await.is_empty());
    let disabled = UserChange {
        status: Some(UserStatus::Disabled),
        ..UserChange::default()
    };
    store
        .update(&ann.id, None, disabled, NOW)
        .await
        .expect("it may");
    let refused = store.create_key(key("k3", "more", &ann.id), NOW).await;
    assert!(matches!(refused, Err(UserError::NotFound(_))));
}

pub async fn keys_are_bounded_and_their_names_unique(stores: Stores) {
    let store = &stores.one;
    let (ann, bob) = (
        create(store, named("ann")).await,
        create(store, named("bob")).await,
    );
    for number in 0..100 {
        let new = key(&format!("k{number:03}"), &format!("key-{number}"), &ann.id);
        store.create_key(new, NOW).await.expect("there is room");
    }
    let again = store.create_key(key("x", "KEY-7", &ann.id), NOW).await;
    assert_eq!(
        again,
        Err(UserError::AlreadyExists {
            field: "name",
            value: "KEY-7".into()
        })
    );
    let more = store.create_key(key("x", "more", &ann.id), NOW).await;
    assert!(matches!(more, Err(UserError::TooMany(_))));
    store
        .create_key(key("b", "key-7", &bob.id), NOW)
        .await
        .expect("another's name");
    // Those that have ended are in nobody's way, and the oldest are forgotten.
    for round in 1..=3 {
        let later = NOW + round * 2 * DAY;
        for number in 0..100 {
            let mut new = key(
                &format!("r{round}-{number:03}"),
                &format!("key-{number}"),
                &ann.id,
            );
            new.expires_ms = Some(later + DAY);
            store.create_key(new, later).await.expect("there is room");
        }
    }
    let all = store
        .list_keys(&ann.id, true, None, 1_000, NOW)
        .await
        .expect("a list");
    assert_eq!(all.len(), 300);
    assert!(all.iter().all(|key| !key.id.0.starts_with('k')));
}

pub async fn of_servers_that_come_together_one_adds_the_signing_key(stores: Stores) {
    let mut all = JoinSet::new();
    for number in 0..8 {
        let store = if number % 2 == 0 {
            &stores.one
        } else {
            &stores.other
        }
        .clone();
        let key = SigningKey {
            id: number.to_string(),
            secret: vec![number, 0, 255],
            created_ms: NOW,
        };
        all.spawn(async move {
            store
                .add_signing_key(key, NOW - DAY)
                .await
                .expect("it is reached")
        });
    }
    let answers = all.join_all().await;
    let first = stores.one.signing_keys().await.expect("it is reached");
    assert_eq!(first.len(), 1);
    assert!(answers.iter().all(|answer| *answer == first));
    assert!(!format!("{first:?}").contains("255"));
    let next = SigningKey {
        id: "next".into(),
        secret: vec![9],
        created_ms: NOW + DAY,
    };
    let both = stores
        .other
        .add_signing_key(next.clone(), NOW + 1)
        .await
        .expect("it is reached");
    assert_eq!(both, [next.clone(), first[0].clone()]);
    assert_eq!(stores.one.drop_signing_keys(NOW + 1).await, Ok(1));
    assert_eq!(stores.other.signing_keys().await, Ok(vec![next]));
}
