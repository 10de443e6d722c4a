//! A PostgreSQL server of one test program.

use crate::daemon::{Daemon, Signal};
use crate::user::User;
use crate::{Missing, free_port, on_path};
use std::fs;
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::thread;
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// How long it may take to start.
const START: Duration = Duration::from_secs(60);

/// The server.
#[derive(Debug)]
pub struct Postgres {
    binaries: PathBuf,
    folder: TempDir,
    port: u16,
    user: Option<User>,
    daemon: Mutex<Option<Daemon>>,
    /// Relaxed: it only numbers.
    databases: AtomicU32,
}

/// The folder of the server's programs: of the newest version, where there are several.
pub(crate) fn binaries() -> Option<PathBuf> {
    let whole = |folder: &PathBuf| {
        let programs = ["postgres", "initdb", "psql", "pg_isready"];
        programs
            .iter()
            .all(|program| folder.join(program).is_file())
    };
    let debian = fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .flatten();
    let mut folders: Vec<PathBuf> = debian.map(|version| version.path().join("bin")).collect();
    folders.sort();
    let on_path = on_path("postgres").and_then(|file| Some(file.parent()?.to_owned()));
    folders.into_iter().rev().chain(on_path).find(whole)
}

impl Postgres {
    /// One server for the whole test program.
    ///
    /// # Errors
    /// [`Missing`].
    pub fn shared() -> Result<&'static Self, &'static Missing> {
        static SHARED: OnceLock<Result<Postgres, Missing>> = OnceLock::new();
        SHARED.get_or_init(Self::start).as_ref()
    }

    /// A server of its own.
    ///
    /// # Errors
    /// [`Missing`].
    pub fn start() -> Result<Self, Missing> {
        let binaries = binaries().ok_or_else(|| Missing("PostgreSQL is not installed".into()))?;
        let io = |what: &str, error: std::io::Error| Missing(format!("{what}: {error}"));
        let folder = TempDir::new().map_err(|e| io("no temporary folder", e))?;
        let user = User::to_become();
        if let Some(user) = user {
            chown(folder.path(), Some(user.uid), Some(user.gid))
                .map_err(|e| io("the folder cannot be given away", e))?;
        }
        let server = Self {
            binaries,
            folder,
            port: free_port(),
            user,
            daemon: Mutex::new(None),
            databases: AtomicU32::new(0),
        };
        let made = server
            .command("initdb")
            .args([
                "--auth=trust",
                "--username=amadeus",
                "--encoding=UTF8",
                "--no-locale",
            ])
            .arg("--no-instructions")
            .arg("--pgdata")
            .arg(server.data())
            .output()
            .map_err(|e| io("initdb", e))?;
        if !made.status.success() {
            let said = String::from_utf8_lossy(&made.stderr).into_owned();
            return Err(Missing(format!("initdb failed: {said}")));
        }
        server.resume();
        Ok(server)
    }

    fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(self.binaries.join(program));
        // A user who may not read the folder that the tests run in could not start there.
        command.current_dir(self.folder.path()).env("LC_ALL", "C");
        if let Some(user) = self.user {
            command.uid(user.uid).gid(user.gid);
        }
        command
    }

    /// The port that it listens on.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// A new, empty database; its URL.
    ///
    /// # Panics
    /// When it cannot be made.
    #[must_use]
    pub fn database(&self) -> String {
        let number = self.databases.fetch_add(1, Ordering::Relaxed);
        let name = format!("test_{number}");
        self.run("postgres", &format!("CREATE DATABASE {name}"));
        self.url_of(&name)
    }

    /// The URL of a database.
    #[must_use]
    pub fn url_of(&self, database: &str) -> String {
        format!("postgres://amadeus@127.0.0.1:{}/{database}", self.port)
    }

    /// Carries out SQL in a database, and returns what it printed.
    ///
    /// # Panics
    /// When it fails.
    pub fn run(&self, database: &str, sql: &str) -> String {
        let mut psql = self.command("psql");
        psql.args(["--no-psqlrc", "--quiet", "--tuples-only", "--no-align"])
            .args(["--host", "127.0.0.1", "--username", "amadeus"])
            .args(["--port", &self.port.to_string()])
            .args(["--dbname", database, "--command", sql]);
        let output = psql.output().unwrap_or_else(|e| panic!("psql: {e}"));
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{sql}: {said}");
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    }

    /// Keeps a file that only the server may read, for a setting that names one.
    ///
    /// # Panics
    /// When it cannot be written.
    #[must_use]
    pub fn keep(&self, name: &str, content: &str) -> PathBuf {
        let path = self.folder.path().join(name);
        let kept = fs::write(&path, content)
            .and_then(|()| fs::set_permissions(&path, fs::Permissions::from_mode(0o600)))
            .and_then(|()| match self.user {
                Some(user) => chown(&path, Some(user.uid), Some(user.gid)),
                None => Ok(()),
            });
        kept.unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        path
    }

    /// Starts it again after [`Postgres::end`].
    ///
    /// # Panics
    /// When it does not start.
    pub fn resume(&self) {
        let mut daemon = self.daemon.lock().unwrap_or_else(PoisonError::into_inner);
        if daemon.is_some() {
            return;
        }
        let log = fs::File::options()
            .create(true)
            .append(true)
            .open(self.folder.path().join("log"))
            .unwrap_or_else(|e| panic!("the log of PostgreSQL: {e}"));
        let mut command = self.command("postgres");
        command
            .arg("-D")
            .arg(self.data())
            .args(["-p", &self.port.to_string()])
            .args(["-c", "listen_addresses=127.0.0.1"])
            .args(["-c", "unix_socket_directories="])
            .args(["-c", "max_connections=100"])
            .stdout(Stdio::null())
            .stderr(log);
        let mut started = Daemon::start(&mut command).unwrap_or_else(|e| panic!("postgres: {e}"));
        let began = Instant::now();
        while !self.is_ready() {
            let late = began.elapsed() > START || started.has_ended();
            assert!(!late, "PostgreSQL does not start: {}", self.said());
            thread::sleep(Duration::from_millis(50));
        }
        *daemon = Some(started);
    }

    fn is_ready(&self) -> bool {
        let mut ready = self.command("pg_isready");
        ready.args([
            "--quiet",
            "--host",
            "127.0.0.1",
            "--port",
            &self.port.to_string(),
        ]);
        ready.status().is_ok_and(|status| status.success())
    }

    /// What it wrote to its log.
    #[must_use]
    pub fn said(&self) -> String {
        read(&self.folder.path().join("log"))
    }

    /// Ends it by a signal, and waits until it is gone.
    pub fn end(&self, signal: Signal) {
        let daemon = self
            .daemon
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        if let Some(daemon) = daemon {
            daemon.end(signal);
        }
    }

    /// Stops it or lets it go on.
    pub fn signal(&self, signal: Signal) {
        let daemon = self.daemon.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(daemon) = &*daemon {
            daemon.signal(signal);
        }
    }
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_default()
}
