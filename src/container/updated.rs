//! `<run>/<id>/updated.json`: the mark of a running container that `update` has changed.
//!
//! The monitor keeps no limits and no restart policy of its own. If the mark exists when the program has
//! ended, the monitor reads the record again. `update` writes the mark before
//! it changes anything, and sets `finished` once the record says what the kernel does. So a killed
//! update is noticed, and the record, which is written last, says how to undo it.

use miniserde::{Deserialize, Serialize};

use super::files::Files;
use super::state::State;
use crate::error::Result;
use crate::store;

/// What `update` has done to a container since its start.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Updated {
    /// Whether the last update came to its end.
    pub finished: bool,
    /// Whether the last update changes published ports. Missing in marks of older versions.
    pub ports: Option<bool>,
    /// The cgroups that the container got in addition to those of its start.
    pub cgroups: Vec<String>,
}

impl Updated {
    /// Reads the mark; `None` if the container was not updated since its start.
    pub fn read(files: &Files) -> Result<Option<Updated>> {
        store::read_json(&files.updated())
    }

    /// Writes the mark.
    pub fn write(&self, files: &Files) -> Result<()> {
        let text = miniserde::json::to_string(self);
        store::replace_in_new_dir(&files.updated(), text.as_bytes())
    }
}

/// All cgroups of a running container: those of its start and those that `update` has added.
pub fn cgroups(files: &Files, state: &State) -> Vec<String> {
    // If the mark can't be read, the cgroups of the start are what is known.
    let added = Updated::read(files).ok().flatten().unwrap_or_default().cgroups;
    state.cgroups.iter().cloned().chain(added).collect()
}
