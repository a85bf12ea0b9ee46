//! Crash-safe flat files: one fact, one file, no index over them.
//!
//! To replace a file, a temporary file is written beside it and renamed over it: a reader
//! sees the old fact or the new one, never a torn one (rename(2)). A file that must survive a power cut
//! is fsynced before the rename, and its directory after it. Other files are only renamed, since flash
//! is slow and wears out. flock(2) on a `.lock` file excludes other processes: the lock ends with
//! its holder, however that dies.

pub mod fields;
pub mod ground;
pub mod journal;
mod lock;
mod removal;
mod roots;
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
pub use text::OrEmpty;
pub(crate) use text::stored_as_text;

/// Whether a change must outlive a power cut.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Durability {
    /// fsync the file and its directory.
    Synced,
    /// Rename only: atomic for every reader, but a power cut may bring the old content back.
    Lazy,
}

/// The longest state file. No longer one is written, so that none is ever too long to read.
const MAX_STATE_FILE: u64 = 8 << 20;

/// Replaces `path` with `bytes`, mode 0600. If the process dies midway, the old content stays and at most
/// a `.NAME.PID.tmp` is left beside it, which the next replacement or sweep removes.
pub fn replace(path: &Path, bytes: &[u8], durability: Durability) -> Result<()> {
    let temporary = temporary_beside(path);
    let written = (|| -> Result<()> {
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
        Ok(())
    })();
    if written.is_err() {
        // The user must see the failure to write; the leftover is swept later.
        let _ = fs::remove_file(&temporary);
    }
    written.context(|| format!("write {}", path.display()))?;
    if durability == Durability::Synced {
        sync_parent(path)?;
    }
    Ok(())
}

/// As [`replace`], and makes the directory again if it is missing: a cleaner of temporary files may
/// have removed it while its container runs.
pub fn replace_in_new_dir(path: &Path, bytes: &[u8]) -> Result<()> {
    match replace(path, bytes, Durability::Lazy) {
        Err(error) if error.errno() == Some(Errno::NOENT) => {
            make_dir(path.parent().unwrap_or(Path::new(".")))?;
            replace(path, bytes, Durability::Lazy)
        }
        result => result,
    }
}

/// Replaces `path` with the JSON of `value`. Fails if that is longer than `read_json` accepts.
pub fn replace_json<T: Serialize>(path: &Path, value: &T, durability: Durability) -> Result<()> {
    let text = crate::json::without_nulls(&miniserde::json::to_string(value));
    if text.len() as u64 > MAX_STATE_FILE {
        return Err(Error::new(format!(
            "{} would have {} bytes, more than the {MAX_STATE_FILE} of a state file",
            path.display(),
            text.len()
        )));
    }
    replace(path, text.as_bytes(), durability)
}

/// The most bytes of a state file that one system call reads.
const SMALL: usize = 8 << 10;

/// Reads a JSON state file; `None` if it does not exist. Fails, with the file's name, if it is empty,
/// truncated or foreign.
pub fn read_json<T: Deserialize>(path: &Path) -> Result<Option<T>> {
    parse(path, read(path)?)
}

fn parse<T: Deserialize>(path: &Path, bytes: Option<Vec<u8>>) -> Result<Option<T>> {
    let Some(bytes) = bytes else { return Ok(None) };
    // The parser takes memory for each level of nesting, also of fields that it skips. A small
    // file can't have so many that it matters, and `ps` reads one or two for each container.
    if bytes.len() > SMALL {
        crate::json::weigh(&path.display().to_string(), &bytes)?;
    }
    let text = std::str::from_utf8(&bytes).ok();
    match text.and_then(|text| miniserde::json::from_str(text).ok()) {
        Some(value) => Ok(Some(value)),
        None => Err(Error::new(format!(
            "{} is {}, not a state file of this version",
            path.display(),
            if bytes.is_empty() { "empty" } else { "truncated or foreign" },
        ))),
    }
}

/// Reads a whole small file; `None` if it does not exist.
pub fn read(path: &Path) -> Result<Option<Vec<u8>>> {
    match open_existing(path)? {
        Some(file) => read_small(file, path).map(Some),
        None => Ok(None),
    }
}

