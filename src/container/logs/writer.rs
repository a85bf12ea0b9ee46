//! Writes a container's log: appends chunks and rotates the files at `max_size`. Only the monitor
//! writes, so there is no lock. A client that can't keep up reads from the files by a `Cursor`, so
//! the monitor buffers nothing for it. Nothing is synced: after a power cut an incomplete chunk at
//! the end is cut off when the log is opened again. The format of a chunk is defined in the module
//! above.

use std::collections::VecDeque;
use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, IoSlice, Write};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use super::{Chunks, HEADER, Header, header, numbered, parse_header};
use crate::container::protocol::{MAX_DATA, Stream};
use crate::error::{Context, Result, fail};

/// The writer of one log.
pub struct Writer {
    path: PathBuf,
    /// `None` until something is written: a silent container has no log.
    file: Option<File>,
    size: u64,
    max_size: u64,
    max_files: u32,
    /// The number of files that this writer has started.
    rotations: u64,
}

/// The position of a chunk.
#[derive(Clone, Copy)]
pub struct Mark {
    rotation: u64,
    offset: u64,
}

/// A reader behind the writer. It keeps its file open, even after that file was removed by
/// rotation.
pub struct Cursor {
    at: Mark,
    file: File,
    /// The files that follow, once `gather` has opened them.
    newer: VecDeque<File>,
}

impl Writer {
    /// Opens the log and cuts an incomplete chunk at its end off. `max_size` is in bytes for each
    /// file.
    pub fn open(path: &Path, max_size: u64, max_files: u32) -> Result<Writer> {
        let at = || format!("open log {}", path.display());
        let mut size = 0;
        let file = match options().open(path) {
            Err(error) if error.kind() == ErrorKind::NotFound => None,
            file => Some(file.context(at)?),
        };
        if let Some(file) = &file {
            size = whole_length(file).context(at)?;
            if size < file.metadata().context(at)?.len() {
                file.set_len(size).context(at)?;
            }
        }
        Ok(Writer { path: path.to_owned(), file, size, max_size, max_files, rotations: 0 })
    }

    /// Appends one chunk of at most `MAX_DATA` bytes and returns its position. If the disk is full,
    /// the chunk is lost and the caller goes on: output is lost, never the container.
    pub fn append(&mut self, stream: Stream, data: &[u8]) -> Result<Mark> {
        let length = (HEADER + data.len()) as u64;
        if self.must_rotate(data.len()) {
            self.rotate()?;
        }
        let mut file = match &self.file {
            Some(file) => file,
            None => self.file.insert(create(&self.path)?),
        };
        let header = header(stream, data.len());
        let slices = [IoSlice::new(&header), IoSlice::new(data)];
        let written = file.write_vectored(&slices).context(|| "write the log");
        let mark = Mark { rotation: self.rotations, offset: self.size };
        match written {
            Ok(written) if written as u64 == length => self.size += length,
            // The disk is full: an incomplete chunk would hide every later one.
            failed => {
                file.set_len(self.size).context(|| "cut an incomplete log chunk off")?;
                failed?;
                fail!("write the log: no room");
            }
        }
        Ok(mark)
    }

    /// Whether a chunk of `length` bytes needs a new file.
    fn must_rotate(&self, length: usize) -> bool {
        self.size > 0 && self.size + (HEADER + length) as u64 > self.max_size
    }

    /// Whether the next chunk may remove a file that `cursor` has not read yet.
    pub fn may_outrun(&self, cursor: &Cursor) -> bool {
        self.must_rotate(MAX_DATA)
            && cursor.at.rotation + u64::from(self.max_files) <= self.rotations
    }

    /// Starts a new file. It is created before the others are renamed: if that fails, or this
    /// process dies, only the oldest lines are lost, which were due to be removed. A gap in the
    /// numbers may remain, and a file `log.new`, which the next rotation creates again.
    fn rotate(&mut self) -> Result<()> {
        let fresh = self.path.with_extension("new");
        crate::store::remove_file(&fresh)?;
        let file = create(&fresh)?;
        let rename = |from: &Path, to: &Path| match fs::rename(from, to) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                Err(error).context(|| format!("rotate {}", self.path.display()))
            }
            _ => Ok(()),
        };
        // Removed instead of renamed over, because ext4 would write the new file to the disk at
        // once (its option auto_da_alloc).
        crate::store::remove_file(&numbered(&self.path, self.max_files - 1))?;
        for number in (1..self.max_files).rev() {
            rename(&numbered(&self.path, number - 1), &numbered(&self.path, number))?;
        }
        rename(&fresh, &self.path)?;
        (self.file, self.size) = (Some(file), 0);
        self.rotations += 1;
        Ok(())
    }

    /// A reader that starts at `mark`, which must be in the present file.
    pub fn cursor(&self, mark: Mark) -> Result<Cursor> {
        let Some(file) = &self.file else { fail!("nothing was logged yet") };
        let file = file.try_clone().context(|| "open the log once more")?;
        Ok(Cursor { at: mark, file, newer: VecDeque::new() })
    }
}

impl Cursor {
    /// Reads the next chunk into `buffer`; `None` if the cursor has caught up with `log`. Returns
    /// the same chunk until `advance`.
    pub fn peek<'a>(
        &mut self,
        log: &Writer,
        buffer: &'a mut [u8],
    ) -> Result<Option<(Stream, &'a [u8])>> {
        loop {
            let mut header: Header = [0; HEADER];
            let read = || "read back what was logged";
            if self.file.read_exact_at(&mut header, self.at.offset).is_ok()
                && let Some((stream, length, _)) = parse_header(&header)
            {
                let data = &mut buffer[..length];
                let from = self.at.offset + HEADER as u64;
                self.file.read_exact_at(data, from).context(read)?;
                return Ok(Some((stream, data)));
            }
            if self.at.rotation == log.rotations {
                return Ok(None);
            }
            self.file = match self.newer.pop_front() {
                Some(file) => file,
                None => self.open_newer(log, self.at.rotation + 1).context(read)?,
            };
            self.at = Mark { rotation: self.at.rotation + 1, offset: 0 };
        }
    }

    /// Moves past the chunk of `length` bytes that `peek` returned.
    pub fn advance(&mut self, length: usize) {
        self.at.offset += (HEADER + length) as u64;
    }

    /// Opens all files that are left to read, so that they may be removed.
    pub fn gather(&mut self, log: &Writer) -> Result<()> {
        for rotation in self.at.rotation + 1..=log.rotations {
            let file = self.open_newer(log, rotation).context(|| "open the log")?;
            self.newer.push_back(file);
        }
        Ok(())
    }

    fn open_newer(&self, log: &Writer, rotation: u64) -> std::io::Result<File> {
        // `may_outrun` ensures that this file still exists.
        File::open(numbered(&log.path, (log.rotations - rotation) as u32))
    }
}

fn create(path: &Path) -> Result<File> {
    let file = options().create(true).mode(0o600).open(path);
    file.context(|| format!("open log {}", path.display()))
}

fn options() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.read(true).append(true);
    options
}

/// The length of all whole chunks.
fn whole_length(file: &File) -> std::io::Result<u64> {
    let mut chunks = Chunks::new(file.try_clone()?)?;
    let mut whole = 0;
    loop {
        match chunks.next() {
            Ok(Some(chunk)) => whole += (HEADER + chunk.data.len()) as u64,
            Ok(None) => return Ok(whole),
            // After a power cut, other bytes may stand where the data never reached the disk.
            Err(error) if error.kind() == ErrorKind::InvalidData => return Ok(whole),
            Err(error) => return Err(error),
        }
    }
}
