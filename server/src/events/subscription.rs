//! A subscriber of a consumer group: it stands by until it is its turn, and is sent what the group has not done yet.
//!
//! Whoever is served says once a second that it lives; on a shared store that moves the row by whose time all servers judge.
//! One that could not say so for a while sends nothing before it has: by then another may be served. What it does to the group
//! carries the number of its turn.
//!
//! A client may be slow, and keeps its turn meanwhile. One that takes no message for too long, or acknowledges nothing of what it
//! was sent, is stuck: this says no more that it lives, and sends nothing until that changes. So it gives way to whoever asks,
//! if anybody does.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, sleep_until, timeout};

use super::error::{EventError, GroupError};
use super::event::Event;
use super::filter::EventFilter;
use super::groups::{Bell, Durable, Group};
use super::log::{Cursor, Events, Place, Sight};

/// How often whoever is served says that it lives, and whoever stands by asks whether it is its turn.
const BEAT: Duration = Duration::from_secs(1);

/// After how long without that nothing is sent: before the others count it as gone.
const UNSURE: Duration = Duration::from_secs(4);

/// How long what was sent may go without an acknowledgement, where nobody says anything else.
pub const ACK_WITHIN: Duration = Duration::from_secs(60);

/// How somebody consumes for a group.
#[derive(Clone)]
pub struct Wanted {
    /// Which events.
    pub filter: EventFilter,
    /// Which of them may be seen; `None` for all.
    pub sight: Option<Sight>,
    /// Where the consumer itself is, if it knows.
    pub from: Option<u64>,
    /// Whether what was sent counts as done.
    pub auto_ack: bool,
    /// How many may be sent that were not acknowledged.
    pub max_unacked: usize,
    /// How long it may take no message, or acknowledge nothing of what it was sent, before it gives way to another one.
    pub ack_within: Duration,
}

impl Default for Wanted {
    fn default() -> Self {
        Self {
            filter: EventFilter::default(),
            sight: None,
            from: None,
            auto_ack: false,
            max_unacked: 0,
            ack_within: ACK_WITHIN,
        }
    }
}

/// What a subscriber is told.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Delivery {
    /// The events, in order.
    pub events: Vec<Arc<Event>>,
    /// All before this place was sent, passed over or lost.
    pub next_offset: u64,
    /// What the log no longer keeps: from, and to without it.
    pub lag: Option<(u64, u64)>,
    /// Whether somebody else is served.
    pub standby: bool,
    /// The number of this turn; 0 where it stands by.
    pub epoch: u32,
}

/// One subscriber of a group.
pub struct Subscription {
    events: Events,
    name: String,
    me: u64,
    wanted: Wanted,
    bell: watch::Receiver<Bell>,
    turn: Option<Turn>,
    /// Whether it was told that it stands by.
    told: bool,
    /// Whether it has asked to be served.
    asked: bool,
    /// How often the group had been put elsewhere when that was answered first.
    seeks: Option<u32>,
}

/// What is known while it is served.
struct Turn {
    epoch: u32,
    group: Arc<Group>,
    cursor: Cursor,
    /// What was sent and is not done, in order.
    sent: VecDeque<u64>,
    /// Up to where what was sent counts as done, once the next message is asked for.
    handed: u64,
    /// Nothing is sent before.
    paused_until: Option<Instant>,
    lived: Instant,
    /// When an acknowledgement came last, or what there is to acknowledge was sent.
    moved: Instant,
    /// Since when there is no room for the next message.
    blocked: Option<Instant>,
    /// Whether it was stuck when it last said something.
    was_stuck: bool,
}

/// What ended a wait.
enum Woken {
    Batch(Result<super::log::EventBatch, EventError>),
    Bell,
    Time,
}

