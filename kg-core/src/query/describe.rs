//! What the graph holds, in counts.

use crate::model::{Kind, Label};
use crate::snapshot::{Names, Snapshot};
use std::sync::Arc;

/// Counts; every list is sorted by its word.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Description {
    /// Entities of all kinds, without placeholders unless they were asked for.
    pub entities: usize,
    /// Relations of all labels.
    pub relations: usize,
    /// Services that somebody depends on and that have not registered.
    pub placeholders: usize,
    /// Entities by kind, without placeholders unless they were asked for.
    pub kinds: Vec<(Kind, usize)>,
    /// Relations by label.
    pub labels: Vec<(Label, usize)>,
    /// Services by category.
    pub categories: Vec<(Arc<str>, usize)>,
    /// Services by capability.
    pub capabilities: Vec<(Arc<str>, usize)>,
    /// Services by owner.
    pub owners: Vec<(Arc<str>, usize)>,
    /// Sections of the documents.
    pub sections: Vec<Arc<str>>,
}

/// Describes a snapshot. Cost: O(distinct words), whatever the number of entities.
#[must_use]
pub fn describe(snapshot: &Snapshot, with_placeholders: bool) -> Description {
    let indexes = snapshot.indexes();
    let placeholders = indexes.placeholders.len();
    let counted = if with_placeholders { placeholders } else { 0 };
    let kinds: Vec<(Kind, usize)> = snapshot
        .kinds(with_placeholders)
        .into_iter()
        .map(|kind| {
            let known = indexes.kinds.get(&kind).map_or(0, Names::len);
            let stand_ins = if kind == Kind::service() { counted } else { 0 };
            (kind, known + stand_ins)
        })
        .collect();
    Description {
        entities: snapshot.entity_count() - placeholders + counted,
        relations: snapshot.relation_count(),
        placeholders,
        kinds,
        labels: snapshot
            .relations_by_label()
            .map(|(label, relations)| (label.clone(), relations.len()))
            .collect(),
        categories: counts(&indexes.categories),
        capabilities: counts(&indexes.capabilities),
        owners: counts(&indexes.owners),
        sections: snapshot.documents().keys().cloned().collect(),
    }
}

fn counts(index: &im::OrdMap<Arc<str>, Names>) -> Vec<(Arc<str>, usize)> {
    index
        .iter()
        .map(|(word, names)| (word.clone(), names.len()))
        .collect()
}
