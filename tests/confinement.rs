//! How a container is confined, as its processes see it. The test binary, which is static, is
//! mounted into containers and runs there as a probe that lists what it can see and do. The list of
//! a default container is compared with a table. Lists with several sets of flags are compared
//! with those of Podman's containers on the same host. mydocker may allow no more than Podman,
//! except the capabilities in `podman::DOCKERS`.

mod confinement {
    pub mod podman;
    pub mod probe;
}
mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::process::Command;

use confinement::{podman, probe};
use support::Host;

/// Facts by name. A name may have many facts.
type Listing = BTreeMap<String, BTreeSet<String>>;

/// This is not a test, but the probe that runs inside the containers.
#[test]
fn probe_from_inside() {
    if std::env::var_os(probe::ASKED).is_some() {
        probe::report();
    }
}

const PROBE: [&str; 5] =
    ["/probe", "probe_from_inside", "--exact", "--nocapture", "--test-threads=1"];

fn mounted_probe() -> String {
    format!("{}:/probe:ro", std::env::current_exe().unwrap().display())
}

fn parse(text: &str) -> Listing {
    let mut listing = Listing::new();
    for line in text.lines().filter_map(|line| line.strip_prefix(probe::MARK)) {
        let (name, value) = line.split_once('=').unwrap();
        listing.entry(name.to_owned()).or_default().insert(value.to_owned());
    }
    assert!(listing.contains_key("end"), "the probe was cut short: {text}");
    listing
}

/// The probe's list in a container of mydocker.
fn ours(host: &Host, flags: &[&str]) -> Listing {
    let mount = mounted_probe();
    let mut args = vec!["run", "--rm", "--network", "none", "-v", &mount, "-e", "PROBE=1"];
    args.extend(flags);
    args.push("bb");
    args.extend(PROBE);
    parse(&host.mydocker(args).text())
}

fn one<'a>(listing: &'a Listing, name: &str) -> &'a str {
    let facts = listing.get(name).unwrap_or_else(|| panic!("no {name} in {listing:#?}"));
    assert_eq!(facts.len(), 1, "{name}");
    facts.first().unwrap()
}

fn bits(listing: &Listing, name: &str) -> u64 {
    u64::from_str_radix(one(listing, name), 16).unwrap()
}

#[test]
fn a_container_is_no_looser_than_podmans() {
    let host = Host::with_busybox();
    for flags in [
        &[][..],
        &["-u", "1000:1000"],
        &["--cap-add", "NET_ADMIN"],
        &["--cap-drop", "ALL"],
        &["--security-opt", "no-new-privileges"],
        &["--read-only"],
        &["--privileged"],
    ] {
        let Some(theirs) = podman::listing(&host, flags, false) else {
            skip!("podman is not installed")
        };
        let ours = ours(&host, flags);
        let looser = podman::looser_still(&host, flags, false, &ours, &theirs);
        assert!(looser.is_empty(), "{flags:?}: looser than Podman: {looser:#?}\nours: {ours:#?}");
        assert_eq!(one(&ours, "NoNewPrivs"), one(&theirs, "NoNewPrivs"), "{flags:?}");
    }
}

#[test]
fn a_process_that_joins_is_no_looser_than_podmans() {
    let host = Host::with_busybox();
    for flags in [&[][..], &["-u", "1000:1000"], &["--privileged"]] {
        let Some(theirs) = podman::listing(&host, flags, true) else {
            skip!("podman is not installed")
        };
        let mount = mounted_probe();
        let run =
            ["run", "-d", "--name", "box", "--network", "none", "-v", &mount, "-e", "PROBE=1"];
        host.mydocker([&run[..], flags, &["bb", "sleep", "1000"]].concat());
        let ours = parse(&host.mydocker([&["exec", "box"][..], &PROBE].concat()).text());
        host.mydocker(["rm", "-f", "box"]);
        let looser = podman::looser_still(&host, flags, true, &ours, &theirs);
        assert!(looser.is_empty(), "{flags:?}: looser than Podman: {looser:#?}\nours: {ours:#?}");
    }
}

