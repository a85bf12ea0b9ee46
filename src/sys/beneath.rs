//! Resolves paths inside a container's or an image's tree, so that no path leads out of the tree.
//!
//! The kernel resolves the path: openat2(2) with RESOLVE_IN_ROOT treats the given descriptor as `/`
//! for absolute names, `..` and symbolic links. With RESOLVE_NO_MAGICLINKS openat2(2) also refuses
//! the magic links of /proc. The result is a descriptor (except for `resolve_last`), and callers
//! use the descriptor instead of the path: a process in the container could swap a path's
//! components between two uses.

use std::ffi::OsStr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path};

use rustix::fs::{Mode, OFlags, ResolveFlags, mkdirat, openat, openat2, readlinkat};
use rustix::io::Errno;

use crate::error::Error;

/// The maximum number of tries of an openat2(2) call. A try may fail with EAGAIN if another process
/// renames a file while the kernel resolves a path with `..`.
const MAX_TRIES: u32 = 128;
/// The maximum number of symbolic links that the kernel follows in a path (path_resolution(7)).
const MAX_LINKS: u32 = 40;

/// The error for the user after an open with O_NONBLOCK has failed with `errno`.
///
/// EAGAIN has two usual causes. A program may hold a lease on the file (F_SETLEASE, fcntl(2));
/// without O_NONBLOCK the open would wait, by default for up to 45 seconds. Or all `MAX_TRIES`
/// tries failed, because the path has `..` and other processes rename files all the time.
pub fn open_error(errno: Errno) -> Error {
    match errno {
        Errno::AGAIN => Error::new(
            "a program holds a lease on this file, or renames files all the time; try again in a \
             minute",
        ),
        errno => errno.into(),
    }
}

/// Opens `path` as a process with the root directory `root` would. The result is always inside
/// `root`. Adds O_CLOEXEC to `flags`. Fails with the errors of openat2(2), and with ELOOP if `path`
/// leads through a magic link.
pub fn open(
    root: BorrowedFd<'_>,
    path: &Path,
    flags: OFlags,
    mode: Mode,
) -> Result<OwnedFd, Errno> {
    open_resolving(root, path, flags, mode, ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS)
}

/// As [`open`], but fails with ELOOP if any component of `path` is a symbolic link. With O_PATH and
/// O_NOFOLLOW the last component may be a link, and the result is a handle to the link.
pub fn open_without_links(
    root: BorrowedFd<'_>,
    path: &Path,
    flags: OFlags,
    mode: Mode,
) -> Result<OwnedFd, Errno> {
    open_resolving(root, path, flags, mode, ResolveFlags::IN_ROOT | ResolveFlags::NO_SYMLINKS)
}

/// The longest path that the kernel takes in one call, in bytes: PATH_MAX without the final NUL.
const MAX_AT_ONCE: usize = 4095;

/// As [`open`], for a path without `..` that may be longer than PATH_MAX. A long path is resolved
/// in pieces. Symbolic links in the first piece are followed inside `root`. A symbolic link in a
/// later piece is ELOOP, because an absolute link would start at the wrong directory.
pub fn open_long(root: BorrowedFd<'_>, path: &Path, flags: OFlags) -> Result<OwnedFd, Errno> {
    let Some((first, rest)) = first_piece(path)? else {
        return open(root, path, flags, Mode::empty());
    };
    let above = open(root, first, OFlags::PATH | OFlags::DIRECTORY, Mode::empty())?;
    open_long_without_links(&above, rest, flags)
}

/// As [`open_without_links`], for a path without `..` that may be longer than PATH_MAX. Fails with
/// EXDEV if `path` is absolute.
pub fn open_long_without_links(
    directory: &OwnedFd,
    path: &Path,
    flags: OFlags,
) -> Result<OwnedFd, Errno> {
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
    let mut above: Option<OwnedFd> = None;
    let mut path = path;
    while let Some((piece, rest)) = first_piece(path)? {
        let from = above.as_ref().unwrap_or(directory).as_fd();
        let handle = OFlags::PATH | OFlags::DIRECTORY;
        above = Some(open_resolving(from, piece, handle, Mode::empty(), resolve)?);
        path = rest;
    }
    let from = above.as_ref().unwrap_or(directory).as_fd();
    open_resolving(from, path, flags, Mode::empty(), resolve)
}

