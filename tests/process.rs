//! What the command of `run` finds as a process: environment, directory, arguments, limits, signals.

mod support;

use support::Host;

/// `run --rm FLAGS bb sh -c SCRIPT`
fn shell(host: &Host, flags: &[&str], script: &str) -> support::Done {
    let mut args = vec!["run", "--rm"];
    args.extend(flags);
    args.extend(["bb", "sh", "-c", script]);
    host.mydocker(args)
}

#[test]
fn the_environment_is_dockers() {
    let host = Host::with_busybox();
    let mut command = host.command([
        "run",
        "--rm",
        "-h",
        "box",
        "-e",
        "FROM_HOST",
        "-e",
        "UNSET",
        "-e",
        "A=1",
        "--env",
        "B=two words",
        "-e",
        "A=3",
        "-e",
        "EMPTY=",
        "bb",
        "env",
    ]);
    command.env("FROM_HOST", "passed on").env("LEAK", "never").env_remove("UNSET");
    let output = command.output().unwrap();
    let mut lines: Vec<_> = std::str::from_utf8(&output.stdout).unwrap().lines().collect();
    lines.sort_unstable();
    assert_eq!(
        lines,
        [
            "A=3",
            "B=two words",
            "EMPTY=",
            "FROM_HOST=passed on",
            "HOME=/root",
            "HOSTNAME=box",
            "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        ]
    );
}

#[test]
fn variables_from_a_file() {
    let host = Host::with_busybox();
    let file = host.file("env", "# a comment\n\nA=from file\nB=1=2\n  C=3\n");
    let file = file.to_str().unwrap();
    shell(&host, &["--env-file", file, "-e", "A=flag"], "echo $A,$B,$C").stdout("flag,1=2,3\n");
    let bad = host.file("bad", "no good name=1\n");
    shell(&host, &["--env-file", bad.to_str().unwrap()], "env").refused("bad");
}

#[test]
fn the_working_directory_is_made() {
    let host = Host::with_busybox();
    shell(&host, &[], "pwd").stdout("/\n");
    shell(&host, &["-w", "/tmp"], "pwd").stdout("/tmp\n");
    shell(&host, &["--workdir", "/new/deep"], "pwd").stdout("/new/deep\n");
    shell(&host, &["-w", "/etc/passwd"], "pwd").exits(126).stdout("").complains("/etc/passwd");
    shell(&host, &["-w", "relative"], "pwd").refused("relative");
}

#[test]
fn the_entrypoint_goes_before_the_command() {
    let host = Host::with_busybox();
    host.mydocker(["run", "--rm", "--entrypoint", "echo", "bb", "a", "b"]).stdout("a b\n");
    host.mydocker(["run", "--rm", "--entrypoint", "/bin/date", "bb"]).stdout_has("20");
    host.mydocker(["run", "--rm", "--entrypoint", "", "bb", "echo", "x"]).stdout("x\n");
    host.mydocker(["run", "--rm", "bb"]).refused("no command");
}

#[test]
fn init_reaps_orphans_and_forwards_signals() {
    let host = Host::with_busybox();
    // Until none of them is left, not even as a zombie.
    let orphans = "for i in 1 2 3 4 5; do (sleep 0.01 &) ; done; \
        while ps -o comm | grep -q sleep; do :; done; echo $$";
    assert_ne!(shell(&host, &["--init"], orphans).exits(0).text(), "1");
    let script = "trap 'exit 4' TERM; echo ready; while :; do sleep 0.05; done";
    let mut run = host.background(["run", "--init", "--name", "i", "bb", "sh", "-c", script]);
    run.expect("ready");
    host.mydocker(["stop", "-t", "100", "i"]).stdout("i\n");
    run.wait().exits(4);
}

#[test]
fn resource_limits_of_the_process() {
    let host = Host::with_busybox();
    let flags = ["--ulimit", "nofile=100:200", "--ulimit", "core=0", "--ulimit", "nproc=50"];
    shell(
        &host,
        &flags,
        "ulimit -Sn; ulimit -Hn; ulimit -c; awk '/processes/{print $3}' /proc/self/limits",
    )
    .stdout("100\n200\n0\n50\n");
    shell(&host, &["--ulimit", "nofile=200:100"], "true").refused("nofile");
    shell(&host, &["--ulimit", "nosuch=1"], "true").refused("nosuch");
    let flags = ["--oom-score-adj", "500"];
    shell(&host, &flags, "cat /proc/self/oom_score_adj").stdout("500\n");
}

#[test]
fn signals_begin_at_their_defaults_and_none_is_blocked() {
    let host = Host::with_busybox();
    let fields = "grep -E '^Sig(Blk|Ign|Cgt)' /proc/self/status";
    let expected = "SigBlk:\t0000000000000000\nSigIgn:\t0000000000000000\n";
    host.mydocker(["run", "--rm", "bb", "grep", "-E", "^Sig(Blk|Ign)", "/proc/self/status"])
        .stdout(expected);
    shell(&host, &["--init"], fields).stdout_has("SigBlk:\t0000000000000000\n");
}

#[test]
fn nothing_but_three_descriptors() {
    let host = Host::with_busybox();
    let file = std::fs::File::open("/etc/passwd").unwrap();
    // Left open on purpose, as a careless caller would.
    rustix::io::fcntl_setfd(&file, rustix::io::FdFlags::empty()).unwrap();
    // 3 is ls's own.
    host.mydocker(["run", "--rm", "bb", "ls", "/proc/self/fd"]).stdout("0\n1\n2\n3\n");
    host.mydocker(["run", "--rm", "-t", "bb", "ls", "-1", "/proc/self/fd"])
        .stdout("0\r\n1\r\n2\r\n3\r\n");
}

#[test]
fn the_stop_signal_and_its_patience() {
    let host = Host::with_busybox();
    let script = "trap 'echo hup; exit 3' HUP; trap '' TERM; echo ready; \
        while :; do sleep 0.05; done";
    let run = ["run", "--stop-signal", "HUP", "--stop-timeout", "100", "--name", "h"];
    let mut hup = host.background(run.iter().chain(&["bb", "sh", "-c", script]));
    hup.expect("ready");
    host.mydocker(["stop", "h"]);
    hup.wait().exits(3).stdout("ready\nhup\n");
    let run = ["run", "--stop-timeout", "1", "--name", "t", "bb", "sh", "-c", script];
    let mut deaf = host.background(run);
    deaf.expect("ready");
    host.mydocker(["stop", "t"]);
    deaf.wait().exits(137);
    host.mydocker(["run", "--stop-signal", "NOSUCH", "bb", "true"]).refused("NOSUCH");
}

#[test]
fn scripts_need_their_interpreter_line() {
    let host = Host::with_busybox();
    let make = "printf '#!/bin/sh\\necho script $1\\n' >/s; chmod +x /s; \
        printf '#!/no/such\\n' >/t; chmod +x /t; printf 'echo bare\\n' >/u; chmod +x /u";
    host.mydocker(["run", "--name", "c", "bb", "sh", "-c", make]);
    let root = host.mydocker(["inspect", "--format", "{{.Id}}", "c"]).text();
    let upper = host.state_root().join("containers").join(root).join("upper");
    let mount = |name: &str| format!("{}:/{name}:ro", upper.join(name).display());
    host.mydocker(["run", "--rm", "-v", &mount("s"), "bb", "/s", "1"]).stdout("script 1\n");
    host.mydocker(["run", "--rm", "-v", &mount("t"), "bb", "/t"]).exits(127);
    host.mydocker(["run", "--rm", "-v", &mount("u"), "bb", "/u"]).exits(126).complains("/u");
}
