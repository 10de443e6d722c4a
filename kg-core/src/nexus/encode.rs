//! Lines as bytes: a protobuf message, because old journals must stay readable, and a version, because a server that meets one
//! that it does not know must stop there and say so. Values are canonical JSON inside it.
//!
//! One flat message for all kinds of line: a field that a kind does not use costs nothing, and most lines have three.

use std::sync::Arc;

use prost::Message;

use super::journal::{Failure, Line, What};
use super::state::RunState;
use crate::model::value::object_json;
use crate::model::{Object, Value};

/// The version that this program writes.
pub const LINE_VERSION: u32 = 1;

/// Why bytes are no line.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadLine {
    /// They are damaged.
    #[error("a line of the run is damaged: {0}")]
    Damaged(String),
    /// Another version of this program wrote them.
    #[error("a line of the run has version {0}, this program knows versions up to {LINE_VERSION}")]
    UnknownVersion(u32),
}

#[derive(Clone, PartialEq, prost::Message)]
struct Wire {
    #[prost(uint32, tag = "1")]
    version: u32,
    #[prost(uint32, tag = "2")]
    seq: u32,
    #[prost(uint64, tag = "3")]
    time_ms: u64,
    #[prost(uint32, tag = "4")]
    epoch: u32,
    #[prost(uint32, tag = "5")]
    kind: u32,
    #[prost(uint32, tag = "6")]
    step: u32,
    #[prost(uint32, tag = "7")]
    attempt: u32,
    #[prost(uint32, tag = "8")]
    index: u32,
    #[prost(uint64, tag = "9")]
    at_ms: u64,
    #[prost(uint32, tag = "10")]
    state: u32,
    /// Who, or why.
    #[prost(string, tag = "11")]
    text: String,
    #[prost(string, tag = "12")]
    reason: String,
    #[prost(message, optional, tag = "13")]
    failure: Option<WireFailure>,
    #[prost(string, tag = "14")]
    value: String,
}

#[derive(Clone, PartialEq, prost::Message)]
struct WireFailure {
    #[prost(string, tag = "1")]
    code: String,
    #[prost(string, tag = "2")]
    message: String,
}

/// The numbers of the kinds of line. They are for ever.
mod kind {
    pub(super) const RUN_STARTED: u32 = 1;
    pub(super) const TAKEN_OVER: u32 = 2;
    pub(super) const STEP_STARTED: u32 = 3;
    pub(super) const ITEM_SUCCEEDED: u32 = 4;
    pub(super) const STEP_RETRYING: u32 = 5;
    pub(super) const STEP_SUCCEEDED: u32 = 6;
    pub(super) const STEP_FAILED: u32 = 7;
    pub(super) const STEP_SKIPPED: u32 = 8;
    pub(super) const STEP_CANCELLED: u32 = 9;
    pub(super) const CANCEL_ASKED: u32 = 10;
    pub(super) const COMPENSATIONS_BEGAN: u32 = 11;
    pub(super) const COMPENSATION_STARTED: u32 = 12;
    pub(super) const COMPENSATION_RETRYING: u32 = 13;
    pub(super) const COMPENSATION_SUCCEEDED: u32 = 14;
    pub(super) const COMPENSATION_FAILED: u32 = 15;
    pub(super) const RUN_ENDED: u32 = 16;
}

/// The numbers of the states of a run. They are for ever.
const STATES: [(u32, RunState); 6] = [
    (1, RunState::Queued),
    (2, RunState::Running),
    (3, RunState::Compensating),
    (4, RunState::Succeeded),
    (5, RunState::Failed),
    (6, RunState::Cancelled),
];

