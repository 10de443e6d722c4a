//! Runs: begun, read, listed, cancelled, followed.
//!
//! A run is seen by who began it and by whoever reads everything; to anybody else it does not exist.

use std::time::Duration;

use amadeus_proto::v1;
use futures::stream::{self, StreamExt as _};
use kg_core::limits::MESSAGE_BYTES;
use kg_core::model::Name;
use prost::Message as _;
use tokio::time::{Instant, sleep_until};
use tonic::{Request, Response, Status};
use xxhash_rust::xxh3::xxh3_64;

use super::{Replies, Service};
use crate::auth::{Caller, Role};
use crate::nexus::Runs;
use crate::nexus::rows::{About, Cancel, OwnerId, RunFilter, RunKey};
use crate::nexus::runs::{Order, View, Watched};
use crate::rpc::freshness::deadline;
use crate::rpc::{from_proto, status, to_proto};

/// Runs of one page, where the request does not say, and at most.
const PAGE: (usize, usize) = (100, 1_000);

/// Bytes of a correlation.
const CORRELATION_BYTES: usize = 256;

/// Lines of a timeline that one reply tells: the newest, as far as they fit.
const TIMELINE: usize = 10_000;

/// Bytes of a message that a run, its timeline and its definition may take.
pub(super) const ROOM: usize = MESSAGE_BYTES - 4_096;

/// Bytes of a line within a message.
fn bytes_of(line: &v1::RunLine) -> usize {
    line.encoded_len() + 5
}

pub(super) async fn execute_pattern(
    service: &Service,
    request: Request<v1::ExecutePatternRequest>,
) -> Result<Response<v1::ExecutePatternResponse>, Status> {
    let caller = Caller::of(request.extensions());
    let until = deadline(request.metadata());
    let asked = request.into_inner();
    let wait = asked.wait;
    let id = service.runs.begin(order(caller, asked)?).await?;
    if wait {
        let ending = service.runs.ended(&id);
        tokio::select! {
            ended = ending => ended?,
            () = moment(until) => {}
            () = service.context.stopped() => {}
        }
    }
    let mut run = service.runs.run(&id).await?.ok_or_else(|| no_run(&id.0))?;
    to_proto::run::fit(&mut run, ROOM);
    Ok(Response::new(v1::ExecutePatternResponse {
        header: service.context.header(run.graph_revision),
        run: Some(run),
    }))
}

fn order(caller: Caller, mut asked: v1::ExecutePatternRequest) -> Result<Order, Status> {
    from_proto::check_identity(&asked.request_id, &asked.reason).map_err(status::fault)?;
    from_proto::check_text("correlation_id", &asked.correlation_id, CORRELATION_BYTES)
        .map_err(status::fault)?;
    let pattern = Name::parse("pattern", &asked.pattern).map_err(status::fault)?;
    let inputs = from_proto::object("inputs", asked.inputs.as_ref()).map_err(status::fault)?;
    let request_id = std::mem::take(&mut asked.request_id);
    let reason = std::mem::take(&mut asked.reason);
    // Whoever asks again may wait this time.
    asked.wait = false;
    let request =
        (!request_id.is_empty()).then(|| format!("{}\n{request_id}", caller.principal.requester()));
    Ok(Order {
        caller,
        pattern,
        inputs,
        correlation: asked.correlation_id.as_str().into(),
        reason,
        expected: asked.pattern_revision,
        request,
        body: xxh3_64(&asked.encode_to_vec()),
    })
}

pub(super) async fn get_run(
    service: &Service,
    request: Request<v1::GetRunRequest>,
) -> Result<Response<v1::GetRunResponse>, Status> {
    let caller = Caller::of(request.extensions());
    let asked = request.into_inner();
    let mut view = seen_run(Some(&service.runs), &caller, &asked.run_id).await?;
    let mut timeline = Vec::new();
    if asked.timeline {
        timeline = std::mem::take(&mut view.lines);
        timeline.drain(..timeline.len().saturating_sub(TIMELINE));
    }
    let room = ROOM.saturating_sub(view.pattern.encoded_len());
    let lines: usize = timeline.iter().map(bytes_of).sum();
    to_proto::run::fit(&mut view.run, room.saturating_sub(lines.min(room / 2)));
    let room = room.saturating_sub(view.run.encoded_len());
    let newest = timeline.iter().rev().scan(0, |bytes, line| {
        *bytes += bytes_of(line);
        (*bytes <= room).then_some(())
    });
    let newest = newest.count();
    timeline.drain(..timeline.len() - newest);
    let reply = v1::GetRunResponse {
        header: head(service),
        run: Some(view.run),
        timeline,
        pattern: Some(view.pattern),
    };
    crate::rpc::graph::fitting(reply)
}

pub(super) async fn list_runs(
    service: &Service,
    request: Request<v1::ListRunsRequest>,
) -> Result<Response<v1::ListRunsResponse>, Status> {
    let caller = Caller::of(request.extensions());
    let asked = request.into_inner();
    let size = match asked.page_size as usize {
        0 => PAGE.0,
        size => size.min(PAGE.1),
    };
    let states = asked
        .states
        .iter()
        .map(|state| to_proto::run::state_of(*state));
    let all = caller.principal.has(Role::Reader);
    let key = (!all && key_in(&caller.principal.name).is_some()).then_some(&*caller.principal.name);
    let only = match key {
        Some(name) if !asked.actor.is_empty() && asked.actor != name => {
            // Of somebody else's runs a key sees none.
            return Ok(Response::new(v1::ListRunsResponse {
                header: head(service),
                ..Default::default()
            }));
        }
        Some(name) => name.to_owned(),
        None => asked.actor,
    };
    let filter = RunFilter {
        pattern: asked.pattern,
        states: states.collect::<Result<_, _>>().map_err(status::fault)?,
        actor: only,
        correlation: asked.correlation_id,
        parent: asked.parent_run,
        begun_by: (!all).then(|| own(&caller)),
        before: place(&asked.page_token)?,
    };
    let rows = service.runs.list(&filter, size + 1).await?;
    let next = (rows.len() > size).then(|| rows[size - 1].key);
    Ok(Response::new(v1::ListRunsResponse {
        header: head(service),
        runs: rows.iter().take(size).map(to_proto::run::listed).collect(),
        next_page_token: next.map_or_else(String::new, |key| format!("{:x}", key.0)),
    }))
}

