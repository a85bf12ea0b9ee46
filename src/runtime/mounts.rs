//! Everything that is mounted inside the root, in order: /proc, /sys, /dev and its children, the
//! user's mounts, then what is hidden or made read-only.
//!
//! Every target is resolved inside the root by descriptor (`sys::beneath`), every file system is
//! made detached and attached by descriptor (`sys::mount`): an image or a running container that
//! swaps a directory for a link finds no moment in which that leads outside (CVE-2021-30465,
//! CVE-2025-31133, CVE-2025-52565).

use std::ffi::CStr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, Dir, FileType, Mode, OFlags, fstat, openat};
use rustix::io::Errno;
use rustix::mount::MountAttrFlags;
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use super::namespaces::Joined;
use super::spec::{IdMap, Mount, MountSource, Namespace, Propagation, Recursion, Root, Spec};
use super::user_namespace::map_owners;
use super::{copy_up, devices, process, propagation, rootfs};
use crate::error::{Context, Result, fail};
use crate::sys::trace::Traced;
use crate::sys::{self, beneath};

const NOSUID: MountAttrFlags = MountAttrFlags::MOUNT_ATTR_NOSUID;
const NODEV: MountAttrFlags = MountAttrFlags::MOUNT_ATTR_NODEV;
const NOEXEC: MountAttrFlags = MountAttrFlags::MOUNT_ATTR_NOEXEC;
const RDONLY: MountAttrFlags = MountAttrFlags::MOUNT_ATTR_RDONLY;

/// Hidden: they tell of the host, or act on it.
const MASKED: [&str; 13] = [
    "proc/acpi",
    "proc/asound",
    "proc/interrupts",
    "proc/kcore",
    "proc/keys",
    "proc/latency_stats",
    "proc/sched_debug",
    "proc/scsi",
    "proc/timer_list",
    "proc/timer_stats",
    "sys/devices/virtual/powercap",
    "sys/firmware",
    "sys/fs/selinux",
];

/// Readable, but nothing that a container may set.
const READ_ONLY: [&str; 5] = ["proc/bus", "proc/fs", "proc/irq", "proc/sys", "proc/sysrq-trigger"];

/// Pseudo-terminals that one container may have open. The kernel keeps one count for all of the host
/// (/proc/sys/kernel/pty/max, 4096): without a share of its own, one container takes the terminals of
/// all others.
const MAX_TERMINALS: &str = "256";

/// The group of terminals, in nearly every image.
const TTY: u32 = 5;

/// The directory modes of mount points that an image lacks.
const DIRECTORY: Mode = Mode::from_raw_mode(0o755);

/// The kernel's file systems, mounted nowhere yet.
pub struct Fresh {
    proc: OwnedFd,
    sys: OwnedFd,
}

impl Fresh {
    /// Those of the caller's PID and network namespaces.
    pub fn make() -> Result<Fresh> {
        let make = |kind| kernel_filesystem(kind, &[], NOSUID | NODEV | NOEXEC);
        Ok(Fresh { proc: make(c"proc")?, sys: make(c"sysfs")? })
    }
}

/// Mounts all that needs no cgroup: `root` is the handle of the assembled root. Device nodes in what
/// the user mounts work only with `open_devices`.
pub fn mount_all(
    root: BorrowedFd<'_>,
    fresh: Fresh,
    spec: &Spec,
    joined: &Joined,
    open_devices: bool,
    shared: Vec<OwnedFd>,
) -> Result<()> {
    attach_plainly(root, "proc", fresh.proc.as_fd())?;
    write_sysctls(root, spec)?;
    attach_plainly(root, "sys", fresh.sys.as_fd())?;
    if !spec.privileged {
        sys::mount::add_attributes(fresh.sys.as_fd(), RDONLY, false)
            .context(|| "make /sys read-only")?;
    }
    dev(root, spec, joined)?;
    let mut shared = shared.into_iter();
    if spec.propagates() {
        // All but the mounts that are to propagate, one by one: `make_root` does it otherwise.
        sys::mount::make_private(root).context(|| "make the container's mounts private")?;
    }
    for mount in &spec.mounts {
        let shared = match mount.propagation {
            Propagation::Shared => shared.next(),
            _ => None,
        };
        user_mount(root, spec, mount, joined.user(), open_devices, shared)
            .traced("move_mount", || describe(mount))
            .context(|| format!("mount on {} in the container", mount.target.display()))?;
    }
    if spec.hidden_paths {
        hide(root).traced("move_mount", || "hide and lock parts of /proc and /sys".to_owned())?;
    }
    if spec.root_read_only {
        // It may lack the working directory, which nobody can make after this. A directory of the
        // user's is not written to.
        if matches!(spec.root, Root::Overlay { .. }) {
            process::make_working_directory(root, &spec.process.cwd)?;
        }
        sys::mount::add_attributes(root, RDONLY, false)
            .context(|| "make the container's root read-only")?;
    }
    Ok(())
}

