//! `cargo run -p fuzz-laws -- LAW FILE...` holds files to a law: how a finding is shown again. `-- seeds` writes the seeds anew.
#![expect(
    clippy::print_stdout,
    reason = "a developer's command talks to a terminal"
)]

use fuzz_laws::{LAWS, seeds};
use std::path::Path;
use std::{env, fs, process::ExitCode};

fn main() -> ExitCode {
    let args: Vec<String> = env::args().skip(1).collect();
    let law = args
        .first()
        .and_then(|name| LAWS.iter().find(|law| law.name == *name));
    match (args.split_first(), law) {
        (Some((word, [])), None) if word == "seeds" => write_seeds(),
        (Some((_, files)), Some(law)) if !files.is_empty() => {
            for file in files {
                let bytes = fs::read(file).unwrap_or_else(|error| panic!("{file}: {error}"));
                (law.check)(&bytes);
                println!("{file}: the law holds");
            }
            ExitCode::SUCCESS
        }
        _ => {
            let names: Vec<&str> = LAWS.iter().map(|law| law.name).collect();
            println!("usage: LAW FILE..., or seeds\nlaws: {}", names.join(", "));
            ExitCode::FAILURE
        }
    }
}

fn write_seeds() -> ExitCode {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../corpus");
    for seed in seeds::all() {
        let folder = corpus.join(seed.law);
        let file = folder.join(seed.name);
        let written = fs::create_dir_all(&folder).and_then(|()| fs::write(file, seed.bytes));
        written.unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    }
    ExitCode::SUCCESS
}
