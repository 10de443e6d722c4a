//! Our own JSON form, read strictly: a field that is not known is a fault, so that a misspelling is never lost.

mod pattern;

use super::faults::Faults;
use super::fields::Fields;
use super::import::Draft;
use crate::model::path::part;
use crate::model::relation::check_properties;
use crate::model::{
    Dependency, Endpoint, EntityRef, Health, Kind, Label, Name, Object, Part, Path, RelationKey,
    Schema, ServiceBody, ServiceSpec, Value,
};
use crate::mutation::Mutation;
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::hash::Hash;
use std::sync::Arc;

/// The version of the form that is written and read.
pub(super) const VERSION: u32 = 1;

pub(super) fn read(value: &Value, draft: &mut Draft, faults: &mut Faults) {
    const KNOWN: [&str; 6] = [
        "amadeus",
        "entities",
        "services",
        "patterns",
        "relations",
        "documents",
    ];
    let Some(top) = Fields::open(String::new(), value, "an Amadeus file", &KNOWN, faults) else {
        return;
    };
    if top.get("amadeus") != Some(&Value::Number(f64::from(VERSION))) {
        let found = top.get("amadeus").map(Value::to_json).unwrap_or_default();
        faults.add(
            "amadeus",
            format!("is {found}: this program reads version {VERSION} of the form"),
        );
        return;
    }
    let mut ends = Ends::default();
    entities(&top, draft, &mut ends, faults);
    services(&top, draft, &mut ends, faults);
    patterns(&top, draft, &mut ends, faults);
    relations(&top, draft, &ends, faults);
    if let Some(sections) = top.get("documents") {
        match sections.as_object() {
            Some(sections) => documents("documents", sections, draft, faults),
            None => faults.add(
                "documents",
                format!("must be an object, not {}", sections.type_name()),
            ),
        }
    }
}

/// One mutation for each section of the documents.
pub(super) fn documents(at: &str, sections: &Object, draft: &mut Draft, faults: &mut Faults) {
    use crate::limits::DOCUMENT_BYTES;
    for (key, value) in sections {
        let field = if at.is_empty() {
            part(key)
        } else {
            format!("{at}.{}", part(key))
        };
        if matches!(key.as_ref(), "services" | "patterns") {
            faults.add(
                field,
                "is a section of typed bodies and no document: list its members at the top",
            );
            continue;
        }
        faults.keep(value.check().map_err(|f| f.under(&field)));
        let bytes = value.json_len();
        if bytes > DOCUMENT_BYTES {
            faults.add(
                field,
                format!("has {bytes} bytes of JSON, at most {DOCUMENT_BYTES} are allowed"),
            );
            continue;
        }
        if let Some(path) = Path::from_parts(vec![Part::Key(key.clone())]) {
            draft.mutations.push(Mutation::UpdateNode {
                path,
                value: value.clone(),
            });
        }
    }
}

/// Where each thing of the file was given first.
#[derive(Default)]
struct Ends(HashMap<EntityRef, String>);

impl Ends {
    fn declare(&mut self, key: EntityRef, at: &str, faults: &mut Faults) {
        once(&mut self.0, key, at, faults);
    }

    /// Whether this end of a relation stands in the graph once the file's own mutations are done, or may be made.
    fn stands(&self, end: &EntityRef) -> bool {
        end.is_service() || self.0.contains_key(end)
    }
}

fn once<K: Hash + Eq>(seen: &mut HashMap<K, String>, key: K, at: &str, faults: &mut Faults) {
    match seen.entry(key) {
        Entry::Occupied(first) => faults.add(at, format!("repeats {}", first.get())),
        Entry::Vacant(place) => drop(place.insert(at.to_owned())),
    }
}

fn entities(top: &Fields<'_>, draft: &mut Draft, ends: &mut Ends, faults: &mut Faults) {
    let known = ["kind", "name", "properties"];
    let read = top.each("entities", faults, |at, item, faults| {
        let fields = Fields::open(at.clone(), item, "an entity", &known, faults)?;
        let kind = Kind::parse(&fields.path("kind"), fields.text("kind", faults));
        let kind = faults.keep(kind);
        let name = Name::parse(&fields.path("name"), fields.text("name", faults));
        let name = faults.keep(name);
        let properties = fields.object("properties", faults);
        faults.keep(check_properties(&fields.path("properties"), &properties));
        let key = EntityRef::new(kind?, name?);
        if key.is_service() || key.is_pattern() {
            faults.add(
                fields.path("kind"),
                format!("is {0}: it belongs in the list {0}s", key.kind),
            );
        }
        ends.declare(key.clone(), &at, faults);
        Some(Mutation::PutEntity { key, properties })
    });
    draft.mutations.extend(read);
}

fn services(top: &Fields<'_>, draft: &mut Draft, ends: &mut Ends, faults: &mut Faults) {
    let read = top.each("services", faults, |at, item, faults| {
        let spec = service(&at, item, faults)?;
        ends.declare(EntityRef::service(spec.name.clone()), &at, faults);
        faults.take_under(&at, spec.faults());
        Some(Mutation::RegisterService {
            service: Box::new(spec),
            strict: false,
        })
    });
    draft.mutations.extend(read);
}

