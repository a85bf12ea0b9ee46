//! `images`, `history`, `import`, `load`, `tag` and `rmi`.
//!
//! The image store does the work. This file adds what the store cannot know: which containers use
//! an image, and where an archive comes from (a file, a web server or stdin). Pull and push are in
//! `transfer`, `save` is in `archives`.

use std::fs::File;
use std::os::fd::OwnedFd;
use std::path::Path;

use super::options::ImportSource;
use super::view::{HistoryView, ListedImage, Loaded, RemovedImage};
use super::{Engine, download};
use crate::container::record::{Record, all_ids};
use crate::error::{Context, Result, fail};
use crate::event::{Event, Kind};
use crate::image::platform::{Platform, Wanted};
use crate::image::{ContainerConfig, ImageId, ImageStore, Reference, instruction};
use crate::image_name::ImageName;
use crate::sys::stdio::{Waiting, own_stdin};
use crate::time::Instant;

impl Engine {
    /// Returns the images that can be read: one entry for each name, or one entry for an image
    /// without a name.
    pub fn images(&self) -> Result<Vec<ListedImage>> {
        ImageStore::open(&self.roots).list()
    }

    /// Returns the creation time of an image, if its config has one. Fails if the image does not
    /// exist.
    pub fn image_created(&self, name: &ImageName) -> Result<Option<Instant>> {
        match ImageStore::open(&self.roots).resolve(name)? {
            Some(image) => Ok(image.config.created),
            None => fail!("no such image: {name}"),
        }
    }

    /// Adds the name `target` to the image `source`. The name is moved if another image has it.
    pub fn tag(&self, source: &ImageName, target: &Reference) -> Result<()> {
        let images = ImageStore::open(&self.roots);
        images.tag(source, target)?;
        if let Some(id) = images.find(source)? {
            self.note_image("tag", &id.into(), &target.familiar());
        }
        Ok(())
    }

    /// Writes an event about an image. As in Docker, the event has the image's labels, if the image
    /// exists.
    pub(super) fn note_image(&self, action: &str, image: &ImageName, name: &str) {
        let event = Event::new(Kind::Image, action, image.typed()).with("name", name);
        let image = ImageStore::open(&self.roots).resolve(image);
        self.note(&[match image {
            Ok(Some(image)) => event.with_labels(&image.config.config.labels),
            _ => event,
        }]);
    }

    /// Returns the id of the image with this name or id, or `None` if no image has it.
    pub fn image_id(&self, name: &ImageName) -> Result<Option<ImageId>> {
        ImageStore::open(&self.roots).find(name)
    }

    /// Returns the platform of an image, or `None` if the image does not exist.
    #[cfg(feature = "compose")]
    pub fn image_platform(&self, name: &ImageName) -> Result<Option<Platform>> {
        let image = ImageStore::open(&self.roots).resolve(name)?;
        Ok(image.map(|image| image.config.platform()))
    }

    /// Returns the time at which the image got this name, by a pull or otherwise.
    #[cfg(feature = "compose")]
    pub fn image_named_at(&self, name: &ImageName) -> Result<Option<Instant>> {
        ImageStore::open(&self.roots).named_at(name)
    }

    /// Reports whether an image with this name or id exists.
    pub fn image_exists(&self, name: &ImageName) -> Result<bool> {
        Ok(ImageStore::open(&self.roots).find(name)?.is_some())
    }

    /// If `platform` is given, fails unless the image exists and is for that platform. A local
    /// image has only one platform, so `--platform` cannot choose another one.
    pub fn require_platform(&self, name: &ImageName, platform: Option<&Platform>) -> Result<()> {
        let Some(platform) = platform else { return Ok(()) };
        let wanted = Wanted::exactly(platform.clone());
        let Some(image) = ImageStore::open(&self.roots).resolve(name)? else {
            fail!("no such image: {name}")
        };
        let offered = image.config.platform();
        if wanted.rank_of_config(&offered).is_none() {
            fail!("image {name} is for {offered}, not for {0}; pull it for {0}", wanted.platform);
        }
        Ok(())
    }

    /// Removes an image or one of its names. `ImageStore::remove` says what needs `force`.
    pub fn remove_image(&self, name: &ImageName, force: bool) -> Result<RemovedImage> {
        let images = ImageStore::open(&self.roots);
        let before = images.resolve(name).ok().flatten();
        let removed = images.remove(name, force, &|id| self.users_of(id))?;
        if let Some(image) = before {
            let id = image.id.to_string();
            let event = |action| Event::new(Kind::Image, action, &id).with("name", &id);
            let mut events = vec![
                event("untag").with_labels(&image.config.config.labels);
                removed.untagged.len()
            ];
            events.extend(removed.image.map(|_| event("delete")));
            self.note(&events);
        }
        let deleted = removed.image.into_iter().chain(removed.layers).collect();
        Ok(RemovedImage { untagged: removed.untagged, deleted })
    }

