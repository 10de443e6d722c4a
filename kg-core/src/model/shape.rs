//! The JSON shape of typed bodies: how a service or a pattern looks in a dot path and in the original's files.
//!
//! A service shows `version`, `capabilities`, `endpoints`, `models`, `schema`, `health_check` and `metrics` at the top and
//! under `metadata` as well, because the original's two file forms kept them in either place; `dependencies` is a list of
//! `name` or `name:version` in the order given. Reading back accepts both places and refuses contradictions. A field that
//! has no place of its own goes into the metadata and comes out again.

mod pattern;

pub use pattern::{as_count, no_count, no_type, pattern_from_object, pattern_object};

use super::path::part;
use super::service::{Dependency, Endpoint, Health, Schema, ServiceSpec};
use super::{Name, Object, Value};
use crate::error::Fault;
use std::sync::Arc;

/// Fields of a service that stand at the top and under `metadata`.
pub const MIRRORED: [&str; 7] = [
    "version",
    "capabilities",
    "endpoints",
    "models",
    "schema",
    "health_check",
    "metrics",
];

/// A service as one object, each field once: what a write through a path edits.
#[must_use]
pub fn service_object(spec: &ServiceSpec) -> Object {
    let body = &spec.body;
    let mut top = Writer::default();
    top.put("name", Value::string(spec.name.as_str()));
    top.put("category", Value::string(&body.category));
    top.text("version", &body.version);
    top.text("owner", &body.owner);
    top.text("description", &body.description);
    top.put(
        "capabilities",
        Value::list(body.capabilities.iter().map(|c| Value::String(c.clone()))),
    );
    top.put(
        "dependencies",
        Value::list(
            spec.dependencies
                .iter()
                .map(|d| Value::string(&d.to_text())),
        ),
    );
    top.put(
        "endpoints",
        Value::list(body.endpoints.iter().map(endpoint_value)),
    );
    top.put("models", texts(&body.models));
    top.put("schema", schema_value(&body.schema));
    top.text("health_check", &body.health_check);
    top.text("metrics", &body.metrics);
    if body.health != Health::Unknown {
        top.text("health", body.health.as_str());
    }
    top.put("metadata", Value::Object(spec.metadata.clone()));
    top.0
}

/// A service as a reader of paths sees it, with the mirrored fields under `metadata` too.
#[must_use]
pub fn service_value(spec: &ServiceSpec, registered: bool) -> Value {
    let mut top = service_object(spec);
    let mut metadata = spec.metadata.clone();
    for field in MIRRORED {
        if let Some(value) = top.get(field) {
            metadata.insert(field.into(), value.clone());
        }
    }
    top.insert("metadata".into(), Value::Object(metadata));
    top.insert("registered".into(), Value::Bool(registered));
    Value::Object(top)
}

