//! Locks between processes, by flock(2) on a file or a directory.
//!
//! The kernel releases a lock when its last descriptor is closed. So a killed process leaves no
//! lock behind, and no lock file has to be removed. The functions that wait for a lock have no time
//! limit. There is no deadlock detection; docs/architecture.md lists the order in which locks are
//! taken.

use std::fs::{File, OpenOptions};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

use super::open_existing;
use crate::error::{Context, Result};

/// How a lock excludes other locks on the same file (flock(2)).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum LockMode {
    /// `LOCK_SH`: several processes may hold the lock at the same time.
    Shared,
    /// `LOCK_EX`: one process holds the lock.
    Exclusive,
}

/// A held lock. Dropping the value closes its descriptor. The lock is then released, unless a
/// forked process still has a copy of the descriptor.
pub struct Lock {
    file: OwnedFd,
}

impl AsFd for Lock {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

impl Lock {
    /// Waits for the lock on the file `path`, which is created if it is missing.
    pub fn wait(path: &Path, mode: LockMode) -> Result<Lock> {
        let mut options = OpenOptions::new();
        let file = options.write(true).create(true).truncate(false).mode(0o600).open(path);
        take(file.context(|| format!("open {}", path.display()))?, path, mode)
    }

    /// Like [`Lock::wait`], for an existing file or directory. Returns `None` if `path` does not
    /// exist, or was removed or replaced before this process got the lock.
    pub fn wait_existing(path: &Path, mode: LockMode) -> Result<Option<Lock>> {
        let Some(file) = open_existing(path)? else { return Ok(None) };
        let lock = take(file, path, mode)?;
        Ok(lock.is_still_at(path).then_some(lock))
    }

    /// [`Lock::try_existing`] with [`LockMode::Exclusive`].
    pub fn try_exclusive(path: &Path) -> Result<Option<Lock>> {
        Lock::try_existing(path, LockMode::Exclusive)
    }

    /// Takes the lock on an existing file or directory without waiting. Returns `None` if a
    /// conflicting lock is held, if `path` does not exist, or if `path` was removed or replaced
    /// before this process got the lock.
    pub fn try_existing(path: &Path, mode: LockMode) -> Result<Option<Lock>> {
        let Some(file) = open_existing(path)? else { return Ok(None) };
        let operation = match mode {
            LockMode::Shared => FlockOperation::NonBlockingLockShared,
            LockMode::Exclusive => FlockOperation::NonBlockingLockExclusive,
        };
        match flock(&file, operation) {
            Ok(()) => {
                let lock = Lock { file: file.into() };
                Ok(lock.is_still_at(path).then_some(lock))
            }
            Err(Errno::WOULDBLOCK) => Ok(None),
            Err(error) => Err(error).context(|| format!("lock {}", path.display())),
        }
    }

    /// Reports whether a process holds the lock exclusively; false if `path` does not exist.
    /// Several processes may call this at the same time.
    pub fn is_held(path: &Path) -> Result<bool> {
        Ok(Lock::find_holder(path)?.unwrap_or(false))
    }

    /// Like [`Lock::is_held`], but returns `None` if `path` does not exist.
    pub fn find_holder(path: &Path) -> Result<Option<bool>> {
        open_existing(path)?.map(|file| is_taken(&file, path)).transpose()
    }

    /// Waits for the exclusive lock on an open file. `path` names the file in an error.
    pub(super) fn take(file: File, path: &Path) -> Result<Lock> {
        take(file, path, LockMode::Exclusive)
    }

    /// Reports whether the locked file is still at `path`. A lock on a removed file does not
    /// exclude a process that opens `path` later.
    pub fn is_still_at(&self, path: &Path) -> bool {
        let there = rustix::fs::stat(path).map(|stat| (stat.st_dev, stat.st_ino));
        let ours = rustix::fs::fstat(&self.file).map(|stat| (stat.st_dev, stat.st_ino));
        there.is_ok() && there == ours
    }
}

/// Reports whether the file is locked exclusively through another open(2) of the file.
pub(super) fn is_taken(file: &File, path: &Path) -> Result<bool> {
    match flock(file, FlockOperation::NonBlockingLockShared) {
        Ok(()) => Ok(false),
        Err(Errno::WOULDBLOCK) => Ok(true),
        Err(error) => Err(error).context(|| format!("lock {}", path.display())),
    }
}

fn take(file: File, path: &Path, mode: LockMode) -> Result<Lock> {
    let operation = match mode {
        LockMode::Shared => FlockOperation::LockShared,
        LockMode::Exclusive => FlockOperation::LockExclusive,
    };
    loop {
        match flock(&file, operation) {
            Err(Errno::INTR) => continue,
            result => break result.context(|| format!("lock {}", path.display()))?,
        }
    }
    Ok(Lock { file: file.into() })
}