/// Splits a path that is longer than `MAX_AT_ONCE` at a slash. The first piece is the longest that
/// the kernel takes in one call. `None` for any other path.
fn first_piece(path: &Path) -> Result<Option<(&Path, &Path)>, Errno> {
    let bytes = path.as_os_str().as_bytes();
    if bytes.len() <= MAX_AT_ONCE {
        return Ok(None);
    }
    let slash = bytes[1..=MAX_AT_ONCE].iter().rposition(|&byte| byte == b'/');
    let at = slash.ok_or(Errno::NAMETOOLONG)? + 1;
    let part = |bytes| Path::new(OsStr::from_bytes(bytes));
    Ok(Some((part(&bytes[..at]), part(&bytes[at + 1..]))))
}

fn open_resolving(
    root: BorrowedFd<'_>,
    path: &Path,
    flags: OFlags,
    mode: Mode,
    resolve: ResolveFlags,
) -> Result<OwnedFd, Errno> {
    // The kernel refuses an empty path. In this file an empty path means `root` itself.
    let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
    for _ in 0..MAX_TRIES {
        match openat2(root, path, flags | OFlags::CLOEXEC, mode, resolve) {
            Err(Errno::AGAIN | Errno::INTR) => continue,
            result => return result,
        }
    }
    Err(Errno::AGAIN)
}

/// Opens a handle (O_PATH) to the file at `path`. Fails as [`open`] does.
pub fn handle(root: BorrowedFd<'_>, path: &Path) -> Result<OwnedFd, Errno> {
    open(root, path, OFlags::PATH, Mode::empty())
}

/// Opens a handle (O_PATH) to the directory `path`. Creates the directory and its missing parents
/// with `mode`. Symbolic links in `path` are followed inside `root`; a dangling link is ENOENT.
pub fn make_dirs(root: BorrowedFd<'_>, path: &Path, mode: Mode) -> Result<OwnedFd, Errno> {
    let directory = OFlags::PATH | OFlags::DIRECTORY;
    match open(root, path, directory, Mode::empty()) {
        Err(Errno::NOENT) => {}
        result => return result,
    }
    let mut so_far = std::path::PathBuf::new();
    let mut current = open(root, Path::new("."), directory, Mode::empty())?;
    for component in path.components() {
        let Component::Normal(name) = component else {
            if component == Component::ParentDir {
                so_far.push("..");
                current = open(root, &so_far, directory, Mode::empty())?;
            }
            continue;
        };
        so_far.push(name);
        current = match open(root, &so_far, directory, Mode::empty()) {
            Err(Errno::NOENT) => {
                match mkdirat(current.as_fd(), name, mode) {
                    // EEXIST: another process has created the directory, or `name` is a dangling
                    // link. The open below succeeds for the directory and fails for the link.
                    Ok(()) | Err(Errno::EXIST) => {}
                    Err(error) => return Err(error),
                }
                open(root, &so_far, directory, Mode::empty())?
            }
            result => result?,
        };
    }
    Ok(current)
}

/// Opens a handle (O_PATH) to the file `path`, for use as a mount point. Creates a missing file,
/// empty and with `mode`, and its missing parents with mode 0755. If `path` is a dangling symbolic
/// link, as /etc/resolv.conf is in some images, creates the link's target inside `root`. Fails with
/// ELOOP after 40 links.
pub fn make_file(root: BorrowedFd<'_>, path: &Path, mode: Mode) -> Result<OwnedFd, Errno> {
    let mut path = path.to_path_buf();
    for _ in 0..MAX_LINKS {
        match handle(root, &path) {
            Err(Errno::NOENT) => {}
            result => return result,
        }
        let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
            return Err(Errno::ISDIR);
        };
        let directory = make_dirs(root, parent, Mode::from_raw_mode(0o755))?;
        let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::CLOEXEC;
        match openat(&directory, name, flags, mode) {
            Ok(_) => return handle(root, &path),
            Err(Errno::EXIST) => {}
            Err(error) => return Err(error),
        }
        let link = readlinkat(&directory, name, Vec::new())?;
        // `join` drops the parent if the link is absolute. The kernel resolves each `..` in the
        // result.
        path = parent.join(OsStr::from_bytes(link.as_bytes()));
    }
    Err(Errno::LOOP)
}

