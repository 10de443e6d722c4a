//! The keeper of the leases: one task, which alone sweeps the table, writes the rows and says in the graph what follows.
//!
//! It vouches once a second for the leases that call here, by a row of the server's own, and learns with the same question
//! what other servers wrote. A server that does not vouch for five seconds loses its leases to the others, each with a whole
//! time to live; when it goes on it finds that out before it has told anything, and begins anew under another id.
//!
//! What the rows say and what the graph says are two writes. So what follows for the graph is not handed on as an event: it
//! is judged from the rows, said at once, and compared again with every vouching. Whatever was lost on the way is said then.

use super::leases::{Command, LeaseError, Leases, RowChange};
use super::peers::Peers;
use crate::metrics::Metrics;
use crate::storage::{Applied, Edit, LEASE_PAGE, LeaseRow, LeaseRows, LeaseRowsError, ServerId};
use kg_core::commit::{Graph, Outcome};
use kg_core::lease::{GuardState, Lease, LeaseId, Said, Steward};
use kg_core::limits::{MUTATIONS, NAMED_IN_ERRORS};
use kg_core::model::{Body, Health, Name};
use kg_core::mutation::{Mutation, Transaction};
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until, timeout};

/// How often a server vouches for the leases that call it.
const VOUCH: Duration = Duration::from_secs(1);

/// Changes of rows that share one transaction.
const TOGETHER: usize = 10_000;

/// Vouchings in a row at which the graph has to differ from what the rows say before it is said again. What another server
/// has just said needs a moment to arrive here.
const DIFFERS: u8 = 3;

/// How long the graph may take to show what is said to it.
const TELLING: Duration = Duration::from_secs(10);

/// What the history says of who wrote.
const ACTOR: &str = "amadeus";

/// The keeper.
pub struct LeaseKeeper {
    leases: Arc<Leases>,
    rows: LeaseRows,
    graph: Arc<Graph>,
    metrics: Arc<Metrics>,
    clock: fn() -> u64,
    /// Whether other servers share the rows.
    is_shared: bool,
    make_id: fn() -> u64,
    me: ServerId,
    steward: Steward,
    peers: Peers,
    /// Up to where the rows of all servers are known.
    seq: u64,
    /// Services of which the graph says something else than the rows, and for how many vouchings.
    differ: HashMap<Name, u8>,
    /// Whether the rows could be reached last time.
    reached: bool,
}

impl LeaseKeeper {
    /// Sets the keeper up. `make_id` makes numbers that no other server makes.
    #[must_use]
    pub fn new(
        leases: Arc<Leases>,
        rows: LeaseRows,
        is_shared: bool,
        graph: Arc<Graph>,
        metrics: Arc<Metrics>,
        clock: fn() -> u64,
        make_id: fn() -> u64,
    ) -> Self {
        Self {
            leases,
            rows,
            graph,
            metrics,
            clock,
            is_shared,
            make_id,
            me: ServerId(make_id()),
            steward: Steward::default(),
            peers: Peers::default(),
            seq: 0,
            differ: HashMap::new(),
            reached: false,
        }
    }

    /// Keeps the leases until `ending` ends, then leaves them to the others.
    pub async fn run(mut self, ending: impl Future<Output = ()>) {
        let Some(mut commands) = self.leases.take_commands() else {
            return;
        };
        self.begin().await;
        let mut vouch = interval(VOUCH);
        vouch.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut ending = std::pin::pin!(ending);
        let mut sweep_at = Instant::now();
        loop {
            tokio::select! {
                biased;
                () = &mut ending => break,
                _ = vouch.tick() => self.vouch().await,
                () = sleep_until(sweep_at) => {
                    self.sweep().await;
                    sweep_at = Instant::now() + Duration::from_millis(self.steward.next_sweep_ms());
                }
                Some(first) = commands.recv() => {
                    let mut all = vec![first];
                    while all.len() < TOGETHER && let Ok(command) = commands.try_recv() {
                        all.push(command);
                    }
                    self.carry_out(all).await;
                    // One of them may be shorter than all before.
                    let next = Instant::now() + Duration::from_millis(self.steward.next_sweep_ms());
                    sweep_at = sweep_at.min(next);
                }
            }
        }
        self.end(commands).await;
    }

    async fn end(&mut self, mut commands: mpsc::Receiver<Command>) {
        commands.close();
        if let Err(error) = self.rows.leave(self.me).await {
            tracing::debug!(%error, "the leases of this server are left to lapse");
        }
        self.rows.close().await;
    }

    /// Joins; where nobody shares the rows, takes over what an earlier process left.
    async fn begin(&mut self) {
        match self.rows.join(self.me).await {
            Ok(()) => {
                self.reached = true;
                self.refresh().await;
            }
            Err(error) => self.away(&error),
        }
    }

