//! `create`: makes a container's directory and record from the user's options.
//!
//! Order on disk: run directory with its lock, container directory, name, lease of user IDs,
//! volumes, config.json. The lock is held until the end, so that no other command takes the
//! container for an abandoned one. The container exists as soon as config.json exists. If the
//! process dies before config.json exists, the next command that needs the name takes the name
//! over, and `system check --repair` removes the rest except new volumes.
//!
//! `checks` refuses options that contradict each other. `mounts` finds the missing volumes,
//! `content` writes secrets and configs, and `record` computes the record. `undo` removes an
//! incomplete container.

mod checks;
mod content;
mod mounts;
mod record;
mod undo;

use std::borrow::Cow;
use std::fs::{self, OpenOptions};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

pub(super) use checks::check_resources;
pub(super) use record::set_env;
use undo::Undo;

use super::Engine;
#[cfg(feature = "compose")]
use super::options::Resources;
use super::options::{CreateOptions, EndpointOption, VolumesFrom};
use super::warning::Warning;
use crate::container::files::Files;
use crate::container::mode::NetworkMode;
use crate::container::record::Record;
use crate::container::{events, names, quota};
use crate::container_id::ContainerId;
use crate::digest::ImageId;
use crate::error::{Context, Result, fail};
use crate::image::platform::{Platform, Wanted};
use crate::image::{ContainerConfig, Image, ImageHold, ImageStore};
use crate::raw;
use crate::store::{self, Durability, Lock};
use crate::time::Instant;

/// A new container. This process still holds the container's monitor lock.
pub(super) struct Created {
    pub record: Record,
    pub lock: Lock,
}

impl Engine {
    /// Makes the checks with which `create` and `run` start. Fails for example if options
    /// contradict each other or name a device that does not exist. A caller that pulls the image
    /// calls this function before the pull.
    pub fn check_options(options: &CreateOptions) -> Result<()> {
        checks::check(options)
    }

    /// Fails if limits contradict each other or leave too little memory. Does not compare them with
    /// this machine.
    #[cfg(feature = "compose")]
    pub fn check_limits(resources: &Resources) -> Result<()> {
        checks::check_limits(resources)
    }

    /// Makes a container and returns its id. Fails for example if the image does not exist, the
    /// name is taken, or options contradict each other. If the container cannot be completed, no
    /// container is left.
    pub fn create(&self, options: &CreateOptions) -> Result<ContainerId> {
        let created = self.make(options, false)?;
        self.note(&[events::of(&created.record, "create", &[])]);
        // The container does not run, so remove the run directory and with it the lock.
        store::remove_tree(&Files::new(&self.roots, &created.record.id).run)?;
        Ok(created.record.id)
    }

