//! Planning for dot paths: a write below a typed body is a write of that body, anything else one of a document.

use super::{Planner, node_seen};
use crate::error::Refusal;
use crate::limits::{DOCUMENT_BYTES, JSON_DEPTH};
use crate::model::path::{self, Lost, Part, Path, part};
use crate::model::shape::{
    MIRRORED, pattern_from_object, pattern_object, service_from_object, service_object,
};
use crate::model::{Dependency, EntityRef, Name, Object, Value};
use crate::mutation::Change;
use crate::snapshot::TypedSection;

impl Planner<'_> {
    pub(super) fn update_node(&mut self, at: &Path, value: &Value) -> Result<(), Refusal> {
        value.check().map_err(|f| f.under("value"))?;
        match TypedSection::of(at) {
            Some(TypedSection::Services) => self.update_service_node(at, value),
            Some(TypedSection::Patterns) => self.update_pattern_node(at, value),
            None => self.update_document(at, value),
        }
    }

    pub(super) fn update_document(&mut self, at: &Path, value: &Value) -> Result<(), Refusal> {
        let bytes = value.json_len();
        if bytes > DOCUMENT_BYTES {
            return Err(Refusal::invalid(
                "value",
                format!(
                    "has {bytes} bytes of JSON, at most {} are allowed",
                    DOCUMENT_BYTES
                ),
            ));
        }
        let previous = path::get(self.draft.documents(), at.parts()).ok().cloned();
        if previous.as_ref() == Some(value) {
            return Ok(());
        }
        let levels = at.parts().len() - 1 + value.depth();
        if levels > JSON_DEPTH {
            return Err(Refusal::invalid(
                "path",
                format!(
                    "{at} with this value would be {levels} levels deep, at most {JSON_DEPTH} are allowed"
                ),
            ));
        }
        path::set(
            &mut self.draft.documents().clone(),
            at.parts(),
            value.clone(),
        )
        .map_err(lost)?;
        self.keep(Change::SetNode {
            path: at.clone(),
            value: value.clone(),
            previous,
        })
    }

    pub(super) fn member<'a>(&self, at: &'a Path) -> Result<(Name, &'a [Part]), Refusal> {
        match at.parts() {
            [_] => Err(Refusal::invalid(
                "path",
                format!("{at} is a whole section of typed bodies: write one member at a time"),
            )),
            [_, Part::Key(name), rest @ ..] => Ok((Name::parse("path", name)?, rest)),
            [_, Part::Index(_), ..] => Err(lost(Lost::WrongType(
                at.section().to_string(),
                "a list",
                "an object",
            ))),
            [] => Err(Refusal::invalid("path", "must not be empty")),
        }
    }

    pub(super) fn update_service_node(&mut self, at: &Path, value: &Value) -> Result<(), Refusal> {
        let (name, rest) = self.member(at)?;
        let known = self.draft.service(name.as_str()).map(|e| self.spec_seen(e));
        let object = known.as_ref().map_or_else(Object::new, service_object);
        let object = written(at, object, rest, value)?;
        self.put_service_object(
            at,
            &name,
            &object,
            known.map_or_else(Vec::new, |k| k.dependencies),
        )
    }

    pub(super) fn put_service_object(
        &mut self,
        at: &Path,
        name: &Name,
        object: &Object,
        known: Vec<Dependency>,
    ) -> Result<(), Refusal> {
        let prefix = format!("{}.{}", at.section(), part(name.as_str()));
        let spec = service_from_object(name, object, &known).map_err(|faults| {
            Refusal::Invalid(faults.into_iter().map(|f| f.under(&prefix)).collect())
        })?;
        self.put_service(&spec)
    }

    pub(super) fn update_pattern_node(&mut self, at: &Path, value: &Value) -> Result<(), Refusal> {
        let (name, rest) = self.member(at)?;
        let known = self
            .draft
            .find("pattern", name.as_str())
            .map(|e| crate::snapshot::pattern_spec(e));
        let object = known.as_ref().map_or_else(Object::new, pattern_object);
        let object = written(at, object, rest, value)?;
        self.put_pattern_object(at, &name, &object)
    }

    pub(super) fn put_pattern_object(
        &mut self,
        at: &Path,
        name: &Name,
        object: &Object,
    ) -> Result<(), Refusal> {
        let prefix = format!("{}.{}", at.section(), part(name.as_str()));
        let spec = pattern_from_object(name, object).map_err(|faults| {
            Refusal::Invalid(faults.into_iter().map(|f| f.under(&prefix)).collect())
        })?;
        self.put_pattern(&spec)
    }

    pub(super) fn delete_node(&mut self, at: &Path) -> Result<(), Refusal> {
        let Some(section) = TypedSection::of(at) else {
            let previous = path::get(self.draft.documents(), at.parts())
                .map_err(lost)?
                .clone();
            return self.keep(Change::RemoveNode {
                path: at.clone(),
                previous,
            });
        };
        let (name, rest) = self.member(at)?;
        node_seen(&self.draft, self.authority, at).map_err(lost)?;
        let key = EntityRef::new(section.kind(), name.clone());
        if rest.is_empty() {
            return self.delete_entity(&key, false);
        }
        let entity = self
            .draft
            .entity(&key)
            .cloned()
            .ok_or_else(|| Refusal::NotFound(key.to_string()))?;
        let (mut object, known) = match section {
            TypedSection::Services => {
                let spec = self.spec_seen(&entity);
                (service_object(&spec), spec.dependencies)
            }
            TypedSection::Patterns => (
                pattern_object(&crate::snapshot::pattern_spec(&entity)),
                Vec::new(),
            ),
        };
        path::remove(&mut object, top_of(rest)).map_err(lost)?;
        match section {
            TypedSection::Services => self.put_service_object(at, &name, &object, known),
            TypedSection::Patterns => self.put_pattern_object(at, &name, &object),
        }
    }
}

