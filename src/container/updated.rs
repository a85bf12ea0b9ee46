//! The mark `<run>/<id>/updated.json`: `update` has changed the running container.
//!
//! The monitor has read the record before the update, so it reads the record again after the
//! program's end if the mark exists. `update` writes the mark before it changes a port or a limit,
//! and sets `finished` when the record agrees with the kernel. So a killed update is noticed. The
//! record is written after the ports and limits have changed. Until then the record has the former
//! values, which show how to undo the update.

use miniserde::{Deserialize, Serialize};

use super::files::Files;
use super::state::State;
use crate::error::Result;
use crate::store;

/// The changes of `update` to a container since its start.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Updated {
    /// Whether the last update has finished.
    pub finished: bool,
    /// Whether the last update changes published ports. `None` in marks of older versions.
    pub ports: Option<bool>,
    /// The cgroups that `update` has added to those of the start.
    pub cgroups: Vec<String>,
}

impl Updated {
    /// Reads the mark; `None` if the container was not updated since its start.
    pub fn read(files: &Files) -> Result<Option<Updated>> {
        store::read_json(&files.updated())
    }

    /// Writes the mark. Creates a missing run directory.
    pub fn write(&self, files: &Files) -> Result<()> {
        let text = miniserde::json::to_string(self);
        store::replace_in_new_dir(&files.updated(), text.as_bytes())
    }
}

/// All cgroups of a running container: those of its start and those that `update` has added.
pub fn cgroups(files: &Files, state: &State) -> Vec<String> {
    // If the mark cannot be read, only the cgroups of the start are known.
    let added = Updated::read(files).ok().flatten().unwrap_or_default().cgroups;
    state.cgroups.iter().cloned().chain(added).collect()
}
