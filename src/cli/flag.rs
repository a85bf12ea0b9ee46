//! Flags and commands as data, shared by the parser, the help, the completions and the man page.
//!
//! Each command has a struct of arguments and one static table of `Flag`s. A flag has a spelling, a
//! line of help, and a function that updates the arguments. `FlagSpec` is the part that does not
//! depend on the type of the arguments, so the help, the completions and the man page can list all
//! commands.

use super::{Invocation, Outcome};
use crate::error::Result;
#[cfg(feature = "compose")]
use crate::error::{Context, fail};

/// A flag's spelling, and its line in the help.
pub struct FlagSpec {
    /// The long spelling, without its dashes.
    pub long: &'static str,
    pub short: Option<char>,
    /// Further spellings, each a whole token with its dashes: `--network`, `-net`.
    pub also: &'static [&'static str],
    /// The placeholder for the value in the help, as in `MEGABYTES`; `None` for a switch.
    pub value: Option<&'static str>,
    /// Whether an empty value counts as if the flag was not given.
    pub ignores_empty: bool,
    pub checker: Checker,
    pub doc: &'static str,
    pub category: Category,
}

/// The part of Docker that refuses a bad value of a flag. The exit status depends on this part
/// (`parse::status_of_bad`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Checker {
    Client,
    /// The client passes every value on, and the daemon refuses a bad value.
    Daemon,
    /// The client refuses a value without `=`. The daemon refuses a bad `KEY=VALUE`.
    DaemonIfPair,
    /// As `DaemonIfPair`, but the option may be `KEY:VALUE` too.
    DaemonIfOption,
    /// The client refuses a value that is no number. The daemon refuses a number out of range.
    DaemonIfNumber,
    /// The client refuses a value that is no time or is negative. The daemon refuses a time out
    /// of range.
    DaemonIfTime,
    /// The runtime that enters the container.
    Runtime,
    /// The client's parser of templates.
    Template,
}

/// The headings of a command's help.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Category {
    General,
    Process,
    Health,
    Files,
    Network,
    Limits,
    Isolation,
    Logging,
    /// Docker flags that have no effect in mydocker, or that fail with a reason.
    Docker,
    /// Flags of the small engines that container tutorials build, such as `-mem` or `-cpu`.
    Tutorial,
}

impl Category {
    /// All categories, in the order in which the help shows them.
    pub const ALL: [Category; 10] = [
        Category::General,
        Category::Process,
        Category::Health,
        Category::Files,
        Category::Network,
        Category::Limits,
        Category::Isolation,
        Category::Logging,
        Category::Docker,
        Category::Tutorial,
    ];

    /// The heading in the help.
    pub fn heading(self) -> &'static str {
        match self {
            Category::General => "Flags",
            Category::Process => "The process",
            Category::Health => "Health check",
            Category::Files => "Files and volumes",
            Category::Network => "Network and names",
            Category::Limits => "Limits",
            Category::Isolation => "Isolation",
            Category::Logging => "Logs",
            Category::Docker => "Docker's, for scripts",
            Category::Tutorial => "Spellings of the tutorial engines",
        }
    }
}

/// How one occurrence of a flag changes the arguments.
pub enum Update<A> {
    Switch(fn(&mut A, bool)),
    Value(fn(&mut A, &str) -> Result<()>),
}

/// One flag of a command: its spec, and how a value changes the arguments `A`.
pub struct Flag<A: 'static> {
    pub spec: FlagSpec,
    pub update: Update<A>,
}

impl<A> Flag<A> {
    /// A flag without a value; `--long=false` turns the flag off.
    pub const fn switch(long: &'static str, doc: &'static str, update: fn(&mut A, bool)) -> Self {
        Flag { spec: FlagSpec::new(long, None, doc), update: Update::Switch(update) }
    }

    /// A flag that takes a value.
    pub const fn value(
        long: &'static str,
        value: &'static str,
        doc: &'static str,
        update: fn(&mut A, &str) -> Result<()>,
    ) -> Self {
        Flag { spec: FlagSpec::new(long, Some(value), doc), update: Update::Value(update) }
    }

    /// A flag that takes a value and ignores an empty one, as Docker does. Scripts write `--name
    /// "$NAME"`, where NAME may be unset.
    pub const fn setting(
        long: &'static str,
        value: &'static str,
        doc: &'static str,
        update: fn(&mut A, &str) -> Result<()>,
    ) -> Self {
        let mut flag = Flag::value(long, value, doc, update);
        flag.spec.ignores_empty = true;
        flag
    }

    /// A Docker switch that is accepted and has no effect. `doc` says why.
    pub const fn accepted(long: &'static str, doc: &'static str) -> Self {
        Flag::switch(long, doc, |_, _| {}).under(Category::Docker)
    }

