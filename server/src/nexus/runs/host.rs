//! What the runner does for a step: runs within its run, and elements of its list.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use futures::FutureExt as _;
use futures::future::BoxFuture;
use kg_core::limits::PATTERN_DEPTH;
use kg_core::model::{Name, Object, Value};
use kg_core::nexus::Failure;
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;
use tonic::Code;
use xxhash_rust::xxh3::{xxh3_64, xxh3_128};

use super::super::failure;
use super::super::rows::{Cancel, OwnerId, RunId};
use super::super::step::{RunInfo, StepCall, StepHost};
use super::{Order, Parent, Runs};
use crate::auth::Caller;
use crate::rpc::from_proto;

/// One attempt's way to the runner.
pub(super) struct Host {
    pub(super) runs: Runs,
    pub(super) run: Arc<RunInfo>,
    pub(super) owner: OwnerId,
    pub(super) actor: Arc<str>,
    pub(super) caller: Caller,
    pub(super) step: usize,
    pub(super) step_id: Arc<str>,
    pub(super) attempt: u32,
    pub(super) key: Arc<str>,
    pub(super) started_ms: u64,
    pub(super) until: Instant,
    /// Where what is done of a list goes; none within an element, which is done as a whole.
    pub(super) items: Option<mpsc::Sender<Item>>,
    /// Whether the attempt was ended because it took too long or the run was cancelled, and not because the server ends.
    pub(super) cut: Arc<AtomicBool>,
}

/// An element of a step's list that is done.
pub(super) struct Item {
    pub(super) step: usize,
    pub(super) attempt: u32,
    pub(super) index: u32,
    pub(super) result: Value,
    pub(super) durable: oneshot::Sender<Result<(), Failure>>,
}

/// The id of the run that an attempt of a step begins under a name: always the same, so that it is found again after a restart.
/// A step that is tried again because its run failed begins another one.
#[must_use]
pub fn child_id(name: &str, attempt: u32) -> RunId {
    RunId(format!("{:032x}", xxh3_128(format!("{name}\n{attempt}").as_bytes())).into())
}

impl StepHost for Host {
    fn owner(&self) -> BoxFuture<'_, Result<Caller, Failure>> {
        self.runs.0.owners.caller(&self.owner, &self.actor).boxed()
    }

    fn item_done(&self, index: u32, result: Value) -> BoxFuture<'_, Result<(), Failure>> {
        async move {
            let Some(items) = &self.items else {
                return Ok(());
            };
            let (durable, written) = oneshot::channel();
            let item = Item {
                step: self.step,
                attempt: self.attempt,
                index,
                result,
                durable,
            };
            let gone = || {
                failure::of(
                    Code::Unavailable,
                    "the run is not carried out here any more",
                )
            };
            items.send(item).await.map_err(|_| gone())?;
            written.await.map_err(|_| gone())?
        }
        .boxed()
    }

    fn child<'a>(
        &'a self,
        name: &'a str,
        pattern: &'a str,
        inputs: Object,
    ) -> BoxFuture<'a, Result<Object, Failure>> {
        async move {
            let depth = self.run.depth + 1;
            if depth as usize > PATTERN_DEPTH {
                let what = format!("runs are nested deeper than {PATTERN_DEPTH}");
                return Err(failure::of(Code::FailedPrecondition, what));
            }
            let id = child_id(name, self.attempt);
            // Before it begins: what is cut in the middle of that leaves a run behind too.
            let unless_cut = CancelIfCut {
                host: self,
                id: Some(id.clone()),
            };
            let known = self
                .runs
                .row(&id.0)
                .await
                .map_err(|e| failure::of_status(&e))?;
            if known.is_none() {
                self.begin(id.clone(), pattern, inputs, depth).await?;
            }
            self.runs
                .ended(&id)
                .await
                .map_err(|e| failure::of_status(&e))?;
            unless_cut.ended();
            let run = self
                .runs
                .run(&id)
                .await
                .map_err(|e| failure::of_status(&e))?;
            let run =
                run.ok_or_else(|| failure::of(Code::NotFound, format!("the run {id} is gone")))?;
            if run.state() == amadeus_proto::v1::RunState::RunSucceeded {
                let outputs = from_proto::object("outputs", run.outputs.as_ref());
                return outputs.map_err(|fault| failure::of(Code::Internal, fault.to_string()));
            }
            let message = format!("the run {id} of pattern/{pattern}: {}", run.message);
            Err(Failure::new(
                &run.code,
                failure::of(Code::Unknown, message).message,
            ))
        }
        .boxed()
    }

    fn inner<'a>(
        &'a self,
        index: u32,
        step: &'a Object,
        parameters: Object,
    ) -> BoxFuture<'a, Result<Value, Failure>> {
        async move {
            let text = |name: &str| step.get(name).and_then(Value::as_str).unwrap_or_default();
            let kind = text("type");
            let provider = self.runs.0.kinds.of(kind);
            let provider = provider.ok_or_else(|| {
                failure::of(
                    Code::InvalidArgument,
                    format!("there is no type of step {kind:?}"),
                )
            })?;
            let key: Arc<str> = format!("{}/{index}", self.key).into();
            let host = Self {
                runs: self.runs.clone(),
                run: self.run.clone(),
                owner: self.owner.clone(),
                actor: self.actor.clone(),
                caller: self.caller.clone(),
                step: self.step,
                step_id: self.step_id.clone(),
                attempt: self.attempt,
                key: key.clone(),
                started_ms: self.started_ms,
                until: self.until,
                items: None,
                cut: self.cut.clone(),
            };
            let left = self.until.saturating_duration_since(Instant::now());
            let call = StepCall {
                run: &self.run,
                step: self.step_id.clone(),
                attempt: self.attempt,
                key,
                target: text("target"),
                action: text("action"),
                parameters,
                timeout_ms: u64::try_from(left.as_millis()).unwrap_or(u64::MAX).max(1),
                started_ms: self.started_ms,
                caller: self.caller.clone(),
                world: &self.runs.0.world,
                items: Vec::new(),
                host: &host,
            };
            provider.run(call).await
        }
        .boxed()
    }
}

