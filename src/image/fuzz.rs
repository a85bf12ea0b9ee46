//! The work of the fuzz targets, and the properties that must hold for every input.
//!
//! `make fuzz` looks for inputs that break these properties. `cargo test` replays the inputs of
//! `tests/fuzz/corpus`, for example archives by GNU tar, bsdtar and umoci, and archives that try to
//! escape. Archives are unpacked beside a directory that must not change. Most archives that try to
//! escape name this directory (`../outside`), so that an escape changes the directory.

use std::fs::{self, File};
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, Mode, OFlags, openat};

use super::config::{ImageConfig, parse_archive_manifest, to_json_over};
use super::manifest::{Document, Manifest};
use super::platform::Wanted;
use super::recipe::{Recorder, replay};
use super::store::ImageStore;
use super::tar::BLOCK;
use super::tree::archive_tree;
use super::unpack::{CopyRules, Rules, unpack as unpack_tar};
use crate::digest::ImageId;
use crate::reference::Reference;
use crate::store::{Roots, remove_tree};

/// Unpacking a layer, and copying files into a tree, change nothing outside of the target. A
/// layer's recipe gives the archive again, bit for bit.
pub fn unpack(input: &[u8]) {
    let input = with_right_sums(input);
    let place = Place::new();
    let fs = place.root.join("layer");
    fs::create_dir(&fs).unwrap();
    let recipe = place.dir.join("root/recipe");
    let noted = {
        let mut bytes = input.as_slice();
        let mut recorder = Recorder::new(&mut bytes, Some(File::create(&recipe).unwrap()));
        let unpacked = unpack_tar(&mut recorder, open(&fs).as_fd(), &Rules::Layer);
        unpacked.is_ok() && recorder.finish().unwrap().is_some()
    };
    place.check();
    if noted {
        let mut back = Vec::new();
        let replayed = replay(File::open(&recipe).unwrap(), open(&fs).as_fd(), &mut back);
        assert!(replayed.is_ok(), "{}", replayed.unwrap_err());
        assert!(back == input, "the recipe gives another archive");
    }
    let tree = place.root.join("tree");
    fs::create_dir_all(tree.join("d")).unwrap();
    for (name, target) in [("file", "../../outside/canary"), ("dir", "../../outside")] {
        std::os::unix::fs::symlink(target, tree.join(name)).unwrap();
        std::os::unix::fs::symlink(target, tree.join("d").join(name)).unwrap();
    }
    for rules in [
        CopyRules { into: b"d".to_vec(), owner: None, ids: None },
        CopyRules { into: Vec::new(), owner: Some((0, 0)), ids: None },
    ] {
        let mut bytes = input.as_slice();
        let mut recorder = Recorder::new(&mut bytes, None);
        // The input may be refused. Only a change outside is a failure.
        let _ = unpack_tar(&mut recorder, open(&tree).as_fd(), &Rules::Copy(rules));
        place.check();
    }
    // Archiving the unpacked files must not panic. An error is no failure: a path may be too long
    // for an archive.
    let _ = archive_tree(open(&fs).as_fd(), None, &mut std::io::sink());
}

/// An archive of images is loaded, or leaves nothing behind. A loaded image can be saved, and
/// removed without a trace.
pub fn load(input: &[u8]) {
    let place = Place::new();
    let archive = place.dir.join("root/archive");
    fs::write(&archive, with_right_sums(input)).unwrap();
    let state = place.root.join("state");
    let roots = Roots::new(Some(state.clone()), Some(place.root.join("run"))).unwrap();
    let store = ImageStore::open(&roots);
    if store.load(File::open(&archive).unwrap(), &Wanted::native(), &mut |_| {}).is_ok() {
        let listed = store.list().unwrap();
        assert!(!listed.is_empty());
        let mut ids: Vec<ImageId> = listed.iter().map(|image| image.id).collect();
        ids.sort_unstable_by_key(|id| id.hex());
        ids.dedup();
        for id in ids {
            let saved =
                store.save(&[id.into()], super::ArchiveFormat::Docker, &[], &mut std::io::sink());
            assert!(saved.is_ok(), "{}", saved.unwrap_err());
            store.remove(&id.into(), true, &|_| Ok(Vec::new())).unwrap();
        }
    }
    place.check();
    assert_eq!(files_below(&state), [] as [PathBuf; 0]);
}

/// Documents of registries and archives are parsed or refused. The text that is written from a
/// parsed manifest or config has the same meaning.
pub fn documents(input: &[u8]) {
    for media_type in ["", super::manifest::OCI_INDEX, super::manifest::OCI_MANIFEST] {
        if let Ok(Document::Manifest(manifest)) = Document::parse("m", media_type, input) {
            assert_eq!(Manifest::parse("m", manifest.to_json().as_bytes()).unwrap(), manifest);
        }
    }
    super::manifest::media_type_of(input);
    let _ = parse_archive_manifest(input);
    if let Ok(config) = ImageConfig::parse("c", input) {
        let read = |text: &str| ImageConfig::parse("c", text.as_bytes()).unwrap();
        assert_eq!(read(&config.to_json()), config);
        assert_eq!(read(&to_json_over(&config, Some(input)).unwrap()), config);
    }
}

