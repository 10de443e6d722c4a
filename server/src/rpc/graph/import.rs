//! Import: a file becomes transactions.
//!
//! JSON is collected whole, up to a bound, and is one transaction. CSV is read as it comes and committed in chunks; each
//! chunk has a request id of its own, derived from the import's, so that a repeated import finds what is durable already
//! and goes on behind it. Parsing and checking run on a thread for long work, and while a chunk is on its way to the disk
//! the next one is received, read, and made a transaction; it is submitted when the one before is durable, for a chunk
//! that is refused ends the import, and what follows it must not be there.

mod tally;

use std::collections::VecDeque;
use std::sync::Arc;

use amadeus_proto::v1;
use futures::future::BoxFuture;
use futures::stream::{self, BoxStream, StreamExt};
use kg_core::commit::Outcome;
use kg_core::faults::{Point, point};
use kg_core::interchange::{Chunk, CsvChunks, parse_json};
use kg_core::limits::{IMPORT_BYTES, IMPORT_MUTATIONS, IMPORTS_BYTES};
use kg_core::mutation::{Mutation, Transaction, plan};
use kg_core::snapshot::Snapshot;
use tokio::sync::OwnedSemaphorePermit;
use tonic::{Request, Response, Status, Streaming};
use v1::import_options::Format;
use v1::import_request::Part;
use xxhash_rust::xxh3::{Xxh3, xxh3_64};

use tally::{About, Tally};

use super::blocking_if;
use crate::auth::Caller;
use crate::rpc::context::Context;
use crate::rpc::write::{Identified, Identity};
use crate::rpc::{from_proto, status};

/// Bytes of one message that are worth another thread.
const LONG_BYTES: usize = 16 * 1024;

/// Bytes by which it must be clear what a file is.
const SNIFFED_BYTES: usize = 4 * 1024;

type Reply = Result<v1::ImportResponse, Status>;

impl Context {
    /// Answers once, when all of it is durable.
    pub(super) async fn import(
        self: &Arc<Self>,
        request: Request<Streaming<v1::ImportRequest>>,
    ) -> Result<Response<v1::ImportResponse>, Status> {
        let caller = Caller::of(request.extensions());
        let mut import = Import::new(self.clone(), caller, request.into_inner());
        loop {
            match import.next().await {
                Some(Ok(reply)) if reply.done => return Ok(Response::new(reply)),
                Some(Ok(_)) => {}
                Some(Err(status)) => return Err(status),
                None => {
                    return Err(status::internal(
                        "an import",
                        &"it ended without a last reply",
                    ));
                }
            }
        }
    }

    /// Answers after each chunk.
    pub(super) fn import_stream(
        self: &Arc<Self>,
        request: Request<Streaming<v1::ImportRequest>>,
    ) -> Response<BoxStream<'static, Reply>> {
        let caller = Caller::of(request.extensions());
        let import = Import::new(self.clone(), caller, request.into_inner());
        let replies = stream::unfold(import, |mut import| async move {
            let reply = import.next().await?;
            Some((reply, import))
        });
        Response::new(replies.boxed())
    }
}

/// One import on its way.
struct Import {
    context: Arc<Context>,
    caller: Caller,
    sent: Streaming<v1::ImportRequest>,
    begun: bool,
    /// Nothing more is sent.
    ended: bool,
    /// The last reply was made.
    over: bool,
    options: v1::ImportOptions,
    identity: Identity,
    form: Reading,
    /// Chunks that were read and not committed.
    chunks: VecDeque<Chunk>,
    /// The chunk that was submitted and not answered.
    under_way: Option<UnderWay>,
    /// Why the import ends, after the chunk that is under way.
    failed: Option<Status>,
    tally: Tally,
    /// What a file that is collected whole takes of the room for all imports, until the import has ended.
    room: Option<OwnedSemaphorePermit>,
    /// For a dry run: the state after what was checked so far.
    draft: Option<Arc<Snapshot>>,
}

/// A chunk on its way.
struct UnderWay {
    outcome: BoxFuture<'static, Result<Outcome, Status>>,
    subjects: Vec<About>,
    rows: u64,
}

/// What is known of the file.
enum Reading {
    /// Nothing yet: its first bytes.
    Unknown(Vec<u8>),
    /// It is JSON, and this is what came of it.
    Json(Vec<u8>),
    /// It is CSV, and is read as it comes.
    Csv(Box<CsvChunks>),
}

