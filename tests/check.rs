//! `system check` prints one line for each thing that kills, power cuts and other programs have
//! left or damaged. `--repair` repairs most of these things.
//!
//! Nearly every test makes the damage by hand: it deletes, truncates or adds files in the state
//! directories, or kills a monitor. `tests/crash.rs` kills at random moments.

mod support;

use std::fs;
use std::path::Path;

use rustix::process::{Pid, Signal, kill_process};
use support::machine::Side;
use support::{Host, eventually};

/// Checks that `system check` prints one line for each text of `expected`, and no other line. Each
/// line contains its text; the order is free. A second call must print the same lines. Returns the
/// output of `--repair`.
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

/// Checks that `system check` finds `expected` and repairs all of it.
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
fn damaged_images_are_reported_and_can_be_removed() {
    let host = Host::with_busybox();
    let archive = host.scratch().join("bb.tar");
    host.mydocker(["save", "-o", archive.to_str().unwrap(), "bb"]);
    let id = host.mydocker(["images", "-q", "--no-trunc"]).text().replace("sha256:", "");
    let short = &id[..12];
    let layers = host.state_root().join("layers");
    let layer = fs::read_dir(&layers).unwrap().next().unwrap().unwrap().path();
    let aside = layers.join("aside");
    fs::rename(&layer, &aside).unwrap();
    let printed = finds(&host, &[&format!("image {short} lacks its layer sha256:")]);
    assert!(printed[0].ends_with("load or pull the image again, or remove it"), "{printed:?}");
    fs::remove_dir_all(&aside).unwrap();
    host.mydocker(["load", "-i", archive.to_str().unwrap()]);
    host.mydocker(["system", "check"]).stdout("");
    host.mydocker(["run", "--rm", "bb", "true"]);
    // A damaged config names no layers, so every layer might belong to the image: none may be
    // removed.
    let config = host.state_root().join("images/blobs/sha256").join(&id);
    for content in ["{\"rootfs\":{}}", ""] {
        fs::write(&config, content).unwrap();
        let printed = finds(&host, &[&format!("image {short} can't be read: ")]);
        assert!(
            printed[0].contains(&format!("not repaired: remove it with `rmi {short}`")),
            "{printed:?}"
        );
        assert!(layer.is_dir());
    }
    host.mydocker(["rmi", short]);
    mends(&host, &["is a layer of no image"]);
    host.mydocker(["load", "-i", archive.to_str().unwrap()]);
    host.mydocker(["run", "--rm", "bb", "true"]);
}

#[test]
fn volumes_keep_their_files() {
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
    // The copy is complete, but was interrupted while its files were moved into the volume: the
    // repair moves the rest.
    write(&volumes.join("v/_data/first"), "moved");
    write(&volumes.join("v/_data.filled/second/file"), "to move");
    mends(&host, &["volume v holds a copy from its image that was cut short"]);
    let cat = ["run", "--rm", "-v", "v:/v", "bb", "cat", "/v/first", "/v/second/file"];
    host.mydocker(cat).stdout("movedto move");
    host.mydocker(["system", "check"]).stdout("");
}

