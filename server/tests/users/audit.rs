//! `Audit`: commits and security events as one log.

use amadeus::auth::{Event, Outcome, Role};
use amadeus_proto::v1;
use futures::StreamExt as _;
use std::time::Duration;
use tokio::time::timeout;
use tonic::{Code, Status};
use tonic_types::StatusExt as _;
use v1::admin_service_server::AdminService as _;
use v1::audit_event::Outcome as Shown;

use crate::server::{Server, by, caller, clock};

/// How long anything may take to come about.
const SOON: Duration = Duration::from_secs(30);

fn event(actor: &str, action: &'static str, outcome: Outcome) -> Event {
    Event {
        time_ms: clock(),
        actor: actor.into(),
        source: "192.0.2.1".into(),
        action,
        resource: "user/ann".into(),
        outcome,
        reason: "because".into(),
    }
}

async fn append(server: &Server, event: Event) -> u64 {
    let time_ms = event.time_ms;
    server
        .users
        .append_events(&[event])
        .await
        .expect("there is room");
    time_ms
}

type Messages = futures::stream::BoxStream<'static, Result<v1::AuditResponse, Status>>;

async fn open(server: &Server, asked: v1::AuditRequest) -> Result<Messages, Status> {
    let boss = caller("boss", None, Some(Role::Admin));
    Ok(server.admin.audit(by(&boss, asked)).await?.into_inner())
}

async fn all(server: &Server, asked: v1::AuditRequest) -> Vec<v1::AuditEvent> {
    let mut messages = open(server, asked).await.expect("it opens");
    let mut events = Vec::new();
    while let Some(message) = messages.next().await {
        let message = message.expect("a message");
        assert!(message.header.is_some());
        assert!(prost::Message::encoded_len(&message) <= 300 * 1024);
        events.extend(message.events);
    }
    events
}

fn at(ms: u64) -> Option<prost_types::Timestamp> {
    Some(prost_types::Timestamp {
        seconds: (ms / 1_000).cast_signed(),
        nanos: (ms % 1_000) as i32 * 1_000_000,
    })
}

fn shown(events: &[v1::AuditEvent]) -> Vec<(String, String, u64)> {
    let one = |event: &v1::AuditEvent| (event.actor.clone(), event.action.clone(), event.revision);
    events.iter().map(one).collect()
}

fn expected(wanted: &[(&str, &str, u64)]) -> Vec<(String, String, u64)> {
    let one = |(actor, action, revision): &(&str, &str, u64)| {
        ((*actor).into(), (*action).into(), *revision)
    };
    wanted.iter().map(one).collect()
}

#[tokio::test]
async fn commits_and_events_are_told_by_time_and_as_they_are_asked_for() {
    let server = Server::start().await;
    append(&server, event("", "login", Outcome::Refused)).await;
    let first = append(&server, event("ann", "login", Outcome::Done)).await;
    assert_eq!(server.commit("ann", "a note", "1").await, 1);
    assert_eq!(server.commit("bob", "", "2").await, 2);
    let denied = append(&server, event("ann", "denied", Outcome::Refused)).await;
    assert_eq!(server.commit("ann", "", "3").await, 3);
    let everything = [
        ("", "login", 0),
        ("ann", "login", 0),
        ("ann", "commit", 1),
        ("bob", "commit", 2),
        ("ann", "denied", 0),
        ("ann", "commit", 3),
    ];
    let told = all(&server, v1::AuditRequest::default()).await;
    assert_eq!(shown(&told), expected(&everything));
    assert!(told.is_sorted_by_key(|event| event.time.map(|time| (time.seconds, time.nanos))));
    let commit = &told[2];
    assert_eq!(
        (commit.reason.as_str(), commit.resource.as_str()),
        ("a note", "1 change")
    );
    assert_eq!(commit.outcome, i32::from(Shown::Done));
    let refused = &told[4];
    assert_eq!(refused.outcome, i32::from(Shown::Refused));
    assert_eq!(
        (
            refused.source.as_str(),
            refused.resource.as_str(),
            refused.reason.as_str()
        ),
        ("192.0.2.1", "user/ann", "because")
    );
    let asked = async |asked: v1::AuditRequest| shown(&all(&server, asked).await);
    let actor = v1::AuditRequest {
        actor: "bob".into(),
        ..Default::default()
    };
    assert_eq!(asked(actor).await, expected(&everything[3..4]));
    let commits = v1::AuditRequest {
        action: "commit".into(),
        ..Default::default()
    };
    assert_eq!(
        asked(commits).await,
        expected(&[everything[2], everything[3], everything[5]])
    );
    let logins = v1::AuditRequest {
        action: "login".into(),
        ..Default::default()
    };
    assert_eq!(asked(logins).await, expected(&everything[..2]));
    let refusals = v1::AuditRequest {
        outcome: Shown::Refused.into(),
        ..Default::default()
    };
    assert_eq!(
        asked(refusals).await,
        expected(&[everything[0], everything[4]])
    );
    let between = v1::AuditRequest {
        from: at(first + 1),
        until: at(denied),
        ..Default::default()
    };
    assert_eq!(asked(between).await, expected(&everything[2..4]));
    let late = v1::AuditRequest {
        from: at(denied + 100_000),
        ..Default::default()
    };
    assert!(asked(late).await.is_empty());
}

