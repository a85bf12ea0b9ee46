//! Hostile containers: whatever they do, the host, other containers and mydocker's commands keep
//! working.
//!
//! The attacker has root in a container. Some attacks are bounded by a limit of the container, the
//! others by the engine. Attacks that try to escape to the host are in `tests/escapes`.

mod support;

use support::{Host, eventually};

/// Fails unless another container runs, commands work on it and on the hostile one, and the removal
/// of the hostile one leaves nothing.
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
    // Fork in a child: the shell itself exits if its second fork fails.
    let script = "b() { b | b & }; (b 2>/dev/null) & while :; do read x; done";
    let host = attack(&["--pids-limit", "100"], script);
    std::thread::sleep(std::time::Duration::from_millis(500));
    // exec may fail because there is no free process, but it must end.
    let _ = host.mydocker(["exec", "hostile", "true"]).status();
    others_go_on(&host);
}

#[test]
fn memory_up_to_the_limit() {
    let host = attack(&["-m", "32m"], "while :; do tail /dev/zero; done");
    std::thread::sleep(std::time::Duration::from_millis(500));
    others_go_on(&host);
}

#[test]
fn a_log_without_end() {
    let host = attack(&["--log-opt", "max-size=1m"], "yes 'and on and on and on'");
    let id = host.inspect("hostile", "{{.Id}}");
    let rotated = host.state_root().join("containers").join(id).join("log.1");
    eventually("its log was rotated", || rotated.exists());
    let logs = host.mydocker(["logs", "--tail", "2", "hostile"]).lines();
    // The last line may be half written.
    assert_eq!((logs.len(), logs[0].as_str()), (2, "and on and on and on"));
    others_go_on(&host);
}

#[test]
fn as_many_open_files_as_possible() {
    let script = "cd /tmp; seq 1 1015 | xargs touch; exec tail -f $(seq 1 1015)";
    let host = attack(&["--ulimit", "nofile=1024"], script);
    std::thread::sleep(std::time::Duration::from_millis(500));
    host.mydocker(["exec", "hostile", "echo", "in"]).stdout("in\n");
    others_go_on(&host);
}

#[test]
fn thousands_of_children_at_the_exit() {
    let script = "i=0; while [ $i -lt 2000 ]; do sleep 1000 & i=$((i+1)); done; echo all; read x";
    let host = Host::with_busybox();
    host.mydocker(["run", "-d", "--name", "bystander", "bb", "sleep", "1000"]);
    let line =
        ["run", "-di", "--name", "hostile", "--pids-limit", "2100", "bb", "sh", "-c", script];
    host.mydocker(line);
    eventually("all are there", || host.mydocker(["logs", "hostile"]).text() == "all");
    others_go_on(&host);
}

/// The container makes nearly as many mounts as the kernel allows in a namespace (fs.mount-max, by
/// default 100,000). The script doubles the mounts as long as that works, then adds smaller and
/// smaller numbers.
#[test]
fn a_hundred_thousand_mounts_of_its_own() {
    let script = "mkdir /m; mount -t tmpfs none /m; i=0; while [ $i -lt 17 ]; do mkdir /m/$i; \
        mount --rbind /m /m/$i 2>/dev/null || break; i=$((i+1)); done; \
        while [ $i -gt 0 ]; do i=$((i-1)); mkdir /m/more$i; \
        mount --rbind /m/$i /m/more$i 2>/dev/null; done; \
        wc -l </proc/self/mounts; exec sleep 1000";
    let host = attack(&["--privileged"], script);
    eventually("it has its mounts", || !host.mydocker(["logs", "hostile"]).text().is_empty());
    let most = std::fs::read_to_string("/proc/sys/fs/mount-max").unwrap();
    let most: usize = most.trim().parse::<usize>().unwrap().min(100_000);
    let mounts: usize = host.mydocker(["logs", "hostile"]).text().parse().unwrap();
    assert!(mounts > most * 9 / 10, "{mounts} of {most}");
    host.mydocker(["exec", "hostile", "echo", "in"]).stdout("in\n");
    host.mydocker(["cp", "hostile:/etc/passwd", "-"]).bytes();
    host.mydocker(["diff", "hostile"]).stdout("A /m\n");
    host.mydocker(["commit", "hostile", "image"]);
    others_go_on(&host);
}

