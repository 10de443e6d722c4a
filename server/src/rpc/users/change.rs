//! Changing users.

use std::time::Duration;

use amadeus_proto::v1;
use tonic::Status;
use zeroize::Zeroizing;

use super::list::status_of;
use super::{Asked, Parts, check_admin, check_own, named, named_or_own, why_not};
use crate::auth::password::{self, Busy};
use crate::auth::{Caller, Grant, Outcome, UserId};
use crate::rpc::{from_proto, status, to_proto};
use crate::users::{Credential, Email, GRANTS, NewUser, UserChange, UserStatus, Username};

/// When to come again, if too many passwords wait.
const BUSY: Duration = Duration::from_secs(1);

impl Parts {
    pub(super) async fn create(
        &self,
        caller: &Caller,
        asked: v1::CreateUserRequest,
    ) -> Result<v1::CreateUserResponse, Status> {
        check_admin(caller)?;
        let plain = Zeroizing::new(asked.password);
        from_proto::check_identity("", &asked.reason).map_err(status::fault)?;
        let mut new = NewUser {
            username: Username::parse_new("username", &asked.username).map_err(status::fault)?,
            email: email("email", &asked.email)?,
            password: None,
            profile: from_proto::profile("profile", asked.profile).map_err(status::fault)?,
            grants: all_grants(&asked.grants, &asked.roles)?,
            status: status_of("status", asked.status)
                .map_err(status::fault)?
                .unwrap_or(UserStatus::Active),
        };
        if !plain.is_empty() {
            password::check("password", &plain).map_err(status::fault)?;
            // Before the costly hash; the store decides.
            let taken = self.users.is_taken(&new.username, new.email.as_ref()).await;
            if taken.map_err(status::users)? {
                return Err(status::taken("this name or address"));
            }
            let hash = self.passwords.hash(plain.to_string()).await;
            new.password = Some(hash.map_err(busy)?);
        }
        let asked = Asked {
            action: "create_user",
            of: new.username.to_string(),
            what: new.grants.iter().map(shown).collect::<Vec<_>>().join(", "),
            reason: asked.reason,
        };
        let created = self.users.create(new, self.now_ms(), None).await;
        let user = self.changed(caller, asked, created).await?;
        Ok(v1::CreateUserResponse {
            header: self.header(),
            user: Some(to_proto::user(&user)),
        })
    }

    pub(super) async fn update(
        &self,
        caller: &Caller,
        asked: v1::UpdateUserRequest,
    ) -> Result<v1::UpdateUserResponse, Status> {
        check_admin(caller)?;
        let id = named("user_id", asked.user_id)?;
        from_proto::check_identity("", &asked.reason).map_err(status::fault)?;
        let username = asked
            .username
            .map(|name| Username::parse_new("username", &name));
        let change = UserChange {
            username: username.transpose().map_err(status::fault)?,
            email: asked
                .email
                .map(|given| email("email", &given))
                .transpose()?,
            status: status_of("status", asked.status).map_err(status::fault)?,
        };
        let asked_for = Asked {
            action: "update_user",
            of: id.to_string(),
            what: what_changes(&change),
            reason: asked.reason,
        };
        let changed = self
            .users
            .update(&id, asked.expected_version, change, self.now_ms())
            .await;
        let user = self.changed(caller, asked_for, changed).await?;
        Ok(v1::UpdateUserResponse {
            header: self.header(),
            user: Some(to_proto::user(&user)),
        })
    }

    pub(super) async fn delete(
        &self,
        caller: &Caller,
        asked: v1::DeleteUserRequest,
    ) -> Result<v1::DeleteUserResponse, Status> {
        check_admin(caller)?;
        let id = named("user_id", asked.user_id)?;
        from_proto::check_identity("", &asked.reason).map_err(status::fault)?;
        let asked_for = Asked {
            action: "delete_user",
            of: id.to_string(),
            what: String::new(),
            reason: asked.reason,
        };
        let deleted = self.users.delete(&id, asked.expected_version).await;
        self.changed(caller, asked_for, deleted).await?;
        Ok(v1::DeleteUserResponse {
            header: self.header(),
        })
    }

    pub(super) async fn set_profile(
        &self,
        caller: &Caller,
        asked: v1::UpdateProfileRequest,
    ) -> Result<v1::UpdateProfileResponse, Status> {
        let id = named_or_own("user_id", asked.user_id, caller)?;
        Self::check_person(caller)?;
        check_own(caller, &id)?;
        from_proto::check_identity("", &asked.reason).map_err(status::fault)?;
        let profile = from_proto::profile("profile", asked.profile).map_err(status::fault)?;
        let asked_for = Asked {
            action: "update_profile",
            of: id.to_string(),
            what: String::new(),
            reason: asked.reason,
        };
        let changed = self
            .users
            .update_profile(&id, asked.expected_version, profile, self.now_ms())
            .await;
        let user = self.changed(caller, asked_for, changed).await?;
        Ok(v1::UpdateProfileResponse {
            header: self.header(),
            user: Some(to_proto::user(&user)),
        })
    }

    pub(super) async fn assign(
        &self,
        caller: &Caller,
        asked: v1::AssignRoleRequest,
    ) -> Result<v1::AssignRoleResponse, Status> {
        check_admin(caller)?;
        let id = named("user_id", asked.user_id)?;
        from_proto::check_identity("", &asked.reason).map_err(status::fault)?;
        let grant =
            from_proto::grant("", asked.role, asked.scope.as_ref()).map_err(status::fault)?;
        let asked_for = of_role("assign_role", &id, &grant, asked.reason);
        let changed = self
            .users
            .assign_role(&id, asked.expected_version, grant, self.now_ms())
            .await;
        let user = self.changed(caller, asked_for, changed).await?;
        Ok(v1::AssignRoleResponse {
            header: self.header(),
            user: Some(to_proto::user(&user)),
        })
    }

