//! Random transactions and graphs from a seed, so that a failure can be seen again.

use super::oracle::Oracle;
use crate::model::{
    APPENDED, Body, Compensation, Dependency, Endpoint, Entity, EntityId, EntityRef, Health, Input,
    Join, Kind, Label, Name, Object, Output, Path, PatternBody, PatternSpec, Relation, RelationKey,
    Retry, Schema, ServiceBody, ServiceSpec, Step, Value, ValueType,
};
use crate::mutation::{Mutation, Precondition, Request, Transaction};
use crate::snapshot::{RequestKey, Snapshot};
use std::sync::Arc;

/// Numbers from a seed (SplitMix64), the same on every machine and in every version; or from bytes that a fuzzer chose.
#[derive(Clone, Debug)]
pub enum Rng {
    /// The state of the generator.
    Seeded(u64),
    /// Bytes, last first. Each is a number; where there are no more, all are 0.
    Bytes(Vec<u8>),
}

impl Rng {
    /// The sequence of a seed.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self::Seeded(seed)
    }

    /// The bytes as numbers.
    #[must_use]
    pub fn of_bytes(bytes: &[u8]) -> Self {
        Self::Bytes(bytes.iter().rev().copied().collect())
    }

    /// Whether all bytes were used.
    #[must_use]
    pub fn is_spent(&self) -> bool {
        matches!(self, Self::Bytes(bytes) if bytes.is_empty())
    }

    /// The next number.
    pub fn number(&mut self) -> u64 {
        let state = match self {
            Self::Seeded(state) => state,
            Self::Bytes(bytes) => return bytes.pop().map_or(0, u64::from),
        };
        *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = *state;
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
const PATHS: [&str; 10] = [
    "notes",
    "notes.list",
    "notes.list[0]",
    "notes.list[1].deep",
    "notes.list[2]",
    "notes.\"a.b\"",
    "more.x",
    "more[1]",
    "services",
    "patterns[0]",
];
/// What a path may name below a service.
const OF_SERVICE: [&str; 24] = [
    "",
    ".name",
    ".category",
    ".version",
    ".owner",
    ".capabilities",
    ".capabilities[1]",
    ".dependencies",
    ".dependencies[0]",
    ".dependencies[1]",
    ".dependencies[0].version",
    ".endpoints",
    ".endpoints[0].path",
    ".endpoints[0].extra",
    ".models[0]",
    ".schema.methods",
    ".schema.other",
    ".health",
    ".registered",
    ".metadata",
    ".metadata.pay",
    ".metadata.version",
    ".metadata.capabilities[0]",
    ".pay",
];
/// What a path may name below a pattern.
const OF_PATTERN: [&str; 22] = [
    "",
    ".description",
    ".active",
    ".steps",
    ".steps[0].id",
    ".steps[0].action",
    ".steps[0].join",
    ".steps[0].timeout_ms",
    ".steps[0].condition",
    ".steps[0].retry",
    ".steps[0].retry.max_attempts",
    ".steps[0].retry.jitter",
    ".steps[0].compensation.type",
    ".steps[1]",
    ".inputs[0].default",
    ".outputs",
    ".classes.pay",
    ".max_runs",
    ".metadata",
    ".metadata.cart",
    ".cart",
    ".search",
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
    if rng.once_in(500) {
        "bell\u{7}".to_owned()
    } else if rng.once_in(2) {
        String::new()
    } else {
        one(rng, &WORDS).to_owned()
    }
}

fn words(rng: &mut Rng) -> Vec<String> {
    rng.some(&WORDS, 2).into_iter().map(str::to_owned).collect()
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
        properties: edge_properties(rng),
    }
}

/// Properties, some of which mean something in a dependency.
fn edge_properties(rng: &mut Rng) -> Object {
    let mut properties = object(rng, 0);
    if rng.once_in(25) {
        let value = value(rng, 0);
        properties.insert(Arc::from(one(rng, &["version", "optional"])), value);
    }
    properties
}

fn registration(rng: &mut Rng) -> ServiceSpec {
    let own = service(rng);
    let services: Vec<&str> = SERVICES
        .into_iter()
        .filter(|other| *other != own.as_str() || rng.once_in(40))
        .collect();
    let mut dependencies: Vec<Dependency> = rng
        .some(&services, 3)
        .into_iter()
        .map(|on| dependency(rng, name(on)))
        .collect();
    if rng.once_in(50) {
        // The same twice.
        dependencies.extend(dependencies.first().cloned());
    }
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
            capabilities: capabilities(rng),
            schema: schema(rng),
            endpoints: (0..rng.below(3).saturating_sub(1))
                .map(|_| endpoint(rng))
                .collect(),
            models: words(rng),
            health_check: word(rng),
            metrics: word(rng),
            health: *rng.pick(&[Health::Unknown, Health::Up, Health::Degraded, Health::Down]),
        },
        dependencies,
        metadata: object(rng, 1),
    }
}

