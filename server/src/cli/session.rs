//! One connection to a server, and how calls over it are made: with a deadline, again when the server was not available,
//! page after page. Replies are shown in the form that was asked for.

use std::time::Duration;

use amadeus_proto::v1::{
    admin_service_client::AdminServiceClient, graph_service_client::GraphServiceClient,
    liveness_service_client::LivenessServiceClient, query_service_client::QueryServiceClient,
};
use prost::{Message, Name};
use tonic::{
    Code, Request, Response, Status,
    transport::{Channel, Endpoint},
};

use super::{
    args::{ClientArgs, ListArgs, Output},
    failure::{CliError, was_lost},
    out::Out,
    page::{Page, PageRequest},
    render,
};

/// Replies stay below 4 MiB; the rest is room for servers that are told otherwise.
const MAX_REPLY_BYTES: usize = 64 << 20;
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// How often an unavailable server is asked again, the pause doubling each time: 1.5 s in all, enough for a restart that
/// finds its store warm.
const RETRY_PAUSES_MS: [u64; 4] = [100, 200, 400, 800];

/// A connection and a way to show what comes over it.
pub struct Session {
    channel: Channel,
    timeout: Duration,
    /// The form in which replies are shown.
    pub output: Output,
    /// Where they are shown.
    pub out: Out,
}

impl Session {
    /// Connects, or says that nobody answers.
    pub async fn connect(args: &ClientArgs) -> Result<Self, CliError> {
        Ok(Self {
            channel: dial(&args.addr).await?,
            timeout: Duration::from_secs(args.timeout),
            output: args.output,
            out: Out::new(),
        })
    }

    /// The graph.
    pub fn graph(&self) -> GraphServiceClient<Channel> {
        GraphServiceClient::new(self.channel.clone()).max_decoding_message_size(MAX_REPLY_BYTES)
    }

    /// Questions about it.
    pub fn query(&self) -> QueryServiceClient<Channel> {
        QueryServiceClient::new(self.channel.clone()).max_decoding_message_size(MAX_REPLY_BYTES)
    }

    /// The server.
    pub fn admin(&self) -> AdminServiceClient<Channel> {
        AdminServiceClient::new(self.channel.clone()).max_decoding_message_size(MAX_REPLY_BYTES)
    }

    /// The leases.
    pub fn liveness(&self) -> LivenessServiceClient<Channel> {
        LivenessServiceClient::new(self.channel.clone()).max_decoding_message_size(MAX_REPLY_BYTES)
    }

    /// Makes a call that may be made again: a read, or a write with a request id.
    pub async fn call<Q: Clone, R>(
        &self,
        request: Q,
        send: impl AsyncFn(Request<Q>) -> Result<Response<R>, Status>,
    ) -> Result<R, CliError> {
        self.attempt(request, send).await.map_err(CliError::call)
    }

    /// Makes a write; if it is lost, the error names the id to repeat it with.
    pub async fn write<Q: Clone, R>(
        &self,
        request_id: &str,
        request: Q,
        send: impl AsyncFn(Request<Q>) -> Result<Response<R>, Status>,
    ) -> Result<R, CliError> {
        self.attempt(request, send)
            .await
            .map_err(|status| CliError::write(status, request_id))
    }

    /// Makes a call that must not be made twice.
    pub async fn call_once<Q, R>(
        &self,
        request: Q,
        send: impl AsyncFn(Request<Q>) -> Result<Response<R>, Status>,
    ) -> Result<R, CliError> {
        let reply = send(self.timed(request)).await.map_err(CliError::call)?;
        Ok(reply.into_inner())
    }

    /// Reads all pages, or as many as hold what was asked for, as one reply.
    pub async fn list<Q: PageRequest, R: Page>(
        &self,
        mut request: Q,
        list: &ListArgs,
        send: impl AsyncFn(Request<Q>) -> Result<Response<R>, Status>,
    ) -> Result<R, CliError> {
        let limit = list.limit.map_or(usize::MAX, |n| n as usize);
        request.turn_to(String::new(), list.limit.unwrap_or(0));
        let mut whole = self.call(request.clone(), &send).await?;
        while !whole.next_token().is_empty() && whole.len() < limit {
            request.turn_to(whole.next_token().to_owned(), list.limit.unwrap_or(0));
            whole.append(self.call(request.clone(), &send).await?);
        }
        whole.truncate(limit);
        Ok(whole)
    }

    /// Shows a reply: itself to programs, a table to people.
    pub fn show<M: Message + Name>(
        &mut self,
        reply: &M,
        table: impl FnOnce(&M) -> String,
    ) -> Result<(), CliError> {
        let text = match self.output {
            Output::Table => table(reply),
            Output::Json => render::json(&render::tree(reply)?)?,
            Output::Yaml => render::yaml(&render::tree(reply)?)?,
        };
        self.out.text(&text)
    }

