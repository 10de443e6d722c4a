//! The original's three JSON forms. They are read leniently, as their writer wrote them: a field that has no place of its
//! own goes into the metadata and comes out again.

use super::faults::Faults;
use super::import::Draft;
use super::own::documents;
use crate::error::Fault;
use crate::model::path::part;
use crate::model::relation::check_properties;
use crate::model::shape::{pattern_from_object, service_from_object};
use crate::model::{Dependency, EntityRef, Label, Name, Object, RelationKey, ServiceSpec, Value};
use crate::mutation::Mutation;
use std::collections::{BTreeMap, HashMap, HashSet};

/// The original's word for a dependency, in its graph file and in tables made from it.
const REQUIRES: &str = "requires";

/// The label that a word of the original's stands for.
pub(super) fn label(field: &str, word: &str) -> Result<Label, Fault> {
    if word == REQUIRES {
        Ok(Label::depends_on())
    } else {
        Label::parse(field, word)
    }
}

/// `services` and `patterns` by name; every other key is a document.
pub(super) fn knowledge_graph(value: &Value, draft: &mut Draft, faults: &mut Faults) {
    let Some(top) = value.as_object() else {
        return;
    };
    let mut husks = Vec::new();
    each_member(top, "services", faults, |at, name, members, faults| {
        if members.get("name").and_then(Value::as_str) == Some("") {
            husks.push(name.to_string());
        }
        match service(name, members) {
            Ok(spec) => draft.mutations.push(register(spec)),
            Err(found) => faults.take_under(at, found),
        }
    });
    if !husks.is_empty() {
        let husks = husks.join(", ");
        draft.warnings.push(format!(
            "services without a name of their own take their key: {husks}"
        ));
    }
    each_member(
        top,
        "patterns",
        faults,
        |at, name, members, faults| match pattern_from_object(name, members) {
            Ok(spec) => draft.mutations.push(Mutation::PutPattern(Box::new(spec))),
            Err(found) => faults.take_under(at, found),
        },
    );
    documents("", &without(top, &["services", "patterns"]), draft, faults);
}

/// `services` by name, `dependencies` as edges; every other key is a document.
pub(super) fn service_graph(value: &Value, draft: &mut Draft, faults: &mut Faults) {
    let Some(top) = value.as_object() else {
        return;
    };
    let mut services: BTreeMap<Name, ServiceSpec> = BTreeMap::new();
    each_member(
        top,
        "services",
        faults,
        |at, name, members, faults| match service(name, members) {
            Ok(spec) => drop(services.insert(name.clone(), spec)),
            Err(found) => faults.take_under(at, found),
        },
    );
    let mut loose = Vec::new();
    let mut seen = HashMap::new();
    let edges = top.get("dependencies").and_then(Value::as_list);
    for (i, item) in edges.into_iter().flatten().enumerate() {
        let at = format!("dependencies[{i}]");
        let Some((key, properties)) = edge(&at, item, faults) else {
            continue;
        };
        if let Some(first) = seen.insert(key.clone(), i) {
            draft.warnings.push(format!(
                "{at} repeats dependencies[{first}] and was passed over: {key}"
            ));
            continue;
        }
        // A dependency of a service of the file goes into its list, where the order of the file is kept.
        match services.get_mut(&key.from.name) {
            Some(spec) if key.is_dependency() => {
                let dependency = Dependency::from_relation(key.to.name.clone(), &properties);
                if !spec.dependencies.iter().any(|d| d.service == key.to.name) {
                    spec.dependencies.push(dependency);
                }
            }
            _ => loose.push(Mutation::PutRelation {
                key,
                properties,
                create_ends: true,
            }),
        }
    }
    for (name, spec) in services {
        // Those of the edges; the rest was looked at when it was read.
        faults.take_under(&format!("services.{}", part(name.as_str())), spec.faults());
        draft.mutations.push(register(spec));
    }
    draft.mutations.append(&mut loose);
    documents(
        "",
        &without(top, &["services", "dependencies"]),
        draft,
        faults,
    );
}

