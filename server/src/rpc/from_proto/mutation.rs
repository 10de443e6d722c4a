//! Mutations and preconditions from the wire. Every write goes through here, alone or inside `Commit`.

use amadeus_proto::v1;
use kg_core::error::Fault;
use kg_core::limits::MUTATIONS;
use kg_core::model::name::check_tag;
use kg_core::model::relation::check_properties;
use kg_core::model::{EntityRef, Kind, Object, RelationKey};
use kg_core::mutation::{Mutation, Precondition};
use v1::precondition::Precondition as Guard;

use super::{Rejected, entity_ref, name, object, path, relation_key, required, value};

/// What one write asks for, and the revision that it expects, if it does.
pub type Asked = (Mutation, Option<Precondition>);

/// A request that changes one thing.
pub trait Write {
    /// What it asks for.
    ///
    /// # Errors
    /// [`Rejected`], naming the field.
    fn parse(&self) -> Result<Asked, Rejected>;
}

impl Write for v1::RegisterServiceRequest {
    fn parse(&self) -> Result<Asked, Rejected> {
        // RegisterService takes it off before: a lease is no part of a transaction.
        if self.lease_ttl.is_some() {
            return Err(Rejected::NotBuilt(
                "lease_ttl: a Commit grants no leases; register by RegisterService, or call GrantLease after it"
                    .into(),
            ));
        }
        let given = required("service", self.service.as_ref())?;
        let service = super::service(given).map_err(|fault| fault.under("service"))?;
        let expected = entity_at(
            &EntityRef::service(service.name.clone()),
            self.expected_revision,
        );
        let mutation = Mutation::RegisterService {
            service: Box::new(service),
            strict: self.strict,
        };
        Ok((mutation, expected))
    }
}

impl Write for v1::DeregisterServiceRequest {
    fn parse(&self) -> Result<Asked, Rejected> {
        let key = EntityRef::service(name("name", &self.name)?);
        let expected = entity_at(&key, self.expected_revision);
        let force = self.force;
        Ok((Mutation::DeleteEntity { key, force }, expected))
    }
}

impl Write for v1::UpdateSchemaRequest {
    fn parse(&self) -> Result<Asked, Rejected> {
        let name = name("name", &self.name)?;
        let schema = super::schema(self.schema.as_ref())?;
        let expected = entity_at(&EntityRef::service(name.clone()), self.expected_revision);
        Ok((Mutation::UpdateSchema { name, schema }, expected))
    }
}

impl Write for v1::SetCapabilityRequest {
    fn parse(&self) -> Result<Asked, Rejected> {
        let name = name("name", &self.name)?;
        check_tag("capability", &self.capability)?;
        let expected = entity_at(&EntityRef::service(name.clone()), self.expected_revision);
        let mutation = Mutation::SetCapability {
            name,
            capability: self.capability.as_str().into(),
            enabled: self.enabled,
        };
        Ok((mutation, expected))
    }
}

impl Write for v1::AddDependencyRequest {
    fn parse(&self) -> Result<Asked, Rejected> {
        let name = name("name", &self.name)?;
        let dependency = super::dependency(&name, self.dependency.as_ref())?;
        let expected = entity_at(&EntityRef::service(name.clone()), self.expected_revision);
        Ok((Mutation::AddDependency { name, dependency }, expected))
    }
}

impl Write for v1::RemoveDependencyRequest {
    fn parse(&self) -> Result<Asked, Rejected> {
        let name = name("name", &self.name)?;
        let service = super::name("service", &self.service)?;
        let expected = entity_at(&EntityRef::service(name.clone()), self.expected_revision);
        Ok((Mutation::RemoveDependency { name, service }, expected))
    }
}

impl Write for v1::PutEntityRequest {
    fn parse(&self) -> Result<Asked, Rejected> {
        let given = required("entity", self.entity.as_ref())?;
        let (key, mutation) = entity(given).map_err(|fault| fault.under("entity"))?;
        Ok((mutation, entity_at(&key, self.expected_revision)))
    }
}

impl Write for v1::RegisterPatternRequest {
    /// Without a revision, or with 0, it must not exist: whoever replaces a pattern has seen what they replace.
    fn parse(&self) -> Result<Asked, Rejected> {
        let given = required("pattern", self.pattern.as_ref())?;
        let pattern = super::pattern(given).map_err(|fault| fault.under("pattern"))?;
        let expected = Precondition::EntityAt {
            key: EntityRef::new(Kind::pattern(), pattern.name.clone()),
            revision: self.expected_revision.unwrap_or(0),
        };
        Ok((Mutation::PutPattern(Box::new(pattern)), Some(expected)))
    }
}

impl Write for v1::DeletePatternRequest {
    fn parse(&self) -> Result<Asked, Rejected> {
        let key = EntityRef::new(Kind::pattern(), name("name", &self.name)?);
        let expected = entity_at(&key, self.expected_revision);
        let force = self.force;
        Ok((Mutation::DeleteEntity { key, force }, expected))
    }
}

