//! The progress of a build, in the plain form of BuildKit: each step has a number, under which its
//! output and its end are printed (`#5 [2/4] RUN make`, `#5 0.241 cc -c a.c`, `#5 DONE 1.3s`). A step's
//! output is cut into lines; a line without an end is printed when the step ends. Nothing is printed
//! for a quiet build.

use std::cell::{Cell, RefCell};
use std::time::Instant;

/// The longest line of output that is held back until it ends.
const MAX_LINE: usize = 4096;

/// Where a build prints its progress.
pub struct Report<'a> {
    print: &'a dyn Fn(&str),
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
    /// A report that gives each text to `print`.
    pub fn new(print: &'a dyn Fn(&str)) -> Report<'a> {
        Report { print, last: Cell::new(0) }
    }

    /// Starts a step.
    pub fn begin(&'a self, title: &str) -> Vertex<'a> {
        let number = self.number();
        let title = title.lines().next().unwrap_or_default();
        (self.print)(&format!("#{number} {title}\n"));
        Vertex { report: self, number, begun: Instant::now(), partial: RefCell::default() }
    }

    /// The next number of a step.
    pub fn number(&self) -> usize {
        self.last.set(self.last.get() + 1);
        self.last.get()
    }

    /// Prints a text of several lines as it is.
    pub fn text(&self, text: &str) {
        (self.print)(text);
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
        self.note(&format!("{seconds:.3} {line}"));
    }

    /// Prints a line under the step's number.
    pub fn note(&self, text: &str) {
        (self.report.print)(&format!("#{} {text}\n", self.number));
    }

    /// Ends the step.
    pub fn done(self) {
        self.flush();
        self.note(&format!("DONE {:.1}s\n", self.begun.elapsed().as_secs_f64()));
    }

    /// Ends the step: its layer was in the cache.
    pub fn cached(self) {
        self.note("CACHED\n");
    }

    /// Ends the step with an error.
    pub fn failed(self, error: &str) {
        self.flush();
        self.note(&format!("ERROR: {error}\n"));
    }

    fn flush(&self) {
        let partial = self.partial.take();
        if !partial.is_empty() {
            self.line(&partial);
        }
    }
}
