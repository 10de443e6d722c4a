//! The files that the original ships, imported through plan and fold, against the values that its own program gives.
//! The files are not part of the project: where they are absent these tests say so and pass.

use kg_core::commit::Graph;
use kg_core::interchange::{Form, Import, export_json, parse_json, recognise};
use kg_core::limits;
use kg_core::model::{EntityId, Kind, Path, Value};
use kg_core::mutation::Transaction;
use kg_core::snapshot::Snapshot;
use std::collections::BTreeSet;
use std::sync::Arc;

fn shipped(name: &str) -> Option<Vec<u8>> {
    let path = format!(
        concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared/data/{}"),
        name
    );
    match std::fs::read(&path) {
        Ok(bytes) => Some(bytes),
        Err(error) => {
            eprintln!("skipped: {path}: {error}");
            None
        }
    }
}

fn commit(graph: &Arc<Graph>, import: Import) {
    let transaction = Transaction {
        mutation_limit: limits::IMPORT_MUTATIONS,
        ..Transaction::of(import.mutations)
    };
    graph.commit(transaction).expect("the import commits");
}

fn graph_of(name: &str, form: Form) -> Option<Arc<Graph>> {
    let bytes = shipped(name)?;
    assert_eq!(recognise(&bytes), Ok(form));
    let import = parse_json(&bytes).expect("no faults");
    assert_eq!(import.form, form);
    let graph = Graph::in_memory();
    commit(&graph, import);
    Some(graph)
}

fn node(snapshot: &Snapshot, path: &str) -> Value {
    snapshot
        .node(&Path::parse(path).expect("a valid path"))
        .expect("the node exists")
}

fn services(snapshot: &Snapshot) -> Vec<String> {
    snapshot
        .names(&Kind::service(), None, true)
        .map(ToString::to_string)
        .collect()
}

fn neighbours(snapshot: &Snapshot, name: &str, outgoing: bool) -> BTreeSet<String> {
    let id = snapshot.service(name).expect("the service exists").id;
    let adjacency = snapshot.relations("depends_on").expect("some").adjacency();
    let side = if outgoing {
        adjacency.outgoing(id)
    } else {
        adjacency.incoming(id)
    };
    let mut found = BTreeSet::new();
    side.for_each(|id| {
        let entity = snapshot
            .by_id(EntityId::new(id))
            .expect("no dangling relation");
        found.insert(entity.key.name.to_string());
    });
    found
}

/// All that is reachable, the start itself only if it is on a cycle.
fn closure(snapshot: &Snapshot, name: &str, outgoing: bool) -> BTreeSet<String> {
    let mut seen = BTreeSet::new();
    let mut queue: Vec<String> = neighbours(snapshot, name, outgoing).into_iter().collect();
    while let Some(next) = queue.pop() {
        if seen.insert(next.clone()) {
            queue.extend(neighbours(snapshot, &next, outgoing));
        }
    }
    seen
}

/// Transitive dependents without the service itself.
fn impact(snapshot: &Snapshot, name: &str) -> BTreeSet<String> {
    let mut found = closure(snapshot, name, false);
    found.remove(name);
    found
}

fn cyclic(snapshot: &Snapshot) -> Vec<String> {
    services(snapshot)
        .into_iter()
        .filter(|name| closure(snapshot, name, true).contains(name))
        .collect()
}

fn dependencies(snapshot: &Snapshot) -> usize {
    snapshot.relations("depends_on").map_or(0, |r| r.len())
}

fn capabilities(snapshot: &Snapshot) -> BTreeSet<String> {
    providers(snapshot, |_| true)
        .into_iter()
        .map(|(capability, _)| capability)
        .collect()
}

fn providers(snapshot: &Snapshot, wanted: impl Fn(&str) -> bool) -> BTreeSet<(String, String)> {
    snapshot
        .entities()
        .filter_map(|e| Some((e, e.service()?)))
        .flat_map(|(e, body)| {
            body.capabilities
                .iter()
                .map(|c| (c.to_string(), e.key.name.to_string()))
        })
        .filter(|(capability, _)| wanted(capability))
        .collect()
}

fn offering(snapshot: &Snapshot, capability: &str) -> String {
    let found: Vec<String> = providers(snapshot, |c| c == capability)
        .into_iter()
        .map(|(_, service)| service)
        .collect();
    found.join(" ")
}

fn words(set: &BTreeSet<String>) -> String {
    set.iter().map(String::as_str).collect::<Vec<_>>().join(" ")
}

/// What was imported goes out in our own form and comes in again as the same graph.
fn comes_back(snapshot: &Snapshot) {
    let mut first = Vec::new();
    export_json(snapshot, &mut first).expect("a vector takes all");
    let import = parse_json(&first).expect("what we write we read");
    assert_eq!(import.form, Form::Amadeus);
    let again = Graph::in_memory();
    commit(&again, import);
    let again = again.snapshot();
    assert_eq!(again.hash(), snapshot.hash());
    let mut second = Vec::new();
    export_json(&again, &mut second).expect("a vector takes all");
    assert!(first == second, "the second export differs from the first");
}

