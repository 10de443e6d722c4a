//! Rounds in which several servers are asked in turns, as `benches::contest` does it within one process: who begins moves on
//! from slice to slice, each is asked a while before its time is taken, and the value of a round is the median of its slices.

use std::time::Duration;

use benches::figure::{Better, Figure, Line, Question, Skipped};
use benches::mode::Mode;

use super::load::Load;
use super::servers::Server;

/// Connections of the load, and calls in flight on each.
pub const CONNECTIONS: usize = 8;
pub const IN_FLIGHT: usize = 64;

const SLICES: usize = 5;
const WARM_UP: Duration = Duration::from_millis(60);

/// A server, and the calls that it is asked.
pub struct Side<'a> {
    pub name: &'static str,
    pub server: &'a Server,
    pub load: Load<'a>,
}

/// What one side did in a round.
#[derive(Clone, Copy, Debug)]
pub struct Rates {
    /// Calls in a second, the load and the server on the same processor.
    pub per_s: f64,
    /// Calls in a second of the server's own time on it.
    pub per_cpu_s: f64,
}

/// One round; the values are in the order of the sides.
pub fn round(sides: &mut [Side<'_>], slice: Duration) -> Vec<Rates> {
    let mut slices = vec![Vec::new(); sides.len()];
    for turn in 0..SLICES {
        for step in 0..sides.len() {
            let at = (turn + step) % sides.len();
            slices[at].push(sides[at].slice(slice));
        }
    }
    let middle = |of: &[Rates], what: fn(&Rates) -> f64| {
        let mut values: Vec<f64> = of.iter().map(what).collect();
        values.sort_by(f64::total_cmp);
        values[SLICES / 2]
    };
    let rates = slices.iter().map(|of| Rates {
        per_s: middle(of, |r| r.per_s),
        per_cpu_s: middle(of, |r| r.per_cpu_s),
    });
    rates.collect()
}

impl Side<'_> {
    fn slice(&mut self, lasting: Duration) -> Rates {
        self.load.run(IN_FLIGHT, lasting.min(WARM_UP));
        let cpu = || self.server.cpu().expect("Linux tells what a process used");
        let before = cpu();
        let turn = self.load.run(IN_FLIGHT, lasting);
        let used = self.server.cpu().expect("as before") - before;
        Rates {
            per_s: turn.answered as f64 / turn.took.as_secs_f64(),
            per_cpu_s: turn.answered as f64 / used.as_secs_f64(),
        }
    }
}

/// A program about the wire: its name, and how it was asked.
pub struct Ask {
    pub question: &'static str,
    pub mode: Mode,
}

impl Ask {
    /// Tells the question.
    pub fn new(question: &'static str, text: &str) -> Self {
        Line::Question(Question {
            question: question.to_owned(),
            text: text.to_owned(),
        })
        .print();
        Self {
            question,
            mode: Mode::from_args(),
        }
    }

    /// A server, or the reason why there is none, told.
    pub fn started(
        &self,
        case: &str,
        rival: &str,
        server: Result<Server, String>,
    ) -> Option<Server> {
        server.map_err(|reason| self.skip(case, rival, reason)).ok()
    }

    pub fn skip(&self, case: &str, rival: &str, reason: String) {
        Line::Skipped(Skipped {
            question: self.question.to_owned(),
            case: case.to_owned(),
            rival: rival.to_owned(),
            reason,
        })
        .print();
    }

    /// Tells a rate of ours beside a rival's.
    pub fn rate(
        &self,
        case: &str,
        unit: &str,
        ours: (&str, f64),
        rival: (&str, f64),
        bound: Option<f64>,
    ) {
        self.figure(case, (unit, Better::Higher), ours, rival, bound);
    }

    /// Tells a rate of ours that has a bound and no rival.
    pub fn bounded(&self, case: &str, unit: &str, ours: (&str, f64), bound: f64) {
        Line::Figure(Figure {
            question: self.question.to_owned(),
            case: case.to_owned(),
            unit: unit.to_owned(),
            better: Better::Higher,
            ours_name: ours.0.to_owned(),
            ours: ours.1,
            rival: String::new(),
            rival_value: None,
            bound: Some(bound),
        })
        .print();
    }

    /// Tells a time of ours beside a rival's, in nanoseconds.
    pub fn time(&self, case: &str, ours: (&str, f64), rival: (&str, f64), bound: Option<f64>) {
        self.figure(case, ("ns", Better::Lower), ours, rival, bound);
    }

    fn figure(
        &self,
        case: &str,
        (unit, better): (&str, Better),
        ours: (&str, f64),
        rival: (&str, f64),
        bound: Option<f64>,
    ) {
        Line::Figure(Figure {
            question: self.question.to_owned(),
            case: case.to_owned(),
            unit: unit.to_owned(),
            better,
            ours_name: ours.0.to_owned(),
            ours: ours.1,
            rival: rival.0.to_owned(),
            rival_value: Some(rival.1),
            bound,
        })
        .print();
    }
}
