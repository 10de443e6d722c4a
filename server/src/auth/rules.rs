//! Who may call which RPC: one row for each.
//!
//! An RPC of ours that has no row is refused to everybody.

use std::collections::HashMap;

use super::policy::{Action, Resource};

/// Who may call an RPC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rule {
    /// Anybody. Credentials that are not good are passed over: whoever has none may call it too.
    Open,
    /// Whoever has signed in; the service decides by whose it is.
    SignedIn,
    /// Whoever may do this with some part of the graph; the service decides by what is named.
    Within(Action),
    /// Whoever may do this with everything.
    Throughout(Action),
    /// As the configuration says of reflection.
    Reflection,
    /// Nobody.
    Never,
}

impl Rule {
    /// What has to be allowed.
    #[must_use]
    pub fn asks(self) -> Option<(Action, Resource<'static>)> {
        match self {
            Self::Within(action) => Some((action, Resource::SomePart)),
            Self::Throughout(action) => Some((action, Resource::Everything)),
            Self::Open | Self::SignedIn | Self::Reflection | Self::Never => None,
        }
    }
}

/// What is known of an RPC.
#[derive(Clone, Copy, Debug)]
pub struct Row {
    /// Who may call it.
    pub rule: Rule,
    /// Whether its reply is a stream.
    pub streams: bool,
}

const READS: Rule = Rule::Within(Action::Read);
const WRITES: Rule = Rule::Within(Action::Write);
const OPERATES: Rule = Rule::Throughout(Action::Operate);
const ADMINISTERS: Rule = Rule::Throughout(Action::Administer);

/// The rows, by service.
const ROWS: &[(&str, &[(Rule, &str)])] = &[
    (
        "amadeus.v1.GraphService",
        &[
            (
                READS,
                "GetService ListServices GetEntity ListEntities ListRelations GetNode Describe Validate Export Watch",
            ),
            (
                WRITES,
                "RegisterService DeregisterService UpdateSchema SetCapability AddDependency RemoveDependency PutEntity \
                 DeleteEntity PutRelation DeleteRelation UpdateNode DeleteNode Commit Import ImportStream",
            ),
            (OPERATES, "Prune"),
        ],
    ),
    (
        "amadeus.v1.QueryService",
        &[(
            READS,
            "Dependencies Impact FindPath FindByCapability Neighbors Subgraph Cycles StartOrder Search Visualize \
             GenerateDocs",
        )],
    ),
    (
        "amadeus.v1.LivenessService",
        &[
            (READS, "ListLeases"),
            (WRITES, "GrantLease KeepAlive RevokeLease"),
        ],
    ),
    // Whoever may write some part of the graph may run patterns and tell events; whoever may read some of it may follow them. A group
    // keeps its place in the store, so it takes a writer to have one: SubscribeEvents asks for that itself, where a group is named.
    (
        "amadeus.v1.NexusService",
        &[
            (
                READS,
                "GetPattern ListPatterns ValidatePattern GetRun ListRuns WatchRun ReplayRun SubscribeEvents ListGroups \
                 GetKnowledge",
            ),
            (
                WRITES,
                "RegisterPattern DeletePattern ExecutePattern CancelRun EmitEvent EmitEvents AckEvents SeekGroup \
                 DeleteGroup ListDeadLetters",
            ),
        ],
    ),
    (
        "amadeus.v1.AdminService",
        &[
            (READS, "Status"),
            (
                OPERATES,
                "Backup ListBackups Restore Compact CheckIntegrity",
            ),
            (ADMINISTERS, "Audit"),
        ],
    ),
    (
        "amadeus.v1.UserService",
        &[
            (
                Rule::SignedIn,
                "GetUser GetUserByUsername UpdatePassword UpdateProfile",
            ),
            (
                ADMINISTERS,
                "CreateUser UpdateUser DeleteUser ListUsers AssignRole RemoveRole",
            ),
        ],
    ),
    (
        "amadeus.v1.AuthService",
        &[
            (
                Rule::Open,
                "Register Login ValidateToken RefreshToken Logout",
            ),
            (Rule::SignedIn, "CreateApiKey RevokeApiKey ListApiKeys"),
        ],
    ),
    ("grpc.health.v1.Health", &[(Rule::Open, "Check Watch List")]),
    (
        "grpc.reflection.v1.ServerReflection",
        &[(Rule::Reflection, "ServerReflectionInfo")],
    ),
    (
        "grpc.reflection.v1alpha.ServerReflection",
        &[(Rule::Reflection, "ServerReflectionInfo")],
    ),
];

/// Streams of the standard services, which have no descriptors among ours.
const STANDARD_STREAMS: [&str; 3] = [
    "/grpc.health.v1.Health/Watch",
    "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
    "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
];

/// The rows, found by the path of a call.
#[derive(Debug)]
pub struct Rules(HashMap<String, Row, foldhash::fast::RandomState>);

impl Rules {
    /// All rows, and [`Rule::Never`] for whatever else our descriptors name.
    #[must_use]
    pub fn new() -> Self {
        let mut rows = HashMap::default();
        let pool = prost_reflect::DescriptorPool::decode(amadeus_proto::FILE_DESCRIPTOR_SET);
        let services = pool.iter().flat_map(|pool| pool.services());
        for method in services.flat_map(|service| service.methods().collect::<Vec<_>>()) {
            let path = format!("/{}/{}", method.parent_service().full_name(), method.name());
            let row = Row {
                rule: Rule::Never,
                streams: method.is_server_streaming(),
            };
            rows.insert(path, row);
        }
        for (service, rules) in ROWS {
            for (rule, names) in *rules {
                for name in names.split_whitespace() {
                    let path = format!("/{service}/{name}");
                    let streams = STANDARD_STREAMS.contains(&path.as_str());
                    let row = rows.entry(path).or_insert(Row {
                        rule: *rule,
                        streams,
                    });
                    row.rule = *rule;
                }
            }
        }
        Self(rows)
    }

    /// The row of a path; none for what nobody serves.
    #[must_use]
    pub fn of(&self, path: &str) -> Option<Row> {
        self.0.get(path).copied()
    }

    /// All paths, with their rows.
    pub fn all(&self) -> impl Iterator<Item = (&str, Row)> {
        self.0.iter().map(|(path, row)| (path.as_str(), *row))
    }
}

impl Default for Rules {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_rpc_has_a_row() {
        let rules = Rules::new();
        let without: Vec<&str> = rules
            .all()
            .filter(|(_, row)| row.rule == Rule::Never)
            .map(|(path, _)| path)
            .collect();
        assert!(without.is_empty(), "nobody may call {without:?}");
        assert!(rules.all().count() > 60);
    }

    #[test]
    fn every_row_has_an_rpc() {
        let pool = prost_reflect::DescriptorPool::decode(amadeus_proto::FILE_DESCRIPTOR_SET)
            .expect("the descriptors decode");
        for (service, rules) in ROWS.iter().filter(|(name, _)| name.starts_with("amadeus.")) {
            let service = pool.get_service_by_name(service).expect(service);
            for name in rules.iter().flat_map(|(_, names)| names.split_whitespace()) {
                assert!(service.methods().any(|m| m.name() == name), "{name}");
            }
        }
    }
}
