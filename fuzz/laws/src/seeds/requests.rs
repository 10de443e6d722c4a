//! Random transactions as the requests that a client would send for them.

use crate::graph::small;
use amadeus::rpc::to_proto;
use amadeus_proto::v1;
use kg_core::model::{EntityRef, Kind};
use kg_core::mutation::{Mutation, Precondition, Transaction, plan};
use kg_core::snapshot::Snapshot;
use kg_core::testing::generate::{self, Rng};
use kg_core::testing::oracle::Oracle;
use prost::Message;
use v1::mutation::Mutation as One;
use v1::precondition::Precondition as Guard;

/// A request that is possible in the small graph, behind the byte that says which it is.
pub fn some(rng: &mut Rng) -> Vec<u8> {
    let state = Oracle::of(small());
    loop {
        let transaction = generate::transaction(rng, &state);
        let Ok(planned) = plan(small(), &transaction) else {
            continue;
        };
        if let [mutation] = &*transaction.mutations
            && transaction.preconditions.is_empty()
            && let Some(bytes) = alone(mutation, &planned.next)
        {
            return bytes;
        }
        let mutations: Option<Vec<_>> = transaction
            .mutations
            .iter()
            .map(|mutation| one(mutation, &planned.next))
            .collect();
        if let Some(mutations) = mutations {
            return behind(0, &commit(&transaction, mutations));
        }
    }
}

fn behind(which: u8, request: &impl Message) -> Vec<u8> {
    let mut bytes = vec![which];
    request.encode_raw(&mut bytes);
    bytes
}

fn commit(transaction: &Transaction, mutations: Vec<v1::Mutation>) -> v1::CommitRequest {
    let guard = |guard| v1::Precondition {
        precondition: Some(guard),
    };
    v1::CommitRequest {
        preconditions: transaction
            .preconditions
            .iter()
            .filter_map(guard_of)
            .map(guard)
            .collect(),
        mutations,
        request_id: transaction.request_id.to_string(),
        reason: transaction.reason.to_string(),
    }
}

/// The request of an RPC that writes one thing, by its number among all.
fn alone(mutation: &Mutation, after: &Snapshot) -> Option<Vec<u8>> {
    Some(match mutation {
        Mutation::UpdateSchema { name, schema } => behind(
            3,
            &v1::UpdateSchemaRequest {
                name: name.to_string(),
                schema: Some(v1::Schema {
                    proto_path: schema.proto_path.clone(),
                    methods: schema.methods.clone(),
                }),
                ..Default::default()
            },
        ),
        Mutation::SetCapability {
            name,
            capability,
            enabled,
        } => behind(
            4,
            &v1::SetCapabilityRequest {
                name: name.to_string(),
                capability: capability.to_string(),
                enabled: *enabled,
                ..Default::default()
            },
        ),
        Mutation::AddDependency { name, dependency } => behind(
            5,
            &v1::AddDependencyRequest {
                name: name.to_string(),
                dependency: Some(v1::Dependency {
                    service: dependency.service.to_string(),
                    version: dependency.version.clone(),
                    optional: dependency.optional,
                    properties: to_proto::properties(&dependency.properties),
                }),
                ..Default::default()
            },
        ),
        Mutation::RemoveDependency { name, service } => behind(
            6,
            &v1::RemoveDependencyRequest {
                name: name.to_string(),
                service: service.to_string(),
                ..Default::default()
            },
        ),
        Mutation::DeleteEntity { key, force } if key.is_service() => behind(
            2,
            &v1::DeregisterServiceRequest {
                name: key.name.to_string(),
                force: *force,
                ..Default::default()
            },
        ),
        other => match one(other, after)?.mutation? {
            One::RegisterService(request) => behind(1, &request),
            One::PutEntity(request) => behind(7, &request),
            One::DeleteEntity(request) => behind(8, &request),
            One::PutRelation(request) => behind(9, &request),
            One::DeleteRelation(request) => behind(10, &request),
            One::UpdateNode(request) => behind(11, &request),
            One::DeleteNode(request) => behind(12, &request),
        },
    })
}