#[test]
fn a_default_container_sees_nothing_of_the_host() {
    let host = Host::with_busybox();
    let seen = ours(&host, &[]);
    assert_eq!(bits(&seen, "CapEff"), 0xa80425fb);
    assert_eq!(bits(&seen, "CapBnd"), 0xa80425fb);
    assert_eq!((bits(&seen, "CapInh"), bits(&seen, "CapAmb")), (0, 0));
    assert_eq!((one(&seen, "Seccomp"), one(&seen, "NoNewPrivs")), ("2", "0"));
    for name in ["cgroup", "ipc", "mnt", "net", "pid", "uts"] {
        let hosts = std::fs::read_link(format!("/proc/self/ns/{name}")).unwrap();
        assert_ne!(one(&seen, &format!("ns/{name}")), hosts.to_str().unwrap(), "{name}");
    }
    let set = |facts: &[&str]| facts.iter().map(|fact| (*fact).to_owned()).collect();
    assert_eq!(seen["fd"], set(&["0", "1", "2"]));
    assert_eq!(seen["env"], set(&["HOME", "HOSTNAME", "PATH", "PROBE"]));
    assert!(!seen.contains_key("unmasked"), "{:?}", seen["unmasked"]);
    assert!(!seen.contains_key("abstract"), "{:?}", seen["abstract"]);
    assert_eq!(seen["device"], set(&["c1:3", "c1:5", "c1:7", "c1:8", "c1:9", "c5:0"]),);
    // Below /proc and /sys a container may only change files of its own processes.
    assert!(!seen.contains_key("writable"), "{:#?}", seen["writable"]);
    assert_eq!(one(&seen, "umask"), "0022");
}

#[test]
fn system_calls_of_past_escapes_are_refused() {
    let host = Host::with_busybox();
    let seen = ours(&host, &[]);
    for (name, expected) in probe::EXPECTED {
        assert_eq!(one(&seen, &format!("try/{name}")), *expected, "{name}");
    }
    // Without the filter, most of these calls have other results. So the comparison above tests the
    // filter.
    let open = ours(&host, &["--security-opt", "seccomp=unconfined"]);
    assert_eq!(one(&open, "Seccomp"), "0");
    for name in ["unshare_user", "clone3", "keyctl", "setns", "socket_alg_upper_half", "unknown"] {
        let expected = probe::EXPECTED.iter().find(|(known, _)| *known == name).unwrap().1;
        if name != "unknown" && name != "socket_alg_upper_half" {
            assert_ne!(one(&open, &format!("try/{name}")), expected, "{name}");
        }
    }
}

#[test]
fn a_user_other_than_root_has_no_capabilities() {
    let host = Host::with_busybox();
    for flags in [&["-u", "1000:1000"][..], &["-u", "1000:1000", "--init"]] {
        let seen = ours(&host, flags);
        assert_eq!((bits(&seen, "CapPrm"), bits(&seen, "CapEff")), (0, 0));
        assert_eq!((bits(&seen, "CapInh"), bits(&seen, "CapAmb")), (0, 0));
        assert_eq!(bits(&seen, "CapBnd"), 0xa80425fb);
        assert_eq!(one(&seen, "Seccomp"), "2");
        assert!(!seen.contains_key("writable"), "{:#?}", seen["writable"]);
    }
    // By default the user may become root through a set-user-ID program.
    let mut args = vec!["run", "--rm", "-u", "1000", "bb", "sh", "-c"];
    args.push("cat /proc/self/status");
    host.mydocker(&args).stdout_has("NoNewPrivs:\t0");
    args.splice(1..1, ["--security-opt", "no-new-privileges"]);
    host.mydocker(&args).stdout_has("NoNewPrivs:\t1").stdout_has("Seccomp:\t2");
}

