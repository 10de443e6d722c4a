//! Users from the command line: who there is, what each may do, and their passwords.

use amadeus_proto::v1::{
    AssignRoleRequest, CreateUserRequest, DeleteUserRequest, GetUserByUsernameRequest,
    GetUserRequest, Grant, ListUsersRequest, Profile, RemoveRoleRequest, Role,
    UpdatePasswordRequest, UpdateProfileRequest, UpdateUserRequest, User, UserStatus,
    ValidateTokenRequest,
};
use clap::{Args, Subcommand, ValueEnum};

use super::{
    args::ListArgs,
    failure::CliError,
    grants::{self, GrantArg, RoleArg},
    login::warn_if_overheard,
    out,
    overview::tell_count,
    password::PasswordArgs,
    session::Session,
    table,
};

#[derive(Debug, Subcommand)]
pub enum UserCommand {
    /// Create a user
    #[command(after_help = "\
A role is reader, writer, operator or admin; behind a colon it is for a part of the graph only.

Examples:
  amadeus user create alice --grant writer:kind=service,prefix=payments- --grant reader
  amadeus user create checkout-ci --no-password           # signs in by keys and certificates alone
  amadeus user create alice --admin --store sqlite://amadeus-data/amadeus.db   # while no server has the store")]
    Create(Box<UserCreateArgs>),
    /// Show a user
    Get(UserGetArgs),
    /// List users
    List(UserListArgs),
    /// Change name, e-mail address or status; who is disabled is signed out everywhere
    Update(UserUpdateArgs),
    /// Delete a user, with all sessions and keys
    Delete(UserDeleteArgs),
    /// Set a password, one's own or another's, and end the other sessions
    #[command(after_help = "\
Examples:
  amadeus user password                                        # one's own
  amadeus user password alice                                  # another's, as an administrator
  printf '%s\\n' \"$OLD\" \"$NEW\" | amadeus user password --password-stdin")]
    Password(UserPasswordArgs),
    /// Roles of a user: add, remove
    #[command(subcommand)]
    Role(UserRoleCommand),
    /// Change what is said about a user; what is not given stays
    #[command(after_help = "\
Examples:
  amadeus user profile --team payments --attribute pager=+49-30-1234
  amadeus user profile alice --contact alice@example.com --attribute pager=     # nothing takes it away")]
    Profile(UserProfileArgs),
}

#[derive(Debug, Subcommand)]
pub enum UserRoleCommand {
    /// Give a role
    #[command(after_help = "\
Examples:
  amadeus user role add alice operator
  amadeus user role add alice writer:owner=payments")]
    Add(UserRoleArgs),
    /// Take a role away, as it was given; what is open by it ends within five seconds
    Remove(UserRoleArgs),
}

#[derive(Debug, Args)]
pub struct UserCreateArgs {
    /// The name: 1 to 64 letters, digits, and . _ -
    pub name: String,
    /// E-mail address, by which one can sign in too
    #[arg(long, default_value = "", hide_default_value = true)]
    pub email: String,
    /// A role: reader, writer, operator or admin; behind a colon the part of the graph that it is for: kind=KIND (`document`: sections
    /// of the documents), prefix=PREFIX, owner=OWNER, by commas. May be given again
    #[arg(long = "grant", value_name = "ROLE[:SCOPE]")]
    pub grants: Vec<GrantArg>,
    /// The role admin
    #[arg(long)]
    pub admin: bool,
    /// Create it disabled
    #[arg(long)]
    pub disabled: bool,
    /// Without a password: only keys and certificates are good
    #[arg(long, conflicts_with = "password_stdin")]
    pub no_password: bool,
    #[command(flatten)]
    pub said: ProfileArgs,
    #[command(flatten)]
    pub password: PasswordArgs,
    /// Write into this store and ask no server: for the first administrator. No server may have a store on disk meanwhile
    #[arg(long, value_name = "URL", requires = "admin", conflicts_with_all = ["grants", "disabled"])]
    pub store: Option<String>,
    #[command(flatten)]
    pub reason: ReasonArgs,
}

