//! Pulled plugs: the guest works, loses its power in the midst of it, and must answer truly after.
//!
//! A sitting is a guest that imports and removes images, runs and removes containers, makes and
//! removes volumes and networks, by a script made by chance, and prints a mark as each command comes
//! back. qemu is killed at a random moment. From the log of what was written to the disk (`blocklog`) the disk is made anew
//! as it would be after the plug was pulled then, and for some random moments before: each is a
//! round. A guest boots from it and tells what is there; it is held against the marks that had come
//! by that moment. What was reported done must be there and work, what was reported removed must
//! not, what was under way may be either, and nothing may be there by half.
//!
//! Sittings alternate between a disk with a volatile cache under ext4 with barriers, and a disk
//! without one under ext4 mounted `nobarrier`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use crate::blocklog::{Cache, Log};
use crate::chance::Chance;
use crate::debian::BOOKWORM;
use crate::guest::{Guest, Machine, disk, logged_disk};
use crate::host::{Host, Root, image_with};
use crate::run;
use crate::table::Outcome;
use crate::tree::blank;

/// Moments looked at in each sitting: that of the kill, and some before.
const ROUNDS_EACH: usize = 5;
/// Commands in a sitting's script: more than it gets to.
const COMMANDS: usize = 120;
const DISK_MEGABYTES: u64 = 96;

/// Images are imported in two versions, told apart by a file.
const VERSIONS: u8 = 2;

/// A thing that a command makes or removes, and what it is afterwards.
struct Step {
    thing: String,
    /// A version, or none: gone.
    becomes: Option<u8>,
    command: String,
}

/// When a command was heard to be done.
struct Mark {
    status: i32,
    /// How long the log of writes was.
    log_length: u64,
}

pub fn test(work: &Path, binary: &Path, rounds: usize, seed: u64) -> Outcome {
    println!("power: {rounds} pulled plugs, seed {seed}");
    let begun = Instant::now();
    let host = host();
    let bench = Bench { directory: host.directory(work), machine: host.machine(work, binary) };
    for version in 1..=VERSIONS {
        let archive = bench.machine.share.join(format!("v{version}.tar"));
        image_with(&BOOKWORM.busybox(work), &archive, &[("etc/version", &format!("v{version}\n"))]);
    }
    bench.make_base();
    let mut chance = Chance::new(seed);
    let (mut done, mut failures) = (0, Vec::new());
    for sitting in 0.. {
        if done == rounds {
            break;
        }
        let cache = if sitting % 2 == 0 { Cache::Volatile } else { Cache::None };
        let steps = script(&mut chance);
        let patience = Duration::from_millis(500 + chance.below(9_500));
        let (log, marks, ready) = bench.sit(&steps, cache, patience);
        let heard = marks.iter().flatten().count();
        println!("  sitting {sitting} ({cache:?} cache): {heard} commands, {} writes", log.len());
        for (step, mark) in steps.iter().zip(&marks) {
            if mark.as_ref().is_some_and(|mark| mark.status != 0) {
                failures.push(format!("sitting {sitting}: mydocker {} failed", step.command));
            }
        }
        let first = log.entries_within(ready).min(log.len());
        for round in 0..ROUNDS_EACH.min(rounds - done) {
            let cut = match round {
                0 => log.len(),
                _ => first + chance.below((log.len() - first).max(1) as u64) as usize,
            };
            done += 1;
            let verdict = bench.look(&log, cut, cache, &mut chance, &steps, &marks);
            if let Err(reason) = verdict {
                let place = format!("sitting {sitting}, plug pulled after {cut} writes");
                println!("    FAILED {place}:\n      {}", reason.trim().replace('\n', "\n      "));
                failures.push(format!("{place}: {reason}"));
            }
        }
    }
    let verdict = match failures.is_empty() {
        true => Ok(()),
        false => Err(failures.join("\n")),
    };
    Outcome {
        host: "power",
        about: "ext4 on a disk whose plug is pulled",
        boot_seconds: 0.0,
        seconds: begun.elapsed().as_secs_f64(),
        checks: vec![("pulled plugs", verdict)],
    }
}

