//! A secret stands in the reply that makes it and nowhere else.
//!
//! The whole way of several people is gone, with everything logged; then the log, the metrics, every reply and error, the audit
//! log, the copies in Redis and the files of the store are searched for everything that was secret on the way.

use amadeus_proto::v1;
use redis::AsyncTypedCommands as _;
use tempfile::TempDir;
use testbed::Redis;

use crate::server::{PASSWORD, Server, everywhere};

/// What is secret, and where it may be.
struct Secret {
    what: &'static str,
    text: String,
}

/// Everything that was said, by where.
#[derive(Default)]
struct Said(Vec<(String, Vec<u8>)>);

impl Said {
    fn add(&mut self, place: impl Into<String>, text: impl Into<Vec<u8>>) {
        self.0.push((place.into(), text.into()));
    }

    fn search(&self, secrets: &[Secret]) -> Vec<String> {
        let mut found = Vec::new();
        for (place, said) in &self.0 {
            for secret in secrets {
                let text = secret.text.as_bytes();
                if said.windows(text.len()).any(|window| window == text) {
                    found.push(format!("{} in {place}", secret.what));
                }
            }
        }
        found
    }
}

async fn everything_in(redis: &Redis) -> Vec<u8> {
    let client = redis::Client::open(redis.url()).expect("an address");
    let mut connection = client
        .get_multiplexed_async_connection()
        .await
        .expect("Redis");
    let mut all = Vec::new();
    for key in connection.keys("*").await.expect("keys") {
        let dumped: Vec<u8> = redis::cmd("DUMP")
            .arg(&key)
            .query_async(&mut connection)
            .await
            .expect("its value");
        all.extend_from_slice(key.as_bytes());
        all.extend(dumped);
    }
    all
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_secret_is_found_anywhere_but_in_the_reply_that_made_it() {
    let folder = TempDir::new().expect("a folder");
    let store = format!("sqlite://{}", folder.path().join("graph.db").display());
    let redis = Redis::start();
    let url = redis.as_ref().ok().map(|redis| redis.url());
    let mut more = vec!["--log", "trace"];
    if let Some(url) = &url {
        more.extend(["--redis", url]);
    }
    let server = Server::on(&store, &more).await;
    let mut secrets = vec![
        Secret {
            what: "a password",
            text: PASSWORD.into(),
        },
        Secret {
            what: "a hash of a password",
            text: "$argon2".into(),
        },
        Secret {
            what: "the access token of root",
            text: server.admin.access.clone(),
        },
        Secret {
            what: "the refresh token of root",
            text: server.admin.refresh.clone(),
        },
    ];
    let mut keep = |what: &'static str, text: &str| {
        secrets.push(Secret {
            what,
            text: text.to_owned(),
        });
    };
    let mut said = Said::default();
    let admin = server.admin.access.clone();

    // Somebody is made, signs in, refreshes, misuses what is old, changes the password, makes a key, and goes.
    let alice = server
        .person("alice", vec![everywhere(v1::Role::Admin)])
        .await;
    keep("an access token", &alice.access);
    keep("a refresh token", &alice.refresh);
    let asked = v1::RefreshTokenRequest {
        refresh_token: alice.refresh.clone(),
    };
    let next = server
        .auth(None)
        .refresh_token(asked.clone())
        .await
        .expect("a pair")
        .into_inner();
    keep("a later access token", &next.access_token);
    keep("a later refresh token", &next.refresh_token);
    let asked_key = v1::CreateApiKeyRequest {
        name: "ci".into(),
        ..Default::default()
    };
    let key = server
        .auth(Some(&next.access_token))
        .create_api_key(asked_key)
        .await;
    let key = key.expect("a key").into_inner();
    keep("an API key", &key.key);
    said.add("what is told of a key", format!("{:?}", key.api_key));
    let wrong = v1::LoginRequest {
        username: "alice".into(),
        password: "my other secret word".into(),
    };
    keep("a wrong password", "my other secret word");
    let refused = server.auth(None).login(wrong).await.expect_err("wrong");
    said.add("the error of a sign-in", format!("{refused:?}"));
    // People type passwords into the wrong field.
    let slip = v1::LoginRequest {
        username: "a slip of mine".into(),
        password: "x".repeat(12),
    };
    keep("what was typed as a name", "a slip of mine");
    let refused = server.auth(None).login(slip).await.expect_err("wrong");
    said.add("the error of another", format!("{refused:?}"));
    let change = v1::UpdatePasswordRequest {
        current_password: PASSWORD.into(),
        new_password: "a word that is new".into(),
        ..Default::default()
    };
    keep("a new password", "a word that is new");
    let mut users = server.users(&next.access_token);
    let changed = users.update_password(change).await.expect("changed");
    said.add("the reply to a new password", format!("{changed:?}"));
    let short = v1::UpdatePasswordRequest {
        current_password: "a word that is new".into(),
        new_password: "brief secret".chars().take(7).collect(),
        ..Default::default()
    };
    let refused = users.update_password(short).await.expect_err("too short");
    said.add("the error of a short password", format!("{refused:?}"));
    for request in [
        v1::ValidateTokenRequest::default(),
        v1::ValidateTokenRequest {
            token: key.key.clone(),
        },
    ] {
        let told = server
            .auth(Some(&next.access_token))
            .validate_token(request)
            .await;
        said.add("what is told of a token", format!("{told:?}"));
    }
    let reused = server
        .auth(None)
        .refresh_token(asked)
        .await
        .expect_err("reused");
    said.add("the error of a reused token", format!("{reused:?}"));
    for forged in [
        format!("{}x", next.access_token),
        format!("{}x", key.key),
        "Basic cm9vdDpwdw==".into(),
    ] {
        let refused = server
            .graph(&forged)
            .get_service(v1::GetServiceRequest::default())
            .await;
        said.add("the error of a forged token", format!("{refused:?}"));
    }
    let listed = server
        .users(&admin)
        .list_users(v1::ListUsersRequest::default())
        .await;
    said.add("a list of users", format!("{listed:?}"));
    let asked = v1::ListApiKeysRequest {
        user_id: alice.user_id.clone(),
        include_ended: true,
        ..Default::default()
    };
    let listed = server.auth(Some(&admin)).list_api_keys(asked).await;
    said.add("a list of keys", format!("{listed:?}"));
    for name in ["alice", "root"] {
        let asked = v1::GetUserByUsernameRequest {
            username: name.into(),
        };
        let user = server.users(&admin).get_user_by_username(asked).await;
        said.add("a user", format!("{user:?}"));
    }
    let audit = server
        .operator(&admin)
        .audit(v1::AuditRequest::default())
        .await;
    let mut audit = audit.expect("the audit log").into_inner();
    let mut events = 0;
    while let Some(message) = audit.message().await.expect("it goes on") {
        events += message.events.len();
        said.add("the audit log", format!("{message:?}"));
    }
    assert!(events >= 6, "{events} events");
    let status = server.operator(&admin).status(v1::StatusRequest {}).await;
    said.add("the status", format!("{status:?}"));

    for path in ["/metrics", "/readyz?verbose", "/livez"] {
        said.add(path, server.get(path).await);
    }
    match &redis {
        Ok(redis) => said.add("the copies in Redis", everything_in(redis).await),
        Err(missing) => eprintln!("skipped: the copies in Redis: {missing}"),
    }
    said.add("the server's log", server.log());
    let found = said.search(&secrets);
    assert!(found.is_empty(), "{found:#?}");
    assert!(
        server.log().lines().count() > 100,
        "everything was to be logged"
    );

    // In the files of the store only what a password became may stand, and nothing that opens anything.
    let mut files = Said::default();
    for file in std::fs::read_dir(folder.path()).expect("the folder") {
        let path = file.expect("a file").path();
        files.add(
            path.display().to_string(),
            std::fs::read(&path).expect("its bytes"),
        );
    }
    secrets.retain(|secret| secret.text != "$argon2");
    let found = files.search(&secrets);
    assert!(found.is_empty(), "{found:#?}");
}
