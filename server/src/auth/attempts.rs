//! Sign-in attempts: who has to wait before the next one.
//!
//! After a few failures in a row each further one doubles the wait, per account and per source address. An account is the
//! name as it was typed, whether anybody has it or not, so a wait tells nothing. While it lasts a try costs no hash.
//!
//! Tries that are under way count too: otherwise a thousand at once would all be let in before the first has failed.
//!
//! Registering costs a hash as well, so it is a try of its address, and one address makes only so many users an hour. What
//! one address has under way is a part of what the pool of passwords takes, so that others are let in.
//!
//! What is remembered is bounded: when the table is full, the entry whose wait ends first is forgotten. To flush a name
//! that waits, somebody would have to make as many others wait as long, and every one of those costs hashes.

mod registered;

use std::collections::{BTreeSet, HashMap};
use std::hash::Hash;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use ring::digest;

use super::network::Network;
use registered::Registered;

/// How many tries are let through, and how long the waits are.
#[derive(Clone, Copy, Debug)]
pub struct Policy {
    /// Failures in a row of one account before each further one waits.
    pub account_failures: u32,
    /// The same of one address, behind which there may be many people.
    pub address_failures: u32,
    /// Tries of one account that may be under way at once, as long as it does not wait.
    pub account_at_once: u32,
    /// The same of one address, registering included; a part of [`WAITING`](super::password::WAITING).
    pub address_at_once: u32,
    /// Users that one address may make at once, and again in each hour.
    pub registrations: u32,
    /// Failures of an address that one success outweighs. All of them would be too many: somebody with an account of their
    /// own could guess for ever.
    pub forgiven: u32,
    /// The first wait, in milliseconds; each next is twice as long.
    pub first_wait_ms: u64,
    /// The longest.
    pub longest_wait_ms: u64,
    /// How long after its last failure an account or address begins anew.
    pub forget_ms: u64,
    /// Accounts and addresses that are remembered, at most, of each.
    pub entries: usize,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            account_failures: 5,
            address_failures: 50,
            account_at_once: 32,
            address_at_once: 64,
            registrations: 1_000,
            forgiven: 5,
            first_wait_ms: 1_000,
            longest_wait_ms: 15 * 60 * 1_000,
            forget_ms: 24 * 60 * 60 * 1_000,
            entries: 100_000,
        }
    }
}

/// A try that comes too early.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("too many tries: wait")]
pub struct TooEarly {
    /// How long to wait, in milliseconds.
    pub wait_ms: u64,
}

/// All tries; clones look at the same.
#[derive(Clone, Debug)]
pub struct Attempts(Arc<Mutex<Tables>>);

#[derive(Debug)]
struct Tables {
    policy: Policy,
    accounts: Table<Account>,
    addresses: Table<Network>,
    registered: Registered,
}

/// A name as it was typed, folded; names may be long, so their hash stands for them.
type Account = [u8; 32];

/// A try under way. One that is dropped without a word was neither right nor wrong.
#[derive(Debug)]
pub struct Attempt {
    attempts: Attempts,
    /// None of whoever registers.
    account: Option<Account>,
    address: Option<Network>,
}

impl Attempts {
    /// No tries so far.
    #[must_use]
    pub fn new(policy: Policy) -> Self {
        Self(Arc::new(Mutex::new(Tables {
            policy,
            accounts: Table::default(),
            addresses: Table::default(),
            registered: Registered::default(),
        })))
    }

    /// Begins a try.
    ///
    /// # Errors
    /// [`TooEarly`].
    pub fn begin(
        &self,
        typed: &str,
        source: Option<SocketAddr>,
        now_ms: u64,
    ) -> Result<Attempt, TooEarly> {
        self.begin_of(Some(account(typed)), source, now_ms)
    }

    /// Begins to make a user.
    ///
    /// # Errors
    /// [`TooEarly`].
    pub fn begin_to_register(
        &self,
        source: Option<SocketAddr>,
        now_ms: u64,
    ) -> Result<Attempt, TooEarly> {
        let attempt = self.begin_of(None, source, now_ms)?;
        if let Some(address) = attempt.address {
            let tables = &mut *self.tables();
            tables.registered.count(address, &tables.policy, now_ms)?;
        }
        Ok(attempt)
    }

    fn begin_of(
        &self,
        account: Option<Account>,
        source: Option<SocketAddr>,
        now_ms: u64,
    ) -> Result<Attempt, TooEarly> {
        let address = source.map(|source| Network::of(source.ip()));
        self.tables().begin(account, address, now_ms)?;
        Ok(Attempt {
            attempts: self.clone(),
            account,
            address,
        })
    }

    /// How many accounts and addresses are remembered for their tries.
    #[must_use]
    pub fn remembered(&self) -> usize {
        let tables = self.tables();
        tables.accounts.entries.len() + tables.addresses.entries.len()
    }

    fn tables(&self) -> MutexGuard<'_, Tables> {
        // Whoever panicked in between left counts that are at most off by one.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Attempt {
    /// The password was wrong, or nobody has that name.
    pub fn failed(self, now_ms: u64) {
        let tables = &mut *self.attempts.tables();
        let policy = tables.policy;
        if let Some(account) = &self.account {
            tables.accounts.change(account, |entry| {
                entry.fail(policy.account_failures, &policy, now_ms);
            });
        }
        if let Some(address) = &self.address {
            tables.addresses.change(address, |entry| {
                entry.fail(policy.address_failures, &policy, now_ms);
            });
        }
    }

