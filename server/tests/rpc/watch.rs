//! Watches over the wire.

use amadeus_proto::v1;
use kg_core::commit::HistoryLimits;
use tonic::{Code, Streaming};
use v1::change::Subject;

use crate::harness::{Server, entity, key};

async fn watch(server: &Server, request: v1::WatchRequest) -> Streaming<v1::WatchResponse> {
    let stream = server.graph.clone().watch(request).await;
    stream.expect("a stream").into_inner()
}

fn from(revision: u64) -> v1::WatchRequest {
    v1::WatchRequest {
        from_revision: revision,
        ..Default::default()
    }
}

fn told(message: &v1::WatchResponse) -> Vec<(u64, String)> {
    let subject = |change: &v1::Change| match change.subject.as_ref().expect("a subject") {
        Subject::Entity(entity) => {
            let key = entity.r#ref.as_ref().expect("named");
            format!("{}/{}", key.kind, key.name)
        }
        Subject::Relation(relation) => format!("relation {}", relation.relation),
        Subject::Node(node) => format!("node {}", node.path),
    };
    message
        .changes
        .iter()
        .map(|change| (change.revision, subject(change)))
        .collect()
}

/// Everything up to and with a bookmark.
async fn until(stream: &mut Streaming<v1::WatchResponse>, bookmark: u64) -> Vec<v1::WatchResponse> {
    let mut messages = Vec::new();
    loop {
        let message = stream.message().await.expect("no error").expect("no end");
        let reached = message.bookmark >= bookmark;
        messages.push(message);
        if reached {
            return messages;
        }
    }
}

#[tokio::test]
async fn a_watcher_gets_each_revision_once_and_in_order() {
    let server = Server::start().await;
    let mut live = watch(&server, from(0)).await;
    let mut early = watch(&server, from(150)).await;
    for n in 0..300 {
        server.put(&format!("probe/{n:03}"), 1.0).await;
    }
    let all: Vec<u64> = (1..=300).collect();
    let revisions = |messages: &[v1::WatchResponse]| -> Vec<u64> {
        messages
            .iter()
            .flat_map(told)
            .map(|(revision, _)| revision)
            .collect()
    };
    assert_eq!(revisions(&until(&mut live, 300).await), all);
    let mut replay = watch(&server, from(1)).await;
    assert_eq!(revisions(&until(&mut replay, 300).await), all);
    // A place beyond the head is waited for.
    assert_eq!(revisions(&until(&mut early, 300).await), all[149..]);
    assert_eq!(server.context.watchers.count(), 3);
}

#[tokio::test]
async fn a_watcher_behind_the_ring_reads_the_log() {
    let server = Server::with(HistoryLimits {
        revisions: 5,
        ..HistoryLimits::default()
    })
    .await;
    for n in 0..200 {
        server.put(&format!("probe/{n:03}"), 1.0).await;
    }
    let mut stream = watch(&server, from(1)).await;
    let messages = until(&mut stream, 200).await;
    assert_eq!(
        messages.iter().map(|m| m.bookmark).collect::<Vec<_>>(),
        (1..=200).collect::<Vec<_>>()
    );
}

#[tokio::test]
async fn a_lagging_watch_is_told_to_resync() {
    let server = Server::with(HistoryLimits {
        revisions: 5,
        ..HistoryLimits::default()
    })
    .await;
    for n in 0..50 {
        server.put(&format!("probe/{n}"), 1.0).await;
    }
    server.log.compact(30);
    let mut stream = watch(&server, from(7)).await;
    let message = stream.message().await.expect("a word").expect("no end yet");
    assert!(message.resync);
    assert_eq!(message.header.expect("a header").oldest_revision, 31);
    let end = stream.message().await.expect_err("it is over");
    assert_eq!(end.code(), Code::OutOfRange);
    assert!(end.message().contains("31"), "{end}");
    assert_eq!(server.context.watchers.resyncs(), 1);
}