/// The directories are deeper than the longest path that the kernel resolves (PATH_MAX). The tree
/// can be compared, committed, exported, copied and removed like any other.
#[test]
fn directories_without_a_bottom() {
    let script = "p=$(printf 'd/%.0s' $(seq 1000)); mkdir old; for i in 1 2 3; do \
        mkdir -p $p && mv old ${p}old && mv d old || break; done; echo $i; sleep 1000";
    let host = attack(&[], script);
    eventually("it is dug", || host.mydocker(["logs", "hostile"]).text() == "3");
    let deepest = format!("/old{}", ["/d".repeat(999), "/old".to_owned()].concat().repeat(3));
    assert!(host.mydocker(["diff", "hostile"]).lines().iter().any(|line| line[2..] == deepest));
    host.mydocker(["commit", "hostile", "deep"]);
    for reader in [["export", "hostile", ""], ["cp", "hostile:/old", "-"]] {
        let command: Vec<_> = reader.into_iter().filter(|word| !word.is_empty()).collect();
        let archive = host.mydocker(command).bytes();
        let name = &deepest.as_bytes()[1..];
        assert!(archive.windows(name.len()).any(|window| window == name), "{reader:?}");
    }
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

/// The peak memory of a process in KiB.
fn peak_memory(pid: i32) -> usize {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

/// The limit of a process's peak memory in KiB, for a debug build.
const MODEST: usize = 16 << 10;

#[test]
fn unread_input_and_a_line_without_end() {
    let script = "while :; do head -c 50m /dev/zero | tr '\\0' x; sleep 1; done";
    let host = attack(&[], script);
    let mut attached = host.background(["attach", "hostile"]);
    // 40 MiB is much more than a pipe or a socket holds.
    attached.type_in(vec![b'y'; 40 << 20]);
    eventually("much is written", || {
        host.state_root().join("containers").exists() && {
            let id = host.inspect("hostile", "{{.Id}}");
            host.state_root().join("containers").join(id).join("log.1").exists()
        }
    });
    // If the client reads nothing for 500 ms, it has stopped reading, or at least pauses.
    let taken = || {
        let io = std::fs::read_to_string(format!("/proc/{}/io", attached.pid())).unwrap();
        io.lines().next().unwrap().to_owned()
    };
    eventually("nobody takes more", || {
        let before = taken();
        std::thread::sleep(std::time::Duration::from_millis(500));
        taken() == before
    });
    assert!(peak_memory(host.monitor("hostile")) < MODEST, "the monitor grows");
    assert!(peak_memory(attached.pid()) < MODEST, "the client grows");
    let like = host.command(["logs", "--tail", "1", "hostile"]);
    let mut command = std::process::Command::new("prlimit");
    command.arg("--as=67108864").arg(like.get_program()).args(like.get_args());
    let printed = command.output().unwrap();
    assert!(printed.status.success(), "{}", String::from_utf8_lossy(&printed.stderr));
    drop(attached);
    others_go_on(&host);
}

/// CVE-2022-1708 and CVE-2022-31030: CRI-O and containerd collected the output of `exec` in memory.
#[test]
fn unread_output_of_exec() {
    let host = attack(&[], "exec sleep 1000");
    let mut exec = host.command(["exec", "hostile", "cat", "/dev/zero"]);
    let mut exec = exec.stdout(std::process::Stdio::piped()).spawn().unwrap();
    std::thread::sleep(std::time::Duration::from_millis(500));
    let peak = peak_memory(exec.id() as i32);
    assert!(peak < MODEST, "{peak} KiB for what nobody reads");
    exec.kill().unwrap();
    exec.wait().unwrap();
    others_go_on(&host);
}

/// In CVE-2025-64329 and similar bugs, a client left something behind in the engine. Here clients
/// send nonsense, close one direction and leave, or stay connected.
#[test]
fn an_attach_socket_flooded_with_nonsense() {
    use rustix::net::{
        AddressFamily, SendFlags, Shutdown, SocketAddrUnix, SocketFlags, SocketType, connect, send,
        shutdown, socket_with,
    };
    let host = attack(&[], "while read x; do echo got $x; done; exec sleep 1000");
    let monitor = host.monitor("hostile");
    let descriptors = || std::fs::read_dir(format!("/proc/{monitor}/fd")).unwrap().count();
    let before = descriptors();
    let id = host.inspect("hostile", "{{.Id}}");
    let path = host.run_root().join(id).join("attach.sock");
    let address = SocketAddrUnix::new(path).unwrap();
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let mut silent = Vec::new();
    for turn in 0..2000u32 {
        let socket = socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None).unwrap();
        if connect(&socket, &address).is_err() {
            // The queue is full, so wait until the monitor accepts earlier clients.
            std::thread::sleep(std::time::Duration::from_millis(1));
            continue;
        }
        let noise: Vec<u8> = (0..turn % 5000).map(|at| (at * 31 + turn * 7) as u8).collect();
        for packet in [&noise[..], b"h\x01", b"h", b"w\0\0\0", b"w\xff\xff\xff\xff", b"e", b"zzz"] {
            // The monitor may have closed the connection already, which is right.
            let _ = send(&socket, packet, SendFlags::NOSIGNAL);
        }
        match turn % 3 {
            0 => drop(shutdown(&socket, Shutdown::Write)),
            1 => drop(shutdown(&socket, Shutdown::Read)),
            _ if silent.len() < 100 => silent.push(socket),
            _ => {}
        }
    }
    assert!(peak_memory(monitor) < MODEST);
    drop(silent);
    eventually("all are forgotten", || descriptors() <= before);
    others_go_on(&host);
}

/// Each client costs the monitor a descriptor, so the number of clients is limited.
#[test]
fn more_clients_than_a_monitor_takes() {
    use rustix::net::{
        AddressFamily, RecvFlags, SendFlags, SocketAddrUnix, SocketFlags, SocketType, connect,
        recv, send, socket_with,
    };
    const CLIENTS: usize = 100;
    let host = attack(&[], "while read x; do echo got $x; done; exec sleep 1000");
    let path = host.run_root().join(host.inspect("hostile", "{{.Id}}")).join("attach.sock");
    let address = SocketAddrUnix::new(path).unwrap();
    let clients: Vec<_> = (0..CLIENTS)
        .map(|_| {
            let (family, kind) = (AddressFamily::UNIX, SocketType::SEQPACKET);
            let socket = socket_with(family, kind, SocketFlags::CLOEXEC, None).unwrap();
            connect(&socket, &address).unwrap();
            // Request the output. The monitor may have refused this client already.
            let _ = send(&socket, b"h\x01", SendFlags::NOSIGNAL);
            socket
        })
        .collect();
    // The first client types until each client has got a line of output or a refusal.
    let mut answers = [0; CLIENTS];
    eventually("each is answered", || {
        send(&clients[0], b"ix\n", SendFlags::NOSIGNAL).unwrap();
        for (answer, socket) in answers.iter_mut().zip(&clients).filter(|(answer, _)| **answer == 0)
        {
            let mut buffer = [0; 4096];
            if let Ok((length, _)) = recv(socket, &mut buffer, RecvFlags::DONTWAIT) {
                *answer = buffer[..length][0];
            }
        }
        answers.iter().all(|answer| *answer != 0)
    });
    let count = |kind: u8| answers.iter().filter(|answer| **answer == kind).count();
    assert_eq!((count(b'o'), count(b'f')), (64, CLIENTS - 64));
    host.mydocker(["attach", "hostile"]).exits(1).stderr_has("too many clients are attached");
    drop(clients);
    others_go_on(&host);
}

/// The kernel limits the terminals of the whole host, so each container gets a share.
#[test]
fn more_terminals_than_its_share() {
    let script = "exec tail -f $(yes /dev/ptmx | head -n 400)";
    let host = attack(&["--ulimit", "nofile=1024"], script);
    let terminals = || {
        let listed = host.mydocker(["exec", "hostile", "ls", "/dev/pts"]).lines();
        listed.iter().filter(|name| name.parse::<u32>().is_ok()).count()
    };
    eventually("it has its share", || terminals() >= 256);
    // The container gets no more terminals, while other containers do.
    eventually("it is refused", || {
        let logs = host.command(["logs", "hostile"]).output().unwrap();
        String::from_utf8_lossy(&logs.stderr).contains("No space left on device")
    });
    assert_eq!(terminals(), 256);
    host.mydocker(["run", "--rm", "-t", "bb", "tty"]).stdout_has("/dev/pts/0");
    others_go_on(&host);
}

/// The kernel limits the inotify instances of each user. By default, root in a container counts as
/// root of the host and may take them all. `logs -f` must work without an inotify instance.
#[test]
fn every_inotify_instance_taken() {
    use rustix::fs::inotify;
    const MOST: usize = 900;
    let host = Host::with_busybox();
    let script = "read x; echo first; read x; echo second";
    host.mydocker(["run", "-di", "--name", "c", "bb", "sh", "-c", script]);
    let mut taken = Vec::new();
    let refused = loop {
        match inotify::init(inotify::CreateFlags::CLOEXEC) {
            Ok(instance) => taken.push(instance),
            Err(error) => break Some(error),
        }
        if taken.len() == MOST {
            break None;
        }
    };
    if refused.is_none() {
        skip!("this host gives a user more than {MOST} inotify instances");
    }
    let mut logs = host.background(["logs", "-f", "c"]);
    let mut typist = host.background(["attach", "c"]);
    typist.type_in("\n");
    logs.expect("first\n");
    typist.type_in("\n");
    logs.wait().stdout("first\nsecond\n");
    drop(taken);
}

/// A container may fill its hosts, hostname and resolv.conf, which are neither in its layer nor in
/// a volume. So these files are on a file system of 1 MiB. No command fails because this file
/// system is full, except a `cp` to one of these files.
#[test]
fn full_hosts_hostname_and_resolv_conf_files() {
    const BOUND: u64 = 1 << 20;
    let host = Host::on_machine();
    for network in ["one", "two"] {
        host.mydocker(["network", "create", network]);
    }
    let run = ["run", "-d", "--name", "hostile", "--network", "one"];
    for (file, flags) in [
        ("hosts", &[][..]),
        ("hostname", &["--userns", "auto"]),
        ("resolv.conf", &["--privileged"]),
    ] {
        host.mydocker([&run[..], flags, &["bb", "sleep", "1000"]].concat());
        let path = format!("/etc/{file}");
        // Without the limit, the script writes 16 MiB.
        let fill = format!("dd if=/dev/zero of={path} bs=64k count=256");
        let exec = |script: &str| host.mydocker(["exec", "hostile", "sh", "-c", script]);
        exec(&fill).exits(1).stderr_has("No space left");
        let size: u64 = exec(&format!("stat -c %s {path}")).text().trim().parse().unwrap();
        assert!((BOUND / 2..=BOUND).contains(&size), "{file}: {size}");
        // The other files share the same 1 MiB.
        let more = "dd if=/dev/zero bs=64k count=256 2>&1 >>";
        exec(&format!("for f in hosts hostname resolv.conf; do {more}/etc/$f; done"))
            .exits(1)
            .stdout_has("No space left");
        let all = "cd /etc; cat hosts hostname resolv.conf | wc -c";
        let size: u64 = exec(all).text().trim().parse().unwrap();
        assert!(size <= BOUND + (64 << 10), "{size}");
        let id = host.inspect("hostile", "{{.Id}}");
        for name in ["hosts", "hostname", "resolv.conf"] {
            let on_disk = host.state_root().join("containers").join(&id).join(name);
            assert!(on_disk.metadata().unwrap().len() < 4096, "{name}");
        }
        // `network connect` neither writes half a section nor fails; it prints a warning.
        let hosts = exec("sha256sum /etc/hosts").text();
        host.mydocker(["network", "connect", "two", "hostile"]).complains("has filled it");
        // The name of a new container does not fit into the full file, so the file stays the same.
        host.mydocker(["run", "-d", "--name", "early", "--network", "one", "bb", "sleep", "1000"]);
        assert_eq!(exec("sha256sum /etc/hosts").text(), hosts);
        let big = host.file("big", vec![b'x'; 2 << 20]);
        let target = format!("hostile:{path}");
        host.mydocker(["cp", big.to_str().unwrap(), &target]).exits(1).complains("No space left");
        let see = ["run", "--rm", "--network", "two", "bb", "grep", "-c", "hostile", "/etc/hosts"];
        host.mydocker(see).stdout("1\n");
        host.mydocker(["network", "disconnect", "two", "hostile"]);
        host.mydocker(["rename", "hostile", "other"]);
        host.mydocker(["rename", "other", "hostile"]);
        let peer = ["run", "--rm", "--network", "container:hostile", "bb", "sh", "-c", all];
        if flags.is_empty() {
            host.mydocker(peer).stdout(&format!("{}\n", exec(all).text()));
        }
        host.mydocker(["commit", "hostile", "committed"]);
        // The next start writes the files again, and hosts gets a neighbour's name.
        host.mydocker(["restart", "-t", "0", "hostile"]);
        host.mydocker(["run", "-d", "--name", "late", "--network", "one", "bb", "sleep", "1000"]);
        exec("grep -qw late /etc/hosts && grep -q localhost /etc/hosts").stdout("");
        assert_eq!(exec("cat /etc/hostname").text().trim(), &id[..12]);
        host.mydocker(["rm", "-f", "hostile", "early", "late"]);
    }
}
