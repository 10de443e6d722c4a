//! The `amadeus` binary: `amadeus serve`, and the commands of its client.

use amadeus::cli::{self, ClientArgs, ClientCommand};
use amadeus::config::{Config, LogFormat, ServeArgs};
use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};
use std::io::{IsTerminal as _, Write as _};
use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// A live knowledge graph of a running system: its services, what each can do, and what each needs
#[derive(Parser)]
#[command(name = "amadeus", version, after_help = cli::EXIT_CODES, subcommand_precedence_over_arg = true)]
struct Amadeus {
    #[command(flatten)]
    client: ClientArgs,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Subcommand)]
enum Command {
    /// Serve the graph; this is what `amadeus` does when no command is given
    #[command(after_help = "\
Examples:
  amadeus serve
  amadeus serve --load examples/online-boutique.json
  amadeus serve --store memory: --listen 127.0.0.1:0
  amadeus serve --auth --tls-cert cert.pem --tls-key key.pem --listen 0.0.0.0:50051 --http 0.0.0.0:9090
  amadeus serve --print-config")]
    Serve(Box<ServeArgs>),
    #[command(flatten)]
    Client(Box<ClientCommand>),
}

fn main() -> ExitCode {
    // Whoever asks rustls for its default gets ring. An error means that it has one already.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let mut matches = Amadeus::command().get_matches();
    if matches.subcommand().is_none() {
        // Options of the server can still come from the environment and the file.
        matches = Amadeus::command().get_matches_from(["amadeus", "serve"]);
    }
    let amadeus = match Amadeus::from_arg_matches(&matches) {
        Ok(amadeus) => amadeus,
        Err(error) => error.exit(),
    };
    let runtime = match tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime,
        Err(error) => return failed(&error),
    };
    match amadeus.command {
        Some(Command::Client(command)) => {
            runtime.block_on(cli::run(amadeus.client, *command, Amadeus::command()))
        }
        Some(Command::Serve(args)) => match matches.subcommand_matches("serve") {
            Some(matches) => serve(&runtime, *args, matches),
            None => ExitCode::FAILURE,
        },
        None => ExitCode::FAILURE,
    }
}

fn serve(
    runtime: &tokio::runtime::Runtime,
    args: ServeArgs,
    matches: &clap::ArgMatches,
) -> ExitCode {
    let print = args.print_config;
    let config = match Config::complete(args, matches) {
        Ok(config) => config,
        Err(error) => return failed(&error),
    };
    if config.args.auth {
        amadeus::storage::keep_to_owner();
    }
    if print {
        return match std::io::stdout().write_all(config.print().as_bytes()) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => failed(&error),
        };
    }
    log_to_stderr(&config.args);
    #[cfg(faults)]
    if let Err(error) =
        kg_core::faults::arm(&std::env::var("AMADEUS_FAILPOINTS").unwrap_or_default())
    {
        let _ = writeln!(std::io::stderr(), "error: {error}");
        return ExitCode::FAILURE;
    }
    match runtime.block_on(amadeus::app::serve(config)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => failed(&error),
    }
}

fn failed(error: &dyn std::error::Error) -> ExitCode {
    // Standard error may be closed; there is nobody left to tell then.
    let _ = writeln!(std::io::stderr(), "error: {error}");
    ExitCode::FAILURE
}

fn log_to_stderr(args: &ServeArgs) {
    let mut filter = tracing_subscriber::EnvFilter::try_new(&args.log).unwrap_or_default();
    // It warns of whatever a client gets wrong, and clients would write the log.
    if !args.log.contains("rustls")
        && let Ok(quiet) = "rustls=error".parse()
    {
        filter = filter.add_directive(quiet);
    }
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal());
    match args.log_format {
        LogFormat::Text => log.init(),
        LogFormat::Json => log.json().init(),
    }
}
