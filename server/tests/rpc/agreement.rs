//! All RPCs agree with each other: on each of the small graphs in `server/tests/graphs`, whatever one of them says is what
//! the others say, and what a naive search over the lists finds.
//!
//! A graph is a file in a form that is imported. To try another, put it there.

mod entities;
mod files;
mod reach;
mod said;
mod services;

use std::fmt::Debug;
use std::fs;
use std::path::{Path, PathBuf};

use amadeus_proto::v1;
use futures::StreamExt;
use v1::import_request::Part;

use crate::harness::Server;
use said::Said;

/// So many graphs there are at least, so that none is lost in silence.
const GRAPHS: usize = 50;

/// Graphs that are asked about at the same time.
const AT_ONCE: usize = 4;

/// Calls an RPC that must answer.
macro_rules! ask {
    ($server:expr, $service:ident.$method:ident, $request:expr) => {{
        let request = $request;
        match $server.$service.clone().$method(request.clone()).await {
            Ok(reply) => reply.into_inner(),
            Err(status) => panic!("{}{request:?}: {status}", stringify!($method)),
        }
    }};
}

/// All entries of a list, read in pages of a size; 0 for one page as large as the server's own.
macro_rules! pages {
    ($server:expr, $service:ident.$method:ident, $entries:ident, $request:expr, $size:expr) => {{
        let (mut all, mut request) = (Vec::new(), $request);
        request.page_size = $size;
        loop {
            let reply = $crate::agreement::ask!($server, $service.$method, request.clone());
            all.extend(reply.$entries);
            if reply.next_page_token.is_empty() {
                break all;
            }
            request.page_token = reply.next_page_token;
        }
    }};
}

use {ask, pages};

/// Where two answers differ.
#[derive(Default)]
pub struct Differences(Vec<String>);

impl Differences {
    /// Two answers to one question about `of`, by the RPCs that `pair` names.
    pub fn compare<T: PartialEq + Debug>(&mut self, pair: &str, of: &str, one: T, other: T) {
        if one != other {
            self.0
                .push(format!("{pair}, about {of}:\n  {one:?}\n  {other:?}"));
        }
    }
}

fn graphs() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/graphs");
    let files = fs::read_dir(folder).expect("the folder of graphs");
    let mut files: Vec<PathBuf> = files.flatten().map(|file| file.path()).collect();
    files.sort();
    files
}

/// A server with nothing but the content of a file.
pub async fn serve(content: &[u8]) -> Server {
    let server = Server::start().await;
    let chunk = Part::Chunk(content.to_vec().into());
    let sent = [v1::ImportRequest { part: Some(chunk) }];
    let imported = server
        .graph
        .clone()
        .import(futures::stream::iter(sent))
        .await;
    imported.unwrap_or_else(|status| panic!("{status}"));
    server
}

/// Everything that is asked about one graph.
async fn differences(content: &[u8]) -> Differences {
    let mut found = Differences::default();
    let server = serve(content).await;
    let said = Said::by(&server).await;
    entities::agree(&server, &said, &mut found).await;
    services::agree(&server, &said, &mut found).await;
    reach::agree(&server, &said, &mut found).await;
    files::agree(&server, &said, &mut found).await;
    found
}

#[tokio::test(flavor = "multi_thread")]
async fn all_rpcs_agree_on_every_small_graph() {
    let files = graphs();
    assert!(files.len() >= GRAPHS, "{} graphs", files.len());
    let one = |file: PathBuf| async move {
        let content = fs::read(&file).expect("a readable graph");
        let found = tokio::spawn(async move { differences(&content).await }).await;
        let name = file
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        // Whatever panicked has said where; here is with which file.
        let Differences(found) = found.unwrap_or_else(|error| panic!("{name}: {error}"));
        found
            .into_iter()
            .map(|one| format!("{name}: {one}"))
            .collect::<Vec<String>>()
    };
    let wrong: Vec<String> = futures::stream::iter(files.into_iter().map(one))
        .buffered(AT_ONCE)
        .concat()
        .await;
    assert!(
        wrong.is_empty(),
        "{} differences\n{}",
        wrong.len(),
        wrong.join("\n")
    );
}
