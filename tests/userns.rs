//! `--userns`: the container's root has an unprivileged ID on the host, and ordinary programs work
//! as in other containers.
//!
//! Most other tests run without user namespaces, unless TEST_USERNS=auto is set. See
//! user_namespaces(7) for the mapping of IDs.

mod support;

use std::fs::Permissions;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

use support::tar::Tar;
use support::{Host, eventually};

/// The mapping `UID:GID:SIZE` of a container, read from the kernel.
fn map(host: &Host, name: &str) -> (u32, u32, u32) {
    let read = |file: &str| -> (u32, u32) {
        let map = std::fs::read_to_string(format!("/proc/{}/{file}", host.pid(name))).unwrap();
        let numbers: Vec<u32> = map.split_whitespace().map(|n| n.parse().unwrap()).collect();
        assert_eq!((numbers.len(), numbers[0]), (3, 0), "one range that begins with root: {map}");
        (numbers[1], numbers[2])
    };
    let ((uid, size), (gid, gids)) = (read("uid_map"), read("gid_map"));
    assert_eq!(size, gids);
    (uid, gid, size)
}

fn owner(path: impl AsRef<Path>) -> (u32, u32) {
    let path = path.as_ref();
    let stat = std::fs::symlink_metadata(path).unwrap_or_else(|error| panic!("{path:?}: {error}"));
    (stat.uid(), stat.gid())
}

/// Makes the image `owned`, which has a file of the user `app`.
fn image_of_app(host: &Host) {
    let script = "echo image >/home/app/file; chown -R app:app /home/app";
    host.mydocker(["run", "--name", "maker", "bb", "sh", "-c", script]);
    host.mydocker(["commit", "maker", "owned"]);
    host.mydocker(["rm", "maker"]);
}

fn leases(host: &Host) -> usize {
    std::fs::read_dir(host.state_root().join("ids")).map_or(0, Iterator::count)
}

#[test]
fn root_in_the_container_is_unprivileged_on_the_host() {
    let host = Host::with_busybox();
    host.mydocker(["run", "-d", "--name", "c", "--userns", "auto", "bb", "sleep", "1000"]);
    let (uid, gid, size) = map(&host, "c");
    assert!(uid >= 65536 && gid >= 65536 && size == 65536, "{uid}:{gid}:{size}");
    let status = std::fs::read_to_string(format!("/proc/{}/status", host.pid("c"))).unwrap();
    assert!(status.contains(&format!("\nUid:\t{uid}\t{uid}\t{uid}\t{uid}\n")), "{status}");
    assert!(status.contains(&format!("\nGid:\t{gid}\t{gid}\t{gid}\t{gid}\n")), "{status}");
    assert_eq!(host.inspect("c", "{{.HostConfig.UsernsMode}}"), "auto");
    host.mydocker(["inspect", "c"]).stdout_has(&format!("\"0:{uid}:65536\""));
    let script = "echo $(id -u) $(id -g); cat /proc/self/uid_map; stat -c %u:%g / /bin /dev/null \
                  /etc/hosts";
    let seen = host.mydocker(["exec", "c", "sh", "-c", script]).lines();
    assert_eq!(seen[0], "0 0");
    assert!(seen[1].ends_with("65536"), "{seen:?}");
    assert_eq!(seen[2..], ["0:0"; 4], "the image's files are its root's");
    host.mydocker(["run", "--rm", "bb", "cat", "/proc/self/uid_map"]).stdout_has("4294967295");
}

