//! Follows the graph as it changes: a line per change, until Ctrl-C, or until nobody reads any more.

use amadeus_proto::v1::{
    Change, Entity, Node, Relation, WatchRequest, WatchResponse,
    change::{Kind, Subject, previous::State},
};
use clap::Args;
use serde_yaml_ng::Value as Tree;
use tonic::Code;

use super::{
    args::Output, entity_ref::written_or_none, failure::CliError, literal, out, render,
    session::Session, table,
};

#[derive(Debug, Args)]
pub struct WatchArgs {
    /// Begin with this revision; to resume, the one after the last bookmark
    #[arg(long, value_name = "REVISION", conflicts_with = "snapshot")]
    pub from: Option<u64>,
    /// Begin with everything there is
    #[arg(long)]
    pub snapshot: bool,
    /// Only this kind; may be given again
    #[arg(long = "kind", value_name = "KIND")]
    pub kinds: Vec<String>,
    /// Only names that begin like this
    #[arg(long, default_value = "", hide_default_value = true)]
    pub prefix: String,
    /// Only relations with this label; may be given again
    #[arg(long = "relation", value_name = "LABEL")]
    pub relations: Vec<String>,
    /// Say also what stood there before
    #[arg(long)]
    pub previous: bool,
}

pub async fn run(session: &mut Session, args: WatchArgs) -> Result<(), CliError> {
    let mut request = WatchRequest {
        from_revision: args.from.unwrap_or(0),
        snapshot_first: args.snapshot,
        kinds: args.kinds,
        name_prefix: args.prefix,
        relations: args.relations,
        previous_values: args.previous,
        consistency: None,
    };
    let open = async |session: &Session, request: &WatchRequest| {
        let send = async |r| session.graph().watch(r).await;
        session.open(request.clone(), send).await
    };
    let mut messages = open(session, &request).await?;
    let mut followed = 0;
    loop {
        let message = tokio::select! {
            message = messages.message() => message,
            _ = tokio::signal::ctrl_c() => return Ok(()),
        };
        match message {
            Ok(Some(message)) => {
                show(session, &message)?;
                session.out.flush()?;
                followed = followed.max(message.bookmark);
            }
            Ok(None) => return Ok(()),
            // A stream ends with the token that it was opened by.
            Err(status) if status.code() == Code::Unauthenticated && session.renew().await? => {
                if followed > 0 {
                    request.from_revision = followed + 1;
                    request.snapshot_first = false;
                }
                messages = open(session, &request).await?;
            }
            Err(status) => {
                if followed > 0 {
                    out::note(&format!(
                        "followed to revision {followed}; resume with --from {}",
                        followed + 1
                    ));
                }
                return Err(CliError::call(status));
            }
        }
    }
}

fn show(session: &mut Session, message: &WatchResponse) -> Result<(), CliError> {
    if message.resync {
        let oldest = message.header.as_ref().map_or(0, |h| h.oldest_revision);
        out::note(&format!(
            "that place is no longer kept (the oldest is {oldest}); begin again with --snapshot"
        ));
    }
    let last = message.changes.len().wrapping_sub(1);
    for (i, change) in message.changes.iter().enumerate() {
        let text = match session.output {
            Output::Table => line(change, message.snapshot),
            Output::Json => render::json_line(&entry(change, message, i == last)?)?,
            Output::Yaml => format!(
                "---\n{}",
                render::yaml(&entry(change, message, i == last)?)?
            ),
        };
        session.out.text(&text)?;
    }
    Ok(())
}

/// A change for programs. The last of a revision carries the bookmark: everything up to it has been shown.
fn entry(change: &Change, message: &WatchResponse, last: bool) -> Result<Tree, CliError> {
    let mut tree = render::tree(change)?;
    if let Tree::Mapping(fields) = &mut tree {
        if message.snapshot {
            fields.insert("snapshot".into(), true.into());
        }
        if last && message.bookmark > 0 {
            fields.insert("bookmark".into(), message.bookmark.into());
        }
    }
    Ok(tree)
}

