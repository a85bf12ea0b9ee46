//! Attacks by a container on its neighbours, on the host's network, and on commands that open the
//! container's files.
//!
//! The attacker is a container with the default capabilities, except in one test. Leases on files
//! (fcntl(2), F_SETLEASE) are the means of several attacks, because an open of a leased file can
//! block.

use std::fs::{self, File};
use std::os::fd::AsRawFd;

use super::support::machine::Side;
use super::support::{Host, eventually};
use super::{attack, must_be_inside, with_attack};

/// CVE-2020-13401: a container advertised itself as an IPv6 router, and the host used it as its
/// default route. Guard: the bridge accepts no router advertisements. (On a network with IPv6 the
/// host forwards packets, so its kernel accepts none either.)
#[test]
fn no_container_becomes_the_hosts_router() {
    let host = Host::on_machine();
    host.mydocker(["network", "create", "four"]);
    let attack_here = with_attack();
    host.idle("box", &["--net", "four", "-v", &attack_here]);
    let advertise = attack("neighbours::advertise_a_router");
    eventually("an advertisement comes through", || {
        let attack = ["exec", "box"].iter().copied().chain(advertise);
        host.mydocker(attack).stdout_has("1 passed");
        let received = host.machine().run(Side::Here, &["cat", "/proc/net/snmp6"]);
        let line = received.lines().find(|line| line.starts_with("Icmp6InRouterAdvertisements"));
        line.and_then(|line| line.split_whitespace().last()).unwrap() != "0"
    });
    // Look while the container runs: the host's routes over the bridge disappear with the last
    // port.
    let routes = host.machine().run(Side::Here, &["ip", "-6", "route"]);
    assert!(!routes.contains("fe80::bad"), "{routes}");
    let addresses = host.machine().run(Side::Here, &["ip", "-6", "address"]);
    assert!(!addresses.contains("2001:db8:bad"), "{addresses}");
    host.mydocker(["rm", "-f", "box"]);
}

