//! What tests need: a naive graph to compare with, and random transactions and graphs. Behind the feature `testing`.

mod answers;
pub mod generate;
#[cfg(test)]
mod histories;
pub mod oracle;
