//! The policy: whether a principal may do something, as a pure function of who they are, what they do, and with what.
//!
//! Roles include each other, grants are for everything or within scopes. Whoever may change something may see it.

use kg_core::model::EntityRef;

use super::principal::{Principal, Role, UserId};

/// What somebody does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Looks.
    Read,
    /// Changes the graph.
    Write,
    /// Runs the server.
    Operate,
    /// Looks after users, keys and the audit log.
    Administer,
}

impl Action {
    /// The lowest role that may do it.
    #[must_use]
    pub fn role(self) -> Role {
        match self {
            Self::Read => Role::Reader,
            Self::Write => Role::Writer,
            Self::Operate => Role::Operator,
            Self::Administer => Role::Admin,
        }
    }
}

/// With what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resource<'a> {
    /// All of the graph, or the server.
    Everything,
    /// Some part of the graph; which one is decided by what the call names.
    SomePart,
    /// One entity, and who owns it as it is now.
    Entity(&'a EntityRef, Option<&'a str>),
    /// A section of the documents.
    Section(&'a str),
    /// A user, and what is theirs.
    User(&'a UserId),
}

/// Why not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// Nobody has signed in.
    NotSignedIn,
    /// They may not do it.
    NotAllowed {
        /// The role that it takes.
        role: Role,
    },
}

/// Whether `principal` may do `action` with `resource`.
///
/// # Errors
/// [`Refused`].
pub fn policy(
    principal: &Principal,
    action: Action,
    resource: Resource<'_>,
) -> Result<(), Refused> {
    let role = action.role();
    let may = match resource {
        Resource::Everything => principal.has(role),
        Resource::SomePart => principal.has_somewhere(role),
        Resource::Entity(key, owner) => principal.reach(role).covers(key, owner),
        Resource::Section(section) => principal.reach(role).covers_section(section),
        // What is one's own may be read and changed without a role, and nobody's else but by an administrator.
        Resource::User(user) => {
            let own = matches!(action, Action::Read | Action::Write);
            (own && principal.user.as_ref() == Some(user)) || principal.has(Role::Admin)
        }
    };
    if may {
        return Ok(());
    }
    Err(if principal.is_somebody() {
        Refused::NotAllowed { role }
    } else {
        Refused::NotSignedIn
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::Grant;
    use kg_core::access::Scope;
    use kg_core::model::Kind;

    fn with(grants: Vec<Grant>) -> Principal {
        Principal {
            name: "alice".into(),
            user: Some(UserId("u1".into())),
            grants,
        }
    }

    fn within(role: Role, scope: Scope) -> Principal {
        with(vec![Grant {
            role,
            scope: Some(scope),
        }])
    }

    const ACTIONS: [Action; 4] = [
        Action::Read,
        Action::Write,
        Action::Operate,
        Action::Administer,
    ];

    #[test]
    fn a_role_may_do_what_those_below_it_may_and_nothing_above() {
        for (held, role) in Role::ALL.into_iter().enumerate() {
            let principal = with(vec![Grant::everywhere(role)]);
            for (asked, action) in ACTIONS.into_iter().enumerate() {
                let may = policy(&principal, action, Resource::Everything).is_ok();
                assert_eq!(may, asked <= held, "{role:?} {action:?}");
            }
        }
    }

    #[test]
    fn a_scope_opens_its_part_and_no_other() {
        let payments = Scope {
            kind: Some(Kind::service()),
            name_prefix: "pay".into(),
            owner: None,
        };
        let writer = within(Role::Writer, payments);
        let key = |text: &str| EntityRef::parse("key", text).expect("a valid name");
        let may = |action, name: &str| {
            policy(&writer, action, Resource::Entity(&key(name), Some("red"))).is_ok()
        };
        assert!(may(Action::Read, "service/payments") && may(Action::Write, "service/pay"));
        assert!(!may(Action::Read, "service/cart") && !may(Action::Read, "team/pay"));
        assert!(!may(Action::Operate, "service/payments"));
        assert!(policy(&writer, Action::Write, Resource::SomePart).is_ok());
        assert!(policy(&writer, Action::Read, Resource::Everything).is_err());
        assert!(policy(&writer, Action::Read, Resource::Section("pay")).is_err());
    }

    #[test]
    fn an_owner_has_to_be_known() {
        let red = Scope {
            owner: Some("red".into()),
            ..Scope::default()
        };
        let reader = within(Role::Reader, red);
        let key = EntityRef::parse("key", "service/x").expect("a valid name");
        for (owner, may) in [(Some("red"), true), (Some("blue"), false), (None, false)] {
            let told = policy(&reader, Action::Read, Resource::Entity(&key, owner));
            assert_eq!(told.is_ok(), may, "{owner:?}");
        }
    }

    #[test]
    fn what_is_ones_own_needs_no_role() {
        let alice = with(Vec::new());
        let (own, other) = (UserId("u1".into()), UserId("u2".into()));
        assert!(policy(&alice, Action::Write, Resource::User(&own)).is_ok());
        assert!(policy(&alice, Action::Administer, Resource::User(&own)).is_err());
        assert!(policy(&alice, Action::Read, Resource::User(&other)).is_err());
        let admin = with(vec![Grant::everywhere(Role::Admin)]);
        assert!(policy(&admin, Action::Administer, Resource::User(&other)).is_ok());
    }

    #[test]
    fn nobody_is_told_to_sign_in() {
        let told = policy(&Principal::nobody(), Action::Read, Resource::SomePart);
        assert_eq!(told, Err(Refused::NotSignedIn));
    }
}
