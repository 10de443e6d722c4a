//! `http`: a request to a service that has an HTTP endpoint. The key goes along as `Idempotency-Key`.
//!
//! HTTP/1.1, without following redirects and without proxies: a run calls the address that the graph has, and nobody whom that names.

use std::time::Duration;

use bytes::Bytes;
use futures::future::BoxFuture;
use http::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use http::{Method, Request, StatusCode, Uri};
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use kg_core::error::Fault;
use kg_core::limits::MESSAGE_BYTES;
use kg_core::model::{Object, Value, ValueType};
use kg_core::nexus::{Argument, Failure, StepType, Target, Written};
use tokio::sync::OnceCell;
use tokio::time::timeout;
use tonic::Code;

use super::address::{self, Address, Scheme};
use super::parameters;
use super::result;
use crate::nexus::failure::{fault, invalid, of};
use crate::nexus::step::{StepCall, StepProvider};

static ABOUT: StepType = StepType {
    name: "http",
    target: Target::Service,
    actions: &[],
    free_action: true,
    arguments: &[
        argument("query", ValueType::Object),
        argument("headers", ValueType::Object),
        argument("body", ValueType::Any),
        argument("endpoint", ValueType::String),
    ],
    open: false,
    result: ValueType::Object,
    pure: false,
    timeout_ms: 30_000,
    check,
};

const fn argument(name: &'static str, kind: ValueType) -> Argument {
    Argument {
        name,
        kind,
        required: false,
    }
}

fn check(call: &Written<'_>) -> Vec<Fault> {
    // That there is none was told.
    let wrong = action_of(call.action)
        .err()
        .filter(|_| !call.action.is_empty());
    let wrong = wrong.map(|failure| fault("action", "action", &failure));
    wrong.into_iter().collect()
}

/// The step's key on its way.
const KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// Headers that the call says itself, or that belong to the connection.
const RESERVED: [&str; 10] = [
    "connection",
    "content-length",
    "expect",
    "host",
    "idempotency-key",
    "keep-alive",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// How long a service may take to let us connect.
const CONNECT: Duration = Duration::from_secs(5);

/// How long an unused connection is kept.
const IDLE: Duration = Duration::from_secs(60);

/// Unused connections to one host.
const IDLE_CONNECTIONS: usize = 16;

/// Bytes of a response.
const RESPONSE_BYTES: usize = 1024 * 1024;

/// Bytes of what a service said that a failure keeps.
const SAID_BYTES: usize = 512;

type Connections = Client<HttpsConnector<HttpConnector>, Full<Bytes>>;

/// Steps of type `http`.
#[derive(Default)]
pub struct Http(OnceCell<Connections>);

impl StepProvider for Http {
    fn about(&self) -> &'static StepType {
        &ABOUT
    }

    fn run<'a>(&'a self, call: StepCall<'a>) -> BoxFuture<'a, Result<Value, Failure>> {
        Box::pin(async move {
            let address = address::find(&call, &[Scheme::Http, Scheme::Https]).await?;
            let request = request(&call, &address)?;
            let client = self.0.get_or_try_init(connections).await?;
            let patience = Duration::from_millis(call.timeout_ms);
            let exchanged = timeout(patience, exchange(client, request)).await;
            exchanged.unwrap_or_else(|_| {
                let why = format!("{address} did not answer in time");
                Err(of(Code::DeadlineExceeded, why))
            })
        })
    }
}

/// The client, with the authorities that this machine trusts. Reading them takes a while, so it is done when the first step needs it.
async fn connections() -> Result<Connections, Failure> {
    let wrong = |why: String| of(Code::Internal, format!("no client for HTTP: {why}"));
    let made = tokio::task::spawn_blocking(|| {
        let ring = rustls::crypto::ring::default_provider();
        let builder = HttpsConnectorBuilder::new().with_provider_and_native_roots(ring);
        let mut tcp = HttpConnector::new();
        tcp.enforce_http(false);
        tcp.set_nodelay(true);
        tcp.set_connect_timeout(Some(CONNECT));
        let connector = builder?.https_or_http().enable_http1().wrap_connector(tcp);
        Ok::<_, std::io::Error>(connector)
    });
    let connector = made.await.map_err(|error| wrong(error.to_string()))?;
    let connector = connector.map_err(|error| wrong(error.to_string()))?;
    Ok(Client::builder(TokioExecutor::new())
        .pool_timer(TokioTimer::new())
        .pool_idle_timeout(IDLE)
        .pool_max_idle_per_host(IDLE_CONNECTIONS)
        .build(connector))
}