#[test]
fn exec_is_confined_as_the_container_is() {
    let host = Host::with_busybox();
    let mount = mounted_probe();
    host.mydocker([
        "run",
        "-d",
        "--name",
        "c",
        "--network",
        "none",
        "-v",
        &mount,
        "bb",
        "sleep",
        "600",
    ]);
    let inside = |flags: &[&str]| {
        let mut args = vec!["exec", "-e", "PROBE=1"];
        args.extend(flags);
        args.push("c");
        args.extend(PROBE);
        parse(&host.mydocker(args).text())
    };
    let first = ours(&host, &[]);
    let joined = inside(&[]);
    for (name, facts) in &first {
        if !name.starts_with("ns/") {
            assert_eq!(joined.get(name), Some(facts), "{name}");
        }
    }
    let user = inside(&["-u", "1000"]);
    assert_eq!((bits(&user, "CapPrm"), bits(&user, "CapInh"), bits(&user, "CapAmb")), (0, 0, 0));
    let privileged = inside(&["--privileged"]);
    assert_eq!(one(&privileged, "Seccomp"), "0");
    assert!(bits(&privileged, "CapEff") & 1 << 21 != 0);
}

#[test]
fn capabilities_are_added_and_dropped() {
    let host = Host::with_busybox();
    let effective = |flags: &[&str]| {
        let mut args = vec!["run", "--rm"];
        args.extend(flags);
        args.extend(["bb", "grep", "CapEff", "/proc/self/status"]);
        let text = host.mydocker(args).text();
        u64::from_str_radix(text.split_whitespace().nth(1).unwrap(), 16).unwrap()
    };
    let all = effective(&["--privileged"]);
    assert!(all & 1 << 21 != 0 && all.count_ones() >= 38, "{all:x}");
    assert_eq!(effective(&["--cap-drop", "ALL"]), 0);
    assert_eq!(effective(&["--cap-drop", "all", "--cap-add", "cap_chown"]), 1);
    assert_eq!(effective(&["--cap-add", "ALL", "--cap-drop", "SYS_ADMIN"]), all & !(1 << 21));
    assert_eq!(effective(&["--cap-add", "NET_ADMIN", "--cap-drop", "MKNOD"]), 0xa00435fb);
    // If a container has a capability, the filter allows the calls that need it.
    host.mydocker(["run", "--rm", "bb", "mount", "-t", "tmpfs", "x", "/tmp"])
        .exits(1)
        .stderr_has("denied");
    host.mydocker([
        "run",
        "--rm",
        "--cap-add",
        "SYS_ADMIN",
        "bb",
        "mount",
        "-t",
        "tmpfs",
        "x",
        "/tmp",
    ]);
    host.mydocker(["run", "--rm", "--cap-drop", "SYS_CHROOT", "bb", "chroot", "/", "true"])
        .exits(1)
        .stderr_has("Operation not permitted");
    host.mydocker(["run", "--cap-add", "NOPE", "bb", "true"]).refused("unknown capability 'NOPE'");
}

#[test]
fn a_privileged_container_is_as_open_as_the_host() {
    let host = Host::with_busybox();
    let seen = ours(&host, &["--privileged"]);
    assert_eq!(one(&seen, "Seccomp"), "0");
    for name in ["unshare_user", "unshare_mount", "mount"] {
        assert_eq!(one(&seen, &format!("try/{name}")), "ok", "{name}");
    }
    // The cgroup must let the container open the device. A kernel without /dev/mem gives another
    // error.
    assert_ne!(one(&seen, "try/memory_device"), "EPERM");
    let script = "cat /proc/sys/vm/swappiness >/proc/sys/vm/swappiness && \
                  cd /sys/fs/cgroup && { cd memory 2>/dev/null || true; } && \
                  mkdir below && rmdir below && ! test -c /proc/timer_list";
    host.mydocker(["run", "--rm", "--privileged", "bb", "sh", "-c", script]);
}

