//! What a service says of itself by gRPC server reflection: the file that has it, and all that this one imports.
//!
//! Version 1 is asked first, then v1alpha, whose messages are the same. What a peer says is believed within bounds: so many files, so
//! many bytes, and names that are there already are not said anew. Descriptions that cannot be used are refused, whatever they hold.

use std::collections::{BTreeMap, BTreeSet};

use amadeus_proto::codec::WireCodec;
use http::uri::PathAndQuery;
use kg_core::limits::MESSAGE_BYTES;
use prost::Message;
use prost_reflect::DescriptorPool;
use prost_types::FileDescriptorProto;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::client::Grpc;
use tonic::transport::Channel;
use tonic::{Code, Request, Status, Streaming};
use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;
use tonic_reflection::pb::v1::server_reflection_response::MessageResponse;
use tonic_reflection::pb::v1::{ServerReflectionRequest, ServerReflectionResponse};

const V1: &str = "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo";
const V1_ALPHA: &str = "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo";

/// Files that the description of one service may have. Large systems of files have hundreds.
const FILES: usize = 1_000;

/// Bytes of them together.
const BYTES: usize = 16 * 1024 * 1024;

/// The description of one service: its file, and all that it needs.
///
/// # Errors
/// The status of the reflection, UNIMPLEMENTED where there is none, FAILED_PRECONDITION where what it says cannot be used.
pub async fn describe(channel: Channel, service: &str) -> Result<DescriptorPool, Status> {
    let found = gather(channel.clone(), V1, service).await;
    let files = match found {
        Err(status) if status.code() == Code::Unimplemented => {
            gather(channel, V1_ALPHA, service).await?
        }
        found => found?,
    };
    let built = tokio::task::spawn_blocking(move || build(files)).await;
    // A panic is one of the library over descriptors that make no sense, and the peer's fault.
    let built = built.unwrap_or_else(|_| Err("it makes no sense".into()));
    built.map_err(|why| {
        Status::failed_precondition(format!(
            "the description of {service} cannot be used: {why}"
        ))
    })
}

type Files = BTreeMap<String, FileDescriptorProto>;

/// Asks for the service's file, then for what is missing, until nothing is.
async fn gather(channel: Channel, path: &'static str, service: &str) -> Result<Files, Status> {
    let symbol = MessageRequest::FileContainingSymbol(service.to_owned());
    let (mut talk, mut answer) = Talk::begin(channel, path, symbol).await?;
    let known = DescriptorPool::global();
    let mut files = Files::new();
    let mut bytes = 0;
    let mut asked = BTreeSet::new();
    loop {
        for encoded in answer {
            bytes += encoded.len();
            if files.len() >= FILES || bytes > BYTES {
                return Err(Status::failed_precondition(format!(
                    "the description of {service} has more than {FILES} files or {BYTES} bytes"
                )));
            }
            let file = FileDescriptorProto::decode(&*encoded).map_err(|error| {
                Status::failed_precondition(format!("the description of {service}: {error}"))
            })?;
            // The well-known types are what we know them to be.
            if known.get_file_by_name(file.name()).is_none() {
                files.entry(file.name().to_owned()).or_insert(file);
            }
        }
        let missing = files
            .values()
            .flat_map(|file| &file.dependency)
            .find(|name| {
                !files.contains_key(*name)
                    && !asked.contains(*name)
                    && known.get_file_by_name(name).is_none()
            })
            .cloned();
        let Some(name) = missing else {
            return Ok(files);
        };
        asked.insert(name.clone());
        if asked.len() > FILES {
            return Err(Status::failed_precondition(format!(
                "the description of {service} imports more than {FILES} files"
            )));
        }
        answer = talk.ask(MessageRequest::FileByFilename(name)).await?;
    }
}

/// The files as a pool, together with the well-known types.
fn build(files: Files) -> Result<DescriptorPool, String> {
    let mut pool = DescriptorPool::global();
    pool.add_file_descriptor_protos(files.into_values())
        .map_err(|error| error.to_string())?;
    // Entries of maps that have no key or value are let in, and would be stumbled over in the middle of a message.
    let odd = pool.all_messages().find(|message| {
        let has = |number, name| message.get_field(number).is_some_and(|f| f.name() == name);
        message.is_map_entry() && !(has(1, "key") && has(2, "value"))
    });
    match odd {
        Some(message) => Err(format!("{} is no entry of a map", message.full_name())),
        None => Ok(pool),
    }
}

/// One stream of questions and answers.
struct Talk {
    questions: mpsc::Sender<ServerReflectionRequest>,
    answers: Streaming<ServerReflectionResponse>,
}

/// Files, as the peer encodes them.
type Encoded = Vec<Vec<u8>>;

impl Talk {
    /// Begins with a question, and returns with its answer. Servers in Go and Python send the headers of a stream with their first
    /// answer: whoever waits for these before it asks waits for ever.
    async fn begin(
        channel: Channel,
        path: &'static str,
        first: MessageRequest,
    ) -> Result<(Self, Encoded), Status> {
        let (questions, waiting) = mpsc::channel(1);
        let mut grpc = Grpc::new(channel).max_decoding_message_size(MESSAGE_BYTES);
        grpc.ready()
            .await
            .map_err(|error| Status::from_error(error.into()))?;
        let codec = WireCodec::<ServerReflectionRequest, ServerReflectionResponse>::default();
        let request = Request::new(ReceiverStream::new(waiting));
        let asked = questions.send(request_of(first)).await;
        asked.map_err(|_| ended())?;
        let answers = grpc.streaming(request, PathAndQuery::from_static(path), codec);
        let answers = answers.await?.into_inner();
        let mut talk = Self { questions, answers };
        let answer = talk.answer().await?;
        Ok((talk, answer))
    }

    async fn ask(&mut self, question: MessageRequest) -> Result<Encoded, Status> {
        // A stream that is over says why where its answers are read.
        let sent = self.questions.send(request_of(question)).await;
        let answer = self.answer().await?;
        sent.map_err(|_| ended())?;
        Ok(answer)
    }

    async fn answer(&mut self) -> Result<Encoded, Status> {
        let answer = self.answers.message().await?.ok_or_else(ended)?;
        match answer.message_response {
            Some(MessageResponse::FileDescriptorResponse(files)) => Ok(files.file_descriptor_proto),
            Some(MessageResponse::ErrorResponse(error)) => Err(Status::new(
                Code::from(error.error_code),
                format!("reflection: {}", error.error_message),
            )),
            _ => Err(Status::failed_precondition(
                "the reflection of the service answered something else",
            )),
        }
    }
}

fn request_of(question: MessageRequest) -> ServerReflectionRequest {
    ServerReflectionRequest {
        host: String::new(),
        message_request: Some(question),
    }
}

fn ended() -> Status {
    Status::unavailable("the reflection of the service ended")
}

#[cfg(test)]
mod tests;
