//! Decompresses a layer or an archive on a thread of its own, while the caller's thread hashes and
//! unpacks it.
//!
//! Full buffers go through a bounded channel, and come back empty through another. So memory is
//! bounded, and the buffers are reused. Measured on two cores, the unpacking then takes no
//! additional time, because the decompression takes longer. If a decoder panics on bad data, the
//! caller gets an error.

use std::io::{self, BufRead, Error, ErrorKind, Read};
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};

use sha2::{Digest as _, Sha256};

use super::compression;
use crate::digest::Digest;
use crate::error::{Context, Result};
use crate::meter;
use crate::sys::contained;

/// The size of a buffer, in bytes. It is so small that the data is still in the cache when the
/// other core reads the data.
const BUFFER: usize = 128 << 10;
const BUFFERS: usize = 8;

/// The decompressed bytes of a stream, hashed as they pass.
pub struct Plain {
    /// Brings the next piece. An empty piece is the end.
    full: Receiver<io::Result<Vec<u8>>>,
    empty: Sender<Vec<u8>>,
    current: Vec<u8>,
    used: usize,
    ended: bool,
    hasher: Sha256,
}

/// Runs `consume` on the decompressed bytes of `input`, and returns the result of `consume`. The
/// input may also be plain. If the input is corrupt or its compression is not supported, the reads
/// of `consume` fail. Fails if the thread can't be created.
pub fn with_plain<T>(
    input: &mut (dyn Read + Send),
    consume: impl FnOnce(&mut Plain) -> Result<T>,
) -> Result<T> {
    let (full_sender, full) = sync_channel(BUFFERS);
    let (empty, empty_receiver) = channel();
    for _ in 0..BUFFERS {
        // This can't fail, because this function still has the receiver.
        let _ = empty.send(Vec::with_capacity(BUFFER));
    }
    let failed = full_sender.clone();
    let report = move |words: &str| {
        compression::release_share();
        let message = format!("corrupt or hostile data, at which the decoder gave up: {words}");
        // This fails only if the receiver is gone.
        let _ = failed.send(Err(Error::new(ErrorKind::InvalidData, message)));
    };
    let work = move || inflate(input, full_sender, empty_receiver);
    let result = contained::run("inflate", work, report, || {
        let (current, hasher) = (Vec::new(), Sha256::new());
        consume(&mut Plain { full, empty, current, used: 0, ended: false, hasher })
    });
    result.context(|| "start a thread")?
}

/// Sends the decompressed bytes of `input`, then an empty piece or an error. Ends without a message
/// if the receiver is gone.
fn inflate(
    input: &mut (dyn Read + Send),
    full: SyncSender<io::Result<Vec<u8>>>,
    empty: Receiver<Vec<u8>>,
) {
    let mut decoder = match compression::decoder(input) {
        Ok(decoder) => decoder,
        Err(error) => return drop(full.send(Err(error))),
    };
    while let Ok(mut buffer) = empty.recv() {
        buffer.clear();
        let read = (&mut decoder).take(BUFFER as u64).read_to_end(&mut buffer);
        let ended = buffer.is_empty();
        let sent = full.send(read.map(|_| buffer));
        if sent.is_err() || ended {
            return;
        }
    }
}

impl Plain {
    /// Reads the rest and returns the digest of all bytes.
    pub fn finish(&mut self) -> Result<Digest> {
        loop {
            let count = self.fill_buf().context(|| "read the archive")?.len();
            if count == 0 {
                return Ok(Digest::finish(std::mem::take(&mut self.hasher)));
            }
            self.consume(count);
        }
    }
}

impl BufRead for Plain {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.used == self.current.len() && !self.ended {
            // This fails if the other thread has ended. `recv` then returns the last pieces, or the
            // error with which the thread ended.
            let _ = self.empty.send(std::mem::take(&mut self.current));
            let next = self.full.recv();
            let next = next.map_err(|_| Error::from(ErrorKind::BrokenPipe)).and_then(|next| next);
            (self.current, self.used) = (next.inspect_err(|_| self.ended = true)?, 0);
            self.ended = self.current.is_empty();
            self.hasher.update(&self.current);
            meter::moved(self.current.len());
        }
        Ok(&self.current[self.used..])
    }

    fn consume(&mut self, count: usize) {
        self.used += count;
    }
}

impl Read for Plain {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut piece = self.fill_buf()?;
        let count = piece.read(buffer)?;
        self.consume(count);
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::super::compression::testing::gzip;
    use super::*;

    #[test]
    fn bytes_and_digest_are_those_of_the_plain_stream() {
        let plain: Vec<u8> = (0..3 * BUFFER + 17).map(|i| ((i * i) >> 5) as u8).collect();
        let packed = gzip(&plain);
        for mut input in [&plain[..], &packed[..]] {
            let (start, digest) = with_plain(&mut input, |stream| {
                let mut start = [0; 1000];
                stream.read_exact(&mut start)?;
                Ok((start, stream.finish()?))
            })
            .unwrap();
            assert_eq!(start, plain[..1000]);
            assert_eq!(digest, Digest::of(&plain));
        }
    }

    #[test]
    fn an_error_of_either_side_ends_both() {
        let packed = gzip(&vec![7; 40 * BUFFER]);
        let mut cut = &packed[..packed.len() / 2];
        assert!(with_plain(&mut cut, |stream| stream.finish()).is_err());
        let mut whole = &packed[..];
        let refused: Result<()> = with_plain(&mut whole, |_| Err(crate::error::Error::new("no")));
        assert_eq!(refused.unwrap_err().to_string(), "no");
    }
}