impl Import {
    fn new(context: Arc<Context>, caller: Caller, sent: Streaming<v1::ImportRequest>) -> Self {
        Self {
            context,
            caller,
            sent,
            begun: false,
            ended: false,
            over: false,
            options: v1::ImportOptions::default(),
            identity: Identity::default(),
            form: Reading::Unknown(Vec::new()),
            chunks: VecDeque::new(),
            under_way: None,
            failed: None,
            tally: Tally::default(),
            room: None,
            draft: None,
        }
    }

    /// The next reply; none after the last, and none after an error.
    async fn next(&mut self) -> Option<Reply> {
        if self.over {
            return None;
        }
        let mut reply = match self.failed.take() {
            Some(status) => Err(status),
            None => self.advance().await,
        };
        // What is durable is told before what is wrong with the rest.
        if reply.is_err()
            && let Some(chunk) = &mut self.under_way
        {
            let outcome = (&mut chunk.outcome).await;
            if let Ok(told) = self.durable(outcome) {
                self.failed = std::mem::replace(&mut reply, Ok(told)).err();
            }
        }
        self.over = reply.as_ref().map_or(true, |reply| reply.done);
        Some(reply)
    }

    async fn advance(&mut self) -> Reply {
        loop {
            if let Some(chunk) = self.chunks.pop_front() {
                match self.chunk(chunk).await? {
                    Some(reply) => return Ok(reply),
                    None => continue,
                }
            }
            // A server that stops lets an import go on for as long as it waits for calls: it ends by itself.
            let sent = match &mut self.under_way {
                _ if self.ended => None,
                None => self.sent.message().await?,
                // Who sends slowly is told of what is durable as soon as it is.
                Some(chunk) => tokio::select! {
                    sent = self.sent.message() => sent?,
                    outcome = &mut chunk.outcome => return self.durable(outcome),
                },
            };
            match sent.map(|message| message.part) {
                Some(Some(Part::Options(options))) => self.begin(options)?,
                Some(Some(Part::Chunk(bytes))) => {
                    self.begun = true;
                    self.take(&bytes).await?;
                }
                Some(None) => {
                    let reason = "must hold options or a chunk";
                    return Err(status::invalid("part", reason));
                }
                None => {
                    self.ended = true;
                    let Some(last) = &mut self.under_way else {
                        return self.finish().await;
                    };
                    let outcome = (&mut last.outcome).await;
                    return self.durable(outcome);
                }
            }
        }
    }

    fn begin(&mut self, mut options: v1::ImportOptions) -> Result<(), Status> {
        if self.begun {
            let reason = "must come in the first message, or not at all";
            return Err(status::invalid("options", reason));
        }
        self.begun = true;
        self.identity = options.take_identity();
        from_proto::check_identity(&self.identity.request_id, &self.identity.reason)
            .map_err(|fault| status::fault(fault.under("options")))?;
        let format: Format =
            from_proto::number_of("options.format", options.format).map_err(status::fault)?;
        self.form = match format {
            Format::Auto => Reading::Unknown(Vec::new()),
            Format::Json => Reading::Json(Vec::new()),
            Format::Csv => Reading::Csv(Box::default()),
        };
        self.options = options;
        Ok(())
    }

    async fn take(&mut self, bytes: &[u8]) -> Result<(), Status> {
        match &mut self.form {
            Reading::Unknown(first) => {
                first.extend_from_slice(bytes);
                self.recognise(false).await
            }
            Reading::Json(text) => {
                if text.len() + bytes.len() > IMPORT_BYTES {
                    return Err(status::exhausted(format!(
                        "the file has more than {IMPORT_BYTES} bytes: divide it, or import the relations as CSV, which is read as a stream"
                    )));
                }
                let permits = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
                let imports = self.context.imports.clone();
                let room = imports.try_acquire_many_owned(permits).map_err(|_| {
                    status::exhausted(format!(
                        "the imports that are open hold {IMPORTS_BYTES} bytes, which is the most they may: try again later"
                    ))
                })?;
                match &mut self.room {
                    Some(held) => held.merge(room),
                    None => self.room = Some(room),
                }
                text.extend_from_slice(bytes);
                Ok(())
            }
            Reading::Csv(_) => self.feed(Some(bytes.to_vec())).await,
        }
    }

