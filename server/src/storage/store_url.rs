//! The URL of a store: which kind it is, and where.

use std::path::PathBuf;

/// A store, as `--store` names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StoreUrl {
    /// `memory:`: gone with the process.
    Memory,
    /// `sqlite://path`: a file; `sqlite:///path` for one from the root.
    Sqlite(PathBuf),
    /// `postgres://user@host/database`: shared by many servers. The whole URL, which may hold a password.
    Postgres(String),
}

/// A URL that names no store that this program can open.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the store {url:?} cannot be used: {reason}")]
pub struct UrlError {
    /// What was given.
    pub url: String,
    /// What is wrong with it.
    pub reason: &'static str,
}

impl StoreUrl {
    /// A URL as it may be shown: without a password.
    #[must_use]
    pub fn shown(url: &str) -> String {
        let hidden = || {
            let (scheme, rest) = url.split_once("://")?;
            let (user, place) = rest.rsplit_once('@')?;
            let (user, _) = user.split_once(':')?;
            Some(format!("{scheme}://{user}:...@{place}"))
        };
        hidden().unwrap_or_else(|| url.to_owned())
    }

    /// Parses the URL of a store.
    ///
    /// # Errors
    /// [`UrlError`], which says what would be right.
    pub fn parse(url: &str) -> Result<Self, UrlError> {
        let wrong = |reason| UrlError {
            // A database's URL may hold a password.
            url: url.split_once('@').map_or(url, |_| "...").to_owned(),
            reason,
        };
        if url == "memory:" {
            return Ok(Self::Memory);
        }
        if let Some(path) = url.strip_prefix("sqlite://") {
            let file = path.rsplit('/').next().unwrap_or_default();
            if file.is_empty() || file == "." || file == ".." {
                return Err(wrong("it names no file; write sqlite://folder/name.db"));
            }
            if path.contains(['?', '#', '\0']) {
                return Err(wrong("sqlite:// takes a plain path, without ? and #"));
            }
            return Ok(Self::Sqlite(PathBuf::from(path)));
        }
        if url.starts_with("postgres://") || url.starts_with("postgresql://") {
            return Ok(Self::Postgres(url.to_owned()));
        }
        Err(wrong(
            "stores are memory:, sqlite://path and postgres://user@host/database",
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_name_a_store_or_say_what_would_be_right() {
        let file = |path: &str| Ok(StoreUrl::Sqlite(PathBuf::from(path)));
        assert_eq!(StoreUrl::parse("memory:"), Ok(StoreUrl::Memory));
        assert_eq!(StoreUrl::parse("sqlite://a/b.db"), file("a/b.db"));
        assert_eq!(StoreUrl::parse("sqlite:///a/b.db"), file("/a/b.db"));
        for bad in [
            "",
            "sqlite://",
            "sqlite://a/",
            "sqlite://a.db?mode=ro",
            "a.db",
            "mysql://a",
        ] {
            assert!(StoreUrl::parse(bad).is_err(), "{bad}");
        }
        for shared in [
            "postgres://me@host/db",
            "postgresql://host/db?sslmode=disable",
        ] {
            let parsed = StoreUrl::parse(shared);
            assert_eq!(parsed, Ok(StoreUrl::Postgres(shared.to_owned())));
        }
        let shown = StoreUrl::shown("postgres://me:se:cr@t@host/db");
        assert_eq!(shown, "postgres://me:...@host/db");
        assert_eq!(StoreUrl::shown("sqlite://a@b:c.db"), "sqlite://a@b:c.db");
        let refused = StoreUrl::parse("mysql://me:secret@host/db").expect_err("not built in");
        assert!(!refused.to_string().contains("secret"), "{refused}");
    }
}