    async fn attempt<Q: Clone, R>(
        &self,
        request: Q,
        send: impl AsyncFn(Request<Q>) -> Result<Response<R>, Status>,
    ) -> Result<R, Status> {
        for pause_ms in RETRY_PAUSES_MS {
            match send(self.timed(request.clone())).await {
                Ok(reply) => return Ok(reply.into_inner()),
                Err(status) if may_pass(&status) => {
                    tokio::time::sleep(Duration::from_millis(pause_ms)).await
                }
                Err(status) => return Err(status),
            }
        }
        Ok(send(self.timed(request)).await?.into_inner())
    }

    fn timed<Q>(&self, message: Q) -> Request<Q> {
        let mut request = Request::new(message);
        request.set_timeout(self.timeout);
        request
    }
}

/// Whether the same call may find the server well a moment later.
pub fn may_pass(status: &Status) -> bool {
    status.code() == Code::Unavailable || (status.code() == Code::Unknown && was_lost(status))
}

/// Opens a connection; `host:port` alone is enough of an address.
pub async fn dial(addr: &str) -> Result<Channel, CliError> {
    let url = url(addr)?;
    let endpoint = Endpoint::from_shared(url.clone())
        .map_err(|e| CliError::Usage(format!("{addr:?} is not an address: {e}")))?
        .connect_timeout(CONNECT_TIMEOUT)
        .tcp_nodelay(true)
        .http2_adaptive_window(true);
    endpoint
        .connect()
        .await
        .map_err(|cause| CliError::Connect { addr: url, cause })
}

fn url(addr: &str) -> Result<String, CliError> {
    match addr.split_once("://") {
        None => Ok(format!("http://{addr}")),
        Some(("http", _)) => Ok(addr.to_owned()),
        Some((scheme, _)) => Err(CliError::Usage(format!(
            "{scheme}:// is not spoken by this client; an address is http://host:port"
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use amadeus_proto::v1::{ListServicesRequest, ListServicesResponse, Service};

    async fn session() -> Session {
        Session {
            channel: Endpoint::from_static("http://127.0.0.1:1").connect_lazy(),
            timeout: Duration::from_secs(1),
            output: Output::Table,
            out: Out::new(),
        }
    }

    /// A server of 7 services that gives out pages of 3, or fewer if asked.
    async fn page(
        request: Request<ListServicesRequest>,
    ) -> Result<Response<ListServicesResponse>, Status> {
        let request = request.into_inner();
        let from: u32 = request.page_token.parse().unwrap_or(0);
        let size = match request.page_size {
            0 => 3,
            n => n.min(3),
        };
        let to = (from + size).min(7);
        let named = |n: u32| Service {
            name: n.to_string(),
            ..Service::default()
        };
        Ok(Response::new(ListServicesResponse {
            services: (from..to).map(named).collect(),
            next_page_token: if to < 7 {
                to.to_string()
            } else {
                String::new()
            },
            ..ListServicesResponse::default()
        }))
    }

    #[tokio::test]
    async fn all_pages_are_read_as_one() {
        let session = session().await;
        for (limit, expected) in [
            (None, 7),
            (Some(1), 1),
            (Some(5), 5),
            (Some(7), 7),
            (Some(100), 7),
        ] {
            let list = ListArgs { limit };
            let reply = session
                .list(ListServicesRequest::default(), &list, page)
                .await
                .expect("it answers");
            let names: Vec<_> = reply.services.iter().map(|s| s.name.clone()).collect();
            let all: Vec<_> = (0..expected).map(|n: u32| n.to_string()).collect();
            assert_eq!(names, all, "{limit:?}");
        }
    }

    #[tokio::test]
    async fn an_unavailable_server_is_asked_again_and_a_refusal_is_not() {
        let session = session().await;
        for (code, expected) in [
            (Code::Unavailable, 5),
            (Code::Aborted, 1),
            (Code::Unknown, 1),
        ] {
            let calls = std::cell::Cell::new(0);
            let result: Result<(), _> = session
                .call((), async |_| {
                    calls.set(calls.get() + 1);
                    Err(Status::new(code, "no"))
                })
                .await;
            assert!(result.is_err());
            assert_eq!(calls.get(), expected, "{code:?}");
        }
    }

    #[test]
    fn an_address_needs_no_scheme_and_takes_no_other() {
        assert_eq!(
            url("localhost:50051").expect("it is one"),
            "http://localhost:50051"
        );
        assert_eq!(url("http://h:1").expect("it is one"), "http://h:1");
        assert!(url("https://h:1").is_err());
    }
}
