//! Passwords, as people give them: typed where nobody sees them, or on the first lines of standard input. Never on the command
//! line, which everybody on this machine can read.

use std::io::{BufRead as _, IsTerminal as _};

use clap::Args;

use super::failure::CliError;

/// Where passwords come from.
#[derive(Debug, Clone, Default, Args)]
pub struct PasswordArgs {
    /// Read passwords from standard input, one a line, and ask nothing
    #[arg(long)]
    pub password_stdin: bool,
}

impl PasswordArgs {
    /// A password that exists.
    pub fn existing(&self, prompt: &str) -> Result<String, CliError> {
        if self.password_stdin {
            return line();
        }
        typed(prompt)
    }

    /// A password to be, which is typed twice.
    pub fn new_one(&self, prompt: &str) -> Result<String, CliError> {
        if self.password_stdin {
            return line();
        }
        let password = typed(prompt)?;
        if typed("The same again: ")? != password {
            return Err(CliError::Usage("they are not the same".into()));
        }
        Ok(password)
    }
}

fn typed(prompt: &str) -> Result<String, CliError> {
    if !std::io::stdin().is_terminal() {
        return Err(CliError::Usage(
            "there is no terminal to type a password at: give it on standard input, with --password-stdin".into(),
        ));
    }
    rpassword::prompt_password(prompt).map_err(|cause| CliError::File {
        path: "terminal".into(),
        cause,
    })
}

/// The next line of standard input, without its end.
fn line() -> Result<String, CliError> {
    let mut line = String::new();
    let read = std::io::stdin().lock().read_line(&mut line);
    read.map_err(|cause| CliError::File {
        path: "standard input".into(),
        cause,
    })?;
    let line = line.trim_end_matches(['\n', '\r']);
    if line.is_empty() {
        return Err(CliError::Usage(
            "standard input has no password on its next line".into(),
        ));
    }
    Ok(line.to_owned())
}
