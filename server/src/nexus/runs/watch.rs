//! Following a run: in this process by being told of each line, in another by looking at the rows.

use std::time::Duration;

use amadeus_proto::v1;
use tokio::time::sleep;
use tonic::Status;

use super::super::rows::RunId;
use super::Runs;
use super::live::Live;
use crate::rpc::status;

/// Lines of one message.
const LINES: usize = 1_000;

/// How often the rows are looked at for a run that another server carries out.
const LOOK: Duration = Duration::from_millis(500);

/// Somebody's place in a run.
pub struct Watch {
    runs: Runs,
    id: RunId,
    next: u32,
}

/// What happened since.
pub struct Watched {
    /// The lines, in order.
    pub lines: Vec<v1::RunLine>,
    /// The run after them.
    pub run: v1::Run,
    /// Whether it has ended.
    pub last: bool,
}

impl Watch {
    pub(super) fn new(runs: Runs, id: RunId, next: u32) -> Self {
        Self { runs, id, next }
    }

    /// What happened since the last call; waits for something to happen.
    ///
    /// # Errors
    /// NOT_FOUND where the run is gone; UNAVAILABLE.
    pub async fn next(&mut self) -> Result<Watched, Status> {
        loop {
            if let Some(live) = self.runs.live(&self.id.0) {
                // Before the look, so that what comes in between is not missed.
                let mut changes = live.changes();
                changes.mark_unchanged();
                if let Some(watched) = self.look(&live) {
                    return Ok(watched);
                }
                tokio::select! {
                    _ = changes.changed() => {}
                    () = live.gone() => {}
                }
                if self.runs.live(&self.id.0).is_some() {
                    continue;
                }
                // Its last line may have been shown as it left.
                if let Some(watched) = self.look(&live) {
                    return Ok(watched);
                }
            }
            let rows = &self.runs.0.rows;
            let row = rows.row(&self.id.0).await.map_err(status::runs)?;
            let row = row.ok_or_else(|| status::not_found(format!("the run {}", self.id)))?;
            if row.last_seq >= self.next || row.ended_ms.is_some() {
                let kept = rows.get(&self.id.0).await.map_err(status::runs)?;
                let kept = kept.ok_or_else(|| status::not_found(format!("the run {}", self.id)))?;
                let live = Live::of(&kept, &self.runs.types());
                let live = live.map_err(|error| status::internal("reading a run", &error))?;
                if let Some(watched) = self.look(&live) {
                    return Ok(watched);
                }
            }
            sleep(LOOK).await;
        }
    }

    fn look(&mut self, live: &Live) -> Option<Watched> {
        let (lines, run, last) = live.since(self.next, LINES);
        self.next = lines.last().map_or(self.next, |line| line.seq + 1);
        (last || !lines.is_empty()).then_some(Watched { lines, run, last })
    }
}
