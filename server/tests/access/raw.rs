//! Any RPC by its path, with the bytes of its messages, as a client that has no types of ours calls it.

use futures::Stream;
use tonic::client::Grpc;
use tonic::transport::Channel;
use tonic::{Request, Status, Streaming};

use crate::bytes::Bytes;

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
    let reply = grpc.streaming(request, path, Bytes).await?;
    Ok(reply.into_inner())
}
