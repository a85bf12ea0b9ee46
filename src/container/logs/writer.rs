//! The writing end of a log, the monitor's, and the way back into what it has just written: a
//! client that can't keep up reads on from the files.

use std::collections::VecDeque;
use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, IoSlice, Write};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use super::{Chunks, HEADER, Header, header, numbered, parse_header};
use crate::container::protocol::{MAX_DATA, Stream};
use crate::error::{Context, Result, fail};

pub struct Writer {
    path: PathBuf,
    /// `None` until something is written: a silent container has no log.
    file: Option<File>,
    size: u64,
    max_size: u64,
    max_files: u32,
    /// How often this writer has begun a new file.
    rotations: u64,
}

/// Where a chunk begins.
#[derive(Clone, Copy)]
pub struct Mark {
    rotation: u64,
    offset: u64,
}

/// One who reads behind the writer. It keeps the file that it is in, even when that is rotated out.
pub struct Cursor {
    at: Mark,
    file: File,
    /// The files that follow, once `gather` has opened them.
    newer: VecDeque<File>,
}

impl Writer {
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

    /// Appends one chunk (of at most `MAX_DATA` bytes); tells where. A disk without room loses
    /// output, never the container: the caller goes on.
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
            // No room for all of it: half a chunk would hide every later one.
            failed => {
                file.set_len(self.size).context(|| "cut a torn log chunk off")?;
                failed?;
                fail!("write the log: no room");
            }
        }
        Ok(mark)
    }

    /// Whether a chunk of `length` bytes begins a new file.
    fn must_rotate(&self, length: usize) -> bool {
        self.size > 0 && self.size + (HEADER + length) as u64 > self.max_size
    }

    /// Whether the next chunk may take away what `cursor` has yet to read.
    pub fn may_outrun(&self, cursor: &Cursor) -> bool {
        self.must_rotate(MAX_DATA)
            && cursor.at.rotation + u64::from(self.max_files) <= self.rotations
    }

    /// The new file is made before the others are moved: where that fails, or this dies, no line
    /// is lost but the oldest, whose turn it was. There may be a gap in the numbers afterwards, and
    /// `log.new`, which the next rotation makes anew.
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
        // Not renamed over: ext4 then writes the other out at once (its option auto_da_alloc).
        crate::store::remove_file(&numbered(&self.path, self.max_files - 1))?;
        for number in (1..self.max_files).rev() {
            rename(&numbered(&self.path, number - 1), &numbered(&self.path, number))?;
        }
        rename(&fresh, &self.path)?;
        (self.file, self.size) = (Some(file), 0);
        self.rotations += 1;
        Ok(())
    }

    /// A reader that begins at `mark`, which is in the present file.
    pub fn cursor(&self, mark: Mark) -> Result<Cursor> {
        let Some(file) = &self.file else { fail!("nothing was logged yet") };
        let file = file.try_clone().context(|| "open the log once more")?;
        Ok(Cursor { at: mark, file, newer: VecDeque::new() })
    }
}

impl Cursor {
    /// The next chunk, read into `buffer`; `None` if it has caught up with `log`. It comes again
    /// until `advance`.
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

    /// Passes over the chunk of `length` bytes that `peek` gave.
    pub fn advance(&mut self, length: usize) {
        self.at.offset += (HEADER + length) as u64;
    }

    /// Opens all that is left to read: the files may be removed now.
    pub fn gather(&mut self, log: &Writer) -> Result<()> {
        for rotation in self.at.rotation + 1..=log.rotations {
            let file = self.open_newer(log, rotation).context(|| "open the log")?;
            self.newer.push_back(file);
        }
        Ok(())
    }

    fn open_newer(&self, log: &Writer, rotation: u64) -> std::io::Result<File> {
        // `may_outrun` has seen to it that this is one of the files kept.
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
            // What a power cut left in place of data that never came to the disk.
            Err(error) if error.kind() == ErrorKind::InvalidData => return Ok(whole),
            Err(error) => return Err(error),
        }
    }
}
