//! What a container sees of the host, and what it shares with other containers on request.
//!
//! The tests compare namespaces by the links in /proc/self/ns (namespaces(7)). Attempts to break
//! out are in `tests/escapes`.

mod support;

use support::{Host, eventually};

fn host_namespace(kind: &str) -> String {
    std::fs::read_link(format!("/proc/self/ns/{kind}")).unwrap().display().to_string() + "\n"
}

#[test]
fn a_container_has_its_own_namespaces() {
    let host = Host::with_busybox();
    for kind in ["pid", "mnt", "uts", "ipc", "net", "cgroup"] {
        let own = host.shell(&["--net", "none"], &format!("readlink /proc/self/ns/{kind}")).text();
        assert!(own.starts_with(kind));
        assert_ne!(own + "\n", host_namespace(kind), "{kind}");
    }
    host.shell(&[], "echo $$; ps -o pid | wc -l").stdout_has("1\n");
}

#[test]
fn a_container_can_share_the_hosts_namespaces() {
    let host = Host::with_busybox();
    for (flag, kind) in [("--pid", "pid"), ("--ipc", "ipc"), ("--uts", "uts"), ("--net", "net")] {
        host.shell(&[flag, "host"], &format!("readlink /proc/self/ns/{kind}"))
            .stdout(&host_namespace(kind));
    }
    let name = rustix::system::uname().nodename().to_string_lossy().into_owned();
    host.shell(&["--uts", "host"], "hostname").stdout(&format!("{name}\n"));
    host.shell(&["--net", "host"], "hostname").stdout(&format!("{name}\n"));
    host.shell(&["--uts", "host", "-h", "x"], "hostname").refused("--hostname");
    // The container sees the host's processes, also this test's.
    let test = std::process::id();
    host.shell(&["--pid", "host"], &format!("test -d /proc/{test} && echo seen")).stdout("seen\n");
}

/// If the restart policy starts a container again, this container joins the present namespaces of
/// the other container, not the former ones.
#[test]
fn a_container_joins_the_new_namespaces_after_a_restart() {
    let host = Host::with_busybox();
    host.mydocker(["run", "-d", "--name", "one", "bb", "sleep", "1000"]);
    let script = "readlink /proc/self/ns/net; exec sleep 1000";
    let two = ["run", "-d", "--name", "two", "--restart", "always", "--net", "container:one"];
    host.mydocker(two.iter().chain(&["bb", "sh", "-c", script]));
    let logged = || host.mydocker(["logs", "two"]).lines();
    eventually("the other's first start", || logged().len() == 1);
    host.mydocker(["restart", "-t", "0", "one"]);
    host.kill(host.pid("two"));
    eventually("the other's second start", || logged().len() == 2);
    let theirs = host.mydocker(["exec", "one", "readlink", "/proc/self/ns/net"]).text();
    assert_eq!(logged()[1], theirs);
    assert_ne!(logged()[0], theirs);
}

#[test]
fn a_container_can_share_another_containers_namespaces() {
    let host = Host::with_busybox();
    let shared = ["run", "-d", "--name", "one", "-h", "uno", "--ipc", "shareable"];
    host.mydocker(shared.iter().chain(&["bb", "sleep", "1000"]));
    for (flag, kind) in [("--pid", "pid"), ("--ipc", "ipc"), ("--uts", "uts"), ("--net", "net")] {
        let script = format!("readlink /proc/self/ns/{kind}");
        let theirs = host.mydocker(["exec", "one", "sh", "-c", &script]).text();
        host.shell(&[flag, "container:one"], &script).stdout(&format!("{theirs}\n"));
    }
    host.shell(&["--uts", "container:one"], "hostname").stdout("uno\n");
    host.shell(&["--pid", "container:one"], "ps -o args").stdout_has("sleep 1000");
    host.shell(&["--pid", "container:nobody"], "true").refused("nobody");
    host.mydocker(["stop", "-t", "0", "one"]);
    host.shell(&["--net", "container:one"], "true").refused("not running");
    assert_eq!(host.mydocker(["ps", "-aq"]).lines().len(), 1);
}

#[test]
fn a_container_has_its_own_hostname_hosts_and_resolv_conf() {
    let host = Host::with_busybox();
    let id = host.mydocker(["create", "--name", "c", "bb", "hostname"]).text();
    host.mydocker(["start", "-a", "c"]).stdout(&format!("{}\n", &id[..12]));
    let flags = [
        "--net",
        "none",
        "-h",
        "box",
        "--add-host",
        "db:10.9.8.7",
        "--add-host",
        "six:fd00::1",
        "--dns",
        "10.0.0.53",
        "--dns-search",
        "lan",
    ];
    host.shell(&flags, "hostname; cat /etc/hostname").stdout("box\nbox\n");
    host.shell(&flags, "cat /etc/hosts")
        .stdout_has("127.0.0.1\tlocalhost\n")
        .stdout_has("10.9.8.7\tdb\n")
        .stdout_has("fd00::1\tsix\n");
    host.shell(&flags, "cat /etc/resolv.conf")
        .stdout_has("nameserver 10.0.0.53\n")
        .stdout_has("search lan\n");
    // The container may change its own hosts file. The host's file does not change.
    host.shell(&[], "echo 1.2.3.4 x >>/etc/hosts && grep -c 1.2.3.4 /etc/hosts").stdout("1\n");
    let hosts = std::fs::read_to_string("/etc/hosts").unwrap();
    assert!(!hosts.contains("1.2.3.4 x"));
}

