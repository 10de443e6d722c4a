//! One connection to a server, and how calls over it are made: with a deadline, again when the server was not available,
//! page after page, by a token that is replaced when it has expired. Replies are shown in the form that was asked for.

use std::time::Duration;

use amadeus_proto::v1::{
    admin_service_client::AdminServiceClient, auth_service_client::AuthServiceClient,
    graph_service_client::GraphServiceClient, liveness_service_client::LivenessServiceClient,
    nexus_service_client::NexusServiceClient, query_service_client::QueryServiceClient,
    user_service_client::UserServiceClient,
};
use prost::{Message, Name};
use tonic::{
    Code, Request, Response, Status, service::interceptor::InterceptedService, transport::Channel,
};

use super::{
    args::{ClientArgs, ListArgs, Output, Token},
    credentials::Credentials,
    failure::{CliError, was_lost},
    out::Out,
    page::{Page, PageRequest},
    render,
    signing::{Bearer, Signing},
    way::Way,
};

/// Replies stay below 4 MiB; the rest is room for servers that are told otherwise.
const MAX_REPLY_BYTES: usize = 64 << 20;
/// How often an unavailable server is asked again, the pause doubling each time: 1.5 s in all, enough for a restart that
/// finds its store warm.
const RETRY_PAUSES_MS: [u64; 4] = [100, 200, 400, 800];

/// A connection whose calls carry the token of whoever makes them.
pub type Calls = InterceptedService<Channel, Bearer>;

/// A connection and a way to show what comes over it.
pub struct Session {
    way: Way,
    channel: Channel,
    bearer: Bearer,
    signing: Signing,
    timeout: Duration,
    /// The form in which replies are shown.
    pub output: Output,
    /// Where they are shown.
    pub out: Out,
}

impl Session {
    /// Connects, or says that nobody answers. Calls are those of the token that was given, else of the certificate, else of
    /// who has signed in at this server.
    pub async fn connect(args: &ClientArgs) -> Result<Self, CliError> {
        let mut session = Self::connect_as_nobody(args).await?;
        session.signing = match &args.token {
            Some(token) => Signing::given(&token.0, &session.bearer)?,
            None if args.way.client_cert.is_some() => Signing::Nobody,
            None => match Credentials::of_this_user() {
                Ok(credentials) => {
                    let (server, channel) = (session.way.url(), &session.channel);
                    Signing::saved(credentials, server, channel, &session.bearer).await?
                }
                // Without a folder to keep any there are none.
                Err(_) => Signing::Nobody,
            },
        };
        Ok(session)
    }

    /// Connects without a token: to sign in, and to sign out with one that may have ended.
    pub async fn connect_as_nobody(args: &ClientArgs) -> Result<Self, CliError> {
        let way = Way::of(&args.way)?;
        Ok(Self {
            channel: way.dial().await?,
            way,
            bearer: Bearer::default(),
            signing: Signing::Nobody,
            timeout: Duration::from_secs(args.timeout),
            output: args.output,
            out: Out::new(),
        })
    }

    /// The way to the server.
    pub fn way(&self) -> &Way {
        &self.way
    }

    /// Calls by this token from now on.
    pub fn sign(&mut self, token: &Token) -> Result<(), CliError> {
        self.signing = Signing::given(&token.0, &self.bearer)?;
        Ok(())
    }

    /// Another connection, by the same token.
    pub async fn dial(&self) -> Result<Calls, CliError> {
        let channel = self.way.dial().await?;
        Ok(InterceptedService::new(channel, self.bearer.clone()))
    }

    /// After a call was refused as nobody's: whether it is worth making again.
    pub async fn renew(&self) -> Result<bool, CliError> {
        self.signing.renew(&self.channel, &self.bearer).await
    }

    fn calls(&self) -> Calls {
        InterceptedService::new(self.channel.clone(), self.bearer.clone())
    }

