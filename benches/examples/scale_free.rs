//! Prints the graph of the benches as CSV, for `amadeus import` and [`server.sh`](../server.sh).

use kg_core::interchange::export_csv;

#[path = "../scale.rs"]
mod scale;

fn main() -> std::io::Result<()> {
    export_csv(&scale::snapshot(), &mut std::io::stdout().lock())
}
