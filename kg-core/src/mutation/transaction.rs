//! Transactions: lists of mutations that commit together or not at all.

use crate::access::Authority;
use crate::model::value::{MEMBER_WEIGHT, object_weight};
use crate::model::{
    Dependency, Endpoint, EntityRef, Health, Label, Name, Object, Path, PatternSpec, RelationKey,
    Schema, ServiceSpec, Step, Value,
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
    /// Says how a service is doing, and nothing else of it. Where none is registered under that name nothing happens: a
    /// lease may lapse while its service is being deregistered, and must not take the rest of its batch with it.
    SetHealth {
        /// The service.
        name: Name,
        /// How it is doing from now on.
        health: Health,
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
    /// From where: the address of the caller; empty where nobody knows.
    pub source: Arc<str>,
    /// What the actor may see and change; `None` for everything.
    pub authority: Option<Arc<Authority>>,
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

    /// A rough count of its bytes in memory, for the bounds of the queue and of a batch. Cost: O(what it holds).
    #[must_use]
    pub fn weight(&self) -> usize {
        let compared = |precondition: &Precondition| match precondition {
            Precondition::DocumentEquals { value, .. } => FIXED + value.weight(),
            _ => FIXED,
        };
        FIXED
            + self.preconditions.iter().map(compared).sum::<usize>()
            + self.mutations.iter().map(Mutation::weight).sum::<usize>()
    }
}

/// Bytes of one mutation, precondition or value besides its text: the enum, its names, its place in a tree.
const FIXED: usize = 256;

impl Mutation {
    fn weight(&self) -> usize {
        FIXED
            + match self {
                Self::RegisterService { service, .. } => service_weight(service),
                Self::UpdateSchema { schema, .. } => {
                    schema.proto_path.len() + texts_weight(&schema.methods)
                }
                Self::AddDependency { dependency, .. } => object_weight(&dependency.properties),
                Self::PutPattern(pattern) => pattern_weight(pattern),
                Self::PutEntity { properties, .. } | Self::PutRelation { properties, .. } => {
                    object_weight(properties)
                }
                Self::UpdateNode { value, .. } => value.weight(),
                Self::SetCapability { .. }
                | Self::SetHealth { .. }
                | Self::RemoveDependency { .. }
                | Self::DeleteEntity { .. }
                | Self::DeleteRelation(_)
                | Self::DeleteNode(_)
                | Self::Restore { .. } => 0,
            }
    }
}

fn service_weight(service: &ServiceSpec) -> usize {
    let body = &service.body;
    let endpoint = |e: &Endpoint| {
        let words = [
            &e.name,
            &e.path,
            &e.method,
            &e.input_type,
            &e.output_type,
            &e.description,
        ];
        let words: usize = words.iter().map(|word| word.len()).sum();
        FIXED + words + texts_weight(&e.tags) + object_weight(&e.metadata)
    };
    let dependency = |d: &Dependency| FIXED + object_weight(&d.properties);
    let capabilities: usize = body
        .capabilities
        .iter()
        .map(|c| MEMBER_WEIGHT + c.len())
        .sum();
    body.description.len()
        + capabilities
        + texts_weight(&body.models)
        + texts_weight(&body.schema.methods)
        + body.endpoints.iter().map(endpoint).sum::<usize>()
        + service.dependencies.iter().map(dependency).sum::<usize>()
        + object_weight(&service.metadata)
}

fn pattern_weight(pattern: &PatternSpec) -> usize {
    let step = |step: &Step| {
        let undo = step.compensation.as_ref();
        2 * FIXED
            + texts_weight(&step.depends_on)
            + texts_weight(&step.required)
            + texts_weight(&step.optional)
            + object_weight(&step.parameters)
            + step.condition.weight()
            + step.description.len()
            + undo.map_or(0, |undo| FIXED + object_weight(&undo.parameters))
    };
    let body = &pattern.body;
    let inputs = body.inputs.iter().map(|input| input.default.weight());
    let outputs = body.outputs.iter().map(|output| output.value.weight());
    let named = body.inputs.len() + body.outputs.len() + body.classes.len();
    body.steps.iter().map(step).sum::<usize>()
        + inputs.chain(outputs).sum::<usize>()
        + named * FIXED
        + object_weight(&pattern.metadata)
}

fn texts_weight(texts: &[String]) -> usize {
    texts.iter().map(|text| MEMBER_WEIGHT + text.len()).sum()
}