#[test]
fn root_in_the_container_has_no_power_over_the_host() {
    let host = Host::with_busybox();
    let secret = host.file("secret", "of the host");
    std::fs::set_permissions(&secret, Permissions::from_mode(0o600)).unwrap();
    let bind = format!("{}:/host:noidmap", host.scratch().display());
    // The container has every capability and sees all processes of the host.
    let run = ["run", "--rm", "--userns", "auto", "--cap-add", "ALL", "--pid", "host", "-v", &bind];
    let run = run.iter().chain(&["--security-opt", "seccomp=unconfined"]);
    let run = run.chain(&["--security-opt", "systempaths=unconfined", "bb", "sh", "-c"]);
    // Use another process as the victim: a kill of the test itself would hide the failure.
    let mut victim = std::process::Command::new("sleep").arg("1000").spawn().unwrap();
    let script = format!(
        "cat /host/secret; kill -9 {pid}; cat /proc/{pid}/environ; ls /proc/{pid}/fd;
         mknod /n c 1 1; echo 1 >/proc/sys/kernel/sysrq; chroot /proc/{pid}/root true;
         nsenter -t {pid} -m true; echo here",
        pid = victim.id()
    );
    let seen = host.mydocker(run.chain(&[script.as_str()]));
    let lives = victim.try_wait().unwrap().is_none();
    victim.kill().unwrap();
    victim.wait().unwrap();
    seen.stdout("here\n");
    assert!(lives, "it killed a process of the host");
    // A set-user-ID file that the container leaves on the host does not belong to the host's root.
    std::fs::set_permissions(host.scratch(), Permissions::from_mode(0o777)).unwrap();
    let run = ["run", "--rm", "--userns", "100000:200000:65536", "-v", &bind, "bb", "sh", "-c"];
    let script = "cp /bin/busybox /host/suid; chmod 6755 /host/suid; chown 0 /host/suid";
    host.mydocker(run.iter().chain(&[script]));
    assert_eq!(owner(host.scratch().join("suid")), (100_000, 200_000), "root to nobody's own");
}

#[test]
fn a_container_has_the_users_and_groups_of_its_image() {
    let host = Host::with_busybox();
    let script = "echo $(id -u) $(id -g) $(id -G) $HOME; echo >/dev/stdout; echo >/dev/stderr";
    let run = ["run", "--rm", "--userns", "auto"];
    host.mydocker(run.iter().chain(&["-u", "app", "bb", "sh", "-c", script]))
        .stdout("1234 1234 1234 29 50 /home/app\n\n");
    host.mydocker(run.iter().chain(&["-u", "app", "bb", "touch", "/x"])).exits(1);
    host.mydocker(run.iter().chain(&["-u", "70000", "bb", "id"])).refused("70000");
    host.mydocker(run.iter().chain(&["-u", "0:70000", "bb", "id"])).refused("70000");
    // Files of users outside the mapping belong to nobody, and can't be changed.
    image_of_app(&host);
    let run = ["run", "--rm", "--userns", "100000:200000:1", "owned", "sh", "-c"];
    let script =
        "stat -c %u:%g /home/app /tmp; chown 1 /tmp || echo x >/home/app/x || cat /home/app/x";
    let seen = host.mydocker(run.iter().chain(&[script]));
    seen.exits(1).stdout("65534:65534\n0:0\n");
}

#[test]
fn a_volume_has_the_same_owners_in_every_container() {
    let host = Host::with_busybox();
    let script = "echo hi >/v/a; chown 5:6 /v/a; echo >/v/root; stat -c %u:%g /v/a /v/root";
    let run = |userns: &str, script: &str| {
        host.mydocker(["run", "--rm", "--userns", userns, "-v", "v:/v", "bb", "sh", "-c", script])
    };
    run("auto", script).stdout("5:6\n0:0\n");
    let data = host.state_root().join("volumes/v/_data");
    assert_eq!((owner(data.join("a")), owner(data.join("root"))), ((5, 6), (0, 0)));
    let script = "stat -c %u:%g /v/a /v/root; echo more >>/v/a; cat /v/a";
    run("100000:200000:65536", script).stdout("5:6\n0:0\nhi\nmore\n");
    run("host", "stat -c %u:%g /v/a /v/root").stdout("5:6\n0:0\n");
    // A new volume is filled from the image, with the image's owners.
    image_of_app(&host);
    let seen = "stat -c %u:%g /home /home/app /home/app/file; cat /home/app/file";
    let run = ["run", "--rm", "--userns", "auto", "-v", "home:/home", "owned", "sh", "-c", seen];
    host.mydocker(run).stdout("0:0\n1234:1234\n1234:1234\nimage\n");
    assert_eq!(owner(host.state_root().join("volumes/home/_data/app")), (1234, 1234));
}

