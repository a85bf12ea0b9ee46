//! `exec` of `true` in a running container, by mydocker, crun, runc and podman.
//!
//! Each contender has one container that only sleeps; the measured time is that of the whole client
//! process, from its start to its end. The contenders take turns (`turns`).

use super::peers::{Bench, CRUN, PODMAN, RUNC, US};
use super::table::{Budget, Table, Value};
use super::turns::{Contender, output, take, time};

const NAME: &str = "bench-exec";

pub fn measure(bench: &Bench, table: &mut Table) {
    output(bench.us().args(["run", "-d", "--network", "none", "--name", NAME]).args(SLEEP));
    let mut contenders = vec![Contender::new(US, || time(bench.us().args(["exec", NAME, "true"])))];
    let bundle = bench.bundle("sleep", &["sleep", "100000"]);
    for runtime in [CRUN, RUNC].into_iter().filter(|name| bench.has(name)) {
        // `output` would wait for the container's end, because the container inherits the pipes.
        time(bench.runtime(runtime).args(["run", "-d", "-b"]).arg(&bundle).arg(id(runtime)));
        contenders.push(Contender::new(runtime, move || {
            time(bench.runtime(runtime).args(["exec", id(runtime), "true"]))
        }));
    }
    if bench.has(PODMAN) {
        output(bench.podman_run().args(["-d", "--network", "none", "--name", NAME]).args(SLEEP));
        contenders
            .push(Contender::new(PODMAN, || time(bench.podman().args(["exec", NAME, "true"]))));
    }
    let figures = take("exec", bench.rounds, contenders);
    let ours = Value::Milliseconds(figures.median(US));
    for (peer, theirs) in figures.peers() {
        let budget = match peer {
            CRUN => Budget::AtMost(0.5),
            PODMAN => Budget::AtMost(1.0 / 40.0),
            _ => Budget::None,
        };
        table.against("exec CONTAINER true", ours, peer, Value::Milliseconds(theirs), budget);
    }
    for runtime in [CRUN, RUNC].into_iter().filter(|name| bench.has(name)) {
        output(bench.runtime(runtime).args(["delete", "-f", id(runtime)]));
    }
    output(bench.us().args(["rm", "-f", NAME]));
    if bench.has(PODMAN) {
        output(bench.podman().args(["rm", "-f", "-t", "0", NAME]));
    }
}

const SLEEP: [&str; 3] = ["bb", "sleep", "100000"];

/// The container's id for crun or runc. Runtimes name a cgroup after the id, so each runtime gets
/// its own id.
fn id(runtime: &str) -> &'static str {
    if runtime == CRUN { "bench-exec-crun" } else { "bench-exec-runc" }
}
