//! `save` and `export`: images and containers as archives.

use std::os::fd::AsFd;
use std::path::Path;

use super::Engine;
use super::output::Output;
use crate::container::record::Record;
use crate::error::{Context, Result};
use crate::image::{ArchiveFormat, ImageStore, archive_tree};

impl Engine {
    /// Writes images to `file` or the standard output.
    pub fn save(&self, names: &[String], format: ArchiveFormat, file: Option<&Path>) -> Result<()> {
        let mut output = Output::open(file)?;
        ImageStore::open(&self.roots).save(names, format, &mut output)?;
        output.finish()
    }

    /// Writes a container's root file system, without its volumes, as one tar.
    pub fn export(&self, name: &str, file: Option<&Path>) -> Result<()> {
        let record = self.record(name)?;
        let exported = self.export_root(&record, file);
        self.unless_gone(&record.id, name, exported)
    }

    pub(super) fn export_root(&self, record: &Record, file: Option<&Path>) -> Result<()> {
        // Before the mount namespace changes: the file's name is the user's.
        let mut output = Output::open(file)?;
        let open = self.open_bare_root(record)?;
        archive_tree(open.root.as_fd(), open.ids, &mut output)
            .context(|| format!("export container {}", record.name))?;
        output.finish()
    }
}
