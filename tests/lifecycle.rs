//! The life of a container from `create` to `rm`: each command reports the container's real state.
//!
//! The tests read the state from `ps` and `inspect` and compare it with the process on the host.
//! Events, the filters of `ps`, `version` and `info` are here too. Most kills of mydocker itself
//! are in `tests/crash.rs`.

mod support;

use rustix::process::{Pid, Signal, kill_process};
use support::{Host, eventually};

fn kill(pid: i32) {
    kill_process(Pid::from_raw(pid).unwrap(), Signal::KILL).unwrap();
}

fn cgroups_of(id: &str) -> Vec<std::path::PathBuf> {
    let mut found = Vec::new();
    let mut dirs = vec![std::path::PathBuf::from("/sys/fs/cgroup")];
    while let Some(dir) = dirs.pop() {
        for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                if entry.file_name().to_string_lossy().contains(id) {
                    found.push(entry.path());
                }
                dirs.push(entry.path());
            }
        }
    }
    found
}

#[test]
fn a_container_is_created_started_stopped_started_again_and_removed() {
    let host = Host::with_busybox();
    let script =
        "echo run >>/count; wc -l </count; trap 'exit 0' TERM; while :; do sleep 0.05; done";
    let id = host.mydocker(["create", "--name", "c", "bb", "sh", "-c", script]).text();
    let state = || host.mydocker(["ps", "-a", "--format", "{{.State}}"]).text();
    assert_eq!(state(), "created");
    host.mydocker(["start", "c"]).stdout("c\n");
    assert_eq!(state(), "running");
    eventually("it has begun", || host.mydocker(["logs", "c"]).text() == "1");
    host.mydocker(["start", "c"]).stdout("c\n");
    host.mydocker(["stop", &id[..8]]).stdout(&format!("{}\n", &id[..8]));
    assert_eq!(state(), "exited");
    host.mydocker(["stop", "c"]).stdout("c\n");
    host.mydocker(["start", &id]);
    eventually("its files are still there", || host.mydocker(["logs", "c"]).text() == "1\n2");
    host.mydocker(["restart", "-t", "5", "c"]).stdout("c\n");
    eventually("it runs again", || host.mydocker(["logs", "c"]).text() == "1\n2\n3");
    assert!(!cgroups_of(&id).is_empty());
    host.mydocker(["rm", "c"]).exits(1).complains("running");
    host.mydocker(["rm", "-f", "c"]).stdout("c\n");
    host.mydocker(["ps", "-aq"]).stdout("");
    assert_eq!(cgroups_of(&id), Vec::<std::path::PathBuf>::new());
    host.mydocker(["rm", "c"]).exits(1).complains("no such container");
}

#[test]
fn start_attached_gives_status_and_output() {
    let host = Host::with_busybox();
    host.mydocker(["create", "--name", "c", "bb", "sh", "-c", "echo out; exit 6"]);
    host.mydocker(["start", "-a", "c"]).exits(6).stdout("out\n");
    host.mydocker(["start", "--attach", "c"]).exits(6).stdout("out\n");
    host.mydocker(["create", "-i", "--name", "i", "bb", "cat"]);
    host.feed("typed\n", ["start", "-ai", "i"]).stdout("typed\n");
}

#[test]
fn wait_prints_the_statuses() {
    let host = Host::with_busybox();
    host.mydocker(["run", "-d", "--name", "a", "bb", "sh", "-c", "sleep 0.3; exit 4"]);
    host.mydocker(["run", "-d", "--name", "b", "bb", "sh", "-c", "exit 5"]);
    host.mydocker(["wait", "a", "b"]).stdout("4\n5\n");
    host.mydocker(["wait", "a"]).stdout("4\n");
    host.mydocker(["wait", "nobody"]).exits(1).complains("no such container");
}

#[test]
fn stop_sends_the_stop_signal_then_kills() {
    let host = Host::with_busybox();
    let asks = "trap 'exit 3' TERM; echo r; while :; do sleep 0.05; done";
    let deaf = "trap '' TERM; echo r; while :; do sleep 0.05; done";
    for (name, script) in [("asks", asks), ("deaf", deaf)] {
        host.mydocker(["run", "-d", "--name", name, "bb", "sh", "-c", script]);
        eventually("its trap is set", || host.mydocker(["logs", name]).text() == "r");
    }
    host.mydocker(["stop", "-t", "60", "asks"]);
    host.mydocker(["stop", "--time", "1", "deaf"]);
    let code = |name: &str| host.inspect(name, "{{.State.ExitCode}}");
    assert_eq!((code("asks"), code("deaf")), ("3".into(), "137".into()));
}

