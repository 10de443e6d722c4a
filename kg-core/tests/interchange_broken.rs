//! Files that are refused: each names the path of what is wrong with it, and a file with several faults names them all.

use kg_core::commit::Graph;
use kg_core::interchange::{CsvChunks, parse_json, recognise};
use kg_core::limits;
use kg_core::mutation::Transaction;
use kg_core::snapshot::Snapshot;

/// A file, the path of each fault in the order in which they are told, and a word that the first reason must hold.
type Case = (&'static str, &'static [&'static str], &'static str);

const CASES: &[Case] = &[
    // Not JSON, or JSON of no form.
    ("", &[""], "EOF while parsing a value at line 1 column 0"),
    ("{", &[""], "line 1 column 1"),
    (
        "{\"services\": {\n\"a\": {\"name\": tru}}}",
        &["services.a.name"],
        "line 2 column",
    ),
    (
        "{\"amadeus\": 1} x",
        &[""],
        "trailing characters at line 1 column 16",
    ),
    (
        "{\"amadeus\": 1, \"documents\": {\"a\": NaN}}",
        &["documents.a"],
        "expected value at line 1",
    ),
    (
        "{\"amadeus\": 1, \"documents\": {\"a\": 1e400}}",
        &["documents.a"],
        "number out of range",
    ),
    (
        "{\"amadeus\": 1, \"documents\": {\"a\": \"\u{1}\"}}",
        &["documents.a"],
        "control character",
    ),
    (
        "{\"amadeus\": 1, \"documents\": {\"a\": \"\\ud800\"}}",
        &["documents.a"],
        "at line 1",
    ),
    ("null", &[""], "it is null"),
    ("[]", &[""], "it is a list"),
    ("[1, 2]", &[""], "Known are"),
    ("\"graph\"", &[""], "it is a string"),
    ("{}", &[""], "an empty object"),
    (
        r#"{"nodes": [], "edges": []}"#,
        &[""],
        r#""edges", "nodes""#,
    ),
    // The older nested form of the original.
    (
        r#"{"version": "1", "last_updated": "x", "services": {"core_services": {"auth": {"purpose": "p", "location": "l"}}}}"#,
        &["services.core_services"],
        "older nested form",
    ),
    (
        r#"{"services": {"a": {"name": "a"}, "core.services": {"auth": {}, "user": {"patterns_used": []}}}}"#,
        &["services.\"core.services\""],
        "older nested form",
    ),
    // Found in the text itself, in every form.
    (
        r#"{"amadeus": 1, "documents": {"a": 1, "b": 2, "a": 3}}"#,
        &["documents.a"],
        "twice",
    ),
    (
        r#"{"amadeus": 1, "documents": {}, "documents": {}}"#,
        &["documents"],
        "twice",
    ),
    (
        r#"{"amadeus": 1, "documents": {"a": [0, 9007199254740993]}}"#,
        &["documents.a[1]"],
        "2^53",
    ),
    (
        r#"{"amadeus": 1, "documents": {"a": -9007199254740993}}"#,
        &["documents.a"],
        "2^53",
    ),
    (
        r#"{"amadeus": 1, "documents": {"a": 123456789012345678901234567890}}"#,
        &["documents.a"],
        "2^53",
    ),
    (
        r#"{"amadeus": 1, "documents": {"a": 1e300}}"#,
        &["documents.a"],
        "2^53",
    ),
    (
        r#"[{"name": "a", "x": {"k": 1, "k": 2}}]"#,
        &["[0].x.k"],
        "twice",
    ),
    // Our own form.
    (r#"{"amadeus": 2}"#, &["amadeus"], "is 2"),
    (r#"{"amadeus": "1"}"#, &["amadeus"], "is \"1\""),
    (
        r#"{"amadeus": 1, "servises": []}"#,
        &["servises"],
        "is no field of an Amadeus file",
    ),
    (
        r#"{"amadeus": 1, "services": {}}"#,
        &["services"],
        "must be a list",
    ),
    (
        r#"{"amadeus": 1, "services": ["a"]}"#,
        &["services[0]"],
        "must be a service, not a string",
    ),
    (
        r#"{"amadeus": 1, "services": [{}]}"#,
        &["services[0].name"],
        "must not be empty",
    ),
    (
        r#"{"amadeus": 1, "services": [{"name": " a"}]}"#,
        &["services[0].name"],
        "white space",
    ),
    (
        r#"{"amadeus": 1, "services": [{"name": "a", "version": 1}]}"#,
        &["services[0].version"],
        "must be a string, not a number",
    ),
    (
        r#"{"amadeus": 1, "services": [{"name": "a", "capabilities": ["x", 2]}]}"#,
        &["services[0].capabilities[1]"],
        "must be a string",
    ),
    (
        r#"{"amadeus": 1, "services": [{"name": "a", "capabilities": [""]}]}"#,
        &["services[0].capabilities[0]"],
        "empty",
    ),
    (
        r#"{"amadeus": 1, "services": [{"name": "a", "health": "ill"}]}"#,
        &["services[0].health"],
        "none of unknown, up",
    ),
    (
        r#"{"amadeus": 1, "services": [{"name": "a", "dependencies": [{"service": "a"}]}]}"#,
        &["services[0].dependencies[0].service"],
        "itself",
    ),
    (
        r#"{"amadeus": 1, "services": [{"name": "a", "dependencies": [{"service": "b"}, {"service": "b"}]}]}"#,
        &["services[0].dependencies[1]"],
        "again",
    ),
    (
        r#"{"amadeus": 1, "services": [{"name": "a", "dependencies": ["b"]}]}"#,
        &["services[0].dependencies[0]"],
        "must be a dependency",
    ),
    (
        r#"{"amadeus": 1, "services": [{"name": "a", "dependencies": [{"service": "b", "optional": "yes"}]}]}"#,
        &["services[0].dependencies[0].optional"],
        "boolean",
    ),
    (
        r#"{"amadeus": 1, "services": [{"name": "a", "schema": {"methods": [], "proto": ""}}]}"#,
        &["services[0].schema.proto"],
        "is no field of a schema",
    ),
    (
        r#"{"amadeus": 1, "services": [{"name": "a", "endpoints": [{"path": "/", "verb": "GET"}]}]}"#,
        &["services[0].endpoints[0].verb"],
        "is no field of an endpoint",
    ),
    (
        r#"{"amadeus": 1, "services": [{"name": "a"}, {"name": "b"}, {"name": "a"}]}"#,
        &["services[2]"],
        "repeats services[0]",
    ),
    (
        r#"{"amadeus": 1, "entities": [{"kind": "service", "name": "a"}]}"#,
        &["entities[0].kind"],
        "belongs in the list services",
    ),
    (
        r#"{"amadeus": 1, "entities": [{"kind": "1st", "name": "a"}]}"#,
        &["entities[0].kind"],
        "begin with a letter",
    ),
    (
        r#"{"amadeus": 1, "entities": [{"kind": "team", "name": "a", "properties": []}]}"#,
        &["entities[0].properties"],
        "must be an object",
    ),
    (
        r#"{"amadeus": 1, "patterns": [{"name": "p", "steps": [{"type": "call"}]}]}"#,
        &["patterns[0].steps[0].id"],
        "must not be empty",
    ),
    (
        r#"{"amadeus": 1, "patterns": [{"name": "p", "active": 1}]}"#,
        &["patterns[0].active"],
        "boolean",
    ),
    (
        r#"{"amadeus": 1, "relations": [{"from": "a", "relation": "owned by", "to": "team/x"}]}"#,
        &["relations[0].relation"],
        "must begin with a letter",
    ),
    (
        r#"{"amadeus": 1, "relations": [{"from": "a", "relation": "uses"}]}"#,
        &["relations[0].to"],
        "must not be empty",
    ),
    (
        r#"{"amadeus": 1, "relations": [{"from": "a", "relation": "depends_on", "to": "service/a"}]}"#,
        &["relations[0].to"],
        "itself",
    ),
    (
        r#"{"amadeus": 1, "services": [{"name": "a", "dependencies": [{"service": "b"}]}], "relations": [{"from": "a", "relation": "depends_on", "to": "b"}]}"#,
        &["relations[0]"],
        "repeats a dependency of a",
    ),
    (
        r#"{"amadeus": 1, "documents": {"services": {}}}"#,
        &["documents.services"],
        "typed bodies",
    ),
    (
        r#"{"amadeus": 1, "documents": []}"#,
        &["documents"],
        "must be an object",
    ),
    // Several at once: all are told.
    (
        r#"{"amadeus": 1, "services": [{"name": "", "color": 1}, {"name": "b", "models": 3}], "documents": {"a": {"x": 1, "x": 2}}}"#,
        &[
            "documents.a.x",
            "services[0].color",
            "services[0].name",
            "services[1].models",
        ],
        "twice",
    ),
    // knowledge_graph.json
    (
        r#"{"services": {"a": 1}}"#,
        &["services.a"],
        "must be an object, not a number",
    ),
    (
        r#"{"services": {"": {"name": ""}}}"#,
        &["services.\"\""],
        "must not be empty",
    ),
    (
        r#"{"services": {"a": {"name": "b"}}}"#,
        &["services.a.name"],
        "but the key is",
    ),
    (
        r#"{"services": {"a": {"name": "a", "dependencies": "b"}}}"#,
        &["services.a.dependencies"],
        "must be a list",
    ),
    (
        r#"{"services": {"a": {"name": "a", "dependencies": ["a"]}}}"#,
        &["services.a.dependencies[0].service"],
        "itself",
    ),
    (
        r#"{"services": {"a": {"name": "a", "version": "1", "metadata": {"version": "2"}}}}"#,
        &["services.a.metadata.version"],
        "contradicts",
    ),
    (
        r#"{"services": {"a": {"name": "a", "x": "1", "metadata": {"x": "2"}}}}"#,
        &["services.a.metadata.x"],
        "contradicts",
    ),
    (
        r#"{"services": {"a": {"name": "a", "metadata": {"endpoints": [{"path": 7}]}}}}"#,
        &["services.a.endpoints[0].path"],
        "must be a string",
    ),
    (
        r#"{"services": {}, "patterns": {"p": {"name": "q"}}}"#,
        &["patterns.p.name"],
        "differs",
    ),
    (
        r#"{"services": {}, "patterns": []}"#,
        &["patterns"],
        "must be an object by name",
    ),
    // service_graph.json
    (
        r#"{"services": {}, "dependencies": ["a"]}"#,
        &["dependencies[0]"],
        "must be an object",
    ),
    (
        r#"{"services": {}, "dependencies": [{"from": "a", "to": "a", "type": "requires"}]}"#,
        &["dependencies[0].to"],
        "itself",
    ),
    (
        r#"{"services": {}, "dependencies": [{"from": 1, "to": "b", "type": "requires"}]}"#,
        &["dependencies[0].from"],
        "must be a string",
    ),
    (
        r#"{"services": {}, "dependencies": [{"from": "a", "to": "b"}]}"#,
        &["dependencies[0].type"],
        "must not be empty",
    ),
    (
        r#"{"services": [], "dependencies": []}"#,
        &["services"],
        "must be an object by name",
    ),
    // service_registration.json
    (
        r#"[{"name": "a"}, {"version": "v1"}]"#,
        &["[1].name"],
        "is missing",
    ),
    (r#"[{"name": "a"}, 7]"#, &["[1]"], "must be an object"),
    (
        r#"[{"name": "a"}, {"name": "a"}]"#,
        &["[1].name"],
        "as [0].name is",
    ),
    (
        r#"[{"name": "a", "schema": {"methods": [1]}}]"#,
        &["[0].schema.methods[0]"],
        "must be a string",
    ),
    (
        r#"[{"name": "a", "dependencies": ["b", "b"]}]"#,
        &["[0].dependencies[1]"],
        "again",
    ),
];

#[test]
fn a_broken_file_is_refused_with_the_path_of_every_fault() {
    for (file, paths, word) in CASES {
        let faults = parse_json(file.as_bytes()).expect_err(file);
        let found: Vec<&str> = faults.iter().map(|f| f.field.as_str()).collect();
        assert_eq!(&found, paths, "{file}: {faults:?}");
        assert!(faults[0].reason.contains(word), "{file}: {}", faults[0]);
    }
}

#[test]
fn a_file_of_another_encoding_is_refused_and_a_byte_order_mark_is_not() {
    let faults =
        parse_json(b"{\"amadeus\": 1, \"documents\": {\"a\": \"\xff\"}}").expect_err("latin");
    assert_eq!(faults[0].field, "documents.a");
    assert!(parse_json(b"\xef\xbb\xbf{\"amadeus\": 1}").is_ok());
    assert!(recognise(b"\xff\xfe{\0}\0").is_err());
}

#[test]
fn nesting_is_bounded_at_each_place_and_never_by_the_stack() {
    let nested = |levels: usize| format!("{}{}", "[".repeat(levels), "]".repeat(levels));
    let file = |value: &str| format!(r#"{{"amadeus": 1, "documents": {{"a": {value}}}}}"#);
    assert!(parse_json(file(&nested(limits::JSON_DEPTH)).as_bytes()).is_ok());
    for levels in [limits::JSON_DEPTH + 1, 1_000, 1_000_000] {
        let faults = parse_json(file(&nested(levels)).as_bytes()).expect_err("too deep");
        assert!(
            faults[0].field.starts_with("documents.a[0]"),
            "{}",
            faults[0]
        );
        assert!(faults[0].reason.contains("deeper than 32"), "{}", faults[0]);
    }
    let endpoint = |levels: usize| {
        let value = nested(levels - 1);
        format!(
            r#"{{"amadeus": 1, "services": [{{"name": "s", "endpoints": [{{"metadata": {{"k": {value}}}}}]}}]}}"#
        )
    };
    assert!(parse_json(endpoint(limits::JSON_DEPTH).as_bytes()).is_ok());
    let faults = parse_json(endpoint(limits::JSON_DEPTH + 1).as_bytes()).expect_err("too deep");
    assert!(
        faults[0]
            .field
            .starts_with("services[0].endpoints[0].metadata.k")
    );
    // Text that opens and never closes ends where it ends.
    assert!(parse_json("[".repeat(1_000_000).as_bytes()).is_err());
}

#[test]
fn faults_are_listed_up_to_a_bound_and_then_counted() {
    let items = vec!["7"; limits::LISTED_FAULTS + 17].join(",");
    let file = format!(r#"{{"amadeus": 1, "services": [{items}]}}"#);
    let faults = parse_json(file.as_bytes()).expect_err("all are wrong");
    assert_eq!(faults.len(), limits::LISTED_FAULTS + 1);
    assert_eq!(faults[0].field, "services[0]");
    assert_eq!(faults.last().expect("some").to_string(), "and 17 more");
}

#[test]
fn a_file_with_too_many_changes_is_refused_with_their_count() {
    let sections = |count: usize| {
        let sections: Vec<String> = (0..count).map(|i| format!("\"s{i}\":{i}")).collect();
        format!("{{\"amadeus\":1,\"documents\":{{{}}}}}", sections.join(","))
    };
    assert!(parse_json(sections(limits::IMPORT_MUTATIONS).as_bytes()).is_ok());
    let faults =
        parse_json(sections(limits::IMPORT_MUTATIONS + 1).as_bytes()).expect_err("one more");
    assert_eq!(faults.len(), 1);
    assert!(faults[0].reason.contains("100001"), "{}", faults[0]);
}

#[test]
fn bytes_of_any_kind_never_panic() {
    // Each whole file of the table, cut at every byte and with every byte changed.
    for (file, _, _) in CASES {
        let bytes = file.as_bytes();
        for i in 0..bytes.len() {
            let _ = parse_json(&bytes[..i]);
            let mut changed = bytes.to_vec();
            changed[i] ^= 0x15;
            let _ = parse_json(&changed);
        }
    }
}

#[test]
fn rows_of_csv_are_refused_by_row_and_column() {
    let long = format!("a,uses,\"{}", "x".repeat(limits::CSV_ROW_BYTES));
    let cases: &[(&str, &[&str], &str)] = &[
        ("from,relation,to\na,b\n", &["row 2"], "has 2 column(s)"),
        ("a,uses,b,{},x\n", &["row 1"], "has 5 column(s)"),
        ("a,uses,b,{},x,y,z\n", &["row 1"], "more than 4 columns"),
        ("from,relation,to,weight\n", &["row 1"], "\"weight\""),
        (",uses,b\n", &["row 1.from"], "must not be empty"),
        ("a,uses,\n", &["row 1.to"], "must not be empty"),
        ("a,,b\n", &["row 1.relation"], "must not be empty"),
        (
            "a,uses it,b\n",
            &["row 1.relation"],
            "must begin with a letter",
        ),
        ("a,uses,1x/b\n", &["row 1.to"], "must begin with a letter"),
        ("a,requires,a\n", &["row 1.to"], "itself"),
        (
            "a,uses,b\na,uses,\"b\nc\"\n",
            &["row 2.to"],
            "control character",
        ),
        (
            "a,uses,b,[]\n",
            &["row 1.properties"],
            "must be a JSON object",
        ),
        ("a,uses,b,{\n", &["row 1.properties"], "is not JSON"),
        (
            "a,uses,b,\"{\"\"x\"\":1,\"\"x\"\":2}\"\n",
            &["row 1.properties.x"],
            "twice",
        ),
        (
            "a,uses,b\n,,\na,uses,\n",
            &["row 2.from", "row 2.relation", "row 2.to", "row 3.to"],
            "empty",
        ),
        (&long, &["row 1"], "perhaps a quote is not closed"),
    ];
    for (file, paths, word) in cases {
        let mut chunks = CsvChunks::new();
        chunks.feed(file.as_bytes());
        chunks.finish();
        let faults = chunks.next_chunk().expect("an answer").expect_err(file);
        let found: Vec<&str> = faults.iter().map(|f| f.field.as_str()).collect();
        assert_eq!(&found, paths, "{file}: {faults:?}");
        assert!(faults[0].reason.contains(word), "{file}: {}", faults[0]);
        assert!(chunks.next_chunk().is_none(), "{file}");
    }
    let mut chunks = CsvChunks::new();
    chunks.feed(b"a,uses,\xff\n");
    chunks.finish();
    let faults = chunks
        .next_chunk()
        .expect("an answer")
        .expect_err("no UTF-8");
    assert_eq!(faults[0].to_string(), "row 1.to: is not UTF-8");
}

#[test]
fn a_misspelt_end_is_refused_and_only_a_service_becomes_a_placeholder() {
    let file = |to: &str| {
        format!(
            r#"{{"amadeus": 1, "entities": [{{"kind": "team", "name": "a"}}], "relations": [{{"from": "s", "relation": "uses", "to": "{to}"}}]}}"#
        )
    };
    let commit = |to: &str| {
        let import = parse_json(file(to).as_bytes()).expect("no faults");
        let graph = Graph::in_memory();
        let outcome = graph.commit(Transaction::of(import.mutations));
        (outcome, graph.read(Snapshot::entity_count))
    };
    assert!(matches!(commit("team/a"), (Ok(_), 2)));
    assert!(matches!(commit("other"), (Ok(_), 3)));
    let (outcome, entities) = commit("team/b");
    assert!(outcome.is_err());
    assert_eq!(entities, 0);
}
