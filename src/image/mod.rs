//! Images: their names, their configs, and their layers, which are unpacked once and shared by
//! containers.
//!
//! Images come from an archive (`load`, `import`, the drop folder), a registry (`pull`), a
//! container (`commit`) or a build. A layer from an archive or a registry is decompressed, hashed
//! and unpacked in one pass. After all checks, renames make the image visible: first the layers,
//! then the manifest (if there is one) and the config, then the names. The formats are those of the
//! OCI image spec, and the docker-archive that `docker save` writes.

mod attributes;
#[cfg(feature = "build")]
pub mod cache;
mod check;
mod choice;
mod commit;
mod compression;
pub mod config;
pub mod copy;
mod directories;
#[cfg(feature = "build")]
mod draft;
#[cfg(any(test, fuzzing))]
pub mod fuzz;
mod import;
pub mod instruction;
mod kernel_files;
mod layer_tar;
mod layers;
mod layout;
mod load;
mod manifest;
mod mounted;
mod parallel;
pub mod platform;
#[cfg(feature = "pull")]
pub mod pull;
#[cfg(feature = "pull")]
pub mod push;
mod recipe;
#[cfg(feature = "pull")]
pub mod registry;
mod remove;
mod save;
mod store;
mod stream;
#[cfg(feature = "build")]
mod taken;
mod tar;
#[cfg(test)]
mod testing;
pub mod transfer;
mod tree;
mod unpack;

pub use crate::digest::ImageId;
pub use crate::reference::Reference;
pub use check::Flaw;
pub use commit::Commit;
pub use config::ContainerConfig;
#[cfg(feature = "build")]
pub use draft::Draft;
#[cfg(feature = "build")]
pub use layer_tar::Hashing;
pub use load::Loaded;
pub use save::ArchiveFormat;
pub use store::{Image, ImageHold, ImageStore, ListedImage, Usage};
pub use tar::{MAX_PATH, one_file as tar_of_one_file};
pub use tree::{Form, archive_tree};
pub use unpack::CopyRules;
