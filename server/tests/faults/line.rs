//! A server on a store, and the line of a client to it, which finds it again after it was killed.

use std::path::Path;

use amadeus_proto::v1::graph_service_client::GraphServiceClient;
use tempfile::TempDir;
use tokio::sync::watch;
use tonic::transport::Channel;

use crate::process::{PATIENCE, Process};

/// A running server, its store, and the way to it.
pub struct Server {
    folder: TempDir,
    pub process: Process,
    channels: watch::Sender<Channel>,
}

impl Server {
    /// Starts one on a new store.
    ///
    /// # Errors
    /// The end of its log, if it did not start.
    pub async fn start() -> Result<Self, String> {
        let folder = tempfile::tempdir().map_err(|error| error.to_string())?;
        let (process, channel) = start(folder.path(), "").await?;
        Ok(Self {
            folder,
            process,
            channels: watch::Sender::new(channel),
        })
    }

    /// Kills it and starts it again on the same store, where this failpoint may be armed.
    ///
    /// # Errors
    /// The end of its log, if it did not start.
    pub async fn restart(&mut self, failpoint: &str) -> Result<(), String> {
        self.process.end().await;
        let (process, channel) = start(self.folder.path(), failpoint).await?;
        self.process = process;
        self.channels.send_replace(channel);
        Ok(())
    }

    /// A line to it.
    pub fn line(&self) -> Line {
        let mut channels = self.channels.subscribe();
        let channel = channels.borrow_and_update().clone();
        Line {
            graph: GraphServiceClient::new(channel),
            channels,
        }
    }
}

async fn start(folder: &Path, failpoint: &str) -> Result<(Process, Channel), String> {
    let mut process = Process::start(folder, &[], failpoint);
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
