//! Copies files into or out of a container's tree, for `cp` and builds. Every copy is a tar, sent
//! between two threads over a pipe, or to or from a stream of the user. So one packer and one
//! unpacker do all checks. Names are resolved only below the given descriptors (openat2,
//! `sys::beneath`), because the container may change the tree during the copy.

#[cfg(feature = "build")]
use std::collections::VecDeque;
#[cfg(feature = "build")]
use std::io::Sink;
use std::io::{BufRead, BufReader, BufWriter, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
#[cfg(feature = "build")]
use std::sync::Mutex;

use rustix::fs::{Mode, OFlags, openat};

#[cfg(feature = "build")]
use super::compression::{decoder, is_plain};
use super::recipe::Recorder;
use super::stream::with_plain;
use super::tar::Writer;
#[cfg(feature = "build")]
use super::tar::{BLOCK, Extent, Reader};
use super::tree::{Form, TreeWriter};
pub use super::tree::{Overrides, Skip};
use super::unpack::{CopyRules, Rules, unpack};
#[cfg(feature = "build")]
use super::{Hashing, tree::ContentArchive};
#[cfg(feature = "build")]
use crate::digest::Digest;
use crate::error::{Context, Error, Result, fail};
use crate::meter::Metered;
use crate::runtime::ids::IdMap;

const BUFFER: usize = 128 << 10;

/// The files to copy.
pub struct Original<'a> {
    pub handle: BorrowedFd<'a>,
    /// The name of the file or directory in the archive. `None` means only the contents of the
    /// directory.
    pub name: Option<&'a [u8]>,
    /// The mapping of the user namespace that owns the files.
    pub ids: Option<IdMap>,
    /// The entries to leave out, by their names in the archive.
    pub skip: Skip<'a>,
    pub overrides: Overrides,
    /// The digest to which the copied files are added, and the name that the digest covers in place
    /// of `name`.
    #[cfg(feature = "build")]
    pub content: Option<(&'a Content, &'a [u8])>,
}

impl<'a> Original<'a> {
    /// Returns an original that is copied unchanged: a file or directory under a name, or the
    /// contents of a directory.
    pub fn new(handle: BorrowedFd<'a>, name: Option<&'a [u8]>) -> Original<'a> {
        Original {
            handle,
            name,
            ids: None,
            skip: &|_| false,
            overrides: Overrides::default(),
            #[cfg(feature = "build")]
            content: None,
        }
    }
}

/// The digest of all copied files with their attributes, but without their times.
#[cfg(feature = "build")]
pub struct Content {
    hashing: Mutex<Hashing<Sink>>,
    /// The owner in place of the files' own owners.
    owner: Option<(u32, u32)>,
}

#[cfg(feature = "build")]
impl Content {
    /// Starts the digest without any file. `owner` replaces the files' own owners.
    pub fn new(owner: Option<(u32, u32)>) -> Content {
        Content { hashing: Mutex::new(Hashing::new(std::io::sink())), owner }
    }

    /// Returns the digest of all files so far.
    pub fn digest(&self) -> Result<Digest> {
        let hashing = self.hashing.lock();
        let hashing = hashing.map_err(|_| Error::new("the thread that read the files failed"))?;
        Ok(Digest::finish(hashing.hasher.clone()))
    }
}

/// Writes a tar of the original.
pub fn pack(original: &Original<'_>, output: &mut dyn Write) -> Result<()> {
    let mut writer = Writer::new(output);
    let mut tree = TreeWriter::new(&mut writer, Form::Plain).mapped(original.ids);
    tree = tree.skipping(original.skip).overriding(original.overrides);
    #[cfg(feature = "build")]
    let mut hashing =
        original.content.map(|(content, name)| (content.hashing.lock().ok(), content.owner, name));
    #[cfg(feature = "build")]
    if let Some((Some(hashing), owner, name)) = &mut hashing {
        tree = tree.hashing_content(Some(ContentArchive::new(
            hashing,
            *owner,
            original.name.map(|_| *name),
        )));
    }
    match original.name {
        Some(name) => tree.object(original.handle, name)?,
        None => {
            // An O_PATH descriptor can't be read.
            let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
            let directory = openat(original.handle, ".", flags, Mode::empty())?;
            tree.contents(directory.as_fd())?;
        }
    }
    #[cfg(feature = "build")]
    tree.finish_content()?;
    writer.finish().map(drop)
}

