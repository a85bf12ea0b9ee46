//! Exclusion between processes by flock(2): held by an open file, so a killed holder lets go.

use std::fs::OpenOptions;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

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
        let operation = match mode {
            LockMode::Shared => FlockOperation::LockShared,
            LockMode::Exclusive => FlockOperation::LockExclusive,
        };
        let file = open(path)?;
        loop {
            match flock(&file, operation) {
                Err(Errno::INTR) => continue,
                result => break result.context(|| format!("lock {}", path.display()))?,
            }
        }
        Ok(Lock { file })
    }

    /// Takes the lock if nobody holds it; `None` if somebody does.
    pub fn try_exclusive(path: &Path) -> Result<Option<Lock>> {
        let file = open(path)?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Some(Lock { file })),
            Err(Errno::WOULDBLOCK) => Ok(None),
            Err(error) => Err(error).context(|| format!("lock {}", path.display())),
        }
    }

    /// Whether somebody holds the lock exclusively. Doesn't disturb others who ask the same.
    pub fn is_held(path: &Path) -> Result<bool> {
        let file = open(path)?;
        match flock(&file, FlockOperation::NonBlockingLockShared) {
            Ok(()) => Ok(false),
            Err(Errno::WOULDBLOCK) => Ok(true),
            Err(error) => Err(error).context(|| format!("lock {}", path.display())),
        }
    }
}

fn open(path: &Path) -> Result<OwnedFd> {
    let file = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(path);
    Ok(file.context(|| format!("open {}", path.display()))?.into())
}
