//! The lines of a Dockerfile: parser directives, comments, continuations, heredocs and flags
//! (docs.docker.com/reference/dockerfile, "Format", "Parser directives", "Here-documents").
//!
//! Directives (`# escape=`) come before everything else. A line that ends in one escape character
//! continues on the next line. Comments and empty lines in between are skipped. RUN, COPY and ADD
//! may have heredocs (`<<EOF`, `<<-EOF`, `<<"EOF"`), whose content is the lines up to the heredoc's
//! name. `instruction` parses the arguments after the flags.

use super::{Mistake, Place};
use crate::words::split_raw;

/// The most heredocs of one instruction.
const MAX_HEREDOCS: usize = 100;

/// A Dockerfile as a list of instructions.
#[derive(Debug)]
pub struct Lines {
    /// `\`, or what `# escape=` sets.
    pub escape: char,
    /// The value of `# syntax=`: the name of a frontend.
    pub syntax: Option<String>,
    /// The value of `# check=`.
    pub check: Option<String>,
    pub lines: Vec<Line>,
}

/// One instruction with its continuation lines joined.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    pub place: Place,
    /// The keyword in upper case.
    pub keyword: String,
    /// The flags in order, each as its name and value. The value is `None` if the flag has no `=`.
    pub flags: Vec<(String, Option<String>)>,
    /// The text after the flags, without leading and trailing blanks.
    pub rest: String,
    pub heredocs: Vec<Heredoc>,
}

/// A heredoc: the lines between `<<NAME` and `NAME`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Heredoc {
    pub name: String,
    /// True if the name is not quoted. COPY and ADD then replace variables in the content.
    pub expands: bool,
    pub content: String,
    /// The content as the Dockerfile has it, with the tabs that `<<-` removes.
    pub raw: String,
}

impl Line {
    /// Returns the instruction as one line.
    pub fn text(&self) -> String {
        let mut text = self.keyword.clone();
        for (name, value) in &self.flags {
            text.push_str(&format!(" --{name}"));
            if let Some(value) = value {
                text.push_str(&format!("={value}"));
            }
        }
        text.push(' ');
        text.push_str(&self.rest);
        text
    }
}

impl Lines {
    /// Reads all instructions of `text`. Without `directives`, lines such as `# escape=` are
    /// comments: an ONBUILD has no parser directives.
    pub fn read(text: &str, directives: bool) -> Result<Lines, Mistake> {
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let mut reader = Reader {
            rest: text.split('\n').map(|line| line.strip_suffix('\r').unwrap_or(line)).collect(),
            next: 0,
            escape: '\\',
            syntax: None,
            check: None,
        };
        if text.contains('\0') {
            let at = text.lines().position(|line| line.contains('\0')).unwrap_or(0) + 1;
            let place = Place { first: at, last: at };
            return Err(Mistake::new(place, "a NUL byte; a Dockerfile is text"));
        }
        if directives {
            reader.directives()?;
        }
        let mut lines = Vec::new();
        while let Some((place, text)) = reader.logical_line() {
            lines.push(reader.line(place, text)?);
        }
        let Reader { escape, syntax, check, .. } = reader;
        Ok(Lines { escape, syntax, check, lines })
    }
}

struct Reader<'a> {
    rest: Vec<&'a str>,
    next: usize,
    escape: char,
    syntax: Option<String>,
    check: Option<String>,
}

