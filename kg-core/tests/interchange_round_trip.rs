//! Random graphs go out and come in again: as Amadeus JSON byte for byte and with the same hash, as CSV with the same
//! relations. The seed of a failure is printed.

use kg_core::commit::Graph;
use kg_core::interchange::{CsvChunks, export_csv, export_json, parse_json};
use kg_core::limits;
use kg_core::model::{
    Compensation, Dependency, Endpoint, Entity, EntityRef, Health, Input, Join, Kind, Label, Name,
    Object, Output, Path, PatternBody, PatternSpec, RelationKey, Retry, Schema, ServiceBody,
    ServiceSpec, Step, Value, ValueType,
};
use kg_core::mutation::{Mutation, Transaction};
use kg_core::snapshot::Snapshot;
use std::collections::BTreeSet;
use std::sync::Arc;

/// SplitMix64: enough for choosing, and the same everywhere.
struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.next() % bound as u64).expect("small")
    }

    fn once_in(&mut self, bound: usize) -> bool {
        self.below(bound) == 0
    }

    fn pick<'a, T: ?Sized>(&mut self, from: &[&'a T]) -> &'a T {
        from[self.below(from.len())]
    }

    fn several<T>(&mut self, bound: usize, mut make: impl FnMut(&mut Self) -> T) -> Vec<T> {
        (0..self.below(bound)).map(|_| make(self)).collect()
    }

    fn name(&mut self) -> Name {
        let names = [
            "a",
            "b",
            "c",
            "d",
            "user",
            "a:b",
            "a.b",
            "x/y",
            "größe",
            "\"q\"",
            "<x>&'",
            "v:1/2",
            "[0]",
            "\u{fffe}\u{1f600}",
            "a, b",
        ];
        Name::parse("name", self.pick(&names)).expect("valid")
    }

    fn text(&mut self) -> String {
        let texts = [
            "",
            "",
            "v1",
            "plain",
            "two\nlines\ttab\r",
            "\u{2028}\"\\/",
            "ünï",
            "0",
        ];
        self.pick(&texts).to_owned()
    }

    fn word(&mut self) -> String {
        self.pick(&["", "", "core", "edge", "c d"]).to_owned()
    }

    fn number(&mut self) -> f64 {
        match self.below(6) {
            0 => 0.0,
            1 => -0.0,
            2 => 9_007_199_254_740_992.0,
            3 => -17.0,
            4 => 0.1 + 0.2,
            _ => {
                let any = f64::from_bits(self.next());
                if Value::number(any).is_ok() {
                    any
                } else {
                    1e-7
                }
            }
        }
    }

    fn value(&mut self, depth: usize) -> Value {
        match self.below(if depth == 0 { 4 } else { 6 }) {
            0 => Value::Null,
            1 => Value::Bool(self.once_in(2)),
            2 => Value::Number(self.number()),
            3 => Value::string(&self.text()),
            4 => Value::list(self.several(4, |dice| dice.value(depth - 1))),
            _ => Value::Object(self.object(depth - 1)),
        }
    }

    fn object(&mut self, depth: usize) -> Object {
        let keys = [
            "version",
            "optional",
            "x",
            "name",
            "metadata",
            "",
            "a.b",
            "properties",
        ];
        self.several(4, |dice| (Arc::from(dice.pick(&keys)), dice.value(depth)))
            .into_iter()
            .collect()
    }

    fn few(&mut self) -> Object {
        if self.once_in(2) {
            Object::new()
        } else {
            self.object(2)
        }
    }

    fn key(&mut self) -> EntityRef {
        let kind = self.pick(&[
            "service", "service", "service", "pattern", "team", "K8s.Pod",
        ]);
        EntityRef::new(Kind::parse("kind", kind).expect("valid"), self.name())
    }

    fn relation(&mut self) -> RelationKey {
        let label = self.pick(&["depends_on", "depends_on", "uses", "owned_by"]);
        RelationKey {
            from: self.key(),
            label: Label::parse("label", label).expect("valid"),
            to: self.key(),
        }
    }

    fn dependency(&mut self) -> Dependency {
        let mut properties = self.few();
        properties.remove("version");
        properties.remove("optional");
        Dependency {
            service: self.name(),
            version: self.text(),
            optional: self.once_in(3),
            properties,
        }
    }

    fn service(&mut self) -> ServiceSpec {
        let mut dependencies = self.several(5, Self::dependency);
        let mut seen = BTreeSet::new();
        let name = self.name();
        dependencies.retain(|d| d.service != name && seen.insert(d.service.clone()));
        let health = [Health::Unknown, Health::Up, Health::Degraded, Health::Down];
        let health = health[self.below(4)];
        ServiceSpec {
            name,
            body: ServiceBody {
                category: self.word(),
                version: self.text(),
                owner: self.word(),
                description: self.text(),
                capabilities: self.several(3, |dice| Arc::from(dice.pick(&["x", "y", "pay me"]))),
                schema: Schema {
                    proto_path: self.text(),
                    methods: self.several(3, Self::text),
                },
                endpoints: self.several(3, |dice| Endpoint {
                    name: dice.text(),
                    path: dice.text(),
                    method: dice.text(),
                    input_type: dice.text(),
                    output_type: dice.text(),
                    description: dice.text(),
                    tags: dice.several(3, Self::text),
                    metadata: dice.few(),
                }),
                models: self.several(3, Self::text),
                health_check: self.text(),
                metrics: self.text(),
                health,
            },
            dependencies,
            metadata: self.few(),
        }
    }

    fn pattern(&mut self) -> PatternSpec {
        PatternSpec {
            name: self.name(),
            body: PatternBody {
                description: self.text(),
                version: self.text(),
                category: self.word(),
                owner: self.word(),
                origin: self.text(),
                active: self.once_in(2),
                steps: self.several(3, Self::step),
                inputs: self.several(2, |dice| Input {
                    name: dice.pick(&["one", "two"]).to_owned(),
                    kind: dice.kind(),
                    required: dice.once_in(2),
                    default: dice.value(2),
                    description: dice.text(),
                }),
                outputs: self.several(2, |dice| Output {
                    name: dice.pick(&["one", "two"]).to_owned(),
                    kind: dice.kind(),
                    value: dice.value(2),
                    description: dice.text(),
                }),
                classes: self
                    .several(2, |dice| (dice.pick(&["slow", "a.b"]).to_owned(), 3))
                    .into_iter()
                    .collect(),
                max_runs: self.small(),
                max_parallel: self.small(),
                timeout_ms: self.small(),
            },
            metadata: self.few(),
        }
    }

    fn step(&mut self) -> Step {
        Step {
            id: self.pick(&["one", "two"]).to_owned(),
            kind: self.text(),
            target: self.text(),
            action: self.text(),
            depends_on: self.several(2, Self::text),
            join: if self.once_in(2) {
                Join::Any
            } else {
                Join::All
            },
            parameters: self.few(),
            required: self.several(2, Self::text),
            optional: self.several(2, Self::text),
            retry: self.once_in(2).then(|| self.retry()),
            timeout_ms: self.small(),
            total_timeout_ms: self.small(),
            condition: self.value(2),
            compensation: self.once_in(2).then(|| Compensation {
                kind: "grpc".to_owned(),
                target: self.text(),
                action: self.text(),
                parameters: self.few(),
                retry: self.once_in(2).then(|| self.retry()),
                timeout_ms: self.small(),
            }),
            class: self.text(),
            description: self.text(),
        }
    }

    fn retry(&mut self) -> Retry {
        Retry {
            max_attempts: 1 + self.small(),
            backoff_ms: 1 + self.small(),
            multiplier: if self.once_in(2) { 2.0 } else { 1.25 },
            max_backoff_ms: 1 + self.small(),
            jitter: if self.once_in(2) { 0.0 } else { 0.25 },
            codes: self.several(2, Self::text),
        }
    }

    fn kind(&mut self) -> ValueType {
        ValueType::ALL[self.small() as usize]
    }

    fn small(&mut self) -> u32 {
        u32::try_from(self.below(4)).expect("small")
    }

    fn mutation(&mut self) -> Mutation {
        match self.below(12) {
            0..=2 => Mutation::RegisterService {
                service: Box::new(self.service()),
                strict: self.once_in(4),
            },
            3..=5 => Mutation::PutRelation {
                key: self.relation(),
                properties: self.few(),
                create_ends: !self.once_in(3),
            },
            6 => Mutation::DeleteRelation(self.relation()),
            7 => Mutation::DeleteEntity {
                key: self.key(),
                force: !self.once_in(3),
            },
            8 => Mutation::PutEntity {
                key: self.key(),
                properties: self.few(),
            },
            9 => Mutation::PutPattern(Box::new(self.pattern())),
            10 => Mutation::UpdateNode {
                path: Path::parse(self.pick(&["doc", "doc.a", "doc.b[0]", "\"\"", "other"]))
                    .expect("valid"),
                value: self.value(3),
            },
            _ => Mutation::AddDependency {
                name: self.name(),
                dependency: self.dependency(),
            },
        }
    }
}

