//! Reads a container's log: opens all its files as one sequence of chunks, oldest first, and turns
//! chunks into lines for `logs`.
//!
//! The writer may rotate the files at the same time. So each file is identified by its inode, and
//! the reader follows the files in the order of rotation. A damaged file does not stop the reader;
//! `Reader::check` reports the damage at the end. The parent module defines the format of a chunk.

use std::collections::HashMap;
use std::fs::File;
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

use super::{Chunk, Chunks, numbered};
use crate::container::protocol::Stream;
use crate::error::{Context, Result, fail};
use crate::time::Instant;

/// The lines to print, and the text before each line.
pub struct Selection {
    /// Whether to print each line's time before the line.
    pub timestamps: bool,
    /// The text to print before each line, after its time.
    pub details: Option<String>,
    /// The number of present lines to print, counted from the end; `None` means all lines.
    pub tail: Option<u64>,
    /// The earliest time of a line to print. `until` is the latest.
    pub since: Option<Instant>,
    pub until: Option<Instant>,
}

/// All files of one log as one sequence of chunks.
pub struct Reader {
    path: PathBuf,
    /// The files that are still to be read, oldest first.
    files: Vec<Chunks>,
    /// Whether to read chunks that are written after the log was opened.
    follow: bool,
    /// The streams whose last chunk ended without a newline.
    mid_line: Vec<Stream>,
    /// Whether a damaged chunk was found.
    damaged: bool,
}

impl Reader {
    /// Opens the log. Without `follow` the reader stops at the present end of the log.
    pub fn open(path: &Path, follow: bool) -> Result<Reader> {
        let mut files = files(path)?;
        files.reverse();
        // If a rotation happens between two opens, `files` may open one file twice.
        files.dedup_by_key(|file| file.inode);
        if !follow {
            for file in &mut files {
                file.stop_at_present_end().context(|| "read the log")?;
            }
        }
        Ok(Reader { path: path.to_owned(), files, follow, mid_line: Vec::new(), damaged: false })
    }

