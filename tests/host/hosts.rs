//! The hosts, and what is checked on each.

use crate::checks::{basics, check, limits, networks, no_user_namespaces, user_namespaces, wear};
use crate::debian::{BOOKWORM, BOOKWORM_ARM, BULLSEYE};
use crate::host::{Disk, Host, Root};

const EXT4: &[&str] = &["mke2fs", "-q", "-F", "-t", "ext4"];
const F2FS: &[&str] = &["mkfs.f2fs", "-q", "-f"];
const VFAT: &[&str] = &["mkfs.vfat"];

/// A volatile /run and cgroup v2 alone, where systemd and others put them.
const USUAL: &str = "mount -t tmpfs -o mode=755 run /run
                     mount -t cgroup2 cgroup2 /sys/fs/cgroup\n";

pub fn all() -> Vec<Host> {
    vec![initramfs(), ramfs(), disk(), read_only(), small(), clock(), arm(), oldest()]
}

/// A board that boots a kernel and an initramfs and stays in it: nothing is mounted but /proc,
/// /sys and /dev.
fn initramfs() -> Host {
    Host {
        name: "a",
        about: "initramfs, rootfs on tmpfs, nothing mounted",
        suite: BOOKWORM,
        memory_megabytes: 256,
        root: Root::Initramfs,
        command_line: "",
        disks: &[],
        set_up: "",
        checks: [
            basics(),
            networks(),
            vec![
                check(
                    "cgroups get mounted",
                    "grep -c ' /sys/fs/cgroup cgroup2 ' /proc/mounts",
                    "1",
                ),
                check(
                    "no overlayfs",
                    "rmmod overlay
                     mydocker run --rm --net none bb true; echo $?
                     insmod /modules/overlay.ko
                     mydocker run --rm --net none bb true; echo $?",
                    "mydocker: *this kernel has no overlayfs*
                     125
                     0",
                ),
            ],
            limits(),
            // A tmpfs can map owners since Linux 6.3.
            no_user_namespaces(),
        ]
        .concat(),
    }
}

/// The same, and no cgroups at all.
fn ramfs() -> Host {
    Host {
        name: "ar",
        about: "initramfs, rootfs on ramfs, no cgroups",
        command_line: "rootfstype=ramfs",
        // Nowhere to mount them.
        set_up: "mount -t tmpfs -o mode=555 none /sys/fs
                 mydocker images >/mydocker.said 2>&1
                 mydocker run --rm hello >>/mydocker.said 2>&1\n",
        checks: [
            vec![check(
                "what is missing is said once",
                "grep ^mydocker: /mydocker.said; mydocker run --rm hello 2>&1 | grep -c ^mydocker:
                 test $? = 1",
                "mydocker: /var/lib/mydocker/containers is on a ramfs, *in memory*
                 mydocker: containers run without limits: *no /sys/fs/cgroup
                 0",
            )],
            basics(),
            vec![
                check(
                    "a limit is refused",
                    "mydocker run --rm --net none -m 32m bb true; echo $?",
                    "mydocker: *--memory can't be applied*
                     125",
                ),
                check(
                    "devices without cgroups",
                    "mydocker run --rm --net none bb mknod /tmp/disk b 254 0; echo $?
                     mydocker run --rm --net none bb head -c 4 /dev/zero | wc -c
                     mydocker run --net none -d --name c bb sleep 1000 >/dev/null
                     mydocker exec c mknod /tmp/disk b 254 0; echo $?
                     mydocker rm -f c",
                    "mknod: /tmp/disk: Operation not permitted
                     1
                     4
                     mknod: /tmp/disk: Operation not permitted
                     1
                     c",
                ),
            ],
        ]
        .concat(),
        ..initramfs()
    }
}

/// A server.
fn disk() -> Host {
    Host {
        name: "b",
        about: "ext4 disk, pure cgroup v2",
        suite: BOOKWORM,
        memory_megabytes: 256,
        root: Root::Ext4 { megabytes: 256 },
        command_line: "",
        disks: &[],
        set_up: USUAL,
        checks: [basics(), limits(), networks(), user_namespaces(), wear()].concat(),
    }
}

