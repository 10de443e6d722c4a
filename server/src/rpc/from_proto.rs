//! The only way in from the wire: every field is parsed into the model's own types, or refused by its name as the client
//! wrote it (`service.dependencies[2].service`).
//!
//! What one message can be wrong about by itself is found here; what depends on the graph is `plan`'s to find.

mod mutation;
mod pattern;
mod service;
mod user;
mod value;

pub use mutation::{Asked, Write, commit, mutation, precondition};
pub use pattern::{pattern, read_pattern};
pub use service::{dependency, schema, service};
pub use user::{grant, grants, profile, role, scope};
pub use value::{object, value};

use amadeus_proto::v1;
use kg_core::error::Fault;
use kg_core::limits::{REASON_BYTES, REQUEST_ID_BYTES};
use kg_core::model::{EntityRef, Health, Kind, Label, Name, Path, RelationKey};
use kg_core::nexus::StepState;
use kg_core::query::Direction;

/// Why a message was not let in.
#[derive(Debug, PartialEq, Eq)]
pub enum Rejected {
    /// A field breaks a rule.
    Field(Fault),
    /// A field asks for something that this program does not do yet.
    NotBuilt(String),
}

impl From<Fault> for Rejected {
    fn from(fault: Fault) -> Self {
        Self::Field(fault)
    }
}

impl Rejected {
    /// The same, seen from one level further out.
    #[must_use]
    pub fn under(self, parent: &str) -> Self {
        match self {
            Self::Field(fault) => Self::Field(fault.under(parent)),
            Self::NotBuilt(what) => Self::NotBuilt(what),
        }
    }
}

/// A field that must be there.
///
/// # Errors
/// A fault of `field`.
pub fn required<T>(field: &str, given: Option<T>) -> Result<T, Fault> {
    given.ok_or_else(|| Fault::new(field, "is required"))
}

/// The name of a service.
///
/// # Errors
/// A fault of `field`.
pub fn name(field: &str, word: &str) -> Result<Name, Fault> {
    Name::parse(field, word)
}

/// The name of an entity.
///
/// # Errors
/// A fault of `field` or of a field below it.
pub fn entity_ref(field: &str, given: Option<&v1::EntityRef>) -> Result<EntityRef, Fault> {
    let given = required(field, given)?;
    let parsed = || -> Result<EntityRef, Fault> {
        Ok(EntityRef::new(
            Kind::parse("kind", &given.kind)?,
            Name::parse("name", &given.name)?,
        ))
    };
    parsed().map_err(|fault| fault.under(field))
}

/// Names of entities, at least one.
///
/// # Errors
/// A fault of `field` or of one of its entries.
pub fn entity_refs(field: &str, given: &[v1::EntityRef]) -> Result<Vec<EntityRef>, Fault> {
    if given.is_empty() {
        return Err(Fault::new(field, "must name at least one entity"));
    }
    let one = |(i, entry)| entity_ref(&format!("{field}[{i}]"), Some(entry));
    given.iter().enumerate().map(one).collect()
}

/// Labels of relations.
///
/// # Errors
/// A fault of one of its entries.
pub fn labels(field: &str, given: &[String]) -> Result<Vec<Label>, Fault> {
    let one = |(i, word): (usize, &String)| Label::parse(&format!("{field}[{i}]"), word);
    given.iter().enumerate().map(one).collect()
}

/// One label; `depends_on` where none is given.
///
/// # Errors
/// A fault of `field`.
pub fn label_or_depends_on(field: &str, given: &str) -> Result<Label, Fault> {
    if given.is_empty() {
        return Ok(Label::depends_on());
    }
    Label::parse(field, given)
}

/// Kinds of entities.
///
/// # Errors
/// A fault of one of its entries.
pub fn kinds(field: &str, given: &[String]) -> Result<Vec<Kind>, Fault> {
    let one = |(i, word): (usize, &String)| Kind::parse(&format!("{field}[{i}]"), word);
    given.iter().enumerate().map(one).collect()
}

/// What a relation is known by.
///
/// # Errors
/// A fault of `from`, `relation` or `to`.
pub fn relation_key(
    from: Option<&v1::EntityRef>,
    relation: &str,
    to: Option<&v1::EntityRef>,
) -> Result<RelationKey, Fault> {
    Ok(RelationKey {
        from: entity_ref("from", from)?,
        label: Label::parse("relation", relation)?,
        to: entity_ref("to", to)?,
    })
}

/// Bytes of a path that is shown whole in the message about it.
const SHOWN_BYTES: usize = 256;

/// A dot path.
///
/// # Errors
/// A fault of `field`.
pub fn path(field: &str, text: &str) -> Result<Path, Fault> {
    Path::parse(text).map_err(|fault| {
        if text.is_empty() || text.len() > SHOWN_BYTES {
            return Fault::new(field, fault.reason);
        }
        Fault::new(field, format!("{text:?} {}", fault.reason))
    })
}

