//! The Dockerfile language, version 1: parses text into stages of instructions.
//!
//! `lexer` joins lines and reads directives and heredocs, `instruction` parses the arguments of
//! each keyword, and this file groups the instructions into stages. The parser replaces no
//! variables, because their values are known only during the build; `words` replaces them for each
//! step. The parser executes nothing and reads no file. The reference is
//! docs.docker.com/reference/dockerfile. Where it says nothing, BuildKit's
//! `frontend/dockerfile/parser` decides.

pub mod instruction;
pub mod lexer;

use instruction::Instruction;
use lexer::{Line, Lines};

use crate::error::{Error, Result};

/// The largest Dockerfile that is read, in bytes.
pub const MAX_DOCKERFILE: u64 = 1 << 20;
/// The number of lines that an excerpt shows before and after a mistake.
const AROUND: usize = 2;

/// A parsed Dockerfile.
#[derive(Debug)]
pub struct Dockerfile {
    /// The text, for excerpts in messages.
    pub source: Source,
    /// The ARGs before the first FROM, in order: name and default.
    pub arguments: Vec<(String, Option<String>)>,
    /// The stages in the order of their FROMs. There is at least one.
    pub stages: Vec<Stage>,
    /// `\`, or what `# escape=` sets.
    pub escape: char,
    /// The frontend that `# syntax=` names.
    pub syntax: Option<String>,
    /// The value of `# check=`: rules to skip, and whether warnings are errors.
    pub check: Option<String>,
}

/// One FROM and the instructions up to the next FROM.
#[derive(Debug)]
pub struct Stage {
    pub from: Step,
    /// The image or stage that FROM names, with variables not replaced.
    pub image: String,
    /// The value of `--platform`, with variables not replaced.
    pub platform: Option<String>,
    /// The name after AS, in lower case.
    pub name: Option<String>,
    /// The instructions after FROM.
    pub steps: Vec<Step>,
}

/// An instruction and its place in the file.
#[derive(Clone, Debug)]
pub struct Step {
    pub instruction: Instruction,
    pub place: Place,
    /// The instruction as one line, which the progress shows.
    pub text: String,
}

/// The first and the last line of an instruction, counted from 1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Place {
    pub first: usize,
    pub last: usize,
}

/// The text of a Dockerfile, for errors and excerpts.
#[derive(Debug)]
pub struct Source {
    name: String,
    lines: Vec<String>,
}

/// An error and its place in the Dockerfile.
#[derive(Debug)]
pub struct Mistake {
    pub place: Place,
    pub error: Error,
}

impl Mistake {
    /// Makes a mistake in the lines of `place`.
    pub fn new(place: Place, message: impl Into<String>) -> Mistake {
        Mistake { place, error: Error::new(message) }
    }
}

impl Source {
    /// Makes the source from `text`. Errors name the file as `name`.
    pub fn new(name: &str, text: &str) -> Source {
        Source { name: name.to_owned(), lines: text.lines().map(str::to_owned).collect() }
    }

    /// Returns line `number`, counted from 1. Returns an empty string after the last line.
    pub fn line(&self, number: usize) -> &str {
        self.lines.get(number - 1).map_or("", String::as_str)
    }

    /// Returns a mistake as the error `NAME:LINE: TEXT`.
    pub fn error(&self, mistake: Mistake) -> Error {
        let place = format!("{}:{}", self.name, mistake.place.first);
        let Err(error) = crate::error::Context::context(Err::<(), _>(mistake.error), || place)
        else {
            unreachable!("the result is an error")
        };
        error
    }

    /// Returns the lines of `place` and the lines around it, in BuildKit's format.
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
    /// Parses `text`. Errors name the file as `name`.
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

    /// Reports whether a `--mount` of a RUN has the text `type=cache`.
    pub fn has_cache_mounts(&self) -> bool {
        self.stages.iter().flat_map(|stage| &stage.steps).any(|step| match &step.instruction {
            Instruction::Run(run) => run.mounts.iter().any(|mount| mount.contains("type=cache")),
            _ => false,
        })
    }

    /// Parses the instruction of an ONBUILD. Fails unless `text` is exactly one valid instruction.
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
