//! Facts about the answers that random histories do not show.

use super::*;
use crate::commit::Graph;
use crate::model::{
    EntityRef, Health, Kind, Label, Name, Object, PatternBody, PatternSpec, RelationKey,
    ServiceSpec, Step, Value,
};
use crate::mutation::{Mutation, Transaction};
use crate::snapshot::Snapshot;
use crate::testing::generate;
use crate::testing::oracle::Oracle;
use std::cell::Cell;
use std::sync::Arc;

fn key(text: &str) -> EntityRef {
    EntityRef::parse("ref", text).expect("a valid reference")
}

fn name(text: &str) -> Name {
    Name::parse("name", text).expect("a valid name")
}

fn spec(text: &str, needs: &[&str]) -> ServiceSpec {
    let mut spec = ServiceSpec::named(name(text));
    spec.dependencies = needs
        .iter()
        .map(|d| crate::model::Dependency::parse("d", d).expect("a valid dependency"))
        .collect();
    spec
}

fn registered(service: ServiceSpec) -> Mutation {
    Mutation::RegisterService {
        service: Box::new(service),
        strict: false,
    }
}

fn related(from: &str, label: &str, to: &str) -> Mutation {
    Mutation::PutRelation {
        key: RelationKey {
            from: key(from),
            label: Label::parse("relation", label).expect("a valid label"),
            to: key(to),
        },
        properties: Object::new(),
        create_ends: true,
    }
}

fn after(mutations: Vec<Mutation>) -> Arc<Snapshot> {
    let graph = Graph::in_memory();
    let outcome = graph
        .commit(Transaction {
            mutation_limit: usize::MAX,
            ..Transaction::of(mutations)
        })
        .expect("a valid transaction");
    outcome.snapshot
}

fn impact(roots: &[EntityRef]) -> Question<'_> {
    Question {
        roots,
        along: Along::or_dependencies(Vec::new()),
        direction: Direction::In,
        hops: None,
    }
}

fn pattern(text: &str, targets: &[&str]) -> Mutation {
    let step = |(i, target): (usize, &&str)| Step {
        id: i.to_string(),
        kind: "call".into(),
        target: (*target).to_owned(),
        ..Step::default()
    };
    Mutation::PutPattern(Box::new(PatternSpec {
        name: name(text),
        body: PatternBody {
            steps: targets.iter().enumerate().map(step).collect(),
            ..PatternBody::default()
        },
        metadata: Object::new(),
    }))
}

#[test]
fn a_long_chain_overflows_nothing() {
    const LENGTH: usize = 30_000;
    let link = |i: usize| {
        related(
            &format!("x/{i:06}"),
            "depends_on",
            &format!("x/{:06}", i + 1),
        )
    };
    let snapshot = after((0..LENGTH).map(link).collect());
    let label = Label::depends_on();
    let order = start_order(&snapshot, &label, &[], &Budget::unlimited()).expect("no limits");
    assert_eq!(order.levels.len(), LENGTH + 1);
    assert_eq!(order.levels[0], [key(&format!("x/{LENGTH:06}"))]);
    let none = cycles(&snapshot, &label, &Budget::unlimited()).expect("no limits");
    assert!(none.cycles.is_empty());
    let roots = [key(&format!("x/{LENGTH:06}"))];
    let reached = reach(&snapshot, &impact(&roots), &Budget::unlimited()).expect("it exists");
    let last = reached.page(LENGTH - 1, 10);
    assert_eq!((last.len(), last[0].path.len()), (1, LENGTH + 1));
}

#[test]
fn a_root_is_no_hit_of_its_own_cycle() {
    let snapshot = after(vec![
        registered(spec("a", &["b"])),
        registered(spec("b", &["a"])),
    ]);
    let roots = [key("a"), key("a")];
    let reached = reach(&snapshot, &impact(&roots), &Budget::unlimited()).expect("it exists");
    let hits: Vec<_> = reached.page(0, 10).into_iter().map(|hit| hit.key).collect();
    assert_eq!(hits, [key("b")]);
    assert!(reached.involves(snapshot.service("a").expect("registered").id));
}

