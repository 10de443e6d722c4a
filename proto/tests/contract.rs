//! The names of the wire are a contract: clients that nobody here wrote call them by reflection. This table holds them.

use amadeus_proto::FILE_DESCRIPTOR_SET;
use prost_reflect::{DescriptorPool, MessageDescriptor};

fn pool() -> DescriptorPool {
    DescriptorPool::decode(FILE_DESCRIPTOR_SET).expect("the descriptor set decodes")
}

fn message(pool: &DescriptorPool, name: &str) -> MessageDescriptor {
    pool.get_message_by_name(&format!("amadeus.v1.{name}"))
        .unwrap_or_else(|| panic!("there is no message {name}"))
}

const GRAPH: &str = "RegisterService GetService ListServices DeregisterService UpdateSchema SetCapability AddDependency \
    RemoveDependency PutEntity GetEntity ListEntities DeleteEntity PutRelation DeleteRelation ListRelations GetNode \
    UpdateNode DeleteNode Commit Import ImportStream Export Watch Describe Validate Prune";
const QUERY: &str = "Dependencies Impact FindPath FindByCapability Neighbors Subgraph Cycles StartOrder Search Visualize \
    GenerateDocs";
const LIVENESS: &str = "GrantLease KeepAlive RevokeLease ListLeases";
const NEXUS: &str = "RegisterPattern GetPattern ListPatterns DeletePattern ValidatePattern ExecutePattern GetRun ListRuns \
    CancelRun WatchRun ReplayRun EmitEvent EmitEvents SubscribeEvents AckEvents ListGroups SeekGroup DeleteGroup \
    ListDeadLetters GetKnowledge";
const ADMIN: &str = "Status Backup ListBackups Restore Compact CheckIntegrity Audit";
const USERS: &str = "CreateUser GetUser GetUserByUsername UpdateUser DeleteUser ListUsers UpdatePassword UpdateProfile \
    AssignRole RemoveRole";
const AUTH: &str =
    "Register Login ValidateToken RefreshToken Logout CreateApiKey RevokeApiKey ListApiKeys";

/// An RPC and its streaming twin share one request.
fn request_of(rpc: &str) -> String {
    format!("{}Request", rpc.trim_end_matches("Stream"))
}

#[test]
fn every_rpc_stands_with_its_messages_and_its_header() {
    let pool = pool();
    for (service, rpcs) in [
        ("GraphService", GRAPH),
        ("QueryService", QUERY),
        ("AdminService", ADMIN),
        ("LivenessService", LIVENESS),
        ("NexusService", NEXUS),
        ("UserService", USERS),
        ("AuthService", AUTH),
    ] {
        let service = pool
            .get_service_by_name(&format!("amadeus.v1.{service}"))
            .expect(service);
        let mut names: Vec<_> = service.methods().map(|m| m.name().to_owned()).collect();
        let mut expected: Vec<_> = rpcs.split_whitespace().map(str::to_owned).collect();
        names.sort();
        expected.sort();
        assert_eq!(names, expected);
        for method in service.methods() {
            assert_eq!(method.input().name(), request_of(method.name()));
            let header = method
                .output()
                .get_field(1)
                .expect("a reply begins with its header");
            assert_eq!(header.name(), "header", "{}", method.output().name());
            assert_eq!(
                header
                    .kind()
                    .as_message()
                    .map(|m| m.name().to_owned())
                    .as_deref(),
                Some("ResponseHeader")
            );
        }
    }
}

#[test]
fn streams_stream_where_the_contract_says() {
    let pool = pool();
    let methods = ["GraphService", "NexusService"].map(|service| {
        let service = pool.get_service_by_name(&format!("amadeus.v1.{service}"));
        service.expect("it stands").methods().collect::<Vec<_>>()
    });
    for method in methods.concat() {
        let expected = match method.name() {
            "Import" => (true, false),
            "ImportStream" | "EmitEvents" => (true, true),
            "Export" | "Watch" | "WatchRun" | "SubscribeEvents" => (false, true),
            _ => (false, false),
        };
        assert_eq!(
            (method.is_client_streaming(), method.is_server_streaming()),
            expected,
            "{}",
            method.name()
        );
    }
}

