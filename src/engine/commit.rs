//! `commit`: makes an image from a container's changes, or writes the whole root as a tar
//! (`--output`).
//!
//! The changes are overlayfs's upper directory, which becomes one layer. For a container on a
//! directory (`--rootfs`), the layer is the whole directory. A running container is frozen while
//! its files are read (`--pause`). A child process thaws the container even if this process is
//! killed. The image's config is the config with which the container was created, changed by
//! `--change`.

use std::os::fd::{AsFd, OwnedFd};

use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::{WaitId, WaitIdOptions, waitid};

use super::Engine;
use super::options::CommitOptions;
use super::root::mount_points;
use crate::container::events;
use crate::container::files::Files;
use crate::container::record::Record;
use crate::container::state::{Condition, State, is_paused};
use crate::digest::ImageId;
use crate::error::{Context, Result};
use crate::healthcheck::Healthcheck;
use crate::image::{Commit, ContainerConfig, Form, ImageStore, instruction};
use crate::raw;
use crate::reference::Reference;
use crate::runtime::cgroup::freezer;
use crate::store;
use crate::sys;
use crate::sys::clone::{Child, Flags, Fork, clone3};

impl Engine {
    /// Makes the image. Returns its id, or `None` if the root was written to a file.
    pub fn commit(&self, options: &CommitOptions) -> Result<Option<ImageId>> {
        let record = self.record(&options.container)?;
        let committed = self.commit_record(&record, options);
        self.unless_gone(&record.id, &options.container, committed)
    }

    fn commit_record(&self, record: &Record, options: &CommitOptions) -> Result<Option<ImageId>> {
        let mut config = self.defaults_of(record)?;
        instruction::apply(&mut config, &options.changes)?;
        let frozen = match self.condition(record)? {
            Condition::Running(state) if options.pause => match self.hold(record, &state) {
                // The container has just exited, so there is nothing to freeze.
                Err(_) if self.is_ending(&state) => None,
                held => held?,
            },
            _ => None,
        };
        if frozen.is_none() {
            return self.commit_held(record, options, config);
        }
        self.note(&[events::of(record, "pause", &[])]);
        let committed = self.commit_held(record, options, config);
        drop(frozen);
        self.note(&[events::of(record, "unpause", &[])]);
        committed
    }

    /// Commits the container. If the container runs, its processes are frozen, unless the user gave
    /// `--pause=false`.
    fn commit_held(
        &self,
        record: &Record,
        options: &CommitOptions,
        config: ContainerConfig,
    ) -> Result<Option<ImageId>> {
        if let Some(file) = &options.output {
            return self.export_root(record, Some(file)).map(|()| None);
        }
        // Hold the lock of a stopped container, so that it cannot start until its changes are read.
        let _stopped = self.stopped_or_running(record)?;
        let images = ImageStore::open(&self.roots);
        // An image that was removed by force is not found. A container on a directory has no image.
        let base = match &*record.image_id {
            Some(id) => images.find(&(*id).into())?,
            None => None,
        };
        let (files, form, left_out, top_changed) = match &record.rootfs {
            Some(directory) => {
                (raw::path(directory).into(), Form::Plain, mount_points(record), false)
            }
            None => {
                let diff = self.compare(record, &mut |_| Ok(()))?;
                let upper = Files::new(&self.roots, &record.id).upper();
                (upper, Form::Layer, diff.left_out, diff.top_changed)
            }
        };
        let files = store::open_dir(&files)?;
        let commit = Commit {
            base: base.as_ref(),
            config,
            created_by: raw::utf8("command", &record.args().join(" "))?,
            author: options.author.clone(),
            message: options.message.clone(),
            reference: options.image.as_ref(),
            top_changed,
        };
        let skip = |path: &[u8]| left_out.iter().any(|left_out| left_out == path);
        let id = images
            .commit_changes(commit, files.as_fd(), form, &skip)
            .context(|| format!("commit container {}", record.name))?;
        let name = options.image.as_ref().map(Reference::familiar).unwrap_or_default();
        if !name.is_empty() {
            self.note_image("tag", &id.into(), &name);
        }
        let image = id.to_string();
        let facts = [("comment", &*options.message), ("imageID", &image), ("imageRef", &name)];
        self.note(&[events::of(record, "commit", &facts)]);
        Ok(Some(id))
    }

