//! Containers that do their worst leave the host, other containers and mydocker's own commands
//! working. Each attack is bounded by a limit of its container.

mod support;

use support::{Host, eventually};

/// A bystander runs, and every command works on it and on the hostile one.
fn others_go_on(host: &Host) {
    host.mydocker(["exec", "bystander", "echo", "well"]).stdout("well\n");
    host.mydocker(["ps"]).stdout_has("bystander").stdout_has("hostile");
    host.mydocker(["run", "--rm", "bb", "echo", "new"]).stdout("new\n");
    host.mydocker(["stop", "-t", "1", "hostile"]);
    assert!(!host.is_running("hostile"));
    host.mydocker(["rm", "hostile"]);
    assert!(host.is_running("bystander"));
    host.mydocker(["system", "check"]).stdout("");
}

fn attack(flags: &[&str], script: &str) -> Host {
    let host = Host::with_busybox();
    host.mydocker(["run", "-d", "--name", "bystander", "bb", "sleep", "1000"]);
    let line = ["run", "-di", "--name", "hostile"];
    host.mydocker([&line[..], flags, &["bb", "sh", "-c", script]].concat());
    host
}

#[test]
fn a_fork_bomb() {
    let script = "b() { b | b & }; b 2>/dev/null; while :; do read x; done";
    let host = attack(&["--pids-limit", "100"], script);
    std::thread::sleep(std::time::Duration::from_millis(500));
    // Entering may fail for want of a process, but it ends, with one line.
    let _ = host.mydocker(["exec", "hostile", "true"]).status();
    others_go_on(&host);
}

#[test]
fn memory_filled_to_the_brim() {
    let host = attack(&["-m", "32m"], "while :; do tail /dev/zero; done");
    std::thread::sleep(std::time::Duration::from_millis(500));
    others_go_on(&host);
}

#[test]
fn a_log_filled_without_end() {
    let host = attack(&["--log-opt", "max-size=1m"], "yes 'and on and on and on'");
    std::thread::sleep(std::time::Duration::from_secs(1));
    let logs = host.mydocker(["logs", "--tail", "2", "hostile"]).lines();
    // The last may be half written yet.
    assert_eq!((logs.len(), logs[0].as_str()), (2, "and on and on and on"));
    others_go_on(&host);
}

#[test]
fn every_descriptor_open() {
    let script = "cd /tmp; seq 1 1015 | xargs touch; exec tail -f $(seq 1 1015)";
    let host = attack(&["--ulimit", "nofile=1024"], script);
    std::thread::sleep(std::time::Duration::from_millis(500));
    host.mydocker(["exec", "hostile", "echo", "in"]).stdout("in\n");
    others_go_on(&host);
}

#[test]
fn thousands_of_children_at_the_end() {
    let script = "i=0; while [ $i -lt 2000 ]; do sleep 1000 & i=$((i+1)); done; echo all; read x";
    let host = Host::with_busybox();
    host.mydocker(["run", "-d", "--name", "bystander", "bb", "sleep", "1000"]);
    let line =
        ["run", "-di", "--name", "hostile", "--pids-limit", "2100", "bb", "sh", "-c", script];
    host.mydocker(line);
    eventually("all are there", || host.mydocker(["logs", "hostile"]).text() == "all");
    others_go_on(&host);
}

#[test]
fn thousands_of_mounts_of_its_own() {
    // Bounded by what the kernel allows a namespace (fs.mount-max, 100,000).
    let script = "mkdir /m; mount -t tmpfs none /m; i=0; while [ $i -lt 12 ]; do \
        mkdir /m/$i; mount --rbind /m /m/$i || break; i=$((i+1)); done; echo mounted; sleep 1000";
    let host = attack(&["--privileged"], script);
    eventually("it has its mounts", || {
        host.mydocker(["logs", "hostile"]).text().contains("mounted")
    });
    host.mydocker(["exec", "hostile", "sh", "-c", "wc -l </proc/self/mounts"]);
    others_go_on(&host);
}

/// Deeper than a process may hold descriptors.
#[test]
fn directories_without_a_bottom() {
    let script = "p=$(printf 'd/%.0s' $(seq 1000)); mkdir old; for i in 1 2 3; do \
        mkdir -p $p && mv old ${p}old && mv d old || break; done; echo $i; sleep 1000";
    let host = attack(&[], script);
    eventually("it is dug", || host.mydocker(["logs", "hostile"]).text() == "3");
    host.mydocker(["diff", "hostile"]).refused("deeper than");
    host.mydocker(["commit", "hostile", "deep"]).refused("deeper than");
    host.mydocker(["export", "hostile"]).exits(125).complains("deeper than");
    host.mydocker(["cp", "hostile:/old", host.scratch().to_str().unwrap()]).refused("deeper than");
    host.mydocker(["stop", "-t", "0", "hostile"]);
    let removal = host.command(["rm", "hostile"]);
    let mut command = std::process::Command::new("prlimit");
    command.arg("--nofile=1024").arg(removal.get_program()).args(removal.get_args());
    assert!(command.status().unwrap().success());
    let left = std::fs::read_dir(host.state_root().join("containers")).unwrap().flatten();
    let left: Vec<_> = left.map(|entry| entry.file_name()).collect();
    assert_eq!(left.len(), 2, "the bystander and the names: {left:?}");
}

#[test]
fn a_flood_from_an_attached_terminal() {
    let host = attack(&["-t"], "while :; do cat /bin/busybox; done");
    let mut attached: Vec<_> =
        (0..5).map(|_| host.background(["attach", "--no-stdin", "hostile"])).collect();
    std::thread::sleep(std::time::Duration::from_millis(500));
    attached.truncate(2);
    others_go_on(&host);
}
