//! Attacks on mounts and their targets: links, races, and files that imitate the kernel's files.
//!
//! An image or a volume may hold links where the engine mounts /proc, /sys, devices or volumes.
//! Every mount must stay inside the container's root, and the kernel's own file systems must not be
//! replaced.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use rustix::fs::{CWD, FileType, Mode, RenameFlags, makedev, renameat_with};

use super::support::Host;
use super::{CANARY, attack, canary, must_be_inside, with_attack};

/// The number of rounds of a race between two containers. Each round starts a container.
const ROUNDS: usize = 150;

/// A root directory with busybox, for `--rootfs`.
fn root(host: &Host, name: &str) -> std::path::PathBuf {
    let root = host.scratch().join(name);
    fs::create_dir_all(root.join("bin")).unwrap();
    fs::copy("/bin/busybox", root.join("bin/busybox")).unwrap();
    root
}

/// CVE-2019-16884, CVE-2019-19921, CVE-2023-27561, CVE-2023-28642, CVE-2025-52881, CVE-2025-62596:
/// a volume or a link in place of /proc made the runtime write its security labels and sysctls into
/// files that the attacker chose.
#[test]
fn no_volume_or_link_replaces_proc() {
    let host = Host::with_busybox();
    let fake = host.scratch().join("fake");
    fs::create_dir_all(fake.join("self/attr")).unwrap();
    fs::create_dir_all(fake.join("sys/net/ipv4")).unwrap();
    fs::write(fake.join("self/attr/exec"), "").unwrap();
    let source = fake.display();
    for target in ["/proc", "/proc/self", "/proc/self/attr", "/proc/sys", "/proc/../proc/sys/net"] {
        let volume = format!("{source}:{target}");
        host.mydocker(["run", "--rm", "-v", &volume, "bb", "true"]).refused("/proc");
        let tmpfs = format!("type=tmpfs,dst={target}");
        host.mydocker(["run", "--rm", "--mount", &tmpfs, "bb", "true"]).refused("/proc");
    }
    // In this root, links with other names lead to /proc.
    let root_dir = root(&host, "link-to-proc");
    fs::create_dir_all(root_dir.join("proc")).unwrap();
    symlink("/proc/sys", root_dir.join("x")).unwrap();
    symlink("proc", root_dir.join("y")).unwrap();
    let path = root_dir.to_str().unwrap();
    for target in ["/x", "/y", "/y/self", "/x/net"] {
        let volume = format!("{source}:{target}");
        let args = ["run", "--rm", "-v", &volume, "--rootfs", path, "/bin/busybox", "true"];
        host.mydocker(args).refused("/proc");
    }
}

/// CVE-2026-41579, CVE-2026-47766 and similar: the image's /dev, /proc or /sys is a link, and the
/// runtime makes files behind the link on the host.
#[test]
fn an_image_whose_kernel_directories_are_links_is_refused() {
    let host = Host::with_busybox();
    let canary = canary(&host);
    for name in ["dev", "proc", "sys"] {
        let up = "../../../../tmp".into();
        for (kind, target) in [("absolute", canary.clone()), ("up", up), ("inside", "at".into())] {
            let root = root(&host, &format!("{name}-{kind}"));
            fs::create_dir(root.join("at")).unwrap();
            symlink(&target, root.join(name)).unwrap();
            let path = root.to_str().unwrap();
            let args = ["run", "--rm", "--rootfs", path, "/bin/busybox", "true"];
            let words = "is a symbolic link, but";
            let done = host.mydocker(args);
            done.refused(&format!("/{name} {words} /{name} must be mounted on ordinary directory"));
        }
    }
    let left: Vec<_> = fs::read_dir(&canary).unwrap().flatten().map(|e| e.file_name()).collect();
    assert_eq!(left, ["secret"]);
}

