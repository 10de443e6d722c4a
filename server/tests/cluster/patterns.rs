//! Patterns over real servers: registered once however many ask at once, checked, listed, replaced only by who has seen them.

use amadeus_proto::v1;
use prost_types::value::Kind;
use tonic::Code;
use tonic::transport::Channel;
use tonic_types::StatusExt as _;
use v1::nexus_service_client::NexusServiceClient;

use crate::cluster::{Cluster, database_server};

const CLIENTS: usize = 64;

fn nexus(cluster: &Cluster, client: usize) -> NexusServiceClient<Channel> {
    let member = &cluster.members[client % cluster.members.len()];
    NexusServiceClient::new(member.channel())
}

fn pass(id: &str, after: &[&str]) -> v1::PatternStep {
    v1::PatternStep {
        id: id.into(),
        r#type: "pass".into(),
        depends_on: after.iter().map(|id| (*id).to_owned()).collect(),
        ..v1::PatternStep::default()
    }
}

fn pattern(name: &str, steps: Vec<v1::PatternStep>) -> v1::Pattern {
    v1::Pattern {
        name: name.into(),
        active: true,
        steps,
        ..v1::Pattern::default()
    }
}

fn registration(pattern: v1::Pattern, request_id: &str) -> v1::RegisterPatternRequest {
    v1::RegisterPatternRequest {
        pattern: Some(pattern),
        request_id: request_id.into(),
        ..v1::RegisterPatternRequest::default()
    }
}

