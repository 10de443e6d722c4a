//! What a body by itself may say: only what random transactions break. Sizes have tests of their own.

use crate::model::{Dependency, Name, PatternSpec, Retry, ServiceBody, ServiceSpec};

/// Whether this is printable text, line breaks and tabs among it.
pub(super) fn is_text(text: &str) -> bool {
    text.chars()
        .all(|c| !c.is_control() || ['\n', '\r', '\t'].contains(&c))
}

/// Whether this is a word: not empty, printable, without white space at its ends.
fn is_word(word: &str) -> bool {
    !word.is_empty() && word.trim() == word && !word.chars().any(char::is_control)
}

/// Whether a service may say this.
pub(super) fn is_service_body(body: &ServiceBody) -> bool {
    let texts = [
        &body.category,
        &body.version,
        &body.owner,
        &body.description,
        &body.health_check,
        &body.metrics,
        &body.schema.proto_path,
    ];
    let tags = [&body.category, &body.owner];
    let endpoints = body.endpoints.iter().flat_map(|e| {
        [
            &e.name,
            &e.path,
            &e.method,
            &e.input_type,
            &e.output_type,
            &e.description,
        ]
        .into_iter()
        .chain(&e.tags)
    });
    texts
        .into_iter()
        .chain(&body.schema.methods)
        .chain(&body.models)
        .chain(endpoints)
        .all(|text| is_text(text))
        && body.capabilities.iter().all(|word| is_word(word))
        && tags.into_iter().all(|tag| tag.is_empty() || is_word(tag))
}

/// Whether a service of this name may need this.
pub(super) fn is_dependency(owner: &Name, dependency: &Dependency) -> bool {
    dependency.service != *owner
        && is_text(&dependency.version)
        && !dependency.properties.contains_key("version")
        && !dependency.properties.contains_key("optional")
}

/// Whether a registration may say this.
pub(super) fn is_service(spec: &ServiceSpec) -> bool {
    let once = |needed: &Dependency| {
        let same = spec
            .dependencies
            .iter()
            .filter(|d| d.service == needed.service);
        same.count() == 1
    };
    is_service_body(&spec.body)
        && spec.dependencies.iter().all(once)
        && spec
            .dependencies
            .iter()
            .all(|d| is_dependency(&spec.name, d))
}

/// Whether a pattern may say this.
pub(super) fn is_pattern(spec: &PatternSpec) -> bool {
    let body = &spec.body;
    let texts = [
        &body.description,
        &body.version,
        &body.category,
        &body.owner,
        &body.origin,
    ];
    let steps = body.steps.iter().flat_map(|s| {
        let undo = s.compensation.iter();
        let retries = s
            .retry
            .iter()
            .chain(undo.clone().filter_map(|u| u.retry.as_ref()));
        [
            &s.id,
            &s.kind,
            &s.target,
            &s.action,
            &s.class,
            &s.description,
        ]
        .into_iter()
        .chain(s.depends_on.iter().chain(&s.required).chain(&s.optional))
        .chain(undo.flat_map(|u| [&u.kind, &u.target, &u.action]))
        .chain(retries.flat_map(|r| &r.codes))
    });
    let inputs = body.inputs.iter().flat_map(|i| [&i.name, &i.description]);
    let outputs = body.outputs.iter().flat_map(|o| [&o.name, &o.description]);
    let mut names = body
        .steps
        .iter()
        .map(|s| &s.id)
        .chain(
            body.steps
                .iter()
                .flat_map(|s| &s.compensation)
                .map(|u| &u.kind),
        )
        .chain(body.inputs.iter().map(|i| &i.name))
        .chain(body.outputs.iter().map(|o| &o.name))
        .chain(body.classes.keys());
    let mut retries = body.steps.iter().flat_map(|s| {
        let undo = s.compensation.iter().filter_map(|u| u.retry.as_ref());
        s.retry.iter().chain(undo)
    });
    let is_retry = |r: &Retry| {
        (1..=1_000).contains(&r.max_attempts)
            && (1..=86_400_000).contains(&r.backoff_ms)
            && (1..=86_400_000).contains(&r.max_backoff_ms)
            && (1.0..=100.0).contains(&r.multiplier)
            && (0.0..=1.0).contains(&r.jitter)
    };
    texts
        .into_iter()
        .chain(steps)
        .chain(inputs)
        .chain(outputs)
        .chain(body.classes.keys())
        .all(|text| is_text(text))
        && names.all(|name| !name.is_empty())
        && retries.all(is_retry)
        && body.classes.values().all(|most| *most > 0)
}
