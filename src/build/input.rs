//! The inputs of a build: the context, the Dockerfile and the rules of `.dockerignore`.
//!
//! The context is a directory, or an archive in a file or on stdin, which is unpacked in the
//! build's workplace. If stdin has a Dockerfile instead of an archive, the context is empty. As
//! with Docker, `-f` is a path of the host if the context is a directory, and a path in the archive
//! if the context is an archive. `NAME.dockerignore` beside the Dockerfile NAME replaces the
//! context's `.dockerignore`. A remote context is refused: nothing is downloaded here.

use std::fs::File;
use std::io::{Cursor, Read};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::fs::{CWD, Mode, OFlags, openat};
use rustix::io::Errno;

use super::Options;
use super::context::{open_context, read_bounded, read_text};
use super::dockerfile::MAX_DOCKERFILE;
use super::ignore::{Ignore, MAX_RULES};
use crate::engine::step::Workplace;
use crate::error::{Context, Result, fail};
use crate::image::CopyRules;
use crate::image::copy::{begins_archive, unpack_stream};
use crate::raw;
use crate::store::open_dir;
use crate::sys::stdio::own_stdin;

/// The Dockerfile's name if `-f` gives none. As with Docker, lower case is found too.
const STANDARD: &str = "Dockerfile";

/// The inputs of a build.
pub struct Input {
    pub context: OwnedFd,
    /// The Dockerfile's name, for errors.
    pub name: String,
    /// The Dockerfile's text.
    pub text: String,
    pub ignore: Ignore,
}

/// Opens the context, and reads the Dockerfile and the rules of `.dockerignore`.
pub fn read_input(place: &Workplace, options: &Options) -> Result<Input> {
    let from_stdin = options.file.as_deref() == Some("-");
    let mut name = STANDARD.to_owned();
    let context = options.context.as_str();
    let mut archive: Option<Box<dyn Read + Send>> = None;
    if context == "-" {
        if from_stdin {
            fail!("-f - and the context - can't both be stdin");
        }
        let mut input = own_stdin().context(|| "open stdin")?;
        // The first block of a tar, 512 bytes, has the magic number (tar(5)).
        let mut start = Vec::new();
        Read::read_to_end(&mut Read::take(&mut input, 512), &mut start).context(|| "read stdin")?;
        let is_text = !begins_archive(&start);
        let mut input = Read::chain(Cursor::new(start), input);
        if is_text {
            let text = read_bounded(&mut input, "the Dockerfile on stdin", MAX_DOCKERFILE)?;
            let context = open_dir(&place.make_dir("context")?)?;
            return Ok(Input { context, name, text, ignore: Ignore::default() });
        }
        archive = Some(Box::new(input));
    } else if std::fs::metadata(context).is_ok_and(|metadata| metadata.is_file()) {
        let file = File::open(context).context(|| format!("open the build context {context}"))?;
        archive = Some(Box::new(file));
    } else if context.contains("://") || context.starts_with("git@") {
        fail!("the build context '{context}' is remote; clone or download it first");
    }
    let root = match &mut archive {
        None => open_context(Path::new(context))?,
        Some(input) => {
            let root = open_dir(&place.make_dir("context")?)?;
            unpack_stream(input, root.as_fd(), CopyRules::default())
                .context(|| "unpack the build context")?;
            root
        }
    };
    let read = |name: &str, limit| match (&options.file, &archive) {
        (Some(_), None) => read_host_text(name, limit),
        _ => read_text(root.as_fd(), name, limit),
    };
    let mut rules = None;
    let text = if let Some(text) = &options.inline {
        text.clone()
    } else if from_stdin {
        let mut input = own_stdin().context(|| "open stdin")?;
        read_bounded(&mut input, "the Dockerfile on stdin", MAX_DOCKERFILE)?
    } else {
        let mut found = None;
        for known in [STANDARD.to_owned(), STANDARD.to_lowercase()] {
            name = options.file.clone().unwrap_or(known);
            found = read(&name, MAX_DOCKERFILE)?;
            if found.is_some() {
                break;
            }
        }
        let Some(text) = found else {
            match &options.file {
                Some(_) if archive.is_none() => fail!("open {name}: no such file"),
                Some(_) => fail!("the build context {context} has no {name}"),
                None => fail!("the build context {context} has no {STANDARD}; name it with -f"),
            }
        };
        let own = format!("{name}.dockerignore");
        rules = read(&own, MAX_RULES)?.map(|text| (own, text));
        text
    };
    let ignore = match rules {
        Some((own, text)) => Ignore::parse(&text).context(|| own)?,
        None => read_ignore(root.as_fd())?,
    };
    Ok(Input { context: root, name, text, ignore })
}

/// Reads the `.dockerignore` of a context. A context without this file has no rules.
pub fn read_ignore(context: BorrowedFd<'_>) -> Result<Ignore> {
    match read_text(context, ".dockerignore", MAX_RULES)? {
        Some(text) => Ignore::parse(&text).context(|| ".dockerignore"),
        None => Ok(Ignore::default()),
    }
}

/// Reads a file of the host, which may be a pipe. Returns `None` if the file does not exist.
fn read_host_text(name: &str, limit: u64) -> Result<Option<String>> {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC;
    let file = match openat(CWD, &*raw::path(name), flags, Mode::empty()) {
        Err(Errno::NOENT | Errno::NOTDIR) => return Ok(None),
        opened => opened.context(|| format!("open {name}"))?,
    };
    read_bounded(&mut File::from(file), name, limit).map(Some)
}