#[test]
fn kill_sends_any_signal() {
    let host = Host::with_busybox();
    let script = "trap 'echo usr1' USR1; trap 'echo hup' HUP; echo r; while :; do sleep 0.05; done";
    host.mydocker(["run", "-d", "--name", "c", "bb", "sh", "-c", script]);
    let logged = |text: &str| eventually(text, || host.mydocker(["logs", "c"]).text() == text);
    logged("r");
    host.mydocker(["kill", "-s", "USR1", "c"]).stdout("c\n");
    logged("r\nusr1");
    host.mydocker(["kill", "--signal", "1", "c"]);
    logged("r\nusr1\nhup");
    host.mydocker(["kill", "-s", "NOSUCH", "c"]).refused("NOSUCH");
    host.mydocker(["kill", "c"]);
    assert_eq!(host.inspect("c", "{{.State.ExitCode}}"), "137");
    host.mydocker(["kill", "c"]).exits(1).complains("not running");
}

#[test]
fn a_container_is_found_by_id_prefix_and_name() {
    let host = Host::with_busybox();
    let ids: Vec<String> = (0..17)
        .map(|number| {
            host.mydocker(["create", "--name", &format!("n{number}"), "bb", "true"]).text()
        })
        .collect();
    // With seventeen ids, at least two start with the same hexadecimal digit.
    let first = |id: &String| id[..1].to_owned();
    let shared = ids
        .iter()
        .map(first)
        .find(|digit| ids.iter().filter(|id| id.starts_with(digit.as_str())).count() > 1);
    let shared = shared.unwrap();
    let ambiguous = host.mydocker(["inspect", &shared]).exits(1);
    let mut ambiguous = ambiguous;
    for id in ids.iter().filter(|id| id.starts_with(&shared)) {
        ambiguous = ambiguous.complains(&id[..12]);
    }
    drop(ambiguous);
    for id in &ids {
        assert_eq!(host.inspect(&id[..12], "{{.Id}}"), *id);
        assert_eq!(host.inspect(id, "{{.Id}}"), *id);
    }
    assert_eq!(host.inspect("n3", "{{.Name}}"), "/n3");
    assert_eq!(host.inspect("/n3", "{{.Id}}"), ids[3]);
    host.mydocker(["rename", "/n3", "m3"]).exits(0);
    host.mydocker(["rename", "/m3", "n3"]).exits(0);
    host.mydocker(["inspect", "//n3"]).exits(1);
    let mut all = vec!["rm".to_owned()];
    all.extend(ids);
    host.mydocker(all);
}

#[test]
fn a_command_takes_several_containers_and_reports_each_failure() {
    let host = Host::with_busybox();
    host.mydocker(["create", "--name", "a", "bb", "true"]);
    host.mydocker(["create", "--name", "b", "bb", "true"]);
    host.mydocker(["rm", "a", "nobody", "b"]).exits(1).stdout("a\nb\n").complains("nobody");
    host.mydocker(["ps", "-aq"]).stdout("");
}

#[test]
fn rename_moves_the_name() {
    let host = Host::with_busybox();
    host.mydocker(["create", "--name", "old", "bb", "true"]);
    host.mydocker(["create", "--name", "taken", "bb", "true"]);
    host.mydocker(["rename", "old", "taken"]).exits(1).complains("taken");
    host.mydocker(["rename", "old", "bad/name"]).exits(1).complains("bad/name");
    host.mydocker(["rename", "old", "new"]).stdout("");
    host.mydocker(["inspect", "old"]).exits(1);
    assert_eq!(host.inspect("new", "{{.Name}}"), "/new");
    host.mydocker(["create", "--name", "old", "bb", "true"]);
    host.mydocker(["ps", "-a", "--format", "{{.Names}}"]).stdout("old\ntaken\nnew\n");
}

