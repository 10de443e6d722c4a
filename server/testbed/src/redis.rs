//! A Redis server of one test program.

use crate::daemon::{Daemon, Signal};
use crate::{Missing, free_port, on_path};
use std::net::{Ipv4Addr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// How long it may take to start.
const START: Duration = Duration::from_secs(20);

/// The server. It keeps nothing.
#[derive(Debug)]
pub struct Redis {
    binary: PathBuf,
    port: u16,
    /// What it is told besides.
    options: Vec<String>,
    daemon: Mutex<Option<Daemon>>,
}

/// Redis or Valkey, whichever is here.
pub(crate) fn binary() -> Option<PathBuf> {
    ["redis-server", "valkey-server"]
        .into_iter()
        .find_map(on_path)
}

impl Redis {
    /// Starts one.
    ///
    /// # Errors
    /// [`Missing`].
    pub fn start() -> Result<Self, Missing> {
        let port = free_port();
        Self::on(port, vec!["--port".into(), port.to_string()])
    }

    /// Starts one that speaks TLS only, with this certificate and its key.
    ///
    /// # Errors
    /// [`Missing`], also where it was built without TLS.
    pub fn start_encrypted(certificate: &Path, key: &Path) -> Result<Self, Missing> {
        let port = free_port();
        let told = format!(
            "--port 0 --tls-port {port} --tls-auth-clients no --tls-cert-file {} --tls-key-file {} --tls-ca-cert-file {}",
            certificate.display(),
            key.display(),
            certificate.display()
        );
        Self::on(port, told.split(' ').map(str::to_owned).collect())
    }

    fn on(port: u16, options: Vec<String>) -> Result<Self, Missing> {
        let binary = binary().ok_or_else(|| Missing("Redis is not installed".into()))?;
        let server = Self {
            binary,
            port,
            options,
            daemon: Mutex::new(None),
        };
        server.try_resume()?;
        Ok(server)
    }

    /// Its URL.
    #[must_use]
    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// The port that it listens on.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Starts it again after [`Redis::end`].
    ///
    /// # Panics
    /// When it does not start.
    pub fn resume(&self) {
        if let Err(missing) = self.try_resume() {
            panic!("{missing}");
        }
    }

    fn try_resume(&self) -> Result<(), Missing> {
        let mut daemon = self.daemon.lock().unwrap_or_else(PoisonError::into_inner);
        if daemon.is_some() {
            return Ok(());
        }
        let mut command = Command::new(&self.binary);
        command
            .args(["--bind", "127.0.0.1"])
            .args(&self.options)
            .args(["--save", "", "--appendonly", "no"])
            .stdout(Stdio::null());
        let started = Daemon::start(&mut command);
        let mut started = started.map_err(|e| Missing(format!("Redis: {e}")))?;
        let began = Instant::now();
        while TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)).is_err() {
            if began.elapsed() > START || started.has_ended() {
                return Err(Missing("Redis does not start like this".into()));
            }
            thread::sleep(Duration::from_millis(20));
        }
        *daemon = Some(started);
        Ok(())
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
