//! Go's text/template, as Docker's `--format` takes it: `lexer` → `parser` → `eval`, over `value`.
//!
//! Errors have Docker's words, with the place in the template. Levels, steps and bytes of a template
//! are bounded. It does not know Go's types: methods other than
//! `Label`, and functions as values, are missing.
//!
//! Why not a crate: gtmpl 0.7 brings five more crates, lacks `html` and `js`, and its value crate is
//! "passively maintained"; gotmpl 0.6 is a young port of 400 kB of source. Neither has Docker's
//! functions, its words for errors or bounds for a template of a stranger, and each has a value model
//! of its own beside the one that `inspect` prints.

#[cfg(any(test, fuzzing))]
pub mod fuzz;

mod eval;
mod float;
mod functions;
mod lexer;
mod literal;
mod parser;
mod printf;
mod value;

use crate::error::{Error, Result};

pub use value::{Struct, Value, omit_empty};

/// Longest template, in bytes.
const MAX_SOURCE: usize = 1 << 20;

/// A parsed template.
#[derive(Debug)]
pub struct Template {
    source: String,
    trees: parser::Trees,
}

impl Template {
    /// Parses a template. The error has Docker's words.
    pub fn parse(source: &str) -> Result<Template> {
        if source.len() > MAX_SOURCE {
            return Err(Error::new("template parsing error: the template is too long"));
        }
        let trees = parser::parse(source).map_err(|(at, message)| {
            let (line, _) = place(source, at);
            Error::new(format!("template parsing error: template: :{line}: {message}"))
        })?;
        Ok(Template { source: source.to_owned(), trees })
    }

    /// The text for `value`, as a listing prints it.
    pub fn render(&self, value: &Value) -> Result<String> {
        let evaluation = eval::Evaluation::new(&self.source, &self.trees, value.clone());
        evaluation.run().map_err(wrong)
    }

    /// The row of headers of a table: functions leave the headers as they are.
    pub fn render_headers(&self, headers: &Value) -> Result<String> {
        self.evaluate_headers(headers).map_err(wrong)
    }

    /// Fails if the template names a field that `headers` lacks. Other failures depend on the rows and
    /// come with them.
    pub fn check_fields(&self, headers: &Value) -> Result<()> {
        match self.evaluate_headers(headers) {
            Err(fault) if fault.is_unknown_field => Err(wrong(fault)),
            _ => Ok(()),
        }
    }

    fn evaluate_headers(&self, headers: &Value) -> std::result::Result<String, eval::Fault> {
        let mut evaluation = eval::Evaluation::new(&self.source, &self.trees, headers.clone());
        evaluation.headers = true;
        evaluation.run()
    }

    /// As `inspect` prints it: after an error the template runs again over JSON's types, where a missing key
    /// is an error.
    pub fn render_document(&self, value: &Value) -> Result<String> {
        let evaluation = eval::Evaluation::new(&self.source, &self.trees, value.clone());
        evaluation.run().or_else(|_| {
            let mut strict = eval::Evaluation::new(&self.source, &self.trees, value.as_json());
            strict.strict = true;
            strict.run().map_err(wrong)
        })
    }
}

fn wrong(fault: eval::Fault) -> Error {
    Error::new(format!("template parsing error: {}", fault.message))
}

/// Line from 1 and column from 0, in bytes.
fn place(source: &str, at: usize) -> (usize, usize) {
    let before = &source.as_bytes()[..at.min(source.len())];
    let line = 1 + before.iter().filter(|byte| **byte == b'\n').count();
    let start = before.iter().rposition(|byte| *byte == b'\n').map_or(0, |newline| newline + 1);
    (line, before.len() - start)
}

#[cfg(test)]
mod tests;
