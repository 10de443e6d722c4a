//! Whatever comes as a page token: it is refused by the name of its field, or the page is a part of the list that it belongs
//! to. A token is checked against damage and not against forgery, so whoever reads our source can make one that says
//! anything: it may lead to another place of the same list, and nowhere else.

use crate::graph::small;
use amadeus::auth::Caller;
use amadeus::rpc::context::{
    BackupEntry, Compacted, Component, RestoreOrder, Restored, StoreError,
};
use amadeus::rpc::{Context, GraphRpc, LogTail, QueryRpc, Store};
use amadeus_proto::v1;
use futures::future::BoxFuture;
use kg_core::commit::{Graph, History, HistoryLimits, Options};
use kg_core::log::{ReadError, Record};
use prost::Message;
use std::sync::{Arc, LazyLock};
use tokio::runtime::Runtime;
use tonic::{Code, Request, Status};
use v1::graph_service_server::GraphService;
use v1::query_service_server::QueryService;
use xxhash_rust::xxh3::xxh3_64;

/// What a token holds.
#[derive(Clone, PartialEq, Message)]
struct Token {
    #[prost(fixed64, tag = "1")]
    question: u64,
    #[prost(fixed64, tag = "2")]
    store: u64,
    #[prost(uint64, tag = "3")]
    revision: u64,
    #[prost(string, repeated, tag = "4")]
    after: Vec<String>,
    #[prost(uint64, tag = "5")]
    offset: u64,
}

/// The first byte says of which list; the second what the others are: the text of a token, its content, or what to change
/// of the list's own.
///
/// # Panics
/// Where the law is broken.
pub fn check(bytes: &[u8]) {
    static LISTS: LazyLock<Lists> = LazyLock::new(Lists::new);
    let [list, form, rest @ ..] = bytes else {
        return;
    };
    let (whole, own) = &LISTS.answers[usize::from(*list) % LISTS.answers.len()];
    let token = match form % 3 {
        0 => String::from_utf8_lossy(rest).into_owned(),
        1 => sealed(rest),
        _ => {
            // Of two messages in a row the second says what holds, as far as it goes.
            let place = Token {
                after: Vec::new(),
                offset: 0,
                ..own.clone()
            };
            sealed(&[&place.encode_to_vec(), rest].concat())
        }
    };
    let asked = LISTS.ask(usize::from(*list), u32::from(form / 3), &token);
    match asked {
        Ok((entries, _)) => {
            let is_part = whole
                .windows(entries.len().max(1))
                .any(|part| part == entries);
            assert!(
                entries.is_empty() || is_part,
                "{} entries of another list",
                entries.len()
            );
        }
        Err(status) => {
            let codes = [Code::InvalidArgument, Code::OutOfRange];
            assert!(codes.contains(&status.code()), "{status:?}");
        }
    }
}

