//! A streaming writer of tar archives: the same entries always give the same bytes.
//!
//! Headers are plain ustar. A PAX header before them (POSIX.1-2024, pax) has what they can't hold:
//! long names, big numbers, times before 1970, extended attributes (star's `SCHILY.xattr.*`). The
//! map of a file with holes comes before the file's data (GNU's PAX format 1.0, which Go reads
//! too). Times are written in whole seconds, as Docker writes them: fractions would cost a kilobyte
//! for each entry.

use std::io::{Cursor, Read, Write};

use super::pax::push_record;
use super::{BLOCK, Entry, Kind, MAX_PATH};
use crate::error::{Context, Result, fail};

/// The largest numbers of 7 and of 11 octal digits.
const MAX_OCTAL_7: u64 = 0o777_7777;
const MAX_OCTAL_11: u64 = 0o777_7777_7777;
const NAME_LENGTH: usize = 100;
/// The number of zero bytes at an archive's end.
const END_MARK: usize = 2 * BLOCK;

/// Writes one archive to `output`.
pub struct Writer<W> {
    output: W,
    /// The bytes of the current entry's data that are still to come.
    left: u64,
    /// The zeroes after that data up to the next block.
    padding: usize,
}

impl<W: Write> Writer<W> {
    /// Returns a writer of an archive to `output`.
    pub fn new(output: W) -> Writer<W> {
        Writer { output, left: 0, padding: 0 }
    }

    /// Ends the previous entry and starts this one. The caller then passes the file's data to
    /// [`Writer::data`]: all data, or for a file with holes only that of its extents.
    pub fn begin(&mut self, entry: &Entry) -> Result<()> {
        self.end()?;
        let Headers { blocks, data, padding } = Headers::of(entry);
        self.write(&blocks)?;
        self.left = data;
        self.padding = padding;
        Ok(())
    }

    /// Writes a piece of the current entry's data. Bytes beyond the header's size are dropped.
    pub fn data(&mut self, bytes: &[u8]) -> Result<()> {
        let fitting = bytes.len().min(usize::try_from(self.left).unwrap_or(usize::MAX));
        self.write(&bytes[..fitting])?;
        self.left -= fitting as u64;
        Ok(())
    }

    /// Ends the current entry. If the file has become shorter since its header was written, zeroes
    /// fill the rest.
    fn end(&mut self) -> Result<()> {
        const ZEROES: [u8; 8192] = [0; 8192];
        while self.left > 0 {
            self.data(&ZEROES)?;
        }
        let padding = std::mem::take(&mut self.padding);
        self.write(&ZEROES[..padding])
    }

    /// Writes the end mark and returns the output.
    pub fn finish(mut self) -> Result<W> {
        self.end()?;
        self.write(&[0; END_MARK])?;
        self.output.flush().context(|| "write the archive")?;
        Ok(self.output)
    }

    fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.output.write_all(bytes).context(|| "write the archive")
    }
}

/// Returns an archive of one file that root owns, dated 1970: the same data gives the same bytes.
/// `data` must have `size` bytes; it is read only when the archive is read.
pub fn one_file(name: &str, mode: u32, size: u64, data: impl Read) -> impl Read {
    let entry = Entry { mode, size, ..Entry::empty(name.as_bytes(), Kind::File) };
    let Headers { blocks, padding, .. } = Headers::of(&entry);
    let end = vec![0; padding + END_MARK];
    Cursor::new(blocks).chain(data.take(size)).chain(Cursor::new(end))
}

/// The bytes that an archive has before and after the data of one entry.
struct Headers {
    /// All blocks before the data: a PAX header if the entry needs one, the ustar header, and the
    /// map of a file with holes.
    blocks: Vec<u8>,
    /// The length of the data, in bytes.
    data: u64,
    /// The zeroes after the data up to the next block.
    padding: usize,
}

