//! Security events in the store. Their numbers become visible in their order, so whoever has read up to one of them missed
//! nothing before it.
//!
//! What is kept is bounded by class: strangers cause refusals as they like, and must not push out what was done by that.

use std::sync::LazyLock;

use super::super::error::UserError;
use super::super::event::{EventFilter, EventId, PastEvent};
use super::super::rows::{Row, Tx, Value, Work, values};
use super::{UserStore, each};
use crate::auth::{Event, Outcome};

/// How many events of a class are kept at most.
#[derive(Clone, Copy)]
struct Quotas {
    done: u64,
    refused: u64,
    denied: u64,
}

const QUOTAS: Quotas = Quotas {
    done: 1_000_000,
    refused: 250_000,
    denied: 250_000,
};

/// How long they are kept.
const KEPT_MS: u64 = 90 * 24 * 60 * 60 * 1_000;

/// Events of a class that are removed at once, when others are added; more than are added at once, so that it comes to an
/// end, and few enough that nobody waits long for the rows.
const REMOVED_AT_ONCE: u64 = 2_000;

/// Bytes of one text of an event. The rest of a longer one is left out, and that is said.
const TEXT_BYTES: usize = 1_024;

/// Events that one statement adds, largest first.
const ROWS: [usize; 3] = [64, 8, 1];

/// The statement for each of [`ROWS`].
static INSERTS: LazyLock<[String; 3]> = LazyLock::new(|| ROWS.map(insert));

const COLUMNS: usize = 10;

/// Which events share a quota.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Class {
    /// What was done.
    Done,
    /// What was refused, such as a wrong password: each has cost something.
    Refused,
    /// What costs whoever causes it nothing.
    Denied,
}

impl Class {
    const ALL: [Self; 3] = [Self::Done, Self::Refused, Self::Denied];

    fn of(event: &Event) -> Self {
        match (event.outcome, event.action) {
            (Outcome::Done, _) => Self::Done,
            (Outcome::Refused, "denied") => Self::Denied,
            (Outcome::Refused, _) => Self::Refused,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Refused => "refused",
            Self::Denied => "denied",
        }
    }

    fn quota(self, quotas: &Quotas) -> u64 {
        match self {
            Self::Done => quotas.done,
            Self::Refused => quotas.refused,
            Self::Denied => quotas.denied,
        }
    }
}

impl UserStore {
    /// Keeps events, in their order.
    ///
    /// # Errors
    /// [`UserError`].
    pub async fn append_events(&self, events: &[Event]) -> Result<(), UserError> {
        self.append_within(events, QUOTAS).await
    }