impl Events {
    /// Consumes for a group that exists.
    #[must_use]
    pub fn consume(&self, name: &str, wanted: Wanted) -> Subscription {
        Subscription {
            events: self.clone(),
            name: name.to_owned(),
            me: crate::app::seed() | 1,
            wanted,
            bell: self.groups.listen(name),
            turn: None,
            told: false,
            asked: false,
            seeks: None,
        }
    }
}

impl Subscription {
    /// The next thing to tell; waits while there is none. Dropping the future loses nothing that was not returned.
    ///
    /// # Errors
    /// [`GroupError`]: `NotFound` when the group is deleted.
    pub async fn next(&mut self, limit: usize) -> Result<Delivery, GroupError> {
        if let Some(turn) = &mut self.turn {
            turn.blocked = None;
        }
        loop {
            if self.turn.is_none() {
                if let Some(told) = self.stand_by().await? {
                    return Ok(told);
                }
                continue;
            }
            if let Some(told) = self.serve(limit).await? {
                return Ok(told);
            }
        }
    }

    /// Says that it lives while there is no room for the next message, for as long as it may. Ends with its turn. Dropping the
    /// future loses nothing.
    pub async fn stay(&mut self) {
        if let Some(turn) = &mut self.turn {
            turn.blocked = Some(Instant::now());
        }
        while let Some(turn) = &self.turn {
            sleep_until(turn.lived + BEAT).await;
            if !matches!(self.hear(), Ok(true)) || !matches!(self.live().await, Ok(true)) {
                return;
            }
        }
    }

    /// Asks whether it is its turn, and waits a while where it is not.
    async fn stand_by(&mut self) -> Result<Option<Delivery>, GroupError> {
        self.bell.borrow_and_update();
        let me = self.me;
        let claim = move |edit: &mut super::groups::Edit| {
            let silent = edit.silent;
            let mine = edit.group.claim(me, silent);
            edit.alive |= mine;
            Ok(mine)
        };
        self.asked = true;
        let asked = self.events.groups.change(&self.name, Durable::Now, claim);
        let (mine, group) = asked.await?;
        self.seeks.get_or_insert(group.seeks);
        if mine {
            self.begin(group).await?;
            let turn = self.turn.as_ref();
            return Ok(turn.map(|turn| turn.tell(Vec::new(), None)));
        }
        if !std::mem::replace(&mut self.told, true) {
            return Ok(Some(Delivery {
                next_offset: group.next,
                standby: true,
                ..Delivery::default()
            }));
        }
        // Not at every acknowledgement of whoever is served: many may stand by.
        let is_free = |told: &Bell| match told {
            Bell::Changed(group) => group.holder == 0,
            Bell::Gone => true,
            Bell::Silent => false,
        };
        let _ = timeout(BEAT, self.bell.wait_for(is_free)).await.map(drop);
        Ok(None)
    }

    async fn begin(&mut self, mut group: Arc<Group>) -> Result<(), GroupError> {
        let epoch = group.epoch;
        // Whoever keeps its own place is further than the group knows, where that was not written. That holds until somebody puts
        // the group elsewhere.
        let from = self.wanted.from.filter(|from| *from > group.next);
        if let Some(from) = from.filter(|_| self.seeks == Some(group.seeks)) {
            group = self.ack(epoch, from - 1).await?;
        }
        let at = Place::Offset(group.next);
        let cursor = self.events.cursor(at, self.wanted.filter.clone()).await?;
        let cursor = cursor.seen_by(self.wanted.sight.clone());
        self.told = false;
        self.turn = Some(Turn {
            epoch,
            handed: 0,
            cursor,
            sent: VecDeque::new(),
            paused_until: None,
            lived: Instant::now(),
            moved: Instant::now(),
            blocked: None,
            was_stuck: false,
            group,
        });
        Ok(())
    }

    async fn ack(&self, epoch: u32, offset: u64) -> Result<Arc<Group>, GroupError> {
        let ack = move |edit: &mut super::groups::Edit| {
            edit.group.must_be(epoch)?;
            edit.group.ack(offset);
            edit.alive = true;
            Ok(())
        };
        let acked = self.events.groups.change(&self.name, Durable::Soon, ack);
        Ok(acked.await?.1)
    }