    /// Returns the config of the new image: the config with which this container was created.
    fn defaults_of(&self, record: &Record) -> Result<ContainerConfig> {
        let images = ImageStore::open(&self.roots);
        let base = match &*record.image_id {
            Some(id) => images.resolve(&(*id).into())?,
            None => None,
        };
        let base = base.map(|image| image.config.config).unwrap_or_default();
        // Records of older versions also have the variables that `run` adds. Leave out these
        // variables.
        let hostname = format!("HOSTNAME={}", record.hostname);
        let added = |pair: &String| {
            (*pair == hostname || (record.streams.tty && pair == "TERM=xterm"))
                && !base.env.contains(pair)
        };
        // An image's config must be UTF-8 (OCI image spec).
        let some = |words: &[String]| -> Result<Option<Vec<String>>> {
            let words = words.iter().map(|word| raw::utf8("argument", word));
            let words = words.collect::<Result<Vec<_>>>()?;
            Ok(Some(words).filter(|words| !words.is_empty()))
        };
        let mut volumes = base.volumes;
        for mount in record.mounts.iter().filter(|mount| mount.anonymous) {
            let target = raw::utf8("volume", &mount.target)?;
            if !volumes.contains(&target) {
                volumes.push(target);
            }
        }
        let is_default = base.stop_signal.is_none() && record.stop_signal.is_default();
        let healthcheck = record.health.as_ref().map(|health| -> Result<_> {
            let test = health.check.test.iter().map(|word| raw::utf8("argument", word));
            Ok(Healthcheck { test: test.collect::<Result<_>>()?, ..health.check.clone() })
        });
        let env = record.env.iter().filter(|pair| pair.contains('=') && !added(pair));
        Ok(ContainerConfig {
            env: env.map(|pair| raw::utf8("variable", pair)).collect::<Result<_>>()?,
            cmd: some(&record.command)?,
            entrypoint: some(&record.entrypoint)?,
            working_dir: raw::utf8("working directory", &record.cwd)?,
            user: raw::utf8("user", record.user.name.as_deref().unwrap_or_default())?,
            stop_signal: (!is_default).then(|| record.stop_signal.to_string()),
            volumes,
            labels: record.labels.clone(),
            exposed_ports: record.exposed_ports(),
            healthcheck: healthcheck.transpose()?,
            shell: base.shell,
            on_build: base.on_build,
        })
    }
}

/// A container whose processes are frozen. The pipe closes when this value is dropped or this
/// process is killed. Then a child process thaws the container.
struct Frozen {
    pipe: Option<OwnedFd>,
    thawer: Child,
}

impl Engine {
    /// Freezes the container's processes. Returns `None` if `pause` or another commit has frozen
    /// them: then `unpause` or that commit thaws them.
    fn hold(&self, record: &Record, state: &State) -> Result<Option<Frozen>> {
        let files = Files::new(&self.roots, &record.id);
        let (parent, id) = (&record.cgroup_parent, &record.id);
        if freezer::is_frozen(&state.cgroups, parent, id)? {
            return Ok(None);
        }
        let (read, pipe) = pipe_with(PipeFlags::CLOEXEC).context(|| "make a pipe")?;
        let thawer = match clone3(Flags::default(), None).context(|| "clone a process")? {
            Fork::Child => {
                drop(pipe);
                // Leave the session: Ctrl+C for the parent must not end this process.
                let _ = rustix::process::setsid();
                // This read returns when the parent's end of the pipe is closed.
                let _ = rustix::io::read(&read, &mut [0; 1]);
                // A container that `pause` has frozen in between stays frozen.
                let thawed = if is_paused(&files, state) {
                    Ok(())
                } else {
                    freezer::thaw(&state.cgroups, parent, id)
                };
                sys::exec::exit_now(u8::from(thawed.is_err()))
            }
            Fork::Parent(thawer) => thawer,
        };
        let frozen = Frozen { pipe: Some(pipe), thawer };
        freezer::freeze(&state.cgroups, parent, id)
            .context(|| format!("pause container {}", record.name))?;
        Ok(Some(frozen))
    }
}

impl Drop for Frozen {
    fn drop(&mut self) {
        self.pipe = None;
        let _ = waitid(WaitId::PidFd(self.thawer.pidfd.as_fd()), WaitIdOptions::EXITED);
    }
}
