//! The runs of a store, as services meet them, and the task that keeps those of this server.
//!
//! ```text
//! begin -> rows (durable) -> live (a task: decide, attempt, write, apply) -> rows: ended -> announcer
//!            ^                 ^
//!            |                 +-- a second's tick: runs of servers that are gone, cancels, runs that nobody here carries out
//!            +-- an id of a request, or of a parent and its step, finds the run that was begun before
//! ```
//!
//! A run has at most one task in a process: the table of live runs has one place for each id. Across processes its epoch sees to
//! that. What is in the table may be behind the rows of another server, and never ahead of what is durable.

mod attempt;
mod carry;
mod host;
mod keeper;
mod live;
mod watch;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use amadeus_proto::v1;
use dashmap::{DashMap, Entry};
use futures::FutureExt as _;
use kg_core::commit::Held;
use kg_core::error::Refusal;
use kg_core::model::{EntityRef, Kind, Name, Object};
use kg_core::nexus::{Difference, Failure, Run, StepTypes};
use prost::Message as _;
use ring::rand::{SecureRandom as _, SystemRandom};
use tokio::sync::OwnedSemaphorePermit;
use tokio::task::JoinHandle;
use tonic::Status;

pub use host::child_id;
pub use live::View;
pub use watch::{Watch, Watched};

use super::announcer::{Announcer, News};
use super::owner::Owners;
use super::places::Places;
use super::replay::{Replay, differences};
use super::rows::{
    About, Begun, Cancel, NewRun, OwnerId, RunFilter, RunId, RunRow, RunRows, Statistics,
};
use super::step::World;
use super::steps::StepKinds;
use crate::auth::Caller;
use crate::metrics::Metrics;
use crate::rpc::{status, to_proto};
use crate::shutdown::Shutdown;
use crate::storage::ServerId;
use live::Live;

/// How long the end of a server waits for its runs to stop where they are.
const STOPPING: Duration = Duration::from_secs(5);

/// Runs that a server may have, those within runs with them. These wait for no place, and each may begin many.
const LIVE: usize = 50_000;

/// How many runs that ended are kept, and for how long, where the configuration does not say.
pub const KEPT: (u64, Duration) = (100_000, Duration::from_secs(30 * 24 * 3_600));

/// What runs are made of.
pub struct Parts {
    /// Where they are kept.
    pub rows: RunRows,
    /// Types of steps.
    pub kinds: StepKinds,
    /// What steps may use.
    pub world: World,
    /// With whose rights they act.
    pub owners: Owners,
    /// What is counted.
    pub metrics: Arc<Metrics>,
    /// Milliseconds since 1970.
    pub clock: fn() -> u64,
    /// This server, from its start to its end.
    pub me: ServerId,
    /// Runs at once.
    pub max_runs: usize,
    /// How many that ended are kept, and for how long.
    pub kept: (u64, Duration),
}

/// The runs. Clones are further handles of the same ones.
#[derive(Clone)]
pub struct Runs(pub(crate) Arc<Inner>);

pub(crate) struct Inner {
    rows: RunRows,
    kinds: StepKinds,
    world: World,
    owners: Owners,
    metrics: Arc<Metrics>,
    clock: fn() -> u64,
    me: ServerId,
    kept: (u64, Duration),
    places: Places,
    live: DashMap<RunId, Arc<Live>>,
    announcer: Announcer,
    ending: Shutdown,
    /// Why the rows could not be reached last time, if they could not: by who says that this server lives, and by who looks for runs.
    faults: Mutex<[Option<String>; 2]>,
    keeper: Mutex<Option<JoinHandle<()>>>,
}

/// A run as its journal tells it.
pub struct Recorded {
    /// What is known of it from its beginning.
    pub about: Arc<About>,
    /// The fold of its journal.
    pub run: Run,
}

