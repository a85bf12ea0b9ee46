//! `pull`, `push`, `login` and `logout` as the command line asks for them, and the questions that
//! come before: whether an image is already here, and the password. `transfer` does the transfer
//! itself, or `no_transfer` in a build without registries. A pull for `run` happens in a child
//! process, so that the monitor's memory stays small.

use std::path::PathBuf;

use super::Engine;
use super::child::in_child;
use super::view::TransferEvent;
use crate::error::Result;
use crate::image::platform::Platform;
use crate::image::{ImageStore, Reference};
use crate::image_name::ImageName;

/// How to connect to a registry.
#[derive(Clone, Debug, Default)]
pub struct RegistryOptions {
    pub tls_verify: Option<bool>,
    pub ca_cert: Option<PathBuf>,
}

/// What the settings of registries say, for `info`.
#[derive(Clone, Debug, Default)]
pub struct RegistrySettings {
    /// The mirrors of Docker Hub.
    pub mirrors: Vec<String>,
    pub insecure: Vec<String>,
}

/// The user and password for a registry.
#[derive(Clone)]
pub struct Login {
    /// Empty is Docker Hub.
    pub server: String,
    pub user: String,
    pub password: String,
}

/// What `pull` asks for.
#[derive(Clone, Debug)]
pub struct PullRequest {
    pub reference: Reference,
    /// `None` is this machine's.
    pub platform: Option<Platform>,
    /// All tags of the repository: that of the reference doesn't count.
    pub all_tags: bool,
    pub registry: RegistryOptions,
}

/// Whether an image exists locally.
pub enum Here {
    No,
    Yes,
    /// An image with this name exists for another platform: the reason to refuse it, and whether a
    /// pull can bring the right one.
    Other {
        reason: String,
        can_pull: bool,
    },
}

impl PullRequest {
    /// A pull of one image for this machine.
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
    /// Whether an image with this name exists locally, for `platform` if that is given. An image
    /// without an architecture fits all.
    pub fn has_image(&self, name: &ImageName, platform: Option<&Platform>) -> Result<Here> {
        let images = ImageStore::open(&self.roots);
        let Some(id) = images.find(name)? else {
            return Ok(if name.typed() == super::hello::NAME { Here::Yes } else { Here::No });
        };
        let Some(wanted) = platform else {
            return Ok(Here::Yes);
        };
        let offered = images.get(&id)?.config.platform();
        let fits = (&offered.os, &offered.architecture) == (&wanted.os, &wanted.architecture);
        if fits || offered.architecture.is_empty() {
            return Ok(Here::Yes);
        }
        let reason = format!("the image '{name}' here is for {offered}, not for {wanted}");
        // An id names exactly this image, so a pull can't bring another.
        let names = images.names(&id)?;
        let can_pull = name.reference().is_some_and(|name| names.contains(name));
        Ok(Here::Other { reason, can_pull })
    }

    /// Pulls in a child process, which dies with this one. This process becomes the monitor, and
    /// the memory that TLS used would stay as long as the container runs.
    pub fn pull_apart(
        &self,
        request: &PullRequest,
        watch: &(dyn Fn(TransferEvent) + Sync),
    ) -> Result<()> {
        in_child("the pull", &|| self.pull(request, watch).map(|_| String::new())).map(drop)
    }
}
