//! `build`: makes an image from a Dockerfile and a set of files (the build context).
//!
//! This layer is between `cli` and `engine`. `dockerfile` parses the Dockerfile, and `ignore`
//! parses `.dockerignore`. `plan` chooses the stages, `steps` carries out their instructions, and
//! `cached` takes the layers of steps from the cache. A RUN uses a container of the engine, as
//! `run` does. Remote build contexts and other frontends are not supported.

mod add;
mod cached;
mod check;
mod context;
mod copy;
pub mod dockerfile;
pub mod exchange;
pub mod ignore;
mod input;
mod layers;
mod mounts;
pub mod output;
mod plan;
pub mod report;
mod stages;
mod steps;
mod worker;

use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use crate::digest::ImageId;
use crate::engine::Engine;
use crate::engine::options::CreateOptions;
use crate::error::{Context, Error, Result, fail};
use crate::image::Reference;
use crate::image::instruction::variable;
use crate::image::platform::Platform;
use crate::image_name::ImageName;
use crate::store::remove_file;
use crate::time::Instant;
use context::open_context;
use dockerfile::Dockerfile;
use ignore::Ignore;
use input::{Input, read_ignore, read_input};
pub use mounts::Secret;
#[cfg(feature = "compose")]
pub use mounts::SecretSource;
use output::Output;
use report::Report;
pub use worker::build;

/// The variable with the time of a reproducible build (reproducible-builds.org).
const EPOCH: &str = "SOURCE_DATE_EPOCH";

/// The options of a build. Docker's documentation of `docker build` describes most of them.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// A directory, an archive, or `-` for stdin, which has a Dockerfile or an archive.
    pub context: String,
    /// `-f`: a path, or `-` for stdin.
    pub file: Option<String>,
    /// The text of a Dockerfile, instead of a file.
    pub inline: Option<String>,
    /// `--tag`: the names that the image gets.
    pub names: Vec<Reference>,
    /// `--build-arg`, each as `NAME=value`.
    pub arguments: Vec<String>,
    /// `--target`: the name or number of the stage to build; `None` is the last one.
    pub target: Option<String>,
    /// `--label`: names and values.
    pub labels: Vec<(String, String)>,
    /// `--annotation`: names and values for the manifest of an archive.
    pub annotations: Vec<(String, String)>,
    /// `--iidfile`: the file that gets the image's id.
    pub id_file: Option<PathBuf>,
    /// `--network`: the network of RUN steps without a `--network` of their own.
    pub network: Option<String>,
    /// The resource limits, process limits, extra hosts, cgroup parent and size of /dev/shm of the
    /// containers of RUN steps. Other options are ignored.
    pub container: CreateOptions,
    /// `--build-context`: names, each with a directory or `docker-image://NAME`.
    pub contexts: Vec<(String, String)>,
    /// `--output`. If it is empty, the image is added to the local images.
    pub outputs: Vec<Output>,
    /// `--metadata-file`: the file that gets the image's id and names as JSON.
    pub metadata_file: Option<PathBuf>,
    /// `--squash`: merge the layers that the build makes into one.
    pub squash: bool,
    /// `--cache-from`: directories to read cache entries from.
    pub cache_from: Vec<PathBuf>,
    /// `--cache-to`: directories to write cache entries to.
    pub cache_to: Vec<PathBuf>,
    /// `--pull`: pull base images even if they are local. An image that is named by id is never
    /// pulled.
    pub pull: bool,
    /// `--platform`: the platform of base images whose FROM has no `--platform`. With `None`, a
    /// local image may have any platform, and a pull asks for this machine's platform, which
    /// `scratch` then has too.
    pub platform: Option<Platform>,
    /// `--no-cache`: take no layer from the cache.
    pub no_cache: bool,
    /// `--no-cache-filter`: take no layer of these stages from the cache.
    pub no_cache_stages: Vec<String>,
    /// `--secret`: the secrets that RUN steps may mount.
    pub secrets: Vec<Secret>,
}

impl Options {
    /// Returns the names of the image: those of `--tag` and of `--output`.
    pub fn all_names(&self) -> impl Iterator<Item = &Reference> {
        let named = self.outputs.iter().filter_map(|output| match output {
            Output::Image(name) => name.as_ref(),
            _ => None,
        });
        self.names.iter().chain(named)
    }
}

