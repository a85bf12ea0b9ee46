//! The mounts of a new container: those of its options and of `--volumes-from`, and a volume for
//! each path that the image declares.
//!
//! This file makes the named and anonymous volumes, and the bind sources that `-v` requires. The
//! caller gets the list of new anonymous volumes and removes them if the creation fails. This file
//! mounts nothing: `runtime::mounts` does that at each start.

use std::fs;
use std::path::Path;

use crate::container::record::{ImageMount, MountKind, MountRecord};
use crate::container_id::random_digits;
use crate::engine::Engine;
use crate::engine::options::{CreateOptions, MountOption};
use crate::error::{Context, Result, fail};
use crate::event;
use crate::image::{ContainerConfig, ImageHold, ImageStore};
use crate::image_name::ImageName;
use crate::order;
use crate::raw;
use crate::store::OrEmpty;
use crate::time::Instant;
use crate::volume;

impl Engine {
    /// Returns the user's mounts and the image's volumes, outermost first. Makes missing volumes
    /// and sources. Adds new anonymous volumes to `made`, and locks of mounted images to `holds`.
    pub(super) fn mounts(
        &self,
        options: &CreateOptions,
        config: &ContainerConfig,
        made: &mut Vec<String>,
        holds: &mut Vec<ImageHold>,
    ) -> Result<Vec<MountRecord>> {
        let mut mounts = Vec::new();
        for mount in &options.mounts {
            mounts.push(self.mount(options, mount, made, holds)?);
        }
        for (name, read_only) in &options.volumes_from {
            self.add_volumes_of(name, *read_only, &mut mounts)
                .context(|| format!("--volumes-from {name}"))?;
        }
        for target in &config.volumes {
            let target = crate::path::clean(&raw::encode(target.as_bytes()));
            let taken = mounts.iter().any(|mount: &MountRecord| mount.target == target);
            if !taken && target != "/" && target.starts_with('/') {
                mounts.push(self.anonymous_volume(options, &target, None, made)?);
            }
        }
        // A stable sort keeps the given order of mounts at the same depth.
        order::sort_by_key(&mut mounts, |mount| Path::new(&mount.target).components().count());
        Ok(mounts)
    }

    /// Adds those mounts of another container whose targets have no mount yet. Leaves out each
    /// tmpfs.
    fn add_volumes_of(
        &self,
        name: &str,
        read_only: bool,
        mounts: &mut Vec<MountRecord>,
    ) -> Result<()> {
        for theirs in self.record(name)?.mounts {
            let taken = mounts.iter().any(|mount| mount.target == theirs.target);
            if theirs.kind != MountKind::Tmpfs && !taken {
                let given = theirs.given.filter(|_| !read_only);
                let read_only = theirs.read_only || read_only;
                mounts.push(MountRecord { read_only, given, ..theirs });
            }
        }
        Ok(())
    }

    fn mount(
        &self,
        options: &CreateOptions,
        mount: &MountOption,
        made: &mut Vec<String>,
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
                let Some(name) = &mount.image else { fail!("a mount of an image names none") };
                let (image, hold) = self.image_mount(name)?;
                holds.push(hold);
                let record = record(Some(name.to_string()));
                Ok(MountRecord { read_only: true, image: Some(image), ..record })
            }
            MountKind::Bind => {
                let Some(given) = &mount.source else { fail!("a bind names no source") };
                let source = &*raw::path(given);
                if !source.exists() {
                    if !mount.make_source {
                        fail!("bind source {given} does not exist");
                    }
                    fs::create_dir_all(source).context(|| format!("make bind source {given}"))?;
                }
                Ok(record(mount.source.clone()))
            }
            MountKind::Volume => {
                let Some(name) = &mount.source else {
                    let given = Some(&mount.volume_options).filter(|given| !given.is_empty());
                    let mut volume = self.anonymous_volume(options, &mount.target, given, made)?;
                    volume.read_only = mount.read_only;
                    volume.copy_up &= !mount.no_copy;
                    return Ok(volume);
                };
                let created = Instant::now().0;
                let labels = mount.labels.clone();
                let given = Some(mount.volume_options.clone()).filter(|given| !given.is_empty());
                let made = volume::Volume {
                    name: name.clone(),
                    created,
                    labels,
                    anonymous: false,
                    options: given,
                };
                self.make_volume(&made)?;
                let has_options = volume::read(&self.roots, name)?.options.is_some();
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

    /// Returns a new anonymous volume, or the inherited one for `target`.
    fn anonymous_volume(
        &self,
        options: &CreateOptions,
        target: &str,
        given: Option<&Vec<(String, String)>>,
        made: &mut Vec<String>,
    ) -> Result<MountRecord> {
        let mut inherited = options.inherited_volumes.iter();
        let id = match inherited.find(|(known, _)| known == target) {
            Some((_, id)) => id.clone(),
            None => random_digits()?,
        };
        let present = volume::read(&self.roots, &id).ok();
        if present.is_none() {
            if volume::ensure_anonymous(&self.roots, &id, given)? {
                self.note(&[event::of_volume("create", &id)]);
            }
            made.push(id.clone());
        }
        let has_options = present.map_or(given.is_some(), |present| present.options.is_some());
        let source = raw::encode_path(&volume::data(&self.roots, &id));
        Ok(MountRecord {
            volume: Some(id),
            anonymous: true,
            copy_up: !has_options,
            has_options,
            ..MountRecord::new(MountKind::Volume, Some(source), target.to_owned())
        })
    }
}
