//! Attacks on the engine's own binary, which runs first in every process that enters a container.
//!
//! A process inside the container opens the binary through /proc/PID/exe and tries to write to it
//! (CVE-2019-5736). The attack runs on a copy of the binary, so a success would harm only the test.

use std::fs::{self, OpenOptions, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::process::Command;

use rustix::fs::XattrFlags;

use super::support::{Background, Host, MYDOCKER, eventually};
use super::{attack, must_be_inside, with_attack};

/// CVE-2019-5736: if an image's program is /proc/self/exe, the runtime's binary runs inside the
/// container, and a process of the container overwrites it through /proc/PID/exe. Guard: every
/// process that enters a container has the binary of a read-only mount as its executable, and no
/// process keeps a handle that would let CAP_SYS_ADMIN make this mount writable.
#[test]
fn the_binary_cannot_be_changed_from_inside() {
    let host = Host::with_busybox();
    // Attack a copy: if the attack succeeds, only this test loses its binary.
    let binary = host.scratch().join("mydocker");
    fs::copy(MYDOCKER, &binary).unwrap();
    fs::set_permissions(&binary, Permissions::from_mode(0o755)).unwrap();
    let before = (fs::read(&binary).unwrap(), facts(&binary));
    let ours = |args: &[&str]| {
        let like = host.command(args);
        let mut command = Command::new(&binary);
        command.args(like.get_args());
        command
    };
    // The victim is a container whose first program is the binary. The binary waits for its stdin,
    // which stays open.
    let attack_here = with_attack();
    let victim = Background::spawn(ours(&[
        "run",
        "-i",
        "--name",
        "box",
        "-v",
        &attack_here,
        "--cap-add",
        "SYS_PTRACE",
        "--cap-add",
        "SYS_ADMIN",
        "--entrypoint",
        "/proc/self/exe",
        "bb",
        "run",
        "--env-file",
        "/dev/stdin",
        "x",
    ]));
    eventually("the binary runs inside", || {
        let look = ours(&["exec", "box", "grep", "-q", "env-file", "/proc/1/cmdline"]).output();
        look.unwrap().status.success()
    });
    for _ in 0..20 {
        let mut args = vec!["exec", "box"];
        args.extend(attack("binary::change_the_binary_of_process_1"));
        super::call(ours(&args)).stdout_has("1 passed");
    }
    drop(victim);
    ours(&["rm", "-f", "box"]).status().unwrap();
    assert!(fs::read(&binary).unwrap() == before.0, "the binary was overwritten");
    assert_eq!(facts(&binary), before.1, "the binary's mode, owner or attributes were changed");
}

/// The metadata of a file that an attack could change.
fn facts(path: &Path) -> (u32, u32, u32, i64, Vec<u8>) {
    let stat = fs::metadata(path).unwrap();
    let mut names = vec![0; 4096];
    let length = rustix::fs::listxattr(path, &mut names[..]).unwrap();
    names.truncate(length);
    (stat.mode(), stat.uid(), stat.gid(), stat.mtime(), names)
}

#[test]
#[ignore = "an attack, run inside a container"]
fn change_the_binary_of_process_1() {
    must_be_inside();
    let exe = Path::new("/proc/1/exe");
    let held = fs::File::open(exe).unwrap();
    assert!(held.metadata().unwrap().len() > 100_000, "process 1 is not the engine's binary");
    make_mount_writable(&held);
    for _ in 0..50 {
        for path in [exe.to_owned(), Path::new("/proc/self/fd").join(fd(&held))] {
            assert!(OpenOptions::new().write(true).open(&path).is_err(), "opened for writing");
            assert!(OpenOptions::new().append(true).open(&path).is_err(), "opened for appending");
            assert!(fs::set_permissions(&path, Permissions::from_mode(0o4777)).is_err(), "mode");
            assert!(std::os::unix::fs::chown(&path, Some(1), Some(1)).is_err(), "owner");
            let set = rustix::fs::setxattr(&path, "trusted.x", b"1", XattrFlags::empty());
            assert!(set.is_err(), "attributes");
            let capability = b"\x01\0\0\x02\xff\xff\xff\xff\0\0\0\0\0\0\0\0\0\0\0\0";
            let name = "security.capability";
            let set = rustix::fs::setxattr(&path, name, capability, XattrFlags::empty());
            assert!(set.is_err(), "capabilities");
        }
        assert!(held.set_permissions(Permissions::from_mode(0o777)).is_err(), "mode by descriptor");
    }
}

/// Tries to clear MOUNT_ATTR_RDONLY of the mount whose root is `file`. If this succeeds, a later
/// assertion of the attack fails.
fn make_mount_writable(file: &fs::File) {
    let attributes = linux_raw_sys::general::mount_attr {
        attr_set: 0,
        attr_clr: linux_raw_sys::general::MOUNT_ATTR_RDONLY.into(),
        propagation: 0,
        userns_fd: 0,
    };
    // SAFETY: the kernel reads an empty path and one struct, and both outlive the call.
    unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            std::os::fd::AsRawFd::as_raw_fd(file),
            c"".as_ptr(),
            libc::AT_EMPTY_PATH,
            &raw const attributes,
            size_of_val(&attributes),
        );
    }
}

fn fd(file: &fs::File) -> String {
    std::os::fd::AsRawFd::as_raw_fd(file).to_string()
}
