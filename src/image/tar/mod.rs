//! Reads and writes (`writer`) tar archives as streams: names, metadata and data in the order of
//! the archive. This module does not touch the file system.
//!
//! The reader takes ustar and PAX (POSIX.1-2024, pax), GNU's long names, base-256 numbers and all
//! four sparse formats (tar.info, "Tar Internals"). Names are bytes and need not be UTF-8. Where
//! dialects disagree, the reader follows Go's archive/tar, because registries and Docker read
//! layers with it. Every length that the archive states is checked before memory is allocated.

mod header;
mod pax;
mod sparse;
#[cfg(test)]
pub mod testing;
mod writer;

use std::io::{BufRead, ErrorKind};

use crate::error::{Context, Error, Result, fail};
pub use header::Extent;
use header::Header;
use pax::Records;
pub use writer::{Writer, check_name, one_file};

/// The size of a block, in bytes.
pub const BLOCK: usize = 512;
/// The longest path of an entry, in bytes. The kernel has no such limit: a program reaches any
/// depth by chdir(2). The limit bounds the memory and the time that an archive can take for one
/// entry. A path of this length still fits in one argument of a program (MAX_ARG_STRLEN,
/// execve(2)), and leaves room in a PAX header for a link's target and attributes.
pub const MAX_PATH: usize = (128 << 10) - 1;
/// The longest target of a symbolic link that the kernel stores, in bytes. With its NUL, such a
/// target has PATH_MAX bytes.
const MAX_TARGET: usize = 4095;
/// The longest name in an archive, in bytes: `MAX_PATH`, and room for `./` before the path, `.wh.`
/// in the path and a slash after it.
const MAX_NAME: usize = MAX_PATH + 64;
/// The longest PAX header or GNU long name, in bytes. Go's archive/tar has the same limit.
const MAX_EXTENSION: u64 = 1 << 20;

/// The kind of an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    File,
    Directory,
    Symlink,
    Hardlink,
    Character,
    Block,
    Fifo,
}

/// One member of the archive.
#[derive(Clone, Debug)]
pub struct Entry {
    /// The path as written in the archive. The reader checks only its length.
    pub path: Vec<u8>,
    /// The target of a symbolic or hard link.
    pub link: Vec<u8>,
    pub kind: Kind,
    /// The permission bits, with setuid, setgid and sticky.
    pub mode: u32,
    pub uid: u32,
    pub gid: u32,
    /// The modification time: seconds since 1970, and nanoseconds.
    pub mtime: (i64, u32),
    /// The size of the unpacked file in bytes, including its holes.
    pub size: u64,
    /// The major and minor number of a device.
    pub device: (u32, u32),
    pub xattrs: Vec<(Vec<u8>, Vec<u8>)>,
    /// The positions of the data, if the file has holes.
    pub sparse: Option<Vec<Extent>>,
}

impl Entry {
    /// Returns an entry that root owns, dated 1970, without a mode or data.
    pub fn empty(path: &[u8], kind: Kind) -> Entry {
        Entry {
            path: path.to_vec(),
            link: Vec::new(),
            kind,
            mode: 0,
            uid: 0,
            gid: 0,
            mtime: (0, 0),
            size: 0,
            device: (0, 0),
            xattrs: Vec::new(),
            sparse: None,
        }
    }
}

/// Reads one archive from `input`.
pub struct Reader<R> {
    input: R,
    position: u64,
    /// The bytes of the current entry's data that are not consumed yet.
    left: u64,
    /// The bytes after that data up to the next block.
    padding: u64,
    ended: bool,
    /// The result of [`Reader::gnu_only`] so far.
    gnu_only: bool,
}

impl<R: BufRead> Reader<R> {
    /// Returns a reader of the archive in `input`.
    pub fn new(input: R) -> Reader<R> {
        Reader { input, position: 0, left: 0, padding: 0, ended: false, gnu_only: false }
    }

