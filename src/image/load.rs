//! `load`: reads images from a docker-archive, as `docker save` writes it, or from an OCI image
//! layout, packed or as a directory (`layout`).
//!
//! A docker-archive is a tar with `manifest.json`, and with a config and layer tars for each image.
//! In the old form a layer is `<id>/layer.tar`, or a link if two images share it. In the new form a
//! layer is `blobs/sha256/<hex>` of an OCI layout. The manifest may come last, so the archive must
//! be readable in any order. A plain archive in a file is read in place. The plain bytes of any
//! other archive are first written to a temporary file. No image is visible before all layers have
//! the digests that the configs state.

use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::io::{BufReader, Read, Seek};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::{FileExt, OpenOptionsExt};

use rustix::fs::{Mode, OFlags, open};
use rustix::io::Errno;

use super::compression::is_plain;
use super::config::{
    ArchivedImage, ImageConfig, MAX_DOCUMENT, parse_archive_manifest, platform_of,
};
use super::layers::Staged;
use super::platform::Wanted;
use super::store::{Committed, ImageStore, MAX_COMMITS, NewImage};
use super::stream::with_plain;
use super::tar::{BLOCK, Kind, Reader};
use crate::digest::{Digest, ImageId};
use crate::error::{Context, Result, fail};
use crate::hex::random_name;
use crate::meter;
use crate::reference::Reference;
use crate::store::make_dir;
use crate::sys::beneath;
use crate::sys::stdio::Waiting;

/// The most members of an archive. An image has at most 500 layers (`MAX_LAYERS`).
const MAX_MEMBERS: usize = 100_000;
/// The most bytes of the names of all members and of link targets.
const MAX_NAMES: usize = 16 << 20;
/// The most links between a name and its file.
const MAX_LINKS: usize = 8;

/// An image that was loaded.
#[derive(Debug, PartialEq, Eq)]
pub struct Loaded {
    pub id: ImageId,
    pub references: Vec<Reference>,
}

/// An archive whose members can be read in any order.
pub(super) enum Archive {
    Tar {
        file: File,
        members: HashMap<String, Member>,
    },
    /// A directory that has the members as files.
    Directory(OwnedFd),
}

/// A member of an archive: a file by its place in the archive, or a link by its target.
pub(super) enum Member {
    File { offset: u64, size: u64 },
    Link(String),
}

/// A part of a file, which is read by position (pread(2)).
pub(super) struct Section {
    file: File,
    offset: u64,
    end: u64,
}

impl ImageStore {
    /// Loads the images of an archive, or none if the archive is faulty. If the user requested a
    /// platform, images for other platforms are skipped. `note` gets the warnings.
    pub fn load(
        &self,
        input: File,
        platform: &Wanted,
        note: &mut dyn FnMut(String),
    ) -> Result<Vec<Loaded>> {
        let archive = if input.metadata()?.is_dir() {
            Archive::Directory(input.into())
        } else {
            let (file, start) = self.seekable(input)?;
            meter::again();
            Archive::index(file, start)?
        };
        let mut images = Vec::new();
        // The name of the member that holds each layer.
        let mut sources: Vec<(Digest, String)> = Vec::new();
        if let Some(manifest) = archive.document("manifest.json")? {
            for archived in parse_archive_manifest(&manifest)? {
                images.push(archive.image(&archived, &mut sources, note)?);
            }
        } else if let Some(index) = archive.document("index.json")? {
            images = archive.layout(&index, platform, &mut sources, note)?;
        } else {
            fail!(
                "neither manifest.json nor index.json: not an archive of images (for a root file \
                 system: import)"
            );
        }
        if platform.is_exact {
            keep_those_for(platform, &mut images, note)?;
            sources.retain(|(id, _)| images.iter().any(|image| image.diff_ids.contains(id)));
        }
        let mut staged = Vec::new();
        let mut wanted: Vec<Digest> = sources.iter().map(|(diff_id, _)| *diff_id).collect();
        wanted.retain(|diff_id| !self.layers.exists(diff_id));
        for _ in 0..MAX_COMMITS {
            for (diff_id, member) in sources.iter().filter(|(id, _)| wanted.contains(id)) {
                staged.push(self.stage_member(&archive, diff_id, member)?);
            }
            match self.commit(&mut staged, &images)? {
                Committed::All => {
                    let loaded = |image: NewImage| Loaded {
                        id: Digest::of(&image.config),
                        references: image.references,
                    };
                    return Ok(images.into_iter().map(loaded).collect());
                }
                Committed::Missing(missing) => wanted = missing,
            }
        }
        fail!("the image's layers are removed again and again while they are loaded")
    }

