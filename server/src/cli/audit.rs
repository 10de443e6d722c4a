//! The audit log: who did what, and who was refused, a line for each event.

use std::time::Duration;

use amadeus_proto::v1::{AuditEvent, AuditRequest, AuditResponse, audit_event::Outcome};
use clap::{Args, ValueEnum};
use prost_types::Timestamp;

use super::{
    args::Output, failure::CliError, leases, out, render, session::Session, signing::now_ms, table,
};

#[derive(Debug, Args)]
pub struct AuditArgs {
    /// Events from this time on: `2026-01-31T12:00:00Z`, or `2h` for two hours ago
    #[arg(long, value_name = "TIME", value_parser = time)]
    pub from: Option<Timestamp>,
    /// Events before this time
    #[arg(long, value_name = "TIME", value_parser = time, conflicts_with = "follow")]
    pub until: Option<Timestamp>,
    /// Events of this principal: a user, or a key as `user/key`
    #[arg(long, default_value = "", hide_default_value = true)]
    pub actor: String,
    /// Events of this kind: commit, login, denied, create_user and so on
    #[arg(long, default_value = "", hide_default_value = true)]
    pub action: String,
    /// Events of this outcome
    #[arg(long)]
    pub outcome: Option<OutcomeArg>,
    /// Go on with what happens from now on, until Ctrl-C
    #[arg(long, short = 'F')]
    pub follow: bool,
}

/// How something ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum OutcomeArg {
    /// It was done
    Done,
    /// It was not
    Refused,
}

impl From<OutcomeArg> for Outcome {
    fn from(outcome: OutcomeArg) -> Self {
        match outcome {
            OutcomeArg::Done => Self::Done,
            OutcomeArg::Refused => Self::Refused,
        }
    }
}

pub async fn run(session: &mut Session, args: AuditArgs) -> Result<(), CliError> {
    let request = AuditRequest {
        from: args.from,
        until: args.until,
        actor: args.actor,
        action: args.action,
        outcome: args
            .outcome
            .map_or(0, |outcome| Outcome::from(outcome).into()),
        follow: args.follow,
    };
    let send = async |r| session.admin().audit(r).await;
    let mut messages = session.open(request, send).await?;
    let mut shown = 0;
    loop {
        let message = tokio::select! {
            message = messages.message() => message.map_err(CliError::call)?,
            _ = tokio::signal::ctrl_c() => break,
        };
        let Some(message) = message else { break };
        shown += message.events.len();
        show(session, &message)?;
        session.out.flush()?;
    }
    if out::is_terminal() && !args.follow {
        out::note(&table::count(shown, "event", "events"));
    }
    Ok(())
}

fn show(session: &mut Session, message: &AuditResponse) -> Result<(), CliError> {
    for event in &message.events {
        let text = match session.output {
            Output::Table => line(event),
            Output::Json => render::json_line(&render::tree(event)?)?,
            Output::Yaml => format!("---\n{}", render::yaml(&render::tree(event)?)?),
        };
        session.out.text(&text)?;
    }
    Ok(())
}

/// An event for people: `2026-01-31T12:00:00Z  refused  alice  denied  PutEntity  from 10.0.0.1:80: not a writer`.
fn line(event: &AuditEvent) -> String {
    let or_dash = |text: &str| match text {
        "" => "-".to_owned(),
        text => text.to_owned(),
    };
    let outcome = match event.outcome() {
        Outcome::Unspecified => "-",
        Outcome::Done => "done",
        Outcome::Refused => "refused",
    };
    let revision = match event.revision {
        0 => String::new(),
        revision => format!("  revision {revision}"),
    };
    let source = match event.source.as_str() {
        "" => String::new(),
        source => format!("  from {source}"),
    };
    let reason = match event.reason.as_str() {
        "" => String::new(),
        reason => format!(": {reason}"),
    };
    table::visible(&format!(
        "{}  {outcome:<7}  {}  {}  {}{revision}{source}{reason}",
        event.time.map(|t| t.to_string()).unwrap_or_default(),
        or_dash(&event.actor),
        or_dash(&event.action),
        or_dash(&event.resource),
    ))
}

/// A time, or how long ago.
pub fn time(text: &str) -> Result<Timestamp, String> {
    if let Ok(time) = text.parse() {
        return Ok(time);
    }
    let ago = match text.strip_suffix('d').map(str::parse) {
        Some(Ok(days)) => Duration::from_secs(86_400).checked_mul(days),
        Some(Err(_)) | None => leases::ttl(text).ok(),
    };
    let ago = ago.ok_or_else(|| {
        "write a time such as 2026-01-31T12:00:00Z, or how long ago such as 30m, 2h or 7d"
            .to_owned()
    })?;
    let ms = now_ms().saturating_sub(u64::try_from(ago.as_millis()).unwrap_or(u64::MAX));
    let since = Duration::from_millis(ms);
    Ok(Timestamp {
        seconds: i64::try_from(since.as_secs()).unwrap_or(i64::MAX),
        nanos: 0,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_one_line_whatever_is_in_it() {
        let event = AuditEvent {
            time: "2026-01-31T12:00:00Z".parse().ok(),
            source: "10.0.0.1:80".into(),
            action: "login".into(),
            resource: "al\nice".into(),
            outcome: Outcome::Refused.into(),
            reason: "the password was wrong".into(),
            ..AuditEvent::default()
        };
        assert_eq!(
            line(&event),
            "2026-01-31T12:00:00Z  refused  -  login  al\\nice  from 10.0.0.1:80: the password was wrong"
        );
        let commit = AuditEvent {
            actor: "alice".into(),
            action: "commit".into(),
            outcome: Outcome::Done.into(),
            revision: 7,
            ..AuditEvent::default()
        };
        assert_eq!(line(&commit), "  done     alice  commit  -  revision 7");
    }

    #[test]
    fn a_time_is_a_time_or_how_long_ago() {
        let noon = time("2026-01-31T12:00:00Z").expect("a time");
        assert_eq!(noon.seconds, 1_769_860_800);
        let now = i64::try_from(now_ms() / 1_000).expect("this century");
        for (text, ago) in [("90s", 90), ("2h", 7_200), ("7d", 604_800)] {
            let found = time(text).expect("a time").seconds;
            assert!((now - ago - 5..=now - ago + 5).contains(&found), "{text}");
        }
        for text in ["", "yesterday", "-2h", "2x"] {
            assert!(time(text).is_err(), "{text}");
        }
    }
}