/// A change for people: `17  created  service/checkout`.
fn line(change: &Change, snapshot: bool) -> String {
    let kind = match change.kind() {
        _ if snapshot => "exists",
        Kind::Unspecified => "changed",
        Kind::Created => "created",
        Kind::Updated => "updated",
        Kind::Deleted => "deleted",
    };
    let deleted = change.kind() == Kind::Deleted;
    let subject = match &change.subject {
        Some(Subject::Entity(one)) => entity(one, deleted),
        Some(Subject::Relation(one)) => relation(one, deleted),
        Some(Subject::Node(one)) => node(one, deleted),
        None => "something that this client does not know".to_owned(),
    };
    let previous = match change.previous.as_ref().and_then(|p| p.state.as_ref()) {
        Some(State::Entity(one)) => format!("  was {}", entity(one, false)),
        Some(State::Relation(one)) => format!("  was {}", relation(one, false)),
        Some(State::Node(one)) => format!("  was {}", node(one, false)),
        None => String::new(),
    };
    table::visible(&format!(
        "{:>8}  {kind}  {subject}{previous}",
        change.revision
    ))
}

fn entity(entity: &Entity, name_only: bool) -> String {
    let name = written_or_none(entity.r#ref.as_ref());
    match literal::shown_properties(entity.properties.as_ref()) {
        properties if properties.is_empty() || name_only => name,
        properties => format!("{name}  {properties}"),
    }
}

fn relation(relation: &Relation, name_only: bool) -> String {
    let (from, to) = (
        written_or_none(relation.from.as_ref()),
        written_or_none(relation.to.as_ref()),
    );
    let name = format!("{from} -{}-> {to}", relation.relation);
    match literal::shown_properties(relation.properties.as_ref()) {
        properties if properties.is_empty() || name_only => name,
        properties => format!("{name}  {properties}"),
    }
}

fn node(node: &Node, name_only: bool) -> String {
    match &node.value {
        Some(value) if !name_only => format!("{} = {}", node.path, literal::shown(value)),
        _ => node.path.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::entity_ref::service;
    use amadeus_proto::v1::change::Previous;

    fn change(kind: Kind, subject: Subject) -> Change {
        Change {
            revision: 17,
            kind: kind.into(),
            subject: Some(subject),
            ..Change::default()
        }
    }

    #[test]
    fn each_kind_of_change_is_one_line() {
        let checkout = Entity {
            r#ref: Some(service("checkout")),
            ..Entity::default()
        };
        let needs = Relation {
            from: Some(service("checkout")),
            relation: "depends_on".into(),
            to: Some(service("cart")),
            ..Relation::default()
        };
        let region = Node {
            path: "settings.region".into(),
            value: literal::value("eu", true).ok(),
        };
        for (change, expected) in [
            (
                change(Kind::Created, Subject::Entity(checkout)),
                "      17  created  service/checkout",
            ),
            (
                change(Kind::Deleted, Subject::Relation(needs)),
                "      17  deleted  service/checkout -depends_on-> service/cart",
            ),
            (
                change(Kind::Updated, Subject::Node(region)),
                "      17  updated  settings.region = eu",
            ),
        ] {
            assert_eq!(line(&change, false), expected);
        }
    }

    #[test]
    fn what_stood_there_before_follows_what_stands_there_now() {
        let node = |value| Node {
            path: "a".into(),
            value: literal::value(value, false).ok(),
        };
        let mut change = change(Kind::Updated, Subject::Node(node("2")));
        change.previous = Some(Previous {
            state: Some(State::Node(node("1"))),
        });
        assert_eq!(line(&change, false), "      17  updated  a = 2  was a = 1");
    }

    #[test]
    fn only_the_last_change_of_a_revision_carries_the_bookmark() {
        let node = Node {
            path: "a".into(),
            value: None,
        };
        let change = change(Kind::Deleted, Subject::Node(node));
        let message = WatchResponse {
            bookmark: 17,
            ..WatchResponse::default()
        };
        let shown = |last| {
            render::json_line(&entry(&change, &message, last).expect("a tree")).expect("JSON")
        };
        assert!(!shown(false).contains("bookmark"));
        assert!(
            shown(true).ends_with(r#""bookmark":17}"#),
            "{}",
            shown(true)
        );
    }
}