#[test]
fn without_a_network_there_is_loopback() {
    let host = Host::with_busybox();
    host.shell(&["--net", "none"], "ip -o link | wc -l; ip -o addr show lo")
        .stdout_has("1\n")
        .stdout_has("127.0.0.1/8");
    host.shell(&["--net", "none"], "ping -c 1 -W 60 127.0.0.1 >/dev/null && echo up")
        .stdout("up\n");
}

#[test]
fn a_container_has_the_standard_devices_and_links() {
    let host = Host::with_busybox();
    let script = "cd /dev; for d in null zero full random urandom tty ptmx; do \
        test -c $d && echo $d; done; for l in fd stdin stdout stderr; do readlink $l; done; ls -d pts shm mqueue";
    host.shell(&[], script).stdout(
        "null\nzero\nfull\nrandom\nurandom\ntty\nptmx\n/proc/self/fd\n/proc/self/fd/0\n\
         /proc/self/fd/1\n/proc/self/fd/2\nmqueue\npts\nshm\n",
    );
    host.shell(&["-t"], "test -c /dev/console && tty").stdout("/dev/pts/0\r\n");
    host.shell(&[], "echo x >/dev/full").exits(1);
    host.shell(&[], "head -c 3 /dev/zero | wc -c; echo x >/dev/null").stdout("3\n");
    host.shell(&[], "echo out >/dev/stdout; echo err >/dev/stderr").stdout("out\n").stderr("err\n");
    host.shell(&["-u", "app"], "echo out >/dev/stdout; echo err >/dev/stderr")
        .stdout("out\n")
        .stderr("err\n");
}

#[test]
fn proc_sys_and_mqueue_are_mounted() {
    let host = Host::with_busybox();
    let script = "for m in /proc /sys /dev /dev/pts /dev/shm /dev/mqueue; do \
        grep \" $m \" /proc/mounts | cut -d' ' -f2,3; done";
    host.shell(&[], script).stdout(
        "/proc proc\n/sys sysfs\n/dev tmpfs\n/dev/pts devpts\n/dev/shm tmpfs\n/dev/mqueue mqueue\n",
    );
    host.shell(&[], "touch /sys/x 2>&1").exits(1).stdout_has("Read-only");
    host.shell(&[], "echo 1 >/proc/sys/kernel/panic").exits(1);
    host.shell(&["--shm-size", "2m"], "df -k /dev/shm | tail -n 1 | awk '{print $2}'")
        .stdout("2048\n");
    host.shell(&[], "df -k /dev/shm | tail -n 1 | awk '{print $2}'").stdout("65536\n");
}

#[test]
fn the_cgroup_tree_starts_at_the_containers_cgroup() {
    let host = Host::with_busybox();
    let id = host.mydocker(["create", "--name", "c", "bb", "cat", "/proc/self/cgroup"]).text();
    host.mydocker(["start", "-a", "c"]).stdout_lacks(&id).stdout_lacks("mydocker");
}

#[test]
fn sysctls_of_the_containers_namespaces_are_set() {
    let host = Host::with_busybox();
    let flags =
        ["--net", "none", "--sysctl", "net.ipv4.ip_forward=1", "--sysctl", "kernel.msgmax=9000"];
    host.shell(&flags, "cat /proc/sys/net/ipv4/ip_forward /proc/sys/kernel/msgmax")
        .stdout("1\n9000\n");
    host.shell(&["--sysctl", "kernel.panic=1"], "true").refused("kernel.panic");
    host.shell(&["--net", "host", "--sysctl", "net.ipv4.ip_forward=1"], "true").refused("--sysctl");
    host.shell(&["--net", "none", "--sysctl", "net.no.such=1"], "true").refused("net.no.such");
    host.mydocker(["ps", "-aq"]).stdout("");
    // A container must not change the network of another container.
    host.mydocker(["run", "-d", "--name", "owner", "--net", "none", "bb", "sleep", "1000"]).text();
    host.shell(&["--net", "container:owner", "--sysctl", "net.ipv4.ip_forward=1"], "true")
        .refused("another container's network");
}

