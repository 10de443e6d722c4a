//! What can be asked about services.

use std::path::PathBuf;

use amadeus_proto::v1::{Dependency, Endpoint};
use clap::{Args, Subcommand, ValueEnum};

use super::{read, write};
use crate::cli::{
    args::{Health, ListArgs, ReadArgs, WriteOneArgs},
    failure::CliError,
    literal::{parse_dependency, parse_endpoint, parse_property},
    session::Session,
};

pub async fn run(session: &mut Session, command: ServiceCommand) -> Result<(), CliError> {
    match command {
        ServiceCommand::List(args) => read::list(session, args).await,
        ServiceCommand::Get(args) => read::get(session, args).await,
        ServiceCommand::Register(args) => write::register(session, *args).await,
        ServiceCommand::Deregister(args) => write::deregister(session, args).await,
        ServiceCommand::Schema(args) => write::schema(session, args).await,
        ServiceCommand::Capability(args) => write::capability(session, args).await,
        ServiceCommand::Dep(DepCommand::Add(args)) => write::dep_add(session, args).await,
        ServiceCommand::Dep(DepCommand::Rm(args)) => write::dep_rm(session, args).await,
    }
}

#[derive(Debug, Subcommand)]
pub enum ServiceCommand {
    /// List services
    List(ServiceListArgs),
    /// Show one service
    Get(ServiceGetArgs),
    /// Create a service, or replace it whole
    #[command(after_help = "\
Examples:
  amadeus service register checkout --version v3 --capability payments --dependency cart --dependency currency:v2
  amadeus service register checkout --endpoint grpc://10.0.0.7:9000
  amadeus service get checkout -o json | jq .service | amadeus service register --file -")]
    Register(Box<ServiceRegisterArgs>),
    /// Remove a service
    Deregister(ServiceDeregisterArgs),
    /// Replace the schema of a service
    Schema(ServiceSchemaArgs),
    /// Switch a capability of a service on or off
    Capability(ServiceCapabilityArgs),
    /// Dependencies of a service: add, remove
    #[command(subcommand)]
    Dep(DepCommand),
}

#[derive(Debug, Args)]
pub struct ServiceListArgs {
    /// Only this category
    #[arg(long, default_value = "", hide_default_value = true)]
    pub category: String,
    /// Only those that offer this
    #[arg(long, default_value = "", hide_default_value = true)]
    pub capability: String,
    /// Only this owner's
    #[arg(long, default_value = "", hide_default_value = true)]
    pub owner: String,
    /// Only those with this health
    #[arg(long, value_enum)]
    pub health: Option<Health>,
    /// Also those that are only named by a dependency
    #[arg(long)]
    pub placeholders: bool,
    #[command(flatten)]
    pub list: ListArgs,
    #[command(flatten)]
    pub read: ReadArgs,
}

#[derive(Debug, Args)]
pub struct ServiceGetArgs {
    /// Its name
    pub name: String,
    #[command(flatten)]
    pub read: ReadArgs,
}

#[derive(Debug, Args)]
pub struct ServiceRegisterArgs {
    /// Its name
    #[arg(required_unless_present = "file")]
    pub name: Option<String>,
    /// Read the service from here, as JSON or YAML; - for standard input
    #[arg(short, long, value_name = "FILE", conflicts_with_all = ["name", "category", "version", "owner", "description",
        "capabilities", "dependencies", "endpoints", "health", "health_check", "metrics", "metadata"])]
    pub file: Option<PathBuf>,
    /// A free grouping
    #[arg(long, default_value = "", hide_default_value = true)]
    pub category: String,
    /// Its version
    #[arg(long, default_value = "", hide_default_value = true)]
    pub version: String,
    /// Who answers for it
    #[arg(long, default_value = "", hide_default_value = true)]
    pub owner: String,
    /// A sentence or two
    #[arg(long)]
    pub description: Option<String>,
    /// What it can do; may be given again
    #[arg(long = "capability", value_name = "CAPABILITY")]
    pub capabilities: Vec<String>,
    /// What it needs, name or name:version; may be given again
    #[arg(long = "dependency", value_name = "SERVICE", value_parser = parse_dependency)]
    pub dependencies: Vec<Dependency>,
    /// Where it is called, such as grpc://host:port, or name=http://host:port; may be given again
    #[arg(long = "endpoint", value_name = "[NAME=]ADDRESS", value_parser = parse_endpoint)]
    pub endpoints: Vec<Endpoint>,
    /// What it says about itself
    #[arg(long, value_enum)]
    pub health: Option<Health>,
    /// Where its health can be asked
    #[arg(
        long,
        default_value = "",
        hide_default_value = true,
        value_name = "PATH"
    )]
    pub health_check: String,
    /// Where its metrics can be read
    #[arg(
        long,
        default_value = "",
        hide_default_value = true,
        value_name = "PATH"
    )]
    pub metrics: String,
    /// More about it; the value is JSON if it reads as JSON; may be given again
    #[arg(long, value_name = "KEY=VALUE", value_parser = parse_property)]
    pub metadata: Vec<(String, serde_json::Value)>,
    /// Refuse it if it needs a service that has not registered
    #[arg(long)]
    pub strict: bool,
    #[command(flatten)]
    pub write: WriteOneArgs,
}

#[derive(Debug, Args)]
pub struct ServiceDeregisterArgs {
    /// Its name
    pub name: String,
    /// Even though others depend on it; it stays as a placeholder for them
    #[arg(long)]
    pub force: bool,
    #[command(flatten)]
    pub write: WriteOneArgs,
}

#[derive(Debug, Args)]
pub struct ServiceSchemaArgs {
    /// The service
    pub name: String,
    /// The path of its .proto file
    #[arg(
        long,
        default_value = "",
        hide_default_value = true,
        value_name = "PATH"
    )]
    pub proto_path: String,
    /// A method; may be given again
    #[arg(long = "method", value_name = "METHOD")]
    pub methods: Vec<String>,
    /// It has no schema from now on
    #[arg(long, conflicts_with_all = ["proto_path", "methods"])]
    pub clear: bool,
    #[command(flatten)]
    pub write: WriteOneArgs,
}

#[derive(Debug, Args)]
pub struct ServiceCapabilityArgs {
    /// The service
    pub name: String,
    /// The capability
    pub capability: String,
    /// Whether the service offers it
    #[arg(value_enum)]
    pub state: Switch,
    #[command(flatten)]
    pub write: WriteOneArgs,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Switch {
    On,
    Off,
}

#[derive(Debug, Subcommand)]
pub enum DepCommand {
    /// Add a dependency, or replace the one on the same service
    Add(DepAddArgs),
    /// Remove a dependency
    Rm(DepRmArgs),
}

#[derive(Debug, Args)]
pub struct DepAddArgs {
    /// The service that needs something
    pub name: String,
    /// What it needs, name or name:version
    #[arg(value_parser = parse_dependency)]
    pub dependency: Dependency,
    /// It works without
    #[arg(long)]
    pub optional: bool,
    /// A property of the relation; may be given again
    #[arg(short, long, value_name = "KEY=VALUE", value_parser = parse_property)]
    pub property: Vec<(String, serde_json::Value)>,
    #[command(flatten)]
    pub write: WriteOneArgs,
}

#[derive(Debug, Args)]
pub struct DepRmArgs {
    /// The service that needed something
    pub name: String,
    /// What it needs no longer
    pub service: String,
    #[command(flatten)]
    pub write: WriteOneArgs,
}
