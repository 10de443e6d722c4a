//! Users and their roles as the wire's messages. Nothing that is made of a password has a place in them.

use amadeus_proto::v1;
use kg_core::access::Scope;

use super::timestamp;
use crate::auth::{Grant, Role};
use crate::users::{Profile, User, UserStatus};

/// A role.
#[must_use]
pub fn role(role: Role) -> v1::Role {
    match role {
        Role::Reader => v1::Role::Reader,
        Role::Writer => v1::Role::Writer,
        Role::Operator => v1::Role::Operator,
        Role::Admin => v1::Role::Admin,
    }
}

/// A role with its scope.
#[must_use]
pub fn grant(grant: &Grant) -> v1::Grant {
    v1::Grant {
        role: role(grant.role).into(),
        scope: grant.scope.as_ref().map(scope),
    }
}

/// Roles with their scopes.
#[must_use]
pub fn grants(grants: &[Grant]) -> Vec<v1::Grant> {
    grants.iter().map(grant).collect()
}

fn scope(scope: &Scope) -> v1::Scope {
    v1::Scope {
        kind: scope
            .kind
            .as_ref()
            .map_or_else(String::new, ToString::to_string),
        name_prefix: scope.name_prefix.clone(),
        owner: scope.owner.clone().unwrap_or_default(),
    }
}

/// A user.
#[must_use]
pub fn user(user: &User) -> v1::User {
    let everywhere = user.grants.iter().filter(|grant| grant.scope.is_none());
    let mut roles: Vec<Role> = everywhere.map(|grant| grant.role).collect();
    roles.sort();
    v1::User {
        id: user.id.to_string(),
        username: user.username.clone(),
        email: user.email.clone(),
        status: status(user.status).into(),
        roles: roles.into_iter().map(|held| role(held).into()).collect(),
        grants: grants(&user.grants),
        profile: Some(profile(&user.profile)),
        version: user.version,
        created_at: Some(timestamp(user.created_ms)),
        updated_at: Some(timestamp(user.updated_ms)),
    }
}

/// Whether somebody may sign in.
#[must_use]
pub fn status(status: UserStatus) -> v1::UserStatus {
    match status {
        UserStatus::Active => v1::UserStatus::Active,
        UserStatus::Disabled => v1::UserStatus::Disabled,
    }
}

fn profile(profile: &Profile) -> v1::Profile {
    let attributes = profile.attributes.iter();
    v1::Profile {
        display_name: profile.display_name.clone(),
        team: profile.team.clone(),
        contact: profile.contact.clone(),
        attributes: attributes
            .map(|(key, value)| (key.clone(), value.clone()))
            .collect(),
    }
}
