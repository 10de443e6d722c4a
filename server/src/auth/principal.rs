//! Principals: who calls, and the roles that they have.

use std::fmt;
use std::sync::Arc;

use kg_core::access::{Authority, Reach, Scope};

/// The name of somebody who has not signed in, in records and in the log.
pub const ANONYMOUS: &str = "anonymous";

/// Names a user for ever.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UserId(pub Arc<str>);

impl fmt::Display for UserId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What somebody may do. Each includes those before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// Reads the graph.
    Reader,
    /// Writes it.
    Writer,
    /// Runs the server.
    Operator,
    /// Does everything; never within a scope.
    Admin,
}

impl Role {
    /// All of them, lowest first.
    pub const ALL: [Self; 4] = [Self::Reader, Self::Writer, Self::Operator, Self::Admin];

    /// Its name, as the store, the audit log and the command line write it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Reader => "reader",
            Self::Writer => "writer",
            Self::Operator => "operator",
            Self::Admin => "admin",
        }
    }

    /// The role of this name.
    #[must_use]
    pub fn of_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|role| role.name() == name)
    }
}

/// A role that somebody has, everywhere or within a scope.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Grant {
    /// Which.
    pub role: Role,
    /// For which part of the graph; `None` for everything.
    pub scope: Option<Scope>,
}

impl Grant {
    /// A role everywhere.
    #[must_use]
    pub fn everywhere(role: Role) -> Self {
        Self { role, scope: None }
    }

    /// Whether whoever has this has that too.
    #[must_use]
    pub fn includes(&self, other: &Self) -> bool {
        let scope = match (&self.scope, &other.scope) {
            (None, _) => true,
            (Some(_), None) => false,
            (Some(mine), Some(theirs)) => mine.includes(theirs),
        };
        scope && self.role >= other.role
    }
}

/// Who calls.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Principal {
    /// As records name them: `alice`, or `alice/ci` by a key.
    pub name: Arc<str>,
    /// The user, where there is one.
    pub user: Option<UserId>,
    /// What they may do.
    pub grants: Vec<Grant>,
}

impl Principal {
    /// Somebody who has not signed in, where nobody has to.
    #[must_use]
    pub fn trusted() -> Self {
        Self {
            name: ANONYMOUS.into(),
            user: None,
            grants: vec![Grant::everywhere(Role::Admin)],
        }
    }

    /// The same, where nobody has to sign in: they may do everything.
    #[must_use]
    pub fn trusted_as_well(&self) -> Self {
        Self {
            grants: Self::trusted().grants,
            ..self.clone()
        }
    }

    /// Somebody who has not signed in, where that is asked for.
    #[must_use]
    pub fn nobody() -> Self {
        Self {
            name: ANONYMOUS.into(),
            user: None,
            grants: Vec::new(),
        }
    }

    /// Whether it is anybody whom the server knows, or trusts without knowing.
    #[must_use]
    pub fn is_somebody(&self) -> bool {
        self.user.is_some() || !self.grants.is_empty()
    }

    /// Whether they may do all that another may.
    #[must_use]
    pub fn includes(&self, other: &Self) -> bool {
        let has = |theirs: &Grant| self.grants.iter().any(|mine| mine.includes(theirs));
        other.grants.iter().all(has)
    }

    /// Whether they have this role everywhere.
    #[must_use]
    pub fn has(&self, role: Role) -> bool {
        let has = |grant: &Grant| grant.role >= role && grant.scope.is_none();
        self.grants.iter().any(has)
    }

    /// Whether they have this role somewhere.
    #[must_use]
    pub fn has_somewhere(&self, role: Role) -> bool {
        self.grants.iter().any(|grant| grant.role >= role)
    }

    /// The part of the graph that they have a role for.
    #[must_use]
    pub fn reach(&self, role: Role) -> Reach {
        if self.has(role) {
            return Reach::Everything;
        }
        let of_role = self.grants.iter().filter(|grant| grant.role >= role);
        let mut scopes: Vec<Scope> = of_role.filter_map(|grant| grant.scope.clone()).collect();
        scopes.sort();
        scopes.dedup();
        Reach::Within(scopes)
    }

    /// Whose requests theirs are: a request id belongs to whoever used it, also after they took another name, and never to who
    /// takes theirs.
    #[must_use]
    pub fn requester(&self) -> String {
        let key = self.name.split_once('/').map_or("", |(_, key)| key);
        match &self.user {
            Some(user) => format!("user {user} {key}"),
            None => self.name.to_string(),
        }
    }

    /// What they may see and change.
    #[must_use]
    pub fn authority(&self) -> Authority {
        Authority {
            sees: self.reach(Role::Reader),
            changes: self.reach(Role::Writer),
            knows_of_hidden: self.has_somewhere(Role::Operator),
        }
    }
}
