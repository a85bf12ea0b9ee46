//! The progress of a build: what its steps begin, print and end with, as messages.
//!
//! A build and its stages run in processes of their own, so a message is also one line in a pipe: a letter
//! for its kind, the number of the step, the text. A step's output is cut into lines; a line without an end
//! is sent when the step ends. How messages look is for whoever shows them, a `Show`.

use std::cell::{Cell, RefCell};
use std::time::Instant;

/// The longest line of output that is held back until it ends.
const MAX_LINE: usize = 4096;

/// What a message is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A step begins; the text is its title.
    Began,
    /// A line that the step's command printed, after the seconds since the step began.
    Output,
    /// A line about the step.
    Note,
    /// The step ended after so many seconds.
    Done,
    /// The step's layer was in the cache.
    Cached,
    /// The step failed; the text says why.
    Failed,
    /// A line about the build as a whole. It has no step.
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
    /// Of the step, from 1.
    pub number: usize,
    /// One line, without its end.
    pub text: &'a str,
}

impl<'a> Message<'a> {
    /// The message of a line in a pipe.
    pub fn parse(line: &'a str) -> Option<Message<'a>> {
        let mut parts = line.splitn(3, ' ');
        let (kind, number, text) = (parts.next()?, parts.next()?, parts.next()?);
        let (kind, _) = LETTERS.iter().find(|(_, letter)| kind.chars().eq([*letter]))?;
        Some(Message { kind: *kind, number: number.parse().ok()?, text })
    }

    /// The line in a pipe. A zero byte ends the messages there.
    pub fn to_line(self) -> String {
        let letter = LETTERS.iter().find(|(kind, _)| *kind == self.kind).map_or('t', |(_, l)| *l);
        format!("{letter} {} {}\n", self.number, self.text.replace('\0', ""))
    }
}

/// What shows the messages of a build.
pub trait Show {
    /// Shows a message.
    fn message(&mut self, message: Message<'_>);

    /// Whether [`Show::tick`] is to be called as time passes.
    fn is_live(&self) -> bool {
        false
    }

    /// Shows the time that has passed.
    fn tick(&mut self) {}

    /// The build has ended.
    fn end(&mut self) {}
}

/// Where a build reports.
pub struct Report<'a> {
    send: &'a dyn Fn(Message<'_>),
    last: Cell<usize>,
}

/// One step in the report.
pub struct Vertex<'a> {
    report: &'a Report<'a>,
    number: usize,
    begun: Instant,
    partial: RefCell<Vec<u8>>,
}

impl<'a> Report<'a> {
    /// A report that gives each message to `send`.
    pub fn new(send: &'a dyn Fn(Message<'_>)) -> Report<'a> {
        Report { send, last: Cell::new(0) }
    }

    /// Starts a step.
    pub fn begin(&'a self, title: &str) -> Vertex<'a> {
        let number = self.number();
        let vertex =
            Vertex { report: self, number, begun: Instant::now(), partial: RefCell::default() };
        vertex.send(Kind::Began, title);
        vertex
    }

    /// The next number of a step.
    pub fn number(&self) -> usize {
        self.last.set(self.last.get() + 1);
        self.last.get()
    }

    /// Reports a text of several lines.
    pub fn text(&self, text: &str) {
        text.lines().for_each(|text| self.pass(Message { kind: Kind::Text, number: 0, text }));
    }

    /// Reports a message of another process.
    pub fn pass(&self, message: Message<'_>) {
        (self.send)(message);
    }
}

impl Vertex<'_> {
    /// Takes output of the step's command.
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
        let seconds = self.begun.elapsed().as_secs_f64();
        let line = String::from_utf8_lossy(line);
        // Escape sequences of a foreign program must not reach the terminal.
        let line: String = line.chars().filter(|c| !c.is_control() || *c == '\t').collect();
        self.send(Kind::Output, &format!("{seconds:.3} {line}"));
    }

    /// Reports a line about the step.
    pub fn note(&self, text: &str) {
        self.send(Kind::Note, text);
    }

    /// Ends the step.
    pub fn done(self) {
        self.flush();
        self.send(Kind::Done, &format!("{:.1}", self.begun.elapsed().as_secs_f64()));
    }

    /// Ends the step: its layer was in the cache.
    pub fn cached(self) {
        self.send(Kind::Cached, "");
    }

    /// Ends the step with an error.
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
    fn a_message_is_one_line_and_the_same_when_it_is_read() {
        for (kind, _) in LETTERS {
            let message = Message { kind, number: 12, text: "a  b " };
            assert_eq!(Message::parse(message.to_line().trim_end_matches('\n')), Some(message));
        }
        for line in ["", "b", "b 1", "x 1 a", "b x a", "bb 1 a"] {
            assert_eq!(Message::parse(line), None, "{line}");
        }
    }
}
