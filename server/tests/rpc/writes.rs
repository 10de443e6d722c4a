//! What writes mean over the wire.

use amadeus_proto::v1;
use tonic::Code;

use crate::harness::{Server, entity, key, number, registration, revision};

async fn service(server: &Server, name: &str) -> Result<v1::Service, tonic::Status> {
    let request = v1::GetServiceRequest {
        name: name.into(),
        consistency: None,
    };
    let reply = server.graph.clone().get_service(request).await?;
    Ok(reply.into_inner().service.expect("a service"))
}

#[tokio::test]
async fn a_service_comes_back_with_every_field() {
    let mut server = Server::start().await;
    let given = v1::Service {
        name: "full".into(),
        category: "c".into(),
        version: "v1".into(),
        owner: "team".into(),
        capabilities: vec!["x".into(), "y".into()],
        dependencies: vec![v1::Dependency {
            service: "dep".into(),
            version: "v2".into(),
            optional: true,
            properties: entity("a/b", 1.0).properties,
        }],
        schema: Some(v1::Schema {
            proto_path: "p.proto".into(),
            methods: vec!["A".into()],
        }),
        endpoints: vec![v1::Endpoint {
            name: "n".into(),
            path: "/p".into(),
            method: "GET".into(),
            tags: vec!["t".into()],
            metadata: entity("a/b", 2.0).properties,
            ..Default::default()
        }],
        models: vec!["M".into()],
        health_check: "/h".into(),
        metrics: "/m".into(),
        metadata: entity("a/b", 3.0).properties,
        health: v1::Health::Up.into(),
        description: Some("text".into()),
        registered: true,
        created_revision: 1,
        modified_revision: 1,
    };
    let request = v1::RegisterServiceRequest {
        service: Some(given.clone()),
        ..Default::default()
    };
    let reply = server.graph.register_service(request).await;
    let reply = reply.expect("registered").into_inner();
    assert!(reply.changed);
    assert_eq!(reply.service.as_ref(), Some(&given));
    assert_eq!(service(&server, "full").await.expect("it is there"), given);

    // What was read may be written back, and changes nothing.
    let read = v1::GetEntityRequest {
        r#ref: Some(key("service/full")),
        consistency: None,
    };
    let found = server.graph.get_entity(read).await.expect("it is there");
    let again = v1::PutEntityRequest {
        entity: found.into_inner().entity,
        ..Default::default()
    };
    let reply = server.graph.put_entity(again).await.expect("accepted");
    assert!(!reply.into_inner().changed);
    assert_eq!(server.head(), 1);
}

