//! Reads a blob from a registry in spite of cut connections and stalls.
//!
//! Received bytes stay in a [`Partial`] file until the blob is used. So after a cut or a kill only
//! the rest is requested (Range, RFC 9110, section 14). That file is not trusted: the digest is
//! computed over all bytes each time, including those from the disk. For each source, [`Patience`]
//! bounds how often a blob is requested again, and how much time stalls and waits take together.

use std::io::{self, Read};
use std::os::unix::fs::FileExt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use sha2::{Digest as _, Sha256};

use super::super::manifest::Descriptor;
use super::endpoint::{Answer, Endpoint, MAX_TRIES, pause};
use super::http::{Attempt, Body, Cause, Failure, Payload};
use super::partial::Partial;
use super::sources::Sources;
use super::url::{Origin, Url};
use crate::digest::Digest;
use crate::error::{Context, Error, Result};

/// After this number of new bytes the count of tries starts again. So the blob's size bounds how
/// often the blob is requested.
const PROGRESS: u64 = 1 << 20;
/// The most time that the tries of one source for one blob may lose to stalls and waits. If
/// `MAX_STALLS` stalls take longer, their time is the limit. Without a limit, a registry that sends
/// `PROGRESS` bytes and stalls, again and again, could take days.
const MAX_LOST: Duration = Duration::from_secs(600);
const MAX_STALLS: u32 = 20;

/// The tries of one source for one blob, and the time that they lost.
struct Patience {
    tries: u32,
    /// The position in the blob at which the count of tries last started.
    tried_from: u64,
    /// The time that each try received nothing before it failed, plus the waits between the tries.
    lost: Duration,
}

impl Patience {
    fn new(position: u64) -> Patience {
        Patience { tries: 1, tried_from: position, lost: Duration::ZERO }
    }

    /// Returns how long to wait before the next try, or `None` after too many tries or too much
    /// lost time. `failed` is how long the last try received nothing before it failed. `stall` is
    /// how long a try may receive nothing.
    fn after(
        &mut self,
        failure: &Failure,
        position: u64,
        failed: Duration,
        stall: Duration,
    ) -> Option<Duration> {
        if position >= self.tried_from + PROGRESS {
            (self.tries, self.tried_from) = (1, position);
        }
        let wait = pause(failure, self.tries);
        self.lost += failed + wait;
        self.tries += 1;
        let may_go_on = self.tries <= MAX_TRIES && self.lost <= MAX_LOST.max(stall * MAX_STALLS);
        may_go_on.then_some(wait)
    }
}

/// Reads a blob. The read ends after the stated size or with an error.
pub struct Fetch<'a> {
    sources: &'a Sources<'a>,
    /// The index of the source in use.
    at: usize,
    /// The index of the URL in use among the blob's own URLs. `None` until the last source has
    /// failed.
    elsewhere: Option<usize>,
    /// The path of the repository.
    path: &'a str,
    blob: &'a Descriptor,
    partial: &'a Partial,
    /// The number of bytes that the partial file had at the start, at most the blob's size.
    on_disk: u64,
    position: u64,
    hasher: Sha256,
    body: Option<(Body, Origin)>,
    patience: Patience,
    /// The time of the last request or of the last received bytes.
    heard: Instant,
    /// The reason why no more bytes come. [`Read`] would lose the chain of the error.
    failure: Option<Error>,
    stop: &'a AtomicBool,
    watch: &'a (dyn Fn(u64) + Sync),
}

