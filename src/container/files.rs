//! The paths of one container's files, below the state root and below the run root, and the two locks
//! among them. docs/architecture.md lists what is in each file; the modules that read and write them
//! are named here.

use std::path::PathBuf;

use rustix::io::Errno;

use crate::container_id::ContainerId;
use crate::error::{Result, fail};
use crate::store::{self, Lock, LockMode, Roots};

/// The paths of one container's files.
pub struct Files {
    pub dir: PathBuf,
    /// The run directory. It is also the mount point of the root, which only the container's
    /// processes see.
    pub run: PathBuf,
}

impl Files {
    /// The paths for container `id`. Nothing is read or created.
    pub fn new(roots: &Roots, id: &ContainerId) -> Files {
        Files { dir: roots.containers().join(id), run: roots.run_dir(id) }
    }

    /// The record.
    pub fn config(&self) -> PathBuf {
        self.dir.join("config.json")
    }

    /// The result of the last run (`state::Outcome`).
    pub fn outcome(&self) -> PathBuf {
        self.dir.join("outcome.json")
    }

    /// The newest file of the log.
    pub fn log(&self) -> PathBuf {
        self.dir.join("log")
    }

    /// overlayfs's upperdir.
    pub fn upper(&self) -> PathBuf {
        self.dir.join("upper")
    }

    /// overlayfs's workdir.
    pub fn work(&self) -> PathBuf {
        self.dir.join("work")
    }

    /// Takes the lock for changes: start, rename, removal, repair. It locks the directory
    /// itself, which needs no space on a full disk. `None` if the container is gone.
    pub fn lock_changes(&self) -> Result<Option<Lock>> {
        Lock::wait_existing(&self.dir, LockMode::Exclusive)
    }

    /// Creates the run directory and takes the monitor's lock in it.
    pub fn lock_monitor(&self) -> Result<Lock> {
        const MAX_TRIES: u32 = 16;
        for _ in 0..MAX_TRIES {
            store::make_dir(&self.run)?;
            match Lock::wait(&self.monitor_lock(), LockMode::Exclusive) {
                Ok(lock) if self.monitor_lock().exists() => return Ok(lock),
                Err(error) if error.errno() != Some(Errno::NOENT) => return Err(error),
                // Another command removed the directory while it was empty.
                _ => {}
            }
        }
        fail!("{} is removed again and again while it is created", self.run.display())
    }

    /// The lock file that the monitor holds as long as it lives.
    pub fn monitor_lock(&self) -> PathBuf {
        self.run.join(Roots::MONITOR_LOCK)
    }

    /// What the container is doing (`state::State`).
    pub fn state(&self) -> PathBuf {
        self.run.join("state.json")
    }

    /// An empty directory, the topmost layer of mounted images. All containers use the same one,
    /// because each root is mounted over its own run directory.
    pub fn empty(&self) -> PathBuf {
        self.run.with_file_name("empty")
    }

    /// The result of the health checks (`health::Health`).
    pub fn health(&self) -> PathBuf {
        self.run.join("health.json")
    }

    /// The outcome if the disk that holds `outcome` was full.
    pub fn parked_outcome(&self) -> PathBuf {
        self.run.join("outcome.json")
    }

    /// The mark of a paused container (`state::is_paused`).
    pub fn paused(&self) -> PathBuf {
        self.run.join("paused")
    }

    /// The mark of a container that `update` has changed (`updated::Updated`).
    pub fn updated(&self) -> PathBuf {
        self.run.join("updated.json")
    }

    /// The mark of a container that must not be restarted (`state::StopMark`).
    pub fn stop_mark(&self) -> PathBuf {
        self.run.join("stop")
    }
}
