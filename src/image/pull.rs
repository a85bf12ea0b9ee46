//! `pull`: gets an image from a registry (OCI distribution spec, "Pull").
//!
//! The manifest and the config come first, because they name the layers. Then the missing layers, a
//! few at a time, are downloaded, hashed, decompressed and unpacked in one pass. At last the commit
//! makes the image and its names visible. A layer is accepted if its compressed bytes have the
//! digest in the manifest, and its tar has the digest in the config.
//!
//! A pull that is killed or cut off leaves finished layers and parts of others. The next pull uses
//! the parts and, before a reboot, the layers. Until the commit, the name keeps the old image.

use std::sync::atomic::{AtomicBool, Ordering};

use super::choice::{Choice, Chosen, Documents, MAX_DEPTH};
use super::config::{ImageConfig, MAX_DOCUMENT};
use super::layers::Staged;
use super::manifest::{
    DOCKER_LIST, DOCKER_MANIFEST, Descriptor, Document, Manifest, OCI_INDEX, OCI_MANIFEST,
};
use super::parallel::in_parallel;
use super::platform::{Platform, Wanted};
use super::registry::endpoint::Endpoint;
use super::registry::fetch::Fetch;
use super::registry::http::{Attempt, Failure, Payload};
use super::registry::partial::Partial;
use super::registry::sources::Sources;
use super::registry::url::Url;
use super::registry::{self, Access};
use super::store::{Committed, ImageStore, MAX_COMMITS, NewImage};
use super::transfer::{Event, Step, Watch};
use crate::digest::{Digest, ImageId};
use crate::error::{Context, Result, fail};
use crate::json::{Node, parse};
use crate::reference::Reference;

/// How many times a source may send wrong bytes for a blob before the next source is tried.
const MAX_WRONG: usize = 2;
/// The maximum number of tags of a repository. A repository with more tags can't be pulled as a
/// whole.
const MAX_TAGS: usize = 10_000;
/// The largest page of a list of tags, in bytes.
const MAX_TAG_PAGE: u64 = 8 << 20;

/// The settings of a pull.
pub struct PullOptions {
    /// The requested platform. `None` means this machine's platform.
    pub platform: Option<Platform>,
    pub access: Access,
}

/// The result of a pull.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pulled {
    pub id: ImageId,
    /// The digest of the document that the registry has under the name: a manifest or an index.
    pub digest: Digest,
    /// Whether the name meant another image, or no image, before the pull.
    pub newer: bool,
}

/// An image that a registry has under a name: its manifest, and the manifest's bytes.
struct Found {
    /// The digest of the document under the name: the manifest, or the index that led to it.
    digest: Digest,
    manifest: Manifest,
    bytes: Vec<u8>,
}

/// A layer that the image needs.
struct WantedLayer<'a> {
    blob: &'a Descriptor,
    diff_id: Digest,
}

impl ImageStore {
    /// Pulls the image that `reference` names. Fails for example if no source has the image, if the
    /// image is not for the requested platform, or if bytes with another digest arrive repeatedly.
    pub fn pull(
        &self,
        reference: &Reference,
        options: &PullOptions,
        watch: Watch<'_>,
    ) -> Result<Pulled> {
        let scope = format!("repository:{}:pull", reference.path);
        let sources =
            Sources::new(&reference.host, &reference.path, vec![scope], &options.access, watch)?;
        let wanted = options.platform.clone().map_or_else(Wanted::native, Wanted::exactly);
        let (at, found, config) = self.look(&sources, reference, &wanted)?;
        let document = format!("config of {}", reference.familiar());
        let parsed = ImageConfig::parse(&document, &config)?;
        check_platform(&parsed, &wanted, reference, watch)?;
        let blobs = &found.manifest.layers;
        if parsed.diff_ids.len() != blobs.len() {
            let (listed, stated) = (blobs.len(), parsed.diff_ids.len());
            fail!("the manifest lists {listed} layers, the config {stated}");
        }
        let id = Digest::of(&config);
        let by_digest = Reference { tag: None, digest: Some(found.digest), ..reference.clone() };
        let mut references = vec![by_digest];
        if reference.digest.is_none() {
            references.push(reference.clone());
        }
        let mut wanted: Vec<WantedLayer<'_>> = Vec::new();
        for (blob, &diff_id) in blobs.iter().zip(&parsed.diff_ids) {
            if !wanted.iter().any(|known| known.diff_id == diff_id) {
                wanted.push(WantedLayer { blob, diff_id });
            }
        }
        let before = references.last().and_then(|name| self.read_reference(name).ok()?);
        let newer = before != Some(id);
        let image =
            NewImage { config, diff_ids: parsed.diff_ids, references, manifest: Some(found.bytes) };
        let images = [image];
        let mut staged = Vec::new();
        for _ in 0..MAX_COMMITS {
            staged.extend(self.pull_layers(&sources, at, reference, &wanted, watch)?);
            match self.commit(&mut staged, &images)? {
                Committed::All => return Ok(Pulled { id, digest: found.digest, newer }),
                // Another command removed some layers, so look up all of them again.
                Committed::Missing(_) => staged.clear(),
            }
        }
        fail!("the image's layers are removed again and again while they are pulled")
    }

