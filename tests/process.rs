//! The command of `run` as a process: its environment, directory, arguments, limits and signals.
//!
//! In many tests the command prints its own settings, and the test compares the output. Users are
//! in `tests/users.rs`, limits of cgroups in `tests/limits.rs`.

mod support;

use support::Host;

#[test]
fn the_environment_is_the_same_as_dockers() {
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
fn env_file_sets_variables() {
    let host = Host::with_busybox();
    let file = host.file("env", "# a comment\n\nA=from file\nB=1=2\n  C=3\n");
    let file = file.to_str().unwrap();
    host.shell(&["--env-file", file, "-e", "A=flag"], "echo $A,$B,$C").stdout("flag,1=2,3\n");
    let bad = host.file("bad", "no good name=1\n");
    host.shell(&["--env-file", bad.to_str().unwrap()], "env").refused("bad");
}

#[test]
fn a_missing_working_directory_is_made() {
    let host = Host::with_busybox();
    host.shell(&[], "pwd").stdout("/\n");
    host.shell(&["-w", "/tmp"], "pwd").stdout("/tmp\n");
    host.shell(&["--workdir", "/new/deep"], "pwd").stdout("/new/deep\n");
    host.shell(&["-w", "/etc/passwd"], "pwd").exits(125).stdout("").complains("/etc/passwd");
    host.shell(&["-w", "relative"], "pwd").refused("relative");
}

#[test]
fn the_entrypoint_comes_before_the_command() {
    let host = Host::with_busybox();
    host.mydocker(["run", "--rm", "--entrypoint", "echo", "bb", "a", "b"]).stdout("a b\n");
    host.mydocker(["run", "--rm", "--entrypoint", "/bin/date", "bb"]).stdout_has("20");
    host.mydocker(["run", "--rm", "--entrypoint", "", "bb", "echo", "x"]).stdout("x\n");
    host.mydocker(["run", "--rm", "bb"]).refused("no command");
}

#[test]
fn init_reaps_orphans_and_forwards_signals() {
    let host = Host::with_busybox();
    // Wait until no orphan is left, not even as a zombie.
    let orphans = "for i in 1 2 3 4 5; do (sleep 0.01 &) ; done; \
        while ps -o comm | grep -q sleep; do :; done; echo $$";
    assert_ne!(host.shell(&["--init"], orphans).exits(0).text(), "1");
    let script = "trap 'exit 4' TERM; echo ready; while :; do sleep 0.05; done";
    let mut run = host.background(["run", "--init", "--name", "i", "bb", "sh", "-c", script]);
    run.expect("ready");
    host.mydocker(["stop", "-t", "100", "i"]).stdout("i\n");
    run.wait().exits(4);
}

#[test]
fn init_sees_the_end_of_a_command_that_is_faster_than_itself() {
    let host = Host::with_busybox();
    let run = host.command(["run", "--rm", "--init", "bb", "sh", "-c", "exit 5"]);
    // strace delays the call by which PID 1 closes descriptors, so the command has ended long
    // before PID 1 waits for it.
    let mut strace = std::process::Command::new("strace");
    strace.args(["-f", "-o", "/dev/null", "-e", "inject=close_range:delay_exit=200000"]);
    strace.arg(run.get_program()).args(run.get_args());
    support::run(strace, None).exits(5);
}

#[test]
fn ulimits_are_set() {
    let host = Host::with_busybox();
    let flags = ["--ulimit", "nofile=100:200", "--ulimit", "core=0", "--ulimit", "nproc=50"];
    host.shell(
        &flags,
        "ulimit -Sn; ulimit -Hn; ulimit -c; awk '/processes/{print $3}' /proc/self/limits",
    )
    .stdout("100\n200\n0\n50\n");
    host.shell(&["--ulimit", "nofile=200:100"], "true").refused("nofile");
    host.shell(&["--ulimit", "nosuch=1"], "true").refused("nosuch");
    let flags = ["--oom-score-adj", "500"];
    host.shell(&flags, "cat /proc/self/oom_score_adj").stdout("500\n");
}

#[test]
fn signals_have_their_defaults_and_none_is_blocked() {
    let host = Host::with_busybox();
    let fields = "grep -E '^Sig(Blk|Ign|Cgt)' /proc/self/status";
    let expected = "SigBlk:\t0000000000000000\nSigIgn:\t0000000000000000\n";
    host.mydocker(["run", "--rm", "bb", "grep", "-E", "^Sig(Blk|Ign)", "/proc/self/status"])
        .stdout(expected);
    host.shell(&["--init"], fields).stdout_has("SigBlk:\t0000000000000000\n");
}

/// Makes `command` inherit unusual settings, such as an ignored SIGCHLD, blocked signals, a limit
/// of 4 KiB per file, a low priority, a single CPU and no address randomisation.
fn left_by_a_bad_caller(command: &mut std::process::Command) {
    use std::os::unix::process::CommandExt;
    let leave = || {
        rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o077));
        // SAFETY: system calls with integers and initialised structures, after a fork.
        unsafe {
            libc::signal(libc::SIGCHLD, libc::SIG_IGN);
            let mut all = std::mem::zeroed();
            libc::sigfillset(&raw mut all);
            libc::sigprocmask(libc::SIG_BLOCK, &raw const all, std::ptr::null_mut());
            // Lower only the soft limits. mydocker raises them again, and to raise a hard limit it
            // needs CAP_SYS_RESOURCE, which not every test machine gives.
            for (resource, most) in [
                (libc::RLIMIT_FSIZE, 4096),
                (libc::RLIMIT_NOFILE, 64),
                (libc::RLIMIT_CORE, 0),
                (libc::RLIMIT_CPU, 100),
            ] {
                let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
                libc::getrlimit(resource, &raw mut limit);
                limit.rlim_cur = most;
                libc::setrlimit(resource, &raw const limit);
            }
            libc::setpriority(libc::PRIO_PROCESS, 0, 7);
            let first_cpu = 1u64;
            libc::syscall(libc::SYS_sched_setaffinity, 0, 8, &raw const first_cpu);
            libc::syscall(libc::SYS_personality, 0x0040000);
            libc::prctl(libc::PR_SET_TIMERSLACK, 70_000_000, 0, 0, 0);
        }
        std::fs::write("/proc/self/oom_score_adj", "700")
    };
    // SAFETY: the child has one thread, and the closure needs no lock of the parent.
    unsafe { command.pre_exec(leave) };
}

