//! Users: who there is, what each may do, and by which secrets they are known.
//!
//! ```text
//! UserStore -> one transaction on the rows: a file beside the store, or tables in its database
//!           -> the cache in Redis, if there is one, is told before a change is acknowledged
//! ```
//!
//! Rows are not the graph: they make no revision and stand in no backup. A secret goes in as a hash, and a hash comes out
//! only to whoever compares it. Nothing here has a `Debug` or a `Display` that shows one.

mod cached;
mod changed;
mod error;
mod event;
mod json;
mod key;
mod names;
mod rows;
mod secret;
mod session;
mod store;
mod user;

pub use changed::{Changed, Changes};
pub use error::{UserError, UserStoreError};
pub use event::{EventFilter, EventId, PastEvent};
pub use key::{Key, KeyId, NewKey, SigningKey};
pub use names::{Email, Username};
pub use secret::{PasswordHash, SecretHash};
pub use session::{Rotated, SessionId, SessionState};
pub use store::{GRANTS, UserStore};
pub use user::{Credential, NewUser, Profile, User, UserChange, UserFilter, UserStatus};
