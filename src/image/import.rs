//! Makes images from archives of a root file system: `import`, and the drop folder.
//!
//! The file `images/drop/NAME.tar` is the image NAME:latest. The file is imported at its first use,
//! and again when its size or time changes. `images/drop/.NAME.json` records what was imported. If
//! several commands use a new file at the same time, the lock `.NAME.lock` lets one of them import
//! it, and the others wait.

use std::fs::{self, File};
use std::io::{ErrorKind, Read};
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;

use miniserde::{Deserialize, Serialize};

use super::config::{ContainerConfig, History, ImageConfig};
use super::platform::Platform;
use super::platform::native_architecture;
use super::store::{Committed, ImageStore, NewImage};
use super::tree::{Form, Overrides, Top};
use crate::digest::{Digest, ImageId};
use crate::error::{Context, Result, fail};
use crate::meter;
use crate::reference::Reference;
use crate::store::{self, Durability, Lock, LockMode};
use crate::time::Instant;

/// The record of an imported file.
#[derive(PartialEq, Serialize, Deserialize)]
struct Dropped {
    size: u64,
    mtime: i64,
    mtime_ns: i64,
    id: String,
}

impl ImageStore {
    /// Makes an image of one layer from a root file system's tar, plain or compressed. `config` has
    /// the defaults for containers, and `comment` goes into the image's history. If `platform` has
    /// no architecture, the image is for this machine's architecture. Fails if the archive has no
    /// end mark.
    pub fn import(
        &self,
        input: &mut (dyn Read + Send),
        reference: Option<&Reference>,
        config: ContainerConfig,
        comment: &str,
        platform: &Platform,
    ) -> Result<ImageId> {
        let mut layer = self.layers.stage(input)?;
        if !layer.ended {
            fail!("the archive is empty or truncated: its end mark is missing");
        }
        if !layer.is_plain {
            // Write a new tar that other tools can read. Its digest differs, but nothing names the
            // layer yet.
            meter::again();
            layer = self.stage_tree(
                layer.root()?.as_fd(),
                Form::Layer,
                Top::Always,
                &|_| false,
                Overrides::default(),
            )?;
        }
        let architecture = match platform.architecture.as_str() {
            "" => native_architecture().to_owned(),
            named => named.to_owned(),
        };
        let created = Some(Instant::now());
        let history = History { created, comment: comment.to_owned(), ..History::default() };
        let config = ImageConfig {
            architecture,
            os: "linux".to_owned(),
            created,
            author: String::new(),
            config,
            diff_ids: vec![layer.diff_id],
            history: vec![history],
        };
        let image = NewImage {
            config: config.to_json().into_bytes(),
            diff_ids: config.diff_ids,
            references: reference.cloned().into_iter().collect(),
            manifest: None,
        };
        let id = Digest::of(&image.config);
        // The image's only layer is staged with it, so no layer can be missing.
        match self.commit(&mut vec![layer], &[image])? {
            Committed::All => Ok(id),
            Committed::Missing(missing) => fail!("layer {missing:?} was not committed"),
        }
    }

    /// Returns the image of the file that `reference` names in the drop folder. The file is
    /// imported if it is new or has changed. Returns `None` if there is no such file.
    pub(super) fn find_dropped(&self, reference: &Reference) -> Result<Option<ImageId>> {
        let plain = Reference::parse(&reference.familiar_name());
        let name = reference.familiar_name();
        if name.contains('/') || !plain.is_ok_and(|plain| plain == *reference) {
            return Ok(None);
        }
        let drop = self.dir().join("drop");
        let path = drop.join(format!("{name}.tar"));
        // Nearly always there is no such file, and one call finds this out.
        let context = || format!("read {}", path.display());
        match fs::metadata(&path) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            result => result.context(context)?,
        };
        let memory = drop.join(format!(".{name}.json"));
        if let Some(id) =
            self.remembered(&memory, &fs::metadata(&path).context(context)?, reference)?
        {
            return Ok(Some(id));
        }
        let _lock = Lock::wait(&drop.join(format!(".{name}.lock")), LockMode::Exclusive)?;
        let mut file = File::open(&path).context(context)?;
        // Read the metadata before the first byte, so that the next use sees a change during the
        // import.
        let metadata = file.metadata().context(context)?;
        if let Some(id) = self.remembered(&memory, &metadata, reference)? {
            return Ok(Some(id));
        }
        let comment = format!("Imported from {name}.tar");
        let id = self
            .import(
                &mut file,
                Some(reference),
                ContainerConfig::default(),
                &comment,
                &Platform::default(),
            )
            .context(|| format!("import {}", path.display()))?;
        let dropped = Dropped { id: id.to_string(), ..dropped(&metadata) };
        // If a power cut loses this record, the file is imported once more.
        store::replace_json(&memory, &dropped, Durability::Lazy)?;
        Ok(Some(id))
    }

    /// Returns the image that the name stands for, if the file is the one that was imported. The
    /// user may have given the name to another image since; then that image is returned.
    fn remembered(
        &self,
        memory: &std::path::Path,
        metadata: &fs::Metadata,
        reference: &Reference,
    ) -> Result<Option<ImageId>> {
        // A record that can't be read counts as missing.
        let Ok(Some(known)) = store::read_json::<Dropped>(memory) else { return Ok(None) };
        let now = Dropped { id: known.id.clone(), ..dropped(metadata) };
        if known != now {
            return Ok(None);
        }
        self.read_reference(reference)
    }
}

