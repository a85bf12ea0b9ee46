//! Special cases of a container's life cycle, and what a container gets from its caller.
//!
//! Examples are concurrent calls, a reused PID, a full runtime root, seccomp agents and hooks that
//! fail. `main.rs` has the usual cases.

use std::io::Read;
use std::os::unix::net::UnixListener;
use std::process::{Command, Stdio};

use super::Bundle;
use super::features::SharedMount;
use super::support::{eventually, remove_cgroup, run_command, unique};

const HOSTNAME: &str = "\"hostname\"";
const MASKED: &str = "\"maskedPaths\"";

#[test]
fn every_operation_needs_a_container_that_exists() {
    let bundle = Bundle::new();
    for operation in ["state", "create", "start", "kill", "delete", "exec", "update", "ps", "pause"]
    {
        let done = bundle.call(&[operation]).exits(if operation == "exec" { 255 } else { 1 });
        assert_eq!(done.stdout("").stderr_text().lines().count(), 1);
    }
    for args in [&["state"][..], &["start"], &["kill"], &["delete"], &["ps"], &["resume"]] {
        let all = [args, &["nobody"]].concat();
        bundle.call(&all).exits(1).stdout("").stderr_has("container does not exist: nobody");
    }
    let path = bundle.path();
    for id in ["", ".", "..", "a/b", "a b", "\u{e4}", "a\nb"] {
        let done = bundle.call(&["create", "--bundle", &path, id]).exits(1);
        done.stdout("").stderr_has("invalid container id");
    }
    bundle.call(&["create", "--bundle", "/nowhere", &bundle.id]).exits(1).stderr_has("/nowhere");
    // The exit status depends on the command, not on an argument that has a command's name.
    bundle.call(&["state", "exec"]).exits(1).stderr_has("does not exist: exec");
    bundle.call(&["--nonsense", "exec"]).exits(1).stderr_has("unknown flag");
    bundle.call(&["exec", "state", "true"]).exits(255).stderr_has("does not exist: state");
    bundle.call(&["list", "-q"]).stdout("");
    for command in ["list", "features", "spec"] {
        bundle.call(&[command, "x"]).exits(1).stdout("").stderr_has("unexpected argument 'x'");
    }
}

/// The exit statuses of several calls at the same time, sorted.
fn in_parallel(bundle: &Bundle, args: &[&str]) -> Vec<Option<i32>> {
    let started: Vec<_> = (0..6)
        .map(|_| {
            let mut command = bundle.command(args);
            command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
            command.spawn().unwrap()
        })
        .collect();
    let ends = started.into_iter().map(|mut child| child.wait().unwrap().code());
    let mut ends: Vec<_> = ends.collect();
    ends.sort_unstable();
    ends
}

#[test]
fn one_of_several_calls_at_once_changes_a_container() {
    let bundle = Bundle::new();
    bundle.runs("exec sleep 1000");
    let one = [Some(0), Some(1), Some(1), Some(1), Some(1), Some(1)];
    let path = bundle.path();
    assert_eq!(in_parallel(&bundle, &["create", "--bundle", &path, &bundle.id]), one);
    assert!(bundle.has_status("created"));
    assert_eq!(in_parallel(&bundle, &["start", &bundle.id]), one);
    assert!(bundle.has_status("running"));
    assert_eq!(in_parallel(&bundle, &["delete", "--force", &bundle.id]), [Some(0); 6]);
    assert!(!bundle.has_cgroup() && !bundle.root().join(&bundle.id).exists());
}

#[test]
fn a_container_is_stopped_if_its_process_ended_or_its_pid_was_reused() {
    let bundle = Bundle::new();
    bundle.runs("exec sleep 1000");
    let state = bundle.root().join(&bundle.id).join("state.json");
    let is_gone = || {
        assert!(bundle.has_status("stopped"));
        bundle.call(&["start", &bundle.id]).exits(1).stderr_has("has stopped");
        bundle.call(&["kill", &bundle.id]).exits(1).stderr_has("not running");
        bundle.call(&["list", "-q"]).stdout(&format!("{}\n", bundle.id));
        bundle.call(&["delete", &bundle.id]).stdout("");
        assert!(!bundle.has_cgroup() && !state.exists());
    };
    // The first process ends before `start`.
    bundle.create();
    run_command({
        let mut kill = Command::new("kill");
        kill.args(["-KILL", &bundle.pid()]);
        kill
    });
    eventually("it has ended", || bundle.has_status("stopped"));
    is_gone();
    // Another process has the container's PID, or the machine has booted since.
    for (field, other) in [("start_time", "5"), ("boot_id", "\"another\"")] {
        bundle.create();
        let text = std::fs::read_to_string(&state).unwrap();
        let (before, rest) = text.split_once(&format!("\"{field}\":")).unwrap();
        let (_, after) = rest.split_once(',').unwrap();
        std::fs::write(&state, format!("{before}\"{field}\":{other},{after}")).unwrap();
        is_gone();
    }
}

#[test]
fn a_full_runtime_root_leaves_nothing_half_made() {
    let bundle = Bundle::new();
    std::fs::create_dir(bundle.root()).unwrap();
    let mount = ["-t", "tmpfs", "-o", "size=64k", "tmpfs"];
    let root = bundle.root();
    assert!(Command::new("mount").args(mount).arg(&root).status().unwrap().success());
    std::fs::write(root.join("filler"), vec![0; 64 << 10]).unwrap();
    let done = bundle.call(&["create", "--bundle", &bundle.path(), &bundle.id]).exits(1).stdout("");
    done.stderr_has("No space left on device");
    bundle.call(&["list", "-q"]).stdout("");
    bundle.call(&["delete", "--force", &bundle.id]).stdout("");
    assert!(!bundle.has_cgroup() && !root.join(&bundle.id).exists());
    assert!(Command::new("umount").arg(&root).status().unwrap().success());
}