/// Whether a file that starts with these bytes can be an archive: a tar, or compressed data.
#[cfg(feature = "build")]
pub fn begins_archive(start: &[u8]) -> bool {
    let is_compressed = start.first_chunk().is_some_and(|magic| !is_plain(magic));
    is_compressed || start.get(257..262) == Some(b"ustar")
}

/// Whether the file's contents are a tar, compressed or not. The first header decides. Fails for
/// example if the compression is recognised but not supported.
#[cfg(feature = "build")]
pub fn is_archive(file: &mut (dyn Read + Send)) -> Result<bool> {
    let mut header = Vec::new();
    let plain = decoder(file).context(|| "read the archive")?;
    // If the bytes can't be decompressed, the file is not an archive.
    let read = plain.take(BLOCK as u64).read_to_end(&mut header);
    Ok(read.is_ok() && header.len() == BLOCK && header[257..262] == *b"ustar")
}

/// Unpacks a tar, compressed or not, below `root`. A missing end mark is an error.
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
    let rules = Rules::Copy(rules);
    piped(original, &|reader| unpack(&mut Recorder::new(reader, None), root, &rules).map(drop))
}

/// Unpacks the file `original`, which is an archive, below `root`.
#[cfg(feature = "build")]
pub fn copy_unpacked(
    original: &Original<'_>,
    root: BorrowedFd<'_>,
    rules: CopyRules,
) -> Result<()> {
    piped(original, &|reader| {
        let mut recorder = Recorder::new(reader, None);
        let mut outer = Reader::new(&mut recorder);
        let Some(entry) = outer.next()? else { fail!("the archive of the file is empty") };
        let whole = || vec![Extent { offset: 0, length: entry.size }];
        let extents = entry.sparse.clone().unwrap_or_else(whole).into();
        let mut file = Inner { reader: outer, extents, at: 0, size: entry.size };
        unpack_stream(&mut file, root, rules.clone())
    })
}

/// Reads a file of an archive, with zeros for its holes.
#[cfg(feature = "build")]
struct Inner<'a, 'b> {
    // The same type as the unpacker's reader, so that the binary contains the generic code only
    // once.
    reader: Reader<&'a mut Recorder<'b>>,
    /// The positions of the remaining data in the file. The rest of the file is holes.
    extents: VecDeque<Extent>,
    at: u64,
    size: u64,
}

#[cfg(feature = "build")]
impl Read for Inner<'_, '_> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let is_past = |next: &Extent| next.offset + next.length <= self.at;
        while self.extents.front().is_some_and(is_past) {
            self.extents.pop_front();
        }
        let limit = |length: u64| usize::try_from(length).unwrap_or(usize::MAX).min(buffer.len());
        let count = match self.extents.front() {
            Some(next) if next.offset <= self.at => {
                let most = limit(next.offset + next.length - self.at);
                let data = self.reader.data();
                let data = data.map_err(|error| std::io::Error::other(error.to_string()))?;
                let count = data.len().min(most);
                buffer[..count].copy_from_slice(&data[..count]);
                self.reader.consume(count);
                count
            }
            next => {
                let end = next.map_or(self.size, |next| next.offset);
                let count = limit(end.saturating_sub(self.at));
                buffer[..count].fill(0);
                count
            }
        };
        self.at += count as u64;
        Ok(count)
    }
}

/// Passes a tar of the original to `consume`, which reads the tar while another thread writes it.
fn piped(
    original: &Original<'_>,
    consume: &dyn Fn(&mut (dyn BufRead + Send)) -> Result<()>,
) -> Result<()> {
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
        let unpacked = consume(&mut reader).and_then(|()| {
            // Read what follows the end mark, so that the packer does not fail.
            std::io::copy(&mut reader, &mut std::io::sink()).map(drop).context(|| "read a pipe")
        });
        // Close the pipe, so that the packer does not wait without end if this thread failed.
        drop(reader);
        first_failure(unpacked, packing.join())
    })
}

/// Returns the result of a pipe's reader, or the first cause of a failure. If both sides failed,
/// the writer's error is the cause, because the reader then only reports a truncation. But if the
/// writer failed because the reader had closed the pipe, the reader's error is the cause.
pub fn first_failure<T>(read: Result<T>, written: std::thread::Result<Result<()>>) -> Result<T> {
    let written = written.unwrap_or_else(|_| Err(Error::new("the archive's writer failed")));
    match (read, written) {
        (Ok(read), Ok(())) => Ok(read),
        (Err(error), Err(reason)) if reason.errno() == Some(rustix::io::Errno::PIPE) => Err(error),
        (_, Err(reason)) => Err(reason),
        (Err(error), Ok(())) => Err(error),
    }
}
