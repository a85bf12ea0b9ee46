//! Mounts by descriptor (the mount API of Linux 5.2).
//!
//! A file system or a copy of a mount tree is created detached. The result is then attached to an
//! open descriptor of the target, or to an entry of an open directory. A path of several components
//! would be unsafe as a target, because a process in the container could swap a component. See
//! fsopen(2), open_tree(2), move_mount(2), mount_setattr(2).

use std::ffi::CStr;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::Path;

use linux_raw_sys::general::{MOUNT_ATTR_IDMAP, mount_attr};
use rustix::fs::{
    AtFlags, CWD, Mode, OFlags, StatVfsMountFlags, StatxAttributes, StatxFlags, fstatvfs, openat,
    statx,
};
use rustix::io::Errno;
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, MountFlags, MountPropagationFlags, MoveMountFlags,
    OpenTreeFlags, fsconfig_create, fsconfig_set_flag, fsconfig_set_string, fsmount, fsopen,
    mount_change, move_mount, open_tree,
};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use super::last_errno;

/// Creates a detached mount of a new file system of type `kind`. `source` is what /proc/mounts
/// shows as the device; an empty `source` means `kind`. `options` are keys and values; an option
/// with an empty value is a flag. Fails with the errors of fsopen(2), fsconfig(2) and fsmount(2).
pub fn filesystem(
    kind: &CStr,
    source: &str,
    options: &[(&str, &str)],
    attributes: MountAttrFlags,
) -> Result<OwnedFd, Errno> {
    let context = fsopen(kind, FsOpenFlags::FSOPEN_CLOEXEC)?;
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

/// Creates a detached bind mount of the file or directory `at`. With `recursive`, copies the mounts
/// below `at` too (open_tree(2)).
pub fn copy_tree(at: BorrowedFd<'_>, recursive: bool) -> Result<OwnedFd, Errno> {
    let mut flags = OpenTreeFlags::OPEN_TREE_CLONE
        | OpenTreeFlags::OPEN_TREE_CLOEXEC
        | OpenTreeFlags::AT_EMPTY_PATH;
    if recursive {
        flags |= OpenTreeFlags::AT_RECURSIVE;
    }
    open_tree(at, c"", flags)
}

/// As [`copy_tree`] without `recursive`, for a path that no container controls.
pub fn copy_mount(path: &Path) -> Result<OwnedFd, Errno> {
    open_tree(CWD, path, OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC)
}

/// Runs `act` in the mount namespace `theirs` and then returns to this process's own namespace. The
/// kernel copies a mount only for a process in the mount's namespace. Each change of the namespace
/// moves the root and the working directory to the root of the new namespace. If this process has a
/// second thread, setns(2) fails and `act` is not called.
pub fn in_namespace<T>(theirs: BorrowedFd<'_>, act: impl FnOnce() -> T) -> Result<T, Errno> {
    let ours = openat(CWD, "/proc/self/ns/mnt", OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?;
    move_into_link_name_space(theirs, Some(LinkNameSpaceType::Mount))?;
    let result = act();
    move_into_link_name_space(ours.as_fd(), Some(LinkNameSpaceType::Mount))?;
    Ok(result)
}

/// Attaches a detached tree on top of the handle `target` (move_mount(2)).
pub fn attach(tree: BorrowedFd<'_>, target: BorrowedFd<'_>) -> Result<(), Errno> {
    let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH;
    move_mount(tree, c"", target, c"", flags)
}

/// Attaches a detached tree on top of the entry `name` of `directory`. If the entry is a symbolic
/// link, the link is not followed.
pub fn attach_below(
    tree: BorrowedFd<'_>,
    directory: BorrowedFd<'_>,
    name: &str,
) -> Result<(), Errno> {
    move_mount(tree, c"", directory, name, MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH)
}

/// Whether `path`, relative to `directory`, is the root of a mount (STATX_ATTR_MOUNT_ROOT of
/// statx(2), Linux 5.8). An empty path means `directory` itself. A symbolic link at the end of
/// `path` is not followed. Fails with ENOENT if the path does not exist.
pub fn is_mount_root(directory: BorrowedFd<'_>, path: &Path) -> Result<bool, Errno> {
    let flags = AtFlags::EMPTY_PATH | AtFlags::SYMLINK_NOFOLLOW;
    let found = statx(directory, path, flags, StatxFlags::empty())?;
    Ok(found.stx_attributes.contains(StatxAttributes::MOUNT_ROOT))
}

/// Adds attributes to a mount and clears none. Otherwise as [`set_and_clear`].
pub fn add_attributes(
    tree: BorrowedFd<'_>,
    attributes: MountAttrFlags,
    recursive: bool,
) -> Result<(), Errno> {
    set_and_clear(tree, attributes.bits(), 0, recursive)
}

/// Changes the attributes of the mount whose root is `tree`, and with `recursive` of all mounts
/// below `tree` (mount_setattr(2), Linux 5.12). `set` and `clear` are masks of MOUNT_ATTR_*.
///
/// Before Linux 5.12 the mount itself is remounted by its path in /proc/self/fd, so the mount must
/// be attached and /proc must be mounted. The mounts below `tree` then keep their attributes.
pub fn set_and_clear(
    tree: BorrowedFd<'_>,
    set: u32,
    clear: u32,
    recursive: bool,
) -> Result<(), Errno> {
    let attr = mount_attr { attr_set: set.into(), attr_clr: clear.into(), ..UNCHANGED };
    match set_attributes(tree, &attr, recursive) {
        Err(Errno::NOSYS) => remount(tree, set, clear),
        result => result,
    }
}

/// Makes the attached mount whose root is `tree`, and all mounts below `tree`, private: a mount
/// made in another mount namespace does not appear below `tree` (mount_namespaces(7)).
pub fn make_private(tree: BorrowedFd<'_>) -> Result<(), Errno> {
    set_propagation(tree, MountPropagationFlags::PRIVATE, true)
}

/// Sets the propagation of the attached mount whose root is `tree`, and with `recursive` of all
/// mounts below `tree`. Before Linux 5.12 the mount is found by its path in /proc/self/fd, so /proc
/// must be mounted.
pub fn set_propagation(
    tree: BorrowedFd<'_>,
    kind: MountPropagationFlags,
    recursive: bool,
) -> Result<(), Errno> {
    let attr = mount_attr { propagation: kind.bits().into(), ..UNCHANGED };
    match set_attributes(tree, &attr, recursive) {
        Err(Errno::NOSYS) => {
            let all = if recursive { kind | MountPropagationFlags::REC } else { kind };
            mount_change(format!("/proc/self/fd/{}", tree.as_raw_fd()), all)
        }
        result => result,
    }
}

/// Maps the owners of the files in the detached mount `tree`, and with `recursive` in all mounts
/// below `tree` (MOUNT_ATTR_IDMAP, mount_setattr(2)). A file that UID 0 owns on disk then appears
/// to belong to the root user of `user_namespace`. Needs Linux 5.12. Fails with EINVAL if the file
/// system does not support mapped owners.
pub fn map_owners(
    tree: BorrowedFd<'_>,
    user_namespace: BorrowedFd<'_>,
    recursive: bool,
) -> Result<(), Errno> {
    let userns_fd = user_namespace.as_raw_fd() as u64;
    let attr = mount_attr { attr_set: MOUNT_ATTR_IDMAP.into(), userns_fd, ..UNCHANGED };
    set_attributes(tree, &attr, recursive)
}

/// The attributes of a call that changes nothing.
const UNCHANGED: mount_attr = mount_attr { attr_set: 0, attr_clr: 0, propagation: 0, userns_fd: 0 };

fn set_attributes(tree: BorrowedFd<'_>, attr: &mount_attr, recursive: bool) -> Result<(), Errno> {
    let flags = libc::AT_EMPTY_PATH | if recursive { libc::AT_RECURSIVE } else { 0 };
    // SAFETY: the path is an empty C string. `attr` has the layout of the struct whose size is
    // passed. The path and `attr` outlive the call.
    let result = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            tree.as_raw_fd(),
            c"".as_ptr(),
            flags,
            std::ptr::from_ref(attr),
            std::mem::size_of::<mount_attr>(),
        )
    };
    if result == 0 { Ok(()) } else { Err(last_errno()) }
}

