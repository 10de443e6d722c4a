//! Whatever text comes as a dot path: it is refused or it is a path; a path reads back as itself; and reading, writing and
//! deleting there is refused or done, as the oracle says.

use crate::graph::{agree, small};
use kg_core::model::{Path, Value};
use kg_core::mutation::{Mutation, Transaction};
use kg_core::testing::oracle::Oracle;

/// Bytes before the first zero are the path; those after it are JSON to write there, `"x"` if they are none.
///
/// # Panics
/// Where the law is broken.
pub fn check(bytes: &[u8]) {
    let mut halves = bytes.splitn(2, |byte| *byte == 0);
    let Ok(text) = std::str::from_utf8(halves.next().unwrap_or_default()) else {
        return;
    };
    let Ok(path) = Path::parse(text) else {
        return;
    };
    let written = path.to_string();
    assert_eq!(
        Path::parse(&written).as_ref(),
        Ok(&path),
        "{text:?} was written as {written:?}"
    );

    let (found, expected) = (small().node(&path), Oracle::of(small()).node(&path));
    assert_eq!(found.as_ref().ok(), expected.as_ref().ok(), "{path}");
    let value = halves.next().and_then(|json| Value::from_json(json).ok());
    let value = value.unwrap_or_else(|| Value::string("x"));
    let update = Mutation::UpdateNode {
        path: path.clone(),
        value: value.clone(),
    };
    let after = agree(small(), &Transaction::of(vec![update]));
    if let Ok(Some(after)) = after
        && !["services", "patterns"].contains(&&**path.section())
    {
        assert_eq!(after.node(&path), Ok(value), "{path}");
    }
    let delete = Mutation::DeleteNode(path.clone());
    if let Ok(Some(after)) = agree(small(), &Transaction::of(vec![delete])) {
        assert!(found.is_ok(), "{path} was deleted, and was not there");
        assert_ne!(after.node(&path), found, "{path} is still there");
    }
}
