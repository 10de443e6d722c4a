//! A server without a network: the service that signs in, and the authenticator that a gate would ask.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use amadeus::auth::attempts::{Attempts, Policy};
use amadeus::auth::keyring::{KeyRing, Source};
use amadeus::auth::password::Cost;
use amadeus::auth::sessions::Sessions;
use amadeus::auth::{
    Authenticated, Authenticator as _, Caller, Credentials, Event, NotSignedIn, Passwords, Session,
    Standing, Trail,
};
use amadeus::hints::Hints;
use amadeus::metrics::Metrics;
use amadeus::rpc::{AuthParts, AuthRpc, Context};
use amadeus::standing::Standing as StoreStanding;
use amadeus::storage::{OpenOptions, StoreUrl, open};
use amadeus::store::ServerStore;
use amadeus::users::UserStore;
use amadeus_proto::v1;
use kg_core::commit::{Graph, Options};
use tokio::sync::{mpsc, watch};
use tonic::{Code, Request, Status};
use v1::auth_service_server::AuthService as _;

pub const PASSWORD: &str = "correct horse battery";

/// Cheap enough for a test of thousands.
pub const CHEAP: Cost = Cost {
    memory_kib: 32,
    passes: 1,
};

pub struct Server {
    pub service: AuthRpc,
    pub users: UserStore,
    pub sessions: Sessions,
    pub attempts: Attempts,
    pub context: Arc<Context>,
    pub metrics: Arc<Metrics>,
    pub events: mpsc::Receiver<Event>,
    _stop: watch::Sender<bool>,
}

pub fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| since.as_millis() as u64)
}

impl Server {
    pub async fn in_memory() -> Self {
        Self::start("memory:", Policy::default(), CHEAP).await
    }

    pub async fn start(url: &str, policy: Policy, cost: Cost) -> Self {
        let opened = open(url, &OpenOptions::default()).await.expect("it opens");
        let users = UserStore::open(&opened).await.expect("it opens");
        let options = Options {
            store_id: opened.store_id.clone(),
            ..Options::default()
        };
        let graph = Arc::new(Graph::new(opened.history.clone(), &options));
        let store = Arc::new(ServerStore::new(
            url.into(),
            opened.backend.clone(),
            opened.files.clone(),
            None,
            graph.clone(),
            Arc::new(StoreStanding::default()),
            Hints::default(),
        ));
        let (stop, stopping) = watch::channel(false);
        let context = Context::new(graph, store.clone(), store, now_ms, stopping);
        let source = Source::of(None, &StoreUrl::parse(url).expect("a URL"), &users);
        let ring = KeyRing::open(source, now_ms).await.expect("keys");
        let sessions = Sessions::new(users.clone(), ring.clone(), opened.store_id.clone(), now_ms);
        tokio::spawn(sessions.clone().run());
        let attempts = Attempts::new(policy);
        let metrics = Arc::new(Metrics::new().expect("metrics"));
        let (trail, events) = Trail::new();
        let service = AuthRpc::new(AuthParts {
            context: context.clone(),
            users: users.clone(),
            passwords: Passwords::new(cost),
            attempts: attempts.clone(),
            ring,
            sessions: sessions.clone(),
            trail,
            metrics: metrics.clone(),
        });
        Self {
            service,
            users,
            sessions,
            attempts,
            context,
            metrics,
            events,
            _stop: stop,
        }
    }

    pub async fn register(&self, name: &str) -> v1::User {
        let asked = v1::RegisterRequest {
            username: name.into(),
            email: format!("{name}@example.org"),
            password: PASSWORD.into(),
            ..Default::default()
        };
        let reply = self.service.register(Request::new(asked)).await;
        let user = reply.expect("registered").into_inner().user;
        user.expect("a user")
    }

    pub async fn try_register(
        &self,
        name: &str,
        from: Option<SocketAddr>,
    ) -> Result<v1::RegisterResponse, Status> {
        let asked = v1::RegisterRequest {
            username: name.into(),
            password: PASSWORD.into(),
            ..Default::default()
        };
        let reply = self.service.register(called_from(from, asked)).await;
        Ok(reply?.into_inner())
    }

    pub async fn try_login(
        &self,
        name: &str,
        password: &str,
        from: Option<SocketAddr>,
    ) -> Result<v1::LoginResponse, Status> {
        let asked = v1::LoginRequest {
            username: name.into(),
            password: password.into(),
        };
        Ok(self
            .service
            .login(called_from(from, asked))
            .await?
            .into_inner())
    }

    pub async fn login(&self, name: &str) -> v1::LoginResponse {
        let reply = self.try_login(name, PASSWORD, None).await;
        reply.expect("signed in")
    }

    pub async fn refresh(&self, token: &str) -> Result<v1::RefreshTokenResponse, Status> {
        let asked = v1::RefreshTokenRequest {
            refresh_token: token.into(),
        };
        let reply = self.service.refresh_token(Request::new(asked)).await;
        Ok(reply?.into_inner())
    }

    pub async fn validate(&self, token: &str) -> Result<v1::ValidateTokenResponse, Status> {
        let asked = v1::ValidateTokenRequest {
            token: token.into(),
        };
        let reply = self.service.validate_token(Request::new(asked)).await;
        Ok(reply?.into_inner())
    }

    pub async fn authenticate(&self, bearer: &str) -> Result<Arc<Session>, NotSignedIn> {
        let bearer = Some(bearer.into());
        let credentials = Credentials {
            bearer,
            ..Credentials::default()
        };
        match self.sessions.authenticate(&credentials) {
            Authenticated::Now(found) => found,
            Authenticated::Later(found) => found.await,
        }
    }

    /// A request as the gate hands it on.
    pub async fn signed_in<T>(&self, bearer: &str, message: T) -> Request<T> {
        let session = self.authenticate(bearer).await.expect("good");
        let Standing::Good(principal) = session.standing.borrow().clone() else {
            panic!("it is over");
        };
        let mut request = Request::new(message);
        request.extensions_mut().insert(Caller {
            principal,
            source: None,
            session: session.id.clone(),
        });
        request
    }

    /// What was told since this was last asked.
    pub fn told(&mut self) -> Vec<Event> {
        let mut told = Vec::new();
        while let Ok(event) = self.events.try_recv() {
            told.push(event);
        }
        told
    }

    pub fn counted(&self) -> String {
        let graph = &self.context.graph;
        self.metrics.render(graph).expect("metrics")
    }
}

/// What tells nothing about it is refused alike.
pub fn is_refused<T: std::fmt::Debug>(answer: &Result<T, Status>) -> bool {
    matches!(answer, Err(status) if status.code() == Code::Unauthenticated)
}

fn called_from<T>(source: Option<SocketAddr>, message: T) -> Request<T> {
    let mut request = Request::new(message);
    let nobody = Caller::of(request.extensions());
    request.extensions_mut().insert(Caller { source, ..nobody });
    request
}
