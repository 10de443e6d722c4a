//! Security events: what is kept, in which order, and for how long.

use crate::subject::{DAY, NOW, Stores};
use amadeus::auth::{Event, Outcome};
use amadeus::users::{EventFilter, EventId, PastEvent};
use std::collections::BTreeSet;
use tokio::task::JoinSet;

fn event(number: u64) -> Event {
    Event {
        time_ms: NOW + number,
        actor: format!("user-{}", number % 3).into(),
        source: "127.0.0.1".into(),
        action: if number.is_multiple_of(2) {
            "login"
        } else {
            "denied"
        },
        resource: number.to_string(),
        outcome: if number.is_multiple_of(2) {
            Outcome::Done
        } else {
            Outcome::Refused
        },
        reason: "é\0\n".into(),
    }
}

pub async fn events_come_back_in_their_order(stores: Stores) {
    let events: Vec<Event> = (0..10).map(event).collect();
    stores.one.append_events(&[]).await.expect("nothing to do");
    stores
        .one
        .append_events(&events[..4])
        .await
        .expect("there is room");
    stores
        .other
        .append_events(&events[4..])
        .await
        .expect("there is room");
    let read = async |filter: EventFilter, after, limit| {
        stores
            .one
            .events(&filter, EventId(after), limit)
            .await
            .expect("they are there")
    };
    let all = read(EventFilter::default(), 0, 100).await;
    let ids: Vec<u64> = all.iter().map(|(id, _)| id.0).collect();
    assert_eq!(ids, (1..=10).collect::<Vec<_>>());
    let first = PastEvent {
        time_ms: NOW,
        actor: "user-0".into(),
        source: "127.0.0.1".into(),
        action: "login".into(),
        resource: "0".into(),
        outcome: Outcome::Done,
        reason: "é\u{fffd}\n".into(),
    };
    assert_eq!(all[0].1, first);
    assert_eq!(read(EventFilter::default(), 7, 2).await, all[7..9]);
    let numbers = async |filter| {
        let found = read(filter, 0, 100).await;
        found
            .into_iter()
            .map(|(_, event)| event.resource)
            .collect::<Vec<_>>()
    };
    let filter = EventFilter {
        from_ms: Some(NOW + 3),
        until_ms: Some(NOW + 5),
        ..EventFilter::default()
    };
    assert_eq!(numbers(filter).await, ["3", "4"]);
    let filter = EventFilter {
        actor: "user-1".into(),
        ..EventFilter::default()
    };
    assert_eq!(numbers(filter).await, ["1", "4", "7"]);
    let filter = EventFilter {
        action: "denied".into(),
        outcome: Some(Outcome::Done),
        ..EventFilter::default()
    };
    assert!(numbers(filter).await.is_empty());
    let filter = EventFilter {
        outcome: Some(Outcome::Refused),
        ..EventFilter::default()
    };
    assert_eq!(numbers(filter).await, ["1", "3", "5", "7", "9"]);
    let long = Event {
        reason: "é".repeat(10_000),
        ..event(1)
    };
    stores
        .one
        .append_events(&[long])
        .await
        .expect("there is room");
    let kept = read(EventFilter::default(), 10, 1).await;
    assert!(kept[0].1.reason.len() < 1_100);
    assert!(kept[0].1.reason.ends_with("(18976 bytes more)"));
}

pub async fn whoever_read_up_to_an_event_missed_none_before_it(stores: Stores) {
    let mut writers = JoinSet::new();
    for writer in 0..8 {
        let store = if writer % 2 == 0 {
            &stores.one
        } else {
            &stores.other
        }
        .clone();
        writers.spawn(async move {
            for number in 0..10 {
                let of_writer = event(writer * 10 + number);
                store
                    .append_events(&[of_writer.clone(), of_writer])
                    .await
                    .expect("there is room");
            }
        });
    }
    let (mut after, mut seen) = (EventId::default(), BTreeSet::new());
    while seen.len() < 80 {
        let page = stores
            .other
            .events(&EventFilter::default(), after, 7)
            .await
            .expect("they are there");
        for (id, event) in page {
            assert_eq!(id.0, after.0 + 1, "none is missing");
            after = id;
            seen.insert(event.resource);
        }
    }
    writers.join_all().await;
}

pub async fn events_that_are_too_old_go(stores: Stores) {
    stores
        .one
        .append_events(&[event(0), event(1)])
        .await
        .expect("there is room");
    let later = Event {
        time_ms: NOW + 90 * DAY + 1,
        ..event(2)
    };
    stores
        .one
        .append_events(&[later])
        .await
        .expect("there is room");
    let left = stores
        .one
        .events(&EventFilter::default(), EventId::default(), 10)
        .await
        .expect("they are there");
    let ids: Vec<u64> = left.iter().map(|(id, _)| id.0).collect();
    assert_eq!(ids, [2, 3]);
    // Numbers are not given again, also when all that had them are gone.
    let much_later = Event {
        time_ms: NOW + 900 * DAY,
        ..event(3)
    };
    stores
        .one
        .append_events(&[much_later])
        .await
        .expect("there is room");
    let left = stores
        .one
        .events(&EventFilter::default(), EventId::default(), 10)
        .await
        .expect("they are there");
    assert_eq!(left.iter().map(|(id, _)| id.0).collect::<Vec<_>>(), [4]);
}