fn random_graph(seed: u64) -> Arc<Graph> {
    let mut dice = Dice(seed);
    let graph = Graph::in_memory();
    for _ in 0..dice.below(80) {
        // What is refused leaves no trace, and so belongs to a random history.
        let _ = graph.commit(Transaction::of(vec![dice.mutation()]));
    }
    graph
}

fn json(snapshot: &Snapshot) -> Vec<u8> {
    let mut out = Vec::new();
    export_json(snapshot, &mut out).expect("a vector takes all");
    out
}

fn imported(mutations: Vec<Mutation>) -> Arc<Graph> {
    let graph = Graph::in_memory();
    graph
        .commit(Transaction {
            mutation_limit: limits::IMPORT_MUTATIONS,
            ..Transaction::of(mutations)
        })
        .expect("what was exported commits");
    graph
}

#[test]
fn a_random_graph_comes_back_from_json_byte_for_byte() {
    let (mut pointing_placeholders, mut loose_dependencies) = (0, 0);
    for seed in 0..400 {
        let graph = random_graph(seed);
        let snapshot = graph.snapshot();
        let points = |e: &&Arc<Entity>| e.is_placeholder() && snapshot.has_outgoing(e.id);
        pointing_placeholders += snapshot.entities().filter(points).count();
        let text = json(&snapshot);
        let loose = "\"relation\": \"depends_on\"";
        loose_dependencies += String::from_utf8_lossy(&text).matches(loose).count();
        assert_eq!(text, json(&snapshot), "seed {seed}: twice the same");
        let import = parse_json(&text)
            .unwrap_or_else(|f| panic!("seed {seed}: {f:?}\n{}", String::from_utf8_lossy(&text)));
        let again = imported(import.mutations);
        let again = again.snapshot();
        assert_eq!(
            String::from_utf8_lossy(&json(&again)),
            String::from_utf8_lossy(&text),
            "seed {seed}"
        );
        assert_eq!(again.hash(), snapshot.hash(), "seed {seed}");
        assert_eq!(again.entity_count(), snapshot.entity_count(), "seed {seed}");
        assert_eq!(
            again.relation_count(),
            snapshot.relation_count(),
            "seed {seed}"
        );
    }
    // The generator reaches what is hard to write down.
    assert!(pointing_placeholders > 50, "{pointing_placeholders}");
    assert!(loose_dependencies > 50, "{loose_dependencies}");
}

