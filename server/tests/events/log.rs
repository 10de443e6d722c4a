//! What every log of events owes, whichever store it is in.

use std::fs;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use amadeus::events::{Appended, EventError, EventFilter, Keep, Place as At};
use kg_core::model::Object;

use crate::on_every_store;
use crate::place::{PATIENCE, Place, all, event, events, ids, next, offsets};
use crate::small_disk::SmallDisk;

on_every_store! {
    places_have_no_gap_and_batches_stay_together
    a_repetition_has_the_first_place_and_another_body_is_refused
    a_request_and_its_result_with_one_correlation_id_both_arrive
    a_replay_from_a_time_begins_with_the_first_event_of_then
    what_was_appended_is_there_after_a_restart
    who_is_too_far_behind_is_told_what_was_lost_and_slows_nobody
    who_waits_is_told_at_once_and_how_far_it_is_otherwise
    what_was_closed_says_that_it_failed
}

async fn places_have_no_gap_and_batches_stay_together(place: Place) {
    let server = place.open().await;
    let mut writers = Vec::new();
    for writer in 0..8 {
        let log = server.events.clone();
        writers.push(tokio::spawn(async move {
            let mut last = 0;
            for batch in 0..10 {
                let first = writer * 1_000 + batch * 50;
                let appended = log.append(events(first, first + 50)).await;
                let places: Vec<u64> = appended
                    .expect("there is room")
                    .iter()
                    .map(|at| at.offset)
                    .collect();
                assert!(places[0] > last, "a writer's batches keep their order");
                assert!(
                    places.windows(2).all(|two| two[0] + 1 == two[1]),
                    "{places:?}"
                );
                last = places[49];
            }
        }));
    }
    for writer in writers {
        writer.await.expect("it appends");
    }
    let found = all(&server.events, At::Offset(1)).await;
    assert_eq!(offsets(&found), (1..=4_000).collect::<Vec<_>>());
    assert!(
        found
            .windows(2)
            .all(|two| two[0].appended_ms <= two[1].appended_ms)
    );
    server.close().await;
}

async fn a_repetition_has_the_first_place_and_another_body_is_refused(place: Place) {
    let server = place.open().await;
    let log = &server.events;
    log.append(events(0, 3_000)).await.expect("there is room");
    let again = log
        .append(events(2_998, 3_002))
        .await
        .expect("there is room");
    let at = |offset, duplicate| Appended { offset, duplicate };
    assert_eq!(
        again,
        [
            at(2_999, true),
            at(3_000, true),
            at(3_001, false),
            at(3_002, false)
        ]
    );
    // Another type is another event.
    let other = log
        .append(vec![event("other", "5")])
        .await
        .expect("there is room");
    assert_eq!(other, [at(3_003, false)]);
    let mut changed = event("probe", "5");
    changed.payload = Object::new();
    let refused = log.append(vec![event("probe", "new"), changed]).await;
    assert!(
        matches!(refused, Err(EventError::Invalid { index: 1, .. })),
        "{refused:?}"
    );
    // Nothing of the batch was appended.
    let (_, end) = log.ends().await.expect("it is known");
    assert_eq!(end, 3_004);
    server.close().await;
}

async fn a_request_and_its_result_with_one_correlation_id_both_arrive(place: Place) {
    let server = place.open().await;
    let filter = EventFilter {
        correlations: vec!["c-1".into()],
        ..EventFilter::default()
    };
    let mut cursor = server
        .events
        .cursor(At::End, filter)
        .await
        .expect("a cursor");
    for (kind, correlation) in [("asked", "c-1"), ("asked", "c-2"), ("answered", "c-1")] {
        let mut event = event(kind, correlation);
        event.correlation = correlation.into();
        server
            .events
            .append(vec![event])
            .await
            .expect("there is room");
    }
    let mut kinds = Vec::new();
    while kinds.len() < 2 {
        kinds.extend(
            next(&mut cursor)
                .await
                .iter()
                .map(|e| e.event.kind.to_string()),
        );
    }
    assert_eq!(kinds, ["asked", "answered"]);
    server.close().await;
}