#[test]
fn what_does_not_exist_is_named_and_zero_is_no_budget() {
    let snapshot = after(vec![registered(spec("a", &[]))]);
    let none = reach(&snapshot, &impact(&[key("nobody")]), &Budget::unlimited()).err();
    assert_eq!(none, Some(QueryError::NotFound(key("nobody"))));
    let field = |error: Option<QueryError>| match error {
        Some(QueryError::Invalid(fault)) => fault.field,
        other => panic!("expected a fault, found {other:?}"),
    };
    assert_eq!(
        field(reach(&snapshot, &impact(&[]), &Budget::unlimited()).err()),
        "refs"
    );
    let zero = Budget {
        max_entities: Some(0),
        ..Budget::unlimited()
    };
    assert_eq!(
        field(reach(&snapshot, &impact(&[key("a")]), &zero).err()),
        "budget.max_entities"
    );
    let deep = Budget {
        max_depth: Some(1),
        ..Budget::unlimited()
    };
    assert_eq!(
        field(cycles(&snapshot, &Label::depends_on(), &deep).err()),
        "budget.max_depth"
    );
    assert_eq!(
        field(search(&snapshot, " \t", &[], &Budget::unlimited()).err()),
        "text"
    );
}

#[test]
fn a_question_stops_when_its_time_is_up() {
    let star = |i: usize| {
        related(
            &format!("x/{i:05}"),
            "depends_on",
            &format!("x/{:05}", i / 2),
        )
    };
    let snapshot = after((1..50_000).map(star).collect());
    let looks = Cell::new(0);
    let up = || {
        looks.set(looks.get() + 1);
        looks.get() > 2
    };
    let budget = Budget {
        out_of_time: Some(&up),
        ..Budget::unlimited()
    };
    let roots = [key("x/00000")];
    let reached = reach(&snapshot, &impact(&roots), &budget).expect("it exists");
    assert!(reached.truncated());
    assert!(
        reached.total() > 1_000 && reached.total() < 40_000,
        "{}",
        reached.total()
    );
    assert!(
        reached
            .page(0, 100_000)
            .iter()
            .all(|hit| hit.path.len() == hit.depth as usize + 1)
    );
    for truncated in [
        cycles(&snapshot, &Label::depends_on(), &budget)
            .expect("valid")
            .truncated,
        start_order(&snapshot, &Label::depends_on(), &[], &budget)
            .expect("valid")
            .truncated,
        search(&snapshot, "x", &[], &budget)
            .expect("valid")
            .truncated,
    ] {
        assert!(truncated);
    }
}

#[test]
fn search_ranks_a_name_above_what_is_said_elsewhere() {
    let mut said = spec("zeta", &[]);
    said.body.description = "Takes a Credit card, and pays".into();
    let mut owned = spec("other", &[]);
    owned
        .metadata
        .insert("note".into(), Value::list([Value::string("PAY here")]));
    let mut none = spec("none", &["unregistered-pay"]);
    none.body.owner = "p".into();
    let services = [
        spec("repay", &[]),
        spec("payments", &[]),
        spec("pay", &[]),
        said,
        owned,
        none,
    ];
    let mut mutations: Vec<Mutation> = services.into_iter().map(registered).collect();
    mutations.push(Mutation::PutEntity {
        key: key("team/Pay"),
        properties: Object::new(),
    });
    let snapshot = after(mutations);
    let found = |text: &str, kinds: &[Kind]| -> Vec<String> {
        let matches = search(&snapshot, text, kinds, &Budget::unlimited()).expect("words");
        matches.entities.iter().map(|e| e.key.to_string()).collect()
    };
    let all = [
        "service/pay",
        "team/Pay",
        "service/payments",
        "service/repay",
        "service/other",
        "service/zeta",
    ];
    assert_eq!(found("pay", &[]), all);
    assert_eq!(found(" PAY ", &[]), all);
    assert_eq!(
        found("pay", &[Kind::parse("k", "team").expect("valid")]),
        ["team/Pay"]
    );
    assert_eq!(found("card credit", &[]), ["service/zeta"]);
    assert_eq!(found("team/pay", &[]), ["team/Pay"]);
    assert!(found("ß", &[]).is_empty());
}

