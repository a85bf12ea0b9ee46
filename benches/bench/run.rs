//! `run` of a command that does nothing: all that a container costs.

use super::floor::Floor;
use super::peers::{Bench, CRUN, PODMAN, RUNC, US};
use super::table::{Budget, Table, Value};
use super::turns::{Contender, take, time};

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
    let figures = take("run", bench.rounds, contenders);
    let ours = Value::Milliseconds(figures.median(US));
    for (peer, theirs) in figures.peers() {
        let budget = match peer {
            CRUN => Budget::AtMost(0.5),
            "the floor" => Budget::AtMost(2.5),
            _ => Budget::None,
        };
        let theirs = Value::Milliseconds(theirs);
        table.against("run --rm --network none IMAGE true", ours, peer, theirs, budget);
    }
}
