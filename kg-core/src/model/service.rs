//! Services: what they can do, what they offer, what they need.

use super::name::{Name, check_tag};
use super::value::{Object, Value};
use crate::error::Fault;
use crate::limits::{DEPENDENCIES, LIST_ENTRIES, TEXT_BYTES};
use std::sync::Arc;

/// How a service is doing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Health {
    /// Nobody has said.
    #[default]
    Unknown,
    /// It answers.
    Up,
    /// It answers, but not well.
    Degraded,
    /// It does not answer.
    Down,
}

impl Health {
    /// The word for it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Up => "up",
            Self::Degraded => "degraded",
            Self::Down => "down",
        }
    }

    /// The health that this word names.
    #[must_use]
    pub fn from_word(word: &str) -> Option<Self> {
        [Self::Unknown, Self::Up, Self::Degraded, Self::Down]
            .into_iter()
            .find(|h| h.as_str() == word)
    }
}

/// Where a service's protocol is described, and its methods.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Schema {
    /// Path of the .proto file.
    pub proto_path: String,
    /// Names of the methods, in the order given.
    pub methods: Vec<String>,
}

/// One thing that can be called.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Endpoint {
    /// A name, where it has one.
    pub name: String,
    /// Its path or address.
    pub path: String,
    /// HTTP method or RPC name.
    pub method: String,
    /// Type that it takes.
    pub input_type: String,
    /// Type that it returns.
    pub output_type: String,
    /// What it is for.
    pub description: String,
    /// Free words.
    pub tags: Vec<String>,
    /// Fields of an imported endpoint that have no place of their own (`actions`).
    pub metadata: Object,
}

/// The typed body of a registered service. What it depends on are relations, not a list in here.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ServiceBody {
    /// A group of services.
    pub category: String,
    /// Its version, free text.
    pub version: String,
    /// Who answers for it.
    pub owner: String,
    /// What it is for.
    pub description: String,
    /// What it can do, in the order given, without repetition.
    pub capabilities: Vec<Arc<str>>,
    /// Its protocol.
    pub schema: Schema,
    /// What can be called.
    pub endpoints: Vec<Endpoint>,
    /// Names of its data types.
    pub models: Vec<String>,
    /// Where its health is asked for.
    pub health_check: String,
    /// Where its metrics are.
    pub metrics: String,
    /// How it is doing.
    pub health: Health,
}

/// What one service needs of another. It stands in the graph as a `depends_on` relation whose properties are
/// `properties` and, where they are set, `version` and `optional`.
#[derive(Clone, Debug, PartialEq)]
pub struct Dependency {
    /// The service that is needed.
    pub service: Name,
    /// The version that is needed; empty for any.
    pub version: String,
    /// Whether it works without.
    pub optional: bool,
    /// Anything else.
    pub properties: Object,
}

impl Dependency {
    /// A plain dependency.
    #[must_use]
    pub fn on(service: Name) -> Self {
        Self {
            service,
            version: String::new(),
            optional: false,
            properties: Object::new(),
        }
    }

    /// Parses `name` or `name:version`, the form of the original's files. The last colon divides, and what follows it
    /// must not hold a slash.
    ///
    /// # Errors
    /// A [`Fault`] of `field`.
    pub fn parse(field: &str, text: &str) -> Result<Self, Fault> {
        let (name, version) = match text.rsplit_once(':') {
            Some((name, version))
                if !name.is_empty() && !version.is_empty() && !version.contains('/') =>
            {
                (name, version)
            }
            _ => (text, ""),
        };
        Ok(Self {
            version: version.to_owned(),
            ..Self::on(Name::parse(field, name)?)
        })
    }

    /// `name`, or `name:version` where a version is asked for.
    #[must_use]
    pub fn to_text(&self) -> String {
        if self.version.is_empty() {
            self.service.to_string()
        } else {
            format!("{}:{}", self.service, self.version)
        }
    }

    /// The properties of the relation that stands for this dependency.
    #[must_use]
    pub fn relation_properties(&self) -> Object {
        let mut properties = self.properties.clone();
        if !self.version.is_empty() {
            properties.insert("version".into(), Value::string(&self.version));
        }
        if self.optional {
            properties.insert("optional".into(), Value::Bool(true));
        }
        properties
    }

    /// The dependency that a relation with these properties stands for.
    #[must_use]
    pub fn from_relation(service: Name, properties: &Object) -> Self {
        let mut rest = properties.clone();
        let version = match rest.get("version") {
            Some(Value::String(version)) if !version.is_empty() => version.to_string(),
            _ => String::new(),
        };
        if !version.is_empty() {
            rest.remove("version");
        }
        let optional = rest.get("optional") == Some(&Value::Bool(true));
        if optional {
            rest.remove("optional");
        }
        Self {
            service,
            version,
            optional,
            properties: rest,
        }
    }
}

/// Everything that a registration says.
#[derive(Clone, Debug, PartialEq)]
pub struct ServiceSpec {
    /// Its name.
    pub name: Name,
    /// Its typed body.
    pub body: ServiceBody,
    /// What it needs, in the order given.
    pub dependencies: Vec<Dependency>,
    /// Anything else.
    pub metadata: Object,
}

impl ServiceSpec {
    /// A service of which nothing but the name is known.
    #[must_use]
    pub fn named(name: Name) -> Self {
        Self {
            name,
            body: ServiceBody::default(),
            dependencies: Vec::new(),
            metadata: Object::new(),
        }
    }