    /// Returns the history of an image, newest step first.
    pub fn history(&self, name: &ImageName) -> Result<Vec<HistoryView>> {
        let images = ImageStore::open(&self.roots);
        let Some(image) = images.resolve(name)? else { fail!("no such image: {name}") };
        let mut steps: Vec<HistoryView> = images
            .history(&image.config)?
            .into_iter()
            .map(|(step, size)| HistoryView {
                id: None,
                created: step.created,
                created_by: step.created_by,
                size,
                comment: step.comment,
            })
            .collect();
        steps.reverse();
        if let Some(newest) = steps.first_mut() {
            newest.id = Some(image.id);
        }
        Ok(steps)
    }

    /// Returns the names of the containers that use an image. Fails if a record cannot be read,
    /// because its container may use the image.
    pub(super) fn users_of(&self, id: &ImageId) -> Result<Vec<String>> {
        let id = Some(*id);
        let mut users = Vec::new();
        for container in all_ids(&self.roots)? {
            // A container that is being created has no record yet and locks the image instead.
            if !self.roots.containers().join(&container).join("config.json").exists() {
                continue;
            }
            let record = Record::read(&self.roots, &container)?;
            let mut mounted = record.mounts.iter().filter_map(|mount| mount.image.as_ref());
            if *record.image_id == id || mounted.any(|image| *image.id == id) {
                users.push(record.name);
            }
        }
        Ok(users)
    }

    /// Makes an image from a tar of a root file system. Returns its id. `changes` are Dockerfile
    /// instructions for the config, as in `--change`.
    pub fn import(
        &self,
        source: &ImportSource,
        reference: Option<&Reference>,
        changes: &[String],
        message: Option<&str>,
        platform: &Platform,
    ) -> Result<ImageId> {
        if !platform.variant.is_empty() {
            fail!("bad platform '{platform}': an import keeps no variant; write OS/ARCHITECTURE");
        }
        let named = match source {
            ImportSource::Stdin => name(None),
            ImportSource::File(path) => name(Some(path)),
            ImportSource::Url(url) => url.clone(),
        };
        let comment = message.map_or_else(|| format!("Imported from {named}"), str::to_owned);
        let mut config = ContainerConfig::default();
        instruction::apply(&mut config, changes)?;
        let images = ImageStore::open(&self.roots);
        let mut input = match source {
            ImportSource::Stdin => open(None)?,
            ImportSource::File(path) => open(Some(path))?,
            ImportSource::Url(url) => {
                let mut file = images.spool_file()?;
                download::fetch(url, &mut file)?;
                Waiting(file.into())
            }
        };
        let id = images
            .import(&mut input, reference, config, &comment, platform)
            .context(|| format!("import {named}"))?;
        if let Some(reference) = reference {
            self.note_image("tag", &id.into(), &reference.familiar());
        }
        self.note_image("import", &id.into(), &id.to_string());
        Ok(id)
    }

    /// Loads the images of an archive from `file` or stdin. Calls `note` for each part that is
    /// skipped. `platform` chooses one platform of an index.
    pub fn load(
        &self,
        file: Option<&Path>,
        platform: Option<Platform>,
        note: &mut dyn FnMut(String),
    ) -> Result<Vec<Loaded>> {
        let wanted = platform.map_or_else(Wanted::native, Wanted::exactly);
        let loaded = ImageStore::open(&self.roots).load(open(file)?.0.into(), &wanted, note);
        let loaded = loaded.context(|| format!("load {}", name(file)))?;
        for image in &loaded {
            self.note_image("load", &image.id.into(), &image.id.to_string());
        }
        Ok(loaded)
    }
}

fn name(file: Option<&Path>) -> String {
    file.map_or_else(|| "standard input".to_owned(), |file| file.display().to_string())
}

fn open(file: Option<&Path>) -> Result<Waiting<OwnedFd>> {
    match file {
        Some(path) => {
            let file = File::open(path).context(|| format!("open {}", path.display()))?;
            Ok(Waiting(file.into()))
        }
        None => own_stdin().context(|| "duplicate the standard input"),
    }
}
