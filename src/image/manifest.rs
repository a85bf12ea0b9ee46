//! Parses manifests and indexes of images, and writes manifests. Two formats are known: that of the
//! OCI image spec (manifest.md, image-index.md), and Docker's schema 2 with its own media types.
//! The documents come from a registry or an archive, so every list is bounded. The callers check
//! the digests of the documents. Schema 1 is refused. `choice` decides which entry of an index is
//! taken.

use miniserde::json::Value;

use super::config::MAX_LAYERS;
use super::platform::Platform;
use crate::digest::{A_DIGEST, Digest};
use crate::error::{Error, Result, fail};
use crate::json::{Node, parse};

/// Media type of a manifest (OCI image spec, media-types.md).
pub const OCI_MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
/// Media type of an index.
pub const OCI_INDEX: &str = "application/vnd.oci.image.index.v1+json";
/// Media type of an image's config.
pub const OCI_CONFIG: &str = "application/vnd.oci.image.config.v1+json";
/// Media type of a layer compressed by gzip.
pub const OCI_GZIP_LAYER: &str = "application/vnd.oci.image.layer.v1.tar+gzip";
/// Media type of Docker's schema 2 manifest.
pub const DOCKER_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";
/// Media type of Docker's manifest list.
pub const DOCKER_LIST: &str = "application/vnd.docker.distribution.manifest.list.v2+json";

const DOCKER_CONFIG: &str = "application/vnd.docker.container.image.v1+json";
const DOCKER_LAYER: &str = "application/vnd.docker.image.rootfs.diff.tar";

/// The most entries of an index.
const MAX_IMAGES: usize = 1000;
/// The most URLs of a foreign layer.
const MAX_URLS: usize = 8;
/// The largest accepted blob, in bytes.
pub const MAX_BLOB: u64 = 1 << 40;

/// A descriptor of a blob (descriptor.md).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Descriptor {
    pub media_type: String,
    pub digest: Digest,
    pub size: u64,
    /// The URLs of a foreign layer. A pull uses them if no registry sends the layer.
    pub urls: Vec<String>,
}

/// A manifest: the descriptors of an image's config and layers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Manifest {
    pub config: Descriptor,
    /// The layers, base first.
    pub layers: Vec<Descriptor>,
}

/// An entry of an index.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Offer {
    pub descriptor: Descriptor,
    /// The platform, or `None` if the index states none.
    pub platform: Option<Platform>,
    /// Whether the index marks the entry as something other than an image.
    pub is_artifact: bool,
}

/// The document that a registry or an archive has under a name.
#[derive(Debug)]
pub enum Document {
    Manifest(Manifest),
    Index(Vec<Offer>),
    /// A manifest of something other than an image (a signature, a chart), and the reason to refuse
    /// it.
    Artifact(Error),
}

impl Document {
    /// Parses a manifest or an index. `media_type` is what a registry or a descriptor states. The
    /// document's own media type wins. Fails on a malformed document, on Docker's schema 1, on an
    /// unknown kind of document, and on a manifest that is also an index.
    pub fn parse(document: &str, media_type: &str, bytes: &[u8]) -> Result<Document> {
        let value = parse(document, bytes)?;
        let root = Node::root(document, &value);
        if root.get("schemaVersion")?.map(|version| version.unsigned()).transpose()? == Some(1) {
            fail!(
                "{document} is of Docker's schema 1, which is obsolete; push the image again with \
                 a current tool"
            );
        }
        let stated = root.text("mediaType")?;
        let media_type = if stated.is_empty() { media_type } else { &stated };
        let (config, images) = (root.get("config")?.is_some(), root.get("manifests")?.is_some());
        // Another program could read such a document as the other kind (CVE-2021-41190).
        if config && images {
            fail!("{document} is a manifest and an index at once");
        }
        match media_type {
            OCI_INDEX | DOCKER_LIST => parse_index(&root).map(Document::Index),
            OCI_MANIFEST | DOCKER_MANIFEST => parse_manifest(&root),
            _ if images => parse_index(&root).map(Document::Index),
            _ if config => parse_manifest(&root),
            other => fail!("{document} is of the unknown kind '{}'", other.escape_debug()),
        }
    }
}

/// Returns the media type of a stored manifest: the stated one, or OCI's if none is stated.
pub fn media_type_of(bytes: &[u8]) -> String {
    let stated = parse("manifest", bytes).and_then(|value| {
        let root = Node::root("manifest", &value);
        root.text("mediaType")
    });
    stated.ok().filter(|stated| !stated.is_empty()).unwrap_or_else(|| OCI_MANIFEST.to_owned())
}

