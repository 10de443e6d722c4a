//! Search: entities by words.
//!
//! Every entity is looked at, in the order of the answer, so that nothing has to be sorted. There is no index of words:
//! 68,000 entities take a few tens of milliseconds, and a budget bounds more.

use super::budget::Budget;
use super::error::QueryError;
use crate::error::Fault;
use crate::model::{Body, Entity, Kind, Object, PatternBody, ServiceBody, Value};
use crate::snapshot::Snapshot;
use std::sync::Arc;

/// What matched.
#[derive(Clone, Debug)]
pub struct Matches {
    /// Ordered by how well they match, then by kind and name: the name itself (or `kind/name`), names that begin with the
    /// text, names that hold it, then what holds each of its words anywhere.
    pub entities: Vec<Arc<Entity>>,
    /// Whether the budget ended the search before it was complete.
    pub truncated: bool,
}

/// Entities that match `text` without regard to case, of these kinds, or of every kind if there are none. Placeholders
/// say nothing and are not found.
///
/// # Errors
/// No words, a budget of zero, or one with a depth.
pub fn search(
    snapshot: &Snapshot,
    text: &str,
    kinds: &[Kind],
    budget: &Budget<'_>,
) -> Result<Matches, QueryError> {
    budget.check_without_depth()?;
    let Some(wanted) = Wanted::parse(text) else {
        return Err(Fault::new("text", "must hold at least one word").into());
    };
    let mut meter = budget.meter();
    let mut ranks: [Vec<Arc<Entity>>; RANKS] = Default::default();
    let mut truncated = false;
    'kinds: for kind in snapshot.kinds(false) {
        if !kinds.is_empty() && !kinds.contains(&kind) {
            continue;
        }
        for name in snapshot.names(&kind, None, false) {
            let Some(entity) = snapshot.find(kind.as_str(), name.as_str()) else {
                continue;
            };
            if !meter.visit() {
                truncated = true;
                break 'kinds;
            }
            if let Some(rank) = wanted.rank(entity) {
                ranks[rank].push(entity.clone());
            }
        }
    }
    Ok(Matches {
        entities: ranks.into_iter().flatten().collect(),
        truncated,
    })
}

const RANKS: usize = 4;

struct Wanted {
    text: Needle,
    words: Vec<Needle>,
}

impl Wanted {
    fn parse(text: &str) -> Option<Self> {
        let words: Vec<Needle> = text.split_whitespace().map(Needle::new).collect();
        (!words.is_empty()).then(|| Self {
            text: Needle::new(text.trim()),
            words,
        })
    }

    fn rank(&self, entity: &Entity) -> Option<usize> {
        let name = entity.key.name.as_str();
        match self.text.place(name) {
            Some(Place::Whole) => return Some(0),
            Some(Place::Start) => return Some(1),
            Some(Place::Inside) => return Some(2),
            None => {}
        }
        if self.text.0.contains('/')
            && self.text.place(&entity.key.to_string()) == Some(Place::Whole)
        {
            return Some(0);
        }
        let mut missing: Vec<&Needle> = self.words.iter().collect();
        // Stops at the first text after which nothing is missing.
        let found = texts(entity, &mut |text| {
            missing.retain(|word| word.place(text).is_none());
            missing.is_empty()
        });
        found.then_some(3)
    }
}

#[derive(PartialEq)]
enum Place {
    Whole,
    Start,
    Inside,
}

/// A word in lower case.
struct Needle(String);

impl Needle {
    fn new(word: &str) -> Self {
        Self(word.to_lowercase())
    }

    /// Where it first stands in `text`, without regard to case.
    fn place(&self, text: &str) -> Option<Place> {
        let (at, length) = if text.is_ascii() {
            // No copy: almost every text is ASCII, and most do not match.
            let (text, needle) = (text.as_bytes(), self.0.as_bytes());
            let at = text
                .windows(needle.len())
                .position(|part| part.eq_ignore_ascii_case(needle))?;
            (at, text.len())
        } else {
            let lower = text.to_lowercase();
            (lower.find(&self.0)?, lower.len())
        };
        Some(match (at, length == self.0.len()) {
            (0, true) => Place::Whole,
            (0, false) => Place::Start,
            _ => Place::Inside,
        })
    }
}

type Look<'a> = &'a mut dyn FnMut(&str) -> bool;

/// Shows every text of an entity to `look`, until it has seen enough; whether it has.
fn texts(entity: &Entity, look: Look<'_>) -> bool {
    look(entity.key.name.as_str())
        || match &entity.body {
            Body::Service(body) => service_texts(body, look),
            Body::Pattern(body) => pattern_texts(body, look),
            Body::Plain | Body::Placeholder => false,
        }
        || object_texts(&entity.properties, look)
}

fn service_texts(body: &ServiceBody, look: Look<'_>) -> bool {
    body.capabilities.iter().any(|text| look(text))
        || [
            &body.description,
            &body.category,
            &body.owner,
            &body.version,
            &body.schema.proto_path,
            &body.health_check,
            &body.metrics,
        ]
        .into_iter()
        .any(|text| look(text))
        || body.schema.methods.iter().any(|text| look(text))
        || body.models.iter().any(|text| look(text))
        || body.endpoints.iter().any(|endpoint| {
            [
                &endpoint.name,
                &endpoint.path,
                &endpoint.method,
                &endpoint.input_type,
                &endpoint.output_type,
                &endpoint.description,
            ]
            .into_iter()
            .chain(&endpoint.tags)
            .any(|text| look(text))
                || object_texts(&endpoint.metadata, look)
        })
}

fn pattern_texts(body: &PatternBody, look: Look<'_>) -> bool {
    [
        &body.description,
        &body.category,
        &body.owner,
        &body.version,
        &body.origin,
    ]
    .into_iter()
    .any(|text| look(text))
        || body.steps.iter().any(|step| {
            [&step.id, &step.kind, &step.target]
                .into_iter()
                .any(|text| look(text))
                || object_texts(&step.parameters, look)
        })
}

fn object_texts(members: &Object, look: Look<'_>) -> bool {
    members
        .iter()
        .any(|(key, value)| look(key) || value_texts(value, look))
}

/// As deep as a value may be nested, which is 32 levels.
fn value_texts(value: &Value, look: Look<'_>) -> bool {
    match value {
        Value::Null => false,
        Value::Bool(_) | Value::Number(_) => look(&value.to_json()),
        Value::String(text) => look(text),
        Value::List(items) => items.iter().any(|item| value_texts(item, look)),
        Value::Object(members) => object_texts(members, look),
    }
}
