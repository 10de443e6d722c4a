//! The `main` of a bench whose contests suit criterion: alone it is a criterion bench, for `cargo xtask bench` it tells its
//! figures in rounds, and in a test it looks at each thing once. See `benches::mode`.

use benches::contest::Contest;
use benches::figure::{Line, Question};
use benches::mode::Mode;
use criterion::Criterion;

/// What a program was asked, and how.
pub struct Ask {
    question: &'static str,
    pub mode: Mode,
    criterion: Criterion,
}

impl Ask {
    /// `question` is the program's name, and `text` what it answers.
    pub fn new(question: &'static str, text: &str) -> Self {
        let mode = Mode::from_args();
        Line::Question(Question {
            question: question.to_owned(),
            text: text.to_owned(),
        })
        .print();
        let criterion = match mode {
            Mode::Alone => Criterion::default().configure_from_args(),
            Mode::Rounds(_) | Mode::Smoke => Criterion::default(),
        };
        Self {
            question,
            mode,
            criterion,
        }
    }

    /// Times a contest in the way that was asked for.
    pub fn of(&mut self, mut contest: Contest<'_>) {
        match self.mode {
            Mode::Smoke => contest.smoke(),
            Mode::Rounds(rounds) => contest.run(self.question, rounds),
            Mode::Alone => {
                let title = format!("{}/{}", self.question, contest.case());
                let mut group = self.criterion.benchmark_group(title);
                for entry in contest.entries() {
                    let name = entry.name;
                    group.bench_function(name, |b| b.iter_custom(|n| entry.time(n)));
                }
                group.finish();
            }
        }
    }
}