/// What a path that led nowhere means for the caller.
fn lost(lost: Lost) -> Refusal {
    match lost {
        Lost::Missing(at) => Refusal::NotFound(format!("path {at}")),
        Lost::WrongType(at, wanted, found) => Refusal::invalid(
            "path",
            format!("{at} is {found}, where the path needs {wanted}"),
        ),
    }
}

/// The path below a service without its detour through `metadata`, where the field stands at the top too.
fn top_of(rest: &[Part]) -> &[Part] {
    match rest {
        [Part::Key(metadata), Part::Key(field), ..]
            if metadata.as_ref() == "metadata" && MIRRORED.contains(&field.as_ref()) =>
        {
            &rest[1..]
        }
        _ => rest,
    }
}

/// A typed body's object after a write below it.
fn written(at: &Path, mut object: Object, rest: &[Part], value: &Value) -> Result<Object, Refusal> {
    if rest.is_empty() {
        let Value::Object(whole) = value else {
            return Err(Refusal::invalid(
                "value",
                format!("{at} must be an object, not {}", value.type_name()),
            ));
        };
        return Ok(whole.clone());
    }
    if let [Part::Index(_), ..] = rest {
        let body = path::render(&at.parts()[..2]);
        return Err(lost(Lost::WrongType(body, "a list", "an object")));
    }
    // What `metadata` says of a mirrored field replaces what stands at the top; else the two would contradict.
    if let ([Part::Key(only)], Value::Object(members)) = (rest, value)
        && only.as_ref() == "metadata"
    {
        MIRRORED
            .iter()
            .filter(|field| members.contains_key(**field))
            .for_each(|field| drop(object.remove(*field)));
    }
    let prefix = path::render(&at.parts()[..2]);
    path::set(&mut object, top_of(rest), value.clone()).map_err(|l| match l {
        Lost::Missing(inner) => lost(Lost::Missing(format!("{prefix}.{inner}"))),
        Lost::WrongType(inner, wanted, found) => {
            lost(Lost::WrongType(format!("{prefix}.{inner}"), wanted, found))
        }
    })?;
    Ok(object)
}
