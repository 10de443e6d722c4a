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
    let mut talk = Talk::begin(channel, path).await?;
    let known = DescriptorPool::global();
    let mut files = Files::new();
    let mut bytes = 0;
    let mut asked = BTreeSet::new();
    let mut next = Some(MessageRequest::FileContainingSymbol(service.to_owned()));
    while let Some(question) = next {
        for encoded in talk.ask(question).await? {
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
        next = missing.map(|name| {
            asked.insert(name.clone());
            MessageRequest::FileByFilename(name)
        });
        if asked.len() > FILES {
            return Err(Status::failed_precondition(format!(
                "the description of {service} imports more than {FILES} files"
            )));
        }
    }
    Ok(files)
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

impl Talk {
    async fn begin(channel: Channel, path: &'static str) -> Result<Self, Status> {
        let (questions, waiting) = mpsc::channel(1);
        let mut grpc = Grpc::new(channel).max_decoding_message_size(MESSAGE_BYTES);
        grpc.ready()
            .await
            .map_err(|error| Status::from_error(error.into()))?;
        let codec = WireCodec::<ServerReflectionRequest, ServerReflectionResponse>::default();
        let request = Request::new(ReceiverStream::new(waiting));
        let answers = grpc.streaming(request, PathAndQuery::from_static(path), codec);
        Ok(Self {
            questions,
            answers: answers.await?.into_inner(),
        })
    }

    async fn ask(&mut self, question: MessageRequest) -> Result<Vec<Vec<u8>>, Status> {
        let request = ServerReflectionRequest {
            host: String::new(),
            message_request: Some(question),
        };
        let ended = || Status::unavailable("the reflection of the service ended");
        // A stream that is over says why where its answers are read.
        let sent = self.questions.send(request).await;
        let answer = self.answers.message().await?.ok_or_else(ended)?;
        sent.map_err(|_| ended())?;
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

#[cfg(test)]
mod tests;
