//! The progress of a build: messages about the start, the output and the end of its steps.
//!
//! A build runs in a process of its own, and so does each of several stages that run at the same
//! time. So a message can also be one line in a pipe. The line has a letter for the message's kind,
//! the number of the step, and the text. The output of a step is cut into lines. A last line
//! without a newline is sent when the step ends. A `Show` decides how messages look; `cli` has the
//! implementations.

use std::cell::{Cell, RefCell};
use std::time::Instant;

use crate::error::Result;

/// The most bytes of output that are held back until a line ends. A longer line is sent in parts.
const MAX_LINE: usize = 4096;

/// The kind of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A step starts. The text is its title.
    Began,
    /// A line that the step's command printed. The text has the seconds since the step's start, a
    /// space, and the line.
    Output,
    /// A note of mydocker about the step.
    Note,
    /// The step ended. The text is its duration in seconds.
    Done,
    /// The step's layer was in the cache.
    Cached,
    /// The step failed. The text is the error.
    Failed,
    /// A line that is not shown as part of a step, such as a line of an excerpt of the Dockerfile.
    Text,
}

const LETTERS: [(Kind, char); 7] = [
    (Kind::Began, 'b'),
    (Kind::Output, 'o'),
    (Kind::Note, 'n'),
    (Kind::Done, 'd'),
    (Kind::Cached, 'c'),
    (Kind::Failed, 'f'),
    (Kind::Text, 't'),
];

/// One line of the progress.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Message<'a> {
    pub kind: Kind,
    /// The number of the step, from 1. 0 for a message without a step.
    pub number: usize,
    /// One line without its newline.
    pub text: &'a str,
}

impl<'a> Message<'a> {
    /// Parses a line from a pipe. Returns `None` if the line is no message.
    pub fn parse(line: &'a str) -> Option<Message<'a>> {
        let mut parts = line.splitn(3, ' ');
        let (kind, number, text) = (parts.next()?, parts.next()?, parts.next()?);
        let (kind, _) = LETTERS.iter().find(|(_, letter)| kind.chars().eq([*letter]))?;
        Some(Message { kind: *kind, number: number.parse().ok()?, text })
    }

    /// Returns the message as a line for a pipe. Zero bytes are removed, because in the pipe a zero
    /// byte ends the messages.
    pub fn to_line(self) -> String {
        let letter = LETTERS.iter().find(|(kind, _)| *kind == self.kind).map_or('t', |(_, l)| *l);
        format!("{letter} {} {}\n", self.number, self.text.replace('\0', ""))
    }
}

/// Shows the messages of a build to the user.
pub trait Show {
    /// Shows a message.
    fn message(&mut self, message: Message<'_>);

    /// Reports whether the caller must call [`Show::tick`] regularly.
    fn is_live(&self) -> bool {
        false
    }

    /// Updates the elapsed time that is shown.
    fn tick(&mut self) {}

    /// Ends the display: the build has ended.
    fn end(&mut self) {}
}

/// The receiver of a build's messages.
pub struct Report<'a> {
    send: &'a dyn Fn(Message<'_>),
    last: Cell<usize>,
}

/// One running step in the report. BuildKit calls a step a vertex.
pub struct Vertex<'a> {
    report: &'a Report<'a>,
    number: usize,
    started: Instant,
    partial: RefCell<Vec<u8>>,
}

impl<'a> Report<'a> {
    /// Makes a report that passes each message to `send`.
    pub fn new(send: &'a dyn Fn(Message<'_>)) -> Report<'a> {
        Report { send, last: Cell::new(0) }
    }

    /// Reports the start of a step with this title.
    pub fn begin(&'a self, title: &str) -> Vertex<'a> {
        let number = self.number();
        let vertex =
            Vertex { report: self, number, started: Instant::now(), partial: RefCell::default() };
        vertex.send(Kind::Began, title);
        vertex
    }

    /// Carries out `work` as a step with this title, and reports whether it succeeds or fails.
    pub fn step<T>(
        &'a self,
        title: &str,
        work: impl FnOnce(&Vertex<'a>) -> Result<T>,
    ) -> Result<T> {
        let vertex = self.begin(title);
        let result = work(&vertex);
        match &result {
            Ok(_) => vertex.done(),
            Err(error) => vertex.failed(&error.to_string()),
        }
        result
    }

    /// Returns the next free number for a step.
    pub fn number(&self) -> usize {
        self.last.set(self.last.get() + 1);
        self.last.get()
    }

    /// Reports a text of several lines.
    pub fn text(&self, text: &str) {
        text.lines().for_each(|text| self.pass(Message { kind: Kind::Text, number: 0, text }));
    }

    /// Passes on a message of this or of another process.
    pub fn pass(&self, message: Message<'_>) {
        (self.send)(message);
    }
}

impl Vertex<'_> {
    /// Reports output of the step's command, line by line.
    pub fn output(&self, data: &[u8]) {
        let mut partial = self.partial.borrow_mut();
        for &byte in data {
            if byte == b'\n' || partial.len() == MAX_LINE {
                self.line(&partial);
                partial.clear();
            }
            if byte != b'\n' {
                partial.push(byte);
            }
        }
    }

    fn line(&self, line: &[u8]) {
        let seconds = self.started.elapsed().as_secs_f64();
        let line = String::from_utf8_lossy(line);
        // Remove control characters: escape sequences of the step's program must not reach the
        // user's terminal.
        let line: String = line.chars().filter(|c| !c.is_control() || *c == '\t').collect();
        self.send(Kind::Output, &format!("{seconds:.3} {line}"));
    }

    /// Reports a line about the step.
    pub fn note(&self, text: &str) {
        self.send(Kind::Note, text);
    }

    /// Reports that the step has ended.
    pub fn done(self) {
        self.flush();
        self.send(Kind::Done, &format!("{:.1}", self.started.elapsed().as_secs_f64()));
    }

    /// Reports that the step's layer was in the cache.
    pub fn cached(self) {
        self.send(Kind::Cached, "");
    }

    /// Reports that the step has failed.
    pub fn failed(self, error: &str) {
        self.flush();
        self.send(Kind::Failed, error);
    }

    fn flush(&self) {
        let partial = self.partial.take();
        if !partial.is_empty() {
            self.line(&partial);
        }
    }

    fn send(&self, kind: Kind, text: &str) {
        let text = text.lines().next().unwrap_or_default();
        self.report.pass(Message { kind, number: self.number, text });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_survives_the_way_through_a_pipe() {
        for (kind, _) in LETTERS {
            let message = Message { kind, number: 12, text: "a  b " };
            assert_eq!(Message::parse(message.to_line().trim_end_matches('\n')), Some(message));
        }
        for line in ["", "b", "b 1", "x 1 a", "b x a", "bb 1 a"] {
            assert_eq!(Message::parse(line), None, "{line}");
        }
    }
}
