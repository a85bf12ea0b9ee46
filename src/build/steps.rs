//! Carries out the instructions of a stage, one after the other.
//!
//! An instruction that changes only the config (ENV, CMD …) changes `State`. The modules `layers`
//! and `add` carry out RUN, COPY, ADD and WORKDIR, which make layers. The history has the texts of
//! Docker's classic builder: `/bin/sh -c #(nop)  ENV A=1` for an instruction that makes no layer.

use std::cell::{Cell, RefCell};

use super::dockerfile::instruction::{Command, Instruction};
use super::dockerfile::{Dockerfile, Mistake, Place, Step};
use super::plan::{self, Base};
use super::report::{Report, Vertex};
use super::{ContextKind, Directory, EPOCH, NamedContext, Options};
use crate::digest::ImageId;
use crate::engine::Engine;
use crate::engine::emulation::runs;
use crate::engine::registry::PullRequest;
use crate::engine::step::Workplace;
use crate::error::{Context, Error, Result, fail};
use crate::image::Image;
use crate::image::cache::CacheEntry;
use crate::image::config::{History, ImageConfig};
use crate::image::instruction::{ports, push_new, variable};
use crate::image::platform::Platform;
use crate::image_name::ImageName;
use crate::order;
use crate::reference::Reference;
use crate::runtime::DEFAULT_PATH;
use crate::suggest::hint;
use crate::sys::signal::Signal;
use crate::time::Instant;
use crate::words::Expander;

const PROXIES: [&str; 5] = ["HTTP_PROXY", "HTTPS_PROXY", "FTP_PROXY", "NO_PROXY", "ALL_PROXY"];

/// The result of a stage's instructions up to now.
#[derive(Clone, Default)]
pub struct State {
    /// The image from which the stage, or the lowest stage under it, starts. `None` for `scratch`.
    pub base: Option<ImageId>,
    /// The image's config with the layers up to now. The history in the config has no times yet for
    /// the steps that changed only the config.
    pub config: ImageConfig,
    /// True if the stage takes no layer from the cache (`--no-cache`, `--no-cache-filter`).
    pub is_fresh: bool,
    /// The ARGs of the stage that have a value: name and value.
    pub arguments: Vec<(String, String)>,
    /// True if the stage itself has a CMD. Otherwise ENTRYPOINT drops the base's CMD.
    pub has_command: bool,
}

/// A running build: its inputs and what it has made up to now.
pub struct Build<'a> {
    pub engine: &'a Engine,
    pub options: &'a Options,
    /// The build's temporary directory and draft of layers.
    pub place: &'a Workplace,
    pub context: &'a Directory,
    /// `--build-context`
    pub contexts: &'a [NamedContext],
    pub dockerfile: &'a Dockerfile,
    pub report: &'a Report<'a>,
    /// SOURCE_DATE_EPOCH, in seconds since 1970.
    pub epoch: Option<i64>,
    /// `--platform`
    pub platform: Option<Platform>,
    /// The start of the build.
    pub started: Instant,
    /// The stages that are complete: number and state.
    pub results: Vec<(usize, State)>,
    /// The cache entries of the steps that the build ran or took from the cache.
    pub used: RefCell<Vec<CacheEntry>>,
    /// The state before the RUN whose command failed. Other failures leave no state.
    pub failed: RefCell<Option<State>>,
    /// The names of the images that were pulled because the build needed their ONBUILD
    /// instructions.
    pub pulled: RefCell<Vec<String>>,
}

