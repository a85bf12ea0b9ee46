//! `push`: sends an image to a registry (OCI distribution spec, "Push").
//!
//! Layers are stored unpacked. A push makes their tars again, bit for bit, and compresses them
//! while it sends them; nothing is stored in between. If a tar can't be made again, another tar and
//! a changed config are sent. The stored manifests name the layer's blobs of earlier pulls and
//! pushes. If the registry has one of these blobs, or can mount one from another repository, the
//! layer is not sent. The manifest goes last, so that no reader finds a name with missing parts.
//!
//! If a registry refuses a body in chunks, the layer is compressed twice: to learn its length, and
//! to send it. If the registry refuses OCI's manifest, Docker's is sent.

use std::io::{self, Read, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use flate2::Compression;
use flate2::write::GzEncoder;

use super::config::{ImageConfig, MAX_DOCUMENT};
use super::layer_tar::{Hashing, LayerTar};
use super::manifest::{
    DOCKER_MANIFEST, Descriptor, Manifest, OCI_CONFIG, OCI_GZIP_LAYER, OCI_MANIFEST, media_type_of,
};
use super::parallel::in_parallel;
use super::registry::endpoint::{Answer, Endpoint, patiently};
use super::registry::http::{Attempt, Failure, Payload};
use super::registry::url::Url;
use super::registry::{self, Access};
use super::store::ImageStore;
use super::transfer::{Event, Step, Watch};
use crate::digest::{Digest, ImageId};
use crate::error::{Context, Error, Result, fail};
use crate::reference::Reference;

/// The maximum number of compressed pieces in the channel from the compressor to the connection.
const PIECES: usize = 8;
const PIECE: usize = 128 << 10;
/// The longest answer to a sent manifest or a cancelled upload, in bytes.
const MAX_ANSWER: u64 = 64 << 10;
/// The maximum number of blobs that are looked for in the registry before a layer is sent.
/// `MAX_SOURCES` limits the repositories to mount these blobs from.
const MAX_KNOWN: usize = 4;
const MAX_SOURCES: usize = 4;

/// A layer that the registry must get.
struct Outgoing {
    tar: LayerTar,
    /// The layer's blobs of earlier pulls and pushes.
    known: Vec<Descriptor>,
}

/// The repository that the image is pushed to.
struct Target<'a> {
    endpoint: &'a Endpoint,
    path: &'a str,
    /// Repositories of the same registry that may have the blobs.
    sources: &'a [String],
    watch: Watch<'a>,
    /// Whether the registry has refused a body in chunks.
    wants_length: AtomicBool,
}

impl ImageStore {
    /// Pushes the image that `reference` names. Returns the digest and the size of its manifest. If
    /// the config was sent unchanged, the image then also has this digest as a name, as if it had
    /// been pulled. Fails if `reference` has no tag or has a digest, if no image has the name, and
    /// if the registry refuses the push.
    pub fn push(
        &self,
        reference: &Reference,
        access: &Access,
        watch: Watch<'_>,
    ) -> Result<(Digest, u64)> {
        let Some(tag) = reference.tag.as_deref().filter(|_| reference.digest.is_none()) else {
            fail!("can't push by digest: name a tag");
        };
        let Some(id) = self.read_reference(reference)? else {
            fail!("no such image: {}", reference.familiar());
        };
        let _hold = self.hold(&id)?;
        let (config, listed) = self.config_and_layers(&id)?;
        // A layer that the image has several times is pushed once.
        let (mut tars, mut order) = (Vec::<LayerTar>::new(), Vec::with_capacity(listed.len()));
        for tar in listed {
            let at = tars.iter().position(|known| known.digest == tar.digest);
            order.push(at.unwrap_or(tars.len()));
            if at.is_none() {
                tars.push(tar);
            }
        }
        let (outgoing, sources) = self.look_for_blobs(tars, reference)?;
        let mut scopes = vec![format!("repository:{}:pull,push", reference.path)];
        scopes.extend(sources.iter().map(|path| format!("repository:{path}:pull")));
        let endpoint = registry::open(&reference.host, &reference.path, scopes, access)?;
        let (path, sources) = (reference.path.as_str(), sources.as_slice());
        let wants_length = AtomicBool::new(false);
        let target = Target { endpoint: &endpoint, path, sources, watch, wants_length };

        let pushed = in_parallel(&outgoing, |layer, _| {
            let pushed = target.push_layer(layer);
            pushed.context(|| format!("push layer {}", layer.tar.digest.short()))
        })?;
        let layers = order.into_iter().map(|at| pushed[at].clone()).collect();
        let (digest, size) = (Digest::of(&config), config.len() as u64);
        let config_blob = Descriptor::new(OCI_CONFIG, digest, size);
        if !target.has(&digest)? {
            target.upload_bytes(&digest, &config)?;
        }
        let manifest = Manifest { config: config_blob, layers };
        let manifest = target.push_manifest(tag, self.document_of(&id, &manifest)?, &manifest)?;
        let (digest, size) = (Digest::of(&manifest), manifest.len() as u64);
        if Digest::of(&config) == id {
            let by_digest = Reference { tag: None, digest: Some(digest), ..reference.clone() };
            self.remember(&id, &by_digest, &manifest)?;
        }
        Ok((digest, size))
    }

