use super::super::levels;
use super::*;
use crate::testing::nexus::patterns::{pattern, types};

/// The faults of a pattern, `path: reason`, warnings with a `?` before them.
fn told(json: &str) -> Vec<String> {
    told_with(json, &[])
}

fn told_with(json: &str, others: &[(&str, &str)]) -> Vec<String> {
    let patterns = |name: &str| {
        let found = others.iter().find(|(other, _)| *other == name);
        found.map(|(_, json)| pattern(json).body)
    };
    let services = |name: &str| name == "shop";
    check(&pattern(json), &types(), &patterns, &services)
        .into_iter()
        .map(|fault| {
            let mark = if fault.warning { "?" } else { "" };
            format!("{mark}{}: {}", fault.path, fault.reason)
        })
        .collect()
}

/// Each of `expected` begins or ends one of the faults, in this order, and there are no more.
#[track_caller]
fn same(told: &[String], expected: &[&str]) {
    let fits = |(told, expected): (&String, &&str)| {
        let (path, part) = expected.split_once(": ").unwrap_or((expected, ""));
        told.split_once(": ")
            .is_some_and(|(p, reason)| p == path && reason.contains(part))
    };
    assert!(
        told.len() == expected.len() && told.iter().zip(expected).all(fits),
        "{told:#?} where {expected:#?} was expected"
    );
}

#[test]
fn a_pattern_without_faults_has_none() {
    same(
        &told(
            r#"{"inputs":[{"name":"order","type":"object","required":true},{"name":"n","type":"integer","default":3}],
            "steps":[
              {"id":"look","type":"pass","parameters":{"id":"${inputs.order.id}","n":"${inputs.n}"}},
              {"id":"charge","type":"grpc","target":"service/shop","action":"pay.Payments/Charge","depends_on":["look"],
               "parameters":{"request":{"id":"${steps.look.result.id}","key":"${run.id}"}},
               "condition":{"equals":["${steps.look.state}","succeeded"]},"concurrency_class":"slow",
               "retry":{"max_attempts":3,"codes":["UNAVAILABLE"]},
               "compensation":{"type":"grpc","target":"shop","action":"pay.Payments/Refund",
                 "parameters":{"request":{"charge":"${steps.charge.result.id}"}}}},
              {"id":"each","type":"map","depends_on":["charge"],"parameters":{"items":"${inputs.order.lines}",
                 "step":{"type":"grpc","target":"shop","action":"a.B/C","parameters":{"request":{"i":"${index}","x":"${item.x}","n":"${inputs.n}"}}}}},
              {"id":"which","type":"choice","depends_on":["look"],"parameters":{
                 "cases":[{"when":{"less":["${steps.look.result.n}",3]},"value":"few"}],"default":"many"}}],
            "outputs":[{"name":"charge","value":"${steps.charge.result.id}"},{"name":"text","type":"string","value":"n=${inputs.n}"}],
            "classes":{"slow":2}}"#,
        ),
        &[],
    );
}

#[test]
fn every_fault_of_the_graph_is_told_at_once() {
    same(
        &told(
            r#"{"steps":[
              {"id":"a","type":"pass","depends_on":["a","nobody","b","b"]},
              {"id":"b","type":"pass"},
              {"id":"b","type":"nothing"},
              {"id":"c d","type":"pass"},
              {"id":"","type":"pass"}]}"#,
        ),
        &[
            "steps[4].id: must not be empty",
            "steps[2].id: as that of steps[1]",
            "steps[3].id: only letters",
            "steps[0].depends_on[0]: cannot depend on itself",
            "steps[0].depends_on[1]: no step of that id",
            "steps[0].depends_on[3]: named before",
            "steps[2].type: none of choice, event, grpc",
        ],
    );
}

