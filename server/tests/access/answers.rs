//! Whatever somebody is answered who may see a part of the graph is what they would be answered if there were nothing else.
//!
//! Random graphs, random reaches, random requests to every RPC that reads, now and at an old revision: the answer of the server
//! that holds everything equals that of a server that holds the part alone, to the byte; and all that it names can be got. A
//! watch, applied as it comes, leads to the part.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use amadeus::auth::{
    Action, Allowances, Authenticated, Authenticator, Credentials, Gate, GateLayer, Grant, Limits,
    Principal, Role, Rule, Rules, Session, Trail, UserId,
};
use amadeus::config::Reflection;
use amadeus::events::Events;
use amadeus::metrics::Metrics;
use amadeus::nexus::Runs;
use amadeus::nexus::owner::Owners;
use amadeus::nexus::rows::RunRows;
use amadeus::nexus::runs::{KEPT, Parts};
use amadeus::nexus::step::World;
use amadeus::nexus::steps::StepKinds;
use amadeus::rpc::context::{
    BackupEntry, Compacted, Component, RestoreOrder, Restored, StoreError,
};
use amadeus::rpc::{Context, GraphRpc, LogTail, NexusRpc, QueryRpc, Shortcut, Store};
use amadeus::storage::{self, OpenOptions, ServerId};
use amadeus_proto::{FILE_DESCRIPTOR_SET, v1};
use futures::future::BoxFuture;
use futures::stream;
use kg_core::access::{Reach, Scope, view};
use kg_core::commit::{Graph, History, HistoryLimits, Options};
use kg_core::log::{ReadError, Record};
use kg_core::model::{EntityRef, Kind};
use kg_core::snapshot::Snapshot;
use kg_core::testing::generate::{self, Rng};
use kg_core::testing::oracle::Oracle;
use prost_reflect::prost::Message as _;
use prost_reflect::{
    DescriptorPool, DynamicMessage, FieldDescriptor, Kind as FieldKind, ReflectMessage as _, Value,
};
use tokio::net::TcpListener;
use tokio::time::timeout;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::transport::Channel;
use tonic::{Code, Request, Status};
use v1::graph_service_client::GraphServiceClient;
use v1::graph_service_server::GraphServiceServer;
use v1::nexus_service_server::NexusServiceServer;
use v1::query_service_server::QueryServiceServer;

use crate::raw;

/// Signs everybody in as the one who may see a part.
struct OnePerson(Arc<Session>);

impl Authenticator for OnePerson {
    fn authenticate(&self, _: &Credentials) -> Authenticated {
        Authenticated::Now(Ok(self.0.clone()))
    }
}

fn principal(reach: &Reach) -> Principal {
    let scopes = match reach {
        Reach::Everything => vec![None],
        Reach::Within(scopes) => scopes.iter().cloned().map(Some).collect(),
    };
    let grant = |scope| Grant {
        role: Role::Reader,
        scope,
    };
    Principal {
        name: "alice".into(),
        user: Some(UserId("u1".into())),
        grants: scopes.into_iter().map(grant).collect(),
    }
}

struct Nothing;

impl LogTail for Nothing {
    fn read(&self, _: u64, _: usize) -> BoxFuture<'_, Result<Vec<Record>, ReadError>> {
        Box::pin(async { Ok(Vec::new()) })
    }

    fn last_revision(&self) -> BoxFuture<'_, Result<u64, ReadError>> {
        Box::pin(async { Ok(0) })
    }
}

fn none<T>() -> BoxFuture<'static, Result<T, StoreError>> {
    Box::pin(async { Err(StoreError::NotSupported("there is no store".into())) })
}

impl Store for Nothing {
    fn url(&self) -> String {
        "memory:".into()
    }

    fn checkpoint_revision(&self) -> u64 {
        0
    }

    fn components(&self) -> Vec<Component> {
        Vec::new()
    }

    fn backup(&self, _: String) -> BoxFuture<'_, Result<BackupEntry, StoreError>> {
        none()
    }

    fn backups(&self) -> BoxFuture<'_, Result<Vec<BackupEntry>, StoreError>> {
        none()
    }

    fn restore(&self, _: RestoreOrder) -> BoxFuture<'_, Result<Restored, StoreError>> {
        none()
    }

    fn compact(&self, _: u64) -> BoxFuture<'_, Result<Compacted, StoreError>> {
        none()
    }

    fn verify(&self) -> BoxFuture<'_, Result<Vec<String>, StoreError>> {
        none()
    }
}