    fn stage_member(&self, archive: &Archive, diff_id: &Digest, member: &str) -> Result<Staged> {
        let layer = self.layers.stage(&mut archive.section(member)?);
        let layer = layer.context(|| format!("layer {member}"))?;
        if layer.diff_id != *diff_id {
            let found = layer.diff_id;
            fail!("layer {member} is corrupt: its digest is {found}, the config says {diff_id}");
        }
        Ok(layer)
    }

    /// Returns a file that can be read in any order, and the position at which the plain tar
    /// starts.
    fn seekable(&self, mut input: File) -> Result<(File, u64)> {
        if input.metadata()?.is_file() {
            let start = input.stream_position()?;
            let mut magic = [0; 6];
            let count = input.read_at(&mut magic, start)?;
            if count < magic.len() || is_plain(&magic) {
                return Ok((input, start));
            }
        }
        let mut spool = self.spool_file()?;
        with_plain(&mut Waiting(input), |plain| {
            std::io::copy(plain, &mut spool).context(|| "spool the archive").map(|_| ())
        })?;
        Ok((spool, 0))
    }

    /// Creates a file that disappears when it is closed.
    pub fn spool_file(&self) -> Result<File> {
        make_dir(self.dir())?;
        let flags = OFlags::RDWR | OFlags::TMPFILE | OFlags::CLOEXEC;
        if let Ok(file) = open(self.dir(), flags, Mode::from_raw_mode(0o600)) {
            return Ok(file.into());
        }
        // If the file system lacks O_TMPFILE, the file has a name for a moment.
        let path = self.dir().join(format!(".spool-{}", random_name()?));
        let mut options = OpenOptions::new();
        let options = options.read(true).write(true).create_new(true).mode(0o600);
        let file = options.open(&path).context(|| format!("make {}", path.display()))?;
        crate::store::remove_file(&path)?;
        Ok(file)
    }
}

/// Drops the images for other platforms than the requested one. Fails if no image is left.
fn keep_those_for(
    platform: &Wanted,
    images: &mut Vec<NewImage>,
    note: &mut dyn FnMut(String),
) -> Result<()> {
    let mut others = Vec::new();
    let mut kept = Vec::new();
    for image in images.drain(..) {
        let offered = platform_of("config", &image.config)?;
        match platform.rank_of_config(&offered) {
            Some(_) => kept.push(image),
            None => others.push(offered.to_string()),
        }
    }
    let wanted = &platform.platform;
    if kept.is_empty() {
        fail!("the archive has no image for {wanted}, only for {}", others.join(", "));
    }
    for other in others {
        note(format!("an image for {other} is skipped: only {wanted} was requested"));
    }
    *images = kept;
    Ok(())
}

impl Archive {
    /// Finds all members by reading only their headers.
    fn index(file: File, start: u64) -> Result<Archive> {
        let end = file.metadata()?.len();
        let (mut members, mut bytes) = (HashMap::new(), 0);
        let mut position = start;
        loop {
            // Use a new reader for each header, because the data in between is not read.
            let section = Section { file: file.try_clone()?, offset: position, end };
            let mut reader = Reader::new(BufReader::with_capacity(8 * BLOCK, section));
            let Some(entry) = reader.next()? else { break };
            let offset = position + reader.position();
            let past = offset.checked_add(reader.data_left()).filter(|&past| past <= end);
            let Some(past) = past else { fail!("the archive is truncated") };
            position = start + (past - start).next_multiple_of(BLOCK as u64);
            let name = member_name(b"", &entry.path);
            let member = match entry.kind {
                Kind::File if entry.sparse.is_none() => {
                    Member::File { offset, size: past - offset }
                }
                Kind::Symlink => {
                    let above = entry.path.iter().rposition(|&byte| byte == b'/').unwrap_or(0);
                    Member::Link(member_name(&entry.path[..above], &entry.link))
                }
                Kind::Hardlink => Member::Link(member_name(b"", &entry.link)),
                _ => continue,
            };
            bytes += name.len();
            if let Member::Link(target) = &member {
                bytes += target.len();
            }
            if bytes > MAX_NAMES {
                fail!("the names of the archive's members have more than {MAX_NAMES} bytes");
            }
            members.insert(name, member);
            if members.len() > MAX_MEMBERS {
                fail!("the archive has more than {MAX_MEMBERS} members");
            }
        }
        Ok(Archive::Tar { file, members })
    }