/// A mount of the user's, for the log of `--debug`.
fn describe(mount: &Mount) -> String {
    let source = match &mount.source {
        MountSource::Tmpfs { options } => format!("tmpfs ({options})"),
        MountSource::Image { layers } => format!("{} layers of an image", layers.len()),
        MountSource::Bind(source) => source.display().to_string(),
    };
    let mode = if mount.read_only { ", read-only" } else { "" };
    format!("{} from {source}{mode}", mount.target.display())
}

fn kernel_filesystem(
    kind: &CStr,
    options: &[(&str, &str)],
    attributes: MountAttrFlags,
) -> Result<OwnedFd> {
    sys::mount::filesystem(kind, options, attributes)
        .context(|| format!("make a {} file system", kind.to_string_lossy()))
}

/// A fresh kernel file system on a directory that must be no link: an image whose /proc leads
/// elsewhere is refused (CVE-2019-16884 and kin).
fn mount_kernel_filesystem(
    root: BorrowedFd<'_>,
    target: &str,
    kind: &CStr,
    options: &[(&str, &str)],
    attributes: MountAttrFlags,
) -> Result<()> {
    let tree = kernel_filesystem(kind, options, attributes)?;
    attach_plainly(root, target, tree.as_fd())
}

/// Attaches `tree` to the directory `target`, made if missing; no link may stand in its path.
fn attach_plainly(root: BorrowedFd<'_>, target: &str, tree: BorrowedFd<'_>) -> Result<()> {
    let path = Path::new(target);
    let flags = OFlags::PATH | OFlags::DIRECTORY;
    let directory = match beneath::open_without_links(root, path, flags, Mode::empty()) {
        Err(Errno::NOENT) => beneath::make_dirs(root, path, DIRECTORY)
            .and_then(|_| beneath::open_without_links(root, path, flags, Mode::empty())),
        Err(Errno::LOOP) => fail!("the image's /{target} is a symbolic link; refused"),
        result => result,
    };
    let directory = directory.context(|| format!("open /{target} in the container"))?;
    sys::mount::attach(tree, directory.as_fd())
        .traced("move_mount", || format!("/{target}"))
        .context(|| format!("mount /{target}"))
}

/// /dev and what stands on it. The nodes are made while the file system is still detached, where
/// no process but this one can reach it.
fn dev(root: BorrowedFd<'_>, spec: &Spec, joined: &Joined) -> Result<()> {
    let options = [("mode", "755"), ("size", "65536k")];
    let dev = sys::mount::filesystem(c"tmpfs", &options, NOSUID | NOEXEC)
        .context(|| "make the file system for /dev")?;
    devices::populate(dev.as_fd(), spec)?;
    attach_plainly(root, "dev", dev.as_fd())?;
    // The group tty.
    let gid = spec.ids.and_then(|ids| ids.host_gid(TTY)).unwrap_or(TTY).to_string();
    let options =
        [("mode", "0620"), ("ptmxmode", "0666"), ("gid", gid.as_str()), ("max", MAX_TERMINALS)];
    mount_kernel_filesystem(root, "dev/pts", c"devpts", &options, NOSUID | NOEXEC)?;
    match spec.namespaces.ipc {
        // `--ipc none`
        Namespace::Private if spec.shm_size == 0 => {}
        Namespace::Private => {
            let size = spec.shm_size.to_string();
            let options = [("mode", "1777"), ("size", size.as_str())];
            mount_kernel_filesystem(root, "dev/shm", c"tmpfs", &options, NOSUID | NODEV | NOEXEC)?;
        }
        Namespace::Host | Namespace::Of { .. } => {
            let shm = shared_memory_of(joined).context(|| "open the other /dev/shm")?;
            attach_plainly(root, "dev/shm", shm.as_fd())?;
        }
    }
    // It shows the queues of the IPC namespace that this process is in.
    match mount_kernel_filesystem(root, "dev/mqueue", c"mqueue", &[], NOSUID | NODEV | NOEXEC) {
        // A kernel without POSIX message queues has none to show.
        Err(error) if error.errno() == Some(Errno::NODEV) => Ok(()),
        result => result,
    }
}

