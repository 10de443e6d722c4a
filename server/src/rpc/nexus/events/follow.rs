//! SubscribeEvents: a stream that is made one message at a time, when the client has room for it.
//!
//! Who follows alone costs nothing while there is no room: the stream is not asked. Who consumes for a group has a task, for it has to
//! say meanwhile that it lives, or a handler that takes a while would lose its turn to the next one, and that one to the first.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use amadeus_proto::v1;
use futures::StreamExt as _;
use futures::stream;
use kg_core::limits::EVENTS_UNACKED;
use prost::Message as _;
use tokio::sync::mpsc;
use tonic::{Request, Response, Status};
use tracing::Instrument as _;

use super::super::{Replies, Service};
use super::{must_use, parse, to_event};
use crate::auth::{Caller, Role};
use crate::events::{
    ACK_WITHIN, Cursor, Delivery, Event, GroupError, Place, Sight, Subscribed, Subscription, Wanted,
};
use crate::rpc::{from_proto, status};

/// Events that are taken from the log at once.
const TAKEN: usize = 1_000;

/// Bytes of events in one message; a larger event has one to itself.
const MESSAGE: usize = 1024 * 1024;

/// How many events may be sent that were not acknowledged, where nobody says it.
const UNACKED: usize = 1_000;

/// How long, in milliseconds, a subscriber may take no message or acknowledge nothing: long enough that a slow network is not taken
/// for it, and not so long that nobody would wait for the end.
const ACK_WITHIN_MS: std::ops::RangeInclusive<u32> = 1_000..=3_600_000;

/// Subscribes. Where there is a `from_offset`, it must be a place that the log has, or the one that the next event takes.
pub(in super::super) async fn subscribe_events(
    service: &Service,
    request: Request<v1::SubscribeEventsRequest>,
) -> Result<Response<Replies<v1::SubscribeEventsResponse>>, Status> {
    let caller = Caller::of(request.extensions());
    let asked = request.into_inner();
    let filter = parse::filter(&asked).map_err(status::fault)?;
    let time = from_proto::milliseconds("from_time", asked.from_time.as_ref());
    let place = match (asked.from_offset, time.map_err(status::fault)?) {
        (Some(_), Some(_)) => {
            let reason = "must not be given with from_offset";
            return Err(status::invalid("from_time", reason));
        }
        (Some(offset), None) => Place::Offset(offset),
        (None, Some(ms)) => Place::Time(ms),
        (None, None) => Place::End,
    };
    if let Some(before) = asked
        .from_offset
        .filter(|from| *from > 1)
        .map(|from| from - 1)
    {
        let there = service.events.must_be_there(before).await;
        there.map_err(|error| match error {
            GroupError::Invalid(reason) => status::invalid("from_offset", reason),
            error => status::group(error),
        })?;
    }
    let subscribed = service.events.subscribe().map_err(status::events)?;
    let sight = sight(service, &caller);
    let source = if asked.group.is_empty() {
        for (field, given) in [
            ("auto_ack", asked.auto_ack),
            ("max_unacked", asked.max_unacked > 0),
            ("max_failures", asked.max_failures > 0),
            ("ack_within_ms", asked.ack_within_ms > 0),
        ] {
            if given {
                return Err(status::invalid(field, "is for a group"));
            }
        }
        let cursor = service.events.cursor(place, filter).await;
        Source::Alone(cursor.map_err(status::events)?.seen_by(sight))
    } else {
        // A group keeps its place in the store; the rule of this RPC asks for no more than reading.
        if !caller.principal.has_somewhere(Role::Writer) {
            return Err(status::denied("a consumer group takes the role writer"));
        }
        parse::group("group", &asked.group).map_err(status::fault)?;
        let unacked = match asked.max_unacked {
            0 => UNACKED,
            given if given as usize > EVENTS_UNACKED => {
                let reason = format!("may be at most {EVENTS_UNACKED}");
                return Err(status::invalid("max_unacked", reason));
            }
            given => given as usize,
        };
        let ack_within = match asked.ack_within_ms {
            0 => ACK_WITHIN,
            given if ACK_WITHIN_MS.contains(&given) => Duration::from_millis(given.into()),
            _ => {
                let reason = "must be from 1,000 to 3,600,000";
                return Err(status::invalid("ack_within_ms", reason));
            }
        };
        let begin = service.events.place(place).await.map_err(status::events)?;
        let opened = service.events.open_group(
            &asked.group,
            &caller.principal.name,
            begin,
            asked.max_failures,
        );
        let group = opened.await.map_err(status::group)?;
        must_use(&caller, &group)?;
        let wanted = Wanted {
            filter,
            sight,
            // Only an offset is a place of the consumer's own: everything before it is done. A time says where a new group begins; in
            // one that exists it would pass over what nobody has handled.
            from: asked.from_offset.map(|_| begin),
            auto_ack: asked.auto_ack,
            max_unacked: unacked,
            ack_within,
        };
        Source::Group(Box::new(service.events.consume(&asked.group, wanted)))
    };
    let follow = Follow {
        service: service.clone(),
        source,
        waiting: VecDeque::new(),
        last: Delivery::default(),
        over: false,
        _subscribed: subscribed,
    };
    let messages = match follow.source {
        Source::Alone(_) => stream::unfold(follow, |mut follow| async move {
            let message = follow.next().await?;
            Some((message, follow))
        })
        .boxed(),
        Source::Group(_) => {
            let (send, messages) = mpsc::channel(1);
            tokio::spawn(follow.serve(send).in_current_span());
            stream::unfold(messages, |mut messages| async move {
                let message = messages.recv().await?;
                Some((message, messages))
            })
            .boxed()
        }
    };
    Ok(Response::new(messages))
}

