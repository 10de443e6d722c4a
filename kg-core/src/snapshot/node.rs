//! Nodes: the graph as one JSON tree, read by dot path.
//!
//! `services` and `patterns` are views of the typed bodies; every other section is a document.

use super::state::Snapshot;
use crate::model::path::{self, Lost, Part, Path, part, render};
use crate::model::shape;
use crate::model::{
    Body, Entity, Kind, Object, PatternBody, PatternSpec, ServiceBody, ServiceSpec, Value,
};

/// A section whose members are typed bodies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TypedSection {
    /// `services`
    Services,
    /// `patterns`
    Patterns,
}

impl TypedSection {
    /// The typed section that a path is in.
    #[must_use]
    pub fn of(path: &Path) -> Option<Self> {
        match path.section().as_ref() {
            "services" => Some(Self::Services),
            "patterns" => Some(Self::Patterns),
            _ => None,
        }
    }

    /// The kind of its members.
    #[must_use]
    pub fn kind(self) -> Kind {
        match self {
            Self::Services => Kind::service(),
            Self::Patterns => Kind::pattern(),
        }
    }
}

impl Snapshot {
    /// What stands at `path`. Cost: O(parts) in a document; one body for a path below `services.<name>`; the whole
    /// section for `services` itself.
    ///
    /// # Errors
    /// [`Lost`], naming the first prefix that led nowhere.
    pub fn node(&self, path: &Path) -> Result<Value, Lost> {
        let Some(section) = TypedSection::of(path) else {
            return path::get(&self.documents, path.parts()).cloned();
        };
        let parts = path.parts();
        let Some(name) = parts.get(1) else {
            return Ok(Value::Object(self.typed_section(section)));
        };
        let Part::Key(name) = name else {
            return Err(Lost::WrongType(render(&parts[..1]), "a list", "an object"));
        };
        let prefix = || format!("{}.{}", path.section(), part(name));
        let entity = self
            .find(section.kind().as_str(), name)
            .ok_or_else(|| Lost::Missing(prefix()))?;
        let value = self.body_value(entity);
        if parts.len() == 2 {
            return Ok(value);
        }
        // The body is laid below its own path, so that an error names the whole prefix.
        let root = Object::unit(name.clone(), value);
        path::get(&root, &parts[1..])
            .cloned()
            .map_err(|lost| match lost {
                Lost::Missing(at) => Lost::Missing(format!("{}.{at}", path.section())),
                Lost::WrongType(at, wanted, found) => {
                    Lost::WrongType(format!("{}.{at}", path.section()), wanted, found)
                }
            })
    }

    /// All members of a typed section, placeholders apart.
    fn typed_section(&self, section: TypedSection) -> Object {
        let kind = section.kind();
        self.names(&kind, None, false)
            .filter_map(|name| {
                self.find(kind.as_str(), name.as_str())
                    .map(|e| (name.shared(), self.body_value(e)))
            })
            .collect()
    }

    /// A service or a pattern in its JSON shape; anything else as its properties.
    #[must_use]
    pub fn body_value(&self, entity: &Entity) -> Value {
        match &entity.body {
            Body::Service(_) | Body::Placeholder => {
                shape::service_value(&self.service_spec(entity), !entity.is_placeholder())
            }
            Body::Pattern(_) => Value::Object(shape::pattern_object(&pattern_spec(entity))),
            Body::Plain => Value::Object(entity.properties.clone()),
        }
    }

    /// The registration that would make this service what it is.
    #[must_use]
    pub fn service_spec(&self, entity: &Entity) -> ServiceSpec {
        ServiceSpec {
            name: entity.key.name.clone(),
            body: entity
                .service()
                .cloned()
                .unwrap_or_else(ServiceBody::default),
            dependencies: self.dependencies(entity),
            metadata: entity.properties.clone(),
        }
    }
}

/// The definition that would make this pattern what it is.
#[must_use]
pub fn pattern_spec(entity: &Entity) -> PatternSpec {
    PatternSpec {
        name: entity.key.name.clone(),
        body: entity
            .pattern()
            .cloned()
            .unwrap_or_else(PatternBody::default),
        metadata: entity.properties.clone(),
    }
}
