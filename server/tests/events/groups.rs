//! What every store owes a consumer group.

use std::time::Duration;

use amadeus::events::{EventFilter, Failed, GroupError, Place as At, Wanted};
use futures::FutureExt as _;

use crate::consumer::{begun, ended, group, sent, served, told, wanted};
use crate::on_every_store;
use crate::place::{PATIENCE, Place, event, events, ids, offsets};

on_every_store! {
    one_is_served_and_another_takes_over_where_it_ended
    what_fails_comes_again_and_is_a_dead_letter_at_last
    no_more_is_sent_than_may_be_open
    an_acknowledgement_of_a_turn_that_is_over_is_refused
    a_group_that_is_moved_goes_on_from_there_and_one_that_is_deleted_ends
    a_consumer_that_knows_its_own_place_moves_its_group
    what_was_sent_counts_as_done_where_that_is_wanted
    what_a_filter_leaves_out_is_passed_over
    where_a_group_is_outlives_a_restart
    there_are_no_more_groups_than_there_may_be
    of_two_failures_before_anybody_looks_both_come_again
    one_that_goes_away_while_it_asks_to_be_served_holds_nothing
    an_acknowledgement_of_what_was_sent_before_a_seek_is_refused
    an_acknowledgement_for_a_deleted_group_does_not_move_the_next_one_of_its_name
    a_consumer_that_knows_its_own_place_does_not_undo_a_seek
    one_that_takes_nothing_more_gives_way_and_is_told
    one_that_takes_all_and_acknowledges_nothing_gives_way_to_who_asks
    one_that_nobody_waits_for_may_acknowledge_as_late_as_it_likes
    a_letter_that_dies_again_after_a_seek_is_counted_once
    a_failure_of_what_was_never_sent_passes_over_nothing
}

async fn one_is_served_and_another_takes_over_where_it_ended(place: Place) {
    let server = place.open().await;
    let log = &server.events;
    group(log, "g").await;
    log.append(events(0, 10)).await.expect("there is room");
    let mut first = log.consume("g", wanted());
    begun(&mut first).await;
    assert_eq!(sent(&mut first, 10).await, (1..=10).collect::<Vec<_>>());
    let mut second = log.consume("g", wanted());
    assert!(told(&mut second).await.standby);
    log.ack("g", 4, 0).await.expect("it is there");
    let waiting = tokio::spawn(async move {
        let begun = told(&mut second).await;
        (begun, second)
    });
    drop(first);
    let (told, _second) = waiting.await.expect("it takes over");
    assert_eq!(offsets(&told.events), (5..=10).collect::<Vec<_>>());
    server.close().await;
}

async fn what_fails_comes_again_and_is_a_dead_letter_at_last(place: Place) {
    let server = place.open().await;
    let log = &server.events;
    group(log, "g").await;
    log.append(events(0, 5)).await.expect("there is room");
    let mut consumer = log.consume("g", wanted());
    begun(&mut consumer).await;
    assert_eq!(sent(&mut consumer, 5).await, [1, 2, 3, 4, 5]);
    log.ack("g", 1, 0).await.expect("it is there");
    for _ in 0..2 {
        let (failed, next) = log.fail("g", 3, 0, "no", 7).await.expect("it is there");
        assert_eq!((failed, next), (Failed::Again, 2));
        assert_eq!(sent(&mut consumer, 3).await, [3, 4, 5]);
    }
    let (failed, _) = log.fail("g", 3, 0, "never", 7).await.expect("it is there");
    assert_eq!(failed, Failed::Dead(3));
    assert_eq!(sent(&mut consumer, 2).await, [4, 5]);
    assert_eq!(
        log.ack("g", 2, 0).await.expect("it is there"),
        4,
        "the dead are passed over"
    );
    let letters = log.letters("g", 0, 10).await.expect("they are read");
    assert_eq!(letters.len(), 1);
    let letter = &letters[0];
    assert_eq!(&*letter.event.event.id, "2");
    assert_eq!(
        (letter.event.offset, letter.failures, letter.time_ms),
        (3, 3, 7)
    );
    assert_eq!(letter.reason, "never");
    assert_eq!(log.letters("g", 3, 10).await.expect("they are read"), []);
    server.close().await;
}

