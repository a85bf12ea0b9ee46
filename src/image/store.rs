//! The image store on disk, and how images are found in it.
//!
//! An image exists if its config exists. A commit writes layers, manifest, config and names in this
//! order, and a removal removes them in the opposite order. So a kill between two steps leaves at
//! worst an image without a name, or a layer or manifest without an image, but never an image that
//! lacks a part.
//!
//! `images/.lock` serialises the adding and removing of images and layers; it is never held during
//! an unpacking or a download. A process that makes a container of an image holds the config by a
//! shared flock(2) until the container's record is written; a removal takes the exclusive lock.

use std::fs::{self, File};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

use super::config::{History, ImageConfig, Provenance, layers_of, provenance_of};
use super::layers::{Layers, Staged};
use crate::digest::{Digest, ImageId};
use crate::error::{Context, Result, fail};
use crate::image_name::{ImageName, Meaning, could_start_an_id};
use crate::order;
use crate::reference::Reference;
use crate::store::{self, Durability, Lock, LockMode, Roots, make_dir, remove_tree};
use crate::time::Instant;

/// The images of one state directory.
///
/// ```text
/// images/refs/<name, '/' as '+'>/<tag>   the id of the image that the name stands for
/// images/refs/<name>/@sha256+<hex>       the same for a name by the digest of a manifest or index
/// images/blobs/sha256/<hex>              image configs, by digest
/// images/manifests/<hex>                 the manifest that a registry has for the image <hex>
/// images/partial/<hex>                   the received part of a blob that is being downloaded
/// images/drop/NAME.tar                   the root file system of the image NAME:latest
/// images/.lock                           held while an image is added or removed
/// ```
///
/// A manifest lists the blobs of the layers, as the registry stores them. The manifest is kept only
/// for later pushes.
pub struct ImageStore {
    dir: PathBuf,
    pub(super) layers: Layers,
    /// The directory of the build cache.
    #[cfg(feature = "build")]
    pub(super) cache: PathBuf,
}

/// An image, with the directories from which a container can run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Image {
    pub id: ImageId,
    pub config: ImageConfig,
    /// The root directories of the image's layers, base first.
    pub layers: Vec<PathBuf>,
}

/// A guard that keeps an image from being removed until the guard is dropped.
pub struct ImageHold {
    _config: File,
}

/// A line in the output of the command `images`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListedImage {
    /// The name as users type it; `None` for an image without a name.
    pub repository: Option<String>,
    pub tag: Option<String>,
    /// The digest of the manifest or index that the repository has for the image, if it is known.
    pub digest: Option<Digest>,
    pub labels: Vec<(String, String)>,
    pub id: ImageId,
    pub created: Option<Instant>,
    /// The size of all layers in bytes, unpacked.
    pub size: u64,
    /// Whether the image has no name, and the last failed build left the image for inspection.
    pub hidden: bool,
}

/// The readable images with their layers, and all layers with their sizes in bytes.
pub struct Usage {
    pub images: Vec<(ImageId, Vec<Digest>)>,
    pub layers: Vec<(Digest, u64)>,
}

impl Usage {
    /// Returns the size of all layers, in bytes.
    pub fn size(&self) -> u64 {
        self.layers.iter().map(|(_, size)| size).sum()
    }
}

/// How often a load or a pull tries to commit. A try fails if another command has removed a layer
/// that the image needs.
pub(super) const MAX_COMMITS: usize = 5;

/// The result of a commit.
#[derive(Debug, PartialEq)]
pub(super) enum Committed {
    All,
    /// Nothing was committed, because another command has removed these layers. A load or a pull
    /// stages the layers again and tries again. Other commands fail.
    Missing(Vec<Digest>),
}

/// An image to commit.
pub(super) struct NewImage {
    pub config: Vec<u8>,
    pub diff_ids: Vec<Digest>,
    /// Tags, and digests if the image came from a registry.
    pub references: Vec<Reference>,
    pub manifest: Option<Vec<u8>>,
}

impl ImageStore {
    /// Returns the image store below `roots`. Nothing is read or created yet.
    pub fn open(roots: &Roots) -> ImageStore {
        ImageStore {
            dir: roots.images(),
            layers: Layers::new(roots.layers()),
            #[cfg(feature = "build")]
            cache: roots.build_cache(),
        }
    }

