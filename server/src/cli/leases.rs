//! Leases from the command line: who promised to call, and a call for those who cannot.

use std::time::Duration;

use amadeus_proto::v1::{
    GrantLeaseRequest, KeepAliveRequest, KeepAliveResponse, Lease, ListLeasesRequest,
    RevokeLeaseRequest,
};
use clap::{Args, Subcommand};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Streaming};

use super::{
    args::{Health, ListArgs, WriteArgs},
    failure::CliError,
    out,
    overview::tell_count,
    session::Session,
    table,
};

#[derive(Debug, Subcommand)]
pub enum LeaseCommand {
    /// List leases: of which services, and how long they have been silent
    List(LeaseListArgs),
    /// Take a lease of a registered service, and print it; somebody has to call for it
    Grant(LeaseGrantArgs),
    /// Take a lease of a registered service and call for it until Ctrl-C, then give it back
    #[command(after_help = "\
Example:
  amadeus lease keep checkout --ttl 10s &     # in the start script of a service that does not call by itself")]
    Keep(LeaseGrantArgs),
    /// End a lease
    Revoke(LeaseRevokeArgs),
}

#[derive(Debug, Args)]
pub struct LeaseListArgs {
    /// Those of this service
    #[arg(long, default_value = "", hide_default_value = true)]
    pub service: String,
    /// Those that say this of their service
    #[arg(long)]
    pub health: Option<Health>,
    #[command(flatten)]
    pub list: ListArgs,
}

#[derive(Debug, Args)]
pub struct LeaseGrantArgs {
    /// The service
    pub service: String,
    /// How long it lives without a call: `10s`, `500ms`, `5m`; 200 ms to 24 hours
    #[arg(long, default_value = "10s", value_parser = ttl)]
    pub ttl: Duration,
    #[command(flatten)]
    pub write: WriteArgs,
}

#[derive(Debug, Args)]
pub struct LeaseRevokeArgs {
    /// The lease, as `amadeus lease list` names it
    pub id: String,
    #[command(flatten)]
    pub write: WriteArgs,
}

pub async fn run(session: &mut Session, command: LeaseCommand) -> Result<(), CliError> {
    match command {
        LeaseCommand::List(args) => list(session, args).await,
        LeaseCommand::Grant(args) => {
            let reply = grant(session, &args).await?;
            session.show(&reply, |reply| {
                reply.lease.as_ref().map(one).unwrap_or_default()
            })
        }
        LeaseCommand::Keep(args) => keep(session, args).await,
        LeaseCommand::Revoke(args) => {
            revoke(session, &args.id, &args.write).await?;
            out::note(&format!("the lease {} is over", table::visible(&args.id)));
            Ok(())
        }
    }
}

async fn list(session: &mut Session, args: LeaseListArgs) -> Result<(), CliError> {
    let request = ListLeasesRequest {
        service: args.service,
        health: args
            .health
            .map(|health| amadeus_proto::v1::Health::from(health).into()),
        ..ListLeasesRequest::default()
    };
    let send = async |r| session.liveness().list_leases(r).await;
    let reply = session.list(request, &args.list, send).await?;
    session.show(&reply, |reply| {
        let heading = ["ID", "SERVICE", "TTL", "HEALTH", "SILENT", "SERVER", ""];
        table::columns(&heading, reply.leases.iter().map(row))
    })?;
    tell_count(
        &table::count(reply.leases.len(), "lease", "leases"),
        reply.header.as_ref(),
    );
    Ok(())
}

async fn grant(
    session: &Session,
    args: &LeaseGrantArgs,
) -> Result<amadeus_proto::v1::GrantLeaseResponse, CliError> {
    let request = GrantLeaseRequest {
        service: args.service.clone(),
        ttl: prost_types::Duration::try_from(args.ttl).ok(),
        request_id: args.write.request_id.clone(),
        reason: args.write.reason.clone(),
        ..GrantLeaseRequest::default()
    };
    let send = async |r| session.liveness().grant_lease(r).await;
    session.write(&args.write.request_id, request, send).await
}

async fn revoke(session: &Session, id: &str, write: &WriteArgs) -> Result<(), CliError> {
    let request = RevokeLeaseRequest {
        lease_id: id.to_owned(),
        request_id: write.request_id.clone(),
        reason: write.reason.clone(),
    };
    let send = async |r| session.liveness().revoke_lease(r).await;
    session.call(request, send).await.map(drop)
}

