//! Events: emitted, followed, and the groups that consume them.
//!
//! An event about an entity is told to those who may see the entity now, one about nothing to those who read everything and to
//! whoever emitted it. A group is used by its owner and by operators.

mod follow;
mod parse;

use std::sync::Arc;

use amadeus_proto::v1;
use futures::StreamExt as _;
use futures::stream;
use kg_core::limits::{EVENT_GROUPS, MESSAGE_BYTES, PAGE_DEFAULT};
use prost::Message as _;
use tonic::{Request, Response, Status, Streaming};

use super::{Replies, Service};
use crate::auth::{Caller, Role};
use crate::events::{
    Appended, Event, EventError, Failed, Group, GroupError, NewEvent, Place, Ticket,
};
use crate::rpc::graph::{blocking_if, fitting};
use crate::rpc::{from_proto, status, to_proto};

pub(super) use follow::subscribe_events;

/// Events of a batch that is parsed and encoded on a thread for long work.
const LONG: usize = 1_000;

/// Batches of one stream that are under way: the next one is parsed while one is synced.
const UNDER_WAY: usize = 4;

/// Bytes of entries in one reply.
const PAGE_BYTES: usize = MESSAGE_BYTES - 64 * 1024;

/// Dead letters of a page, where nobody says how many.
const LETTERS: usize = 100;

impl Service {
    fn events_header(&self) -> Option<v1::ResponseHeader> {
        self.context.header(self.context.graph.revisions().0)
    }

    /// Parses a batch and gives it to the log's writer, behind those before it.
    async fn take(
        &self,
        caller: &Caller,
        batch: Vec<v1::Event>,
        named: Named,
    ) -> Result<Taken, Status> {
        let long = batch.len() > LONG;
        let (context, events) = (self.context.clone(), self.events.clone());
        let caller = caller.clone();
        let work = move || -> Result<Taken, Status> {
            let now_ms = (context.clock)();
            let parsed = batch.into_iter().enumerate().map(|(index, event)| {
                let parsed = parse::event(&event, &caller.principal.name, now_ms);
                parsed.map_err(|fault| status::fault(fault.under(&named.path(index))))
            });
            let parsed = parsed.collect::<Result<Vec<NewEvent>, Status>>()?;
            let sees = caller.sees();
            if !sees.is_everything() {
                let hidden = context.graph.read(|head| {
                    let mut about = parsed.iter().filter_map(|event| event.entity.as_ref());
                    about.find(|entity| !sees.covers_in(head, entity)).cloned()
                });
                if let Some(entity) = hidden {
                    return Err(status::denied(format!("you may not see {entity}")));
                }
            }
            let ids = parsed.iter().map(|event| event.id.clone()).collect();
            let ticket = match parsed.is_empty() {
                true => None,
                false => Some(
                    events
                        .submit(parsed)
                        .map_err(|error| named.refused(error))?,
                ),
            };
            Ok(Taken { ids, ticket, named })
        };
        blocking_if(long, work).await?
    }
}

/// How the request calls its events.
#[derive(Clone, Copy)]
enum Named {
    One,
    Many,
}

impl Named {
    fn path(self, index: usize) -> String {
        match self {
            Self::One => "event".to_owned(),
            Self::Many => format!("events[{index}]"),
        }
    }

    /// What is told of an emit that failed; of a wrong event, the field of it as well, with which the log's reason begins.
    fn refused(self, error: EventError) -> Status {
        match error {
            EventError::Invalid { index, reason } => {
                let (field, what) = reason.split_once(' ').unwrap_or(("", &reason));
                status::invalid(&format!("{}.{field}", self.path(index)), what)
            }
            error => status::events(error),
        }
    }
}

/// A batch that the log's writer has.
struct Taken {
    ids: Vec<Arc<str>>,
    ticket: Option<Ticket>,
    named: Named,
}

impl Taken {
    async fn written(self) -> Result<Vec<Appended>, Status> {
        match self.ticket {
            Some(ticket) => {
                let written = ticket.written().await;
                written.map_err(|error| self.named.refused(error))
            }
            None => Ok(Vec::new()),
        }
    }
}

pub(super) async fn emit_event(
    service: &Service,
    request: Request<v1::EmitEventRequest>,
) -> Result<Response<v1::EmitEventResponse>, Status> {
    let caller = Caller::of(request.extensions());
    let asked = request.into_inner();
    let event = from_proto::required("event", asked.event).map_err(status::fault)?;
    let taken = service.take(&caller, vec![event], Named::One).await?;
    let id = taken
        .ids
        .first()
        .map_or_else(String::new, ToString::to_string);
    let appended = taken.written().await?;
    let at = appended
        .first()
        .ok_or_else(|| status::internal("emitting an event", &"it has no place"))?;
    Ok(Response::new(v1::EmitEventResponse {
        header: service.events_header(),
        offset: at.offset,
        id,
        duplicate: at.duplicate,
    }))
}

