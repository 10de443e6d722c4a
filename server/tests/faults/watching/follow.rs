//! Following a stream: in one go, or with cuts, as a client does that keeps its bookmark.

use amadeus_proto::v1;
use tokio::sync::watch;
use tonic::transport::Channel;
use tonic::{Code, Status, Streaming};
use v1::graph_service_client::GraphServiceClient;

use super::told::Message;
use crate::line::Line;
use crate::random::Random;

/// Opens a stream and follows it up to and with a bookmark.
pub async fn until(
    graph: &mut GraphServiceClient<Channel>,
    request: v1::WatchRequest,
    bookmark: u64,
) -> Result<Vec<Message>, Status> {
    let mut stream = graph.watch(request).await?.into_inner();
    let mut messages = Vec::new();
    loop {
        let message = next(&mut stream).await?;
        let reached = message.bookmark >= bookmark;
        messages.push(message);
        if reached {
            return Ok(messages);
        }
    }
}

async fn next(stream: &mut Streaming<v1::WatchResponse>) -> Result<Message, Status> {
    let message = stream.message().await?;
    let ended = || Status::aborted("the stream ended");
    Ok(Message::of(message.ok_or_else(ended)?))
}

/// What a client has that was cut off again and again.
#[derive(Clone)]
pub struct Cut {
    pub messages: Vec<Message>,
    /// Cuts that it made itself, and those that the server made by dying.
    pub cuts: u32,
    pub deaths: u32,
}

/// Follows everything behind `first` until the end is known and reached, and resumes behind its bookmark after each cut.
/// What it got of a revision that was not finished by then it throws away.
pub async fn with_cuts(
    mut line: Line,
    first: u64,
    mut random: Random,
    mut end: watch::Receiver<Option<u64>>,
) -> Result<Cut, String> {
    let (mut cut, mut bookmark) = (
        Cut {
            messages: Vec::new(),
            cuts: 0,
            deaths: 0,
        },
        first,
    );
    let over = |bookmark: u64, end: Option<u64>| end.is_some_and(|end| bookmark >= end);
    loop {
        let request = v1::WatchRequest {
            from_revision: bookmark + 1,
            previous_values: true,
            ..Default::default()
        };
        let mut lived = 1 + random.below(12);
        let died = match line.graph.watch(request).await {
            Ok(stream) => {
                let mut stream = stream.into_inner();
                loop {
                    let told = tokio::select! {
                        told = next(&mut stream) => told,
                        // Nothing more may come once the end is known.
                        _ = end.wait_for(|end| over(bookmark, *end)) => return Ok(cut),
                    };
                    match told {
                        Ok(message) => {
                            bookmark = bookmark.max(message.bookmark);
                            cut.messages.push(message);
                        }
                        Err(status) => break Some(status),
                    }
                    lived -= 1;
                    if lived == 0 {
                        break None;
                    }
                }
            }
            Err(status) => Some(status),
        };
        while cut.messages.last().is_some_and(|last| last.bookmark == 0) {
            cut.messages.pop();
        }
        match died {
            None => cut.cuts += 1,
            Some(status) if status.code() == Code::OutOfRange => return Err(status.to_string()),
            Some(status) => {
                cut.deaths += 1;
                line.renew()
                    .await
                    .map_err(|what| format!("{what}: {status}"))?;
            }
        }
    }
}