impl Build<'_> {
    /// Builds the stages that the target needs. Returns the target's state.
    pub fn run(&mut self) -> Result<State> {
        let globals = self.global_arguments().map_err(|mistake| self.complain(mistake))?;
        let known = |name: &str| self.global(&globals, name);
        let images =
            plan::images(self.dockerfile, &known).map_err(|mistake| self.complain(mistake))?;
        let given = plan::platforms(self.dockerfile, &known);
        let given = given.map_err(|mistake| self.complain(mistake))?;
        let mut bases: Vec<Base> = Vec::new();
        for (at, (image, given)) in images.into_iter().zip(given).enumerate() {
            // If FROM names another stage and has no `--platform`, use that stage's platform.
            let inherited = || match plan::base(self.dockerfile, &image, at) {
                Some(base) => bases[base].platform.clone(),
                None => self.platform.clone(),
            };
            let platform = given.or_else(inherited);
            bases.push(Base { image, platform });
        }
        let triggers = |at: usize| self.triggers(&bases, at);
        let target = self.options.target.as_deref();
        let stages = plan::stages(self.dockerfile, &bases, target, &triggers)
            .map_err(|mistake| self.complain(mistake))?;
        for (at, _) in &stages {
            let stage = &self.dockerfile.stages[*at];
            let runs = |step: &Step| matches!(step.instruction, Instruction::Run(_));
            if let Some(platform) = &bases[*at].platform
                && stage.steps.iter().any(runs)
            {
                check_emulation(platform)
                    .map_err(|error| self.complain(Mistake { place: stage.from.place, error }))?;
            }
        }
        if let Err(error) = self.stages(&stages, &bases, &globals) {
            return Err(self.with_image(error));
        }
        let last = stages.last().map(|(at, _)| *at);
        let target = self.results.iter().find(|(at, _)| Some(*at) == last);
        let mut state = target.map(|(_, state)| state.clone()).unwrap_or_default();
        state.set_times(self.epoch.map(|_| self.now()));
        Ok(state)
    }

    /// Returns the ONBUILD steps of a stage's base, for the plan. If the base image must be pulled,
    /// pulls it now. Returns no steps for stage 0: no stage precedes stage 0, so its steps cannot
    /// name a stage.
    fn triggers(&self, bases: &[Base], at: usize) -> Result<Vec<Step>> {
        let Base { image, platform } = &bases[at];
        let texts: Vec<String> = match plan::base(self.dockerfile, image, at) {
            _ if at == 0 || image == "scratch" => Vec::new(),
            Some(base) => {
                let steps = self.dockerfile.stages[base].steps.iter();
                let triggers = steps.filter_map(|step| match &step.instruction {
                    Instruction::Onbuild(trigger) => Some(trigger.clone()),
                    _ => None,
                });
                triggers.collect()
            }
            None => match self.here(image, platform.as_ref())? {
                Presence::Local(image) => image.config.config.on_build,
                Presence::NeedsPull(_) => {
                    let title = format!("[internal] load metadata for {image}");
                    let found = self
                        .report
                        .step(&title, |vertex| self.base_image(image, platform.as_ref(), vertex))?;
                    self.pulled.borrow_mut().push(image.clone());
                    found.config.config.on_build
                }
            },
        };
        let parse =
            |text: &String| Dockerfile::parse_trigger(text).context(|| format!("ONBUILD {text}"));
        texts.iter().map(parse).collect()
    }

    /// Returns the names of `--build-arg` that no ARG declares and that are not predefined. The
    /// ARGs of an ONBUILD are known only after the stage was built.
    pub fn unused_arguments(&self) -> Vec<&str> {
        let mut declared: Vec<&(String, Option<String>)> =
            self.dockerfile.arguments.iter().collect();
        for step in self.dockerfile.stages.iter().flat_map(|stage| &stage.steps) {
            if let Instruction::Arg(pairs) = &step.instruction {
                declared.extend(pairs);
            }
        }
        let is_declared = |name: &str| {
            declared.iter().any(|(known, _)| known == name)
                || self.results.iter().any(|(_, state)| look_up(&state.arguments, name).is_some())
        };
        let given = self.options.arguments.iter();
        let names = given.map(|pair| pair.split('=').next().unwrap_or_default());
        names.filter(|name| !is_declared(name) && !is_predefined(name)).collect()
    }

    /// Makes an image of the state before a failed step. Adds the command that runs this image to
    /// the step's error.
    fn with_image(&self, error: Error) -> Error {
        let Some(state) = self.failed.take() else { return error };
        // Report the step's failure, not a failure to make the image.
        let Ok(image) = self.image_before_failure(&state) else { return error };
        let image = image.short();
        let hint =
            format!("look into the image before this step with: mydocker run --rm -it {image} sh");
        Error::new(format!("{error}; {hint}"))
    }

    /// Prints the lines of a mistake and the lines around them. Returns the mistake's error.
    fn complain(&self, mistake: Mistake) -> Error {
        self.report.text(&self.dockerfile.source.excerpt(mistake.place));
        self.dockerfile.source.error(mistake)
    }

    fn given(&self, name: &str) -> Option<String> {
        variable(name, &self.options.arguments)
    }

    /// The value of an argument before the first FROM: one of `globals`, or a predefined one.
    fn global(&self, globals: &[(String, String)], name: &str) -> Option<String> {
        look_up(globals, name).or_else(|| predefined(self.platform.as_ref(), name))
    }

    fn global_arguments(&self) -> Result<Vec<(String, String)>, Mistake> {
        let mut globals = Vec::new();
        for (name, default) in &self.dockerfile.arguments {
            let known = |name: &str| self.global(&globals, name);
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

    /// Builds the stage `at` on its base. `globals` are the values of the ARGs before the first
    /// FROM.
    pub(super) fn stage(
        &self,
        at: usize,
        base: &Base,
        globals: &[(String, String)],
    ) -> Result<State> {
        let stage = &self.dockerfile.stages[at];
        let makes = |step: &&Step| {
            matches!(
                step.instruction,
                Instruction::Run(_) | Instruction::Copy(_) | Instruction::Workdir(_)
            )
        };
        let mut count = 1 + stage.steps.iter().filter(makes).count();
        let title = match (&stage.name, self.dockerfile.stages.len()) {
            (Some(name), _) => format!("{name} "),
            (None, 1) => String::new(),
            (None, _) => format!("stage-{at} "),
        };
        let from = format!("[{title}1/{count}] FROM {}", base.image);
        let mut state = self
            .report
            .step(&from, |vertex| self.begin_stage(at, base, vertex))
            .map_err(|error| self.complain(Mistake { place: stage.from.place, error }))?;
        let triggers = std::mem::take(&mut state.config.config.on_build);
        let steps = triggers.iter().filter_map(|text| Dockerfile::parse_trigger(text).ok());
        count += steps.filter(|step| makes(&step)).count();
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
            self.step(&mut state, step, globals, &title, at)
                .map_err(|error| self.complain(Mistake { place: step.place, error }))?;
        }
        Ok(state)
    }

    fn begin_stage(&self, at: usize, base: &Base, vertex: &Vertex<'_>) -> Result<State> {
        let image = base.image.as_str();
        if let Some(base) = plan::base(self.dockerfile, image, at)
            && let Some((_, state)) = self.results.iter().find(|(known, _)| *known == base)
        {
            let mut state = state.clone();
            (state.arguments, state.has_command) = (Vec::new(), false);
            state.is_fresh = self.is_fresh(at);
            return Ok(state);
        }
        let mut state = State { is_fresh: self.is_fresh(at), ..State::default() };
        if image == "scratch" {
            let wanted = base.platform.clone().unwrap_or_else(Platform::native);
            state.config.architecture = wanted.architecture;
            state.config.os = "linux".to_owned();
        } else {
            let found = self.base_image(image, base.platform.as_ref(), vertex)?;
            if !self.engine.image_store().need_layers(&self.place.draft, &found.config.diff_ids)? {
                fail!("the image '{image}' lacks a layer; load or pull it again");
            }
            (state.base, state.config) = (Some(found.id), found.config);
        }
        let env = &mut state.config.config.env;
        if variable("PATH", env).is_none() {
            env.push(format!("PATH={DEFAULT_PATH}"));
        }
        Ok(state)
    }

    /// Returns the `--build-context` of this name. Upper and lower case are the same, and so are
    /// the names of the same image, such as `a` and `docker.io/library/a:latest`.
    pub fn named_context(&self, name: &str) -> Option<&ContextKind> {
        let name = name.to_ascii_lowercase();
        let image = Reference::parse(&name).ok();
        let is_same = |context: &&NamedContext| {
            context.name == name || image.is_some() && Reference::parse(&context.name).ok() == image
        };
        self.contexts.iter().find(is_same).map(|context| &context.kind)
    }

    /// Returns the directory that `--from` names; without `--from`, the build context. Returns
    /// `None` if `--from` names a stage or an image.
    pub fn directory(&self, from: Option<&str>) -> Option<&Directory> {
        let Some(from) = from else { return Some(self.context) };
        match self.named_context(from) {
            Some(ContextKind::Directory(directory)) => Some(directory),
            _ => None,
        }
    }

    /// Returns the image of a FROM or --from for a platform. Pulls the image if it is not local, or
    /// if it is for another architecture. With `--pull`, also pulls the image if `triggers` has not
    /// pulled it. A local image that is named by id is never pulled.
    pub fn base_image(
        &self,
        image: &str,
        platform: Option<&Platform>,
        vertex: &Vertex<'_>,
    ) -> Result<Image> {
        let reason = match self.here(image, platform)? {
            Presence::Local(image) => return Ok(*image),
            Presence::NeedsPull(reason) => reason,
        };
        let name = self.image_name(image)?;
        if let Some(reference) = name.reference() {
            let platform = platform.cloned();
            let request = PullRequest { platform, ..PullRequest::of(reference.clone()) };
            vertex.note(&format!("pull {name}"));
            let pulled = self.engine.pull_apart(&request, &|_| ()).context(|| reason);
            // A stage with a similar name may be meant.
            let stages = self.dockerfile.stages.iter().filter_map(|stage| stage.name.as_deref());
            let stages = stages.filter(|stage| *stage != image);
            pulled.map_err(|error| Error::new(format!("{error}{}", hint(image, stages))))?;
        }
        match self.engine.image_store().resolve(&name)? {
            Some(image) => Ok(image),
            None => fail!("no such image: '{name}'; pull, load or import it first"),
        }
    }

    /// Looks for the image among the local images. Fails if an image that is named by id is for
    /// another architecture, because no registry can supply an image by its id.
    fn here(&self, image: &str, platform: Option<&Platform>) -> Result<Presence> {
        let name = self.image_name(image)?;
        let Some(here) = self.engine.image_store().resolve(&name)? else {
            return Ok(Presence::NeedsPull(format!("no such image here: '{name}'")));
        };
        // A registry does not know an image by its id, so an id is never pulled.
        let is_id = name.reference().is_none() || here.id.hex().starts_with(name.typed());
        let offered = here.config.platform();
        if let Some(wanted) = platform
            && !offered.architecture.is_empty()
            && offered.architecture != wanted.architecture
        {
            let reason = format!("the image '{name}' here is for {offered}, not for {wanted}");
            return if is_id { Err(Error::new(reason)) } else { Ok(Presence::NeedsPull(reason)) };
        }
        let is_pulled = self.pulled.borrow().iter().any(|pulled| pulled == image);
        if self.options.pull && !is_id && !is_pulled {
            return Ok(Presence::NeedsPull(format!("pull '{name}'")));
        }
        Ok(Presence::Local(Box::new(here)))
    }

    /// Returns the image that a FROM or --from names, with `--build-context` applied.
    fn image_name(&self, image: &str) -> Result<ImageName> {
        match self.named_context(image) {
            Some(ContextKind::Image(other)) => Ok(other.clone()),
            Some(ContextKind::Directory(..)) => {
                fail!("the build context '{image}' is a directory, and FROM needs an image")
            }
            None => image.parse(),
        }
    }

    /// Reports whether `--no-cache` or `--no-cache-filter` is set for the stage.
    fn is_fresh(&self, at: usize) -> bool {
        let named = |name: &String| plan::find(self.dockerfile, name, at + 1) == Some(at);
        self.options.no_cache || self.options.no_cache_stages.iter().any(named)
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
        let known = |name: &str| {
            let proxy = || self.given(name).filter(|_| is_proxy(name));
            variable(name, &env).or_else(|| look_up(&arguments, name)).or_else(proxy)
        };
        let expander = Expander { escape: self.dockerfile.escape, variable: &known };
        let word = |text: &String| expander.word(text);
        match &step.instruction {
            Instruction::From { .. } => fail!("FROM begins a stage"),
            Instruction::Run(run) => self.run_step(state, run, &expander, step, title, at)?,
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
                    let inherited = || self.global(globals, name);
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
                let mut words = expander.words(text)?;
                order::sort(&mut words);
                for word in &words {
                    for port in ports(word)? {
                        push_new(&mut state.config.config.exposed_ports, port);
                    }
                }
                state.note(&format!("EXPOSE {}", words.join(" ")));
            }
            Instruction::Volume(paths) => {
                let paths = expander.each(paths)?;
                if paths.iter().any(String::is_empty) {
                    fail!("VOLUME: a path is empty");
                }
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
}

impl State {
    /// The program and arguments of SHELL, or `/bin/sh -c`. They precede a command in shell form.
    pub fn shell(&self) -> Vec<String> {
        self.config.config.shell_or_default()
    }

    /// Returns the program and arguments that execute a command.
    pub fn words(&self, command: &Command) -> Vec<String> {
        match command {
            Command::Exec(words) => words.clone(),
            Command::Shell(line) => [self.shell(), vec![line.clone()]].concat(),
        }
    }

    /// Adds to the history an instruction that makes no layer.
    pub fn note(&mut self, text: &str) {
        self.add(format!("{} #(nop)  {text}", self.shell().join(" ")));
    }

    /// Adds a step to the history, without a time. [`State::add_step`] sets the time of a layer's
    /// step, and [`State::set_times`] those of the other steps. The steps of `--label` have no
    /// time.
    fn add(&mut self, created_by: String) {
        self.config.history.push(History {
            created: None,
            created_by,
            author: self.config.author.clone(),
            comment: String::new(),
            empty_layer: true,
        });
    }

    /// Adds a step to the history. If the step made a layer, adds the layer to the image's layers.
    pub fn add_step(&mut self, created_by: &str, entry: &CacheEntry) {
        self.add(created_by.to_owned());
        if let Some(step) = self.config.history.last_mut() {
            (step.created, step.empty_layer) = (Some(entry.created), entry.layer.is_none());
        }
        self.config.diff_ids.extend(entry.layer);
    }

    /// Gives a time to each step that changed only the config, as BuildKit does, so that the same
    /// cached steps make the same image. The time is that of the last layer before the step. But
    /// the first such step and those directly after it get the time of the next layer, if there is
    /// one, even if the build has a layer before them. With `all`, each step of the build gets the
    /// time `all`.
    fn set_times(&mut self, all: Option<Instant>) {
        let history = &mut self.config.history;
        let new = history.iter().position(|step| step.created.is_none());
        let new = new.unwrap_or(history.len());
        let first = history[new..].iter().find_map(|step| step.created);
        let before = history[..new].iter().rev().find_map(|step| step.created);
        let mut time = all.or(first).or(before).unwrap_or_else(Instant::now);
        for step in &mut history[new..] {
            time = all.or(step.created).unwrap_or(time);
            step.created = Some(time);
        }
        let last = history.last().and_then(|step| step.created);
        self.config.created = all.or(last).or(Some(time));
    }
}

/// Replaces the value of `name`, or appends the pair if the name is new.
pub fn set_pair(pairs: &mut Vec<(String, String)>, name: &str, value: &str) {
    match pairs.iter_mut().find(|(known, _)| known == name) {
        Some((_, known)) => value.clone_into(known),
        None => pairs.push((name.to_owned(), value.to_owned())),
    }
}

/// Whether the local image of a FROM can be used.
enum Presence {
    Local(Box<Image>),
    /// The image must be pulled. The text is the reason.
    NeedsPull(String),
}

fn look_up(pairs: &[(String, String)], name: &str) -> Option<String> {
    pairs.iter().find(|(known, _)| known == name).map(|(_, value)| value.clone())
}

/// Returns the value of a predefined platform argument such as `TARGETARCH` or `BUILDOS`. `target`
/// is the value of `--platform`.
fn predefined(target: Option<&Platform>, name: &str) -> Option<String> {
    let native = || Platform { variant: String::new(), ..Platform::native() };
    let (platform, part) = match name.strip_prefix("TARGET") {
        Some(part) => (target.cloned().unwrap_or_else(native), part),
        None => (native(), name.strip_prefix("BUILD")?),
    };
    match part {
        "PLATFORM" => Some(platform.to_string()),
        "OS" => Some(platform.os),
        "ARCH" => Some(platform.architecture),
        "VARIANT" => Some(platform.variant),
        _ => None,
    }
}

/// Fails if this machine can run no program of `platform`, neither natively nor by an emulator in
/// binfmt_misc.
pub fn check_emulation(platform: &Platform) -> Result<()> {
    if !runs(platform) {
        let native = Platform { variant: String::new(), ..Platform::native() };
        fail!(
            "RUN for {platform} needs an emulator, because this machine runs {native}: register \
             qemu-user with binfmt_misc, flag F (Debian: qemu-user-static and binfmt-support)"
        );
    }
    Ok(())
}

/// Reports whether `name` is a proxy variable. A RUN gets such a variable of `--build-arg` even if
/// no ARG declares the variable. In that case the history leaves it out.
pub fn is_proxy(name: &str) -> bool {
    PROXIES.contains(&name.to_ascii_uppercase().as_str())
}

/// Reports whether `name` needs no ARG: the builder gives no warning if a `--build-arg` or a FROM
/// uses it. Of these names, only a proxy and SOURCE_DATE_EPOCH get the value of `--build-arg`
/// without an ARG.
pub fn is_predefined(name: &str) -> bool {
    is_proxy(name)
        || predefined(None, name).is_some()
        || name == EPOCH
        || name.starts_with("BUILDKIT_")
}

/// Returns the list as Go's `%q` prints it, apart from some escapes.
fn quoted(words: &[String]) -> String {
    let words: Vec<String> = words.iter().map(|word| format!("{word:?}")).collect();
    format!("[{}]", words.join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The times that BuildKit writes: `normalizeLayersAndHistory` in its
    /// exporter/containerimage/writer.go.
    #[test]
    fn steps_without_a_layer_get_the_times_of_layers() {
        for (steps, times) in [
            (&[Some(1), None][..], &[1, 1][..]),
            (&[None, Some(1), None], &[1, 1, 1]),
            (&[Some(1), None, None, Some(2), None, Some(3)], &[1, 2, 2, 2, 2, 3]),
        ] {
            let mut state = State::default();
            for &step in steps {
                state.note("STEP");
                state.config.history.last_mut().unwrap().created = step.map(Instant);
            }
            state.set_times(None);
            let set = state.config.history.iter().map(|step| step.created.unwrap().0);
            assert!(set.eq(times.iter().copied()), "{steps:?}");
            assert_eq!(state.config.created, times.last().copied().map(Instant));
        }
    }
}
