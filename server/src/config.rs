//! Configuration: flags over `AMADEUS_*` environment over `amadeus.toml` over defaults.
//!
//! clap knows the first two and where each value came from; this file adds the third. An unknown key is an error, and
//! `--print-config` shows each value with its origin.

use crate::storage::StoreUrl;
use crate::tls::TlsFiles;
use clap::parser::ValueSource;
use clap::{ArgMatches, Args, ValueEnum};
use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

/// The file that is read when it exists and no other is named.
const DEFAULT_FILE: &str = "amadeus.toml";

/// Options of `amadeus serve`. Those in `KEYS` may also stand in the configuration file, under their long names
/// with underscores; `--from-backup`, `--config` and `--print-config` are for one start and may not.
#[derive(Args, Clone, Debug)]
pub struct ServeArgs {
    /// Address for gRPC
    #[arg(
        long,
        env = "AMADEUS_LISTEN",
        default_value = "127.0.0.1:50051",
        value_name = "HOST:PORT"
    )]
    pub listen: SocketAddr,

    /// Address for metrics and health over HTTP (/metrics, /livez, /readyz?verbose)
    #[arg(
        long,
        env = "AMADEUS_HTTP",
        default_value = "127.0.0.1:9090",
        value_name = "HOST:PORT"
    )]
    pub http: SocketAddr,

    /// Where the graph is kept: memory:, sqlite://PATH, or postgres://USER@HOST/DATABASE, which many servers share
    #[arg(long, env = "AMADEUS_STORE", hide_env_values = true, default_value = "sqlite://amadeus-data/amadeus.db", value_name = "URL", value_parser = store_url)]
    pub store: String,

    /// Redis, through which servers that share a store tell each other of writes; they work without it, later
    #[arg(
        long,
        env = "AMADEUS_REDIS",
        hide_env_values = true,
        value_name = "URL"
    )]
    pub redis: Option<String>,

    /// File to import at start if the graph is empty
    #[arg(long, env = "AMADEUS_LOAD", value_name = "FILE")]
    pub load: Option<PathBuf>,

    /// Backup file to make the store of, where there is none yet; it gets an identity of its own
    #[arg(long, env = "AMADEUS_FROM_BACKUP", value_name = "FILE")]
    pub from_backup: Option<PathBuf>,

    /// Certificate of the server and those above it, in PEM; with --tls-key both addresses speak TLS and nothing else
    #[arg(long, env = "AMADEUS_TLS_CERT", value_name = "FILE")]
    pub tls_cert: Option<PathBuf>,

    /// Key of the certificate, in PEM, kept from others; changed files are taken up while the server runs
    #[arg(long, env = "AMADEUS_TLS_KEY", value_name = "FILE")]
    pub tls_key: Option<PathBuf>,

    /// Authorities of client certificates, in PEM: a client that shows one of theirs is the user whom it names (its CN)
    #[arg(long, env = "AMADEUS_TLS_CLIENT_CA", value_name = "FILE")]
    pub tls_client_ca: Option<PathBuf>,

    /// Who may ask what this server offers
    #[arg(
        long,
        env = "AMADEUS_REFLECTION",
        default_value = "open",
        value_name = "WHO"
    )]
    pub reflection: Reflection,

    /// Allow addresses beyond this machine without sign-in or without TLS
    #[arg(long, env = "AMADEUS_INSECURE")]
    pub insecure: bool,

    /// Let nobody in who has not signed in, by a token, an API key or a client certificate. Without it everybody may do everything
    #[arg(long, env = "AMADEUS_AUTH")]
    pub auth: bool,

    /// File of keys that access tokens are signed with, one a line in hexadecimal or base64, at least 32 bytes each: the
    /// first signs, all verify [default: generated, beside the store or in its database]
    #[arg(long, env = "AMADEUS_TOKEN_KEYS", value_name = "FILE")]
    pub token_keys: Option<PathBuf>,

    /// Calls a second that one principal may make where one has to sign in; 0: any number
    #[arg(
        long,
        env = "AMADEUS_PRINCIPAL_CALLS",
        default_value_t = 20_000,
        value_name = "N"
    )]
    pub principal_calls: u32,

    /// Bytes of requests a second; 0: any number
    #[arg(
        long,
        env = "AMADEUS_PRINCIPAL_BYTES",
        default_value_t = 128 * 1024 * 1024,
        value_name = "BYTES"
    )]
    pub principal_bytes: u32,

    /// Calls of one principal that may be under way, streams left out; 0: any number
    #[arg(
        long,
        env = "AMADEUS_PRINCIPAL_IN_FLIGHT",
        default_value_t = 4_096,
        value_name = "N"
    )]
    pub principal_in_flight: u32,

    /// Streams that one principal may have open; 0: any number
    #[arg(
        long,
        env = "AMADEUS_PRINCIPAL_STREAMS",
        default_value_t = 1_024,
        value_name = "N"
    )]
    pub principal_streams: u32,

    /// Seconds that calls in flight may take after SIGTERM or Ctrl-C
    #[arg(long, env = "AMADEUS_GRACE", default_value_t = 10, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(0..=3600))]
    pub grace: u64,

    /// Form of the log on standard error
    #[arg(
        long,
        env = "AMADEUS_LOG_FORMAT",
        default_value = "text",
        value_name = "FORM"
    )]
    pub log_format: LogFormat,

    /// What is logged, for example info or amadeus=debug,warn
    #[arg(long, env = "AMADEUS_LOG", default_value = "info", value_name = "FILTER", value_parser = log_filter)]
    pub log: String,

    /// Bytes that the history ring may hold
    #[arg(long, env = "AMADEUS_HISTORY_BYTES", default_value_t = kg_core::limits::HISTORY_BYTES, value_name = "BYTES")]
    pub history_bytes: usize,

    /// Revisions that the history ring may hold
    #[arg(long, env = "AMADEUS_HISTORY_REVISIONS", default_value_t = kg_core::limits::HISTORY_REVISIONS, value_name = "N")]
    pub history_revisions: usize,

    /// Transactions that may wait to be committed
    #[arg(long, env = "AMADEUS_QUEUE", default_value_t = kg_core::limits::QUEUE, value_name = "N", value_parser = at_least_one)]
    pub queue: usize,

    /// Revisions between two checkpoints, which bound the replay at start
    #[arg(long, env = "AMADEUS_CHECKPOINT_EVERY", default_value_t = 20_000, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub checkpoint_every: u64,

    /// Events that the log of events keeps; beyond it the oldest go. A repetition is known for as long as the first is kept
    #[arg(long, env = "AMADEUS_EVENT_KEEP_ROWS", default_value_t = kg_core::limits::EVENTS_KEPT, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub event_keep_rows: u64,

    /// Bytes of events that the log of events keeps; beyond it the oldest go
    #[arg(long, env = "AMADEUS_EVENT_KEEP_BYTES", default_value_t = kg_core::limits::EVENT_BYTES_KEPT, value_name = "BYTES", value_parser = clap::value_parser!(u64).range(1..))]
    pub event_keep_bytes: u64,

    /// Runs of patterns that may be under way at once; as many as 10,000 more wait
    #[arg(long, env = "AMADEUS_MAX_RUNS", default_value_t = crate::nexus::places::RUNS, value_name = "N", value_parser = at_least_one)]
    pub max_runs: usize,

    /// Runs that ended of which more than the statistics is kept
    #[arg(long, env = "AMADEUS_KEEP_RUNS", default_value_t = crate::nexus::runs::KEPT.0, value_name = "N")]
    pub keep_runs: u64,

    /// Configuration file [default: amadeus.toml, if there is one]
    #[arg(long, env = "AMADEUS_CONFIG", value_name = "FILE")]
    pub config: Option<PathBuf>,

    /// Show each value and where it came from, then exit
    #[arg(long)]
    pub print_config: bool,
}

