//! Attacks on commands that copy files of containers, and on the filling of volumes: links that are
//! swapped during a copy, paths that lead out, and programs that a command must not run.
//!
//! If a container's process races with the command, the test repeats the copy many times. The
//! host's files must stay unread and unchanged. `tests/cp.rs` tests the rules of an ordinary copy.

use std::fs;
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::support::{Done, Host, eventually};
use super::{CANARY, attack, canary, with_attack};

/// The number of copies that each thread tries while a container swaps a directory and a link.
const ROUNDS: usize = 500;

/// The number of containers whose mount points `cp` makes. The test runs `cp` four times for each.
const MOUNT_POINTS: usize = 40;

/// The state of the host's directory that must not change.
pub fn state(canary: &Path) -> Vec<(String, u32, u32, i64, u64)> {
    let mut state = Vec::new();
    for path in [canary.to_owned(), canary.join("secret")] {
        let stat = fs::metadata(&path).unwrap();
        let name = path.display().to_string();
        state.push((name, stat.mode(), stat.uid(), stat.mtime_nsec(), stat.len()));
    }
    let names = fs::read_dir(canary).unwrap().flatten();
    state.extend(names.map(|entry| (format!("{:?}", entry.file_name()), 0, 0, 0, 0)));
    state
}

/// CVE-2018-15664, CVE-2019-18466, CVE-2019-10152: `cp` resolved a path of the container and used
/// the path by name later, when a link had replaced a directory on it. So `cp` read and wrote the
/// host's files. Guards: the kernel resolves paths below the container's root, and the result is
/// used by descriptor.
#[test]
fn cp_stays_inside_while_a_link_is_swapped() {
    let host = Host::with_busybox();
    let canary = canary(&host);
    let volume = host.scratch().join("shared");
    fs::create_dir_all(volume.join("a")).unwrap();
    fs::write(volume.join("a/secret"), "the container's").unwrap();
    symlink(&canary, volume.join("b")).unwrap();
    let shared = format!("{}:/shared", volume.display());
    let attack_here = with_attack();
    let flags = ["run", "-d", "--name", "box", "-v", &shared, "-v", &attack_here, "bb"];
    host.mydocker(flags.iter().copied().chain(attack("mounts::swap_for_ever")));
    let payload = host.file("payload", "overwritten");
    let tree = host.scratch().join("tree");
    fs::create_dir_all(tree.join("secret")).unwrap();
    fs::write(tree.join("new"), "made").unwrap();
    let tar = Command::new("tar").args(["-C", tree.to_str().unwrap(), "-c", "new"]).output();
    let tar = tar.unwrap().stdout;
    let before = state(&canary);
    let moved = AtomicUsize::new(0);
    let count = |done: Done| {
        if done.status() == 0 {
            moved.fetch_add(1, Ordering::Relaxed);
        }
    };
    let payload = payload.to_str().unwrap();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for round in 0..ROUNDS {
                let to = ["box:/shared/a/secret", "box:/shared/a", "box:/shared/a/"][round % 3];
                count(host.mydocker(["cp", payload, to]));
            }
        });
        scope.spawn(|| {
            let out = host.scratch().join("out");
            for round in 0..ROUNDS {
                let follow = ["-L", "-a"][round % 2];
                count(host.mydocker(["cp", follow, "box:/shared/a/secret", out.to_str().unwrap()]));
                let got = fs::read_to_string(&out).unwrap_or_default();
                assert!(!got.contains(CANARY), "the host's file was read");
                let _ = fs::remove_file(&out);
            }
        });
        scope.spawn(|| {
            for round in 0..ROUNDS {
                match round % 2 {
                    0 => count(host.feed(tar.clone(), ["cp", "-", "box:/shared/a"])),
                    _ => {
                        let done = host.mydocker(["cp", "box:/shared/a", "-"]);
                        let printed = done.transcript();
                        assert!(!printed.contains(CANARY), "the host's directory was read");
                        count(done);
                    }
                }
            }
        });
    });
    assert_eq!(state(&canary), before, "the host's files were changed");
    assert!(moved.into_inner() > ROUNDS / 2, "the race was hardly run");
    host.mydocker(["rm", "-f", "box"]);
}

