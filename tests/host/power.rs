//! Power cuts: the guest loses its power while it works, and afterwards everything that was
//! reported done must be there.
//!
//! In a sitting, a guest runs a random script that makes and removes images, containers, volumes
//! and networks. The script writes the exit status of each command to a sector behind the file
//! system. So the log of all writes (`blocklog`) also shows when each command was reported done.
//! qemu is killed at a random moment. The log gives the content of the disk at this moment and at
//! some random earlier moments. Each of these disks is a round, and one new guest examines them
//! all. Things that were reported made must exist and work; things that were reported removed must
//! be gone. The command that ran at the cut may be done or not, never half.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crate::blocklog::{Cache, Log, SECTOR};
use crate::chance::Chance;
use crate::debian::BOOKWORM;
use crate::guest::{Guest, Machine, disk, logged_disk};
use crate::host::{Host, image_with, layer_of};
use crate::hosts::plain;
use crate::registry::{ADDRESS, Registry};
use crate::run;
use crate::table::Outcome;
use crate::tree::blank;

/// The most rounds in a sitting: the moment of the kill, and some moments before.
const ROUNDS_EACH: usize = 5;
/// The number of commands in a sitting's script: more than the guest can run before the kill.
const COMMANDS: usize = 120;
const DISK_MEGABYTES: u64 = 96;
/// The sector to which the script writes its progress, behind the file system.
const MARKS: u64 = DISK_MEGABYTES * (1 << 20) / SECTOR;
/// The most sittings at the same time.
const WORKERS: usize = 2;

/// The number of versions of an image. /etc/version in the image names its version.
const VERSIONS: u8 = 3;
/// The size in bytes that each version adds to busybox, so that pulling and importing take a while.
const VERSION_BYTES: usize = 1 << 20;

/// A kind of disk: the file system, its mount options, and the disk's cache.
struct Kind {
    name: &'static str,
    make: &'static [&'static str],
    mount: &'static str,
    cache: Cache,
}

const WITH_BARRIERS: Kind = Kind {
    name: "ext4 with barriers",
    make: &["mke2fs", "-q", "-F", "-t", "ext4"],
    mount: "-t ext4 -o barrier",
    cache: Cache::Volatile,
};
/// A file system without barriers, on a disk without a cache.
const WITHOUT_BARRIERS: Kind = Kind {
    name: "ext4 without barriers",
    make: WITH_BARRIERS.make,
    mount: "-t ext4 -o nobarrier",
    cache: Cache::None,
};
const F2FS: Kind = Kind {
    name: "f2fs",
    make: &["mkfs.f2fs", "-q", "-f"],
    mount: "-t f2fs",
    cache: Cache::Volatile,
};
const KINDS: [&Kind; 5] =
    [&WITH_BARRIERS, &WITHOUT_BARRIERS, &WITH_BARRIERS, &WITHOUT_BARRIERS, &F2FS];

/// A command, the thing that it makes or removes, and the state of this thing afterwards.
struct Step {
    thing: String,
    /// The thing's version; `None` if the command removes the thing.
    becomes: Option<u8>,
    command: String,
}

/// The report that a command was done.
struct Mark {
    status: u8,
    /// The number of entries in the log before the report.
    writes: usize,
}

pub fn test(work: &Path, binary: &Path, rounds: usize, seed: u64) -> Outcome {
    println!("power: {rounds} pulled plugs, seed {seed}");
    let started = Instant::now();
    let host = host();
    let machine = host.machine(work, binary);
    let next = AtomicUsize::new(0);
    let results: Mutex<Vec<Sitting>> = Mutex::default();
    std::thread::scope(|scope| {
        for worker in 0..WORKERS.min(rounds.div_ceil(ROUNDS_EACH)) {
            let (machine, next, results) = (machine.clone(), &next, &results);
            let directory = host.directory(work).join(format!("worker{worker}"));
            scope.spawn(move || {
                let bench = Bench::new(directory, machine, work);
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    let left = rounds.saturating_sub(number * ROUNDS_EACH).min(ROUNDS_EACH);
                    if left == 0 {
                        break;
                    }
                    let result = bench.sitting(number, seed + number as u64, left);
                    results.lock().unwrap().push(result);
                }
            });
        }
    });
    let results = results.into_inner().unwrap();
    let mut checks = Vec::new();
    for kind in [&WITH_BARRIERS, &WITHOUT_BARRIERS, &F2FS] {
        let of_kind = || results.iter().filter(|sitting| sitting.kind == kind.name);
        if of_kind().next().is_none() {
            continue;
        }
        let sum = |count: fn(&Sitting) -> usize| of_kind().map(count).sum::<usize>();
        println!(
            "  {}: {} rounds, {} commands done, {} writes",
            kind.name,
            sum(|sitting| sitting.rounds),
            sum(|sitting| sitting.commands),
            sum(|sitting| sitting.writes),
        );
        let failures: Vec<&str> =
            of_kind().flat_map(|sitting| &sitting.failures).map(String::as_str).collect();
        let verdict = if failures.is_empty() { Ok(()) } else { Err(failures.join("\n")) };
        checks.push((kind.name, verdict));
    }
    Outcome {
        host: "power",
        about: "a disk whose plug is pulled",
        boot_seconds: 0.0,
        seconds: started.elapsed().as_secs_f64(),
        checks,
    }
}

