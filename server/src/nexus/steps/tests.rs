//! Steps against real servers: the graph in this process, and the example services on sockets.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use example_services::{Kind, Limits, described, serve};
use futures::FutureExt;
use futures::future::BoxFuture;
use kg_core::access::Scope;
use kg_core::commit::Graph;
use kg_core::model::{Endpoint, Name, Object, ServiceSpec, Value};
use kg_core::mutation::{Mutation, Transaction};
use kg_core::nexus::Failure;
use tokio::net::TcpListener;
use tokio::sync::{oneshot, watch};

use super::StepKinds;
use crate::app::now_ms;
use crate::auth::{Caller, Grant, Principal, Role, UserId};
use crate::events::Events;
use crate::nexus::fork::{Fork, nothing_behind};
use crate::nexus::step::{RunInfo, StepCall, StepHost, World};
use crate::rpc::Context;

/// A graph, and what steps of a run may use.
pub struct Stage {
    pub kinds: StepKinds,
    pub world: World,
    run: RunInfo,
    host: Host,
    _fork: Fork,
    _stop: watch::Sender<bool>,
}

impl Stage {
    pub async fn new() -> Self {
        let graph = Graph::in_memory();
        let (stop, stopping) = watch::channel(false);
        let behind = nothing_behind();
        let empty = Context::new(graph.clone(), behind.clone(), behind, now_ms, stopping);
        let fork = Fork::of(&empty, &graph.snapshot());
        let events = Events::in_memory().await.expect("a log");
        let world = World {
            graph: fork.context.clone(),
            events,
        };
        let run = RunInfo {
            id: "run-1".into(),
            pattern: "test".into(),
            correlation: "c-1".into(),
            graph_revision: 0,
            event_offset: world.events.next_offset(),
            depth: 0,
        };
        Self {
            kinds: StepKinds::standard(),
            host: Host::default(),
            world,
            run,
            _fork: fork,
            _stop: stop,
        }
    }

    async fn register(&self, name: &str, path: &str) {
        let mut service = ServiceSpec::named(Name::parse("name", name).expect("a name"));
        service.body.endpoints = vec![Endpoint {
            name: "main".into(),
            path: path.into(),
            ..Endpoint::default()
        }];
        let register = Mutation::RegisterService {
            service: Box::new(service),
            strict: false,
        };
        let transaction = Transaction::of(vec![register]);
        self.world
            .graph
            .commit(transaction)
            .await
            .expect("registered");
    }

    pub async fn step(&self, kind: &str, target: &str, action: &str, given: &str) -> Told {
        self.keyed("run-1/step", Caller::trusted(), kind, target, action, given)
            .await
    }

    pub async fn keyed(
        &self,
        key: &str,
        caller: Caller,
        kind: &str,
        target: &str,
        action: &str,
        given: &str,
    ) -> Told {
        *self.host.caller.lock().expect("no panic") = Some(caller.clone());
        let call = StepCall {
            run: &self.run,
            step: "step".into(),
            attempt: 1,
            key: key.into(),
            target,
            action,
            parameters: object(given),
            timeout_ms: 5_000,
            started_ms: now_ms(),
            caller,
            world: &self.world,
            items: self.host.items(),
            host: &self.host,
        };
        let provider = self.kinds.of(kind).expect("there is such a type");
        provider.run(call).await.map_err(|failure| {
            let Failure { code, message } = failure;
            (code.to_string(), message.to_string())
        })
    }
}

pub type Told = Result<Value, (String, String)>;

fn object(json: &str) -> Object {
    let value = Value::from_json(json.as_bytes()).expect("JSON");
    value.as_object().expect("an object").clone()
}

fn at(value: &Value, path: &str) -> String {
    let parts = kg_core::model::Path::parse(path).expect("a path");
    let members = value.as_object().expect("an object");
    let found = kg_core::model::path::get(members, parts.parts());
    found
        .unwrap_or_else(|_| panic!("{path} in {}", value.to_json()))
        .to_json()
}

