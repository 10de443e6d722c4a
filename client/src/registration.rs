//! A registration that is kept.

use crate::pause::Pause;
use crate::server::{AddressError, Bearer, Server};
use amadeus_proto::v1;
use std::hash::{BuildHasher as _, RandomState};
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::{MissedTickBehavior, interval, sleep, timeout};
use tokio_stream::wrappers::ReceiverStream;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::Channel;
use tonic::{Code, Status};
use v1::graph_service_client::GraphServiceClient;
use v1::liveness_service_client::LivenessServiceClient;

/// How many times a lease is called for within its time to live: two calls may be lost.
const CALLS: u32 = 3;

/// How long a server may take to let a client connect, and to answer a registration.
const PATIENCE: Duration = Duration::from_secs(5);

/// A connection whose calls carry the token.
type Calls = InterceptedService<Channel, Bearer>;

/// How a registration stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// It has not succeeded yet, or not again: what went wrong last, if anything did.
    Away(Option<String>),
    /// It stands, under this lease.
    Kept(String),
}

/// A service that is registered and whose lease is kept alive, by a task of its own. Dropped, it ends in the background.
#[derive(Debug)]
pub struct Registration {
    said: watch::Sender<v1::Health>,
    ending: watch::Sender<bool>,
    state: watch::Receiver<State>,
    task: JoinHandle<()>,
}

impl Registration {
    /// Begins to register `service` with the first of these servers that answers, with a lease of this time to live (200 ms
    /// to 24 hours; a server refuses any other). Needs a tokio runtime. [`Registration::state`] tells when it stands.
    ///
    /// # Errors
    /// [`AddressError`]. That no server can be reached is none.
    pub fn keep(
        servers: impl IntoIterator<Item = impl AsRef<str>>,
        service: v1::Service,
        ttl: Duration,
    ) -> Result<Self, AddressError> {
        let servers = servers.into_iter();
        let servers = servers.map(|address| Server::at(address.as_ref()));
        Self::keep_at(servers.collect::<Result<_, _>>()?, service, ttl)
    }

    /// The same, with servers that are called with a token, or trusted by other authorities than those of this machine.
    ///
    /// # Errors
    /// [`AddressError::None`].
    pub fn keep_at(
        mut servers: Vec<Server>,
        service: v1::Service,
        ttl: Duration,
    ) -> Result<Self, AddressError> {
        if servers.is_empty() {
            return Err(AddressError::None);
        }
        // The next is the last.
        servers.reverse();
        let (said, heard) = watch::channel(v1::Health::Up);
        let (ending, ended) = watch::channel(false);
        let (told, state) = watch::channel(State::Away(None));
        let keeper = Keeper {
            servers,
            service,
            ttl,
            lease: None,
            request_id: new_request_id(),
            heard,
            ended,
            told,
        };
        Ok(Self {
            said,
            ending,
            state,
            task: tokio::spawn(keeper.run()),
        })
    }

    /// Says how the service is from now on; with the next call, which goes out at once. `Unknown` is nothing that one can say of
    /// oneself, and changes nothing.
    pub fn say(&self, health: v1::Health) {
        if health != v1::Health::Unknown {
            self.said.send_replace(health);
        }
    }

    /// How it stands, now and as it changes.
    #[must_use]
    pub fn state(&self) -> watch::Receiver<State> {
        self.state.clone()
    }

    /// Gives the lease back, so that the service is DOWN at once and not when it has lapsed. Waits for a few seconds at most.
    pub async fn end(self) {
        self.ending.send_replace(true);
        // It ended, or was a bug's; nothing is left to do either way.
        let _ = self.task.await;
    }
}

/// The task behind a registration.
struct Keeper {
    /// The last is the next to be tried.
    servers: Vec<Server>,
    service: v1::Service,
    ttl: Duration,
    lease: Option<String>,
    /// Names the registration that is being tried, so that one whose answer was lost is not made twice.
    request_id: String,
    heard: watch::Receiver<v1::Health>,
    ended: watch::Receiver<bool>,
    told: watch::Sender<State>,
}

/// Why a connection is no longer of use.
enum Over {
    /// The registration is to end.
    Ending,
    /// Register again, here.
    Gone,
    /// Try the next server.
    Failed(String),
}

impl Keeper {
    async fn run(mut self) {
        let mut pause = Pause::default();
        let ended = self.ended.clone();
        loop {
            let over = tokio::select! {
                over = self.serve(&mut pause) => over,
                () = begun(ended.clone()) => Over::Ending,
            };
            match over {
                Over::Ending => return self.revoke().await,
                Over::Gone => {
                    tracing::info!(
                        service = self.service.name,
                        "the lease is gone: registering again"
                    );
                    self.lease = None;
                    self.told
                        .send_replace(State::Away(Some("the lease was gone".into())));
                }
                Over::Failed(why) => {
                    tracing::warn!(
                        service = self.service.name,
                        why,
                        "the registration is not kept; trying the next server"
                    );
                    self.told.send_replace(State::Away(Some(why)));
                    self.servers.rotate_right(1);
                }
            }
            tokio::select! {
                () = sleep(pause.next()) => {}
                () = begun(ended.clone()) => {}
            }
        }
    }

