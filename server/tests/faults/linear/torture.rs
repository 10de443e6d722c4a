//! Many histories, on two servers side by side.

use super::play::{Death, Played, play};
use crate::line::Server;
use crate::random::Random;

/// Servers at once: while one starts, the other works.
const SIDE_BY_SIDE: u64 = 2;

/// Servers that share a store.
const SERVERS: usize = 3;

/// One history in so many has a death in it. A start costs more than a history.
const DEATHS: u64 = 5;

/// Plays so many histories, and decides each. With a failpoint every one of them dies there.
///
/// # Errors
/// The first thing that was wrong.
pub async fn torture(histories: u64, point: Option<String>, seed: u64) -> Result<Played, String> {
    let mut sources = Random::of(seed);
    let mut sides = tokio::task::JoinSet::new();
    for side in 0..SIDE_BY_SIDE {
        let share = histories / SIDE_BY_SIDE + u64::from(side < histories % SIDE_BY_SIDE);
        let (point, random) = (point.clone(), sources.branch());
        sides.spawn(async move { one_side(Server::start().await?, share, point, random).await });
    }
    let mut played = Played::default();
    while let Some(side) = sides.join_next().await {
        played += side.map_err(|error| error.to_string())??;
    }
    Ok(played)
}

/// Plays so many histories on servers that share a store, and decides each.
///
/// # Errors
/// The first thing that was wrong.
pub async fn torture_many(histories: u64, store: String, seed: u64) -> Result<Played, String> {
    let servers = Server::start_many(store, SERVERS).await?;
    one_side(servers, histories, None, Random::of(seed)).await
}

async fn one_side(
    mut server: Server,
    histories: u64,
    point: Option<String>,
    mut random: Random,
) -> Result<Played, String> {
    let mut played = Played::default();
    for number in 1..=histories {
        let death = match &point {
            Some(point) => Death::At(point.clone()),
            None if number % DEATHS == 0 => Death::Sometime,
            None => Death::Never,
        };
        let done = play(&mut server, number, &death, &mut random).await;
        played += done.map_err(|what| format!("{what}\n{}", server.process.tail()))?;
    }
    Ok(played)
}