    /// Checks the options and creates the container. `run` says that the caller then starts it.
    pub(super) fn make(&self, options: &CreateOptions, run: bool) -> Result<Created> {
        checks::check(options)?;
        if let Some(cidfile) = &options.cidfile
            && cidfile.exists()
        {
            fail!(
                "--cidfile {}: the file exists; remove it if its container is gone",
                cidfile.display()
            );
        }
        for dependency in &options.lifecycle.depends_on {
            let name = dependency.strip_suffix(":healthy").unwrap_or(dependency);
            self.record(name).context(|| format!("--depends-on {dependency}"))?;
        }
        self.refuse_own_network(options)?;
        let options = &*self.with_ids(options)?;
        let source = self.source(options)?;
        let id = ContainerId::new()?;
        let name = match &options.name {
            Some(name) if !names::is_valid(name) => fail!(
                "bad container name '{name}': use letters, digits, '_', '.' and '-', and start \
                 with a letter or digit"
            ),
            name => name.clone(),
        };
        let files = Files::new(&self.roots, &id);
        let lock = files.lock_monitor()?;
        // Until the container has a name, `undo` uses the id, which no container has as a name.
        let (standin, volumes) = (id.to_string(), Vec::new());
        let mut undo = Undo { engine: self, id: &id, name: standin, volumes, ids: None };
        fs::DirBuilder::new()
            .mode(0o700)
            .create(&files.dir)
            .context(|| format!("make {}", files.dir.display()))?;
        let name = match name {
            Some(name) => names::claim(&self.roots, &name, &id).map(|()| name)?,
            None => names::claim_any(&self.roots, &id)?,
        };
        undo.name.clone_from(&name);
        match &source {
            Source::Image { image, .. } => make_upper(&files, image.layers.last())?,
            Source::Layers(layers, _) => make_upper(&files, layers.last())?,
            Source::Directory(..) if options.storage_size.is_some() => {
                fail!(
                    "--storage-opt size= limits what is written above an image, and --rootfs has none"
                )
            }
            Source::Directory(..) => {}
        }
        if let Some(size) = &options.storage_size {
            quota::limit(&files, &id, size.bytes)
                .context(|| format!("--storage-opt size={}", size.given))?;
        }
        // These locks keep the mounted images until the record names them.
        let mut holds = Vec::new();
        let mut missing = Vec::new();
        let mut mounts = self.mounts(options, source.config(), &mut missing, &mut holds)?;
        mounts.extend(content::write(&files.dir, &options.files)?);
        let user_namespace = self.user_namespace(options, &id)?;
        undo.ids = user_namespace.as_ref().map(|namespace| namespace.ids);
        let mut record = Record {
            user_namespace,
            ..self.describe(options, &source, id.clone(), name.clone(), mounts, run)?
        };
        self.check_user_namespace(&record)?;
        if let Some(warning) = super::confine::warning(&record) {
            (self.warn)(&warning);
        }
        // Make the volumes last: another container may use a named volume as soon as it exists.
        for volume in missing {
            if self.make_volume(&volume)? {
                undo.volumes.push(volume.name);
            }
            // Take the time again: in `events`, as in Docker, a container comes after its volumes.
            record.created = Instant::now().0;
        }
        record.write(&self.roots)?;
        if record.durability() == Durability::Synced {
            // Sync the directory entries of the container and of its name.
            store::sync_parent(&files.dir)?;
            store::sync_parent(&self.roots.containers().join("names").join(&name))?;
        }
        if let Some(cidfile) = &options.cidfile {
            write_cidfile(cidfile, &id)?;
        }
        undo.keep();
        // `source` kept the image until here. From now on the record keeps it.
        Ok(Created { record, lock })
    }

    /// Returns the options with ids in place of the names of containers, except the names of
    /// `--depends-on`. The names are looked up before the new container exists, because the name or
    /// the start of the id of the new container could match.
    fn with_ids<'a>(&self, options: &'a CreateOptions) -> Result<Cow<'a, CreateOptions>> {
        let joined = |given: &EndpointOption| given.network.container().is_some();
        if options.links.is_empty()
            && options.volumes_from.is_empty()
            && !options.networks.iter().any(joined)
            && !options.namespaces.joins()
        {
            return Ok(Cow::Borrowed(options));
        }
        let mut options = options.clone();
        let id = |name: &str, flag: &str| {
            names::resolve(&self.roots, name).context(|| format!("{flag}{name}"))
        };
        for (name, _) in &mut options.links {
            *name = id(name, "--link ")?.to_string();
        }
        for VolumesFrom { container, .. } in &mut options.volumes_from {
            *container = id(container, "--volumes-from ")?.to_string();
        }
        for given in &mut options.networks {
            if let NetworkMode::Container(name) = &mut given.network {
                *name = names::resolve(&self.roots, name)?.to_string();
            }
        }
        let id = |name: &String| Ok(names::resolve(&self.roots, name)?.to_string());
        options.namespaces = options.namespaces.find(id)?;
        Ok(Cow::Owned(options))
    }

    fn source(&self, options: &CreateOptions) -> Result<Source> {
        if let Some(layers) = &options.layers {
            return Ok(Source::Layers(layers.clone(), ContainerConfig::default()));
        }
        if let Some(directory) = &options.rootfs {
            let path = fs::canonicalize(directory)
                .context(|| format!("--rootfs {}", directory.display()))?;
            if !path.is_dir() {
                fail!("--rootfs {}: not a directory", directory.display());
            }
            return Ok(Source::Directory(path, ContainerConfig::default()));
        }
        let images = ImageStore::open(&self.roots);
        let Some(name) = &options.image else { fail!("no image was given") };
        let id = match images.find(name)? {
            None if name.typed() == super::hello::NAME => super::hello::make(&images)?,
            Some(id) => id,
            None => fail!(
                "no such image: '{name}'; `mydocker images` lists the local images; add one with \
                 `pull`, `load` or `import`"
            ),
        };
        let hold = images.hold(&id)?;
        let image = images.get(&id)?;
        if options.platform.is_none() {
            self.warn_of_platform(&image);
        }
        Ok(Source::Image { image, _hold: hold })
    }

    /// Warns if the image is for another platform. Such an image runs by an emulator (binfmt_misc)
    /// or fails at execve(2).
    fn warn_of_platform(&self, image: &Image) {
        let (offered, native) = (image.config.platform(), Platform::native());
        if Wanted::native().rank_of_config(&offered).is_none() {
            (self.warn)(&Warning::OtherPlatform { image: offered, native });
        }
    }
}

