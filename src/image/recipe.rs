//! Writes a layer's tar again from the layer's files, bit for bit.
//!
//! `save` and `push` must produce the tar whose digest is in the image's config, but layers are
//! stored unpacked. So while a layer is unpacked, its recipe records the literal bytes, which don't
//! become file contents (headers, padding, whiteouts, the end), and which file's bytes come in
//! between. Docker's name for a recipe is tar-split. Compressed, a recipe takes some 40 bytes for
//! each entry, 0.3 % of a distribution's base image.
//!
//! If an archive names a file twice, only the last file's bytes are kept. Such an archive has no
//! recipe. An archive with more than `MAX_LITERAL` literal bytes has no recipe either. For these
//! archives [`super::layer_tar`] makes a new tar.

use std::fs::File;
use std::io::{self, BufRead, BufReader, BufWriter, Read, Write};
use std::os::fd::BorrowedFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::FileExt;

use flate2::Compression;
use flate2::bufread::DeflateDecoder;
use flate2::write::DeflateEncoder;
use rustix::fs::{Mode, OFlags, openat};

use super::directories::Directories;
use crate::error::{Context, Result, fail, shortened};

/// Literal bytes are written out in pieces of about this size.
const PIECE: usize = 64 << 10;
/// The maximum number of literal bytes. An archive with more has no recipe.
const MAX_LITERAL: u64 = 4 << 30;
const MAX_PATH: u64 = 1 << 20;
const COPY_BUFFER: usize = 256 << 10;

/// A recipe that is being written. The file is a deflate stream (RFC 1951) of records, with numbers
/// in LEB128. Each record is a length, that many literal bytes, and the length of a path. If the
/// path is not empty, the path, an offset and a length follow: these bytes of the file come next.
pub struct Recipe {
    /// `None` if no recipe is wanted or none can be made.
    encoder: Option<DeflateEncoder<BufWriter<File>>>,
    /// Literal bytes that are not written out yet.
    literal: Vec<u8>,
    /// How many of the next bytes belong to a file.
    copied: u64,
    literal_total: u64,
    total: u64,
    failed: Option<io::Error>,
}

impl Recipe {
    /// Starts a recipe that is written to `file`. Without a file nothing is recorded.
    pub fn new(file: Option<File>) -> Recipe {
        Recipe {
            encoder: file
                .map(|file| DeflateEncoder::new(BufWriter::new(file), Compression::new(3))),
            literal: Vec::new(),
            copied: 0,
            literal_total: 0,
            total: 0,
            failed: None,
        }
    }

    /// Records that the next `length` bytes of the tar are those of the file `path` from `offset`
    /// on.
    pub fn copied(&mut self, path: &[u8], offset: u64, length: u64) {
        if length > 0 && self.encoder.is_some() {
            self.write_record(path, offset, length);
            self.copied = length;
        }
    }

    /// Takes the next bytes of the tar.
    pub fn pass(&mut self, bytes: &[u8]) {
        let count = bytes.len();
        self.total += count as u64;
        let copied = count.min(usize::try_from(self.copied).unwrap_or(usize::MAX));
        self.copied -= copied as u64;
        if copied < count && self.encoder.is_some() {
            self.literal.extend_from_slice(&bytes[copied..]);
            self.literal_total += (count - copied) as u64;
            if self.literal_total > MAX_LITERAL {
                self.give_up();
            } else if self.literal.len() > PIECE {
                self.write_record(b"", 0, 0);
            }
        }
    }

    /// Drops the recipe, because a file in it was removed or replaced, or because the recipe is too
    /// large.
    fn give_up(&mut self) {
        self.encoder = None;
        self.literal = Vec::new();
    }

    /// Ends the recipe. Returns the size of the tar if there is a recipe for it.
    pub fn finish(mut self) -> Result<Option<u64>> {
        self.write_record(b"", 0, 0);
        if let Some(error) = self.failed {
            return Err(error).context(|| "write the layer's recipe");
        }
        let Some(encoder) = self.encoder else { return Ok(None) };
        let flushed = encoder.finish().and_then(|mut file| file.flush());
        flushed.context(|| "write the layer's recipe")?;
        Ok(Some(self.total))
    }

    fn write_record(&mut self, path: &[u8], offset: u64, length: u64) {
        let Some(encoder) = &mut self.encoder else { return };
        let mut record = Vec::with_capacity(self.literal.len() + path.len() + 40);
        push_number(&mut record, self.literal.len() as u64);
        record.append(&mut self.literal);
        push_number(&mut record, path.len() as u64);
        if !path.is_empty() {
            record.extend_from_slice(path);
            push_number(&mut record, offset);
            push_number(&mut record, length);
        }
        if let Err(error) = encoder.write_all(&record) {
            self.failed.get_or_insert(error);
        }
    }
}

