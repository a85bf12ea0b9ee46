//! `logs` prints a container's output: all of it, a part, or each line while the container runs.
//! The log drivers and the rotation of log files are here too.
//!
//! The log of a container is a file of records that the monitor writes. How output reaches an
//! attached client is in `tests/crash_output.rs` and `tests/run.rs`.

mod support;

use std::os::unix::net::UnixDatagram;

use rustix::process::{Pid, Signal, kill_process};
use support::{Host, eventually};

#[test]
fn stdout_and_stderr_are_separate() {
    let host = Host::with_busybox();
    let script = "echo out1; echo err1 >&2; echo out2; printf unended";
    host.mydocker(["run", "--name", "c", "bb", "sh", "-c", script]);
    host.mydocker(["logs", "c"]).stdout("out1\nout2\nunended").stderr("err1\n");
    // A terminal has only one output.
    host.mydocker(["run", "-t", "--name", "t", "bb", "sh", "-c", "echo out; echo err >&2"]);
    host.mydocker(["logs", "t"]).stdout("out\r\nerr\r\n").stderr("");
}

#[test]
fn tail_prints_the_last_lines() {
    let host = Host::with_busybox();
    host.mydocker(["run", "--name", "c", "bb", "seq", "100"]);
    host.mydocker(["logs", "--tail", "3", "c"]).stdout("98\n99\n100\n");
    host.mydocker(["logs", "-n", "1", "c"]).stdout("100\n");
    host.mydocker(["logs", "--tail", "0", "c"]).stdout("");
    assert_eq!(host.mydocker(["logs", "--tail", "all", "c"]).lines().len(), 100);
    assert_eq!(host.mydocker(["logs", "--tail", "1000", "c"]).lines().len(), 100);
    host.mydocker(["logs", "--tail", "many", "c"]).refused("many");
}

#[test]
fn since_and_until_limit_the_lines() {
    let host = Host::with_busybox();
    let script = "echo early; sleep 1.2; echo late";
    host.mydocker(["run", "--name", "c", "bb", "sh", "-c", script]);
    let dated = host.mydocker(["logs", "-t", "c"]).lines();
    let times: Vec<&str> = dated.iter().map(|line| line.split(' ').next().unwrap()).collect();
    assert!(times[0] < times[1] && times[0].ends_with('Z') && times[0].len() == 30, "{times:?}");
    assert!(dated[0].ends_with(" early"));
    host.mydocker(["logs", "--since", times[1], "c"]).stdout("late\n");
    host.mydocker(["logs", "--until", times[0], "c"]).stdout("early\n");
    host.mydocker(["logs", "--since", "1h", "c"]).stdout("early\nlate\n");
    host.mydocker(["logs", "--until", "1h", "c"]).stdout("");
    host.mydocker(["logs", "--since", "teatime", "c"]).exits(1).complains("teatime");
}

#[test]
fn details_are_printed_before_each_line() {
    let host = Host::with_busybox();
    let run = "run --name c --label a=1 --label b=x,y --label c=3 -e E=1 -e F2=2 --log-opt labels=a,b \
               --log-opt env=E --log-opt env-regex=^F bb printf one\\ntwo";
    host.mydocker(run.split_whitespace());
    let details = "E=1,F2=2,a=1,b=x%2Cy";
    let both = format!("{details} one\n{details} two");
    host.mydocker(["logs", "--details", "c"]).stdout(&both);
    host.mydocker(["logs", "--details", "-n", "1", "c"]).stdout(&format!("{details} two"));
    host.mydocker(["logs", "--details", "-t", "c"]).stdout_has(&format!("Z {details} one\n"));
    host.mydocker(["logs", "c"]).stdout("one\ntwo");
    // Without details, only the space is printed, as in Docker.
    host.mydocker(["run", "--name", "d", "bb", "echo", "one"]);
    host.mydocker(["logs", "--details", "d"]).stdout(" one\n");
    let tag = ["--log-opt", "tag={{.ImageName}}/{{.Name}} {{slice .FullID 0 12}}{{.ID}}"];
    let run = [&["run", "--name", "e", "--log-opt", "labels=z", "-l", "z=1"], &tag[..]].concat();
    host.mydocker([&run[..], &["bb", "echo", "one"]].concat());
    let id = host.inspect("e", "{{slice .Id 0 12}}");
    host.mydocker(["logs", "--details", "e"]).stdout(&format!("tag=bb%2Fe+{id}{id},z=1 one\n"));
    for bad in ["tag={{.Nope}}", "tag={{"] {
        host.mydocker(["create", "--name", "untagged", "--log-opt", bad, "bb", "true"])
            .refused("tag");
        assert!(!host.succeeds(["inspect", "untagged"]), "{bad}");
    }
}

/// The datagrams that arrive at `socket`, up to and including the first that ends with `last`.
fn received(socket: &UnixDatagram, last: &str) -> Vec<String> {
    socket.set_read_timeout(Some(support::PATIENCE)).unwrap();
    let mut all: Vec<String> = Vec::new();
    let mut buffer = [0; 65536];
    while all.last().is_none_or(|line| !line.ends_with(last)) {
        let length = socket.recv(&mut buffer).unwrap();
        all.push(String::from_utf8_lossy(&buffer[..length]).into_owned());
    }
    all
}