#[test]
fn ps_shows_dockers_columns() {
    let host = Host::with_busybox();
    let id = host.mydocker(["run", "-d", "--name", "up", "bb", "sleep", "1000"]).text();
    host.mydocker(["run", "--name", "over", "bb", "sh", "-c", "exit 2"]).exits(2);
    let table = host.mydocker(["ps", "-a"]).lines();
    let heads: Vec<_> =
        table[0].split("  ").map(str::trim).filter(|head| !head.is_empty()).collect();
    let expected = ["CONTAINER ID", "IMAGE", "COMMAND", "CREATED", "STATUS", "PORTS", "NAMES"];
    assert_eq!(heads, expected);
    assert!(
        table[1].contains("Exited (2) ") && table[1].contains(" ago") && table[1].ends_with("over")
    );
    assert!(
        table[2].starts_with(&id[..12]) && table[2].contains(" Up ") && table[2].ends_with("up")
    );
    assert!(table[2].contains("\"sleep 1000\""));
    let list = |args: &[&str]| {
        let mut all = vec!["ps", "--format", "{{.Names}}"];
        all.extend(args);
        host.mydocker(all).lines().join(",")
    };
    assert_eq!(list(&[]), "up");
    assert_eq!(list(&["-a"]), "over,up");
    assert_eq!(list(&["-l"]), "over");
    assert_eq!(list(&["-n", "2"]), "over,up");
    assert_eq!(list(&["-n", "1"]), "over");
    assert_eq!(list(&["-a", "--filter", "status=exited"]), "over");
    assert_eq!(list(&["--filter", "status=exited"]), "over");
    assert_eq!(list(&["-a", "-f", "name=u"]), "up");
    assert_eq!(list(&["-a", "--filter", &format!("id={}", &id[..6])]), "up");
    assert_eq!(list(&["-a", "--filter", "ancestor=bb"]), "over,up");
    assert_eq!(list(&["-a", "--filter", "ancestor=other"]), "");
    host.mydocker(["ps", "--filter", "colour=red"]).exits(1).complains("colour");
    host.mydocker(["ps", "-q", "--no-trunc"]).stdout(&format!("{id}\n"));
    host.mydocker(["ps", "--format", "json"])
        .stdout_has(r#""Names":"up""#)
        .stdout_has(r#""State":"running""#);
}

#[test]
fn inspect_finds_names_that_no_image_can_have() {
    let host = Host::on_machine();
    host.mydocker(["volume", "create", "MyVolume"]);
    host.mydocker(["network", "create", "MyNetwork"]);
    for name in ["MyVolume", "MyNetwork"] {
        host.mydocker(["inspect", "-f", "{{.Name}}", name]).stdout(&format!("{name}\n"));
    }
    host.mydocker(["explain", "MyNetwork"]).stdout_has("MyNetwork");
    host.mydocker(["inspect", "Nobody"]).exits(1).stderr_has("no such container, image, volume");
    host.mydocker(["inspect", "--type", "image", "Nobody"]).exits(1).stderr_has("lower case");
}

#[test]
fn inspect_has_dockers_fields() {
    let host = Host::with_busybox();
    let run = [
        "run",
        "-d",
        "--name",
        "c",
        "-e",
        "A=1",
        "-m",
        "64m",
        "-w",
        "/tmp",
        "-u",
        "app",
        "-l",
        "k=v",
        "-h",
        "box",
        "-v",
        "/tmp:/host:ro",
        "bb",
        "sleep",
        "1000",
    ];
    let id = host.mydocker(run).text();
    for (format, value) in [
        ("{{.Id}}", id.as_str()),
        ("{{.Name}}", "/c"),
        ("{{.State.Status}}", "running"),
        ("{{.State.Running}}", "true"),
        ("{{.State.OOMKilled}}", "false"),
        ("{{.Path}}", "sleep"),
        ("{{json .Args}}", r#"["1000"]"#),
        ("{{.Config.Hostname}}", "box"),
        ("{{.Config.User}}", "app"),
        ("{{.Config.WorkingDir}}", "/tmp"),
        ("{{.Config.Image}}", "bb"),
        ("{{json .Config.Cmd}}", r#"["sleep","1000"]"#),
        ("{{.HostConfig.Memory}}", "67108864"),
    ] {
        assert_eq!(host.inspect("c", format), value, "{format}");
    }
    let mounts = host.inspect("c", "{{json .Mounts}}");
    assert!(mounts.contains(r#""Destination":"/host""#) && mounts.contains(r#""RW":false"#));
    let command = format!("/proc/{}/cmdline", host.pid("c"));
    // The engine reports success when execve closes the descriptors. `/proc/PID/cmdline` changes a
    // little later.
    eventually("the PID is the program's", || {
        std::fs::read_to_string(&command).unwrap() == "sleep\x001000\0"
    });
    host.mydocker(["inspect", "nobody"]).exits(1);
}

#[test]
fn a_killed_monitor_takes_its_container_with_it() {
    let host = Host::with_busybox();
    let id = host.mydocker(["run", "-d", "--name", "c", "bb", "sleep", "1000"]).text();
    let pid = host.pid("c");
    kill(host.monitor("c"));
    eventually("the next ps tells the truth", || host.mydocker(["ps", "-q"]).text().is_empty());
    eventually("its process is gone", || !std::path::Path::new(&format!("/proc/{pid}")).exists());
    host.mydocker(["ps", "-a", "--format", "{{.Status}}"]).stdout_has("Exited (137)");
    assert_eq!(cgroups_of(&id), Vec::<std::path::PathBuf>::new());
    host.mydocker(["start", "c"]);
    assert!(host.is_running("c"));
}

#[test]
fn a_container_that_exits_is_listed_as_exited() {
    let host = Host::with_busybox();
    let id = host.mydocker(["run", "-d", "--name", "c", "bb", "sleep", "1000"]).text();
    kill(host.pid("c"));
    host.mydocker(["wait", "c"]).stdout("137\n");
    assert_eq!(host.inspect("c", "{{.State.Status}} {{.State.ExitCode}}"), "exited 137");
    assert_eq!(cgroups_of(&id), Vec::<std::path::PathBuf>::new());
}

#[test]
fn after_a_power_cut_no_container_is_listed_as_running() {
    let host = Host::with_busybox();
    host.mydocker(["run", "-d", "--name", "c", "bb", "sleep", "1000"]);
    // A power cut ends every process and empties the volatile run root.
    let (pid, monitor) = (host.pid("c"), host.monitor("c"));
    kill(monitor);
    eventually("all are gone", || !std::path::Path::new(&format!("/proc/{pid}")).exists());
    std::fs::remove_dir_all(host.run_root()).unwrap();
    host.mydocker(["ps", "-q"]).stdout("");
    host.mydocker(["ps", "-a", "--format", "{{.State}}"]).stdout("exited\n");
    host.mydocker(["start", "c"]);
    assert!(host.is_running("c"));
}

#[test]
fn a_failed_start_leaves_a_container_that_can_be_started_later() {
    let host = Host::with_busybox();
    let dir = host.scratch().join("d");
    std::fs::create_dir(&dir).unwrap();
    let flag = format!("type=bind,src={},dst=/d", dir.display());
    host.mydocker(["create", "--name", "c", "--mount", &flag, "bb", "true"]);
    std::fs::remove_dir(&dir).unwrap();
    host.mydocker(["start", "c"]).exits(1).complains(dir.to_str().unwrap());
    host.mydocker(["ps", "-a", "--format", "{{.State}}"]).stdout("created\n");
    std::fs::create_dir(&dir).unwrap();
    host.mydocker(["start", "-a", "c"]);
}

/// systemd finds the processes of a service by their cgroup, and so does this test.
#[test]
fn a_container_outlives_the_service_that_started_it() {
    let host = Host::with_busybox();
    let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
    let Some(mount) = mounts.lines().find(|line| line.contains(" - cgroup2 ")) else {
        skip!("cgroup v2 isn't mounted");
    };
    let cgroups = std::path::Path::new(mount.split(' ').nth(4).unwrap());
    let service = cgroups.join(support::unique("service"));
    std::fs::create_dir(&service).unwrap();
    let procs = service.join("cgroup.procs");
    let mydocker = host.command(["run", "-d", "--name", "c", "bb", "sleep", "100000"]);
    let mut run = std::process::Command::new("sh");
    run.args(["-c", "echo $$ >\"$1\"; shift; exec \"$@\"", "sh"]).arg(&procs);
    run.arg(mydocker.get_program()).args(mydocker.get_args());
    assert!(run.output().unwrap().status.success());
    assert_eq!(std::fs::read_to_string(&procs).unwrap(), "", "would end with the service");
    std::fs::remove_dir(&service).unwrap();
    let monitor = format!("/proc/{}/cgroup", host.monitor("c"));
    let monitor = std::fs::read_to_string(monitor).unwrap();
    assert!(monitor.lines().any(|line| line.ends_with("/mydocker/monitors")), "{monitor}");
    host.mydocker(["exec", "c", "true"]);
}

#[test]
fn version_and_info_describe_the_engine() {
    let host = Host::with_busybox();
    host.mydocker(["version"]).stdout_has(env!("CARGO_PKG_VERSION"));
    // Scripts that need "at least 17.03" read the third word or the first number.
    let line = host.mydocker(["--version"]).text();
    assert!(line.starts_with("Docker version 20.10.0+mydocker."), "{line}");
    for (command, format) in [
        ("version", "{{.Server.Version}}"),
        ("version", "{{.Client.Version}}"),
        ("info", "{{.ServerVersion}}"),
    ] {
        let version = host.mydocker([command, "--format", format]).text();
        assert_eq!(line.split([' ', ',']).nth(2), Some(version.as_str()), "{command}");
    }
    let text = host.mydocker(["version"]).text();
    let versions = text.lines().filter(|line| line.trim_start().starts_with("Version:"));
    assert_eq!(versions.count(), 2, "{text}");
    host.mydocker(["info"]).stdout_has("Containers: 0").stdout_has("Images: 1");
    // Scripts that need Docker's storage driver look for this line.
    host.mydocker(["info"]).stdout_has(" Storage Driver: overlay2\n");
    let format = "{{.Driver}} {{.Containers}} {{.DockerRootDir}}";
    let root = host.state_root();
    host.mydocker(["info", "-f", format]).stdout(&format!("overlay2 0 {}\n", root.display()));
    let mut command = host.command(["info", "-f", "{{.HttpProxy}} {{.HttpsProxy}}"]);
    command.env("HTTP_PROXY", "").env("http_proxy", "http://me:secret@proxy:3128");
    command.env("HTTPS_PROXY", "proxy:1").env("https_proxy", "proxy:2");
    support::run(command, None).stdout("http://xxxxx:xxxxx@proxy:3128 proxy:1\n");
    host.mydocker(["help"]).stdout_has("run").stdout_has("exec");
    host.mydocker(["help", "run"]).stdout_has("--memory");
    host.mydocker(["run", "--help"]).stdout_has("--memory");
}

#[test]
fn restart_keeps_a_container_made_with_rm() {
    let host = Host::with_busybox();
    let script =
        "echo run >>/count; wc -l </count; trap 'exit 0' TERM; while :; do sleep 0.05; done";
    let id = host.mydocker(["run", "-d", "--rm", "--name", "c", "bb", "sh", "-c", script]).text();
    eventually("it has begun", || host.mydocker(["logs", "c"]).text() == "1");
    host.mydocker(["restart", "c"]).stdout("c\n");
    eventually("its files are there", || host.mydocker(["logs", "c"]).text() == "1\n2");
    assert_eq!(host.inspect("c", "{{.Id}}"), id);
    host.mydocker(["kill", "c"]);
    // Without --type, `inspect` may find another object whose id starts with `c`.
    host.mydocker(["inspect", "--type", "container", "c"]).exits(1);
    host.mydocker(["ps", "-aq"]).stdout("");
}

#[test]
fn a_killed_restart_loses_no_container_made_with_rm() {
    let host = Host::with_busybox();
    let deaf =
        "trap '' TERM; test -e /file || echo kept >/file; echo r; while :; do sleep 0.05; done";
    for name in ["a", "b"] {
        host.mydocker(["run", "-d", "--rm", "--name", name, "bb", "sh", "-c", deaf]);
        eventually("its trap is set", || host.mydocker(["logs", name]).text() == "r");
        let restart = host.background(["restart", "-t", "60", name]);
        let mark = host.run_root().join(host.inspect(name, "{{.Id}}")).join("stop");
        eventually("the restart has begun", || mark.exists());
        restart.signal(Signal::KILL);
        restart.wait().exits(137);
    }
    kill(host.pid("a"));
    host.mydocker(["wait", "a"]);
    assert_eq!(host.inspect("a", "{{.State.Status}}"), "exited");
    host.mydocker(["cp", "a:/file", "-"]).exits(0);
    host.mydocker(["start", "a"]).stdout("a\n");
    host.mydocker(["exec", "a", "cat", "/file"]).stdout("kept\n");
    host.mydocker(["rm", "-f", "a"]);
    // A stop after the killed restart removes the container, as --rm demands.
    host.mydocker(["stop", "-t", "0", "b"]).stdout("b\n");
    host.mydocker(["ps", "-aq"]).stdout("");
}

#[test]
fn a_start_makes_the_source_of_a_volume_flag_again() {
    let host = Host::with_busybox();
    let source = host.scratch().join("source");
    let flag = format!("{}:/d", source.display());
    host.mydocker(["create", "--name", "c", "-v", &flag, "bb", "touch", "/d/made"]);
    // As in Docker, `create` does not make the directory.
    assert!(!source.exists());
    for command in [&["start", "-a", "c"][..], &["restart", "c"]] {
        let _ = std::fs::remove_dir_all(&source);
        host.mydocker(command).exits(0);
        host.mydocker(["wait", "c"]).stdout("0\n");
        assert!(source.join("made").exists());
    }
    std::fs::remove_dir_all(&source).unwrap();
    host.mydocker(["cp", "c:/etc/passwd", "-"]).exits(0);
    // A restart by policy makes the directory again too.
    let script = "[ -e /d/stop ] && exec sleep 1000; exit 1";
    let run = ["run", "-d", "--restart", "always", "--name", "r", "-v", &flag, "bb", "sh", "-c"];
    host.mydocker(run.iter().chain(&[script]));
    std::fs::remove_dir_all(&source).unwrap();
    eventually("it is made again", || source.exists());
    std::fs::write(source.join("stop"), "").unwrap();
    eventually("it runs", || host.is_running("r"));
    host.mydocker(["rm", "-f", "r"]);
}

#[test]
fn a_start_that_fails_keeps_its_reason() {
    let host = Host::with_busybox();
    let source = host.scratch().join("source");
    std::fs::create_dir(&source).unwrap();
    let mount = format!("type=bind,src={},dst=/d", source.display());
    host.mydocker(["run", "--name", "c", "--mount", &mount, "bb", "sh", "-c", "exit 4"]).exits(4);
    std::fs::remove_dir(&source).unwrap();
    host.mydocker(["start", "c"]).exits(1).complains("does not exist");
    let state = |name: &str, field: &str| host.inspect(name, &format!("{{{{.State.{field}}}}}"));
    assert_eq!(state("c", "ExitCode"), "127");
    assert!(state("c", "Error").contains("does not exist"), "{}", state("c", "Error"));
    assert_eq!(state("c", "Status"), "exited");
    assert!(host.mydocker(["ps", "-a", "--format", "{{.Status}}"]).text().contains("(127)"));
    // Here the program does not exist, and the container has never run.
    host.mydocker(["create", "--name", "n", "bb", "no-such-program"]);
    host.mydocker(["start", "n"]).exits(1).complains("not found");
    assert_eq!(state("n", "ExitCode"), "127");
    assert!(state("n", "Error").contains("not found"));
    assert_eq!(state("n", "Status"), "created");
    // The next successful start clears the error.
    std::fs::create_dir(&source).unwrap();
    host.mydocker(["start", "-a", "c"]).exits(4);
    assert_eq!((state("c", "ExitCode"), state("c", "Error")), ("4".into(), String::new()));
}

#[test]
fn several_containers_end_at_the_same_time() {
    let host = Host::with_busybox();
    let names = ["a", "b", "c"];
    // Each container ends only after it has seen that all others got the signal.
    let shared = host.scratch();
    let flag = format!("{}:/d", shared.display());
    let script = "trap 'touch /d/$0; while [ $(ls /d | wc -l) -lt 3 ]; do sleep 0.05; done; \
                  exit 0' TERM; echo r; while :; do sleep 0.05; done";
    for name in names {
        host.mydocker(["run", "-d", "--name", name, "-v", &flag, "bb", "sh", "-c", script, name]);
    }
    let ready = || names.iter().all(|name| host.mydocker(["logs", name]).text().ends_with('r'));
    for command in ["restart", "stop"] {
        eventually("their traps are set", ready);
        host.mydocker([command, "-t", "60"].iter().chain(&names)).stdout("a\nb\nc\n");
        for name in names {
            std::fs::remove_file(shared.join(name)).unwrap();
        }
    }
    for name in names {
        assert_eq!(host.inspect(name, "{{.State.ExitCode}}"), "0");
    }
    host.mydocker(["start", "a", "b", "c"]);
    host.mydocker(["kill", "a", "nobody", "c"]).exits(1).stdout("a\nc\n");
    host.mydocker(["rm", "-f", "a", "b", "c"]).stdout("a\nb\nc\n");
    // Containers with --rm may be gone before `rm` reaches them.
    for name in names {
        host.mydocker(["run", "-d", "--rm", "--name", name, "bb", "sleep", "1000"]);
    }
    host.mydocker(["rm", "-f", "a", "b", "c"]).stdout("a\nb\nc\n");
    // The second container ends while the command waits for the first.
    host.mydocker(["run", "-d", "--rm", "--name", "s", "bb", "sh", "-c", "sleep 3; exit 4"]);
    host.mydocker(["run", "-d", "--rm", "--name", "t", "bb", "sh", "-c", "sleep 2.5; exit 5"]);
    host.mydocker(["wait", "s", "t"]).stdout("4\n5\n");
}

/// The events of the container `name`, one line each: the action and the container's name. `name`
/// may also be an id.
fn actions_of(host: &Host, name: &str) -> String {
    let filter = format!("container={name}");
    let format = "{{.Action}} {{.Actor.Attributes.name}}";
    let window = ["events", "--since", "1970-01-01", "--until", "0s"];
    let args =
        [&window[..], &["--filter", "type=container", "--filter", &filter, "--format", format]];
    host.mydocker(args.concat()).text()
}

#[test]
fn events_are_printed_while_they_happen() {
    let host = Host::with_busybox();
    let format = "{{.Type}} {{.Action}} {{.Actor.Attributes.name}}";
    let mut events = host.background(["events", "--since", "1970-01-01", "--format", format]);
    events.expect("image import");
    host.mydocker(["run", "--rm", "--network", "none", "--name", "c", "bb", "true"]);
    let life = ["create", "attach", "start", "die", "destroy"];
    events.expect(&life.map(|action| format!("container {action} c\n")).concat());
    // A cleaner of temporary files may remove the journal's files. This must not end the command.
    std::fs::remove_dir_all(host.run_root().join(".events")).unwrap();
    host.mydocker(["create", "--name", "d", "bb", "true"]);
    events.expect("container create d\n");
    events.signal(Signal::INT);
    events.wait().exits(130);
}

#[test]
fn events_report_restarts_new_names_and_killed_monitors() {
    let host = Host::with_busybox();
    let none = ["run", "-d", "--network", "none", "--name"];
    host.mydocker([&none[..], &["again", "--restart", "on-failure:1", "bb", "false"]].concat());
    host.mydocker(["wait", "again"]);
    assert_eq!(
        actions_of(&host, "again"),
        "create again\nstart again\ndie again\nstart again\ndie again"
    );
    let id = host.mydocker([&none[..], &["old", "bb", "sleep", "1000"]].concat()).text();
    host.mydocker(["rename", "old", "new"]);
    // The monitor reads the new name some time later.
    eventually("the monitor has the new name", || {
        let title = std::fs::read(format!("/proc/{}/cmdline", host.monitor("new"))).unwrap();
        String::from_utf8_lossy(&title).contains(" new ")
    });
    host.mydocker(["kill", "new"]);
    assert_eq!(
        actions_of(&host, id.trim()),
        "create old\nstart old\nrename new\nkill new\ndie new"
    );
    host.mydocker([&none[..], &["lost", "bb", "sleep", "1000"]].concat());
    kill(host.monitor("lost"));
    eventually("the end was noticed", || {
        host.mydocker(["ps", "--format", "{{.Names}}"]).text().is_empty()
    });
    assert_eq!(actions_of(&host, "lost"), "create lost\nstart lost\ndie lost");
}

#[test]
fn a_start_by_the_policy_that_fails_is_tried_again() {
    let host = Host::with_busybox();
    let source = host.scratch().join("source");
    std::fs::create_dir(&source).unwrap();
    let mount = format!("type=bind,src={},dst=/d", source.display());
    let names = ["always", "twice"];
    for (name, policy) in names.into_iter().zip(["always", "on-failure:2"]) {
        let script = "until [ -e /d/end ]; do sleep 0.05; done; exit 3";
        let run = ["run", "-d", "--name", name, "--restart", policy, "--mount", &mount];
        host.mydocker([&run[..], &["bb", "sh", "-c", script]].concat());
    }
    let aside = host.scratch().join("aside");
    std::fs::rename(&source, &aside).unwrap();
    std::fs::write(aside.join("end"), "").unwrap();
    let state =
        |name: &str| host.inspect(name, "{{.State.Status}} {{.RestartCount}} {{.State.Error}}");
    eventually("its start failed twice", || {
        let state = state("always");
        state.starts_with("restarting") && state.contains("source") && !state.contains(" 1 ")
    });
    eventually("the policy has ended", || state("twice").starts_with("exited 2 "));
    assert!(state("twice").contains("source"), "{}", state("twice"));
    std::fs::remove_file(aside.join("end")).unwrap();
    std::fs::rename(&aside, &source).unwrap();
    eventually("it runs again", || state("always").starts_with("running"));
    host.mydocker(["exec", "always", "ls", "-d", "/d"]).stdout("/d\n");
    host.mydocker(["rm", "-f", "always"]);
}

#[test]
fn a_journal_that_cannot_be_written_fails_no_command() {
    let host = Host::with_busybox();
    std::fs::remove_dir_all(host.run_root().join(".events")).unwrap();
    std::fs::write(host.run_root().join(".events"), "").unwrap();
    host.mydocker(["run", "--rm", "--network", "none", "bb", "echo", "fine"]).stdout("fine\n");
    host.mydocker(["events", "--until", "0s"]).refused("make directory");
}

#[test]
fn ps_filters_read_as_dockers() {
    let host = Host::with_busybox();
    host.mydocker(["run", "--name", "base", "--network", "none", "bb", "true"]);
    host.mydocker(["commit", "-c", "EXPOSE 80", "base", "child"]);
    host.mydocker(["create", "--name", "kid", "--network", "none", "child", "true"]);
    let list = |flags: &[&str]| {
        let all = [&["ps", "--format", "{{.Names}}"], flags].concat();
        host.mydocker(all).lines().join(",")
    };
    assert_eq!(list(&["-a", "-f", "ancestor=bb"]), "kid,base");
    assert_eq!(list(&["-a", "-f", "ancestor=child"]), "kid");
    assert_eq!(list(&["-a", "-f", " NAME = (?i)KID ", "-f", ""]), "kid");
    assert_eq!(list(&["-a", "-f", "expose=80"]), "");
    assert_eq!(list(&["-a", "-n", "0"]), "kid,base");
    assert_eq!(list(&["--last=2", "--latest"]), "kid,base");
    host.mydocker(["tag", "bb", "child"]);
    assert_eq!(list(&["-a", "-f", "ancestor=child"]), "kid,base");
    host.mydocker(["images", "["]).exits(1).complains("bad pattern");
}

#[test]
fn a_volume_that_was_created_without_a_name_is_anonymous() {
    let host = Host::new();
    let name = host.mydocker(["volume", "create"]).text();
    host.mydocker(["volume", "create", "named"]);
    host.mydocker(["volume", "prune", "-f"]).stdout_has(&name);
    host.mydocker(["volume", "ls", "-q"]).stdout("named\n");
}

#[test]
fn a_prune_says_what_it_will_remove() {
    let host = Host::with_busybox();
    let ask = "Are you sure you want to continue? [y/N] ";
    let asked = |words: &[&str]| host.feed("n\n", words.to_vec()).text();
    let dangling = asked(&["image", "prune"]);
    assert!(
        dangling.contains("all dangling images.") && dangling.ends_with(ask.trim()),
        "{dangling}"
    );
    assert!(asked(&["image", "prune", "-a"]).contains("all images without at least one"));
    assert!(!asked(&["system", "prune"]).contains("volumes"));
    assert!(asked(&["system", "prune", "--volumes"]).contains("  - all anonymous volumes"));
}

#[test]
fn ps_prints_the_id_of_an_image_that_lost_its_name() {
    let host = Host::with_busybox();
    host.mydocker(["tag", "bb", "app:1"]);
    host.mydocker(["create", "--name", "old", "app:1", "true"]);
    let image = || host.mydocker(["ps", "-a", "--format", "{{.Image}}"]).text();
    assert_eq!(image(), "app:1");
    host.mydocker(["commit", "old", "app:1"]);
    assert_eq!(image(), host.inspect("old", "{{slice .Image 7 19}}"));
    assert_eq!(host.inspect("old", "{{.Config.Image}}"), "app:1");
    host.mydocker(["ps", "-aq", "--filter", "ancestor=app:1"]).stdout("");
    host.mydocker(["ps", "-aq", "--filter", "ancestor=bb"]).stdout_has("\n");
}

#[test]
fn ps_has_the_filters_of_docker() {
    let host = Host::on_machine();
    host.mydocker(["network", "create", "net1"]);
    host.mydocker(["run", "--name", "first", "--network", "none", "-v", "vol:/data", "bb", "true"]);
    host.mydocker(["run", "--name", "failed", "--network", "none", "bb", "sh", "-c", "exit 3"])
        .exits(3);
    let web = ["run", "-d", "--name", "my-web", "--network", "net1", "-p", "127.0.0.1:8080:80"];
    host.mydocker([&web[..], &["--expose", "7000", "bb", "sleep", "1000"]].concat());
    let listed = |filters: &[&str]| {
        let args = filters.iter().flat_map(|filter| ["--filter", filter]);
        let args = ["ps", "-a", "--format", "{{.Names}}"].into_iter().chain(args);
        host.mydocker(args.collect::<Vec<_>>()).text().replace('\n', " ")
    };
    for (filters, names) in [
        (&["name=web"][..], "my-web"),
        (&["name=^web"], ""),
        (&["name=^/my-web$"], "my-web"),
        (&["name=^(first|failed)$"], "failed first"),
        (&["exited=3"], "failed"),
        (&["exited=0", "exited=3"], "failed first"),
        (&["since=first"], "my-web failed"),
        (&["before=failed"], "first"),
        (&["volume=vol"], "first"),
        (&["volume=/data"], "first"),
        (&["network=net1"], "my-web"),
        (&["network=none", "exited=0"], "first"),
        (&["network=absent"], ""),
        (&["publish=8080"], "my-web"),
        (&["publish=8000-8100/tcp"], "my-web"),
        (&["publish=8080/udp"], ""),
        (&["publish=80"], ""),
        (&["expose=6000-7000/tcp"], "my-web"),
        // A published port also counts as exposed.
        (&["expose=80"], "my-web"),
        (&["isolation=default", "status=running"], "my-web"),
        (&["status=removing"], ""),
    ] {
        assert_eq!(listed(filters), names, "{filters:?}");
    }
    let exposed = host.inspect("my-web", "{{json .Config.ExposedPorts}}");
    assert_eq!(exposed, r#"{"7000/tcp":{},"80/tcp":{}}"#);
    host.mydocker(["ps", "--filter", "since=absent"]).exits(1).complains("no such container");
    host.mydocker(["ps", "--filter", "name=*"]).exits(1).complains("nothing before it");
    host.mydocker(["rm", "-f", "my-web"]);
}

#[test]
fn stop_kills_each_without_waiting_for_the_cleanup_of_another() {
    let host = Host::with_busybox();
    for name in ["a", "b"] {
        host.mydocker(["run", "-d", "--name", name, "bb", "sleep", "1000"]);
    }
    // The monitor of the first container is stopped, so it can't clean up.
    let monitor = Pid::from_raw(host.monitor("a")).unwrap();
    kill_process(monitor, Signal::STOP).unwrap();
    let stopping = host.background(["stop", "-t", "0", "a", "b"]);
    eventually("the second has ended", || {
        let listed = host.command(["ps", "-aq", "--filter", "status=exited"]).output().unwrap();
        !listed.stdout.is_empty()
    });
    kill_process(monitor, Signal::CONT).unwrap();
    stopping.wait().exits(0).stdout("a\nb\n");
}
