//! The oracle's answers to questions about what entities say: search, validate, prune, describe, pictures.

use super::oracle::{Node, Oracle};
use crate::model::{
    Body, EntityRef, Health, Kind, Label, Name, Object, PatternBody, RelationKey, ServiceBody,
    Step, Value,
};
use crate::query::{Description, Idle, Picture, PictureEdge, PictureNode, Severity};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// How bad, what, and about whom.
pub type Found = (Severity, &'static str, EntityRef);

impl Oracle {
    fn known(&self) -> impl Iterator<Item = (&EntityRef, &Node)> {
        self.entities
            .iter()
            .filter(|(_, node)| node.body != Body::Placeholder)
    }

    fn placeholders(&self) -> impl Iterator<Item = &EntityRef> {
        self.entities
            .iter()
            .filter(|(_, node)| node.body == Body::Placeholder)
            .map(|(key, _)| key)
    }

    /// Names of a kind behind one of them.
    #[must_use]
    pub fn names(&self, kind: &Kind, after: Option<&Name>, placeholders: bool) -> Vec<Name> {
        self.entities
            .iter()
            .filter(|(key, _)| key.kind == *kind && after.is_none_or(|after| key.name > *after))
            .filter(|(_, node)| placeholders || node.body != Body::Placeholder)
            .map(|(key, _)| key.name.clone())
            .collect()
    }

    /// Counts of everything.
    #[must_use]
    pub fn describe(&self, placeholders: bool) -> Description {
        fn counted<T: Ord>(words: impl Iterator<Item = T>) -> Vec<(T, usize)> {
            let mut counts = BTreeMap::new();
            words.for_each(|word| *counts.entry(word).or_insert(0) += 1);
            counts.into_iter().collect()
        }
        let entities = || {
            self.entities
                .iter()
                .filter(|(_, node)| placeholders || node.body != Body::Placeholder)
        };
        let services = || self.known().filter_map(|(_, node)| service(node));
        let some = |text: &String| (!text.is_empty()).then(|| Arc::from(text.as_str()));
        Description {
            entities: entities().count(),
            relations: self.relations.len(),
            placeholders: self.placeholders().count(),
            kinds: counted(entities().map(|(key, _)| key.kind.clone())),
            labels: counted(self.relations.keys().map(|r| r.label.clone())),
            categories: counted(services().filter_map(|body| some(&body.category))),
            capabilities: counted(services().flat_map(|body| body.capabilities.clone())),
            owners: counted(services().filter_map(|body| some(&body.owner))),
            sections: self.documents.keys().cloned().collect(),
        }
    }

    /// What matches, best first, among the first `most` entities; and whether there were more.
    #[must_use]
    pub fn search(
        &self,
        text: &str,
        kinds: &[Kind],
        most: Option<usize>,
    ) -> (Vec<EntityRef>, bool) {
        let text = text.trim().to_lowercase();
        let asked: Vec<_> = self
            .known()
            .filter(|(key, _)| kinds.is_empty() || kinds.contains(&key.kind))
            .collect();
        let most = most.unwrap_or(usize::MAX);
        let mut found: Vec<(usize, EntityRef)> = Vec::new();
        for (key, node) in asked.iter().take(most) {
            let name = key.name.as_str().to_lowercase();
            let says = texts(key, node);
            let rank = if name == text || key.to_string().to_lowercase() == text {
                0
            } else if name.starts_with(&text) {
                1
            } else if name.contains(&text) {
                2
            } else if text
                .split_whitespace()
                .all(|word| says.iter().any(|said| said.to_lowercase().contains(word)))
            {
                3
            } else {
                continue;
            };
            found.push((rank, (*key).clone()));
        }
        found.sort();
        let cut = asked.len() > most;
        (found.into_iter().map(|(_, key)| key).collect(), cut)
    }

    fn is_apart(&self, key: &EntityRef) -> bool {
        !self
            .relations
            .keys()
            .any(|r| r.from == *key || r.to == *key)
    }

    /// Entities that say nothing and are related to nothing.
    #[must_use]
    pub fn prune(&self) -> BTreeSet<EntityRef> {
        self.entities
            .iter()
            .filter(|(key, node)| says_nothing(node) && self.is_apart(key))
            .map(|(key, _)| key.clone())
            .collect()
    }

    /// Whether what is told as idle is that.
    #[must_use]
    pub fn agrees_on_idle(&self, found: &[Idle]) -> bool {
        found.iter().map(|idle| &idle.key).eq(&self.prune())
    }

    /// What a step acts on, and what undoes it, and what it repeats: each text, and what it means.
    fn targets(&self, step: &Step) -> Vec<(String, Option<&EntityRef>)> {
        let mut said = vec![(step.kind.clone(), step.target.clone())];
        if let Some(undo) = &step.compensation {
            said.push((undo.kind.clone(), undo.target.clone()));
        }
        if step.kind == "map"
            && let Some(Value::Object(inner)) = step.parameters.get("step")
        {
            let word = |key| match inner.get(key) {
                Some(Value::String(text)) => text.to_string(),
                _ => String::new(),
            };
            said.push((word("type"), word("target")));
        }
        said.retain(|(_, text)| !text.is_empty());
        said.into_iter()
            .map(|(kind, text)| {
                let pattern = |key: &&EntityRef| key.is_pattern() && key.name.as_str() == text;
                let meant = match kind.as_str() {
                    "pattern" => self.entities.keys().find(pattern),
                    _ => None,
                };
                let meant = meant.or_else(|| self.target(&text));
                (text, meant)
            })
            .collect()
    }

    /// What a target means: the longest beginning that names something.
    fn target(&self, text: &str) -> Option<&EntityRef> {
        let ends = (1..=text.len()).rev().filter(|end| {
            *end == text.len()
                || text.is_char_boundary(*end) && text[*end..].starts_with(['.', '/'])
        });
        let named = |text: &str| {
            let service = |key: &&EntityRef| key.is_service() && key.name.as_str() == text;
            let whole = |key: &&EntityRef| key.to_string() == text;
            let keys = || self.entities.keys();
            keys().find(service).or_else(|| keys().find(whole))
        };
        ends.filter_map(|end| named(&text[..end])).next()
    }

    /// Patterns with a step that acts on one of these.
    #[must_use]
    pub fn patterns_using(&self, used: &BTreeSet<EntityRef>) -> Vec<EntityRef> {
        self.known()
            .filter(|(_, node)| {
                pattern(node).is_some_and(|body| {
                    let mut targets = body.steps.iter().flat_map(|s| self.targets(s));
                    targets.any(|(_, meant)| meant.is_some_and(|key| used.contains(key)))
                })
            })
            .map(|(key, _)| key.clone())
            .collect()
    }

    /// Everything that deserves attention.
    #[must_use]
    pub fn validate(&self) -> Vec<Found> {
        let mut found = Vec::new();
        for key in self.placeholders() {
            let needed = self
                .relations
                .values()
                .filter(|r| r.key.to == *key && r.key.label == Label::depends_on());
            let optional = |r: &crate::model::Relation| {
                r.properties.get("optional") == Some(&Value::Bool(true))
            };
            let severity = if needed.clone().all(optional) {
                Severity::Note
            } else {
                Severity::Warning
            };
            found.push((severity, "placeholder", key.clone()));
        }
        for cycle in self.cycles(&Label::depends_on()) {
            found.push((Severity::Warning, "dependency_cycle", cycle[0].clone()));
        }
        for (key, node) in self.known() {
            if let Some(body) = service(node) {
                self.validate_service(key, node, body, &mut found);
            }
            if let Some(body) = pattern(node) {
                self.validate_pattern(key, body, &mut found);
            }
        }
        found.sort();
        found
    }

    fn validate_service(
        &self,
        key: &EntityRef,
        node: &Node,
        body: &ServiceBody,
        found: &mut Vec<Found>,
    ) {
        for needed in self.dependencies(key) {
            let target = self
                .entities
                .get(&EntityRef::service(needed.service.clone()));
            let Some(offered) = target.and_then(service).map(|body| &body.version) else {
                continue;
            };
            let wanted = needed.version.trim_start_matches('v');
            let line = format!("{wanted}.");
            if !wanted.starts_with(|c: char| c.is_ascii_digit())
                || offered == wanted
                || offered.starts_with(&line)
            {
                continue;
            }
            found.push(match offered.is_empty() {
                true => (Severity::Note, "version_unknown", key.clone()),
                false => (Severity::Warning, "version_mismatch", key.clone()),
            });
        }
        let points_out = self.relations.keys().any(|r| r.from == *key);
        if says_nothing(node) && !points_out {
            found.push((Severity::Note, "empty_service", key.clone()));
        } else if [
            &body.category,
            &body.version,
            &body.owner,
            &body.health_check,
        ]
        .iter()
        .any(|text| text.is_empty())
            || body.capabilities.is_empty()
        {
            found.push((Severity::Note, "incomplete", key.clone()));
        }
    }

    fn validate_pattern(&self, key: &EntityRef, body: &PatternBody, found: &mut Vec<Found>) {
        let mut add = |severity, code| found.push((severity, code, key.clone()));
        if body.steps.is_empty() {
            add(Severity::Note, "empty_pattern");
        }
        for (i, step) in body.steps.iter().enumerate() {
            if body.steps[..i].iter().any(|other| other.id == step.id) {
                add(Severity::Error, "step_repeated");
            }
            for other in &step.depends_on {
                if !body.steps.iter().any(|s| s.id == *other) {
                    add(Severity::Error, "step_missing");
                }
            }
            for (_, meant) in self.targets(step) {
                let body = meant.map(|key| &self.entities[key].body);
                if body.is_none_or(|body| *body == Body::Placeholder) {
                    add(Severity::Warning, "step_target_missing");
                }
            }
        }
        // Whatever waits for nothing that has not started starts.
        let mut started: BTreeSet<&str> = BTreeSet::new();
        let exists = |id: &String| body.steps.iter().any(|s| s.id == *id);
        for _ in &body.steps {
            for step in &body.steps {
                let mut needs = body
                    .steps
                    .iter()
                    .filter(|s| s.id == step.id)
                    .flat_map(|s| &s.depends_on);
                if needs.all(|id| !exists(id) || started.contains(id.as_str())) {
                    started.insert(&step.id);
                }
            }
        }
        if body.steps.iter().any(|s| !started.contains(s.id.as_str())) {
            add(Severity::Error, "step_cycle");
        }
    }

    /// A picture of these entities and the relations of some labels between them.
    #[must_use]
    pub fn picture(&self, shown: &BTreeSet<EntityRef>, relations: &[RelationKey]) -> Picture {
        let place = |key: &EntityRef| {
            shown
                .iter()
                .position(|other| other == key)
                .unwrap_or(usize::MAX)
        };
        let node = |key: &EntityRef| {
            let node = &self.entities[key];
            let category = match (service(node), pattern(node)) {
                (Some(body), _) => body.category.clone(),
                (_, Some(body)) => body.category.clone(),
                _ => String::new(),
            };
            PictureNode {
                key: key.clone(),
                category,
                health: service(node).map_or(Health::Unknown, |body| body.health),
                placeholder: node.body == Body::Placeholder,
                step: None,
            }
        };
        Picture {
            nodes: shown.iter().map(node).collect(),
            edges: relations
                .iter()
                .map(|r| PictureEdge {
                    from: place(&r.from),
                    to: place(&r.to),
                    label: r.label.clone(),
                })
                .collect(),
        }
    }
}

fn service(node: &Node) -> Option<&ServiceBody> {
    match &node.body {
        Body::Service(body) => Some(body),
        _ => None,
    }
}

fn pattern(node: &Node) -> Option<&PatternBody> {
    match &node.body {
        Body::Pattern(body) => Some(body),
        _ => None,
    }
}

fn says_nothing(node: &Node) -> bool {
    let empty = match &node.body {
        Body::Plain | Body::Placeholder => true,
        Body::Service(body) => **body == ServiceBody::default(),
        Body::Pattern(body) => **body == PatternBody::default(),
    };
    empty && node.properties.is_empty()
}

/// Every text that an entity holds.
fn texts(key: &EntityRef, node: &Node) -> Vec<String> {
    let mut out = vec![key.name.to_string()];
    object_texts(&node.properties, &mut out);
    if let Some(body) = service(node) {
        out.extend(body.capabilities.iter().map(ToString::to_string));
        out.extend([
            body.description.clone(),
            body.category.clone(),
            body.owner.clone(),
            body.version.clone(),
            body.schema.proto_path.clone(),
            body.health_check.clone(),
            body.metrics.clone(),
        ]);
        out.extend(body.schema.methods.clone());
        out.extend(body.models.clone());
        for e in &body.endpoints {
            out.extend([
                e.name.clone(),
                e.path.clone(),
                e.method.clone(),
                e.input_type.clone(),
                e.output_type.clone(),
                e.description.clone(),
            ]);
            out.extend(e.tags.clone());
            object_texts(&e.metadata, &mut out);
        }
    }
    if let Some(body) = pattern(node) {
        out.extend([
            body.description.clone(),
            body.category.clone(),
            body.owner.clone(),
            body.version.clone(),
            body.origin.clone(),
        ]);
        for step in &body.steps {
            out.extend([step.id.clone(), step.kind.clone(), step.target.clone()]);
            out.extend([
                step.action.clone(),
                step.class.clone(),
                step.description.clone(),
            ]);
            object_texts(&step.parameters, &mut out);
            value_texts(&step.condition, &mut out);
            if let Some(undo) = &step.compensation {
                out.extend([undo.kind.clone(), undo.target.clone(), undo.action.clone()]);
                object_texts(&undo.parameters, &mut out);
            }
        }
        for input in &body.inputs {
            out.extend([input.name.clone(), input.description.clone()]);
            value_texts(&input.default, &mut out);
        }
        for output in &body.outputs {
            out.extend([output.name.clone(), output.description.clone()]);
            value_texts(&output.value, &mut out);
        }
        out.extend(body.classes.keys().cloned());
    }
    out
}

fn object_texts(members: &Object, out: &mut Vec<String>) {
    for (key, value) in members {
        out.push(key.to_string());
        value_texts(value, out);
    }
}

fn value_texts(value: &Value, out: &mut Vec<String>) {
    match value {
        Value::Null => {}
        Value::Bool(flag) => out.push(flag.to_string()),
        Value::Number(number) => out.push(number.to_string()),
        Value::String(text) => out.push(text.to_string()),
        Value::List(items) => items.iter().for_each(|item| value_texts(item, out)),
        Value::Object(members) => object_texts(members, out),
    }
}
