//! The hosts and their checks.
//!
//! Each host differs from a usual server in a few respects, such as its init, its file systems, its
//! cgroups, or the lack of iptables. `host.rs` makes the guest. Some checks for a single host are
//! here; the other checks are in files of their own.

use crate::boot::{before_reboot, boots_networks, reboot, restarts};
use crate::checks::{
    basics, check, direct_networks, engines_by_systemd, labels_and_rdma, limits, networks,
    no_user_namespaces, oci, oci_by_systemd, selinux, services, user_namespaces, wear,
};
use crate::compose;
use crate::debian::{BOOKWORM, BOOKWORM_ARM, BULLSEYE};
use crate::host::{Check, Disk, Host, Root};
use crate::images::images;
use crate::ports::ports;
use crate::quotas::quotas;

const EXT4: &[&str] = &["mke2fs", "-q", "-F", "-t", "ext4"];
/// ext4 that can enforce project quotas.
const EXT4_QUOTAS: &[&str] =
    &["mke2fs", "-q", "-F", "-t", "ext4", "-O", "quota,project", "-E", "quotatype=prjquota"];
const XFS: &[&str] = &["mkfs.xfs", "-q", "-f"];
const F2FS: &[&str] = &["mkfs.f2fs", "-q", "-f"];
const VFAT: &[&str] = &["mkfs.vfat"];

/// Mounts of most hosts: a volatile /run, and cgroup v2 where systemd mounts it.
const USUAL: &str = "mount -t tmpfs -o mode=755 run /run
                     mount -t cgroup2 cgroup2 /sys/fs/cgroup\n";

pub fn all() -> Vec<Host> {
    vec![
        initramfs(),
        ramfs(),
        disk(),
        read_only(),
        small(),
        clock(),
        arm(),
        oldest(),
        systemd(),
        disks_with_quotas(),
        oldest_with_quotas(),
    ]
}

/// The defaults of the hosts; each host changes some of them.
pub fn plain() -> Host {
    Host {
        name: "",
        about: "",
        suite: BOOKWORM,
        memory_megabytes: 256,
        root: Root::Initramfs,
        command_line: "",
        disks: &[],
        big_megabytes: 0,
        set_up: USUAL,
        environment: "",
        checks: Vec::new(),
        checks_after_reboot: Vec::new(),
    }
}

/// The checks for most hosts.
fn life() -> Vec<Check> {
    [basics(), images(), restarts()].concat()
}

/// The checks for hosts with networks.
fn networking() -> Vec<Check> {
    [networks(), direct_networks(), ports(), boots_networks(), compose::compose()].concat()
}

/// A board that boots a kernel and an initramfs and stays in the initramfs. Besides the harness's
/// /share, only /proc, /sys and /dev are mounted.
fn initramfs() -> Host {
    Host {
        name: "a",
        about: "initramfs, rootfs on tmpfs, nothing mounted",
        set_up: "",
        checks: [
            life(),
            networking(),
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
            oci(),
            // The kernel is Linux 6.1, and a tmpfs supports ID-mapped mounts since Linux 6.3.
            no_user_namespaces(),
        ]
        .concat(),
        ..plain()
    }
}