fn host() -> Host {
    Host {
        name: "power",
        about: "",
        suite: BOOKWORM,
        memory_megabytes: 256,
        root: Root::Initramfs,
        command_line: "",
        disks: &[],
        set_up: "mkdir -p /var/lib/mydocker
                 mount -t ext4 -o $(cat /share/options) /dev/vda /var/lib/mydocker
                 mount -t cgroup2 cgroup2 /sys/fs/cgroup\n",
        checks: Vec::new(),
    }
}

/// Steps by chance, each possible after those before it.
fn script(chance: &mut Chance) -> Vec<Step> {
    let mut there: Vec<(String, bool)> = Vec::new();
    for kind in ["image", "container", "volume", "network"] {
        there.extend((1..=4).map(|number| (format!("{kind} {}{number}", &kind[..1]), false)));
    }
    let mut steps = Vec::new();
    for _ in 0..COMMANDS {
        let at = chance.below(there.len() as u64) as usize;
        let (thing, is_there) = &mut there[at];
        let (kind, name) = thing.split_once(' ').unwrap();
        let version = 1 + chance.below(u64::from(VERSIONS)) as u8;
        let (command, becomes) = match (kind, *is_there) {
            // An import over an image that is there gives the name to the new one.
            ("image", false) => (format!("import /share/v{version}.tar {name}"), Some(version)),
            ("image", true) if chance.below(2) == 0 => {
                (format!("import /share/v{version}.tar {name}"), Some(version))
            }
            ("image", true) => (format!("rmi {name}"), None),
            ("container", false) => {
                (format!("run -d --net none --name {name} base sleep 1000"), Some(0))
            }
            ("container", true) => (format!("rm -f {name}"), None),
            (_, false) => (format!("{kind} create {name}"), Some(0)),
            (_, true) => (format!("{kind} rm {name}"), None),
        };
        *is_there = becomes.is_some();
        steps.push(Step { thing: thing.clone(), becomes, command });
    }
    steps
}

/// Tells what is there and whether it works; what mydocker complains of comes along.
const LOOK: &str = "
    # That there is no iptables is said once.
    mydocker run --rm base true >/dev/null 2>&1
    for image in $(mydocker images --format '{{.Repository}}' | grep -v none); do
        echo image $image $(mydocker run --rm --net none $image cat /etc/version)
    done
    echo running $(mydocker ps -q | wc -l)
    for container in $(mydocker ps -a --format '{{.Names}}'); do
        mydocker start $container >/dev/null && mydocker exec $container cat /etc/version >/dev/null &&
            mydocker stop -t 0 $container >/dev/null && echo container $container v0
    done
    for volume in $(mydocker volume ls -q); do
        mydocker run --rm --net none -v $volume:/data base touch /data/x && echo volume $volume v0
    done
    for network in $(mydocker network ls --format '{{.Name}}' | grep '^n[0-9]$'); do
        mydocker run --rm --net $network base true && echo network $network v0
    done
    if mydocker system check --help >/dev/null 2>&1; then
        mydocker system check --repair >/dev/null; mydocker system check
    fi
    # And life goes on.
    mydocker import /share/v1.tar after >/dev/null && mydocker run --rm --net none after cat /etc/version";

/// Everything that a sitting needs and leaves.
struct Bench {
    directory: PathBuf,
    machine: Machine,
}

