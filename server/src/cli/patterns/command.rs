//! What can be asked about patterns and their runs.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

use super::{definitions, drawing, follow, replay, runs};
use crate::cli::{
    args::{ListArgs, ReadArgs, WriteArgs, WriteOneArgs},
    failure::CliError,
    literal::parse_property,
    pictures::VizFormat,
    session::Session,
};

pub async fn run(session: &mut Session, command: PatternCommand) -> Result<(), CliError> {
    match command {
        PatternCommand::Validate(args) => definitions::validate(session, args).await,
        PatternCommand::Register(args) => definitions::register(session, args).await,
        PatternCommand::List(args) => definitions::list(session, args).await,
        PatternCommand::Show(args) => definitions::show(session, args).await,
        PatternCommand::Delete(args) => definitions::delete(session, args).await,
        PatternCommand::Run(args) => runs::run(session, *args).await,
        PatternCommand::Runs(args) => runs::list(session, args).await,
        PatternCommand::GetRun(args) => runs::get(session, args).await,
        PatternCommand::Cancel(args) => runs::cancel(session, args).await,
        PatternCommand::Watch(args) => follow::watch(session, args).await,
        PatternCommand::Replay(args) => replay::replay(session, args).await,
        PatternCommand::Draw(args) => drawing::draw(session, args).await,
    }
}

#[derive(Debug, Subcommand)]
pub enum PatternCommand {
    /// Say what is wrong with the patterns in these files; nothing is changed
    #[command(after_help = "\
A file is YAML or JSON, with the fields of docs/PATTERNS.md. Warnings are told, and a pattern with warnings can be registered.

Examples:
  amadeus pattern validate order.yaml
  generate-pattern | amadeus pattern validate -")]
    Validate(ValidateArgs),
    /// Put a pattern of a file into the graph
    #[command(after_help = "\
Examples:
  amadeus pattern register order.yaml
  amadeus pattern register order.yaml --replace --reason 'refunds are undone now'")]
    Register(RegisterArgs),
    /// List patterns
    List(PatternListArgs),
    /// Show one pattern, and how it has run
    Show(ShowArgs),
    /// Remove a pattern; its runs go on and stay readable
    Delete(DeleteArgs),
    /// Run a pattern, and follow it to its end
    #[command(after_help = "\
What is given by --input is JSON if it reads as JSON, and text otherwise or where the pattern says that it is a string. Ends with 0
only if the run succeeded.

Examples:
  amadeus pattern run order --input order=4711 --input 'items=[\"mug\", \"cap\"]'
  amadeus pattern run order --inputs order-4711.yaml --request-id order-4711    # twice is once
  amadeus pattern run order --no-wait -o json | jq -r .run.id")]
    Run(Box<RunArgs>),
    /// List runs, newest first
    #[command(after_help = "\
Examples:
  amadeus pattern runs
  amadeus pattern runs order --state failed --limit 10")]
    Runs(RunListArgs),
    /// Show one run: how each of its steps is doing, and what they gave
    #[command(after_help = "\
Example:
  amadeus pattern get-run 0198f3c2a1 --timeline")]
    GetRun(GetRunArgs),
    /// Ask a run to end; what succeeded is undone
    Cancel(CancelArgs),
    /// Follow a run to its end, from its beginning on
    Watch(WatchRunArgs),
    /// Carry a run out again on a copy of the graph, changing nothing and calling nobody, and say what differs
    #[command(after_help = "\
Examples:
  amadeus pattern replay 0198f3c2a1               # at the revision that it read
  amadeus pattern replay 0198f3c2a1 --at 1200     # would it go the same way there?")]
    Replay(ReplayArgs),
    /// A picture of a pattern's steps, or of how a run is doing
    #[command(after_help = "\
Examples:
  amadeus pattern draw order
  amadeus pattern draw --run 0198f3c2a1 --format svg -f run.svg")]
    Draw(DrawArgs),
}

#[derive(Debug, Args)]
pub struct ValidateArgs {
    /// Files; - reads standard input
    #[arg(required = true, value_name = "FILE")]
    pub files: Vec<PathBuf>,
    #[command(flatten)]
    pub read: ReadArgs,
}

#[derive(Debug, Args)]
pub struct RegisterArgs {
    /// The file; - reads standard input
    pub file: PathBuf,
    /// Replace the pattern of this name, as it is now
    #[arg(long, conflicts_with = "expect")]
    pub replace: bool,
    #[command(flatten)]
    pub write: WriteOneArgs,
}