/// Builds the image. The build's child process calls this. Returns the image's id, or `None` if no
/// output keeps the image.
fn build_here(engine: &Engine, options: &Options, report: &Report<'_>) -> Result<Option<ImageId>> {
    let names: Vec<Reference> = options.all_names().cloned().collect();
    let is_archive = |output: &Output| matches!(output, Output::Archive(..));
    if !options.annotations.is_empty() && !options.outputs.iter().any(is_archive) {
        fail!(
            "--annotation: a local image has no manifest to annotate; write an archive with \
             -o type=oci,dest=FILE, or use --label"
        );
    }
    options.secrets.iter().try_for_each(Secret::check)?;
    // A failed build must not leave the id of an earlier build.
    if let Some(file) = &options.id_file
        && file.symlink_metadata().is_ok_and(|metadata| metadata.is_file())
    {
        remove_file(file)?;
    }
    let place = engine.begin_build()?;
    let Input { context, name, text, ignore } = read_input(&place, options)?;
    let mut dockerfile = Dockerfile::parse(&name, &text).map_err(|(source, mistake)| {
        report.text(&source.excerpt(mistake.place));
        source.error(mistake)
    })?;
    if let Some(syntax) = &dockerfile.syntax
        && !syntax.starts_with("docker/dockerfile")
    {
        report.text(&format!("note: the frontend {syntax} is not used: mydocker reads the file\n"));
    }
    if check::is_fatal(&dockerfile) {
        let text = warnings_of(engine, &dockerfile, &ignore);
        if !text.is_empty() {
            report.text(&text.join("\n"));
            fail!("{name} says check=error=true, and has {}", count(text.len()));
        }
    }
    let contexts = open_contexts(&options.contexts)?;
    // As with BuildKit, a build context replaces the stage of the same name.
    for stage in &mut dockerfile.stages {
        stage.name = stage.name.take().filter(|name| !contexts.iter().any(|c| c.name == *name));
    }
    let unpacked = place.dir.join("context");
    let path = if unpacked.is_dir() { unpacked } else { absolute(&options.context)? };
    let context = Directory { root: context, path, ignore };
    let mut build = steps::Build {
        engine,
        options,
        place: &place,
        context: &context,
        contexts: &contexts,
        dockerfile: &dockerfile,
        report,
        epoch: epoch(&options.arguments)?,
        platform: options.platform.clone(),
        started: Instant::now(),
        results: Vec::new(),
        used: Default::default(),
        failed: Default::default(),
        pulled: Default::default(),
    };
    let built = build.run();
    let unused = build.unused_arguments();
    if !unused.is_empty() {
        let names = unused.join(" ");
        report.text(&format!("[Warning] One or more build-args [{names}] were not consumed\n"));
    }
    // Publish the layers of a failed build too, so that the next build can use them.
    let published = engine.image_store().publish(&place.draft, build.started);
    let mut state = built?;
    // A step that ran may have filled a cache mount.
    if published? && dockerfile.has_cache_mounts() {
        engine.trim_cache_mounts()?;
    }
    if options.squash {
        build.squash(&mut state)?;
        engine.image_store().publish(&place.draft, build.started)?;
    }
    for directory in &options.cache_to {
        report.step("exporting the cache", |_| build.export(directory))?;
    }
    for (key, value) in &options.labels {
        steps::set_pair(&mut state.config.config.labels, key, value);
        state.note(&format!("LABEL {key}={value}"));
    }
    for output in &options.outputs {
        let (title, layers) = ("exporting the files", &state.config.diff_ids);
        match output {
            Output::Directory(path) => {
                report.step(title, |_| engine.export_layers_to(&place, layers, path))?;
            }
            Output::Tar(path) => {
                report.step(title, |_| engine.export_layers(&place, layers, path.as_deref()))?;
            }
            Output::Image(_) | Output::Archive(..) => {}
        }
    }
    let is_kept = options.outputs.is_empty() || options.outputs.iter().any(Output::keeps_image);
    if !is_kept {
        return Ok(None);
    }
    let id: ImageId = report.step("exporting to image", |vertex| {
        let id = engine.finish_build(state.base.as_ref(), &state.config, &names)?;
        vertex.note(&format!("writing image {id} done"));
        for name in &names {
            vertex.note(&format!("naming to {name} done"));
        }
        Ok(id)
    })?;
    for output in &options.outputs {
        if let Output::Archive(format, path) = output {
            let mut saved: Vec<ImageName> = names.iter().cloned().map(Into::into).collect();
            if saved.is_empty() {
                saved.push(id.into());
            }
            report.step("exporting an archive", |_| {
                engine.save(&saved, *format, &options.annotations, path.as_deref())
            })?;
        }
    }
    if let Some(file) = &options.id_file {
        std::fs::write(file, id.to_string())
            .context(|| format!("write --iidfile {}", file.display()))?;
    }
    if let Some(file) = &options.metadata_file {
        std::fs::write(file, metadata(&id, &names))
            .context(|| format!("write --metadata-file {}", file.display()))?;
    }
    Ok(Some(id))
}

