//! What a build asks of the engine: a command run in a container whose changes become a layer, and
//! files put into an image's root.
//!
//! A build has a workplace, a hidden directory beside the containers that it holds by flock(2). The name
//! of a step's container is written there before the container is made, so that the next build removes
//! what a killed one left: container, files and directory. Each piece of work that needs a mount
//! namespace or threads runs in a child process, because this one forks monitors and must stay single
//! threaded in the host's namespace. The child dies with its parent.

use std::fs::DirBuilder;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, Mode, OFlags, openat};

use super::Engine;
use super::child::in_child;
use super::options::CreateOptions;
use crate::container::client::{self, End};
use crate::container::record::{Files, new_id};
use crate::container::state::Span;
use crate::error::{Context, Result, fail};
use crate::image::config::ImageConfig;
use crate::image::{Image, ImageId, ImageStore, Reference};
use crate::runtime::spec::Root;
use crate::runtime::view;
use crate::store::{self, Durability, Lock, LockMode};
use crate::sys;
use crate::sys::signal::Signal;

/// The start of a workplace's name.
const WORKPLACE: &str = ".build-";
/// In a workplace: the name of the container of the step that runs.
const CONTAINER: &str = "container";

/// The signals that end a build.
const ENDING: [Signal; 3] = [Signal::INT, Signal::TERM, Signal::HUP];

/// The directory of one build.
pub struct Workplace {
    pub dir: PathBuf,
    name: String,
    signals: OwnedFd,
    _lock: Lock,
}

/// How a command of a step ended.
pub enum Ended {
    Exited(u8),
    /// This process got a signal.
    Signalled(Signal),
}

/// What the image of a step is made of.
pub struct StepImage<'a> {
    pub base: Option<&'a ImageId>,
    pub config: &'a ImageConfig,
    /// Later times of files become this one.
    pub latest: Option<i64>,
}

impl Workplace {
    /// The signal that came since the last look, if it ends the build.
    pub fn interrupted(&self) -> Option<Signal> {
        sys::signal::next(self.signals.as_fd())
    }

    /// A new directory in the workplace, with mode 0755.
    pub fn make_dir(&self, name: &str) -> Result<PathBuf> {
        let path = self.dir.join(name);
        DirBuilder::new()
            .mode(0o755)
            .create(&path)
            .context(|| format!("make {}", path.display()))?;
        Ok(path)
    }
}

impl Drop for Workplace {
    fn drop(&mut self) {
        // What stays is removed by the next build.
        let _ = store::remove_tree(&self.dir);
    }
}

impl Engine {
    /// The image store.
    pub fn image_store(&self) -> ImageStore {
        ImageStore::open(&self.roots)
    }

    /// Begins a build: removes what killed ones left, and makes the workplace.
    pub fn begin_build(&self) -> Result<Workplace> {
        self.sweep_builds()?;
        let (name, dir, lock) = loop {
            let name = format!("{WORKPLACE}{}", &new_id()?[..16]);
            let dir = self.roots.containers().join(&name);
            store::make_dir(&dir)?;
            // `None`: another build came between the two calls and took it for a leftover.
            if let Some(lock) = Lock::wait_existing(&dir, LockMode::Exclusive)? {
                break (name, dir, lock);
            }
        };
        let signals = sys::signal::receive(ENDING).context(|| "receive signals")?;
        Ok(Workplace { dir, name: name[1..].to_owned(), signals, _lock: lock })
    }

    /// Removes the workplaces of builds that have ended, with the containers of their steps.
    pub fn sweep_builds(&self) -> Result<()> {
        for dir in store::hidden(&self.roots.containers(), |name| name.starts_with(WORKPLACE))? {
            // Held until the directory is gone.
            let Some(_lock) = Lock::try_exclusive(&dir)? else { continue };
            if let Some(name) = store::read(&dir.join(CONTAINER))? {
                let removed = self.remove(&String::from_utf8_lossy(&name), true, true);
                if let Err(error) = removed
                    && !error.is_absent()
                {
                    return Err(error).context(|| "remove the container of a killed build");
                }
            }
            store::remove_tree(&dir)?;
        }
        Ok(())
    }