const FIELDS: &[(&str, &str)] = &[
    ("ResponseHeader", "revision oldest_revision store_id"),
    ("EntityRef", "kind name"),
    (
        "Consistency",
        "minimize_latency at_least at_exact linearizable",
    ),
    ("Budget", "max_entities max_depth max_time_ms"),
    (
        "Service",
        "name category version owner capabilities dependencies schema endpoints models health_check metrics metadata health \
         registered created_revision modified_revision description",
    ),
    ("Dependency", "service version optional properties"),
    ("Schema", "proto_path methods"),
    (
        "Endpoint",
        "name path method input_type output_type description tags",
    ),
    (
        "Entity",
        "ref properties created_revision modified_revision service pattern",
    ),
    (
        "Relation",
        "from relation to properties created_revision modified_revision",
    ),
    ("Change", "revision kind entity relation node previous"),
    (
        "Mutation",
        "register_service put_entity delete_entity put_relation delete_relation update_node delete_node",
    ),
    (
        "Precondition",
        "entity_exists entity_absent entity_at relation_exists relation_absent document_equals no_path no_dependents acyclic",
    ),
    ("Precondition.EntityAt", "ref revision"),
    ("Precondition.DocumentEquals", "path value"),
    ("Precondition.NoPath", "from to relation"),
    ("Precondition.Acyclic", "relation"),
    ("RelationRef", "from relation to"),
    (
        "RegisterServiceRequest",
        "service lease_ttl strict request_id reason expected_revision",
    ),
    ("RegisterServiceResponse", "service"),
    ("GetServiceRequest", "name consistency"),
    ("GetServiceResponse", "service"),
    (
        "ListServicesRequest",
        "category capability owner health include_placeholders consistency page_size page_token",
    ),
    ("ListServicesResponse", "services next_page_token"),
    ("GetEntityRequest", "ref consistency"),
    ("GetEntityResponse", "entity"),
    (
        "PutEntityRequest",
        "entity request_id reason expected_revision",
    ),
    (
        "PutRelationRequest",
        "relation request_id reason expected_revision",
    ),
    (
        "ListRelationsRequest",
        "ref direction relation consistency page_size page_token",
    ),
    ("ListRelationsResponse", "relations next_page_token"),
    ("GetNodeRequest", "path consistency"),
    ("GetNodeResponse", "value"),
    (
        "UpdateNodeRequest",
        "path value request_id reason expected_revision",
    ),
    ("CommitRequest", "preconditions mutations request_id reason"),
    (
        "WatchRequest",
        "from_revision snapshot_first kinds name_prefix relations previous_values consistency",
    ),
    ("WatchResponse", "changes bookmark resync"),
    (
        "ImpactRequest",
        "refs relations budget consistency page_size page_token",
    ),
    (
        "ImpactResponse",
        "hits total truncated next_page_token patterns",
    ),
    (
        "DependenciesRequest",
        "refs relations budget consistency page_size page_token",
    ),
    (
        "DependenciesResponse",
        "hits total truncated next_page_token",
    ),
    ("Hit", "ref depth path"),
    ("FindPathRequest", "from to"),
    ("FindPathResponse", "path relations"),
    ("FindByCapabilityRequest", "all_of any_of"),
    ("FindByCapabilityResponse", "services next_page_token"),
    ("CyclesRequest", "relation"),
    ("CyclesResponse", "cycles"),
    ("Cycle", "entities"),
    ("StartOrderResponse", "levels cycles"),
    ("Level", "entities"),
    ("SearchRequest", "text kinds"),
    ("SearchResponse", "entities"),
    ("VisualizeRequest", "format root depth pattern run_id"),
    ("VisualizeResponse", "body"),
    (
        "DescribeResponse",
        "entity_counts relation_counts categories capabilities",
    ),
    (
        "Lease",
        "id service ttl health lapsed server silent held_back",
    ),
    ("GrantLeaseRequest", "service ttl health request_id reason"),
    ("GrantLeaseResponse", "lease"),
    ("KeepAliveRequest", "lease_id health lease_ids"),
    ("KeepAliveResponse", "lease_id ttl kept lost"),
    ("RevokeLeaseRequest", "lease_id request_id reason"),
    ("ListLeasesRequest", "service health page_size page_token"),
    ("ListLeasesResponse", "leases next_page_token"),
    ("StatusResponse", "version store revision uptime health"),
    (
        "Pattern",
        "name description version category owner origin active steps metadata inputs outputs classes max_runs \
         max_parallel timeout_ms",
    ),
    (
        "PatternStep",
        "id type target action parameters depends_on required optional retry timeout_ms total_timeout_ms condition \
         compensation concurrency_class join description",
    ),
    (
        "RegisterPatternRequest",
        "pattern request_id reason expected_revision",
    ),
    (
        "RegisterPatternResponse",
        "pattern modified_revision changed",
    ),
    ("GetPatternRequest", "name consistency"),
    (
        "GetPatternResponse",
        "pattern created_revision modified_revision statistics",
    ),
    (
        "PatternStatistics",
        "usage_count succeeded failed cancelled total_ms min_ms max_ms last_used",
    ),
    (
        "ListPatternsRequest",
        "category owner origin active consistency page_size page_token",
    ),
    ("ListPatternsResponse", "patterns next_page_token"),
    ("ValidatePatternRequest", "pattern consistency"),
    ("ValidatePatternResponse", "valid faults levels"),
    ("PatternFault", "path reason warning"),
    (
        "ExecutePatternRequest",
        "pattern inputs wait correlation_id pattern_revision request_id reason",
    ),
    ("ExecutePatternResponse", "run"),
    (
        "Run",
        "id pattern pattern_version pattern_revision graph_revision state message code inputs outputs steps actor \
         correlation_id created ended parent_run epoch",
    ),
    (
        "StepStatus",
        "id type state attempts result message code started ended idempotency_key",
    ),
    (
        "RunLine",
        "seq time what step attempt message code run_state step_state epoch",
    ),
    ("GetRunRequest", "run_id timeline"),
    ("GetRunResponse", "run timeline pattern"),
    ("CancelRunRequest", "run_id reason"),
    ("WatchRunRequest", "run_id from_seq"),
    ("WatchRunResponse", "lines run"),
    ("ReplayRunRequest", "run_id at_revision"),
    ("ReplayRunResponse", "run differences"),
    (
        "Event",
        "id type entity correlation_id payload time offset appended actor",
    ),
    ("EmitEventRequest", "event"),
    ("EmitEventResponse", "offset id duplicate"),
    (
        "SubscribeEventsRequest",
        "types entities correlation_ids from_offset from_time group auto_ack max_unacked max_failures",
    ),
    ("SubscribeEventsResponse", "events next_offset lag standby"),
    ("AckEventsRequest", "group offset failed_offset reason"),
    ("SeekGroupRequest", "group offset time"),
    ("GetKnowledgeRequest", "path consistency"),
    ("GetKnowledgeResponse", "value"),
];