/// A run that somebody wants.
#[derive(Clone, Debug)]
pub struct Order {
    /// Who.
    pub caller: Caller,
    /// Of which pattern.
    pub pattern: Name,
    /// What it is given.
    pub inputs: Object,
    /// What it is found by; empty: its id.
    pub correlation: Arc<str>,
    /// Why.
    pub reason: String,
    /// The revision that the pattern must have been changed at last.
    pub expected: Option<u64>,
    /// Whose request it is and under which id.
    pub request: Option<String>,
    /// A hash of what is asked for.
    pub body: u64,
}

/// The run and the step that a run is begun by.
#[derive(Clone, Debug)]
struct Parent {
    run: RunId,
    step: Arc<str>,
    actor: Arc<str>,
    depth: u32,
    /// The id of the new run.
    id: RunId,
    /// Whether the attempt that begins it was cut meanwhile.
    cut: Arc<AtomicBool>,
}

impl Runs {
    /// Sets them up. Nothing is carried out before [`Self::start`].
    #[must_use]
    pub fn new(parts: Parts) -> Self {
        let announcer = Announcer::start(parts.world.events.clone(), parts.rows.clone());
        Self(Arc::new(Inner {
            rows: parts.rows,
            kinds: parts.kinds,
            world: parts.world,
            owners: parts.owners,
            metrics: parts.metrics,
            clock: parts.clock,
            me: parts.me,
            kept: parts.kept,
            places: Places::new(parts.max_runs),
            live: DashMap::new(),
            announcer,
            ending: Shutdown::default(),
            faults: Mutex::default(),
            keeper: Mutex::default(),
        }))
    }

    /// Goes on with what nobody carries out, and keeps doing so.
    pub fn start(&self) {
        let keeper = tokio::spawn(self.clone().keep());
        *lock(&self.0.keeper) = Some(keeper);
    }

    /// Types of steps.
    #[must_use]
    pub fn kinds(&self) -> &StepKinds {
        &self.0.kinds
    }

    /// What definitions are held against.
    #[must_use]
    pub fn types(&self) -> StepTypes {
        StepTypes::of(self.0.kinds.types())
    }

    /// What steps may use.
    #[must_use]
    pub fn world(&self) -> &World {
        &self.0.world
    }

    /// Why the rows cannot be reached, if they cannot.
    #[must_use]
    pub fn fault(&self) -> Option<String> {
        lock(&self.0.faults).iter().flatten().next().cloned()
    }

    /// Begins a run, or finds the one that this request began before. Durable when it returns.
    ///
    /// # Errors
    /// What `ExecutePattern` says.
    pub async fn begin(&self, order: Order) -> Result<RunId, Status> {
        if let Some(request) = &order.request {
            let known = self
                .0
                .rows
                .by_request(request)
                .await
                .map_err(status::runs)?;
            if let Some((id, body)) = known {
                return if body == order.body {
                    Ok(id)
                } else {
                    Err(reused())
                };
            }
        }
        let owner = self
            .0
            .owners
            .of(&order.caller)
            .await
            .map_err(|e| status::failed(&e))?;
        self.begin_for(order, owner, None).await
    }

