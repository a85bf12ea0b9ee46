//! The paths of one container's files below the state root and the run root, and two of the
//! container's locks.
//!
//! docs/architecture.md has tables of the files. A path is only computed, so the file may be
//! missing.

use std::path::PathBuf;

use rustix::io::Errno;

use crate::container_id::ContainerId;
use crate::error::{Result, fail};
use crate::store::{self, Lock, LockMode, Roots};

/// The name of the state's file in the run directory.
pub const STATE: &str = "state.json";
/// The name of the file in the run directory that marks the container as paused.
pub const PAUSED: &str = "paused";
/// The name of the file in the run root that exists since the first `pause` of any container.
/// Without the file, `ps` does not look for `paused`.
pub const PAUSES: &str = ".pauses";

/// The paths of one container's files.
pub struct Files {
    /// The container's durable directory.
    pub dir: PathBuf,
    /// The run directory, which is volatile. In the mount namespace of the container, the root is
    /// mounted on this directory.
    pub run: PathBuf,
}

impl Files {
    /// The paths for container `id`. Nothing is read or created.
    pub fn new(roots: &Roots, id: &ContainerId) -> Files {
        Files { dir: roots.containers().join(id), run: roots.run_dir(id) }
    }

    /// The configuration (`record::Record`).
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

    /// The upperdir of overlayfs.
    pub fn upper(&self) -> PathBuf {
        self.dir.join("upper")
    }

    /// The workdir of overlayfs.
    pub fn work(&self) -> PathBuf {
        self.dir.join("work")
    }

    /// The number of the project whose quota limits `upper` and `work` (`container::quota`).
    pub fn quota(&self) -> PathBuf {
        self.dir.join("quota")
    }

    /// A device node that exists only during a quotactl(2) on a kernel before Linux 5.14
    /// (`sys::quota`).
    pub fn quota_device(&self) -> PathBuf {
        self.dir.join(".quota-device")
    }

    /// Takes the lock for changes, such as a start, a rename or a removal. Waits for the lock.
    /// Locks the directory itself, so a full disk is no obstacle. `None` if the container was
    /// removed.
    pub fn lock_changes(&self) -> Result<Option<Lock>> {
        Lock::wait_existing(&self.dir, LockMode::Exclusive)
    }

    /// Creates the run directory and takes the monitor's lock in it. Waits for the lock. Fails for
    /// example if other commands remove the directory again and again.
    pub fn lock_monitor(&self) -> Result<Lock> {
        const MAX_TRIES: u32 = 16;
        for _ in 0..MAX_TRIES {
            store::make_dir(&self.run)?;
            match Lock::wait(&self.monitor_lock(), LockMode::Exclusive) {
                Ok(lock) if self.monitor_lock().exists() => return Ok(lock),
                Err(error) if error.errno() != Some(Errno::NOENT) => return Err(error),
                // Another command has removed the directory.
                _ => {}
            }
        }
        fail!("{} is removed again and again while it is created", self.run.display())
    }

    /// The lock file. The container runs while its monitor holds the lock.
    pub fn monitor_lock(&self) -> PathBuf {
        self.run.join(Roots::MONITOR_LOCK)
    }

    /// The state of the running container (`state::State`).
    pub fn state(&self) -> PathBuf {
        self.run.join(STATE)
    }

    /// An empty directory: the topmost layer of mounted images. The directory is outside the run
    /// directory, because the container's root covers the run directory. All containers share the
    /// empty directory.
    pub fn empty(&self) -> PathBuf {
        self.run.with_file_name("empty")
    }

    /// The result of the health checks (`health::Health`).
    pub fn health(&self) -> PathBuf {
        self.run.join("health.json")
    }

    /// The place of the outcome (`state::Outcome`) if `outcome` could not be written, for example
    /// because the disk was full.
    pub fn parked_outcome(&self) -> PathBuf {
        self.run.join("outcome.json")
    }

    /// The mark that the container is paused (`state::is_paused`).
    pub fn paused(&self) -> PathBuf {
        self.run.join(PAUSED)
    }

    /// The file that exists since a container was paused ([`PAUSES`]).
    pub fn pauses(&self) -> PathBuf {
        self.run.with_file_name(PAUSES)
    }

    /// The mark that `update` has changed the running container (`updated::Updated`).
    pub fn updated(&self) -> PathBuf {
        self.run.join("updated.json")
    }

    /// The mark that the container must not be restarted (`state::StopMark`).
    pub fn stop_mark(&self) -> PathBuf {
        self.run.join("stop")
    }
}
