//! Long lists come in pages of one revision.

use amadeus_proto::v1;
use kg_core::commit::HistoryLimits;
use tonic::Code;

use crate::harness::{Server, key, revision};

#[tokio::test]
async fn pages_of_every_list_agree_while_writers_go_on() {
    let mut server = Server::start().await;
    let names: Vec<String> = (0..40).map(|n| format!("n{n:02}")).collect();
    for name in &names {
        server.register(name, &["hub"]).await;
    }
    server.register("hub", &[]).await;
    let pinned = server.head();
    let (mut found, mut token, mut pages) = (Vec::new(), String::new(), 0);
    loop {
        let request = v1::ListRelationsRequest {
            r#ref: Some(key("service/hub")),
            direction: v1::Direction::Both.into(),
            page_size: 7,
            page_token: token,
            ..Default::default()
        };
        let reply = server
            .graph
            .list_relations(request)
            .await
            .expect("a page")
            .into_inner();
        assert_eq!(revision(reply.header), pinned);
        found.extend(
            reply
                .relations
                .into_iter()
                .filter_map(|r| r.from)
                .map(|from| from.name),
        );
        (token, pages) = (reply.next_page_token, pages + 1);
        if token.is_empty() {
            break;
        }
        server.register(&format!("later{pages}"), &["hub"]).await;
    }
    assert_eq!((found, pages), (names.clone(), 6));

    let (mut found, mut token) = (Vec::new(), String::new());
    loop {
        let request = v1::ListEntitiesRequest {
            kind: "service".into(),
            name_prefix: "n".into(),
            page_size: 9,
            page_token: token,
            ..Default::default()
        };
        let reply = server
            .graph
            .list_entities(request)
            .await
            .expect("a page")
            .into_inner();
        found.extend(
            reply
                .entities
                .into_iter()
                .filter_map(|e| e.r#ref)
                .map(|key| key.name),
        );
        token = reply.next_page_token;
        if token.is_empty() {
            break;
        }
    }
    assert_eq!(found, names);

    let (mut found, mut token) = (Vec::new(), String::new());
    loop {
        let request = v1::ImpactRequest {
            refs: vec![key("service/hub")],
            page_size: 10,
            page_token: token,
            ..Default::default()
        };
        let reply = server
            .query
            .impact(request)
            .await
            .expect("a page")
            .into_inner();
        assert_eq!(reply.total, 45);
        found.extend(
            reply
                .hits
                .into_iter()
                .filter_map(|hit| hit.r#ref)
                .map(|key| key.name),
        );
        token = reply.next_page_token;
        if token.is_empty() {
            break;
        }
    }
    assert_eq!(found.len(), 45);
    assert!(found.is_sorted());
}

#[tokio::test]
async fn a_token_of_another_question_or_a_damaged_one_is_refused() {
    let mut server = Server::start().await;
    for name in ["a", "b", "c"] {
        server.put(&format!("paged/{name}"), 1.0).await;
    }
    let request = v1::ListEntitiesRequest {
        kind: "paged".into(),
        page_size: 1,
        ..Default::default()
    };
    let reply = server
        .graph
        .list_entities(request.clone())
        .await
        .expect("a page");
    let token = reply.into_inner().next_page_token;
    let mut damaged = token.clone();
    let flipped = if damaged.ends_with('0') { "1" } else { "0" };
    damaged.replace_range(damaged.len() - 1.., flipped);
    for (kind, prefix, token) in [
        ("probe", "", token.as_str()),
        ("paged", "b", &token),
        ("paged", "", &damaged),
        ("paged", "", &token[2..]),
        ("paged", "", "nonsense"),
        ("paged", "", "é"),
    ] {
        let request = v1::ListEntitiesRequest {
            kind: kind.into(),
            name_prefix: prefix.into(),
            page_token: token.into(),
            ..Default::default()
        };
        let refused = server
            .graph
            .list_entities(request)
            .await
            .expect_err("refused");
        assert_eq!(refused.code(), Code::InvalidArgument);
        assert!(refused.message().contains("page_token"), "{refused}");
    }
    // The size of a page is no part of the question.
    let request = v1::ListEntitiesRequest {
        page_size: 2,
        page_token: token,
        ..request
    };
    let reply = server
        .graph
        .list_entities(request)
        .await
        .expect("the rest")
        .into_inner();
    assert_eq!(
        (reply.entities.len(), reply.next_page_token),
        (2, String::new())
    );
}

#[tokio::test]
async fn a_token_keeps_its_snapshot_beyond_the_ring_and_at_most_64_are_kept() {
    let mut server = Server::with(HistoryLimits {
        revisions: 3,
        ..HistoryLimits::default()
    })
    .await;
    let mut tokens = Vec::new();
    for n in 0..70 {
        server.put(&format!("paged/{n:03}"), 1.0).await;
        server.put(&format!("paged/x{n:03}"), 1.0).await;
        let request = v1::ListEntitiesRequest {
            page_size: 1,
            ..Default::default()
        };
        let reply = server.graph.list_entities(request).await.expect("a page");
        tokens.push(reply.into_inner().next_page_token);
    }
    assert_eq!(server.context.pages.count(), 64);
    let next = |token: &str| {
        let (mut graph, page_token) = (server.graph.clone(), token.to_owned());
        async move {
            let request = v1::ListEntitiesRequest {
                page_token,
                ..Default::default()
            };
            graph.list_entities(request).await
        }
    };
    let reply = next(&tokens[10]).await.expect("kept").into_inner();
    assert_eq!(revision(reply.header), 22);
    assert_eq!(reply.entities.len(), 21);
    let gone = next(&tokens[0]).await.expect_err("one of the first");
    assert_eq!(gone.code(), Code::OutOfRange);
}

#[tokio::test]
async fn no_page_exceeds_a_message() {
    let mut server = Server::start().await;
    let text = prost_types::Value {
        kind: Some(prost_types::value::Kind::StringValue("x".repeat(60_000))),
    };
    for n in 0..100 {
        let request = v1::PutEntityRequest {
            entity: Some(v1::Entity {
                r#ref: Some(key(&format!("big/{n:03}"))),
                properties: Some(prost_types::Struct {
                    fields: [("text".to_owned(), text.clone())].into(),
                }),
                ..Default::default()
            }),
            ..Default::default()
        };
        server.graph.put_entity(request).await.expect("put");
    }
    let (mut found, mut token, mut pages) = (0, String::new(), 0);
    loop {
        let request = v1::ListEntitiesRequest {
            page_token: token,
            ..Default::default()
        };
        let reply = server
            .graph
            .list_entities(request)
            .await
            .expect("it fits")
            .into_inner();
        found += reply.entities.len();
        (token, pages) = (reply.next_page_token, pages + 1);
        if token.is_empty() {
            break;
        }
    }
    assert_eq!((found, pages), (100, 2));
}
