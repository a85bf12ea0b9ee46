//! Runs the stages of a build in parallel.
//!
//! Stages that do not need each other run at the same time, each in a child process: the build's process
//! forks monitors, so it must stay single-threaded. A child has a workplace of its own inside the
//! build's, and adds its layers to the same draft. It sends its report through a pipe, and at its end its
//! state. The parent numbers the steps and prints whole lines; if lines of another step came in between,
//! the step's title is printed again, as BuildKit does. If a stage fails or a signal comes, the other
//! stages get SIGTERM. A stage that runs alone runs in the parent.

use std::io::Write;

use miniserde::{Deserialize, Serialize, json};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;

use super::plan;
use super::report::Report;
use super::steps::{Build, State, interrupted};
use crate::engine::child::{Background, fork_with};
use crate::error::{Context, Error, Result, fail};
use crate::image::cache::CacheEntry;
use crate::image::config::ImageConfig;
use crate::image::digest::Digest;

/// This many stages run at the same time even if the machine has fewer CPUs.
const LEAST: usize = 2;
/// The most bytes that a child may send before the end of a line or of its result.
const MAX_MESSAGE: usize = 64 << 20;

/// What a stage sends at its end, after a zero byte and as one line.
#[derive(Serialize, Deserialize)]
struct Ending {
    /// Why the stage failed, and its exit status.
    error: Option<String>,
    code: u8,
    /// Whether it has a state: that of a failed stage is the one before the step that failed.
    has_state: bool,
    base: Option<String>,
    config: String,
    has_command: bool,
    arguments: Vec<(String, String)>,
    /// The cache entries that the stage used, each after its key.
    used: Vec<String>,
}

/// A stage and its process.
struct Stage {
    at: usize,
    process: Background,
    received: Vec<u8>,
    /// The steps that it started: the child's number, the printed number, the title.
    steps: Vec<(usize, usize, String)>,
}

