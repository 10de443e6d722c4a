//! Everything that is wrong with a pattern, at once, before it is registered or run.

mod arguments;
mod calls;
mod fault;
mod graph;
mod kinds;
mod pattern;
mod retry;
#[cfg(test)]
mod tests;

pub use fault::PatternFault;
pub use pattern::check;
