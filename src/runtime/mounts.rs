//! Mounts the file systems of the spec inside the container's root, in the order of the spec. Then
//! masks paths and makes paths read-only. The cgroups are mounted last (`mount_cgroups`).
//!
//! Each target is resolved inside the root by descriptor (`sys::beneath`). A new mount is first a
//! detached tree. The tree is attached to a descriptor, or to an entry of an open directory
//! (`sys::mount`). So a container or an image that replaces a directory by a symbolic link cannot
//! move a mount out of the root (CVE-2021-30465, CVE-2025-31133, CVE-2025-52565).

use std::borrow::Cow;
use std::ffi::CStr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use linux_raw_sys::general::PROC_SUPER_MAGIC;
use rustix::fs::{CWD, FileType, Mode, OFlags, XattrFlags, fsetxattr, fstat, openat};
use rustix::io::Errno;
use rustix::mount::MountAttrFlags;

use super::namespaces::Joined;
use super::spec::{
    Attributes, LastPropagation, Mount, MountSource, Namespace, Propagation, Recursion, Root, Spec,
    SystemPaths,
};
use super::user_namespace::map_owners;
use super::{bind_source, copies, copy_up, devices, process, propagation, rootfs};
use crate::error::{Context, Result, fail};
use crate::sys::trace::Traced;
use crate::sys::{self, beneath};

const NOSUID: MountAttrFlags = MountAttrFlags::MOUNT_ATTR_NOSUID;
const NODEV: MountAttrFlags = MountAttrFlags::MOUNT_ATTR_NODEV;
const NOEXEC: MountAttrFlags = MountAttrFlags::MOUNT_ATTR_NOEXEC;
const RDONLY: MountAttrFlags = MountAttrFlags::MOUNT_ATTR_RDONLY;
/// The mask of the bits that select relatime, noatime or strictatime.
const ATIME: MountAttrFlags = MountAttrFlags::MOUNT_ATTR__ATIME;

/// The mode of the directories that are created as mount points.
const DIRECTORY: Mode = Mode::from_raw_mode(0o755);

/// The new proc and sysfs file systems of a spec, in the order of its mounts, not attached yet.
pub struct Fresh(Vec<OwnedFd>);

impl Fresh {
    /// Creates the file systems for the caller's PID and network namespaces.
    pub fn make(spec: &Spec) -> Result<Fresh> {
        let mut made = Vec::with_capacity(2);
        for mount in &spec.mounts {
            match &mount.source {
                MountSource::Kernel { kind, options } if is_early(kind) => {
                    made.push(kernel_filesystem(kind, options, spec)?);
                }
                _ => {}
            }
        }
        Ok(Fresh(made))
    }
}

fn is_early(kind: &CStr) -> bool {
    kind == c"proc" || kind == c"sysfs"
}

/// Makes all mounts of the spec except cgroups, sets the sysctls, and creates the device nodes that
/// are missing. Then masks paths, and makes paths and the root read-only as the spec says. `root`
/// is the handle of the assembled root, and `shared` is the result of `propagation::copy_shared`.
/// Without `open_devices` the user's mounts are nodev. If a mount fails, the error names the
/// target.
pub fn mount_all(
    root: BorrowedFd<'_>,
    fresh: Fresh,
    spec: &Spec,
    joined: &Joined,
    copies: Option<BorrowedFd<'_>>,
    open_devices: bool,
    shared: Vec<OwnedFd>,
) -> Result<()> {
    if spec.propagates() && !spec.root_is_slave() {
        // Make the mounts private before the mounts with propagation are attached. If no mount has
        // propagation, `pivot_into` makes all mounts private.
        sys::mount::make_private(root).context(|| "make the container's mounts private")?;
    }
    let mut attaching = Attaching {
        root,
        spec,
        joined,
        copies,
        open_devices,
        fresh: fresh.0.into_iter(),
        shared: shared.into_iter(),
        owners: joined.owners.iter(),
        has_proc: false,
        unsettled: Vec::new(),
    };
    for mount in spec.mounts.iter().filter(|mount| !matches!(mount.source, MountSource::Cgroups)) {
        attaching
            .mount(mount)
            .traced("move_mount", || describe(mount))
            .context(|| format!("mount on {} in the container", mount.target.display()))?;
    }
    devices::make_others(root, spec)?;
    if !spec.system.sysctls.is_empty() && !attaching.has_proc {
        fail!("the container has no /proc, through which its sysctls are set");
    }
    if spec.system_paths != SystemPaths::default() {
        hide(root, spec).traced("move_mount", || "hide and lock paths of the kernel".to_owned())?;
    }
    for (tree, last) in attaching.unsettled {
        sys::mount::set_propagation(tree.as_fd(), propagation::flag(last.kind), last.recursive)
            .context(|| "set the propagation of a mount")?;
    }
    if spec.system.read_only {
        // Create a missing working directory before the root is read-only. If the root is a
        // directory that the user chose, create nothing in it.
        if matches!(spec.root, Root::Overlay { .. }) {
            process::make_working_directory(root, &spec.process.cwd)?;
        }
        sys::mount::add_attributes(root, RDONLY, false)
            .context(|| "make the container's root read-only")?;
    }
    Ok(())
}

