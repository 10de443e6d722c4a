//! Typed bodies as JSON and back, field by field.

mod pattern;

pub(super) use pattern::{pattern_json, read_pattern};

use super::No;
use crate::model::{
    Dependency, Endpoint, Health, Name, Object, Schema, ServiceBody, ServiceSpec, Value,
};
use std::sync::Arc;

pub(super) const MIRRORED: [&str; 7] = [
    "version",
    "capabilities",
    "endpoints",
    "models",
    "schema",
    "health_check",
    "metrics",
];

fn put(object: &mut Object, key: &str, value: Value) {
    object.insert(Arc::from(key), value);
}

/// Texts that say something.
fn put_texts(object: &mut Object, texts: &[(&str, &String)]) {
    for (key, text) in texts {
        if !text.is_empty() {
            put(object, key, Value::string(text));
        }
    }
}

fn list_of(texts: &[String]) -> Value {
    Value::list(texts.iter().map(|text| Value::string(text)))
}

pub(super) fn service_json(
    name: &Name,
    body: &ServiceBody,
    needs: &[Dependency],
    metadata: &Object,
) -> Object {
    let mut out = Object::new();
    put(&mut out, "name", Value::string(name.as_str()));
    put(&mut out, "category", Value::string(&body.category));
    put_texts(
        &mut out,
        &[
            ("version", &body.version),
            ("owner", &body.owner),
            ("description", &body.description),
            ("health_check", &body.health_check),
            ("metrics", &body.metrics),
        ],
    );
    let capabilities = body.capabilities.iter().map(|c| Value::string(c));
    put(&mut out, "capabilities", Value::list(capabilities));
    let needs = needs.iter().map(|d| match d.version.as_str() {
        "" => Value::string(d.service.as_str()),
        version => Value::string(&format!("{}:{version}", d.service)),
    });
    put(&mut out, "dependencies", Value::list(needs));
    let endpoints = body.endpoints.iter().map(|e| {
        let mut one = e.metadata.clone();
        put_texts(
            &mut one,
            &[
                ("name", &e.name),
                ("path", &e.path),
                ("method", &e.method),
                ("input_type", &e.input_type),
                ("output_type", &e.output_type),
                ("description", &e.description),
            ],
        );
        if !e.tags.is_empty() {
            put(&mut one, "tags", list_of(&e.tags));
        }
        Value::Object(one)
    });
    put(&mut out, "endpoints", Value::list(endpoints));
    put(&mut out, "models", list_of(&body.models));
    let mut schema = Object::new();
    put_texts(&mut schema, &[("proto_path", &body.schema.proto_path)]);
    if !body.schema.methods.is_empty() {
        put(&mut schema, "methods", list_of(&body.schema.methods));
    }
    put(&mut out, "schema", Value::Object(schema));
    if body.health != Health::Unknown {
        put(&mut out, "health", Value::string(body.health.as_str()));
    }
    put(&mut out, "metadata", Value::Object(metadata.clone()));
    out
}

/// A service as a reader sees it: mirrored fields twice, and whether it has registered.
pub(super) fn shown(mut object: Object, registered: bool) -> Object {
    let mut metadata = match object.get("metadata") {
        Some(Value::Object(metadata)) => metadata.clone(),
        _ => Object::new(),
    };
    for field in MIRRORED {
        if let Some(value) = object.get(field) {
            put(&mut metadata, field, value.clone());
        }
    }
    put(&mut object, "metadata", Value::Object(metadata));
    put(&mut object, "registered", Value::Bool(registered));
    object
}

fn text(value: &Value) -> Result<String, No> {
    match value {
        Value::String(text) => Ok(text.to_string()),
        Value::Null => Ok(String::new()),
        _ => Err(No::Invalid),
    }
}

fn items(value: &Value) -> Result<Vec<Value>, No> {
    match value {
        Value::List(items) => Ok(items.iter().cloned().collect()),
        Value::Null => Ok(Vec::new()),
        _ => Err(No::Invalid),
    }
}

fn texts(value: &Value) -> Result<Vec<String>, No> {
    items(value)?.iter().map(text).collect()
}

fn members(value: &Value) -> Result<&Object, No> {
    value.as_object().ok_or(No::Invalid)
}

