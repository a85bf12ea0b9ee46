//! The inputs of a build: the context, the Dockerfile and the rules of `.dockerignore`.
//!
//! The context is a directory, or an archive in a file or on stdin, which is unpacked in the
//! build's workplace. If the context `-` is a Dockerfile and no archive, the context is empty. As
//! with Docker, `-f` is a path of the host if the context is a directory, and a path in the archive
//! otherwise. A remote context is refused: nothing is downloaded here.

use std::fs::File;
use std::io::{Cursor, Read};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::fs::{CWD, Mode, OFlags, openat};

use super::Options;
use super::context::{open_context, read_bounded, read_text};
use super::dockerfile::MAX_DOCKERFILE;
use super::ignore::{Ignore, MAX_RULES};
use crate::engine::step::Workplace;
use crate::error::{Context, Result, fail};
use crate::image::CopyRules;
use crate::image::copy::{begins_archive, unpack_stream};
use crate::store::open_dir;
use crate::sys::stdio::own_stdin;

/// Returns the opened context, and the name and the text of the Dockerfile. Fails if the context is
/// remote, or if there is no Dockerfile.
pub fn read_input(place: &Workplace, options: &Options) -> Result<(OwnedFd, String, String)> {
    let from_stdin = options.file.as_deref() == Some("-");
    let name = options.file.clone().unwrap_or_else(|| "Dockerfile".to_owned());
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
            let root = open_dir(&place.make_dir("context")?)?;
            return Ok((root, "Dockerfile".to_owned(), text));
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
    if let Some(text) = &options.inline {
        return Ok((root, "Dockerfile".to_owned(), text.clone()));
    }
    if from_stdin {
        let mut input = own_stdin().context(|| "open stdin")?;
        let text = read_bounded(&mut input, "the Dockerfile on stdin", MAX_DOCKERFILE)?;
        return Ok((root, "Dockerfile".to_owned(), text));
    }
    if options.file.is_none() || archive.is_some() {
        return match read_text(root.as_fd(), &name, MAX_DOCKERFILE)? {
            Some(text) => Ok((root, name, text)),
            None => fail!("the build context {context} has no {name}; name the Dockerfile with -f"),
        };
    }
    // `-f` is a path of the host, relative to the working directory.
    let opened = openat(CWD, name.as_str(), OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty());
    let file = opened.context(|| format!("open {name}"))?;
    let text = read_bounded(&mut File::from(file), &name, MAX_DOCKERFILE)?;
    Ok((root, name, text))
}

/// Reads `NAME.dockerignore`, where NAME is the Dockerfile's name, or otherwise the context's
/// `.dockerignore`. Without either file there are no rules.
pub fn read_ignore(context: BorrowedFd<'_>, name: &str) -> Result<Ignore> {
    let own = Path::new(name).file_name().unwrap_or_default().to_string_lossy();
    for file in [format!("{name}.dockerignore"), format!("{own}.dockerignore")] {
        // `-f` may name a Dockerfile in a subdirectory of the context.
        if let Some(text) = read_text(context, &file, MAX_RULES)? {
            return Ignore::parse(&text).context(|| file);
        }
    }
    match read_text(context, ".dockerignore", MAX_RULES)? {
        Some(text) => Ignore::parse(&text).context(|| ".dockerignore"),
        None => Ok(Ignore::default()),
    }
}
