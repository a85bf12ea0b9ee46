//! `system check` for containers: records, names, run directories, leased user IDs and interrupted
//! removals.
//!
//! If a container's monitor lives, the container's cgroups and run directory are not checked. Each
//! finding has its repair, which `--repair` runs, or advice if only the user can repair it. Images,
//! volumes and networks are in `stores`.

use std::path::Path;

use super::Findings;
use crate::container::files::Files;
use crate::container::record::{Record, UserNamespaceRecord};
use crate::container::state::{self, Condition, is_watched};
use crate::container::{id_range, names};
use crate::container_id::ContainerId;
use crate::engine::Engine;
use crate::engine::options::RemoveOptions;
use crate::error::{Error, Result, fail};
use crate::network::attachment;
use crate::runtime::cgroup;
use crate::store;

impl Engine {
    /// Checks one container: its record, its state and its files.
    pub(super) fn check_container(&self, id: &ContainerId, findings: &mut Findings) {
        let files = Files::new(&self.roots, id);
        let record = match Record::read(&self.roots, id) {
            Ok(record) => record,
            // A command that creates a container holds the monitor's lock. A container that was
            // just removed has no directory.
            Err(_) if !files.config().exists() => {
                if !is_watched(&files).unwrap_or(true) && files.dir.exists() {
                    let what = format!("the creation of container {} was cut short", id.short());
                    findings.add(what, || {
                        self.remove(id, RemoveOptions { force: true, ..RemoveOptions::default() })
                    });
                }
                return;
            }
            Err(error) => {
                let id = id.short();
                findings.add(format!("container {id} can't be read: {error}"), || {
                    Err(Error::new(format!("it may hold data; remove it with `rm -f {id}`")))
                });
                return;
            }
        };
        let name = &record.name;
        if !state::lives(&self.roots, &record).unwrap_or(true) {
            let orphaned = state::is_orphaned(&self.roots, &record).unwrap_or(false);
            if files.parked_outcome().exists() {
                let what = format!(
                    "the exit status of container {name} was not written: the disk is full"
                );
                findings.add(what, || state::reclaim(&self.roots, &record, attachment::take_down));
            } else if files.run.exists() || orphaned {
                let what = format!("the monitor of container {name} was killed");
                findings.add(what, || state::reclaim(&self.roots, &record, attachment::take_down));
            }
            let cgroups = cgroup::possible_paths(&record.cgroup_parent, id).unwrap_or_default();
            if !orphaned && cgroups.iter().any(|path| Path::new(path).exists()) {
                let what = format!("container {name} is not running but has a cgroup");
                findings.add(what, || cgroup::remove(&cgroups));
            }
        }
        if self.is_half_updated(&record) {
            let what = format!("an update of container {name} was cut short");
            findings.add(what, || self.repair_update(id));
        }
        if let Some(UserNamespaceRecord { ids, auto: true, .. }) = &record.user_namespace
            && !id_range::is_leased(&self.roots, ids, id)
        {
            let what = format!("the user IDs of container {name} are not leased to it");
            findings.add(what, || {
                if id_range::take(&self.roots, ids, id)? {
                    Ok(())
                } else {
                    fail!("another container has them; remove one of the two with `rm`")
                }
            });
        }
        match condition_at_rest(self, &record) {
            Ok(Some(Condition::Leftover)) => {
                let what = format!(
                    "container {name} was made with --rm and has ended, but was not removed"
                );
                findings.add(what, || {
                    self.remove(id, RemoveOptions { volumes: true, ..RemoveOptions::default() })
                });
                return;
            }
            Ok(_) => {}
            Err(error) => {
                let what = format!("the state of container {name} can't be read: {error}");
                findings.add(what, || store::remove_file(&files.outcome()));
            }
        }
        match names::look_up(&self.roots, name) {
            Ok(Some(owner)) if owner == *id => {}
            _ => findings.add(format!("container {} lacks its name {name}", id.short()), || {
                names::claim(&self.roots, name, id)
                    .or_else(|_| self.rename(id, &names::invent(&self.roots)?))
            }),
        }
    }

    /// Finds leases of ID ranges whose container is gone.
    pub(super) fn check_id_ranges(&self, findings: &mut Findings) -> Result<()> {
        for lease in id_range::stale_leases(&self.roots)? {
            findings
                .add(format!("{} is leased, but its container is gone", lease.display()), || {
                    store::remove_file(&lease)
                });
        }
        Ok(())
    }

    /// Finds names that belong to no container, and names whose files cannot be read.
    pub(super) fn check_names(&self, findings: &mut Findings) -> Result<()> {
        for name in store::list(&self.roots.containers().join("names"))? {
            match names::look_up(&self.roots, &name) {
                Ok(Some(id)) => {
                    if names::is_abandoned(&self.roots, &name, &id)? {
                        findings.add(format!("name {name} belongs to no container"), || {
                            names::release(&self.roots, &name, &id)
                        });
                    }
                }
                Ok(None) => {}
                Err(error) => findings.add(error.to_string(), || {
                    store::remove_tree(&self.roots.containers().join("names").join(&name))
                }),
            }
        }
        Ok(())
    }

    /// Finds run directories whose container does not exist.
    pub(super) fn check_run_dirs(&self, findings: &mut Findings) -> Result<()> {
        let names = store::list(&self.roots.run)?;
        for id in names.iter().filter_map(|name| ContainerId::parse(name)) {
            let files = Files::new(&self.roots, &id);
            if files.dir.exists() || state::lives_by_id(&self.roots, &id)? {
                continue;
            }
            findings.add(format!("{} belongs to no container", files.run.display()), || {
                state::kill_leftovers(&id, cgroup::DEFAULT_PARENT, None)?;
                attachment::take_down(&self.roots, &id)?;
                store::remove_tree(&files.run)
            });
        }
        Ok(())
    }

    /// Finds containers of which a killed command removed only a part.
    pub(super) fn check_removals(&self, findings: &mut Findings) -> Result<()> {
        for path in store::removals(&self.roots.containers())? {
            let what = format!("the removal of {} was cut short", path.display());
            findings.add(what, || store::remove_tree(&path));
        }
        Ok(())
    }
}

/// Returns the condition of a container that has no run directory and is not orphaned, otherwise
/// `None`. So `condition` has nothing to clean up.
fn condition_at_rest(engine: &Engine, record: &Record) -> Result<Option<Condition>> {
    let files = Files::new(&engine.roots, &record.id);
    if files.run.exists() || state::is_orphaned(&engine.roots, record)? {
        return Ok(None);
    }
    engine.condition(record).map(Some)
}