#[test]
fn help_is_printed_and_an_unknown_flag_is_named() {
    let bundle = Bundle::new();
    for command in
        ["create", "run", "start", "state", "kill", "delete", "exec", "ps", "list", "events"]
    {
        for flag in ["--help", "-h"] {
            bundle.call(&[command, flag]).stdout_has("Usage: mydocker-runtime");
        }
        let exit = if command == "exec" { 255 } else { 1 };
        let done = bundle.call(&[command, "--flag-of-nobody", "x"]).exits(exit).stdout("");
        done.stderr_has("unknown flag \"--flag-of-nobody\"");
    }
    let done = bundle.call(&["create", "--bundle", &bundle.path(), "-x", "y"]).exits(1).stdout("");
    done.stderr_has("unknown flag \"-x\"");
}

#[test]
fn the_state_is_as_specified_and_survives_a_change_of_the_bundle() {
    let bundle = Bundle::new();
    bundle.runs("echo as created; exec sleep 1000");
    bundle.edit(HOSTNAME, "\"annotations\":{\"a.b\":\"c \\\"d\\\"\"},\"hostname\"");
    bundle.create();
    bundle.set_config("nonsense");
    let (state, pid) = (bundle.state(), bundle.pid());
    assert!(std::fs::read_to_string(format!("/proc/{pid}/comm")).is_ok());
    let start = format!(
        "{{\n  \"ociVersion\": \"1.3.0\",\n  \"id\": \"{}\",\n  \"pid\": {pid},\n  \
         \"status\": \"created\",\n  \"bundle\": \"{}\",\n  \"rootfs\": ",
        bundle.id,
        bundle.path()
    );
    assert!(state.starts_with(&start), "{state}");
    let annotations = "\"annotations\": {\n    \"a.b\": \"c \\\"d\\\"\"\n  },\n";
    assert!(state.contains(annotations), "{state}");
    let all = bundle.call(&["list", "--format", "json"]);
    all.stdout_has(",\"annotations\":{\"a.b\":\"c \\\"d\\\"\"},\"owner\":\"root\"}]\n");
    bundle.call(&["start", &bundle.id]).stdout("");
    eventually("its words", || bundle.output() == "as created\n");
    bundle.call(&["exec", &bundle.id, "hostname"]).stdout("mydocker\n");
}

#[test]
fn the_hosts_mounts_reach_a_root_that_is_a_slave() {
    for (propagation, lines) in [("rslave", "1\n"), ("private", "0\n")] {
        let bundle = Bundle::new();
        let shared = SharedMount::make(&bundle.rootfs());
        bundle.fill_root();
        std::fs::create_dir(bundle.rootfs().join("m")).unwrap();
        let by = format!("\"rootfsPropagation\":\"{propagation}\",\"maskedPaths\"");
        bundle.edit("\"maskedPaths\"", &by);
        bundle.runs("exec sleep 1000");
        bundle.create();
        bundle.call(&["start", &bundle.id]).stdout("");
        let later = SharedMount::make(&bundle.rootfs().join("m"));
        let count = ["exec", &bundle.id, "grep", "-c", " /m ", "/proc/self/mountinfo"];
        let output = bundle.command(&count).output().unwrap();
        assert_eq!(String::from_utf8_lossy(&output.stdout), lines, "{propagation}");
        // Mounts of the container are not visible outside.
        let inside = ["/bin/mount", "-t", "tmpfs", "tmpfs", "/tmp"];
        let entered = ["-t", &bundle.pid(), "-m"];
        std::fs::create_dir_all(bundle.rootfs().join("tmp")).unwrap();
        let mut command = Command::new("nsenter");
        assert!(command.args(entered).args(inside).status().unwrap().success());
        let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
        assert!(!mounts.contains(&format!("{}/tmp ", bundle.rootfs().display())));
        bundle.call(&["delete", "--force", &bundle.id]).stdout("");
        drop(later);
        drop(shared);
    }
}

