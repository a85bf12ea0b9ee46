//! Prints the progress of a pull or push. On a terminal, each active layer has a bar, below the
//! lines of the finished layers; otherwise there are only lines. The commands that move bytes
//! without a registry (`load`, `import`, `save`, `export`, `commit`, `cp`, `compose cp`) show one
//! line with bytes and rate, and only on a terminal. Several threads report at the same time, so
//! the drawing is behind a mutex and each update is one write. Escape sequences go only to a
//! terminal that understands them (`style`).

use std::io::{self, IsTerminal, Write};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::escape;
use super::style::has_cursor_codes;
use crate::engine::view::{TransferEvent, TransferStep};
use crate::meter::{self, Moved};
use crate::sys::stdio::{stderr, stdout};
use crate::tty::columns;
use crate::units::push_human_size;

const REDRAW: Duration = Duration::from_millis(100);
/// A command that ends before this time shows no line of bytes.
const SHORT: Duration = Duration::from_secs(1);
const BAR: usize = 40;
/// The minimum width of a bar, in columns.
const MIN_BAR: usize = 5;
/// The columns to use when the terminal reports no size.
const DEFAULT_COLUMNS: usize = 80;

/// Prints the progress of one command to stdout or stderr.
pub struct Progress {
    quiet: bool,
    on_stderr: bool,
    terminal: bool,
    drawing: Mutex<Drawing>,
}

#[derive(Default)]
struct Drawing {
    /// The active layers: name, finished bytes, all bytes.
    active: Vec<(String, u64, u64)>,
    /// For a command without a registry: its word (`Loading`), the bytes so far, and the start
    /// time.
    bytes: Option<(&'static str, u64, Instant)>,
    /// The number of lines on the terminal that the next drawing erases: the bars, or the line of
    /// bytes.
    drawn: usize,
    last: Option<Instant>,
}

impl Progress {
    /// Reports on stdout, or nowhere if `quiet`. Warnings go to stderr in both cases.
    pub fn on_stdout(quiet: bool) -> Progress {
        let terminal = io::stdout().is_terminal() && has_cursor_codes();
        Progress { quiet, on_stderr: false, terminal, drawing: Mutex::default() }
    }

    /// Reports on stderr, or nowhere if `quiet`, so that stdout is free for the command's result:
    /// the output of a container, an archive or an id. Warnings go to stderr in both cases.
    pub fn on_stderr(quiet: bool) -> Progress {
        let terminal = io::stderr().is_terminal() && has_cursor_codes();
        Progress { quiet, on_stderr: true, terminal, drawing: Mutex::default() }
    }

