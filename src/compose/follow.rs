//! The logs of several containers in one stream, as `logs` and `up` print them.
//!
//! With `Style::prefixed`, the container's name is before each line. poll(2) waits for all logs,
//! for the journal of events and for the caller's signals. The journal reports containers that
//! start later: a new replica, a restarted container, or the replacement of a container. An
//! incomplete line is held back, so that lines of two containers do not mix. A line longer than
//! `MAX_LINE` may be printed in parts, each as a line. This file starts and stops no container.

use std::io::{self, Write};
use std::os::fd::OwnedFd;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;

use super::members::{self, Member, short_name};
use crate::engine::events::{Event, Kind, Listener};
use crate::engine::options::LogsOptions;
use crate::engine::project::{PROJECT, label};
use crate::engine::view::{ContainerId, Status};
use crate::engine::{Engine, Follower};
use crate::error::{Context, Result};
use crate::time::Instant;

/// The colours of the prefixes, used in turn. The numbers are SGR parameters (console_codes(4)).
const COLOURS: [u8; 10] = [36, 33, 32, 35, 34, 96, 93, 92, 95, 94];
/// The most bytes of a line that are held back until the line ends.
const MAX_LINE: usize = 64 << 10;
/// The interval at which logs and journal are read if the kernel does not report their growth.
const LOOK_AGAIN: Duration = Duration::from_millis(200);

/// How lines are printed.
#[derive(Clone, Debug, Default)]
pub struct Style {
    /// True if each line starts with the container's name.
    pub prefixed: bool,
    /// True if the names are coloured.
    pub coloured: bool,
}

impl Style {
    /// Returns the prefix of the lines of container `name`. The name is padded to `width`, and
    /// `number` chooses the colour. Without `prefixed`, the prefix is empty.
    fn prefix(&self, width: usize, number: usize, name: &str) -> String {
        if !self.prefixed {
            String::new()
        } else if self.coloured {
            let colour = COLOURS[number % COLOURS.len()];
            format!("\x1b[{colour}m{name:width$}  | \x1b[0m")
        } else {
            format!("{name:width$}  | ")
        }
    }
}

/// A container whose log has ended.
#[derive(Clone, Debug)]
pub struct Ended {
    id: ContainerId,
    pub service: String,
    pub name: String,
    /// The exit status; `None` if neither the container's status nor the journal has it.
    pub code: Option<u8>,
}

/// Finds the containers that start in a project, so that `Follow` can follow them.
pub struct StartListener<'a> {
    listener: Listener<'a>,
    project: &'a str,
    accepts: &'a dyn Fn(&Member) -> bool,
    /// The ids of containers that replace a followed container and have not started yet.
    coming: Vec<String>,
}

impl<'a> StartListener<'a> {
    /// Starts to listen for containers for which `accepts` returns true. Call this function before
    /// you list the containers: otherwise a container that starts in between is missed.
    pub fn listen(
        engine: &'a Engine,
        project: &'a str,
        accepts: &'a dyn Fn(&Member) -> bool,
    ) -> Result<StartListener<'a>> {
        Ok(StartListener { listener: engine.listen(true)?, project, accepts, coming: Vec::new() })
    }
}

/// The logs that are followed.
pub struct Follow<'a> {
    engine: &'a Engine,
    options: LogsOptions,
    style: Style,
    /// The width of the names.
    width: usize,
    count: usize,
    logs: Vec<Log>,
    starts: Option<StartListener<'a>>,
    /// Services whose containers are followed without printing their logs.
    silent: &'a [String],
}

struct Log {
    id: ContainerId,
    service: String,
    name: String,
    /// The number that chooses the colour of the prefix.
    colour: usize,
    follower: Follower,
    out: Vec<u8>,
    err: Vec<u8>,
    /// The exit status in the last event `die`, until `turn` uses it.
    died: Option<u8>,
    /// The time at which the container's end was seen; `None` while the container runs. A container
    /// that has ended keeps its `Log`, because it may start again.
    ended: Option<Instant>,
}

