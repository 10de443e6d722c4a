//! The services that have to do with users, over a real store in memory, called as the gate calls them.

use std::net::SocketAddr;
use std::sync::Arc;

use amadeus::auth::attempts::{Attempts, Policy};
use amadeus::auth::keyring::{KeyRing, Source};
use amadeus::auth::password::Cost;
use amadeus::auth::sessions::Sessions;
use amadeus::auth::{Caller, Event, Grant, Passwords, Principal, Role, Trail, UserId};
use amadeus::committer::CommitterTask;
use amadeus::hints::Hints;
use amadeus::metrics::Metrics;
use amadeus::rpc::{Admin, Context, UserParts, UserRpc};
use amadeus::storage::{OpenOptions, open};
use amadeus::store::ServerStore;
use amadeus::users::{SessionId, UserStore};
use kg_core::commit::{Graph, Options};
use kg_core::model::{Path, Value};
use kg_core::mutation::{Mutation, Transaction};
use std::sync::atomic::{AtomicU64, Ordering};
use tokio::sync::{mpsc, watch};
use tonic::Request;

use crate::subject::NOW;

/// What time it is. It goes on by a millisecond whenever somebody looks.
static TIME: AtomicU64 = AtomicU64::new(NOW);

pub fn clock() -> u64 {
    TIME.fetch_add(1, Ordering::SeqCst)
}

pub struct Server {
    pub users: UserStore,
    pub rpc: UserRpc,
    pub admin: Admin,
    pub graph: Arc<Graph>,
    pub told: mpsc::Receiver<Event>,
    /// The services end when it is dropped.
    _stop: watch::Sender<bool>,
}

impl Server {
    pub async fn start() -> Self {
        let opened = open("memory:", &OpenOptions::default())
            .await
            .expect("it opens");
        let users = UserStore::open(&opened).await.expect("it opens");
        let options = Options {
            store_id: opened.store_id.clone(),
            ..Options::default()
        };
        let graph = Arc::new(Graph::new(opened.history.clone(), &options));
        let log = opened.backend.clone();
        let metrics = Arc::new(Metrics::new().expect("metrics"));
        let committer = CommitterTask::new(
            graph.clone(),
            log.clone(),
            metrics,
            Hints::default(),
            Arc::default(),
            1,
        );
        tokio::spawn(committer.run());
        let store = ServerStore::new(
            "memory:".into(),
            log,
            None,
            None,
            graph.clone(),
            Arc::default(),
            Hints::default(),
        );
        let store = Arc::new(store);
        let (stop, stopping) = watch::channel(false);
        let context = Context::new(graph.clone(), store.clone(), store, clock, stopping);
        let ring = KeyRing::open(Source::Memory, clock).await.expect("keys");
        let (trail, told) = Trail::new();
        let cost = Cost {
            memory_kib: 64,
            passes: 1,
        };
        let rpc = UserRpc::new(UserParts {
            context: context.clone(),
            users: users.clone(),
            passwords: Passwords::new(cost),
            attempts: Attempts::new(Policy::default()),
            sessions: Sessions::new(users.clone(), ring, opened.store_id.clone(), clock),
            trail,
        });
        let admin = Admin::new(context).with_audit(users.clone());
        Self {
            users,
            rpc,
            admin,
            graph,
            told,
            _stop: stop,
        }
    }

    /// What was told since somebody last listened: who, what, on what, and whether it was done.
    pub fn told(&mut self) -> Vec<Event> {
        std::iter::from_fn(|| self.told.try_recv().ok()).collect()
    }

    /// Commits a change.
    pub async fn commit(&self, actor: &str, reason: &str, value: &str) -> u64 {
        let transaction = Transaction {
            actor: actor.into(),
            reason: reason.into(),
            time_ms: clock(),
            ..Transaction::of(vec![Mutation::UpdateNode {
                path: Path::parse("notes.one").expect("a path"),
                value: Value::from_json(value.as_bytes()).expect("JSON"),
            }])
        };
        let pending = self.graph.submit(transaction).expect("there is room");
        pending
            .await
            .expect("it was answered")
            .expect("it commits")
            .revision
    }
}

/// A call by somebody.
pub fn by<T>(caller: &Caller, message: T) -> Request<T> {
    let mut request = Request::new(message);
    request.extensions_mut().insert(caller.clone());
    request
}

pub fn caller(name: &str, id: Option<&UserId>, role: Option<Role>) -> Caller {
    let source: SocketAddr = "192.0.2.1:4711".parse().expect("an address");
    Caller {
        principal: Arc::new(Principal {
            name: name.into(),
            user: id.cloned(),
            grants: role.map(Grant::everywhere).into_iter().collect(),
        }),
        source: Some(source),
        session: Some(SessionId(format!("session of {name}").into())),
    }
}
