//! What differs between a run and its replay.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::run::{Run, StepStatus};
use crate::limits::RUN_DIFFERENCES;
use crate::model::path::part;
use crate::model::{Object, Value};

/// One difference between a run and its replay. What is not there is null.
#[derive(Clone, Debug, PartialEq)]
pub struct Difference {
    /// The step; none: the run.
    pub step: Option<Arc<str>>,
    /// What differs, such as `state`, `result.total`, `parameters.request.amount`, `outputs.id`.
    pub path: String,
    /// What was recorded.
    pub recorded: Value,
    /// What the replay gave.
    pub replayed: Value,
}

/// What differs, in the order of the definition: first each step, then the run. At most [`RUN_DIFFERENCES`]. How often and when
/// steps were begun is no difference, for a replay has no failures to try again and no time to pass.
#[must_use]
pub fn differences(recorded: &Run, replayed: &Run) -> Vec<Difference> {
    let mut all = Differences::default();
    let other = |id: &str| replayed.plan().place(id).map(|at| (replayed, at));
    for (at, step) in recorded.plan().steps.iter().enumerate() {
        all.step = Some(step.id.clone());
        let (one, other) = (Side::of(Some((recorded, at))), Side::of(other(&step.id)));
        all.values("state", &one.state, &other.state);
        all.values("code", &one.code, &other.code);
        all.values("parameters", &one.parameters, &other.parameters);
        all.values("result", &one.result, &other.result);
    }
    all.step = None;
    let state = |run: &Run| Value::string(run.state().as_str());
    all.values("state", &state(recorded), &state(replayed));
    let code = |run: &Run| {
        run.failure()
            .map_or(Value::Null, |f| Value::string(&f.code))
    };
    all.values("code", &code(recorded), &code(replayed));
    let outputs = |run: &Run| Value::Object(run.outputs().clone());
    all.values("outputs", &outputs(recorded), &outputs(replayed));
    all.list
}

/// What is compared of a step.
#[derive(Default)]
struct Side {
    state: Value,
    code: Value,
    parameters: Value,
    result: Value,
}

impl Side {
    fn of(step: Option<(&Run, usize)>) -> Self {
        let Some((run, at)) = step else {
            return Self::default();
        };
        let status: &StepStatus = &run.steps()[at];
        // What it was called with is not kept: it is what its templates come to, which nothing behind it changes.
        let called = (status.attempts > 0).then(|| run.plan().steps[at].call.fill(run));
        Self {
            state: Value::string(status.state.as_str()),
            code: status
                .failure
                .as_ref()
                .map_or(Value::Null, |f| Value::string(&f.code)),
            parameters: match called {
                Some(Ok(parameters)) => Value::Object(parameters),
                Some(Err(_)) | None => Value::Null,
            },
            result: status.result.clone().unwrap_or_default(),
        }
    }
}

#[derive(Default)]
struct Differences {
    step: Option<Arc<str>>,
    list: Vec<Difference>,
}

impl Differences {
    fn values(&mut self, path: &str, recorded: &Value, replayed: &Value) {
        if recorded == replayed || self.list.len() >= RUN_DIFFERENCES {
            return;
        }
        match (recorded, replayed) {
            (Value::Object(one), Value::Object(other)) => self.members(path, one, other),
            (Value::List(one), Value::List(other)) => {
                for i in 0..one.len().max(other.len()) {
                    let at = |items: &im::Vector<Value>| items.get(i).cloned().unwrap_or_default();
                    self.values(&format!("{path}[{i}]"), &at(one), &at(other));
                }
            }
            _ => self.list.push(Difference {
                step: self.step.clone(),
                path: path.to_owned(),
                recorded: recorded.clone(),
                replayed: replayed.clone(),
            }),
        }
    }

    fn members(&mut self, path: &str, one: &Object, other: &Object) {
        let keys: BTreeSet<&Arc<str>> = one.keys().chain(other.keys()).collect();
        let none = Value::Null;
        for key in keys {
            let at = format!("{path}.{}", part(key));
            let (one, other) = (one.get(key), other.get(key));
            self.values(&at, one.unwrap_or(&none), other.unwrap_or(&none));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Plan, RunFacts, What};
    use super::*;
    use crate::testing::nexus::patterns::{pattern, types};

    fn run(result: &str) -> Run {
        let flow = pattern(
            r#"{"steps":[{"id":"a","type":"pass"},
                {"id":"b","type":"pass","depends_on":["a"],"condition":{"exists":"${steps.a.result.go}"},"parameters":{"x":["${steps.a.result.n}",1]}}],
                "outputs":[{"name":"n","value":"${steps.a.result.n}"}]}"#,
        );
        let plan = Arc::new(Plan::of(&flow, &types()).expect("a plan"));
        let mut run = Run::begin(plan, RunFacts::default());
        let mut write = |what| run.apply(&run.line(1, 5, what)).expect("the next line");
        let result = Value::from_json(result.as_bytes()).expect("JSON");
        write(What::RunStarted);
        write(What::StepStarted {
            step: 0,
            attempt: 1,
        });
        write(What::StepSucceeded { step: 0, result });
        loop {
            let next = run.next(5);
            if next.commands.is_empty() {
                return run;
            }
            for command in next.commands {
                let whats = match command {
                    super::super::Command::Write(what) => vec![what],
                    super::super::Command::Start { step, attempt, .. } => vec![
                        What::StepStarted { step, attempt },
                        What::StepSucceeded {
                            step,
                            result: Value::Null,
                        },
                    ],
                    other => panic!("{other:?}"),
                };
                for what in whats {
                    run.apply(&run.line(1, 5, what)).expect("the next line");
                }
            }
        }
    }

    fn told(one: &Run, other: &Run) -> Vec<String> {
        differences(one, other)
            .into_iter()
            .map(|d| {
                let step = d.step.unwrap_or_default();
                let (one, other) = (d.recorded.to_json(), d.replayed.to_json());
                format!("{step}: {} {one} {other}", d.path)
            })
            .collect()
    }

    #[test]
    fn a_run_and_the_same_run_do_not_differ() {
        let one = run(r#"{"n":1,"go":true}"#);
        assert_eq!(told(&one, &one.clone()), Vec::<String>::new());
    }

    #[test]
    fn differences_are_told_where_they_are() {
        let one = run(r#"{"n":1,"go":true}"#);
        assert_eq!(
            told(&one, &run(r#"{"n":2,"go":true,"more":[1]}"#)),
            [
                "a: result.more null [1]",
                "a: result.n 1 2",
                "b: parameters.x[0] 1 2",
                ": outputs.n 1 2"
            ]
        );
        assert_eq!(
            told(&one, &run(r#"{"n":1}"#)),
            [
                "a: result.go true null",
                r#"b: state "succeeded" "skipped""#,
                r#"b: parameters {"x":[1,1]} null"#
            ]
        );
    }

    #[test]
    fn no_more_than_the_bound_are_told() {
        let many = |n: usize| {
            let items: Vec<String> = (0..3_000).map(|i| (i + n).to_string()).collect();
            run(&format!(r#"{{"n":[{}]}}"#, items.join(",")))
        };
        assert_eq!(differences(&many(0), &many(1)).len(), RUN_DIFFERENCES);
    }
}
