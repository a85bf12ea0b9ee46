//! The wear of flash memory: bytes written and flushes, from the counters of a loop device
//! (Documentation/admin-guide/iostats.rst of the kernel). An ext4 on this device holds the state
//! directories of mydocker and podman. Volatile state is in memory, like /run on most hosts.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use super::peers::{Bench, PODMAN};
use super::table::{Budget, Table, Value};
use super::turns::{median, output};

const MEGABYTES: u64 = 512;
/// The figures hardly vary, so few turns are enough.
const MAX_ROUNDS: usize = 5;
const IDLE: Duration = Duration::from_secs(60);
/// Long enough for the container to print its output and for the engine to write the log.
const SETTLE: Duration = Duration::from_secs(4);

/// The file system on a loop device. Dropping this value unmounts the file system.
struct Disk {
    mount: PathBuf,
    device: String,
}

#[derive(Clone, Copy)]
struct Wear {
    kib: f64,
    flushes: f64,
}

impl Disk {
    fn new(bench: &Bench) -> Disk {
        let (image, mount) = (bench.dir.join("wear.img"), bench.dir.join("wear"));
        let file = fs::File::create(&image).expect("make the disk");
        file.set_len(MEGABYTES << 20).expect("make the disk");
        fs::create_dir_all(&mount).expect("make the mount point");
        // Initialise everything now, so that the kernel does not do this during the measurement.
        let at_once = "lazy_itable_init=0,lazy_journal_init=0";
        output(Command::new("mke2fs").args(["-q", "-F", "-t", "ext4", "-E", at_once]).arg(&image));
        let device = output(Command::new("losetup").args(["--find", "--show"]).arg(&image));
        output(Command::new("mount").arg(&device).arg(&mount));
        Disk { mount, device }
    }

    fn so_far(&self) -> Wear {
        let name = Path::new(&self.device).file_name().expect("a device").to_owned();
        let stat = Path::new("/sys/block").join(name).join("stat");
        let stat = fs::read_to_string(stat).expect("read the device's counters");
        let counters: Vec<f64> =
            stat.split_whitespace().map(|word| word.parse().expect("a number")).collect();
        Wear { kib: counters[6] / 2.0, flushes: counters[15] }
    }

    fn sync(&self) {
        output(Command::new("sync").arg("-f").arg(&self.mount));
    }

    /// The flushes during `act`, and the bytes that are written by `act` and by a sync after it.
    fn wear_of(&self, act: impl FnOnce()) -> Wear {
        self.sync();
        let before = self.so_far();
        act();
        let flushes = self.so_far().flushes - before.flushes;
        self.sync();
        Wear { kib: self.so_far().kib - before.kib, flushes }
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        output(Command::new("umount").arg("-l").arg(&self.mount));
        output(Command::new("losetup").arg("-d").arg(&self.device));
    }
}

pub fn measure(bench: &Bench, table: &mut Table) {
    let disk = Disk::new(bench);
    let us = || {
        let mut command = Command::new(bench.binary());
        command.arg("--root").arg(disk.mount.join("us"));
        command.arg("--run-root").arg(bench.dir.join("run/us-wear"));
        command
    };
    let podman = || {
        let mut command = Command::new(PODMAN);
        command.arg("--root").arg(disk.mount.join("podman"));
        command.arg("--runroot").arg(bench.dir.join("run/podman-wear"));
        command
    };
    let our_run = || {
        let mut command = us();
        command.arg("run");
        command
    };
    let their_run = || {
        let mut command = podman();
        command.args(["run", "--ulimit", "nofile=1024:1024", "--ulimit", "nproc=1000:1000"]);
        command.args(["--log-driver", "k8s-file"]);
        command
    };
    let ours = turns(bench, &disk, &us, &our_run);
    let theirs = bench.has(PODMAN).then(|| {
        let theirs = turns(bench, &disk, &podman, &their_run);
        let _ = podman().args(["system", "reset", "-f"]).output();
        theirs
    });
    for (number, (what, ours)) in ours.iter().enumerate() {
        let theirs = theirs.as_ref().map(|theirs| theirs[number].1);
        let pairs = [
            ("bytes", Value::KiB(ours.kib), theirs.map(|wear| Value::KiB(wear.kib))),
            ("flushes", Value::Count(ours.flushes), theirs.map(|wear| Value::Count(wear.flushes))),
        ];
        for (unit, ours, theirs) in pairs {
            let what = format!("wear: {what}, {unit}");
            match theirs {
                Some(theirs) => table.against(&what, ours, PODMAN, theirs, Budget::None),
                None => table.alone(&what, ours, Budget::None),
            }
        }
    }
}

/// The wear of one engine, for each operation.
fn turns(
    bench: &Bench,
    disk: &Disk,
    engine: &dyn Fn() -> Command,
    run: &dyn Fn() -> Command,
) -> Vec<(&'static str, Wear)> {
    output(engine().arg("import").arg(bench.archive()).arg("bb"));
    let once = || {
        output(run().args(["--rm", "--network", "none", "bb", "true"]));
    };
    // Run once before measuring: the first run makes files that later runs only read.
    once();
    let rounds = bench.rounds.clamp(1, MAX_ROUNDS);
    let middle = |wears: Vec<Wear>| Wear {
        kib: median(&wears.iter().map(|wear| wear.kib).collect::<Vec<_>>()),
        flushes: median(&wears.iter().map(|wear| wear.flushes).collect::<Vec<_>>()),
    };
    let detached =
        |script: &str| output(run().args(["-d", "--network", "none", "bb", "sh", "-c", script]));
    let remove = |id: String| output(engine().args(["rm", "-f", &id]));
    let mut rm = Vec::new();
    let mut detach = Vec::new();
    for _ in 0..rounds {
        rm.push(disk.wear_of(once));
        let mut id = String::new();
        detach.push(disk.wear_of(|| id = detached("sleep 1000")));
        remove(id);
    }
    let chatty = detached("sleep 2; busybox head -c 1048576 /lines; sleep 1000");
    let logs = disk.wear_of(|| std::thread::sleep(SETTLE));
    remove(chatty);
    let idle = detached("sleep 1000");
    let idle_wear = disk.wear_of(|| std::thread::sleep(IDLE));
    remove(idle);
    vec![
        ("run --rm", middle(rm)),
        ("run -d", middle(detach)),
        ("1 MB of logs", logs),
        ("an idle minute", idle_wear),
    ]
}
