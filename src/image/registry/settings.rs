//! The administrator's settings for registries: `/etc/mydocker/registries.json`.
//!
//! ```json
//! { "mirrors": { "docker.io": ["https://mirror.example:5000"] },
//! "insecure": ["registry.lan:5000"], "stall_seconds": 30 }
//! ```
//! A pull tries the mirrors before the registry, in their order. Registries and mirrors under
//! `insecure` may use plain HTTP, and their certificates are not checked. All keys are optional.

use std::path::PathBuf;
use std::time::Duration;

use super::url::Url;
use crate::error::{Result, fail};
use crate::json::{Node, parse};
use crate::store;

const DIRECTORY: &str = "/etc/mydocker";
/// Docker's own directory of certificates, which is read too.
const DOCKER_CERTS: &str = "/etc/docker/certs.d";
const MAX_ENTRIES: usize = 1000;
const STALL_SECONDS: u64 = 30;
const MAX_STALL_SECONDS: u64 = 3600;

/// The content of registries.json, with defaults.
#[derive(Debug)]
pub struct Settings {
    mirrors: Vec<(String, Vec<Url>)>,
    insecure: Vec<String>,
    /// The longest time in which a connection may bring nothing, or nearly nothing.
    pub stall: Duration,
    /// The `certs.d` directories, in the order in which they are searched.
    pub certs: Vec<PathBuf>,
}

impl Settings {
    /// Reads the settings; `$MYDOCKER_CONFIG_DIR` replaces `/etc/mydocker`. A missing file means
    /// the defaults. Fails if the file can't be read or is damaged.
    pub fn read() -> Result<Settings> {
        let directory = std::env::var_os("MYDOCKER_CONFIG_DIR");
        let directory = directory.map_or_else(|| DIRECTORY.into(), PathBuf::from);
        let path = directory.join("registries.json");
        let bytes = store::read(&path)?.unwrap_or_else(|| b"{}".to_vec());
        let mut settings = Settings::parse(&path.display().to_string(), &bytes)?;
        settings.certs = vec![directory.join("certs.d"), DOCKER_CERTS.into()];
        Ok(settings)
    }

    fn parse(document: &str, bytes: &[u8]) -> Result<Settings> {
        let value = parse(document, bytes)?;
        let root = Node::root(document, &value);
        let mirror = |node: &Node<'_>| {
            let url = Url::parse(&node.string()?);
            url.map_err(|_| node.wrong("a URL such as https://mirror.example"))
        };
        let mirrors = root.get("mirrors")?.map(|node| {
            node.fields(MAX_ENTRIES, |host, urls| {
                Ok((host.to_owned(), urls.each(MAX_ENTRIES, mirror)?))
            })
        });
        let stall = root.get("stall_seconds")?.map(|node| node.unsigned()).transpose()?;
        let stall = stall.unwrap_or(STALL_SECONDS);
        if !(1..=MAX_STALL_SECONDS).contains(&stall) {
            fail!("{document}: stall_seconds should be 1 to {MAX_STALL_SECONDS}");
        }
        Ok(Settings {
            mirrors: mirrors.transpose()?.unwrap_or_default(),
            insecure: root.texts("insecure", MAX_ENTRIES)?.unwrap_or_default(),
            stall: Duration::from_secs(stall),
            certs: Vec::new(),
        })
    }

    /// Returns the mirrors of a registry, in the order in which they are tried.
    pub fn mirrors_of(&self, host: &str) -> &[Url] {
        let found = self.mirrors.iter().find(|(of, _)| of == host);
        found.map_or(&[], |(_, urls)| urls)
    }

    /// Returns the registries that may use plain HTTP and any certificate.
    pub fn insecure(&self) -> &[String] {
        &self.insecure
    }

    /// Whether the settings allow plain HTTP and any certificate for a registry.
    pub fn is_insecure(&self, host: &str) -> bool {
        self.insecure.iter().any(|entry| entry == host)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mirrors_and_insecure_registries() {
        let text = br#"{"mirrors":{"docker.io":["https://m.example/x"]},"insecure":["r:5000"]}"#;
        let settings = Settings::parse("registries.json", text).unwrap();
        assert_eq!(settings.mirrors_of("docker.io")[0].to_string(), "https://m.example/x");
        assert!(settings.mirrors_of("r:5000").is_empty() && settings.is_insecure("r:5000"));
        let error = Settings::parse("r.json", br#"{"mirrors":{"d":["x"]}}"#).unwrap_err();
        assert!(error.to_string().contains("r.json: mirrors.d[0] should be a URL"), "{error}");
        assert!(Settings::parse("r.json", br#"{"stall_seconds":0}"#).is_err());
    }
}
