//! A registry as a tree of files, which any web server can serve, also busybox's httpd: a pull only
//! requests files (OCI distribution specification, "Pull"). A manifest contains its own media type,
//! which such a server does not know.
//!
//! A guest has no room for a real registry. This one takes no pushes and asks for no login;
//! `tests/registry` tests pushes and logins.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use flate2::Compression;
use flate2::write::GzEncoder;
use sha2::{Digest, Sha256};

/// The address at which the guests serve the registry.
pub const ADDRESS: &str = "127.0.0.1:5000";

pub struct Registry {
    directory: PathBuf,
    /// Debian's name of the architecture.
    architecture: &'static str,
}

impl Registry {
    pub fn new(directory: PathBuf, architecture: &'static str) -> Registry {
        fs::create_dir_all(directory.join("v2")).unwrap();
        fs::write(directory.join("v2/index.html"), "{}").unwrap();
        Registry { directory, architecture }
    }

    /// Adds an image of `layers`, each a tar, as `repository:tag`.
    pub fn put(&self, repository: &str, tag: &str, layers: &[&Path]) {
        let repository = self.directory.join("v2").join(repository);
        for directory in ["blobs", "manifests"] {
            fs::create_dir_all(repository.join(directory)).unwrap();
        }
        let blob = |kind: &str, bytes: &[u8]| {
            let digest = digest(bytes);
            fs::write(repository.join("blobs").join(&digest), bytes).unwrap();
            let kind = format!("application/vnd.oci.image.{kind}");
            format!(r#"{{"mediaType":"{kind}","digest":"{digest}","size":{}}}"#, bytes.len())
        };
        let tars: Vec<Vec<u8>> = layers.iter().map(|layer| fs::read(layer).unwrap()).collect();
        let diff_ids: Vec<String> = tars.iter().map(|tar| format!("\"{}\"", digest(tar))).collect();
        let config = format!(
            r#"{{"architecture":"{}","os":"linux","config":{{}},
            "rootfs":{{"type":"layers","diff_ids":[{}]}}}}"#,
            self.architecture,
            diff_ids.join(",")
        );
        let descriptors: Vec<String> =
            tars.iter().map(|tar| blob("layer.v1.tar+gzip", &gzip(tar))).collect();
        let manifest = format!(
            r#"{{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json",
            "config":{},"layers":[{}]}}"#,
            blob("config.v1+json", config.as_bytes()),
            descriptors.join(",")
        );
        fs::write(repository.join("manifests").join(tag), manifest).unwrap();
    }
}

fn digest(bytes: &[u8]) -> String {
    let hex: String = Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect();
    format!("sha256:{hex}")
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}
