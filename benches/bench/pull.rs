//! A pull from a local registry, beside the peers: time, peak memory and bytes written to disk.
//! Also measures the unpacking of the same layers, beside tar and umoci.
//!
//! The image consists of this host's files: 150 MB in twelve layers. The registry is Debian's. The
//! peers' writes are synced within the measured time, because mydocker syncs too.

use std::cell::RefCell;
use std::fs;
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, WaitId, WaitIdOptions, waitid};

use super::peers::{Bench, PODMAN, US};
use super::table::{Budget, Table, Value};
use super::turns::{Contender, Figures, median, milliseconds, output, take};

const LAYERS: usize = 12;
const LAYER_BYTES: u64 = 12_500_000;
/// The image takes every seventh file of the sorted list, then starts again from the second file,
/// until it is full. So it has more than the programs, which are first in the list.
const STRIDE: usize = 7;
const LARGEST_FILE: u64 = 2_000_000;
const ROUNDS: usize = 10;
const SKOPEO: &str = "skopeo";
const UMOCI: &str = "umoci";
const TAR: &str = "tar";

struct Registry {
    child: Child,
    address: String,
}

/// The cost of one turn.
#[derive(Clone, Copy)]
struct Cost {
    milliseconds: f64,
    peak_kib: f64,
    written: f64,
}

pub fn measure(bench: &Bench, table: &mut Table) {
    let missing: Vec<_> = [SKOPEO, UMOCI, "docker-registry", "time"]
        .into_iter()
        .filter(|name| !super::peers::is_installed(name))
        .collect();
    if !missing.is_empty() {
        eprintln!("bench: {} not installed; pull is left out", missing.join(", "));
        return;
    }
    let layout = bench.dir.join("layout");
    let size = make_image(bench, &layout);
    measure_pull(bench, table, &layout, size);
    measure_unpack(bench, table, &layout, size);
}

fn measure_pull(bench: &Bench, table: &mut Table, layout: &Path, size: u64) {
    let registry = Registry::start(bench);
    let name = format!("{}/image:1", registry.address);
    let remote = format!("docker://{name}");
    output(
        Command::new(SKOPEO)
            .args(["copy", "-q", "--insecure-policy", "--dest-tls-verify=false"])
            .args([&format!("oci:{}:t", layout.display()), &remote]),
    );
    let costs: [RefCell<Vec<Cost>>; 3] = Default::default();
    let keep = |who: usize, cost: Cost| {
        costs[who].borrow_mut().push(cost);
        cost.milliseconds
    };
    let copy = bench.dir.join("copied");
    let mut contenders = vec![
        Contender::new(US, || {
            let cost = cost(bench, bench.us().args(["pull", "-q", &name]), false);
            output(bench.us().args(["rmi", &name]));
            keep(0, cost)
        }),
        Contender::new(SKOPEO, || {
            let mut skopeo = Command::new(SKOPEO);
            skopeo.args(["copy", "-q", "--insecure-policy", "--src-tls-verify=false", &remote]);
            let cost = cost(bench, skopeo.arg(format!("dir:{}", copy.display())), true);
            fs::remove_dir_all(&copy).expect("remove what skopeo made");
            keep(1, cost)
        }),
    ];
    if bench.has(PODMAN) {
        contenders.push(Contender::new(PODMAN, || {
            let mut podman = bench.podman();
            let cost = cost(bench, podman.args(["pull", "-q", "--tls-verify=false", &name]), true);
            output(bench.podman().args(["rmi", &name]));
            keep(2, cost)
        }));
    }
    let figures = take("pull", bench.rounds.min(ROUNDS), contenders);
    let costs: Vec<Vec<Cost>> = costs.into_iter().map(RefCell::into_inner).collect();
    let ours = Value::Milliseconds(figures.median(US));
    for (peer, theirs) in figures.peers() {
        // skopeo does not unpack the layers, so it has no budget.
        let budget = if peer == PODMAN { Budget::AtMost(1.0) } else { Budget::None };
        table.against("pull, 150 MB", ours, peer, Value::Milliseconds(theirs), budget);
    }
    let who = [US, SKOPEO, PODMAN];
    let of = |who: usize, of: &dyn Fn(&Cost) -> f64| costs[who].iter().map(of).collect::<Vec<_>>();
    for (topic, what, figure, value) in [
        (
            "pull-memory",
            "pull, 150 MB: peak memory",
            (&|cost: &Cost| cost.peak_kib) as &dyn Fn(&Cost) -> f64,
            Value::KiB as fn(f64) -> Value,
        ),
        (
            "pull-written",
            "pull: bytes written for a byte of image",
            &|cost: &Cost| cost.written / size as f64,
            Value::Times,
        ),
    ] {
        let ours = of(0, figure);
        Figures::one(US, ours.clone()).keep(topic);
        for (at, peer) in who.iter().enumerate().skip(1).filter(|(at, _)| !costs[*at].is_empty()) {
            let theirs = of(at, figure);
            let budget = if *peer == PODMAN { Budget::AtMost(1.0) } else { Budget::None };
            let values = (value(median(&ours)), value(median(&theirs)));
            table.against(what, values.0, peer, values.1, budget);
            Figures::one(peer, theirs).keep(&format!("{topic}-{peer}"));
        }
    }
}

