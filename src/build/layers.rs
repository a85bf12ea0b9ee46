//! RUN and WORKDIR, which make a layer. `add` has COPY and ADD, which make a layer too.
//!
//! Each RUN gets its own container. WORKDIR makes a directory in the root that the layers below
//! form. `cached` adds the new layer to the state from which the next step starts.

use std::cell::RefCell;
use std::os::fd::BorrowedFd;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use super::cached::{LayerStep, MadeLayer, new_key};
use super::copy::make_directories;
use super::dockerfile::Step;
use super::dockerfile::instruction::{Command, Run};
use super::dockerfile::lexer::{Heredoc, heredoc_start};
use super::report::Vertex;
use super::steps::{Build, State, check_emulation, is_proxy};
use crate::digest::{Digest, ImageId};
use crate::engine::options::{
    CreateOptions, EndpointOption, HealthOptions, MountKind, MountOption, NamedUser,
};
use crate::error::{Context, Error, Result, fail};
use crate::image::instruction::variable;
use crate::order;
use crate::path::clean;
use crate::raw;
use crate::store::remove_tree;
use crate::words::Expander;

/// The directory in the container with the heredocs that start with `#!`, as with BuildKit. `/dev`
/// is a tmpfs, so the directory is in no layer.
const SCRIPTS: &str = "/dev/pipes";
/// The directory in the workplace with the heredocs that start with `#!`.
const SCRIPTS_DIR: &str = "scripts";

