//! The announcer: tells the log of events what became of runs, in batches, until it is told.
//!
//! What it tells has an id that is made of the run's, so that telling it again changes nothing. That the end of a run was told is
//! noted in its row; until then whoever has the run tells it again after a restart. So no end is forgotten.

use std::sync::Arc;
use std::time::Duration;

use kg_core::model::{EntityRef, Kind, Name, Object, Value};
use tokio::sync::mpsc;
use tokio::time::sleep;

use super::rows::{About, RunId, RunKey, RunRows};
use crate::events::{EventError, Events, NewEvent};

/// What may wait to be told. What finds no room is found in the rows again.
const WAITING: usize = 10_000;

/// Events of one batch.
const TOGETHER: usize = 256;

/// The first pause before a batch that was not taken is told again, and the longest.
const PAUSES: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(10));

/// What became of a run.
#[derive(Clone, Debug)]
pub struct News {
    /// The run.
    pub id: RunId,
    /// Where its row is, if this is its end.
    pub ended: Option<RunKey>,
    /// `started`, `succeeded`, `failed` or `cancelled`.
    pub what: &'static str,
    /// What is known of it from its beginning.
    pub about: Arc<About>,
    /// The code of what failed; may be empty. Not what is wrong in words: whoever sees the pattern sees this event, and need not be
    /// one who may see the run.
    pub code: Arc<str>,
    /// When, in milliseconds since 1970.
    pub time_ms: u64,
}

/// The way to the announcer. Clones lead to the same one.
#[derive(Clone)]
pub struct Announcer(mpsc::Sender<News>);

impl Announcer {
    /// Starts it.
    #[must_use]
    pub fn start(events: Events, rows: RunRows) -> Self {
        let (sender, news) = mpsc::channel(WAITING);
        tokio::spawn(tell(events, rows, news));
        Self(sender)
    }

    /// Has something told. Never waits.
    pub fn tell(&self, news: News) {
        // Full, or the server ends: the row says that it was not told.
        let _ = self.0.try_send(news);
    }
}

async fn tell(events: Events, rows: RunRows, mut news: mpsc::Receiver<News>) {
    let mut batch = Vec::new();
    while news.recv_many(&mut batch, TOGETHER).await > 0 {
        let mut pause = PAUSES.0;
        while !batch.is_empty() {
            match events.append(batch.iter().map(event).collect()).await {
                Ok(_) => {
                    for told in batch.drain(..).filter_map(|news| news.ended) {
                        rows.told(told).await;
                    }
                }
                Err(EventError::Invalid { index, reason }) if index < batch.len() => {
                    // It would never be taken, and is no reason to tell nobody anything.
                    let wrong = batch.remove(index);
                    tracing::error!(run = %wrong.id, reason, "what became of a run cannot be told");
                    if let Some(run) = wrong.ended {
                        rows.told(run).await;
                    }
                }
                Err(error) => {
                    tracing::debug!(%error, "what became of runs is told later");
                    sleep(pause).await;
                    pause = (pause * 2).min(PAUSES.1);
                }
            }
        }
    }
}

fn event(news: &News) -> NewEvent {
    let name = Name::parse("pattern", &news.about.pattern).ok();
    let text = |text: &str| Value::String(text.into());
    let payload: Object = [
        ("run_id", text(&news.id.0)),
        ("state", text(news.what)),
        ("code", text(&news.code)),
    ]
    .into_iter()
    .map(|(name, value)| (Arc::<str>::from(name), value))
    .collect();
    NewEvent {
        id: format!("{}/{}", news.id, news.what).into(),
        kind: format!("run.{}", news.what).into(),
        entity: name.map(|name| EntityRef::new(Kind::pattern(), name)),
        correlation: news.about.correlation.clone(),
        payload,
        time_ms: news.time_ms,
        actor: news.about.actor.clone(),
    }
}
