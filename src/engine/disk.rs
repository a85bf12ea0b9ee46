//! What takes room, and taking it back: `system df`, the prunes.

use std::collections::HashSet;

use super::Engine;
use super::view::{DiskUse, ImageView, Pruned, Status};
use crate::container::record::{Files, Record};
use crate::error::Result;
use crate::image::digest::Digest;
use crate::image::{ImageStore, Usage};
use crate::store::tree_size;
use crate::volume;

impl Engine {
    /// A line each for images, containers and volumes.
    pub fn disk_use(&self) -> Result<Vec<DiskUse>> {
        let images = ImageStore::open(&self.roots).usage()?;
        let mut used_images = HashSet::new();
        let mut used_volumes = HashSet::new();
        let mut containers = DiskUse::new("Containers");
        for view in self.containers(true, &[])? {
            let running = is_active(&view.status);
            let files = Files::new(&self.roots, &view.id);
            containers.add(running, tree_size(&files.upper()));
            if let Ok(record) = Record::read(&self.roots, &view.id) {
                used_volumes.extend(record.mounts.into_iter().filter_map(|mount| mount.volume));
            }
            used_images.insert(view.image_id);
        }
        let mut image_use = DiskUse::new("Images");
        let mut needed: HashSet<&Digest> = HashSet::new();
        for (id, layers) in &images.images {
            let used = used_images.contains(&id.to_string());
            // Layers are counted once, below.
            image_use.add(used, 0);
            if used {
                needed.extend(layers);
            }
        }
        for (layer, size) in &images.layers {
            image_use.size += size;
            image_use.reclaimable += if needed.contains(layer) { 0 } else { *size };
        }
        let mut volumes = DiskUse::new("Local Volumes");
        for found in volume::list(&self.roots)? {
            let size = tree_size(&volume::data(&self.roots, &found.name));
            volumes.add(used_volumes.contains(&found.name), size);
        }
        Ok(vec![image_use, containers, volumes])
    }

    /// Removes the containers that don't run.
    pub fn container_prune(&self) -> Result<Pruned> {
        let mut pruned = Pruned::default();
        for view in self.containers(true, &[])? {
            if is_active(&view.status) {
                continue;
            }
            let size = tree_size(&Files::new(&self.roots, &view.id).upper());
            // Started meanwhile, or broken: it stays.
            if self.remove(&view.id, false, false).is_ok() {
                pruned.reclaimed += size;
                pruned.removed.push(view.id);
            }
        }
        Ok(pruned)
    }

    /// Removes images that no container uses: those without a name, or `all`, of which one line at
    /// least is `wanted`.
    pub fn image_prune(&self, all: bool, wanted: &dyn Fn(&ImageView) -> bool) -> Result<Pruned> {
        let images = ImageStore::open(&self.roots);
        let lines = self.images()?.into_iter();
        let wanted: HashSet<String> = lines.filter(wanted).map(|image| image.id).collect();
        let before = images.usage()?;
        let mut pruned = Pruned::default();
        for (id, _) in &before.images {
            if !wanted.contains(&id.to_string()) {
                continue;
            }
            let names = images.names(id)?;
            if (!all && !names.is_empty()) || !self.users_of(id)?.is_empty() {
                continue;
            }
            let mut asked: Vec<String> = names.iter().map(ToString::to_string).collect();
            if asked.is_empty() {
                asked.push(id.to_string());
            }
            for name in asked {
                // Used meanwhile: it stays. Gone with another of its names: as wanted.
                let Ok(lines) = self.remove_image(&name, false) else { break };
                pruned.removed.extend(lines);
            }
        }
        let total = |usage: &Usage| usage.layers.iter().map(|(_, size)| size).sum::<u64>();
        let after = images.usage()?;
        pruned.reclaimed = total(&before).saturating_sub(total(&after));
        Ok(pruned)
    }

    /// Removes what pulls that were broken off left; gives its bytes.
    pub fn leftover_prune(&self) -> Result<u64> {
        let images = ImageStore::open(&self.roots);
        let mut reclaimed = 0;
        for leftover in images.leftovers()? {
            reclaimed += tree_size(leftover.path());
            images.remove_leftover(&leftover)?;
        }
        Ok(reclaimed)
    }

    /// As [`Engine::volume_prune`], with what it freed.
    pub fn volume_prune_counted(&self, all: bool) -> Result<Pruned> {
        let mut pruned = Pruned::default();
        let sizes: Vec<(String, u64)> = volume::list(&self.roots)?
            .into_iter()
            .map(|found| {
                let size = tree_size(&volume::data(&self.roots, &found.name));
                (found.name, size)
            })
            .collect();
        pruned.removed = self.volume_prune(all)?;
        let freed = sizes.iter().filter(|(name, _)| pruned.removed.contains(name));
        pruned.reclaimed = freed.map(|(_, size)| size).sum();
        Ok(pruned)
    }
}

fn is_active(status: &Status) -> bool {
    matches!(status, Status::Running { .. } | Status::Restarting { .. })
}

impl DiskUse {
    fn new(kind: &'static str) -> DiskUse {
        DiskUse { kind, total: 0, active: 0, size: 0, reclaimable: 0 }
    }

    fn add(&mut self, active: bool, size: u64) {
        self.total += 1;
        self.size += size;
        match active {
            true => self.active += 1,
            false => self.reclaimable += size,
        }
    }
}
