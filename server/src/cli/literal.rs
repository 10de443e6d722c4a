//! Values on the command line: JSON, `key=value` pairs, `name:version` dependencies, and files.

use std::{collections::BTreeMap, fs, io::Read, path::Path};

use amadeus_proto::v1::{Dependency, Endpoint};
use prost_types::{ListValue, Struct, Value, value::Kind};

use super::{failure::CliError, render};

/// `name`, or `name:version`.
pub fn parse_dependency(text: &str) -> Result<Dependency, String> {
    let (service, version) = text.split_once(':').unwrap_or((text, ""));
    if service.is_empty() {
        return Err("a dependency is written name, or name:version".to_owned());
    }
    Ok(Dependency {
        service: service.to_owned(),
        version: version.to_owned(),
        ..Dependency::default()
    })
}

/// An address such as `grpc://host:port`, or `name=address`.
pub fn parse_endpoint(text: &str) -> Result<Endpoint, String> {
    // An address may have a `=` of its own, and no name has a `/`.
    let named = text.split_once('=').filter(|(name, _)| !name.contains('/'));
    let (name, path) = named.unwrap_or(("", text));
    if path.is_empty() {
        return Err("an endpoint is written address, or name=address".to_owned());
    }
    Ok(Endpoint {
        name: name.to_owned(),
        path: path.to_owned(),
        ..Endpoint::default()
    })
}

/// `key=value`. The value is JSON if it reads as JSON, and text otherwise.
pub fn parse_property(text: &str) -> Result<(String, serde_json::Value), String> {
    let (key, value) = text
        .split_once('=')
        .filter(|(key, _)| !key.is_empty())
        .ok_or("a property is written key=value")?;
    let value = serde_json::from_str(value).unwrap_or_else(|_| value.into());
    Ok((key.to_owned(), value))
}

/// Properties from pairs; none at all if there are no pairs.
pub fn properties(pairs: &[(String, serde_json::Value)]) -> Result<Option<Struct>, CliError> {
    if pairs.is_empty() {
        return Ok(None);
    }
    let fields = pairs
        .iter()
        .map(|(key, value)| Ok((key.clone(), wire(value)?)));
    Ok(Some(Struct {
        fields: fields.collect::<Result<_, CliError>>()?,
    }))
}

/// A value of the document.
pub fn value(text: &str, as_text: bool) -> Result<Value, CliError> {
    if as_text {
        return Ok(Value {
            kind: Some(Kind::StringValue(text.to_owned())),
        });
    }
    let json: serde_json::Value = serde_json::from_str(text).map_err(|e| {
        CliError::Usage(format!("the value is not JSON: {e}; use --string for text"))
    })?;
    wire(&json)
}

/// The whole of a file, or of standard input for `-`.
pub fn text_of(path: &Path) -> Result<String, CliError> {
    let read = if path == Path::new("-") {
        let mut text = String::new();
        std::io::stdin().read_to_string(&mut text).map(|_| text)
    } else {
        fs::read_to_string(path)
    };
    read.map_err(|cause| CliError::File {
        path: path.to_owned(),
        cause,
    })
}

/// A value as people write it: text bare, everything else as JSON.
pub fn shown(value: &Value) -> String {
    match &value.kind {
        Some(Kind::StringValue(text)) => text.clone(),
        _ => json(value).to_string(),
    }
}

/// A value as JSON over several lines, text bare.
pub fn shown_over_lines(value: &Value) -> String {
    match &value.kind {
        Some(Kind::StringValue(text)) => text.clone(),
        _ => format!("{:#}", json(value)),
    }
}

/// Properties as JSON on one line; nothing for none.
pub fn shown_properties(properties: Option<&Struct>) -> String {
    match properties {
        Some(properties) if !properties.fields.is_empty() => object(&properties.fields).to_string(),
        _ => String::new(),
    }
}

/// JSON as a value of the graph, whose numbers are doubles: an integer that would be rounded is refused.
fn wire(json: &serde_json::Value) -> Result<Value, CliError> {
    render::refuse_inexact_integers(json)?;
    Ok(exact(json))
}

fn exact(json: &serde_json::Value) -> Value {
    let kind = match json {
        serde_json::Value::Null => Kind::NullValue(0),
        serde_json::Value::Bool(yes) => Kind::BoolValue(*yes),
        // Without arbitrary precision every number of serde_json has a double.
        serde_json::Value::Number(number) => Kind::NumberValue(number.as_f64().unwrap_or(f64::NAN)),
        serde_json::Value::String(text) => Kind::StringValue(text.clone()),
        serde_json::Value::Array(values) => Kind::ListValue(ListValue {
            values: values.iter().map(exact).collect(),
        }),
        serde_json::Value::Object(fields) => {
            let fields = fields
                .iter()
                .map(|(key, value)| (key.clone(), exact(value)));
            Kind::StructValue(Struct {
                fields: fields.collect(),
            })
        }
    };
    Value { kind: Some(kind) }
}

fn json(value: &Value) -> serde_json::Value {
    match &value.kind {
        None | Some(Kind::NullValue(_)) => serde_json::Value::Null,
        Some(Kind::BoolValue(yes)) => (*yes).into(),
        Some(Kind::NumberValue(number)) => match render::whole_number(*number) {
            Some(whole) => whole.into(),
            None => (*number).into(),
        },
        Some(Kind::StringValue(text)) => text.as_str().into(),
        Some(Kind::ListValue(list)) => list.values.iter().map(json).collect(),
        Some(Kind::StructValue(fields)) => object(&fields.fields),
    }
}

fn object(fields: &BTreeMap<String, Value>) -> serde_json::Value {
    fields
        .iter()
        .map(|(key, value)| (key.clone(), json(value)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_property_is_json_if_it_reads_as_json_and_text_otherwise() {
        for (text, expected) in [
            ("n=3", serde_json::json!(3)),
            ("on=true", serde_json::json!(true)),
            ("tier=gold", serde_json::json!("gold")),
            ("query=a=b", serde_json::json!("a=b")),
            (r#"tags=["x"]"#, serde_json::json!(["x"])),
            ("empty=", serde_json::json!("")),
        ] {
            let (_, value) = parse_property(text).expect(text);
            assert_eq!(value, expected, "{text}");
        }
        assert!(parse_property("nothing").is_err());
        assert!(parse_property("=3").is_err());
    }

    #[test]
    fn a_dependency_may_name_a_version() {
        let plain = parse_dependency("cart").expect("a name is enough");
        assert_eq!(
            (plain.service.as_str(), plain.version.as_str()),
            ("cart", "")
        );
        let versioned = parse_dependency("cart:v2:beta").expect("the rest is the version");
        assert_eq!(
            (versioned.service.as_str(), versioned.version.as_str()),
            ("cart", "v2:beta")
        );
        assert!(parse_dependency(":v2").is_err());
    }

    #[test]
    fn a_value_shows_as_it_was_written() {
        for text in ["3", "0.5", "null", "true", r#"[1,"a",{"k":false}]"#] {
            assert_eq!(shown(&value(text, false).expect(text)), text);
        }
        assert_eq!(
            shown(&value("bare words", true).expect("text")),
            "bare words"
        );
        assert!(value("bare words", false).is_err());
        assert!(value("[9007199254740993]", false).is_err());
    }
}
