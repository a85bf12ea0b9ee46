//! A program's output reaches the log completely, and a client gets all of it or is disconnected.
//! With a log, only the first client, which started the container, can make the program wait:
//! until the client has read nothing for a second, or longer if the log's rotation would otherwise
//! remove output that the client has not read.
//!
//! A client is a process of the user, so the tests stop clients or make them slow. They compare
//! bytes and never rates.

mod support;

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::process::{Child, Stdio};

use rustix::fs::{OFlags, fcntl_setfl};
use rustix::pipe::{PipeFlags, fcntl_setpipe_size, pipe_with};
use rustix::process::{Pid, Signal, kill_process};
use support::{Host, eventually};

/// The output of `seq 1 LAST`.
fn numbers(last: u32) -> String {
    (1..=last).map(|number| format!("{number}\n")).collect()
}

fn spawn(host: &Host, args: &[&str]) -> Child {
    host.command(args).stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap()
}

fn read_all(child: &mut Child) -> String {
    let mut text = String::new();
    child.stdout.take().unwrap().read_to_string(&mut text).unwrap();
    text
}

#[test]
fn the_last_output_is_never_lost() {
    let host = Host::with_busybox();
    let expected = numbers(3000);
    for round in 0..20 {
        let name = format!("round{round}");
        host.mydocker(["run", "--name", &name, "bb", "seq", "1", "3000"]).stdout(&expected);
        host.mydocker(["logs", &name]).stdout(&expected);
    }
    // A terminal loses nothing either.
    let name = ["run", "-t", "--name", "tty", "bb", "seq", "1", "3000"];
    host.mydocker(name).stdout(&expected.replace('\n', "\r\n"));
}

#[test]
fn unread_input_does_not_hide_the_exit_status() {
    let host = Host::with_busybox();
    for _ in 0..10 {
        host.feed(vec![b'y'; 1 << 20], ["run", "--rm", "-i", "bb", "sh", "-c", "echo bye; exit 7"])
            .exits(7)
            .stdout("bye\n");
    }
}

#[test]
fn a_stuck_client_gets_all_output_later_and_delays_nothing() {
    let host = Host::with_busybox();
    // The output has about 5 MB, much more than a socket's buffer, and makes the log rotate.
    let line = ["run", "--name", "talker", "--log-opt", "max-size=2m", "--log-opt", "max-file=5"];
    let mut first = spawn(&host, &[&line[..], &["bb", "seq", "1", "700000"]].concat());
    eventually("the program has ended, unread", || {
        host.command(["wait", "talker"]).output().unwrap().status.success()
    });
    let expected = numbers(700_000);
    host.mydocker(["logs", "talker"]).stdout(&expected);
    assert!(read_all(&mut first) == expected, "the first client lost some");
    assert!(first.wait().unwrap().success());
}

#[test]
fn a_stopped_client_delays_nothing() {
    let host = Host::with_busybox();
    let script = "while ! read -t 1 go; do echo ready; done; seq 1 200000; read go; echo end";
    host.mydocker(["run", "-di", "--name", "talker", "bb", "sh", "-c", script]);
    let mut attached = spawn(&host, &["attach", "--no-stdin", "talker"]);
    let mut other = host.background(["attach", "talker"]);
    // Both clients must be attached before one of them is stopped.
    let mut ready = [0; 6];
    attached.stdout.as_mut().unwrap().read_exact(&mut ready).unwrap();
    other.expect("ready\n");
    let pid = Pid::from_child(&attached);
    kill_process(pid, Signal::STOP).unwrap();
    other.type_in("go\n");
    other.expect("200000\n");
    other.type_in("go\n");
    other.wait().exits(0).stdout_has("end\n");
    kill_process(pid, Signal::CONT).unwrap();
    let text = read_all(&mut attached);
    assert!(text.ends_with("200000\nend\n"), "{}", &text[text.len().saturating_sub(100)..]);
    assert!(attached.wait().unwrap().success());
}

#[test]
fn a_client_that_the_log_outruns_reports_it() {
    let host = Host::with_busybox();
    let log = ["--log-opt", "max-size=1m", "--log-opt", "max-file=2"];
    let script = "while ! read -t 1 go; do echo ready; done; seq 1 1000000; exec sleep 1000";
    let run = ["run", "-i", "--init", "--name", "talker"];
    let mut first = host.background([&run[..], &log, &["bb", "sh", "-c", script]].concat());
    first.expect("ready\n");
    let mut attached = host.background(["attach", "--no-stdin", "talker"]);
    attached.expect("ready\n");
    attached.signal(Signal::STOP);
    first.type_in("go\n");
    first.expect("1000000\n");
    attached.signal(Signal::CONT);
    attached.wait().exits(1).stderr_has("it wrote faster than this client read");
    host.mydocker(["kill", "talker"]);
    first.wait().exits(137);
}

