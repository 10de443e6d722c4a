//! What a program answered: for each case and rival a row, with the median of its rounds, the least and the greatest.

use std::collections::BTreeMap;
use std::fmt;

use benches::figure::{Better, Figure, Line, Skipped};
use serde::{Deserialize, Serialize};

use super::machine::Machine;
use crate::tally::Tally;

/// The answer to one question.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Answer {
    /// Name of the program.
    pub question: String,
    /// The question in words.
    pub text: String,
    pub machine: Machine,
    pub rows: Vec<Row>,
    pub skipped: Vec<Skipped>,
    pub plots: Vec<Plot>,
}

/// One case beside one rival.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Row {
    pub case: String,
    pub unit: String,
    pub better: Better,
    pub ours_name: String,
    pub ours: Spread,
    /// Empty if it stands alone.
    pub rival: String,
    pub rival_value: Option<Spread>,
    /// Of what is judged in each round: the ratio, or the value itself if it stands alone.
    pub judged: Spread,
    pub bound: Option<f64>,
}

/// The rounds of one value.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Spread {
    pub median: f64,
    pub min: f64,
    pub max: f64,
    pub rounds: usize,
}

/// Lines over two axes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Plot {
    pub title: String,
    pub axes: (String, String),
    /// By name: its points, by x.
    pub series: BTreeMap<String, Vec<(f64, f64)>>,
}

impl Spread {
    fn of(values: impl Iterator<Item = f64>) -> Option<Self> {
        let mut all: Vec<f64> = values.collect();
        all.sort_by(f64::total_cmp);
        Some(Self {
            median: median(&all)?,
            min: *all.first()?,
            max: *all.last()?,
            rounds: all.len(),
        })
    }
}

/// Of sorted values; between the two in the middle where their number is even.
fn median(sorted: &[f64]) -> Option<f64> {
    let middle = sorted.len() / 2;
    let upper = *sorted.get(middle)?;
    Some(if sorted.len().is_multiple_of(2) {
        f64::midpoint(upper, *sorted.get(middle - 1)?)
    } else {
        upper
    })
}

impl Row {
    fn of(figures: &[Figure]) -> Option<Self> {
        let first = figures.first()?;
        Some(Self {
            case: first.case.clone(),
            unit: first.unit.clone(),
            better: first.better,
            ours_name: first.ours_name.clone(),
            ours: Spread::of(figures.iter().map(|f| f.ours))?,
            rival: first.rival.clone(),
            rival_value: Spread::of(figures.iter().filter_map(|f| f.rival_value)),
            judged: Spread::of(figures.iter().map(Figure::judged))?,
            bound: first.bound,
        })
    }

    /// Whether the median keeps its bound; `None` if nothing is asked.
    pub fn holds(&self) -> Option<bool> {
        self.bound.map(|bound| match self.better {
            Better::Lower => self.judged.median <= bound,
            Better::Higher => self.judged.median >= bound,
        })
    }
}

impl Answer {
    /// The answer in what a program told; `None` if it told no figure and no reason.
    pub fn of(lines: Vec<Line>, machine: &Machine) -> Option<Self> {
        let (mut question, mut text) = (String::new(), String::new());
        let (mut groups, mut skipped, mut points) =
            (Vec::<Vec<Figure>>::new(), Vec::new(), Vec::new());
        for line in lines {
            match line {
                Line::Question(asked) => (question, text) = (asked.question, asked.text),
                Line::Skipped(reason) => {
                    if !skipped.contains(&reason) {
                        skipped.push(reason);
                    }
                }
                Line::Point(point) => points.push(point),
                Line::Figure(figure) => {
                    let same = |group: &&mut Vec<Figure>| {
                        let other = &group[0];
                        (&other.case, &other.ours_name, &other.rival, &other.unit)
                            == (&figure.case, &figure.ours_name, &figure.rival, &figure.unit)
                    };
                    match groups.iter_mut().find(same) {
                        Some(group) => group.push(figure),
                        None => groups.push(vec![figure]),
                    }
                }
            }
        }
        let rows: Vec<Row> = groups.iter().filter_map(|group| Row::of(group)).collect();
        (!rows.is_empty() || !skipped.is_empty()).then(|| Self {
            question,
            text,
            machine: machine.clone(),
            rows,
            skipped,
            plots: plots(&points),
        })
    }

    /// Each bound is one check.
    pub fn tally(&self) -> Tally {
        let mut tally = Tally::default();
        for held in self.rows.iter().filter_map(Row::holds) {
            tally += Tally::of_one(held);
        }
        for _ in &self.skipped {
            tally += Tally::of_skipped();
        }
        tally
    }

    pub fn to_json(&self) -> String {
        serde_json::to_string_pretty(self).unwrap_or_default() + "\n"
    }
}