impl Line {
    /// The bytes that a store keeps.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut wire = Wire {
            version: LINE_VERSION,
            seq: self.seq,
            time_ms: self.time_ms,
            epoch: self.epoch,
            step: self.what.step().map_or(0, number),
            attempt: self.what.attempt().unwrap_or(0),
            failure: self.what.failure().map(|failure| WireFailure {
                code: failure.code.to_string(),
                message: failure.message.to_string(),
            }),
            ..Wire::default()
        };
        wire.kind = match &self.what {
            What::RunStarted => kind::RUN_STARTED,
            What::TakenOver { server } => {
                wire.text = server.to_string();
                kind::TAKEN_OVER
            }
            What::StepStarted { .. } => kind::STEP_STARTED,
            What::ItemSucceeded { index, result, .. } => {
                wire.index = *index;
                wire.value = result.to_json();
                kind::ITEM_SUCCEEDED
            }
            What::StepRetrying { at_ms, .. } => {
                wire.at_ms = *at_ms;
                kind::STEP_RETRYING
            }
            What::StepSucceeded { result, .. } => {
                wire.value = result.to_json();
                kind::STEP_SUCCEEDED
            }
            What::StepFailed { .. } => kind::STEP_FAILED,
            What::StepSkipped { why, .. } => {
                wire.text = why.to_string();
                kind::STEP_SKIPPED
            }
            What::StepCancelled { .. } => kind::STEP_CANCELLED,
            What::CancelAsked { actor, reason } => {
                wire.text = actor.to_string();
                wire.reason = reason.to_string();
                kind::CANCEL_ASKED
            }
            What::CompensationsBegan { ending, .. } => {
                wire.state = state_number(*ending);
                kind::COMPENSATIONS_BEGAN
            }
            What::CompensationStarted { .. } => kind::COMPENSATION_STARTED,
            What::CompensationRetrying { at_ms, .. } => {
                wire.at_ms = *at_ms;
                kind::COMPENSATION_RETRYING
            }
            What::CompensationSucceeded { .. } => kind::COMPENSATION_SUCCEEDED,
            What::CompensationFailed { .. } => kind::COMPENSATION_FAILED,
            What::RunEnded { state, outputs, .. } => {
                wire.state = state_number(*state);
                wire.value = object_json(outputs);
                kind::RUN_ENDED
            }
        };
        wire.encode_to_vec()
    }

    /// The line that these bytes are.
    ///
    /// # Errors
    /// Bytes that are none, or that another version wrote.
    pub fn decode(bytes: &[u8]) -> Result<Self, BadLine> {
        let wire = Wire::decode(bytes).map_err(|error| BadLine::Damaged(error.to_string()))?;
        if wire.version != LINE_VERSION {
            return Err(BadLine::UnknownVersion(wire.version));
        }
        Ok(Self {
            seq: wire.seq,
            time_ms: wire.time_ms,
            epoch: wire.epoch,
            what: what(wire)?,
        })
    }
}

fn what(wire: Wire) -> Result<What, BadLine> {
    let step = wire.step as usize;
    let (attempt, at_ms) = (wire.attempt, wire.at_ms);
    let failure = wire
        .failure
        .map(|failure| Failure::new(&failure.code, failure.message));
    let failed = || {
        failure
            .clone()
            .ok_or_else(|| damaged("it tells no failure"))
    };
    let text: Arc<str> = wire.text.into();
    Ok(match wire.kind {
        kind::RUN_STARTED => What::RunStarted,
        kind::TAKEN_OVER => What::TakenOver { server: text },
        kind::STEP_STARTED => What::StepStarted { step, attempt },
        kind::ITEM_SUCCEEDED => What::ItemSucceeded {
            step,
            index: wire.index,
            result: value(&wire.value)?,
        },
        kind::STEP_RETRYING => What::StepRetrying {
            step,
            attempt,
            failure: failed()?,
            at_ms,
        },
        kind::STEP_SUCCEEDED => What::StepSucceeded {
            step,
            result: value(&wire.value)?,
        },
        kind::STEP_FAILED => What::StepFailed {
            step,
            failure: failed()?,
        },
        kind::STEP_SKIPPED => What::StepSkipped { step, why: text },
        kind::STEP_CANCELLED => What::StepCancelled { step },
        kind::CANCEL_ASKED => What::CancelAsked {
            actor: text,
            reason: wire.reason.into(),
        },
        kind::COMPENSATIONS_BEGAN => What::CompensationsBegan {
            ending: state(wire.state)?,
            failure: failed()?,
        },
        kind::COMPENSATION_STARTED => What::CompensationStarted { step, attempt },
        kind::COMPENSATION_RETRYING => What::CompensationRetrying {
            step,
            attempt,
            failure: failed()?,
            at_ms,
        },
        kind::COMPENSATION_SUCCEEDED => What::CompensationSucceeded { step },
        kind::COMPENSATION_FAILED => What::CompensationFailed {
            step,
            failure: failed()?,
        },
        kind::RUN_ENDED => What::RunEnded {
            state: state(wire.state)?,
            failure,
            outputs: object(&wire.value)?,
        },
        other => return Err(damaged(&format!("its kind is {other}"))),
    })
}

