//! `grpc`: a unary call to a service that is registered in the graph, by what it says of itself.
//!
//! ```text
//! service/name -> address -> connection -> reflection -> JSON to the request -> call -> JSON of the response
//! ```
//!
//! The attempt's time is the call's deadline. The step's key goes along as `idempotency-key`.

use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::future::BoxFuture;
use kg_core::error::Fault;
use kg_core::model::{Object, Value, ValueType};
use kg_core::nexus::{Argument, Failure, StepType, Target, Written};
use prost_reflect::MethodDescriptor;
use tokio::time::{Instant, timeout_at};
use tonic::metadata::{Ascii, MetadataKey, MetadataMap, MetadataValue};
use tonic::transport::Channel;
use tonic::{Code, Request, Status};

use super::address::{self, Scheme};
use super::dynamic::{self, Unreadable};
use super::parameters;
use crate::nexus::failure::{fault, invalid, of, of_status};
use crate::nexus::pool::Pool;
use crate::nexus::step::{StepCall, StepProvider};

static ABOUT: StepType = StepType {
    name: "grpc",
    target: Target::Service,
    actions: &[],
    free_action: true,
    arguments: &[
        Argument {
            name: "request",
            kind: ValueType::Object,
            required: false,
        },
        Argument {
            name: "metadata",
            kind: ValueType::Object,
            required: false,
        },
        Argument {
            name: "endpoint",
            kind: ValueType::String,
            required: false,
        },
    ],
    open: false,
    result: ValueType::Object,
    pure: false,
    timeout_ms: 30_000,
    check,
};

fn check(call: &Written<'_>) -> Vec<Fault> {
    // That there is none was told.
    let wrong = method_of(call.action)
        .err()
        .filter(|_| !call.action.is_empty());
    let wrong = wrong.map(|failure| fault("action", "action", &failure));
    wrong.into_iter().collect()
}

/// The step's key on its way.
pub const KEY: &str = "idempotency-key";

/// What a step may not say, because the call does, besides all that begins with `grpc-`.
const RESERVED: [&str; 9] = [
    KEY,
    "connection",
    "content-length",
    "content-type",
    "host",
    "te",
    "transfer-encoding",
    "upgrade",
    "user-agent",
];

/// Steps of type `grpc`.
#[derive(Default)]
pub struct Grpc(Pool);

impl StepProvider for Grpc {
    fn about(&self) -> &'static StepType {
        &ABOUT
    }

    fn run<'a>(&'a self, call: StepCall<'a>) -> BoxFuture<'a, Result<Value, Failure>> {
        Box::pin(async move {
            let until = Instant::now() + Duration::from_millis(call.timeout_ms);
            let (service, method) = method_of(call.action)?;
            let metadata = metadata(&call)?;
            let address = address::find(&call, &[Scheme::Grpc, Scheme::Grpcs]).await?;
            let scheme = if address.scheme.is_secure() {
                "https"
            } else {
                "http"
            };
            let peer = Peer {
                pool: &self.0,
                address: format!("{scheme}://{}", address.authority).into(),
                service,
                until,
            };
            peer.call(method, metadata, &call.parameters).await
        })
    }
}

/// One call to one service.
struct Peer<'a> {
    pool: &'a Pool,
    address: Arc<str>,
    service: &'a str,
    until: Instant,
}

