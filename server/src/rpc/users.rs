//! `UserService`: who there is, what is said about them, and what they may do.
//!
//! Administrators may do all of it; everybody may read and change what is their own. Of another's nobody else is told that it
//! is there. By an API key one reads about oneself and changes neither profile nor password. What was done and what could not be
//! done goes to the audit log; who was not allowed to, the gate tells it.

mod change;
mod list;
mod read;

use std::sync::Arc;

use amadeus_proto::v1;
use tonic::{Request, Response, Status};
use v1::user_service_server::UserService;

use super::context::Context;
use super::{from_proto, status};
use crate::auth::attempts::Attempts;
use crate::auth::sessions::Sessions;
use crate::auth::{Caller, Event, NotSignedIn, Outcome, Passwords, Role, Trail, UserId};
use crate::users::{User, UserError, UserStore};

/// What the service works with.
pub struct Parts {
    /// What all services share.
    pub context: Arc<Context>,
    /// Who there is.
    pub users: UserStore,
    /// The threads that hash passwords.
    pub passwords: Passwords,
    /// Who has to wait.
    pub attempts: Attempts,
    /// What is known of credentials.
    pub sessions: Sessions,
    /// The way to the audit log.
    pub trail: Trail,
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

    /// Refuses what is a person's own where a key calls: what it is good for its grants say, and these say nothing of it.
    fn check_person(caller: &Caller) -> Result<(), Status> {
        if caller.is_by_key() {
            let what = "a key changes nothing about people: sign in by password or certificate";
            return Err(status::denied(what));
        }
        Ok(())
    }

    /// Tells the audit log. Nothing in it is secret.
    fn tell(
        &self,
        caller: &Caller,
        action: &'static str,
        resource: String,
        outcome: Outcome,
        reason: String,
    ) {
        self.trail.tell(Event {
            time_ms: self.now_ms(),
            actor: caller.principal.name.clone(),
            source: caller.source(),
            action,
            resource,
            outcome,
            reason,
        });
    }

    /// Tells the audit log what became of a change. What was taken away holds here from now on.
    async fn changed(
        &self,
        caller: &Caller,
        asked: Asked,
        changed: Result<User, UserError>,
    ) -> Result<User, Status> {
        match changed {
            Ok(user) => {
                let resource = format!("user/{}", user.username);
                let what = asked.what;
                let reason = match (what.is_empty(), asked.reason.is_empty()) {
                    (true, _) => asked.reason,
                    (false, true) => what,
                    (false, false) => format!("{what}: {}", asked.reason),
                };
                self.tell(caller, asked.action, resource, Outcome::Done, reason);
                self.sessions.catch_up().await;
                Ok(user)
            }
            Err(error) => {
                let resource = format!("user/{}", asked.of);
                self.tell(
                    caller,
                    asked.action,
                    resource,
                    Outcome::Refused,
                    why_not(&error).into(),
                );
                Err(status::users(error))
            }
        }
    }
}

/// A change that somebody asked for, as the audit log is told of it.
struct Asked {
    action: &'static str,
    /// Of whom.
    of: String,
    /// What it is apart from that; may be empty.
    what: String,
    /// Why, in the words of whoever asked.
    reason: String,
}

/// Why it was not done, without what was typed.
fn why_not(error: &UserError) -> &'static str {
    match error {
        UserError::NotFound(_) => "there is no such user, or no such role of theirs",
        UserError::AlreadyExists { .. } => "the name or the address is taken",
        UserError::VersionMismatch { .. } => "it was changed meanwhile",
        UserError::LastAdmin => "nobody would be left who may do everything",
        UserError::TooMany(_) => "too many roles",
        UserError::SetupToken
        | UserError::Unavailable(_)
        | UserError::Full(_)
        | UserError::Broken(_) => "the users could not be changed",
    }
}

/// Refuses all but administrators.
fn check_admin(caller: &Caller) -> Result<(), Status> {
    if caller.principal.has(Role::Admin) {
        return Ok(());
    }
    Err(deny())
}

/// Refuses all but administrators and the user.
fn check_own(caller: &Caller, id: &UserId) -> Result<(), Status> {
    if caller.principal.user.as_ref() == Some(id) {
        return Ok(());
    }
    check_admin(caller)
}

