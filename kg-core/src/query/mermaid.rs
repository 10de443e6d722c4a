//! A picture as a Mermaid flowchart.

use super::picture::{Picture, PictureNode};
use crate::model::Health;
use std::collections::BTreeMap;
use std::fmt::Write;

/// The flowchart. Nodes are numbered, for a name can hold anything; what a label must not hold is written as an entity
/// code, as Mermaid asks. Services are boxes with round corners, patterns hexagons, everything else plain boxes; a
/// placeholder is dashed.
#[must_use]
pub fn mermaid(picture: &Picture) -> String {
    let mut out = String::from("flowchart LR\n");
    // Writing to a String does not fail.
    for (i, node) in picture.nodes.iter().enumerate() {
        let (open, close, label) = if let Some(step) = &node.step {
            ("(", ")", step.label(node.key.name.as_str()))
        } else if node.key.is_service() {
            ("(", ")", node.key.name.to_string())
        } else if node.key.is_pattern() {
            ("{{", "}}", node.key.name.to_string())
        } else {
            ("[", "]", node.key.to_string())
        };
        let _ = writeln!(out, "    n{i}{open}\"{}\"{close}", escaped(&label));
    }
    for edge in &picture.edges {
        let (from, to) = (edge.from, edge.to);
        let _ = if picture.is_plain(edge) {
            writeln!(out, "    n{from} --> n{to}")
        } else {
            let label = escaped(edge.label.as_str());
            writeln!(out, "    n{from} -->|\"{label}\"| n{to}")
        };
    }
    for (class, style, of) in CLASSES {
        let members: Vec<String> = picture
            .nodes
            .iter()
            .enumerate()
            .filter(|(_, node)| of(node))
            .map(|(i, _)| format!("n{i}"))
            .collect();
        if !members.is_empty() {
            let _ = writeln!(out, "    classDef {class} {style}");
            let _ = writeln!(out, "    class {} {class}", members.join(","));
        }
    }
    steps(picture, &mut out);
    out
}

/// A class of nodes, how it looks, and what belongs to it.
type Class = (&'static str, &'static str, fn(&PictureNode) -> bool);

const CLASSES: [Class; 3] = [
    ("placeholder", "stroke-dasharray: 5 5", |node| {
        node.placeholder
    }),
    ("degraded", "stroke:#b58900,stroke-width:2px", |node| {
        node.health == Health::Degraded
    }),
    ("down", "stroke:#cb4b16,stroke-width:2px", |node| {
        node.health == Health::Down
    }),
];

/// Steps of a run, by how they are doing.
fn steps(picture: &Picture, out: &mut String) {
    let mut classes: BTreeMap<&str, (u32, u32, Vec<String>)> = BTreeMap::new();
    for (i, node) in picture.nodes.iter().enumerate() {
        let Some(step) = &node.step else { continue };
        if let (Some(state), Some((fill, line))) = (step.state, step.colors()) {
            let class = classes.entry(state.as_str());
            let (_, _, members) = class.or_insert((fill, line, Vec::new()));
            members.push(format!("n{i}"));
        }
    }
    for (class, (fill, line, members)) in classes {
        // A class of its own name each, for `class` and `end` are words of Mermaid.
        let _ = writeln!(
            out,
            "    classDef step_{class} fill:#{fill:06x},stroke:#{line:06x}"
        );
        let _ = writeln!(out, "    class {} step_{class}", members.join(","));
    }
}

/// Whatever is no letter, digit, blank or harmless sign as `#code;`, which Mermaid shows as that character and never
/// reads as its own syntax, as HTML or as Markdown.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_alphanumeric() || matches!(c, ' ' | '-' | '_' | '.' | '/' | ':' | ',' | '@' | '+') {
            out.push(c);
        } else {
            let _ = write!(out, "#{};", c as u32);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_label_cannot_end_itself() {
        assert_eq!(escaped("a\"]; b"), "a#34;#93;#59; b");
        assert_eq!(escaped("größe\n<i>"), "größe#10;#60;i#62;");
    }
}
