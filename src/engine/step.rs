//! The engine's functions for a build: run a command in a container whose changes become a layer,
//! and write files into an image's root.
//!
//! A build has a workplace: a hidden directory beside the containers, locked by flock(2). The name
//! of a step's container starts with the directory's name without the dot. So the next build can
//! remove the containers, the files and the directory of a killed build. `image::draft` keeps the
//! layers. Work that needs a mount namespace or threads runs in a child process, because this
//! process forks monitors and must stay single-threaded in the host's namespaces. The child dies
//! with its parent.

use std::fs::{DirBuilder, File};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use super::Engine;
pub use super::cache_mounts::{CacheMount, Sharing};
use super::child::in_child;
use super::options::CreateOptions;
use super::options::RemoveOptions;
use super::output::Output;
use crate::container::client::{self, End};
use crate::container::files::Files;
use crate::container::state::Span;
use crate::digest::Digest;
use crate::error::{Context, Error, Result, fail};
use crate::hex::random_name;
use crate::image::config::ImageConfig;
use crate::image::copy::{Original, Overrides, copy};
use crate::image::{CopyRules, Draft, ImageId, ImageStore, Reference, archive_tree};
use crate::raw;
use crate::runtime::spec::Root;
use crate::runtime::view;
use crate::store::{self, Lock, LockMode};

/// The prefix of a workplace's name.
const WORKPLACE: &str = ".build-";

/// The prefix of the name of a stage's workplace, which is inside the build's workplace.
const STAGE: &str = "stage-";

/// The name of a step's child process in errors.
const STEP: &str = "the process of the step";

/// The workplace of one build or one stage. Dropping it removes its directories.
pub struct Workplace {
    /// The directory, for temporary files of the build.
    pub dir: PathBuf,
    /// The name of the running step's container.
    container: String,
    /// The directory of the step's secrets, which is in the run root.
    secrets: PathBuf,
    /// The layers of the build.
    pub draft: Draft,
    /// The lock on `dir`. `None` for a stage, since the build's workplace has the lock.
    _lock: Option<Lock>,
}

impl Workplace {
    /// Makes the workplace of a stage inside the build's workplace. The child process that runs a
    /// stage in parallel calls this.
    pub fn for_stage(&self, at: usize) -> Result<Workplace> {
        let name = format!("{STAGE}{at}");
        Ok(Workplace {
            dir: self.make_dir(&name)?,
            container: format!("{}-{name}", self.container),
            secrets: self.secrets.with_added_extension(&name),
            draft: self.draft.shared(),
            _lock: None,
        })
    }

    /// Makes a new directory in the workplace, with mode 0755. Fails if it exists.
    pub fn make_dir(&self, name: &str) -> Result<PathBuf> {
        let path = self.dir.join(name);
        DirBuilder::new()
            .mode(0o755)
            .create(&path)
            .context(|| format!("make {}", path.display()))?;
        Ok(path)
    }

    /// Makes and returns the directory of the step's secrets in the run root, which is usually in
    /// memory.
    pub fn make_secret_dir(&self) -> Result<PathBuf> {
        store::make_dir(&self.secrets)?;
        Ok(self.secrets.clone())
    }

    /// Removes the secrets of a step that has ended.
    pub fn clear_secrets(&self) -> Result<()> {
        store::remove_tree(&self.secrets)
    }
}

impl Drop for Workplace {
    fn drop(&mut self) {
        // Ignore errors: if `dir` remains, the next build removes it with its secrets.
        let _ = store::remove_tree(&self.secrets);
        let _ = store::remove_tree(&self.dir);
    }
}

impl Engine {
    /// Opens the image store.
    pub fn image_store(&self) -> ImageStore {
        ImageStore::open(&self.roots)
    }

    /// Starts a build: removes the files of killed builds and makes the workplace.
    pub fn begin_build(&self) -> Result<Workplace> {
        self.sweep_builds()?;
        let draft = self.image_store().begin_draft()?;
        let (name, dir, lock) = loop {
            let name = format!("{WORKPLACE}{}", random_name()?);
            let dir = self.roots.containers().join(&name);
            store::make_dir(&dir)?;
            // `None` means that another build took the directory for a leftover and removed it
            // before this process had the lock.
            if let Some(lock) = Lock::wait_existing(&dir, LockMode::Exclusive)? {
                break (name, dir, lock);
            }
        };
        store::spread(&dir);
        let secrets = self.secrets_of(&name);
        let container = container_of(&name).to_owned();
        Ok(Workplace { dir, secrets, container, draft, _lock: Some(lock) })
    }