    /// Writes what was asked for, then answers.
    async fn carry_out(&mut self, commands: Vec<Command>) {
        let mut edits = Vec::with_capacity(commands.len());
        let mut of_service = BTreeSet::new();
        for command in &commands {
            edits.push(match &command.change {
                RowChange::Grant(wanted) => {
                    of_service.insert(wanted.service.clone());
                    Edit::Grant {
                        id: wanted.id,
                        service: wanted.service.clone(),
                        ttl_ms: wanted.ttl_ms,
                    }
                }
                RowChange::Take(id, _) => Edit::Take { id: *id },
                RowChange::Revoke(id) => {
                    of_service.extend(self.leases.roster().row(*id).map(|row| row.service.clone()));
                    Edit::Revoke { id: *id }
                }
            });
        }
        let applied = match self.apply(&edits).await {
            Ok(applied) => applied,
            Err(error) => {
                let told = || match &error {
                    LeaseRowsError::Full(why) => LeaseError::Full(why.clone()),
                    other => LeaseError::Unavailable(other.to_string()),
                };
                return commands
                    .into_iter()
                    .for_each(|command| answer(command, Err(told())));
            }
        };
        let refused: BTreeSet<LeaseId> = applied.refused.into_iter().collect();
        let mut outcomes = Vec::with_capacity(commands.len());
        for command in &commands {
            let outcome = self.hold_or_release(&command.change, &refused);
            outcomes.push(outcome);
        }
        // A fresh lease is swept at once: its holder is told when its service is shown to be up.
        of_service.extend(self.swept().await);
        self.tell(of_service, "leases were granted or revoked")
            .await;
        for (command, outcome) in commands.into_iter().zip(outcomes) {
            answer(command, outcome);
        }
    }

    fn hold_or_release(
        &self,
        change: &RowChange,
        refused: &BTreeSet<LeaseId>,
    ) -> Result<(), LeaseError> {
        match change {
            RowChange::Grant(wanted) if refused.contains(&wanted.id) => Err(LeaseError::Reused),
            RowChange::Grant(wanted) => self.hold(wanted.id, wanted.said),
            RowChange::Take(id, _) | RowChange::Revoke(id) if refused.contains(id) => {
                Err(LeaseError::Gone(*id))
            }
            RowChange::Take(id, said) => self.hold(*id, *said),
            RowChange::Revoke(id) => {
                self.leases.table.release(*id);
                Ok(())
            }
        }
    }

    /// From now on this server judges the lease, beginning with a whole time to live.
    fn hold(&self, id: LeaseId, said: Said) -> Result<(), LeaseError> {
        let Some(row) = self.leases.roster().row(id).cloned() else {
            return Err(LeaseError::Gone(id));
        };
        let lease = Lease::new(
            id,
            row.service,
            row.ttl_ms,
            self.leases.now(),
            said,
            row.health,
        );
        let held = self.leases.table.hold(lease);
        held.map_err(|error| LeaseError::Full(error.to_string()))
    }

    async fn sweep(&mut self) {
        let services = self.swept().await;
        self.tell(services, "leases lapsed, or came back, or said so")
            .await;
    }

    /// Sweeps the table and writes what changed into the rows; the services of which something changed.
    async fn swept(&mut self) -> BTreeSet<Name> {
        let now = self.leases.now();
        let sweep = self.steward.sweep(&self.leases.table, now);
        self.metrics.leases(&sweep.counts);
        if sweep.guard_changed {
            self.tell_of_guard(sweep.guard);
        }
        let mut edits: Vec<Edit> = sweep
            .transitions
            .iter()
            .map(|one| Edit::Show {
                id: one.id,
                health: one.to,
            })
            .collect();
        edits.extend(sweep.forgotten.iter().map(|id| Edit::Revoke { id: *id }));
        if edits.is_empty() {
            return BTreeSet::new();
        }
        for one in &sweep.transitions {
            self.metrics.lease_transition(one.to);
        }
        match self.apply(&edits).await {
            Ok(applied) => {
                for id in applied.refused.iter().chain(&sweep.forgotten) {
                    self.leases.table.release(*id);
                }
                if self.is_shared {
                    self.refresh_rows().await;
                }
            }
            // The steward has it as shown. What it saw is written again when the rows can be reached.
            Err(_) => self
                .steward
                .repeat(sweep.transitions.iter().map(|one| (one.id, one.from))),
        }
        sweep
            .transitions
            .into_iter()
            .map(|one| one.service)
            .collect()
    }

    /// Vouches, learns what the others wrote, takes over from those that are gone, and compares the graph with the rows.
    async fn vouch(&mut self) {
        if !self.reached
            && let Err(error) = self.rows.join(self.me).await
        {
            return self.away(&error);
        }
        if self.refresh().await {
            self.compare().await;
        }
    }

