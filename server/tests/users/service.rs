//! `UserService`: who may do what, what is refused by which name, and what the audit log is told.

use amadeus::auth::{Outcome, Role};
use amadeus::users::UserStatus;
use amadeus_proto::v1;
use tonic::{Code, Status};
use tonic_types::StatusExt as _;
use v1::user_service_server::UserService as _;

use crate::server::{Server, by, caller, clock};
use crate::subject::{NOW, admin, create, named, secret, session};

fn new(name: &str) -> v1::CreateUserRequest {
    v1::CreateUserRequest {
        username: name.into(),
        ..v1::CreateUserRequest::default()
    }
}

fn code<T>(reply: Result<T, Status>) -> Code {
    reply.err().map_or(Code::Ok, |status| status.code())
}

/// The field that is wrong.
fn field<T>(reply: Result<T, Status>) -> String {
    let status = reply.err().expect("it is refused");
    assert_eq!(status.code(), Code::InvalidArgument, "{status}");
    let details = status.get_details_bad_request().expect("details");
    details.field_violations[0].field.clone()
}

#[tokio::test]
async fn a_user_is_made_read_changed_and_deleted() {
    let mut server = Server::start().await;
    let boss = create(&server.users, admin("boss")).await;
    let boss = caller("boss", Some(&boss.id), Some(Role::Admin));
    let rpc = server.rpc.clone();
    let asked = v1::CreateUserRequest {
        email: "Ann@example.org".into(),
        password: "correct horse".into(),
        profile: Some(v1::Profile {
            team: "web".into(),
            ..v1::Profile::default()
        }),
        roles: vec![v1::Role::Reader.into()],
        grants: vec![v1::Grant {
            role: v1::Role::Writer.into(),
            scope: Some(v1::Scope {
                name_prefix: "web/".into(),
                ..v1::Scope::default()
            }),
        }],
        reason: "she asked".into(),
        ..new("Ann")
    };
    let made = rpc
        .create_user(by(&boss, asked.clone()))
        .await
        .expect("it may")
        .into_inner();
    let ann = made.user.expect("a user");
    assert_eq!(made.header.expect("a header").store_id.len(), 32);
    assert_eq!(
        (ann.username.as_str(), ann.version, ann.status),
        ("Ann", 1, v1::UserStatus::Active.into())
    );
    assert_eq!(
        (ann.roles.as_slice(), ann.grants.len()),
        (&[v1::Role::Reader.into()][..], 2)
    );
    assert_eq!(
        code(
            rpc.create_user(by(
                &boss,
                v1::CreateUserRequest {
                    username: "ANN".into(),
                    ..asked.clone()
                }
            ))
            .await
        ),
        Code::AlreadyExists
    );
    assert_eq!(
        code(
            rpc.create_user(by(
                &boss,
                v1::CreateUserRequest {
                    password: String::new(),
                    ..new("aNN")
                }
            ))
            .await
        ),
        Code::AlreadyExists
    );
    let told = server.told();
    let told: Vec<_> = told
        .iter()
        .map(|e| {
            (
                e.action,
                &*e.actor,
                e.resource.as_str(),
                e.outcome,
                e.reason.as_str(),
            )
        })
        .collect();
    assert_eq!(
        told,
        [
            (
                "create_user",
                "boss",
                "user/Ann",
                Outcome::Done,
                "writer within (prefix \"web/\"), reader: she asked"
            ),
            (
                "create_user",
                "boss",
                "user/aNN",
                Outcome::Refused,
                "the name or the address is taken"
            ),
        ]
    );
    let id = ann.id.clone();
    let got = rpc
        .get_user(by(
            &boss,
            v1::GetUserRequest {
                user_id: id.clone(),
            },
        ))
        .await
        .expect("it is there");
    assert_eq!(got.into_inner().user, Some(ann.clone()));
    let by_name = v1::GetUserByUsernameRequest {
        username: "aNn".into(),
    };
    let got = rpc
        .get_user_by_username(by(&boss, by_name))
        .await
        .expect("it is there");
    assert_eq!(got.into_inner().user, Some(ann));
    let update = |version, status: v1::UserStatus| v1::UpdateUserRequest {
        user_id: id.clone(),
        username: Some("anna".into()),
        email: Some(String::new()),
        status: status.into(),
        expected_version: Some(version),
        reason: String::new(),
    };
    assert_eq!(
        code(
            rpc.update_user(by(&boss, update(7, v1::UserStatus::Disabled)))
                .await
        ),
        Code::Aborted
    );
    let updated = rpc
        .update_user(by(&boss, update(1, v1::UserStatus::Disabled)))
        .await
        .expect("it may");
    let updated = updated.into_inner().user.expect("a user");
    assert_eq!(
        (
            updated.username.as_str(),
            updated.email.as_str(),
            updated.version
        ),
        ("anna", "", 2)
    );
    let stored = server
        .users
        .user_by_username("anna")
        .await
        .expect("it is reached")
        .expect("it is there");
    assert_eq!(stored.status, UserStatus::Disabled);
    let role = |version| v1::AssignRoleRequest {
        user_id: id.clone(),
        role: v1::Role::Operator.into(),
        expected_version: Some(version),
        ..v1::AssignRoleRequest::default()
    };
    let given = rpc
        .assign_role(by(&boss, role(2)))
        .await
        .expect("it may")
        .into_inner()
        .user
        .expect("a user");
    assert_eq!(
        given.roles,
        [i32::from(v1::Role::Reader), v1::Role::Operator.into()]
    );
    assert_eq!(
        code(rpc.assign_role(by(&boss, role(2))).await),
        Code::Aborted
    );
    let remove = |role: v1::Role| v1::RemoveRoleRequest {
        user_id: id.clone(),
        role: role.into(),
        ..v1::RemoveRoleRequest::default()
    };
    let left = rpc
        .remove_role(by(&boss, remove(v1::Role::Operator)))
        .await
        .expect("it may");
    assert_eq!(
        left.into_inner().user.expect("a user").roles,
        [i32::from(v1::Role::Reader)]
    );
    // Within a scope it is another one.
    assert_eq!(
        code(rpc.remove_role(by(&boss, remove(v1::Role::Writer))).await),
        Code::NotFound
    );
    let delete = v1::DeleteUserRequest {
        user_id: id.clone(),
        ..v1::DeleteUserRequest::default()
    };
    rpc.delete_user(by(&boss, delete.clone()))
        .await
        .expect("it may");
    assert_eq!(
        code(rpc.delete_user(by(&boss, delete)).await),
        Code::NotFound
    );
    assert_eq!(
        code(
            rpc.get_user(by(
                &boss,
                v1::GetUserRequest {
                    user_id: id.clone()
                }
            ))
            .await
        ),
        Code::NotFound
    );
    let own = boss.principal.user.as_ref().expect("a user").to_string();
    let delete = v1::DeleteUserRequest {
        user_id: own,
        ..v1::DeleteUserRequest::default()
    };
    assert_eq!(
        code(rpc.delete_user(by(&boss, delete)).await),
        Code::FailedPrecondition
    );
    let told: Vec<_> = server
        .told()
        .iter()
        .map(|event| (event.action, event.outcome))
        .collect();
    use Outcome::{Done, Refused};
    assert_eq!(
        told,
        [
            ("update_user", Refused),
            ("update_user", Done),
            ("assign_role", Done),
            ("assign_role", Refused),
            ("remove_role", Done),
            ("remove_role", Refused),
            ("delete_user", Done),
            ("delete_user", Refused),
            ("delete_user", Refused),
        ]
    );
}

