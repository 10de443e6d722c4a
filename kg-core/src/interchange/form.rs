//! Which form a file has, told from its structure alone.

use super::faults::Faults;
use super::tree;
use crate::error::Fault;
use crate::model::{Object, Value};
use std::fmt;

/// A form of JSON file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// Our own: `{"amadeus": 1, ...}`.
    Amadeus,
    /// The original's `knowledge_graph.json`: `services` maps names to services, beside documents.
    KnowledgeGraph,
    /// The original's `service_graph.json`: `services`, and `dependencies` as a list of edges.
    ServiceGraph,
    /// The original's `service_registration.json`: a list of registrations.
    ServiceRegistration,
}

impl fmt::Display for Form {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Amadeus => "Amadeus JSON",
            Self::KnowledgeGraph => "knowledge_graph.json",
            Self::ServiceGraph => "service_graph.json",
            Self::ServiceRegistration => "service_registration.json",
        })
    }
}

/// The form of a file.
///
/// # Errors
/// The fault of a text that is not JSON, that is in a form which is known and not read, or in none that is known.
pub fn recognise(text: &[u8]) -> Result<Form, Fault> {
    let mut faults = Faults::default();
    match tree::parse(text, &mut faults) {
        Some(value) => of(&value),
        None => Err(faults
            .into_list()
            .pop()
            .unwrap_or_else(|| Fault::new("", "is not JSON"))),
    }
}

pub(super) fn of(value: &Value) -> Result<Form, Fault> {
    match value {
        Value::Object(top) => of_object(top),
        Value::List(items) if items.iter().any(|item| item.as_object().is_some()) => {
            Ok(Form::ServiceRegistration)
        }
        other => Err(unknown(&format!("it is {}", other.type_name()))),
    }
}

fn of_object(top: &Object) -> Result<Form, Fault> {
    let is_object = |key: &str| top.get(key).is_some_and(|v| v.as_object().is_some());
    if top.contains_key("amadeus") {
        return Ok(Form::Amadeus);
    }
    if let Some(services) = top.get("services").and_then(Value::as_object)
        && let Some((category, _)) = services.iter().find(|(_, member)| is_category(member))
    {
        return Err(nested(category));
    }
    if top
        .get("dependencies")
        .is_some_and(|v| v.as_list().is_some())
    {
        return Ok(Form::ServiceGraph);
    }
    if is_object("services") || (top.contains_key("version") && top.contains_key("last_updated")) {
        return Ok(Form::KnowledgeGraph);
    }
    let mut keys: Vec<String> = top.keys().take(5).map(|k| format!("{k:?}")).collect();
    if top.len() > keys.len() {
        keys.push("...".into());
    }
    Err(unknown(&if keys.is_empty() {
        "it is an empty object".to_owned()
    } else {
        format!("it is an object of {}", keys.join(", "))
    }))
}

/// Whether a member of `services` is no service but a category of them: everything in it is an object, and not only such
/// as a service has itself.
fn is_category(member: &Value) -> bool {
    let Some(members) = member.as_object() else {
        return false;
    };
    members.values().all(|v| v.as_object().is_some())
        && members
            .keys()
            .any(|key| !matches!(key.as_ref(), "metadata" | "schema" | "action_map"))
}

fn nested(category: &str) -> Fault {
    Fault::new(
        format!("services.{}", crate::model::path::part(category)),
        "is a category of services, not a service: this is the original's older nested form of knowledge_graph.json, which \
         is not read, because its free-form details have no place here; nothing was imported. Save it with a newer \
         version of the original first, or write its services as Amadeus JSON",
    )
}

fn unknown(found: &str) -> Fault {
    Fault::new(
        "",
        format!(
            "is in no form that is known: {found}. Known are Amadeus JSON ({{\"amadeus\": 1, ...}}) and the original's \
             knowledge_graph.json (an object with \"services\" by name), service_graph.json (an object with \"services\" and \
             a list of \"dependencies\") and service_registration.json (a list of services)"
        ),
    )
}
