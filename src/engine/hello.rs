//! The built-in image `hello`: its only file is this binary, so a first container needs no
//! download.
//!
//! The image is made at first use by the same import as any other tar. The file in that tar has a
//! fixed date, so that the layer's digest depends only on the binary. The program is in
//! `src/hello.rs`.

use std::fs::File;
use std::os::unix::fs::MetadataExt;

use crate::error::{Context, Result};
use crate::image::platform::Platform;
use crate::image::{ContainerConfig, ImageId, ImageStore, Reference, tar_of_one_file};

/// The name of the image.
pub const NAME: &str = "hello";

/// Makes the image and returns its id. The caller checks first that the image does not exist.
pub fn make(images: &ImageStore) -> Result<ImageId> {
    let binary = File::open("/proc/self/exe").context(|| "open this binary")?;
    let size = binary.metadata().context(|| "stat this binary")?.size();
    let mut archive = tar_of_one_file(NAME, 0o755, size, binary);
    let config =
        ContainerConfig { cmd: Some(vec![format!("/{NAME}")]), ..ContainerConfig::default() };
    let reference = Reference::parse(NAME)?;
    images
        .import(
            &mut archive,
            Some(&reference),
            config,
            "the image that mydocker carries",
            &Platform::default(),
        )
        .context(|| "make the image 'hello'")
}
