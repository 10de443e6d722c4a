//! The relations of a snapshot, sorted, and as CSV.

use crate::model::value::object_json;
use crate::model::{EntityId, Label, Relation};
use crate::snapshot::{Relations, Snapshot};
use std::io::{self, Write};

/// All relations, sorted by where they begin, label, and where they end. Those of one entity are in memory at a time.
pub(super) fn relations(snapshot: &Snapshot) -> impl Iterator<Item = Relation> {
    let labels: Vec<(&Label, &Relations)> = snapshot.relations_by_label().collect();
    snapshot
        .kinds(true)
        .into_iter()
        .flat_map(move |kind| {
            snapshot
                .names(&kind, None, true)
                .filter_map(move |name| snapshot.find(kind.as_str(), name.as_str()))
        })
        .flat_map(move |entity| {
            let mut found = Vec::new();
            for (label, relations) in &labels {
                let first = found.len();
                relations.adjacency().outgoing(entity.id).for_each(|to| {
                    found.extend(snapshot.relation_by_id(label, entity.id, EntityId::new(to)));
                });
                found[first..].sort_by(|a: &Relation, b| a.key.to.cmp(&b.key.to));
            }
            found
        })
}

/// Writes all relations as CSV with a header: `from,relation,to`, and a column `properties` with JSON if any relation has
/// some. The same revision gives the same bytes. What is no relation (entities without one, bodies, documents) and the
/// order of dependencies do not fit into this form; the JSON form holds them.
///
/// # Errors
/// What `out` answers; what was written until then is no whole file.
pub fn export_csv(snapshot: &Snapshot, out: &mut impl Write) -> io::Result<()> {
    let properties = snapshot
        .relations_by_label()
        .flat_map(|(_, relations)| relations.edges())
        .any(|(_, _, edge)| !edge.properties.is_empty());
    let mut rows = csv::WriterBuilder::new().from_writer(out);
    rows.write_record(
        ["from", "relation", "to"]
            .into_iter()
            .chain(properties.then_some("properties")),
    )?;
    for Relation {
        key,
        properties: says,
        ..
    } in relations(snapshot)
    {
        let (from, to) = (key.from.to_string(), key.to.to_string());
        let says = properties.then(|| {
            if says.is_empty() {
                String::new()
            } else {
                object_json(&says)
            }
        });
        let fields = [from.as_str(), key.label.as_str(), to.as_str()];
        rows.write_record(fields.into_iter().chain(says.as_deref()))?;
    }
    rows.flush()
}