    /// Checks one image of the manifest, and adds its layers to `sources`.
    fn image(
        &self,
        archived: &ArchivedImage,
        sources: &mut Vec<(Digest, String)>,
        note: &mut dyn FnMut(String),
    ) -> Result<NewImage> {
        let name = &archived.config;
        let Some(config) = self.document(name)? else {
            fail!("the config {name} is missing from the archive");
        };
        let leaf = name.rsplit('/').next().unwrap_or_default();
        let stated = Digest::parse_hex(leaf.strip_suffix(".json").unwrap_or(leaf));
        let digest = Digest::of(&config);
        if stated.is_some_and(|stated| stated != digest) {
            // The name of a blob is its digest (image-layout.md). Under another name this is only a
            // warning: a program that changed the config may have kept the old name, and Docker
            // does not compare the name with the digest.
            if name.starts_with("blobs/") {
                fail!("the config {name} is corrupt: its digest is {digest}");
            }
            note(format!("the config {name} has another digest than its name: {digest}"));
        }
        let diff_ids = ImageConfig::parse(name, &config)?.diff_ids;
        if diff_ids.len() != archived.layers.len() {
            let (listed, stated) = (archived.layers.len(), diff_ids.len());
            fail!("manifest.json lists {listed} layers for {name}, which states {stated}");
        }
        for (diff_id, member) in diff_ids.iter().zip(&archived.layers) {
            self.section(member)?;
            if !sources.iter().any(|(known, _)| known == diff_id) {
                sources.push((*diff_id, member.clone()));
            }
        }
        let mut references = Vec::new();
        for tag in &archived.repo_tags {
            let reference = Reference::parse(tag)?;
            match reference.digest {
                None => references.push(reference),
                Some(_) => note(passed_over(tag, "an archive can't set a digest")),
            }
        }
        Ok(NewImage { config, diff_ids, references, manifest: None })
    }

    /// Reads a small member whole. Returns `None` if no member has that name.
    pub(super) fn document(&self, name: &str) -> Result<Option<Vec<u8>>> {
        let Some(mut section) = self.find(name)? else { return Ok(None) };
        if section.end - section.offset > MAX_DOCUMENT {
            fail!("{name} is larger than {MAX_DOCUMENT} bytes");
        }
        let mut bytes = Vec::new();
        section.read_to_end(&mut bytes).context(|| format!("read {name}"))?;
        Ok(Some(bytes))
    }

    /// Returns a reader of a member. Fails if no member has that name.
    pub(super) fn section(&self, name: &str) -> Result<Section> {
        match self.find(name)? {
            Some(section) => Ok(section),
            None => fail!("{name} is missing from the archive"),
        }
    }

    /// Like [`Archive::section`], but returns `None` if no member has that name. Follows links. In
    /// a directory, `beneath::open` keeps the links inside.
    fn find(&self, name: &str) -> Result<Option<Section>> {
        let mut target = member_name(b"", name.as_bytes());
        let (file, members) = match self {
            Archive::Tar { file, members } => (file, members),
            Archive::Directory(directory) => {
                let flags = OFlags::RDONLY | OFlags::NONBLOCK;
                let file =
                    match beneath::open(directory.as_fd(), target.as_ref(), flags, Mode::empty()) {
                        Err(Errno::NOENT) => return Ok(None),
                        result => File::from(result.context(|| format!("open {name}"))?),
                    };
                let metadata = file.metadata()?;
                if !metadata.is_file() {
                    fail!("{name} is not a file");
                }
                return Ok(Some(Section { file, offset: 0, end: metadata.len() }));
            }
        };
        for _ in 0..=MAX_LINKS {
            match members.get(&target) {
                Some(&Member::File { offset, size }) => {
                    let file = file.try_clone()?;
                    return Ok(Some(Section { file, offset, end: offset + size }));
                }
                Some(Member::Link(next)) => target = next.clone(),
                None => return Ok(None),
            }
        }
        fail!("{name} leads through more than {MAX_LINKS} links")
    }
}

/// Returns the warning about a name that is not used.
pub(super) fn passed_over(name: &str, reason: &str) -> String {
    format!("the name '{}' in the archive is ignored: {reason}", name.escape_debug())
}

/// Returns a member's name as a path without `.` and `..`. The path can't lead out of the archive:
/// in a tar the path is only a key, and in a directory `beneath::open` resolves the path.
fn member_name(above: &[u8], path: &[u8]) -> String {
    let whole = [String::from_utf8_lossy(above), String::from_utf8_lossy(path)].join("/");
    let mut components = Vec::new();
    for component in whole.split('/') {
        match component {
            "" | "." => {}
            ".." => drop(components.pop()),
            name => components.push(name),
        }
    }
    components.join("/")
}

