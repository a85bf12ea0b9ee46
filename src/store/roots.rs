//! Names the places of the state in the durable root (`--root`) and in the volatile root
//! (`--run-root`). The OCI runtime keeps its state elsewhere (`oci::state`).
//!
//! The volatile root is usually on a tmpfs. So a reboot empties it, and no record of a running
//! process survives the reboot. Both roots are made at first use, with mode 0700. The modules that
//! write the files define the formats of the files.

use std::path::PathBuf;

use super::{Lock, LockMode, file_system, make_dir};
use crate::error::{Error, Result};

/// The default of `--root`.
pub const DEFAULT_ROOT: &str = "/var/lib/mydocker";
/// The default of `--run-root`.
pub const DEFAULT_RUN_ROOT: &str = "/run/mydocker";

/// The paths of the durable root and of the volatile root.
#[derive(Clone, Debug)]
pub struct Roots {
    /// The durable root, for all that a reboot must not lose, such as images, containers and
    /// volumes.
    pub state: PathBuf,
    /// The volatile root, for all that must not outlive a reboot, such as the state of running
    /// containers.
    pub run: PathBuf,
}

impl Roots {
    /// Makes both paths absolute; `None` stands for the default. Fails for an empty path, and for a
    /// relative path if the current directory was removed.
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

    /// The directory of the images' names, manifests and configs.
    pub fn images(&self) -> PathBuf {
        self.state.join("images")
    }

    /// The directory of the unpacked layers. A layer's directory is named by the hex digits of the
    /// layer's diff_id.
    pub fn layers(&self) -> PathBuf {
        self.state.join("layers")
    }

    /// The directory of the build cache's entries.
    #[cfg(feature = "build")]
    pub fn build_cache(&self) -> PathBuf {
        self.state.join("build")
    }

    /// The layer with empty files as mount points for `hosts`, `hostname` and `resolv.conf`.
    pub fn placeholders(&self) -> PathBuf {
        self.state.join("placeholders")
    }

    /// The layer with the empty file /.dockerenv alone.
    pub fn mark(&self) -> PathBuf {
        self.state.join("mark")
    }

    /// The directory that contains the directories of the networks.
    pub fn networks(&self) -> PathBuf {
        self.state.join("networks")
    }

    /// The directory that has one directory for each volume.
    pub fn volumes(&self) -> PathBuf {
        self.state.join("volumes")
    }

    /// The directory of the ranges of user IDs that containers have reserved.
    pub fn ids(&self) -> PathBuf {
        self.state.join("ids")
    }

    /// The directory that has one directory for each container, named by the full id.
    pub fn containers(&self) -> PathBuf {
        self.state.join("containers")
    }

    /// The directory of the volatile state of container `id`.
    pub fn run_dir(&self, id: &str) -> PathBuf {
        self.run.join(id)
    }

    /// The mark file which says that another container has joined the network namespace of
    /// container `id`.
    pub fn network_joined_mark(&self, id: &str) -> PathBuf {
        self.run_dir(id).join("network-joined")
    }

    /// The name of the lock file in a run directory.
    pub const MONITOR_LOCK: &'static str = "monitor.lock";

    /// The lock file that the monitor of container `id` holds as long as it lives.
    pub fn monitor_lock(&self, id: &str) -> PathBuf {
        self.run_dir(id).join(Roots::MONITOR_LOCK)
    }

    /// The symbolic link to the directory with the `hosts`, `hostname` and `resolv.conf` of the
    /// running container `id`. The container's monitor has that directory open.
    pub fn hosts_files(&self, id: &str) -> PathBuf {
        self.run_dir(id).join("names")
    }

    /// Makes both roots if they are missing. If [`file_system::prepare_uppers`] mounts a tmpfs,
    /// returns its note for the user.
    pub fn prepare(&self) -> Result<Option<String>> {
        if !self.run.is_dir() {
            make_dir(&self.run)?;
        }
        let names = self.containers().join("names");
        if names.is_dir() {
            return Ok(None);
        }
        file_system::refuse_unfit(&self.state)?;
        make_dir(&self.containers())?;
        // If two commands prepare a new root at the same time, only one of them may mount the
        // tmpfs.
        let _lock = Lock::wait(&self.state.join(".lock"), LockMode::Exclusive)?;
        if names.is_dir() {
            return Ok(None);
        }
        let note = file_system::prepare_uppers(&self.containers())?;
        make_dir(&names)?;
        Ok(note)
    }
}
