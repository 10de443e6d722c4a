//! A store on a disk that is full, and has room again.

use crate::place::{Server, options, step};
use crate::small_disk::SmallDisk;
use amadeus::storage::open;
use kg_core::commit::CommitError;
use std::fs;

#[tokio::test]
async fn a_full_disk_fails_writes_and_no_more_than_that() {
    let disk = match SmallDisk::mount() {
        Ok(disk) => disk,
        Err(why) => return eprintln!("skipped: no small disk can be mounted here ({why})"),
    };
    let url = format!("sqlite://{}", disk.path().join("graph.db").display());
    let mut server = Server::of(open(&url, &options()).await.expect("there is room"));
    server.grow(10).await;
    let filler = disk.path().join("filler");
    for _round in 0..3 {
        // All that is left, to the last byte.
        let _ = fs::write(&filler, vec![1; 8 * 1024 * 1024]);
        let mut refused = 0;
        for _try in 0..200 {
            let (before, hash) = server.head();
            match server.commit(step(before + 1)).await {
                Ok(outcome) => assert_eq!(outcome.revision, before + 1),
                Err(CommitError::StoreFull(why)) => {
                    refused += 1;
                    assert!(why.contains("full"), "{why}");
                    assert_eq!(
                        server.head(),
                        (before, hash),
                        "a failed write leaves no trace"
                    );
                }
                Err(other) => panic!("a full disk gave {other:?}"),
            }
            if refused == 5 {
                break;
            }
        }
        assert_eq!(refused, 5, "the disk is full");
        assert!(server.graph.poisoned().is_none());
        fs::remove_file(&filler).expect("it is there");
        server.grow(5).await;
    }
    // Full again, and killed: what was acknowledged is there once there is room to open it.
    let _ = fs::write(&filler, vec![1; 8 * 1024 * 1024]);
    let head = server.head();
    let copy = crate::place::Place::new();
    for entry in fs::read_dir(disk.path()).expect("it is there") {
        let entry = entry.expect("it can be read");
        if entry.path().is_file() && entry.file_name() != "filler" {
            fs::copy(entry.path(), copy.folder().join(entry.file_name())).expect("there is room");
        }
    }
    let again = copy.server().await;
    assert_eq!(again.head(), head);
    again.close().await;
    fs::remove_file(&filler).expect("it is there");
    server.close().await;
}