/// The propagation of a mount and of the mount below it, for several options. `-` means private.
#[test]
fn a_bind_and_the_mounts_below_it_have_a_propagation_each() {
    let bundle = Bundle::new();
    let source = bundle.dir().join("source of binds");
    std::fs::create_dir(&source).unwrap();
    let shared = SharedMount::make(&source);
    let below = source.join("be low");
    std::fs::create_dir(&below).unwrap();
    let shared_below = SharedMount::make(&below);
    bundle.runs(
        "while read a b c d e f g h; do case $e in /m*) echo ${g%%:*};; esac; done \
         < /proc/self/mountinfo",
    );
    let good = bundle.config();
    for (root, options, expected) in [
        ("private", "\"rbind\"", "-\n-\n"),
        ("private", "\"rbind\",\"slave\"", "master\n-\n"),
        ("private", "\"rbind\",\"rslave\"", "master\nmaster\n"),
        ("private", "\"rbind\",\"rslave\",\"private\"", "-\nmaster\n"),
        ("private", "\"rbind\",\"shared\"", "shared\n-\n"),
        ("private", "\"rbind\",\"rshared\"", "shared\nshared\n"),
        ("private", "\"rbind\",\"rshared\",\"slave\"", "master\nshared\n"),
        ("private", "\"rbind\",\"rslave\",\"shared\"", "shared\nmaster\n"),
        ("private", "\"bind\",\"shared\"", "shared\n"),
        // Without an option of its own, a mount gets the propagation of the root.
        ("rslave", "\"rbind\"", "master\nmaster\n"),
        ("rslave", "\"rbind\",\"private\"", "-\nmaster\n"),
        ("rslave", "\"rbind\",\"rprivate\"", "-\n-\n"),
        ("rslave", "\"rbind\",\"shared\"", "shared\nmaster\n"),
        ("shared", "\"rbind\"", "shared\nshared\n"),
        ("shared", "\"rbind\",\"slave\"", "master\nshared\n"),
    ] {
        let mount = format!(
            "\"mounts\": [{{\"destination\":\"/m\",\"source\":\"{}\",\"options\":[{options}]}},",
            source.display()
        );
        bundle.set_config_with(&good, "\"mounts\": [", &mount);
        let by = format!("\"rootfsPropagation\":\"{root}\",\"maskedPaths\"");
        bundle.edit("\"maskedPaths\"", &by);
        let output = bundle.output_of_run();
        let text = String::from_utf8_lossy(&output.stdout);
        assert_eq!(text, expected, "{root} {options}: {:?}", output.stderr);
    }
    drop(shared_below);
    // Without a peer group on the host, a slave is private, and a shared mount starts a new group.
    let private = ["--make-private", source.to_str().unwrap()];
    assert!(Command::new("mount").args(private).status().unwrap().success());
    for (options, expected) in [("rslave", "-\n"), ("rshared", "shared\n")] {
        let mount = format!(
            "\"mounts\": [{{\"destination\":\"/m\",\"source\":\"{}\",\
             \"options\":[\"bind\",\"{options}\"]}},",
            source.display()
        );
        bundle.set_config_with(&good, "\"mounts\": [", &mount);
        bundle.run().stdout(expected);
    }
    drop(shared);
}

#[test]
fn interfaces_of_the_host_move_into_the_container() {
    let bundle = Bundle::new();
    let host = unique("oci-net-");
    let ip = |args: &str| {
        let mut command = Command::new("ip");
        assert!(command.args(args.split(' ')).status().unwrap().success(), "ip {args}");
    };
    ip(&format!("netns add {host}"));
    // Each peer gets another name: the kernel removes a peer some time after its container.
    let pairs = std::cell::Cell::new(0);
    let pair = || {
        let peer = format!("vb{}", pairs.replace(pairs.get() + 1));
        ip(&format!("-n {host} link add va address 02:00:00:00:00:07 type veth peer name {peer}"));
        ip(&format!("-n {host} link set {peer} up"));
        ip(&format!("-n {host} addr add 192.0.2.7/24 dev va"));
        ip(&format!("-n {host} addr add 2001:db8::7/64 dev va nodad"));
        ip(&format!("-n {host} link set va up mtu 1400"));
    };
    let run = || {
        let mut command = Command::new("nsenter");
        command.arg(format!("--net=/run/netns/{host}"));
        let own = bundle.command(&["run", "--bundle", &bundle.path(), &bundle.id]);
        command.arg(own.get_program()).args(own.get_args());
        command.output().unwrap()
    };
    bundle.runs("cat /sys/class/net/[!l]*/address /sys/class/net/[!l]*/mtu; ip addr");
    let good = bundle.config();
    let with = |devices: &str| {
        let by = format!("\"netDevices\":{devices},\"maskedPaths\"");
        bundle.set_config_with(&good, "\"maskedPaths\"", &by);
        let output = run();
        let text = [output.stdout, output.stderr].concat();
        (output.status.code(), String::from_utf8(text).unwrap())
    };
    let mut seen = Vec::new();
    for (devices, name) in [
        ("{\"va\":{}}", "va"),
        ("{\"va\":{\"name\":\"eth0\"}}", "eth0"),
        ("{\"va\":{\"name\":\"ib%d\"}}", "ib0"),
    ] {
        pair();
        seen.push((name, with(devices)));
    }
    // Here the container joins a network namespace by its path.
    let inner = format!("{host}i");
    ip(&format!("netns add {inner}"));
    let network = format!("\"type\": \"network\", \"path\": \"/run/netns/{inner}\"");
    let joins = good.replace("\"type\": \"network\"", &network);
    assert_ne!(joins, good);
    pair();
    bundle.set_config_with(&joins, "\"maskedPaths\"", "\"netDevices\":{\"va\":{}},\"maskedPaths\"");
    let joined = run();
    ip(&format!("netns del {inner}"));
    let text = [joined.stdout, joined.stderr].concat();
    seen.push(("va", (joined.status.code(), String::from_utf8(text).unwrap())));
    let (missing, twice) = (with("{\"va\":{}}"), {
        pair();
        with("{\"va\":{\"name\":\"lo\"}}")
    });
    ip(&format!("netns del {host}"));
    for (name, (status, text)) in seen {
        assert_eq!(status, Some(0), "{text}");
        assert!(text.starts_with("02:00:00:00:00:07\n1400\n"), "{text}");
        for part in ["192.0.2.7/24", "2001:db8::7/64"] {
            assert!(text.contains(part), "{part} is not in {text}");
        }
        let link = text.lines().find(|line| line.contains(&format!(": {name}")));
        assert!(link.is_some_and(|link| link.contains(",UP")), "{name} is not up in {text}");
    }
    let said = "linux.netDevices.va: there is no such interface";
    assert!(missing.0 == Some(1) && missing.1.contains(said), "{}", missing.1);
    let said = "linux.netDevices.va: the container's network has an interface 'lo' already";
    assert!(twice.0 == Some(1) && twice.1.contains(said), "{}", twice.1);
}