    /// Returns the names of all tags of the repository (OCI distribution spec, "Listing Tags").
    /// Fails if the registry can't be reached or refuses, if its list is malformed, or if there are
    /// more than `MAX_TAGS` tags.
    pub fn remote_tags(&self, reference: &Reference, access: &Access) -> Result<Vec<String>> {
        let scope = format!("repository:{}:pull", reference.path);
        let endpoint = registry::open(&reference.host, &reference.path, vec![scope], access)?;
        let mut tags = Vec::new();
        let mut next = Some(endpoint.url(&format!("{}/tags/list", reference.path)));
        while let Some(url) = next {
            let page = endpoint.document("GET", &url, &[], Payload::Empty, MAX_TAG_PAGE);
            let (head, bytes) = page.map_err(|failure| {
                failure.context(|| format!("list the tags of {}", reference.familiar_name()))
            })?;
            let value = parse("list of tags", &bytes)?;
            let page = Node::root("list of tags", &value).texts("tags", MAX_TAGS)?;
            let page = page.unwrap_or_default();
            next = next_page(&url, head.header("link")).filter(|_| !page.is_empty());
            tags.extend(page);
            if tags.len() > MAX_TAGS {
                fail!("{} has more than {MAX_TAGS} tags", reference.familiar_name());
            }
        }
        Ok(tags)
    }

    /// Returns the index of the first source that has the image, and the image's manifest and
    /// config.
    fn look(
        &self,
        sources: &Sources<'_>,
        reference: &Reference,
        wanted: &Wanted,
    ) -> Attempt<(usize, Found, Vec<u8>)> {
        let mut at = 0;
        loop {
            let found = sources.get(at).and_then(|endpoint| {
                let found = find(self, endpoint, reference, wanted)?;
                let config = self.pull_config(endpoint, reference, &found.manifest.config)?;
                Ok((at, found, config))
            });
            match found {
                Ok(found) => return Ok(found),
                Err(failure) => at = sources.after(at, failure)?,
            }
        }
    }

    fn pull_config(
        &self,
        endpoint: &Endpoint,
        reference: &Reference,
        blob: &Descriptor,
    ) -> Result<Vec<u8>> {
        if let Some(bytes) = self.config_bytes(&blob.digest)?
            && Digest::of(&bytes) == blob.digest
        {
            check_size("config", blob, &bytes)?;
            return Ok(bytes);
        }
        if blob.size > MAX_DOCUMENT {
            fail!("the image's config is larger than {MAX_DOCUMENT} bytes");
        }
        let url = endpoint.url(&format!("{}/blobs/{}", reference.path, blob.digest));
        let (_, bytes) = endpoint.document("GET", &url, &[], Payload::Empty, MAX_DOCUMENT)?;
        match Digest::of(&bytes) {
            digest if digest == blob.digest => {
                check_size("config", blob, &bytes)?;
                Ok(bytes)
            }
            digest => fail!(
                "{} sends a config with the digest {digest}, not {}",
                endpoint.host,
                blob.digest
            ),
        }
    }

