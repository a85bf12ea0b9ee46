//! Pulls, loads, tags, removals and runs at the same time, some of them killed at random moments.
//!
//! The images share layers, so that the removal of one image meets the pull of another.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use rustix::process::Signal;

use crate::cat;
use crate::server::{Packing, Registry, base, layer, noise};
use crate::support::chance::Chance;
use crate::support::{Host, eventually};

/// The paths of the store's layers, configs, manifests and partial downloads.
fn stored(host: &Host) -> Vec<String> {
    let state = host.state_root();
    let dirs = ["layers", "images/blobs/sha256", "images/manifests", "images/partial"];
    let entries = dirs.iter().filter_map(|dir| std::fs::read_dir(state.join(dir)).ok()).flatten();
    entries.map(|entry| entry.unwrap().path().display().to_string()).collect()
}

/// At the end every listed image runs, and after a repair the check finds nothing. Removing all
/// images removes all layers, configs, manifests and partial downloads.
#[test]
fn two_hundred_changes_with_kills_leave_a_complete_store() {
    const CHANGES: u64 = 200;
    const AT_ONCE: u64 = 8;
    let seed = Chance::seed();
    let host = Host::new();
    let registry = Registry::plain(&host);
    // The images share two layers. Each image also has a small and a large layer of its own. A kill
    // can interrupt the download of the large layer.
    let names = ["one", "two", "three"];
    for (name, number) in names.iter().zip(1..) {
        let shared = layer(Packing::Gzip, "shared", noise(9, 600_000));
        let own = layer(Packing::Gzip, "name", format!("{name}\n"));
        let bulk = layer(Packing::Plain, "bulk", noise(number, 900_000));
        registry.fill_with(&[base(), shared, own, bulk], &format!("{name}:0"));
    }
    let image = |name: &str, tag: u64| registry.name(&format!("{name}:{tag}"));
    let archive = |name: &str| host.scratch().join(name).to_str().unwrap().to_owned();
    let other = Host::new();
    for name in names {
        other.mydocker(["pull", "-q", &image(name, 0)]);
        other.mydocker(["save", "-o", &archive(name), &image(name, 0)]);
    }
    let next = AtomicU64::new(0);
    std::thread::scope(|scope| {
        for worker in 0..AT_ONCE {
            let (host, next, archive, image) = (&host, &next, &archive, &image);
            scope.spawn(move || {
                let mixed = seed ^ (worker + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
                let mut chance = Chance::of(mixed);
                while next.fetch_add(1, Ordering::Relaxed) < CHANGES {
                    let name = names[chance.below(3) as usize];
                    let (first, tag) = (image(name, 0), image(name, chance.below(3)));
                    let archive = archive(name);
                    let args: &[&str] = match chance.below(9) {
                        0..=2 => &["pull", "-q", &first],
                        3 => &["load", "-i", &archive],
                        4 => &["tag", &first, &tag],
                        5 | 6 => &["rmi", &tag],
                        7 => &["run", "--rm", "--net", "none", &first, "cat", "/name"],
                        _ => &["image", "prune", "-a", "-f"],
                    };
                    let call = host.background(args);
                    if chance.below(3) == 0 {
                        std::thread::sleep(Duration::from_micros(chance.below(60_000)));
                        call.signal(Signal::KILL);
                    }
                    call.wait().status();
                }
            });
        }
    });
    for image in host.mydocker(["images", "--format", "{{.ID}}"]).lines() {
        let name = cat(&host, &image, "/name").text();
        assert!(names.contains(&name.as_str()), "{name}");
    }
    // A killed process may need some time to end, and holds its files until then.
    eventually("a repair leaves nothing to find", || {
        host.mydocker(["system", "check", "--repair"]).status();
        host.mydocker(["system", "check"]).status() == 0
    });
    for name in names {
        host.mydocker(["pull", "-q", &image(name, 0)]);
        cat(&host, &image(name, 0), "/name").stdout(&format!("{name}\n"));
    }
    for container in host.mydocker(["ps", "-aq"]).lines() {
        host.mydocker(["rm", "-f", &container]);
    }
    for id in host.mydocker(["images", "-q", "--no-trunc"]).lines() {
        // An id is listed once for each of its names, and the first removal removes all names. So
        // further removals of the id may fail.
        host.mydocker(["rmi", "-f", &id]).status();
    }
    assert_eq!(stored(&host), [""; 0]);
}
