//! Pictures as SVG: never a panic, always the same bytes, always well-formed, whatever the graph looks like.

use super::{NotDrawn, svg};
use kg_core::limits::PICTURE_ENTITIES;
use kg_core::model::{EntityRef, Health, Kind, Label, Name};
use kg_core::query::{Picture, PictureEdge, PictureNode};
use std::time::{Duration, Instant};

/// SplitMix64: enough for choosing, and the same everywhere.
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((z ^ (z >> 31)) % bound as u64).expect("small")
    }
}

fn node(kind: &str, name: &str) -> PictureNode {
    PictureNode {
        key: EntityRef::new(
            Kind::parse("kind", kind).expect("valid"),
            Name::parse("name", name).expect("valid"),
        ),
        category: String::new(),
        health: Health::Unknown,
        placeholder: false,
        step: None,
    }
}

fn edge(from: usize, label: &str, to: usize) -> PictureEdge {
    PictureEdge {
        from,
        to,
        label: Label::parse("label", label).expect("valid"),
    }
}

fn numbered(count: usize, edges: Vec<PictureEdge>) -> Picture {
    let nodes = (0..count)
        .map(|i| node("service", &format!("number-{i:04}")))
        .collect();
    Picture { nodes, edges }
}

/// What was drawn, seen through: how many boxes, lines and arrow heads, and every text.
fn drawn(picture: &Picture) -> (usize, usize, usize, Vec<String>) {
    let text = svg(picture).expect("it is drawn");
    assert_eq!(
        svg(picture).expect("it is drawn"),
        text,
        "the same bytes again"
    );
    assert!(text.starts_with("<svg xmlns=") && text.ends_with("</svg>\n"));
    assert!(!text.contains("NaN") && !text.contains("inf"), "{text}");
    well_formed(&text);
    let count = |what: &str| text.matches(what).count();
    let texts = text
        .split("</text>")
        .filter_map(|part| part.rsplit_once('>').filter(|_| part.contains("<text")))
        .map(|(_, text)| text.to_owned())
        .collect();
    let heads = count("marker-start=") + count("marker-end=");
    (count("<rect"), count("<path d=") - 1, heads, texts)
}

/// Tags nest and close, attributes are quoted, nothing but the five entities follows an ampersand.
fn well_formed(text: &str) {
    let mut open = Vec::new();
    let mut rest = text;
    while let Some(at) = rest.find('<') {
        let tag_end = rest[at..].find('>').expect("a tag ends") + at;
        let tag = &rest[at + 1..tag_end];
        assert!(!rest[..at].contains('>'), "{}", &rest[..at]);
        let name = |tag: &str| tag.split([' ', '/']).next().unwrap_or_default().to_owned();
        if let Some(closing) = tag.strip_prefix('/') {
            assert_eq!(open.pop().as_deref(), Some(closing));
        } else {
            assert_eq!(tag.matches('"').count() % 2, 0, "{tag}");
            if !tag.ends_with('/') {
                open.push(name(tag));
            }
        }
        rest = &rest[tag_end + 1..];
    }
    assert!(open.is_empty(), "{open:?}");
    for part in text.split('&').skip(1) {
        let entity = part.split(';').next().unwrap_or_default();
        assert!(
            ["amp", "lt", "gt", "quot", "#39"].contains(&entity),
            "&{entity}"
        );
    }
}

#[test]
fn an_empty_picture_and_a_single_node_are_pictures() {
    assert_eq!(drawn(&Picture::default()), (0, 0, 0, vec![]));
    assert_eq!(drawn(&numbered(1, vec![])).0, 1);
}