fn request(call: &StepCall<'_>, address: &Address) -> Result<Request<Full<Bytes>>, Failure> {
    let (method, path) = action_of(call.action)?;
    let query = query(parameters::object(&call.parameters, "query")?)?;
    let uri: Uri = format!("{address}{path}{query}")
        .parse()
        .map_err(|error| invalid("action", format!("makes no address of a request: {error}")))?;
    let body = parameters::given(&call.parameters, "body").map(Value::to_json);
    let body = body.map_or_else(Bytes::new, Bytes::from);
    if body.len() > MESSAGE_BYTES {
        let reason = format!("has {} bytes, at most {MESSAGE_BYTES} are sent", body.len());
        return Err(invalid("body", reason));
    }
    let mut headers = HeaderMap::new();
    if !body.is_empty() {
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    }
    for (name, value) in parameters::object(&call.parameters, "headers")?
        .into_iter()
        .flatten()
    {
        let (name, value) = header(name, value)?;
        headers.insert(name, value);
    }
    let key = HeaderValue::try_from(&*call.key);
    headers.insert(
        KEY,
        key.map_err(|_| invalid("the step's key", "cannot be sent as a header"))?,
    );
    let mut request = Request::new(Full::new(body));
    *request.method_mut() = method;
    *request.uri_mut() = uri;
    *request.headers_mut() = headers;
    Ok(request)
}

/// `POST /path`.
fn action_of(action: &str) -> Result<(Method, &str), Failure> {
    let wrong = || {
        invalid(
            "action",
            "must be a method and a path, such as `POST /orders`",
        )
    };
    let (method, path) = action.split_once(' ').ok_or_else(wrong)?;
    let path = path.trim();
    let known = [
        Method::GET,
        Method::HEAD,
        Method::POST,
        Method::PUT,
        Method::PATCH,
        Method::DELETE,
        Method::OPTIONS,
    ];
    let method = known.into_iter().find(|known| known.as_str() == method);
    // What could become another host, or part of a path that a value was meant to stay within, is not guessed at.
    let plain = path.starts_with('/')
        && !path.contains(['#', '?', ' ', '\\'])
        && !path.split('/').any(|part| matches!(part, "." | ".."));
    match method {
        Some(method) if plain => Ok((method, path)),
        _ => Err(wrong()),
    }
}

fn query(given: Option<&Object>) -> Result<String, Failure> {
    let mut out = String::new();
    for (name, value) in given.into_iter().flatten() {
        let wrong = || {
            invalid(
                &format!("query.{name}"),
                "must be a text, a number or a boolean",
            )
        };
        let items = match value {
            Value::Null => continue,
            Value::List(items) => items.iter().map(plain).collect::<Option<Vec<_>>>(),
            value => plain(value).map(|one| vec![one]),
        };
        for item in items.ok_or_else(wrong)? {
            out.push(if out.is_empty() { '?' } else { '&' });
            percent(name, &mut out);
            out.push('=');
            percent(&item, &mut out);
        }
    }
    Ok(out)
}

fn plain(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.to_string()),
        Value::Bool(_) | Value::Number(_) => Some(value.to_json()),
        Value::Null | Value::List(_) | Value::Object(_) => None,
    }
}

fn percent(text: &str, out: &mut String) {
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
}

fn header(name: &str, value: &Value) -> Result<(HeaderName, HeaderValue), Failure> {
    let wrong = |why: &str| invalid(&format!("headers.{name}"), why);
    if RESERVED.contains(&&*name.to_ascii_lowercase()) {
        return Err(wrong("is said by the call itself"));
    }
    let text = plain(value).ok_or_else(|| wrong("must be a text"))?;
    let name = HeaderName::try_from(name).map_err(|_| wrong("is no name of a header"))?;
    let value =
        HeaderValue::try_from(text).map_err(|_| wrong("has letters that cannot be sent"))?;
    Ok((name, value))
}

async fn exchange(client: &Connections, request: Request<Full<Bytes>>) -> Result<Value, Failure> {
    let lost = |error: &dyn std::error::Error| of(Code::Unavailable, causes(error));
    let response = client
        .request(request)
        .await
        .map_err(|error| lost(&error))?;
    let (head, body) = response.into_parts();
    let collected = Limited::new(body, RESPONSE_BYTES).collect().await;
    let body = collected.map_err(|error| {
        if error.is::<LengthLimitError>() {
            let why = format!("the response has more than {RESPONSE_BYTES} bytes");
            return of(Code::OutOfRange, why);
        }
        lost(&*error)
    })?;
    let body = body.to_bytes();
    if !head.status.is_success() {
        return Err(refused(head.status, &body));
    }
    result::bounded(result::object([
        ("status", result::number(head.status.as_u16().into())),
        ("body", read(&head.headers, &body)?),
    ]))
}

