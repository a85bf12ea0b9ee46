//! `update`: changes the limits, the restart policy and the published ports of a container.
//!
//! For a stopped container, `update` only writes a new record. For a running container, `update`
//! writes the update mark (`container::updated`) first, then changes the ports, then writes the
//! cgroup files, then the record, and at last marks the update as finished. If a step up to the
//! record fails, the former values are written back. If this process is killed, the mark stays
//! unfinished. Then the next `update` or `system check --repair` sets the limits and ports that the
//! record has. Each start takes the limits and ports from the record.

use super::condition::{MAX_TRANSITION, Pauses, no_such};
use super::create::check_resources;
use super::options::{Resources, UpdateOptions};
use super::start::Life;
use super::update_ports::{self, Change};
use super::{Engine, spec};
use crate::container::files::Files;
use crate::container::record::Record;
use crate::container::state::State;
use crate::container::updated::{self, Updated};
use crate::container::{events, names};
use crate::error::{Result, fail};
use crate::network::attachment;
use crate::network::ports::PortMap;
use crate::runtime::cgroup::{Applied, Update};
use crate::store::Lock;

impl Engine {
    /// Changes one container. Checks the new values before it applies them.
    pub fn update(&self, name: &str, options: &UpdateOptions) -> Result<()> {
        let (record, state, _change) = self.settled(name)?;
        let Some(state) = state else {
            let updated = with_changes(&record, options, &[])?;
            updated.write(&self.roots)?;
            return self.note_update(&updated);
        };
        self.finish_update(&record, &state)?;
        let id = &record.id;
        // While the monitor waits for a restart, the ports are free. The next program claims the
        // ports of the record.
        let has_ports = state.pid != 0;
        let present = if has_ports { attachment::find(&self.roots, id)?.ports } else { Vec::new() };
        let updated = with_changes(&record, options, &present)?;
        let (before, after) = (spec::cgroup(&record)?, spec::cgroup(&updated)?);
        let plan = Update::plan(Some(&before), &after)?;
        let moves = has_ports && updated.publish != record.publish;
        let ports = moves.then(|| Change::begin(self, &updated)).transpose()?;
        let files = Files::new(&self.roots, id);
        let mut mark = Updated::read(&files)?.unwrap_or_default();
        for path in plan.new_directories() {
            if !mark.cgroups.contains(&path) {
                mark.cgroups.push(path);
            }
        }
        (mark.finished, mark.ports) = (false, Some(ports.is_some()));
        mark.write(&files)?;
        let moved = ports.as_ref().map_or(Ok(()), |ports| ports.carry_out(self, id));
        // While the monitor waits for a restart, write to no cgroup: the next program starts with
        // the new limits.
        let applied = moved.and_then(|()| match state.pid {
            0 => Ok(Applied::default()),
            _ => plan.apply(&state.cgroups),
        });
        let result =
            applied.and_then(|applied| updated.write(&self.roots).inspect_err(|_| applied.undo()));
        let settled = match ports {
            None => Ok(()),
            Some(ports) if result.is_ok() => ports.finish(),
            Some(ports) => ports.undo(self, id),
        };
        // If the ports are not settled, the next `update` or `system check --repair` settles them.
        mark.finished = settled.is_ok();
        let settled = settled.and(mark.write(&files));
        if mark.ports == Some(true) && state.has_ended() {
            // The monitor may have cleaned up before the ports were recorded.
            attachment::take_down(&self.roots, id)?;
            return result.and_then(|()| self.note_update(&updated));
        }
        // Report the first failure.
        result.and(settled)?;
        self.note_update(&updated)
    }

    fn note_update(&self, record: &Record) -> Result<()> {
        self.note(&[events::of(record, "update", &[])]);
        Ok(())
    }

    /// If the last update of a running container was not finished, sets the limits and ports of the
    /// record again. The caller holds the container's lock for changes.
    fn finish_update(&self, record: &Record, state: &State) -> Result<()> {
        let files = Files::new(&self.roots, &record.id);
        match Updated::read(&files)? {
            Some(mark) if !mark.finished && state.pid != 0 => {
                let cgroups = updated::cgroups(&files, state);
                let cgroup = spec::cgroup(record)?;
                Update::plan(None, &cgroup)?.apply(&cgroups)?;
                if mark.ports == Some(true) {
                    Change::repair(self, record)?;
                }
                Updated { finished: true, ..mark }.write(&files)
            }
            _ => Ok(()),
        }
    }