impl Build<'_> {
    /// Builds the stages, each after the stages that it needs.
    pub(super) fn stages(
        &mut self,
        stages: &[usize],
        images: &[String],
        globals: &[(String, String)],
    ) -> Result<()> {
        let cpus = std::thread::available_parallelism().map_or(LEAST, usize::from);
        let mut waiting: Vec<(usize, Vec<usize>)> =
            stages.iter().map(|&at| (at, plan::needs(self.dockerfile, images, at))).collect();
        let mut running = Vec::new();
        let mut shown = None;
        while !waiting.is_empty() || !running.is_empty() {
            let is_done = |at: &usize| self.results.iter().any(|(done, _)| done == at);
            let ready: Vec<usize> = waiting
                .iter()
                .filter(|(_, needs)| needs.iter().all(is_done))
                .map(|(at, _)| *at)
                .collect();
            if let ([at], true) = (ready.as_slice(), running.is_empty()) {
                let state = self.stage(*at, &images[*at], globals)?;
                self.results.push((*at, state));
                waiting.retain(|(other, _)| other != at);
                continue;
            }
            // A stage for which there is no room now is still ready in the next turn.
            let room = cpus.max(LEAST).saturating_sub(running.len());
            let starting = &ready[..ready.len().min(room)];
            waiting.retain(|(at, _)| !starting.contains(at));
            match self.turn(starting, images, globals, &mut running, &mut shown) {
                Ok(ended) => self.results.extend(ended),
                Err(error) => {
                    self.end_all(running);
                    return Err(error);
                }
            }
        }
        Ok(())
    }

    /// Starts the stages `starting` and waits until one that runs sends something. Returns a stage
    /// that ended.
    fn turn(
        &self,
        starting: &[usize],
        images: &[String],
        globals: &[(String, String)],
        running: &mut Vec<Stage>,
        shown: &mut Option<usize>,
    ) -> Result<Option<(usize, State)>> {
        for &at in starting {
            running.push(self.start(at, &images[at], globals)?);
        }
        if let Some(signal) = self.place.interrupted() {
            return Err(interrupted(signal));
        }
        let signals = self.place.signals();
        let mut fds: Vec<PollFd<'_>> = running
            .iter()
            .map(|stage| PollFd::from_borrowed_fd(stage.process.reader(), PollFlags::IN))
            .chain([PollFd::from_borrowed_fd(signals, PollFlags::IN)])
            .collect();
        match poll(&mut fds, None) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(error).context(|| "wait for the stages"),
        }
        let came = fds[..running.len()].iter().position(|fd| !fd.revents().is_empty());
        drop(fds);
        let Some(at) = came else { return Ok(None) };
        let is_open = running[at].receive()?;
        let has_ended = self.show(&mut running[at], shown);
        if !has_ended && is_open {
            return Ok(None);
        }
        let stage = running.remove(at);
        let number = stage.at;
        self.ending(stage).map(|state| Some((number, state)))
    }

    fn start(&self, at: usize, image: &str, globals: &[(String, String)]) -> Result<Stage> {
        let work = |pipe: &mut dyn Write| {
            let pipe = std::cell::RefCell::new(pipe);
            // If this process can't write, the parent ends it.
            let send = |text: &str| drop(pipe.borrow_mut().write_all(text.as_bytes()));
            let print = |text: &str| send(&text.replace('\0', ""));
            let ending = self.run_stage(at, image, globals, &Report::new(&print));
            send(&format!("\0{}\n", json::to_string(&ending)));
        };
        let process = fork_with("the process of the stage", &work)?;
        Ok(Stage { at, process, received: Vec::new(), steps: Vec::new() })
    }

    /// In the child: builds the stage.
    fn run_stage(
        &self,
        at: usize,
        image: &str,
        globals: &[(String, String)],
        report: &Report<'_>,
    ) -> Ending {
        let mut ending = Ending {
            error: None,
            code: 0,
            has_state: false,
            base: None,
            config: String::new(),
            has_command: false,
            arguments: Vec::new(),
            used: Vec::new(),
        };
        let built = self.place.for_stage(at).map(|place| {
            let child = Build {
                place: &place,
                report,
                context_path: self.context_path.clone(),
                results: self.results.clone(),
                used: Default::default(),
                failed: Default::default(),
                ..*self
            };
            let built = child.stage(at, image, globals);
            let used = child.used.take().into_iter();
            ending.used =
                used.map(|entry| format!("{}\n{}", entry.key.hex(), entry.to_text())).collect();
            (built, child.failed.take())
        });
        let (built, failed) = built.unwrap_or_else(|error| (Err(error), None));
        let state = match built {
            Ok(state) => Some(state),
            Err(error) => {
                (ending.error, ending.code) = (Some(error.to_string()), error.exit_code());
                failed
            }
        };
        if let Some(state) = state {
            ending.has_state = true;
            ending.base = state.base.map(|base| base.hex());
            ending.config = state.config.to_json();
            (ending.has_command, ending.arguments) = (state.has_command, state.arguments);
        }
        ending
    }

    /// Prints the whole lines that came. Returns whether the result came too.
    fn show(&self, stage: &mut Stage, shown: &mut Option<usize>) -> bool {
        let received = std::mem::take(&mut stage.received);
        let end = received.iter().position(|&byte| byte == 0);
        let text = &received[..end.unwrap_or(received.len())];
        let whole = match (end, text.iter().rposition(|&byte| byte == b'\n')) {
            (Some(end), _) => end,
            (None, Some(last)) => last + 1,
            (None, None) => 0,
        };
        for line in String::from_utf8_lossy(&received[..whole]).lines() {
            let line = stage.numbered(line, &|| self.report.number(), shown);
            self.report.text(&line);
        }
        stage.received = received[whole..].to_vec();
        end.is_some() && stage.received.ends_with(b"\n")
    }

    /// The state that a stage sent, or why it failed.
    fn ending(&self, stage: Stage) -> Result<State> {
        let text = String::from_utf8_lossy(&stage.received);
        let ending = json::from_str::<Ending>(text.trim_matches(['\0', '\n']));
        stage.process.wait()?;
        let Ok(ending) = ending else { fail!("the process of the stage was killed") };
        for text in &ending.used {
            let (key, text) = text.split_once('\n').unwrap_or_default();
            let entry =
                Digest::parse_hex(key).and_then(|key| CacheEntry::parse(&key, text.as_bytes()));
            self.used.borrow_mut().extend(entry);
        }
        let mut state = State::default();
        if ending.has_state {
            state.base = ending.base.as_deref().and_then(Digest::parse_hex);
            state.config = ImageConfig::parse("config of the stage", ending.config.as_bytes())?;
            (state.has_command, state.arguments) = (ending.has_command, ending.arguments);
        }
        match ending.error {
            None => Ok(state),
            Some(text) => {
                *self.failed.borrow_mut() = ending.has_state.then_some(state);
                Err(Error::new(text).exit_with(ending.code))
            }
        }
    }

    /// Ends the stages and waits for them. Their last messages are dropped: they only report that end.
    fn end_all(&self, running: Vec<Stage>) {
        for stage in &running {
            stage.process.end();
        }
        for mut stage in running {
            while stage.receive().unwrap_or(false) {
                stage.received.clear();
            }
            // The first failure is the one to report.
            let _ = stage.process.wait();
        }
    }
}

impl Stage {
    /// Reads what arrived. Returns `false` at the end.
    fn receive(&mut self) -> Result<bool> {
        let mut piece = vec![0; 64 << 10];
        let count = match self.process.read(&mut piece) {
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => return Ok(true),
            count => count.context(|| "read from a stage")?,
        };
        self.received.extend_from_slice(&piece[..count]);
        if self.received.len() > MAX_MESSAGE {
            fail!("a stage says more than {MAX_MESSAGE} bytes in one line");
        }
        Ok(count > 0)
    }

    /// A line with the step's printed number, after the step's title if another step was printed last.
    fn numbered(
        &mut self,
        line: &str,
        next: &dyn Fn() -> usize,
        shown: &mut Option<usize>,
    ) -> String {
        let parts = line.strip_prefix('#').and_then(|line| line.split_once(' '));
        let Some((own, rest)) = parts.and_then(|(own, rest)| Some((own.parse().ok()?, rest)))
        else {
            // The blank line at the end of a step.
            if line.is_empty() {
                *shown = None;
            }
            return format!("{line}\n");
        };
        let (number, mut before) = match self.steps.iter().find(|(known, ..)| *known == own) {
            Some((_, number, title)) if *shown == Some(*number) => (*number, String::new()),
            Some((_, number, title)) => (*number, format!("#{number} {title}\n")),
            None => {
                let number = next();
                self.steps.push((own, number, rest.to_owned()));
                (number, String::new())
            }
        };
        if shown.is_some_and(|shown| shown != number) {
            before.insert(0, '\n');
        }
        *shown = Some(number);
        format!("{before}#{number} {rest}\n")
    }
}