    /// Reads all chunks up to the present end, and then returns to the start.
    fn look_ahead(&mut self, each: &mut dyn FnMut(Chunk<'_>) -> Result<()>) -> Result<()> {
        for at in 0..self.files.len() {
            self.files[at].stop_at_present_end().context(|| "read the log")?;
            self.read_file(at, each)?;
            self.files[at].rewind().context(|| "read the log")?;
            if self.follow {
                self.files[at].left = u64::MAX;
            }
        }
        self.mid_line.clear();
        Ok(())
    }

    /// Calls `each` with the next chunks, up to the present end of the log.
    fn for_each(&mut self, each: &mut dyn FnMut(Chunk<'_>) -> Result<()>) -> Result<()> {
        if self.files.is_empty() && self.follow {
            *self = Reader::open(&self.path, true)?;
        }
        while !self.files.is_empty() {
            self.read_file(0, each)?;
            if self.files.len() == 1 && self.follow {
                let Some(newer) = self.newer(self.files[0].inode)? else { return Ok(()) };
                let adjoins = newer.adjoins;
                self.files.push(newer.file);
                // The writer may have written more chunks between the last read and the rotation.
                self.read_file(0, each)?;
                if !adjoins {
                    self.end_lines(each)?;
                }
            }
            self.files.remove(0);
        }
        Ok(())
    }

    fn read_file(
        &mut self,
        at: usize,
        each: &mut dyn FnMut(Chunk<'_>) -> Result<()>,
    ) -> Result<()> {
        loop {
            match self.files[at].next() {
                Ok(Some(chunk)) => {
                    let (stream, last) = (chunk.stream, chunk.data.last().copied());
                    each(chunk)?;
                    self.mid_line.retain(|open| *open != stream);
                    if last.is_some_and(|byte| byte != b'\n') {
                        self.mid_line.push(stream);
                    }
                }
                Ok(None) => return Ok(()),
                Err(error) if error.kind() == ErrorKind::InvalidData => {
                    self.damaged = true;
                    return Ok(());
                }
                Err(error) => return Err(error).context(|| "read the log"),
            }
        }
    }

    /// Ends incomplete lines, because the chunks that would complete them are lost.
    fn end_lines(&mut self, each: &mut dyn FnMut(Chunk<'_>) -> Result<()>) -> Result<()> {
        for stream in self.mid_line.drain(..) {
            each(Chunk { stream, time: Instant::now(), data: b"\n" })?;
        }
        Ok(())
    }

    /// The file after the file with `inode`; `None` if that file is still the newest or if no file
    /// exists.
    fn newer(&self, inode: u64) -> Result<Option<Newer>> {
        let mut newer = None;
        for file in files(&self.path)? {
            if file.inode == inode {
                return Ok(newer.map(|file| Newer { file, adjoins: true }));
            }
            newer = Some(file);
        }
        // The file was removed by a rotation, so the oldest remaining file is next.
        Ok(newer.map(|file| Newer { file, adjoins: false }))
    }

    /// Fails if a damaged chunk was found. The rest of that chunk's file was not read.
    pub fn check(&self) -> Result<()> {
        if self.damaged {
            fail!("{} is damaged: some of what it held is lost", self.path.display());
        }
        Ok(())
    }

    /// Writes the selected lines up to the present end of the log to `out` and `err`. With `follow`
    /// the next call continues at that end. Fails if a log file cannot be read or the output cannot
    /// be written.
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

/// The next file of a log.
struct Newer {
    file: Chunks,
    /// Whether `file` directly follows the file that was read last. Otherwise the files between the
    /// two are lost.
    adjoins: bool,
}

/// Opens the log's files, newest first, while the writer may rename them. The writer renames each
/// file to a higher number. In this order a file may be opened twice, but a rename does not hide a
/// file. One missing number is skipped, because such a gap exists for a moment during a rotation.
fn files(path: &Path) -> Result<Vec<Chunks>> {
    let mut files = Vec::new();
    let mut missing = 0;
    for number in 0.. {
        match File::open(numbered(path, number)) {
            Ok(file) => {
                missing = 0;
                files.push(Chunks::new(file).context(|| "open the log")?);
            }
            Err(error) if error.kind() == ErrorKind::NotFound && missing == 0 => missing += 1,
            Err(error) if error.kind() == ErrorKind::NotFound => break,
            Err(error) => return Err(error).context(|| format!("open {}", path.display())),
        }
    }
    Ok(files)
}

/// Turns chunks into lines, selects lines and prints them.
pub struct Printer {
    selection: Selection,
    /// The number of lines still to skip before the last `tail` lines.
    skip: u64,
    /// For each stream with an incomplete line: whether that line is printed.
    open: HashMap<u8, bool>,
}

impl Printer {
    /// Creates the printer. With `Selection::tail` reads the whole log once to count its lines.
    pub fn new(reader: &mut Reader, selection: Selection) -> Result<Printer> {
        let mut printer = Printer { selection, skip: 0, open: HashMap::new() };
        if let Some(tail) = printer.selection.tail {
            let mut lines = 0u64;
            let mut open = HashMap::new();
            let selection = &printer.selection;
            reader.look_ahead(&mut |chunk| {
                // A line belongs to the time of its start.
                let started = count_lines(&mut open, &chunk);
                lines += if selection.has(chunk.time) { started } else { 0 };
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
            let is_bare = !self.selection.timestamps && self.selection.details.is_none();
            let plain = is_bare && self.selection.tail.is_none();
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
                        if let Some(details) = self.selection.details.as_ref().filter(|_| printed) {
                            write!(to, "{details} ")?;
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

/// The number of lines that start in this chunk.
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
    use super::super::Writer;
    use super::*;
    use std::fs;

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
            let mut reader = Reader::open(&self.log(), false).unwrap();
            let mut printer = Printer::new(&mut reader, selection).unwrap();
            reader.print(&mut printer, &mut out, &mut err).unwrap();
            (String::from_utf8(out).unwrap(), String::from_utf8(err).unwrap())
        }
    }

    impl Drop for Dir {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    fn all() -> Selection {
        Selection { timestamps: false, details: None, tail: None, since: None, until: None }
    }

    #[test]
    fn streams_are_separate_and_lines_are_joined_from_chunks() {
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
    fn a_line_that_starts_before_the_time_does_not_count() {
        let dir = Dir::new("since");
        let mut writer = Writer::open(&dir.log(), 1 << 20, 3).unwrap();
        writer.append(Stream::Stdout, b"one\ntw").unwrap();
        std::thread::sleep(std::time::Duration::from_millis(5));
        let since = Some(Instant::now());
        writer.append(Stream::Stdout, b"o\nthree\nfour\n").unwrap();
        let last = Selection { tail: Some(2), since, ..all() };
        assert_eq!(dir.print(last).0, "three\nfour\n");
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
        let mut reader = Reader::open(&dir.log(), true).unwrap();
        let mut printer = Printer::new(&mut reader, all()).unwrap();
        let (mut out, mut err) = (Vec::new(), Vec::new());
        for text in ["b\n", "c\n", "d\n", "e\n", "f\n", "g\n"] {
            reader.print(&mut printer, &mut out, &mut err).unwrap();
            writer.append(Stream::Stdout, text.as_bytes()).unwrap();
        }
        reader.print(&mut printer, &mut out, &mut err).unwrap();
        assert_eq!(String::from_utf8(out).unwrap(), "a\nb\nc\nd\ne\nf\ng\n");
    }

    #[test]
    fn a_line_cut_by_rotation_is_not_joined_with_another() {
        let dir = Dir::new("overtaken");
        let mut writer = Writer::open(&dir.log(), 60, 2).unwrap();
        // The next chunk does not fit into the same file.
        let started = "x".repeat(40);
        writer.append(Stream::Stdout, started.as_bytes()).unwrap();
        let mut reader = Reader::open(&dir.log(), true).unwrap();
        let mut printer = Printer::new(&mut reader, all()).unwrap();
        let (mut out, mut err) = (Vec::new(), Vec::new());
        reader.print(&mut printer, &mut out, &mut err).unwrap();
        for _ in 0..20 {
            writer.append(Stream::Stdout, b"end of another\n").unwrap();
        }
        reader.print(&mut printer, &mut out, &mut err).unwrap();
        let out = String::from_utf8(out).unwrap();
        let lines: Vec<&str> = out.lines().collect();
        assert_eq!(lines[..2], [started.as_str(), "end of another"]);
        assert!(lines.len() < 20, "it was not overtaken: {out}");
    }
}
