//! Any RPC by its path, with the bytes of its messages, as a client that has no types of ours calls it.

use bytes::{Buf as _, BufMut as _};
use futures::Stream;
use tonic::client::Grpc;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::transport::Channel;
use tonic::{Request, Status, Streaming};

/// Messages as they are.
#[derive(Clone, Copy, Default)]
pub struct Raw;

impl Codec for Raw {
    type Encode = Vec<u8>;
    type Decode = Vec<u8>;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for Raw {
    type Item = Vec<u8>;
    type Error = Status;

    fn encode(&mut self, item: Vec<u8>, buf: &mut EncodeBuf<'_>) -> Result<(), Status> {
        buf.put_slice(&item);
        Ok(())
    }
}

impl Decoder for Raw {
    type Item = Vec<u8>;
    type Error = Status;

    fn decode(&mut self, buf: &mut DecodeBuf<'_>) -> Result<Option<Vec<u8>>, Status> {
        let mut bytes = vec![0; buf.remaining()];
        buf.copy_to_slice(&mut bytes);
        Ok(Some(bytes))
    }
}

/// Calls `path` (`/package.Service/Method`) and returns the stream of its replies; that of a unary call has one.
pub async fn call(
    channel: &Channel,
    path: &str,
    token: Option<&str>,
    requests: impl Stream<Item = Vec<u8>> + Send + 'static,
) -> Result<Streaming<Vec<u8>>, Status> {
    let mut grpc = Grpc::new(channel.clone());
    grpc.ready().await.expect("the server is there");
    let mut request = Request::new(requests);
    if let Some(token) = token {
        let bearer = format!("Bearer {token}");
        let value = bearer.parse().expect("a token is ASCII");
        request.metadata_mut().insert("authorization", value);
    }
    let path = path.parse().expect("a path");
    let reply = grpc.streaming(request, path, Raw).await?;
    Ok(reply.into_inner())
}