/// A copy of the /dev/shm that belongs to the joined IPC namespace: a mount can only be copied from
/// inside its own mount namespace, which this process enters for that moment.
fn shared_memory_of(joined: &Joined) -> Result<OwnedFd> {
    let copy = || -> Result<OwnedFd> {
        let root = openat(CWD, "/", OFlags::PATH | OFlags::CLOEXEC, Mode::empty())?;
        let shm = beneath::handle(root.as_fd(), Path::new("/dev/shm"))?;
        Ok(sys::mount::copy_tree(shm.as_fd(), false)?)
    };
    let Some(theirs) = &joined.ipc_mounts else { return copy() };
    let ours = openat(CWD, "/proc/self/ns/mnt", OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?;
    move_into_link_name_space(theirs.as_fd(), Some(LinkNameSpaceType::Mount))?;
    let copied = copy();
    move_into_link_name_space(ours.as_fd(), Some(LinkNameSpaceType::Mount))?;
    copied
}

fn user_mount(
    root: BorrowedFd<'_>,
    spec: &Spec,
    mount: &Mount,
    user_namespace: Option<BorrowedFd<'_>>,
    open_devices: bool,
    shared: Option<OwnedFd>,
) -> Result<()> {
    let user_namespace = user_namespace.filter(|_| mount.mapped);
    let (tree, is_directory) = match &mount.source {
        MountSource::Tmpfs { options } => (tmpfs(options, spec.ids.as_ref())?, true),
        MountSource::Image { layers } => image(layers, &spec.mount_point, mount)?,
        MountSource::Bind(source) => {
            if mount.copy_up {
                copy_up::fill(root, &mount.target, source, user_namespace)?;
            }
            let handle = open_source(source, mount.subpath.as_deref())?;
            let kind = FileType::from_raw_mode(
                fstat(&handle).context(|| format!("stat {}", source.display()))?.st_mode,
            );
            if mount.propagation == Propagation::Slave {
                propagation::check_slave(&handle, source)?;
            }
            let tree = match shared {
                Some(tree) => tree,
                None => {
                    sys::mount::copy_tree(handle.as_fd(), mount.recursion != Recursion::Disabled)
                        .context(|| format!("copy the mount of {}", source.display()))?
                }
            };
            if let Some(user_namespace) = user_namespace {
                map_owners(tree.as_fd(), user_namespace, source)?;
            }
            (tree, kind == FileType::Directory)
        }
    };
    let target = if is_directory {
        beneath::make_dirs(root, &mount.target, DIRECTORY)
    } else {
        beneath::make_file(root, &mount.target, Mode::from_raw_mode(0o644))
    };
    let target = target.context(|| "make the mount point")?;
    refuse_kernel_filesystem(target.as_fd(), &mount.target)?;
    match sys::mount::attach(tree.as_fd(), target.as_fd()) {
        Err(Errno::NOTDIR) => {
            fail!("the source and the target must both be directories or both be files")
        }
        result => result?,
    }
    if spec.propagates() && mount.propagation == Propagation::Private {
        sys::mount::make_private(tree.as_fd()).context(|| "make it private")?;
    }
    if mount.read_only {
        let all = mount.recursion != Recursion::Writable;
        sys::mount::add_attributes(tree.as_fd(), RDONLY, all).context(|| "make it read-only")?;
    }
    if !open_devices {
        sys::mount::add_attributes(tree.as_fd(), NODEV, true).context(|| "shut its devices")?;
    }
    Ok(())
}

/// An image's files, or a part of them; whether that is a directory.
fn image(layers: &[PathBuf], mount_point: &Path, mount: &Mount) -> Result<(OwnedFd, bool)> {
    let tree = rootfs::layers_tree(layers, mount.subpath.as_deref(), mount_point)?;
    let stat = fstat(&tree).context(|| "look at an image's files")?;
    Ok((tree, FileType::from_raw_mode(stat.st_mode) == FileType::Directory))
}

/// A handle to a bind's source, or to a part of it: no link in a volume leads out of that.
pub fn open_source(source: &Path, subpath: Option<&Path>) -> Result<OwnedFd> {
    let handle = openat(CWD, source, OFlags::PATH | OFlags::CLOEXEC, Mode::empty())
        .context(|| format!("open {}", source.display()))?;
    match subpath {
        None => Ok(handle),
        Some(subpath) => beneath::handle(handle.as_fd(), subpath)
            .context(|| format!("open {} in {}", subpath.display(), source.display())),
    }
}

/// Nothing may be mounted over /proc or inside it, by whatever name: a file of the user's there
/// would be taken for the kernel's word (CVE-2019-16884, CVE-2023-27561).
fn refuse_kernel_filesystem(target: BorrowedFd<'_>, path: &Path) -> Result<()> {
    const PROC_SUPER_MAGIC: u64 = 0x9fa0;
    let stat = rustix::fs::fstatfs(target).context(|| "look at the mount point")?;
    if stat.f_type as u64 == PROC_SUPER_MAGIC {
        fail!("{} lies in /proc, where nothing may be mounted", path.display());
    }
    Ok(())
}

fn tmpfs(options: &str, ids: Option<&IdMap>) -> Result<OwnedFd> {
    let mut attributes = NOSUID | NODEV | NOEXEC;
    let mut parameters = Vec::new();
    // The kernel takes owners as the host counts them.
    let owners = options.split(',').filter_map(|option| {
        let (key, id) = option.split_once('=')?;
        let id = id.parse().ok()?;
        let id = match (key, ids) {
            ("uid", Some(ids)) => ids.host_uid(id),
            ("gid", Some(ids)) => ids.host_gid(id),
            _ => return None,
        };
        Some((key, id?.to_string()))
    });
    let owners: Vec<(&str, String)> = owners.collect();
    for option in options.split(',').filter(|option| !option.is_empty()) {
        match option {
            "ro" => attributes |= RDONLY,
            "exec" => attributes -= NOEXEC,
            "suid" => attributes -= NOSUID,
            "dev" => attributes -= NODEV,
            "rw" | "noexec" | "nosuid" | "nodev" => {}
            option => {
                let (key, value) = option.split_once('=').unwrap_or((option, ""));
                let owner = owners.iter().find(|(known, _)| *known == key);
                parameters.push((key, owner.map_or(value, |(_, id)| id)));
            }
        }
    }
    sys::mount::filesystem(c"tmpfs", &parameters, attributes)
        .context(|| format!("make a tmpfs with options '{options}'"))
}

/// Masks and read-only paths. All lie in file systems that were mounted fresh above, and no link
/// is followed on the way to them.
fn hide(root: BorrowedFd<'_>) -> Result<()> {
    let null = devices::open_null(root)?;
    let mut empty: Option<OwnedFd> = None;
    let throttles = thermal_throttles(root)?;
    for path in MASKED.into_iter().chain(throttles.iter().map(String::as_str)) {
        let Some(target) = existing(root, path)? else { continue };
        let stat = fstat(&target).context(|| format!("stat /{path}"))?;
        let cover = if FileType::from_raw_mode(stat.st_mode) == FileType::Directory {
            match &empty {
                Some(empty) => sys::mount::copy_tree(empty.as_fd(), false),
                None => sys::mount::filesystem(c"tmpfs", &[("size", "0")], RDONLY | NOSUID | NODEV),
            }
        } else {
            sys::mount::copy_tree(null.as_fd(), false)
        };
        let cover = cover.context(|| format!("mask /{path}"))?;
        sys::mount::attach(cover.as_fd(), target.as_fd()).context(|| format!("mask /{path}"))?;
        if FileType::from_raw_mode(stat.st_mode) == FileType::Directory && empty.is_none() {
            empty = Some(cover);
        }
    }
    for path in READ_ONLY {
        let Some(target) = existing(root, path)? else { continue };
        let tree = sys::mount::copy_tree(target.as_fd(), true)
            .context(|| format!("copy the mount of /{path}"))?;
        sys::mount::attach(tree.as_fd(), target.as_fd())
            .context(|| format!("mount /{path} over itself"))?;
        sys::mount::add_attributes(tree.as_fd(), RDONLY | NOSUID | NODEV | NOEXEC, true)
            .context(|| format!("make /{path} read-only"))?;
    }
    Ok(())
}

/// Each CPU's own: how hot it runs tells of the neighbours' work.
fn thermal_throttles(root: BorrowedFd<'_>) -> Result<Vec<String>> {
    const CPUS: &str = "sys/devices/system/cpu";
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let list = || -> Result<Vec<String>, Errno> {
        let directory = beneath::open_without_links(root, Path::new(CPUS), flags, Mode::empty())?;
        let mut paths = Vec::new();
        for entry in Dir::read_from(&directory)? {
            let name = entry?.file_name().to_string_lossy().into_owned();
            let number = name.strip_prefix("cpu").unwrap_or_default();
            if !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit()) {
                paths.push(format!("{CPUS}/{name}/thermal_throttle"));
            }
        }
        Ok(paths)
    };
    match list() {
        // A kernel without CPUs in its /sys has no such files.
        Err(Errno::NOENT) => Ok(Vec::new()),
        result => result.context(|| format!("list /{CPUS}")),
    }
}