#[test]
fn a_user_can_give_a_seccomp_profile() {
    let host = Host::with_busybox();
    let profile = host.file(
        "profile.json",
        r#"{"defaultAction": "SCMP_ACT_ALLOW", "architectures": ["SCMP_ARCH_X86_64"],
            "syscalls": [{"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO", "errnoRet": 30},
                         {"names": ["sethostname"], "action": "SCMP_ACT_KILL_PROCESS"}]}"#,
    );
    let option = format!("seccomp={}", profile.display());
    let run = |flags: &[&str], script: &str| {
        let mut args = vec!["run", "--rm", "--security-opt", &option];
        args.extend(flags);
        args.extend(["bb", "sh", "-c", script]);
        host.mydocker(args)
    };
    run(&[], "mkdir /x").exits(1).stderr_has("Read-only file system");
    run(&["-u", "1000", "--init"], "mkdir /tmp/x").exits(1).stderr_has("Read-only file system");
    // SIGSYS (31) killed the program, so the status is 128 + 31.
    run(&[], "hostname x; echo $?").stdout("159\n").stderr_has("Bad system call");
    // The profile is in the record, so the file may be removed.
    host.mydocker(["create", "--name", "c", "--security-opt", &option, "bb", "mkdir", "/x"]);
    std::fs::remove_file(&profile).unwrap();
    host.mydocker(["start", "-a", "c"]).exits(1).stderr_has("Read-only file system");
    host.mydocker(["create", "--security-opt", &option, "bb", "true"]).refused("No such file");
    let bad = host
        .file("bad.json", r#"{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{"names":["read"]}]}"#);
    let option = format!("seccomp={}", bad.display());
    host.mydocker(["create", "--security-opt", &option, "bb", "true"])
        .refused("syscalls[0] has no field 'action'");
}

/// Accepts one connection of a runtime. Returns the state that the runtime sends and the filter's
/// descriptors.
fn agent(listener: &std::os::unix::net::UnixListener) -> (String, Vec<std::os::fd::OwnedFd>) {
    use rustix::net::{
        RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SocketFlags, accept_with, recvmsg,
    };
    let socket = accept_with(listener, SocketFlags::CLOEXEC).unwrap();
    let mut space = [std::mem::MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(4))];
    let (mut text, mut fds) = (Vec::new(), Vec::new());
    loop {
        let mut buffer = [0; 4096];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let mut slices = [std::io::IoSliceMut::new(&mut buffer)];
        let received = recvmsg(&socket, &mut slices, &mut control, RecvFlags::empty()).unwrap();
        for message in control.drain() {
            if let RecvAncillaryMessage::ScmRights(rights) = message {
                fds.extend(rights);
            }
        }
        if received.bytes == 0 {
            return (String::from_utf8(text).unwrap(), fds);
        }
        text.extend(&buffer[..received.bytes]);
    }
}