/// A name is refused, or its full and its familiar spelling mean the same. Each component of a name
/// is safe as a file name.
pub fn reference(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    let Ok(reference) = Reference::parse(text) else { return };
    assert_eq!(Reference::parse(&reference.to_string()).unwrap(), reference, "{text}");
    assert_eq!(Reference::parse(&reference.familiar()).unwrap(), reference, "{text}");
    let name = reference.name();
    assert!(name.len() <= 255, "{text}");
    for part in name.split('/').chain(reference.tag.as_deref()) {
        assert!(!part.is_empty() && !part.starts_with('.'), "{text}");
        assert!(part.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'+'), "{text}");
    }
}

/// The directory `root/` to work in, and beside it files that no entry may touch.
struct Place {
    dir: PathBuf,
    root: PathBuf,
    before: Vec<Seen>,
}

/// The state of a file: name, contents, inode, mode, owner, links, and the time of its last change.
type Seen = (PathBuf, Vec<u8>, u64, u32, (u32, u32), u64, (i64, i64));

impl Place {
    fn new() -> Place {
        let base = Some(Path::new("/dev/shm")).filter(|path| path.is_dir());
        let base = base.map_or_else(std::env::temp_dir, Path::to_owned);
        let thread = rustix::thread::gettid().as_raw_nonzero();
        let dir = base.join(format!("mydocker-fuzz-{thread}"));
        remove_tree(&dir).unwrap();
        let (root, outside) = (dir.join("root"), dir.join("outside"));
        fs::create_dir_all(&root).unwrap();
        fs::create_dir(&outside).unwrap();
        fs::write(outside.join("canary"), "alive").unwrap();
        let before = Place::look(&dir);
        Place { dir, root, before }
    }

    fn look(dir: &Path) -> Vec<Seen> {
        let mut seen = Vec::new();
        let mut names = vec![dir.join("outside")];
        for above in [dir.to_owned(), dir.join("outside")] {
            names.extend(fs::read_dir(above).unwrap().map(|entry| entry.unwrap().path()));
        }
        names.sort();
        for path in names.into_iter().filter(|path| !path.ends_with("root")) {
            let stat = path.symlink_metadata().unwrap();
            let contents = if stat.is_file() { fs::read(&path).unwrap() } else { Vec::new() };
            let changed = (stat.ctime(), stat.ctime_nsec());
            let owner = (stat.uid(), stat.gid());
            seen.push((path, contents, stat.ino(), stat.mode(), owner, stat.nlink(), changed));
        }
        seen
    }

    fn check(&self) {
        assert_eq!(Place::look(&self.dir), self.before, "something outside was touched");
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        remove_tree(&self.dir).unwrap();
    }
}

fn open(dir: &Path) -> std::os::fd::OwnedFd {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    openat(CWD, dir, flags, Mode::empty()).unwrap()
}

/// Returns all files except locks.
fn files_below(dir: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(dir) else { return Vec::new() };
    let mut files = Vec::new();
    for path in entries.map(|entry| entry.unwrap().path()) {
        if path.is_dir() {
            files.extend(files_below(&path));
        } else if !path.ends_with(".lock") {
            files.push(path);
        }
    }
    files
}

/// Returns the archive with correct checksums in its headers. Without them the reader would refuse
/// nearly every random input at once.
fn with_right_sums(input: &[u8]) -> Vec<u8> {
    let mut bytes = input.to_vec();
    let mut at = 0;
    while let Some(header) = bytes.get_mut(at..at + BLOCK) {
        at += BLOCK;
        // A reader also stops at a block of zeros.
        if header.iter().all(|&byte| byte == 0) {
            break;
        }
        header[148..156].fill(b' ');
        let sum: u32 = header.iter().map(|&byte| u32::from(byte)).sum();
        header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        let size = String::from_utf8_lossy(&header[124..135]).into_owned();
        let size = usize::from_str_radix(size.trim(), 8).unwrap_or(0);
        if !matches!(header[156], b'1'..=b'6') {
            at = at.saturating_add(size.next_multiple_of(BLOCK));
        }
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Calls `target` with each input of the corpus `name`.
    fn replay_corpus(name: &str, target: fn(&[u8])) {
        let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz/corpus").join(name);
        let mut count = 0;
        for input in fs::read_dir(&dir).unwrap().map(|entry| entry.unwrap().path()) {
            eprintln!("{}", input.display());
            target(&fs::read(&input).unwrap());
            count += 1;
        }
        assert!(count > 0, "no inputs in {}", dir.display());
    }

    #[test]
    fn archives_that_were_once_trouble_stay_inside() {
        replay_corpus("unpack", unpack);
    }

    #[test]
    fn archives_of_images_are_loaded_whole_or_not_at_all() {
        replay_corpus("load", load);
    }

    #[test]
    fn documents_of_strangers_are_parsed_or_refused() {
        replay_corpus("documents", documents);
    }

    #[test]
    fn names_of_images_are_parsed_or_refused() {
        replay_corpus("reference", reference);
    }
}
