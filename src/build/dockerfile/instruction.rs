//! The instructions of a Dockerfile: parses the flags and arguments of each keyword.
//!
//! By the reference (docs.docker.com/reference/dockerfile), a build replaces variables in ADD,
//! COPY, ENV, EXPOSE, LABEL, USER, VOLUME, WORKDIR and others, but not in the commands of RUN, CMD
//! and ENTRYPOINT. This parser replaces no variables. For a mistyped keyword or flag, the error
//! suggests the nearest known word.

use super::Dockerfile;
use super::lexer::{Heredoc, Line, heredoc_start};
use crate::error::{Context, Result, fail};
use crate::healthcheck::Healthcheck;
use crate::image::instruction::{healthcheck, json_words};
use crate::suggest::nearest;
use crate::words::{split_pairs, split_raw};

/// Every keyword, and its known flags. `copy` refuses ADD's `from` and `keep-git-dir` with errors
/// of their own.
const KEYWORDS: &[(&str, &[&str])] = &[
    ("ADD", &["chown", "chmod", "link", "checksum", "keep-git-dir", "exclude", "unpack", "from"]),
    ("ARG", &[]),
    ("CMD", &[]),
    ("COPY", &["chown", "chmod", "link", "from", "parents", "exclude"]),
    ("ENTRYPOINT", &[]),
    ("ENV", &[]),
    ("EXPOSE", &[]),
    ("FROM", &["platform"]),
    ("HEALTHCHECK", &["interval", "timeout", "start-period", "start-interval", "retries"]),
    ("LABEL", &[]),
    ("MAINTAINER", &[]),
    ("ONBUILD", &[]),
    ("RUN", &["mount", "network", "security"]),
    ("SHELL", &[]),
    ("STOPSIGNAL", &[]),
    ("USER", &[]),
    ("VOLUME", &[]),
    ("WORKDIR", &[]),
];

/// The flags that may have no value.
const SWITCHES: [&str; 4] = ["link", "parents", "keep-git-dir", "unpack"];
/// The flags that may be repeated.
const REPEATED: [&str; 2] = ["mount", "exclude"];

/// One instruction. Each variant has the name of its keyword; `Copy` is COPY and ADD.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Instruction {
    Arg(Vec<(String, Option<String>)>),
    Cmd(Command),
    Copy(Copy),
    Entrypoint(Command),
    Env(Vec<(String, String)>),
    Expose(String),
    From {
        image: String,
        platform: Option<String>,
        name: Option<String>,
    },
    Healthcheck(Healthcheck),
    Label(Vec<(String, String)>),
    Maintainer(String),
    /// The text of the instruction that a build on top of this image runs.
    Onbuild(String),
    Run(Run),
    Shell(Vec<String>),
    Stopsignal(String),
    User(String),
    /// The paths with their variables not replaced.
    Volume(Vec<String>),
    Workdir(String),
}

/// A command in the exec form, or in the shell form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// The program and its arguments.
    Exec(Vec<String>),
    /// A line for the shell.
    Shell(String),
}

/// The arguments of RUN.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Run {
    pub command: Command,
    pub heredocs: Vec<Heredoc>,
    /// The values of `--mount`.
    pub mounts: Vec<String>,
    /// The value of `--network`: `default`, `none` or `host`.
    pub network: Option<String>,
}

/// The arguments of COPY and ADD. Variables are not replaced.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Copy {
    pub is_add: bool,
    pub sources: Vec<String>,
    pub heredocs: Vec<Heredoc>,
    pub destination: String,
    pub from: Option<String>,
    pub chown: Option<String>,
    pub chmod: Option<String>,
    pub link: bool,
    pub parents: bool,
    pub excludes: Vec<String>,
    pub checksum: Option<String>,
    /// `ADD --unpack`: whether archives are unpacked. `None` unpacks local archives only.
    pub unpack: Option<bool>,
}

