//! Events over the wire, while the server is killed again and again: emitted by a client that repeats what was not answered,
//! consumed by three groups whose clients know how far they are.
//!
//! `AMADEUS_EVENTS` says how many events; `cargo xtask events` runs it with a million.

use std::time::Duration;

use amadeus_proto::v1;
use tempfile::TempDir;
use tokio::sync::watch;
use tonic::transport::Channel;
use v1::graph_service_client::GraphServiceClient;
use v1::nexus_service_client::NexusServiceClient;

use crate::process::Process;

type Client = NexusServiceClient<Channel>;

/// Events of one batch, and times that the server is killed.
const BATCH: usize = 250;
const KILLS: usize = 4;

/// Without anything new for this long the test has failed.
const STUCK: Duration = Duration::from_secs(120);

fn many() -> usize {
    let given = std::env::var("AMADEUS_EVENTS").ok();
    given.map_or(30_000, |given| given.parse().expect("a number"))
}

fn event(kind: &str, id: usize) -> v1::Event {
    v1::Event {
        id: id.to_string(),
        r#type: kind.into(),
        correlation_id: format!("c-{}", id % 10),
        ..v1::Event::default()
    }
}

async fn start(folder: &TempDir) -> (Process, Channel) {
    let mut process = Process::start(folder.path(), &[], "");
    let channel = process.ready().await;
    let channel = channel.unwrap_or_else(|| panic!("it does not start:\n{}", process.tail()));
    (process, channel)
}

