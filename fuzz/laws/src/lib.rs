//! What has to hold for whatever comes from outside: one law per door, each a function of bytes that panics where it does not.
//!
//! A fuzzer looks for bytes that break a law (`fuzz/fuzz_targets`, which needs nightly flags); a plain test tries the seeds in
//! `fuzz/corpus` and random changes of them (`tests/smoke.rs`, which needs nothing); and `cargo run -p fuzz-laws -- LAW FILE`
//! shows again what was found. So a finding never depends on the tool that found it.

pub mod checkpoints;
pub mod dot_paths;
mod graph;
pub mod histories;
pub mod import_csv;
pub mod import_json;
pub mod log_records;
pub mod mutate;
pub mod page_tokens;
pub mod seeds;
pub mod wire_requests;

use kg_core::testing::generate::Rng;

/// A door, and what has to hold there.
pub struct Law {
    /// The name of its module, of its fuzz target and of its folder of seeds.
    pub name: &'static str,
    /// Panics where the bytes break it.
    pub check: fn(&[u8]),
    /// Changes an input into one like it, as whoever knows its form would.
    pub mutate: fn(&[u8], &mut Rng) -> Vec<u8>,
}

/// Every law there is.
pub const LAWS: [Law; 8] = [
    Law {
        name: "checkpoints",
        check: checkpoints::check,
        mutate: checkpoints::mutate,
    },
    Law {
        name: "dot_paths",
        check: dot_paths::check,
        mutate: mutate::bytes,
    },
    Law {
        name: "histories",
        check: histories::check,
        mutate: mutate::bytes,
    },
    Law {
        name: "import_csv",
        check: import_csv::check,
        mutate: mutate::bytes,
    },
    Law {
        name: "import_json",
        check: import_json::check,
        mutate: mutate::bytes,
    },
    Law {
        name: "log_records",
        check: log_records::check,
        mutate: mutate::message,
    },
    Law {
        name: "page_tokens",
        check: page_tokens::check,
        mutate: mutate::bytes,
    },
    Law {
        name: "wire_requests",
        check: wire_requests::check,
        mutate: wire_requests::mutate,
    },
];
