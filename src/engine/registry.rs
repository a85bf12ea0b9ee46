//! The types of `pull`, `push` and `login`, and the check for a local image before a pull.
//!
//! `transfer` talks to the registries. Without the Cargo feature `pull`, `no_transfer` replaces it.
//! A pull before the start of a container, or during a build, runs in a child process, so that the
//! monitor's memory stays small.

use std::path::PathBuf;

use super::Engine;
use super::child::in_child;
use super::view::TransferEvent;
use crate::error::Result;
use crate::image::platform::Platform;
use crate::image::{ImageStore, Reference};
use crate::image_name::ImageName;

/// The options of a connection to a registry.
#[derive(Clone, Debug, Default)]
pub struct RegistryOptions {
    /// `--tls-verify`. If `None`, the list `insecure` of the settings decides.
    pub tls_verify: Option<bool>,
    /// A file with the certificates of further authorities, in PEM format.
    pub ca_cert: Option<PathBuf>,
}

/// The settings of registries, for `info`.
#[derive(Clone, Debug, Default)]
pub struct RegistrySettings {
    /// The mirrors of Docker Hub.
    pub mirrors: Vec<String>,
    /// The registries whose certificates are not checked and that may use plain HTTP.
    pub insecure: Vec<String>,
}

/// The user and password for a registry.
#[derive(Clone)]
pub struct Login {
    /// The registry's host or URL; empty means Docker Hub.
    pub server: String,
    pub user: String,
    pub password: String,
}

/// The options of `pull`.
#[derive(Clone, Debug)]
pub struct PullRequest {
    pub reference: Reference,
    /// `None` means this machine's platform.
    pub platform: Option<Platform>,
    /// Pull all tags of the repository. The tag of `reference` is then ignored.
    pub all_tags: bool,
    pub registry: RegistryOptions,
}

/// The result of a search for a local image.
pub enum LocalImage {
    Absent,
    Present,
    /// The local image with this name is not for the wanted platform.
    OtherPlatform {
        /// The text of the error for a caller that does not pull another image.
        reason: String,
        /// True if a pull can bring an image for the wanted platform.
        can_pull: bool,
    },
}

impl PullRequest {
    /// Makes a request for one image for this machine.
    pub fn of(reference: Reference) -> PullRequest {
        PullRequest {
            reference,
            platform: None,
            all_tags: false,
            registry: RegistryOptions::default(),
        }
    }
}

impl Engine {
    /// Searches for a local image with this name. If `platform` is given, the image must have its
    /// operating system and architecture. An image without an architecture matches every platform.
    /// The image `hello` counts as present before it is made.
    pub fn has_image(&self, name: &ImageName, platform: Option<&Platform>) -> Result<LocalImage> {
        let images = ImageStore::open(&self.roots);
        let Some(id) = images.find(name)? else {
            return Ok(if name.typed() == super::hello::NAME {
                LocalImage::Present
            } else {
                LocalImage::Absent
            });
        };
        let Some(wanted) = platform else {
            return Ok(LocalImage::Present);
        };
        let offered = images.get(&id)?.config.platform();
        let fits = (&offered.os, &offered.architecture) == (&wanted.os, &wanted.architecture);
        if fits || offered.architecture.is_empty() {
            return Ok(LocalImage::Present);
        }
        let reason = format!("the image '{name}' here is for {offered}, not for {wanted}");
        // An id means exactly this image, so a pull by id cannot bring another image.
        let names = images.names(&id)?;
        let can_pull = name.reference().is_some_and(|name| names.contains(name));
        Ok(LocalImage::OtherPlatform { reason, can_pull })
    }

    /// Pulls an image in a child process, which dies with this process. The monitor is a fork of
    /// this process, so memory that TLS used here would stay until the container ends.
    pub fn pull_apart(
        &self,
        request: &PullRequest,
        watch: &(dyn Fn(TransferEvent) + Sync),
    ) -> Result<()> {
        in_child("the pull", &|| self.pull(request, watch).map(|_| String::new())).map(drop)
    }
}