impl Write for v1::DeleteEntityRequest {
    fn parse(&self) -> Result<Asked, Rejected> {
        let key = entity_ref("ref", self.r#ref.as_ref())?;
        let expected = entity_at(&key, self.expected_revision);
        let force = self.force;
        Ok((Mutation::DeleteEntity { key, force }, expected))
    }
}

impl Write for v1::PutRelationRequest {
    fn parse(&self) -> Result<Asked, Rejected> {
        let given = required("relation", self.relation.as_ref())?;
        let (key, properties) = relation(given).map_err(|fault| fault.under("relation"))?;
        let expected = relation_at(&key, self.expected_revision);
        let mutation = Mutation::PutRelation {
            key,
            properties,
            create_ends: false,
        };
        Ok((mutation, expected))
    }
}

impl Write for v1::DeleteRelationRequest {
    fn parse(&self) -> Result<Asked, Rejected> {
        let key = relation_key(self.from.as_ref(), &self.relation, self.to.as_ref())?;
        let expected = relation_at(&key, self.expected_revision);
        Ok((Mutation::DeleteRelation(key), expected))
    }
}

impl Write for v1::UpdateNodeRequest {
    fn parse(&self) -> Result<Asked, Rejected> {
        let path = path("path", &self.path)?;
        let value = value("value", self.value.as_ref())?;
        let expected = self.expected_revision.map(|revision| Precondition::NodeAt {
            path: path.clone(),
            revision,
        });
        Ok((Mutation::UpdateNode { path, value }, expected))
    }
}

impl Write for v1::DeleteNodeRequest {
    fn parse(&self) -> Result<Asked, Rejected> {
        let path = path("path", &self.path)?;
        let expected = self.expected_revision.map(|revision| Precondition::NodeAt {
            path: path.clone(),
            revision,
        });
        Ok((Mutation::DeleteNode(path), expected))
    }
}

/// Everything that a `Commit` asks for: what must hold, and what is to be done.
///
/// # Errors
/// [`Rejected`], naming the field.
pub fn commit(given: &v1::CommitRequest) -> Result<(Vec<Precondition>, Vec<Mutation>), Rejected> {
    if given.mutations.is_empty() {
        return Err(Fault::new("mutations", "must hold at least one mutation").into());
    }
    if given.mutations.len() > MUTATIONS {
        let count = given.mutations.len();
        let reason = format!("has {count} entries, at most {MUTATIONS} are allowed");
        return Err(Fault::new("mutations", reason).into());
    }
    let (mut preconditions, mut mutations) = (Vec::new(), Vec::new());
    for (i, one) in given.preconditions.iter().enumerate() {
        let parsed = precondition(one);
        preconditions.push(parsed.map_err(|fault| fault.under(&format!("preconditions[{i}]")))?);
    }
    for (i, one) in given.mutations.iter().enumerate() {
        let parsed = mutation(one);
        let (mutation, expected) =
            parsed.map_err(|rejected| rejected.under(&format!("mutations[{i}]")))?;
        mutations.push(mutation);
        preconditions.extend(expected);
    }
    Ok((preconditions, mutations))
}

/// One mutation of a `Commit`. Fields are named from the mutation on.
///
/// # Errors
/// [`Rejected`], naming the field.
pub fn mutation(given: &v1::Mutation) -> Result<Asked, Rejected> {
    use v1::mutation::Mutation as One;
    let Some(one) = &given.mutation else {
        return Err(Fault::new("", "must say what to change").into());
    };
    match one {
        One::RegisterService(body) => {
            inner("register_service", body, &body.request_id, &body.reason)
        }
        One::PutEntity(body) => inner("put_entity", body, &body.request_id, &body.reason),
        One::DeleteEntity(body) => inner("delete_entity", body, &body.request_id, &body.reason),
        One::PutRelation(body) => inner("put_relation", body, &body.request_id, &body.reason),
        One::DeleteRelation(body) => inner("delete_relation", body, &body.request_id, &body.reason),
        One::UpdateNode(body) => inner("update_node", body, &body.request_id, &body.reason),
        One::DeleteNode(body) => inner("delete_node", body, &body.request_id, &body.reason),
    }
}

fn inner(
    field: &str,
    body: &impl Write,
    request_id: &str,
    reason: &str,
) -> Result<Asked, Rejected> {
    for (inner, text) in [("request_id", request_id), ("reason", reason)] {
        if !text.is_empty() {
            let fault = Fault::new(
                inner,
                "belongs to the whole transaction and must be empty here",
            );
            return Err(fault.under(field).into());
        }
    }
    body.parse().map_err(|rejected| rejected.under(field))
}

/// One precondition of a `Commit`. Fields are named from the precondition on.
///
/// # Errors
/// A fault that names the field.
pub fn precondition(given: &v1::Precondition) -> Result<Precondition, Fault> {
    let Some(guard) = &given.precondition else {
        return Err(Fault::new("", "must say what has to hold"));
    };
    Ok(match guard {
        Guard::EntityExists(key) => {
            Precondition::EntityExists(entity_ref("entity_exists", Some(key))?)
        }
        Guard::EntityAbsent(key) => {
            Precondition::EntityAbsent(entity_ref("entity_absent", Some(key))?)
        }
        Guard::EntityAt(at) => Precondition::EntityAt {
            key: entity_ref("entity_at.ref", at.r#ref.as_ref())?,
            revision: at.revision,
        },
        Guard::RelationExists(key) => {
            Precondition::RelationExists(relation_ref("relation_exists", key)?)
        }
        Guard::RelationAbsent(key) => {
            Precondition::RelationAbsent(relation_ref("relation_absent", key)?)
        }
        Guard::DocumentEquals(equals) => Precondition::DocumentEquals {
            path: path("document_equals.path", &equals.path)?,
            value: value("document_equals.value", equals.value.as_ref())?,
        },
        Guard::NoPath(no) => Precondition::NoPath {
            from: entity_ref("no_path.from", no.from.as_ref())?,
            to: entity_ref("no_path.to", no.to.as_ref())?,
            label: super::label_or_depends_on("no_path.relation", &no.relation)?,
        },
        Guard::NoDependents(key) => {
            Precondition::NoDependents(entity_ref("no_dependents", Some(key))?)
        }
        Guard::Acyclic(acyclic) => Precondition::Acyclic(super::label_or_depends_on(
            "acyclic.relation",
            &acyclic.relation,
        )?),
    })
}

fn relation_ref(field: &str, given: &v1::RelationRef) -> Result<RelationKey, Fault> {
    relation_key(given.from.as_ref(), &given.relation, given.to.as_ref())
        .map_err(|fault| fault.under(field))
}

fn relation(given: &v1::Relation) -> Result<(RelationKey, Object), Fault> {
    let key = relation_key(given.from.as_ref(), &given.relation, given.to.as_ref())?;
    let properties = object("properties", given.properties.as_ref())?;
    check_properties("properties", &properties)?;
    Ok((key, properties))
}

fn entity(given: &v1::Entity) -> Result<(EntityRef, Mutation), Fault> {
    use v1::entity::Body;
    let key = entity_ref("ref", given.r#ref.as_ref())?;
    let properties = object("properties", given.properties.as_ref())?;
    check_properties("properties", &properties)?;
    let mutation = match &given.body {
        None => Mutation::PutEntity {
            key: key.clone(),
            properties,
        },
        Some(Body::Service(body)) => {
            let mut service = super::service(body).map_err(|fault| fault.under("service"))?;
            check_body("service", &key, &EntityRef::service(service.name.clone()))?;
            service.metadata = one_of(properties, service.metadata, "service")?;
            Mutation::RegisterService {
                service: Box::new(service),
                strict: false,
            }
        }
        Some(Body::Pattern(body)) => {
            let mut pattern = super::pattern(body).map_err(|fault| fault.under("pattern"))?;
            let named = EntityRef::new(Kind::pattern(), pattern.name.clone());
            check_body("pattern", &key, &named)?;
            pattern.metadata = one_of(properties, pattern.metadata, "pattern")?;
            Mutation::PutPattern(Box::new(pattern))
        }
    };
    Ok((key, mutation))
}

fn check_body(body: &str, key: &EntityRef, named: &EntityRef) -> Result<(), Fault> {
    if key.kind != named.kind {
        return Err(Fault::new(
            body,
            format!("is the body of another kind: the entity is {key}"),
        ));
    }
    if key.name != named.name {
        return Err(Fault::new(
            format!("{body}.name"),
            format!("is {}, but the entity is {key}", named.name),
        ));
    }
    Ok(())
}

/// The properties of a typed entity are its metadata, and may stand in either place, or in both if they agree.
fn one_of(properties: Object, metadata: Object, body: &str) -> Result<Object, Fault> {
    if properties.is_empty() || properties == metadata {
        return Ok(metadata);
    }
    if metadata.is_empty() {
        return Ok(properties);
    }
    Err(Fault::new(
        "properties",
        format!("are the same as {body}.metadata, and the two differ here: give one of them"),
    ))
}

fn entity_at(key: &EntityRef, expected: Option<u64>) -> Option<Precondition> {
    expected.map(|revision| Precondition::EntityAt {
        key: key.clone(),
        revision,
    })
}

fn relation_at(key: &RelationKey, expected: Option<u64>) -> Option<Precondition> {
    expected.map(|revision| Precondition::RelationAt {
        key: key.clone(),
        revision,
    })
}