fn existing(root: BorrowedFd<'_>, path: &str) -> Result<Option<OwnedFd>> {
    match beneath::open_without_links(root, Path::new(path), OFlags::PATH, Mode::empty()) {
        Ok(handle) => Ok(Some(handle)),
        Err(Errno::NOENT) => Ok(None),
        Err(error) => Err(error).context(|| format!("open /{path} in the container")),
    }
}

/// Through the container's own /proc, before that is made read-only. The keys were checked to lie
/// in namespaced trees.
fn write_sysctls(root: BorrowedFd<'_>, spec: &Spec) -> Result<()> {
    for (key, value) in &spec.default_sysctls {
        // A kernel may lack it, and an engine in a user namespace may have too few groups for it.
        let _ = write_sysctl(root, key, value);
    }
    for (key, value) in &spec.sysctls {
        write_sysctl(root, key, value).context(|| format!("set sysctl {key}={value}"))?;
    }
    Ok(())
}

/// Makes sure that the file is the kernel's own (CVE-2025-52881).
fn write_sysctl(root: BorrowedFd<'_>, key: &str, value: &str) -> Result<(), Errno> {
    let path = format!("proc/sys/{}", key.replace('.', "/"));
    let flags = OFlags::WRONLY | OFlags::TRUNC;
    beneath::open_without_links(root, Path::new(&path), flags, Mode::empty())
        .and_then(|file| rustix::io::write(&file, value.as_bytes()))
        .map(drop)
}

