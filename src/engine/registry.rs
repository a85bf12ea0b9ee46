//! `pull`, `push`, `login`, `logout`: images from and to registries.

use std::path::PathBuf;

use super::Engine;
use super::view::TransferEvent;
use crate::error::{Result, fail};
use crate::image::platform::Platform;
use crate::image::pull::PullOptions;
use crate::image::registry::Access;
use crate::image::{ImageStore, Reference};

/// How a registry is to be spoken to.
#[derive(Clone, Debug, Default)]
pub struct RegistryOptions {
    pub tls_verify: Option<bool>,
    pub ca_cert: Option<PathBuf>,
}

#[derive(Clone, Debug, Default)]
pub struct PullRequest {
    pub name: String,
    /// `os/architecture[/variant]`; `None` is this machine's.
    pub platform: Option<String>,
    pub all_tags: bool,
    pub registry: RegistryOptions,
}

impl Engine {
    /// Pulls an image, or all of a repository; gives the names in full, as Docker's last lines have
    /// them.
    pub fn pull(
        &self,
        request: &PullRequest,
        watch: &(dyn Fn(TransferEvent) + Sync),
    ) -> Result<Vec<String>> {
        let reference = Reference::parse(&request.name)?;
        let images = ImageStore::open(&self.roots);
        let platform = request.platform.as_deref().map(Platform::parse).transpose()?;
        let options = PullOptions { platform, access: access(&request.registry) };
        let mut references = vec![reference.clone()];
        if request.all_tags {
            if reference.digest.is_some() || request.name.ends_with(&reference.suffix()) {
                fail!("--all-tags can't go with a tag or digest: '{}'", request.name);
            }
            let tags = images.remote_tags(&reference, &options.access)?;
            let tagged = |tag| Reference::parse(&format!("{}:{tag}", reference.name()));
            references = tags.into_iter().map(tagged).collect::<Result<_>>()?;
        }
        for reference in &references {
            let digest = reference.digest.map(|digest| digest.to_string());
            let what = reference.tag.clone().filter(|_| digest.is_none()).or(digest);
            let what = what.unwrap_or_default();
            watch(TransferEvent::Line(format!("{what}: Pulling from {}", reference.path)));
            let pulled = images.pull(reference, &options, watch)?;
            let status = match pulled.newer {
                true => "Downloaded newer image for",
                false => "Image is up to date for",
            };
            watch(TransferEvent::Line(format!("Digest: {}", pulled.digest)));
            watch(TransferEvent::Line(format!("Status: {status} {}", reference.familiar())));
        }
        Ok(references.iter().map(Reference::to_string).collect())
    }

    /// Whether an image of that name is here.
    pub fn has_image(&self, name: &str) -> Result<bool> {
        let here = ImageStore::open(&self.roots).find(name)?.is_some();
        Ok(here || name == super::hello::NAME)
    }
}

fn access(options: &RegistryOptions) -> Access {
    let RegistryOptions { tls_verify, ca_cert } = options.clone();
    Access { tls_verify, ca_cert, credentials: None }
}
