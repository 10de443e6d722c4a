//! The command line of the client, as clap reads it.

use std::path::PathBuf;

use amadeus_proto::v1::{Dependency, EntityRef};
use clap::{Args, Subcommand, ValueEnum};

use super::{
    args::{BudgetArgs, Direction, Health, ListArgs, ReadArgs, WriteArgs, WriteOneArgs},
    bench::BenchArgs,
    entity_ref::parse_ref,
    literal::{parse_dependency, parse_property},
};

/// What a client can ask of a server. An entity is written kind/name; a bare name means service/<name>.
#[derive(Debug, Subcommand)]
pub enum ClientCommand {
    /// Read a file into the graph
    #[command(after_help = "\
Examples:
  amadeus import examples/online-boutique.json
  amadeus import edges.csv --request-id nightly-7   # cut off? the same again goes on where it stopped
  generate-edges | amadeus import - --format csv")]
    Import(ImportArgs),
    /// Write the whole graph to a file or to standard output
    #[command(after_help = "\
Examples:
  amadeus export > graph.json
  amadeus export --format svg -f graph.svg
  amadeus export --at 17")]
    Export(ExportArgs),
    /// Show the value at a dot path
    #[command(after_help = "\
Examples:
  amadeus get services.checkout.dependencies
  amadeus get 'system_components.\"a.b\".patterns[0]' -o json")]
    Get(GetArgs),
    /// Write the value at a dot path
    #[command(after_help = "\
Examples:
  amadeus set settings.region '\"eu\"'
  amadeus set settings.region eu --string
  amadeus set services.checkout.dependencies '[\"cart\", \"currency:v2\"]' --reason 'currency v2 is out'
  amadeus set settings - < settings.json")]
    Set(SetArgs),
    /// Remove the value at a dot path
    Rm(RmArgs),
    /// Services: list, show, register, deregister, change
    #[command(subcommand)]
    Service(ServiceCommand),
    /// Entities of any kind: list, show, put, remove
    #[command(subcommand)]
    Entity(EntityCommand),
    /// Relations between entities: list, put, remove
    #[command(subcommand)]
    Relation(RelationCommand),
    /// What these need, directly and transitively
    #[command(after_help = "\
Examples:
  amadeus deps checkout
  amadeus deps checkout --max-depth 1")]
    Deps(TraversalArgs),
    /// What needs these, directly and transitively: who breaks if they go down
    #[command(after_help = "\
Examples:
  amadeus impact currency
  amadeus impact currency cart -o json
  amadeus impact team/payments --relation owned_by")]
    Impact(TraversalArgs),
    /// A shortest path between two entities
    Path(PathArgs),
    /// Services by what they can do
    #[command(after_help = "\
Examples:
  amadeus find payments                   # all that offer payments
  amadeus find payments refunds           # all that offer both
  amadeus find --any email --any sms      # all that offer either")]
    Find(FindArgs),
    /// The entities around one
    Neighbors(NeighborsArgs),
    /// The part of the graph around some entities
    Subgraph(SubgraphArgs),
    /// Groups of entities that reach each other
    Cycles(CyclesArgs),
    /// The order in which to start things
    Order(OrderArgs),
    /// Entities by words
    Search(SearchArgs),
    /// A picture of the graph, or of the part around one entity
    #[command(after_help = "\
Examples:
  amadeus viz checkout --depth 2
  amadeus viz --format svg -f graph.svg")]
    Viz(VizArgs),
    /// A page in Markdown about one entity, or an index of all services
    Docs(DocsArgs),
    /// What the graph holds, in counts
    Describe(DescribeArgs),
    /// What deserves attention: placeholders, cycles, references that lead nowhere
    Validate(ValidateArgs),
    /// Remove what nobody needs
    Prune(PruneArgs),
    /// Follow the graph as it changes, until Ctrl-C
    #[command(after_help = "\
Examples:
  amadeus watch
  amadeus watch --snapshot --kind service      # everything there is, then every change
  amadeus watch --from 1201 -o json | jq .     # one line per change; `bookmark` closes a revision, resume one after it")]
    Watch(WatchArgs),
    /// How the server is
    Status,
    /// Take a backup, or list them
    #[command(subcommand)]
    Backup(BackupCommand),
    /// Make the graph what it was in a backup; what is replaced is backed up first
    Restore(RestoreArgs),
    /// Put the server under load and measure it
    #[command(after_help = "\
Writes go to entities of kind `bench`, which are removed at the end unless --keep is given.

Examples:
  amadeus bench --mix read
  amadeus bench --connections 8 --in-flight 64 --mix mixed --seconds 30 -o json")]
    Bench(BenchArgs),
    /// Print a completion script for a shell
    #[command(after_help = "\
Example:
  amadeus completions bash > ~/.local/share/bash-completion/completions/amadeus")]
    Completions(CompletionsArgs),
}

