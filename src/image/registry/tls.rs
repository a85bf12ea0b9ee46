//! Decides which certificates TLS trusts: the system's, or Mozilla's if this machine has none.
//! certs.d can add more for one registry, and `--cacert` for all servers of a command.
//!
//! `certs.d/HOST[:PORT]/` is Docker's layout: `*.crt` are authorities, `*.cert` with `*.key` is a
//! client certificate.

use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock};

use rustls::client::WebPkiServerVerifier;
use rustls::crypto::ring;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{
    AlertDescription, CertificateError, ClientConfig, ClientConnection, RootCertStore, StreamOwned,
};

use super::http::{Attempt, Cause, Failure, Stream};
use super::url::{Host, Origin};
use super::verifier::{Accepted, Verifier, is_self_signed};
use crate::error::{Context, Error, Result, fail};
use crate::order;
use crate::time::Instant;

/// The files in which systems keep their trusted authorities.
const BUNDLES: [&str; 6] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
    "/var/lib/ca-certificates/ca-bundle.pem",
];
/// The most files of one registry's certs.d directory; further files are ignored.
const MAX_FILES: usize = 100;

/// The trusted certificates, and the TLS settings for each registry.
pub struct Trust {
    /// The `certs.d` directories. Only the first one that has a directory for the host counts.
    certs: Vec<PathBuf>,
    /// Authorities from the command line, for every host of this command.
    ca_cert: Option<PathBuf>,
    /// The host whose certificate isn't checked.
    unverified: Option<Host>,
    /// Whether the command has the flags `--cacert` and `--tls-verify`, for errors.
    has_flags: bool,
    roots: OnceLock<RootCertStore>,
    configs: Mutex<HashMap<Origin, Arc<ClientConfig>>>,
}

impl Trust {
    /// Returns the trust of this command: the `certs.d` directories, the file of `--cacert`, and
    /// the host that is not verified.
    pub fn new(certs: Vec<PathBuf>, ca_cert: Option<PathBuf>, unverified: Option<Host>) -> Trust {
        let (roots, configs) = (OnceLock::new(), Mutex::default());
        Trust { certs, ca_cert, unverified, has_flags: true, roots, configs }
    }

    /// Returns the trust of a download by `import` or `ADD`, which have no flags for certificates.
    pub fn of_download(certs: Vec<PathBuf>) -> Trust {
        Trust { has_flags: false, ..Trust::new(certs, None, None) }
    }

    /// Starts TLS over `stream`. The handshake takes place when the first byte is read or written.
    /// Fails if the host name is not valid in TLS, or if a certificate or key file can't be read or
    /// is damaged.
    pub fn wrap(&self, origin: &Origin, stream: Box<dyn Stream>) -> Attempt<Box<dyn Stream>> {
        let name = match &origin.host {
            Host::Name(name) => ServerName::try_from(name.clone())
                .map_err(|_| Error::new(format!("bad host name '{name}'")))?,
            Host::Address(address) => ServerName::from(*address),
        };
        let session = ClientConnection::new(self.config(origin)?, name);
        let session = session.map_err(|error| Error::new(error.to_string()))?;
        Ok(Box::new(StreamOwned::new(session, stream)))
    }

    fn config(&self, origin: &Origin) -> Result<Arc<ClientConfig>> {
        // A panic does not unwind the stack (`panic = "abort"`), so no lock is poisoned.
        let mut configs = self.configs.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        if let Some(config) = configs.get(origin) {
            return Ok(Arc::clone(config));
        }
        let config = Arc::new(self.make_config(origin)?);
        configs.insert(origin.clone(), Arc::clone(&config));
        Ok(config)
    }

    fn make_config(&self, origin: &Origin) -> Result<ClientConfig> {
        let mut roots = self.roots.get_or_init(system_roots).clone();
        let mut named = Vec::new();
        if let Some(file) = &self.ca_cert {
            named.extend(add_roots(&mut roots, file)?);
        }
        let mut identity = None;
        for file in self.files_for(origin)? {
            match file.extension().and_then(|extension| extension.to_str()) {
                Some("crt") => named.extend(add_roots(&mut roots, &file)?),
                Some("cert") => identity = Some(read_identity(&file)?),
                _ => {}
            }
        }
        let provider = Arc::new(ring::default_provider());
        let builder = ClientConfig::builder_with_provider(Arc::clone(&provider));
        let builder = builder.with_safe_default_protocol_versions();
        let builder = builder.map_err(|error| Error::new(error.to_string()))?;
        let accepted = if self.unverified.as_ref() == Some(&origin.host) {
            Accepted::Any
        } else {
            let roots = Arc::new(roots);
            let webpki = WebPkiServerVerifier::builder_with_provider(roots, Arc::clone(&provider));
            let webpki = webpki.build().map_err(|error| Error::new(error.to_string()))?;
            Accepted::Trusted { webpki, named }
        };
        let verifier = Verifier { accepted, provider: Arc::clone(&provider) };
        let builder = builder.dangerous().with_custom_certificate_verifier(Arc::new(verifier));
        let mut config = match identity {
            None => builder.with_no_client_auth(),
            // Do not use `with_client_auth_cert`: it parses the certificate, and accepts only
            // version 3 of X.509. Here the server alone decides whether the certificate is valid.
            Some((chain, key)) => {
                let key = provider.key_provider.load_private_key(key);
                let key = key.map_err(|error| Error::new(format!("client's key: {error}")))?;
                let shown = SingleCertAndKey::from(CertifiedKey::new(chain, key));
                builder.with_client_cert_resolver(Arc::new(shown))
            }
        };
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(config)
    }