#[test]
fn a_slow_reader_of_a_pipeline_loses_nothing() {
    let host = Host::with_busybox();
    // The log is too small for the output.
    let line = ["run", "--rm", "--log-opt", "max-size=64k", "--log-opt", "max-file=1"];
    let mut child = spawn(&host, &[&line[..], &["bb", "seq", "1", "500000"]].concat());
    std::thread::sleep(std::time::Duration::from_millis(1500));
    assert!(read_all(&mut child) == numbers(500_000), "the pipeline lost some");
    assert!(child.wait().unwrap().success());
    // Without a log nothing is lost either.
    let mut child =
        spawn(&host, &["run", "--rm", "--log-driver", "none", "bb", "seq", "1", "300000"]);
    std::thread::sleep(std::time::Duration::from_millis(1500));
    assert!(read_all(&mut child) == numbers(300_000), "the pipeline lost some");
}

#[test]
fn logs_follow_through_rotation() {
    let host = Host::with_busybox();
    let script = "echo up; read go; seq -w 1 100000";
    let mut first = host.background([
        "run",
        "-i",
        "--name",
        "talker",
        "--log-opt",
        "max-size=100k",
        "--log-opt",
        "max-file=4",
        "bb",
        "sh",
        "-c",
        script,
    ]);
    first.expect("up\n");
    let followers = [(); 3].map(|()| host.background(["logs", "-f", "talker"]));
    first.type_in("go\n");
    let all = first.wait().text();
    let lines: Vec<&str> = all.lines().collect();
    assert_eq!(lines.len(), 100_001);
    for follower in followers {
        // Rotation may overtake a follower. Then the follower misses a part of the output. The part
        // may start and end within a line, but no line is repeated, out of order or invented.
        let followed = follower.wait().text();
        let (mut next, mut torn) = (0, 0);
        for line in followed.lines() {
            match lines[next..].iter().position(|known| *known == line) {
                Some(missed) => next += missed + 1,
                None if line.len() < "100000".len() => torn += 1,
                None => panic!("doubled or made up: {line} after {:?}", lines[..next].last()),
            }
        }
        assert_eq!(next, lines.len());
        // About 700 kB went through files of 100 kB. Each lost file can tear two lines.
        assert!(torn <= 2 * 8, "{torn} parts of lines");
    }
    let files = std::fs::read_dir(host.state_root().join("containers")).unwrap();
    let logs: u64 = files
        .flatten()
        .filter_map(|dir| std::fs::read_dir(dir.path()).ok())
        .flat_map(|files| files.flatten())
        .filter(|file| file.file_name().to_string_lossy().starts_with("log"))
        .map(|file| file.metadata().unwrap().len())
        .sum();
    assert!((1..=4 * 100_000).contains(&logs), "{logs} bytes of logs");
}

#[test]
fn the_log_is_bounded_by_default() {
    let host = Host::with_busybox();
    let script = "dd if=/dev/zero bs=64k count=640 2>/dev/null; echo; echo last";
    host.mydocker(["run", "-d", "--name", "talker", "bb", "sh", "-c", script]);
    host.mydocker(["wait", "talker"]).stdout("0\n");
    let kept = host.mydocker(["logs", "talker"]).bytes();
    assert!((20_000_000..=30_000_000).contains(&kept.len()), "{} bytes", kept.len());
    assert!(kept.ends_with(b"last\n"));
}

#[test]
fn too_many_clients_are_refused_and_commands_still_work() {
    let host = Host::with_busybox();
    host.mydocker(["run", "-d", "--name", "talker", "bb", "sleep", "1000"]);
    let mut attached: Vec<Child> =
        (0..80).map(|_| spawn(&host, &["attach", "--no-stdin", "talker"])).collect();
    let mut refused = 0;
    eventually("sixteen are turned away", || {
        refused = attached.iter_mut().filter_map(|child| child.try_wait().unwrap()).count();
        refused >= 16
    });
    assert_eq!(refused, 16);
    host.mydocker(["exec", "talker", "echo", "hi"]).stdout("hi\n");
    host.mydocker(["ps"]).stdout_has("talker");
    host.mydocker(["wait", "talker"]).exits(1).stderr_has("too many");
    host.mydocker(["rm", "-f", "talker"]).stdout("talker\n");
    for mut child in attached {
        child.wait().unwrap();
    }
}

/// A pipe with a buffer of one page. The command's end is non-blocking, as node and CI runners
/// leave it.
fn narrow_pipe(commands_end_writes: bool) -> (OwnedFd, OwnedFd) {
    let (reader, writer) = pipe_with(PipeFlags::CLOEXEC).unwrap();
    fcntl_setpipe_size(&writer, 4096).unwrap();
    let theirs = if commands_end_writes { &writer } else { &reader };
    fcntl_setfl(theirs, OFlags::NONBLOCK).unwrap();
    (reader, writer)
}