/// CVE-2026-42306: `cp` on a container that does not run mounts the container's volumes, while
/// another container swaps the mounts' targets.
#[test]
fn cp_mounts_volumes_inside_while_a_target_is_swapped() {
    let host = Host::with_busybox();
    let canary = canary(&host);
    let volume = host.scratch().join("shared");
    let source = host.scratch().join("source");
    fs::create_dir_all(volume.join("a/inner")).unwrap();
    fs::create_dir_all(&source).unwrap();
    symlink(&canary, volume.join("b")).unwrap();
    let shared = format!("{}:/shared", volume.display());
    let through = format!("{}:/shared/a/inner/deep", source.display());
    host.mydocker(["create", "--name", "rest", "-v", &shared, "-v", &through, "bb", "true"]);
    let attack_here = with_attack();
    let flags = ["run", "-d", "--name", "swapper", "-v", &shared, "-v", &attack_here, "bb"];
    host.mydocker(flags.iter().copied().chain(attack("mounts::swap_for_ever")));
    let payload = host.file("payload", "overwritten");
    let before = state(&canary);
    let mut done = 0;
    for _ in 0..ROUNDS {
        let to = "rest:/shared/a/inner/deep/new";
        done += usize::from(host.mydocker(["cp", payload.to_str().unwrap(), to]).status() == 0);
    }
    assert_eq!(state(&canary), before, "the host's files were changed");
    assert!(done > 0, "the race was never run");
    let dir = host.scratch();
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
    assert!(!mounts.contains(dir.to_str().unwrap()), "mounted on the host");
    host.mydocker(["rm", "-f", "swapper"]);
}

/// CVE-2026-41568: `cp` on a container that never ran makes the mount points of the container's
/// volumes, while another container swaps directories on their paths. So empty files and
/// directories appeared anywhere on the host. Guard: `beneath::make_dirs` and `make_file`, which
/// `view::bind` calls, resolve paths inside the root.
#[test]
fn cp_makes_mount_points_inside() {
    let host = Host::with_busybox();
    let canary = canary(&host);
    let volume = host.scratch().join("shared");
    let source = host.scratch().join("source");
    fs::create_dir_all(volume.join("a")).unwrap();
    fs::create_dir_all(&source).unwrap();
    symlink(&canary, volume.join("b")).unwrap();
    let shared = format!("{}:/shared", volume.display());
    let attack_here = with_attack();
    let flags = ["run", "-d", "--name", "swapper", "-v", &shared, "-v", &attack_here, "bb"];
    host.mydocker(flags.iter().copied().chain(attack("mounts::swap_for_ever")));
    let payload = host.file("payload", "x");
    let (payload, source) = (payload.to_str().unwrap(), source.display());
    let before = state(&canary);
    let mut made = 0;
    for round in 0..MOUNT_POINTS {
        let directory = format!("{source}:/shared/a/directory{round}/deep");
        let file = format!("{payload}:/shared/a/file{round}");
        let create = ["create", "--name", "rest", "-v", &shared, "-v", &directory, "-v", &file];
        host.mydocker([&create[..], &["bb", "true"]].concat());
        for _ in 0..4 {
            made += usize::from(host.mydocker(["cp", payload, "rest:/tmp/x"]).status() == 0);
        }
        host.mydocker(["rm", "rest"]);
    }
    assert_eq!(state(&canary), before, "made on the host");
    assert!(made > 0, "the race was never run");
    host.mydocker(["rm", "-f", "swapper"]);
}

/// CVE-2019-14271, CVE-2026-41567, CVE-2022-1227: a helper entered the container's root and then
/// loaded a library or executed a program from it, as root of the host. Guard: a command that reads
/// a container's files neither loads nor executes any of them.
#[test]
fn no_command_runs_or_loads_a_file_of_a_container() {
    let host = Host::with_busybox();
    // Each replaced program leaves a mark when it runs. No replaced library is valid, so a process
    // that loads one fails.
    let script = "b=/bin/busybox; echo '#!/bin/busybox sh' >/poison; \
        echo 'echo $0 >>/mark' >>/poison; $b chmod 755 /poison; \
        for d in bin sbin usr/sbin usr/bin usr/local/bin; do $b mkdir -p /$d; \
            for p in tar gzip unpigz xz sh ps cp mount modprobe iptables ldconfig; do \
                $b rm -f /$d/$p; $b cp /poison /$d/$p; done; done; \
        for d in lib lib64 usr/lib; do $b mkdir -p /$d; \
            for l in libc.so.6 libnss_files.so.2 ld-musl-x86_64.so.1 ld-linux-x86-64.so.2; do \
                $b cp /poison /$d/$l; done; done; \
        echo /poison >/etc/ld.so.preload; echo 'passwd: files poison' >/etc/nsswitch.conf; \
        exec $b sleep 1000";
    host.mydocker(["run", "-d", "--name", "box", "bb", "/bin/busybox", "sh", "-c", script]);
    let set_up =
        || host.succeeds(["exec", "box", "/bin/busybox", "test", "-e", "/etc/nsswitch.conf"]);
    eventually("it is poisoned", set_up);
    let scratch = host.scratch();
    let place = |name: &str| scratch.join(name).to_str().unwrap().to_owned();
    let payload = host.file("payload", "x");
    let looks = |host: &Host| {
        host.mydocker(["cp", payload.to_str().unwrap(), "box:/in"]);
        host.mydocker(["cp", "-a", "box:/etc/passwd", &place("out")]);
        host.mydocker(["cp", "box:/etc", "-"]).bytes();
        host.mydocker(["export", "-o", &place("tar"), "box"]);
        host.mydocker(["diff", "box"]).stdout_has("A /poison");
        host.mydocker(["commit", "box", "image"]);
        host.mydocker(["logs", "box"]);
        host.mydocker(["ps", "-a"]);
        host.mydocker(["inspect", "box"]);
    };
    looks(&host);
    host.mydocker(["exec", "-u", "app", "box", "/bin/busybox", "test", "!", "-e", "/mark"]);
    host.mydocker(["stop", "-t", "0", "box"]);
    looks(&host);
    assert!(!host.mydocker(["diff", "box"]).text().contains("/mark"));
}

