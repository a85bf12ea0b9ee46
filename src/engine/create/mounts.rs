//! The mounts of a new container: those of its options and of `--volumes-from`, and a volume for
//! each path that the image declares.
//!
//! This file makes no volumes and no bind sources. The caller gets the list of missing volumes and
//! makes them last. Each start makes the missing bind sources of `-v` (`Record::make_sources`).
//! Nothing is mounted here: `runtime::mounts` mounts at each start.

use std::path::Path;

use crate::container::record::{ImageMount, MountKind, MountRecord};
use crate::engine::Engine;
use crate::engine::options::{CreateOptions, MountOption, VolumesFrom};
use crate::error::{Context, Result, fail};
use crate::hex::random_digits;
use crate::image::{ContainerConfig, ImageHold, ImageStore};
use crate::image_name::ImageName;
use crate::order;
use crate::raw;
use crate::store::OrEmpty;
use crate::time::Instant;
use crate::volume::{self, Volume};

impl Engine {
    /// Returns the user's mounts and the image's volumes, outermost first. Adds the volumes that
    /// must be made to `missing`, and locks of mounted images to `holds`. Fails for example if a
    /// required source is missing, or if a volume exists with other options.
    pub(super) fn mounts(
        &self,
        options: &CreateOptions,
        config: &ContainerConfig,
        missing: &mut Vec<Volume>,
        holds: &mut Vec<ImageHold>,
    ) -> Result<Vec<MountRecord>> {
        let mut mounts = Vec::new();
        for mount in &options.mounts {
            mounts.push(self.mount(options, mount, missing, holds)?);
        }
        let mut borrowed = Vec::new();
        for from in &options.volumes_from {
            self.add_volumes_of(from, &mut borrowed)
                .context(|| format!("--volumes-from {}", from.given))?;
        }
        borrowed.retain(|theirs| mounts.iter().all(|own| own.target != theirs.target));
        mounts.extend(borrowed);
        for target in &config.volumes {
            let target = crate::path::clean(&raw::encode(target.as_bytes()));
            let taken = mounts.iter().any(|mount: &MountRecord| mount.target == target);
            if !taken && target != "/" && target.starts_with('/') {
                let volume = self.anonymous_volume(options, &target, &[], None, missing)?;
                mounts.push(volume);
            }
        }
        // A stable sort keeps the given order of mounts at the same depth.
        order::sort_by_key(&mut mounts, |mount| Path::new(&mount.target).components().count());
        Ok(mounts)
    }

    /// Adds the mounts of another container, except its tmpfs mounts. As in Docker, each added
    /// mount replaces a mount of an earlier `--volumes-from` on the same target.
    fn add_volumes_of(&self, from: &VolumesFrom, mounts: &mut Vec<MountRecord>) -> Result<()> {
        for theirs in self.record(&from.container)?.mounts {
            if theirs.kind != MountKind::Tmpfs {
                mounts.retain(|mount| mount.target != theirs.target);
                let read_only = theirs.read_only || from.read_only;
                mounts.push(MountRecord { read_only, borrowed: true, given: None, ..theirs });
            }
        }
        Ok(())
    }

    fn mount(
        &self,
        options: &CreateOptions,
        mount: &MountOption,
        missing: &mut Vec<Volume>,
        holds: &mut Vec<ImageHold>,
    ) -> Result<MountRecord> {
        let record = |source: Option<String>| MountRecord {
            read_only: mount.read_only,
            make_source: mount.make_source,
            tmpfs_options: mount.tmpfs_options.clone(),
            given: mount.given.clone(),
            access: mount.access.clone(),
            ..MountRecord::new(mount.kind, source, mount.target.clone())
        };
        match mount.kind {
            MountKind::Tmpfs => Ok(record(None)),
            MountKind::Image if !mount.layers.is_empty() => {
                let layers = mount.layers.iter().map(|layer| raw::encode_path(layer)).collect();
                let record = record(None);
                let image = Some(ImageMount { id: OrEmpty(None), layers });
                Ok(MountRecord { read_only: true, image, ..record })
            }
            MountKind::Image => {
                let Some(name) = &mount.image else { fail!("a mount of an image names no image") };
                let (image, hold) = self.image_mount(name)?;
                holds.push(hold);
                let record = record(Some(name.to_string()));
                Ok(MountRecord { read_only: true, image: Some(image), ..record })
            }
            MountKind::Bind => {
                let Some(given) = &mount.source else { fail!("a bind names no source") };
                if !mount.make_source && !raw::path(given).exists() {
                    fail!("bind source {given} does not exist");
                }
                Ok(record(mount.source.clone()))
            }
            MountKind::Volume => {
                let given = Some(mount.volume_options.clone()).filter(|given| !given.is_empty());
                let Some(name) = &mount.source else {
                    let mut volume = self.anonymous_volume(
                        options,
                        &mount.target,
                        &mount.labels,
                        given,
                        missing,
                    )?;
                    volume.read_only = mount.read_only;
                    volume.copy_up &= !mount.no_copy && mount.access.subpath.is_none();
                    volume.access = mount.access.clone();
                    return Ok(volume);
                };
                let wanted = Volume {
                    name: name.clone(),
                    created: Instant::now().0,
                    labels: mount.labels.clone(),
                    anonymous: false,
                    options: given,
                };
                let has_options = match volume::find(&self.roots, &wanted)? {
                    Some(present) => present.options.is_some(),
                    None => {
                        missing.push(wanted);
                        !mount.volume_options.is_empty()
                    }
                };
                let data = volume::data(&self.roots, name);
                Ok(MountRecord {
                    volume: Some(name.clone()),
                    // A volume with options or a subpath is not filled from the image.
                    copy_up: !mount.no_copy && mount.access.subpath.is_none() && !has_options,
                    has_options,
                    ..record(Some(raw::encode_path(&data)))
                })
            }
        }
    }

    fn image_mount(&self, name: &ImageName) -> Result<(ImageMount, ImageHold)> {
        let images = ImageStore::open(&self.roots);
        let Some(id) = images.find(name)? else {
            fail!("no such image: '{name}'; pull it before you mount it")
        };
        let hold = images.hold(&id)?;
        let layers = images.get(&id)?.layers;
        let layers = layers.iter().map(|layer| raw::encode_path(layer)).collect();
        Ok((ImageMount { id: OrEmpty(Some(id)), layers }, hold))
    }

    /// Returns the mount of a new anonymous volume, or of the inherited one for `target`.
    fn anonymous_volume(
        &self,
        options: &CreateOptions,
        target: &str,
        labels: &[(String, String)],
        given: Option<Vec<(String, String)>>,
        missing: &mut Vec<Volume>,
    ) -> Result<MountRecord> {
        let mut inherited = options.inherited_volumes.iter();
        let name = match inherited.find(|(known, _)| known == target) {
            Some((_, name)) => name.clone(),
            None => random_digits()?,
        };
        let has_options = match volume::read(&self.roots, &name) {
            Ok(present) => present.options.is_some(),
            Err(_) => {
                let has_options = given.is_some();
                let wanted = Volume {
                    name: name.clone(),
                    created: Instant::now().0,
                    labels: labels.to_vec(),
                    anonymous: true,
                    options: given,
                };
                volume::find(&self.roots, &wanted)?;
                missing.push(wanted);
                has_options
            }
        };
        let source = raw::encode_path(&volume::data(&self.roots, &name));
        Ok(MountRecord {
            volume: Some(name),
            anonymous: true,
            copy_up: !has_options,
            has_options,
            ..MountRecord::new(MountKind::Volume, Some(source), target.to_owned())
        })
    }
}