pub(super) fn read_service(
    name: &Name,
    object: &Object,
    known: &[Dependency],
) -> Result<ServiceSpec, No> {
    // What stands at the top wins over what stands under `metadata`, unless the two contradict each other.
    let mut fields = Object::new();
    for (key, value) in object {
        match (key.as_ref(), value) {
            ("name", value) => {
                let own = value.as_str().ok_or(No::Invalid)?;
                if !own.is_empty() && own != name.as_str() {
                    return Err(No::Invalid);
                }
            }
            ("registered", Value::Bool(_)) | ("metadata", Value::Null) => {}
            ("metadata", value) => {
                for (key, value) in members(value)? {
                    let mirrored = MIRRORED.contains(&key.as_ref());
                    if mirrored && object.get(key).is_some_and(|top| top != value) {
                        return Err(No::Invalid);
                    }
                }
            }
            _ => put(&mut fields, key, value.clone()),
        }
    }
    let mut spec = ServiceSpec::named(name.clone());
    if let Some(Value::Object(under)) = object.get("metadata") {
        for (key, value) in under {
            if !MIRRORED.contains(&key.as_ref()) {
                put(&mut spec.metadata, key, value.clone());
            } else if !fields.contains_key(key) {
                put(&mut fields, key, value.clone());
            }
        }
    }
    let body = &mut spec.body;
    for (key, value) in &fields {
        match key.as_ref() {
            "category" => body.category = text(value)?,
            "version" => body.version = text(value)?,
            "owner" => body.owner = text(value)?,
            "description" => body.description = text(value)?,
            "health_check" => body.health_check = text(value)?,
            "metrics" => body.metrics = text(value)?,
            "models" => body.models = texts(value)?,
            "capabilities" => {
                body.capabilities = texts(value)?.into_iter().map(Arc::from).collect();
            }
            "schema" => body.schema = read_schema(value)?,
            "endpoints" => {
                body.endpoints = items(value)?
                    .iter()
                    .map(read_endpoint)
                    .collect::<Result<_, _>>()?;
            }
            "health" => {
                body.health = match text(value)?.as_str() {
                    "unknown" => Health::Unknown,
                    "up" => Health::Up,
                    "degraded" => Health::Degraded,
                    "down" => Health::Down,
                    _ => return Err(No::Invalid),
                };
            }
            "dependencies" => {
                spec.dependencies = items(value)?
                    .iter()
                    .map(|value| read_dependency(value, known))
                    .collect::<Result<_, _>>()?;
            }
            other => put(&mut spec.metadata, other, value.clone()),
        }
    }
    Ok(spec)
}

fn read_schema(value: &Value) -> Result<Schema, No> {
    let mut schema = Schema::default();
    if *value == Value::Null {
        return Ok(schema);
    }
    for (key, value) in members(value)? {
        match key.as_ref() {
            "proto_path" => schema.proto_path = text(value)?,
            "methods" => schema.methods = texts(value)?,
            _ => return Err(No::Invalid),
        }
    }
    Ok(schema)
}

fn read_endpoint(value: &Value) -> Result<Endpoint, No> {
    let mut endpoint = Endpoint::default();
    for (key, value) in members(value)? {
        match key.as_ref() {
            "name" => endpoint.name = text(value)?,
            "path" => endpoint.path = text(value)?,
            "method" => endpoint.method = text(value)?,
            "input_type" => endpoint.input_type = text(value)?,
            "output_type" => endpoint.output_type = text(value)?,
            "description" => endpoint.description = text(value)?,
            "tags" => endpoint.tags = texts(value)?,
            other => put(&mut endpoint.metadata, other, value.clone()),
        }
    }
    Ok(endpoint)
}

fn read_dependency(value: &Value, known: &[Dependency]) -> Result<Dependency, No> {
    let name = |text: &str| Name::parse("name", text).map_err(|_| No::Invalid);
    if let Value::Object(members) = value {
        let mut found = Dependency::on(name(&text(
            members.get("service").unwrap_or(&Value::Null),
        )?)?);
        for (key, value) in members {
            match (key.as_ref(), value) {
                ("service", _) => {}
                ("version", value) => found.version = text(value)?,
                ("optional", Value::Bool(optional)) => found.optional = *optional,
                ("properties", Value::Object(properties)) => found.properties = properties.clone(),
                _ => return Err(No::Invalid),
            }
        }
        return Ok(found);
    }
    let text = value.as_str().ok_or(No::Invalid)?;
    // One that is there already is meant by its own text, and keeps what a text cannot say.
    let own_text = |d: &&Dependency| match d.version.as_str() {
        "" => text == d.service.as_str(),
        version => text == format!("{}:{version}", d.service),
    };
    if let Some(same) = known.iter().find(own_text) {
        return Ok(same.clone());
    }
    let (service, version) = match text.rfind(':') {
        Some(colon) if colon > 0 && colon + 1 < text.len() && !text[colon..].contains('/') => {
            (&text[..colon], &text[colon + 1..])
        }
        _ => (text, ""),
    };
    let service = name(service)?;
    let mut found = known
        .iter()
        .find(|d| d.service == service)
        .cloned()
        .unwrap_or_else(|| Dependency::on(service));
    found.version = version.to_owned();
    Ok(found)
}
