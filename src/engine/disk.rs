//! `system df` and the prunes of containers, images and leftovers.
//!
//! The sizes of containers, volumes and leftovers are the allocated bytes of their trees, which
//! each call walks. The tree of a container is its upper directory. The size of a layer is the sum
//! of its files' lengths, which `layer.json` has. In the total of all images, a layer that several
//! images share counts once. A prune removes objects one by one by the normal removal, so an object
//! that is used again at that moment stays.

use std::collections::{HashMap, HashSet};

use super::Engine;
use super::options::RemoveOptions;
use super::view::{
    DiskDetail, DiskKind, DiskUse, ImageUsage, ImageView, ListedImage, PruneCandidate, PruneChoice,
    Pruned, PrunedImages, VolumeUsage,
};
use crate::digest::{Digest, ImageId};
use crate::error::Result;
use crate::event::{self, Kind};
use crate::image::{ImageStore, Usage};
use crate::image_name::ImageName;
use crate::store::tree_size;
use crate::volume;

impl Engine {
    /// Returns one line each for images, containers, volumes and the build cache.
    pub fn disk_use(&self) -> Result<Vec<DiskUse>> {
        let images = ImageStore::open(&self.roots).usage()?;
        let mut used_images = HashSet::new();
        let mut used_volumes = HashSet::new();
        let mut containers = DiskUse::new(DiskKind::Containers);
        for view in self.containers(true, &[])? {
            containers.add(view.status.is_active(), self.written(&view.id));
            used_volumes.extend(view.volumes);
            used_images.extend(view.mounted_images);
            used_images.extend(view.image_id);
        }
        let mut image_use = DiskUse::new(DiskKind::Images);
        let mut needed: HashSet<&Digest> = HashSet::new();
        for (id, layers) in &images.images {
            let used = used_images.contains(id);
            // Layers are counted once, below.
            image_use.add(used, 0);
            if used {
                needed.extend(layers);
            }
        }
        #[cfg(feature = "build")]
        let (cache, of_cache) = self.build_cache_use()?;
        for (layer, size) in &images.layers {
            #[cfg(feature = "build")]
            if of_cache.contains(layer) {
                continue;
            }
            image_use.size += size;
            image_use.reclaimable += if needed.contains(layer) { 0 } else { *size };
        }
        let mut volumes = DiskUse::new(DiskKind::Volumes);
        for found in volume::list(&self.roots)? {
            let size = tree_size(&volume::data(&self.roots, &found.name));
            volumes.add(used_volumes.contains(&found.name), size);
        }
        Ok(vec![
            image_use,
            containers,
            volumes,
            #[cfg(feature = "build")]
            cache,
        ])
    }

    /// Returns each image, container, volume and cache entry with its size, and the number of
    /// containers that were made of each image and that mount each volume.
    pub fn disk_use_of_each(&self) -> Result<DiskDetail> {
        let mut containers = self.containers(true, &[])?;
        let mut image_users: HashMap<ImageId, usize> = HashMap::new();
        let mut volume_users: HashMap<String, usize> = HashMap::new();
        for container in &mut containers {
            // As in Docker, the image's size is not included.
            container.size = Some((self.written(&container.id), 0));
            if let Some(id) = container.image_id {
                *image_users.entry(id).or_default() += 1;
            }
            // A volume that one container mounts twice has one user.
            for volume in container.volumes.iter().collect::<HashSet<_>>() {
                *volume_users.entry(volume.clone()).or_default() += 1;
            }
        }
        let shared = shared_sizes(&ImageStore::open(&self.roots).usage()?);
        let with_usage = |listed: ListedImage| {
            let usage = Some(ImageUsage {
                shared: shared.get(&listed.id).copied().unwrap_or(0),
                containers: image_users.get(&listed.id).copied().unwrap_or(0),
            });
            ImageView { listed, usage }
        };
        let images = self.images()?.into_iter().map(with_usage).collect();
        let mut volumes = self.volumes(false)?;
        for found in &mut volumes {
            found.usage = Some(VolumeUsage {
                containers: volume_users.get(&found.name).copied().unwrap_or(0),
                size: tree_size(&volume::data(&self.roots, &found.name)),
            });
        }
        Ok(DiskDetail {
            images,
            containers,
            volumes,
            #[cfg(feature = "build")]
            cache: self.build_cache()?,
            #[cfg(not(feature = "build"))]
            cache: Vec::new(),
        })
    }