    /// Returns the manifest to send, with its media type. If the stored manifest of the image
    /// describes the same blobs, returns that manifest, so that its digest stays the same.
    fn document_of(&self, id: &ImageId, manifest: &Manifest) -> Result<(String, Vec<u8>)> {
        if let Some(kept) = self.manifest(id)?
            && let Ok(parsed) = Manifest::parse("manifest", &kept)
            && parsed.blobs().eq(manifest.blobs())
        {
            return Ok((media_type_of(&kept), kept));
        }
        Ok((OCI_MANIFEST.to_owned(), manifest.to_json().into_bytes()))
    }

    /// Finds the layers' blobs in the manifests of all images, and other repositories of this
    /// registry that may have these blobs.
    fn look_for_blobs(
        &self,
        tars: Vec<LayerTar>,
        reference: &Reference,
    ) -> Result<(Vec<Outgoing>, Vec<String>)> {
        let outgoing = |tar| Outgoing { tar, known: Vec::new() };
        let mut layers: Vec<Outgoing> = tars.into_iter().map(outgoing).collect();
        let mut sources = Vec::new();
        for id in self.ids()? {
            let Some(manifest) = self.manifest(&id)? else { continue };
            let Some(config) = self.config_bytes(&id)? else { continue };
            // Skip an image whose documents can't be parsed. Its blobs could only save work.
            let (Ok(manifest), Ok(config)) =
                (Manifest::parse("manifest", &manifest), ImageConfig::parse("config", &config))
            else {
                continue;
            };
            let mut helps = false;
            for (blob, diff_id) in manifest.layers.iter().zip(&config.diff_ids) {
                for layer in layers.iter_mut().filter(|layer| layer.tar.digest == *diff_id) {
                    helps = true;
                    if layer.known.len() < MAX_KNOWN && !layer.known.contains(blob) {
                        layer.known.push(blob.clone());
                    }
                }
            }
            for name in self.names(&id)?.iter().filter(|_| helps) {
                let there = name.host == reference.host && name.path != reference.path;
                if there && sources.len() < MAX_SOURCES && !sources.contains(&name.path) {
                    sources.push(name.path.clone());
                }
            }
        }
        Ok((layers, sources))
    }
}