impl Headers {
    fn of(entry: &Entry) -> Headers {
        let mut header = Header::new(entry);
        let mut records = Vec::new();
        if entry.path.len() > NAME_LENGTH || entry.sparse.is_some() {
            header.short_name(&entry.path);
        } else {
            header.put(0, &entry.path);
        }
        let mut map = Vec::new();
        if let Some(extents) = &entry.sparse {
            map = format!("{}\n", extents.len()).into_bytes();
            for extent in extents {
                map.extend_from_slice(format!("{}\n{}\n", extent.offset, extent.length).as_bytes());
            }
            map.resize(map.len().next_multiple_of(BLOCK), 0);
            push_record(&mut records, b"GNU.sparse.major", b"1");
            push_record(&mut records, b"GNU.sparse.minor", b"0");
            push_record(&mut records, b"GNU.sparse.name", &entry.path);
            push_record(&mut records, b"GNU.sparse.realsize", entry.size.to_string().as_bytes());
        } else if entry.path.len() > NAME_LENGTH {
            push_record(&mut records, b"path", &entry.path);
        }
        if entry.link.len() > NAME_LENGTH {
            push_record(&mut records, b"linkpath", &entry.link);
        } else {
            header.put(157, &entry.link);
        }
        let data: u64 = match &entry.sparse {
            Some(extents) => extents.iter().map(|extent| extent.length).sum(),
            None => entry.size,
        };
        let stored = data + map.len() as u64;
        let mut number = |key: &str, at: usize, digits: usize, value: u64, most: u64| {
            if value > most {
                push_record(&mut records, key.as_bytes(), value.to_string().as_bytes());
            }
            header.octal(at, digits, if value > most { 0 } else { value });
        };
        number("uid", 108, 7, entry.uid.into(), MAX_OCTAL_7);
        number("gid", 116, 7, entry.gid.into(), MAX_OCTAL_7);
        number("size", 124, 11, stored, MAX_OCTAL_11);
        match u64::try_from(entry.mtime.0) {
            Ok(seconds) => number("mtime", 136, 11, seconds, MAX_OCTAL_11),
            Err(_) => {
                push_record(&mut records, b"mtime", entry.mtime.0.to_string().as_bytes());
                header.octal(136, 11, 0);
            }
        }
        for (name, value) in &entry.xattrs {
            push_record(&mut records, &[b"SCHILY.xattr.", name.as_slice()].concat(), value);
        }
        let mut blocks = Vec::new();
        if !records.is_empty() {
            blocks.extend_from_slice(&Header::pax(&entry.path, records.len()).finish());
            records.resize(records.len().next_multiple_of(BLOCK), 0);
            blocks.append(&mut records);
        }
        blocks.extend_from_slice(&header.finish());
        blocks.append(&mut map);
        let padding = (stored.wrapping_neg() % BLOCK as u64) as usize;
        Headers { blocks, data, padding }
    }
}

/// One header block that is being filled.
struct Header([u8; BLOCK]);

impl Header {
    fn new(entry: &Entry) -> Header {
        let mut header = Header::of_kind(match entry.kind {
            Kind::File => b'0',
            Kind::Hardlink => b'1',
            Kind::Symlink => b'2',
            Kind::Character => b'3',
            Kind::Block => b'4',
            Kind::Directory => b'5',
            Kind::Fifo => b'6',
        });
        header.octal(100, 7, entry.mode.into());
        if matches!(entry.kind, Kind::Character | Kind::Block) {
            // The kernel's device numbers, of 12 and 20 bits, fit in 7 octal digits.
            header.octal(329, 7, entry.device.0.into());
            header.octal(337, 7, entry.device.1.into());
        }
        header
    }

    fn pax(path: &[u8], size: usize) -> Header {
        let mut header = Header::of_kind(b'x');
        header.short_name(&[b"PaxHeaders/", path].concat());
        header.octal(100, 7, 0o644);
        header.octal(108, 7, 0);
        header.octal(116, 7, 0);
        header.octal(124, 11, size as u64);
        header.octal(136, 11, 0);
        header
    }

    fn of_kind(kind: u8) -> Header {
        let mut header = Header([0; BLOCK]);
        header.0[156] = kind;
        header.put(257, b"ustar\x0000");
        header
    }

    fn put(&mut self, at: usize, field: &[u8]) {
        self.0[at..at + field.len()].copy_from_slice(field);
    }

    /// Writes the first `NAME_LENGTH` bytes of a name. For the name of an entry, a PAX record holds
    /// the whole name.
    fn short_name(&mut self, name: &[u8]) {
        self.put(0, &name[..name.len().min(NAME_LENGTH)]);
    }

