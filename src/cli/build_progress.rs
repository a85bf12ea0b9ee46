//! Shows the messages of a build on stderr, in the two forms of BuildKit.
//!
//! Plain: each step has a number, which starts each line of the step (`#5 [2/4] RUN make`, `#5
//! 0.241 cc -c a.c`, `#5 DONE 1.3s`). If the output changes to another step, the title of that step
//! is printed again. Terminal: each step has a line with its state and its time, and the lines are
//! drawn again in place. Below the line of a running step are the last lines of the step's output.
//! Messages about the whole build and the output of a failed step are printed at the end. If the
//! terminal has too few rows, steps are left out until the end: first those that have ended, then
//! those that run.

use std::collections::VecDeque;
use std::fmt::Write as _;
use std::io::{self, IsTerminal, Write};
use std::time::{Duration, Instant};

use super::escape;
use super::output::print_error;
use super::style::{self, Style, has_cursor_codes};
use crate::build::report::{Kind, Message, Show};
use crate::sys::stdio::stderr;
use crate::tty::{columns, size};

const REDRAW: Duration = Duration::from_millis(100);
/// The number of output lines that are shown below a running step.
const OUTPUT_LINES: usize = 6;
/// The number of output lines that are kept for each step, to print them if the step fails. This is
/// also the number of notes that are kept for each step.
const KEPT_LINES: usize = 500;
/// The number of lines about the whole build that are kept for the end.
const MAX_TEXT: usize = 10_000;
/// The rows and columns to use when the terminal reports no size.
const DEFAULT_SIZE: (usize, usize) = (24, 80);

/// The form of the progress, as `--progress` names it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Form {
    /// Draws in place if stderr is a terminal, and NO_COLOR and TERM allow cursor codes. Otherwise
    /// the form is `Plain`.
    #[default]
    Auto,
    Plain,
    Quiet,
}

/// Returns a printer that shows progress in this form.
pub fn progress(form: Form) -> Box<dyn Show> {
    match form {
        Form::Quiet => Box::new(Quiet),
        Form::Auto if io::stderr().is_terminal() && has_cursor_codes() => {
            Box::new(Terminal::new(style::on_stderr()))
        }
        Form::Auto | Form::Plain => Box::new(Plain::default()),
    }
}

struct Quiet;

impl Show for Quiet {
    fn message(&mut self, _: Message<'_>) {}
}

#[derive(Default)]
struct Plain {
    /// The step whose line was printed last, unless that step has ended.
    shown: Option<usize>,
    /// The titles of the steps that have not ended.
    titles: Vec<(usize, String)>,
}

impl Plain {
    fn line(&mut self, message: Message<'_>) -> String {
        let Message { kind, number, text } = message;
        if kind == Kind::Text {
            return format!("{text}\n");
        }
        let mut line = String::new();
        if self.shown != Some(number) {
            if self.shown.is_some() {
                line.push('\n');
            }
            if let Some((_, title)) = self.titles.iter().find(|(known, _)| *known == number) {
                let _ = writeln!(line, "#{number} {title}");
            }
        }
        self.shown = Some(number);
        let (before, after) = match kind {
            Kind::Done => ("DONE ", "s\n"),
            Kind::Cached => ("CACHED", "\n"),
            Kind::Failed => ("ERROR: ", "\n"),
            _ => ("", ""),
        };
        let _ = writeln!(line, "#{number} {before}{text}{after}");
        if kind == Kind::Began {
            self.titles.push((number, text.to_owned()));
        } else if !after.is_empty() {
            self.titles.retain(|(known, _)| *known != number);
            self.shown = None;
        }
        line
    }
}

impl Show for Plain {
    fn message(&mut self, message: Message<'_>) {
        print_error(&self.line(message));
    }
}

/// A step on a terminal.
struct Step {
    number: usize,
    title: String,
    started: Instant,
    /// The duration as text, in seconds; `None` while the step runs.
    took: Option<String>,
    state: Kind,
    notes: Vec<String>,
    output: VecDeque<String>,
}

struct Terminal {
    colours: bool,
    started: Instant,
    steps: Vec<Step>,
    text: Vec<String>,
    /// The number of lines that the last drawing left on the terminal.
    drawn: usize,
    last: Option<Instant>,
}

impl Terminal {
    fn new(colours: bool) -> Terminal {
        let (steps, text) = (Vec::new(), Vec::new());
        Terminal { colours, started: Instant::now(), steps, text, drawn: 0, last: None }
    }

