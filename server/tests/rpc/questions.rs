//! Questions about the whole graph.

use amadeus_proto::v1;
use tonic::{Code, Request};

use crate::harness::{Server, key, revision};

async fn impact(server: &Server, name: &str) -> v1::ImpactResponse {
    let request = v1::ImpactRequest {
        refs: vec![key(name)],
        ..Default::default()
    };
    let reply = server.query.clone().impact(request).await;
    reply.expect("an answer").into_inner()
}

/// d is needed by b and c, which a needs; e and f need each other.
async fn diamond() -> Server {
    let server = Server::start().await;
    for (name, needs) in [
        ("d", &[][..]),
        ("c", &["d"]),
        ("b", &["d"]),
        ("a", &["b", "c"]),
        ("e", &["f"]),
        ("f", &["e"]),
    ] {
        server.register(name, needs).await;
    }
    server
}

fn names(refs: &[v1::EntityRef]) -> Vec<&str> {
    refs.iter().map(|key| key.name.as_str()).collect()
}

#[tokio::test]
async fn hits_are_ordered_with_their_first_path() {
    let server = diamond().await;
    let reply = impact(&server, "service/d").await;
    let hits: Vec<_> = reply
        .hits
        .iter()
        .map(|hit| {
            (
                hit.r#ref.as_ref().expect("named").name.as_str(),
                hit.depth,
                names(&hit.path),
            )
        })
        .collect();
    assert_eq!(
        hits,
        [
            ("b", 1, vec!["d", "b"]),
            ("c", 1, vec!["d", "c"]),
            ("a", 2, vec!["d", "b", "a"])
        ]
    );
    assert_eq!((reply.total, reply.truncated), (3, false));
}

#[tokio::test]
async fn a_budget_cuts_and_says_so() {
    let mut server = diamond().await;
    let request = v1::ImpactRequest {
        refs: vec![key("service/d")],
        budget: Some(v1::Budget {
            max_entities: Some(2),
            ..Default::default()
        }),
        ..Default::default()
    };
    let reply = server
        .query
        .impact(request)
        .await
        .expect("an answer")
        .into_inner();
    assert!(reply.truncated);
    assert_eq!(reply.total, 2);
}

#[tokio::test]
async fn cycles_and_start_order_agree() {
    let mut server = diamond().await;
    let reply = server.query.cycles(v1::CyclesRequest::default()).await;
    let cycles = reply.expect("an answer").into_inner().cycles;
    assert_eq!(cycles.len(), 1);
    assert_eq!(names(&cycles[0].entities), ["e", "f"]);
    let reply = server
        .query
        .start_order(v1::StartOrderRequest::default())
        .await;
    let reply = reply.expect("an answer").into_inner();
    let levels: Vec<_> = reply
        .levels
        .iter()
        .map(|level| names(&level.entities))
        .collect();
    assert_eq!(levels, [vec!["d", "e", "f"], vec!["b", "c"], vec!["a"]]);
    assert_eq!(reply.cycles, cycles);
}

#[tokio::test]
async fn a_path_is_found_or_not() {
    let mut server = diamond().await;
    let path = |from: &str, to: &str| v1::FindPathRequest {
        from: Some(key(from)),
        to: Some(key(to)),
        ..Default::default()
    };
    let reply = server.query.find_path(path("service/a", "service/d")).await;
    let reply = reply.expect("a path").into_inner();
    assert_eq!(names(&reply.path), ["a", "b", "d"]);
    assert_eq!(reply.relations, ["depends_on", "depends_on"]);
    let none = server.query.find_path(path("service/d", "service/a")).await;
    assert_eq!(none.expect_err("no path").code(), Code::NotFound);
}

#[tokio::test]
async fn pictures_and_pages_are_the_same_every_time() {
    let mut server = diamond().await;
    for format in [0, 1, 2, 3] {
        let request = v1::VisualizeRequest {
            format,
            ..Default::default()
        };
        let first = server
            .query
            .visualize(request.clone())
            .await
            .expect("a picture")
            .into_inner();
        let again = server
            .query
            .visualize(request)
            .await
            .expect("a picture")
            .into_inner();
        assert_eq!(first.body, again.body);
        assert_eq!((first.entities, first.relations), (6, 6));
    }
    let request = v1::GenerateDocsRequest {
        r#ref: Some(key("service/a")),
        consistency: None,
    };
    let page = server
        .query
        .generate_docs(request)
        .await
        .expect("a page")
        .into_inner();
    assert!(page.body.contains("# a"), "{}", page.body);
}

#[tokio::test]
async fn words_and_capabilities_find_services() {
    let mut server = Server::start().await;
    let mut request = crate::harness::registration("payment", &[]);
    if let Some(service) = &mut request.service {
        service.capabilities = vec!["charge".into(), "refund".into()];
        service.description = Some("Charges a credit card".into());
    }
    server
        .graph
        .register_service(request)
        .await
        .expect("registered");
    server.register("other", &[]).await;
    let search = v1::SearchRequest {
        text: "CREDIT card".into(),
        ..Default::default()
    };
    let reply = server
        .query
        .search(search)
        .await
        .expect("an answer")
        .into_inner();
    assert_eq!(reply.total, 1);
    let find = v1::FindByCapabilityRequest {
        all_of: vec!["charge".into()],
        any_of: vec!["nothing".into(), "refund".into()],
        ..Default::default()
    };
    let reply = server
        .query
        .find_by_capability(Request::new(find))
        .await
        .expect("an answer");
    let reply = reply.into_inner();
    assert_eq!(reply.services.len(), 1);
    assert_eq!(revision(reply.header), 2);
}

#[tokio::test]
async fn the_status_tells_the_head_and_integrity_holds() {
    let mut server = diamond().await;
    let reply = server
        .admin
        .status(v1::StatusRequest {})
        .await
        .expect("a status")
        .into_inner();
    assert_eq!((reply.revision, reply.entities, reply.relations), (6, 6, 6));
    assert_eq!(reply.health(), v1::Health::Up);
    let check = server
        .admin
        .check_integrity(v1::CheckIntegrityRequest {})
        .await;
    let check = check.expect("checked").into_inner();
    assert!(check.ok, "{check:?}");
    assert_eq!(check.hash, reply.hash);
    assert_eq!(check.recomputed_hash, reply.hash);
}
