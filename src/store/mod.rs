//! Crash-safe flat files: one fact in each file, and no index over the files.
//!
//! To replace a file, a writer writes a temporary file in the same directory and renames it over
//! the old file. A reader sees the old fact or the new one, never a mixture (rename(2)). A file
//! that must survive a power cut is fsynced before the rename, and its directory after the rename.
//! Other files are only renamed, because fsync is slow and wears out flash. flock(2) on a file or a
//! directory excludes other processes. The kernel releases the lock when its holder ends, even if
//! the holder is killed.

pub mod fields;
pub mod file_system;
pub mod journal;
mod lock;
mod removal;
mod roots;
mod size;
mod text;
pub mod walk;

use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use miniserde::{Deserialize, Serialize};
use rustix::fs::{CWD, Mode, OFlags};
#[cfg(feature = "build")]
use rustix::fs::{IFlags, ioctl_getflags, ioctl_setflags};
use rustix::io::Errno;

use crate::error::{Context, Error, Result};

pub(crate) use fields::stored_flat;
pub use lock::{Lock, LockMode};
pub use removal::remove_at;
pub use roots::{DEFAULT_ROOT, Roots};
pub use size::tree_size;
pub use text::OrEmpty;
pub(crate) use text::stored_as_text;

/// Whether a change must survive a power cut.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Durability {
    /// Sync the change to the disk (fsync(2)).
    Synced,
    /// Rename only. The change is atomic for every reader, but a power cut may lose the change, or
    /// leave the file empty or incomplete.
    Lazy,
}

/// The most bytes of a state file. `replace_json` writes no larger file, because `read` fails on a
/// larger one.
const MAX_STATE_FILE: u64 = 8 << 20;

/// Replaces the file `path` with `bytes`, mode 0600. If the process dies before the rename, the old
/// file stays, and a temporary file `.NAME.PID.tmp` may remain beside the old file.
/// [`stale_temporaries`] finds such temporary files.
pub fn replace(path: &Path, bytes: &[u8], durability: Durability) -> Result<()> {
    put(path, bytes, durability).map(drop)
}

/// As [`replace`]. Returns the new file, which is open for writing.
fn put(path: &Path, bytes: &[u8], durability: Durability) -> Result<File> {
    let temporary = temporary_beside(path);
    let written = (|| -> Result<File> {
        let mut file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&temporary)?;
        file.write_all(bytes)?;
        if durability == Durability::Synced {
            file.sync_all()?;
        }
        fs::rename(&temporary, path)?;
        Ok(file)
    })();
    if written.is_err() {
        // Ignore an error of the removal, so that the failed write is reported.
        let _ = fs::remove_file(&temporary);
    }
    let file = written.context(|| format!("write {}", path.display()))?;
    if durability == Durability::Synced {
        sync_parent(path)?;
    }
    Ok(file)
}

/// Like [`replace`] with [`Durability::Lazy`], but makes a missing directory again: a cleaner of
/// temporary files may have removed the directory while its container runs.
pub fn replace_in_new_dir(path: &Path, bytes: &[u8]) -> Result<()> {
    match replace(path, bytes, Durability::Lazy) {
        Err(error) if error.errno() == Some(Errno::NOENT) => {
            make_dir(path.parent().unwrap_or(Path::new(".")))?;
            replace(path, bytes, Durability::Lazy)
        }
        result => result,
    }
}

/// Replaces the file `path` with `value` as JSON. Fails if the JSON has more than `MAX_STATE_FILE`
/// bytes, since [`read_json`] could not read such a file.
pub fn replace_json<T: Serialize>(path: &Path, value: &T, durability: Durability) -> Result<()> {
    replace(path, json(path, value)?.as_bytes(), durability)
}

/// As [`replace_json`] with [`Durability::Lazy`]. The file is locked as long as the result lives.
/// [`Directory::read_locked_json`] reads only a locked file.
pub fn replace_json_locked<T: Serialize>(path: &Path, value: &T) -> Result<Lock> {
    let file = put(path, json(path, value)?.as_bytes(), Durability::Lazy)?;
    Lock::take(file, path)
}

