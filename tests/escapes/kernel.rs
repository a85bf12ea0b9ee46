//! System calls that a default container may not make, and capabilities that it must not inherit.
//!
//! The tests make each call inside a container and read the result, because a filter that exists
//! need not be the filter that is installed. `tests/confinement.rs` compares what containers of
//! mydocker and of Podman can see and do.

use std::fs;
use std::process::Command;

use super::support::Host;
use super::{attack, call, must_be_inside, with_attack};

/// CVE-2022-0492: in a new user namespace a container mounted a cgroup hierarchy and made the
/// kernel run its release_agent as root of the host. CVE-2022-0185: in such a namespace a container
/// overflowed a buffer by fsconfig. CVE-2023-25809: the cgroup tree was writable. Guards: the
/// seccomp filter, the capabilities, and read-only cgroup mounts.
#[test]
fn a_container_gets_no_new_namespaces_file_systems_or_cgroups() {
    let host = Host::with_busybox();
    let attack_here = with_attack();
    let run = |flags: &[&str]| {
        let line = ["run", "--rm", "-v", &attack_here];
        let attack = attack("kernel::climb_by_namespaces_and_cgroups");
        host.mydocker([&line[..], flags, &["bb"], &attack].concat()).stdout_has("1 passed");
    };
    run(&[]);
    run(&["-u", "1000"]);
    run(&["--pid", "host", "--net", "host", "--ipc", "host"]);
    run(&["--security-opt", "systempaths=unconfined"]);
    host.mydocker(["run", "-d", "--name", "box", "-v", &attack_here, "bb", "sleep", "1000"]);
    for user in ["0", "1000"] {
        let mut args = vec!["exec", "-u", user, "box"];
        args.extend(attack("kernel::climb_by_namespaces_and_cgroups"));
        host.mydocker(args).stdout_has("1 passed");
    }
}

#[test]
#[ignore = "an attack, run inside a container"]
fn climb_by_namespaces_and_cgroups() {
    must_be_inside();
    let errno = || std::io::Error::last_os_error().raw_os_error().unwrap();
    for flag in [
        libc::CLONE_NEWUSER,
        libc::CLONE_NEWNS,
        libc::CLONE_NEWCGROUP,
        libc::CLONE_NEWNET,
        libc::CLONE_NEWPID,
    ] {
        // SAFETY: the call takes an integer.
        let got = unsafe { libc::unshare(flag) };
        assert_eq!((got, errno()), (-1, libc::EPERM), "unshare {flag:#x}");
    }
    // SAFETY: a C string and an integer.
    let context = unsafe { libc::syscall(libc::SYS_fsopen, c"cgroup".as_ptr(), 0) };
    assert_eq!((context, errno()), (-1, libc::EPERM), "fsopen");
    let long = [b'A'; 4096];
    for _ in 0..2 {
        let (key, value) = (c"".as_ptr(), long.as_ptr());
        // SAFETY: the key is a C string, and the kernel reads at most 256 bytes of the value.
        // Descriptor 3 is not a file system context.
        let got = unsafe { libc::syscall(libc::SYS_fsconfig, 3, 1, key, value, 0) };
        assert_eq!((got, errno()), (-1, libc::EPERM), "fsconfig");
    }
    for kind in [c"cgroup", c"cgroup2", c"proc", c"tmpfs", c"overlay"] {
        let none = std::ptr::null();
        // SAFETY: C strings and a null pointer.
        let got = unsafe { libc::mount(kind.as_ptr(), c"/tmp".as_ptr(), kind.as_ptr(), 0, none) };
        assert_eq!((got, errno()), (-1, libc::EPERM), "mount {kind:?}");
    }
    let mut cgroups = vec![std::path::PathBuf::from("/sys/fs/cgroup")];
    cgroups.extend(fs::read_dir("/sys/fs/cgroup").unwrap().flatten().map(|entry| entry.path()));
    for cgroup in cgroups.iter().filter(|path| path.is_dir()) {
        let made = fs::create_dir(cgroup.join("mine"));
        assert!(made.is_err(), "made a cgroup in {}", cgroup.display());
        for file in
            ["release_agent", "notify_on_release", "cgroup.procs", "devices.allow", "pids.max"]
        {
            let path = cgroup.join(file);
            let written = fs::OpenOptions::new().write(true).open(&path);
            assert!(written.is_err(), "opened {} for writing", path.display());
        }
    }
}

/// CVE-2026-31431: a socket of AF_ALG reached a bug in the kernel's crypto code. AF_VSOCK
/// reaches the hypervisor from each network namespace.
#[test]
fn no_socket_reaches_the_crypto_code_or_the_hypervisor() {
    let host = Host::with_busybox();
    let attack_here = with_attack();
    let line = ["run", "--rm", "-v", &attack_here, "bb"];
    let attack = attack("kernel::open_sockets_of_unusual_families");
    host.mydocker([&line[..], &attack].concat()).stdout_has("1 passed");
}

#[test]
#[ignore = "an attack, run inside a container"]
fn open_sockets_of_unusual_families() {
    must_be_inside();
    for family in [libc::AF_ALG, libc::AF_VSOCK] {
        for kind in [libc::SOCK_SEQPACKET, libc::SOCK_STREAM, libc::SOCK_DGRAM] {
            // SAFETY: the call takes integers.
            let got = unsafe { libc::socket(family, kind, 0) };
            let errno = std::io::Error::last_os_error().raw_os_error().unwrap();
            assert_eq!((got, errno), (-1, libc::EPERM), "family {family}, type {kind}");
        }
    }
}

/// CVE-2022-24769, CVE-2022-27650, CVE-2022-29162, CVE-2016-8867: a program started with
/// inheritable or ambient capabilities. By executing a file with file capabilities, it could get
/// more. In this test the caller of mydocker has many capabilities.
#[test]
fn no_capability_of_the_caller_is_inherited() {
    const MANY: &str = "+chown,+sys_admin,+net_admin,+sys_ptrace,+dac_override";
    let host = Host::with_busybox();
    let with_all = |args: &[&str]| {
        let like = host.command(args);
        let mut command = Command::new("setpriv");
        command.args(["--inh-caps", MANY, "--ambient-caps", MANY]);
        command.arg(like.get_program()).args(like.get_args());
        call(command)
    };
    let empty = "CapInh:\t0000000000000000\nCapAmb:\t0000000000000000\n";
    let look = ["grep", "-E", "Cap(Inh|Amb)", "/proc/self/status"];
    with_all(&["run", "-d", "--name", "box", "bb", "sleep", "1000"]);
    for flags in [
        &[][..],
        &["-u", "1000"],
        &["--init"],
        &["--cap-add", "ALL"],
        &["--privileged"],
        &["--privileged", "-u", "1000"],
    ] {
        with_all(&[&["run", "--rm"], flags, &["bb"], &look].concat()).stdout(empty);
    }
    for flags in [&[][..], &["-u", "1000"], &["--privileged"]] {
        with_all(&[&["exec"], flags, &["box"], &look].concat()).stdout(empty);
    }
}
