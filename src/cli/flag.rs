//! Flags and commands as data: what the parser, the help, the completions and the man page share.
//!
//! A command owns one static table of `Flag`s over its own arguments struct; a flag says how it is
//! spelled, what it is for, and how one typed value updates the arguments. `FlagSpec` is its part
//! that knows nothing of the arguments, so that help and its like can hold all commands in one list.

use super::{Invocation, Outcome};
use crate::error::Result;
#[cfg(feature = "compose")]
use crate::error::{Context, fail};

/// A flag's spelling, and its line in the help.
pub struct FlagSpec {
    /// Without its dashes.
    pub long: &'static str,
    pub short: Option<char>,
    /// Further spellings, each a whole token with its dashes: `--network`, `-net`.
    pub also: &'static [&'static str],
    /// What its value is called in the help; `None` for a switch.
    pub value: Option<&'static str>,
    /// Whether an empty value is as none.
    pub ignores_empty: bool,
    pub doc: &'static str,
    pub category: Category,
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
    /// Flags of Docker's that change nothing here, or are refused with the reason.
    Docker,
    /// Spellings of the tutorial engines, kept working.
    Tutorial,
}

impl Category {
    /// In the order in which the help shows them.
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

    /// As the help shows it.
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
    /// A flag without a value; `--long=false` takes it back.
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

    /// A flag that takes one value. As Docker does, it takes an empty value for none at all:
    /// scripts write `--name "$NAME"`.
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

    /// A switch of Docker's that asks for what happens here anyway.
    pub const fn accepted(long: &'static str, doc: &'static str) -> Self {
        Flag::switch(long, doc, |_, _| {}).under(Category::Docker)
    }

    /// Docker's switch for image signatures, which mydocker doesn't know.
    pub const fn content_trust() -> Self {
        Flag::accepted("disable-content-trust", "Accepted; image signatures are never verified")
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

    /// Puts it under a heading of the help.
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
            doc,
            category: Category::General,
        }
    }
}

/// The specs of a table, without its updates.
pub fn specs<A>(flags: &'static [Flag<A>]) -> Vec<&'static FlagSpec> {
    flags.iter().map(|flag| &flag.spec).collect()
}

/// A flag's long spelling and its value, and the place that an error about it names.
#[cfg(feature = "compose")]
pub type Placed<'a> = (&'a dyn std::fmt::Display, &'a str, &'a str);

/// Sets flags that were not typed, but come from a file.
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
        match &flag.update {
            Update::Switch(update) => update(args, value == "true"),
            Update::Value(update) => {
                update(args, value).context(|| format!("{place}: {name}"))?;
            }
        }
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
    /// In the order in which the help shows them.
    pub const ALL: [Group; 7] = [
        Group::Run,
        Group::Watch,
        Group::Images,
        Group::Volumes,
        Group::Networks,
        Group::Compose,
        Group::Engine,
    ];

    /// As the help shows it.
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

/// What a command's operands name, for completion.
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
    /// One word, or two for `volume create` and its kin.
    pub name: &'static str,
    pub group: Group,
    /// What follows the name: `[FLAGS] IMAGE [COMMAND [ARG…]]`.
    pub usage: &'static str,
    pub summary: &'static str,
    pub examples: &'static [&'static str],
    pub operand: Operand,
    /// How many operands at least and at most.
    pub operands: (usize, usize),
    /// Flags end at the first operand; what follows is another program's.
    pub trailing: bool,
    pub flags: fn() -> Vec<&'static FlagSpec>,
    pub run: fn(&Invocation) -> Outcome,
}

/// No upper bound on operands.
pub const MANY: usize = usize::MAX;
