//! The clients of a server that is going to die: they write over gRPC, and note in the ledger what they were told.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use amadeus_proto::v1;
use kg_core::limits::CSV_CHUNK_ROWS;
use tonic::transport::Channel;
use tonic::{Code, Status};
use v1::admin_service_client::AdminServiceClient;
use v1::graph_service_client::GraphServiceClient;

use crate::ledger::{Asked, Content, Ledger, State, Step, Write};
use crate::random::Random;

/// The kind of every entity of this test.
const KIND: &str = "part";

/// The ledger, shared by all clients of one store.
#[derive(Clone, Default)]
pub struct Notes(Arc<Mutex<Ledger>>);

impl Notes {
    pub fn open(&self) -> MutexGuard<'_, Ledger> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a client was told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Told {
    Committed,
    /// Refused, for good: it left no trace.
    Refused,
    /// Nothing that could be relied on.
    Nothing,
}

/// Why a client stopped.
#[derive(Debug)]
pub enum Stop {
    /// The server did not answer, or takes no more writes.
    Silence(Status),
    /// It said what must not be.
    Wrong(String),
}

impl From<Status> for Stop {
    fn from(status: Status) -> Self {
        Self::Silence(status)
    }
}

impl From<String> for Stop {
    fn from(what: String) -> Self {
        Self::Wrong(what)
    }
}

/// One client.
#[derive(Clone)]
pub struct Client {
    pub graph: GraphServiceClient<Channel>,
    pub admin: AdminServiceClient<Channel>,
    pub notes: Notes,
    /// Different for every client of every round, so that names and ids differ too.
    name: String,
    count: u64,
}

impl Client {
    pub fn new(channel: Channel, notes: Notes, name: String) -> Self {
        Self {
            graph: GraphServiceClient::new(channel.clone()),
            admin: AdminServiceClient::new(channel),
            notes,
            name,
            count: 0,
        }
    }

    /// Writes until the server does not answer.
    pub async fn write_on(mut self, mut random: Random) -> Result<(), Stop> {
        loop {
            let write = self.next(&mut random).await?;
            let told = if random.one_in(10) {
                // A client that repeats itself before it has an answer.
                let (mut again, twin) = (self.clone(), write.clone());
                let (one, other) = tokio::join!(self.ask(&write), again.ask(&twin));
                let (one, other) = (one?, other?);
                if one == Told::Committed { one } else { other }
            } else {
                self.ask(&write).await?
            };
            if told == Told::Nothing {
                self.notes.open().open.push(write);
                return Ok(());
            }
        }
    }

    fn fresh(&mut self) -> (String, u64) {
        self.count += 1;
        (format!("{}-{}", self.name, self.count), self.count)
    }

    async fn next(&mut self, random: &mut Random) -> Result<Write, Stop> {
        let (name, n) = self.fresh();
        let put = |name: String| Step::Put {
            name,
            n,
            expected: None,
        };
        let steps = match random.below(20) {
            0..8 => vec![put(name.clone())],
            8..11 => vec![
                put(format!("{name}-a")),
                put(format!("{name}-b")),
                Step::Relate {
                    from: format!("{name}-a"),
                    to: format!("{name}-b"),
                },
            ],
            11..14 => {
                let name = format!("leaf{}", random.below(5));
                vec![Step::Node {
                    name,
                    n: random.next() >> 16,
                }]
            }
            14..15 if n > 1 => {
                // What it put itself, so that nobody else deletes it.
                let name = format!("{}-{}", self.name, 1 + random.below(n - 1));
                vec![Step::Delete { name }]
            }
            _ => vec![self.increment(random).await?],
        };
        Ok(Write {
            id: name,
            what: Asked::Steps(steps),
        })
    }

