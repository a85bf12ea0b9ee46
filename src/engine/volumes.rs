//! `volume create`, `ls`, `rm` and `prune`.
//!
//! `rm`, `prune` and the filter `dangling` of `ls` must know which containers use a volume. A
//! container uses a volume if its record names the volume, whether the container runs or not. The
//! module `volume` has the files of volumes.

use std::collections::BTreeSet;

use super::Engine;
use super::network::is_alive;
use super::view::{PruneCandidate, PruneChoice, Pruned, VolumeView};
use super::warning::Warning;
use crate::container::record::{Record, all_ids};
use crate::container_id::ContainerId;
use crate::error::{Result, fail};
use crate::event::{self, Kind};
use crate::hex::random_digits;
use crate::store::tree_size;
use crate::time::Instant;
use crate::volume::{self, mounted};

impl Engine {
    /// Makes a volume if it does not exist. Returns its name, which is random without `name`. Fails
    /// as `volume::ensure` does.
    pub fn volume_create(
        &self,
        name: Option<&str>,
        labels: &[(String, String)],
        options: &[(String, String)],
    ) -> Result<String> {
        let (name, anonymous) = match name {
            Some(name) => (name.to_owned(), false),
            None => (random_digits()?, true),
        };
        let made = volume::Volume {
            name,
            created: Instant::now().0,
            labels: labels.to_vec(),
            anonymous,
            options: Some(options.to_vec()).filter(|options| !options.is_empty()),
        };
        self.make_volume(&made)?;
        Ok(made.name)
    }

    /// Returns the anonymous volumes of a container: targets and names.
    pub fn anonymous_volumes(&self, name: &str) -> Result<Vec<(String, String)>> {
        let mounts = self.record(name)?.mounts.into_iter().filter(|mount| mount.anonymous);
        Ok(mounts.filter_map(|mount| Some((mount.target, mount.volume?))).collect())
    }

    /// Mounts a container's volumes with options on the host. Other volumes need no mount. The
    /// mounts are recorded as used by the container `user`.
    pub(super) fn mount_volumes(&self, record: &Record, user: &ContainerId) -> Result<()> {
        for mount in record.mounts.iter().filter(|mount| mount.has_options) {
            if let Some(name) = &mount.volume {
                mounted::acquire(&self.roots, name, user)?;
            }
        }
        Ok(())
    }

    /// Returns the names of the volumes with options that are mounted but used by no living
    /// container.
    pub(super) fn abandoned_volumes(&self) -> Result<Vec<String>> {
        let mut found = volume::list(&self.roots)?;
        found.retain(|volume| {
            volume.options.is_some()
                && mounted::is_mounted(&volume::data(&self.roots, &volume.name))
        });
        if found.is_empty() {
            return Ok(Vec::new());
        }
        for id in all_ids(&self.roots)? {
            let has = |record: &Record, name: &str| {
                record.mounts.iter().any(|mount| mount.volume.as_deref() == Some(name))
            };
            // A container whose record cannot be read may use any of these volumes.
            let record = Record::read(&self.roots, &id).ok();
            found.retain(|volume| {
                let may_have = record.as_ref().is_none_or(|record| has(record, &volume.name));
                !(may_have && is_alive(&self.roots, &id))
            });
        }
        Ok(found.into_iter().map(|volume| volume.name).collect())
    }

    /// Makes a volume if it does not exist. Returns true if the volume is new.
    pub(super) fn make_volume(&self, wanted: &volume::Volume) -> Result<bool> {
        let is_new = volume::ensure(&self.roots, wanted)?;
        if is_new {
            self.note(&[event::of_volume("create", &wanted.name)]);
        }
        Ok(is_new)
    }

    /// Returns all volumes, sorted by name. Without `with_users`, the containers are not searched,
    /// and `is_used` is true for all volumes.
    pub fn volumes(&self, with_users: bool) -> Result<Vec<VolumeView>> {
        let used = if with_users { self.used_volumes()? } else { None };
        let view = |found: volume::Volume| VolumeView {
            is_used: used.as_ref().is_none_or(|used| used.contains(&found.name)),
            mountpoint: volume::data(&self.roots, &found.name).display().to_string(),
            name: found.name,
            usage: None,
            labels: found.labels,
        };
        Ok(volume::list(&self.roots)?.into_iter().map(view).collect())
    }

    /// Removes a volume. Fails if a container uses the volume. Unless `force` is set, also fails if
    /// the volume does not exist.
    pub fn volume_remove(&self, name: &str, force: bool) -> Result<()> {
        match volume::read(&self.roots, name) {
            Ok(_) => {}
            Err(error) if force && error.is_absent() => return Ok(()),
            Err(error) => return Err(error),
        }
        if let Some(user) = self.volume_user(name)? {
            fail!("volume {name} is in use by container {user}; remove that first");
        }
        volume::remove(&self.roots, name)?;
        self.note(&[event::of_volume("destroy", name)]);
        Ok(())
    }

    /// Removes the unused volumes that `wanted` accepts. Without `all`, removes only anonymous
    /// volumes.
    pub fn volume_prune(&self, all: bool, wanted: PruneChoice<'_>) -> Result<Pruned> {
        let mut pruned = Pruned::default();
        for found in volume::list(&self.roots)? {
            let created = Some(Instant(found.created));
            let is_wanted = wanted(&PruneCandidate { created, labels: &found.labels });
            if (all || found.anonymous) && is_wanted && self.volume_user(&found.name)?.is_none() {
                let size = tree_size(&volume::data(&self.roots, &found.name));
                if let Err(error) = self.volume_remove(&found.name, false) {
                    (self.warn)(&Warning::NotPruned(error));
                    continue;
                }
                pruned.reclaimed += size;
                pruned.removed.push(found.name);
            }
        }
        self.note(&[event::of_prune(Kind::Volume, pruned.reclaimed)]);
        Ok(pruned)
    }

    /// Returns the names of the volumes that containers use. Returns `None` if a record cannot be
    /// read, because that record may name any volume.
    fn used_volumes(&self) -> Result<Option<BTreeSet<String>>> {
        let mut used = BTreeSet::new();
        for id in all_ids(&self.roots)? {
            let Ok(record) = Record::read(&self.roots, &id) else { return Ok(None) };
            used.extend(record.mounts.into_iter().filter_map(|mount| mount.volume));
        }
        Ok(Some(used))
    }

    /// Returns the name of a container that uses the volume. A container whose record cannot be
    /// read counts as a user, and its id is returned.
    fn volume_user(&self, name: &str) -> Result<Option<String>> {
        for id in all_ids(&self.roots)? {
            match Record::read(&self.roots, &id) {
                Ok(record) => {
                    let mut volumes =
                        record.mounts.iter().filter_map(|mount| mount.volume.as_deref());
                    if volumes.any(|volume| volume == name) {
                        return Ok(Some(record.name));
                    }
                }
                Err(_) => return Ok(Some(id.to_string())),
            }
        }
        Ok(None)
    }
}
