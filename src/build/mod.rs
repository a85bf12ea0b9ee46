//! `build`: an image from a Dockerfile and a directory of files.
//!
//! This layer stands between `cli` and `engine`. `dockerfile` reads the language, `ignore` the rules of
//! `.dockerignore`, `plan` chooses the stages, `steps` does the instructions. They run through the
//! engine's own containers and the image store, so that a build can make no file and no process that
//! `run`, `cp` and `commit` can't. `cached` takes the layers of steps from the cache.

mod add;
mod cached;
mod context;
mod copy;
pub mod dockerfile;
pub mod ignore;
mod layers;
mod plan;
pub mod report;
mod steps;

use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, Mode, OFlags, openat};

use crate::engine::Engine;
use crate::engine::step::Workplace;
use crate::error::{Context, Result, fail};
use crate::image::copy::unpack_stream;
use crate::image::digest::ImageId;
use crate::image::{CopyRules, Reference};
use crate::sys::stdio::own_stdin;
use crate::time::Instant;
use context::{open_directory, read_bounded, read_text};
use dockerfile::instruction::Instruction;
use dockerfile::{Dockerfile, MAX_DOCKERFILE};
use ignore::{Ignore, MAX_RULES};
use report::Report;

/// What `build` was asked for.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// A directory, or `-` for stdin: a Dockerfile or an archive.
    pub context: String,
    /// `-f`: a path, or `-` for stdin.
    pub file: Option<String>,
    /// The text of a Dockerfile, instead of a file.
    pub inline: Option<String>,
    pub names: Vec<String>,
    /// `NAME=value`
    pub arguments: Vec<String>,
    pub target: Option<String>,
    pub labels: Vec<(String, String)>,
    pub id_file: Option<PathBuf>,
    pub network: Option<String>,
    /// Nothing is taken from the cache.
    pub no_cache: bool,
    /// Nothing is taken from the cache for these stages.
    pub no_cache_stages: Vec<String>,
}

/// Builds the image; returns its id.
pub fn build(engine: &Engine, options: &Options, report: &Report<'_>) -> Result<String> {
    let names: Vec<Reference> =
        options.names.iter().map(|name| Reference::parse_new(name)).collect::<Result<_>>()?;
    let place = engine.begin_build()?;
    let (context, name, text) = read_input(&place, options)?;
    let dockerfile = Dockerfile::parse(&name, &text).map_err(|(source, mistake)| {
        report.text(&source.excerpt(mistake.place));
        source.error(mistake)
    })?;
    if let Some(syntax) = &dockerfile.syntax
        && !syntax.starts_with("docker/dockerfile")
    {
        report.text(&format!("note: the frontend {syntax} is not used: mydocker reads the file\n"));
    }
    let unused = unused_arguments(&dockerfile, &options.arguments);
    if !unused.is_empty() {
        let names = unused.join(" ");
        report.text(&format!("[Warning] One or more build-args [{names}] were not consumed\n"));
    }
    let ignore = read_ignore(context.as_fd(), &name)?;
    let mut build = steps::Build {
        engine,
        options,
        place: &place,
        context: context.as_fd(),
        ignore: &ignore,
        dockerfile: &dockerfile,
        report,
        epoch: None,
        begun: Instant::now(),
        results: Vec::new(),
    };
    let built = build.run();
    // What a failed build made is of use for the next one.
    let published = engine.image_store().publish(&place.draft, build.begun);
    let mut state = built?;
    published?;
    for (key, value) in &options.labels {
        steps::set_pair(&mut state.config.config.labels, key, value);
        state.note(&format!("LABEL {key}={value}"));
    }
    let vertex = report.begin("exporting to image");
    let id: ImageId = engine.finish_build(state.base.as_ref(), &state.config, &names)?;
    vertex.note(&format!("writing image {id} done"));
    for name in &names {
        vertex.note(&format!("naming to {name} done"));
    }
    vertex.done();
    if let Some(file) = &options.id_file {
        std::fs::write(file, id.to_string())
            .context(|| format!("write --iidfile {}", file.display()))?;
    }
    Ok(id.to_string())
}

