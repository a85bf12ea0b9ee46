//! The binary as an OCI runtime, with the same bundles as crun and runc: `run`; `create`, `start`
//! and `delete`; `exec`; a hundred runs in a row; eight at the same time; the peak memory of
//! `create`; and `podman run` with mydocker and with crun.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use super::peers::{Bench, CRUN, PODMAN, RUNC, US};
use super::table::{Budget, Table, Value};
use super::turns::{Contender, Figures, milliseconds, output, take, time};

const RUNTIMES: [&str; 3] = [US, CRUN, RUNC];
const IN_A_ROW: usize = 100;
const AT_ONCE: usize = 8;

pub fn measure(bench: &Bench, table: &mut Table) {
    let nothing = bench.bundle("true", &["true"]);
    let sleep = bench.bundle("sleep", &["sleep", "100000"]);
    let there = || RUNTIMES.into_iter().filter(|name| *name == US || bench.has(name));
    let each = |topic: &str, rounds: usize, turn: &dyn Fn(&'static str) -> f64| {
        let contenders = there().map(|name| Contender::new(name, move || turn(name))).collect();
        take(topic, rounds.max(1), contenders)
    };
    let run = |name| {
        let id = id("run", name);
        time(bench.runtime(name).arg("run").arg("-b").arg(&nothing).arg(id))
    };
    report("oci: run", &each("oci-run", bench.rounds, &run), table);

    let steps = |name| {
        let id = id("steps", name);
        let started = Instant::now();
        time(bench.runtime(name).arg("create").arg("-b").arg(&nothing).arg(&id));
        time(bench.runtime(name).arg("start").arg(&id));
        time(bench.runtime(name).args(["delete", "-f"]).arg(&id));
        milliseconds(started.elapsed())
    };
    report("oci: create, start, delete", &each("oci-steps", bench.rounds, &steps), table);

    for name in there() {
        time(bench.runtime(name).args(["run", "-d", "-b"]).arg(&sleep).arg(id("exec", name)));
    }
    let exec = |name| time(bench.runtime(name).arg("exec").arg(id("exec", name)).arg("true"));
    report("oci: exec", &each("oci-exec", bench.rounds, &exec), table);
    for name in there() {
        output(bench.runtime(name).args(["delete", "-f"]).arg(id("exec", name)));
    }

    let row = |name| (0..IN_A_ROW).map(|_| run(name)).sum();
    report("oci: run, 100 in a row", &each("oci-row", bench.rounds / 20, &row), table);

    let together = |name| {
        let start = Instant::now();
        let started: Vec<_> = (0..AT_ONCE)
            .map(|number| {
                let mut command = bench.runtime(name);
                command
                    .arg("run")
                    .arg("-b")
                    .arg(&nothing)
                    .arg(format!("{}{number}", id("many", name)));
                command.stdin(Stdio::null()).stdout(Stdio::null()).spawn().expect("start a runtime")
            })
            .collect();
        for mut child in started {
            assert!(child.wait().expect("wait").success(), "{name} failed");
        }
        milliseconds(start.elapsed())
    };
    report("oci: run, 8 at once", &each("oci-at-once", bench.rounds / 4, &together), table);

    let memory = |name| peak(bench, name, &sleep);
    let figures = each("oci-memory", 5, &memory);
    let ours = Value::KiB(figures.median(US));
    for (peer, theirs) in figures.peers() {
        let budget = if peer == CRUN { Budget::AtMost(1.0) } else { Budget::None };
        table.against("oci: peak memory of create", ours, peer, Value::KiB(theirs), budget);
    }
    if bench.has(PODMAN) {
        podman(bench, table);
    }
}

fn report(what: &str, figures: &Figures, table: &mut Table) {
    let ours = Value::Milliseconds(figures.median(US));
    for (peer, theirs) in figures.peers() {
        let budget = if peer == CRUN { Budget::AtMost(0.4) } else { Budget::None };
        table.against(what, ours, peer, Value::Milliseconds(theirs), budget);
    }
}

/// Runtimes name a cgroup after the container's id, so each runtime gets its own id.
fn id(topic: &str, name: &str) -> String {
    format!("bench-oci-{topic}-{name}")
}

/// The peak resident memory of `create`, in KiB, by time(1).
fn peak(bench: &Bench, name: &'static str, bundle: &Path) -> f64 {
    let id = id("memory", name);
    let create = bench.runtime(name);
    let figure = bench.dir.join("peak");
    let mut time = Command::new("time");
    time.args(["-f", "%M", "-o"]).arg(&figure).arg(create.get_program()).args(create.get_args());
    time.arg("create").arg("-b").arg(bundle).arg(&id).stdin(Stdio::null()).stdout(Stdio::null());
    assert!(time.status().expect("start time").success(), "{time:?}");
    output(bench.runtime(name).args(["delete", "-f"]).arg(&id));
    let text = std::fs::read_to_string(figure).expect("what time wrote");
    text.trim().parse().expect("a number")
}

/// `podman run --rm` with mydocker and with crun as its runtime.
fn podman(bench: &Bench, table: &mut Table) {
    let link: PathBuf = bench.dir.join("mydocker-runtime");
    std::fs::copy(bench.binary(), &link).expect("copy the binary");
    let run = |runtime: PathBuf| {
        move || {
            let mut command = bench.podman_run();
            command.arg("--runtime").arg(&runtime);
            time(command.args(["--rm", "--network", "none", "bb", "true"]))
        }
    };
    let mut contenders = vec![Contender::new(US, run(link))];
    if bench.has(CRUN) {
        contenders.push(Contender::new(CRUN, run(PathBuf::from(CRUN))));
    }
    let figures = take("oci-podman", bench.rounds / 5 + 1, contenders);
    let ours = Value::Milliseconds(figures.median(US));
    for (peer, theirs) in figures.peers() {
        let theirs = Value::Milliseconds(theirs);
        table.against("podman --runtime … run --rm", ours, peer, theirs, Budget::None);
    }
}
