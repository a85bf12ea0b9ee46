//! The build cache for `builder prune`, `system prune` and `system df`: its size, and which entries
//! a prune removes.
//!
//! The size counts each layer once, and not at all if an image has the layer too. The least
//! recently used entries are removed first. This file lists cache mounts too; `cache_mounts` makes
//! them.

use std::collections::HashSet;

use super::Engine;
use super::view::{CacheView, DiskKind, DiskUse, PruneCandidate, PruneChoice, Pruned};
use crate::digest::Digest;
use crate::error::Result;
use crate::event::{self, Kind};
use crate::image::cache::CacheUse;

impl Engine {
    /// Returns all entries, the least recently used first, and then the cache mounts.
    pub fn build_cache(&self) -> Result<Vec<CacheView>> {
        let uses = self.image_store().cache_use()?;
        let view = |one: CacheUse| CacheView {
            id: one.entry.key.hex(),
            title: one.entry.title,
            created: one.entry.created,
            used: one.used,
            size: one.size,
            shared: one.shared,
        };
        let mounts = self.cache_mounts()?.into_iter().rev().map(|mount| CacheView {
            id: mount.name(),
            title: format!("cache mount {}", mount.id),
            created: mount.used,
            used: mount.used,
            size: mount.size,
            shared: false,
        });
        Ok(uses.into_iter().map(view).chain(mounts).collect())
    }

    /// Returns the cache's line of `system df`, and the layers that only the cache has.
    pub(super) fn build_cache_use(&self) -> Result<(DiskUse, HashSet<Digest>)> {
        let mut cache = DiskUse::new(DiskKind::BuildCache);
        let mut own = HashSet::new();
        for one in self.image_store().cache_use()? {
            let layer = one.entry.layer.filter(|_| !one.shared);
            let is_new = layer.is_some_and(|layer| own.insert(layer));
            cache.add(false, if is_new { one.size } else { 0 });
        }
        for mount in self.cache_mounts()? {
            cache.add(false, mount.size);
        }
        Ok((cache, own))
    }

    /// Removes the entries and cache mounts that `wanted` accepts. A cache mount that a step has
    /// locked stays. An entry whose layer an image has is removed only with `all`. With `keep`,
    /// adds up the sizes of the cache mounts and then of the entries, both starting with the most
    /// recently used. Removes only a mount or entry with which the sum exceeds `keep` bytes.
    pub fn build_cache_prune(
        &self,
        all: bool,
        keep: Option<u64>,
        wanted: PruneChoice<'_>,
    ) -> Result<Pruned> {
        let images = self.image_store();
        let uses = images.cache_use()?;
        let mut kept: u64 = 0;
        let mut pruned = Pruned::default();
        // Count the cache mounts first, so that a limit removes them last: a step can make its
        // layer again, but the content of a cache mount is the work of many builds.
        for mount in self.cache_mounts()? {
            kept += mount.size;
            let candidate = PruneCandidate { created: Some(mount.used), labels: &[] };
            if keep.is_none_or(|keep| kept > keep)
                && wanted(&candidate)
                && self.remove_cache_mount(&mount)?
            {
                kept -= mount.size;
                pruned.reclaimed += mount.size;
                pruned.removed.push(mount.name());
            }
        }
        let mut going = Vec::new();
        let mut counted = HashSet::new();
        for one in uses.into_iter().rev() {
            if !one.shared && counted.insert(one.entry.layer) {
                kept += one.size;
            }
            // The age of an entry is the time since its last use.
            let candidate = PruneCandidate { created: Some(one.used), labels: &[] };
            if (all || !one.shared) && keep.is_none_or(|keep| kept > keep) && wanted(&candidate) {
                going.push(one);
            }
        }
        going.reverse();
        let before = images.usage()?.size();
        images.remove_cached(&going)?;
        pruned.removed.extend(going.iter().map(|one| one.entry.key.hex()));
        pruned.reclaimed += before.saturating_sub(images.usage()?.size());
        self.note(&[event::of_prune(Kind::Builder, pruned.reclaimed)]);
        Ok(pruned)
    }
}