    /// Looks for the next thing to tell. `None`: look again.
    async fn serve(&mut self, limit: usize) -> Result<Option<Delivery>, GroupError> {
        if !self.hear()? || !self.live().await? {
            return Ok(None);
        }
        let Some(turn) = &mut self.turn else {
            return Ok(None);
        };
        let room = self.wanted.max_unacked.saturating_sub(turn.sent.len());
        let stood = turn.cursor.next_offset();
        let beat = turn.lived + BEAT;
        let paused = turn.paused_until.filter(|until| *until > Instant::now());
        let waits = !self.wanted.auto_ack && (room == 0 || turn.is_stuck(self.wanted.ack_within));
        let woken = if waits || paused.is_some() {
            let until = paused.map_or(beat, |until| until.min(beat));
            tokio::select! {
                _ = self.bell.changed() => Woken::Bell,
                () = sleep_until(until) => Woken::Time,
            }
        } else {
            let most = match self.wanted.auto_ack {
                true => limit,
                false => limit.min(room),
            };
            tokio::select! {
                biased;
                _ = self.bell.changed() => Woken::Bell,
                batch = turn.cursor.next(most) => Woken::Batch(batch),
                () = sleep_until(beat) => Woken::Time,
            }
        };
        // A change must be seen before anything else is sent.
        if matches!(woken, Woken::Bell) {
            self.bell.mark_changed();
        }
        let Woken::Batch(batch) = woken else {
            return Ok(None);
        };
        let batch = batch?;
        if turn.lived.elapsed() >= UNSURE {
            // The process stood still meanwhile: somebody else may have been served.
            turn.cursor.seek(stood);
            return Ok(None);
        }
        let mut events = batch.events;
        events.retain(|event| !turn.group.dead.contains(&event.offset));
        if events.is_empty() && batch.lag.is_none() {
            return Ok(turn.progress());
        }
        if let Some((_, to)) = batch.lag {
            turn.sent.retain(|offset| *offset >= to);
        }
        if !self.wanted.auto_ack {
            if turn.sent.is_empty() {
                turn.moved = Instant::now();
            }
            turn.sent.extend(events.iter().map(|event| event.offset));
        }
        turn.handed = batch.next_offset;
        Ok(Some(turn.tell(events, batch.lag)))
    }

    /// Takes up what has become of the group. False where its turn is over.
    fn hear(&mut self) -> Result<bool, GroupError> {
        if !self.bell.has_changed().unwrap_or(true) {
            return Ok(true);
        }
        let told = self.bell.borrow_and_update().clone();
        match told {
            Bell::Gone => Err(GroupError::NotFound(self.name.clone())),
            Bell::Changed(group) => Ok(self.take(group)),
            Bell::Silent => Ok(true),
        }
    }

    fn take(&mut self, group: Arc<Group>) -> bool {
        let Some(turn) = &mut self.turn else {
            return false;
        };
        if group.epoch != turn.epoch || group.holder != self.me {
            if group.version < turn.group.version {
                return true;
            }
            self.turn = None;
            return false;
        }
        if group.version < turn.group.version {
            return true;
        }
        if group.rewinds != turn.group.rewinds {
            // Of several failures between two looks only the last one says where to; the others may be before it.
            let missed = group.rewinds != turn.group.rewinds.wrapping_add(1);
            let to = match missed {
                true => group.next,
                // Somebody may say so of what was never sent; what lies before it is still to come.
                false => group.rewind_to.min(turn.cursor.next_offset()),
            };
            turn.cursor.seek(to);
            turn.sent.retain(|offset| *offset < to);
            turn.handed = 0;
            let until = Instant::now() + group.pause();
            turn.paused_until = Some(until);
            turn.moved = until;
        }
        if group.next > turn.group.next {
            turn.moved = turn.moved.max(Instant::now());
        }
        while turn.sent.front().is_some_and(|sent| *sent < group.next) {
            turn.sent.pop_front();
        }
        // Acknowledged from elsewhere, such as by whoever was served before.
        if turn.cursor.next_offset() < group.next {
            turn.cursor.seek(group.next);
        }
        turn.group = group;
        true
    }