fn deny() -> Status {
    status::denied("only an administrator has to do with another user")
}

/// The user that a request names.
fn named(field: &str, id: String) -> Result<UserId, Status> {
    if id.is_empty() {
        return Err(status::invalid(field, "is required"));
    }
    // What is longer is nobody's, and would only be carried around.
    from_proto::check_text(field, &id, 64).map_err(status::fault)?;
    Ok(UserId(id.into()))
}

/// The user that a request names, or whoever makes it.
fn named_or_own(field: &str, id: String, caller: &Caller) -> Result<UserId, Status> {
    if id.is_empty() {
        let own = caller.principal.user.clone();
        return own.ok_or_else(|| status::not_signed_in(NotSignedIn::Absent));
    }
    named(field, id)
}

#[tonic::async_trait]
impl UserService for Service {
    async fn create_user(
        &self,
        request: Request<v1::CreateUserRequest>,
    ) -> Result<Response<v1::CreateUserResponse>, Status> {
        let caller = Caller::of(request.extensions());
        let reply = self.0.create(&caller, request.into_inner()).await?;
        Ok(Response::new(reply))
    }

    async fn get_user(
        &self,
        request: Request<v1::GetUserRequest>,
    ) -> Result<Response<v1::GetUserResponse>, Status> {
        let caller = Caller::of(request.extensions());
        let reply = self.0.get(&caller, request.into_inner()).await?;
        Ok(Response::new(reply))
    }

    async fn get_user_by_username(
        &self,
        request: Request<v1::GetUserByUsernameRequest>,
    ) -> Result<Response<v1::GetUserByUsernameResponse>, Status> {
        let caller = Caller::of(request.extensions());
        let reply = self.0.get_by_name(&caller, request.into_inner()).await?;
        Ok(Response::new(reply))
    }

    async fn update_user(
        &self,
        request: Request<v1::UpdateUserRequest>,
    ) -> Result<Response<v1::UpdateUserResponse>, Status> {
        let caller = Caller::of(request.extensions());
        let reply = self.0.update(&caller, request.into_inner()).await?;
        Ok(Response::new(reply))
    }

    async fn delete_user(
        &self,
        request: Request<v1::DeleteUserRequest>,
    ) -> Result<Response<v1::DeleteUserResponse>, Status> {
        let caller = Caller::of(request.extensions());
        let reply = self.0.delete(&caller, request.into_inner()).await?;
        Ok(Response::new(reply))
    }

    async fn list_users(
        &self,
        request: Request<v1::ListUsersRequest>,
    ) -> Result<Response<v1::ListUsersResponse>, Status> {
        let caller = Caller::of(request.extensions());
        let reply = self.0.list(&caller, request.into_inner()).await?;
        super::graph::fitting(reply)
    }

    async fn update_password(
        &self,
        request: Request<v1::UpdatePasswordRequest>,
    ) -> Result<Response<v1::UpdatePasswordResponse>, Status> {
        let caller = Caller::of(request.extensions());
        let reply = self.0.set_password(&caller, request.into_inner()).await?;
        Ok(Response::new(reply))
    }

    async fn update_profile(
        &self,
        request: Request<v1::UpdateProfileRequest>,
    ) -> Result<Response<v1::UpdateProfileResponse>, Status> {
        let caller = Caller::of(request.extensions());
        let reply = self.0.set_profile(&caller, request.into_inner()).await?;
        Ok(Response::new(reply))
    }

    async fn assign_role(
        &self,
        request: Request<v1::AssignRoleRequest>,
    ) -> Result<Response<v1::AssignRoleResponse>, Status> {
        let caller = Caller::of(request.extensions());
        let reply = self.0.assign(&caller, request.into_inner()).await?;
        Ok(Response::new(reply))
    }

    async fn remove_role(
        &self,
        request: Request<v1::RemoveRoleRequest>,
    ) -> Result<Response<v1::RemoveRoleResponse>, Status> {
        let caller = Caller::of(request.extensions());
        let reply = self.0.remove(&caller, request.into_inner()).await?;
        Ok(Response::new(reply))
    }
}
