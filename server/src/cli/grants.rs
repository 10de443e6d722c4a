//! Roles as they are written on the command line: `writer`, or `writer:kind=service,prefix=team-a/,owner=payments` for a part of
//! the graph.

use amadeus_proto::v1::{Grant, Role, Scope};
use clap::ValueEnum;

/// A role that somebody has or is to have.
#[derive(Clone, Debug, PartialEq)]
pub struct GrantArg(pub Grant);

/// A role.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum RoleArg {
    /// Reads the graph
    Reader,
    /// Writes it
    Writer,
    /// Runs the server
    Operator,
    /// Does everything
    Admin,
}

impl From<RoleArg> for Role {
    fn from(role: RoleArg) -> Self {
        match role {
            RoleArg::Reader => Self::Reader,
            RoleArg::Writer => Self::Writer,
            RoleArg::Operator => Self::Operator,
            RoleArg::Admin => Self::Admin,
        }
    }
}

impl std::str::FromStr for GrantArg {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (role, scope) = match text.split_once(':') {
            Some((role, scope)) => (role, Some(scope)),
            None => (text, None),
        };
        let role = RoleArg::from_str(role, false)
            .map_err(|_| format!("{role:?} is no role: reader, writer, operator or admin"))?;
        Ok(Self(Grant {
            role: Role::from(role).into(),
            scope: scope.map(parse_scope).transpose()?,
        }))
    }
}

/// What a scope says of, as it is written.
const FIELDS: [&str; 3] = ["kind", "prefix", "owner"];

fn parse_scope(text: &str) -> Result<Scope, String> {
    let mut fields = FIELDS.map(|_| String::new());
    let mut last = None;
    for part in text.split(',') {
        let named = part.split_once('=').and_then(|(name, value)| {
            let field = FIELDS.iter().position(|field| *field == name)?;
            Some((field, value))
        });
        match (named, last) {
            (Some((_, "")), _) => return Err(format!("{part:?} says nothing: leave it out")),
            (Some((field, _)), _) if !fields[field].is_empty() => {
                return Err(format!("{part:?} says it a second time"));
            }
            (Some((field, value)), _) => {
                fields[field].push_str(value);
                last = Some(field);
            }
            // A name may hold a comma.
            (None, Some(field)) => {
                fields[field].push(',');
                fields[field].push_str(part);
            }
            (None, None) => {
                return Err(format!(
                    "{part:?} is no part of a scope: kind=KIND, prefix=PREFIX, owner=OWNER"
                ));
            }
        }
    }
    let [kind, name_prefix, owner] = fields;
    Ok(Scope {
        kind,
        name_prefix,
        owner,
    })
}

/// As it is written.
pub fn shown(grant: &Grant) -> String {
    let role = match grant.role() {
        Role::Unspecified => "unknown",
        Role::Reader => "reader",
        Role::Writer => "writer",
        Role::Operator => "operator",
        Role::Admin => "admin",
    };
    let Some(scope) = &grant.scope else {
        return role.to_owned();
    };
    let values = [&scope.kind, &scope.name_prefix, &scope.owner];
    let parts: Vec<String> = FIELDS
        .iter()
        .zip(values)
        .filter(|(_, value)| !value.is_empty())
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    format!("{role}:{}", parts.join(","))
}

/// All of them, on one line.
pub fn all_shown(grants: &[Grant]) -> String {
    let all: Vec<String> = grants.iter().map(shown).collect();
    all.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_grant_reads_back_as_it_is_shown() {
        for text in [
            "reader",
            "admin",
            "writer:kind=service",
            "writer:kind=service,prefix=team-a/,owner=payments",
            "reader:prefix=a,b",
            "reader:prefix=a=b,owner=x",
        ] {
            let grant: GrantArg = text.parse().expect("it is one");
            assert_eq!(shown(&grant.0), text);
        }
    }

    #[test]
    fn what_is_no_grant_says_why() {
        for (text, why) in [
            ("boss", "no role"),
            ("reader:", "no part of a scope"),
            ("reader:color=red", "no part of a scope"),
            ("reader:kind=", "says nothing"),
            ("reader:kind=a,kind=b", "second time"),
        ] {
            let said = text.parse::<GrantArg>().expect_err("it is none");
            assert!(said.contains(why), "{said}");
        }
    }
}
