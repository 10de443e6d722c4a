//! Runs that are carried out on the graph of a test, and then again on a copy of it.

use kg_core::nexus::{Plan, StepTypes};
use kg_core::testing::nexus::patterns::pattern;

use super::*;
use crate::nexus::steps::tests::{Stage, Told};

const ORDER: &str = r#"{"inputs": [{"name": "fail", "type": "boolean", "default": false}], "steps": [
  {"id": "look", "type": "graph", "action": "list_entities", "parameters": {"kind": "order"}},
  {"id": "count", "type": "choice", "depends_on": ["look"], "parameters": {
     "cases": [{"when": {"equals": ["${steps.look.result.entities}", []]}, "value": "first"}], "default": "another"}},
  {"id": "pay", "type": "grpc", "target": "shop", "action": "a.B/C", "depends_on": ["count"],
     "retry": {"max_attempts": 3},
     "compensation": {"type": "grpc", "target": "shop", "action": "a.B/D"}},
  {"id": "put", "type": "graph", "action": "put_entity", "depends_on": ["pay"],
     "parameters": {"entity": {"ref": {"kind": "order", "name": "${run.id}"},
        "properties": {"payment": "${steps.pay.result.id}", "which": "${steps.count.result.value}"}}},
     "compensation": {"type": "graph", "action": "delete_entity",
        "parameters": {"ref": {"kind": "order", "name": "${run.id}"}}}},
  {"id": "pause", "type": "wait", "depends_on": ["put"], "parameters": {"seconds": 3600}},
  {"id": "each", "type": "map", "depends_on": ["pause"], "parameters": {"items": [1, 2],
     "step": {"type": "grpc", "target": "shop", "action": "a.B/E", "parameters": {"request": {"n": "${item}"}}}}},
  {"id": "again", "type": "graph", "action": "list_entities", "depends_on": ["each"],
     "parameters": {"kind": "order"}},
  {"id": "send", "type": "http", "target": "shop", "action": "POST /send", "depends_on": ["again"],
     "condition": "${inputs.fail}"}],
  "outputs": [{"name": "orders", "value": "${steps.again.result.entities}"}]}"#;

fn object(json: &str) -> Object {
    let value = Value::from_json(json.as_bytes()).expect("JSON");
    value.as_object().expect("an object").clone()
}

/// Carries a run out on the real graph. What calls others has made-up results; `http` fails; an hour of waiting is over at once.
async fn record(stage: &Stage, id: &str, inputs: &str) -> Run {
    let types = StepTypes::of(stage.kinds.types());
    let plan = Arc::new(Plan::of(&pattern(ORDER), &types).expect("a plan"));
    let facts = RunFacts {
        id: id.into(),
        inputs: plan.inputs(&object(inputs)).expect("inputs"),
        actor: "anonymous".into(),
        correlation: id.into(),
        graph_revision: stage.world.graph.graph.revisions().0,
        started_ms: 1_000,
    };
    let mut run = Run::begin(plan, facts);
    let mut now_ms = 1_000;
    let write = |run: &mut Run, now_ms, what| {
        let line = run.line(1, now_ms, what);
        run.apply(&line).expect("it fits");
    };
    write(&mut run, now_ms, What::RunStarted);
    while !run.state().has_ended() {
        let next = run.next(now_ms);
        if next.commands.is_empty() {
            now_ms = next.wake_at.expect("it goes on");
        }
        for command in next.commands {
            now_ms += 10;
            let (step, attempt, parameters, key, undo) = match command {
                Command::Write(what) => {
                    write(&mut run, now_ms, what);
                    continue;
                }
                Command::Cut { .. } => continue,
                Command::Start {
                    step,
                    attempt,
                    parameters,
                    key,
                    ..
                } => {
                    write(&mut run, now_ms, What::StepStarted { step, attempt });
                    (step, attempt, parameters, key, false)
                }
                Command::Undo {
                    step,
                    attempt,
                    parameters,
                    key,
                    ..
                } => {
                    write(
                        &mut run,
                        now_ms,
                        What::CompensationStarted { step, attempt },
                    );
                    (step, attempt, parameters, key, true)
                }
            };
            let planned = run.plan().steps[step].clone();
            let call = match planned.undo {
                Some((compensation, _)) if undo => compensation,
                _ => planned.call,
            };
            let result = carried_out(stage, call.kind.name, &call.action, &key, parameters).await;
            let what = if undo {
                run.undo_outcome(step, attempt, result, now_ms, 0.0)
            } else {
                run.outcome(step, attempt, result, now_ms, 0.0)
            };
            write(&mut run, now_ms, what.expect("it is under way"));
        }
    }
    run
}

