//! The rows of consumer groups and of their dead letters.

use kg_core::limits::DEAD_LETTERS;
use sqlx::sqlite::SqliteRow;
use sqlx::{Row as _, SqliteConnection};

use super::{signed, wrong};
use crate::events::groups::{Group, Letter, Unwritten};

pub(super) async fn load(connection: &mut SqliteConnection) -> Result<Vec<Group>, sqlx::Error> {
    let bodies: Vec<Vec<u8>> = sqlx::query_scalar("SELECT body FROM groups")
        .fetch_all(connection)
        .await?;
    let group = |body: Vec<u8>| prost::Message::decode(&*body);
    let groups = bodies.into_iter().map(group).collect::<Result<_, _>>();
    groups.map_err(|e: prost::DecodeError| wrong(format!("a group: {e}")))
}

pub(super) async fn write(
    connection: &mut SqliteConnection,
    changed: Unwritten,
) -> Result<(), sqlx::Error> {
    for (name, group) in &changed.groups {
        let Some(group) = group else {
            for sql in [
                "DELETE FROM groups WHERE name = ?",
                "DELETE FROM letters WHERE name = ?",
            ] {
                sqlx::query(sql)
                    .bind(name)
                    .execute(&mut *connection)
                    .await?;
            }
            continue;
        };
        if group.letters == 0 {
            // Those of one that had this name before.
            let sql = "DELETE FROM letters WHERE name = ?";
            sqlx::query(sql)
                .bind(name)
                .execute(&mut *connection)
                .await?;
        }
        sqlx::query("INSERT OR REPLACE INTO groups (name, body) VALUES (?, ?)")
            .bind(name)
            .bind(prost::Message::encode_to_vec(group))
            .execute(&mut *connection)
            .await?;
    }
    for (name, letter) in &changed.letters {
        sqlx::query("INSERT OR REPLACE INTO letters (name, place, body) VALUES (?, ?, ?)")
            .bind(name)
            .bind(signed(letter.event.offset))
            .bind(letter.encode())
            .execute(&mut *connection)
            .await?;
        let sql = "DELETE FROM letters WHERE name = ?1 AND place <= \
            (SELECT place FROM letters WHERE name = ?1 ORDER BY place DESC LIMIT 1 OFFSET ?2)";
        sqlx::query(sql)
            .bind(name)
            .bind(DEAD_LETTERS as i64)
            .execute(&mut *connection)
            .await?;
    }
    Ok(())
}

/// Dead letters of a group behind a place, oldest first.
pub(super) async fn letters(
    connection: &mut SqliteConnection,
    name: String,
    after: u64,
    limit: usize,
) -> Result<Vec<Letter>, sqlx::Error> {
    let sql = "SELECT place, body FROM letters WHERE name = ? AND place > ? ORDER BY place LIMIT ?";
    let rows = sqlx::query(sql)
        .bind(name)
        .bind(signed(after))
        .bind(i64::try_from(limit).unwrap_or(i64::MAX))
        .fetch_all(connection)
        .await?;
    let letter = |row: &SqliteRow| {
        let place: i64 = row.try_get(0)?;
        Letter::decode(place.cast_unsigned(), row.try_get(1)?).map_err(wrong)
    };
    rows.iter().map(letter).collect()
}