fn capabilities(rng: &mut Rng) -> Vec<Arc<str>> {
    let mut all: Vec<Arc<str>> = rng.some(&WORDS, 3).into_iter().map(Arc::from).collect();
    match rng.below(40) {
        0 => all.extend(all.first().cloned()),
        1 => all.push(Arc::from(one(rng, &["", " blank", "a\u{7}"]))),
        _ => {}
    }
    all
}

fn endpoint(rng: &mut Rng) -> Endpoint {
    Endpoint {
        name: word(rng),
        path: word(rng),
        description: word(rng),
        tags: words(rng),
        metadata: object(rng, 0),
        ..Endpoint::default()
    }
}

fn schema(rng: &mut Rng) -> Schema {
    Schema {
        proto_path: word(rng),
        methods: words(rng),
    }
}

fn pattern(rng: &mut Rng) -> PatternSpec {
    PatternSpec {
        name: name(one(rng, &["flow", "other"])),
        body: PatternBody {
            description: word(rng),
            category: word(rng),
            active: rng.once_in(2),
            steps: (0..rng.below(4)).map(|i| step(rng, i)).collect(),
            inputs: (0..rng.below(3).saturating_sub(1))
                .map(|_| input(rng))
                .collect(),
            outputs: (0..rng.below(3).saturating_sub(1))
                .map(|_| output(rng))
                .collect(),
            classes: (0..rng.below(3).saturating_sub(1))
                .map(|_| (one(rng, &WORDS).to_owned(), mostly(rng, 1, 0)))
                .collect(),
            max_runs: small(rng),
            max_parallel: small(rng),
            timeout_ms: small(rng),
            ..PatternBody::default()
        },
        metadata: object(rng, 1),
    }
}

fn step(rng: &mut Rng, id: usize) -> Step {
    let mut parameters = object(rng, 0);
    let kind = if rng.once_in(4) {
        let inner = [
            (Arc::from("type"), Value::string(known_kind(rng))),
            (Arc::from("target"), Value::string(&target(rng))),
        ];
        parameters.insert(
            Arc::from("step"),
            Value::Object(inner.into_iter().collect()),
        );
        one(rng, &["map", "pass"]).to_owned()
    } else if rng.once_in(3) {
        known_kind(rng).to_owned()
    } else {
        word(rng)
    };
    Step {
        id: if rng.once_in(9) {
            one(rng, &["", "0"]).to_owned()
        } else {
            id.to_string()
        },
        kind,
        target: target(rng),
        action: word(rng),
        depends_on: (0..rng.below(3).saturating_sub(1))
            .map(|_| one(rng, &["0", "1", "2"]).to_owned())
            .collect(),
        join: if rng.once_in(4) { Join::Any } else { Join::All },
        parameters,
        required: words(rng),
        optional: words(rng),
        retry: rng.once_in(4).then(|| retry(rng)),
        timeout_ms: small(rng),
        total_timeout_ms: small(rng),
        condition: if rng.once_in(4) {
            value(rng, 1)
        } else {
            Value::Null
        },
        compensation: rng.once_in(4).then(|| Compensation {
            kind: known_kind(rng).to_owned(),
            target: target(rng),
            action: word(rng),
            parameters: object(rng, 0),
            retry: rng.once_in(3).then(|| retry(rng)),
            timeout_ms: small(rng),
        }),
        class: word(rng),
        description: word(rng),
    }
}

/// A type of step that says what its target is.
fn known_kind(rng: &mut Rng) -> &'static str {
    one(rng, &["grpc", "pattern"])
}

/// Mostly what is allowed, seldom what is not.
fn mostly<T>(rng: &mut Rng, usual: T, wrong: T) -> T {
    if rng.once_in(40) { wrong } else { usual }
}

fn small(rng: &mut Rng) -> u32 {
    u32::try_from(rng.below(4).saturating_sub(1)).unwrap_or(0)
}