#[test]
fn the_knowledge_graph_gives_its_values() {
    let Some(graph) = graph_of("knowledge_graph.json", Form::KnowledgeGraph) else {
        return;
    };
    let snapshot = graph.snapshot();
    assert_eq!(services(&snapshot).len(), 23);
    assert_eq!(dependencies(&snapshot), 19);
    assert_eq!(capabilities(&snapshot).len(), 16);
    assert_eq!(snapshot.names(&Kind::pattern(), None, false).count(), 1);
    assert_eq!(snapshot.documents().len(), 8);
    assert_eq!(node(&snapshot, "version"), Value::string("1.0.21"));
    assert_eq!(
        node(&snapshot, "system_components.integration_layer.patterns[0]"),
        Value::string("identity_unification")
    );
    for husk in ["core_services", "token_services"] {
        assert_eq!(
            node(&snapshot, &format!("services.{husk}.category")),
            Value::string("")
        );
    }
    assert_eq!(
        node(&snapshot, "patterns.core_patterns.name"),
        Value::string("core_patterns")
    );
    assert_eq!(
        node(&snapshot, "services.admin.endpoints[0].actions[0]"),
        Value::string("create_user")
    );
    assert_eq!(
        cyclic(&snapshot),
        ["analytics", "notification", "security", "user"]
    );
    assert_eq!(
        words(&impact(&snapshot, "search")),
        "admin ai analytics commerce content media messaging nexus notification product security user"
    );
    for name in ["user", "analytics", "security", "notification"] {
        assert_eq!(impact(&snapshot, name).len(), 10, "{name}");
    }
    assert_eq!(words(&impact(&snapshot, "content")), "ai");
    assert_eq!(words(&closure(&snapshot, "product", true)), "search");
    comes_back(&snapshot);
}

#[test]
fn the_service_graph_has_the_same_edges() {
    let Some(graph) = graph_of("service_graph.json", Form::ServiceGraph) else {
        return;
    };
    let snapshot = graph.snapshot();
    assert_eq!(services(&snapshot).len(), 21);
    assert_eq!(dependencies(&snapshot), 19);
    assert_eq!(snapshot.relation_count(), 19);
    assert_eq!(
        node(&snapshot, "timestamp"),
        Value::string("2025-07-03T22:11:22.732087+01:00")
    );
    comes_back(&snapshot);
    let Some(other) = graph_of("knowledge_graph.json", Form::KnowledgeGraph) else {
        return;
    };
    let other = other.snapshot();
    for name in services(&snapshot) {
        assert_eq!(
            neighbours(&snapshot, &name, true),
            neighbours(&other, &name, true),
            "{name}"
        );
    }
}

#[test]
fn the_registrations_give_their_values() {
    let Some(graph) = graph_of("service_registration.json", Form::ServiceRegistration) else {
        return;
    };
    let snapshot = graph.snapshot();
    assert_eq!(services(&snapshot).len(), 21);
    assert_eq!(dependencies(&snapshot), 25);
    let methods: usize = snapshot
        .entities()
        .filter_map(|e| e.service())
        .map(|body| body.schema.methods.len())
        .sum();
    assert_eq!(methods, 257);
    assert_eq!(
        cyclic(&snapshot),
        ["analytics", "content", "notification", "security", "user"]
    );
    assert_eq!(impact(&snapshot, "search").len(), 14);
    for name in ["user", "analytics", "content", "notification", "security"] {
        assert_eq!(impact(&snapshot, name).len(), 12, "{name}");
    }
    assert_eq!(
        words(&neighbours(&snapshot, "user", false)),
        "admin analytics media security talent waitlist"
    );
    assert_eq!(offering(&snapshot, "authorization"), "admin security user");
    assert_eq!(offering(&snapshot, "authentication"), "security user");
    assert_eq!(offering(&snapshot, "user_mgmt"), "admin user");
    assert_eq!(offering(&snapshot, "referral"), "referral user");
    // What has no place of its own went into the metadata and comes out again.
    assert_eq!(
        node(
            &snapshot,
            "services.admin.metadata.action_map.assign_role.proto_method"
        ),
        Value::string("AssignRole")
    );
    assert_eq!(
        node(&snapshot, "services.admin.metadata.metadata_enrichment"),
        Value::Bool(true)
    );
    assert_eq!(
        node(&snapshot, "services.admin.metadata.endpoints[0].actions[1]"),
        Value::string("update_user")
    );
    comes_back(&snapshot);
}

#[test]
fn an_import_into_a_graph_merges_and_a_repeated_one_changes_nothing() {
    let Some(graph) = graph_of("knowledge_graph.json", Form::KnowledgeGraph) else {
        return;
    };
    let bytes = shipped("service_registration.json").expect("it stands beside the other");
    commit(&graph, parse_json(&bytes).expect("no faults"));
    let (revision, hash) = graph.read(|s| (s.revision(), s.hash()));
    assert_eq!(revision, 2);
    graph.read(|snapshot| {
        // The registration replaced the service; the husks and the documents stay.
        assert_eq!(services(snapshot).len(), 23);
        assert_eq!(dependencies(snapshot), 25);
        assert_eq!(node(snapshot, "version"), Value::string("1.0.21"));
    });
    commit(&graph, parse_json(&bytes).expect("no faults"));
    assert_eq!(graph.read(|s| (s.revision(), s.hash())), (revision, hash));
}

#[test]
fn the_example_of_the_tree_imports_and_comes_back() {
    let bytes = include_bytes!("../../examples/online-boutique.json");
    let import = parse_json(bytes).expect("no faults");
    assert_eq!(import.form, Form::Amadeus);
    let graph = Graph::in_memory();
    commit(&graph, import);
    comes_back(&graph.snapshot());
}