    fn take(&mut self, message: Message<'_>) {
        let Message { kind, number, text } = message;
        // A tab would move the cursor by a number of columns that `cut` does not know.
        let text = escape::line(&text.replace('\t', "    ")).into_owned();
        if kind == Kind::Text {
            if self.text.len() < MAX_TEXT {
                self.text.push(text);
            }
            return;
        }
        let Some(step) = self.steps.iter_mut().find(|step| step.number == number) else {
            return self.steps.push(Step {
                number,
                title: text,
                started: Instant::now(),
                took: None,
                state: Kind::Began,
                notes: Vec::new(),
                output: VecDeque::new(),
            });
        };
        match kind {
            Kind::Output => {
                if step.output.len() == KEPT_LINES {
                    step.output.pop_front();
                }
                step.output.push_back(text);
            }
            Kind::Note if step.notes.len() < KEPT_LINES => step.notes.push(text),
            Kind::Done | Kind::Cached | Kind::Failed => {
                step.state = kind;
                step.took = Some(match kind {
                    Kind::Done => text,
                    _ => format!("{:.1}", step.started.elapsed().as_secs_f64()),
                });
                if kind != Kind::Failed {
                    step.output = VecDeque::new();
                }
            }
            _ => {}
        }
    }

    /// The lines to draw on a terminal of this size. After the build's end `rows` is no limit.
    fn lines(&self, rows: usize, columns: usize, has_ended: bool) -> Vec<String> {
        let ended = self.steps.iter().filter(|step| step.took.is_some()).count();
        let seconds = self.started.elapsed().as_secs_f64();
        let end = if has_ended && ended == self.steps.len() { " FINISHED" } else { "" };
        let head = format!("[+] Building {seconds:.1}s ({ended}/{}){end}", self.steps.len());
        let mut parts: Vec<(bool, Vec<String>)> = Vec::new();
        for step in &self.steps {
            let mut lines = vec![self.step_line(step, columns)];
            lines.extend(step.notes.iter().map(|note| cut(&format!(" => => {note}"), columns)));
            if step.took.is_none() && !has_ended {
                let first = step.output.len().saturating_sub(OUTPUT_LINES);
                let output = step.output.range(first..);
                lines.extend(output.map(|line| cut(&format!(" => => # {line}"), columns)));
            }
            parts.push((step.took.is_some(), lines));
        }
        if !has_ended {
            // Two rows are for the head and for the cursor.
            let room = rows.saturating_sub(2);
            let mut count: usize = parts.iter().map(|(_, lines)| lines.len()).sum();
            parts.retain(|(has_ended, lines)| {
                let is_left_out = *has_ended && count > room;
                if is_left_out {
                    count -= lines.len();
                }
                !is_left_out
            });
            while count > room && parts.len() > 1 {
                count -= parts.remove(0).1.len();
            }
        }
        [cut(&head, columns)]
            .into_iter()
            .chain(parts.into_iter().flat_map(|(_, lines)| lines))
            .collect()
    }

    /// The line of a step: state, title, and the time at the right edge.
    fn step_line(&self, step: &Step, columns: usize) -> String {
        let running = || format!("{:.1}", step.started.elapsed().as_secs_f64());
        let time = format!("{}s", step.took.clone().unwrap_or_else(running));
        let state = match step.state {
            Kind::Cached => "CACHED ",
            Kind::Failed => "ERROR ",
            _ => "",
        };
        let room = columns.saturating_sub(time.len() + 2);
        let mut line = cut(&format!(" => {state}{}", step.title), room);
        let gap = room.saturating_sub(line.chars().count()) + 1;
        line.extend(std::iter::repeat_n(' ', gap));
        let line = cut(&(line + &time), columns);
        match step.state {
            Kind::Failed => Style::Red.paint(&line, self.colours),
            Kind::Done | Kind::Cached => Style::Cyan.paint(&line, self.colours),
            _ => line,
        }
    }

    fn draw(&mut self, has_ended: bool) {
        let rows = size().map_or(DEFAULT_SIZE.0, |(rows, _)| rows.into());
        let columns = columns().map_or(DEFAULT_SIZE.1, usize::from);
        let lines = self.lines(rows, columns, has_ended);
        let mut text = String::new();
        if self.drawn > 0 {
            // Move the cursor up to the first line and erase everything below.
            let _ = write!(text, "\x1b[{}A\x1b[J", self.drawn);
        }
        for line in &lines {
            let _ = writeln!(text, "{line}");
        }
        (self.drawn, self.last) = (lines.len(), Some(Instant::now()));
        // Ignore the error of a closed terminal: SIGHUP ends the build.
        let _ = stderr().write_all(text.as_bytes());
    }
}

impl Show for Terminal {
    fn message(&mut self, message: Message<'_>) {
        self.take(message);
        self.tick();
    }