impl<'a> Follow<'a> {
    /// Makes a follower without logs. `names` are the names of the expected containers; each prefix
    /// has room for the longest name.
    pub fn new<'n>(
        engine: &'a Engine,
        options: LogsOptions,
        style: Style,
        names: impl Iterator<Item = &'n str>,
    ) -> Follow<'a> {
        let width = names.map(|name| name.chars().count()).max().unwrap_or(0);
        let (logs, starts) = (Vec::new(), None);
        Follow { engine, options, style, width, count: 0, logs, starts, silent: &[] }
    }

    /// Follows the containers of these services only to see their end, and prints no logs of them.
    pub fn silence(&mut self, services: &'a [String]) {
        self.silent = services;
    }

    /// Also follows the containers that `starts` reports.
    pub fn expect(&mut self, starts: StartListener<'a>) {
        self.starts = Some(starts);
    }

    /// Stops the search for new containers. The logs that are already followed stay.
    pub fn expect_none(&mut self) {
        self.starts = None;
    }

    /// Also follows the log of container `id`, with `name` before its lines. Does nothing if the
    /// log is followed already.
    pub fn add(&mut self, id: &ContainerId, service: &str, name: &str) -> Result<()> {
        if self.logs.iter().any(|log| log.id == *id) {
            return Ok(());
        }
        let follower = self.engine.begin_follow(id, &self.options)?;
        let colour = self.count;
        self.count += 1;
        self.width = self.width.max(name.chars().count());
        self.logs.push(Log {
            id: id.clone(),
            service: service.to_owned(),
            name: name.to_owned(),
            colour,
            follower,
            out: Vec::new(),
            err: Vec::new(),
            died: None,
            ended: None,
        });
        Ok(())
    }

    /// Prints the present log of container `id` without following it.
    pub fn print(
        &mut self,
        id: &str,
        name: &str,
        out: &mut dyn Write,
        err: &mut dyn Write,
    ) -> Result<()> {
        let prefix = self.style.prefix(self.width, self.count, name);
        self.count += 1;
        let (mut kept_out, mut kept_err) = (Vec::new(), Vec::new());
        let mut out = Lines { inner: out, prefix: &prefix, kept: &mut kept_out };
        let mut err = Lines { inner: err, prefix: &prefix, kept: &mut kept_err };
        self.engine.logs(id, &self.options, &mut out, &mut err)?;
        out.finish().and_then(|()| err.finish()).context(|| "print the log")
    }

    /// Reports whether all logs have ended and no container that replaces another is about to
    /// start.
    pub fn is_empty(&self) -> bool {
        self.logs.iter().all(|log| log.ended.is_some())
            && self.starts.as_ref().is_none_or(|starts| starts.coming.is_empty())
    }

    /// Prints the new lines of all logs. Returns the containers that have ended since the last
    /// turn.
    pub fn turn(&mut self, out: &mut dyn Write, err: &mut dyn Write) -> Result<Vec<Ended>> {
        // Read the events before the logs. A replacement is created before the old container ends,
        // so the replacement is known when the old container's log ends.
        self.note_news(&mut [])?;
        let mut ended = Vec::new();
        let (width, style) = (self.width, &self.style);
        for log in self.logs.iter_mut().filter(|log| log.ended.is_none()) {
            let prefix = style.prefix(width, log.colour, &log.name);
            let is_over = {
                let (mut no_out, mut no_err) = (io::sink(), io::sink());
                let (out, err): (&mut dyn Write, &mut dyn Write) =
                    if self.silent.contains(&log.service) {
                        (&mut no_out, &mut no_err)
                    } else {
                        (&mut *out, &mut *err)
                    };
                let mut out = Lines { inner: out, prefix: &prefix, kept: &mut log.out };
                let mut err = Lines { inner: err, prefix: &prefix, kept: &mut log.err };
                let is_over = log.follower.print(&mut out, &mut err)?;
                if is_over {
                    out.finish().and_then(|()| err.finish()).context(|| "print the log")?;
                }
                is_over
            };
            log.follower.drain()?;
            if !is_over {
                continue;
            }
            let died = log.died.take();
            let code = match self.engine.look_at(&log.id).map(|view| view.status) {
                Some(Status::Exited { code, .. } | Status::Restarting { code, .. }) => Some(code),
                _ => died,
            };
            let (id, service, name) = (log.id.clone(), log.service.clone(), log.name.clone());
            ended.push(Ended { id, service, name, code });
            // The event of the container's next start may have come before its end was seen. So ask
            // whether the container runs again.
            let now = Instant::now();
            let runs_again = self.engine.follow_again(&log.id, &mut log.follower);
            log.ended = (!runs_again.unwrap_or(false)).then_some(now);
        }
        out.flush().and_then(|()| err.flush()).context(|| "print the log")?;
        // If a code is missing, the container's event `die` may have come since the first read.
        if ended.iter().any(|ended| ended.code.is_none()) {
            self.note_news(&mut ended)?;
        }
        Ok(ended)
    }

    /// Handles the events since the last call, and sets the missing exit statuses of `ended`.
    fn note_news(&mut self, ended: &mut [Ended]) -> Result<()> {
        let news = self.starts.as_mut().map(|starts| starts.listener.news());
        for event in news.transpose()?.unwrap_or_default() {
            if event.action == "die" {
                let code = event.attribute("exitCode").and_then(|code| code.parse().ok());
                for log in self.logs.iter_mut().filter(|log| *log.id == *event.id) {
                    log.died = code;
                }
                for ended in ended.iter_mut().filter(|ended| *ended.id == *event.id) {
                    ended.code = ended.code.or(code);
                }
            }
            self.note(&event)?;
        }
        Ok(())
    }

    /// Handles an event: follows a container that starts, and remembers a container that replaces
    /// another.
    fn note(&mut self, event: &Event) -> Result<()> {
        let Some(starts) = &mut self.starts else { return Ok(()) };
        let is_elsewhere = event.attribute(PROJECT).is_some_and(|name| name != starts.project);
        if event.kind != Kind::Container || is_elsewhere {
            return Ok(());
        }
        match event.action.as_str() {
            "create" => {
                let name = event.attribute("name").unwrap_or_default();
                let is_followed = |old: &str| self.logs.iter().any(|log| log.id.starts_with(old));
                if members::replaced(name).is_some_and(is_followed) {
                    starts.coming.push(event.id.clone());
                }
            }
            "destroy" => {
                starts.coming.retain(|id| *id != event.id);
                self.logs.retain(|log| *log.id != *event.id || log.ended.is_none());
            }
            "start" => {
                starts.coming.retain(|id| *id != event.id);
                let known = self.logs.iter_mut().find(|log| *log.id == *event.id);
                if let Some(log) = known {
                    // A container that was removed counts as one that does not run.
                    let runs =
                        self.engine.follow_again(&log.id, &mut log.follower).unwrap_or(false);
                    log.ended.take_if(|ended| runs || event.time > ended.0);
                } else {
                    self.add_newcomer(event)?;
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn add_newcomer(&mut self, event: &Event) -> Result<()> {
        let Some(starts) = &self.starts else { return Ok(()) };
        let view = event.id.parse().ok().and_then(|id| self.engine.look_at(&id));
        let project = starts.project;
        let Some(view) = view.filter(|view| label(&view.labels, PROJECT) == Some(project)) else {
            return Ok(());
        };
        let Some(member) = Member::of(view).filter(starts.accepts) else { return Ok(()) };
        // The container is new, so print its whole log.
        self.options.tail = None;
        let name = short_name(project, &member.view.name);
        match self.add(&member.view.id, &member.service, &name) {
            // The container was removed in between.
            Err(error) if error.is_absent() => Ok(()),
            added => added,
        }
    }

    /// Waits until a log has grown or ended, an event came, `also` is readable, or `limit` has
    /// passed. May return earlier.
    pub fn wait(&self, also: Option<&OwnedFd>, limit: Option<Duration>) -> Result<()> {
        let live = || self.logs.iter().filter(|log| log.ended.is_none());
        let journal = self.starts.as_ref().map(|starts| starts.listener.descriptor());
        let is_blind = matches!(journal, Some(None)) || live().any(|log| log.follower.is_blind());
        let limit = match limit {
            Some(limit) if is_blind => Some(limit.min(LOOK_AGAIN)),
            None if is_blind => Some(LOOK_AGAIN),
            limit => limit,
        };
        let timeout = limit.map(|limit| Timespec {
            tv_sec: limit.as_secs().try_into().unwrap_or(i64::MAX),
            tv_nsec: limit.subsec_nanos().into(),
        });
        let logs = live().flat_map(|log| log.follower.descriptors());
        let mut fds: Vec<PollFd<'_>> = logs
            .chain(also)
            .chain(journal.flatten())
            .map(|fd| PollFd::new(fd, PollFlags::IN))
            .collect();
        match poll(&mut fds, timeout.as_ref()) {
            Ok(_) | Err(Errno::INTR) => Ok(()),
            Err(error) => Err(error).context(|| "wait for the containers"),
        }
    }
}

/// Writes complete lines, each with the prefix.
struct Lines<'a> {
    inner: &'a mut dyn Write,
    prefix: &'a str,
    /// The start of a line whose end has not arrived yet.
    kept: &'a mut Vec<u8>,
}

impl Lines<'_> {
    fn line(&mut self, line: &[u8]) -> io::Result<()> {
        let mut text = Vec::with_capacity(self.prefix.len() + line.len() + 1);
        text.extend_from_slice(self.prefix.as_bytes());
        text.extend_from_slice(line);
        if !line.ends_with(b"\n") {
            text.push(b'\n');
        }
        self.inner.write_all(&text)
    }

    /// Prints the kept bytes as one line, if there are any. Adds a newline if it is missing.
    fn finish(&mut self) -> io::Result<()> {
        let rest = std::mem::take(self.kept);
        if rest.is_empty() { Ok(()) } else { self.line(&rest) }
    }
}

impl Write for Lines<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            self.kept.extend_from_slice(piece);
            if piece.ends_with(b"\n") || self.kept.len() >= MAX_LINE {
                self.finish()?;
            }
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_whole_and_have_their_prefix() {
        let (mut out, mut kept) = (Vec::new(), Vec::new());
        let mut lines = Lines { inner: &mut out, prefix: "web  | ", kept: &mut kept };
        for part in ["one\ntw", "o\n", "thr", "ee"] {
            lines.write_all(part.as_bytes()).unwrap();
        }
        lines.finish().unwrap();
        lines.finish().unwrap();
        assert_eq!(String::from_utf8(out).unwrap(), "web  | one\nweb  | two\nweb  | three\n");
    }

    #[test]
    fn a_line_without_an_end_is_printed_in_parts() {
        let (mut out, mut kept) = (Vec::new(), Vec::new());
        let mut lines = Lines { inner: &mut out, prefix: "", kept: &mut kept };
        lines.write_all(&[b'x'; MAX_LINE + 1]).unwrap();
        assert_eq!((kept.len(), out.len()), (0, MAX_LINE + 2));
    }
}
