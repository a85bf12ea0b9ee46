//! The files of `contrib/` and `examples/` do what their heads say.
//!
//! Each init file is run with the binary under test in place of `/usr/bin/mydocker`: its stop ends a
//! container, its start brings the container back. What the init itself provides (openrc-run's
//! `ebegin`, procd's `rc.common`) is replaced by nothing. `tests/host` boots a machine with the
//! inittab. The examples run with `mydocker` in the path, on a machine of their own.

mod support;

use std::path::{Path, PathBuf};
use std::process::Command;

use support::Host;
use support::eventually;
use support::machine::{MACHINE, Side};

/// A file of the project.
fn project(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}

/// A file of `contrib/` that names the binary under test.
fn contrib(name: &str) -> String {
    const INSTALLED: &str = "/usr/bin/mydocker";
    let text = std::fs::read_to_string(project("contrib").join(name)).unwrap();
    assert!(text.contains(INSTALLED), "{name} doesn't name {INSTALLED}");
    text.replace(INSTALLED, support::MYDOCKER)
}

/// The state directories of `host`, for a command that has no flags of ours.
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

/// `stop` ends a container that restarts always, `start` brings it back.
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

/// The command lines of a file, each after `key`.
fn lines_after(text: &str, key: &str) -> String {
    let lines: Vec<&str> = text.lines().filter_map(|line| line.strip_prefix(key)).collect();
    assert!(!lines.is_empty(), "no line begins with {key}");
    lines.join("\n")
}

#[test]
fn inittab_of_busybox() {
    let text = contrib("inittab");
    stops_and_starts(&lines_after(&text, "::once:"), &lines_after(&text, "::shutdown:"));
}

#[test]
fn systemd_unit() {
    let text = contrib("mydocker.service");
    stops_and_starts(&lines_after(&text, "ExecStart="), &lines_after(&text, "ExecStop="));
}

#[test]
fn openrc_script() {
    const OPENRC_RUN: &str = "ebegin() { :; }\neend() { return $1; }\n";
    let text = format!("{OPENRC_RUN}{}", contrib("mydocker.openrc"));
    stops_and_starts(&format!("{text}\nstart"), &format!("{text}\nstop"));
}

#[test]
fn procd_script() {
    let text = contrib("mydocker.procd");
    stops_and_starts(&format!("{text}\nstart"), &format!("{text}\nstop"));
}

/// Both boards start and stop containers by the same two lines.
#[test]
fn inittab_of_the_example() {
    let example = std::fs::read_to_string(project("examples/inittab")).unwrap();
    let lines = std::fs::read_to_string(project("contrib/inittab")).unwrap();
    for line in lines.lines().filter(|line| !line.starts_with('#')) {
        assert!(example.lines().any(|other| other == line), "{line}");
    }
}

/// An example's script, on the machine of `host`, with `mydocker` in the path.
#[track_caller]
fn example(host: &Host, name: &str, arguments: &[&str]) -> String {
    let script = project("examples").join(name);
    let line = [&["sh", script.to_str().unwrap()], arguments].concat();
    let mut command = host.machine().command(Side::Here, &line);
    command.env("PATH", host.path_with_mydocker()).env("SITE", host.scratch().join("site"));
    succeeds(command)
}

#[test]
fn nginx_example() {
    let host = Host::on_machine();
    host.debian("nginx", &["nginx-light"]);
    let listed = example(&host, "nginx.sh", &["nginx"]);
    assert!(listed.contains("web"), "{listed}");
    host.answers(Side::Outside, &format!("{MACHINE}:8888"), "<h1>It works</h1>\n");
    // A second call replaces the first container.
    example(&host, "nginx.sh", &["nginx"]);
    host.answers(Side::Outside, &format!("{MACHINE}:8888"), "<h1>It works</h1>\n");
}

#[test]
fn flask_and_redis_example() {
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
    // Redis wrote the visits to the volume: a new pair of containers goes on counting.
    host.mydocker(["stop", "redis"]);
    example(&host, "flask-redis/run.sh", &["flask", "redis"]);
    assert!(visit() > first + 1);
    // The same as services, with a volume of their own.
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
fn backup_example() {
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
    // Nothing stays paused, nothing is left beside the archive.
    assert_eq!(host.mydocker(["ps", "--filter", "status=paused", "-q"]).text(), "");
    assert!(!host.scratch().join("backup.tar.gz.partial").exists());
}