fn damaged(reason: &str) -> BadLine {
    BadLine::Damaged(reason.to_owned())
}

/// A pattern has far fewer steps than 2^32.
fn number(step: usize) -> u32 {
    u32::try_from(step).unwrap_or(u32::MAX)
}

fn state_number(state: RunState) -> u32 {
    let number = STATES.iter().find(|(_, one)| *one == state);
    number.map_or(0, |(number, _)| *number)
}

fn state(number: u32) -> Result<RunState, BadLine> {
    let state = STATES.iter().find(|(one, _)| *one == number);
    state
        .map(|(_, state)| *state)
        .ok_or_else(|| damaged(&format!("it tells the state {number}")))
}

fn value(json: &str) -> Result<Value, BadLine> {
    Value::from_json(json.as_bytes()).map_err(|fault| damaged(&fault.to_string()))
}

fn object(json: &str) -> Result<Object, BadLine> {
    match value(json)? {
        Value::Object(members) => Ok(members),
        other => Err(damaged(&format!("its outputs are {}", other.type_name()))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// One line of each kind, with everything that it can hold.
    fn every_kind() -> Vec<What> {
        let failure = || Failure::new("UNAVAILABLE", "grün \"quoted\"");
        let result = Value::from_json(r#"{"a":[1,-0.0,null,"ü"],"b":{}}"#.as_bytes());
        let result = result.expect("JSON");
        let outputs = result.as_object().expect("an object").clone();
        let (step, attempt, at_ms) = (7, 3, u64::MAX);
        vec![
            What::RunStarted,
            What::TakenOver { server: "s".into() },
            What::StepStarted { step, attempt },
            What::ItemSucceeded {
                step,
                index: 9,
                result: result.clone(),
            },
            What::StepRetrying {
                step,
                attempt,
                failure: failure(),
                at_ms,
            },
            What::StepSucceeded { step, result },
            What::StepFailed {
                step,
                failure: failure(),
            },
            What::StepSkipped {
                step,
                why: "why".into(),
            },
            What::StepCancelled { step },
            What::CancelAsked {
                actor: "a".into(),
                reason: "r".into(),
            },
            What::CompensationsBegan {
                ending: RunState::Cancelled,
                failure: failure(),
            },
            What::CompensationStarted { step, attempt },
            What::CompensationRetrying {
                step,
                attempt,
                failure: failure(),
                at_ms,
            },
            What::CompensationSucceeded { step },
            What::CompensationFailed {
                step,
                failure: failure(),
            },
            What::RunEnded {
                state: RunState::Failed,
                failure: Some(failure()),
                outputs,
            },
            What::RunEnded {
                state: RunState::Succeeded,
                failure: None,
                outputs: Object::new(),
            },
        ]
    }

    fn line(what: What) -> Line {
        Line {
            seq: 5,
            time_ms: 1_700_000_000_000,
            epoch: 2,
            what,
        }
    }

    #[test]
    fn every_kind_of_line_comes_back_as_it_was() {
        for what in every_kind() {
            let line = line(what);
            assert_eq!(Line::decode(&line.encode()), Ok(line));
        }
    }

    #[test]
    fn a_later_version_is_told_and_not_guessed_at() {
        let wire = Wire {
            version: 2,
            kind: 99,
            ..Wire::default()
        };
        assert_eq!(
            Line::decode(&wire.encode_to_vec()),
            Err(BadLine::UnknownVersion(2))
        );
    }

    proptest! {
        #[test]
        fn damaged_bytes_are_an_error_and_never_a_panic(
            kind in 0..17_usize, at in 0..200_usize, bit in 0..8_u8, cut in 0..200_usize,
        ) {
            let mut bytes = line(every_kind()[kind].clone()).encode();
            let end = bytes.len();
            bytes[at % end] ^= 1 << bit;
            let _ = Line::decode(&bytes);
            bytes.truncate(cut % end);
            let _ = Line::decode(&bytes);
        }
    }
}