/// Form of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object per line.
    Json,
}

/// Who may use reflection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Reflection {
    /// Everybody.
    Open,
    /// Who has signed in.
    SignedIn,
    /// Nobody: it is not served.
    Off,
}

/// A configuration that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file could not be read.
    #[error("the configuration file {path} cannot be read: {cause}", path = .path.display())]
    Read {
        /// Which file.
        path: PathBuf,
        /// Why.
        #[source]
        cause: std::io::Error,
    },
    /// The file says something that cannot be used.
    #[error("the configuration file {path}: {what}", path = .path.display())]
    File {
        /// Which file.
        path: PathBuf,
        /// What is wrong with it.
        what: String,
    },
    /// An address beyond this machine, without what protects it.
    #[error(
        "{address} would be reachable from other machines, and {lacks}: add {add}; or bind a loopback address; \
         or add --insecure, if the network is trusted"
    )]
    Exposed {
        /// The address.
        address: SocketAddr,
        /// What is not so.
        lacks: &'static str,
        /// What would make it so.
        add: &'static str,
    },
    /// Half of TLS.
    #[error("{given} needs {missing}: TLS takes a certificate and its key")]
    HalfTls {
        /// What there is.
        given: &'static str,
        /// What there is not.
        missing: &'static str,
    },
}

