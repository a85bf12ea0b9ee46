//! A temporary image store for unit tests, and small archives to fill the store with. Each test has
//! its own directory, so tests can run in parallel. The directory is removed when its `Scratch` is
//! dropped. Layers are plain tars that `tar::testing` writes.

use std::fs;
use std::io::Write;
use std::path::PathBuf;

use super::store::ImageStore;
use super::tar::testing::Writer;
use crate::digest::Digest;
use crate::image_name::ImageName;
use crate::store::Roots;

/// Parses the name of an image.
pub fn named(text: &str) -> ImageName {
    text.parse().unwrap()
}

/// A directory that is removed when this is dropped.
pub struct Scratch {
    pub dir: PathBuf,
}

impl Scratch {
    /// Creates the directory for the test `name`.
    pub fn new(name: &str) -> Scratch {
        let dir = std::env::temp_dir().join(format!("image-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&dir);
        fs::create_dir_all(&dir).unwrap();
        Scratch { dir }
    }

    /// Opens the image store in the directory.
    pub fn store(&self) -> ImageStore {
        let roots = Roots::new(Some(self.dir.join("root")), Some(self.dir.join("run"))).unwrap();
        ImageStore::open(&roots)
    }

    /// Writes a file into the directory and returns its path.
    pub fn file(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.dir.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::File::create(&path).unwrap().write_all(bytes).unwrap();
        path
    }

    /// Returns the names in `layers/`, in `images/` and in the store's directories below `images/`.
    /// The names of these directories and of the lock are left out. Tests use this to check that
    /// nothing is left.
    pub fn left(&self) -> Vec<String> {
        let mut names = Vec::new();
        let ours = [".lock", "refs", "blobs", "manifests", "partial"];
        for dir in [
            "layers",
            "images",
            "images/refs",
            "images/blobs/sha256",
            "images/manifests",
            "images/partial",
        ] {
            let Ok(entries) = fs::read_dir(self.dir.join("root").join(dir)) else { continue };
            let entries = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
            names.extend(entries.filter(|name| !ours.contains(&&name[..])));
        }
        names
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.dir);
    }
}

/// Returns a layer with one file.
pub fn layer(path: &str, data: &[u8]) -> Vec<u8> {
    Writer::default().file(path, data).finish()
}

/// Returns an image config with these plain layer tars.
pub fn config(layers: &[&[u8]]) -> Vec<u8> {
    let ids: Vec<String> = layers.iter().map(|tar| format!("\"{}\"", Digest::of(tar))).collect();
    format!(
        r#"{{"architecture":"amd64","os":"linux","created":"2026-01-31T12:00:00Z",
        "config":{{"Cmd":["sh"]}},"rootfs":{{"type":"layers","diff_ids":[{}]}}}}"#,
        ids.join(",")
    )
    .into_bytes()
}

/// Returns a docker-archive of one image in the old layout.
pub fn archive(tag: &str, layers: &[&[u8]]) -> Vec<u8> {
    let config = config(layers);
    let config_name = format!("{}.json", Digest::of(&config).hex());
    let mut tar = Writer::default();
    let mut names = Vec::new();
    for (i, layer) in layers.iter().enumerate() {
        let directory = format!("{i:064}");
        tar.directory(&format!("{directory}/")).file(&format!("{directory}/VERSION"), b"1.0");
        tar.file(&format!("{directory}/layer.tar"), layer);
        names.push(format!("\"{directory}/layer.tar\""));
    }
    tar.file(&config_name, &config);
    let manifest = format!(
        r#"[{{"Config":"{config_name}","RepoTags":["{tag}"],"Layers":[{}]}}]"#,
        names.join(",")
    );
    tar.file("manifest.json", manifest.as_bytes()).finish()
}