fn read_small(file: File, path: &Path) -> Result<Vec<u8>> {
    let mut bytes = Vec::with_capacity(SMALL);
    // One read is enough for a small regular file: only at the end it returns fewer bytes than asked.
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

/// A directory that stays open, for a reader of many files below it: the kernel looks up the path to
/// it once.
pub struct Directory {
    descriptor: OwnedFd,
    path: PathBuf,
}

impl Directory {
    /// Opens a directory; `None` if it isn't there.
    pub fn open(path: &Path) -> Result<Option<Directory>> {
        let opened = open_existing(path)?;
        Ok(opened.map(|file| Directory { descriptor: file.into(), path: path.to_owned() }))
    }

    /// As [`read_json`], for a file with this path below the directory.
    pub fn read_json<T: Deserialize>(&self, name: &str) -> Result<Option<T>> {
        let path = self.path.join(name);
        match open_below(self.descriptor.as_fd(), Path::new(name), &path)? {
            Some(file) => parse(&path, Some(read_small(file, &path)?)),
            None => Ok(None),
        }
    }
}

/// Opens a file or a directory to read or to lock it; `None` if it does not exist.
fn open_existing(path: &Path) -> Result<Option<File>> {
    open_below(CWD, path, path)
}

/// As `open_existing`, below a directory; `shown` is for errors.
fn open_below(directory: BorrowedFd<'_>, path: &Path, shown: &Path) -> Result<Option<File>> {
    // Not by std: its libc call sets close-on-exec once more, for kernels before 2.6.23, and `ps`
    // opens two to four files for each container.
    let flags = OFlags::RDONLY | OFlags::CLOEXEC;
    let open = || rustix::fs::openat(directory, path, flags, Mode::empty());
    match rustix::io::retry_on_intr(open) {
        Err(Errno::NOENT) => Ok(None),
        opened => Ok(Some(opened.context(|| format!("open {}", shown.display()))?.into())),
    }
}

/// Makes a directory and those above it for root alone (0700). Leaves an existing one unchanged.
pub fn make_dir(path: &Path) -> Result<()> {
    let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(path);
    made.context(|| format!("make directory {}", path.display()))
}

/// Lets ext4 put the directories in `path` far from each other, by the flag T of chattr(1). It gives a
/// file an inode near its directory, and looks at each inode that was freed there within the last minute:
/// after the removal of a large tree, 20,000 new files took 25 s in its place and 3 s elsewhere.
#[cfg(feature = "build")]
pub fn spread(path: &Path) {
    // Other file systems have no such flag, and need none.
    let _ = open_dir(path).map(|directory| {
        let flags = ioctl_getflags(&directory)?;
        ioctl_setflags(&directory, flags | IFlags::TOPDIR)
    });
}

/// Opens a directory to read it.
pub fn open_dir(path: &Path) -> Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    rustix::fs::open(path, flags, Mode::empty()).context(|| format!("open {}", path.display()))
}

/// Syncs the renames in the directory of `path`.
pub fn sync_parent(path: &Path) -> Result<()> {
    let parent = path.parent().unwrap_or(Path::new("."));
    let synced = File::open(parent).and_then(|dir| dir.sync_all());
    synced.context(|| format!("sync {}", parent.display()))
}

/// Removes a file. Succeeds if it is already gone.
pub fn remove_file(path: &Path) -> Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            Err(error).context(|| format!("remove {}", path.display()))
        }
        _ => Ok(()),
    }
}

/// Removes a tree and follows no link out of it. Succeeds if it is already gone.
pub fn remove_tree(path: &Path) -> Result<()> {
    match removal::remove(path) {
        Ok(()) | Err(Errno::NOENT) => Ok(()),
        Err(error) => Err(error).context(|| format!("remove {}", path.display())),
    }
}

/// Removes a tree that other commands may read. It is renamed first to a name that `list` leaves
/// out (`.NAME.removing`), so no command sees it half removed. If this process dies before the end,
/// `system check` finds the rest.
pub fn remove_hidden(path: &Path, durability: Durability) -> Result<()> {
    hide(path, durability)?.remove()
}