/// Runs are ordered by their places, which never change: that of the last one tells where a list goes on.
fn place(token: &str) -> Result<Option<RunKey>, Status> {
    if token.is_empty() {
        return Ok(None);
    }
    let key = u64::from_str_radix(token, 16);
    let key = key.map_err(|_| status::invalid("page_token", "is no page token, or is damaged"))?;
    Ok(Some(RunKey(key)))
}

pub(super) async fn cancel_run(
    service: &Service,
    request: Request<v1::CancelRunRequest>,
) -> Result<Response<v1::CancelRunResponse>, Status> {
    let caller = Caller::of(request.extensions());
    let asked = request.into_inner();
    from_proto::check_identity("", &asked.reason).map_err(status::fault)?;
    let row = service.runs.row(&asked.run_id).await?;
    let row =
        row.filter(|row| may_see(&caller, &row.about) || caller.principal.has(Role::Operator));
    let row = row.ok_or_else(|| no_run(&asked.run_id))?;
    if !(is_own(&caller, &row.about) || caller.principal.has(Role::Operator)) {
        return Err(status::denied(
            "a run is cancelled by who began it, or by an operator",
        ));
    }
    let cancel = Cancel {
        actor: caller.principal.name.clone(),
        reason: asked.reason.into(),
    };
    service.runs.cancel(&row.id, cancel).await?;
    let run = service.runs.run(&row.id).await?;
    let mut run = run.ok_or_else(|| no_run(&asked.run_id))?;
    to_proto::run::fit(&mut run, ROOM);
    Ok(Response::new(v1::CancelRunResponse {
        header: head(service),
        run: Some(run),
    }))
}

pub(super) async fn watch_run(
    service: &Service,
    request: Request<v1::WatchRunRequest>,
) -> Result<Response<Replies<v1::WatchRunResponse>>, Status> {
    let caller = Caller::of(request.extensions());
    let asked = request.into_inner();
    let row = service.runs.row(&asked.run_id).await?;
    let row = row.filter(|row| may_see(&caller, &row.about));
    let row = row.ok_or_else(|| no_run(&asked.run_id))?;
    let watching = service.context.watchers.open()?;
    let watched = service.runs.watch(&row.id, asked.from_seq.max(1));
    let service = service.clone();
    let state = Some((watched, watching));
    let replies = stream::unfold(state, move |state| {
        let service = service.clone();
        async move {
            let (mut watched, watching) = state?;
            let told = tokio::select! {
                told = watched.next() => told,
                () = service.context.stopped() => Err(status::stopping()),
            };
            match told {
                Ok(Watched {
                    lines,
                    mut run,
                    last,
                }) => {
                    let bytes: usize = lines.iter().map(bytes_of).sum();
                    to_proto::run::fit(&mut run, ROOM.saturating_sub(bytes));
                    let reply = v1::WatchRunResponse {
                        header: head(&service),
                        lines,
                        run: Some(run),
                    };
                    Some((Ok(reply), (!last).then_some((watched, watching))))
                }
                Err(error) => Some((Err(error), None)),
            }
        }
    });
    Ok(Response::new(replies.boxed()))
}

/// A run, for somebody who may see it.
pub(in crate::rpc) async fn seen_run(
    runs: Option<&Runs>,
    caller: &Caller,
    id: &str,
) -> Result<View, Status> {
    let view = match runs {
        Some(runs) => runs.view(id).await?,
        None => None,
    };
    let view = view.filter(|view| may_see(caller, &view.about));
    view.ok_or_else(|| no_run(id))
}

/// Whether somebody may see this run.
pub(super) fn may_see(caller: &Caller, about: &About) -> bool {
    is_own(caller, about) || caller.principal.has(Role::Reader)
}

/// A user's runs are theirs, also those that their keys began. A key may less than its user: only what it began itself is its own.
fn is_own(caller: &Caller, about: &About) -> bool {
    let begun_by = about.begun_by();
    let key = key_in(&caller.principal.name);
    let with_it = matches!(about.owner, OwnerId::Key(..)) && key_in(&about.actor) == key;
    !begun_by.is_empty() && own(caller) == begun_by && (key.is_none() || with_it)
}

/// The key in the name of who signed in with one.
fn key_in(name: &str) -> Option<&str> {
    name.split_once('/').map(|(_, key)| key)
}

fn own(caller: &Caller) -> String {
    caller
        .principal
        .user
        .as_ref()
        .map_or_else(String::new, |user| user.0.to_string())
}

pub(super) fn no_run(id: &str) -> Status {
    status::not_found(format!("the run {id}"))
}

fn head(service: &Service) -> Option<v1::ResponseHeader> {
    service.context.header(service.context.graph.revisions().0)
}

async fn moment(until: Option<Instant>) {
    match until {
        Some(until) => sleep_until(until - Duration::from_millis(20)).await,
        None => std::future::pending().await,
    }
}
