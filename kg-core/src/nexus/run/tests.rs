use std::sync::Arc;

use super::super::{Failure, Line, Plan, RunState, StepState, What};
use super::*;
use crate::model::{Object, Value};
use crate::testing::generate::Rng;
use crate::testing::nexus::patterns::{pattern, types};

/// A run that has begun, and a hand that does what tests say.
struct Hand {
    run: Run,
    now: u64,
}

impl Hand {
    fn of(json: &str) -> Self {
        let plan = Plan::of(&pattern(json), &types()).expect("a plan");
        let facts = RunFacts {
            id: "r1".into(),
            inputs: plan.inputs(&Object::new()).expect("inputs"),
            actor: "ann".into(),
            ..RunFacts::default()
        };
        let mut hand = Self {
            run: Run::begin(Arc::new(plan), facts),
            now: 1_000,
        };
        hand.write(What::RunStarted);
        hand
    }

    fn write(&mut self, what: What) {
        let line = self.run.line(1, self.now, what);
        self.run.apply(&line).expect("a line that can follow");
    }

    /// Writes decisions and begins attempts until there is nothing more to do. What was begun, by id, and with what.
    fn go_on(&mut self) -> Vec<(String, Object)> {
        let mut begun = Vec::new();
        loop {
            let commands = self.run.next(self.now).commands;
            if commands.is_empty() {
                return begun;
            }
            for command in commands {
                match command {
                    Command::Write(what) => self.write(what),
                    Command::Start {
                        step,
                        attempt,
                        parameters,
                        ..
                    } => {
                        begun.push((self.run.plan().steps[step].id.to_string(), parameters));
                        self.write(What::StepStarted { step, attempt });
                    }
                    Command::Undo {
                        step,
                        attempt,
                        parameters,
                        ..
                    } => {
                        let id = &self.run.plan().steps[step].id;
                        begun.push((format!("undo {id}"), parameters));
                        self.write(What::CompensationStarted { step, attempt });
                    }
                    Command::Cut { .. } => {}
                }
            }
        }
    }

    fn end(&mut self, id: &str, result: Result<Value, Failure>) {
        let step = self.run.plan().place(id).expect("a step");
        let attempt = self.run.steps()[step].attempts;
        let what = self.run.outcome(step, attempt, result, self.now, 0.0);
        self.write(what.expect("it is under way"));
    }

    fn status(&self, id: &str) -> &StepStatus {
        &self.run.steps()[self.run.plan().place(id).expect("a step")]
    }
}

fn value(json: &str) -> Value {
    Value::from_json(json.as_bytes()).expect("JSON")
}

fn ids(begun: &[(String, Object)]) -> Vec<&str> {
    begun.iter().map(|(id, _)| id.as_str()).collect()
}

#[test]
fn a_step_begins_when_all_it_depends_on_has_succeeded_and_is_called_with_their_results() {
    let mut hand = Hand::of(
        r#"{"steps":[{"id":"c","type":"pass","depends_on":["a","b"],"parameters":{"x":"${steps.a.result.n}","k":"${run.id}"}},
            {"id":"b","type":"pass"},{"id":"a","type":"pass"}],"outputs":[{"name":"n","value":"${steps.c.result}"}]}"#,
    );
    assert_eq!(ids(&hand.go_on()), ["a", "b"]);
    hand.end("a", Ok(value(r#"{"n":7}"#)));
    assert!(hand.go_on().is_empty());
    hand.end("b", Ok(Value::Null));
    let begun = hand.go_on();
    assert_eq!(
        begun[0].1,
        value(r#"{"x":7,"k":"r1"}"#)
            .as_object()
            .cloned()
            .expect("an object")
    );
    hand.end("c", Ok(Value::Bool(true)));
    hand.go_on();
    assert_eq!(hand.run.state(), RunState::Succeeded);
    assert_eq!(hand.run.outputs().get("n"), Some(&Value::Bool(true)));
}

#[test]
fn an_argument_that_is_required_and_comes_to_nothing_fails_the_step_without_an_attempt() {
    let mut hand = Hand::of(
        r#"{"steps":[{"id":"a","type":"pass","condition":false},
            {"id":"b","type":"pass","join":"any","depends_on":["a","z"],"parameters":{"x":"${steps.a.result}"},"optional":["x"]},
            {"id":"c","type":"pass","join":"any","depends_on":["a","b"],"parameters":{"x":"${steps.a.result}"},"required":["x"]},
            {"id":"z","type":"pass"}]}"#,
    );
    assert_eq!(ids(&hand.go_on()), ["z"]);
    hand.end("z", Ok(Value::Null));
    assert_eq!(hand.go_on(), [("b".to_owned(), Object::new())]);
    hand.end("b", Ok(Value::Null));
    assert!(hand.go_on().is_empty());
    let status = hand.status("c");
    assert_eq!((status.state, status.attempts), (StepState::Failed, 0));
    let failure = hand.run.failure().expect("it failed");
    assert_eq!(&*failure.code, "INVALID_ARGUMENT");
    assert!(
        failure.message.contains("`c`") && failure.message.contains("parameters.x"),
        "{failure:?}"
    );
}

#[test]
fn a_failure_names_itself_to_what_it_keeps_from_beginning_and_lets_the_others_finish() {
    let mut hand = Hand::of(
        r#"{"max_parallel":2,"steps":[{"id":"a","type":"pass"},{"id":"b","type":"pass","compensation":{"type":"pass","parameters":{"of":"${steps.b.result}"}}},
            {"id":"c","type":"pass","depends_on":["a"]},{"id":"d","type":"pass"}]}"#,
    );
    assert_eq!(ids(&hand.go_on()), ["a", "b"]);
    hand.end("a", Err(Failure::new("NOT_FOUND", "no such order")));
    assert!(hand.go_on().is_empty());
    assert_eq!(
        hand.status("c").why.as_deref(),
        Some("`a`, which it depends on, failed")
    );
    assert_eq!(
        hand.status("d").why.as_deref(),
        Some("`a` failed before it began")
    );
    assert_eq!(hand.run.state(), RunState::Running);
    hand.end("b", Ok(Value::Number(3.0)));
    let undo = hand.go_on();
    assert_eq!(
        undo,
        [(
            "undo b".to_owned(),
            Object::unit("of".into(), Value::Number(3.0))
        )]
    );
    let what = hand.run.undo_outcome(1, 1, Ok(Value::Null), hand.now, 0.0);
    hand.write(what.expect("it counts"));
    hand.go_on();
    assert_eq!(hand.run.state(), RunState::Failed);
    let failure = hand.run.failure().expect("it failed");
    assert_eq!(
        (&*failure.code, &*failure.message),
        ("NOT_FOUND", "step `a` failed: no such order")
    );
}