fn service(at: &str, value: &Value, faults: &mut Faults) -> Option<ServiceSpec> {
    const KNOWN: [&str; 14] = [
        "name",
        "category",
        "version",
        "owner",
        "description",
        "capabilities",
        "dependencies",
        "schema",
        "endpoints",
        "models",
        "health_check",
        "metrics",
        "health",
        "metadata",
    ];
    let fields = Fields::open(at.to_owned(), value, "a service", &KNOWN, faults)?;
    let name = Name::parse(&fields.path("name"), fields.text("name", faults));
    let name = faults.keep(name);
    let word = fields.text("health", faults);
    let health = if word.is_empty() {
        Health::Unknown
    } else {
        Health::from_word(word).unwrap_or_else(|| {
            faults.add(
                fields.path("health"),
                format!("{word:?} is none of unknown, up, degraded, down"),
            );
            Health::Unknown
        })
    };
    let body = ServiceBody {
        category: fields.owned("category", faults),
        version: fields.owned("version", faults),
        owner: fields.owned("owner", faults),
        description: fields.owned("description", faults),
        capabilities: fields
            .texts("capabilities", faults)
            .into_iter()
            .map(Arc::from)
            .collect(),
        schema: schema(&fields, faults),
        endpoints: fields.each("endpoints", faults, endpoint),
        models: fields.texts("models", faults),
        health_check: fields.owned("health_check", faults),
        metrics: fields.owned("metrics", faults),
        health,
    };
    let dependencies = fields.each("dependencies", faults, dependency);
    let metadata = fields.object("metadata", faults);
    let spec = ServiceSpec {
        name: name?,
        body,
        dependencies,
        metadata,
    };
    Some(spec.normalised())
}

fn schema(service: &Fields<'_>, faults: &mut Faults) -> Schema {
    let Some(value) = service.get("schema") else {
        return Schema::default();
    };
    let known = ["proto_path", "methods"];
    Fields::open(service.path("schema"), value, "a schema", &known, faults)
        .map(|fields| Schema {
            proto_path: fields.owned("proto_path", faults),
            methods: fields.texts("methods", faults),
        })
        .unwrap_or_default()
}

fn endpoint(at: String, value: &Value, faults: &mut Faults) -> Option<Endpoint> {
    const KNOWN: [&str; 8] = [
        "name",
        "path",
        "method",
        "input_type",
        "output_type",
        "description",
        "tags",
        "metadata",
    ];
    let fields = Fields::open(at, value, "an endpoint", &KNOWN, faults)?;
    Some(Endpoint {
        name: fields.owned("name", faults),
        path: fields.owned("path", faults),
        method: fields.owned("method", faults),
        input_type: fields.owned("input_type", faults),
        output_type: fields.owned("output_type", faults),
        description: fields.owned("description", faults),
        tags: fields.texts("tags", faults),
        metadata: fields.object("metadata", faults),
    })
}

fn dependency(at: String, value: &Value, faults: &mut Faults) -> Option<Dependency> {
    let known = ["service", "version", "optional", "properties"];
    let fields = Fields::open(at, value, "a dependency", &known, faults)?;
    let service = Name::parse(&fields.path("service"), fields.text("service", faults));
    let service = faults.keep(service);
    let version = fields.owned("version", faults);
    let optional = fields.flag("optional", faults);
    let properties = fields.object("properties", faults);
    Some(Dependency {
        service: service?,
        version,
        optional,
        properties,
    })
}

fn patterns(top: &Fields<'_>, draft: &mut Draft, ends: &mut Ends, faults: &mut Faults) {
    let read = top.each("patterns", faults, |at, item, faults| {
        let spec = pattern::pattern(&at, item, faults)?;
        let key = EntityRef::new(Kind::pattern(), spec.name.clone());
        ends.declare(key, &at, faults);
        faults.take_under(&at, spec.faults());
        Some(Mutation::PutPattern(Box::new(spec)))
    });
    draft.mutations.extend(read);
}

fn relations(top: &Fields<'_>, draft: &mut Draft, ends: &Ends, faults: &mut Faults) {
    let mut seen = listed_dependencies(draft);
    let known = ["from", "relation", "to", "properties"];
    let read = top.each("relations", faults, |at, item, faults| {
        let fields = Fields::open(at.clone(), item, "a relation", &known, faults)?;
        let from = EntityRef::parse(&fields.path("from"), fields.text("from", faults));
        let from = faults.keep(from);
        let label = Label::parse(&fields.path("relation"), fields.text("relation", faults));
        let label = faults.keep(label);
        let to = EntityRef::parse(&fields.path("to"), fields.text("to", faults));
        let to = faults.keep(to);
        let properties = fields.object("properties", faults);
        faults.keep(check_properties(&fields.path("properties"), &properties));
        let key = RelationKey {
            from: from?,
            label: label?,
            to: to?,
        };
        if key.from == key.to && key.label == Label::depends_on() {
            faults.add(
                fields.path("to"),
                format!("is {} itself: nothing depends on itself", key.from),
            );
        }
        once(&mut seen, key.clone(), &at, faults);
        Some(Mutation::PutRelation {
            // Only services are made for being named: any other end that is nowhere is likelier a misspelling, and the
            // transaction is refused unless the graph has it.
            create_ends: ends.stands(&key.from) && ends.stands(&key.to),
            key,
            properties,
        })
    });
    draft.mutations.extend(read);
}

/// The dependencies that the services of the file list, so that none is given again as a relation.
fn listed_dependencies(draft: &Draft) -> HashMap<RelationKey, String> {
    let mut seen = HashMap::new();
    for mutation in &draft.mutations {
        if let Mutation::RegisterService { service, .. } = mutation {
            for dependency in &service.dependencies {
                let key = RelationKey {
                    from: EntityRef::service(service.name.clone()),
                    label: Label::depends_on(),
                    to: EntityRef::service(dependency.service.clone()),
                };
                seen.insert(key, format!("a dependency of {}", service.name));
            }
        }
    }
    seen
}
