//! Definitions: checked, registered, listed, shown, removed.

use std::path::Path;

use amadeus_proto::v1::{
    DeletePatternRequest, GetPatternRequest, ListPatternsRequest, Pattern, RegisterPatternRequest,
    ValidatePatternRequest, ValidatePatternResponse,
};
use tonic::Code;

use super::{
    command::{DeleteArgs, PatternListArgs, RegisterArgs, ShowArgs, ValidateArgs},
    show,
};
use crate::cli::{
    args::WriteOneArgs,
    failure::CliError,
    literal,
    overview::{outcome, tell_count},
    render,
    session::Session,
    table,
};

/// The pattern of a file.
fn pattern_of(file: &Path) -> Result<Pattern, CliError> {
    let told = |error| match error {
        CliError::Usage(why) => CliError::Usage(format!("{}: {why}", file.display())),
        other => other,
    };
    render::parse(&literal::text_of(file)?).map_err(told)
}

pub async fn validate(session: &mut Session, args: ValidateArgs) -> Result<(), CliError> {
    let mut wrong = 0;
    for file in &args.files {
        let pattern = match pattern_of(file) {
            // The others are judged all the same.
            Err(error @ CliError::Usage(_)) if args.files.len() > 1 => {
                wrong += 1;
                eprintln!("error: {error}");
                continue;
            }
            read => read?,
        };
        let request = ValidatePatternRequest {
            pattern: Some(pattern),
            consistency: args.read.consistency(),
        };
        let send = async |r| session.nexus().validate_pattern(r).await;
        let reply = session.call(request, send).await?;
        wrong += usize::from(!reply.valid);
        session.show(&reply, |reply| {
            judgement(&file.display().to_string(), reply)
        })?;
    }
    match wrong {
        0 => Ok(()),
        _ => Err(CliError::Stopped(format!(
            "{wrong} of {} cannot be registered",
            table::count(args.files.len(), "pattern", "patterns")
        ))),
    }
}

/// What is wrong with a pattern, or the order in which its steps begin.
fn judgement(file: &str, reply: &ValidatePatternResponse) -> String {
    let row = |fault: &amadeus_proto::v1::PatternFault| {
        let how_bad = if fault.warning { "warning" } else { "error" };
        vec![how_bad.to_owned(), fault.path.clone(), fault.reason.clone()]
    };
    let mut text = format!(
        "{}: {}\n",
        table::visible(file),
        if reply.valid { "valid" } else { "not valid" }
    );
    if !reply.faults.is_empty() {
        text += &table::columns(&["", "WHERE", "WHAT"], reply.faults.iter().map(row));
    }
    for (i, level) in reply.levels.iter().enumerate() {
        text += &format!("  {}. {}\n", i + 1, table::visible(&level.steps.join(", ")));
    }
    text
}

pub async fn register(session: &mut Session, args: RegisterArgs) -> Result<(), CliError> {
    let pattern = pattern_of(&args.file)?;
    let name = pattern.name.clone();
    let WriteOneArgs { write, mut expect } = args.write;
    if args.replace {
        expect = Some(revision_of(session, &name).await?);
    }
    let request = RegisterPatternRequest {
        pattern: Some(pattern),
        request_id: write.request_id.clone(),
        reason: write.reason,
        expected_revision: expect,
    };
    let send = async |r| session.nexus().register_pattern(r).await;
    let reply = session.write(&write.request_id, request, send).await?;
    session.show(&reply, |r| {
        let what = format!("pattern/{name}");
        outcome(&what, "registered", r.changed, r.header.as_ref())
    })
}

/// The revision that last changed a pattern; 0 for one that does not exist.
async fn revision_of(session: &Session, name: &str) -> Result<u64, CliError> {
    let request = GetPatternRequest {
        name: name.to_owned(),
        consistency: None,
    };
    let send = async |r| session.nexus().get_pattern(r).await;
    match session.call(request, send).await {
        Ok(reply) => Ok(reply.modified_revision),
        Err(CliError::Call { status, .. }) if status.code() == Code::NotFound => Ok(0),
        Err(error) => Err(error),
    }
}

pub async fn list(session: &mut Session, args: PatternListArgs) -> Result<(), CliError> {
    let request = ListPatternsRequest {
        category: args.category,
        owner: args.owner,
        origin: args.origin,
        active: (args.active || args.inactive).then_some(args.active),
        consistency: args.read.consistency(),
        ..ListPatternsRequest::default()
    };
    let send = async |r| session.nexus().list_patterns(r).await;
    let reply = session.list(request, &args.list, send).await?;
    session.show(&reply, |reply| {
        let heading = [
            "NAME",
            "VERSION",
            "CATEGORY",
            "OWNER",
            "ACTIVE",
            "STEPS",
            "DESCRIPTION",
        ];
        table::columns(&heading, reply.patterns.iter().map(row))
    })?;
    tell_count(
        &table::count(reply.patterns.len(), "pattern", "patterns"),
        reply.header.as_ref(),
    );
    Ok(())
}

fn row(pattern: &Pattern) -> Vec<String> {
    vec![
        pattern.name.clone(),
        pattern.version.clone(),
        pattern.category.clone(),
        pattern.owner.clone(),
        if pattern.active { "yes" } else { "no" }.to_owned(),
        pattern.steps.len().to_string(),
        pattern.description.lines().next().unwrap_or("").to_owned(),
    ]
}

pub async fn show(session: &mut Session, args: ShowArgs) -> Result<(), CliError> {
    let request = GetPatternRequest {
        name: args.name,
        consistency: args.read.consistency(),
    };
    let send = async |r| session.nexus().get_pattern(r).await;
    let reply = session.call(request, send).await?;
    session.show(&reply, |reply| {
        let Some(pattern) = &reply.pattern else {
            return String::new();
        };
        let statistics = reply.statistics.as_ref().map(show::statistics);
        show::definition(pattern) + &statistics.unwrap_or_default()
    })
}

pub async fn delete(session: &mut Session, args: DeleteArgs) -> Result<(), CliError> {
    let WriteOneArgs { write, expect } = args.write;
    let request = DeletePatternRequest {
        name: args.name.clone(),
        force: args.force,
        request_id: write.request_id.clone(),
        reason: write.reason,
        expected_revision: expect,
    };
    let send = async |r| session.nexus().delete_pattern(r).await;
    let reply = session.write(&write.request_id, request, send).await?;
    session.show(&reply, |r| {
        let what = format!("pattern/{}", args.name);
        outcome(&what, "deleted", true, r.header.as_ref())
    })
}
