//! Files on their way into or out of a tree in use, as `cp` moves them: always as a tar, whose
//! writer and reader only ever resolve names below the descriptors that they are given.

use std::io::{BufReader, BufWriter, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};

use rustix::fs::{Mode, OFlags, openat};

use super::recipe::Recorder;
use super::stream::with_plain;
use super::tar::Writer;
pub use super::tree::Skip;
use super::tree::{Form, TreeWriter};
use super::unpack::{CopyRules, Rules, unpack};
use crate::error::{Context, Error, Result, fail};
use crate::runtime::ids::IdMap;

const BUFFER: usize = 128 << 10;

/// What is copied.
pub struct Original<'a> {
    pub handle: BorrowedFd<'a>,
    /// What it is called in the archive; `None`: only what is in the directory.
    pub name: Option<&'a [u8]>,
    /// Of the user namespace that it belongs to.
    pub ids: Option<IdMap>,
    /// By the names in the archive.
    pub skip: Skip<'a>,
}

/// Writes a tar of the original.
pub fn pack(original: &Original<'_>, output: &mut dyn Write) -> Result<()> {
    let mut writer = Writer::new(output);
    let mut tree = TreeWriter::new(&mut writer, Form::Plain).mapped(original.ids);
    tree = tree.skipping(original.skip);
    match original.name {
        Some(name) => tree.object(original.handle, name)?,
        None => {
            // A mere handle can't be read.
            let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
            let directory = openat(original.handle, ".", flags, Mode::empty())?;
            tree.contents(directory.as_fd())?;
        }
    }
    writer.finish().map(drop)
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
        let mut reader = BufReader::with_capacity(BUFFER, reader);
        let unpacked = unpack(&mut Recorder::new(&mut reader, None), root, &Rules::Copy(rules))
            .and_then(|_| {
                // What follows the end mark, so that the packer ends in peace.
                std::io::copy(&mut reader, &mut std::io::sink()).map(drop).context(|| "read a pipe")
            });
        // If that failed the packer must not wait for ever.
        drop(reader);
        first_failure(unpacked, packing.join())
    })
}

/// The reason why writer and reader of a pipe failed: that of the writer, whose silence the reader
/// takes for a truncation, unless it only found its reader gone.
pub fn first_failure<T>(read: Result<T>, written: std::thread::Result<Result<()>>) -> Result<T> {
    let written = written.unwrap_or_else(|_| Err(Error::new("the archive's writer failed")));
    match (read, written) {
        (Ok(read), Ok(())) => Ok(read),
        (Err(error), Err(reason)) if reason.errno() == Some(rustix::io::Errno::PIPE) => Err(error),
        (_, Err(reason)) => Err(reason),
        (Err(error), Ok(())) => Err(error),
    }
}
