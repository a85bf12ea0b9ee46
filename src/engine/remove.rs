//! `rm` and `rename`.
//!
//! A forced removal first ends the container. Each removal waits for the monitor, hides the
//! container's directory by a rename and then deletes it. If `rm` is killed before the rename, the
//! container is still listed and can be removed again. If `rm` is killed after the rename, `system
//! check` finds the rest. Both commands take the container's lock for changes. `rm -f` can also
//! remove a container with a broken record.

use std::time::{Duration, Instant};

use super::options::RemoveOptions;
use super::stop::MAX_START;
use super::{Engine, anonymous_volumes, hooks, stop};
use crate::container::files::Files;
use crate::container::record::Record;
use crate::container::state::{self, Condition, MAX_CLEANUP, State, StopMark};
use crate::container::{events, id_range, names, protocol};
use crate::container_id::ContainerId;
use crate::error::{Result, fail};
use crate::network::attachment;
use crate::store::{self, Durability};
use crate::sys::process::Found;
use crate::sys::signal::Signal;

/// The most attempts to remove a container that starts or ends at the same time.
const MAX_TRIES: u32 = 1000;

impl Engine {
    /// Removes a container. Without `options.force`, fails if the container runs, starts or waits
    /// for a restart.
    pub fn remove(&self, name: &str, options: RemoveOptions) -> Result<()> {
        self.remove_once_killed(name, options, false)
    }

    /// Like `remove`. `is_killed` means that the caller has killed the container and written the
    /// event `kill`.
    fn remove_once_killed(
        &self,
        name: &str,
        options: RemoveOptions,
        is_killed: bool,
    ) -> Result<()> {
        let id = names::resolve(&self.roots, name)?;
        let files = Files::new(&self.roots, &id);
        let record = match self.record_of(&id, name) {
            Ok(record) => record,
            Err(error) if !files.dir.exists() => return Err(error),
            Err(_) if options.force || !files.config().exists() => {
                return self.remove_unreadable(&id, name);
            }
            Err(error) => return Err(error),
        };
        for _ in 0..MAX_TRIES {
            self.end(&record, name, options, is_killed)?;
            // `None` means that the container's monitor (--rm) or another `rm` has already removed
            // the container.
            let Some(change) = files.lock_changes()? else { return Ok(()) };
            if !state::lives(&self.roots, &record)? {
                let mut events = Vec::new();
                if options.volumes || record.lifecycle.remove {
                    events = anonymous_volumes::remove(&self.roots, &record);
                }
                state::erase(&self.roots, &id, &record.name, record.durability())?;
                events.push(events::of(&record, "destroy", &[]));
                self.note(&events);
                return id_range::release_assigned(&self.roots, &record);
            }
            drop(change);
            // The container is starting or ending at this moment, so try again.
            std::thread::sleep(Duration::from_millis(5));
        }
        fail!("container {name} was started at the same time; stop it first, or remove it with -f")
    }

    /// Kills a container for a forced removal. Returns its id if it was running. `remove_killed`
    /// waits for the exit. The caller can kill other containers before that call, so that all exit
    /// at the same time.
    pub fn kill_before_removal(&self, name: &str) -> Result<Option<ContainerId>> {
        let record = self.record(name)?;
        if let Condition::Running(_) | Condition::Restarting(_) = self.present_condition(&record)? {
            self.prevent_restart(&record, StopMark::User)?;
        }
        let Condition::Running(state) = self.present_condition(&record)? else { return Ok(None) };
        if let Found::Living(process) = state.find()? {
            self.signal(&record, &process, Signal::KILL)?;
        }
        self.resume(&record, &state)?;
        Ok(Some(record.id))
    }

    /// Removes a container by force. `killed` is the result of `kill_before_removal`.
    pub fn remove_killed(
        &self,
        name: &str,
        killed: Option<ContainerId>,
        volumes: bool,
    ) -> Result<()> {
        let options = RemoveOptions { force: true, volumes };
        match self.remove_once_killed(name, options, killed.is_some()) {
            // The monitor has already removed the container (--rm).
            Err(_) if killed.is_some_and(|id| !Files::new(&self.roots, &id).config().exists()) => {
                Ok(())
            }
            result => result,
        }
    }