impl Bench {
    fn path(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    fn write_script(&self, name: &str, text: &str) {
        fs::write(self.machine.share.join("scripts").join(name), text).unwrap();
    }

    fn set_barriers(&self, cache: Cache) {
        let options = if cache == Cache::Volatile { "barrier" } else { "nobarrier" };
        fs::write(self.machine.share.join("options"), options).unwrap();
    }

    fn boot(&self, disk: Vec<String>) -> Guest {
        let mut guest = self.machine.boot(&[disk]);
        guest.expect("@@ready\n").unwrap();
        guest
    }

    /// A disk with one image on it, taken down in peace.
    fn make_base(&self) {
        let image = self.path("base.img");
        blank(&image, DISK_MEGABYTES);
        run(Command::new("mke2fs").args(["-q", "-F", "-t", "ext4"]).arg(&image));
        self.set_barriers(Cache::Volatile);
        self.write_script("base", "mydocker import /share/v1.tar base && umount /var/lib/mydocker");
        let (said, status) = self.boot(disk(&image)).run("base", &[]).unwrap();
        assert_eq!(status, "0", "{said}");
    }

    /// Lets a guest work on a fresh disk until the plug is pulled. Gives what was written, when
    /// each command was heard to be done, and how long the log was when they began.
    fn sit(
        &self,
        steps: &[Step],
        cache: Cache,
        patience: Duration,
    ) -> (Log, Vec<Option<Mark>>, u64) {
        let (image, log) = (self.path("worked.img"), self.path("writes.log"));
        fs::copy(self.path("base.img"), &image).unwrap();
        fs::write(&log, "").unwrap();
        self.set_barriers(cache);
        let lines: String = steps
            .iter()
            .enumerate()
            .map(|(number, step)| {
                format!("mydocker {} >/tmp/said 2>&1; echo @@done {number} $?\n", step.command)
            })
            .collect();
        self.write_script("work", &lines);
        let mut guest = self.boot(logged_disk(&image, &log));
        let length = || fs::metadata(&log).unwrap().len();
        let ready = length();
        guest.send("work\n");
        let until = Instant::now() + patience;
        let mut marks: Vec<Option<Mark>> = steps.iter().map(|_| None).collect();
        while let Some(line) = guest.line(until) {
            let mut words = line.split(' ');
            if words.next() == Some("@@done") {
                let number: usize = words.next().unwrap().parse().unwrap();
                let status = words.next().unwrap().parse().unwrap();
                marks[number] = Some(Mark { status, log_length: length() });
            }
        }
        guest.kill();
        (Log::open(&log), marks, ready)
    }

    /// Boots from the disk as it is when the plug is pulled after `cut` writes, and holds what is
    /// there against what must be.
    fn look(
        &self,
        log: &Log,
        cut: usize,
        cache: Cache,
        chance: &mut Chance,
        steps: &[Step],
        marks: &[Option<Mark>],
    ) -> Result<(), String> {
        let image = self.path("after.img");
        fs::copy(self.path("base.img"), &image).unwrap();
        log.replay(&image, cut, cache, chance);
        self.write_script("look", LOOK);
        let mut guest = self.machine.boot(&[disk(&image)]);
        guest.expect("@@ready\n")?;
        let (said, status) = guest.run("look", &[])?;
        judge(&said, &status, &allowed(log, cut, steps, marks))
            .map_err(|reason| format!("{reason}\nit said:\n{said}"))
    }
}

/// For each thing what it may be, given what had been heard by then.
fn allowed(
    log: &Log,
    cut: usize,
    steps: &[Step],
    marks: &[Option<Mark>],
) -> Vec<(String, Vec<Option<u8>>)> {
    let mut things: Vec<(String, Vec<Option<u8>>)> = Vec::new();
    let mut unsettled = 0;
    for (step, mark) in steps.iter().zip(marks) {
        let at = things.iter().position(|(thing, _)| *thing == step.thing).unwrap_or_else(|| {
            things.push((step.thing.clone(), vec![None]));
            things.len() - 1
        });
        let states = &mut things[at].1;
        match mark {
            Some(Mark { status: 0, log_length }) if log.entries_within(*log_length) <= cut => {
                *states = vec![step.becomes];
            }
            Some(Mark { log_length, .. }) if log.entries_within(*log_length) <= cut => {
                states.push(step.becomes);
            }
            // The one under way, and the next: a mark is heard a little after the writes.
            _ if unsettled < 2 => {
                unsettled += 1;
                states.push(step.becomes);
            }
            _ => {}
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
            ["image", "base", "v1"] | ["running", "0"] | ["v1"] => {}
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
