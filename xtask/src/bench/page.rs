//! `docs/BENCHMARKS.md`: a template of prose, and the figures of the last run that was kept.
//!
//! Prose stands in `docs/benchmarks/template.md`; beside it lie the figures, `<question>.json`, and the plots made of them. Nobody
//! edits a figure by hand: a test holds the page to what the template and the figures give. A line of the template that is
//! a placeholder is replaced:
//!
//! | placeholder | by |
//! |---|---|
//! | `{{measured}}` | where and when, and the versions |
//! | `{{summary}}` | how many bounds hold, and those that do not |
//! | `{{answer point_read}}` | question, table and plots of a program; `wire*` for all whose names begin so |

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::io;
use std::path::PathBuf;

use super::answer::{Answer, Row};
use super::machine::Machine;
use super::plot;
use crate::workspace::root;

fn folder() -> PathBuf {
    root().join("docs/benchmarks")
}

/// Keeps the answers of this run in the tree, draws their plots, and makes the page anew.
pub fn keep(answers: &[Answer]) -> io::Result<()> {
    for answer in answers {
        let file = folder().join(format!("{}.json", answer.question));
        fs::write(file, answer.to_json())?;
        for (name, drawing) in plot::all(answer) {
            fs::write(folder().join(name), drawing)?;
        }
    }
    fs::write(root().join("docs/BENCHMARKS.md"), made()?)
}

/// The page as template and figures give it.
pub fn made() -> io::Result<String> {
    let template = fs::read_to_string(folder().join("template.md"))?;
    Ok(page(&template, &kept()?))
}

/// The answers in the tree, by name.
fn kept() -> io::Result<Vec<Answer>> {
    let mut answers = Vec::new();
    for file in fs::read_dir(folder())? {
        let path = file?.path();
        if path.extension().is_some_and(|e| e == "json") {
            let answer = serde_json::from_str::<Answer>(&fs::read_to_string(&path)?);
            answers.push(answer.map_err(|error| {
                io::Error::other(format!("{} is no answer: {error}", path.display()))
            })?);
        }
    }
    answers.sort_by(|a, b| a.question.cmp(&b.question));
    Ok(answers)
}

fn page(template: &str, answers: &[Answer]) -> String {
    let mut page = String::new();
    for line in template.lines() {
        let placeholder = line
            .strip_prefix("{{")
            .and_then(|rest| rest.strip_suffix("}}"));
        match placeholder.map(|what| what.split_once(' ').unwrap_or((what, ""))) {
            Some(("measured", _)) => page += &measured(answers),
            Some(("summary", _)) => page += &summary(answers),
            Some(("answer", name)) => page += &of_name(answers, name),
            _ => {
                page += line;
                page.push('\n');
            }
        }
    }
    page
}

fn of_name(answers: &[Answer], name: &str) -> String {
    let wanted = |answer: &&Answer| match name.strip_suffix('*') {
        Some(beginning) => answer.question.starts_with(beginning),
        None => answer.question == name,
    };
    let all: Vec<String> = answers.iter().filter(wanted).map(section).collect();
    if all.is_empty() {
        return format!("`{name}` has not been measured yet.\n");
    }
    all.join("\n")
}

/// Question, table, what was skipped, plots.
fn section(answer: &Answer) -> String {
    let mut text = format!(
        "**{}** `cargo xtask bench {}`\n\n",
        answer.text, answer.question
    );
    if !answer.rows.is_empty() {
        text +=
            "| case | ours | beside | ratio (min to max) | asked | |\n|---|---|---|---|---|---|\n";
    }
    for row in &answer.rows {
        let cells = row.cells();
        let [case, ours, beside, ratio, asked, holds] = cells.map(|cell| cell.replace('|', "\\|"));
        let holds = match row.holds() {
            Some(false) => format!("**{holds}**"),
            Some(true) | None => holds,
        };
        let _ = writeln!(
            text,
            "| {case} | {ours} | {beside} | {ratio} | {asked} | {holds} |"
        );
    }
    for skipped in &answer.skipped {
        let _ = writeln!(
            text,
            "\nNot measured: {}, beside {}: {}",
            skipped.case, skipped.rival, skipped.reason
        );
    }
    for (name, _) in plot::all(answer) {
        let _ = writeln!(text, "\n![{}](benchmarks/{name})", answer.question);
    }
    text
}

fn summary(answers: &[Answer]) -> String {
    let rows: Vec<(&Answer, &Row)> = answers
        .iter()
        .flat_map(|answer| answer.rows.iter().map(move |row| (answer, row)))
        .collect();
    let held = |wanted: bool| {
        rows.iter()
            .filter(move |(_, row)| row.holds() == Some(wanted))
    };
    let (hold, not) = (held(true).count(), held(false).count());
    let mut text = format!("Of {} bounds {hold} hold", hold + not);
    if not == 0 {
        text += ".\n";
        return text;
    }
    text += ". These do not:\n\n";
    for (answer, row) in held(false) {
        let [case, ours, beside, ratio, asked, _] = row.cells();
        let got = if ratio.is_empty() {
            ours
        } else {
            format!("{ratio} x {beside}")
        };
        let _ = writeln!(
            text,
            "- `{}`, {case}: {got}; asked is {asked}.",
            answer.question
        );
    }
    text
}

fn measured(answers: &[Answer]) -> String {
    let mut runs: Vec<(&Machine, Vec<&str>)> = Vec::new();
    for answer in answers {
        match runs
            .iter_mut()
            .find(|(machine, _)| *machine == &answer.machine)
        {
            Some((_, questions)) => questions.push(&answer.question),
            None => runs.push((&answer.machine, vec![&answer.question])),
        }
    }
    let mut text = String::new();
    for (machine, questions) in runs {
        let Machine {
            date,
            processor,
            cores,
            memory_gib,
            system,
            compiler,
            load,
            versions,
        } = machine;
        let _ = writeln!(
            text,
            "- {date}, {processor}, {cores} cores, {memory_gib} GiB, {system}, {compiler}; load {load} when it began; {}: `{}`",
            named(versions),
            questions.join("`, `"),
        );
    }
    text
}

fn named(versions: &BTreeMap<String, String>) -> String {
    let each: Vec<String> = versions
        .iter()
        .map(|(name, version)| format!("{name} {version}"))
        .collect();
    each.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_is_what_the_template_and_the_figures_give() {
        let page = fs::read_to_string(root().join("docs/BENCHMARKS.md")).expect("there is a page");
        let made = made().expect("template and figures can be read");
        assert!(
            page == made,
            "docs/BENCHMARKS.md was edited by hand, or docs/benchmarks/ without it: run `cargo xtask bench --render`"
        );
    }

    #[test]
    fn every_answer_has_a_place_on_the_page() {
        let page = made().expect("template and figures can be read");
        for answer in kept().expect("the figures can be read") {
            let command = format!("`cargo xtask bench {}`", answer.question);
            assert!(page.contains(&command), "{} is nowhere", answer.question);
        }
    }

    #[test]
    fn a_placeholder_without_figures_says_so() {
        assert_eq!(
            page("# Title\n{{answer nothing}}\n", &[]),
            "# Title\n`nothing` has not been measured yet.\n"
        );
    }
}
