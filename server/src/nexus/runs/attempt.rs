//! One attempt of a step, or to undo it: a task of its own, which may panic, be cut, or run out of time.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use kg_core::model::{Object, Value};
use kg_core::nexus::Failure;
use tokio::sync::{OwnedSemaphorePermit, mpsc};
use tokio::time::{Instant, sleep};
use tonic::Code;

use super::super::failure;
use super::super::rows::OwnerId;
use super::super::step::{RunInfo, StepCall};
use super::Runs;
use super::host::{Host, Item};

/// What came of an attempt.
pub(super) type Outcome = Result<Value, Failure>;

/// An attempt that is to begin.
pub(super) struct Begin {
    pub(super) step: usize,
    pub(super) attempt: u32,
    pub(super) undo: bool,
    pub(super) parameters: Object,
    pub(super) timeout_ms: u64,
    pub(super) key: Arc<str>,
    pub(super) place: Option<OwnedSemaphorePermit>,
}

/// One attempt, with all that it needs.
pub(super) struct Attempt {
    pub(super) runs: Runs,
    pub(super) info: Arc<RunInfo>,
    pub(super) owner: OwnerId,
    pub(super) actor: Arc<str>,
    pub(super) kind: &'static str,
    pub(super) target: Arc<str>,
    pub(super) action: Arc<str>,
    pub(super) step_id: Arc<str>,
    pub(super) started_ms: u64,
    pub(super) items: Vec<(u32, Value)>,
    pub(super) done: mpsc::Sender<Item>,
    pub(super) cut: Arc<AtomicBool>,
    pub(super) begin: Begin,
}

impl Attempt {
    /// Carries it out, within its time.
    pub(super) async fn run(mut self) -> Outcome {
        let _place = self.begin.place.take();
        let timeout_ms = self.begin.timeout_ms;
        let cut = self.cut.clone();
        // A time that no clock reaches is as good as none.
        let longest = Duration::from_millis(timeout_ms.min(1_000 * 86_400_000));
        let (owners, owner, actor) = (
            self.runs.0.owners.clone(),
            self.owner.clone(),
            self.actor.clone(),
        );
        let attempt = self.carry_out(Instant::now() + longest);
        tokio::pin!(attempt);
        tokio::select! {
            outcome = &mut attempt => outcome,
            why = owners.no_longer(&owner, &actor) => {
                // Release: pairs with the Acquire of what is dropped with the attempt, next.
                cut.store(true, Ordering::Release);
                Err(why)
            }
            () = sleep(longest) => {
                // Release: pairs with the Acquire of what is dropped with the attempt, next.
                cut.store(true, Ordering::Release);
                Err(failure::of(Code::DeadlineExceeded, format!("the attempt took longer than {timeout_ms} ms")))
            }
        }
    }

    async fn carry_out(self, until: Instant) -> Outcome {
        let inner = &self.runs.0;
        let caller = inner.owners.caller(&self.owner, &self.actor).await?;
        let provider = inner.kinds.of(self.kind);
        let provider = provider.ok_or_else(|| {
            failure::of(
                Code::Unimplemented,
                format!("there is no type of step {:?}", self.kind),
            )
        })?;
        let host = Host {
            runs: self.runs.clone(),
            run: self.info.clone(),
            owner: self.owner,
            actor: self.actor,
            caller: caller.clone(),
            step: self.begin.step,
            step_id: self.step_id.clone(),
            attempt: self.begin.attempt,
            key: self.begin.key.clone(),
            started_ms: self.started_ms,
            until,
            items: (!self.begin.undo).then_some(self.done),
            cut: self.cut,
        };
        let call = StepCall {
            run: &self.info,
            step: self.step_id,
            attempt: self.begin.attempt,
            key: self.begin.key,
            target: &self.target,
            action: &self.action,
            parameters: self.begin.parameters,
            timeout_ms: self.begin.timeout_ms,
            started_ms: self.started_ms,
            caller,
            world: &inner.world,
            items: self.items,
            host: &host,
        };
        provider.run(call).await
    }
}
