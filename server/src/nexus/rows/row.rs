//! A run's row, as it is read, and how parts of it are kept.

use std::sync::Arc;

use kg_core::nexus::RunState;
use prost::Message;

use super::{RunId, RunKey, RunRowsError};
use crate::auth::UserId;
use crate::storage::{Row, ServerId};
use crate::users::KeyId;

/// How it is known with whose rights a run acts.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub enum OwnerId {
    /// It was begun where nobody has to sign in.
    #[default]
    Nobody,
    /// A user.
    User(UserId),
    /// One of a user's keys.
    Key(UserId, KeyId),
}

/// What is known of a run from its beginning.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct About {
    /// The name of its pattern.
    pub pattern: Arc<str>,
    /// That one's version, as its authors wrote it.
    pub pattern_version: String,
    /// The revision that last changed the definition.
    pub pattern_revision: u64,
    /// The revision of the graph at which it began.
    pub graph_revision: u64,
    /// The place of the next event when it began.
    pub event_offset: u64,
    /// By whom it was begun, as records name them.
    pub actor: Arc<str>,
    /// With whose rights it acts.
    pub owner: OwnerId,
    /// Why it was begun.
    pub reason: String,
    /// What it and its events are found by.
    pub correlation: Arc<str>,
    /// The run that it is a step of; empty: none.
    pub parent: Arc<str>,
    /// That step.
    pub parent_step: Arc<str>,
    /// How many runs it is within.
    pub depth: u32,
    /// How many steps it has.
    pub steps_total: u32,
    /// When it was begun, in milliseconds since 1970.
    pub created_ms: u64,
}

impl About {
    /// The user who began it; empty: nobody who is known.
    #[must_use]
    pub fn begun_by(&self) -> &str {
        match &self.owner {
            OwnerId::Nobody => "",
            OwnerId::User(user) | OwnerId::Key(user, _) => &user.0,
        }
    }
}

/// Somebody wants a run to end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cancel {
    /// Who.
    pub actor: Arc<str>,
    /// Why; may be empty.
    pub reason: Arc<str>,
}

/// A run's row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunRow {
    /// Its place among all.
    pub key: RunKey,
    /// Its id.
    pub id: RunId,
    /// What is known of it from its beginning.
    pub about: About,
    /// The server that carries it out.
    pub server: ServerId,
    /// How often it changed hands, and one.
    pub epoch: u32,
    /// How it is doing.
    pub state: RunState,
    /// How many lines its journal has.
    pub last_seq: u32,
    /// How many of its steps have ended.
    pub steps_done: u32,
    /// The code of what failed.
    pub code: String,
    /// What is wrong.
    pub message: String,
    /// When it ended.
    pub ended_ms: Option<u64>,
    /// Who wants it to end.
    pub cancel: Option<Cancel>,
    /// Whether its end was announced.
    pub told: bool,
}

/// The columns of [`run`], of the table `r`.
macro_rules! columns {
    () => {
        "r.run, r.id, r.pattern, r.actor, r.correlation, r.parent, r.about, r.owner, r.epoch, r.state, r.last_seq, r.steps_done, \
         r.code, r.message, r.created_ms, r.ended_ms, r.cancel_actor, r.cancel_reason, r.told"
    };
}
pub(super) use columns;

/// How many they are.
pub(super) const COLUMNS: usize = 19;

pub(super) fn run(row: &Row) -> Result<RunRow, RunRowsError> {
    let kept = Rest::decode(&*row.bytes(6)?).map_err(|e| broken(&e))?;
    let cancel = row.maybe_text(16)?.map(|actor| {
        Ok::<_, RunRowsError>(Cancel {
            actor: actor.into(),
            reason: row.maybe_text(17)?.unwrap_or_default().into(),
        })
    });
    Ok(RunRow {
        key: RunKey(row.number(0)?),
        id: RunId(row.text(1)?.into()),
        about: About {
            pattern: row.text(2)?.into(),
            actor: row.text(3)?.into(),
            correlation: row.text(4)?.into(),
            parent: row.text(5)?.into(),
            created_ms: row.number(14)?,
            owner: kept.owner(),
            pattern_version: kept.pattern_version,
            pattern_revision: kept.pattern_revision,
            graph_revision: kept.graph_revision,
            event_offset: kept.event_offset,
            reason: kept.reason,
            parent_step: kept.parent_step.into(),
            depth: kept.depth,
            steps_total: kept.steps_total,
        },
        server: ServerId(row.signed(7)?.cast_unsigned()),
        epoch: small(row.number(8)?)?,
        state: state(row.number(9)?)?,
        last_seq: small(row.number(10)?)?,
        steps_done: small(row.number(11)?)?,
        code: row.text(12)?,
        message: row.text(13)?,
        ended_ms: row.maybe_number(15)?,
        cancel: cancel.transpose()?,
        told: row.number(18)? > 0,
    })
}