#[test]
fn a_seccomp_agent_gets_the_state_of_the_container() {
    let bundle = Bundle::new();
    let socket = bundle.dir().join("agent");
    let listener = UnixListener::bind(&socket).unwrap();
    let filter = format!(
        "\"seccomp\":{{\"defaultAction\":\"SCMP_ACT_ALLOW\",\"listenerPath\":\"{}\",\"syscalls\":\
         [{{\"names\":[\"mkdir\",\"mkdirat\"],\"action\":\"SCMP_ACT_NOTIFY\"}}]}},\"maskedPaths\"",
        socket.display()
    );
    bundle.edit("\"maskedPaths\"", &filter);
    bundle.edit(HOSTNAME, "\"annotations\":{\"a.b\":\"c\"},\"hostname\"");
    bundle.runs("exec sleep 1000");
    // Descriptors that the agent receives are closed at once, as if the agent had exited.
    let hears = |call: &dyn Fn()| {
        std::thread::scope(|scope| {
            let state = scope.spawn(|| {
                let (mut connection, mut state) = (listener.accept().unwrap().0, String::new());
                connection.read_to_string(&mut state).unwrap();
                state
            });
            call();
            state.join().unwrap()
        })
    };
    let created = hears(&|| {
        bundle.create();
        bundle.call(&["start", &bundle.id]).stdout("");
    });
    let entered = hears(&|| {
        bundle.call(&["exec", &bundle.id, "true"]).stdout("");
    });
    for state in [created, entered] {
        assert_eq!(state.matches("\"state\":").count(), 1, "{state}");
        for part in [
            "\"fds\":[\"seccompFd\"]".to_owned(),
            format!("\"id\":\"{}\"", bundle.id),
            format!("\"bundle\":\"{}\"", bundle.path()),
            "\"annotations\":{\"a.b\":\"c\"}".to_owned(),
        ] {
            assert!(state.contains(&part), "{part} is not in {state}");
        }
    }
}

#[test]
fn kill_sends_the_signal_that_is_asked_for() {
    let bundle = Bundle::new();
    bundle.runs("trap 'echo usr1' USR1; trap 'echo term; exit' TERM; echo ready; while :; do sleep 0.05; done");
    bundle.create();
    bundle.call(&["start", &bundle.id]).stdout("");
    eventually("it is ready", || bundle.output() == "ready\n");
    for (signal, words) in [("USR1", "ready\nusr1\n"), ("SIGUSR1", "ready\nusr1\nusr1\n")] {
        bundle.call(&["kill", &bundle.id, signal]).stdout("");
        eventually("it has heard", || bundle.output() == words);
    }
    bundle.call(&["kill", &bundle.id, "NOPE"]).exits(1).stderr_has("unknown signal 'NOPE'");
    // Signal 0 only asks whether the container runs.
    bundle.call(&["kill", &bundle.id, "0"]).stdout("");
    // Without a signal, SIGTERM is sent.
    bundle.call(&["kill", &bundle.id]).stdout("");
    eventually("it has stopped", || bundle.has_status("stopped"));
    assert!(bundle.output().ends_with("usr1\nterm\n"));
    bundle.call(&["kill", &bundle.id, "0"]).exits(1).stderr_has("container not running");
    bundle.call(&["kill", "--all", &bundle.id, "0"]).stdout("");
}

#[test]
fn only_start_needs_a_process() {
    let bundle = Bundle::new();
    let text = bundle.config();
    let (before, rest) = text.split_once("  \"process\": {").unwrap();
    let (_, after) = rest.split_once("\n  },\n").unwrap();
    bundle.set_config(format!("{before}{after}"));
    bundle.create();
    for _ in 0..2 {
        assert!(bundle.has_status("created"));
        let done = bundle.call(&["start", &bundle.id]).exits(1);
        done.stderr_has("config.json: process is missing");
    }
    bundle.call(&["delete", "--force", &bundle.id]).stdout("");
    bundle.run().exits(1).stderr_has("config.json: process is missing");
    assert!(!bundle.has_cgroup() && !bundle.root().join(&bundle.id).exists());
}

#[test]
fn a_filter_that_refuses_everything_ends_the_container() {
    let bundle = Bundle::new();
    let by = "\"seccomp\":{\"defaultAction\":\"SCMP_ACT_ERRNO\"},\"maskedPaths\"";
    bundle.edit("\"maskedPaths\"", by);
    bundle.create();
    // Init cannot report why it ends, so `start` succeeds.
    bundle.call(&["start", &bundle.id]).stdout("");
    eventually("it has stopped", || bundle.has_status("stopped"));
}

#[test]
fn a_hook_in_the_container_without_an_environment_has_that_of_the_program() {
    let bundle = Bundle::new();
    bundle.edit("\"TERM=xterm\"", "\"ONE=two\"");
    bundle.runs("true");
    let hook = |script: &str, env: &str| {
        format!("{{\"path\":\"/bin/sh\",\"args\":[\"sh\",\"-c\",\"{script}\"]{env}}}")
    };
    let inherits = hook("test $ONE = two && test -n $HOME && test -z $MARK", "");
    let has_own = hook("test $OWN = x && test -z $ONE", ",\"env\":[\"OWN=x\"]");
    let hooks = format!("\"hooks\":{{\"startContainer\":[{inherits},{has_own}]}},\"hostname\"");
    bundle.edit(HOSTNAME, &hooks);
    let mut run = bundle.command(&["run", "--bundle", &bundle.path(), &bundle.id]);
    run.env("MARK", "of the host");
    run_command(run).stdout("");
}