fn dropped(metadata: &fs::Metadata) -> Dropped {
    Dropped {
        size: metadata.size(),
        mtime: metadata.mtime(),
        mtime_ns: metadata.mtime_nsec(),
        id: String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::compression::testing::{gzip, zstd};
    use super::super::testing::{Scratch, layer, named};
    use super::*;

    #[test]
    fn an_imported_archive_is_an_image_with_its_files() {
        let scratch = Scratch::new("import");
        let store = scratch.store();
        let tar = layer("etc/motd", b"hi");
        let name = Reference::parse("box:1").unwrap();
        let config =
            ContainerConfig { cmd: Some(vec!["/bin/sh".into()]), ..ContainerConfig::default() };
        let mut ids = Vec::new();
        for bytes in [tar.clone(), gzip(&tar), zstd(&tar)] {
            let id = store.import(
                &mut &bytes[..],
                Some(&name),
                config.clone(),
                "from a test",
                &Platform::default(),
            );
            let image = store.resolve(&named("box:1")).unwrap().unwrap();
            assert_eq!(image.id, id.unwrap());
            assert_eq!(image.config.config.cmd, Some(vec!["/bin/sh".to_owned()]));
            assert_eq!(image.config.history[0].comment, "from a test");
            assert_eq!(fs::read(image.layers[0].join("etc/motd")).unwrap(), b"hi");
            ids.push(image.layers);
        }
        // The layer is the same, however the archive was compressed.
        assert_eq!(ids[0], ids[1]);
        assert_eq!(ids[0], ids[2]);
        assert!(store.resolve(&named("box")).unwrap().is_none());
    }

    #[test]
    fn a_bad_archive_leaves_nothing() {
        let scratch = Scratch::new("import-bad");
        let store = scratch.store();
        let tar = layer("f", &[1; 5000]);
        let packed = gzip(&tar);
        for (bytes, reason) in [
            (&tar[..1024], "truncated"),
            (&tar[..tar.len() - 1024], "end mark"),
            (&packed[..packed.len() - 1], "read the archive"),
            (&b"#!/bin/sh\nnot a tar, surely; not of 512 bytes"[..], "truncated"),
            (&[b'x'; 4096][..], "isn't a tar archive"),
            (b"", "empty"),
            (b"\xfd7zXZ\0", "xz compression is not supported"),
            (&layer("../../escape", b""), "outside"),
        ] {
            let imported = store.import(
                &mut &bytes[..],
                None,
                ContainerConfig::default(),
                "",
                &Platform::default(),
            );
            let error = imported.unwrap_err().to_string();
            assert!(error.contains(reason), "{error}");
            assert_eq!(scratch.left(), [""; 0], "{reason}");
        }
    }

    #[test]
    fn a_dropped_file_is_an_image_and_again_when_it_changes() {
        let scratch = Scratch::new("drop");
        let store = scratch.store();
        assert!(store.resolve(&named("box")).unwrap().is_none());
        scratch.file("root/images/drop/box.tar", &layer("a", b"1"));
        let first = store.resolve(&named("box")).unwrap().unwrap();
        assert!(first.layers[0].join("a").is_file());
        assert_eq!(store.resolve(&named("box:latest")).unwrap().unwrap().id, first.id);
        assert!(store.resolve(&named("box:other")).unwrap().is_none());
        scratch.file("root/images/drop/box.tar", &gzip(&layer("b", b"12")));
        let second = store.resolve(&named("box")).unwrap().unwrap();
        assert!(second.id != first.id && second.layers[0].join("b").is_file());
        scratch.file("root/images/drop/box.tar", b"rubbish");
        let error = store.resolve(&named("box")).unwrap_err().to_string();
        assert!(error.contains("box.tar"), "{error}");
    }
}
