//! Shutdown: one signal ends the server in order, a second ends it at once.

use tokio::sync::watch;

/// Tells everybody that the server is ending.
#[derive(Clone, Debug)]
pub struct Shutdown(watch::Sender<bool>);

impl Default for Shutdown {
    fn default() -> Self {
        Self(watch::Sender::new(false))
    }
}

impl Shutdown {
    /// Begins the end. A second call changes nothing.
    pub fn begin(&self) {
        self.0.send_replace(true);
    }

    /// Whether it has begun.
    #[must_use]
    pub fn has_begun(&self) -> bool {
        *self.0.borrow()
    }

    /// What turns true when it begins.
    #[must_use]
    pub fn subscribe(&self) -> watch::Receiver<bool> {
        self.0.subscribe()
    }

    /// Ends when it has begun; at once, if it has already.
    pub async fn begun(&self) {
        // The sender lives in `self`, so that waiting cannot fail before it has begun.
        let _ = self.0.subscribe().wait_for(|begun| *begun).await;
    }
}

/// Asks for the end with the first SIGTERM or Ctrl-C; a second one exits the process at once, with the status of a killed
/// process. From here on a signal does not kill the process by itself.
///
/// # Errors
/// When the signals cannot be listened to.
pub fn on_signals(asked: Shutdown) -> std::io::Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    tokio::spawn(async move {
        let signal = tokio::select! {
            _ = terminate.recv() => "SIGTERM",
            _ = interrupt.recv() => "SIGINT",
        };
        tracing::info!(signal, "asked to end");
        asked.begin();
        let status = tokio::select! {
            _ = terminate.recv() => 128 + 15,
            _ = interrupt.recv() => 128 + 2,
        };
        tracing::warn!(status, "second signal: exiting at once");
        std::process::exit(status);
    });
    Ok(())
}
