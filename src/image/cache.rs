//! The build cache: entries in small files. Each entry names the layer that a step made.
//!
//! The file of an entry is `build/<key>`. The key is a digest of the step's input, such as the
//! layers below, the instruction and the files that the step reads (`build::cached`). An entry
//! holds no config, because a build computes the config from the Dockerfile. An entry starts with
//! the digest of its text. A torn, damaged or renamed entry counts as absent, and so does an entry
//! whose layer is gone, so entries need no sync. The file's modification time is the last use. A
//! layer that an entry names stays, even if no image has it.

use std::fs::{self, File, FileTimes};
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::time::{Duration, UNIX_EPOCH};

use super::store::ImageStore;
use crate::digest::Digest;
use crate::error::Result;
use crate::order;
use crate::store::{self, Durability, make_dir, remove_file};
use crate::time::Instant;

/// The most entries that are kept: each removal of an image reads all of them.
const MAX_ENTRIES: usize = 1000;
/// On a large disk, the most bytes of the layers that only the cache keeps. Cache mounts may take
/// as many bytes again.
const MAX_BYTES: u64 = 10 << 30;
/// On a small disk the limit is the disk's size divided by this number.
const DISK_PART: u64 = 10;
/// The name of the directory of cache mounts, beside the entries.
const MOUNTS: &str = "mounts";
/// The name of the file, beside the entries, that has the id of the last failed build's image.
const FAILED: &str = "failed";
/// The longest description of a step, in characters.
const MAX_TITLE: usize = 200;

/// The result of a step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CacheEntry {
    pub key: Digest,
    /// `None` if the step changed no file.
    pub layer: Option<Digest>,
    pub created: Instant,
    /// The number of layers below the step's own layer.
    pub depth: usize,
    /// The description of the step, such as its instruction.
    pub title: String,
}

/// An entry, its last use and its size.
#[derive(Clone, Debug)]
pub struct CacheUse {
    pub entry: CacheEntry,
    pub used: Instant,
    /// The size of the entry's layer in bytes.
    pub size: u64,
    /// Whether an image has the layer too. If so, the removal of the entry frees nothing.
    pub shared: bool,
}

impl CacheEntry {
    /// Returns the content of the entry's file.
    pub fn to_text(&self) -> String {
        let layer = self.layer.map_or_else(|| "-".to_owned(), |layer| layer.hex());
        let title: String =
            self.title.chars().filter(|c| !c.is_control()).take(MAX_TITLE).collect();
        let (key, created) = (self.key.hex(), self.created.0);
        let text = format!("{key}\n{layer}\n{created}\n{}\n{title}\n", self.depth);
        format!("{}\n{text}", Digest::of(text.as_bytes()).hex())
    }

    /// Parses the content of the file of `key`. Returns `None` if the content is damaged or belongs
    /// to another key.
    pub fn parse(key: &Digest, text: &[u8]) -> Option<CacheEntry> {
        let (sum, text) = std::str::from_utf8(text).ok()?.split_once('\n')?;
        if Digest::parse_hex(sum)? != Digest::of(text.as_bytes()) {
            return None;
        }
        let mut lines = text.lines();
        let mut next = || lines.next();
        let entry = CacheEntry {
            key: Digest::parse_hex(next()?)?,
            layer: match next()? {
                "-" => None,
                hex => Some(Digest::parse_hex(hex)?),
            },
            created: Instant(next()?.parse().ok()?),
            depth: next()?.parse().ok()?,
            title: next()?.to_owned(),
        };
        (entry.key == *key).then_some(entry)
    }
}

impl ImageStore {
    /// Returns the entry of a key, or `None` if there is no intact one. `need_layers` checks
    /// whether the entry's layer exists.
    pub fn cached(&self, key: &Digest) -> Option<CacheEntry> {
        let bytes = store::read(&self.cache_file(key)).ok().flatten()?;
        CacheEntry::parse(key, &bytes)
    }

    /// Records that the entries were used at `now`. All entries get the same time, so that no step
    /// of a chain counts as older than another.
    pub fn touch_cache(&self, keys: &[Digest], now: Instant) {
        let now = UNIX_EPOCH + Duration::from_nanos(u64::try_from(now.0).unwrap_or(0));
        for key in keys {
            // Ignore errors: a removed entry needs no time, and a wrong time only changes the order
            // of removals.
            if let Ok(file) = File::open(self.cache_file(key)) {
                let _ = file.set_times(FileTimes::new().set_modified(now));
            }
        }
    }

    /// Writes an entry. The caller holds the lock of the images.
    pub(super) fn write_cached(&self, entry: &CacheEntry) -> Result<()> {
        make_dir(&self.cache)?;
        store::replace(&self.cache_file(&entry.key), entry.to_text().as_bytes(), Durability::Lazy)
    }

    /// Returns all intact entries with the time of their last use.
    fn cache_entries(&self) -> Result<Vec<(CacheEntry, Instant)>> {
        let mut entries = Vec::new();
        for name in store::list(&self.cache)? {
            let Some(key) = Digest::parse_hex(&name) else { continue };
            let Some(entry) = self.cached(&key) else { continue };
            let Ok(metadata) = fs::metadata(self.cache_file(&key)) else { continue };
            let nanoseconds = metadata.mtime().saturating_mul(1_000_000_000);
            entries.push((entry, Instant(nanoseconds.saturating_add(metadata.mtime_nsec()))));
        }
        Ok(entries)
    }

    /// Returns the layers that the cache's entries name.
    pub(super) fn cached_layers(&self) -> Result<Vec<Digest>> {
        Ok(self.cache_entries()?.into_iter().filter_map(|(entry, _)| entry.layer).collect())
    }

