//! Names and addresses, lists and versions.

use crate::subject::{NOW, Stores, create, named, user};
use amadeus::auth::{Grant, Role, UserId};
use amadeus::users::{
    Email, NewUser, Profile, UserChange, UserError, UserFilter, UserStatus, Username,
};
use kg_core::access::Scope;
use tokio::task::JoinSet;

fn email(text: &str) -> Option<Email> {
    Some(Email::parse("email", text).expect("an address"))
}

fn renamed(name: &str) -> UserChange {
    UserChange {
        username: Some(Username::parse("username", name).expect("a name")),
        ..UserChange::default()
    }
}

/// The letters of `somebody` in the case that the bits of `number` say.
fn in_case(number: u32) -> String {
    let letters = "somebody".chars().enumerate();
    letters
        .map(|(place, letter)| match number >> place & 1 {
            1 => letter.to_ascii_uppercase(),
            _ => letter,
        })
        .collect()
}

pub async fn of_many_who_want_one_name_one_gets_it(stores: Stores) {
    let mut all = JoinSet::new();
    for number in 0..64 {
        let store = if number % 2 == 0 {
            &stores.one
        } else {
            &stores.other
        }
        .clone();
        let new = NewUser {
            grants: vec![Grant::everywhere(Role::Reader)],
            ..named(&in_case(number * 3))
        };
        all.spawn(async move { store.create(new, NOW, None).await });
    }
    let (mut made, mut refused) = (Vec::new(), 0);
    for answer in all.join_all().await {
        match answer {
            Ok(user) => made.push(user),
            Err(UserError::AlreadyExists { field, .. }) => {
                assert_eq!(field, "username");
                refused += 1;
            }
            Err(other) => panic!("{other}"),
        }
    }
    assert_eq!((made.len(), refused), (1, 63));
    let (listed, total) = stores
        .other
        .list(&UserFilter::default(), None, 100)
        .await
        .expect("a list");
    assert_eq!((&listed, total), (&made, 1));
    for (table, count) in [
        ("amadeus_users", 1),
        ("amadeus_sessions", 0),
        ("amadeus_refreshed", 0),
        ("amadeus_api_keys", 0),
        ("amadeus_events", 0),
    ] {
        assert!(
            stores.rows(table).await.is_none_or(|rows| rows == count),
            "{table}"
        );
    }
}

pub async fn an_address_is_unique_whatever_its_case(stores: Stores) {
    let ann = NewUser {
        email: email("Ann@Example.org"),
        ..named("ann")
    };
    let ann = create(&stores.one, ann).await;
    let again = NewUser {
        email: email("aNN@example.ORG"),
        ..named("bob")
    };
    let refused = stores.other.create(again, NOW, None).await;
    assert!(matches!(
        refused,
        Err(UserError::AlreadyExists { field: "email", .. })
    ));
    // Those without one are not in each other's way.
    let bob = create(&stores.one, named("bob")).await;
    create(&stores.one, named("cat")).await;
    let change = UserChange {
        email: Some(email("ann@example.org")),
        ..UserChange::default()
    };
    let refused = stores.one.update(&bob.id, None, change.clone(), NOW).await;
    assert!(matches!(
        refused,
        Err(UserError::AlreadyExists { field: "email", .. })
    ));
    let gone = UserChange {
        email: Some(None),
        ..UserChange::default()
    };
    assert_eq!(
        stores
            .one
            .update(&ann.id, None, gone, NOW)
            .await
            .expect("it may")
            .email,
        ""
    );
    assert_eq!(
        stores
            .one
            .update(&bob.id, None, change, NOW)
            .await
            .expect("free")
            .email,
        "ann@example.org"
    );
    let name = |name| Username::parse("username", name).expect("a name");
    let taken = async |username, email: Option<Email>| {
        stores.other.is_taken(&name(username), email.as_ref()).await
    };
    assert_eq!(taken("ANN", None).await, Ok(true));
    assert_eq!(taken("dan", email("ANN@EXAMPLE.ORG")).await, Ok(true));
    assert_eq!(taken("dan", email("dan@example.org")).await, Ok(false));
    assert_eq!(taken("dan", None).await, Ok(false));
}