#[derive(Debug, Args)]
pub struct ImportArgs {
    /// The file, or - for standard input
    pub file: PathBuf,
    /// The form of the file; without it the server looks, after the extension .csv or .json
    #[arg(long, value_enum)]
    pub format: Option<ImportFormat>,
    /// Check everything and change nothing
    #[arg(long)]
    pub dry_run: bool,
    #[command(flatten)]
    pub write: WriteArgs,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ImportFormat {
    /// By its first bytes
    Auto,
    /// Our own form, or one of the original's
    Json,
    /// Relations: from,relation,to
    Csv,
}

#[derive(Debug, Args)]
pub struct ExportArgs {
    /// The form of the file
    #[arg(long, value_enum, default_value_t = ExportFormat::Json)]
    pub format: ExportFormat,
    /// Write here instead of to standard output; the file appears only when it is whole
    #[arg(short, long, value_name = "FILE")]
    pub file: Option<PathBuf>,
    #[command(flatten)]
    pub read: ReadArgs,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ExportFormat {
    /// Our own form, which import reads back
    Json,
    /// A Mermaid flowchart
    Mermaid,
    /// Graphviz
    Dot,
    /// A picture
    Svg,
    /// Relations: from,relation,to
    Csv,
}

#[derive(Debug, Args)]
pub struct GetArgs {
    /// Where, such as services.checkout.version
    pub path: String,
    #[command(flatten)]
    pub read: ReadArgs,
}

#[derive(Debug, Args)]
pub struct SetArgs {
    /// Where
    pub path: String,
    /// What, as JSON; - reads it from standard input
    #[arg(allow_hyphen_values = true)]
    pub value: String,
    /// Take the value as text
    #[arg(long)]
    pub string: bool,
    #[command(flatten)]
    pub write: WriteOneArgs,
}

#[derive(Debug, Args)]
pub struct RmArgs {
    /// Where
    pub path: String,
    #[command(flatten)]
    pub write: WriteOneArgs,
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
    #[arg(long, default_value = "")]
    pub category: String,
    /// Only those that offer this
    #[arg(long, default_value = "")]
    pub capability: String,
    /// Only this owner's
    #[arg(long, default_value = "")]
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
        "capabilities", "dependencies", "health", "health_check", "metrics", "metadata"])]
    pub file: Option<PathBuf>,
    #[arg(long, default_value = "")]
    pub category: String,
    #[arg(long, default_value = "")]
    pub version: String,
    #[arg(long, default_value = "")]
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
    #[arg(long, value_enum)]
    pub health: Option<Health>,
    /// Where its health can be asked
    #[arg(long, default_value = "", value_name = "PATH")]
    pub health_check: String,
    /// Where its metrics can be read
    #[arg(long, default_value = "", value_name = "PATH")]
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
    #[arg(long, default_value = "", value_name = "PATH")]
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

#[derive(Debug, Subcommand)]
pub enum EntityCommand {
    /// List entities
    List(EntityListArgs),
    /// Show one entity
    Get(EntityGetArgs),
    /// Create an entity, or replace it whole
    #[command(after_help = "\
Examples:
  amadeus entity put team/payments --property lead=ana --property size=6
  amadeus entity put --file team.yaml")]
    Put(EntityPutArgs),
    /// Remove an entity
    Rm(EntityRmArgs),
}

#[derive(Debug, Args)]
pub struct EntityListArgs {
    /// Only this kind
    #[arg(long, default_value = "")]
    pub kind: String,
    /// Only names that begin like this
    #[arg(long, default_value = "")]
    pub prefix: String,
    /// Also services that are only named by a dependency
    #[arg(long)]
    pub placeholders: bool,
    #[command(flatten)]
    pub list: ListArgs,
    #[command(flatten)]
    pub read: ReadArgs,
}

#[derive(Debug, Args)]
pub struct EntityGetArgs {
    /// Which
    #[arg(value_name = "ENTITY", value_parser = parse_ref)]
    pub entity: EntityRef,
    #[command(flatten)]
    pub read: ReadArgs,
}

#[derive(Debug, Args)]
pub struct EntityPutArgs {
    /// Which
    #[arg(value_name = "ENTITY", value_parser = parse_ref, required_unless_present = "file")]
    pub entity: Option<EntityRef>,
    /// A property; the value is JSON if it reads as JSON; may be given again
    #[arg(short, long, value_name = "KEY=VALUE", value_parser = parse_property)]
    pub property: Vec<(String, serde_json::Value)>,
    /// Read the entity from here, as JSON or YAML; - for standard input
    #[arg(short, long, value_name = "FILE", conflicts_with_all = ["entity", "property"])]
    pub file: Option<PathBuf>,
    #[command(flatten)]
    pub write: WriteOneArgs,
}

