//! Transactions: lists of mutations that commit together or not at all.

use crate::model::{
    Dependency, EntityRef, Label, Name, Object, Path, PatternSpec, RelationKey, Schema,
    ServiceSpec, Value,
};
use crate::snapshot::{RequestKey, Snapshot};
use std::sync::Arc;

/// One change that is asked for.
#[derive(Clone, Debug)]
pub enum Mutation {
    /// Registers a service, or replaces its registration.
    RegisterService {
        /// What it says.
        service: Box<ServiceSpec>,
        /// Whether a dependency on a service that has not registered is an error.
        strict: bool,
    },
    /// Replaces a service's schema.
    UpdateSchema {
        /// The service.
        name: Name,
        /// Its schema from now on.
        schema: Schema,
    },
    /// Adds or takes away one capability.
    SetCapability {
        /// The service.
        name: Name,
        /// The capability.
        capability: Arc<str>,
        /// Whether it has it from now on.
        enabled: bool,
    },
    /// Adds a dependency, or replaces what it says.
    AddDependency {
        /// The service.
        name: Name,
        /// What it needs.
        dependency: Dependency,
    },
    /// Takes a dependency away.
    RemoveDependency {
        /// The service.
        name: Name,
        /// What it no longer needs.
        service: Name,
    },
    /// Puts a pattern, or replaces its definition.
    PutPattern(Box<PatternSpec>),
    /// Puts an entity, or replaces its properties. For a service or a pattern the properties are its metadata.
    PutEntity {
        /// Which.
        key: EntityRef,
        /// All its properties from now on.
        properties: Object,
    },
    /// Deletes an entity and what points out of it.
    DeleteEntity {
        /// Which.
        key: EntityRef,
        /// Whether what points at it goes too; a service that others point at then stays as a placeholder.
        force: bool,
    },
    /// Puts a relation, or replaces its properties.
    PutRelation {
        /// Which.
        key: RelationKey,
        /// All its properties from now on.
        properties: Object,
        /// Whether ends that do not exist are created, services among them as placeholders. Imports ask for it.
        create_ends: bool,
    },
    /// Deletes a relation.
    DeleteRelation(RelationKey),
    /// Writes a node by dot path.
    UpdateNode {
        /// Where.
        path: Path,
        /// What stands there from now on.
        value: Value,
    },
    /// Deletes a node by dot path.
    DeleteNode(Path),
    /// Returns to a stored checkpoint, as one new revision.
    Restore {
        /// Its name in the store.
        checkpoint: Arc<str>,
        /// Its content.
        content: Arc<Snapshot>,
    },
}

/// What must hold for a transaction to commit.
#[derive(Clone, Debug)]
pub enum Precondition {
    /// Before the mutations: the entity exists.
    EntityExists(EntityRef),
    /// Before: it does not.
    EntityAbsent(EntityRef),
    /// Before: it was changed last at this revision; 0 means that it does not exist.
    EntityAt {
        /// Which.
        key: EntityRef,
        /// At which revision.
        revision: u64,
    },
    /// Before: the relation was changed last at this revision; 0 means that it does not exist.
    RelationAt {
        /// Which.
        key: RelationKey,
        /// At which revision.
        revision: u64,
    },
    /// Before: what holds this node was changed last at this revision: its entity for a typed body, its section for a
    /// document; 0 means that nothing stands at this very path.
    NodeAt {
        /// Which.
        path: Path,
        /// At which revision.
        revision: u64,
    },
    /// Before: the relation exists.
    RelationExists(RelationKey),
    /// Before: it does not.
    RelationAbsent(RelationKey),
    /// Before: this value stands at this path.
    DocumentEquals {
        /// Where.
        path: Path,
        /// What must stand there.
        value: Value,
    },
    /// After the mutations: no way leads from one to the other.
    NoPath {
        /// Where such a way would begin.
        from: EntityRef,
        /// Where it would end.
        to: EntityRef,
        /// Of which relation.
        label: Label,
    },
    /// After: nothing depends on it.
    NoDependents(EntityRef),
    /// After: the relation has no cycle.
    Acyclic(Label),
}

/// The identity of a request, by which it applies once.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Request {
    /// Principal and request id.
    pub key: RequestKey,
    /// Hash of what was asked.
    pub body: u64,
}

/// Mutations that commit together or not at all.
#[derive(Clone, Debug, Default)]
pub struct Transaction {
    /// What must hold.
    pub preconditions: Vec<Precondition>,
    /// What is to be done, in order.
    pub mutations: Vec<Mutation>,
    /// Who asks.
    pub actor: Arc<str>,
    /// Why, in the actor's words.
    pub reason: Arc<str>,
    /// The request's own id, as the record keeps it.
    pub request_id: Arc<str>,
    /// The request's identity, where it has one.
    pub request: Option<Request>,
    /// When it was submitted, in milliseconds since 1970. The core has no clock.
    pub time_ms: u64,
    /// How many mutations it may hold at most; 0 stands for [`crate::limits::MUTATIONS`].
    pub mutation_limit: usize,
}

impl Transaction {
    /// A transaction of these mutations.
    #[must_use]
    pub fn of(mutations: Vec<Mutation>) -> Self {
        Self {
            mutations,
            ..Self::default()
        }
    }

    /// A rough count of its bytes in memory, for the bound of a batch.
    #[must_use]
    pub fn weight(&self) -> usize {
        256 + self.mutations.len() * 512
    }
}
