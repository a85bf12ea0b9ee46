//! Finds the compression of a layer or archive by its first bytes, and decompresses the bytes.
//!
//! gzip (RFC 1952) and zstd (RFC 8878) may hold several members or frames, one after the other;
//! zstd's skippable frames are skipped. A truncated stream, or other bytes after a member, are an
//! error. xz and bzip2 are recognised but not supported.
//!
//! gzip refers back at most 32 KiB. A zstd frame states its window, and the decoder's buffer can be
//! twice as large, so two limits bound the window: `MAX_WINDOW` and `KEPT_WINDOW`.

use std::cell::Cell;
use std::io::{self, BufRead, BufReader, Error, ErrorKind, Read};
use std::sync::{Condvar, Mutex, PoisonError};

use flate2::bufread::MultiGzDecoder;
use ruzstd::decoding::errors::{
    DecodeBlockContentError, DecompressBlockError, ExecuteSequencesError, FrameDecoderError,
};
use ruzstd::decoding::{BlockDecodingStrategy, FrameDecoder};

use crate::sys::heap;

const BUFFER: usize = 256 << 10;
const ZSTD_MAGIC: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];
/// The bytes to unpack in one step, which are two full zstd blocks (`ZSTD_BLOCK`).
const ZSTD_STEP: usize = 256 << 10;
const ZSTD_BLOCK: usize = 128 << 10;
/// The largest window that a frame may state: that of `zstd --ultra -22`. `--long=28` and more
/// are refused.
const MAX_WINDOW: u64 = 128 << 20;
/// The largest window that the decoder keeps, in bytes; `KEPT_DESCRIPTOR` is its window descriptor.
/// A frame that states a larger window is decoded as long as it refers back at most `KEPT_WINDOW`
/// bytes. A frame may state a larger window than it uses, because a writer that does not know the
/// length of its input states the window of its level. Usual builders state 8 MiB.
const KEPT_WINDOW: u64 = 30 << 20;
const KEPT_DESCRIPTOR: u8 = (14 << 3) | 7;
/// The smallest share of a decoder, in bytes. The share also limits each buffer of the decoder, and
/// the tables of literals and sequences take up to 2 MiB each, whatever the window is.
const MIN_RING: usize = 4 << 20;
/// The bytes that the windows of all running decoders may take together. If a decoder needs more
/// bytes than are free, it waits until others end.
const WINDOWS: usize = 32 << 20;

/// Returns a reader of the decompressed bytes of `input`. Bytes that start with no known magic are
/// read unchanged. Fails with `Unsupported` for xz and bzip2.
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

/// Whether a stream with these first bytes is not compressed.
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

/// A reader of zstd frames, one after the other.
struct Zstd<R> {
    input: R,
    frame: FrameDecoder,
    in_frame: bool,
    /// Whether the frame states a larger window than the decoder keeps.
    is_cut: bool,
    share: Share,
}

impl<R: BufRead> Zstd<R> {
    fn new(input: R) -> Zstd<R> {
        let share = Share { bytes: 0 };
        Zstd { input, frame: FrameDecoder::new(), in_frame: false, is_cut: false, share }
    }

