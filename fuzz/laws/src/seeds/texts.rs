//! Seeds that are best written by hand: files of every form, paths, and what to change of a page token.

use super::Seed;

/// Files of the original's forms and of ours, whole and broken.
const FILES: [&str; 12] = [
    r#"{"services": {"a": {"name": "a", "version": "1", "dependencies": ["b:v1", "c"], "metadata": {"owner": "x"}}, "b": {"name": ""}},
"patterns": {"p": {"steps": [{"id": "1", "target": "a.Call"}]}}, "version": "1", "last_updated": "2024", "notes": {"x": [1, 2]}}"#,
    r#"{"services": {"a": {"capabilities": ["pay"], "action_map": {"x": 1}, "metadata": {"capabilities": ["pay"]}}}}"#,
    r#"{"version": "1", "last_updated": "2024", "patterns": null}"#,
    r#"{"services": {"a": {}, "b": {"name": "b"}}, "dependencies": [{"from": "a", "to": "b", "type": "requires"},
{"from": "a", "to": "b", "type": "requires"}, {"from": "b", "to": "gone", "type": "calls", "weight": 2}], "more": {}}"#,
    r#"{"services": {}, "dependencies": []}"#,
    r#"[{"name": "a", "dependencies": ["b"], "endpoints": [{"path": "/x", "method": "GET", "actions": ["read"]}]}, {"name": "b"}]"#,
    r#"[{"name": "a", "metadata_enrichment": {"k": [null]}, "schema": {"methods": ["M"], "proto_path": "p"}}]"#,
    r#"{"amadeus": 1}"#,
    r#"{"amadeus": 1, "relations": [{"from": "a", "relation": "depends_on", "to": "service/b", "properties": {"version": 1}}]}"#,
    r#"{"amadeus": 1, "services": [{"name": "a"}, {"name": "a"}], "entities": [{"kind": "k", "name": "\u0000"}]}"#,
    r#"{"amadeus": 2, "services": {"a": {"b": {}}}}"#,
    r#"{"services": {"backend": {"a": {"port": 1}}}}"#,
];

/// Tables, each behind a byte that says in which pieces it arrives.
const TABLES: [&str; 12] = [
    "\x05from,relation,to\na,requires,b\nb,requires,c\n",
    "\x01from,relation,to,properties\nservice/a,owned_by,team/red,\"{\"\"since\"\": 2024}\"\n",
    "\x20a,uses,db/main\r\na,uses,db/main\r\n\r\n b , uses ,team/x \n",
    "\x03a,requires,b,\n\"q\"\"[0].z\",requires,\"x,y\"\n",
    "\x07a,requires,a\n",
    "\x02a,requires\n",
    "\x09a,b,c,d,e,f,g\n",
    "\x10\"never closed,requires,b\n",
    "\x11from,relation,to,what\n",
    "\x04pattern/p,composed_of,service/a,\"{\"\"version\"\": \"\"v1\"\", \"\"optional\"\": true}\"",
    "\x06\u{feff}from,relation,to\nZürich,depends_on,x/y,{}\n",
    "\x08kind/name/more,uses,\"line\nbreak\"\n",
];

/// Paths, some with a value behind a zero.
const PATHS: [&str; 14] = [
    "services.a.dependencies\0[\"b:v2\", \"new\"]",
    "services.a.dependencies[0]\0\"d:v1\"",
    "services.a.metadata\0{\"version\": \"2\", \"capabilities\": []}",
    "services.new\0{\"name\": \"new\", \"endpoints\": [{\"path\": \"/\"}]}",
    "services.\"q\\\"[0].z\".health\0\"up\"",
    "services.absent.version\0\"1\"",
    "patterns.flow.steps[1].parameters.retries\0-0.5",
    "patterns.flow.steps[2]\0{\"id\": \"2\"}",
    "notes.list[3]\0{}",
    "notes.\"a.b\".c\0[[[[1]]]]",
    "a[4294967295][0].\"\"",
    "\"\\u0000\\b\".x",
    "empty",
    "slo.a.availability\x001e300",
];

/// Every one of these, in files of their own.
pub fn all() -> Vec<Seed> {
    let mut seeds = Vec::new();
    let groups = [
        ("import_json", &FILES[..]),
        ("import_csv", &TABLES),
        ("dot_paths", &PATHS),
    ];
    for (law, texts) in groups {
        for (n, text) in texts.iter().enumerate() {
            let name = format!("text-{n:02}");
            seeds.push(Seed {
                law,
                name,
                bytes: text.as_bytes().to_vec(),
            });
        }
    }
    for list in 0..9 {
        // Another place of each list: behind a name, behind words that are too few, and behind more entries than there are.
        let places: [(&str, &[u8]); 4] = [
            ("after", b"\x22\x07service\x22\x01b"),
            ("short", b"\x22\x01a"),
            (
                "edge",
                b"\x22\x0adepends_on\x22\x011\x22\x07service\x22\x01a",
            ),
            ("offset", b"\x28\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"),
        ];
        for (name, change) in places {
            let bytes = [&[list, 2 + 3 * (list % 3)], change].concat();
            let name = format!("{name}-{list}");
            seeds.push(Seed {
                law: "page_tokens",
                name,
                bytes,
            });
        }
    }
    let plain: [(&str, &[u8]); 2] = [("text", b"\x00\x00nonsense"), ("body", b"\x01\x01\x18\x01")];
    for (name, bytes) in plain {
        seeds.push(Seed {
            law: "page_tokens",
            name: name.to_owned(),
            bytes: bytes.to_vec(),
        });
    }
    seeds
}
