//! `rm` and `rename`.

use std::time::Duration;

use super::stop::MAX_START;
use super::{Engine, stop};
use crate::container::record::{Files, Record};
use crate::container::state::{self, Condition, StopMark};
use crate::container::{id_range, names, volumes};
use crate::error::{Result, fail};
use crate::network::wiring;
use crate::store::{self, Durability};
use crate::sys::process::Found;
use crate::sys::signal::Signal;

/// How often `rm -f` goes after a container that others start again.
const MAX_TRIES: u32 = 1000;

impl Engine {
    /// Removes a container; a running one only with `force`; its anonymous volumes with `volumes`.
    pub fn remove(&self, name: &str, force: bool, volumes: bool) -> Result<()> {
        let id = names::resolve(&self.roots, name)?;
        let files = Files::new(&self.roots, &id);
        let record = match self.record_of(&id, name) {
            Ok(record) => record,
            Err(error) if !files.dir.exists() => return Err(error),
            // A record that can't be read: what can be found by id alone goes.
            Err(_) if force || !files.config().exists() => {
                let parent = crate::runtime::cgroup::DEFAULT_PARENT;
                state::kill_leftovers(&id, parent, None)?;
                wiring::take_down(&self.roots, &id)?;
                self.release_names(&id)?;
                return state::erase(&self.roots, &id, name, Durability::Lazy);
            }
            Err(error) => return Err(error),
        };
        for _ in 0..MAX_TRIES {
            self.end(&record, name, force)?;
            // Gone by now: an --rm container by its monitor, any other by another `rm`.
            let Some(change) = files.lock_changes()? else { return Ok(()) };
            if !state::is_watched(&files)? {
                if volumes || record.remove {
                    volumes::remove_anonymous(&self.roots, &record);
                }
                state::erase(&self.roots, &id, &record.name, record.durability())?;
                return id_range::give_back(&self.roots, &record);
            }
            drop(change);
            // It starts or ends at this moment; the next look finds out which.
            std::thread::sleep(Duration::from_millis(5));
        }
        fail!("container {name} was started meanwhile; stop it first, or remove it with -f")
    }

    /// Kills a container that is to be removed by force; returns its id if it ran. `remove_killed`
    /// waits for its end. In between, others can be killed, so that all end at the same time.
    pub fn kill_before_removal(&self, name: &str) -> Result<Option<String>> {
        let record = self.record(name)?;
        if let Condition::Running(_) | Condition::Restarting(_) = self.glance(&record)? {
            self.call_off(&record, StopMark::User)?;
        }
        let Condition::Running(state) = self.glance(&record)? else { return Ok(None) };
        if let Found::Living(process) = state.find()? {
            stop::send(&process, Signal::KILL)?;
        }
        self.let_go(&record, &state)?;
        Ok(Some(record.id))
    }

    /// Removes a container by force. `killed` is its id if it was killed for that.
    pub fn remove_killed(&self, name: &str, killed: Option<String>, volumes: bool) -> Result<()> {
        match self.remove(name, true, volumes) {
            // Its monitor was quicker: it was made with --rm.
            Err(_) if killed.is_some_and(|id| !Files::new(&self.roots, &id).config().exists()) => {
                Ok(())
            }
            result => result,
        }
    }

    /// Ends a running container, if that is allowed.
    fn end(&self, record: &Record, name: &str, force: bool) -> Result<()> {
        let found = match force {
            true => self.past_start(record, Some(MAX_START))?,
            false => self.condition(record)?,
        };
        if let Condition::Running(_) | Condition::Restarting(_) | Condition::Starting = found {
            if !force {
                fail!("container {name} is running; stop it first, or remove it with -f");
            }
            self.call_off(record, StopMark::User)?;
            if let Condition::Running(state) = self.glance(record)? {
                if let Found::Living(process) = state.find()? {
                    stop::send(&process, Signal::KILL)?;
                }
                self.let_go(record, &state)?;
            }
            self.await_cleanup(record)?;
        }
        Ok(())
    }

    /// Every name that stands for `id`: when its record can't say which it has.
    fn release_names(&self, id: &str) -> Result<()> {
        for name in store::list(&self.roots.containers().join("names"))? {
            names::release(&self.roots, &name, id)?;
        }
        Ok(())
    }

    /// The new name first, then the record, then the old name goes: killed between, the container
    /// answers to both, and its record says which it is.
    pub fn rename(&self, old: &str, new: &str) -> Result<()> {
        if !names::is_valid(new) {
            fail!(
                "bad container name '{new}': it must begin with a letter or digit and go on with \
                 letters, digits, '_', '.' and '-'"
            );
        }
        let id = names::resolve(&self.roots, old)?;
        let Some(_change) = Files::new(&self.roots, &id).lock_changes()? else {
            fail!("no such container: {old}")
        };
        let mut record = Record::read(&self.roots, &id)?;
        if record.name == new {
            fail!("container {old} is called '{new}' already");
        }
        names::claim(&self.roots, new, &id)?;
        let before = std::mem::replace(&mut record.name, new.to_owned());
        if let Err(error) = record.write(&self.roots) {
            names::release(&self.roots, new, &id)?;
            return Err(error);
        }
        names::release(&self.roots, &before, &id)?;
        wiring::rename(&self.roots, &id, &before, new)
    }
}
