//! What a body by itself may say: only what random transactions break. Sizes have tests of their own.

use crate::model::{Dependency, Name, PatternSpec, ServiceBody, ServiceSpec};

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
    let steps = body
        .steps
        .iter()
        .flat_map(|s| [&s.id, &s.kind, &s.target].into_iter().chain(&s.depends_on));
    texts.into_iter().chain(steps).all(|text| is_text(text))
        && body.steps.iter().all(|step| !step.id.is_empty())
}