#[test]
fn a_cycle_is_named_in_full_whatever_the_listing_order() {
    let steps = [
        r#"{"id":"a","type":"pass","depends_on":["c"]}"#,
        r#"{"id":"b","type":"pass","depends_on":["a"]}"#,
        r#"{"id":"c","type":"pass","depends_on":["b","start"]}"#,
        r#"{"id":"start","type":"pass"}"#,
        r#"{"id":"after","type":"pass","depends_on":["c"]}"#,
    ];
    for turn in 0..steps.len() {
        let mut listed = steps.to_vec();
        listed.rotate_left(turn);
        let json = format!(r#"{{"steps":[{}]}}"#, listed.join(","));
        let at = listed
            .iter()
            .position(|step| *step == steps[0])
            .unwrap_or(0);
        same(
            &told(&json),
            &[&format!(
                "steps[{at}].depends_on[0]: closes a cycle: a -> c -> b -> a"
            )],
        );
        assert_eq!(levels(&pattern(&json)), None);
    }
}

#[test]
fn levels_hold_what_can_begin_together() {
    let flow = pattern(
        r#"{"steps":[{"id":"z","depends_on":["b","a"]},{"id":"a"},{"id":"b","depends_on":["a"]},{"id":"c"}]}"#,
    );
    assert_eq!(levels(&flow), Some(vec![vec![1, 3], vec![2], vec![0]]));
}

#[test]
fn a_reference_must_lead_to_something_that_is_known_by_then() {
    same(
        &told(
            r#"{"inputs":[{"name":"n","type":"integer"},{"name":"s","type":"string"}],"steps":[
              {"id":"a","type":"pass","parameters":{"x":"${inputs.none}","y":"${steps.b.result}","z":"${steps.nobody.state}"}},
              {"id":"b","type":"pass","depends_on":["a"],"condition":{"exists":"${steps.b.result}"},
               "parameters":{"deep":["${inputs.n.x}","${item}"],"ok":"${steps.a.result.x}","bad":"${step.a}"}},
              {"id":"c","type":"pass","compensation":{"type":"pass","parameters":{"own":"${steps.c.result}","other":"${steps.a.result}"}}},
              {"id":"d","type":"pass","parameters":{"deep":["${inputs.n.x}","${item}"]}}],
            "outputs":[{"name":"o","value":"${steps.nobody.result}"},{"name":"p","type":"list","value":"${inputs.s}"}]}"#,
        ),
        &[
            "steps[0].parameters.x: no input",
            "steps[0].parameters.y: does not depend on",
            "steps[0].parameters.z: no step",
            "steps[1].parameters.bad: must begin with",
            "steps[1].parameters.deep[0]: no member",
            "steps[1].parameters.deep[1]: inside the step of a map",
            "steps[1].condition.exists: does not depend on",
            "steps[2].compensation.parameters.other: does not depend on",
            "steps[3].parameters.deep[0]: no member",
            "steps[3].parameters.deep[1]: inside the step of a map",
            "outputs[0].value: no step",
            "outputs[1].value: is string, where a list must stand",
        ],
    );
}

#[test]
fn what_a_step_is_called_with_is_held_against_its_type() {
    same(
        &told(
            r#"{"inputs":[{"name":"n","type":"integer"}],"steps":[
              {"id":"a","type":"grpc","parameters":{"endpoint":7,"more":1}},
              {"id":"b","type":"grpc","target":"nobody","action":"x","parameters":{"request":"${inputs.n}","endpoint":"${run.started_ms}"}},
              {"id":"c","type":"event","action":"shout","parameters":{"type":"t-${inputs.n}"}},
              {"id":"d","type":"pass","target":"shop","action":"x"},
              {"id":"e","type":"pass","parameters":{"x":1,"y":null,"z":1},"required":["x","y"],"optional":["x"]}]}"#,
        ),
        &[
            "steps[0].target: must name a service",
            "steps[0].action: must not be empty",
            "steps[0].parameters.request: is missing",
            "steps[0].parameters.endpoint: is a number, where a string must stand",
            "steps[0].parameters.more: nothing that",
            "steps[1].parameters.request: is integer, where an object",
            "steps[1].parameters.endpoint: is integer, where a string",
            "steps[2].action: none of emit, await",
            "steps[3].target: must be empty",
            "steps[3].action: must be empty",
            "steps[4].required[1]: missing",
            "steps[4].optional[0]: named before",
            "steps[4].parameters.z: neither required nor optional",
            "?steps[1].target: not registered",
        ],
    );
}

