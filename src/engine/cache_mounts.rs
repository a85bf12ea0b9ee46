//! Cache mounts of builds (`RUN --mount=type=cache`): directories that stay between builds.
//!
//! `build/mounts/<digest of the id>[-<n>]/` has `data`, which steps see, and `id`, for listings.
//! The directory's name is a digest, so any id is safe; `-<n>` is for `sharing=private`. A step
//! locks the directory by flock(2), shared or exclusive. `builder prune` and `system prune` remove
//! directories, and so does the end of a build if the mounts take too much space. A directory that
//! a step has locked stays. `data` is made by a rename, so no step sees it incomplete.

use std::fs::File;
use std::path::{Path, PathBuf};

use super::Engine;
use crate::digest::Digest;
use crate::error::{Context, Result};
use crate::order;
use crate::store::{self, Durability, Lock, LockMode};
use crate::time::Instant;

/// The interval at which a step tries again to lock a cache mount.
const PAUSE: std::time::Duration = std::time::Duration::from_millis(50);

/// What happens if two steps use a cache mount at the same time (the option `sharing`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Sharing {
    /// Both steps use the mount.
    #[default]
    Shared,
    /// The second step gets another cache mount.
    Private,
    /// The second step waits.
    Locked,
}

/// A cache mount that a step has locked. Dropping this value releases the lock.
pub struct CacheMount {
    dir: PathBuf,
    _lock: Lock,
}

/// A cache mount for `builder prune` and `system df`.
pub(super) struct CacheMountUse {
    pub dir: PathBuf,
    pub id: String,
    /// The time of the last use.
    pub used: Instant,
    /// The bytes on disk.
    pub size: u64,
}

impl CacheMount {
    /// The directory that steps see.
    pub fn data(&self) -> PathBuf {
        self.dir.join("data")
    }

    /// Reports whether the cache mount has no content yet.
    pub fn is_new(&self) -> bool {
        !self.data().is_dir()
    }

    /// Moves the directory `staged` into place as the content. Leaves content that another step has
    /// put there before, but replaces an empty directory (rename(2)).
    pub fn fill(&self, staged: &Path) -> Result<()> {
        match std::fs::rename(staged, self.data()) {
            Err(error) if self.is_new() => {
                Err(error).context(|| format!("make {}", self.data().display()))
            }
            _ => Ok(()),
        }
    }
}

impl CacheMountUse {
    /// The name of the directory, which `system df` shows as the id.
    pub fn name(&self) -> String {
        self.dir.file_name().unwrap_or_default().to_string_lossy().into_owned()
    }
}

impl Engine {
    fn cache_mounts_dir(&self) -> PathBuf {
        self.roots.build_cache().join("mounts")
    }

    /// Opens and locks the cache mount `id`, and makes it if it does not exist. While another step
    /// has a conflicting lock, waits without a time limit, or with `Private` opens another mount.
    pub fn open_cache_mount(&self, id: &str, sharing: Sharing) -> Result<CacheMount> {
        let mode = match sharing {
            Sharing::Shared => LockMode::Shared,
            Sharing::Private | Sharing::Locked => LockMode::Exclusive,
        };
        let digest = Digest::of(id.as_bytes()).hex();
        let mut number = 0;
        loop {
            let name = if number == 0 { digest.clone() } else { format!("{digest}-{number}") };
            let dir = self.cache_mounts_dir().join(name);
            store::make_dir(&dir)?;
            if let Some(lock) = Lock::try_existing(&dir, mode)? {
                store::replace(&dir.join("id"), id.as_bytes(), Durability::Lazy)?;
                return Ok(CacheMount { dir, _lock: lock });
            }
            match sharing {
                Sharing::Private => number += 1,
                Sharing::Shared | Sharing::Locked => std::thread::sleep(PAUSE),
            }
        }
    }

    /// Returns all cache mounts, the most recently used first.
    pub(super) fn cache_mounts(&self) -> Result<Vec<CacheMountUse>> {
        let mut uses = Vec::new();
        for name in store::list(&self.cache_mounts_dir())? {
            let dir = self.cache_mounts_dir().join(name);
            let id = store::read(&dir.join("id"))?.unwrap_or_default();
            let used = File::open(dir.join("id")).and_then(|file| file.metadata()?.modified());
            let used = used.ok().and_then(|time| time.duration_since(std::time::UNIX_EPOCH).ok());
            let used = used.and_then(|time| i64::try_from(time.as_nanos()).ok());
            let used = Instant(used.unwrap_or(0));
            let id = String::from_utf8_lossy(&id).into_owned();
            uses.push(CacheMountUse { id, used, size: store::tree_size(&dir), dir });
        }
        order::sort_by_key(&mut uses, |mount| std::cmp::Reverse(mount.used));
        Ok(uses)
    }

    /// Adds up the cache mounts, starting with the most recently used one. Removes each mount with
    /// which the sum would exceed the cache's limit, except mounts that a step has locked.
    pub fn trim_cache_mounts(&self) -> Result<()> {
        let limit = self.image_store().cache_limit();
        let mut size = 0u64;
        for mount in self.cache_mounts()? {
            size = size.saturating_add(mount.size);
            if size > limit && self.remove_cache_mount(&mount)? {
                size -= mount.size;
            }
        }
        Ok(())
    }

    /// Removes a cache mount unless a step has locked it. Returns true if the mount was removed.
    pub(super) fn remove_cache_mount(&self, mount: &CacheMountUse) -> Result<bool> {
        match Lock::try_exclusive(&mount.dir)? {
            // The lock is held until the directory is removed.
            Some(_lock) => store::remove_tree(&mount.dir).map(|()| true),
            None => Ok(false),
        }
    }
}