#[test]
fn binds_are_mapped_unless_noidmap_is_given() {
    let host = Host::with_busybox();
    let file = host.file("of-root", "");
    std::fs::set_permissions(&file, Permissions::from_mode(0o644)).unwrap();
    let script = "stat -c %u:%g /b/of-root /raw/of-root; touch /b/new; touch /raw/new2";
    let (b, raw) = (host.scratch(), host.scratch());
    let run = host.mydocker([
        "run",
        "--rm",
        "--userns=100000:200000:65536",
        &format!("-v={}:/b", b.display()),
        &format!("--mount=type=bind,src={},dst=/raw,noidmap", raw.display()),
        "bb",
        "sh",
        "-c",
        script,
    ]);
    // The second bind is not mapped, so the container's root can't write to it.
    run.exits(1).stdout("0:0\n65534:65534\n");
    assert_eq!(owner(b.join("new")), (0, 0));
    assert!(!b.join("new2").exists());
    let proc = ["run", "--rm", "--userns", "auto", "-v", "/proc/sys:/x", "bb", "true"];
    host.mydocker(proc).refused("noidmap");
    host.mydocker(["run", "--rm", "-v", "named:/x:noidmap", "bb", "true"]).exits(125);
}

#[test]
fn tmpfs_terminal_and_shared_memory_belong_to_its_root() {
    let host = Host::with_busybox();
    let script = "stat -c %u:%g /t /t5 /dev/shm /dev/mqueue; touch /t/x /dev/shm/x";
    let run = ["run", "--rm", "--userns", "auto", "--tmpfs", "/t", "--tmpfs", "/t5:uid=5,gid=6"];
    host.mydocker(run.iter().chain(&["bb", "sh", "-c", script]))
        .stdout("0:0\n5:6\n0:0\n65534:65534\n");
    let mut terminal = host.terminal(["run", "--rm", "-it", "--userns", "auto", "bb", "sh"]);
    terminal.type_in("stat -c %u:%g $(tty); echo >/dev/tty && echo 'got 'it; exit\n");
    terminal.expect("0:5");
    terminal.expect("got it");
    assert_eq!(terminal.wait().0, 0);
}

#[test]
fn exec_enters_the_user_namespace() {
    let host = Host::with_busybox();
    host.mydocker(["run", "-d", "--name", "c", "--userns", "auto", "bb", "sleep", "1000"]);
    let namespace = |pid: &str| {
        let link = std::fs::read_link(format!("/proc/{pid}/ns/user")).unwrap();
        link.into_os_string().into_string().unwrap()
    };
    let inside = namespace(&host.pid("c").to_string());
    assert_ne!(inside, namespace("self"));
    let script = "readlink /proc/self/ns/user; grep ^CapEff /proc/self/status; touch /made";
    let seen = host.mydocker(["exec", "c", "sh", "-c", script]).lines();
    assert_eq!(seen, [inside.as_str(), "CapEff:\t00000000a80425fb"]);
    host.mydocker(["exec", "-u", "app", "c", "sh", "-c", "id -u; echo x >/dev/stderr"])
        .stdout("1234\n");
    // The process has all capabilities, but none over the host.
    let script =
        "readlink /proc/self/ns/user; mount -t tmpfs x /mnt; echo 1 >/proc/sys/vm/swappiness";
    let seen = host.mydocker(["exec", "--privileged", "c", "sh", "-c", script]);
    assert!(seen.exits(1).text().starts_with(&inside));
    host.mydocker(["exec", "-u", "70000", "c", "true"]).exits(126).complains("70000");
}

