//! COPY and ADD as steps: where the files come from, and the layer that they make.
//!
//! A step has up to three kinds of sources: paths of the context, a stage or an image; heredocs; and, for
//! ADD, URLs. The last two become files of the workplace first, so that all are trees of files for
//! `copy`. Git repositories are refused. The history has the digest of what a context or a server gave,
//! as Docker's classic builder has.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;

use super::context::{Tree, open_directory};
use super::copy::Copying;
use super::dockerfile::Step;
use super::dockerfile::instruction::Copy;
use super::ignore::Ignore;
use super::layers::absolute;
use super::plan;
use super::steps::{Build, State};
use crate::chmod::ModeChange;
use crate::engine::step::StepImage;
use crate::error::{Context, Result, fail};
use crate::image::Image;
use crate::image::copy::Overrides;
use crate::image::digest::Digest;
use crate::store::remove_tree;
use crate::suggest::nearest;
use crate::words::Expander;

/// Files of the workplace, removed when the step ends.
#[derive(Default)]
struct Made {
    directories: Vec<(PathBuf, OwnedFd)>,
    /// How many of them hold a file from a URL; they come first.
    remote: usize,
}

impl Drop for Made {
    fn drop(&mut self) {
        for (path, _) in &self.directories {
            // The workplace is removed with what stays in it.
            let _ = remove_tree(path);
        }
    }
}

impl Build<'_> {
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
        let given = copy.sources.iter().map(word).collect::<Result<Vec<_>>>()?;
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
        let excludes = copy.excludes.iter().map(word).collect::<Result<Vec<_>>>()?;
        let excludes = Ignore::of_patterns(&excludes).context(|| "--exclude")?;
        let from = copy.from.as_ref().map(word).transpose()?;
        let from = from.as_deref().map(|from| self.source_image(from, at)).transpose()?;
        let vertex = self.report.begin(&format!("{} {}", title(), step.text));
        let made = self.make_sources(
            &urls,
            checksum.as_ref(),
            destination.ends_with('/'),
            copy,
            expander,
        )?;
        let all = Ignore::default();
        let context = Tree {
            root: self.context,
            ignore: self.ignore,
            parents: copy.parents,
            from: if from.is_some() { "image" } else { "build context" },
        };
        let made_tree =
            |at: usize| Tree { root: made.directories[at].1.as_fd(), ignore: &all, ..context };
        let keyword = if copy.is_add { "ADD" } else { "COPY" };
        let owner = chown.as_ref().map(|owner| format!("--chown={owner} ")).unwrap_or_default();
        let what = if from.is_some() {
            sources.join(" ")
        } else {
            let mut found = Vec::new();
            for source in &sources {
                found.extend(context.find(source)?);
            }
            let overrides = Overrides { owner: Some((0, 0)), mode, ..Default::default() };
            let kind = match (found.as_slice(), made.directories.len()) {
                ([one], 0) if one.is_directory => "dir",
                ([_], 0) | ([], 1) => "file",
                _ => "multi",
            };
            let mut digest = context.digest(&found, &excludes, overrides)?;
            for at in 0..made.directories.len() {
                let tree = made_tree(at);
                let files = tree.digest(&tree.find("*")?, &all, overrides)?;
                digest = if found.is_empty() && at == 0 {
                    files
                } else {
                    Digest::of(format!("{digest} {files}").as_bytes())
                };
            }
            format!("{kind}:{}", digest.hex())
        };
        state.add(format!(
            "{} #(nop) {keyword} {owner}{what} in {destination} ",
            state.shell().join(" ")
        ));
        let edit = |root: BorrowedFd<'_>| {
            let opened = from.as_ref().map(|from| self.engine.image_root(from)).transpose()?;
            let tree = match &opened {
                Some(root) => Tree { root: root.as_fd(), ignore: &all, ..context },
                None => context,
            };
            let mut copying = Copying {
                tree,
                sources: Vec::new(),
                excludes: excludes.clone(),
                destination: destination.clone(),
                chown: chown.clone(),
                mode,
                unpacks: copy.is_add && copy.unpack != Some(false),
            };
            for source in &sources {
                copying.sources.extend(copying.tree.find(source)?);
            }
            if copying.sources.len() + made.directories.len() > 1 && !destination.ends_with('/') {
                fail!("several sources need a directory: end '{destination}' with a slash");
            }
            copying.run(root)?;
            copying.excludes = Ignore::default();
            for at in 0..made.directories.len() {
                let tree = Tree { parents: false, ..made_tree(at) };
                copying.sources = tree.find("*")?;
                copying.tree = tree;
                // A file of a URL is unpacked if that is asked for.
                copying.unpacks = at < made.remote && copy.unpack == Some(true);
                copying.run(root)?;
            }
            Ok(())
        };
        let image = StepImage { base: state.image.as_ref(), config: &state.config, latest: None };
        let id = self.engine.edit_image(self.place, &image, &edit)?;
        self.settle(state, id)?;
        vertex.done();
        Ok(())
    }

    /// The files of URLs and heredocs, each in a directory of the workplace.
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
            made.directories.push((path.clone(), open_directory(&path)?));
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
                // Quotes are plain characters in a heredoc.
                let escaped = content.replace('\'', "\\'").replace('"', "\\\"");
                content = expander.word(&escaped)?;
            }
            let path = directory(&mut made)?.join(&heredoc.name);
            std::fs::write(&path, content).context(|| format!("write {}", path.display()))?;
        }
        Ok(made)
    }

    /// The image of `--from`: a stage, or otherwise a local image.
    fn source_image(&self, from: &str, at: usize) -> Result<Image> {
        let images = self.engine.image_store();
        if let Some(stage) = plan::find(self.dockerfile, from, at)
            && let Some((_, state)) = self.results.iter().find(|(known, _)| *known == stage)
        {
            return match &state.image {
                Some(id) => images.get(id),
                None => fail!("--from={from}: the stage has no files"),
            };
        }
        if let Some(image) = images.resolve(from)? {
            return Ok(image);
        }
        let stages = self.dockerfile.stages[..at].iter().filter_map(|stage| stage.name.as_deref());
        match nearest(from, stages) {
            Some(near) => {
                fail!("--from={from} is no stage above and no local image; did you mean {near}?")
            }
            None => fail!("--from={from} is no stage above and no local image"),
        }
    }
}

/// Whether a source of ADD is a URL of a web server.
fn is_remote(source: &str) -> bool {
    source.starts_with("http://") || source.starts_with("https://")
}
