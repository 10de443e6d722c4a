//! The user that a daemon runs as: PostgreSQL refuses to run as root.

use std::fs;

/// A user's numbers.
#[derive(Clone, Copy, Debug)]
pub(crate) struct User {
    pub(crate) uid: u32,
    pub(crate) gid: u32,
}

impl User {
    /// Whom to become: `None` where this program is not root and stays who it is.
    pub(crate) fn to_become() -> Option<Self> {
        let status = fs::read_to_string("/proc/self/status").ok()?;
        let uids = status.lines().find_map(|line| line.strip_prefix("Uid:"))?;
        if uids.split_whitespace().nth(1) != Some("0") {
            return None;
        }
        Self::named("postgres").or_else(|| Self::named("nobody"))
    }

    fn named(name: &str) -> Option<Self> {
        let users = fs::read_to_string("/etc/passwd").ok()?;
        let fields: Vec<&str> = users
            .lines()
            .map(|line| line.split(':').collect::<Vec<_>>())
            .find(|fields| fields.first() == Some(&name))?;
        Some(Self {
            uid: fields.get(2)?.parse().ok()?,
            gid: fields.get(3)?.parse().ok()?,
        })
    }
}
