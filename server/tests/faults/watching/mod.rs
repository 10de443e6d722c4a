//! What a watch promises, in nine words, each held against a run on the real server: clients write at random while it is
//! cut, killed and filtered.
//!
//! A run is made once and looked at nine times. What should have been told is not taken from the writers but from the
//! graph itself: every revision is read as it was, by other calls, and what differs between two of them is what a watch has
//! to tell (`states`).

mod checks;
mod facts;
mod follow;
mod run;
mod states;
mod told;
mod writers;
