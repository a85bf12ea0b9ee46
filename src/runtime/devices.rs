//! Creates the device nodes of a container: the six standard ones, the console, and those of the
//! spec (`--device`, `--privileged`, `linux.devices`). Also creates links such as /dev/stdin
//! (null(4), random(4), pts(4), mknod(2)).
//!
//! The nodes are made in a detached tmpfs before the tmpfs is mounted on /dev, so no path of the
//! image is involved. Nodes outside this tmpfs are made by descriptor inside the root. The rules of
//! `cgroup::devices` decide whether a process can open a node.

use std::ffi::{OsStr, OsString};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};

use rustix::fs::{
    AtFlags, FileType, Gid, Mode, OFlags, Stat, Uid, chownat, fstat, major, makedev, minor,
    mkdirat, mknodat, stat, statat, symlinkat,
};
use rustix::io::Errno;

use super::spec::{DeviceNode, IdMaps, Mount, MountSource, NodeKind, Spec};
use crate::error::{Context, Result, fail};
use crate::order;
use crate::raw;
use crate::sys::beneath;

/// The standard nodes: name, major and minor number.
const STANDARD: [(&str, u32, u32); 6] = [
    ("null", 1, 3),
    ("zero", 1, 5),
    ("full", 1, 7),
    ("random", 1, 8),
    ("urandom", 1, 9),
    ("tty", 5, 0),
];

/// The largest number of device nodes and unread directories that `nodes_below` keeps. A large
/// server has a few thousand nodes.
const MAX_NODES: usize = 1 << 16;

const LINKS: [(&str, &str); 6] = [
    ("/proc/self/fd", "fd"),
    ("/proc/self/fd/0", "stdin"),
    ("/proc/self/fd/1", "stdout"),
    ("/proc/self/fd/2", "stderr"),
    ("/proc/kcore", "core"),
    ("pts/ptmx", "ptmx"),
];

/// Creates the nodes, links and mount points in `dev`, the detached file system that is mounted on
/// /dev later.
pub fn populate(dev: BorrowedFd<'_>, spec: &Spec) -> Result<()> {
    standard(dev)?;
    // The console is a null device. If the container has a terminal, the terminal is mounted over
    // the console later.
    node(dev, "console", FileType::CharacterDevice, 0o620, makedev(1, 3))?;
    let below = |mount: &Mount| Some(mount.target.strip_prefix("/dev").ok()?.to_owned());
    let mount_points = spec.mounts.iter().filter_map(below);
    for name in ["pts", "shm", "mqueue"] {
        if mount_points.clone().any(|path| path == Path::new(name)) {
            mkdirat(dev, name, Mode::from_raw_mode(0o755))
                .context(|| format!("make directory /dev/{name}"))?;
        }
    }
    let mut given = spec.devices.iter().filter_map(|device| {
        let name = device.path.strip_prefix("/dev/")?;
        Some((device, name))
    });
    given.try_for_each(|(device, name)| {
        let (parent, file) = place(dev, device, name)?;
        // The node may replace a standard one. Ignore an error: usually there is no file with this
        // name. If an old file stays, `given_node` fails with EEXIST.
        let _ = rustix::fs::unlinkat(&parent, &file, AtFlags::empty());
        given_node(parent.as_fd(), &file, device, spec.ids.as_ref())
    })
}

/// Creates the standard nodes and links in the directory `dev`. Keeps files that are there.
fn standard(dev: BorrowedFd<'_>) -> Result<()> {
    for (name, major, minor) in STANDARD {
        node(dev, name, FileType::CharacterDevice, 0o666, makedev(major, minor))?;
    }
    for (target, name) in LINKS {
        unless_exists(symlinkat(target, dev, name)).context(|| format!("make link /dev/{name}"))?;
    }
    Ok(())
}

fn unless_exists(made: Result<(), Errno>) -> Result<(), Errno> {
    if made == Err(Errno::EXIST) { Ok(()) } else { made }
}

/// Creates the nodes of `spec` that `populate` does not create, below the container's `root`: those
/// outside /dev, or all if mydocker does not mount /dev. If nothing is mounted on /dev, also
/// creates the standard nodes and links there. Fails if another file or device exists at a node's
/// path, or if a node, link or directory cannot be created.
pub fn make_others(root: BorrowedFd<'_>, spec: &Spec) -> Result<()> {
    let is_ours = |mount: &Mount| matches!(mount.source, MountSource::Devices { .. });
    let has_dev = spec.mounts.iter().any(is_ours);
    for device in &spec.devices {
        if has_dev && device.path.starts_with("/dev/") {
            continue;
        }
        let (parent, file) = place(root, device, device.path.trim_start_matches('/'))?;
        match statat(&parent, &file, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(found) if is_same(&found, device) => {}
            Ok(_) => fail!("device {}: another file is there", device.path),
            Err(_) => given_node(parent.as_fd(), &file, device, spec.ids.as_ref())?,
        }
    }
    if spec.mounts.iter().any(|mount| mount.target == Path::new("/dev")) {
        return Ok(());
    }
    let dev = beneath::make_dirs(root, Path::new("dev"), Mode::from_raw_mode(0o755));
    standard(dev.context(|| "make the container's /dev")?.as_fd())
}

fn is_same(found: &Stat, device: &DeviceNode) -> bool {
    let (kind, number) = kind_and_number(device);
    FileType::from_raw_mode(found.st_mode) == kind && found.st_rdev == number
}

