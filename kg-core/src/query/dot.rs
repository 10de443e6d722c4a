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
        let label = if let Some(step) = &node.step {
            step.label(node.key.name.as_str())
        } else if node.key.is_service() {
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
        let _ = if picture.is_plain(edge) {
            writeln!(out, "    {from} -> {to};")
        } else {
            let label = quoted(edge.label.as_str());
            writeln!(out, "    {from} -> {to} [label={label}];")
        };
    }
    out.push_str("}\n");
    out
}

fn look(node: &PictureNode) -> String {
    let mut styles = Vec::new();
    let colors = node.step.as_ref().and_then(|step| step.colors());
    if colors.is_some() {
        styles.push("filled");
    }
    if node.key.is_service() || node.step.is_some() {
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
    if let Some((fill, line)) = colors {
        let _ = write!(out, ", fillcolor=\"#{fill:06x}\", color=\"#{line:06x}\"");
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
