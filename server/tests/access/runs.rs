//! Runs and whoever began them: what becomes of a run when they may no longer, and who sees it.

use std::time::{Duration, Instant};

use amadeus_proto::v1;
use prost_types::value::Kind;
use tonic::Code;

use crate::server::{Login, Server, everywhere, of_prefix};

/// How long it may take until somebody who may no longer is refused, in the middle of a step.
const SOON: Duration = Duration::from_secs(5);

fn object(members: &[(&str, Kind)]) -> prost_types::Struct {
    let member = |(name, kind): &(&str, Kind)| {
        let value = prost_types::Value {
            kind: Some(kind.clone()),
        };
        ((*name).to_owned(), value)
    };
    prost_types::Struct {
        fields: members.iter().map(member).collect(),
    }
}

async fn register(
    server: &Server,
    name: &str,
    kind: &str,
    action: &str,
    given: prost_types::Struct,
) {
    let step = v1::PatternStep {
        id: "step".into(),
        r#type: kind.into(),
        action: action.into(),
        parameters: Some(given),
        ..Default::default()
    };
    let request = v1::RegisterPatternRequest {
        pattern: Some(v1::Pattern {
            name: name.into(),
            active: true,
            steps: vec![step],
            ..Default::default()
        }),
        ..Default::default()
    };
    let mut nexus = server.nexus(&server.admin.access);
    nexus.register_pattern(request).await.expect("registered");
}

/// A pattern whose only step takes an hour.
async fn slow(server: &Server) {
    let hour = object(&[("seconds", Kind::NumberValue(3_600.0))]);
    register(server, "slow", "wait", "", hour).await;
}

async fn begin(server: &Server, token: &str, pattern: &str) -> String {
    let request = v1::ExecutePatternRequest {
        pattern: pattern.into(),
        ..Default::default()
    };
    let begun = server.nexus(token).execute_pattern(request).await;
    begun.expect("begun").into_inner().run.expect("a run").id
}

async fn get(server: &Server, token: &str, run: &str) -> Result<v1::Run, Code> {
    let request = v1::GetRunRequest {
        run_id: run.into(),
        ..Default::default()
    };
    let got = server.nexus(token).get_run(request).await;
    got.map(|got| got.into_inner().run.expect("a run"))
        .map_err(|status| status.code())
}

