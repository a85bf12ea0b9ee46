//! The memory of an idle container's monitor, for one container and for each of ten. The figures
//! are PSS: private pages, and a proportional share of the shared pages (proc_pid_smaps(5)).
//!
//! mydocker has no daemon. Its only process beside an idle container is the monitor.

use std::fs;
use std::time::Duration;

use super::peers::{Bench, PODMAN, US};
use super::table::{Budget, Table, Value};
use super::turns::{Figures, median, output};

const MANY: usize = 10;
const SETTLED: Duration = Duration::from_secs(2);
const SLEEP: [&str; 3] = ["bb", "sleep", "100000"];

pub fn measure(bench: &Bench, table: &mut Table) {
    let name = |number: usize| format!("bench-memory-{number}");
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for number in 0..MANY {
        let name = name(number);
        output(bench.us().args(["run", "-d", "--network", "none", "--name", &name]).args(SLEEP));
        let format = ["inspect", "--format", "{{.State.Pid}}", &name];
        ours.push(parent(&output(bench.us().args(format))));
        if bench.has(PODMAN) {
            let run = ["-d", "--network", "none", "--name", &name];
            output(bench.podman_run().args(run).args(SLEEP));
            let format = ["inspect", "--format", "{{.State.ConmonPid}}", &name];
            theirs.push(output(bench.podman().args(format)));
        }
        if number == 0 || number == MANY - 1 {
            // Wait until the start is over: a start needs more memory.
            std::thread::sleep(SETTLED);
            let pss = |pids: &[String]| pids.iter().map(|pid| pss(pid)).collect::<Vec<f64>>();
            let (ours, theirs) = (pss(&ours), pss(&theirs));
            let what = match number {
                0 => "idle container, the only one (PSS)",
                _ => "idle container, one of ten (PSS)",
            };
            let value = Value::KiB(median(&ours));
            let budget = Budget::AtMost(0.35);
            if theirs.is_empty() {
                table.alone(what, value, Budget::None)
            } else {
                table.against(what, value, "conmon", Value::KiB(median(&theirs)), budget);
            }
            Figures::one(US, ours).keep(&format!("memory-{}", number + 1));
            Figures::one("conmon", theirs).keep(&format!("memory-{}-conmon", number + 1));
        }
    }
    output(bench.us().args(["rm", "-f"]).args((0..MANY).map(name)));
    if bench.has(PODMAN) {
        output(bench.podman().args(["rm", "-f", "-t", "0"]).args((0..MANY).map(name)));
    }
}

fn parent(pid: &str) -> String {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("read its status");
    let parent = status.lines().find_map(|line| line.strip_prefix("PPid:"));
    parent.expect("a parent").trim().to_owned()
}

/// The PSS of a process in KiB.
fn pss(pid: &str) -> f64 {
    let rollup = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).expect("read its memory");
    let pss = rollup.lines().find_map(|line| line.strip_prefix("Pss:"));
    pss.and_then(|pss| pss.trim_end_matches("kB").trim().parse().ok()).expect("its PSS")
}
