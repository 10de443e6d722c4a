//! Security events, as the store gives them back.

use crate::auth::Outcome;

/// The place of an event among all others; 0 is before the first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EventId(pub u64);

/// An event that was kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PastEvent {
    /// When, in milliseconds since 1970.
    pub time_ms: u64,
    /// Who; empty for nobody who had signed in.
    pub actor: String,
    /// From where.
    pub source: String,
    /// What.
    pub action: String,
    /// On what.
    pub resource: String,
    /// How it ended.
    pub outcome: Outcome,
    /// Why.
    pub reason: String,
}

/// Which events are wanted. All that is given has to hold.
#[derive(Clone, Debug, Default)]
pub struct EventFilter {
    /// From this time on, in milliseconds since 1970.
    pub from_ms: Option<u64>,
    /// Before this time, in milliseconds since 1970.
    pub until_ms: Option<u64>,
    /// Of this principal; empty: of anybody.
    pub actor: String,
    /// Of this kind; empty: of any.
    pub action: String,
    /// Of this outcome.
    pub outcome: Option<Outcome>,
}