/// A server of this graph, at which everybody is `who`.
/// What patterns are answered with besides the graph: runs, of which there are none.
async fn no_runs() -> (Runs, Events) {
    let opened = storage::open("memory:", &OpenOptions::default()).await;
    let opened = opened.expect("it opens");
    let events = Events::in_memory().await.expect("they open");
    let (_, stopping) = tokio::sync::watch::channel(false);
    let context = Context::new(
        Graph::in_memory(),
        Arc::new(Nothing),
        Arc::new(Nothing),
        || 0,
        stopping,
    );
    let runs = Runs::new(Parts {
        rows: RunRows::open(&opened).await.expect("they open"),
        kinds: StepKinds::standard(),
        world: World {
            graph: context,
            events: events.clone(),
        },
        owners: Owners::trusted(),
        metrics: Arc::new(Metrics::new().expect("the names differ")),
        clock: || 0,
        me: ServerId(1),
        max_runs: 1,
        kept: KEPT,
    });
    (runs, events)
}

async fn serve(graph: Arc<Graph>, who: Principal, nexus: Option<&(Runs, Events)>) -> Channel {
    let (stop, stopping) = tokio::sync::watch::channel(false);
    // It never stops, but with the test.
    std::mem::forget(stop);
    let context = Context::new(graph, Arc::new(Nothing), Arc::new(Nothing), || 0, stopping);
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("it is bound");
    let gate = GateLayer::new(Gate {
        authenticator: Arc::new(OnePerson(Arc::new(Session::of(who)))),
        required: true,
        reflection: Reflection::Open,
        allowances: Allowances::new(Limits::NONE),
        trail: Trail::new().0,
        metrics: Arc::new(Metrics::new().expect("the names differ")),
        clock: || 0,
    });
    let graph = GraphServiceServer::new(GraphRpc::new(context.clone()));
    let served = tonic::transport::Server::builder()
        .layer(gate)
        .add_service(Shortcut::around(graph, context.clone()))
        .add_service(QueryServiceServer::new(QueryRpc::new(context.clone())))
        .add_optional_service(nexus.map(|(runs, events)| {
            NexusServiceServer::new(NexusRpc::new(context, runs.clone(), events.clone()))
        }))
        .serve_with_incoming(TcpListenerStream::new(listener));
    tokio::spawn(served);
    let endpoint = Channel::from_shared(format!("http://{address}")).expect("an address");
    endpoint.connect().await.expect("it serves")
}

fn scope(rng: &mut Rng) -> Scope {
    let kind = [None, None, Some("service"), Some("team"), Some("document")];
    let prefix = ["", "", "pay", "a", "no"];
    Scope {
        kind: rng
            .pick(&kind)
            .map(|kind| Kind::parse("kind", kind).expect("a valid kind")),
        name_prefix: (*rng.pick(&prefix)).to_owned(),
        owner: rng.once_in(4).then(|| generate::capability(rng).to_owned()),
    }
}

fn reach(rng: &mut Rng) -> Reach {
    Reach::Within((0..1 + rng.below(3)).map(|_| scope(rng)).collect())
}

/// The RPCs that read the graph and end, by the rows of the gate.
fn reads(pool: &DescriptorPool) -> Vec<prost_reflect::MethodDescriptor> {
    let rules = Rules::new();
    let mut methods: Vec<_> = rules
        .all()
        .filter(|(_, row)| row.rule == Rule::Within(Action::Read))
        .filter_map(|(path, _)| {
            let (service, name) = path.trim_start_matches('/').split_once('/')?;
            let service = pool.get_service_by_name(service)?;
            let method = service.methods().find(|m| m.name() == name)?;
            let of_graph = ["GraphService", "QueryService"].contains(&service.name());
            let of_patterns = ["GetPattern", "ListPatterns", "GetKnowledge"].contains(&name);
            (of_graph && name != "Watch" || of_patterns).then_some(method)
        })
        .collect();
    methods.sort_by(|a, b| a.full_name().cmp(b.full_name()));
    methods
}