    /// Reports one event. Any thread may call this function.
    pub fn note(&self, event: TransferEvent) {
        let mut drawing = self.lock();
        let (layer, step) = match event {
            TransferEvent::Warning(text) => {
                return super::output::print_error(&format!("warning: {text}\n"));
            }
            TransferEvent::Layer(layer, step) => (layer.short(), step),
            TransferEvent::Pulling(reference) => {
                let digest = || reference.digest.map(|digest| digest.to_string());
                let what = digest().or_else(|| reference.tag.clone()).unwrap_or_default();
                let line = format!("{what}: Pulling from {}", reference.path);
                return self.through(&mut drawing, &line);
            }
            TransferEvent::PulledImage { digest, is_newer, reference } => {
                let status =
                    if is_newer { "Downloaded newer image" } else { "Image is up to date" };
                self.through(&mut drawing, &format!("Digest: {digest}"));
                let line = format!("Status: {status} for {}", reference.familiar());
                return self.through(&mut drawing, &line);
            }
            TransferEvent::Pushing(reference) => {
                let line = format!("The push refers to repository [{}]", reference.name());
                return self.through(&mut drawing, &line);
            }
            TransferEvent::PushedImage { reference, digest, size } => {
                let tag = reference.tag.as_deref().unwrap_or_default();
                let line = format!("{tag}: digest: {digest} size: {size}");
                return self.through(&mut drawing, &line);
            }
        };
        let word = match step {
            TransferStep::Moved { bytes, of } => return self.moved(&mut drawing, layer, bytes, of),
            TransferStep::Waiting if self.terminal => return,
            TransferStep::Waiting => "Pulling fs layer",
            TransferStep::Exists => "Already exists",
            TransferStep::Pulled => "Pull complete",
            TransferStep::Pushed => "Pushed",
            TransferStep::Mounted => "Mounted from another repository",
        };
        drawing.active.retain(|(active, ..)| *active != layer);
        self.through(&mut drawing, &format!("{layer}: {word}"));
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Drawing> {
        self.drawing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts bytes. Draws the line of the bytes only after `SHORT`, and at most once per `REDRAW`.
    fn count(&self, moved: Moved) {
        let mut drawing = self.lock();
        let Some((what, bytes, since)) = drawing.bytes else { return };
        let (bytes, since) = match moved {
            Moved::Bytes(more) => (bytes + more, since),
            Moved::Again => (0, Instant::now()),
        };
        drawing.bytes = Some((what, bytes, since));
        let is_due = match drawing.last {
            Some(last) => last.elapsed() >= REDRAW,
            None => since.elapsed() >= SHORT,
        };
        if is_due {
            self.draw(&mut drawing, "");
        }
    }

    fn moved(&self, drawing: &mut Drawing, layer: String, bytes: u64, of: u64) {
        if !self.terminal || self.quiet {
            return;
        }
        match drawing.active.iter_mut().find(|(active, ..)| *active == layer) {
            Some(known) => known.1 = bytes,
            None => drawing.active.push((layer, bytes, of)),
        }
        if drawing.last.is_none_or(|last| last.elapsed() >= REDRAW) {
            self.draw(drawing, "");
        }
    }

    /// Prints a line that stays, above the bars.
    fn through(&self, drawing: &mut Drawing, line: &str) {
        if !self.quiet {
            self.draw(drawing, &format!("{}\n", escape::line(line)));
        }
    }

    fn draw(&self, drawing: &mut Drawing, line: &str) {
        let mut text = String::new();
        if drawing.drawn > 0 {
            // Move the cursor up to the first drawn line and erase everything below.
            text += &format!("\x1b[{}A\x1b[J", drawing.drawn);
        }
        text += line;
        // A line that `drawn` counts must fit the terminal, because a wrapped line would occupy
        // two lines.
        let columns = columns().map_or(DEFAULT_COLUMNS, usize::from);
        for (layer, bytes, of) in &drawing.active {
            push_bar(&mut text, layer, *bytes, *of, columns);
        }
        if let Some((what, bytes, since)) = drawing.bytes {
            push_bytes(&mut text, what, bytes, since.elapsed(), columns);
        }
        let lines = drawing.active.len() + usize::from(drawing.bytes.is_some());
        (drawing.drawn, drawing.last) = (lines, Some(Instant::now()));
        // Ignore errors: if the terminal was closed, the transfer goes on.
        let _ = if self.on_stderr {
            stderr().write_all(text.as_bytes())
        } else {
            stdout().write_all(text.as_bytes())
        };
    }
}

/// Shows the line of a command that moves bytes, and erases the line on drop.
pub struct Bytes(Option<Arc<Progress>>);

impl Bytes {
    /// Shows the bytes that this process moves from now on. Shows nothing if `quiet`, or if stderr
    /// is not a terminal that takes escape sequences.
    pub fn show(what: &'static str, quiet: bool) -> Bytes {
        let progress = Progress::on_stderr(quiet);
        if quiet || !progress.terminal {
            return Bytes(None);
        }
        let progress = Arc::new(progress);
        let watcher = Arc::clone(&progress);
        progress.lock().bytes = Some((what, 0, Instant::now()));
        meter::watch(Box::new(move |moved| watcher.count(moved)));
        Bytes(Some(progress))
    }
}

impl Drop for Bytes {
    fn drop(&mut self) {
        let Some(progress) = &self.0 else { return };
        let mut drawing = progress.lock();
        drawing.bytes = None;
        if drawing.drawn > 0 {
            progress.draw(&mut drawing, "");
        }
    }
}

/// Appends the line of a command that moves bytes: `Loading: 12.3MB, 45.6MB/s`.
fn push_bytes(text: &mut String, what: &str, bytes: u64, elapsed: Duration, columns: usize) {
    let mut line = format!("{what}: ");
    push_human_size(&mut line, bytes);
    line.push_str(", ");
    let rate = u128::from(bytes) * 1000 / elapsed.as_millis().max(1);
    push_human_size(&mut line, u64::try_from(rate).unwrap_or(u64::MAX));
    line.push_str("/s");
    text.extend(line.chars().take(columns.saturating_sub(1)));
    text.push('\n');
}

/// Appends the line of a layer, at least one column shorter than the terminal. The bar has up to
/// `BAR` columns. If there is room for fewer than `MIN_BAR` columns, the line has no bar.
fn push_bar(text: &mut String, layer: &str, bytes: u64, of: u64, columns: usize) {
    let mut sizes = String::new();
    push_human_size(&mut sizes, bytes);
    sizes.push('/');
    push_human_size(&mut sizes, of);
    let around = format!("{layer}: [>] {sizes}").len();
    let bar = columns.saturating_sub(around + 1).min(BAR);
    let line = if bar < MIN_BAR {
        format!("{layer}: {sizes}")
    } else {
        let share = u128::from(bytes) * bar as u128;
        let filled = share.checked_div(of.into()).map_or(bar, |share| (share as usize).min(bar));
        let (bar, rest) = ("=".repeat(filled), " ".repeat(bar - filled));
        format!("{layer}: [{bar}>{rest}] {sizes}")
    };
    text.extend(line.chars().take(columns.saturating_sub(1)));
    text.push('\n');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bar_fills_up_to_its_end() {
        for (bytes, of, filled) in [(0, 10, 0), (5, 10, 20), (10, 10, 40), (0, 0, 40)] {
            let mut text = String::new();
            push_bar(&mut text, "0123456789ab", bytes, of, 80);
            assert_eq!(text.matches('=').count(), filled);
            assert!(text.len() < 80 && text.ends_with('\n'), "{text}");
        }
    }

    #[test]
    fn bytes_have_a_rate_on_one_line() {
        let mut text = String::new();
        push_bytes(&mut text, "Loading", 3_000_000, Duration::from_millis(1500), 80);
        push_bytes(&mut text, "Loading", 0, Duration::ZERO, 10);
        assert_eq!(text, "Loading: 3MB, 2MB/s\nLoading: \n");
    }

    #[test]
    fn a_bar_never_wraps() {
        let bar = |columns| {
            let mut text = String::new();
            push_bar(&mut text, "0123456789ab", 1_230_000, 4_560_000, columns);
            text
        };
        assert_eq!(bar(40), "0123456789ab: [==>      ] 1.23MB/4.56MB\n");
        assert_eq!(bar(30), "0123456789ab: 1.23MB/4.56MB\n");
        for columns in 0..100 {
            assert!(bar(columns).len() <= columns.max(1), "{columns}: {}", bar(columns));
        }
    }
}
