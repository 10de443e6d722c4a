//! Stores that were damaged: each is refused and left as it is, or recovered, and says which.

use crate::place::{Place, Server};
use amadeus::storage::OpenError;
use std::fs;
use std::path::{Path, PathBuf};

/// SplitMix64: enough for places, and a seed makes it repeatable.
struct Random(u64);

impl Random {
    fn new(test: u64) -> Self {
        let clock = std::time::SystemTime::now()
            .duration_since(std::time::UNIX_EPOCH)
            .map_or(0, |d| d.as_nanos() as u64);
        let seed = std::env::var("AMADEUS_TEST_SEED")
            .ok()
            .and_then(|s| s.parse().ok())
            .unwrap_or(clock ^ test);
        eprintln!("seed: AMADEUS_TEST_SEED={seed}");
        Self(seed)
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % bound.max(1)
    }
}

/// Where the newest records of a store are when it is damaged.
#[derive(Clone, Copy)]
enum Lies {
    /// All in the WAL, as a process leaves it that was killed early.
    Wal,
    /// Partly in the database, and the WAL begun anew over what it held before: SQLite does that every 1,000 pages.
    Both,
    /// All in the database, as a process leaves it that closed in order.
    Database,
}

/// A store with two checkpoints and a compacted log, and the head that was acknowledged.
async fn victim(lies: Lies) -> (Place, (u64, u128)) {
    let place = Place::new();
    let mut server = place.server().await;
    let more = if matches!(lies, Lies::Both) { 900 } else { 0 };
    server.grow(60 + more).await;
    server.checkpoint().await;
    server.grow(30).await;
    server.checkpoint().await;
    server.grow(40).await;
    let head = server.head();
    let killed = place.crashed();
    server.close().await;
    match lies {
        Lies::Wal | Lies::Both => (killed, head),
        Lies::Database => (place, head),
    }
}

/// Damages `file` at 100 random places, half of them flips and half cuts, each time in a fresh copy of the store.
async fn damage(test: u64, lies: Lies, pick: impl Fn(&Place) -> PathBuf) {
    let (victim, head) = victim(lies).await;
    let mut random = Random::new(test);
    let (mut refused, mut recovered) = (0, 0);
    for round in 0..100 {
        let place = victim.crashed();
        let file = pick(&place);
        let mut bytes = fs::read(&file).expect("it is there");
        let at = random.below(bytes.len() as u64);
        let what = if round % 2 == 0 {
            let bit = random.below(8);
            bytes[at as usize] ^= 1 << bit;
            format!("bit {bit} of byte {at} of {}", file.display())
        } else {
            bytes.truncate(at as usize);
            format!("{} cut to {at} bytes", file.display())
        };
        fs::write(&file, &bytes).expect("there is room");
        if opens_or_refuses(&place, head, &what).await {
            recovered += 1;
        } else {
            refused += 1;
        }
    }
    eprintln!(
        "{:?}: {refused} refused, {recovered} recovered",
        pick(&victim)
    );
}

/// Whether it opened. Then everything acknowledged is there, or the report says what may be missing; otherwise nothing was
/// touched, and the error names the store.
async fn opens_or_refuses(place: &Place, head: (u64, u128), what: &str) -> bool {
    let before = place.bytes();
    match place.open().await {
        Ok(opened) => {
            let newest = opened
                .history
                .at(opened.history.newest())
                .expect("it is kept");
            assert_eq!(
                (newest.revision(), newest.hash()),
                head,
                "{what}: {:?}",
                opened.report
            );
            // It must also carry on: what looked harmless must not spoil what is written next.
            let mut server = Server::of(opened);
            server.grow(3).await;
            let grown = server.head();
            server.close().await;
            let again = place.server().await;
            assert_eq!(again.head(), grown, "{what}, written to and opened again");
            again.close().await;
            true
        }
        Err(error) => {
            assert!(error.to_string().contains("graph.db"), "{what}: {error}");
            let after = place.bytes();
            let names = |all: &std::collections::BTreeMap<PathBuf, Vec<u8>>| {
                all.keys().cloned().collect::<Vec<_>>()
            };
            assert_eq!(names(&before), names(&after), "{what}: {error}");
            assert!(
                before == after,
                "{what}: a refused store was changed ({error})"
            );
            false
        }
    }
}

