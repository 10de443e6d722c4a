//! Signing in and out, and who one is.

use amadeus_proto::v1::{
    LoginRequest, LogoutRequest, Profile, RegisterRequest, User, ValidateTokenRequest,
    ValidateTokenResponse,
};
use clap::Args;

use super::{
    args::{ClientArgs, Output, Token},
    credentials::{Credentials, Saved},
    failure::CliError,
    grants, out,
    password::PasswordArgs,
    session::Session,
    signing::in_ms,
    table, users,
    way::Way,
};

#[derive(Debug, Args)]
pub struct LoginArgs {
    /// Name or e-mail address; without it, that of the last session
    pub name: Option<String>,
    #[command(flatten)]
    pub password: PasswordArgs,
    /// Print the access token, and save nothing
    #[arg(long)]
    pub print_token: bool,
}

#[derive(Debug, Args)]
pub struct LogoutArgs {
    /// End all sessions of the user, on all machines
    #[arg(long)]
    pub everywhere: bool,
}

#[derive(Debug, Args)]
pub struct RegisterArgs {
    /// The name: 1 to 64 letters, digits, and . _ -
    pub name: String,
    /// E-mail address, by which one can sign in too
    #[arg(long, default_value = "", hide_default_value = true)]
    pub email: String,
    /// The name that is shown
    #[arg(long, default_value = "", hide_default_value = true)]
    pub display_name: String,
    /// The token that the server showed at its first start: with it, the user is the first administrator
    #[arg(
        long,
        env = "AMADEUS_SETUP_TOKEN",
        hide_env_values = true,
        value_name = "TOKEN"
    )]
    pub setup_token: Option<Token>,
    #[command(flatten)]
    pub password: PasswordArgs,
}

/// Signs in and keeps the session for the commands that follow.
pub async fn login(session: &mut Session, args: LoginArgs) -> Result<(), CliError> {
    let server = session.way().url().to_owned();
    let credentials = Credentials::of_this_user();
    let name = match (args.name, &credentials) {
        (Some(name), _) => name,
        (None, Ok(credentials)) => match credentials.of(&server)? {
            Some(saved) => saved.user,
            None => {
                return Err(CliError::Usage(format!(
                    "nobody has signed in at {server} before: say who, `amadeus login NAME`"
                )));
            }
        },
        (None, Err(_)) => return Err(CliError::Usage("say who: `amadeus login NAME`".into())),
    };
    warn_if_overheard(session);
    let request = LoginRequest {
        password: args
            .password
            .existing(&format!("Password of {}: ", table::visible(&name)))?,
        username: name,
    };
    // A try that was lost may have been counted: it is not made again by itself.
    let send = async |r| session.auth().login(r).await;
    let mut reply = session.call_once(request, send).await?;
    if args.print_token {
        return match session.output {
            Output::Table => session.out.text(&reply.access_token),
            Output::Json | Output::Yaml => session.show(&reply, |_| String::new()),
        };
    }
    let user = reply.user.clone().unwrap_or_default();
    let saved = Saved {
        user: user.username,
        access_token: std::mem::take(&mut reply.access_token),
        access_expires_ms: in_ms(reply.access_expires_at),
        refresh_token: std::mem::take(&mut reply.refresh_token),
        refresh_expires_ms: in_ms(reply.refresh_expires_at),
    };
    credentials?.lock().await?.save(&server, saved)?;
    session.show(&reply, |reply| {
        let user = reply.user.as_ref().map(signed_in).unwrap_or_default();
        format!("signed in at {server} {user}\n")
    })
}

fn signed_in(user: &User) -> String {
    let roles = match grants::all_shown(&user.grants) {
        none if none.is_empty() => "no role yet".to_owned(),
        roles => roles,
    };
    format!(
        "as {} ({})",
        table::visible(&user.username),
        table::visible(&roles)
    )
}

/// Ends the session here and at the server. Here it is forgotten first, so that it is also where nobody answers.
pub async fn logout(args: &ClientArgs, logout: LogoutArgs) -> Result<(), CliError> {
    let way = Way::of(&args.way)?;
    let server = way.url();
    let mut request = LogoutRequest {
        everywhere: logout.everywhere,
        ..LogoutRequest::default()
    };
    if args.token.is_none() {
        let locked = Credentials::of_this_user()?.lock().await?;
        let Some(saved) = locked.of(server)? else {
            out::note(&format!("nobody is signed in at {server}"));
            return Ok(());
        };
        locked.forget(server)?;
        request.refresh_token = saved.refresh_token;
    }
    let mut session = Session::connect_as_nobody(args).await?;
    if let Some(token) = &args.token {
        session.sign(token)?;
    }
    let send = async |r| session.auth().logout(r).await;
    let reply = session.call(request, send).await?;
    session.show(&reply, |reply| {
        let sessions = table::count(reply.sessions_ended as usize, "session", "sessions");
        format!("signed out at {server}: {sessions} ended\n")
    })?;
    session.out.flush()
}

/// Whose the token of the calls is.
pub async fn whoami(session: &mut Session) -> Result<(), CliError> {
    let send = async |r| session.auth().validate_token(r).await;
    let reply = session.call(ValidateTokenRequest::default(), send).await?;
    session.show(&reply, principal)
}

fn principal(reply: &ValidateTokenResponse) -> String {
    table::record(&[
        ("name", reply.principal.clone()),
        ("user id", reply.user_id.clone()),
        (
            "may",
            if reply.grants.is_empty() {
                "nothing yet: an administrator gives a role, with `amadeus user role add`"
                    .to_owned()
            } else {
                grants::all_shown(&reply.grants)
            },
        ),
        (
            "until",
            reply.expires_at.map(|t| t.to_string()).unwrap_or_default(),
        ),
    ])
}

/// Makes a user of one's own.
pub async fn register(session: &mut Session, args: RegisterArgs) -> Result<(), CliError> {
    warn_if_overheard(session);
    let name = args.name.clone();
    let request = RegisterRequest {
        password: args.password.new_one("New password: ")?,
        username: args.name,
        email: args.email,
        profile: Some(Profile {
            display_name: args.display_name,
            ..Profile::default()
        }),
        setup_token: args.setup_token.map(|token| token.0).unwrap_or_default(),
    };
    let send = async |r| session.auth().register(r).await;
    let reply = session.call_once(request, send).await?;
    session.show(&reply, |reply| {
        reply.user.as_ref().map(users::one).unwrap_or_default()
    })?;
    out::note(&format!("sign in with `amadeus login {name}`"));
    Ok(())
}

/// Says that a password can be read on its way.
pub fn warn_if_overheard(session: &Session) {
    if session.way().is_overheard() {
        out::note(
            "note: the password goes to another machine unencrypted, as this address has no TLS",
        );
    }
}
