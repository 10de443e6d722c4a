//! Pictures of patterns and of runs.

use amadeus_proto::v1::{VisualizeRequest, visualize_request::Format};

use super::command::DrawArgs;
use crate::cli::{failure::CliError, pictures::save, session::Session};

pub async fn draw(session: &mut Session, args: DrawArgs) -> Result<(), CliError> {
    let request = VisualizeRequest {
        format: Format::from(args.format).into(),
        pattern: args.name.unwrap_or_default(),
        run_id: args.run.unwrap_or_default(),
        consistency: args.read.consistency(),
        ..VisualizeRequest::default()
    };
    let send = async |r| session.query().visualize(r).await;
    let reply = session.call(request, send).await?;
    match &args.file {
        Some(file) => save(file, &reply.body),
        None => session.show(&reply, |reply| reply.body.clone()),
    }
}
