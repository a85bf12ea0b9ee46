//! Writes a stored layer as the tar that it was unpacked from, for `save`, `push` and builds.
//!
//! With the layer's recipe the tar is the same bit for bit, and its digest is checked while it is
//! written. A layer has no recipe if its archive named a file twice, or if the recipe would be too
//! large. Then the tar is made from the layer's files and may have another digest. `save` and
//! `push` write this digest into the config that they export.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::path::PathBuf;

use sha2::{Digest as _, Sha256};

use super::layers::{Layers, RECIPE};
use super::recipe::replay;
use super::tar::Writer;
use super::tree::{Form, TreeWriter};
use crate::digest::Digest;
use crate::error::{Context, Result, fail};
use crate::store;

/// The tar of a layer.
#[derive(Clone, Debug)]
pub struct LayerTar {
    /// The digest of the tar's bytes.
    pub digest: Digest,
    pub size: u64,
    home: PathBuf,
    recipe: bool,
}

impl Layers {
    /// Returns the digest and the size of the layer's tar. Without a recipe, the tar is made once
    /// to compute both.
    pub fn tar(&self, diff_id: &Digest) -> Result<LayerTar> {
        let home = self.home(diff_id);
        if let Some(size) = self.tar_size(diff_id)? {
            return Ok(LayerTar { digest: *diff_id, size, home, recipe: true });
        }
        let mut tar = LayerTar { digest: *diff_id, size: 0, home, recipe: false };
        let mut hashing = Hashing::new(io::sink());
        tar.write_to(&mut hashing)?;
        (tar.digest, tar.size) = (Digest::finish(hashing.hasher), hashing.size);
        Ok(tar)
    }
}

impl LayerTar {
    /// Writes the tar. Fails if its digest or size differs from what [`Layers::tar`] returned.
    pub fn write(&self, output: &mut dyn Write) -> Result<()> {
        let mut hashing = Hashing::new(output);
        self.write_to(&mut hashing)?;
        let (digest, size) = (Digest::finish(hashing.hasher), hashing.size);
        if (digest, size) != (self.digest, self.size) {
            fail!(
                "layer {} is damaged: its files have changed since it was unpacked ({})",
                self.digest,
                self.home.display()
            );
        }
        Ok(())
    }

    fn write_to(&self, output: &mut dyn Write) -> Result<()> {
        let (fs, recipe) = (self.home.join("fs"), self.home.join(RECIPE));
        let fs = store::open_dir(&fs)?;
        let written = if self.recipe {
            File::open(&recipe)
                .context(|| format!("open {}", recipe.display()))
                .and_then(|recipe| replay(recipe, fs.as_fd(), output))
        } else {
            let mut writer = Writer::new(output);
            let contents = TreeWriter::new(&mut writer, Form::Layer).contents(fs.as_fd());
            contents.and_then(|()| writer.finish().map(drop))
        };
        written.context(|| format!("layer {}", self.digest))
    }
}

/// A writer that counts and hashes the bytes that pass through.
pub struct Hashing<W> {
    output: W,
    pub hasher: Sha256,
    pub size: u64,
}

impl<W: Write> Hashing<W> {
    /// Returns a writer to `output` that computes the digest of the bytes.
    pub fn new(output: W) -> Hashing<W> {
        Hashing { output, hasher: Sha256::new(), size: 0 }
    }
}