#[tokio::test]
async fn a_damaged_database_is_refused_or_recovered() {
    damage(1, Lies::Database, |place| place.db()).await;
}

#[tokio::test]
async fn a_damaged_database_below_a_wal_is_refused_or_recovered() {
    damage(2, Lies::Both, |place| place.db()).await;
}

#[tokio::test]
async fn a_damaged_wal_is_refused_or_recovered() {
    damage(3, Lies::Wal, |place| place.file("-wal")).await;
}

#[tokio::test]
async fn a_damaged_wal_over_a_database_is_refused_or_recovered() {
    damage(4, Lies::Both, |place| place.file("-wal")).await;
}

#[tokio::test]
async fn a_damaged_watermark_is_recovered() {
    damage(5, Lies::Wal, |place| place.file(".watermark")).await;
}

#[tokio::test]
async fn a_damaged_newest_checkpoint_is_recovered() {
    damage(6, Lies::Both, |place| {
        checkpoints(place).pop().expect("two are there")
    })
    .await;
}

#[tokio::test]
async fn a_damaged_older_checkpoint_is_recovered() {
    damage(7, Lies::Database, |place| checkpoints(place).remove(0)).await;
}

/// Flips one bit in every so manieth byte of every file of a store, each time in a fresh copy.
async fn flip_all_over(lies: Lies, every: usize) {
    let (victim, head) = victim(lies).await;
    for (file, whole) in victim.bytes() {
        let (mut refused, mut recovered) = (0, 0);
        for at in (0..whole.len()).step_by(every) {
            let place = victim.crashed();
            let mut bytes = whole.clone();
            // Another bit at each place, so that all eight have their turn.
            let bit = at / every % 8;
            bytes[at] ^= 1 << bit;
            let inside = file.strip_prefix(victim.folder()).expect("it is inside");
            fs::write(place.folder().join(inside), &bytes).expect("there is room");
            let what = format!("bit {bit} of byte {at} of {}", inside.display());
            if opens_or_refuses(&place, head, &what).await {
                recovered += 1;
            } else {
                refused += 1;
            }
        }
        let (name, size) = (file.display(), whole.len());
        eprintln!("{name}, {size} bytes: {refused} refused, {recovered} recovered");
    }
}

#[tokio::test]
#[ignore = "minutes: a flip at every 61st byte of a whole store; cargo test --test storage flip_anywhere -- --ignored --nocapture"]
async fn a_flip_anywhere_in_a_whole_store_is_refused_or_recovered() {
    for lies in [Lies::Wal, Lies::Database] {
        flip_all_over(lies, 61).await;
    }
}

fn checkpoints(place: &Place) -> Vec<PathBuf> {
    let entries = fs::read_dir(place.file(".checkpoints")).expect("it is there");
    let mut all: Vec<PathBuf> = entries.map(|e| e.expect("it can be read").path()).collect();
    all.sort();
    assert_eq!(all.len(), 2);
    all
}

#[tokio::test]
async fn a_damaged_file_is_named() {
    let (victim, head) = victim(Lies::Wal).await;
    for pick in [0, 1] {
        let place = victim.crashed();
        let file = checkpoints(&place).remove(pick);
        flip(&file);
        let damaged = fs::read(&file).expect("it is there");
        let opened = place.open().await.expect("the other one stands");
        let name = file.display().to_string();
        assert!(
            opened.report.iter().any(|line| line.contains(&name)),
            "{:?}",
            opened.report
        );
        assert_eq!(opened.history.newest(), head.0);
        opened.backend.close().await.expect("it closes");
        assert_eq!(
            fs::read(&file).expect("it is there"),
            damaged,
            "a damaged checkpoint is left as it is"
        );
    }
    let place = victim.crashed();
    checkpoints(&place).iter().for_each(|file| flip(file));
    let before = place.bytes();
    let refused = place
        .open()
        .await
        .map(drop)
        .expect_err("nothing covers the log's beginning");
    assert!(matches!(refused, OpenError::NoBase { .. }), "{refused}");
    assert!(before == place.bytes());

    let place = victim.crashed();
    fs::remove_file(place.file("-wal")).expect("it is there");
    let refused = place.open().await.map(drop).expect_err("the end is gone");
    let text = refused.to_string();
    assert!(
        matches!(
            refused,
            OpenError::Short {
                acknowledged: 130,
                ..
            }
        ) && text.contains("130"),
        "{text}"
    );
    // What the message offers works, and is said.
    fs::rename(place.file(".watermark"), place.folder().join("away")).expect("it is there");
    let opened = place.open().await;
    if let Ok(opened) = opened {
        assert!(
            opened.report.iter().any(|line| line.contains("missing")),
            "{:?}",
            opened.report
        );
        assert!(opened.history.newest() < 130);
        opened.backend.close().await.expect("it closes");
    }

    let place = victim.crashed();
    fs::write(place.file(".watermark"), [0; 128]).expect("there is room");
    let opened = place.open().await.expect("the log is whole");
    assert!(
        opened.report.iter().any(|line| line.contains("both slots")),
        "{:?}",
        opened.report
    );
    opened.backend.close().await.expect("it closes");
    let aside = fs::read_dir(place.folder()).expect("it is there");
    let aside = aside.filter(|e| {
        e.as_ref()
            .is_ok_and(|e| e.file_name().to_string_lossy().contains("damaged"))
    });
    assert_eq!(aside.count(), 1);
}