async fn no_more_is_sent_than_may_be_open(place: Place) {
    let server = place.open().await;
    let log = &server.events;
    group(log, "g").await;
    log.append(events(0, 10)).await.expect("there is room");
    let most = Wanted {
        max_unacked: 4,
        ..Wanted::default()
    };
    let mut consumer = log.consume("g", most);
    begun(&mut consumer).await;
    assert_eq!(sent(&mut consumer, 4).await, [1, 2, 3, 4]);
    let more = tokio::time::timeout(Duration::from_millis(1_500), told(&mut consumer)).await;
    assert!(more.is_err(), "{more:?}");
    log.ack("g", 3, 0).await.expect("it is there");
    assert_eq!(sent(&mut consumer, 3).await, [5, 6, 7]);
    server.close().await;
}

async fn an_acknowledgement_of_a_turn_that_is_over_is_refused(place: Place) {
    let server = place.open().await;
    let log = &server.events;
    group(log, "g").await;
    log.append(events(0, 10)).await.expect("there is room");
    let mut first = log.consume("g", wanted());
    let turn = begun(&mut first).await.epoch;
    log.ack("g", 2, turn).await.expect("it is served");
    drop(first);
    log.ack("g", 3, turn)
        .await
        .expect("nobody else was served since");
    let mut second = log.consume("g", wanted());
    assert!(served(&mut second).await.epoch > turn);
    let refused = log.ack("g", 5, turn).await;
    assert!(matches!(refused, Err(GroupError::Stale(_))), "{refused:?}");
    let refused = log.fail("g", 5, turn, "", 0).await;
    assert!(matches!(refused, Err(GroupError::Stale(_))), "{refused:?}");
    assert_eq!(log.group("g").await.expect("it is there").next, 4);
    let beyond = log.ack("g", 11, 0).await;
    assert!(matches!(beyond, Err(GroupError::Invalid(_))), "{beyond:?}");
    server.close().await;
}

async fn a_group_that_is_moved_goes_on_from_there_and_one_that_is_deleted_ends(place: Place) {
    let server = place.open().await;
    let log = &server.events;
    group(log, "g").await;
    log.append(events(0, 5)).await.expect("there is room");
    let mut consumer = log.consume("g", wanted());
    begun(&mut consumer).await;
    assert_eq!(sent(&mut consumer, 5).await, [1, 2, 3, 4, 5]);
    log.ack("g", 5, 0).await.expect("it is there");
    log.seek_group("g", 4).await.expect("it is there");
    assert_eq!(sent(&mut consumer, 2).await, [4, 5]);
    log.delete_group("g").await.expect("it is there");
    assert_eq!(ended(&mut consumer).await, GroupError::NotFound("g".into()));
    assert!(log.list_groups().await.expect("they are read").is_empty());
    server.close().await;
}

async fn a_consumer_that_knows_its_own_place_moves_its_group(place: Place) {
    let server = place.open().await;
    let log = &server.events;
    group(log, "g").await;
    log.append(events(0, 9)).await.expect("there is room");
    let from = |from| Wanted {
        from: Some(from),
        ..wanted()
    };
    let mut consumer = log.consume("g", from(7));
    begun(&mut consumer).await;
    assert_eq!(sent(&mut consumer, 3).await, [7, 8, 9]);
    assert_eq!(log.group("g").await.expect("it is there").next, 7);
    log.ack("g", 8, 0).await.expect("it is there");
    drop(consumer);
    // Further behind than the group, it is where the group is.
    let mut consumer = log.consume("g", from(2));
    assert_eq!(sent(&mut consumer, 1).await, [9]);
    server.close().await;
}