#[test]
fn lines_go_to_syslog_and_to_the_log() {
    let host = Host::with_busybox();
    let path = host.scratch().join("syslog");
    let address = format!("syslog-address=unix://{}", path.display());
    let run = [
        "run",
        "--network",
        "none",
        "--name",
        "c",
        "--log-driver",
        "syslog",
        "--log-opt",
        &address,
    ];
    // No daemon listens at the address yet.
    let refused = host.mydocker([&run[..], &["--rm", "bb", "true"]].concat());
    refused.exits(125).stderr_has("needs a daemon that reads").stderr_has("syslog");
    let socket = UnixDatagram::bind(&path).unwrap();
    let long = "x".repeat(20_000);
    let script = format!("echo one; sleep 0.1; echo two >&2; sleep 0.1; echo {long}; printf end");
    let options = ["--log-opt", "tag={{.Name}}", "--log-opt", "syslog-facility=local0"];
    host.mydocker([&run[..], &options, &["bb", "sh", "-c", &script]].concat());
    let lines = received(&socket, "end");
    let texts: Vec<&str> = lines.iter().map(|line| line.split_once("]: ").expect(line).1).collect();
    assert_eq!(texts, ["one", "two", &long[..16384], &long[16384..], "end"]);
    assert!(lines[0].starts_with("<134>c[") && lines[1].starts_with("<131>c["), "{lines:?}");
    host.mydocker(["logs", "c"]).stdout(&format!("one\n{long}\nend")).stderr("two\n");
    assert_eq!(host.inspect("c", "{{.HostConfig.LogConfig.Type}}"), "syslog");
    // A daemon that has restarted gets the next line.
    let script = "echo first; read wait; echo second";
    let again = [&run[..4], &["d", "-d", "-i"], &run[5..], &["bb", "sh", "-c", script]].concat();
    host.mydocker(again);
    received(&socket, "first");
    drop(socket);
    std::fs::remove_file(&path).unwrap();
    let socket = UnixDatagram::bind(&path).unwrap();
    host.feed("\n", ["attach", "d"]);
    received(&socket, "second");
}

#[test]
fn a_syslog_daemon_that_does_not_read_stops_no_container() {
    let host = Host::with_busybox();
    let path = host.scratch().join("syslog");
    let socket = UnixDatagram::bind(&path).unwrap();
    let address = format!("syslog-address=unix://{}", path.display());
    let run = ["run", "--rm", "--network", "none", "--log-driver", "syslog", "--log-opt", &address];
    let mode = ["--log-opt", "mode=non-blocking", "bb", "seq", "10000"];
    host.mydocker([&run[..], &mode].concat()).stdout_has("\n10000\n");
    drop(socket);
}

#[test]
fn lines_go_to_the_journal_with_dockers_fields() {
    let host = Host::with_busybox();
    let dir = host.scratch().join("journal");
    std::fs::create_dir(&dir).unwrap();
    let socket = UnixDatagram::bind(dir.join("socket")).unwrap();
    // The journal's socket has one fixed path, so mount the test's socket there, in a new mount
    // namespace.
    let run = "run --rm --network none --name c --log-driver journald --log-opt labels=a.b --log-opt \
               tag=mine -l a.b=1 bb sh -c";
    let mut command = std::process::Command::new("unshare");
    command.args(["--mount", "--propagation", "private", "sh", "-c"]);
    command.arg(format!(
        "mount -t tmpfs none /run && mkdir -p /run/systemd/journal && \
         mount --bind {} /run/systemd/journal && {}",
        dir.display(),
        host.shell_line()
    ));
    command.arg("mydocker").args(run.split_whitespace()).arg("echo out; sleep 0.1; echo err >&2");
    support::run_command(command).stdout("out\n").stderr("err\n");
    let entries = received(&socket, "MESSAGE=err\n");
    assert_eq!(entries.len(), 2, "{entries:?}");
    assert!(entries[0].ends_with("PRIORITY=6\nMESSAGE=out\n"), "{entries:?}");
    for part in ["CONTAINER_NAME=c\n", "CONTAINER_TAG=mine\n", "\nA_B=1\n", "PRIORITY=3\n"] {
        assert!(entries[1].contains(part), "{entries:?}");
    }
}

#[test]
fn if_both_outputs_are_ready_stdout_comes_first() {
    let host = Host::with_busybox();
    let script =
        "until test -e /go; do sleep 0.02; done; echo one; echo two >&2; touch /done; sleep 1000";
    let run = ["run", "-d", "--network", "none", "--name", "c", "bb", "sh", "-c", script];
    host.mydocker(run);
    // While the monitor is stopped, both outputs become readable.
    let monitor = Pid::from_raw(host.monitor("c")).unwrap();
    kill_process(monitor, Signal::STOP).unwrap();
    host.mydocker(["exec", "c", "touch", "/go"]);
    eventually("both are written", || host.succeeds(["exec", "c", "test", "-e", "/done"]));
    kill_process(monitor, Signal::CONT).unwrap();
    let mut logs = std::process::Command::new("sh");
    logs.args(["-c", &format!("({}) 2>&1", host.shell_line()), "sh", "logs", "c"]);
    let mut both = || String::from_utf8(logs.output().unwrap().stdout).unwrap();
    eventually("both are logged", || both().lines().count() == 2);
    assert_eq!(both(), "one\ntwo\n");
}