    /// Compare-and-set on a counter that all clients share.
    async fn increment(&mut self, random: &mut Random) -> Result<Step, Stop> {
        let name = format!("counter{}", random.below(3));
        let request = v1::GetEntityRequest {
            r#ref: Some(key(&name)),
            ..Default::default()
        };
        let (at, last) = match self.graph.get_entity(request).await {
            Ok(reply) => {
                let reply = reply.into_inner();
                self.saw(reply.header.as_ref());
                let entity = reply
                    .entity
                    .ok_or_else(|| "a reply without an entity".to_owned())?;
                (entity.modified_revision, number_of(&entity).unwrap_or(0))
            }
            Err(status) if status.code() == Code::NotFound => (0, 0),
            Err(status) => return Err(status.into()),
        };
        Ok(Step::Put {
            name,
            n: last + 1,
            expected: Some(at),
        })
    }

    fn saw(&self, header: Option<&v1::ResponseHeader>) {
        self.notes
            .open()
            .saw(header.map_or(0, |header| header.revision));
    }

    /// Asks for a write, for the first time or again, and notes what came of it.
    pub async fn ask(&mut self, write: &Write) -> Result<Told, Stop> {
        let told = match &write.what {
            Asked::Steps(steps) => self.commit(&write.id, steps).await,
            Asked::Import(chunks) => return self.import(&write.id, chunks).await,
            Asked::Restore(backup, _) => {
                let request = v1::RestoreRequest {
                    id: backup.clone(),
                    request_id: write.id.clone(),
                    ..Default::default()
                };
                let reply = self.admin.restore(request).await;
                reply.map(|reply| reply.into_inner().header)
            }
        };
        let content = match &write.what {
            Asked::Steps(steps) => Content::Steps(steps.clone()),
            Asked::Restore(_, of) => Content::Restore(*of),
            Asked::Import(_) => unreachable!("it has returned"),
        };
        match told {
            Ok(header) => {
                let revision = header.map_or(0, |header| header.revision);
                self.notes.open().committed(&write.id, revision, content)?;
                Ok(Told::Committed)
            }
            Err(status) => judge(&status, &write.id),
        }
    }

    async fn commit(
        &mut self,
        id: &str,
        steps: &[Step],
    ) -> Result<Option<v1::ResponseHeader>, Status> {
        if let [Step::Put { name, n, expected }] = steps {
            let mut request = put(name, *n, *expected);
            request.request_id = id.into();
            let reply = self.graph.put_entity(request).await?;
            return Ok(reply.into_inner().header);
        }
        let request = v1::CommitRequest {
            mutations: steps.iter().map(mutation).collect(),
            request_id: id.into(),
            ..Default::default()
        };
        Ok(self.graph.commit(request).await?.into_inner().header)
    }

    async fn import(&mut self, id: &str, chunks: &[Vec<Step>]) -> Result<Told, Stop> {
        let mut file = "from,relation,to\n".to_owned();
        for step in chunks.iter().flatten() {
            if let Step::Relate { from, to } = step {
                file += &format!("{KIND}/{from},uses,{KIND}/{to}\n");
            }
        }
        let options = v1::ImportOptions {
            request_id: id.into(),
            ..Default::default()
        };
        use v1::import_request::Part;
        let parts = [
            Part::Options(options),
            Part::Chunk(file.into_bytes().into()),
        ];
        let parts = parts.map(|part| v1::ImportRequest { part: Some(part) });
        let mut replies = match self.graph.import_stream(futures::stream::iter(parts)).await {
            Ok(replies) => replies.into_inner(),
            Err(status) => return judge(&status, id),
        };
        for (number, chunk) in chunks.iter().enumerate() {
            match replies.message().await {
                Ok(Some(reply)) => {
                    let last = number + 1 == chunks.len();
                    if reply.done != last {
                        return Err(format!(
                            "{id}: reply {number} of an import in {} chunks says done: {}",
                            chunks.len(),
                            reply.done
                        )
                        .into());
                    }
                    let revision = reply.header.map_or(0, |header| header.revision);
                    let content = Content::Steps(chunk.clone());
                    self.notes
                        .open()
                        .committed(&format!("{id}#{number}"), revision, content)?;
                }
                Ok(None) => {
                    return Err(format!("{id}: an import ended without its last reply").into());
                }
                Err(status) => return judge(&status, id),
            }
        }
        Ok(Told::Committed)
    }