#[test]
fn users_listen_on_all_ports_and_may_ping() {
    let host = Host::with_busybox();
    // The server goes to the background when it listens.
    let script = "httpd -p 80 && echo listens";
    // The sysctl `ip_unprivileged_port_start` allows the port 80, so no capability is needed.
    for flags in [&["--net", "none"][..], &["--userns", "auto", "--net", "none"]] {
        let flags = [flags, &["-u", "4242:4343", "--cap-drop", "all"]].concat();
        host.shell(&flags, script).stdout("listens\n");
    }
    let settings = "cd /proc/sys/net/ipv4 && cat ip_unprivileged_port_start ping_group_range";
    host.shell(&["--net", "none"], settings).stdout("0\n0\t2147483647\n");
    host.shell(&["--net", "none", "--userns", "100000:100000:5000"], settings)
        .stdout("0\n0\t4999\n");
    let own = ["--sysctl", "net.ipv4.ip_unprivileged_port_start=81", "--sysctl"];
    let own = [&["--net", "none"][..], &own, &["net.ipv4.ping_group_range=1 0"]].concat();
    host.shell(&own, settings).stdout("81\n1\t0\n");
    // The host's settings do not change.
    let read = |name: &str| std::fs::read_to_string(format!("/proc/sys/net/ipv4/{name}")).unwrap();
    let hosts = read("ip_unprivileged_port_start") + &read("ping_group_range");
    host.shell(&["--net", "host"], settings).stdout(&hosts);
    assert_eq!(hosts, read("ip_unprivileged_port_start") + &read("ping_group_range"));
}

#[test]
fn device_takes_a_directory() {
    let host = Host::with_busybox();
    let sound = host.scratch().join("snd");
    std::fs::create_dir_all(sound.join("by-path")).unwrap();
    for (name, minor) in [("control", "3"), ("by-path/pcm", "5")] {
        let mut mknod = std::process::Command::new("mknod");
        mknod.arg(sound.join(name)).args(["c", "1", minor]);
        assert!(mknod.status().unwrap().success());
    }
    std::fs::write(sound.join("no-device"), "").unwrap();
    std::os::unix::fs::symlink("/dev/mem", sound.join("link")).unwrap();
    let list =
        "cd /dev/snd && find . -type c | sort && ls | wc -l && head -c 3 by-path/pcm | wc -c";
    let flag = format!("{}:/dev/snd:r", sound.display());
    host.shell(&["--device", &flag], list).stdout("./by-path/pcm\n./control\n2\n3\n");
    let empty = host.scratch().join("empty");
    std::fs::create_dir(&empty).unwrap();
    let flag = format!("{}:/dev/x", empty.display());
    host.shell(&["--device", &flag], "true").refused("no device lies below");
}

#[test]
fn device_takes_a_device_of_the_host() {
    let host = Host::with_busybox();
    host.shell(&["--device", "/dev/loop-control"], "test -c /dev/loop-control && echo ok")
        .stdout("ok\n");
    // By default, no container may open a block device such as /dev/loop0 (7:0).
    let disk = host.scratch().join("loop");
    let disk = disk.to_str().unwrap();
    let made = std::process::Command::new("mknod").args([disk, "b", "7", "0"]).status();
    assert!(made.unwrap().success());
    let flag = format!("{disk}:/dev/disk:r");
    host.shell(&["--device", &flag], "test -b /dev/disk && : </dev/disk && echo ok").stdout("ok\n");
    host.shell(&["--device", &flag], ": >/dev/disk").exits(1).stderr_has("not permitted");
    host.shell(&[], "mknod /disk b 7 0 && : </disk").exits(1).stderr_has("not permitted");
    host.shell(&["--device", "/dev/nosuch"], "true").exits(127).complains("/dev/nosuch");
}

#[test]
fn a_warning_names_capabilities_that_give_control_of_the_host() {
    let host = Host::with_busybox();
    let run = |flags: &[&str]| host.mydocker([&["run", "--rm"], flags, &["bb", "true"]].concat());
    let dangers = ["SYS_ADMIN", "DAC_READ_SEARCH", "SYS_MODULE", "SYS_RAWIO", "SYS_BOOT", "BPF"];
    for name in dangers {
        run(&["--cap-add", name]).complains(&format!("--cap-add {name}: a program with this can"));
    }
    run(&["--cap-add", "ALL"]).complains("SYS_ADMIN, SYS_BOOT");
    let shared = ["--pid", "host", "--cap-add", "SYS_PTRACE"];
    run(&shared).complains("SYS_PTRACE: a program with this can become root of the host");
    for harmless in [
        &["--cap-add", "NET_ADMIN"][..],
        &["--cap-add", "SYS_PTRACE"],
        &["--cap-add", "ALL", "--userns", "auto"],
        &["--privileged"],
    ] {
        run(harmless).stderr("");
    }
}