fn code(told: Told) -> String {
    told.expect_err("it fails").0
}

/// What a runner does for a step. An inner step gives its parameters back, or fails as they say.
#[derive(Default)]
struct Host {
    done: Mutex<BTreeMap<u32, Value>>,
    begun: Mutex<Vec<u32>>,
    under_way: Mutex<(usize, usize)>,
    caller: Mutex<Option<Caller>>,
    /// How often a step has asked whose rights it has now.
    asked: watch::Sender<u32>,
}

impl Host {
    fn items(&self) -> Vec<(u32, Value)> {
        let done = self.done.lock().expect("no panic");
        done.iter().map(|(i, v)| (*i, v.clone())).collect()
    }
}

impl StepHost for Host {
    fn owner(&self) -> BoxFuture<'_, Result<Caller, Failure>> {
        let caller = self.caller.lock().expect("no panic").clone();
        self.asked.send_modify(|asked| *asked += 1);
        async { Ok(caller.unwrap_or_else(Caller::trusted)) }.boxed()
    }

    fn item_done(&self, index: u32, result: Value) -> BoxFuture<'_, Result<(), Failure>> {
        self.done.lock().expect("no panic").insert(index, result);
        async { Ok(()) }.boxed()
    }

    fn child<'a>(
        &'a self,
        name: &'a str,
        pattern: &'a str,
        inputs: Object,
    ) -> BoxFuture<'a, Result<Object, Failure>> {
        let outputs = inputs
            .update("name".into(), Value::string(name))
            .update("pattern".into(), Value::string(pattern));
        async { Ok(outputs) }.boxed()
    }

    fn inner<'a>(
        &'a self,
        index: u32,
        step: &'a Object,
        parameters: Object,
    ) -> BoxFuture<'a, Result<Value, Failure>> {
        self.begun.lock().expect("no panic").push(index);
        {
            let mut under_way = self.under_way.lock().expect("no panic");
            under_way.0 += 1;
            under_way.1 = under_way.1.max(under_way.0);
        }
        assert_eq!(step.get("type").and_then(Value::as_str), Some("pass"));
        async move {
            for _ in 0..10 {
                tokio::task::yield_now().await;
            }
            self.under_way.lock().expect("no panic").0 -= 1;
            match parameters.get("fail") {
                Some(Value::Bool(true)) => Err(Failure::new("ABORTED", format!("at {index}"))),
                _ => Ok(Value::Object(parameters)),
            }
        }
        .boxed()
    }
}

