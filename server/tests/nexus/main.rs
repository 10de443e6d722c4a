//! Runs: where they are kept, how they are carried out, and what becomes of them when something ends in the middle.

mod rows;
