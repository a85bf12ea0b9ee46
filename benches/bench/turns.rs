//! Measures several contenders in turns, and keeps the figures.
//!
//! The load of the machine changes during a bench. In turns, each contender meets the same changes,
//! so their medians can be compared.

use std::fs::{self, File};
use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, WaitId, WaitIdOptions, waitid};

/// A contender: its name, and a function that does the work once and returns the figure.
pub struct Contender<'a> {
    pub name: &'static str,
    pub turn: Box<dyn FnMut() -> f64 + 'a>,
}

impl<'a> Contender<'a> {
    pub fn new(name: &'static str, turn: impl FnMut() -> f64 + 'a) -> Contender<'a> {
        Contender { name, turn: Box::new(turn) }
    }
}

/// The figures of each contender, in the order of the contenders.
pub struct Figures(Vec<(&'static str, Vec<f64>)>);

/// Runs each contender once without counting, then `rounds` times in turns. Writes the figures to
/// target/bench/`topic`.csv.
pub fn take(topic: &str, rounds: usize, mut contenders: Vec<Contender<'_>>) -> Figures {
    let mut figures: Vec<_> =
        contenders.iter().map(|contender| (contender.name, Vec::with_capacity(rounds))).collect();
    for contender in &mut contenders {
        (contender.turn)();
    }
    for _ in 0..rounds {
        for (contender, (_, values)) in contenders.iter_mut().zip(&mut figures) {
            values.push((contender.turn)());
        }
    }
    let figures = Figures(figures);
    figures.keep(topic);
    figures
}

impl Figures {
    pub fn one(name: &'static str, values: Vec<f64>) -> Figures {
        Figures(vec![(name, values)])
    }

    pub fn median(&self, name: &str) -> f64 {
        self.0.iter().find(|(known, _)| *known == name).map_or(f64::NAN, |(_, v)| median(v))
    }

    /// The medians of all contenders except mydocker.
    pub fn peers(&self) -> impl Iterator<Item = (&'static str, f64)> {
        let peers = self.0.iter().filter(|(name, _)| *name != super::peers::US);
        peers.map(|(name, values)| (*name, median(values)))
    }

    pub fn keep(&self, topic: &str) {
        let directory = directory();
        let written = fs::create_dir_all(&directory).and_then(|()| {
            let mut file = File::create(directory.join(format!("{topic}.csv")))?;
            writeln!(file, "round,who,value")?;
            for (name, values) in &self.0 {
                for (round, value) in values.iter().enumerate() {
                    writeln!(file, "{round},{name},{value}")?;
                }
            }
            Ok(())
        });
        written.expect("write the CSV");
    }
}

/// The directory target/bench.
pub fn directory() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("target/bench")
}

pub fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len() / 2).copied().unwrap_or(f64::NAN)
}

pub fn milliseconds(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}

/// Runs a command, which must succeed. Returns the time in milliseconds.
pub fn time(command: &mut Command) -> f64 {
    command.stdin(Stdio::null()).stdout(Stdio::null());
    let started = Instant::now();
    let status = command.status();
    let took = started.elapsed();
    assert!(status.as_ref().is_ok_and(|status| status.success()), "{command:?}: {status:?}");
    milliseconds(took)
}

/// Runs a command, which must succeed. Returns the CPU time of its main thread in milliseconds,
/// from /proc/PID/schedstat before the process is reaped.
pub fn cpu_time(command: &mut Command) -> f64 {
    let mut child =
        command.stdin(Stdio::null()).stdout(Stdio::null()).spawn().expect("start the command");
    let pid = Pid::from_raw(child.id() as i32).expect("a PID");
    waitid(WaitId::Pid(pid), WaitIdOptions::EXITED | WaitIdOptions::NOWAIT).expect("wait");
    let stat = fs::read_to_string(format!("/proc/{}/schedstat", child.id())).expect("schedstat");
    let status = child.wait().expect("wait");
    assert!(status.success(), "{command:?}: {status}");
    let nanoseconds: f64 = stat.split(' ').next().unwrap_or("").parse().expect("a number");
    nanoseconds / 1e6
}

/// Runs a command, which must succeed. Returns its stdout without trailing white space.
pub fn output(command: &mut Command) -> String {
    let output = command.stdin(Stdio::null()).output().expect("start the command");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {} {errors}", output.status);
    String::from_utf8_lossy(&output.stdout).trim_end().to_owned()
}