impl Instruction {
    /// Parses one line. Fails for an unknown keyword or flag, and for arguments that the keyword
    /// does not accept.
    pub fn parse(line: &Line, escape: char) -> Result<Instruction> {
        let keyword = line.keyword.as_str();
        let Some((_, known)) = KEYWORDS.iter().find(|(name, _)| *name == keyword) else {
            let near = nearest(keyword, KEYWORDS.iter().map(|(name, _)| *name));
            match near {
                Some(near) => fail!("unknown instruction '{keyword}'; did you mean {near}?"),
                None => fail!("unknown instruction '{keyword}'"),
            }
        };
        let flags = Flags::check(line, known)?;
        let rest = line.rest.as_str();
        if rest.is_empty() && !matches!(keyword, "CMD" | "ENTRYPOINT") {
            fail!("{keyword} needs an argument");
        }
        Ok(match keyword {
            "ARG" => Instruction::Arg(arguments(rest, escape)?),
            "CMD" => Instruction::Cmd(command(rest)),
            "ENTRYPOINT" => Instruction::Entrypoint(command(rest)),
            "COPY" | "ADD" => Instruction::Copy(copy(line, &flags, escape)?),
            "ENV" => Instruction::Env(pairs(keyword, rest, escape)?),
            "LABEL" => Instruction::Label(pairs(keyword, rest, escape)?),
            "EXPOSE" => Instruction::Expose(rest.to_owned()),
            "FROM" => from(rest, &flags)?,
            "HEALTHCHECK" => Instruction::Healthcheck(check_of(line)?),
            "MAINTAINER" => Instruction::Maintainer(rest.to_owned()),
            "ONBUILD" => Instruction::Onbuild(trigger(line)?),
            "RUN" => Instruction::Run(run(line, &flags)?),
            "SHELL" => match json_words(rest) {
                Ok(words) if !words.is_empty() => Instruction::Shell(words),
                _ => fail!("SHELL needs a JSON list such as [\"/bin/sh\", \"-c\"]"),
            },
            "STOPSIGNAL" => Instruction::Stopsignal(one(keyword, rest, escape)?),
            "USER" => Instruction::User(one(keyword, rest, escape)?),
            "VOLUME" => Instruction::Volume(volumes(rest, escape)?),
            "WORKDIR" => Instruction::Workdir(rest.to_owned()),
            _ => fail!("unknown instruction '{keyword}'"),
        })
    }
}

/// The checked flags of one instruction.
struct Flags<'a>(&'a [(String, Option<String>)]);