/// Changes the attributes of one mount by mount(2) with MS_REMOUNT. A remount replaces all
/// attributes, so `remount` also passes the present attributes that must stay.
fn remount(tree: BorrowedFd<'_>, set: u32, clear: u32) -> Result<(), Errno> {
    /// ST_NOSYMFOLLOW of statfs(2), which rustix lacks.
    const NOSYMFOLLOW: StatVfsMountFlags = StatVfsMountFlags::from_bits_retain(0x2000);
    const ATTRIBUTES: [(MountAttrFlags, StatVfsMountFlags, MountFlags); 6] = [
        (MountAttrFlags::MOUNT_ATTR_RDONLY, StatVfsMountFlags::RDONLY, MountFlags::RDONLY),
        (MountAttrFlags::MOUNT_ATTR_NOSUID, StatVfsMountFlags::NOSUID, MountFlags::NOSUID),
        (MountAttrFlags::MOUNT_ATTR_NODEV, StatVfsMountFlags::NODEV, MountFlags::NODEV),
        (MountAttrFlags::MOUNT_ATTR_NOEXEC, StatVfsMountFlags::NOEXEC, MountFlags::NOEXEC),
        (
            MountAttrFlags::MOUNT_ATTR_NODIRATIME,
            StatVfsMountFlags::NODIRATIME,
            MountFlags::NODIRATIME,
        ),
        (MountAttrFlags::MOUNT_ATTR_NOSYMFOLLOW, NOSYMFOLLOW, MountFlags::NOSYMFOLLOW),
    ];
    let there = fstatvfs(tree)?.f_flag;
    let mut flags = MountFlags::BIND;
    for (attribute, shown, flag) in ATTRIBUTES {
        let stays = there.contains(shown) && clear & attribute.bits() == 0;
        if stays || set & attribute.bits() != 0 {
            flags |= flag;
        }
    }
    // MOUNT_ATTR__ATIME is not one flag but a field that holds one of three values.
    let field = MountAttrFlags::MOUNT_ATTR__ATIME.bits();
    let is_chosen = clear & field != 0;
    let chosen = |attribute: MountAttrFlags| is_chosen && set & field == attribute.bits();
    flags |= if chosen(MountAttrFlags::MOUNT_ATTR_NOATIME)
        || !is_chosen && there.contains(StatVfsMountFlags::NOATIME)
    {
        MountFlags::NOATIME
    } else if chosen(MountAttrFlags::MOUNT_ATTR_RELATIME)
        || !is_chosen && there.contains(StatVfsMountFlags::RELATIME)
    {
        MountFlags::RELATIME
    } else {
        MountFlags::STRICTATIME
    };
    rustix::mount::mount_remount(format!("/proc/self/fd/{}", tree.as_raw_fd()), flags, c"")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::{clone, seccomp};
    use rustix::fs::{Mode, OFlags, open, openat};

    /// Uses a detached copy of the host's /dev, which contains the mount /dev/pts.
    #[test]
    fn attributes_reach_the_mounts_below_only_if_recursive() {
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

    #[test]
    fn a_mount_root_differs_from_a_directory_below_it() {
        assert!(is_mount_root(CWD, Path::new("/proc")).unwrap());
        assert!(!is_mount_root(CWD, Path::new("/proc/sys")).unwrap());
        let handle = open("/proc", OFlags::PATH | OFlags::CLOEXEC, Mode::empty()).unwrap();
        assert!(is_mount_root(handle.as_fd(), Path::new("")).unwrap());
        assert_eq!(is_mount_root(CWD, Path::new("/missing")), Err(Errno::NOENT));
    }

    /// Makes mount_setattr(2) fail with ENOSYS on this thread, as on a kernel before 5.12.
    fn lack_mount_setattr() {
        const LOAD: u32 = libc::BPF_LD | libc::BPF_W | libc::BPF_ABS;
        const JUMP_EQUAL: u32 = libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K;
        const RETURN: u32 = libc::BPF_RET | libc::BPF_K;
        let number = u32::try_from(libc::SYS_mount_setattr).unwrap();
        let instruction =
            |code: u32, jf, k| seccomp::Instruction { code: code as u16, jt: 0, jf, k };
        let fails = libc::SECCOMP_RET_ERRNO | libc::ENOSYS as u32;
        let program = [
            instruction(LOAD, 0, 0),
            instruction(JUMP_EQUAL, 1, number),
            instruction(RETURN, 0, fails),
            instruction(RETURN, 0, libc::SECCOMP_RET_ALLOW),
        ];
        seccomp::install(&program, seccomp::Flags::default()).unwrap();
    }

    /// The attributes of a new mount after `changes`. Each change is a pair: set, clear.
    fn after(changes: &[(MountAttrFlags, MountAttrFlags)]) -> StatVfsMountFlags {
        let first = MountAttrFlags::MOUNT_ATTR_NOSUID | MountAttrFlags::MOUNT_ATTR_NOEXEC;
        let tree = filesystem(c"tmpfs", "", &[], first).unwrap();
        let target = open("/mnt", OFlags::PATH | OFlags::CLOEXEC, Mode::empty()).unwrap();
        attach(tree.as_fd(), target.as_fd()).unwrap();
        for (set, clear) in changes {
            set_and_clear(tree.as_fd(), set.bits(), clear.bits(), false).unwrap();
        }
        fstatvfs(&tree).unwrap().f_flag
    }

    #[test]
    fn without_mount_setattr_a_change_of_attributes_keeps_the_others() {
        type Attr = MountAttrFlags;
        let none = Attr::empty();
        let atime = Attr::MOUNT_ATTR__ATIME;
        let cases = [
            vec![(Attr::MOUNT_ATTR_RDONLY, none), (Attr::MOUNT_ATTR_NODEV, none)],
            vec![(none, Attr::MOUNT_ATTR_NOEXEC)],
            vec![(Attr::MOUNT_ATTR_RDONLY, Attr::MOUNT_ATTR_NOSUID | Attr::MOUNT_ATTR_NOEXEC)],
            vec![(Attr::MOUNT_ATTR_NOATIME, atime), (Attr::MOUNT_ATTR_NODIRATIME, none)],
            vec![(Attr::MOUNT_ATTR_STRICTATIME, atime), (Attr::MOUNT_ATTR_RDONLY, none)],
            vec![(Attr::MOUNT_ATTR_NOATIME, atime), (Attr::MOUNT_ATTR_RELATIME, atime)],
        ];
        let on_a_thread = || {
            // Only this thread moves to a new mount namespace.
            clone::unshare(clone::Flags::MOUNT).unwrap();
            let private = MountPropagationFlags::PRIVATE | MountPropagationFlags::REC;
            mount_change("/", private).unwrap();
            let with: Vec<_> = cases.iter().map(|changes| after(changes)).collect();
            lack_mount_setattr();
            let bad = Errno::NOSYS;
            let probe = open("/mnt", OFlags::PATH | OFlags::CLOEXEC, Mode::empty()).unwrap();
            assert_eq!(set_attributes(probe.as_fd(), &UNCHANGED, false), Err(bad));
            let without: Vec<_> = cases.iter().map(|changes| after(changes)).collect();
            assert_eq!(without, with);
        };
        std::thread::scope(|scope| scope.spawn(on_a_thread).join()).unwrap();
    }
}