fn retry(rng: &mut Rng) -> Retry {
    Retry {
        max_attempts: mostly(rng, 3, 0),
        backoff_ms: 1 + small(rng),
        multiplier: mostly(rng, 1.5, 0.5),
        max_backoff_ms: 1 + small(rng),
        jitter: if rng.once_in(2) {
            0.0
        } else {
            mostly(rng, 1.0, 2.0)
        },
        codes: words(rng),
    }
}

/// Of an input or an output.
fn name_of(rng: &mut Rng) -> String {
    let usual = one(rng, &WORDS);
    mostly(rng, usual, "").to_owned()
}

fn input(rng: &mut Rng) -> Input {
    Input {
        name: name_of(rng),
        kind: *rng.pick(&ValueType::ALL),
        required: rng.once_in(2),
        default: value(rng, 1),
        description: word(rng),
    }
}

fn output(rng: &mut Rng) -> Output {
    Output {
        name: name_of(rng),
        kind: *rng.pick(&ValueType::ALL),
        value: value(rng, 1),
        description: word(rng),
    }
}

/// What a step acts on: an entity, one of its methods, or nothing.
fn target(rng: &mut Rng) -> String {
    let of = match rng.below(4) {
        0 => return String::new(),
        1 => entity(rng).to_string(),
        _ => service(rng).to_string(),
    };
    format!("{of}{}", one(rng, &["", ".Call", "/Call", ".a.Call"]))
}

fn relation(rng: &mut Rng) -> RelationKey {
    RelationKey {
        from: entity(rng),
        label: label(rng),
        to: entity(rng),
    }
}

/// A path among those that random transactions read and write.
pub fn path(rng: &mut Rng) -> Path {
    let text = match rng.below(4) {
        0 => {
            let own = crate::model::path::part(service(rng).as_str());
            format!("services.{own}{}", one(rng, &OF_SERVICE))
        }
        1 if rng.once_in(2) => {
            let own = one(rng, &["flow", "other"]);
            format!("patterns.{own}{}", one(rng, &OF_PATTERN))
        }
        _ => one(rng, &PATHS).to_owned(),
    };
    Path::parse(&text).expect("a valid path")
}

/// Mostly a path at which something stands.
fn known_path(rng: &mut Rng, state: &Oracle) -> Path {
    let known = (0..4)
        .map(|_| path(rng))
        .find(|path| state.node(path).is_ok());
    known.unwrap_or_else(|| path(rng))
}

/// A value, often such as stands in a typed body.
fn node_value(rng: &mut Rng) -> Value {
    match rng.below(8) {
        0 => Value::string(one(rng, &["up", "degraded", "a", "b:v1", "x/y:v2", "1.0"])),
        1 => Value::list([Value::string(one(rng, &SERVICES))]),
        2 => {
            let mut members = object(rng, 1);
            let (field, value) = match rng.below(5) {
                0 => ("version", Value::string("1.0")),
                1 => ("metadata", Value::Object(object(rng, 0))),
                2 => ("dependencies", Value::list([Value::string("c:v1")])),
                3 => ("service", Value::string(one(rng, &SERVICES))),
                _ => ("id", Value::string("0")),
            };
            members.insert(Arc::from(field), value);
            Value::Object(members)
        }
        _ => value(rng, 2),
    }
}

fn mutation(rng: &mut Rng, state: &Oracle) -> Mutation {
    match rng.below(21) {
        19 => Mutation::SetHealth {
            name: known_service(rng, state),
            health: *rng.pick(&[Health::Up, Health::Degraded, Health::Down]),
        },
        0..5 => Mutation::RegisterService {
            service: Box::new(registration(rng)),
            strict: rng.once_in(6),
        },
        5 => Mutation::UpdateSchema {
            name: known_service(rng, state),
            schema: schema(rng),
        },
        6 => Mutation::SetCapability {
            name: known_service(rng, state),
            capability: Arc::from(capability(rng)),
            enabled: rng.once_in(2),
        },
        7..9 => {
            let on = service(rng);
            Mutation::AddDependency {
                name: known_service(rng, state),
                dependency: dependency(rng, on),
            }
        }
        9 => {
            let key = known_relation(rng, state);
            Mutation::RemoveDependency {
                name: key.from.name,
                service: key.to.name,
            }
        }
        10 => Mutation::PutPattern(Box::new(pattern(rng))),
        11 => Mutation::PutEntity {
            key: entity(rng),
            properties: object(rng, 1),
        },
        12 => Mutation::DeleteEntity {
            key: known_entity(rng, state),
            force: rng.once_in(2),
        },
        13..16 => {
            let key = if rng.once_in(2) {
                relation(rng)
            } else {
                RelationKey {
                    from: known_entity(rng, state),
                    label: label(rng),
                    to: known_entity(rng, state),
                }
            };
            Mutation::PutRelation {
                key,
                properties: edge_properties(rng),
                create_ends: rng.once_in(3),
            }
        }
        16 => Mutation::DeleteRelation(known_relation(rng, state)),
        17..19 => Mutation::UpdateNode {
            path: path(rng),
            value: node_value(rng),
        },
        _ => Mutation::DeleteNode(known_path(rng, state)),
    }
}

