//! The graph as a whole: describe, validate, prune. And the lines that many commands end with.

use std::collections::BTreeMap;

use amadeus_proto::v1::{
    DescribeRequest, DescribeResponse, Finding, PruneRequest, PruneResponse, ResponseHeader,
    ValidateRequest, finding::Severity,
};

use clap::Args;

use super::{
    args::{ListArgs, ReadArgs, WriteArgs},
    entity_ref::{written, written_or_none},
    failure::CliError,
    out,
    session::Session,
    table,
};

#[derive(Debug, Args)]
pub struct DescribeArgs {
    /// Count also services that are only named by a dependency
    #[arg(long)]
    pub placeholders: bool,
    #[command(flatten)]
    pub read: ReadArgs,
}

#[derive(Debug, Args)]
pub struct ValidateArgs {
    #[command(flatten)]
    pub list: ListArgs,
    #[command(flatten)]
    pub read: ReadArgs,
}

#[derive(Debug, Args)]
pub struct PruneArgs {
    /// Say only what would go
    #[arg(long)]
    pub dry_run: bool,
    #[command(flatten)]
    pub write: WriteArgs,
}

/// `checkout registered at revision 17`, or that it was like that already.
pub fn outcome(what: &str, done: &str, changed: bool, header: Option<&ResponseHeader>) -> String {
    let what = table::visible(what);
    let revision = header.map_or(0, |h| h.revision);
    match changed {
        true => format!("{what} {done} at revision {revision}\n"),
        false => format!("{what} unchanged: it is like that already at revision {revision}\n"),
    }
}

/// Says how much a list holds and at which revision, beside the list itself.
pub fn tell_count(count: &str, header: Option<&ResponseHeader>) {
    if out::is_terminal() {
        out::note(&format!(
            "{count} at revision {}",
            header.map_or(0, |h| h.revision)
        ));
    }
}

/// Says that more is there than may be seen.
pub fn tell_hidden(hidden: u32) {
    if hidden > 0 {
        out::note(&format!("and {hidden} that you may not see"));
    }
}

/// Says that a budget ended a query.
pub fn tell_truncated(truncated: bool) {
    if truncated {
        out::note("not all of it: the budget ended the search");
    }
}

pub async fn describe(session: &mut Session, args: DescribeArgs) -> Result<(), CliError> {
    let request = DescribeRequest {
        include_placeholders: args.placeholders,
        consistency: args.read.consistency(),
    };
    let reply = session
        .call(request, async |r| session.graph().describe(r).await)
        .await?;
    session.show(&reply, description)
}

fn description(reply: &DescribeResponse) -> String {
    let header = reply.header.clone().unwrap_or_default();
    let mut text = table::record(&[
        ("revision", header.revision.to_string()),
        ("entities", reply.entities.to_string()),
        ("relations", reply.relations.to_string()),
        ("placeholders", reply.placeholders.to_string()),
        ("sections", reply.sections.join(", ")),
    ]);
    for (title, counts) in [
        ("Entities by kind", &reply.entity_counts),
        ("Relations by label", &reply.relation_counts),
        ("Services by category", &reply.categories),
        ("Services by capability", &reply.capabilities),
        ("Services by owner", &reply.owners),
    ] {
        text += &table::section(title, &["NAME", "COUNT"], rows(counts));
    }
    text
}

fn rows(counts: &BTreeMap<String, u32>) -> Vec<Vec<String>> {
    counts
        .iter()
        .map(|(name, n)| vec![name.clone(), n.to_string()])
        .collect()
}

pub async fn validate(session: &mut Session, args: ValidateArgs) -> Result<(), CliError> {
    let request = ValidateRequest {
        consistency: args.read.consistency(),
        ..ValidateRequest::default()
    };
    let reply = session
        .list(request, &args.list, async |r| {
            session.graph().validate(r).await
        })
        .await?;
    session.show(&reply, |reply| findings(&reply.findings))?;
    tell_count(
        &table::count(reply.total as usize, "finding", "findings"),
        reply.header.as_ref(),
    );
    Ok(())
}

/// A table of findings, or that there are none.
pub fn findings(findings: &[Finding]) -> String {
    if findings.is_empty() {
        return "nothing to report\n".to_owned();
    }
    let row = |finding: &Finding| {
        let place = match finding.path.as_str() {
            "" => written_or_none(finding.r#ref.as_ref()),
            path => path.to_owned(),
        };
        vec![
            severity(finding.severity()).to_owned(),
            finding.code.clone(),
            place,
            finding.message.clone(),
        ]
    };
    table::columns(
        &["SEVERITY", "CODE", "WHERE", "WHAT"],
        findings.iter().map(row),
    )
}

fn severity(severity: Severity) -> &'static str {
    match severity {
        Severity::Unspecified => "",
        Severity::Info => "info",
        Severity::Warning => "warning",
        Severity::Error => "error",
    }
}

pub async fn prune(session: &mut Session, args: PruneArgs) -> Result<(), CliError> {
    let request = PruneRequest {
        dry_run: args.dry_run,
        request_id: args.write.request_id.clone(),
        reason: args.write.reason,
    };
    let send = async |r| session.graph().prune(r).await;
    let reply = session.write(&args.write.request_id, request, send).await?;
    session.show(&reply, |reply| pruned(reply, args.dry_run))
}

fn pruned(reply: &PruneResponse, dry_run: bool) -> String {
    let many = table::count(reply.removed.len(), "entity", "entities");
    let verb = if dry_run { "would go" } else { "removed" };
    let mut text = format!(
        "{many} {verb} at revision {}\n",
        reply.header.as_ref().map_or(0, |h| h.revision)
    );
    for entity in &reply.removed {
        text += &format!("  {}\n", table::visible(&written(entity)));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_write_that_changed_nothing_says_so() {
        let header = ResponseHeader {
            revision: 17,
            ..ResponseHeader::default()
        };
        assert_eq!(
            outcome("a", "registered", true, Some(&header)),
            "a registered at revision 17\n"
        );
        assert!(outcome("a", "registered", false, Some(&header)).contains("unchanged"));
    }

    #[test]
    fn a_description_shows_only_the_counts_that_there_are() {
        let reply = DescribeResponse {
            entities: 2,
            entity_counts: BTreeMap::from([("service".to_owned(), 2)]),
            ..DescribeResponse::default()
        };
        let text = description(&reply);
        assert!(
            text.contains("\nEntities by kind\nNAME     COUNT\nservice  2\n"),
            "{text}"
        );
        assert!(!text.contains("by owner"), "{text}");
    }
}
