//! COPY and ADD as steps: collects the sources, computes the cache key and makes the layer.
//!
//! A step has up to three kinds of sources: paths in the context, a stage or an image; heredocs;
//! and, for ADD, URLs. This file writes heredocs and downloads to files in the build's workplace
//! (its temporary directory), so `copy` reads only trees of files. Unless the files are of a stage
//! or image, the image's history shows their digest, as Docker's classic builder does.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;

use super::cached::{LayerStep, MadeLayer, new_key};
use super::context::{Source, Tree};
use super::copy::Copying;
use super::dockerfile::Step;
use super::dockerfile::instruction::{Copy, is_remote};
use super::ignore::Ignore;
use super::layers::absolute;
use super::plan;
use super::steps::{Build, State};
use crate::chmod::ModeChange;
use crate::digest::Digest;
use crate::error::{Context, Result, fail};
use crate::image::copy::{Content, Overrides};
use crate::store::{open_dir, remove_tree};
use crate::words::Expander;

/// The step's directories in the workplace. Dropping this value removes them.
#[derive(Default)]
struct Made {
    directories: Vec<(PathBuf, OwnedFd)>,
    /// The number of directories with a file from a URL. These directories come first.
    remote: usize,
}

impl Drop for Made {
    fn drop(&mut self) {
        for (path, _) in &self.directories {
            // Ignore errors: the end of the build removes the whole workplace.
            let _ = remove_tree(path);
        }
    }
}

