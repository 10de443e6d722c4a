//! A seeded bug and whether it was noticed: what `loom` and `race` tell of their controls.

use std::fmt;
use std::fs;
use std::io;

use crate::tally::Tally;
use crate::workspace::root;

/// One control.
#[derive(Debug)]
pub struct Proof {
    /// Its name in `kg-core/src/sync/control.rs`.
    pub control: String,
    /// What it breaks, as it says there.
    pub breaks: String,
    /// What has to notice: `loom queue::models::two_who_take_do_not_share`.
    pub by: String,
    /// Whether it did.
    pub red: bool,
}

impl Proof {
    /// A control of this name, not yet run.
    pub fn of(control: &str, by: String) -> io::Result<Self> {
        let source = fs::read_to_string(root().join("kg-core/src/sync/control.rs"))?;
        Ok(Self {
            control: control.to_owned(),
            breaks: doc_of(control, &source),
            by,
            red: false,
        })
    }
}

impl fmt::Display for Proof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            control,
            breaks,
            by,
            red,
        } = self;
        let outcome = if *red { "caught" } else { "NOT CAUGHT" };
        write!(f, "{outcome:<10} {control:<16} {breaks} [{by}]")
    }
}

/// Prints each and counts them: a control that was not noticed has failed.
pub fn report(proofs: &[Proof]) -> Tally {
    let mut tally = Tally::default();
    for proof in proofs {
        println!("{proof}");
        tally += Tally::of_one(proof.red);
    }
    tally
}

/// The lines of documentation above a control.
fn doc_of(control: &str, source: &str) -> String {
    let mut doc = Vec::new();
    for line in source.lines().map(str::trim) {
        if let Some(text) = line.strip_prefix("/// ") {
            doc.push(text);
        } else if line.strip_suffix(',') == Some(control) {
            return doc.join(" ");
        } else {
            doc.clear();
        }
    }
    String::new()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_control_tells_what_it_breaks() {
        let source = "/// The list.\ncontrols! {\n    /// One\n    /// thing.\n    One,\n    /// Another.\n    Other,\n}";
        assert_eq!(doc_of("One", source), "One thing.");
        assert_eq!(doc_of("Other", source), "Another.");
        assert_eq!(doc_of("None", source), "");
        let push = Proof::of("RelaxedPush", String::new()).expect("the list is readable");
        assert!(push.breaks.contains("push"), "{push}");
    }
}
