//! Whatever text a client sends as a dot path: it is refused or it is a path, and a path reads back as itself.
//!
//! ```text
//! cargo +nightly fuzz run dot_paths
//! ```

#![no_main]

use kg_core::model::Path;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    if let Ok(path) = Path::parse(text) {
        let written = path.to_string();
        assert_eq!(Path::parse(&written).as_ref(), Ok(&path), "{text:?} was written as {written:?}");
    }
});