fn precondition(rng: &mut Rng, state: &Oracle) -> Precondition {
    match rng.below(12) {
        0 => Precondition::EntityExists(known_entity(rng, state)),
        1 => Precondition::EntityAbsent(entity(rng)),
        2 => Precondition::RelationExists(known_relation(rng, state)),
        3 => Precondition::RelationAbsent(relation(rng)),
        4 => Precondition::NoDependents(entity(rng)),
        5 => Precondition::Acyclic(label(rng)),
        6 | 7 => {
            let key = known_entity(rng, state);
            let known = state.entities.get(&key).map(|node| node.modified);
            let revision = revision(rng, known);
            Precondition::EntityAt { key, revision }
        }
        8 => {
            let key = known_relation(rng, state);
            let known = state.relations.get(&key).map(|r| r.modified_revision);
            let revision = revision(rng, known);
            Precondition::RelationAt { key, revision }
        }
        9 => {
            let path = path(rng);
            let revision = revision(rng, state.holder_revision(&path));
            Precondition::NodeAt { path, revision }
        }
        10 => {
            let path = known_path(rng, state);
            let value = match state.node(&path) {
                Ok(value) if !rng.once_in(3) => value,
                _ => value(rng, 1),
            };
            Precondition::DocumentEquals { path, value }
        }
        _ => Precondition::NoPath {
            from: entity(rng),
            to: entity(rng),
            label: label(rng),
        },
    }
}

/// Mostly the one that holds, else a recent one or 0.
fn revision(rng: &mut Rng, known: Option<u64>) -> u64 {
    match rng.below(5) {
        0 => 0,
        1 => rng.below(4) as u64,
        _ => known.unwrap_or(0),
    }
}

/// Mostly an entity that stands.
fn known_entity(rng: &mut Rng, state: &Oracle) -> EntityRef {
    let known: Vec<&EntityRef> = state.entities.keys().collect();
    if known.is_empty() || rng.once_in(4) {
        return entity(rng);
    }
    (*rng.pick(&known)).clone()
}

/// Mostly a service that stands.
fn known_service(rng: &mut Rng, state: &Oracle) -> Name {
    let services = state.entities.keys().filter(|key| key.is_service());
    let known: Vec<&Name> = services.map(|key| &key.name).collect();
    if known.is_empty() || rng.once_in(6) {
        return service(rng);
    }
    (*rng.pick(&known)).clone()
}

/// Mostly a relation that stands.
fn known_relation(rng: &mut Rng, state: &Oracle) -> RelationKey {
    let known: Vec<&RelationKey> = state.relations.keys().collect();
    if known.is_empty() || rng.once_in(4) {
        return relation(rng);
    }
    (*rng.pick(&known)).clone()
}

/// A random transaction for a graph in this state. Most are possible, many are refused.
pub fn transaction(rng: &mut Rng, state: &Oracle) -> Transaction {
    let count = 1 + if rng.once_in(3) { rng.below(4) } else { 0 };
    let mut transaction = Transaction::of((0..count).map(|_| mutation(rng, state)).collect());
    if rng.once_in(5) {
        let count = 1 + rng.below(3) / 2;
        transaction.preconditions = (0..count).map(|_| precondition(rng, state)).collect();
    }
    if rng.once_in(4) {
        // Few ids, so that they come again; few bodies, so that some of those differ.
        let id = format!("r{}", rng.below(60));
        transaction.request_id = Arc::from(id.as_str());
        transaction.request = Some(Request {
            key: RequestKey::new("random", &id),
            body: u64::from(rng.once_in(4)),
        });
    }
    if rng.once_in(40) {
        transaction.mutation_limit = 2;
    }
    transaction.actor = Arc::from("random");
    transaction.reason = Arc::from(word(rng));
    transaction.time_ms = 1_000 + 100 * rng.below(50) as u64;
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
            digest: Default::default(),
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
