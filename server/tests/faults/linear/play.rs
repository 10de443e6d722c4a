//! One history: clients that write, a death in the middle, what was left open, every old revision, and the verdict.

use std::ops::AddAssign;

use tokio::task::JoinSet;

use super::caller::{Caller, Notes, Patience};
use super::client::{Client, KEYS};
use super::model::{Ask, Told, Write};
use super::wire::Names;
use crate::line::Server;
use crate::process::PATIENCE;
use crate::random::Random;

const CLIENTS: u64 = 4;

/// Writes that may stay open, at most. Each may have taken effect anywhere, and every one more makes the search longer.
const OPEN: u64 = 2;

/// Calls that are asked before a kill, at most; all clients together make more.
const CALLS_BEFORE_DEATH: u64 = 30;

/// Hits of a failpoint before it kills, at most. A history is about as many batches.
const HITS: u64 = 10;

/// How the server dies in the middle of a history.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Death {
    Never,
    /// By SIGKILL, at some moment.
    Sometime,
    /// At this failpoint.
    At(String),
}

/// What histories were made of.
#[derive(Clone, Copy, Debug, Default)]
pub struct Played {
    pub histories: u64,
    pub deaths: u64,
    pub calls: usize,
    pub lost: usize,
}

impl AddAssign for Played {
    fn add_assign(&mut self, other: Self) {
        self.histories += other.histories;
        self.deaths += other.deaths;
        self.calls += other.calls;
        self.lost += other.lost;
    }
}

/// Plays one history and decides it.
///
/// # Errors
/// What was wrong, with the history.
pub async fn play(
    server: &mut Server,
    number: u64,
    death: &Death,
    random: &mut Random,
) -> Result<Played, String> {
    if let Death::At(point) = death {
        let armed = format!("{point}=kill@{}", 1 + random.below(HITS));
        server.restart(&armed).await?;
    }
    let notes = Notes::new();
    let caller = |server: &Server, client| Caller {
        line: server.line_of(client),
        names: Names {
            prefix: format!("h{number}-"),
            asks_the_log: server.is_shared(),
        },
        notes: notes.clone(),
    };
    // Not noted: what came before is none of this history's business.
    let before = Notes::new();
    let mut looking = caller(server, 0);
    looking.notes = before;
    let first = match looking.call(&Ask::List(None), Patience::Whole).await? {
        Some(Told::All(revision, all)) if all.is_empty() => revision,
        told => return Err(format!("history {number} begins with {told:?}")),
    };
    let mut clients = JoinSet::new();
    for client in 0..CLIENTS {
        let client = Client::new(caller(server, client), random.branch(), client, first);
        clients.spawn(client.play());
    }
    let deaths = live(server, death, &notes, clients, random).await?;

    let mut auditor = caller(server, random.below(CLIENTS));
    settle(&mut auditor, random.below(OPEN + 1)).await?;
    read_everything(&mut auditor, first, random).await?;
    let history = notes.open().history.clone();
    let (calls, lost) = history.counts();
    tokio::task::block_in_place(|| history.check(first))
        .map_err(|what| format!("history {number}: {what}"))?;
    // So that none of them takes effect in the next history.
    settle(&mut auditor, 0).await?;
    Ok(Played {
        histories: 1,
        deaths,
        calls,
        lost,
    })
}

/// Until the clients have ended, with the death that there is to be; how many there were.
async fn live(
    server: &mut Server,
    death: &Death,
    notes: &Notes,
    mut clients: JoinSet<Result<(), String>>,
    random: &mut Random,
) -> Result<u64, String> {
    let (mut asked, mut ear) = (notes.asked(), server.process.ear());
    let calls = usize::try_from(1 + random.below(CALLS_BEFORE_DEATH)).unwrap_or(1);
    let mut due = std::pin::pin!(async {
        // An error would say that it is too late.
        match death {
            Death::Never => std::future::pending().await,
            Death::Sometime => asked.wait_for(|asked| *asked >= calls).await.is_ok(),
            Death::At(_) => ear.wait_for(|heard| heard.gone).await.is_ok(),
        }
    });
    let mut deaths = 0;
    loop {
        tokio::select! {
            died = &mut due, if deaths == 0 => {
                deaths += u64::from(died);
                server.take_turns(random);
                server.restart("").await?;
            }
            ended = tokio::time::timeout(2 * PATIENCE, clients.join_next()) => match ended {
                Ok(Some(Ok(ended))) => ended?,
                Ok(Some(Err(error))) => return Err(format!("a client failed: {error}")),
                Ok(None) => break,
                Err(_) => return Err(format!("clients hang:\n{}", notes.open().history)),
            },
        }
    }
    if deaths == 0 && matches!(death, Death::At(_)) {
        // What is still armed must not go off later.
        server.restart("").await?;
    }
    Ok(deaths)
}

/// Asks again for writes whose outcome was not told, until no more than these are open.
async fn settle(auditor: &mut Caller, leave: u64) -> Result<(), String> {
    let open = |auditor: &Caller| -> Option<Write> {
        let noted = &mut auditor.notes.open();
        let enough = noted.open.len() as u64 <= leave;
        if enough { None } else { noted.open.pop() }
    };
    while let Some(write) = open(auditor) {
        let ask = Ask::Write(write);
        if auditor.call(&ask, Patience::Whole).await?.is_none() {
            return Err(format!("{ask:?} could not be settled"));
        }
    }
    Ok(())
}

/// The head, then every revision since the beginning.
async fn read_everything(
    auditor: &mut Caller,
    first: u64,
    random: &mut Random,
) -> Result<(), String> {
    let head = match auditor.call(&Ask::List(None), Patience::Whole).await? {
        Some(Told::All(revision, _)) => revision,
        told => return Err(format!("the head cannot be read: {told:?}")),
    };
    for revision in first..=head {
        let key = random.below(KEYS);
        for ask in [Ask::List(Some(revision)), Ask::Get(key, Some(revision))] {
            // What is told is judged with the rest.
            auditor.call(&ask, Patience::Whole).await?;
        }
    }
    Ok(())
}
