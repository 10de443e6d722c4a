//! Replies for programs, and messages from files: between generated types and JSON or YAML by way of their descriptors, so
//! that no message has to be described twice. Names are those of the `.proto` files, 64-bit integers are numbers, and
//! fields without presence are always there.

use std::sync::LazyLock;

use amadeus_proto::FILE_DESCRIPTOR_SET;
use kg_core::model::path::part;
use prost::{Message, Name};
use prost_reflect::{
    DescriptorPool, DeserializeOptions, DynamicMessage, MessageDescriptor, SerializeOptions,
};
use serde_yaml_ng::Value as Tree;

use super::{failure::CliError, misfit::misfit};

/// Integers up to here are exact as doubles, which is what numbers in properties and documents are.
const MAX_EXACT: u64 = 1 << 53;

static POOL: LazyLock<Option<DescriptorPool>> =
    LazyLock::new(|| DescriptorPool::decode(FILE_DESCRIPTOR_SET).ok());

/// A message as a tree that keeps the order of its fields (a YAML tree does, a JSON one would sort them).
pub fn tree<M: Message + Name>(message: &M) -> Result<Tree, CliError> {
    let reply = |why: String| CliError::Reply(format!("the reply cannot be shown: {why}"));
    let bytes = message.encode_to_vec();
    let dynamic = DynamicMessage::decode(descriptor::<M>()?, bytes.as_slice())
        .map_err(|e| reply(e.to_string()))?;
    let options = SerializeOptions::new()
        .use_proto_field_name(true)
        .stringify_64_bit_integers(false)
        .skip_default_fields(false);
    let mut tree = dynamic
        .serialize_with_options(serde_yaml_ng::value::Serializer, &options)
        .map_err(|e| reply(e.to_string()))?;
    write_whole_numbers_as_integers(&mut tree);
    Ok(tree)
}

/// A tree as JSON over several lines.
pub fn json(tree: &Tree) -> Result<String, CliError> {
    serde_json::to_string_pretty(tree).map_err(|e| CliError::Reply(e.to_string()))
}

/// A tree as JSON on one line.
pub fn json_line(tree: &Tree) -> Result<String, CliError> {
    serde_json::to_string(tree).map_err(|e| CliError::Reply(e.to_string()))
}

/// A tree as YAML.
pub fn yaml(tree: &Tree) -> Result<String, CliError> {
    serde_yaml_ng::to_string(tree).map_err(|e| CliError::Reply(e.to_string()))
}

/// A message from JSON or YAML (which reads JSON as well), with no field that the message does not have.
pub fn parse<M: Message + Name + Default>(text: &str) -> Result<M, CliError> {
    // By way of YAML's own tree, which refuses a key that is written twice: of two values one would be lost without a word.
    let tree: Tree = serde_yaml_ng::from_str(text)
        .map_err(|e| CliError::Usage(format!("neither JSON nor YAML: {e}")))?;
    let value = serde_json::to_value(&tree)
        .map_err(|e| CliError::Usage(format!("it has what JSON does not: {e}")))?;
    refuse_inexact_integers(&value)?;
    let options = DeserializeOptions::new().deny_unknown_fields(true);
    let descriptor = descriptor::<M>()?;
    let refused = |why: String| CliError::Usage(format!("not a {}: {why}", M::NAME));
    let parsed = DynamicMessage::deserialize_with_options(descriptor.clone(), &value, &options);
    let dynamic = parsed.map_err(|error| {
        let mut why = error.to_string();
        if why.ends_with("expected a string") {
            why += ": put it in quotes";
        }
        match misfit(&descriptor, &value, &options) {
            Some(place) => refused(format!("{place}: {why}")),
            None => refused(why),
        }
    })?;
    dynamic.transcode_to().map_err(|e| refused(e.to_string()))
}

/// A number in a property is a double; what cannot be one exactly is refused, never rounded.
pub fn refuse_inexact_integers(value: &serde_json::Value) -> Result<(), CliError> {
    match inexact_integer("", value) {
        None => Ok(()),
        Some((at, number)) => Err(CliError::Usage(format!(
            "{at}{}{number} is beyond 2^53 and would be rounded; write it as a string",
            if at.is_empty() { "" } else { ": " }
        ))),
    }
}

fn descriptor<M: Name>() -> Result<MessageDescriptor, CliError> {
    POOL.as_ref()
        .and_then(|pool| pool.get_message_by_name(&M::full_name()))
        .ok_or_else(|| CliError::Reply(format!("{} has no descriptor", M::full_name())))
}