#[test]
fn every_name_that_clients_meet_first_is_there() {
    let pool = pool();
    for (name, fields) in FIELDS {
        let message = message(&pool, name);
        for field in fields.split_whitespace() {
            assert!(
                message.get_field_by_name(field).is_some(),
                "{name} has no field {field}"
            );
        }
    }
}

#[test]
fn fields_with_one_meaning_have_one_tag() {
    let pool = pool();
    let tags = [
        ("consistency", 100),
        ("request_id", 101),
        ("reason", 102),
        ("expected_revision", 103),
        ("page_size", 110),
        ("page_token", 111),
    ];
    for message in pool
        .all_messages()
        .filter(|m| m.name().ends_with("Request"))
    {
        for (field, tag) in tags {
            if let Some(found) = message.get_field_by_name(field) {
                assert_eq!(found.number(), tag, "{}.{field}", message.name());
            }
        }
    }
}

#[test]
fn every_read_of_the_graph_says_how_fresh_and_every_write_says_why() {
    let pool = pool();
    let has = |rpc: &str, field: &str| {
        message(&pool, &request_of(rpc))
            .get_field_by_name(field)
            .is_some()
    };
    let reads = "GetService ListServices GetEntity ListEntities ListRelations GetNode Export Watch Describe Validate \
        GetPattern ListPatterns ValidatePattern GetKnowledge";
    for rpc in reads.split_whitespace().chain(QUERY.split_whitespace()) {
        assert!(has(rpc, "consistency"), "{rpc}");
    }
    let single = "RegisterService DeregisterService UpdateSchema SetCapability AddDependency RemoveDependency PutEntity \
        DeleteEntity PutRelation DeleteRelation UpdateNode DeleteNode RegisterPattern DeletePattern";
    for rpc in single.split_whitespace() {
        assert!(has(rpc, "expected_revision"), "{rpc}");
    }
    for rpc in
        single
            .split_whitespace()
            .chain(["Commit", "Prune", "Restore", "Backup", "ExecutePattern"])
    {
        assert!(has(rpc, "request_id") && has(rpc, "reason"), "{rpc}");
    }
}

#[test]
fn enum_values_have_the_names_of_the_contract() {
    let pool = pool();
    for (name, values) in [
        ("Health", "UNKNOWN UP DEGRADED DOWN"),
        ("Direction", "OUT IN BOTH"),
        ("Change.Kind", "KIND_UNSPECIFIED CREATED UPDATED DELETED"),
        ("VisualizeRequest.Format", "MERMAID DOT JSON SVG"),
        ("ExportRequest.Format", "JSON MERMAID DOT SVG CSV"),
        ("PatternStep.Join", "ALL ANY"),
        (
            "RunState",
            "RUN_STATE_UNSPECIFIED RUN_QUEUED RUN_RUNNING RUN_COMPENSATING RUN_SUCCEEDED RUN_FAILED RUN_CANCELLED",
        ),
        (
            "StepState",
            "STEP_STATE_UNSPECIFIED STEP_PENDING STEP_RUNNING STEP_RETRYING STEP_SUCCEEDED STEP_FAILED STEP_SKIPPED \
             STEP_CANCELLED STEP_COMPENSATING STEP_COMPENSATED STEP_COMPENSATION_FAILED",
        ),
    ] {
        let found = pool
            .get_enum_by_name(&format!("amadeus.v1.{name}"))
            .expect(name);
        let names: Vec<_> = found.values().map(|v| v.name().to_owned()).collect();
        assert_eq!(names.join(" "), values);
    }
}

#[test]
fn reflection_shows_a_comment_on_every_field() {
    let pool = pool();
    for file in pool.files().filter(|f| f.package_name() == "amadeus.v1") {
        let source = file
            .file_descriptor_proto()
            .source_code_info
            .as_ref()
            .expect("comments are kept");
        let commented = |path: &[i32]| source.location.iter().any(|l| l.path == path);
        for message in pool
            .all_messages()
            .filter(|m| m.parent_file() == file && !m.is_map_entry())
        {
            for field in message.fields() {
                assert!(
                    commented(field.path()),
                    "{}.{} has no comment",
                    message.name(),
                    field.name()
                );
            }
        }
    }
}