/// Calls three times within each time to live. A lease that is gone ends it, and so does a server that went away: whoever
/// started this decides what to do then.
async fn keep(session: &mut Session, args: LeaseGrantArgs) -> Result<(), CliError> {
    let granted = grant(session, &args).await?;
    let lease = granted.lease.unwrap_or_default();
    out::note(&format!(
        "calling for {} under the lease {} every {:?}, until Ctrl-C",
        table::visible(&lease.service),
        lease.id,
        args.ttl / 3
    ));
    let (mut calls, mut answers) = calling(session).await?;
    let mut due = tokio::time::interval(args.ttl / 3);
    let mut ended = std::pin::pin!(tokio::signal::ctrl_c());
    loop {
        tokio::select! {
            _ = due.tick() => {
                let call = KeepAliveRequest { lease_id: lease.id.clone(), ..KeepAliveRequest::default() };
                // Where it cannot be sent the answer says why.
                let _ = calls.send(call).await;
            }
            answer = answers.message() => match answer {
                // A stream ends with the token that it was opened by.
                Err(status) if status.code() == Code::Unauthenticated && session.renew().await? => {
                    (calls, answers) = calling(session).await?;
                }
                Err(status) => return Err(CliError::call(status)),
                Ok(None) => return Err(CliError::Usage("the server ended the stream of calls".into())),
                Ok(Some(answer)) => match answer.lost.first() {
                    Some(lost) if lost.gone => return Err(CliError::Usage(lost.message.clone())),
                    Some(lost) => out::note(&format!("not kept yet: {}", table::visible(&lost.message))),
                    None => {}
                },
            },
            _ = &mut ended => return revoke(session, &lease.id, &args.write).await,
        }
    }
}

/// A stream of calls, and one of answers.
async fn calling(
    session: &Session,
) -> Result<(mpsc::Sender<KeepAliveRequest>, Streaming<KeepAliveResponse>), CliError> {
    let (calls, waiting) = mpsc::channel(1);
    let stream = session
        .liveness()
        .keep_alive(ReceiverStream::new(waiting))
        .await;
    Ok((calls, stream.map_err(CliError::call)?.into_inner()))
}

fn one(lease: &Lease) -> String {
    table::record(&[
        ("lease", lease.id.clone()),
        ("service", lease.service.clone()),
        ("ttl", in_ms(lease.ttl.as_ref())),
        ("health", health(lease).to_owned()),
    ])
}

fn row(lease: &Lease) -> Vec<String> {
    let note = match (&lease.held_back, lease.lapsed) {
        (Some(rest), _) => format!("flapping: held back for {}", in_ms(Some(rest))),
        (None, true) => "lapsed".into(),
        (None, false) => String::new(),
    };
    vec![
        lease.id.clone(),
        lease.service.clone(),
        in_ms(lease.ttl.as_ref()),
        health(lease).to_owned(),
        lease
            .silent
            .as_ref()
            .map_or_else(String::new, |silent| in_ms(Some(silent))),
        lease.server.clone(),
        note,
    ]
}

fn health(lease: &Lease) -> &'static str {
    super::admin::health(lease.health())
}

fn in_ms(time: Option<&prost_types::Duration>) -> String {
    let time = time.and_then(|time| Duration::try_from(*time).ok());
    time.map(|time| format!("{time:?}")).unwrap_or_default()
}

/// A number and its unit.
pub(super) fn ttl(text: &str) -> Result<Duration, String> {
    let unit_at = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(unit_at);
    let number: u64 = number
        .parse()
        .map_err(|_| "write a number and a unit, such as 10s".to_owned())?;
    let ms = match unit {
        "ms" => Some(number),
        "s" => number.checked_mul(1_000),
        "m" => number.checked_mul(60_000),
        "h" => number.checked_mul(3_600_000),
        "" => {
            return Err(format!(
                "write its unit too: {number}s, {number}ms, {number}m or {number}h"
            ));
        }
        _ => None,
    };
    ms.map(Duration::from_millis)
        .ok_or_else(|| format!("{unit:?} is no unit of time here: ms, s, m or h"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_to_live_is_a_number_and_a_unit() {
        for (text, ms) in [
            ("500ms", 500),
            ("10s", 10_000),
            ("5m", 300_000),
            ("24h", 86_400_000),
        ] {
            assert_eq!(ttl(text), Ok(Duration::from_millis(ms)));
        }
        for text in ["", "10", "s", "1d", "-1s", "99999999999999999999s"] {
            assert!(ttl(text).is_err(), "{text}");
        }
    }
}