#[test]
fn what_comes_of_an_attempt_that_was_cut_does_not_count() {
    let mut hand = Hand::of(r#"{"steps":[{"id":"a","type":"pass"}]}"#);
    hand.go_on();
    hand.write(What::CancelAsked {
        actor: "bob".into(),
        reason: "enough".into(),
    });
    let commands = hand.run.next(hand.now).commands;
    assert_eq!(
        commands,
        [
            Command::Cut { step: 0 },
            Command::Write(What::StepCancelled { step: 0 })
        ]
    );
    hand.go_on();
    assert_eq!(hand.run.outcome(0, 1, Ok(Value::Null), hand.now, 0.0), None);
    assert_eq!(hand.run.state(), RunState::Cancelled);
    assert_eq!(
        &*hand.run.failure().expect("why").message,
        "cancelled by bob: enough"
    );
}

#[test]
fn a_run_that_waits_for_a_place_can_be_cancelled() {
    let plan = Plan::of(
        &pattern(r#"{"steps":[{"id":"a","type":"pass"}]}"#),
        &types(),
    );
    let run = Run::begin(Arc::new(plan.expect("a plan")), RunFacts::default());
    assert_eq!(run.next(5), Next::default());
    let mut hand = Hand { run, now: 5 };
    hand.write(What::CancelAsked {
        actor: "bob".into(),
        reason: "".into(),
    });
    hand.go_on();
    assert_eq!(hand.run.state(), RunState::Cancelled);
    assert_eq!(hand.status("a").state, StepState::Cancelled);
}

#[test]
fn an_attempt_is_given_what_is_left_of_its_step_and_its_run() {
    let mut hand = Hand::of(
        r#"{"timeout_ms":10000,"steps":[{"id":"a","type":"grpc","target":"s","action":"x","parameters":{"request":{}},
            "total_timeout_ms":5000,"timeout_ms":4000,"retry":{"max_attempts":9,"backoff_ms":1500,"multiplier":1,"jitter":0}}]}"#,
    );
    let timeout = |hand: &Hand| match hand.run.next(hand.now).commands.as_slice() {
        [
            Command::Start {
                timeout_ms,
                attempt,
                key,
                ..
            },
        ] => {
            assert_eq!(&**key, "r1/a");
            (*timeout_ms, *attempt)
        }
        other => panic!("{other:?}"),
    };
    assert_eq!(timeout(&hand), (4_000, 1));
    hand.go_on();
    hand.now += 2_000;
    hand.end("a", Err(Failure::new("UNAVAILABLE", "")));
    assert_eq!(
        hand.run.next(hand.now),
        Next {
            commands: Vec::new(),
            wake_at: Some(4_500)
        }
    );
    hand.now = 4_500;
    assert_eq!(timeout(&hand), (1_500, 2));
    hand.go_on();
    // Another pause would end after all that the step has.
    hand.now += 100;
    hand.end("a", Err(Failure::new("UNAVAILABLE", "")));
    assert_eq!(hand.status("a").state, StepState::Failed);
}