fn flip(file: &Path) {
    let mut bytes = fs::read(file).expect("it is there");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 4;
    fs::write(file, &bytes).expect("there is room");
}

#[tokio::test]
async fn what_is_no_store_is_refused_and_left_alone() {
    for (bytes, word) in [
        (&b""[..], "empty"),
        (b"{\"services\": {}}", "no SQLite database"),
    ] {
        let place = Place::new();
        fs::write(place.db(), bytes).expect("there is room");
        let refused = place
            .open()
            .await
            .map(drop)
            .expect_err("it is no store")
            .to_string();
        assert!(refused.contains(word), "{refused}");
        assert_eq!(fs::read(place.db()).expect("it is there"), bytes);
    }
    // A store whose database is gone is no empty store.
    let (place, _) = victim(Lies::Wal).await;
    fs::remove_file(place.db()).expect("it is there");
    let before = place.bytes();
    let refused = place
        .open()
        .await
        .map(drop)
        .expect_err("something is missing")
        .to_string();
    assert!(
        refused.contains("is missing") && refused.contains("watermark"),
        "{refused}"
    );
    assert!(before == place.bytes());
}

/// Changes a database behind the program's back.
async fn meddle(db: &Path, sql: &'static str) {
    use sqlx::{ConnectOptions, Connection};
    let options = sqlx::sqlite::SqliteConnectOptions::new()
        .filename(db)
        .create_if_missing(true);
    let mut connection = options.connect().await.expect("it opens");
    sqlx::raw_sql(sql)
        .execute(&mut connection)
        .await
        .expect("it works");
    connection.close().await.expect("it closes");
}

async fn refusal(sql: &'static str) -> String {
    let place = Place::new();
    let mut server = place.server().await;
    server.grow(20).await;
    server.close().await;
    meddle(&place.db(), sql).await;
    let before = place.bytes();
    let refused = place.open().await.map(drop).expect_err(sql).to_string();
    assert!(
        before == place.bytes(),
        "{sql}: a refused store was changed"
    );
    refused
}

#[tokio::test]
async fn a_log_that_was_tampered_with_is_refused_with_the_reason() {
    let cases = [
        (
            "DELETE FROM records WHERE revision = 7",
            "revision 7 is missing",
        ),
        (
            "DELETE FROM records WHERE revision > 18",
            "ends at revision 18",
        ),
        (
            "UPDATE records SET body = x'0801' WHERE revision = 3",
            "revision 3",
        ),
        (
            "UPDATE records SET body = (SELECT body FROM records WHERE revision = 4) WHERE revision = 5",
            "revision 5",
        ),
        // The first field of a record is its version, a number.
        (
            "UPDATE records SET body = x'0863' || substr(body, 3) WHERE revision = 6",
            "revision 6",
        ),
        ("UPDATE store SET compacted = 3", "is missing"),
        ("PRAGMA user_version = 9", "schema 9"),
        ("PRAGMA application_id = 1", "another program"),
        ("UPDATE store SET store_id = 'another'", "another"),
    ];
    for (sql, expected) in cases {
        let refused = refusal(sql).await;
        assert!(refused.contains(expected), "{sql}: {refused}");
    }
    let unknown =
        refusal("UPDATE records SET body = x'0863' || substr(body, 3) WHERE revision = 6").await;
    assert!(unknown.contains("version 99"), "{unknown}");
}