/// Where a value came from.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Origin {
    Default,
    File(PathBuf),
    Environment,
    Flag,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File(path) => write!(f, "file {}", path.display()),
            Self::Environment => f.write_str("environment"),
            Self::Flag => f.write_str("flag"),
        }
    }
}

/// A configuration and where each of its values came from.
#[derive(Debug)]
pub struct Config {
    /// The values.
    pub args: ServeArgs,
    origins: Vec<(&'static str, Origin)>,
}

/// The keys of a file, with the parser of each.
const KEYS: [(&str, Set); 27] = [
    ("listen", |args, value| {
        parse(value, |text| {
            text.parse()
                .map(|a| args.listen = a)
                .map_err(|_| "must be HOST:PORT".into())
        })
    }),
    ("http", |args, value| {
        parse(value, |text| {
            text.parse()
                .map(|a| args.http = a)
                .map_err(|_| "must be HOST:PORT".into())
        })
    }),
    ("store", |args, value| {
        parse(value, |text| store_url(text).map(|url| args.store = url))
    }),
    ("redis", |args, value| {
        parse(value, |text| {
            args.redis = Some(text.to_owned()).filter(|url| !url.is_empty());
            Ok(())
        })
    }),
    ("load", |args, value| file(value, &mut args.load)),
    ("auth", |args, value| {
        yes_or_no(value).map(|v| args.auth = v)
    }),
    ("tls_cert", |args, value| file(value, &mut args.tls_cert)),
    ("tls_key", |args, value| file(value, &mut args.tls_key)),
    ("tls_client_ca", |args, value| {
        file(value, &mut args.tls_client_ca)
    }),
    ("reflection", |args, value| {
        parse(value, |text| {
            Reflection::from_str(text, true).map(|who| args.reflection = who)
        })
    }),
    ("insecure", |args, value| {
        yes_or_no(value).map(|v| args.insecure = v)
    }),
    ("token_keys", |args, value| {
        parse(value, |text| {
            args.token_keys = Some(text.into());
            Ok(())
        })
    }),
    ("principal_calls", |args, value| {
        whole(value, 0).map(|n| args.principal_calls = n)
    }),
    ("principal_bytes", |args, value| {
        whole(value, 0).map(|n| args.principal_bytes = n)
    }),
    ("principal_in_flight", |args, value| {
        whole(value, 0).map(|n| args.principal_in_flight = n)
    }),
    ("principal_streams", |args, value| {
        whole(value, 0).map(|n| args.principal_streams = n)
    }),
    ("grace", |args, value| {
        whole(value, 0).map(|n| args.grace = n)
    }),
    ("log_format", |args, value| {
        parse(value, |text| {
            LogFormat::from_str(text, true).map(|f| args.log_format = f)
        })
    }),
    ("log", |args, value| {
        parse(value, |text| {
            log_filter(text).map(|filter| args.log = filter)
        })
    }),
    ("history_bytes", |args, value| {
        whole(value, 0).map(|n| args.history_bytes = n)
    }),
    ("history_revisions", |args, value| {
        whole(value, 0).map(|n| args.history_revisions = n)
    }),
    ("queue", |args, value| {
        whole(value, 1).map(|n| args.queue = n)
    }),
    ("checkpoint_every", |args, value| {
        whole(value, 1).map(|n| args.checkpoint_every = n)
    }),
    ("event_keep_rows", |args, v| {
        whole(v, 1).map(|n| args.event_keep_rows = n)
    }),
    ("event_keep_bytes", |args, v| {
        whole(v, 1).map(|n| args.event_keep_bytes = n)
    }),
    ("max_runs", |args, value| {
        whole(value, 1).map(|n| args.max_runs = n)
    }),
    ("keep_runs", |args, value| {
        whole(value, 0).map(|n| args.keep_runs = n)
    }),
];

type Set = fn(&mut ServeArgs, &toml::Value) -> Result<(), String>;

impl Config {
    /// Adds the file to what clap has read. `matches` are those of the `serve` command, where it was named.
    ///
    /// # Errors
    /// [`ConfigError`].
    pub fn complete(mut args: ServeArgs, matches: &ArgMatches) -> Result<Self, ConfigError> {
        let mut origins: Vec<_> = KEYS
            .iter()
            .map(|(key, _)| (*key, origin(matches, key)))
            .collect();
        let path = args
            .config
            .clone()
            .or_else(|| Some(PathBuf::from(DEFAULT_FILE)).filter(|p| p.exists()));
        if let Some(path) = path {
            for (key, value) in read(&path)? {
                let wrong = |what| ConfigError::File {
                    path: path.clone(),
                    what,
                };
                let index = KEYS
                    .iter()
                    .position(|(known, _)| *known == key)
                    .ok_or_else(|| {
                        let known = KEYS.map(|(known, _)| known).join(", ");
                        wrong(format!("unknown key {key:?}; known are {known}"))
                    })?;
                if origins[index].1 == Origin::Default {
                    (KEYS[index].1)(&mut args, &value)
                        .map_err(|why| wrong(format!("{key} {why}")))?;
                    origins[index].1 = Origin::File(path.clone());
                }
            }
        }
        args.judge()?;
        Ok(Self { args, origins })
    }