#[test]
fn a_callers_settings_reach_neither_the_container_nor_the_monitor() {
    let host = Host::with_busybox();
    let script = "grep -E '^(Sig(Blk|Ign)|Cpus_allowed):' /proc/self/status; \
        cat /proc/self/oom_score_adj /proc/self/personality /proc/self/limits \
        /proc/self/timerslack_ns; umask; cut -d' ' -f19 /proc/self/stat; exit 3";
    let call = |bad: bool, args: &[&str]| {
        let mut command = host.command(args);
        if bad {
            left_by_a_bad_caller(&mut command);
        }
        let output = command.stdin(std::process::Stdio::null()).output().unwrap();
        assert_eq!(output.status.code(), Some(3), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    let run = ["run", "--rm", "bb", "sh", "-c", script];
    let plain = call(false, &run);
    assert!(plain.contains("\n50000\n0022\n0\n"), "{plain}");
    assert_eq!(call(true, &run), plain);
    host.mydocker(["run", "-d", "--name", "box", "bb", "sleep", "1000"]);
    let exec = ["exec", "box", "sh", "-c", script];
    assert_eq!(call(false, &exec), plain);
    assert_eq!(call(true, &exec), plain);
}

#[test]
fn a_callers_limits_cut_no_log_and_the_container_can_be_stopped() {
    let host = Host::with_busybox();
    let script = "yes 0123456 | head -c 80000; exec sleep 1000";
    let mut run = host.command(["run", "-d", "--name", "box", "bb", "sh", "-c", script]);
    left_by_a_bad_caller(&mut run);
    assert!(run.output().unwrap().status.success());
    support::eventually("all of it is in the log", || {
        host.mydocker(["logs", "box"]).bytes().len() == 80000
    });
    host.mydocker(["stop", "-t", "0", "box"]);
    assert_eq!(host.inspect("box", "{{.State.ExitCode}}"), "137");
    // The caller's standard streams may be closed.
    let closed = host.command(["run", "--rm", "bb", "sh", "-c", "echo x; exit 4"]);
    let mut shell = std::process::Command::new("bash");
    shell.args(["-c", "exec \"$@\" <&- >&- 2>&-", "sh"]);
    shell.arg(closed.get_program()).args(closed.get_args());
    assert_eq!(shell.status().unwrap().code(), Some(4));
}

/// Runs `mydocker ARGS` with a limit of 4 KiB per file, which mydocker can't raise.
fn with_short_files(host: &Host, args: &[&str]) -> std::process::Output {
    use std::os::unix::process::CommandExt;
    const CAP_SYS_RESOURCE: libc::c_ulong = 24;
    let mut command = host.command(args);
    let leave = || {
        let limit = libc::rlimit { rlim_cur: 4096, rlim_max: 4096 };
        // SAFETY: two system calls with integers and an initialised structure, after a fork.
        unsafe {
            libc::prctl(libc::PR_CAPBSET_DROP, CAP_SYS_RESOURCE, 0, 0, 0);
            libc::setrlimit(libc::RLIMIT_FSIZE, &raw const limit);
        }
        Ok(())
    };
    // SAFETY: the closure allocates nothing; the child has one thread.
    unsafe { command.pre_exec(leave) };
    command.output().unwrap()
}

#[test]
fn a_file_size_limit_that_cannot_be_raised_is_reported() {
    let host = Host::with_busybox();
    let long = format!("A={}", "x".repeat(9000));
    let done = with_short_files(&host, &["run", "--name", "half", "-e", &long, "bb", "true"]);
    assert_eq!(done.status.code(), Some(125), "{done:?}");
    let said = String::from_utf8_lossy(&done.stderr);
    assert!(said.lines().count() == 1 && said.contains("File too large"), "{said}");
    host.mydocker(["ps", "-aq"]).stdout("");
    let done = with_short_files(&host, &["run", "-d", "--name", "box", "bb", "sleep", "1000"]);
    assert!(done.status.success(), "{done:?}");
    let said = String::from_utf8_lossy(&done.stderr);
    assert!(said.lines().count() == 1 && said.contains("files end at 4096 bytes"), "{said}");
    host.mydocker(["rm", "-f", "box"]);
    host.mydocker(["system", "check"]);
}

#[test]
fn exec_has_only_three_descriptors() {
    let host = Host::with_busybox();
    let file = std::fs::File::open("/etc/passwd").unwrap();
    // Leave the descriptor open across execve, as a careless caller does.
    rustix::io::fcntl_setfd(&file, rustix::io::FdFlags::empty()).unwrap();
    // Descriptor 3 belongs to ls.
    host.mydocker(["run", "--rm", "bb", "ls", "/proc/self/fd"]).stdout("0\n1\n2\n3\n");
    host.mydocker(["run", "--rm", "-t", "bb", "ls", "-1", "/proc/self/fd"])
        .stdout("0\r\n1\r\n2\r\n3\r\n");
}

#[test]
fn the_stop_signal_and_timeout_are_used() {
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

/// Arguments of a command line, which need not be UTF-8.
fn bytes<const N: usize>(words: [&[u8]; N]) -> [std::ffi::OsString; N] {
    words.map(|word| std::os::unix::ffi::OsStringExt::from_vec(word.to_vec()))
}

#[test]
fn bytes_that_are_not_utf8_are_passed_unchanged() {
    let host = Host::with_busybox();
    let scratch = host.scratch();
    let caf: &std::ffi::OsStr = std::os::unix::ffi::OsStrExt::from_bytes(b"caf\xe9");
    let dir = scratch.join(caf);
    std::fs::create_dir(&dir).unwrap();
    std::fs::write(dir.join("file"), "in it\n").unwrap();
    let named = |before: &str, after: &[u8]| {
        use std::os::unix::ffi::OsStrExt;
        [before.as_bytes(), dir.as_os_str().as_bytes(), after].concat()
    };
    std::fs::write(scratch.join("env"), b"FILED=\xfe\xff\n").unwrap();
    let env_file = scratch.join("env").into_os_string().into_encoded_bytes();
    // mydocker stores the byte 0xff as the character U+10FFFF (`src/raw.rs`). If a user passes the
    // character U+10FFFF itself, it stays unchanged too.
    let stand_in = "\u{10ffff}";
    let mut run = host.command(bytes([
        b"run",
        b"-d",
        b"--name",
        b"c",
        b"-e",
        b"V=\xff",
        b"-e",
        b"OUTER",
        b"--env-file",
        &env_file,
        b"-w",
        b"/w\xe9",
        b"-v",
        &named("", b":/m\xe9"),
        b"--tmpfs",
        b"/t\xe9",
        b"bb",
        b"sh",
        b"-c",
        b"printf '%s ' \"$1\" \"$2\" \"$V\" \"$OUTER\" \"$FILED\"; pwd; cat /m\xe9/file; \
            touch /t\xe9/x /\xe9; exec sleep 1000",
        b"-",
        b"\xff\xc3",
        stand_in.as_bytes(),
    ]));
    run.env("OUTER", bytes([b"\x80"]).as_slice()[0].clone());
    assert!(run.status().unwrap().success());
    support::eventually("it has written", || {
        host.mydocker(["logs", "c"]).bytes().ends_with(b"in it\n")
    });
    let expected = [b"\xff\xc3 ", stand_in.as_bytes(), b" \xff \x80 \xfe\xff /w\xe9\nin it\n"];
    assert_eq!(host.mydocker(["logs", "c"]).bytes(), expected.concat());
    // The restart uses the stored arguments.
    host.mydocker(["restart", "-t", "0", "c"]);
    support::eventually("it has written again", || {
        host.mydocker(["logs", "c"]).bytes() == [expected.concat(), expected.concat()].concat()
    });
    let exec = bytes([
        b"exec",
        b"-e",
        b"E=\xfd",
        b"-w",
        b"/m\xe9",
        b"c",
        b"sh",
        b"-c",
        b"printf '%s' $E \xff; ls",
    ]);
    assert_eq!(host.mydocker(exec).bytes(), b"\xfd\xfffile\n");
    // `cp` copies files, directories and tar streams with names that are not UTF-8.
    host.mydocker(bytes([b"cp", &named("", b""), b"c:/tmp"]));
    host.mydocker(bytes([b"exec", b"c", b"cat", b"/tmp/caf\xe9/file"])).stdout("in it\n");
    host.mydocker(bytes([b"cp", b"c:/tmp/caf\xe9/file", &named("", b"/b\xff")]));
    let copy = bytes([&named("", b"/b\xff")]);
    assert_eq!(std::fs::read(&copy[0]).unwrap(), b"in it\n");
    let tar = host.mydocker(bytes([b"cp", b"c:/tmp/caf\xe9", b"-"])).bytes();
    assert!(tar.windows(5).any(|window| window == b"caf\xe9/"));
    let mut relative = host.command(bytes([b"cp", b"file", b"c:/from-here"]));
    assert!(relative.current_dir(&dir).status().unwrap().success());
    // Commands write and read files whose names are not UTF-8.
    host.mydocker(bytes([b"save", b"-o", &named("", b"/s\xff.tar"), b"bb"]));
    host.mydocker(bytes([b"load", b"-i", &named("", b"/s\xff.tar")])).stdout_has("bb:latest");
    host.mydocker(bytes([b"create", b"--cidfile", &named("", b"/id\xff"), b"bb", b"true"]));
    assert!(std::fs::exists(bytes([&named("", b"/id\xff")])[0].clone()).unwrap());
    // `inspect`, `ps`, `diff` and error messages print bytes that are not UTF-8 as escapes.
    let inspected = host.mydocker(["inspect", "c"]).bytes();
    let inspected = String::from_utf8(inspected).expect("inspect writes UTF-8");
    assert!(inspected.contains("V=\\udcff\"") && inspected.contains("/w\\udce9\""), "{inspected}");
    host.mydocker(["ps", "-a", "--no-trunc"]).stdout_has("\\udcff\\udcc3");
    host.mydocker(["diff", "c"]).stdout_has("A /\\udce9\n").stdout_lacks("/m\\udce9/file");
    host.mydocker(bytes([b"rm", b"no\xffsuch"])).exits(1).complains("no\\udcffsuch");
    host.mydocker(bytes([b"b\xff"])).refused("unknown command 'b\\udcff'");
    host.mydocker(bytes([b"tag", b"bb", b"b\xff"])).exits(1).complains("the character '\\udcff'");
    // Other programs read labels and an image's config, so these must be UTF-8.
    host.mydocker(bytes([b"create", b"-l", b"a=\xff", b"bb"]))
        .refused("label '\\udcff' is not UTF-8");
    host.mydocker(["commit", "c", "new"]).refused("is not UTF-8");
    host.mydocker(["images", "-q", "new"]).stdout("");
    host.mydocker(bytes([b"commit", b"-m", b"\xff", b"c"])).refused("message '\\udcff'");
    for name in ["--name", "--hostname", "--net"] {
        host.mydocker(bytes([b"create", name.as_bytes(), b"a\xff", b"bb"])).refused("bad ");
    }
}

#[test]
fn a_state_directory_may_have_any_name() {
    let host = Host::with_busybox();
    let dir = [host.scratch().as_os_str().as_encoded_bytes(), b"/\xff"].concat();
    let mydocker = |words: &[&str]| {
        let mut command = std::process::Command::new(support::MYDOCKER);
        let [state, run] = bytes([&[&dir[..], b"state"].concat(), &[&dir[..], b"run"].concat()]);
        command.arg("--root").arg(state).arg("--run-root").arg(run).args(words);
        command.output().unwrap()
    };
    let archive = support::busybox_archive();
    mydocker(&["import", archive.to_str().unwrap(), "bb"]);
    let run = mydocker(&["run", "--name", "c", "-v", "vol:/v", "bb", "echo", "hi"]);
    assert_eq!(String::from_utf8_lossy(&run.stdout), "hi\n", "{run:?}");
    let again = mydocker(&["start", "-a", "c"]);
    assert_eq!(String::from_utf8_lossy(&again.stdout), "hi\n", "{again:?}");
    let removed = mydocker(&["rm", "-v", "c"]);
    assert!(removed.status.success(), "{removed:?}");
    mydocker(&["network", "prune", "--force"]);
}

#[test]
fn a_variable_that_the_caller_lacks_is_removed() {
    let host = Host::with_busybox();
    host.mydocker(["create", "--name", "c", "bb", "true"]);
    host.mydocker(["commit", "-c", "ENV X=image Y=image", "c", "with"]);
    let run = |flags: &[&str]| {
        let line = [&["run", "--rm"], flags, &["with", "sh", "-c", "echo ${X-none} ${Y-none}"]];
        let mut command = host.command(line.concat());
        let output = command.env_remove("X").env("Y", "ours").output().unwrap();
        String::from_utf8(output.stdout).unwrap()
    };
    assert_eq!(run(&[]), "image image\n");
    assert_eq!(run(&["-e", "X", "-e", "Y"]), "none ours\n");
    assert_eq!(run(&["-e", "X", "-e", "X=again"]), "again image\n");
    host.mydocker(["run", "-d", "--name", "d", "with", "sleep", "1000"]);
    let mut exec = host.command(["exec", "-e", "X", "d", "sh", "-c", "echo ${X-none} $Y"]);
    assert_eq!(exec.env_remove("X").output().unwrap().stdout, b"none image\n");
}

#[test]
fn a_device_in_place_of_passwd_or_group_counts_as_empty() {
    let host = Host::with_busybox();
    for place in ["/etc/passwd", "/etc/group"] {
        let mount = format!("/dev/null:{place}");
        let run = |user| host.mydocker(["run", "--rm", "-v", &mount, "-u", user, "bb", "id", "-u"]);
        run("0").stdout("0\n");
        run("1234").stdout("1234\n");
    }
    let run = ["run", "--rm", "-v", "/dev/null:/etc/passwd", "-u", "web", "bb", "true"];
    host.mydocker(run).refused("no user 'web'");
}
