//! The description of a host, and how a guest is made from it.
//!
//! A guest is a virtual machine of qemu with a kernel, an initramfs and disks. `guest.rs` runs it.
//! `hosts.rs` has the descriptions of the hosts, except the one for power cuts (`power.rs`).

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::chance::Chance;
use crate::debian::{BOOKWORM, BULLSEYE, Suite};
use crate::guest::{Guest, Machine, disk};
use crate::registry::Registry;
use crate::run;
use crate::tools;
use crate::tree::{Tree, blank};

/// A small host and its checks.
pub struct Host {
    pub name: &'static str,
    pub about: &'static str,
    /// The Debian release from which the kernel and the programs of the guest come.
    pub suite: Suite,
    pub memory_megabytes: u32,
    pub root: Root,
    pub command_line: &'static str,
    /// The disks after the root's: /dev/vda and so on, or from /dev/vdb on if the root is a disk.
    pub disks: &'static [Disk],
    /// The size of the image `big` in the registry; 0 for none.
    pub big_megabytes: usize,
    /// A script that runs at each boot before the checks, for example to mount disks.
    pub set_up: &'static str,
    /// Shell commands that set variables for the checks.
    pub environment: &'static str,
    pub checks: Vec<Check>,
    /// If there are any, the host shuts down after the other checks and boots again, with `mydocker
    /// boot` and `mydocker halt` in its inittab.
    pub checks_after_reboot: Vec<Check>,
}

pub enum Root {
    /// The initramfs: `/` is the kernel's rootfs, a tmpfs, or with `rootfstype=ramfs` a ramfs.
    Initramfs,
    Ext4 {
        megabytes: u64,
    },
    /// A disk with Debian's systemd as init, not busybox.
    Systemd {
        megabytes: u64,
    },
    Squashfs,
}

/// A disk with an empty file system.
pub struct Disk {
    /// The command that makes the file system.
    pub make: &'static [&'static str],
    pub megabytes: u64,
}

/// A script that the guest runs, and the expected output.
#[derive(Clone)]
pub struct Check {
    pub name: &'static str,
    pub script: &'static str,
    /// The expected lines. `*` matches anything in a line; a line `...` matches any number of
    /// lines.
    pub expect: &'static str,
    /// Pairs of a prompt to wait for and the text to type. If there are any, the script's input is
    /// the serial line.
    pub typed: &'static [(&'static str, &'static str)],
}

/// The modules that a guest needs to boot and to run containers.
const FEW_MODULES: [&str; 8] = [
    "virtio_pci",
    "virtio_blk",
    "9p",
    "9pnet_virtio",
    "crc32c_generic",
    "crc32_generic",
    "ext4",
    "overlay",
];

/// Further modules, for guests with enough memory, if their kernel has them.
const MODULES: [&str; 32] = [
    "f2fs",
    "quota_v2",
    "xfs",
    "squashfs",
    "vfat",
    "nls_cp437",
    "nls_ascii",
    "nls_iso8859_1",
    "loop",
    "veth",
    "bridge",
    "br_netfilter",
    "sch_ingress",
    "cls_bpf",
    "bfq",
    "nf_tables",
    "nf_conntrack",
    "nf_nat",
    "nft_chain_nat",
    "nft_nat",
    "nft_masq",
    "nft_redir",
    "nft_ct",
    "nft_fib",
    "nft_fib_ipv4",
    "nft_fib_inet",
    "nft_reject",
    "nft_compat",
    "dummy",
    "macvlan",
    "ipvlan",
    "8021q",
];

/// The directories of a root, for programs and mounts.
const MOUNT_POINTS: [&str; 12] =
    ["bin", "dev", "etc", "modules", "mnt", "proc", "root", "run", "share", "sys", "tmp", "var"];

