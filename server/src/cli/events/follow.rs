//! Follows events: a line for each, until Ctrl-C, or until nobody reads any more.
//!
//! Without a group this remembers by itself how far it was, and goes on from there when the server went away. With one, the server
//! does; what was shown is acknowledged, so that what was lost on the way comes again.

use std::time::{Duration, Instant};

use amadeus_proto::v1::{
    AckEventsRequest, Event, EventLag, SubscribeEventsRequest, SubscribeEventsResponse,
};
use tonic::{Code, Status};

use super::command::FollowArgs;
use crate::cli::{
    args::Output,
    entity_ref::written_or_none,
    failure::CliError,
    literal, out, render,
    session::{Session, may_pass},
    table,
};

/// For how long a server that went away is waited for, and between two attempts to find it.
const PATIENCE: Duration = Duration::from_secs(60);
const PAUSE: Duration = Duration::from_millis(500);

pub async fn follow(session: &mut Session, args: FollowArgs) -> Result<(), CliError> {
    let mut following = Following {
        request: SubscribeEventsRequest {
            types: args.kinds,
            entities: args.entities,
            correlation_ids: args.correlations,
            from_offset: args.from,
            from_time: args.since,
            group: args.group,
            ..SubscribeEventsRequest::default()
        },
        acknowledges: !args.no_ack,
        left: args.count.unwrap_or(u64::MAX),
        lost: None,
        standby: false,
    };
    loop {
        let ended = tokio::select! {
            ended = following.listen(session) => ended,
            _ = tokio::signal::ctrl_c() => return Ok(()),
        };
        match ended {
            Ok(()) if following.left == 0 => return Ok(()),
            // A server that closes ends its streams.
            Ok(()) => tokio::time::sleep(PAUSE).await,
            Err(CliError::Call { status, .. }) if following.may_go_on(session, &status).await? => {}
            Err(error) => return Err(error),
        }
    }
}

struct Following {
    request: SubscribeEventsRequest,
    acknowledges: bool,
    /// How many events are still wanted.
    left: u64,
    /// Since when nobody answers.
    lost: Option<Instant>,
    /// Whether another subscriber of the group is served.
    standby: bool,
}

impl Following {
    async fn listen(&mut self, session: &mut Session) -> Result<(), CliError> {
        let send = async |r| session.nexus().subscribe_events(r).await;
        let mut messages = session.open(self.request.clone(), send).await?;
        while let Some(message) = messages.message().await.map_err(CliError::call)? {
            self.lost = None;
            self.take(session, &message).await?;
            if self.left == 0 {
                break;
            }
        }
        Ok(())
    }

    async fn take(
        &mut self,
        session: &mut Session,
        message: &SubscribeEventsResponse,
    ) -> Result<(), CliError> {
        if std::mem::replace(&mut self.standby, message.standby) != message.standby {
            out::note(match message.standby {
                true => "another subscriber of the group is served; this one stands by",
                false => "this subscriber of the group is served now",
            });
        }
        if let Some(lag) = &message.lag {
            out::note(&missed(lag));
        }
        let mut done = 0;
        for event in &message.events {
            if self.left == 0 {
                break;
            }
            self.left -= 1;
            show(session, event)?;
            done = event.offset;
        }
        session.out.flush()?;
        if self.request.group.is_empty() {
            // Past all of the message, or past what was wanted of it.
            let next = if self.left == 0 {
                done + 1
            } else {
                message.next_offset
            };
            if next > 0 {
                self.request.from_offset = Some(next);
                self.request.from_time = None;
            }
        } else if self.acknowledges && done > 0 {
            self.acknowledge(session, done, message.epoch).await?;
        }
        Ok(())
    }

    /// Where another subscriber has been served since, this one has no say any more; its own place comes with the next message.
    async fn acknowledge(
        &self,
        session: &Session,
        offset: u64,
        epoch: u32,
    ) -> Result<(), CliError> {
        let request = AckEventsRequest {
            group: self.request.group.clone(),
            offset,
            epoch,
            ..AckEventsRequest::default()
        };
        let send = async |r| session.nexus().ack_events(r).await;
        match session.call(request, send).await {
            Err(CliError::Call { status, .. }) if status.code() == Code::Aborted => Ok(()),
            acked => acked.map(drop),
        }
    }

    /// Whether it is worth asking again; waits a moment if it is.
    async fn may_go_on(&mut self, session: &Session, status: &Status) -> Result<bool, CliError> {
        // A stream ends with the token that it was opened by.
        if status.code() == Code::Unauthenticated {
            return session.renew().await;
        }
        if !may_pass(status) {
            return Ok(false);
        }
        let since = *self.lost.get_or_insert_with(Instant::now);
        tokio::time::sleep(PAUSE).await;
        Ok(since.elapsed() < PATIENCE)
    }
}

fn missed(lag: &EventLag) -> String {
    format!(
        "the events from {} to before {} are no longer kept, and were missed",
        lag.from_offset, lag.to_offset
    )
}

fn show(session: &mut Session, event: &Event) -> Result<(), CliError> {
    let text = match session.output {
        Output::Table => line(event),
        Output::Json => render::json_line(&render::tree(event)?)?,
        Output::Yaml => format!("---\n{}", render::yaml(&render::tree(event)?)?),
    };
    session.out.text(&text)
}

/// An event for people: `1201  2026-01-31T12:00:00Z  order.paid  order/4711  {"amount":12.5}`.
pub fn line(event: &Event) -> String {
    let time = event.appended.or(event.time);
    let words = [
        time.map(|time| time.to_string()).unwrap_or_default(),
        event.r#type.clone(),
        written_or_none(event.entity.as_ref()),
        literal::shown_properties(event.payload.as_ref()),
    ];
    let words: Vec<String> = words.into_iter().filter(|word| !word.is_empty()).collect();
    table::visible(&format!("{:>8}  {}", event.offset, words.join("  ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_one_line_whatever_is_in_it() {
        let event = Event {
            offset: 1201,
            r#type: "order.paid".into(),
            appended: "2026-01-31T12:00:00Z".parse().ok(),
            ..Event::default()
        };
        assert_eq!(line(&event), "    1201  2026-01-31T12:00:00Z  order.paid");
        let odd = Event {
            r#type: "a\nb".into(),
            ..Event::default()
        };
        assert_eq!(line(&odd), "       0  a\\nb");
    }
}
