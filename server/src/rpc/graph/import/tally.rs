//! What an import has done so far, in counts.

use amadeus_proto::v1;
use foldhash::{HashSet, HashSetExt as _};
use kg_core::model::{EntityRef, Kind, Path, RelationKey};
use kg_core::mutation::{Change, Mutation};

use crate::rpc::to_proto;

/// What one mutation is about.
pub enum About {
    /// An entity; a service with its dependencies.
    Entity(EntityRef),
    /// A relation.
    Relation(RelationKey),
    /// A document.
    Document(Path),
}

/// Totals since the beginning.
#[derive(Default)]
pub struct Tally {
    /// The last revision that was made; none while nothing was.
    pub revision: Option<u64>,
    /// What deserves a look.
    pub warnings: Vec<String>,
    mutations: usize,
    rows: u64,
    chunks: usize,
    entities_created: usize,
    relations_created: usize,
    unchanged: usize,
}

/// What these mutations are about, in their order.
pub fn subjects(mutations: &[Mutation]) -> Vec<About> {
    let subject = |mutation: &Mutation| match mutation {
        Mutation::RegisterService { service, .. } => {
            Some(About::Entity(EntityRef::service(service.name.clone())))
        }
        Mutation::PutPattern(spec) => Some(About::Entity(EntityRef::new(
            Kind::pattern(),
            spec.name.clone(),
        ))),
        Mutation::PutEntity { key, .. } => Some(About::Entity(key.clone())),
        Mutation::PutRelation { key, .. } => Some(About::Relation(key.clone())),
        Mutation::UpdateNode { path, .. } => Some(About::Document(path.clone())),
        // Files ask for nothing else.
        _ => None,
    };
    mutations.iter().filter_map(subject).collect()
}

impl Tally {
    /// Adds one transaction; `rows` are those of the file up to its end.
    pub fn add(&mut self, subjects: &[About], changes: &[Change], rows: u64) {
        let (mut entities, mut relations, mut documents) =
            (HashSet::new(), HashSet::new(), HashSet::new());
        for change in changes {
            match change {
                Change::PutEntity { entity, previous } => {
                    entities.insert(&entity.key);
                    self.entities_created += usize::from(previous.is_none());
                }
                Change::PutRelation { relation, previous } => {
                    relations.insert(&relation.key);
                    entities.insert(&relation.key.from);
                    self.relations_created += usize::from(previous.is_none());
                }
                Change::RemoveRelation { previous } => {
                    entities.insert(&previous.key.from);
                }
                Change::SetNode { path, .. } => {
                    documents.insert(path);
                }
                Change::RemoveEntity { .. }
                | Change::RemoveNode { .. }
                | Change::Restore { .. } => {}
            }
        }
        let changed = |about: &&About| match about {
            About::Entity(key) => entities.contains(key),
            About::Relation(key) => relations.contains(key),
            About::Document(path) => documents.contains(path),
        };
        self.mutations += subjects.len();
        self.unchanged += subjects.len() - subjects.iter().filter(changed).count();
        self.rows = rows;
        self.chunks += 1;
    }

    /// The counts as a reply tells them.
    pub fn reply(&self) -> v1::ImportResponse {
        v1::ImportResponse {
            mutations: to_proto::count(self.mutations),
            rows: u32::try_from(self.rows).unwrap_or(u32::MAX),
            chunks: to_proto::count(self.chunks),
            entities_created: to_proto::count(self.entities_created),
            relations_created: to_proto::count(self.relations_created),
            unchanged: to_proto::count(self.unchanged),
            warnings: self.warnings.clone(),
            ..v1::ImportResponse::default()
        }
    }
}
