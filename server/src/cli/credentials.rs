//! What signing in has left on this machine: one file for all servers, which nobody else may read.
//!
//! A refresh token is good once, and whoever uses one for the second time is taken for a thief. So processes that would
//! refresh at the same time wait for each other, and those who waited find what the first has saved. The file is
//! replaced as a whole, so that a reader needs no lock and a crash leaves the one before.

use std::collections::BTreeMap;
use std::fmt;
use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::failure::CliError;

/// A session at one server.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Saved {
    /// Whose it is.
    pub user: String,
    /// Goes with every call.
    pub access_token: String,
    /// Until when, in milliseconds since 1970.
    pub access_expires_ms: u64,
    /// Is exchanged for the next pair, once.
    pub refresh_token: String,
    /// Until when, in milliseconds since 1970.
    pub refresh_expires_ms: u64,
}

impl fmt::Debug for Saved {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Saved {{ user: {:?}, .. }}", self.user)
    }
}

/// The sessions of this user of this machine, each by the address of its server.
#[derive(Clone, Debug)]
pub struct Credentials {
    folder: PathBuf,
}

type All = BTreeMap<String, Saved>;

impl Credentials {
    /// Those in the folder for configuration: `$XDG_CONFIG_HOME/amadeus`, else `~/.config/amadeus`.
    pub fn of_this_user() -> Result<Self, CliError> {
        let absolute = |name| {
            let path = std::env::var_os(name).map(PathBuf::from);
            path.filter(|path| path.is_absolute())
        };
        let config = absolute("XDG_CONFIG_HOME")
            .or_else(|| absolute("HOME").map(|home| home.join(".config")));
        match config {
            Some(config) => Ok(Self::in_folder(config.join("amadeus"))),
            None => Err(CliError::Usage(
                "there is no folder to keep credentials in: set HOME, or give a token by AMADEUS_TOKEN".into(),
            )),
        }
    }

    /// Those in this folder, which need not exist yet.
    pub fn in_folder(folder: PathBuf) -> Self {
        Self { folder }
    }

    /// The session at this server.
    pub fn of(&self, server: &str) -> Result<Option<Saved>, CliError> {
        Ok(self.read()?.remove(server))
    }

    /// Waits until no other process changes the file, and keeps others from it.
    pub async fn lock(&self) -> Result<Locked, CliError> {
        let this = self.clone();
        let locking = tokio::task::spawn_blocking(move || {
            this.make_folder()?;
            let path = this.folder.join("credentials.lock");
            let lock = private(OpenOptions::new().write(true).create(true).truncate(false))
                .open(&path)
                .and_then(|file| file.lock().map(|()| file));
            match lock {
                Ok(lock) => Ok(Locked {
                    credentials: this,
                    _lock: lock,
                }),
                Err(cause) => Err(CliError::File { path, cause }),
            }
        });
        locking
            .await
            .unwrap_or_else(|error| Err(CliError::Stopped(error.to_string())))
    }

    fn path(&self) -> PathBuf {
        self.folder.join("credentials.toml")
    }

    fn read(&self) -> Result<All, CliError> {
        let path = self.path();
        let text = match read_private(&path) {
            Ok(text) => text,
            Err(cause) if cause.kind() == io::ErrorKind::NotFound => return Ok(All::new()),
            Err(cause) => return Err(CliError::File { path, cause }),
        };
        // The parser's own words would quote the line, and with it a token.
        toml::from_str(&text).map_err(|_| CliError::File {
            path,
            cause: io::Error::new(
                io::ErrorKind::InvalidData,
                "it is damaged: remove it and sign in again",
            ),
        })
    }

    fn make_folder(&self) -> Result<(), CliError> {
        let made = DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&self.folder);
        made.map_err(|cause| CliError::File {
            path: self.folder.clone(),
            cause,
        })
    }
}

/// The file, while nobody else changes it.
pub struct Locked {
    credentials: Credentials,
    /// Closed, it is unlocked.
    _lock: File,
}

impl Locked {
    /// The session at this server.
    pub fn of(&self, server: &str) -> Result<Option<Saved>, CliError> {
        self.credentials.of(server)
    }

    /// Keeps a session, in place of the one before.
    pub fn save(&self, server: &str, saved: Saved) -> Result<(), CliError> {
        let mut all = self.credentials.read()?;
        all.insert(server.to_owned(), saved);
        self.replace(&all)
    }

    /// Forgets a session; whether there was one.
    pub fn forget(&self, server: &str) -> Result<bool, CliError> {
        let mut all = self.credentials.read()?;
        let was_there = all.remove(server).is_some();
        if was_there {
            self.replace(&all)?;
        }
        Ok(was_there)
    }

