//! What surrounds every call: a request id, a log line, metrics, panic isolation, its deadline, and one correction of a status.
//!
//! It is paid for by every call, and a read is short: so a call carries no text of its own but its id, and its span, which
//! would cost more than the read, is made when something is logged. See [`in_call`].

use crate::methods::{Method, Methods, name_of};
use crate::metrics::Metrics;
use crate::rpc::freshness::last_moment;
use crate::rpc::status;
use futures::FutureExt;
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response};
use http_body::{Frame, SizeHint};
use std::cell::RefCell;
use std::convert::Infallible;
use std::fmt::Write as _;
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
use tracing::level_filters::LevelFilter;
use tracing::{Instrument as _, Span};

static STATUS: HeaderName = HeaderName::from_static("grpc-status");
static MESSAGE: HeaderName = HeaderName::from_static("grpc-message");
static REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Longest request id of a client that is taken into the log.
const REQUEST_ID_BYTES: usize = 128;

/// How tonic's message begins when a message is over the limit, which it reports as OUT_OF_RANGE.
const TOO_LARGE: &str = "Error, decoded message length too large";

/// Surrounds every call.
#[derive(Clone)]
pub struct CallLayer(Arc<Counts>);

/// What all calls share.
struct Counts {
    methods: Methods,
    /// What the ids of this process begin with.
    process: String,
    /// A number for each call of this process; unique, ordering nothing.
    calls: AtomicU64,
}

impl CallLayer {
    /// Counts in `metrics`.
    #[must_use]
    pub fn new(metrics: &Arc<Metrics>) -> Self {
        Self(Arc::new(Counts {
            methods: Methods::new(metrics),
            process: format!("{:x}-", std::process::id()),
            calls: AtomicU64::default(),
        }))
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
    type Future = Named;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<Body>) -> Named {
        let call = Call::begin(&self.layer.0, &request);
        let (name, span) = (call.name.clone(), call.span.clone());
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
        Named {
            name: Some(name),
            work: Box::pin(work.instrument(span)),
        }
    }
}

/// What a call is called in the log.
#[derive(Clone)]
struct Name {
    method: Arc<Method>,
    id: HeaderValue,
}

impl Name {
    fn id(&self) -> &str {
        self.id.to_str().unwrap_or_default()
    }

    fn span(&self) -> Span {
        tracing::info_span!("call", rpc = %self.method.path(), id = %self.id())
    }
}

thread_local! {
    /// The call that this thread is at.
    static CALL: RefCell<Option<Name>> = const { RefCell::new(None) };
}

/// Logs by the name of the call that it happens in. Whatever a call logs has to be logged in here: unless the log shows
/// what is meant for debugging, a call has no span before.
pub fn in_call<T>(log: impl FnOnce() -> T) -> T {
    let span = CALL.with_borrow(|name| match name {
        // It is entered already.
        Some(name) if !is_debugged() => name.span(),
        Some(_) | None => Span::none(),
    });
    span.in_scope(log)
}

/// Whether anything that is meant for debugging is logged.
fn is_debugged() -> bool {
    LevelFilter::current() >= LevelFilter::DEBUG
}

/// The work of a call, by its name while it is polled.
pub struct Named {
    name: Option<Name>,
    work: Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>,
}

impl Future for Named {
    type Output = Result<Response<Body>, Infallible>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let outer = CALL.replace(self.name.take());
        // A panic of the call is caught inside.
        let polled = self.work.as_mut().poll(cx);
        self.name = CALL.replace(outer);
        polled
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
    in_call(|| tracing::error!(cause = text.unwrap_or_default(), "a call panicked"));
    tonic::Status::internal("internal error").into_http()
}

/// One call, from its begin to the end of its reply.
struct Call {
    name: Name,
    /// None, unless calls are debugged.
    span: Span,
    began: Instant,
    ended: bool,
}

impl Call {
    fn begin(counts: &Counts, request: &Request<Body>) -> Self {
        let method = counts.methods.of(request.uri().path()).clone();
        method.call_started();
        let given = request.headers().get(&REQUEST_ID);
        let given = given.filter(|id| id.len() <= REQUEST_ID_BYTES && id.to_str().is_ok());
        let mut id = given.cloned().unwrap_or_else(|| counts.next_id());
        // Every reply has another. Without this HTTP/2 would remember each for its connection, and forget what is worth it.
        id.set_sensitive(true);
        let name = Name { method, id };
        Self {
            span: if is_debugged() {
                name.span()
            } else {
                Span::none()
            },
            name,
            began: Instant::now(),
            ended: false,
        }
    }

    /// Passes the reply on and watches for its status, which stands in the headers or in the trailers.
    fn respond(mut self, response: Response<Body>) -> Response<Body> {
        let (mut parts, body) = response.into_parts();
        let id = self.name.id.clone();
        parts.headers.insert(REQUEST_ID.clone(), id);
        if let Some(code) = code_of(&parts.headers) {
            self.end(corrected(&mut parts.headers, code));
        }
        Response::from_parts(parts, Body::new(Watched { body, call: self }))
    }

    fn end(&mut self, code: Code) {
        if std::mem::replace(&mut self.ended, true) {
            return;
        }
        let took = self.began.elapsed();
        self.name.method.call_handled(code, took);
        if !self.span.is_none() {
            self.span.in_scope(|| {
                tracing::debug!(
                    code = name_of(code),
                    took_us = took.as_micros(),
                    "call ended"
                )
            });
        }
    }
}

impl Counts {
    fn next_id(&self) -> HeaderValue {
        // Relaxed: the number must differ from all others and orders nothing.
        let number = self.calls.fetch_add(1, Ordering::Relaxed);
        let mut id = String::with_capacity(self.process.len() + 16);
        id.push_str(&self.process);
        let _ = write!(id, "{number:x}");
        HeaderValue::try_from(id).unwrap_or(HeaderValue::from_static("none"))
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
fn corrected(headers: &mut HeaderMap, code: Code) -> Code {
    let too_large = code == Code::OutOfRange
        && headers
            .get(&MESSAGE)
            .and_then(|m| m.to_str().ok())
            .is_some_and(|m| {
                m.starts_with(&TOO_LARGE.replace(' ', "%20")) || m.starts_with(TOO_LARGE)
            });
    if !too_large {
        return code;
    }
    let code = Code::ResourceExhausted;
    headers.insert(STATUS.clone(), HeaderValue::from(code as i32));
    code
}

pub(crate) fn code_of(headers: &HeaderMap) -> Option<Code> {
    headers
        .get(&STATUS)
        .map(|status| Code::from_bytes(status.as_bytes()))
}
