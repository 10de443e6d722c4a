//! What the files of TLS say now: looked at every two seconds, and at once when SIGHUP asks for it.
//!
//! A certificate and its key are two files, and whoever renews them writes one after the other. So what has changed is tried
//! once two looks have found the same; with SIGHUP whoever sends it says that all is written.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rustls::ServerConfig;
use rustls::pki_types::UnixTime;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval};

use super::client::{Authorities, ClientCertificate};
use super::door::Protocol;
use super::files::{Configs, Contents, TlsError, TlsFiles};
use crate::metrics::Metrics;
use crate::shutdown::Shutdown;

/// From one look at the files to the next.
const LOOK_EVERY: Duration = Duration::from_secs(2);

/// The fingerprint of files that cannot be read.
const UNREADABLE: u128 = 0;

/// The certificates of the server, as new connections get them. Clones show the same.
#[derive(Clone)]
pub struct Certificates {
    current: watch::Receiver<Configs>,
    /// Why the files are not what new connections get, while that is so.
    fault: Arc<Mutex<Option<String>>>,
}

impl Certificates {
    /// Reads the files for the first time; the other half keeps looking at them.
    ///
    /// # Errors
    /// [`TlsError`], when no TLS can be made of them.
    pub fn load(files: TlsFiles) -> Result<(Self, Look), TlsError> {
        let contents = files.read()?;
        let configs = files.configs(&contents)?;
        let (tell, current) = watch::channel(configs);
        let fault = Arc::default();
        let look = Look {
            tried: contents.fingerprint(),
            seen: contents.fingerprint(),
            files,
            tell,
            fault: Arc::clone(&fault),
        };
        Ok((Self { current, fault }, look))
    }

    /// What greets a new connection, and who vouches for the client there.
    pub(super) fn now(&self, protocol: Protocol) -> (Arc<ServerConfig>, Authorities) {
        let configs = self.current.borrow();
        let config = match protocol {
            Protocol::Grpc => configs.h2.clone(),
            Protocol::Http => configs.http1.clone(),
        };
        (config, configs.authorities())
    }

    /// Who vouches for clients now.
    #[must_use]
    pub fn authorities(&self) -> Authorities {
        self.current.borrow().authorities()
    }

    /// Whether those who vouch for clients now do so for this one. Costs signatures to verify where they are not those of its
    /// handshake.
    #[must_use]
    pub fn vouch_for(&self, client: &ClientCertificate) -> bool {
        let clients = self.current.borrow().clients.clone();
        let (Some((authorities, judge)), Some((own, others))) =
            (clients, client.chain.split_first())
        else {
            return false;
        };
        let now = UnixTime::now();
        authorities == client.authorities || judge.verify_client_cert(own, others, now).is_ok()
    }

    /// Why the files cannot be used, if they cannot; new connections get what was there before.
    #[must_use]
    pub fn fault(&self) -> Option<String> {
        let fault = self.fault.lock().unwrap_or_else(PoisonError::into_inner);
        fault.clone()
    }
}

/// Looks at the files.
pub struct Look {
    files: TlsFiles,
    /// What was tried last, whether or not it could be used.
    tried: u128,
    /// What the last look found.
    seen: u128,
    tell: watch::Sender<Configs>,
    fault: Arc<Mutex<Option<String>>>,
}

impl Look {
    /// Looks until the server ends.
    ///
    /// # Errors
    /// When SIGHUP cannot be listened to.
    pub fn keep(
        mut self,
        metrics: Arc<Metrics>,
        ending: Shutdown,
    ) -> std::io::Result<impl Future<Output = ()> + Send> {
        let mut asked = signal(SignalKind::hangup())?;
        Ok(async move {
            let mut due = interval(LOOK_EVERY);
            due.set_missed_tick_behavior(MissedTickBehavior::Delay);
            loop {
                let at_once = tokio::select! {
                    _ = due.tick() => false,
                    _ = asked.recv() => true,
                    () = ending.begun() => return,
                };
                // The files may be on a disk that has gone to sleep.
                let looked = tokio::task::spawn_blocking(move || {
                    let found = self.look(at_once);
                    (self, found)
                });
                let found;
                (self, found) = match looked.await {
                    Ok(looked) => looked,
                    Err(error) => {
                        return tracing::error!(%error, "the certificates are no longer looked at");
                    }
                };
                self.note(found, &metrics);
            }
        })
    }

    /// What new connections are to get from now on, if anything has changed.
    fn look(&mut self, at_once: bool) -> Option<Result<Configs, TlsError>> {
        let read = self.files.read();
        let found = read.as_ref().map_or(UNREADABLE, Contents::fingerprint);
        let settled = std::mem::replace(&mut self.seen, found) == found;
        if !at_once && (found == self.tried || !settled) {
            return None;
        }
        self.tried = found;
        Some(read.and_then(|contents| self.files.configs(&contents)))
    }

    fn note(&self, found: Option<Result<Configs, TlsError>>, metrics: &Metrics) {
        let Some(found) = found else { return };
        let used = found.is_ok();
        let mut fault = self.fault.lock().unwrap_or_else(PoisonError::into_inner);
        match found {
            Ok(configs) => {
                self.tell.send_replace(configs);
                *fault = None;
                tracing::info!("new connections get the certificates that are in the files now");
            }
            Err(error) => {
                tracing::error!(%error, "the files of TLS cannot be used; new connections get what was in them before");
                *fault = Some(error.to_string());
            }
        }
        metrics.tls_reload(used);
        metrics.degraded("tls", !used);
    }
}
