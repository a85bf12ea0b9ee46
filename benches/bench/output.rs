//! How fast a container's output reaches the user: in the foreground, and by `logs`.
//!
//! The container prints a file of known size, and the figure is in megabytes per second. Podman is
//! the only peer, because crun and runc keep no log.

use std::io::Read;
use std::process::{Command, Stdio};
use std::time::Instant;

use super::peers::{Bench, LINES, LINES_BYTES, PODMAN, US};
use super::table::{Budget, Table, Value};
use super::turns::{Contender, output, take};

/// The container prints the file `TIMES` times in the foreground, and `LOGGED_TIMES` times into the
/// log.
const TIMES: usize = 16;
const LOGGED_TIMES: usize = 2;

pub fn measure(bench: &Bench, table: &mut Table) {
    let rounds = bench.rounds.min(10);
    let lines = |times: usize| [LINES].repeat(times);
    let bytes = TIMES * LINES_BYTES;
    let run = ["--rm", "--network", "none", "bb", "cat"];
    let mut contenders = vec![Contender::new(US, || {
        speed(bench.us().arg("run").args(run).args(lines(TIMES)), bytes)
    })];
    if bench.has(PODMAN) {
        contenders.push(Contender::new(PODMAN, || {
            speed(bench.podman_run().args(run).args(lines(TIMES)), bytes)
        }));
    }
    report("foreground output", &take("output-run", rounds, contenders), table);

    let name = "bench-logs";
    let run = ["-d", "--network", "none", "--name", name, "bb", "cat"];
    let bytes = LOGGED_TIMES * LINES_BYTES;
    output(bench.us().arg("run").args(run).args(lines(LOGGED_TIMES)));
    output(bench.us().args(["wait", name]));
    let mut contenders = vec![Contender::new(US, || speed(bench.us().args(["logs", name]), bytes))];
    if bench.has(PODMAN) {
        let run = ["-d", "--network", "none", "--log-driver", "k8s-file", "--name", name];
        output(bench.podman_run().args(run).args(["bb", "cat"]).args(lines(LOGGED_TIMES)));
        output(bench.podman().args(["wait", name]));
        contenders
            .push(Contender::new(PODMAN, || speed(bench.podman().args(["logs", name]), bytes)));
    }
    report("logs", &take("output-logs", rounds, contenders), table);
    output(bench.us().args(["rm", name]));
    if bench.has(PODMAN) {
        output(bench.podman().args(["rm", name]));
    }
}

fn report(what: &str, figures: &super::turns::Figures, table: &mut Table) {
    let ours = Value::MBPerSecond(figures.median(US));
    for (peer, theirs) in figures.peers() {
        table.against(what, ours, peer, Value::MBPerSecond(theirs), Budget::AtLeast(3.0));
    }
}

/// Megabytes per second from the command's start to its end, read from a pipe. Fails unless `bytes`
/// bytes arrive.
fn speed(command: &mut Command, bytes: usize) -> f64 {
    let started = Instant::now();
    let mut child =
        command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().expect("start the command");
    let mut stdout = child.stdout.take().expect("a pipe");
    let mut buffer = vec![0; 1 << 16];
    let mut total = 0;
    while let Ok(length @ 1..) = stdout.read(&mut buffer) {
        total += length;
    }
    assert!(child.wait().is_ok_and(|status| status.success()), "{command:?} failed");
    assert_eq!(total, bytes, "{command:?} lost output");
    bytes as f64 / 1e6 / started.elapsed().as_secs_f64()
}
