//! The built-in image `hello`: its only file is this binary, so a first container needs no
//! download.
//!
//! The image is made at first use by the same import as any other tar. The ustar header (tar(5)) is
//! written here with a fixed date, so that the layer's digest depends only on the binary. The
//! program is in `src/hello.rs`.

use std::fs::File;
use std::io::Read;
use std::os::unix::fs::MetadataExt;

use crate::error::{Context, Result};
use crate::image::platform::Platform;
use crate::image::{ContainerConfig, ImageId, ImageStore, Reference};

/// The name of the image.
pub const NAME: &str = "hello";
/// The size of a tar block, in bytes (tar(5)).
const BLOCK: usize = 512;

/// Makes the image and returns its id. The caller checks first that the image does not exist.
pub fn make(images: &ImageStore) -> Result<ImageId> {
    let binary = File::open("/proc/self/exe").context(|| "open this binary")?;
    let size = binary.metadata().context(|| "stat this binary")?.size();
    let padding = vec![0; size.next_multiple_of(BLOCK as u64) as usize - size as usize + 2 * BLOCK];
    let header = header(size);
    let mut archive = header.as_slice().chain(binary.take(size)).chain(padding.as_slice());
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

/// Returns a ustar header (tar(5)) for the executable file `hello`. `size` is the file's bytes. The
/// time is 1970, so that the layer's digest depends only on the binary.
fn header(size: u64) -> [u8; BLOCK] {
    let mut header = [0; BLOCK];
    let mut put =
        |at: usize, text: &str| header[at..at + text.len()].copy_from_slice(text.as_bytes());
    put(0, NAME);
    put(100, "0000755");
    put(108, "0000000");
    put(116, "0000000");
    put(124, &format!("{size:011o}"));
    put(136, "00000000000");
    put(148, "        ");
    put(156, "0");
    put(257, "ustar\x0000");
    let sum: u32 = header.iter().map(|&byte| u32::from(byte)).sum();
    header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    header
}