fn json<T: Serialize>(path: &Path, value: &T) -> Result<String> {
    let text = crate::json::without_nulls(&miniserde::json::to_string(value));
    if text.len() as u64 > MAX_STATE_FILE {
        return Err(Error::new(format!(
            "{} would have {} bytes, more than the {MAX_STATE_FILE} of a state file",
            path.display(),
            text.len()
        )));
    }
    Ok(text)
}

/// The bytes that the first read(2) of a state file asks for. Most state files are smaller.
const SMALL: usize = 8 << 10;

/// Reads a JSON state file. Returns `None` if the file does not exist. An empty, truncated or
/// foreign file is an error that names the file.
pub fn read_json<T: Deserialize>(path: &Path) -> Result<Option<T>> {
    read(path)?.map(|bytes| parse(path, bytes)).transpose()
}

fn parse<T: Deserialize>(path: &Path, bytes: Vec<u8>) -> Result<T> {
    // The parser allocates for each level of nesting, even in a field that it skips. So the nesting
    // of a file of more than `SMALL` bytes is checked first. A smaller file cannot nest deep enough
    // to matter, and `ps` saves the check of one or two files for each container.
    if bytes.len() > SMALL {
        crate::json::weigh(&path.display().to_string(), &bytes)?;
    }
    let text = std::str::from_utf8(&bytes).ok();
    match text.and_then(|text| miniserde::json::from_str(text).ok()) {
        Some(value) => Ok(value),
        None => Err(Error::new(format!(
            "{} is {}, not a state file of this version",
            path.display(),
            if bytes.is_empty() { "empty" } else { "truncated or foreign" },
        ))),
    }
}

/// Reads a whole file. Returns `None` if the file does not exist. Fails if the file has more than
/// `MAX_STATE_FILE` bytes.
pub fn read(path: &Path) -> Result<Option<Vec<u8>>> {
    match open_existing(path)? {
        Some(file) => read_small(file, path).map(Some),
        None => Ok(None),
    }
}

fn read_small(file: File, path: &Path) -> Result<Vec<u8>> {
    let mut bytes = Vec::with_capacity(SMALL);
    // On usual file systems a read(2) of a regular file fills the buffer unless the file ends, so
    // one call is enough for a small file.
    let start = rustix::io::read(&file, rustix::buffer::spare_capacity(&mut bytes));
    if start.context(|| format!("read {}", path.display()))? == SMALL {
        let read = file.take(MAX_STATE_FILE + 1 - SMALL as u64).read_to_end(&mut bytes);
        read.context(|| format!("read {}", path.display()))?;
    }
    if bytes.len() as u64 > MAX_STATE_FILE {
        return Err(Error::new(format!("{} is larger than any state file", path.display())));
    }
    Ok(bytes)
}

/// A directory that stays open while many files below it are read: the kernel resolves the
/// directory's path once.
pub struct Directory {
    descriptor: OwnedFd,
    path: PathBuf,
}

impl Directory {
    /// Opens a directory. Returns `None` if the directory does not exist.
    pub fn open(path: &Path) -> Result<Option<Directory>> {
        let opened = open_existing(path)?;
        Ok(opened.map(|file| Directory { descriptor: file.into(), path: path.to_owned() }))
    }

    /// Like [`read_json`]; `name` is the file's path relative to the directory.
    pub fn read_json<T: Deserialize>(&self, name: &str) -> Result<Option<T>> {
        let Some(bytes) = self.read(name)? else { return Ok(None) };
        parse(&self.path.join(name), bytes).map(Some)
    }

    /// Like [`Directory::read_json`]. Returns `None` also if no process holds the exclusive lock of
    /// [`replace_json_locked`] on the file.
    pub fn read_locked_json<T: Deserialize>(&self, name: &str) -> Result<Option<T>> {
        let path = Path::new(name);
        let Some(file) = self.open_existing(path)? else { return Ok(None) };
        if !lock::is_taken(&file, path)? {
            return Ok(None);
        }
        parse(&self.path.join(name), read_small(file, path)?).map(Some)
    }

    /// Like [`read`]; `name` is the file's path relative to the directory.
    pub fn read(&self, name: &str) -> Result<Option<Vec<u8>>> {
        let path = Path::new(name);
        self.open_existing(path)?.map(|file| read_small(file, path)).transpose()
    }

