//! The command line of the client, as clap reads it. What each command takes stands in the file that carries it out.

use clap::{Args, Subcommand};

use super::{
    admin::{BackupCommand, RestoreArgs},
    audit::AuditArgs,
    bench::BenchArgs,
    documents::{GetArgs, RmArgs, SetArgs},
    entities::EntityCommand,
    events::EventCommand,
    export::ExportArgs,
    import::ImportArgs,
    keys::KeyCommand,
    leases::LeaseCommand,
    login::{LoginArgs, LogoutArgs, RegisterArgs},
    overview::{DescribeArgs, PruneArgs, ValidateArgs},
    patterns::PatternCommand,
    pictures::{DocsArgs, VizArgs},
    queries::{
        CyclesArgs, FindArgs, NeighborsArgs, OrderArgs, PathArgs, SearchArgs, SubgraphArgs,
        TraversalArgs,
    },
    relations::RelationCommand,
    services::ServiceCommand,
    users::UserCommand,
    watch::WatchArgs,
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
    /// Sign in; the commands that follow are yours, at this address
    #[command(after_help = "\
The session is kept in ~/.config/amadeus, readable by you alone, and goes on by itself until it has not been used for long. Programs
do better with a key: `amadeus key create`.

Examples:
  amadeus login alice
  amadeus login alice@example.com --addr https://graph.example.com:50051
  amadeus login alice --password-stdin < password.txt
  export AMADEUS_TOKEN=$(amadeus login alice --print-token)   # for a shell, and nothing is saved")]
    Login(LoginArgs),
    /// Sign out, at this address
    Logout(LogoutArgs),
    /// Who you are there, and what you may do
    Whoami,
    /// Make a user of your own, who has no role yet; with the setup token the first administrator
    #[command(after_help = "\
Examples:
  amadeus register alice --email alice@example.com
  amadeus register root --setup-token TOKEN        # the token that the server showed when it started")]
    Register(RegisterArgs),
    /// Users: create, show, list, change, delete, password, roles, profile
    #[command(subcommand)]
    User(UserCommand),
    /// API keys for programs: create, list, revoke
    #[command(subcommand)]
    Key(KeyCommand),
    /// Who did what, and who was refused
    #[command(after_help = "\
Examples:
  amadeus audit --from 2h --outcome refused
  amadeus audit --actor alice --action commit
  amadeus audit --follow -o json | jq .")]
    Audit(AuditArgs),
    /// Leases of services: list, take, keep, end
    #[command(subcommand)]
    Lease(LeaseCommand),
    /// Patterns, which are workflows across services, and their runs
    #[command(subcommand)]
    Pattern(PatternCommand),
    /// Events: tell them, follow them, and the groups that consume them
    #[command(subcommand)]
    Event(EventCommand),
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
pub struct CompletionsArgs {
    /// For which shell
    pub shell: clap_complete::Shell,
}