    /// Removes the stopped containers that `wanted` accepts. Returns their ids and the bytes that
    /// were freed.
    pub fn container_prune(&self, wanted: PruneChoice<'_>) -> Result<Pruned> {
        let mut pruned = Pruned::default();
        for view in self.containers(true, &[])? {
            let candidate = PruneCandidate { created: Some(view.created), labels: &view.labels };
            if view.status.is_active() || !wanted(&candidate) {
                continue;
            }
            let size = self.written(&view.id);
            // A container that was just started or cannot be removed stays.
            if self.remove(&view.id, RemoveOptions::default()).is_ok() {
                pruned.reclaimed += size;
                pruned.removed.push(view.id.to_string());
            }
        }
        self.note(&[event::of_prune(Kind::Container, pruned.reclaimed)]);
        Ok(pruned)
    }

    /// Removes the images that `wanted` accepts and that no container uses. Without `all`, removes
    /// only images without a name.
    pub fn image_prune(&self, all: bool, wanted: PruneChoice<'_>) -> Result<PrunedImages> {
        let images = ImageStore::open(&self.roots);
        let is_wanted = |image: &ListedImage| {
            wanted(&PruneCandidate { created: image.created, labels: &image.labels })
        };
        let lines = self.images()?.into_iter();
        let wanted: HashSet<ImageId> = lines.filter(is_wanted).map(|image| image.id).collect();
        let before = images.usage()?;
        let mut pruned = PrunedImages::default();
        for (id, _) in &before.images {
            if !wanted.contains(id) {
                continue;
            }
            let names = images.names(id)?;
            if (!all && !names.is_empty()) || !self.users_of(id)?.is_empty() {
                continue;
            }
            let mut asked: Vec<ImageName> = names.into_iter().map(Into::into).collect();
            if asked.is_empty() {
                asked.push((*id).into());
            }
            for name in asked {
                // Ignore a failure: a new container may use the image, or another command may have
                // removed the name.
                let Ok(removed) = self.remove_image(&name, false) else { break };
                pruned.images.push(removed);
            }
        }
        pruned.reclaimed = before.size().saturating_sub(images.usage()?.size());
        self.note(&[event::of_prune(Kind::Image, pruned.reclaimed)]);
        Ok(pruned)
    }

    /// Removes the leftovers of killed or failed commands in the image store. Returns the size of
    /// the leftovers on disk in bytes.
    pub fn leftover_prune(&self) -> Result<u64> {
        let images = ImageStore::open(&self.roots);
        let mut reclaimed = 0;
        for leftover in images.leftovers()? {
            reclaimed += tree_size(leftover.path());
            images.remove_leftover(&leftover)?;
        }
        Ok(reclaimed)
    }
}

/// Returns for each image the bytes of the layers that another image has too.
fn shared_sizes(usage: &Usage) -> HashMap<ImageId, u64> {
    let sizes: HashMap<&Digest, u64> =
        usage.layers.iter().map(|(layer, size)| (layer, *size)).collect();
    let mut owners: HashMap<&Digest, usize> = HashMap::new();
    for (_, layers) in &usage.images {
        for layer in layers.iter().collect::<HashSet<_>>() {
            *owners.entry(layer).or_default() += 1;
        }
    }
    let shared = |layers: &[Digest]| {
        let shared = layers.iter().filter(|layer| owners[layer] > 1);
        shared.filter_map(|layer| sizes.get(layer)).sum()
    };
    usage.images.iter().map(|(id, layers)| (*id, shared(layers))).collect()
}

impl DiskUse {
    /// Starts with nothing of this kind.
    pub(super) fn new(kind: DiskKind) -> DiskUse {
        DiskUse { kind, total: 0, active: 0, size: 0, reclaimable: 0 }
    }

    /// Adds an object of `size` bytes. The bytes of an object that is not `active` are reclaimable.
    pub(super) fn add(&mut self, active: bool, size: u64) {
        self.total += 1;
        self.size += size;
        if active { self.active += 1 } else { self.reclaimable += size }
    }
}
