//! `run` of `true`: the whole cost of a container.
//!
//! The program ends at once, so the time is that of making and removing the container. `floor`
//! measures the least that the kernel itself needs for a container.

use super::floor::Floor;
use super::peers::{Bench, CRUN, PODMAN, RUNC, US};
use super::table::{Budget, Table, Value};
use super::turns::{Contender, take, time};

/// mydocker with a user namespace.
const MAPPED: &str = "mydocker --userns auto";

pub fn measure(bench: &Bench, table: &mut Table) {
    let floor = Floor::new(bench.dir.join("floor"), bench.root());
    let bundle = bench.bundle("true", &["true"]);
    let mut contenders = vec![Contender::new(US, || {
        time(bench.us().args(["run", "--rm", "--network", "none", "bb", "true"]))
    })];
    for runtime in [CRUN, RUNC].into_iter().filter(|name| bench.has(name)) {
        let bundle = &bundle;
        contenders.push(Contender::new(runtime, move || {
            time(bench.runtime(runtime).arg("run").arg("-b").arg(bundle).arg("bench-true"))
        }));
    }
    if bench.has(PODMAN) {
        contenders.push(Contender::new(PODMAN, || {
            time(bench.podman_run().args(["--rm", "--network", "none", "bb", "true"]))
        }));
    }
    contenders.push(Contender::new("the floor", || floor.turn()));
    contenders.push(Contender::new(MAPPED, || {
        time(bench.us().args([
            "run",
            "--rm",
            "--network",
            "none",
            "--userns",
            "auto",
            "bb",
            "true",
        ]))
    }));
    let figures = take("run", bench.rounds, contenders);
    let ours = Value::Milliseconds(figures.median(US));
    let mapped = Value::Milliseconds(figures.median(MAPPED));
    table.against("run --rm --userns auto IMAGE true", mapped, "without", ours, Budget::None);
    for (peer, theirs) in figures.peers().filter(|(peer, _)| *peer != MAPPED) {
        let budget = match peer {
            CRUN => Budget::AtMost(0.5),
            "the floor" => Budget::AtMost(2.5),
            _ => Budget::None,
        };
        let theirs = Value::Milliseconds(theirs);
        table.against("run --rm --network none IMAGE true", ours, peer, theirs, budget);
    }
}