#[test]
fn an_agent_on_the_host_decides_calls() {
    let host = Host::with_busybox();
    let socket = host.scratch().join("agent.sock");
    let listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
    let profile = format!(
        r#"{{"defaultAction": "SCMP_ACT_ALLOW", "listenerPath": "{}", "listenerMetadata": "x\"y",
            "flags": ["SECCOMP_FILTER_FLAG_LOG", "SECCOMP_FILTER_FLAG_SPEC_ALLOW"],
            "syscalls": [{{"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_NOTIFY"}}]}}"#,
        socket.display()
    );
    let option = format!("seccomp={}", host.file("agent.json", &profile).display());
    let decide = |running: bool| {
        let (state, fds) = agent(&listener);
        assert_eq!(fds.len(), 1);
        let status = if running { "running" } else { "creating" };
        for part in [
            r#""ociVersion":"1."#,
            r#""fds":["seccompFd"]"#,
            r#""metadata":"x\"y""#,
            &format!(r#""status":"{status}""#),
            r#""pid":"#,
        ] {
            assert!(state.contains(part), "{state}");
        }
        // Without an agent the kernel refuses the calls.
        drop(fds);
    };
    std::thread::scope(|scope| {
        scope.spawn(|| decide(false));
        let run = ["run", "--name", "n", "-d", "--security-opt", &option, "bb", "sh", "-c"];
        let script = "mkdir /x 2>&1; mkdir /y 2>&1; exec sleep 1000";
        host.mydocker(run.iter().chain(&[script]));
    });
    support::eventually("it has asked", || {
        let logs = host.mydocker(["logs", "n"]).text();
        logs.matches("Function not implemented").count() == 2
    });
    std::thread::scope(|scope| {
        scope.spawn(|| decide(true));
        let exec = ["exec", "n", "mkdir", "/z"];
        host.mydocker(exec).exits(1).stderr_has("Function not implemented");
    });
    // If no agent listens, the run fails before the program starts.
    drop(listener);
    let run = ["run", "--rm", "--security-opt", &option, "bb", "echo", "ran"];
    host.mydocker(run).refused("connect to the seccomp agent at");
}

#[test]
fn podmans_profile_works_with_every_kind_of_process() {
    let profile = "/usr/share/containers/seccomp.json";
    if !std::path::Path::new(profile).exists() {
        skip!("{profile} is not here");
    }
    let host = Host::with_busybox();
    let option = format!("seccomp={profile}");
    for flags in [&[][..], &["-u", "1000"], &["--init"], &["--security-opt", "no-new-privileges"]] {
        let mut args = vec!["run", "--rm", "--security-opt", &option];
        args.extend(flags);
        args.extend(["bb", "sh", "-c", "grep Seccomp: /proc/self/status; ls / | head -1"]);
        host.mydocker(args).stdout("Seccomp:\t2\nbin\n");
    }
}

#[test]
fn labels_are_refused_on_a_host_without_selinux() {
    let host = Host::with_busybox();
    let refuse = |option: &str, part: &str| {
        host.mydocker(["run", "--security-opt", option, "bb", "true"]).refused(part);
    };
    if !std::path::Path::new("/sys/module/apparmor").exists() {
        refuse("apparmor=some-profile", "this host has no AppArmor");
    }
    if !std::path::Path::new("/sys/fs/selinux/enforce").exists() {
        refuse("label=type:container_t", "this host has no SELinux");
    }
    refuse("sekkomp=x", "bad security option");
    host.mydocker(["run", "--rm", "--security-opt", "apparmor=unconfined", "bb", "true"]);
    host.mydocker(["run", "--rm", "--security-opt", "label=disable", "bb", "true"]);
}

#[test]
fn system_paths_open_on_request() {
    let host = Host::with_busybox();
    let script = "test -d /proc/acpi || test -s /proc/kcore; cat /proc/sys/kernel/hostname >/proc/sys/kernel/hostname";
    let run = |flags: &[&str]| {
        let mut args = vec!["run", "--rm"];
        args.extend(flags);
        args.extend(["bb", "sh", "-c", script]);
        host.mydocker(args)
    };
    run(&[]).exits(1).stderr_has("Read-only file system");
    run(&["--security-opt", "systempaths=unconfined"]);
}

#[test]
fn a_fork_bomb_ends_at_2048_processes_by_default() {
    let host = Host::with_busybox();
    if !std::fs::read_to_string("/proc/cgroups").unwrap().contains("pids") {
        skip!("this kernel has no pids controller");
    }
    let script = "cat /sys/fs/cgroup/pids.max 2>/dev/null || cat /sys/fs/cgroup/pids/pids.max";
    let limit = |flags: &[&str]| {
        let mut args = vec!["run", "--rm"];
        args.extend(flags);
        args.extend(["bb", "sh", "-c", script]);
        host.mydocker(args).text()
    };
    assert_eq!(limit(&[]), "2048");
    assert_eq!(limit(&["--pids-limit", "-1"]), "max");
    assert_eq!(limit(&["--pids-limit", "77"]), "77");
}

