//! Tables for people: columns without lines, as wide as the terminal, whole in a pipe. Whatever a name or a property holds,
//! the terminal is never sent a control character.

use comfy_table::{ContentArrangement, Table, presets};

use super::out;

/// A table with a heading.
pub fn columns(heading: &[&str], rows: impl IntoIterator<Item = Vec<String>>) -> String {
    let mut table = plain();
    table.set_header(heading.to_vec());
    for row in rows {
        table.add_row(row.iter().map(|cell| visible(cell)).collect::<Vec<_>>());
    }
    finished(table)
}

/// One thing, a line for each thing known of it; what is empty is left out.
pub fn record(lines: &[(&str, String)]) -> String {
    let mut table = plain();
    for (name, value) in lines.iter().filter(|(_, value)| !value.is_empty()) {
        table.add_row(vec![format!("{name}:"), visible(value)]);
    }
    finished(table)
}

/// A table under a title; nothing if it has no rows.
pub fn section(title: &str, heading: &[&str], rows: Vec<Vec<String>>) -> String {
    match rows.is_empty() {
        true => String::new(),
        false => format!("\n{title}\n{}", columns(heading, rows)),
    }
}

/// `1 service`, `2 services`.
pub fn count(n: usize, one: &str, many: &str) -> String {
    format!("{n} {}", if n == 1 { one } else { many })
}

/// Text with its control characters spelt out.
pub fn visible(text: &str) -> String {
    if !text.chars().any(char::is_control) {
        return text.to_owned();
    }
    let spelt = |c: char| {
        if c.is_control() {
            c.escape_default().to_string()
        } else {
            c.to_string()
        }
    };
    text.chars().map(spelt).collect()
}

fn plain() -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    // A terminal that does not know its width says 0, and every cell would be one letter wide.
    let narrowest = 40;
    if out::is_terminal() && table.width().is_some_and(|width| width >= narrowest) {
        table.set_content_arrangement(ContentArrangement::Dynamic);
    } else {
        table
            .set_content_arrangement(ContentArrangement::Disabled)
            .force_no_tty();
    }
    table
}

fn finished(mut table: Table) -> String {
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
    let mut text = table.trim_fmt();
    text.push('\n');
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_stand_below_their_heading_and_lines_have_no_tail() {
        let text = columns(
            &["NAME", "VERSION"],
            [
                vec!["checkout".into(), "v1".into()],
                vec!["a".into(), String::new()],
            ],
        );
        assert_eq!(text, "NAME      VERSION\ncheckout  v1\na\n");
    }

    #[test]
    fn a_record_leaves_out_what_is_empty() {
        let text = record(&[
            ("name", "a".into()),
            ("owner", String::new()),
            ("health", "up".into()),
        ]);
        assert_eq!(text, "name:    a\nhealth:  up\n");
    }

    #[test]
    fn a_terminal_is_never_sent_a_control_character() {
        assert_eq!(visible("a\u{1b}[31mb\n"), "a\\u{1b}[31mb\\n");
    }
}
