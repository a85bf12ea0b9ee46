//! OCI image layouts (OCI image spec, image-layout.md): `index.json` names manifests, which lie as
//! `blobs/sha256/<hex>` beside the configs and layers that they name.
//!
//! An entry that is an index itself holds one image for several platforms: this machine's is taken.
//! A name stands in the annotations, whole as containerd writes it or, from others, in `ref.name`,
//! where a tag alone names nothing.

use super::config::{ImageConfig, MAX_DOCUMENT};
use super::digest::Digest;
use super::load::Archive;
use super::manifest::{Descriptor, Document, Manifest};
use super::platform::Platform;
use super::reference::Reference;
use super::store::NewImage;
use crate::error::{Result, fail};
use crate::json::{Node, parse};

/// Most images of one layout.
const MAX_IMAGES: usize = 1000;
/// Deepest index in an index.
const MAX_DEPTH: usize = 4;
const FULL_NAME: &str = "io.containerd.image.name";
const REF_NAME: &str = "org.opencontainers.image.ref.name";

impl Archive {
    /// Checks all images of a layout, and adds their layers to `sources`.
    pub fn layout(
        &self,
        index: &[u8],
        sources: &mut Vec<(Digest, String)>,
    ) -> Result<Vec<NewImage>> {
        let names = names(index)?;
        let Document::Index(entries) = Document::parse("index.json", "", index)? else {
            fail!("index.json is a manifest, not an index");
        };
        let mut images: Vec<NewImage> = Vec::new();
        for ((_, descriptor), name) in entries.iter().zip(names) {
            let manifest = self.manifest(descriptor, MAX_DEPTH)?;
            let mut image = self.image_of(&manifest, sources)?;
            // Listed once for each of its names.
            match images.iter_mut().find(|known| known.config == image.config) {
                Some(known) => known.references.extend(name),
                None => {
                    image.references.extend(name);
                    images.push(image);
                }
            }
        }
        if images.is_empty() {
            fail!("index.json: the layout holds no image");
        }
        Ok(images)
    }

    fn manifest(&self, descriptor: &Descriptor, depth: usize) -> Result<Manifest> {
        let path = path(&descriptor.digest);
        match Document::parse(&path, &descriptor.media_type, &self.blob(descriptor)?)? {
            Document::Manifest(manifest) => Ok(manifest),
            Document::Index(_) if depth == 0 => fail!("{path}: too many indexes in each other"),
            Document::Index(offered) => {
                let native = Platform::native();
                match native.choose(offered.iter().map(|(platform, _)| platform)) {
                    Some(at) => self.manifest(&offered[at].1, depth - 1),
                    None => fail!("{path}: none of its images is for {native}"),
                }
            }
        }
    }

    fn image_of(
        &self,
        manifest: &Manifest,
        sources: &mut Vec<(Digest, String)>,
    ) -> Result<NewImage> {
        let name = path(&manifest.config.digest);
        let config = self.blob(&manifest.config)?;
        let diff_ids = ImageConfig::parse(&name, &config)?.diff_ids;
        if diff_ids.len() != manifest.layers.len() {
            let (listed, stated) = (manifest.layers.len(), diff_ids.len());
            fail!("the manifest lists {listed} layers for {name}, which states {stated}");
        }
        for (diff_id, layer) in diff_ids.iter().zip(&manifest.layers) {
            let member = path(&layer.digest);
            self.section(&member)?;
            if !sources.iter().any(|(known, _)| known == diff_id) {
                sources.push((*diff_id, member));
            }
        }
        Ok(NewImage { config, diff_ids, references: Vec::new(), manifest: None })
    }

    /// A manifest or config, if it is what its descriptor says.
    fn blob(&self, descriptor: &Descriptor) -> Result<Vec<u8>> {
        let path = path(&descriptor.digest);
        if descriptor.size > MAX_DOCUMENT {
            fail!("{path} is larger than {MAX_DOCUMENT} bytes");
        }
        let Some(bytes) = self.document(&path)? else {
            fail!("{path} is missing from the archive")
        };
        if Digest::of(&bytes) != descriptor.digest {
            fail!("{path} is corrupt: its digest is {}", Digest::of(&bytes));
        }
        Ok(bytes)
    }
}

fn path(digest: &Digest) -> String {
    format!("blobs/sha256/{}", digest.hex())
}

