//! Finds defects of the image store: incomplete images, names without an image, and leftovers of
//! killed or failed commands. A file that a running command locks or needs is not reported.
//! `system check` prints the findings, and with `--repair` it removes leftovers and bad names.

use std::path::{Path, PathBuf};

use super::layers;
use super::store::{ImageStore, id_in, parse_reference_path};
use crate::digest::{Digest, ImageId};
use crate::error::Result;
use crate::reference::Reference;
use crate::store::{self, Lock, remove_file};

/// A defect of a name or of an image.
pub enum Flaw {
    /// A name whose image does not exist.
    NoImage(Reference),
    /// A name's file that holds no id.
    BadName(Reference),
    /// An image that can't be used, and the reason.
    Unreadable(ImageId, String),
    NoLayer(ImageId, Digest),
}

/// A file or directory that no image needs.
pub struct Leftover {
    path: PathBuf,
    kind: Kind,
}

enum Kind {
    Layer(layers::Leftover),
    /// A layer in place that no image, build or cache entry needs.
    Orphan(Digest),
    Manifest(ImageId),
    Download,
}

impl Leftover {
    /// The path of the leftover.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Describes the leftover, for a finding that starts with the leftover's path.
    pub fn what(&self) -> &'static str {
        match self.kind {
            Kind::Layer(layers::Leftover::Unpacking) => "is a layer that was unpacked only in part",
            Kind::Layer(layers::Leftover::Ready) => {
                "is a layer of an image that wasn't pulled whole"
            }
            Kind::Layer(layers::Leftover::Removed) => "is a layer whose removal was cut short",
            Kind::Orphan(_) => "is a layer of no image",
            Kind::Manifest(_) => "is a manifest of no image",
            Kind::Download => "is a download that was broken off",
        }
    }
}

impl ImageStore {
    /// Returns the flaws of names and images in the store.
    pub fn flaws(&self) -> Result<Vec<Flaw>> {
        let mut flaws = Vec::new();
        if !self.dir().is_dir() {
            return Ok(flaws);
        }
        // No image is added or removed while this lock is held.
        let _lock = self.lock()?;
        let refs = self.dir().join("refs");
        for name in store::list(&refs)? {
            for leaf in store::list(&refs.join(&name))? {
                let Some(reference) = parse_reference_path(&name, &leaf) else { continue };
                match self.read_reference(&reference) {
                    Ok(Some(id)) if !self.blob(&id).is_file() => {
                        flaws.push(Flaw::NoImage(reference));
                    }
                    Ok(_) => {}
                    Err(_) => flaws.push(Flaw::BadName(reference)),
                }
            }
        }
        for id in self.ids()? {
            match self.get(&id) {
                Ok(image) => {
                    let layers = image.config.diff_ids.into_iter();
                    let missing = layers.filter(|layer| !self.layers.fs(layer).is_dir());
                    flaws.extend(missing.map(|layer| Flaw::NoLayer(id, layer)));
                }
                Err(error) => flaws.push(Flaw::Unreadable(id, error.to_string())),
            }
        }
        Ok(flaws)
    }

    /// Removes the name if its image does not exist.
    pub fn remove_dangling(&self, name: &Reference) -> Result<()> {
        let _lock = self.lock()?;
        match self.read_reference(name)? {
            Some(id) if !self.blob(&id).is_file() => self.remove_reference(name),
            _ => Ok(()),
        }
    }

    /// Removes the name if its file still holds no id. Fails if the file cannot be read.
    pub fn remove_bad_name(&self, name: &Reference) -> Result<()> {
        let _lock = self.lock()?;
        match store::read(&self.reference_path(name))? {
            Some(bytes) if id_in(&bytes).is_none() => self.remove_reference(name),
            _ => Ok(()),
        }
    }

    /// Returns the leftovers of killed or failed commands in the store.
    pub fn leftovers(&self) -> Result<Vec<Leftover>> {
        let layers = self.layers.leftovers()?.into_iter();
        let mut leftovers: Vec<Leftover> =
            layers.map(|(path, kind)| Leftover { path, kind: Kind::Layer(kind) }).collect();
        for name in store::list(&self.partials())? {
            let path = self.partials().join(name);
            // A running download holds the lock of its file.
            if Lock::try_exclusive(&path)?.is_some() {
                leftovers.push(Leftover { path, kind: Kind::Download });
            }
        }
        if !self.dir().is_dir() {
            return Ok(leftovers);
        }
        let _lock = self.lock()?;
        for layer in self.orphans()? {
            leftovers.push(Leftover { path: self.layers.home(&layer), kind: Kind::Orphan(layer) });
        }
        for name in store::list(&self.dir().join("manifests"))? {
            let id = Digest::parse_hex(&name).filter(|id| !self.blob(id).exists());
            let leftover =
                |id| Leftover { path: self.manifest_path(&id), kind: Kind::Manifest(id) };
            leftovers.extend(id.map(leftover));
        }
        Ok(leftovers)
    }

    /// Removes `leftover` if no command uses it and nothing needs it.
    pub fn remove_leftover(&self, leftover: &Leftover) -> Result<()> {
        match leftover.kind {
            Kind::Layer(kind) => self.layers.remove_leftover(&leftover.path, kind),
            Kind::Orphan(layer) => self.remove_unowned(self.lock()?, &[layer]).map(drop),
            Kind::Manifest(id) => {
                let _lock = self.lock()?;
                if self.blob(&id).exists() { Ok(()) } else { remove_file(&leftover.path) }
            }
            Kind::Download => match Lock::try_exclusive(&leftover.path)? {
                // Hold the lock until the file is removed, so that no download can start in it.
                Some(_held) => remove_file(&leftover.path),
                None => Ok(()),
            },
        }
    }

    /// Returns the layers in place that no image, build or cache entry needs. If an image can't be
    /// read, returns no layer, because that image might need any layer.
    fn orphans(&self) -> Result<Vec<Digest>> {
        let mut orphans = self.layers.list()?;
        let owned = self.owned_by_builds()?;
        orphans.retain(|layer| !owned.contains(layer));
        for id in self.ids()? {
            match self.layers_of(&id) {
                Ok(layers) => {
                    let layers = layers.unwrap_or_default();
                    orphans.retain(|layer| !layers.contains(layer));
                }
                Err(_) => return Ok(Vec::new()),
            }
        }
        Ok(orphans)
    }
}