pub async fn a_name_that_was_given_up_is_free(stores: Stores) {
    let ann = create(&stores.one, named("Ann")).await;
    let bob = create(&stores.one, named("bob")).await;
    let refused = stores.one.update(&bob.id, None, renamed("ANN"), NOW).await;
    assert!(matches!(
        refused,
        Err(UserError::AlreadyExists {
            field: "username",
            ..
        })
    ));
    // In another case it is one's own.
    let ann = stores
        .one
        .update(&ann.id, None, renamed("ANN"), NOW)
        .await
        .expect("it may");
    assert_eq!(ann.username, "ANN");
    stores
        .other
        .update(&ann.id, None, renamed("cat"), NOW)
        .await
        .expect("free");
    stores
        .one
        .update(&bob.id, None, renamed("ann"), NOW)
        .await
        .expect("free");
    let found = stores
        .other
        .user_by_username("aNN")
        .await
        .expect("it is reached");
    assert_eq!(found.expect("there is one").id, bob.id);
    stores.one.delete(&bob.id, None).await.expect("it may");
    assert_ne!(create(&stores.one, named("ann")).await.id, bob.id);
}

pub async fn users_are_found_by_name_and_by_address(stores: Stores) {
    let ann = NewUser {
        email: email("ann@example.org"),
        ..named("Ann")
    };
    let ann = create(&stores.one, ann).await;
    assert_eq!(user(&stores.other, &ann.id).await, ann);
    for name in ["ann", "ANN", "ann@example.org", "ANN@example.org"] {
        let found = stores.one.credential(name).await.expect("it is reached");
        let found = found.expect(name);
        assert_eq!((found.user, found.password), (ann.clone(), None));
    }
    let odd = [
        "",
        "an",
        "ann@",
        "%",
        "a\0nn",
        "' OR 1=1 --",
        &"x".repeat(100_000),
    ];
    for nobody in odd {
        assert!(
            stores
                .one
                .credential(nobody)
                .await
                .expect("it is reached")
                .is_none()
        );
        assert_eq!(stores.one.user_by_username(nobody).await, Ok(None));
        assert_eq!(stores.one.user(&UserId(nobody.into())).await, Ok(None));
        assert!(
            stores
                .one
                .credential_of(&UserId(nobody.into()))
                .await
                .expect("it is reached")
                .is_none()
        );
    }
}

pub async fn users_are_listed_by_name_in_pages(stores: Stores) {
    let scoped = Grant {
        role: Role::Writer,
        scope: Some(Scope::default()),
    };
    for number in 0..25 {
        let new = NewUser {
            status: if number % 5 == 0 {
                UserStatus::Disabled
            } else {
                UserStatus::Active
            },
            grants: if number % 2 == 0 {
                vec![scoped.clone()]
            } else {
                vec![Grant::everywhere(Role::Reader)]
            },
            ..named(&format!(
                "{}ser-{number:02}",
                if number % 3 == 0 { 'U' } else { 'u' }
            ))
        };
        create(&stores.one, new).await;
    }
    create(&stores.one, named("user_00")).await;
    create(&stores.one, named("other")).await;
    let mut names: Vec<String> = Vec::new();
    loop {
        let filter = UserFilter {
            prefix: "USER-".into(),
            ..UserFilter::default()
        };
        let after = names.last().cloned();
        let (page, total) = stores
            .other
            .list(&filter, after.as_deref(), 10)
            .await
            .expect("a page");
        assert_eq!(total, 25);
        if page.is_empty() {
            break;
        }
        names.extend(page.into_iter().map(|user| user.username));
    }
    let folded: Vec<String> = names.iter().map(|name| name.to_lowercase()).collect();
    let wanted: Vec<String> = (0..25).map(|number| format!("user-{number:02}")).collect();
    assert_eq!(folded, wanted);
    let count = async |prefix: &str, status, role| {
        let filter = UserFilter {
            prefix: prefix.into(),
            status,
            role,
        };
        let (users, total) = stores.one.list(&filter, None, 1_000).await.expect("a list");
        assert_eq!(users.len(), total as usize);
        total
    };
    assert_eq!(count("", None, None).await, 27);
    assert_eq!(count("user_", None, None).await, 1);
    assert_eq!(count("%", None, None).await, 0);
    assert_eq!(count("", Some(UserStatus::Disabled), None).await, 5);
    assert_eq!(count("", None, Some(Role::Writer)).await, 13);
    assert_eq!(count("", None, Some(Role::Admin)).await, 0);
    assert_eq!(
        count("user-", Some(UserStatus::Disabled), Some(Role::Writer)).await,
        3
    );
}

