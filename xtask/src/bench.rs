//! `cargo xtask bench`: every bench program, its figures as a table of ratios, and what they are held to.
//!
//! The programs are the bench targets of the package `benches`. Each is built once, run with `--rounds N`, and answers one
//! question with the lines that [`benches::figure`] describes. A program whose name begins with `wire` also gets the server:
//! it is built before, and `AMADEUS_BIN` says where it lies. What was collected goes to `<target>/bench/<question>.json`; a
//! run of all, or one with `--keep`, also goes into the tree: figures and plots to `docs/benchmarks/`, and the page that is made of them
//! and of its template, `docs/BENCHMARKS.md`.
//!
//! A bound that holds counts as passed and one that does not as failed; a rival that is not installed is skipped.

mod answer;
mod machine;
mod page;
mod plot;
mod programs;

use std::fs;

use benches::figure::Line;
use clap::Args;

use crate::step;
use crate::tally::Tally;
use crate::workspace::target;
use answer::Answer;
use machine::Machine;

/// Which programs to run, and how often.
#[derive(Args)]
pub struct Bench {
    /// Rounds of each; a ratio is taken in each round, and the median is reported with the least and the greatest
    #[arg(long, value_name = "N", default_value_t = 5)]
    rounds: u32,
    /// Take the figures into the tree and make docs/BENCHMARKS.md anew; a run of all programs always does
    #[arg(long)]
    keep: bool,
    /// Run nothing: make docs/BENCHMARKS.md anew from its template and the figures in the tree
    #[arg(long)]
    render: bool,
    /// Programs to run, by name or the beginning of one (`point_read`, `wire`); all if none
    #[arg(value_name = "NAME")]
    names: Vec<String>,
}

/// Builds, runs, prints the table, and keeps what was collected.
pub fn run(wanted: &Bench) -> Tally {
    if wanted.render {
        return kept(&[]);
    }
    let machine = Machine::here();
    let (built, programs) = programs::build(&wanted.names);
    let mut total = built;
    let mut answers = Vec::new();
    for program in &programs {
        total += step::timed(&program.name, || {
            let (succeeded, lines) = program.run(wanted.rounds);
            let tally = Tally::of_one(succeeded);
            if let Some(answer) = Answer::of(lines, &machine) {
                write(&answer);
                answers.push(answer);
            } else {
                println!("{} told nothing", program.name);
            }
            tally
        });
    }
    for answer in &answers {
        println!("\n{answer}");
        total += answer.tally();
    }
    if wanted.keep || wanted.names.is_empty() {
        total += kept(&answers);
    }
    total
}

/// Takes answers into the tree.
fn kept(answers: &[Answer]) -> Tally {
    match page::keep(answers) {
        Ok(()) => Tally::default(),
        Err(error) => {
            println!("docs/BENCHMARKS.md could not be made: {error}");
            Tally::of_one(false)
        }
    }
}

/// Writes an answer where later looks find it.
fn write(answer: &Answer) {
    let folder = target().join("bench");
    let file = folder.join(format!("{}.json", answer.question));
    let written = fs::create_dir_all(&folder).and_then(|()| fs::write(&file, answer.to_json()));
    if let Err(error) = written {
        println!("{} could not be written: {error}", file.display());
    }
}

/// Lines that a program printed for us, apart from those for people, which are shown.
fn told(output: impl Iterator<Item = String>) -> Vec<Line> {
    let mut lines = Vec::new();
    for line in output {
        match Line::parse(&line) {
            Some(told) => lines.push(told),
            None if line.trim().is_empty() => {}
            None => println!("{line}"),
        }
    }
    lines
}
