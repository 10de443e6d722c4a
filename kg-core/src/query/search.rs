//! Search: entities by words.
//!
//! Every entity is looked at, in the order in which they are kept; what matches is sorted. There is no index of words:
//! 68,000 entities take a few tens of milliseconds. A budget of entities is spent in the order of kind and name, which
//! costs a look-up each, so that a cut answer is the same on every server.

use super::budget::Budget;
use super::error::QueryError;
use crate::error::Fault;
use crate::model::{
    Body, Entity, EntityId, Kind, Name, Object, PatternBody, ServiceBody, Step, Value,
};
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
    for entity in candidates(snapshot, kinds, budget.max_entities.is_some()) {
        if !meter.visit() {
            truncated = true;
            break;
        }
        if let Some(rank) = wanted.rank(entity) {
            ranks[rank].push(entity.clone());
        }
    }
    for rank in &mut ranks {
        rank.sort_unstable_by(|a, b| a.key.cmp(&b.key));
    }
    Ok(Matches {
        entities: ranks.into_iter().flatten().collect(),
        truncated,
    })
}

fn candidates<'a>(
    snapshot: &'a Snapshot,
    kinds: &[Kind],
    ordered: bool,
) -> Box<dyn Iterator<Item = &'a Arc<Entity>> + 'a> {
    let mut wanted = snapshot.kinds(false);
    wanted.retain(|kind| kinds.is_empty() || kinds.contains(kind));
    if !ordered && kinds.is_empty() {
        return Box::new(
            (0..snapshot.id_bound())
                .filter_map(|id| snapshot.by_id(EntityId::new(id)))
                .filter(|entity| !entity.is_placeholder()),
        );
    }
    Box::new(wanted.into_iter().flat_map(move |kind| {
        let names: Vec<&Name> = snapshot.names(&kind, None, false).collect();
        names
            .into_iter()
            .filter_map(move |name| snapshot.find(kind.as_str(), name.as_str()))
    }))
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
        || body.steps.iter().any(|step| step_texts(step, look))
        || body.inputs.iter().any(|input| {
            look(&input.name) || look(&input.description) || value_texts(&input.default, look)
        })
        || body.outputs.iter().any(|output| {
            look(&output.name) || look(&output.description) || value_texts(&output.value, look)
        })
        || body.classes.keys().any(|class| look(class))
}

fn step_texts(step: &Step, look: Look<'_>) -> bool {
    let words = [
        &step.id,
        &step.kind,
        &step.target,
        &step.action,
        &step.class,
        &step.description,
    ];
    words.into_iter().any(|text| look(text))
        || object_texts(&step.parameters, look)
        || value_texts(&step.condition, look)
        || step.compensation.as_ref().is_some_and(|undo| {
            [&undo.kind, &undo.target, &undo.action]
                .into_iter()
                .any(|text| look(text))
                || object_texts(&undo.parameters, look)
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