fn host() -> Host {
    Host {
        name: "power",
        set_up: "mkdir -p /var/lib/mydocker
                 mount -t cgroup2 cgroup2 /sys/fs/cgroup\n",
        ..plain()
    }
}

/// Random steps, each possible after those before it.
fn script(chance: &mut Chance) -> Vec<Step> {
    let mut there: Vec<(String, bool)> = Vec::new();
    for number in 1..=3 {
        for kind in ["imported i", "committed m", "container c", "volume v", "network n"] {
            there.push((format!("{kind}{number}"), false));
        }
        // The tag of a pulled image contains its version.
        there.push((format!("pulled {ADDRESS}/p:v{number}"), false));
    }
    let mut steps = Vec::new();
    for _ in 0..COMMANDS {
        let at = chance.below(there.len() as u64) as usize;
        let (thing, is_there) = &mut there[at];
        let (kind, name) = thing.split_once(' ').unwrap();
        let version = 1 + chance.below(u64::from(VERSIONS)) as u8;
        // An import or a commit with an existing name moves the name to the new image.
        let is_new = !*is_there || chance.below(2) == 0;
        let (command, becomes) = match (kind, *is_there) {
            ("imported", _) if is_new => {
                (format!("import /share/v{version}.tar {name}"), Some(version))
            }
            ("committed", _) if is_new => (format!("commit made{version} {name}"), Some(version)),
            ("pulled", false) => {
                let version = name.bytes().last().unwrap() - b'0';
                (format!("pull {name}"), Some(version))
            }
            ("imported" | "committed" | "pulled", _) => (format!("rmi {name}"), None),
            ("container", false) => {
                // Run some containers on the default network.
                let network = if name == "c1" { "--net none " } else { "" };
                (format!("run -d {network}--name {name} base sleep 1000"), Some(0))
            }
            ("container", true) => (format!("rm -f {name}"), None),
            (_, false) => (format!("{kind} create {name}"), Some(0)),
            (_, true) => (format!("{kind} rm {name}"), None),
        };
        *is_there = becomes.is_some();
        let thing = match kind {
            "imported" | "committed" => format!("image {name}:latest"),
            "pulled" => format!("image {name}"),
            _ => thing.clone(),
        };
        steps.push(Step { thing, becomes, command });
    }
    steps
}

/// A script that makes the content of a disk before a sitting: an image, and containers to commit.
const BASE: &str = "
    mount $(cat /share/mount) /dev/vda /var/lib/mydocker
    mydocker import /share/v1.tar base >/dev/null
    for version in 1 2 3; do
        mydocker run --net none --name made$version base sh -c \"echo v$version >/etc/version\"
    done
    umount /var/lib/mydocker";