    async fn append_within(&self, events: &[Event], quotas: Quotas) -> Result<(), UserError> {
        let Some(newest_ms) = events.iter().map(|event| event.time_ms).max() else {
            return Ok(());
        };
        let events = events.to_vec();
        let work: Work<()> = Box::new(move |tx| {
            Box::pin(async move {
                let first = tx.state()?.event + 1;
                let last = first - 1 + events.len() as u64;
                let mut rows = Vec::with_capacity(events.len());
                let mut counted = Vec::new();
                for class in Class::ALL {
                    let of_class = (first..).zip(&events);
                    let of_class: Vec<_> =
                        of_class.filter(|(_, e)| Class::of(e) == class).collect();
                    if of_class.is_empty() {
                        continue;
                    }
                    let before = last_number(tx, class).await?;
                    counted.push((class, before + of_class.len() as u64));
                    let numbered = (before + 1..).zip(of_class);
                    rows.extend(
                        numbered.map(|(number, (id, event))| row(id, class, number, event)),
                    );
                }
                add(tx, rows).await?;
                tx.run("UPDATE amadeus_user_state SET event = $1", values![last])
                    .await?;
                for (class, last) in counted {
                    let too_many = "DELETE FROM amadeus_events WHERE id IN ( \
                            SELECT id FROM amadeus_events WHERE class = $1 AND number <= $2 ORDER BY number LIMIT $3 \
                        )";
                    let before = last.saturating_sub(class.quota(&quotas));
                    tx.run(too_many, values![class.name(), before, REMOVED_AT_ONCE])
                        .await?;
                }
                let too_old = "DELETE FROM amadeus_events WHERE id IN ( \
                        SELECT id FROM amadeus_events WHERE time_ms < $1 ORDER BY time_ms LIMIT $2 \
                    )";
                let before = newest_ms.saturating_sub(KEPT_MS);
                tx.run(too_old, values![before, REMOVED_AT_ONCE]).await?;
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
            Some(row) => Ok(EventId(row.number(0)?)),
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

/// The last number of a class. Where none is left they begin anew.
async fn last_number(tx: &mut Tx, class: Class) -> Result<u64, UserError> {
    let sql = "SELECT MAX(number) FROM amadeus_events WHERE class = $1";
    let found = tx.one(sql, values![class.name()]).await?;
    let number = found.map(|row| row.maybe_number(0)).transpose()?;
    Ok(number.flatten().unwrap_or_default())
}

/// Adds rows by as few statements as there may be.
async fn add(tx: &mut Tx, rows: Vec<Vec<Value>>) -> Result<(), UserError> {
    let mut rows = rows.into_iter();
    for (at_once, sql) in ROWS.into_iter().zip(INSERTS.iter()) {
        while rows.len() >= at_once {
            let values = rows.by_ref().take(at_once).flatten().collect();
            tx.run(sql, values).await?;
        }
    }
    Ok(())
}

/// A row, in the order of [`insert`].
fn row(id: u64, class: Class, number: u64, event: &Event) -> Vec<Value> {
    values![
        id,
        class.name(),
        number,
        event.time_ms,
        cut(&event.actor),
        cut(&event.source),
        event.action,
        cut(&event.resource),
        name(event.outcome),
        cut(&event.reason)
    ]
}

/// A statement that adds so many rows.
fn insert(rows: usize) -> String {
    let of_row = |row: usize| {
        let places = (1..=COLUMNS).map(|column| format!("${}", row * COLUMNS + column));
        format!("({})", places.collect::<Vec<_>>().join(", "))
    };
    let rows: Vec<String> = (0..rows).map(of_row).collect();
    format!(
        "INSERT INTO amadeus_events (id, class, number, time_ms, actor, source, action, resource, outcome, reason) \
         VALUES {}",
        rows.join(", ")
    )
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::{OpenOptions, open};

    async fn users() -> UserStore {
        let opened = open("memory:", &OpenOptions::default()).await;
        let users = UserStore::open(&opened.expect("it opens")).await;
        users.expect("they open")
    }

    fn event(action: &'static str, outcome: Outcome) -> Event {
        Event {
            time_ms: 1_000_000_000,
            actor: "alice".into(),
            source: "10.0.0.1".into(),
            action,
            resource: String::new(),
            outcome,
            reason: String::new(),
        }
    }

    async fn kept(users: &UserStore) -> Vec<(u64, String)> {
        let all = EventFilter::default();
        let kept = users.events(&all, EventId(0), 100_000).await;
        let kept = kept.expect("they are there").into_iter();
        kept.map(|(id, event)| (id.0, event.action)).collect()
    }

    #[tokio::test]
    async fn refusals_push_out_refusals_and_nothing_that_was_done() {
        let users = users().await;
        let quotas = Quotas {
            done: 3,
            refused: 2,
            denied: 5,
        };
        let login = event("login", Outcome::Done);
        let wrong = event("login", Outcome::Refused);
        let made = event("create_user", Outcome::Done);
        let mut events = vec![login, wrong, made];
        events.extend(vec![event("denied", Outcome::Refused); 1_000]);
        users.append_within(&events, quotas).await.expect("kept");
        let of = |id, action: &str| (id, action.to_owned());
        let mut expected = vec![of(1, "login"), of(2, "login"), of(3, "create_user")];
        expected.extend((999..=1_003).map(|id| of(id, "denied")));
        assert_eq!(kept(&users).await, expected);
        // Their like do.
        let more = vec![event("logout", Outcome::Done); 2];
        users.append_within(&more, quotas).await.expect("kept");
        expected.remove(0);
        expected.extend([of(1_004, "logout"), of(1_005, "logout")]);
        assert_eq!(kept(&users).await, expected);
    }

    #[tokio::test]
    async fn any_number_of_events_is_kept_whole_and_in_order() {
        let users = users().await;
        let mut last = 0;
        for count in [1, 7, 8, 9, 63, 64, 65, 200, 513] {
            let mut events = vec![event("denied", Outcome::Refused); count];
            events[count / 2] = event("login", Outcome::Done);
            users.append_events(&events).await.expect("kept");
            last += count as u64;
            let (ids, actions): (Vec<_>, Vec<_>) = kept(&users).await.into_iter().unzip();
            assert_eq!(ids, (1..=last).collect::<Vec<_>>());
            let middle = actions[actions.len() - count + count / 2].clone();
            assert_eq!(middle, "login");
        }
    }
}