/// Reads a service from its shape. `known` are the dependencies that it has now: one that is named again as plain text
/// keeps what the text cannot say.
///
/// # Errors
/// Every fault, with the path of its field.
pub fn service_from_object(
    name: &Name,
    object: &Object,
    known: &[Dependency],
) -> Result<ServiceSpec, Vec<Fault>> {
    let mut reader = Reader::default();
    let mut spec = ServiceSpec::named(name.clone());
    let mut metadata = Object::new();
    let mut fields = Object::new();
    for (key, value) in object {
        match (key.as_ref(), value) {
            ("name", Value::String(own)) if own.is_empty() || own.as_ref() == name.as_str() => {}
            ("name", other) => {
                let found = other
                    .as_str()
                    .map_or(other.type_name().to_owned(), |s| format!("{s:?}"));
                reader.fault("name", format!("is {found}, but the key is {name:?}"));
            }
            ("registered", Value::Bool(_)) => {}
            ("metadata", Value::Object(members)) => {
                for (key, value) in members {
                    if MIRRORED.contains(&key.as_ref()) {
                        match object.get(key) {
                            Some(top) if top != value => reader.fault(
                                &format!("metadata.{key}"),
                                format!("contradicts {key} at the top: give one of them"),
                            ),
                            _ => drop(fields.insert(key.clone(), value.clone())),
                        }
                    } else {
                        metadata.insert(key.clone(), value.clone());
                    }
                }
            }
            ("metadata", Value::Null) => {}
            ("metadata", other) => reader.wrong("metadata", "an object", other),
            _ => drop(fields.insert(key.clone(), value.clone())),
        }
    }
    let body = &mut spec.body;
    for (key, value) in fields {
        match key.as_ref() {
            "category" => body.category = reader.text("category", &value),
            "version" => body.version = reader.text("version", &value),
            "owner" => body.owner = reader.text("owner", &value),
            "description" => body.description = reader.text("description", &value),
            "health_check" => body.health_check = reader.text("health_check", &value),
            "metrics" => body.metrics = reader.text("metrics", &value),
            "capabilities" => {
                body.capabilities = reader
                    .texts("capabilities", &value)
                    .into_iter()
                    .map(Arc::from)
                    .collect();
            }
            "models" => body.models = reader.texts("models", &value),
            "schema" => body.schema = reader.schema(&value),
            "endpoints" => body.endpoints = reader.each("endpoints", &value, Reader::endpoint),
            "health" => {
                let word = reader.text("health", &value);
                match Health::from_word(&word) {
                    Some(health) => body.health = health,
                    None => reader.fault(
                        "health",
                        format!("{word:?} is none of unknown, up, degraded, down"),
                    ),
                }
            }
            "dependencies" => {
                spec.dependencies = reader.each("dependencies", &value, |reader, at, item| {
                    reader.dependency(at, item, known)
                });
            }
            _ => drop(metadata.insert(key, value)),
        }
    }
    spec.metadata = metadata;
    let spec = spec.normalised();
    reader.faults.extend(spec.faults());
    if reader.faults.is_empty() {
        Ok(spec)
    } else {
        Err(reader.faults)
    }
}

/// An endpoint's shape; its own metadata stands beside its fields, where it came from.
#[must_use]
pub fn endpoint_value(endpoint: &Endpoint) -> Value {
    let mut out = Writer(endpoint.metadata.clone());
    out.text("name", &endpoint.name);
    out.text("path", &endpoint.path);
    out.text("method", &endpoint.method);
    out.text("input_type", &endpoint.input_type);
    out.text("output_type", &endpoint.output_type);
    out.text("description", &endpoint.description);
    if !endpoint.tags.is_empty() {
        out.put("tags", texts(&endpoint.tags));
    }
    Value::Object(out.0)
}

fn schema_value(schema: &Schema) -> Value {
    let mut out = Writer::default();
    out.text("proto_path", &schema.proto_path);
    if !schema.methods.is_empty() {
        out.put("methods", texts(&schema.methods));
    }
    Value::Object(out.0)
}

fn texts(items: &[String]) -> Value {
    Value::list(items.iter().map(|s| Value::string(s)))
}

#[derive(Default)]
struct Writer(Object);

impl Writer {
    fn put(&mut self, key: &str, value: Value) {
        self.0.insert(key.into(), value);
    }

    fn text(&mut self, key: &str, text: &str) {
        if !text.is_empty() {
            self.put(key, Value::string(text));
        }
    }
}

/// Reads fields and collects what is wrong with them, so that one answer tells everything.
#[derive(Default)]
struct Reader {
    faults: Vec<Fault>,
}

impl Reader {
    fn fault(&mut self, field: &str, reason: String) {
        self.faults.push(Fault::new(field, reason));
    }

    fn wrong(&mut self, field: &str, wanted: &str, found: &Value) {
        self.fault(
            field,
            format!("must be {wanted}, not {}", found.type_name()),
        );
    }

    fn text(&mut self, field: &str, value: &Value) -> String {
        match value {
            Value::String(text) => text.to_string(),
            Value::Null => String::new(),
            other => {
                self.wrong(field, "a string", other);
                String::new()
            }
        }
    }

    fn texts(&mut self, field: &str, value: &Value) -> Vec<String> {
        self.each(field, value, |reader, at, item| Some(reader.text(at, item)))
    }

