//! What a hostile client does: forged tokens, headers that are none, tries without end, more than its share.

use std::time::Duration;

use amadeus_proto::v1;
use base64ct::{Base64UrlUnpadded, Encoding as _};
use futures::future::join_all;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

use crate::server::{PASSWORD, Server, everywhere, key, now_s};

async fn told(server: &Server, token: &str) -> Result<(), Status> {
    let asked = v1::ListServicesRequest::default();
    server.graph(token).list_services(asked).await.map(drop)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_that_is_not_ours_to_the_last_bit_is_none() {
    let server = Server::start(&[]).await;
    let admin = server.admin.clone();
    told(&server, &admin.access).await.expect("the real one");
    let parts: Vec<&str> = admin.access.split('.').collect();
    let part = |json: &str| Base64UrlUnpadded::encode_string(json.as_bytes());
    let (header, claims, seal) = (parts[0], parts[1], parts[2]);
    let decoded = Base64UrlUnpadded::decode_vec(claims).expect("base64url");
    let said = String::from_utf8(decoded).expect("JSON");
    let other_store = key().sign("another-store", &server.claims(&admin));
    let stranger = amadeus::auth::token::SigningKey::new(&[8; 32]).expect("a key");
    let store_id = server.store_id().await;
    let forged: Vec<(&str, String)> = vec![
        ("nothing", String::new()),
        ("dots", "..".into()),
        ("truncated", admin.access[..admin.access.len() - 1].into()),
        ("longer", format!("{}A", admin.access)),
        ("without its seal", format!("{header}.{claims}.")),
        ("two parts", format!("{header}.{claims}")),
        ("four parts", format!("{}.x", admin.access)),
        (
            "alg none",
            format!("{}.{claims}.", part(r#"{"alg":"none","typ":"at+jwt"}"#)),
        ),
        (
            "alg none, sealed",
            format!("{}.{claims}.{seal}", part(r#"{"alg":"none"}"#)),
        ),
        (
            "alg RS256",
            format!("{}.{claims}.{seal}", part(r#"{"alg":"RS256","typ":"JWT"}"#)),
        ),
        (
            "another user",
            format!(
                "{header}.{}.{seal}",
                part(&said.replace(&admin.user_id, "0"))
            ),
        ),
        (
            "another end",
            format!(
                "{header}.{}.{seal}",
                part(&said.replace("\"exp\":1", "\"exp\":9"))
            ),
        ),
        ("another audience", other_store),
        (
            "another key",
            stranger.sign(&store_id, &server.claims(&admin)),
        ),
        (
            "of tomorrow",
            server.token_of(&admin, now_s() + 3_600).await,
        ),
        (
            "of yesterday",
            server.token_of(&admin, now_s() - 86_400).await,
        ),
        (
            "an API key that nobody made",
            format!("amk_{}_{}", "0".repeat(32), "A".repeat(43)),
        ),
        ("a refresh token", admin.refresh.clone()),
        ("very long", "A".repeat(7_000)),
    ];
    for (what, token) in forged {
        let refused = told(&server, &token).await.expect_err(what);
        assert_eq!(refused.code(), Code::Unauthenticated, "{what}: {refused}");
    }
    // A clock that is a little fast is nobody's fault.
    let ahead = server.token_of(&admin, now_s() + 30).await;
    told(&server, &ahead).await.expect("half a minute ahead");
    told(&server, &admin.access).await.expect("the real one");
}

/// Headers as HTTP/2 sends them are hard to forge by a library, so the bytes go by hand to the HTTP side, and what a library lets
/// through goes to the RPCs.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_header_cannot_say_who_calls() {
    let server = Server::start(&[]).await;
    let channel = server.channel.clone();
    for (name, value) in [
        ("authorization", "Basic cm9vdDpyb290"),
        ("authorization", "Bearer"),
        ("authorization", "bearer  "),
        ("authorization", "Bearer root"),
        ("x-amadeus-principal", "root"),
        ("x-forwarded-user", "root"),
        ("x-user", "root"),
        ("x-role", "admin"),
        ("cookie", "session=root"),
    ] {
        let mut request = tonic::Request::new(v1::ListServicesRequest::default());
        request
            .metadata_mut()
            .insert(name, value.parse().expect("ASCII"));
        let mut graph = v1::graph_service_client::GraphServiceClient::new(channel.clone());
        let refused = graph.list_services(request).await.expect_err(value);
        assert_eq!(refused.code(), Code::Unauthenticated, "{name}: {value}");
    }
    // Two of them: whichever is meant, the call is not let in by the second.
    let mut request = tonic::Request::new(v1::ListServicesRequest::default());
    let admin = format!("Bearer {}", server.admin.access)
        .parse()
        .expect("ASCII");
    let metadata = request.metadata_mut();
    metadata.insert("authorization", "Bearer forged".parse().expect("ASCII"));
    metadata.append("authorization", admin);
    let mut graph = v1::graph_service_client::GraphServiceClient::new(channel);
    let refused = graph.list_services(request).await.expect_err("two tokens");
    assert_eq!(refused.code(), Code::Unauthenticated);
    for bytes in [
        "GET /metrics HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer a\r\n b\r\n\r\n",
        "GET /metrics HTTP/1.1\r\nHost: x\r\nX: a\rSet-Cookie: b\r\n\r\n",
        "GET /metrics\r\nSet-Cookie: a HTTP/1.1\r\nHost: x\r\n\r\n",
        "\0\0\0\0\0\0\0\0\r\n\r\n",
    ] {
        let mut stream = TcpStream::connect(server.http()).await.expect("it listens");
        stream.write_all(bytes.as_bytes()).await.expect("sent");
        let mut answer = vec![0; 4_096];
        let read = tokio::time::timeout(Duration::from_secs(5), stream.read(&mut answer)).await;
        let answer = String::from_utf8_lossy(&answer[..read.map_or(0, |read| read.unwrap_or(0))])
            .into_owned();
        assert!(!answer.contains("Set-Cookie"), "{answer}");
        assert!(!answer.starts_with("HTTP/1.1 200"), "{answer}");
    }
    told(&server, &server.admin.access).await.expect("it lives");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_tries_are_refused_and_the_server_lives() {
    let server = Server::start(&[]).await;
    let before = server.memory_kib();
    let mut codes = std::collections::BTreeMap::new();
    for batch in 0..100 {
        let tries = (0..100).map(|i| {
            let mut auth = server.auth(None);
            let username = match i % 4 {
                0 => "root".to_owned(),
                1 => format!("nobody-{batch}-{i}"),
                2 => "root@example.org".to_owned(),
                _ => "x".repeat(50),
            };
            let password = "not the password at all".to_owned();
            let request = v1::LoginRequest { username, password };
            async move { auth.login(request).await.expect_err("refused") }
        });
        for refused in join_all(tries).await {
            if refused.code() == Code::ResourceExhausted {
                let delay = refused
                    .get_details_retry_info()
                    .and_then(|info| info.retry_delay);
                assert!(delay.is_some_and(|delay| !delay.is_zero()), "{refused:?}");
            }
            *codes.entry(format!("{:?}", refused.code())).or_insert(0) += 1;
        }
    }
    let known: i32 = ["Unauthenticated", "ResourceExhausted"]
        .iter()
        .filter_map(|code| codes.get(*code))
        .sum();
    assert_eq!(known, 10_000, "{codes:?}");
    let grown = server.memory_kib().saturating_sub(before);
    assert!(grown < 128 * 1024, "{grown} KiB more");
    // Who has signed in is not held up by those who try.
    told(&server, &server.admin.access).await.expect("it lives");
    let metrics = server.get("/metrics").await;
    assert!(metrics.contains("amadeus_sign_ins_total"), "{metrics}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_principal_gets_its_share_and_no_more() {
    let limits = [
        "--principal-calls",
        "50",
        "--principal-streams",
        "2",
        "--principal-in-flight",
        "8",
        "--principal-bytes",
        "200000",
    ];
    let server = Server::start(&limits).await;
    let alice = server
        .person("alice", vec![everywhere(v1::Role::Writer)])
        .await;
    let bob = server
        .person("bob", vec![everywhere(v1::Role::Writer)])
        .await;
    let refused = |status: &Status, limit: &str| {
        assert_eq!(status.code(), Code::ResourceExhausted, "{status}");
        assert!(status.message().contains(limit), "{status}");
        let delay = status
            .get_details_retry_info()
            .and_then(|info| info.retry_delay);
        delay.expect("a delay")
    };

    // Calls a second.
    let mut first = None;
    for _ in 0..200 {
        if let Err(status) = told(&server, &alice.access).await {
            first = Some(status);
            break;
        }
    }
    let delay = refused(&first.expect("a limit"), "principal_calls");
    told(&server, &bob.access)
        .await
        .expect("bob has his own share");
    tokio::time::sleep(delay + Duration::from_millis(50)).await;
    told(&server, &alice.access)
        .await
        .expect("after the delay that was told");

    // Streams.
    let mut open = Vec::new();
    for _ in 0..2 {
        let watch = server
            .graph(&bob.access)
            .watch(v1::WatchRequest::default())
            .await;
        open.push(watch.expect("a stream"));
    }
    let third = server
        .graph(&bob.access)
        .watch(v1::WatchRequest::default())
        .await;
    refused(&third.expect_err("a third"), "principal_streams");
    drop(open);

    // Calls under way.
    let waiting = (0..9).map(|_| {
        let mut graph = server.graph(&bob.access);
        let level = v1::consistency::Level::AtLeast(1_000_000);
        let mut request = tonic::Request::new(v1::ListServicesRequest {
            consistency: Some(v1::Consistency { level: Some(level) }),
            ..Default::default()
        });
        request.set_timeout(Duration::from_millis(700));
        async move {
            graph
                .list_services(request)
                .await
                .expect_err("it never comes")
        }
    });
    let ended = join_all(waiting).await;
    let full = ended
        .iter()
        .filter(|status| status.code() == Code::ResourceExhausted);
    assert_eq!(full.count(), 1, "{ended:?}");

    // Bytes a second.
    let large = v1::PutEntityRequest {
        entity: Some(v1::Entity {
            r#ref: crate::server::key_of("team", "x"),
            ..Default::default()
        }),
        request_id: "x".repeat(600_000),
        ..Default::default()
    };
    let _ = server.graph(&alice.access).put_entity(large).await;
    tokio::time::sleep(Duration::from_millis(200)).await;
    let held = told(&server, &alice.access)
        .await
        .expect_err("she sent too much");
    assert!(refused(&held, "principal_bytes") > Duration::from_millis(500));
    let metrics = server.get("/metrics").await;
    for limit in ["calls", "streams", "in_flight", "bytes"] {
        let line = format!("amadeus_limited_total{{limit=\"principal_{limit}\"}}");
        assert!(metrics.contains(&line), "{line} is not in {metrics}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stranger_who_floods_is_held_and_who_has_signed_in_is_not() {
    let server = Server::start(&["--principal-calls", "50"]).await;
    let alice = server
        .person("alice", vec![everywhere(v1::Role::Reader)])
        .await;
    told(&server, &alice.access).await.expect("she is known");
    let channel = server.channel.clone();
    let forged = server.graph("amk_forged_key");
    let (mut refused, mut held) = (0, 0);
    for n in 0..400 {
        let asked = v1::ListServicesRequest::default();
        let status = if n % 2 == 0 {
            let mut graph = v1::graph_service_client::GraphServiceClient::new(channel.clone());
            graph.list_services(asked).await
        } else {
            // What nobody has seen is looked up at a stranger's expense.
            forged.clone().list_services(asked).await
        };
        let status = status.expect_err("nobody has signed in");
        match status.code() {
            Code::Unauthenticated => refused += 1,
            Code::ResourceExhausted => {
                held += 1;
                assert!(status.message().contains("principal_calls"), "{status}");
                let delay = status
                    .get_details_retry_info()
                    .and_then(|info| info.retry_delay);
                assert!(delay.is_some_and(|delay| !delay.is_zero()), "{status:?}");
            }
            code => panic!("{code}: {status}"),
        }
        if n % 20 == 0 {
            told(&server, &alice.access).await.expect("she has her own");
        }
    }
    assert!(refused >= 40 && held > 20, "{refused} refused, {held} held");
    let metrics = server.get("/metrics").await;
    assert!(
        metrics.contains("amadeus_limited_total{limit=\"principal_calls\"}"),
        "{metrics}"
    );
}

/// Each of them once had an allowance of its own.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_keys_of_one_user_share_what_the_user_has() {
    let server = Server::start(&["--principal-streams", "2"]).await;
    let alice = server
        .person("alice", vec![everywhere(v1::Role::Reader)])
        .await;
    let mut open = Vec::new();
    for n in 0..3 {
        let asked = v1::CreateApiKeyRequest {
            name: format!("k{n}"),
            grants: vec![everywhere(v1::Role::Reader)],
            ..Default::default()
        };
        let made = server.auth(Some(&alice.access)).create_api_key(asked).await;
        let key = made.expect("a key").into_inner().key;
        told(&server, &key).await.expect("it is known");
        let watch = server.graph(&key).watch(v1::WatchRequest::default()).await;
        open.push(watch);
    }
    let held = open.pop().expect("three").expect_err("the third");
    assert_eq!(held.code(), Code::ResourceExhausted, "{held}");
    assert!(open.iter().all(Result::is_ok));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_token_of_the_first_administrator_is_good_once() {
    let server = Server::start(&[]).await;
    let log: Vec<String> = server.setup_tokens();
    assert_eq!(log.len(), 1, "it is shown once");
    let tries = (0..8).map(|i| {
        let mut auth = server.auth(None);
        let request = v1::RegisterRequest {
            username: format!("usurper-{i}"),
            password: PASSWORD.into(),
            setup_token: log[0].clone(),
            ..Default::default()
        };
        async move { auth.register(request).await }
    });
    for told in join_all(tries).await {
        let refused = told.expect_err("there is an administrator");
        assert_eq!(refused.code(), Code::PermissionDenied, "{refused}");
    }
    let all = v1::ListUsersRequest::default();
    let all = server.users(&server.admin.access).list_users(all).await;
    assert_eq!(all.expect("a list").into_inner().total, 1);
}