/// A tree under its hidden name that must still be removed.
#[must_use]
pub struct HiddenTree {
    path: PathBuf,
    /// Held while this process removes the tree, for `removals`. `None` if the caller holds the lock.
    _lock: Option<Lock>,
}

impl HiddenTree {
    /// Deletes the hidden tree.
    pub fn remove(self) -> Result<()> {
        remove_tree(&self.path)
    }
}

/// The first half of `remove_hidden`: from here on the tree counts as removed.
pub fn hide(path: &Path, durability: Durability) -> Result<HiddenTree> {
    let lock = Lock::try_exclusive(path)?;
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let hidden_path = path.with_file_name(format!(".{name}{REMOVING}"));
    match fs::rename(path, &hidden_path) {
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        // A removal that was killed left it.
        Err(error) if error.kind() == ErrorKind::DirectoryNotEmpty => {
            remove_tree(&hidden_path)?;
            return hide(path, durability);
        }
        // A new name may need room on a full disk, but a removal must succeed there.
        Err(error) if error.kind() == ErrorKind::StorageFull => remove_tree(path)?,
        result => result.context(|| format!("remove {}", path.display()))?,
    }
    // Before the first file is removed: a tree that a power cut brings back must be complete.
    if durability == Durability::Synced {
        sync_parent(path)?;
    }
    Ok(HiddenTree { path: hidden_path, _lock: lock })
}

/// The end of the hidden names of trees that are being removed.
const REMOVING: &str = ".removing";

/// The leftovers of interrupted removals in `dir`.
pub fn removals(dir: &Path) -> Result<Vec<PathBuf>> {
    let mut removals = hidden(dir, |name| name.ends_with(REMOVING))?;
    removals.retain(|path| !Lock::is_held(path).unwrap_or(false));
    Ok(removals)
}

/// Temporary files in `dir` whose makers have died.
pub fn stale_temporaries(dir: &Path) -> Result<Vec<PathBuf>> {
    stale(dir, ".tmp")
}

/// Files in `dir` named `.NAME.PID` and `suffix` that the process PID does not have open: the maker holds
/// its file open until the file has its final name.
pub fn stale(dir: &Path, suffix: &str) -> Result<Vec<PathBuf>> {
    hidden(dir, |name| {
        let pid = name.strip_suffix(suffix).and_then(|rest| rest.rsplit_once('.'));
        let pid = pid.and_then(|(_, pid)| pid.parse().ok());
        pid.is_some_and(|pid| !has_open(pid, &dir.join(name)))
    })
}

/// Whether the process `pid` has `path` open. Its existence alone says nothing: PIDs are reused.
fn has_open(pid: u32, path: &Path) -> bool {
    let of = |path: &Path| fs::metadata(path).map(|found| (found.dev(), found.ino())).ok();
    let descriptors = match fs::read_dir(format!("/proc/{pid}/fd")) {
        Ok(descriptors) => descriptors,
        // Another user's process: only a caller without root's capabilities gets here.
        Err(error) => return error.kind() == ErrorKind::PermissionDenied,
    };
    let wanted = of(path);
    descriptors.flatten().any(|descriptor| of(&descriptor.path()) == wanted)
}

/// The entries of `dir` that `list` leaves out and that `matches` accepts.
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

/// Bytes that the files of a tree take on disk, as far as it can be read. A file of several names
/// counts once. Directories do not count, as in Docker: a container that wrote nothing has 0.
pub fn tree_size(path: &Path) -> u64 {
    fn add(path: &Path, seen: &mut std::collections::HashSet<u64>) -> u64 {
        let Ok(metadata) = fs::symlink_metadata(path) else { return 0 };
        if metadata.nlink() > 1 && !metadata.is_dir() && !seen.insert(metadata.ino()) {
            return 0;
        }
        if !metadata.is_dir() {
            return metadata.blocks() * 512;
        }
        let entries = fs::read_dir(path).into_iter().flatten().flatten();
        entries.map(|entry| add(&entry.path(), seen)).sum()
    }
    add(path, &mut std::collections::HashSet::new())
}

/// The names in a directory without temporary files; none if it does not exist.
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
