//! Reads OCI image layouts (OCI image spec, image-layout.md). `index.json` names manifests.
//! Manifests, configs and layers are files `blobs/sha256/<hex>`.
//!
//! An entry that is an index holds one image for several platforms, and so do several entries with
//! one name; `choice` takes the image for the wanted platform. The name of an image is an
//! annotation: containerd writes a full name, and other programs write `ref.name`. A tag alone is
//! not a name. The grammar of `ref.name` (annotations.md) is wider than that of image names. If
//! `ref.name` is not an image name, the image gets no name.

use super::choice::{Choice, Documents, MAX_DEPTH};
use super::config::{ImageConfig, MAX_DOCUMENT};
use super::load::{Archive, passed_over};
use super::manifest::{Descriptor, Document, Manifest, Offer};
use super::platform::Wanted;
use super::store::NewImage;
use crate::digest::Digest;
use crate::error::{Error, Result, fail};
use crate::json::{Node, parse};
use crate::reference::{self, Reference};

/// The most entries of `index.json`.
const MAX_IMAGES: usize = 1000;
const FULL_NAME: &str = "io.containerd.image.name";
const REF_NAME: &str = "org.opencontainers.image.ref.name";

impl Documents for &Archive {
    type Error = Error;

    fn manifest(&mut self, blob: &Descriptor) -> Result<(String, Vec<u8>)> {
        Ok((blob.media_type.clone(), self.blob(blob)?))
    }

    fn config(&mut self, blob: &Descriptor) -> Result<Vec<u8>> {
        self.blob(blob)
    }
}

impl Archive {
    /// Chooses and checks the images of a layout, and adds their layers to `sources`. `note` gets a
    /// warning for each name that can't be used.
    pub fn layout(
        &self,
        index: &[u8],
        wanted: &Wanted,
        sources: &mut Vec<(Digest, String)>,
        note: &mut dyn FnMut(String),
    ) -> Result<Vec<NewImage>> {
        let names = names(index, note)?;
        let Document::Index(offers) = Document::parse("index.json", "", index)? else {
            fail!("index.json is a manifest, not an index");
        };
        let fits = |offer: &Offer| {
            let platform = offer.platform.as_ref().filter(|_| !offer.is_artifact);
            platform.map(|platform| wanted.rank(platform).is_some())
        };
        let any_fits = offers.iter().any(|offer| fits(offer) == Some(true));
        // Several entries with one name are one image for several platforms.
        let mut groups: Vec<(Option<Reference>, Vec<Offer>)> = Vec::new();
        for (offer, name) in offers.into_iter().zip(names) {
            match groups.iter_mut().find(|(known, _)| known.is_some() && *known == name) {
                Some((_, offers)) => offers.push(offer),
                None => groups.push((name, vec![offer])),
            }
        }
        let mut images: Vec<NewImage> = Vec::new();
        let mut documents = self;
        for (name, offers) in groups {
            let mut choice = Choice::new(&mut documents, wanted);
            let chosen = match &offers[..] {
                // Entries without names can be one image for several platforms. If any entry of the
                // index fits, skip those for other platforms.
                [only] if name.is_none() && any_fits && fits(only) == Some(false) => continue,
                [only] => choice.only(only)?,
                several => choice.of(several, MAX_DEPTH)?,
            };
            let Some(chosen) = chosen else {
                match choice.others() {
                    // There are only artifacts.
                    others if others.is_empty() => continue,
                    others => {
                        fail!("none of its images is for {}, only for {others}", wanted.platform)
                    }
                }
            };
            let mut image = self.image_of(&chosen.manifest, sources)?;
            // The index has one entry for each name of an image.
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
            let size = self.section(&member)?.size();
            if size != layer.size {
                fail!("{member} has {size} bytes, its descriptor says {}", layer.size);
            }
            if !sources.iter().any(|(known, _)| known == diff_id) {
                sources.push((*diff_id, member));
            }
        }
        Ok(NewImage { config, diff_ids, references: Vec::new(), manifest: None })
    }

