//! What a container wrote, kept in `log`, `log.1`, … of its directory, the newest in `log`.
//!
//! A file is a row of chunks, each as it was read from the program: a header of 12 bytes (stream
//! and length in four, nanoseconds since 1970 in eight, little-endian) and the bytes. Stdout and
//! stderr stay apart, nothing is quoted or cut, a chunk costs one writev. A power cut may tear the
//! last chunk: readers stop before it, the next writer cuts it off.

use std::collections::HashMap;
use std::fs::{self, File, OpenOptions};
use std::io::{BufReader, ErrorKind, IoSlice, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use super::protocol::{MAX_DATA, Stream};
use crate::error::{Context, Result};
use crate::time::Instant;

const HEADER: usize = 12;

/// The writing end, the monitor's.
pub struct Writer {
    path: PathBuf,
    file: File,
    size: u64,
    max_size: u64,
    max_files: u32,
}

impl Writer {
    pub fn open(path: &Path, max_size: u64, max_files: u32) -> Result<Writer> {
        let at = || format!("open log {}", path.display());
        let mut options = OpenOptions::new();
        options.read(true).append(true).create(true).mode(0o600);
        let file = options.open(path).context(at)?;
        let mut size = file.metadata().context(at)?.len();
        if size > 0 {
            let whole = whole_length(&file).context(at)?;
            if whole < size {
                file.set_len(whole).context(at)?;
                size = whole;
            }
        }
        Ok(Writer { path: path.to_owned(), file, size, max_size, max_files })
    }

    /// Appends one chunk (of at most `MAX_DATA` bytes). A disk without room loses output, never
    /// the container: the caller goes on.
    pub fn append(&mut self, stream: Stream, data: &[u8]) -> Result<()> {
        let length = (HEADER + data.len()) as u64;
        if self.size > 0 && self.size + length > self.max_size {
            self.rotate()?;
        }
        let mut header = [0; HEADER];
        let word = (stream as u32) << 24 | data.len() as u32;
        header[..4].copy_from_slice(&word.to_le_bytes());
        header[4..].copy_from_slice(&Instant::now().0.to_le_bytes());
        let slices = [IoSlice::new(&header), IoSlice::new(data)];
        let written = self.file.write_vectored(&slices).context(|| "write the log");
        match written {
            Ok(written) if written as u64 == length => self.size += length,
            // No room for all of it: half a chunk would hide every later one.
            failed => {
                self.file.set_len(self.size).context(|| "cut a torn log chunk off")?;
                failed?;
            }
        }
        Ok(())
    }

    fn rotate(&mut self) -> Result<()> {
        let numbered = |number: u32| numbered(&self.path, number);
        for number in (1..self.max_files).rev() {
            match fs::rename(numbered(number - 1), numbered(number)) {
                Err(error) if error.kind() != ErrorKind::NotFound => {
                    return Err(error).context(|| format!("rotate {}", self.path.display()));
                }
                _ => {}
            }
        }
        if self.max_files == 1 {
            crate::store::remove_file(&self.path)?;
        }
        let mut options = OpenOptions::new();
        options.read(true).append(true).create(true).mode(0o600);
        let file = options.open(&self.path);
        self.file = file.context(|| format!("open log {}", self.path.display()))?;
        self.size = 0;
        Ok(())
    }
}

/// `log`, `log.1`, `log.2`, …
fn numbered(path: &Path, number: u32) -> PathBuf {
    match number {
        0 => path.to_owned(),
        number => path.with_extension(number.to_string()),
    }
}

/// The length of all whole chunks.
fn whole_length(file: &File) -> std::io::Result<u64> {
    let mut chunks = Chunks::new(file.try_clone()?)?;
    let mut whole = 0;
    while let Some(chunk) = chunks.next()? {
        whole += (HEADER + chunk.data.len()) as u64;
    }
    Ok(whole)
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
    /// Bytes of `buffer` that hold the beginning of a chunk whose rest wasn't written yet.
    have: usize,
}

impl Chunks {
    fn new(file: File) -> std::io::Result<Chunks> {
        let inode = file.metadata()?.ino();
        let reader = BufReader::with_capacity(MAX_DATA, file);
        Ok(Chunks { reader, inode, buffer: vec![0; HEADER + MAX_DATA], have: 0 })
    }

    /// The next whole chunk; `None` at the end for now: more may be appended.
    fn next(&mut self) -> std::io::Result<Option<Chunk<'_>>> {
        if !self.fill(HEADER)? {
            return Ok(None);
        }
        let word = u32::from_le_bytes(self.buffer[..4].try_into().unwrap_or_default());
        let length = (word & 0xff_ffff) as usize;
        let stream = match word >> 24 {
            1 => Stream::Stdout,
            2 => Stream::Stderr,
            _ => return Err(foreign()),
        };
        if length > MAX_DATA {
            return Err(foreign());
        }
        if !self.fill(HEADER + length)? {
            return Ok(None);
        }
        self.have = 0;
        let time = i64::from_le_bytes(self.buffer[4..HEADER].try_into().unwrap_or_default());
        let data = &self.buffer[HEADER..HEADER + length];
        Ok(Some(Chunk { stream, time: Instant(time), data }))
    }

    fn for_each(&mut self, each: &mut dyn FnMut(Chunk<'_>) -> Result<()>) -> Result<()> {
        loop {
            match self.next().context(|| "read the log")? {
                Some(chunk) => each(chunk)?,
                None => return Ok(()),
            }
        }
    }

    fn fill(&mut self, wanted: usize) -> std::io::Result<bool> {
        while self.have < wanted {
            match self.reader.read(&mut self.buffer[self.have..wanted]) {
                Ok(0) => return Ok(false),
                Ok(read) => self.have += read,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(true)
    }
}

fn foreign() -> std::io::Error {
    std::io::Error::new(ErrorKind::InvalidData, "not a log of this version")
}

/// What of a log is wanted, and how.
pub struct Selection {
    pub timestamps: bool,
    pub tail: Option<u64>,
    pub since: Option<Instant>,
    pub until: Option<Instant>,
}

/// The reading end: all files of one log, oldest first, as one row of chunks.
pub struct Reader {
    path: PathBuf,
    /// Oldest first; the last is the one being written when it was opened.
    files: Vec<Chunks>,
}

impl Reader {
    pub fn open(path: &Path) -> Result<Reader> {
        let mut files = Vec::new();
        for number in 0.. {
            match File::open(numbered(path, number)) {
                Ok(file) => files.push(Chunks::new(file).context(|| "open the log")?),
                Err(error) if error.kind() == ErrorKind::NotFound => break,
                Err(error) => return Err(error).context(|| format!("open {}", path.display())),
            }
        }
        files.reverse();
        // A rotation between two opens makes one file appear twice.
        files.dedup_by_key(|file| file.inode);
        Ok(Reader { path: path.to_owned(), files })
    }

    /// Hands every chunk up to the present end to `each`.
    fn for_each(&mut self, each: &mut dyn FnMut(Chunk<'_>) -> Result<()>) -> Result<()> {
        while !self.files.is_empty() {
            self.files[0].for_each(each)?;
            if self.files.len() == 1 {
                let Some(newer) = self.newer(self.files[0].inode)? else { return Ok(()) };
                self.files.push(newer);
                // Written between our last look and the rotation.
                self.files[0].for_each(each)?;
            }
            self.files.remove(0);
        }
        Ok(())
    }

    /// The file that follows the one with `inode`, if that has been rotated away.
    fn newer(&self, inode: u64) -> Result<Option<Chunks>> {
        let mut newer = None;
        for number in 0.. {
            match File::open(numbered(&self.path, number)) {
                Ok(file) => {
                    let file = Chunks::new(file).context(|| "open the log")?;
                    if file.inode == inode {
                        return Ok(newer);
                    }
                    newer = Some(file);
                }
                Err(_) => break,
            }
        }
        // Rotated out altogether: the oldest that is left comes next.
        Ok(newer)
    }

    /// Writes what is selected, up to the present end, to `out` and `err`. Called again it goes on
    /// from there.
    pub fn print(
        &mut self,
        printer: &mut Printer,
        out: &mut dyn Write,
        err: &mut dyn Write,
    ) -> Result<()> {
        self.for_each(&mut |chunk| printer.chunk(&chunk, out, err))?;
        out.flush().and_then(|()| err.flush()).context(|| "write the output")
    }
}

/// Makes lines of chunks again, to count, date and choose them.
pub struct Printer {
    selection: Selection,
    /// Lines yet to be passed over for `tail`.
    skip: u64,
    /// Per stream: whether a line is open and whether it is printed.
    open: HashMap<u8, bool>,
}

impl Printer {
    /// Counts the lines beforehand if only the last are wanted.
    pub fn new(path: &Path, selection: Selection) -> Result<Printer> {
        let mut printer = Printer { selection, skip: 0, open: HashMap::new() };
        if let Some(tail) = printer.selection.tail {
            let mut lines = 0u64;
            let mut open = HashMap::new();
            let selection = &printer.selection;
            Reader::open(path)?.for_each(&mut |chunk| {
                if selection.has(chunk.time) {
                    lines += count_lines(&mut open, &chunk);
                }
                Ok(())
            })?;
            printer.skip = lines.saturating_sub(tail);
        }
        Ok(printer)
    }

    fn chunk(&mut self, chunk: &Chunk<'_>, out: &mut dyn Write, err: &mut dyn Write) -> Result<()> {
        let to: &mut dyn Write = if chunk.stream == Stream::Stdout { out } else { err };
        let key = chunk.stream as u8;
        let wrote = (|| -> std::io::Result<()> {
            let plain = !self.selection.timestamps && self.selection.tail.is_none();
            if plain && self.selection.since.is_none() && self.selection.until.is_none() {
                return to.write_all(chunk.data);
            }
            for piece in chunk.data.split_inclusive(|&byte| byte == b'\n') {
                let printed = match self.open.get(&key) {
                    Some(&printed) => printed,
                    None => {
                        let mut printed = self.selection.has(chunk.time);
                        if printed && self.skip > 0 {
                            self.skip -= 1;
                            printed = false;
                        }
                        if printed && self.selection.timestamps {
                            write!(to, "{} ", chunk.time.to_rfc3339())?;
                        }
                        printed
                    }
                };
                if printed {
                    to.write_all(piece)?;
                }
                if piece.ends_with(b"\n") {
                    self.open.remove(&key);
                } else {
                    self.open.insert(key, printed);
                }
            }
            Ok(())
        })();
        wrote.context(|| "write the output")
    }
}

impl Selection {
    fn has(&self, time: Instant) -> bool {
        self.since.is_none_or(|since| time >= since) && self.until.is_none_or(|until| time <= until)
    }
}

/// How many lines begin in this chunk.
fn count_lines(open: &mut HashMap<u8, ()>, chunk: &Chunk<'_>) -> u64 {
    let key = chunk.stream as u8;
    let mut lines = 0;
    for piece in chunk.data.split_inclusive(|&byte| byte == b'\n') {
        if open.remove(&key).is_none() {
            lines += 1;
        }
        if !piece.ends_with(b"\n") {
            open.insert(key, ());
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Dir(PathBuf);

    impl Dir {
        fn new(name: &str) -> Dir {
            let dir = std::env::temp_dir().join(format!("logs-{name}-{}", std::process::id()));
            fs::create_dir_all(&dir).unwrap();
            Dir(dir)
        }

        fn log(&self) -> PathBuf {
            self.0.join("log")
        }

        fn print(&self, selection: Selection) -> (String, String) {
            let (mut out, mut err) = (Vec::new(), Vec::new());
            let mut printer = Printer::new(&self.log(), selection).unwrap();
            Reader::open(&self.log()).unwrap().print(&mut printer, &mut out, &mut err).unwrap();
            (String::from_utf8(out).unwrap(), String::from_utf8(err).unwrap())
        }
    }

    impl Drop for Dir {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    fn all() -> Selection {
        Selection { timestamps: false, tail: None, since: None, until: None }
    }

    #[test]
    fn streams_stay_apart_and_lines_are_made_whole() {
        let dir = Dir::new("streams");
        let mut writer = Writer::open(&dir.log(), 1 << 20, 3).unwrap();
        for (stream, data) in
            [(Stream::Stdout, "one\ntw"), (Stream::Stderr, "bad\n"), (Stream::Stdout, "o\nthree\n")]
        {
            writer.append(stream, data.as_bytes()).unwrap();
        }
        assert_eq!(dir.print(all()), ("one\ntwo\nthree\n".into(), "bad\n".into()));
        let last = Selection { tail: Some(2), ..all() };
        assert_eq!(dir.print(last), ("three\n".into(), "bad\n".into()));
        let none = Selection { tail: Some(0), ..all() };
        assert_eq!(dir.print(none), (String::new(), String::new()));
        let dated = dir.print(Selection { timestamps: true, ..all() });
        assert_eq!(dated.0.lines().count(), 3);
        assert!(dated.0.lines().all(|line| line.contains("Z ")), "{}", dated.0);
    }

    #[test]
    fn rotates_and_keeps_the_newest() {
        let dir = Dir::new("rotate");
        let mut writer = Writer::open(&dir.log(), 100, 3).unwrap();
        for number in 0..50 {
            writer.append(Stream::Stdout, format!("line {number:02}\n").as_bytes()).unwrap();
        }
        assert!(dir.0.join("log.2").exists() && !dir.0.join("log.3").exists());
        let (out, _) = dir.print(all());
        assert!(out.ends_with("line 49\n"));
        let first: u32 = out[5..7].parse().unwrap();
        let expected: String = (first..50).map(|number| format!("line {number:02}\n")).collect();
        assert_eq!(out, expected);
    }

    #[test]
    fn a_torn_end_is_cut_off() {
        let dir = Dir::new("torn");
        let mut writer = Writer::open(&dir.log(), 1 << 20, 3).unwrap();
        writer.append(Stream::Stdout, b"whole\n").unwrap();
        let mut bytes = fs::read(dir.log()).unwrap();
        bytes.extend_from_slice(&[9, 0, 0, 1, 0, 0]);
        fs::write(dir.log(), &bytes).unwrap();
        assert_eq!(dir.print(all()).0, "whole\n");
        let mut writer = Writer::open(&dir.log(), 1 << 20, 3).unwrap();
        writer.append(Stream::Stdout, b"again\n").unwrap();
        assert_eq!(dir.print(all()).0, "whole\nagain\n");
    }

    #[test]
    fn a_reader_follows_through_rotation() {
        let dir = Dir::new("follow");
        let mut writer = Writer::open(&dir.log(), 60, 3).unwrap();
        writer.append(Stream::Stdout, b"a\n").unwrap();
        let mut reader = Reader::open(&dir.log()).unwrap();
        let mut printer = Printer::new(&dir.log(), all()).unwrap();
        let (mut out, mut err) = (Vec::new(), Vec::new());
        for text in ["b\n", "c\n", "d\n", "e\n", "f\n", "g\n"] {
            reader.print(&mut printer, &mut out, &mut err).unwrap();
            writer.append(Stream::Stdout, text.as_bytes()).unwrap();
        }
        reader.print(&mut printer, &mut out, &mut err).unwrap();
        assert_eq!(String::from_utf8(out).unwrap(), "a\nb\nc\nd\ne\nf\ng\n");
    }
}
