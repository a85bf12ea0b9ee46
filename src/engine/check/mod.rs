//! `system check`: finds leftovers of kills and power cuts, and other faults in the stored state.
//! `--repair` repairs them, except those that only the user can repair.
//!
//! A finding is one line: the problem and its place. A repair changes no file that a running
//! command works on: such a command locks what it makes or removes. The command's temporary files
//! have its PID in their names, and the command keeps these files open (`store::stale`).

mod containers;
mod stores;

use super::Engine;
#[cfg(feature = "build")]
use crate::container::files::Files;
use crate::container::record::all_ids;
use crate::error::{Context, Error, Result};
use crate::runtime::mounts_below;
use crate::store;

/// One problem that the check found.
pub struct Finding {
    /// The problem, in one line.
    pub what: String,
    /// The result of the repair: an error with advice if only the user can repair the problem.
    /// `None` without `--repair`.
    pub mended: Option<Result<()>>,
}

/// The findings up to now.
struct Findings {
    repair: bool,
    list: Vec<Finding>,
}

impl Findings {
    fn add(&mut self, what: String, mend: impl FnOnce() -> Result<()>) {
        let mended = self.repair.then(mend);
        self.list.push(Finding { what, mended });
    }

    /// Adds a finding that only the user can repair.
    fn advise(&mut self, what: String, advice: String) {
        self.add(what, || Err(Error::new(advice)));
    }
}

impl Engine {
    /// Runs all checks, and with `repair` all repairs. Containers come before images, volumes and
    /// networks, because containers use these. Fails only if a check itself fails.
    pub fn check(&self, repair: bool) -> Result<Vec<Finding>> {
        let mut findings = Findings { repair, list: Vec::new() };
        self.check_mounts(&mut findings)?;
        for id in all_ids(&self.roots)? {
            self.check_container(&id, &mut findings);
        }
        self.check_names(&mut findings)?;
        self.check_id_ranges(&mut findings)?;
        self.check_run_dirs(&mut findings)?;
        self.check_removals(&mut findings)?;
        #[cfg(feature = "build")]
        self.check_builds(&mut findings)?;
        self.check_images(&mut findings)?;
        self.check_volumes(&mut findings)?;
        self.check_networks(&mut findings)?;
        self.check_temporaries(&mut findings)?;
        Ok(findings.list)
    }

    /// Removes the leftovers of killed commands: containers without a record, names, leases of user
    /// IDs, run directories, interrupted removals of containers, and temporary files.
    #[cfg(feature = "build")]
    pub(super) fn mend_leftovers(&self) -> Result<()> {
        let mut findings = Findings { repair: true, list: Vec::new() };
        for id in all_ids(&self.roots)? {
            if !Files::new(&self.roots, &id).config().exists() {
                self.check_container(&id, &mut findings);
            }
        }
        self.check_names(&mut findings)?;
        self.check_id_ranges(&mut findings)?;
        self.check_run_dirs(&mut findings)?;
        self.check_removals(&mut findings)?;
        self.check_temporaries(&mut findings)?;
        findings.list.into_iter().filter_map(|finding| finding.mended).collect()
    }

    /// Reports mounts below the directory of the containers and below the run root. Containers have
    /// their own mount namespaces, so the host should see no mount there.
    fn check_mounts(&self, findings: &mut Findings) -> Result<()> {
        for mount in mounts_below(&[&self.roots.containers(), &self.roots.run])? {
            findings.add(format!("{} is mounted on the host", mount.display()), || {
                rustix::mount::unmount(&mount, rustix::mount::UnmountFlags::DETACH)
                    .context(|| format!("unmount {}", mount.display()))
            });
        }
        Ok(())
    }

    fn check_temporaries(&self, findings: &mut Findings) -> Result<()> {
        let roots = &self.roots;
        let images = roots.images();
        let mut dirs =
            vec![roots.run.clone(), images.join("blobs/sha256"), images.join("manifests")];
        let leases = store::list(&roots.networks())?.into_iter();
        dirs.extend(leases.map(|network| roots.networks().join(network).join("leases")));
        let below = [
            roots.containers(),
            roots.volumes(),
            roots.layers(),
            roots.networks(),
            images.join("refs"),
        ];
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
