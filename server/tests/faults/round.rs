//! One round: a server with one failpoint armed is started, proved, written to until the failpoint acts, and ended.

use std::fmt;

use amadeus_proto::v1;
use kg_core::faults::Point;
use tempfile::TempDir;
use tonic::transport::Channel;

use crate::clients::{Client, Notes, Stop, Told};
use crate::ledger::Write;
use crate::process::Process;
use crate::random::Random;

/// Clients that write at once, besides the one that runs errands.
const WRITERS: u64 = 4;

/// A failpoint that is not come to in this time is not on the way of this round.
const LONGEST: std::time::Duration = std::time::Duration::from_secs(10);

/// What a failpoint does, and when.
#[derive(Clone, Copy, Debug)]
pub struct Order {
    pub point: Point,
    pub action: &'static str,
    pub hit: u64,
}

impl fmt::Display for Order {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}={}@{}", self.point.name(), self.action, self.hit)
    }
}

impl Order {
    /// A random one at this point. Most of them kill; what else can happen there, happens now and then.
    pub fn at(point: Point, random: &mut Random) -> Self {
        let (others, hits): (&[&'static str], u64) = match point {
            Point::StoreMade | Point::StoreProved | Point::StoreMarked | Point::StoreOpened => {
                (&[], 1)
            }
            Point::LogInserted => (&["panic", "broken", "full"], 40),
            Point::LogCommitted => (&["panic", "broken"], 40),
            Point::CommitPlanning | Point::CommitAnswering => (&["panic"], 60),
            Point::CommitTaken
            | Point::CommitPlanned
            | Point::LogBegun
            | Point::LogMarked
            | Point::CommitAppended
            | Point::CommitPublished
            | Point::CommitAnswered
            | Point::CommitAnnounced => (&["panic"], 40),
            Point::ImportChunk => (&["panic"], 8),
            Point::FileWritten | Point::FileSynced | Point::FileRenamed => {
                (&["panic", "broken", "full"], 4)
            }
            Point::CheckpointWritten | Point::CompactRemoved | Point::CompactCommitted => {
                (&["panic"], 2)
            }
            Point::CheckpointRemoved => (&["panic"], 1),
            Point::BackupWritten => (&["panic"], 3),
            Point::RestorePrepared | Point::RestoreCommitted => (&["panic"], 2),
        };
        let kill = others.is_empty() || !random.one_in(6);
        Self {
            point,
            action: if kill {
                "kill"
            } else {
                *random.pick::<&'static str>(others)
            },
            hit: 1 + random.below(hits),
        }
    }

    /// Whether no write may succeed once it has acted; `None` where both are right.
    fn poisons(self) -> Option<bool> {
        match self.point {
            Point::CommitTaken
            | Point::CommitPlanned
            | Point::LogBegun
            | Point::LogMarked
            | Point::CommitAppended
            | Point::CommitPublished
            | Point::CommitAnswering
            | Point::CommitAnswered
            | Point::CommitAnnounced => Some(true),
            Point::LogInserted => Some(self.action != "full"),
            Point::LogCommitted => Some(self.action == "panic"),
            // A transaction of SQLite's may be left open, which the next write finds.
            Point::CompactRemoved | Point::CompactCommitted => None,
            _ => Some(false),
        }
    }
}

/// How a round ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// At its failpoint, at this hit.
    At(u64),
    /// Without coming to it.
    Elsewhere,
}

/// One store over its rounds.
pub struct Store {
    folder: TempDir,
    notes: Notes,
    rounds: u64,
}

impl Store {
    pub fn new() -> Self {
        Self {
            folder: tempfile::tempdir().expect("a folder"),
            notes: Notes::default(),
            rounds: 0,
        }
    }

    pub fn rounds(&self) -> u64 {
        self.rounds
    }

    /// Plays a round.
    ///
    /// # Errors
    /// What was wrong, with the end of the server's log.
    pub async fn round(&mut self, order: Order, random: &mut Random) -> Result<Ended, String> {
        self.rounds += 1;
        let mut process = Process::start(self.folder.path(), &[], &order.to_string());
        let played = self.play(&mut process, order, random).await;
        let ended = process.end().await;
        // What it said last may still be on its way.
        let heard = process.until(|heard| heard.gone).await;
        let told = |what: String| format!("{order}: {what}\n{}", process.tail());
        match played {
            Err(Stop::Wrong(what)) => Err(told(what)),
            Err(Stop::Silence(status)) if heard.fired.is_none() => Err(told(format!(
                "it did not answer ({status}) and ended with {ended}"
            ))),
            _ => match heard.fired {
                Some(hit) => Ok(Ended::At(hit)),
                None => Ok(Ended::Elsewhere),
            },
        }
    }

    /// Starts it without a failpoint, and proves what it holds.
    ///
    /// # Errors
    /// What was wrong, with the end of the server's log.
    pub async fn prove(&mut self) -> Result<u64, String> {
        let mut process = Process::start(self.folder.path(), &[], "");
        let told =
            |what: String, process: &Process| format!("the last start: {what}\n{}", process.tail());
        let Some(channel) = process.ready().await else {
            return Err(told("it did not start".into(), &process));
        };
        match self.verify(channel).await {
            Ok(()) => Ok(self.notes.open().newest()),
            Err(stop) => Err(told(format!("{stop:?}"), &process)),
        }
    }