/// The plots that points belong to, each point the median of its rounds.
fn plots(points: &[benches::figure::Point]) -> Vec<Plot> {
    let mut plots: Vec<Plot> = Vec::new();
    for point in points {
        if plots.iter().any(|plot| plot.title == point.plot) {
            continue;
        }
        let mut all: BTreeMap<String, Vec<(f64, Vec<f64>)>> = BTreeMap::new();
        for of_it in points.iter().filter(|other| other.plot == point.plot) {
            let series = all.entry(of_it.series.clone()).or_default();
            match series.iter_mut().find(|(x, _)| *x == of_it.x) {
                Some((_, rounds)) => rounds.push(of_it.y),
                None => series.push((of_it.x, vec![of_it.y])),
            }
        }
        let line = |rounds: Vec<(f64, Vec<f64>)>| {
            let mut line: Vec<(f64, f64)> = rounds
                .into_iter()
                .filter_map(|(x, ys)| Some((x, Spread::of(ys.into_iter())?.median)))
                .collect();
            line.sort_by(|a, b| a.0.total_cmp(&b.0));
            line
        };
        plots.push(Plot {
            title: point.plot.clone(),
            axes: point.axes.clone(),
            series: all
                .into_iter()
                .map(|(name, rounds)| (name, line(rounds)))
                .collect(),
        });
    }
    plots
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}: {}", self.question, self.text)?;
        let mut table =
            vec![["case", "ours", "beside", "ratio (min to max)", "asked", ""].map(str::to_owned)];
        table.extend(self.rows.iter().map(Row::cells));
        let wide = |column: usize| table.iter().map(|row| row[column].chars().count()).max();
        let widths: [usize; 6] = std::array::from_fn(|column| wide(column).unwrap_or_default());
        for row in &table {
            for (cell, width) in row.iter().zip(widths) {
                write!(f, "  {cell:<width$}")?;
            }
            writeln!(f)?;
        }
        for skipped in &self.skipped {
            let Skipped {
                case,
                rival,
                reason,
                ..
            } = skipped;
            writeln!(f, "  skipped: {case}, beside {rival}: {reason}")?;
        }
        Ok(())
    }
}

impl Row {
    /// Case, ours, rival, ratio, what is asked, whether it holds: as text.
    pub fn cells(&self) -> [String; 6] {
        let rival = self.rival_value.map_or_else(String::new, |value| {
            format!("{} {}", self.rival, amount(value.median, &self.unit))
        });
        let spread = |of: fn(f64) -> String| {
            let Spread {
                median, min, max, ..
            } = self.judged;
            format!("{} ({} to {})", of(median), of(min), of(max))
        };
        let judged = if self.rival_value.is_some() {
            spread(short)
        } else {
            String::new()
        };
        let asked = self.bound.map_or_else(String::new, |bound| {
            let sign = match self.better {
                Better::Lower => "at most",
                Better::Higher => "at least",
            };
            let bound = if self.rival_value.is_some() {
                format!("{} x", short(bound))
            } else {
                amount(bound, &self.unit)
            };
            format!("{sign} {bound}")
        });
        let holds = self
            .holds()
            .map_or("", |holds| if holds { "holds" } else { "does not hold" });
        [
            self.case.clone(),
            format!(
                "{} {}",
                self.ours_name,
                amount(self.ours.median, &self.unit)
            ),
            rival,
            judged,
            asked,
            holds.to_owned(),
        ]
    }
}

/// Three digits that count: `0.853`, `12.3`, `4,210`.
fn short(value: f64) -> String {
    match value.abs() {
        v if v < 1.0 => format!("{value:.3}"),
        v if v < 10.0 => format!("{value:.2}"),
        v if v < 100.0 => format!("{value:.1}"),
        _ => thousands(value),
    }
}

/// A value with its unit, in the size that reads best: `21.5 M reads/s`, `1.32 ms`.
fn amount(value: f64, unit: &str) -> String {
    let (value, unit) = match unit {
        "ns" if value >= 1e9 => (value / 1e9, "s".to_owned()),
        "ns" if value >= 1e6 => (value / 1e6, "ms".to_owned()),
        "ns" if value >= 1e3 => (value / 1e3, "us".to_owned()),
        unit if value >= 1e6 => (value / 1e6, format!("M {unit}")),
        unit => (value, unit.to_owned()),
    };
    format!("{} {unit}", short(value))
}

fn thousands(value: f64) -> String {
    let digits = format!("{value:.0}");
    let mut grouped = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) && !grouped.ends_with('-') {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

#[cfg(test)]
mod tests {
    use super::*;

    fn figure(ours: f64, rival: f64, better: Better, bound: f64) -> Line {
        Line::Figure(Figure {
            question: "q".into(),
            case: "c".into(),
            unit: "ns".into(),
            better,
            ours_name: "ours".into(),
            ours,
            rival: "rival".into(),
            rival_value: Some(rival),
            bound: Some(bound),
        })
    }

    #[test]
    fn the_ratio_is_taken_in_each_round_and_the_median_judged() {
        // The machine is three times slower in the second round; the ratio of the medians would say 3.
        let rounds = [(10.0, 10.0), (60.0, 30.0), (30.0, 10.0), (2.0, 2.0)];
        let lines = rounds.map(|(ours, rival)| figure(ours, rival, Better::Lower, 1.5));
        let answer = Answer::of(lines.into(), &Machine::default()).expect("it has figures");
        let judged = answer.rows[0].judged;
        assert_eq!((judged.median, judged.min, judged.max), (1.5, 1.0, 3.0));
        assert_eq!(answer.rows[0].holds(), Some(true));
    }

    #[test]
    fn a_bound_is_the_least_of_a_rate_and_the_most_of_a_time() {
        let holds = |better, bound| {
            Answer::of(vec![figure(8.0, 10.0, better, bound)], &Machine::default())
                .expect("it has a figure")
                .tally()
                .passed
        };
        assert_eq!(holds(Better::Higher, 0.8), 1);
        assert_eq!(holds(Better::Higher, 0.9), 0);
        assert_eq!(holds(Better::Lower, 0.8), 1);
        assert_eq!(holds(Better::Lower, 0.7), 0);
    }

    #[test]
    fn amounts_are_read_at_a_glance() {
        assert_eq!(amount(1_320_000.0, "ns"), "1.32 ms");
        assert_eq!(amount(21.5, "ns"), "21.5 ns");
        assert_eq!(amount(21_500_000.0, "reads/s"), "21.5 M reads/s");
        assert_eq!(amount(48_100.0, "bytes"), "48,100 bytes");
    }
}
