//! A snapshot as a file of our own form: canonical, so that the same revision gives the same bytes, and streamed, so that
//! a large graph never stands in memory as text.
//!
//! Lists are sorted by key (dependencies, steps and the like keep the order in which they were given), fields stand in a
//! fixed order, empty ones are left out. What comes out goes in again: the hash of the content is the same. Placeholders
//! are not listed; they come back by being named as an end. Cost: O(entities x labels + relations log degree).

mod pattern;

use self::pattern::Pattern;
use super::own::VERSION;
use super::relations::relations;
use crate::model::service::dependency_faults;
use crate::model::value::exact_integer;
use crate::model::{
    Body, Dependency, Endpoint, Entity, Health, Kind, Object, Relation, Schema, ServiceBody, Value,
};
use crate::snapshot::Snapshot;
use serde::ser::{Serialize, SerializeMap, Serializer};
use std::io::{self, Write};
use std::sync::Arc;

/// Writes the whole graph as Amadeus JSON, with two spaces of indentation and a line break at the end.
///
/// # Errors
/// What `out` answers; what was written until then is no whole file.
pub fn export_json(snapshot: &Snapshot, out: &mut impl Write) -> io::Result<()> {
    let mut out = io::BufWriter::with_capacity(64 * 1024, out);
    serde_json::to_writer_pretty(&mut out, &File(snapshot)).map_err(io::Error::from)?;
    out.write_all(b"\n")?;
    out.flush()
}

struct File<'a>(&'a Snapshot);

impl Serialize for File<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let snapshot = self.0;
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("amadeus", &VERSION)?;
        section(&mut map, "entities", || {
            plain_entities(snapshot).map(PlainEntity)
        })?;
        section(&mut map, "services", || {
            of_kind(snapshot, Kind::service()).filter_map(|entity| {
                let body = entity.service()?;
                Some(Service {
                    snapshot,
                    entity,
                    body,
                })
            })
        })?;
        section(&mut map, "patterns", || {
            of_kind(snapshot, Kind::pattern())
                .filter_map(|entity| Some(Pattern(entity, entity.pattern()?)))
        })?;
        section(&mut map, "relations", || {
            relations(snapshot)
                .filter(|relation| listed(snapshot, relation).is_none())
                .map(Edge)
        })?;
        map_unless_empty(&mut map, "documents", snapshot.documents())?;
        map.end()
    }
}

fn of_kind(snapshot: &Snapshot, kind: Kind) -> impl Iterator<Item = &Arc<Entity>> {
    snapshot
        .names(&kind, None, false)
        .filter_map(move |name| snapshot.find(kind.as_str(), name.as_str()))
}

fn plain_entities(snapshot: &Snapshot) -> impl Iterator<Item = &Arc<Entity>> {
    snapshot
        .kinds(false)
        .into_iter()
        .flat_map(|kind| of_kind(snapshot, kind))
        .filter(|entity| matches!(entity.body, Body::Plain))
}

/// The dependency in its service's own list that says all that this relation says; none when it must stand as a relation:
/// it is no dependency, its service has not registered, or its properties are none that a list can hold.
fn listed(snapshot: &Snapshot, relation: &Relation) -> Option<Dependency> {
    if !relation.key.is_dependency() {
        return None;
    }
    let from = snapshot.entity(&relation.key.from)?;
    if from.is_placeholder() {
        return None;
    }
    let dependency = Dependency::from_relation(relation.key.to.name.clone(), &relation.properties);
    dependency_faults(&relation.key.from.name, &dependency)
        .is_empty()
        .then_some(dependency)
}

/// A list of the file, left out when it is empty; one item at a time is in memory.
fn section<M: SerializeMap, I: Iterator<Item: Serialize>>(
    map: &mut M,
    key: &str,
    items: impl Fn() -> I,
) -> Result<(), M::Error> {
    struct Stream<F>(F);
    impl<F: Fn() -> I, I: Iterator<Item: Serialize>> Serialize for Stream<F> {
        fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            serializer.collect_seq((self.0)())
        }
    }
    if items().next().is_none() {
        return Ok(());
    }
    map.serialize_entry(key, &Stream(items))
}

fn text<M: SerializeMap>(map: &mut M, key: &str, text: &str) -> Result<(), M::Error> {
    if text.is_empty() {
        return Ok(());
    }
    map.serialize_entry(key, text)
}

fn list<M: SerializeMap, T: Serialize>(
    map: &mut M,
    key: &str,
    items: &[T],
) -> Result<(), M::Error> {
    if items.is_empty() {
        return Ok(());
    }
    map.serialize_entry(key, items)
}