async fn a_replay_from_a_time_begins_with_the_first_event_of_then(place: Place) {
    let server = place.open().await;
    let log = &server.events;
    log.append(events(0, 10)).await.expect("there is room");
    let before = all(log, At::Offset(1)).await;
    // Until the clock by which events are appended has moved on.
    let mut tries = 0;
    let second = loop {
        log.append(vec![event("tick", &tries.to_string())])
            .await
            .expect("there is room");
        let last = all(log, At::Offset(11 + tries)).await.remove(0);
        if last.appended_ms > before[9].appended_ms {
            break last;
        }
        tries += 1;
    };
    let found = all(log, At::Time(second.appended_ms)).await;
    assert_eq!(found[0].offset, second.offset);
    assert_eq!(all(log, At::Time(0)).await.len() as u64, second.offset);
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .expect("a time");
    let later = At::Time(now.as_millis() as u64 + 60_000);
    assert_eq!(
        log.place(later).await.expect("it is known"),
        second.offset + 1
    );
    server.close().await;
}

async fn what_was_appended_is_there_after_a_restart(place: Place) {
    let server = place.open().await;
    server
        .events
        .append(events(0, 2_500))
        .await
        .expect("there is room");
    let before = all(&server.events, At::Offset(1)).await;
    server.close().await;
    let server = place.open().await;
    let log = &server.events;
    if log.ends().await.expect("they are known") == (1, 1) {
        // In memory it ends with the process.
        return;
    }
    assert_eq!(all(log, At::Offset(1)).await, before);
    let again = log
        .append(events(2_499, 2_501))
        .await
        .expect("there is room");
    let places: Vec<_> = again.iter().map(|at| (at.offset, at.duplicate)).collect();
    assert_eq!(places, [(2_500, true), (2_501, false)]);
    server.close().await;
}

