//! Scopes: which part of the graph a right is for.
//!
//! Kind and name decide without a look at the graph, so what they allow is allowed whether the entity exists or not, and a
//! refusal tells nothing. An owner is said by the entity: of one that does not exist no owner is known, and a scope that
//! asks for one does not cover it.

use crate::model::{Body, Entity, EntityRef, Kind, Name, Value};
use crate::snapshot::Snapshot;

/// The kind by which a scope means the sections of the documents.
pub const DOCUMENT: &str = "document";

/// A part of the graph. All that is given has to hold.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Scope {
    /// Entities of this kind; `document` means the sections of the documents. `None`: entities of any kind.
    pub kind: Option<Kind>,
    /// Entities whose name begins so; empty for any.
    pub name_prefix: String,
    /// Entities of this owner.
    pub owner: Option<String>,
}

impl Scope {
    /// Whether it covers an entity of this name that has this owner.
    #[must_use]
    pub fn covers(&self, key: &EntityRef, owner: Option<&str>) -> bool {
        self.kind.as_ref().is_none_or(|kind| *kind == key.kind)
            && key.name.as_str().starts_with(&self.name_prefix)
            && self
                .owner
                .as_deref()
                .is_none_or(|wanted| owner == Some(wanted))
    }

    /// Whether it covers a section of the documents.
    #[must_use]
    pub fn covers_section(&self, section: &str) -> bool {
        self.kind.as_ref().is_some_and(|k| k.as_str() == DOCUMENT)
            && self.owner.is_none()
            && section.starts_with(&self.name_prefix)
    }

    /// Whether everything that `other` covers is covered by this.
    #[must_use]
    pub fn includes(&self, other: &Self) -> bool {
        // Without a kind a scope means entities alone, and `document` is none of theirs.
        let kind = match (&self.kind, &other.kind) {
            (None, Some(kind)) => kind.as_str() != DOCUMENT,
            (None, None) => true,
            (mine, theirs) => mine == theirs,
        };
        let owner = self.owner.is_none() || self.owner == other.owner;
        kind && owner && other.name_prefix.starts_with(&self.name_prefix)
    }
}

/// Everything, or some parts of the graph.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Reach {
    /// All of the graph.
    Everything,
    /// What at least one of these covers; none covers nothing.
    Within(Vec<Scope>),
}

impl Reach {
    /// Nothing at all.
    #[must_use]
    pub fn nothing() -> Self {
        Self::Within(Vec::new())
    }

    /// Whether it is all of the graph.
    #[must_use]
    pub fn is_everything(&self) -> bool {
        matches!(self, Self::Everything)
    }

    /// Whether it is nothing.
    #[must_use]
    pub fn is_nothing(&self) -> bool {
        matches!(self, Self::Within(scopes) if scopes.is_empty())
    }

    /// Whether what it covers depends on who owns something.
    #[must_use]
    pub fn asks_for_owners(&self) -> bool {
        matches!(self, Self::Within(scopes) if scopes.iter().any(|s| s.owner.is_some()))
    }

    /// Whether it covers an entity of this name that has this owner.
    #[must_use]
    pub fn covers(&self, key: &EntityRef, owner: Option<&str>) -> bool {
        match self {
            Self::Everything => true,
            Self::Within(scopes) => scopes.iter().any(|scope| scope.covers(key, owner)),
        }
    }

    /// Whether it covers this entity.
    #[must_use]
    pub fn covers_entity(&self, entity: &Entity) -> bool {
        self.covers(&entity.key, owner_of(entity))
    }

    /// Whether it covers what stands under this name, or would cover it if something stood there.
    #[must_use]
    pub fn covers_in(&self, snapshot: &Snapshot, key: &EntityRef) -> bool {
        self.is_everything()
            || self.covers(
                key,
                snapshot.entity(key).and_then(|entity| owner_of(entity)),
            )
    }

    /// Whether it covers a section of the documents.
    #[must_use]
    pub fn covers_section(&self, section: &str) -> bool {
        match self {
            Self::Everything => true,
            Self::Within(scopes) => scopes.iter().any(|scope| scope.covers_section(section)),
        }
    }

    /// Whether it covers the service of this name, from plain text.
    #[must_use]
    pub fn covers_service(&self, snapshot: &Snapshot, name: &Name) -> bool {
        self.is_everything() || self.covers_in(snapshot, &EntityRef::service(name.clone()))
    }
}

/// The owner that an entity names, if it names one: a service and a pattern in their bodies, any other entity by its
/// property `owner`.
#[must_use]
pub fn owner_of(entity: &Entity) -> Option<&str> {
    let owner = match &entity.body {
        Body::Service(body) => body.owner.as_str(),
        Body::Pattern(body) => body.owner.as_str(),
        Body::Placeholder => "",
        Body::Plain => match entity.properties.get("owner") {
            Some(Value::String(owner)) => owner,
            _ => "",
        },
    };
    (!owner.is_empty()).then_some(owner)
}

/// What somebody may see and change.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Authority {
    /// What may be seen.
    pub sees: Reach,
    /// What may be changed; it may be seen as well.
    pub changes: Reach,
    /// Whether it is told that something hidden is there. A precondition about ways and cycles is judged on the whole graph then,
    /// and on what is seen otherwise: who sees no way is not told that one is there.
    pub knows_of_hidden: bool,
}

impl Authority {
    /// Everything.
    #[must_use]
    pub fn full() -> Self {
        Self {
            sees: Reach::Everything,
            changes: Reach::Everything,
            knows_of_hidden: true,
        }
    }

    /// Whether nothing is kept from it.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.sees.is_everything() && self.changes.is_everything()
    }
}