#[test]
fn a_step_that_waits_for_its_class_takes_nobodys_room() {
    let hand = Hand::of(
        r#"{"max_parallel":1,"steps":[{"id":"a","type":"pass"},{"id":"b","type":"pass"}]}"#,
    );
    let first = |next: Next| match next.commands.as_slice() {
        [Command::Start { step, .. }] => *step,
        other => panic!("{other:?}"),
    };
    assert_eq!(first(hand.run.next(hand.now)), 0);
    assert_eq!(first(hand.run.next_without(hand.now, &|step| step == 0)), 1);
}

#[test]
fn elements_that_are_done_stay_done_through_another_attempt() {
    let mut hand = Hand::of(
        r#"{"steps":[{"id":"m","type":"map","parameters":{"items":[1,2],"step":{"type":"pass","parameters":{"x":"${item}"}}},
            "retry":{"max_attempts":2,"backoff_ms":0}}]}"#,
    );
    let begun = hand.go_on();
    assert_eq!(
        begun[0].1.get("step"),
        Some(&value(r#"{"type":"pass","parameters":{"x":"${item}"}}"#))
    );
    let item = hand.run.item(0, 1, Value::Number(2.0)).expect("small");
    hand.write(item);
    hand.end("m", Err(Failure::new("UNAVAILABLE", "")));
    assert_eq!(ids(&hand.go_on()), ["m"]);
    assert_eq!(hand.status("m").items.get(&1), Some(&Value::Number(2.0)));
}

#[test]
fn what_no_line_can_hold_fails_the_step() {
    let mut hand = Hand::of(r#"{"steps":[{"id":"a","type":"pass"}]}"#);
    hand.go_on();
    let large = Value::string(&"x".repeat(crate::limits::RESULT_BYTES));
    hand.end("a", Ok(large));
    let failure = hand.status("a").failure.clone().expect("it failed");
    assert_eq!(&*failure.code, "OUT_OF_RANGE");
}

#[test]
fn inputs_are_held_against_what_the_pattern_says() {
    let plan = Plan::of(
        &pattern(
            r#"{"inputs":[{"name":"a","type":"string","required":true},{"name":"n","type":"integer","default":3},{"name":"l","type":"list"}]}"#,
        ),
        &types(),
    )
    .expect("a plan");
    let object = |json: &str| value(json).as_object().cloned().expect("an object");
    assert_eq!(
        plan.inputs(&object(r#"{"a":"x"}"#)),
        Ok(object(r#"{"a":"x","n":3,"l":null}"#))
    );
    let faults = plan
        .inputs(&object(r#"{"n":1.5,"more":1}"#))
        .expect_err("faulty");
    let fields: Vec<&str> = faults.iter().map(|fault| fault.field.as_str()).collect();
    assert_eq!(fields, ["inputs.a", "inputs.n", "inputs.more"]);
}

#[test]
fn what_a_run_holds_together_is_bounded_and_the_step_that_brings_more_fails() {
    let steps: Vec<String> = (0..20)
        .map(|i| format!(r#"{{"id":"s{i:02}","type":"pass"}}"#))
        .collect();
    let mut hand = Hand::of(&format!(
        r#"{{"max_parallel":20,"steps":[{}]}}"#,
        steps.join(",")
    ));
    assert_eq!(hand.go_on().len(), 20);
    let large = Value::String("x".repeat(4_000_000).into());
    let fit = crate::limits::RUN_BYTES / large.weight();
    for i in 0..fit {
        hand.end(&format!("s{i:02}"), Ok(large.clone()));
    }
    assert!(hand.run.failure().is_none());
    hand.end(&format!("s{fit:02}"), Ok(large));
    let failure = hand.run.failure().expect("it fails");
    assert_eq!(&*failure.code, "OUT_OF_RANGE");
}

#[test]
fn elements_of_a_list_count_until_they_are_in_its_result() {
    let mut hand = Hand::of(r#"{"steps":[{"id":"a","type":"pass"},{"id":"b","type":"pass"}]}"#);
    hand.go_on();
    let large = Value::String("x".repeat(4_000_000).into());
    let fit = u32::try_from(crate::limits::RUN_BYTES / large.weight()).expect("few");
    for index in 0..fit {
        let what = hand
            .run
            .item(0, index, large.clone())
            .expect("there is room");
        hand.write(what);
    }
    let full = hand.run.item(0, fit, large.clone()).expect_err("no room");
    assert_eq!(&*full.code, "OUT_OF_RANGE");
    // What the list comes to takes the place of its elements.
    hand.end("a", Ok(Value::Null));
    hand.end("b", Ok(large));
    assert!(hand.run.failure().is_none());
}

#[test]
fn a_journal_that_is_full_ends_repetitions_and_lists_but_not_the_run() {
    let mut hand = Hand::of(
        r#"{"steps":[{"id":"a","type":"pass","retry":{"max_attempts":1000}},{"id":"b","type":"pass"}]}"#,
    );
    hand.go_on();
    while hand.run.last_seq() < crate::limits::RUN_LINES {
        let what = hand.run.item(1, 0, Value::Null).expect("there is room");
        hand.write(what);
    }
    assert!(hand.run.item(1, 0, Value::Null).is_err());
    hand.end("a", Err(Failure::new("UNAVAILABLE", "gone")));
    assert_eq!(hand.status("a").state, StepState::Failed);
    hand.end("b", Ok(Value::Null));
    hand.go_on();
    assert_eq!(hand.run.state(), RunState::Failed);
}

#[test]
fn outputs_that_are_too_large_fail_the_run() {
    let mut hand = Hand::of(
        r#"{"steps":[{"id":"a","type":"pass"}],"outputs":[{"name":"x","value":"${steps.a.result}"},{"name":"y","value":"${steps.a.result}"}]}"#,
    );
    hand.go_on();
    hand.end("a", Ok(Value::String("x".repeat(3_000_000).into())));
    hand.go_on();
    let failure = hand.run.failure().expect("it fails");
    assert_eq!(&*failure.code, "OUT_OF_RANGE");
}

/// Any line at all.
fn anything(rng: &mut Rng) -> What {
    let step = rng.below(7);
    let attempt = u32::try_from(rng.below(4)).unwrap_or(0);
    let failure = Failure::new("UNAVAILABLE", "x");
    let at_ms = rng.below(3_000) as u64;
    let state = *rng.pick(&[
        RunState::Failed,
        RunState::Cancelled,
        RunState::Succeeded,
        RunState::Running,
    ]);
    match rng.below(40) {
        0..4 => What::RunStarted,
        4..6 => What::TakenOver { server: "s".into() },
        6..14 => What::StepStarted { step, attempt },
        14 => What::ItemSucceeded {
            step,
            index: attempt,
            result: Value::Null,
        },
        15..18 => What::StepRetrying {
            step,
            attempt,
            failure,
            at_ms,
        },
        18..24 => What::StepSucceeded {
            step,
            result: Value::Number(1.0),
        },
        24 => What::StepFailed { step, failure },
        25..27 => What::StepSkipped {
            step,
            why: "w".into(),
        },
        27..29 => What::StepCancelled { step },
        29 => What::CancelAsked {
            actor: "a".into(),
            reason: "r".into(),
        },
        30..32 => What::CompensationsBegan {
            ending: state,
            failure,
        },
        32..35 => What::CompensationStarted { step, attempt },
        35 => What::CompensationRetrying {
            step,
            attempt,
            failure,
            at_ms,
        },
        36 => What::CompensationSucceeded { step },
        37 => What::CompensationFailed { step, failure },
        38 if rng.once_in(9) => What::RunEnded {
            state,
            failure: None,
            outputs: Object::new(),
        },
        _ => What::StepStarted { step, attempt: 1 },
    }
}

#[test]
fn no_line_of_a_store_makes_a_run_panic() {
    let flow = pattern(
        r#"{"max_parallel":2,"steps":[{"id":"a","type":"pass","compensation":{"type":"pass"}},{"id":"b","type":"pass"},
            {"id":"c","type":"pass","depends_on":["a"],"compensation":{"type":"pass"}},{"id":"d","type":"pass","depends_on":["a","b"],"join":"any"},
            {"id":"e","type":"pass","depends_on":["c","d"],"condition":{"exists":"${steps.b.result}"}}]}"#,
    );
    let plan = Arc::new(Plan::of(&flow, &types()).expect("a plan"));
    let mut taken = 0;
    for seed in 0..2_000 {
        let mut rng = Rng::new(seed);
        let mut run = Run::begin(plan.clone(), RunFacts::default());
        for _ in 0..60 {
            let line = Line {
                seq: run.last_seq() + 1 + u32::from(rng.once_in(50)),
                time_ms: rng.below(3_000) as u64 + run.time_ms,
                epoch: 1,
                what: anything(&mut rng),
            };
            let before = run.last_seq();
            match run.apply(&line) {
                Ok(()) => taken += 1,
                Err(_) => assert_eq!(run.last_seq(), before),
            }
            let _ = run.next(line.time_ms);
            let _ = run.outcome(rng.below(9), 1, Ok(Value::Null), 0, 0.5);
            let _ = run.undo_outcome(rng.below(5), 1, Ok(Value::Null), 0, 0.5);
        }
    }
    assert!(taken > 10_000, "only {taken} lines were taken");
}