/// Which events a caller may see; `None` for all.
pub(super) fn sight(service: &Service, caller: &Caller) -> Option<Sight> {
    service.context.event_sight(caller)
}

/// Where the events come from.
enum Source {
    Alone(Cursor),
    Group(Box<Subscription>),
}

/// One stream, between two messages.
struct Follow {
    service: Service,
    source: Source,
    /// Events that were taken and are not sent.
    waiting: VecDeque<Arc<Event>>,
    /// What they came with.
    last: Delivery,
    over: bool,
    _subscribed: Subscribed,
}

impl Follow {
    /// Sends each message when the one before was taken, until nobody takes them any more.
    async fn serve(mut self, send: mpsc::Sender<Result<v1::SubscribeEventsResponse, Status>>) {
        while let Some(room) = self.room(&send).await {
            let message = tokio::select! {
                biased;
                () = send.closed() => return,
                message = self.next() => message,
            };
            match message {
                Some(message) => room.send(message),
                None => return,
            }
        }
    }

    async fn room<'a, T>(&mut self, send: &'a mpsc::Sender<T>) -> Option<mpsc::Permit<'a, T>> {
        let room = send.reserve();
        tokio::pin!(room);
        if let Source::Group(group) = &mut self.source {
            tokio::select! {
                biased;
                room = &mut room => return room.ok(),
                () = group.stay() => {}
            }
        }
        room.await.ok()
    }

    async fn next(&mut self) -> Option<Result<v1::SubscribeEventsResponse, Status>> {
        if self.over {
            return None;
        }
        let context = self.service.context.clone();
        let message = tokio::select! {
            biased;
            () = context.stopped() => Err(status::stopping()),
            message = self.message() => message,
        };
        self.over = message.is_err();
        Some(message)
    }

    async fn message(&mut self) -> Result<v1::SubscribeEventsResponse, Status> {
        let mut lag = None;
        if self.waiting.is_empty() {
            self.last = match &mut self.source {
                Source::Alone(cursor) => {
                    let batch = cursor.next(TAKEN).await.map_err(status::events)?;
                    Delivery {
                        events: batch.events,
                        next_offset: batch.next_offset,
                        lag: batch.lag,
                        ..Delivery::default()
                    }
                }
                Source::Group(group) => group.next(TAKEN).await.map_err(status::group)?,
            };
            lag = self.last.lag.take();
            self.waiting.extend(std::mem::take(&mut self.last.events));
        }
        let (mut events, mut bytes) = (Vec::new(), 0);
        let mut next_offset = self.last.next_offset;
        while let Some(event) = self.waiting.front() {
            let shown = to_event(event);
            bytes += shown.encoded_len() + 8;
            if bytes > MESSAGE && !events.is_empty() {
                next_offset = event.offset;
                break;
            }
            events.push(shown);
            self.waiting.pop_front();
        }
        Ok(v1::SubscribeEventsResponse {
            header: self.service.events_header(),
            events,
            next_offset,
            lag: lag.map(|(from_offset, to_offset)| v1::EventLag {
                from_offset,
                to_offset,
            }),
            standby: self.last.standby,
            epoch: self.last.epoch,
        })
    }
}