    /// Connects, registers if there is no lease, and keeps it alive until that fails.
    async fn serve(&mut self, pause: &mut Pause) -> Over {
        let Some(server) = self.servers.last() else {
            return Over::Ending;
        };
        let channel = match connect(server).await {
            Ok(channel) => channel,
            Err(why) => return Over::Failed(why),
        };
        if self.lease.is_none() {
            match timeout(PATIENCE, self.register(channel.clone())).await {
                Ok(Ok(lease)) => {
                    self.lease = Some(lease);
                    self.request_id = new_request_id();
                }
                Ok(Err(status)) => {
                    // What was refused is tried again as something new.
                    if !may_have_been_done(&status) {
                        self.request_id = new_request_id();
                    }
                    return Over::Failed(said(&status));
                }
                Err(_) => return Over::Failed("the registration was not answered in time".into()),
            }
        }
        self.call(channel, pause).await
    }

    async fn register(&self, channel: Calls) -> Result<String, Status> {
        let mut service = self.service.clone();
        service.set_health(*self.heard.borrow());
        let request = v1::RegisterServiceRequest {
            service: Some(service),
            lease_ttl: prost_types::Duration::try_from(self.ttl).ok(),
            request_id: self.request_id.clone(),
            reason: "a service registers itself".into(),
            ..v1::RegisterServiceRequest::default()
        };
        let reply = GraphServiceClient::new(channel)
            .register_service(request)
            .await?;
        let lease = reply.into_inner().lease;
        lease
            .map(|lease| lease.id)
            .ok_or_else(|| Status::unimplemented("this server grants no leases"))
    }

    /// Calls three times within each time to live, and with each word of how the service is. A call that is not answered
    /// before the next one is due is the end of the connection: then there is time for another server.
    async fn call(&mut self, channel: Calls, pause: &mut Pause) -> Over {
        let Some(lease) = self.lease.clone() else {
            return Over::Gone;
        };
        let (calls, waiting) = mpsc::channel(1);
        let every = self.ttl / CALLS;
        let mut due = interval(every);
        due.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut client = LivenessServiceClient::new(channel);
        let opened = timeout(PATIENCE, client.keep_alive(ReceiverStream::new(waiting))).await;
        let mut answers = match opened {
            Ok(Ok(answers)) => answers.into_inner(),
            Ok(Err(status)) => return Over::Failed(said(&status)),
            Err(_) => return Over::Failed("the server did not take the call in time".into()),
        };
        loop {
            tokio::select! {
                _ = due.tick() => {}
                changed = self.heard.changed() => if changed.is_err() {
                    return Over::Ending;
                }
            }
            let health = *self.heard.borrow_and_update();
            let request = v1::KeepAliveRequest {
                lease_id: lease.clone(),
                health: Some(health.into()),
                ..v1::KeepAliveRequest::default()
            };
            if calls.send(request).await.is_err() {
                return Over::Failed("the stream ended".into());
            }
            let answer = match timeout(every.min(PATIENCE), answers.message()).await {
                Ok(Ok(Some(answer))) => answer,
                Ok(Ok(None)) => return Over::Failed("the server ended the stream".into()),
                Ok(Err(status)) => return Over::Failed(said(&status)),
                Err(_) => return Over::Failed("a call was not answered in time".into()),
            };
            match answer.lost.first() {
                None => {
                    pause.reset();
                    self.told.send_if_modified(|state| {
                        let kept = State::Kept(lease.clone());
                        let changes = *state != kept;
                        *state = kept;
                        changes
                    });
                }
                Some(lost) if lost.gone => return Over::Gone,
                Some(lost) => return Over::Failed(lost.message.clone()),
            }
        }
    }

    async fn revoke(&self) {
        let (Some(lease), Some(server)) = (&self.lease, self.servers.last()) else {
            return;
        };
        let revoking = async {
            let channel = connect(server).await?;
            let request = v1::RevokeLeaseRequest {
                lease_id: lease.clone(),
                reason: "the service ends".into(),
                ..v1::RevokeLeaseRequest::default()
            };
            let revoked = LivenessServiceClient::new(channel)
                .revoke_lease(request)
                .await;
            revoked.map_err(|status| said(&status))
        };
        match timeout(PATIENCE, revoking).await {
            Ok(Ok(_)) => {}
            Ok(Err(why)) => tracing::warn!(why, "the lease was not given back: it lapses"),
            Err(_) => tracing::warn!("the lease was not given back in time: it lapses"),
        }
    }
}

async fn connect(server: &Server) -> Result<Calls, String> {
    match timeout(PATIENCE, server.endpoint.connect()).await {
        Ok(Ok(channel)) => Ok(InterceptedService::new(channel, server.bearer.clone())),
        Ok(Err(error)) => Err(error.to_string()),
        Err(_) => Err("there was no connection in time".into()),
    }
}

/// Ends when the end has begun; also when whoever could begin it is gone.
async fn begun(mut ended: watch::Receiver<bool>) {
    let _ = ended.wait_for(|ended| *ended).await;
}

/// Whether a request may have been carried out although it failed.
fn may_have_been_done(status: &Status) -> bool {
    matches!(
        status.code(),
        Code::Unavailable | Code::DeadlineExceeded | Code::Cancelled | Code::Unknown
    )
}

fn new_request_id() -> String {
    format!("registration-{:016x}", RandomState::new().hash_one(()))
}

fn said(status: &Status) -> String {
    format!("{:?}: {}", status.code(), status.message())
}
