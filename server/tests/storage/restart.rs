//! What a store holds after it was opened again.

use crate::place::{Place, options, step};
use amadeus::storage::{OpenError, OpenOptions, create_from_backup, open};
use kg_core::commit::HistoryLimits;
use kg_core::log::CommitLog;
use kg_core::mutation::{Mutation, Request, Transaction};
use kg_core::snapshot::RequestKey;

#[tokio::test]
async fn what_was_acknowledged_is_there_after_a_kill_and_after_a_close() {
    let place = Place::new();
    let mut server = place.server().await;
    server.grow(50).await;
    let head = server.head();
    let killed = place.crashed();
    server.close().await;
    for place in [&killed, &place] {
        let mut again = place.server().await;
        assert_eq!(again.head(), head);
        again.grow(1).await;
        assert_eq!(again.head().0, 51);
        again.close().await;
    }
}

#[tokio::test]
async fn old_revisions_are_as_they_were_after_a_restart() {
    let place = Place::new();
    let mut server = place.server().await;
    let mut hashes = Vec::new();
    for _ in 0..150 {
        server.grow(1).await;
        hashes.push(server.head());
    }
    server.close().await;
    let narrow = HistoryLimits {
        dense: 16,
        ..HistoryLimits::default()
    };
    for history in [HistoryLimits::default(), narrow] {
        let options = OpenOptions {
            history,
            ..options()
        };
        let opened = open(&place.url(), &options).await.expect("it opens");
        for (revision, hash) in hashes.iter().rev().take(100) {
            let then = opened.history.at(*revision).expect("it is kept");
            assert_eq!((then.revision(), then.hash()), (*revision, *hash));
        }
        opened.backend.close().await.expect("it closes");
    }
}

#[tokio::test]
async fn a_request_applies_once_also_across_a_restart() {
    let place = Place::new();
    let mut server = place.server().await;
    server.grow(3).await;
    let request = Request {
        key: RequestKey::new("me", "r"),
        body: 7,
    };
    let asked = || Transaction {
        request: Some(request),
        ..step(1_000)
    };
    assert_eq!(
        server.commit(asked()).await.expect("it commits").revision,
        4
    );
    server.grow(3).await;
    server.checkpoint().await;
    server.close().await;
    let mut server = place.server().await;
    let again = server.commit(asked()).await.expect("it is known");
    assert_eq!((again.revision, again.repeated), (4, true));
    assert_eq!(server.head().0, 7);
    server.close().await;
}

#[tokio::test]
async fn checkpoints_bound_the_log_and_two_of_them_stay() {
    let place = Place::new();
    let mut server = place.server().await;
    for _ in 0..5 {
        server.grow(40).await;
        server.checkpoint().await;
    }
    let files = server.opened.files.clone().expect("it is on disk");
    let kept: Vec<u64> = files
        .checkpoints
        .list()
        .expect("it is there")
        .iter()
        .map(|c| c.revision)
        .collect();
    assert_eq!(kept, [160, 200]);
    // The older of the two bounds the compaction, not the newer one: it is there for the day on which that is damaged.
    let oldest = server.opened.backend.read(160, 1).await;
    assert!(oldest.is_err(), "records up to 160 are gone");
    assert!(
        server
            .opened
            .backend
            .read(161, 1)
            .await
            .is_ok_and(|r| r.len() == 1)
    );
    let head = server.head();
    server.close().await;
    let server = place.server().await;
    assert_eq!(server.head(), head);
    server.close().await;
}

#[tokio::test]
async fn a_second_process_is_kept_out_and_told_by_whom() {
    let place = Place::new();
    let server = place.server().await;
    let refused = place
        .open()
        .await
        .map(drop)
        .expect_err("it is held")
        .to_string();
    let pid = std::process::id().to_string();
    assert!(
        refused.contains("graph.db.lock") && refused.contains(&pid),
        "{refused}"
    );
    server.close().await;
    place.server().await.close().await;
}

#[tokio::test]
async fn a_restore_is_one_revision_that_survives_a_restart() {
    let place = Place::new();
    let mut server = place.server().await;
    server.grow(5).await;
    let files = server.opened.files.clone().expect("it is on disk");
    let then = server.head().1;
    let backup = files
        .backups
        .create(&server.graph.snapshot(), "before")
        .expect("there is room");
    server.grow(5).await;
    let prepared = files
        .backups
        .prepare_restore(&backup.id, &files.checkpoints)
        .expect("it is whole");
    let restore = Mutation::Restore {
        checkpoint: prepared.checkpoint.clone(),
        content: prepared.content,
    };
    let outcome = server
        .commit(Transaction::of(vec![restore]))
        .await
        .expect("it commits");
    assert_eq!((outcome.revision, server.head().1), (11, then));
    server.grow(3).await;
    let head = server.head();
    server.close().await;

    let mut server = place.server().await;
    assert_eq!(server.head(), head);
    let at = server.opened.history.at(11).expect("it is kept");
    assert_eq!(at.hash(), then);
    // Without the content the log cannot be replayed across the restore, unless a checkpoint lies behind it.
    server.grow(1).await;
    server.close().await;
    let content = place.file(".checkpoints").join(&*prepared.checkpoint);
    let away = place.folder().join("away");
    std::fs::rename(&content, &away).expect("it is there");
    let refused = place
        .open()
        .await
        .map(drop)
        .expect_err("it cannot be replayed")
        .to_string();
    assert!(
        refused.contains("revision 11") && refused.contains(&*prepared.checkpoint),
        "{refused}"
    );
    std::fs::rename(&away, &content).expect("it is there");
    let server = place.server().await;
    server.checkpoint().await;
    let head = server.head();
    server.close().await;
    std::fs::remove_file(&content).expect("it is there");
    let server = place.server().await;
    assert_eq!(server.head(), head);
    assert!(
        server
            .opened
            .report
            .iter()
            .any(|line| line.contains("revision 11")),
        "{:?}",
        server.opened.report
    );
    server.close().await;
}

