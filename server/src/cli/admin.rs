//! Looking after the server: status, backup, restore.

use std::time::Duration;

use amadeus_proto::v1::{
    BackupEntry, BackupRequest, Health, ListBackupsRequest, RestoreRequest, StatusRequest,
    StatusResponse,
};

use clap::{Args, Subcommand};

use super::{
    args::{ListArgs, WriteArgs},
    failure::CliError,
    overview::{outcome, tell_count},
    session::Session,
    table,
};

#[derive(Debug, Subcommand)]
pub enum BackupCommand {
    /// Take a backup of everything at one revision, without stopping anybody
    Create(BackupCreateArgs),
    /// List the backups, newest first
    List(BackupListArgs),
}

#[derive(Debug, Args)]
pub struct BackupCreateArgs {
    /// What it is for
    #[arg(default_value = "", hide_default_value = true)]
    pub description: String,
}

#[derive(Debug, Args)]
pub struct BackupListArgs {
    #[command(flatten)]
    pub list: ListArgs,
}

#[derive(Debug, Args)]
pub struct RestoreArgs {
    /// The backup, as `amadeus backup list` names it
    pub id: String,
    #[command(flatten)]
    pub write: WriteArgs,
}

pub async fn status(session: &mut Session) -> Result<(), CliError> {
    let reply = session
        .call(StatusRequest {}, async |r| session.admin().status(r).await)
        .await?;
    session.show(&reply, standing)
}

fn standing(reply: &StatusResponse) -> String {
    let header = reply.header.clone().unwrap_or_default();
    let uptime = reply.uptime.and_then(|d| Duration::try_from(d).ok());
    let mut text = table::record(&[
        ("health", health(reply.health()).to_owned()),
        ("version", reply.version.clone()),
        ("store", reply.store.clone()),
        ("store id", header.store_id),
        ("up for", uptime.map(in_words).unwrap_or_default()),
        ("revision", reply.revision.to_string()),
        ("oldest", reply.oldest_revision.to_string()),
        ("checkpoint", reply.checkpoint_revision.to_string()),
        ("hash", reply.hash.clone()),
        ("entities", reply.entities.to_string()),
        ("relations", reply.relations.to_string()),
        ("placeholders", reply.placeholders.to_string()),
        (
            "queue",
            table::count(reply.queue_depth as usize, "transaction", "transactions"),
        ),
        ("watchers", reply.watchers.to_string()),
        ("history", size(reply.history_bytes)),
    ]);
    let row = |c: &amadeus_proto::v1::status_response::Component| {
        vec![
            c.name.clone(),
            health(c.health()).to_owned(),
            c.message.clone(),
        ]
    };
    let components = reply.components.iter().map(row).collect();
    text += &table::section("Components", &["NAME", "HEALTH", "WHY"], components);
    let limits = reply
        .limits
        .iter()
        .map(|l| vec![l.name.clone(), l.value.to_string()])
        .collect();
    text += &table::section("Limits", &["NAME", "VALUE"], limits);
    text
}

pub(super) fn health(health: Health) -> &'static str {
    match health {
        Health::Unknown => "unknown",
        Health::Up => "up",
        Health::Degraded => "degraded",
        Health::Down => "down",
    }
}

pub async fn backup(session: &mut Session, command: BackupCommand) -> Result<(), CliError> {
    match command {
        BackupCommand::Create(args) => {
            let request = BackupRequest {
                description: args.description,
                ..BackupRequest::default()
            };
            // Each request is a backup of its own, so a lost one is not repeated: the list says whether it was taken.
            let reply = session
                .call_once(request, async |r| session.admin().backup(r).await)
                .await?;
            session.show(&reply, |reply| {
                reply.backup.as_ref().map(taken).unwrap_or_default()
            })
        }
        BackupCommand::List(args) => {
            let send = async |r| session.admin().list_backups(r).await;
            let reply = session
                .list(ListBackupsRequest::default(), &args.list, send)
                .await?;
            session.show(&reply, |reply| backups(&reply.backups))?;
            tell_count(
                &table::count(reply.backups.len(), "backup", "backups"),
                reply.header.as_ref(),
            );
            Ok(())
        }
    }
}

fn taken(backup: &BackupEntry) -> String {
    format!(
        "backup {} holds revision {} ({})\n",
        table::visible(&backup.id),
        backup.revision,
        size(backup.size_bytes)
    )
}

fn backups(backups: &[BackupEntry]) -> String {
    let row = |backup: &BackupEntry| {
        vec![
            backup.id.clone(),
            backup.revision.to_string(),
            backup.created_at.map(|t| t.to_string()).unwrap_or_default(),
            size(backup.size_bytes),
            backup.entities.to_string(),
            backup.relations.to_string(),
            backup.description.clone(),
        ]
    };
    let heading = [
        "ID",
        "REVISION",
        "TAKEN",
        "SIZE",
        "ENTITIES",
        "RELATIONS",
        "DESCRIPTION",
    ];
    table::columns(&heading, backups.iter().map(row))
}

pub async fn restore(session: &mut Session, args: RestoreArgs) -> Result<(), CliError> {
    let request = RestoreRequest {
        id: args.id.clone(),
        request_id: args.write.request_id.clone(),
        reason: args.write.reason,
    };
    let send = async |r| session.admin().restore(r).await;
    let reply = session.write(&args.write.request_id, request, send).await?;
    session.show(&reply, |reply| {
        let mut text = outcome(&args.id, "restored", reply.changed, reply.header.as_ref());
        if let Some(backup) = &reply.safety_backup {
            text += &format!("what it replaced: {}", taken(backup));
        }
        text
    })
}

/// `3 d 4 h`, `2 min 5 s`: the two largest units.
fn in_words(time: Duration) -> String {
    let seconds = time.as_secs();
    let (days, hours, minutes) = (seconds / 86_400, seconds / 3_600 % 24, seconds / 60 % 60);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds} s"),
        (0, 0, _) => format!("{minutes} min {} s", seconds % 60),
        (0, _, _) => format!("{hours} h {minutes} min"),
        _ => format!("{days} d {hours} h"),
    }
}

fn size(bytes: u64) -> String {
    indicatif::HumanBytes(bytes).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_is_told_in_its_two_largest_units() {
        for (seconds, words) in [
            (5, "5 s"),
            (125, "2 min 5 s"),
            (7_500, "2 h 5 min"),
            (273_600, "3 d 4 h"),
        ] {
            assert_eq!(in_words(Duration::from_secs(seconds)), words);
        }
    }

    #[test]
    fn a_status_is_shown_with_its_components() {
        let component = amadeus_proto::v1::status_response::Component {
            name: "store".into(),
            health: Health::Down.into(),
            message: "the disk is full".into(),
        };
        let text = standing(&StatusResponse {
            components: vec![component],
            ..StatusResponse::default()
        });
        assert!(text.contains("store  down    the disk is full"), "{text}");
    }
}
