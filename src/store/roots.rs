//! The two directories that hold all state: the durable root (`--root`) and the volatile one
//! (`--run-root`), and the names of the directories in them. The volatile root is usually on a
//! tmpfs, so that a reboot empties it and no record of a running process outlives the host. Both
//! are created on first use with mode 0700. The formats of the files belong to the modules that
//! write them.

use std::path::PathBuf;

use super::{Lock, LockMode, ground, make_dir};
use crate::error::{Error, Result};

/// The durable root's default place.
pub const DEFAULT_ROOT: &str = "/var/lib/mydocker";
/// The volatile root's default place.
pub const DEFAULT_RUN_ROOT: &str = "/run/mydocker";

/// The two directories that hold all state. Both are root's alone (0700).
#[derive(Clone, Debug)]
pub struct Roots {
    /// Durable: images, layers, containers, networks, volumes.
    pub state: PathBuf,
    /// Volatile: the state of running containers. A reboot empties it, so no container is taken for
    /// running after one.
    pub run: PathBuf,
}

impl Roots {
    /// Both roots as given (absolute), or their defaults.
    pub fn new(state: Option<PathBuf>, run: Option<PathBuf>) -> Result<Roots> {
        let absolute = |path: PathBuf| {
            std::path::absolute(&path)
                .map_err(|_| Error::new(format!("bad state directory '{}'", path.display())))
        };
        Ok(Roots {
            state: absolute(state.unwrap_or_else(|| DEFAULT_ROOT.into()))?,
            run: absolute(run.unwrap_or_else(|| DEFAULT_RUN_ROOT.into()))?,
        })
    }

    /// Names, manifests and configs of images.
    pub fn images(&self) -> PathBuf {
        self.state.join("images")
    }

    /// The unpacked layers, by diff_id.
    pub fn layers(&self) -> PathBuf {
        self.state.join("layers")
    }

    /// The entries of the build cache.
    #[cfg(feature = "build")]
    pub fn build_cache(&self) -> PathBuf {
        self.state.join("build")
    }

    /// The layer of empty files on which every container's name files are mounted.
    pub fn placeholders(&self) -> PathBuf {
        self.state.join("placeholders")
    }

    /// One directory for each network.
    pub fn networks(&self) -> PathBuf {
        self.state.join("networks")
    }

    /// One directory for each volume.
    pub fn volumes(&self) -> PathBuf {
        self.state.join("volumes")
    }

    /// The ranges of user IDs that containers have.
    pub fn ids(&self) -> PathBuf {
        self.state.join("ids")
    }

    /// One directory for each container, by full id.
    pub fn containers(&self) -> PathBuf {
        self.state.join("containers")
    }

    /// The directory of one container's volatile state.
    pub fn run_dir(&self, id: &str) -> PathBuf {
        self.run.join(id)
    }

    /// The mark that another container has joined the network namespace of container `id`.
    pub fn network_joined_mark(&self, id: &str) -> PathBuf {
        self.run_dir(id).join("network-joined")
    }

    /// The name of the lock file in a run directory.
    pub const MONITOR_LOCK: &'static str = "monitor.lock";

    /// The lock file that the monitor of container `id` holds as long as it lives.
    pub fn monitor_lock(&self, id: &str) -> PathBuf {
        self.run_dir(id).join(Roots::MONITOR_LOCK)
    }

    /// A link to the directory that holds the name files of the running container `id`, which its
    /// monitor has open.
    pub fn name_files(&self, id: &str) -> PathBuf {
        self.run_dir(id).join("names")
    }

    /// Creates both roots if they are missing. Returns a note for the user about the file system
    /// below them; it appears once per root, or once per boot if the root is in memory.
    pub fn prepare(&self) -> Result<Option<String>> {
        if !self.run.is_dir() {
            make_dir(&self.run)?;
        }
        let names = self.containers().join("names");
        if names.is_dir() {
            return Ok(None);
        }
        ground::refuse_unfit(&self.state)?;
        make_dir(&self.containers())?;
        // If two commands come first at the same time, only one mounts.
        let _lock = Lock::wait(&self.state.join(".lock"), LockMode::Exclusive)?;
        if names.is_dir() {
            return Ok(None);
        }
        let note = ground::prepare_uppers(&self.containers())?;
        make_dir(&names)?;
        Ok(note)
    }
}
