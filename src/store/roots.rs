//! Where the state lives: the durable root and the volatile one.

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
    /// Volatile: what is running now. A power cut wipes it, so a dead host can't claim a running
    /// container.
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

    pub fn images(&self) -> PathBuf {
        self.state.join("images")
    }

    pub fn layers(&self) -> PathBuf {
        self.state.join("layers")
    }

    /// The layer of empty files on which every container's name files are mounted.
    pub fn placeholders(&self) -> PathBuf {
        self.state.join("placeholders")
    }

    pub fn networks(&self) -> PathBuf {
        self.state.join("networks")
    }

    pub fn volumes(&self) -> PathBuf {
        self.state.join("volumes")
    }

    /// The ranges of user IDs that are given out.
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

    /// Says that another container has joined the network of container `id`.
    pub fn network_joined_mark(&self, id: &str) -> PathBuf {
        self.run_dir(id).join("network-joined")
    }

    /// Makes both roots if they aren't there. Gives what the user should know of the file system
    /// below them: once, since a root is only made once, and one in memory once each boot.
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
        // Of two that come first at once, one mounts.
        let _lock = Lock::wait(&self.state.join(".lock"), LockMode::Exclusive)?;
        if names.is_dir() {
            return Ok(None);
        }
        let note = ground::prepare_uppers(&self.containers())?;
        make_dir(&names)?;
        Ok(note)
    }
}