    /// Returns the image that `name` stands for. `name` can be the name of an image, also of one in
    /// the drop folder, a full id with or without `sha256:`, or the first digits of an id. Returns
    /// `None` if there is no such image. Fails if the digits are ambiguous, if the import from the
    /// drop folder fails, or if the file of the name or the image's config is damaged.
    pub fn resolve(&self, name: &ImageName) -> Result<Option<Image>> {
        match self.find(name)? {
            Some(id) => self.get(&id).map(Some),
            None => Ok(None),
        }
    }

    /// Like [`ImageStore::resolve`], but returns only the id.
    pub fn find(&self, name: &ImageName) -> Result<Option<ImageId>> {
        match name.meaning() {
            Meaning::Id(id) => Ok(self.blob(id).is_file().then_some(*id)),
            Meaning::FirstDigits(digits) => self.find_prefix(digits),
            Meaning::Reference(reference) => match self.find_reference(reference)? {
                None if could_start_an_id(name.typed()) => self.find_prefix(name.typed()),
                found => Ok(found),
            },
        }
    }

    fn find_reference(&self, reference: &Reference) -> Result<Option<ImageId>> {
        if let Some(id) = self.find_dropped(reference)? {
            return Ok(Some(id));
        }
        self.read_reference(reference)
    }

    /// Returns the id that a reference file holds.
    pub(super) fn read_reference(&self, reference: &Reference) -> Result<Option<ImageId>> {
        let path = self.reference_path(reference);
        let Some(bytes) = store::read(&path)? else { return Ok(None) };
        match id_in(&bytes) {
            Some(id) => Ok(Some(id)),
            None if bytes.is_empty() => {
                fail!("{} is empty; remove it, or tag the image again", path.display())
            }
            None => fail!("{} holds no image id; remove it", path.display()),
        }
    }

    /// Returns the only image whose id starts with `prefix`. Fails if there are several.
    fn find_prefix(&self, prefix: &str) -> Result<Option<ImageId>> {
        let mut matching = self.ids()?;
        matching.retain(|id| id.hex().starts_with(prefix));
        match matching[..] {
            [] => Ok(None),
            [id] => Ok(Some(id)),
            _ => {
                let ids: Vec<String> = matching.iter().map(Digest::short).collect();
                fail!("the image id '{prefix}' is ambiguous: {}", ids.join(", "))
            }
        }
    }

    /// Returns the image with this id. Fails if the image is gone or its config is damaged.
    pub fn get(&self, id: &ImageId) -> Result<Image> {
        let Some(config) = self.read_config(id)? else {
            fail!("the image {} is gone", id.short());
        };
        let layers = config.diff_ids.iter().map(|diff_id| self.layers.fs(diff_id)).collect();
        Ok(Image { id: *id, config, layers })
    }

    /// Returns the stored bytes of an image's config. Unless they are damaged, their digest is the
    /// image's id.
    pub fn config_bytes(&self, id: &ImageId) -> Result<Option<Vec<u8>>> {
        store::read(&self.blob(id))
    }

    fn read_config(&self, id: &ImageId) -> Result<Option<ImageConfig>> {
        self.read_config_by(id, ImageConfig::parse)
    }

    /// Returns the layers of an image. Parses no other field of the image's config. Returns `None`
    /// if the image is gone.
    pub(super) fn layers_of(&self, id: &ImageId) -> Result<Option<Vec<Digest>>> {
        self.read_config_by(id, layers_of)
    }

    /// Returns how the image was made, for `inspect`. If the config can't be read, all fields are
    /// empty.
    pub fn provenance(&self, id: &ImageId) -> Provenance {
        // An error does not matter, because `inspect` only shows these fields.
        self.read_config_by(id, provenance_of).ok().flatten().unwrap_or_default()
    }

    /// Returns the time at which the image last got a name, in nanoseconds since 1970. Returns 0 if
    /// the image has no name.
    pub fn last_tagged(&self, id: &ImageId) -> Result<i64> {
        let references = self.references()?.into_iter().filter(|(_, named)| named == id);
        let time = |(name, _): (Reference, _)| {
            let file = fs::metadata(self.reference_path(&name)).ok()?;
            Some(file.mtime() * 1_000_000_000 + file.mtime_nsec())
        };
        Ok(references.filter_map(time).max().unwrap_or(0))
    }