#[derive(Debug, Args)]
pub struct EntityRmArgs {
    /// Which
    #[arg(value_name = "ENTITY", value_parser = parse_ref)]
    pub entity: EntityRef,
    /// Even though relations point to it
    #[arg(long)]
    pub force: bool,
    #[command(flatten)]
    pub write: WriteOneArgs,
}

#[derive(Debug, Subcommand)]
pub enum RelationCommand {
    /// List the relations of an entity
    List(RelationListArgs),
    /// Create a relation, or replace its properties
    #[command(after_help = "\
Example:
  amadeus relation put checkout owned_by team/payments --property since=2024")]
    Put(RelationPutArgs),
    /// Remove a relation
    Rm(RelationRmArgs),
}

#[derive(Debug, Args)]
pub struct RelationListArgs {
    /// Whose
    #[arg(value_name = "ENTITY", value_parser = parse_ref)]
    pub entity: EntityRef,
    /// Which way
    #[arg(long, value_enum, default_value_t)]
    pub direction: Direction,
    /// Only this label
    #[arg(long, default_value = "")]
    pub relation: String,
    #[command(flatten)]
    pub list: ListArgs,
    #[command(flatten)]
    pub read: ReadArgs,
}

#[derive(Debug, Args)]
pub struct RelationPutArgs {
    #[arg(value_parser = parse_ref)]
    pub from: EntityRef,
    /// Its label, such as depends_on
    pub relation: String,
    #[arg(value_parser = parse_ref)]
    pub to: EntityRef,
    /// A property; the value is JSON if it reads as JSON; may be given again
    #[arg(short, long, value_name = "KEY=VALUE", value_parser = parse_property)]
    pub property: Vec<(String, serde_json::Value)>,
    #[command(flatten)]
    pub write: WriteOneArgs,
}

#[derive(Debug, Args)]
pub struct RelationRmArgs {
    #[arg(value_parser = parse_ref)]
    pub from: EntityRef,
    /// Its label
    pub relation: String,
    #[arg(value_parser = parse_ref)]
    pub to: EntityRef,
    #[command(flatten)]
    pub write: WriteOneArgs,
}

#[derive(Debug, Args)]
pub struct TraversalArgs {
    /// Which
    #[arg(value_name = "ENTITY", required = true, value_parser = parse_ref)]
    pub entities: Vec<EntityRef>,
    /// Follow this label instead of depends_on; may be given again
    #[arg(long = "relation", value_name = "LABEL")]
    pub relations: Vec<String>,
    #[command(flatten)]
    pub budget: BudgetArgs,
    #[command(flatten)]
    pub list: ListArgs,
    #[command(flatten)]
    pub read: ReadArgs,
}

#[derive(Debug, Args)]
pub struct PathArgs {
    #[arg(value_parser = parse_ref)]
    pub from: EntityRef,
    #[arg(value_parser = parse_ref)]
    pub to: EntityRef,
    /// Follow only this label; may be given again
    #[arg(long = "relation", value_name = "LABEL")]
    pub relations: Vec<String>,
    /// Which way
    #[arg(long, value_enum, default_value_t)]
    pub direction: Direction,
    #[command(flatten)]
    pub budget: BudgetArgs,
    #[command(flatten)]
    pub read: ReadArgs,
}

#[derive(Debug, Args)]
pub struct FindArgs {
    /// They offer all of these
    #[arg(value_name = "CAPABILITY", required_unless_present = "any_of")]
    pub all_of: Vec<String>,
    /// They offer at least one of these; may be given again
    #[arg(long = "any", value_name = "CAPABILITY")]
    pub any_of: Vec<String>,
    #[command(flatten)]
    pub list: ListArgs,
    #[command(flatten)]
    pub read: ReadArgs,
}

#[derive(Debug, Args)]
pub struct NeighborsArgs {
    /// Around which
    #[arg(value_name = "ENTITY", value_parser = parse_ref)]
    pub entity: EntityRef,
    /// Which way
    #[arg(long, value_enum, default_value_t = Direction::Both)]
    pub direction: Direction,
    /// Follow only this label; may be given again
    #[arg(long = "relation", value_name = "LABEL")]
    pub relations: Vec<String>,
    /// How far
    #[arg(long, default_value_t = 1)]
    pub depth: u32,
    #[command(flatten)]
    pub budget: BudgetArgs,
    #[command(flatten)]
    pub list: ListArgs,
    #[command(flatten)]
    pub read: ReadArgs,
}