    fn open_existing(&self, name: &Path) -> Result<Option<File>> {
        open_below(self.descriptor.as_fd(), name, || self.path.join(name))
    }
}

/// Opens a file or a directory to read or to lock it. Returns `None` if `path` does not exist.
fn open_existing(path: &Path) -> Result<Option<File>> {
    open_below(CWD, path, || path.to_owned())
}

/// Like `open_existing`, relative to `directory`. Errors name the file as `shown` returns it.
fn open_below(
    directory: BorrowedFd<'_>,
    path: &Path,
    shown: impl FnOnce() -> PathBuf,
) -> Result<Option<File>> {
    // Call openat(2) directly. std calls musl's open(3), which sets close-on-exec again by
    // fcntl(2), for kernels before 2.6.23. `ps` opens several files for each container, and so
    // saves one call for each of these files.
    let flags = OFlags::RDONLY | OFlags::CLOEXEC;
    let open = || rustix::fs::openat(directory, path, flags, Mode::empty());
    match rustix::io::retry_on_intr(open) {
        Err(Errno::NOENT) => Ok(None),
        opened => Ok(Some(opened.context(|| format!("open {}", shown().display()))?.into())),
    }
}

/// Makes a directory and its missing parents with mode 0700. Leaves an existing directory
/// unchanged.
pub fn make_dir(path: &Path) -> Result<()> {
    let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(path);
    made.context(|| format!("make directory {}", path.display()))
}

/// Sets the flag T of chattr(1) on `path`, so that ext4 spreads the subdirectories over the disk.
///
/// Without the flag, ext4 allocates an inode near its directory. An ext4 without a journal also
/// examines the inodes there that were freed shortly before. In a measurement after the removal of
/// a large tree, 20,000 new files took 25 s in the same directory, and 3 s in another part of the
/// disk.
#[cfg(feature = "build")]
pub fn spread(path: &Path) {
    // Ignore an error: other file systems do not need the flag.
    let _ = open_dir(path).map(|directory| {
        let flags = ioctl_getflags(&directory)?;
        ioctl_setflags(&directory, flags | IFlags::TOPDIR)
    });
}

/// Opens a directory to read its entries. Fails if `path` is no directory.
pub fn open_dir(path: &Path) -> Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    rustix::fs::open(path, flags, Mode::empty()).context(|| format!("open {}", path.display()))
}

/// Syncs the directory that contains `path`, so that a rename to `path` survives a power cut
/// (fsync(2)).
pub fn sync_parent(path: &Path) -> Result<()> {
    let parent = path.parent().unwrap_or(Path::new("."));
    let synced = File::open(parent).and_then(|dir| dir.sync_all());
    synced.context(|| format!("sync {}", parent.display()))
}

/// Removes a file. Succeeds if the file does not exist.
pub fn remove_file(path: &Path) -> Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            Err(error).context(|| format!("remove {}", path.display()))
        }
        _ => Ok(()),
    }
}

/// Removes a tree, and follows no symbolic link out of it. Succeeds if the tree does not exist.
pub fn remove_tree(path: &Path) -> Result<()> {
    match removal::remove(path) {
        Ok(()) | Err(Errno::NOENT) => Ok(()),
        Err(error) => Err(error).context(|| format!("remove {}", path.display())),
    }
}

/// Removes a tree that other commands may look for. Renames the tree to `.NAME.removing` first,
/// because [`list`] leaves out this name. If this process dies after the rename, [`removals`] finds
/// the rest.
pub fn remove_hidden(path: &Path, durability: Durability) -> Result<()> {
    hide(path, durability)?.remove()
}

/// A tree after [`hide`], which [`HiddenTree::remove`] removes.
#[must_use]
pub struct HiddenTree {
    path: PathBuf,
    /// The lock on the tree. While it is held, [`removals`] leaves the tree out. `None` if the tree
    /// did not exist or the lock was not free, for example because the caller holds the lock.
    _lock: Option<Lock>,
}

impl HiddenTree {
    /// Removes the hidden tree.
    pub fn remove(self) -> Result<()> {
        remove_tree(&self.path)
    }
}

