//! The documents name files and tests. A file that moved, or a test that was renamed, must not leave a promise that
//! nothing holds.

use std::fs;
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// `README.md` and everything in `docs/`.
fn documents() -> Vec<PathBuf> {
    let docs = fs::read_dir(root().join("docs")).expect("there is a folder docs");
    docs.map(|entry| entry.expect("a readable folder").path())
        .filter(|path| path.extension().is_some_and(|e| e == "md"))
        .chain([root().join("README.md")])
        .collect()
}

/// `(text, target)` of every link to something in this repository.
fn links(document: &Path) -> Vec<(String, String)> {
    let text = fs::read_to_string(document).expect("a readable document");
    let mut found = Vec::new();
    for (at, _) in text.match_indices("](") {
        let label = text[..at]
            .rfind('[')
            .map_or("", |start| &text[start + 1..at]);
        let target = text[at + 2..].split([')', '#']).next().unwrap_or_default();
        if !target.is_empty() && !target.contains("://") {
            found.push((label.to_owned(), target.to_owned()));
        }
    }
    found
}

#[test]
fn every_link_leads_somewhere() {
    for document in documents() {
        for (label, target) in links(&document) {
            let path = document
                .parent()
                .expect("a document lies in a folder")
                .join(&target);
            assert!(
                path.exists(),
                "{}: [{label}]({target}) leads nowhere",
                document.display()
            );
        }
    }
}

#[test]
fn every_guarantee_is_held_by_a_test_that_exists() {
    let document = root().join("docs/GUARANTEES.md");
    let links = links(&document);
    assert!(links.len() > 20, "only {} tests are named", links.len());
    for (test, target) in links {
        let source =
            fs::read_to_string(root().join("docs").join(&target)).expect("a readable source");
        let stands = [format!("fn {test}("), format!("def {test}(")]
            .iter()
            .any(|head| source.contains(head));
        assert!(stands, "{target} has no test {test}");
    }
}
