//! What a fleet saves and needs, by a model: `cargo bench --bench fleet_model` prints the tables of `docs/fleet.md`.
//! `tests/fleet/model.rs` holds the model against edges that are played, and the page against the tables.
#![allow(clippy::print_stdout, reason = "the figures are what it is for")]

mod savings;
mod tables;

fn main() {
    println!("{}\n{}", tables::saved(), tables::sizes());
}
