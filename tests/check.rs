//! `system check` finds what kills, power cuts and others left, each in one line, and mends it.

mod support;

use std::fs;
use std::path::Path;

use rustix::process::{Pid, Signal, kill_process};
use support::machine::Side;
use support::{Host, eventually};

/// What the check says, which is these lines and no other, in any order; that it says it twice; and
/// what `--repair` says.
#[track_caller]
fn finds(host: &Host, expected: &[&str]) -> Vec<String> {
    let mut found = host.mydocker(["system", "check"]).exits(1).lines();
    assert_eq!(
        host.mydocker(["system", "check"]).exits(1).lines(),
        found,
        "a look changes nothing"
    );
    for part in expected {
        let at = found.iter().position(|line| line.contains(part));
        found.remove(at.unwrap_or_else(|| panic!("no line has '{part}': {found:#?}")));
    }
    assert_eq!(found, [""; 0], "more than was expected");
    let repair = host.command(["system", "check", "--repair"]).output().unwrap();
    String::from_utf8(repair.stdout).unwrap().lines().map(str::to_owned).collect()
}

/// Finds `expected`, mends all of it, and finds no more.
#[track_caller]
fn mends(host: &Host, expected: &[&str]) {
    let mended = finds(host, expected);
    assert!(mended.iter().all(|line| line.ends_with(": repaired")), "{mended:#?}");
    host.mydocker(["system", "check"]).stdout("");
}

fn write(path: &Path, content: &str) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, content).unwrap();
}

#[test]
fn leftovers_of_images() {
    let host = Host::with_busybox();
    let state = host.state_root();
    let hex = "0123456789abcdef".repeat(4);
    write(&state.join("layers/.unpack-0/fs/file"), "half");
    write(&state.join("layers/.trash-0/fs/file"), "going");
    write(&state.join(format!("layers/.ready-boot-{hex}/fs/file")), "waiting");
    write(&state.join("layers").join(&hex).join("fs/file"), "nobody's");
    write(&state.join("images/partial").join(&hex), "half");
    write(&state.join("images/manifests").join(&hex), "{}");
    mends(
        &host,
        &[
            "is a layer that was unpacked only in part",
            "is a layer whose removal was cut short",
            "is a layer of an image that wasn't pulled whole",
            "is a layer of no image",
            "is a download that was broken off",
            "is a manifest of no image",
        ],
    );
    let left = fs::read_dir(state.join("layers")).unwrap().count();
    assert_eq!(left, 1);
    host.mydocker(["run", "--rm", "bb", "true"]);
}

#[test]
fn names_without_an_image() {
    let host = Host::with_busybox();
    let refs = host.state_root().join("images/refs");
    write(&refs.join("docker.io+library+lost/1"), &format!("sha256:{}", "0".repeat(64)));
    write(&refs.join("docker.io+library+torn/2"), "");
    mends(&host, &["image name lost:1 refers to no image", "torn/2 holds no image id"]);
    host.mydocker(["run", "--rm", "bb", "true"]);
}

#[test]
fn damaged_images_are_told_and_can_be_removed() {
    let host = Host::with_busybox();
    let archive = host.scratch().join("bb.tar");
    host.mydocker(["save", "-o", archive.to_str().unwrap(), "bb"]);
    let id = host.mydocker(["images", "-q", "--no-trunc"]).text().replace("sha256:", "");
    let short = &id[..12];
    let layers = host.state_root().join("layers");
    let layer = fs::read_dir(&layers).unwrap().next().unwrap().unwrap().path();
    let aside = layers.join("aside");
    fs::rename(&layer, &aside).unwrap();
    let told = finds(&host, &[&format!("image {short} lacks its layer sha256:")]);
    assert!(told[0].ends_with("load or pull the image again, or remove it"), "{told:?}");
    fs::remove_dir_all(&aside).unwrap();
    host.mydocker(["load", "-i", archive.to_str().unwrap()]);
    host.mydocker(["system", "check"]).stdout("");
    host.mydocker(["run", "--rm", "bb", "true"]);
    // Its layer might be any: none is taken for nobody's.
    let config = host.state_root().join("images/blobs/sha256").join(&id);
    for content in ["{\"rootfs\":{}}", ""] {
        fs::write(&config, content).unwrap();
        let told = finds(&host, &[&format!("image {short} can't be read: ")]);
        assert!(
            told[0].contains(&format!("not repaired: remove it with `rmi {short}`")),
            "{told:?}"
        );
        assert!(layer.is_dir());
    }
    host.mydocker(["rmi", short]);
    mends(&host, &["is a layer of no image"]);
    host.mydocker(["load", "-i", archive.to_str().unwrap()]);
    host.mydocker(["run", "--rm", "bb", "true"]);
}

