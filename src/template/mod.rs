//! Go's text/template for Docker's `--format`: `lexer` makes tokens, `parser` makes a tree of the
//! tokens, and `eval` makes the text from the tree and a `Value`.
//!
//! Most errors have Docker's words and the place in the template. The nesting, the steps and the
//! bytes of the output are bounded. `Label` is the only method.
//!
//! No crate fits: gtmpl 0.7 and gotmpl 0.6 lack Docker's functions and errors, and the documents of
//! `inspect` would have to be converted to the crate's own type.

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

/// The longest template, in bytes.
const MAX_SOURCE: usize = 1 << 20;

/// A parsed template.
#[derive(Debug)]
pub struct Template {
    /// The name in errors: `version` for that command, as in Docker, and otherwise empty.
    name: &'static str,
    source: String,
    trees: parser::Trees,
}

impl Template {
    /// Parses a template. Fails on a syntax error, and if the template is too long or nested too
    /// deep.
    pub fn parse(source: &str) -> Result<Template> {
        Template::parse_named("", source)
    }

    /// Like [`Template::parse`], with a name for errors.
    pub fn parse_named(name: &'static str, source: &str) -> Result<Template> {
        if source.len() > MAX_SOURCE {
            return Err(Error::new("template parsing error: the template is too long"));
        }
        let trees = parser::parse(source).map_err(|(at, message)| {
            let (line, _) = place(source, at);
            Error::new(format!("template parsing error: template: {name}:{line}: {message}"))
        })?;
        Ok(Template { name, source: source.to_owned(), trees })
    }

    /// Returns the text for `value`, as a listing prints it. Fails if the template does not fit
    /// `value` or exceeds a bound.
    pub fn render(&self, value: &Value) -> Result<String> {
        self.evaluation(value.clone()).run().map_err(wrong)
    }

    /// Like [`Template::render`], for `info` and `version`, whose errors start with the place.
    pub fn render_facts(&self, value: &Value) -> Result<String> {
        self.evaluation(value.clone()).run().map_err(|fault| Error::new(fault.message))
    }

    /// Returns a table's row of headers, and the number of columns. As in Docker, functions such as
    /// `upper` leave the headers as they are, and the row ends at the first fault. After a fault
    /// the number is `None`.
    pub fn render_headers(&self, headers: &Value) -> (String, Option<usize>) {
        let (text, fault) = self.headers_of(headers).run_to_fault();
        let columns = fault.is_none().then(|| text.split('\t').count());
        (text, columns)
    }

    /// Fails if the evaluation over `headers` stops at a field that `headers` lacks. Leaves other
    /// faults to `render`, because they may depend on the rows.
    pub fn check_fields(&self, headers: &Value) -> Result<()> {
        match self.headers_of(headers).run() {
            Err(fault) if fault.is_unknown_field => Err(wrong(fault)),
            _ => Ok(()),
        }
    }

    fn headers_of(&self, headers: &Value) -> eval::Evaluation<'_> {
        let mut evaluation = self.evaluation(headers.clone());
        evaluation.headers = true;
        evaluation
    }

    /// Returns the text for `value`, as `inspect` prints it. After an error the template runs again
    /// over JSON's types, and a missing key is then an error.
    pub fn render_document(&self, value: &Value) -> Result<String> {
        self.evaluation(value.clone()).run().or_else(|_| {
            let mut strict = self.evaluation(value.as_json());
            strict.strict = true;
            strict.run().map_err(wrong)
        })
    }

    fn evaluation(&self, root: Value) -> eval::Evaluation<'_> {
        eval::Evaluation::new(self.name, &self.source, &self.trees, root)
    }
}

fn wrong(fault: eval::Fault) -> Error {
    Error::new(format!("template parsing error: {}", fault.message))
}

/// Returns the line of the byte `at`, counted from 1, and its column in bytes, counted from 0.
fn place(source: &str, at: usize) -> (usize, usize) {
    let before = &source.as_bytes()[..at.min(source.len())];
    let line = 1 + before.iter().filter(|byte| **byte == b'\n').count();
    let start = before.iter().rposition(|byte| *byte == b'\n').map_or(0, |newline| newline + 1);
    (line, before.len() - start)
}

#[cfg(test)]
mod tests;