#[tokio::test]
async fn a_dependency_on_the_unregistered_is_a_placeholder() {
    let mut server = Server::start().await;
    server.register("early", &["later"]).await;
    assert!(
        !service(&server, "later")
            .await
            .expect("it stands")
            .registered
    );
    for (include_placeholders, names) in [(false, vec!["early"]), (true, vec!["early", "later"])] {
        let request = v1::ListServicesRequest {
            include_placeholders,
            ..Default::default()
        };
        let reply = server.graph.list_services(request).await.expect("a list");
        let found: Vec<String> = reply
            .into_inner()
            .services
            .into_iter()
            .map(|s| s.name)
            .collect();
        assert_eq!(found, names);
    }
    let reply = server.graph.validate(v1::ValidateRequest::default()).await;
    let findings = reply.expect("findings").into_inner().findings;
    assert!(
        findings
            .iter()
            .any(|f| f.r#ref == Some(key("service/later")))
    );
}

#[tokio::test]
async fn what_points_in_refuses_a_delete_and_force_leaves_a_placeholder() {
    let mut server = Server::start().await;
    server.register("base", &[]).await;
    server.register("user", &["base"]).await;
    let mut request = v1::DeregisterServiceRequest {
        name: "base".into(),
        ..Default::default()
    };
    let refused = server.graph.deregister_service(request.clone()).await;
    let refused = refused.expect_err("somebody needs it");
    assert_eq!(refused.code(), Code::FailedPrecondition);
    assert!(refused.message().contains("service/user"), "{refused}");
    request.force = true;
    let reply = server.graph.deregister_service(request).await;
    let left = reply
        .expect("forced")
        .into_inner()
        .service
        .expect("a placeholder");
    assert!(!left.registered);
    let request = v1::DeregisterServiceRequest {
        name: "user".into(),
        ..Default::default()
    };
    server
        .graph
        .deregister_service(request)
        .await
        .expect("nobody needs it");
    let gone = service(&server, "base")
        .await
        .expect_err("its last user went");
    assert_eq!(gone.code(), Code::NotFound);
}

#[tokio::test]
async fn deregistering_a_placeholder_is_not_found() {
    let mut server = Server::start().await;
    server.register("user", &["ghost"]).await;
    for (name, force) in [("ghost", false), ("ghost", true), ("nowhere", true)] {
        let request = v1::DeregisterServiceRequest {
            name: name.into(),
            force,
            ..Default::default()
        };
        let refused = server.graph.deregister_service(request).await;
        assert_eq!(
            refused.expect_err("nothing is registered").code(),
            Code::NotFound
        );
    }
    assert_eq!(server.head(), 1);
}

#[tokio::test]
async fn the_same_request_id_applies_once_however_often_it_comes() {
    let server = Server::start().await;
    let request = v1::RegisterServiceRequest {
        request_id: "once".into(),
        ..registration("idem", &["a"])
    };
    let mut calls = Vec::new();
    for _ in 0..100 {
        let (mut graph, request) = (server.graph.clone(), request.clone());
        calls.push(tokio::spawn(async move {
            graph.register_service(request).await
        }));
    }
    for call in calls {
        let reply = call.await.expect("it ran").expect("accepted").into_inner();
        assert_eq!(revision(reply.header), 1);
        assert!(reply.changed);
        assert_eq!(reply.service.expect("as it is").name, "idem");
    }
    assert_eq!(server.head(), 1);
    let other = v1::RegisterServiceRequest {
        request_id: "once".into(),
        ..registration("idem", &["b"])
    };
    let refused = server.graph.clone().register_service(other).await;
    let refused = refused.expect_err("another body");
    assert_eq!(refused.code(), Code::InvalidArgument);
    assert!(refused.message().contains("request_id"), "{refused}");
    // Another reason is no other body.
    let again = v1::RegisterServiceRequest {
        reason: "impatience".into(),
        ..request
    };
    server
        .graph
        .clone()
        .register_service(again)
        .await
        .expect("the same request");
}

#[tokio::test]
async fn a_refused_request_id_may_be_tried_again() {
    let mut server = Server::start().await;
    server.put("a/x", 1.0).await;
    let request = v1::PutRelationRequest {
        relation: Some(v1::Relation {
            from: Some(key("a/x")),
            relation: "uses".into(),
            to: Some(key("a/y")),
            ..Default::default()
        }),
        request_id: "again".into(),
        ..Default::default()
    };
    let refused = server.graph.put_relation(request.clone()).await;
    assert_eq!(refused.expect_err("a/y is absent").code(), Code::NotFound);
    server.put("a/y", 1.0).await;
    let reply = server
        .graph
        .put_relation(request)
        .await
        .expect("now it is there");
    assert!(reply.into_inner().changed);
}

#[tokio::test]
async fn of_many_writes_with_the_same_expected_revision_one_commits() {
    let server = Server::start().await;
    let at = server.put("a/x", 0.0).await;
    let mut calls = Vec::new();
    for n in 1..=32 {
        let mut graph = server.graph.clone();
        let request = v1::PutEntityRequest {
            entity: Some(entity("a/x", f64::from(n))),
            expected_revision: Some(at),
            ..Default::default()
        };
        calls.push(tokio::spawn(async move { graph.put_entity(request).await }));
    }
    let mut committed = 0;
    for call in calls {
        match call.await.expect("it ran") {
            Ok(_) => committed += 1,
            Err(status) => assert_eq!(status.code(), Code::Aborted, "{status}"),
        }
    }
    assert_eq!(committed, 1);
}

#[tokio::test]
async fn a_transaction_is_one_revision_or_nothing() {
    use v1::mutation::Mutation::{DeleteEntity, PutEntity, UpdateNode};
    let mut server = Server::start().await;
    let mutation = |mutation| v1::Mutation {
        mutation: Some(mutation),
    };
    let put = |text: &str, expected_revision| {
        mutation(PutEntity(v1::PutEntityRequest {
            entity: Some(entity(text, 1.0)),
            expected_revision,
            ..Default::default()
        }))
    };
    let node = mutation(UpdateNode(v1::UpdateNodeRequest {
        path: "tx.note".into(),
        value: Some(number(1.0)),
        ..Default::default()
    }));
    let request = v1::CommitRequest {
        mutations: vec![put("tx/a", None), node, put("tx/b", Some(0))],
        request_id: "tx".into(),
        ..Default::default()
    };
    let reply = server
        .graph
        .commit(request.clone())
        .await
        .expect("committed");
    let reply = reply.into_inner();
    assert_eq!((revision(reply.header), reply.changes.len()), (1, 3));
    assert!(reply.changes.iter().all(|change| change.revision == 1));
    let again = server
        .graph
        .commit(request)
        .await
        .expect("known")
        .into_inner();
    assert_eq!((revision(again.header), again.changed), (1, false));

    let absent = mutation(DeleteEntity(v1::DeleteEntityRequest {
        r#ref: Some(key("tx/nowhere")),
        ..Default::default()
    }));
    let request = v1::CommitRequest {
        mutations: vec![put("tx/c", None), absent],
        ..Default::default()
    };
    let refused = server
        .graph
        .commit(request)
        .await
        .expect_err("one is absent");
    assert_eq!(refused.code(), Code::NotFound);
    let request = v1::CommitRequest {
        mutations: vec![put("tx/c", None), put("tx/a", Some(0))],
        ..Default::default()
    };
    let refused = server.graph.commit(request).await.expect_err("tx/a exists");
    assert_eq!(refused.code(), Code::AlreadyExists);
    assert_eq!(server.head(), 1);
}

#[tokio::test]
async fn dot_paths_read_and_write_typed_bodies() {
    let mut server = Server::start().await;
    server.register("user", &["db"]).await;
    let text = |text: &str| prost_types::Value {
        kind: Some(prost_types::value::Kind::StringValue(text.into())),
    };
    let request = v1::UpdateNodeRequest {
        path: "services.user.dependencies".into(),
        value: Some(crate::harness::list(vec![text("cache:v2"), text("db")])),
        ..Default::default()
    };
    server.graph.update_node(request).await.expect("written");
    let found = service(&server, "user").await.expect("it is there");
    let needs: Vec<_> = found
        .dependencies
        .iter()
        .map(|d| (&*d.service, &*d.version))
        .collect();
    assert_eq!(needs, [("cache", "v2"), ("db", "")]);
    let request = v1::GetNodeRequest {
        path: "services.user.dependencies[0]".into(),
        consistency: None,
    };
    let reply = server.graph.get_node(request).await.expect("it is there");
    assert_eq!(reply.into_inner().value, Some(text("cache:v2")));
    let request = v1::UpdateNodeRequest {
        path: "documents.\"a.b\".c".into(),
        value: Some(number(1.0)),
        ..Default::default()
    };
    let reply = server.graph.update_node(request).await.expect("written");
    assert!(reply.into_inner().changed);
}

#[tokio::test]
async fn prune_takes_what_nobody_needs_and_no_more() {
    let mut server = Server::start().await;
    server.register("user", &["ghost"]).await;
    let empty = v1::PutEntityRequest {
        entity: Some(v1::Entity {
            r#ref: Some(key("probe/empty")),
            ..Default::default()
        }),
        ..Default::default()
    };
    server.graph.put_entity(empty).await.expect("put");
    let dry = v1::PruneRequest {
        dry_run: true,
        ..Default::default()
    };
    let reply = server.graph.prune(dry).await.expect("counted").into_inner();
    assert_eq!(
        (reply.removed, reply.changed),
        (vec![key("probe/empty")], false)
    );
    let reply = server.graph.prune(v1::PruneRequest::default()).await;
    assert!(reply.expect("pruned").into_inner().changed);
    assert!(service(&server, "ghost").await.is_ok());
    assert_eq!(server.head(), 3);
}

#[tokio::test]
async fn an_expected_revision_of_a_node_is_that_of_its_section_and_0_is_about_the_node() {
    let mut server = Server::start().await;
    let write = |path: &str, expected_revision| v1::UpdateNodeRequest {
        path: path.into(),
        value: Some(number(1.0)),
        expected_revision: Some(expected_revision),
        ..Default::default()
    };
    server
        .graph
        .update_node(write("doc.a", 0))
        .await
        .expect("new");
    let there = server.graph.update_node(write("doc.a", 0)).await;
    assert_eq!(there.expect_err("doc.a stands").code(), Code::AlreadyExists);
    let stale = server.graph.update_node(write("doc.b", 7)).await;
    assert_eq!(stale.expect_err("doc is at 1").code(), Code::Aborted);
    let second = server.graph.update_node(write("doc.b", 1)).await;
    assert_eq!(revision(second.expect("as read").into_inner().header), 2);
    let third = server.graph.update_node(write("doc.c", 0)).await;
    assert_eq!(revision(third.expect("new").into_inner().header), 3);
}