/// Unpacks all layers of the image from its OCI layout.
fn measure_unpack(bench: &Bench, table: &mut Table, layout: &Path, size: u64) {
    let archive = bench.dir.join("layout.tar");
    let source = format!("oci:{}:t", layout.display());
    let named = format!("oci-archive:{}:layers:1", archive.display());
    output(Command::new(SKOPEO).args(["copy", "-q", "--insecure-policy", &source, &named]));
    let target = bench.dir.join("unpacked");
    let speed = |cost: Cost| size as f64 / 1e3 / cost.milliseconds;
    let figures = take(
        "unpack",
        bench.rounds.min(ROUNDS),
        vec![
            Contender::new(US, || {
                let cost = cost(bench, bench.us().args(["load", "-q", "-i"]).arg(&archive), false);
                output(bench.us().args(["rmi", "layers:1"]));
                speed(cost)
            }),
            Contender::new(TAR, || {
                fs::create_dir_all(&target).expect("make a directory");
                let script = "for layer in $2; do tar -xzf \"$layer\" -C \"$1\"; done";
                let mut tar = Command::new("sh");
                tar.args(["-c", script, "sh"]).arg(&target).arg(layers_of(layout).join(" "));
                let cost = cost(bench, &mut tar, true);
                fs::remove_dir_all(&target).expect("remove what tar made");
                speed(cost)
            }),
            Contender::new(UMOCI, || {
                let mut umoci = Command::new(UMOCI);
                umoci.args(["unpack", "--image", &format!("{}:t", layout.display())]).arg(&target);
                let cost = cost(bench, &mut umoci, true);
                fs::remove_dir_all(&target).expect("remove what umoci made");
                speed(cost)
            }),
        ],
    );
    let ours = Value::MBPerSecond(figures.median(US));
    for (peer, theirs) in figures.peers() {
        let theirs = Value::MBPerSecond(theirs);
        table.against("unpack, 12 layers of gzip", ours, peer, theirs, Budget::AtLeast(1.0));
    }
}

/// Runs a command; with `sync`, also syncs the file system. The time includes the sync. All figures
/// include the command's children.
fn cost(bench: &Bench, command: &mut Command, sync: bool) -> Cost {
    let peak = bench.dir.join("peak");
    let mut timed = Command::new("time");
    timed.args(["-f", "%M", "-o"]).arg(&peak).arg(command.get_program()).args(command.get_args());
    timed.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let started = Instant::now();
    let mut child = timed.spawn().expect("start the command");
    let pid = Pid::from_child(&child);
    waitid(WaitId::Pid(pid), WaitIdOptions::EXITED | WaitIdOptions::NOWAIT).expect("wait");
    if sync {
        let directory = fs::File::open(&bench.dir).expect("open the state directory");
        rustix::fs::syncfs(&directory).expect("sync");
    }
    let took = started.elapsed();
    // Read /proc/PID/io before the process is reaped. Bytes that were removed before they reached
    // the disk do not count.
    let io = fs::read_to_string(format!("/proc/{}/io", child.id())).expect("read /proc/PID/io");
    let number = |name: &str| -> f64 {
        let line = io.lines().find_map(|line| line.strip_prefix(name)).expect("a line");
        line.trim().parse().expect("a number")
    };
    let written = number("write_bytes:") - number("cancelled_write_bytes:");
    let status = child.wait().expect("wait");
    assert!(status.success(), "{command:?}: {status}");
    let peak = fs::read_to_string(&peak).expect("read what time measured");
    let peak_kib = peak.trim().parse().expect("a number of KiB");
    Cost { milliseconds: milliseconds(took), peak_kib, written }
}