    /// Ends a container that runs, starts or waits for a restart. Without `options.force`, fails
    /// for such a container.
    fn end(
        &self,
        record: &Record,
        name: &str,
        options: RemoveOptions,
        is_killed: bool,
    ) -> Result<()> {
        let found = if options.force {
            self.await_start(record, Some(MAX_START))?
        } else {
            self.condition(record)?
        };
        if let Condition::Running(_) | Condition::Restarting(_) | Condition::Starting = found {
            if !options.force {
                fail!("container {name} is running; stop it first, or remove it with -f");
            }
            self.prevent_restart(record, StopMark::User)?;
            if let Condition::Running(state) = self.present_condition(record)? {
                if let Found::Living(process) = state.find()? {
                    if is_killed {
                        stop::send(&process, Signal::KILL)?;
                    } else {
                        self.signal(record, &process, Signal::KILL)?;
                    }
                }
                self.resume(record, &state)?;
            }
            self.await_cleanup(record)?;
        }
        Ok(())
    }

    /// Removes container `id`, whose record cannot be read, with its network and its names. If the
    /// container runs, kills it first. The anonymous volumes and the lease of user IDs remain.
    fn remove_unreadable(&self, id: &ContainerId, name: &str) -> Result<()> {
        let files = Files::new(&self.roots, id);
        if state::is_watched(&files)? {
            state::set_stop_mark(&files, StopMark::User)?;
        }
        // A state.json that cannot be read counts as missing.
        let running: Option<State> = store::read_json(&files.state()).unwrap_or_default();
        state::kill_leftovers(id, crate::runtime::cgroup::DEFAULT_PARENT, running.as_ref())?;
        if !state::watch_ends_by(&files, Instant::now() + MAX_CLEANUP)? {
            return Err(stop::hangs(name));
        }
        let Some(_change) = files.lock_changes()? else { return Ok(()) };
        hooks::take_down(&self.roots, id)?;
        self.release_names(id)?;
        state::erase(&self.roots, id, name, Durability::Lazy)
    }

    /// Releases all names of container `id`, whose record cannot be read.
    fn release_names(&self, id: &ContainerId) -> Result<()> {
        for name in store::list(&self.roots.containers().join("names"))? {
            names::release(&self.roots, &name, id)?;
        }
        Ok(())
    }

    /// Renames a container: claims the new name, writes the record, releases the old name. If this
    /// process is killed in between, both names find the container, and the record has the old or
    /// the new name. Fails if the new name is taken or not valid.
    pub fn rename(&self, old: &str, new: &str) -> Result<()> {
        if !names::is_valid(new) {
            fail!(
                "bad container name '{new}': use letters, digits, '_', '.' and '-', and start with \
                 a letter or digit"
            );
        }
        let id = names::resolve(&self.roots, old)?;
        let Some(_change) = Files::new(&self.roots, &id).lock_changes()? else {
            fail!("no such container: {old}")
        };
        let mut record = Record::read(&self.roots, &id)?;
        if record.name == new {
            fail!("container {old} already has the name '{new}'");
        }
        names::claim(&self.roots, new, &id)?;
        let before = std::mem::replace(&mut record.name, new.to_owned());
        if let Err(error) = record.write(&self.roots) {
            names::release(&self.roots, new, &id)?;
            return Err(error);
        }
        names::release(&self.roots, &before, &id)?;
        // Ignore a failure: only the monitor's process title and its later events would have the
        // old name.
        let _ = protocol::report_name(&Files::new(&self.roots, &id).run, new);
        let before_in_words = format!("/{before}");
        self.note(&[events::of(&record, "rename", &[("oldName", &before_in_words)])]);
        attachment::change::rename(&self.roots, &id, &before, new)
    }
}