#[tokio::test]
async fn a_list_whose_results_are_too_large_so_far_begins_no_more_of_them() {
    let stage = Stage::new().await;
    let item = "x".repeat(500_000);
    let items = vec![format!("{item:?}"); 40].join(",");
    let step = r#"{"type": "pass", "parameters": {"v": "${item}"}}"#;
    let given = format!(r#"{{"items": [{items}], "step": {step}, "max_parallel": 1}}"#);
    let failed = code(stage.step("map", "", "", &given).await);
    assert_eq!(failed, "OUT_OF_RANGE");
    assert_eq!(stage.host.begun.lock().expect("no panic").len(), 9);
}

fn reader_of(kind: &str) -> Caller {
    let scope = Scope {
        kind: kg_core::model::Kind::parse("kind", kind).ok(),
        name_prefix: String::new(),
        owner: None,
    };
    somebody(vec![Grant {
        role: Role::Reader,
        scope: Some(scope),
    }])
}

fn somebody(grants: Vec<Grant>) -> Caller {
    Caller {
        principal: Arc::new(Principal {
            name: "alice".into(),
            user: Some(UserId("u1".into())),
            grants,
        }),
        source: None,
        session: None,
    }
}

/// Example services on a socket, on a runtime of their own: when that goes, their connections are cut as by a process that is killed.
struct Services {
    address: String,
    runtime: Option<tokio::runtime::Runtime>,
}

impl Services {
    async fn start() -> Self {
        Self::at("127.0.0.1:0").await
    }

    async fn at(address: &str) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .expect("a runtime");
        let address = address.to_owned();
        let (told, listening) = oneshot::channel();
        runtime.spawn(async move {
            let listener = TcpListener::bind(address).await.expect("a free port");
            let at = listener.local_addr().expect("bound");
            told.send(at.to_string()).expect("somebody waits");
            let kinds = [Kind::Inventory, Kind::Payments, Kind::Shipping];
            let end = std::future::pending();
            let served = serve(&kinds, Limits::default(), listener, end).await;
            served.expect("it serves");
        });
        Self {
            address: listening.await.expect("it listens"),
            runtime: Some(runtime),
        }
    }

    fn kill(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

impl Drop for Services {
    fn drop(&mut self) {
        self.kill();
    }
}

#[tokio::test]
async fn a_mutation_is_committed_as_the_runs_owner_and_once_for_its_key() {
    let stage = Stage::new().await;
    let put =
        r#"{"entity": {"ref": {"kind": "order", "name": "7"}, "properties": {"total": 12.5}}}"#;
    let first = stage
        .step("graph", "", "put_entity", put)
        .await
        .expect("put");
    assert_eq!(at(&first, "header.revision"), "1");
    let again = stage
        .step("graph", "", "put_entity", put)
        .await
        .expect("put");
    assert_eq!(at(&again, "header.revision"), "1");
    assert_eq!(stage.world.graph.graph.revisions().0, 1);
    let history = stage.world.graph.graph.published();
    let record = history.history.record(1).expect("it is kept").clone();
    assert_eq!(&*record.request_id, "run-1/step");
    assert_eq!(&*record.reason, "step step of run run-1");
    assert_eq!(&*record.actor, "anonymous");

    // A reason of its own does not hide whose step it was.
    let why = put
        .replace(r#""7""#, r#""8""#)
        .replacen('{', r#"{"reason": "dearer", "#, 1);
    let changed = stage.keyed(
        "run-1/other",
        Caller::trusted(),
        "graph",
        "",
        "put_entity",
        &why,
    );
    changed.await.expect("put");
    let history = stage.world.graph.graph.published();
    let record = history.history.record(2).expect("it is kept").clone();
    assert_eq!(&*record.reason, "step step of run run-1: dearer");

    let get = r#"{"ref": {"kind": "order", "name": "7"}}"#;
    let got = stage
        .step("graph", "", "get_entity", get)
        .await
        .expect("got");
    assert_eq!(at(&got, "entity.properties.total"), "12.5");
    assert_eq!(at(&got, "entity.modified_revision"), "1");
    let impact = r#"{"refs": [{"kind": "order", "name": "7"}]}"#;
    let impact = stage
        .step("graph", "", "impact", impact)
        .await
        .expect("told");
    assert_eq!(at(&impact, "hits"), "[]");
    assert_eq!(at(&impact, "truncated"), "false");
}

#[tokio::test]
async fn what_a_request_gets_wrong_is_named() {
    let stage = Stage::new().await;
    let unknown = stage
        .step("graph", "", "get_entity", r#"{"reff": {}}"#)
        .await;
    let (code, message) = unknown.expect_err("there is no such field");
    assert_eq!(code, "INVALID_ARGUMENT");
    assert!(message.contains("reff"), "{message}");
    let missing = r#"{"ref": {"kind": "order", "name": "8"}}"#;
    let missing = stage.step("graph", "", "get_entity", missing).await;
    assert_eq!(missing.expect_err("it is not there").0, "NOT_FOUND");
    let stream = stage.step("graph", "", "watch", "{}").await;
    assert_eq!(stream.expect_err("a stream").0, "INVALID_ARGUMENT");
}

#[tokio::test]
async fn a_run_may_do_what_its_owner_may_and_nothing_else() {
    let stage = Stage::new().await;
    let put = r#"{"entity": {"ref": {"kind": "order", "name": "7"}}}"#;
    stage
        .step("graph", "", "put_entity", put)
        .await
        .expect("put");
    let get = r#"{"ref": {"kind": "order", "name": "7"}}"#;
    let as_of = async |caller, action, given| {
        stage
            .keyed("run-1/other", caller, "graph", "", action, given)
            .await
    };
    assert!(as_of(reader_of("order"), "get_entity", get).await.is_ok());
    for (caller, action, given) in [
        (reader_of("order"), "put_entity", put),
        (reader_of("order"), "prune", "{}"),
        (reader_of("host"), "get_entity", get),
        (Caller::of(&http::Extensions::new()), "get_entity", get),
    ] {
        let told = as_of(caller, action, given).await;
        let code = code(told);
        assert!(
            ["PERMISSION_DENIED", "UNAUTHENTICATED"].contains(&&*code),
            "{action}: {code}"
        );
    }
    stage.register("payments", "grpc://127.0.0.1:1").await;
    let call = "shop.v1.Payments/Charge";
    let told = stage
        .keyed("k", reader_of("host"), "grpc", "payments", call, "{}")
        .await;
    assert_eq!(code(told), "PERMISSION_DENIED");
}

#[tokio::test]
async fn a_service_is_called_by_what_it_says_of_itself_and_once_for_a_key() {
    let stage = Stage::new().await;
    let services = Services::start().await;
    for kind in [Kind::Inventory, Kind::Payments] {
        let service = described(kind, &services.address);
        stage
            .register(&service.name, &service.endpoints[0].path)
            .await;
    }
    let reserve =
        r#"{"request": {"order": "7", "items": [{"sku": "tea", "quantity": 2}, {"sku": "mug"}]}}"#;
    let call = "shop.v1.Inventory/Reserve";
    let reserved = stage
        .step("grpc", "service/inventory", call, reserve)
        .await
        .expect("reserved");
    assert_eq!(at(&reserved, "total_cents"), "1800");
    assert_eq!(at(&reserved, "items[1].quantity"), "1");
    let again = stage
        .step("grpc", "inventory", call, reserve)
        .await
        .expect("reserved");
    assert_eq!(again, reserved);
    let effects = stage
        .step("grpc", "inventory", "shop.v1.Inventory/Effects", "{}")
        .await;
    let effects = effects.expect("told");
    assert_eq!(at(&effects, "effects[0].key"), r#""run-1/step""#);
    assert_eq!(at(&effects, "effects[0].calls"), "2");
    assert_eq!(at(&effects, "effects[0].effects"), "1");

    // Both forms of a name, and of a number of 64 bits.
    let charge = "shop.v1.Payments/Charge";
    for given in [r#"{"amountCents": "100"}"#, r#"{"amount_cents": 100}"#] {
        let given = format!(r#"{{"request": {given}, "metadata": {{"x-tenant": "a"}}}}"#);
        let charged = stage
            .step("grpc", "payments", charge, &given)
            .await
            .expect("charged");
        assert_eq!(at(&charged, "amount_cents"), "100");
    }
}

#[tokio::test]
async fn what_a_service_answers_is_the_steps_failure() {
    let stage = Stage::new().await;
    let services = Services::start().await;
    stage
        .register("payments", &format!("grpc://{}", services.address))
        .await;
    stage.register("nowhere", "/only/a/path").await;
    let charge = "shop.v1.Payments/Charge";
    for (target, action, given, expected) in [
        (
            "payments",
            charge,
            r#"{"request": {"amount_cents": 100001}}"#,
            "FAILED_PRECONDITION",
        ),
        (
            "payments",
            charge,
            r#"{"request": {"amount_cents": 1, "trouble": {"code": 8}}}"#,
            "RESOURCE_EXHAUSTED",
        ),
        (
            "payments",
            charge,
            r#"{"request": {"amount_cents": 1, "trouble": {"fail_first": 9}}}"#,
            "UNAVAILABLE",
        ),
        (
            "payments",
            charge,
            r#"{"request": {"amount": 1}}"#,
            "INVALID_ARGUMENT",
        ),
        (
            "payments",
            charge,
            r#"{"request": {"amount_cents": "much"}}"#,
            "INVALID_ARGUMENT",
        ),
        (
            "payments",
            charge,
            r#"{"metadata": {"grpc-timeout": "1S"}}"#,
            "INVALID_ARGUMENT",
        ),
        (
            "payments",
            charge,
            r#"{"endpoint": "other"}"#,
            "FAILED_PRECONDITION",
        ),
        ("payments", "Charge", "{}", "INVALID_ARGUMENT"),
        (
            "payments",
            "shop.v1.Payments/Nothing",
            "{}",
            "UNIMPLEMENTED",
        ),
        ("payments", "shop.v1.Nothing/Charge", "{}", "NOT_FOUND"),
        ("nobody", charge, "{}", "NOT_FOUND"),
        ("nowhere", charge, "{}", "FAILED_PRECONDITION"),
    ] {
        let told = stage.step("grpc", target, action, given).await;
        let (code, message) = told.expect_err(given);
        assert_eq!(code, expected, "{target} {action} {given}: {message}");
    }
}

#[tokio::test]
async fn a_service_that_is_slow_or_gone_ends_the_attempt() {
    let stage = Stage::new().await;
    let mut services = Services::start().await;
    stage
        .register("payments", &format!("grpc://{}", services.address))
        .await;
    let charge = "shop.v1.Payments/Charge";
    let fine = r#"{"request": {"amount_cents": 1}}"#;
    stage
        .step("grpc", "payments", charge, fine)
        .await
        .expect("charged");

    let call = StepCall {
        run: &stage.run,
        step: "slow".into(),
        attempt: 1,
        key: "run-1/slow".into(),
        target: "payments",
        action: charge,
        parameters: object(r#"{"request": {"amount_cents": 1, "trouble": {"delay_ms": 60000}}}"#),
        timeout_ms: 200,
        started_ms: now_ms(),
        caller: Caller::trusted(),
        world: &stage.world,
        items: Vec::new(),
        host: &stage.host,
    };
    let grpc = stage.kinds.of("grpc").expect("it is there");
    let told = grpc.run(call);
    let told = tokio::time::timeout(Duration::from_secs(20), told).await;
    assert_eq!(
        &*told.expect("in time").expect_err("too slow").code,
        "DEADLINE_EXCEEDED"
    );

    let slow = r#"{"request": {"amount_cents": 1, "trouble": {"delay_ms": 60000}}}"#;
    let under_way = stage.step("grpc", "payments", charge, slow);
    let killed = async {
        // The call has arrived once the service counts it.
        loop {
            let effects = stage
                .keyed(
                    "k",
                    Caller::trusted(),
                    "grpc",
                    "payments",
                    "shop.v1.Payments/Effects",
                    r#"{"request": {"key_prefix": "run-1/step"}}"#,
                )
                .await
                .expect("told");
            if at(&effects, "effects[0].calls") == "2" {
                return services.kill();
            }
        }
    };
    let (told, ()) = tokio::join!(under_way, killed);
    assert_eq!(code(told), "UNAVAILABLE");
    assert_eq!(
        code(stage.step("grpc", "payments", charge, fine).await),
        "UNAVAILABLE"
    );

    // Back at its address, it is called again.
    let _back = Services::at(&services.address).await;
    stage
        .step("grpc", "payments", charge, fine)
        .await
        .expect("charged");
}

#[tokio::test]
async fn elements_of_a_list_are_done_once_in_order_and_not_too_many_at_once() {
    let stage = Stage::new().await;
    stage
        .host
        .done
        .lock()
        .expect("no panic")
        .insert(2, Value::string("before"));
    let given = r#"{"items": ["a", "b", "c", {"d": ["${run.id}"]}, 5], "max_parallel": 2,
        "step": {"type": "pass", "parameters": {"it": "${item}", "n": "no ${index}", "plain": "$${x}"}}}"#;
    let done = stage.step("map", "", "", given).await.expect("done");
    assert_eq!(
        at(&done, "items[0]"),
        r#"{"it":"a","n":"no 0","plain":"${x}"}"#
    );
    assert_eq!(at(&done, "items[2]"), r#""before""#);
    assert_eq!(at(&done, "items[3].it"), r#"{"d":["${run.id}"]}"#);
    assert_eq!(*stage.host.begun.lock().expect("no panic"), [0, 1, 3, 4]);
    assert_eq!(stage.host.under_way.lock().expect("no panic").1, 2);
    assert_eq!(stage.host.items().len(), 5);
}

#[tokio::test]
async fn the_first_element_that_fails_lets_those_under_way_end_and_no_other_begin() {
    let stage = Stage::new().await;
    let given = r#"{"items": [false, true, true, false, false], "max_parallel": 3,
        "step": {"type": "pass", "parameters": {"fail": "${item}"}}}"#;
    let told = stage
        .step("map", "", "", given)
        .await
        .expect_err("it fails");
    assert_eq!(told, ("ABORTED".to_owned(), "items[1]: at 1".to_owned()));
    let begun = stage.host.begun.lock().expect("no panic").clone();
    assert!(begun.len() < 5, "{begun:?}");
    assert_eq!(stage.host.under_way.lock().expect("no panic").0, 0);
    assert!(stage.host.items().iter().any(|(index, _)| *index == 0));
}

#[tokio::test]
async fn a_pattern_is_a_run_that_the_steps_key_names() {
    let stage = Stage::new().await;
    let told = stage
        .step("pattern", "pattern/inner", "", r#"{"a": 1}"#)
        .await;
    assert_eq!(
        told.expect("it ran").to_json(),
        r#"{"a":1,"name":"run-1/step","pattern":"inner"}"#
    );
    assert_eq!(
        code(stage.step("pattern", "", "", "{}").await),
        "INVALID_ARGUMENT"
    );
}

#[tokio::test]
async fn a_wait_that_was_begun_before_is_not_begun_anew() {
    let stage = Stage::new().await;
    let began = now_ms();
    let call = StepCall {
        run: &stage.run,
        step: "wait".into(),
        attempt: 2,
        key: "run-1/wait".into(),
        target: "",
        action: "",
        parameters: object(r#"{"seconds": 3600}"#),
        timeout_ms: 5_000,
        started_ms: began - 3_600_000,
        caller: Caller::trusted(),
        world: &stage.world,
        items: Vec::new(),
        host: &stage.host,
    };
    let told = stage.kinds.of("wait").expect("it is there").run(call).await;
    assert_eq!(at(&told.expect("it is over"), "waited_ms"), "3600000");
    stage
        .step("wait", "", "", r#"{"ms": 5}"#)
        .await
        .expect("over");
    assert!(now_ms() >= began + 5);
    assert_eq!(
        stage
            .step("pass", "", "", r#"{"a": 1}"#)
            .await
            .expect("passed")
            .to_json(),
        r#"{"a":1}"#
    );
}

#[test]
fn every_type_has_its_name_and_there_is_one_of_each() {
    let kinds = StepKinds::standard();
    let names: Vec<_> = kinds.types().iter().map(|about| about.name).collect();
    assert_eq!(
        names,
        [
            "choice", "event", "graph", "grpc", "http", "map", "pass", "pattern", "wait"
        ]
    );
    assert!(kinds.of("other").is_none());
}

mod definitions;
mod events;
mod examples;
mod http_service;