#[test]
fn a_hook_in_the_container_has_the_filter_of_the_program() {
    let bundle = Bundle::new();
    let by = "\"seccomp\":{\"defaultAction\":\"SCMP_ACT_ALLOW\",\"syscalls\":[{\"names\":\
              [\"mkdir\",\"mkdirat\"],\"action\":\"SCMP_ACT_KILL\"}]},\"maskedPaths\"";
    bundle.edit("\"maskedPaths\"", by);
    let hook = "\"hooks\":{\"startContainer\":[{\"path\":\"/bin/true\"},{\"path\":\"/bin/mkdir\",\
                \"args\":[\"mkdir\",\"/dev/shm/x\"]}]},\"hostname\"";
    bundle.edit("\"hostname\"", hook);
    for nnp in ["true", "false"] {
        bundle.runs("true");
        let words = "error running startContainer hook #1: /bin/mkdir: ended by signal 31";
        bundle.run().exits(1).stderr_has(words);
        bundle.edit("[\"sh\",\"-c\",\"true\"]", "[\"sh\"]");
        bundle.edit(&format!("\"noNewPrivileges\": {nnp}"), "\"noNewPrivileges\": false");
    }
}

#[test]
fn links_of_masked_and_read_only_paths_stay_in_the_container() {
    let bundle = Bundle::new();
    let (outside, root) = (bundle.dir().join("outside"), bundle.rootfs());
    std::fs::write(&outside, "kept\n").unwrap();
    std::fs::create_dir(root.join("d")).unwrap();
    std::fs::write(root.join("d/file"), "seen\n").unwrap();
    for (target, name) in [("d", "inside"), ("../../../outside", "up"), ("d", "fixed")] {
        std::os::unix::fs::symlink(target, root.join(name)).unwrap();
    }
    let masked = "\"maskedPaths\": [\"/inside/file\", \"/up\", ";
    bundle.edit("\"maskedPaths\": [", masked);
    bundle.edit("\"readonlyPaths\": [", "\"readonlyPaths\": [\"/fixed\", ");
    bundle.edit("\"readonly\": true", "\"readonly\": false");
    bundle.runs("wc -c < /d/file; touch /d/new 2>/dev/null || echo fixed");
    bundle.run().stdout("0\nfixed\n");
    assert_eq!(std::fs::read_to_string(outside).unwrap(), "kept\n");
    std::os::unix::fs::symlink("loop", root.join("loop")).unwrap();
    bundle.edit("\"/up\"", "\"/loop\"");
    bundle.run().exits(1).stdout("").stderr_has("open /loop in the container: Symbolic link loop");
}

#[test]
fn delete_keeps_the_files_of_mounts() {
    let bundle = Bundle::new();
    let source = bundle.dir().join("source");
    std::fs::create_dir(&source).unwrap();
    bundle.runs("echo kept > /m/file");
    let mount = format!(
        "\"mounts\": [{{\"destination\":\"/m\",\"type\":\"bind\",\"source\":\"{}\",\"options\":[\"bind\"]}},",
        source.display()
    );
    bundle.edit("\"mounts\": [", &mount);
    // Do this twice: the id can be used again.
    for _ in 0..2 {
        bundle.create();
        bundle.call(&["start", &bundle.id]).stdout("");
        eventually("it has stopped", || bundle.has_status("stopped"));
        bundle.call(&["delete", &bundle.id]).stdout("");
    }
    assert_eq!(std::fs::read_to_string(source.join("file")).unwrap(), "kept\n");
    assert!(bundle.rootfs().join("bin").exists());
}

#[test]
fn a_failed_hook_ends_the_container_and_poststop_still_runs() {
    let bundle = Bundle::new();
    bundle.runs("exec sleep 1000");
    let good = bundle.config();
    let with = |kind: &str| {
        let by = format!("\"hooks\":{{\"{kind}\":[{{\"path\":\"/bin/false\"}}]}},\"hostname\"");
        bundle.set_config_with(&good, HOSTNAME, &by);
    };
    let (path, mark) = (bundle.path(), bundle.dir().join("mark"));
    for kind in ["prestart", "createRuntime", "createContainer"] {
        with(kind);
        let touch = format!("\"args\":[\"touch\",\"{}\"]", mark.display());
        let poststop = format!("\"poststop\":[{{\"path\":\"/usr/bin/touch\",{touch}}}]");
        bundle.edit("\"hooks\":{", &format!("\"hooks\":{{{poststop},"));
        let done = bundle.call(&["create", "--bundle", &path, &bundle.id]).exits(1);
        done.stderr_has(&format!("error running {kind} hook #0: /bin/false: exit status 1"));
        bundle.call(&["state", &bundle.id]).exits(1).stderr_has("does not exist");
        assert!(!bundle.has_cgroup());
        // The poststop hook has made the file `mark`, although `create` failed.
        std::fs::remove_file(&mark).unwrap();
    }
    for kind in ["startContainer", "poststart"] {
        with(kind);
        bundle.create();
        let done = bundle.call(&["start", &bundle.id]).exits(1);
        done.stderr_has(&format!("error running {kind} hook #0: /bin/false: exit status 1"));
        eventually("it has stopped", || bundle.has_status("stopped"));
        bundle.call(&["delete", &bundle.id]).stdout("");
    }
    let by = format!(
        "\"hooks\":{{\"poststop\":[{{\"path\":\"/bin/false\"}},{{\"path\":\"/usr/bin/touch\",\
         \"args\":[\"touch\",\"{}\"]}}]}},\"hostname\"",
        mark.display()
    );
    bundle.set_config_with(&good, HOSTNAME, &by);
    bundle.create();
    bundle.call(&["delete", "--force", &bundle.id]).stderr_has("poststop hook #0: /bin/false");
    assert!(mark.exists());
}

