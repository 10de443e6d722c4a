//! Files in and out: what a file says as mutations, and what a snapshot says as a file. Pure functions; who reads the
//! bytes from where is the caller's affair.
//!
//! A JSON file becomes one transaction, or is refused whole with every fault listed by its path. A CSV of relations is a
//! stream and becomes one transaction per chunk. The forms are described in `docs/FORMATS.md`.

mod export;
mod faults;
mod fields;
mod form;
mod import;
mod original;
mod own;
mod relations;
mod rows;
mod tree;

pub use export::export_json;
pub use form::{Form, recognise};
pub use import::{Import, parse_json};
pub use relations::export_csv;
pub use rows::{Chunk, CsvChunks};
