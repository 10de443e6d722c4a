//! The hash of documents, kept change by change, against the hash of the same documents built anew.

use kg_core::log::checkpoint;
use kg_core::model::{Path, Value};
use kg_core::mutation::{Mutation, Transaction, plan};
use kg_core::snapshot::Snapshot;
use proptest::prelude::*;

/// Few keys and short lists, so that operations meet: empties inside lists, shifts, parents that come and go.
fn path() -> impl Strategy<Value = String> {
    let step = prop_oneof![
        Just(".a".to_owned()),
        Just(".b".to_owned()),
        (0..4_usize).prop_map(|i| format!("[{i}]")),
    ];
    (
        prop_oneof![Just("x"), Just("y")],
        prop::collection::vec(step, 0..4),
    )
        .prop_map(|(section, steps)| format!("{section}{}", steps.concat()))
}

fn value() -> impl Strategy<Value = Value> {
    let texts = [
        "null",
        "1",
        "\"t\"",
        "[]",
        "{}",
        "[[]]",
        "[{}]",
        "[[],1,{}]",
        "{\"a\":[]}",
        "{\"a\":[{},[],{\"b\":[]}]}",
    ];
    prop::sample::select(texts.to_vec())
        .prop_map(|text| Value::from_json(text.as_bytes()).expect("valid JSON"))
}

fn operation() -> impl Strategy<Value = Mutation> {
    let parsed = |text: String| Path::parse(&text).expect("a valid path");
    prop_oneof![
        3 => (path(), value()).prop_map(move |(at, value)| Mutation::UpdateNode { path: parsed(at), value }),
        2 => path().prop_map(move |at| Mutation::DeleteNode(parsed(at))),
    ]
}

fn rebuilt(snapshot: &Snapshot) -> Snapshot {
    let mut bytes = Vec::new();
    checkpoint::write(snapshot, "store", "", 0, &mut bytes).expect("written to memory");
    checkpoint::read(&mut bytes.as_slice())
        .expect("what was written can be read")
        .1
}

/// A field without a place of its own was overwritten by the same word below `metadata`, if it came before that in the
/// alphabet, and the write was lost.
#[test]
fn what_is_written_at_the_top_of_a_pattern_is_not_lost_to_its_metadata() {
    let mut snapshot = Snapshot::new();
    for (path, value) in [
        ("patterns.flow", "{\"metadata\":{\"cart\":1,\"zeal\":1}}"),
        ("patterns.flow.cart", "2"),
        ("patterns.flow.zeal", "2"),
    ] {
        let update = Mutation::UpdateNode {
            path: Path::parse(path).expect("a valid path"),
            value: Value::from_json(value.as_bytes()).expect("valid JSON"),
        };
        let planned = plan(&snapshot, &Transaction::of(vec![update])).expect("a valid write");
        snapshot = planned.next;
    }
    let metadata = Path::parse("patterns.flow.metadata").expect("a valid path");
    let found = snapshot.node(&metadata).expect("it stands").to_json();
    assert_eq!(found, "{\"cart\":2,\"zeal\":2}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn the_hash_kept_is_the_hash_built_anew(operations in prop::collection::vec(operation(), 1..40)) {
        let mut snapshot = Snapshot::new();
        for operation in operations {
            let asked = format!("{operation:?}");
            // Many lead nowhere; what is refused must leave no trace either.
            if let Ok(planned) = plan(&snapshot, &Transaction::of(vec![operation])) {
                snapshot = planned.next;
            }
            prop_assert_eq!(snapshot.hash(), rebuilt(&snapshot).hash(), "after {}", asked);
        }
    }
}