/// Runs a command, which must succeed, with non-blocking standard streams. The test uses the other
/// ends of the streams only after a pause. Returns the command's stdout.
fn on_streams_that_do_not_block(host: &Host, args: &[&str], input: &[u8]) -> Vec<u8> {
    let (stdin, type_in) = narrow_pipe(false);
    let (output, stdout) = narrow_pipe(true);
    let (complaints, stderr) = narrow_pipe(true);
    let mut command = host.command(args);
    let mut child = command.stdin(stdin).stdout(stdout).stderr(stderr).spawn().unwrap();
    // Close the copies of the command's ends, which `command` holds open.
    drop(command);
    let input = input.to_vec();
    let slowness = std::time::Duration::from_millis(50);
    let typist = std::thread::spawn(move || {
        std::thread::sleep(slowness);
        // Ignore an error: if the command does not read all, the command's exit status shows this.
        let _ = File::from(type_in).write_all(&input);
    });
    let read = |from: OwnedFd| {
        std::thread::spawn(move || {
            std::thread::sleep(slowness * 2);
            let mut bytes = Vec::new();
            File::from(from).read_to_end(&mut bytes).unwrap();
            bytes
        })
    };
    let (output, complaints) = (read(output), read(complaints));
    let status = child.wait().unwrap();
    typist.join().unwrap();
    let output = output.join().unwrap();
    let complaints = String::from_utf8_lossy(&complaints.join().unwrap()).into_owned();
    assert!(status.success(), "{args:?}: {status}: {complaints}");
    output
}

#[test]
fn streams_that_do_not_block_lose_nothing() {
    let host = Host::with_busybox();
    let read_slowly = |args: &[&str]| on_streams_that_do_not_block(&host, args, b"");
    let saved = host.mydocker(["save", "bb"]).bytes();
    assert!(read_slowly(&["save", "bb"]) == saved, "save");
    let loaded = on_streams_that_do_not_block(&host, &["load"], &saved);
    assert_eq!(String::from_utf8_lossy(&loaded), "Loaded image: bb:latest\n");
    host.mydocker(["run", "--name", "c", "bb", "seq", "1", "30000"]);
    assert!(read_slowly(&["logs", "c"]) == numbers(30_000).as_bytes(), "logs");
    let tar = host.mydocker(["export", "c"]).bytes();
    assert!(read_slowly(&["export", "c"]) == tar, "export");
    on_streams_that_do_not_block(&host, &["import", "-", "two"], &tar);
    let tar = host.mydocker(["cp", "c:/bin/busybox", "-"]).bytes();
    assert!(read_slowly(&["cp", "c:/bin/busybox", "-"]) == tar, "cp to a stream");
    on_streams_that_do_not_block(&host, &["cp", "-", "c:/tmp"], &tar);
    assert!(host.mydocker(["cp", "c:/tmp/busybox", "-"]).bytes() == tar, "cp from a stream");
    let many = ["c"; 20];
    let inspect = [&["inspect"], &many[..]].concat();
    assert!(read_slowly(&inspect) == host.mydocker(&inspect).bytes(), "inspect");
    let manual = host.mydocker(["man"]).bytes();
    assert!(read_slowly(&["man"]) == manual, "man");
    let seq = ["run", "--rm", "bb", "seq", "1", "30000"];
    assert!(read_slowly(&seq) == numbers(30_000).as_bytes(), "run");
    let cat = ["run", "--rm", "-i", "bb", "cat"];
    let text = numbers(30_000);
    assert!(
        on_streams_that_do_not_block(&host, &cat, text.as_bytes()) == text.as_bytes(),
        "run -i"
    );
    host.mydocker(["volume", "create", "data"]);
    on_streams_that_do_not_block(&host, &["volume", "prune", "-a"], b"y\n");
    host.mydocker(["volume", "ls", "-q"]).stdout("");
    let config = host.scratch().join("auth");
    let login = ["login", "-u", "me", "--password-stdin", "127.0.0.1:1"];
    // No registry listens on this port. The test checks that the command waits for the password.
    let (stdin, type_in) = narrow_pipe(false);
    let mut command = host.command(login);
    command.env("DOCKER_CONFIG", &config).stdin(stdin).stderr(Stdio::piped());
    let child = command.spawn().unwrap();
    std::thread::sleep(std::time::Duration::from_millis(50));
    File::from(type_in).write_all(b"secret\n").unwrap();
    let complaint = child.wait_with_output().unwrap().stderr;
    let complaint = String::from_utf8_lossy(&complaint).into_owned();
    assert!(!complaint.contains("temporarily unavailable"), "{complaint}");
    // The command loses none of its 400 error lines.
    let (output, stderr) = narrow_pipe(true);
    let missing: Vec<String> = (0..400).map(|number| format!("missing{number}")).collect();
    let mut command = host.command([&["rm".to_owned()][..], &missing].concat());
    let mut child = command.stderr(stderr).spawn().unwrap();
    drop(command);
    std::thread::sleep(std::time::Duration::from_millis(100));
    let mut complaints = String::new();
    File::from(output).read_to_string(&mut complaints).unwrap();
    child.wait().unwrap();
    assert_eq!(complaints.lines().count(), 400);
}
