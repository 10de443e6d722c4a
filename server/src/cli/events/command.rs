//! What can be asked about events.

use amadeus_proto::v1::EntityRef;
use clap::{Args, Subcommand};
use prost_types::Timestamp;

use super::{emit, follow, groups};
use crate::cli::{
    args::ListArgs, audit::time, entity_ref::parse_ref, failure::CliError, session::Session,
};

pub async fn run(session: &mut Session, command: EventCommand) -> Result<(), CliError> {
    match command {
        EventCommand::Emit(args) => emit::emit(session, args).await,
        EventCommand::Follow(args) => follow::follow(session, args).await,
        EventCommand::Groups(args) => groups::list(session, args).await,
        EventCommand::Ack(args) => groups::ack(session, args).await,
        EventCommand::Seek(args) => groups::seek(session, args).await,
        EventCommand::DeleteGroup(args) => groups::delete(session, args).await,
        EventCommand::DeadLetters(args) => groups::dead_letters(session, args).await,
    }
}

#[derive(Debug, Subcommand)]
pub enum EventCommand {
    /// Tell an event; when this ends, it is durable
    #[command(after_help = "\
Examples:
  amadeus event emit order.paid --entity order/4711 --payload '{\"amount\": 12.5}'
  amadeus event emit order.paid --id payment-99      # told twice, it is there once
  amadeus event emit pattern.feedback --entity pattern/order --payload '{\"useful\": true}'")]
    Emit(EmitArgs),
    /// Follow events, until Ctrl-C
    #[command(after_help = "\
Examples:
  amadeus event follow --type 'order.*'
  amadeus event follow --since 2h -o json | jq .
  amadeus event follow --group billing --type order.paid    # goes on where the group is; what was shown is acknowledged
  amadeus event follow --entity service/checkout -n 1       # waits for one")]
    Follow(FollowArgs),
    /// List consumer groups, and how far behind they are
    Groups(GroupsArgs),
    /// Say that a group is done with events, or that it could not handle one
    #[command(after_help = "\
Examples:
  amadeus event ack billing 1201                                   # everything up to 1201 is done
  amadeus event ack billing --failed 1202 --reason 'no such order' # it comes again, and becomes a dead letter in the end")]
    Ack(AckArgs),
    /// Put a group to another place, forwards or back
    #[command(after_help = "\
Examples:
  amadeus event seek billing --offset 1
  amadeus event seek billing --since 2026-01-31T12:00:00Z")]
    Seek(SeekArgs),
    /// Remove a group
    DeleteGroup(DeleteGroupArgs),
    /// List the events that a group could not handle
    DeadLetters(DeadLettersArgs),
}

#[derive(Debug, Args)]
pub struct EmitArgs {
    /// What kind of thing happened, such as order.paid
    #[arg(value_name = "TYPE")]
    pub kind: String,
    /// What it is about
    #[arg(long, value_parser = parse_ref)]
    pub entity: Option<EntityRef>,
    /// What is told, as a JSON object; - reads it from standard input
    #[arg(
        long,
        value_name = "JSON",
        default_value = "",
        hide_default_value = true
    )]
    pub payload: String,
    /// What it belongs to
    #[arg(long, default_value = "", hide_default_value = true)]
    pub correlation: String,
    /// Names it among those of its type: told twice, it is there once. Made up if absent, so that a retry is safe
    #[arg(long, default_value = "", hide_default_value = true)]
    pub id: String,
}

#[derive(Debug, Args)]
pub struct FollowArgs {
    /// Only this type; one that ends in * stands for all that begin like it; may be given again
    #[arg(long = "type", value_name = "TYPE")]
    pub kinds: Vec<String>,
    /// Only about this entity, or kind/* for all of a kind; may be given again
    #[arg(long = "entity", value_name = "ENTITY", value_parser = ref_or_kind)]
    pub entities: Vec<EntityRef>,
    /// Only of this correlation; may be given again
    #[arg(long = "correlation", value_name = "ID")]
    pub correlations: Vec<String>,
    /// Begin with the event at this offset; without it with what happens from now on, or where the group is
    #[arg(long, value_name = "OFFSET", conflicts_with = "since")]
    pub from: Option<u64>,
    /// Begin with what was told from this time on: `2026-01-31T12:00:00Z`, or `2h` for two hours ago
    #[arg(long, value_name = "TIME", value_parser = time)]
    pub since: Option<Timestamp>,
    /// For this consumer group, which is made if it does not exist; what was shown is acknowledged
    #[arg(long, default_value = "", hide_default_value = true)]
    pub group: String,
    /// Show what comes for the group without acknowledging it
    #[arg(long, requires = "group")]
    pub no_ack: bool,
    /// End after so many events
    #[arg(short = 'n', value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub count: Option<u64>,
}

#[derive(Debug, Args)]
pub struct GroupsArgs {
    #[command(flatten)]
    pub list: ListArgs,
}

#[derive(Debug, Args)]
pub struct AckArgs {
    /// The group
    pub group: String,
    /// Everything up to this offset is done
    #[arg(required_unless_present = "failed")]
    pub offset: Option<u64>,
    /// The event at this offset could not be handled
    #[arg(long, value_name = "OFFSET")]
    pub failed: Option<u64>,
    /// Why
    #[arg(long, default_value = "", hide_default_value = true)]
    pub reason: String,
}

#[derive(Debug, Args)]
pub struct SeekArgs {
    /// The group
    pub group: String,
    /// The event at this offset comes next
    #[arg(long, required_unless_present = "since", conflicts_with = "since")]
    pub offset: Option<u64>,
    /// The first event that was told from this time on comes next
    #[arg(long, value_name = "TIME", value_parser = time)]
    pub since: Option<Timestamp>,
    /// Why
    #[arg(long, default_value = "", hide_default_value = true)]
    pub reason: String,
}

#[derive(Debug, Args)]
pub struct DeleteGroupArgs {
    /// The group
    pub group: String,
    /// Why
    #[arg(long, default_value = "", hide_default_value = true)]
    pub reason: String,
}

#[derive(Debug, Args)]
pub struct DeadLettersArgs {
    /// The group
    pub group: String,
    #[command(flatten)]
    pub list: ListArgs,
}

/// `kind/name`, or `kind/*` for all of a kind.
fn ref_or_kind(text: &str) -> Result<EntityRef, String> {
    let mut entity = parse_ref(text)?;
    if entity.name == "*" {
        entity.name.clear();
    }
    Ok(entity)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stands_for_all_of_a_kind() {
        let all = ref_or_kind("service/*").expect("a kind");
        assert_eq!((all.kind.as_str(), all.name.as_str()), ("service", ""));
        let one = ref_or_kind("team/a").expect("an entity");
        assert_eq!((one.kind.as_str(), one.name.as_str()), ("team", "a"));
    }
}