/// The names of `--build-arg` that no ARG declares and that are not predefined.
fn unused_arguments<'a>(dockerfile: &Dockerfile, given: &'a [String]) -> Vec<&'a str> {
    let mut declared: Vec<&str> =
        dockerfile.arguments.iter().map(|(name, _)| name.as_str()).collect();
    for step in dockerfile.stages.iter().flat_map(|stage| &stage.steps) {
        if let Instruction::Arg(pairs) = &step.instruction {
            declared.extend(pairs.iter().map(|(name, _)| name.as_str()));
        }
    }
    let names = given.iter().map(|pair| pair.split('=').next().unwrap_or_default());
    names.filter(|name| !declared.contains(name) && !steps::is_predefined(name)).collect()
}

/// The context, and the Dockerfile with its name.
fn read_input(place: &Workplace, options: &Options) -> Result<(OwnedFd, String, String)> {
    let from_stdin = options.file.as_deref() == Some("-");
    let name = options.file.clone().unwrap_or_else(|| "Dockerfile".to_owned());
    if options.context == "-" {
        if from_stdin {
            fail!("-f - and the context - can't both be stdin");
        }
        let mut input = own_stdin().context(|| "open stdin")?;
        let directory = place.make_dir("context")?;
        let root = open_directory(&directory)?;
        // A tar has its magic in the first block; a Dockerfile is text.
        let mut start = Vec::new();
        std::io::Read::read_to_end(&mut std::io::Read::take(&mut input, 512), &mut start)
            .context(|| "read stdin")?;
        let compressed = start.starts_with(&[0x1f, 0x8b]) || start.starts_with(&[0x28, 0xb5, 0x2f]);
        let mut input = std::io::Read::chain(std::io::Cursor::new(start.clone()), input);
        if !compressed && start.get(257..262) != Some(b"ustar") {
            let text = read_bounded(&mut input, "the Dockerfile on stdin", MAX_DOCKERFILE)?;
            return Ok((root, "Dockerfile".to_owned(), text));
        }
        let rules = CopyRules::default();
        unpack_stream(&mut input, root.as_fd(), rules).context(|| "unpack the build context")?;
        let Some(text) = read_text(root.as_fd(), &name, MAX_DOCKERFILE)? else {
            fail!("the build context has no {name}; name the Dockerfile with -f")
        };
        return Ok((root, name, text));
    }
    if options.context.contains("://") || options.context.starts_with("git@") {
        fail!("the build context '{}' is remote; clone or download it first", options.context);
    }
    let root = open_directory(Path::new(&options.context))?;
    if let Some(text) = &options.inline {
        return Ok((root, "Dockerfile".to_owned(), text.clone()));
    }
    if from_stdin {
        let mut input = own_stdin().context(|| "open stdin")?;
        let text = read_bounded(&mut input, "the Dockerfile on stdin", MAX_DOCKERFILE)?;
        return Ok((root, "Dockerfile".to_owned(), text));
    }
    if options.file.is_none() {
        return match read_text(root.as_fd(), &name, MAX_DOCKERFILE)? {
            Some(text) => Ok((root, name, text)),
            None => fail!("{} has no Dockerfile; name one with -f", options.context),
        };
    }
    // `-f` is a path of the host, as the user typed it.
    let opened = openat(CWD, name.as_str(), OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty());
    let file = opened.context(|| format!("open {name}"))?;
    let text = read_bounded(&mut std::fs::File::from(file), &name, MAX_DOCKERFILE)?;
    Ok((root, name, text))
}

/// `NAME.dockerignore` or `.dockerignore` of the context.
fn read_ignore(context: std::os::fd::BorrowedFd<'_>, name: &str) -> Result<Ignore> {
    let own = Path::new(name).file_name().unwrap_or_default().to_string_lossy();
    for file in [format!("{own}.dockerignore"), ".dockerignore".to_owned()] {
        if let Some(text) = read_text(context, &file, MAX_RULES)? {
            return Ignore::parse(&text).context(|| file);
        }
    }
    Ok(Ignore::default())
}
