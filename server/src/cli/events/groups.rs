//! Consumer groups: where they are, and what they could not handle.

use amadeus_proto::v1::{
    AckEventsRequest, DeadLetter, DeleteGroupRequest, EventGroup, ListDeadLettersRequest,
    ListGroupsRequest, SeekGroupRequest,
};

use super::{
    command::{AckArgs, DeadLettersArgs, DeleteGroupArgs, GroupsArgs, SeekArgs},
    follow::line,
};
use crate::cli::{failure::CliError, out, session::Session, table};

pub async fn list(session: &mut Session, args: GroupsArgs) -> Result<(), CliError> {
    let send = async |r| session.nexus().list_groups(r).await;
    let request = ListGroupsRequest::default();
    let reply = session.list(request, &args.list, send).await?;
    session.show(&reply, |reply| {
        let heading = [
            "GROUP",
            "NEXT",
            "BEHIND",
            "DEAD LETTERS",
            "FAILURES ALLOWED",
            "OWNER",
            "",
        ];
        table::columns(&heading, reply.groups.iter().map(row))
    })?;
    if out::is_terminal() {
        out::note(&format!(
            "{}; the log keeps {} to before {}",
            table::count(reply.groups.len(), "group", "groups"),
            reply.oldest_offset,
            reply.next_offset
        ));
    }
    Ok(())
}

fn row(group: &EventGroup) -> Vec<String> {
    vec![
        group.name.clone(),
        group.next_offset.to_string(),
        group.lag.to_string(),
        group.dead_letters.to_string(),
        group.max_failures.to_string(),
        group.owner.clone(),
        if group.active { "served" } else { "" }.to_owned(),
    ]
}

pub async fn ack(session: &mut Session, args: AckArgs) -> Result<(), CliError> {
    let request = AckEventsRequest {
        group: args.group.clone(),
        offset: args.offset.unwrap_or(0),
        failed_offset: args.failed.unwrap_or(0),
        reason: args.reason,
        ..AckEventsRequest::default()
    };
    let send = async |r| session.nexus().ack_events(r).await;
    // A failure that is told twice counts twice.
    let reply = match args.failed {
        None => session.call(request, send).await?,
        Some(_) => session.call_once(request, send).await?,
    };
    session.show(&reply, |reply| {
        let group = table::visible(&args.group);
        let next = reply.next_offset;
        match (args.failed, reply.dead_letter) {
            (Some(failed), true) => {
                format!("{failed} is a dead letter of {group} now; {next} comes next\n")
            }
            (Some(failed), false) => format!("{failed} comes again for {group}, after a pause\n"),
            (None, _) => format!("{group}: {next} comes next\n"),
        }
    })
}

pub async fn seek(session: &mut Session, args: SeekArgs) -> Result<(), CliError> {
    let request = SeekGroupRequest {
        group: args.group.clone(),
        offset: args.offset,
        time: args.since,
        reason: args.reason,
    };
    let send = async |r| session.nexus().seek_group(r).await;
    let reply = session.call(request, send).await?;
    session.show(&reply, |reply| {
        let group = table::visible(&args.group);
        format!("{group}: {} comes next\n", reply.next_offset)
    })
}

pub async fn delete(session: &mut Session, args: DeleteGroupArgs) -> Result<(), CliError> {
    let request = DeleteGroupRequest {
        group: args.group.clone(),
        reason: args.reason,
    };
    let send = async |r| session.nexus().delete_group(r).await;
    let reply = session.call(request, send).await?;
    session.show(&reply, |_| {
        format!("the group {} is gone\n", table::visible(&args.group))
    })
}

pub async fn dead_letters(session: &mut Session, args: DeadLettersArgs) -> Result<(), CliError> {
    let request = ListDeadLettersRequest {
        group: args.group,
        ..ListDeadLettersRequest::default()
    };
    let send = async |r| session.nexus().list_dead_letters(r).await;
    let reply = session.list(request, &args.list, send).await?;
    session.show(&reply, |reply| {
        table::columns(
            &["EVENT", "FAILURES", "SINCE", "WHY"],
            reply.letters.iter().map(letter),
        )
    })
}

fn letter(letter: &DeadLetter) -> Vec<String> {
    let event = letter.event.as_ref();
    let since = letter.time.as_ref();
    vec![
        event
            .map(|event| line(event).trim().to_owned())
            .unwrap_or_default(),
        letter.failures.to_string(),
        since.map(ToString::to_string).unwrap_or_default(),
        letter.reason.clone(),
    ]
}
