//! Messages whose types are known only at run time: JSON to a request, a unary call, and a response to JSON.
//!
//! The JSON is that of protobuf with the names of the `.proto` file, and with fields that have no presence always there, so that
//! references to them never miss. Integers of 64 bits are numbers, which conditions can compare, and not strings as in protobuf's
//! JSON; only those that a double of the model cannot hold exactly are strings. Requests may have both names and both forms.

use std::panic::{AssertUnwindSafe, catch_unwind};

use bytes::{Buf, BufMut, Bytes};
use kg_core::error::Fault;
use kg_core::limits::MESSAGE_BYTES;
use kg_core::model::path::part;
use kg_core::model::value::object_to_serde;
use kg_core::model::{Object, Value};
use kg_core::nexus::Failure;
use prost::Message;
use prost_reflect::{
    DeserializeOptions, DynamicMessage, Kind, MessageDescriptor, SerializeOptions,
};
use tonic::body::Body;
use tonic::client::{Grpc, GrpcService};
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::{Code, Request, Status};

use super::result;
use crate::nexus::failure::{invalid, of};

/// A request of this type.
///
/// # Errors
/// INVALID_ARGUMENT, which names what is not in the type or does not fit.
pub fn request(
    what: &str,
    descriptor: MessageDescriptor,
    given: &Object,
) -> Result<DynamicMessage, Failure> {
    let name = descriptor.full_name().to_owned();
    let read = || {
        let options = DeserializeOptions::new().deny_unknown_fields(true);
        DynamicMessage::deserialize_with_options(descriptor, object_to_serde(given), &options)
    };
    match catch_unwind(AssertUnwindSafe(read)) {
        Ok(Ok(message)) => Ok(message),
        Ok(Err(error)) => Err(invalid(what, format!("is not a {name}: {error}"))),
        Err(_) => Err(of(Code::FailedPrecondition, broken(&name))),
    }
}