    /// An import that comes in several chunks.
    pub fn an_import(&mut self, random: &mut Random) -> Write {
        let (id, _) = self.fresh();
        let rows = CSV_CHUNK_ROWS as u64 * (1 + random.below(3))
            + 1
            + random.below(CSV_CHUNK_ROWS as u64 - 1);
        let row = |row| Step::Relate {
            from: format!("{id}-{row}"),
            to: format!("{id}-{}", row / 2 + rows),
        };
        let all: Vec<Step> = (0..rows).map(row).collect();
        let chunks = all.chunks(CSV_CHUNK_ROWS).map(<[Step]>::to_vec).collect();
        Write {
            id,
            what: Asked::Import(chunks),
        }
    }

    /// Takes a backup and notes it.
    pub async fn back_up(&mut self) -> Result<(), Stop> {
        let reply = self
            .admin
            .backup(v1::BackupRequest::default())
            .await?
            .into_inner();
        let backup = reply
            .backup
            .ok_or_else(|| "a reply without a backup".to_owned())?;
        let mut notes = self.notes.open();
        notes.saw(backup.revision);
        notes.backups.push((backup.id, backup.revision));
        Ok(())
    }

    /// A restore of some backup, of which there is one at least.
    pub async fn a_restore(&mut self, random: &mut Random) -> Result<Write, Stop> {
        self.back_up().await?;
        let (id, _) = self.fresh();
        let (backup, of) = random.pick(&self.notes.open().backups).clone();
        Ok(Write {
            id,
            what: Asked::Restore(backup, of),
        })
    }

    /// Compacts the log as far as checkpoints allow.
    pub async fn compact(&mut self) -> Result<(), Stop> {
        let request = v1::CompactRequest {
            keep_from_revision: self.status().await?.revision,
        };
        let reply = self.admin.compact(request).await?;
        self.saw(reply.into_inner().header.as_ref());
        Ok(())
    }

    /// Everything that the graph holds, and its revision. Only while nobody writes.
    pub async fn all(&mut self) -> Result<(u64, State), Stop> {
        let status = self.status().await?;
        let mut state = State::default();
        let mut token = String::new();
        loop {
            let request = v1::ListEntitiesRequest {
                kind: KIND.into(),
                page_token: token,
                ..Default::default()
            };
            let page = self.graph.list_entities(request).await?.into_inner();
            for entity in &page.entities {
                let name = entity.r#ref.as_ref().map_or("", |key| &key.name);
                let found = (entity.modified_revision, number_of(entity));
                state.entities.insert(name.to_owned(), found);
            }
            token = page.next_page_token;
            if token.is_empty() {
                break;
            }
        }
        let request = v1::GetNodeRequest {
            path: "chaos".into(),
            ..Default::default()
        };
        match self.graph.get_node(request).await {
            Ok(reply) => state.nodes = leaves(reply.into_inner().value),
            Err(status) if status.code() == Code::NotFound => {}
            Err(status) => return Err(status.into()),
        }
        let request = v1::ExportRequest {
            format: v1::export_request::Format::Csv.into(),
            ..Default::default()
        };
        let mut pieces = self.graph.export(request).await?.into_inner();
        let mut file = Vec::new();
        while let Some(piece) = pieces.message().await? {
            file.extend_from_slice(&piece.chunk);
        }
        let rows = String::from_utf8_lossy(&file);
        state.relations = rows.lines().skip(1).filter_map(ends).collect();
        if status.relations as usize != state.relations.len() {
            return Err(format!(
                "it counts {} relations and lists {}",
                status.relations,
                state.relations.len()
            )
            .into());
        }
        Ok((status.revision, state))
    }

    pub async fn status(&mut self) -> Result<v1::StatusResponse, Stop> {
        let status = self.admin.status(v1::StatusRequest {}).await?.into_inner();
        self.notes.open().saw(status.revision);
        Ok(status)
    }

    /// Counts and hashes everything again.
    pub async fn prove(&mut self) -> Result<(), Stop> {
        let request = v1::CheckIntegrityRequest::default();
        let found = self.admin.check_integrity(request).await?.into_inner();
        if found.ok && found.hash == found.recomputed_hash {
            return Ok(());
        }
        Err(format!("the integrity check found {:?}", found.findings).into())
    }

