//! Finds where this host mounts its cgroup controllers: in v1 hierarchies, in the v2 hierarchy, or
//! some in each (hybrid).
//!
//! /proc/self/mountinfo lists the mounts (cgroups(7), proc_pid_mountinfo(5)). The kernel version
//! does not determine them. If no cgroups are mounted, as on a bare initramfs, this file mounts
//! cgroup v2. The modules `v1` and `v2` name the controllers' files.

use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use linux_raw_sys::general::{CGROUP2_SUPER_MAGIC, TMPFS_MAGIC};
use rustix::fs::{CWD, Mode, OFlags, StatFs, fstatfs, openat, statfs};
use rustix::io::Errno;
use rustix::mount::{MountFlags, mount};
use rustix::process::{Pid, fchdir};

use crate::error::{Context, Error, Result, fail};
use crate::runtime::propagation;
use crate::store::{self, Durability};
use crate::sys;

/// The usual mount point of cgroup v2. v1 hierarchies are usually mounted below this directory.
const PLACE: &str = "/sys/fs/cgroup";
/// The largest number of processes that `adopt` looks at: this process and its ancestors.
const MAX_ANCESTORS: usize = 64;

/// The v1 controllers that are recognised among a hierarchy's mount options.
pub const CONTROLLERS: [&str; 13] = [
    "memory",
    "cpu",
    "cpuacct",
    "cpuset",
    "pids",
    "blkio",
    "devices",
    "freezer",
    "hugetlb",
    "net_cls",
    "net_prio",
    "perf_event",
    "rdma",
];

/// The cgroup hierarchies of this host.
#[derive(Debug, Default)]
pub struct Layout {
    pub v1: Vec<Hierarchy>,
    /// The v1 hierarchies without a controller, which only have a name (`name=systemd`).
    pub named: Vec<Hierarchy>,
    pub v2: Option<Unified>,
}

/// A v1 hierarchy and the controllers mounted together in it. For a hierarchy without a controller,
/// `controllers` has its name instead (`name=systemd`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hierarchy {
    pub mount: PathBuf,
    pub controllers: Vec<String>,
}

/// The cgroup v2 hierarchy.
#[derive(Debug, PartialEq, Eq)]
pub struct Unified {
    pub mount: PathBuf,
    /// The controllers in `cgroup.controllers` of the cgroup at the mount point.
    pub controllers: Vec<String>,
}

impl Layout {
    /// Returns the host's hierarchies. Reads the mounts at the first call. If neither v1
    /// controllers nor cgroup v2 are mounted, returns no hierarchy, and the next call reads the
    /// mounts again. Fails if /proc/self/mountinfo or `cgroup.controllers` cannot be read.
    pub fn detect() -> Result<&'static Layout> {
        static KNOWN: OnceLock<Layout> = OnceLock::new();
        static NONE: Layout = Layout { v1: Vec::new(), named: Vec::new(), v2: None };
        if let Some(known) = KNOWN.get() {
            return Ok(known);
        }
        let found = Layout::read()?;
        if found.v1.is_empty() && found.v2.is_none() {
            return Ok(&NONE);
        }
        Ok(KNOWN.get_or_init(|| found))
    }

    /// Reads the mounts of this process and the controllers of cgroup v2.
    fn read() -> Result<Layout> {
        let mut layout = parse(&propagation::mountinfo()?);
        if let Some(unified) = &mut layout.v2 {
            let path = unified.mount.join("cgroup.controllers");
            let names =
                std::fs::read_to_string(&path).context(|| format!("read {}", path.display()))?;
            unified.controllers = names.split_whitespace().map(str::to_owned).collect();
        }
        Ok(layout)
    }

    /// The v1 hierarchy that holds `controller`.
    pub fn v1_with(&self, controller: &str) -> Option<&Hierarchy> {
        self.v1.iter().find(|hierarchy| hierarchy.controllers.iter().any(|name| name == controller))
    }

    /// Whether the v2 hierarchy offers `controller`.
    pub fn v2_has(&self, controller: &str) -> bool {
        let unified = self.v2.as_ref();
        unified.is_some_and(|unified| unified.controllers.iter().any(|name| name == controller))
    }
}

/// Mounts cgroup v2 on a host without mounted cgroups. If the mount fails, calls `warn` with the
/// reason and creates a file in the directory `run`. While this file exists, `warn` is not called
/// again. Without cgroups, the start of a container with a limit fails, and other containers run.
/// Fails if the file cannot be created.
pub fn find_or_warn(run: &Path, warn: impl FnOnce(Error)) -> Result<()> {
    let Err(reason) = mount_missing() else { return Ok(()) };
    let mark = run.join(".without-cgroups");
    if !mark.exists() {
        warn(reason);
        store::replace(&mark, b"", Durability::Lazy)?;
    }
    Ok(())
}

