//! A full disk: a command that needs space fails with a clear error and leaves no half-made image,
//! container or volume. Running containers continue. `stop`, `rm` and the prunes still work, so
//! that the user can free space.

mod registry {
    #[allow(dead_code)]
    pub mod server;
}
mod support;

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use registry::server::{Packing, Registry, base, layer, noise};
use support::Host;

/// A small ext4 on a loop device, mounted as the host's state root.
struct SmallDisk {
    mount: PathBuf,
    /// Removes the default network's bridge. Must run before the disk with the state is unmounted.
    prune: Command,
}

impl SmallDisk {
    fn new(host: &Host, megabytes: u64) -> SmallDisk {
        let image = host.scratch().join("disk");
        std::fs::File::create(&image).unwrap().set_len(megabytes << 20).unwrap();
        let mount = host.state_root();
        std::fs::create_dir_all(&mount).unwrap();
        run(Command::new("mkfs.ext4").args(["-q", "-m", "0"]).arg(&image));
        run(Command::new("mount").args(["-o", "loop"]).args([&image, &mount]));
        let prune = host.command(["network", "prune", "--force"]);
        SmallDisk { mount, prune }
    }

    /// Grows or shrinks a filler file until about this many KiB of the disk are free.
    fn leave(&self, kilobytes: u64) {
        let filler = self.mount.join("filler");
        let stat = rustix::fs::statvfs(&self.mount).unwrap();
        let free = stat.f_bavail * stat.f_frsize;
        let size = std::fs::metadata(&filler).map_or(0, |metadata| metadata.blocks() * 512);
        let file =
            std::fs::OpenOptions::new().write(true).create(true).truncate(false).open(filler);
        let size = (size + free).saturating_sub(kilobytes << 10);
        let file = file.unwrap();
        file.set_len(size).unwrap();
        // Ignore an error: the file system may need the last blocks itself.
        let _ = rustix::fs::fallocate(&file, rustix::fs::FallocateFlags::empty(), 0, size.max(1));
        if kilobytes == 0 {
            use std::io::{Seek, Write};
            let mut file = file;
            file.seek(std::io::SeekFrom::End(0)).unwrap();
            while file.write_all(&[0; 4096]).is_ok() {}
        }
    }

    fn make_room(&self) {
        let _ = std::fs::remove_file(self.mount.join("filler"));
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = self.prune.output();
        let _ = Command::new("umount").arg("-l").arg(&self.mount).status();
    }
}

fn run(command: &mut Command) {
    assert!(command.status().unwrap().success(), "{command:?}");
}

/// Returns every file and directory below `dir`, except the content of lost+found. Tests compare
/// the number before and after a failed command.
fn tree(dir: &Path) -> Vec<PathBuf> {
    let mut all = Vec::new();
    for entry in std::fs::read_dir(dir).unwrap().flatten() {
        let path = entry.path();
        if entry.file_type().unwrap().is_dir() && entry.file_name() != "lost+found" {
            all.extend(tree(&path));
        }
        all.push(path);
    }
    all
}

/// Returns a host without images, the small disk that holds the host's state, and an archive from
/// which a test can import the image `bb`.
fn small_host() -> (Host, SmallDisk, PathBuf) {
    let host = Host::new();
    let disk = SmallDisk::new(&host, 16);
    let archive = support::busybox_archive();
    (host, disk, archive)
}

/// Runs `command`, which makes an image, on a full disk, then with `step` KiB more free space each
/// time until the command succeeds. Each failure must print one line with the reason and leave
/// nothing half made. Then runs the command with free space. `undo` removes what the command made.
fn meets_a_full_disk(host: &Host, disk: &SmallDisk, step: usize, command: &[&str], undo: &[&str]) {
    host.mydocker(["ps"]);
    let images = host.mydocker(["images", "-q"]).text();
    let (mut failures, mut succeeded) = (0, false);
    for kilobytes in (0..8192).step_by(step) {
        disk.leave(kilobytes);
        let before = tree(&disk.mount).len();
        let done = host.mydocker(command);
        succeeded = done.succeeded();
        if succeeded {
            host.mydocker(undo);
            break;
        }
        failures += 1;
        done.exits(1).complains("No space left on device");
        assert_eq!(host.mydocker(["images", "-q"]).text(), images);
        // A failed pull keeps its downloads for the next pull; this prune removes them.
        host.mydocker(["image", "prune", "-f"]);
        // The command may have made directories and lock files.
        let after = tree(&disk.mount).len();
        assert!(after <= before + 8, "{kilobytes} KB: {:#?}", tree(&disk.mount));
        host.mydocker(["system", "check"]).stdout("");
    }
    assert!(failures > 1 && succeeded, "{failures} failures");
    disk.make_room();
    host.mydocker(command);
    host.mydocker(undo);
    host.mydocker(["system", "check"]).stdout("");
}

#[test]
fn an_import_fails_cleanly_on_a_full_disk() {
    let (host, disk, archive) = small_host();
    let import = ["import", archive.to_str().unwrap(), "bb"];
    meets_a_full_disk(&host, &disk, 128, &import, &["rmi", "bb"]);
}

#[test]
fn a_load_fails_cleanly_on_a_full_disk() {
    let (host, disk, archive) = small_host();
    host.mydocker(["import", archive.to_str().unwrap(), "bb"]);
    let saved = host.scratch().join("saved.tar");
    host.mydocker(["save", "-o", saved.to_str().unwrap(), "bb"]);
    host.mydocker(["rmi", "bb"]);
    let load = ["load", "-i", saved.to_str().unwrap()];
    meets_a_full_disk(&host, &disk, 128, &load, &["rmi", "bb"]);
}