pub async fn of_many_who_change_one_version_one_does(stores: Stores) {
    let ann = create(&stores.one, named("ann")).await;
    assert_eq!(ann.version, 1);
    let mut all = JoinSet::new();
    for number in 0..16 {
        let store = if number % 2 == 0 {
            &stores.one
        } else {
            &stores.other
        }
        .clone();
        let id = ann.id.clone();
        let profile = Profile {
            team: number.to_string(),
            ..Profile::default()
        };
        all.spawn(async move { store.update_profile(&id, Some(1), profile, NOW + 1).await });
    }
    let answers = all.join_all().await;
    let refused = Err(UserError::VersionMismatch {
        expected: 1,
        actual: 2,
    });
    assert_eq!(
        answers.iter().filter(|answer| **answer == refused).count(),
        15
    );
    let changed: Vec<_> = answers.into_iter().flatten().collect();
    assert_eq!(changed, [user(&stores.one, &ann.id).await]);
    assert_eq!(
        (
            changed[0].version,
            changed[0].updated_ms,
            changed[0].created_ms
        ),
        (2, NOW + 1, NOW)
    );
    let nobody = UserId("0".into());
    let refused = stores
        .one
        .update_profile(&nobody, Some(1), Profile::default(), NOW)
        .await;
    assert!(matches!(refused, Err(UserError::NotFound(_))));
}

pub async fn a_change_that_changes_nothing_makes_no_version(stores: Stores) {
    let new = NewUser {
        grants: vec![Grant::everywhere(Role::Reader); 3],
        ..named("ann")
    };
    let ann = create(&stores.one, new).await;
    assert_eq!(ann.grants, [Grant::everywhere(Role::Reader)]);
    let again = stores
        .one
        .assign_role(&ann.id, Some(1), Grant::everywhere(Role::Reader), NOW + 1)
        .await;
    assert_eq!(again, Ok(ann.clone()));
    let again = stores
        .one
        .update(&ann.id, None, renamed("ann"), NOW + 1)
        .await;
    assert_eq!(again, Ok(ann.clone()));
    let none = stores
        .one
        .remove_role(&ann.id, None, Grant::everywhere(Role::Writer), NOW + 1)
        .await;
    assert!(matches!(none, Err(UserError::NotFound(_))));
    let many = (0..101).map(|number| Grant {
        role: Role::Reader,
        scope: Some(Scope {
            name_prefix: number.to_string(),
            ..Scope::default()
        }),
    });
    let many = NewUser {
        grants: many.collect(),
        ..named("bob")
    };
    let refused = stores.one.create(many, NOW, None).await;
    assert!(matches!(refused, Err(UserError::TooMany(_))));
    assert_eq!(stores.one.user_by_username("bob").await, Ok(None));
}

pub async fn what_is_said_about_a_user_comes_back(stores: Stores) {
    let said = Profile {
        display_name: "Ann \u{1f600} \"x\"".into(),
        team: "a\\b".into(),
        contact: "line\nline".into(),
        attributes: [
            ("é".to_owned(), String::new()),
            (String::new(), "1".to_owned()),
        ]
        .into(),
    };
    let scope = Scope {
        kind: None,
        name_prefix: "team/%".into(),
        owner: Some("it's".into()),
    };
    let new = NewUser {
        profile: said.clone(),
        grants: vec![
            Grant {
                role: Role::Writer,
                scope: Some(scope),
            },
            Grant::everywhere(Role::Reader),
        ],
        status: UserStatus::Disabled,
        ..named("ann")
    };
    let ann = create(&stores.one, new).await;
    assert_eq!(user(&stores.other, &ann.id).await, ann);
    assert_eq!(ann.profile, said);
}
