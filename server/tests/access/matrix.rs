//! The matrix: every RPC, by everybody, now and at an old revision. An RPC without a row fails it.
//!
//! One letter for each principal, in the order of [`WHO`]: O it is done, U UNAUTHENTICATED, D PERMISSION_DENIED, N NOT_FOUND,
//! F FAILED_PRECONDITION, M UNIMPLEMENTED, and E for what is done and tells nothing of what is ours.

use std::collections::BTreeSet;
use std::time::Duration;

use amadeus::auth::Rules;
use amadeus_proto::{FILE_DESCRIPTOR_SET, v1};
use futures::stream;
use prost_reflect::prost::Message as _;
use prost_reflect::{DescriptorPool, DynamicMessage};
use tokio::time::timeout;
use tonic::Code;

use crate::raw;
use crate::server::{Login, PASSWORD, Server, everywhere, now_s, of_prefix};

/// Everybody who calls. The tenant is writer, reader and operator of whatever begins with `theirs-`.
const WHO: [&str; 8] = [
    "nobody", "reader", "writer", "operator", "admin", "expired", "revoked", "tenant",
];

const READ: &str = "UOOOOUUD";
const LIST: &str = "UOOOOUUE";
const WRITE: &str = "UDOOOUUD";
/// About a run of the administrator's: who may read the whole graph may see it, to anybody else it is like one that is not there.
const RUN: &str = "UOOOOUUN";
const OPERATE: &str = "UDDOOUUD";
const ADMINISTER: &str = "UDDDOUUD";
/// About the user `reader`, by whom it is asked.
const OWN: &str = "UODDOUUD";
const SIGNED_IN: &str = "UOOOOUUO";
const ANYBODY: &str = "OOOOOOOO";