#[tokio::test]
async fn a_stream_that_follows_tells_what_happens_from_now_on() {
    let server = Server::start().await;
    append(&server, event("ann", "login", Outcome::Done)).await;
    let follow = v1::AuditRequest {
        follow: true,
        ..Default::default()
    };
    let mut messages = open(&server, follow).await.expect("it opens");
    let mut told = Vec::new();
    for step in 0..6 {
        while told.len() <= step {
            let message = timeout(SOON, messages.next())
                .await
                .expect("in time")
                .expect("it goes on");
            told.extend(message.expect("a message").events);
        }
        if step % 2 == 0 {
            server.commit("bob", "", &step.to_string()).await;
        } else {
            append(&server, event("ann", "denied", Outcome::Refused)).await;
        }
    }
    let wanted = [
        ("ann", "login", 0),
        ("bob", "commit", 1),
        ("ann", "denied", 0),
        ("bob", "commit", 2),
        ("ann", "denied", 0),
        ("bob", "commit", 3),
    ];
    assert_eq!(shown(&told), expected(&wanted));
    // Up to a time that comes it ends by itself.
    let until = v1::AuditRequest {
        follow: true,
        until: at(clock() + 5),
        ..Default::default()
    };
    let ended = timeout(SOON, all(&server, until)).await.expect("in time");
    assert!(ended.len() >= 6);
}

#[tokio::test]
async fn a_long_log_comes_in_messages_of_bounded_size() {
    let server = Server::start().await;
    let long = |number: u64| Event {
        resource: format!("{number} {}", "x".repeat(900)),
        reason: "y".repeat(1_000),
        ..event("ann", "denied", Outcome::Refused)
    };
    let events: Vec<Event> = (0..1_200).map(long).collect();
    server
        .users
        .append_events(&events)
        .await
        .expect("there is room");
    for number in 0..100 {
        server.commit("bob", "", &number.to_string()).await;
    }
    let told = all(&server, v1::AuditRequest::default()).await;
    assert_eq!(told.len(), 1_300);
    let resources: Vec<&str> = told[..1_200]
        .iter()
        .filter_map(|event| event.resource.split(' ').next())
        .collect();
    let wanted: Vec<String> = (0..1_200).map(|number| number.to_string()).collect();
    assert_eq!(resources, wanted);
    let half = told[1_250].time.expect("a time");
    let late = all(
        &server,
        v1::AuditRequest {
            from: Some(half),
            ..Default::default()
        },
    )
    .await;
    assert_eq!(shown(&late), shown(&told[1_250..]));
}

#[tokio::test]
async fn what_is_wrong_with_a_question_is_named() {
    let server = Server::start().await;
    let field = async |asked: v1::AuditRequest| {
        let status = open(&server, asked).await.err().expect("it is refused");
        assert_eq!(status.code(), Code::InvalidArgument);
        status
            .get_details_bad_request()
            .expect("details")
            .field_violations[0]
            .field
            .clone()
    };
    let negative = Some(prost_types::Timestamp {
        seconds: -1,
        nanos: 0,
    });
    assert_eq!(
        field(v1::AuditRequest {
            from: negative,
            ..Default::default()
        })
        .await,
        "from"
    );
    let odd = Some(prost_types::Timestamp {
        seconds: 1,
        nanos: -1,
    });
    assert_eq!(
        field(v1::AuditRequest {
            until: odd,
            ..Default::default()
        })
        .await,
        "until"
    );
    assert_eq!(
        field(v1::AuditRequest {
            from: at(2),
            until: at(1),
            ..Default::default()
        })
        .await,
        "until"
    );
    assert_eq!(
        field(v1::AuditRequest {
            outcome: 9,
            ..Default::default()
        })
        .await,
        "outcome"
    );
    assert_eq!(
        field(v1::AuditRequest {
            actor: "x".repeat(300),
            ..Default::default()
        })
        .await,
        "actor"
    );
}