/// Runs a line of shell on the host as if the host had only cgroup v2. The line sees the host's
/// root file system, with only the mounts that a container engine needs.
fn on_cgroup_v2(host: &Host, line: &str) -> std::process::Output {
    let root = host.scratch().join("v2");
    std::fs::create_dir_all(&root).unwrap();
    let script = format!(
        "mount --bind / $R && mount -t proc proc $R/proc && mount -t sysfs sysfs $R/sys && \
         mount -t cgroup2 cgroup2 $R/sys/fs/cgroup && mount --rbind /dev $R/dev && \
         exec chroot $R sh -c '{line}'"
    );
    let mut command = Command::new("unshare");
    command.args(["--mount", "--propagation", "private", "sh", "-c", &script]).env("R", &root);
    command.output().unwrap()
}

#[test]
fn devices_are_restricted_by_a_program_on_cgroup_v2() {
    let host = Host::with_busybox();
    let mydocker = format!(
        "{} --root {} --run-root {}",
        support::MYDOCKER,
        host.state_root().display(),
        host.run_root().display()
    );
    let script = host.file(
        "script",
        "for device in 'c 1 1' 'b 7 0' 'c 10 229'; do
             mknod /n $device && head -c 0 /n 2>&1 | grep -q 'not permitted' && echo no $device
             rm /n
         done
         head -c 1 /dev/zero >/dev/null && echo standard",
    );
    let run = |flags: &str| {
        let mount = format!("{}:/script:ro", script.display());
        let line = format!("{mydocker} run --rm -v {mount} {flags} bb sh /script");
        let output = on_cgroup_v2(&host, &line);
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{errors}");
        String::from_utf8(output.stdout).unwrap()
    };
    // A container can make any device node, but can open only its own devices.
    assert_eq!(run(""), "no c 1 1\nno b 7 0\nno c 10 229\nstandard\n");
    let rule = "--device-cgroup-rule \"c 10:229 rw\" --device-cgroup-rule \"b 7:* r\"";
    assert_eq!(run(rule), "no c 1 1\nstandard\n");
    assert_eq!(run("--privileged"), "standard\n");
}