async fn until(server: &Server, run: &str, is: impl Fn(&v1::Run) -> bool) -> v1::Run {
    let since = Instant::now();
    loop {
        let now = get(server, &server.admin.access, run).await.expect("there");
        if is(&now) {
            return now;
        }
        assert!(since.elapsed() < SOON, "{now:#?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn under_way(server: &Server, run: &str) {
    let begun = |run: &v1::Run| run.steps[0].state() == v1::StepState::StepRunning;
    until(server, run, begun).await;
}

async fn fails_soon(server: &Server, run: &str, code: &str) {
    let ended = until(server, run, |run| run.state() == v1::RunState::RunFailed).await;
    assert_eq!(ended.code, code, "{}", ended.message);
}

async fn key_of(
    server: &Server,
    login: &Login,
    name: &str,
    grants: Vec<v1::Grant>,
) -> (String, String) {
    let request = v1::CreateApiKeyRequest {
        name: name.into(),
        grants,
        ..Default::default()
    };
    let made = server
        .auth(Some(&login.access))
        .create_api_key(request)
        .await;
    let made = made.expect("a key").into_inner();
    (made.api_key.expect("it is described").id, made.key)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_of_a_disabled_user_fails_within_seconds_in_the_middle_of_a_step() {
    let server = Server::start(&[]).await;
    slow(&server).await;
    let alice = server
        .person("alice", vec![everywhere(v1::Role::Writer)])
        .await;
    let run = begin(&server, &alice.access, "slow").await;
    under_way(&server, &run).await;
    let request = v1::UpdateUserRequest {
        user_id: alice.user_id.clone(),
        status: v1::UserStatus::Disabled.into(),
        ..Default::default()
    };
    let mut users = server.users(&server.admin.access);
    users.update_user(request).await.expect("disabled");
    fails_soon(&server, &run, "PERMISSION_DENIED").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_of_a_revoked_key_fails_within_seconds_and_others_of_its_user_go_on() {
    let server = Server::start(&[]).await;
    slow(&server).await;
    let alice = server
        .person("alice", vec![everywhere(v1::Role::Writer)])
        .await;
    let (id, key) = key_of(&server, &alice, "robot", Vec::new()).await;
    let of_key = begin(&server, &key, "slow").await;
    let of_user = begin(&server, &alice.access, "slow").await;
    under_way(&server, &of_key).await;
    under_way(&server, &of_user).await;
    let request = v1::RevokeApiKeyRequest {
        key_id: id,
        ..Default::default()
    };
    let mut auth = server.auth(Some(&alice.access));
    auth.revoke_api_key(request).await.expect("revoked");
    let failed = |run: &v1::Run| run.state() == v1::RunState::RunFailed;
    let ended = until(&server, &of_key, failed).await;
    assert!(
        ["PERMISSION_DENIED", "UNAUTHENTICATED"].contains(&&*ended.code),
        "{ended:#?}"
    );
    under_way(&server, &of_user).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_may_less_than_its_user_sees_only_the_runs_that_it_began() {
    let server = Server::start(&[]).await;
    slow(&server).await;
    // Neither reads everything; she reads and runs more than her key.
    let wide = || vec![of_prefix(v1::Role::Writer, "s")];
    let alice = server.person("alice", wide()).await;
    let (_, key) = key_of(
        &server,
        &alice,
        "robot",
        vec![of_prefix(v1::Role::Writer, "slow")],
    )
    .await;
    let of_user = begin(&server, &alice.access, "slow").await;
    let of_key = begin(&server, &key, "slow").await;
    assert_eq!(
        get(&server, &key, &of_user).await.err(),
        Some(Code::NotFound)
    );
    assert!(get(&server, &key, &of_key).await.is_ok());
    assert!(get(&server, &alice.access, &of_user).await.is_ok());
    assert!(get(&server, &alice.access, &of_key).await.is_ok());
    let listed = async |token: &str, actor: &str| {
        let request = v1::ListRunsRequest {
            actor: actor.into(),
            ..Default::default()
        };
        let listed = server.nexus(token).list_runs(request).await;
        let runs = listed.expect("a list").into_inner().runs;
        runs.into_iter().map(|run| run.id).collect::<Vec<_>>()
    };
    assert_eq!(listed(&key, "").await, std::slice::from_ref(&of_key));
    assert!(listed(&key, "alice").await.is_empty());
    assert_eq!(
        listed(&alice.access, "").await,
        [of_key.clone(), of_user.clone()]
    );
    let request = v1::CancelRunRequest {
        run_id: of_user.clone(),
        ..Default::default()
    };
    let refused = server.nexus(&key).cancel_run(request).await;
    assert_eq!(refused.expect_err("not its own").code(), Code::NotFound);
    // Somebody else sees neither.
    let bob = server.person("bob", wide()).await;
    assert_eq!(
        get(&server, &bob.access, &of_key).await.err(),
        Some(Code::NotFound)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_becomes_of_runs_arrives_at_who_sees_their_pattern_and_tells_no_secrets() {
    let server = Server::start(&[]).await;
    register(&server, "slow-fine", "pass", "", object(&[])).await;
    let missing = object(&[("name", Kind::StringValue("hidden-thing".into()))]);
    register(&server, "slow-wrong", "graph", "get_service", missing).await;
    let bob = server
        .person("bob", vec![of_prefix(v1::Role::Reader, "slow")])
        .await;
    let request = v1::SubscribeEventsRequest {
        types: vec!["run.*".into()],
        ..Default::default()
    };
    let subscribed = server.nexus(&bob.access).subscribe_events(request).await;
    let mut messages = subscribed.expect("subscribed").into_inner();
    let fine = begin(&server, &server.admin.access, "slow-fine").await;
    let wrong = begin(&server, &server.admin.access, "slow-wrong").await;
    let mut told = Vec::new();
    let listening = async {
        while told.len() < 4 {
            let message = messages.message().await.expect("it goes on");
            for event in message.expect("it does not end").events {
                let text = format!("{event:?}");
                assert!(!text.contains("hidden-thing"), "{text}");
                told.push((event.correlation_id, event.r#type));
            }
        }
    };
    let listened = tokio::time::timeout(Duration::from_secs(30), listening).await;
    assert!(listened.is_ok(), "only {told:?}");
    told.sort();
    let mut expected = vec![
        (fine.clone(), "run.started".to_owned()),
        (fine, "run.succeeded".to_owned()),
        (wrong.clone(), "run.failed".to_owned()),
        (wrong, "run.started".to_owned()),
    ];
    expected.sort();
    assert_eq!(told, expected);
}
