//! One server process: started on a free port, heard through its standard error, ended with the test.

use std::collections::VecDeque;
use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, ChildStderr, Command};
use tokio::sync::watch;
use tonic::transport::Channel;

/// Lines of its log that are told to who must find out what went wrong, and lines that are kept.
const TAIL: usize = 60;
const KEPT: usize = 200_000;

/// How what is secret begins, and the password of the tests: in no line of any log of any test may it stand.
const SECRETS: [&str; 5] = [
    "$argon2",
    "amr_",
    "amk_",
    "eyJhbGciOi",
    "correct horse battery",
];

/// No start and no end of a tiny store takes this long, also on a machine that does much else.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// What the process has said so far.
#[derive(Clone, Debug, Default)]
pub struct Heard {
    /// Where it serves.
    pub address: Option<String>,
    /// Where it tells how it is.
    #[allow(dead_code, reason = "not all tests that start a server ask")]
    pub http: Option<String>,
    /// The hit at which its failpoint acted.
    pub fired: Option<u64>,
    /// It has closed its standard error: it is gone.
    pub gone: bool,
}

/// A running server.
pub struct Process {
    child: Child,
    heard: watch::Receiver<Heard>,
    lines: Arc<Mutex<VecDeque<String>>>,
}

impl Drop for Process {
    fn drop(&mut self) {
        let leaked: Vec<String> = self.lines().filter(|line| tells_a_secret(line)).collect();
        assert!(
            leaked.is_empty() || std::thread::panicking(),
            "a secret was logged: {leaked:?}"
        );
    }
}

fn tells_a_secret(line: &str) -> bool {
    SECRETS.iter().any(|secret| line.contains(secret))
}

impl Process {
    /// Starts the binary below `wrapper` (a program and its arguments, or nothing) on the store in `folder`.
    pub fn start(folder: &Path, wrapper: &[&str], failpoints: &str) -> Self {
        let store = format!("sqlite://{}", folder.join("graph.db").display());
        let options = ["--checkpoint-every", "15", "--store", &store];
        Self::with(folder, wrapper, failpoints, &options)
    }

    /// Starts it with these options, in `folder`.
    pub fn with(folder: &Path, wrapper: &[&str], failpoints: &str, options: &[&str]) -> Self {
        let binary = env!("CARGO_BIN_EXE_amadeus");
        let mut words = wrapper.iter().copied().chain([binary]);
        let mut command = Command::new(words.next().unwrap_or(binary));
        command
            .args(words)
            .args(["serve", "--listen", "127.0.0.1:0", "--http", "127.0.0.1:0"])
            .args(options)
            .current_dir(folder)
            .env("AMADEUS_LOG", "info")
            .env("AMADEUS_FAILPOINTS", failpoints)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        let mut child = command.spawn().expect("the binary can be started");
        let (tell, heard) = watch::channel(Heard::default());
        let lines = Arc::new(Mutex::new(VecDeque::new()));
        let errors = child.stderr.take().expect("it is a pipe");
        tokio::spawn(listen(errors, tell, lines.clone()));
        Self {
            child,
            heard,
            lines,
        }
    }

    /// Waits until it serves or is gone; a connection, if it serves.
    pub async fn ready(&mut self) -> Option<Channel> {
        let ready = self.until(|heard| heard.address.is_some() || heard.gone);
        let address = ready.await.address?;
        let endpoint = Channel::from_shared(format!("http://{address}")).expect("an address");
        // It may be gone again by now.
        endpoint.connect().await.ok()
    }

    /// Waits until it has said enough.
    pub async fn until(&mut self, enough: impl FnMut(&Heard) -> bool) -> Heard {
        let mut ear = self.ear();
        let waited = tokio::time::timeout(PATIENCE, ear.wait_for(enough)).await;
        assert!(
            waited.is_ok(),
            "nothing happened for {PATIENCE:?}:\n{}",
            self.tail()
        );
        self.heard()
    }

    pub fn heard(&self) -> Heard {
        self.heard.borrow().clone()
    }

    /// Another ear on what it says.
    pub fn ear(&self) -> watch::Receiver<Heard> {
        self.heard.clone()
    }

    /// SIGKILL, if it still runs; and how it ended.
    pub async fn end(&mut self) -> ExitStatus {
        let _ = self.child.start_kill();
        self.child.wait().await.expect("it is our child")
    }

    /// The number by which the system knows it, while it runs.
    pub fn id(&self) -> u32 {
        self.child.id().expect("it was not ended")
    }

    /// The last lines of its log.
    pub fn tail(&self) -> String {
        let lines: Vec<String> = self.lines().collect();
        lines[lines.len().saturating_sub(TAIL)..].join("\n")
    }

    /// Its log, as long as it is not very long.
    pub fn lines(&self) -> impl Iterator<Item = String> + use<> {
        let lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        lines.clone().into_iter()
    }
}

async fn listen(
    errors: ChildStderr,
    tell: watch::Sender<Heard>,
    kept: Arc<Mutex<VecDeque<String>>>,
) {
    let mut lines = BufReader::new(errors).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        if let Some((_, rest)) = line.split_once(" grpc=") {
            let mut words = rest.split(' ');
            let address = words.next().map(str::to_owned);
            let http = words.find_map(|word| word.strip_prefix("http=").map(str::to_owned));
            tell.send_modify(|heard| {
                heard.address = address;
                heard.http = http;
            });
        }
        if line.starts_with("failpoint ") {
            // A panic repeats the line, with more behind it.
            let hit = line.rsplit(' ').next().and_then(|hit| hit.parse().ok());
            tell.send_modify(|heard| heard.fired = heard.fired.or(hit));
        }
        let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() == KEPT {
            kept.pop_front();
        }
        kept.push_back(line);
    }
    tell.send_modify(|heard| heard.gone = true);
}
