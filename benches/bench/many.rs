//! A thousand containers: the start times of the last fifty against those of the first fifty, and
//! the CPU time of `ps -a` while all containers run and after all have ended.
//!
//! The times show whether a command becomes slower with the number of containers. Only mydocker is
//! measured.

use super::peers::{Bench, US};
use super::table::{Budget, Table, Value};
use super::turns::{Figures, cpu_time, median, output, time};

const MANY: usize = 1000;
/// The number of first starts, and of last starts, that are compared.
const SAMPLE: usize = 50;

pub fn measure(bench: &Bench, table: &mut Table) {
    let name = |number: usize| format!("bench-many-{number}");
    let starts: Vec<f64> = (0..MANY)
        .map(|number| {
            let run = ["run", "-d", "--network", "none", "--name", &name(number)];
            time(bench.us().args(run).args(["bb", "sleep", "100000"]))
        })
        .collect();
    let first = Value::Milliseconds(median(&starts[..SAMPLE]));
    let last = Value::Milliseconds(median(&starts[MANY - SAMPLE..]));
    Figures::one(US, starts).keep("many-starts");
    let what = "run -d: last of 1,000 against the first";
    table.against(what, last, "first 50", first, Budget::AtMost(1.3));

    let list = |topic: &str, what: &str, table: &mut Table| {
        let listings: Vec<f64> =
            (0..bench.rounds.min(20)).map(|_| cpu_time(bench.us().args(["ps", "-a"]))).collect();
        let value = Value::Milliseconds(median(&listings));
        Figures::one(US, listings).keep(topic);
        table.alone(what, value, Budget::Absolute(Value::Milliseconds(20.0)));
    };
    list("many-ps-running", "ps -a, 1,000 running (CPU)", table);
    for hundred in 0..MANY / 100 {
        let names = (hundred * 100..(hundred + 1) * 100).map(name);
        output(bench.us().args(["kill"]).args(names.clone()));
        output(bench.us().args(["wait"]).args(names));
    }
    list("many-ps-ended", "ps -a, 1,000 ended (CPU)", table);
    output(bench.us().arg("rm").args((0..MANY).map(name)));
}