/// The state while the mounts of a spec are attached one after the other.
struct Attaching<'a> {
    root: BorrowedFd<'a>,
    spec: &'a Spec,
    joined: &'a Joined,
    copies: Option<BorrowedFd<'a>>,
    open_devices: bool,
    fresh: std::vec::IntoIter<OwnedFd>,
    shared: std::vec::IntoIter<OwnedFd>,
    owners: std::slice::Iter<'a, OwnedFd>,
    /// Whether a new proc file system is attached.
    has_proc: bool,
    /// The mounts whose propagation is set after all mounts are attached.
    unsettled: Vec<(OwnedFd, LastPropagation)>,
}

impl Attaching<'_> {
    fn mount(&mut self, mount: &Mount) -> Result<()> {
        let tree = self.attach(mount)?;
        self.unsettled.extend(tree.zip(mount.last_propagation));
        Ok(())
    }

    /// Attaches the mount, or changes the mount that is there (`MountSource::Remount`). Returns the
    /// mount's tree. Returns `None` for cgroups, which are mounted later, and for mqueue if the
    /// kernel lacks it.
    fn attach(&mut self, mount: &Mount) -> Result<Option<OwnedFd>> {
        let spec = self.spec;
        let tree = match &mount.source {
            MountSource::Kernel { kind, options } => {
                return self.mount_kernel_filesystem(mount, kind, options);
            }
            MountSource::Devices { options } => {
                // Create the nodes while the file system is detached, so that no other process can
                // reach the nodes.
                let dev = kernel_filesystem(c"tmpfs", options, spec)?;
                devices::populate(dev.as_fd(), spec)?;
                attach_plainly(self.root, &mount.target, dev.as_fd())?;
                set_attributes(dev.as_fd(), &mount.attributes)?;
                return Ok(Some(dev));
            }
            MountSource::SharedMemory { size } => {
                let shm = match &spec.namespaces.ipc {
                    Namespace::Private => {
                        let options = format!("nosuid,nodev,noexec,mode=1777,size={size}");
                        kernel_filesystem(c"tmpfs", &options, spec)?
                    }
                    Namespace::Host | Namespace::Of { .. } | Namespace::Path(_) => {
                        copy_from(self.joined.ipc_mounts.as_ref(), Path::new("/dev/shm"))
                            .context(|| "open the other container's /dev/shm")?
                    }
                };
                attach_plainly(self.root, &mount.target, shm.as_fd())?;
                return Ok(Some(shm));
            }
            // `mount_cgroups` mounts these after init has entered the container's cgroups.
            MountSource::Cgroups => return Ok(None),
            MountSource::Remount => {
                let tree = existing_mount(self.root, &mount.target)?;
                set_attributes(tree.as_fd(), &mount.attributes)?;
                return Ok(Some(tree));
            }
            MountSource::Bind(source) => {
                let shared = if mount.is_shared() { self.shared.next() } else { None };
                let tree = bind(self.root, mount, source, self.joined.user(), shared)?;
                if let Some(owners) = &mount.owners
                    && let Some(namespace) = self.owners.next()
                {
                    sys::mount::map_owners(tree.as_fd(), namespace.as_fd(), owners.recursive)
                        .context(|| format!("map the owners in {}", source.display()))?;
                }
                tree
            }
            MountSource::Copy(path) => {
                match (self.copy_of_the_other(&mount.target)?, self.copies) {
                    (Some(theirs), _) => theirs,
                    (None, Some(copies)) => copies::tree(copies, path)?,
                    (None, None) => fail!("the copy of {} was not made", path.display()),
                }
            }
            MountSource::Tmpfs { options } => {
                filesystem(c"tmpfs", "", options, NOSUID | NODEV | NOEXEC, spec)?
            }
            MountSource::Filesystem { kind, source, options } => {
                let none = MountAttrFlags::empty();
                let inherited = self.inherited_mode(mount, kind, options)?;
                let options = inherited.as_ref().unwrap_or(options);
                let tree = filesystem(kind, source, options, none, spec)?;
                if mount.copy_up {
                    copy_up::copy_into(self.root, &mount.target, tree.as_fd())?;
                }
                tree
            }
            MountSource::Image { layers } => {
                rootfs::layers_tree(layers, mount.subpath.as_deref(), &spec.mount_point)?
            }
        };
        attach(self.root, spec, mount, &tree, self.open_devices)?;
        Ok(Some(tree))
    }

    /// The `options` of a tmpfs, with the mode of the directory that the tmpfs will cover. `None`
    /// if the options name a mode, the directory cannot be opened, or the file system is no tmpfs.
    fn inherited_mode(&self, mount: &Mount, kind: &CStr, options: &str) -> Result<Option<String>> {
        if kind != c"tmpfs" || options.split(',').any(|option| option.starts_with("mode=")) {
            return Ok(None);
        }
        let Ok(covered) = beneath::handle(self.root, below(&mount.target)) else { return Ok(None) };
        let mode = fstat(&covered).context(|| "stat the mount point")?.st_mode & 0o7777;
        let comma = if options.is_empty() { "" } else { "," };
        Ok(Some(format!("{options}{comma}mode={mode:o}")))
    }

    /// A copy of the mount on `target` in the other container, whose network namespace is shared.
    /// `None` if there is no other container, if its file is missing, if its mount cannot be
    /// copied, or if the mounted file cannot be one of its copies (`copies::may_be_copy`).
    fn copy_of_the_other(&self, target: &Path) -> Result<Option<OwnedFd>> {
        let Some(theirs) = &self.joined.network_mounts else { return Ok(None) };
        let tree = match copy_from(Some(theirs), target) {
            Ok(tree) => tree,
            // ENOENT: the other container has removed the file. EINVAL: the kernel does not copy
            // this mount, for example because the mount is unbindable.
            Err(error) if matches!(error.errno(), Some(Errno::NOENT | Errno::INVAL)) => {
                return Ok(None);
            }
            Err(error) => {
                return Err(error)
                    .context(|| format!("share the other container's {}", target.display()));
            }
        };
        Ok(copies::may_be_copy(tree.as_fd())?.then_some(tree))
    }

    fn mount_kernel_filesystem(
        &mut self,
        mount: &Mount,
        kind: &CStr,
        options: &str,
    ) -> Result<Option<OwnedFd>> {
        let early = is_early(kind).then(|| self.fresh.next()).flatten();
        let made = early.map_or_else(|| kernel_filesystem(kind, options, self.spec), Ok);
        let tree = match made {
            // The kernel has no POSIX message queues.
            Err(error) if kind == c"mqueue" && error.errno() == Some(Errno::NODEV) => {
                return Ok(None);
            }
            made => made?,
        };
        attach_plainly(self.root, &mount.target, tree.as_fd())?;
        if kind == c"mqueue"
            && let Some(label) = &self.spec.mount_label
        {
            label_root(tree.as_fd(), label)?;
        }
        set_attributes(tree.as_fd(), &mount.attributes)?;
        if kind == c"proc" && !self.has_proc {
            self.has_proc = true;
            write_sysctls(self.root, self.spec)?;
        }
        Ok(Some(tree))
    }
}