impl Manifest {
    /// Returns the digests of the config and of all layers.
    pub fn blobs(&self) -> impl Iterator<Item = &Digest> {
        std::iter::once(&self.config).chain(&self.layers).map(|blob| &blob.digest)
    }

    /// Parses a stored manifest. Fails as [`Document::parse`] does, and if the document is an index
    /// or an artifact.
    pub fn parse(document: &str, bytes: &[u8]) -> Result<Manifest> {
        match Document::parse(document, "", bytes)? {
            Document::Manifest(manifest) => Ok(manifest),
            Document::Index(_) => fail!("{document} is an index, not a manifest"),
            Document::Artifact(reason) => Err(reason),
        }
    }

    /// Returns the manifest as an OCI document.
    pub fn to_json(&self) -> String {
        self.to_json_of(OCI_MANIFEST)
    }

    fn to_json_of(&self, media_type: &str) -> String {
        let layers: Vec<String> = self.layers.iter().map(Descriptor::to_json).collect();
        format!(
            r#"{{"schemaVersion":2,"mediaType":"{media_type}","config":{},"layers":[{}]}}"#,
            self.config.to_json(),
            layers.join(",")
        )
    }

    /// Returns the manifest in Docker's schema 2, or `None` if a layer has no media type there
    /// (zstd).
    pub fn to_docker_json(&self) -> Option<String> {
        let mut manifest = self.clone();
        manifest.config.media_type = DOCKER_CONFIG.to_owned();
        for layer in &mut manifest.layers {
            layer.media_type = match &layer.media_type {
                kind if kind.contains("zstd") => return None,
                kind if kind.contains("gzip") => format!("{DOCKER_LAYER}.gzip"),
                _ => DOCKER_LAYER.to_owned(),
            };
        }
        Some(manifest.to_json_of(DOCKER_MANIFEST))
    }
}

impl Descriptor {
    /// Returns a descriptor without foreign URLs.
    pub fn new(media_type: &str, digest: Digest, size: u64) -> Descriptor {
        Descriptor { media_type: media_type.to_owned(), digest, size, urls: Vec::new() }
    }

    fn parse(node: &Node<'_>) -> Result<Descriptor> {
        let digest = node.need("digest")?;
        let size = node.need("size")?.unsigned()?;
        if size > MAX_BLOB {
            return Err(node.wrong(&format!("at most {MAX_BLOB} bytes")));
        }
        Ok(Descriptor {
            media_type: node.text("mediaType")?,
            digest: Digest::parse(&digest.string()?).map_err(|_| digest.wrong(A_DIGEST))?,
            size,
            urls: node.texts("urls", MAX_URLS)?.unwrap_or_default(),
        })
    }

    /// Returns the same layer with OCI's media type, which an OCI manifest needs, and without
    /// foreign URLs.
    pub fn into_oci(mut self) -> Descriptor {
        self.urls.clear();
        self.media_type = match &self.media_type {
            kind if kind.contains("zstd") => "application/vnd.oci.image.layer.v1.tar+zstd".into(),
            kind if kind.contains("gzip") => OCI_GZIP_LAYER.to_owned(),
            _ => "application/vnd.oci.image.layer.v1.tar".into(),
        };
        self
    }