    async fn begin_for(
        &self,
        order: Order,
        owner: OwnerId,
        parent: Option<Parent>,
    ) -> Result<RunId, Status> {
        let this = &self.0;
        if this.ending.has_begun() {
            return Err(status::stopping());
        }
        let entry = match &parent {
            None => Some(this.places.enter().ok_or_else(full)?),
            Some(_) if this.live.len() >= LIVE => return Err(full()),
            Some(_) => None,
        };
        let key = EntityRef::new(Kind::pattern(), order.pattern.clone());
        let seen = this.world.graph.see_head(&order.caller).await?;
        seen.must_see(&key)?;
        let entity = seen.entity(&key).ok_or_else(|| status::not_found(&key))?;
        let body = entity.pattern().ok_or_else(|| status::not_found(&key))?;
        if let Some(expected) = order.expected.filter(|e| *e != entity.modified_revision) {
            return Err(status::refusal(Refusal::RevisionMismatch {
                what: key.to_string(),
                expected,
                actual: Some(entity.modified_revision),
            }));
        }
        if !body.active {
            return Err(status::state(format!(
                "{key} is not active: no run of it may begin"
            )));
        }
        let definition = to_proto::pattern(entity, body);
        let id = parent
            .as_ref()
            .map_or_else(new_id, |parent| parent.id.clone());
        let correlation = match &*order.correlation {
            "" => id.0.clone(),
            _ => order.correlation.clone(),
        };
        let about = About {
            pattern: order.pattern.as_str().into(),
            pattern_version: body.version.clone(),
            pattern_revision: entity.modified_revision,
            graph_revision: seen.revision(),
            event_offset: this.world.events.next_offset(),
            actor: order.caller.principal.name.clone(),
            owner,
            reason: order.reason,
            correlation,
            parent: parent
                .as_ref()
                .map_or_else(|| "".into(), |parent| parent.run.0.clone()),
            parent_step: parent
                .as_ref()
                .map_or_else(|| "".into(), |parent| parent.step.clone()),
            depth: parent.as_ref().map_or(0, |parent| parent.depth),
            steps_total: to_proto::count(body.steps.len()),
            created_ms: (this.clock)(),
        };
        let start = live::Start::of(about, definition, &self.types()).map_err(status::state)?;
        let start = start.given(&order.inputs).map_err(status::faults)?;
        let new = NewRun {
            id: id.clone(),
            request: order.request,
            body: order.body,
            about: (*start.about).clone(),
            inputs: to_proto::object(&start.inputs).encode_to_vec(),
            definition: start.definition.encode_to_vec(),
        };
        // In a task of its own: a call that nobody waits for any more must not leave a run that nobody carries out.
        let runs = self.clone();
        let beginning = tokio::spawn(async move { runs.begun(new, start, entry, parent).await });
        let begun = beginning.await;
        begun.unwrap_or_else(|error| Err(status::internal("beginning a run", &error)))
    }

    async fn begun(
        self,
        new: NewRun,
        start: live::Start,
        entry: Option<OwnedSemaphorePermit>,
        parent: Option<Parent>,
    ) -> Result<RunId, Status> {
        let id = new.id.clone();
        match self
            .0
            .rows
            .begin(new, self.0.me)
            .await
            .map_err(status::runs)?
        {
            Begun::New(key) => {
                let live = Live::new(id.clone(), key, 1, self.0.me, start);
                self.launch(live, entry);
                if let Some(parent) = parent {
                    self.cancel_unless_wanted(&id, parent).await;
                }
                Ok(id)
            }
            Begun::Known(_, id) => Ok(id),
            Begun::Reused => Err(reused()),
        }
    }

    /// Cancels a run within a run that nobody waits for any more: its parent's attempt was cut, or its parent has ended, before its row
    /// was there to be found by whoever cancels what they left. Asked once it is there, so that one of the two sees the other.
    async fn cancel_unless_wanted(&self, id: &RunId, parent: Parent) {
        // Acquire: pairs with the Release of whoever cut the attempt.
        let cut = parent.cut.load(Ordering::Acquire);
        let row = self.0.rows.row(&parent.run.0).await;
        let ended = row.is_ok_and(|row| row.is_none_or(|row| row.ended_ms.is_some()));
        if cut || ended {
            let cancel = Cancel {
                actor: parent.actor,
                reason: format!("the step {} of the run {} was cut", parent.step, parent.run)
                    .into(),
            };
            // Whoever asked for that as the row was there already, and this task's run not yet, has not told it.
            if let Some(live) = self.live(&id.0) {
                live.cancel(cancel.clone());
            }
            if let Err(error) = self.cancel(id, cancel).await {
                tracing::warn!(run = %id, %error, "a run within a run that nobody waits for goes on");
            }
        }
    }