#[test]
fn the_state_of_a_container_is_creating_until_create_ends() {
    let bundle = Bundle::new();
    let log = bundle.dir().join("seen");
    let script = format!(
        "{} oci --root {} state {id} > {log}; {0} oci --root {1} exec {id} true 2>> {log} || true",
        super::MYDOCKER,
        bundle.root().display(),
        id = bundle.id,
        log = log.display()
    );
    let hook = format!("{{\"path\":\"/bin/sh\",\"args\":[\"sh\",\"-c\",\"{script}\"]}}");
    bundle.edit(HOSTNAME, &format!("\"hooks\":{{\"createRuntime\":[{hook}]}},\"hostname\""));
    bundle.create();
    let text = std::fs::read_to_string(log).unwrap();
    for part in ["\"pid\": 0,\n  \"status\": \"creating\"", "container that is being created"] {
        assert!(text.contains(part), "{part}: {text}");
    }
    assert!(bundle.has_status("created"));
}

#[test]
fn hooks_run_in_the_specified_namespaces() {
    let bundle = Bundle::new();
    bundle.runs("true");
    let log = bundle.dir().join("log");
    // The hook startContainer runs the container's busybox, the others run the host's dash.
    let script = |kind: &str, program: &str| {
        format!(
            "\"{kind}\":[{{\"path\":\"{program}\",\"args\":[\"sh\",\"-c\",\
             \"echo {kind} $(readlink /proc/self/ns/uts) $(readlink /proc/self/ns/mnt) >> {}\"],\
             \"env\":[\"PATH=/bin:/usr/bin\"]}}]",
            log.display()
        )
    };
    let kinds = ["prestart", "createRuntime", "createContainer", "poststart", "poststop"];
    let all = kinds.map(|kind| script(kind, "/usr/bin/dash")).join(",");
    let inside = "\"startContainer\":[{\"path\":\"/bin/busybox\",\"args\":[\"busybox\",\"touch\",\"/m/inside\"]}]";
    bundle.edit(HOSTNAME, &format!("\"hooks\":{{{all},{inside}}},\"hostname\""));
    let source = bundle.dir().join("source");
    std::fs::create_dir(&source).unwrap();
    let mount = format!(
        "\"mounts\": [{{\"destination\":\"/m\",\"type\":\"bind\",\"source\":\"{}\",\"options\":[\"bind\"]}},",
        source.display()
    );
    bundle.edit("\"mounts\": [", &mount);
    bundle.run().stdout("");
    assert!(source.join("inside").exists());
    let own = |kind: &str| {
        let link = std::fs::read_link(format!("/proc/self/ns/{kind}")).unwrap();
        link.display().to_string()
    };
    let text = std::fs::read_to_string(&log).unwrap();
    for line in text.lines() {
        let words: Vec<&str> = line.split(' ').collect();
        let is_own = [words[1] == own("uts"), words[2] == own("mnt")];
        assert_eq!(is_own, [words[0] != "createContainer"; 2], "{line}");
    }
    assert_eq!(text.lines().count(), kinds.len(), "{text}");
}

#[test]
fn hooks_find_the_containers_mounts_below_its_bundle() {
    let bundle = Bundle::new();
    bundle.runs("cat /file");
    std::fs::write(bundle.rootfs().join("file"), "").unwrap();
    std::fs::write(bundle.dir().join("injected"), "by a hook\n").unwrap();
    let ids = "[{\"containerID\":0,\"hostID\":0,\"size\":65536}]";
    bundle.edit("\"namespaces\": [", "\"namespaces\": [{\"type\":\"user\"},");
    bundle.edit(MASKED, &format!("\"uidMappings\":{ids},\"gidMappings\":{ids},{MASKED}"));
    // The prestart hook runs in the bundle's directory, with the caller's environment.
    let enter = "pid=$(sed 's/.*.pid.:\\([0-9]*\\).*/\\1/'); test -n $MARK && \
                 nsenter -m -t $pid sh -c \"cd $PWD && test -e rootfs/proc/1 && \
                 test -c rootfs/dev/null && mount --bind injected rootfs/file\"";
    let hook = |kind: &str, script: &str| {
        let script = script.replace('\\', "\\\\").replace('"', "\\\"");
        format!("\"{kind}\":[{{\"path\":\"/bin/sh\",\"args\":[\"sh\",\"-c\",\"{script}\"]}}]")
    };
    let hooks =
        [hook("prestart", enter), hook("createContainer", "test -e rootfs/proc/self")].join(",");
    bundle.edit(HOSTNAME, &format!("\"hooks\":{{{hooks}}},\"hostname\""));
    let mut run = bundle.command(&["run", "--bundle", &bundle.path(), &bundle.id]);
    run.env("MARK", "set");
    run_command(run).stdout("by a hook\n");
}