impl Build<'_> {
    /// Runs COPY or ADD: adds a layer with the copied files, or takes the layer from the cache.
    /// Fails for example if a source does not exist or a checksum differs.
    pub(super) fn copy(
        &self,
        state: &mut State,
        copy: &Copy,
        expander: &Expander<'_>,
        step: &Step,
        title: &dyn Fn() -> String,
        at: usize,
    ) -> Result<()> {
        let word = |text: &String| expander.word(text);
        let given = expander.each(&copy.sources)?;
        let (urls, sources): (Vec<_>, Vec<_>) =
            given.iter().cloned().partition(|source| copy.is_add && is_remote(source));
        let checksum = copy.checksum.as_ref().map(word).transpose()?;
        let checksum = checksum.map(|text| Digest::parse(&text)).transpose();
        let checksum = checksum.context(|| "--checksum")?;
        if checksum.is_some() && (urls.len() != 1 || given.len() != 1) {
            fail!("--checksum is for one http or https URL");
        }
        let mode = copy.chmod.as_ref().map(word).transpose()?;
        let mode = mode.map(|text| ModeChange::parse(&text)).transpose();
        let mode = mode.context(|| "--chmod")?;
        let chown = copy.chown.as_ref().map(word).transpose()?;
        let given_destination = word(&copy.destination)?;
        let mut destination = absolute(&state.config.config.working_dir, &given_destination);
        let is_slashed = given_destination.ends_with('/')
            || given_destination == "."
            || given_destination.ends_with("/.");
        if (is_slashed || given.len() + copy.heredocs.len() > 1 && given_destination == "/")
            && !destination.ends_with('/')
        {
            destination.push('/');
        }
        let patterns = expander.each(&copy.excludes)?;
        let excludes = Ignore::of_patterns(&patterns).context(|| "--exclude")?;
        let from = copy.from.as_ref().map(word).transpose()?;
        let directory = self.directory(from.as_deref());
        let from = from.filter(|_| directory.is_none());
        let directory = directory.unwrap_or(self.context);
        let from = from.as_deref().map(|from| self.source_layers(state, from, at)).transpose()?;
        let made = self.make_sources(
            &urls,
            checksum.as_ref(),
            destination.ends_with('/'),
            copy,
            expander,
        )?;
        let all = Ignore::default();
        let context = Tree {
            root: directory.root.as_fd(),
            ignore: &directory.ignore,
            parents: copy.parents,
            from: if from.is_some() { "image" } else { "build context" },
        };
        let made_tree =
            |at: usize| Tree { root: made.directories[at].1.as_fd(), ignore: &all, ..context };
        let keyword = if copy.is_add { "ADD" } else { "COPY" };
        let owner = chown.as_ref().map(|owner| format!("--chown={owner} ")).unwrap_or_default();
        // Files of a stage or image are hashed with their owners, all other files as owned by root.
        let digested = Some((0, 0)).filter(|_| from.is_none());
        let overrides = Overrides { owner: digested, mode, ..Default::default() };
        let mut found = Vec::new();
        let mut files = None;
        if from.is_none() {
            found = context.find_all(&sources, &excludes)?;
            // If the stage ignores the cache, the copy itself computes the digest, so do not read
            // the files twice.
            if !state.is_fresh {
                files = Some(context.digest(&found, &excludes, overrides)?);
            }
        }
        let mut key = self.key(state, keyword);
        let mut made_files = Vec::new();
        for at in 0..made.directories.len() {
            let tree = made_tree(at);
            let files = tree.digest(&tree.find("*")?, &all, overrides)?.hex();
            key.add("made", &files);
            made_files.push(files);
        }
        let kind = match (found.as_slice(), made.directories.len()) {
            ([one], 0) if one.is_directory => "dir",
            ([_], 0) | ([], 1) => "file",
            _ => "multi",
        };
        let shell = state.shell().join(" ");
        let has_found = !found.is_empty();
        let created_by = |files: Option<Digest>| {
            let what = match files {
                None => sources.join(" "),
                Some(files) => {
                    let mut hex = files.hex();
                    for (at, made) in made_files.iter().enumerate() {
                        hex = if at == 0 && !has_found {
                            made.clone()
                        } else {
                            let both = format!("sha256:{hex} sha256:{made}");
                            Digest::of(both.as_bytes()).hex()
                        };
                    }
                    format!("{kind}:{hex}")
                }
            };
            format!("{shell} #(nop) {keyword} {owner}{what} in {given_destination} ")
        };
        let unpacks = copy.is_add && copy.unpack != Some(false);
        key.add("to", &destination);
        key.add("sources", &format!("{sources:?} {patterns:?} {:?}", copy.heredocs.len()));
        key.add("as", &format!("{chown:?} {mode:?} {} {:?}", copy.parents, copy.unpack));
        let content_key = |tree: &Tree<'_>, found: &[Source], digest: Digest| -> Result<Digest> {
            Ok(key.with("files", &format!("{digest} {}", tree.shapes(found)?)))
        };
        let content = || {
            self.engine.read_layers(self.place, from.as_deref().unwrap_or_default(), &|root| {
                let tree = Tree { root, ignore: &all, ..context };
                let found = tree.find_all(&sources, &excludes)?;
                content_key(&tree, &found, tree.digest(&found, &excludes, overrides)?)
            })
        };
        let edit = |root: BorrowedFd<'_>| {
            let paths = from.as_ref().map(|from| self.engine.layer_paths(self.place, from));
            let opened = paths.map(|paths| self.engine.root_of_layers(&paths)).transpose()?;
            let (tree, theirs);
            let sources = match &opened {
                Some(root) => {
                    tree = Tree { root: root.as_fd(), ignore: &all, ..context };
                    theirs = tree.find_all(&sources, &excludes)?;
                    theirs.as_slice()
                }
                None => {
                    tree = context;
                    found.as_slice()
                }
            };
            if sources.len() + made.directories.len() > 1 && !destination.ends_with('/') {
                fail!("several sources need a directory: end '{destination}' with a slash");
            }
            let content = opened.is_none().then(|| Content::new(overrides.owner));
            let copying = Copying {
                tree,
                sources,
                excludes: &excludes,
                destination: &destination,
                chown: chown.as_deref(),
                keeps_owners: from.is_some(),
                mode,
                // Files of a stage or image keep their times; `edit_layers` lowers those that are
                // later than SOURCE_DATE_EPOCH.
                time: self.epoch.filter(|_| from.is_none()),
                unpacks,
                content: content.as_ref(),
            };
            copying.run(root)?;
            let read = content.as_ref().map(Content::digest).transpose()?;
            for at in 0..made.directories.len() {
                let tree = Tree { parents: false, ..made_tree(at) };
                let made_file = Copying {
                    tree,
                    sources: &tree.find("*")?,
                    excludes: &all,
                    keeps_owners: false,
                    time: self.epoch,
                    // A file from a URL is unpacked only with `--unpack=true`.
                    unpacks: at < made.remote && copy.unpack == Some(true),
                    content: None,
                    ..copying
                };
                made_file.run(root)?;
            }
            Ok(read)
        };
        let layers = state.config.diff_ids.clone();
        // For a stage or image, try a cheap key first: the digests of its layers.
        let (first, content): (_, Option<&dyn Fn() -> Result<Digest>>) = match files {
            Some(digest) => (content_key(&context, &found, digest)?, None),
            None if from.is_none() => (new_key(), None),
            None => {
                let layers = from.iter().flatten().map(Digest::hex).collect::<String>();
                (key.with("from", &layers), Some(&content))
            }
        };
        let step = LayerStep {
            title: title(),
            text: &step.text,
            created_by: created_by(files),
            key: first,
            content,
            make: &|_| {
                let (layer, read) =
                    self.engine.edit_layers(self.place, &layers, self.epoch, &edit)?;
                let has_changed = files.is_some() && read != files;
                let other = match read.filter(|_| read != files) {
                    Some(read) => {
                        Some((content_key(&context, &found, read)?, created_by(Some(read))))
                    }
                    None => None,
                };
                Ok(MadeLayer { layer, other, has_changed })
            },
        };
        self.layer_step(state, &step)
    }

    /// Downloads the URLs and writes the heredocs, each to its own directory in the workplace.
    fn make_sources(
        &self,
        urls: &[String],
        checksum: Option<&Digest>,
        named: bool,
        copy: &Copy,
        expander: &Expander<'_>,
    ) -> Result<Made> {
        let mut made = Made::default();
        let directory = |made: &mut Made| -> Result<PathBuf> {
            let path = self.place.make_dir(&format!("source-{}", made.directories.len()))?;
            made.directories.push((path.clone(), open_dir(&path)?));
            Ok(path)
        };
        for url in urls {
            let path = directory(&mut made)?;
            self.engine.download(url, &path, named, checksum)?;
            made.remote += 1;
        }
        for heredoc in &copy.heredocs {
            let mut content = heredoc.content.clone();
            if heredoc.expands {
                content = expander.heredoc(&content)?;
            }
            let path = directory(&mut made)?.join(&heredoc.name);
            std::fs::write(&path, content).context(|| format!("write {}", path.display()))?;
        }
        Ok(made)
    }

    /// Returns the layers of the stage or image that `--from` names. A stage comes before an image
    /// of the same name.
    pub(super) fn source_layers(
        &self,
        state: &State,
        from: &str,
        at: usize,
    ) -> Result<Vec<Digest>> {
        let images = self.engine.image_store();
        if let Some(stage) = plan::find(self.dockerfile, from, at) {
            // The plan reads names before variables have values, so it misses a stage that only a
            // variable names.
            let Some((_, state)) = self.results.iter().find(|(known, _)| *known == stage) else {
                fail!(
                    "--from={from}: a variable can't name a stage; write FROM ${{…}} AS NAME above, \
                     with an ARG before the first FROM"
                );
            };
            if state.config.diff_ids.is_empty() {
                fail!("--from={from}: the stage has no files");
            }
            return Ok(state.config.diff_ids.clone());
        }
        // A number means a stage and never the start of an image's id.
        if from.parse::<usize>().is_ok() && self.named_context(from).is_none() {
            fail!("--from={from}: the stages above have the numbers below {at}");
        }
        if self.named_context(from).is_none() && images.resolve(&from.parse()?)?.is_none() {
            let name = from.to_ascii_lowercase();
            if self.dockerfile.stages[at..].iter().any(|stage| stage.name.as_ref() == Some(&name)) {
                fail!("--from={from}: the stage stands below; move it up");
            }
        }
        // With `--platform`, take the image for the stage's own platform, like BuildKit.
        let platform = self.platform.is_some().then(|| state.config.platform());
        let title = format!("[--from] {from}");
        let found =
            self.report.step(&title, |vertex| self.base_image(from, platform.as_ref(), vertex));
        let image = found.context(|| format!("--from={from}"))?;
        if !images.need_layers(&self.place.draft, &image.config.diff_ids)? {
            fail!("--from={from}: the image lacks a layer; load or pull it again");
        }
        Ok(image.config.diff_ids)
    }
}