impl Host {
    pub fn boot(&self, work: &Path, binary: &Path) -> Guest {
        let machine = self.machine(work, binary);
        let images = self.disks(work, &self.directory(work), binary);
        machine.boot(&images.iter().map(|image| disk(image)).collect::<Vec<_>>())
    }

    /// Boots again from the root disk in its present state.
    pub fn boot_again(&self, work: &Path, binary: &Path) -> Guest {
        let image = self.directory(work).join("root.img");
        self.machine(work, binary).boot(&[disk(&image)])
    }

    /// The directory of this host's files.
    pub fn directory(&self, work: &Path) -> PathBuf {
        work.join("run").join(self.name)
    }

    /// The guest without its disks.
    pub fn machine(&self, work: &Path, binary: &Path) -> Machine {
        let directory = self.directory(work);
        fs::create_dir_all(&directory).unwrap();
        let initramfs = directory.join("initramfs");
        fs::write(&initramfs, self.initramfs(work, binary)).unwrap();
        Machine {
            architecture: self.suite.architecture,
            kernel: self.suite.kernel(work).image,
            initramfs,
            share: self.share(work, &directory),
            memory_megabytes: self.memory_megabytes,
            command_line: self.command_line,
        }
    }

    fn disks(&self, work: &Path, directory: &Path, binary: &Path) -> Vec<PathBuf> {
        let mut disks = Vec::new();
        let image = directory.join("root.img");
        let _ = fs::remove_file(&image);
        match self.root {
            Root::Initramfs => {}
            Root::Ext4 { megabytes } => self.tree(work, binary).ext4(&image, megabytes, None),
            Root::Systemd { megabytes } => {
                let base = self.suite.systemd(work);
                self.tree(work, binary).ext4(&image, megabytes, Some(&base));
            }
            Root::Squashfs => self.tree(work, binary).squashfs(&image),
        }
        if image.exists() {
            disks.push(image);
        }
        for (number, disk) in self.disks.iter().enumerate() {
            let image = directory.join(format!("disk{number}.img"));
            blank(&image, disk.megabytes);
            run(Command::new(disk.make[0]).args(&disk.make[1..]).arg(&image));
            disks.push(image);
        }
        disks
    }

    /// The files of the guest: busybox, mydocker and the harness's agent.
    fn tree(&self, work: &Path, binary: &Path) -> Tree {
        let mut tree = Tree::default();
        for name in MOUNT_POINTS {
            tree.directory(name);
        }
        tree.program("bin/busybox", fs::read(self.suite.busybox(work)).unwrap());
        // List the applets of bookworm's busybox for amd64, which this machine can run. The other
        // busyboxes are taken to have the same applets.
        for applet in run(Command::new(BOOKWORM.busybox(work)).arg("--list")).lines() {
            if applet != "busybox" {
                tree.link(&format!("bin/{applet}"), "/bin/busybox");
            }
        }
        tree.program("bin/mydocker", fs::read(binary).unwrap());
        tree.program("bin/agent", include_str!("guest/agent"));
        tree.program("bin/eventually", include_str!("guest/eventually"));
        let console = if self.suite.architecture == "arm64" { "ttyAMA0" } else { "ttyS0" };
        let mut inittab = "::sysinit:/bin/agent set-up\n".to_owned();
        if !self.checks_after_reboot.is_empty() {
            // Drop the output of `boot`, which would come between the agent's marks.
            let recipe = include_str!("../../contrib/inittab")
                .replace("/usr/bin/mydocker", "/bin/mydocker")
                .replace("mydocker boot\n", "mydocker boot >/dev/null 2>&1\n");
            inittab.push_str(&recipe);
        }
        inittab.push_str(&format!("{console}::respawn:/bin/agent\n"));
        tree.file("etc/inittab", inittab);
        if matches!(self.root, Root::Systemd { .. }) {
            tree.file("etc/systemd/system/agent.service", include_str!("guest/agent.service"));
            tree.file("etc/machine-id", "0123456789abcdef0123456789abcdef\n");
            tree.file(
                "etc/passwd",
                "root:x:0:0:root:/root:/bin/sh\nmessagebus:x:100:100::/nonexistent:/bin/false\n",
            );
            tree.file("etc/group", "root:x:0:\nmessagebus:x:100:\n");
        }
        tree
    }