    /// A write of its own, to see what becomes of it.
    pub async fn probe(&mut self) -> Result<Told, Stop> {
        let (name, n) = self.fresh();
        let write = Write {
            id: name.clone(),
            what: Asked::Steps(vec![Step::Put {
                name,
                n,
                expected: None,
            }]),
        };
        let told = self.ask(&write).await?;
        if told == Told::Nothing {
            self.notes.open().open.push(write);
        }
        Ok(told)
    }
}

/// Whether a status is an answer to a write, or leaves its outcome open.
fn judge(status: &Status, id: &str) -> Result<Told, Stop> {
    match status.code() {
        Code::Aborted | Code::AlreadyExists | Code::FailedPrecondition | Code::NotFound => {
            Ok(Told::Refused)
        }
        Code::InvalidArgument | Code::OutOfRange | Code::DataLoss | Code::Unimplemented => {
            Err(format!("{id} was answered with {status}").into())
        }
        _ => Ok(Told::Nothing),
    }
}

fn key(name: &str) -> v1::EntityRef {
    v1::EntityRef {
        kind: KIND.into(),
        name: name.into(),
    }
}

#[expect(
    clippy::cast_precision_loss,
    reason = "the numbers of this test are below 2^53"
)]
fn number(n: u64) -> prost_types::Value {
    prost_types::Value {
        kind: Some(prost_types::value::Kind::NumberValue(n as f64)),
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "the numbers of this test are whole and below 2^53"
)]
fn whole(value: &prost_types::Value) -> Option<u64> {
    match value.kind {
        Some(prost_types::value::Kind::NumberValue(n)) => Some(n as u64),
        _ => None,
    }
}

fn put(name: &str, n: u64, expected: Option<u64>) -> v1::PutEntityRequest {
    let properties = prost_types::Struct {
        fields: [("n".to_owned(), number(n))].into(),
    };
    v1::PutEntityRequest {
        entity: Some(v1::Entity {
            r#ref: Some(key(name)),
            properties: Some(properties),
            ..Default::default()
        }),
        expected_revision: expected,
        ..Default::default()
    }
}

fn mutation(step: &Step) -> v1::Mutation {
    use v1::mutation::Mutation;
    let mutation = match step {
        Step::Put { name, n, expected } => Mutation::PutEntity(put(name, *n, *expected)),
        Step::Relate { from, to } => Mutation::PutRelation(v1::PutRelationRequest {
            relation: Some(v1::Relation {
                from: Some(key(from)),
                relation: "uses".into(),
                to: Some(key(to)),
                ..Default::default()
            }),
            ..Default::default()
        }),
        Step::Node { name, n } => Mutation::UpdateNode(v1::UpdateNodeRequest {
            path: format!("chaos.{name}"),
            value: Some(number(*n)),
            ..Default::default()
        }),
        Step::Delete { name } => Mutation::DeleteEntity(v1::DeleteEntityRequest {
            r#ref: Some(key(name)),
            ..Default::default()
        }),
    };
    v1::Mutation {
        mutation: Some(mutation),
    }
}

fn number_of(entity: &v1::Entity) -> Option<u64> {
    let properties = entity.properties.as_ref()?;
    whole(properties.fields.get("n")?)
}

fn leaves(value: Option<prost_types::Value>) -> std::collections::BTreeMap<String, u64> {
    match value.and_then(|value| value.kind) {
        Some(prost_types::value::Kind::StructValue(object)) => {
            let leaf = |(name, value): (String, prost_types::Value)| Some((name, whole(&value)?));
            object.fields.into_iter().filter_map(leaf).collect()
        }
        _ => Default::default(),
    }
}

/// The two ends of a row of CSV: `part/a,uses,part/b`.
fn ends(row: &str) -> Option<(String, String)> {
    let mut columns = row.split(',');
    let name = |end: &str| Some(end.strip_prefix(KIND)?.strip_prefix('/')?.to_owned());
    let (from, to) = (columns.next()?, columns.nth(1)?);
    Some((name(from)?, name(to)?))
}