    /// Removes repeated capabilities, so that equal registrations are equal.
    #[must_use]
    pub fn normalised(mut self) -> Self {
        let mut seen = std::collections::HashSet::new();
        self.body.capabilities.retain(|c| seen.insert(c.clone()));
        self
    }

    /// Everything that is wrong with it by itself, apart from the graph that it goes to.
    #[must_use]
    pub fn faults(&self) -> Vec<Fault> {
        let mut faults = Faults::default();
        let body = &self.body;
        faults.text("category", &body.category);
        faults.text("version", &body.version);
        faults.text("owner", &body.owner);
        faults.text("description", &body.description);
        faults.text("health_check", &body.health_check);
        faults.text("metrics", &body.metrics);
        faults.count("capabilities", body.capabilities.len(), LIST_ENTRIES);
        for (i, capability) in body.capabilities.iter().enumerate() {
            faults.keep(check_tag(&format!("capabilities[{i}]"), capability));
        }
        for (field, word) in [("category", &body.category), ("owner", &body.owner)] {
            if !word.is_empty() {
                faults.keep(check_tag(field, word));
            }
        }
        faults.text("schema.proto_path", &body.schema.proto_path);
        faults.texts("schema.methods", &body.schema.methods);
        faults.texts("models", &body.models);
        faults.count("endpoints", body.endpoints.len(), LIST_ENTRIES);
        for (i, endpoint) in body.endpoints.iter().enumerate() {
            let at = |field: &str| format!("endpoints[{i}].{field}");
            faults.text(&at("name"), &endpoint.name);
            faults.text(&at("path"), &endpoint.path);
            faults.text(&at("method"), &endpoint.method);
            faults.text(&at("input_type"), &endpoint.input_type);
            faults.text(&at("output_type"), &endpoint.output_type);
            faults.text(&at("description"), &endpoint.description);
            faults.texts(&at("tags"), &endpoint.tags);
            faults.keep(super::relation::check_properties(
                &at("metadata"),
                &endpoint.metadata,
            ));
        }
        faults.keep(super::relation::check_properties(
            "metadata",
            &self.metadata,
        ));
        faults.count("dependencies", self.dependencies.len(), DEPENDENCIES);
        let mut seen = std::collections::HashMap::new();
        for (i, dependency) in self.dependencies.iter().enumerate() {
            let at = format!("dependencies[{i}]");
            faults.list.extend(
                dependency_faults(&self.name, dependency)
                    .into_iter()
                    .map(|f| f.under(&at)),
            );
            if let Some(first) = seen.insert(dependency.service.clone(), i) {
                faults.list.push(Fault::new(
                    at,
                    format!(
                        "names {} again, as dependencies[{first}] does",
                        dependency.service
                    ),
                ));
            }
        }
        faults.list
    }
}

/// Everything that is wrong with one dependency of `owner`, with fields relative to the dependency.
#[must_use]
pub fn dependency_faults(owner: &Name, dependency: &Dependency) -> Vec<Fault> {
    let mut faults = Faults::default();
    if dependency.service == *owner {
        faults.list.push(Fault::new(
            "service",
            format!("is {owner} itself: a service cannot depend on itself"),
        ));
    }
    faults.text("version", &dependency.version);
    for reserved in ["version", "optional"] {
        if dependency.properties.contains_key(reserved) {
            faults.list.push(Fault::new(
                format!("properties.{reserved}"),
                "has a field of its own in a dependency: set it there",
            ));
        }
    }
    faults.keep(super::relation::check_properties(
        "properties",
        &dependency.properties,
    ));
    faults.list
}

/// Collects the faults of one value.
#[derive(Default)]
pub(crate) struct Faults {
    /// What was found.
    pub list: Vec<Fault>,
}

impl Faults {
    pub(crate) fn keep(&mut self, outcome: Result<(), Fault>) {
        self.list.extend(outcome.err());
    }

    pub(crate) fn count(&mut self, field: &str, count: usize, limit: usize) {
        if count > limit {
            self.list.push(Fault::new(
                field,
                format!("has {count} entries, at most {limit} are allowed"),
            ));
        }
    }

    pub(crate) fn text(&mut self, field: &str, text: &str) {
        self.keep(check_text(field, text));
    }

    pub(crate) fn texts(&mut self, field: &str, texts: &[String]) {
        self.count(field, texts.len(), LIST_ENTRIES);
        for (i, text) in texts.iter().enumerate() {
            self.keep(check_text(&format!("{field}[{i}]"), text));
        }
    }
}

/// Checks a free-text field: bounded, and without control characters other than line breaks and tabs.
///
/// # Errors
/// A [`Fault`] of `field`.
pub fn check_text(field: &str, text: &str) -> Result<(), Fault> {
    if text.len() > TEXT_BYTES {
        return Err(Fault::new(
            field,
            format!("has {} bytes, at most {TEXT_BYTES} are allowed", text.len()),
        ));
    }
    if let Some(bad) = text
        .chars()
        .find(|c| c.is_control() && !matches!(c, '\n' | '\r' | '\t'))
    {
        return Err(Fault::new(
            field,
            format!(
                "must not contain the control character U+{:04X}",
                bad as u32
            ),
        ));
    }
    Ok(())
}
