//! The Dockerfile language, version 1: from text to stages of instructions.
//!
//! `lexer` joins lines and reads directives and heredocs, `instruction` reads what each keyword takes,
//! and this file puts the instructions into stages. Variables are not replaced here, because their
//! values are known only during the build; `words` does that for each step. Nothing is executed and no
//! file is read. The reference is docs.docker.com/reference/dockerfile; where it is silent, BuildKit's
//! `frontend/dockerfile/parser` decides.

pub mod instruction;
pub mod lexer;

use instruction::Instruction;
use lexer::{Line, Lines};

use crate::error::{Error, Result};

/// The longest Dockerfile that is read.
pub const MAX_DOCKERFILE: u64 = 1 << 20;
/// Lines that an excerpt shows before and after the wrong ones.
const AROUND: usize = 2;

/// A Dockerfile, parsed.
#[derive(Debug)]
pub struct Dockerfile {
    pub source: Source,
    /// `ARG` before the first `FROM`, in order.
    pub arguments: Vec<(String, Option<String>)>,
    pub stages: Vec<Stage>,
    pub escape: char,
    /// The frontend that `# syntax=` names.
    pub syntax: Option<String>,
    /// The value of `# check=`: rules to skip, and whether warnings are errors.
    pub check: Option<String>,
}

/// One `FROM` and what follows it.
#[derive(Debug)]
pub struct Stage {
    pub from: Step,
    /// As given, variables not replaced.
    pub image: String,
    pub platform: Option<String>,
    /// In small letters.
    pub name: Option<String>,
    pub steps: Vec<Step>,
}

/// An instruction and where it stands.
#[derive(Clone, Debug)]
pub struct Step {
    pub instruction: Instruction,
    pub place: Place,
    /// The instruction in one line, as progress shows it.
    pub text: String,
}

/// The first and the last line, from 1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Place {
    pub first: usize,
    pub last: usize,
}

/// The text of a Dockerfile, for messages.
#[derive(Debug)]
pub struct Source {
    name: String,
    lines: Vec<String>,
}

/// What is wrong, and where.
#[derive(Debug)]
pub struct Mistake {
    pub place: Place,
    pub error: Error,
}

impl Mistake {
    /// A mistake in the lines of `place`.
    pub fn new(place: Place, message: impl Into<String>) -> Mistake {
        Mistake { place, error: Error::new(message) }
    }
}

impl Source {
    /// The text that messages call `name`.
    pub fn new(name: &str, text: &str) -> Source {
        Source { name: name.to_owned(), lines: text.lines().map(str::to_owned).collect() }
    }

    /// A line, from 1.
    pub fn line(&self, number: usize) -> &str {
        self.lines.get(number - 1).map_or("", String::as_str)
    }

    /// The one-line error of a mistake, under the file's name and line.
    pub fn error(&self, mistake: Mistake) -> Error {
        let place = format!("{}:{}", self.name, mistake.place.first);
        let Err(error) = crate::error::Context::context(Err::<(), _>(mistake.error), || place)
        else {
            unreachable!("the result is an error")
        };
        error
    }

    /// The lines of a mistake with those around, as BuildKit shows them.
    pub fn excerpt(&self, place: Place) -> String {
        let rule = "--------------------\n";
        let mut text = format!("{}:{}\n{rule}", self.name, place.first);
        let first = place.first.saturating_sub(AROUND).max(1);
        let last = (place.last + AROUND).min(self.lines.len());
        for number in first..=last {
            let mark = if (place.first..=place.last).contains(&number) { ">>>" } else { "   " };
            let line: String =
                self.lines[number - 1].chars().filter(|c| !c.is_control() || *c == '\t').collect();
            text.push_str(format!("{number:4} | {mark} {line}").trim_end());
            text.push('\n');
        }
        text + rule
    }
}

impl Dockerfile {
    /// Parses `text`, which messages call `name`.
    pub fn parse(name: &str, text: &str) -> Result<Dockerfile, (Source, Mistake)> {
        let source = Source::new(name, text);
        match parse(text) {
            Ok((lines, arguments, stages)) => Ok(Dockerfile {
                source,
                arguments,
                stages,
                escape: lines.escape,
                syntax: lines.syntax,
                check: lines.check,
            }),
            Err(mistake) => Err((source, mistake)),
        }
    }

    /// Whether a RUN has a mount of type cache.
    pub fn has_cache_mounts(&self) -> bool {
        self.stages.iter().flat_map(|stage| &stage.steps).any(|step| match &step.instruction {
            Instruction::Run(run) => run.mounts.iter().any(|mount| mount.contains("type=cache")),
            _ => false,
        })
    }

    /// Parses the instruction of an `ONBUILD`.
    pub fn parse_trigger(text: &str) -> Result<Step> {
        let lines = Lines::read(text, false).map_err(|mistake| mistake.error)?;
        match lines.lines.as_slice() {
            [line] => step(line, lines.escape).map_err(|mistake| mistake.error),
            _ => Err(Error::new(format!("'{text}' should be one instruction"))),
        }
    }
}

type Parsed = (Lines, Vec<(String, Option<String>)>, Vec<Stage>);

fn parse(text: &str) -> Result<Parsed, Mistake> {
    let mut lines = Lines::read(text, true)?;
    let (mut arguments, mut stages) = (Vec::new(), Vec::<Stage>::new());
    for line in std::mem::take(&mut lines.lines) {
        let step = step(&line, lines.escape)?;
        match (step.instruction.clone(), stages.last_mut()) {
            (Instruction::From { image, platform, name }, _) => {
                let twice = |stage: &Stage| name.is_some() && stage.name == name;
                if stages.iter().any(twice) {
                    let name = name.unwrap_or_default();
                    return Err(Mistake::new(
                        step.place,
                        format!("two stages have the name '{name}'; choose another name"),
                    ));
                }
                stages.push(Stage { from: step, image, platform, name, steps: Vec::new() });
            }
            (Instruction::Arg(pairs), None) => arguments.extend(pairs),
            (_, None) => {
                return Err(Mistake::new(
                    step.place,
                    format!(
                        "{} stands before the first FROM; only ARG may stand there",
                        line.keyword
                    ),
                ));
            }
            (_, Some(stage)) => stage.steps.push(step),
        }
    }
    if stages.is_empty() {
        let last = text.lines().count().max(1);
        let message = if text.trim().is_empty() {
            "the file is empty"
        } else {
            "there is no FROM; begin with FROM and the image to start from"
        };
        return Err(Mistake::new(Place { first: last, last }, message));
    }
    Ok((lines, arguments, stages))
}

fn step(line: &Line, escape: char) -> Result<Step, Mistake> {
    let instruction =
        Instruction::parse(line, escape).map_err(|error| Mistake { place: line.place, error })?;
    Ok(Step { instruction, place: line.place, text: line.text() })
}

#[cfg(any(test, fuzzing))]
pub mod fuzz;
#[cfg(test)]
mod tests;
