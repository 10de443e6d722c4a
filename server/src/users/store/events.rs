//! Security events in the store. Their numbers become visible in their order, so whoever has read up to one of them missed
//! nothing before it.

use super::super::error::UserError;
use super::super::event::{EventFilter, EventId, PastEvent};
use super::super::rows::{Row, Work, values};
use super::{UserStore, each};
use crate::auth::{Event, Outcome};

/// Events that are kept at most.
pub const EVENTS: u64 = 1_000_000;

/// How long they are kept.
pub const KEPT_MS: u64 = 90 * 24 * 60 * 60 * 1_000;

/// Events that are removed at once, when others are added; more than are added at once, so that it comes to an end.
const REMOVED_AT_ONCE: u64 = 20_000;

/// Bytes of one text of an event. The rest of a longer one is left out, and that is said.
const TEXT_BYTES: usize = 1_024;

impl UserStore {
    /// Keeps events, in their order.
    ///
    /// # Errors
    /// [`UserError`].
    pub async fn append_events(&self, events: &[Event]) -> Result<(), UserError> {
        let Some(newest_ms) = events.iter().map(|event| event.time_ms).max() else {
            return Ok(());
        };
        let events = events.to_vec();
        let work: Work<()> = Box::new(move |tx| {
            Box::pin(async move {
                let first = tx.state()?.event + 1;
                let last = first - 1 + events.len() as u64;
                let sql = "INSERT INTO amadeus_events (id, time_ms, actor, source, action, resource, outcome, reason) \
                    VALUES ($1, $2, $3, $4, $5, $6, $7, $8)";
                for (id, event) in (first..).zip(&events) {
                    let values = values![
                        id,
                        event.time_ms,
                        cut(&event.actor),
                        cut(&event.source),
                        event.action,
                        cut(&event.resource),
                        name(event.outcome),
                        cut(&event.reason)
                    ];
                    tx.run(sql, values).await?;
                }
                tx.run("UPDATE amadeus_user_state SET event = $1", values![last])
                    .await?;
                // Two statements, each with an index of its own to look into.
                let too_many = "DELETE FROM amadeus_events WHERE id IN ( \
                        SELECT id FROM amadeus_events WHERE id <= $1 ORDER BY id LIMIT $2 \
                    )";
                let too_old = "DELETE FROM amadeus_events WHERE id IN ( \
                        SELECT id FROM amadeus_events WHERE time_ms < $1 ORDER BY time_ms LIMIT $2 \
                    )";
                for (sql, before) in [
                    (too_many, last.saturating_sub(EVENTS)),
                    (too_old, newest_ms.saturating_sub(KEPT_MS)),
                ] {
                    tx.run(sql, values![before, REMOVED_AT_ONCE]).await?;
                }
                Ok(())
            })
        });
        self.0.rows.write(work).await
    }

    /// The event that was kept last.
    ///
    /// # Errors
    /// [`UserError`].
    pub async fn last_event(&self) -> Result<EventId, UserError> {
        let rows = self
            .0
            .rows
            .read("SELECT event FROM amadeus_user_state", Vec::new())
            .await?;
        match rows.first() {
            Some(row) => row.number(0).map(EventId),
            None => Err(UserError::Broken("the row of their state is gone".into())),
        }
    }

    /// Events in their order, after one of them.
    ///
    /// # Errors
    /// [`UserError`].
    pub async fn events(
        &self,
        filter: &EventFilter,
        after: EventId,
        limit: usize,
    ) -> Result<Vec<(EventId, PastEvent)>, UserError> {
        let sql = "SELECT id, time_ms, actor, source, action, resource, outcome, reason FROM amadeus_events \
            WHERE id > $1 AND time_ms >= $2 AND time_ms < $3 AND ($4 = '' OR actor = $4) \
            AND ($5 = '' OR action = $5) AND ($6 = '' OR outcome = $6) ORDER BY id LIMIT $7";
        let values = values![
            after.0,
            filter.from_ms.unwrap_or_default(),
            filter.until_ms.unwrap_or(u64::MAX),
            &*filter.actor,
            &*filter.action,
            filter.outcome.map_or("", name),
            limit
        ];
        each(&self.0.rows.read(sql, values).await?, event)
    }
}

fn event(row: &Row) -> Result<(EventId, PastEvent), UserError> {
    let outcome = match &*row.text(6)? {
        "done" => Outcome::Done,
        "refused" => Outcome::Refused,
        other => {
            return Err(UserError::Broken(format!(
                "the outcome {other:?} of an event"
            )));
        }
    };
    let event = PastEvent {
        time_ms: row.number(1)?,
        actor: row.text(2)?,
        source: row.text(3)?,
        action: row.text(4)?,
        resource: row.text(5)?,
        outcome,
        reason: row.text(7)?,
    };
    Ok((EventId(row.number(0)?), event))
}

fn name(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Done => "done",
        Outcome::Refused => "refused",
    }
}

fn cut(text: &str) -> String {
    if text.len() <= TEXT_BYTES {
        return text.to_owned();
    }
    let mut end = TEXT_BYTES;
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    format!("{}... ({} bytes more)", &text[..end], text.len() - end)
}