#[test]
#[ignore = "an attack, run inside a container"]
fn advertise_a_router() {
    must_be_inside();
    // This advertises a router for 1,800 s, with a prefix for addresses (RFC 4861).
    let source = [0xfe, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x0b, 0xad];
    let everyone = [0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1];
    let mut message = vec![134, 0, 0, 0, 64, 0, 0x07, 0x08, 0, 0, 0, 0, 0, 0, 0, 0];
    message.extend([3, 4, 64, 0xc0, 0, 0, 0x0e, 0x10, 0, 0, 0x0e, 0x10, 0, 0, 0, 0]);
    message.extend([0x20, 1, 0x0d, 0xb8, 0x0b, 0xad, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    let mut summed = [source, everyone].concat();
    summed.extend([0, 0, 0, message.len() as u8, 0, 0, 0, 58]);
    summed.extend(&message);
    let words = summed.chunks(2).map(|pair| u32::from(pair[0]) << 8 | u32::from(pair[1]));
    let mut sum: u32 = words.sum();
    sum = (sum & 0xffff) + (sum >> 16);
    let checksum = !((sum & 0xffff) + (sum >> 16)) as u16;
    message[2..4].copy_from_slice(&checksum.to_be_bytes());
    let mut frame = vec![0x33, 0x33, 0, 0, 0, 1, 2, 0, 0, 0, 0x0b, 0xad, 0x86, 0xdd];
    frame.extend([0x60, 0, 0, 0, 0, message.len() as u8, 58, 255]);
    frame.extend([source, everyone].concat());
    frame.extend(message);
    // SAFETY: integers in, a descriptor or -1 out.
    let socket = unsafe { libc::socket(libc::AF_PACKET, libc::SOCK_RAW, 0) };
    assert!(socket >= 0, "no raw socket: the attack proves nothing");
    // SAFETY: an address of zero bytes is valid; the name is a C string.
    let (mut to, eth0) = unsafe {
        (std::mem::zeroed::<libc::sockaddr_ll>(), libc::if_nametoindex(c"eth0".as_ptr()))
    };
    to.sll_family = libc::AF_PACKET as u16;
    to.sll_ifindex = eth0 as i32;
    // The host receives advertisements only some time after the bridge has its first port, so send
    // several.
    for _ in 0..30 {
        // SAFETY: frame and address are valid during the call and have the given lengths.
        let sent = unsafe {
            let length = size_of::<libc::sockaddr_ll>() as u32;
            libc::sendto(
                socket,
                frame.as_ptr().cast(),
                frame.len(),
                0,
                (&raw const to).cast(),
                length,
            )
        };
        assert_eq!(sent, frame.len() as isize, "{}", std::io::Error::last_os_error());
        std::thread::sleep(std::time::Duration::from_millis(100));
    }
}

/// Containers lock or overwrite their hosts files while other containers join and leave the
/// network. Guards: the engine locks the run directory, not the file, and accepts any content of
/// the hosts file.
#[test]
fn a_hostile_hosts_file_delays_no_command() {
    let host = Host::on_machine();
    host.mydocker(["network", "create", "shared"]);
    let attack_here = with_attack();
    let begin = |name: &str, command: &[&str]| {
        let flags = ["run", "-d", "--name", name, "--net", "shared", "-v", &attack_here, "bb"];
        host.mydocker([&flags[..], command].concat());
        eventually("it has struck", || host.mydocker(["logs", name]).text().contains("struck"));
    };
    begin("locks", &attack("neighbours::lock_the_hosts_file"));
    begin("spoils", &["sh", "-c", "printf '\\377\\376\\n' >/etc/hosts; echo struck; sleep 1000"]);
    begin(
        "swells",
        &[
            "sh",
            "-c",
            "dd if=/dev/zero of=/etc/hosts bs=1 count=1 seek=100G; echo struck; sleep 1000",
        ],
    );
    let see = "grep -c -w -e locks -e spoils -e swells /etc/hosts";
    host.mydocker(["run", "--rm", "--net", "shared", "bb", "sh", "-c", see]).stdout("3\n");
    // The hostile containers also get the new name, if their hosts file allows it.
    host.mydocker(["run", "-d", "--name", "late", "--net", "shared", "bb", "sleep", "1000"]);
    for name in ["locks", "spoils"] {
        host.mydocker(["exec", name, "grep", "-qw", "late", "/etc/hosts"]);
    }
    host.mydocker(["rm", "-f", "locks", "spoils", "swells", "late"]);
}

/// If a container leases its hosts file, open(2) for writing waits up to
/// /proc/sys/fs/lease-break-time. Guard: the engine opens the file without waiting, and only this
/// container lacks the names of new containers. If the engine waited, the kernel would break the
/// lease and the file would have the names.
#[test]
fn a_lease_on_a_hosts_file_delays_no_command() {
    let host = Host::on_machine();
    host.mydocker(["network", "create", "shared"]);
    let attack_here = with_attack();
    let flags = ["run", "-d", "--name", "leases", "--net", "shared", "-v", &attack_here, "bb"];
    let command = attack("neighbours::lease_the_hosts_file");
    host.mydocker([&flags[..], &command].concat());
    eventually("it has struck", || host.mydocker(["logs", "leases"]).text().contains("struck"));
    for name in ["early", "late"] {
        host.mydocker(["run", "-d", "--name", name, "--net", "shared", "bb", "sleep", "1000"]);
    }
    host.mydocker(["exec", "early", "grep", "-qw", "late", "/etc/hosts"]);
    host.mydocker(["exec", "leases", "grep", "-w", "-e", "early", "-e", "late", "/etc/hosts"])
        .exits(1);
    // A command that reads a leased file reports the reason and does not wait.
    host.mydocker(["cp", "leases:/leased", "-"]).exits(1).complains("holds a lease");
    host.mydocker(["export", "-o", host.scratch().join("x").to_str().unwrap(), "leases"])
        .exits(1)
        .complains("holds a lease");
    host.mydocker(["rm", "-f", "leases", "early", "late"]);
}

/// The container leases its own hosts file while networks are connected and disconnected. Guard:
/// each command does everything except writing the file, and a warning names the reason.
#[test]
fn a_container_with_a_leased_hosts_file_joins_and_leaves_networks() {
    let host = Host::on_machine();
    for network in ["one", "two"] {
        host.mydocker(["network", "create", network]);
    }
    let attack_here = with_attack();
    let flags = ["run", "-d", "--name", "leases", "--net", "one", "-v", &attack_here, "bb"];
    host.mydocker([&flags[..], &attack("neighbours::lease_the_hosts_file")].concat());
    eventually("it has struck", || host.mydocker(["logs", "leases"]).text().contains("struck"));
    let interfaces = || host.mydocker(["exec", "leases", "ls", "/sys/class/net"]).text();
    host.mydocker(["network", "disconnect", "one", "leases"]).complains("holds a lease");
    assert_eq!(interfaces(), "lo");
    for network in ["two", "default"] {
        host.mydocker(["network", "connect", network, "leases"]).complains("holds a lease");
    }
    assert_eq!(interfaces(), "eth0\neth1\nlo");
    host.mydocker(["rename", "leases", "other"]);
    host.mydocker(["network", "disconnect", "default", "other"]).complains("holds a lease");
    host.mydocker(["network", "rm", "one"]);
    host.mydocker(["network", "rm", "two"]).exits(1).complains("in use");
    host.mydocker(["restart", "-t", "0", "other"]);
    eventually("it has struck", || {
        host.mydocker(["logs", "other"]).text().matches("struck").count() == 2
    });
    assert_eq!(host.mydocker(["exec", "other", "ls", "/sys/class/net"]).text(), "eth0\nlo");
    host.mydocker(["rm", "-f", "other"]);
}

/// A container that shares the network namespace leases the hosts file, and the owner of the
/// namespace is removed. Guard: the removal does not open the file. The test also checks that the
/// container can't execute a shared file.
#[test]
fn a_container_whose_hosts_file_another_leases_can_be_removed() {
    let host = Host::on_machine();
    host.mydocker(["run", "-d", "--name", "base", "bb", "sleep", "1000"]);
    let attack_here = with_attack();
    let flags = ["run", "-d", "--name", "leases", "--net", "container:base", "-v", &attack_here];
    let command = attack("neighbours::lease_the_hosts_file");
    host.mydocker([&flags[..], &["bb"], &command].concat());
    eventually("it has struck", || host.mydocker(["logs", "leases"]).text().contains("struck"));
    let run = "printf '#!/bin/sh\n' >/etc/resolv.conf; chmod +x /etc/resolv.conf; /etc/resolv.conf";
    host.mydocker(["exec", "leases", "sh", "-c", run]).exits(126);
    host.mydocker(["restart", "-t", "0", "base"]);
    host.mydocker(["rm", "-f", "base"]);
    host.mydocker(["rm", "-f", "leases"]);
}

/// The container leases the file in which `exec -u` looks up a name of a user or a group. Guard:
/// the engine opens the file without waiting and reports the failure.
#[test]
fn a_lease_on_passwd_or_group_fails_exec_by_name_at_once() {
    let host = Host::with_busybox();
    for (file, user) in [("/etc/passwd", "alice"), ("/etc/group", "0:staff")] {
        let attack_here = with_attack();
        let flags = ["run", "-d", "--name", "leases", "--net", "none", "-v", &attack_here, "-e"];
        let variable = format!("LEASED={file}");
        let command = attack("neighbours::lease_a_users_file");
        host.mydocker([&flags[..], &[&variable, "bb"], &command].concat());
        eventually("it has struck", || host.mydocker(["logs", "leases"]).text().contains("struck"));
        let entry = host.mydocker(["exec", "-u", user, "leases", "true"]);
        entry.exits(126).complains("holds a lease").complains(file);
        // A user and a group by number need no file.
        let show = ["grep", "-E", "^[UG]id", "/proc/self/status"];
        let entry = [&["exec", "-u", "7:8", "leases"], &show[..]].concat();
        host.mydocker(entry).stdout("Uid:\t7\t7\t7\t7\nGid:\t8\t8\t8\t8\n");
        host.mydocker(["rm", "-f", "leases"]);
    }
}

/// A container that may mount has mounted another file over its hosts file, and another container
/// joins its network. Guard: a hosts file is shared only if it is on a memory file system, as the
/// real one is.
#[test]
fn only_hosts_files_in_memory_are_shared() {
    let host = Host::with_busybox();
    let flags = ["run", "-d", "--name", "base", "--net", "none", "--cap-add", "SYS_ADMIN"];
    host.mydocker([&flags[..], &["bb", "sleep", "1000"]].concat()).complains("SYS_ADMIN");
    let exec = |script: &str| host.mydocker(["exec", "base", "sh", "-c", script]);
    let peer = |script: &str| {
        host.mydocker(["run", "--rm", "--net", "container:base", "bb", "sh", "-c", script]).text()
    };
    exec("echo '192.0.2.1 shared' >>/etc/hosts");
    assert_eq!(peer("grep -c shared /etc/hosts"), "1");
    exec("echo '192.0.2.2 foreign' >/file; mount --bind /file /etc/hosts");
    assert_eq!(peer("grep -c foreign /etc/hosts; grep -c localhost /etc/hosts"), "0\n2");
    exec("umount /etc/hosts && umount /etc/hosts");
    assert_eq!(peer("grep -c localhost /etc/hosts"), "2");
    host.mydocker(["rm", "-f", "base"]);
}

/// The container `leases` shares the network of `base`, and so its hosts file, and leases the file.
/// Guard: `base` starts again without waiting, with a new file. If the engine waited, both
/// containers would still have the old file.
#[test]
fn a_container_whose_hosts_file_another_leases_can_start() {
    let host = Host::with_busybox();
    host.mydocker(["run", "-d", "--name", "base", "--net", "none", "bb", "sleep", "1000"]);
    let attack_here = with_attack();
    let flags = ["run", "-d", "--name", "leases", "--net", "container:base", "-v", &attack_here];
    let command = attack("neighbours::lease_the_hosts_file");
    host.mydocker([&flags[..], &["bb"], &command].concat());
    eventually("it has struck", || host.mydocker(["logs", "leases"]).text().contains("struck"));
    host.mydocker(["restart", "-t", "0", "base"]);
    let file = |name| host.mydocker(["exec", name, "stat", "-c", "%d %i", "/etc/hosts"]).text();
    assert_ne!(file("base"), file("leases"));
    host.mydocker(["exec", "base", "grep", "-q", "localhost", "/etc/hosts"]);
    host.mydocker(["rm", "-f", "base", "leases"]);
}

/// If another container leases a program, execve(2) of the program waits. During the wait the new
/// container is listed and can be removed.
#[test]
fn a_start_of_a_leased_program_is_visible_and_can_be_ended() {
    let host = Host::with_busybox();
    let attack_here = with_attack();
    let run = ["run", "-d", "--net", "none", "-v", "shared:/shared"];
    let command = attack("neighbours::lease_a_program");
    host.mydocker([&run[..], &["--name", "leases", "-v", &attack_here, "bb"], &command].concat());
    eventually("it has struck", || host.mydocker(["logs", "leases"]).text().contains("struck"));
    let line = [&run[..], &["--name", "held", "bb", "/shared/sleep", "1000"]].concat();
    let held = host.background(&line);
    let list = ["ps", "-a", "--format", "{{.Names}}"];
    eventually("it is listed", || host.mydocker(list).lines().contains(&"held".to_owned()));
    host.mydocker(["rm", "-f", "held"]);
    held.wait().status();
    host.mydocker(list).stdout("leases\n");
    host.mydocker(["rm", "-f", "leases"]);
}

/// If a first process hangs during its start and its monitor is killed, the process could keep the
/// monitor's lock, and the container would be "starting" forever. Guard: the process first closes
/// the descriptors of the monitor that it does not need.
#[test]
fn a_first_process_has_no_descriptor_of_the_monitor() {
    let host = Host::with_busybox();
    let (mut seen, mut started) = (0, 0);
    while seen < 5 {
        assert!(started < 200, "no first process was seen while it was one of mydocker's");
        started += 1;
        let run = host.background(["run", "--rm", "--net", "none", "bb", "true"]);
        for _ in 0..20 {
            for entry in fs::read_dir("/proc").unwrap().flatten() {
                let title = fs::read(entry.path().join("cmdline")).unwrap_or_default();
                if !title.starts_with(b"mydocker-init\0") {
                    continue;
                }
                let fds = fs::read_dir(entry.path().join("fd")).into_iter().flatten().flatten();
                let open: Vec<_> = fds.filter_map(|fd| fs::read_link(fd.path()).ok()).collect();
                let is_lock = |file: &std::path::PathBuf| file.ends_with("monitor.lock");
                assert!(!open.iter().any(is_lock), "{open:?}");
                seen += usize::from(!open.is_empty());
            }
        }
        run.wait().status();
    }
}

/// Takes a lease (fcntl(2), F_SETLEASE), and ignores the signal by which the kernel asks the holder
/// to release it.
fn lease(file: &File, kind: libc::c_int) {
    // SAFETY: a constant handler, an open descriptor and constants.
    let leased = unsafe {
        libc::signal(libc::SIGIO, libc::SIG_IGN);
        libc::fcntl(file.as_raw_fd(), libc::F_SETLEASE, kind)
    };
    assert_eq!(leased, 0, "{}", std::io::Error::last_os_error());
}

/// Prints that the attack is in place, and sleeps.
fn stay() -> ! {
    println!("struck");
    loop {
        std::thread::sleep(std::time::Duration::from_secs(1000));
    }
}

#[test]
#[ignore = "an attack, run inside a container"]
fn lease_a_program() {
    must_be_inside();
    fs::copy("/bin/busybox", "/shared/sleep").unwrap();
    let program = File::open("/shared/sleep").unwrap();
    lease(&program, libc::F_WRLCK);
    stay();
}

#[test]
#[ignore = "an attack, run inside a container"]
fn lease_the_hosts_file() {
    must_be_inside();
    let hosts = File::open("/etc/hosts").unwrap();
    lease(&hosts, libc::F_RDLCK);
    let own = File::create("/leased").unwrap();
    lease(&own, libc::F_WRLCK);
    stay();
}

#[test]
#[ignore = "an attack, run inside a container"]
fn lease_a_users_file() {
    must_be_inside();
    let path = std::env::var("LEASED").unwrap();
    let file = File::create(path).unwrap();
    lease(&file, libc::F_WRLCK);
    stay();
}

#[test]
#[ignore = "an attack, run inside a container"]
fn lock_the_hosts_file() {
    must_be_inside();
    let file = File::open("/etc/hosts").unwrap();
    // SAFETY: an open descriptor and a constant.
    assert_eq!(unsafe { libc::flock(file.as_raw_fd(), libc::LOCK_EX) }, 0);
    println!("struck");
    while fs::exists("/etc/hosts").unwrap() {
        std::thread::sleep(std::time::Duration::from_secs(1000));
    }
}