/// A board like that of `initramfs`, but on a ramfs and without cgroups.
fn ramfs() -> Host {
    Host {
        name: "ar",
        about: "initramfs, rootfs on ramfs, no cgroups",
        command_line: "rootfstype=ramfs",
        // This mount hides the directory on which cgroups are mounted.
        set_up: "mount -t tmpfs -o mode=555 none /sys/fs
                 mydocker images >/mydocker.said 2>&1
                 mydocker run --rm --net none hello >>/mydocker.said 2>&1\n",
        checks: [
            vec![check(
                "what is missing is said once",
                "grep ^mydocker: /mydocker.said; mydocker run --rm --net none hello 2>&1 | grep -c ^mydocker:
                 test $? = 1",
                "mydocker: /var/lib/mydocker/containers is on a ramfs, *in memory*
                 mydocker: containers run without limits: *no /sys/fs/cgroup
                 0",
            )],
            life(),
            vec![
                check(
                    "OCI runtime without cgroups",
                    "mkdir -p /tmp/bundle/rootfs; tar -xf /share/bb.tar -C /tmp/bundle/rootfs; cd /tmp/bundle
                     mydocker oci spec
                     sed -i 's/\"terminal\": true/\"terminal\": false/; s/\\[\"sh\"]/[\"sleep\", \"1000\"]/' config.json
                     mydocker oci create c </dev/null >/said 2>&1; cat /said
                     mydocker oci start c; mydocker oci exec c sh -c 'echo inside; exit 3'; echo $?
                     mydocker oci delete --force c
                     sed -i 's/\"resources\": {/&\"pids\":{\"limit\":17},/' config.json
                     mydocker oci run c; echo $?
                     mydocker oci list -q; rm -r /tmp/bundle",
                    "mydocker-runtime: containers run without limits: *no /sys/fs/cgroup
                     inside
                     3
                     mydocker-runtime: *linux.resources.pids.limit can't be applied*
                     1",
                ),
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
        root: Root::Ext4 { megabytes: 256 },
        checks_after_reboot: [compose::reboot(), reboot()].concat(),
        checks: [
            life(),
            limits(),
            networking(),
            user_namespaces(),
            oci(),
            wear(),
            compose::before_reboot(),
            before_reboot(),
        ]
        .concat(),
        ..plain()
    }
}

/// An appliance.
fn read_only() -> Host {
    Host {
        name: "c",
        about: "read-only squashfs root, state on ext4, f2fs, vfat",
        root: Root::Squashfs,
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
                 mount -t vfat /dev/vdd /mnt/vfat\n",
        environment: "export MYDOCKER_ROOT=/mnt/ext4/mydocker\n",
        checks: [
            life(),
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
        ..plain()
    }
}

/// A board with little memory. Debian's kernel itself uses about 50 MB; a kernel built for a board
/// uses a few MB. So less than 64 MB are left for programs and the page cache. The memory check
/// prints how much.
fn small() -> Host {
    Host {
        name: "d",
        about: "less than 64 MB of memory besides the kernel's",
        memory_megabytes: 96,
        root: Root::Ext4 { megabytes: 384 },
        big_megabytes: 48,
        checks: [
            life(),
            vec![check(
                "memory of a pull and an import",
                "total() { awk '/^MemTotal/ { print $2 }' /proc/meminfo; }
                 free() { awk '/^MemAvailable/ { print $2 }' /proc/meminfo; }
                 peak() { cat /sys/fs/cgroup/$1/memory.peak 2>/dev/null || echo unknown; }
                 echo measured: $(total) kB besides the kernel, $(free) kB of it free
                 test $(total) -lt 65536; echo under 64 MB: $?
                 # 50 MB of files: about all that is free.
                 time -f %M -o /peak mydocker pull -q 127.0.0.1:5000/big
                 echo measured: peak of the pull: $(cat /peak) kB
                 test $(cat /peak) -lt 24000; echo $?
                 mydocker run --rm --net none 127.0.0.1:5000/big sh -c 'cat /etc/noise* | wc -c'
                 mydocker rmi 127.0.0.1:5000/big >/dev/null
                 time -f %M -o /peak mydocker import /share/big.tar big >/dev/null
                 echo measured: peak of the import: $(cat /peak) kB
                 test $(cat /peak) -lt 24000; echo $?
                 mydocker rmi big >/dev/null",
                "measured: *
                 under 64 MB: 0
                 127.0.0.1:5000/big:latest
                 measured: *
                 0
                 50331648
                 measured: *
                 0",
            )],
        ]
        .concat(),
        ..plain()
    }
}

/// A board without a clock, which boots in 1970.
fn clock() -> Host {
    Host {
        name: "e",
        about: "clock at 1970, SELinux",
        // Podman needs a root of Debian's packages, and more memory.
        root: Root::Systemd { megabytes: 1280 },
        memory_megabytes: 1024,
        command_line: "systemd.unit=agent.service systemd.show_status=false security=selinux selinux=1",
        set_up: "date -s @1000 >/dev/null\n",
        checks: [
            basics(),
            vec![
                check(
                    "TLS at 1970",
                    "/share/tls >/run/tls & tls=$!
                     until grep -q listening /run/tls; do sleep 0.2; done
                     pull() { mydocker pull -q --cacert /share/tls.crt 127.0.0.1:5443/bb; }
                     now=$(date +%s)
                     pull; echo $?
                     date -s @$(stat -c %Y /share/tls.crt) >/dev/null; sleep 2
                     pull
                     mydocker run --rm --net none 127.0.0.1:5443/bb echo over TLS
                     mydocker rmi 127.0.0.1:5443/bb >/dev/null
                     date -s @$now >/dev/null
                     kill $tls",
                    "mydocker: *not yet valid*clock says 1970*
                     1
                     127.0.0.1:5443/bb:latest
                     over TLS",
                ),
                check(
                "ages and times",
                "mydocker run -d --net none --name old bb sh -c 'echo hi; sleep 1000' >/dev/null
                 mydocker ps | grep -c 'ago *Up .* second'
                 mydocker logs -t old
                 # By now the network has brought the time.
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
            selinux(),
        ]
        .concat(),
        ..plain()
    }
}

fn arm() -> Host {
    Host {
        name: "f",
        about: "aarch64, initramfs, cgroup v2",
        suite: BOOKWORM_ARM,
        // The check with chroot needs a tool that is built for this machine only.
        checks: [life(), networking()]
            .concat()
            .into_iter()
            .filter(|check| !check.name.contains("chroot"))
            .collect(),
        ..plain()
    }
}

fn oldest() -> Host {
    Host {
        name: "g",
        about: "Linux 5.10, ext4 disk, cgroup v2",
        suite: BULLSEYE,
        root: Root::Ext4 { megabytes: 256 },
        checks: [life(), limits(), networking(), no_user_namespaces()]
            .concat()
            // This release's busybox can't move an interface to another network namespace.
            .into_iter()
            .filter(|check| check.name != "another machine")
            .collect(),
        ..plain()
    }
}

/// A server with two disks that can enforce project quotas, and one disk that can't.
fn disks_with_quotas() -> Host {
    Host {
        name: "i",
        about: "ext4 and XFS with quotas of projects",
        disks: &[
            Disk { make: EXT4_QUOTAS, megabytes: 64 },
            Disk { make: XFS, megabytes: 320 },
            Disk { make: EXT4, megabytes: 16 },
        ],
        checks: quotas(),
        ..plain()
    }
}

/// As `disks_with_quotas`, with a kernel that lacks quotactl_fd(2).
fn oldest_with_quotas() -> Host {
    Host {
        name: "j",
        about: "Linux 5.10, ext4 and XFS with quotas of projects",
        suite: BULLSEYE,
        ..disks_with_quotas()
    }
}

/// A present-day server: a real systemd makes the cgroups that engines request with
/// `--systemd-cgroup`.
fn systemd() -> Host {
    Host {
        name: "h",
        about: "systemd as PID 1, ext4 disk, cgroup v2",
        root: Root::Systemd { megabytes: 1280 },
        // The engines need more memory.
        memory_megabytes: 1024,
        command_line: "systemd.unit=agent.service systemd.show_status=false",
        // systemd has already made the mounts that `set_up` makes on other hosts.
        set_up: "",
        checks: [basics(), oci_by_systemd(), labels_and_rdma(), engines_by_systemd(), services()]
            .concat(),
        ..plain()
    }
}
