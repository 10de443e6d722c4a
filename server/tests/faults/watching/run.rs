//! One run: writers, a client that is cut off, a death in the middle; then everything is read and followed again.

use std::collections::BTreeMap;

use amadeus_proto::v1;
use tokio::sync::{OnceCell, watch};
use tokio::task::JoinSet;

use super::follow::{self, Cut};
use super::states::{self, State};
use super::told::Message;
use super::writers::{self, BULK, KINDS, LABELS, SECTION, WRITES};
use crate::line::Server;
use crate::random::{Random, seed};

const WRITERS: u64 = 3;

/// Filters that are tried, besides a few that are always.
const FILTERS: u64 = 10;

/// What was written, and what was told of it.
#[derive(Clone)]
pub struct Run {
    /// The revision before the first that counts, and the last.
    pub first: u64,
    pub end: u64,
    /// Every revision between them, as it was.
    pub states: BTreeMap<u64, State>,
    /// Everything in one go, with and without what stood there before.
    pub whole: Vec<Message>,
    pub plain: Vec<Message>,
    /// Everything, with cuts.
    pub cut: Cut,
    /// By bookmark: what follows it, up to the next one.
    pub resumed: Vec<(u64, Vec<Message>)>,
    /// What came through each filter.
    pub filtered: Vec<(v1::WatchRequest, Vec<Message>)>,
}

/// The run, which is made once for all who look at it.
pub async fn run() -> &'static Run {
    static RUN: OnceCell<Run> = OnceCell::const_new();
    let make = || async {
        let seed = seed();
        let made = make(Random::of(seed)).await;
        made.unwrap_or_else(|what| panic!("AMADEUS_TEST_SEED={seed}: {what}"))
    };
    RUN.get_or_init(make).await
}

async fn make(mut random: Random) -> Result<Run, String> {
    let mut server = Server::start().await?;
    let mut line = server.line();
    let begin = v1::UpdateNodeRequest {
        path: format!("{SECTION}.begin"),
        value: Some(prost_types::Value {
            kind: Some(prost_types::value::Kind::BoolValue(true)),
        }),
        ..Default::default()
    };
    let wrong = |status: tonic::Status| status.to_string();
    let begun = line.graph.update_node(begin).await.map_err(wrong)?;
    let first = begun
        .into_inner()
        .header
        .map_or(0, |header| header.revision);

    let (tell_end, end) = watch::channel(None);
    let cut = tokio::spawn(follow::with_cuts(
        server.line(),
        first,
        random.branch(),
        end,
    ));
    let written = watch::Sender::new(0);
    let mut writers = JoinSet::new();
    for _ in 0..WRITERS {
        writers.spawn(writers::write(
            server.line(),
            random.branch(),
            written.clone(),
        ));
    }
    let mut half = written.subscribe();
    let half = half
        .wait_for(|written| *written >= WRITERS * WRITES / 2)
        .await;
    half.map_err(|error| error.to_string())?;
    server.restart("").await?;
    while let Some(writer) = writers.join_next().await {
        writer.map_err(|error| error.to_string())??;
    }
    line.renew().await?;
    let graph = &mut line.graph;
    let describe = graph.describe(v1::DescribeRequest::default()).await;
    let header = describe.map_err(wrong)?.into_inner().header;
    let end = header.map_or(0, |header| header.revision);
    tell_end.send_replace(Some(end));
    let cut = cut.await.map_err(|error| error.to_string())??;

    let mut states = BTreeMap::new();
    for revision in first..=end {
        states.insert(
            revision,
            states::read(graph, revision).await.map_err(wrong)?,
        );
    }
    let from = |revision: u64, previous_values| v1::WatchRequest {
        from_revision: revision,
        previous_values,
        ..Default::default()
    };
    let all = follow::until(graph, from(first + 1, true), end).await;
    let whole = all.map_err(wrong)?;
    let plain = follow::until(graph, from(first + 1, false), end).await;
    let plain = plain.map_err(wrong)?;
    let mut resumed = Vec::new();
    for bookmark in whole.iter().map(|message| message.bookmark) {
        if bookmark > 0 && bookmark < end {
            let next = follow::until(graph, from(bookmark + 1, true), bookmark + 1).await;
            resumed.push((bookmark, next.map_err(wrong)?));
        }
    }
    let mut filtered = Vec::new();
    for request in filters(&mut random) {
        let request = v1::WatchRequest {
            from_revision: first + 1,
            previous_values: true,
            ..request
        };
        let through = follow::until(graph, request.clone(), end).await;
        filtered.push((request, through.map_err(wrong)?));
    }
    server.process.end().await;
    Ok(Run {
        first,
        end,
        states,
        whole,
        plain,
        cut,
        resumed,
        filtered,
    })
}

/// Filters of every form, and some at random.
fn filters(random: &mut Random) -> Vec<v1::WatchRequest> {
    let filter = |kinds: &[&str], prefix: &str, relations: &[&str]| v1::WatchRequest {
        kinds: kinds.iter().map(|kind| (*kind).into()).collect(),
        name_prefix: prefix.into(),
        relations: relations.iter().map(|label| (*label).into()).collect(),
        ..Default::default()
    };
    let mut filters = vec![
        filter(&[], "", &[]),
        filter(&["nobody"], "", &[]),
        filter(&[BULK], "ab", &[]),
        filter(&[], "", &["runs"]),
    ];
    for _ in 0..FILTERS {
        let kinds = &KINDS[..random.below(3) as usize];
        let labels = &LABELS[random.below(3) as usize..];
        let prefix = *random.pick(&["", "a", "ab", "ac1", "b"]);
        filters.push(filter(kinds, prefix, labels));
    }
    filters
}
