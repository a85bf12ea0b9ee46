//! The instructions that make a layer: RUN and WORKDIR here, COPY and ADD in `add`.
//!
//! RUN runs in a container of its own, the others change the root of the image. Each makes an image of
//! the state and its layer, which the next one starts from.

use std::os::fd::BorrowedFd;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use super::copy::make_directories;
use super::dockerfile::Step;
use super::dockerfile::instruction::{Command, Run};
use super::dockerfile::lexer::{Heredoc, heredoc_start};
use super::steps::{Build, PROXIES, State, interrupted};
use crate::engine::options::{CreateOptions, HealthOptions, MountKind, MountOption};
use crate::engine::step::{Ended, StepImage};
use crate::error::{Context, Error, Result, fail};
use crate::image::digest::ImageId;
use crate::image::instruction::variable;
use crate::path::clean;
use crate::raw;
use crate::store::remove_tree;

/// Where a step finds the heredocs that begin with `#!`, as with BuildKit. `/dev` is in no layer.
const SCRIPTS: &str = "/dev/pipes";
/// Their directory in the workplace.
const SCRIPTS_DIR: &str = "scripts";

impl Build<'_> {
    pub(super) fn run_step(
        &self,
        state: &mut State,
        run: &Run,
        text: &str,
        title: &dyn Fn() -> String,
    ) -> Result<()> {
        if !run.mounts.is_empty() {
            fail!("RUN --mount is not supported yet; COPY the files, or use `run -v` and `commit`");
        }
        let Some(image) = state.image else {
            fail!("the image is empty, so nothing in it can run; COPY a program first")
        };
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
        for pair in &self.options.arguments {
            let name = pair.split('=').next().unwrap_or_default();
            if PROXIES.contains(&name.to_ascii_uppercase().as_str()) && !env.contains(pair) {
                env.push(pair.clone());
            }
        }
        used.sort_unstable();
        let mut created_by = command.join(" ");
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
        let mut options = CreateOptions {
            image: image.to_string(),
            command: encode(&command),
            entrypoint: Some(String::new()),
            env: encode(&env),
            user: Some(config.user.clone()),
            workdir: Some(cwd.unwrap_or("/").to_owned()),
            mounts: config.volumes.iter().map(|path| volume(path)).collect(),
            networks: network.into_iter().collect(),
            health: HealthOptions { disabled: true, ..HealthOptions::default() },
            ..CreateOptions::default()
        };
        if let Some(script) = script {
            options.mounts.push(self.write_script(script)?);
        }
        let vertex = self.report.begin(&format!("{} {text}", title()));
        let ran = self.engine.run_step(self.place, &options, &|data| vertex.output(data));
        remove_tree(&self.place.dir.join(SCRIPTS_DIR))?;
        let (name, ended) = ran?;
        let failure = match ended {
            Ended::Exited(0) => None,
            Ended::Exited(code) => Some(Error::new(format!(
                "the command '{}' returned the exit status {code}; look into the image before it \
                 with: mydocker run --rm -it {} sh",
                created_by.lines().next().unwrap_or_default(),
                image.short()
            )).exit_with(code)),
            Ended::Signalled(signal) => Some(interrupted(signal)),
        };
        if let Some(error) = failure {
            self.engine.drop_container(self.place, &name)?;
            vertex.failed(&error.to_string());
            return Err(error);
        }
        state.add(created_by);
        let step = StepImage { base: state.image.as_ref(), config: &state.config, latest: None };
        let committed = self.engine.commit_container(&name, &step);
        self.engine.drop_container(self.place, &name)?;
        self.settle(state, committed?)?;
        vertex.done();
        Ok(())
    }

    /// Writes a heredoc with `#!` to a directory of the workplace; returns the mount that shows it.
    fn write_script(&self, script: &Heredoc) -> Result<MountOption> {
        let directory = self.place.make_dir(SCRIPTS_DIR)?;
        let path = directory.join(&script.name);
        let written = std::fs::write(&path, &script.content)
            .and_then(|()| std::fs::set_permissions(&path, PermissionsExt::from_mode(0o755)));
        written.context(|| format!("write {}", path.display()))?;
        let mut mount = MountOption::new(MountKind::Bind, SCRIPTS.to_owned());
        mount.source = raw::encode(directory.as_os_str().as_encoded_bytes());
        mount.read_only = true;
        Ok(mount)
    }

    /// The image that a step made is what the next one starts from.
    pub(super) fn settle(&self, state: &mut State, id: ImageId) -> Result<()> {
        state.config = self.engine.image_store().get(&id)?.config;
        state.image = Some(id);
        Ok(())
    }

    pub(super) fn workdir(
        &self,
        state: &mut State,
        path: &str,
        step: &Step,
        title: &dyn Fn() -> String,
    ) -> Result<()> {
        let path = absolute(&state.config.config.working_dir, path);
        state.config.config.working_dir.clone_from(&path);
        let vertex = self.report.begin(&format!("{} {}", title(), step.text));
        state.add(format!("{} #(nop) WORKDIR {path}", state.shell().join(" ")));
        let image = StepImage { base: state.image.as_ref(), config: &state.config, latest: None };
        let edit = |root: BorrowedFd<'_>| make_directories(root, Path::new(&path), (0, 0));
        let id = self.engine.edit_image(self.place, &image, &edit)?;
        self.settle(state, id)?;
        vertex.done();
        Ok(())
    }
}

/// The heredoc that is a program of its own, because it begins with `#!` and the command is nothing else.
fn script(run: &Run) -> Option<&Heredoc> {
    let Command::Shell(line) = &run.command else { return None };
    let first = run.heredocs.first().filter(|heredoc| heredoc.content.starts_with("#!"));
    first.filter(|_| heredoc_start(line).is_some())
}

/// The line for the shell, with the heredocs that belong to it.
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

/// What a later step writes into a VOLUME is dropped, as by Docker.
fn volume(path: &str) -> MountOption {
    MountOption::new(MountKind::Volume, absolute("/", path))
}

/// An absolute path without `.` and `..`; a relative one is taken from `directory`.
pub(super) fn absolute(directory: &str, path: &str) -> String {
    if path.starts_with('/') { clean(path) } else { clean(&format!("{directory}/{path}")) }
}