    pub(super) async fn remove(
        &self,
        caller: &Caller,
        asked: v1::RemoveRoleRequest,
    ) -> Result<v1::RemoveRoleResponse, Status> {
        check_admin(caller)?;
        let id = named("user_id", asked.user_id)?;
        from_proto::check_identity("", &asked.reason).map_err(status::fault)?;
        let grant =
            from_proto::grant("", asked.role, asked.scope.as_ref()).map_err(status::fault)?;
        let asked_for = of_role("remove_role", &id, &grant, asked.reason);
        let changed = self
            .users
            .remove_role(&id, asked.expected_version, grant, self.now_ms())
            .await;
        let user = self.changed(caller, asked_for, changed).await?;
        Ok(v1::RemoveRoleResponse {
            header: self.header(),
            user: Some(to_proto::user(&user)),
        })
    }

    pub(super) async fn set_password(
        &self,
        caller: &Caller,
        asked: v1::UpdatePasswordRequest,
    ) -> Result<v1::UpdatePasswordResponse, Status> {
        let (current, next) = (
            Zeroizing::new(asked.current_password),
            Zeroizing::new(asked.new_password),
        );
        let id = named_or_own("user_id", asked.user_id, caller)?;
        Self::check_person(caller)?;
        check_own(caller, &id)?;
        from_proto::check_identity("", &asked.reason).map_err(status::fault)?;
        password::check("new_password", &next).map_err(status::fault)?;
        password::check_longest("current_password", &current).map_err(status::fault)?;
        let found = self.users.credential_of(&id).await.map_err(status::users)?;
        let found = found.ok_or_else(|| status::not_found(format!("the user {id}")))?;
        let is_own = caller.principal.user.as_ref() == Some(&id);
        if is_own || !current.is_empty() {
            self.check_current(caller, &found, &current).await?;
        }
        let hash = self.passwords.hash(next.to_string()).await.map_err(busy)?;
        // Of another user all sessions end, whichever the administrator is signed in by.
        let keep = caller.session.as_ref().filter(|_| is_own);
        let set = self
            .users
            .set_password(&id, hash, keep, self.now_ms())
            .await;
        let resource = format!("user/{}", found.user.username);
        let (outcome, reason) = match &set {
            Ok(_) => (Outcome::Done, asked.reason),
            Err(error) => (Outcome::Refused, why_not(error).to_owned()),
        };
        self.tell(caller, "update_password", resource, outcome, reason);
        let sessions_ended = set.map_err(status::users)?;
        self.sessions.catch_up().await;
        Ok(v1::UpdatePasswordResponse {
            header: self.header(),
            sessions_ended,
        })
    }

    /// Compares the password so far. Whoever guesses has to wait, as at a sign-in, and together with those who try there.
    async fn check_current(
        &self,
        caller: &Caller,
        found: &Credential,
        current: &str,
    ) -> Result<(), Status> {
        let user = &found.user;
        let attempt = self
            .attempts
            .begin(&user.username, caller.source, self.now_ms());
        let attempt = attempt.map_err(|early| {
            let wait = Duration::from_millis(early.wait_ms);
            status::retry_after(early, wait)
        })?;
        let is_right = self
            .passwords
            .verify(found.password.as_ref(), current.to_owned())
            .await;
        if is_right.map_err(busy)? {
            attempt.succeeded();
            return Ok(());
        }
        attempt.failed(self.now_ms());
        Err(status::denied("the current password is wrong"))
    }
}

/// Roles with their scopes, and roles that are held everywhere.
fn all_grants(grants: &[v1::Grant], roles: &[i32]) -> Result<Vec<Grant>, Status> {
    let mut all = from_proto::grants("grants", grants).map_err(status::fault)?;
    if roles.len() > GRANTS {
        let reason = format!(
            "has {} entries, at most {} are allowed",
            roles.len(),
            GRANTS
        );
        return Err(status::invalid("roles", reason));
    }
    for (i, number) in roles.iter().enumerate() {
        let role = from_proto::role(&format!("roles[{i}]"), *number).map_err(status::fault)?;
        all.push(Grant::everywhere(role));
    }
    Ok(all)
}

fn email(field: &str, given: &str) -> Result<Option<Email>, Status> {
    let email = (!given.is_empty()).then(|| Email::parse(field, given));
    email.transpose().map_err(status::fault)
}

fn of_role(action: &'static str, id: &UserId, grant: &Grant, reason: String) -> Asked {
    Asked {
        action,
        of: id.to_string(),
        what: shown(grant),
        reason,
    }
}

/// A role as the audit log says it.
fn shown(grant: &Grant) -> String {
    let Some(scope) = &grant.scope else {
        return grant.role.name().to_owned();
    };
    let kind = scope.kind.as_ref().map(|kind| format!("kind {kind}"));
    let prefix = (!scope.name_prefix.is_empty()).then(|| format!("prefix {:?}", scope.name_prefix));
    let owner = scope.owner.as_ref().map(|owner| format!("owner {owner:?}"));
    let parts: Vec<String> = [kind, prefix, owner].into_iter().flatten().collect();
    format!("{} within ({})", grant.role.name(), parts.join(", "))
}

/// A change as the audit log says it.
fn what_changes(change: &UserChange) -> String {
    let username = change
        .username
        .as_ref()
        .map(|name| format!("username {name}"));
    let email = change.email.as_ref().map(|_| "email".to_owned());
    let status = change.status.map(|status| status.name().to_owned());
    let parts: Vec<String> = [username, email, status].into_iter().flatten().collect();
    parts.join(", ")
}

fn busy(full: Busy) -> Status {
    status::retry_after(full, BUSY)
}
