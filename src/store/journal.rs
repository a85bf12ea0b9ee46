//! The journal of events: two files in `<run>/.events`, one line of JSON for each event.
//!
//! The journal is in the run root, which is usually in memory. So events do not wear out a disk,
//! and a reboot empties the journal. [`append`] writes its events with one write(2) and without a
//! lock. When `journal` is full, a writer renames `journal` to `journal.old`, which replaces the
//! older file. So both files together take at most about twice `MAX_FILE`. A killed writer may
//! leave an incomplete line. [`append`] starts with a newline, which ends such a line, and a reader
//! skips every line that is no event. If the journal cannot be written, no command fails.

use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, Mode, OFlags, flock};
use rustix::io::Errno;

use super::{Roots, make_dir, open_existing};
use crate::error::{Context, Result};
use crate::event::Event;

/// The size in bytes above which a writer renames the file: several hundred events.
const MAX_FILE: u64 = 256 << 10;
/// The size in bytes from which a reader drops the rest of a line. Such a line is skipped.
const MAX_LINE: usize = 128 << 10;

/// The directory of the journal's files. The directory may not exist yet.
pub fn dir(roots: &Roots) -> PathBuf {
    roots.run.join(".events")
}

fn current(dir: &Path) -> PathBuf {
    dir.join("journal")
}

/// Appends `events`. If the write fails, the events are lost, and the caller gets no error.
pub fn append(roots: &Roots, events: &[Event]) {
    if events.is_empty() {
        return;
    }
    let mut text = String::with_capacity(512);
    for event in events {
        text.push('\n');
        text.push_str(&miniserde::json::to_string(event));
    }
    text.push('\n');
    let _ = write(&dir(roots), &text);
}

fn write(dir: &Path, text: &str) -> Result<()> {
    let path = current(dir);
    let flags = OFlags::WRONLY | OFlags::APPEND | OFlags::CREATE | OFlags::CLOEXEC;
    let open = || rustix::fs::open(&path, flags, Mode::RUSR | Mode::WUSR);
    let file = match open() {
        Err(Errno::NOENT) => {
            make_dir(dir)?;
            open()
        }
        opened => opened,
    };
    let mut file = File::from(file.context(|| format!("open {}", path.display()))?);
    file.write_all(text.as_bytes())?;
    if file.stream_position()? > MAX_FILE {
        // Of several writers that find the file full, only the one with the lock renames it.
        let is_ours = flock(&file, FlockOperation::NonBlockingLockExclusive).is_ok();
        if is_ours && inode(&fs::metadata(&path)?) == inode(&file.metadata()?) {
            fs::rename(&path, dir.join("journal.old"))?;
        }
    }
    Ok(())
}

fn inode(metadata: &fs::Metadata) -> (u64, u64) {
    (metadata.dev(), metadata.ino())
}

/// Reads the events of the journal, the older file first. Each call of `read` continues where the
/// last one ended. If `journal` was renamed twice between two calls, the second call may miss
/// events.
pub struct Reader {
    dir: PathBuf,
    /// The file before `current`. A slow writer may still append to this file.
    former: Option<Tail>,
    current: Option<Tail>,
}

/// One file of the journal. The descriptor's offset is the position at which the next read starts.
struct Tail {
    file: File,
    inode: (u64, u64),
    /// The start of a line whose end was not read yet.
    rest: Vec<u8>,
}

impl Reader {
    /// Opens the journal at its start, or at its end if `only_new`. A journal that does not exist
    /// yet is no error.
    pub fn open(roots: &Roots, only_new: bool) -> Result<Reader> {
        let dir = dir(roots);
        // Open the newer file first. If a writer renames that file before the second open, both
        // opens find that file. In the other order, neither open would find it.
        let mut current = Tail::open(&current(&dir))?;
        let mut former = Tail::open(&dir.join("journal.old"))?;
        if let (Some(newer), Some(older)) = (&current, &former)
            && newer.inode == older.inode
        {
            former = None;
        }
        if only_new {
            for tail in current.iter_mut().chain(&mut former) {
                tail.file.seek(SeekFrom::End(0)).context(|| "go to the journal's end")?;
            }
        }
        Ok(Reader { dir, former, current })
    }

