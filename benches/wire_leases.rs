//! What do 10,000 leases cost that are called for once a second?
//!
//! 10,000 services are registered with a lease each, over 100 streams. Then every stream calls once a second for its 100
//! leases: in one message that names all of them, as a holder of many does, and in a message for each, as a proxy does that
//! hands on what others send. Told is the processor time that the server uses in a second, all that it does otherwise
//! included, and how many revisions were made meanwhile: none, or the run fails. The client shares the processor and is not
//! counted.
//!
//! ```text
//! cargo xtask bench wire_leases
//! ```

mod wire;

use std::time::Duration;

use amadeus_proto::v1;
use benches::figure::{Better, Figure, Line};
use futures::future::{join_all, try_join_all};
use tokio::runtime::Builder;
use tokio::sync::mpsc;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until};
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::{Channel, Endpoint};
use tonic::{Status, Streaming};
use v1::graph_service_client::GraphServiceClient;
use v1::liveness_service_client::LivenessServiceClient;
use wire::rounds::Ask;
use wire::servers::Server;

const QUESTION: &str = "wire_leases";

/// Streams share a few connections, as those of a proxy would.
const CONNECTIONS: usize = 10;

/// Part of one processor that is asked for at most.
const BOUND: f64 = 0.1;

fn main() {
    let ask = Ask::new(
        QUESTION,
        "What do 10,000 leases cost that are called for once a second?",
    );
    let (streams, each, seconds) = ask.mode.size((100, 100, 5), (4, 5, 1));
    let case = |how: &str| format!("{} leases over {streams} streams, {how}", streams * each);
    let together = case("a message a stream and second");
    let apart = case("a message a lease and second");
    let Some(server) = ask.started(&together, "", Server::amadeus()) else {
        return;
    };
    let runtime = Builder::new_current_thread().enable_all().build();
    let runtime = runtime.expect("a runtime can be had");
    let held = runtime
        .block_on(Held::new(&server, streams, each))
        .expect("they are granted");
    for _ in 0..ask.mode.rounds() {
        for (case, at_once) in [(&together, each), (&apart, 1)] {
            let used = runtime.block_on(held.call(&server, at_once, seconds));
            Line::Figure(Figure {
                question: QUESTION.into(),
                case: case.clone(),
                unit: "processors".into(),
                better: Better::Lower,
                ours_name: "the server".into(),
                ours: used.expect("they are kept alive"),
                rival: String::new(),
                rival_value: None,
                bound: Some(BOUND),
            })
            .print();
        }
    }
}

/// Leases, by the stream that calls for them.
struct Held {
    channels: Vec<Channel>,
    streams: Vec<Vec<String>>,
}

impl Held {
    async fn new(server: &Server, streams: usize, each: usize) -> Result<Self, Status> {
        let mut channels = Vec::new();
        for _ in 0..CONNECTIONS {
            let endpoint = Endpoint::from_shared(format!("http://{}", server.at));
            let endpoint = endpoint.expect("it is an address");
            channels.push(endpoint.connect().await.expect("the server listens"));
        }
        let mut held = Vec::new();
        for stream in 0..streams {
            let grants = (0..each).map(|number| {
                let mut graph = GraphServiceClient::new(channels[stream % CONNECTIONS].clone());
                let request = v1::RegisterServiceRequest {
                    service: Some(v1::Service {
                        name: format!("service-{stream}-{number}"),
                        ..v1::Service::default()
                    }),
                    lease_ttl: Some(prost_types::Duration {
                        seconds: 30,
                        nanos: 0,
                    }),
                    ..v1::RegisterServiceRequest::default()
                };
                async move { graph.register_service(request).await }
            });
            let granted = try_join_all(grants).await?.into_iter();
            held.push(
                granted
                    .map(|reply| reply.into_inner().lease.expect("a lease").id)
                    .collect(),
            );
        }
        Ok(Self {
            channels,
            streams: held,
        })
    }

    /// Calls once a second for so many seconds; how many processors the server used.
    async fn call(&self, server: &Server, at_once: usize, seconds: u32) -> Result<f64, Status> {
        let cpu = || server.cpu().expect("Linux tells what a process used");
        let mut callers = Vec::new();
        for (number, leases) in self.streams.iter().enumerate() {
            let (calls, waiting) = mpsc::channel(leases.len());
            let mut client =
                LivenessServiceClient::new(self.channels[number % CONNECTIONS].clone());
            let answers = client
                .keep_alive(ReceiverStream::new(waiting))
                .await?
                .into_inner();
            callers.push((leases, calls, answers));
        }
        let revision =
            |answers: &v1::KeepAliveResponse| answers.header.as_ref().map_or(0, |h| h.revision);
        let (began, before) = (Instant::now(), cpu());
        let count = callers.len() as u32;
        let all =
            callers
                .into_iter()
                .zip(0_u32..)
                .map(|((leases, calls, answers), number)| async move {
                    // Each stream at its own moment of the second.
                    sleep_until(began + Duration::from_secs(1) * number / count).await;
                    called(leases, &calls, answers, at_once, seconds).await
                });
        let mut revisions = Vec::new();
        for answers in join_all(all).await {
            revisions.extend(answers?.iter().map(revision));
        }
        let took = began.elapsed();
        assert!(
            revisions.windows(2).all(|two| two[0] == two[1]),
            "calls made revisions"
        );
        Ok((cpu() - before).as_secs_f64() / took.as_secs_f64())
    }
}

/// The calls of one stream; the last answer of each second.
async fn called(
    leases: &[String],
    calls: &mpsc::Sender<v1::KeepAliveRequest>,
    mut answers: Streaming<v1::KeepAliveResponse>,
    at_once: usize,
    seconds: u32,
) -> Result<Vec<v1::KeepAliveResponse>, Status> {
    let mut due = interval(Duration::from_secs(1));
    due.set_missed_tick_behavior(MissedTickBehavior::Skip);
    let mut last = Vec::new();
    for _ in 0..seconds {
        due.tick().await;
        for some in leases.chunks(at_once) {
            let call = v1::KeepAliveRequest {
                lease_ids: some.to_vec(),
                ..v1::KeepAliveRequest::default()
            };
            let sent = calls.send(call).await;
            sent.map_err(|_| Status::cancelled("the stream ended"))?;
        }
        for some in leases.chunks(at_once) {
            let answer = answers.message().await?;
            let answer = answer.ok_or_else(|| Status::cancelled("the stream ended"))?;
            assert_eq!(answer.kept as usize, some.len(), "{:?}", answer.lost);
            last.truncate(1);
            last.push(answer);
        }
    }
    Ok(last)
}