#[test]
fn patterns_are_found_by_what_their_steps_act_on() {
    let snapshot = after(vec![
        registered(spec("pay.card", &[])),
        registered(spec("pay", &[])),
        registered(spec("ship", &[])),
        pattern("order", &["service/pay", "ship.Book"]),
        pattern("refund", &["pay/Refund"]),
        pattern("card", &["pay.card.Charge"]),
        pattern("lost", &["nobody.Call"]),
    ]);
    let using = |text: &str| -> Vec<String> {
        let id = snapshot.service(text).expect("registered").id;
        patterns_using(&snapshot, |used| used == id)
            .into_iter()
            .map(|key| key.name.to_string())
            .collect()
    };
    assert_eq!(using("pay"), ["order", "refund"]);
    assert_eq!(using("pay.card"), ["card"]);
    assert_eq!(using("ship"), ["order"]);
}

#[test]
fn validate_says_what_deserves_attention() {
    let mut old = spec("old", &[]);
    old.body.version = "v1.4".into();
    let mut stuck = pattern("stuck", &["old", "gone.Call"]);
    if let Mutation::PutPattern(spec) = &mut stuck {
        spec.body.steps[0].depends_on = vec!["1".into()];
        spec.body.steps[1].depends_on = vec!["0".into(), "7".into()];
    }
    let mut maybe = spec("maybe", &["extra"]);
    maybe.dependencies[0].optional = true;
    let snapshot = after(vec![
        registered(old),
        registered(spec("app", &["old:v2", "missing"])),
        registered(spec("fine", &["old:1.4"])),
        registered(spec("x", &["y"])),
        registered(spec("y", &["x"])),
        registered(spec("husk", &[])),
        registered(maybe),
        stuck,
    ]);
    let findings = validate(&snapshot);
    assert!(findings.is_sorted());
    let found: Vec<String> = findings
        .iter()
        .filter(|f| f.code != "incomplete")
        .map(|f| format!("{:?} {} {}", f.severity, f.code, f.entity))
        .collect();
    assert_eq!(
        found,
        [
            "Error step_cycle pattern/stuck",
            "Error step_missing pattern/stuck",
            "Warning dependency_cycle service/x",
            "Warning placeholder service/missing",
            "Warning step_target_missing pattern/stuck",
            "Warning version_mismatch service/app",
            "Note empty_service service/husk",
            "Note placeholder service/extra",
        ]
    );
    let old = findings
        .iter()
        .find(|f| f.code == "incomplete" && f.entity == key("old"))
        .expect("reported");
    assert_eq!(
        old.message,
        "does not say its category, owner, capability, health check"
    );
    let missing = findings
        .iter()
        .find(|f| f.entity == key("missing"))
        .expect("reported");
    assert_eq!(missing.message, "has not registered; needed by service/app");
}

#[test]
fn prune_takes_what_says_nothing_and_nobody_needs() {
    let mut said = spec("said", &["needed"]);
    said.body.owner = "us".into();
    let snapshot = after(vec![
        registered(said),
        registered(spec("husk", &[])),
        Mutation::PutEntity {
            key: key("team/empty"),
            properties: Object::new(),
        },
        Mutation::PutEntity {
            key: key("team/full"),
            properties: Object::unit("a".into(), Value::Null),
        },
        related("imported", "depends_on", "said"),
    ]);
    let idle: Vec<String> = prune(&snapshot)
        .iter()
        .map(|idle| idle.key.to_string())
        .collect();
    assert_eq!(idle, ["service/husk", "team/empty"]);
}