    /// Calls `take` for each event from the last position to the present end.
    pub fn read(&mut self, take: &mut dyn FnMut(Event)) -> Result<()> {
        loop {
            for tail in self.former.iter_mut().chain(&mut self.current) {
                tail.read(take)?;
            }
            let next = Tail::open(&current(&self.dir))?;
            let is_known = |next: &Tail| {
                self.current.as_ref().is_some_and(|current| current.inode == next.inode)
            };
            match next {
                Some(next) if !is_known(&next) => {
                    self.former = self.current.replace(next).or(self.former.take());
                }
                _ => break,
            }
        }
        // Close removed files. If the journal's directory was removed too, inotify(7) reports the
        // removal of the directory only after the files that were in the directory are closed.
        self.former.take_if(|tail| tail.is_removed());
        self.current.take_if(|tail| tail.is_removed());
        Ok(())
    }
}

impl Tail {
    fn open(path: &Path) -> Result<Option<Tail>> {
        let Some(file) = open_existing(path)? else { return Ok(None) };
        let metadata = file.metadata().context(|| format!("look at {}", path.display()))?;
        Ok(Some(Tail { file, inode: inode(&metadata), rest: Vec::new() }))
    }

    fn is_removed(&self) -> bool {
        self.file.metadata().is_ok_and(|metadata| metadata.nlink() == 0)
    }

    fn read(&mut self, take: &mut dyn FnMut(Event)) -> Result<()> {
        let mut buffer = [0; 8192];
        loop {
            let length = self.file.read(&mut buffer).context(|| "read the journal of events")?;
            if length == 0 {
                return Ok(());
            }
            for part in buffer[..length].split_inclusive(|&byte| byte == b'\n') {
                if self.rest.len() < MAX_LINE {
                    self.rest.extend_from_slice(part);
                }
                if part.ends_with(b"\n") {
                    let line = std::mem::take(&mut self.rest);
                    let text = std::str::from_utf8(&line).unwrap_or_default();
                    if let Ok(event) = miniserde::json::from_str(text) {
                        take(event);
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Kind;

    fn roots(name: &str) -> Roots {
        let dir = std::env::temp_dir().join(format!("mydocker-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&dir);
        Roots::new(Some(dir.join("root")), Some(dir.join("run"))).unwrap()
    }

    fn read(reader: &mut Reader) -> Vec<String> {
        let mut ids = Vec::new();
        reader.read(&mut |event| ids.push(event.id)).unwrap();
        ids
    }

    fn note(roots: &Roots, id: &str) {
        append(roots, &[Event::new(Kind::Volume, "create", id)]);
    }

    #[test]
    fn an_incomplete_line_is_skipped() {
        let roots = roots("torn");
        note(&roots, "one");
        let mut file = File::options().append(true).open(current(&dir(&roots))).unwrap();
        file.write_all(b"\n{\"time\":1,\"kind\":\"vol").unwrap();
        let mut reader = Reader::open(&roots, false).unwrap();
        assert_eq!(read(&mut reader), ["one"]);
        note(&roots, "two");
        assert_eq!(read(&mut reader), ["two"]);
        assert_eq!(read(&mut Reader::open(&roots, false).unwrap()), ["one", "two"]);
        let mut late = Reader::open(&roots, true).unwrap();
        assert!(read(&mut late).is_empty());
        note(&roots, "three");
        assert_eq!(read(&mut late), ["three"]);
        fs::remove_dir_all(roots.run.parent().unwrap()).unwrap();
    }

    #[test]
    fn the_journal_is_bounded_and_a_follower_misses_nothing() {
        let roots = roots("bounded");
        let mut reader = Reader::open(&roots, true).unwrap();
        let mut seen = 0;
        let filler = "x".repeat(4000);
        for number in 0..200 {
            let event = Event::new(Kind::Volume, "create", &number.to_string());
            append(&roots, &[event.with("filler", &filler)]);
            if number % 7 == 0 {
                for id in read(&mut reader) {
                    assert_eq!(id, seen.to_string());
                    seen += 1;
                }
            }
        }
        assert_eq!(read(&mut reader).last().map(String::as_str), Some("199"));
        let size: u64 = fs::read_dir(dir(&roots))
            .unwrap()
            .map(|entry| entry.unwrap().metadata().unwrap().len())
            .sum();
        assert!(size < 2 * MAX_FILE + 8192, "{size}");
        let kept = read(&mut Reader::open(&roots, false).unwrap());
        assert!(kept.len() > 60 && kept.last().unwrap() == "199", "{}", kept.len());
        fs::remove_dir_all(roots.run.parent().unwrap()).unwrap();
    }
}