fn edge(at: &str, item: &Value, faults: &mut Faults) -> Option<(RelationKey, Object)> {
    let Some(members) = item.as_object() else {
        faults.add(at, format!("must be an object, not {}", item.type_name()));
        return None;
    };
    let mut text = |key: &str| match members.get(key) {
        Some(Value::String(text)) => text.as_ref(),
        None => "",
        Some(other) => {
            faults.add(
                format!("{at}.{key}"),
                format!("must be a string, not {}", other.type_name()),
            );
            ""
        }
    };
    let (from, to, kind) = (text("from"), text("to"), text("type"));
    let from = faults.keep(Name::parse(&format!("{at}.from"), from));
    let to = faults.keep(Name::parse(&format!("{at}.to"), to));
    let label = faults.keep(label(&format!("{at}.type"), kind));
    let properties = without(members, &["from", "to", "type"]);
    faults.keep(check_properties(at, &properties));
    let key = RelationKey {
        from: EntityRef::service(from?),
        label: label?,
        to: EntityRef::service(to?),
    };
    if key.from == key.to && key.label == Label::depends_on() {
        faults.add(
            format!("{at}.to"),
            format!(
                "is {} itself: a service cannot depend on itself",
                key.to.name
            ),
        );
        return None;
    }
    Some((key, properties))
}

/// A list of registrations.
pub(super) fn registrations(value: &Value, draft: &mut Draft, faults: &mut Faults) {
    let mut seen: HashMap<Name, usize> = HashMap::new();
    for (i, item) in value.as_list().into_iter().flatten().enumerate() {
        let at = format!("[{i}]");
        let Some(members) = item.as_object() else {
            faults.add(at, format!("must be an object, not {}", item.type_name()));
            continue;
        };
        let field = format!("{at}.name");
        let name = match members.get("name") {
            Some(Value::String(name)) => Name::parse(&field, name),
            None => Err(Fault::new(field, "is missing: a registration has a name")),
            Some(other) => Err(Fault::new(
                field,
                format!("must be a string, not {}", other.type_name()),
            )),
        };
        let Some(name) = faults.keep(name) else {
            continue;
        };
        if let Some(first) = seen.insert(name.clone(), i) {
            faults.add(
                format!("{at}.name"),
                format!("is {name}, as [{first}].name is"),
            );
        }
        match service(&name, members) {
            Ok(spec) => draft.mutations.push(register(spec)),
            Err(found) => faults.take_under(&at, found),
        }
    }
}

/// Reads a service. What has no place of its own goes into its metadata, unless something else stands there already.
fn service(name: &Name, members: &Object) -> Result<ServiceSpec, Vec<Fault>> {
    let spec = service_from_object(name, members, &[])?;
    let metadata = members.get("metadata").and_then(Value::as_object);
    let lost: Vec<Fault> = metadata
        .into_iter()
        .flatten()
        .filter(|(key, value)| spec.metadata.get(*key).is_some_and(|kept| kept != *value))
        .map(|(key, _)| {
            Fault::new(
                format!("metadata.{}", part(key)),
                format!("contradicts {key} beside metadata: give one of them"),
            )
        })
        .collect();
    if lost.is_empty() { Ok(spec) } else { Err(lost) }
}

fn register(spec: ServiceSpec) -> Mutation {
    Mutation::RegisterService {
        service: Box::new(spec),
        strict: false,
    }
}

/// Goes through the members of a section that maps names to objects.
fn each_member(
    top: &Object,
    section: &str,
    faults: &mut Faults,
    mut read: impl FnMut(&str, &Name, &Object, &mut Faults),
) {
    let members = match top.get(section) {
        None | Some(Value::Null) => return,
        Some(Value::Object(members)) => members,
        Some(other) => {
            let found = other.type_name();
            faults.add(section, format!("must be an object by name, not {found}"));
            return;
        }
    };
    for (key, value) in members {
        let at = format!("{section}.{}", part(key));
        let name = faults.keep(Name::parse(&at, key));
        match value.as_object() {
            None => faults.add(at, format!("must be an object, not {}", value.type_name())),
            Some(members) => {
                if let Some(name) = name {
                    read(&at, &name, members, faults);
                }
            }
        }
    }
}

fn without(object: &Object, keys: &[&str]) -> Object {
    let gone: HashSet<&str> = keys.iter().copied().collect();
    object
        .iter()
        .filter(|(key, _)| !gone.contains(key.as_ref()))
        .map(|(key, value)| (key.clone(), value.clone()))
        .collect()
}
