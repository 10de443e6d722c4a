//! A picture in Graphviz's language.

use super::picture::{Picture, PictureNode};
use crate::model::Health;
use std::fmt::Write;

/// The digraph. Its ids are `kind/name`, quoted: inside quotes DOT knows only two escapes, which are written here.
#[must_use]
pub fn dot(picture: &Picture) -> String {
    let mut out = String::from(
        "digraph amadeus {\n    rankdir=LR;\n    node [shape=box, fontname=\"sans-serif\"];\n    edge [fontname=\"sans-serif\"];\n",
    );
    // Writing to a String does not fail.
    for node in &picture.nodes {
        let label = if node.key.is_service() {
            node.key.name.to_string()
        } else {
            node.key.to_string()
        };
        let _ = writeln!(
            out,
            "    {} [label={}{}];",
            quoted(&node.key.to_string()),
            quoted(&label),
            look(node)
        );
    }
    for edge in &picture.edges {
        let from = quoted(&picture.nodes[edge.from].key.to_string());
        let to = quoted(&picture.nodes[edge.to].key.to_string());
        let _ = match edge.label.as_str() {
            "depends_on" => writeln!(out, "    {from} -> {to};"),
            label => writeln!(out, "    {from} -> {to} [label={}];", quoted(label)),
        };
    }
    out.push_str("}\n");
    out
}

fn look(node: &PictureNode) -> String {
    let mut styles = Vec::new();
    if node.key.is_service() {
        styles.push("rounded");
    }
    if node.placeholder {
        styles.push("dashed");
    }
    let mut out = String::new();
    if node.key.is_pattern() {
        out.push_str(", shape=hexagon");
    }
    if !styles.is_empty() {
        let _ = write!(out, ", style=\"{}\"", styles.join(","));
    }
    match node.health {
        Health::Degraded => out.push_str(", color=\"#b58900\""),
        Health::Down => out.push_str(", color=\"#cb4b16\""),
        Health::Unknown | Health::Up => {}
    }
    out
}

/// A quoted string. A backslash is doubled, so that it is no escape of a label (`\n`, `\N`); a line break is `\n`.
fn quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_cannot_leave_its_quotes() {
        assert_eq!(quoted("a\"b\\N\n"), r#""a\"b\\N\n""#);
    }
}