#[test]
fn loops_cycles_and_repeated_edges_are_drawn() {
    let one = numbered(1, vec![edge(0, "depends_on", 0), edge(0, "calls", 0)]);
    assert_eq!(drawn(&one).0, 1);
    let both = numbered(2, vec![edge(0, "depends_on", 1), edge(1, "depends_on", 0)]);
    let (boxes, lines, heads, _) = drawn(&both);
    assert_eq!((boxes, lines, heads), (2, 1, 2), "one line with two heads");
    let repeated = numbered(
        2,
        vec![edge(0, "uses", 1), edge(0, "uses", 1), edge(0, "owns", 1)],
    );
    let (_, lines, heads, texts) = drawn(&repeated);
    assert_eq!((lines, heads), (1, 1), "one line says it all");
    assert!(texts.contains(&"owns, uses".to_owned()), "{texts:?}");
    let opposed = numbered(2, vec![edge(0, "uses", 1), edge(1, "owns", 0)]);
    let (_, lines, heads, texts) = drawn(&opposed);
    assert_eq!((lines, heads), (1, 2));
    assert!(texts.contains(&"← owns | uses →".to_owned()), "{texts:?}");
    let ring = |n: usize| {
        numbered(
            n,
            (0..n).map(|i| edge(i, "depends_on", (i + 1) % n)).collect(),
        )
    };
    for n in 2..40 {
        let (boxes, lines, heads, texts) = drawn(&ring(n));
        assert_eq!((boxes, heads, texts.len()), (n, n, n));
        assert_eq!(lines, if n == 2 { 1 } else { n });
    }
    for n in 2..13 {
        let all = (0..n).flat_map(|a| (0..n).map(move |b| edge(a, "depends_on", b)));
        assert_eq!(
            drawn(&numbered(n, all.collect())).0,
            n,
            "everything with everything"
        );
    }
}

#[test]
fn names_are_text_and_never_markup() {
    let long = "x".repeat(256);
    let names = [
        "<script>alert(1)</script>",
        "a & b",
        "\"quoted\"",
        "it's",
        "]]>",
        "größe",
        "日本語",
        "🙂",
        "\u{fffe}\u{ffff}",
        "a\u{a0}b",
        "\u{202e}right to left",
        "--",
        "%s {0}",
        &long,
    ];
    let mut picture = Picture {
        nodes: names.iter().map(|name| node("service", name)).collect(),
        edges: (1..names.len()).map(|i| edge(0, "uses", i)).collect(),
    };
    picture.nodes.push(node("K8s.Pod", "a/b<c"));
    let (boxes, _, _, texts) = drawn(&picture);
    assert_eq!(boxes, names.len() + 1);
    assert!(texts.contains(&"&lt;script&gt;alert(1)&lt;/script&gt;".to_owned()));
    assert!(texts.contains(&"K8s.Pod/a/b&lt;c".to_owned()));
    assert!(texts.contains(&"\u{fffd}\u{fffd}".to_owned()));
}

#[test]
fn random_graphs_are_drawn_whatever_their_shape() {
    let seeds: u64 = std::env::var("PICTURES").map_or(300, |n| n.parse().expect("a number"));
    for seed in 0..seeds {
        let mut dice = Dice(seed);
        let nodes = 1 + dice.below(if seed % 10 == 0 { 60 } else { 14 });
        let edges = dice.below(3 * nodes);
        let labels = [
            "depends_on",
            "depends_on",
            "uses",
            "a_rather_long_label_of_a_relation",
        ];
        let labels = &labels[..1 + dice.below(labels.len())];
        let mut picture = numbered(nodes, vec![]);
        for node in &mut picture.nodes {
            let health = [Health::Unknown, Health::Up, Health::Degraded, Health::Down];
            node.health = health[dice.below(4)];
            node.placeholder = dice.below(5) == 0;
        }
        for _ in 0..edges {
            let label = labels[dice.below(labels.len())];
            picture
                .edges
                .push(edge(dice.below(nodes), label, dice.below(nodes)));
        }
        eprintln!("seed {seed}: {nodes} nodes, {edges} edges");
        assert_eq!(drawn(&picture).0, nodes);
    }
}

#[test]
fn what_is_too_large_is_refused_with_its_size() {
    let refusal = svg(&numbered(PICTURE_ENTITIES + 1, vec![]));
    assert_eq!(refusal, Err(NotDrawn::Entities(2001)));
    // A long chain, and a line from its first to each other: every line crosses all columns between.
    let n = 500;
    let chain = (1..n).map(|i| edge(i - 1, "depends_on", i));
    let across = (2..n).map(|i| edge(0, "depends_on", i));
    let Err(NotDrawn::Shapes(shapes)) = svg(&numbered(n, chain.chain(across).collect())) else {
        panic!("124,000 bends are too many");
    };
    assert!(shapes > 120_000, "{shapes}");
}