/// The first of them, behind its place.
fn inexact_integer<'a>(
    at: &str,
    value: &'a serde_json::Value,
) -> Option<(String, &'a serde_json::Number)> {
    match value {
        serde_json::Value::Number(number) => {
            let magnitude = number
                .as_u64()
                .or_else(|| number.as_i64().map(i64::unsigned_abs));
            magnitude
                .is_some_and(|m| m > MAX_EXACT)
                .then(|| (at.to_owned(), number))
        }
        serde_json::Value::Array(values) => {
            let mut values = values.iter().enumerate();
            values.find_map(|(i, value)| inexact_integer(&format!("{at}[{i}]"), value))
        }
        serde_json::Value::Object(fields) => fields.iter().find_map(|(name, value)| {
            let dot = if at.is_empty() { "" } else { "." };
            inexact_integer(&format!("{at}{dot}{}", part(name)), value)
        }),
        _ => None,
    }
}

/// A number of a property is a double on the wire; whoever wrote 3 wants to read 3, not 3.0.
fn write_whole_numbers_as_integers(tree: &mut Tree) {
    match tree {
        Tree::Number(number) => {
            if let Some(whole) = number
                .as_f64()
                .filter(|_| number.is_f64())
                .and_then(whole_number)
            {
                *tree = Tree::from(whole);
            }
        }
        Tree::Sequence(values) => values.iter_mut().for_each(write_whole_numbers_as_integers),
        Tree::Mapping(fields) => fields
            .iter_mut()
            .for_each(|(_, v)| write_whole_numbers_as_integers(v)),
        Tree::Tagged(tagged) => write_whole_numbers_as_integers(&mut tagged.value),
        Tree::Null | Tree::Bool(_) | Tree::String(_) => {}
    }
}

/// The integer that this double is exactly.
pub fn whole_number(number: f64) -> Option<i64> {
    (number.fract() == 0.0 && number.abs() <= MAX_EXACT as f64).then_some(number as i64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use amadeus_proto::v1::{Entity, GetServiceResponse, ResponseHeader, Service};

    fn service() -> Service {
        parse(
            r#"{"name": "checkout", "health": "UP", "dependencies": [{"service": "cart", "version": "v2"}],
                "metadata": {"replicas": 3, "share": 0.5, "tags": ["a", null]}}"#,
        )
        .expect("it is a service")
    }

    #[test]
    fn a_reply_keeps_the_names_and_the_order_of_the_contract() {
        let reply = GetServiceResponse {
            header: Some(ResponseHeader {
                revision: 9_007_199_254_740_993,
                oldest_revision: 1,
                store_id: "s".into(),
            }),
            service: Some(service()),
        };
        let shown = json_line(&tree(&reply).expect("it is shown")).expect("it is JSON");
        assert!(
            shown.starts_with(r#"{"header":{"revision":9007199254740993,"oldest_revision":1,"store_id":"s"},"service":{"name":"checkout","category":"","#),
            "{shown}"
        );
        assert!(shown.contains(r#""health":"UP""#), "{shown}");
        assert!(
            shown.contains(r#""replicas":3,"#) && shown.contains(r#""share":0.5"#),
            "{shown}"
        );
        assert!(
            shown.contains(r#""registered":false"#),
            "defaults are there: {shown}"
        );
    }

    #[test]
    fn json_and_yaml_read_back_as_the_same_message() {
        let tree = tree(&service()).expect("it is shown");
        assert_eq!(
            parse::<Service>(&json(&tree).expect("JSON")).expect("it reads back"),
            service()
        );
        assert_eq!(
            parse::<Service>(&yaml(&tree).expect("YAML")).expect("it reads back"),
            service()
        );
    }

    #[test]
    fn a_field_that_does_not_exist_is_refused_by_name() {
        let error =
            parse::<Service>(r#"{"name": "a", "capabilites": []}"#).expect_err("it is misspelt");
        assert!(error.to_string().contains("capabilites"), "{error}");
    }

    #[test]
    fn an_integer_that_would_be_rounded_is_refused() {
        let text = r#"{"ref": {"kind": "k", "name": "n"}, "properties": {"id": 9007199254740993}}"#;
        let error = parse::<Entity>(text).expect_err("it cannot be exact");
        assert!(error.to_string().contains("9007199254740993"), "{error}");
    }

    #[test]
    fn what_does_not_fit_is_told_with_its_place() {
        use amadeus_proto::v1::Pattern;
        for (text, place) in [
            (
                "name: p\nsteps:\n- id: a\n- id: b\n  retry: {max_atempts: 3}",
                "steps[1].retry.max_atempts: ",
            ),
            (
                "name: p\nsteps:\n- id: a\n  timeout_ms: soon",
                "steps[0].timeout_ms: ",
            ),
            ("name: p\nmaxRuns: 3\nstpes: []", "stpes: "),
            ("name: p\nclasses: {slow: many}", "classes: "),
        ] {
            let error = parse::<Pattern>(text)
                .expect_err("it does not fit")
                .to_string();
            assert!(error.contains(place), "{error}");
        }
        let both = "name: p\nmax_runs: 3\nsteps:\n- {id: a, dependsOn: [b], join: ANY, condition: {equals: [1, 1]}}";
        let pattern = parse::<Pattern>(both).expect("it fits");
        assert_eq!((pattern.max_runs, pattern.steps[0].join), (3, 1));
    }
}