    /// The password was right.
    pub fn succeeded(self) {
        let tables = &mut *self.attempts.tables();
        let policy = tables.policy;
        if let Some(account) = &self.account {
            tables.accounts.change(account, |entry| entry.failures = 0);
        }
        if let Some(address) = &self.address {
            tables.addresses.change(address, |entry| {
                entry.failures = entry.failures.saturating_sub(policy.forgiven);
            });
        }
    }
}

impl Drop for Attempt {
    fn drop(&mut self) {
        let tables = &mut *self.attempts.tables();
        if let Some(account) = &self.account {
            tables.accounts.end(account);
        }
        if let Some(address) = &self.address {
            tables.addresses.end(address);
        }
    }
}

impl Tables {
    fn begin(
        &mut self,
        account: Option<Account>,
        address: Option<Network>,
        now_ms: u64,
    ) -> Result<(), TooEarly> {
        let policy = self.policy;
        let of_account = account.map(|account| self.accounts.look(&account, &policy, now_ms));
        if let Some(of_account) = of_account {
            of_account.may_begin(
                policy.account_failures,
                policy.account_at_once,
                &policy,
                now_ms,
            )?;
        }
        if let Some(address) = address {
            let of_address = self.addresses.look(&address, &policy, now_ms);
            of_address.may_begin(
                policy.address_failures,
                policy.address_at_once,
                &policy,
                now_ms,
            )?;
            self.addresses
                .put(address, of_address.begun(now_ms), policy.entries);
        }
        if let (Some(account), Some(of_account)) = (account, of_account) {
            self.accounts
                .put(account, of_account.begun(now_ms), policy.entries);
        }
        Ok(())
    }
}

/// What is remembered of one account or address.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Entry {
    /// Failures in a row.
    failures: u32,
    /// Tries that have begun and not ended.
    under_way: u32,
    /// Until when it waits; the time of its last try if it does not.
    until_ms: u64,
}

impl Entry {
    fn may_begin(
        self,
        free: u32,
        at_once: u32,
        policy: &Policy,
        now_ms: u64,
    ) -> Result<(), TooEarly> {
        if self.failures >= free && self.until_ms > now_ms {
            let wait_ms = self.until_ms - now_ms;
            return Err(TooEarly { wait_ms });
        }
        // Where failures are to be counted one by one, tries come one by one.
        let at_once = if self.failures >= free { 1 } else { at_once };
        if self.under_way >= at_once {
            let wait_ms = policy.first_wait_ms;
            return Err(TooEarly { wait_ms });
        }
        Ok(())
    }

    fn begun(self, now_ms: u64) -> Self {
        Self {
            under_way: self.under_way + 1,
            until_ms: self.until_ms.max(now_ms),
            ..self
        }
    }

    fn fail(&mut self, free: u32, policy: &Policy, now_ms: u64) {
        self.failures = self.failures.saturating_add(1);
        let wait_ms = match self.failures.checked_sub(free) {
            None => 0,
            Some(beyond) => policy
                .first_wait_ms
                .saturating_mul(1_u64.checked_shl(beyond).unwrap_or(u64::MAX))
                .min(policy.longest_wait_ms),
        };
        self.until_ms = self.until_ms.max(now_ms + wait_ms);
    }
}

/// Entries, and their keys by when their waits end.
#[derive(Debug)]
struct Table<K> {
    entries: HashMap<K, Entry>,
    ends: BTreeSet<(u64, K)>,
}

impl<K> Default for Table<K> {
    fn default() -> Self {
        Self {
            entries: HashMap::new(),
            ends: BTreeSet::new(),
        }
    }
}

impl<K: Copy + Eq + Hash + Ord> Table<K> {
    fn look(&self, key: &K, policy: &Policy, now_ms: u64) -> Entry {
        let entry = self.entries.get(key).copied().unwrap_or_default();
        if entry.until_ms.saturating_add(policy.forget_ms) > now_ms {
            return entry;
        }
        Entry {
            under_way: entry.under_way,
            ..Entry::default()
        }
    }

    fn put(&mut self, key: K, entry: Entry, most: usize) {
        if let Some(before) = self.entries.insert(key, entry) {
            self.ends.remove(&(before.until_ms, key));
        }
        self.ends.insert((entry.until_ms, key));
        while self.entries.len() > most {
            let Some((_, first)) = self.ends.pop_first() else {
                return;
            };
            self.entries.remove(&first);
        }
    }

    /// Changes an entry, if it was not forgotten meanwhile.
    fn change(&mut self, key: &K, change: impl FnOnce(&mut Entry)) {
        if let Some(entry) = self.entries.get(key) {
            let mut changed = *entry;
            change(&mut changed);
            self.put(*key, changed, usize::MAX);
        }
    }

    /// Ends a try. What has nothing to be remembered for goes.
    fn end(&mut self, key: &K) {
        self.change(key, |entry| {
            entry.under_way = entry.under_way.saturating_sub(1);
        });
        if let Some(entry) = self.entries.get(key)
            && entry.failures == 0
            && entry.under_way == 0
        {
            self.ends.remove(&(entry.until_ms, *key));
            self.entries.remove(key);
        }
    }
}

fn account(typed: &str) -> Account {
    let folded = typed.trim().to_ascii_lowercase();
    let mut account = [0; 32];
    account.copy_from_slice(digest::digest(&digest::SHA256, folded.as_bytes()).as_ref());
    account
}

#[cfg(test)]
mod tests;