/// A number that must name a value of an enum.
///
/// # Errors
/// A fault of `field` that tells the number.
pub fn number_of<T: TryFrom<i32>>(field: &str, number: i32) -> Result<T, Fault> {
    T::try_from(number).map_err(|_| {
        let name = std::any::type_name::<T>()
            .rsplit("::")
            .next()
            .unwrap_or("the enum");
        Fault::new(field, format!("has the unknown value {number} of {name}"))
    })
}

/// Which way to follow relations.
///
/// # Errors
/// A fault of `field`.
pub fn direction(field: &str, number: i32) -> Result<Direction, Fault> {
    Ok(match number_of::<v1::Direction>(field, number)? {
        v1::Direction::Out => Direction::Out,
        v1::Direction::In => Direction::In,
        v1::Direction::Both => Direction::Both,
    })
}

/// A health.
///
/// # Errors
/// A fault of `field`.
pub fn health(field: &str, number: i32) -> Result<Health, Fault> {
    Ok(match number_of::<v1::Health>(field, number)? {
        v1::Health::Unknown => Health::Unknown,
        v1::Health::Up => Health::Up,
        v1::Health::Degraded => Health::Degraded,
        v1::Health::Down => Health::Down,
    })
}

/// How a step is doing.
#[must_use]
pub fn step_state(state: v1::StepState) -> StepState {
    use v1::StepState as S;
    match state {
        S::Unspecified | S::StepPending => StepState::Pending,
        S::StepRunning => StepState::Running,
        S::StepRetrying => StepState::Retrying,
        S::StepSucceeded => StepState::Succeeded,
        S::StepFailed => StepState::Failed,
        S::StepSkipped => StepState::Skipped,
        S::StepCancelled => StepState::Cancelled,
        S::StepCompensating => StepState::Compensating,
        S::StepCompensated => StepState::Compensated,
        S::StepCompensationFailed => StepState::CompensationFailed,
    }
}

/// The id and the reason that a write came with.
///
/// # Errors
/// A fault of `request_id` or `reason`.
pub fn check_identity(request_id: &str, reason: &str) -> Result<(), Fault> {
    if request_id.len() > REQUEST_ID_BYTES {
        return Err(Fault::new(
            "request_id",
            format!(
                "has {} bytes, at most {REQUEST_ID_BYTES} are allowed",
                request_id.len()
            ),
        ));
    }
    if let Some(bad) = request_id.chars().find(|c| c.is_control()) {
        return Err(Fault::new(
            "request_id",
            format!(
                "must not contain the control character U+{:04X}",
                bad as u32
            ),
        ));
    }
    check_text("reason", reason, REASON_BYTES)
}

/// A moment in milliseconds since 1970; none where none is given.
///
/// # Errors
/// A fault of `field`.
pub fn milliseconds(
    field: &str,
    given: Option<&prost_types::Timestamp>,
) -> Result<Option<u64>, Fault> {
    let Some(given) = given else { return Ok(None) };
    let is_whole = (0..1_000_000_000).contains(&given.nanos);
    let seconds = u64::try_from(given.seconds).ok().filter(|_| is_whole);
    let ms = seconds.and_then(|s| {
        s.checked_mul(1_000)?
            .checked_add(u64::from(given.nanos.unsigned_abs()) / 1_000_000)
    });
    ms.map(Some)
        .ok_or_else(|| Fault::new(field, "is no time since 1970"))
}

/// Free text of at most `bytes` bytes.
///
/// # Errors
/// A fault of `field`.
pub fn check_text(field: &str, text: &str, bytes: usize) -> Result<(), Fault> {
    if text.len() > bytes {
        return Err(Fault::new(
            field,
            format!("has {} bytes, at most {bytes} are allowed", text.len()),
        ));
    }
    kg_core::model::service::check_text(field, text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_names_the_field_as_the_client_knows_it() {
        let nameless = v1::EntityRef {
            kind: "probe".into(),
            name: String::new(),
        };
        let fault = entity_refs("refs", &[nameless]).expect_err("it has no name");
        assert_eq!(fault.field, "refs[0].name");
        assert_eq!(
            entity_ref("ref", None).expect_err("nothing").field,
            "ref".to_owned()
        );
    }

    #[test]
    fn an_unknown_enum_number_is_told() {
        let fault = health("service.health", 99).expect_err("no such health");
        assert_eq!(fault.field, "service.health");
        assert!(fault.reason.contains("99"), "{fault}");
    }

    #[test]
    fn request_ids_are_short_and_printable() {
        assert!(check_identity("abc", "because\nof this").is_ok());
        assert_eq!(
            check_identity(&"r".repeat(129), "")
                .expect_err("long")
                .field,
            "request_id"
        );
        assert_eq!(
            check_identity("a\nb", "").expect_err("control").field,
            "request_id"
        );
        assert_eq!(
            check_identity("", &"r".repeat(2_000))
                .expect_err("long")
                .field,
            "reason"
        );
    }
}