    /// Returns the next entry, or `None` at the end. The rest of the previous entry's data is
    /// skipped. Fails if the archive is truncated or damaged, if a name is too long, or if the type
    /// of an entry is not supported.
    pub fn next(&mut self) -> Result<Option<Entry>> {
        self.skip_data()?;
        let mut records = Records::default();
        let (mut long_path, mut long_link) = (None, None);
        loop {
            let start = self.position;
            let Some(block) = self.block()? else {
                if long_path.is_some() || long_link.is_some() || !records.is_empty() {
                    return Err(truncated());
                }
                return Ok(None);
            };
            if block.iter().all(|&byte| byte == 0) {
                self.ended = true;
                return Ok(None);
            }
            let at = || format!("tar header at byte {start}");
            let header = Header::parse(&block).context(at)?;
            self.gnu_only |= matches!(header.kind_flag, b'S' | b'V' | b'D');
            match header.kind_flag {
                b'x' | b'X' => {
                    records = Records::parse(&self.extension(&header)?).context(at)?;
                }
                // A global header is a comment in practice. Docker skips such a header too.
                b'g' => {
                    self.extension(&header)?;
                }
                b'L' => long_path = Some(until_nul(self.extension(&header)?)),
                b'K' => long_link = Some(until_nul(self.extension(&header)?)),
                // A volume label is not a file.
                b'V' => self.begin_data(header.size),
                b'M' => fail!("{}: a part of a multi-volume archive", at()),
                _ => {
                    return self.entry(header, long_path, long_link, records).context(at).map(Some);
                }
            }
            self.skip_data()?;
        }
    }

    /// Returns the next piece of the current entry's data; empty at the end of the data.
    pub fn data(&mut self) -> Result<&[u8]> {
        if self.left == 0 {
            return Ok(&[]);
        }
        let left = usize::try_from(self.left).unwrap_or(usize::MAX);
        let bytes = fill(&mut self.input)?;
        if bytes.is_empty() {
            return Err(truncated());
        }
        Ok(&bytes[..bytes.len().min(left)])
    }

    /// Marks the first `count` bytes of the last [`Reader::data`] as used.
    pub fn consume(&mut self, count: usize) {
        self.input.consume(count);
        self.left -= count as u64;
        self.position += count as u64;
    }

    /// Returns the number of bytes read so far. After [`Reader::next`] this is where the entry's
    /// data starts.
    pub fn position(&self) -> u64 {
        self.position
    }

    /// Returns how many bytes of the current entry's data in the archive are still to come.
    pub fn data_left(&self) -> u64 {
        self.left
    }

    /// Returns the underlying reader.
    pub fn input(&mut self) -> &mut R {
        &mut self.input
    }

    /// Whether an entry so far has a type that some other readers refuse: an old sparse file, a
    /// label or a dumpdir.
    pub fn gnu_only(&self) -> bool {
        self.gnu_only
    }

    /// Whether the archive had an end mark. One block of zeroes is enough.
    pub fn ended(&self) -> bool {
        self.ended
    }

    fn entry(
        &mut self,
        header: Header,
        long_path: Option<Vec<u8>>,
        long_link: Option<Vec<u8>>,
        mut records: Records,
    ) -> Result<Entry> {
        let mut path = long_path.unwrap_or(header.path);
        if let Some(longer) = records.path.take() {
            path = longer;
        }
        let kind = match header.kind_flag {
            // Before ustar, only a slash at the end of the name marked a directory. Some programs
            // still write such entries.
            b'0' | 0 | b'7' if path.ends_with(b"/") => Kind::Directory,
            b'0' | 0 | b'7' | b'S' => Kind::File,
            b'1' => Kind::Hardlink,
            b'2' => Kind::Symlink,
            b'3' => Kind::Character,
            b'4' => Kind::Block,
            b'5' | b'D' => Kind::Directory,
            b'6' => Kind::Fifo,
            other => fail!("unknown entry type '{}'", char::from(other).escape_default()),
        };
        // Only these types have data: files, and GNU's dumpdir (`D`). The size of any other entry
        // means nothing.
        let has_data = matches!(header.kind_flag, b'0' | 0 | b'7' | b'S' | b'D');
        let stored = if has_data { records.size.unwrap_or(header.size) } else { 0 };
        let mut size = stored;
        let mut sparse = None;
        if header.kind_flag == b'S' {
            let (map, real_size) = self.gnu_sparse_map(header.sparse)?;
            self.begin_data(stored);
            (sparse, size) = (Some(map), real_size);
        } else {
            self.begin_data(stored);
            if let Some(real_size) = records.sparse.real_size
                && kind == Kind::File
            {
                sparse = Some(if records.sparse.in_data {
                    self.sparse_map_in_data()?
                } else {
                    std::mem::take(&mut records.sparse.map)
                });
                size = real_size;
                if let Some(name) = records.sparse.name.take() {
                    path = name;
                }
            }
        }
        if let Some(map) = &sparse {
            sparse::check(map, size, self.left)?;
        }
        let link = records.link.or(long_link).unwrap_or(header.link);
        if path.len().max(link.len()) > MAX_NAME {
            fail!("a name of {} bytes: at most {MAX_PATH}", path.len().max(link.len()));
        }
        if kind == Kind::Symlink && link.len() > MAX_TARGET {
            fail!("the target of a symbolic link has {} bytes: at most {MAX_TARGET}", link.len());
        }
        Ok(Entry {
            path,
            link,
            kind,
            mode: header.mode,
            uid: records.uid.unwrap_or(header.uid),
            gid: records.gid.unwrap_or(header.gid),
            mtime: records.mtime.unwrap_or((header.mtime, 0)),
            size: if kind == Kind::File { size } else { 0 },
            device: header.device,
            xattrs: records.xattrs,
            sparse,
        })
    }

