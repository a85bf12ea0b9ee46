//! Fills an empty volume with the image's files at its mount point, as Docker does.
//!
//! The volume's directory is filled in place and never replaced, because another container may have
//! it mounted. The copy is made in `_data.filling`, which is renamed to `_data.filled` when it is
//! complete. Then the copy's entries are renamed into the volume one by one. If the process is
//! killed before the copy is complete, the next call of `finish` removes the copy. If the process
//! is killed later, the next container or `system check --repair` moves the rest. The process holds
//! the volume's flock(2), so a second container that starts at the same time waits. Below the
//! image's directory and the volume, the code opens files by descriptor and follows no symbolic
//! link.

use std::ffi::CStr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::fs::{
    AtFlags, Dir, FileType, Gid, Mode, OFlags, RawMode, RenameFlags, SeekFrom, Stat, Timespec,
    Timestamps, Uid, XattrFlags, chownat, fchmod, fchown, fgetxattr, flistxattr, fsetxattr, fstat,
    ftruncate, futimens, linkat, mkdirat, mknodat, openat, readlinkat, renameat, renameat_with,
    seek, sendfile, statat, symlinkat, utimensat,
};
use rustix::io::Errno;

use super::user_namespace::map_owners;
use crate::error::{Context, Result, shortened};
use crate::store::walk::{DIRECTORY, Descent, Links, Names};
use crate::store::{Lock, LockMode};
use crate::sys::{self, beneath};

/// The largest size in bytes of an attribute's value, and of the list of a file's attributes
/// (xattr(7)).
const MAX_XATTR: usize = 64 << 10;
/// The name of the incomplete copy, beside the volume's `_data`.
pub const FILLING: &str = "_data.filling";
/// The name of the complete copy, from which entries move into the volume.
pub const FILLED: &str = "_data.filled";

/// Copies the directory `target` of the image into the volume directory `volume` if the volume is
/// empty. If an earlier copy was complete but only partly moved into the volume, moves the rest.
/// `root` is the container's root. With `user_namespace`, the owners are stored as IDs of that user
/// namespace.
pub fn fill(
    root: BorrowedFd<'_>,
    target: &Path,
    volume: &Path,
    user_namespace: Option<BorrowedFd<'_>>,
) -> Result<()> {
    let (beside, filled) = (volume.with_file_name(FILLING), volume.with_file_name(FILLED));
    let empty = || is_empty(volume).context(|| format!("read volume {}", volume.display()));
    if !empty()? && !filled.exists() {
        return Ok(());
    }
    // Copy from a clone of the root's mount, without the mounts below it. The mounts on /proc and
    // /sys have files that are masked later, and the user's mounts are not a part of the image.
    let image = sys::mount::copy_tree(root, false).context(|| "copy the root's mount")?;
    let flags = OFlags::RDONLY | OFlags::DIRECTORY;
    let source = match beneath::open(image.as_fd(), target, flags, Mode::empty()) {
        Ok(source) => Some(source),
        // The image has no directory at `target`.
        Err(Errno::NOENT | Errno::NOTDIR) => None,
        Err(error) => return Err(error).context(|| format!("open {}", target.display())),
    };
    if source.is_none() && !filled.exists() {
        return Ok(());
    }
    let home = volume.parent().unwrap_or(volume);
    let _filling = Lock::wait_existing(home, LockMode::Exclusive)?;
    let copied = (|| -> Result<()> {
        finish(volume)?;
        let Some(source) = source.filter(|_| empty().unwrap_or(false)) else { return Ok(()) };
        crate::store::make_dir(&beside)?;
        let mut copy = rustix::fs::open(&beside, DIRECTORY, Mode::empty())?;
        if let Some(user_namespace) = user_namespace {
            // On disk the directory must belong to UID 0. In the mapped mount it then belongs to
            // this process's user.
            fchown(&copy, Some(Uid::ROOT), Some(Gid::ROOT))?;
            let tree = sys::mount::copy_tree(copy.as_fd(), false)?;
            map_owners(tree.as_fd(), user_namespace, &beside)?;
            copy = openat(&tree, ".", DIRECTORY, Mode::empty())?;
        }
        copy_tree(source, copy)?;
        // Another container may have written to the volume by now. Then that container's files
        // stay, and `finish` removes the copy.
        if empty()? {
            rustix::fs::rename(&beside, &filled)?;
        }
        finish(volume)
    })();
    copied.context(|| format!("fill volume {} from {}", volume.display(), target.display()))
}

