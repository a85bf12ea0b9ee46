//! Removes an incomplete container when `create` fails.
//!
//! Dropping an `Undo` removes the container's directories, the name, the lease of user IDs and the
//! new volumes, except a volume that another container uses by now. If the process is killed,
//! nothing is dropped. The head of `create` describes this case.

use crate::container::{id_range, state};
use crate::container_id::ContainerId;
use crate::engine::Engine;
use crate::engine::options::IdMap;
use crate::store::Durability;

/// Removes an incomplete container when this value is dropped, unless `keep` was called.
pub(super) struct Undo<'a> {
    pub(super) engine: &'a Engine,
    pub(super) id: &'a ContainerId,
    pub(super) name: String,
    /// The volumes that were made for the container.
    pub(super) volumes: Vec<String>,
    pub(super) ids: Option<IdMap>,
}

impl Undo<'_> {
    /// Removes nothing, because the container is complete.
    pub(super) fn keep(self) {
        std::mem::forget(self);
    }
}

impl Drop for Undo<'_> {
    fn drop(&mut self) {
        // Ignore errors here: the user must see the failure that caused the removal.
        let _ = state::erase(&self.engine.roots, self.id, &self.name, Durability::Lazy);
        if let Some(ids) = &self.ids {
            let _ = id_range::release(&self.engine.roots, ids, self.id);
        }
        for volume in &self.volumes {
            let _ = self.engine.volume_remove(volume, true);
        }
    }
}