    /// Returns the files of certs.d for this host.
    fn files_for(&self, origin: &Origin) -> Result<Vec<PathBuf>> {
        for certs in &self.certs {
            for name in [origin.host_and_port(), origin.authority()] {
                let Ok(entries) = std::fs::read_dir(certs.join(name)) else { continue };
                let mut files = Vec::new();
                for entry in entries.take(MAX_FILES) {
                    files.push(entry.context(|| format!("read {}", certs.display()))?.path());
                }
                order::sort(&mut files);
                return Ok(files);
            }
        }
        Ok(Vec::new())
    }
}

/// Reads `$SSL_CERT_FILE`, then `BUNDLES`, and returns the authorities of the first file that
/// contains any. If there is no such file, returns Mozilla's authorities, which are compiled in.
fn system_roots() -> RootCertStore {
    let mut roots = RootCertStore::empty();
    let named = std::env::var_os("SSL_CERT_FILE").map(PathBuf::from);
    for bundle in named.into_iter().chain(BUNDLES.map(PathBuf::from)) {
        let Ok(certificates) = CertificateDer::pem_file_iter(&bundle) else { continue };
        // Some bundles contain a few certificates that are too old to be parsed. Use the others.
        roots.add_parsable_certificates(certificates.filter_map(|certificate| certificate.ok()));
        if !roots.is_empty() {
            return roots;
        }
    }
    roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
    roots
}

/// Adds the certificates of a file to the roots, and returns them. Fails if the file can't be read,
/// has no certificate, or has a damaged one.
fn add_roots(roots: &mut RootCertStore, file: &Path) -> Result<Vec<CertificateDer<'static>>> {
    let mut certificates = Vec::new();
    for certificate in CertificateDer::pem_file_iter(file).map_err(|e| unreadable(file, e))? {
        let certificate = certificate.map_err(|error| unreadable(file, error))?;
        let added = roots.add(certificate.clone());
        added.map_err(|error| Error::new(format!("{}: {error}", file.display())))?;
        certificates.push(certificate);
    }
    if certificates.is_empty() {
        fail!("{} holds no certificate in PEM", file.display());
    }
    Ok(certificates)
}

fn read_identity(file: &Path) -> Result<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>)> {
    let key = file.with_extension("key");
    let chain = CertificateDer::pem_file_iter(file).map_err(|error| unreadable(file, error))?;
    let chain: std::result::Result<_, _> = chain.collect();
    let key_der = PrivateKeyDer::from_pem_file(&key).map_err(|error| unreadable(&key, error))?;
    Ok((chain.map_err(|error| unreadable(file, error))?, key_der))
}

fn unreadable(file: &Path, error: pem::Error) -> Error {
    let error = match error {
        pem::Error::Io(error) => Error::from(error),
        other => Error::new(other.to_string()),
    };
    Err::<(), _>(error).context(|| format!("read {}", file.display())).unwrap_err()
}

impl Trust {
    /// Returns the failure for a failed read or write, if TLS was the reason.
    pub fn explain(&self, origin: &Origin, error: &io::Error) -> Option<Failure> {
        let error = error.get_ref()?.downcast_ref::<rustls::Error>()?;
        let host = origin.host_and_port();
        let mut plain = false;
        let message = match error {
            rustls::Error::InvalidMessage(_) => {
                plain = true;
                let remedy =
                    if self.has_flags { "use --tls-verify=false" } else { "write http://" };
                format!("{host} doesn't speak TLS; for plain HTTP {remedy}")
            }
            rustls::Error::InvalidCertificate(reason) => self.explain_certificate(&host, reason),
            // Some servers send `BadCertificate` if the client sent no certificate.
            rustls::Error::AlertReceived(
                AlertDescription::CertificateRequired | AlertDescription::BadCertificate,
            ) => format!(
                "{host} needs a client certificate that it trusts: put it into certs.d/{host} as \
                 client.cert, with client.key"
            ),
            rustls::Error::AlertReceived(alert) => {
                format!("{host} ended TLS with the alert {alert:?}")
            }
            other => format!("TLS with {host}: {other}"),
        };
        let cause = if plain { Cause::NoTls } else { Cause::Permanent };
        Some(Failure { error: Error::new(message), cause })
    }

    fn explain_certificate(&self, host: &str, reason: &CertificateError) -> String {
        let date = |time: &UnixTime| {
            let mut text = Instant(time.as_secs().min(1 << 33) as i64 * 1_000_000_000).to_rfc3339();
            text.truncate("1970-01-01T00:00:00".len());
            text.replace('T', " ")
        };
        let certificate = format!("the certificate of {host}");
        let remedy = |what: &str| {
            if self.has_flags {
                format!("name {what} with --cacert FILE, or put it into certs.d/{host}/ca.crt")
            } else {
                format!("put {what} into certs.d/{host}/ca.crt")
            }
        };
        match reason {
            CertificateError::NotValidYetContext { time, not_before } => format!(
                "{certificate} is not yet valid: it is valid from {}, and this machine's clock says \
                 {}; set the clock",
                date(not_before),
                date(time)
            ),
            CertificateError::NotValidYet => {
                format!("{certificate} is not yet valid; is this machine's clock right?")
            }
            CertificateError::ExpiredContext { time, not_after } => format!(
                "{certificate} has expired: it was valid until {}, and this machine's clock says {}",
                date(not_after),
                date(time)
            ),
            CertificateError::UnknownIssuer => {
                format!(
                    "{certificate} is not from a trusted authority; {}",
                    remedy("the authority")
                )
            }
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
                format!("{certificate} is for another name")
            }
            reason if is_self_signed(reason) => {
                format!("{certificate} signed itself; {}", remedy("it"))
            }
            other => format!("{certificate}: {other}"),
        }
    }
}