/// The source of the root file system.
enum Source {
    /// An image. The lock prevents the removal of the image before the record names it.
    Image {
        image: Image,
        _hold: ImageHold,
    },
    Directory(PathBuf, ContainerConfig),
    /// Layers of a running build, which keeps them.
    Layers(Vec<PathBuf>, ContainerConfig),
}

impl Source {
    fn config(&self) -> &ContainerConfig {
        match self {
            Source::Image { image, .. } => &image.config.config,
            Source::Directory(_, config) | Source::Layers(_, config) => config,
        }
    }

    fn image_id(&self) -> Option<ImageId> {
        match self {
            Source::Image { image, .. } => Some(image.id),
            Source::Directory(..) | Source::Layers(..) => None,
        }
    }

    fn layers(&self) -> Vec<String> {
        let layers = match self {
            Source::Image { image, .. } => &image.layers,
            Source::Layers(layers, _) => layers,
            Source::Directory(..) => return Vec::new(),
        };
        layers.iter().map(|layer| raw::encode_path(layer)).collect()
    }

    fn directory(&self) -> Option<String> {
        match self {
            Source::Image { .. } | Source::Layers(..) => None,
            Source::Directory(path, _) => Some(raw::encode_path(path)),
        }
    }
}

/// Makes the overlay's upper and work directories. The upper directory gets the owner and mode of
/// the image's root, because the merged root shows those of the upper directory.
fn make_upper(files: &Files, topmost: Option<&PathBuf>) -> Result<()> {
    let (upper, work) = (files.upper(), files.work());
    let make = || -> std::io::Result<()> {
        fs::DirBuilder::new().mode(0o755).create(&upper)?;
        fs::DirBuilder::new().mode(0o700).create(&work)?;
        if let Some(topmost) = topmost {
            let like = fs::metadata(topmost)?;
            if (like.uid(), like.gid()) != (0, 0) {
                std::os::unix::fs::chown(&upper, Some(like.uid()), Some(like.gid()))?;
            }
            if like.mode() & 0o7777 != 0o755 {
                fs::set_permissions(&upper, fs::Permissions::from_mode(like.mode() & 0o7777))?;
            }
        }
        Ok(())
    };
    make().context(|| format!("make {}", upper.display()))
}

fn write_cidfile(path: &Path, id: &str) -> Result<()> {
    let opened = OpenOptions::new().write(true).create_new(true).mode(0o644).open(path);
    let written = opened.and_then(|mut file| file.write_all(id.as_bytes()));
    match written {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
            fail!("--cidfile {}: the file exists", path.display())
        }
        result => result
            .context(|| format!("write --cidfile {}", path.display()))
            .map_err(checks::of_missing_file),
    }
}