#[derive(Debug, Args)]
pub struct SubgraphArgs {
    /// Around which
    #[arg(value_name = "ENTITY", required = true, value_parser = parse_ref)]
    pub entities: Vec<EntityRef>,
    /// Which way
    #[arg(long, value_enum, default_value_t = Direction::Both)]
    pub direction: Direction,
    /// Follow only this label; may be given again
    #[arg(long = "relation", value_name = "LABEL")]
    pub relations: Vec<String>,
    /// How far
    #[arg(long, default_value_t = 1)]
    pub depth: u32,
    #[command(flatten)]
    pub budget: BudgetArgs,
    #[command(flatten)]
    pub read: ReadArgs,
}

#[derive(Debug, Args)]
pub struct CyclesArgs {
    /// The label to follow
    #[arg(long, default_value = "depends_on")]
    pub relation: String,
    #[command(flatten)]
    pub budget: BudgetArgs,
    #[command(flatten)]
    pub read: ReadArgs,
}

#[derive(Debug, Args)]
pub struct OrderArgs {
    /// Only these and what they need
    #[arg(value_name = "ENTITY", value_parser = parse_ref)]
    pub entities: Vec<EntityRef>,
    /// The label that says who needs whom
    #[arg(long, default_value = "depends_on")]
    pub relation: String,
    #[command(flatten)]
    pub budget: BudgetArgs,
    #[command(flatten)]
    pub read: ReadArgs,
}

#[derive(Debug, Args)]
pub struct SearchArgs {
    /// The words
    #[arg(required = true)]
    pub text: Vec<String>,
    /// Only this kind; may be given again
    #[arg(long = "kind", value_name = "KIND")]
    pub kinds: Vec<String>,
    #[command(flatten)]
    pub budget: BudgetArgs,
    #[command(flatten)]
    pub list: ListArgs,
    #[command(flatten)]
    pub read: ReadArgs,
}

#[derive(Debug, Args)]
pub struct VizArgs {
    /// Around which; without it the whole graph
    #[arg(value_name = "ENTITY", value_parser = parse_ref)]
    pub root: Option<EntityRef>,
    /// The form of the picture
    #[arg(long, value_enum, default_value_t = VizFormat::Mermaid)]
    pub format: VizFormat,
    /// How far from the entity; 0: as far as relations lead
    #[arg(long, default_value_t = 0)]
    pub depth: u32,
    /// Draw only this label; may be given again
    #[arg(long = "relation", value_name = "LABEL")]
    pub relations: Vec<String>,
    /// Which way from the entity
    #[arg(long, value_enum, default_value_t)]
    pub direction: Direction,
    /// Draw only this section, such as services
    #[arg(long, default_value = "")]
    pub section: String,
    /// Write here instead of to standard output
    #[arg(short, long, value_name = "FILE")]
    pub file: Option<PathBuf>,
    #[command(flatten)]
    pub read: ReadArgs,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum VizFormat {
    /// A Mermaid flowchart
    Mermaid,
    /// Graphviz
    Dot,
    /// Nodes and edges
    Json,
    /// A picture
    Svg,
}

#[derive(Debug, Args)]
pub struct DocsArgs {
    /// About which; without it an index of all services
    #[arg(value_name = "ENTITY", value_parser = parse_ref)]
    pub entity: Option<EntityRef>,
    /// Write here instead of to standard output
    #[arg(short, long, value_name = "FILE")]
    pub file: Option<PathBuf>,
    #[command(flatten)]
    pub read: ReadArgs,
}

#[derive(Debug, Args)]
pub struct DescribeArgs {
    /// Count also services that are only named by a dependency
    #[arg(long)]
    pub placeholders: bool,
    #[command(flatten)]
    pub read: ReadArgs,
}

#[derive(Debug, Args)]
pub struct ValidateArgs {
    #[command(flatten)]
    pub list: ListArgs,
    #[command(flatten)]
    pub read: ReadArgs,
}

#[derive(Debug, Args)]
pub struct PruneArgs {
    /// Say only what would go
    #[arg(long)]
    pub dry_run: bool,
    #[command(flatten)]
    pub write: WriteArgs,
}

#[derive(Debug, Args)]
pub struct WatchArgs {
    /// Begin with this revision; to resume, the one after the last bookmark
    #[arg(long, value_name = "REVISION", conflicts_with = "snapshot")]
    pub from: Option<u64>,
    /// Begin with everything there is
    #[arg(long)]
    pub snapshot: bool,
    /// Only this kind; may be given again
    #[arg(long = "kind", value_name = "KIND")]
    pub kinds: Vec<String>,
    /// Only names that begin like this
    #[arg(long, default_value = "")]
    pub prefix: String,
    /// Only relations with this label; may be given again
    #[arg(long = "relation", value_name = "LABEL")]
    pub relations: Vec<String>,
    /// Say also what stood there before
    #[arg(long)]
    pub previous: bool,
}

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
    #[arg(default_value = "")]
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

#[derive(Debug, Args)]
pub struct CompletionsArgs {
    /// For which shell
    pub shell: clap_complete::Shell,
}
