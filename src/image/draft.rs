//! The layers of a running build, before the cache and an image own them.
//!
//! A build has the directory `layers/.build-<boot>-<random>`, which it locks by flock(2). In this
//! directory, `<diff_id>/` is a layer that the build made. An empty file `<diff_id>` marks a layer
//! of the layer store that the build needs, so that no removal takes the layer. `<key>.entry` is
//! the cache's entry of a step. At the build's end, also of a failed build, `publish` moves the
//! layers into the layer store after one syncfs(2) for all of them. If the build is killed,
//! `sweep_drafts` moves the layers. After a restart of the host the layers may be torn, so
//! `sweep_drafts` removes them.

use std::fs::{self, File};
use std::io::{self, BufReader, BufWriter, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::path::{Path, PathBuf};

use super::cache::CacheEntry;
use super::copy::first_failure;
use super::layers::Staged;
use super::recipe::Recorder;
use super::store::ImageStore;
use super::tree::{Form, Overrides, Skip, Top};
use super::unpack::{Rules, unpack};
use crate::digest::Digest;
use crate::error::{Context, Result, fail};
use crate::hex::random_name;
use crate::store::{self, Durability, Lock, LockMode, make_dir, remove_tree};
use crate::sys;
use crate::time::Instant;

const BUILDING: &str = ".build-";
const ENTRY: &str = ".entry";
const BUFFER: usize = 128 << 10;

/// The layers of one build. Dropping the draft that holds the lock removes the directory.
pub struct Draft {
    dir: PathBuf,
    /// `None` if another process of the build has the lock and removes the directory.
    lock: Option<Lock>,
}

impl Draft {
    /// Returns the same draft, for a child process of the build.
    pub fn shared(&self) -> Draft {
        Draft { dir: self.dir.clone(), lock: None }
    }

    /// Moves a layer of the build into the draft, unless the build needs or made the same layer
    /// already.
    fn add(&self, staged: &mut Staged) -> Result<()> {
        let place = self.dir.join(staged.diff_id.hex());
        if place.exists() {
            return Ok(());
        }
        match staged.move_to(place.clone()) {
            // Another stage has just made the same layer, or needs it.
            Err(_) if place.exists() => Ok(()),
            moved => moved,
        }
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        if self.lock.is_some() {
            // If this fails, the next build removes the directory.
            let _ = remove_tree(&self.dir);
        }
    }
}

impl ImageStore {
    /// Makes a new directory for the layers of a build, and locks it.
    pub fn begin_draft(&self) -> Result<Draft> {
        loop {
            let name = format!("{BUILDING}{}-{}", sys::process::boot_id(), random_name()?);
            let dir = self.layers.dir().join(name);
            make_dir(&dir)?;
            // `None` means that another process took the new directory for a leftover.
            if let Some(lock) = Lock::wait_existing(&dir, LockMode::Exclusive)? {
                return Ok(Draft { dir, lock: Some(lock) });
            }
        }
    }

    /// Returns the root directory of a layer of the build, or of a layer in place.
    pub fn draft_layer(&self, draft: &Draft, layer: &Digest) -> PathBuf {
        let own = draft.dir.join(layer.hex()).join("fs");
        if own.is_dir() { own } else { self.layers.fs(layer) }
    }

    /// Records that the build needs these layers, so that no removal takes them. Returns `false` if
    /// one of these layers does not exist.
    pub fn need_layers(&self, draft: &Draft, layers: &[Digest]) -> Result<bool> {
        let mut new =
            layers.iter().filter(|layer| !draft.dir.join(layer.hex()).exists()).peekable();
        if new.peek().is_none() {
            return Ok(true);
        }
        // No layer is removed while this lock is held.
        let _lock = self.lock()?;
        for layer in new {
            if !self.layers.fs(layer).is_dir() {
                return Ok(false);
            }
            let mark = draft.dir.join(layer.hex());
            // Another stage may have made the same layer just now.
            if let Err(error) = File::create(&mark)
                && !mark.is_dir()
            {
                return Err(error).context(|| format!("make {}", mark.display()));
            }
        }
        Ok(true)
    }

    /// Makes a layer of the build from an overlay's upper directory, without the paths that `skip`
    /// names. Returns `None` if the layer has no files. If the directory is on another file system,
    /// its files are copied. Otherwise the directory is moved.
    pub fn add_to_draft(
        &self,
        draft: &Draft,
        upper: &Path,
        skip: Skip<'_>,
        overrides: Overrides,
    ) -> Result<Option<Digest>> {
        let mut staged = match self.layers.take(upper, skip, overrides)? {
            Some(staged) => staged,
            None => {
                let files = store::open_dir(upper)?;
                self.stage_tree(files.as_fd(), Form::Layer, Top::Unusual, skip, overrides)?
            }
        };
        if staged.is_empty()? {
            return Ok(None);
        }
        draft.add(&mut staged)?;
        Ok(Some(staged.diff_id))
    }

    /// Makes a layer of the build from its tar. Fails if the tar's digest is not `layer`.
    pub fn add_tar_to_draft(
        &self,
        draft: &Draft,
        tar: &mut (dyn Read + Send),
        layer: &Digest,
    ) -> Result<()> {
        let mut staged = self.layers.stage(tar)?;
        if staged.diff_id != *layer {
            fail!("the layer {layer} is damaged: its digest is {}", staged.diff_id);
        }
        draft.add(&mut staged)
    }

    /// Writes the tar of a layer that is in place.
    pub fn write_layer(&self, layer: &Digest, output: &mut dyn Write) -> Result<()> {
        let mut output = BufWriter::with_capacity(BUFFER, output);
        self.layers.tar(layer)?.write(&mut output)?;
        output.flush().context(|| "write the layer")
    }

    /// Applies to the tree `root` the changes that a layer in place made to the layers below it.
    pub fn apply_layer(&self, layer: &Digest, root: BorrowedFd<'_>) -> Result<()> {
        let (reader, mut pipe) = std::io::pipe().context(|| "make a pipe")?;
        std::thread::scope(|scope| {
            let writing = std::thread::Builder::new()
                .name("layer".into())
                .spawn_scoped(scope, move || self.write_layer(layer, &mut pipe))
                .context(|| "start a thread")?;
            let mut reader = BufReader::with_capacity(BUFFER, reader);
            let applied = unpack(&mut Recorder::new(&mut reader, None), root, &Rules::Apply)
                .and_then(|_| {
                    // Read what follows the end mark, so that the writer does not fail.
                    io::copy(&mut reader, &mut io::sink()).map(drop).context(|| "read a pipe")
                });
            // Close the pipe, so that the writer does not wait without end if the reader failed.
            drop(reader);
            first_failure(applied, writing.join())
        })
    }

    /// Records the result of a step for the cache.
    pub fn note_step(&self, draft: &Draft, entry: &CacheEntry) -> Result<()> {
        let path = draft.dir.join(format!("{}{ENTRY}", entry.key.hex()));
        store::replace(&path, entry.to_text().as_bytes(), Durability::Lazy)
    }

    /// Moves the entries of the build into the cache, and the layers that the entries name into
    /// place. An entry is written before its layer is moved: an entry whose layer is missing counts
    /// as absent, but a layer without an entry would have no owner. Sets the last use of the
    /// entries to `started`, and trims the cache. Returns whether there were any entries.
    pub fn publish(&self, draft: &Draft, started: Instant) -> Result<bool> {
        self.publish_dir(&draft.dir, started)
    }

    fn publish_dir(&self, dir: &Path, started: Instant) -> Result<bool> {
        let mut entries = Vec::new();
        for name in store::list(dir)? {
            let key = name.strip_suffix(ENTRY).and_then(Digest::parse_hex);
            let text = key.map(|_| store::read(&dir.join(&name))).transpose()?.flatten();
            let entry = key.zip(text).and_then(|(key, text)| CacheEntry::parse(&key, &text));
            entries.extend(entry);
        }
        if entries.is_empty() {
            return Ok(false);
        }
        let made = |layer: &Digest| dir.join(layer.hex()).join("fs").is_dir();
        let mut layers: Vec<Digest> = entries.iter().filter_map(|entry| entry.layer).collect();
        layers.retain(made);
        layers.dedup();
        if !layers.is_empty() {
            self.layers.sync()?;
        }
        {
            let _lock = self.lock()?;
            for entry in &entries {
                self.write_cached(entry)?;
            }
            for layer in &layers {
                self.layers.adopt(&dir.join(layer.hex()), layer)?;
                // Keep the layer until the image names it.
                let mark = dir.join(layer.hex());
                if !mark.exists() {
                    File::create(&mark).context(|| format!("make {}", mark.display()))?;
                }
            }
            if !layers.is_empty() {
                self.layers.sync_dir()?;
            }
        }
        self.touch_cache(&entries.iter().map(|entry| entry.key).collect::<Vec<_>>(), started);
        for entry in &entries {
            store::remove_file(&dir.join(format!("{}{ENTRY}", entry.key.hex())))?;
        }
        self.trim_cache().map(|()| true)
    }

    /// Finishes killed builds: moves their layers into place, unless the host has restarted since,
    /// and removes their directories.
    pub fn sweep_drafts(&self) -> Result<()> {
        let ours = format!("{BUILDING}{}-", sys::process::boot_id());
        for dir in self.drafts()? {
            // Hold the lock until the directory is removed.
            let Some(_lock) = Lock::try_exclusive(&dir)? else { continue };
            if dir.file_name().is_some_and(|name| name.to_string_lossy().starts_with(&ours)) {
                self.publish_dir(&dir, Instant::now())?;
            }
            remove_tree(&dir)?;
        }
        Ok(())
    }

    /// Returns the directories of builds that no process has locked.
    pub fn dead_drafts(&self) -> Result<Vec<PathBuf>> {
        let mut drafts = self.drafts()?;
        drafts.retain(|dir| !Lock::is_held(dir).unwrap_or(true));
        Ok(drafts)
    }

    fn drafts(&self) -> Result<Vec<PathBuf>> {
        store::hidden(self.layers.dir(), |name| name.starts_with(BUILDING))
    }

    /// Returns the layers that builds made or need, including killed builds that nothing has swept
    /// yet.
    pub(super) fn drafted_layers(&self) -> Result<Vec<Digest>> {
        let mut layers = Vec::new();
        for dir in self.drafts()? {
            let entries = match fs::read_dir(&dir) {
                // The build has just ended.
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
                entries => entries.context(|| format!("read directory {}", dir.display()))?,
            };
            let names = entries.flatten().filter_map(|entry| entry.file_name().into_string().ok());
            layers.extend(names.filter_map(|name| Digest::parse_hex(&name)));
        }
        Ok(layers)
    }
}
