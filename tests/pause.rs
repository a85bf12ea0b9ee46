//! pause and unpause, the state of a paused container, and the output of top and stats.
//!
//! The freezer of cgroup v1 or v2 stops the processes. Commands that need none of the container's
//! processes must still work.

mod support;

use std::io::{BufRead, BufReader};
use std::process::Stdio;

use support::{Host, eventually};

/// A host with a container `c` that counts in its file `/n`.
fn counting(flags: &[&str]) -> Host {
    let host = Host::with_busybox();
    let script = "i=0; while :; do i=$((i+1)); echo $i >/n.new; mv /n.new /n; done";
    let run = [&["run", "-d", "--name", "c"][..], flags, &["bb", "sh", "-c", script]].concat();
    host.mydocker(run);
    eventually("it counts", || count(&host) > 0);
    host
}

/// The present count, read without a process of the container.
fn count(host: &Host) -> u64 {
    let upper = host.inspect("c", "{{.GraphDriver.Data.UpperDir}}");
    let text = std::fs::read_to_string(format!("{upper}/n")).unwrap_or_default();
    text.trim().parse().unwrap_or(0)
}

#[test]
fn a_paused_container_stops_and_continues() {
    let host = counting(&[]);
    host.mydocker(["pause", "c"]).stdout("c\n");
    let held = count(&host);
    host.mydocker(["ps", "--format", "{{.State}} {{.Status}}"]).stdout_has("(Paused)");
    host.mydocker(["ps", "-q", "--filter", "status=paused"]).stdout_has("\n");
    host.mydocker(["ps", "-q", "--filter", "status=running"]).stdout("");
    assert_eq!(
        host.inspect("c", "{{.State.Status}} {{.State.Paused}} {{.State.Running}}"),
        "paused true true"
    );
    host.mydocker(["pause", "c"]).exits(1).stderr_has("paused already");
    host.mydocker(["exec", "c", "true"]).refused("is paused; `unpause` it first");
    // Commands that need none of the container's processes work.
    host.mydocker(["cp", "c:/n", host.scratch().join("n").to_str().unwrap()]);
    host.mydocker(["commit", "c", "snap"]);
    host.mydocker(["top", "c"]).stdout_has("while :");
    std::thread::sleep(std::time::Duration::from_millis(200));
    assert_eq!(count(&host), held, "it stood still");
    host.mydocker(["unpause", "c"]).stdout("c\n");
    eventually("it goes on", || count(&host) > held);
    host.mydocker(["unpause", "c"]).exits(1).stderr_has("is not paused");
    host.mydocker(["exec", "c", "true"]);
    host.mydocker(["pause", "nobody"]).exits(1);
}

#[test]
fn processes_in_cgroups_that_the_container_made_are_paused_too() {
    let host = counting(&[]);
    let pid = host.pid("c").to_string();
    let id = host.inspect("c", "{{.Id}}");
    for cgroup in support::cgroups(&format!("mydocker/{id}")) {
        let inner = cgroup.join("inner");
        std::fs::create_dir(&inner).unwrap();
        // In cgroup v1, a new cpuset has neither CPUs nor memory nodes.
        for file in ["cpuset.cpus", "cpuset.mems"] {
            if let Ok(value) = std::fs::read(cgroup.join(file)) {
                std::fs::write(inner.join(file), value).unwrap();
            }
        }
        std::fs::write(inner.join("cgroup.procs"), &pid).unwrap();
    }
    host.mydocker(["pause", "c"]);
    let held = count(&host);
    std::thread::sleep(std::time::Duration::from_millis(200));
    assert_eq!(count(&host), held, "it stood still");
    host.mydocker(["unpause", "c"]);
    eventually("it goes on", || count(&host) > held);
    host.mydocker(["rm", "-f", "c"]);
    assert!(support::cgroups(&format!("mydocker/{id}")).is_empty());
}

#[test]
fn a_paused_container_can_be_ended_in_every_way() {
    for (ending, left) in [
        (&["stop", "-t", "0", "c"][..], true),
        (&["kill", "c"], true),
        (&["rm", "-f", "c"], false),
        (&["halt", "-t", "0"], true),
        (&["restart", "-t", "0", "c"], true),
    ] {
        let host = counting(&["--restart", "unless-stopped"]);
        host.mydocker(["pause", "c"]);
        host.mydocker(ending);
        if left {
            host.mydocker(["start", "c"]);
            assert_eq!(host.inspect("c", "{{.State.Status}}"), "running", "{ending:?}");
            let before = count(&host);
            eventually("it counts again", || count(&host) != before);
        }
        host.mydocker(["system", "check"]).stdout("");
    }
}

#[test]
fn stop_delivers_its_signal_to_a_paused_container() {
    let host = Host::with_busybox();
    let script = "trap 'echo met; exit 7' TERM; echo ready; while :; do sleep 0.05; done";
    host.mydocker(["run", "-d", "--name", "c", "bb", "sh", "-c", script]);
    eventually("it is ready", || host.mydocker(["logs", "c"]).text().contains("ready"));
    host.mydocker(["pause", "c"]);
    host.mydocker(["stop", "-t", "100", "c"]);
    assert_eq!(host.inspect("c", "{{.State.ExitCode}}"), "7");
    host.mydocker(["logs", "c"]).stdout("ready\nmet\n");
}