#[tokio::test]
async fn everybody_but_administrators_has_to_do_with_themselves_alone() {
    let mut server = Server::start().await;
    let ann = create(&server.users, named("ann")).await;
    let bob = create(&server.users, named("bob")).await;
    let rpc = server.rpc.clone();
    let (own, other) = (ann.id.to_string(), bob.id.to_string());
    for role in [
        None,
        Some(Role::Reader),
        Some(Role::Writer),
        Some(Role::Operator),
    ] {
        let ann = caller("ann", Some(&ann.id), role);
        let get = |id: &str| v1::GetUserRequest { user_id: id.into() };
        assert_eq!(code(rpc.get_user(by(&ann, get(&own))).await), Code::Ok);
        let named = |name: &str| v1::GetUserByUsernameRequest {
            username: name.into(),
        };
        assert_eq!(
            code(rpc.get_user_by_username(by(&ann, named("ANN"))).await),
            Code::Ok
        );
        let profile = |id: &str| v1::UpdateProfileRequest {
            user_id: id.into(),
            ..v1::UpdateProfileRequest::default()
        };
        for id in ["", &own] {
            assert_eq!(
                code(rpc.update_profile(by(&ann, profile(id))).await),
                Code::Ok
            );
        }
        // One who is there is not told from one who is not.
        let mut refused = Vec::new();
        for id in [other.as_str(), "nobody"] {
            refused.extend(rpc.get_user(by(&ann, get(id))).await.err());
            refused.extend(rpc.update_profile(by(&ann, profile(id))).await.err());
            let password = v1::UpdatePasswordRequest {
                user_id: id.into(),
                new_password: "correct horse".into(),
                ..v1::UpdatePasswordRequest::default()
            };
            refused.extend(rpc.update_password(by(&ann, password)).await.err());
        }
        for name in ["bob", "nobody"] {
            refused.extend(rpc.get_user_by_username(by(&ann, named(name))).await.err());
        }
        refused.extend(rpc.create_user(by(&ann, new("cat"))).await.err());
        refused.extend(
            rpc.list_users(by(&ann, v1::ListUsersRequest::default()))
                .await
                .err(),
        );
        let update = v1::UpdateUserRequest {
            user_id: own.clone(),
            ..v1::UpdateUserRequest::default()
        };
        refused.extend(rpc.update_user(by(&ann, update)).await.err());
        let delete = v1::DeleteUserRequest {
            user_id: own.clone(),
            ..v1::DeleteUserRequest::default()
        };
        refused.extend(rpc.delete_user(by(&ann, delete)).await.err());
        let assign = v1::AssignRoleRequest {
            user_id: own.clone(),
            role: 4,
            ..v1::AssignRoleRequest::default()
        };
        refused.extend(rpc.assign_role(by(&ann, assign)).await.err());
        let remove = v1::RemoveRoleRequest {
            user_id: own.clone(),
            role: 1,
            ..v1::RemoveRoleRequest::default()
        };
        refused.extend(rpc.remove_role(by(&ann, remove)).await.err());
        assert_eq!(refused.len(), 14);
        for status in &refused {
            assert_eq!(
                (status.code(), status.message()),
                (Code::PermissionDenied, refused[0].message())
            );
        }
        // That is told by the gate, which is not there.
        assert!(server.told().iter().all(|event| event.action != "denied"));
    }
    // Nobody at all has nothing of their own.
    let nobody = caller("anonymous", None, None);
    let profile = v1::UpdateProfileRequest::default();
    assert_eq!(
        code(rpc.update_profile(by(&nobody, profile)).await),
        Code::Unauthenticated
    );
}

