//! The mount API by descriptors (Linux 5.2): a file system or a piece of tree is made detached,
//! given its attributes, and only then attached, by descriptor, to a target that was resolved
//! inside the root. Nothing is ever mounted on a name that a container could swap.
//! See fsopen(2), open_tree(2), move_mount(2), mount_setattr(2).

use std::ffi::CStr;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use rustix::io::Errno;
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, MountFlags, MountPropagationFlags, MoveMountFlags,
    OpenTreeFlags, fsconfig_create, fsconfig_set_flag, fsconfig_set_string, fsmount, fsopen,
    mount_change, move_mount, open_tree,
};

use super::last_errno;

/// A new detached file system of `kind`; an option without `=` is a flag. Without `source`, `kind` is its
/// name.
pub fn filesystem(
    kind: &CStr,
    source: &str,
    options: &[(&str, &str)],
    attributes: MountAttrFlags,
) -> Result<OwnedFd, Errno> {
    let context = fsopen(kind, FsOpenFlags::FSOPEN_CLOEXEC)?;
    // The first column in the output of `mount`.
    match source {
        "" => fsconfig_set_string(context.as_fd(), "source", kind)?,
        source => fsconfig_set_string(context.as_fd(), "source", source)?,
    }
    for (key, value) in options {
        match *value {
            "" => fsconfig_set_flag(context.as_fd(), *key)?,
            value => fsconfig_set_string(context.as_fd(), *key, value)?,
        }
    }
    fsconfig_create(context.as_fd())?;
    fsmount(context.as_fd(), FsMountFlags::FSMOUNT_CLOEXEC, attributes)
}

/// A detached copy of the mount at the handle `at`, with everything mounted below it.
pub fn copy_tree(at: BorrowedFd<'_>, recursive: bool) -> Result<OwnedFd, Errno> {
    let mut flags = OpenTreeFlags::OPEN_TREE_CLONE
        | OpenTreeFlags::OPEN_TREE_CLOEXEC
        | OpenTreeFlags::AT_EMPTY_PATH;
    if recursive {
        flags |= OpenTreeFlags::AT_RECURSIVE;
    }
    open_tree(at, c"", flags)
}

/// Attaches a detached tree on top of the handle `target`.
pub fn attach(tree: BorrowedFd<'_>, target: BorrowedFd<'_>) -> Result<(), Errno> {
    let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH;
    move_mount(tree, c"", target, c"", flags)
}

/// mount_setattr(2), Linux 5.12: adds attributes to the attached mount that `tree` is the root of,
/// and with `recursive` to all below it. Before 5.12 the mount itself is remounted through /proc,
/// which must be the host's still, and those below it stay as they are.
pub fn add_attributes(
    tree: BorrowedFd<'_>,
    attributes: MountAttrFlags,
    recursive: bool,
) -> Result<(), Errno> {
    let attr = MountAttr { attr_set: attributes.bits().into(), ..MountAttr::default() };
    match set_attributes(tree, &attr, recursive) {
        Err(Errno::NOSYS) => remount(tree, attributes),
        result => result,
    }
}

/// mount_setattr(2) of both masks of MOUNT_ATTR_ at once.
pub fn set_and_clear(
    tree: BorrowedFd<'_>,
    set: u32,
    clear: u32,
    recursive: bool,
) -> Result<(), Errno> {
    let attr = MountAttr { attr_set: set.into(), attr_clr: clear.into(), ..MountAttr::default() };
    set_attributes(tree, &attr, recursive)
}

/// Makes the attached mount whose root is `tree`, and all below it, private: mounts made
/// elsewhere don't appear in it.
pub fn make_private(tree: BorrowedFd<'_>) -> Result<(), Errno> {
    set_propagation(tree, MountPropagationFlags::PRIVATE, true)
}

