//! The methods that are served, each found by the path of its calls, with its counters beside it.
//!
//! A counter is looked up by hashing all of its labels, several times a call; so each method keeps its own once it has
//! them. They come to be with the first call that they count: what nobody called is not listed.

use std::collections::HashMap;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use prometheus::{Histogram, IntCounter};
use tonic::Code;

use crate::metrics::Metrics;

/// The codes there are, of which 0 is the first.
const CODES: usize = Code::Unauthenticated as usize + 1;

/// Paths of the standard services, which have no descriptors among ours.
const STANDARD: [&str; 5] = [
    "/grpc.health.v1.Health/Check",
    "/grpc.health.v1.Health/Watch",
    "/grpc.health.v1.Health/List",
    "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
    "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
];

/// All methods.
pub struct Methods {
    served: HashMap<String, Arc<Method>>,
    /// Whatever nobody serves: names of their own would let a client fill the memory.
    unknown: Arc<Method>,
}

/// One of them.
pub struct Method {
    /// Its service and its name, as `service/name`.
    path: String,
    /// Where the name begins.
    name: usize,
    metrics: Arc<Metrics>,
    started: OnceLock<IntCounter>,
    handling: OnceLock<Histogram>,
    handled: [OnceLock<IntCounter>; CODES],
}

impl Methods {
    /// Those of our descriptors and of the standard services.
    #[must_use]
    pub fn new(metrics: &Arc<Metrics>) -> Self {
        let mut paths: Vec<String> = STANDARD.map(str::to_owned).into();
        if let Ok(pool) = prost_reflect::DescriptorPool::decode(amadeus_proto::FILE_DESCRIPTOR_SET)
        {
            paths.extend(pool.services().flat_map(|service| {
                let path = |m: prost_reflect::MethodDescriptor| {
                    format!("/{}/{}", service.full_name(), m.name())
                };
                service.methods().map(path).collect::<Vec<_>>()
            }));
        }
        let method = |path: &str| Arc::new(Method::new(path, metrics.clone()));
        Self {
            served: paths
                .into_iter()
                .map(|path| (path.clone(), method(&path[1..])))
                .collect(),
            unknown: method("unknown/unknown"),
        }
    }

    /// The method that calls of this path are counted under.
    #[must_use]
    pub fn of(&self, path: &str) -> &Arc<Method> {
        self.served.get(path).unwrap_or(&self.unknown)
    }
}

impl Method {
    fn new(path: &str, metrics: Arc<Metrics>) -> Self {
        Self {
            name: path.find('/').map_or(0, |slash| slash + 1),
            path: path.to_owned(),
            metrics,
            started: OnceLock::new(),
            handling: OnceLock::new(),
            handled: [const { OnceLock::new() }; CODES],
        }
    }

    /// `service/name`.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.path
    }

    fn labels(&self) -> [&str; 2] {
        [
            &self.path[..self.name.saturating_sub(1)],
            &self.path[self.name..],
        ]
    }

    /// A call began.
    pub fn call_started(&self) {
        let counter = || self.metrics.calls_started(self.labels());
        self.started.get_or_init(counter).inc();
    }

    /// A call ended.
    pub fn call_handled(&self, code: Code, took: Duration) {
        let counter = || self.metrics.calls_handled(self.labels(), name_of(code));
        self.handled[code as usize].get_or_init(counter).inc();
        let histogram = || self.metrics.calls_handling(self.labels());
        let seconds = took.as_secs_f64();
        self.handling.get_or_init(histogram).observe(seconds);
    }
}

/// A code as the metrics of gRPC call it.
#[must_use]
pub fn name_of(code: Code) -> &'static str {
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
        let methods = Methods::new(&Arc::new(Metrics::new().expect("the names differ")));
        for path in [
            "/grpc.health.v1.Health/Invented",
            "/grpc.invented.v1.Service/Check",
            "/amadeus.v1.GraphService/Invented",
            "//",
            "",
        ] {
            assert_eq!(methods.of(path).labels(), ["unknown", "unknown"], "{path}");
        }
        for path in [
            "grpc.health.v1.Health/Check",
            "amadeus.v1.GraphService/Watch",
        ] {
            let method = methods.of(&format!("/{path}"));
            assert_eq!(
                (method.path(), method.labels().join("/")),
                (path, path.into())
            );
        }
    }

    #[test]
    fn a_method_is_listed_once_it_was_called() {
        let metrics = Arc::new(Metrics::new().expect("the names differ"));
        let methods = Methods::new(&metrics);
        let told = || {
            metrics
                .render(&kg_core::commit::Graph::in_memory())
                .expect("text")
        };
        assert!(!told().contains("GetService"));
        let method = methods.of("/amadeus.v1.GraphService/GetService");
        for code in [Code::Ok, Code::Ok, Code::NotFound] {
            method.call_started();
            method.call_handled(code, Duration::from_micros(70));
        }
        let told = told();
        let of = r#"grpc_method="GetService",grpc_service="amadeus.v1.GraphService""#;
        for line in [
            format!("grpc_server_started_total{{{of}}} 3"),
            format!(r#"grpc_server_handled_total{{grpc_code="OK",{of}}} 2"#),
            format!(r#"grpc_server_handled_total{{grpc_code="NotFound",{of}}} 1"#),
            format!("grpc_server_handling_seconds_count{{{of}}} 3"),
        ] {
            assert!(told.contains(&line), "{line} is not in {told}");
        }
        assert!(!told.contains("GetEntity"));
    }
}