    /// Decides what the file is, as soon as its first bytes tell, and reads them as that.
    async fn recognise(&mut self, ended: bool) -> Result<(), Status> {
        let Reading::Unknown(first) = &mut self.form else {
            return Ok(());
        };
        let Some(csv) = is_csv(first, ended)? else {
            return Ok(());
        };
        let first = std::mem::take(first);
        self.form = if csv {
            Reading::Csv(Box::default())
        } else {
            Reading::Json(Vec::new())
        };
        Box::pin(self.take(&first)).await
    }

    /// Reads bytes of CSV, or its end.
    async fn feed(&mut self, bytes: Option<Vec<u8>>) -> Result<(), Status> {
        let Reading::Csv(reader) = &mut self.form else {
            return Ok(());
        };
        let mut reader = std::mem::take(reader);
        let long = bytes.as_ref().is_none_or(|bytes| bytes.len() > LONG_BYTES);
        let work = move || {
            match bytes {
                Some(bytes) => reader.feed(&bytes),
                None => reader.finish(),
            }
            reader
        };
        let mut reader = blocking_if(long, work).await?;
        while let Some(chunk) = reader.next_chunk() {
            self.chunks.push_back(chunk.map_err(status::faults)?);
        }
        self.form = Reading::Csv(reader);
        Ok(())
    }

    /// The file has ended: what is left of it, and the last reply.
    async fn finish(&mut self) -> Reply {
        self.recognise(true).await?;
        if let Reading::Json(text) = &mut self.form {
            let text = std::mem::take(text);
            return self.json(text).await;
        }
        self.feed(None).await?;
        while let Some(chunk) = self.chunks.pop_front() {
            self.chunk(chunk).await?;
        }
        if let Some(last) = &mut self.under_way {
            let outcome = (&mut last.outcome).await;
            self.durable(outcome)?;
        }
        let revision = self.tally.revision;
        let revision = revision.unwrap_or_else(|| self.context.graph.revisions().0);
        Ok(self.reply(revision, true))
    }

    async fn json(&mut self, text: Vec<u8>) -> Reply {
        let parsed = blocking_if(true, move || (parse_json(&text), xxh3_64(&text))).await?;
        let (import, body) = (parsed.0.map_err(status::faults)?, parsed.1);
        self.tally.warnings = import.warnings;
        let rows = import.mutations.len() as u64;
        let transaction = self
            .context
            .identified(&self.caller, &self.identity, || body);
        let revision = self.carry_out(transaction, import.mutations, rows).await?;
        Ok(self.reply(revision, true))
    }

    /// Submits a chunk once the one before it is durable, and replies to that one.
    async fn chunk(&mut self, chunk: Chunk) -> Result<Option<v1::ImportResponse>, Status> {
        let mut identity = self.identity.clone();
        if !identity.request_id.is_empty() {
            identity.request_id = format!("{}#{}", identity.request_id, chunk.number);
        }
        let mut transaction = self
            .context
            .identified(&self.caller, &identity, || content_hash(&chunk.mutations));
        if self.options.dry_run {
            let rows = chunk.rows_so_far;
            let revision = self.carry_out(transaction, chunk.mutations, rows).await?;
            return Ok(Some(self.reply(revision, false)));
        }
        transaction.mutation_limit = IMPORT_MUTATIONS;
        let subjects = tally::subjects(&chunk.mutations);
        transaction.mutations = chunk.mutations;
        let mut before = self.under_way.take();
        let outcome = match &mut before {
            Some(before) => Some((&mut before.outcome).await?),
            None => None,
        };
        self.under_way = Some(UnderWay {
            outcome: Box::pin(self.context.submit(transaction)),
            subjects,
            rows: chunk.rows_so_far,
        });
        // Counting what came of a chunk takes a while; the next one is on its way meanwhile.
        let told = before.zip(outcome);
        Ok(told.map(|(chunk, outcome)| self.count(&chunk, &outcome)))
    }

    /// The reply to the chunk that was under way, whose outcome this is.
    fn durable(&mut self, outcome: Result<Outcome, Status>) -> Reply {
        let chunk = self.under_way.take();
        let chunk = chunk.ok_or_else(|| status::internal("an import", &"no chunk is under way"))?;
        Ok(self.count(&chunk, &outcome?))
    }

    fn count(&mut self, chunk: &UnderWay, outcome: &Outcome) -> v1::ImportResponse {
        point(Point::ImportChunk);
        self.tally.revision = self.tally.revision.max(Some(outcome.revision));
        self.tally
            .add(&chunk.subjects, &outcome.changes, chunk.rows);
        let revision = self.tally.revision.unwrap_or(outcome.revision);
        self.reply(revision, false)
    }

