//! `docs/CONCURRENCY.md` has a row for every file that uses an atomic, and the models that it names exist.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// Where the page's short paths are.
const CORE: &str = "kg-core/src/";

/// Only re-exports them: what stands behind it is listed where it is used.
const DOOR: &str = "kg-core/src/sync/mod.rs";

/// Sources of programs and libraries. Tests count what they like.
const SOURCES: [&str; 6] = [
    "kg-core/src",
    "server/src",
    "proto/src",
    "xtask/src",
    "benches",
    "examples",
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn page() -> String {
    read("docs/CONCURRENCY.md")
}

/// Every `.rs` file below a folder, but not below a folder `tests` or `target` of it, by its path from the root.
fn sources(folder: &str, found: &mut Vec<String>) {
    let Ok(entries) = fs::read_dir(root().join(folder)) else {
        return;
    };
    for entry in entries {
        let name = entry.expect("a readable folder").file_name();
        let name = name.to_str().expect("a path in UTF-8");
        let path = format!("{folder}/{name}");
        if root().join(&path).is_dir() {
            if !matches!(name, "tests" | "target") {
                sources(&path, found);
            }
        } else if name.ends_with(".rs") {
            found.push(path);
        }
    }
}

/// Whether the part before the unit tests names an atomic type or a fence.
fn uses_an_atomic(source: &str) -> bool {
    let tests = [
        "#[cfg(test)]\nmod tests {",
        "#[cfg(all(test, not(loom)))]\nmod tests {",
    ];
    let end = tests.iter().filter_map(|tests| source.find(tests)).min();
    let code = source[..end.unwrap_or(source.len())]
        .lines()
        .filter(|line| !line.trim_start().starts_with("//"));
    code.into_iter().any(|line| {
        let names_a_type = line.match_indices("Atomic").any(|(at, _)| {
            let rest = &line[at + "Atomic".len()..];
            ["Bool", "I", "U", "Ptr"]
                .iter()
                .any(|kind| rest.starts_with(kind))
        });
        names_a_type || line.contains("sync::atomic") || line.contains("fence(Ordering")
    })
}

#[test]
fn every_file_with_an_atomic_has_a_row() {
    let mut all = Vec::new();
    for folder in SOURCES {
        sources(folder, &mut all);
    }
    let users: Vec<String> = all
        .into_iter()
        .filter(|path| path != DOOR && uses_an_atomic(&read(path)))
        .collect();
    assert!(users.len() > 10, "only {users:?} use atomics");
    let page = page();
    for path in users {
        let short = path.strip_prefix(CORE).unwrap_or(&path);
        let row = format!("| `{short}` ");
        assert!(
            page.lines().any(|line| line.starts_with(&row)),
            "{path} uses an atomic: give it a row in docs/CONCURRENCY.md that begins with {row:?}"
        );
    }
}

#[test]
fn every_row_is_of_a_file_that_exists() {
    for line in page().lines() {
        let Some(path) = line
            .strip_prefix("| `")
            .and_then(|rest| rest.split('`').next())
        else {
            continue;
        };
        if path.ends_with(".rs") {
            let stands = [CORE, ""]
                .iter()
                .any(|base| root().join(format!("{base}{path}")).exists());
            assert!(stands, "the row of {path} is of no file");
        }
    }
}

/// The models and tests that the page names: `(file, name)`, where a file stands before the name or before an earlier name
/// of the same row, and any long name without one.
fn named(page: &str) -> BTreeSet<(Option<String>, String)> {
    let mut named = BTreeSet::new();
    for line in page.lines() {
        let mut file = None;
        for word in line.split('`').skip(1).step_by(2) {
            if let Some((of, name)) = word.split_once("::")
                && of.chars().all(|c| c.is_ascii_lowercase())
                && name
                    .chars()
                    .all(|c| c.is_ascii_lowercase() || matches!(c, '_' | '*'))
            {
                file = Some(of.to_owned());
                named.insert((file.clone(), name.to_owned()));
            } else if word.matches('_').count() >= 3
                && word.chars().all(|c| c.is_ascii_lowercase() || c == '_')
            {
                let file = file.clone().filter(|_| line.starts_with('|'));
                named.insert((file, word.to_owned()));
            }
        }
    }
    named
}

#[test]
fn every_model_that_is_named_exists() {
    let mut core = Vec::new();
    sources("kg-core/src", &mut core);
    sources("kg-core/tests", &mut core);
    let core: String = core.iter().map(|path| read(path)).collect();
    let named = named(&page());
    assert!(named.len() > 25, "only {named:?} are named");
    for (file, name) in named {
        match file {
            Some(file) => {
                let models = read(&format!("loom-tests/tests/{file}.rs"));
                let stands = name == "*" || models.contains(&format!("fn {name}("));
                assert!(stands, "loom-tests/tests/{file}.rs has no model {name}");
            }
            None => assert!(
                core.contains(&format!("fn {name}(")),
                "there is no test {name}"
            ),
        }
    }
}

#[test]
fn an_atomic_is_seen_in_code_and_not_in_tests_or_comments() {
    assert!(uses_an_atomic("use std::sync::atomic::AtomicU64;"));
    assert!(uses_an_atomic("struct A(AtomicBool);"));
    assert!(!uses_an_atomic(
        "/// Atomically. An AtomicU64 would do.\nfn f() {}"
    ));
    assert!(!uses_an_atomic(
        "fn f() {}\n#[cfg(test)]\nmod tests {\n    use std::sync::atomic::AtomicU64;\n}"
    ));
}
