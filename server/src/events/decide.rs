//! Which events of several batches are new, and what is answered. Pure: the stores tell what they have.

use std::collections::HashMap;

use super::error::EventError;
use super::event::{Appended, Prepared};

/// What a store has of a type and id: where, and what it says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Known {
    pub(super) offset: u64,
    pub(super) content: u64,
}

/// What becomes of batches that share one write.
#[derive(Debug, Default)]
pub(super) struct Decided {
    /// For each batch.
    pub(super) answers: Vec<Result<Vec<Appended>, EventError>>,
    /// Those that are to be written, from `next` on, without a gap.
    pub(super) fresh: Vec<Prepared>,
}

/// Decides batches in their order, where the next place is `next` and the store has `known` of their keys.
///
/// A batch with an event whose type and id are taken by another one is refused alone; the others go on as if it had not come.
pub(super) fn decide(
    batches: Vec<Vec<Prepared>>,
    next: u64,
    known: &HashMap<u64, Known>,
) -> Decided {
    let mut decided = Decided::default();
    let mut here: HashMap<u64, Known> = HashMap::new();
    for batch in batches {
        let mark = decided.fresh.len();
        let mut answer = Vec::with_capacity(batch.len());
        let mut wrong = None;
        for (index, event) in batch.into_iter().enumerate() {
            let there = known.get(&event.key).or_else(|| here.get(&event.key));
            match there {
                Some(there) if there.content == event.content => answer.push(Appended {
                    offset: there.offset,
                    duplicate: true,
                }),
                Some(there) => {
                    let reason = format!(
                        "id {:?} is taken: the event of this type and id, at {}, has another entity, correlation_id or payload",
                        event.event.id, there.offset
                    );
                    wrong = Some(EventError::Invalid { index, reason });
                    break;
                }
                None => {
                    let offset = next + decided.fresh.len() as u64;
                    let content = event.content;
                    here.insert(event.key, Known { offset, content });
                    answer.push(Appended {
                        offset,
                        duplicate: false,
                    });
                    decided.fresh.push(event);
                }
            }
        }
        decided.answers.push(match wrong {
            None => Ok(answer),
            Some(error) => {
                for undone in decided.fresh.drain(mark..) {
                    here.remove(&undone.key);
                }
                Err(error)
            }
        });
    }
    decided
}

#[cfg(test)]
mod tests {
    use super::super::event::NewEvent;
    use super::*;
    use kg_core::model::{Object, Value};

    fn event(id: &str, says: &str) -> Prepared {
        let prepared = Prepared::of(NewEvent {
            id: id.into(),
            kind: "t".into(),
            entity: None,
            correlation: "".into(),
            payload: Object::unit("says".into(), Value::string(says)),
            time_ms: 0,
            actor: "".into(),
        });
        prepared.expect("it is fine")
    }

    fn at(offset: u64, duplicate: bool) -> Appended {
        Appended { offset, duplicate }
    }

    #[test]
    fn a_repetition_has_the_first_place_within_and_between_batches() {
        let known = event("0", "a");
        let known = HashMap::from([(
            known.key,
            Known {
                offset: 3,
                content: known.content,
            },
        )]);
        let batches = vec![
            vec![event("1", "a"), event("0", "a"), event("1", "a")],
            vec![event("1", "a"), event("2", "a")],
        ];
        let decided = decide(batches, 10, &known);
        assert_eq!(
            decided.answers,
            [
                Ok(vec![at(10, false), at(3, true), at(10, true)]),
                Ok(vec![at(10, true), at(11, false)]),
            ]
        );
        assert_eq!(decided.fresh.len(), 2);
    }

    #[test]
    fn a_batch_that_is_refused_leaves_nothing_behind() {
        let batches = vec![
            vec![event("1", "a")],
            vec![event("2", "a"), event("1", "b")],
            vec![event("2", "b")],
        ];
        let decided = decide(batches, 1, &HashMap::new());
        assert_eq!(decided.answers[0], Ok(vec![at(1, false)]));
        assert!(matches!(
            decided.answers[1],
            Err(EventError::Invalid { index: 1, .. })
        ));
        assert_eq!(decided.answers[2], Ok(vec![at(2, false)]));
        let says: Vec<_> = decided
            .fresh
            .iter()
            .map(|e| e.event.id.to_string())
            .collect();
        assert_eq!(says, ["1", "2"]);
    }
}
