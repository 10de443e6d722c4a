//! The one place that writes to standard output and standard error. A reader that has gone (`amadeus ... | head`) ends the
//! command quietly.

use std::io::{self, BufWriter, IsTerminal, Write};

use super::failure::CliError;

/// Buffered standard output.
pub struct Out {
    stdout: BufWriter<io::Stdout>,
}

impl Out {
    /// The process's own.
    pub fn new() -> Self {
        Self {
            stdout: BufWriter::with_capacity(64 * 1024, io::stdout()),
        }
    }

    /// Writes text, and ends its last line if it does not.
    pub fn text(&mut self, text: &str) -> Result<(), CliError> {
        self.bytes(text.as_bytes())?;
        if !text.is_empty() && !text.ends_with('\n') {
            self.bytes(b"\n")?;
        }
        Ok(())
    }

    /// Writes bytes as they are.
    pub fn bytes(&mut self, bytes: &[u8]) -> Result<(), CliError> {
        self.stdout.write_all(bytes).map_err(failed)
    }

    /// Hands everything on. Needed at the end, and wherever somebody follows along.
    pub fn flush(&mut self) -> Result<(), CliError> {
        self.stdout.flush().map_err(failed)
    }
}

fn failed(cause: io::Error) -> CliError {
    match cause.kind() {
        io::ErrorKind::BrokenPipe => CliError::Closed,
        _ => CliError::Output(cause),
    }
}

/// Says something to people, beside the answer. A closed standard error is nobody's problem.
pub fn note(text: &str) {
    let _ = writeln!(io::stderr(), "{text}");
}

/// Whether standard output is read by people.
pub fn is_terminal() -> bool {
    io::stdout().is_terminal()
}
