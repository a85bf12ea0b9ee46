//! Broken archives, and archives that try to write outside their image: nothing outside changes,
//! and nothing half made is left.
//!
//! An archive is untrusted input, and unpacking it runs as root. The fuzz targets in `tests/fuzz`
//! go through the same parsers with random input.

mod support;

use std::os::unix::fs::FileTypeExt;
use std::path::Path;

use support::Host;
use support::tar::Tar;

/// The names of all entries in the directories of layers and images, except locks and these
/// directories themselves.
fn left(host: &Host) -> Vec<String> {
    let mut names = Vec::new();
    for dir in ["layers", "images/refs", "images/blobs/sha256", "images"] {
        let Ok(entries) = std::fs::read_dir(host.state_root().join(dir)) else { continue };
        let entries = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        names.extend(
            entries.filter(|name| !matches!(&name[..], ".lock" | "refs" | "blobs" | "sha256")),
        );
    }
    names
}

#[test]
fn entries_that_lead_outside_are_refused_or_stay_inside() {
    let host = Host::new();
    let canary = host.file("canary", "alive");
    let dir = host.scratch();
    let out = dir.to_str().unwrap();
    let up = "../".repeat(20);
    let refused = [
        ("dotdot", Tar::default().file("../escape", "x")),
        ("deep dotdot", Tar::default().file("a/../../escape", "x")),
        ("whiteout of ..", Tar::default().file("a/.wh...", "")),
        ("whiteout of nothing", Tar::default().file("a/.wh.", "")),
        ("hard link out", Tar::default().entry(b'1', "h", &format!("{up}{out}/canary"), b"")),
        ("absolute hard link", Tar::default().entry(b'1', "h", &format!("{out}/canary"), b"")),
        ("the top as a link", Tar::default().link("./", out)),
        (
            "hard link through a link",
            Tar::default().link("l", out).entry(b'1', "h", "l/canary", b""),
        ),
    ];
    for (what, tar) in refused {
        host.feed(tar.end(), ["import", "-", "x"]).refused("unpack '");
        assert_eq!(left(&host), [""; 0], "{what}");
    }
    let inside = [
        ("absolute", Tar::default().file(&format!("{out}/canary"), "no")),
        ("absolute link, then through it", Tar::default().link("l", out).file("l/canary", "no")),
        (
            "relative link, then through it",
            Tar::default().link("l", &format!("{up}{out}")).file("l/canary", "no"),
        ),
        (
            "link as a file, then over it",
            Tar::default().link("l", canary.to_str().unwrap()).file("l", "no"),
        ),
        (
            "directory over a link",
            Tar::default().link("d", out).entry(b'5', "d/", "", b"").file("d/canary", "no"),
        ),
        ("whiteout through a link", Tar::default().link("l", out).file("l/.wh.canary", "")),
        ("opaque through a link", Tar::default().link("l", out).file("l/.wh..wh..opq", "")),
        (
            "device over a link",
            Tar::default().link("l", canary.to_str().unwrap()).entry(b'6', "l", "", b""),
        ),
    ];
    for (what, tar) in inside {
        // An archive may be refused because a directory is missing. In no case may it reach the
        // host.
        host.feed(tar.end(), ["import", "-", "x"]).status();
        assert_eq!(std::fs::read_to_string(&canary).unwrap(), "alive", "{what}");
        assert!(!Path::new(out).metadata().unwrap().file_type().is_fifo(), "{what}");
        let names: Vec<_> =
            std::fs::read_dir(out).unwrap().map(|e| e.unwrap().file_name()).collect();
        assert_eq!(names, ["canary"], "{what}");
        host.mydocker(["image", "prune", "-a", "-f"]);
    }
}

#[test]
fn a_broken_archive_leaves_nothing() {
    let host = Host::new();
    let tar = Tar::default().file("a", &"x".repeat(5000)).file("b", "y").end();
    // The second block of the end mark may be missing, as in archives of other tools, so no length
    // cuts off only this block.
    for length in [0, 1, 511, 512, 700, 5632, tar.len() - 1024] {
        host.feed(&tar[..length], ["import", "-", "x"]).exits(1);
        assert_eq!(left(&host), [""; 0], "{length}");
    }
    for at in [0, 100, 130, 148, 156, 5632 + 10] {
        let mut bytes = tar.clone();
        bytes[at] ^= 0x55;
        host.feed(bytes, ["import", "-", "x"]).refused("checksum");
        assert_eq!(left(&host), [""; 0], "{at}");
    }
}

#[test]
fn a_killed_import_leaves_only_a_leftover_that_the_check_removes() {
    let host = Host::with_busybox();
    let mut tar = Tar::default();
    for at in 0..2000 {
        tar = tar.file(&format!("d/{at}"), &"x".repeat(3000));
    }
    let tar = tar.end();
    let path = host.file("big.tar", &tar);
    for delay_ms in [1, 3, 10, 30, 60] {
        let import = host.background(["import", path.to_str().unwrap(), "big"]);
        std::thread::sleep(std::time::Duration::from_millis(delay_ms));
        import.signal(rustix::process::Signal::KILL);
        import.wait().status();
    }
    host.mydocker(["run", "--rm", "bb", "true"]);
    host.mydocker(["import", path.to_str().unwrap(), "big"]);
    host.mydocker(["system", "check", "--repair"]).status();
    host.mydocker(["system", "check"]);
    let layers = std::fs::read_dir(host.state_root().join("layers")).unwrap();
    let names: Vec<_> =
        layers.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    assert!(names.iter().all(|name| !name.starts_with(".unpack")), "{names:?}");
}
