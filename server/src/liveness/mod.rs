//! Leases: which services live, as those say that call for them.
//!
//! ```text
//! KeepAlive --> Leases (a table in memory: one atomic word a lease; a call writes nothing else)
//!                  ^
//! LeaseKeeper -----+ sweeps the table, and for what changed:
//!    1. writes the lease's row, which only its owner may      storage::LeaseRows
//!    2. learns what other servers wrote of the same services  Roster
//!    3. says in the graph how the service is                  one transaction a sweep
//! ```
//!
//! A row says whose a lease is. So of two servers that judge the same lease one is refused, and a server that slept through
//! the loss of its leases tells nobody that they lapsed. Clocks of different machines are never compared.

mod ear;
mod keeper;
mod leases;
mod peers;
mod roster;

pub use keeper::LeaseKeeper;
pub use leases::{Kept, LeaseError, Leases, Listed, Wanted};
