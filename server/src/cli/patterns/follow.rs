//! Follows a run: a line for each thing that happens, and how it ended. A server that goes away is waited for; the run goes on where it
//! was, and so does this.

use std::time::{Duration, Instant};

use amadeus_proto::v1::{RunLine, WatchRunRequest, WatchRunResponse};
use prost_types::Timestamp;
use tonic::{Code, Status, Streaming};

use super::{
    command::WatchRunArgs,
    runs::{as_line, show_end},
    words,
};
use crate::cli::{
    args::Output,
    failure::CliError,
    out, render,
    session::{Session, may_pass},
};

/// For how long a server that went away is waited for.
const PATIENCE: Duration = Duration::from_secs(60);

/// Between two attempts to find it.
const PAUSE: Duration = Duration::from_millis(500);

/// What is shown of a run that is followed.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Shown {
    /// How it ended.
    End,
    /// To people, each thing that happens, and how it ended.
    LinesAndEnd,
    /// Each thing that happens, to programs too; to people how it ended.
    Everything,
}

impl Shown {
    fn lines(self, output: Output) -> bool {
        match self {
            Self::End => false,
            Self::LinesAndEnd => output == Output::Table,
            Self::Everything => true,
        }
    }

    fn end(self, output: Output) -> bool {
        self != Self::Everything || output == Output::Table
    }
}

pub async fn watch(session: &mut Session, args: WatchRunArgs) -> Result<(), CliError> {
    to_the_end(session, &args.id, args.from, Shown::Everything).await
}

/// Follows a run until it has ended. An error unless it succeeded.
pub async fn to_the_end(
    session: &mut Session,
    id: &str,
    from: u32,
    shown: Shown,
) -> Result<(), CliError> {
    let mut place = Place {
        next: from,
        began: None,
        ended: false,
        lost: None,
    };
    loop {
        let followed = tokio::select! {
            followed = follow(session, id, &mut place, shown) => followed,
            _ = tokio::signal::ctrl_c() => {
                return Err(CliError::Stopped(format!(
                    "the run {id} goes on; follow it with `amadeus pattern watch {id}`, end it with `amadeus pattern cancel {id}`"
                )));
            }
        };
        match followed {
            // A server that closes ends its streams before their time.
            Ok(()) if !place.ended => tokio::time::sleep(PAUSE).await,
            Ok(()) => return show_end(session, id, shown.end(session.output)).await,
            Err(CliError::Call { status, .. }) if place.may_go_on(session, &status).await? => {}
            Err(error) => return Err(error),
        }
    }
}

/// How far a run was followed.
struct Place {
    next: u32,
    began: Option<Timestamp>,
    ended: bool,
    lost: Option<Instant>,
}

impl Place {
    /// Whether it is worth asking again; waits a moment if it is.
    async fn may_go_on(&mut self, session: &Session, status: &Status) -> Result<bool, CliError> {
        // A stream ends with the token that it was opened by.
        if status.code() == Code::Unauthenticated {
            return session.renew().await;
        }
        if !may_pass(status) {
            return Ok(false);
        }
        let first = self.lost.is_none();
        let since = *self.lost.get_or_insert_with(Instant::now);
        if first {
            out::note("the server went away; the run goes on when it, or another one, is there");
        }
        tokio::time::sleep(PAUSE).await;
        Ok(since.elapsed() < PATIENCE)
    }
}

async fn follow(
    session: &mut Session,
    id: &str,
    place: &mut Place,
    shown: Shown,
) -> Result<(), CliError> {
    let request = WatchRunRequest {
        run_id: id.to_owned(),
        from_seq: place.next,
    };
    let send = async |r| session.nexus().watch_run(r).await;
    let mut messages: Streaming<WatchRunResponse> = session.open(request, send).await?;
    while let Some(message) = messages.message().await.map_err(CliError::call)? {
        place.lost = None;
        if let Some(run) = &message.run {
            place.began = place.began.or(run.created);
            place.ended = words::has_ended(run.state());
        }
        for line in &message.lines {
            place.next = line.seq + 1;
            if shown.lines(session.output) {
                let text = shown_line(session.output, line, place.began.as_ref())?;
                session.out.text(&text)?;
            }
        }
        session.out.flush()?;
    }
    Ok(())
}

fn shown_line(
    output: Output,
    line: &RunLine,
    began: Option<&Timestamp>,
) -> Result<String, CliError> {
    Ok(match output {
        Output::Table => words::line(line, began),
        Output::Json => as_line(line)?,
        Output::Yaml => format!("---\n{}", render::yaml(&render::tree(line)?)?),
    })
}