    /// Whether the rows could be read.
    async fn refresh(&mut self) -> bool {
        let Some(servers) = self.refresh_rows().await else {
            return false;
        };
        let gone = if self.is_shared {
            self.peers.see(self.me, &servers, self.leases.now())
        } else {
            servers
                .into_iter()
                .filter(|(server, _)| *server != self.me)
                .collect()
        };
        for (server, beat) in gone {
            self.adopt(server, beat).await;
        }
        true
    }

    /// Learns what was written; the servers that there are. If this one is not among them, it begins anew.
    async fn refresh_rows(&mut self) -> Option<Vec<(ServerId, i64)>> {
        loop {
            let vouched = match self.rows.vouch(self.me, self.seq).await {
                Ok(vouched) => vouched,
                Err(error) => {
                    self.away(&error);
                    return None;
                }
            };
            if !vouched.member {
                self.begin_anew().await?;
                continue;
            }
            self.here();
            let is_all = vouched.changed.len() < LEASE_PAGE;
            self.note(vouched.changed);
            self.seq = vouched.seq;
            if is_all {
                return Some(vouched.servers);
            }
        }
    }

    /// The others took this server for gone: what it held is theirs, and its holders will find their way.
    async fn begin_anew(&mut self) -> Option<()> {
        tracing::warn!(
            leases = self.leases.table.len(),
            "this server did not vouch for its leases in time: others took them over"
        );
        for lease in self.leases.table.values() {
            self.leases.table.release(lease.id);
        }
        self.me = ServerId((self.make_id)());
        self.leases.roster().clear();
        self.seq = 0;
        self.peers.forget();
        match self.rows.join(self.me).await {
            Ok(()) => Some(()),
            Err(error) => {
                self.away(&error);
                None
            }
        }
    }

    /// Takes over the leases of a server that is gone, each with its whole time to live.
    async fn adopt(&mut self, server: ServerId, beat: i64) {
        let Ok(applied) = self.apply(&[Edit::Adopt { server, beat }]).await else {
            return;
        };
        if !applied.changed.is_empty() {
            tracing::info!(
                leases = applied.changed.len(),
                "took over the leases of a server that is gone"
            );
        }
        for row in applied.changed {
            let said = match row.health {
                Health::Unknown | Health::Up => Said::Up,
                Health::Degraded => Said::Degraded,
                Health::Down => Said::Down,
            };
            if let Err(error) = self.hold(row.id, said) {
                tracing::error!(%error, lease = %row.id, "a lease cannot be taken over");
            }
        }
    }

    /// Writes into the rows and takes note of what came of it. Whoever is taken for gone begins anew and writes again:
    /// what it wanted to say of leases that are others' now is refused then.
    async fn apply(&mut self, edits: &[Edit]) -> Result<Applied, LeaseRowsError> {
        let mut applied = self.rows.apply(self.me, edits).await;
        if applied.as_ref().is_ok_and(|applied| !applied.member)
            && self.begin_anew().await.is_some()
        {
            applied = self.rows.apply(self.me, edits).await;
        }
        match &applied {
            Ok(applied) => {
                self.here();
                self.note(applied.changed.clone());
            }
            Err(error) => self.away(error),
        }
        applied
    }

    fn note(&self, rows: Vec<LeaseRow>) {
        let now = self.leases.now();
        let mut roster = self.leases.roster();
        for row in rows {
            if row.gone || row.owner != self.me {
                self.leases.table.release(row.id);
            }
            roster.note(row, now);
        }
    }

    /// Compares what the graph shows with what the rows say, of the services that are this server's to tell.
    async fn compare(&mut self) {
        let now = self.leases.now();
        let judged: Vec<(Name, Option<Health>)> = {
            let mut roster = self.leases.roster();
            roster.forget(now);
            let mine = roster.told_by(self.me).into_iter();
            mine.map(|service| {
                let health = roster.judge(&service, now);
                (service, health)
            })
            .collect()
        };
        let mut differ = HashMap::new();
        let mut absent = BTreeSet::new();
        self.graph.read(|snapshot| {
            for (service, judged) in judged {
                let shown =
                    snapshot
                        .service(service.as_str())
                        .and_then(|entity| match &entity.body {
                            Body::Service(body) => Some(body.health),
                            Body::Placeholder | Body::Plain | Body::Pattern(_) => None,
                        });
                if shown.is_none() {
                    absent.insert(service.clone());
                }
                if judged.is_some() && judged != shown {
                    let times = self.differ.get(&service).map_or(1, |times| times + 1);
                    differ.insert(service, times);
                }
            }
        });
        let due: BTreeSet<Name> = differ
            .iter()
            .filter(|(_, times)| **times >= DIFFERS)
            .map(|(service, _)| service.clone())
            .collect();
        differ.retain(|_, times| *times < DIFFERS);
        self.differ = differ;
        let (ended, told): (BTreeSet<Name>, BTreeSet<Name>) = due
            .into_iter()
            .partition(|service| absent.contains(service));
        self.end_leases_of(&ended).await;
        self.tell(told, "the graph said otherwise than the leases")
            .await;
    }

