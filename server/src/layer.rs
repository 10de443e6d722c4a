//! What surrounds every call: a request id, a log line, metrics, panic isolation, its deadline, and one correction of a status.

use crate::metrics::Metrics;
use crate::rpc::freshness::last_moment;
use crate::rpc::status;
use futures::FutureExt;
use http::{HeaderMap, HeaderValue, Request, Response};
use http_body::{Frame, SizeHint};
use std::convert::Infallible;
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use tokio::time::Instant;
use tonic::Code;
use tonic::body::Body;
use tower::{Layer, Service};
use tracing::Instrument as _;

const STATUS: &str = "grpc-status";
const MESSAGE: &str = "grpc-message";
const REQUEST_ID: &str = "x-request-id";

/// Longest request id of a client that is taken into the log.
const REQUEST_ID_BYTES: usize = 128;

/// How tonic's message begins when a message is over the limit, which it reports as OUT_OF_RANGE.
const TOO_LARGE: &str = "Error, decoded message length too large";

/// Surrounds every call.
#[derive(Clone)]
pub struct CallLayer {
    metrics: Arc<Metrics>,
    /// A number for each call of this process; unique, ordering nothing.
    calls: Arc<AtomicU64>,
}

impl CallLayer {
    /// Counts in `metrics`.
    #[must_use]
    pub fn new(metrics: Arc<Metrics>) -> Self {
        // Reads the descriptors now, and not during the first call.
        is_served("", "");
        Self {
            metrics,
            calls: Arc::default(),
        }
    }
}

impl<S> Layer<S> for CallLayer {
    type Service = Calls<S>;

    fn layer(&self, inner: S) -> Calls<S> {
        Calls {
            inner,
            layer: self.clone(),
        }
    }
}

/// The services, surrounded.
#[derive(Clone)]
pub struct Calls<S> {
    inner: S,
    layer: CallLayer,
}

impl<S> Service<Request<Body>> for Calls<S>
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible>
        + Clone
        + Send
        + 'static,
    S::Future: Send,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let call = Call::begin(&self.layer, &request);
        let span = tracing::info_span!("call", rpc = %call.rpc(), id = %call.id);
        // The clone that was polled ready is the one to call.
        let ready = self.inner.clone();
        let mut inner = std::mem::replace(&mut self.inner, ready);
        let last_moment = last_moment(request.headers());
        let work = async move {
            let answer = AssertUnwindSafe(inner.call(request)).catch_unwind();
            let response = match in_time(answer, last_moment).await {
                Some(Ok(response)) => response?,
                Some(Err(panic)) => after_panic(&*panic),
                None => status::deadline("answering").into_http(),
            };
            Ok(call.respond(response))
        };
        Box::pin(work.instrument(span))
    }
}

/// What comes before this moment. tonic ends an overdue call as well, but as CANCELLED.
async fn in_time<T>(answer: impl Future<Output = T>, last_moment: Option<Instant>) -> Option<T> {
    match last_moment {
        Some(moment) => tokio::time::timeout_at(moment, answer).await.ok(),
        None => Some(answer.await),
    }
}

/// A bug is logged with its cause; the client is told nothing more, and the process lives.
fn after_panic(panic: &(dyn std::any::Any + Send)) -> Response<Body> {
    let text = panic
        .downcast_ref::<&str>()
        .map(ToString::to_string)
        .or_else(|| panic.downcast_ref::<String>().cloned());
    tracing::error!(cause = text.unwrap_or_default(), "a call panicked");
    tonic::Status::internal("internal error").into_http()
}

/// One call, from its begin to the end of its reply.
struct Call {
    metrics: Arc<Metrics>,
    service: String,
    method: String,
    id: String,
    began: Instant,
    ended: bool,
}

impl Call {
    fn begin(layer: &CallLayer, request: &Request<Body>) -> Self {
        let mut parts = request.uri().path().trim_start_matches('/').splitn(2, '/');
        let (service, method) = known(
            parts.next().unwrap_or_default(),
            parts.next().unwrap_or_default(),
        );
        layer.metrics.call_started(&service, &method);
        // Relaxed: the number must differ from all others and orders nothing.
        let number = layer.calls.fetch_add(1, Ordering::Relaxed);
        let given = request
            .headers()
            .get(REQUEST_ID)
            .and_then(|id| id.to_str().ok())
            .filter(|id| id.len() <= REQUEST_ID_BYTES);
        let id = given.map_or_else(
            || format!("{:x}-{number:x}", std::process::id()),
            str::to_owned,
        );
        Self {
            metrics: layer.metrics.clone(),
            service,
            method,
            id,
            began: Instant::now(),
            ended: false,
        }
    }

    fn rpc(&self) -> String {
        format!("{}/{}", self.service, self.method)
    }

    /// Passes the reply on and watches for its status, which stands in the headers or in the trailers.
    fn respond(mut self, response: Response<Body>) -> Response<Body> {
        let (mut parts, body) = response.into_parts();
        if let Ok(id) = HeaderValue::from_str(&self.id) {
            parts.headers.insert(REQUEST_ID, id);
        }
        correct(&mut parts.headers);
        if let Some(code) = code_of(&parts.headers) {
            self.end(code);
        }
        Response::from_parts(parts, Body::new(Watched { body, call: self }))
    }