#[test]
fn pictures_and_pages_are_text_that_a_name_cannot_break() {
    let nasty = "q\"[0]\\N<b>|`x`";
    let mut down = spec("down", &[nasty]);
    down.body.health = Health::Down;
    down.body.description = "Goes *down* | often\n# not a title".into();
    let snapshot = after(vec![registered(down), related("down", "uses", "db/main")]);
    let shown = picture(&snapshot, &View::default()).expect("small");
    assert_eq!(
        mermaid(&shown),
        "flowchart LR
    n0[\"db/main\"]
    n1(\"down\")
    n2(\"q#34;#91;0#93;#92;N#60;b#62;#124;#96;x#96;\")
    n1 --> n2
    n1 -->|\"uses\"| n0
    classDef placeholder stroke-dasharray: 5 5
    class n2 placeholder
    classDef down stroke:#cb4b16,stroke-width:2px
    class n1 down
"
    );
    let text = dot(&shown);
    assert!(
        text.contains(
            r#""service/q\"[0]\\N<b>|`x`" [label="q\"[0]\\N<b>|`x`", style="rounded,dashed"];"#
        ),
        "{text}"
    );
    assert!(
        text.contains(r#""service/down" -> "db/main" [label="uses"];"#),
        "{text}"
    );
    let json: serde_json::Value = serde_json::from_str(&shown.json()).expect("JSON");
    assert_eq!(json["edges"][0]["to"], format!("service/{nasty}"));
    assert_eq!(json["nodes"][2]["placeholder"], true);
    let only = View {
        kind: Some(kind_of_section("section", "services").expect("a kind")),
        ..View::default()
    };
    let only = picture(&snapshot, &only).expect("small");
    assert_eq!((only.nodes.len(), only.edges.len()), (2, 1));

    let page = docs(&snapshot, &key("down")).expect("it exists");
    assert_eq!(
        page,
        r"# down

Goes \*down\* \| often \# not a title

| Fact | Value |
| --- | --- |
| Health | down |

## Depends on

| Service | Version | Optional |
| --- | --- | --- |
| NASTY |  | no |

## Relations

| From | Relation | To |
| --- | --- | --- |
| this | uses | db/main |
"
        .replace("NASTY", r#"q"\[0\]\\N\<b\>\|\`x\`"#)
    );
    assert!(docs_index(&snapshot).contains("| down |"));
    assert_eq!(
        docs(&snapshot, &key("nobody")),
        Err(QueryError::NotFound(key("nobody")))
    );
}

#[test]
fn a_picture_of_too_much_is_refused_with_the_count() {
    let star = |i: usize| related(&format!("x/{i:05}"), "uses", "x/hub");
    let snapshot = after((0..2_000).map(star).collect());
    assert_eq!(
        picture(&snapshot, &View::default()),
        Err(QueryError::PictureTooLarge(2_001))
    );
    let near = View {
        root: Some(key("x/00001")),
        hops: Some(1),
        ..View::default()
    };
    assert_eq!(picture(&snapshot, &near).expect("small").nodes.len(), 2);
}

#[test]
fn pages_of_a_larger_graph_agree_with_the_oracle() {
    let snapshot = generate::scale_free(7, 250, 1_000);
    let oracle = Oracle::of(&snapshot);
    let hub = generate::hub();
    let far = oracle
        .reach(std::slice::from_ref(&hub), &Along::All, Direction::In, None)
        .pop()
        .expect("many need the hub")
        .key;
    for (root, direction) in [
        (&hub, Direction::In),
        (&far, Direction::Out),
        (&far, Direction::Both),
    ] {
        let question = Question {
            roots: std::slice::from_ref(root),
            along: Along::All,
            direction,
            hops: None,
        };
        let expected = oracle.reach(question.roots, &Along::All, direction, None);
        let found = reach(&snapshot, &question, &Budget::unlimited()).expect("it exists");
        assert_eq!(found.total(), expected.len());
        for size in [1, 7, 100, 1_000] {
            let paged: Vec<Hit> = (0..expected.len())
                .step_by(size)
                .flat_map(|from| found.page(from, size))
                .collect();
            assert_eq!(paged, expected, "pages of {size} {direction:?}");
        }
        let most = expected.len() / 2;
        let budget = Budget {
            max_entities: u32::try_from(most).ok(),
            ..Budget::unlimited()
        };
        let cut = reach(&snapshot, &question, &budget).expect("it exists");
        assert_eq!(cut.page(0, usize::MAX), expected[..most]);
        assert!(cut.truncated());
    }
}
