//! The runs of a store, as services meet them.

/// The runs. Clones are further handles of the same ones.
#[derive(Clone, Default)]
pub struct Runs(());
