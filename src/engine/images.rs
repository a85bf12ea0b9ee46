//! `images`, `import`, `load`, `tag`, `rmi`.

use std::fs::File;
use std::os::fd::OwnedFd;
use std::path::Path;

use super::Engine;
use super::view::{HistoryView, ImageView};
use crate::container::record::{Record, all_ids};
use crate::error::{Context, Result, fail};
use crate::image::platform::{Platform, Wanted};
use crate::image::{ContainerConfig, ImageId, ImageStore, Reference, instruction};
use crate::sys::stdio::{Waiting, own_stdin};
use crate::time::Instant;

impl Engine {
    pub fn images(&self) -> Result<Vec<ImageView>> {
        let listed = ImageStore::open(&self.roots).list()?;
        let view = |image: crate::image::ListedImage| ImageView {
            repository: image.repository,
            tag: image.tag,
            digest: image.digest.map(|digest| digest.to_string()),
            labels: image.labels,
            id: image.id.to_string(),
            created: image.created,
            size: image.size,
        };
        Ok(listed.into_iter().map(view).collect())
    }

    /// When an image was made, if it says so.
    pub fn image_created(&self, name: &str) -> Result<Option<Instant>> {
        match ImageStore::open(&self.roots).resolve(name)? {
            Some(image) => Ok(image.config.created),
            None => fail!("no such image: {name}"),
        }
    }

    pub fn tag(&self, source: &str, target: &str) -> Result<()> {
        ImageStore::open(&self.roots).tag(source, &Reference::parse_new(target)?)
    }

    /// Whether there is an image of that name or id.
    pub fn image_exists(&self, name: &str) -> Result<bool> {
        Ok(ImageStore::open(&self.roots).find(name)?.is_some())
    }

    /// Refuses an image that is for another platform than the user asks for. An image is here for
    /// one platform only, so a command with `--platform` has nothing to choose from.
    pub fn require_platform(&self, name: &str, platform: Option<&str>) -> Result<()> {
        let Some(platform) = platform else { return Ok(()) };
        let wanted = Wanted::exactly(Platform::parse(platform)?);
        let Some(image) = ImageStore::open(&self.roots).resolve(name)? else {
            fail!("no such image: {name}")
        };
        let offered = image.config.platform();
        if wanted.rank_of_config(&offered).is_none() {
            fail!("image {name} is for {offered}, not for {0}; pull it for {0}", wanted.platform);
        }
        Ok(())
    }

    /// Gives Docker's lines: `Untagged: …`, `Deleted: …`.
    pub fn remove_image(&self, name: &str, force: bool) -> Result<Vec<String>> {
        let images = ImageStore::open(&self.roots);
        let removed = images.remove(name, force, &|id| self.users_of(id))?;
        let untagged = removed.untagged.iter().map(|name| format!("Untagged: {}", name.familiar()));
        let ids = removed.image.iter().chain(&removed.layers);
        Ok(untagged.chain(ids.map(|id| format!("Deleted: {id}"))).collect())
    }

    /// How an image came to be, newest step first.
    pub fn history(&self, name: &str) -> Result<Vec<HistoryView>> {
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
            newest.id = Some(image.id.to_string());
        }
        Ok(steps)
    }

    /// The names of the containers made of an image. One whose record can't be read might be: it
    /// is an error.
    pub(super) fn users_of(&self, id: &ImageId) -> Result<Vec<String>> {
        let id = id.to_string();
        let mut users = Vec::new();
        for container in all_ids(&self.roots)? {
            // One that is only half made holds the image by its lock instead.
            if !self.roots.containers().join(&container).join("config.json").exists() {
                continue;
            }
            let record = Record::read(&self.roots, &container)?;
            let mut mounted = record.mounts.iter().filter_map(|mount| mount.image.as_ref());
            if record.image_id == id || mounted.any(|image| image.id == id) {
                users.push(record.name);
            }
        }
        Ok(users)
    }

    /// Makes an image of a root file system's tar, read from `file` or the standard input; gives
    /// its id.
    pub fn import(
        &self,
        file: Option<&Path>,
        reference: Option<&str>,
        changes: &[String],
        message: Option<&str>,
        platform: Option<&str>,
    ) -> Result<String> {
        let platform = platform.map(Platform::parse).transpose()?.unwrap_or_default();
        if !platform.variant.is_empty() {
            fail!("bad platform '{platform}': an import keeps no variant; write OS/ARCHITECTURE");
        }
        let reference = reference.map(Reference::parse_new).transpose()?;
        let comment =
            message.map_or_else(|| format!("Imported from {}", name(file)), str::to_owned);
        let mut config = ContainerConfig::default();
        instruction::apply(&mut config, changes)?;
        let images = ImageStore::open(&self.roots);
        let id = images
            .import(&mut open(file)?, reference.as_ref(), config, &comment, &platform)
            .context(|| format!("import {}", name(file)))?;
        Ok(id.to_string())
    }

    /// Loads the images of an archive; gives a line for each name, as Docker does. `note` hears of
    /// what is passed over.
    pub fn load(
        &self,
        file: Option<&Path>,
        platform: Option<&str>,
        note: &mut dyn FnMut(String),
    ) -> Result<Vec<String>> {
        let wanted = match platform {
            Some(platform) => Wanted::exactly(Platform::parse(platform)?),
            None => Wanted::native(),
        };
        let loaded = ImageStore::open(&self.roots).load(open(file)?.0.into(), &wanted, note);
        let mut lines = Vec::new();
        for image in loaded.context(|| format!("load {}", name(file)))? {
            if image.references.is_empty() {
                lines.push(format!("Loaded image ID: {}", image.id));
            }
            let names = image.references.iter();
            lines.extend(names.map(|name| format!("Loaded image: {}", name.familiar())));
        }
        Ok(lines)
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