#[test]
fn devices_are_added_with_their_access() {
    let host = Host::with_busybox();
    let run = |flags: &[&str], script: &str| {
        let mut args = vec!["run", "--rm"];
        args.extend(flags);
        args.extend(["bb", "sh", "-c", script]);
        host.mydocker(args)
    };
    let open = |flags: &[&str], open: &str| {
        let script =
            format!("mknod /n c 10 229; {open} 2>&1 | grep -q 'not permitted' || echo open");
        run(flags, &script).text() == "open"
    };
    assert!(!open(&[], "head -c 0 /n"));
    assert!(open(&["--device-cgroup-rule", "c 10:* r"], "head -c 0 /n"));
    let create = ["create", "--name", "ruled", "--device-cgroup-rule", "c 10:* r"];
    host.mydocker(create.iter().chain(&["bb", "true"]));
    let rules = "{{json .HostConfig.DeviceCgroupRules}}";
    assert_eq!(host.inspect("ruled", rules), r#"["c 10:* r"]"#);
    assert!(!open(&["--device-cgroup-rule", "c 10:* w"], "head -c 0 /n"));
    assert!(open(&["--device", "/dev/loop0:/dev/m:r"], "head -c 0 /dev/m"));
    assert!(!open(&["--device", "/dev/loop0:/dev/m:r"], "sh -c ': >>/dev/m'"));
    run(&["--device", "/dev/loop0:/dev/deep/m"], "test -b /dev/deep/m");
    run(&["--device", "/dev/nope"], "true").exits(127).stderr_has("/dev/nope");
    host.mydocker(["run", "--device-cgroup-rule", "c 1", "bb", "true"]).refused("bad device rule");
}

#[test]
fn another_user_of_the_host_can_read_nothing() {
    let host = Host::with_busybox();
    host.mydocker(["run", "-d", "--name", "c", "bb", "sh", "-c", "echo secret; exec sleep 600"]);
    support::eventually("it has said so", || host.mydocker(["logs", "c"]).text() == "secret");
    let find = |args: &[&str]| {
        let mut find = Command::new("find");
        find.arg(host.state_root()).arg(host.run_root()).args(args);
        String::from_utf8(find.output().unwrap().stdout).unwrap()
    };
    let files: Vec<PathBuf> = find(&[]).lines().map(PathBuf::from).collect();
    assert!(files.iter().any(|file| file.ends_with("attach.sock")), "{files:#?}");
    assert!(files.iter().any(|file| file.ends_with("log")), "{files:#?}");
    let nobody = |program: &str, args: &[&str]| {
        let mut command = Command::new("setpriv");
        command
            .args(["--reuid", "65534", "--regid", "65534", "--clear-groups", program])
            .args(args);
        command.output().unwrap()
    };
    for root in [host.state_root(), host.run_root()] {
        let listed = nobody("ls", &[root.to_str().unwrap()]);
        assert!(!listed.status.success(), "{}", root.display());
    }
    for file in files {
        // Below the roots, `nobody` can't even see whether a file exists.
        let read = nobody("stat", &[file.to_str().unwrap()]);
        let roots = [host.state_root(), host.run_root()];
        assert!(!read.status.success() || roots.contains(&file), "{}", file.display());
    }
    // `ps` reports that it needs root.
    let mut args = vec!["--root".to_owned(), host.state_root().display().to_string()];
    args.extend(["--run-root".to_owned(), host.run_root().display().to_string()]);
    args.push("ps".to_owned());
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let asked = nobody(support::MYDOCKER, &args);
    let complaint = String::from_utf8_lossy(&asked.stderr).into_owned();
    assert_eq!(asked.status.code(), Some(1), "{complaint}");
    assert!(complaint.contains("root"), "{complaint}");
}

/// The command line and the environment of a process, as root on the host sees them.
fn seen_of(pid: i32) -> (String, String) {
    let text = |file: &str| {
        let bytes = std::fs::read(format!("/proc/{pid}/{file}")).unwrap();
        String::from_utf8_lossy(&bytes).replace('\0', " ").trim().to_owned()
    };
    (text("cmdline"), text("environ"))
}

#[test]
fn a_monitor_is_named_after_its_container_and_shows_no_secret() {
    use std::os::unix::process::CommandExt;
    let host = Host::with_busybox();
    let flags = ["-d", "-e", "DBPASS=hunter2", "bb", "sleep", "1000"];
    let mut long = host.command(["run", "--name", "long"].iter().chain(&flags));
    // This command line is shorter than the monitor's title after the first rename below.
    let mut short = Command::new(support::MYDOCKER);
    short.arg0("md").env("MYDOCKER_ROOT", host.state_root());
    short.env("MYDOCKER_RUN_ROOT", host.run_root());
    short.args(["run", "--name", "s", "-d", "-e", "DBPASS", "bb", "sleep", "99"]);
    for (name, command) in [("long", &mut long), ("s", &mut short)] {
        command.env("DBPASS", "hunter2").env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
        assert!(command.status().unwrap().success());
        let (pid, id) = (host.monitor(name), host.inspect(name, "{{.Id}}"));
        let title = format!("mydocker: monitor of {name} ({})", &id[..12]);
        support::eventually("it has its title", || seen_of(pid).0 == title);
        let environment = seen_of(pid).1;
        assert!(environment.ends_with("PATH=/usr/sbin:/usr/bin:/sbin:/bin"), "{environment}");
        assert!(!environment.contains("hunter2") && !environment.contains("DBPASS"));
        // Rename the container to a longer name, then to a shorter one.
        for new in [format!("{name}-{}", "x".repeat(100)), format!("{name}2")] {
            let old = host.inspect(&id, "{{.Name}}");
            host.mydocker(["rename", &old[1..], &new]);
            let title = format!("mydocker: monitor of {new} ({})", &id[..12]);
            support::eventually("its title has the new name", || seen_of(pid).0 == title);
            let environment = seen_of(pid).1;
            assert!(environment.ends_with("PATH=/usr/sbin:/usr/bin:/sbin:/bin"), "{environment}");
        }
        assert!(host.is_running(&format!("{name}2")));
    }
}

#[test]
fn a_waiting_command_shows_no_variable_of_the_container() {
    let host = Host::with_busybox();
    let script = "echo $DBPASS; exec sleep 1000";
    for (at, flags) in
        [&["-e", "DBPASS=hunter2"][..], &["-eDBPASS=hunter2"], &["--env=DBPASS=hunter2"]]
            .into_iter()
            .enumerate()
    {
        let name = format!("box{at}");
        let args = ["run", "--rm", "--name", &name];
        let mut run = host.background(args.iter().chain(flags).chain(&["bb", "sh", "-c", script]));
        run.expect("hunter2");
        let (line, _) = seen_of(run.pid());
        assert!(!line.contains("hunter2") && line.contains("DBPASS=*******"), "{line}");
        let args = ["exec"].iter().chain(flags).copied();
        let mut exec = host.background(args.chain([name.as_str(), "sh", "-c", script]));
        exec.expect("hunter2");
        let (line, _) = seen_of(exec.pid());
        assert!(!line.contains("hunter2") && line.contains("DBPASS=*******"), "{line}");
        host.mydocker(["rm", "-f", &name]);
    }
    let context = host
        .directory("context", &[("Dockerfile", "FROM bb\nARG PASS\nRUN echo be''gun; sleep 1000")]);
    let context = context.to_str().unwrap();
    for flags in [&["--build-arg", "PASS=hunter2"][..], &["--build-arg=PASS=hunter2"]] {
        let args = ["build", "--network", "none"].iter().chain(flags).chain([&context]);
        let mut build = host.background(args);
        build.expect_error("begun");
        let (line, _) = seen_of(build.pid());
        assert!(!line.contains("hunter2") && line.contains("PASS=*******"), "{line}");
        build.signal(rustix::process::Signal::INT);
        build.wait().exits(130).stderr_has("SIGINT");
    }
}

#[test]
fn info_lists_what_confines_containers() {
    let host = Host::new();
    let info = host.mydocker(["info"]).text();
    assert!(info.contains("Security Options:\n  seccomp\n   Profile: default\n"), "{info}");
    let has_apparmor = std::path::Path::new("/sys/module/apparmor").exists();
    let options = host.mydocker(["info", "-f", "{{json .SecurityOptions}}"]).text();
    assert!(options.contains("\"name=seccomp,profile=default\""), "{options}");
    assert!(has_apparmor || !options.contains("apparmor"), "{options}");
    // On a hybrid host, cgroup v2 may have no controllers: `info` must report this.
    let mydocker = format!(
        "{} --root {} --run-root {} info",
        support::MYDOCKER,
        host.state_root().display(),
        host.run_root().display()
    );
    let controllers = std::fs::read_to_string("/sys/fs/cgroup/unified/cgroup.controllers");
    if controllers.is_ok_and(|controllers| controllers.trim().is_empty()) {
        let output = on_cgroup_v2(&host, &mydocker);
        // The warnings go to stderr, as Docker's do, so `info | grep` does not get them.
        let text = String::from_utf8(output.stderr).unwrap();
        assert!(text.contains("WARNING: no pids controller"), "{text}");
    }
}
