//! `pull`, `push`, `login` and `logout`. A build without the cargo feature `pull` compiles
//! `no_transfer` instead.
//!
//! This file loops over the tags of a repository. `image::registry` has the protocol (OCI
//! distribution specification) and the credentials file. `cli::progress` prints the lines for the
//! user.

use super::Engine;
use super::registry::{Login, PullRequest, RegistryOptions, RegistrySettings};
use super::view::TransferEvent;
use crate::error::{Result, fail};
use crate::image::pull::PullOptions;
use crate::image::registry::Access;
use crate::image::registry::credentials::{CredentialFile, Credentials};
use crate::image::registry::settings::Settings;
use crate::image::{ImageStore, Reference};

impl Engine {
    /// Pulls an image, or all tags of a repository. Calls `watch` with the progress. Returns the
    /// full names of the pulled images.
    pub fn pull(
        &self,
        request: &PullRequest,
        watch: &(dyn Fn(TransferEvent) + Sync),
    ) -> Result<Vec<Reference>> {
        let reference = &request.reference;
        let images = ImageStore::open(&self.roots);
        let platform = request.platform.clone();
        let options = PullOptions { platform, access: access(&request.registry) };
        let mut references = vec![reference.clone()];
        if request.all_tags {
            let tags = images.remote_tags(reference, &options.access)?;
            references = tags.iter().map(|tag| reference.with_tag(tag)).collect::<Result<_>>()?;
        }
        for reference in &references {
            watch(TransferEvent::Pulling(reference.clone()));
            let pulled = images.pull(reference, &options, watch)?;
            self.note_image("pull", &reference.clone().into(), &reference.familiar_name());
            watch(TransferEvent::PulledImage {
                digest: pulled.digest,
                is_newer: pulled.newer,
                reference: reference.clone(),
            });
        }
        Ok(references)
    }

    /// Pushes an image, or all local tags of a repository. Calls `watch` with the progress. Returns
    /// the full names of the pushed images. Fails if there is no such image.
    pub fn push(
        &self,
        reference: &Reference,
        all_tags: bool,
        options: &RegistryOptions,
        watch: &(dyn Fn(TransferEvent) + Sync),
    ) -> Result<Vec<Reference>> {
        let images = ImageStore::open(&self.roots);
        let mut references = vec![reference.clone()];
        if all_tags {
            references =
                images.tags_of(reference)?.into_iter().filter_map(|(_, tag)| tag).collect();
            if references.is_empty() {
                fail!("no such image: {}, with any tag", reference.familiar_name());
            }
        }
        watch(TransferEvent::Pushing(reference.clone()));
        for reference in &references {
            let (digest, size) = images.push(reference, &access(options), watch)?;
            self.note_image("push", &reference.clone().into(), &reference.familiar_name());
            watch(TransferEvent::PushedImage { reference: reference.clone(), digest, size });
        }
        Ok(references)
    }
}

/// Reads the mirrors of Docker Hub and the insecure registries from the settings. Fails if the
/// settings file has a mistake.
pub fn settings() -> Result<RegistrySettings> {
    let settings = Settings::read()?;
    Ok(RegistrySettings {
        mirrors: settings.mirrors_of("docker.io").iter().map(ToString::to_string).collect(),
        insecure: settings.insecure().to_vec(),
    })
}

/// Returns the value of HTTP_PROXY or another variable of a proxy, as a pull reads it. An unset
/// variable gives an empty text.
pub fn proxy(variable: &str) -> String {
    crate::image::registry::proxy::variable(variable).unwrap_or_default()
}

/// Logs in to a registry and stores the credentials. Returns the path of the credentials file, or
/// the name of the helper program that has stored the credentials. Fails if the registry refuses
/// the credentials.
pub fn login(login: &Login, options: &RegistryOptions) -> Result<String> {
    let host = host_of(&login.server);
    let Login { user, password, .. } = login.clone();
    let given = Credentials::Password { user, password };
    let access = Access { credentials: Some(given.clone()), ..access(options) };
    let registry = crate::image::registry::open(&host, "", Vec::new(), &access)?;
    // Store the server's refresh token, if there is one, instead of the password.
    let kept = registry.check_login()?.map_or(given, Credentials::Identity);
    CredentialFile::open().keep(&host, &kept)
}

/// Deletes the stored credentials of a registry. Returns false if there were none.
pub fn logout(server: &str) -> Result<bool> {
    CredentialFile::open().forget(&host_of(server))
}

/// Returns the registry's host for a host, a URL, or an empty text, which means Docker Hub.
fn host_of(server: &str) -> String {
    let bare = server.split_once("://").map_or(server, |(_, rest)| rest);
    match bare.split('/').next().unwrap_or_default() {
        "" | "index.docker.io" | "registry-1.docker.io" => "docker.io".to_owned(),
        host => host.to_owned(),
    }
}

fn access(options: &RegistryOptions) -> Access {
    let RegistryOptions { tls_verify, ca_cert } = options.clone();
    Access { tls_verify, ca_cert, credentials: None }
}
