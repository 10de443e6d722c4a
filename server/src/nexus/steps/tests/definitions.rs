//! What only a type of step knows to be wrong with a definition is told before anything runs, with its path.

use kg_core::nexus::{StepTypes, check};

use super::StepKinds;
use super::examples::parse;

/// Paths and reasons of the faults of a pattern with this one step.
fn faults(step: &str) -> Vec<(String, String)> {
    let text =
        format!("{{name: one, inputs: [{{name: x, type: any}}], steps: [{{id: s, {step}}}]}}");
    let types = StepTypes::of(StepKinds::standard().types());
    check(&parse(&text), &types, &|_| None, &|_| true)
        .into_iter()
        .map(|fault| (fault.path, fault.reason))
        .collect()
}

#[track_caller]
fn told(step: &str, expected: &[(&str, &str)]) {
    let found = faults(step);
    let fits = |((path, reason), (at, part)): (&(String, String), &(&str, &str))| {
        *path == format!("steps[0].{at}") && reason.contains(part)
    };
    assert!(
        found.len() == expected.len() && found.iter().zip(expected).all(fits),
        "{step}: {found:#?} where {expected:#?} was expected"
    );
}

#[test]
fn an_event_says_its_type_and_each_action_takes_its_own() {
    told(
        "type: event, action: emit",
        &[("parameters.type", "is missing")],
    );
    told(
        "type: event, action: emit, parameters: {type: a b, entity: order, types: [x]}",
        &[
            ("parameters.types", "nothing that `emit` takes"),
            ("parameters.type", "has ' '"),
            ("parameters.entity", "kind/name"),
        ],
    );
    told(
        "type: event, action: await, parameters: {type: a}",
        &[
            ("parameters.types", "is missing"),
            ("parameters.type", "nothing that `await` takes"),
        ],
    );
    told(
        "type: event, action: emit, parameters: {type: '${inputs.x}', entity: 'order/${inputs.x}'}",
        &[],
    );
    told(
        "type: event, action: await, parameters: {types: [a.*], entity: order}",
        &[],
    );
}

#[test]
fn a_call_names_a_method() {
    told(
        "type: grpc, target: service/shop, action: Charge",
        &[("action", "package.Service/Method")],
    );
    told(
        "type: http, target: service/shop, action: FETCH /x",
        &[("action", "POST /orders")],
    );
    told(
        "type: http, target: shop, action: GET /x, compensation: {type: http, target: shop, action: undo}",
        &[("compensation.action", "POST /orders")],
    );
}

#[test]
fn a_wait_says_how_long_in_one_way() {
    told("type: wait", &[("parameters", "one of")]);
    told(
        "type: wait, parameters: {ms: 1, seconds: 1}",
        &[("parameters", "one of")],
    );
    told(
        "type: wait, parameters: {seconds: -1}",
        &[("parameters.seconds", "0 or more")],
    );
    told("type: wait, parameters: {until_ms: 1795930695433}", &[]);
    told("type: wait, parameters: {seconds: '${inputs.x}'}", &[]);
}

#[test]
fn a_list_and_a_choice_are_of_their_form() {
    told(
        "type: map, parameters: {items: [1], max_parallel: 0, step: {type: event, action: emit}}",
        &[
            ("parameters.max_parallel", "1 to 64"),
            ("parameters.step.parameters.type", "is missing"),
        ],
    );
    told(
        "type: choice, parameters: {cases: [{when: true, value: 1}, {if: true}, 7]}",
        &[
            ("parameters.cases[1].if", "is not part of a case"),
            ("parameters.cases[2]", "must be an object"),
            ("parameters.cases[1].when", "is missing"),
        ],
    );
}

#[test]
fn a_request_to_the_graph_has_the_fields_of_its_type() {
    told(
        "type: graph, action: get_service, parameters: {nam: x}",
        &[("parameters.nam", "GetServiceRequest")],
    );
    told(
        "type: graph, action: commit, parameters: {mutations: [{put_entity: {entity: {ref: {kind: a, id: b}, properties: {any: thing}}}}]}",
        &[(
            "parameters.mutations[0].put_entity.entity.ref.id",
            "EntityRef",
        )],
    );
    told(
        "type: graph, action: put_entity, parameters: {entity: {ref: '${inputs.x}', properties: {'${odd}': 1}}}",
        &[],
    );
}