#[test]
fn cp_keeps_the_owners_in_both_directions() {
    let host = Host::with_busybox();
    host.mydocker(["run", "-d", "--name", "c", "--userns", "auto", "bb", "sleep", "1000"]);
    let original = host.file("original", "text");
    std::os::unix::fs::chown(&original, Some(5), Some(6)).unwrap();
    let original = original.to_str().unwrap();
    for (running, name) in [(true, "live"), (false, "rest")] {
        if !running {
            host.mydocker(["stop", "-t", "0", "c"]);
        }
        let (plain, kept) = (format!("/plain-{name}"), format!("/kept-{name}"));
        host.mydocker(["cp", original, &format!("c:{plain}")]);
        host.mydocker(["cp", "-a", original, &format!("c:{kept}")]);
        let back = host.scratch().join(name);
        host.mydocker(["cp", "-a", &format!("c:{kept}"), back.to_str().unwrap()]);
        assert_eq!(owner(back), (5, 6), "{name}");
        let stream = host.mydocker(["cp", &format!("c:{plain}"), "-"]).bytes();
        host.feed(stream, ["cp", "-", "c:/tmp"]);
    }
    host.mydocker(["start", "c"]);
    let script = "stat -c '%n %u:%g' /plain-* /kept-* /tmp/plain-*";
    host.mydocker(["exec", "c", "sh", "-c", script]).stdout(
        "/plain-live 0:0\n/plain-rest 0:0\n/kept-live 5:6\n/kept-rest 5:6\n/tmp/plain-live 0:0\n\
         /tmp/plain-rest 0:0\n",
    );
    // The stream has no entry for the file's directories.
    let stream = Tar::default().file("made/new/f", "text").end();
    host.feed(stream, ["cp", "-", "c:/tmp"]);
    host.mydocker(["exec", "c", "stat", "-c", "%u:%g", "/tmp/made", "/tmp/made/new"])
        .stdout("0:0\n0:0\n");
}

#[test]
fn commit_and_export_have_the_owners_of_the_image() {
    let host = Host::with_busybox();
    let script = "touch /root-file /app-file; chown app:app /app-file; rm /etc/group; sleep 1000";
    host.mydocker(["run", "-d", "--name", "c", "--userns", "auto", "bb", "sh", "-c", script]);
    eventually("it is set up", || host.succeeds(["exec", "c", "sh", "-c", "test ! -e /etc/group"]));
    let diff = host.mydocker(["diff", "c"]).lines();
    assert_eq!(diff, ["A /app-file", "C /etc", "D /etc/group", "A /root-file"]);
    for state in ["running", "stopped"] {
        host.mydocker(["commit", "c", state]);
        let seen = "stat -c %u:%g /root-file /app-file; ls /etc/group";
        for userns in ["host", "auto"] {
            host.mydocker(["run", "--rm", "--userns", userns, state, "sh", "-c", seen])
                .exits(1)
                .stdout("0:0\n1234:1234\n");
        }
        let tar = host.file("export.tar", host.mydocker(["export", "c"]).bytes());
        host.mydocker(["import", tar.to_str().unwrap(), "exported"]);
        let seen = "stat -c %u:%g /root-file /app-file /bin";
        host.mydocker(["run", "--rm", "exported", "sh", "-c", seen])
            .stdout("0:0\n1234:1234\n0:0\n");
        if state == "running" {
            host.mydocker(["stop", "-t", "0", "c"]);
        }
    }
}