impl Peer<'_> {
    async fn call(
        &self,
        method: &str,
        metadata: MetadataMap,
        parameters: &Object,
    ) -> Result<Value, Failure> {
        let channel = self.pool.channel(&self.address);
        let channel = channel.map_err(|status| of_status(&status))?;
        let given = parameters::object(parameters, "request")?.cloned();
        let (method, bytes) = self.prepare(method, &given.unwrap_or_default()).await?;
        let answered = self.send(channel, &method, metadata, bytes).await;
        let bytes = answered.map_err(|status| {
            let failure = of_status(&status);
            if matches!(&*failure.code, "UNIMPLEMENTED" | "UNAVAILABLE") {
                self.pool.forget(&self.address, self.service);
            }
            failure
        })?;
        dynamic::response(method.output(), bytes).map_err(|why| match why {
            Unreadable::Value(failure) => failure,
            Unreadable::Type(why) => {
                self.pool.forget(&self.address, self.service);
                let why = format!("{} answered, but {why}", self.service);
                of(Code::Internal, why)
            }
        })
    }

    /// The method, and the request as its bytes. A description that was kept may be older than the service is: where it does not fit it is
    /// asked for anew, once.
    async fn prepare(
        &self,
        method: &str,
        request: &Object,
    ) -> Result<(MethodDescriptor, Bytes), Failure> {
        loop {
            let described = self.pool.described(&self.address, self.service);
            let described = match timeout_at(self.until, described).await {
                Ok(described) => described.map_err(|status| self.undescribed(&status))?,
                Err(_) => {
                    let why = format!("{} did not describe itself in time", self.service);
                    return Err(of(Code::DeadlineExceeded, why));
                }
            };
            let service = described.pool.get_service_by_name(self.service);
            let found = service.and_then(|s| s.methods().find(|m| m.name() == method));
            let fitting = found
                .ok_or_else(|| {
                    let why = format!("{} has no method {method}", self.service);
                    of(Code::Unimplemented, why)
                })
                .and_then(|method| {
                    let bytes = fill(&method, request)?;
                    Ok((method, bytes))
                });
            if fitting.is_err() {
                self.pool.forget(&self.address, self.service);
            }
            if fitting.is_ok() || !described.kept {
                return fitting;
            }
        }
    }

    fn undescribed(&self, status: &Status) -> Failure {
        let mut failure = of_status(status);
        let why = match status.code() {
            Code::Unimplemented => "has no server reflection, by which its messages are known",
            Code::NotFound => "is not among what the server at this address describes",
            _ => return failure,
        };
        failure.message = format!("{} {why} ({})", self.service, failure.message).into();
        failure
    }

    async fn send(
        &self,
        channel: Channel,
        method: &MethodDescriptor,
        metadata: MetadataMap,
        bytes: Bytes,
    ) -> Result<Bytes, Status> {
        let mut request = Request::new(bytes);
        *request.metadata_mut() = metadata;
        request.set_timeout(self.until.saturating_duration_since(Instant::now()));
        let path = format!("/{}/{}", self.service, method.name());
        let called = dynamic::unary(channel, &path, request);
        timeout_at(self.until, called).await.unwrap_or_else(|_| {
            let why = format!("{} did not answer in time", self.service);
            Err(Status::deadline_exceeded(why))
        })
    }
}

fn fill(method: &MethodDescriptor, request: &Object) -> Result<Bytes, Failure> {
    if method.is_client_streaming() || method.is_server_streaming() {
        let why = format!(
            "{} is a stream, which a step cannot call",
            method.full_name()
        );
        return Err(invalid("action", why));
    }
    let message = dynamic::request("request", method.input(), request)?;
    dynamic::encoded(&message)
}

/// `package.Service/Method`.
fn method_of(action: &str) -> Result<(&str, &str), Failure> {
    let named = |part: &str| {
        let word = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '.';
        !part.is_empty() && part.chars().all(word)
    };
    let parts = action.trim_start_matches('/').split_once('/');
    parts
        .filter(|(service, method)| named(service) && named(method) && !method.contains('.'))
        .ok_or_else(|| invalid("action", "must be package.Service/Method"))
}

fn metadata(call: &StepCall<'_>) -> Result<MetadataMap, Failure> {
    let mut metadata = MetadataMap::new();
    if let Some(given) = parameters::object(&call.parameters, "metadata")? {
        for (name, value) in given {
            let (key, value) = entry(name, value)?;
            metadata.insert(key, value);
        }
    }
    let key = MetadataValue::try_from(&*call.key);
    let key = key.map_err(|_| invalid("the step's key", "cannot be sent as metadata"))?;
    metadata.insert(KEY, key);
    Ok(metadata)
}

fn entry(
    name: &Arc<str>,
    value: &Value,
) -> Result<(MetadataKey<Ascii>, MetadataValue<Ascii>), Failure> {
    let wrong = |why: &str| invalid(&format!("metadata.{name}"), why);
    let lower = name.to_ascii_lowercase();
    if lower.starts_with("grpc-") || RESERVED.contains(&&*lower) {
        return Err(wrong("is said by the call itself"));
    }
    let key = MetadataKey::from_str(&lower);
    let key = key.map_err(|_| wrong("is no name of metadata whose value is text"))?;
    let text = value.as_str().ok_or_else(|| wrong("must be a string"))?;
    let value = MetadataValue::try_from(text);
    Ok((
        key,
        value.map_err(|_| wrong("has letters that cannot be sent"))?,
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_action_is_a_service_and_a_method() {
        assert_eq!(
            method_of("shop.v1.Payments/Charge"),
            Ok(("shop.v1.Payments", "Charge"))
        );
        for wrong in [
            "", "/", "Charge", "a/b/c", "a b/c", "a/", "/a", "a/b.c", "a/b?c",
        ] {
            assert!(method_of(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn metadata_that_the_call_says_itself_is_refused() {
        let value = Value::string("x");
        let at = |name: &str| entry(&name.into(), &value);
        assert!(at("x-tenant").is_ok());
        assert!(at("Authorization").is_ok());
        for wrong in [
            "Idempotency-Key",
            "grpc-timeout",
            "TE",
            "a-bin",
            "two words",
            ":path",
            "",
        ] {
            assert!(at(wrong).is_err(), "{wrong}");
        }
        assert!(entry(&"a".into(), &Value::Bool(true)).is_err());
        assert!(entry(&"a".into(), &Value::string("two\nlines")).is_err());
    }
}