fn map_unless_empty<M: SerializeMap>(
    map: &mut M,
    key: &str,
    members: &Object,
) -> Result<(), M::Error> {
    if members.is_empty() {
        return Ok(());
    }
    map.serialize_entry(key, &Members(members))
}

struct PlainEntity<'a>(&'a Arc<Entity>);

impl Serialize for PlainEntity<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("kind", self.0.key.kind.as_str())?;
        map.serialize_entry("name", self.0.key.name.as_str())?;
        map_unless_empty(&mut map, "properties", &self.0.properties)?;
        map.end()
    }
}

struct Service<'a> {
    snapshot: &'a Snapshot,
    entity: &'a Arc<Entity>,
    body: &'a ServiceBody,
}

impl Serialize for Service<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let (entity, body) = (self.entity, self.body);
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("name", entity.key.name.as_str())?;
        text(&mut map, "category", &body.category)?;
        text(&mut map, "version", &body.version)?;
        text(&mut map, "owner", &body.owner)?;
        text(&mut map, "description", &body.description)?;
        let capabilities: Vec<&str> = body.capabilities.iter().map(AsRef::as_ref).collect();
        list(&mut map, "capabilities", &capabilities)?;
        let dependencies: Vec<Needs> = self
            .snapshot
            .dependencies(entity)
            .into_iter()
            .filter(|d| dependency_faults(&entity.key.name, d).is_empty())
            .map(Needs)
            .collect();
        list(&mut map, "dependencies", &dependencies)?;
        if body.schema != Schema::default() {
            map.serialize_entry("schema", &Protocol(&body.schema))?;
        }
        let endpoints: Vec<Callable> = body.endpoints.iter().map(Callable).collect();
        list(&mut map, "endpoints", &endpoints)?;
        list(&mut map, "models", &body.models)?;
        text(&mut map, "health_check", &body.health_check)?;
        text(&mut map, "metrics", &body.metrics)?;
        if body.health != Health::Unknown {
            text(&mut map, "health", body.health.as_str())?;
        }
        map_unless_empty(&mut map, "metadata", &entity.properties)?;
        map.end()
    }
}

struct Needs(Dependency);

impl Serialize for Needs {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("service", self.0.service.as_str())?;
        text(&mut map, "version", &self.0.version)?;
        if self.0.optional {
            map.serialize_entry("optional", &true)?;
        }
        map_unless_empty(&mut map, "properties", &self.0.properties)?;
        map.end()
    }
}

struct Protocol<'a>(&'a Schema);

impl Serialize for Protocol<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        text(&mut map, "proto_path", &self.0.proto_path)?;
        list(&mut map, "methods", &self.0.methods)?;
        map.end()
    }
}

struct Callable<'a>(&'a Endpoint);

impl Serialize for Callable<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let endpoint = self.0;
        let mut map = serializer.serialize_map(None)?;
        text(&mut map, "name", &endpoint.name)?;
        text(&mut map, "path", &endpoint.path)?;
        text(&mut map, "method", &endpoint.method)?;
        text(&mut map, "input_type", &endpoint.input_type)?;
        text(&mut map, "output_type", &endpoint.output_type)?;
        text(&mut map, "description", &endpoint.description)?;
        list(&mut map, "tags", &endpoint.tags)?;
        map_unless_empty(&mut map, "metadata", &endpoint.metadata)?;
        map.end()
    }
}

struct Edge(Relation);

impl Serialize for Edge {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let key = &self.0.key;
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("from", &key.from.to_string())?;
        map.serialize_entry("relation", key.label.as_str())?;
        map.serialize_entry("to", &key.to.to_string())?;
        map_unless_empty(&mut map, "properties", &self.0.properties)?;
        map.end()
    }
}

/// The members of an object, each by reference.
struct Members<'a>(&'a Object);

impl Serialize for Members<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(key, value)| (&**key, Json(value))))
    }
}

/// A value by reference, its integers without a fraction.
struct Json<'a>(&'a Value);

impl Serialize for Json<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            Value::Null => serializer.serialize_unit(),
            Value::Bool(flag) => serializer.serialize_bool(*flag),
            Value::Number(number) => match exact_integer(*number) {
                Some(integer) => serializer.serialize_i64(integer),
                None => serializer.serialize_f64(*number),
            },
            Value::String(text) => serializer.serialize_str(text),
            Value::List(items) => serializer.collect_seq(items.iter().map(Json)),
            Value::Object(members) => Members(members).serialize(serializer),
        }
    }
}