/// Service and method, the request (or, by `|`, requests), and a letter for each of [`WHO`].
const ROWS: &[(&str, &str, &str)] = &[
    ("GraphService/GetService", r#"{"name":"ours-api"}"#, READ),
    ("GraphService/ListServices", "{}", LIST),
    (
        "GraphService/GetEntity",
        r#"{"ref":{"kind":"team","name":"ours-team"}}"#,
        READ,
    ),
    (
        "GraphService/GetEntity",
        r#"{"ref":{"kind":"team","name":"ours-absent"}}"#,
        "UNNNNUUD",
    ),
    ("GraphService/ListEntities", "{}", LIST),
    (
        "GraphService/ListRelations",
        r#"{"ref":{"kind":"service","name":"ours-api"}}"#,
        READ,
    ),
    (
        "GraphService/GetNode",
        r#"{"path":"services.ours-api"}"#,
        READ,
    ),
    ("GraphService/GetNode", r#"{"path":"services"}"#, LIST),
    ("GraphService/GetNode", r#"{"path":"ours_doc"}"#, READ),
    ("GraphService/Describe", "{}", LIST),
    ("GraphService/Validate", "{}", LIST),
    ("GraphService/Export", "{}", LIST),
    ("GraphService/Export", r#"{"format":"CSV"}"#, LIST),
    ("GraphService/Export", r#"{"format":"DOT"}"#, LIST),
    ("GraphService/Watch", r#"{"snapshotFirst":true}"#, LIST),
    (
        "GraphService/RegisterService",
        r#"{"service":{"name":"ours-new-{who}"}}"#,
        WRITE,
    ),
    (
        "GraphService/DeregisterService",
        r#"{"name":"ours-leaves-{who}"}"#,
        WRITE,
    ),
    (
        "GraphService/UpdateSchema",
        r#"{"name":"ours-api","schema":{"protoPath":"{who}.proto"}}"#,
        WRITE,
    ),
    (
        "GraphService/SetCapability",
        r#"{"name":"ours-api","capability":"c-{who}","enabled":true}"#,
        WRITE,
    ),
    (
        "GraphService/AddDependency",
        r#"{"name":"ours-api","dependency":{"service":"ours-db"}}"#,
        WRITE,
    ),
    (
        "GraphService/RemoveDependency",
        r#"{"name":"ours-api","service":"ours-need-{who}"}"#,
        WRITE,
    ),
    (
        "GraphService/PutEntity",
        r#"{"entity":{"ref":{"kind":"team","name":"ours-made-{who}"}}}"#,
        WRITE,
    ),
    (
        "GraphService/DeleteEntity",
        r#"{"ref":{"kind":"team","name":"ours-gone-{who}"}}"#,
        WRITE,
    ),
    (
        "GraphService/PutRelation",
        r#"{"relation":{"from":{"kind":"service","name":"ours-api"},"relation":"uses","to":{"kind":"team","name":"ours-team"}}}"#,
        WRITE,
    ),
    (
        "GraphService/PutRelation",
        r#"{"relation":{"from":{"kind":"team","name":"theirs-team"},"relation":"uses","to":{"kind":"team","name":"ours-team"}}}"#,
        WRITE,
    ),
    (
        "GraphService/DeleteRelation",
        r#"{"from":{"kind":"team","name":"ours-team"},"relation":"likes","to":{"kind":"team","name":"ours-liked-{who}"}}"#,
        WRITE,
    ),
    (
        "GraphService/UpdateNode",
        r#"{"path":"ours_doc.x","value":"{who}"}"#,
        WRITE,
    ),
    (
        "GraphService/UpdateNode",
        r#"{"path":"services.ours-api.category","value":"{who}"}"#,
        WRITE,
    ),
    (
        "GraphService/DeleteNode",
        r#"{"path":"ours_doc.{who}"}"#,
        WRITE,
    ),
    (
        "GraphService/Commit",
        r#"{"mutations":[{"putEntity":{"entity":{"ref":{"kind":"team","name":"ours-committed-{who}"}}}}]}"#,
        WRITE,
    ),
    (
        "GraphService/Commit",
        r#"{"preconditions":[{"documentEquals":{"path":"services.ours-api.category","value":"x"}}],"mutations":[{"putEntity":{"entity":{"ref":{"kind":"team","name":"theirs-team"}}}}]}"#,
        "UDFFFUUD",
    ),
    (
        "GraphService/Commit",
        r#"{"preconditions":[{"entityExists":{"kind":"team","name":"ours-team"}}],"mutations":[{"putEntity":{"entity":{"ref":{"kind":"team","name":"theirs-team"}}}}]}"#,
        WRITE,
    ),
    ("GraphService/Import", IMPORT, WRITE),
    ("GraphService/ImportStream", IMPORT, WRITE),
    ("GraphService/Prune", r#"{"dryRun":true}"#, OPERATE),
    (
        "QueryService/Dependencies",
        r#"{"refs":[{"kind":"service","name":"ours-api"}]}"#,
        READ,
    ),
    (
        "QueryService/Impact",
        r#"{"refs":[{"kind":"service","name":"ours-db"}]}"#,
        READ,
    ),
    (
        "QueryService/FindPath",
        r#"{"from":{"kind":"service","name":"ours-api"},"to":{"kind":"service","name":"ours-db"}}"#,
        READ,
    ),
    (
        "QueryService/FindByCapability",
        r#"{"allOf":["store"]}"#,
        LIST,
    ),
    (
        "QueryService/Neighbors",
        r#"{"ref":{"kind":"service","name":"ours-db"}}"#,
        READ,
    ),
    (
        "QueryService/Subgraph",
        r#"{"refs":[{"kind":"service","name":"ours-db"}]}"#,
        READ,
    ),
    ("QueryService/Cycles", r#"{"relation":"likes"}"#, LIST),
    ("QueryService/StartOrder", "{}", LIST),
    (
        "QueryService/StartOrder",
        r#"{"refs":[{"kind":"service","name":"ours-db"}]}"#,
        READ,
    ),
    ("QueryService/Search", r#"{"text":"team"}"#, LIST),
    ("QueryService/Visualize", "{}", LIST),
    ("QueryService/Visualize", r#"{"format":"SVG"}"#, LIST),
    (
        "QueryService/Visualize",
        r#"{"root":{"kind":"service","name":"ours-db"},"depth":1}"#,
        READ,
    ),
    ("QueryService/GenerateDocs", "{}", LIST),
    (
        "QueryService/GenerateDocs",
        r#"{"ref":{"kind":"service","name":"ours-db"}}"#,
        READ,
    ),
    ("LivenessService/ListLeases", "{}", LIST),
    (
        "LivenessService/ListLeases",
        r#"{"service":"ours-api"}"#,
        READ,
    ),
    (
        "LivenessService/GrantLease",
        r#"{"service":"ours-api","ttl":"60s"}"#,
        WRITE,
    ),
    // A lease of a service that one may not see is like one that does not exist, which KeepAlive tells in its reply.
    (
        "LivenessService/KeepAlive",
        r#"{"leaseId":"{lease}"}"#,
        "UDOOOUUE",
    ),
    (
        "LivenessService/RevokeLease",
        r#"{"leaseId":"{lease}"}"#,
        "UDOOOUUN",
    ),
    ("QueryService/Visualize", r#"{"pattern":"ours-flow"}"#, READ),
    ("QueryService/Visualize", r#"{"runId":"{run}"}"#, RUN),
    (
        "NexusService/RegisterPattern",
        r#"{"pattern":{"name":"ours-flow-{who}","steps":[{"id":"a","type":"pass"}]}}"#,
        WRITE,
    ),
    ("NexusService/GetPattern", r#"{"name":"ours-flow"}"#, READ),
    ("NexusService/ListPatterns", "{}", LIST),
    (
        "NexusService/DeletePattern",
        r#"{"name":"ours-ends-{who}"}"#,
        WRITE,
    ),
    (
        "NexusService/ValidatePattern",
        r#"{"pattern":{"name":"p","steps":[{"id":"a","type":"pass"}]}}"#,
        LIST,
    ),
    (
        "NexusService/GetKnowledge",
        r#"{"path":"services.ours-api"}"#,
        READ,
    ),
    (
        "NexusService/GetKnowledge",
        r#"{"path":"patterns.ours-flow"}"#,
        READ,
    ),
    ("NexusService/GetKnowledge", r#"{"path":"services"}"#, LIST),
    (
        "NexusService/ExecutePattern",
        r#"{"pattern":"ours-flow","wait":true}"#,
        WRITE,
    ),
    ("NexusService/GetRun", r#"{"runId":"{run}"}"#, RUN),
    ("NexusService/ListRuns", "{}", LIST),
    // It has ended, and stays as it is. Another's run is ended by operators.
    ("NexusService/CancelRun", r#"{"runId":"{run}"}"#, "UDDOOUUN"),
    ("NexusService/WatchRun", r#"{"runId":"{run}"}"#, RUN),
    ("NexusService/ReplayRun", r#"{"runId":"{run}"}"#, RUN),
    (
        "NexusService/EmitEvent",
        r#"{"event":{"type":"test.{who}"}}"#,
        "UDOOOUUO",
    ),
    (
        "NexusService/EmitEvent",
        r#"{"event":{"type":"test.{who}","entity":{"kind":"service","name":"ours-api"}}}"#,
        WRITE,
    ),
    (
        "NexusService/EmitEvents",
        r#"{"events":[{"type":"test.{who}"}]}"#,
        "UDOOOUUO",
    ),
    (
        "NexusService/SubscribeEvents",
        r#"{"fromOffset":"1"}"#,
        LIST,
    ),
    // A group keeps its place in the store.
    (
        "NexusService/SubscribeEvents",
        r#"{"fromOffset":"1","group":"group-{who}"}"#,
        "UDOOOUUE",
    ),
    ("NexusService/ListGroups", "{}", LIST),
    (
        "NexusService/AckEvents",
        r#"{"group":"absent","offset":"1"}"#,
        "UDNNNUUN",
    ),
    (
        "NexusService/SeekGroup",
        r#"{"group":"absent","offset":"1"}"#,
        "UDNNNUUN",
    ),
    (
        "NexusService/DeleteGroup",
        r#"{"group":"absent"}"#,
        "UDNNNUUN",
    ),
    (
        "NexusService/ListDeadLetters",
        r#"{"group":"absent"}"#,
        "UDNNNUUN",
    ),
    ("AdminService/Status", "{}", LIST),
    ("AdminService/Backup", r#"{"description":"{who}"}"#, OPERATE),
    ("AdminService/ListBackups", "{}", OPERATE),
    ("AdminService/Restore", r#"{"id":"absent"}"#, "UDDNNUUD"),
    ("AdminService/Compact", "{}", OPERATE),
    ("AdminService/CheckIntegrity", "{}", OPERATE),
    ("AdminService/Audit", "{}", ADMINISTER),
    (
        "UserService/CreateUser",
        r#"{"username":"made-by-{who}"}"#,
        ADMINISTER,
    ),
    ("UserService/GetUser", r#"{"userId":"{reader}"}"#, OWN),
    (
        "UserService/GetUserByUsername",
        r#"{"username":"Reader"}"#,
        OWN,
    ),
    (
        "UserService/UpdateUser",
        r#"{"userId":"{victim}","email":"{who}@example.org"}"#,
        ADMINISTER,
    ),
    ("UserService/ListUsers", "{}", ADMINISTER),
    (
        "UserService/UpdatePassword",
        r#"{"userId":"{victim}","newPassword":"another fine password"}"#,
        ADMINISTER,
    ),
    (
        "UserService/UpdateProfile",
        r#"{"userId":"{reader}","profile":{"team":"{who}"}}"#,
        OWN,
    ),
    (
        "UserService/AssignRole",
        r#"{"userId":"{victim}","role":"READER"}"#,
        ADMINISTER,
    ),
    (
        "UserService/RemoveRole",
        r#"{"userId":"{victim}","role":"READER"}"#,
        ADMINISTER,
    ),
    (
        "UserService/DeleteUser",
        r#"{"userId":"{victim}"}"#,
        ADMINISTER,
    ),
    (
        "AuthService/Register",
        r#"{"username":"self-{who}","password":"another fine password"}"#,
        ANYBODY,
    ),
    (
        "AuthService/Login",
        r#"{"username":"reader","password":"{password}"}"#,
        ANYBODY,
    ),
    ("AuthService/ValidateToken", "{}", SIGNED_IN),
    (
        "AuthService/ValidateToken",
        r#"{"token":"amk_forged_forged"}"#,
        "UUUUUUUU",
    ),
    (
        "AuthService/RefreshToken",
        r#"{"refreshToken":"amr_forged"}"#,
        "UUUUUUUU",
    ),
    (
        "AuthService/Logout",
        r#"{"refreshToken":"{refresh}"}"#,
        ANYBODY,
    ),
    (
        "AuthService/CreateApiKey",
        r#"{"name":"key-of-{who}"}"#,
        SIGNED_IN,
    ),
    (
        "AuthService/RevokeApiKey",
        r#"{"keyId":"00000000000000000000000000000000"}"#,
        "UNNNNUUN",
    ),
    ("AuthService/ListApiKeys", "{}", SIGNED_IN),
];

/// One row of CSV, in base64.
const IMPORT: &str = r#"{"chunk":"{csv}"}"#;

/// Rows of the standard services, with the bytes of a request.
const STANDARD: &[(&str, &[u8], &str)] = &[
    ("/grpc.health.v1.Health/Check", &[], ANYBODY),
    ("/grpc.health.v1.Health/Watch", &[], ANYBODY),
    // tonic's health service does not have it.
    ("/grpc.health.v1.Health/List", &[], "MMMMMMMM"),
    (
        "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
        &[0x3a, 0x00],
        ANYBODY,
    ),
    (
        "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
        &[0x3a, 0x00],
        ANYBODY,
    ),
];

/// A server, everybody's token, and what the rows name.
struct Stage {
    server: Server,
    tokens: Vec<Option<String>>,
    reader: Login,
    victim: String,
    leases: Vec<String>,
    refresh: Vec<String>,
    /// A run of the administrator's, which has ended.
    run: String,
    /// A revision that is old by now.
    old: u64,
}

impl Stage {
    async fn set(more: &[&str]) -> Self {
        let folder = tempfile::TempDir::new().expect("a folder").keep();
        let store = format!("sqlite://{}", folder.join("graph.db").display());
        let server = Server::on(&store, more).await;
        let graph = |mutations: serde_json::Value| {
            request(
                "GraphService/Commit",
                &serde_json::json!({ "mutations": mutations }).to_string(),
            )
        };
        let put = |kind: &str, name: &str| serde_json::json!({"putEntity":{"entity":{"ref":{"kind":kind,"name":name}}}});
        let flow = |name: &str| {
            serde_json::json!({"putEntity":{"entity":{"ref":{"kind":"pattern","name":name},
            "pattern":{"name":name,"active":true,"steps":[{"id":"a","type":"pass"}]}}}})
        };
        let service =
            |body: serde_json::Value| serde_json::json!({"registerService":{"service":body}});
        let mut all = vec![
            service(
                serde_json::json!({"name":"ours-db","owner":"ours-team","category":"ours-stores","capabilities":["store"]}),
            ),
            service(serde_json::json!({"name":"theirs-app","capabilities":["app"]})),
            put("team", "ours-team"),
            put("team", "theirs-team"),
            flow("ours-flow"),
            serde_json::json!({"updateNode":{"path":"ours_doc","value":{"x":1}}}),
        ];
        let mut needs = vec![serde_json::json!({"service":"ours-db"})];
        for who in WHO {
            needs.push(serde_json::json!({"service": format!("ours-need-{who}")}));
            all.push(service(
                serde_json::json!({"name": format!("ours-leaves-{who}")}),
            ));
            all.push(put("team", &format!("ours-gone-{who}")));
            all.push(flow(&format!("ours-ends-{who}")));
            all.push(put("team", &format!("ours-liked-{who}")));
            all.push(serde_json::json!({"putRelation":{"relation":{
                "from":{"kind":"team","name":"ours-team"},"relation":"likes",
                "to":{"kind":"team","name":format!("ours-liked-{who}")}}}}));
            all.push(
                serde_json::json!({"updateNode":{"path":format!("ours_doc.{who}"),"value":who}}),
            );
        }
        all.push(service(
            serde_json::json!({"name":"ours-api","dependencies":needs}),
        ));
        let admin = server.admin.access.clone();
        let path = "/amadeus.v1.GraphService/Commit";
        let bytes = graph(serde_json::Value::Array(all));
        let done = outcome(&server, path, Some(&admin), vec![bytes]).await;
        assert_eq!(done.0, Code::Ok, "{}", done.1);
        let old = server.register("theirs-other", "", &[]).await - 1;

        let reader = server
            .person("reader", vec![everywhere(v1::Role::Reader)])
            .await;
        let writer = server
            .person("writer", vec![everywhere(v1::Role::Writer)])
            .await;
        let operator = server
            .person("operator", vec![everywhere(v1::Role::Operator)])
            .await;
        let tenant = server
            .person("tenant", vec![of_prefix(v1::Role::Operator, "theirs-")])
            .await;
        let victim = server
            .person("victim", vec![everywhere(v1::Role::Writer)])
            .await;
        let expired = server.token_of(&server.admin, now_s() - 3_600).await;
        let revoked = server.login("root").await;
        let ended = server
            .auth(Some(&revoked.access))
            .logout(v1::LogoutRequest::default())
            .await;
        ended.expect("logged out");
        let tokens = vec![
            None,
            Some(reader.access.clone()),
            Some(writer.access),
            Some(operator.access),
            Some(admin.clone()),
            Some(expired),
            Some(revoked.access),
            Some(tenant.access),
        ];
        let (mut leases, mut refresh) = (Vec::new(), Vec::new());
        for who in WHO {
            let asked = format!(r#"{{"service":"ours-api","ttl":"60s","requestId":"{who}"}}"#);
            let asked = request("LivenessService/GrantLease", &asked);
            let path = "/amadeus.v1.LivenessService/GrantLease";
            let (code, told, replies) = outcome(&server, path, Some(&admin), vec![asked]).await;
            assert_eq!(code, Code::Ok, "{told}");
            let reply = v1::GrantLeaseResponse::decode(&*replies[0]).expect("a reply");
            leases.push(reply.lease.expect("a lease").id);
            refresh.push(server.login("reader").await.refresh);
        }
        let asked = r#"{"pattern":"ours-flow","wait":true}"#;
        let asked = request("NexusService/ExecutePattern", asked);
        let path = "/amadeus.v1.NexusService/ExecutePattern";
        let (code, told, replies) = outcome(&server, path, Some(&admin), vec![asked]).await;
        assert_eq!(code, Code::Ok, "{told}");
        let reply = v1::ExecutePatternResponse::decode(&*replies[0]).expect("a reply");
        let run = reply.run.expect("a run").id;
        Self {
            server,
            tokens,
            reader,
            victim: victim.user_id,
            leases,
            refresh,
            run,
            old,
        }
    }

    fn requests(&self, method: &str, text: &str, who: usize, old: Option<u64>) -> Vec<Vec<u8>> {
        let csv = "from,relation,to\nteam/ours-team,uses,ours-db\n";
        let text = text
            .replace("{who}", WHO[who])
            .replace("{lease}", &self.leases[who])
            .replace("{refresh}", &self.refresh[who])
            .replace("{run}", &self.run)
            .replace("{reader}", &self.reader.user_id)
            .replace("{victim}", &self.victim)
            .replace("{password}", PASSWORD)
            .replace("{csv}", &base64(csv.as_bytes()));
        let mut json: serde_json::Value = serde_json::from_str(&text).expect("JSON");
        if let Some(old) = old {
            json["consistency"] = serde_json::json!({ "atExact": old });
        }
        vec![request(method, &json.to_string())]
    }
}

fn base64(bytes: &[u8]) -> String {
    use base64ct::{Base64, Encoding as _};
    Base64::encode_string(bytes)
}

fn pool() -> DescriptorPool {
    DescriptorPool::decode(FILE_DESCRIPTOR_SET).expect("the descriptors decode")
}

/// The bytes of a request that is given as JSON.
pub fn request(method: &str, json: &str) -> Vec<u8> {
    let (service, name) = method.split_once('/').expect("service and method");
    let service = pool().get_service_by_name(&format!("amadeus.v1.{service}"));
    let service = service.expect("the service is there");
    let method = service
        .methods()
        .find(|m| m.name() == name)
        .expect("the method is there");
    let mut json = serde_json::Deserializer::from_str(json);
    let message = DynamicMessage::deserialize(method.input(), &mut json);
    message.expect("a request of this method").encode_to_vec()
}

fn can_be_old(method: &str) -> bool {
    let (service, name) = method.split_once('/').expect("service and method");
    let service = pool().get_service_by_name(&format!("amadeus.v1.{service}"));
    let service = service.expect("the service is there");
    let method = service
        .methods()
        .find(|m| m.name() == name)
        .expect("the method is there");
    method.input().get_field_by_name("consistency").is_some()
}

/// How a call ends, what is said of it, and its replies. A stream that goes on is left after its first message.
pub async fn outcome(
    server: &Server,
    path: &str,
    token: Option<&str>,
    requests: Vec<Vec<u8>>,
) -> (Code, String, Vec<Vec<u8>>) {
    let goes_on = ["/Watch", "ReflectionInfo", "/SubscribeEvents"]
        .iter()
        .any(|end| path.ends_with(end));
    let call = async {
        let mut replies = Vec::new();
        let mut stream = raw::call(&server.channel, path, token, stream::iter(requests)).await?;
        while let Some(reply) = stream.message().await? {
            replies.push(reply);
            if goes_on {
                break;
            }
        }
        Ok::<_, tonic::Status>(replies)
    };
    let ended = timeout(Duration::from_secs(60), call).await;
    match ended.unwrap_or_else(|_| panic!("{path} does not answer")) {
        Ok(replies) => (Code::Ok, String::new(), replies),
        Err(status) => (status.code(), status.message().to_owned(), Vec::new()),
    }
}

fn tells_of_ours(replies: &[Vec<u8>]) -> bool {
    let ours = |word: &[u8]| word == b"ours-" || word == b"ours_";
    replies.iter().any(|reply| reply.windows(5).any(ours))
}

fn judge(letter: char, told: &(Code, String, Vec<Vec<u8>>)) -> bool {
    let wanted = match letter {
        'O' | 'E' => Code::Ok,
        'U' => Code::Unauthenticated,
        'D' => Code::PermissionDenied,
        'N' => Code::NotFound,
        'F' => Code::FailedPrecondition,
        'M' => Code::Unimplemented,
        other => panic!("{other} is no letter"),
    };
    told.0 == wanted && (letter != 'E' || !tells_of_ours(&told.2))
}

/// Whether a refusal names something of ours that the request did not.
fn names_more(request: &[Vec<u8>], message: &str) -> bool {
    let asked: Vec<String> = request
        .iter()
        .map(|r| String::from_utf8_lossy(r).into_owned())
        .collect();
    let words = message.split(|c: char| !(c.is_alphanumeric() || c == '-' || c == '_'));
    let mut ours = words.filter(|word| word.starts_with("ours"));
    ours.any(|word| !asked.iter().any(|asked| asked.contains(word)))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everybody_may_do_what_their_row_says_and_nothing_else() {
    let stage = Stage::set(&[]).await;
    let mut wrong = Vec::new();
    let mut cells = 0;
    for (method, text, letters) in ROWS {
        let times = if can_be_old(method) {
            vec![None, Some(stage.old)]
        } else {
            vec![None]
        };
        for old in times {
            for (who, letter) in letters.chars().enumerate() {
                let path = format!("/amadeus.v1.{method}");
                let requests = stage.requests(method, text, who, old);
                let token = stage.tokens[who].as_deref();
                let told = outcome(&stage.server, &path, token, requests.clone()).await;
                cells += 1;
                let leaks = WHO[who] == "tenant" && names_more(&requests, &told.1);
                if leaks || !judge(letter, &told) {
                    let (code, message, replies) = &told;
                    let ours = tells_of_ours(replies);
                    wrong.push(format!(
                        "{method} {text} by {} at {old:?}: {letter} was expected, {code:?} {message:?} came (ours: {ours})",
                        WHO[who]
                    ));
                }
            }
        }
    }
    for (path, bytes, letters) in STANDARD {
        for (who, letter) in letters.chars().enumerate() {
            let token = stage.tokens[who].as_deref();
            let told = outcome(&stage.server, path, token, vec![bytes.to_vec()]).await;
            cells += 1;
            if !judge(letter, &told) {
                wrong.push(format!("{path} by {}: {:?} {}", WHO[who], told.0, told.1));
            }
        }
    }
    assert!(
        wrong.is_empty(),
        "{} of {cells} cells:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
    assert!(cells > 700, "{cells} cells");
}

#[test]
fn every_rpc_has_a_row_in_the_matrix() {
    let ours = ROWS
        .iter()
        .map(|(method, _, _)| format!("/amadeus.v1.{method}"));
    let standard = STANDARD.iter().map(|(path, _, _)| (*path).to_owned());
    let rows: BTreeSet<String> = ours.chain(standard).collect();
    let rules = Rules::new();
    let served: BTreeSet<String> = rules.all().map(|(path, _)| path.to_owned()).collect();
    let without: Vec<&String> = served.symmetric_difference(&rows).collect();
    assert!(
        without.is_empty(),
        "without a row, or without an RPC: {without:?}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reflection_is_for_whom_the_configuration_says() {
    for (who, nobody, reader) in [("signed-in", 'U', 'O'), ("open", 'O', 'O')] {
        let server = Server::start(&["--reflection", who]).await;
        let login = server
            .person("reader", vec![everywhere(v1::Role::Reader)])
            .await;
        for (path, bytes, _) in STANDARD
            .iter()
            .filter(|(path, _, _)| path.contains("reflection"))
        {
            for (token, letter) in [(None, nobody), (Some(login.access.as_str()), reader)] {
                let told = outcome(&server, path, token, vec![bytes.to_vec()]).await;
                assert!(judge(letter, &told), "{who}: {path}: {told:?}");
            }
        }
    }
    let server = Server::start(&["--reflection", "off"]).await;
    for (path, bytes, _) in STANDARD
        .iter()
        .filter(|(path, _, _)| path.contains("reflection"))
    {
        let token = Some(server.admin.access.as_str());
        let told = outcome(&server, path, token, vec![bytes.to_vec()]).await;
        assert_eq!(told.0, Code::Unimplemented, "{path}");
    }
}
