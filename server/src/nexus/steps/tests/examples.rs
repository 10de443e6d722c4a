//! The patterns in `examples/patterns` are what the server would let be registered.

use amadeus_proto::v1;
use kg_core::model::{PatternBody, PatternSpec};
use kg_core::nexus::{StepTypes, check};
use prost::Message;
use prost_reflect::{DescriptorPool, DeserializeOptions, DynamicMessage};

use super::*;
use crate::rpc::from_proto;

/// As the command line reads a file of a pattern.
fn read(name: &str) -> PatternSpec {
    let path = format!(
        "{}/../examples/patterns/{name}.yaml",
        env!("CARGO_MANIFEST_DIR")
    );
    parse(&std::fs::read_to_string(&path).expect(&path))
}

/// The same of its text.
pub fn parse(text: &str) -> PatternSpec {
    let json: serde_json::Value = serde_yaml_ng::from_str(text).expect("YAML");
    let pool = DescriptorPool::decode(amadeus_proto::FILE_DESCRIPTOR_SET).expect("they decode");
    let pattern = pool
        .get_message_by_name("amadeus.v1.Pattern")
        .expect("it is there");
    let strict = DeserializeOptions::new().deny_unknown_fields(true);
    let message = DynamicMessage::deserialize_with_options(pattern, json, &strict);
    let message = message.expect("a pattern");
    let message = v1::Pattern::decode(&*message.encode_to_vec()).expect("the same");
    from_proto::pattern(&message).expect("one of the model")
}

#[test]
fn the_example_patterns_have_no_faults() {
    let names = ["checkout", "rollout", "incident"];
    let all: Vec<PatternSpec> = names.map(read).into();
    let types = StepTypes::of(StepKinds::standard().types());
    let patterns = |name: &str| -> Option<PatternBody> {
        let found = all.iter().find(|pattern| pattern.name.as_str() == name);
        found.map(|pattern| pattern.body.clone())
    };
    for pattern in &all {
        let faults = check(pattern, &types, &patterns, &|_| true);
        assert!(faults.is_empty(), "{}: {faults:#?}", pattern.name);
    }
}