    /// Reads the whole data of an extension header. Fails if the data has more than `MAX_EXTENSION`
    /// bytes or is truncated.
    fn extension(&mut self, header: &Header) -> Result<Vec<u8>> {
        if header.size > MAX_EXTENSION {
            fail!("a tar extension header of {} bytes: at most {MAX_EXTENSION}", header.size);
        }
        self.begin_data(header.size);
        let mut bytes = Vec::with_capacity(header.size as usize);
        while self.left > 0 {
            let piece = self.data()?;
            bytes.extend_from_slice(piece);
            let count = piece.len();
            self.consume(count);
        }
        Ok(bytes)
    }

    fn begin_data(&mut self, size: u64) {
        self.left = size;
        self.padding = size.wrapping_neg() % BLOCK as u64;
    }

    fn skip_data(&mut self) -> Result<()> {
        while self.left > 0 {
            let count = self.data()?.len();
            self.consume(count);
        }
        self.left = std::mem::take(&mut self.padding);
        while self.left > 0 {
            // Padding means nothing, and some writers leave it out at the end.
            if fill(&mut self.input)?.is_empty() {
                self.left = 0;
                break;
            }
            let count = self.data()?.len();
            self.consume(count);
        }
        Ok(())
    }

    /// Reads the next 512 bytes. Returns `None` if the input has ended.
    fn block(&mut self) -> Result<Option<[u8; BLOCK]>> {
        let mut block = [0; BLOCK];
        let mut filled = 0;
        while filled < BLOCK {
            let bytes = fill(&mut self.input)?;
            if bytes.is_empty() {
                if filled == 0 {
                    return Ok(None);
                }
                return Err(truncated());
            }
            let count = bytes.len().min(BLOCK - filled);
            block[filled..filled + count].copy_from_slice(&bytes[..count]);
            self.input.consume(count);
            filled += count;
        }
        self.position += BLOCK as u64;
        Ok(Some(block))
    }
}

fn fill<R: BufRead>(input: &mut R) -> Result<&[u8]> {
    // A match with a retry is not possible: the borrow of a returned slice would last through the
    // loop.
    while let Err(error) = input.fill_buf() {
        if error.kind() != ErrorKind::Interrupted {
            return Err(error).context(|| "read the archive");
        }
    }
    Ok(input.fill_buf()?)
}

fn truncated() -> Error {
    Error::new("the archive is truncated")
}

fn until_nul(mut bytes: Vec<u8>) -> Vec<u8> {
    let end = bytes.iter().position(|&byte| byte == 0).unwrap_or(bytes.len());
    bytes.truncate(end);
    bytes
}

#[cfg(test)]
mod tests {
    use super::testing::{Writer, pax_record};
    use super::*;

    fn entries(bytes: &[u8]) -> Result<Vec<(Entry, Vec<u8>)>> {
        // Use a small buffer, so that the data crosses its boundaries.
        let mut reader = Reader::new(std::io::BufReader::with_capacity(100, bytes));
        let mut entries = Vec::new();
        while let Some(entry) = reader.next()? {
            let mut data = Vec::new();
            loop {
                let piece = reader.data()?;
                if piece.is_empty() {
                    break;
                }
                data.extend_from_slice(piece);
                let count = piece.len();
                reader.consume(count);
            }
            entries.push((entry, data));
        }
        Ok(entries)
    }