    /// The leases of services that are not registered any more are over; their holders register again.
    async fn end_leases_of(&mut self, services: &BTreeSet<Name>) {
        if services.is_empty() {
            return;
        }
        let edits: Vec<Edit> = self
            .leases
            .roster()
            .after(None)
            .filter(|row| services.contains(&row.service))
            .map(|row| Edit::Revoke { id: row.id })
            .collect();
        tracing::info!(
            leases = edits.len(),
            "leases of services that are not registered any more are over"
        );
        // If it cannot be written now it is tried again.
        let _ = self.apply(&edits).await;
    }

    /// Says in the graph how these services are, in one transaction where that is possible.
    async fn tell(&mut self, services: BTreeSet<Name>, reason: &str) {
        if services.is_empty() {
            return;
        }
        let now = self.leases.now();
        let mutations: Vec<Mutation> = {
            let mut roster = self.leases.roster();
            let judged = services.into_iter().filter_map(|name| {
                let health = roster.judge(&name, now)?;
                Some(Mutation::SetHealth { name, health })
            });
            judged.collect()
        };
        for chunk in mutations.chunks(MUTATIONS) {
            let transaction = Transaction {
                actor: ACTOR.into(),
                reason: reason.into(),
                time_ms: (self.clock)(),
                ..Transaction::of(chunk.to_vec())
            };
            let told = async {
                let pending = self.graph.submit(transaction).map_err(|e| e.to_string())?;
                let outcome = pending.await.map_err(|e| e.to_string())?;
                outcome.map_err(|e| e.to_string())
            };
            let told = timeout(TELLING, told).await;
            match told.unwrap_or_else(|_| Err("it takes too long".into())) {
                Ok(outcome) => {
                    if outcome.changed {
                        log(chunk, &outcome);
                    }
                }
                Err(error) => {
                    tracing::warn!(
                        error,
                        services = chunk.len(),
                        "what the leases say could not be written yet"
                    );
                    // Next time it is compared it is said.
                    for mutation in chunk {
                        if let Mutation::SetHealth { name, .. } = mutation {
                            self.differ.insert(name.clone(), DIFFERS);
                        }
                    }
                }
            }
        }
    }

    fn tell_of_guard(&self, guard: GuardState) {
        self.metrics
            .lease_guard(matches!(guard, GuardState::Holding { .. }));
        match guard {
            GuardState::Holding { .. } => tracing::warn!(
                leases = self.leases.table.len(),
                "half of the leases fell silent within one time to live: that is more likely this server's own network, \
                 so none lapses for at most 5 minutes"
            ),
            GuardState::GaveUp => tracing::error!(
                "half of the leases have been silent for 5 minutes: they lapse now, together"
            ),
            GuardState::Idle => {
                tracing::info!("most leases call again: those that do not lapse as usual")
            }
        }
    }

    /// The rows can be reached.
    fn here(&mut self) {
        if !self.reached {
            self.reached = true;
            tracing::info!("the rows of the leases can be reached again");
        }
        self.metrics.degraded("leases", false);
        self.leases.note_fault(None);
    }

    /// They cannot. Nothing lapses by it: what was seen meanwhile counts for nothing.
    fn away(&mut self, error: &LeaseRowsError) {
        if self.reached {
            tracing::warn!(%error, "the rows of the leases cannot be reached: none is granted, moved or lapses until they can");
        }
        self.reached = false;
        self.peers.forget();
        self.steward.excuse(self.leases.now());
        self.metrics.degraded("leases", true);
        self.leases.note_fault(Some(error.to_string()));
    }
}

/// What was said of the first few, and of how many more.
fn log(said: &[Mutation], outcome: &Outcome) {
    let revision = outcome.revision;
    for mutation in said.iter().take(NAMED_IN_ERRORS) {
        if let Mutation::SetHealth { name, health } = mutation {
            tracing::info!(service = %name, health = health.as_str(), revision, "told by its leases");
        }
    }
    if said.len() > NAMED_IN_ERRORS {
        let more = said.len() - NAMED_IN_ERRORS;
        tracing::info!(more, revision, "told by their leases");
    }
}

fn answer(command: Command, outcome: Result<(), LeaseError>) {
    // Whoever asked may have gone.
    let _ = command.answer.send(outcome);
}