/// A script that lists the things on `$disk`, tries each, and prints mydocker's errors. One guest
/// examines several disks. For each disk the script mounts a new /run/mydocker, as after a boot.
/// Afterwards it must be possible to unmount the disk.
const LOOK: &str = "
    mkdir -p /run/mydocker && mount -t tmpfs run /run/mydocker
    mount $(cat /share/mount) $disk /var/lib/mydocker
    # The warning of a host without iptables is printed once.
    mydocker run --rm base true >/dev/null 2>&1
    for image in $(mydocker images --format '{{.Repository}}:{{.Tag}}' | grep -v none); do
        echo image $image $(mydocker run --rm --net none $image cat /etc/version)
    done
    echo running $(mydocker ps -q | wc -l)
    for container in $(mydocker ps -a --format '{{.Names}}' | grep -v made); do
        mydocker start $container >/dev/null && mydocker exec $container cat /etc/version >/dev/null &&
            mydocker stop -t 0 $container >/dev/null && echo container $container v0
    done
    for volume in $(mydocker volume ls -q); do
        mydocker run --rm --net none -v $volume:/data base touch /data/x && echo volume $volume v0
    done
    for network in $(mydocker network ls --format '{{.Name}}' | grep '^n[0-9]$'); do
        mydocker run --rm --net $network base true && echo network $network v0
    done
    mydocker system check --repair >/dev/null; mydocker system check
    # And life goes on.
    mydocker import /share/v1.tar after >/dev/null && mydocker run --rm --net none after cat /etc/version
    status=$?
    for bridge in $(ls -d /sys/class/net/*/bridge | cut -d/ -f5); do ip link del $bridge; done
    umount /run/mydocker && umount /var/lib/mydocker || echo busy
    (exit $status)";

/// The result of a sitting.
struct Sitting {
    kind: &'static str,
    rounds: usize,
    commands: usize,
    writes: usize,
    failures: Vec<String>,
}

/// The files of a worker, for its sittings.
struct Bench {
    directory: PathBuf,
    machine: Machine,
}

impl Bench {
    fn new(directory: PathBuf, machine: Machine, work: &Path) -> Bench {
        let share = directory.join("share");
        let _ = fs::remove_dir_all(&share);
        fs::create_dir_all(&directory).unwrap();
        run(Command::new("cp").arg("-a").args([&machine.share, &share]));
        let registry = Registry::new(share.join("registry"), BOOKWORM.architecture);
        let mut chance = Chance::new(0);
        for version in 1..=VERSIONS {
            let text = format!("v{version}\n");
            let noise: Vec<u8> = (0..VERSION_BYTES).map(|_| chance.below(256) as u8).collect();
            let files: [(&str, &[u8]); 2] =
                [("etc/version", text.as_bytes()), ("etc/noise", &noise)];
            image_with(&BOOKWORM.busybox(work), &share.join(format!("v{version}.tar")), &files);
            let layer = share.join("layer.tar");
            layer_of(&layer, &files);
            registry.put("p", &format!("v{version}"), &[&share.join("bb.tar"), &layer]);
        }
        Bench { directory, machine: Machine { share, ..machine } }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    fn write_script(&self, name: &str, text: &str) {
        fs::write(self.machine.share.join("scripts").join(name), text).unwrap();
    }

    fn boot(&self, disk: Vec<String>) -> Guest {
        let mut guest = self.machine.boot(&[disk]);
        guest.expect("@@ready\n").unwrap();
        guest
    }

    /// Runs a guest, kills it, and examines `rounds` of the possible disks.
    fn sitting(&self, number: usize, seed: u64, rounds: usize) -> Sitting {
        let kind = KINDS[number % KINDS.len()];
        let mut chance = Chance::new(seed);
        let steps = script(&mut chance);
        let patience = Duration::from_millis(2_000 + chance.below(10_000));
        fs::write(self.machine.share.join("mount"), kind.mount).unwrap();
        let base = self.base(kind);
        let log = self.work(&base, &steps, patience);
        let (begin, marks) = marks(&log);
        let mut failures = Vec::new();
        for (step, mark) in steps.iter().zip(&marks) {
            if mark.status != 0 {
                let Step { command, .. } = step;
                failures.push(format!("mydocker {command}: status {}", mark.status));
            }
        }
        let cuts: Vec<usize> = (0..rounds)
            .map(|round| match round {
                0 => log.len(),
                _ => begin + chance.below((log.len() - begin).max(1) as u64) as usize,
            })
            .collect();
        let disks: Vec<PathBuf> = cuts
            .iter()
            .enumerate()
            .map(|(round, cut)| {
                let image = self.path(&format!("after{round}.img"));
                fs::copy(&base, &image).unwrap();
                log.replay(&image, *cut, kind.cache, &mut chance);
                image
            })
            .collect();
        self.write_script("look", LOOK);
        let mut guest =
            self.machine.boot(&disks.iter().map(|image| disk(image)).collect::<Vec<_>>());
        let ready = guest.expect("@@ready\n");
        for (round, cut) in cuts.into_iter().enumerate() {
            let device = char::from(b'a' + round as u8);
            let script = format!("disk=/dev/vd{device}\n. /share/scripts/look\n");
            self.write_script(&format!("look{round}"), &script);
            let verdict = ready
                .clone()
                .and_then(|_| guest.run(&format!("look{round}"), &[]))
                .and_then(|(said, status)| {
                    judge(&said, &status, &allowed(cut, &steps, &marks))
                        .map_err(|reason| format!("{reason}\nit said:\n{said}"))
                });
            if let Err(reason) = verdict {
                failures.push(format!("plug pulled after {cut} writes: {reason}"));
            }
        }
        println!(
            "  sitting {number}, seed {seed}, {}: {} commands, {} writes, {rounds} rounds{}",
            kind.name,
            marks.len(),
            log.len(),
            if failures.is_empty() { ": ok" } else { ": FAILED" }
        );
        for failure in &failures {
            println!("    {}", failure.trim().replace('\n', "\n    "));
        }
        Sitting {
            kind: kind.name,
            rounds,
            commands: marks.len(),
            writes: log.len(),
            failures: failures
                .into_iter()
                .map(|failure| format!("sitting {number}, seed {seed}: {failure}"))
                .collect(),
        }
    }

    /// A disk with the content before a sitting, unmounted cleanly.
    fn base(&self, kind: &Kind) -> PathBuf {
        let image = self.path(&format!("{}.img", kind.name.replace(' ', "-")));
        // Make the disk once in each run: another binary may have made the disk of an earlier run.
        static MADE: Mutex<Vec<PathBuf>> = Mutex::new(Vec::new());
        if MADE.lock().unwrap().contains(&image) {
            return image;
        }
        blank(&image, DISK_MEGABYTES);
        run(Command::new(kind.make[0]).args(&kind.make[1..]).arg(&image));
        fs::OpenOptions::new()
            .write(true)
            .open(&image)
            .and_then(|file| file.set_len((DISK_MEGABYTES + 1) << 20))
            .unwrap();
        self.write_script("base", BASE);
        let (said, status) = self.boot(disk(&image)).run("base", &[]).unwrap();
        assert_eq!(status, "0", "{said}");
        MADE.lock().unwrap().push(image.clone());
        image
    }

    /// Runs a guest on a copy of the disk, and kills it after `patience`. Returns the log of its
    /// writes.
    fn work(&self, base: &Path, steps: &[Step], patience: Duration) -> Log {
        let (image, log) = (self.path("worked.img"), self.path("writes.log"));
        fs::copy(base, &image).unwrap();
        fs::write(&log, "").unwrap();
        let mut script = format!(
            "mount $(cat /share/mount) /dev/vda /var/lib/mydocker
             mark() {{ echo \"$*\" | dd of=/dev/vda bs=4096 seek={} count=1 \
                 conv=sync,notrunc oflag=direct 2>/dev/null; }}
             mark begin\n",
            MARKS * SECTOR / 4096
        );
        for step in steps {
            script.push_str(&format!("mydocker {} >/tmp/said 2>&1; mark $?\n", step.command));
        }
        self.write_script("work", &script);
        let mut guest = self.boot(logged_disk(&image, &log));
        guest.send("work\n");
        let until = Instant::now() + patience;
        while guest.line(until).is_some() {}
        guest.kill();
        Log::open(&log)
    }
}

/// The number of entries in the log before the script started, and the reports of finished
/// commands.
fn marks(log: &Log) -> (usize, Vec<Mark>) {
    let mut texts = log.texts_at(MARKS).into_iter();
    let begin = texts.next().map_or(0, |(writes, _)| writes);
    let marks = texts.map(|(writes, text)| Mark { status: text.trim().parse().unwrap(), writes });
    (begin, marks.collect())
}

/// The allowed states of each thing, given the reports before `cut`.
fn allowed(cut: usize, steps: &[Step], marks: &[Mark]) -> Vec<(String, Vec<Option<u8>>)> {
    let mut things: Vec<(String, Vec<Option<u8>>)> = Vec::new();
    let reported = marks.iter().take_while(|mark| mark.writes < cut).count();
    // The last of these commands may or may not be done.
    for (number, step) in steps.iter().enumerate().take(reported + 1) {
        let at = things.iter().position(|(thing, _)| *thing == step.thing).unwrap_or_else(|| {
            things.push((step.thing.clone(), vec![None]));
            things.len() - 1
        });
        if number < reported && marks[number].status == 0 {
            things[at].1 = vec![step.becomes];
        } else {
            things[at].1.push(step.becomes);
        }
    }
    things
}

fn judge(said: &str, status: &str, allowed: &[(String, Vec<Option<u8>>)]) -> Result<(), String> {
    let mut wrong = Vec::new();
    if status != "0" {
        wrong.push(format!("the last command ended with {status}"));
    }
    let mut there: Vec<(String, u8)> = Vec::new();
    for line in said.lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        match words[..] {
            ["image", "base:latest", "v1"] | ["running", "0"] | ["v1"] => {}
            [kind @ ("image" | "container" | "volume" | "network"), name, version] => {
                let version = version.trim_start_matches('v').parse().unwrap_or(u8::MAX);
                there.push((format!("{kind} {name}"), version));
            }
            _ => wrong.push(format!("unexpected: {line}")),
        }
    }
    for (thing, states) in allowed {
        let state = there.iter().find(|(found, _)| found == thing).map(|(_, version)| *version);
        if !states.contains(&state) {
            wrong.push(format!("{thing} is {state:?}, but must be one of {states:?}"));
        }
    }
    for (thing, _) in &there {
        if !allowed.iter().any(|(known, _)| known == thing) {
            wrong.push(format!("{thing} was never made"));
        }
    }
    if wrong.is_empty() { Ok(()) } else { Err(wrong.join("\n")) }
}
