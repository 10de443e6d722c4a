//! What `cargo test -p loom-tests` runs: nothing, and it says so.

#![expect(clippy::print_stdout, reason = "its output is its purpose")]

fn main() {
    if cfg!(not(loom)) {
        println!("\n0 models ran: run `cargo loom`\n");
    }
}