/// Moves the entries of a complete copy into the volume directory, and removes an incomplete copy.
/// The caller holds the volume's lock. If the process is killed, a later call does the rest.
pub fn finish(volume: &Path) -> Result<()> {
    crate::store::remove_tree(&volume.with_file_name(FILLING))?;
    let filled = volume.with_file_name(FILLED);
    let from = match rustix::fs::open(&filled, DIRECTORY, Mode::empty()) {
        Err(Errno::NOENT) => return Ok(()),
        result => result?,
    };
    let to = rustix::fs::open(volume, DIRECTORY, Mode::empty())?;
    let stat = fstat(&from)?;
    // Reading a directory while its entries are removed may skip entries, so read the directory
    // again until no entry is moved.
    while move_entries(from.as_fd(), to.as_fd())? {}
    copy_attributes(from.as_fd(), to.as_fd(), &stat)?;
    // If a container has created a file with the same name, the entry stays in the copy and is
    // removed with the copy.
    crate::store::remove_tree(&filled)
}

/// Moves entries whose names `to` does not have. Returns whether an entry was moved.
fn move_entries(from: BorrowedFd<'_>, to: BorrowedFd<'_>) -> Result<bool, Errno> {
    let mut moved = false;
    for entry in Dir::read_from(from)? {
        let entry = entry?;
        let name = entry.file_name();
        if matches!(name.to_bytes(), b"." | b"..") {
            continue;
        }
        let renamed = match renameat_with(from, name, to, name, RenameFlags::NOREPLACE) {
            // Some file systems do not support RENAME_NOREPLACE.
            Err(Errno::INVAL) => match statat(to, name, AtFlags::SYMLINK_NOFOLLOW) {
                Err(Errno::NOENT) => renameat(from, name, to, name),
                result => result.and(Err(Errno::EXIST)),
            },
            result => result,
        };
        match renamed {
            Err(Errno::EXIST) => {}
            result => {
                result?;
                moved = true;
            }
        }
    }
    Ok(moved)
}

