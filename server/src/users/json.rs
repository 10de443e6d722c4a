//! Users in JSON: their grants and profiles in the rows, and the whole of one in the cache. None of it is secret.

use kg_core::access::Scope;
use kg_core::model::Kind;
use serde::{Deserialize, Serialize};

use super::user::{Profile, User, UserStatus};
use crate::auth::{Grant, Role, UserId};

#[derive(Serialize, Deserialize)]
struct JsonScope {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    kind: Option<String>,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    name_prefix: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    owner: Option<String>,
}

#[derive(Serialize, Deserialize)]
struct JsonGrant {
    role: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    scope: Option<JsonScope>,
}

#[derive(Serialize, Deserialize)]
struct JsonUser {
    id: String,
    username: String,
    email: String,
    status: String,
    grants: Vec<JsonGrant>,
    profile: Profile,
    version: u64,
    created_ms: u64,
    updated_ms: u64,
}

/// Grants as they are kept.
pub(super) fn grants(grants: &[Grant]) -> String {
    let grants: Vec<JsonGrant> = grants.iter().map(grant).collect();
    text(&grants)
}

/// Grants that were kept; what is wrong with them otherwise.
pub(super) fn grants_of(json: &str) -> Result<Vec<Grant>, String> {
    let grants: Vec<JsonGrant> = parse(json)?;
    grants.into_iter().map(grant_of).collect()
}

/// A profile as it is kept.
pub(super) fn profile(profile: &Profile) -> String {
    text(profile)
}

/// A profile that was kept; what is wrong with it otherwise.
pub(super) fn profile_of(json: &str) -> Result<Profile, String> {
    parse(json)
}

/// A user as the cache keeps one.
pub(super) fn user(user: &User) -> String {
    text(&JsonUser {
        id: user.id.to_string(),
        username: user.username.clone(),
        email: user.email.clone(),
        status: user.status.name().into(),
        grants: user.grants.iter().map(grant).collect(),
        profile: user.profile.clone(),
        version: user.version,
        created_ms: user.created_ms,
        updated_ms: user.updated_ms,
    })
}

/// A user whom the cache kept; what is wrong with it otherwise.
pub(super) fn user_of(json: &str) -> Result<User, String> {
    let user: JsonUser = parse(json)?;
    let grants = user.grants.into_iter().map(grant_of);
    Ok(User {
        id: UserId(user.id.into()),
        username: user.username,
        email: user.email,
        status: UserStatus::of_name(&user.status).ok_or("its status is not known")?,
        grants: grants.collect::<Result<_, _>>()?,
        profile: user.profile,
        version: user.version,
        created_ms: user.created_ms,
        updated_ms: user.updated_ms,
    })
}

fn grant(grant: &Grant) -> JsonGrant {
    JsonGrant {
        role: grant.role.name().into(),
        scope: grant.scope.as_ref().map(|scope| JsonScope {
            kind: scope.kind.as_ref().map(ToString::to_string),
            name_prefix: scope.name_prefix.clone(),
            owner: scope.owner.clone(),
        }),
    }
}

fn grant_of(grant: JsonGrant) -> Result<Grant, String> {
    let role = Role::of_name(&grant.role)
        .ok_or_else(|| format!("the role {:?} is not known", grant.role))?;
    let scope = grant.scope.map(|scope| {
        let kind = scope.kind.map(|kind| Kind::parse("kind", &kind));
        Ok::<_, String>(Scope {
            kind: kind.transpose().map_err(|fault| fault.to_string())?,
            name_prefix: scope.name_prefix,
            owner: scope.owner,
        })
    });
    Ok(Grant {
        role,
        scope: scope.transpose()?,
    })
}

fn text(value: &impl Serialize) -> String {
    // Strings, numbers and lists of them: there is nothing in it that JSON has no form for.
    serde_json::to_string(value).unwrap_or_default()
}

fn parse<T: for<'a> Deserialize<'a>>(json: &str) -> Result<T, String> {
    serde_json::from_str(json).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_comes_back_from_json_as_it_was() {
        let scope = Scope {
            kind: Some(Kind::parse("kind", "document").expect("a kind")),
            name_prefix: "team/\"x\"".into(),
            owner: Some("é".into()),
        };
        let attributes = [("a".to_owned(), "\u{1f600}\n".to_owned())].into();
        let there = User {
            id: UserId("1".into()),
            username: "Ann".into(),
            email: "ann@example.org".into(),
            status: UserStatus::Disabled,
            grants: vec![
                Grant::everywhere(Role::Admin),
                Grant {
                    role: Role::Reader,
                    scope: Some(Scope::default()),
                },
                Grant {
                    role: Role::Writer,
                    scope: Some(scope),
                },
            ],
            profile: Profile {
                display_name: "Ann".into(),
                attributes,
                ..Profile::default()
            },
            version: u64::MAX,
            created_ms: 1,
            updated_ms: 2,
        };
        assert_eq!(user_of(&user(&there)), Ok(there.clone()));
        assert_eq!(grants_of(&grants(&there.grants)), Ok(there.grants));
        assert!(user_of("{}").is_err());
        assert!(grants_of("[{\"role\":\"king\"}]").is_err());
    }
}