/// Batches are written in the order in which they come. One that was sent behind one that failed may have been written as well.
pub(super) async fn emit_events(
    service: &Service,
    request: Request<Streaming<v1::EmitEventsRequest>>,
) -> Result<Response<Replies<v1::EmitEventsResponse>>, Status> {
    let caller = Caller::of(request.extensions());
    let (service, ended) = (service.clone(), service.clone());
    let stopping = service.context.clone();
    let incoming = request.into_inner();
    let incoming = incoming.take_until(async move { stopping.stopped().await });
    let taken = incoming.then({
        let service = service.clone();
        move |request| {
            let (service, caller) = (service.clone(), caller.clone());
            async move {
                let events = request?.events;
                service.take(&caller, events, Named::Many).await
            }
        }
    });
    let replies = taken
        .map(move |taken| {
            let service = service.clone();
            async move {
                let appended = taken?.written().await?;
                Ok(v1::EmitEventsResponse {
                    header: service.events_header(),
                    offsets: appended.iter().map(|at| at.offset).collect(),
                    duplicates: to_proto::count(appended.iter().filter(|at| at.duplicate).count()),
                })
            }
        })
        .buffered(UNDER_WAY);
    // A stream that the server ends must not look like one that the client has ended.
    let last = stream::once(async move {
        let stops = *ended.context.stopping.borrow();
        stops.then(|| Err(status::stopping()))
    });
    let replies = replies.chain(last.filter_map(std::future::ready));
    let until_wrong = replies.scan(false, |wrong, reply: Result<_, Status>| {
        let over = *wrong;
        *wrong = reply.is_err();
        std::future::ready((!over).then_some(reply))
    });
    Ok(Response::new(until_wrong.boxed()))
}

/// A group, for somebody who may use it.
async fn used(service: &Service, caller: &Caller, name: &str) -> Result<Group, Status> {
    parse::group("group", name).map_err(status::fault)?;
    let group = service.events.group(name).await.map_err(status::group)?;
    must_use(caller, &group)?;
    Ok(group)
}

fn may_use(caller: &Caller, group: &Group) -> bool {
    caller.principal.has(Role::Operator) || *caller.principal.name == *group.owner
}

fn must_use(caller: &Caller, group: &Group) -> Result<(), Status> {
    if may_use(caller, group) {
        return Ok(());
    }
    Err(status::denied(format!(
        "the group {:?} is somebody else's",
        group.name
    )))
}

pub(super) async fn ack_events(
    service: &Service,
    request: Request<v1::AckEventsRequest>,
) -> Result<Response<v1::AckEventsResponse>, Status> {
    let caller = Caller::of(request.extensions());
    let asked = request.into_inner();
    from_proto::check_identity("", &asked.reason).map_err(status::fault)?;
    let group = used(service, &caller, &asked.group).await?;
    let (events, epoch) = (&service.events, asked.epoch);
    let mut next = group.next;
    if asked.offset > 0 {
        let acked = events.ack(&asked.group, asked.offset, epoch).await;
        next = acked.map_err(status::group)?;
    }
    let mut dead_letter = false;
    if asked.failed_offset > 0 {
        let now_ms = (service.context.clock)();
        let failing = events.fail(
            &asked.group,
            asked.failed_offset,
            epoch,
            &asked.reason,
            now_ms,
        );
        let (failed, at) = failing.await.map_err(|error| match error {
            GroupError::Invalid(reason) => status::invalid("failed_offset", reason),
            error => status::group(error),
        })?;
        dead_letter = matches!(failed, Failed::Dead(_));
        next = at;
    }
    Ok(Response::new(v1::AckEventsResponse {
        header: service.events_header(),
        next_offset: next,
        dead_letter,
    }))
}