#[test]
fn a_capability_that_cannot_be_granted_is_a_warning() {
    let bundle = Bundle::new();
    bundle.runs("grep -E 'CapPrm|CapEff|CapBnd' /proc/self/status");
    let all = "[\"CAP_AUDIT_WRITE\", \"CAP_KILL\", \"CAP_NET_BIND_SERVICE\"]";
    bundle.edit(
        &format!("\"bounding\": {all}"),
        "\"bounding\": [\"CAP_KILL\", \"CAP_FROM_TOMORROW\"]",
    );
    bundle.edit(&format!("\"effective\": {all}"), "\"effective\": [\"CAP_KILL\", \"CAP_CHOWN\"]");
    bundle.edit(&format!("\"permitted\": {all}"), "\"permitted\": [\"CAP_KILL\"]");
    let done = bundle.run();
    let sets = ["CapPrm", "CapEff", "CapBnd"].map(|set| format!("{set}:\t0000000000000020\n"));
    let text = done.stdout(&sets.concat()).stderr_text();
    assert!(
        text.contains("CAP_FROM_TOMORROW") && text.contains("CHOWN can't be granted"),
        "{text}"
    );
}

#[test]
fn without_new_privileges_a_program_has_the_permitted_capabilities_that_it_is_given() {
    let bundle = Bundle::new();
    bundle.runs("grep Cap /proc/self/status; exec sleep 1000");
    let all = "[\"CAP_AUDIT_WRITE\", \"CAP_KILL\", \"CAP_NET_BIND_SERVICE\"]";
    for (set, names) in [
        ("bounding", "[\"CAP_KILL\",\"CAP_CHOWN\",\"CAP_SYSLOG\"]"),
        ("effective", "[]"),
        ("permitted", "[\"CAP_KILL\",\"CAP_CHOWN\"]"),
    ] {
        bundle.edit(&format!("\"{set}\": {all}"), &format!("\"{set}\": {names}"));
    }
    let with = "\"inheritable\":[\"CAP_CHOWN\"],\"ambient\":[\"CAP_CHOWN\"],\"permitted\"";
    bundle.edit("\"permitted\"", with);
    bundle.create();
    bundle.call(&["start", &bundle.id]).stdout("");
    let sets = |permitted: &str| {
        let effective = permitted;
        format!(
            "CapInh:\t0000000000000001\nCapPrm:\t{permitted}\nCapEff:\t{effective}\n\
             CapBnd:\t0000000400000021\nCapAmb:\t0000000000000001\n"
        )
    };
    eventually("its sets", || bundle.output() == sets("0000000000000021"));
    let status = ["grep", "Cap", "/proc/self/status"];
    let exec = |flags: &[&str]| bundle.call(&[&["exec"], flags, &[&bundle.id], &status].concat());
    exec(&[]).stdout(&sets("0000000000000021"));
    exec(&["--cap", "CAP_SYSLOG"]).stdout(&sets("0000000400000021"));
}

/// Podman gives a user who is not root the capabilities of `--cap-add` as ambient capabilities.
#[test]
fn ambient_capabilities_stay_when_a_filter_is_installed() {
    let bundle = Bundle::new();
    bundle.runs("grep -E 'CapInh|CapEff|CapAmb|Seccomp:' /proc/self/status");
    bundle.edit("\"uid\": 0", "\"uid\": 1000");
    bundle.edit("\"noNewPrivileges\": true", "\"noNewPrivileges\": false");
    let kill = "\"inheritable\":[\"CAP_KILL\"],\"ambient\":[\"CAP_KILL\"],\"permitted\"";
    bundle.edit("\"permitted\"", kill);
    bundle.edit(
        "\"linux\": {",
        "\"linux\": {\"seccomp\":{\"defaultAction\":\"SCMP_ACT_ALLOW\",\"syscalls\":[{\"names\":[\"acct\"],\
         \"action\":\"SCMP_ACT_ERRNO\"}]},",
    );
    let sets = ["CapInh", "CapEff", "CapAmb"].map(|set| format!("{set}:\t0000000000000020\n"));
    bundle.run().stdout(&format!("{}Seccomp:\t2\n", sets.concat()));
}

#[test]
fn unset_properties_are_inherited_from_the_caller() {
    let bundle = Bundle::new();
    bundle.runs("cat /proc/self/oom_score_adj");
    let mut command = Command::new("sh");
    command.arg("-c").arg(format!(
        "echo 123 > /proc/self/oom_score_adj; exec {} oci --root {} run --bundle {} {}",
        super::MYDOCKER,
        bundle.root().display(),
        bundle.path(),
        bundle.id
    ));
    run_command(command).stdout("123\n");
}

#[test]
fn namespaces_are_new_the_callers_or_those_of_a_path() {
    let bundle = Bundle::new();
    let kinds =
        [("pid", "pid"), ("net", "network"), ("ipc", "ipc"), ("uts", "uts"), ("cgroup", "cgroup")];
    let links: String = kinds.map(|(name, _)| format!("readlink /proc/self/ns/{name};")).concat();
    bundle.runs(&links);
    let good = bundle.config();
    let link = |process: &str, name: &str| {
        std::fs::read_link(format!("/proc/{process}/ns/{name}")).unwrap().display().to_string()
    };
    let own = kinds.map(|(name, _)| link("self", name));
    let found = bundle.run().text();
    for (found, own) in found.lines().zip(&own) {
        assert_ne!(found, own);
    }
    // Now the list has only a mount namespace and, because of /proc, a PID namespace.
    let list = good.split_once("\"namespaces\": [").unwrap().1.split_once(']').unwrap().0;
    let fewer = "{ \"type\": \"pid\" }, { \"type\": \"mount\" }";
    let text = good.replacen(list, fewer, 1).replacen("\"hostname\": \"mydocker\",", "", 1);
    bundle.set_config(text);
    let found = bundle.run().text();
    assert_eq!(found.lines().skip(1).collect::<Vec<_>>(), own[1..]);
    // The paths lead to the namespaces of another process.
    let mut other = Command::new("unshare");
    other.args(["--net", "--ipc", "--uts", "sleep", "1000"]).stdin(Stdio::null());
    let mut other = other.spawn().unwrap();
    let pid = other.id().to_string();
    eventually("it is elsewhere", || {
        std::fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|name| name == "sleep\n")
    });
    let mut text = good.clone();
    for (name, kind) in &kinds[1..4] {
        let by = format!("{{ \"type\": \"{kind}\", \"path\": \"/proc/{pid}/ns/{name}\" }}");
        text = text.replacen(&format!("{{ \"type\": \"{kind}\" }}"), &by, 1);
    }
    bundle.set_config(text);
    let found = bundle.run();
    let theirs: Vec<String> = kinds[1..4].iter().map(|(name, _)| link(&pid, name)).collect();
    other.kill().unwrap();
    other.wait().unwrap();
    assert_eq!(found.text().lines().skip(1).take(3).collect::<Vec<_>>(), theirs);
}