#[test]
fn an_export_into_the_graph_that_it_came_from_changes_nothing() {
    for seed in 400..500 {
        let graph = random_graph(seed);
        let before = graph.snapshot();
        let import = parse_json(&json(&before)).expect("what we write we read");
        graph
            .commit(Transaction::of(import.mutations))
            .expect("it commits");
        let after = graph.snapshot();
        assert_eq!(after.hash(), before.hash(), "seed {seed}");
        assert_eq!(json(&after), json(&before), "seed {seed}");
    }
}

fn csv(snapshot: &Snapshot) -> Vec<u8> {
    let mut out = Vec::new();
    export_csv(snapshot, &mut out).expect("a vector takes all");
    out
}

#[test]
fn relations_come_back_from_csv_however_the_bytes_are_cut() {
    for seed in 500..700 {
        let graph = random_graph(seed);
        let text = csv(&graph.snapshot());
        let mut dice = Dice(seed);
        let mut chunks = CsvChunks::new();
        let mut rest = &text[..];
        while !rest.is_empty() {
            let (piece, behind) = rest.split_at(dice.below(40).min(rest.len()));
            chunks.feed(piece);
            rest = behind;
        }
        chunks.finish();
        let mut mutations = Vec::new();
        while let Some(chunk) = chunks.next_chunk() {
            mutations.extend(
                chunk
                    .unwrap_or_else(|f| panic!("seed {seed}: {f:?}"))
                    .mutations,
            );
        }
        assert_eq!(
            mutations.len(),
            graph.read(Snapshot::relation_count),
            "seed {seed}"
        );
        let again = imported(mutations);
        assert_eq!(
            String::from_utf8_lossy(&csv(&again.snapshot())),
            String::from_utf8_lossy(&text),
            "seed {seed}"
        );
    }
}

#[test]
fn an_empty_graph_is_a_file_too() {
    let graph = Graph::in_memory();
    let text = json(&graph.snapshot());
    assert_eq!(String::from_utf8_lossy(&text), "{\n  \"amadeus\": 1\n}\n");
    assert!(parse_json(&text).expect("no faults").mutations.is_empty());
    assert_eq!(csv(&graph.snapshot()), b"from,relation,to\n");
}

