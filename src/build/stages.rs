//! Runs the stages of a build in parallel.
//!
//! Stages that do not need each other run at the same time, each in a child process. Threads are no
//! choice: the build's process forks monitors, so it must stay single-threaded. A child has its own
//! temporary directory inside the build's, and adds its layers to the build's draft
//! (`image::draft`). The child sends its messages and then its state through a pipe. The parent
//! numbers the steps. If a stage fails, the parent kills the others. If only one stage can run, it
//! runs in the parent.

use miniserde::{Deserialize, Serialize, json};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;

use super::plan::Base;
use super::report::{Kind, Message, Report};
use super::steps::{Build, State};
use super::worker::Worker;
use crate::digest::Digest;
use crate::error::{Context, Error, Result, fail};
use crate::image::cache::CacheEntry;
use crate::image::config::ImageConfig;
use crate::sys::schedule;

/// The most stages that run at the same time with one CPU. With more CPUs, the limit is the number
/// of CPUs. Only CPUs on which this process may run count.
const LEAST: usize = 2;

/// The result of a stage, which the child sends last.
#[derive(Serialize, Deserialize)]
struct Ending {
    /// The error of a failed stage.
    error: Option<String>,
    /// True if `base`, `config`, `has_command` and `arguments` describe a state. If the command of
    /// a RUN failed, the fields describe the state before that RUN. After any other failure there
    /// is no state.
    has_state: bool,
    base: Option<String>,
    config: String,
    has_command: bool,
    arguments: Vec<(String, String)>,
    /// The cache entries that the stage used: each entry's key in hex, a newline, and its text.
    used: Vec<String>,
}

/// A stage and its process.
struct Stage {
    at: usize,
    worker: Worker,
    /// The steps that the stage started: the number in the child, and the number in the whole
    /// build.
    steps: Vec<(usize, usize)>,
}

impl Build<'_> {
    /// Builds the stages, each after the stages that it needs.
    pub(super) fn stages(
        &mut self,
        stages: &[(usize, Vec<usize>)],
        bases: &[Base],
        globals: &[(String, String)],
    ) -> Result<()> {
        let cpus = schedule::cpus();
        let mut waiting = stages.to_vec();
        let mut running = Vec::new();
        while !waiting.is_empty() || !running.is_empty() {
            let is_done = |at: &usize| self.results.iter().any(|(done, _)| done == at);
            let ready: Vec<usize> = waiting
                .iter()
                .filter(|(_, needs)| needs.iter().all(is_done))
                .map(|(at, _)| *at)
                .collect();
            if let ([at], true) = (ready.as_slice(), running.is_empty()) {
                let state = self.stage(*at, &bases[*at], globals)?;
                self.results.push((*at, state));
                waiting.retain(|(other, _)| other != at);
                continue;
            }
            // A ready stage that exceeds the limit is still ready in the next turn.
            let room = cpus.max(LEAST).saturating_sub(running.len());
            let starting = &ready[..ready.len().min(room)];
            waiting.retain(|(at, _)| !starting.contains(at));
            match self.turn(starting, bases, globals, &mut running) {
                Ok(ended) => self.results.extend(ended),
                Err(error) => {
                    self.end_all(running);
                    return Err(error);
                }
            }
        }
        Ok(())
    }

    /// Starts the stages `starting` and waits until a running stage sends data. Returns the number
    /// and the state of the stage if it ended, and otherwise `None`.
    fn turn(
        &self,
        starting: &[usize],
        bases: &[Base],
        globals: &[(String, String)],
        running: &mut Vec<Stage>,
    ) -> Result<Option<(usize, State)>> {
        for &at in starting {
            running.push(self.start(at, &bases[at], globals)?);
        }
        let mut fds: Vec<PollFd<'_>> = running
            .iter()
            .map(|stage| PollFd::from_borrowed_fd(stage.worker.reader(), PollFlags::IN))
            .collect();
        match poll(&mut fds, None) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(error).context(|| "wait for the stages"),
        }
        let came = fds.iter().position(|fd| !fd.revents().is_empty());
        drop(fds);
        let Some(at) = came else { return Ok(None) };
        let Stage { worker, steps, .. } = &mut running[at];
        let Some(result) = worker.receive(&mut |message| self.pass(steps, message))? else {
            return Ok(None);
        };
        let stage = running.remove(at);
        let number = stage.at;
        self.ending(stage, &result).map(|state| Some((number, state)))
    }

    fn start(&self, at: usize, base: &Base, globals: &[(String, String)]) -> Result<Stage> {
        let worker = Worker::start("the process of the stage", &|report| {
            json::to_string(&self.run_stage(at, base, globals, report))
        })?;
        Ok(Stage { at, worker, steps: Vec::new() })
    }

    /// Passes on a message of a stage, with the step's number in the whole build.
    fn pass(&self, steps: &mut Vec<(usize, usize)>, message: Message<'_>) {
        let known = steps.iter().find(|(own, _)| *own == message.number).map(|(_, number)| *number);
        let number = match known {
            Some(number) => number,
            None if message.kind == Kind::Text => 0,
            None => {
                steps.push((message.number, self.report.number()));
                steps.last().map_or(0, |(_, number)| *number)
            }
        };
        self.report.pass(Message { number, ..message });
    }

    /// Builds the stage. Only the child process calls this.
    fn run_stage(
        &self,
        at: usize,
        base: &Base,
        globals: &[(String, String)],
        report: &Report<'_>,
    ) -> Ending {
        let mut ending = Ending {
            error: None,
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
                results: self.results.clone(),
                used: Default::default(),
                failed: Default::default(),
                platform: self.platform.clone(),
                pulled: self.pulled.clone(),
                ..*self
            };
            let built = child.stage(at, base, globals);
            let used = child.used.take().into_iter();
            ending.used =
                used.map(|entry| format!("{}\n{}", entry.key.hex(), entry.to_text())).collect();
            (built, child.failed.take())
        });
        let (built, failed) = built.unwrap_or_else(|error| (Err(error), None));
        let state = match built {
            Ok(state) => Some(state),
            Err(error) => {
                ending.error = Some(error.to_string());
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

    /// Returns the state that a stage sent, or the stage's error.
    fn ending(&self, stage: Stage, result: &str) -> Result<State> {
        let ending = json::from_str::<Ending>(result);
        stage.worker.wait()?;
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
                Err(Error::new(text))
            }
        }
    }

    /// Kills the stages, and removes the containers and secrets of their steps.
    fn end_all(&self, running: Vec<Stage>) {
        for stage in running {
            stage.worker.kill();
            // Report the first failure, not a failure of this cleanup. The next build removes the
            // rest.
            let _ = self.engine.clear_stage(self.place, stage.at);
        }
    }
}