async fn carried_out(
    stage: &Stage,
    kind: &str,
    action: &str,
    key: &str,
    parameters: Object,
) -> Result<Value, Failure> {
    let given = Value::Object(parameters).to_json();
    let told: Told = match kind {
        "wait" => Ok(Value::Object(object(r#"{"waited_ms": 3600000}"#))),
        "grpc" => Ok(Value::Object(object(r#"{"id": "payment-1"}"#))),
        "map" => Ok(Value::Object(object(r#"{"items": [{"n": 1}, {"n": 2}]}"#))),
        "http" => Err(("NOT_FOUND".into(), "404 Not Found".into())),
        _ => {
            stage
                .keyed(key, Caller::trusted(), kind, "", action, &given)
                .await
        }
    };
    told.map_err(|(code, message)| Failure::new(&code, message))
}

async fn replayed(stage: &Stage, recorded: &Run, revision: u64) -> Run {
    let at = stage
        .world
        .graph
        .graph
        .snapshot_at(revision)
        .expect("it is kept");
    let replay = Replay {
        kinds: &stage.kinds,
        real: &stage.world.graph,
        events: &stage.world.events,
        at: &at,
        caller: &Caller::trusted(),
    };
    replay.of(recorded).await.expect("it is replayed")
}

fn told(recorded: &Run, replayed: &Run) -> Vec<String> {
    differences(recorded, replayed)
        .into_iter()
        .map(|one| format!("{} {}", one.step.unwrap_or_default(), one.path))
        .collect()
}

#[tokio::test]
async fn a_replay_gives_the_same_and_changes_nothing() {
    let stage = Stage::new().await;
    let recorded = record(&stage, "run-a", "{}").await;
    assert_eq!(recorded.state(), kg_core::nexus::RunState::Succeeded);
    let (graph, head) = (
        &stage.world.graph.graph,
        stage.world.graph.graph.revisions().0,
    );
    let hash = graph.snapshot().hash();
    let again = replayed(&stage, &recorded, recorded.facts().graph_revision).await;
    assert_eq!(told(&recorded, &again), Vec::<String>::new());
    assert_eq!(again.state(), recorded.state());
    assert_eq!((graph.revisions().0, graph.snapshot().hash()), (head, hash));
    assert!(again.outputs().get("orders").is_some());
}

#[tokio::test]
async fn a_replay_undoes_on_its_copy_what_it_did_there() {
    let stage = Stage::new().await;
    let recorded = record(&stage, "run-b", r#"{"fail": true}"#).await;
    assert_eq!(recorded.state(), kg_core::nexus::RunState::Failed);
    let head = stage.world.graph.graph.revisions().0;
    let again = replayed(&stage, &recorded, recorded.facts().graph_revision).await;
    assert_eq!(told(&recorded, &again), Vec::<String>::new());
    for id in ["put", "pay"] {
        let at = again.plan().place(id).expect(id);
        assert_eq!(again.steps()[at].state, StepState::Compensated, "{id}");
    }
    assert_eq!(stage.world.graph.graph.revisions().0, head);
}

#[tokio::test]
async fn on_another_revision_a_replay_tells_what_would_have_been() {
    let stage = Stage::new().await;
    let recorded = record(&stage, "run-c", "{}").await;
    let other = r#"{"entity": {"ref": {"kind": "order", "name": "other"}}}"#;
    stage
        .step("graph", "", "put_entity", other)
        .await
        .expect("put");
    let again = replayed(&stage, &recorded, stage.world.graph.graph.revisions().0).await;
    let told = told(&recorded, &again);
    assert!(
        told.iter().any(|one| one.starts_with("count result.value")),
        "{told:?}"
    );
    let count = again.plan().place("count").expect("count");
    let result = again.steps()[count].result.as_ref().map(Value::to_json);
    assert_eq!(
        result.as_deref(),
        Some(r#"{"case":"default","value":"another"}"#)
    );
}
