//! Backups on real files.

use crate::place::Place;
use std::collections::BTreeSet;
use std::time::Instant;

#[tokio::test]
async fn a_thousand_backups_at_once_are_a_thousand_files() {
    let place = Place::new();
    let mut server = place.server().await;
    let backups = server.opened.files.clone().expect("it is on disk").backups;
    let began = Instant::now();
    let mut made = Vec::new();
    for n in 0..1_000 {
        if n % 100 == 0 {
            server.grow(1).await;
        }
        let snapshot = server.graph.snapshot();
        let entry = backups
            .create(&snapshot, &format!("number {n}"))
            .expect("there is room");
        made.push((entry, snapshot.revision(), snapshot.hash()));
    }
    eprintln!("1,000 backups in {:?}", began.elapsed());
    let ids: BTreeSet<&str> = made.iter().map(|(entry, ..)| entry.id.as_str()).collect();
    assert_eq!(ids.len(), 1_000);
    assert!(
        made.iter().map(|(entry, ..)| &entry.id).is_sorted(),
        "ids sort by time"
    );
    let listed = backups.list("", usize::MAX).expect("it is there");
    assert!(listed.iter().eq(made.iter().map(|(entry, ..)| entry)));
    for (n, (entry, revision, hash)) in made.iter().enumerate() {
        let (again, snapshot) = backups.load(&entry.id).expect("it is whole");
        assert_eq!((snapshot.revision(), snapshot.hash()), (*revision, *hash));
        let content = again.content.expect("it is whole");
        assert_eq!(
            (content.hash, content.description),
            (*hash, format!("number {n}"))
        );
    }
    let page = backups.list(&made[499].0.id, 10).expect("it is there");
    assert!(
        page.iter()
            .eq(made[500..510].iter().map(|(entry, ..)| entry))
    );
    server.close().await;

    // Ids go on behind those of the last process, and a damaged file is listed as such and not restored.
    let server = place.server().await;
    let files = server.opened.files.clone().expect("it is on disk");
    let next = files
        .backups
        .create(&server.graph.snapshot(), "")
        .expect("there is room");
    assert!(next.id > made[999].0.id);
    let path = files
        .backups
        .folder()
        .join(format!("{}.backup", made[3].0.id));
    let mut bytes = std::fs::read(&path).expect("it is there");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&path, &bytes).expect("there is room");
    let listed = files.backups.list("", 5).expect("it is there");
    let damaged: Vec<bool> = listed.iter().map(|entry| entry.content.is_err()).collect();
    assert_eq!(damaged, [false, false, false, true, false]);
    assert!(
        files
            .backups
            .prepare_restore(&made[3].0.id, &files.checkpoints)
            .is_err()
    );
    assert!(files.backups.load("../graph").is_err());
    server.close().await;
}
