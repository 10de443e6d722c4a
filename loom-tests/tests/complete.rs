//! No control is without a model that has to catch it.

#![cfg(loom)]

use std::fs;
use std::path::Path;

use kg_core::sync::control::Control;

#[test]
fn every_control_has_a_model() {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests");
    let source: String = fs::read_dir(tests)
        .expect("the folder of this file exists")
        .map(|file| file.expect("it can be listed").path())
        .map(|path| fs::read_to_string(path).expect("it can be read"))
        .collect();
    let source: String = source.split_whitespace().collect();
    for control in Control::ALL {
        let used = format!("caught(Control::{},", control.name());
        assert!(
            source.contains(&used),
            "no model has to catch {}",
            control.name()
        );
    }
}