#[derive(Debug, Args)]
pub struct PatternListArgs {
    /// Only this category
    #[arg(long, default_value = "", hide_default_value = true)]
    pub category: String,
    /// Only this owner's
    #[arg(long, default_value = "", hide_default_value = true)]
    pub owner: String,
    /// Only of this origin: `system` or `user`
    #[arg(long, default_value = "", hide_default_value = true)]
    pub origin: String,
    /// Only those that may be run
    #[arg(long, conflicts_with = "inactive")]
    pub active: bool,
    /// Only those that may not
    #[arg(long)]
    pub inactive: bool,
    #[command(flatten)]
    pub list: ListArgs,
    #[command(flatten)]
    pub read: ReadArgs,
}

#[derive(Debug, Args)]
pub struct ShowArgs {
    /// Its name
    pub name: String,
    #[command(flatten)]
    pub read: ReadArgs,
}

#[derive(Debug, Args)]
pub struct DeleteArgs {
    /// Its name
    pub name: String,
    /// Even though something points to it
    #[arg(long)]
    pub force: bool,
    #[command(flatten)]
    pub write: WriteOneArgs,
}

#[derive(Debug, Args)]
pub struct RunArgs {
    /// The name of the pattern
    pub name: String,
    /// One thing that it is given; may be given again
    #[arg(long = "input", value_name = "KEY=VALUE", value_parser = parse_property)]
    pub inputs: Vec<(String, serde_json::Value)>,
    /// All of it, as an object in a file, JSON or YAML; - reads standard input. --input goes before it
    #[arg(long = "inputs", value_name = "FILE")]
    pub file: Option<PathBuf>,
    /// What the run and its events are found by; without it the run's id
    #[arg(long, default_value = "", hide_default_value = true)]
    pub correlation: String,
    /// Only if this revision was the last to change the pattern
    #[arg(long, value_name = "REVISION")]
    pub expect: Option<u64>,
    /// Show each thing that happens, where standard output is no terminal as well
    #[arg(long, conflicts_with = "no_wait")]
    pub follow: bool,
    /// Only begin it
    #[arg(long)]
    pub no_wait: bool,
    #[command(flatten)]
    pub write: WriteArgs,
}

#[derive(Debug, Args)]
pub struct RunListArgs {
    /// Only runs of this pattern
    #[arg(default_value = "", hide_default_value = true)]
    pub pattern: String,
    /// Only in this state; may be given again
    #[arg(long = "state", value_enum)]
    pub states: Vec<State>,
    /// Only those that were begun by
    #[arg(long, default_value = "", hide_default_value = true)]
    pub actor: String,
    /// Only of this correlation
    #[arg(long, default_value = "", hide_default_value = true)]
    pub correlation: String,
    /// Only those that are steps of this run
    #[arg(
        long,
        value_name = "RUN",
        default_value = "",
        hide_default_value = true
    )]
    pub parent: String,
    /// At most this many
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..))]
    pub limit: u32,
}

/// How a run is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum State {
    /// It waits for others to end
    Queued,
    /// Its steps are carried out
    Running,
    /// What had succeeded is being undone
    Compensating,
    /// Everything was done
    Succeeded,
    /// A step failed, or it took too long
    Failed,
    /// Somebody cancelled it
    Cancelled,
}

#[derive(Debug, Args)]
pub struct GetRunArgs {
    /// Its id
    pub id: String,
    /// Show also what happened, line by line
    #[arg(long)]
    pub timeline: bool,
}

#[derive(Debug, Args)]
pub struct CancelArgs {
    /// Its id
    pub id: String,
    /// Why
    #[arg(long, default_value = "", hide_default_value = true)]
    pub reason: String,
}

#[derive(Debug, Args)]
pub struct WatchRunArgs {
    /// Its id
    pub id: String,
    /// Begin with this line of its timeline
    #[arg(
        long,
        value_name = "SEQ",
        default_value_t = 0,
        hide_default_value = true
    )]
    pub from: u32,
}

#[derive(Debug, Args)]
pub struct ReplayArgs {
    /// The run, which must have ended
    pub id: String,
    /// On the graph as it was at this revision; without it the one at which the run began
    #[arg(long, value_name = "REVISION")]
    pub at: Option<u64>,
}

#[derive(Debug, Args)]
pub struct DrawArgs {
    /// The name of a pattern
    #[arg(required_unless_present = "run")]
    pub name: Option<String>,
    /// A run instead, drawn over the steps of its pattern
    #[arg(long, value_name = "ID", conflicts_with = "name")]
    pub run: Option<String>,
    /// The form of the picture
    #[arg(long, value_enum, default_value_t = VizFormat::Mermaid)]
    pub format: VizFormat,
    /// Write here instead of to standard output
    #[arg(short, long, value_name = "FILE")]
    pub file: Option<PathBuf>,
    #[command(flatten)]
    pub read: ReadArgs,
}