impl Section {
    /// Returns the number of bytes that are left.
    pub(super) fn size(&self) -> u64 {
        self.end - self.offset
    }
}

impl Read for Section {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let left = usize::try_from(self.end - self.offset).unwrap_or(usize::MAX);
        let length = buffer.len().min(left);
        let count = self.file.read_at(&mut buffer[..length], self.offset)?;
        self.offset += count as u64;
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::Write;

    use super::super::compression::testing::gzip;
    use super::super::tar::testing::Writer;
    use super::super::testing::{Scratch, archive, config, layer, named};
    use super::*;

    fn load(scratch: &Scratch, bytes: &[u8]) -> Result<Vec<Loaded>> {
        let path = scratch.file("archive.tar", bytes);
        scratch.store().load(File::open(path).unwrap(), &Wanted::native(), &mut |_| {})
    }

    #[test]
    fn the_old_layout_in_place_and_compressed_and_from_a_pipe() {
        let (base, top) = (layer("a", b"1"), layer("b", b"2"));
        let bytes = archive("me/app:2", &[&base, &top]);
        for (name, bytes) in [("plain", bytes.clone()), ("gzip", gzip(&bytes))] {
            let scratch = Scratch::new(&format!("load-{name}"));
            let loaded = load(&scratch, &bytes).unwrap();
            assert_eq!(loaded[0].references[0].familiar(), "me/app:2");
            let image = scratch.store().resolve(&named("me/app:2")).unwrap().unwrap();
            assert_eq!(image.id, Digest::of(&config(&[&base, &top])));
            assert_eq!(fs::read(image.layers[0].join("a")).unwrap(), b"1");
            assert_eq!(fs::read(image.layers[1].join("b")).unwrap(), b"2");
        }
        let scratch = Scratch::new("load-pipe");
        let (reader, mut writer) = std::io::pipe().unwrap();
        let thread = std::thread::spawn(move || writer.write_all(&bytes).unwrap());
        scratch
            .store()
            .load(File::from(std::os::fd::OwnedFd::from(reader)), &Wanted::native(), &mut |_| {})
            .unwrap();
        thread.join().unwrap();
        assert!(scratch.store().resolve(&named("me/app:2")).unwrap().is_some());
    }