#[test]
fn volumes_keep_what_they_hold() {
    let host = Host::with_busybox();
    host.mydocker(["volume", "create", "v"]);
    let volumes = host.state_root().join("volumes");
    write(&volumes.join("v/_data.filling/half"), "copied");
    write(&volumes.join("foreign/_data/file"), "kept");
    fs::remove_dir(volumes.join("v/_data")).unwrap();
    mends(
        &host,
        &[
            "volume v has lost its directory _data",
            "volume v holds a copy from its image that was cut short",
            "volume foreign has no config.json that can be read",
        ],
    );
    let cat = ["run", "--rm", "-v", "foreign:/f", "-v", "v:/v", "bb", "cat", "/f/file"];
    host.mydocker(cat).stdout("kept");
    host.mydocker(["volume", "ls", "-q"]).stdout("foreign\nv\n");
    // A whole copy of which a part is in the volume: the rest follows.
    write(&volumes.join("v/_data/first"), "moved");
    write(&volumes.join("v/_data.filled/second/file"), "to move");
    mends(&host, &["volume v holds a copy from its image that was cut short"]);
    let cat = ["run", "--rm", "-v", "v:/v", "bb", "cat", "/v/first", "/v/second/file"];
    host.mydocker(cat).stdout("movedto move");
    host.mydocker(["system", "check"]).stdout("");
}

#[test]
fn containers_that_begin_at_once_fill_a_volume_once() {
    let host = Host::with_busybox();
    // So many that the copy takes longer than the starts lie apart.
    let script = "mkdir /big; cd /big; seq 4000 | xargs touch";
    host.mydocker(["run", "--name", "c", "bb", "sh", "-c", script]);
    host.mydocker(["commit", "c", "big"]);
    let count =
        ["run", "--rm", "--net", "none", "-v", "v:/big", "big", "sh", "-c", "ls /big | wc -l"];
    let runs: Vec<_> = (0..4).map(|_| host.background(count)).collect();
    for run in runs {
        run.wait().stdout("4000\n");
    }
    host.mydocker(["system", "check"]).stdout("");
}

#[test]
fn what_networks_hold_for_containers_that_are_gone() {
    let host = Host::on_machine();
    host.mydocker(["network", "create", "--subnet", "10.77.0.0/24", "n"]);
    let networks = host.state_root().join("networks");
    let nobody = "f".repeat(64);
    write(&networks.join("n/leases/10.77.0.9"), &format!("{nobody}\nx\n"));
    write(&networks.join("n/leases/10.77.0.10"), "");
    write(&networks.join(".removing-1/config.json"), "{");
    mends(
        &host,
        &[
            "address 10.77.0.9 of network n is leased to container ffffffffffff, which is not running",
            "address 10.77.0.10 of network n is leased to container (unknown)",
            ".removing-1 was cut short",
        ],
    );
    let run = ["run", "-d", "--net", "n", "-p", "8000:80", "bb", "sleep", "1000"];
    let id = host.mydocker(run).text();
    let short = &id[..12];
    let rules = || host.machine().run(Side::Here, &["iptables-save"]);
    assert!(rules().contains(short));
    host.machine().run(Side::Here, &["iptables", "-t", "nat", "-F"]);
    mends(&host, &["the firewall's rules of this engine were changed by others"]);
    assert!(rules().contains("--dport 8000 "));
    // As a power cut that took the run directory alone would leave it.
    for pid in [host.monitor(&id), host.pid(&id)] {
        let _ = kill_process(Pid::from_raw(pid).unwrap(), Signal::KILL);
    }
    eventually("the lock is free", || {
        fs::remove_dir_all(host.run_root().join(&id)).is_ok()
            && host.mydocker(["ps", "-q"]).text().is_empty()
    });
    let expected = [
        "is not running but has a cgroup",
        "of network n is leased to container",
        &format!("the firewall lets traffic through to container {short}, which is gone"),
    ];
    mends(&host, &expected);
    assert!(!rules().contains("--dport 8000 "));
    // One network that can't be read doesn't hide the rest.
    write(&networks.join("torn/config.json"), "");
    write(&networks.join("n/leases/10.77.0.9"), &format!("{nobody}\nx\n"));
    let told = finds(&host, &["network torn can't be read", "address 10.77.0.9"]);
    assert!(told.iter().any(|line| line.contains("not repaired: remove ")), "{told:?}");
    fs::remove_dir_all(networks.join("torn")).unwrap();
}

/// What a cleaner of temporary files does to the run directory orphans no program and loses no data.
#[test]
fn a_run_directory_that_is_wiped() {
    let host = Host::with_busybox();
    for (name, flags) in
        [("kept", &[][..]), ("brief", &["--rm"]), ("gone", &["--restart", "always"])]
    {
        let run = ["run", "-d", "--net", "none", "--name", name];
        host.mydocker([&run[..], flags, &["bb", "sleep", "100000"]].concat());
    }
    let pids = ["kept", "brief", "gone"].map(|name| host.pid(name));
    let wipe = || {
        for entry in std::fs::read_dir(host.run_root()).unwrap().flatten() {
            let path = entry.path();
            let _ = std::fs::remove_dir_all(&path).or_else(|_| std::fs::remove_file(&path));
        }
    };
    wipe();
    let listed = host.mydocker(["ps", "--format", "{{.Names}}"]).lines();
    assert_eq!(listed.len(), 3, "{listed:?}");
    host.mydocker(["exec", "brief", "echo", "in"]).stdout("in\n");
    host.mydocker(["rm", "kept"]).exits(1).stderr_has("running");
    host.mydocker(["stop", "-t", "0", "kept"]);
    assert!(!host.is_running("kept"));
    host.mydocker(["start", "kept"]);
    host.mydocker(["rm", "-f", "kept", "brief", "gone"]);
    host.mydocker(["ps", "-aq"]).stdout("");
    for pid in pids {
        eventually("it has ended", || !std::path::Path::new(&format!("/proc/{pid}")).exists());
    }
}
