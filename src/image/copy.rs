//! Copies files into or out of a container's tree, for `cp`: always as a tar, between two threads
//! over a pipe or to a stream of the user, so that one packer and one unpacker do all checks. Names
//! are resolved only below the descriptors that are given (openat2, `sys::beneath`), because the
//! container may change the tree while it is read.

use std::io::{BufReader, BufWriter, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};

use rustix::fs::{Mode, OFlags, openat};

#[cfg(feature = "build")]
use super::compression::{decoder, is_plain};
use super::recipe::Recorder;
use super::stream::with_plain;
#[cfg(feature = "build")]
use super::tar::BLOCK;
use super::tar::Writer;
use super::tree::{Form, TreeWriter};
pub use super::tree::{Overrides, Skip};
use super::unpack::{CopyRules, Rules, unpack};
use crate::error::{Context, Error, Result, fail};
use crate::meter::Metered;
use crate::runtime::ids::IdMap;

const BUFFER: usize = 128 << 10;

/// What is copied.
pub struct Original<'a> {
    pub handle: BorrowedFd<'a>,
    /// Its name in the archive; `None` means only the contents of the directory.
    pub name: Option<&'a [u8]>,
    /// The mapping of the user namespace that owns the files.
    pub ids: Option<IdMap>,
    /// The entries to leave out, by their names in the archive.
    pub skip: Skip<'a>,
    pub overrides: Overrides,
}

/// Writes a tar of the original.
pub fn pack(original: &Original<'_>, output: &mut dyn Write) -> Result<()> {
    let mut writer = Writer::new(output);
    let mut tree = TreeWriter::new(&mut writer, Form::Plain).mapped(original.ids);
    tree = tree.skipping(original.skip).overriding(original.overrides);
    match original.name {
        Some(name) => tree.object(original.handle, name)?,
        None => {
            // An O_PATH descriptor can't be read.
            let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
            let directory = openat(original.handle, ".", flags, Mode::empty())?;
            tree.contents(directory.as_fd())?;
        }
    }
    writer.finish().map(drop)
}

/// Whether a file that begins with these bytes can be an archive: a tar, or something compressed.
#[cfg(feature = "build")]
pub fn begins_archive(start: &[u8]) -> bool {
    let is_compressed = start.first_chunk().is_some_and(|magic| !is_plain(magic));
    is_compressed || start.get(257..262) == Some(b"ustar")
}

/// Whether the file's contents are a tar, compressed or not, by its first header. An error for a
/// compression that is known by name only.
#[cfg(feature = "build")]
pub fn is_archive(file: &mut (dyn Read + Send)) -> Result<bool> {
    let mut header = Vec::new();
    let plain = decoder(file).context(|| "read the archive")?;
    // What does not inflate is no archive.
    let read = plain.take(BLOCK as u64).read_to_end(&mut header);
    Ok(read.is_ok() && header.len() == BLOCK && header[257..262] == *b"ustar")
}

/// Unpacks a tar, compressed or not, below `root`.
pub fn unpack_stream(
    input: &mut (dyn Read + Send),
    root: BorrowedFd<'_>,
    rules: CopyRules,
) -> Result<()> {
    with_plain(input, |plain| {
        let unpacked = unpack(&mut Recorder::new(plain, None), root, &Rules::Copy(rules))?;
        if !unpacked.ended {
            fail!("the archive is empty or truncated: its end mark is missing");
        }
        Ok(())
    })
}

/// Copies the original below `root`.
pub fn copy(original: &Original<'_>, root: BorrowedFd<'_>, rules: CopyRules) -> Result<()> {
    let (reader, pipe) = std::io::pipe().context(|| "make a pipe")?;
    std::thread::scope(|scope| {
        let packing = std::thread::Builder::new()
            .name("pack".into())
            .spawn_scoped(scope, || {
                let mut pipe = BufWriter::with_capacity(BUFFER, pipe);
                pack(original, &mut pipe)?;
                pipe.flush().context(|| "write to a pipe")
            })
            .context(|| "start a thread")?;
        let mut reader = BufReader::with_capacity(BUFFER, Metered(reader));
        let unpacked = unpack(&mut Recorder::new(&mut reader, None), root, &Rules::Copy(rules))
            .and_then(|_| {
                // Read what follows the end mark, so that the packer does not fail.
                std::io::copy(&mut reader, &mut std::io::sink()).map(drop).context(|| "read a pipe")
            });
        // If this failed, the packer must not wait without end.
        drop(reader);
        first_failure(unpacked, packing.join())
    })
}

/// The first cause if the writer and the reader of a pipe failed. It is the writer's error, because
/// the reader then reports a truncation, unless the writer only found its reader gone.
pub fn first_failure<T>(read: Result<T>, written: std::thread::Result<Result<()>>) -> Result<T> {
    let written = written.unwrap_or_else(|_| Err(Error::new("the archive's writer failed")));
    match (read, written) {
        (Ok(read), Ok(())) => Ok(read),
        (Err(error), Err(reason)) if reason.errno() == Some(rustix::io::Errno::PIPE) => Err(error),
        (_, Err(reason)) => Err(reason),
        (Err(error), Ok(())) => Err(error),
    }
}
