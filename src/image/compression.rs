//! What a layer or archive is compressed with, told by its first bytes, and the way back.
//!
//! gzip (RFC 1952) and zstd (RFC 8878) may hold several members or frames, one after the other;
//! zstd's skippable frames are skipped. What ends midway or goes on with something else is an
//! error. xz and bzip2 are known by name only.

use std::io::{self, BufRead, BufReader, Error, ErrorKind, Read};

use flate2::bufread::MultiGzDecoder;
use ruzstd::decoding::{BlockDecodingStrategy, FrameDecoder};

const BUFFER: usize = 256 << 10;
const ZSTD_MAGIC: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];
/// A zstd block unpacks to at most 128 KiB; enough for a few at a time.
const ZSTD_STEP: usize = 256 << 10;

/// The plain bytes of `input`.
pub fn decoder<'a>(input: &'a mut (dyn Read + Send)) -> io::Result<Box<dyn Read + Send + 'a>> {
    let mut magic = [0; 6];
    let length = read_up_to(input, &mut magic)?;
    let input = io::Cursor::new(magic).take(length as u64).chain(input);
    let refuse = |what: &str| Err(Error::new(ErrorKind::Unsupported, unsupported(what)));
    match &magic[..length] {
        [0x1f, 0x8b, ..] => {
            Ok(Box::new(MultiGzDecoder::new(BufReader::with_capacity(BUFFER, input))))
        }
        [0x28, 0xb5, 0x2f, 0xfd, ..] | [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => {
            Ok(Box::new(Zstd::new(BufReader::with_capacity(BUFFER, input))))
        }
        [0xfd, b'7', b'z', b'X', b'Z', 0] => refuse("xz"),
        [b'B', b'Z', b'h', ..] => refuse("bzip2"),
        _ => Ok(Box::new(input)),
    }
}

/// Whether bytes that begin so are the plain ones already.
pub fn is_plain(magic: &[u8; 6]) -> bool {
    !matches!(
        magic,
        [0x1f, 0x8b, ..]
            | [0x28, 0xb5, 0x2f, 0xfd, ..]
            | [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..]
            | [0xfd, b'7', b'z', b'X', b'Z', 0]
            | [b'B', b'Z', b'h', ..]
    )
}

fn unsupported(what: &str) -> String {
    format!("{what} compression is not supported; recompress it with gzip or zstd")
}

fn read_up_to(input: &mut dyn Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match input.read(&mut buffer[filled..]) {
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

/// Frames of zstd, one after the other.
struct Zstd<R> {
    input: R,
    frame: FrameDecoder,
    in_frame: bool,
}

impl<R: BufRead> Zstd<R> {
    fn new(input: R) -> Zstd<R> {
        Zstd { input, frame: FrameDecoder::new(), in_frame: false }
    }

    /// Goes to the next frame's first block; false at the end of the input.
    fn next_frame(&mut self) -> io::Result<bool> {
        loop {
            let mut magic = [0; 4];
            match read_up_to(&mut self.input, &mut magic)? {
                0 => return Ok(false),
                4 => {}
                _ => return Err(Error::from(ErrorKind::UnexpectedEof)),
            }
            if magic == ZSTD_MAGIC {
                let frame = io::Cursor::new(magic).chain(&mut self.input);
                self.frame.reset(frame).map_err(corrupt)?;
                self.in_frame = true;
                return Ok(true);
            }
            if !matches!(magic, [0x50..=0x5f, 0x2a, 0x4d, 0x18]) {
                return Err(corrupt("something else follows a zstd frame"));
            }
            let mut length = [0; 4];
            self.input.read_exact(&mut length)?;
            let length = u64::from(u32::from_le_bytes(length));
            let skipped = io::copy(&mut (&mut self.input).take(length), &mut io::sink())?;
            if skipped != length {
                return Err(Error::from(ErrorKind::UnexpectedEof));
            }
        }
    }
}

impl<R: BufRead> Read for Zstd<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            if !self.in_frame && !self.next_frame()? {
                return Ok(0);
            }
            while self.frame.can_collect() == 0 && !self.frame.is_finished() {
                let step = BlockDecodingStrategy::UptoBytes(ZSTD_STEP);
                self.frame.decode_blocks(&mut self.input, step).map_err(corrupt)?;
            }
            let count = self.frame.read(buffer)?;
            if count > 0 || buffer.is_empty() {
                return Ok(count);
            }
            self.in_frame = false;
        }
    }
}

fn corrupt(reason: impl std::fmt::Display) -> Error {
    Error::new(ErrorKind::InvalidData, format!("corrupt zstd data: {reason}"))
}

#[cfg(test)]
pub mod testing {
    use flate2::Compression;
    use flate2::write::GzEncoder;
    use std::io::Write;
    use std::process::{Command, Stdio};

    pub fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    pub fn zstd(bytes: &[u8]) -> Vec<u8> {
        let mut child = Command::new("zstd")
            .arg("-qc")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut input = child.stdin.take().unwrap();
        let bytes = bytes.to_vec();
        let writer = std::thread::spawn(move || input.write_all(&bytes));
        let output = child.wait_with_output().unwrap().stdout;
        writer.join().unwrap().unwrap();
        output
    }
}

#[cfg(test)]
mod tests {
    use super::testing::{gzip, zstd};
    use super::*;

    fn plain(bytes: &[u8]) -> io::Result<Vec<u8>> {
        let mut input = bytes;
        let mut plain = Vec::new();
        decoder(&mut input)?.read_to_end(&mut plain)?;
        Ok(plain)
    }

    fn sample() -> Vec<u8> {
        (0..1_000_000u32).map(|i| (i.wrapping_mul(i) >> 7) as u8).collect()
    }

    #[test]
    fn every_kind_comes_back_also_in_several_pieces() {
        let (a, b) = (sample(), b"and more".to_vec());
        let both = [a.clone(), b.clone()].concat();
        assert_eq!(plain(&both).unwrap(), both);
        assert_eq!(plain(&[gzip(&a), gzip(&b)].concat()).unwrap(), both);
        let skippable = b"\x53\x2a\x4d\x18\x03\0\0\0abc".to_vec();
        let frames = [zstd(&a), skippable.clone(), zstd(&b)].concat();
        assert_eq!(plain(&frames).unwrap(), both);
        assert_eq!(plain(&[skippable, zstd(&b)].concat()).unwrap(), b);
        assert_eq!(plain(b"").unwrap(), b"");
    }

    #[test]
    fn truncation_and_trailing_garbage_are_errors() {
        for whole in [gzip(&sample()), zstd(&sample())] {
            for length in [7, whole.len() / 2, whole.len() - 1] {
                assert!(plain(&whole[..length]).is_err(), "{length} of {}", whole.len());
            }
            assert!(plain(&[whole, b"garbage".to_vec()].concat()).is_err());
        }
    }

    #[test]
    fn others_are_refused_by_name() {
        assert!(plain(b"\xfd7zXZ\0..").unwrap_err().to_string().contains("xz"));
        assert!(plain(b"BZh91AY").unwrap_err().to_string().contains("bzip2"));
    }
}