    fn initramfs(&self, work: &Path, binary: &Path) -> Vec<u8> {
        // If the root is a disk, it has the binary, so leave the binary out: memory is scarce.
        let mut tree = match self.root {
            Root::Initramfs => self.tree(work, binary),
            _ => {
                let mut tree = Tree::default();
                for name in ["bin", "dev", "modules"] {
                    tree.directory(name);
                }
                tree.program("bin/busybox", fs::read(self.suite.busybox(work)).unwrap());
                tree
            }
        };
        tree.program("init", include_str!("guest/init"));
        tree.character_device("dev/console", 5, 1);
        let mut order = String::new();
        let mut modules = FEW_MODULES.to_vec();
        if self.memory_megabytes > 128 {
            modules.extend(MODULES);
        }
        if matches!(self.root, Root::Systemd { .. }) {
            modules.push("rdma_rxe");
        }
        for module in self.suite.kernel(work).modules(&modules) {
            let name = module.file_name().unwrap().to_str().unwrap();
            tree.file(&format!("modules/{name}"), fs::read(&module).unwrap());
            order.push_str(name);
            order.push('\n');
        }
        tree.file("modules/order", order);
        tree.cpio()
    }

    /// Makes the directory that the guest mounts on /share: scripts, an image to import, a registry
    /// to pull from, and on amd64 the harness's tools.
    fn share(&self, work: &Path, directory: &Path) -> PathBuf {
        let share = directory.join("share");
        let _ = fs::remove_dir_all(&share);
        fs::create_dir_all(share.join("scripts")).unwrap();
        let root = match self.root {
            Root::Initramfs => "initramfs",
            Root::Ext4 { .. } | Root::Systemd { .. } => "'-t ext4 /dev/vda'",
            Root::Squashfs => "'-t squashfs -o ro /dev/vda'",
        };
        let init = match self.root {
            Root::Systemd { .. } => "/lib/systemd/systemd",
            _ => "'/bin/busybox init'",
        };
        fs::write(share.join("root"), format!("root={root}\ninit={init}\n")).unwrap();
        fs::write(share.join("setup"), self.set_up).unwrap();
        // The guest's console is a terminal, but checks compare text without colours.
        let environment = format!("export NO_COLOR=1\n{}", self.environment);
        fs::write(share.join("environment"), environment).unwrap();
        for check in self.checks.iter().chain(&self.checks_after_reboot) {
            fs::write(share.join("scripts").join(check.file()), check.script).unwrap();
        }
        if self.suite.architecture == "amd64" {
            fs::copy(std::env::current_exe().unwrap(), share.join("tools")).unwrap();
            for name in tools::NAMES {
                std::os::unix::fs::symlink("tools", share.join(name)).unwrap();
            }
            // Make a new certificate for each run, because it expires after 30 days.
            let line = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 30 \
                        -subj /CN=registry -addext subjectAltName=IP:127.0.0.1 -keyout tls.key -out \
                        tls.crt";
            run(Command::new("openssl").args(line.split_whitespace()).current_dir(&share));
        }
        // The static busybox of bullseye can't read /etc/hosts, because its libc needs a library
        // for this.
        let suite = if self.suite == BULLSEYE { BOOKWORM } else { self.suite };
        busybox_image(&suite.busybox(work), &share.join("bb.tar"));
        if self.command_line.contains("selinux=1") {
            fs::write(share.join("selinux.cil"), include_str!("guest/selinux.cil")).unwrap();
            // Version 33 is the newest that Linux 6.1 reads.
            let line = "-c 33 -o selinux -f /dev/null selinux.cil";
            run(Command::new("secilc").args(line.split_whitespace()).current_dir(&share));
        }
        let registry = Registry::new(share.join("registry"), self.suite.architecture);
        registry.put("bb", "latest", &[&share.join("bb.tar")]);
        if self.big_megabytes > 0 {
            let mut chance = Chance::new(1);
            let noise: Vec<u8> = (0..1 << 20).map(|_| chance.below(256) as u8).collect();
            let names: Vec<String> =
                (0..self.big_megabytes).map(|number| format!("etc/noise{number}")).collect();
            let files: Vec<(&str, &[u8])> =
                names.iter().map(|name| (name.as_str(), noise.as_slice())).collect();
            layer_of(&share.join("big.tar"), &files);
            registry.put("big", "latest", &[&share.join("bb.tar"), &share.join("big.tar")]);
        }
        share
    }
}

