//! Entities as people write them: `kind/name`, or a bare name for a service.

use amadeus_proto::v1::EntityRef;

/// Reads `kind/name`; a bare name means `service/<name>`. Only the first slash separates, for names may hold others.
pub fn parse_ref(text: &str) -> Result<EntityRef, String> {
    let (kind, name) = text.split_once('/').unwrap_or(("service", text));
    if kind.is_empty() || name.is_empty() {
        return Err("an entity is written kind/name, or just the name of a service".to_owned());
    }
    Ok(EntityRef {
        kind: kind.to_owned(),
        name: name.to_owned(),
    })
}

/// Writes `kind/name`.
pub fn written(entity: &EntityRef) -> String {
    format!("{}/{}", entity.kind, entity.name)
}

/// Writes `kind/name`, or nothing for an entity that a reply left out.
pub fn written_or_none(entity: Option<&EntityRef>) -> String {
    entity.map(written).unwrap_or_default()
}

/// Writes several, with something between them.
pub fn written_all(entities: &[EntityRef], between: &str) -> String {
    entities
        .iter()
        .map(written)
        .collect::<Vec<_>>()
        .join(between)
}

/// `service` with this name.
pub fn service(name: &str) -> EntityRef {
    EntityRef {
        kind: "service".to_owned(),
        name: name.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bare_name_is_a_service_and_only_the_first_slash_separates() {
        for (text, kind, name) in [
            ("checkout", "service", "checkout"),
            ("team/payments", "team", "payments"),
            ("file/src/main.rs", "file", "src/main.rs"),
        ] {
            let entity = parse_ref(text).expect(text);
            assert_eq!((entity.kind.as_str(), entity.name.as_str()), (kind, name));
        }
    }

    #[test]
    fn half_a_name_is_refused() {
        for text in ["", "/", "team/", "/payments"] {
            assert!(parse_ref(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn what_is_written_reads_back() {
        let entity = parse_ref("team/payments").expect("it is well formed");
        assert_eq!(parse_ref(&written(&entity)), Ok(entity));
    }
}