/// The container's own cgroups, read-only, once this process is in its cgroup namespace: what a
/// JVM or a Go program sizes itself by.
pub fn mount_cgroups(root: BorrowedFd<'_>, hierarchies: &[String], privileged: bool) -> Result<()> {
    let mut flags = NOSUID | NODEV | NOEXEC;
    if !privileged {
        flags |= RDONLY;
    }
    let target = "sys/fs/cgroup";
    if existing(root, target)?.is_none() {
        return Ok(());
    }
    match hierarchies {
        [] => Ok(()),
        [unified] if unified.is_empty() => {
            mount_kernel_filesystem(root, target, c"cgroup2", &[], flags)
        }
        hierarchies => {
            let options = [("mode", "755"), ("size", "64k")];
            let base = sys::mount::filesystem(c"tmpfs", &options, NOSUID | NODEV | NOEXEC)
                .context(|| "make the file system for /sys/fs/cgroup")?;
            for controllers in hierarchies {
                rustix::fs::mkdirat(&base, controllers.as_str(), DIRECTORY)
                    .context(|| format!("make /{target}/{controllers}"))?;
            }
            attach_plainly(root, target, base.as_fd())?;
            for controllers in hierarchies {
                let options: Vec<_> = controllers.split(',').map(|name| (name, "")).collect();
                mount_kernel_filesystem(
                    root,
                    &format!("{target}/{controllers}"),
                    c"cgroup",
                    &options,
                    flags,
                )?;
            }
            sys::mount::add_attributes(base.as_fd(), RDONLY, false)
                .context(|| format!("make /{target} read-only"))
        }
    }
}
