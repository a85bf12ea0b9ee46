//! The log of a container's output: the files `log`, `log.1`, … in the container's directory. `log`
//! is the newest file.
//!
//! A file is a sequence of chunks, one for each read from the program. A chunk is a header of 12
//! bytes and the data. The header holds the stream and length in four bytes and the time in
//! nanoseconds since 1970 in eight, little-endian. So stdout and stderr stay separate, the data
//! needs no quoting, and a chunk is written by one writev(2). A power cut can truncate the last
//! chunk or fill its header with zeroes. A reader stops before such a chunk, and the next writer
//! removes the chunk.

mod forward;
mod options;
mod reader;
mod writer;

use std::fs::File;
use std::io::{BufReader, ErrorKind, Read, Seek};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::protocol::{MAX_DATA, Stream};
use crate::time::Instant;

pub use forward::{Address, Destination, Forwarder, Frame, Syslog, add_field};
pub use options::LogOptions;
pub use reader::{Printer, Reader, Selection};
pub use writer::{Cursor, Mark, Writer};

const HEADER: usize = 12;

type Header = [u8; HEADER];

fn header(stream: Stream, length: usize) -> Header {
    let mut header = [0; HEADER];
    let word = (stream as u32) << 24 | length as u32;
    header[..4].copy_from_slice(&word.to_le_bytes());
    header[4..].copy_from_slice(&Instant::now().0.to_le_bytes());
    header
}

/// Parses a header: stream, length in bytes and time; `None` if it is not valid.
fn parse_header(header: &Header) -> Option<(Stream, usize, Instant)> {
    let (word, time) = header.split_first_chunk()?;
    let word = u32::from_le_bytes(*word);
    let length = (word & 0xff_ffff) as usize;
    let stream = match word >> 24 {
        1 => Stream::Stdout,
        2 => Stream::Stderr,
        _ => return None,
    };
    let time = i64::from_le_bytes(time.try_into().ok()?);
    (length <= MAX_DATA).then_some((stream, length, Instant(time)))
}

/// The path of a log file: `log` for 0, `log.1` for 1, and so on.
fn numbered(path: &Path, number: u32) -> PathBuf {
    match number {
        0 => path.to_owned(),
        number => path.with_extension(number.to_string()),
    }
}

struct Chunk<'a> {
    stream: Stream,
    time: Instant,
    data: &'a [u8],
}

/// The chunks of one file, in order.
struct Chunks {
    reader: BufReader<File>,
    inode: u64,
    buffer: Vec<u8>,
    /// The number of filled bytes in `buffer`: the start of a chunk whose rest is not written yet.
    have: usize,
    /// The number of bytes to read until the reader stops.
    left: u64,
}

impl Chunks {
    fn new(file: File) -> std::io::Result<Chunks> {
        let inode = file.metadata()?.ino();
        let reader = BufReader::with_capacity(MAX_DATA, file);
        Ok(Chunks { reader, inode, buffer: vec![0; HEADER + MAX_DATA], have: 0, left: u64::MAX })
    }

    /// Makes the reader stop at the present end of the file, because a program may write faster
    /// than a reader reads.
    fn stop_at_present_end(&mut self) -> std::io::Result<()> {
        self.left = self.reader.get_ref().metadata()?.len();
        Ok(())
    }

    /// Moves the reader to the start of the file.
    fn rewind(&mut self) -> std::io::Result<()> {
        let read = self.reader.stream_position()?;
        (self.left, self.have) = (self.left.saturating_add(read), 0);
        self.reader.rewind()
    }

    /// The next complete chunk; `None` at the present end of the file or after `left` bytes. Fails
    /// with `InvalidData` if the chunk's header is damaged. Until `rewind`, each later call fails
    /// too.
    fn next(&mut self) -> std::io::Result<Option<Chunk<'_>>> {
        if !self.fill(HEADER)? {
            return Ok(None);
        }
        let header = self.buffer.first_chunk().and_then(parse_header);
        let Some((stream, length, time)) = header else {
            return Err(std::io::Error::new(ErrorKind::InvalidData, "damaged"));
        };
        if !self.fill(HEADER + length)? {
            return Ok(None);
        }
        self.have = 0;
        Ok(Some(Chunk { stream, time, data: &self.buffer[HEADER..HEADER + length] }))
    }

    fn fill(&mut self, wanted: usize) -> std::io::Result<bool> {
        while self.have < wanted {
            let most = usize::try_from(self.left).unwrap_or(usize::MAX).min(wanted - self.have);
            match self.reader.read(&mut self.buffer[self.have..self.have + most]) {
                Ok(0) => return Ok(false),
                Ok(read) => {
                    self.have += read;
                    self.left -= read as u64;
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(true)
    }
}
