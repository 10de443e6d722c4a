//! Bad input of every kind gets the promised code and a message that names the field; the server lives, nothing changes.
//!
//! One table, sent as bytes, so that it can say what no client library would.

use amadeus_proto::v1;
use prost::Message;
use prost_types::value::Kind;
use prost_types::{ListValue, Struct, Value};
use tonic::Code;
use tonic_types::StatusExt;
use v1::mutation::Mutation as M;
use v1::precondition::{Acyclic, DocumentEquals, EntityAt, NoPath, Precondition as P};

use crate::harness::{Server, entity, key, number, registration};

/// What is sent where, the code that must come back, and a word that the message must hold.
type Case = (&'static str, &'static str, Vec<u8>, Code, &'static str);

const REGISTER: &str = "/amadeus.v1.GraphService/RegisterService";
const GET: &str = "/amadeus.v1.GraphService/GetService";
const LIST: &str = "/amadeus.v1.GraphService/ListServices";
const DEREGISTER: &str = "/amadeus.v1.GraphService/DeregisterService";
const SCHEMA: &str = "/amadeus.v1.GraphService/UpdateSchema";
const CAPABILITY: &str = "/amadeus.v1.GraphService/SetCapability";
const ADD: &str = "/amadeus.v1.GraphService/AddDependency";
const REMOVE: &str = "/amadeus.v1.GraphService/RemoveDependency";
const PUT: &str = "/amadeus.v1.GraphService/PutEntity";
const GET_ENTITY: &str = "/amadeus.v1.GraphService/GetEntity";
const LIST_ENTITIES: &str = "/amadeus.v1.GraphService/ListEntities";
const DELETE: &str = "/amadeus.v1.GraphService/DeleteEntity";
const RELATE: &str = "/amadeus.v1.GraphService/PutRelation";
const UNRELATE: &str = "/amadeus.v1.GraphService/DeleteRelation";
const RELATIONS: &str = "/amadeus.v1.GraphService/ListRelations";
const NODE: &str = "/amadeus.v1.GraphService/GetNode";
const UPDATE: &str = "/amadeus.v1.GraphService/UpdateNode";
const DELETE_NODE: &str = "/amadeus.v1.GraphService/DeleteNode";
const COMMIT: &str = "/amadeus.v1.GraphService/Commit";
const WATCH: &str = "/amadeus.v1.GraphService/Watch";
const EXPORT: &str = "/amadeus.v1.GraphService/Export";
const IMPACT: &str = "/amadeus.v1.QueryService/Impact";
const PATH: &str = "/amadeus.v1.QueryService/FindPath";
const FIND: &str = "/amadeus.v1.QueryService/FindByCapability";
const NEIGHBORS: &str = "/amadeus.v1.QueryService/Neighbors";
const SUBGRAPH: &str = "/amadeus.v1.QueryService/Subgraph";
const CYCLES: &str = "/amadeus.v1.QueryService/Cycles";
const SEARCH: &str = "/amadeus.v1.QueryService/Search";
const PICTURE: &str = "/amadeus.v1.QueryService/Visualize";
const DOCS: &str = "/amadeus.v1.QueryService/GenerateDocs";
const BACKUP: &str = "/amadeus.v1.AdminService/Backup";
const RESTORE: &str = "/amadeus.v1.AdminService/Restore";
const COMPACT: &str = "/amadeus.v1.AdminService/Compact";

const INVALID: Code = Code::InvalidArgument;

/// One field of a message, as bytes.
fn field(number: u32, bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    prost::encoding::encode_varint(u64::from(number << 3 | 2), &mut out);
    prost::encoding::encode_varint(bytes.len() as u64, &mut out);
    out.extend_from_slice(bytes);
    out
}

fn service(change: impl FnOnce(&mut v1::Service)) -> Vec<u8> {
    let mut request = registration("probe", &[]);
    change(request.service.as_mut().expect("there is one"));
    request.encode_to_vec()
}

fn named(name: &str) -> Vec<u8> {
    service(|s| s.name = name.into())
}

fn put(text: &str, property: Option<Value>) -> Vec<u8> {
    let fields = property.map(|value| ("k".to_owned(), value));
    v1::PutEntityRequest {
        entity: Some(v1::Entity {
            r#ref: Some(key(text)),
            properties: Some(Struct {
                fields: fields.into_iter().collect(),
            }),
            ..Default::default()
        }),
        ..Default::default()
    }
    .encode_to_vec()
}

fn nested(levels: usize) -> Value {
    let scalar = Value {
        kind: Some(Kind::BoolValue(true)),
    };
    (0..levels).fold(scalar, |inner, _| Value {
        kind: Some(Kind::ListValue(ListValue {
            values: vec![inner],
        })),
    })
}

/// Lists in lists as bytes, deeper than an encoder would go.
fn deep(levels: usize) -> Vec<u8> {
    let value = (0..levels).fold(vec![0x20, 0x01], |inner, _| field(6, &field(1, &inner)));
    [field(1, b"probe"), field(2, &value)].concat()
}

fn write(path: &str, value: Option<Value>) -> Vec<u8> {
    v1::UpdateNodeRequest {
        path: path.into(),
        value,
        ..Default::default()
    }
    .encode_to_vec()
}

fn read(path: &str) -> Vec<u8> {
    v1::GetNodeRequest {
        path: path.into(),
        consistency: None,
    }
    .encode_to_vec()
}

fn relation(from: Option<&str>, label: &str, to: Option<&str>) -> Vec<u8> {
    v1::PutRelationRequest {
        relation: Some(v1::Relation {
            from: from.map(key),
            relation: label.into(),
            to: to.map(key),
            ..Default::default()
        }),
        ..Default::default()
    }
    .encode_to_vec()
}

fn put_mutation() -> v1::PutEntityRequest {
    v1::PutEntityRequest {
        entity: Some(entity("probe/x", 1.0)),
        ..Default::default()
    }
}

fn commit(mutations: Vec<Option<M>>, preconditions: Vec<Option<P>>) -> Vec<u8> {
    let mutation = |mutation| v1::Mutation { mutation };
    let precondition = |precondition| v1::Precondition { precondition };
    v1::CommitRequest {
        mutations: mutations.into_iter().map(mutation).collect(),
        preconditions: preconditions.into_iter().map(precondition).collect(),
        ..Default::default()
    }
    .encode_to_vec()
}

fn guarded(precondition: P) -> Vec<u8> {
    commit(
        vec![Some(M::PutEntity(put_mutation()))],
        vec![Some(precondition)],
    )
}

fn budget(budget: v1::Budget) -> Vec<u8> {
    v1::ImpactRequest {
        refs: vec![key("service/anchor")],
        budget: Some(budget),
        ..Default::default()
    }
    .encode_to_vec()
}

fn names() -> Vec<Case> {
    vec![
        ("no service", REGISTER, Vec::new(), INVALID, "service"),
        (
            "an empty name",
            REGISTER,
            named(""),
            INVALID,
            "service.name",
        ),
        (
            "a name of 257 bytes",
            REGISTER,
            named(&"n".repeat(257)),
            INVALID,
            "service.name",
        ),
        (
            "a line break",
            REGISTER,
            named("a\nb"),
            INVALID,
            "service.name",
        ),
        ("a NUL", REGISTER, named("a\0b"), INVALID, "service.name"),
        ("DEL", REGISTER, named("a\u{7f}b"), INVALID, "service.name"),
        (
            "a C1 control",
            REGISTER,
            named("a\u{85}b"),
            INVALID,
            "service.name",
        ),
        (
            "white space at an end",
            REGISTER,
            named(" a"),
            INVALID,
            "service.name",
        ),
        (
            "bytes that are no UTF-8",
            GET,
            field(1, b"\xff\xfe"),
            INVALID,
            "name",
        ),
        (
            "an overlong UTF-8 sequence",
            GET,
            field(1, b"\xc0\xaf"),
            INVALID,
            "name",
        ),
        (
            "a surrogate",
            GET,
            field(1, b"\xed\xa0\x80"),
            INVALID,
            "name",
        ),
        ("bytes that are no message", GET, vec![0xff; 4], INVALID, ""),
        (
            "a message that is cut",
            GET,
            vec![0x0a, 0x20, b'a'],
            INVALID,
            "name",
        ),
        ("another wire type", GET, vec![0x08, 0x07], INVALID, "name"),
        ("no name", GET, Vec::new(), INVALID, "name"),
        (
            "an absent service",
            GET,
            field(1, b"nowhere"),
            Code::NotFound,
            "service/nowhere",
        ),
        ("no entity", PUT, Vec::new(), INVALID, "entity"),
        ("no reference", PUT, field(1, b""), INVALID, "entity.ref"),
        ("no kind", PUT, put("/x", None), INVALID, "entity.ref.kind"),
        (
            "a kind with a control",
            PUT,
            put("pro\tbe/x", None),
            INVALID,
            "entity.ref.kind",
        ),
        (
            "a kind of 65 bytes",
            PUT,
            put(&format!("{}/x", "k".repeat(65)), None),
            INVALID,
            "entity.ref.kind",
        ),
        ("no entity to read", GET_ENTITY, Vec::new(), INVALID, "ref"),
        (
            "an absent entity",
            GET_ENTITY,
            field(1, &key("probe/x").encode_to_vec()),
            Code::NotFound,
            "probe/x",
        ),
        (
            "an absent entity to delete",
            DELETE,
            field(1, &key("probe/x").encode_to_vec()),
            Code::NotFound,
            "probe/x",
        ),
        (
            "a kind to list with a slash",
            LIST_ENTITIES,
            field(1, b"a/b"),
            INVALID,
            "kind",
        ),
        (
            "a body of another kind",
            PUT,
            v1::PutEntityRequest {
                entity: Some(v1::Entity {
                    r#ref: Some(key("probe/x")),
                    body: Some(v1::entity::Body::Service(v1::Service {
                        name: "x".into(),
                        ..Default::default()
                    })),
                    ..Default::default()
                }),
                ..Default::default()
            }
            .encode_to_vec(),
            INVALID,
            "entity.service",
        ),
        (
            "a body of another name",
            PUT,
            v1::PutEntityRequest {
                entity: Some(v1::Entity {
                    r#ref: Some(key("service/x")),
                    body: Some(v1::entity::Body::Service(v1::Service {
                        name: "y".into(),
                        ..Default::default()
                    })),
                    ..Default::default()
                }),
                ..Default::default()
            }
            .encode_to_vec(),
            INVALID,
            "entity.service.name",
        ),
        (
            "metadata in two places that differ",
            PUT,
            v1::PutEntityRequest {
                entity: Some(v1::Entity {
                    r#ref: Some(key("service/x")),
                    properties: entity("a/b", 1.0).properties,
                    body: Some(v1::entity::Body::Service(v1::Service {
                        name: "x".into(),
                        metadata: entity("a/b", 2.0).properties,
                        ..Default::default()
                    })),
                    ..Default::default()
                }),
                ..Default::default()
            }
            .encode_to_vec(),
            INVALID,
            "entity.properties",
        ),
    ]
}

fn services() -> Vec<Case> {
    let dependency = |service: &str| v1::Dependency {
        service: service.into(),
        ..Default::default()
    };
    let of = |name: &str, service: &str| {
        v1::AddDependencyRequest {
            name: name.into(),
            dependency: Some(dependency(service)),
            ..Default::default()
        }
        .encode_to_vec()
    };
    vec![
        (
            "a service that needs itself",
            REGISTER,
            service(|s| s.dependencies.push(dependency("probe"))),
            INVALID,
            "service.dependencies[0].service",
        ),
        (
            "a dependency without a name",
            REGISTER,
            service(|s| s.dependencies.push(dependency(""))),
            INVALID,
            "service.dependencies[0].service",
        ),
        (
            "a dependency named twice",
            REGISTER,
            service(|s| s.dependencies = vec![dependency("a"), dependency("a")]),
            INVALID,
            "service.dependencies[1]",
        ),
        (
            "an empty capability",
            REGISTER,
            service(|s| s.capabilities.push(String::new())),
            INVALID,
            "service.capabilities[0]",
        ),
        (
            "an owner with a control",
            REGISTER,
            service(|s| s.owner = "a\nb".into()),
            INVALID,
            "service.owner",
        ),
        (
            "a version of 5,000 bytes",
            REGISTER,
            service(|s| s.version = "v".repeat(5_000)),
            INVALID,
            "service.version",
        ),
        (
            "an unknown health",
            REGISTER,
            service(|s| s.health = 99),
            INVALID,
            "service.health",
        ),
        (
            "a negative health",
            REGISTER,
            service(|s| s.health = -1),
            INVALID,
            "service.health",
        ),
        (
            "an unknown health to list",
            LIST,
            v1::ListServicesRequest {
                health: Some(7),
                ..Default::default()
            }
            .encode_to_vec(),
            INVALID,
            "health",
        ),
        (
            "a lease of no time",
            REGISTER,
            v1::RegisterServiceRequest {
                lease_ttl: Some(prost_types::Duration::default()),
                ..registration("probe", &[])
            }
            .encode_to_vec(),
            INVALID,
            "lease_ttl",
        ),
        (
            "strict, with the unregistered",
            REGISTER,
            v1::RegisterServiceRequest {
                strict: true,
                ..registration("probe", &["nowhere"])
            }
            .encode_to_vec(),
            Code::FailedPrecondition,
            "nowhere",
        ),
        (
            "an expected absence",
            REGISTER,
            v1::RegisterServiceRequest {
                expected_revision: Some(0),
                ..registration("anchor", &[])
            }
            .encode_to_vec(),
            Code::AlreadyExists,
            "anchor",
        ),
        (
            "deregistering the absent",
            DEREGISTER,
            field(1, b"nowhere"),
            Code::NotFound,
            "nowhere",
        ),
        (
            "deregistering what is needed",
            DEREGISTER,
            field(1, b"needed"),
            Code::FailedPrecondition,
            "service/anchor",
        ),
        ("no schema", SCHEMA, field(1, b"anchor"), INVALID, "schema"),
        (
            "a schema of the absent",
            SCHEMA,
            [field(1, b"nowhere"), field(2, b"")].concat(),
            Code::NotFound,
            "nowhere",
        ),
        (
            "no capability",
            CAPABILITY,
            field(1, b"anchor"),
            INVALID,
            "capability",
        ),
        (
            "a capability of the absent",
            CAPABILITY,
            [field(1, b"nowhere"), field(2, b"c")].concat(),
            Code::NotFound,
            "nowhere",
        ),
        (
            "no dependency",
            ADD,
            field(1, b"anchor"),
            INVALID,
            "dependency",
        ),
        (
            "a dependency on itself",
            ADD,
            of("anchor", "anchor"),
            INVALID,
            "dependency.service",
        ),
        (
            "a dependency of the absent",
            ADD,
            of("nowhere", "anchor"),
            Code::NotFound,
            "nowhere",
        ),
        (
            "a dependency that is not there",
            REMOVE,
            [field(1, b"anchor"), field(2, b"nowhere")].concat(),
            Code::NotFound,
            "nowhere",
        ),
    ]
}

fn values() -> Vec<Case> {
    vec![
        (
            "NaN",
            PUT,
            put("probe/x", Some(number(f64::NAN))),
            INVALID,
            "entity.properties.k",
        ),
        (
            "infinity",
            PUT,
            put("probe/x", Some(number(f64::INFINITY))),
            INVALID,
            "entity.properties.k",
        ),
        (
            "minus infinity",
            UPDATE,
            write("probe", Some(number(f64::NEG_INFINITY))),
            INVALID,
            "value",
        ),
        (
            "an integer beyond 2^53",
            UPDATE,
            write("probe", Some(number(2f64.powi(53) + 2.0))),
            INVALID,
            "value",
        ),
        (
            "a negative integer beyond 2^53",
            PUT,
            put("probe/x", Some(number(-(2f64.powi(60))))),
            INVALID,
            "entity.properties.k",
        ),
        (
            "a value without a kind",
            UPDATE,
            write("probe", Some(Value { kind: None })),
            INVALID,
            "value",
        ),
        ("no value", UPDATE, write("probe", None), INVALID, "value"),
        (
            "lists nested 33 deep",
            UPDATE,
            write("probe", Some(nested(33))),
            INVALID,
            "value[0]",
        ),
        (
            "lists nested 33 deep in a property",
            PUT,
            put("probe/x", Some(nested(32))),
            INVALID,
            "entity.properties.k[0]",
        ),
        (
            "lists nested 1,000 deep",
            UPDATE,
            deep(1_000),
            INVALID,
            "value",
        ),
        (
            "properties beyond 64 KiB",
            PUT,
            put(
                "probe/x",
                Some(Value {
                    kind: Some(Kind::StringValue("v".repeat(70_000))),
                }),
            ),
            INVALID,
            "entity.properties",
        ),
    ]
}

fn relations_and_paths() -> Vec<Case> {
    let anchor = Some("service/anchor");
    vec![
        ("no relation", RELATE, Vec::new(), INVALID, "relation"),
        (
            "a relation from nothing",
            RELATE,
            relation(None, "uses", anchor),
            INVALID,
            "relation.from",
        ),
        (
            "a relation to nothing",
            RELATE,
            relation(anchor, "uses", None),
            INVALID,
            "relation.to",
        ),
        (
            "no label",
            RELATE,
            relation(anchor, "", anchor),
            INVALID,
            "relation.relation",
        ),
        (
            "a bad label",
            RELATE,
            relation(anchor, "a b", anchor),
            INVALID,
            "relation.relation",
        ),
        (
            "a relation to the absent",
            RELATE,
            relation(anchor, "uses", Some("probe/x")),
            Code::NotFound,
            "probe/x",
        ),
        (
            "a relation from the absent",
            RELATE,
            relation(Some("probe/x"), "uses", anchor),
            Code::NotFound,
            "probe/x",
        ),
        (
            "a service on itself",
            RELATE,
            relation(anchor, "depends_on", anchor),
            INVALID,
            "relation.to",
        ),
        (
            "an absent relation",
            UNRELATE,
            v1::DeleteRelationRequest {
                from: anchor.map(key),
                relation: "uses".into(),
                to: Some(key("service/needed")),
                ..Default::default()
            }
            .encode_to_vec(),
            Code::NotFound,
            "uses",
        ),
        (
            "relations of nothing",
            RELATIONS,
            Vec::new(),
            INVALID,
            "ref",
        ),
        (
            "an unknown direction",
            RELATIONS,
            v1::ListRelationsRequest {
                r#ref: anchor.map(key),
                direction: 7,
                ..Default::default()
            }
            .encode_to_vec(),
            INVALID,
            "direction",
        ),
        ("an empty path", NODE, read(""), INVALID, "path"),
        (
            "an unclosed quote",
            NODE,
            read("documents.\"a.b"),
            INVALID,
            "path",
        ),
        ("an unclosed bracket", NODE, read("list[0"), INVALID, "path"),
        ("a word as an index", NODE, read("list[x]"), INVALID, "path"),
        ("two dots", NODE, read("a..b"), INVALID, "path"),
        ("a dot at the end", NODE, read("a."), INVALID, "path"),
        (
            "a bracket at the beginning",
            NODE,
            read("[0]"),
            INVALID,
            "path",
        ),
        (
            "a path of 5,000 bytes",
            NODE,
            read(&"a".repeat(5_000)),
            INVALID,
            "path",
        ),
        (
            "a missing path",
            NODE,
            read("list[7]"),
            Code::NotFound,
            "list[7]",
        ),
        (
            "a key below a list",
            NODE,
            read("list.key"),
            INVALID,
            "list",
        ),
        (
            "a missing service",
            NODE,
            read("services.nowhere.dependencies"),
            Code::NotFound,
            "services.nowhere",
        ),
        (
            "a whole section",
            UPDATE,
            write("services", Some(number(1.0))),
            INVALID,
            "services",
        ),
        (
            "a number as dependencies",
            UPDATE,
            write("services.anchor.dependencies", Some(number(1.0))),
            INVALID,
            "dependencies",
        ),
        (
            "far behind the end of a list",
            UPDATE,
            write("list[9]", Some(number(1.0))),
            Code::NotFound,
            "list",
        ),
        (
            "below a number",
            UPDATE,
            write("list[0].a", Some(number(1.0))),
            INVALID,
            "list[0]",
        ),
        (
            "deleting a missing path",
            DELETE_NODE,
            field(1, b"nowhere.at.all"),
            Code::NotFound,
            "nowhere",
        ),
    ]
}

fn transactions() -> Vec<Case> {
    let anchor = || key("service/anchor");
    let inner = v1::PutEntityRequest {
        request_id: "inner".into(),
        ..put_mutation()
    };
    let bad = v1::PutEntityRequest {
        entity: Some(entity("probe/", 1.0)),
        ..Default::default()
    };
    let one = || Some(M::PutEntity(put_mutation()));
    let cycle = M::RegisterService(registration("needed", &["anchor"]));
    let exists = || Some(P::EntityExists(anchor()));
    let absent = || Some(P::EntityAbsent(anchor()));
    let equals = |path: &str| {
        P::DocumentEquals(DocumentEquals {
            path: path.into(),
            value: Some(number(9.0)),
        })
    };
    let request_id = |id: String| {
        v1::UpdateNodeRequest {
            path: "probe".into(),
            value: Some(number(1.0)),
            request_id: id,
            ..Default::default()
        }
        .encode_to_vec()
    };
    let reason = v1::UpdateNodeRequest {
        path: "probe".into(),
        value: Some(number(1.0)),
        reason: "r".repeat(2_000),
        ..Default::default()
    };
    vec![
        (
            "nothing to commit",
            COMMIT,
            Vec::new(),
            INVALID,
            "mutations",
        ),
        (
            "a mutation that is none",
            COMMIT,
            commit(vec![None], vec![]),
            INVALID,
            "mutations[0]",
        ),
        (
            "a precondition that is none",
            COMMIT,
            commit(vec![one()], vec![None]),
            INVALID,
            "preconditions[0]",
        ),
        (
            "contradictory preconditions",
            COMMIT,
            commit(vec![one()], vec![exists(), absent()]),
            INVALID,
            "service/anchor",
        ),
        (
            "an entity that must be absent",
            COMMIT,
            guarded(P::EntityAbsent(anchor())),
            Code::FailedPrecondition,
            "service/anchor",
        ),
        (
            "an entity at another revision",
            COMMIT,
            guarded(P::EntityAt(EntityAt {
                r#ref: Some(anchor()),
                revision: 9_999,
            })),
            Code::Aborted,
            "service/anchor",
        ),
        (
            "an entity at a revision, nameless",
            COMMIT,
            guarded(P::EntityAt(EntityAt::default())),
            INVALID,
            "preconditions[0].entity_at.ref",
        ),
        (
            "another document",
            COMMIT,
            guarded(equals("list[0]")),
            Code::FailedPrecondition,
            "list",
        ),
        (
            "a precondition on a bad path",
            COMMIT,
            guarded(equals("a.\"")),
            INVALID,
            "preconditions[0].document_equals.path",
        ),
        (
            "a path that must not be",
            COMMIT,
            guarded(P::NoPath(NoPath {
                from: Some(anchor()),
                to: Some(key("service/needed")),
                relation: String::new(),
            })),
            Code::FailedPrecondition,
            "needed",
        ),
        (
            "dependents that must not be",
            COMMIT,
            guarded(P::NoDependents(key("service/needed"))),
            Code::FailedPrecondition,
            "service/anchor",
        ),
        (
            "a cycle that must not be",
            COMMIT,
            commit(
                vec![Some(cycle)],
                vec![Some(P::Acyclic(Acyclic::default()))],
            ),
            Code::FailedPrecondition,
            "anchor",
        ),
        (
            "10,001 mutations",
            COMMIT,
            commit((0..10_001).map(|_| one()).collect(), vec![]),
            INVALID,
            "mutations",
        ),
        (
            "a request id inside",
            COMMIT,
            commit(vec![Some(M::PutEntity(inner))], vec![]),
            INVALID,
            "mutations[0].put_entity.request_id",
        ),
        (
            "one bad among good",
            COMMIT,
            commit(vec![one(), Some(M::PutEntity(bad))], vec![]),
            INVALID,
            "mutations[1].put_entity.entity.ref.name",
        ),
        (
            "a request id of 129 bytes",
            UPDATE,
            request_id("r".repeat(129)),
            INVALID,
            "request_id",
        ),
        (
            "a request id with a control",
            UPDATE,
            request_id("a\nb".into()),
            INVALID,
            "request_id",
        ),
        (
            "a reason of 2,000 bytes",
            UPDATE,
            reason.encode_to_vec(),
            INVALID,
            "reason",
        ),
    ]
}

fn questions() -> Vec<Case> {
    let direction = |n| v1::NeighborsRequest {
        r#ref: Some(key("service/anchor")),
        direction: n,
        ..Default::default()
    };
    let labels = v1::ImpactRequest {
        refs: vec![key("service/anchor")],
        relations: vec!["a\nb".into()],
        ..Default::default()
    };
    let exact = v1::GetServiceRequest {
        name: "anchor".into(),
        consistency: crate::harness::at_exact(1_000_000_000),
    };
    vec![
        (
            "a revision that does not exist",
            GET,
            exact.encode_to_vec(),
            Code::OutOfRange,
            "1000000000",
        ),
        (
            "no token",
            LIST,
            v1::ListServicesRequest {
                page_token: "nonsense".into(),
                ..Default::default()
            }
            .encode_to_vec(),
            INVALID,
            "page_token",
        ),
        ("impact of nothing", IMPACT, Vec::new(), INVALID, "refs"),
        (
            "impact of the absent",
            IMPACT,
            field(1, &key("service/nowhere").encode_to_vec()),
            Code::NotFound,
            "service/nowhere",
        ),
        (
            "impact of the nameless",
            IMPACT,
            field(1, b""),
            INVALID,
            "refs[0].kind",
        ),
        (
            "a budget of no entities",
            IMPACT,
            budget(v1::Budget {
                max_entities: Some(0),
                ..Default::default()
            }),
            INVALID,
            "budget.max_entities",
        ),
        (
            "a budget of no time",
            IMPACT,
            budget(v1::Budget {
                max_time_ms: Some(0),
                ..Default::default()
            }),
            INVALID,
            "budget.max_time_ms",
        ),
        (
            "a bad label to follow",
            IMPACT,
            labels.encode_to_vec(),
            INVALID,
            "relations[0]",
        ),
        (
            "a path from nowhere",
            PATH,
            field(2, &key("service/anchor").encode_to_vec()),
            INVALID,
            "from",
        ),
        (
            "no path",
            PATH,
            [
                field(1, &key("service/needed").encode_to_vec()),
                field(2, &key("service/anchor").encode_to_vec()),
            ]
            .concat(),
            Code::NotFound,
            "path",
        ),
        (
            "no capability to look for",
            FIND,
            Vec::new(),
            INVALID,
            "all_of",
        ),
        (
            "an empty capability to look for",
            FIND,
            field(2, b""),
            INVALID,
            "any_of[0]",
        ),
        (
            "an unknown direction of neighbours",
            NEIGHBORS,
            direction(9).encode_to_vec(),
            INVALID,
            "direction",
        ),
        ("a part of nothing", SUBGRAPH, Vec::new(), INVALID, "refs"),
        (
            "cycles of a bad label",
            CYCLES,
            field(1, b"a b"),
            INVALID,
            "relation",
        ),
        ("an empty search", SEARCH, Vec::new(), INVALID, "text"),
        (
            "a search of a bad kind",
            SEARCH,
            [field(1, b"x"), field(2, b"a b")].concat(),
            INVALID,
            "kinds[0]",
        ),
        (
            "an unknown picture",
            PICTURE,
            vec![0x08, 42],
            INVALID,
            "format",
        ),
        (
            "a picture of the absent",
            PICTURE,
            field(2, &key("service/nowhere").encode_to_vec()),
            Code::NotFound,
            "nowhere",
        ),
        (
            "a page about the absent",
            DOCS,
            field(1, &key("service/nowhere").encode_to_vec()),
            Code::NotFound,
            "nowhere",
        ),
        (
            "an unknown export",
            EXPORT,
            vec![0x08, 42],
            INVALID,
            "format",
        ),
        (
            "a watch of a bad kind",
            WATCH,
            v1::WatchRequest {
                kinds: vec!["a\nb".into()],
                ..Default::default()
            }
            .encode_to_vec(),
            INVALID,
            "kinds[0]",
        ),
        (
            "a watch from two places",
            WATCH,
            v1::WatchRequest {
                from_revision: 1,
                snapshot_first: true,
                ..Default::default()
            }
            .encode_to_vec(),
            INVALID,
            "from_revision",
        ),
        (
            "a description of 2,000 bytes",
            BACKUP,
            field(1, "d".repeat(2_000).as_bytes()),
            INVALID,
            "description",
        ),
        ("restoring nothing", RESTORE, Vec::new(), INVALID, "id"),
        (
            "restoring the unknown",
            RESTORE,
            field(1, b"nowhere"),
            Code::NotFound,
            "nowhere",
        ),
        (
            "keeping from beyond the head",
            COMPACT,
            vec![0x08, 0xff, 0x7f],
            INVALID,
            "keep_from_revision",
        ),
    ]
}

#[tokio::test]
async fn every_case_gets_its_code_and_names_its_field() {
    let server = Server::start().await;
    server.register("needed", &[]).await;
    server.register("anchor", &["needed"]).await;
    let list = crate::harness::list(vec![number(1.0), number(2.0), number(3.0)]);
    let request = v1::UpdateNodeRequest {
        path: "list".into(),
        value: Some(list),
        ..Default::default()
    };
    server
        .graph
        .clone()
        .update_node(request)
        .await
        .expect("written");
    let before = server.context.graph.read(|s| (s.revision(), s.hash()));

    let cases: Vec<Case> = [
        names(),
        services(),
        values(),
        relations_and_paths(),
        transactions(),
        questions(),
    ]
    .concat();
    assert!(cases.len() >= 60);
    let mut wrong = Vec::new();
    for (case, method, bytes, code, word) in cases {
        match server.raw(method, bytes).await {
            Ok(_) => wrong.push(format!("{case}: was accepted")),
            Err(status) => {
                if status.code() != code || !status.message().contains(word) {
                    wrong.push(format!(
                        "{case}: wanted {code:?} with {word:?}, got {status:?}"
                    ));
                }
                let details = status.get_details_bad_request();
                if code == INVALID
                    && details.is_none_or(|d| d.field_violations.is_empty())
                    && !word.is_empty()
                {
                    wrong.push(format!("{case}: no field violation in {status:?}"));
                }
            }
        }
        let now = server.context.graph.read(|s| (s.revision(), s.hash()));
        if now != before {
            wrong.push(format!("{case}: left a trace"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    let found = v1::GetServiceRequest {
        name: "anchor".into(),
        consistency: None,
    };
    let reply = server
        .graph
        .clone()
        .get_service(found)
        .await
        .expect("it lives");
    assert_eq!(
        reply
            .into_inner()
            .service
            .expect("there")
            .dependencies
            .len(),
        1
    );
}
