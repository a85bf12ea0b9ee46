//! Tests mydocker on small hosts: virtual machines that boot in seconds, most of them with only a
//! kernel, busybox and the mydocker binary.
//!
//! `cargo test --test hosts` boots each host of `hosts`, runs its checks over the serial line and
//! prints a table of hosts and checks. Arguments after `--`: names of hosts; `power` for power
//! cuts; `--rounds N`; `--seed N`; `--binary PATH` for another binary; `--verbose` for the guests'
//! output. Kernels and programs are downloaded from Debian's archive (`debian`) to target/hosts, so
//! a second run needs no network.

mod blocklog;
mod boot;
mod chance;
mod checks;
mod compose;
#[path = "../support/cri.rs"]
mod cri;
mod debian;
mod guest;
mod host;
mod hosts;
mod images;
mod ports;
mod power;
mod quotas;
mod registry;
mod table;
mod tools;
mod tree;

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use guest::Guest;
use host::{Check, Host};
use table::Outcome;

struct Arguments {
    hosts: Vec<String>,
    binary: PathBuf,
    verbose: bool,
    rounds: usize,
    seed: u64,
}

fn main() -> ExitCode {
    let name = std::env::args().next().unwrap_or_default();
    if tools::run(name.rsplit('/').next().unwrap_or_default()) {
        return ExitCode::SUCCESS;
    }
    let arguments = arguments();
    let work = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/hosts");
    let hosts = hosts::all();
    let chosen = |host: &&Host| {
        arguments.hosts.is_empty() || arguments.hosts.iter().any(|name| name == host.name)
    };
    let hosts: Vec<&Host> = hosts.iter().filter(chosen).collect();
    let mut results = side_by_side(&hosts, |host| test(host, &work, &arguments));
    if arguments.hosts.is_empty() || arguments.hosts.iter().any(|name| name == "power") {
        let Arguments { binary, rounds, seed, .. } = &arguments;
        results.push(power::test(&work, binary, *rounds, *seed));
    }
    table::print(&results);
    if results.iter().all(|result| result.failures() == 0) {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

/// Calls `work` for each item, for at most two items at a time, because each guest keeps one CPU
/// busy. Returns the results in the order of the items.
fn side_by_side<T: Sync, R: Send>(items: &[T], work: impl Fn(&T) -> R + Sync) -> Vec<R> {
    const WORKERS: usize = 2;
    let (next, done) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..WORKERS {
            scope.spawn(|| {
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    let Some(item) = items.get(number) else { break };
                    let result = work(item);
                    done.lock().unwrap().push((number, result));
                }
            });
        }
    });
    let mut done = done.into_inner().unwrap();
    done.sort_by_key(|(number, _)| *number);
    done.into_iter().map(|(_, result)| result).collect()
}

fn arguments() -> Arguments {
    let mut chosen = Arguments {
        hosts: Vec::new(),
        binary: env!("CARGO_BIN_EXE_mydocker").into(),
        verbose: false,
        rounds: 100,
        seed: std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap().as_secs(),
    };
    let number = |text: Option<String>| text.and_then(|text| text.parse::<u64>().ok());
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--binary" => chosen.binary = arguments.next().expect("--binary PATH").into(),
            "--rounds" => chosen.rounds = number(arguments.next()).expect("--rounds N") as usize,
            "--seed" => chosen.seed = number(arguments.next()).expect("--seed N"),
            "--verbose" => chosen.verbose = true,
            name => chosen.hosts.push(name.to_owned()),
        }
    }
    chosen
}

fn test(host: &Host, work: &Path, arguments: &Arguments) -> Outcome {
    let started = Instant::now();
    let mut outcome = Outcome {
        host: host.name,
        about: host.about,
        boot_seconds: 0.0,
        seconds: 0.0,
        checks: Vec::new(),
    };
    // Print the report at the end in one write: another host may be tested at the same time.
    let mut said = format!("{}: {}\n", host.name, host.about);
    let binary = binary_for(host, &arguments.binary);
    let mut guest = host.boot(work, &binary);
    let ready = guest.expect("@@ready\n");
    outcome.boot_seconds = started.elapsed().as_secs_f64();
    match ready {
        Ok(words) if words.trim().is_empty() => {}
        Ok(words) => said.push_str(&format!("    at boot: {}\n", words.trim())),
        Err(reason) => {
            println!("{said}    {reason}");
            outcome.checks.push(("boot", Err(reason)));
            return outcome;
        }
    }
    let mut go_through = |guest: &mut Guest, checks: &[Check]| {
        for check in checks {
            let at = Instant::now();
            let verdict = guest.run(&check.file(), check.typed).and_then(|(output, status)| {
                for line in output.lines() {
                    if arguments.verbose || line.starts_with("measured: ") {
                        said.push_str(&format!("    {line}\n"));
                    }
                }
                check.judge(&output, &status)
            });
            let word = if verdict.is_ok() { "ok" } else { "FAILED" };
            let seconds = at.elapsed().as_secs_f64();
            said.push_str(&format!("  {:<34} {word:<7} {seconds:5.1} s\n", check.name));
            if let Err(reason) = &verdict {
                said.push_str(&format!("    {}\n", reason.trim_end().replace('\n', "\n    ")));
            }
            outcome.checks.push((check.name, verdict));
        }
    };
    go_through(&mut guest, &host.checks);
    if !host.checks_after_reboot.is_empty() {
        guest.shut_down();
        let mut guest = host.boot_again(work, &binary);
        // Ignore an error: the checks fail if the guest is not ready.
        let _ = guest.expect("@@ready\n");
        go_through(&mut guest, &host.checks_after_reboot);
    }
    outcome.seconds = started.elapsed().as_secs_f64();
    print!("{said}");
    outcome
}

/// The binary for the architecture of `host`. Cargo has built the binary only for this machine, so
/// this function builds it for another architecture. A binary from `--binary` is used on every
/// host.
fn binary_for(host: &Host, binary: &Path) -> PathBuf {
    let target = host.suite.target();
    let built_for = env!("CARGO_BIN_EXE_mydocker");
    if binary != Path::new(built_for) || built_for.contains(target) {
        return binary.to_owned();
    }
    let mut build = Command::new(env!("CARGO"));
    build.args(["build", "--quiet", "--target", target]);
    if built_for.contains("/release/") {
        build.arg("--release");
    }
    run(build.current_dir(env!("CARGO_MANIFEST_DIR")));
    built_for.replace(debian::BOOKWORM.target(), target).into()
}

/// Runs a tool of this machine, which must succeed. Returns its output.
fn run(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {said}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}
