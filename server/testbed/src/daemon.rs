//! A process that ends with the test program, however that ends.

use std::io;
use std::process::{Child, Command, Stdio};

/// What a process may be sent.
#[derive(Clone, Copy, Debug)]
pub enum Signal {
    /// Ends it at once.
    Kill,
    /// Asks it to end.
    Interrupt,
    /// Stops it until it is continued.
    Stop,
    /// Lets it go on.
    Continue,
}

/// The process, and a shell that kills it when this program is gone.
#[derive(Debug)]
pub(crate) struct Daemon {
    child: Child,
    guard: Child,
}

impl Daemon {
    pub(crate) fn start(command: &mut Command) -> io::Result<Self> {
        let child = command.stdin(Stdio::null()).spawn()?;
        // The shell reads from us, and so learns of our end.
        let guard = Command::new("sh")
            .args(["-c", "read -r line; kill -9 \"$0\" 2>/dev/null"])
            .arg(child.id().to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?;
        Ok(Self { child, guard })
    }

    /// Sends a signal to it and to its children.
    pub(crate) fn signal(&self, signal: Signal) {
        let name = match signal {
            Signal::Kill => "KILL",
            Signal::Interrupt => "INT",
            Signal::Stop => "STOP",
            Signal::Continue => "CONT",
        };
        let id = self.child.id().to_string();
        let mut all = vec![id.clone()];
        // Only a stop concerns those that it has started: they end with it, and are asked by it.
        if matches!(signal, Signal::Stop | Signal::Continue) {
            let children = format!("/proc/{id}/task/{id}/children");
            let children = std::fs::read_to_string(children).unwrap_or_default();
            all.extend(children.split_whitespace().map(str::to_owned));
        }
        let _ = Command::new("kill")
            .arg(format!("-{name}"))
            .args(all)
            .status();
    }

    /// Sends a signal and waits for its end.
    pub(crate) fn end(mut self, signal: Signal) {
        self.signal(signal);
        let _ = self.child.wait();
    }

    pub(crate) fn has_ended(&mut self) -> bool {
        !matches!(self.child.try_wait(), Ok(None))
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.guard.kill();
        let _ = self.guard.wait();
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