    /// Runs a command in a container; `output` gets what it writes. The container stays for
    /// [`Engine::commit_container`] or [`Engine::drop_container`]. Returns its name and how it ended.
    pub fn run_step(
        &self,
        place: &Workplace,
        options: &CreateOptions,
        output: &dyn Fn(&[u8]),
    ) -> Result<(String, Ended)> {
        let name = place.name.clone();
        store::replace(&place.dir.join(CONTAINER), name.as_bytes(), Durability::Lazy)?;
        let options = CreateOptions { name: Some(name.clone()), ..options.clone() };
        let created = self.make(&options, true)?;
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
            step: Some(client::Step { output, ending: &ENDING }),
        };
        let ended = match client::attach(&socket, Some(program), &attach)? {
            End::Exited(code) => Ended::Exited(code),
            End::Signalled(signal) => Ended::Signalled(signal),
            End::Lost => Ended::Exited(self.status_of_lost(&created.record)?),
            End::Detached | End::Unread => fail!("the output of the step can't be read"),
        };
        Ok((name, ended))
    }

    /// Removes the container of a step.
    pub fn drop_container(&self, place: &Workplace, name: &str) -> Result<()> {
        match self.remove(name, true, true) {
            Err(error) if !error.is_absent() => return Err(error),
            _ => {}
        }
        store::remove_file(&place.dir.join(CONTAINER))
    }

    /// Makes an image of what the container of a step changed. Returns its id.
    pub fn commit_container(&self, name: &str, step: &StepImage<'_>) -> Result<ImageId> {
        let record = self.record(name)?;
        let id = in_child("the process of the step", &|| {
            let diff = self.compare(&record, &mut |_| Ok(()))?;
            let files = open_directory(&Files::new(&self.roots, &record.id).upper())?;
            let skip = |path: &[u8]| diff.left_out.iter().any(|left_out| left_out == path);
            let (config, files) = (step.config.clone(), Some((files.as_fd(), &skip as _)));
            let images = self.image_store();
            images
                .commit_step(step.base, config, files, step.latest, Vec::new())
                .map(|id| id.to_string())
        })?;
        ImageId::parse(&id)
    }

    /// Calls `edit` with the root of an image, which it may change, and makes an image of the changes.
    /// Returns its id.
    pub fn edit_image(
        &self,
        place: &Workplace,
        step: &StepImage<'_>,
        edit: &dyn Fn(BorrowedFd<'_>) -> Result<()>,
    ) -> Result<ImageId> {
        let base = step.base.map(|id| self.image_store().get(id)).transpose()?;
        let lower = match &base {
            Some(base) if !base.layers.is_empty() => base.layers.clone(),
            _ => vec![place.make_dir("empty")?],
        };
        let (upper, work) = (place.make_dir("upper")?, place.make_dir("work")?);
        let edited = in_child("the process of the step", &|| {
            let (upper, work) = (upper.clone(), work.clone());
            let root = Root::Overlay { lower: lower.clone(), upper, work, volatile: true };
            let root = view::at_rest(&root, &[], &self.mount_point()?)?;
            edit(root.as_fd())?;
            let files = open_directory(&place.dir.join("upper"))?;
            let files = Some((files.as_fd(), &(|_: &[u8]| false) as _));
            let images = self.image_store();
            let config = step.config.clone();
            images
                .commit_step(step.base, config, files, step.latest, Vec::new())
                .map(|id| id.to_string())
        });
        for name in ["upper", "work", "empty"] {
            store::remove_tree(&place.dir.join(name))?;
        }
        ImageId::parse(&edited?)
    }

    /// The root of an image in a mount namespace of this process, a child of [`in_child`].
    pub fn image_root(&self, image: &Image) -> Result<OwnedFd> {
        // Not where the root that is edited is mounted.
        let mount_point = self.roots.run.join("view-from");
        store::make_dir(&mount_point)?;
        view::of_layers(&image.layers, &mount_point)
    }

    /// Makes the image that a build results in, under `names`.
    pub fn finish_build(&self, step: &StepImage<'_>, names: &[Reference]) -> Result<ImageId> {
        let images = self.image_store();
        images.commit_step(step.base, step.config.clone(), None, None, names.to_vec())
    }
}

fn open_directory(path: &Path) -> Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    openat(CWD, path, flags, Mode::empty()).context(|| format!("open {}", path.display()))
}
