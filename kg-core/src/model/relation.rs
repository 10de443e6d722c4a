//! Relations: the typed, directed edges of the graph.

use super::entity::EntityRef;
use super::name::Label;
use super::value::{Object, longest_json, object_json, object_weight};
use crate::error::Fault;
use crate::limits::PROPERTIES_BYTES;
use std::fmt;

/// What a relation is known by.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RelationKey {
    /// Where it begins.
    pub from: EntityRef,
    /// What it says.
    pub label: Label,
    /// Where it ends.
    pub to: EntityRef,
}

impl RelationKey {
    /// Whether this is a dependency between two services, which has a place in the service's own list.
    #[must_use]
    pub fn is_dependency(&self) -> bool {
        self.label == Label::depends_on() && self.from.is_service() && self.to.is_service()
    }
}

impl fmt::Display for RelationKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {}", self.from, self.label, self.to)
    }
}

impl fmt::Debug for RelationKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

/// One relation at one revision.
#[derive(Clone, Debug, PartialEq)]
pub struct Relation {
    /// Its ends and its label.
    pub key: RelationKey,
    /// Anything else that it says.
    pub properties: Object,
    /// Its place among the dependencies of its service, from a registration; [`APPENDED`] behind those.
    pub position: u32,
    /// Revision that created it.
    pub created_revision: u64,
    /// Revision that changed it last.
    pub modified_revision: u64,
}

impl Relation {
    /// Whether two versions say the same, apart from revisions.
    #[must_use]
    pub fn same_content(&self, other: &Self) -> bool {
        self.key == other.key
            && self.properties == other.properties
            && self.position == other.position
    }
}

/// The position of a relation that was added by itself.
pub const APPENDED: u32 = u32::MAX;

/// Checks properties: depth, numbers and size.
///
/// # Errors
/// A [`Fault`] of `field` or of a path below it.
pub fn check_properties(field: &str, properties: &Object) -> Result<(), Fault> {
    if properties.is_empty() {
        return Ok(());
    }
    super::value::Value::Object(properties.clone())
        .check()
        .map_err(|f| f.under(field))?;
    // Most properties are so few that nobody has to write them down to know that there is room for them.
    if longest_json(object_weight(properties)) <= PROPERTIES_BYTES {
        return Ok(());
    }
    let bytes = object_json(properties).len();
    if bytes > PROPERTIES_BYTES {
        return Err(Fault::new(
            field,
            format!("has {bytes} bytes of JSON, at most {PROPERTIES_BYTES} are allowed"),
        ));
    }
    Ok(())
}