/// CVE-2022-23648: an image's volume with a path such as /../../etc was filled from the host's
/// files. Guard: the path is cleaned and looked up below the image's root.
#[test]
fn an_images_volume_is_filled_from_the_image() {
    let host = Host::with_busybox();
    let canary = canary(&host);
    let archive = super::support::busybox_archive();
    let up = format!("VOLUME {}{}", "/..".repeat(12), canary.display());
    let import = ["import", "-c", &up, archive.to_str().unwrap(), "volumes"];
    host.mydocker(import);
    let there = canary.to_str().unwrap();
    host.mydocker(["run", "--rm", "volumes", "ls", "-A", there]).stdout("");
    // Now the volume's path is a link in the root directory.
    let root = host.scratch().join("root");
    fs::create_dir_all(root.join("bin")).unwrap();
    fs::copy("/bin/busybox", root.join("bin/busybox")).unwrap();
    symlink(&canary, root.join("link")).unwrap();
    let path = root.to_str().unwrap();
    let args = ["run", "--rm", "-v", "data:/link", "--rootfs", path, "/bin/busybox", "true"];
    // The command may be refused. In any case it must copy nothing.
    host.mydocker(args).status();
    let data = host.state_root().join("volumes/data/_data");
    assert!(!data.join("secret").exists(), "the host's files were copied into a volume");
}

/// A volume's path led to a mount in the image's root. So the volume was filled with files of /proc
/// and /sys before these were masked, or with files of another mount. Guard: a mount in the image's
/// root is never read.
#[test]
fn an_images_volume_is_filled_with_nothing_that_is_mounted() {
    let host = Host::with_busybox();
    let canary = canary(&host);
    let root = host.scratch().join("root");
    fs::create_dir_all(root.join("bin")).unwrap();
    fs::create_dir_all(root.join("shared")).unwrap();
    fs::copy("/bin/busybox", root.join("bin/busybox")).unwrap();
    for (name, to) in [("link", "/sys/kernel"), ("net", "/proc/self/net"), ("there", "/shared")] {
        symlink(to, root.join(name)).unwrap();
    }
    let shared = format!("{}:/shared", canary.display());
    let path = root.to_str().unwrap();
    for target in ["/sys/kernel", "/link", "/proc/sys", "/net", "/shared", "/there", "/dev/pts"] {
        let volume = format!("data:{target}");
        let args = ["run", "--rm", "-v", &shared, "-v", &volume, "--rootfs", path];
        // The command may be refused. In any case it must copy nothing.
        host.mydocker([&args[..], &["/bin/busybox", "true"]].concat()).status();
        let data = host.state_root().join("volumes/data/_data");
        let copied = fs::read_dir(&data).map_or(0, Iterator::count);
        assert_eq!(copied, 0, "{target}: copied into a volume");
        let left = data.with_file_name("_data.filling");
        assert!(!left.exists(), "{target}: copied beside a volume");
        host.mydocker(["volume", "rm", "-f", "data"]);
    }
}

/// CVE-2020-1726: a volume that had files was filled from the image, and its files were
/// overwritten.
#[test]
fn a_volume_that_holds_files_is_never_filled() {
    let host = Host::with_busybox();
    let change = "echo mine >/etc/passwd; rm /etc/group";
    host.mydocker(["run", "--rm", "-v", "data:/etc", "bb", "sh", "-c", change]);
    let look =
        ["run", "--rm", "-v", "data:/etc", "bb", "sh", "-c", "cat /etc/passwd; ls /etc/group"];
    host.mydocker(look).exits(1).stdout_has("mine\n");
}