/// Sets the propagation of the attached mount that `tree` is the root of, and with `recursive` of all
/// below it. Before Linux 5.12 by its path in the host's /proc.
pub fn set_propagation(
    tree: BorrowedFd<'_>,
    kind: MountPropagationFlags,
    recursive: bool,
) -> Result<(), Errno> {
    let attr = MountAttr { propagation: kind.bits().into(), ..MountAttr::default() };
    match set_attributes(tree, &attr, recursive) {
        Err(Errno::NOSYS) => {
            let all = if recursive { kind | MountPropagationFlags::REC } else { kind };
            mount_change(format!("/proc/self/fd/{}", tree.as_raw_fd()), all)
        }
        result => result,
    }
}

/// mount_setattr(2), MOUNT_ATTR_IDMAP: shows the files of a detached tree, and with `recursive` of
/// all below it, to everyone as if their owners on disk were those of the user namespace: UID 0 on
/// disk is that namespace's root. Needs Linux 5.12 and a file system that knows of it.
pub fn map_owners(
    tree: BorrowedFd<'_>,
    user_namespace: BorrowedFd<'_>,
    recursive: bool,
) -> Result<(), Errno> {
    /// linux/mount.h
    const MOUNT_ATTR_IDMAP: u64 = 0x0010_0000;
    let userns_fd = user_namespace.as_raw_fd() as u64;
    let attr = MountAttr { attr_set: MOUNT_ATTR_IDMAP, userns_fd, ..MountAttr::default() };
    set_attributes(tree, &attr, recursive)
}

/// The kernel's version 0 of struct mount_attr.
#[repr(C)]
#[derive(Default)]
struct MountAttr {
    attr_set: u64,
    attr_clr: u64,
    propagation: u64,
    userns_fd: u64,
}

fn set_attributes(tree: BorrowedFd<'_>, attr: &MountAttr, recursive: bool) -> Result<(), Errno> {
    let flags = libc::AT_EMPTY_PATH | if recursive { libc::AT_RECURSIVE } else { 0 };
    // SAFETY: the path is an empty C string, attr is of the layout that its size, which is passed,
    // stands for; both outlive the call.
    let result = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            tree.as_raw_fd(),
            c"".as_ptr(),
            flags,
            std::ptr::from_ref(attr),
            std::mem::size_of::<MountAttr>(),
        )
    };
    if result == 0 { Ok(()) } else { Err(last_errno()) }
}

fn remount(tree: BorrowedFd<'_>, attributes: MountAttrFlags) -> Result<(), Errno> {
    let flags = [
        (MountAttrFlags::MOUNT_ATTR_RDONLY, MountFlags::RDONLY),
        (MountAttrFlags::MOUNT_ATTR_NOSUID, MountFlags::NOSUID),
        (MountAttrFlags::MOUNT_ATTR_NODEV, MountFlags::NODEV),
        (MountAttrFlags::MOUNT_ATTR_NOEXEC, MountFlags::NOEXEC),
    ]
    .into_iter()
    .filter(|(attribute, _)| attributes.contains(*attribute))
    .fold(MountFlags::BIND, |flags, (_, flag)| flags | flag);
    rustix::mount::mount_remount(format!("/proc/self/fd/{}", tree.as_raw_fd()), flags, c"")
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::fs::{Mode, OFlags, StatVfsMountFlags, fstatvfs, open, openat};

    /// On a detached copy of the host's /dev with the file systems that stand in it.
    #[test]
    fn attributes_reach_the_mounts_below_where_they_shall() {
        let path = OFlags::PATH | OFlags::CLOEXEC;
        let dev = open("/dev", path, Mode::empty()).unwrap();
        for recursive in [false, true] {
            let tree = copy_tree(dev.as_fd(), true).unwrap();
            add_attributes(tree.as_fd(), MountAttrFlags::MOUNT_ATTR_RDONLY, recursive).unwrap();
            let below = openat(&tree, "pts", path, Mode::empty()).unwrap();
            let is_read_only = |fd: BorrowedFd<'_>| {
                fstatvfs(fd).unwrap().f_flag.contains(StatVfsMountFlags::RDONLY)
            };
            assert!(is_read_only(tree.as_fd()));
            assert_eq!(is_read_only(below.as_fd()), recursive);
        }
    }
}