/// Emits all events, each batch until it is answered. Tells how many are durable.
async fn emit(many: usize, channel: watch::Receiver<Channel>, durable: watch::Sender<usize>) {
    let mut first = 0;
    while first < many {
        let mut client = Client::new(channel.borrow().clone());
        let (send, batches) = tokio::sync::mpsc::channel(4);
        let feeding = tokio::spawn(async move {
            for from in (first..many).step_by(BATCH) {
                let ids = from..(from + BATCH).min(many);
                let events = ids.map(|id| event("probe", id)).collect();
                if send.send(v1::EmitEventsRequest { events }).await.is_err() {
                    return;
                }
            }
        });
        let batches = futures::stream::unfold(batches, |mut batches| async move {
            let batch = batches.recv().await?;
            Some((batch, batches))
        });
        if let Ok(replies) = client.emit_events(batches).await {
            let mut replies = replies.into_inner();
            while let Ok(Some(reply)) = replies.message().await {
                first += reply.offsets.len();
                durable.send_replace(first);
            }
        }
        feeding.abort();
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Consumes for a group from where this client is, again after each loss; the ids in the order of their places.
async fn consume(group: String, many: usize, channel: watch::Receiver<Channel>) -> Vec<usize> {
    let mut ids = Vec::with_capacity(many);
    let mut next = 1;
    while ids.len() < many {
        let mut client = Client::new(channel.borrow().clone());
        let asked = v1::SubscribeEventsRequest {
            group: group.clone(),
            types: vec!["probe".into()],
            from_offset: Some(next),
            max_unacked: 5_000,
            ..v1::SubscribeEventsRequest::default()
        };
        if let Ok(messages) = client.subscribe_events(asked).await {
            let mut messages = messages.into_inner();
            while ids.len() < many
                && let Ok(Some(message)) = messages.message().await
            {
                assert_eq!(message.lag, None);
                for event in &message.events {
                    assert!(event.offset >= next, "{} after {next}", event.offset);
                    next = event.offset + 1;
                    ids.push(event.id.parse().expect("a number"));
                }
                let ack = v1::AckEventsRequest {
                    group: group.clone(),
                    offset: next - 1,
                    epoch: message.epoch,
                    ..v1::AckEventsRequest::default()
                };
                // What is lost of it is said again with the next one, or by the place that the next stream begins at.
                if message.epoch > 0 && next > 1 {
                    let _ = client.ack_events(ack).await;
                }
            }
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    ids
}

#[tokio::test(flavor = "multi_thread")]
async fn no_group_loses_an_event_or_has_one_twice_while_the_server_is_killed() {
    let many = many();
    let folder = TempDir::new().expect("a folder");
    let (mut process, channel) = start(&folder).await;
    let (show, shown) = watch::channel(channel);
    let (tell, mut durable) = watch::channel(0);
    let emitting = tokio::spawn(emit(many, shown.clone(), tell));
    let groups: Vec<_> = (0..3)
        .map(|number| tokio::spawn(consume(format!("g{number}"), many, shown.clone())))
        .collect();
    for kill in 1..=KILLS {
        let due = many * kill / (KILLS + 1);
        let reached = tokio::time::timeout(STUCK, durable.wait_for(|durable| *durable >= due));
        reached.await.expect("it goes on").expect("it is told");
        process.end().await;
        let (again, channel) = start(&folder).await;
        process = again;
        show.send_replace(channel);
    }
    let all = async {
        emitting.await.expect("it emits");
        let mut orders = Vec::new();
        for group in groups {
            orders.push(group.await.expect("it consumes"));
        }
        orders
    };
    let patience = STUCK + Duration::from_millis(many as u64);
    let orders = tokio::time::timeout(patience, all).await;
    let orders = orders.unwrap_or_else(|_| panic!("it is stuck:\n{}", process.tail()));
    // One client emitted them one batch after the other, so the order is known.
    let expected: Vec<usize> = (0..many).collect();
    for order in &orders {
        assert_eq!(order.len(), many);
        assert!(*order == expected, "an event is missing, or was sent twice");
    }
    process.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_never_reads_slows_nobody() {
    let folder = TempDir::new().expect("a folder");
    let (mut process, channel) = start(&folder).await;
    let mut client = Client::new(channel.clone());
    let asked = v1::SubscribeEventsRequest {
        types: vec!["probe".into()],
        ..v1::SubscribeEventsRequest::default()
    };
    // It is opened and never asked for a message.
    let never_read = client
        .subscribe_events(asked.clone())
        .await
        .expect("it opens");
    let mut reading = client
        .subscribe_events(asked)
        .await
        .expect("it opens")
        .into_inner();
    let (tell, _durable) = watch::channel(0);
    let (_show, shown) = watch::channel(channel);
    let emitting = tokio::spawn(emit(20_000, shown, tell));
    let mut seen = 0;
    while seen < 20_000 {
        let message = tokio::time::timeout(STUCK, reading.message()).await;
        let message = message.expect("it goes on").expect("it is well");
        seen += message.expect("it does not end").events.len();
    }
    emitting.await.expect("it emits");
    drop(never_read);
    process.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_member_of_a_group_that_never_reads_gives_way_and_is_told() {
    let folder = TempDir::new().expect("a folder");
    let (mut process, channel) = start(&folder).await;
    let mut client = Client::new(channel);
    let asked = v1::SubscribeEventsRequest {
        group: "g".into(),
        from_offset: Some(1),
        ack_within_ms: 1_000,
        ..v1::SubscribeEventsRequest::default()
    };
    // Its connection answers pings and takes what fits, and nobody looks at it.
    let never_read = client.subscribe_events(asked.clone()).await;
    let mut never_read = never_read.expect("it opens").into_inner();
    let events = (1..=3_000).map(|id| event("probe", id)).collect();
    let batches = futures::stream::iter([v1::EmitEventsRequest { events }]);
    let replies = client.emit_events(batches).await.expect("it begins");
    let durable = replies.into_inner().message().await.expect("it is fine");
    assert_eq!(durable.expect("a reply").offsets.len(), 3_000);
    let other = client.subscribe_events(asked).await;
    let mut other = other.expect("it opens").into_inner();
    let mut next = 1;
    let taking = async {
        while next <= 3_000 {
            let message = other.message().await.expect("it is well");
            let message = message.expect("it does not end");
            for event in &message.events {
                assert_eq!(event.offset, next);
                next += 1;
            }
            if !message.events.is_empty() {
                let ack = v1::AckEventsRequest {
                    group: "g".into(),
                    offset: next - 1,
                    epoch: message.epoch,
                    ..v1::AckEventsRequest::default()
                };
                client.ack_events(ack).await.expect("it is served");
            }
        }
    };
    let taken = tokio::time::timeout(STUCK, taking).await;
    taken.expect("it is served, and goes on from the first that nobody acknowledged");
    let (mut had, mut told) = (0, false);
    while !told {
        let message = tokio::time::timeout(STUCK, never_read.message()).await;
        let message = message.expect("something is there").expect("it is well");
        let message = message.expect("it does not end");
        had += message.events.len();
        told = message.standby;
    }
    assert!(had <= 1_000, "it was sent {had}");
    process.end().await;
}

/// Events of which a few hundred are more than a connection takes that nobody reads from.
fn large_events(many: usize) -> Vec<v1::Event> {
    let text = prost_types::Value::from("x".repeat(16_000));
    let large = |id| v1::Event {
        payload: Some(prost_types::Struct {
            fields: [("text".to_owned(), text.clone())].into(),
        }),
        ..event("probe", id)
    };
    (1..=many).map(large).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_member_that_is_slow_and_has_no_room_keeps_its_turn_for_as_long_as_it_may() {
    let folder = TempDir::new().expect("a folder");
    let (mut process, channel) = start(&folder).await;
    let mut client = Client::new(channel);
    let batches: Vec<_> = large_events(1_000)
        .chunks(100)
        .map(|events| v1::EmitEventsRequest {
            events: events.to_vec(),
        })
        .collect();
    let replies = client.emit_events(futures::stream::iter(batches)).await;
    let mut replies = replies.expect("it begins").into_inner();
    while replies.message().await.expect("it is fine").is_some() {}
    for (ack_within_ms, keeps) in [(60_000, true), (1_000, false)] {
        // Connections of their own: what one does not read must not stand in the way of the other.
        let mut members = Vec::new();
        for _ in 0..2 {
            let channel = process.ready().await.expect("it is there");
            let asked = v1::SubscribeEventsRequest {
                group: format!("g{ack_within_ms}"),
                from_offset: Some(1),
                auto_ack: true,
                ack_within_ms,
                ..v1::SubscribeEventsRequest::default()
            };
            let opened = Client::new(channel).subscribe_events(asked).await;
            let mut messages = opened.expect("it opens").into_inner();
            let first = messages.message().await.expect("it is well");
            let is_second = !members.is_empty();
            assert_eq!(first.expect("it does not end").standby, is_second);
            members.push(messages);
        }
        let mut other = members.pop().expect("a second one");
        let served = async {
            loop {
                let message = other.message().await.expect("it is well");
                if message.is_some_and(|message| !message.standby) {
                    return;
                }
            }
        };
        // Longer than silence may last.
        let patience = if keeps { Duration::from_secs(8) } else { STUCK };
        let served = tokio::time::timeout(patience, served).await;
        assert_eq!(served.is_err(), keeps);
    }
    process.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_graph_does_is_told_once_from_the_first_who_asks_on() {
    let folder = TempDir::new().expect("a folder");
    let (mut process, channel) = start(&folder).await;
    let mut graph = GraphServiceClient::new(channel.clone());
    let mut client = Client::new(channel);
    let put = |name: &str| v1::PutEntityRequest {
        entity: Some(v1::Entity {
            r#ref: Some(v1::EntityRef {
                kind: "key".into(),
                name: name.into(),
            }),
            ..v1::Entity::default()
        }),
        reason: "because".into(),
        ..v1::PutEntityRequest::default()
    };
    graph.put_entity(put("before")).await.expect("it is put");
    let asked = v1::SubscribeEventsRequest {
        types: vec!["graph.*".into(), "liveness.*".into()],
        from_offset: Some(1),
        ..v1::SubscribeEventsRequest::default()
    };
    let mut told = client
        .subscribe_events(asked.clone())
        .await
        .expect("it opens")
        .into_inner();
    graph.put_entity(put("after")).await.expect("it is put");
    let service = |health: v1::Health| v1::RegisterServiceRequest {
        service: Some(v1::Service {
            name: "cart".into(),
            health: health.into(),
            ..v1::Service::default()
        }),
        ..v1::RegisterServiceRequest::default()
    };
    for health in [v1::Health::Up, v1::Health::Down] {
        graph
            .register_service(service(health))
            .await
            .expect("it is registered");
    }
    let expected = [
        "graph.key.created key/after",
        "graph.service.created service/cart",
        "liveness.up service/cart",
        "graph.service.updated service/cart",
        "liveness.down service/cart",
    ];
    assert_eq!(names(&mut told, expected.len()).await, expected);
    // After a kill it is told from where it was, and nothing twice.
    process.end().await;
    let (mut process, channel) = start(&folder).await;
    let mut graph = GraphServiceClient::new(channel.clone());
    let mut client = Client::new(channel);
    graph.put_entity(put("last")).await.expect("it is put");
    let mut told = client
        .subscribe_events(asked)
        .await
        .expect("it opens")
        .into_inner();
    let again = names(&mut told, expected.len() + 1).await;
    assert_eq!(again[..expected.len()], expected);
    assert_eq!(again[expected.len()], "graph.key.created key/last");
    process.end().await;
}

async fn names(
    told: &mut tonic::Streaming<v1::SubscribeEventsResponse>,
    many: usize,
) -> Vec<String> {
    let mut names = Vec::new();
    while names.len() < many {
        let message = tokio::time::timeout(STUCK, told.message()).await;
        let message = message.expect("something comes").expect("it is well");
        for event in message.expect("it does not end").events {
            let entity = event.entity.unwrap_or_default();
            names.push(format!("{} {}/{}", event.r#type, entity.kind, entity.name));
        }
    }
    names
}

#[tokio::test(flavor = "multi_thread")]
async fn a_time_is_where_a_new_group_begins_and_passes_over_nothing_of_one_that_exists() {
    let folder = TempDir::new().expect("a folder");
    let (mut process, channel) = start(&folder).await;
    let mut client = Client::new(channel);
    for id in 1..=3 {
        let event = Some(event("a", id));
        let emitted = client.emit_event(v1::EmitEventRequest { event }).await;
        emitted.expect("it is fine");
    }
    let asked = |group: &str, from_offset, seconds: Option<i64>| v1::SubscribeEventsRequest {
        group: group.into(),
        from_offset,
        from_time: seconds.map(|seconds| prost_types::Timestamp { seconds, nanos: 0 }),
        ..v1::SubscribeEventsRequest::default()
    };
    let late = i64::from(u32::MAX);
    let mut first = async |asked: v1::SubscribeEventsRequest| {
        let told = client.subscribe_events(asked).await;
        let told = names(&mut told.expect("it is fine").into_inner(), 1).await;
        let groups = client.list_groups(v1::ListGroupsRequest::default()).await;
        let groups = groups.expect("it is fine").into_inner().groups;
        (told.len(), groups.last().expect("a group").next_offset)
    };
    assert_eq!(first(asked("old", None, Some(0))).await, (3, 1));
    // Nothing of it is acknowledged, and a later time does not say that it is.
    assert_eq!(first(asked("old", None, Some(late))).await, (3, 1));
    // An offset does.
    assert_eq!(first(asked("old", Some(3), None)).await, (1, 3));
    process.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_is_refused_by_its_field_and_ends_the_stream() {
    let folder = TempDir::new().expect("a folder");
    let (mut process, channel) = start(&folder).await;
    let mut client = Client::new(channel);
    let one = |event| v1::EmitEventRequest { event };
    let refused = client.emit_event(one(Some(event("graph.x", 1)))).await;
    let refused = refused.expect_err("it is the server's own");
    assert_eq!(refused.code(), tonic::Code::InvalidArgument);
    let emitted = client
        .emit_event(one(Some(event("a", 1))))
        .await
        .expect("it is fine");
    let emitted = emitted.into_inner();
    assert_eq!(
        (emitted.offset, &*emitted.id, emitted.duplicate),
        (1, "1", false)
    );
    let batch = |events| v1::EmitEventsRequest { events };
    let batches = vec![
        batch(vec![event("a", 1), event("a", 2)]),
        batch(vec![event("a", 3), event("a b", 4)]),
        batch(vec![event("a", 5)]),
    ];
    let replies = client.emit_events(futures::stream::iter(batches)).await;
    let mut replies = replies.expect("it begins").into_inner();
    let first = replies
        .message()
        .await
        .expect("it is fine")
        .expect("a reply");
    assert_eq!((first.offsets, first.duplicates), (vec![1, 2], 1));
    let refused = replies.message().await.expect_err("it is wrong");
    assert_eq!(refused.code(), tonic::Code::InvalidArgument);
    assert!(refused.message().contains("events[1].type"), "{refused}");
    // What only the log knows is told by its field as well, alone and within a batch; nothing of a batch is left behind.
    let other = v1::Event {
        correlation_id: "another".into(),
        ..event("a", 1)
    };
    let refused = client.emit_event(one(Some(other.clone()))).await;
    let refused = refused.expect_err("it says something else");
    assert_eq!(refused.code(), tonic::Code::InvalidArgument);
    assert!(refused.message().contains("event.id"), "{refused}");
    assert!(refused.message().contains("is taken"), "{refused}");
    let large = v1::Event {
        payload: Some(prost_types::Struct {
            fields: [(
                "text".to_owned(),
                prost_types::Value::from("x".repeat(70_000)),
            )]
            .into(),
        }),
        ..event("a", 7)
    };
    for (wrong, field) in [(other, "events[1].id"), (large, "events[1].payload")] {
        let batches = futures::stream::iter([batch(vec![event("b", 1), wrong])]);
        let replies = client.emit_events(batches).await.expect("it begins");
        let refused = replies.into_inner().message().await;
        let refused = refused.expect_err("it is wrong");
        assert_eq!(refused.code(), tonic::Code::InvalidArgument);
        assert!(refused.message().contains(field), "{refused}");
    }
    let first = client.emit_event(one(Some(event("b", 1)))).await;
    let first = first.expect("it is fine").into_inner();
    assert!(!first.duplicate, "its batch was refused");
    for (asked, field) in [
        (
            v1::SubscribeEventsRequest {
                from_offset: Some(1_000),
                ..Default::default()
            },
            "from_offset",
        ),
        (
            v1::SubscribeEventsRequest {
                auto_ack: true,
                ..Default::default()
            },
            "auto_ack",
        ),
        (
            v1::SubscribeEventsRequest {
                group: "a\nb".into(),
                ..Default::default()
            },
            "group",
        ),
        (
            v1::SubscribeEventsRequest {
                types: vec!["order.*.paid".into()],
                ..Default::default()
            },
            "types[0]",
        ),
        (
            v1::SubscribeEventsRequest {
                group: "g".into(),
                ack_within_ms: 10,
                ..Default::default()
            },
            "ack_within_ms",
        ),
    ] {
        let refused = client
            .subscribe_events(asked)
            .await
            .expect_err("it is wrong");
        assert_eq!(refused.code(), tonic::Code::InvalidArgument, "{refused}");
        assert!(refused.message().contains(field), "{refused}");
    }
    let consumer = v1::SubscribeEventsRequest {
        group: "there".into(),
        ..Default::default()
    };
    client.subscribe_events(consumer).await.expect("it is made");
    for (offset, failed_offset, field) in [(1_000, 0, "offset"), (0, 1_000, "failed_offset")] {
        let asked = v1::AckEventsRequest {
            group: "there".into(),
            offset,
            failed_offset,
            ..Default::default()
        };
        let refused = client.ack_events(asked).await.expect_err("it is beyond");
        assert_eq!(refused.code(), tonic::Code::InvalidArgument, "{refused}");
        assert!(refused.message().contains(field), "{refused}");
    }
    let unknown = v1::SeekGroupRequest {
        group: "g".into(),
        offset: Some(1),
        ..Default::default()
    };
    let refused = client.seek_group(unknown).await.expect_err("there is none");
    assert_eq!(refused.code(), tonic::Code::NotFound);
    process.end().await;
}
