//! Leases: promises to keep calling, and what follows for a service when its holder stops.
//!
//! Nothing in here has a clock. Times are milliseconds of one monotonic clock that the caller reads and passes as `now`;
//! clocks of two machines are never compared.
//!
//! ```text
//! a holder's call --> LeaseTable::keep_alive --> Pulse::beat     one atomic word a lease, nothing else is written
//!                                                  |
//! Steward::sweep, every few milliseconds ----------+  looks at all pulses:
//!    1. is it us?  Guard       when most fall silent at once, nobody lapses
//!    2. Pulse::lapse           of those silent for a whole ttl, unless a beat came in between
//!    3. Damping                what goes up and down again and again is shown up only once it is steady
//!    4. Sweep                  what changed, in one batch
//! ```

mod damping;
mod guard;
mod id;
mod known;
mod pulse;
mod steward;
mod sweep;
mod table;

pub use damping::Damping;
pub use guard::{Census, Guard, GuardState, Verdict};
pub use id::LeaseId;
pub use pulse::{Beat, Heard, Pulse, Said};
pub use steward::{STALL_MS, Steward};
pub use sweep::{Counts, Sweep, Transition};
pub use table::{KeptAlive, Lease, LeaseTable, TableFull};