#[test]
fn the_id_range_is_kept_and_freed_with_the_container() {
    let host = Host::with_busybox();
    for name in ["a", "b"] {
        host.mydocker(["run", "-d", "--name", name, "--userns", "auto", "bb", "sleep", "1000"]);
    }
    let (a, b) = (map(&host, "a"), map(&host, "b"));
    assert!(a.0.abs_diff(b.0) >= 65536 && a.1.abs_diff(b.1) >= 65536, "{a:?} meets {b:?}");
    host.mydocker(["exec", "a", "touch", "/kept"]);
    host.mydocker(["restart", "-t", "0", "a"]);
    assert_eq!(map(&host, "a"), a);
    host.mydocker(["exec", "a", "stat", "-c", "%u", "/kept"]).stdout("0\n");
    host.mydocker(["create", "--name", "c", "--userns", "auto", "bb", "true"]);
    assert_eq!(leases(&host), 3);
    host.mydocker(["rm", "-f", "a", "c"]);
    host.mydocker(["run", "--rm", "--userns", "auto", "bb", "true"]);
    host.mydocker(["run", "--rm", "--userns", "auto", "bb", "/no/such"]).exits(127);
    host.mydocker(["run", "--userns", "auto", "--name", "b", "bb", "true"]).refused("b");
    assert_eq!(leases(&host), 1);
    host.mydocker(["system", "check"]).stdout("");
    // Imitate a lease that a killed command has left.
    let lost = host.state_root().join("ids/1879048192");
    std::os::unix::fs::symlink("0".repeat(64), &lost).unwrap();
    host.mydocker(["system", "check"]).exits(1).stdout_has("is leased, but its container is gone");
    host.mydocker(["system", "check", "--repair"]);
    assert!(!lost.exists() && leases(&host) == 1);
    // Imitate a file system that lost the lease of `b`.
    std::fs::remove_file(host.state_root().join(format!("ids/{}", b.0))).unwrap();
    host.mydocker(["system", "check"]).exits(1).stdout_has("container b");
    host.mydocker(["system", "check", "--repair"]);
    assert_eq!(leases(&host), 1);
}

#[test]
fn limits_and_settings_work_as_without_a_user_namespace() {
    let host = Host::with_busybox();
    let run = ["run", "--rm", "--userns", "auto"];
    let with = |flags: &[&str], script: &str| {
        host.mydocker(run.iter().chain(flags).chain(&["bb", "sh", "-c", script]))
    };
    with(&["-m", "16m"], "dd if=/dev/zero of=/dev/null bs=64M count=1").exits(137);
    with(&["--pids-limit", "20"], "cat /sys/fs/cgroup/pids/pids.max /sys/fs/cgroup/pids.max")
        .exits(1)
        .stdout("20\n");
    with(&["--ulimit", "nofile=100:200"], "ulimit -n; ulimit -Hn").stdout("100\n200\n");
    with(&["--oom-score-adj", "7"], "cat /proc/self/oom_score_adj").stdout("7\n");
    let sysctls = ["--sysctl", "kernel.shmmax=4096", "--sysctl", "net.ipv4.ip_forward=1"];
    with(&sysctls, "cat /proc/sys/kernel/shmmax /proc/sys/net/ipv4/ip_forward").stdout("4096\n1\n");
    with(&["--device", "/dev/full:/dev/other"], "stat -c %u:%g /dev/other; echo >/dev/other")
        .exits(1)
        .stdout("0:0\n");
    with(&["--init"], "id -u; cat /proc/1/comm").stdout_has("0\n");
    with(&["--read-only"], "touch /x").exits(1);
    with(&["-w", "/new/dir"], "stat -c %u .").stdout("0\n");
    with(&["--hostname", "box"], "hostname").stdout("box\n");
}