impl<'a> Flags<'a> {
    fn check(line: &'a Line, known: &[&str]) -> Result<Flags<'a>> {
        for (at, (name, value)) in line.flags.iter().enumerate() {
            let name = name.as_str();
            if !known.contains(&name) {
                match (nearest(name, known.iter().copied()), known.is_empty()) {
                    (Some(near), _) => {
                        fail!("{}: unknown flag --{name}; did you mean --{near}?", line.keyword)
                    }
                    (None, true) => fail!("{} takes no flags, but has --{name}", line.keyword),
                    (None, false) => fail!(
                        "{}: unknown flag --{name}; known: --{}",
                        line.keyword,
                        known.join(" --")
                    ),
                }
            }
            if value.is_none() && !SWITCHES.contains(&name) {
                fail!("{}: --{name} needs a value: --{name}=VALUE", line.keyword);
            }
            let twice = line.flags[..at].iter().any(|(earlier, _)| earlier == name);
            if twice && !REPEATED.contains(&name) {
                fail!("{}: --{name} is given twice", line.keyword);
            }
        }
        Ok(Flags(&line.flags))
    }

    fn get(&self, name: &str) -> Option<String> {
        self.all(name).pop()
    }

    fn all(&self, name: &str) -> Vec<String> {
        let named = self.0.iter().filter(|(known, _)| known == name);
        named.filter_map(|(_, value)| value.clone()).collect()
    }

    /// Returns the value of a switch, or `None` if the flag is absent.
    fn switch(&self, name: &str) -> Result<Option<bool>> {
        let Some((_, value)) = self.0.iter().find(|(known, _)| known == name) else {
            return Ok(None);
        };
        match value.as_deref() {
            None | Some("true") => Ok(Some(true)),
            Some("false") => Ok(Some(false)),
            Some(other) => fail!("--{name}: '{other}' is neither true nor false"),
        }
    }
}

fn command(rest: &str) -> Command {
    match rest.starts_with('[').then(|| json_words(rest)) {
        Some(Ok(words)) => Command::Exec(words),
        _ if rest.is_empty() => Command::Exec(Vec::new()),
        // A text that starts with `[` but is no JSON list is a command in shell form.
        _ => Command::Shell(rest.to_owned()),
    }
}

fn from(rest: &str, flags: &Flags<'_>) -> Result<Instruction> {
    let words: Vec<&str> = rest.split_whitespace().collect();
    let (image, name) = match words.as_slice() {
        [image] => (*image, None),
        [image, word, name] if word.eq_ignore_ascii_case("as") => (*image, Some(*name)),
        _ => fail!("FROM should be FROM IMAGE or FROM IMAGE AS NAME"),
    };
    if let Some(name) = name {
        let good = name.starts_with(|c: char| c.is_ascii_alphabetic())
            && name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'));
        if !good {
            fail!(
                "bad stage name '{name}': use letters, digits, '-', '_' and '.', and start with a \
                 letter"
            );
        }
        if name.eq_ignore_ascii_case("scratch") {
            fail!("'scratch' is the empty image and can't be a stage's name");
        }
    }
    let name = name.map(str::to_ascii_lowercase);
    Ok(Instruction::From { image: image.to_owned(), platform: flags.get("platform"), name })
}

fn arguments(rest: &str, escape: char) -> Result<Vec<(String, Option<String>)>> {
    let mut arguments = Vec::new();
    for word in split_raw(rest, escape) {
        let (name, value) = word.split_once('=').map_or((word, None), |(n, v)| (n, Some(v)));
        let is_name = !name.is_empty() && !name.contains(|c: char| c.is_whitespace() || c == '"');
        if !is_name {
            fail!("'{word}' should be NAME or NAME=DEFAULT");
        }
        arguments.push((name.to_owned(), value.map(str::to_owned)));
    }
    Ok(arguments)
}

fn pairs(keyword: &str, rest: &str, escape: char) -> Result<Vec<(String, String)>> {
    let pairs = split_pairs(rest, escape).context(|| keyword)?;
    Ok(pairs.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect())
}

/// Returns the argument of an instruction that has exactly one argument.
fn one(keyword: &str, rest: &str, escape: char) -> Result<String> {
    match split_raw(rest, escape).as_slice() {
        [word] => Ok((*word).to_owned()),
        _ => fail!("{keyword} needs exactly one argument"),
    }
}

fn volumes(rest: &str, escape: char) -> Result<Vec<String>> {
    let paths = match rest.starts_with('[').then(|| json_words(rest)) {
        Some(Ok(paths)) => paths,
        _ => split_raw(rest, escape).into_iter().map(str::to_owned).collect(),
    };
    if paths.is_empty() || paths.iter().any(|path| path.trim().is_empty()) {
        fail!("VOLUME needs paths, and one of them is empty");
    }
    Ok(paths)
}

/// Parses HEALTHCHECK. The lexer has removed the flags, so put them back: `image::instruction`
/// expects them at the start of the text.
fn check_of(line: &Line) -> Result<Healthcheck> {
    let mut text = String::new();
    for (name, value) in &line.flags {
        text.push_str(&format!("--{name}={} ", value.as_deref().unwrap_or_default()));
    }
    healthcheck(&(text + &line.rest)).context(|| "HEALTHCHECK")
}

fn run(line: &Line, flags: &Flags<'_>) -> Result<Run> {
    if let Some(security) = flags.get("security")
        && security != "sandbox"
    {
        fail!("RUN: --security={security} is refused: steps run with the defaults of `run`");
    }
    let network = flags.get("network");
    if let Some(network) = &network
        && !matches!(network.as_str(), "default" | "none" | "host")
    {
        fail!("RUN: bad --network={network}; it is default, none or host");
    }
    let command = command(&line.rest);
    if command == Command::Exec(Vec::new()) {
        fail!("RUN needs a command");
    }
    let heredocs = line.heredocs.clone();
    Ok(Run { command, heredocs, mounts: flags.all("mount"), network })
}

fn copy(line: &Line, flags: &Flags<'_>, escape: char) -> Result<Copy> {
    let keyword = line.keyword.as_str();
    let is_add = keyword == "ADD";
    if is_add && flags.get("from").is_some() {
        fail!("ADD has no --from; use COPY --from");
    }
    if flags.switch("keep-git-dir")?.is_some() {
        fail!("ADD: --keep-git-dir is for git repositories, which mydocker does not read");
    }
    let mut words: Vec<String> = match line.rest.starts_with('[').then(|| json_words(&line.rest)) {
        Some(Ok(words)) => words,
        _ => split_raw(&line.rest, escape).into_iter().map(str::to_owned).collect(),
    };
    let destination = words.pop().unwrap_or_default();
    words.retain(|word| line.heredocs.is_empty() || heredoc_start(word).is_none());
    if heredoc_start(&destination).is_some() && !line.heredocs.is_empty() {
        fail!("{keyword}: the destination is missing after the heredoc");
    }
    if words.is_empty() && line.heredocs.is_empty() {
        fail!("{keyword} needs at least a source and a destination");
    }
    for source in &words {
        if is_add {
            check_remote(source)?;
        } else if is_remote(source) {
            fail!("COPY: '{source}' is a URL; use ADD");
        }
    }
    if destination.is_empty() || words.iter().any(String::is_empty) {
        fail!("{keyword}: an empty path");
    }
    Ok(Copy {
        is_add,
        sources: words,
        heredocs: line.heredocs.clone(),
        destination,
        from: flags.get("from"),
        chown: flags.get("chown"),
        chmod: flags.get("chmod"),
        link: flags.switch("link")?.unwrap_or(false),
        parents: flags.switch("parents")?.unwrap_or(false),
        excludes: flags.all("exclude"),
        checksum: flags.get("checksum"),
        unpack: flags.switch("unpack")?,
    })
}

/// Reports whether a source of ADD is an http or https URL.
pub fn is_remote(source: &str) -> bool {
    source.starts_with("http://") || source.starts_with("https://")
}

/// Fails if a source of ADD looks like a git repository. Fails also for an unknown scheme, unless
/// the source has a variable.
fn check_remote(source: &str) -> Result<()> {
    let (scheme, rest) = source.split_once("://").unwrap_or(("", source));
    let path = rest.split(['#', '?']).next().unwrap_or_default();
    let is_git = match scheme {
        "http" | "https" => path.ends_with(".git"),
        "" => source.starts_with("git@"),
        _ => scheme == "git" || scheme == "ssh",
    };
    if is_git {
        fail!("ADD: mydocker reads no git repository; clone '{source}' into the build context");
    }
    if !matches!(scheme, "" | "http" | "https") && !source.contains('$') {
        fail!("ADD: '{source}' is neither a path nor an http or https URL");
    }
    Ok(())
}

/// Checks the instruction of an ONBUILD now, so that the error appears in this build and not in the
/// builds of the image's users.
fn trigger(line: &Line) -> Result<String> {
    let keyword = line.rest.split_whitespace().next().unwrap_or_default();
    let keyword = keyword.to_ascii_uppercase();
    if matches!(keyword.as_str(), "ONBUILD" | "FROM" | "MAINTAINER") {
        fail!("{keyword} can't be the instruction of an ONBUILD");
    }
    let mut text = line.rest.clone();
    for heredoc in &line.heredocs {
        text.push_str(&format!("\n{}{}", heredoc.raw, heredoc.name));
    }
    Dockerfile::parse_trigger(&text).map(drop).context(|| "ONBUILD")?;
    Ok(text)
}