    /// Removes the workplaces of killed builds, and the containers and secrets of their steps. Adds
    /// the complete layers of these builds to the cache, unless the host was restarted since.
    pub fn sweep_builds(&self) -> Result<()> {
        self.image_store().sweep_drafts()?;
        for dir in store::hidden(&self.roots.containers(), |name| name.starts_with(WORKPLACE))? {
            // The lock is held until the directory is removed.
            let Some(_lock) = Lock::try_exclusive(&dir)? else { continue };
            let name = dir.file_name().unwrap_or_default().to_string_lossy();
            let container = container_of(&name);
            let stages = store::list(&dir)?.into_iter().filter(|part| part.starts_with(STAGE));
            let secrets = self.secrets_of(&name);
            for stage in stages {
                let secrets = secrets.with_added_extension(&stage);
                self.clear_step(&format!("{container}-{stage}"), &secrets)?;
            }
            self.clear_step(container, &secrets)?;
            store::remove_tree(&dir)?;
        }
        Ok(())
    }

    /// Removes the container and the secrets of a killed stage.
    pub fn clear_stage(&self, place: &Workplace, at: usize) -> Result<()> {
        let stage = format!("{STAGE}{at}");
        let secrets = place.secrets.with_added_extension(&stage);
        self.clear_step(&format!("{}-{stage}", place.container), &secrets)
    }

    fn clear_step(&self, container: &str, secrets: &Path) -> Result<()> {
        self.remove_step(container).context(|| "remove the container of a killed build")?;
        // The kill may have interrupted the creation or removal of a step's container.
        self.mend_leftovers()?;
        store::remove_tree(secrets)
    }

    fn secrets_of(&self, workplace: &str) -> PathBuf {
        self.roots.run.join(format!("{workplace}-secrets"))
    }

    /// Returns the workplaces and drafts of killed builds.
    pub fn dead_builds(&self) -> Result<Vec<PathBuf>> {
        let containers = self.roots.containers();
        let mut dirs = store::hidden(&containers, |name| name.starts_with(WORKPLACE))?;
        dirs.retain(|dir| !Lock::is_held(dir).unwrap_or(true));
        dirs.extend(self.image_store().dead_drafts()?);
        Ok(dirs)
    }

    /// Returns the root directories of the layers, base first.
    pub fn layer_paths(&self, place: &Workplace, layers: &[Digest]) -> Vec<PathBuf> {
        let images = self.image_store();
        layers.iter().map(|layer| images.draft_layer(&place.draft, layer)).collect()
    }

    /// Runs a command in a container on `layers` and returns its exit status. `output` gets stdout
    /// and stderr. On success, the container remains for [`Engine::commit_container`] and
    /// [`Engine::drop_container`]. On an error, removes the container.
    pub fn run_step(
        &self,
        place: &Workplace,
        layers: &[Digest],
        mut options: CreateOptions,
        output: &dyn Fn(&[u8]),
    ) -> Result<u8> {
        options.name = Some(place.container.clone());
        options.layers = Some(self.layer_paths(place, layers));
        // A container that cannot start has nothing to commit.
        self.run_to_end(&options, output).inspect_err(|_| {
            // Report the failed start, not a failed removal.
            let _ = self.drop_container(place);
        })
    }

    /// Makes and runs a container. `output` gets its stdout and stderr. Returns its exit status.
    fn run_to_end(&self, options: &CreateOptions, output: &dyn Fn(&[u8])) -> Result<u8> {
        let created = self.make(options, true)?;
        let socket = self.launch(&created.record, created.lock, Span::default(), true)?;
        let program = client::await_start(&socket)?;
        let attach = client::Attach {
            stdin: false,
            stdout: true,
            stderr: true,
            terminal: false,
            redraw: false,
            sig_proxy: false,
            detach_keys: &[],
            output: Some(output),
        };
        Ok(match client::attach(&socket, Some(program), &attach)? {
            End::Exited(code) => code,
            End::Lost => self.status_of_lost(&created.record)?,
            End::Detached | End::Unread | End::Signalled(_) => {
                fail!("the output of the step can't be read")
            }
        })
    }

