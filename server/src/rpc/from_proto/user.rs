//! Users, roles and profiles from the wire.

use amadeus_proto::v1;
use kg_core::access::Scope;
use kg_core::error::Fault;
use kg_core::limits::NAME_BYTES;
use kg_core::model::Kind;

use super::{check_text, number_of};
use crate::auth::{Grant, Role};
use crate::users::Profile;

/// Roles that one list may name. Whoever needs more has them by wider scopes.
pub const GRANTS: usize = 100;

/// Bytes of each text of a profile.
const PROFILE_TEXT_BYTES: usize = 256;

/// Attributes of a profile.
const ATTRIBUTES: usize = 64;

/// Bytes of an attribute.
const ATTRIBUTE_BYTES: usize = 1_024;

/// A role that must be one.
///
/// # Errors
/// A fault of `field`.
pub fn role(field: &str, number: i32) -> Result<Role, Fault> {
    match number_of::<v1::Role>(field, number)? {
        v1::Role::Unspecified => Err(Fault::new(field, "is required")),
        v1::Role::Reader => Ok(Role::Reader),
        v1::Role::Writer => Ok(Role::Writer),
        v1::Role::Operator => Ok(Role::Operator),
        v1::Role::Admin => Ok(Role::Admin),
    }
}

/// A part of the graph.
///
/// # Errors
/// A fault of a field below `field`.
pub fn scope(field: &str, given: &v1::Scope) -> Result<Scope, Fault> {
    let parsed = || -> Result<Scope, Fault> {
        if *given == v1::Scope::default() {
            let reason = "says nothing: leave it out for everything, or give a kind, a name_prefix or an owner";
            return Err(Fault::new("", reason));
        }
        check_text("name_prefix", &given.name_prefix, NAME_BYTES)?;
        check_text("owner", &given.owner, NAME_BYTES)?;
        let kind = (!given.kind.is_empty()).then(|| Kind::parse("kind", &given.kind));
        Ok(Scope {
            kind: kind.transpose()?,
            name_prefix: given.name_prefix.clone(),
            owner: (!given.owner.is_empty()).then(|| given.owner.clone()),
        })
    };
    parsed().map_err(|fault| fault.under(field))
}

/// A role with its scope. An administrator within a scope could give themselves what lies beyond it, so there is none.
///
/// # Errors
/// A fault of `field` or of a field below it.
pub fn grant(field: &str, number: i32, within: Option<&v1::Scope>) -> Result<Grant, Fault> {
    let role = role("role", number).map_err(|fault| fault.under(field))?;
    let scope = within.map(|given| scope("scope", given).map_err(|fault| fault.under(field)));
    let scope = scope.transpose()?;
    if role == Role::Admin && scope.is_some() {
        return Err(Fault::new(
            field,
            "an ADMIN is one everywhere: leave the scope out",
        ));
    }
    Ok(Grant { role, scope })
}

/// Roles with their scopes, in order and each once.
///
/// # Errors
/// A fault of `field` or of one of its entries.
pub fn grants(field: &str, given: &[v1::Grant]) -> Result<Vec<Grant>, Fault> {
    if given.len() > GRANTS {
        let reason = format!("has {} entries, at most {GRANTS} are allowed", given.len());
        return Err(Fault::new(field, reason));
    }
    let one = |(i, each): (usize, &v1::Grant)| {
        grant(&format!("{field}[{i}]"), each.role, each.scope.as_ref())
    };
    given.iter().enumerate().map(one).collect()
}

/// What is said about a user; nothing where it is absent.
///
/// # Errors
/// A fault of a field below `field`.
pub fn profile(field: &str, given: Option<v1::Profile>) -> Result<Profile, Fault> {
    let Some(given) = given else {
        return Ok(Profile::default());
    };
    let check = || -> Result<(), Fault> {
        let texts = [
            ("display_name", &given.display_name),
            ("team", &given.team),
            ("contact", &given.contact),
        ];
        for (name, text) in texts {
            check_text(name, text, PROFILE_TEXT_BYTES)?;
        }
        let count = given.attributes.len();
        if count > ATTRIBUTES {
            let reason = format!("has {count} entries, at most {ATTRIBUTES} are allowed");
            return Err(Fault::new("attributes", reason));
        }
        for (key, value) in &given.attributes {
            check_text("attributes", key, PROFILE_TEXT_BYTES)?;
            check_text("attributes", value, ATTRIBUTE_BYTES)?;
        }
        Ok(())
    };
    check().map_err(|fault| fault.under(field))?;
    Ok(Profile {
        display_name: given.display_name,
        team: given.team,
        contact: given.contact,
        attributes: given.attributes.into_iter().collect(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(role: v1::Role, scope: Option<v1::Scope>) -> v1::Grant {
        v1::Grant {
            role: role.into(),
            scope,
        }
    }

    #[test]
    fn a_role_may_have_a_scope_unless_it_is_that_of_an_administrator() {
        let scope = v1::Scope {
            kind: "document".into(),
            name_prefix: "a".into(),
            owner: String::new(),
        };
        let given = [
            asked(v1::Role::Writer, Some(scope.clone())),
            asked(v1::Role::Admin, None),
        ];
        let parsed = grants("grants", &given).expect("good");
        assert_eq!(parsed[1], Grant::everywhere(Role::Admin));
        let within = parsed[0].scope.as_ref().expect("a scope");
        assert_eq!(
            (within.name_prefix.as_str(), within.owner.as_ref()),
            ("a", None)
        );
        let scoped = [given[1].clone(), asked(v1::Role::Admin, Some(scope))];
        let fault = grants("grants", &scoped).expect_err("refused");
        assert_eq!(fault.field, "grants[1]");
    }

    #[test]
    fn a_fault_of_a_role_names_its_place() {
        let fault = |grant: v1::Grant| grants("grants", &[grant]).expect_err("refused").field;
        assert_eq!(fault(asked(v1::Role::Unspecified, None)), "grants[0].role");
        let scope = v1::Scope {
            kind: "no kind!".into(),
            ..v1::Scope::default()
        };
        assert_eq!(
            fault(asked(v1::Role::Reader, Some(scope))),
            "grants[0].scope.kind"
        );
        let many = vec![asked(v1::Role::Reader, None); GRANTS + 1];
        assert_eq!(
            grants("grants", &many).expect_err("refused").field,
            "grants"
        );
    }
}
