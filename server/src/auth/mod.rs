//! Who is calling, and what they may do.
//!
//! ```text
//! request -> gate (whose is this token? may they call this RPC?) -> service (policy: may they see this, change that?)
//!               \__ Authenticator: sessions, keys, certificates      \__ Authority, a part of the graph
//! ```
//!
//! The gate surrounds every service, so that an RPC is refused unless `methods` says who may call it.

mod caller;
pub mod attempts;
pub mod password;
mod principal;
pub mod secret;
mod session;
pub mod token;
mod trail;

pub use caller::Caller;
pub use password::{Busy, Passwords};
pub use principal::{ANONYMOUS, Grant, Principal, Role, UserId};
pub use session::{Authenticated, Authenticator, Credentials, NotSignedIn, Session, Standing};
pub use trail::{Event, Outcome, Trail};
