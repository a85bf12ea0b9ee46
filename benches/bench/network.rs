//! The time of `run` with a network, and the throughput over a network.
//!
//! crun configures no network. Its `run` is still the yardstick for mydocker's `run` with a
//! network. iperf3 measures the throughput.

use std::path::Path;
use std::process::Command;

use super::peers::{Bench, CRUN, PODMAN, US};
use super::table::{Budget, Table, Value};
use super::turns::{Contender, output, take, time};

/// Ports below the range of outgoing connections, so that no other program is likely to use them.
const OUR_PORT: u16 = 18_080;
const THEIR_PORT: u16 = 18_081;
/// iperf3's default port.
const IPERF_PORT: u16 = 5201;
const NAME: &str = "bench-iperf";

pub fn measure(bench: &Bench, table: &mut Table) {
    starts(bench, table, "network", "run --rm IMAGE true, default bridge", None, 0.8);
    starts(bench, table, "network-p", "run --rm -p IMAGE true, by iptables", Some("iptables"), 1.2);
    starts(bench, table, "network-n", "run --rm -p IMAGE true, by nftables", Some("nftables"), 1.2);
    let rounds = bench.rounds.min(5);
    if !bench.has(PODMAN) || !Path::new("/usr/bin/iperf3").exists() {
        eprintln!("bench: podman or iperf3 is not installed; throughput is left out");
        return;
    }
    let serve = |mut command: Command, port: u16| {
        command.args(["-d", "--name", NAME, "-p", &format!("{port}:{IPERF_PORT}")]);
        // Mount the host's directories, because iperf3 and its libraries are not in the image.
        for directory in ["/usr", "/lib", "/lib64"].iter().filter(|dir| Path::new(dir).exists()) {
            command.args(["-v", &format!("{directory}:{directory}:ro")]);
        }
        output(command.args(["bb", "/usr/bin/iperf3", "-s"]));
    };
    let mut ours = bench.us();
    ours.arg("run");
    serve(ours, OUR_PORT);
    serve(bench.podman_run(), THEIR_PORT);
    let ours = address(|| bench.us());
    let theirs = address(|| bench.podman());
    for (what, topic, ours, theirs) in [
        (
            "container to host, bridge",
            "network-bridge",
            (&*ours, IPERF_PORT),
            (&*theirs, IPERF_PORT),
        ),
        (
            "container to host, published port",
            "network-port",
            ("127.0.0.1", OUR_PORT),
            ("127.0.0.1", THEIR_PORT),
        ),
    ] {
        let contenders = vec![
            Contender::new(US, || throughput(ours.0, ours.1)),
            Contender::new(PODMAN, || throughput(theirs.0, theirs.1)),
        ];
        let figures = take(topic, rounds, contenders);
        let ours = Value::MBPerSecond(figures.median(US));
        for (peer, theirs) in figures.peers() {
            table.against(what, ours, peer, Value::MBPerSecond(theirs), Budget::AtLeast(0.9));
        }
    }
    output(bench.us().args(["rm", "-f", NAME]));
    output(bench.podman().args(["rm", "-f", "-t", "0", NAME]));
}

/// Measures `run` on the default bridge. If `publish` is the name of a firewall back end, `run`
/// also publishes a port by this back end. crun configures no network.
fn starts(
    bench: &Bench,
    table: &mut Table,
    topic: &str,
    what: &str,
    publish: Option<&str>,
    most: f64,
) {
    let bundle = bench.bundle("true", &["true"]);
    let flags = |port: u16| match publish {
        Some(_) => vec!["-p".to_owned(), format!("{port}:80")],
        None => Vec::new(),
    };
    let firewall = publish.map(|firewall| ["--firewall", firewall]);
    let mut contenders = vec![Contender::new(US, || {
        let mut us = bench.us();
        us.args(firewall.iter().flatten());
        time(us.args(["run", "--rm"]).args(flags(OUR_PORT)).args(["bb", "true"]))
    })];
    if bench.has(CRUN) {
        contenders.push(Contender::new(CRUN, || {
            time(bench.runtime(CRUN).arg("run").arg("-b").arg(&bundle).arg("bench-true"))
        }));
    }
    if bench.has(PODMAN) {
        contenders.push(Contender::new(PODMAN, || {
            time(bench.podman_run().arg("--rm").args(flags(THEIR_PORT)).args(["bb", "true"]))
        }));
    }
    let figures = take(topic, bench.rounds.min(50), contenders);
    let ours = Value::Milliseconds(figures.median(US));
    for (peer, theirs) in figures.peers() {
        let budget = if peer == CRUN { Budget::AtMost(most) } else { Budget::None };
        table.against(what, ours, peer, Value::Milliseconds(theirs), budget);
    }
}

/// The address of the server's container. Waits until the container has one.
fn address(command: impl Fn() -> Command) -> String {
    const MAX_TRIES: u32 = 100;
    for _ in 0..MAX_TRIES {
        let format = "{{.NetworkSettings.IPAddress}}";
        let address = output(command().args(["inspect", "-f", format, NAME]));
        if !address.trim().is_empty() {
            return address.trim().to_owned();
        }
        std::thread::sleep(std::time::Duration::from_millis(100));
    }
    let printed = command().args(["logs", NAME]).output().expect("read the server's log");
    panic!("the container of iperf3 has no address; it says: {printed:?}");
}

/// The throughput from a server in a container to the host, in megabytes per second, measured for a
/// second.
fn throughput(address: &str, port: u16) -> f64 {
    const MAX_TRIES: u32 = 200;
    let mut printed = None;
    for _ in 0..MAX_TRIES {
        let mut iperf = Command::new("iperf3");
        iperf.args(["-c", address, "-p", &port.to_string(), "-R", "-t", "1", "-f", "M"]);
        let printed = printed.insert(iperf.output().expect("run iperf3"));
        let text = String::from_utf8_lossy(&printed.stdout);
        // `[  5]   0.00-1.00   sec  2.51 GBytes  2566 MBytes/sec                  receiver`
        let line = text.lines().find(|line| line.contains("receiver"));
        let speed = line.and_then(|line| {
            let words: Vec<&str> = line.split_whitespace().collect();
            let at = words.iter().position(|word| *word == "MBytes/sec")?;
            words[at - 1].parse::<f64>().ok()
        });
        if let Some(speed) = speed {
            return speed * 1.048_576;
        }
        // iperf3 is not listening yet, or is still busy with the previous client.
        std::thread::sleep(std::time::Duration::from_millis(100));
    }
    panic!("iperf3 gets nothing from {address}:{port}: {printed:?}");
}
