//! The instructions that make a layer: RUN, COPY, ADD and WORKDIR.
//!
//! RUN runs in a container of its own, the others change the root of the image. Each makes an image of
//! the state and its layer, which the next one starts from.

use std::os::fd::{AsFd, BorrowedFd};
use std::path::{Path, PathBuf};

use super::context::{Tree, open_directory};
use super::copy::{Copying, make_directories};
use super::dockerfile::Step;
use super::dockerfile::instruction::{Command, Copy, Run};
use super::dockerfile::lexer::heredoc_start;
use super::ignore::Ignore;
use super::plan;
use super::steps::{Build, State, interrupted};
use crate::engine::options::{CreateOptions, HealthOptions, MountKind, MountOption};
use crate::engine::step::{Ended, StepImage};
use crate::error::{Context, Error, Result, fail};
use crate::image::Image;
use crate::image::copy::Overrides;
use crate::image::digest::ImageId;
use crate::image::instruction::variable;
use crate::path::clean;
use crate::raw;
use crate::store::remove_tree;
use crate::words::Expander;

/// Arguments that need no ARG; they are in no history.
const PROXIES: [&str; 5] = ["HTTP_PROXY", "HTTPS_PROXY", "FTP_PROXY", "NO_PROXY", "ALL_PROXY"];

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
        let command = match &run.command {
            Command::Exec(words) => words.clone(),
            Command::Shell(line) => state.words(&Command::Shell(with_heredocs(line, run)?)),
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
        let encode = |words: &[String]| -> Vec<String> {
            words.iter().map(|word| raw::encode(word.as_bytes())).collect()
        };
        let cwd = Some(config.working_dir.as_str()).filter(|cwd| !cwd.is_empty());
        let network = run.network.clone().or_else(|| self.options.network.clone());
        let network = network.filter(|network| network != "default");
        let options = CreateOptions {
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
        let vertex = self.report.begin(&format!("{} {text}", title()));
        let (name, ended) =
            self.engine.run_step(self.place, &options, &|data| vertex.output(data))?;
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

    /// The image that a step made is what the next one starts from.
    fn settle(&self, state: &mut State, id: ImageId) -> Result<()> {
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

    pub(super) fn copy(
        &self,
        state: &mut State,
        copy: &Copy,
        expander: &Expander<'_>,
        step: &Step,
        title: &dyn Fn() -> String,
        at: usize,
    ) -> Result<()> {
        let word = |text: &String| expander.word(text);
        let sources = copy.sources.iter().map(word).collect::<Result<Vec<_>>>()?;
        if copy.parents || copy.checksum.is_some() {
            fail!("--parents and --checksum are not supported yet");
        }
        for source in sources.iter().filter(|_| copy.is_add) {
            if source.contains("://") || source.starts_with("git@") {
                fail!("ADD of the remote '{source}' is not supported yet; RUN a download instead");
            }
        }
        let mode = copy.chmod.as_ref().map(word).transpose()?;
        let mode = mode.map(|text| match u32::from_str_radix(&text, 8) {
            Ok(mode @ ..=0o7777) => Ok(mode),
            _ => fail!("bad --chmod={text}; it is an octal number such as 755"),
        });
        let mode = mode.transpose()?;
        let chown = copy.chown.as_ref().map(word).transpose()?;
        let given = word(&copy.destination)?;
        let mut destination = absolute(&state.config.config.working_dir, &given);
        let is_slashed = given.ends_with('/') || given == "." || given.ends_with("/.");
        if (is_slashed || sources.len() + copy.heredocs.len() > 1 && given == "/")
            && !destination.ends_with('/')
        {
            destination.push('/');
        }
        let (heredocs, heredoc_ignore) = (self.heredocs(copy, expander)?, Ignore::default());
        let excludes = Ignore::of_patterns(&copy.excludes).context(|| "--exclude")?;
        let from = copy.from.as_ref().map(word).transpose()?;
        let from = from.as_deref().map(|from| self.source_image(from, at)).transpose()?;
        let vertex = self.report.begin(&format!("{} {}", title(), step.text));
        let keyword = if copy.is_add { "ADD" } else { "COPY" };
        let owner = chown.as_ref().map(|owner| format!("--chown={owner} ")).unwrap_or_default();
        let context = Tree { root: self.context, ignore: self.ignore };
        let what = if from.is_none() && heredocs.is_none() {
            let mut found = Vec::new();
            for source in &sources {
                found.extend(context.find(source)?);
            }
            let overrides = Overrides { owner: Some((0, 0)), mode, ..Default::default() };
            let kind = match found.as_slice() {
                [one] if !one.is_directory => "file",
                [_] => "dir",
                _ => "multi",
            };
            format!("{kind}:{}", context.digest(&found, &excludes, overrides)?.hex())
        } else {
            sources.join(" ")
        };
        state.add(format!(
            "{} #(nop) {keyword} {owner}{what} in {destination} ",
            state.shell().join(" ")
        ));
        let edit = |root: BorrowedFd<'_>| {
            let mut opened = Vec::new();
            if let Some(from) = &from {
                opened.push(self.engine.image_root(from)?);
            }
            if let Some(directory) = &heredocs {
                opened.push(open_directory(directory)?);
            }
            let tree = || match (&from, opened.first()) {
                (Some(_), Some(root)) => Tree { root: root.as_fd(), ignore: &heredoc_ignore },
                _ => Tree { root: self.context, ignore: self.ignore },
            };
            let mut copying = Copying {
                tree: tree(),
                sources: Vec::new(),
                excludes: excludes.clone(),
                destination: destination.clone(),
                chown: chown.clone(),
                mode,
                unpacks: copy.is_add && copy.unpack != Some(false),
            };
            for source in &sources {
                copying.sources.extend(copying.tree.find(source)?);
            }
            copying.run(root)?;
            if let Some(directory) = opened.last().filter(|_| heredocs.is_some()) {
                let tree = Tree { root: directory.as_fd(), ignore: &heredoc_ignore };
                copying.sources = tree.find("*")?;
                (copying.tree, copying.unpacks) = (tree, false);
                copying.run(root)?;
            }
            Ok(())
        };
        let image = StepImage { base: state.image.as_ref(), config: &state.config, latest: None };
        let edited = self.engine.edit_image(self.place, &image, &edit);
        if let Some(directory) = &heredocs {
            remove_tree(directory)?;
        }
        self.settle(state, edited?)?;
        vertex.done();
        Ok(())
    }

    /// The files of COPY's heredocs, in a directory of the workplace.
    fn heredocs(&self, copy: &Copy, expander: &Expander<'_>) -> Result<Option<PathBuf>> {
        if copy.heredocs.is_empty() {
            return Ok(None);
        }
        let directory = self.place.make_dir("heredocs")?;
        for heredoc in &copy.heredocs {
            let mut content = heredoc.content.clone();
            if heredoc.expands {
                // Quotes are plain characters in a heredoc.
                let escaped = content.replace('\'', "\\'").replace('"', "\\\"");
                content = expander.word(&escaped)?;
            }
            let path = directory.join(&heredoc.name);
            std::fs::write(&path, content).context(|| format!("write {}", path.display()))?;
        }
        Ok(Some(directory))
    }

    /// The image of `--from`: a stage, or otherwise a local image.
    fn source_image(&self, from: &str, at: usize) -> Result<Image> {
        let images = self.engine.image_store();
        if let Some(stage) = plan::find(self.dockerfile, from, at)
            && let Some((_, state)) = self.results.iter().find(|(known, _)| *known == stage)
        {
            return match &state.image {
                Some(id) => images.get(id),
                None => fail!("--from={from}: the stage has no files"),
            };
        }
        match images.resolve(from)? {
            Some(image) => Ok(image),
            None => fail!("--from={from} is no stage above and no local image"),
        }
    }
}

/// The line for the shell, with the heredocs that belong to it.
fn with_heredocs(line: &str, run: &Run) -> Result<String> {
    let Some(first) = run.heredocs.first() else { return Ok(line.to_owned()) };
    if heredoc_start(line).is_some() {
        if first.content.starts_with("#!") {
            fail!("a heredoc with '#!' is not supported yet; COPY the script and RUN it");
        }
        return Ok(first.content.clone());
    }
    let mut full = line.to_owned();
    for heredoc in &run.heredocs {
        full.push_str(&format!("\n{}{}", heredoc.raw, heredoc.name));
    }
    Ok(full + "\n")
}

/// What a later step writes into a VOLUME is dropped, as by Docker.
fn volume(path: &str) -> MountOption {
    MountOption::new(MountKind::Volume, absolute("/", path))
}

/// An absolute path without `.` and `..`; a relative one is taken from `directory`.
fn absolute(directory: &str, path: &str) -> String {
    if path.starts_with('/') { clean(path) } else { clean(&format!("{directory}/{path}")) }
}
