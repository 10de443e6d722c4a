//! Where a file does not fit its message. The parser says what is wrong and not where; a file of a hundred lines needs both.

use kg_core::model::path::part;
use prost_reflect::{DeserializeOptions, DynamicMessage, Kind, MessageDescriptor};
use serde_json::{Value, json};

/// The path of the first member that does not fit: one that there is no field for, or one of another type. Each member is tried by
/// itself, and of the first that is refused each member in turn.
pub fn misfit(
    message: &MessageDescriptor,
    value: &Value,
    options: &DeserializeOptions,
) -> Option<String> {
    let refused = |key: &str, member: &Value| {
        let alone = json!({ key: member });
        DynamicMessage::deserialize_with_options(message.clone(), alone, options).is_err()
    };
    let members = value.as_object()?;
    let (key, member) = members.iter().find(|(key, member)| refused(key, member))?;
    let here = part(key);
    let field = message
        .get_field_by_name(key)
        .or_else(|| message.get_field_by_json_name(key));
    let Some(Kind::Message(below)) = field.map(|field| field.kind()) else {
        return Some(here);
    };
    // Those of Google have a form of their own.
    if below.is_map_entry() || below.full_name().starts_with("google.protobuf.") {
        return Some(here);
    }
    let inside = |at: &str, member: &Value| match misfit(&below, member, options) {
        Some(place) => format!("{at}.{place}"),
        None => at.to_owned(),
    };
    let wrong = match member.as_array() {
        None => return Some(inside(&here, member)),
        Some(items) => items
            .iter()
            .enumerate()
            .find(|(_, item)| refused(key, &json!([item]))),
    };
    Some(match wrong {
        Some((i, item)) => inside(&format!("{here}[{i}]"), item),
        None => here,
    })
}