    fn end(&mut self, code: Code) {
        if std::mem::replace(&mut self.ended, true) {
            return;
        }
        let took = self.began.elapsed();
        self.metrics
            .call_handled(&self.service, &self.method, name_of(code), took);
        tracing::debug!(
            code = name_of(code),
            took_us = took.as_micros(),
            "call ended"
        );
    }
}

impl Drop for Call {
    /// A reply that is dropped before its end had a client that went away.
    fn drop(&mut self) {
        self.end(Code::Cancelled);
    }
}

/// A reply's body, watched for its trailers.
struct Watched {
    body: Body,
    call: Call,
}

impl http_body::Body for Watched {
    type Data = bytes::Bytes;
    type Error = tonic::Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<bytes::Bytes>, tonic::Status>>> {
        let this = &mut *self;
        let polled =
            std::panic::catch_unwind(AssertUnwindSafe(|| Pin::new(&mut this.body).poll_frame(cx)));
        let polled = polled.unwrap_or_else(|panic| {
            let text = panic
                .downcast_ref::<&str>()
                .map(ToString::to_string)
                .or_else(|| panic.downcast_ref::<String>().cloned());
            tracing::error!(cause = text.unwrap_or_default(), "a stream panicked");
            Poll::Ready(Some(Err(tonic::Status::internal("internal error"))))
        });
        match &polled {
            Poll::Ready(Some(Ok(frame))) => {
                if let Some(code) = frame.trailers_ref().and_then(code_of) {
                    this.call.end(code);
                }
            }
            Poll::Ready(Some(Err(status))) => this.call.end(status.code()),
            Poll::Ready(None) => this.call.end(Code::Ok),
            Poll::Pending => {}
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// A message over the limit is a quota that was exceeded, and so says the contract; tonic says OUT_OF_RANGE.
fn correct(headers: &mut HeaderMap) {
    let too_large = code_of(headers) == Some(Code::OutOfRange)
        && headers
            .get(MESSAGE)
            .and_then(|m| m.to_str().ok())
            .is_some_and(|m| {
                m.starts_with(&TOO_LARGE.replace(' ', "%20")) || m.starts_with(TOO_LARGE)
            });
    if too_large {
        headers.insert(STATUS, HeaderValue::from(Code::ResourceExhausted as i32));
    }
}

fn code_of(headers: &HeaderMap) -> Option<Code> {
    headers
        .get(STATUS)
        .map(|status| Code::from_bytes(status.as_bytes()))
}

/// Service and method as labels. Names that nobody serves share one, for a client could otherwise fill the memory.
fn known(service: &str, method: &str) -> (String, String) {
    let served = service.starts_with("amadeus.v1.") || service.starts_with("grpc.");
    let plain = |name: &str| {
        name.len() <= 64 && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'.')
    };
    if served && plain(service) && plain(method) && is_served(service, method) {
        return (service.to_owned(), method.to_owned());
    }
    ("unknown".into(), "unknown".into())
}

/// The calls of the standard services, which have no descriptors among ours.
const STANDARD: [(&str, &str); 5] = [
    ("grpc.health.v1.Health", "Check"),
    ("grpc.health.v1.Health", "Watch"),
    ("grpc.health.v1.Health", "List"),
    (
        "grpc.reflection.v1.ServerReflection",
        "ServerReflectionInfo",
    ),
    (
        "grpc.reflection.v1alpha.ServerReflection",
        "ServerReflectionInfo",
    ),
];

fn is_served(service: &str, method: &str) -> bool {
    use std::collections::HashSet;
    use std::sync::LazyLock;
    static METHODS: LazyLock<HashSet<(String, String)>> = LazyLock::new(|| {
        let mut found = HashSet::new();
        if let Ok(pool) = prost_reflect::DescriptorPool::decode(amadeus_proto::FILE_DESCRIPTOR_SET)
        {
            for service in pool.services() {
                found.extend(
                    service
                        .methods()
                        .map(|m| (service.full_name().to_owned(), m.name().to_owned())),
                );
            }
        }
        found
    });
    STANDARD.contains(&(service, method))
        || METHODS.contains(&(service.to_owned(), method.to_owned()))
}

fn name_of(code: Code) -> &'static str {
    match code {
        Code::Ok => "OK",
        Code::Cancelled => "Canceled",
        Code::Unknown => "Unknown",
        Code::InvalidArgument => "InvalidArgument",
        Code::DeadlineExceeded => "DeadlineExceeded",
        Code::NotFound => "NotFound",
        Code::AlreadyExists => "AlreadyExists",
        Code::PermissionDenied => "PermissionDenied",
        Code::ResourceExhausted => "ResourceExhausted",
        Code::FailedPrecondition => "FailedPrecondition",
        Code::Aborted => "Aborted",
        Code::OutOfRange => "OutOfRange",
        Code::Unimplemented => "Unimplemented",
        Code::Internal => "Internal",
        Code::Unavailable => "Unavailable",
        Code::DataLoss => "DataLoss",
        Code::Unauthenticated => "Unauthenticated",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_cannot_make_labels() {
        let unknown = ("unknown".to_owned(), "unknown".to_owned());
        for (service, method) in [
            ("grpc.health.v1.Health", "Invented"),
            ("grpc.invented.v1.Service", "Check"),
            ("amadeus.v1.GraphService", "Invented"),
            ("", ""),
        ] {
            assert_eq!(known(service, method), unknown, "{service}/{method}");
        }
        assert_eq!(known("grpc.health.v1.Health", "Check").1, "Check");
        assert_eq!(known("amadeus.v1.GraphService", "Watch").1, "Watch");
    }
}
