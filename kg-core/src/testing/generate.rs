//! Random transactions and graphs from a seed, so that a failure can be seen again.

use crate::model::{
    APPENDED, Body, Dependency, Entity, EntityId, EntityRef, Health, Kind, Label, Name, Object,
    Path, PatternBody, PatternSpec, Relation, RelationKey, Schema, ServiceBody, ServiceSpec, Step,
    Value,
};
use crate::mutation::{Mutation, Precondition, Transaction};
use crate::snapshot::Snapshot;
use std::sync::Arc;

/// A small generator of numbers (SplitMix64): the same on every machine and in every version.
#[derive(Clone, Debug)]
pub struct Rng(u64);

impl Rng {
    /// The sequence of a seed.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next number.
    pub fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `end`, which must not be 0.
    pub fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.number() % end as u64).unwrap_or(0)
    }

    /// True once in `n` times.
    pub fn once_in(&mut self, n: usize) -> bool {
        self.below(n) == 0
    }

    /// One of these.
    pub fn pick<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        &from[self.below(from.len())]
    }

    /// Up to `most` of these, in random order, without repetition.
    pub fn some<T: Clone>(&mut self, from: &[T], most: usize) -> Vec<T> {
        let mut left = from.to_vec();
        let count = self.below(most + 1).min(left.len());
        (0..count)
            .map(|_| left.swap_remove(self.below(left.len())))
            .collect()
    }
}

/// The words that random transactions are made of. Few, so that they meet.
const SERVICES: [&str; 9] = [
    "a", "b", "c", "d", "pay", "payments", "Zürich", "x/y", "q\"[0].z",
];
const OTHERS: [(&str, &str); 5] = [
    ("team", "red"),
    ("team", "blue"),
    ("db", "main"),
    ("Service", "a"),
    ("pattern", "flow"),
];
const LABELS: [&str; 4] = ["depends_on", "owned_by", "uses", "Uses"];
const WORDS: [&str; 5] = ["pay", "refund", "search", "cart", "MAIL"];
const PATHS: [&str; 6] = [
    "notes",
    "notes.list",
    "notes.list[0]",
    "notes.list[1].deep",
    "notes.\"a.b\"",
    "more.x",
];