pub(super) async fn list_groups(
    service: &Service,
    request: Request<v1::ListGroupsRequest>,
) -> Result<Response<v1::ListGroupsResponse>, Status> {
    let caller = Caller::of(request.extensions());
    let asked = request.into_inner();
    let (oldest, next) = service.events.ends().await.map_err(status::events)?;
    let mut groups = service.events.list_groups().await.map_err(status::events)?;
    groups.retain(|group| may_use(&caller, group) && *group.name > *asked.page_token);
    let size = match asked.page_size {
        0 => PAGE_DEFAULT,
        size => size as usize,
    };
    let size = size.min(EVENT_GROUPS);
    let more = groups.len() > size;
    groups.truncate(size);
    let last = groups
        .last()
        .map_or_else(String::new, |group| group.name.clone());
    let shown = groups.into_iter().map(|group| v1::EventGroup {
        next_offset: group.next,
        lag: u32::try_from(next.saturating_sub(group.next)).unwrap_or(u32::MAX),
        max_failures: group.max_failures,
        dead_letters: group.letters,
        active: group.holder != 0,
        name: group.name,
        owner: group.owner,
    });
    fitting(v1::ListGroupsResponse {
        header: service.events_header(),
        groups: shown.collect(),
        next_page_token: if more { last } else { String::new() },
        oldest_offset: oldest,
        next_offset: next,
    })
}

pub(super) async fn seek_group(
    service: &Service,
    request: Request<v1::SeekGroupRequest>,
) -> Result<Response<v1::SeekGroupResponse>, Status> {
    let caller = Caller::of(request.extensions());
    let asked = request.into_inner();
    from_proto::check_identity("", &asked.reason).map_err(status::fault)?;
    let time = from_proto::milliseconds("time", asked.time.as_ref()).map_err(status::fault)?;
    let place = match (asked.offset, time) {
        (Some(offset), None) => Place::Offset(offset),
        (None, Some(ms)) => Place::Time(ms),
        (None, None) => return Err(status::invalid("offset", "is required, or time")),
        (Some(_), Some(_)) => return Err(status::invalid("time", "must not be given with offset")),
    };
    used(service, &caller, &asked.group).await?;
    let offset = service.events.place(place).await.map_err(status::events)?;
    let sought = service.events.seek_group(&asked.group, offset).await;
    Ok(Response::new(v1::SeekGroupResponse {
        header: service.events_header(),
        next_offset: sought.map_err(status::group)?,
    }))
}

pub(super) async fn delete_group(
    service: &Service,
    request: Request<v1::DeleteGroupRequest>,
) -> Result<Response<v1::DeleteGroupResponse>, Status> {
    let caller = Caller::of(request.extensions());
    let asked = request.into_inner();
    from_proto::check_identity("", &asked.reason).map_err(status::fault)?;
    used(service, &caller, &asked.group).await?;
    let deleted = service.events.delete_group(&asked.group).await;
    deleted.map_err(status::group)?;
    Ok(Response::new(v1::DeleteGroupResponse {
        header: service.events_header(),
    }))
}

pub(super) async fn list_dead_letters(
    service: &Service,
    request: Request<v1::ListDeadLettersRequest>,
) -> Result<Response<v1::ListDeadLettersResponse>, Status> {
    let caller = Caller::of(request.extensions());
    let asked = request.into_inner();
    used(service, &caller, &asked.group).await?;
    let after = match asked.page_token.is_empty() {
        true => Ok(0),
        false => asked.page_token.parse::<u64>(),
    };
    let after = after.map_err(|_| status::invalid("page_token", "is no page token"))?;
    let size = match asked.page_size {
        0 => LETTERS,
        size => (size as usize).min(PAGE_DEFAULT),
    };
    let found = service.events.letters(&asked.group, after, size + 1).await;
    let found = found.map_err(status::events)?;
    let sight = follow::sight(service, &caller);
    let (mut letters, mut bytes, mut more, mut last) = (Vec::new(), 0, false, after);
    for (number, letter) in found.into_iter().enumerate() {
        let is_seen = sight.as_ref().is_none_or(|sight| sight(&letter.event));
        let shown = v1::DeadLetter {
            event: Some(to_event(&letter.event)),
            failures: letter.failures,
            reason: letter.reason,
            time: Some(to_proto::timestamp(letter.time_ms)),
        };
        bytes += shown.encoded_len() + 8;
        if number == size || bytes > PAGE_BYTES {
            more = true;
            break;
        }
        last = letter.event.offset;
        if is_seen {
            letters.push(shown);
        }
    }
    Ok(Response::new(v1::ListDeadLettersResponse {
        header: service.events_header(),
        letters,
        next_page_token: if more {
            last.to_string()
        } else {
            String::new()
        },
    }))
}

/// An event, as the wire has it.
fn to_event(event: &Event) -> v1::Event {
    let said = &event.event;
    v1::Event {
        id: said.id.to_string(),
        r#type: said.kind.to_string(),
        entity: said.entity.as_ref().map(to_proto::entity_ref),
        correlation_id: said.correlation.to_string(),
        payload: to_proto::properties(&said.payload),
        time: Some(to_proto::timestamp(said.time_ms)),
        offset: event.offset,
        appended: Some(to_proto::timestamp(event.appended_ms)),
        actor: said.actor.to_string(),
    }
}
