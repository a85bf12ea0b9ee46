//! `build --output`: where a build writes the image.
//!
//! `docker` and `oci` archives are written as `save` writes them, so the image is added to the
//! local images too. `tar` and `local` write the files of the image and add no image. Without
//! `dest`, `tar` and `oci` write to stdout, and `docker` only adds the image. The keys are from
//! docs.docker.com/reference/cli/docker/buildx/build, "--output".

use std::path::PathBuf;

use crate::engine::options::ArchiveFormat;
use crate::engine::options::Reference;
use crate::error::{Result, fail};
use crate::raw;

/// One `--output`. The path `None` means stdout.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// Add the image to the local images, also under the given name.
    Image(Option<Reference>),
    /// Add the image to the local images, and write an archive of it.
    Archive(ArchiveFormat, Option<PathBuf>),
    /// Write the image's files to a tar.
    Tar(Option<PathBuf>),
    /// Write the image's files to a directory.
    Directory(PathBuf),
}

impl Output {
    /// Parses `type=TYPE,dest=PATH,name=NAME`, a directory, or `-` for a tar on stdout.
    pub fn parse(text: &str) -> Result<Output> {
        if text == "-" {
            return Ok(Output::Tar(None));
        }
        if !text.contains('=') && !text.is_empty() {
            return Ok(Output::Directory(raw::path(text).into()));
        }
        let (mut kind, mut dest, mut name) = (None, None, None);
        for part in text.split(',') {
            match part.split_once('=') {
                Some(("type", value)) => kind = Some(value),
                Some(("dest", value)) => dest = Some(value),
                Some(("name", value)) => name = Some(Reference::parse_new(value)?),
                Some((key, _)) => fail!("unknown key '{key}'; known: type dest name"),
                None => fail!("'{part}' should be KEY=VALUE"),
            }
        }
        let path = dest.filter(|dest| *dest != "-").map(|dest| PathBuf::from(raw::path(dest)));
        if name.is_some() && kind != Some("image") {
            fail!("name= is for type=image; name the image with -t");
        }
        Ok(match (kind, path) {
            (Some("image"), None) if dest.is_none() => Output::Image(name),
            (Some("image"), _) => fail!("type=image has no dest; write type=docker or type=oci"),
            // Without a dest, Docker loads the image. Here the build adds the image to the local
            // images.
            (Some("docker"), None) if dest.is_none() => Output::Image(None),
            (Some("docker"), path) => Output::Archive(ArchiveFormat::Docker, path),
            (Some("oci"), path) => Output::Archive(ArchiveFormat::Oci, path),
            (Some("tar"), path) => Output::Tar(path),
            (Some("local"), Some(path)) => Output::Directory(path),
            (Some("local"), None) => fail!("type=local needs a directory: dest=PATH"),
            (Some("registry"), _) => {
                fail!("type=registry: name the image with -t and write --push")
            }
            (Some(other), _) => {
                fail!("unknown type '{other}'; known: image docker oci tar local")
            }
            (None, _) => fail!("type= is missing; known: image docker oci tar local"),
        })
    }

    /// Reports whether the build adds the image to the local images.
    pub fn keeps_image(&self) -> bool {
        matches!(self, Output::Image(_) | Output::Archive(..))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outputs() {
        let path = |text: &str| Some(PathBuf::from(text));
        for (text, expected) in [
            ("out", Output::Directory("out".into())),
            ("-", Output::Tar(None)),
            ("type=tar", Output::Tar(None)),
            ("type=tar,dest=-", Output::Tar(None)),
            ("type=tar,dest=a.tar", Output::Tar(path("a.tar"))),
            ("type=local,dest=a", Output::Directory("a".into())),
            ("type=docker", Output::Image(None)),
            ("type=docker,dest=-", Output::Archive(ArchiveFormat::Docker, None)),
            ("dest=a,type=oci", Output::Archive(ArchiveFormat::Oci, path("a"))),
            ("type=image,name=x", Output::Image(Some(Reference::parse("x").unwrap()))),
        ] {
            assert_eq!(Output::parse(text).unwrap(), expected, "{text}");
        }
        for text in ["type=x", "dest=a", "type=local", "type=registry", "type=tar,a", "a=b"] {
            assert!(Output::parse(text).is_err(), "{text}");
        }
    }
}
