//! Downloads a file from a web server, for `import` and for `ADD` of a `build`.
//!
//! A child process does this, because TLS and its buffers would stay in the memory of this process,
//! which forks monitors. The protocol is HTTP/1.1 (RFC 9112) of `image::registry`. The credentials
//! of registries are not sent.

use std::fs::File;
#[cfg(feature = "build")]
use std::path::Path;

use super::Engine;
#[cfg(feature = "build")]
use crate::digest::Digest;
#[cfg(feature = "pull")]
use crate::error::Context;
#[cfg(not(feature = "pull"))]
use crate::error::Error;
use crate::error::Result;
#[cfg(all(feature = "build", feature = "pull"))]
use crate::error::fail;

impl Engine {
    /// Downloads `url` to a file in `directory`, with mode 0600 and the time that the server sends.
    /// The file's name is the last part of the URL's path. If that part cannot be a file name, the
    /// file is called `unnamed`, or the call fails if `named` is true. Also fails for example if
    /// the file does not have the digest `checksum`.
    #[cfg(all(feature = "build", feature = "pull"))]
    pub fn download(
        &self,
        url: &str,
        directory: &Path,
        named: bool,
        checksum: Option<&Digest>,
    ) -> Result<()> {
        use crate::image::Hashing;
        use crate::image::registry::download::{download, file_name};
        use std::ffi::OsStr;
        use std::io::Seek;
        use std::os::unix::ffi::OsStrExt;
        use std::os::unix::fs::OpenOptionsExt;

        let name = match file_name(url)? {
            Some(name) => name,
            None if named => {
                fail!(
                    "{url} names no file; end the destination without a slash, with a file's name"
                )
            }
            None => b"unnamed".to_vec(),
        };
        let path = directory.join(OsStr::from_bytes(&name));
        super::child::in_child("the download", &|| {
            let mut options = std::fs::OpenOptions::new();
            options.read(true).write(true).create_new(true).mode(0o600);
            let mut file = options.open(&path).context(|| format!("make {}", path.display()))?;
            let modified = download(url, &mut file)?;
            if let Some(expected) = checksum {
                let mut hashing = Hashing::new(std::io::sink());
                file.rewind()?;
                std::io::copy(&mut file, &mut hashing).context(|| "read the download")?;
                let found = Digest::finish(hashing.hasher);
                if found != *expected {
                    fail!("the file has the digest {found}, and --checksum says {expected}");
                }
            }
            // Without a valid time from the server the file gets 1970, so that builds are
            // repeatable.
            let seconds = u64::try_from(modified.unwrap_or(0)).unwrap_or(0);
            let time = std::time::UNIX_EPOCH + std::time::Duration::from_secs(seconds);
            file.set_modified(time).context(|| "set the time of the download")?;
            Ok(String::new())
        })
        .map(drop)
        .context(|| format!("download {url}"))
    }

    /// Always fails, because this binary has no HTTP client.
    #[cfg(all(feature = "build", not(feature = "pull")))]
    pub fn download(&self, url: &str, _: &Path, _: bool, _: Option<&Digest>) -> Result<()> {
        Err(no_client(url, "put the file into the build context"))
    }
}

/// Downloads `url` into the empty `file`, and rewinds the file.
#[cfg(feature = "pull")]
pub(super) fn fetch(url: &str, file: &mut File) -> Result<()> {
    use crate::image::registry::download::download;
    use std::io::Seek;

    super::child::in_child("the download", &|| {
        let mut file = file.try_clone().context(|| "duplicate the download's file")?;
        download(url, &mut file).map(|_| String::new())
    })
    .context(|| format!("download {url}"))?;
    file.rewind().context(|| "read the download")
}

/// Always fails, because this binary has no HTTP client.
#[cfg(not(feature = "pull"))]
pub(super) fn fetch(url: &str, _: &mut File) -> Result<()> {
    Err(no_client(url, "fetch the file by other means and name it"))
}

#[cfg(not(feature = "pull"))]
fn no_client(url: &str, instead: &str) -> Error {
    Error::new(format!(
        "this mydocker was built without a web client (cargo feature 'pull'), so it cannot get {url}; \
         {instead}"
    ))
}
