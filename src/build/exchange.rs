//! `--cache-to` and `--cache-from` with `type=local`: the build cache in a directory of the user,
//! which another machine or a later CI job reads.
//!
//! The directory has a file for each cache entry that a build used. The file's name is the entry's
//! key, and its format is that of the entries in the state root. The directory also has a
//! `<diff_id>.tar` for each layer. A build searches the directory for steps that the local cache
//! lacks. The build checks the digest of each layer that it takes from the directory. The build
//! cannot check that an entry names the right layer, so every user with write access to the
//! directory can change the images that are built from it.

use std::fs::{File, rename};
use std::path::{Path, PathBuf};

use super::steps::Build;
use crate::digest::Digest;
use crate::error::{Context, Result, fail};
use crate::image::cache::CacheEntry;
use crate::raw;
use crate::store::remove_file;

/// The most bytes that are read of an entry.
const MAX_ENTRY: u64 = 4096;

/// Returns the directory of `type=local,KEY=DIRECTORY`. `key` is `src` or `dest`. Fails for any
/// other type, for unknown keys, and without a directory.
pub fn directory(text: &str, key: &str) -> Result<PathBuf> {
    let (mut kind, mut path) = (None, None);
    for part in text.split(',') {
        match part.split_once('=') {
            Some(("type", value)) => kind = Some(value),
            Some((name, value)) if name == key => path = Some(value),
            // In either mode, all steps are written, as with BuildKit's `mode=max`.
            Some(("mode", "min" | "max")) if key == "dest" => {}
            Some((name, _)) if kind.is_none_or(|kind| kind == "local") => {
                fail!("unknown key '{name}'; known: type {key}")
            }
            _ => {}
        }
    }
    match (kind, path) {
        (Some("local"), Some(path)) if !path.is_empty() => Ok(raw::path(path).into()),
        (Some("local"), _) => fail!("type=local needs a directory: type=local,{key}=DIRECTORY"),
        _ => fail!("'{text}': only a directory can hold a cache: type=local,{key}=DIRECTORY"),
    }
}

impl Build<'_> {
    /// Searches the directories of `--cache-from`, in order, for the entry of `key`. Skips an entry
    /// whose layer is missing. Adds the layer of the returned entry to the build's layers.
    pub(super) fn import(&self, key: &Digest) -> Result<Option<CacheEntry>> {
        for directory in &self.options.cache_from {
            let entry = self.import_from(directory, key);
            if let Some(entry) =
                entry.context(|| format!("--cache-from {}", directory.display()))?
            {
                return Ok(Some(entry));
            }
        }
        Ok(None)
    }

    fn import_from(&self, directory: &Path, key: &Digest) -> Result<Option<CacheEntry>> {
        let Some(bytes) = read_entry(&directory.join(key.hex()))? else { return Ok(None) };
        let Some(entry) = CacheEntry::parse(key, &bytes) else { return Ok(None) };
        let images = self.engine.image_store();
        if let Some(layer) = &entry.layer
            && !images.need_layers(&self.place.draft, &[*layer])?
        {
            let path = directory.join(format!("{}.tar", layer.hex()));
            let Ok(tar) = File::open(&path) else { return Ok(None) };
            self.engine.import_layer(self.place, &tar, layer)?;
        }
        images.note_step(&self.place.draft, &entry)?;
        Ok(Some(entry))
    }

    /// Writes the entries that the build used, and their layers, to a directory of `--cache-to`.
    pub(super) fn export(&self, directory: &Path) -> Result<()> {
        let context = || format!("--cache-to {}", directory.display());
        std::fs::create_dir_all(directory).context(context)?;
        let layers = self.engine.image_store();
        for entry in self.used.borrow().iter() {
            if let Some(layer) = &entry.layer {
                let path = directory.join(format!("{}.tar", layer.hex()));
                if !path.exists() {
                    write(&path, |file| layers.write_layer(layer, file)).context(context)?;
                }
            }
            let text = entry.to_text();
            let path = directory.join(entry.key.hex());
            let put = |file: &mut File| Ok(std::io::Write::write_all(file, text.as_bytes())?);
            write(&path, put).context(context)?;
        }
        Ok(())
    }
}

fn read_entry(path: &Path) -> Result<Option<Vec<u8>>> {
    use std::io::Read;
    let file = match File::open(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        file => file?,
    };
    let mut bytes = Vec::new();
    file.take(MAX_ENTRY).read_to_end(&mut bytes)?;
    Ok(Some(bytes))
}

/// Writes a file under a temporary name and renames it, because another build may read it at the
/// same time.
fn write(path: &Path, put: impl FnOnce(&mut File) -> Result<()>) -> Result<()> {
    let part = path.with_extension(format!("{}.part", std::process::id()));
    let written = File::create(&part).map_err(Into::into).and_then(|mut file| put(&mut file));
    let moved = written.and_then(|()| Ok(rename(&part, path)?));
    if moved.is_err() {
        // Report the first failure, not a failure to remove the file.
        let _ = remove_file(&part);
    }
    moved
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_local_directories_are_accepted() {
        let from = |text: &str| directory(text, "src");
        assert_eq!(from("type=local,src=/a").unwrap(), Path::new("/a"));
        assert_eq!(directory("dest=b,mode=max,type=local", "dest").unwrap(), Path::new("b"));
        for text in [
            "type=local",
            "type=local,src=",
            "user/app:cache",
            "type=registry,ref=x",
            "type=gha",
            "type=local,dest=a",
        ] {
            assert!(from(text).is_err(), "{text}");
        }
    }
}