#[derive(Debug, Args)]
pub struct UserGetArgs {
    /// The user; without it, oneself
    pub name: Option<String>,
}

#[derive(Debug, Args)]
pub struct UserListArgs {
    /// Only names that begin like this, whatever the case
    #[arg(long, default_value = "", hide_default_value = true)]
    pub prefix: String,
    /// Only users of this status
    #[arg(long)]
    pub status: Option<Status>,
    /// Only users who have this role, everywhere or somewhere
    #[arg(long)]
    pub role: Option<RoleArg>,
    #[command(flatten)]
    pub list: ListArgs,
}

#[derive(Debug, Args)]
pub struct UserUpdateArgs {
    /// The user
    pub name: String,
    /// The name from now on
    #[arg(long, value_name = "NAME")]
    pub rename: Option<String>,
    /// The e-mail address from now on; empty for none
    #[arg(long)]
    pub email: Option<String>,
    /// Whether the user may sign in
    #[arg(long)]
    pub status: Option<Status>,
    #[command(flatten)]
    pub expect: ExpectArgs,
    #[command(flatten)]
    pub reason: ReasonArgs,
}

#[derive(Debug, Args)]
pub struct UserDeleteArgs {
    /// The user
    pub name: String,
    #[command(flatten)]
    pub expect: ExpectArgs,
    #[command(flatten)]
    pub reason: ReasonArgs,
}

#[derive(Debug, Args)]
pub struct UserPasswordArgs {
    /// The user; without it, oneself
    pub name: Option<String>,
    #[command(flatten)]
    pub password: PasswordArgs,
    #[command(flatten)]
    pub reason: ReasonArgs,
}

#[derive(Debug, Args)]
pub struct UserRoleArgs {
    /// The user
    pub name: String,
    /// The role: reader, writer, operator or admin; behind a colon the part of the graph that it is for: kind=KIND (`document`:
    /// sections of the documents), prefix=PREFIX, owner=OWNER, by commas
    #[arg(value_name = "ROLE[:SCOPE]")]
    pub grant: GrantArg,
    #[command(flatten)]
    pub expect: ExpectArgs,
    #[command(flatten)]
    pub reason: ReasonArgs,
}

#[derive(Debug, Args)]
pub struct UserProfileArgs {
    /// The user; without it, oneself
    pub name: Option<String>,
    #[command(flatten)]
    pub said: ProfileArgs,
    #[command(flatten)]
    pub reason: ReasonArgs,
}

/// What is said about a user.
#[derive(Debug, Default, Args)]
pub struct ProfileArgs {
    /// The name that is shown
    #[arg(long)]
    pub display_name: Option<String>,
    /// The team
    #[arg(long)]
    pub team: Option<String>,
    /// Where to reach them
    #[arg(long)]
    pub contact: Option<String>,
    /// Anything else; may be given again
    #[arg(long = "attribute", value_name = "NAME=VALUE", value_parser = attribute)]
    pub attributes: Vec<(String, String)>,
}

/// Which version is changed.
#[derive(Debug, Clone, Copy, Default, Args)]
pub struct ExpectArgs {
    /// Only if the user is still at this version
    #[arg(long, value_name = "VERSION")]
    pub expect: Option<u64>,
}

/// Why something is done.
#[derive(Debug, Clone, Default, Args)]
pub struct ReasonArgs {
    /// Why, for the audit log
    #[arg(long, default_value = "", hide_default_value = true)]
    pub reason: String,
}

/// Whether a user may sign in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Status {
    /// May
    Active,
    /// May not, and no key is good
    Disabled,
}

impl From<Status> for UserStatus {
    fn from(status: Status) -> Self {
        match status {
            Status::Active => Self::Active,
            Status::Disabled => Self::Disabled,
        }
    }
}