    /// Returns all entries with their sizes, the least recently used first. If the time is equal,
    /// the step with more layers below comes first.
    pub fn cache_use(&self) -> Result<Vec<CacheUse>> {
        let entries = self.cache_entries()?;
        let mut in_images = std::collections::HashSet::new();
        if !entries.is_empty() {
            for id in self.ids()? {
                in_images.extend(self.layers_of(&id).ok().flatten().unwrap_or_default());
            }
        }
        let mut uses = Vec::new();
        for (entry, used) in entries {
            let size = entry.layer.map_or(0, |layer| self.layers.size(&layer).unwrap_or(0));
            let shared = entry.layer.is_some_and(|layer| in_images.contains(&layer));
            uses.push(CacheUse { entry, used, size, shared });
        }
        order::sort_by_key(&mut uses, |one| (one.used, std::cmp::Reverse(one.entry.depth)));
        Ok(uses)
    }

    /// Removes these entries, and their layers that nothing else needs. If the process dies in
    /// between, unneeded layers are left, which `system check` finds.
    pub fn remove_cached(&self, uses: &[CacheUse]) -> Result<()> {
        if uses.is_empty() {
            return Ok(());
        }
        let lock = self.lock()?;
        for one in uses {
            remove_file(&self.cache_file(&one.entry.key))?;
        }
        let layers: Vec<Digest> = uses.iter().filter_map(|one| one.entry.layer).collect();
        self.remove_unowned(lock, &layers).map(drop)
    }

    /// Removes the least recently used entries until the cache is within its limits.
    pub fn trim_cache(&self) -> Result<()> {
        let uses = self.cache_use()?;
        let above = above(&uses, MAX_ENTRIES, self.cache_limit());
        self.remove_cached(&uses[..above])
    }

    /// Returns the limit, in bytes, for the layers that only the cache keeps. The same limit holds
    /// for the cache mounts.
    pub fn cache_limit(&self) -> u64 {
        let disk = rustix::fs::statvfs(&self.cache);
        let disk = disk.map_or(u64::MAX, |disk| disk.f_blocks.saturating_mul(disk.f_frsize));
        MAX_BYTES.min(disk / DISK_PART)
    }

    fn cache_file(&self, key: &Digest) -> PathBuf {
        self.cache.join(key.hex())
    }

    /// Returns the leftovers in the cache's directory: damaged entries, unknown names and temporary
    /// files of killed processes.
    pub fn cache_leftovers(&self) -> Result<Vec<PathBuf>> {
        let damaged = |name: &String| {
            let key = Digest::parse_hex(name);
            name != FAILED && name != MOUNTS && key.is_none_or(|key| self.cached(&key).is_none())
        };
        let damaged = store::list(&self.cache)?.into_iter().filter(damaged);
        let mut paths: Vec<PathBuf> = damaged.map(|name| self.cache.join(name)).collect();
        paths.extend(store::stale_temporaries(&self.cache)?);
        Ok(paths)
    }

    /// Returns the image that the last failed build left for inspection.
    pub fn failed(&self) -> Result<Option<Digest>> {
        let text = store::read(&self.cache.join(FAILED))?;
        Ok(text.and_then(|text| Digest::parse_hex(std::str::from_utf8(&text).ok()?)))
    }

    /// Records the image that a failed build left for inspection.
    pub fn note_failed(&self, id: &Digest) -> Result<()> {
        make_dir(&self.cache)?;
        store::replace(&self.cache.join(FAILED), id.hex().as_bytes(), Durability::Lazy)
    }
}

/// Returns how many of the entries, from the start, must be removed so that the rest is within both
/// limits.
pub fn above(uses: &[CacheUse], max_entries: usize, max_bytes: u64) -> usize {
    let own = |one: &CacheUse| if one.shared { 0 } else { one.size };
    let mut bytes: u64 = uses.iter().map(own).sum();
    let mut gone = 0;
    while uses.len() - gone > max_entries || bytes > max_bytes && gone < uses.len() {
        bytes -= own(&uses[gone]);
        gone += 1;
    }
    gone
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(text: &str) -> CacheEntry {
        CacheEntry {
            key: Digest::of(text.as_bytes()),
            layer: Some(Digest::of(b"layer")),
            created: Instant(7),
            depth: 3,
            title: "RUN a\nb".to_owned(),
        }
    }

    #[test]
    fn a_torn_damaged_or_renamed_entry_is_none() {
        let one = entry("one");
        let text = one.to_text().into_bytes();
        let read = CacheEntry::parse(&one.key, &text).unwrap();
        assert_eq!(read, CacheEntry { title: "RUN ab".to_owned(), ..one.clone() });
        assert_eq!(CacheEntry::parse(&Digest::of(b"other"), &text), None);
        for at in 0..text.len() {
            assert_eq!(CacheEntry::parse(&one.key, &text[..at]), None, "cut at {at}");
            let mut damaged = text.clone();
            damaged[at] ^= 1;
            assert_eq!(CacheEntry::parse(&one.key, &damaged), None, "damaged at {at}");
        }
    }

    #[test]
    fn the_oldest_are_removed_first_and_shared_layers_do_not_count() {
        let one = |size, shared| CacheUse { entry: entry("x"), used: Instant(1), size, shared };
        let uses = [one(5, false), one(50, true), one(7, false), one(2, false)];
        for (max_entries, max_bytes, gone) in
            [(9, 14, 0), (9, 13, 1), (9, 9, 1), (9, 8, 3), (9, 0, 4), (3, 99, 1), (0, 99, 4)]
        {
            assert_eq!(above(&uses, max_entries, max_bytes), gone, "{max_entries} {max_bytes}");
        }
    }
}
