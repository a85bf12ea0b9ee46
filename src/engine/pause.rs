//! `pause` and `unpause`: freezes and thaws all processes of a container (cgroup freezer).
//!
//! The mark in the run directory is made before the freeze and removed after the thaw. If the
//! command is killed in between, the container counts as paused, and `unpause` thaws it.

use super::Engine;
use crate::container::events;
use crate::container::files::Files;
use crate::container::record::Record;
use crate::container::state::{State, is_paused, set_paused};
use crate::error::{Context, Result, fail};
use crate::runtime::cgroup::freezer;

impl Engine {
    /// Pauses a running container. Fails if it does not run or is already paused.
    pub fn pause(&self, name: &str) -> Result<()> {
        let (record, state) = self.running(name)?;
        let files = Files::new(&self.roots, &record.id);
        let Some(_change) = files.lock_changes()? else { fail!("no such container: {name}") };
        if is_paused(&files, &state) {
            fail!("container {name} is paused already");
        }
        set_paused(&files, &state, true)?;
        let frozen = freezer::freeze(&state.cgroups, &record.cgroup_parent, &record.id);
        frozen.context(|| format!("pause container {name}")).inspect_err(|_| {
            // Ignore errors here: the user must see the failure to freeze.
            let _ = self.resume(&record, &state);
        })?;
        self.note(&[events::of(&record, "pause", &[])]);
        Ok(())
    }

    /// Resumes a paused container. Fails if it is not paused.
    pub fn unpause(&self, name: &str) -> Result<()> {
        let (record, state) = self.running(name)?;
        let files = Files::new(&self.roots, &record.id);
        let Some(_change) = files.lock_changes()? else { fail!("no such container: {name}") };
        if !is_paused(&files, &state) {
            fail!("container {name} is not paused");
        }
        self.resume(&record, &state)?;
        self.note(&[events::of(&record, "unpause", &[])]);
        Ok(())
    }

    /// Resumes a container if it is paused. A signal that was sent during the pause is delivered
    /// before the processes continue.
    pub(super) fn resume(&self, record: &Record, state: &State) -> Result<()> {
        let files = Files::new(&self.roots, &record.id);
        if !is_paused(&files, state) {
            return Ok(());
        }
        freezer::thaw(&state.cgroups, &record.cgroup_parent, &record.id)
            .context(|| format!("resume container {}", record.name))?;
        set_paused(&files, state, false)
    }

    /// Fails if the container is paused, for commands that need its processes to run.
    pub(super) fn refuse_paused(&self, record: &Record, state: &State) -> Result<()> {
        if is_paused(&Files::new(&self.roots, &record.id), state) {
            fail!("container {} is paused; `unpause` it first", record.name);
        }
        Ok(())
    }
}
