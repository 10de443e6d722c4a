//! Access: the parts by which the server knows who calls and what they may do, built and ended together.

use std::sync::Arc;

use tokio::task::JoinHandle;

use crate::app::now_ms;
use crate::auth::attempts::{Attempts, Policy};
use crate::auth::keyring::{KeyError, KeyRing, Source};
use crate::auth::password::Cost;
use crate::auth::recorder::Recorder;
use crate::auth::sessions::Sessions;
use crate::auth::{Allowances, Authenticator, Gate, GateLayer, Limits, Passwords, Trail, setup};
use crate::config::ServeArgs;
use crate::hints::AddressError;
use crate::metrics::Metrics;
use crate::nexus::owner::Owners;
use crate::rpc::{Admin, AuthParts, AuthRpc, Context, UserParts, UserRpc};
use crate::shutdown::Shutdown;
use crate::storage::{Opened, StoreUrl};
use crate::tls::Certificates;
use crate::users::{UserError, UserStore, UserStoreError};

/// Why who may do what cannot be known.
#[derive(Debug, thiserror::Error)]
pub enum AccessError {
    /// The users cannot be opened.
    #[error("the users cannot be opened: {0}")]
    Users(#[from] UserStoreError),
    /// The keys of access tokens cannot be had.
    #[error(transparent)]
    Keys(#[from] KeyError),
    /// The first administrator cannot be prepared.
    #[error("whether there is an administrator cannot be found out: {0}")]
    Setup(#[from] UserError),
    /// The address of Redis cannot be used.
    #[error(transparent)]
    Redis(#[from] AddressError),
}

/// The parts.
pub struct Access {
    users: UserStore,
    passwords: Passwords,
    attempts: Attempts,
    ring: KeyRing,
    sessions: Sessions,
    trail: Trail,
    metrics: Arc<Metrics>,
    recorder: JoinHandle<()>,
    ending: Shutdown,
    tasks: Vec<JoinHandle<()>>,
}

impl Access {
    /// Opens the users beside a store, and starts what keeps sessions and keys true.
    ///
    /// # Errors
    /// [`AccessError`].
    pub async fn open(
        args: &ServeArgs,
        opened: &Opened,
        certificates: Option<&Certificates>,
        metrics: Arc<Metrics>,
    ) -> Result<Self, AccessError> {
        let users = UserStore::open(opened).await?;
        if let Some(redis) = &args.redis {
            users.keep_copies(redis)?;
        }
        let url = StoreUrl::parse(&args.store).unwrap_or(StoreUrl::Memory);
        let source = Source::of(args.token_keys.as_deref(), &url, &users);
        let ring = KeyRing::open(source, now_ms).await?;
        let sessions = Sessions::with_certificates(
            users.clone(),
            ring.clone(),
            opened.store_id.clone(),
            certificates.cloned(),
            now_ms,
        );
        if args.auth
            && let Some(token) = setup::offer(&users).await?
        {
            // Not by the log, which others collect and read.
            eprintln!("{}", setup::notice(&token));
        }
        let (trail, events) = Trail::new();
        let ending = Shutdown::default();
        let recorder = Recorder {
            users: users.clone(),
            trail: trail.clone(),
            events,
            metrics: metrics.clone(),
            clock: now_ms,
        };
        Ok(Self {
            passwords: Passwords::new(Cost::default()),
            attempts: Attempts::new(Policy::default()),
            recorder: tokio::spawn(recorder.run({
                let ending = ending.clone();
                async move { ending.begun().await }
            })),
            tasks: vec![
                tokio::spawn(ring.clone().run()),
                tokio::spawn(sessions.clone().run()),
            ],
            users,
            ring,
            sessions,
            trail,
            metrics,
            ending,
        })
    }

    /// Who finds out whose credentials these are.
    #[must_use]
    pub fn authenticator(&self) -> Arc<dyn Authenticator> {
        Arc::new(self.sessions.clone())
    }

    /// The gate before every service.
    #[must_use]
    pub fn gate(&self, args: &ServeArgs) -> GateLayer {
        let limits = if args.auth {
            Limits {
                calls: args.principal_calls,
                bytes: args.principal_bytes,
                in_flight: args.principal_in_flight,
                streams: args.principal_streams,
            }
        } else {
            Limits::NONE
        };
        GateLayer::new(Gate {
            authenticator: self.authenticator(),
            required: args.auth,
            reflection: args.reflection,
            allowances: Allowances::new(limits),
            trail: self.trail.clone(),
            metrics: self.metrics.clone(),
            clock: now_ms,
        })
    }

    /// The owners of runs.
    #[must_use]
    pub fn owners(&self, args: &ServeArgs) -> Owners {
        if args.auth {
            Owners::known(self.users.clone(), now_ms)
        } else {
            Owners::trusted()
        }
    }

    /// `AuthService`.
    #[must_use]
    pub fn auth_rpc(&self, context: Arc<Context>) -> AuthRpc {
        AuthRpc::new(AuthParts {
            context,
            users: self.users.clone(),
            passwords: self.passwords.clone(),
            attempts: self.attempts.clone(),
            ring: self.ring.clone(),
            sessions: self.sessions.clone(),
            trail: self.trail.clone(),
            metrics: self.metrics.clone(),
        })
    }

    /// `UserService`.
    #[must_use]
    pub fn user_rpc(&self, context: Arc<Context>) -> UserRpc {
        UserRpc::new(UserParts {
            context,
            users: self.users.clone(),
            passwords: self.passwords.clone(),
            attempts: self.attempts.clone(),
            sessions: self.sessions.clone(),
            trail: self.trail.clone(),
        })
    }

    /// `AdminService`, with the audit log.
    #[must_use]
    pub fn admin_rpc(&self, context: Arc<Context>) -> Admin {
        Admin::new(context).with_audit(self.users.clone())
    }

    /// Records what waits, and closes the users.
    pub async fn end(self) {
        self.ending.begin();
        if let Err(error) = self.recorder.await {
            tracing::error!(%error, "the recorder ended badly");
        }
        self.tasks.iter().for_each(JoinHandle::abort);
        self.users.close().await;
    }
}