impl UserCreateArgs {
    /// The roles that are given.
    pub fn all_grants(&self) -> Vec<Grant> {
        let admin = self.admin.then(|| Grant {
            role: Role::Admin.into(),
            scope: None,
        });
        let given = self.grants.iter().map(|grant| grant.0.clone());
        given.chain(admin).collect()
    }

    /// The password, unless there is to be none.
    pub fn read_password(&self) -> Result<String, CliError> {
        if self.no_password {
            return Ok(String::new());
        }
        let prompt = format!("Password of {}: ", table::visible(&self.name));
        self.password.new_one(&prompt)
    }
}

pub async fn run(session: &mut Session, command: UserCommand) -> Result<(), CliError> {
    match command {
        UserCommand::Create(args) => create(session, *args).await,
        UserCommand::Get(args) => get(session, args).await,
        UserCommand::List(args) => list(session, args).await,
        UserCommand::Update(args) => update(session, args).await,
        UserCommand::Delete(args) => delete(session, args).await,
        UserCommand::Password(args) => password(session, args).await,
        UserCommand::Role(UserRoleCommand::Add(args)) => add_role(session, args).await,
        UserCommand::Role(UserRoleCommand::Remove(args)) => remove_role(session, args).await,
        UserCommand::Profile(args) => profile(session, args).await,
    }
}

async fn create(session: &mut Session, args: UserCreateArgs) -> Result<(), CliError> {
    if !args.no_password {
        warn_if_overheard(session);
    }
    let mut profile = Profile::default();
    let request = CreateUserRequest {
        password: args.read_password()?,
        grants: args.all_grants(),
        profile: {
            args.said.say(&mut profile);
            Some(profile)
        },
        username: args.name,
        email: args.email,
        roles: Vec::new(),
        status: match args.disabled {
            true => UserStatus::Disabled.into(),
            false => UserStatus::Active.into(),
        },
        reason: args.reason.reason,
    };
    // Sent twice it would find its own user in the way.
    let send = async |r| session.users().create_user(r).await;
    let reply = session.call_once(request, send).await?;
    session.show(&reply, |reply| shown(reply.user.as_ref()))
}

async fn get(session: &mut Session, args: UserGetArgs) -> Result<(), CliError> {
    let reply = match args.name {
        Some(username) => {
            let send = async |r| session.users().get_user_by_username(r).await;
            let request = GetUserByUsernameRequest { username };
            let reply = session.call(request, send).await?;
            amadeus_proto::v1::GetUserResponse {
                header: reply.header,
                user: reply.user,
            }
        }
        None => {
            let user_id = own_id(session).await?;
            let send = async |r| session.users().get_user(r).await;
            session.call(GetUserRequest { user_id }, send).await?
        }
    };
    session.show(&reply, |reply| shown(reply.user.as_ref()))
}

async fn list(session: &mut Session, args: UserListArgs) -> Result<(), CliError> {
    let request = ListUsersRequest {
        username_prefix: args.prefix,
        status: args
            .status
            .map_or(0, |status| UserStatus::from(status).into()),
        role: args.role.map_or(0, |role| Role::from(role).into()),
        ..ListUsersRequest::default()
    };
    let send = async |r| session.users().list_users(r).await;
    let reply = session.list(request, &args.list, send).await?;
    session.show(&reply, |reply| {
        let heading = ["NAME", "E-MAIL", "STATUS", "MAY", "TEAM"];
        table::columns(&heading, reply.users.iter().map(row))
    })?;
    tell_count(
        &table::count(reply.total as usize, "user", "users"),
        reply.header.as_ref(),
    );
    Ok(())
}

async fn update(session: &mut Session, args: UserUpdateArgs) -> Result<(), CliError> {
    if args.rename.is_none() && args.email.is_none() && args.status.is_none() {
        return Err(CliError::Usage(
            "nothing is to be changed: give --rename, --email or --status".into(),
        ));
    }
    let user = find(session, args.name).await?;
    let request = UpdateUserRequest {
        user_id: user.id,
        username: args.rename,
        email: args.email,
        status: args
            .status
            .map_or(0, |status| UserStatus::from(status).into()),
        expected_version: args.expect.expect,
        reason: args.reason.reason,
    };
    let send = async |r| session.users().update_user(r).await;
    let reply = session.call(request, send).await?;
    session.show(&reply, |reply| shown(reply.user.as_ref()))
}

