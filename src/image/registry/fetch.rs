//! A blob's bytes as they arrive, through cuts and stalls.
//!
//! What arrives is kept in `images/partial/<digest>` until the blob was used, so that after a cut,
//! or a kill, only the rest is asked for (Range, RFC 9110 section 14). Nothing in that file is
//! believed: the digest is taken over all bytes each time, those on disk too. A flock(2) on the
//! file makes sure that a blob is downloaded by one process at a time.

use std::fs::{File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;
use sha2::{Digest as _, Sha256};

use super::super::digest::Digest;
use super::super::manifest::Descriptor;
use super::endpoint::{Answer, Endpoint, MAX_TRIES, wait};
use super::http::{Attempt, Body, Failure, Payload};
use super::sources::Sources;
use super::url::{Origin, Url};
use crate::error::{Context, Error, Result};
use crate::store::{make_dir, remove_file};

/// What must have arrived since the last cut for the count of tries to begin anew: it bounds how
/// often a blob is asked for by its size.
const PROGRESS: u64 = 1 << 20;

/// The file that holds what arrived of a blob; held by this process.
pub struct Partial {
    path: PathBuf,
    file: File,
}

impl Partial {
    /// Waits until no other process downloads the blob.
    pub fn hold(dir: &Path, digest: &Digest) -> Result<Partial> {
        make_dir(dir)?;
        let path = dir.join(digest.hex());
        loop {
            let mut options = OpenOptions::new();
            let options = options.read(true).write(true).create(true).truncate(false).mode(0o600);
            let file = options.open(&path).context(|| format!("open {}", path.display()))?;
            loop {
                match flock(&file, FlockOperation::LockExclusive) {
                    Err(Errno::INTR) => continue,
                    result => break result.context(|| format!("lock {}", path.display()))?,
                }
            }
            // The holder before may have removed it.
            if file.metadata()?.nlink() > 0 {
                return Ok(Partial { path, file });
            }
        }
    }

    /// Removes the file: the blob was used, or is wrong.
    pub fn discard(self) -> Result<()> {
        remove_file(&self.path)
    }
}

/// Reads a blob; it ends after the stated size or with an error.
pub struct Fetch<'a> {
    sources: &'a Sources<'a>,
    /// Which of them is asked.
    at: usize,
    /// Which of the blob's own addresses is asked instead, once the last of them failed.
    elsewhere: Option<usize>,
    /// The repository's.
    path: &'a str,
    blob: &'a Descriptor,
    partial: &'a File,
    /// Bytes of the partial file that were there before.
    on_disk: u64,
    position: u64,
    hasher: Sha256,
    body: Option<(Body, Origin)>,
    tries: u32,
    /// Where the first of these tries began.
    tried_from: u64,
    /// Why there is no more to come. What [`Read`] gives loses the chain.
    failure: Option<Error>,
    stop: &'a AtomicBool,
    watch: &'a (dyn Fn(u64) + Sync),
}