#[tokio::test]
async fn a_state_and_what_follows_have_no_gap() {
    let server = Server::start().await;
    server.register("user", &["ghost"]).await;
    let node = v1::UpdateNodeRequest {
        path: "notes.today".into(),
        value: Some(crate::harness::number(1.0)),
        ..Default::default()
    };
    server
        .graph
        .clone()
        .update_node(node)
        .await
        .expect("written");
    let writer = {
        let graph = server.graph.clone();
        tokio::spawn(async move {
            for n in 0..200 {
                let request = v1::PutEntityRequest {
                    entity: Some(entity(&format!("gap/{n:03}"), 1.0)),
                    ..Default::default()
                };
                graph.clone().put_entity(request).await.expect("put");
            }
        })
    };
    let mut streams = Vec::new();
    for begun in 0..8 {
        // Spread over the writing, so that states of different size begin them.
        server.context.graph.reached(2 + begun * 20).await;
        let request = v1::WatchRequest {
            snapshot_first: true,
            ..Default::default()
        };
        streams.push(watch(&server, request).await);
    }
    writer.await.expect("it wrote");
    for mut stream in streams {
        let messages = until(&mut stream, 202).await;
        let mut seen: Vec<String> = messages
            .iter()
            .flat_map(told)
            .map(|(_, subject)| subject)
            .collect();
        seen.sort();
        let mut expected: Vec<String> = (0..200).map(|n| format!("gap/{n:03}")).collect();
        for more in [
            "service/user",
            "service/ghost",
            "relation depends_on",
            "node notes",
        ] {
            expected.push(more.into());
        }
        expected.sort();
        assert_eq!(seen, expected);
        assert!(messages[0].snapshot);
        let (state, later): (Vec<_>, Vec<_>) = messages.iter().partition(|m| m.snapshot);
        assert_eq!(state.iter().filter(|m| m.bookmark > 0).count(), 1);
        assert!(later.iter().all(|m| m.changes.len() == 1));
    }
}

#[tokio::test]
async fn a_large_revision_comes_in_parts_and_the_last_carries_the_bookmark() {
    let server = Server::start().await;
    let text = prost_types::Value {
        kind: Some(prost_types::value::Kind::StringValue("x".repeat(1_000))),
    };
    let put = |n: usize| v1::Mutation {
        mutation: Some(v1::mutation::Mutation::PutEntity(v1::PutEntityRequest {
            entity: Some(v1::Entity {
                r#ref: Some(key(&format!("whole/{n:04}"))),
                properties: Some(prost_types::Struct {
                    fields: [("text".to_owned(), text.clone())].into(),
                }),
                ..Default::default()
            }),
            ..Default::default()
        })),
    };
    let request = v1::CommitRequest {
        mutations: (0..3_000).map(put).collect(),
        ..Default::default()
    };
    server
        .graph
        .clone()
        .commit(request)
        .await
        .expect("committed");
    let mut stream = watch(&server, from(1)).await;
    let messages = until(&mut stream, 1).await;
    assert!(messages.len() > 5);
    assert!(
        messages[..messages.len() - 1]
            .iter()
            .all(|m| m.bookmark == 0)
    );
    assert_eq!(
        messages.iter().map(|m| m.changes.len()).sum::<usize>(),
        3_000
    );
}

#[tokio::test]
async fn filters_run_on_the_server_and_the_bookmark_still_moves() {
    let server = Server::start().await;
    server.put("f1/apple", 1.0).await;
    server.put("f2/apple", 1.0).await;
    server.relate("f1/apple", "likes", "f2/apple").await;
    let end = server.relate("f2/apple", "knows", "f1/apple").await;
    for (kinds, relations, wanted) in [
        (vec!["f1"], vec![], vec!["f1/apple", "relation likes"]),
        (vec!["none"], vec![], vec![]),
        (
            vec![],
            vec!["knows"],
            vec!["f1/apple", "f2/apple", "relation knows"],
        ),
    ] {
        let request = v1::WatchRequest {
            kinds: kinds.into_iter().map(String::from).collect(),
            relations: relations.into_iter().map(String::from).collect(),
            ..from(1)
        };
        let mut stream = watch(&server, request).await;
        let messages = until(&mut stream, end).await;
        let seen: Vec<String> = messages
            .iter()
            .flat_map(told)
            .map(|(_, subject)| subject)
            .collect();
        assert_eq!(seen, wanted);
    }
}

#[tokio::test]
async fn previous_values_come_only_when_asked_for() {
    let server = Server::start().await;
    server.put("prev/x", 1.0).await;
    let end = server.put("prev/x", 2.0).await;
    for previous_values in [true, false] {
        let request = v1::WatchRequest {
            previous_values,
            ..from(1)
        };
        let mut stream = watch(&server, request).await;
        let messages = until(&mut stream, end).await;
        let changes: Vec<_> = messages.into_iter().flat_map(|m| m.changes).collect();
        assert_eq!(changes[0].previous, None);
        assert_eq!(changes[1].previous.is_some(), previous_values);
    }
}

#[tokio::test]
async fn streams_end_when_the_server_stops() {
    let server = Server::start().await;
    let mut stream = watch(&server, from(0)).await;
    server.stop.send(true).expect("somebody listens");
    let end = stream.message().await.expect_err("it is over");
    assert_eq!(end.code(), Code::Unavailable);
}
