//! Entities: the nodes of the graph.

use super::id::EntityId;
use super::name::{Kind, Name};
use super::pattern::PatternBody;
use super::service::ServiceBody;
use super::value::Object;
use crate::error::Fault;
use bytes::Bytes;
use std::fmt;
use std::sync::OnceLock;

/// What an entity is known by: `kind/name`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EntityRef {
    /// Its kind.
    pub kind: Kind,
    /// Its name within the kind.
    pub name: Name,
}

impl EntityRef {
    /// The entity `kind/name`.
    #[must_use]
    pub fn new(kind: Kind, name: Name) -> Self {
        Self { kind, name }
    }

    /// The service of this name.
    #[must_use]
    pub fn service(name: Name) -> Self {
        Self {
            kind: Kind::service(),
            name,
        }
    }

    /// Parses `kind/name`; a bare name means a service. The name may itself hold slashes.
    ///
    /// # Errors
    /// A [`Fault`] of `field`.
    pub fn parse(field: &str, text: &str) -> Result<Self, Fault> {
        match text.split_once('/') {
            Some((kind, name)) => Ok(Self {
                kind: Kind::parse(field, kind)?,
                name: Name::parse(field, name)?,
            }),
            None => Ok(Self::service(Name::parse(field, text)?)),
        }
    }

    /// Whether this is a service.
    #[must_use]
    pub fn is_service(&self) -> bool {
        self.kind.as_str() == "service"
    }

    /// Whether this is a pattern.
    #[must_use]
    pub fn is_pattern(&self) -> bool {
        self.kind.as_str() == "pattern"
    }
}

impl fmt::Display for EntityRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.kind, self.name)
    }
}

impl fmt::Debug for EntityRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

/// The typed part of an entity, by its kind.
#[derive(Clone, Debug, PartialEq)]
pub enum Body {
    /// An entity of a kind that this program gives no meaning: only properties.
    Plain,
    /// A service that others depend on and that has not registered (yet).
    Placeholder,
    /// A registered service.
    Service(Box<ServiceBody>),
    /// A workflow.
    Pattern(Box<PatternBody>),
}

/// One entity at one revision. Never changed once it is in a snapshot.
#[derive(Clone, Debug)]
pub struct Entity {
    /// Its dense number in this process.
    pub id: EntityId,
    /// Its kind and name.
    pub key: EntityRef,
    /// The typed part.
    pub body: Body,
    /// The untyped part; for services and patterns their metadata.
    pub properties: Object,
    /// Revision that created it.
    pub created_revision: u64,
    /// Revision that changed it last; for a service this includes its dependencies.
    pub modified_revision: u64,
    /// The hash of its content, computed when it is first put into a snapshot.
    pub(crate) digest: Digest,
    /// The encoded wire form, made by the first reply that needs it and dropped with this version of the entity.
    pub wire: Wire,
}

impl Entity {
    /// Whether a service of this name has not registered yet.
    #[must_use]
    pub fn is_placeholder(&self) -> bool {
        matches!(self.body, Body::Placeholder)
    }

    /// The body of a registered service.
    #[must_use]
    pub fn service(&self) -> Option<&ServiceBody> {
        match &self.body {
            Body::Service(body) => Some(body),
            Body::Plain | Body::Placeholder | Body::Pattern(_) => None,
        }
    }

    /// The body of a pattern.
    #[must_use]
    pub fn pattern(&self) -> Option<&PatternBody> {
        match &self.body {
            Body::Pattern(body) => Some(body),
            Body::Plain | Body::Placeholder | Body::Service(_) => None,
        }
    }

    /// The same entity with nothing in it but its name.
    #[must_use]
    pub fn emptied(&self) -> Self {
        Self {
            body: Body::Plain,
            properties: Object::new(),
            ..self.clone()
        }
    }

    /// Whether two versions say the same, apart from ids and revisions.
    #[must_use]
    pub fn same_content(&self, other: &Self) -> bool {
        self.key == other.key && self.body == other.body && self.properties == other.properties
    }
}

impl PartialEq for Entity {
    /// Equality of content and revisions; ids and the encoded form mean nothing outside one process.
    fn eq(&self, other: &Self) -> bool {
        self.same_content(other)
            && self.created_revision == other.created_revision
            && self.modified_revision == other.modified_revision
    }
}

/// The hash of one version's content, which a snapshot adds when the version comes and subtracts when it goes.
#[derive(Debug, Default)]
pub(crate) struct Digest(OnceLock<[u64; 2]>);

impl Digest {
    /// The hash; `compute` runs once for each version. (In two words, for one of 128 bits would widen every entity.)
    pub(crate) fn get_or_compute(&self, compute: impl FnOnce() -> u128) -> u128 {
        let halves = |hash: u128| [(hash >> 64) as u64, hash as u64];
        let [high, low] = *self.0.get_or_init(|| halves(compute()));
        u128::from(high) << 64 | u128::from(low)
    }
}

impl Clone for Digest {
    /// A copy is the beginning of another version, which may say something else.
    fn clone(&self) -> Self {
        Self::default()
    }
}

/// Opaque bytes that the wire layer keeps beside an entity, so that a read copies and does not rebuild.
#[derive(Debug, Default)]
pub struct Wire(OnceLock<Bytes>);

impl Wire {
    /// The encoded form; `encode` runs at most once for each version of an entity, unless two first readers race.
    pub fn get_or_encode(&self, encode: impl FnOnce() -> Bytes) -> &Bytes {
        self.0.get_or_init(encode)
    }
}

impl Clone for Wire {
    /// A copy is the beginning of another version, whose encoded form is not known yet.
    fn clone(&self) -> Self {
        Self::default()
    }
}
