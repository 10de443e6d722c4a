//! A tonic server that does nothing but answer: the least that a service on tonic can cost. This program runs it as another
//! process of itself, with the settings of the real server, its allocator, and no layer.

use std::convert::Infallible;
use std::env;
use std::fs;
use std::net::SocketAddr;
use std::process::exit;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use amadeus_proto::codec::WireCodec;
use amadeus_proto::v1::{GetServiceRequest, GetServiceResponse};
use bytes::Bytes;
use futures::future::BoxFuture;
use http::{Request, Response};
use prost::Message;
use tonic::Status;
use tonic::body::Body;
use tonic::server::{Grpc, NamedService, UnaryService};
use tower::Service;

use super::graph::GET_SERVICE;

/// Answers with the ready-made reply as bytes that are on the wire what the message is.
pub const BYTES: &str = "/amadeus.v1.GraphService/ReadyMadeBytes";

/// Takes an empty message and answers with one.
pub const EMPTY: &str = "/amadeus.v1.GraphService/Empty";

/// What the other process is called with; an address and the file of its reply follow.
pub const SERVE: &str = "--serve-ready-made";

/// Serves and never returns, if this is the other process.
pub fn serve_if_asked() {
    let args: Vec<String> = env::args().collect();
    let Some(at) = args.iter().position(|arg| arg == SERVE) else {
        return;
    };
    let address: SocketAddr = args[at + 1].parse().expect("an address follows");
    let reply = fs::read(&args[at + 2]).expect("a file follows");
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build();
    let served = runtime.expect("a runtime can be had").block_on(
        tonic::transport::Server::builder()
            .tcp_nodelay(true)
            .max_concurrent_streams(20_000)
            .http2_max_pending_accept_reset_streams(Some(1_024))
            .http2_keepalive_interval(Some(Duration::from_secs(30)))
            .add_service(ReadyMade::of(&reply))
            .serve(address),
    );
    exit(i32::from(served.is_err()));
}

#[derive(Clone)]
struct ReadyMade {
    message: Arc<GetServiceResponse>,
    bytes: AsBytes,
}

/// A message with one field of each that a `GetServiceResponse` has, both encoded already.
#[derive(Clone, PartialEq, Message)]
struct AsBytes {
    #[prost(bytes = "bytes", tag = "1")]
    header: Bytes,
    #[prost(bytes = "bytes", tag = "2")]
    service: Bytes,
}

impl ReadyMade {
    fn of(reply: &[u8]) -> Self {
        Self {
            message: Arc::new(Message::decode(reply).expect("it was a reply")),
            bytes: AsBytes::decode(reply).expect("it was a reply"),
        }
    }
}

impl NamedService for ReadyMade {
    const NAME: &'static str = "amadeus.v1.GraphService";
}

/// As tonic generates it: by the path, a boxed future for each call.
impl Service<Request<Body>> for ReadyMade {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Response<Body>, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let this = self.clone();
        match request.uri().path() {
            GET_SERVICE => Box::pin(async move {
                let codec = WireCodec::<GetServiceResponse, GetServiceRequest>::default();
                Ok(Grpc::new(codec)
                    .unary(CopyMessage(this.message), request)
                    .await)
            }),
            BYTES => Box::pin(async move {
                let codec = WireCodec::<AsBytes, GetServiceRequest>::default();
                Ok(Grpc::new(codec).unary(CopyBytes(this.bytes), request).await)
            }),
            EMPTY => Box::pin(async move {
                let codec = WireCodec::<(), ()>::default();
                Ok(Grpc::new(codec).unary(Nothing, request).await)
            }),
            _ => Box::pin(async { Ok(Status::unimplemented("").into_http()) }),
        }
    }
}

type Answer<T> = BoxFuture<'static, Result<tonic::Response<T>, Status>>;

struct CopyMessage(Arc<GetServiceResponse>);

impl UnaryService<GetServiceRequest> for CopyMessage {
    type Response = GetServiceResponse;
    type Future = Answer<GetServiceResponse>;

    fn call(&mut self, _: tonic::Request<GetServiceRequest>) -> Self::Future {
        let ready = self.0.clone();
        Box::pin(async move { Ok(tonic::Response::new((*ready).clone())) })
    }
}

struct CopyBytes(AsBytes);

impl UnaryService<GetServiceRequest> for CopyBytes {
    type Response = AsBytes;
    type Future = Answer<AsBytes>;

    fn call(&mut self, _: tonic::Request<GetServiceRequest>) -> Self::Future {
        let ready = self.0.clone();
        Box::pin(async move { Ok(tonic::Response::new(ready)) })
    }
}

struct Nothing;

impl UnaryService<()> for Nothing {
    type Response = ();
    type Future = Answer<()>;

    fn call(&mut self, _: tonic::Request<()>) -> Self::Future {
        Box::pin(async { Ok(tonic::Response::new(())) })
    }
}