    async fn play(
        &mut self,
        process: &mut Process,
        order: Order,
        random: &mut Random,
    ) -> Result<(), Stop> {
        let Some(channel) = process.ready().await else {
            // A store that is refused is gone too, and has not come to its failpoint.
            let heard = process
                .until(|heard| heard.fired.is_some() || heard.gone)
                .await;
            return match heard.fired {
                Some(_) => Ok(()),
                None => Err(Stop::Wrong("it did not start".into())),
            };
        };
        self.verify(channel.clone()).await?;
        let mut ear = process.ear();
        let mut clients = tokio::task::JoinSet::new();
        for writer in 0..WRITERS {
            let client = self.client(&channel, writer);
            clients.spawn(client.write_on(random.branch()));
        }
        clients.spawn(errands(
            self.client(&channel, WRITERS),
            order.point,
            random.branch(),
        ));
        let fired = ear.wait_for(|heard| heard.fired.is_some() || heard.gone);
        let fired = tokio::time::timeout(LONGEST, fired).await.is_ok();
        if fired && order.action != "kill" {
            self.look_after(&channel, order).await?;
        }
        // Those who write hear of it by themselves, or are heard no more.
        let _ = process.end().await;
        while let Some(client) = clients.join_next().await {
            match client {
                Ok(Err(Stop::Wrong(what))) => return Err(Stop::Wrong(what)),
                Ok(Err(Stop::Silence(status))) if !fired => {
                    // The failpoint may be out of reach because of it.
                    eprintln!("{order}: nothing happened; a client stopped at {status}");
                }
                Ok(_) => {}
                Err(error) => return Err(Stop::Wrong(format!("a client failed: {error}"))),
            }
        }
        Ok(())
    }

    fn client(&self, channel: &Channel, number: u64) -> Client {
        let name = format!("r{}-c{number}", self.rounds);
        Client::new(channel.clone(), self.notes.clone(), name)
    }

    /// After a start: settles what was left open, and compares everything with what was told.
    async fn verify(&mut self, channel: Channel) -> Result<(), Stop> {
        let mut client = self.client(&channel, WRITERS + 1);
        let seen = self.notes.open().seen;
        let head = client.status().await?.revision;
        if head < seen {
            return Err(Stop::Wrong(format!(
                "revision {seen} was shown, and the graph ends at {head}"
            )));
        }
        let open: Vec<Write> = self.notes.open().open.clone();
        for write in open {
            if client.ask(&write).await? == Told::Nothing {
                return Err(Stop::Silence(tonic::Status::unavailable(format!(
                    "{} could not be settled",
                    write.id
                ))));
            }
            self.notes.open().open.retain(|other| *other != write);
        }
        let (head, found) = client.all().await?;
        let told = self.notes.open().state_at(head)?;
        if let Some(difference) = told.difference(&found) {
            return Err(Stop::Wrong(format!("at revision {head}, {difference}")));
        }
        client.prove().await
    }

    /// After a panic or a bad disk: the process lives and reads; it writes, or says that it does not.
    async fn look_after(&self, channel: &Channel, order: Order) -> Result<(), Stop> {
        let living = |status| Stop::Wrong(format!("it does not live on: {status:?}"));
        let mut client = self.client(channel, WRITERS + 2);
        let newest = self.notes.open().newest();
        // Who commits hears of a panic a little later than standard error does.
        let told = loop {
            let told = client.probe().await.map_err(living)?;
            if told == Told::Nothing || order.poisons() != Some(true) {
                break told;
            }
        };
        let status = client.status().await.map_err(living)?;
        if status.revision < newest {
            return Err(Stop::Wrong(format!(
                "it shows revision {} behind {newest}",
                status.revision
            )));
        }
        match (order.poisons(), told) {
            (Some(true), Told::Nothing) => {
                while client.status().await.map_err(living)?.health() != v1::Health::Down {
                    tokio::task::yield_now().await;
                }
                Ok(())
            }
            (Some(false), Told::Nothing) => match client.probe().await.map_err(living)? {
                Told::Committed => Ok(()),
                _ => Err(Stop::Wrong("it takes no more writes".into())),
            },
            _ => Ok(()),
        }
    }
}

/// Does what leads to a point, until the server does not answer.
async fn errands(mut client: Client, point: Point, mut random: Random) -> Result<(), Stop> {
    loop {
        let errand = match point {
            Point::ImportChunk => 0,
            Point::BackupWritten => 1,
            Point::RestorePrepared | Point::RestoreCommitted => 2,
            Point::CheckpointWritten
            | Point::CheckpointRemoved
            | Point::CompactRemoved
            | Point::CompactCommitted => 3,
            _ => random.below(4),
        };
        let write = match errand {
            0 => client.an_import(&mut random),
            1 => {
                client.back_up().await?;
                continue;
            }
            2 => client.a_restore(&mut random).await?,
            _ => {
                client.compact().await?;
                continue;
            }
        };
        if client.ask(&write).await? == Told::Nothing {
            client.notes.open().open.push(write);
            return Ok(());
        }
    }
}