#[test]
fn a_killed_monitor_of_a_paused_container_leaves_nothing() {
    let host = counting(&[]);
    let program = host.pid("c");
    host.mydocker(["pause", "c"]);
    host.kill(host.monitor("c"));
    eventually("it is told of", || host.mydocker(["ps", "-a"]).text().contains("Exited (137)"));
    let its_files = std::path::PathBuf::from(format!("/proc/{program}"));
    eventually("the program is reaped", || !its_files.exists());
    host.mydocker(["system", "check"]).stdout("");
    host.mydocker(["start", "c"]);
    assert_eq!(host.inspect("c", "{{.State.Status}}"), "running");
}

#[test]
fn top_lists_the_processes() {
    let host = Host::with_busybox();
    host.mydocker(["run", "-d", "--name", "c", "bb", "sh", "-c", "sleep 1001 & sleep 1002; true"]);
    eventually("all run", || {
        let printed = host.mydocker(["top", "c"]).lines();
        [" sleep 1001", " sleep 1002"]
            .iter()
            .all(|end| printed.iter().any(|row| row.ends_with(end)))
    });
    let printed = host.mydocker(["top", "c"]);
    let pid = host.pid("c").to_string();
    printed.stdout_has("UID                 PID                 PPID").stdout_has(&pid);
    // Options of ps follow the container's name. Helper processes of `exec` are not listed.
    let exec = host.background(["exec", "c", "sleep", "1003"]);
    eventually("exec runs", || host.mydocker(["top", "c"]).text().contains("sleep 1003"));
    host.mydocker(["top", "c", "aux"]).stdout_has("%CPU").stdout_has("sleep 1001");
    let rows = host.mydocker(["top", "c", "-o", "pid,args"]).lines();
    assert_eq!(rows[0], "PID                 COMMAND");
    assert_eq!(rows.len(), 5, "{rows:?}");
    assert!(rows.contains(&format!("{pid:<20}sh -c sleep 1001 & sleep 1002; true")), "{rows:?}");
    host.mydocker(["top", "c", "-o", "args"]).exits(1).stderr_has("no column PID");
    host.mydocker(["top", "c", "-o", "ppid=PID"]).exits(1).stderr_has("only the column pid");
    host.mydocker(["top", "c", "-x", "y"]).exits(1).stderr_has("ps -x y: error:");
    // On a host without ps, mydocker prints its own table.
    let mut bare = host.command(["top", "c", "-o", "pid"]);
    let bare = support::run_command({
        bare.env("PATH", "/nonexistent");
        bare
    });
    bare.stderr_has("this host has no ps").stdout_has("CMD").stdout_has("sleep 1002");
    // The process of `exec` has an id, and `events` prints this id too.
    let ids = host.inspect("c", "{{range .ExecIDs}}{{.}} {{end}}");
    assert_eq!(ids.trim().len(), 64, "{ids}");
    host.mydocker(["events", "--since", "0", "--until", "0s"]).stdout_has(ids.trim());
    let row = rows.iter().find(|row| row.ends_with("sleep 1003")).unwrap();
    host.kill(row.split(' ').next().unwrap().parse().unwrap());
    exec.wait().exits(137);
    eventually("none runs", || host.inspect("c", "{{json .ExecIDs}}") == "null");
    host.mydocker(["restart", "-t", "0", "c"]);
    assert_eq!(host.inspect("c", "{{json .ExecIDs}}"), "null");
    host.mydocker(["stop", "-t", "0", "c"]);
    host.mydocker(["top", "c"]).exits(1).stderr_has("is not running");
}

#[test]
fn stats_of_stopped_containers() {
    let host = Host::with_busybox();
    host.mydocker(["create", "--name", "made", "bb", "true"]);
    host.mydocker(["run", "-d", "--name", "runs", "bb", "sleep", "1000"]);
    let stats = |flags: &[&str]| {
        let format = "{{.Name}} {{.CPUPerc}} {{.MemUsage}} {{.PIDs}}";
        host.mydocker([&["stats", "--no-stream", "--format", format][..], flags].concat()).lines()
    };
    assert_eq!(stats(&[]).len(), 1);
    let all = stats(&["-a"]);
    assert_eq!(all.len(), 2);
    assert!(all.contains(&"made 0.00% 0B / 0B 0".to_owned()), "{all:?}");
    assert_eq!(stats(&["made"]), ["made 0.00% 0B / 0B 0"]);
    // As in Docker, a field that does not exist is an error only if there is a row to print.
    let nope = ["stats", "--no-stream", "--format", "{{.Nope}}"];
    Host::new().mydocker(nope).exits(0).stdout("").stderr("");
    host.mydocker(nope).exits(1).stderr_has("can't evaluate field Nope");
    host.mydocker(["stats", "--no-stream", "nobody"]).exits(1).stderr_has("nobody");
    host.mydocker(["stats", "--no-stream", "--format", "{{.Container}}", "made"]).stdout("made\n");
}

