//! Events: a durable log with offsets, and those who read it.
//!
//! ```text
//! append -> writer (one task) -> store: decide what is new, one synced write -> front: ring -> cursors -> subscribers
//!                                                                                              \-> groups
//! graph  -> sources ---^
//! ```
//!
//! To read: `log` is what others meet, `decide` and `groups::state` are what is decided, `store` is where it is kept.

mod consumers;
mod decide;
mod error;
mod event;
mod figures;
mod filter;
mod front;
mod groups;
pub mod log;
mod ring;
mod sources;
mod store;
mod subscription;
mod writer;

pub use consumers::{MAX_FAILURES, Subscribed};
pub use error::{EventError, GroupError};
pub use event::{Appended, Event, NewEvent, OWN_TYPES, check_users_type};
pub use figures::Figure;
pub use filter::EventFilter;
pub use groups::{Failed, Group, Letter};
pub use log::{Cursor, EventBatch, Events, Place, Sight};
pub use store::Keep;
pub use subscription::{ACK_WITHIN, Delivery, Subscription, Wanted};
pub use writer::Ticket;
