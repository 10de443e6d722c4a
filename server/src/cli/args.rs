//! The flags that several commands share: where the server is, how a reply is shown, how fresh a read must be, and what
//! a write says about itself.

use std::hash::{BuildHasher, Hasher, RandomState};

use amadeus_proto::v1::{self, Consistency, consistency::Level};
use clap::{Args, ValueEnum};

use super::way::WayArgs;

/// Flags of every client command.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Client options")]
pub struct ClientArgs {
    /// How to show what the server answers: a table for people, the whole reply for programs
    #[arg(short, long, global = true, value_enum, default_value_t = Output::Table)]
    pub output: Output,
    #[command(flatten)]
    pub way: WayArgs,
    /// Access token or API key to call with; without it, that of `amadeus login`
    #[arg(
        long,
        global = true,
        env = "AMADEUS_TOKEN",
        hide_env_values = true,
        value_name = "TOKEN"
    )]
    pub token: Option<Token>,
    /// How long one call may take; imports, exports and watches take as long as they need
    #[arg(long, global = true, value_name = "SECONDS", default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..))]
    pub timeout: u64,
}

/// A token, which is shown nowhere.
#[derive(Clone)]
pub struct Token(pub String);

impl std::str::FromStr for Token {
    type Err = std::convert::Infallible;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(Self(text.to_owned()))
    }
}

impl std::fmt::Debug for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Token(..)")
    }
}

/// The forms of a shown reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Output {
    /// For people
    Table,
    /// The reply as JSON, with the names of the .proto files
    Json,
    /// The same as YAML
    Yaml,
}

/// How fresh a read must be. Without a flag: whatever the server has at hand.
#[derive(Debug, Clone, Default, Args)]
pub struct ReadArgs {
    /// Wait until the server has this revision, such as the one of your last write
    #[arg(long, value_name = "REVISION", conflicts_with_all = ["at", "linearizable"])]
    at_least: Option<u64>,
    /// Read the graph as it was at exactly this revision
    #[arg(long, value_name = "REVISION", conflicts_with = "linearizable")]
    at: Option<u64>,
    /// See every write that was acknowledged before this call, on any server
    #[arg(long)]
    linearizable: bool,
}

impl ReadArgs {
    /// As the wire says it.
    pub fn consistency(&self) -> Option<Consistency> {
        let level = match (self.at_least, self.at, self.linearizable) {
            (Some(revision), _, _) => Level::AtLeast(revision),
            (_, Some(revision), _) => Level::AtExact(revision),
            (_, _, true) => Level::Linearizable(true),
            _ => return None,
        };
        Some(Consistency { level: Some(level) })
    }
}

/// What a write says about itself.
#[derive(Debug, Clone, Default, Args)]
pub struct WriteArgs {
    /// Why, for the history
    #[arg(long, default_value = "", hide_default_value = true)]
    pub reason: String,
    /// Names the write: sent twice, it applies once. Made up if absent, so that a retry is safe
    #[arg(long, value_name = "ID", default_value_t = fresh_request_id(), hide_default_value = true)]
    pub request_id: String,
}

/// A write of one thing, which may expect the revision that it replaces.
#[derive(Debug, Clone, Default, Args)]
pub struct WriteOneArgs {
    #[command(flatten)]
    pub write: WriteArgs,
    /// Only if this revision was the last to change it; 0: only if it does not exist
    #[arg(long, value_name = "REVISION")]
    pub expect: Option<u64>,
}

/// How much of a list.
#[derive(Debug, Clone, Default, Args)]
pub struct ListArgs {
    /// At most this many; without it all pages are read
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub limit: Option<u32>,
}

/// How much work a query may be.
#[derive(Debug, Clone, Default, Args)]
pub struct BudgetArgs {
    /// Visit at most this many entities
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    max_entities: Option<u32>,
    /// Follow at most this many relations from the start
    #[arg(long, value_name = "N")]
    max_depth: Option<u32>,
    /// Search no longer than this
    #[arg(long, value_name = "MS", value_parser = clap::value_parser!(u32).range(1..))]
    max_time_ms: Option<u32>,
}

impl BudgetArgs {
    /// As the wire says it.
    pub fn budget(&self) -> Option<v1::Budget> {
        let budget = v1::Budget {
            max_entities: self.max_entities,
            max_depth: self.max_depth,
            max_time_ms: self.max_time_ms,
        };
        (budget != v1::Budget::default()).then_some(budget)
    }
}

/// Which way to follow relations.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum Direction {
    /// From the entity
    #[default]
    Out,
    /// To the entity
    In,
    /// Both
    Both,
}

impl From<Direction> for v1::Direction {
    fn from(direction: Direction) -> Self {
        match direction {
            Direction::Out => Self::Out,
            Direction::In => Self::In,
            Direction::Both => Self::Both,
        }
    }
}

/// What a service says about itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Health {
    /// Nobody has said
    Unknown,
    /// Serving
    Up,
    /// Serving, with something missing
    Degraded,
    /// Not serving
    Down,
}

impl From<Health> for v1::Health {
    fn from(health: Health) -> Self {
        match health {
            Health::Unknown => Self::Unknown,
            Health::Up => Self::Up,
            Health::Degraded => Self::Degraded,
            Health::Down => Self::Down,
        }
    }
}

/// 128 random bits from the keys that std draws for its hash maps: unique enough for a name, and no secret.
pub fn fresh_request_id() -> String {
    let bits = || RandomState::new().build_hasher().finish();
    format!("cli-{:016x}{:016x}", bits(), bits())
}