    /// Removes the container of the step.
    pub fn drop_container(&self, place: &Workplace) -> Result<()> {
        self.remove_step(&place.container)
    }

    /// Removes the container of a step, if it exists.
    fn remove_step(&self, container: &str) -> Result<()> {
        match self.remove(container, RemoveOptions { force: true, volumes: true }) {
            Err(error) if !error.is_absent() => Err(error),
            _ => Ok(()),
        }
    }

    /// Makes a layer of the changes of the step's container. Returns `None` if there are none.
    /// `latest` is in seconds since 1970; later modification times become `latest`.
    pub fn commit_container(
        &self,
        place: &Workplace,
        latest: Option<i64>,
    ) -> Result<Option<Digest>> {
        let record = self.record(&place.container)?;
        in_step(&|| {
            let diff = self.compare(&record, &mut |_| Ok(()))?;
            let upper = Files::new(&self.roots, &record.id).upper();
            let skip = |path: &[u8]| diff.left_out.iter().any(|left_out| left_out == path);
            let overrides = Overrides { latest, ..Overrides::default() };
            self.image_store().add_to_draft(&place.draft, &upper, &skip, overrides)
        })
    }

    /// Calls `edit` in a child process with the root of `layers`, which `edit` may change, and
    /// makes a layer of the changes. Returns the layer, or `None` if nothing changed, and the
    /// result of `edit`. `latest` is as in [`Engine::commit_container`].
    pub fn edit_layers(
        &self,
        place: &Workplace,
        layers: &[Digest],
        latest: Option<i64>,
        edit: &dyn Fn(BorrowedFd<'_>) -> Result<Option<Digest>>,
    ) -> Result<(Option<Digest>, Option<Digest>)> {
        let mut lower = self.layer_paths(place, layers);
        if lower.is_empty() {
            lower.push(place.make_dir("empty")?);
        }
        let (upper, work) = (place.make_dir("upper")?, place.make_dir("work")?);
        let edited = in_child(STEP, &|| {
            let (upper, work) = (upper.clone(), work.clone());
            let root = Root::Overlay { lower: lower.clone(), upper, work, volatile: true };
            let root = view::at_rest(&root, &[], &self.mount_point()?, &|| Ok(()))?;
            let found = edit(root.as_fd())?;
            drop(root);
            let (upper, overrides) =
                (place.dir.join("upper"), Overrides { latest, ..Overrides::default() });
            let layer =
                self.image_store().add_to_draft(&place.draft, &upper, &|_| false, overrides)?;
            Ok(format!("{} {}", to_text(layer), to_text(found)))
        });
        for name in ["upper", "work", "empty"] {
            store::remove_tree(&place.dir.join(name))?;
        }
        let edited = edited?;
        let (layer, found) = edited.split_once(' ').unwrap_or_default();
        Ok((from_text(layer)?, from_text(found)?))
    }

    /// Merges `layers`, which must be in the layer store, into one layer on top of `base`. Returns
    /// `None` if the layers change nothing.
    pub fn squash(
        &self,
        place: &Workplace,
        base: &[Digest],
        layers: &[Digest],
        latest: Option<i64>,
    ) -> Result<Option<Digest>> {
        let images = self.image_store();
        let edited = self.edit_layers(place, base, latest, &|root| {
            layers.iter().try_for_each(|layer| images.apply_layer(layer, root)).map(|()| None)
        });
        edited.map(|(layer, _)| layer)
    }

    /// Adds a layer to the build from its tar. Fails if the tar does not have the digest `layer`.
    pub fn import_layer(&self, place: &Workplace, tar: &File, layer: &Digest) -> Result<()> {
        in_child(STEP, &|| {
            let mut tar = tar;
            self.image_store().add_tar_to_draft(&place.draft, &mut tar, layer)?;
            Ok(String::new())
        })
        .map(drop)
    }

    /// Opens the root of `layers` in a new mount namespace of this process, which must be a child
    /// of [`in_child`].
    pub fn root_of_layers(&self, layers: &[PathBuf]) -> Result<OwnedFd> {
        // The mount point must differ from that of the root that is edited.
        let mount_point = self.roots.run.join("view-from");
        store::make_dir(&mount_point)?;
        view::of_layers(layers, &mount_point)
    }

    /// Calls `work` in a child process and returns the result of `work`.
    pub fn in_step_path(&self, work: &dyn Fn() -> Result<PathBuf>) -> Result<PathBuf> {
        let path = in_child(STEP, &|| work().map(|path| raw::encode_path(&path)))?;
        Ok(raw::path(&path).into_owned())
    }

    /// Calls `read` with the root of `layers`, in a child process.
    pub fn read_layers(
        &self,
        place: &Workplace,
        layers: &[Digest],
        read: &dyn Fn(BorrowedFd<'_>) -> Result<Digest>,
    ) -> Result<Digest> {
        let paths = self.layer_paths(place, layers);
        let digest = in_step(&|| read(self.root_of_layers(&paths)?.as_fd()).map(Some))?;
        digest.ok_or_else(|| Error::new("the process of the step read nothing"))
    }

    /// Writes the root of `layers` as a tar to `file` or to stdout.
    pub fn export_layers(
        &self,
        place: &Workplace,
        layers: &[Digest],
        file: Option<&Path>,
    ) -> Result<()> {
        let paths = self.layer_paths(place, layers);
        in_child("the export", &|| {
            // Open the output before the mount namespace changes: the user means a path of the
            // host.
            let mut output = Output::open(file)?;
            let root = self.root_of_layers(&paths)?;
            archive_tree(root.as_fd(), None, &mut output)?;
            output.finish().map(|()| String::new())
        })
        .map(drop)
    }

    /// Writes the root of `layers` to a directory of the host, which is made if it is missing.
    pub fn export_layers_to(
        &self,
        place: &Workplace,
        layers: &[Digest],
        directory: &Path,
    ) -> Result<()> {
        let paths = self.layer_paths(place, layers);
        std::fs::create_dir_all(directory).context(|| format!("make {}", directory.display()))?;
        let destination = store::open_dir(directory)?;
        in_child("the export", &|| {
            let root = self.root_of_layers(&paths)?;
            let original = Original::new(root.as_fd(), None);
            copy(&original, destination.as_fd(), CopyRules::default())?;
            Ok(String::new())
        })
        .map(drop)
    }

    /// Makes an image of the state before the failed step. Removes the image of the previous
    /// failed build, unless that image has a name or is the same image.
    pub fn keep_failed(&self, base: Option<&ImageId>, config: &ImageConfig) -> Result<ImageId> {
        let images = self.image_store();
        let before = images.failed()?;
        let id = self.finish_build(base, config, &[])?;
        images.note_failed(&id)?;
        if let Some(before) = before
            && before != id
            && images.names(&before)?.is_empty()
        {
            // Ignore an error: if a container uses the old image, the image stays without a name.
            let _ = self.remove_image(&before.into(), false);
        }
        Ok(id)
    }

    /// Makes the image of a finished build and gives it `names`. The layers of `config` must be in
    /// the layer store.
    pub fn finish_build(
        &self,
        base: Option<&ImageId>,
        config: &ImageConfig,
        names: &[Reference],
    ) -> Result<ImageId> {
        self.image_store().commit_built(base, config.clone(), names.to_vec())
    }
}

/// Returns the name of the container of a step in this workplace.
fn container_of(workplace: &str) -> &str {
    workplace.trim_start_matches('.')
}

/// Calls `work` in a child process and returns the digest that `work` returns.
fn in_step(work: &dyn Fn() -> Result<Option<Digest>>) -> Result<Option<Digest>> {
    from_text(&in_child(STEP, &|| work().map(to_text))?)
}

fn to_text(digest: Option<Digest>) -> String {
    digest.map_or_else(String::new, |digest| digest.to_string())
}

fn from_text(text: &str) -> Result<Option<Digest>> {
    if text.is_empty() { Ok(None) } else { Digest::parse(text).map(Some) }
}