    fn is_live(&self) -> bool {
        true
    }

    fn tick(&mut self) {
        if self.last.is_none_or(|last| last.elapsed() >= REDRAW) && !self.steps.is_empty() {
            self.draw(false);
        }
    }

    fn end(&mut self) {
        if !self.steps.is_empty() {
            self.draw(true);
        }
        let mut text = String::new();
        for step in self.steps.iter().filter(|step| step.state == Kind::Failed) {
            let _ = writeln!(text, "------\n > {}:", step.title);
            step.output.iter().for_each(|line| text.extend([line, "\n"]));
            text.push_str("------\n");
        }
        self.text.iter().for_each(|line| text.extend([line, "\n"]));
        print_error(&text);
    }
}

/// Returns the start of `line`, one column shorter than the terminal, so that the terminal does not
/// wrap the line. Counts each character as one column.
fn cut(line: &str, columns: usize) -> String {
    line.chars().take(columns.saturating_sub(1)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(kind: Kind, number: usize, text: &str) -> Message<'_> {
        Message { kind, number, text }
    }

    #[test]
    fn plain_lines_repeat_the_title_where_the_step_changes() {
        let mut plain = Plain::default();
        let mut line = |kind, number, text| plain.line(message(kind, number, text));
        assert_eq!(line(Kind::Began, 1, "a"), "#1 a\n");
        assert_eq!(line(Kind::Output, 1, "0.1 x"), "#1 0.1 x\n");
        assert_eq!(line(Kind::Began, 2, "b"), "\n#2 b\n");
        assert_eq!(line(Kind::Output, 1, "0.2 y"), "\n#1 a\n#1 0.2 y\n");
        assert_eq!(line(Kind::Done, 1, "0.3"), "#1 DONE 0.3s\n\n");
        assert_eq!(line(Kind::Cached, 2, ""), "#2 b\n#2 CACHED\n\n");
        assert_eq!(line(Kind::Text, 0, "note"), "note\n");
    }

    #[test]
    fn a_terminal_shows_the_state_of_each_step() {
        let mut terminal = Terminal::new(false);
        terminal.take(message(Kind::Began, 1, "[1/3] FROM bb"));
        terminal.take(message(Kind::Done, 1, "0.0"));
        terminal.take(message(Kind::Began, 2, "[2/3] RUN a"));
        terminal.take(message(Kind::Cached, 2, ""));
        terminal.take(message(Kind::Began, 3, "[3/3] RUN make a very long\x1b[2J title"));
        for line in 1..=9 {
            terminal.take(message(Kind::Output, 3, &format!("0.{line} line {line}")));
        }
        let lines = terminal.lines(24, 40, false);
        assert_eq!(lines.len(), 4 + OUTPUT_LINES, "{lines:?}");
        assert!(lines[0].ends_with("s (2/3)"), "{lines:?}");
        assert_eq!(lines[1], format!(" => [1/3] FROM bb{:>22}", "0.0s"), "{lines:?}");
        assert!(lines[2].starts_with(" => CACHED [2/3] RUN a  "), "{lines:?}");
        assert!(lines[3].starts_with(" => [3/3] RUN make a very long\\u0 "), "{lines:?}");
        assert_eq!(lines[4], " => => # 0.4 line 4");
        assert!(lines.iter().all(|line| line.chars().count() < 40), "{lines:?}");
        // With few rows the first steps that ended are left out.
        let few = terminal.lines(9, 40, false);
        assert!(few.len() < 9 && few[1].contains("RUN make"), "{few:?}");
        terminal.take(message(Kind::Failed, 3, "it failed"));
        let lines = terminal.lines(3, 40, true);
        assert!(lines[0].ends_with("s (3/3) FINISHED"), "{lines:?}");
        assert!(lines[3].starts_with(" => ERROR [3/3]") && lines.len() == 4, "{lines:?}");
        for columns in 0..100 {
            let lines = terminal.lines(24, columns, false);
            assert!(lines.iter().all(|line| line.chars().count() < columns.max(1)), "{lines:?}");
        }
    }
}