impl Target<'_> {
    /// Makes sure that the registry has the layer. Returns the descriptor of its blob.
    fn push_layer(&self, layer: &Outgoing) -> Result<Descriptor> {
        let name = layer.tar.digest;
        for blob in &layer.known {
            if self.has(&blob.digest)? {
                (self.watch)(Event::Layer(name, Step::Exists));
                return Ok(blob.clone().into_oci());
            }
        }
        for blob in &layer.known {
            for source in self.sources {
                if self.mount(&blob.digest, source)? {
                    (self.watch)(Event::Layer(name, Step::Mounted));
                    return Ok(blob.clone().into_oci());
                }
            }
        }
        let (digest, size) = patiently(|| self.upload_layer(&layer.tar))?;
        (self.watch)(Event::Layer(name, Step::Pushed));
        Ok(Descriptor::new(OCI_GZIP_LAYER, digest, size))
    }

    /// Sends the manifest `first` (media type and bytes) under the tag. If the registry seems not
    /// to know the media type, sends Docker's manifest. Returns the bytes that the registry
    /// accepted.
    fn push_manifest(
        &self,
        tag: &str,
        first: (String, Vec<u8>),
        manifest: &Manifest,
    ) -> Attempt<Vec<u8>> {
        let url = self.endpoint.url(&format!("{}/manifests/{tag}", self.path));
        let put = |media_type: &str, bytes: &[u8]| {
            let headers = [("Content-Type", media_type.to_owned())];
            self.endpoint.document("PUT", &url, &headers, Payload::Bytes(bytes), MAX_ANSWER)
        };
        let (media_type, bytes) = first;
        let Err(refusal) = put(&media_type, &bytes) else { return Ok(bytes) };
        // A registry that does not know the media type answers with one of these statuses, mostly
        // with 400 (MANIFEST_INVALID).
        let unknown = matches!(refusal.status(), Some(400 | 404 | 405 | 406 | 415 | 422));
        let dockers =
            manifest.to_docker_json().filter(|_| unknown && media_type != DOCKER_MANIFEST);
        match dockers.map(String::into_bytes) {
            Some(dockers) if put(DOCKER_MANIFEST, &dockers).is_ok() => Ok(dockers),
            _ => Err(refusal),
        }
    }

    /// Whether the registry says that it has a blob. The statuses 403, 404 and 405 count as no.
    fn has(&self, digest: &Digest) -> Result<bool> {
        let url = self.endpoint.url(&format!("{}/blobs/{digest}", self.path));
        match patiently(|| self.endpoint.ask("HEAD", &url, &[], Payload::Empty)) {
            Ok(answer) => {
                self.endpoint.recycle(answer);
                Ok(true)
            }
            Err(failure) if matches!(failure.status(), Some(403..=405)) => Ok(false),
            Err(failure) => Err(failure.into()),
        }
    }

    /// Asks the registry to mount a blob from the repository `source`. Returns false if the mount
    /// fails.
    fn mount(&self, digest: &Digest, source: &str) -> Result<bool> {
        let url = self.endpoint.url(&format!("{}/blobs/uploads/", self.path));
        let url = url.and_query("mount", &digest.to_string()).and_query("from", source);
        let Ok(answer) = patiently(|| self.endpoint.ask("POST", &url, &[], Payload::Empty)) else {
            return Ok(false);
        };
        let (is_mounted, upload) = (answer.head.status == 201, self.location(&answer));
        self.endpoint.recycle(answer);
        if !is_mounted && let Ok(upload) = upload {
            // The registry started an upload instead. Cancel the upload, and ignore an error:
            // registries drop unfinished uploads.
            let _ = self.endpoint.document("DELETE", &upload, &[], Payload::Empty, MAX_ANSWER);
        }
        Ok(is_mounted)
    }

    /// Starts an upload, and returns its URL.
    fn begin(&self) -> Attempt<Url> {
        let url = self.endpoint.url(&format!("{}/blobs/uploads/", self.path));
        let answer = self.endpoint.ask("POST", &url, &[], Payload::Empty)?;
        let upload = self.location(&answer)?;
        self.endpoint.recycle(answer);
        Ok(upload)
    }

    fn location(&self, answer: &Answer) -> Result<Url> {
        match answer.head.header("location") {
            Some(location) => answer.url.join(location),
            None => fail!("{} doesn't say where to upload to", self.endpoint.host),
        }
    }

    fn upload_bytes(&self, digest: &Digest, bytes: &[u8]) -> Result<()> {
        debug_assert!(bytes.len() as u64 <= MAX_DOCUMENT);
        patiently(|| {
            let url = self.begin()?.and_query("digest", &digest.to_string());
            let headers = [("Content-Type", "application/octet-stream".to_owned())];
            self.endpoint.ask("PUT", &url, &headers, Payload::Bytes(bytes)).map(drop)
        })?;
        Ok(())
    }

    /// Sends the layer's tar compressed. Returns the digest and the size of the sent bytes.
    fn upload_layer(&self, tar: &LayerTar) -> Attempt<(Digest, u64)> {
        if !self.wants_length.load(Ordering::Relaxed) {
            match self.upload_in_chunks(tar) {
                // The right status is 411. Registries that lack PATCH or Transfer-Encoding answer
                // 405 or 501.
                Err(failure) if matches!(failure.status(), Some(405 | 411 | 501)) => {
                    self.wants_length.store(true, Ordering::Relaxed);
                }
                result => return result,
            }
        }
        let (digest, size) = write_compressed(tar, &mut io::sink())?;
        let url = self.begin()?.and_query("digest", &digest.to_string());
        let (answer, sent) = self.send_compressed(tar, "PUT", &url, Some(size))?;
        self.endpoint.recycle(answer);
        if sent == (digest, size) {
            Ok(sent)
        } else {
            Err(Failure::new("the layer changed while it was pushed"))
        }
    }

    /// Sends the layer's tar in chunks, because the compressed length is not known in advance.
    fn upload_in_chunks(&self, tar: &LayerTar) -> Attempt<(Digest, u64)> {
        let upload = self.begin()?;
        let (answer, (digest, size)) = self.send_compressed(tar, "PATCH", &upload, None)?;
        let url = self.location(&answer)?;
        self.endpoint.recycle(answer);
        let url = url.and_query("digest", &digest.to_string());
        self.endpoint.ask("PUT", &url, &[], Payload::Empty)?;
        Ok((digest, size))
    }

    fn send_compressed(
        &self,
        tar: &LayerTar,
        method: &'static str,
        url: &Url,
        size: Option<u64>,
    ) -> Attempt<(Answer, (Digest, u64))> {
        let (sender, receiver) = sync_channel(PIECES);
        std::thread::scope(|scope| {
            let compressor = std::thread::Builder::new().name("compress".into());
            let compressing = compressor.spawn_scoped(scope, move || compress(tar, sender));
            let compressing = compressing.context(|| "start a thread")?;
            let report = |bytes| {
                let step = Step::Moved { bytes, of: tar.size };
                (self.watch)(Event::Layer(tar.digest, step));
            };
            let mut pieces =
                Pieces { receiver, piece: Vec::new(), used: 0, total: 0, report: &report };
            let headers = [("Content-Type", "application/octet-stream".to_owned())];
            let payload = Payload::Stream(&mut pieces, size);
            let sent = self.endpoint.ask(method, url, &headers, payload);
            // Close this end, so that the compressor does not wait for it.
            drop(pieces);
            let compressed = compressing.join().unwrap_or_else(|_| Err(Error::new("panicked")));
            // If the layer can't be read, that error is the cause of a failed upload.
            match (sent, compressed) {
                (Ok(answer), Ok(compressed)) => Ok((answer, compressed)),
                (Err(failure), Ok(_)) => Err(failure),
                (Err(failure), Err(error)) if is_broken_pipe(&error) => Err(failure),
                (_, Err(error)) => Err(Failure::permanent(error)),
            }
        })
    }
}