fn kind_and_number(device: &DeviceNode) -> (FileType, u64) {
    let number = makedev(device.major, device.minor);
    match device.kind {
        NodeKind::Block => (FileType::BlockDevice, number),
        NodeKind::Character => (FileType::CharacterDevice, number),
        NodeKind::Fifo => (FileType::Fifo, 0),
    }
}

/// Opens the directory for a node and returns it with the node's name. Creates a missing directory.
fn place(root: BorrowedFd<'_>, device: &DeviceNode, below: &str) -> Result<(OwnedFd, OsString)> {
    let path = raw::path(below);
    let (Some(parent), Some(file)) = (path.parent(), path.file_name()) else {
        fail!("device target '{}' names no file", device.path)
    };
    let parent = beneath::make_dirs(root, parent, Mode::from_raw_mode(0o755))
        .context(|| format!("make the directory of {}", device.path))?;
    Ok((parent, file.to_owned()))
}

fn node(dev: BorrowedFd<'_>, name: &str, kind: FileType, mode: u32, number: u64) -> Result<()> {
    let made = mknodat(dev, name, kind, Mode::from_raw_mode(mode), number);
    unless_exists(made).context(|| format!("make device node /dev/{name}"))
}

/// Creates the node `device` of the spec as `file` in `parent`.
fn given_node(
    parent: BorrowedFd<'_>,
    file: &OsStr,
    device: &DeviceNode,
    ids: Option<&IdMaps>,
) -> Result<()> {
    let (kind, number) = kind_and_number(device);
    let mode = Mode::from_raw_mode(device.mode);
    mknodat(parent, file, kind, mode, number)
        .and_then(|()| {
            let (uid, gid) = match ids {
                Some(ids) => (ids.host_uid(device.uid), ids.host_gid(device.gid)),
                None => (Some(device.uid), Some(device.gid)),
            };
            let (uid, gid) = (uid.map(Uid::from_raw), gid.map(Gid::from_raw));
            chownat(parent, file, uid, gid, AtFlags::SYMLINK_NOFOLLOW)
        })
        .context(|| format!("make device node {}", device.path))
}

/// The node for a container that is the same device as `path` on the host. `target` is the node's
/// path in the container. Fails if `path` does not exist or is no device node.
pub fn host_node(path: &Path, target: String) -> Result<DeviceNode> {
    let found = stat(path).context(|| format!("device {}", path.display()))?;
    let kind = FileType::from_raw_mode(found.st_mode);
    if !matches!(kind, FileType::CharacterDevice | FileType::BlockDevice) {
        fail!("{} is not a device", path.display());
    }
    Ok(DeviceNode {
        path: target,
        kind: if kind == FileType::BlockDevice { NodeKind::Block } else { NodeKind::Character },
        major: major(found.st_rdev),
        minor: minor(found.st_rdev),
        mode: found.st_mode & 0o777,
        uid: found.st_uid,
        gid: found.st_gid,
    })
}

/// The nodes for `--privileged`: the device nodes that `nodes_below` finds in the host's /dev,
/// except those that each container has of its own.
pub fn host_nodes() -> Result<Vec<DeviceNode>> {
    let is_given = |path: &PathBuf| {
        let standard = STANDARD.iter().map(|(name, ..)| *name).chain(["console", "ptmx"]);
        standard.into_iter().all(|name| path != &Path::new("/dev").join(name))
    };
    let nodes = nodes_below(Path::new("/dev"))?.into_iter().filter(is_given);
    nodes.map(|path| host_node(&path, raw::encode_path(&path))).collect()
}

/// The paths of all device nodes below a directory of the host's /dev, sorted. Symbolic links are
/// not followed. Leaves out directories such as /dev/pts, which are usually separate file systems.
/// Fails if the nodes and the directories that are still to be read are more than 65,536.
pub fn nodes_below(directory: &Path) -> Result<Vec<PathBuf>> {
    const SEPARATE: [&str; 5] =
        ["/dev/pts", "/dev/shm", "/dev/mqueue", "/dev/hugepages", "/dev/fd"];
    let mut pending = vec![directory.to_owned()];
    let mut nodes = Vec::new();
    while let Some(directory) = pending.pop() {
        // Skip a directory that cannot be read, for example because it was removed.
        let Ok(entries) = std::fs::read_dir(&directory) else { continue };
        for entry in entries.flatten() {
            let path = entry.path();
            let Ok(kind) = entry.file_type() else { continue };
            if kind.is_dir() && !SEPARATE.iter().any(|skip| path == Path::new(skip)) {
                pending.push(path);
            } else if kind.is_char_device() || kind.is_block_device() {
                nodes.push(path);
            }
            if nodes.len() + pending.len() > MAX_NODES {
                fail!("{}: more than {MAX_NODES} devices", directory.display());
            }
        }
    }
    order::sort(&mut nodes);
    Ok(nodes)
}

/// Opens the container's /dev/null and checks that it is the null device. The result is mounted
/// over files to mask them, so another file in place of /dev/null would appear at the masked paths
/// (CVE-2025-31133).
pub fn open_null(root: BorrowedFd<'_>) -> Result<OwnedFd> {
    let flags = OFlags::PATH;
    let null = beneath::open_without_links(root, Path::new("dev/null"), flags, Mode::empty())
        .context(|| "open the container's /dev/null")?;
    let stat = fstat(&null).context(|| "stat the container's /dev/null")?;
    if FileType::from_raw_mode(stat.st_mode) != FileType::CharacterDevice
        || stat.st_rdev != makedev(1, 3)
    {
        fail!("the container's /dev/null is not the null device");
    }
    Ok(null)
}