impl Host {
    async fn begin(
        &self,
        id: RunId,
        pattern: &str,
        inputs: Object,
        depth: u32,
    ) -> Result<(), Failure> {
        let name = Name::parse("target", pattern);
        let name = name.map_err(|fault| failure::of(Code::InvalidArgument, fault.to_string()))?;
        let body =
            xxh3_64(format!("{pattern}\n{}", Value::Object(inputs.clone()).to_json()).as_bytes());
        let order = Order {
            caller: self.caller.clone(),
            pattern: name,
            inputs,
            correlation: self.run.correlation.clone(),
            reason: String::new(),
            expected: None,
            request: None,
            body,
        };
        let parent = Parent {
            run: RunId(self.run.id.clone()),
            step: self.step_id.clone(),
            actor: self.actor.clone(),
            depth,
            id,
            cut: self.cut.clone(),
        };
        let begun = self
            .runs
            .begin_for(order, self.owner.clone(), Some(parent))
            .await;
        begun.map(drop).map_err(|e| failure::of_status(&e))
    }
}

/// A run within an attempt that is cut has nobody who wants it any more.
struct CancelIfCut<'a> {
    host: &'a Host,
    id: Option<RunId>,
}

impl CancelIfCut<'_> {
    fn ended(mut self) {
        self.id = None;
    }
}

impl Drop for CancelIfCut<'_> {
    fn drop(&mut self) {
        // Acquire: pairs with the Release of whoever cut the attempt, and then dropped it.
        if let Some(id) = self
            .id
            .take()
            .filter(|_| self.host.cut.load(Ordering::Acquire))
        {
            let runs = self.host.runs.clone();
            let cancel = Cancel {
                actor: self.host.caller.principal.name.clone(),
                reason: format!(
                    "the step {} of the run {} was cut",
                    self.host.step_id, self.host.run.id
                )
                .into(),
            };
            tokio::spawn(async move {
                if let Err(error) = runs.cancel(&id, cancel).await {
                    tracing::debug!(run = %id, %error, "a run within a run goes on until the outer one has ended");
                }
            });
        }
    }
}