    /// Docker's switch for the verification of image signatures, which mydocker does not support.
    pub const fn content_trust() -> Self {
        Flag::accepted("disable-content-trust", "Accepted; image signatures are never verified")
    }

    /// Changes the arguments by one occurrence of the flag. The value of a switch is `true` or
    /// `false`.
    pub fn set(&self, args: &mut A, value: &str) -> Result<()> {
        match &self.update {
            Update::Switch(update) => update(args, value == "true"),
            Update::Value(update) => update(args, value)?,
        }
        Ok(())
    }

    /// Adds the one-letter spelling.
    pub const fn short(mut self, short: char) -> Self {
        self.spec.short = Some(short);
        self
    }

    /// Adds whole-token spellings.
    pub const fn also(mut self, spellings: &'static [&'static str]) -> Self {
        self.spec.also = spellings;
        self
    }

    /// Sets the part of Docker that refuses a bad value; the client by default.
    pub const fn checked_by(mut self, checker: Checker) -> Self {
        self.spec.checker = checker;
        self
    }

    /// Sets the heading of the help that lists the flag.
    pub const fn under(mut self, category: Category) -> Self {
        self.spec.category = category;
        self
    }
}

impl FlagSpec {
    const fn new(long: &'static str, value: Option<&'static str>, doc: &'static str) -> Self {
        FlagSpec {
            long,
            short: None,
            also: &[],
            value,
            ignores_empty: false,
            checker: Checker::Client,
            doc,
            category: Category::General,
        }
    }
}

/// The spec of the flag at an index of a command's table; `None` after the last flag.
pub fn spec<A>(flags: &'static [Flag<A>], at: usize) -> Option<&'static FlagSpec> {
    flags.get(at).map(|flag| &flag.spec)
}

/// A setting from a file: its place in the file for errors, the flag's long spelling, and the
/// value.
#[cfg(feature = "compose")]
pub type Placed<'a> = (&'a dyn std::fmt::Display, &'a str, &'a str);

/// Sets flags that come from a file instead of the command line. Fails on an unknown flag or a bad
/// value, with the place in the file.
#[cfg(feature = "compose")]
pub fn set_all<A>(
    flags: &'static [Flag<A>],
    args: &mut A,
    settings: &mut dyn Iterator<Item = Placed<'_>>,
) -> Result<()> {
    for (place, name, value) in settings {
        let Some(flag) = flags.iter().find(|flag| flag.spec.long == name) else {
            fail!("{place}: there is no flag --{name}");
        };
        flag.set(args, value).context(|| format!("{place}: {name}"))?;
    }
    Ok(())
}

/// The headings of `mydocker help`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Group {
    Run,
    Watch,
    Images,
    Volumes,
    Networks,
    Compose,
    Engine,
}

impl Group {
    /// All groups, in the order in which the help shows them.
    pub const ALL: [Group; 7] = [
        Group::Run,
        Group::Watch,
        Group::Images,
        Group::Volumes,
        Group::Networks,
        Group::Compose,
        Group::Engine,
    ];

    /// The heading in the help.
    pub fn heading(self) -> &'static str {
        match self {
            Group::Run => "Run containers",
            Group::Watch => "See what they do",
            Group::Images => "Images",
            Group::Volumes => "Volumes",
            Group::Networks => "Networks",
            Group::Compose => "Projects of several containers",
            Group::Engine => "mydocker itself",
        }
    }
}

/// The kind of object that a command's operands name, for completion.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operand {
    Nothing,
    Container,
    Image,
    Volume,
    Network,
    File,
    Command,
}

/// One command of the command line.
pub struct Command {
    /// One word, or two as in `volume create`.
    pub name: &'static str,
    pub group: Group,
    /// The usage line after the name: `[FLAGS] IMAGE [COMMAND [ARG…]]`.
    pub usage: &'static str,
    pub summary: &'static str,
    pub examples: &'static [&'static str],
    pub operand: Operand,
    /// The minimum and the maximum number of operands.
    pub operands: (usize, usize),
    /// Whether flags end at the first operand, because the rest belongs to another program.
    pub trailing: bool,
    /// The spec of the flag at an index of the command's table; `None` after the last flag.
    pub flags: fn(usize) -> Option<&'static FlagSpec>,
    pub run: fn(&Invocation) -> Outcome,
}

impl Command {
    /// The specs of the command's flags.
    pub fn specs(&self) -> Vec<&'static FlagSpec> {
        (0..).map_while(self.flags).collect()
    }
}

/// The maximum number of operands of a command that takes any number.
pub const MANY: usize = usize::MAX;
