//! One step of a command: a heading, a child process whose output is shown while it runs, its counts and its time.

use std::io::{BufRead, BufReader, Read};
use std::process::{Command, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use crate::tally::Tally;

/// A test may leave a process behind that still holds the pipe; its silence is not waited for any longer than this.
const LEFTOVER_OUTPUT: Duration = Duration::from_secs(2);

/// Runs a command that either succeeds or not: one check.
pub fn check(title: &str, command: &mut Command) -> Tally {
    timed(title, || Tally::of_one(succeeds(command)))
}

/// Runs a test runner and adds up the result lines that it prints.
pub fn tests(title: &str, command: &mut Command) -> Tally {
    timed(title, || count(command))
}

/// Prints the heading, runs `work`, prints its counts and time.
pub fn timed(title: &str, work: impl FnOnce() -> Tally) -> Tally {
    println!("\n== {title}");
    let started = Instant::now();
    let tally = work().named(title);
    println!(
        "== {title}: {tally} ({:.1} s)",
        started.elapsed().as_secs_f64()
    );
    tally
}

/// Whether the command could be started and exited with 0; its output goes straight through.
pub fn succeeds(command: &mut Command) -> bool {
    match command.stdin(Stdio::null()).status() {
        Ok(status) => status.success(),
        Err(error) => {
            println!("{command:?} could not be started: {error}");
            false
        }
    }
}

fn count(command: &mut Command) -> Tally {
    let mut child = match command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn() {
        Ok(child) => child,
        Err(error) => {
            println!("{command:?} could not be started: {error}");
            return Tally::of_one(false);
        }
    };
    let lines = child.stdout.take().map(lines_of);
    let mut tally = Tally::default();
    let mut succeeded = None;
    if let Some(lines) = lines {
        loop {
            let patience = if succeeded.is_none() {
                Duration::from_millis(200)
            } else {
                LEFTOVER_OUTPUT
            };
            match lines.recv_timeout(patience) {
                Ok(line) => {
                    if let Some(result) = Tally::from_result_line(&line) {
                        tally += result;
                    }
                    if let Some(name) = Tally::failed_test(&line) {
                        tally.failures.push(name.to_owned());
                    }
                    show(&line);
                }
                Err(RecvTimeoutError::Disconnected) => break,
                Err(RecvTimeoutError::Timeout) if succeeded.is_some() => break,
                Err(RecvTimeoutError::Timeout) => {
                    if let Ok(Some(status)) = child.try_wait() {
                        succeeded = Some(status.success());
                    }
                }
            }
        }
    }
    let succeeded = succeeded.unwrap_or_else(|| child.wait().is_ok_and(|status| status.success()));
    tally.with_exit(succeeded)
}

fn lines_of(output: impl Read + Send + 'static) -> mpsc::Receiver<String> {
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        // Bytes, not `lines()`: one invalid character in a test's output must not end the reading.
        for line in BufReader::new(output).split(b'\n').map_while(Result::ok) {
            if sender
                .send(String::from_utf8_lossy(&line).into_owned())
                .is_err()
            {
                break;
            }
        }
    });
    receiver
}

/// Shows a runner's line, unless it only says that one more test is well: thousands of those hide the one that is not.
fn show(line: &str) {
    let one_more_is_well = line.starts_with("test ") && line.ends_with("... ok");
    if !one_more_is_well && !line.trim().is_empty() {
        println!("{line}");
    }
}
