//! The keeper of the leases: one task, which alone sweeps the table, writes the rows and says in the graph what follows.
//!
//! It vouches once a second for the leases that call here, by a row of the server's own, and learns with the same question
//! what other servers wrote. A server that does not vouch for five seconds loses its leases to the others, each with a whole
//! time to live; when it goes on it finds that out before it has told anything, and begins anew under another id.
//!
//! What the rows say and what the graph says are two writes. So what follows for the graph is not handed on as an event: it
//! is judged from the rows, said at once, and compared again with every vouching. Whatever was lost on the way is said then.

use super::leases::{Command, LeaseError, Leases, RowChange, Wanted};
use super::peers::Peers;
use crate::metrics::Metrics;
use crate::storage::{Applied, Edit, LEASE_PAGE, LeaseRow, LeaseRows, LeaseRowsError, ServerId};
use kg_core::commit::{Graph, Outcome};
use kg_core::lease::{GuardState, Lease, LeaseId, Said, Steward, Transition};
use kg_core::limits::{LEASES, MUTATIONS, NAMED_IN_ERRORS};
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

/// How long the graph may take to show what is said to it: less than it takes to be taken for gone.
const TELLING: Duration = Duration::from_secs(3);

/// How often this process notes that it is awake.
const AWAKE: Duration = Duration::from_millis(50);

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
    /// Services of which something is to be said that could not be. It is said with the next vouching.
    untold: BTreeSet<Name>,
    /// Whether this server has left its leases to the others for good.
    withdrawn: bool,
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
            untold: BTreeSet::new(),
            withdrawn: false,
            reached: false,
        }
    }

    /// Keeps the leases until `ending` ends, then leaves them to the others.
    pub async fn run(mut self, ending: impl Future<Output = ()>) {
        let Some(mut commands) = self.leases.take_commands() else {
            return;
        };
        let ear = tokio::spawn(listen(self.leases.clone()));
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
        ear.abort();
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

    /// Writes what was asked for, then answers. What is asked twice of one lease is done one after the other.
    async fn carry_out(&mut self, mut commands: Vec<Command>) {
        while !commands.is_empty() {
            let (mut now, mut later, mut ids) = (Vec::new(), Vec::new(), BTreeSet::new());
            for command in commands {
                if !ids.insert(command.change.lease()) {
                    later.push(command);
                } else if let Err(error) = self.may(&command.change) {
                    answer(command, Err(error));
                } else {
                    now.push(command);
                }
            }
            self.carry_out_together(now).await;
            commands = later;
        }
    }

    /// Before a row is written: a lease that this server could not hold would be judged by nobody.
    fn may(&self, change: &RowChange) -> Result<(), LeaseError> {
        if let Some(why) = self.graph.poisoned() {
            return Err(LeaseError::Unavailable(why.to_string()));
        }
        let table = &self.leases.table;
        match change {
            RowChange::Grant(Wanted { id, .. }) | RowChange::Take(id, _)
                if table.is_full() && table.get(*id).is_none() =>
            {
                Err(LeaseError::Full(format!(
                    "this server holds {LEASES} leases: call another one"
                )))
            }
            RowChange::Grant(_) | RowChange::Take(..) | RowChange::Revoke(_) => Ok(()),
        }
    }

    async fn carry_out_together(&mut self, commands: Vec<Command>) {
        if commands.is_empty() {
            return;
        }
        let mut edits = Vec::with_capacity(commands.len());
        for command in &commands {
            match &command.change {
                RowChange::Grant(wanted) => edits.push(Edit::Grant {
                    id: wanted.id,
                    service: wanted.service.clone(),
                    ttl_ms: wanted.ttl_ms,
                }),
                RowChange::Take(id, _) => edits.push(Edit::Take { id: *id }),
                // Down first, and gone once the graph says so: a row that is there is compared with the graph until then.
                RowChange::Revoke(id) => edits.extend([
                    Edit::Take { id: *id },
                    Edit::Show {
                        id: *id,
                        health: Health::Down,
                    },
                ]),
            }
        }
        let applied = match self.apply(&edits).await {
            Ok(applied) => applied,
            Err(error) => {
                let fail = |command| answer(command, Err(told(&error)));
                return commands.into_iter().for_each(fail);
            }
        };
        let refused: BTreeSet<LeaseId> = applied.refused.into_iter().collect();
        let mut services: BTreeSet<Name> =
            applied.changed.into_iter().map(|row| row.service).collect();
        for command in &commands {
            match &command.change {
                RowChange::Grant(Wanted { id, said, .. }) | RowChange::Take(id, said)
                    if !refused.contains(id) =>
                {
                    self.hold(*id, *said);
                }
                RowChange::Grant(_) | RowChange::Take(..) | RowChange::Revoke(_) => {}
            }
        }
        // A fresh lease is swept at once: its holder is told when its service is shown to be up.
        services.extend(self.swept().await);
        self.tell(services, "leases were granted or revoked").await;
        let ended = self.end_leases(&commands).await;
        for command in commands {
            let outcome = match &command.change {
                RowChange::Grant(wanted) if refused.contains(&wanted.id) => Err(LeaseError::Reused),
                RowChange::Take(id, _) if refused.contains(id) => Err(LeaseError::Gone(*id)),
                RowChange::Grant(_) | RowChange::Take(..) => Ok(()),
                RowChange::Revoke(id) => match &ended {
                    Ok(unknown) if unknown.contains(id) => Err(LeaseError::Gone(*id)),
                    Ok(_) => Ok(()),
                    Err(error) => Err(LeaseError::Unavailable(error.clone())),
                },
            };
            answer(command, outcome);
        }
    }

    /// Ends the leases that are to be revoked, now that the graph says what follows; those that nobody knows. Where it could
    /// not be said they go on, and are to be revoked again.
    async fn end_leases(&mut self, commands: &[Command]) -> Result<BTreeSet<LeaseId>, String> {
        let revoked = |command: &Command| match command.change {
            RowChange::Revoke(id) => Some(id),
            RowChange::Grant(_) | RowChange::Take(..) => None,
        };
        let ids: Vec<LeaseId> = commands.iter().filter_map(revoked).collect();
        if ids.is_empty() {
            return Ok(BTreeSet::new());
        }
        let edits: Vec<Edit> = ids.iter().map(|id| Edit::Revoke { id: *id }).collect();
        let done = if self.untold.is_empty() {
            self.apply(&edits).await.map_err(|error| error.to_string())
        } else {
            Err("what follows from it could not be written to the graph".into())
        };
        if done.is_err() {
            // Its row says DOWN, and its holder may go on calling.
            ids.iter().for_each(|id| self.hold(*id, Said::Up));
        }
        done.map(|applied| applied.refused.into_iter().collect())
    }

    /// From now on this server judges the lease, which is its own, beginning with a whole time to live.
    fn hold(&self, id: LeaseId, said: Said) {
        let row = self.leases.roster().row(id).cloned();
        if let Some(row) = row.filter(|row| row.owner == self.me) {
            let now = self.leases.now();
            let lease = Lease::new(id, row.service, row.ttl_ms, now, said, row.health);
            self.leases.table.take_over(lease);
        }
    }

    async fn sweep(&mut self) {
        let services = self.swept().await;
        self.tell(services, "leases lapsed, or came back, or said so")
            .await;
    }

    /// Sweeps the table and writes what changed into the rows; the services of which something changed.
    async fn swept(&mut self) -> BTreeSet<Name> {
        let now = self.leases.now();
        let deaf_ms = self.leases.ear.deaf_ms(now);
        let sweep = self.steward.sweep_after(&self.leases.table, now, deaf_ms);
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
        // Not before the graph says that they are down.
        if self.untold.is_empty() {
            edits.extend(sweep.forgotten.iter().map(|id| Edit::Revoke { id: *id }));
        }
        if edits.is_empty() {
            return BTreeSet::new();
        }
        match self.apply(&edits).await {
            Ok(applied) => {
                for id in &applied.refused {
                    self.leases.table.release(*id);
                }
                let shown = |one: &&Transition| !applied.refused.contains(&one.id);
                for one in sweep.transitions.iter().filter(shown) {
                    self.metrics.lease_transition(one.to);
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
        let poison = self.graph.poisoned().map(ToString::to_string);
        if let Some(why) = poison {
            return self.withdraw(why).await;
        }
        if self.refresh().await {
            self.compare().await;
        }
    }

    /// A server that can say nothing in the graph any more leaves its leases to the others.
    async fn withdraw(&mut self, why: String) {
        if self.withdrawn {
            return;
        }
        self.withdrawn = true;
        self.release_all();
        self.metrics.degraded("leases", true);
        self.leases.note_fault(Some(why));
        if let Err(error) = self.rows.leave(self.me).await {
            tracing::debug!(%error, "the others find out by themselves");
        }
    }

    fn release_all(&self) {
        for lease in self.leases.table.values() {
            self.leases.table.release(lease.id);
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
        let mut is_new = false;
        loop {
            let vouched = match self.rows.vouch(self.me, self.seq).await {
                // Rows that end before what is known of them were set back: whatever is known is of another past.
                Err(LeaseRowsError::Broken(_)) if self.seq > 0 => None,
                Ok(vouched) => vouched.member.then_some(vouched),
                Err(error) => {
                    self.away(&error);
                    return None;
                }
            };
            let Some(vouched) = vouched else {
                // Once: one who is put out again at once tries again with the next vouching.
                if std::mem::replace(&mut is_new, true) {
                    return None;
                }
                self.begin_anew().await?;
                continue;
            };
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
            "this server is no longer known among the leases: others took over what called it"
        );
        self.release_all();
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

    /// Takes note of rows as they are. Whatever is this server's own it judges, however it came by it: also where the answer to
    /// its own change was lost.
    fn note(&self, rows: Vec<LeaseRow>) {
        let now = self.leases.now();
        for row in rows {
            let (id, health, is_mine) = (row.id, row.health, !row.gone && row.owner == self.me);
            self.leases.roster().note(row, now);
            if !is_mine {
                self.leases.table.release(id);
            } else if self.leases.table.get(id).is_none() {
                let said = match health {
                    Health::Unknown | Health::Up => Said::Up,
                    Health::Degraded => Said::Degraded,
                    Health::Down => Said::Down,
                };
                self.hold(id, said);
            }
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
        let (ended, mut told): (BTreeSet<Name>, BTreeSet<Name>) = due
            .into_iter()
            .partition(|service| absent.contains(service));
        told.append(&mut self.untold);
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
                    for mutation in chunk {
                        if let Mutation::SetHealth { name, .. } = mutation {
                            self.untold.insert(name.clone());
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

/// Notes that this process is awake, also while the keeper waits for what it writes.
async fn listen(leases: Arc<Leases>) {
    let mut every = interval(AWAKE);
    every.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        every.tick().await;
        leases.ear.hear(leases.now());
    }
}

fn told(error: &LeaseRowsError) -> LeaseError {
    match error {
        LeaseRowsError::Full(why) => LeaseError::Full(why.clone()),
        LeaseRowsError::Unavailable(_) | LeaseRowsError::Broken(_) => {
            LeaseError::Unavailable(error.to_string())
        }
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
