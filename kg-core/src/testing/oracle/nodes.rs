//! The oracle by dot path: documents as they are, typed bodies through their JSON shape.

use super::typed::{MIRRORED, pattern_json, read_pattern, read_service, service_json, shown};
use super::{No, Node, Oracle, Verdict, json, must};
use crate::model::{Body, Dependency, EntityRef, Kind, Name, Object, Part, Path, Value};

/// A path below one member of a typed section.
struct Member<'p> {
    key: EntityRef,
    rest: &'p [Part],
}

impl Oracle {
    /// What stands at a path.
    ///
    /// # Errors
    /// [`No::NotFound`] where nothing does, [`No::Invalid`] where something of another type is in the way.
    pub fn node(&self, path: &Path) -> Result<Value, No> {
        let parts = path.parts();
        let Some(kind) = typed_kind(path) else {
            return json::at(&Value::Object(self.documents.clone()), parts);
        };
        match parts {
            [_] => {
                let members = self
                    .entities
                    .iter()
                    .filter(|(key, node)| key.kind == kind && node.body != Body::Placeholder)
                    .map(|(key, node)| (key.name.shared(), self.body_json(key, node)));
                Ok(Value::Object(members.collect()))
            }
            [_, Part::Key(name), rest @ ..] => {
                let (key, node) = self
                    .entities
                    .iter()
                    .find(|(key, _)| key.kind == kind && key.name.as_str() == name.as_ref())
                    .ok_or(No::NotFound)?;
                json::at(&self.body_json(key, node), rest)
            }
            _ => Err(No::Invalid),
        }
    }

    fn body_json(&self, key: &EntityRef, node: &Node) -> Value {
        let whole = match &node.body {
            Body::Pattern(body) => pattern_json(&key.name, body, &node.properties),
            _ => {
                let registered = node.body != Body::Placeholder;
                shown(self.service_object(key, node), registered)
            }
        };
        Value::Object(whole)
    }

    fn service_object(&self, key: &EntityRef, node: &Node) -> Object {
        let body = match &node.body {
            Body::Service(body) => (**body).clone(),
            _ => Default::default(),
        };
        service_json(&key.name, &body, &self.dependencies(key), &node.properties)
    }

    pub(super) fn update_node(&mut self, path: &Path, value: &Value) -> Verdict {
        if typed_kind(path).is_none() {
            if self.node(path).as_ref() == Ok(value) {
                return Ok(());
            }
            let documents = Value::Object(self.documents.clone());
            return self.put_documents(path, json::with(&documents, path.parts(), value)?);
        }
        let Member { key, rest } = member(path)?;
        let known = self.object_of(&key);
        let mut object = known.clone().unwrap_or_default();
        if let [Part::Key(only)] = rest
            && only.as_ref() == "metadata"
            && let Value::Object(members) = value
        {
            // What the metadata says of a mirrored field is said of the field.
            for field in MIRRORED
                .iter()
                .filter(|field| members.contains_key(**field))
            {
                object.remove(*field);
            }
        }
        let written = match rest {
            [] => value.clone(),
            rest => json::with(&Value::Object(object), top(rest), value)?,
        };
        self.put_object(&key, &written)
    }

    pub(super) fn delete_node(&mut self, path: &Path) -> Verdict {
        if typed_kind(path).is_none() {
            let documents = Value::Object(self.documents.clone());
            return self.put_documents(path, json::without(&documents, path.parts())?);
        }
        let Member { key, rest } = member(path)?;
        self.node(path)?;
        if rest.is_empty() {
            return self.delete(&key, false);
        }
        let object = self.object_of(&key).ok_or(No::NotFound)?;
        let left = json::without(&Value::Object(object), top(rest))?;
        self.put_object(&key, &left)
    }

    fn put_documents(&mut self, path: &Path, whole: Value) -> Verdict {
        let Value::Object(documents) = whole else {
            unreachable!("a path begins with a key")
        };
        let section = path.section();
        if documents.contains_key(section) {
            self.sections.insert(section.to_string(), self.revision);
        } else {
            self.sections.remove(section.as_ref());
        }
        self.documents = documents;
        self.changed = true;
        Ok(())
    }

    /// A typed body as a write by path edits it.
    fn object_of(&self, key: &EntityRef) -> Option<Object> {
        let node = self.entities.get(key)?;
        Some(match &node.body {
            Body::Pattern(body) => pattern_json(&key.name, body, &node.properties),
            _ => self.service_object(key, node),
        })
    }

    fn put_object(&mut self, key: &EntityRef, whole: &Value) -> Verdict {
        let object = whole.as_object().ok_or(No::Invalid)?;
        if key.is_pattern() {
            return self.put_pattern(&read_pattern(&key.name, object)?);
        }
        let known: Vec<Dependency> = match self.entities.contains_key(key) {
            true => self.dependencies(key),
            false => Vec::new(),
        };
        let spec = read_service(&key.name, object, &known)?;
        must(super::rules::is_service(&spec), No::Invalid)?;
        self.put_service(&spec)
    }
}

fn typed_kind(path: &Path) -> Option<Kind> {
    match path.section().as_ref() {
        "services" => Some(Kind::service()),
        "patterns" => Some(Kind::pattern()),
        _ => None,
    }
}

fn member(path: &Path) -> Result<Member<'_>, No> {
    let kind = typed_kind(path).ok_or(No::Invalid)?;
    match path.parts() {
        [_, Part::Key(name), rest @ ..] => {
            let name = Name::parse("path", name).map_err(|_| No::Invalid)?;
            let key = EntityRef::new(kind, name);
            Ok(Member { key, rest })
        }
        _ => Err(No::Invalid),
    }
}

/// A mirrored field is the same under `metadata` and at the top.
fn top(rest: &[Part]) -> &[Part] {
    match rest {
        [Part::Key(detour), Part::Key(field), ..]
            if detour.as_ref() == "metadata" && MIRRORED.contains(&field.as_ref()) =>
        {
            &rest[1..]
        }
        rest => rest,
    }
}
