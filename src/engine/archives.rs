//! `save` and `export`: images as an archive, and a container's root file system as a tar.
//!
//! Both write to a file or to stdout through `Output`, which gives a regular file its name only
//! when the file is complete. The formats are those of `image::save` (docker-archive, OCI image
//! layout) and of `image::tar`. `load` and `import` are in `images`.

use std::os::fd::AsFd;
use std::path::Path;

use super::Engine;
use super::output::Output;
use crate::container::events;
use crate::container::record::Record;
use crate::error::{Context, Result};
use crate::image::{ArchiveFormat, ImageStore, archive_tree};
use crate::image_name::ImageName;

impl Engine {
    /// Writes an archive of images to `file`, or to stdout. `annotations` are added to the
    /// manifests of the images. Fails if an image does not exist.
    pub fn save(
        &self,
        names: &[ImageName],
        format: ArchiveFormat,
        annotations: &[(String, String)],
        file: Option<&Path>,
    ) -> Result<()> {
        let mut output = Output::open(file)?;
        let images = ImageStore::open(&self.roots);
        images.save(names, format, annotations, &mut output)?;
        output.finish()?;
        for name in names {
            if let Ok(Some(id)) = images.find(name) {
                self.note_image("save", &id.into(), &id.to_string());
            }
        }
        Ok(())
    }

    /// Writes a container's root file system, without its volumes, as a tar to `file` or to stdout.
    pub fn export(&self, name: &str, file: Option<&Path>) -> Result<()> {
        let record = self.record(name)?;
        let exported = self.export_root(&record, file);
        self.unless_gone(&record.id, name, exported)?;
        self.note(&[events::of(&record, "export", &[])]);
        Ok(())
    }

    /// Writes the container's root, without its volumes, as a tar to `file`, or to stdout if `file`
    /// is `None`.
    pub(super) fn export_root(&self, record: &Record, file: Option<&Path>) -> Result<()> {
        // Open the output before the mount namespace changes: the user means a path of the host.
        let mut output = Output::open(file)?;
        let open = self.open_bare_root(record)?;
        archive_tree(open.root.as_fd(), open.ids, &mut output)
            .context(|| format!("export container {}", record.name))?;
        output.finish()
    }
}
