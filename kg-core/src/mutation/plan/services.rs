//! Planning for services: registrations, and the dependencies that they name.

use super::{Planner, refuse};
use crate::error::Refusal;
use crate::model::service::dependency_faults;
use crate::model::{
    APPENDED, Body, Dependency, Entity, EntityRef, Label, Name, Object, RelationKey, ServiceSpec,
};
use std::collections::HashSet;
use std::sync::Arc;

impl Planner<'_> {
    pub(super) fn register(&mut self, spec: &ServiceSpec, strict: bool) -> Result<(), Refusal> {
        refuse(
            spec.faults()
                .into_iter()
                .map(|f| f.under("service"))
                .collect(),
        )?;
        let spec = spec.clone().normalised();
        if strict {
            let absent = |d: &&Dependency| {
                self.draft
                    .service(d.service.as_str())
                    .is_none_or(|e| e.is_placeholder())
            };
            let blockers: Vec<String> = spec
                .dependencies
                .iter()
                .filter(absent)
                .map(|d| format!("service/{}", d.service))
                .collect();
            if !blockers.is_empty() {
                let reason = format!(
                    "strict registration of {}: dependencies that have not registered",
                    spec.name
                );
                return Err(Refusal::Precondition { reason, blockers });
            }
        }
        self.put_service(&spec)
    }

    pub(super) fn put_service(&mut self, spec: &ServiceSpec) -> Result<(), Refusal> {
        let key = EntityRef::service(spec.name.clone());
        self.put_entity(
            &key,
            Body::Service(Box::new(spec.body.clone())),
            spec.metadata.clone(),
        )?;
        self.put_dependencies(&key, &spec.dependencies)
    }

    /// Makes the dependencies of a service exactly these, in this order.
    pub(super) fn put_dependencies(
        &mut self,
        key: &EntityRef,
        wanted: &[Dependency],
    ) -> Result<(), Refusal> {
        let Some(entity) = self.draft.entity(key).cloned() else {
            return Ok(());
        };
        let named: HashSet<&Name> = wanted.iter().map(|d| &d.service).collect();
        for old in self.draft.dependencies(&entity) {
            // What the caller may not see was not left out on purpose.
            if !named.contains(&old.service) && self.sees(&EntityRef::service(old.service.clone()))
            {
                self.delete_relation(&dependency_key(&key.name, &old.service))?;
            }
        }
        // A dependency that was added later has no place of its own. Where the wanted order is the one that is shown, none is
        // given to it: a service that is registered as it stands changes nothing.
        let mut shown = self.draft.dependencies(&entity);
        shown.retain(|d| named.contains(&d.service));
        let in_order = shown
            .iter()
            .map(|d| &d.service)
            .eq(wanted.iter().map(|d| &d.service));
        for (position, dependency) in wanted.iter().enumerate() {
            let position = u32::try_from(position).unwrap_or(APPENDED);
            let key = dependency_key(&key.name, &dependency.service);
            self.stand_in(&key.to)?;
            let position = (!in_order).then_some(position);
            self.keep_relation(&key, dependency.relation_properties(), position)?;
        }
        Ok(())
    }

    /// Sees to it that a service of this name stands in the graph, as a placeholder if it has not registered.
    pub(super) fn stand_in(&mut self, key: &EntityRef) -> Result<(), Refusal> {
        if self.draft.entity(key).is_some() {
            return Ok(());
        }
        let body = if key.is_service() {
            Body::Placeholder
        } else if key.is_pattern() {
            Body::Pattern(Box::default())
        } else {
            Body::Plain
        };
        self.put_entity(key, body, Object::new())
    }

    pub(super) fn registered(&self, name: &Name) -> Result<Arc<Entity>, Refusal> {
        match self.draft.service(name.as_str()) {
            Some(entity) if !entity.is_placeholder() => Ok(entity.clone()),
            _ => Err(Refusal::NotFound(format!("service/{name}"))),
        }
    }

    pub(super) fn edit_service(
        &mut self,
        name: &Name,
        edit: impl FnOnce(&mut ServiceSpec),
    ) -> Result<(), Refusal> {
        let entity = self.registered(name)?;
        // The dependencies are relations and stay as they are.
        let mut spec = ServiceSpec {
            dependencies: Vec::new(),
            ..self.draft.service_spec(&entity)
        };
        edit(&mut spec);
        refuse(spec.faults())?;
        self.put_entity(
            &entity.key,
            Body::Service(Box::new(spec.body)),
            spec.metadata,
        )
    }

    pub(super) fn add_dependency(
        &mut self,
        name: &Name,
        dependency: &Dependency,
    ) -> Result<(), Refusal> {
        self.registered(name)?;
        refuse(
            dependency_faults(name, dependency)
                .into_iter()
                .map(|f| f.under("dependency"))
                .collect(),
        )?;
        let key = dependency_key(name, &dependency.service);
        self.stand_in(&key.to)?;
        self.keep_relation(&key, dependency.relation_properties(), None)
    }
}

pub(super) fn dependency_key(from: &Name, to: &Name) -> RelationKey {
    RelationKey {
        from: EntityRef::service(from.clone()),
        label: Label::depends_on(),
        to: EntityRef::service(to.clone()),
    }
}