fn is_broken_pipe(error: &Error) -> bool {
    error.errno() == Some(rustix::io::Errno::PIPE)
}

/// Writes the layer's tar through gzip into the channel.
fn compress(tar: &LayerTar, sender: SyncSender<io::Result<Vec<u8>>>) -> Result<(Digest, u64)> {
    let failed = sender.clone();
    let written = write_compressed(tar, &mut Sending { sender, piece: Vec::with_capacity(PIECE) });
    if let Err(error) = &written {
        // Send the error. Otherwise the receiver would take the closed channel for the layer's end.
        let _ = failed.send(Err(io::Error::other(error.to_string())));
    }
    written
}

/// Writes the layer's tar through gzip. Returns the digest and the size of the written bytes.
fn write_compressed(tar: &LayerTar, output: &mut dyn Write) -> Result<(Digest, u64)> {
    let mut hashing = Hashing::new(output);
    let mut encoder = GzEncoder::new(&mut hashing, Compression::default());
    tar.write(&mut encoder)?;
    encoder.finish()?.flush()?;
    Ok((Digest::finish(hashing.hasher), hashing.size))
}

/// The compressor's end of the channel.
struct Sending {
    sender: SyncSender<io::Result<Vec<u8>>>,
    piece: Vec<u8>,
}

impl Write for Sending {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.piece.extend_from_slice(bytes);
        if self.piece.len() >= PIECE {
            self.flush()?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        let piece = std::mem::replace(&mut self.piece, Vec::with_capacity(PIECE));
        let sent = piece.is_empty() || self.sender.send(Ok(piece)).is_ok();
        // If the other side is gone, fail as a pipe does.
        let closed = || io::Error::from_raw_os_error(rustix::io::Errno::PIPE.raw_os_error());
        if sent { Ok(()) } else { Err(closed()) }
    }
}

/// The connection's end of the channel.
struct Pieces<'a> {
    receiver: Receiver<io::Result<Vec<u8>>>,
    piece: Vec<u8>,
    used: usize,
    total: u64,
    report: &'a (dyn Fn(u64) + Sync),
}

impl Read for Pieces<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.used == self.piece.len() {
            // The channel is closed after the compressor has sent everything.
            let Ok(piece) = self.receiver.recv() else { return Ok(0) };
            (self.piece, self.used) = (piece?, 0);
            self.total += self.piece.len() as u64;
            (self.report)(self.total);
        }
        let count = buffer.len().min(self.piece.len() - self.used);
        buffer[..count].copy_from_slice(&self.piece[self.used..self.used + count]);
        self.used += count;
        Ok(count)
    }
}