/// A request of random fields, by their names and types. What it names is added to `named`.
fn random_request(
    rng: &mut Rng,
    method: &prost_reflect::MethodDescriptor,
    named: &mut Vec<Named>,
) -> DynamicMessage {
    let mut message = DynamicMessage::new(method.input());
    for field in method.input().fields() {
        let wanted = matches!(
            field.name(),
            "ref" | "refs" | "name" | "path" | "from" | "to" | "all_of"
        );
        // What is required mostly stands; the rest rarely.
        if !(wanted && !rng.once_in(8) || rng.once_in(4)) {
            continue;
        }
        let value = if field.is_list() {
            let count = 1 + rng.below(2);
            let mut values: Vec<Value> = Vec::new();
            for _ in 0..count {
                values.extend(random_value(rng, &field, named));
            }
            Some(Value::List(values))
        } else {
            random_value(rng, &field, named)
        };
        if let Some(value) = value {
            message.set_field(&field, value);
        }
    }
    message
}

/// Something that a request names.
#[derive(Clone, Debug)]
enum Named {
    Entity(EntityRef),
    Section(String),
}

fn random_value(rng: &mut Rng, field: &FieldDescriptor, named: &mut Vec<Named>) -> Option<Value> {
    match (field.kind(), field.name()) {
        (FieldKind::Message(of), _) if of.name() == "EntityRef" => {
            let key = generate::entity(rng);
            let mut value = DynamicMessage::new(of);
            value.set_field_by_name("kind", Value::String(key.kind.to_string()));
            value.set_field_by_name("name", Value::String(key.name.to_string()));
            named.push(Named::Entity(key));
            Some(Value::Message(value))
        }
        (FieldKind::String, "name" | "pattern") => {
            let key = generate::entity(rng);
            let of_pattern =
                field.name() == "pattern" || field.parent_message().name() == "GetPatternRequest";
            let key = match of_pattern {
                true => EntityRef::new(Kind::pattern(), key.name),
                false => EntityRef::service(key.name),
            };
            let name = key.name.to_string();
            named.push(Named::Entity(key));
            Some(Value::String(name))
        }
        (FieldKind::String, "path") => {
            let path = generate::path(rng);
            let section = path.section().to_string();
            match (section.as_str(), path.parts().get(1)) {
                ("services" | "patterns", Some(kg_core::model::Part::Key(name))) => {
                    let kind = section.trim_end_matches('s');
                    let text = format!("{kind}/{name}");
                    named.extend(EntityRef::parse("path", &text).ok().map(Named::Entity));
                }
                ("services" | "patterns", _) => {}
                _ => named.push(Named::Section(section)),
            }
            Some(Value::String(path.to_string()))
        }
        (FieldKind::String, "relation" | "relations") => {
            Some(Value::String(generate::label(rng).to_string()))
        }
        (FieldKind::String, "kind" | "kinds") => Some(Value::String(
            (*rng.pick(&["service", "team", "db"])).into(),
        )),
        (FieldKind::String, "section") => Some(Value::String("services".into())),
        (FieldKind::String, "page_token") => None,
        (FieldKind::String, _) => Some(Value::String(generate::capability(rng).into())),
        (FieldKind::Bool, _) => Some(Value::Bool(rng.once_in(2))),
        (FieldKind::Uint32, _) => Some(Value::U32(u32::try_from(rng.below(4)).expect("small"))),
        (FieldKind::Enum(of), _) => {
            let values: Vec<i32> = of.values().map(|value| value.number()).collect();
            Some(Value::EnumNumber(*rng.pick(&values)))
        }
        _ => None,
    }
}

/// The same, and the next page of it, which is asked for by the token of the first.
async fn ask_twice(
    channel: &Channel,
    method: &prost_reflect::MethodDescriptor,
    request: &DynamicMessage,
) -> Result<Vec<DynamicMessage>, Status> {
    let mut all = ask(channel, method, request).await?;
    let token = all
        .first()
        .and_then(|reply| reply.get_field_by_name("next_page_token"));
    let token = token.and_then(|token| token.as_str().map(str::to_owned));
    if let Some(token) = token.filter(|token| !token.is_empty()) {
        let mut next = request.clone();
        next.set_field_by_name("page_token", Value::String(token));
        all.extend(ask(channel, method, &next).await?);
    }
    Ok(all)
}