/// Describes a mount, for the log of `--debug`.
fn describe(mount: &Mount) -> String {
    let source = match &mount.source {
        MountSource::Kernel { kind, options } => format!("{} ({options})", kind.to_string_lossy()),
        MountSource::Devices { options } => format!("a tmpfs with device nodes ({options})"),
        MountSource::SharedMemory { size } => format!("a tmpfs of {size} bytes"),
        MountSource::Cgroups => "the container's cgroups".to_owned(),
        MountSource::Remount => "the mount that is there".to_owned(),
        MountSource::Tmpfs { options } => format!("tmpfs ({options})"),
        MountSource::Filesystem { kind, source, options } => {
            format!("{} {source} ({options})", kind.to_string_lossy())
        }
        MountSource::Image { layers } => format!("{} layers of an image", layers.len()),
        MountSource::Bind(source) => source.display().to_string(),
        MountSource::Copy(source) => format!("a copy of {}", source.display()),
    };
    let mode = if mount.read_only { ", read-only" } else { "" };
    format!("{} from {source}{mode}", mount.target.display())
}

/// A detached file system of the kernel, with options in the syntax of mount(8).
fn kernel_filesystem(kind: &CStr, options: &str, spec: &Spec) -> Result<OwnedFd> {
    filesystem(kind, "", options, MountAttrFlags::empty(), spec)
}