impl Check {
    pub fn file(&self) -> String {
        let kind = if self.typed.is_empty() { "check" } else { "typed" };
        format!("{kind}-{}", self.name.replace(' ', "-"))
    }

    /// Compares the guest's output with the expected lines, and the status with 0. The error
    /// contains the guest's output and status.
    pub fn judge(&self, output: &str, status: &str) -> Result<(), String> {
        let got: Vec<&str> = output.lines().collect();
        let wanted: Vec<&str> = self.expect.lines().map(str::trim).collect();
        if status == "0" && matches(&got, &wanted) {
            Ok(())
        } else {
            Err(format!("status {status}, said:\n{output}"))
        }
    }
}

fn matches(got: &[&str], wanted: &[&str]) -> bool {
    match (got, wanted) {
        ([], []) => true,
        (_, ["...", rest @ ..]) => (0..=got.len()).any(|skipped| matches(&got[skipped..], rest)),
        ([line, got @ ..], [pattern, wanted @ ..]) => {
            matches_line(line, pattern) && matches(got, wanted)
        }
        _ => false,
    }
}

fn matches_line(line: &str, pattern: &str) -> bool {
    match pattern.split_once('*') {
        None => line == pattern,
        Some((head, tail)) => line.strip_prefix(head).is_some_and(|rest| {
            rest.char_indices()
                .map(|(at, _)| at)
                .chain([rest.len()])
                .any(|at| matches_line(&rest[at..], tail))
        }),
    }
}

/// Writes a tar archive of a root file system with busybox, /etc/passwd and /etc/group.
fn busybox_image(busybox: &Path, archive: &Path) {
    image_with(busybox, archive, &[]);
}

/// Writes the archive of `busybox_image` with further files.
pub fn image_with(busybox: &Path, archive: &Path, files: &[(&str, &[u8])]) {
    let mut tree = Tree::default();
    for name in ["bin", "etc", "tmp", "root"] {
        tree.directory(name);
    }
    tree.program("bin/busybox", fs::read(busybox).unwrap());
    let applets = "sh cat echo ls id env sleep true false hostname mount stat ping ip wget nc dd \
                   tty stty ps mknod chroot head wc seq touch mkdir rm rmdir ln test grep od nproc \
                   httpd kill chmod df free sync";
    for applet in applets.split_whitespace() {
        tree.link(&format!("bin/{applet}"), "busybox");
    }
    tree.file("etc/passwd", "root:x:0:0:root:/root:/bin/sh\nuser:x:1000:1000::/:/bin/sh\n");
    tree.file("etc/group", "root:x:0:\nuser:x:1000:\n");
    add_files(&mut tree, files);
    tree.tar(archive);
}

/// Writes a layer with some files.
pub fn layer_of(archive: &Path, files: &[(&str, &[u8])]) {
    let mut tree = Tree::default();
    tree.directory("etc");
    add_files(&mut tree, files);
    tree.tar(archive);
}

fn add_files(tree: &mut Tree, files: &[(&str, &[u8])]) {
    for (path, content) in files {
        tree.file(path, *content);
    }
}