async fn ask(
    channel: &Channel,
    method: &prost_reflect::MethodDescriptor,
    request: &DynamicMessage,
) -> Result<Vec<DynamicMessage>, Status> {
    let path = format!("/{}/{}", method.parent_service().full_name(), method.name());
    let asked = stream::iter([request.encode_to_vec()]);
    let call = async {
        let mut replies = raw::call(channel, &path, Some("token"), asked).await?;
        let mut all = Vec::new();
        while let Some(reply) = replies.message().await? {
            let reply = DynamicMessage::decode(method.output(), &*reply);
            let mut reply = reply.expect("a reply of this method");
            reply.clear_field_by_name("header");
            all.push(reply);
        }
        Ok(all)
    };
    timeout(Duration::from_secs(30), call)
        .await
        .expect("an answer")
}

/// Every entity that a message names.
fn names_of(message: &DynamicMessage, found: &mut BTreeSet<(String, String)>) {
    let text = |name: &str| {
        message
            .get_field_by_name(name)
            .and_then(|value| value.as_str().map(str::to_owned))
            .unwrap_or_default()
    };
    match message.descriptor().name() {
        "EntityRef" => drop(found.insert((text("kind"), text("name")))),
        "Service" => drop(found.insert(("service".into(), text("name")))),
        "Pattern" => drop(found.insert(("pattern".into(), text("name")))),
        "Dependency" => drop(found.insert(("service".into(), text("service")))),
        _ => {}
    }
    for (_, value) in message.fields() {
        names_in(value, found);
    }
}

fn names_in(value: &Value, found: &mut BTreeSet<(String, String)>) {
    match value {
        Value::Message(message) => names_of(message, found),
        Value::List(values) => values.iter().for_each(|value| names_in(value, found)),
        Value::Map(values) => values.values().for_each(|value| names_in(value, found)),
        _ => {}
    }
}

fn random_graph(rng: &mut Rng, steps: usize) -> Arc<Graph> {
    let (graph, mut state) = (Graph::in_memory(), Oracle::default());
    for _ in 0..steps {
        let transaction = generate::transaction(rng, &state);
        let _ = state.apply(&transaction);
        let _ = graph.commit(transaction);
    }
    graph
}