fn one(rng: &mut Rng, from: &[&'static str]) -> &'static str {
    from[rng.below(from.len())]
}

fn name(text: &str) -> Name {
    Name::parse("name", text).expect("a valid name")
}

fn key(kind: &str, text: &str) -> EntityRef {
    EntityRef::new(Kind::parse("kind", kind).expect("a valid kind"), name(text))
}

/// A label among those that random transactions use.
pub fn label(rng: &mut Rng) -> Label {
    // Half of all are dependencies: they have the most rules.
    let word = if rng.once_in(2) {
        "depends_on"
    } else {
        one(rng, &LABELS)
    };
    Label::parse("relation", word).expect("a valid label")
}

/// An entity that random transactions speak of; it need not exist.
pub fn entity(rng: &mut Rng) -> EntityRef {
    if rng.once_in(3) {
        let (kind, text) = *rng.pick(&OTHERS);
        key(kind, text)
    } else {
        EntityRef::service(service(rng))
    }
}

/// A capability among those that random services offer.
pub fn capability(rng: &mut Rng) -> &'static str {
    one(rng, &WORDS)
}

fn service(rng: &mut Rng) -> Name {
    name(one(rng, &SERVICES))
}

fn value(rng: &mut Rng, depth: usize) -> Value {
    match rng.below(if depth == 0 { 4 } else { 6 }) {
        0 => Value::Null,
        1 => Value::Bool(rng.once_in(2)),
        2 => Value::Number(rng.below(4) as f64 / 2.0),
        3 => Value::string(one(rng, &WORDS)),
        4 => Value::list(
            (0..rng.below(3))
                .map(|_| value(rng, depth - 1))
                .collect::<Vec<_>>(),
        ),
        _ => Value::Object(object(rng, depth - 1)),
    }
}

fn object(rng: &mut Rng, depth: usize) -> Object {
    (0..rng.below(3))
        .map(|_| (Arc::from(one(rng, &WORDS)), value(rng, depth)))
        .collect()
}

fn word(rng: &mut Rng) -> String {
    if rng.once_in(2) {
        String::new()
    } else {
        one(rng, &WORDS).to_owned()
    }
}

fn dependency(rng: &mut Rng, on: Name) -> Dependency {
    Dependency {
        service: on,
        version: if rng.once_in(3) {
            format!("v{}", rng.below(3))
        } else {
            String::new()
        },
        optional: rng.once_in(4),
        properties: object(rng, 0),
    }
}

fn registration(rng: &mut Rng) -> ServiceSpec {
    let own = service(rng);
    let services: Vec<&str> = SERVICES
        .into_iter()
        .filter(|other| *other != own.as_str() || rng.once_in(20))
        .collect();
    let dependencies = rng
        .some(&services, 3)
        .into_iter()
        .map(|on| dependency(rng, name(on)))
        .collect();
    ServiceSpec {
        name: own,
        body: ServiceBody {
            category: word(rng),
            version: if rng.once_in(2) {
                format!("{}.0", rng.below(3))
            } else {
                String::new()
            },
            owner: word(rng),
            description: word(rng),
            capabilities: rng.some(&WORDS, 3).into_iter().map(Arc::from).collect(),
            schema: schema(rng),
            health: *rng.pick(&[Health::Unknown, Health::Up, Health::Degraded, Health::Down]),
            ..ServiceBody::default()
        },
        dependencies,
        metadata: object(rng, 1),
    }
}

fn schema(rng: &mut Rng) -> Schema {
    Schema {
        proto_path: word(rng),
        methods: rng.some(&WORDS, 2).into_iter().map(str::to_owned).collect(),
    }
}

fn pattern(rng: &mut Rng) -> PatternSpec {
    let step = |rng: &mut Rng, id: usize| Step {
        id: id.to_string(),
        kind: word(rng),
        target: format!("{}{}", service(rng), one(rng, &["", ".Call", "/Call"])),
        ..Step::default()
    };
    PatternSpec {
        name: name(one(rng, &["flow", "other"])),
        body: PatternBody {
            description: word(rng),
            steps: (0..rng.below(3)).map(|i| step(rng, i)).collect(),
            ..PatternBody::default()
        },
        metadata: object(rng, 1),
    }
}

fn relation(rng: &mut Rng) -> RelationKey {
    RelationKey {
        from: entity(rng),
        label: label(rng),
        to: entity(rng),
    }
}

fn path(rng: &mut Rng) -> Path {
    Path::parse(one(rng, &PATHS)).expect("a valid path")
}

fn mutation(rng: &mut Rng) -> Mutation {
    match rng.below(20) {
        0..5 => Mutation::RegisterService {
            service: Box::new(registration(rng)),
            strict: rng.once_in(6),
        },
        5 => Mutation::UpdateSchema {
            name: service(rng),
            schema: schema(rng),
        },
        6 => Mutation::SetCapability {
            name: service(rng),
            capability: Arc::from(capability(rng)),
            enabled: rng.once_in(2),
        },
        7..9 => {
            let on = service(rng);
            Mutation::AddDependency {
                name: service(rng),
                dependency: dependency(rng, on),
            }
        }
        9 => Mutation::RemoveDependency {
            name: service(rng),
            service: service(rng),
        },
        10 => Mutation::PutPattern(Box::new(pattern(rng))),
        11 => Mutation::PutEntity {
            key: entity(rng),
            properties: object(rng, 1),
        },
        12 => Mutation::DeleteEntity {
            key: entity(rng),
            force: rng.once_in(2),
        },
        13..16 => Mutation::PutRelation {
            key: relation(rng),
            properties: object(rng, 0),
            create_ends: rng.once_in(3),
        },
        16 => Mutation::DeleteRelation(relation(rng)),
        17..19 => Mutation::UpdateNode {
            path: path(rng),
            value: value(rng, 2),
        },
        _ => Mutation::DeleteNode(path(rng)),
    }
}

fn precondition(rng: &mut Rng) -> Precondition {
    match rng.below(7) {
        0 => Precondition::EntityExists(entity(rng)),
        1 => Precondition::EntityAbsent(entity(rng)),
        2 => Precondition::RelationAbsent(relation(rng)),
        3 => Precondition::NoDependents(entity(rng)),
        4 => Precondition::Acyclic(label(rng)),
        5 => Precondition::EntityAt {
            key: entity(rng),
            revision: rng.below(3) as u64,
        },
        _ => Precondition::NoPath {
            from: entity(rng),
            to: entity(rng),
            label: label(rng),
        },
    }
}

/// A random transaction. Most are possible on most graphs, many are refused.
pub fn transaction(rng: &mut Rng) -> Transaction {
    let count = 1 + if rng.once_in(3) { rng.below(4) } else { 0 };
    let mut transaction = Transaction::of((0..count).map(|_| mutation(rng)).collect());
    if rng.once_in(8) {
        transaction.preconditions.push(precondition(rng));
    }
    transaction.actor = Arc::from("random");
    transaction.reason = Arc::from(word(rng));
    transaction.time_ms = 1_000 + rng.below(5_000) as u64;
    transaction
}

/// The most-used entity of [`scale_free`].
#[must_use]
pub fn hub() -> EntityRef {
    key("package", &package_name(0))
}

/// A graph like that of a distribution's packages: few are needed by very many. A quarter needs nothing; each of the
/// others needs some that came before it, mostly what many need already. Cost: about a second for 68,000 and 304,000 in
/// a release build.
#[must_use]
pub fn scale_free(seed: u64, entities: u32, relations: usize) -> Snapshot {
    let mut rng = Rng::new(seed);
    let mut snapshot = Snapshot::new();
    let keys: Vec<EntityRef> = (0..entities)
        .map(|i| key("package", &package_name(i)))
        .collect();
    for (i, key) in (0..).zip(&keys) {
        snapshot.put_entity(Arc::new(Entity {
            id: EntityId::new(i),
            key: key.clone(),
            body: Body::Plain,
            properties: Object::new(),
            created_revision: 1,
            modified_revision: 1,
            wire: Default::default(),
        }));
    }
    // Every end of a relation once: picking one of these is picking by how much it is needed.
    let mut ends = vec![0_usize; 32];
    let mut seen = std::collections::HashSet::new();
    while seen.len() < relations {
        let from = 1 + rng.below(keys.len() - 1);
        let to = if rng.once_in(3) {
            rng.below(from)
        } else {
            *rng.pick(&ends)
        };
        if from.is_multiple_of(4) || to >= from || !seen.insert((from, to)) {
            continue;
        }
        ends.push(to);
        let relation = Relation {
            key: RelationKey {
                from: keys[from].clone(),
                label: Label::depends_on(),
                to: keys[to].clone(),
            },
            properties: Object::new(),
            position: APPENDED,
            created_revision: 1,
            modified_revision: 1,
        };
        snapshot
            .put_relation(&relation, 0)
            .expect("both ends were put before");
    }
    snapshot.revision = 1;
    snapshot
}

/// Names that agree in their beginnings, as those of packages do.
fn package_name(i: u32) -> String {
    const FAMILIES: [&str; 5] = ["lib", "golang-github-", "python3-", "node-", "r-cran-"];
    let family = FAMILIES[i as usize % FAMILIES.len()];
    format!("{family}{:08x}", i.wrapping_mul(0x9e37_79b1))
}
