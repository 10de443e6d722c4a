//! Every law over its seeds and over random changes of them, on the stable compiler: what a fuzzer would find in its first
//! second is found here, with every change of the code. A seed that once broke a law is kept beside the others.

use fuzz_laws::{LAWS, Law};
use kg_core::testing::generate::Rng;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::{env, fs};

/// Changed inputs for each law; `AMADEUS_FUZZ_SMOKE` overrides it.
const CHANGED: usize = 300;

/// `AMADEUS_SEED` overrides it.
const SEED: u64 = 1;

fn number<T: std::str::FromStr>(variable: &str, otherwise: T) -> T {
    let set = env::var(variable).ok().and_then(|text| text.parse().ok());
    set.unwrap_or(otherwise)
}

fn corpus(law: &Law) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../corpus")
        .join(law.name);
    let files =
        fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut files: Vec<PathBuf> = files.flatten().map(|entry| entry.path()).collect();
    files.sort();
    files
}

fn holds(name: &str) {
    let law = LAWS
        .iter()
        .find(|law| law.name == name)
        .expect("there is such a law");
    let files = corpus(law);
    assert!(files.len() >= 10, "{name} has {} seeds", files.len());
    let mut seeds = Vec::new();
    for file in &files {
        let bytes = fs::read(file).expect("a readable seed");
        check(law, &bytes, &file.display().to_string());
        seeds.push(bytes);
    }
    let seed = number("AMADEUS_SEED", SEED);
    eprintln!("{name}: AMADEUS_SEED={seed}");
    let mut rng = Rng::new(seed);
    for n in 0..number("AMADEUS_FUZZ_SMOKE", CHANGED) {
        let mut bytes = rng.pick(&seeds).clone();
        for _ in 0..=rng.below(3) {
            bytes = (law.mutate)(&bytes, &mut rng);
        }
        check(law, &bytes, &format!("change {n} of AMADEUS_SEED={seed}"));
    }
}

/// Holds the bytes to the law; leaves them in a file where it is broken.
fn check(law: &Law, bytes: &[u8], from: &str) {
    if catch_unwind(AssertUnwindSafe(|| (law.check)(bytes))).is_err() {
        let kept = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("broken-{}", law.name));
        fs::write(&kept, bytes).expect("a writable target folder");
        panic!(
            "{from} breaks the law {0}; again with: cargo run -p fuzz-laws -- {0} {1}",
            law.name,
            kept.display()
        );
    }
}

#[test]
fn a_checkpoint_is_refused_or_written_again_as_the_same() {
    holds("checkpoints");
}

#[test]
fn a_path_is_refused_or_leads_where_it_says() {
    holds("dot_paths");
}

#[test]
fn whatever_clients_do_the_graph_agrees_with_the_oracle() {
    holds("histories");
}

#[test]
fn a_table_says_the_same_however_it_is_cut() {
    holds("import_csv");
}

#[test]
fn a_file_is_refused_or_becomes_a_graph_that_exports_to_the_same() {
    holds("import_json");
}

#[test]
fn a_record_is_refused_or_leaves_a_graph_that_is_whole() {
    holds("log_records");
}

#[test]
fn a_page_token_is_refused_or_leads_into_its_own_list() {
    holds("page_tokens");
}

#[test]
fn a_request_is_refused_with_a_reason_or_carried_out_as_the_oracle_says() {
    holds("wire_requests");
}

#[test]
fn no_law_is_left_out() {
    let tests = include_str!("smoke.rs");
    for law in &LAWS {
        assert!(
            tests.contains(&format!("holds({:?});", law.name)),
            "{}",
            law.name
        );
    }
}