async fn what_was_sent_counts_as_done_where_that_is_wanted(place: Place) {
    let server = place.open().await;
    let log = &server.events;
    group(log, "g").await;
    log.append(events(0, 6)).await.expect("there is room");
    let auto = Wanted {
        auto_ack: true,
        ..wanted()
    };
    let mut consumer = log.consume("g", auto);
    begun(&mut consumer).await;
    assert_eq!(sent(&mut consumer, 6).await.len(), 6);
    log.append(events(6, 7)).await.expect("there is room");
    // That it asks for the next message says that it has the one before.
    assert_eq!(sent(&mut consumer, 1).await, [7]);
    assert_eq!(log.group("g").await.expect("it is there").next, 7);
    server.close().await;
}

async fn what_a_filter_leaves_out_is_passed_over(place: Place) {
    let server = place.open().await;
    let log = &server.events;
    group(log, "g").await;
    let filter = EventFilter {
        kinds: vec!["wanted".into()],
        ..EventFilter::default()
    };
    let mut consumer = log.consume("g", Wanted { filter, ..wanted() });
    begun(&mut consumer).await;
    log.append(events(0, 500)).await.expect("there is room");
    let moved = async {
        loop {
            consumer.next(10).await.expect("it goes on");
            if log.group("g").await.expect("it is there").next == 501 {
                return;
            }
        }
    };
    tokio::time::timeout(PATIENCE, moved)
        .await
        .expect("it moves on");
    log.append(vec![event("wanted", "1")])
        .await
        .expect("there is room");
    assert_eq!(ids(&told(&mut consumer).await.events), ["1"]);
    server.close().await;
}

async fn where_a_group_is_outlives_a_restart(place: Place) {
    let server = place.open().await;
    let log = &server.events;
    group(log, "g").await;
    group(log, "gone").await;
    log.append(events(0, 10)).await.expect("there is room");
    log.ack("g", 4, 0).await.expect("it is there");
    for _ in 0..3 {
        log.fail("g", 6, 0, "no", 0).await.expect("it is there");
    }
    log.fail("g", 7, 0, "no", 0).await.expect("it is there");
    log.delete_group("gone").await.expect("it is there");
    let before = log.group("g").await.expect("it is there");
    server.close().await;
    let server = place.open().await;
    let log = &server.events;
    if log.ends().await.expect("they are known") == (1, 1) {
        // In memory it ends with the process.
        return;
    }
    let groups = log.list_groups().await.expect("they are read");
    assert_eq!(groups, [before]);
    assert_eq!((groups[0].next, groups[0].letters), (5, 1));
    let letters = log.letters("g", 0, 10).await.expect("they are read");
    assert_eq!(letters[0].event.offset, 6);
    let mut consumer = log.consume("g", wanted());
    begun(&mut consumer).await;
    assert_eq!(sent(&mut consumer, 5).await, [5, 7, 8, 9, 10]);
    server.close().await;
}

async fn there_are_no_more_groups_than_there_may_be(place: Place) {
    let server = place.open().await;
    let log = &server.events;
    let most = kg_core::limits::EVENT_GROUPS;
    for number in 0..most {
        group(log, &format!("g{number}")).await;
    }
    let refused = log.open_group("more", "alice", 1, 3).await;
    assert!(
        matches!(refused, Err(GroupError::Exhausted(_))),
        "{refused:?}"
    );
    log.open_group("g7", "alice", 1, 3)
        .await
        .expect("it is there");
    let place = log.place(At::End).await.expect("it is known");
    assert_eq!(place, 1);
    server.close().await;
}

async fn of_two_failures_before_anybody_looks_both_come_again(place: Place) {
    let server = place.open().await;
    let log = &server.events;
    group(log, "g").await;
    log.append(events(0, 5)).await.expect("there is room");
    let mut consumer = log.consume("g", wanted());
    begun(&mut consumer).await;
    assert_eq!(sent(&mut consumer, 5).await, [1, 2, 3, 4, 5]);
    log.ack("g", 1, 0).await.expect("it is there");
    log.fail("g", 2, 0, "no", 0).await.expect("it is there");
    log.fail("g", 4, 0, "no", 0).await.expect("it is there");
    assert_eq!(sent(&mut consumer, 4).await, [2, 3, 4, 5]);
    server.close().await;
}

