//! The command line of the OCI runtime, as callers of runc and crun write it: `--flag VALUE`,
//! `--flag=VALUE` and short flags, in any order. If the operands contain a further command line, as
//! with `exec`, `ps` and the global flags, flags end at the first operand.

use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;

use lexopt::{Arg, Parser};

use crate::error::{Error, Result, fail};
use crate::raw;

/// A flag: its long name, its short letter (a space for none), and whether it takes a value.
pub type Flag = (&'static str, char, bool);

/// The flags and operands of a command line.
#[derive(Default)]
pub struct Args {
    flags: Vec<(&'static str, String)>,
    pub operands: Vec<String>,
}

impl Args {
    /// Parses flags and operands. With `stops`, everything after the first `stops` operands is an
    /// operand. Fails on an unknown flag or a missing value.
    pub fn parse(arguments: &[OsString], flags: &[Flag], stops: Option<usize>) -> Result<Args> {
        let mut parser = Parser::from_args(arguments.iter().cloned());
        let mut args = Args::default();
        let wrong = |error: lexopt::Error| Error::new(error.to_string());
        loop {
            if stops.is_some_and(|stops| args.operands.len() >= stops) {
                let rest = parser.raw_args().map_err(wrong)?;
                args.operands.extend(rest.map(|rest| raw::encode(rest.as_bytes())));
                return Ok(args);
            }
            let (typed, found) = match parser.next().map_err(wrong)? {
                None => return Ok(args),
                Some(Arg::Value(value)) => {
                    args.operands.push(raw::encode(value.as_bytes()));
                    continue;
                }
                Some(Arg::Long(name)) => {
                    (format!("--{name}"), flags.iter().find(|(long, ..)| *long == name))
                }
                Some(Arg::Short(letter)) => {
                    (format!("-{letter}"), flags.iter().find(|(_, short, _)| *short == letter))
                }
            };
            let Some((name, _, takes_value)) = found else { fail!("unknown flag {typed:?}") };
            let value = if *takes_value {
                raw::encode(parser.value().map_err(wrong)?.as_bytes())
            } else {
                // As in Go's flag package, a boolean may be `--flag=true` or `--flag=false`.
                parser
                    .optional_value()
                    .map_or_else(|| "true".to_owned(), |value| value.to_string_lossy().into_owned())
            };
            if *takes_value || value != "false" {
                args.flags.push((name, value));
            }
        }
    }

    /// The last value of a flag; `None` if the flag was not given.
    pub fn value(&self, name: &str) -> Option<&str> {
        self.values(name).last()
    }

    /// All values of a flag.
    pub fn values(&self, name: &str) -> impl Iterator<Item = &str> {
        self.flags.iter().filter(move |(known, _)| *known == name).map(|(_, value)| value.as_str())
    }

    /// Whether a flag was given. `--flag=false` counts as not given.
    pub fn has(&self, name: &str) -> bool {
        self.value(name).is_some()
    }

    /// The value of a flag as a number. Fails if the value is not a number.
    pub fn number(&self, name: &str) -> Result<Option<u32>> {
        let Some(text) = self.value(name) else { return Ok(None) };
        match text.parse() {
            Ok(number) => Ok(Some(number)),
            Err(_) => fail!("--{name} should be a number, not '{text}'"),
        }
    }

    /// The only operand, the container's id. Fails if there is none or more than one.
    pub fn id(&self) -> Result<&str> {
        match self.operands.as_slice() {
            [id] => Ok(id),
            [] => fail!("the container id is missing"),
            [_, extra, ..] => fail!("unexpected argument '{extra}'"),
        }
    }

    /// Returns the arguments of a command that takes only flags. Fails if there is an operand.
    pub fn without_operands(&self) -> Result<&Args> {
        match self.operands.first() {
            Some(extra) => fail!("unexpected argument '{extra}'"),
            None => Ok(self),
        }
    }
}
