//! Runs the probe (`probe`) in a container of Podman on the same host, and lists what a container
//! of mydocker allows beyond Podman's.
//!
//! Podman's defaults are close to Docker's, so a difference is a mistake here or needs a reason.

use std::collections::BTreeSet;
use std::process::Command;

use crate::support::Host;
use crate::{Listing, PROBE, bits, mounted_probe, one, parse};

/// The capabilities that Docker's default container has and Podman's lacks.
const DOCKERS: u64 = 1 << 27 | 1 << 13 | 1 << 29;

/// Returns the probe's list in a container of Podman with `flags`. With `by_exec`, `podman exec`
/// runs the probe in a running container. Returns `None` if Podman is not installed.
pub fn listing(host: &Host, flags: &[&str], by_exec: bool) -> Option<Listing> {
    Command::new("podman").arg("--version").output().ok()?;
    let rootfs = host.scratch().join("rootfs");
    if !rootfs.exists() {
        let layers = std::fs::read_dir(host.state_root().join("layers")).unwrap().flatten();
        let layer = layers.map(|entry| entry.path().join("fs")).find(|fs| fs.exists());
        let copied = Command::new("cp").arg("-a").arg(layer?).arg(&rootfs).status();
        assert!(copied.unwrap().success());
    }
    let run = |mode: &str, args: &[&str]| {
        let mut command = host.podman();
        command.args(["run", mode, "--network", "none", "--ulimit", "nofile=1024:1024"]);
        command.args(["--ulimit", "nproc=1000:1000", "-e", "PROBE=1", "-v", &mounted_probe()]);
        command.args(flags).arg("--rootfs").arg(&rootfs).args(args).output().unwrap()
    };
    let output = if by_exec {
        let id = run("-d", &["sleep", "1000"]).stdout;
        let id = String::from_utf8(id).unwrap();
        let output = host.podman().args(["exec", id.trim()]).args(PROBE).output().unwrap();
        host.podman().args(["rm", "-f", "-t", "0", id.trim()]).output().unwrap();
        output
    } else {
        run("--rm", &PROBE)
    };
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "podman: {errors}");
    Some(parse(&String::from_utf8_lossy(&output.stdout)))
}

/// What `ours` allows beyond both lists of Podman: `theirs`, which was taken before `ours`, and a
/// list that is taken now. One list is not enough, because the host's devices and their files in
/// /sys come and go.
pub fn looser_still(
    host: &Host,
    flags: &[&str],
    by_exec: bool,
    ours: &Listing,
    theirs: &Listing,
) -> Vec<String> {
    let mut found = looser(ours, theirs);
    if !found.is_empty() {
        let later = listing(host, flags, by_exec).map(|later| looser(ours, &later));
        found.retain(|way| later.as_ref().is_none_or(|later| later.contains(way)));
    }
    found
}

/// What `ours` allows beyond `theirs`, one line each.
fn looser(ours: &Listing, theirs: &Listing) -> Vec<String> {
    let mut looser = Vec::new();
    for set in ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"] {
        let more = bits(ours, set) & !bits(theirs, set);
        let known = if matches!(set, "CapInh" | "CapAmb") { 0 } else { DOCKERS };
        if more & !known != 0 {
            looser.push(format!("{set}: {more:x} more"));
        }
    }
    for fact in ["Seccomp"] {
        if one(ours, fact) < one(theirs, fact) {
            looser.push(format!("{fact}: {} < {}", one(ours, fact), one(theirs, fact)));
        }
    }
    // For each of these names, `ours` must have no fact that `theirs` lacks.
    for name in ["writable", "unmasked", "device", "usable", "fd", "abstract", "group"] {
        let none = BTreeSet::new();
        let theirs = theirs.get(name).unwrap_or(&none);
        for fact in ours.get(name).unwrap_or(&none).difference(theirs) {
            // Old versions of Podman leave out the process's own group (CVE-2022-2989).
            if name != "group" || *fact != one(ours, "gid") {
                looser.push(format!("{name}: {fact}"));
            }
        }
    }
    // If Podman's container has its own namespace of a kind, mydocker's must have one too.
    for name in ["cgroup", "ipc", "mnt", "net", "pid", "uts"] {
        let key = format!("ns/{name}");
        let hosts = std::fs::read_link(format!("/proc/self/{key}")).unwrap();
        let shared = |listing: &Listing| one(listing, &key) == hosts.to_str().unwrap();
        if shared(ours) && !shared(theirs) {
            looser.push(format!("{key}: the host's"));
        }
    }
    for (name, results) in ours.iter().filter(|(name, _)| name.starts_with("try/")) {
        if results.contains("ok") && theirs.get(name).is_some_and(|theirs| !theirs.contains("ok")) {
            looser.push(format!("{name}: allowed"));
        }
    }
    looser
}
