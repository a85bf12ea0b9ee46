//! The files of `contrib/` and `examples/` do what their comments say.
//!
//! The commands of each init file run with the binary under test in place of `/usr/bin/mydocker`:
//! the stop command ends a container, and the start command starts it again. The functions `ebegin`
//! and `eend` of openrc-run are replaced by functions that print nothing. `tests/host` boots a
//! machine with the inittab. The example scripts run with `mydocker` in PATH, each on its own
//! machine.

mod support;

use std::path::{Path, PathBuf};
use std::process::Command;

use support::Host;
use support::eventually;
use support::machine::{MACHINE, Side};

/// The path of a file of the project.
fn project(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}

/// The text of a file of `contrib/`, with the path of the binary under test in place of
/// `/usr/bin/mydocker`.
fn contrib(name: &str) -> String {
    const INSTALLED: &str = "/usr/bin/mydocker";
    let text = std::fs::read_to_string(project("contrib").join(name)).unwrap();
    assert!(text.contains(INSTALLED), "{name} doesn't name {INSTALLED}");
    text.replace(INSTALLED, support::MYDOCKER)
}

/// Adds the state root and the run root of `host` to the environment of a command.
fn with_roots(host: &Host, mut command: Command) -> Command {
    command.env("MYDOCKER_ROOT", host.state_root()).env("MYDOCKER_RUN_ROOT", host.run_root());
    command
}

#[track_caller]
fn succeeds(mut command: Command) -> String {
    let done = command.output().unwrap();
    let stderr = String::from_utf8_lossy(&done.stderr);
    assert!(done.status.success(), "{command:?}: {}: {stderr}", done.status);
    String::from_utf8(done.stdout).unwrap()
}

/// Checks that the script `stop` ends a container whose restart policy is `always`, and that the
/// script `start` starts the container again.
#[track_caller]
fn stops_and_starts(start: &str, stop: &str) {
    let host = Host::with_busybox();
    let run = ["run", "-d", "--net", "none", "--name", "served", "--restart", "always"];
    host.mydocker(run.iter().chain(&["bb", "sleep", "100000"]));
    let shell = |script: &str| {
        let mut command = with_roots(&host, Command::new("sh"));
        command.args(["-euc", script]);
        succeeds(command);
    };
    shell(stop);
    assert!(!host.is_running("served"));
    shell(start);
    assert!(host.is_running("served"));
}

/// The rest of each line that starts with `key`.
fn lines_after(text: &str, key: &str) -> String {
    let lines: Vec<&str> = text.lines().filter_map(|line| line.strip_prefix(key)).collect();
    assert!(!lines.is_empty(), "no line begins with {key}");
    lines.join("\n")
}

#[test]
fn the_inittab_starts_and_stops_containers() {
    let text = contrib("inittab");
    stops_and_starts(&lines_after(&text, "::once:"), &lines_after(&text, "::shutdown:"));
}

#[test]
fn the_systemd_unit_starts_and_stops_containers() {
    let text = contrib("mydocker.service");
    stops_and_starts(&lines_after(&text, "ExecStart="), &lines_after(&text, "ExecStop="));
}

#[test]
fn the_openrc_script_starts_and_stops_containers() {
    const OPENRC_RUN: &str = "ebegin() { :; }\neend() { return $1; }\n";
    let text = format!("{OPENRC_RUN}{}", contrib("mydocker.openrc"));
    stops_and_starts(&format!("{text}\nstart"), &format!("{text}\nstop"));
}

#[test]
fn the_procd_script_starts_and_stops_containers() {
    let text = contrib("mydocker.procd");
    stops_and_starts(&format!("{text}\nstart"), &format!("{text}\nstop"));
}

#[test]
fn the_inittab_of_the_example_has_the_same_lines() {
    let example = std::fs::read_to_string(project("examples/inittab")).unwrap();
    let lines = std::fs::read_to_string(project("contrib/inittab")).unwrap();
    for line in lines.lines().filter(|line| !line.starts_with('#')) {
        assert!(example.lines().any(|other| other == line), "{line}");
    }
}

/// Runs an example's script on the machine of `host`, with `mydocker` in PATH.
#[track_caller]
fn example(host: &Host, name: &str, arguments: &[&str]) -> String {
    let script = project("examples").join(name);
    let line = [&["sh", script.to_str().unwrap()], arguments].concat();
    let mut command = host.machine().command(Side::Here, &line);
    command.env("PATH", host.path_with_mydocker()).env("SITE", host.scratch().join("site"));
    succeeds(command)
}

#[test]
fn the_nginx_example_serves_a_page() {
    let host = Host::on_machine();
    host.debian("nginx", &["nginx-light"]);
    let listed = example(&host, "nginx.sh", &["nginx"]);
    assert!(listed.contains("web"), "{listed}");
    host.answers(Side::Outside, &format!("{MACHINE}:8888"), "<h1>It works</h1>\n");
    // A second run replaces the first container.
    example(&host, "nginx.sh", &["nginx"]);
    host.answers(Side::Outside, &format!("{MACHINE}:8888"), "<h1>It works</h1>\n");
}

#[test]
fn the_flask_example_counts_visits() {
    let host = Host::on_machine();
    host.debian("redis", &["redis-server"]);
    host.debian("flask", &["python3-flask", "python3-redis"]);
    example(&host, "flask-redis/run.sh", &["flask", "redis"]);
    let address = format!("{MACHINE}:5000");
    let visit = || {
        let mut answer = None;
        eventually("flask counts a visit", || {
            answer = host.machine().fetch(Side::Outside, &address);
            answer.as_ref().is_some_and(|answer| answer.contains("visit "))
        });
        let answer = answer.unwrap();
        answer.trim_end().rsplit(' ').next().unwrap().parse::<u32>().unwrap()
    };
    let first = visit();
    assert_eq!(visit(), first + 1);
    // Redis stores the visits in the volume, so a new pair of containers continues to count.
    host.mydocker(["stop", "redis"]);
    example(&host, "flask-redis/run.sh", &["flask", "redis"]);
    assert!(visit() > first + 1);
    // The compose file runs the same programs with another volume.
    host.mydocker(["rm", "-f", "flask", "redis"]);
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/flask-redis/compose.yaml");
    let compose = |words: &[&str]| {
        host.mydocker(["compose", "-f", file].iter().chain(words).collect::<Vec<_>>());
    };
    compose(&["up", "-d"]);
    let first = visit();
    compose(&["up", "-d", "--force-recreate"]);
    assert!(visit() > first);
    compose(&["down", "-v"]);
}

#[test]
fn the_backup_example_writes_volumes() {
    let host = Host::on_machine();
    let write = "echo one >/data/a; mkdir /data/d; echo two >/data/d/b; sleep 100000";
    let run = ["run", "-d", "--name", "app", "--net", "none", "-v", "data:/data"];
    host.mydocker(run.iter().chain(&["bb", "sh", "-c", write]));
    eventually("the program has written", || {
        host.succeeds(["exec", "app", "test", "-s", "/data/d/b"])
    });
    let archive = host.scratch().join("backup.tar.gz");
    example(&host, "backup.sh", &[archive.to_str().unwrap(), "data"]);
    let mut tar = Command::new("tar");
    tar.arg("-xzOf").arg(&archive).args(["data/./a", "data/./d/b"]);
    assert_eq!(succeeds(tar), "one\ntwo\n");
    // No container is still paused, and no partial archive is left.
    assert_eq!(host.mydocker(["ps", "--filter", "status=paused", "-q"]).text(), "");
    assert!(!host.scratch().join("backup.tar.gz.partial").exists());
}