async fn delete(session: &mut Session, args: UserDeleteArgs) -> Result<(), CliError> {
    let name = table::visible(&args.name);
    let user = find(session, args.name).await?;
    let request = DeleteUserRequest {
        user_id: user.id,
        expected_version: args.expect.expect,
        reason: args.reason.reason,
    };
    // Sent twice it would find nobody, which looks like a failure.
    let send = async |r| session.users().delete_user(r).await;
    session.call_once(request, send).await?;
    out::note(&format!("{name} is deleted"));
    Ok(())
}

async fn password(session: &mut Session, args: UserPasswordArgs) -> Result<(), CliError> {
    warn_if_overheard(session);
    let mut request = UpdatePasswordRequest {
        reason: args.reason.reason,
        ..UpdatePasswordRequest::default()
    };
    match args.name {
        Some(name) => request.user_id = find(session, name).await?.id,
        None => request.current_password = args.password.existing("Password so far: ")?,
    }
    request.new_password = args.password.new_one("New password: ")?;
    let send = async |r| session.users().update_password(r).await;
    let reply = session.call_once(request, send).await?;
    session.show(&reply, |reply| {
        let sessions = table::count(reply.sessions_ended as usize, "session", "sessions");
        format!("the password is set, {sessions} ended\n")
    })
}

async fn add_role(session: &mut Session, args: UserRoleArgs) -> Result<(), CliError> {
    let user = find(session, args.name).await?;
    let request = AssignRoleRequest {
        user_id: user.id,
        role: args.grant.0.role,
        scope: args.grant.0.scope,
        expected_version: args.expect.expect,
        reason: args.reason.reason,
    };
    let send = async |r| session.users().assign_role(r).await;
    let reply = session.call(request, send).await?;
    session.show(&reply, |reply| shown(reply.user.as_ref()))
}

async fn remove_role(session: &mut Session, args: UserRoleArgs) -> Result<(), CliError> {
    let user = find(session, args.name).await?;
    let request = RemoveRoleRequest {
        user_id: user.id,
        role: args.grant.0.role,
        scope: args.grant.0.scope,
        expected_version: args.expect.expect,
        reason: args.reason.reason,
    };
    let send = async |r| session.users().remove_role(r).await;
    let reply = session.call(request, send).await?;
    session.show(&reply, |reply| shown(reply.user.as_ref()))
}

async fn profile(session: &mut Session, args: UserProfileArgs) -> Result<(), CliError> {
    let user = match args.name {
        Some(name) => find(session, name).await?,
        None => {
            let user_id = own_id(session).await?;
            let send = async |r| session.users().get_user(r).await;
            let reply = session.call(GetUserRequest { user_id }, send).await?;
            reply.user.unwrap_or_default()
        }
    };
    let mut profile = user.profile.unwrap_or_default();
    args.said.say(&mut profile);
    let request = UpdateProfileRequest {
        user_id: user.id,
        profile: Some(profile),
        // All of it is replaced, so that nobody may have changed it since it was read.
        expected_version: Some(user.version),
        reason: args.reason.reason,
    };
    let send = async |r| session.users().update_profile(r).await;
    let reply = session.call(request, send).await?;
    session.show(&reply, |reply| shown(reply.user.as_ref()))
}

impl ProfileArgs {
    /// Says it of a profile.
    pub fn say(self, profile: &mut Profile) {
        let fields = [
            (self.display_name, &mut profile.display_name),
            (self.team, &mut profile.team),
            (self.contact, &mut profile.contact),
        ];
        for (given, field) in fields {
            if let Some(given) = given {
                *field = given;
            }
        }
        let (gone, kept): (Vec<_>, Vec<_>) = self
            .attributes
            .into_iter()
            .partition(|(_, value)| value.is_empty());
        profile.attributes.extend(kept);
        for (name, _) in gone {
            profile.attributes.remove(&name);
        }
    }
}