/// A reader of a layer's plain tar that records the recipe while the unpacker reads.
pub struct Recorder<'a> {
    input: &'a mut (dyn BufRead + Send),
    recipe: Recipe,
}

impl<'a> Recorder<'a> {
    /// Reads from `input`, and writes the recipe to `recipe`. Without a file nothing is recorded.
    pub fn new(input: &'a mut (dyn BufRead + Send), recipe: Option<File>) -> Recorder<'a> {
        Recorder { input, recipe: Recipe::new(recipe) }
    }

    /// Records that the next `length` bytes of the input are those of the file `path` from `offset`
    /// on.
    pub fn copied(&mut self, path: &[u8], offset: u64, length: u64) {
        self.recipe.copied(path, offset, length);
    }

    /// Drops the recipe, because a file in it was removed or replaced by a later entry.
    pub fn give_up(&mut self) {
        self.recipe.give_up();
    }

    /// Reads the rest of the input. Returns the size of the tar if there is a recipe for it.
    pub fn finish(mut self) -> Result<Option<u64>> {
        loop {
            let count = self.fill_buf().context(|| "read the archive")?.len();
            if count == 0 {
                return self.recipe.finish();
            }
            self.consume(count);
        }
    }
}

impl BufRead for Recorder<'_> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        self.input.fill_buf()
    }

    fn consume(&mut self, count: usize) {
        // The bytes are in the buffer already, so nothing is read and nothing can fail.
        if let Ok(buffered) = self.input.fill_buf() {
            self.recipe.pass(&buffered[..count]);
        }
        self.input.consume(count);
    }
}

impl Read for Recorder<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut piece = self.fill_buf()?;
        let count = piece.read(buffer)?;
        self.consume(count);
        Ok(count)
    }
}

/// Writes the tar of `recipe`, with the contents of files from below `fs`. Fails if the recipe is
/// damaged or can't be read, if a file can't be read or is shorter than it was, or if `output`
/// fails.
pub fn replay(recipe: File, fs: BorrowedFd<'_>, output: &mut dyn Write) -> Result<()> {
    let mut recipe = BufReader::new(DeflateDecoder::new(BufReader::new(recipe)));
    let (mut buffer, mut directories) = (vec![0; COPY_BUFFER], Directories::new(fs));
    while !recipe.fill_buf().context(|| "read the layer's recipe")?.is_empty() {
        let literal = read_number(&mut recipe)?;
        let copied = io::copy(&mut (&mut recipe).take(literal), output);
        if copied.context(|| "write the layer's tar")? != literal {
            fail!("the layer's recipe is cut short");
        }
        let length = read_number(&mut recipe)?;
        if length == 0 {
            continue;
        }
        if length > MAX_PATH {
            fail!("the layer's recipe is damaged");
        }
        let mut path = vec![0; length as usize];
        recipe.read_exact(&mut path).context(|| "read the layer's recipe")?;
        let (offset, length) = (read_number(&mut recipe)?, read_number(&mut recipe)?);
        copy(&mut directories, &path, offset, length, &mut buffer, output)
            .context(|| format!("file '{}' of the layer", shortened(&path)))?;
    }
    Ok(())
}

fn copy(
    directories: &mut Directories<'_>,
    path: &[u8],
    mut offset: u64,
    mut left: u64,
    buffer: &mut [u8],
    output: &mut dyn Write,
) -> Result<()> {
    let (above, name) = match path.iter().rposition(|&byte| byte == b'/') {
        Some(slash) => (&path[..slash], &path[slash + 1..]),
        None => (&b""[..], path),
    };
    let directory = directories.open(above)?;
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let name = std::ffi::OsStr::from_bytes(name);
    let file = File::from(openat(&directory, name, flags, Mode::empty())?);
    while left > 0 {
        let wanted = buffer.len().min(usize::try_from(left).unwrap_or(usize::MAX));
        let count = file.read_at(&mut buffer[..wanted], offset)?;
        if count == 0 {
            fail!("it is shorter than it was");
        }
        output.write_all(&buffer[..count])?;
        offset += count as u64;
        left -= count as u64;
    }
    Ok(())
}

fn push_number(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

fn read_number(input: &mut impl Read) -> Result<u64> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let mut byte = [0];
        input.read_exact(&mut byte).context(|| "read the layer's recipe")?;
        value |= u64::from(byte[0] & 0x7f) << shift;
        if byte[0] & 0x80 == 0 {
            return Ok(value);
        }
    }
    fail!("the layer's recipe is damaged")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_come_back() {
        for value in [0, 1, 127, 128, 300, u64::from(u32::MAX), u64::MAX] {
            let mut bytes = Vec::new();
            push_number(&mut bytes, value);
            assert_eq!(read_number(&mut &bytes[..]).unwrap(), value);
        }
        assert!(read_number(&mut &[0x80; 11][..]).is_err());
        assert!(read_number(&mut &[][..]).is_err());
    }
}