#[tokio::test]
async fn a_backup_becomes_a_store_of_its_own_where_there_is_none() {
    let (place, new) = (Place::new(), Place::new());
    let mut server = place.server().await;
    server.grow(5).await;
    let files = server.opened.files.clone().expect("it is on disk");
    let backup = files
        .backups
        .create(&server.graph.snapshot(), "to move")
        .expect("there is room");
    let path = files.backups.folder().join(format!("{}.backup", backup.id));
    let occupied = create_from_backup(&place.url(), &path).await;
    assert!(occupied.is_err(), "it is in use");
    create_from_backup(&new.url(), &path)
        .await
        .expect("nothing is there");
    let mut moved = new.server().await;
    assert_eq!(moved.head(), server.head());
    assert_ne!(moved.opened.store_id, server.opened.store_id);
    moved.grow(2).await;
    let head = moved.head();
    moved.close().await;
    let moved = new.server().await;
    assert_eq!(moved.head(), head);
    let again = create_from_backup(&new.url(), &path).await;
    assert!(again.is_err(), "it is in use");
    moved.close().await;
    let again = create_from_backup(&new.url(), &path).await;
    assert!(
        matches!(again, Err(OpenError::Occupied { .. })),
        "{again:?}"
    );
    server.close().await;
}

#[tokio::test]
async fn a_keeper_writes_checkpoints_while_others_commit() {
    use amadeus::storage::KeeperPolicy;
    let place = Place::new();
    let keeper = KeeperPolicy {
        every_records: 20,
        keep_records: 5,
        ..KeeperPolicy::default()
    };
    let options = OpenOptions {
        keeper,
        ..options()
    };
    let opened = open(&place.url(), &options).await.expect("it opens");
    let mut server = crate::place::Server::of(opened);
    let files = server.opened.files.clone().expect("it is on disk");
    let graph = server.graph.clone();
    let keeping = tokio::spawn({
        let files = files.clone();
        async move { files.keeper.run(&graph).await }
    });
    // Each time a checkpoint is due it has to come: wait for it, not for a while.
    for _ in 0..3 {
        server.grow(20).await;
        while files.keeper.is_due(server.head().0) {
            tokio::task::yield_now().await;
        }
    }
    keeping.abort();
    let _ = keeping.await;
    let kept = files.checkpoints.list().expect("it is there");
    assert!(
        (1..=2).contains(&kept.len()) && kept.iter().all(|c| c.is_whole()),
        "{kept:?}"
    );
    let head = server.head();
    server.close().await;
    let server = place.server().await;
    assert_eq!(server.head(), head);
    server.close().await;
}

#[tokio::test]
#[ignore = "a measurement, for a release build: cargo test --release -- --ignored"]
async fn a_large_store_is_open_in_seconds() {
    use kg_core::model::{EntityRef, Label, Object, RelationKey};
    let place = Place::new();
    let mut server = place.server().await;
    let entity = |n: u32| {
        EntityRef::parse("key", &format!("package/name-of-package-{}", n % 68_000)).expect("valid")
    };
    for chunk in 0..31_u32 {
        let relation = |n: u32| Mutation::PutRelation {
            key: RelationKey {
                from: entity(n),
                label: Label::depends_on(),
                // Scattered, and never the entity itself.
                to: entity(n + 1 + (n / 3).wrapping_mul(7_919) % 67_999),
            },
            properties: Object::new(),
            create_ends: true,
        };
        let mutations = (chunk * 10_000..(chunk + 1) * 10_000)
            .map(relation)
            .collect();
        let done = server.commit(Transaction::of(mutations)).await;
        assert_eq!(done.expect("it commits").revision, u64::from(chunk) + 1);
    }
    let (entities, relations) = server
        .graph
        .read(|s| (s.entity_count(), s.relation_count()));
    let head = server.head();
    server.close().await;
    let size = std::fs::metadata(place.db()).expect("it is there").len();
    for round in ["from nothing", "with a checkpoint"] {
        let began = std::time::Instant::now();
        let server = place.server().await;
        eprintln!(
            "{round}: {entities} entities, {relations} relations, {size} bytes: {:?}; {:?}",
            began.elapsed(),
            server.opened.report
        );
        assert_eq!(server.head(), head);
        let began = std::time::Instant::now();
        server.checkpoint().await;
        eprintln!("checkpoint: {:?}", began.elapsed());
        server.close().await;
    }
}
