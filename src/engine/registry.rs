//! `pull`, `push`, `login`, `logout`: images from and to registries.

use std::io::{BufRead, IsTerminal, Read};
use std::path::PathBuf;

use super::Engine;
use super::view::TransferEvent;
use crate::container::tty::NoEcho;
use crate::error::{Context, Result, fail};
use crate::image::platform::Platform;
use crate::image::pull::PullOptions;
use crate::image::registry::Access;
use crate::image::registry::credentials::{CredentialFile, Credentials};
use crate::image::{ImageStore, Reference};

/// The longest password or token that is read.
const MAX_SECRET: u64 = 64 << 10;

/// How a registry is to be spoken to.
#[derive(Clone, Debug, Default)]
pub struct RegistryOptions {
    pub tls_verify: Option<bool>,
    pub ca_cert: Option<PathBuf>,
}

/// Who one is to a registry.
#[derive(Clone)]
pub struct Login {
    /// Empty is Docker Hub.
    pub server: String,
    pub user: String,
    pub password: String,
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

    /// Pushes an image; gives Docker's last line.
    pub fn push(
        &self,
        name: &str,
        options: &RegistryOptions,
        watch: &(dyn Fn(TransferEvent) + Sync),
    ) -> Result<String> {
        let reference = Reference::parse(name)?;
        watch(TransferEvent::Line(format!("The push refers to repository [{}]", reference.name())));
        let images = ImageStore::open(&self.roots);
        let (digest, size) = images.push(&reference, &access(options), watch)?;
        let tag = reference.tag.unwrap_or_default();
        Ok(format!("{tag}: digest: {digest} size: {size}"))
    }
}

/// Checks user and password with a registry and keeps them; tells where.
pub fn login(login: &Login, options: &RegistryOptions) -> Result<String> {
    let host = host_of(&login.server);
    let Login { user, password, .. } = login.clone();
    let given = Credentials::Password { user, password };
    let access = Access { credentials: Some(given.clone()), ..access(options) };
    let registry = crate::image::registry::open(&host, Vec::new(), &access)?;
    // A token that the server gave to keep is better than the password.
    let kept = registry.check_login()?.map_or(given, Credentials::Identity);
    CredentialFile::open().keep(&host, &kept)
}

/// Forgets user and password of a registry; false if none were kept.
pub fn logout(server: &str) -> Result<bool> {
    CredentialFile::open().forget(&host_of(server))
}

/// Asks for a line on the terminal, unseen if it is `secret`.
pub fn ask(prompt: &str, secret: bool) -> Result<String> {
    if !std::io::stdin().is_terminal() {
        fail!("{prompt}: the standard input is no terminal to ask on; use -u and --password-stdin");
    }
    let _unseen = secret.then(NoEcho::enter).transpose()?;
    eprint!("{prompt}: ");
    let mut line = String::new();
    let read = std::io::stdin().lock().take(MAX_SECRET).read_line(&mut line);
    read.context(|| "read the terminal")?;
    if secret {
        eprintln!();
    }
    Ok(line.trim_end_matches(['\n', '\r']).to_owned())
}

/// The secret on the standard input, its last newline left out.
pub fn read_secret() -> Result<String> {
    let mut text = String::new();
    let read = std::io::stdin().lock().take(MAX_SECRET).read_to_string(&mut text);
    read.context(|| "read the password from the standard input")?;
    Ok(text.trim_end_matches(['\n', '\r']).to_owned())
}

/// The registry that was typed: a host, a URL, or nothing for Docker Hub.
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