impl<'a> Fetch<'a> {
    /// Starts with the bytes in `partial`, then reads from the source `at`. `path` is the path of
    /// the repository. `watch` is called with the position after each piece, and `stop` ends the
    /// read.
    pub fn new(
        sources: &'a Sources<'a>,
        at: usize,
        path: &'a str,
        blob: &'a Descriptor,
        partial: &'a Partial,
        stop: &'a AtomicBool,
        watch: &'a (dyn Fn(u64) + Sync),
    ) -> Result<Fetch<'a>> {
        let on_disk = partial.file().metadata()?.len().min(blob.size);
        partial.set_downloading(on_disk == 0)?;
        Ok(Fetch {
            sources,
            at,
            elsewhere: None,
            path,
            blob,
            on_disk,
            partial,
            position: 0,
            hasher: Sha256::new(),
            body: None,
            patience: Patience::new(0),
            heard: Instant::now(),
            failure: None,
            stop,
            watch,
        })
    }

    /// Reads the rest, and returns whether the bytes have the stated digest.
    pub fn finish(&mut self) -> Result<bool> {
        let drained = io::copy(self, &mut io::sink());
        if let Some(failure) = self.failure.take() {
            return Err(failure);
        }
        drained.context(|| format!("read blob {}", self.blob.digest))?;
        Ok(Digest::finish(std::mem::take(&mut self.hasher)) == self.blob.digest)
    }

    /// Returns the error that ended the read early, if there was one. An error from reading the
    /// partial file is not kept here: only [`Read`] returns it.
    pub fn take_failure(&mut self) -> Option<Error> {
        self.failure.take()
    }

    /// Returns the index of the source that was used last.
    pub fn source(&self) -> usize {
        self.at
    }

    /// Requests the blob from the position on.
    fn open(&mut self) -> Attempt<(Body, Origin)> {
        self.heard = Instant::now();
        if self.on_disk > 0 {
            self.partial.set_downloading(true)?;
        }
        let mut headers = vec![("Accept-Encoding", "identity".to_owned())];
        if self.position > 0 {
            headers.push(("Range", format!("bytes={}-", self.position)));
        }
        let endpoint = self.sources.get(self.at)?;
        let url = self.url(endpoint)?;
        let answer = endpoint.ask("GET", &url, &headers, Payload::Empty);
        // If the server's blob ends at this position or before, the server refuses (416). So the
        // error names the position and the size that the descriptor states.
        let (position, size) = (self.position, self.blob.size);
        let Answer { head, mut body, url: Url { origin, .. } } = match position {
            0 => answer,
            _ => answer.map_err(|failure| {
                failure.context(|| format!("ask for the rest of {size} bytes from {position} on"))
            }),
        }?;
        if head.status == 206 {
            let range = head.header("content-range").unwrap_or_default();
            if !range.starts_with(&format!("bytes {}-", self.position)) {
                let message = format!("{} sends another range than requested", endpoint.host);
                return Err(Failure::transient(Error::new(message)));
            }
            return Ok((body, origin));
        }
        // The server sends the whole blob, so skip the bytes that are known already.
        let skipped = io::copy(&mut body.by_ref().take(self.position), &mut io::sink());
        match skipped {
            Ok(skipped) if skipped == self.position => Ok((body, origin)),
            Ok(_) => Err(Failure::transient(Error::new("the answer is shorter than the blob"))),
            Err(error) => Err(endpoint.connector.failure(&origin, error)),
        }
    }

    fn url(&self, endpoint: &Endpoint) -> Attempt<Url> {
        let own = endpoint.url(&format!("{}/blobs/{}", self.path, self.blob.digest));
        let Some(elsewhere) = self.elsewhere else { return Ok(own) };
        let url = Url::parse(&self.blob.urls[elsewhere])?;
        if own.origin.tls && !url.origin.tls {
            Err(Failure::new(format!("the layer is at {url}, without TLS")))
        } else {
            Ok(url)
        }
    }

    fn receive(&mut self, buffer: &mut [u8]) -> Attempt<usize> {
        let (mut body, origin) = match self.body.take() {
            Some(open) => open,
            None => self.open()?,
        };
        let left = usize::try_from(self.blob.size - self.position).unwrap_or(usize::MAX);
        let wanted = buffer.len().min(left);
        let connector = &self.sources.get(self.at)?.connector;
        match body.read(&mut buffer[..wanted]) {
            Ok(0) => Err(Failure::transient(Error::new("the answer is shorter than the blob"))),
            Ok(count) if count == left => {
                connector.recycle(&origin, body);
                Ok(count)
            }
            Ok(count) => {
                self.body = Some((body, origin));
                Ok(count)
            }
            Err(error) => Err(connector.failure(&origin, error)),
        }
    }

    /// Waits before another try, or changes to the next source or to the next of the blob's own
    /// URLs. Fails if none is left.
    fn after(&mut self, failure: Failure) -> io::Result<()> {
        self.body = None;
        let is_cut = failure.cause == Cause::Unreachable && self.position > 0;
        if is_cut || failure.is_transient() {
            let (failed, stall) = (self.heard.elapsed(), self.sources.stall());
            if let Some(wait) = self.patience.after(&failure, self.position, failed, stall) {
                std::thread::sleep(wait);
                return Ok(());
            }
        }
        let foreign = self.elsewhere.map_or(0, |at| at + 1);
        match self.sources.after(self.at, failure) {
            Ok(next) => self.at = next,
            Err(_) if foreign < self.blob.urls.len() => self.elsewhere = Some(foreign),
            Err(failure) => return self.fail(failure.error),
        }
        self.patience = Patience::new(self.position);
        Ok(())
    }

    fn fail<T>(&mut self, error: Error) -> io::Result<T> {
        let message = error.to_string();
        self.failure = Some(error);
        Err(io::Error::other(message))
    }
}

impl Read for Fetch<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            if self.stop.load(Ordering::Relaxed) {
                return self.fail(Error::new("stopped"));
            }
            let count = if self.position < self.on_disk {
                let left = usize::try_from(self.on_disk - self.position).unwrap_or(usize::MAX);
                let wanted = buffer.len().min(left);
                self.partial.file().read_at(&mut buffer[..wanted], self.position)?
            } else if self.position == self.blob.size {
                return Ok(0);
            } else {
                match self.receive(buffer) {
                    Ok(count) => {
                        self.heard = Instant::now();
                        let kept =
                            self.partial.file().write_all_at(&buffer[..count], self.position);
                        if let Err(error) = kept {
                            let error = Err::<(), _>(error).context(|| "keep what was downloaded");
                            return self.fail(error.unwrap_err());
                        }
                        count
                    }
                    Err(failure) => {
                        self.after(failure)?;
                        continue;
                    }
                }
            };
            self.hasher.update(&buffer[..count]);
            self.position += count as u64;
            (self.watch)(self.position);
            return Ok(count);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_blob_is_not_asked_for_without_an_end() {
        let failure = Failure::transient(Error::new("too slow"));
        let stall = Duration::from_secs(30);
        let tries = |stall: Duration, progress: u64| {
            let (mut patience, mut position) = (Patience::new(0), 0);
            for count in 1..10_000 {
                position += progress;
                if patience.after(&failure, position, stall, stall).is_none() {
                    return count;
                }
            }
            panic!("no end");
        };
        assert_eq!(tries(stall, 0), MAX_TRIES);
        // After progress the count starts again, but the lost time stays.
        assert_eq!(tries(stall, PROGRESS), MAX_STALLS);
        assert_eq!(tries(Duration::from_secs(3600), PROGRESS), MAX_STALLS);
    }
}