#[test]
fn the_step_of_a_map_is_held_against_its_own_type() {
    same(
        &told(
            r#"{"steps":[
              {"id":"a","type":"map","parameters":{"items":"text","step":{"type":"grpc","target":"shop","action":"x","parameters":{"request":[]}}}},
              {"id":"b","type":"map","parameters":{"items":["${item}"],"step":{"type":"map","also":1}}},
              {"id":"c","type":"map","parameters":{"items":[],"step":{"type":"pass","parameters":{"x":"${steps.a.result}"}}}},
              {"id":"d","type":"map","parameters":{"items":[],"step":7}}]}"#,
        ),
        &[
            "steps[0].parameters.items: where a list",
            "steps[0].parameters.step.parameters.request: where an object",
            "steps[1].parameters.items[0]: only known inside",
            "steps[1].parameters.step.also: not part",
            "steps[1].parameters.step.type: must not be map",
            "steps[2].parameters.step.parameters.x: does not depend on",
            "steps[3].parameters.step: where an object",
            "steps[3].parameters.step: must be an object",
        ],
    );
}

#[test]
fn the_parameters_of_a_called_pattern_are_its_inputs_and_its_result_its_outputs() {
    let other = r#"{"inputs":[{"name":"a","type":"string","required":true},{"name":"b","type":"list"}],
        "outputs":[{"name":"total","type":"number","value":1}]}"#;
    same(
        &told_with(
            r#"{"steps":[
              {"id":"a","type":"pattern","target":"pattern/other","parameters":{"b":"x","c":1}},
              {"id":"b","type":"event","action":"emit","depends_on":["a"],"parameters":{"type":"${steps.a.result.total}"}},
              {"id":"c","type":"pass","depends_on":["a"],"parameters":{"x":"${steps.a.result.sum}"}},
              {"id":"d","type":"pattern","target":"absent"}]}"#,
            &[("other", other)],
        ),
        &[
            "steps[0].parameters.a: is missing",
            "steps[0].parameters.b: where a list",
            "steps[0].parameters.c: no input",
            "steps[1].parameters.type: is number, where a string",
            "steps[2].parameters.x: has no output",
            "?steps[3].target: not registered",
        ],
    );
}

#[test]
fn patterns_that_call_each_other_in_a_circle_or_too_deep_are_refused() {
    let calls =
        |name: &str| format!(r#"{{"steps":[{{"id":"s","type":"pattern","target":"{name}"}}]}}"#);
    let through_map = r#"{"steps":[{"id":"s","type":"map","parameters":{"items":[],"step":{"type":"pattern","target":"flow"}}}]}"#;
    same(
        &told_with(
            &calls("b"),
            &[("b", &calls("pattern/c")), ("c", through_map)],
        ),
        &["steps[0].target: flow -> b -> c -> flow"],
    );
    let chain: Vec<(String, String)> = (0..9)
        .map(|i| (format!("p{i}"), calls(&format!("p{}", i + 1))))
        .collect();
    let mut chain: Vec<(&str, &str)> = chain.iter().map(|(a, b)| (&**a, &**b)).collect();
    chain.push(("p9", "{}"));
    same(&told_with(&calls("p2"), &chain), &[]);
    same(
        &told_with(&calls("p1"), &chain),
        &["steps[0].target: more than 8 deep"],
    );
}

#[test]
fn bounds_and_policies_are_checked() {
    same(
        &told(
            r#"{"inputs":[{"name":"a b"},{"name":"n","type":"number","default":"x"},{"name":"n"}],
            "outputs":[{"name":"o"},{"name":"o"}],"classes":{"none":0},"max_parallel":9999,"steps":[
              {"id":"a","type":"pass","concurrency_class":"other","condition":{"same":1},
               "retry":{"max_attempts":0,"multiplier":0.5,"jitter":2,"backoff_ms":50000,"codes":["OK","UNAVAILABLE"]},
               "compensation":{"type":"never","retry":{"max_attempts":1001}}}]}"#,
        ),
        // First what no pattern of a graph may be, then what none may be that runs; each once.
        &[
            "steps[0].retry.max_attempts",
            "steps[0].retry.multiplier",
            "steps[0].retry.jitter",
            "steps[0].compensation.retry.max_attempts",
            "classes.none: is 0",
            "max_parallel: at most",
            "inputs[0].name: only letters",
            "inputs[2].name: named before",
            "outputs[1].name: named before",
            "inputs[1].default: is a string",
            "steps[0].retry.max_backoff_ms",
            "steps[0].retry.codes[0]",
            "steps[0].condition: none of equals",
            "steps[0].concurrency_class: none of the pattern's",
            "steps[0].compensation.type: none of",
        ],
    );
}
