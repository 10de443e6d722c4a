//! Clients that write at random: single changes, transactions, and now and then a revision too large for one message.

use amadeus_proto::v1;
use tokio::sync::watch;
use tonic::{Code, Status};
use v1::mutation::Mutation;

use crate::line::Line;
use crate::random::Random;

/// The section of the document that is written.
pub const SECTION: &str = "watched";

/// The kind of what comes in large transactions. Nothing points from it.
pub const BULK: &str = "bulk";

pub const KINDS: [&str; 2] = ["host", "disk"];
pub const LABELS: [&str; 2] = ["uses", "runs"];

/// Names of each kind. Few, so that everything is created, changed and deleted again and again.
const NAMES: u64 = 5;

/// Entities in a large transaction, and bytes of each: four parts of a watch.
const LARGE: (u64, usize) = (300, 3_000);

/// Writes of one writer.
pub const WRITES: u64 = 40;

/// Writes until it has written enough. A write that is refused, or dies with the server, is none the less one.
pub async fn write(
    mut line: Line,
    mut random: Random,
    written: watch::Sender<u64>,
) -> Result<(), String> {
    for number in 0..WRITES {
        let mutations = match number {
            10 => large(true),
            25 => large(false),
            _ => some(&mut random),
        };
        let request = v1::CommitRequest {
            mutations: mutations.into_iter().map(some_mutation).collect(),
            ..Default::default()
        };
        match line.graph.commit(request).await {
            Ok(_) => {}
            Err(status) if is_refusal(&status) => {}
            Err(_) => line.renew().await?,
        }
        written.send_modify(|written| *written += 1);
    }
    Ok(())
}

fn some_mutation(mutation: Mutation) -> v1::Mutation {
    v1::Mutation {
        mutation: Some(mutation),
    }
}

fn is_refusal(status: &Status) -> bool {
    let refusals = [
        Code::NotFound,
        Code::FailedPrecondition,
        Code::AlreadyExists,
    ];
    refusals.contains(&status.code())
}

/// One change mostly; up to three, of different things.
fn some(random: &mut Random) -> Vec<Mutation> {
    if random.one_in(4) {
        let (one, other) = (random.below(NAMES), random.below(NAMES - 1));
        let other = (one + 1 + other) % NAMES;
        return vec![
            put(&key("host", one), random.below(100)),
            put(&key("disk", other), random.below(100)),
            relate(
                &key("host", one),
                random.pick::<&str>(&LABELS),
                &key("disk", other),
            ),
        ];
    }
    let kind: &&str = random.pick(&KINDS);
    let entity = key(kind, random.below(NAMES));
    let other = key("host", random.below(NAMES));
    let path = format!("{SECTION}.leaf{}", random.below(NAMES));
    vec![match random.below(12) {
        // Few numbers, so that some changes change nothing.
        0..4 => put(&entity, random.below(4)),
        4..6 => Mutation::DeleteEntity(v1::DeleteEntityRequest {
            r#ref: Some(entity),
            force: true,
            ..Default::default()
        }),
        6..8 => relate(&entity, random.pick::<&str>(&LABELS), &other),
        8 => Mutation::DeleteRelation(v1::DeleteRelationRequest {
            from: Some(entity),
            relation: (*random.pick::<&str>(&LABELS)).into(),
            to: Some(other),
            ..Default::default()
        }),
        9..11 => Mutation::UpdateNode(v1::UpdateNodeRequest {
            path,
            value: Some(number(random.below(4))),
            ..Default::default()
        }),
        _ => Mutation::DeleteNode(v1::DeleteNodeRequest {
            path,
            ..Default::default()
        }),
    }]
}

/// Everything large, written or deleted in one transaction.
fn large(written: bool) -> Vec<Mutation> {
    let (entities, bytes) = LARGE;
    let one = |number| {
        let key = key(BULK, number);
        if !written {
            return Mutation::DeleteEntity(v1::DeleteEntityRequest {
                r#ref: Some(key),
                ..Default::default()
            });
        }
        let text = prost_types::value::Kind::StringValue("x".repeat(bytes));
        let text = prost_types::Value { kind: Some(text) };
        put_with(&key, "text", text)
    };
    (0..entities).map(one).collect()
}

fn key(kind: &str, number: u64) -> v1::EntityRef {
    v1::EntityRef {
        kind: kind.into(),
        name: format!("{}{number}", ["ab", "ac"][(number % 2) as usize]),
    }
}

fn put(key: &v1::EntityRef, n: u64) -> Mutation {
    put_with(key, "n", number(n))
}

fn put_with(key: &v1::EntityRef, property: &str, value: prost_types::Value) -> Mutation {
    Mutation::PutEntity(v1::PutEntityRequest {
        entity: Some(v1::Entity {
            r#ref: Some(key.clone()),
            properties: Some(prost_types::Struct {
                fields: [(property.to_owned(), value)].into(),
            }),
            ..Default::default()
        }),
        ..Default::default()
    })
}

fn relate(from: &v1::EntityRef, label: &str, to: &v1::EntityRef) -> Mutation {
    Mutation::PutRelation(v1::PutRelationRequest {
        relation: Some(v1::Relation {
            from: Some(from.clone()),
            relation: label.into(),
            to: Some(to.clone()),
            ..Default::default()
        }),
        ..Default::default()
    })
}

#[expect(clippy::cast_precision_loss, reason = "the numbers are below 100")]
fn number(n: u64) -> prost_types::Value {
    prost_types::Value {
        kind: Some(prost_types::value::Kind::NumberValue(n as f64)),
    }
}
