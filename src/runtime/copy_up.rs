//! Fills an empty volume with what the image has at its mount point, as Docker does.
//!
//! The copy is made beside the volume's directory and renamed over it: a volume is empty or whole,
//! never half filled, wherever this is killed. Who fills one holds its directory by flock(2): of two
//! containers that begin at once the second waits for the first's copy. Both sides are walked by
//! descriptor, no link is followed.

use std::collections::HashMap;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::fs::{
    AtFlags, Dir, FileType, Gid, Mode, OFlags, RawMode, Stat, Timespec, Timestamps, Uid,
    XattrFlags, chownat, fchmod, fchown, fgetxattr, flistxattr, fsetxattr, fstat, futimens, linkat,
    mkdirat, mknodat, openat, readlinkat, statat, symlinkat, utimensat,
};
use rustix::io::Errno;

use super::user_namespace::map_owners;
use crate::error::{Context, Result};
use crate::store::{Lock, LockMode};
use crate::sys::{self, beneath};

/// The copy, until it is whole.
pub const FILLING: &str = "_data.filling";

const DIRECTORY: OFlags =
    OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// Copies `target` of the image into the volume directory `volume` if that is empty. The owners in
/// the volume are those of the user namespace, as they are in `root`.
pub fn fill(
    root: BorrowedFd<'_>,
    target: &Path,
    volume: &Path,
    user_namespace: Option<BorrowedFd<'_>>,
) -> Result<()> {
    // Without what is mounted in the root by now: /proc and /sys tell us all that they will hide from
    // the container, and the user's directories are none of the image's.
    let image = sys::mount::copy_tree(root, false).context(|| "copy the root's mount")?;
    let flags = OFlags::RDONLY | OFlags::DIRECTORY;
    let source = match beneath::open(image.as_fd(), target, flags, Mode::empty()) {
        Ok(source) => source,
        // Nothing there to copy.
        Err(Errno::NOENT | Errno::NOTDIR) => return Ok(()),
        Err(error) => return Err(error).context(|| format!("open {}", target.display())),
    };
    let empty = || is_empty(volume).context(|| format!("read volume {}", volume.display()));
    if !empty()? {
        return Ok(());
    }
    let home = volume.parent().unwrap_or(volume);
    let _filling = Lock::wait_existing(home, LockMode::Exclusive)?;
    if !empty()? {
        return Ok(());
    }
    let beside = volume.with_file_name(FILLING);
    // Left by a copy that was killed.
    crate::store::remove_tree(&beside)?;
    let copied = (|| -> Result<()> {
        crate::store::make_dir(&beside)?;
        let mut copy = rustix::fs::open(&beside, DIRECTORY, Mode::empty())?;
        if let Some(user_namespace) = user_namespace {
            // Made by whom its mapped mount doesn't know.
            fchown(&copy, Some(Uid::ROOT), Some(Gid::ROOT))?;
            let tree = sys::mount::copy_tree(copy.as_fd(), false)?;
            map_owners(tree.as_fd(), user_namespace, &beside)?;
            copy = openat(&tree, ".", DIRECTORY, Mode::empty())?;
        }
        copy_tree(source.as_fd(), copy.as_fd(), &mut HashMap::new())?;
        copy_attributes(source.as_fd(), copy.as_fd(), &fstat(&source)?)?;
        match rustix::fs::rename(&beside, volume) {
            // Another container filled it meanwhile: theirs stands.
            Err(Errno::NOTEMPTY | Errno::EXIST) => crate::store::remove_tree(&beside),
            result => Ok(result?),
        }
    })();
    copied.context(|| format!("fill volume {} from {}", volume.display(), target.display()))
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

/// Where a file with several names was put first: its device and inode, and the copy.
type Links = HashMap<(u64, u64), OwnedFd>;

fn copy_tree(from: BorrowedFd<'_>, to: BorrowedFd<'_>, links: &mut Links) -> Result<(), Errno> {
    for entry in Dir::read_from(from)? {
        let entry = entry?;
        let name = entry.file_name();
        if matches!(name.to_bytes(), b"." | b"..") {
            continue;
        }
        let stat = statat(from, name, AtFlags::SYMLINK_NOFOLLOW)?;
        let key = (stat.st_dev, stat.st_ino);
        if let Some(first) = links.get(&key) {
            linkat(first, c"", to, name, AtFlags::EMPTY_PATH)?;
            continue;
        }
        match FileType::from_raw_mode(stat.st_mode) {
            FileType::Directory => {
                mkdirat(to, name, Mode::from_raw_mode(0o700))?;
                let source = openat(from, name, DIRECTORY, Mode::empty())?;
                let copy = openat(to, name, DIRECTORY, Mode::empty())?;
                copy_tree(source.as_fd(), copy.as_fd(), links)?;
                copy_attributes(source.as_fd(), copy.as_fd(), &stat)?;
            }
            FileType::RegularFile => {
                let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
                let source = openat(from, name, flags, Mode::empty())?;
                let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
                let copy = openat(to, name, flags, Mode::from_raw_mode(0o600))?;
                copy_bytes(&source, &copy)?;
                copy_attributes(source.as_fd(), copy.as_fd(), &stat)?;
                if stat.st_nlink > 1 {
                    links.insert(key, copy);
                }
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
    }
    Ok(())
}

fn chown_link(to: BorrowedFd<'_>, name: &std::ffi::CStr, stat: &Stat) -> Result<(), Errno> {
    let owner = (Some(Uid::from_raw(stat.st_uid)), Some(Gid::from_raw(stat.st_gid)));
    chownat(to, name, owner.0, owner.1, AtFlags::SYMLINK_NOFOLLOW)?;
    utimensat(to, name, &times(stat), AtFlags::SYMLINK_NOFOLLOW)
}

/// Owner first, then mode and xattrs: a change of owner clears set-user-ID and file capabilities.
fn copy_attributes(from: BorrowedFd<'_>, to: BorrowedFd<'_>, stat: &Stat) -> Result<(), Errno> {
    fchown(to, Some(Uid::from_raw(stat.st_uid)), Some(Gid::from_raw(stat.st_gid)))?;
    fchmod(to, Mode::from_raw_mode(stat.st_mode as RawMode & 0o7777))?;
    let mut names = [0u8; 4096];
    let length = match flistxattr(from, &mut names) {
        Err(Errno::OPNOTSUPP) => 0,
        result => result?,
    };
    for name in names[..length].split(|&byte| byte == 0).filter(|name| !name.is_empty()) {
        // overlayfs's own bookkeeping belongs to the layer it was made in.
        if name.starts_with(b"trusted.overlay.") {
            continue;
        }
        let mut value = vec![0u8; 64 << 10];
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

fn copy_bytes(from: &OwnedFd, to: &OwnedFd) -> Result<(), Errno> {
    // sendfile(2) moves at most this many bytes a call.
    const CHUNK: usize = 0x7fff_f000;
    while rustix::fs::sendfile(to, from, None, CHUNK)? > 0 {}
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::MetadataExt;

    use super::*;

    /// Whether somebody waits for the flock(2) of the file with this inode.
    fn is_waited_for(inode: u64) -> bool {
        let locks = fs::read_to_string("/proc/locks").unwrap();
        let of_inode = |line: &str| {
            line.split(' ').any(|word| word.rsplit(':').next() == Some(&inode.to_string()))
        };
        locks.lines().any(|line| line.contains("-> FLOCK") && of_inode(line))
    }

    #[test]
    fn who_fills_a_volume_is_waited_for() {
        let dir = std::env::temp_dir().join(format!("copy-up-{}", std::process::id()));
        let (root, volume) = (dir.join("root"), dir.join("volume/_data"));
        for made in [&root.join("data"), &volume] {
            fs::create_dir_all(made).unwrap();
        }
        fs::write(root.join("data/file"), "the second's").unwrap();
        let home = dir.join("volume");
        let first = Lock::wait_existing(&home, LockMode::Exclusive).unwrap();
        // What the first copied by now.
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
}