/// The container's path `target` without the leading slash, relative to the container's root.
fn below(target: &Path) -> &Path {
    target.strip_prefix("/").unwrap_or(target)
}

/// Attaches `tree` to the directory `target`, which is created if it is missing. Fails if a
/// component of `target` is a symbolic link: an image could otherwise redirect the mount of /proc
/// to another directory (CVE-2019-16884, CVE-2026-41579).
fn attach_plainly(root: BorrowedFd<'_>, target: &Path, tree: BorrowedFd<'_>) -> Result<()> {
    let flags = OFlags::PATH | OFlags::DIRECTORY;
    let path = below(target);
    let directory = match beneath::open_without_links(root, path, flags, Mode::empty()) {
        Err(Errno::NOENT) => beneath::make_dirs(root, path, DIRECTORY)
            .and_then(|_| beneath::open_without_links(root, path, flags, Mode::empty())),
        // The message ends with the same words as runc's.
        Err(Errno::LOOP) => fail!(
            "the image's {path} is a symbolic link, but {path} must be mounted on ordinary directory",
            path = target.display()
        ),
        result => result,
    };
    let directory = directory.context(|| format!("open {} in the container", target.display()))?;
    sys::mount::attach(tree, directory.as_fd()).context(|| format!("mount {}", target.display()))
}

/// A detached copy of the mount at `path` in the mount namespace `theirs`; `None` means this
/// process's mount namespace.
fn copy_from(theirs: Option<&OwnedFd>, path: &Path) -> Result<OwnedFd> {
    let copy = || -> Result<OwnedFd> {
        let root = openat(CWD, "/", OFlags::PATH | OFlags::CLOEXEC, Mode::empty())?;
        let found = beneath::handle(root.as_fd(), path)?;
        Ok(sys::mount::copy_tree(found.as_fd(), false)?)
    };
    let Some(theirs) = theirs else { return copy() };
    sys::mount::in_namespace(theirs.as_fd(), copy)?
}

/// The detached tree of a bind mount's source. With `copy_up`, fills an empty volume from the image
/// first.
fn bind(
    root: BorrowedFd<'_>,
    mount: &Mount,
    source: &Path,
    user_namespace: Option<BorrowedFd<'_>>,
    shared: Option<OwnedFd>,
) -> Result<OwnedFd> {
    let user_namespace = user_namespace.filter(|_| mount.mapped);
    if mount.copy_up {
        copy_up::fill(root, &mount.target, source, user_namespace)?;
    }
    let handle = bind_source::open(source, mount.subpath.as_deref())?;
    if mount.propagation == Propagation::Slave && mount.needs_group {
        propagation::check_slave(&handle, source)?;
    }
    let tree = match shared {
        Some(tree) => tree,
        None => sys::mount::copy_tree(handle.as_fd(), mount.recursion != Recursion::Disabled)
            .context(|| format!("copy the mount of {}", source.display()))?,
    };
    if let Some(user_namespace) = user_namespace {
        map_owners(tree.as_fd(), user_namespace, source)?;
    }
    Ok(tree)
}

/// Attaches a mount of the user to its target. Creates a missing target and its missing parents.
fn attach(
    root: BorrowedFd<'_>,
    spec: &Spec,
    mount: &Mount,
    tree: &OwnedFd,
    open_devices: bool,
) -> Result<()> {
    let stat = fstat(tree).context(|| "stat the source")?;
    let is_directory = FileType::from_raw_mode(stat.st_mode) == FileType::Directory;
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
    if spec.propagates() {
        propagation::settle(tree, mount)?;
    }
    if mount.read_only {
        let all = mount.recursion != Recursion::Writable;
        sys::mount::add_attributes(tree.as_fd(), RDONLY, all).context(|| "make it read-only")?;
    }
    set_attributes(tree.as_fd(), &mount.attributes)?;
    if !open_devices {
        sys::mount::add_attributes(tree.as_fd(), NODEV, true).context(|| "shut its devices")?;
    }
    Ok(())
}

