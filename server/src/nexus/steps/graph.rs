//! `graph`: any unary RPC of `GraphService` and `QueryService`, in this process, as the run's owner.
//!
//! It takes the way of a call from outside, behind the gate: the same rule decides first whether the owner may make it at all, and the
//! same service decides by what it names. So a run can do nothing that its owner could not do over the wire.

use std::collections::HashMap;
use std::sync::LazyLock;
use std::time::Duration;

use amadeus_proto::v1::graph_service_server::GraphServiceServer;
use amadeus_proto::v1::query_service_server::QueryServiceServer;
use futures::future::BoxFuture;
use kg_core::error::Fault;
use kg_core::limits::{MESSAGE_BYTES, REASON_BYTES};
use kg_core::model::{Value, ValueType};
use kg_core::nexus::{Failure, StepType, Target, Written};
use prost_reflect::{
    DescriptorPool, DynamicMessage, Kind, MethodDescriptor, ReflectMessage, Value as Field,
};
use tonic::{Code, Request};

use super::dynamic::{self, Unreadable};
use super::rights::may;
use crate::nexus::failure::{invalid, of, of_status};
use crate::nexus::step::{StepCall, StepProvider};
use crate::rpc::{GraphRpc, QueryRpc};

const GRAPH: &str = "amadeus.v1.GraphService";
const QUERY: &str = "amadeus.v1.QueryService";

/// Bytes of a request id, as the contract bounds it.
const REQUEST_ID_BYTES: usize = 128;

static ABOUT: StepType = StepType {
    name: "graph",
    target: Target::None,
    actions: &[
        "add_dependency",
        "commit",
        "cycles",
        "delete_entity",
        "delete_node",
        "delete_relation",
        "dependencies",
        "deregister_service",
        "describe",
        "find_by_capability",
        "find_path",
        "generate_docs",
        "get_entity",
        "get_node",
        "get_service",
        "impact",
        "list_entities",
        "list_relations",
        "list_services",
        "neighbors",
        "prune",
        "put_entity",
        "put_relation",
        "register_service",
        "remove_dependency",
        "search",
        "set_capability",
        "start_order",
        "subgraph",
        "update_node",
        "update_schema",
        "validate",
        "visualize",
    ],
    free_action: false,
    arguments: &[],
    open: true,
    result: ValueType::Object,
    pure: true,
    timeout_ms: 30_000,
    check,
};

/// The actions, each with its method.
static METHODS: LazyLock<HashMap<String, MethodDescriptor>> = LazyLock::new(|| {
    let pool = DescriptorPool::decode(amadeus_proto::FILE_DESCRIPTOR_SET).unwrap_or_default();
    let services = [GRAPH, QUERY].map(|name| pool.get_service_by_name(name));
    let methods = services.iter().flatten().flat_map(|s| s.methods());
    let unary = methods.filter(|m| !m.is_client_streaming() && !m.is_server_streaming());
    unary
        .map(|method| (snake_case(method.name()), method))
        .collect()
});

fn check(call: &Written<'_>) -> Vec<Fault> {
    let method = METHODS.get(call.action);
    method.map_or_else(Vec::new, |method| {
        dynamic::unknown("parameters", &method.input(), call.parameters)
    })
}

fn snake_case(name: &str) -> String {
    let mut out = String::with_capacity(name.len() + 4);
    for (at, letter) in name.char_indices() {
        if letter.is_ascii_uppercase() && at > 0 {
            out.push('_');
        }
        out.push(letter.to_ascii_lowercase());
    }
    out
}

/// Steps of type `graph`.
pub struct Graph;

impl StepProvider for Graph {
    fn about(&self) -> &'static StepType {
        &ABOUT
    }

    fn run<'a>(&'a self, call: StepCall<'a>) -> BoxFuture<'a, Result<Value, Failure>> {
        Box::pin(carry_out(call))
    }
}

