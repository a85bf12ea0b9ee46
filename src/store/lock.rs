//! Exclusion between processes by flock(2): held by an open file, so a killed holder lets go.

use std::fs::{File, OpenOptions};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

use super::open_existing;
use crate::error::{Context, Result};

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum LockMode {
    Shared,
    Exclusive,
}

/// A held lock; dropping it lets go.
pub struct Lock {
    file: OwnedFd,
}

impl AsFd for Lock {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

impl Lock {
    /// Waits for the lock that the file `path` stands for (made if missing).
    pub fn wait(path: &Path, mode: LockMode) -> Result<Lock> {
        let mut options = OpenOptions::new();
        let file = options.write(true).create(true).truncate(false).mode(0o600).open(path);
        take(file.context(|| format!("open {}", path.display()))?, path, mode)
    }

    /// As [`Lock::wait`], of something that is there: a file, or a directory, which needs no file
    /// for its lock. `None` if it isn't there, or was removed before the lock was ours.
    pub fn wait_existing(path: &Path, mode: LockMode) -> Result<Option<Lock>> {
        let Some(file) = open_existing(path)? else { return Ok(None) };
        let lock = take(file, path, mode)?;
        Ok(lock.stands_for(path).then_some(lock))
    }

    /// Takes the lock of something that is there if nobody holds it; `None` if somebody does, or it
    /// isn't there.
    pub fn try_exclusive(path: &Path) -> Result<Option<Lock>> {
        let Some(file) = open_existing(path)? else { return Ok(None) };
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {
                let lock = Lock { file: file.into() };
                Ok(lock.stands_for(path).then_some(lock))
            }
            Err(Errno::WOULDBLOCK) => Ok(None),
            Err(error) => Err(error).context(|| format!("lock {}", path.display())),
        }
    }

    /// Whether somebody holds the lock exclusively. Doesn't disturb others who ask the same.
    pub fn is_held(path: &Path) -> Result<bool> {
        let Some(file) = open_existing(path)? else { return Ok(false) };
        match flock(&file, FlockOperation::NonBlockingLockShared) {
            Ok(()) => Ok(false),
            Err(Errno::WOULDBLOCK) => Ok(true),
            Err(error) => Err(error).context(|| format!("lock {}", path.display())),
        }
    }

    /// Whether what was locked still has this name: a lock on something removed excludes nobody.
    fn stands_for(&self, path: &Path) -> bool {
        let there = rustix::fs::stat(path).map(|stat| (stat.st_dev, stat.st_ino));
        let ours = rustix::fs::fstat(&self.file).map(|stat| (stat.st_dev, stat.st_ino));
        there.is_ok() && there == ours
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