#[test]
fn networks_names_and_published_ports_work() {
    let host = Host::on_machine();
    host.mydocker(["network", "create", "--subnet", "10.77.0.0/24", "net"]);
    let run = ["run", "-d", "--userns", "auto", "--net", "net", "--name"];
    let serve = "echo served >/index.html; exec httpd -f -p 80 -h /";
    host.mydocker(run.iter().chain(&["web", "-p", "8080:80", "bb", "sh", "-c", serve]));
    host.mydocker(run.iter().chain(&["other", "bb", "sleep", "1000"]));
    eventually("the server answers by its name", || {
        host.succeeds(["exec", "other", "wget", "-q", "-O", "/dev/null", "http://web/"])
    });
    let address = format!("{}:8080", support::machine::MACHINE);
    host.answers(support::machine::Side::Outside, &address, "served\n");
    host.mydocker(["exec", "other", "ping", "-c", "1", "web"]);
    // A capability that is added holds for the container's own network.
    let run = ["run", "--rm", "--userns", "auto", "--cap-add", "NET_ADMIN", "bb"];
    let add = ["ip", "address", "add", "10.9.9.9/32", "dev", "lo"];
    host.mydocker(run.iter().chain(&add));
    // The capability does not hold for the host's network.
    let run = ["run", "--rm", "--userns", "auto", "--net", "host", "--cap-add", "NET_ADMIN", "bb"];
    assert_ne!(host.mydocker(run.iter().chain(&add)).status(), 0);
    host.mydocker(run.iter().chain(&["ls", "/sys/class/net/lo"]));
}

#[test]
fn containers_of_the_same_ids_share_namespaces() {
    let host = Host::with_busybox();
    let userns = "100000:200000:65536";
    let shared = ["run", "-d", "--name", "one", "--userns", userns, "--ipc", "shareable"];
    host.mydocker(shared.iter().chain(&["bb", "sleep", "1000"]));
    let seen = |pid: &str, kind: &str| {
        let link = std::fs::read_link(format!("/proc/{pid}/ns/{kind}")).unwrap();
        link.into_os_string().into_string().unwrap()
    };
    for (flag, kind) in [("--network", "net"), ("--ipc", "ipc"), ("--pid", "pid")] {
        let script = format!("readlink /proc/self/ns/user; readlink /proc/self/ns/{kind}; id -u");
        let run = ["run", "--rm", "--userns", userns, flag, "container:one"];
        let own = host.mydocker(run.iter().chain(&["bb", "sh", "-c", &script])).lines();
        let pid = host.pid("one").to_string();
        assert_eq!(own, [seen(&pid, "user"), seen(&pid, kind), "0".to_owned()]);
    }
    // The second container's root can listen on port 80 of the shared network.
    let run = ["run", "--rm", "--userns", userns, "--network", "container:one", "bb"];
    let script = "timeout 1 nc -l -p 80; echo $?";
    host.mydocker(run.iter().chain(&["sh", "-c", script])).stdout("143\n");
    host.mydocker(["run", "--rm", "--userns", userns, "--ipc", "container:one", "bb", "hostname"]);
}

#[test]
fn conflicting_flags_are_refused() {
    let host = Host::with_busybox();
    let shared = ["run", "-d", "--ipc", "shareable"];
    let sleep = ["bb", "sleep", "1000"];
    host.mydocker(shared.iter().chain(&["--name", "host"]).chain(&sleep));
    host.mydocker(shared.iter().chain(&["--name", "own", "--userns", "auto"]).chain(&sleep));
    let run =
        |flags: &[&str]| host.mydocker(["run", "--rm"].iter().chain(flags).chain(&["bb", "true"]));
    run(&["--userns", "auto", "--privileged"]).refused("--privileged");
    for flag in ["--network", "--pid", "--ipc"] {
        run(&["--userns", "auto", flag, "container:host"]).refused("another user namespace");
        run(&["--userns", "auto", flag, "container:own"]).refused("another user namespace");
        run(&[flag, "container:own"]).refused("another user namespace");
    }
    for bad in ["0:1000:1", "1000:0:1", "1000:1000:0", "4294967295:1:1", "1879048192:1000:1"] {
        run(&["--userns", bad]).refused("--userns");
    }
    for bad in ["keep-id", "1:2", "1:2:3:4", "-1:2:3", "1:2:4294967296"] {
        run(&[&format!("--userns={bad}")]).exits(125).stderr_has("auto, host or UID:GID:SIZE");
    }
    assert_eq!(leases(&host), 1, "what was refused has given its range back");
    host.mydocker(["info"]).stdout_has("User Namespaces: supported");
}
