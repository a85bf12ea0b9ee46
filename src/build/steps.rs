//! The instructions of the stages, one after the other.
//!
//! An instruction that changes only the config (ENV, CMD …) changes `State`. RUN, COPY, ADD and WORKDIR
//! make an image of the state and their layer. The history is the one that Docker's classic builder
//! writes: `/bin/sh -c #(nop)  ENV A=1` for an instruction without a command.

use std::cell::Cell;
use std::os::fd::BorrowedFd;
use std::path::Path;

use super::Options;
use super::context::Tree;
use super::copy::{Copying, make_directories};
use super::dockerfile::instruction::{Command, Copy, Instruction, Run};
use super::dockerfile::lexer::heredoc_start;
use super::dockerfile::{Dockerfile, Mistake, Place, Step};
use super::ignore::Ignore;
use super::plan;
use super::report::Report;
use crate::engine::Engine;
use crate::engine::options::{CreateOptions, HealthOptions, MountKind, MountOption};
use crate::engine::step::{Ended, StepImage, Workplace};
use crate::error::{Context, Error, Result, fail};
use crate::image::config::{History, ImageConfig, native_architecture};
use crate::image::digest::ImageId;
use crate::image::instruction::{ports, push_new, variable};
use crate::raw;
use crate::sys::signal::Signal;
use crate::time::Instant;
use crate::words::Expander;

const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// Arguments that need no ARG; they are in no history.
const PROXIES: [&str; 5] = ["HTTP_PROXY", "HTTPS_PROXY", "FTP_PROXY", "NO_PROXY", "ALL_PROXY"];

/// What the instructions of a stage made so far.
#[derive(Clone, Default)]
pub struct State {
    /// The image of the last step that made a layer.
    pub image: Option<ImageId>,
    pub config: ImageConfig,
    /// ARGs of the stage that have a value.
    arguments: Vec<(String, String)>,
    /// The stage has a CMD of its own.
    has_command: bool,
}

/// One build.
pub struct Build<'a> {
    pub engine: &'a Engine,
    pub options: &'a Options,
    pub place: &'a Workplace,
    pub context: BorrowedFd<'a>,
    pub ignore: &'a Ignore,
    pub dockerfile: &'a Dockerfile,
    pub report: &'a Report<'a>,
    /// The stages that are built.
    pub results: Vec<(usize, State)>,
}