    /// Says that it lives, where that is due, and with it how far it is. False where its turn is over.
    async fn live(&mut self) -> Result<bool, GroupError> {
        let Some(turn) = &self.turn else {
            return Ok(false);
        };
        let done = self.is_done(turn);
        let stuck = turn.is_stuck(self.wanted.ack_within);
        // One that goes on again has not said so: before it has, nothing is sent.
        let due = turn.lived.elapsed() >= BEAT || (turn.was_stuck && !stuck);
        let handed = self.wanted.auto_ack && turn.handed > turn.group.next;
        if !due && !handed {
            return Ok(true);
        }
        let (epoch, began) = (turn.epoch, Instant::now());
        let lived = turn.lived;
        let beat = move |edit: &mut super::groups::Edit| {
            edit.group.must_be(epoch)?;
            if let Some(offset) = done {
                edit.group.ack(offset);
            }
            edit.alive = !stuck;
            Ok(())
        };
        let lives = self.events.groups.change(&self.name, Durable::Soon, beat);
        match lives.await {
            Ok(((), group)) => {
                let mine = self.take(group);
                if let Some(turn) = &mut self.turn {
                    turn.lived = began;
                    turn.was_stuck = stuck;
                }
                Ok(mine)
            }
            Err(GroupError::Stale(_)) => {
                self.turn = None;
                Ok(false)
            }
            // Not reached for a moment; while that lasts, nobody else is served either.
            Err(GroupError::Events(EventError::Unavailable(_))) if lived.elapsed() < UNSURE => {
                Ok(true)
            }
            Err(error) => Err(error),
        }
    }

    /// Up to where the group is done, as far as this side knows: what was handed over where that is enough, and what was passed
    /// over where nothing is open before it.
    fn is_done(&self, turn: &Turn) -> Option<u64> {
        let next = match (self.wanted.auto_ack, turn.sent.is_empty()) {
            (true, _) => turn.handed.max(turn.group.next),
            (false, true) => turn.cursor.next_offset(),
            (false, false) => turn.group.next,
        };
        (next > turn.group.next).then(|| next - 1)
    }
}

impl Turn {
    /// Whether no message was taken, or nothing of what was sent acknowledged, for so long.
    fn is_stuck(&self, patience: Duration) -> bool {
        let unacked = (!self.sent.is_empty()).then_some(self.moved);
        let is_late = |since: Instant| since.elapsed() >= patience;
        unacked.is_some_and(is_late) || self.blocked.is_some_and(is_late)
    }

    fn tell(&self, events: Vec<Arc<Event>>, lag: Option<(u64, u64)>) -> Delivery {
        Delivery {
            events,
            next_offset: self.cursor.next_offset(),
            lag,
            standby: false,
            epoch: self.epoch,
        }
    }

    fn progress(&mut self) -> Option<Delivery> {
        if self.sent.is_empty() {
            self.handed = self.cursor.next_offset();
        }
        Some(self.tell(Vec::new(), None))
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        // Not only within a turn: it may end between being served and knowing of it, and on a store of one server nobody counts
        // as gone by silence.
        if !self.asked {
            return;
        }
        let (groups, name, me) = (self.events.groups.clone(), self.name.clone(), self.me);
        // Whoever stands by need not wait until this one counts as gone.
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(async move {
                let release = move |edit: &mut super::groups::Edit| {
                    edit.group.release(me);
                    Ok(())
                };
                let _ = groups.change(&name, Durable::Soon, release).await;
            });
        }
    }
}