    #[test]
    fn the_new_layout_with_several_images_and_packed_layers() {
        let scratch = Scratch::new("load-oci");
        let (base, top) = (layer("a", b"1"), layer("b", b"2"));
        let blob = |bytes: &[u8]| format!("blobs/sha256/{}", Digest::of(bytes).hex());
        let (one, two) = (config(&[&base]), config(&[&base, &top, &top]));
        let packed = gzip(&top);
        let mut tar = Writer::default();
        for bytes in [&base, &packed, &one, &two] {
            tar.file(&blob(bytes), bytes);
        }
        let manifest = format!(
            r#"[{{"Config":"{}","RepoTags":["one:1","uno:1"],"Layers":["{}"]}},
            {{"Config":"{}","RepoTags":null,"Layers":["{}","{}","{}"]}}]"#,
            blob(&one),
            blob(&base),
            blob(&two),
            blob(&base),
            blob(&packed),
            blob(&packed),
        );
        tar.file("index.json", b"{}").file("manifest.json", manifest.as_bytes());
        let loaded = load(&scratch, &tar.finish()).unwrap();
        assert_eq!(loaded.len(), 2);
        let store = scratch.store();
        assert_eq!(
            store.resolve(&named("uno:1")).unwrap(),
            store.resolve(&named("one:1")).unwrap()
        );
        let dangling = store.resolve(&named(&loaded[1].id.short())).unwrap().unwrap();
        assert_eq!(dangling.layers.len(), 3);
        assert_eq!(dangling.layers[1], dangling.layers[2]);
        assert_eq!(store.layers.list().unwrap().len(), 2);
    }

    #[test]
    fn only_the_name_of_a_blob_must_be_the_digest() {
        let base = layer("a", b"1");
        let config = config(&[&base]);
        for (name, noted) in [(format!("{:064}.json", 7), 1), ("config".to_owned(), 0)] {
            let scratch = Scratch::new("load-config-name");
            let manifest = format!(r#"[{{"Config":"{name}","Layers":["l"]}}]"#);
            let mut tar = Writer::default();
            tar.file(&name, &config).file("l", &base).file("manifest.json", manifest.as_bytes());
            let mut notes = Vec::new();
            let file = File::open(scratch.file("archive.tar", &tar.finish())).unwrap();
            let loaded = scratch
                .store()
                .load(file, &Wanted::native(), &mut |note| notes.push(note))
                .unwrap();
            assert_eq!(loaded[0].id, Digest::of(&config));
            assert!(notes.len() == noted && notes.iter().all(|it| it.contains(&name)), "{notes:?}");
        }
    }

    #[test]
    fn a_layer_that_is_a_link_to_another() {
        let scratch = Scratch::new("load-link");
        let base = layer("a", b"1");
        let config = config(&[&base]);
        let mut tar = Writer::default();
        tar.file("aa/layer.tar", &base).link(b'2', "bb/layer.tar", "../aa/layer.tar");
        tar.link(b'1', "cc/layer.tar", "bb/layer.tar").file("config", &config);
        tar.file(
            "manifest.json",
            br#"[{"Config":"config","RepoTags":["x"],"Layers":["cc/layer.tar"]}]"#,
        );
        load(&scratch, &tar.finish()).unwrap();
        let image = scratch.store().resolve(&named("x")).unwrap().unwrap();
        assert!(image.layers[0].join("a").is_file());
    }

    #[test]
    fn what_an_archive_holds_is_bounded() {
        let scratch = Scratch::new("load-bounds");
        let refused = |tar: &Writer, reason: &str| {
            let error = load(&scratch, &tar.finish()).unwrap_err().to_string();
            assert!(error.contains(reason), "{error}");
        };
        let mut many = Writer::default();
        for number in 0..=MAX_MEMBERS {
            many.header(b'0', &number.to_string(), "", 0);
        }
        refused(&many, "more than 100000 members");
        let mut long = Writer::default();
        long.raw(b'L', "././@LongLink", &vec![b'n'; 1 << 20]).file("short", b"");
        refused(&long, "a name of 1048576 bytes: at most 131071");
        let mut long = Writer::default();
        for number in 0..=MAX_NAMES / 4000 {
            long.raw(b'L', "././@LongLink", format!("{number:04000}").as_bytes()).file("s", b"");
        }
        refused(&long, "names of the archive's members");
        let document = vec![b' '; MAX_DOCUMENT as usize + 1];
        refused(Writer::default().file("manifest.json", &document), "larger than");
        let base = layer("a", b"1");
        let mut tar = Writer::default();
        tar.file("c", &config(&[&base])).file("l", &base);
        refused(
            tar.file("manifest.json", br#"[{"Config":"c","Layers":["l","l"]}]"#),
            "lists 2 layers for c, which states 1",
        );
    }

    #[test]
    fn nothing_is_visible_when_anything_is_wrong() {
        let scratch = Scratch::new("load-bad");
        let (base, top) = (layer("a", b"1"), layer("b", &[2; 3000]));
        let good = archive("x", &[&base, &top]);
        let at = good.windows(3000).position(|bytes| bytes == [2; 3000]).unwrap();
        let mut flipped = good.clone();
        flipped[at] ^= 1;
        let wrong_config = {
            let blob = format!("blobs/sha256/{}", Digest::of(b"another").hex());
            let manifest = format!(r#"[{{"Config":"{blob}","Layers":["l"]}}]"#);
            let mut tar = Writer::default();
            tar.file(&blob, &config(&[&base])).file("l", &base);
            tar.file("manifest.json", manifest.as_bytes()).finish()
        };
        let missing = {
            let mut tar = Writer::default();
            tar.file("c", &config(&[&base]));
            tar.file("manifest.json", br#"[{"Config":"c","Layers":["gone"]}]"#).finish()
        };
        let loop_of_links = {
            let mut tar = Writer::default();
            tar.file("c", &config(&[&base])).link(b'2', "l", "l");
            tar.file("manifest.json", br#"[{"Config":"c","Layers":["l"]}]"#).finish()
        };
        for (bytes, reason) in [
            (&good[..at], "truncated"),
            (&good[..at - 100], "truncated"),
            (&gzip(&good)[..500], "archive"),
            (&flipped, "is corrupt: its digest is"),
            (&wrong_config, "is corrupt: its digest is"),
            (&missing, "gone is missing"),
            (&loop_of_links, "more than 8 links"),
            (&layer("f", b""), "neither manifest.json nor"),
            (&[][..], "neither manifest.json nor"),
            (&archive("Bad:Name", &[&base]), "lower case"),
        ] {
            let error = load(&scratch, bytes).unwrap_err().to_string();
            assert!(error.contains(reason), "{reason}: {error}");
            assert_eq!(scratch.left(), [""; 0], "{reason}");
        }
    }
}