impl<W: Write> Write for Hashing<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.output.write(bytes)?;
        self.hasher.update(&bytes[..count]);
        self.size += count as u64;
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.output.flush()
    }
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::super::tar::testing::Writer as TestWriter;
    use super::super::testing::Scratch;
    use super::*;

    /// Stages `tar`. Returns the tar that the store writes, and whether the layer had a recipe.
    fn round(scratch: &Scratch, tar: &[u8]) -> (Vec<u8>, bool) {
        let layers = scratch.store().layers;
        let staged = layers.stage(&mut &tar[..]).unwrap();
        let diff_id = staged.diff_id;
        layers.place(staged).unwrap();
        let how = layers.tar(&diff_id).unwrap();
        let mut bytes = Vec::new();
        how.write(&mut bytes).unwrap();
        assert_eq!((how.digest, how.size), (Digest::of(&bytes), bytes.len() as u64));
        (bytes, how.recipe)
    }

    #[test]
    fn every_dialect_of_gnu_tar_comes_back_bit_for_bit() {
        let scratch = Scratch::new("layer-tar");
        let tree = scratch.dir.join("tree");
        let script = "mkdir -p d/e; echo hi > d/f; ln d/f d/hard; ln -s ../x d/link; : > empty; \
                      head -c 70000 /dev/urandom > big; truncate -s 3M hole; \
                      printf x | dd of=hole bs=1 seek=1048576 conv=notrunc status=none; \
                      touch $(printf 'n%.0s' $(seq 150)); mknod dev c 1 3; mkfifo fifo; \
                      chown 70000:3000000 empty";
        std::fs::create_dir(&tree).unwrap();
        let made = Command::new("sh").args(["-ec", script]).current_dir(&tree).status();
        assert!(made.unwrap().success());
        let no_flags = rustix::fs::XattrFlags::empty();
        rustix::fs::setxattr(tree.join("big"), "user.note", b"=x", no_flags).unwrap();
        for format in [
            "gnu",
            "pax --xattrs",
            "posix --sparse",
            "oldgnu --sparse",
            "ustar --exclude=nnn*",
            "pax --sparse --sparse-version=0.0",
            "pax --sparse --sparse-version=0.1",
        ] {
            let tar = Command::new("sh")
                .args(["-c", &format!("tar -c --format={format} .")])
                .current_dir(&tree)
                .output()
                .unwrap();
            assert!(tar.stdout.len() > 70_000, "{}", String::from_utf8_lossy(&tar.stderr));
            let (back, recipe) = round(&scratch, &tar.stdout);
            assert!(recipe && back == tar.stdout, "{format}");
        }
    }

    #[test]
    fn whiteouts_and_what_follows_the_end_come_back() {
        let scratch = Scratch::new("layer-tar-whiteout");
        let mut tar = TestWriter::default();
        tar.directory("./").file("d/.wh.gone", b"").file(".wh.x", b"odd").file("x", b"again");
        tar.file("d/.wh..wh..opq", b"").file(".wh..wh.plnk/1", b"skipped");
        let tar = [tar.finish(), vec![0; 9000], b"trailing".to_vec()].concat();
        assert_eq!(round(&scratch, &tar), (tar, true));
    }

    #[test]
    fn a_name_twice_gives_a_new_tar_of_the_last() {
        let scratch = Scratch::new("layer-tar-twice");
        let mut tar = TestWriter::default();
        tar.file("a", b"first").file("b", b"b").file("a", b"last").file("d/.wh.gone", b"");
        let (back, recipe) = round(&scratch, &tar.finish());
        assert!(!recipe);
        // The new tar has a recipe, and is the tar that these files always give.
        assert_eq!(round(&scratch, &back), (back.clone(), true));
        let text = String::from_utf8_lossy(&back).into_owned();
        assert!(text.contains("last") && !text.contains("first") && text.contains("d/.wh.gone"));
    }

    #[test]
    fn a_changed_file_is_found() {
        let scratch = Scratch::new("layer-tar-damaged");
        let layers = scratch.store().layers;
        let tar = TestWriter::default().file("a", b"12345").finish();
        let staged = layers.stage(&mut &tar[..]).unwrap();
        let diff_id = staged.diff_id;
        layers.place(staged).unwrap();
        for (contents, reason) in [("12346", "is damaged"), ("123", "shorter")] {
            std::fs::write(layers.fs(&diff_id).join("a"), contents).unwrap();
            let error = layers.tar(&diff_id).unwrap().write(&mut io::sink()).unwrap_err();
            assert!(error.to_string().contains(reason), "{error}");
        }
    }
}