    /// Gives a run its task. One of this id that has an older epoch is ended: its run was somebody else's meanwhile.
    fn launch(&self, live: Arc<Live>, entry: Option<OwnedSemaphorePermit>) {
        match self.0.live.entry(live.id.clone()) {
            Entry::Occupied(before) if before.get().epoch >= live.epoch => return,
            Entry::Occupied(mut before) => before.insert(live.clone()).stop(),
            Entry::Vacant(place) => drop(place.insert(live.clone())),
        }
        let (runs, carried) = (self.clone(), live.clone());
        let task = tokio::spawn(async move {
            let _entry = entry;
            let done = std::panic::AssertUnwindSafe(carry::carry_out(&runs, &carried));
            if done.catch_unwind().await.is_err() {
                tracing::error!(run = %carried.id, "a bug ended a run");
                carry::give_up(&runs, &carried).await;
            }
            let mine = |_: &RunId, now: &Arc<Live>| now.epoch == carried.epoch;
            runs.0.live.remove_if(&carried.id, mine);
            carried.left();
        });
        live.carried_by(task.abort_handle());
    }

    /// The run, as it is now; `None`: there is none.
    ///
    /// # Errors
    /// UNAVAILABLE while the rows cannot be reached.
    pub async fn run(&self, id: &RunId) -> Result<Option<v1::Run>, Status> {
        Ok(self.view(&id.0).await?.map(|view| view.run))
    }

    /// The same with its timeline and what it carries out.
    ///
    /// # Errors
    /// As [`Self::run`].
    pub async fn view(&self, id: &str) -> Result<Option<View>, Status> {
        if let Some(live) = self.live(id) {
            return Ok(Some(live.view()));
        }
        let kept = self.0.rows.get(id).await.map_err(status::runs)?;
        let view =
            kept.map(|kept| Live::of(&kept, &self.types()).map(|live| live.view_at(&kept.row)));
        view.transpose()
            .map_err(|error| status::internal("reading a run", &error))
    }

    /// The fold of a run's journal, to be carried out again.
    ///
    /// # Errors
    /// As [`Self::run`].
    pub async fn recorded(&self, id: &str) -> Result<Option<Recorded>, Status> {
        let live = match self.live(id) {
            Some(live) => Some(live),
            None => {
                let kept = self.0.rows.get(id).await.map_err(status::runs)?;
                let folded = kept.map(|kept| Live::of(&kept, &self.types()));
                folded
                    .transpose()
                    .map_err(|error| status::internal("reading a run", &error))?
            }
        };
        Ok(live.map(|live| Recorded {
            about: live.about.clone(),
            run: live.fold(),
        }))
    }

    /// A run as it would have been on this state of the graph, and what differs from what was recorded.
    ///
    /// # Errors
    /// As [`Replay::of`]; UNAUTHENTICATED and PERMISSION_DENIED where its owner may no longer.
    pub async fn replay(
        &self,
        recorded: &Recorded,
        at: &Held,
    ) -> Result<(Run, Vec<Difference>), Failure> {
        let about = &recorded.about;
        let owner = self.0.owners.caller(&about.owner, &about.actor).await?;
        let replay = Replay {
            kinds: &self.0.kinds,
            real: &self.0.world.graph,
            events: &self.0.world.events,
            at,
            caller: &owner,
        };
        let replayed = replay.of(&recorded.run).await?;
        let differences = differences(&recorded.run, &replayed);
        Ok((replayed, differences))
    }

    /// What the rows say of a run, without its journal.
    ///
    /// # Errors
    /// As [`Self::run`].
    pub async fn row(&self, id: &str) -> Result<Option<RunRow>, Status> {
        self.0.rows.row(id).await.map_err(status::runs)
    }

    /// Runs that match, newest first.
    ///
    /// # Errors
    /// As [`Self::run`].
    pub async fn list(&self, filter: &RunFilter, limit: usize) -> Result<Vec<RunRow>, Status> {
        self.0.rows.list(filter, limit).await.map_err(status::runs)
    }

    /// How a pattern has run.
    ///
    /// # Errors
    /// As [`Self::run`].
    pub async fn statistics(&self, pattern: &str) -> Result<Statistics, Status> {
        self.0.rows.statistics(pattern).await.map_err(status::runs)
    }

