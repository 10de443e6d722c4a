//! Every revision as it was, read by other calls than a watch; and what changed from one to the next.

use std::collections::BTreeMap;

use amadeus_proto::v1;
use tonic::transport::Channel;
use tonic::{Code, Status};
use v1::change::Kind;
use v1::graph_service_client::GraphServiceClient;

use super::told::{self, Change, Subject, Value};
use super::writers::{BULK, SECTION};

/// Everything that the graph holds at one revision.
pub type State = BTreeMap<Subject, Value>;

/// Reads everything as it was at `revision`.
pub async fn read(graph: &mut GraphServiceClient<Channel>, revision: u64) -> Result<State, Status> {
    let level = v1::consistency::Level::AtExact(revision);
    let consistency = Some(v1::Consistency { level: Some(level) });
    let mut state = State::new();
    let mut token = String::new();
    loop {
        let request = v1::ListEntitiesRequest {
            page_token: token,
            consistency,
            ..Default::default()
        };
        let page = graph.list_entities(request).await?.into_inner();
        for entity in page.entities {
            state.extend([told::entity(&entity)]);
            let key = entity.r#ref.unwrap_or_default();
            if key.kind != BULK {
                let request = v1::ListRelationsRequest {
                    r#ref: Some(key),
                    consistency,
                    ..Default::default()
                };
                let reply = graph.list_relations(request).await?.into_inner();
                state.extend(reply.relations.iter().map(told::relation));
            }
        }
        token = page.next_page_token;
        if token.is_empty() {
            break;
        }
    }
    let request = v1::GetNodeRequest {
        path: SECTION.into(),
        consistency,
    };
    let section = match graph.get_node(request).await {
        Ok(reply) => reply.into_inner().value,
        Err(status) if status.code() == Code::NotFound => None,
        Err(status) => return Err(status),
    };
    if let Some(prost_types::value::Kind::StructValue(section)) = section.and_then(|it| it.kind) {
        state.extend(section.fields.into_iter().map(|(leaf, value)| {
            told::node(&v1::Node {
                path: format!("{SECTION}.{leaf}"),
                value: Some(value),
            })
        }));
    }
    Ok(state)
}

/// What a watch has to tell of `revision`, with what stood there before, ordered by subject.
pub fn difference(before: &State, after: &State, revision: u64) -> Vec<Change> {
    let mut subjects: Vec<&Subject> = before.keys().chain(after.keys()).collect();
    subjects.sort();
    subjects.dedup();
    let change = |subject: &Subject| {
        let (previous, value) = (before.get(subject), after.get(subject));
        let kind = match (previous, value) {
            (None, _) => Kind::Created,
            (Some(_), None) => Kind::Deleted,
            (Some(previous), Some(value)) if previous != value => Kind::Updated,
            _ => return None,
        };
        Some(Change {
            revision,
            kind,
            subject: subject.clone(),
            value: value.cloned(),
            previous: previous.cloned(),
        })
    };
    subjects.into_iter().filter_map(change).collect()
}
