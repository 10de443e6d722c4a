//! What the two plainest lists say of a graph, and what a naive search over them finds.

use std::collections::{BTreeMap, BTreeSet};

use amadeus_proto::v1;

use super::pages;
use crate::harness::{Server, key};

/// A relation: from, label, to.
pub type Edge = (String, String, String);

/// A graph as `ListEntities` and `ListRelations` tell it.
pub struct Said {
    /// Every entity by `kind/name`, placeholders among them.
    pub entities: BTreeMap<String, v1::Entity>,
    /// Every relation.
    pub edges: BTreeSet<Edge>,
}

/// `kind/name`.
pub fn text(key: Option<&v1::EntityRef>) -> String {
    let key = key.expect("whatever is told has a name");
    format!("{}/{}", key.kind, key.name)
}

/// Each as `kind/name`.
pub fn texts(keys: &[v1::EntityRef]) -> Vec<String> {
    keys.iter().map(|key| text(Some(key))).collect()
}

pub fn edge(relation: &v1::Relation) -> Edge {
    let (from, to) = (text(relation.from.as_ref()), text(relation.to.as_ref()));
    (from, relation.relation.clone(), to)
}

/// The service in an entity's body.
pub fn service(entity: &v1::Entity) -> Option<&v1::Service> {
    match &entity.body {
        Some(v1::entity::Body::Service(service)) => Some(service),
        _ => None,
    }
}

impl Said {
    pub async fn by(server: &Server) -> Self {
        let all = v1::ListEntitiesRequest {
            include_placeholders: true,
            ..Default::default()
        };
        let listed = pages!(server, graph.list_entities, entities, all, 0);
        let entities = listed.into_iter().map(|e| (text(e.r#ref.as_ref()), e));
        let mut said = Self {
            entities: entities.collect(),
            edges: BTreeSet::new(),
        };
        for from in said.entities.keys() {
            let out = v1::ListRelationsRequest {
                r#ref: Some(key(from)),
                ..Default::default()
            };
            let listed = pages!(server, graph.list_relations, relations, out, 0);
            said.edges.extend(listed.iter().map(edge));
        }
        said
    }

    /// Every label that a relation has.
    pub fn labels(&self) -> BTreeSet<&str> {
        self.edges
            .iter()
            .map(|(_, label, _)| label.as_str())
            .collect()
    }

    /// Registered services by name.
    pub fn services(&self) -> BTreeMap<&str, &v1::Service> {
        let services = self.entities.values().filter_map(service);
        services
            .filter(|s| s.registered)
            .map(|s| (s.name.as_str(), s))
            .collect()
    }

    pub fn placeholders(&self) -> BTreeSet<String> {
        let placeholder = |entity: &v1::Entity| service(entity).is_some_and(|s| !s.registered);
        let all = self.entities.iter();
        all.filter(|(_, entity)| placeholder(entity))
            .map(|(key, _)| key.clone())
            .collect()
    }

    /// Ends of the relations that begin (or, backwards, end) at one entity.
    pub fn next(&self, at: &str, label: Option<&str>, backwards: bool) -> BTreeSet<&str> {
        let followed = |(_, of, _): &&Edge| label.is_none_or(|label| of == label);
        let ends = self
            .edges
            .iter()
            .filter(followed)
            .map(|(from, _, to)| match backwards {
                true => (to, from),
                false => (from, to),
            });
        ends.filter(|(from, _)| *from == at)
            .map(|(_, to)| to.as_str())
            .collect()
    }

    /// How far everything is that relations lead to; the start itself only where a cycle leads back to it.
    pub fn depths(
        &self,
        start: &str,
        label: Option<&str>,
        backwards: bool,
    ) -> BTreeMap<String, u32> {
        let (mut found, mut depth) = (BTreeMap::new(), 0);
        let mut layer = BTreeSet::from([start]);
        while !layer.is_empty() {
            depth += 1;
            let after = layer.iter().flat_map(|at| self.next(at, label, backwards));
            layer = after.filter(|at| !found.contains_key(*at)).collect();
            found.extend(layer.iter().map(|at| ((*at).to_owned(), depth)));
        }
        found
    }
}