#[test]
fn stats_end_when_their_reader_has_closed_the_pipe() {
    let host = Host::with_busybox();
    host.mydocker(["create", "--name", "made", "bb", "true"]);
    let mut command = host.command(["stats", "-a"]);
    let mut stats = command.stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(stats.stdout.take().unwrap()).lines();
    assert!(lines.next().unwrap().unwrap().starts_with("CONTAINER ID"));
    drop(lines);
    eventually("stats have ended", || stats.try_wait().unwrap().is_some());
    assert!(stats.wait().unwrap().success());
}

#[test]
fn stats_print_the_resource_use() {
    let host = Host::with_busybox();
    let busy = "while :; do :; done";
    host.mydocker(["run", "-d", "--name", "busy", "-m", "64m", "bb", "sh", "-c", busy]);
    let fill = "dd if=/dev/zero of=/dev/shm/f bs=1M count=8 2>/dev/null; sleep 1000";
    host.mydocker(["run", "-d", "--name", "idle", "--net", "none", "bb", "sh", "-c", fill]);
    let stats = |name: &str, field: &str| {
        let format = format!("{{{{.{field}}}}}");
        host.mydocker(["stats", "--no-stream", "--format", &format, name]).text()
    };
    let percent = |text: String| text.trim_end_matches('%').parse::<f64>().unwrap();
    eventually("it is seen to be busy", || percent(stats("busy", "CPUPerc")) > 1.0);
    // Wait until other load on the machine no longer disturbs the measurement.
    eventually("the other is seen to be idle", || {
        percent(stats("idle", "CPUPerc")) < percent(stats("busy", "CPUPerc"))
    });
    assert!(stats("busy", "MemUsage").ends_with(" / 64MiB"), "{}", stats("busy", "MemUsage"));
    eventually("its memory is seen", || {
        let used = stats("idle", "MemUsage");
        let used = used.split_once("MiB / ").map_or(0.0, |(used, _)| used.parse().unwrap());
        used >= 8.0
    });
    assert_eq!(stats("busy", "PIDs"), "1");
    assert_eq!(stats("idle", "NetIO"), "0B / 0B");
    let all = host.mydocker(["stats", "--no-stream"]);
    all.stdout_has("CONTAINER ID   NAME      CPU %").stdout_has("busy").stdout_has("idle");
    host.mydocker(["stop", "-t", "0", "idle"]);
    host.mydocker(["stats", "--no-stream"]).stdout_lacks("idle");
    host.mydocker(["stats", "--no-stream", "idle"]).stdout_has("0B / 0B");
    let mut stream = host.background(["stats", "--format", "{{.Name}}"]);
    stream.expect("busy\nbusy\n");
    stream.signal(rustix::process::Signal::KILL);
    stream.wait().status();
}

#[test]
fn a_paused_container_is_neither_started_nor_attached_to() {
    let host = Host::with_busybox();
    host.mydocker(["run", "-d", "--name", "c", "bb", "sleep", "1000"]);
    host.mydocker(["pause", "c"]);
    for command in [&["start", "c"][..], &["attach", "c"], &["start", "-a", "c"]] {
        let done = host.command(command).output().unwrap();
        assert!(!done.status.success());
        let said = String::from_utf8_lossy(&done.stderr);
        assert!(said.contains("`unpause` it first"), "{said}");
    }
    assert_eq!(host.inspect("c", "{{.State.Status}}"), "paused");
    host.mydocker(["unpause", "c"]);
    host.mydocker(["start", "c"]).stdout("c\n");
    host.mydocker(["rm", "-f", "c"]);
}

/// Pauses processes that fork and exit all the time. No fork may fail because of a pause.
#[test]
fn a_paused_fork_storm_stops_and_continues() {
    let host = Host::with_busybox();
    let script = "w() { while (:); do :; done; echo failed; }; i=0; \
        while [ $i -lt 200 ]; do w & i=$((i+1)); done; echo all; wait";
    // The CPU limit keeps the host usable.
    let run = ["run", "-d", "--name", "c", "--cpus", "0.5"];
    host.mydocker(run.iter().chain(&["bb", "sh", "-c", script]));
    let logs = || String::from_utf8(host.mydocker(["logs", "c"]).bytes()).unwrap();
    eventually("the storm is on", || logs().contains("all"));
    for _ in 0..2 {
        host.mydocker(["pause", "c"]);
        assert_eq!(host.inspect("c", "{{.State.Status}}"), "paused");
        host.mydocker(["unpause", "c"]);
    }
    host.mydocker(["commit", "c", "snap"]);
    assert!(host.is_running("c") && logs() == "all\n", "{}", logs());
    host.mydocker(["rm", "-f", "c"]);
    host.mydocker(["system", "check"]).stdout("");
}