/// What has no column of its own.
#[derive(Clone, PartialEq, Message)]
struct Rest {
    #[prost(string, tag = "1")]
    pattern_version: String,
    #[prost(uint64, tag = "2")]
    pattern_revision: u64,
    #[prost(uint64, tag = "3")]
    graph_revision: u64,
    #[prost(uint64, tag = "4")]
    event_offset: u64,
    #[prost(string, tag = "5")]
    user: String,
    #[prost(string, tag = "6")]
    key: String,
    #[prost(string, tag = "7")]
    reason: String,
    #[prost(string, tag = "8")]
    parent_step: String,
    #[prost(uint32, tag = "9")]
    depth: u32,
    #[prost(uint32, tag = "10")]
    steps_total: u32,
}

impl Rest {
    fn owner(&self) -> OwnerId {
        let user = || UserId(self.user.as_str().into());
        match (self.user.is_empty(), self.key.is_empty()) {
            (true, _) => OwnerId::Nobody,
            (false, true) => OwnerId::User(user()),
            (false, false) => OwnerId::Key(user(), KeyId(self.key.as_str().into())),
        }
    }
}

/// The parts of a run that have no column of their own.
pub(super) fn rest(about: &About) -> Vec<u8> {
    let key = match &about.owner {
        OwnerId::Key(_, key) => key.0.to_string(),
        OwnerId::Nobody | OwnerId::User(_) => String::new(),
    };
    let rest = Rest {
        pattern_version: about.pattern_version.clone(),
        pattern_revision: about.pattern_revision,
        graph_revision: about.graph_revision,
        event_offset: about.event_offset,
        user: about.begun_by().to_owned(),
        key,
        reason: about.reason.clone(),
        parent_step: about.parent_step.to_string(),
        depth: about.depth,
        steps_total: about.steps_total,
    };
    rest.encode_to_vec()
}

/// The number by which a state is kept: that of the wire.
pub(super) fn number(state: RunState) -> u64 {
    match state {
        RunState::Queued => 1,
        RunState::Running => 2,
        RunState::Compensating => 3,
        RunState::Succeeded => 4,
        RunState::Failed => 5,
        RunState::Cancelled => 6,
    }
}

fn state(number: u64) -> Result<RunState, RunRowsError> {
    Ok(match number {
        1 => RunState::Queued,
        2 => RunState::Running,
        3 => RunState::Compensating,
        4 => RunState::Succeeded,
        5 => RunState::Failed,
        6 => RunState::Cancelled,
        _ => return Err(broken(&format!("the state {number}"))),
    })
}

/// Lines that are kept together, each behind its length.
pub(super) fn framed(lines: &[Vec<u8>], body: &mut Vec<u8>) {
    for line in lines {
        // A line is bounded by what a message may hold.
        body.extend_from_slice(&(line.len() as u32).to_le_bytes());
        body.extend_from_slice(line);
    }
}

pub(super) fn frames(mut body: &[u8], lines: &mut Vec<Vec<u8>>) -> Result<(), RunRowsError> {
    while let Some((length, rest)) = body.split_first_chunk::<4>() {
        let length = u32::from_le_bytes(*length) as usize;
        let line = rest.get(..length).ok_or_else(|| broken(&"a line is cut"))?;
        lines.push(line.to_vec());
        body = &rest[length..];
    }
    if body.is_empty() {
        Ok(())
    } else {
        Err(broken(&"a line is cut"))
    }
}

fn small(number: u64) -> Result<u32, RunRowsError> {
    u32::try_from(number).map_err(|e| broken(&e))
}

fn broken(what: &dyn std::fmt::Display) -> RunRowsError {
    RunRowsError::Broken(what.to_string())
}