    fn replace(&self, all: &All) -> Result<(), CliError> {
        let path = self.credentials.path();
        let new = self.credentials.folder.join("credentials.new");
        let text = toml::to_string(all).map_err(|error| CliError::Reply(error.to_string()))?;
        let write = || {
            // One that a crash has left may have any mode.
            match std::fs::remove_file(&new) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                Ok(()) | Err(_) => {}
            }
            let mut file = private(OpenOptions::new().write(true).create_new(true)).open(&new)?;
            file.write_all(text.as_bytes())?;
            file.sync_all()?;
            std::fs::rename(&new, &path)
        };
        write().map_err(|cause| CliError::File { path, cause })
    }
}

fn private(options: &mut OpenOptions) -> &mut OpenOptions {
    options.mode(0o600)
}

fn read_private(path: &Path) -> io::Result<String> {
    let file = File::open(path)?;
    let mode = file.metadata()?.permissions().mode() & 0o777;
    if mode & 0o077 != 0 {
        let what = format!(
            "others may read it (its mode is {mode:03o}), so what it holds is no secret: remove it and sign in again"
        );
        return Err(io::Error::new(io::ErrorKind::PermissionDenied, what));
    }
    io::read_to_string(file)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use tempfile::TempDir;

    const SERVER: &str = "https://here:1";

    fn credentials() -> (TempDir, Credentials) {
        let folder = tempfile::tempdir().expect("a folder");
        let credentials = Credentials::in_folder(folder.path().join("config/amadeus"));
        (folder, credentials)
    }

    fn saved(token: &str) -> Saved {
        Saved {
            user: "alice".into(),
            access_token: token.into(),
            access_expires_ms: 1,
            refresh_token: format!("{token}-next"),
            refresh_expires_ms: 2,
        }
    }

    fn mode(path: &Path) -> u32 {
        let metadata = std::fs::metadata(path).expect("it is there");
        metadata.permissions().mode() & 0o777
    }

    #[tokio::test]
    async fn what_is_saved_is_found_by_its_server_until_it_is_forgotten() {
        let (_folder, credentials) = credentials();
        assert_eq!(credentials.of(SERVER).expect("none"), None);
        let locked = credentials.lock().await.expect("nobody has it");
        locked.save(SERVER, saved("a")).expect("saved");
        locked.save("http://there:1", saved("b")).expect("saved");
        locked.save(SERVER, saved("c")).expect("saved");
        assert_eq!(credentials.of(SERVER).expect("one"), Some(saved("c")));
        assert!(locked.forget(SERVER).expect("forgotten"));
        assert!(!locked.forget(SERVER).expect("forgotten"));
        let other = credentials.of("http://there:1").expect("one");
        assert_eq!(other, Some(saved("b")));
    }

    #[tokio::test]
    async fn nobody_else_may_read_it() {
        let (_folder, credentials) = credentials();
        let locked = credentials.lock().await.expect("nobody has it");
        // What a crash has left is not what the next one is written into.
        let left = credentials.folder.join("credentials.new");
        std::fs::write(&left, "half").expect("room");
        std::fs::set_permissions(&left, std::fs::Permissions::from_mode(0o666)).expect("ours");
        locked.save(SERVER, saved("a")).expect("saved");
        assert_eq!(mode(&credentials.folder), 0o700);
        assert_eq!(mode(&credentials.path()), 0o600);

        let path = credentials.path();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).expect("ours");
        let said = credentials.of(SERVER).expect_err("it leaks").to_string();
        assert!(said.contains("640"), "{said}");
    }

    #[tokio::test]
    async fn a_damaged_file_is_named_and_not_quoted() {
        let (_folder, credentials) = credentials();
        let locked = credentials.lock().await.expect("nobody has it");
        locked.save(SERVER, saved("secret")).expect("saved");
        let path = credentials.path();
        let text = std::fs::read_to_string(&path).expect("text");
        std::fs::write(&path, text.replace("\"secret\"", "\"secret")).expect("room");
        let said = credentials
            .of(SERVER)
            .expect_err("it is damaged")
            .to_string();
        assert!(
            said.contains("credentials.toml") && !said.contains("secret"),
            "{said}"
        );
        assert!(!format!("{:?}", saved("secret")).contains("secret"));
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn who_waited_for_the_lock_finds_what_the_first_has_saved() {
        let (_folder, credentials) = credentials();
        let credentials = Arc::new(credentials);
        let begin = credentials.lock().await.expect("nobody has it");
        begin.save(SERVER, saved("0")).expect("saved");
        // Each exchanges the token that it finds; one that was found twice would be a theft.
        let exchange = async |credentials: Arc<Credentials>| {
            let locked = credentials.lock().await.expect("its turn comes");
            let found = locked.of(SERVER).expect("one").expect("one").access_token;
            tokio::task::yield_now().await;
            let next: u32 = found.parse::<u32>().expect("a number") + 1;
            locked
                .save(SERVER, saved(&next.to_string()))
                .expect("saved");
        };
        let all: Vec<_> = (0..16)
            .map(|_| tokio::spawn(exchange(credentials.clone())))
            .collect();
        drop(begin);
        for one in all {
            one.await.expect("no panic");
        }
        let last = credentials.of(SERVER).expect("one").expect("one");
        assert_eq!(last.access_token, "16");
    }
}
