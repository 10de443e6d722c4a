//! Events of several servers that share a store.

use std::time::{Duration, Instant};

use amadeus::events::{Cursor, EventFilter, Events, GroupError, Place as At, Wanted};
use amadeus::hints::Hints;
use sqlx::Connection as _;
use testbed::{Redis, Signal};

use crate::consumer::{begun, ended, group, sent, served, wanted};
use crate::place::{PATIENCE, Place, all, events, ids, next, offsets};

#[tokio::test(flavor = "multi_thread")]
async fn what_many_servers_append_has_one_order_on_all_of_them() {
    let Some(place) = Place::database() else {
        return;
    };
    let servers = [place.open().await, place.open().await, place.open().await];
    let mut cursors = Vec::new();
    for server in &servers {
        let cursor = server.events.cursor(At::End, EventFilter::default()).await;
        cursors.push(cursor.expect("a cursor"));
    }
    let mut writers = Vec::new();
    for (number, server) in servers.iter().enumerate() {
        let log = server.events.clone();
        writers.push(tokio::spawn(async move {
            for batch in 0..20 {
                let first = number * 10_000 + batch * 20;
                log.append(events(first, first + 20))
                    .await
                    .expect("there is room");
                // The same from all of them, once.
                log.append(events(100_000 + batch, 100_001 + batch))
                    .await
                    .expect("there is room");
            }
        }));
    }
    for writer in writers {
        writer.await.expect("it appends");
    }
    let mut found = Vec::new();
    for mut cursor in cursors {
        let mut seen = Vec::new();
        while seen.len() < 3 * 400 + 20 {
            seen.extend(next(&mut cursor).await);
        }
        assert_eq!(offsets(&seen), (1..=1_220).collect::<Vec<_>>());
        found.push(seen);
    }
    assert_eq!(found[0], found[1]);
    assert_eq!(found[0], found[2]);
    for server in servers {
        assert_eq!(all(&server.events, At::Offset(1)).await, found[0]);
        server.close().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_group_of_a_server_that_stands_still_is_served_by_another_and_the_first_is_refused() {
    let Some(place) = Place::database() else {
        return;
    };
    let (first, second) = (place.open().await, place.open().await);
    group(&first.events, "g").await;
    first
        .events
        .append(events(0, 10))
        .await
        .expect("there is room");
    let mut still = first.events.consume("g", wanted());
    let turn = begun(&mut still).await.epoch;
    first.events.ack("g", 3, turn).await.expect("it is served");
    // Nobody asks the first one for anything any more, as if its process stood still.
    let mut other = second.events.consume("g", wanted());
    let told = served(&mut other).await;
    assert_eq!(offsets(&told.events), (4..=10).collect::<Vec<_>>());
    assert!(told.epoch > turn);
    // By either server.
    for server in [&first, &second] {
        let refused = server.events.ack("g", 9, turn).await;
        assert!(matches!(refused, Err(GroupError::Stale(_))), "{refused:?}");
        server
            .events
            .ack("g", 5, told.epoch)
            .await
            .expect("it is served");
    }
    let woken = still.next(10).await.expect("it goes on");
    assert!(woken.standby && woken.events.is_empty(), "{woken:?}");
    drop((still, other));
    first.close().await;
    second.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_done_by_way_of_another_server_is_heard_by_whoever_is_served() {
    let Some(place) = Place::database() else {
        return;
    };
    let (first, second) = (place.open().await, place.open().await);
    group(&first.events, "g").await;
    second
        .events
        .append(events(0, 3))
        .await
        .expect("there is room");
    let mut consumer = first.events.consume("g", wanted());
    assert_eq!(sent(&mut consumer, 3).await, [1, 2, 3]);
    second
        .events
        .fail("g", 2, 0, "no", 0)
        .await
        .expect("it is there");
    assert_eq!(sent(&mut consumer, 2).await, [2, 3]);
    second.events.delete_group("g").await.expect("it is there");
    assert_eq!(ended(&mut consumer).await, GroupError::NotFound("g".into()));
    drop(consumer);
    first.close().await;
    second.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_seek_by_way_of_another_server_is_not_undone_by_whoever_is_served() {
    let Some(place) = Place::database() else {
        return;
    };
    let (first, second) = (place.open().await, place.open().await);
    group(&first.events, "g").await;
    first
        .events
        .append(events(0, 6))
        .await
        .expect("there is room");
    let auto = Wanted {
        auto_ack: true,
        ..wanted()
    };
    let mut consumer = first.events.consume("g", auto);
    assert_eq!(sent(&mut consumer, 6).await.len(), 6);
    // What was sent is not known to be done yet; it is said with the next call.
    second.events.seek_group("g", 3).await.expect("it is there");
    assert_eq!(sent(&mut consumer, 4).await, [3, 4, 5, 6]);
    drop(consumer);
    first.close().await;
    second.close().await;
}

/// How long it takes, in most cases, until an event of one server is heard of at another one that waits for it.
async fn usual_delay(from: &Events, at: &mut Cursor, first: usize) -> Duration {
    let mut delays = Vec::new();
    for id in first..first + 30 {
        from.append(events(id, id + 1))
            .await
            .expect("there is room");
        let began = Instant::now();
        assert_eq!(ids(&next(at).await), [id.to_string()]);
        delays.push(began.elapsed());
        // Not in step with the looks of the other one.
        tokio::time::sleep(Duration::from_millis(7 * (id % 30) as u64)).await;
    }
    delays.sort();
    delays[15]
}

#[tokio::test(flavor = "multi_thread")]
async fn hints_of_redis_bring_events_sooner_and_without_redis_they_come_as_well() {
    let Some(place) = Place::database() else {
        return;
    };
    let redis = match Redis::start() {
        Ok(redis) => redis,
        Err(missing) => return eprintln!("skipped: {missing}"),
    };
    let hints = [Hints::default(), Hints::default()];
    let first = place.open_hinted(&hints[0], &redis.url()).await;
    let second = place.open_hinted(&hints[1], &redis.url()).await;
    let cursor = second.events.cursor(At::End, EventFilter::default()).await;
    let mut cursor = cursor.expect("a cursor");
    let hinted = usual_delay(&first.events, &mut cursor, 0).await;
    redis.end(Signal::Kill);
    let looked = usual_delay(&first.events, &mut cursor, 100).await;
    // By looking alone it is half of what lies between two looks, an eighth of a second.
    assert!(hinted * 2 < looked, "{hinted:?} with, {looked:?} without");
    redis.resume();
    let back = async {
        while hints.iter().any(|hints| hints.fault().is_some()) {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(PATIENCE, back)
        .await
        .expect("Redis is found again");
    let hinted = usual_delay(&first.events, &mut cursor, 200).await;
    assert!(hinted * 2 < looked, "{hinted:?} with, {looked:?} without");
    // Nothing was lost on the way, and nothing came twice.
    let found = all(&second.events, At::Offset(1)).await;
    assert_eq!(offsets(&found), (1..=90).collect::<Vec<_>>());
    first.close().await;
    second.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_was_away_while_the_log_was_trimmed_beyond_it_goes_on() {
    let Some(place) = Place::database() else {
        return;
    };
    let server = place.open().await;
    server
        .events
        .append(events(0, 10))
        .await
        .expect("there is room");
    // In one transaction, so that the server sees the log only as it is afterwards.
    let mut database = sqlx::PgConnection::connect(place.url())
        .await
        .expect("a connection");
    let moved = "INSERT INTO amadeus_event_log \
            SELECT place + 100, appended_ms, key + 1, content, body FROM amadeus_event_log; \
        DELETE FROM amadeus_event_log WHERE place <= 100; \
        UPDATE amadeus_event_head SET oldest = 101, next = 111";
    let mut transaction = database.begin().await.expect("a transaction");
    sqlx::raw_sql(moved)
        .execute(&mut *transaction)
        .await
        .expect("it is moved");
    transaction.commit().await.expect("it is moved");
    let ends = tokio::time::timeout(PATIENCE, server.events.ends()).await;
    assert_eq!(
        ends.expect("it answers").expect("they are known"),
        (101, 111)
    );
    let appended = server.events.append(events(50, 51)).await;
    assert_eq!(appended.expect("there is room")[0].offset, 111);
    server.close().await;
}