    /// The graph.
    pub fn graph(&self) -> GraphServiceClient<Calls> {
        GraphServiceClient::new(self.calls()).max_decoding_message_size(MAX_REPLY_BYTES)
    }

    /// Questions about it.
    pub fn query(&self) -> QueryServiceClient<Calls> {
        QueryServiceClient::new(self.calls()).max_decoding_message_size(MAX_REPLY_BYTES)
    }

    /// The server.
    pub fn admin(&self) -> AdminServiceClient<Calls> {
        AdminServiceClient::new(self.calls()).max_decoding_message_size(MAX_REPLY_BYTES)
    }

    /// The leases.
    pub fn liveness(&self) -> LivenessServiceClient<Calls> {
        LivenessServiceClient::new(self.calls()).max_decoding_message_size(MAX_REPLY_BYTES)
    }

    /// Patterns, runs and events.
    pub fn nexus(&self) -> NexusServiceClient<Calls> {
        NexusServiceClient::new(self.calls()).max_decoding_message_size(MAX_REPLY_BYTES)
    }

    /// The users.
    pub fn users(&self) -> UserServiceClient<Calls> {
        UserServiceClient::new(self.calls()).max_decoding_message_size(MAX_REPLY_BYTES)
    }

    /// Who is calling.
    pub fn auth(&self) -> AuthServiceClient<Calls> {
        AuthServiceClient::new(self.calls()).max_decoding_message_size(MAX_REPLY_BYTES)
    }

    /// Makes a call that may be made again: a read, or a write with a request id.
    pub async fn call<Q: Clone, R>(
        &self,
        request: Q,
        send: impl AsyncFn(Request<Q>) -> Result<Response<R>, Status>,
    ) -> Result<R, CliError> {
        self.attempt(request, send, CliError::call).await
    }

    /// Makes a write; if it is lost, the error names the id to repeat it with.
    pub async fn write<Q: Clone, R>(
        &self,
        request_id: &str,
        request: Q,
        send: impl AsyncFn(Request<Q>) -> Result<Response<R>, Status>,
    ) -> Result<R, CliError> {
        let refused = |status| CliError::write(status, request_id);
        self.attempt(request, send, refused).await
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

    /// Opens a stream, which takes as long as it needs.
    pub async fn open<Q: Clone, R>(
        &self,
        request: Q,
        send: impl AsyncFn(Request<Q>) -> Result<Response<R>, Status>,
    ) -> Result<R, CliError> {
        let opened = match send(Request::new(request.clone())).await {
            Err(status) if status.code() == Code::Unauthenticated && self.renew().await? => {
                send(Request::new(request)).await
            }
            opened => opened,
        };
        Ok(opened.map_err(CliError::call)?.into_inner())
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
        refused: impl Fn(Status) -> CliError,
    ) -> Result<R, CliError> {
        let mut pauses = RETRY_PAUSES_MS.into_iter();
        let mut may_renew = true;
        loop {
            let status = match send(self.timed(request.clone())).await {
                Ok(reply) => return Ok(reply.into_inner()),
                Err(status) => status,
            };
            if status.code() == Code::Unauthenticated && std::mem::replace(&mut may_renew, false) {
                if self.renew().await? {
                    continue;
                }
                return Err(refused(status));
            }
            match pauses.next() {
                Some(pause_ms) if may_pass(&status) => {
                    tokio::time::sleep(Duration::from_millis(pause_ms)).await;
                }
                Some(_) | None => return Err(refused(status)),
            }
        }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::way::WayArgs;
    use amadeus_proto::v1::{ListServicesRequest, ListServicesResponse, Service};
    use tonic::transport::Endpoint;

    async fn session() -> Session {
        let way = WayArgs {
            addr: "http://127.0.0.1:1".into(),
            ca: None,
            client_cert: None,
            client_key: None,
        };
        Session {
            way: Way::of(&way).expect("an address"),
            channel: Endpoint::from_static("http://127.0.0.1:1").connect_lazy(),
            bearer: Bearer::default(),
            signing: Signing::Nobody,
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
}
