//! The graph as a whole: exports and what becomes of them, pictures, the state that a watch begins with, and all of it
//! again after the graph has moved on.

use std::collections::BTreeSet;

use amadeus_proto::v1;
use v1::change::Subject;
use v1::export_request::Format;

use super::said::{Edge, Said, edge, text};
use super::{Differences, ask, serve};
use crate::harness::{Server, at_exact, key};

pub async fn agree(server: &Server, said: &Said, found: &mut Differences) {
    let revision = server.head();
    let exported = export(server, Format::Json, None).await;
    again(server, &exported, found).await;
    table(server, said, found).await;
    pictures(server, said, found).await;
    watched(server, said, found).await;

    let before = Said::by(server).await;
    server.put("later/than-this", 1.0).await;
    server
        .relate("later/than-this", "uses", "later/than-this")
        .await;
    let then = export(server, Format::Json, Some(revision)).await;
    found.compare("Export at its revision and before", "JSON", then, exported);
    for at in before.entities.keys() {
        let request = |consistency| v1::GetEntityRequest {
            r#ref: Some(key(at)),
            consistency,
        };
        let now = ask!(server, graph.get_entity, request(None)).entity;
        let then = ask!(server, graph.get_entity, request(at_exact(revision))).entity;
        found.compare("GetEntity at its revision and later", at, now, then);
    }
}

async fn export(server: &Server, format: Format, revision: Option<u64>) -> Vec<u8> {
    let request = v1::ExportRequest {
        format: format.into(),
        consistency: revision.and_then(at_exact),
    };
    let mut stream = ask!(server, graph.export, request);
    let mut content = Vec::new();
    while let Some(piece) = stream.message().await.expect("no error") {
        content.extend_from_slice(&piece.chunk);
    }
    content
}

/// What is exported says the same in an empty graph: the same hash, which both servers recompute, and the same bytes.
async fn again(server: &Server, exported: &[u8], found: &mut Differences) {
    let other = serve(exported).await;
    let mut hashes = BTreeSet::new();
    for server in [server, &other] {
        hashes.insert(ask!(server, admin.status, v1::StatusRequest {}).hash);
        let integrity = ask!(server, admin.check_integrity, v1::CheckIntegrityRequest {});
        found.compare("CheckIntegrity", "its verdict", integrity.ok, true);
        hashes.extend([integrity.hash, integrity.recomputed_hash]);
    }
    found.compare(
        "Status, CheckIntegrity and Import of Export",
        "hash",
        hashes.len(),
        1,
    );
    let twice = export(&other, Format::Json, None).await;
    found.compare(
        "Export and Import of Export",
        "JSON",
        String::from_utf8_lossy(&twice),
        String::from_utf8_lossy(exported),
    );
}

async fn table(server: &Server, said: &Said, found: &mut Differences) {
    let table = export(server, Format::Csv, None).await;
    let mut rows = csv::Reader::from_reader(&*table);
    let row = |row: csv::StringRecord| (row[0].to_owned(), row[1].to_owned(), row[2].to_owned());
    let rows: BTreeSet<Edge> = rows.records().map(|one| row(one.expect("a row"))).collect();
    found.compare("Export of CSV and ListRelations", "all", &rows, &said.edges);
}

async fn pictures(server: &Server, said: &Said, found: &mut Differences) {
    let drawn = |format: v1::visualize_request::Format| v1::VisualizeRequest {
        format: format.into(),
        ..Default::default()
    };
    let json = ask!(
        server,
        query.visualize,
        drawn(v1::visualize_request::Format::Json)
    );
    found.compare(
        "Visualize and the lists",
        "counts",
        (json.entities as usize, json.relations as usize),
        (said.entities.len(), said.edges.len()),
    );
    let picture: serde_json::Value = serde_json::from_str(&json.body).expect("JSON");
    let word = |value: &serde_json::Value, field: &str| {
        value[field].as_str().unwrap_or_default().to_owned()
    };
    let items = |list: &str| picture[list].as_array().cloned().unwrap_or_default();
    let nodes: BTreeSet<String> = items("nodes").iter().map(|node| word(node, "id")).collect();
    found.compare(
        "Visualize and ListEntities",
        "nodes",
        nodes,
        said.entities.keys().cloned().collect(),
    );
    let edges = items("edges");
    let edges = edges
        .iter()
        .map(|edge| (word(edge, "from"), word(edge, "relation"), word(edge, "to")));
    found.compare(
        "Visualize and ListRelations",
        "edges",
        edges.collect(),
        said.edges.clone(),
    );
    for (format, export_as) in [
        (v1::visualize_request::Format::Dot, Format::Dot),
        (v1::visualize_request::Format::Mermaid, Format::Mermaid),
        (v1::visualize_request::Format::Svg, Format::Svg),
    ] {
        let picture = ask!(server, query.visualize, drawn(format)).body;
        let file = export(server, export_as, None).await;
        found.compare(
            "Visualize and Export",
            &format!("{format:?}"),
            picture.trim_end(),
            String::from_utf8_lossy(&file).trim_end(),
        );
    }
}

/// A watch that begins with the state tells every entity and every relation once.
async fn watched(server: &Server, said: &Said, found: &mut Differences) {
    let request = v1::WatchRequest {
        snapshot_first: true,
        ..Default::default()
    };
    let mut stream = ask!(server, graph.watch, request);
    let (mut entities, mut edges) = (Vec::new(), Vec::new());
    loop {
        let message = stream.message().await.expect("no error").expect("no end");
        for change in message.changes {
            match change.subject {
                Some(Subject::Entity(entity)) => entities.push(text(entity.r#ref.as_ref())),
                Some(Subject::Relation(relation)) => edges.push(edge(&relation)),
                _ => {}
            }
        }
        if message.bookmark >= server.head() {
            break;
        }
    }
    entities.sort();
    edges.sort();
    found.compare(
        "Watch and ListEntities",
        "all",
        entities,
        said.entities.keys().cloned().collect(),
    );
    found.compare(
        "Watch and ListRelations",
        "all",
        edges,
        said.edges.iter().cloned().collect(),
    );
}