#[test]
fn a_cgroups_path_always_means_the_same_cgroup() {
    let bundle = Bundle::new();
    bundle.runs("exec sleep 1000");
    let good = bundle.config();
    let name = unique("oci-path-");
    for (path, place) in
        [(format!("/{name}/a"), format!("/{name}/a")), (format!("{name}/b"), format!("/{name}/b"))]
    {
        let by = format!("\"cgroupsPath\":\"{path}\",\"maskedPaths\"");
        bundle.set_config_with(&good, "\"maskedPaths\"", &by);
        bundle.create();
        let text = std::fs::read_to_string(format!("/proc/{}/cgroup", bundle.pid())).unwrap();
        for controller in ["memory", "pids", "devices", "freezer", "name=systemd"] {
            let line = text.lines().find(|line| line.contains(controller)).unwrap();
            assert!(line.ends_with(&format!(":{place}")), "{line}");
        }
        bundle.call(&["delete", "--force", &bundle.id]).stdout("");
        assert!(!std::path::Path::new("/sys/fs/cgroup/pids").join(&place[1..]).exists());
    }
    remove_cgroup(&name);
}

#[test]
fn a_cgroup_that_is_in_use_is_refused() {
    let bundle = Bundle::new();
    let name = unique("oci-used-");
    let directory = std::path::Path::new("/sys/fs/cgroup/pids").join(&name);
    std::fs::create_dir(&directory).unwrap();
    let mut other = Command::new("sleep").arg("1000").spawn().unwrap();
    std::fs::write(directory.join("cgroup.procs"), other.id().to_string()).unwrap();
    bundle.edit("\"maskedPaths\"", &format!("\"cgroupsPath\":\"/{name}\",\"maskedPaths\""));
    let done = bundle.run();
    let lives = other.try_wait().unwrap().is_none();
    other.kill().unwrap();
    other.wait().unwrap();
    eventually("its cgroup is free", || std::fs::remove_dir(&directory).is_ok());
    done.exits(1).stderr_has("linux.cgroupsPath").stderr_has(&other.id().to_string());
    assert!(lives, "the other's process was ended");
    // A frozen cgroup is refused too, although it is empty, and it stays.
    let directory = std::path::Path::new("/sys/fs/cgroup/freezer").join(&name);
    std::fs::create_dir(&directory).unwrap();
    std::fs::write(directory.join("freezer.state"), "FROZEN").unwrap();
    let done = bundle.run();
    let removed = std::fs::remove_dir(&directory);
    done.exits(1).stderr_has("linux.cgroupsPath").stderr_has("is frozen");
    removed.unwrap();
}

#[test]
fn mounts_have_id_mappings_and_copied_files() {
    let bundle = Bundle::new();
    let source = bundle.dir().join("source");
    let below = source.join("below");
    std::fs::create_dir_all(&below).unwrap();
    std::os::unix::fs::chown(&source, Some(1), Some(2)).unwrap();
    let mut mount = Command::new("mount");
    mount.args(["-t", "tmpfs", "-o", "uid=1,gid=2", "tmpfs"]).arg(&below);
    assert!(mount.status().unwrap().success());
    let ids =
        |from: u32, to: u32| format!("[{{\"containerID\":{from},\"hostID\":{to},\"size\":5}}]");
    let bind = |target: &str, bind: &str, option: &str| {
        format!(
            "{{\"destination\":\"{target}\",\"type\":\"bind\",\"source\":\"{}\",\
             \"options\":[\"{bind}\",\"{option}\"],\"uidMappings\":{},\"gidMappings\":{}}},",
            source.display(),
            ids(0, 100),
            ids(0, 200)
        )
    };
    bundle.runs("stat -c '%u %g' /a /a/below /b /b/below; cat /etc/x; echo new > /etc/x");
    std::fs::create_dir_all(bundle.rootfs().join("etc")).unwrap();
    std::fs::write(bundle.rootfs().join("etc/x"), "copied\n").unwrap();
    let copied = "{\"destination\":\"/etc\",\"type\":\"tmpfs\",\"source\":\"t\",\"options\":[\"tmpcopyup\"]},";
    let mounts = [bind("/a", "rbind", "ridmap"), bind("/b", "rbind", "idmap"), copied.to_owned()];
    bundle.edit("\"mounts\": [", &format!("\"mounts\": [{}", mounts.concat()));
    let done = bundle.run();
    assert!(Command::new("umount").arg(&below).status().unwrap().success());
    done.stdout("101 202\n101 202\n101 202\n1 2\ncopied\n");
    let kept = std::fs::read_to_string(bundle.rootfs().join("etc/x")).unwrap();
    assert_eq!(kept, "copied\n");
}