/// CVE-2025-31133, CVE-2025-62161: /dev/null was replaced by a link before the runtime mounted it
/// over a file to mask. The file stayed visible, or the link's target was mounted.
#[test]
fn masked_files_are_covered_by_the_null_device() {
    let host = Host::with_busybox();
    let canary = canary(&host);
    for kind in ["link", "file", "block device", "other device"] {
        let dev = host.scratch().join(format!("dev {kind}"));
        fs::create_dir_all(&dev).unwrap();
        match kind {
            "link" => symlink(canary.join("secret"), dev.join("null")).unwrap(),
            "file" => fs::write(dev.join("null"), "x").unwrap(),
            "block device" => {
                let (null, mode) = (dev.join("null"), Mode::from_raw_mode(0o666));
                rustix::fs::mknodat(CWD, null, FileType::BlockDevice, mode, makedev(1, 3)).unwrap();
            }
            _ => rustix::fs::mknodat(
                CWD,
                dev.join("null"),
                FileType::CharacterDevice,
                Mode::from_raw_mode(0o666),
                makedev(1, 5),
            )
            .unwrap(),
        }
        let volume = format!("{}:/dev", dev.display());
        host.mydocker(["run", "--rm", "-v", &volume, "bb", "true"]).refused("/dev/null");
    }
}

/// CVE-2025-52565: /dev/pts/N was replaced by a link before the runtime mounted it on /dev/console,
/// so the link's target became writable there.
#[test]
fn the_console_is_the_containers_own_terminal() {
    let host = Host::with_busybox();
    let canary = canary(&host);
    let pts = host.scratch().join("pts");
    fs::create_dir_all(&pts).unwrap();
    symlink(canary.join("secret"), pts.join("ptmx")).unwrap();
    symlink(canary.join("secret"), pts.join("0")).unwrap();
    let volume = format!("{}:/dev/pts", pts.display());
    host.mydocker(["run", "--rm", "-t", "-v", &volume, "bb", "true"]).refused("/dev/pts");
    fs::remove_file(pts.join("ptmx")).unwrap();
    fs::write(pts.join("ptmx"), "").unwrap();
    host.mydocker(["run", "--rm", "-t", "-v", &volume, "bb", "true"]).refused("/dev/pts");
    assert_eq!(fs::read_to_string(canary.join("secret")).unwrap(), CANARY);
}

/// CVE-2021-30465: a container replaces a directory of a shared volume by a link, while another
/// container starts with a mount target in this directory. So the mount was made on the host.
/// CVE-2024-45310: the same race made directories on the host. Guard: the kernel resolves targets
/// inside the root, and the targets are used by descriptor.
#[test]
fn a_mount_target_that_is_swapped_stays_inside() {
    let host = Host::with_busybox();
    let canary = canary(&host);
    let volume = host.scratch().join("shared");
    fs::create_dir_all(volume.join("a/inner")).unwrap();
    symlink(&canary, volume.join("b")).unwrap();
    let shared = format!("{}:/shared", volume.display());
    let attack_here = with_attack();
    let swapper = ["run", "-d", "--name", "swapper", "-v", &shared, "-v", &attack_here, "bb"];
    host.mydocker(swapper.iter().copied().chain(attack("mounts::swap_for_ever")));
    let source = host.scratch().join("source");
    fs::create_dir_all(&source).unwrap();
    let mounts = || fs::read_to_string("/proc/self/mountinfo").unwrap().lines().count();
    let through = format!("{}:/shared/a/inner/deep", source.display());
    let (mut started, mut refused) = (0, 0);
    for round in 0..ROUNDS {
        let made = format!("/shared/a/new{round}/x");
        let check = "stat -f -c %T /proc && test ! -e /shared/a/secret && ls /";
        let args = ["run", "--rm", "-v", &shared, "-v", &through, "--tmpfs", &made, "bb"];
        let done = host.mydocker(args.iter().copied().chain(["sh", "-c", check]));
        match done.status() {
            0 => started += 1,
            // If `a` was the link at that moment, the run is refused: the link leads nowhere
            // inside.
            125 => refused += 1,
            other => panic!("round {round}: status {other}"),
        }
    }
    host.mydocker(["rm", "-f", "swapper"]);
    assert!(started > 0, "the race was never run: {refused} refused");
    let left: Vec<_> = fs::read_dir(&canary).unwrap().flatten().map(|e| e.file_name()).collect();
    assert_eq!(left, ["secret"], "made on the host");
    let dir = host.scratch();
    let ours = fs::read_to_string("/proc/self/mountinfo").unwrap();
    assert!(!ours.contains(dir.to_str().unwrap()), "mounted on the host: {} mounts", mounts());
}