#[test]
fn a_pull_fails_cleanly_on_a_full_disk() {
    let (host, disk, _) = small_host();
    let registry = Registry::plain(&host);
    let name = registry.name("bb");
    registry.fill_with(&[base(), layer(Packing::Gzip, "noise", noise(1, 1 << 20))], "bb");
    meets_a_full_disk(&host, &disk, 128, &["pull", "-q", &name], &["rmi", &name]);
}

#[test]
fn a_commit_fails_cleanly_on_a_full_disk() {
    let (host, disk, archive) = small_host();
    host.mydocker(["import", archive.to_str().unwrap(), "bb"]);
    let script = "head -c 500000 /dev/urandom >/new; rm /etc/group";
    host.mydocker(["run", "--name", "c", "bb", "sh", "-c", script]);
    meets_a_full_disk(&host, &disk, 32, &["commit", "c", "made"], &["rmi", "made"]);
}

/// On a full disk, commands that free space or end containers still work.
#[test]
fn a_full_disk_blocks_neither_stop_nor_rm_nor_prune() {
    let (host, disk, archive) = small_host();
    host.mydocker(["import", archive.to_str().unwrap(), "bb"]);
    host.mydocker(["tag", "bb", "spare"]);
    for name in ["a", "b", "c"] {
        host.mydocker(["run", "-d", "--name", name, "-v", "/data", "bb", "sleep", "1000"]);
    }
    host.mydocker(["network", "create", "unused"]);
    disk.leave(0);
    host.mydocker(["exec", "a", "echo", "on"]).stdout("on\n");
    host.mydocker(["stop", "-t", "0", "a"]).stdout("a\n");
    host.mydocker(["kill", "b"]);
    host.mydocker(["rm", "-f", "c"]).stdout("c\n");
    host.mydocker(["rm", "-v", "a"]).stdout("a\n");
    host.mydocker(["wait", "b"]).stdout("137\n");
    host.mydocker(["container", "prune", "-f"]);
    host.mydocker(["volume", "prune", "-af"]);
    host.mydocker(["network", "prune", "-f"]);
    host.mydocker(["rmi", "spare"]);
    host.mydocker(["image", "prune", "-af"]);
    host.mydocker(["system", "prune", "-f"]);
    host.mydocker(["system", "check"]).stdout("");
    disk.make_room();
    host.mydocker(["ps", "-aq"]).stdout("");
    host.mydocker(["images", "-q"]).stdout("");
}

#[test]
fn create_and_start_fail_cleanly_on_a_full_disk() {
    let (host, disk, archive) = small_host();
    host.mydocker(["import", archive.to_str().unwrap(), "bb"]);
    let mut failures = 0;
    for kilobytes in (0..80).step_by(4) {
        disk.leave(kilobytes);
        let done =
            host.mydocker(["run", "-d", "--name", "c", "-v", "/data", "bb", "sleep", "1000"]);
        if done.status() != 0 {
            failures += 1;
            // As in Docker, the container may exist without having been started. It must not be
            // half made.
            let _ = host.mydocker(["rm", "-v", "c"]).status();
            host.mydocker(["ps", "-aq"]).stdout("");
            host.mydocker(["volume", "ls", "-q"]).stdout("");
        } else {
            disk.leave(0);
            assert_eq!(host.mydocker(["ps", "-q"]).lines().len(), 1);
            host.mydocker(["stop", "-t", "0", "c"]);
            assert_eq!(host.inspect("c", "{{.State.ExitCode}}"), "137");
            host.mydocker(["rm", "-v", "c"]);
        }
        host.mydocker(["system", "check"]).stdout("");
    }
    assert!((2..20).contains(&failures), "{failures} failures");
    disk.make_room();
    host.mydocker(["run", "--rm", "bb", "echo", "room"]).stdout("room\n");
}

#[test]
fn a_full_disk_loses_only_log_lines() {
    let (host, disk, archive) = small_host();
    host.mydocker(["import", archive.to_str().unwrap(), "bb"]);
    let script = "echo before; read x; seq 1 100000; echo during; read x; echo after; exit 4";
    let mut first = host.background(["run", "-i", "--name", "c", "bb", "sh", "-c", script]);
    first.expect("before\n");
    disk.leave(0);
    first.type_in("go\n");
    first.expect("during\n");
    host.mydocker(["ps"]).stdout_has("Up");
    host.mydocker(["exec", "c", "echo", "in"]).stdout("in\n");
    disk.make_room();
    first.type_in("go\n");
    first.wait().exits(4).stdout_has("99999\n100000\nduring\nafter\n");
    let logs = host.mydocker(["logs", "c"]).text();
    assert!(logs.starts_with("before") && logs.ends_with("after"), "{} bytes", logs.len());
    assert_eq!(host.inspect("c", "{{.State.ExitCode}}"), "4");
}

#[test]
fn the_exit_status_is_kept_on_a_full_disk() {
    let (host, disk, archive) = small_host();
    host.mydocker(["import", archive.to_str().unwrap(), "bb"]);
    host.mydocker(["run", "-di", "--name", "c", "bb", "sh", "-c", "read x; exit 9"]);
    host.mydocker(["run", "-d", "--name", "d", "bb", "sleep", "1000"]);
    disk.leave(0);
    let mut attached = host.background(["attach", "c"]);
    attached.type_in("go\n");
    attached.wait().exits(9);
    assert_eq!(host.inspect("c", "{{.State.ExitCode}}"), "9");
    host.mydocker(["stop", "-t", "0", "d"]);
    host.mydocker(["volume", "prune", "-af"]);
    disk.make_room();
    assert_eq!(host.inspect("c", "{{.State.ExitCode}}"), "9");
    host.mydocker(["ps", "-a"]);
    host.mydocker(["system", "check"]).stdout("");
    host.mydocker(["rm", "c", "d"]);
}
