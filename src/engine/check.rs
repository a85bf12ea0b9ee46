//! `system check`: finds, and with `--repair` mends, what kills and power cuts have left behind.
//!
//! Every finding is a line: what it is and where. Nothing that a living command is at is touched:
//! what is being made or removed is locked by who does it, and temporary files carry its PID.

use std::path::Path;

use super::Engine;
use crate::container::names;
use crate::container::record::{Files, Record, all_ids, is_id, short};
use crate::container::state::{self, Condition, is_watched};
use crate::error::{Context, Error, Result};
use crate::image::ImageStore;
use crate::network::wiring;
use crate::runtime::{cgroup, mounts_below};
use crate::store;
use crate::volume;

/// One thing that isn't as it should be.
pub struct Finding {
    pub what: String,
    /// `None`: it wasn't to be mended.
    pub mended: Option<Result<()>>,
}

/// What has been found so far.
struct Findings {
    repair: bool,
    list: Vec<Finding>,
}

impl Findings {
    fn add(&mut self, what: String, mend: impl FnOnce() -> Result<()>) {
        let mended = self.repair.then(mend);
        self.list.push(Finding { what, mended });
    }
}

impl Engine {
    /// Looks at everything; the order is that in which things hold each other.
    pub fn check(&self, repair: bool) -> Result<Vec<Finding>> {
        let mut findings = Findings { repair, list: Vec::new() };
        self.check_mounts(&mut findings)?;
        for id in all_ids(&self.roots)? {
            self.check_container(&id, &mut findings);
        }
        self.check_names(&mut findings)?;
        self.check_run_dirs(&mut findings)?;
        self.check_removals(&mut findings)?;
        for path in ImageStore::open(&self.roots).sweep(true)? {
            let what = format!("{} is no layer of any image", path.display());
            findings.list.push(Finding { what, mended: None });
        }
        if repair && findings.list.iter().any(|finding| finding.mended.is_none()) {
            let swept = ImageStore::open(&self.roots).sweep(false).map(drop).map_err(shared);
            for finding in findings.list.iter_mut().filter(|finding| finding.mended.is_none()) {
                finding.mended = Some(swept.clone().map_err(Error::new));
            }
        }
        for path in volume::leftovers(&self.roots)? {
            findings.add(format!("{} was left by a killed command", path.display()), || {
                store::remove_tree(&path)
            });
        }
        self.check_temporaries(&mut findings)?;
        Ok(findings.list)
    }

    /// Containers are mounted in namespaces of their own: below our directories there is nothing.
    fn check_mounts(&self, findings: &mut Findings) -> Result<()> {
        for mount in mounts_below(&[&self.roots.containers(), &self.roots.run])? {
            findings.add(format!("{} is mounted on the host", mount.display()), || {
                rustix::mount::unmount(&mount, rustix::mount::UnmountFlags::DETACH)
                    .context(|| format!("unmount {}", mount.display()))
            });
        }
        Ok(())
    }

    fn check_container(&self, id: &str, findings: &mut Findings) {
        let files = Files::new(&self.roots, id);
        let record = match Record::read(&self.roots, id) {
            Ok(record) => record,
            // Its maker holds the monitor lock; one that was removed just now has no directory.
            Err(_) if !files.config().exists() => {
                if !is_watched(&files).unwrap_or(true) && files.dir.exists() {
                    let what = format!("container {} is only half made", short(id));
                    findings.add(what, || self.remove(id, true, false));
                }
                return;
            }
            Err(error) => {
                let id = short(id);
                findings.add(format!("container {id} can't be read: {error}"), || {
                    Err(Error::new(format!("it may hold data; `rm -f {id}` removes it")))
                });
                return;
            }
        };
        let name = &record.name;
        if !is_watched(&files).unwrap_or(true) {
            if files.parked_outcome().exists() {
                let what = format!("how container {name} ended had no room on the disk");
                findings.add(what, || state::reclaim(&self.roots, &record, wiring::take_down));
            } else if files.run.exists() {
                let what = format!("the monitor of container {name} was killed");
                findings.add(what, || state::reclaim(&self.roots, &record, wiring::take_down));
            }
            let cgroups = cgroup::possible_paths(&record.cgroup_parent, id).unwrap_or_default();
            if cgroups.iter().any(|path| Path::new(path).exists()) {
                let what = format!("container {name} has a cgroup and doesn't run");
                findings.add(what, || cgroup::remove(&cgroups));
            }
        }
        match condition_at_rest(self, &record) {
            Ok(Some(Condition::Leftover)) => {
                let what = format!("container {name} was to go with its end (--rm)");
                findings.add(what, || self.remove(id, false, true));
                return;
            }
            Ok(_) => {}
            Err(error) => {
                let what = format!("what became of container {name} can't be read: {error}");
                findings.add(what, || store::remove_file(&files.outcome()));
            }
        }
        match names::look_up(&self.roots, name) {
            Ok(Some(owner)) if owner == id => {}
            _ => findings.add(format!("container {} lacks its name {name}", short(id)), || {
                names::claim(&self.roots, name, id)
                    .or_else(|_| self.rename(id, &names::invent(&self.roots)?))
            }),
        }
    }

    fn check_names(&self, findings: &mut Findings) -> Result<()> {
        for name in store::list(&self.roots.containers().join("names"))? {
            match names::look_up(&self.roots, &name) {
                Ok(Some(id)) => {
                    if names::is_abandoned(&self.roots, &name, &id)? {
                        findings.add(format!("name {name} stands for no container"), || {
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

    /// Run directories whose container is gone.
    fn check_run_dirs(&self, findings: &mut Findings) -> Result<()> {
        for id in store::list(&self.roots.run)?.into_iter().filter(|name| is_id(name)) {
            let files = Files::new(&self.roots, &id);
            if files.dir.exists() || is_watched(&files)? {
                continue;
            }
            findings.add(format!("{} belongs to no container", files.run.display()), || {
                state::kill_leftovers(&id, cgroup::DEFAULT_PARENT, None)?;
                wiring::take_down(&self.roots, &id)?;
                store::remove_tree(&files.run)
            });
        }
        Ok(())
    }

    fn check_removals(&self, findings: &mut Findings) -> Result<()> {
        for path in store::removals(&self.roots.containers())? {
            let what = format!("the removal of {} was cut short", path.display());
            findings.add(what, || store::remove_tree(&path));
        }
        Ok(())
    }

    fn check_temporaries(&self, findings: &mut Findings) -> Result<()> {
        let roots = &self.roots;
        let mut dirs = vec![roots.run.clone(), roots.images().join("blobs/sha256")];
        let below =
            [roots.containers(), roots.volumes(), roots.layers(), roots.images().join("refs")];
        for parent in below.iter().chain([&roots.run]) {
            let names = store::list(parent)?.into_iter();
            dirs.extend(names.map(|name| parent.join(name)).filter(|path| path.is_dir()));
        }
        for path in dirs.iter().map(|dir| store::stale_temporaries(dir)) {
            for path in path? {
                let what = format!("{} was left by a killed command", path.display());
                findings.add(what, || store::remove_file(&path));
            }
        }
        Ok(())
    }
}

/// The condition of a container that nobody watches; looking at it changes nothing.
fn condition_at_rest(engine: &Engine, record: &Record) -> Result<Option<Condition>> {
    let files = Files::new(&engine.roots, &record.id);
    if files.run.exists() {
        return Ok(None);
    }
    engine.condition(record).map(Some)
}

fn shared(error: Error) -> String {
    error.to_string()
}