async fn carry_out(call: StepCall<'_>) -> Result<Value, Failure> {
    let method = METHODS
        .get(call.action)
        .ok_or_else(|| invalid("action", format!("{:?} is none of the graph", call.action)))?;
    let service = method.parent_service();
    let path = format!("/{}/{}", service.full_name(), method.name());
    may(&call.caller, &path)?;

    let mut message = dynamic::request("parameters", method.input(), &call.parameters)?;
    identify(
        &mut message,
        "request_id",
        shortened(&call.key, REQUEST_ID_BYTES),
    );
    say_whose(
        &mut message,
        &format!("step {} of run {}", call.step, call.run.id),
    );
    let mut request = Request::new(dynamic::encoded(&message)?);
    request.set_timeout(Duration::from_millis(call.timeout_ms));
    request.extensions_mut().insert(call.caller.clone());

    let context = call.world.graph.clone();
    let answered = if service.full_name() == GRAPH {
        let server = GraphServiceServer::new(GraphRpc::new(context));
        let server = server.max_decoding_message_size(MESSAGE_BYTES);
        dynamic::unary(server, &path, request).await
    } else {
        let server = QueryServiceServer::new(QueryRpc::new(context));
        let server = server.max_decoding_message_size(MESSAGE_BYTES);
        dynamic::unary(server, &path, request).await
    };
    let bytes = answered.map_err(|status| of_status(&status))?;
    dynamic::response(method.output(), bytes).map_err(|why| match why {
        Unreadable::Value(failure) => failure,
        Unreadable::Type(why) => of(Code::Internal, why),
    })
}

/// Sets a text where the request has one of this name and says nothing there.
fn identify(message: &mut DynamicMessage, name: &str, text: String) {
    let field = message.descriptor().get_field_by_name(name);
    let Some(field) = field.filter(|field| field.kind() == Kind::String) else {
        return;
    };
    if !message.has_field(&field) {
        message.set_field(&field, Field::String(text));
    }
}

/// Whatever reason a step gives stands behind the run that it is a step of: by the record of a change both are found, the run, and its
/// owner as the actor.
fn say_whose(message: &mut DynamicMessage, run: &str) {
    let field = message.descriptor().get_field_by_name("reason");
    let Some(field) = field.filter(|field| field.kind() == Kind::String) else {
        return;
    };
    let given = message.get_field(&field);
    let reason = match given.as_str() {
        None | Some("") => run.to_owned(),
        Some(given) => {
            let whole = format!("{run}: {given}");
            let end = (0..=whole.len().min(REASON_BYTES))
                .rev()
                .find(|&at| whole.is_char_boundary(at));
            whole[..end.unwrap_or_default()].to_owned()
        }
    };
    message.set_field(&field, Field::String(reason));
}

/// A key that is too long is cut, and told from others that begin like it by its hash.
pub fn shortened(key: &str, bytes: usize) -> String {
    if key.len() <= bytes {
        return key.to_owned();
    }
    let end = (0..=bytes - 17).rev().find(|&at| key.is_char_boundary(at));
    let hash = xxhash_rust::xxh3::xxh3_64(key.as_bytes());
    format!("{}#{hash:016x}", &key[..end.unwrap_or_default()])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::Caller;

    #[test]
    fn the_actions_are_the_unary_rpcs_of_both_services() {
        let mut names: Vec<&str> = METHODS.keys().map(String::as_str).collect();
        names.sort_unstable();
        assert_eq!(names, ABOUT.actions);
        let both = [GRAPH, QUERY].map(|name| {
            let of_it = METHODS
                .values()
                .filter(|m| m.parent_service().full_name() == name);
            of_it.count()
        });
        assert_eq!(both.iter().sum::<usize>(), ABOUT.actions.len());
        assert!(both.iter().all(|count| *count > 0));
    }

    #[test]
    fn every_action_has_a_rule() {
        for method in METHODS.values() {
            let path = format!("/{}/{}", method.parent_service().full_name(), method.name());
            assert_eq!(may(&Caller::trusted(), &path), Ok(()), "{path}");
        }
    }

    #[test]
    fn a_long_key_is_cut_and_stays_its_own() {
        let (a, b) = ("k".repeat(200) + "a", "k".repeat(200) + "b");
        assert_eq!(shortened(&a, 128).len(), 128);
        assert_ne!(shortened(&a, 128), shortened(&b, 128));
        assert_eq!(shortened("run/step", 128), "run/step");
    }
}