/// A token with a checksum that fits, as text.
fn sealed(body: &[u8]) -> String {
    let sum = xxh3_64(body).to_le_bytes();
    let bytes = [body, &sum].concat();
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Entries of a page, each as bytes, and the next token.
type Asked = Result<(Vec<Vec<u8>>, String), Status>;

/// Every paged list of the small graph.
struct Lists {
    runtime: Runtime,
    graph: GraphRpc,
    query: QueryRpc,
    /// Of each list all entries, and its own token.
    answers: Vec<(Vec<Vec<u8>>, Token)>,
}

macro_rules! page {
    ($service:expr, $method:ident, $entries:ident, $request:expr, $size:expr, $token:expr) => {{
        let mut request = $request;
        (request.page_size, request.page_token) = ($size, $token);
        let mut request = Request::new(request);
        request.extensions_mut().insert(Caller::trusted());
        let reply = $service.$method(request).await?.into_inner();
        let entries = reply.$entries.iter().map(Message::encode_to_vec);
        Ok((entries.collect(), reply.next_page_token))
    }};
}

impl Lists {
    const COUNT: usize = 9;

    fn new() -> Self {
        let ring = History::new(Arc::new(small().clone()), HistoryLimits::default());
        let graph = Arc::new(Graph::new(ring, &Options::default()));
        let (_, stopping) = tokio::sync::watch::channel(false);
        let context = Context::new(graph, Arc::new(Nothing), Arc::new(Nothing), || 0, stopping);
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build();
        let mut lists = Self {
            runtime: runtime.expect("a runtime"),
            graph: GraphRpc::new(context.clone()),
            query: QueryRpc::new(context),
            answers: Vec::new(),
        };
        for list in 0..Self::COUNT {
            let (whole, _) = lists.ask(list, 0, "").expect("a list");
            let (_, token) = lists.ask(list, 1, "").expect("its first page");
            let digit = |i| u8::from_str_radix(&token[i..i + 2], 16).expect("hexadecimal");
            let bytes: Vec<u8> = (0..token.len()).step_by(2).map(digit).collect();
            let (body, _) = bytes.split_last_chunk::<8>().expect("a checksum");
            lists
                .answers
                .push((whole, Token::decode(body).expect("a token")));
        }
        lists
    }

    fn ask(&self, list: usize, size: u32, token: &str) -> Asked {
        let (graph, query, token) = (&self.graph, &self.query, token.to_owned());
        let a = || v1::EntityRef {
            kind: "service".into(),
            name: "a".into(),
        };
        let (key, refs) = (Some(a()), vec![a()]);
        self.runtime.block_on(async move {
            match list % Self::COUNT {
                0 => page!(
                    graph,
                    list_entities,
                    entities,
                    v1::ListEntitiesRequest::default(),
                    size,
                    token
                ),
                1 => page!(
                    graph,
                    list_services,
                    services,
                    v1::ListServicesRequest {
                        include_placeholders: true,
                        ..Default::default()
                    },
                    size,
                    token
                ),
                2 => page!(
                    graph,
                    list_relations,
                    relations,
                    v1::ListRelationsRequest {
                        r#ref: key,
                        ..Default::default()
                    },
                    size,
                    token
                ),
                3 => page!(
                    graph,
                    validate,
                    findings,
                    v1::ValidateRequest::default(),
                    size,
                    token
                ),
                4 => page!(
                    query,
                    dependencies,
                    hits,
                    v1::DependenciesRequest {
                        refs,
                        ..Default::default()
                    },
                    size,
                    token
                ),
                5 => page!(
                    query,
                    impact,
                    hits,
                    v1::ImpactRequest {
                        refs: vec![v1::EntityRef {
                            name: "c".into(),
                            ..a()
                        }],
                        ..Default::default()
                    },
                    size,
                    token
                ),
                6 => page!(
                    query,
                    neighbors,
                    hits,
                    v1::NeighborsRequest {
                        r#ref: key,
                        ..Default::default()
                    },
                    size,
                    token
                ),
                7 => page!(
                    query,
                    find_by_capability,
                    services,
                    v1::FindByCapabilityRequest {
                        any_of: vec!["pay".into(), "cart".into()],
                        ..Default::default()
                    },
                    size,
                    token
                ),
                _ => page!(
                    query,
                    search,
                    entities,
                    v1::SearchRequest {
                        text: "a".into(),
                        ..Default::default()
                    },
                    size,
                    token
                ),
            }
        })
    }
}

/// Neither a log nor a store: pages need none.
struct Nothing;

impl LogTail for Nothing {
    fn read(&self, _: u64, _: usize) -> BoxFuture<'_, Result<Vec<Record>, ReadError>> {
        Box::pin(async { Ok(Vec::new()) })
    }

    fn last_revision(&self) -> BoxFuture<'_, Result<u64, ReadError>> {
        Box::pin(async { Ok(small().revision()) })
    }
}

/// What a store that is not there says to everything.
fn nothing<T: Send + 'static>() -> BoxFuture<'static, Result<T, StoreError>> {
    Box::pin(async { Err(StoreError::NotSupported("there is no store".into())) })
}

impl Store for Nothing {
    fn url(&self) -> String {
        "memory:".into()
    }

    fn checkpoint_revision(&self) -> u64 {
        0
    }

    fn components(&self) -> Vec<Component> {
        Vec::new()
    }

    fn backup(&self, _: String) -> BoxFuture<'_, Result<BackupEntry, StoreError>> {
        nothing()
    }

    fn backups(&self) -> BoxFuture<'_, Result<Vec<BackupEntry>, StoreError>> {
        nothing()
    }

    fn restore(&self, _: RestoreOrder) -> BoxFuture<'_, Result<Restored, StoreError>> {
        nothing()
    }

    fn compact(&self, _: u64) -> BoxFuture<'_, Result<Compacted, StoreError>> {
        nothing()
    }

    fn verify(&self) -> BoxFuture<'_, Result<Vec<String>, StoreError>> {
        nothing()
    }
}