fn is_empty(directory: &Path) -> Result<bool, Errno> {
    let directory = rustix::fs::open(directory, DIRECTORY, Mode::empty())?;
    for entry in Dir::read_from(&directory)? {
        if !matches!(entry?.file_name().to_bytes(), b"." | b"..") {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Copies the directory `target` of `root` into the empty directory `tree`. Does nothing if
/// `target` does not exist or is no directory.
pub fn copy_into(root: BorrowedFd<'_>, target: &Path, tree: BorrowedFd<'_>) -> Result<()> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY;
    let source = match beneath::open(root, target, flags, Mode::empty()) {
        Err(Errno::NOENT | Errno::NOTDIR) => return Ok(()),
        opened => opened.context(|| format!("open {}", target.display()))?,
    };
    let copy =
        openat(tree, ".", DIRECTORY, Mode::empty()).context(|| "open the new file system")?;
    copy_tree(source, copy).context(|| format!("copy what {} has", target.display()))
}

/// Copies all entries of `from`, and the attributes of `from` itself.
fn copy_tree(from: OwnedFd, to: OwnedFd) -> Result<()> {
    let top = openat(&to, ".", DIRECTORY, Mode::empty())?;
    let (mut from, mut to) = (Descent::new(from), Descent::new(to));
    let (mut names, mut links) = (Names::default(), Links::default());
    let mut path = Vec::new();
    names.enter();
    loop {
        let Some(name) = names.next(&[from.current()])? else {
            copy_attributes(from.current(), to.current(), &fstat(from.current())?)?;
            if !names.leave() {
                return Ok(());
            }
            from.up()?;
            to.up()?;
            path.pop();
            let above = path.iter().rposition(|&byte| byte == b'/').map_or(0, |slash| slash + 1);
            path.truncate(above);
            continue;
        };
        let length = path.len();
        path.extend_from_slice(name.to_bytes());
        let copied =
            copy_entry(from.current(), to.current(), &name, top.as_fd(), &path, &mut links);
        if copied.context(|| format!("copy '{}'", shortened(&path)))? {
            from.down(openat(from.current(), &name, DIRECTORY, Mode::empty())?)?;
            to.down(openat(to.current(), &name, DIRECTORY, Mode::empty())?)?;
            names.enter();
            path.push(b'/');
        } else {
            path.truncate(length);
        }
    }
}

/// Copies one entry. For a directory only creates an empty directory, and returns true.
fn copy_entry(
    from: BorrowedFd<'_>,
    to: BorrowedFd<'_>,
    name: &CStr,
    top: BorrowedFd<'_>,
    path: &[u8],
    links: &mut Links,
) -> Result<bool> {
    let stat = statat(from, name, AtFlags::SYMLINK_NOFOLLOW)?;
    let kind = FileType::from_raw_mode(stat.st_mode);
    if kind != FileType::Directory
        && stat.st_nlink > 1
        && let Some(first) = links.first_path(&stat, path)?
    {
        // No container can reach the copy yet, so no component of its path can become a symbolic
        // link.
        linkat(top, first, to, name, AtFlags::empty())?;
        return Ok(false);
    }
    match kind {
        FileType::Directory => {
            mkdirat(to, name, Mode::from_raw_mode(0o700))?;
            return Ok(true);
        }
        FileType::RegularFile => {
            let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            let source = openat(from, name, flags, Mode::empty())?;
            let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
            let copy = openat(to, name, flags, Mode::from_raw_mode(0o600))?;
            copy_bytes(&source, &copy, &stat)?;
            copy_attributes(source.as_fd(), copy.as_fd(), &stat)?;
        }
        FileType::Symlink => {
            symlinkat(readlinkat(from, name, Vec::new())?.as_c_str(), to, name)?;
            chown_link(to, name, &stat)?;
        }
        kind => {
            let mode = Mode::from_raw_mode(stat.st_mode as RawMode & 0o7777);
            mknodat(to, name, kind, mode, stat.st_rdev)?;
            chown_link(to, name, &stat)?;
        }
    }
    Ok(false)
}

fn chown_link(to: BorrowedFd<'_>, name: &CStr, stat: &Stat) -> Result<(), Errno> {
    let owner = (Some(Uid::from_raw(stat.st_uid)), Some(Gid::from_raw(stat.st_gid)));
    chownat(to, name, owner.0, owner.1, AtFlags::SYMLINK_NOFOLLOW)?;
    utimensat(to, name, &times(stat), AtFlags::SYMLINK_NOFOLLOW)
}

/// Copies owner, mode, extended attributes and times. The owner comes first, because a change of
/// the owner clears the set-user-ID bit and file capabilities (chown(2)).
fn copy_attributes(from: BorrowedFd<'_>, to: BorrowedFd<'_>, stat: &Stat) -> Result<(), Errno> {
    fchown(to, Some(Uid::from_raw(stat.st_uid)), Some(Gid::from_raw(stat.st_gid)))?;
    fchmod(to, Mode::from_raw_mode(stat.st_mode as RawMode & 0o7777))?;
    let mut names = vec![0; MAX_XATTR];
    let length = match flistxattr(from, &mut names) {
        Err(Errno::OPNOTSUPP) => 0,
        result => result?,
    };
    let mut value = if length > 0 { vec![0; MAX_XATTR] } else { Vec::new() };
    for name in names[..length].split(|&byte| byte == 0).filter(|name| !name.is_empty()) {
        // These attributes describe the layer of an overlayfs, and mean nothing in a volume.
        if name.starts_with(b"trusted.overlay.") {
            continue;
        }
        let length = fgetxattr(from, name, &mut value)?;
        fsetxattr(to, name, &value[..length], XattrFlags::empty())?;
    }
    futimens(to, &times(stat))
}

fn times(stat: &Stat) -> Timestamps {
    let timespec = |seconds, ns| Timespec { tv_sec: seconds as _, tv_nsec: ns as _ };
    Timestamps {
        last_access: timespec(stat.st_atime, stat.st_atime_nsec),
        last_modification: timespec(stat.st_mtime, stat.st_mtime_nsec),
    }
}

/// Copies the data, and leaves holes where the original has holes.
fn copy_bytes(from: &OwnedFd, to: &OwnedFd, stat: &Stat) -> Result<(), Errno> {
    // The largest number of bytes that one sendfile(2) copies.
    const CHUNK: u64 = 0x7fff_f000;
    let size = stat.st_size as u64;
    let (mut at, mut end) = (0, size);
    // The blocks of a file with holes usually hold less than its size. A block has 512 bytes.
    let has_holes = (stat.st_blocks as u64) * 512 < size;
    while at < size {
        if has_holes {
            at = match seek(from, SeekFrom::Data(at)) {
                Err(Errno::NXIO) => break,
                result => result?,
            };
            end = seek(from, SeekFrom::Hole(at))?;
            seek(from, SeekFrom::Start(at))?;
            seek(to, SeekFrom::Start(at))?;
        }
        while at < end {
            match sendfile(to, from, None, (end - at).min(CHUNK) as usize)? {
                0 => return Ok(()),
                count => at += count as u64,
            }
        }
    }
    if has_holes { ftruncate(to, size) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::MetadataExt;

    use super::*;

    /// Whether a process waits for the flock(2) of the file with this inode.
    fn is_waited_for(inode: u64) -> bool {
        let locks = fs::read_to_string("/proc/locks").unwrap();
        let of_inode = |line: &str| {
            line.split(' ').any(|word| word.rsplit(':').next() == Some(&inode.to_string()))
        };
        locks.lines().any(|line| line.contains("-> FLOCK") && of_inode(line))
    }

    #[test]
    fn a_second_container_waits_until_the_volume_is_filled() {
        let dir = std::env::temp_dir().join(format!("copy-up-{}", std::process::id()));
        let (root, volume) = (dir.join("root"), dir.join("volume/_data"));
        for made in [&root.join("data"), &volume] {
            fs::create_dir_all(made).unwrap();
        }
        fs::write(root.join("data/file"), "the second's").unwrap();
        let home = dir.join("volume");
        let first = Lock::wait_existing(&home, LockMode::Exclusive).unwrap();
        // The first container has an incomplete copy.
        fs::create_dir(home.join(FILLING)).unwrap();
        fs::write(home.join(FILLING).join("file"), "the first's").unwrap();
        std::thread::scope(|scope| {
            let (root, volume) = (rustix::fs::open(&root, DIRECTORY, Mode::empty()), &volume);
            let root = root.unwrap();
            let second = scope.spawn(move || fill(root.as_fd(), Path::new("/data"), volume, None));
            let inode = fs::metadata(&home).unwrap().ino();
            while !is_waited_for(inode) {
                assert!(!second.is_finished(), "it doesn't wait");
                std::thread::yield_now();
            }
            fs::rename(home.join(FILLING), volume).unwrap();
            drop(first);
            second.join().unwrap().unwrap();
        });
        assert_eq!(fs::read_to_string(volume.join("file")).unwrap(), "the first's");
        assert!(!home.join(FILLING).exists());
        fs::remove_dir_all(&dir).unwrap();
    }

    /// Creates a root with the directory `data`, and an empty volume beside the root.
    fn root_and_volume(name: &str) -> (std::path::PathBuf, OwnedFd) {
        let dir = std::env::temp_dir().join(format!("copy-up-{name}-{}", std::process::id()));
        for made in ["root/data", "volume/_data"] {
            fs::create_dir_all(dir.join(made)).unwrap();
        }
        let root = rustix::fs::open(dir.join("root"), DIRECTORY, Mode::empty()).unwrap();
        (dir, root)
    }

    #[test]
    fn a_file_that_is_in_the_volume_stays() {
        let (dir, _root) = root_and_volume("stays");
        let (filled, volume) = (dir.join("volume").join(FILLED), dir.join("volume/_data"));
        fs::create_dir(&filled).unwrap();
        for name in ["both", "image"] {
            fs::write(filled.join(name), "the image's").unwrap();
        }
        fs::write(volume.join("both"), "the container's").unwrap();
        finish(&volume).unwrap();
        assert_eq!(fs::read_to_string(volume.join("both")).unwrap(), "the container's");
        assert_eq!(fs::read_to_string(volume.join("image")).unwrap(), "the image's");
        assert!(!filled.exists());
        fs::remove_dir_all(&dir).unwrap();
    }

    #[test]
    fn attributes_of_overlayfs_are_not_copied() {
        let (dir, root) = root_and_volume("attributes");
        let (opaque, other) = ("trusted.overlay.opaque", "trusted.other");
        let source = rustix::fs::open(dir.join("root/data"), DIRECTORY, Mode::empty()).unwrap();
        for name in [opaque, other] {
            fsetxattr(&source, name, b"y", XattrFlags::empty()).unwrap();
        }
        let volume = dir.join("volume/_data");
        fs::write(dir.join("root/data/file"), "the image's").unwrap();
        fill(root.as_fd(), Path::new("/data"), &volume, None).unwrap();
        let copy = rustix::fs::open(&volume, DIRECTORY, Mode::empty()).unwrap();
        let has = |name: &str| fgetxattr(&copy, name, &mut [0; 8]).is_ok();
        assert!(has(other) && !has(opaque));
        fs::remove_dir_all(&dir).unwrap();
    }
}