#[tokio::test]
async fn what_is_wrong_is_named() {
    let server = Server::start().await;
    let boss = create(&server.users, admin("boss")).await;
    let boss = caller("boss", Some(&boss.id), Some(Role::Admin));
    let rpc = &server.rpc;
    let create =
        async |asked: v1::CreateUserRequest| field(rpc.create_user(by(&boss, asked)).await);
    assert_eq!(create(new("")).await, "username");
    assert_eq!(create(new("a@b")).await, "username");
    assert_eq!(
        create(v1::CreateUserRequest {
            email: "x".into(),
            ..new("ann")
        })
        .await,
        "email"
    );
    assert_eq!(
        create(v1::CreateUserRequest {
            password: "short".into(),
            ..new("ann")
        })
        .await,
        "password"
    );
    assert_eq!(
        create(v1::CreateUserRequest {
            status: 9,
            ..new("ann")
        })
        .await,
        "status"
    );
    assert_eq!(
        create(v1::CreateUserRequest {
            roles: vec![1, 0],
            ..new("ann")
        })
        .await,
        "roles[1]"
    );
    assert_eq!(
        create(v1::CreateUserRequest {
            roles: vec![1; 101],
            ..new("ann")
        })
        .await,
        "roles"
    );
    let grant = v1::Grant {
        role: 4,
        scope: Some(v1::Scope {
            owner: "red".into(),
            ..Default::default()
        }),
    };
    assert_eq!(
        create(v1::CreateUserRequest {
            grants: vec![grant],
            ..new("ann")
        })
        .await,
        "grants[0]"
    );
    assert_eq!(
        create(v1::CreateUserRequest {
            reason: "x".repeat(2_000),
            ..new("ann")
        })
        .await,
        "reason"
    );
    assert_eq!(
        field(rpc.get_user(by(&boss, v1::GetUserRequest::default())).await),
        "user_id"
    );
    let long = v1::GetUserRequest {
        user_id: "x".repeat(65),
    };
    assert_eq!(field(rpc.get_user(by(&boss, long)).await), "user_id");
    let role = v1::AssignRoleRequest {
        user_id: "x".into(),
        ..v1::AssignRoleRequest::default()
    };
    assert_eq!(field(rpc.assign_role(by(&boss, role)).await), "role");
    let token = v1::ListUsersRequest {
        page_token: "x".into(),
        ..v1::ListUsersRequest::default()
    };
    assert_eq!(field(rpc.list_users(by(&boss, token)).await), "page_token");
    let role = v1::ListUsersRequest {
        role: 7,
        ..v1::ListUsersRequest::default()
    };
    assert_eq!(field(rpc.list_users(by(&boss, role)).await), "role");
}