/// What was said: a value where it is JSON, else a text.
fn read(headers: &HeaderMap, body: &[u8]) -> Result<Value, Failure> {
    if body.is_empty() {
        return Ok(Value::Null);
    }
    let said = headers
        .get(CONTENT_TYPE)
        .and_then(|said| said.to_str().ok());
    let said = said.unwrap_or_default().to_ascii_lowercase();
    let kind = said.split(';').next().unwrap_or_default().trim();
    if kind == "application/json" || kind.ends_with("+json") {
        let json = serde_json::from_slice(body).map_err(|error| {
            let why = format!("the response says that it is JSON, and is not: {error}");
            of(Code::Internal, why)
        })?;
        return result::of_json(json);
    }
    match std::str::from_utf8(body) {
        Ok(text) => Ok(Value::string(text)),
        Err(_) => Err(of(
            Code::OutOfRange,
            "the response is neither JSON nor text",
        )),
    }
}

fn refused(status: StatusCode, body: &[u8]) -> Failure {
    let said = String::from_utf8_lossy(&body[..body.len().min(SAID_BYTES)]);
    let said: String = said
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect();
    let what = match status.is_redirection() {
        true => format!("{status}, and redirects are not followed"),
        false => status.to_string(),
    };
    match said.trim() {
        "" => of(code_of(status), what),
        said => of(code_of(status), format!("{what}: {said}")),
    }
}

fn code_of(status: StatusCode) -> Code {
    match status.as_u16() {
        401 => Code::Unauthenticated,
        403 => Code::PermissionDenied,
        404 | 410 => Code::NotFound,
        408 | 504 => Code::DeadlineExceeded,
        409 => Code::Aborted,
        412 | 423 | 428 => Code::FailedPrecondition,
        429 => Code::ResourceExhausted,
        501 => Code::Unimplemented,
        400..=499 => Code::InvalidArgument,
        500..=599 => Code::Unavailable,
        // A redirect is not followed.
        _ => Code::FailedPrecondition,
    }
}

/// An error with what it comes from: the client's own text says only that something went wrong.
fn causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_action_is_a_method_and_a_path_within_the_address() {
        assert_eq!(action_of("POST /orders/7"), Ok((Method::POST, "/orders/7")));
        for wrong in [
            "",
            "POST",
            "/orders",
            "post /orders",
            "CONNECT /",
            "POST orders",
            "POST /a/../b",
            "POST /a?b=c",
            "POST //h\\x",
            "POST @host/",
            "POST /a#b",
            "POST /a b",
        ] {
            assert!(action_of(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_query_is_written_so_that_it_stays_one() {
        let given = Value::from_json(br#"{"a b": "x&y=z", "n": [1, true], "none": null}"#);
        let given = given.expect("JSON");
        assert_eq!(
            query(given.as_object()).as_deref(),
            Ok("?a%20b=x%26y%3Dz&n=1&n=true")
        );
        let nested = Value::from_json(br#"{"a": {}}"#).expect("JSON");
        assert!(query(nested.as_object()).is_err());
    }

    #[test]
    fn what_a_service_says_of_a_failure_is_kept_in_part() {
        let failure = refused(StatusCode::CONFLICT, &[b'x'; 10_000]);
        assert_eq!(&*failure.code, "ABORTED");
        assert!(failure.message.starts_with("409 Conflict: xxx"));
        assert!(failure.message.len() < SAID_BYTES + 64);
        let codes = [
            (400, "INVALID_ARGUMENT"),
            (404, "NOT_FOUND"),
            (429, "RESOURCE_EXHAUSTED"),
            (500, "UNAVAILABLE"),
            (503, "UNAVAILABLE"),
            (302, "FAILED_PRECONDITION"),
        ];
        for (status, code) in codes {
            let status = StatusCode::from_u16(status).expect("a status");
            assert_eq!(&*refused(status, b"").code, code);
        }
    }

    #[test]
    fn headers_of_the_call_itself_are_refused() {
        let value = Value::string("x");
        assert!(header("X-Tenant", &value).is_ok());
        for wrong in ["Host", "Idempotency-Key", "content-length", "two words", ""] {
            assert!(header(wrong, &value).is_err(), "{wrong}");
        }
        assert!(header("a", &Value::string("two\nlines")).is_err());
    }
}