/// All of them want the same name, each with a definition of its own; one gets it, and it is theirs that stands.
async fn race(cluster: &Cluster) {
    let clients = (0..CLIENTS).map(|client| {
        let mut nexus = nexus(cluster, client);
        let mut mine = pattern("flow", vec![pass("a", &[])]);
        mine.version = client.to_string();
        let request = registration(mine, &format!("client-{client}"));
        tokio::spawn(async move { nexus.register_pattern(request).await })
    });
    let (mut winners, mut refused) = (Vec::new(), 0);
    for (client, call) in clients.collect::<Vec<_>>().into_iter().enumerate() {
        match call.await.expect("no panic") {
            Ok(reply) => {
                let reply = reply.into_inner();
                assert!(reply.changed);
                winners.push((client, reply.modified_revision));
            }
            Err(status) => {
                assert_eq!(status.code(), Code::AlreadyExists, "{status:?}");
                refused += 1;
            }
        }
    }
    assert_eq!((winners.len(), refused), (1, CLIENTS - 1));
    let (winner, revision) = winners[0];
    let last = v1::consistency::Level::Linearizable(true);
    for member in 0..cluster.members.len() {
        let asked = v1::GetPatternRequest {
            name: "flow".into(),
            consistency: crate::cluster::level(last),
        };
        let found = nexus(cluster, member).get_pattern(asked).await;
        let found = found.expect("it stands").into_inner();
        assert_eq!(found.pattern.expect("there").version, winner.to_string());
        assert_eq!(found.modified_revision, revision);
    }
    // The winner's repetition is the same write, and everybody else's is refused again.
    let mut mine = pattern("flow", vec![pass("a", &[])]);
    mine.version = winner.to_string();
    let again = registration(mine, &format!("client-{winner}"));
    let again = nexus(cluster, winner).register_pattern(again).await;
    assert_eq!(
        again.expect("it was done").into_inner().modified_revision,
        revision
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_64_clients_that_register_one_pattern_one_succeeds_and_63_are_told_that_it_exists() {
    race(&Cluster::alone().await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_64_clients_of_two_servers_that_register_one_pattern_one_succeeds() {
    let Some(server) = database_server() else {
        return;
    };
    let cluster = Cluster::start(server.database(), 2, &[]).await;
    race(&cluster).await;
    cluster.agree().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pattern_is_replaced_only_by_who_names_the_revision_that_they_saw() {
    let cluster = Cluster::alone().await;
    let mut nexus = nexus(&cluster, 0);
    let put = |version: &str, expected| {
        let mut pattern = pattern("flow", vec![pass("a", &[])]);
        pattern.version = version.into();
        v1::RegisterPatternRequest {
            expected_revision: expected,
            ..registration(pattern, "")
        }
    };
    let first = nexus.register_pattern(put("1", Some(0))).await;
    let first = first.expect("it did not exist").into_inner();
    for (expected, code) in [
        (None, Code::AlreadyExists),
        (Some(0), Code::AlreadyExists),
        (Some(first.modified_revision + 7), Code::Aborted),
    ] {
        let refused = nexus.register_pattern(put("2", expected)).await;
        assert_eq!(refused.expect_err("it exists").code(), code, "{expected:?}");
    }
    let second = nexus
        .register_pattern(put("2", Some(first.modified_revision)))
        .await
        .expect("seen")
        .into_inner();
    assert!(second.modified_revision > first.modified_revision);
    let gone = v1::DeletePatternRequest {
        name: "flow".into(),
        ..v1::DeletePatternRequest::default()
    };
    nexus.delete_pattern(gone.clone()).await.expect("deleted");
    let again = nexus.delete_pattern(gone).await.expect_err("gone");
    assert_eq!(again.code(), Code::NotFound);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_fault_is_told_at_once_with_its_path_and_nothing_is_written() {
    let cluster = Cluster::alone().await;
    let mut nexus = nexus(&cluster, 0);
    let text = |text: &str| prost_types::Value {
        kind: Some(Kind::StringValue(text.into())),
    };
    let mut looks_ahead = pass("late", &["absent"]);
    let reference = [("x".to_owned(), text("${steps.other.result}"))];
    looks_ahead.parameters = Some(prost_types::Struct {
        fields: reference.into(),
    });
    let mut called = pass("call", &["one"]);
    called.r#type = "grpc".into();
    called.target = "service/nowhere".into();
    called.action = "shop.Shop/Buy".into();
    let wrong = pattern(
        "wrong",
        vec![
            pass("one", &["two"]),
            pass("two", &["one"]),
            looks_ahead,
            pass("other", &[]),
            pass("other", &[]),
            called,
        ],
    );
    let asked = v1::ValidatePatternRequest {
        pattern: Some(wrong.clone()),
        consistency: None,
    };
    let told = nexus.validate_pattern(asked).await.expect("told");
    let told = told.into_inner();
    assert!(!told.valid && told.levels.is_empty());
    let faults: Vec<(&str, bool)> = told
        .faults
        .iter()
        .map(|fault| (fault.path.as_str(), fault.warning))
        .collect();
    for expected in [
        ("pattern.steps[4].id", false),
        ("pattern.steps[2].depends_on[0]", false),
        ("pattern.steps[2].parameters.x", false),
        ("pattern.steps[5].target", true),
    ] {
        assert!(faults.contains(&expected), "{expected:?} of {faults:?}");
    }
    let cycle = |fault: &v1::PatternFault| fault.reason.contains("cycle");
    assert!(told.faults.iter().any(cycle), "{:?}", told.faults);

    let refused = nexus.register_pattern(registration(wrong, "")).await;
    let refused = refused.expect_err("it is wrong");
    assert_eq!(refused.code(), Code::InvalidArgument);
    let fields = refused.get_details_bad_request().expect("fields");
    assert!(fields.field_violations.len() >= 4, "{fields:?}");
    let list = v1::ListPatternsRequest::default();
    let none = nexus.list_patterns(list).await.expect("listed");
    assert!(none.into_inner().patterns.is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_list_of_patterns_is_paged_by_name_and_filtered() {
    let cluster = Cluster::alone().await;
    let mut nexus = nexus(&cluster, 0);
    for n in 0..7 {
        let mut pattern = pattern(&format!("flow-{n}"), vec![pass("a", &[])]);
        pattern.active = n % 2 == 0;
        pattern.owner = "shop".into();
        let put = nexus.register_pattern(registration(pattern, "")).await;
        put.expect("registered");
    }
    let mut names = Vec::new();
    let mut asked = v1::ListPatternsRequest {
        owner: "shop".into(),
        active: Some(true),
        page_size: 3,
        ..v1::ListPatternsRequest::default()
    };
    loop {
        let page = nexus.list_patterns(asked.clone()).await.expect("a page");
        let page = page.into_inner();
        names.extend(page.patterns.into_iter().map(|pattern| pattern.name));
        asked.page_token = page.next_page_token;
        if asked.page_token.is_empty() {
            break;
        }
    }
    assert_eq!(names, ["flow-0", "flow-2", "flow-4", "flow-6"]);
    asked.owner = "nobody".into();
    let none = nexus.list_patterns(asked).await.expect("listed");
    assert!(none.into_inner().patterns.is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_a_pattern_says_comes_back_and_its_steps_stand_in_levels() {
    let cluster = Cluster::alone().await;
    let mut nexus = nexus(&cluster, 0);
    let whole = v1::Pattern {
        version: "3".into(),
        inputs: vec![v1::PatternInput {
            name: "order".into(),
            r#type: "string".into(),
            required: true,
            description: "which".into(),
            ..v1::PatternInput::default()
        }],
        outputs: vec![v1::PatternOutput {
            name: "made".into(),
            value: Some(prost_types::Value {
                kind: Some(Kind::StringValue("${steps.c.result}".into())),
            }),
            ..v1::PatternOutput::default()
        }],
        classes: [("slow".to_owned(), 2)].into(),
        max_runs: 3,
        max_parallel: 4,
        timeout_ms: 60_000,
        ..pattern(
            "whole",
            vec![
                pass("a", &[]),
                v1::PatternStep {
                    retry: Some(v1::RetryPolicy {
                        max_attempts: 3,
                        backoff_ms: 10,
                        multiplier: 1.5,
                        max_backoff_ms: 100,
                        jitter: Some(0.0),
                        codes: vec!["UNAVAILABLE".into()],
                    }),
                    concurrency_class: "slow".into(),
                    timeout_ms: 500,
                    total_timeout_ms: 5_000,
                    compensation: Some(v1::Compensation {
                        r#type: "pass".into(),
                        ..v1::Compensation::default()
                    }),
                    description: "takes its time".into(),
                    ..pass("b", &["a"])
                },
                v1::PatternStep {
                    join: v1::pattern_step::Join::Any.into(),
                    ..pass("c", &["a", "b"])
                },
                pass("d", &[]),
            ],
        )
    };
    let asked = v1::ValidatePatternRequest {
        pattern: Some(whole.clone()),
        consistency: None,
    };
    let told = nexus.validate_pattern(asked).await.expect("told");
    let told = told.into_inner();
    assert!(told.valid, "{:?}", told.faults);
    let levels: Vec<String> = told.levels.iter().map(|l| l.steps.join(" ")).collect();
    assert_eq!(levels, ["a d", "b", "c"]);
    let put = nexus
        .register_pattern(registration(whole.clone(), ""))
        .await;
    let put = put.expect("registered").into_inner();
    assert_eq!(put.pattern, Some(whole));
    // By its dot path too, in the same words.
    let asked = v1::GetKnowledgeRequest {
        path: "patterns.whole.steps[1].retry.max_attempts".into(),
        consistency: None,
    };
    let found = nexus.get_knowledge(asked).await.expect("there");
    let three = Kind::NumberValue(3.0);
    assert_eq!(found.into_inner().value.and_then(|v| v.kind), Some(three));
}