    #[test]
    fn reads_names_links_and_data() {
        let mut tar = Writer::default();
        tar.directory("d/").file("d/f", b"hello").link(b'2', "l", "d/f").link(b'1', "h", "d/f");
        let entries = entries(&tar.finish()).unwrap();
        let kinds: Vec<Kind> = entries.iter().map(|(entry, _)| entry.kind).collect();
        assert_eq!(kinds, [Kind::Directory, Kind::File, Kind::Symlink, Kind::Hardlink]);
        assert_eq!(entries[1].1, b"hello");
        assert_eq!(entries[3].0.link, b"d/f");
    }

    #[test]
    fn gnu_long_names_and_pax_override_the_header() {
        let long = "x/".repeat(200) + "y";
        let mut tar = Writer::default();
        tar.raw(b'L', "././@LongLink", &[long.as_bytes(), b"\0"].concat());
        tar.raw(b'K', "././@LongLink", b"target\0");
        tar.link(b'2', "short", "cut");
        tar.pax(&[("path", b"pax\xff\n=x"), ("uid", b"3000000"), ("mtime", b"-1.5")]);
        tar.file("short", b"1");
        let entries = entries(&tar.finish()).unwrap();
        assert_eq!(entries[0].0.path, long.as_bytes());
        assert_eq!(entries[0].0.link, b"target");
        assert_eq!(entries[1].0.path, b"pax\xff\n=x");
        assert_eq!(entries[1].0.uid, 3_000_000);
        assert_eq!(entries[1].0.mtime, (-2, 500_000_000));
    }

    #[test]
    fn the_pax_size_is_the_size_whatever_the_header_says() {
        // RUSTSEC-2026-0068: a reader that believes the header sees a hidden entry in the data.
        let mut inner = Writer::default();
        inner.file("hidden", b"x");
        let inner = inner.finish();
        let mut tar = Writer::default();
        tar.pax(&[("size", inner.len().to_string().as_bytes())]);
        tar.header(b'0', "outer", "", 0);
        tar.data(&inner);
        let entries = entries(&tar.finish()).unwrap();
        assert_eq!(entries.len(), 1);
        assert_eq!(entries[0].1, inner);
    }

    #[test]
    fn a_global_header_and_a_label_are_skipped() {
        let mut tar = Writer::default();
        tar.raw(b'g', "pax_global_header", &pax_record("comment", b"abc"));
        tar.raw(b'V', "label", b"").file("f", b"");
        assert_eq!(entries(&tar.finish()).unwrap().len(), 1);
    }

    #[test]
    fn all_sparse_formats_say_the_same() {
        let map = "2\n1024\n3\n9000\n2\n";
        let mut data = map.as_bytes().to_vec();
        data.resize(BLOCK, 0);
        data.extend_from_slice(b"abcde");
        let mut tar = Writer::default();
        tar.pax(&[
            ("GNU.sparse.major", b"1"),
            ("GNU.sparse.minor", b"0"),
            ("GNU.sparse.name", b"v1"),
            ("GNU.sparse.realsize", b"10000"),
        ]);
        tar.file("GNUSparseFile.1/v1", &data);
        tar.pax(&[("GNU.sparse.map", b"1024,3,9000,2"), ("GNU.sparse.size", b"10000")]);
        tar.file("v01", b"abcde");
        tar.pax(&[
            ("GNU.sparse.size", b"10000"),
            ("GNU.sparse.offset", b"1024"),
            ("GNU.sparse.numbytes", b"3"),
            ("GNU.sparse.offset", b"9000"),
            ("GNU.sparse.numbytes", b"2"),
        ]);
        tar.file("v00", b"abcde");
        tar.gnu_sparse("old", &[(1024, 3), (9000, 2)], 10000, b"abcde");
        let extents = [(1024, 3), (9000, 2)].map(|(offset, length)| Extent { offset, length });
        let entries = entries(&tar.finish()).unwrap();
        for ((entry, data), name) in entries.iter().zip(["v1", "v01", "v00", "old"]) {
            assert_eq!(entry.path, name.as_bytes());
            assert_eq!(entry.sparse.as_deref(), Some(&extents[..]), "{name}");
            assert_eq!((entry.size, data.as_slice()), (10000, &b"abcde"[..]), "{name}");
        }
        assert_eq!(entries.len(), 4);
    }

