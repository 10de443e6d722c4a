//! `AuthService`: signing in and out, and the keys of programs.
//!
//! A secret stands in the reply that makes it and nowhere else. What a stranger is told does not depend on who exists; what
//! really happened is told to the audit log.

mod keys;
mod sign_in;

use std::sync::Arc;

use amadeus_proto::v1;
use tonic::{Request, Response, Status};
use v1::auth_service_server::AuthService;

use super::context::Context;
use crate::auth::attempts::Attempts;
use crate::auth::keyring::KeyRing;
use crate::auth::sessions::Sessions;
use crate::auth::{Caller, Event, Outcome, Passwords, Trail};
use crate::metrics::Metrics;
use crate::users::UserStore;

/// What signing in works with.
pub struct Parts {
    /// What all services share.
    pub context: Arc<Context>,
    /// Who there is.
    pub users: UserStore,
    /// The threads that hash passwords.
    pub passwords: Passwords,
    /// Who has to wait.
    pub attempts: Attempts,
    /// The keys of access tokens.
    pub ring: KeyRing,
    /// What is known of credentials.
    pub sessions: Sessions,
    /// The way to the audit log.
    pub trail: Trail,
    /// What is counted.
    pub metrics: Arc<Metrics>,
}

/// The service.
#[derive(Clone)]
pub struct Service(Arc<Parts>);

impl Service {
    /// The service.
    #[must_use]
    pub fn new(parts: Parts) -> Self {
        Self(Arc::new(parts))
    }
}

impl Parts {
    fn now_ms(&self) -> u64 {
        (self.context.clock)()
    }

    fn header(&self) -> Option<v1::ResponseHeader> {
        self.context.header(self.context.graph.revisions().0)
    }

    /// Tells the audit log. Nothing of it may be a secret.
    fn tell(&self, caller: &Caller, told: Told<'_>) {
        self.trail.tell(self.event(caller, told));
    }

    /// Tells the audit log of a refusal that has cost nothing, and may come over and over.
    fn tell_repeatable(&self, caller: &Caller, told: Told<'_>) {
        self.trail.tell_repeatable(self.event(caller, told));
    }

    fn event(&self, caller: &Caller, told: Told<'_>) -> Event {
        let actor = match (told.actor, &caller.principal.user) {
            (Some(actor), _) => actor.into(),
            (None, Some(_)) => caller.principal.name.clone(),
            (None, None) => "".into(),
        };
        Event {
            time_ms: self.now_ms(),
            actor,
            source: caller.source(),
            action: told.action,
            resource: told.resource,
            outcome: told.outcome,
            reason: told.reason,
        }
    }
}

/// Something to tell the audit log.
struct Told<'a> {
    action: &'static str,
    /// Who, where that is not the caller.
    actor: Option<&'a str>,
    resource: String,
    outcome: Outcome,
    reason: String,
}

impl Told<'_> {
    fn done(action: &'static str, resource: String) -> Self {
        Self {
            action,
            actor: None,
            resource,
            outcome: Outcome::Done,
            reason: String::new(),
        }
    }

    fn refused(action: &'static str, resource: String, reason: &str) -> Self {
        Self {
            outcome: Outcome::Refused,
            reason: reason.to_owned(),
            ..Self::done(action, resource)
        }
    }
}

#[tonic::async_trait]
impl AuthService for Service {
    async fn register(
        &self,
        request: Request<v1::RegisterRequest>,
    ) -> Result<Response<v1::RegisterResponse>, Status> {
        let caller = Caller::of(request.extensions());
        let reply = self.0.register(&caller, request.into_inner()).await?;
        Ok(Response::new(reply))
    }

    async fn login(
        &self,
        request: Request<v1::LoginRequest>,
    ) -> Result<Response<v1::LoginResponse>, Status> {
        let caller = Caller::of(request.extensions());
        let reply = self.0.login(&caller, request.into_inner()).await?;
        Ok(Response::new(reply))
    }

    async fn validate_token(
        &self,
        request: Request<v1::ValidateTokenRequest>,
    ) -> Result<Response<v1::ValidateTokenResponse>, Status> {
        let caller = Caller::of(request.extensions());
        let reply = self.0.validate(&caller, request).await?;
        Ok(Response::new(reply))
    }

    async fn refresh_token(
        &self,
        request: Request<v1::RefreshTokenRequest>,
    ) -> Result<Response<v1::RefreshTokenResponse>, Status> {
        let caller = Caller::of(request.extensions());
        let reply = self.0.refresh(&caller, request.into_inner()).await?;
        Ok(Response::new(reply))
    }

    async fn logout(
        &self,
        request: Request<v1::LogoutRequest>,
    ) -> Result<Response<v1::LogoutResponse>, Status> {
        let caller = Caller::of(request.extensions());
        let reply = self.0.logout(&caller, request.into_inner()).await?;
        Ok(Response::new(reply))
    }

    async fn create_api_key(
        &self,
        request: Request<v1::CreateApiKeyRequest>,
    ) -> Result<Response<v1::CreateApiKeyResponse>, Status> {
        let caller = Caller::of(request.extensions());
        let reply = self.0.create_key(&caller, request.into_inner()).await?;
        Ok(Response::new(reply))
    }

    async fn revoke_api_key(
        &self,
        request: Request<v1::RevokeApiKeyRequest>,
    ) -> Result<Response<v1::RevokeApiKeyResponse>, Status> {
        let caller = Caller::of(request.extensions());
        let reply = self.0.revoke_key(&caller, request.into_inner()).await?;
        Ok(Response::new(reply))
    }

    async fn list_api_keys(
        &self,
        request: Request<v1::ListApiKeysRequest>,
    ) -> Result<Response<v1::ListApiKeysResponse>, Status> {
        let caller = Caller::of(request.extensions());
        let reply = self.0.list_keys(&caller, request.into_inner()).await?;
        super::graph::fitting(reply)
    }
}
