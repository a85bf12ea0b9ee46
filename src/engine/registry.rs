//! The types of `pull`, `push`, `login` and `logout`, and the check for a local image before a
//! pull.
//!
//! `transfer` does the transfer; a build without registries has `no_transfer` in its place. A pull
//! before the start of a container is done in a child process, so that the monitor's memory stays
//! small.

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
    /// `--tls-verify`; `None` takes the value of the settings.
    pub tls_verify: Option<bool>,
    /// A file with the certificates of further authorities, in PEM format.
    pub ca_cert: Option<PathBuf>,
}

/// The settings of registries, for `info`.
#[derive(Clone, Debug, Default)]
pub struct RegistrySettings {
    /// The mirrors of Docker Hub.
    pub mirrors: Vec<String>,
    /// The registries without verified TLS.
    pub insecure: Vec<String>,
}

/// The user and password for a registry.
#[derive(Clone)]
pub struct Login {
    /// The registry's host; empty means Docker Hub.
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
    /// The local image with this name is for another platform.
    OtherPlatform {
        /// The error if the caller does not pull the right image.
        reason: String,
        /// True if a pull can bring an image for the right platform.
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
    /// operating system and architecture. An image without an architecture matches each platform.
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
        // An id names exactly this image, so a pull cannot bring another one.
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