/// The members of what is written for a request that its type does not have, at any depth; what a reference stands for is not known.
pub fn unknown(at: &str, descriptor: &MessageDescriptor, written: &Object) -> Vec<Fault> {
    let mut faults = Vec::new();
    for (name, value) in written.iter() {
        let at = format!("{at}.{}", part(name));
        let field = descriptor
            .get_field_by_name(name)
            .or_else(|| descriptor.get_field_by_json_name(name));
        let Some(field) = field else {
            let reason = format!("is no field of {}", descriptor.full_name());
            faults.push(Fault::new(at, reason));
            continue;
        };
        let below = match field.kind() {
            Kind::Message(entry) if field.is_map() => match entry.map_entry_value_field().kind() {
                Kind::Message(below) => below,
                _ => continue,
            },
            Kind::Message(below) => below,
            _ => continue,
        };
        // These have a JSON of their own.
        if below.full_name().starts_with("google.protobuf.") {
            continue;
        }
        match value {
            Value::Object(members) if field.is_map() => {
                for (key, value) in members.iter() {
                    if let Value::Object(written) = value {
                        faults.extend(unknown(&format!("{at}.{}", part(key)), &below, written));
                    }
                }
            }
            Value::Object(written) => faults.extend(unknown(&at, &below, written)),
            Value::List(items) => {
                for (index, item) in items.iter().enumerate() {
                    if let Value::Object(written) = item {
                        faults.extend(unknown(&format!("{at}[{index}]"), &below, written));
                    }
                }
            }
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }
    faults
}

/// The bytes of a request.
///
/// # Errors
/// INVALID_ARGUMENT where it is too large.
pub fn encoded(message: &DynamicMessage) -> Result<Bytes, Failure> {
    let bytes = catch_unwind(AssertUnwindSafe(|| message.encode_to_vec()));
    let bytes = bytes.map_err(|_| of(Code::FailedPrecondition, broken("request")))?;
    if bytes.len() > MESSAGE_BYTES {
        let reason = format!(
            "has {} bytes, at most {MESSAGE_BYTES} are sent",
            bytes.len()
        );
        return Err(invalid("the request", reason));
    }
    Ok(bytes.into())
}

/// Why a response is no result.
#[derive(Debug)]
pub enum Unreadable {
    /// It is not of the type that it was said to be.
    Type(String),
    /// It is, and a result cannot hold it.
    Value(Failure),
}

/// A response of this type, as JSON.
///
/// # Errors
/// [`Unreadable`].
pub fn response(descriptor: MessageDescriptor, bytes: Bytes) -> Result<Value, Unreadable> {
    let name = descriptor.full_name().to_owned();
    let read = || {
        let message = DynamicMessage::decode(descriptor, bytes).map_err(|e| e.to_string())?;
        let options = SerializeOptions::new()
            .use_proto_field_name(true)
            .stringify_64_bit_integers(false)
            .skip_default_fields(false);
        let json = message.serialize_with_options(serde_json::value::Serializer, &options);
        json.map_err(|error| error.to_string())
    };
    match catch_unwind(AssertUnwindSafe(read)) {
        Ok(Ok(json)) => result::of_json(json).map_err(Unreadable::Value),
        Ok(Err(error)) => Err(Unreadable::Type(format!("it is no {name}: {error}"))),
        Err(_) => Err(Unreadable::Type(broken(&name))),
    }
}

fn broken(name: &str) -> String {
    format!("the description of {name} that the service gave cannot be used")
}

/// One unary call.
///
/// # Errors
/// The status of the call.
pub async fn unary<S>(service: S, path: &str, request: Request<Bytes>) -> Result<Bytes, Status>
where
    S: GrpcService<Body>,
    S::ResponseBody: http_body::Body<Data = Bytes> + Send + 'static,
    <S::ResponseBody as http_body::Body>::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let path = path
        .parse()
        .map_err(|_| Status::invalid_argument(format!("{path:?} is no path of a method")))?;
    let mut grpc = Grpc::new(service)
        .max_decoding_message_size(MESSAGE_BYTES)
        .max_encoding_message_size(MESSAGE_BYTES);
    grpc.ready()
        .await
        .map_err(|error| Status::from_error(error.into()))?;
    grpc.unary(request, path, Plain)
        .await
        .map(tonic::Response::into_inner)
}

/// Carries bytes as they are.
#[derive(Clone, Copy, Debug, Default)]
struct Plain;

impl Codec for Plain {
    type Encode = Bytes;
    type Decode = Bytes;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for Plain {
    type Item = Bytes;
    type Error = Status;

    fn encode(&mut self, item: Bytes, into: &mut EncodeBuf<'_>) -> Result<(), Status> {
        into.put(item);
        Ok(())
    }
}

impl Decoder for Plain {
    type Item = Bytes;
    type Error = Status;

    fn decode(&mut self, from: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, Status> {
        Ok(Some(from.copy_to_bytes(from.remaining())))
    }
}

/// Fills a message of a type that makes no sense, and reads one: for the test of spoiled descriptions.
#[cfg(test)]
pub fn try_out(descriptor: MessageDescriptor, junk: &[u8]) {
    use kg_core::model::Value;
    let anything = [
        Value::Number(1.0),
        Value::string("1"),
        Value::Bool(true),
        Value::Object(Object::unit("1".into(), Value::Number(1.0))),
        Value::list([Value::Number(1.0)]),
    ];
    for value in anything {
        let fields = descriptor.fields().map(|field| field.name().to_owned());
        for name in fields.collect::<Vec<_>>() {
            let given = Object::unit(name.as_str().into(), value.clone());
            if let Ok(message) = request("request", descriptor.clone(), &given)
                && let Ok(bytes) = encoded(&message)
            {
                let _ = response(descriptor.clone(), bytes);
            }
        }
    }
    let _ = response(descriptor, Bytes::copy_from_slice(junk));
}