    fn octal(&mut self, at: usize, digits: usize, value: u64) {
        self.put(at, format!("{value:0digits$o}").as_bytes());
    }

    fn finish(mut self) -> [u8; BLOCK] {
        self.put(148, b"        ");
        let sum: u32 = self.0.iter().map(|&byte| u32::from(byte)).sum();
        self.put(148, format!("{sum:06o}\0 ").as_bytes());
        self.0
    }
}

/// Fails if no tar can hold the name, or if the name is longer than `MAX_PATH`.
pub fn check_name(name: &[u8]) -> Result<()> {
    if name.is_empty() || name.contains(&0) {
        fail!("bad name '{}' for an archive", name.escape_ascii());
    }
    if name.len() > MAX_PATH {
        fail!("its name has {} bytes: at most {MAX_PATH}", name.len());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::{Extent, Reader};
    use super::*;

    fn entry(path: &str, kind: Kind) -> Entry {
        Entry { mode: 0o644, mtime: (1_700_000_000, 0), ..Entry::empty(path.as_bytes(), kind) }
    }

    fn round(entry: &Entry, data: &[u8]) -> (Entry, Vec<u8>) {
        let mut writer = Writer::new(Vec::new());
        writer.begin(entry).unwrap();
        writer.data(data).unwrap();
        let bytes = writer.finish().unwrap();
        assert_eq!(bytes.len() % BLOCK, 0);
        let mut reader = Reader::new(&bytes[..]);
        let read = reader.next().unwrap().unwrap();
        let data = reader.data().unwrap().to_vec();
        assert!(reader.next().unwrap().is_none() && reader.ended());
        (read, data)
    }

    #[test]
    fn the_reader_gets_back_what_was_written() {
        let long = "d/".repeat(90) + "name";
        let mut entries = vec![
            entry("f", Kind::File),
            entry("d/", Kind::Directory),
            entry(&long, Kind::File),
            Entry { link: long.clone().into(), ..entry("l", Kind::Symlink) },
            Entry { link: b"f".to_vec(), ..entry("h", Kind::Hardlink) },
            Entry { device: (4095, 1_048_575), mode: 0o7777, ..entry("c", Kind::Character) },
            Entry { uid: u32::MAX - 1, gid: 3_000_000, ..entry("owned", Kind::Fifo) },
            Entry { mtime: (-5, 0), ..entry("old", Kind::File) },
            Entry { mtime: (1 << 40, 0), ..entry("far", Kind::File) },
            Entry {
                xattrs: vec![(b"user.a".to_vec(), b"\0=\n".to_vec())],
                ..entry("x", Kind::File)
            },
        ];
        entries.push(entry(&"x".repeat(100), Kind::File));
        entries.push(entry(&"x".repeat(101), Kind::File));
        for entry in &entries {
            let (read, _) = round(entry, b"");
            assert_eq!(format!("{read:?}"), format!("{entry:?}"));
        }
    }

    #[test]
    fn data_is_padded_filled_up_and_cut() {
        let five = Entry { size: 5, ..entry("f", Kind::File) };
        assert_eq!(round(&five, b"hello").1, b"hello");
        assert_eq!(round(&five, b"hello world").1, b"hello");
        assert_eq!(round(&five, b"he").1, b"he\0\0\0");
    }

    #[test]
    fn holes_are_kept() {
        let map = vec![Extent { offset: 4096, length: 3 }, Extent { offset: 1 << 40, length: 2 }];
        let sparse = Entry { size: 1 << 41, sparse: Some(map), ..entry("s/parse", Kind::File) };
        let (read, data) = round(&sparse, b"abcde");
        assert_eq!(format!("{read:?}"), format!("{sparse:?}"));
        assert_eq!(data, b"abcde");
    }

    #[test]
    fn an_archive_of_one_file() {
        let mut bytes = Vec::new();
        one_file("hello", 0o755, 5, &b"12345 and more"[..]).read_to_end(&mut bytes).unwrap();
        let entry = Entry { mode: 0o755, size: 5, ..Entry::empty(b"hello", Kind::File) };
        let mut writer = Writer::new(Vec::new());
        writer.begin(&entry).unwrap();
        writer.data(b"12345").unwrap();
        assert_eq!(bytes, writer.finish().unwrap());
    }
}
