//! The core of Amadeus: a live graph of entities, relations and documents.
//!
//! A read is a look at an immutable snapshot and never waits for a writer. A write is a transaction: planned by a pure
//! function, appended to a log, published as the next snapshot, and only then announced. There is no runtime, no network,
//! no clock and no environment in here; whoever embeds it brings those.
//!
//! ```
//! use kg_core::commit::Graph;
//! use kg_core::model::{EntityRef, Object};
//! use kg_core::mutation::{Mutation, Transaction};
//!
//! let graph = Graph::in_memory();
//! let key = EntityRef::parse("key", "team/payments").expect("a valid name");
//! let put = Mutation::PutEntity { key: key.clone(), properties: Object::new() };
//! let outcome = graph.commit(Transaction::of(vec![put])).expect("committed");
//! assert_eq!(outcome.revision, 1);
//! assert!(graph.read(|snapshot| snapshot.entity(&key).is_some()));
//! ```
#![warn(missing_docs)]

pub mod access;
pub mod commit;
pub mod error;
pub mod faults;
pub mod graph;
pub mod interchange;
pub mod lease;
pub mod limits;
pub mod log;
pub mod model;
pub mod mutation;
pub mod nexus;
pub mod query;
pub mod registry;
pub mod snapshot;
pub mod sync;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
pub mod watch;

pub use snapshot::diff;