#[test]
fn follow_ends_with_the_container() {
    let host = Host::with_busybox();
    let script = "echo first; read line; echo $line; read line; echo $line >&2";
    host.mydocker(["run", "-di", "--name", "c", "bb", "sh", "-c", script]);
    let mut logs = host.background(["logs", "-f", "c"]);
    logs.expect("first\n");
    let mut typist = host.background(["attach", "c"]);
    typist.type_in("second\n");
    logs.expect("first\nsecond\n");
    typist.type_in("third\n");
    logs.wait().stdout("first\nsecond\n").stderr("third\n");
    host.mydocker(["logs", "-f", "c"]).stdout("first\nsecond\n");
    typist.wait().stdout("second\n").stderr("third\n");
}

#[test]
fn follow_ends_with_a_removal() {
    let host = Host::with_busybox();
    let script = "echo here; sleep 1000";
    host.mydocker(["run", "-d", "--rm", "--name", "c", "bb", "sh", "-c", script]);
    let mut logs = host.background(["logs", "--follow", "c"]);
    logs.expect("here\n");
    host.mydocker(["rm", "-f", "c"]);
    logs.wait().stdout("here\n");
}

#[test]
fn a_restart_appends() {
    let host = Host::with_busybox();
    host.mydocker(["run", "--name", "c", "bb", "echo", "again"]);
    host.mydocker(["start", "-a", "c"]).stdout("again\n");
    host.mydocker(["logs", "c"]).stdout("again\nagain\n");
}

#[test]
fn log_files_rotate_and_the_oldest_is_removed() {
    let host = Host::with_busybox();
    let options = ["--log-opt", "max-size=64k", "--log-opt", "max-file=3"];
    let mut args = vec!["run", "-d", "--name", "c"];
    args.extend(options);
    args.extend(["bb", "seq", "200000"]);
    let id = host.mydocker(args).text();
    host.mydocker(["wait", "c"]);
    let dir = host.state_root().join("containers").join(&id);
    let mut logs: Vec<_> = std::fs::read_dir(&dir)
        .unwrap()
        .map(|entry| entry.unwrap())
        .filter(|entry| entry.file_name().to_string_lossy().starts_with("log"))
        .map(|entry| (entry.file_name().into_string().unwrap(), entry.metadata().unwrap().len()))
        .collect();
    logs.sort();
    let names: Vec<_> = logs.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["log", "log.1", "log.2"]);
    assert!(logs.iter().all(|(_, size)| *size <= 66_000), "{logs:?}");
    let lines = host.mydocker(["logs", "c"]).lines();
    assert_eq!(lines.last().unwrap(), "200000");
    // The lines that are left have no gap, wherever the files were cut.
    let kept: Vec<u32> = lines.iter().skip(1).map(|line| line.parse().unwrap()).collect();
    assert!(kept.len() > 5000 && kept.windows(2).all(|pair| pair[1] == pair[0] + 1));
    host.mydocker(["run", "--log-opt", "max-size=tiny", "bb", "true"]).refused("max-size");
    host.mydocker(["run", "--log-opt", "colour=red", "bb", "true"]).refused("colour");
}

#[test]
fn following_misses_nothing_while_files_rotate() {
    let host = Host::with_busybox();
    let script = "read go; seq 60000";
    host.mydocker([
        "run",
        "-di",
        "--name",
        "c",
        "--log-opt",
        "max-size=100k",
        "--log-opt",
        "max-file=5",
        "bb",
        "sh",
        "-c",
        script,
    ]);
    let logs = host.background(["logs", "-f", "c"]);
    let mut typist = host.background(["attach", "c"]);
    typist.type_in("go\n");
    let expected: String = (1..=60000).map(|number| format!("{number}\n")).collect();
    typist.wait().stdout(&expected);
    logs.wait().stdout(&expected);
}

#[test]
fn the_driver_none_keeps_no_output() {
    let host = Host::with_busybox();
    host.mydocker(["run", "--log-driver", "none", "--name", "c", "bb", "echo", "x"]).stdout("x\n");
    host.mydocker(["logs", "c"]).exits(1).complains("was made with --log-driver none");
}

#[test]
fn every_byte_of_output_is_kept() {
    let host = Host::with_busybox();
    let script = "head -c 300000 /dev/urandom | tee /copy";
    let written = host.mydocker(["run", "--name", "c", "bb", "sh", "-c", script]).bytes();
    let logged = host.mydocker(["logs", "c"]).bytes();
    assert!(written == logged && written.len() == 300_000);
    eventually("it ended", || !host.is_running("c"));
}