    /// Each value with its origin, one a line, in the form of a configuration file.
    #[must_use]
    pub fn print(&self) -> String {
        let args = &self.args;
        let quoted = |text: &dyn fmt::Display| format!("{:?}", text.to_string());
        let path = |path: &Option<PathBuf>| {
            let path = path.as_ref().map(|path| quoted(&path.display()));
            path.unwrap_or_else(|| "\"\"".into())
        };
        let value = |key: &str| match key {
            "listen" => quoted(&args.listen),
            "http" => quoted(&args.http),
            "store" => quoted(&StoreUrl::shown(&args.store)),
            "redis" => args
                .redis
                .as_ref()
                .map_or_else(|| "\"\"".into(), |url| quoted(&StoreUrl::shown(url))),
            "load" => path(&args.load),
            "auth" => args.auth.to_string(),
            "tls_cert" => path(&args.tls_cert),
            "tls_key" => path(&args.tls_key),
            "tls_client_ca" => path(&args.tls_client_ca),
            "reflection" => quoted(&name_of(args.reflection)),
            "insecure" => args.insecure.to_string(),
            "token_keys" => path(&args.token_keys),
            "principal_calls" => args.principal_calls.to_string(),
            "principal_bytes" => args.principal_bytes.to_string(),
            "principal_in_flight" => args.principal_in_flight.to_string(),
            "principal_streams" => args.principal_streams.to_string(),
            "grace" => args.grace.to_string(),
            "log_format" => quoted(&name_of(args.log_format)),
            "log" => quoted(&args.log),
            "history_bytes" => args.history_bytes.to_string(),
            "history_revisions" => args.history_revisions.to_string(),
            "queue" => args.queue.to_string(),
            "event_keep_rows" => args.event_keep_rows.to_string(),
            "event_keep_bytes" => args.event_keep_bytes.to_string(),
            "max_runs" => args.max_runs.to_string(),
            "keep_runs" => args.keep_runs.to_string(),
            _ => args.checkpoint_every.to_string(),
        };
        let lines = self.origins.iter().map(|(key, origin)| {
            let line = format!("{key} = {}", value(key));
            format!("{line:<60} # {origin}\n")
        });
        lines.collect()
    }
}

impl ServeArgs {
    /// The files of TLS, where it is spoken.
    #[must_use]
    pub fn tls(&self) -> Option<TlsFiles> {
        Some(TlsFiles {
            certificate: self.tls_cert.clone()?,
            key: self.tls_key.clone()?,
            client_ca: self.tls_client_ca.clone(),
        })
    }