async fn one_that_goes_away_while_it_asks_to_be_served_holds_nothing(place: Place) {
    let server = place.open().await;
    let log = &server.events;
    group(log, "g").await;
    log.append(events(0, 3)).await.expect("there is room");
    let mut gone = log.consume("g", wanted());
    // Asked once, and dropped while the answer is made durable, as when a client disconnects.
    assert!(gone.next(10).now_or_never().is_none());
    drop(gone);
    let mut consumer = log.consume("g", wanted());
    assert_eq!(offsets(&served(&mut consumer).await.events), [1, 2, 3]);
    server.close().await;
}

async fn an_acknowledgement_of_what_was_sent_before_a_seek_is_refused(place: Place) {
    let server = place.open().await;
    let log = &server.events;
    group(log, "g").await;
    log.append(events(0, 5)).await.expect("there is room");
    let mut consumer = log.consume("g", wanted());
    let turn = begun(&mut consumer).await.epoch;
    assert_eq!(sent(&mut consumer, 5).await, [1, 2, 3, 4, 5]);
    log.seek_group("g", 2).await.expect("it is there");
    let refused = log.ack("g", 5, turn).await;
    assert!(matches!(refused, Err(GroupError::Stale(_))), "{refused:?}");
    let again = told(&mut consumer).await;
    assert_eq!(offsets(&again.events), [2, 3, 4, 5]);
    log.ack("g", 5, again.epoch).await.expect("it is served");
    server.close().await;
}

async fn an_acknowledgement_for_a_deleted_group_does_not_move_the_next_one_of_its_name(
    place: Place,
) {
    let server = place.open().await;
    let log = &server.events;
    log.append(events(0, 5)).await.expect("there is room");
    group(log, "g").await;
    let mut old = log.consume("g", wanted());
    let turn = begun(&mut old).await.epoch;
    log.delete_group("g").await.expect("it is there");
    group(log, "g").await;
    let mut new = log.consume("g", wanted());
    begun(&mut new).await;
    let refused = log.ack("g", 5, turn).await;
    assert!(matches!(refused, Err(GroupError::Stale(_))), "{refused:?}");
    assert_eq!(sent(&mut new, 5).await, [1, 2, 3, 4, 5]);
    server.close().await;
}

async fn a_consumer_that_knows_its_own_place_does_not_undo_a_seek(place: Place) {
    let server = place.open().await;
    let log = &server.events;
    group(log, "g").await;
    log.append(events(0, 9)).await.expect("there is room");
    let from = Wanted {
        from: Some(7),
        ..wanted()
    };
    let mut consumer = log.consume("g", from);
    begun(&mut consumer).await;
    assert_eq!(sent(&mut consumer, 3).await, [7, 8, 9]);
    log.seek_group("g", 5).await.expect("it is there");
    assert_eq!(sent(&mut consumer, 5).await, [5, 6, 7, 8, 9]);
    server.close().await;
}

async fn one_that_takes_nothing_more_gives_way_and_is_told(place: Place) {
    let server = place.open().await;
    let log = &server.events;
    group(log, "g").await;
    log.append(events(0, 10)).await.expect("there is room");
    // A client whose connection stands and that reads no more: nobody asks for its next message.
    let mut slow = log.consume("g", wanted());
    let turn = begun(&mut slow).await.epoch;
    assert_eq!(sent(&mut slow, 10).await.len(), 10);
    log.ack("g", 3, turn).await.expect("it is served");
    let mut other = log.consume("g", wanted());
    let taken_over = served(&mut other).await;
    assert_eq!(offsets(&taken_over.events), (4..=10).collect::<Vec<_>>());
    let refused = log.ack("g", 9, turn).await;
    assert!(matches!(refused, Err(GroupError::Stale(_))), "{refused:?}");
    let woken = slow.next(10).await.expect("it goes on");
    assert!(woken.standby && woken.events.is_empty(), "{woken:?}");
    server.close().await;
}