    fn read_config_by<T>(
        &self,
        id: &ImageId,
        parse: impl FnOnce(&str, &[u8]) -> Result<T>,
    ) -> Result<Option<T>> {
        let Some(bytes) = self.config_bytes(id)? else { return Ok(None) };
        let document = format!("config of image {}", id.short());
        // A damaged config can't be trusted in any field.
        if Digest::of(&bytes) != *id {
            fail!("{document} is damaged: its digest is {}", Digest::of(&bytes));
        }
        parse(&document, &bytes).map(Some)
    }

    /// Keeps the image from being removed until the guard is dropped. A `create` holds its image
    /// until the container's record names the image. Fails if the image is gone.
    pub fn hold(&self, id: &ImageId) -> Result<ImageHold> {
        match self.lock_config(id, FlockOperation::LockShared)? {
            Some(config) => Ok(ImageHold { _config: config }),
            None => fail!("the image {} is gone", id.short()),
        }
    }

    /// Locks an image's config. Returns `None` if the image does not exist.
    pub(super) fn lock_config(
        &self,
        id: &ImageId,
        operation: FlockOperation,
    ) -> Result<Option<File>> {
        let context = || format!("lock the image {}", id.short());
        let config = match File::open(self.blob(id)) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            result => result.context(context)?,
        };
        loop {
            match flock(&config, operation) {
                Err(Errno::INTR) => continue,
                result => break result.context(context)?,
            }
        }
        let still_there = config.metadata().context(context)?.nlink() > 0;
        Ok(still_there.then_some(config))
    }

    /// Returns the size of an image's layers in bytes, unpacked.
    pub fn size(&self, config: &ImageConfig) -> Result<u64> {
        config.diff_ids.iter().map(|diff_id| self.layers.size(diff_id)).sum()
    }

    /// Returns all images with their layers, and the sizes of all layers. Images that can't be read
    /// are left out; `system check` finds them.
    pub fn usage(&self) -> Result<Usage> {
        let mut images = Vec::new();
        for id in self.ids()? {
            let Ok(Some(layers)) = self.layers_of(&id) else { continue };
            images.push((id, layers));
        }
        let layers = self.layers.list()?.into_iter();
        let sized = |layer: Digest| (layer, self.layers.size(&layer).unwrap_or(0));
        Ok(Usage { images, layers: layers.map(sized).collect() })
    }

    /// Returns the steps of an image, oldest first, each with the size of its layer in bytes. The
    /// size is 0 if the step has no layer. For each layer without a step, adds an empty step.
    pub fn history(&self, config: &ImageConfig) -> Result<Vec<(History, u64)>> {
        let mut layers = config.diff_ids.iter();
        let mut steps = Vec::new();
        for step in &config.history {
            let layer = if step.empty_layer { None } else { layers.next() };
            let size = layer.map(|layer| self.layers.size(layer)).transpose()?.unwrap_or(0);
            steps.push((step.clone(), size));
        }
        for layer in layers {
            steps.push((History::default(), self.layers.size(layer)?));
        }
        Ok(steps)
    }

    /// Returns the images that were made from the image with the config `base`: their layers and
    /// their history begin with those of `base`, and at least one of the two is longer. Images that
    /// can't be read are left out.
    pub fn descendants(&self, base: &ImageConfig) -> Result<Vec<ImageId>> {
        let length = |config: &ImageConfig| config.diff_ids.len() + config.history.len();
        let mut ids = self.ids()?;
        ids.retain(|id| {
            let config = self.read_config(id).ok().flatten();
            config.is_some_and(|config| {
                config.diff_ids.starts_with(&base.diff_ids)
                    && config.history.starts_with(&base.history)
                    && length(&config) > length(base)
            })
        });
        Ok(ids)
    }

    /// Returns all images with all their names. Images that can't be read are left out; `system
    /// check` finds them.
    pub fn list(&self) -> Result<Vec<ListedImage>> {
        let references = self.references()?;
        let failed = self.failed()?;
        let mut listed = Vec::new();
        for id in self.ids()? {
            let Ok(Some(config)) = self.read_config(&id) else { continue };
            let unnamed = ListedImage {
                repository: None,
                tag: None,
                digest: None,
                labels: config.config.labels.clone(),
                id,
                created: config.created,
                size: self.size(&config).unwrap_or(0),
                hidden: false,
            };
            let before = listed.len();
            let names = references.iter().filter(|(_, named)| *named == id).map(|(name, _)| name);
            let (tags, digests): (Vec<_>, Vec<_>) = names.partition(|name| name.digest.is_none());
            let mut list = |name: &Reference, digest: Option<Digest>| {
                let repository = Some(name.familiar_name());
                listed.push(ListedImage {
                    repository,
                    tag: name.tag.clone(),
                    digest,
                    ..unnamed.clone()
                });
            };
            for &tag in &tags {
                let known = digests.iter().find(|digest| digest.is_of(tag));
                list(tag, known.and_then(|known| known.digest));
            }
            for digest in digests.iter().filter(|digest| !tags.iter().any(|tag| digest.is_of(tag)))
            {
                list(digest, digest.digest);
            }
            if listed.len() == before {
                listed.push(ListedImage { hidden: failed == Some(id), ..unnamed });
            }
        }
        // Newest first, as Docker lists them.
        order::sort_by(&mut listed, |a, b| {
            b.created.cmp(&a.created).then_with(|| a.tag.cmp(&b.tag))
        });
        Ok(listed)
    }

    /// Makes `reference` stand for the image that `source` names. Fails if there is no such image.
    pub fn tag(&self, source: &ImageName, reference: &Reference) -> Result<()> {
        let Some(id) = self.find(source)? else { fail!("no such image: {source}") };
        let _lock = self.lock()?;
        if !self.blob(&id).is_file() {
            fail!("no such image: {source}");
        }
        self.write_reference(reference, &id)
    }

    /// Returns the time at which an image last got the name `name`, by a pull or otherwise. Returns
    /// `None` if no image has this name, or if `name` is an id.
    #[cfg(feature = "compose")]
    pub fn named_at(&self, name: &ImageName) -> Result<Option<Instant>> {
        let Some(reference) = name.reference() else { return Ok(None) };
        let path = self.reference_path(reference);
        let modified = fs::metadata(path).and_then(|metadata| metadata.modified());
        let since = |time: SystemTime| time.duration_since(SystemTime::UNIX_EPOCH).ok();
        let since = modified.ok().and_then(since);
        Ok(since.map(|since| Instant(i64::try_from(since.as_nanos()).unwrap_or(i64::MAX))))
    }

    /// Returns the names of one image: tags, then names by digest.
    pub fn names(&self, id: &ImageId) -> Result<Vec<Reference>> {
        let mut references = self.references()?;
        references.retain(|(_, named)| named == id);
        let references = references.into_iter().map(|(reference, _)| reference);
        let (by_digest, mut names): (Vec<_>, Vec<_>) =
            references.partition(|reference| reference.digest.is_some());
        names.extend(by_digest);
        Ok(names)
    }

    /// Returns all names and the images that they stand for, sorted. Names that can't be read are
    /// left out; `system check` finds them.
    pub(super) fn references(&self) -> Result<Vec<(Reference, ImageId)>> {
        let refs = self.dir.join("refs");
        let mut references = Vec::new();
        for name in store::list(&refs)? {
            for tag in store::list(&refs.join(&name))? {
                let Some(reference) = parse_reference_path(&name, &tag) else { continue };
                if let Ok(Some(id)) = self.read_reference(&reference) {
                    references.push((reference, id));
                }
            }
        }
        order::sort(&mut references);
        Ok(references)
    }

    /// Returns the ids of all images.
    pub(super) fn ids(&self) -> Result<Vec<ImageId>> {
        let names = store::list(&self.dir.join("blobs/sha256"))?;
        Ok(names.iter().filter_map(|name| Digest::parse_hex(name)).collect())
    }

    /// Makes new images visible. If a layer is missing, writes nothing. A kill or an error during
    /// the commit may leave layers or manifests without an image, or images without some of their
    /// names.
    pub(super) fn commit(
        &self,
        staged: &mut Vec<Staged>,
        images: &[NewImage],
    ) -> Result<Committed> {
        if !staged.is_empty() {
            self.layers.sync()?;
        }
        let lock = self.lock()?;
        let needed: Vec<Digest> = images.iter().flat_map(|image| image.diff_ids.clone()).collect();
        staged.retain(Staged::is_there);
        let coming: Vec<Digest> = staged.iter().map(|layer| layer.diff_id).collect();
        let mut missing = needed.clone();
        missing.retain(|id| !coming.contains(id) && !self.layers.exists(id));
        if !missing.is_empty() {
            return Ok(Committed::Missing(missing));
        }
        let written = self.commit_locked(std::mem::take(staged), images);
        if written.is_err() {
            // Return the error of the commit. `system check` finds layers that are left.
            let _ = self.remove_unowned(lock, &needed);
        }
        written.map(|()| Committed::All)
    }

    fn commit_locked(&self, staged: Vec<Staged>, images: &[NewImage]) -> Result<()> {
        if !staged.is_empty() {
            for layer in staged {
                self.layers.place(layer)?;
            }
            self.layers.sync_dir()?;
        }
        for image in images {
            if let Some(manifest) = &image.manifest {
                self.write_manifest(&Digest::of(&image.config), manifest)?;
            }
            self.write_blob(&image.config)?;
        }
        for image in images {
            let id = Digest::of(&image.config);
            for reference in &image.references {
                self.write_reference(reference, &id)?;
            }
        }
        Ok(())
    }

    /// Removes the layers of `diff_ids`, except those that an image, an entry of the build cache or
    /// a build uses. Returns the removed layers. `lock` is the lock of the images. It is released
    /// before the layers' files are removed, because their removal may take long. If an image can't
    /// be read, all layers stay, because that image might need them; `system check` finds the
    /// layers later.
    pub(super) fn remove_unowned(&self, lock: Lock, diff_ids: &[Digest]) -> Result<Vec<Digest>> {
        let mut owned = self.owned_by_builds()?;
        for id in self.ids()? {
            match self.layers_of(&id) {
                Ok(layers) => owned.extend(layers.unwrap_or_default()),
                Err(_) => return Ok(Vec::new()),
            }
        }
        let (mut removed, mut trash) = (Vec::new(), Vec::new());
        for diff_id in diff_ids.iter().filter(|diff_id| !owned.contains(diff_id)) {
            if let Some(path) = self.layers.take_out(diff_id)? {
                removed.push(*diff_id);
                trash.push(path);
            }
        }
        drop(lock);
        trash.iter().try_for_each(|path| remove_tree(path))?;
        Ok(removed)
    }

    /// Returns the layers that the build cache and builds use.
    #[cfg(feature = "build")]
    pub(super) fn owned_by_builds(&self) -> Result<Vec<Digest>> {
        Ok([self.cached_layers()?, self.drafted_layers()?].concat())
    }

    /// Without the feature `build` no build leaves an image.
    #[cfg(not(feature = "build"))]
    fn failed(&self) -> Result<Option<ImageId>> {
        Ok(None)
    }

    /// Without the feature `build` only images use layers.
    #[cfg(not(feature = "build"))]
    pub(super) fn owned_by_builds(&self) -> Result<Vec<Digest>> {
        Ok(Vec::new())
    }

    /// Takes the lock under which images and layers are added and removed.
    pub(super) fn lock(&self) -> Result<Lock> {
        make_dir(&self.dir)?;
        Lock::wait(&self.dir.join(".lock"), LockMode::Exclusive)
    }

    /// Writes a config. If the file exists and is intact, the file stays, because other processes
    /// may hold locks on it.
    fn write_blob(&self, bytes: &[u8]) -> Result<()> {
        let path = self.blob(&Digest::of(bytes));
        if store::read(&path)?.as_deref() == Some(bytes) {
            return Ok(());
        }
        make_dir(&self.dir.join("blobs/sha256"))?;
        store::replace(&path, bytes, Durability::Synced)
    }

    /// Returns the manifest that a registry has for the image, with the digests and sizes of the
    /// compressed layers. Returns `None` if no manifest is stored.
    pub fn manifest(&self, id: &ImageId) -> Result<Option<Vec<u8>>> {
        store::read(&self.manifest_path(id))
    }

    /// Records the manifest that a registry has for the image, and gives the image the name `name`.
    /// Does nothing if the image is gone.
    pub(super) fn remember(&self, id: &ImageId, name: &Reference, manifest: &[u8]) -> Result<()> {
        let _lock = self.lock()?;
        if !self.blob(id).is_file() {
            return Ok(());
        }
        self.write_manifest(id, manifest)?;
        self.write_reference(name, id)
    }

    fn write_manifest(&self, id: &ImageId, manifest: &[u8]) -> Result<()> {
        let path = self.manifest_path(id);
        if store::read(&path)?.as_deref() == Some(manifest) {
            return Ok(());
        }
        make_dir(&self.dir.join("manifests"))?;
        store::replace(&path, manifest, Durability::Synced)
    }

    /// Returns the directory of partial downloads.
    pub(super) fn partials(&self) -> PathBuf {
        self.dir.join("partial")
    }

    /// Returns the path of the file with an image's manifest.
    pub(super) fn manifest_path(&self, id: &ImageId) -> PathBuf {
        self.dir.join("manifests").join(id.hex())
    }

    fn write_reference(&self, reference: &Reference, id: &ImageId) -> Result<()> {
        let path = self.reference_path(reference);
        if self.read_reference(reference).is_ok_and(|old| old == Some(*id)) {
            // Set the file's time, which is when the name was last given. If this fails, `named_at`
            // and `last_tagged` only return an older time.
            let _ = fs::File::options()
                .write(true)
                .open(&path)
                .and_then(|file| file.set_modified(SystemTime::now()));
            return Ok(());
        }
        let home = path.parent().unwrap_or(&self.dir);
        if !home.is_dir() {
            make_dir(home)?;
            store::sync_parent(home)?;
        }
        store::replace(&path, id.to_string().as_bytes(), Durability::Synced)
    }

    /// Removes a name. The caller holds the lock.
    pub(super) fn remove_reference(&self, reference: &Reference) -> Result<()> {
        let path = self.reference_path(reference);
        store::remove_file(&path)?;
        let home = path.parent().unwrap_or(&self.dir);
        // If this fails, the directory has other tags or a leftover temporary file, and stays.
        let _ = fs::remove_dir(home);
        if home.is_dir() { store::sync_parent(&path) } else { store::sync_parent(home) }
    }

    /// Returns the path of a blob, such as a config.
    pub(super) fn blob(&self, id: &Digest) -> PathBuf {
        self.dir.join("blobs/sha256").join(id.hex())
    }

    /// Returns the directory of the store.
    pub(super) fn dir(&self) -> &Path {
        &self.dir
    }

    /// Returns the path of a name's file, such as `refs/docker.io+library+alpine/latest`. A parsed
    /// name has no `+`, and no component of it starts with a dot. The file of a name by digest is
    /// `@sha256+…`, which is not a valid tag.
    pub fn reference_path(&self, reference: &Reference) -> PathBuf {
        let name = reference.name().replace('/', "+");
        let leaf = match (&reference.digest, &reference.tag) {
            (Some(digest), _) => format!("@sha256+{}", digest.hex()),
            (None, Some(tag)) => tag.clone(),
            (None, None) => "latest".to_owned(),
        };
        self.dir.join("refs").join(name).join(leaf)
    }
}

/// Returns the id that the bytes of a reference file hold; `None` if they hold no id.
pub(super) fn id_in(bytes: &[u8]) -> Option<ImageId> {
    Digest::parse(String::from_utf8_lossy(bytes).trim_end()).ok()
}

/// Returns the reference of a file below `refs`: the reverse of [`ImageStore::reference_path`].
/// `None` if the names are no reference.
pub(super) fn parse_reference_path(name: &str, leaf: &str) -> Option<Reference> {
    let name = name.replace('+', "/");
    let text = match leaf.strip_prefix("@sha256+") {
        Some(hex) => format!("{name}@sha256:{hex}"),
        None => format!("{name}:{leaf}"),
    };
    Reference::parse(&text).ok()
}