/// The user of this name.
pub async fn find(session: &Session, username: String) -> Result<User, CliError> {
    let send = async |r| session.users().get_user_by_username(r).await;
    let request = GetUserByUsernameRequest { username };
    let reply = session.call(request, send).await?;
    reply
        .user
        .ok_or_else(|| CliError::Reply("the reply holds no user".into()))
}

async fn own_id(session: &Session) -> Result<String, CliError> {
    let send = async |r| session.auth().validate_token(r).await;
    let reply = session.call(ValidateTokenRequest::default(), send).await?;
    match reply.user_id {
        none if none.is_empty() => Err(CliError::Usage(
            "calls are nobody's here: sign in with `amadeus login`, or name a user".into(),
        )),
        id => Ok(id),
    }
}

fn shown(user: Option<&User>) -> String {
    user.map(one).unwrap_or_default()
}

/// One user, in lines.
pub fn one(user: &User) -> String {
    let profile = user.profile.clone().unwrap_or_default();
    let attributes: Vec<String> = profile
        .attributes
        .iter()
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    let time = |time: Option<prost_types::Timestamp>| time.map(|t| t.to_string());
    table::record(&[
        ("name", user.username.clone()),
        ("id", user.id.clone()),
        ("e-mail", user.email.clone()),
        ("status", status(user).to_owned()),
        ("may", grants::all_shown(&user.grants)),
        ("display name", profile.display_name),
        ("team", profile.team),
        ("contact", profile.contact),
        ("attributes", attributes.join(" ")),
        ("version", user.version.to_string()),
        ("created", time(user.created_at).unwrap_or_default()),
        ("changed", time(user.updated_at).unwrap_or_default()),
    ])
}

fn row(user: &User) -> Vec<String> {
    vec![
        user.username.clone(),
        user.email.clone(),
        status(user).to_owned(),
        grants::all_shown(&user.grants),
        user.profile
            .as_ref()
            .map(|profile| profile.team.clone())
            .unwrap_or_default(),
    ]
}

fn status(user: &User) -> &'static str {
    match user.status() {
        UserStatus::Active => "active",
        UserStatus::Disabled => "disabled",
        UserStatus::Unspecified => "unknown",
    }
}

fn attribute(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err("write NAME=VALUE".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    #[test]
    fn what_is_not_said_of_a_profile_stays() {
        let mut profile = Profile {
            team: "payments".into(),
            contact: "#payments".into(),
            attributes: BTreeMap::from([("pager".into(), "1".into()), ("desk".into(), "2".into())]),
            ..Profile::default()
        };
        let said = ProfileArgs {
            contact: Some(String::new()),
            attributes: vec![
                attribute("pager=").expect("a pair"),
                attribute("room=a=b").expect("a pair"),
            ],
            ..ProfileArgs::default()
        };
        said.say(&mut profile);
        assert_eq!((&*profile.team, &*profile.contact), ("payments", ""));
        let attributes = [("desk", "2"), ("room", "a=b")];
        let attributes = attributes.map(|(name, value)| (name.to_owned(), value.to_owned()));
        assert_eq!(profile.attributes, BTreeMap::from(attributes));
        assert!(attribute("=x").is_err() && attribute("x").is_err());
    }

    #[test]
    fn a_user_is_shown_with_what_they_may() {
        let user = User {
            username: "alice".into(),
            status: UserStatus::Active.into(),
            grants: vec!["writer:kind=service".parse::<GrantArg>().expect("one").0],
            version: 3,
            ..User::default()
        };
        assert_eq!(
            one(&user),
            "name:     alice\nstatus:   active\nmay:      writer:kind=service\nversion:  3\n"
        );
    }
}