    /// Reports whether the last update of the container was not finished, and no command holds the
    /// container's lock for changes now.
    pub(super) fn is_half_updated(&self, record: &Record) -> bool {
        let files = Files::new(&self.roots, &record.id);
        matches!(Updated::read(&files), Ok(Some(mark)) if !mark.finished)
            && matches!(Lock::try_exclusive(&files.dir), Ok(Some(_)))
    }

    /// Repairs a running container whose last update was not finished.
    pub(super) fn repair_update(&self, name: &str) -> Result<()> {
        match self.settled(name)? {
            (record, Some(state), _change) => self.finish_update(&record, &state),
            _ => Ok(()),
        }
    }

    /// Waits while a container starts or ends. Then returns the container's record, its state if
    /// the container is alive, and its lock for changes.
    fn settled(&self, name: &str) -> Result<(Record, Option<State>, Lock)> {
        let mut pauses = Pauses::within(MAX_TRANSITION);
        loop {
            // Clean up after a killed monitor before the lock for changes is taken, because the
            // cleanup takes the same lock.
            self.condition(&self.record(name)?)?;
            let id = names::resolve(&self.roots, name)?;
            let Some(change) = Files::new(&self.roots, &id).lock_changes()? else {
                return Err(no_such(name));
            };
            let record = Record::read(&self.roots, &id)?;
            match self.life(&record)? {
                Life::Alive(state) => return Ok((record, Some(state), change)),
                Life::Clean(_) | Life::Unclean => return Ok((record, None, change)),
                Life::InTransition => {}
            }
            drop(change);
            if !pauses.wait() {
                fail!("container {name} is still starting or ending; try again later");
            }
        }
    }
}

/// Returns the record with the new values, checked as `create` checks them. `present` has the ports
/// of a running container.
fn with_changes(record: &Record, options: &UpdateOptions, present: &[PortMap]) -> Result<Record> {
    let mut updated = record.clone();
    updated.publish = update_ports::changed(record, present, options)?;
    let (known, wanted) = (&record.resources, &options.resources);
    if let Some(restart) = options.restart {
        if record.lifecycle.remove {
            fail!("the restart policy of {} can't change: it was made with --rm", record.name);
        }
        updated.lifecycle.restart = restart;
    }
    let has_quota = known.cpu_quota.is_some() || known.cpu_period.is_some();
    if known.nano_cpus.is_some() && (wanted.cpu_quota.is_some() || wanted.cpu_period.is_some()) {
        fail!("container {} has --cpus: change that, not --cpu-quota or --cpu-period", record.name);
    }
    if wanted.nano_cpus.is_some() && has_quota {
        fail!("container {} has --cpu-quota or --cpu-period: change that, not --cpus", record.name);
    }
    let new = &mut updated.resources;
    set(&mut new.memory, &wanted.memory);
    set(&mut new.memory_swap, &wanted.memory_swap);
    set(&mut new.memory_reservation, &wanted.memory_reservation);
    set(&mut new.nano_cpus, &wanted.nano_cpus);
    set(&mut new.cpu_shares, &wanted.cpu_shares);
    set(&mut new.cpu_quota, &wanted.cpu_quota);
    set(&mut new.cpu_period, &wanted.cpu_period);
    set(&mut new.cpuset_cpus, &wanted.cpuset_cpus);
    set(&mut new.cpuset_mems, &wanted.cpuset_mems);
    set(&mut new.pids, &wanted.pids);
    set(&mut new.blkio_weight, &wanted.blkio_weight);
    check(new, known, wanted)?;
    Ok(updated)
}

fn set<T: Clone>(field: &mut Option<T>, wanted: &Option<T>) {
    if wanted.is_some() {
        field.clone_from(wanted);
    }
}

fn check(new: &Resources, known: &Resources, wanted: &Resources) -> Result<()> {
    if let (Some(memory), Some(swap @ 0..), None) =
        (wanted.memory, known.memory_swap, wanted.memory_swap)
        && memory > swap
    {
        fail!(
            "--memory {memory} is above the container's --memory-swap {swap}, which counts both \
             together; give --memory-swap too"
        );
    }
    check_resources(new)
}