#[test]
fn containers_that_start_at_the_same_time_fill_a_volume_once() {
    let host = Host::with_busybox();
    // The copy of so many files takes longer than the delay between the starts.
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
fn networks_of_containers_that_are_gone() {
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
    // Imitate a power cut: kill the processes and remove the container's run directory.
    let (name, pids) = (host.inspect(&id, "{{.Name}}"), [host.monitor(&id), host.pid(&id)]);
    for pid in pids {
        let _ = kill_process(Pid::from_raw(pid).unwrap(), Signal::KILL);
    }
    eventually("the link is gone with the network namespace", || {
        !host.machine().run(Side::Here, &["ip", "link"]).contains("mdv")
    });
    fs::remove_dir_all(host.run_root().join(&id)).unwrap();
    let expected = [
        &format!("the monitor of container {} was killed", &name[1..]),
        "of network n is leased to container",
        &format!("the firewall lets traffic through to container {short}, which is gone"),
    ];
    mends(&host, &expected);
    assert!(!rules().contains("--dport 8000 "));
    let mut hierarchies = fs::read_dir("/sys/fs/cgroup").unwrap().flatten();
    let parent = hierarchies
        .find_map(|entry| Some(entry.path().join("mydocker")).filter(|parent| parent.exists()));
    fs::create_dir(parent.unwrap_or("/sys/fs/cgroup/mydocker".into()).join(&id)).unwrap();
    mends(&host, &["is not running but has a cgroup"]);
    // One damaged network record does not hide the others.
    write(&networks.join("torn/config.json"), "");
    write(&networks.join("n/leases/10.77.0.9"), &format!("{nobody}\nx\n"));
    let printed = finds(&host, &["network torn can't be read", "address 10.77.0.9"]);
    assert!(printed.iter().any(|line| line.contains("not repaired: remove ")), "{printed:?}");
    fs::remove_dir_all(networks.join("torn")).unwrap();
}

/// Removes all files of the run root, like a cleaner of temporary files.
fn wipe(host: &Host) {
    for entry in fs::read_dir(host.run_root()).unwrap().flatten() {
        let path = entry.path();
        let _ = fs::remove_dir_all(&path).or_else(|_| fs::remove_file(&path));
    }
}

/// Runs commands on a running container whose files in the run directory are gone. Some of these
/// commands once damaged such a container.
#[test]
fn no_command_harms_a_container_whose_run_directory_is_wiped() {
    let host = Host::on_machine();
    host.mydocker(["network", "create", "--subnet", "10.77.0.0/24", "n"]);
    let script = "trap 'exit 7' TERM; echo started; while :; do sleep 0.1; done";
    let run = ["run", "-d", "--net", "n", "-p", "8000:80", "--name", "c", "bb", "sh", "-c", script];
    let id = host.mydocker(run).text();
    eventually("the program handles the signal", || {
        host.mydocker(["logs", "c"]).text() == "started"
    });
    let pid = host.pid("c");
    let rules = || host.machine().run(Side::Here, &["iptables-save"]);
    let has_all = |after: &[&str]| {
        assert!(rules().contains("--dport 8000 "), "no rule after {after:?}");
        let networks = host.mydocker(["network", "ls", "-q", "-f", "name=n"]).text();
        assert!(!networks.is_empty(), "no network after {after:?}");
        let lease = host.state_root().join("networks/n/leases/10.77.0.2");
        assert!(lease.exists(), "no lease after {after:?}");
        let shown = "{{.Names}} {{.State}} {{.Ports}}";
        let shown = host.mydocker(["ps", "--format", shown]).text();
        assert_eq!(shown, "c running 0.0.0.0:8000->80/tcp", "after {after:?}");
        assert_eq!(host.mydocker(["port", "c"]).text(), "80/tcp -> 0.0.0.0:8000");
        assert_eq!(host.inspect("c", "{{.NetworkSettings.IPAddress}}"), "10.77.0.2");
        assert_eq!(host.pid("c"), pid, "another program after {after:?}");
    };
    let commands: [(&[&str], i32); 12] = [
        (&["network", "prune", "-f"], 0),
        (&["network", "rm", "n"], 1),
        (&["system", "prune", "-f"], 0),
        (&["system", "check"], 0),
        (&["system", "check", "--repair"], 0),
        (&["start", "c"], 0),
        (&["boot"], 0),
        // This command makes all rules again: the wipe removed the stamp of the packet filter.
        (&["run", "--rm", "--net", "n", "-p", "8001:80", "bb", "true"], 0),
        (&["run", "--rm", "--net", "container:c", "bb", "true"], 0),
        (&["network", "reload"], 0),
        (&["rm", "c"], 1),
        (&["attach", "c"], 1),
    ];
    for (command, code) in commands {
        wipe(&host);
        host.mydocker(command.iter()).exits(code);
        has_all(command);
    }
    wipe(&host);
    host.mydocker(["attach", "c"]).exits(1).stderr_has("run directory were removed");
    host.mydocker(["rename", "c", "other"]);
    host.mydocker(["rename", "other", "c"]);
    has_all(&["rename"]);
    // The same holds while the container is paused.
    host.mydocker(["pause", "c"]);
    wipe(&host);
    assert_eq!(host.mydocker(["ps", "--format", "{{.State}}"]).text(), "paused");
    host.mydocker(["start", "c"]).exits(1).stderr_has("paused");
    host.mydocker(["unpause", "c"]);
    has_all(&["unpause"]);
    // A restart keeps the published port.
    wipe(&host);
    host.mydocker(["restart", "c"]);
    eventually("the program handles the signal", || {
        host.mydocker(["logs", "c"]).text() == "started\nstarted"
    });
    assert!(rules().contains("--dport 8000 "));
    wipe(&host);
    let wait = host.background(["wait", "c"]);
    host.mydocker(["halt"]);
    wait.wait().stdout("7\n");
    assert_eq!(host.inspect("c", "{{.State.ExitCode}} {{.State.Error}}"), "7");
    assert!(!rules().contains(&id[..12]));
    assert!(!host.state_root().join("networks/n/leases/10.77.0.2").exists());
    host.mydocker(["system", "check"]).stdout("");
}

/// The monitor is killed, and no file lists what the container has on the host. `rm -f` and `stop`
/// still end the program, and remove the rules and the cgroups.
#[test]
fn a_wiped_container_without_a_monitor_leaves_nothing() {
    let host = Host::on_machine();
    let rules = || host.machine().run(Side::Here, &["iptables-save"]);
    for (name, is_paused, ends) in
        [("a", false, &["rm", "-f"][..]), ("b", true, &["rm", "-f"]), ("c", true, &["stop"])]
    {
        let run = ["run", "-d", "-p", "8000:80", "--name", name, "bb", "sleep", "100000"];
        let id = host.mydocker(run).text();
        let (pid, monitor) = (host.pid(name), host.monitor(name));
        if is_paused {
            host.mydocker(["pause", name]);
        }
        wipe(&host);
        host.kill(monitor);
        let found = host.mydocker(["system", "check"]).exits(1).text();
        assert!(found.contains(&format!("the monitor of container {name} was killed")), "{found}");
        // The kernel ends a program with its monitor, but in cgroup v1 not while the program is
        // frozen.
        assert!(!is_paused || fs::exists(format!("/proc/{pid}")).unwrap(), "a look ends nothing");
        host.mydocker([ends, &[name]].concat());
        eventually("it has ended", || !fs::exists(format!("/proc/{pid}")).unwrap());
        assert!(!rules().contains(&id[..12]));
        assert!(support::cgroups(&format!("mydocker/{id}")).is_empty());
        host.mydocker(["system", "check"]).stdout("");
        if ends == ["stop"] {
            assert_eq!(host.inspect(name, "{{.State.ExitCode}}"), "137");
            host.mydocker(["start", name]);
            host.mydocker(["rm", "-f", name]);
        }
    }
}

#[test]
fn a_wiped_state_file_is_written_again() {
    let host = Host::with_busybox();
    let ends: [&[&str]; 3] = [&["stop", "-t", "0"], &["kill"], &["rm", "-f"]];
    for (at, end) in ends.into_iter().enumerate() {
        let name = format!("box{at}");
        let run = ["run", "-d", "--net", "none", "--name", &name, "bb", "sleep", "100000"];
        let id = host.mydocker(run).text();
        let pid = host.pid(&name);
        let state = host.run_root().join(&id).join("state.json");
        // The monitor sets its title after the start has been answered.
        let title = format!("/proc/{}/cmdline", host.monitor(&name));
        eventually("it has its title", || {
            fs::read(&title).unwrap().starts_with(b"mydocker: monitor of ")
        });
        fs::remove_file(&state).unwrap();
        assert_eq!(host.pid(&name), pid);
        assert!(host.is_running(&name));
        host.mydocker(["exec", &name, "echo", "in"]).stdout("in\n");
        host.mydocker(["start", &name]);
        assert_eq!(host.pid(&name), pid);
        host.mydocker(["pause", &name]);
        assert_eq!(host.inspect(&name, "{{.State.Status}}"), "paused");
        host.mydocker(["unpause", &name]);
        host.mydocker([end, &[&name[..]]].concat());
        assert!(!std::path::Path::new(&format!("/proc/{pid}")).exists());
    }
    host.mydocker(["start", "box0"]);
    host.mydocker(["rm", "-f", "box0", "box1"]);
    host.mydocker(["system", "check"]);
}

/// A cleaner of temporary files wipes the run directory: the commands still find the containers and
/// end their programs.
#[test]
fn a_wiped_run_directory_harms_nothing() {
    let host = Host::with_busybox();
    for (name, flags) in
        [("kept", &[][..]), ("brief", &["--rm"]), ("gone", &["--restart", "always"])]
    {
        let run = ["run", "-d", "--net", "none", "--name", name];
        host.mydocker([&run[..], flags, &["bb", "sleep", "100000"]].concat());
    }
    let pids = ["kept", "brief", "gone"].map(|name| host.pid(name));
    wipe(&host);
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

/// The monitor waits before it starts the program again, and the container has no cgroup during
/// this time.
#[test]
fn a_run_directory_that_is_wiped_during_a_restart_pause() {
    let host = Host::with_busybox();
    let rests = |name: &str| host.inspect(name, "{{.State.Status}}") == "restarting";
    let run = ["run", "-d", "--net", "none", "--restart", "always", "--name"];
    for name in ["c", "again"] {
        host.mydocker([&run[..], &[name, "bb", "sh", "-c", "exit 3"]].concat());
        // Wait for a pause of some seconds, so that the wipe is within it.
        eventually("it waits a while", || {
            rests(name) && host.inspect(name, "{{.RestartCount}}").parse::<u32>().unwrap() >= 5
        });
    }
    let ids = ["c", "again"].map(|name| host.inspect(name, "{{.Id}}"));
    assert_eq!(ids.each_ref().map(|id| monitors(id)), [1, 1]);
    wipe(&host);
    // This start waits until the old monitor has ended.
    host.mydocker(["start", "again"]);
    let printed = host.inspect("c", "{{.State.Status}} {{.State.ExitCode}} {{.State.Error}}");
    assert!(printed.starts_with("exited 3 its restart policy did not start it again"), "{printed}");
    eventually("it waits for its next start", || rests("again"));
    assert_eq!(ids.each_ref().map(|id| monitors(id)), [0, 1]);
    host.mydocker(["rm", "-f", "c", "again"]);
}

/// The number of processes with the title of a monitor of the container `id`. A process that starts
/// the program also has this title until execve, but is not counted: it is in another PID
/// namespace.
fn monitors(id: &str) -> usize {
    let title = format!("({})", &id[..12]);
    let is_on_host = |process: &fs::DirEntry| {
        let status = fs::read_to_string(process.path().join("status")).unwrap_or_default();
        let pids = status.lines().find_map(|line| line.strip_prefix("NSpid:"));
        pids.is_some_and(|pids| pids.split_whitespace().count() == 1)
    };
    let processes = fs::read_dir("/proc").unwrap().flatten().filter(is_on_host);
    let titles = processes.filter_map(|entry| fs::read(entry.path().join("cmdline")).ok());
    let titles = titles.map(|title| String::from_utf8_lossy(&title).into_owned());
    titles.filter(|found| found.starts_with("mydocker: monitor") && found.contains(&title)).count()
}
