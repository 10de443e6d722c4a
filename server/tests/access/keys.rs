//! What an API key is good for: what its grants say, and not for what its user may do with themselves.

use amadeus_proto::v1;
use tonic::{Code, Status};

use crate::server::{Login, PASSWORD, Server, everywhere, of_prefix};

async fn key_of(server: &Server, login: &Login, grants: Vec<v1::Grant>) -> (String, String) {
    let asked = v1::CreateApiKeyRequest {
        name: "ci".into(),
        grants,
        ..Default::default()
    };
    let made = server.auth(Some(&login.access)).create_api_key(asked).await;
    let made = made.expect("made").into_inner();
    (made.api_key.expect("a key").id, made.key)
}

fn code<T>(reply: Result<T, Status>) -> Code {
    reply.err().map_or(Code::Ok, |status| status.code())
}

/// What a call by this key to each RPC about its own user comes to.
async fn tried(server: &Server, key: &str, id: &str) -> Vec<(&'static str, Code)> {
    let (mut auth, mut users) = (server.auth(Some(key)), server.users(key));
    let create = v1::CreateApiKeyRequest {
        name: "more".into(),
        ..Default::default()
    };
    let revoke = v1::RevokeApiKeyRequest {
        key_id: id.into(),
        ..Default::default()
    };
    let profile = v1::UpdateProfileRequest {
        profile: Some(v1::Profile {
            team: "mallory".into(),
            ..Default::default()
        }),
        ..Default::default()
    };
    let password = v1::UpdatePasswordRequest {
        current_password: PASSWORD.into(),
        new_password: "another horse battery".into(),
        ..Default::default()
    };
    vec![
        ("create", code(auth.create_api_key(create).await)),
        (
            "list",
            code(auth.list_api_keys(v1::ListApiKeysRequest::default()).await),
        ),
        ("profile", code(users.update_profile(profile).await)),
        ("password", code(users.update_password(password).await)),
        ("revoke", code(auth.revoke_api_key(revoke).await)),
    ]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_comes_by_a_key_has_the_key_and_not_its_user() {
    let server = Server::start(&[]).await;
    let writer = everywhere(v1::Role::Writer);
    let alice = server.person("alice", vec![writer]).await;
    let narrow = vec![of_prefix(v1::Role::Reader, "a/")];
    for (login, grants) in [
        (&alice, narrow),
        (&alice, Vec::new()),
        (&server.admin, Vec::new()),
    ] {
        let (id, key) = key_of(&server, login, grants).await;
        for (what, code) in tried(&server, &key, &id).await {
            assert_eq!(code, Code::PermissionDenied, "{what}");
        }
        // It is good after all that, its user is as before, and it may ask who that is.
        let own = v1::GetUserRequest {
            user_id: login.user_id.clone(),
        };
        let own = server.users(&key).get_user(own).await.expect("its user");
        let profile = own.into_inner().user.expect("a user").profile;
        assert_eq!(profile.unwrap_or_default().team, "");
        let revoke = v1::RevokeApiKeyRequest {
            key_id: id,
            ..Default::default()
        };
        let mut auth = server.auth(Some(&login.access));
        auth.revoke_api_key(revoke).await.expect("by its user");
    }
    server.login("alice").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_gets_a_name_that_records_use_for_somebody_else() {
    let server = Server::start(&[]).await;
    let admin = &server.admin.access;
    for name in ["Amadeus", "anonymous", "system", "NOBODY"] {
        let register = v1::RegisterRequest {
            username: name.into(),
            password: PASSWORD.into(),
            ..Default::default()
        };
        let refused = server.auth(None).register(register).await;
        assert_eq!(code(refused), Code::InvalidArgument, "{name}");
        let create = v1::CreateUserRequest {
            username: name.into(),
            ..Default::default()
        };
        let refused = server.users(admin).create_user(create).await;
        assert_eq!(code(refused), Code::InvalidArgument, "{name}");
        let rename = v1::UpdateUserRequest {
            user_id: server.admin.user_id.clone(),
            username: Some(name.into()),
            ..Default::default()
        };
        let refused = server.users(admin).update_user(rename).await;
        assert_eq!(code(refused), Code::InvalidArgument, "{name}");
    }
}
