//! GetService, the most frequent call, by a shorter way.
//!
//! Rebuilding a service's message and encoding it costs about a third of a unary read. On the wire a field of bytes and a
//! field of a message look the same, so each version of an entity keeps its encoded service beside it, made by the first
//! read, and a reply copies it. This is sound because what a service depends on is part of its version: a relation that
//! comes, changes or goes makes a new version of the entity that it starts at.

use std::convert::Infallible;
use std::sync::Arc;
use std::task::{Context as Task, Poll};

use amadeus_proto::codec::WireCodec;
use amadeus_proto::v1;
use bytes::Bytes;
use futures::future::{BoxFuture, Either, Ready, ready};
use http::{Request, Response};
use kg_core::limits::MESSAGE_BYTES;
use kg_core::model::{Entity, EntityRef};
use kg_core::snapshot::Snapshot;
use prost::Message;
use tonic::Status;
use tonic::body::Body;
use tonic::server::{Grpc, NamedService, UnaryService};
use tower::Service;

use super::context::Context;
use super::{from_proto, status, to_proto};
use crate::auth::{Caller, Role};

const GET_SERVICE: &str = "/amadeus.v1.GraphService/GetService";

/// `GraphService`, with the shorter way for GetService.
#[derive(Clone)]
pub struct Shortcut<S> {
    inner: S,
    context: Arc<Context>,
}

impl<S> Shortcut<S> {
    /// Goes around `inner` for GetService.
    pub fn around(inner: S, context: Arc<Context>) -> Self {
        Self { inner, context }
    }
}

impl<S: NamedService> NamedService for Shortcut<S> {
    const NAME: &'static str = S::NAME;
}

impl<S> Service<Request<Body>> for Shortcut<S>
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible>,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Either<S::Future, BoxFuture<'static, Result<Response<Body>, Infallible>>>;

    fn poll_ready(&mut self, task: &mut Task<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(task)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        if request.uri().path() != GET_SERVICE {
            return Either::Left(self.inner.call(request));
        }
        let read = GetService(self.context.clone());
        Either::Right(Box::pin(async move {
            let codec = WireCodec::<Reply, v1::GetServiceRequest>::default();
            let mut grpc =
                Grpc::new(codec).apply_max_message_size_config(Some(MESSAGE_BYTES), None);
            Ok(grpc.unary(read, request).await)
        }))
    }
}

/// `GetServiceResponse`, whose service is encoded already.
#[derive(Clone, PartialEq, Message)]
struct Reply {
    #[prost(message, optional, tag = "1")]
    header: Option<v1::ResponseHeader>,
    #[prost(bytes = "bytes", tag = "2")]
    service: Bytes,
}

struct GetService(Arc<Context>);

impl UnaryService<v1::GetServiceRequest> for GetService {
    type Response = Reply;
    type Future = Either<Ready<Answer>, BoxFuture<'static, Answer>>;

    fn call(&mut self, request: tonic::Request<v1::GetServiceRequest>) -> Self::Future {
        let context = self.0.clone();
        let asked = request.get_ref();
        let caller = request.extensions().get::<Caller>();
        // The form that is kept tells all of a service's dependencies.
        let sees_all = caller.is_some_and(|caller| caller.principal.has(Role::Reader));
        if asked.consistency.is_none() && sees_all {
            let read = |snapshot: &Snapshot| context.encoded(snapshot, &asked.name);
            return Either::Left(ready(context.graph.read(read)));
        }
        Either::Right(Box::pin(async move {
            let asked = request.get_ref();
            let name = from_proto::name("name", &asked.name).map_err(status::fault)?;
            let held = context
                .fresh(
                    &Caller::of(request.extensions()),
                    asked.consistency.as_ref(),
                    request.metadata(),
                )
                .await?;
            held.must_see(&EntityRef::service(name))?;
            context.encoded(&held, &asked.name)
        }))
    }
}

type Answer = Result<tonic::Response<Reply>, Status>;

impl Context {
    fn encoded(&self, snapshot: &Snapshot, name: &str) -> Answer {
        let Some(entity) = snapshot.service(name) else {
            // A name that is found needs no look at whether it is one.
            from_proto::name("name", name).map_err(status::fault)?;
            return Err(status::not_found(format!("service/{name}")));
        };
        let service = encoded_service(snapshot, entity);
        if service.len() > MESSAGE_BYTES - 1024 {
            return Err(status::too_large(service.len()));
        }
        Ok(tonic::Response::new(Reply {
            header: self.header(snapshot.revision()),
            service,
        }))
    }
}

fn encoded_service(snapshot: &Snapshot, entity: &Entity) -> Bytes {
    let encode = || to_proto::service(snapshot, entity).encode_to_vec().into();
    entity.wire.get_or_encode(encode).clone()
}

#[cfg(test)]
mod tests {
    use super::*;
    use kg_core::commit::Graph;
    use kg_core::model::{
        Dependency, EntityRef, Label, Name, Object, RelationKey, ServiceSpec, Value,
    };
    use kg_core::mutation::{Mutation, Transaction};

    fn name(word: &str) -> Name {
        Name::parse("name", word).expect("a valid name")
    }

    fn commit(graph: &Arc<Graph>, mutations: Vec<Mutation>) {
        graph.commit(Transaction::of(mutations)).expect("committed");
    }

    fn needs(to: &str, properties: Object) -> Mutation {
        Mutation::PutRelation {
            key: RelationKey {
                from: EntityRef::service(name("user")),
                label: Label::depends_on(),
                to: EntityRef::service(name(to)),
            },
            properties,
            create_ends: false,
        }
    }

    #[test]
    fn what_is_kept_is_what_would_be_built_whatever_changes_a_service() {
        let graph = Graph::in_memory();
        let mut spec = ServiceSpec::named(name("user"));
        spec.dependencies = vec![Dependency::on(name("a")), Dependency::on(name("b"))];
        let register = |spec: &ServiceSpec| Mutation::RegisterService {
            service: Box::new(spec.clone()),
            strict: false,
        };
        let mut reordered = spec.clone();
        reordered.dependencies.reverse();
        let version = Object::unit("version".into(), Value::string("v2"));
        let (user, a) = (name("user"), name("a"));
        for mutations in [
            vec![register(&spec)],
            vec![needs("c", Object::new())],
            vec![needs("c", version)],
            vec![Mutation::RemoveDependency {
                name: user.clone(),
                service: a.clone(),
            }],
            vec![register(&spec), needs("d", Object::new())],
            vec![register(&reordered)],
            vec![register(&ServiceSpec::named(a.clone()))],
            vec![Mutation::DeleteEntity {
                key: EntityRef::service(a),
                force: true,
            }],
            vec![Mutation::SetCapability {
                name: user,
                capability: "x".into(),
                enabled: true,
            }],
        ] {
            commit(&graph, mutations);
            let snapshot = graph.snapshot();
            for entity in snapshot.entities() {
                let built = to_proto::service(&snapshot, entity).encode_to_vec();
                assert_eq!(encoded_service(&snapshot, entity), built, "{}", entity.key);
            }
        }
    }
}