fn set_attributes(tree: BorrowedFd<'_>, attributes: &Attributes) -> Result<()> {
    let Attributes { set, clear, set_recursive, clear_recursive } = *attributes;
    for (set, clear, recursive) in [(set_recursive, clear_recursive, true), (set, clear, false)] {
        if set | clear != 0 {
            sys::mount::set_and_clear(tree, set, clear, recursive)
                .context(|| "set the mount's options")?;
        }
    }
    Ok(())
}

/// The files of /proc on which the user may mount a file with the container's own numbers, as lxcfs
/// does. runc allows these files too.
const FIGURES: [&str; 8] = [
    "/proc/cpuinfo",
    "/proc/diskstats",
    "/proc/loadavg",
    "/proc/meminfo",
    "/proc/slabinfo",
    "/proc/stat",
    "/proc/swaps",
    "/proc/uptime",
];

/// Fails if `target` is in a proc file system, at whatever path, unless `path` is one of `FIGURES`.
/// Programs would believe that the user's file there comes from the kernel (CVE-2019-16884,
/// CVE-2023-27561).
fn refuse_kernel_filesystem(target: BorrowedFd<'_>, path: &Path) -> Result<()> {
    let stat = rustix::fs::fstatfs(target).context(|| "look at the mount point")?;
    let is_figures = FIGURES.iter().any(|file| path == Path::new(file));
    if stat.f_type as u32 == PROC_SUPER_MAGIC && !is_figures {
        fail!("{} lies in /proc, where nothing may be mounted", path.display());
    }
    Ok(())
}