    /// Refuses half of TLS, and to be reachable from other machines without what protects it.
    fn judge(&self) -> Result<(), ConfigError> {
        let half = |given, missing| Err(ConfigError::HalfTls { given, missing });
        match (&self.tls_cert, &self.tls_key, &self.tls_client_ca) {
            (Some(_), None, _) => return half("--tls-cert", "--tls-key"),
            (None, Some(_), _) => return half("--tls-key", "--tls-cert"),
            (None, None, Some(_)) => return half("--tls-client-ca", "--tls-cert and --tls-key"),
            (Some(_), Some(_), _) | (None, None, None) => {}
        }
        let (lacks, add) = match (self.auth, self.tls_cert.is_some()) {
            (true, true) => return Ok(()),
            (false, true) => ("nobody has to sign in", "--auth"),
            (true, false) => (
                "what is said there is not encrypted",
                "--tls-cert and --tls-key",
            ),
            (false, false) => (
                "nobody has to sign in and what is said there is not encrypted",
                "--auth, --tls-cert and --tls-key",
            ),
        };
        let beyond = |address: &SocketAddr| !address.ip().is_loopback();
        match [self.listen, self.http].into_iter().find(beyond) {
            Some(address) if !self.insecure => Err(ConfigError::Exposed {
                address,
                lacks,
                add,
            }),
            Some(_) | None => Ok(()),
        }
    }
}

fn read(path: &Path) -> Result<toml::Table, ConfigError> {
    let text = std::fs::read_to_string(path).map_err(|cause| ConfigError::Read {
        path: path.into(),
        cause,
    })?;
    text.parse()
        .map_err(|error: toml::de::Error| ConfigError::File {
            path: path.into(),
            what: error.to_string(),
        })
}

/// What a value of a choice is called.
fn name_of(value: impl ValueEnum) -> String {
    let value = value.to_possible_value();
    value.map_or_else(String::new, |value| value.get_name().to_owned())
}

fn origin(matches: &ArgMatches, key: &str) -> Origin {
    // `amadeus` alone serves too, and then clap has seen no options.
    match matches
        .try_contains_id(key)
        .ok()
        .and_then(|_| matches.value_source(key))
    {
        Some(ValueSource::CommandLine) => Origin::Flag,
        Some(ValueSource::EnvVariable) => Origin::Environment,
        _ => Origin::Default,
    }
}

fn parse(value: &toml::Value, set: impl FnOnce(&str) -> Result<(), String>) -> Result<(), String> {
    set(value.as_str().ok_or("must be a string")?)
}

/// The path of a file; empty, as `--print-config` shows it, for none.
fn file(value: &toml::Value, path: &mut Option<PathBuf>) -> Result<(), String> {
    parse(value, |text| {
        *path = Some(text.into()).filter(|_| !text.is_empty());
        Ok(())
    })
}

fn yes_or_no(value: &toml::Value) -> Result<bool, String> {
    value
        .as_bool()
        .ok_or_else(|| "must be true or false".into())
}

fn whole<N: TryFrom<i64>>(value: &toml::Value, least: i64) -> Result<N, String> {
    let number = value
        .as_integer()
        .filter(|n| *n >= least)
        .and_then(|n| N::try_from(n).ok());
    number.ok_or_else(|| format!("must be a whole number of at least {least}"))
}

fn at_least_one(text: &str) -> Result<usize, String> {
    text.parse()
        .ok()
        .filter(|n| *n >= 1)
        .ok_or_else(|| "must be a whole number of at least 1".into())
}

fn store_url(text: &str) -> Result<String, String> {
    StoreUrl::parse(text)
        .map(|_| text.to_owned())
        .map_err(|error| error.to_string())
}

fn log_filter(text: &str) -> Result<String, String> {
    tracing_subscriber::EnvFilter::try_new(text)
        .map(|_| text.to_owned())
        .map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Serve {
        #[command(flatten)]
        args: ServeArgs,
    }

    fn judged(options: &str) -> Result<(), String> {
        let words = ["serve"].into_iter().chain(options.split_whitespace());
        let serve = Serve::try_parse_from(words).map_err(|error| error.to_string())?;
        serve.args.judge().map_err(|error| error.to_string())
    }

    #[test]
    fn an_exposed_server_is_told_what_is_missing_and_what_to_add() {
        let beyond = "--listen 0.0.0.0:1";
        let tls = "--tls-cert c --tls-key k";
        for (options, missing) in [
            (beyond.to_owned(), "--auth, --tls-cert and --tls-key"),
            (
                "--http [::]:1".to_owned(),
                "--auth, --tls-cert and --tls-key",
            ),
            (format!("{beyond} {tls}"), "add --auth; or"),
            (
                format!("{beyond} --auth"),
                "add --tls-cert and --tls-key; or",
            ),
        ] {
            let said = judged(&options).expect_err("it is exposed");
            assert!(
                said.contains(missing) && said.contains("--insecure"),
                "{said}"
            );
            assert_eq!(judged(&format!("{options} --insecure")), Ok(()));
        }
        assert_eq!(judged(&format!("{beyond} --auth {tls}")), Ok(()));
        assert_eq!(judged("--listen 127.0.0.1:1 --http [::1]:1"), Ok(()));
    }

    #[test]
    fn half_of_tls_is_refused_by_name() {
        for (options, missing) in [
            ("--tls-cert c", "--tls-key"),
            ("--tls-key k", "--tls-cert"),
            ("--tls-client-ca a", "--tls-cert and --tls-key"),
        ] {
            let said = judged(options).expect_err("it is half");
            assert!(said.contains(&format!("needs {missing}")), "{said}");
        }
    }

    #[test]
    fn every_key_can_be_shown_and_what_is_shown_can_be_read() {
        let serve = Serve::try_parse_from(["serve"]).expect("defaults");
        let origins = KEYS
            .iter()
            .map(|(key, _)| (*key, Origin::Default))
            .collect();
        let shown = Config {
            args: serve.args,
            origins,
        }
        .print();
        let table: toml::Table = shown.parse().expect("it is TOML");
        let mut args = Serve::try_parse_from(["serve"]).expect("defaults").args;
        for (key, set) in KEYS {
            set(&mut args, &table[key]).unwrap_or_else(|why| panic!("{key} {why}"));
        }
        assert_eq!((args.tls_cert, args.load), (None, None));
    }
}