impl<'a> Fetch<'a> {
    /// Begins with what `partial` holds, and asks the source `at` first. `path` is the repository's;
    /// `watch` hears of each piece; `stop` ends it.
    pub fn new(
        sources: &'a Sources<'a>,
        at: usize,
        path: &'a str,
        blob: &'a Descriptor,
        partial: &'a Partial,
        stop: &'a AtomicBool,
        watch: &'a (dyn Fn(u64) + Sync),
    ) -> Result<Fetch<'a>> {
        Ok(Fetch {
            sources,
            at,
            elsewhere: None,
            path,
            blob,
            on_disk: partial.file.metadata()?.len().min(blob.size),
            partial: &partial.file,
            position: 0,
            hasher: Sha256::new(),
            body: None,
            tries: 1,
            tried_from: 0,
            failure: None,
            stop,
            watch,
        })
    }

    /// Reads what is left, and tells whether the bytes have the stated digest.
    pub fn finish(&mut self) -> Result<bool> {
        let drained = io::copy(self, &mut io::sink());
        if let Some(failure) = self.failure.take() {
            return Err(failure);
        }
        drained.context(|| format!("read blob {}", self.blob.digest))?;
        Ok(Digest::finish(std::mem::take(&mut self.hasher)) == self.blob.digest)
    }

    /// Why reading ended early, if it was for want of bytes.
    pub fn take_failure(&mut self) -> Option<Error> {
        self.failure.take()
    }

    /// Who was asked last.
    pub fn source(&self) -> usize {
        self.at
    }

    /// Asks for the blob from the position on.
    fn open(&mut self) -> Attempt<(Body, Origin)> {
        let mut headers = vec![("Accept-Encoding", "identity".to_owned())];
        if self.position > 0 {
            headers.push(("Range", format!("bytes={}-", self.position)));
        }
        let endpoint = self.sources.get(self.at)?;
        let url = self.url(endpoint)?;
        let answer = endpoint.ask("GET", &url, &headers, Payload::Empty);
        // A blob that ends before the size that its descriptor states is refused so (416).
        let (position, size) = (self.position, self.blob.size);
        let Answer { head, mut body, origin } = match position {
            0 => answer,
            _ => answer.map_err(|failure| {
                failure.context(|| format!("ask for the rest of {size} bytes from {position} on"))
            }),
        }?;
        if head.status == 206 {
            let range = head.header("content-range").unwrap_or_default();
            if !range.starts_with(&format!("bytes {}-", self.position)) {
                let told = format!("{} sends another range than asked for", endpoint.host);
                return Err(Failure::passing(Error::new(told)));
            }
            return Ok((body, origin));
        }
        // No ranges here: what we have comes again.
        let skipped = io::copy(&mut body.by_ref().take(self.position), &mut io::sink());
        match skipped {
            Ok(skipped) if skipped == self.position => Ok((body, origin)),
            Ok(_) => Err(Failure::passing(Error::new("the answer is shorter than the blob"))),
            Err(error) => Err(endpoint.connector.failure(&origin, error)),
        }
    }

    fn url(&self, endpoint: &Endpoint) -> Attempt<Url> {
        let own = endpoint.url(&format!("{}/blobs/{}", self.path, self.blob.digest));
        let Some(elsewhere) = self.elsewhere else { return Ok(own) };
        let url = Url::parse(&self.blob.urls[elsewhere])?;
        match own.origin.tls && !url.origin.tls {
            true => Err(Failure::new(format!("the layer is at {url}, without TLS"))),
            false => Ok(url),
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
            Ok(0) => Err(Failure::passing(Error::new("the answer is shorter than the blob"))),
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

    /// Waits for another try, or gives up.
    fn after(&mut self, failure: Failure) -> io::Result<()> {
        self.body = None;
        if self.position >= self.tried_from + PROGRESS {
            (self.tries, self.tried_from) = (1, self.position);
        }
        let may_pass = failure.passing || failure.unreachable && self.position > 0;
        if may_pass && self.tries < MAX_TRIES {
            wait(&failure, self.tries);
            self.tries += 1;
            return Ok(());
        }
        let foreign = self.elsewhere.map_or(0, |at| at + 1);
        match self.sources.after(self.at, failure) {
            Ok(next) => self.at = next,
            Err(_) if foreign < self.blob.urls.len() => self.elsewhere = Some(foreign),
            Err(failure) => return self.fail(failure.error),
        }
        (self.tries, self.tried_from) = (1, self.position);
        Ok(())
    }

    fn fail<T>(&mut self, error: Error) -> io::Result<T> {
        let told = error.to_string();
        self.failure = Some(error);
        Err(io::Error::other(told))
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
                self.partial.read_at(&mut buffer[..wanted], self.position)?
            } else if self.position == self.blob.size {
                return Ok(0);
            } else {
                match self.receive(buffer) {
                    Ok(count) => {
                        if let Err(error) =
                            self.partial.write_all_at(&buffer[..count], self.position)
                        {
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