impl Build<'_> {
    /// Builds what the target needs; returns the target's state.
    pub fn run(&mut self) -> Result<State> {
        let globals = self.global_arguments().map_err(|mistake| self.complain(mistake))?;
        let known = |name: &str| look_up(&globals, name).or_else(|| platform(name));
        let images =
            plan::images(self.dockerfile, &known).map_err(|mistake| self.complain(mistake))?;
        let stages = plan::stages(self.dockerfile, &images, self.options.target.as_deref())
            .map_err(|mistake| self.complain(mistake))?;
        for &at in &stages {
            let state = self.stage(at, &images[at], &globals)?;
            self.results.push((at, state));
        }
        Ok(self.results.pop().map(|(_, state)| state).unwrap_or_default())
    }

    /// Shows a mistake in its place; returns its error.
    fn complain(&self, mistake: Mistake) -> Error {
        self.report.text(&self.dockerfile.source.excerpt(mistake.place));
        self.dockerfile.source.error(mistake)
    }

    fn given(&self, name: &str) -> Option<String> {
        variable(name, &self.options.arguments)
    }

    fn global_arguments(&self) -> Result<Vec<(String, String)>, Mistake> {
        let mut globals = Vec::new();
        for (name, default) in &self.dockerfile.arguments {
            let known = |name: &str| look_up(&globals, name).or_else(|| platform(name));
            let expander = Expander { escape: self.dockerfile.escape, variable: &known };
            let place = Place { first: 1, last: 1 };
            let default = default.as_ref().map(|text| expander.word(text)).transpose();
            let default = default.map_err(|error| Mistake { place, error })?;
            if let Some(value) = self.given(name).or(default) {
                set_pair(&mut globals, name, &value);
            }
        }
        Ok(globals)
    }

    fn stage(&self, at: usize, image: &str, globals: &[(String, String)]) -> Result<State> {
        let stage = &self.dockerfile.stages[at];
        let makes = |step: &&Step| {
            matches!(
                step.instruction,
                Instruction::Run(_) | Instruction::Copy(_) | Instruction::Workdir(_)
            )
        };
        let count = 1 + stage.steps.iter().filter(makes).count();
        let title = match (&stage.name, self.dockerfile.stages.len()) {
            (Some(name), _) => format!("{name} "),
            (None, 1) => String::new(),
            (None, _) => format!("stage-{at} "),
        };
        let vertex = self.report.begin(&format!("[{title}1/{count}] FROM {image}"));
        let begun = self.begin_stage(at, image);
        let mut state =
            begun.map_err(|error| self.complain(Mistake { place: stage.from.place, error }))?;
        vertex.done();
        let triggers = std::mem::take(&mut state.config.config.on_build);
        let number = Cell::new(1);
        let title = || {
            number.set(number.get() + 1);
            format!("[{title}{}/{count}]", number.get())
        };
        for trigger in &triggers {
            let step = Dockerfile::parse_trigger(trigger)
                .and_then(|step| self.step(&mut state, &step, globals, &title, at))
                .context(|| format!("ONBUILD {trigger}"));
            step.map_err(|error| self.complain(Mistake { place: stage.from.place, error }))?;
        }
        for step in &stage.steps {
            if let Some(signal) = self.place.interrupted() {
                return Err(interrupted(signal));
            }
            self.step(&mut state, step, globals, &title, at)
                .map_err(|error| self.complain(Mistake { place: step.place, error }))?;
        }
        Ok(state)
    }

    fn begin_stage(&self, at: usize, image: &str) -> Result<State> {
        if let Some(wanted) = &self.dockerfile.stages[at].platform
            && !wanted.contains('$')
        {
            let native = format!("linux/{}", native_architecture());
            if !wanted.starts_with(&native) {
                fail!("--platform={wanted}: this machine builds for {native} only");
            }
        }
        let is_number = image.parse::<usize>().is_ok();
        if let Some(base) = plan::find(self.dockerfile, image, at).filter(|_| !is_number)
            && let Some((_, state)) = self.results.iter().find(|(known, _)| *known == base)
        {
            let mut state = state.clone();
            (state.arguments, state.has_command) = (Vec::new(), false);
            return Ok(state);
        }
        let mut state = State::default();
        if image == "scratch" {
            state.config.architecture = native_architecture().to_owned();
            state.config.os = "linux".to_owned();
        } else {
            let Some(found) = self.engine.image_store().resolve(image)? else {
                fail!("no such image: '{image}'; pull, load or import it first");
            };
            (state.image, state.config) = (Some(found.id), found.config);
        }
        let env = &mut state.config.config.env;
        if variable("PATH", env).is_none() {
            env.push(format!("PATH={DEFAULT_PATH}"));
        }
        Ok(state)
    }

    fn step(
        &self,
        state: &mut State,
        step: &Step,
        globals: &[(String, String)],
        title: &dyn Fn() -> String,
        at: usize,
    ) -> Result<()> {
        let env = state.config.config.env.clone();
        let arguments = state.arguments.clone();
        let known = |name: &str| variable(name, &env).or_else(|| look_up(&arguments, name));
        let expander = Expander { escape: self.dockerfile.escape, variable: &known };
        let word = |text: &String| expander.word(text);
        match &step.instruction {
            Instruction::From { .. } => fail!("FROM begins a stage"),
            Instruction::Run(run) => self.run_step(state, run, &step.text, title)?,
            Instruction::Copy(copy) => self.copy(state, copy, &expander, step, title, at)?,
            Instruction::Workdir(path) => self.workdir(state, &word(path)?, step, title)?,
            Instruction::Arg(pairs) => {
                let mut text = "ARG".to_owned();
                for (name, default) in pairs {
                    let default = default.as_ref().map(word).transpose()?;
                    text.push_str(&format!(" {name}"));
                    if let Some(default) = &default {
                        text.push_str(&format!("={default}"));
                    }
                    let inherited = || look_up(globals, name).or_else(|| platform(name));
                    if let Some(value) = self.given(name).or(default).or_else(inherited) {
                        set_pair(&mut state.arguments, name, &value);
                    }
                }
                state.note(&text);
            }
            Instruction::Env(pairs) => {
                let mut text = "ENV".to_owned();
                for (name, value) in pairs {
                    let (name, value) = (word(name)?, word(value)?);
                    text.push_str(&format!(" {name}={value}"));
                    let env = &mut state.config.config.env;
                    let pair = format!("{name}={value}");
                    match env.iter_mut().find(|known| known.split('=').next() == Some(&name)) {
                        Some(known) => *known = pair,
                        None => env.push(pair),
                    }
                }
                state.note(&text);
            }
            Instruction::Label(pairs) => {
                let mut text = "LABEL".to_owned();
                for (name, value) in pairs {
                    let (name, value) = (word(name)?, word(value)?);
                    text.push_str(&format!(" {name}={value}"));
                    set_pair(&mut state.config.config.labels, &name, &value);
                }
                state.note(&text);
            }
            Instruction::Expose(text) => {
                let words = expander.words(text)?;
                for word in &words {
                    for port in ports(word)? {
                        push_new(&mut state.config.config.exposed_ports, port);
                    }
                }
                state.note(&format!("EXPOSE {}", words.join(" ")));
            }
            Instruction::Volume(paths) => {
                let paths = paths.iter().map(word).collect::<Result<Vec<_>>>()?;
                for path in &paths {
                    push_new(&mut state.config.config.volumes, path.clone());
                }
                state.note(&format!("VOLUME [{}]", paths.join(" ")));
            }
            Instruction::User(user) => {
                state.config.config.user = word(user)?;
                state.note(&format!("USER {}", state.config.config.user));
            }
            Instruction::Stopsignal(signal) => {
                let signal = word(signal)?;
                if Signal::parse(&signal).is_none() {
                    fail!("'{signal}' is no signal");
                }
                state.note(&format!("STOPSIGNAL {signal}"));
                state.config.config.stop_signal = Some(signal);
            }
            Instruction::Maintainer(name) => {
                state.config.author.clone_from(name);
                state.note(&format!("MAINTAINER {name}"));
            }
            Instruction::Onbuild(trigger) => {
                state.config.config.on_build.push(trigger.clone());
                state.note(&format!("ONBUILD {trigger}"));
            }
            Instruction::Shell(words) => {
                state.config.config.shell = Some(words.clone());
                state.note(&format!("SHELL [{}]", words.join(" ")));
            }
            Instruction::Healthcheck(check) => {
                state.note(step.text.trim());
                state.config.config.healthcheck = Some(check.clone());
            }
            Instruction::Cmd(command) => {
                let words = state.words(command);
                state.note(&format!("CMD {}", quoted(&words)));
                (state.config.config.cmd, state.has_command) = (Some(words), true);
            }
            Instruction::Entrypoint(command) => {
                let words = state.words(command);
                state.note(&format!("ENTRYPOINT {}", quoted(&words)));
                state.config.config.entrypoint = Some(words);
                if !state.has_command {
                    state.config.config.cmd = None;
                }
            }
        }
        Ok(())
    }

    fn run_step(
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

    fn workdir(
        &self,
        state: &mut State,
        path: &str,
        step: &Step,
        title: &dyn Fn() -> String,
    ) -> Result<()> {
        let path = normal(&state.config.config.working_dir, path);
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

    fn copy(
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
        let mut destination = normal(&state.config.config.working_dir, &given);
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
            let overrides =
                crate::image::copy::Overrides { owner: Some((0, 0)), mode, ..Default::default() };
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
                opened.push(super::context::open_directory(directory)?);
            }
            use std::os::fd::AsFd;
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
            crate::store::remove_tree(directory)?;
        }
        self.settle(state, edited?)?;
        vertex.done();
        Ok(())
    }

    /// The files of COPY's heredocs, in a directory of the workplace.
    fn heredocs(&self, copy: &Copy, expander: &Expander<'_>) -> Result<Option<std::path::PathBuf>> {
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
    fn source_image(&self, from: &str, at: usize) -> Result<crate::image::Image> {
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

impl State {
    fn shell(&self) -> Vec<String> {
        let default = || vec!["/bin/sh".to_owned(), "-c".to_owned()];
        self.config.config.shell.clone().unwrap_or_else(default)
    }

    fn words(&self, command: &Command) -> Vec<String> {
        match command {
            Command::Exec(words) => words.clone(),
            Command::Shell(line) => [self.shell(), vec![line.clone()]].concat(),
        }
    }

    /// Adds an instruction without a layer to the history.
    fn note(&mut self, text: &str) {
        self.add(format!("{} #(nop)  {text}", self.shell().join(" ")));
    }

    fn add(&mut self, created_by: String) {
        self.config.created = Some(Instant::now());
        self.config.history.push(History {
            created: self.config.created,
            created_by,
            author: self.config.author.clone(),
            comment: String::new(),
            empty_layer: true,
        });
    }
}

/// Puts a value in the place of the one with this name, or at the end.
pub fn set_pair(pairs: &mut Vec<(String, String)>, name: &str, value: &str) {
    match pairs.iter_mut().find(|(known, _)| known == name) {
        Some((_, known)) => value.clone_into(known),
        None => pairs.push((name.to_owned(), value.to_owned())),
    }
}

fn look_up(pairs: &[(String, String)], name: &str) -> Option<String> {
    pairs.iter().find(|(known, _)| known == name).map(|(_, value)| value.clone())
}

/// The predefined arguments of the platform, all this machine's.
fn platform(name: &str) -> Option<String> {
    match name {
        "TARGETPLATFORM" | "BUILDPLATFORM" => Some(format!("linux/{}", native_architecture())),
        "TARGETOS" | "BUILDOS" => Some("linux".to_owned()),
        "TARGETARCH" | "BUILDARCH" => Some(native_architecture().to_owned()),
        "TARGETVARIANT" | "BUILDVARIANT" => Some(String::new()),
        _ => None,
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
    MountOption {
        kind: MountKind::Volume,
        source: String::new(),
        target: normal("/", path),
        read_only: false,
        tmpfs_options: String::new(),
        no_copy: false,
        unmapped: false,
        make_source: false,
        propagation: Default::default(),
        recursion: Default::default(),
        subpath: String::new(),
        labels: Vec::new(),
    }
}

/// An absolute path without `.` and `..`, relative ones below `directory`.
fn normal(directory: &str, path: &str) -> String {
    let whole = if path.starts_with('/') { path.to_owned() } else { format!("{directory}/{path}") };
    let mut parts: Vec<&str> = Vec::new();
    for part in whole.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    format!("/{}", parts.join("/"))
}

/// As Go's %q prints a list.
fn quoted(words: &[String]) -> String {
    let words: Vec<String> = words.iter().map(|word| format!("{word:?}")).collect();
    format!("[{}]", words.join(" "))
}

fn interrupted(signal: Signal) -> Error {
    let code = u8::try_from(128 + signal.number()).unwrap_or(u8::MAX);
    Error::new(format!("the build was interrupted by {signal}")).exit_with(code)
}