    /// Reads up to the first block of the next frame. Returns false at the end of the input.
    fn next_frame(&mut self) -> io::Result<bool> {
        loop {
            let mut magic = [0; 4];
            match read_up_to(&mut self.input, &mut magic)? {
                0 => return Ok(false),
                4 => {}
                _ => return Err(Error::from(ErrorKind::UnexpectedEof)),
            }
            if magic == ZSTD_MAGIC {
                let header = FrameHeader::read(&mut self.input)?;
                self.is_cut = header.is_cut;
                let ring = ring_size(header.kept);
                if ring > self.share.bytes {
                    // Drop the old buffer before the new one is made, so that only one exists at a
                    // time.
                    self.frame = FrameDecoder::new();
                    self.share.grow(ring);
                }
                self.frame.reset(&header.bytes[..]).map_err(corrupt)?;
                self.in_frame = true;
                return Ok(true);
            }
            if !matches!(magic, [0x50..=0x5f, 0x2a, 0x4d, 0x18]) {
                return Err(corrupt(
                    "bytes that are no zstd frame follow a frame; compress the file again with zstd",
                ));
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

    /// Returns the error for a block that can't be decoded.
    fn wrong(&self, error: &FrameDecoderError) -> Error {
        use DecodeBlockContentError::DecompressBlockError as Block;
        use DecompressBlockError::ExecuteSequencesError as Sequences;
        let reaches_back = matches!(
            error,
            FrameDecoderError::FailedToReadBlockBody(Block(Sequences(
                ExecuteSequencesError::DecodebufferError(_)
            )))
        );
        if reaches_back && self.is_cut { too_far_back(KEPT_WINDOW) } else { corrupt(error) }
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
                let decoded = self.frame.decode_blocks(&mut self.input, step);
                decoded.map_err(|error| self.wrong(&error))?;
            }
            let count = self.frame.read(buffer)?;
            if count > 0 || buffer.is_empty() {
                return Ok(count);
            }
            self.in_frame = false;
        }
    }
}

/// A frame's header (RFC 8878, 3.1.1.1), with its window bounded.
struct FrameHeader {
    /// The header for the decoder, from the magic number on.
    bytes: Vec<u8>,
    /// The window that the decoder keeps.
    kept: u64,
    /// Whether the frame states a larger window than `kept`.
    is_cut: bool,
}

impl FrameHeader {
    /// Reads a header from the byte after the magic number on.
    fn read(input: &mut impl Read) -> io::Result<FrameHeader> {
        const SINGLE_SEGMENT: u8 = 0x20;
        let mut byte = [0];
        input.read_exact(&mut byte)?;
        let descriptor = byte[0];
        let is_single = descriptor & SINGLE_SEGMENT != 0;
        let mut window_descriptor = 0;
        if !is_single {
            input.read_exact(&mut byte)?;
            window_descriptor = byte[0];
        }
        let dictionary_length = [0, 1, 2, 4][usize::from(descriptor & 3)];
        let size_length = match descriptor >> 6 {
            0 => usize::from(is_single),
            flag => 1 << flag,
        };
        let mut rest = [0; 12];
        let rest = &mut rest[..dictionary_length + size_length];
        input.read_exact(rest)?;
        let mut size = [0; 8];
        size[..size_length].copy_from_slice(&rest[dictionary_length..]);
        let stated = if is_single {
            // The window of a single-segment frame is as large as its content.
            u64::from_le_bytes(size)
        } else {
            let base = 1 << (10 + (window_descriptor >> 3));
            base + base / 8 * u64::from(window_descriptor & 7)
        };
        if stated > MAX_WINDOW {
            return Err(too_far_back(MAX_WINDOW));
        }
        let is_cut = stated > KEPT_WINDOW;
        let mut bytes = ZSTD_MAGIC.to_vec();
        match (is_cut, is_single) {
            (true, _) => bytes.extend([descriptor & !SINGLE_SEGMENT, KEPT_DESCRIPTOR]),
            (false, true) => bytes.push(descriptor),
            (false, false) => bytes.extend([descriptor, window_descriptor]),
        }
        bytes.extend_from_slice(rest);
        Ok(FrameHeader { bytes, kept: stated.min(KEPT_WINDOW), is_cut })
    }
}

/// Returns the size of the decoder's buffer for a window, in bytes. The decoder rounds up to a
/// power of two in the same way, and then adds one byte.
fn ring_size(window: u64) -> usize {
    let most = window as usize + ZSTD_STEP + ZSTD_BLOCK;
    most.next_power_of_two().max(MIN_RING)
}

/// A decoder's share of [`WINDOWS`]. The share also limits each block of memory that the decoder's
/// thread allocates: a corrupt zstd block can unpack to gigabytes, and the decoder does not check
/// that before it allocates.
struct Share {
    bytes: usize,
}

/// Bytes taken from [`WINDOWS`].
static TAKEN: Mutex<usize> = Mutex::new(0);
static RELEASED: Condvar = Condvar::new();

thread_local! {
    static SHARE_OF_THREAD: Cell<usize> = const { Cell::new(0) };
}

impl Share {
    /// Takes `bytes` of `WINDOWS`. Waits until they are free. A share of more than `WINDOWS` would
    /// wait until nothing is taken. The present share is released first, because otherwise two
    /// decoders that both need more would wait for each other.
    fn grow(&mut self, bytes: usize) {
        release_share();
        let taken = TAKEN.lock().unwrap_or_else(PoisonError::into_inner);
        let is_full = |taken: &mut usize| *taken > 0 && *taken + bytes > WINDOWS;
        let mut taken = RELEASED.wait_while(taken, is_full).unwrap_or_else(PoisonError::into_inner);
        *taken += bytes;
        self.bytes = bytes;
        SHARE_OF_THREAD.set(bytes);
        heap::limit_blocks_of_thread(bytes + 1);
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        release_share();
    }
}

/// Releases this thread's share. A decoder calls this when it is dropped. A decoder that panics
/// is not dropped, so `stream` calls this when its decoder has panicked.
pub fn release_share() {
    heap::limit_blocks_of_thread(usize::MAX);
    *TAKEN.lock().unwrap_or_else(PoisonError::into_inner) -= SHARE_OF_THREAD.take();
    RELEASED.notify_all();
}

fn too_far_back(window: u64) -> Error {
    let most = window >> 20;
    let message = format!(
        "its zstd frame needs a window of more than {most} MiB, which is too large; recompress it \
         without --long or --ultra"
    );
    Error::new(ErrorKind::Unsupported, message)
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

    /// Compresses `bytes` by gzip, for tests.
    pub fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    /// Compresses `bytes` by zstd, for tests.
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
