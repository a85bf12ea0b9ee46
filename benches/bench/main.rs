//! `make bench`: mydocker and its peers side by side.
//!
//! In most topics contenders take turns (A B C D, A B C D, …), so that other load on the machine
//! affects all of them alike. A table shows the values (mostly medians), the ratios and the
//! budgets; the figures of the turns are written as CSV to target/bench. If a peer is not
//! installed, a line says what is left out.
//!
//! `cargo bench -- run exec` measures only these topics. MYDOCKER_BENCH_ROUNDS is the number of
//! turns, by default 100; slow operations get fewer.

mod build;
mod compose;
mod dockerd;
mod events;
mod exec;
mod floor;
mod images;
mod many;
mod memory;
mod network;
mod oci;
mod output;
mod peers;
mod pull;
mod run;
mod size;
mod table;
mod turns;
mod wear;

use peers::Bench;
use table::Table;

type Topic = (&'static str, fn(&Bench, &mut Table));

const TOPICS: [Topic; 13] = [
    ("run", run::measure),
    ("exec", exec::measure),
    ("oci", oci::measure),
    ("network", network::measure),
    ("memory", memory::measure),
    ("many", many::measure),
    ("events", events::measure),
    ("output", output::measure),
    ("images", images::measure),
    ("build", build::measure),
    ("compose", compose::measure),
    ("wear", wear::measure),
    ("size", size::measure),
];

fn main() {
    // Cargo adds `--bench` to the arguments.
    let chosen: Vec<String> = std::env::args().skip(1).filter(|arg| arg != "--bench").collect();
    if let Some(unknown) = chosen.iter().find(|arg| TOPICS.iter().all(|(name, _)| arg != name)) {
        let names: Vec<_> = TOPICS.iter().map(|(name, _)| *name).collect();
        eprintln!("bench: no topic '{unknown}'; there are {}", names.join(", "));
        std::process::exit(2);
    }
    let bench = Bench::set_up();
    let mut table = Table::default();
    for (name, measure) in TOPICS {
        if chosen.is_empty() || chosen.iter().any(|arg| arg == name) {
            eprintln!("bench: {name} …");
            measure(&bench, &mut table);
        }
    }
    table.print();
}