/// Follows `path` as long as its last component is a symbolic link, and returns the resulting path.
/// The file at that path need not exist. Fails with ELOOP after 40 links.
pub fn resolve_last(root: BorrowedFd<'_>, path: &Path) -> Result<std::path::PathBuf, Errno> {
    let mut path = path.to_path_buf();
    for _ in 0..MAX_LINKS {
        let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
            return Ok(path);
        };
        let directory = OFlags::PATH | OFlags::DIRECTORY;
        let directory = open(root, parent, directory, Mode::empty())?;
        match readlinkat(&directory, name, Vec::new()) {
            // `join` drops the parent if the link is absolute.
            Ok(link) => path = parent.join(OsStr::from_bytes(link.as_bytes())),
            Err(Errno::INVAL | Errno::NOENT) => return Ok(path),
            Err(error) => return Err(error),
        }
    }
    Err(Errno::LOOP)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    struct Tree(std::path::PathBuf, OwnedFd);

    impl Tree {
        fn new(name: &str) -> Tree {
            let dir = std::env::temp_dir().join(format!("beneath-{name}-{}", std::process::id()));
            std::fs::create_dir_all(dir.join("root")).unwrap();
            let fd = rustix::fs::open(dir.join("root"), OFlags::PATH, Mode::empty()).unwrap();
            Tree(dir, fd)
        }
    }

    impl Drop for Tree {
        fn drop(&mut self) {
            let _ = std::fs::remove_dir_all(&self.0);
        }
    }

    /// RESOLVE_IN_ROOT alone refuses magic links too, with EXDEV. openat2(2) says that this may
    /// change, so the test requires ELOOP, the error of RESOLVE_NO_MAGICLINKS.
    #[test]
    fn magic_links_are_refused_by_their_own_flag() {
        let top = rustix::fs::open("/", OFlags::PATH, Mode::empty()).unwrap();
        for link in ["/proc/self/cwd", "/proc/self/root/etc", "/proc/self/fd/0"] {
            assert_eq!(handle(top.as_fd(), Path::new(link)).unwrap_err(), Errno::LOOP, "{link}");
        }
    }

    #[test]
    fn links_stay_inside() {
        let tree = Tree::new("links");
        symlink("/etc", tree.0.join("root/abs")).unwrap();
        symlink("../../..", tree.0.join("root/up")).unwrap();
        assert_eq!(handle(tree.1.as_fd(), Path::new("abs")).unwrap_err(), Errno::NOENT);
        make_dirs(tree.1.as_fd(), Path::new("/up/made"), Mode::from_raw_mode(0o755)).unwrap();
        assert!(tree.0.join("root/made").is_dir());
    }

    #[test]
    fn makes_missing_parents_and_the_target_of_a_dangling_link() {
        let tree = Tree::new("parents");
        let mode = Mode::from_raw_mode(0o755);
        make_file(tree.1.as_fd(), Path::new("/a/b/c"), mode).unwrap();
        assert!(tree.0.join("root/a/b/c").is_file());
        symlink("/nowhere/else", tree.0.join("root/dangling")).unwrap();
        assert!(make_dirs(tree.1.as_fd(), Path::new("/dangling/x"), mode).is_err());
        make_file(tree.1.as_fd(), Path::new("/dangling"), mode).unwrap();
        assert!(tree.0.join("root/nowhere/else").is_file());
    }

    #[test]
    fn a_dangling_link_makes_no_file_outside() {
        let tree = Tree::new("outside");
        let outside = tree.0.join("outside");
        symlink(&outside, tree.0.join("root/absolute")).unwrap();
        symlink("../outside", tree.0.join("root/up")).unwrap();
        for link in ["absolute", "up"] {
            make_file(tree.1.as_fd(), Path::new(link), Mode::from_raw_mode(0o644)).unwrap();
            assert!(!outside.exists(), "{link}");
        }
        assert!(tree.0.join("root/outside").is_file());
    }

    #[test]
    fn a_circle_of_links_ends() {
        let tree = Tree::new("circle");
        symlink("b", tree.0.join("root/a")).unwrap();
        symlink("/a", tree.0.join("root/b")).unwrap();
        assert_eq!(resolve_last(tree.1.as_fd(), Path::new("a")).unwrap_err(), Errno::LOOP);
        let mode = Mode::from_raw_mode(0o644);
        assert_eq!(make_file(tree.1.as_fd(), Path::new("a"), mode).unwrap_err(), Errno::LOOP);
    }

    /// Any rename on the host, in any directory, can make openat2(2) of a path with `..` fail with
    /// EAGAIN.
    #[test]
    fn renames_nearby_fail_no_resolution() {
        let tree = Tree::new("renames");
        std::fs::create_dir_all(tree.0.join("root/a/b")).unwrap();
        let (one, other) = (tree.0.join("one"), tree.0.join("other"));
        std::fs::create_dir(&one).unwrap();
        let path = std::path::PathBuf::from("a/b/../..");
        std::thread::scope(|scope| {
            let renames = scope.spawn(|| {
                for _ in 0..5000 {
                    std::fs::rename(&one, &other).unwrap();
                    std::fs::rename(&other, &one).unwrap();
                }
            });
            while !renames.is_finished() {
                handle(tree.1.as_fd(), &path).unwrap();
            }
        });
    }
}