fn graph_of(snapshot: Snapshot) -> Arc<Graph> {
    let history = History::new(Arc::new(snapshot), HistoryLimits::default());
    Arc::new(Graph::new(history, &Options::default()))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_is_asked_the_answer_is_that_of_a_graph_which_holds_nothing_else() {
    let pool = DescriptorPool::decode(FILE_DESCRIPTOR_SET).expect("the descriptors decode");
    let methods = reads(&pool);
    assert!(methods.len() > 18, "{}", methods.len());
    let nexus = no_runs().await;
    let (mut done, mut refused, mut got) = (BTreeMap::new(), 0, 0);
    for seed in 0..16 {
        let mut rng = Rng::new(seed);
        let whole = random_graph(&mut rng, 60);
        let now = whole.snapshot();
        for _ in 0..3 {
            let reach = reach(&mut rng);
            let part = serve(whole.clone(), principal(&reach), Some(&nexus)).await;
            let old = rng.below(usize::try_from(now.revision()).expect("small") + 1) as u64;
            for at in [None, Some(old)] {
                let then = whole
                    .snapshot_at(at.unwrap_or(now.revision()))
                    .expect("kept");
                let alone = graph_of(view(&then, &reach, &now));
                let alone = serve(alone, Principal::trusted(), Some(&nexus)).await;
                for method in &methods {
                    for _ in 0..3 {
                        let mut named = Vec::new();
                        let request = random_request(&mut rng, method, &mut named);
                        let mut of_part = request.clone();
                        if let Some(revision) = at {
                            of_part.set_field_by_name("consistency", exactly(&pool, revision));
                        }
                        let told = ask_twice(&part, method, &of_part).await;
                        let expected = ask_twice(&alone, method, &request).await;
                        let what = format!(
                            "seed {seed}, {reach:?}, {at:?}: {} {request:?}",
                            method.name()
                        );
                        match (told, expected) {
                            (Ok(told), Ok(expected)) => {
                                assert_eq!(told, expected, "{what}");
                                *done.entry(method.name().to_owned()).or_insert(0) += 1;
                                let mut names = BTreeSet::new();
                                told.iter().for_each(|reply| names_of(reply, &mut names));
                                for (kind, name) in names.iter().take(3) {
                                    get(&part, kind, name, at).await.unwrap_or_else(|status| {
                                        panic!("{kind}/{name} cannot be got: {status}; {what}")
                                    });
                                    got += 1;
                                }
                            }
                            (Err(told), _) if told.code() == Code::PermissionDenied => {
                                let sees = |named: &Named| match named {
                                    Named::Entity(key) => {
                                        reach.covers_in(&then, key)
                                            && (!reach.asks_for_owners()
                                                || reach.covers_in(&now, key))
                                    }
                                    Named::Section(section) => reach.covers_section(section),
                                };
                                assert!(!named.iter().all(sees), "{told}: {what}");
                                refused += 1;
                            }
                            (Err(told), Err(expected)) => {
                                let both = (told.code(), told.message());
                                assert_eq!(both, (expected.code(), expected.message()), "{what}");
                            }
                            (told, expected) => panic!("{told:?} and {expected:?}: {what}"),
                        }
                    }
                }
            }
        }
    }
    let without: Vec<_> = methods
        .iter()
        .filter(|m| !done.contains_key(m.name()))
        .collect();
    assert!(without.is_empty(), "never answered: {without:?}");
    assert!(
        refused > 100 && got > 100,
        "{refused} were refused, {got} were got"
    );
}

fn exactly(pool: &DescriptorPool, revision: u64) -> Value {
    let of = pool
        .get_message_by_name("amadeus.v1.Consistency")
        .expect("it is there");
    let mut consistency = DynamicMessage::new(of);
    consistency.set_field_by_name("at_exact", Value::U64(revision));
    Value::Message(consistency)
}

async fn get(channel: &Channel, kind: &str, name: &str, at: Option<u64>) -> Result<(), Status> {
    let mut request = Request::new(v1::GetEntityRequest {
        r#ref: crate::server::key_of(kind, name),
        consistency: at.map(|at| v1::Consistency {
            level: Some(v1::consistency::Level::AtExact(at)),
        }),
    });
    let token = "Bearer token".parse().expect("ASCII");
    request.metadata_mut().insert("authorization", token);
    let mut graph = GraphServiceClient::new(channel.clone());
    graph.get_entity(request).await.map(drop)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_watch_leads_to_what_may_be_seen_and_tells_of_nothing_else() {
    let mut told = 0;
    for seed in 0..16 {
        let mut rng = Rng::new(5_000 + seed);
        let graph = random_graph(&mut rng, 20);
        let reach = reach(&mut rng);
        let channel = serve(graph.clone(), principal(&reach), None).await;
        let mut request = Request::new(v1::WatchRequest {
            snapshot_first: true,
            previous_values: true,
            ..Default::default()
        });
        let token = "Bearer token".parse().expect("ASCII");
        request.metadata_mut().insert("authorization", token);
        let opened = graph.snapshot();
        let watch = GraphServiceClient::new(channel).watch(request).await;
        let mut watch = watch.expect("a watch").into_inner();
        let (mut entities, mut relations) = (BTreeSet::new(), BTreeSet::new());
        let mut state = Oracle::of(&graph.snapshot());
        let mut reached = 0;
        for step in 0..30 {
            if step > 0 {
                let transaction = generate::transaction(&mut rng, &state);
                let _ = state.apply(&transaction);
                let _ = graph.commit(transaction);
            }
            // A watcher whose part did not change is told how far it has come once a second: so not at every step.
            if step % 10 != 9 {
                continue;
            }
            let head = graph.snapshot();
            while reached < head.revision() {
                let message = timeout(Duration::from_secs(30), watch.message()).await;
                let message = message.expect("in time").expect("no end").expect("no end");
                assert!(!message.resync, "seed {seed}");
                reached = reached.max(message.bookmark);
                for change in message.changes {
                    told += 1;
                    // It may have been told before the head of now: what was seen then counts, and of the state that it
                    // begins with what was seen when it began.
                    let then = match message.snapshot {
                        true => opened.clone(),
                        false => graph.snapshot_at(change.revision).expect("it is kept"),
                    };
                    apply(&change, &then, &reach, &mut entities, &mut relations);
                }
            }
            let part = view(&head, &reach, &head);
            let expected: BTreeSet<String> = part.entities().map(|e| e.key.to_string()).collect();
            assert_eq!(entities, expected, "seed {seed}, step {step}, {reach:?}");
            let expected = Oracle::of(&part).relations;
            let expected: BTreeSet<String> = expected.keys().map(ToString::to_string).collect();
            assert_eq!(relations, expected, "seed {seed}, step {step}, {reach:?}");
        }
    }
    assert!(told > 100, "{told}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_watch_of_the_past_names_nothing_but_what_may_be_seen_or_was_told() {
    let (mut told, mut owned) = (0, 0);
    for seed in 0..24 {
        let mut rng = Rng::new(9_000 + seed);
        let graph = random_graph(&mut rng, 60);
        let reach = reach(&mut rng);
        owned += usize::from(reach.asks_for_owners());
        let head = graph.snapshot();
        let from = 1 + rng.below(usize::try_from(head.revision()).expect("small")) as u64;
        let channel = serve(graph.clone(), principal(&reach), None).await;
        let mut request = Request::new(v1::WatchRequest {
            from_revision: from,
            previous_values: true,
            ..Default::default()
        });
        let token = "Bearer token".parse().expect("ASCII");
        request.metadata_mut().insert("authorization", token);
        let watch = GraphServiceClient::new(channel).watch(request).await;
        let mut watch = watch.expect("a watch").into_inner();
        let before = view(&graph.snapshot_at(from - 1).expect("kept"), &reach, &head);
        let mut entities: BTreeSet<String> = before.entities().map(|e| e.key.to_string()).collect();
        let relations = Oracle::of(&before).relations;
        let mut relations: BTreeSet<String> = relations.keys().map(ToString::to_string).collect();
        let mut reached = 0;
        while reached < head.revision() {
            let message = timeout(Duration::from_secs(30), watch.message()).await;
            let message = message.expect("in time").expect("no end").expect("no end");
            assert!(!message.resync, "seed {seed}");
            reached = reached.max(message.bookmark);
            for change in message.changes {
                told += 1;
                apply(&change, &head, &reach, &mut entities, &mut relations);
            }
        }
    }
    assert!(told > 100 && owned > 3, "{told} changes, {owned} by owner");
}

fn apply(
    change: &v1::Change,
    head: &Snapshot,
    reach: &Reach,
    entities: &mut BTreeSet<String>,
    relations: &mut BTreeSet<String>,
) {
    let gone = change.kind() == v1::change::Kind::Deleted;
    let key = |key: &Option<v1::EntityRef>| {
        let key = key.as_ref().expect("a name");
        EntityRef::parse("ref", &format!("{}/{}", key.kind, key.name)).expect("a valid name")
    };
    let may = |key: &EntityRef| assert!(gone || reach.covers_in(head, key), "{key} was told");
    match change.subject.as_ref().expect("a subject") {
        v1::change::Subject::Entity(entity) => {
            let key = key(&entity.r#ref);
            may(&key);
            if gone {
                let was_told = entities.remove(&key.to_string());
                assert!(was_told, "{key} went and had never come");
            } else {
                entities.insert(key.to_string());
            }
        }
        v1::change::Subject::Relation(relation) => {
            let (from, to) = (key(&relation.from), key(&relation.to));
            may(&from);
            may(&to);
            let label = kg_core::model::Label::parse("relation", &relation.relation);
            let label = label.expect("a valid label");
            let relation = kg_core::model::RelationKey { from, label, to }.to_string();
            if gone {
                let was_told = relations.remove(&relation);
                assert!(was_told, "{relation} went and had never come");
            } else {
                relations.insert(relation);
            }
        }
        v1::change::Subject::Node(node) => {
            let section = kg_core::model::Path::parse(&node.path).expect("a path");
            assert!(reach.covers_section(section.section()), "{}", node.path);
        }
    }
}
