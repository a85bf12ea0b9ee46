//! The cases of the corpus: a text with one section per Dockerfile and its context.
//!
//! ```text
//! @case NAME FLAG…         a case, with flags of `build`
//! @about …                 the subject, or the sentence of the reference that the case tests
//! @only PEER REASON        only this peer can build it (`none`: no peer)
//! @file PATH [MODE [crlf]] a file of the context; its lines follow (`PATH/`: a directory)
//! @link PATH TARGET        a symbolic link of the context
//! @archive ARG…            an archive of files of the context, by `tar ARG…`
//! @differs PEER REASON     a known difference: lines `< ours` and `> theirs` follow
//! @has LINE                a line that our image must have
//! ```

use std::hash::{DefaultHasher, Hash, Hasher};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use crate::support::Host;

const TEXT: &[&str] = &[
    include_str!("language"),
    include_str!("files"),
    include_str!("shapes"),
    include_str!("mistakes"),
];

/// One Dockerfile with its context.
#[derive(Default)]
pub struct Case {
    pub name: String,
    pub flags: Vec<String>,
    /// Lines that our image must have.
    pub expected: Vec<String>,
    only: Option<String>,
    files: Vec<(String, u32, String)>,
    links: Vec<(String, String)>,
    /// Arguments of tar(1), one list per archive.
    archives: Vec<Vec<String>>,
    /// Known differences: pairs of peer and line.
    differences: Vec<(String, String)>,
}

impl Case {
    /// Whether the peer builds this case.
    pub fn is_for(&self, peer: &str) -> bool {
        self.only.as_ref().is_none_or(|only| only == peer)
    }

    /// The known differences from the peer.
    pub fn differences_from(&self, peer: &str) -> Vec<String> {
        let known = self.differences.iter().filter(|(known, _)| known == peer);
        known.map(|(_, line)| line.clone()).collect()
    }

    /// Writes the context to a directory. Returns the path.
    pub fn write(&self, host: &Host) -> PathBuf {
        let directory = host.scratch().join("corpus").join(&self.name);
        std::fs::create_dir_all(&directory).unwrap();
        for (name, mode, content) in &self.files {
            let path = directory.join(name);
            if let Some(name) = name.strip_suffix('/') {
                std::fs::create_dir_all(directory.join(name)).unwrap();
            } else {
                std::fs::create_dir_all(path.parent().unwrap()).unwrap();
                std::fs::write(&path, content).unwrap();
            }
            std::fs::set_permissions(&path, PermissionsExt::from_mode(*mode)).unwrap();
        }
        for (name, target) in &self.links {
            std::os::unix::fs::symlink(target, directory.join(name)).unwrap();
        }
        for args in &self.archives {
            let fixed = ["--mtime=@0", "--owner=3", "--group=4", "--numeric-owner", "--sort=name"];
            let mut tar = std::process::Command::new("tar");
            assert!(
                tar.arg("-C")
                    .arg(&directory)
                    .args(fixed)
                    .args(args)
                    .current_dir(&directory)
                    .status()
                    .unwrap()
                    .success()
            );
        }
        directory
    }

    /// Whether the case starts from the image of another case.
    pub fn is_late(&self, cases: &[(&Case, &std::path::Path)]) -> bool {
        let is_case = |name: &str| cases.iter().any(|(case, _)| case.name == name);
        let mut lines = self.files.iter().flat_map(|(_, _, content)| content.lines());
        lines.any(|line| line.strip_prefix("FROM ").is_some_and(is_case))
    }

    /// Whether the build must fail.
    pub fn fails(&self) -> bool {
        self.name.starts_with("fails_")
    }
}

/// A digest of the peers' input: the cases without their known differences and expected lines, and
/// the source of the code that builds the cases and describes the images.
pub fn fingerprint() -> u64 {
    let mut hasher = DefaultHasher::new();
    for case in read() {
        (&case.name, &case.flags, &case.only, &case.files, &case.links, &case.archives)
            .hash(&mut hasher);
    }
    (include_str!("image.rs"), include_str!("../build_corpus.rs")).hash(&mut hasher);
    hasher.finish()
}

pub fn read() -> Vec<Case> {
    /// What lines without a mark belong to.
    enum In {
        Nothing,
        /// A file, with its line ending.
        File(&'static str),
        Differences(String),
    }
    let mut cases: Vec<Case> = Vec::new();
    let mut within = In::Nothing;
    for line in TEXT.iter().flat_map(|text| text.lines()) {
        let mut words = line.split(' ');
        let mark = words.next().filter(|word| word.starts_with('@'));
        if mark == Some("@case") {
            // Empty lines before a case do not belong to the file.
            if let (In::File(_), Some((_, _, content))) =
                (&within, cases.last_mut().and_then(|case| case.files.last_mut()))
            {
                content.truncate(content.trim_end_matches('\n').len() + 1);
            }
            let name = words.next().unwrap().to_owned();
            assert!(cases.iter().all(|case| case.name != name), "two cases {name}");
            let flags = words.map(str::to_owned).collect();
            cases.push(Case { name, flags, ..Case::default() });
            within = In::Nothing;
            continue;
        }
        if line.is_empty() && !matches!(within, In::File(_)) {
            continue;
        }
        let Some(case) = cases.last_mut() else { continue };
        match (mark, &within) {
            (Some("@about"), _) => {}
            (Some("@only"), _) => case.only = words.next().map(str::to_owned),
            (Some("@file"), _) => {
                let name = words.next().unwrap().to_owned();
                let default = if name.ends_with('/') { "755" } else { "644" };
                let mode = u32::from_str_radix(words.next().unwrap_or(default), 8).unwrap();
                case.files.push((name, mode, String::new()));
                within = In::File(if words.next() == Some("crlf") { "\r\n" } else { "\n" });
            }
            (Some("@link"), _) => {
                let (name, target) = (words.next().unwrap(), words.next().unwrap());
                case.links.push((name.to_owned(), target.to_owned()));
                within = In::Nothing;
            }
            (Some("@archive"), _) => case.archives.push(words.map(str::to_owned).collect()),
            (Some("@differs"), _) => within = In::Differences(words.next().unwrap().to_owned()),
            (Some("@has"), _) => case.expected.push(line["@has ".len()..].to_owned()),
            (None, In::File(end)) => {
                let content = &mut case.files.last_mut().unwrap().2;
                content.push_str(line);
                content.push_str(end);
            }
            (None, In::Differences(peer)) if line.starts_with(['<', '>']) => {
                case.differences.push((peer.clone(), line.to_owned()));
            }
            _ => panic!("{}: what is this line: {line}", case.name),
        }
    }
    cases
}
