//! `save`: writes images to an archive that other tools read.
//!
//! Both formats are a tar with an OCI image layout in it (OCI image spec, image-layout.md):
//! uncompressed layers, configs and manifests under `blobs/sha256/`, and an `index.json` that lists
//! the manifests. A docker-archive also has a `manifest.json` for older versions of Docker and for
//! other tools. Docker has written this form since version 25. The same images, names, annotations
//! and format give the same bytes.

use std::io::{self, Write};

use miniserde::json::{self, Array, Number, Object, Value};

use super::config::{ImageConfig, with_diff_ids};
use super::layer_tar::LayerTar;
use super::store::ImageStore;
use super::tar::{Entry, Kind, Writer};
use crate::digest::{Digest, ImageId};
use crate::error::{Result, fail};
use crate::image_name::ImageName;
use crate::reference::Reference;

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const INDEX: &str = "application/vnd.oci.image.index.v1+json";
const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
const LAYER: &str = "application/vnd.oci.image.layer.v1.tar";

/// The format of the archive.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub enum ArchiveFormat {
    #[default]
    Docker,
    Oci,
}

/// An image to write.
struct Saved {
    references: Vec<Reference>,
    config: Vec<u8>,
    layers: Vec<LayerTar>,
}

impl ImageStore {
    /// Writes the named images. The name of a repository without a tag means all its tags. An image
    /// that is given by its id or digest is written without a name. Each manifest gets the
    /// annotations. Fails if a name has no image, if a layer can't be read, or if `output` can't be
    /// written.
    pub fn save(
        &self,
        names: &[ImageName],
        format: ArchiveFormat,
        annotations: &[(String, String)],
        output: &mut dyn Write,
    ) -> Result<()> {
        let mut wanted: Vec<(ImageId, Vec<Reference>)> = Vec::new();
        // Hold the images, so that no command can remove them before they are written.
        let mut holds = Vec::new();
        for name in names {
            for (id, reference) in self.meant_by(name)? {
                let known = wanted.iter().position(|(known, _)| *known == id);
                let at = known.unwrap_or_else(|| {
                    wanted.push((id, Vec::new()));
                    wanted.len() - 1
                });
                let references = &mut wanted[at].1;
                references.extend(reference.filter(|new| !references.contains(new)));
                holds.push(self.hold(&id)?);
            }
        }
        let mut images = Vec::new();
        for (id, references) in wanted {
            let (config, layers) = self.config_and_layers(&id)?;
            images.push(Saved { references, config, layers });
        }
        write_archive(&images, format, annotations, output)
    }

    /// Finds the images of a name, each with its tag. An image that is given by its id or digest
    /// has no tag here.
    fn meant_by(&self, name: &ImageName) -> Result<Vec<(ImageId, Option<Reference>)>> {
        let Some(id) = self.find(name)? else {
            let tags: Vec<_> = match name.repository() {
                Some(repository) => self.tags_of(repository)?,
                None => Vec::new(),
            };
            if tags.is_empty() {
                fail!("no such image: {name}");
            }
            return Ok(tags);
        };
        let reference = name.reference().filter(|reference| reference.tag.is_some());
        match (reference, name.repository()) {
            (_, Some(repository)) if self.read_reference(repository)?.is_some() => {
                self.tags_of(repository)
            }
            (Some(reference), _) if self.read_reference(reference)? == Some(id) => {
                Ok(vec![(id, Some(reference.clone()))])
            }
            _ => Ok(vec![(id, None)]),
        }
    }

    /// Returns all local tags of a repository, with their images.
    pub fn tags_of(&self, repository: &Reference) -> Result<Vec<(ImageId, Option<Reference>)>> {
        let all = self.references()?.into_iter();
        let of = all.filter(|(name, _)| name.is_of(repository) && name.digest.is_none());
        Ok(of.map(|(name, id)| (id, Some(name))).collect())
    }

    /// Returns an image's config and layers, ready to write or push. If a layer's original tar
    /// can't be made again, the returned config has the diff_id of the new tar.
    pub fn config_and_layers(&self, id: &ImageId) -> Result<(Vec<u8>, Vec<LayerTar>)> {
        let Some(config) = self.config_bytes(id)? else {
            fail!("the image {} is gone", id.short())
        };
        let document = format!("config of image {}", id.short());
        let stated = ImageConfig::parse(&document, &config)?.diff_ids;
        let layers: Vec<LayerTar> =
            stated.iter().map(|diff_id| self.layers.tar(diff_id)).collect::<Result<_>>()?;
        let written: Vec<Digest> = layers.iter().map(|layer| layer.digest).collect();
        let config =
            if written == stated { config } else { with_diff_ids(&document, &config, &written)? };
        Ok((config, layers))
    }
}

