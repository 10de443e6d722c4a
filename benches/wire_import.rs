//! How many mutations does `Import` make durable in a second?
//!
//! A file of CSV, the relations of a graph of the shape and size of a distribution's packages, is sent to a server with an empty
//! store, as the command line sends it: 256 KiB a message. Each row is one mutation, most of the entities come to be with
//! it, and each chunk of 10,000 rows is one transaction. Timed is all from the first message to the reply that says that
//! everything is durable; making the file and starting the server are not. Server and client share the processor.
//!
//! ```text
//! cargo xtask bench wire_import
//! ```

mod scale;
mod wire;

use std::time::Instant;

use amadeus_proto::v1::graph_service_client::GraphServiceClient;
use amadeus_proto::v1::{ImportRequest, import_request::Part};
use benches::figure::{Better, Figure, Line};
use bytes::Bytes;
use futures::stream;
use kg_core::interchange::export_csv;
use kg_core::testing::generate::scale_free;
use tokio::runtime::Builder;
use tonic::transport::Endpoint;
use wire::rounds::Ask;
use wire::servers::Server;

const QUESTION: &str = "wire_import";

/// Bytes of a message, as `amadeus import` sends them.
const CHUNK_BYTES: usize = 256 * 1024;

/// Mutations in a second that are asked for.
const BOUND: f64 = 100_000.0;

fn main() {
    let ask = Ask::new(
        QUESTION,
        "How many mutations does Import make durable in a second?",
    );
    let (entities, relations) = ask
        .mode
        .size((scale::ENTITIES, scale::RELATIONS), (100, 300));
    let mut csv = Vec::new();
    export_csv(&scale_free(1, entities, relations), &mut csv).expect("a vector grows");
    let csv = Bytes::from(csv);
    for _ in 0..ask.mode.rounds() {
        let case = "Import of CSV into an empty graph, all of it durable";
        let Some(server) = ask.started(case, "", Server::amadeus()) else {
            return;
        };
        Line::Figure(Figure {
            question: QUESTION.into(),
            case: case.into(),
            unit: "mutations/s".into(),
            better: Better::Higher,
            ours_name: "Amadeus".into(),
            ours: imported(&server, &csv),
            rival: String::new(),
            rival_value: None,
            bound: Some(BOUND),
        })
        .print();
    }
}

/// Mutations in a second.
fn imported(server: &Server, csv: &Bytes) -> f64 {
    let runtime = Builder::new_current_thread().enable_all().build();
    runtime.expect("a runtime can be had").block_on(async {
        let endpoint = Endpoint::from_shared(format!("http://{}", server.at));
        let endpoint = endpoint.expect("it is an address");
        let channel = endpoint.connect().await.expect("the server listens");
        let chunks = (0..csv.len()).step_by(CHUNK_BYTES).map(|from| {
            let until = csv.len().min(from + CHUNK_BYTES);
            ImportRequest {
                part: Some(Part::Chunk(csv.slice(from..until))),
            }
        });
        let messages = stream::iter(chunks.collect::<Vec<_>>());
        let began = Instant::now();
        let reply = GraphServiceClient::new(channel).import(messages).await;
        let took = began.elapsed().as_secs_f64();
        let reply = reply.expect("the file is valid").into_inner();
        let rows = csv.iter().filter(|byte| **byte == b'\n').count() - 1;
        assert!(reply.done && reply.mutations as usize == rows, "{reply:?}");
        f64::from(reply.mutations) / took
    })
}
