//! A user that is written into the store with no server in between: the first administrator, where nobody could sign in to
//! make one.
//!
//! A store on disk is locked as a server locks it, so that one that has it is noticed. Whoever can write the files of the
//! store, or has the password of its database, could have written the row anyhow: nothing is given away.

use amadeus_proto::v1;

use super::{
    args::{ClientArgs, Output},
    failure::CliError,
    out::{self, Out},
    render,
    users::{UserCreateArgs, one},
};
use crate::app::now_ms;
use crate::auth::{ANONYMOUS, Event, Grant, Outcome, Passwords, Role, password};
use crate::rpc::to_proto::timestamp;
use crate::storage::{self, OpenOptions, Opened, StoreUrl};
use crate::users::{Email, NewUser, Profile, User, UserError, UserStatus, UserStore, Username};

/// Creates it in the store at `url`, and shows it.
pub async fn create(args: &ClientArgs, url: &str, create: UserCreateArgs) -> Result<(), CliError> {
    if url.starts_with("memory:") {
        return Err(CliError::Usage(
            "a store in memory ends with its process: name the one of the server".into(),
        ));
    }
    let wrong = |fault: kg_core::error::Fault| CliError::Usage(fault.to_string());
    let username = Username::parse_new("the name", &create.name).map_err(wrong)?;
    let email = match create.email.as_str() {
        "" => None,
        text => Some(Email::parse("--email", text).map_err(wrong)?),
    };
    let given = create.read_password()?;
    let password = if given.is_empty() {
        None
    } else {
        password::check("the password", &given).map_err(wrong)?;
        let hashed = Passwords::default().hash(given).await;
        Some(hashed.map_err(|busy| CliError::Stopped(busy.to_string()))?)
    };
    let mut said = v1::Profile::default();
    create.said.say(&mut said);
    let new = NewUser {
        username,
        email,
        password,
        profile: Profile {
            display_name: said.display_name,
            team: said.team,
            contact: said.contact,
            attributes: said.attributes,
        },
        grants: vec![Grant::everywhere(Role::Admin)],
        status: UserStatus::Active,
    };
    storage::keep_to_owner();
    let opened = storage::open(url, &OpenOptions::default())
        .await
        .map_err(|error| CliError::Stopped(error.to_string()))?;
    let created = write(&opened, new).await;
    if let Err(error) = opened.backend.close().await {
        out::note(&format!("the store did not close in order: {error}"));
    }
    let user = shown(&created?);
    out::note(&format!(
        "written to {}, where the next server finds it",
        StoreUrl::shown(url)
    ));
    let mut out = Out::new();
    out.text(&match args.output {
        Output::Table => one(&user),
        Output::Json => render::json(&render::tree(&user)?)?,
        Output::Yaml => render::yaml(&render::tree(&user)?)?,
    })?;
    out.flush()
}

async fn write(opened: &Opened, new: NewUser) -> Result<User, CliError> {
    let users = UserStore::open(opened)
        .await
        .map_err(|error| CliError::Stopped(error.to_string()))?;
    let created = create_and_tell(&users, new).await;
    users.close().await;
    created.map_err(|error| match error {
        UserError::AlreadyExists { .. } => CliError::Refused(error.to_string()),
        other => CliError::Stopped(other.to_string()),
    })
}

async fn create_and_tell(users: &UserStore, new: NewUser) -> Result<User, UserError> {
    let created = users.create(new, now_ms(), None).await?;
    let event = Event {
        time_ms: now_ms(),
        actor: ANONYMOUS.into(),
        source: String::new(),
        action: "create_user",
        resource: format!("user/{}", created.username),
        outcome: Outcome::Done,
        reason: "an administrator, written into the store with no server in between".into(),
    };
    users.append_events(&[event]).await?;
    Ok(created)
}

/// As a server would show it.
fn shown(user: &User) -> v1::User {
    v1::User {
        id: user.id.to_string(),
        username: user.username.clone(),
        email: user.email.clone(),
        status: v1::UserStatus::Active.into(),
        roles: vec![v1::Role::Admin.into()],
        grants: vec![v1::Grant {
            role: v1::Role::Admin.into(),
            scope: None,
        }],
        profile: Some(v1::Profile {
            display_name: user.profile.display_name.clone(),
            team: user.profile.team.clone(),
            contact: user.profile.contact.clone(),
            attributes: user.profile.attributes.clone(),
        }),
        version: user.version,
        created_at: Some(timestamp(user.created_ms)),
        updated_at: Some(timestamp(user.updated_ms)),
    }
}
