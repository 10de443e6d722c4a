//! Takes a command to the file that carries it out, and its outcome to the exit code.

use std::process::ExitCode;

use super::{
    admin,
    args::ClientArgs,
    audit, bench,
    command::ClientCommand,
    documents, entities, events, export,
    failure::CliError,
    first_admin, import, keys, leases, login,
    out::{self, Out},
    overview, patterns, pictures, queries, relations, services,
    session::Session,
    users::{self, UserCommand},
    watch,
};

/// Carries out one command. `whole` is the command line of the entire binary, which completions are made from.
pub async fn run(args: ClientArgs, command: ClientCommand, whole: clap::Command) -> ExitCode {
    match carry_out(args, command, whole).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(CliError::Closed) => ExitCode::SUCCESS,
        Err(error) => {
            out::note(&format!("error: {error}"));
            error.exit_code()
        }
    }
}

async fn carry_out(
    args: ClientArgs,
    mut command: ClientCommand,
    whole: clap::Command,
) -> Result<(), CliError> {
    if let ClientCommand::Completions(completions) = command {
        return complete(completions.shell, whole);
    }
    if let ClientCommand::User(UserCommand::Create(mut create)) = command {
        if let Some(url) = create.store.take() {
            return first_admin::create(&args, &url, *create).await;
        }
        command = ClientCommand::User(UserCommand::Create(create));
    }
    let mut session = match command {
        ClientCommand::Logout(logout) => return login::logout(&args, logout).await,
        // These make the session by which the others call.
        ClientCommand::Login(_) | ClientCommand::Register(_) => {
            Session::connect_as_nobody(&args).await?
        }
        _ => Session::connect(&args).await?,
    };
    let result = dispatch(&mut session, command).await;
    // What was shown before a failure is shown all the same.
    session.out.flush().and(result)
}

async fn dispatch(session: &mut Session, command: ClientCommand) -> Result<(), CliError> {
    match command {
        ClientCommand::Import(import) => import::import(session, import).await,
        ClientCommand::Export(export) => export::export(session, export).await,
        ClientCommand::Get(get) => documents::get(session, get).await,
        ClientCommand::Set(set) => documents::set(session, set).await,
        ClientCommand::Rm(rm) => documents::rm(session, rm).await,
        ClientCommand::Service(service) => services::run(session, service).await,
        ClientCommand::Entity(entity) => entities::run(session, entity).await,
        ClientCommand::Relation(relation) => relations::run(session, relation).await,
        ClientCommand::Deps(deps) => queries::deps(session, deps).await,
        ClientCommand::Impact(impact) => queries::impact(session, impact).await,
        ClientCommand::Path(path) => queries::path(session, path).await,
        ClientCommand::Find(find) => queries::find(session, find).await,
        ClientCommand::Neighbors(neighbors) => queries::neighbors(session, neighbors).await,
        ClientCommand::Subgraph(subgraph) => queries::subgraph(session, subgraph).await,
        ClientCommand::Cycles(cycles) => queries::cycles(session, cycles).await,
        ClientCommand::Order(order) => queries::order(session, order).await,
        ClientCommand::Search(search) => queries::search(session, search).await,
        ClientCommand::Viz(viz) => pictures::viz(session, viz).await,
        ClientCommand::Docs(docs) => pictures::docs(session, docs).await,
        ClientCommand::Describe(describe) => overview::describe(session, describe).await,
        ClientCommand::Validate(validate) => overview::validate(session, validate).await,
        ClientCommand::Prune(prune) => overview::prune(session, prune).await,
        ClientCommand::Watch(watch) => watch::run(session, watch).await,
        ClientCommand::Status => admin::status(session).await,
        ClientCommand::Login(login) => login::login(session, login).await,
        ClientCommand::Whoami => login::whoami(session).await,
        ClientCommand::Register(register) => login::register(session, register).await,
        ClientCommand::User(user) => users::run(session, user).await,
        ClientCommand::Key(key) => keys::run(session, key).await,
        ClientCommand::Audit(audit) => audit::run(session, audit).await,
        ClientCommand::Lease(lease) => leases::run(session, lease).await,
        ClientCommand::Pattern(pattern) => patterns::run(session, pattern).await,
        ClientCommand::Event(event) => events::run(session, event).await,
        ClientCommand::Backup(backup) => admin::backup(session, backup).await,
        ClientCommand::Restore(restore) => admin::restore(session, restore).await,
        ClientCommand::Bench(bench) => bench::run(session, bench).await,
        // Carried out before there was a session.
        ClientCommand::Logout(_) | ClientCommand::Completions(_) => Ok(()),
    }
}

fn complete(shell: clap_complete::Shell, mut whole: clap::Command) -> Result<(), CliError> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut whole, "amadeus", &mut script);
    let mut out = Out::new();
    out.bytes(&script)?;
    out.flush()
}
