//! Writes a container's log: appends chunks and rotates the files at `max_size`.
//!
//! Only the monitor writes, so there is no lock. For a client that is slower than the program, the
//! monitor reads the files again through a `Cursor`, so it keeps no copy of the output. The log is
//! never synced. After a power cut, an incomplete last chunk is removed when the log is opened
//! again. The parent module defines the format of a chunk.

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
    /// The open file; `None` before the first chunk, so a container without output has no log file.
    file: Option<File>,
    size: u64,
    max_size: u64,
    max_files: u32,
    /// The number of rotations by this writer.
    rotations: u64,
}

/// The position of a chunk: the number of rotations when the chunk was written, and the offset of
/// the chunk in its file, in bytes.
#[derive(Clone, Copy)]
pub struct Mark {
    rotation: u64,
    offset: u64,
}

/// The position of a client that has not read all output. The cursor keeps its file open, even
/// after a rotation has removed the file.
pub struct Cursor {
    at: Mark,
    file: File,
    /// The files after `file`, which `open_unread` opens.
    newer: VecDeque<File>,
}

impl Writer {
    /// Opens the log and removes an incomplete chunk at its end. `max_size` is the size in bytes at
    /// which a file is rotated, and `max_files` is the largest number of files.
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

    /// Appends one chunk of at most `MAX_DATA` bytes and returns its position. Fails for example on
    /// a full disk; then the chunk is lost.
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
            // For example, the disk is full. An incomplete chunk would hide all later chunks.
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

    /// Whether the next chunk may cause a rotation that removes a file which `cursor` has not
    /// opened yet.
    pub fn may_outrun(&self, cursor: &Cursor) -> bool {
        self.must_rotate(MAX_DATA)
            && cursor.at.rotation + u64::from(self.max_files) <= self.rotations
    }

    /// Starts a new file. The file is created before the others are renamed. If a step fails or
    /// this process ends, at most the oldest file is lost, which the rotation would remove anyway.
    /// A gap in the numbers may remain, and a file `log.new`, which the next rotation replaces.
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
        // Remove the oldest file first. If a rename replaced it, ext4 would write the renamed file
        // to the disk at once (auto_da_alloc, ext4(5)).
        crate::store::remove_file(&numbered(&self.path, self.max_files - 1))?;
        for number in (1..self.max_files).rev() {
            rename(&numbered(&self.path, number - 1), &numbered(&self.path, number))?;
        }
        rename(&fresh, &self.path)?;
        (self.file, self.size) = (Some(file), 0);
        self.rotations += 1;
        Ok(())
    }

    /// Creates a cursor at `mark`, which must be in the newest file. Fails if nothing was written
    /// yet, or if no descriptor is free.
    pub fn cursor(&self, mark: Mark) -> Result<Cursor> {
        let Some(file) = &self.file else { fail!("nothing was logged yet") };
        let file = file.try_clone().context(|| "open the log once more")?;
        Ok(Cursor { at: mark, file, newer: VecDeque::new() })
    }
}

impl Cursor {
    /// Reads the next chunk into `buffer`, which has at least `MAX_DATA` bytes; `None` if the
    /// cursor is at the end of `log`. Returns the same chunk until `advance`.
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

    /// Moves the cursor behind the chunk of `length` bytes that `peek` has returned.
    pub fn advance(&mut self, length: usize) {
        self.at.offset += (HEADER + length) as u64;
    }

    /// Opens all files that the cursor has not read, so that they may be removed.
    pub fn open_unread(&mut self, log: &Writer) -> Result<()> {
        for rotation in self.at.rotation + 1..=log.rotations {
            let file = self.open_newer(log, rotation).context(|| "open the log")?;
            self.newer.push_back(file);
        }
        Ok(())
    }

    fn open_newer(&self, log: &Writer, rotation: u64) -> std::io::Result<File> {
        // While a program runs, the monitor checks `may_outrun` before each chunk, so this file
        // still exists.
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

/// The length in bytes of all complete chunks at the start of the file.
fn whole_length(file: &File) -> std::io::Result<u64> {
    let mut chunks = Chunks::new(file.try_clone()?)?;
    let mut whole = 0;
    loop {
        match chunks.next() {
            Ok(Some(chunk)) => whole += (HEADER + chunk.data.len()) as u64,
            Ok(None) => return Ok(whole),
            // After a power cut the file may end with bytes that the monitor never wrote.
            Err(error) if error.kind() == ErrorKind::InvalidData => return Ok(whole),
            Err(error) => return Err(error),
        }
    }
}
