//! API keys from the command line: by one a program is its user, or less.

use std::time::Duration;

use amadeus_proto::v1::{
    ApiKey, CreateApiKeyRequest, CreateApiKeyResponse, ListApiKeysRequest, RevokeApiKeyRequest,
};
use clap::{Args, Subcommand};

use super::{
    args::ListArgs,
    failure::CliError,
    grants::{self, GrantArg},
    out,
    overview::tell_count,
    session::Session,
    signing::{in_ms, now_ms},
    table,
    users::{ReasonArgs, find},
};

#[derive(Debug, Subcommand)]
pub enum KeyCommand {
    /// Make a key; it is shown now and never again
    #[command(after_help = "\
Examples:
  amadeus key create ci --grant reader --ttl 30d
  export AMADEUS_TOKEN=$(amadeus key create deploy -o json | jq -r .key)")]
    Create(KeyCreateArgs),
    /// List keys, without what is secret of them
    List(KeyListArgs),
    /// End a key, on every server within five seconds
    Revoke(KeyRevokeArgs),
}

#[derive(Debug, Args)]
pub struct KeyCreateArgs {
    /// What it is for; unique for its user
    pub name: String,
    /// Whose it is; without it, one's own
    #[arg(long)]
    pub user: Option<String>,
    /// What it is good for, as long as its user may do that too; may be given again. Without it: all that its user may do
    #[arg(long = "grant", value_name = "ROLE[:SCOPE]")]
    pub grants: Vec<GrantArg>,
    /// How long it is good: `30d`, `12h`, `10m`; `never` to end by itself
    #[arg(long, default_value = "90d", value_parser = ttl)]
    pub ttl: Duration,
    #[command(flatten)]
    pub reason: ReasonArgs,
}

#[derive(Debug, Args)]
pub struct KeyListArgs {
    /// Whose; without it, one's own
    #[arg(long)]
    pub user: Option<String>,
    /// Those that were revoked or have expired too
    #[arg(long)]
    pub all: bool,
    #[command(flatten)]
    pub list: ListArgs,
}

#[derive(Debug, Args)]
pub struct KeyRevokeArgs {
    /// The key, by the id that `amadeus key list` shows
    pub id: String,
    #[command(flatten)]
    pub reason: ReasonArgs,
}

pub async fn run(session: &mut Session, command: KeyCommand) -> Result<(), CliError> {
    match command {
        KeyCommand::Create(args) => create(session, args).await,
        KeyCommand::List(args) => list(session, args).await,
        KeyCommand::Revoke(args) => revoke(session, args).await,
    }
}

async fn create(session: &mut Session, args: KeyCreateArgs) -> Result<(), CliError> {
    let request = CreateApiKeyRequest {
        name: args.name,
        user_id: id_of(session, args.user).await?,
        grants: args.grants.into_iter().map(|grant| grant.0).collect(),
        ttl: prost_types::Duration::try_from(args.ttl).ok(),
        reason: args.reason.reason,
    };
    // Sent twice it would find its own key in the way, and nobody would have been told the secret of that.
    let send = async |r| session.auth().create_api_key(r).await;
    let reply = session.call_once(request, send).await?;
    session.show(&reply, made)?;
    out::note("the key is not shown again; give it to the program as AMADEUS_TOKEN");
    Ok(())
}

async fn list(session: &mut Session, args: KeyListArgs) -> Result<(), CliError> {
    let request = ListApiKeysRequest {
        user_id: id_of(session, args.user).await?,
        include_ended: args.all,
        ..ListApiKeysRequest::default()
    };
    let send = async |r| session.auth().list_api_keys(r).await;
    let reply = session.list(request, &args.list, send).await?;
    session.show(&reply, |reply| {
        let heading = ["ID", "NAME", "GOOD FOR", "CREATED", "EXPIRES", ""];
        table::columns(&heading, reply.api_keys.iter().map(row))
    })?;
    tell_count(
        &table::count(reply.api_keys.len(), "key", "keys"),
        reply.header.as_ref(),
    );
    Ok(())
}

async fn revoke(session: &mut Session, args: KeyRevokeArgs) -> Result<(), CliError> {
    let request = RevokeApiKeyRequest {
        key_id: args.id,
        reason: args.reason.reason,
    };
    let send = async |r| session.auth().revoke_api_key(r).await;
    let reply = session.call(request, send).await?;
    session.show(&reply, |reply| {
        let name = reply.api_key.as_ref().map(|key| key.name.clone());
        let name = name.unwrap_or_default();
        format!("the key {} is good no more\n", table::visible(&name))
    })
}

/// The id of a user; empty for oneself.
async fn id_of(session: &Session, name: Option<String>) -> Result<String, CliError> {
    match name {
        Some(name) => Ok(find(session, name).await?.id),
        None => Ok(String::new()),
    }
}

fn made(reply: &CreateApiKeyResponse) -> String {
    let key = reply.api_key.clone().unwrap_or_default();
    table::record(&[
        ("key", reply.key.clone()),
        ("id", key.id.clone()),
        ("name", key.name.clone()),
        ("good for", good_for(&key)),
        ("expires", expires(&key)),
    ])
}

fn row(key: &ApiKey) -> Vec<String> {
    let ended = match (key.revoked_at, key.expires_at) {
        (Some(_), _) => "revoked",
        (None, Some(at)) if in_ms(Some(at)) <= now_ms() => "expired",
        (None, _) => "",
    };
    vec![
        key.id.clone(),
        key.name.clone(),
        good_for(key),
        key.created_at.map(|t| t.to_string()).unwrap_or_default(),
        expires(key),
        ended.to_owned(),
    ]
}

fn good_for(key: &ApiKey) -> String {
    match key.grants.is_empty() {
        true => "all that its user may".to_owned(),
        false => grants::all_shown(&key.grants),
    }
}

fn expires(key: &ApiKey) -> String {
    key.expires_at
        .map_or_else(|| "never".to_owned(), |t| t.to_string())
}

/// A number and its unit; `never` is 0, as on the wire.
fn ttl(text: &str) -> Result<Duration, String> {
    if text == "never" {
        return Ok(Duration::ZERO);
    }
    let units = [("d", 86_400), ("h", 3_600), ("m", 60), ("s", 1)];
    let of = |(unit, seconds): (&str, u64)| {
        let number: u64 = text.strip_suffix(unit)?.parse().ok()?;
        number.checked_mul(seconds).filter(|seconds| *seconds > 0)
    };
    let seconds = units.into_iter().find_map(of);
    seconds
        .map(Duration::from_secs)
        .ok_or_else(|| "write a number and a unit, such as 30d, 12h or 10m; or never".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_good_for_days_or_until_it_is_revoked() {
        for (text, seconds) in [("90d", 7_776_000), ("12h", 43_200), ("1s", 1), ("never", 0)] {
            assert_eq!(ttl(text), Ok(Duration::from_secs(seconds)));
        }
        for text in ["", "d", "0d", "90", "-1d", "99999999999999999999d"] {
            assert!(ttl(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_key_in_a_list_says_how_it_ended() {
        let past = prost_types::Timestamp::default();
        let key = |revoked_at, expires_at| ApiKey {
            revoked_at,
            expires_at,
            ..ApiKey::default()
        };
        for (key, ended) in [
            (key(None, None), ""),
            (key(None, Some(past)), "expired"),
            (key(Some(past), Some(past)), "revoked"),
        ] {
            assert_eq!(row(&key).last().map(String::as_str), Some(ended));
        }
    }
}
