//! A server on a store, or several that share one, and the line of a client to one of them, which finds it again after it
//! was killed.

use std::path::Path;

use amadeus_proto::v1::graph_service_client::GraphServiceClient;
use tempfile::TempDir;
use tokio::sync::watch;
use tonic::transport::Channel;

use crate::process::{PATIENCE, Process};
use crate::random::Random;

/// A running server, its store, and the way to it.
pub struct Server {
    folder: TempDir,
    /// The store that it shares; its own is in the folder.
    shared: Option<String>,
    pub process: Process,
    channels: watch::Sender<Channel>,
    /// Those that it shares its store with.
    peers: Vec<(Process, watch::Sender<Channel>)>,
}

impl Server {
    /// Starts one on a new store.
    ///
    /// # Errors
    /// The end of its log, if it did not start.
    pub async fn start() -> Result<Self, String> {
        let folder = tempfile::tempdir().map_err(|error| error.to_string())?;
        let (process, channel) = start(folder.path(), None, "").await?;
        Ok(Self {
            folder,
            shared: None,
            process,
            channels: watch::Sender::new(channel),
            peers: Vec::new(),
        })
    }

    /// Starts so many on a store that they share.
    ///
    /// # Errors
    /// The end of a log, if one did not start.
    pub async fn start_many(store: String, count: usize) -> Result<Self, String> {
        let folder = tempfile::tempdir().map_err(|error| error.to_string())?;
        let (process, channel) = start(folder.path(), Some(&store), "").await?;
        let mut peers = Vec::new();
        for _ in 1..count {
            let (process, channel) = start(folder.path(), Some(&store), "").await?;
            peers.push((process, watch::Sender::new(channel)));
        }
        Ok(Self {
            folder,
            shared: Some(store),
            process,
            channels: watch::Sender::new(channel),
            peers,
        })
    }

    /// Whether others write to its store as well.
    pub fn is_shared(&self) -> bool {
        self.shared.is_some()
    }

    /// Lets one of those that share the store take the place of the one that is killed next.
    pub fn take_turns(&mut self, random: &mut Random) {
        let turn = random.below(self.peers.len() as u64 + 1) as usize;
        if let Some((process, channels)) = self.peers.get_mut(turn) {
            std::mem::swap(&mut self.process, process);
            std::mem::swap(&mut self.channels, channels);
        }
    }

    /// Kills it and starts it again on the same store, where this failpoint may be armed.
    ///
    /// # Errors
    /// The end of its log, if it did not start.
    pub async fn restart(&mut self, failpoint: &str) -> Result<(), String> {
        self.process.end().await;
        let (process, channel) =
            start(self.folder.path(), self.shared.as_deref(), failpoint).await?;
        self.process = process;
        self.channels.send_replace(channel);
        Ok(())
    }

    /// A line to it.
    pub fn line(&self) -> Line {
        self.line_of(0)
    }

    /// A line to one of those that share the store, for clients that are numbered.
    pub fn line_of(&self, client: u64) -> Line {
        let turn = (client % (self.peers.len() as u64 + 1)) as usize;
        let peer = turn.checked_sub(1).and_then(|turn| self.peers.get(turn));
        let mut channels = peer
            .map_or(&self.channels, |(_, channels)| channels)
            .subscribe();
        let channel = channels.borrow_and_update().clone();
        Line {
            graph: GraphServiceClient::new(channel),
            channels,
        }
    }
}

async fn start(
    folder: &Path,
    shared: Option<&str>,
    failpoint: &str,
) -> Result<(Process, Channel), String> {
    let mut process = match shared {
        Some(store) => {
            let options = ["--checkpoint-every", "15", "--store", store];
            Process::with(folder, &[], failpoint, &options)
        }
        None => Process::start(folder, &[], failpoint),
    };
    match process.ready().await {
        Some(channel) => Ok((process, channel)),
        None => Err(format!("it did not start:\n{}", process.tail())),
    }
}

/// One client's connection.
#[derive(Clone)]
pub struct Line {
    pub graph: GraphServiceClient<Channel>,
    channels: watch::Receiver<Channel>,
}

impl Line {
    /// Waits until the server was started again.
    ///
    /// # Errors
    /// That nobody did: a server fell silent that was not killed.
    pub async fn renew(&mut self) -> Result<(), String> {
        match tokio::time::timeout(PATIENCE, self.channels.changed()).await {
            Ok(Ok(())) => {
                let channel = self.channels.borrow_and_update().clone();
                self.graph = GraphServiceClient::new(channel);
                Ok(())
            }
            Ok(Err(_)) => Err("the server is gone for good".into()),
            Err(_) => Err(format!("no server came back in {PATIENCE:?}")),
        }
    }
}