/// An appliance.
fn read_only() -> Host {
    Host {
        name: "c",
        about: "read-only squashfs root, state on ext4, f2fs, vfat",
        suite: BOOKWORM,
        memory_megabytes: 256,
        root: Root::Squashfs,
        command_line: "",
        disks: &[
            Disk { make: EXT4, megabytes: 64 },
            Disk { make: F2FS, megabytes: 64 },
            Disk { make: VFAT, megabytes: 32 },
        ],
        set_up: "mount -t tmpfs -o mode=755 run /run
                 mount -t cgroup2 cgroup2 /sys/fs/cgroup
                 mount -t tmpfs mnt /mnt
                 mkdir /mnt/ext4 /mnt/f2fs /mnt/vfat
                 mount -t ext4 /dev/vdb /mnt/ext4
                 mount -t f2fs /dev/vdc /mnt/f2fs
                 mount -t vfat /dev/vdd /mnt/vfat
                 export MYDOCKER_ROOT=/mnt/ext4/mydocker\n",
        checks: [
            basics(),
            vec![
                check(
                    "state on f2fs",
                    "export MYDOCKER_ROOT=/mnt/f2fs/mydocker
                     mydocker import /share/bb.tar bb >/dev/null
                     mydocker run --net none --name c bb sh -c 'rm -r /tmp; mkdir /tmp; echo hi'
                     mydocker start -a c; mydocker rm c",
                    "hi
                     hi
                     c",
                ),
                check(
                    "state on vfat refused",
                    "mydocker --root /mnt/vfat/mydocker run --rm hello; echo $?
                     ls /mnt/vfat",
                    "mydocker: /mnt/vfat/mydocker: *vfat*
                     125",
                ),
                check(
                    "no writable state",
                    "mydocker --root /var/lib/mydocker run --rm hello; echo $?",
                    "mydocker: *Read-only file system*
                     125",
                ),
            ],
        ]
        .concat(),
    }
}

/// A board with little memory. Debian's kernel, made for everything, keeps near to 60 MB for
/// itself where a board's own keeps a few, so that is added.
fn small() -> Host {
    Host {
        name: "d",
        about: "64 MB of memory",
        suite: BOOKWORM,
        memory_megabytes: 112,
        root: Root::Ext4 { megabytes: 384 },
        command_line: "",
        disks: &[],
        set_up: USUAL,
        checks: [
            basics(),
            vec![check(
                "memory of an import",
                "echo measured: $(grep MemTotal /proc/meminfo), of which free: $(grep MemAvailable /proc/meminfo)
                 # 48 MB of files, more than there is memory for.
                 mkdir -p /big && cd /big
                 for n in 1 2 3 4 5 6; do head -c 8000000 /dev/urandom >file$n; done
                 tar -czf /big.tar.gz . && cd / && rm -r /big && sync
                 time -f '%M' -o /peak mydocker import /big.tar.gz big >/dev/null
                 echo measured: peak of the import: $(cat /peak) kB
                 mydocker run --rm --net none -v /bin/busybox:/bin/busybox big /bin/busybox ls | grep -c file
                 test $(cat /peak) -lt 24000",
                "measured: *
                 measured: *
                 6",
            )],
        ]
        .concat(),
    }
}

/// A board without a clock: it wakes up in 1970.
fn clock() -> Host {
    Host {
        name: "e",
        about: "clock at 1970",
        suite: BOOKWORM,
        memory_megabytes: 256,
        root: Root::Ext4 { megabytes: 128 },
        command_line: "",
        disks: &[],
        set_up: "mount -t tmpfs -o mode=755 run /run
                 mount -t cgroup2 cgroup2 /sys/fs/cgroup
                 date -s @1000 >/dev/null\n",
        checks: [
            basics(),
            vec![check(
                "ages and times",
                "mydocker run -d --net none --name old bb sh -c 'echo hi; sleep 1000' >/dev/null
                 mydocker ps | grep -c 'ago *Up .* second'
                 mydocker logs -t old
                 # The network has brought the time meanwhile.
                 date -s 2026-11-21 >/dev/null
                 mydocker ps | grep -o '5. years ago *Up .* years'
                 mydocker logs --since 1h old
                 mydocker stop -t 0 old
                 # And it is lost again: what was made is yet to be made.
                 date -s @9000 >/dev/null
                 mydocker run --net none --name early bb true
                 date -s @5000 >/dev/null
                 mydocker ps -a | grep -c early
                 mydocker rm old early",
                "1
                 1970-01-01T00:*Z hi
                 5* years ago*Up 5* years
                 old
                 1
                 old
                 early",
            )],
        ]
        .concat(),
    }
}

fn arm() -> Host {
    Host {
        name: "f",
        about: "aarch64, initramfs, cgroup v2",
        suite: BOOKWORM_ARM,
        memory_megabytes: 256,
        root: Root::Initramfs,
        command_line: "",
        disks: &[],
        set_up: USUAL,
        // The harness, whose part that one is, is built for this machine only.
        checks: [basics(), networks()]
            .concat()
            .into_iter()
            .filter(|check| !check.name.contains("chroot"))
            .collect(),
    }
}

fn oldest() -> Host {
    Host {
        name: "g",
        about: "Linux 5.10, ext4 disk, cgroup v2",
        suite: BULLSEYE,
        memory_megabytes: 256,
        root: Root::Ext4 { megabytes: 256 },
        command_line: "",
        disks: &[],
        set_up: USUAL,
        checks: [basics(), limits(), networks(), no_user_namespaces()].concat(),
    }
}