#[tokio::test]
async fn users_are_listed_in_pages_of_one_question_that_fit_into_a_reply() {
    let server = Server::start().await;
    let boss = create(&server.users, admin("boss")).await;
    let boss = caller("boss", Some(&boss.id), Some(Role::Admin));
    let large: std::collections::BTreeMap<String, String> = (0..64)
        .map(|number| (number.to_string(), "x".repeat(1_024)))
        .collect();
    for number in 0..120 {
        let profile = Some(v1::Profile {
            attributes: large.clone(),
            ..v1::Profile::default()
        });
        let asked = v1::CreateUserRequest {
            profile,
            ..new(&format!("user-{number:03}"))
        };
        server
            .rpc
            .create_user(by(&boss, asked))
            .await
            .expect("it may");
    }
    for size in [0, 7, 1_000] {
        let mut asked = v1::ListUsersRequest {
            username_prefix: "User-".into(),
            page_size: size,
            ..v1::ListUsersRequest::default()
        };
        let mut names = Vec::new();
        loop {
            let page = server
                .rpc
                .list_users(by(&boss, asked.clone()))
                .await
                .expect("a page")
                .into_inner();
            assert_eq!(page.total, 120);
            assert!(prost::Message::encoded_len(&page) < 4 * 1024 * 1024);
            names.extend(page.users.into_iter().map(|user| user.username));
            if page.next_page_token.is_empty() {
                break;
            }
            asked.page_token = page.next_page_token;
        }
        let wanted: Vec<String> = (0..120).map(|number| format!("user-{number:03}")).collect();
        assert_eq!(names, wanted);
        asked.username_prefix = "user-1".into();
        assert_eq!(
            field(server.rpc.list_users(by(&boss, asked)).await),
            "page_token"
        );
    }
}

#[tokio::test]
async fn a_password_is_changed_by_who_knows_it_or_by_an_administrator() {
    let mut server = Server::start().await;
    let boss = create(&server.users, admin("boss")).await;
    let boss = caller("boss", Some(&boss.id), Some(Role::Admin));
    let rpc = server.rpc.clone();
    let asked = v1::CreateUserRequest {
        password: "correct horse".into(),
        ..new("ann")
    };
    let made = rpc
        .create_user(by(&boss, asked))
        .await
        .expect("it may")
        .into_inner()
        .user
        .expect("a user");
    let id = amadeus::auth::UserId(made.id.clone().into());
    let ann = caller("ann", Some(&id), None);
    let compared = server.users.credential_of(&id).await.expect("asked");
    let compared = compared.expect("she is there").password;
    for name in ["session of ann", "another"] {
        let (compared, refresh) = (compared.as_ref(), secret(name));
        let begun = server
            .users
            .begin_session(&session(name), &id, compared, refresh, u64::MAX / 2, NOW)
            .await;
        begun.expect("it begins");
    }
    let change = |user_id: &str, current: &str, next: &str| v1::UpdatePasswordRequest {
        user_id: user_id.into(),
        current_password: current.into(),
        new_password: next.into(),
        reason: String::new(),
    };
    assert_eq!(
        field(
            rpc.update_password(by(&ann, change("", "correct horse", "short")))
                .await
        ),
        "new_password"
    );
    for wrong in ["", "incorrect horse"] {
        let refused = rpc
            .update_password(by(&ann, change("", wrong, "battery staple")))
            .await;
        assert_eq!(code(refused), Code::PermissionDenied);
    }
    let done = rpc
        .update_password(by(&ann, change("", "correct horse", "battery staple")))
        .await;
    assert_eq!(done.expect("it may").into_inner().sessions_ended, 1);
    let has_ended = async |name: &str| {
        let state = server
            .users
            .session(&session(name))
            .await
            .expect("it is reached");
        state.expect("it is there").ended
    };
    assert!(!has_ended("session of ann").await);
    assert!(has_ended("another").await);
    // Who guesses has to wait.
    let mut last = Code::Ok;
    for _ in 0..10 {
        last = code(
            rpc.update_password(by(&ann, change("", "guess", "battery staple")))
                .await,
        );
    }
    assert_eq!(last, Code::ResourceExhausted);
    // An administrator needs to know none, but does of their own.
    let done = rpc
        .update_password(by(&boss, change(&made.id, "", "third password")))
        .await;
    assert_eq!(done.expect("it may").into_inner().sessions_ended, 1);
    assert!(has_ended("session of ann").await);
    let own = boss.principal.user.as_ref().expect("a user").to_string();
    assert_eq!(
        code(
            rpc.update_password(by(&boss, change(&own, "", "third password")))
                .await
        ),
        Code::PermissionDenied
    );
    let told = format!("{:?}", server.told());
    for password in [
        "correct horse",
        "battery staple",
        "third password",
        "guess",
        "argon2",
    ] {
        assert!(!told.contains(password), "{told}");
    }
    assert!(told.contains("update_password"));
    let _ = clock();
}