/// Renames a tree to its hidden name, which is the first half of [`remove_hidden`]. On a full disk,
/// removes the tree if the rename fails.
pub fn hide(path: &Path, durability: Durability) -> Result<HiddenTree> {
    let lock = Lock::try_exclusive(path)?;
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let hidden_path = path.with_file_name(format!(".{name}{REMOVING}"));
    match fs::rename(path, &hidden_path) {
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        // A killed removal left a tree under the hidden name.
        Err(error) if error.kind() == ErrorKind::DirectoryNotEmpty => {
            remove_tree(&hidden_path)?;
            return hide(path, durability);
        }
        // On a full disk the rename may fail for lack of space, but the tree can be removed.
        Err(error) if error.kind() == ErrorKind::StorageFull => remove_tree(path)?,
        result => result.context(|| format!("remove {}", path.display()))?,
    }
    // Sync the rename before the first file is removed: otherwise a power cut could bring back an
    // incomplete tree under its old name.
    if durability == Durability::Synced {
        sync_parent(path)?;
    }
    Ok(HiddenTree { path: hidden_path, _lock: lock })
}

/// The suffix of the hidden names of trees that are being removed.
const REMOVING: &str = ".removing";

/// Returns the trees in `dir` that an interrupted [`remove_hidden`] left behind.
pub fn removals(dir: &Path) -> Result<Vec<PathBuf>> {
    let mut removals = hidden(dir, |name| name.ends_with(REMOVING))?;
    removals.retain(|path| !Lock::is_held(path).unwrap_or(false));
    Ok(removals)
}

/// Returns the temporary files of [`replace`] in `dir` that are stale, as [`stale`] does.
pub fn stale_temporaries(dir: &Path) -> Result<Vec<PathBuf>> {
    stale(dir, ".tmp")
}

/// Returns the entries of `dir` named `.NAME.PID` plus `suffix` that process PID does not have
/// open. The process that makes such an entry keeps the entry open until after the rename to the
/// final name.
pub fn stale(dir: &Path, suffix: &str) -> Result<Vec<PathBuf>> {
    hidden(dir, |name| {
        let pid = name.strip_suffix(suffix).and_then(|rest| rest.rsplit_once('.'));
        let pid = pid.and_then(|(_, pid)| pid.parse().ok());
        pid.is_some_and(|pid| !has_open(pid, &dir.join(name)))
    })
}

/// Reports whether the process `pid` has `path` open. It is not enough that a process with this PID
/// lives, because the kernel reuses PIDs.
fn has_open(pid: u32, path: &Path) -> bool {
    let of = |path: &Path| fs::metadata(path).map(|found| (found.dev(), found.ino())).ok();
    let descriptors = match fs::read_dir(format!("/proc/{pid}/fd")) {
        Ok(descriptors) => descriptors,
        // PermissionDenied: this process may not see the descriptors of process `pid`. Assume that
        // process `pid` has the file open, so that `stale` does not list the file.
        Err(error) => return error.kind() == ErrorKind::PermissionDenied,
    };
    let wanted = of(path);
    descriptors.flatten().any(|descriptor| of(&descriptor.path()) == wanted)
}

/// Returns the entries of `dir` whose names are UTF-8, start with a dot and satisfy `matches`.
/// Returns no entry if `dir` does not exist.
pub fn hidden(dir: &Path, matches: impl Fn(&str) -> bool) -> Result<Vec<PathBuf>> {
    let entries = match fs::read_dir(dir) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.context(|| format!("read directory {}", dir.display()))?,
    };
    let hidden = entries.flatten().filter(|entry| {
        entry.file_name().to_str().is_some_and(|name| name.starts_with('.') && matches(name))
    });
    Ok(hidden.map(|entry| entry.path()).collect())
}

/// Returns the names in `dir` that are UTF-8 and do not start with a dot. The names of temporary
/// and hidden files start with a dot. Returns no name if `dir` does not exist.
pub fn list(dir: &Path) -> Result<Vec<String>> {
    let entries = match fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error).context(|| format!("read directory {}", dir.display())),
    };
    let mut names = Vec::new();
    for entry in entries {
        let entry = entry.context(|| format!("read directory {}", dir.display()))?;
        if let Ok(name) = entry.file_name().into_string()
            && !name.starts_with('.')
        {
            names.push(name);
        }
    }
    Ok(names)
}

fn temporary_beside(path: &Path) -> PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    path.with_file_name(format!(".{name}.{}.tmp", std::process::id()))
}