/// CVE-2026-55686: a working directory behind a link was made, or got another owner, on the host.
/// Guards: in a writable root, the directory is made after pivot_root. In a read-only root, the
/// directory must be made earlier, so the kernel resolves its path below a descriptor of the root.
#[test]
fn a_working_directory_through_a_link_makes_nothing_on_the_host() {
    let host = Host::with_busybox();
    let canary = canary(&host);
    let root_dir = root(&host, "links");
    let up = format!("../../../../../../../..{}", canary.display());
    symlink(&canary, root_dir.join("absolute")).unwrap();
    symlink(&up, root_dir.join("relative")).unwrap();
    symlink("absolute", root_dir.join("twice")).unwrap();
    let tar = host.scratch().join("links.tar");
    let (tar, path) = (tar.to_str().unwrap(), root_dir.to_str().unwrap());
    let packed = std::process::Command::new("tar").args(["-C", path, "-cf", tar, "."]).status();
    assert!(packed.unwrap().success());
    let shared = format!("{path}:/shared");
    host.mydocker(["import", tar, "linked"]);
    host.mydocker(["run", "-d", "--name", "box", "linked", "/bin/busybox", "sleep", "1000"]);
    let before = super::copies::state(&canary);
    let changed = || super::copies::state(&canary) != before;
    let program = ["/bin/busybox", "true"];
    for link in ["absolute", "relative", "twice"] {
        for cwd in [format!("/{link}"), format!("/{link}/new/deep")] {
            let image = format!("WORKDIR {cwd}");
            host.mydocker(["import", "-c", &image, tar, "workdir"]);
            let volume = format!("/shared{cwd}");
            for (command, args) in [
                ("run", vec!["--rm", "workdir"]),
                ("run", vec!["--rm", "-u", "1234:1234", "workdir"]),
                ("run", vec!["--rm", "--userns", "auto", "workdir"]),
                ("run", vec!["--rm", "-w", &cwd, "linked"]),
                ("run", vec!["--rm", "-v", &shared, "-w", &volume, "linked"]),
                // With a read-only root the directory is made before pivot_root.
                ("run", vec!["--rm", "--read-only", "-w", &cwd, "linked"]),
                ("run", vec!["--rm", "--read-only", "workdir"]),
                ("run", vec!["--rm", "--read-only", "-v", &shared, "-w", &volume, "linked"]),
                ("run", vec!["--rm", "-w", &cwd, "--rootfs", path]),
                ("exec", vec!["-w", &cwd, "box"]),
                ("exec", vec!["-w", &cwd, "-u", "1234:1234", "box"]),
            ] {
                // A link to a missing directory may be refused. In any case nothing may be made
                // outside.
                let done = host.mydocker([&[command][..], &args, &program].concat());
                let story = done.transcript();
                assert!([0, 125, 126, 127].contains(&done.status()), "{story}");
                assert!(!changed(), "the host's directory was changed: {story}");
            }
        }
    }
}

#[test]
#[ignore = "an attack, run inside a container"]
fn swap_for_ever() {
    must_be_inside();
    let (a, b) = (Path::new("/shared/a"), Path::new("/shared/b"));
    loop {
        // `a` is the directory, then the link, and so on.
        let _ = renameat_with(CWD, a, CWD, b, RenameFlags::EXCHANGE);
    }
}