/// If /sys/fs/cgroup has no cgroups in this mount namespace, mounts on it a copy of the cgroups of
/// the nearest ancestor process in another mount namespace. For example, `ip netns exec` mounts a
/// new /sys without cgroups. The state of a running container has the paths of its cgroups, which
/// must stay valid. `find_or_warn` would mount cgroup v2, which may lack the controllers of the
/// containers' limits. Fails if this process cannot return to its mount namespace.
pub fn adopt() -> Result<()> {
    if statfs(PLACE).is_ok_and(|found| holds_cgroups(&found)) {
        return Ok(());
    }
    let namespace =
        |pid: Pid| std::fs::read_link(format!("/proc/{}/ns/mnt", pid.as_raw_nonzero())).ok();
    let me = rustix::process::getpid();
    let own = namespace(me);
    // Do nothing without /proc, or in a chroot, where /sys/fs/cgroup is another directory than in
    // the rest of the mount namespace.
    if own.is_none() || std::fs::read_link("/proc/self/root").ok().as_deref() != Some("/".as_ref())
    {
        return Ok(());
    }
    let mut ancestors =
        std::iter::successors(Some(me), |pid| sys::process::parent(*pid)).take(MAX_ANCESTORS);
    if let Some(pid) = ancestors.find(|pid| namespace(*pid).is_some_and(|of| Some(of) != own)) {
        // Ignore an error: before a container starts, `find_or_warn` mounts cgroup v2, or reports
        // why that is impossible.
        let _ = adopt_from(pid);
    }
    if namespace(me) != own {
        fail!("cannot return to the mount namespace");
    }
    Ok(())
}

fn adopt_from(pid: Pid) -> Result<()> {
    let open = |path: &str, flags| openat(CWD, path, flags | OFlags::CLOEXEC, Mode::empty());
    let theirs = open(&format!("/proc/{}/ns/mnt", pid.as_raw_nonzero()), OFlags::RDONLY)?;
    let here = open(".", OFlags::PATH)?;
    let copied = sys::mount::in_namespace(theirs.as_fd(), || {
        open(PLACE, OFlags::PATH).and_then(|place| sys::mount::copy_tree(place.as_fd(), true))
    });
    fchdir(&here)?;
    let tree = copied??;
    if holds_cgroups(&fstatfs(&tree)?) {
        sys::mount::attach(tree.as_fd(), open(PLACE, OFlags::PATH)?.as_fd())?;
    }
    Ok(())
}

/// Whether the file system on /sys/fs/cgroup means that cgroups are mounted: cgroup v2, or a tmpfs.
/// Hosts mount v1 hierarchies below a tmpfs. The mounts below the tmpfs are not checked.
fn holds_cgroups(found: &StatFs) -> bool {
    [CGROUP2_SUPER_MAGIC, TMPFS_MAGIC].contains(&(found.f_type as u32))
}

/// Mounts cgroup v2 on /sys/fs/cgroup if neither v1 controllers nor cgroup v2 are mounted.
fn mount_missing() -> Result<()> {
    // One statfs(2) shows that cgroups are mounted, as they are on nearly every host.
    if statfs(PLACE).is_ok_and(|found| holds_cgroups(&found)) {
        return Ok(());
    }
    let layout = Layout::detect()?;
    if !layout.v1.is_empty() || layout.v2.is_some() {
        return Ok(());
    }
    let flags = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
    match mount("cgroup2", PLACE, "cgroup2", flags, c"") {
        Ok(()) => Ok(()),
        Err(Errno::NODEV) => fail!("this kernel has no cgroups (CONFIG_CGROUPS)"),
        Err(Errno::NOENT) => fail!("cgroups are not mounted and there is no {PLACE}"),
        Err(error) => Err(error).context(|| format!("mount cgroup2 on {PLACE}")),
    }
}

fn parse(mountinfo: &str) -> Layout {
    let mut layout = Layout::default();
    for line in mountinfo.lines() {
        let Some((left, right)) = line.split_once(" - ") else { continue };
        let mut right = right.split(' ');
        let (kind, options) = (right.next().unwrap_or(""), right.nth(1).unwrap_or(""));
        if kind != "cgroup" && kind != "cgroup2" {
            continue;
        }
        let Some(mount) = left.split(' ').nth(4) else { continue };
        let mount = Path::new(mount).to_owned();
        if kind == "cgroup2" {
            layout.v2.get_or_insert(Unified { mount, controllers: Vec::new() });
            continue;
        }
        let controllers: Vec<String> = options
            .split(',')
            .filter(|option| CONTROLLERS.contains(option))
            .map(str::to_owned)
            .collect();
        let named = options.split(',').find(|option| option.starts_with("name="));
        if let (Some(name), true) = (named, controllers.is_empty()) {
            let controllers = vec![name.to_owned()];
            if layout.named.iter().all(|known| known.controllers != controllers) {
                layout.named.push(Hierarchy { mount, controllers });
            }
            continue;
        }
        // Keep only the first mount of a hierarchy, which is usually the host's own. Further mounts
        // show the same hierarchy or a part of it.
        if controllers.first().is_some_and(|first| layout.v1_with(first).is_none()) {
            layout.v1.push(Hierarchy { mount, controllers });
        }
    }
    layout
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_hybrid_and_joint_mounts() {
        let layout = parse(
            "25 20 0:22 / /sys/fs/cgroup ro - tmpfs tmpfs ro,mode=755\n\
             26 25 0:23 / /sys/fs/cgroup/unified rw shared:9 - cgroup2 cgroup2 rw\n\
             27 25 0:24 / /sys/fs/cgroup/systemd rw - cgroup cgroup rw,name=systemd\n\
             28 25 0:25 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct\n\
             29 25 0:26 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n\
             90 25 0:26 /x /mnt/memory rw - cgroup cgroup rw,memory\n",
        );
        assert_eq!(layout.v1.len(), 2);
        assert_eq!(layout.named[0].controllers, ["name=systemd"]);
        assert_eq!(layout.v1_with("cpuacct").unwrap().controllers, ["cpu", "cpuacct"]);
        assert_eq!(layout.v1_with("memory").unwrap().mount, Path::new("/sys/fs/cgroup/memory"));
        let unified = parse("30 20 0:27 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw,nsdelegate\n");
        assert!(unified.v1.is_empty() && unified.v2.is_some());
    }
}