impl Build<'_> {
    /// Runs RUN: adds a layer with the changes of the command, or takes the layer from the cache.
    /// Fails if the image is empty or the command fails.
    pub(super) fn run_step(
        &self,
        state: &mut State,
        run: &Run,
        expander: &Expander<'_>,
        step: &Step,
        title: &dyn Fn() -> String,
        at: usize,
    ) -> Result<()> {
        if state.config.diff_ids.is_empty() {
            fail!("the image is empty, so nothing in it can run; COPY a program first");
        }
        let platform = state.config.platform();
        if !platform.architecture.is_empty() {
            check_emulation(&platform)?;
        }
        let script = script(run);
        let command = match &run.command {
            _ if let Some(script) = script => vec![format!("{SCRIPTS}/{}", script.name)],
            Command::Exec(words) => words.clone(),
            Command::Shell(line) => state.words(&Command::Shell(with_heredocs(line, run))),
        };
        let config = &state.config.config;
        let mut env = config.env.clone();
        let mut used = Vec::new();
        for (name, value) in &state.arguments {
            if variable(name, &env).is_none() {
                env.push(format!("{name}={value}"));
                used.push(format!("{name}={value}"));
            }
        }
        order::sort(&mut used);
        let line = command.join(" ");
        let mut created_by = line.clone();
        if !used.is_empty() {
            created_by = format!("|{} {} {created_by}", used.len(), used.join(" "));
        }
        if let Some(script) = script {
            created_by = format!("{created_by}\n{}", script.content);
        }
        let encode = |words: &[String]| -> Vec<String> {
            words.iter().map(|word| raw::encode(word.as_bytes())).collect()
        };
        let cwd = Some(config.working_dir.as_str()).filter(|cwd| !cwd.is_empty());
        let network = run.network.clone().or_else(|| self.options.network.clone());
        let network = network.filter(|network| network != "default");
        let mut key = self.key(state, "RUN");
        key.add_all("command", &command);
        key.add_all("env", &env);
        key.add("user", &config.user);
        key.add("workdir", &config.working_dir);
        key.add_all("volumes", &config.volumes);
        key.add("network", network.as_deref().unwrap_or_default());
        let mut options = CreateOptions {
            command: encode(&command),
            entrypoint: Some(String::new()),
            env: encode(&env),
            user: NamedUser { name: Some(config.user.clone()).into(), ..NamedUser::default() },
            workdir: Some(cwd.unwrap_or("/").to_owned()),
            mounts: config.volumes.iter().map(|path| volume(path)).collect(),
            networks: network
                .iter()
                .map(|mode| Ok(EndpointOption::new(mode.parse()?)))
                .collect::<Result<_>>()?,
            health: HealthOptions { disabled: true, ..HealthOptions::default() },
            ..CreateOptions::default()
        };
        key.add("script", script.map_or("", |script| script.content.as_str()));
        // As with Docker's classic builder, limits and hosts are not part of the key.
        let given = &self.options.container;
        options.resources = given.resources.clone();
        options.limits.clone_from(&given.limits);
        options.add_hosts.clone_from(&given.add_hosts);
        options.cgroup_parent.clone_from(&given.cgroup_parent);
        options.shm_size = given.shm_size;
        let mounts = self.run_mounts(state, &run.mounts, expander, at, &mut key)?;
        for pair in &self.options.arguments {
            let name = pair.split('=').next().unwrap_or_default();
            if is_proxy(name) && !env.contains(pair) {
                options.env.push(raw::encode(pair.as_bytes()));
            }
        }
        let before = state.clone();
        let options = RefCell::new(options);
        let make = |vertex: &Vertex<'_>| {
            // This closure is called once, so it may take the options.
            let mut options = options.take();
            if let Some(script) = script {
                options.mounts.push(self.write_script(script)?);
            }
            let made = mounts.make().and_then(|mounted| {
                options.mounts.extend(mounted.mounts.iter().cloned());
                options.env.extend(mounted.variables.iter().cloned());
                let layer = self.run_container(&before, options, &line, vertex)?;
                // A bind mount may show the context itself. If the context changed during the step,
                // it is unknown which version the step read, so the layer gets a key that no step
                // has.
                let is_known = mounts.are_as_before()?;
                let other = (!is_known).then(|| (new_key(), created_by.clone()));
                Ok(MadeLayer { layer, other, has_changed: !is_known })
            });
            self.clear_mounts(run.mounts.len())?;
            remove_tree(&self.place.dir.join(SCRIPTS_DIR))?;
            made
        };
        let step = LayerStep {
            title: title(),
            text: &step.text,
            created_by: created_by.clone(),
            key: key.digest(),
            content: None,
            make: &make,
        };
        self.layer_step(state, &step)
    }

    /// Runs the container of a step and returns the layer of its changes. Returns `None` if the
    /// step changed no file; fails if the command's exit status is not 0.
    fn run_container(
        &self,
        state: &State,
        options: CreateOptions,
        command: &str,
        vertex: &Vertex<'_>,
    ) -> Result<Option<Digest>> {
        let layers = &state.config.diff_ids;
        let output = |data: &[u8]| vertex.output(data);
        let layer = match self.engine.run_step(self.place, layers, options, &output)? {
            0 => self.engine.commit_container(self.place, self.epoch),
            code => {
                let command = command.lines().next().unwrap_or_default();
                let text = format!("the command '{command}' returned the exit status {code}");
                *self.failed.borrow_mut() = Some(state.clone());
                Err(Error::new(text))
            }
        };
        self.engine.drop_container(self.place)?;
        layer
    }

    /// Makes an image of the state before the failed step. The user can run this image to find the
    /// cause.
    pub(super) fn image_before_failure(&self, state: &State) -> Result<ImageId> {
        self.engine.image_store().publish(&self.place.draft, self.started)?;
        self.engine.keep_failed(state.base.as_ref(), &state.config)
    }

    /// Writes a heredoc with `#!` to a directory of the workplace. Returns the bind mount of that
    /// directory.
    fn write_script(&self, script: &Heredoc) -> Result<MountOption> {
        let directory = self.place.make_dir(SCRIPTS_DIR)?;
        let path = directory.join(&script.name);
        let written = std::fs::write(&path, &script.content)
            .and_then(|()| std::fs::set_permissions(&path, PermissionsExt::from_mode(0o755)));
        written.context(|| format!("write {}", path.display()))?;
        let mut mount = MountOption::new(MountKind::Bind, SCRIPTS.to_owned());
        mount.source = Some(raw::encode_path(&directory));
        mount.read_only = true;
        Ok(mount)
    }

    /// Runs WORKDIR: sets the working directory, and adds a layer if the directory does not exist.
    pub(super) fn workdir(
        &self,
        state: &mut State,
        path: &str,
        step: &Step,
        title: &dyn Fn() -> String,
    ) -> Result<()> {
        if path.is_empty() {
            fail!("WORKDIR: the path is empty");
        }
        let path = absolute(&state.config.config.working_dir, path);
        state.config.config.working_dir.clone_from(&path);
        let mut key = self.key(state, "WORKDIR");
        key.add("path", &path);
        let layers = state.config.diff_ids.clone();
        let edit =
            |root: BorrowedFd<'_>| make_directories(root, Path::new(&path), (0, 0)).map(|()| None);
        let step = LayerStep {
            title: title(),
            text: &step.text,
            created_by: format!("{} #(nop) WORKDIR {path}", state.shell().join(" ")),
            key: key.digest(),
            content: None,
            make: &|_| {
                let edited = self.engine.edit_layers(self.place, &layers, self.epoch, &edit);
                edited.map(|(layer, _)| MadeLayer { layer, other: None, has_changed: false })
            },
        };
        self.layer_step(state, &step)
    }
}

/// Returns the heredoc that is executed as a program: one that starts with `#!` and is the whole
/// command.
fn script(run: &Run) -> Option<&Heredoc> {
    let Command::Shell(line) = &run.command else { return None };
    let first = run.heredocs.first().filter(|heredoc| heredoc.content.starts_with("#!"));
    first.filter(|_| heredoc_start(line).is_some())
}

/// Returns the line for the shell with its heredocs. If the command is only a heredoc, the line is
/// the heredoc's content.
fn with_heredocs(line: &str, run: &Run) -> String {
    let Some(first) = run.heredocs.first() else { return line.to_owned() };
    if heredoc_start(line).is_some() {
        return first.content.clone();
    }
    let mut full = line.to_owned();
    for heredoc in &run.heredocs {
        full.push_str(&format!("\n{}{}", heredoc.raw, heredoc.name));
    }
    full + "\n"
}

/// Returns the mount of an anonymous volume on a path of an earlier VOLUME. The step's changes
/// there are dropped with the volume, as with Docker's classic builder; BuildKit keeps them.
fn volume(path: &str) -> MountOption {
    MountOption::new(MountKind::Volume, absolute("/", path))
}

/// Returns an absolute path without `.` and `..`. A relative path is resolved from `directory`.
pub(super) fn absolute(directory: &str, path: &str) -> String {
    if path.starts_with('/') { clean(path) } else { clean(&format!("{directory}/{path}")) }
}
