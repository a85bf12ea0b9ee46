//! `commit`: makes an image of a container. The container's changes become a layer on top of the
//! layers of the container's image.
//!
//! The changes are the files of the overlay's upper directory, or all files of a container without
//! an image. The changes are written as a tar with whiteouts. Like any layer's tar, this tar is
//! unpacked, hashed and recorded in one pass. `build` also makes its images here.

use std::io::{BufWriter, Write};
use std::os::fd::BorrowedFd;

use super::config::{ContainerConfig, History, ImageConfig};
use super::config::{MAX_LAYERS, to_json_over};
use super::copy::first_failure;
use super::layers::Staged;
use super::platform::native_architecture;
use super::store::{Committed, ImageStore, NewImage};
use super::tar::Writer;
use super::tree::{Form, Overrides, Skip, Top, TreeWriter};
use crate::digest::{Digest, ImageId};
use crate::error::{Context, Result, fail};
use crate::reference::Reference;
use crate::time::Instant;

const BUFFER: usize = 128 << 10;

/// The settings of a commit besides the files.
pub struct Commit<'a> {
    /// The container's image; `None` for a plain directory.
    pub base: Option<&'a ImageId>,
    pub config: ContainerConfig,
    /// The command that made the changes.
    pub created_by: String,
    pub author: String,
    pub message: String,
    pub reference: Option<&'a Reference>,
    /// Whether the owner or the mode of the root directory differs from the base's.
    pub top_changed: bool,
}

impl ImageStore {
    /// Makes an image of the base and the changes in `files`, an overlay's upper directory or a
    /// plain root, without the paths that `skip` names.
    pub fn commit_changes(
        &self,
        commit: Commit<'_>,
        files: BorrowedFd<'_>,
        form: Form,
        skip: Skip<'_>,
    ) -> Result<ImageId> {
        let overrides = Overrides::default();
        let layer = self.stage_tree(files, form, Top::Unusual, skip, overrides)?;
        let changed = commit.top_changed || !layer.is_empty()?;
        let base = self.base_bytes(commit.base)?;
        let mut config = match &base {
            Some(bytes) => ImageConfig::parse("config of the container's image", bytes)?,
            None => ImageConfig {
                architecture: native_architecture().to_owned(),
                os: "linux".to_owned(),
                ..ImageConfig::default()
            },
        };
        config.created = Some(Instant::now());
        config.author.clone_from(&commit.author);
        config.config = commit.config;
        config.history.push(History {
            created: config.created,
            created_by: commit.created_by,
            author: commit.author,
            comment: commit.message,
            empty_layer: !changed,
        });
        let references = commit.reference.cloned().into_iter().collect();
        self.commit_config(config, base.as_deref(), changed.then_some(layer), references)
    }

    /// Makes an image of a config whose layers are in place. [`to_json_over`] says which fields of
    /// the config of `base` are kept.
    #[cfg(feature = "build")]
    pub fn commit_built(
        &self,
        base: Option<&ImageId>,
        config: ImageConfig,
        references: Vec<Reference>,
    ) -> Result<ImageId> {
        let base = self.base_bytes(base)?;
        self.commit_config(config, base.as_deref(), None, references)
    }

    fn base_bytes(&self, base: Option<&ImageId>) -> Result<Option<Vec<u8>>> {
        let Some(id) = base else { return Ok(None) };
        match self.config_bytes(id)? {
            Some(bytes) => Ok(Some(bytes)),
            None => fail!("the image {} is gone", id.short()),
        }
    }

    /// Makes an image of a config. If `layer` is given, it becomes an additional last layer.
    fn commit_config(
        &self,
        mut config: ImageConfig,
        base: Option<&[u8]>,
        layer: Option<Staged>,
        references: Vec<Reference>,
    ) -> Result<ImageId> {
        let mut staged: Vec<Staged> = layer.into_iter().collect();
        config.diff_ids.extend(staged.iter().map(|layer| layer.diff_id));
        if config.diff_ids.len() > MAX_LAYERS {
            fail!("the image would have more than {MAX_LAYERS} layers");
        }
        let image = NewImage {
            config: to_json_over(&config, base)?.into_bytes(),
            diff_ids: config.diff_ids,
            references,
            manifest: None,
        };
        let id = Digest::of(&image.config);
        match self.commit(&mut staged, &[image])? {
            Committed::All => Ok(id),
            Committed::Missing(_) => fail!("the container's image was removed at the same time"),
        }
    }

    /// Writes a tree as a tar into one end of a pipe, and unpacks a layer from the other end.
    pub(super) fn stage_tree(
        &self,
        files: BorrowedFd<'_>,
        form: Form,
        top: Top,
        skip: Skip<'_>,
        overrides: Overrides,
    ) -> Result<Staged> {
        let (mut reader, pipe) = std::io::pipe().context(|| "make a pipe")?;
        std::thread::scope(|scope| {
            let write = move || -> Result<()> {
                let mut output = BufWriter::with_capacity(BUFFER, pipe);
                let mut writer = Writer::new(&mut output as &mut dyn Write);
                let mut tree = TreeWriter::new(&mut writer, form).skipping(skip);
                tree = tree.overriding(overrides);
                tree.top(files, top)?;
                tree.contents(files)?;
                writer.finish().map(drop)
            };
            let writing = std::thread::Builder::new()
                .name("archive".into())
                .spawn_scoped(scope, write)
                .context(|| "start a thread")?;
            let staged = self.layers.stage(&mut reader);
            // Close the pipe, so that the writer does not wait without end if the unpacker failed.
            drop(reader);
            first_failure(staged, writing.join())
        })
    }
}