    /// Commits some mutations, or checks them in a dry run, and counts what came of it.
    async fn carry_out(
        &mut self,
        mut transaction: Transaction,
        mutations: Vec<Mutation>,
        rows: u64,
    ) -> Result<u64, Status> {
        transaction.mutation_limit = IMPORT_MUTATIONS;
        let subjects = tally::subjects(&mutations);
        transaction.mutations = mutations;
        let (changes, revision) = if self.options.dry_run {
            let base = match &self.draft {
                Some(draft) => draft.clone(),
                None => self.context.graph.snapshot().shared(),
            };
            let planned = blocking_if(true, move || plan(&base, &transaction)).await?;
            let planned = planned.map_err(status::refusal)?;
            self.draft = Some(Arc::new(planned.next));
            (planned.changes.into(), self.context.graph.revisions().0)
        } else {
            let outcome = self.context.commit(transaction).await?;
            self.tally.revision = self.tally.revision.max(Some(outcome.revision));
            (outcome.changes, outcome.revision)
        };
        self.tally.add(&subjects, &changes, rows);
        Ok(self.tally.revision.unwrap_or(revision))
    }

    fn reply(&self, revision: u64, done: bool) -> v1::ImportResponse {
        v1::ImportResponse {
            header: self.context.header(revision),
            done,
            ..self.tally.reply()
        }
    }
}

/// Whether a file with these first bytes is CSV or JSON; `None` while they do not tell.
fn is_csv(first: &[u8], ended: bool) -> Result<Option<bool>, Status> {
    let text = first.strip_prefix(b"\xef\xbb\xbf").unwrap_or(first);
    let text = text.trim_ascii_start();
    match text.first() {
        None if ended => Err(status::invalid("chunk", "is required: the import is empty")),
        None if first.len() > SNIFFED_BYTES => Err(unknown()),
        None => Ok(None),
        Some(b'{' | b'[') => Ok(Some(false)),
        Some(_) => {
            let end = text.iter().position(|byte| matches!(byte, b'\n' | b'\r'));
            let whole = end.is_some() || ended;
            match header_of(&text[..end.unwrap_or(text.len())]) {
                true if whole => Ok(Some(true)),
                false if whole => Err(unknown()),
                _ if text.len() > SNIFFED_BYTES => Err(unknown()),
                _ => Ok(None),
            }
        }
    }
}

fn header_of(line: &[u8]) -> bool {
    let mut columns = line.split(|byte| *byte == b',').map(|column| {
        let column = column.trim_ascii();
        column
            .strip_prefix(b"\"")
            .and_then(|column| column.strip_suffix(b"\""))
            .unwrap_or(column)
    });
    [&b"from"[..], b"relation", b"to"]
        .iter()
        .all(|name| columns.next() == Some(name))
}

fn unknown() -> Status {
    status::invalid(
        "chunk",
        "begins neither as JSON nor as CSV with the header from,relation,to: say in options.format what it is",
    )
}

/// A hash of what some rows ask for, the same for the same rows.
fn content_hash(mutations: &[Mutation]) -> u64 {
    let mut hash = Xxh3::new();
    for mutation in mutations {
        if let Mutation::PutRelation {
            key, properties, ..
        } = mutation
        {
            for word in [
                key.from.to_string(),
                key.label.to_string(),
                key.to.to_string(),
                kg_core::model::value::object_json(properties),
            ] {
                hash.update(&(word.len() as u64).to_le_bytes());
                hash.update(word.as_bytes());
            }
        }
    }
    hash.digest()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_bytes_tell_what_a_file_is() {
        assert_eq!(is_csv(b"", false).expect("no fault"), None);
        assert_eq!(
            is_csv(b"\xef\xbb\xbf \n{", false).expect("no fault"),
            Some(false)
        );
        assert_eq!(is_csv(b"[", false).expect("no fault"), Some(false));
        assert_eq!(is_csv(b"from,rel", false).expect("no fault"), None);
        assert_eq!(
            is_csv(b"from,relation,to\r\n", false).expect("no fault"),
            Some(true)
        );
        assert_eq!(
            is_csv(b"\"from\", relation ,to,properties", true).expect("no fault"),
            Some(true)
        );
        assert!(is_csv(b"a,b,c\n1,2,3\n", false).is_err());
        assert!(is_csv(b"", true).is_err());
    }
}