/// A detached file system with `options` in the syntax of mount(8). `attributes` apply unless an
/// option changes them. Translates the options `uid` and `gid` to the host's IDs and adds the
/// spec's SELinux label, except for proc and sysfs, whose files belong to the kernel.
fn filesystem(
    kind: &CStr,
    source: &str,
    options: &str,
    mut attributes: MountAttrFlags,
    spec: &Spec,
) -> Result<OwnedFd> {
    let ids = spec.ids.as_ref().filter(|_| !is_early(kind));
    // The kernel has already made the mqueue file system with the IPC namespace, so it refuses the
    // option for a label. `label_root` sets the label later.
    let label = label_option(spec).filter(|_| !is_early(kind) && kind != c"mqueue");
    // The kernel reads `uid` and `gid` as IDs of the host.
    let on_host = |key: &str, id: &str| {
        let (ids, id) = (ids?, id.parse().ok()?);
        match key {
            "uid" => ids.host_uid(id),
            "gid" => ids.host_gid(id),
            _ => None,
        }
    };
    let mut parameters: Vec<(&str, Cow<'_, str>)> = Vec::new();
    for option in options.split(',').filter(|option| !option.is_empty()) {
        match option {
            "ro" => attributes |= RDONLY,
            "rw" => attributes -= RDONLY,
            "exec" => attributes -= NOEXEC,
            "suid" => attributes -= NOSUID,
            "dev" => attributes -= NODEV,
            "noexec" => attributes |= NOEXEC,
            "nosuid" => attributes |= NOSUID,
            "nodev" => attributes |= NODEV,
            "noatime" => attributes = (attributes - ATIME) | MountAttrFlags::MOUNT_ATTR_NOATIME,
            "relatime" => attributes -= ATIME,
            "strictatime" => {
                attributes = (attributes - ATIME) | MountAttrFlags::MOUNT_ATTR_STRICTATIME;
            }
            "nodiratime" => attributes |= MountAttrFlags::MOUNT_ATTR_NODIRATIME,
            option => {
                let (key, value) = option.split_once('=').unwrap_or((option, ""));
                let owner = on_host(key, value).map(|id| Cow::Owned(id.to_string()));
                parameters.push((key, owner.unwrap_or(Cow::Borrowed(value))));
            }
        }
    }
    let parameters: Vec<(&str, &str)> =
        parameters.iter().map(|(key, value)| (*key, value.as_ref())).chain(label).collect();
    sys::mount::filesystem(kind, source, &parameters, attributes)
        .context(|| format!("make a {} with options '{options}'", kind.to_string_lossy()))
}

/// The option that gives all files of a new file system the spec's SELinux label; `None` if the
/// spec has no label.
fn label_option(spec: &Spec) -> Option<(&'static str, &str)> {
    spec.mount_label.as_deref().map(|label| ("context", label))
}

/// Gives the root directory of a mount an SELinux label.
fn label_root(tree: BorrowedFd<'_>, label: &str) -> Result<()> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    openat(tree, ".", flags, Mode::empty())
        .and_then(|root| fsetxattr(root, "security.selinux", label.as_bytes(), XattrFlags::empty()))
        .context(|| format!("label it '{label}'"))
}

/// Mounts an empty directory or the null device over each masked path, and makes each read-only
/// path read-only. Skips missing paths. Symbolic links are followed inside the container's root.
fn hide(root: BorrowedFd<'_>, spec: &Spec) -> Result<()> {
    let paths = &spec.system_paths;
    let (mut null, mut empty): (Option<OwnedFd>, Option<OwnedFd>) = (None, None);
    for path in &paths.masked {
        let Some(target) = existing(root, path)? else { continue };
        let stat = fstat(&target).context(|| format!("stat {path}"))?;
        let is_directory = FileType::from_raw_mode(stat.st_mode) == FileType::Directory;
        let cover = match (is_directory, &empty, &null) {
            (true, Some(known), _) | (false, _, Some(known)) => {
                sys::mount::copy_tree(known.as_fd(), false)
            }
            (true, None, _) => {
                let options: Vec<_> =
                    [("size", "0")].into_iter().chain(label_option(spec)).collect();
                sys::mount::filesystem(c"tmpfs", "", &options, RDONLY | NOSUID | NODEV)
            }
            (false, _, None) => {
                let null = null.insert(devices::open_null(root)?);
                sys::mount::copy_tree(null.as_fd(), false)
            }
        };
        let cover = cover.context(|| format!("mask {path}"))?;
        sys::mount::attach(cover.as_fd(), target.as_fd()).context(|| format!("mask {path}"))?;
        if is_directory && empty.is_none() {
            empty = Some(cover);
        }
    }
    for path in &paths.read_only {
        let Some(target) = existing(root, path)? else { continue };
        let tree = sys::mount::copy_tree(target.as_fd(), true)
            .context(|| format!("copy the mount of {path}"))?;
        sys::mount::attach(tree.as_fd(), target.as_fd())
            .context(|| format!("mount {path} over itself"))?;
        sys::mount::add_attributes(tree.as_fd(), RDONLY, true)
            .context(|| format!("make {path} read-only"))?;
    }
    Ok(())
}

fn existing(root: BorrowedFd<'_>, path: &str) -> Result<Option<OwnedFd>> {
    let path = below(Path::new(path));
    match beneath::handle(root, path) {
        Ok(handle) => Ok(Some(handle)),
        Err(Errno::NOENT | Errno::NOTDIR) => Ok(None),
        Err(error) => Err(error).context(|| format!("open /{} in the container", path.display())),
    }
}

/// The root of the mount at `target`. Fails if `target` is not the root of a mount.
fn existing_mount(root: BorrowedFd<'_>, target: &Path) -> Result<OwnedFd> {
    let found = existing(root, &target.to_string_lossy())?;
    let is_mount =
        |tree: &OwnedFd| sys::mount::is_mount_root(tree.as_fd(), Path::new("")).unwrap_or_default();
    match found.filter(is_mount) {
        Some(tree) => Ok(tree),
        None => fail!("nothing is mounted there that could be remounted"),
    }
}

/// Sets the kernel parameters of the spec through the container's own /proc, before `hide` makes
/// paths in /proc read-only. The engine and `oci` have checked that each of `system.sysctls`
/// belongs to a namespace that the container does not share with the host.
fn write_sysctls(root: BorrowedFd<'_>, spec: &Spec) -> Result<()> {
    for (key, value) in &spec.default_sysctls {
        // Ignore an error: the kernel may lack this parameter, or the value may contain groups that
        // this process's user namespace does not map.
        let _ = write_sysctl(root, key, value);
    }
    for (key, value) in &spec.system.sysctls {
        write_sysctl(root, key, value)
            .traced("write", || format!("{value} to /proc/sys/{}", key.replace('.', "/")))
            .context(|| format!("set sysctl {key}={value}"))?;
    }
    Ok(())
}

/// Writes one kernel parameter. Fails if a component of its path is a symbolic link: the file must
/// be the kernel's own (CVE-2025-52881).
fn write_sysctl(root: BorrowedFd<'_>, key: &str, value: &str) -> Result<(), Errno> {
    let path = format!("proc/sys/{}", key.replace('.', "/"));
    let flags = OFlags::WRONLY | OFlags::TRUNC;
    beneath::open_without_links(root, Path::new(&path), flags, Mode::empty())
        .and_then(|file| rustix::io::write(&file, value.as_bytes()))
        .map(drop)
}

/// Mounts the container's cgroups on the targets of the spec, where programs such as a JVM read
/// their limits. Skips a target that does not exist. The calling process must be in the container's
/// cgroup namespace. `hierarchies` is the result of `Cgroup::hierarchies`.
pub fn mount_cgroups(
    root: BorrowedFd<'_>,
    spec: &Spec,
    hierarchies: &[(String, &Path)],
) -> Result<()> {
    let mounts = spec.mounts.iter().filter(|mount| matches!(mount.source, MountSource::Cgroups));
    for mount in mounts {
        let mut flags = NOSUID | NODEV | NOEXEC;
        if mount.read_only {
            flags |= RDONLY;
        }
        let target = &mount.target;
        if existing(root, &target.to_string_lossy())?.is_some() {
            let of_its_own = spec.namespaces.cgroup != Namespace::Host;
            cgroup_view(root, target, hierarchies, of_its_own, flags, label_option(spec))
                .context(|| format!("mount the cgroups on {}", target.display()))?;
        }
    }
    Ok(())
}

fn cgroup_view(
    root: BorrowedFd<'_>,
    target: &Path,
    hierarchies: &[(String, &Path)],
    of_its_own: bool,
    flags: MountAttrFlags,
    label: Option<(&str, &str)>,
) -> Result<()> {
    // In the host's cgroup namespace a new cgroup file system would show the host's cgroups. In
    // this case bind the directory of the container's cgroup instead.
    let tree = |kind: &CStr, options: &[(&str, &str)], own: &Path| -> Result<OwnedFd> {
        if of_its_own {
            return Ok(sys::mount::filesystem(kind, "", options, flags)?);
        }
        Ok(sys::mount::copy_mount(own)?)
    };
    // Linux before 5.12 changes the attributes only of a mount that is attached already.
    let restrict = |tree: BorrowedFd<'_>| -> Result<()> {
        if !of_its_own {
            sys::mount::add_attributes(tree, flags, false)?;
        }
        Ok(())
    };
    match hierarchies {
        [] => Ok(()),
        [(unified, own)] if unified.is_empty() => {
            let tree = tree(c"cgroup2", &[], own)?;
            attach_plainly(root, target, tree.as_fd())?;
            restrict(tree.as_fd())
        }
        hierarchies => {
            let options = [("mode", "755"), ("size", "64k")].into_iter().chain(label);
            let options: Vec<_> = options.collect();
            let base = sys::mount::filesystem(c"tmpfs", "", &options, NOSUID | NODEV | NOEXEC)?;
            // A v1 hierarchy without controllers has a name instead, such as `name=systemd`.
            let directory = |controllers: &str| controllers.trim_start_matches("name=").to_owned();
            for (controllers, _) in hierarchies {
                rustix::fs::mkdirat(&base, directory(controllers), DIRECTORY)
                    .context(|| format!("make directory {controllers}"))?;
            }
            attach_plainly(root, target, base.as_fd())?;
            for (controllers, own) in hierarchies {
                let options: Vec<_> = controllers
                    .split(',')
                    .map(|option| option.split_once('=').unwrap_or((option, "")))
                    .collect();
                let tree = tree(c"cgroup", &options, own)
                    .context(|| format!("make a file system of {controllers}"))?;
                // The directory was made above in a new tmpfs, so the image has no link there.
                let name = directory(controllers);
                sys::mount::attach_below(tree.as_fd(), base.as_fd(), &name)
                    .context(|| format!("mount {name}"))?;
                restrict(tree.as_fd())?;
            }
            sys::mount::add_attributes(base.as_fd(), RDONLY, false).context(|| "make it read-only")
        }
    }
}