#[test]
fn csv_is_cut_into_chunks_of_ten_thousand_rows_wherever_its_bytes_are_cut() {
    let rows = 2 * limits::CSV_CHUNK_ROWS + 5;
    let mut text = String::from("from,relation,to\r\n");
    for i in 0..rows {
        text.push_str(&format!("s{i},requires,team/t{}\r\n", i % 7));
    }
    let read = |size: usize| {
        let mut chunks = CsvChunks::new();
        let mut found = Vec::new();
        for piece in text.as_bytes().chunks(size) {
            chunks.feed(piece);
            while let Some(chunk) = chunks.next_chunk() {
                let chunk = chunk.expect("no faults");
                found.push((chunk.number, chunk.mutations.len(), chunk.rows_so_far));
            }
        }
        chunks.finish();
        chunks.finish();
        while let Some(chunk) = chunks.next_chunk() {
            let chunk = chunk.expect("no faults");
            found.push((chunk.number, chunk.mutations.len(), chunk.rows_so_far));
        }
        found
    };
    let expected = vec![(0, 10_000, 10_000), (1, 10_000, 20_000), (2, 5, 20_005)];
    for size in [1, 7, 4_096, text.len()] {
        assert_eq!(read(size), expected, "in pieces of {size} bytes");
    }
}

#[test]
fn a_header_is_optional_names_may_be_bare_and_requires_means_depends_on() {
    let rows = |text: &str| {
        let mut chunks = CsvChunks::new();
        chunks.feed(text.as_bytes());
        chunks.finish();
        let mut keys = Vec::new();
        while let Some(chunk) = chunks.next_chunk() {
            for mutation in chunk.expect("no faults").mutations {
                let Mutation::PutRelation {
                    key,
                    properties,
                    create_ends: true,
                } = mutation
                else {
                    panic!("{mutation:?}");
                };
                keys.push(format!("{key} {}", Value::Object(properties).to_json()));
            }
        }
        keys
    };
    let expected = [
        "service/a depends_on service/b {}",
        "team/x owns service/a {}",
    ];
    assert_eq!(rows("a,requires,b\nteam/x,owns,service/a"), expected);
    assert_eq!(
        rows("\u{feff}from, relation ,to\r\n a , requires , b \r\n\r\nteam/x,owns,a,\r\n"),
        expected
    );
    assert_eq!(
        rows("from,relation,to,properties\na,uses,\"x, y\",\"{\"\"n\"\": 1.50}\"\n"),
        ["service/a uses service/x, y {\"n\":1.5}"]
    );
    assert!(rows("").is_empty());
    assert!(rows("from,relation,to\n").is_empty());
}

#[test]
fn a_fault_refuses_its_chunk_and_leaves_those_before_it() {
    let mut text = "a,uses,b\n".repeat(limits::CSV_CHUNK_ROWS);
    text.push_str("a,uses,c\na,uses,\n");
    text.push_str(&"a,uses,d\n".repeat(limits::CSV_CHUNK_ROWS));
    let mut chunks = CsvChunks::new();
    chunks.feed(text.as_bytes());
    chunks.finish();
    let first = chunks
        .next_chunk()
        .expect("a chunk")
        .expect("without faults");
    assert_eq!(first.mutations.len(), limits::CSV_CHUNK_ROWS);
    let faults = chunks
        .next_chunk()
        .expect("an answer")
        .expect_err("an empty end");
    assert_eq!(faults.len(), 1);
    assert_eq!(faults[0].field, "row 10002.to");
    assert!(chunks.next_chunk().is_none());
}

/// A placeholder without a relation could not be written down, so there is none: it goes with its last relation,
/// whichever end of it it was.
#[test]
fn a_placeholder_goes_with_its_last_relation() {
    let key = RelationKey {
        from: EntityRef::parse("from", "a").expect("valid"),
        label: Label::parse("label", "uses").expect("valid"),
        to: EntityRef::parse("to", "team/b").expect("valid"),
    };
    let put = Mutation::PutRelation {
        key: key.clone(),
        properties: Object::new(),
        create_ends: true,
    };
    let by_force = Mutation::DeleteEntity {
        key: key.to.clone(),
        force: true,
    };
    for end in [Mutation::DeleteRelation(key.clone()), by_force] {
        let graph = imported(vec![put.clone()]);
        assert!(graph.read(|s| s.entity(&key.from).is_some_and(|e| e.is_placeholder())));
        graph
            .commit(Transaction::of(vec![end]))
            .expect("it is there");
        assert!(graph.read(|s| s.entity(&key.from).is_none()));
    }
}
