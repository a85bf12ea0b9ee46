//! Access to registries (OCI distribution spec), by a small blocking client.
//!
//! `endpoint` is the API of one registry, and logs in with `auth` and `credentials`. `sources`
//! lists a registry's mirrors and the registry itself. `fetch` reads a blob in spite of cuts and
//! stalls, and keeps its bytes in a file of `partial`. `download` gets one file from any web
//! server. `connect` makes connections with `proxy`, `tls`, `verifier` and `http`. `settings` reads
//! the administrator's settings. `url`, `basic` and `base64` handle text formats.

mod auth;
mod base64;
mod basic;
mod connect;
pub mod credentials;
pub mod download;
pub mod endpoint;
pub mod fetch;
pub mod http;
pub mod partial;
pub mod proxy;
pub mod settings;
pub mod sources;
mod tls;
pub mod url;
mod verifier;

use std::path::PathBuf;

use connect::Connector;
use credentials::{CredentialFile, Credentials};
use endpoint::Endpoint;
use proxy::Proxies;
use settings::Settings;
use tls::Trust;
use url::{Origin, Url};

use crate::error::Result;

/// The host that serves docker.io.
const HUB: &str = "registry-1.docker.io";

/// How the user wants a registry to be accessed.
#[derive(Clone, Default)]
pub struct Access {
    /// Whether to verify TLS. `Some(false)` accepts plain HTTP and any certificate. `None` follows
    /// the settings, and accepts plain HTTP on loopback.
    pub tls_verify: Option<bool>,
    /// A file of certificate authorities in PEM, which are trusted besides the system's.
    pub ca_cert: Option<PathBuf>,
    /// Credentials to use instead of the stored ones. They are not sent to mirrors.
    pub credentials: Option<Credentials>,
}

/// Opens the registry `host` for `scopes`. If `access` has no credentials, uses the stored ones for
/// the repository `path`; an empty `path` means the stored ones for the registry itself. Fails if
/// `host`, the settings, a proxy variable or the stored credentials are invalid, if the registry
/// can't be reached or answers with an error, or if the authorization fails.
pub fn open(host: &str, path: &str, scopes: Vec<String>, access: &Access) -> Result<Endpoint> {
    let settings = Settings::read()?;
    open_at(&settings, host, path, None, scopes, access)
}

fn open_at(
    settings: &Settings,
    host: &str,
    path: &str,
    mirror: Option<&Url>,
    scopes: Vec<String>,
    access: &Access,
) -> Result<Endpoint> {
    let (base, name) = match mirror {
        Some(base) => (base.clone(), base.origin.authority()),
        None => {
            let served_by = if host == "docker.io" { HUB } else { host };
            let origin = Origin::parse(true, served_by)?;
            (Url { origin, target: "/".to_owned(), user: None }, host.to_owned())
        }
    };
    let verified = access.tls_verify.unwrap_or_else(|| !settings.is_insecure(&name));
    let may_be_plain = base.origin.tls && (!verified || base.origin.is_loopback());
    let unverified = (!verified).then(|| base.origin.host.clone());
    let trust = Trust::new(settings.certs.clone(), access.ca_cert.clone(), unverified);
    let connector =
        Connector::new(trust, Proxies::from_environment()?, settings.stall, mirror.is_none());
    // The credentials in `access` are for the registry, not for its mirrors.
    let credentials = match access.credentials.clone().filter(|_| mirror.is_none()) {
        None => CredentialFile::open().find(&name, path)?,
        given => given,
    };
    // With --tls-verify=true, plain HTTP does not replace TLS even on loopback.
    let may_be_plain = may_be_plain && access.tls_verify != Some(true);
    Endpoint::open(connector, &base, may_be_plain, &name, scopes, credentials)
}