impl Reader<'_> {
    /// Reads the directives `# name=value` at the start of the text.
    fn directives(&mut self) -> Result<(), Mistake> {
        let mut seen = Vec::new();
        while let Some(line) = self.rest.get(self.next) {
            let Some((name, value)) = directive(line) else { break };
            let place = Place { first: self.next + 1, last: self.next + 1 };
            if seen.contains(&name) {
                return Err(Mistake::new(place, format!("a second directive '{name}'")));
            }
            match (name.as_str(), value) {
                ("escape", "\\") => {}
                ("escape", "`") => self.escape = '`',
                ("escape", other) => {
                    return Err(Mistake::new(
                        place,
                        format!("bad escape character '{other}'; it is \\ or `"),
                    ));
                }
                ("syntax", frontend) => self.syntax = Some(frontend.to_owned()),
                ("check", options) => self.check = Some(options.to_owned()),
                // A line with any other name is a comment, which ends the directives.
                _ => break,
            }
            seen.push(name);
            self.next += 1;
        }
        Ok(())
    }

    /// Returns the next instruction with its continuation lines joined, and its place.
    fn logical_line(&mut self) -> Option<(Place, String)> {
        loop {
            let first = self.next + 1;
            let line = self.rest.get(self.next)?;
            self.next += 1;
            if is_comment(line) {
                continue;
            }
            let (mut text, mut goes_on) = self.continuation(line.trim_start());
            if goes_on && text.is_empty() {
                continue;
            }
            let mut last = first;
            while goes_on && let Some(line) = self.rest.get(self.next) {
                self.next += 1;
                if is_comment(line) || line.trim().is_empty() {
                    continue;
                }
                let (more, again) = self.continuation(line);
                text.push_str(&more);
                (goes_on, last) = (again, self.next);
            }
            let text = text.trim().to_owned();
            if !text.is_empty() {
                return Some((Place { first, last }, text));
            }
        }
    }

    /// Returns the line, and whether it continues on the next line. If it does, the escape
    /// character at its end is removed.
    fn continuation(&self, line: &str) -> (String, bool) {
        let trimmed = line.trim_end_matches([' ', '\t']);
        match trimmed.strip_suffix(self.escape) {
            // Two escape characters at the end are literal, not a continuation.
            Some(before) if !before.ends_with(self.escape) => (before.to_owned(), true),
            _ => (line.to_owned(), false),
        }
    }

    fn line(&mut self, place: Place, text: String) -> Result<Line, Mistake> {
        let (keyword, rest) = text.split_once(char::is_whitespace).unwrap_or((&text, ""));
        let keyword = keyword.to_ascii_uppercase();
        let (flags, rest) = self.flags(rest.trim());
        let mut line = Line { place, keyword, flags, rest: rest.to_owned(), heredocs: Vec::new() };
        let mut inner = line.rest.as_str();
        let mut taker = line.keyword.clone();
        if taker == "ONBUILD" {
            let (next, rest) = inner.split_once(char::is_whitespace).unwrap_or((inner, ""));
            (taker, inner) = (next.to_ascii_uppercase(), self.flags(rest.trim()).1);
        }
        let takes = matches!(taker.as_str(), "RUN" | "COPY" | "ADD");
        let is_list = crate::image::instruction::json_words(inner).is_ok();
        if takes && !is_list {
            line.heredocs = self.heredocs(inner, &mut line.place)?;
        }
        Ok(line)
    }

    /// Returns the flags at the start of an instruction's arguments, and the text after them.
    fn flags<'t>(&self, rest: &'t str) -> (Vec<(String, Option<String>)>, &'t str) {
        let mut flags = Vec::new();
        let mut rest = rest;
        while rest.starts_with("--") {
            let Some(&word) = split_raw(rest, self.escape).first() else { break };
            rest = rest[word.len()..].trim_start();
            if word == "--" {
                break;
            }
            let word = &word[2..];
            let (name, value) = word.split_once('=').map_or((word, None), |(n, v)| (n, Some(v)));
            flags.push((name.to_owned(), value.map(|value| unquoted(value, self.escape))));
        }
        (flags, rest)
    }

    /// Reads the heredocs that `text` names from the next lines. Extends `place` to the last line
    /// of the heredocs.
    fn heredocs(&mut self, text: &str, place: &mut Place) -> Result<Vec<Heredoc>, Mistake> {
        let mut heredocs = Vec::new();
        for word in split_raw(text, self.escape) {
            let Some(HeredocStart { name, expands, strips_tabs }) = heredoc_start(word) else {
                continue;
            };
            if heredocs.len() == MAX_HEREDOCS {
                return Err(Mistake::new(*place, format!("more than {MAX_HEREDOCS} heredocs")));
            }
            let mut raw = String::new();
            loop {
                let Some(line) = self.rest.get(self.next) else {
                    let message = format!("the heredoc '{name}' has no end; add a line '{name}'");
                    return Err(Mistake::new(*place, message));
                };
                self.next += 1;
                let end = if strips_tabs { line.trim_start_matches('\t') } else { line };
                if end == name {
                    break;
                }
                raw.push_str(line);
                raw.push('\n');
            }
            let content = if strips_tabs {
                raw.lines().map(|line| format!("{}\n", line.trim_start_matches('\t'))).collect()
            } else {
                raw.clone()
            };
            heredocs.push(Heredoc { name, expands, content, raw });
        }
        if !heredocs.is_empty() {
            place.last = self.next;
        }
        Ok(heredocs)
    }
}

/// The word that starts a heredoc: `<<NAME`, `<<-NAME`, or a quoted name.
pub struct HeredocStart {
    name: String,
    /// True if the name has no quotes and no escapes.
    expands: bool,
    /// Whether tabs at the start of the lines are removed: `<<-`.
    strips_tabs: bool,
}

/// Parses the word that starts a heredoc. Returns `None` for any other word.
pub fn heredoc_start(word: &str) -> Option<HeredocStart> {
    let rest = word.trim_start_matches(|c: char| c.is_ascii_digit()).strip_prefix("<<")?;
    let (name, strips_tabs) = rest.strip_prefix('-').map_or((rest, false), |rest| (rest, true));
    if name.contains('<') {
        return None;
    }
    let plain = unquoted(name, '\\');
    let expands = plain == name;
    let is_name = !plain.is_empty() && !plain.contains(|c: char| c.is_whitespace() || c == '/');
    is_name.then_some(HeredocStart { name: plain, expands, strips_tabs })
}

/// Removes quotes and escapes from the text. Variables are not replaced.
fn unquoted(text: &str, escape: char) -> String {
    let (mut plain, mut quote) = (String::new(), None);
    let mut characters = text.chars();
    while let Some(c) = characters.next() {
        match (c, quote) {
            ('"' | '\'', None) => quote = Some(c),
            (c, Some(open)) if c == open => quote = None,
            (c, None | Some('"')) if c == escape => plain.extend(characters.next()),
            (c, _) => plain.push(c),
        }
    }
    plain
}

fn is_comment(line: &str) -> bool {
    line.trim_start().starts_with('#')
}

/// Parses `# name = value`. Returns the name in lower case.
fn directive(line: &str) -> Option<(String, &str)> {
    let (name, value) = line.trim_start().strip_prefix('#')?.split_once('=')?;
    let (name, value) = (name.trim(), value.trim());
    let is_name = name.starts_with(|c: char| c.is_ascii_alphabetic())
        && name.chars().all(|c| c.is_ascii_alphanumeric());
    (is_name && !value.is_empty()).then(|| (name.to_ascii_lowercase(), value))
}