async fn who_is_too_far_behind_is_told_what_was_lost_and_slows_nobody(place: Place) {
    let keep = Keep {
        events: 2_000,
        ..Keep::default()
    };
    let server = place.open_keeping(keep).await;
    let log = &server.events;
    let mut slow = log
        .cursor(At::Offset(1), EventFilter::default())
        .await
        .expect("a cursor");
    for round in 0..20 {
        let from = round * 500;
        log.append(events(from, from + 500))
            .await
            .expect("there is room");
    }
    let trimmed = async {
        loop {
            let (oldest, end) = log.ends().await.expect("they are known");
            assert_eq!(end, 10_001);
            if end - oldest <= 2_000 + 2_000 / 16 + 1_024 {
                return oldest;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let oldest = tokio::time::timeout(PATIENCE, trimmed)
        .await
        .expect("it is trimmed");
    // The newest events are in memory as well, which may tell what the store does not keep.
    let mut place = 1;
    while place < 10_001 {
        let batch = slow.next(1_000).await.expect("it goes on");
        if let Some((from, to)) = batch.lag {
            assert_eq!((from, to), (place, oldest));
            place = to;
        }
        for event in &batch.events {
            assert_eq!(event.offset, place);
            place += 1;
        }
    }
    // What is forgotten may come again, as another event.
    if oldest > 1 {
        let again = log.append(events(0, 1)).await.expect("there is room");
        assert!(!again[0].duplicate);
    }
    server.close().await;
}

async fn who_waits_is_told_at_once_and_how_far_it_is_otherwise(place: Place) {
    let server = place.open().await;
    let filter = EventFilter {
        kinds: vec!["wanted".into()],
        ..EventFilter::default()
    };
    let mut cursor = server
        .events
        .cursor(At::End, filter)
        .await
        .expect("a cursor");
    server
        .events
        .append(events(0, 100))
        .await
        .expect("there is room");
    let passed = cursor.next(10).await.expect("it goes on");
    assert!(passed.events.is_empty());
    let began = Instant::now();
    let waiting = tokio::spawn(async move { (next(&mut cursor).await, Instant::now()) });
    server
        .events
        .append(vec![event("wanted", "1")])
        .await
        .expect("there is room");
    let (found, at) = waiting.await.expect("it comes");
    assert_eq!(ids(&found), ["1"]);
    assert!(at.duration_since(began) < Duration::from_secs(5));
    server.close().await;
}

async fn what_was_closed_says_that_it_failed(place: Place) {
    let server = place.open().await;
    let log = server.events.clone();
    let mut cursor = log
        .cursor(At::End, EventFilter::default())
        .await
        .expect("a cursor");
    let following = tokio::spawn(async move {
        loop {
            if let Err(error) = cursor.next(10).await {
                return error;
            }
        }
    });
    server.close().await;
    let refused = log.append(events(0, 1)).await;
    assert!(
        matches!(refused, Err(EventError::Unavailable(_))),
        "{refused:?}"
    );
    let ended = tokio::time::timeout(PATIENCE, following).await;
    let ended = ended.expect("it ends").expect("it does not panic");
    assert!(matches!(ended, EventError::Unavailable(_)), "{ended:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_fails_what_is_emitted_and_no_more_than_that() {
    let disk = match SmallDisk::mount() {
        Ok(disk) => disk,
        Err(why) => return eprintln!("skipped: no small disk can be mounted here ({why})"),
    };
    let url = format!("sqlite://{}", disk.path().join("graph.db").display());
    let server = Place::at(url).open().await;
    let log = &server.events;
    log.append(events(0, 10)).await.expect("there is room");
    let filler = disk.path().join("filler");
    let _ = fs::write(&filler, vec![1; 8 * 1024 * 1024]);
    let mut written = 10;
    let mut refused = 0;
    while refused < 5 {
        match log.append(events(written, written + 100)).await {
            Ok(_) => written += 100,
            Err(EventError::Unavailable(why)) => {
                refused += 1;
                assert!(why.contains("no room"), "{why}");
            }
            Err(other) => panic!("a full disk gave {other:?}"),
        }
        assert!(written < 1_000_000, "the disk does not fill");
    }
    assert!(log.figures().fails);
    fs::remove_file(&filler).expect("it is there");
    let appended = log
        .append(events(written, written + 10))
        .await
        .expect("there is room");
    assert_eq!(
        appended[0].offset,
        written as u64 + 1,
        "what failed left no trace"
    );
    assert!(!log.figures().fails);
    let found = all(log, At::Offset(1)).await;
    assert_eq!(found.len(), written + 10);
    server.close().await;
}

#[tokio::test]
async fn damage_is_found_and_nothing_is_overwritten() {
    let folder = tempfile::tempdir().expect("a folder");
    let place = Place::at(format!("sqlite://{}", folder.path().join("a.db").display()));
    let server = place.open().await;
    server
        .events
        .append(events(0, 100))
        .await
        .expect("there is room");
    server.close().await;
    let file = folder.path().join("a.db.events");
    let mut bytes = fs::read(&file).expect("it is there");
    let at = bytes.len() - bytes.len() / 8;
    let needle = b"probe";
    let found = bytes.windows(needle.len()).rposition(|w| w == needle);
    bytes[found.unwrap_or(at)] ^= 1;
    fs::write(&file, &bytes).expect("it can be written");
    let server = place.open().await;
    let event = server.events.event(100).await;
    assert!(matches!(event, Err(EventError::Broken(_))), "{event:?}");
    server.close().await;
    fs::write(&file, b"nothing of ours").expect("it can be written");
    let opened = place.open_store().await;
    let refused = amadeus::events::Events::open(&opened, Keep::default(), Default::default()).await;
    assert!(matches!(refused, Err(EventError::Broken(_))));
    assert_eq!(fs::read(&file).expect("it is there"), b"nothing of ours");
}
