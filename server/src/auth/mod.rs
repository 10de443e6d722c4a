//! Who is calling, and what they may do.
//!
//! ```text
//! request -> gate (whose is this token? may they call this RPC?) -> service (policy: may they see this, change that?)
//!               \__ Authenticator: sessions, keys, certificates      \__ Authority, a part of the graph
//! ```
//!
//! The gate surrounds every service, so that an RPC is refused unless `rules` says who may call it.

mod allowance;
pub mod attempts;
mod caller;
mod gate;
pub mod keyring;
mod network;
pub mod password;
mod policy;
mod principal;
pub mod recorder;
mod repeats;
mod rules;
pub mod secret;
mod session;
pub mod sessions;
pub mod setup;
pub mod token;
mod trail;

pub use allowance::{Allowances, Limits};
pub use caller::Caller;
pub(crate) use gate::may_call;
pub use gate::{Gate, GateLayer};
pub use password::{Busy, Passwords};
pub use policy::{Action, Refused, Resource, policy};
pub use principal::{ANONYMOUS, Grant, Principal, Role, UserId};
pub use rules::{Row, Rule, Rules};
pub use session::{
    Authenticated, Authenticator, Credentials, NotSignedIn, Session, Standing, Strangers, bearer_of,
};
pub use trail::{Event, Outcome, Trail};