    /// Stages all layers of `wanted` that are not in place.
    fn pull_layers(
        &self,
        sources: &Sources<'_>,
        first: usize,
        reference: &Reference,
        wanted: &[WantedLayer<'_>],
        watch: Watch<'_>,
    ) -> Result<Vec<Staged>> {
        for layer in wanted {
            watch(Event::Layer(layer.blob.digest, Step::Waiting));
        }
        let staged = in_parallel(wanted, |layer, stop| {
            let pulled = self.pull_layer(sources, first, &reference.path, layer, stop, watch);
            pulled.context(|| format!("layer {}", layer.blob.digest.short()))
        })?;
        Ok(staged.into_iter().flatten().collect())
    }

    /// Stages one layer. Returns `None` if the layer is in place.
    fn pull_layer(
        &self,
        sources: &Sources<'_>,
        first: usize,
        path: &str,
        layer: &WantedLayer<'_>,
        stop: &AtomicBool,
        watch: Watch<'_>,
    ) -> Result<Option<Staged>> {
        let WantedLayer { blob, diff_id } = layer;
        let report = |step| watch(Event::Layer(blob.digest, step));
        let arrived = |bytes| report(Step::Moved { bytes, of: blob.size });
        let (mut at, mut wrong) = (first, 0);
        loop {
            if stop.load(Ordering::Relaxed) {
                fail!("stopped");
            }
            if let Some(here) = self.local_layer(diff_id)? {
                report(Step::Exists);
                return Ok(here.staged());
            }
            let (hex, stall) = (blob.digest.hex(), sources.stall());
            let partial = Partial::hold(&self.partials(), &hex, blob.size, stall, stop)?;
            // Another pull may have completed the layer while this pull waited.
            if let Some(here) = self.local_layer(diff_id)? {
                partial.discard()?;
                report(Step::Exists);
                return Ok(here.staged());
            }
            let mut fetch = Fetch::new(sources, at, path, blob, &partial, stop, &arrived)?;
            let staged = self.layers.stage(&mut fetch);
            if let Some(failure) = fetch.take_failure() {
                return Err(failure);
            }
            if let Err(error) = &staged
                && error.errno().is_some_and(is_ours)
            {
                return staged.map(Some);
            }
            // Only the digest shows whether the registry's bytes or the image itself are wrong.
            if !fetch.finish()? {
                at = fetch.source();
                partial.discard()?;
                wrong += 1;
                if wrong == MAX_WRONG {
                    let host = &sources.get(at)?.host;
                    let message = format!("{host} repeatedly sends bytes with another digest");
                    (at, wrong) = (sources.after(at, Failure::new(message))?, 0);
                }
                continue;
            }
            let mut staged = match staged {
                Ok(staged) if staged.diff_id == *diff_id => staged,
                Ok(staged) => {
                    partial.discard()?;
                    fail!("its tar has the digest {}, the config says {diff_id}", staged.diff_id);
                }
                Err(error) => {
                    partial.discard()?;
                    return Err(error);
                }
            };
            self.layers.make_ready(&mut staged)?;
            partial.discard()?;
            report(Step::Pulled);
            return Ok(Some(staged));
        }
    }

    /// Returns the layer if it needs no download.
    fn local_layer(&self, diff_id: &Digest) -> Result<Option<LocalLayer>> {
        if self.layers.exists(diff_id) {
            return Ok(Some(LocalLayer::InPlace));
        }
        match self.layers.ready(diff_id)? {
            Some(ready) => Ok(Some(LocalLayer::Ready(ready))),
            // The layer may have been moved from ready into place between the two checks.
            None => Ok(self.layers.exists(diff_id).then_some(LocalLayer::InPlace)),
        }
    }
}

/// A layer that does not have to be downloaded.
enum LocalLayer {
    /// The layer is in the layer store.
    InPlace,
    /// Another pull, which runs or was interrupted, has unpacked and verified the layer.
    Ready(Staged),
}

impl LocalLayer {
    fn staged(self) -> Option<Staged> {
        match self {
            LocalLayer::InPlace => None,
            LocalLayer::Ready(staged) => Some(staged),
        }
    }
}

/// Reads the manifests and configs of one repository.
struct Remote<'a> {
    store: &'a ImageStore,
    endpoint: &'a Endpoint,
    reference: &'a Reference,
}

impl Documents for Remote<'_> {
    type Error = Failure;

    fn manifest(&mut self, blob: &Descriptor) -> Attempt<(String, Vec<u8>)> {
        let (media_type, bytes) =
            manifest(self.endpoint, self.reference, &blob.digest.to_string())?;
        check_size("manifest", blob, &bytes)?;
        Ok((media_type, bytes))
    }

    fn config(&mut self, blob: &Descriptor) -> Attempt<Vec<u8>> {
        Ok(self.store.pull_config(self.endpoint, self.reference, blob)?)
    }
}

/// Returns the manifest that the registry has under the name. From an index, returns the manifest
/// of the image that fits best.
fn find(
    store: &ImageStore,
    endpoint: &Endpoint,
    reference: &Reference,
    wanted: &Wanted,
) -> Attempt<Found> {
    let asked = match (&reference.digest, &reference.tag) {
        (Some(digest), _) => digest.to_string(),
        (None, Some(tag)) => tag.clone(),
        (None, None) => "latest".to_owned(),
    };
    let (media_type, bytes) = manifest(endpoint, reference, &asked)?;
    let digest = Digest::of(&bytes);
    let document = format!("manifest of {}", reference.familiar());
    let offers = match Document::parse(&document, &media_type, &bytes)? {
        Document::Manifest(manifest) => return Ok(Found { digest, manifest, bytes }),
        Document::Artifact(reason) => return Err(reason.into()),
        Document::Index(offers) => offers,
    };
    let mut remote = Remote { store, endpoint, reference };
    let mut choice = Choice::new(&mut remote, wanted);
    let Some(Chosen { manifest, bytes, .. }) = choice.of(&offers, MAX_DEPTH)? else {
        let (name, platform) = (reference.familiar(), &wanted.platform);
        let message = match choice.others() {
            others if others.is_empty() => format!("{document} lists no image"),
            others => format!("{name} is not there for {platform}, only for {others}"),
        };
        return Err(Failure::new(message));
    };
    Ok(Found { digest, manifest, bytes })
}

