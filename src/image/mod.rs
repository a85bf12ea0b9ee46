//! Images: their names, their configs, their layers unpacked once and shared by all containers.
//!
//! Bytes come in as an archive (`load`, `import`, the drop folder), are inflated, hashed and
//! unpacked in one pass, and become visible by renames when everything is right: layers first,
//! then the config, then the name. Formats: OCI image spec; docker-archive as `docker save` writes
//! it.

mod at_once;
mod attributes;
mod compression;
pub mod config;
pub mod digest;
mod import;
mod layer_tar;
mod layers;
mod load;
pub mod platform;
pub mod pull;
pub mod push;
mod recipe;
pub mod reference;
pub mod registry;
mod remove;
mod store;
mod stream;
mod tar;
#[cfg(test)]
mod testing;
mod tree;
mod unpack;

pub use config::ContainerConfig;
pub use digest::ImageId;
pub use reference::Reference;
pub use store::{Image, ImageHold, ImageStore, ListedImage};
