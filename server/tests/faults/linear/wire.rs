//! The calls of the model on the wire.

use amadeus_proto::v1;
use tonic::Status;
use tonic::transport::Channel;
use v1::graph_service_client::GraphServiceClient;

use super::model::{Ask, Entries, Entry, Key, Step, Told, Write};

const KIND: &str = "cell";

/// The property that is a key's value.
const VALUE: &str = "n";

/// The names of one history, which no other history has, and how it reads.
#[derive(Clone, Debug)]
pub struct Names {
    pub prefix: String,
    /// Whether a read of the head asks the log first: where several servers write, only that is no older than any write
    /// that was acknowledged before.
    pub asks_the_log: bool,
}

impl Names {
    fn key(&self, key: Key) -> v1::EntityRef {
        v1::EntityRef {
            kind: KIND.into(),
            name: format!("{}{key}", self.prefix),
        }
    }

    /// Asks, and says what was told; what no model tells is an error of its own, as a text.
    pub async fn send(
        &self,
        graph: &mut GraphServiceClient<Channel>,
        ask: &Ask,
    ) -> Result<Result<Told, String>, Status> {
        match ask {
            Ask::Write(write) => {
                let header = self.write(graph, write).await?;
                Ok(Ok(Told::Committed(revision(header))))
            }
            Ask::Get(key, at) => {
                let request = v1::GetEntityRequest {
                    r#ref: Some(self.key(*key)),
                    consistency: self.consistency(*at),
                };
                let reply = graph.get_entity(request).await?.into_inner();
                let entry = reply.entity.as_ref().and_then(entry);
                let told = entry.map(|entry| Told::Found(revision(reply.header), entry));
                Ok(told.ok_or_else(|| format!("{:?} has no value", reply.entity)))
            }
            Ask::List(at) => {
                let request = v1::ListEntitiesRequest {
                    kind: KIND.into(),
                    name_prefix: self.prefix.clone(),
                    consistency: self.consistency(*at),
                    ..Default::default()
                };
                let reply = graph.list_entities(request).await?.into_inner();
                let numbered = |entity: &v1::Entity| {
                    let name = &entity.r#ref.as_ref()?.name;
                    Some((
                        name.strip_prefix(&self.prefix)?.parse().ok()?,
                        entry(entity)?,
                    ))
                };
                let all: Option<Entries> = reply.entities.iter().map(numbered).collect();
                let told = all.map(|all| Told::All(revision(reply.header), all));
                Ok(told.ok_or_else(|| format!("{:?} has no values", reply.entities)))
            }
        }
    }

    /// One change through its own call, several as a transaction.
    async fn write(
        &self,
        graph: &mut GraphServiceClient<Channel>,
        write: &Write,
    ) -> Result<Option<v1::ResponseHeader>, Status> {
        match (write.steps.as_slice(), write.guard) {
            ([Step::Put(key, value)], guard) if guard.is_none_or(|(at, _)| at == *key) => {
                let mut request = self.put(*key, *value);
                request.expected_revision = guard.map(|(_, revision)| revision);
                request.request_id.clone_from(&write.id);
                Ok(graph.put_entity(request).await?.into_inner().header)
            }
            ([Step::Delete(key)], guard) if guard.is_none_or(|(at, _)| at == *key) => {
                let mut request = self.delete(*key);
                request.expected_revision = guard.map(|(_, revision)| revision);
                request.request_id.clone_from(&write.id);
                Ok(graph.delete_entity(request).await?.into_inner().header)
            }
            (steps, guard) => {
                use v1::mutation::Mutation;
                let mutation = |step: &Step| match step {
                    Step::Put(key, value) => Mutation::PutEntity(self.put(*key, *value)),
                    Step::Delete(key) => Mutation::DeleteEntity(self.delete(*key)),
                };
                let mutation = |step| v1::Mutation {
                    mutation: Some(mutation(step)),
                };
                let at = |(key, revision)| v1::Precondition {
                    precondition: Some(v1::precondition::Precondition::EntityAt(
                        v1::precondition::EntityAt {
                            r#ref: Some(self.key(key)),
                            revision,
                        },
                    )),
                };
                let request = v1::CommitRequest {
                    preconditions: guard.map(at).into_iter().collect(),
                    mutations: steps.iter().map(mutation).collect(),
                    request_id: write.id.clone(),
                    ..Default::default()
                };
                Ok(graph.commit(request).await?.into_inner().header)
            }
        }
    }

    fn consistency(&self, at: Option<u64>) -> Option<v1::Consistency> {
        use v1::consistency::Level;
        let level = match at {
            Some(revision) => Level::AtExact(revision),
            None if self.asks_the_log => Level::Linearizable(true),
            None => return None,
        };
        Some(v1::Consistency { level: Some(level) })
    }

    #[expect(clippy::cast_precision_loss, reason = "values are counted, and few")]
    fn put(&self, key: Key, value: u64) -> v1::PutEntityRequest {
        let value = prost_types::Value {
            kind: Some(prost_types::value::Kind::NumberValue(value as f64)),
        };
        v1::PutEntityRequest {
            entity: Some(v1::Entity {
                r#ref: Some(self.key(key)),
                properties: Some(prost_types::Struct {
                    fields: [(VALUE.to_owned(), value)].into(),
                }),
                ..Default::default()
            }),
            ..Default::default()
        }
    }

    fn delete(&self, key: Key) -> v1::DeleteEntityRequest {
        v1::DeleteEntityRequest {
            r#ref: Some(self.key(key)),
            ..Default::default()
        }
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "values are counted, and few"
)]
fn entry(entity: &v1::Entity) -> Option<Entry> {
    let value = entity.properties.as_ref()?.fields.get(VALUE)?;
    match value.kind {
        Some(prost_types::value::Kind::NumberValue(value)) => Some(Entry {
            value: value as u64,
            created: entity.created_revision,
            modified: entity.modified_revision,
        }),
        _ => None,
    }
}

fn revision(header: Option<v1::ResponseHeader>) -> u64 {
    header.map_or(0, |header| header.revision)
}
