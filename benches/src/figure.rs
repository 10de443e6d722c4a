//! Figures: what a bench program tells `cargo xtask bench`, one JSON object a line, each line behind a fixed prefix.
//!
//! A program prints its [`Line::Question`] once, and then in **every round** one [`Figure`] for each case and rival, ours and
//! the rival's measured next to each other in time. The ratio is taken per round; what is reported is the median of the
//! rounds with its least and its greatest. So a figure holds what was measured, and never a ratio.
//!
//! ```
//! use benches::figure::{Better, Figure, Line};
//!
//! let figure = Figure {
//!     question: "point_read".into(),
//!     case: "2,400 services, one reader".into(),
//!     unit: "reads/s".into(),
//!     better: Better::Higher,
//!     ours_name: "held snapshot".into(),
//!     ours: 21.5e6,
//!     rival: "DashMap".into(),
//!     rival_value: Some(19.0e6),
//!     bound: Some(0.8), // at least 0.8 times DashMap's
//! };
//! let printed = Line::Figure(figure.clone()).to_string();
//! assert_eq!(Line::parse(&printed), Some(Line::Figure(figure)));
//! assert_eq!(Line::parse("anything else that a program prints"), None);
//! ```

use std::fmt;

use serde::{Deserialize, Serialize};

/// What each line of a program that is meant for `cargo xtask bench` begins with.
pub const PREFIX: &str = "bench: ";

/// Which way is better.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Better {
    /// Times, instructions, bytes. A bound is the most that is allowed.
    Lower,
    /// Rates. A bound is the least that is allowed.
    Higher,
}

/// One measurement of one round, beside one rival's of the same round.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Figure {
    /// Name of the program: `point_read`.
    pub question: String,
    /// What was measured, in words; with rival and question it tells one row from another.
    pub case: String,
    /// Of both values: `ns`, `reads/s`, `bytes`, `instructions`.
    pub unit: String,
    /// Which way is better.
    pub better: Better,
    /// What of ours was measured.
    pub ours_name: String,
    /// What it gave.
    pub ours: f64,
    /// What it stands beside: another program, or ours under other circumstances. Empty if it stands alone.
    pub rival: String,
    /// What that gave; absent if it stands alone.
    pub rival_value: Option<f64>,
    /// What is asked for, if anything is: of the ratio ours / rival, or of the value itself if it stands alone.
    pub bound: Option<f64>,
}

impl Figure {
    /// What a bound is about: the ratio of ours to the rival's, or the value itself if it stands alone.
    #[must_use]
    pub fn judged(&self) -> f64 {
        self.rival_value
            .map_or(self.ours, |rival| self.ours / rival)
    }
}

/// A question, as the program was written to answer it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Question {
    /// Name of the program.
    pub question: String,
    /// The question in words.
    pub text: String,
}

/// A rival that could not be measured here, and why. It is no failure.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Skipped {
    /// Name of the program.
    pub question: String,
    /// What was to be measured.
    pub case: String,
    /// Beside what.
    pub rival: String,
    /// Why not, and what to do about it.
    pub reason: String,
}

/// One point of a plot: what a series gave at `x`. Several rounds may tell of the same point; the median is drawn.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Point {
    /// Name of the program.
    pub question: String,
    /// Title of the plot.
    pub plot: String,
    /// Which line of it.
    pub series: String,
    /// What the axes show, with units.
    pub axes: (String, String),
    /// Across.
    pub x: f64,
    /// Up.
    pub y: f64,
}

/// Anything that a program tells.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Line {
    /// What it answers.
    Question(Question),
    /// What it measured.
    Figure(Figure),
    /// What it could not measure.
    Skipped(Skipped),
    /// A point of a plot.
    Point(Point),
}

impl Line {
    /// Reads a line that a program printed; `None` if it was meant for people.
    #[must_use]
    pub fn parse(line: &str) -> Option<Self> {
        serde_json::from_str(line.trim().strip_prefix(PREFIX)?).ok()
    }

    /// Prints it.
    pub fn print(&self) {
        println!("{self}");
    }
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let json = serde_json::to_string(self).map_err(|_| fmt::Error)?;
        write!(f, "{PREFIX}{json}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_figure_alone_is_judged_by_its_value_and_another_by_its_ratio() {
        let mut figure = Figure {
            question: "hold".into(),
            case: "guard".into(),
            unit: "ns".into(),
            better: Better::Lower,
            ours_name: "Graph::read".into(),
            ours: 12.0,
            rival: String::new(),
            rival_value: None,
            bound: Some(25.0),
        };
        assert_eq!(figure.judged(), 12.0);
        figure.rival_value = Some(24.0);
        assert_eq!(figure.judged(), 0.5);
    }

    #[test]
    fn a_line_of_another_shape_is_not_taken_for_a_figure() {
        assert_eq!(Line::parse("bench: {\"figure\":{}}"), None);
        assert_eq!(Line::parse("point_read/held time: [1 ns 2 ns 3 ns]"), None);
    }
}