async fn one_that_takes_all_and_acknowledges_nothing_gives_way_to_who_asks(place: Place) {
    let server = place.open().await;
    let log = &server.events;
    group(log, "g").await;
    log.append(events(0, 10)).await.expect("there is room");
    let impatient = Wanted {
        ack_within: Duration::from_secs(1),
        ..wanted()
    };
    let mut mute = log.consume("g", impatient);
    let turn = begun(&mut mute).await.epoch;
    assert_eq!(sent(&mut mute, 10).await.len(), 10);
    log.ack("g", 3, turn).await.expect("it is served");
    // Its messages are asked for all the time, as where a transport takes what nobody looks at.
    let listening = tokio::spawn(async move { (told(&mut mute).await, mute) });
    let mut other = log.consume("g", wanted());
    let taken_over = served(&mut other).await;
    assert_eq!(offsets(&taken_over.events), (4..=10).collect::<Vec<_>>());
    let (woken, _mute) = listening.await.expect("it is told");
    assert!(woken.standby && woken.events.is_empty(), "{woken:?}");
    let refused = log.ack("g", 9, turn).await;
    assert!(matches!(refused, Err(GroupError::Stale(_))), "{refused:?}");
    log.ack("g", 10, taken_over.epoch)
        .await
        .expect("it is served");
    server.close().await;
}

async fn one_that_nobody_waits_for_may_acknowledge_as_late_as_it_likes(place: Place) {
    let server = place.open().await;
    let log = &server.events;
    group(log, "g").await;
    log.append(events(0, 2)).await.expect("there is room");
    let impatient = Wanted {
        ack_within: Duration::from_millis(100),
        ..wanted()
    };
    let mut late = log.consume("g", impatient);
    let turn = begun(&mut late).await.epoch;
    assert_eq!(sent(&mut late, 2).await, [1, 2]);
    log.append(events(2, 4)).await.expect("there is room");
    // Past its time nothing more is sent to it, for another one may be served at any moment.
    tokio::time::sleep(Duration::from_millis(200)).await;
    let more = tokio::time::timeout(Duration::from_millis(1_500), told(&mut late)).await;
    assert!(more.is_err(), "{more:?}");
    log.ack("g", 2, turn).await.expect("it is still served");
    let again = told(&mut late).await;
    assert_eq!((offsets(&again.events), again.epoch), (vec![3, 4], turn));
    server.close().await;
}

async fn a_failure_of_what_was_never_sent_passes_over_nothing(place: Place) {
    let server = place.open().await;
    let log = &server.events;
    group(log, "g").await;
    log.append(events(0, 6)).await.expect("there is room");
    let few = Wanted {
        max_unacked: 2,
        ..wanted()
    };
    let mut consumer = log.consume("g", few);
    begun(&mut consumer).await;
    assert_eq!(sent(&mut consumer, 2).await, [1, 2]);
    log.fail("g", 5, 0, "no", 0).await.expect("it is there");
    for done in [2, 4] {
        log.ack("g", done, 0).await.expect("it is there");
        assert_eq!(sent(&mut consumer, 2).await, [done + 1, done + 2]);
    }
    server.close().await;
}

async fn a_letter_that_dies_again_after_a_seek_is_counted_once(place: Place) {
    let server = place.open().await;
    let log = &server.events;
    log.open_group("g", "alice", 1, 1)
        .await
        .expect("there is room");
    log.append(events(0, 5)).await.expect("there is room");
    for _ in 0..2 {
        for offset in [2, 4] {
            let (failed, _) = log
                .fail("g", offset, 0, "no", 0)
                .await
                .expect("it is there");
            assert_eq!(failed, Failed::Dead(1));
        }
        log.seek_group("g", 1).await.expect("it is there");
    }
    let (failed, _) = log.fail("g", 3, 0, "no", 0).await.expect("it is there");
    assert_eq!(failed, Failed::Dead(1));
    let letters = log.letters("g", 0, 10).await.expect("they are read");
    assert_eq!(letters.len(), 3);
    assert_eq!(log.group("g").await.expect("it is there").letters, 3);
    server.close().await;
}
