//! `events`: the delay from an event to its reader, and the CPU time of a reader that waits.
//!
//! The delay is the time between an event's own timestamp and the arrival of its line in the
//! reader's pipe. A reader that waits should use no CPU time.

use std::fs;
use std::io::{BufRead, BufReader};
use std::process::Stdio;
use std::sync::mpsc::channel;
use std::thread::{sleep, spawn};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::peers::{Bench, US};
use super::table::{Budget, Table, Value};
use super::turns::{Figures, median, output};

const NAMES: [&str; 2] = ["bench-events-a", "bench-events-b"];
const IDLE: Duration = Duration::from_secs(5);

pub fn measure(bench: &Bench, table: &mut Table) {
    let create = ["create", "--network", "none", "--name", NAMES[0], "bb", "true"];
    let id = output(bench.us().args(create));
    let mut follower = bench
        .us()
        .args(["events", "--since", "1970-01-01", "--format", "{{.TimeNano}}"])
        // The journal also has events of containers that earlier topics made.
        .args(["--filter", &format!("container={}", id)])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .expect("start events");
    let lines = BufReader::new(follower.stdout.take().expect("a pipe")).lines();
    let (sender, delays) = channel();
    let reader = spawn(move || {
        for line in lines.map_while(Result::ok) {
            let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("a time after 1970");
            let then = Duration::from_nanos(line.parse().expect("a time"));
            let _ = sender.send(now.saturating_sub(then).as_secs_f64() * 1e3);
        }
    });
    // Skip the event of the container's creation, which was written before the reader started.
    delays.recv().expect("an event");
    let mut delay = |round: usize| {
        output(bench.us().arg("rename").args([NAMES[round % 2], NAMES[(round + 1) % 2]]));
        delays.recv().expect("an event")
    };
    let mut all: Vec<f64> = (0..bench.rounds).map(&mut delay).collect();
    let value = Value::Milliseconds(median(&all));
    let budget = Budget::Absolute(Value::Milliseconds(50.0));
    table.alone("events: from an event to its reader", value, budget);
    all.sort_by(f64::total_cmp);
    let worst = Value::Milliseconds(all.last().copied().unwrap_or_default());
    table.alone("events: the slowest of them", worst, Budget::None);
    Figures::one(US, all).keep("events");

    let cpu = || {
        let stat = fs::read_to_string(format!("/proc/{}/schedstat", follower.id()));
        let stat = stat.expect("schedstat");
        stat.split(' ').next().unwrap_or("").parse::<f64>().expect("a number") / 1e6
    };
    // Wait until the work for the last event is finished.
    sleep(Duration::from_millis(500));
    let before = cpu();
    sleep(IDLE);
    let idle = Value::Milliseconds(cpu() - before);
    let what = "events: a reader that waits 5 s (CPU)";
    table.alone(what, idle, Budget::Absolute(Value::Milliseconds(0.0)));
    follower.kill().expect("end events");
    follower.wait().expect("wait");
    reader.join().expect("the reader");
    output(bench.us().args(["rm", NAMES[bench.rounds % 2]]));
}
