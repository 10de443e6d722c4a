//! A user, and what may be asked of the store about one. Nothing in here is secret, apart from [`Credential`].

use std::collections::BTreeMap;

use super::names::{Email, Username};
use super::secret::PasswordHash;
use crate::auth::{Grant, Role, UserId};

/// Whether somebody may sign in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UserStatus {
    /// May.
    Active,
    /// May not, and no key of theirs is good.
    Disabled,
}

impl UserStatus {
    /// Its name, as it is stored.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Disabled => "disabled",
        }
    }

    /// The status of this name.
    #[must_use]
    pub fn of_name(name: &str) -> Option<Self> {
        let all = [Self::Active, Self::Disabled];
        all.into_iter().find(|status| status.name() == name)
    }
}

/// What is said about a user.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Profile {
    /// The name that is shown.
    pub display_name: String,
    /// The team.
    pub team: String,
    /// Where to reach them.
    pub contact: String,
    /// Anything else.
    pub attributes: BTreeMap<String, String>,
}

/// A user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    /// Names the user for ever.
    pub id: UserId,
    /// Unique, whatever the case.
    pub username: String,
    /// Unique, whatever the case; empty for none.
    pub email: String,
    /// Whether the user may sign in.
    pub status: UserStatus,
    /// All roles with their scopes, in order.
    pub grants: Vec<Grant>,
    /// What is said about the user.
    pub profile: Profile,
    /// Grows by one with every change.
    pub version: u64,
    /// When the user was created, in milliseconds since 1970.
    pub created_ms: u64,
    /// When the user was changed last, in milliseconds since 1970.
    pub updated_ms: u64,
}

impl User {
    /// Whether the user may do everything, and sign in.
    #[must_use]
    pub fn is_active_admin(&self) -> bool {
        self.status == UserStatus::Active && self.grants.contains(&Grant::everywhere(Role::Admin))
    }
}

/// A user, and by what they prove who they are.
#[derive(Clone, Debug)]
pub struct Credential {
    /// Who.
    pub user: User,
    /// None for somebody who does not sign in by password.
    pub password: Option<PasswordHash>,
}

/// A user to be.
#[derive(Clone, Debug)]
pub struct NewUser {
    /// The name.
    pub username: Username,
    /// The address.
    pub email: Option<Email>,
    /// None for somebody who does not sign in by password.
    pub password: Option<PasswordHash>,
    /// What is said about the user.
    pub profile: Profile,
    /// The roles.
    pub grants: Vec<Grant>,
    /// Whether the user may sign in.
    pub status: UserStatus,
}

/// A change; what is `None` stays as it is.
#[derive(Clone, Debug, Default)]
pub struct UserChange {
    /// The name from now on.
    pub username: Option<Username>,
    /// The address from now on; `Some(None)` for none.
    pub email: Option<Option<Email>>,
    /// The status from now on.
    pub status: Option<UserStatus>,
}

/// Which users are listed. All that is given has to hold.
#[derive(Clone, Debug, Default)]
pub struct UserFilter {
    /// The name begins so, whatever the case.
    pub prefix: String,
    /// The status.
    pub status: Option<UserStatus>,
    /// Has this role, everywhere or within a scope.
    pub role: Option<Role>,
}
