//! `up` in the foreground: starts the project and prints the logs of its containers. A signal stops
//! the containers. If `Ends` says so, the end of one container stops the others too.
//!
//! One loop in one thread does all of this. The first SIGINT or SIGTERM stops the containers in
//! order, in a child process, so that the loop still prints their logs. Each later signal kills the
//! containers, and so does each signal while `Ends` stops them.

use std::io::Write;
use std::os::fd::AsFd;
use std::time::Duration;

use super::follow::{Ended, Follow};
use super::members::{self, Member, Session};
use super::up::Up;
use crate::engine::child::{self, Background};
use crate::engine::view::ContainerId;
use crate::error::{Context, Result};
use crate::sys::signal::{self, Signal};

/// The longest wait between two checks of the services' conditions.
const MAX_PAUSE: Duration = Duration::from_millis(100);

/// The options of a foreground `up`.
#[derive(Clone, Debug, Default)]
pub struct Ends {
    /// `--abort-on-container-exit`
    pub on_exit: bool,
    /// `--abort-on-container-failure`
    pub on_failure: bool,
    /// `--exit-code-from`: the service whose exit status is the command's.
    pub status_of: Option<String>,
    /// Services whose logs are not printed.
    pub unattached: Vec<String>,
    /// Services whose containers are not followed, so their end has no effect.
    pub unwatched: Vec<String>,
    /// `--timeout`: the grace period of a stop, in seconds; `None` is each container's own.
    pub timeout: Option<i64>,
}

/// A project that runs in the foreground.
pub struct Foreground<'a> {
    pub session: &'a Session<'a>,
    pub up: Up<'a>,
    pub follow: Follow<'a>,
    pub ends: &'a Ends,
}

impl Foreground<'_> {
    /// Runs until all followed containers have ended. Returns the command's exit status. With
    /// `status_of`, the status is that of the service's container. Otherwise the status is that of
    /// the container whose end stopped the project, or 128 plus the number of the signal that
    /// stopped the project, or 0.
    pub fn run(mut self, out: &mut dyn Write, err: &mut dyn Write) -> Result<u8> {
        let signals = signal::receive([Signal::INT, Signal::TERM]).context(|| "receive signals")?;
        let (mut pause, mut status) = (Duration::from_millis(1), 0);
        let mut stopping: Option<Background> = None;
        loop {
            if stopping.is_none() && !self.up.is_done() {
                let found = self.up.advance()?;
                pause = if found.is_empty() { (pause * 2).min(MAX_PAUSE) } else { pause };
                for running in found {
                    self.watch(&running.id, &running.service)?;
                }
            }
            for ended in self.follow.turn(out, err)? {
                let code = ended.code.unwrap_or(1);
                (self.session.report)(&match ended.code {
                    Some(code) => format!("{} exited with code {code}", ended.name),
                    None => format!("{} exited; its status is unknown", ended.name),
                });
                if self.ends.status_of.as_ref() == Some(&ended.service) {
                    status = code;
                }
                if stopping.is_none() && self.is_end(&ended) {
                    if self.ends.status_of.is_none() {
                        status = code;
                    }
                    (self.session.report)("Aborting on container exit…");
                    stopping = Some(self.stop()?);
                }
            }
            let is_up = self.up.is_done() || stopping.is_some();
            if is_up && self.follow.is_empty() {
                break;
            }
            while let Some(signal) = signal::next(signals.as_fd()) {
                if stopping.is_some() {
                    // A failure is only reported: a container may have ended in between.
                    let killed = self.session.kill(&self.members()?, Signal::KILL);
                    killed.unwrap_or_else(|error| (self.session.report)(&error.to_string()));
                } else {
                    (self.session.report)("Gracefully stopping… (press Ctrl+C again to force)");
                    status = 128 + signal.number() as u8;
                    stopping = Some(self.stop()?);
                }
            }
            self.follow.wait(Some(&signals), (!is_up).then_some(pause))?;
        }
        if let Some(stopping) = stopping {
            stopping.finish()?;
        }
        Ok(status)
    }

    /// Follows a container, unless its service is not watched.
    fn watch(&mut self, id: &ContainerId, service: &str) -> Result<()> {
        if self.ends.unwatched.iter().any(|name| name == service) {
            return Ok(());
        }
        let Some(view) = self.session.engine.look_at(id) else { return Ok(()) };
        let name = members::short_name(&self.session.project.name, &view.name);
        self.follow.add(id, service, &name)
    }

    /// Reports whether the end of this container stops the project.
    fn is_end(&self, ended: &Ended) -> bool {
        let is_failure = ended.code.is_some_and(|code| code != 0);
        match &self.ends.status_of {
            Some(service) => *service == ended.service,
            None => self.ends.on_exit || self.ends.on_failure && is_failure,
        }
    }

    /// Returns the containers of the services that were started. Replicas that another command
    /// added count too.
    fn members(&self) -> Result<Vec<Member>> {
        let services: Vec<&str> = self.up.ids().map(|(service, _)| service).collect();
        let mut members = members::all(self.session.engine, &self.session.project.name)?;
        members.retain(|member| !member.is_oneoff && services.contains(&member.service.as_str()));
        Ok(members)
    }

    /// Starts a child process that stops the containers.
    fn stop(&mut self) -> Result<Background> {
        self.follow.expect_none();
        let members = self.members()?;
        let timeout = self.ends.timeout;
        child::begin("the stop", &|| {
            self.session.stop(members.clone(), timeout).map(|()| String::new())
        })
    }
}