    #[test]
    fn a_sparse_map_that_does_not_fit_is_refused() {
        for map in ["5,1,1,9", "0,4,18446744073709551615,1", "0,5,9999,9", "0,4", "0,5,3,0,9,"] {
            let mut tar = Writer::default();
            tar.pax(&[("GNU.sparse.map", map.as_bytes()), ("GNU.sparse.size", b"10000")]);
            tar.file("f", b"abcde");
            assert!(entries(&tar.finish()).is_err(), "{map}");
        }
    }

    #[test]
    fn the_pieces_of_a_sparse_file_are_counted() {
        let refused = |tar: &mut Writer, reason: &str| {
            let error = entries(&tar.finish()).unwrap_err().to_string();
            assert!(error.contains(reason), "{error}");
        };
        let version_1 = [("GNU.sparse.major", &b"1"[..]), ("GNU.sparse.realsize", b"9")];
        let mut tar = Writer::default();
        refused(tar.pax(&version_1).file("f", b"1048577\n"), "more than 1048576 pieces");
        let mut tar = Writer::default();
        refused(tar.pax(&version_1).file("f", &[b'1'; 600]), "bad map of a sparse file");
        let map: Vec<(u64, u64)> = (0..=1 << 20).map(|at| (at, 0)).collect();
        let mut tar = Writer::default();
        // Append blocks of 21 extents, each with the mark that another block follows.
        tar.gnu_sparse("old", &map[..1], 0, b"");
        let mut bytes = tar.finish();
        bytes.truncate(BLOCK);
        for block in map.chunks(21) {
            let start = bytes.len();
            for (offset, length) in block {
                bytes.extend_from_slice(format!("{offset:011o}\0{length:011o}\0").as_bytes());
            }
            bytes.resize(start + BLOCK, 0);
            bytes[start + 504] = 1;
        }
        bytes.resize(bytes.len() + 3 * BLOCK, 0);
        let error = entries(&bytes).unwrap_err().to_string();
        assert!(error.contains("more than 1048576 pieces"), "{error}");
    }

    #[test]
    fn every_truncation_is_noticed() {
        let mut tar = Writer::default();
        tar.pax(&[("path", b"longer")]).file("f", &[7; 1000]).file("g", b"x");
        let whole = tar.finish();
        // Offsets: PAX header 0, its data 512; header of f 1024, data 1536..2536; header of g 2560,
        // data 3072; end mark 3584.
        for length in (0..3073).step_by(7).chain([511, 512, 1024, 1535, 1536, 2535, 3072]) {
            let result = entries(&whole[..length]);
            let at_boundary = length == 0 || (2536..=2560).contains(&length);
            assert_eq!(result.is_ok(), at_boundary, "{length}");
        }
    }

    #[test]
    fn corruption_is_an_error_not_a_panic() {
        let mut tar = Writer::default();
        tar.pax(&[("path", b"longer"), ("GNU.sparse.map", b"0,1"), ("GNU.sparse.size", b"9")]);
        tar.file("f", b"a").gnu_sparse("old", &[(0, 1)], 10, b"a").file("g", b"x");
        let whole = tar.finish();
        let mut wrong = 0;
        for at in 0..whole.len() {
            for value in [0, 0xff, b'9', whole[at].wrapping_add(1)] {
                let mut bytes = whole.clone();
                bytes[at] = value;
                wrong += usize::from(entries(&bytes).is_err());
            }
        }
        assert!(wrong > 1000, "{wrong}");
        let mut bytes = whole.clone();
        bytes[1024] ^= 1;
        assert!(entries(&bytes).unwrap_err().to_string().contains("checksum"));
    }

    #[test]
    fn giant_extension_headers_are_refused() {
        let mut tar = Writer::default();
        tar.header(b'x', "p", "", 1 << 33);
        assert!(entries(&tar.finish()).unwrap_err().to_string().contains("at most"));
    }
}
