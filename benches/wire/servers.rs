//! The servers that are asked: each a process of its own, in a folder of its own on the file system that all share, gone
//! with the value that stands for it.

use std::collections::HashMap;
use std::env;
use std::ffi::OsString;
use std::fs::{self, File};
use std::io;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use super::ready_made::SERVE;

/// Where `cargo xtask bench` says that the server lies.
const BINARY: &str = "AMADEUS_BIN";

/// How long a server may take until it listens.
const PATIENCE: Duration = Duration::from_secs(20);

/// What its standard error goes to, in its folder.
const LOG: &str = "log";

/// A server that runs.
pub struct Server {
    pub at: SocketAddr,
    child: Child,
    /// Nanoseconds that each of its threads has had on a processor, when they were looked at last.
    threads: Mutex<HashMap<OsString, u64>>,
    /// Removed after the process has ended.
    place: TempDir,
}

impl Server {
    /// Amadeus on an empty SQLite store, as `amadeus serve` runs without further options; if there is a binary.
    pub fn amadeus() -> Result<Self, String> {
        Self::amadeus_with(&[])
    }

    /// The same with further options.
    pub fn amadeus_with(options: &[String]) -> Result<Self, String> {
        let place = folder();
        let store = format!("sqlite://{}", place.path().join("amadeus.db").display());
        let mut all = vec!["--store", &store];
        all.extend(options.iter().map(String::as_str));
        Self::serving(place, &all)
    }

    /// Amadeus on a store that it shares.
    pub fn sharing(store: &str, redis: Option<&str>) -> Result<Self, String> {
        let mut options = vec!["--store", store];
        options.extend(redis.iter().flat_map(|redis| ["--redis", redis]));
        Self::serving(folder(), &options)
    }

    fn serving(place: TempDir, options: &[&str]) -> Result<Self, String> {
        let (at, http) = (free().to_string(), free().to_string());
        let mut command = Command::new(binary()?);
        command
            .arg("serve")
            .args(options)
            .args(["--listen", &at, "--http", &http]);
        let at = at.parse().map_err(|error| format!("{at}: {error}"))?;
        Self::start(command, at, place)
    }

    /// etcd alone, with its defaults: every `Put` is synced before its reply.
    pub fn etcd() -> Result<Self, String> {
        let (place, at, peer) = (folder(), free(), free());
        let (clients, peers) = (format!("http://{at}"), format!("http://{peer}"));
        let mut command = Command::new("etcd");
        command
            .args(["--log-level", "error", "--logger", "zap"])
            .arg(format!(
                "--data-dir={}",
                place.path().join("etcd").display()
            ))
            .arg(format!("--listen-client-urls={clients}"))
            .arg(format!("--advertise-client-urls={clients}"))
            .arg(format!("--listen-peer-urls={peers}"))
            .arg(format!("--initial-advertise-peer-urls={peers}"))
            .arg(format!("--initial-cluster=default={peers}"));
        Self::start(command, at, place)
            .map_err(|why| format!("{why}; Debian has it as `etcd-server`"))
    }

    /// Redis alone, which syncs what it was told before it answers.
    pub fn redis() -> Result<Self, String> {
        let (place, at) = (folder(), free());
        let mut command = Command::new("redis-server");
        command
            .args(["--bind", "127.0.0.1", "--save", "", "--appendonly", "yes"])
            .args(["--appendfsync", "always", "--port", &at.port().to_string()])
            .arg("--dir")
            .arg(place.path());
        Self::start(command, at, place)
            .map_err(|why| format!("{why}; Debian has it as `redis-server`"))
    }

    /// The tonic server of [`super::ready_made`], which answers with this.
    pub fn ready_made(reply: &[u8]) -> Result<Self, String> {
        let (place, at) = (folder(), free());
        let file = place.path().join("reply");
        fs::write(&file, reply).map_err(|error| error.to_string())?;
        let program = env::current_exe().map_err(|error| error.to_string())?;
        let mut command = Command::new(program);
        command.args([SERVE, &at.to_string()]).arg(file);
        Self::start(command, at, place)
    }

    fn start(mut command: Command, at: SocketAddr, place: TempDir) -> Result<Self, String> {
        let said = place.path().join(LOG);
        let log = File::create(&said).map_err(|error| error.to_string())?;
        let name = Path::new(command.get_program()).to_owned();
        let child = command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .map_err(|error| format!("{} could not be started: {error}", name.display()))?;
        let mut server = Self {
            at,
            child,
            threads: Mutex::default(),
            place,
        };
        let since = Instant::now();
        while TcpStream::connect(at).is_err() {
            if since.elapsed() > PATIENCE || !matches!(server.child.try_wait(), Ok(None)) {
                let said = fs::read_to_string(&said).unwrap_or_default();
                return Err(format!("{} does not serve: {said}", name.display()));
            }
            thread::sleep(Duration::from_millis(5));
        }
        Ok(server)
    }

    /// The token that makes its first administrator. It was shown before the server listened.
    pub fn setup_token(&self) -> String {
        let said = fs::read_to_string(self.place.path().join(LOG)).expect("it has a log");
        let token = said.lines().map(str::trim).find(|l| l.starts_with("ams_"));
        token.expect("it waits for an administrator").to_owned()
    }

    /// The time that its threads have had on a processor, in their code and in the kernel for them. One that has ended
    /// counts with what it had when this was asked last: those that hash passwords end some seconds later, and by what they
    /// had used the time would go back.
    pub fn cpu(&self) -> io::Result<Duration> {
        let threads = self.threads.lock();
        let mut threads = threads.unwrap_or_else(PoisonError::into_inner);
        for task in fs::read_dir(format!("/proc/{}/task", self.child.id()))? {
            let task = task?;
            let stat = fs::read_to_string(task.path().join("schedstat"));
            let first = stat
                .ok()
                .and_then(|s| s.split(' ').next()?.parse::<u64>().ok());
            if let Some(ns) = first {
                threads.insert(task.file_name(), ns);
            }
        }
        Ok(Duration::from_nanos(threads.values().sum()))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It has ended by itself if these fail.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The server's binary, if `cargo xtask bench` has built it.
pub fn binary() -> Result<OsString, String> {
    let named = env::var_os(BINARY);
    named.ok_or_else(|| format!("{BINARY} names no server: `cargo xtask bench wire` sets it"))
}

/// A folder below the one that cargo builds into, and not below one that may lie in memory.
pub fn folder() -> TempDir {
    tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("there is room for a folder")
}

/// An address that was free a moment ago.
fn free() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
    listener.expect("a port is free")
}