/// The name of each entry of an index.
fn names(index: &[u8]) -> Result<Vec<Option<Reference>>> {
    let value = parse("index.json", index)?;
    let root = Node::root("index.json", &value);
    let Some(manifests) = root.get("manifests")? else { return Ok(Vec::new()) };
    manifests.each(MAX_IMAGES, |entry| {
        let Some(annotations) = entry.get("annotations")? else { return Ok(None) };
        let (full, reference) = (annotations.text(FULL_NAME)?, annotations.text(REF_NAME)?);
        match full.as_str() {
            "" if reference.contains([':', '/']) => Reference::parse(&reference).map(Some),
            "" => Ok(None),
            full => Reference::parse(full).map(Some),
        }
    })
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::super::tar::testing::Writer;
    use super::super::testing::{Scratch, config, layer};
    use super::*;

    /// `index.json`'s text and the blobs of one image on one layer.
    fn sample(platform: &str) -> (String, Vec<Vec<u8>>) {
        let layer = layer("a", b"1");
        let config = config(&[&layer]);
        let describe = |bytes: &[u8], kind: &str| {
            let (digest, size) = (Digest::of(bytes), bytes.len());
            format!(
                r#""mediaType":"application/vnd.oci.image.{kind}","digest":"{digest}","size":{size}"#
            )
        };
        let manifest = format!(
            r#"{{"schemaVersion":2,"config":{{{}}},"layers":[{{{}}}]}}"#,
            describe(&config, "config.v1+json"),
            describe(&layer, "layer.v1.tar")
        );
        let inner = format!(
            r#"{{"schemaVersion":2,"manifests":[{{{},"platform":{platform}}}]}}"#,
            describe(manifest.as_bytes(), "manifest.v1+json"),
        );
        let index = format!(
            r#"{{"schemaVersion":2,"manifests":[
            {{{manifest},"annotations":{{"{REF_NAME}":"me/x:1"}}}},
            {{{inner},"annotations":{{"{REF_NAME}":"tag","{FULL_NAME}":"docker.io/library/y:2"}}}},
            {{{manifest},"annotations":{{"{REF_NAME}":"tag"}}}}]}}"#,
            manifest = describe(manifest.as_bytes(), "manifest.v1+json"),
            inner = describe(inner.as_bytes(), "index.v1+json"),
        );
        (index, vec![layer, config, manifest.into_bytes(), inner.into_bytes()])
    }

    fn packed(index: &str, blobs: &[Vec<u8>]) -> Vec<u8> {
        let mut tar = Writer::default();
        for blob in blobs {
            tar.file(&path(&Digest::of(blob)), blob);
        }
        tar.file("index.json", index.as_bytes()).finish()
    }

    const NATIVE: &str = r#"{"os":"linux","architecture":"amd64"}"#;

    #[test]
    #[cfg(target_arch = "x86_64")]
    fn names_and_platforms_packed_and_as_a_directory() {
        let (index, blobs) = sample(NATIVE);
        let scratch = Scratch::new("layout");
        let archive = scratch.file("archive.tar", &packed(&index, &blobs));
        for blob in &blobs {
            scratch.file(&format!("layout/{}", path(&Digest::of(blob))), blob);
        }
        scratch.file("layout/index.json", index.as_bytes());
        for input in [archive, scratch.dir.join("layout")] {
            let loaded = scratch.store().load(fs::File::open(input).unwrap()).unwrap();
            assert_eq!(loaded.len(), 1);
            assert_eq!(loaded[0].id, Digest::of(&blobs[1]));
            let names: Vec<String> = loaded[0].references.iter().map(Reference::familiar).collect();
            assert_eq!(names, ["me/x:1", "y:2"]);
            let image = scratch.store().resolve("y:2").unwrap().unwrap();
            assert!(image.layers[0].join("a").is_file());
        }
    }

    #[test]
    fn nothing_is_visible_when_anything_is_wrong() {
        let (index, blobs) = sample(r#"{"os":"plan9","architecture":"vax"}"#);
        let mut corrupt = blobs.clone();
        corrupt[2].push(b' ');
        let empty = r#"{"schemaVersion":2,"manifests":[]}"#;
        let by = |blob: &[u8], size: u64| {
            let digest = Digest::of(blob);
            format!(r#"{{"schemaVersion":2,"manifests":[{{"digest":"{digest}","size":{size}}}]}}"#)
        };
        let mut nested = vec![by(&blobs[2], 1).into_bytes()];
        for depth in 0..MAX_DEPTH {
            let platform = r#""size":1,"platform":{"os":"linux","architecture":"PLATFORM"}"#;
            let platform = platform.replace("PLATFORM", &Platform::native().architecture);
            let next = by(&nested[depth], 1).replace(r#""size":1"#, &platform);
            nested.push(next.into_bytes());
        }
        // The innermost index is one too deep for what leads to it.
        let outermost = by(&nested[MAX_DEPTH], 1);
        // A blob under another's name.
        let mut swapped = Writer::default();
        swapped.file(&path(&Digest::of(&blobs[3])), &blobs[2]);
        for (bytes, reason) in [
            (packed(&index, &blobs), "none of its images is for linux/"),
            (packed(&index, &blobs[1..]), "is missing"),
            (packed(&index, &corrupt), "is missing"),
            (packed(empty, &blobs), "no image"),
            (packed("{}", &blobs), "unknown kind"),
            (packed(&outermost, &nested), "too many indexes"),
            (packed(&by(&blobs[2], MAX_DOCUMENT + 1), &blobs), "larger than"),
            (swapped.file("index.json", by(&blobs[3], 1).as_bytes()).finish(), "is corrupt"),
        ] {
            let scratch = Scratch::new("layout-bad");
            let archive = scratch.file("archive.tar", &bytes);
            let loaded = scratch.store().load(fs::File::open(archive).unwrap());
            let error = loaded.unwrap_err().to_string();
            assert!(error.contains(reason), "{reason}: {error}");
            assert_eq!(scratch.left(), [""; 0], "{reason}");
        }
    }
}