/// A mutation of a `Commit`. What it puts is taken from the state after it.
fn one(mutation: &Mutation, after: &Snapshot) -> Option<v1::Mutation> {
    let put = |key: &EntityRef| {
        let entity = to_proto::entity(after, after.entity(key)?);
        Some(One::PutEntity(v1::PutEntityRequest {
            entity: Some(entity),
            ..Default::default()
        }))
    };
    let one = match mutation {
        Mutation::RegisterService { service, strict } => {
            One::RegisterService(v1::RegisterServiceRequest {
                service: Some(to_proto::service(
                    after,
                    after.service(service.name.as_str())?,
                )),
                strict: *strict,
                ..Default::default()
            })
        }
        Mutation::PutPattern(pattern) => {
            put(&EntityRef::new(Kind::pattern(), pattern.name.clone()))?
        }
        Mutation::PutEntity { key, .. } => put(key)?,
        Mutation::DeleteEntity { key, force } => One::DeleteEntity(v1::DeleteEntityRequest {
            r#ref: Some(to_proto::entity_ref(key)),
            force: *force,
            ..Default::default()
        }),
        Mutation::PutRelation { key, .. } => One::PutRelation(v1::PutRelationRequest {
            relation: Some(to_proto::relation(&after.relation(key)?)),
            ..Default::default()
        }),
        Mutation::DeleteRelation(key) => One::DeleteRelation(v1::DeleteRelationRequest {
            from: Some(to_proto::entity_ref(&key.from)),
            relation: key.label.to_string(),
            to: Some(to_proto::entity_ref(&key.to)),
            ..Default::default()
        }),
        Mutation::UpdateNode { path, value } => One::UpdateNode(v1::UpdateNodeRequest {
            path: path.to_string(),
            value: Some(to_proto::value(value)),
            ..Default::default()
        }),
        Mutation::DeleteNode(path) => One::DeleteNode(v1::DeleteNodeRequest {
            path: path.to_string(),
            ..Default::default()
        }),
        _ => return None,
    };
    Some(v1::Mutation {
        mutation: Some(one),
    })
}

/// A precondition of a `Commit`. Those of one thing's revision have another place there.
fn guard_of(guard: &Precondition) -> Option<Guard> {
    let relation = |key: &kg_core::model::RelationKey| v1::RelationRef {
        from: Some(to_proto::entity_ref(&key.from)),
        relation: key.label.to_string(),
        to: Some(to_proto::entity_ref(&key.to)),
    };
    let entity = to_proto::entity_ref;
    Some(match guard {
        Precondition::EntityExists(key) => Guard::EntityExists(entity(key)),
        Precondition::EntityAbsent(key) => Guard::EntityAbsent(entity(key)),
        Precondition::EntityAt { key, revision } => Guard::EntityAt(v1::precondition::EntityAt {
            r#ref: Some(entity(key)),
            revision: *revision,
        }),
        Precondition::RelationExists(key) => Guard::RelationExists(relation(key)),
        Precondition::RelationAbsent(key) => Guard::RelationAbsent(relation(key)),
        Precondition::DocumentEquals { path, value } => {
            Guard::DocumentEquals(v1::precondition::DocumentEquals {
                path: path.to_string(),
                value: Some(to_proto::value(value)),
            })
        }
        Precondition::NoPath { from, to, label } => Guard::NoPath(v1::precondition::NoPath {
            from: Some(entity(from)),
            to: Some(entity(to)),
            relation: label.to_string(),
        }),
        Precondition::NoDependents(key) => Guard::NoDependents(entity(key)),
        Precondition::Acyclic(label) => Guard::Acyclic(v1::precondition::Acyclic {
            relation: label.to_string(),
        }),
        Precondition::RelationAt { .. } | Precondition::NodeAt { .. } => return None,
    })
}