#[test]
fn the_largest_pictures_take_a_bounded_time() {
    let n = PICTURE_ENTITIES;
    let mut dice = Dice(7);
    let random: Vec<_> = (0..n)
        .map(|_| edge(dice.below(n), "depends_on", dice.below(n)))
        .collect();
    // Thirty diamonds in a row: a billion ways from one end to the other.
    let diamonds = (0..30).flat_map(|i| {
        let at = 3 * i;
        [
            (at, at + 1),
            (at, at + 2),
            (at + 1, at + 3),
            (at + 2, at + 3),
        ]
    });
    let pictures = [
        ("isolated", numbered(n, vec![])),
        (
            "star",
            numbered(n, (1..n).map(|i| edge(0, "uses", i)).collect()),
        ),
        (
            "chain",
            numbered(n, (1..n).map(|i| edge(i - 1, "uses", i)).collect()),
        ),
        (
            "ring",
            numbered(
                n,
                (0..n).map(|i| edge(i, "depends_on", (i + 1) % n)).collect(),
            ),
        ),
        ("random", numbered(n, random)),
        (
            "diamonds",
            numbered(
                91,
                diamonds.map(|(a, b)| edge(a, "depends_on", b)).collect(),
            ),
        ),
        ("1,000 isolated", numbered(1_000, vec![])),
        ("400 isolated", numbered(400, vec![])),
        (
            "two columns",
            numbered(
                160,
                (0..4_000)
                    .map(|_| edge(dice.below(80), "depends_on", 80 + dice.below(80)))
                    .collect(),
            ),
        ),
        (
            "dense",
            numbered(
                120,
                (0..60)
                    .flat_map(|a| (60..120).map(move |b| edge(a, "depends_on", b)))
                    .collect(),
            ),
        ),
        (
            "dense small",
            numbered(
                80,
                (0..40)
                    .flat_map(|a| (40..80).map(move |b| edge(a, "depends_on", b)))
                    .collect(),
            ),
        ),
        (
            "dense columns",
            numbered(
                400,
                (0..380)
                    .flat_map(|a| {
                        (0..20).map(move |b| edge(a, "depends_on", 20 * (a / 20 + 1) + b))
                    })
                    .collect(),
            ),
        ),
        (
            "sparse columns",
            numbered(
                400,
                (0..380)
                    .flat_map(|a| {
                        (0..2).map(move |b| {
                            edge(a, "depends_on", 20 * (a / 20 + 1) + (7 * a + 3 * b) % 20)
                        })
                    })
                    .collect(),
            ),
        ),
        (
            "wide sparse",
            numbered(
                130,
                (0..130)
                    .map(|_| edge(dice.below(65), "depends_on", 65 + dice.below(65)))
                    .collect(),
            ),
        ),
        (
            "six columns",
            numbered(
                180,
                (0..400)
                    .map(|_| {
                        let column = 30 * dice.below(5);
                        edge(
                            column + dice.below(30),
                            "depends_on",
                            column + 30 + dice.below(30),
                        )
                    })
                    .collect(),
            ),
        ),
    ];
    for (what, picture) in pictures {
        let start = Instant::now();
        let text = svg(&picture);
        let size = text.as_ref().map_or(0, String::len);
        eprintln!(
            "{what}: {:?}, {size} bytes, {:?}",
            start.elapsed(),
            text.err()
        );
        // Without optimisation and beside other tests; measured without them it is a second.
        assert!(start.elapsed() < Duration::from_secs(30), "{what}");
    }
}
#[test]
fn the_example_of_the_tree_is_drawn() {
    let bytes = include_bytes!("../../../examples/online-boutique.json");
    let import = kg_core::interchange::parse_json(bytes).expect("no faults");
    let graph = kg_core::commit::Graph::in_memory();
    graph
        .commit(kg_core::mutation::Transaction::of(import.mutations))
        .expect("it commits");
    let snapshot = graph.snapshot();
    let view = kg_core::query::View::default();
    let picture = kg_core::query::picture(&snapshot, &view).expect("it is small");
    let (boxes, _, heads, texts) = drawn(&picture);
    assert_eq!(boxes, snapshot.entity_count());
    assert!(heads > 0);
    for name in ["checkout", "team/payments", "runs_on"] {
        assert!(texts.contains(&name.to_owned()), "{name}: {texts:?}");
    }
}