/// Checks the Dockerfile without building. Returns the text of the warnings and their number.
pub fn check(engine: &Engine, options: &Options) -> Result<(String, usize)> {
    let place = engine.begin_build()?;
    let Input { name, text, ignore, .. } = read_input(&place, options)?;
    let dockerfile = Dockerfile::parse(&name, &text).map_err(|(source, mistake)| {
        let error = source.error(mistake);
        Error::new(error.to_string())
    })?;
    let warnings = warnings_of(engine, &dockerfile, &ignore);
    let end = match warnings.len() {
        0 => "Check complete, no warnings found.\n".to_owned(),
        number => format!("Check complete, {} found!\n", count(number)),
    };
    Ok((
        warnings.iter().map(|warning| format!("{warning}\n")).collect::<String>() + &end,
        warnings.len(),
    ))
}

fn count(number: usize) -> String {
    if number == 1 { "1 warning".to_owned() } else { format!("{number} warnings") }
}

/// The warnings of the checks, as BuildKit prints them.
fn warnings_of(engine: &Engine, dockerfile: &Dockerfile, ignore: &Ignore) -> Vec<String> {
    let variables = |image: &str| {
        let found = engine.image_store().resolve(&image.parse().ok()?).ok().flatten()?;
        let env = found.config.config.env.iter();
        Some(env.map(|pair| pair.split('=').next().unwrap_or_default().to_owned()).collect())
    };
    let warnings = check::check(dockerfile, ignore, &variables).into_iter();
    let texts = warnings.map(|check::Warning { rule, place, text }| {
        let (page, excerpt) = (check::slug(rule), dockerfile.source.excerpt(place));
        let address = "https://docs.docker.com/go/dockerfile/rule";
        format!("WARNING: {rule} - {address}/{page}/\n{text}\n{excerpt}")
    });
    texts.collect()
}

/// The JSON of `--metadata-file`, with keys that Docker writes too.
fn metadata(id: &ImageId, names: &[Reference]) -> String {
    let names: Vec<String> = names.iter().map(Reference::to_string).collect();
    let quoted = |text: &String| miniserde::json::to_string(text);
    let mut text = format!(
        "{{\n  \"containerimage.config.digest\": \"{id}\",\n  \"containerimage.digest\": \"{id}\""
    );
    if !names.is_empty() {
        text.push_str(&format!(",\n  \"image.name\": {}", quoted(&names.join(","))));
    }
    text + "\n}\n"
}

/// Opens the directories of `--build-context` and parses the image names.
fn open_contexts(given: &[(String, String)]) -> Result<Vec<NamedContext>> {
    let mut contexts = Vec::new();
    for (name, value) in given {
        let kind = match value.strip_prefix("docker-image://") {
            Some(image) => ContextKind::Image(image.parse()?),
            None if value.contains("://") || value.starts_with("git@") => fail!(
                "--build-context {name}={value} is remote; write a directory or docker-image://NAME"
            ),
            None => {
                let root = open_context(Path::new(value))?;
                let ignore = read_ignore(root.as_fd())?;
                ContextKind::Directory(Directory { root, path: absolute(value)?, ignore })
            }
        };
        contexts.push(NamedContext { name: name.to_ascii_lowercase(), kind });
    }
    Ok(contexts)
}

fn absolute(path: &str) -> Result<PathBuf> {
    std::fs::canonicalize(path).context(|| format!("open {path}"))
}

/// A build context that COPY, ADD and mounts read: a directory of the host or an unpacked archive.
pub struct Directory {
    root: OwnedFd,
    /// The path for bind mounts.
    path: PathBuf,
    ignore: Ignore,
}

/// One `--build-context`: its name in lower case, and its directory or image.
pub struct NamedContext {
    name: String,
    kind: ContextKind,
}

enum ContextKind {
    Directory(Directory),
    Image(ImageName),
}

/// Returns SOURCE_DATE_EPOCH of `--build-arg` or of the environment, in seconds since 1970. New
/// steps in the history and copied files of the context get this time. No file of a new layer has a
/// later modification time.
fn epoch(arguments: &[String]) -> Result<Option<i64>> {
    let given = variable(EPOCH, arguments).or_else(|| std::env::var(EPOCH).ok());
    let Some(text) = given.filter(|text| !text.is_empty()) else { return Ok(None) };
    match text.parse() {
        // An `Instant` is an `i64` of nanoseconds, which ends at about 9,223,000,000 seconds.
        Ok(seconds @ 0..=9_000_000_000) => Ok(Some(seconds)),
        _ => fail!("bad {EPOCH} '{text}': it is a number of seconds since 1970"),
    }
}