/// Makes an OCI layout with the image `t`. Returns the size of the image's files in bytes.
fn make_image(bench: &Bench, layout: &Path) -> u64 {
    let found = output(Command::new("find").args([
        "/usr/bin",
        "/usr/lib",
        "/usr/share",
        "-xdev",
        "-type",
        "f",
        "-printf",
        "%s %p\\n",
    ]));
    let mut files: Vec<(u64, &str)> = found
        .lines()
        .filter_map(|line| line.split_once(' '))
        .filter_map(|(size, path)| Some((size.parse().ok()?, path.strip_prefix('/')?)))
        .filter(|(size, _)| *size <= LARGEST_FILE)
        .collect();
    files.sort_by_key(|(_, path)| *path);
    let mut mixed = (0..STRIDE).flat_map(|first| files.iter().skip(first).step_by(STRIDE));
    output(Command::new(UMOCI).args(["init", "--layout"]).arg(layout));
    let image = format!("{}:t", layout.display());
    output(Command::new(UMOCI).args(["new", "--image", &image]));
    let mut total = 0;
    for number in 0..LAYERS {
        let (mut list, mut bytes) = (String::new(), 0);
        while bytes < LAYER_BYTES {
            let Some((size, path)) = mixed.next() else { break };
            bytes += size;
            list += &format!("{path}\n");
        }
        total += bytes;
        let (names, tar) = (bench.dir.join("names"), bench.dir.join("layer.tar"));
        fs::write(&names, list).expect("write a list of files");
        output(
            Command::new(TAR).args(["-C", "/", "-cf"]).arg(&tar).arg("--files-from").arg(&names),
        );
        output(Command::new(UMOCI).args(["raw", "add-layer", "--image", &image]).arg(&tar));
        eprint!("\rbench: layer {} of {LAYERS} ", number + 1);
    }
    eprintln!("are {} MB", total / 1_000_000);
    total
}

/// The paths of the blobs of the image's layers, the base layer first.
fn layers_of(layout: &Path) -> Vec<String> {
    let raw = output(Command::new(SKOPEO).args([
        "inspect",
        "--raw",
        &format!("oci:{}:t", layout.display()),
    ]));
    let (_, layers) = raw.split_once("\"layers\"").expect("a manifest");
    let digests = layers.split("sha256:").skip(1).map(|rest| &rest[..64]);
    digests.map(|hex| layout.join("blobs/sha256").join(hex).display().to_string()).collect()
}

impl Registry {
    fn start(bench: &Bench) -> Registry {
        let port = TcpListener::bind("127.0.0.1:0").and_then(|socket| socket.local_addr());
        let address = format!("127.0.0.1:{}", port.expect("a free port").port());
        let data: PathBuf = bench.dir.join("registry");
        let config = bench.dir.join("registry.yml");
        let text = format!(
            "version: 0.1\nlog: {{level: error}}\nstorage: {{filesystem: {{rootdirectory: {}}}}}\n\
             http: {{addr: \"{address}\"}}\n",
            data.display()
        );
        fs::write(&config, text).expect("write the registry's settings");
        let child = Command::new("docker-registry")
            .arg("serve")
            .arg(&config)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("start docker-registry");
        let registry = Registry { child, address };
        let started = Instant::now();
        while TcpStream::connect(&registry.address).is_err() {
            assert!(started.elapsed() < Duration::from_secs(60), "the registry doesn't listen");
            std::thread::sleep(Duration::from_millis(20));
        }
        registry
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