    fn each<T>(
        &mut self,
        field: &str,
        value: &Value,
        mut read: impl FnMut(&mut Self, &str, &Value) -> Option<T>,
    ) -> Vec<T> {
        match value {
            Value::List(items) => items
                .iter()
                .enumerate()
                .filter_map(|(i, item)| read(self, &format!("{field}[{i}]"), item))
                .collect(),
            Value::Null => Vec::new(),
            other => {
                self.wrong(field, "a list", other);
                Vec::new()
            }
        }
    }

    fn object<'a>(&mut self, field: &str, value: &'a Value) -> Option<&'a Object> {
        match value {
            Value::Object(members) => Some(members),
            other => {
                self.wrong(field, "an object", other);
                None
            }
        }
    }

    fn schema(&mut self, value: &Value) -> Schema {
        let mut schema = Schema::default();
        if *value == Value::Null {
            return schema;
        }
        let Some(members) = self.object("schema", value) else {
            return schema;
        };
        for (key, value) in members {
            match key.as_ref() {
                "proto_path" => schema.proto_path = self.text("schema.proto_path", value),
                "methods" => schema.methods = self.texts("schema.methods", value),
                other => self.fault(
                    &format!("schema.{}", part(other)),
                    "is no field of a schema (proto_path, methods)".into(),
                ),
            }
        }
        schema
    }

    fn endpoint(&mut self, at: &str, value: &Value) -> Option<Endpoint> {
        let members = self.object(at, value)?;
        let mut endpoint = Endpoint::default();
        for (key, value) in members {
            let field = format!("{at}.{}", part(key));
            match key.as_ref() {
                "name" => endpoint.name = self.text(&field, value),
                "path" => endpoint.path = self.text(&field, value),
                "method" => endpoint.method = self.text(&field, value),
                "input_type" => endpoint.input_type = self.text(&field, value),
                "output_type" => endpoint.output_type = self.text(&field, value),
                "description" => endpoint.description = self.text(&field, value),
                "tags" => endpoint.tags = self.texts(&field, value),
                _ => drop(endpoint.metadata.insert(key.clone(), value.clone())),
            }
        }
        Some(endpoint)
    }

    fn dependency(&mut self, at: &str, value: &Value, known: &[Dependency]) -> Option<Dependency> {
        let parsed = match value {
            // A dependency that is there already is meant by its own text, even where a name with a colon would be
            // divided otherwise.
            Value::String(text)
                if let Some(same) = known.iter().find(|k| k.to_text() == **text) =>
            {
                Ok(same.clone())
            }
            Value::String(text) => Dependency::parse(at, text).map(|parsed| {
                match known.iter().find(|k| k.service == parsed.service) {
                    Some(known) => Dependency {
                        version: parsed.version,
                        ..known.clone()
                    },
                    None => parsed,
                }
            }),
            Value::Object(members) => return self.dependency_object(at, members),
            other => Err(Fault::new(
                at,
                format!(
                    "must be a string `name` or `name:version`, not {}",
                    other.type_name()
                ),
            )),
        };
        parsed.map_err(|fault| self.faults.push(fault)).ok()
    }

    fn dependency_object(&mut self, at: &str, members: &Object) -> Option<Dependency> {
        let name = members
            .get("service")
            .map(|v| self.text(&format!("{at}.service"), v))
            .unwrap_or_default();
        let mut dependency = match Name::parse(&format!("{at}.service"), &name) {
            Ok(name) => Dependency::on(name),
            Err(fault) => {
                self.faults.push(fault);
                return None;
            }
        };
        for (key, value) in members {
            let field = format!("{at}.{}", part(key));
            match (key.as_ref(), value) {
                ("service", _) => {}
                ("version", value) => dependency.version = self.text(&field, value),
                ("optional", Value::Bool(optional)) => dependency.optional = *optional,
                ("optional", other) => self.wrong(&field, "a boolean", other),
                ("properties", Value::Object(properties)) => {
                    dependency.properties = properties.clone()
                }
                ("properties", other) => self.wrong(&field, "an object", other),
                _ => self.fault(
                    &field,
                    "is no field of a dependency (service, version, optional, properties)".into(),
                ),
            }
        }
        Some(dependency)
    }
}
