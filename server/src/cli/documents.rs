//! The document, by dot path: get, set, rm.

use std::path::Path;

use amadeus_proto::v1::{DeleteNodeRequest, GetNodeRequest, UpdateNodeRequest};

use clap::Args;

use super::{
    args::{ReadArgs, WriteOneArgs},
    failure::CliError,
    literal,
    overview::outcome,
    session::Session,
};

#[derive(Debug, Args)]
pub struct GetArgs {
    /// Where, such as services.checkout.version
    pub path: String,
    #[command(flatten)]
    pub read: ReadArgs,
}

#[derive(Debug, Args)]
pub struct SetArgs {
    /// Where
    pub path: String,
    /// What, as JSON; - reads it from standard input
    #[arg(allow_hyphen_values = true)]
    pub value: String,
    /// Take the value as text
    #[arg(long)]
    pub string: bool,
    #[command(flatten)]
    pub write: WriteOneArgs,
}

#[derive(Debug, Args)]
pub struct RmArgs {
    /// Where
    pub path: String,
    #[command(flatten)]
    pub write: WriteOneArgs,
}

pub async fn get(session: &mut Session, args: GetArgs) -> Result<(), CliError> {
    let request = GetNodeRequest {
        path: args.path,
        consistency: args.read.consistency(),
    };
    let reply = session
        .call(request, async |r| session.graph().get_node(r).await)
        .await?;
    session.show(&reply, |reply| {
        reply
            .value
            .as_ref()
            .map(literal::shown_over_lines)
            .unwrap_or_default()
    })
}

pub async fn set(session: &mut Session, args: SetArgs) -> Result<(), CliError> {
    let text = match args.value.as_str() {
        "-" => literal::text_of(Path::new("-"))?,
        _ => args.value,
    };
    let request = UpdateNodeRequest {
        value: Some(literal::value(&text, args.string)?),
        path: args.path.clone(),
        request_id: args.write.write.request_id.clone(),
        reason: args.write.write.reason,
        expected_revision: args.write.expect,
    };
    let send = async |r| session.graph().update_node(r).await;
    let reply = session
        .write(&args.write.write.request_id, request, send)
        .await?;
    session.show(&reply, |reply| {
        outcome(&args.path, "set", reply.changed, reply.header.as_ref())
    })
}

pub async fn rm(session: &mut Session, args: RmArgs) -> Result<(), CliError> {
    let request = DeleteNodeRequest {
        path: args.path.clone(),
        request_id: args.write.write.request_id.clone(),
        reason: args.write.write.reason,
        expected_revision: args.write.expect,
    };
    let send = async |r| session.graph().delete_node(r).await;
    let reply = session
        .write(&args.write.write.request_id, request, send)
        .await?;
    session.show(&reply, |reply| {
        outcome(&args.path, "removed", reply.changed, reply.header.as_ref())
    })
}
