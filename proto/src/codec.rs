//! Encodes and decodes messages as tonic's own codec does, but answers bytes that cannot be decoded with
//! INVALID_ARGUMENT and the name of the field, where tonic's answers INTERNAL: the caller is at fault, not the server.
//!
//! An oversized message never arrives here. tonic refuses it with OUT_OF_RANGE when it has read the length.

use std::marker::PhantomData;

use prost::{DecodeError, Message};
use tonic::{
    Status,
    codec::{Codec, DecodeBuf, Decoder},
};
use tonic_prost::ProstEncoder;
use tonic_types::{ErrorDetails, StatusExt};

/// The codec of every generated client and server.
#[derive(Debug, Clone)]
pub struct WireCodec<T, U> {
    messages: PhantomData<(T, U)>,
}

impl<T, U> Default for WireCodec<T, U> {
    fn default() -> Self {
        Self {
            messages: PhantomData,
        }
    }
}

impl<T, U> Codec for WireCodec<T, U>
where
    T: Message + Send + 'static,
    U: Message + Default + Send + 'static,
{
    type Encode = T;
    type Decode = U;
    type Encoder = ProstEncoder<T>;
    type Decoder = WireDecoder<U>;

    fn encoder(&mut self) -> Self::Encoder {
        ProstEncoder::default()
    }

    fn decoder(&mut self) -> Self::Decoder {
        WireDecoder {
            message: PhantomData,
        }
    }
}

/// Decodes messages of one type.
#[derive(Debug, Clone)]
pub struct WireDecoder<U> {
    message: PhantomData<U>,
}

impl<U: Message + Default> Decoder for WireDecoder<U> {
    type Item = U;
    type Error = Status;

    fn decode(&mut self, buf: &mut DecodeBuf<'_>) -> Result<Option<U>, Status> {
        U::decode(buf).map(Some).map_err(|error| refusal(&error))
    }
}

fn refusal(error: &DecodeError) -> Status {
    let (field, reason) = place_and_reason(&error.to_string());
    if field.is_empty() {
        return Status::invalid_argument(format!("the message cannot be decoded: {reason}"));
    }
    let message = format!("field {field}: {reason}");
    let details = ErrorDetails::with_bad_request_violation(field, reason);
    Status::with_error_details(tonic::Code::InvalidArgument, message, details)
}

/// prost tells the place only in its text, innermost first: `...: Service.name: RegisterServiceRequest.service: <reason>`.
/// The path comes out outermost first and without the types, `service.name`, as the client wrote it.
fn place_and_reason(text: &str) -> (String, String) {
    let text = text
        .strip_prefix("failed to decode Protobuf message: ")
        .unwrap_or(text);
    let mut fields = Vec::new();
    let mut rest = text;
    while let Some((place, after)) = rest.split_once(": ") {
        let Some((_, field)) = place.split_once('.').filter(|_| !place.contains(' ')) else {
            break;
        };
        fields.push(field.trim_start_matches("r#"));
        rest = after;
    }
    fields.reverse();
    (fields.join("."), rest.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::v1::{GetServiceRequest, PutEntityRequest, RegisterServiceRequest, Service};

    fn refused<M: Message + Default + std::fmt::Debug>(bytes: &[u8]) -> Status {
        refusal(&M::decode(bytes).expect_err("these bytes are not a message"))
    }

    #[test]
    fn bytes_that_are_no_text_name_the_field() {
        let status = refused::<GetServiceRequest>(&[0x0a, 0x02, 0xff, 0xfe]);
        assert_eq!(status.code(), tonic::Code::InvalidArgument);
        assert!(status.message().starts_with("field name: "), "{status}");
        let details = status.get_details_bad_request().expect("details");
        assert_eq!(details.field_violations[0].field, "name");
    }

    #[test]
    fn a_nested_field_is_named_from_the_outside_in() {
        let mut wire = RegisterServiceRequest {
            service: Some(Service {
                name: "checkout".into(),
                ..Service::default()
            }),
            ..RegisterServiceRequest::default()
        }
        .encode_to_vec();
        let at = wire
            .windows(8)
            .position(|w| w == b"checkout")
            .expect("the name is there");
        wire[at] = 0xff;
        let status = refused::<RegisterServiceRequest>(&wire);
        assert!(
            status.message().starts_with("field service.name: "),
            "{status}"
        );
    }

    #[test]
    fn values_nested_beyond_the_decoder_are_refused_with_their_field() {
        let mut value = vec![0x08, 0x00];
        for _ in 0..200 {
            value = [
                &[0x32][..],
                &length(value.len() + 1 + length(value.len()).len()),
                &[0x0a],
                &length(value.len()),
                &value,
            ]
            .concat();
        }
        let entry = [&[0x0a, 0x01, b'k', 0x12][..], &length(value.len()), &value].concat();
        let properties = [&[0x0a][..], &length(entry.len()), &entry].concat();
        let entity = [&[0x12][..], &length(properties.len()), &properties].concat();
        let wire = [&[0x0a][..], &length(entity.len()), &entity].concat();
        let status = refused::<PutEntityRequest>(&wire);
        assert_eq!(status.code(), tonic::Code::InvalidArgument);
        assert!(
            status.message().starts_with("field entity.properties."),
            "{status}"
        );
        assert!(status.message().contains("recursion limit"), "{status}");
    }

    #[test]
    fn a_message_that_ends_early_is_refused() {
        assert_eq!(
            refused::<GetServiceRequest>(&[0x0a]).code(),
            tonic::Code::InvalidArgument
        );
    }

    fn length(mut n: usize) -> Vec<u8> {
        let mut out = Vec::new();
        while n >= 0x80 {
            out.push((n & 0x7f) as u8 | 0x80);
            n >>= 7;
        }
        out.push(n as u8);
        out
    }
}
