//! Runs the example services.
//!
//! ```text
//! example-services --service inventory --listen 127.0.0.1:7001 --amadeus http://127.0.0.1:50051
//! example-services --service payments --service shipping --listen 127.0.0.1:7002 --amadeus http://127.0.0.1:50051
//! ```

#![expect(
    clippy::print_stdout,
    reason = "whoever starts it is told where it listens"
)]

use std::error::Error;
use std::net::SocketAddr;
use std::time::Duration;

use amadeus_client::{Registration, Server};
use clap::Parser;
use example_services::{Kind, Limits, described, serve};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};

/// How long the graph takes a service to be there that has not called.
const LEASE: Duration = Duration::from_secs(10);

/// Small services of a shop, for patterns to call.
#[derive(Parser)]
#[command(version)]
struct Args {
    /// Which; may be given several times.
    #[arg(long = "service", value_enum, required = true)]
    services: Vec<Kind>,
    /// Where they listen; port 0 takes a free one.
    #[arg(long, default_value = "127.0.0.1:0")]
    listen: SocketAddr,
    /// What others call them by, as HOST:PORT. The address that they listen on, where it is not given.
    #[arg(long)]
    reached_at: Option<String>,
    /// A server of Amadeus that they register with; may be given several times.
    #[arg(long)]
    amadeus: Vec<String>,
    /// The API key that they register with.
    #[arg(long, env = "AMADEUS_TOKEN", hide_env_values = true)]
    token: Option<String>,
    /// Cents over which a payment is declined.
    #[arg(long, default_value_t = Limits::default().payment_cents)]
    payment_limit: i64,
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error + Send + Sync>> {
    tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .init();
    let args = Args::parse();
    let listener = TcpListener::bind(args.listen).await?;
    let address = listener.local_addr()?;
    let reached_at = args
        .reached_at
        .clone()
        .unwrap_or_else(|| address.to_string());
    let mut registrations = Vec::new();
    if !args.amadeus.is_empty() {
        for kind in &args.services {
            let servers = args.amadeus.iter().map(|address| {
                let server = Server::at(address)?;
                match &args.token {
                    Some(token) => server.with_token(token),
                    None => Ok(server),
                }
            });
            let servers = servers.collect::<Result<Vec<_>, _>>()?;
            let service = described(*kind, &reached_at);
            registrations.push(Registration::keep_at(servers, service, LEASE)?);
        }
    }
    println!("listening on {address}");
    let mut terminated = signal(SignalKind::terminate())?;
    let end = async {
        tokio::select! {
            _ = tokio::signal::ctrl_c() => {}
            _ = terminated.recv() => {}
        }
        for registration in registrations {
            registration.end().await;
        }
    };
    let limits = Limits {
        payment_cents: args.payment_limit,
    };
    serve(&args.services, limits, listener, end).await
}