    fn to_json(&self) -> String {
        let media_type = miniserde::json::to_string(&Value::String(self.media_type.clone()));
        let Descriptor { digest, size, .. } = self;
        format!(r#"{{"mediaType":{media_type},"digest":"{digest}","size":{size}}}"#)
    }
}

fn parse_manifest(root: &Node<'_>) -> Result<Document> {
    let config = Descriptor::parse(&root.need("config")?)?;
    if let Some(kind) = root.get("artifactType")? {
        return Ok(Document::Artifact(kind.wrong("absent: an image has none")));
    }
    // An image's config has no media type, OCI's, Docker's, or `octet-stream` (from old versions of
    // Docker).
    let is_images = matches!(&config.media_type[..], "" | OCI_CONFIG | "application/octet-stream")
        || config.media_type.contains("container.image");
    if !is_images {
        let message = format!("the config of an image, not '{}'", config.media_type.escape_debug());
        return Ok(Document::Artifact(root.need("config")?.wrong(&message)));
    }
    let mut other = None;
    let layers = root.need("layers")?.each(MAX_LAYERS, |layer| {
        let descriptor = Descriptor::parse(layer)?;
        let media_type = &descriptor.media_type;
        if !media_type.contains("tar") && other.is_none() {
            let message = format!("a layer of an image, not '{}'", media_type.escape_debug());
            other = Some(layer.wrong(&message));
        }
        Ok(descriptor)
    })?;
    Ok(other.map_or(Document::Manifest(Manifest { config, layers }), Document::Artifact))
}

fn parse_index(root: &Node<'_>) -> Result<Vec<Offer>> {
    root.list("manifests", MAX_IMAGES, |node| {
        let descriptor = Descriptor::parse(node)?;
        let platform = match node.get("platform")? {
            Some(platform) => Some(Platform {
                os: platform.text("os")?,
                architecture: platform.text("architecture")?,
                variant: platform.text("variant")?,
            }),
            None => None,
        };
        // Builders add attestations for the platform unknown/unknown, with an annotation.
        let annotations = node.get("annotations")?;
        let refers =
            annotations.map(|it| it.get("vnd.docker.reference.type").map(|it| it.is_some()));
        let is_artifact = node.get("artifactType")?.is_some()
            || refers.transpose()?.unwrap_or(false)
            || platform.as_ref().is_some_and(|platform| platform.os == "unknown");
        let platform = platform.filter(|platform| *platform != Platform::default());
        Ok(Offer { descriptor, platform, is_artifact })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(media_type: &str, text: &str) -> Result<Document> {
        Document::parse("m", media_type, text.as_bytes())
    }

    #[test]
    fn manifests_and_indexes_of_both_kinds() {
        let digest = Digest::of(b"x");
        let layer = format!(r#"{{"mediaType":"{OCI_GZIP_LAYER}","digest":"{digest}","size":1}}"#);
        let manifest = format!(
            r#"{{"schemaVersion":2,"config":{{"digest":"{digest}","size":2}},"layers":[{layer}]}}"#
        );
        for media_type in [OCI_MANIFEST, DOCKER_MANIFEST, "", "text/plain"] {
            let Document::Manifest(manifest) = parsed(media_type, &manifest).unwrap() else {
                panic!("an index")
            };
            assert_eq!((manifest.layers.len(), manifest.config.size), (1, 2));
            assert_eq!(Manifest::parse("m", manifest.to_json().as_bytes()).unwrap(), manifest);
        }
        let index = format!(
            r#"{{"manifests":[{{"digest":"{digest}","size":1,"mediaType":"{OCI_MANIFEST}",
            "platform":{{"os":"linux","architecture":"arm","variant":"v7"}}}}]}}"#
        );
        for media_type in [OCI_INDEX, DOCKER_LIST, ""] {
            let Document::Index(images) = parsed(media_type, &index).unwrap() else {
                panic!("a manifest")
            };
            assert_eq!(images[0].platform.as_ref().unwrap().to_string(), "linux/arm/v7");
        }
    }

    #[test]
    fn what_is_wrong_is_named() {
        let digest = Digest::of(b"x");
        for (text, reason) in [
            (r#"{"schemaVersion":1}"#.to_owned(), "schema 1"),
            ("{}".to_owned(), "unknown kind"),
            (r#"{"manifests":[],"config":{}}"#.to_owned(), "at once"),
            (
                r#"{"config":{"digest":"md5:x","size":1},"layers":[]}"#.to_owned(),
                "m: config.digest",
            ),
            (
                format!(r#"{{"config":{{"digest":"sha512:{0}{0}","size":1}}}}"#, digest.hex()),
                "m: config.digest should be a sha256 digest, the only kind known here; make the \
                 image again with sha256 digests",
            ),
            (format!(r#"{{"config":{{"digest":"{digest}","size":-1}}}}"#), "m: config.size"),
            (
                format!(r#"{{"config":{{"digest":"{digest}","size":1099511627777}}}}"#),
                "m: config should be at most",
            ),
            (
                format!(
                    r#"{{"config":{{"digest":"{digest}","size":1}},"layers":[{{"digest":"{digest}",
                    "size":1,"mediaType":"application/vnd.cncf.helm.chart"}}]}}"#
                ),
                "m: layers[0] should be a layer",
            ),
        ] {
            let error = match parsed("", &text) {
                Ok(Document::Artifact(reason)) => reason.to_string(),
                other => other.unwrap_err().to_string(),
            };
            assert!(error.contains(reason), "{error}");
        }
    }
}