    /// Reads a manifest or config. Fails if the bytes do not match the descriptor.
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
        if bytes.len() as u64 != descriptor.size {
            fail!("{path} has {} bytes, its descriptor says {}", bytes.len(), descriptor.size);
        }
        Ok(bytes)
    }
}

fn path(digest: &Digest) -> String {
    format!("blobs/sha256/{}", digest.hex())
}

/// Returns the name of each entry of an index. `note` gets a warning for each name that can't be
/// used.
fn names(index: &[u8], note: &mut dyn FnMut(String)) -> Result<Vec<Option<Reference>>> {
    let value = parse("index.json", index)?;
    let root = Node::root("index.json", &value);
    root.list("manifests", MAX_IMAGES, |entry| {
        let Some(annotations) = entry.get("annotations")? else { return Ok(None) };
        let (full, reference) = (annotations.text(FULL_NAME)?, annotations.text(REF_NAME)?);
        let name = match full.as_str() {
            // A tag alone is not a name.
            "" if reference.is_empty() || reference::is_tag(&reference) => return Ok(None),
            "" => reference,
            full => full.to_owned(),
        };
        let parsed = Reference::parse_new(&name);
        // Not every value of the annotation is an image's name (OCI image spec, annotations.md).
        Ok(parsed.map_err(|error| note(passed_over(&name, &error.to_string()))).ok())
    })
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::super::manifest::OCI_INDEX;
    use super::super::platform::Platform;
    use super::super::tar::testing::Writer;
    use super::super::testing::{Scratch, config, layer};
    use super::*;

    /// The blobs of a layout.
    #[derive(Default)]
    struct Blobs(Vec<Vec<u8>>);

    impl Blobs {
        /// Adds a blob, and returns its descriptor with `more` in it.
        fn add(&mut self, bytes: &[u8], more: &str) -> String {
            self.0.push(bytes.to_vec());
            let digest = Digest::of(bytes);
            format!(r#"{{"digest":"{digest}","size":{}{more}}}"#, bytes.len())
        }

        /// Adds an image whose config states `architecture`, and returns its entry.
        fn image(&mut self, architecture: &str, more: &str) -> String {
            let layer = layer(architecture, b"");
            let native = r#""architecture":"amd64""#;
            let stated = format!(r#""architecture":"{architecture}""#);
            let config = String::from_utf8(config(&[&layer])).unwrap().replace(native, &stated);
            let config = self.add(config.as_bytes(), "");
            let layer = self.add(&layer, r#","mediaType":"layer.tar""#);
            let manifest = format!(r#"{{"config":{config},"layers":[{layer}]}}"#);
            self.add(manifest.as_bytes(), more)
        }

        /// Returns the entries of artifacts, such as cosign and buildx put beside images.
        fn artifacts(&mut self) -> [String; 3] {
            let config = self.add(b"{}", r#","mediaType":"application/vnd.oci.empty.v1+json""#);
            let empty = format!(r#"{{"config":{config},"layers":[]}}"#);
            let config = self.add(b"{ }", "");
            let layer = self
                .add(b"sig", r#","mediaType":"application/vnd.dev.cosign.simplesigning.v1+json""#);
            let signature = format!(r#"{{"config":{config},"layers":[{layer}]}}"#);
            let unknown = r#","platform":{"os":"unknown","architecture":"unknown"}"#;
            [
                self.add(empty.as_bytes(), ""),
                self.add(signature.as_bytes(), ""),
                // This blob does not exist, so it must not be read.
                Blobs::default().add(b"attestation", unknown),
            ]
        }

        fn index(&mut self, entries: &[String], more: &str) -> String {
            let index = format!(r#"{{"manifests":[{}]}}"#, entries.join(","));
            self.add(index.as_bytes(), &format!(r#","mediaType":"{OCI_INDEX}"{more}"#))
        }

        /// Loads the layout that has these entries.
        fn load(
            &self,
            name: &str,
            entries: &[String],
        ) -> (Scratch, Result<Vec<super::super::load::Loaded>>, Vec<String>) {
            let index = format!(r#"{{"manifests":[{}]}}"#, entries.join(","));
            let scratch = Scratch::new(name);
            let archive = scratch.file("archive.tar", &packed(&index, &self.0));
            let mut notes = Vec::new();
            let file = fs::File::open(archive).unwrap();
            let loaded =
                scratch.store().load(file, &Wanted::native(), &mut |note| notes.push(note));
            (scratch, loaded, notes)
        }
    }

    fn named(name: &str) -> String {
        format!(r#","annotations":{{"{REF_NAME}":"{name}"}}"#)
    }

    fn stated(architecture: &str) -> String {
        format!(r#","platform":{{"os":"linux","architecture":"{architecture}"}}"#)
    }

    #[test]
    fn several_platforms_of_one_name_are_one_image() {
        let native = Platform::native().architecture;
        let mut blobs = Blobs::default();
        let name = named("x:1");
        let before = blobs.image("s390x", &(stated("s390x") + &name));
        let wanted = blobs.image(&native, &(stated(&native) + &name));
        let after = blobs.image("riscv64", &(stated("riscv64") + &name));
        let silent_before = blobs.image("s390x", &name);
        let silent = blobs.image(&native, &name);
        let silent_after = blobs.image("riscv64", &name);
        let [empty, signature, attestation] = blobs.artifacts();
        let inner = blobs.index(&[empty.clone(), silent_before.clone(), silent.clone()], "");
        let nested = blobs.index(&[signature.clone(), attestation.clone(), inner], &name);
        let bare = [before.clone(), wanted.clone(), after.clone()].map(|it| it.replace(&name, ""));
        let cases = [
            vec![before.clone(), wanted.clone(), after.clone()],
            vec![silent_before.clone(), silent, silent_after.clone()],
            vec![empty.clone(), wanted, signature.clone(), attestation.clone()],
            vec![nested],
            bare.to_vec(),
        ];
        for (at, entries) in cases.iter().enumerate() {
            let (scratch, loaded, notes) = blobs.load("layout-platforms", entries);
            let loaded = loaded.unwrap();
            assert_eq!((loaded.len(), notes.len()), (1, 0), "{at}");
            let image = scratch.store().get(&loaded[0].id).unwrap();
            assert_eq!(image.config.architecture, native, "{at}");
            assert!(image.layers[0].join(&native).is_file());
            assert_eq!(loaded[0].references.len(), usize::from(at < 4), "{at}");
        }
        for entries in [[before.clone(), after], [silent_before, silent_after]] {
            let error = blobs.load("layout-none", &entries).1.unwrap_err().to_string();
            assert!(error.ends_with("only for linux/s390x, linux/riscv64"), "{error}");
        }
        // A single image is loaded, whatever its platform is.
        assert_eq!(blobs.load("layout-alone", &[before]).1.unwrap().len(), 1);
        let error = blobs.load("layout-artifacts", &[empty, signature, attestation]).1.unwrap_err();
        assert!(error.to_string().contains("holds no image"), "{error}");
    }

    #[test]
    fn names_that_an_archive_can_not_give_are_passed_over() {
        let digest = Digest::of(b"x");
        for name in [format!("x@{digest}"), format!("x:1@{digest}"), "not: a name".to_owned()] {
            let mut blobs = Blobs::default();
            let entry = blobs.image("s390x", &named(&name));
            let (scratch, loaded, notes) = blobs.load("layout-digest", &[entry]);
            assert_eq!(loaded.unwrap()[0].references, []);
            assert!(notes[0].contains(&name) && notes.len() == 1, "{notes:?}");
            assert_eq!(scratch.store().list().unwrap()[0].digest, None);
        }
    }

    #[test]
    fn a_reference_of_the_whole_grammar_loads_an_image_without_a_name() {
        for name in ["v1.0+meta", "a:b:c", "Team/App+x:1", "a--b@c/d", "x@v1", "A/B"] {
            let mut blobs = Blobs::default();
            let entry = blobs.image("s390x", &named(name));
            let (_scratch, loaded, notes) = blobs.load("layout-grammar", &[entry]);
            assert_eq!(loaded.unwrap()[0].references, [], "{name}");
            assert!(notes.len() == 1 && notes[0].contains(&format!("'{name}'")), "{notes:?}");
        }
        // The first text is a name for Docker too. A tag alone and an empty text are no names.
        for (name, references) in [("a--b/c:1.x", 1), ("v1.0", 0), ("", 0)] {
            let mut blobs = Blobs::default();
            let entry = blobs.image("s390x", &named(name));
            let (_scratch, loaded, notes) = blobs.load("layout-grammar", &[entry]);
            assert_eq!((loaded.unwrap()[0].references.len(), notes.len()), (references, 0));
        }
    }

    #[test]
    fn a_layer_whose_size_is_not_the_stated_one_is_refused() {
        for size in [1, 99_999] {
            let mut blobs = Blobs::default();
            blobs.image("s390x", "");
            let manifest = String::from_utf8(blobs.0.pop().unwrap()).unwrap();
            let (before, after) = manifest.rsplit_once(r#""size":"#).unwrap();
            let after = after.split_once(',').unwrap().1;
            let manifest = format!(r#"{before}"size":{size},{after}"#);
            let entry = blobs.add(manifest.as_bytes(), "");
            let error = blobs.load("layout-size", &[entry]).1.unwrap_err().to_string();
            assert!(error.contains(&format!("its descriptor says {size}")), "{error}");
        }
    }

    /// Returns the text of `index.json` and the blobs of one image with one layer.
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
            let loaded = scratch
                .store()
                .load(fs::File::open(input).unwrap(), &Wanted::native(), &mut |_| {})
                .unwrap();
            assert_eq!(loaded.len(), 1);
            assert_eq!(loaded[0].id, Digest::of(&blobs[1]));
            let names: Vec<String> = loaded[0].references.iter().map(Reference::familiar).collect();
            assert_eq!(names, ["me/x:1", "y:2"]);
            let image = scratch.store().resolve(&"y:2".parse().unwrap()).unwrap().unwrap();
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
        let right = |blob: &[u8]| by(blob, blob.len() as u64);
        let mut nested = vec![right(&blobs[2]).into_bytes()];
        for depth in 0..MAX_DEPTH {
            let platform = r#"},"platform":{"os":"linux","architecture":"PLATFORM"}}]"#;
            let platform = platform.replace("PLATFORM", &Platform::native().architecture);
            let next = right(&nested[depth]).replace("}]", &platform[1..]);
            nested.push(next.into_bytes());
        }
        // The innermost index is one level too deep.
        let outermost = right(&nested[MAX_DEPTH]);
        // A blob under the name of another blob.
        let mut swapped = Writer::default();
        swapped.file(&path(&Digest::of(&blobs[3])), &blobs[2]);
        for (bytes, reason) in [
            (packed(&index, &blobs), "none of its images is for linux/"),
            (packed(&index, &blobs[1..]), "is missing"),
            (packed(&index, &corrupt), "is missing"),
            (packed(empty, &blobs), "no image"),
            (packed("{}", &blobs), "unknown kind"),
            (packed(&outermost, &nested), "too many nested indexes"),
            (packed(&by(&blobs[2], MAX_DOCUMENT + 1), &blobs), "larger than"),
            (swapped.file("index.json", right(&blobs[3]).as_bytes()).finish(), "is corrupt"),
            (packed(&by(&blobs[2], 9), &blobs), "its descriptor says 9"),
            (packed(&by(&blobs[2], 9999), &blobs), "its descriptor says 9999"),
        ] {
            let scratch = Scratch::new("layout-bad");
            let archive = scratch.file("archive.tar", &bytes);
            let loaded = scratch.store().load(
                fs::File::open(archive).unwrap(),
                &Wanted::native(),
                &mut |_| {},
            );
            let error = loaded.unwrap_err().to_string();
            assert!(error.contains(reason), "{reason}: {error}");
            assert_eq!(scratch.left(), [""; 0], "{reason}");
        }
    }
}