    /// Asks a run to end, whichever server carries it out. Durable when it returns.
    ///
    /// # Errors
    /// As [`Self::run`].
    pub async fn cancel(&self, id: &RunId, cancel: Cancel) -> Result<(), Status> {
        let asked = self.0.rows.ask_cancel(&id.0, &cancel).await;
        if asked.map_err(status::runs)?
            && let Some(live) = self.live(&id.0)
        {
            live.cancel(cancel);
        }
        Ok(())
    }

    /// Follows a run from a line on.
    #[must_use]
    pub fn watch(&self, id: &RunId, from_seq: u32) -> Watch {
        Watch::new(self.clone(), id.clone(), from_seq)
    }

    /// Returns when a run has ended, wherever it is carried out.
    ///
    /// # Errors
    /// NOT_FOUND where it is gone; UNAVAILABLE.
    pub async fn ended(&self, id: &RunId) -> Result<(), Status> {
        let mut watch = self.watch(id, u32::MAX);
        while !watch.next().await?.last {}
        Ok(())
    }

    /// Returns when this server carries a run out no more.
    pub async fn ended_here(&self, id: &RunId) {
        if let Some(live) = self.live(&id.0) {
            live.gone().await;
        }
    }

    fn live(&self, id: &str) -> Option<Arc<Live>> {
        // Copied out: no guard of the table outlives this line.
        self.0
            .live
            .get(&RunId(id.into()))
            .map(|live| live.value().clone())
    }

    /// Runs that this server carries out, or has waiting.
    #[must_use]
    pub fn carried(&self) -> usize {
        self.0.live.len()
    }

    /// Stops all runs where they are, and leaves them to other servers, or to the next start. Nothing is begun any more.
    pub async fn end(&self) {
        self.0.ending.begin();
        let keeper = lock(&self.0.keeper).take();
        if let Some(keeper) = keeper {
            keeper.abort();
        }
        let all: Vec<Arc<Live>> = self
            .0
            .live
            .iter()
            .map(|live| live.value().clone())
            .collect();
        let stopped = async {
            for live in &all {
                live.gone().await;
            }
        };
        if tokio::time::timeout(STOPPING, stopped).await.is_err() {
            tracing::warn!("runs do not stop: they are cut");
            all.iter().for_each(|live| live.stop());
        }
        if let Err(error) = self.0.rows.leave(self.0.me).await {
            tracing::debug!(%error, "other servers find out by themselves that this one is gone");
        }
        self.0.rows.close().await;
    }

    fn announce_end(&self, live: &Live) {
        if let Some(news) = live.end() {
            self.0.announcer.tell(news);
        }
    }

    fn announce_start(&self, live: &Live, time_ms: u64) {
        self.0.announcer.tell(News {
            id: live.id.clone(),
            ended: None,
            what: "started",
            about: live.about.clone(),
            code: "".into(),
            time_ms,
        });
    }
}

/// An id that nobody has.
fn new_id() -> RunId {
    let mut bytes = [0; 16];
    if SystemRandom::new().fill(&mut bytes).is_err() {
        // Unlikely ever; an id that is there already would only find that run.
        bytes[..8].copy_from_slice(&crate::app::seed().to_le_bytes());
        bytes[8..].copy_from_slice(&crate::app::seed().to_le_bytes());
    }
    RunId(format!("{:032x}", u128::from_le_bytes(bytes)).into())
}

/// Between 0 and 1, without 1.
fn random() -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "53 bits are what an f64 holds")]
    let bits = (crate::app::seed() >> 11) as f64;
    bits / (1_u64 << 53) as f64
}

fn reused() -> Status {
    status::invalid("request_id", "stands for another request already")
}

fn full() -> Status {
    status::exhausted("too many runs are under way or wait already: try again later")
}

/// Whoever panicked while they held it has left it whole: what is done under these locks is one step.
fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