fn check_size(what: &str, blob: &Descriptor, bytes: &[u8]) -> Result<()> {
    if bytes.len() as u64 != blob.size {
        let (size, stated) = (bytes.len(), blob.size);
        fail!("the {what} {} has {size} bytes, its descriptor says {stated}", blob.digest.short());
    }
    Ok(())
}

/// Returns a manifest's media type and bytes. `asked` is a tag or a digest. Fails if `asked` is a
/// digest and the bytes have another one.
fn manifest(endpoint: &Endpoint, reference: &Reference, asked: &str) -> Attempt<(String, Vec<u8>)> {
    let url = endpoint.url(&format!("{}/manifests/{asked}", reference.path));
    // Send one Accept header for each media type: old registries compare the whole header with the
    // media type of the manifest that they have.
    let kinds = [OCI_INDEX, DOCKER_LIST, OCI_MANIFEST, DOCKER_MANIFEST];
    let headers = kinds.map(|kind| ("Accept", kind.to_owned()));
    let answer = endpoint.document("GET", &url, &headers, Payload::Empty, MAX_DOCUMENT);
    let pulling = || format!("pull {}", reference.familiar());
    let (head, bytes) = answer.map_err(|failure| failure.context(pulling))?;
    if let Ok(digest) = Digest::parse(asked)
        && digest != Digest::of(&bytes)
    {
        let found = Digest::of(&bytes);
        let message =
            format!("{} sends a manifest with the digest {found}, not {digest}", endpoint.host);
        return Err(Failure::new(message));
    }
    let media_type = head.header("content-type").unwrap_or_default();
    let media_type = media_type.split(';').next().unwrap_or_default().trim();
    Ok((media_type.to_owned(), bytes))
}

fn check_platform(
    config: &ImageConfig,
    wanted: &Wanted,
    reference: &Reference,
    watch: Watch<'_>,
) -> Result<()> {
    let offered = config.platform();
    let platform = &wanted.platform;
    let fits = offered.os == platform.os && offered.architecture == platform.architecture;
    // Some tools make images that state no platform.
    if fits || offered.architecture.is_empty() || wanted.rank(&offered).is_some() {
        return Ok(());
    }
    let message = format!("{} is for {offered}, not for {platform}", reference.familiar());
    if wanted.is_exact {
        fail!("{message}");
    }
    watch(Event::Warning(message));
    Ok(())
}

/// Whether the error is about this machine's disk or memory, and not about the bytes.
fn is_ours(errno: rustix::io::Errno) -> bool {
    use rustix::io::Errno;
    matches!(errno, Errno::NOSPC | Errno::DQUOT | Errno::IO | Errno::ROFS | Errno::NOMEM)
}

/// Returns the URL in `Link: <URL>; rel="next"` (RFC 8288), if it leads to another page of the same
/// registry.
fn next_page(url: &Url, link: Option<&str>) -> Option<Url> {
    let (target, rest) = link?.trim_start().strip_prefix('<')?.split_once('>')?;
    let next = url.join(target).ok()?;
    (rest.contains("next") && next.origin == url.origin && next != *url).then_some(next)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_page_is_the_registrys_own() {
        let url = Url::parse("https://r.example/v2/a/tags/list").unwrap();
        for (link, leads_to) in [
            ("</v2/a/tags/list?last=b&n=2>; rel=\"next\"", Some("/v2/a/tags/list?last=b&n=2")),
            ("<https://r.example/v2/a/tags/list?n=1>; rel=next", Some("/v2/a/tags/list?n=1")),
            ("<https://thief.example/v2/a/tags/list?n=1>; rel=\"next\"", None),
            ("</v2/a/tags/list>; rel=\"next\"", None),
            ("</v2/a/tags/list?n=1>; rel=\"prev\"", None),
            ("/v2/a", None),
        ] {
            let next = next_page(&url, Some(link)).map(|next| next.target);
            assert_eq!(next.as_deref(), leads_to, "{link}");
        }
        assert_eq!(next_page(&url, None), None);
    }
}
