//! Connections to services, and what these said of themselves: kept by address, so that a step pays for neither twice.
//!
//! A connection mends itself. A description is forgotten when a call shows that it no longer fits, or that the peer was gone: whoever
//! comes back may be another version.

use std::hash::Hash;
use std::sync::Arc;
use std::time::Duration;

use dashmap::DashMap;
use prost_reflect::DescriptorPool;
use tokio::time::Instant;
use tonic::Status;
use tonic::transport::{Channel, ClientTlsConfig, Endpoint};

use super::reflection;

/// Connections, and descriptions, that are kept. One more lets go of the one that was used least lately; it is had again when it is
/// needed.
const KEPT: usize = 256;

/// How long a service may take to let us connect.
const CONNECT: Duration = Duration::from_secs(5);

/// How often a silent connection with a call on it is looked at, and how long its peer may take to answer that.
const LOOK: Duration = Duration::from_secs(30);
const ANSWER: Duration = Duration::from_secs(10);

/// The pool.
#[derive(Default)]
pub struct Pool {
    channels: Kept<Arc<str>, Channel>,
    described: Kept<(Arc<str>, Arc<str>), DescriptorPool>,
}

/// A description, and whether it was at hand.
pub struct Described {
    /// What the service said of itself.
    pub pool: DescriptorPool,
    /// Whether it said so earlier, and may say something else now.
    pub kept: bool,
}

impl Pool {
    /// A connection to `http://host:port` or `https://host:port`, which is made when it is first used. Over TLS the peer has to have a
    /// certificate of an authority that this machine trusts.
    ///
    /// # Errors
    /// INVALID_ARGUMENT where that is no address.
    pub fn channel(&self, address: &Arc<str>) -> Result<Channel, Status> {
        if let Some(channel) = self.channels.get(address) {
            return Ok(channel);
        }
        let wrong = |error| Status::invalid_argument(format!("{address} is no address: {error}"));
        let mut endpoint = Endpoint::from_shared(address.to_string())
            .map_err(wrong)?
            .connect_timeout(CONNECT)
            .http2_keep_alive_interval(LOOK)
            .keep_alive_timeout(ANSWER);
        if address.starts_with("https://") {
            let tls = ClientTlsConfig::new().with_enabled_roots();
            endpoint = endpoint.tls_config(tls).map_err(wrong)?;
        }
        let channel = endpoint.connect_lazy();
        self.channels.keep(address.clone(), channel.clone());
        Ok(channel)
    }

    /// What the service at an address says of itself.
    ///
    /// # Errors
    /// As [`reflection::describe`].
    pub async fn described(&self, address: &Arc<str>, service: &str) -> Result<Described, Status> {
        let key = (address.clone(), Arc::from(service));
        if let Some(pool) = self.described.get(&key) {
            return Ok(Described { pool, kept: true });
        }
        let pool = reflection::describe(self.channel(address)?, service).await?;
        self.described.keep(key, pool.clone());
        Ok(Described { pool, kept: false })
    }

    /// Asks for a description anew next time.
    pub fn forget(&self, address: &Arc<str>, service: &str) {
        self.described
            .0
            .remove(&(address.clone(), Arc::from(service)));
    }
}

/// Things by their keys, at most [`KEPT`], with when each was used last.
struct Kept<K, T>(DashMap<K, (T, Instant)>);

impl<K: Hash + Eq, T> Default for Kept<K, T> {
    fn default() -> Self {
        Self(DashMap::new())
    }
}

impl<K: Clone + Hash + Eq, T: Clone> Kept<K, T> {
    fn get(&self, key: &K) -> Option<T> {
        self.0.get_mut(key).map(|mut kept| {
            kept.1 = Instant::now();
            kept.0.clone()
        })
    }

    fn keep(&self, key: K, thing: T) {
        if self.0.len() >= KEPT {
            let oldest = self.0.iter().min_by_key(|kept| kept.1);
            let oldest = oldest.map(|kept| kept.key().clone());
            if let Some(oldest) = oldest {
                self.0.remove(&oldest);
            }
        }
        self.0.insert(key, (thing, Instant::now()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_more_lets_go_of_the_one_that_was_used_least_lately() {
        let kept = Kept::default();
        for key in 0..KEPT {
            kept.keep(key, key);
        }
        assert_eq!(kept.get(&0), Some(0));
        kept.keep(KEPT, KEPT);
        assert_eq!(kept.0.len(), KEPT);
        assert_eq!(kept.get(&0), Some(0));
        assert_eq!(kept.get(&1), None);
    }
}