fn write_archive(
    images: &[Saved],
    format: ArchiveFormat,
    annotations: &[(String, String)],
    output: &mut dyn Write,
) -> Result<()> {
    let mut archive = Archive { tar: Writer::new(output), blobs: Vec::new() };
    archive.directory("blobs/")?;
    archive.directory("blobs/sha256/")?;
    let (mut index, mut listed) = (Array::new(), Array::new());
    for image in images {
        for layer in &image.layers {
            archive.layer(layer)?;
        }
        archive.blob(&image.config)?;
        let layer = |layer: &LayerTar| descriptor(LAYER, &layer.digest, layer.size);
        let mut members = vec![
            ("schemaVersion", Value::Number(Number::U64(2))),
            ("mediaType", text(MANIFEST)),
            ("config", blob_descriptor(CONFIG, &image.config)),
            ("layers", Value::Array(image.layers.iter().map(layer).collect())),
        ];
        if !annotations.is_empty() {
            let pairs = annotations.iter().map(|(key, value)| (key.as_str(), text(value)));
            members.push(("annotations", object(pairs)));
        }
        let manifest = json::to_string(&object(members));
        archive.blob(manifest.as_bytes())?;
        let described = blob_descriptor(MANIFEST, manifest.as_bytes());
        match image.references.as_slice() {
            [] => index.push(described),
            names => index.extend(names.iter().map(|name| named(&described, name))),
        }
        let tags = image.references.iter().map(|name| text(&name.familiar()));
        let layers = image.layers.iter().map(|layer| text(&blob_path(&layer.digest)));
        listed.push(object([
            ("Config", text(&blob_path(&Digest::of(&image.config)))),
            ("RepoTags", Value::Array(tags.collect())),
            ("Layers", Value::Array(layers.collect())),
        ]));
    }
    let index = object([
        ("schemaVersion", Value::Number(Number::U64(2))),
        ("mediaType", text(INDEX)),
        ("manifests", Value::Array(index)),
    ]);
    archive.file("index.json", json::to_string(&index).as_bytes())?;
    if format == ArchiveFormat::Docker {
        archive.file("manifest.json", json::to_string(&Value::Array(listed)).as_bytes())?;
    }
    archive.file("oci-layout", br#"{"imageLayoutVersion":"1.0.0"}"#)?;
    archive.tar.finish().map(drop)
}

/// An open archive, and the blobs that it already contains.
struct Archive<W: Write> {
    tar: Writer<W>,
    blobs: Vec<Digest>,
}

impl<W: Write> Archive<W> {
    fn directory(&mut self, path: &str) -> Result<()> {
        self.tar.begin(&entry(path, Kind::Directory, 0o755, 0))
    }

    fn file(&mut self, path: &str, bytes: &[u8]) -> Result<()> {
        self.tar.begin(&entry(path, Kind::File, 0o644, bytes.len() as u64))?;
        self.tar.data(bytes)
    }

    fn blob(&mut self, bytes: &[u8]) -> Result<()> {
        let digest = Digest::of(bytes);
        if self.is_new(&digest) { self.file(&blob_path(&digest), bytes) } else { Ok(()) }
    }

    fn layer(&mut self, layer: &LayerTar) -> Result<()> {
        if !self.is_new(&layer.digest) {
            return Ok(());
        }
        self.tar.begin(&entry(&blob_path(&layer.digest), Kind::File, 0o644, layer.size))?;
        layer.write(&mut Data(&mut self.tar))
    }

    fn is_new(&mut self, digest: &Digest) -> bool {
        let new = !self.blobs.contains(digest);
        self.blobs.extend(new.then_some(*digest));
        new
    }
}

/// Writes into the archive's current entry.
struct Data<'a, W>(&'a mut Writer<W>);

impl<W: Write> Write for Data<'_, W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.data(bytes).map_err(|error| match error.errno() {
            Some(errno) => errno.into(),
            None => io::Error::other(error.to_string()),
        })?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn entry(path: &str, kind: Kind, mode: u32, size: u64) -> Entry {
    Entry { mode, size, ..Entry::empty(path.as_bytes(), kind) }
}

fn blob_path(digest: &Digest) -> String {
    format!("blobs/sha256/{}", digest.hex())
}

fn blob_descriptor(media_type: &str, bytes: &[u8]) -> Value {
    descriptor(media_type, &Digest::of(bytes), bytes.len() as u64)
}

fn descriptor(media_type: &str, digest: &Digest, size: u64) -> Value {
    object([
        ("mediaType", text(media_type)),
        ("digest", text(&digest.to_string())),
        ("size", Value::Number(Number::U64(size))),
    ])
}

/// Adds two annotations to a manifest's descriptor: the image's full name as containerd defines it,
/// and the image's tag as the OCI spec defines it.
fn named(descriptor: &Value, name: &Reference) -> Value {
    let annotations = object([
        ("io.containerd.image.name", text(&name.to_string())),
        ("org.opencontainers.image.ref.name", text(name.tag.as_deref().unwrap_or("latest"))),
    ]);
    let mut named = descriptor.clone();
    if let Value::Object(fields) = &mut named {
        fields.insert("annotations".to_owned(), annotations);
    }
    named
}

fn object<'a>(fields: impl IntoIterator<Item = (&'a str, Value)>) -> Value {
    let mut object = Object::new();
    for (key, value) in fields {
        object.insert(key.to_owned(), value);
    }
    Value::Object(object)
}

fn text(value: &str) -> Value {
    Value::String(value.to_owned())
}
