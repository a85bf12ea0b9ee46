//! The condition of a container, without the transitions between two conditions.
//!
//! During a transition a container's files are incomplete: its record is being made, its program is
//! being started, its program has ended and its monitor cleans up, or `--rm` removes it. A command
//! that finds a container in a transition waits for the next condition and uses that. The waits
//! have limits, except those of `wait` and of a `stop` with a negative timeout. `ps` and `inspect`
//! wait only briefly.

use std::time::{Duration, Instant};

use super::{Engine, hooks};
use crate::container::files::Files;
use crate::container::names;
use crate::container::record::Record;
use crate::container::state::{self, Condition, State, is_watched};
use crate::container_id::ContainerId;
use crate::error::{Error, Result, fail};
use crate::runtime::cgroup;

/// How long most commands wait for a container that starts or ends.
pub(super) const MAX_TRANSITION: Duration = Duration::from_secs(60);

/// The pauses of a loop that checks a condition. Each pause is twice as long as the one before, up
/// to `longest`.
pub(super) struct Pauses {
    deadline: Option<Instant>,
    next: Duration,
    longest: Duration,
}

impl Pauses {
    /// Pauses of 0.2 to 20 ms, for a wait of at most `limit`.
    pub(super) fn within(limit: Duration) -> Pauses {
        Pauses::short(Some(limit))
    }

    /// As [`Pauses::within`], without an end if there is no limit.
    fn short(limit: Option<Duration>) -> Pauses {
        Pauses {
            deadline: limit.map(|limit| Instant::now() + limit),
            next: Duration::from_micros(200),
            longest: Duration::from_millis(20),
        }
    }

    /// Pauses of 1 to 100 ms, for a wait without a limit.
    pub(super) fn unlimited() -> Pauses {
        let (next, longest) = (Duration::from_millis(1), Duration::from_millis(100));
        Pauses { deadline: None, next, longest }
    }

    /// Sleeps before the next check. Returns false, without a sleep, if the deadline has already
    /// passed.
    pub(super) fn wait(&mut self) -> bool {
        let left = self.deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
        std::thread::sleep(left.map_or(self.next, |left| left.min(self.next)));
        self.next = (self.next * 2).min(self.longest);
        left.is_none_or(|left| !left.is_zero())
    }
}

impl Engine {
    /// Returns the record of the container with this name, id or start of an id.
    pub(super) fn record(&self, name: &str) -> Result<Record> {
        self.record_of(&names::resolve(&self.roots, name)?, name)
    }

    /// Returns the record of container `id`. `name` is what the user typed, for errors. Waits while
    /// the container is being made.
    pub(super) fn record_of(&self, id: &ContainerId, name: &str) -> Result<Record> {
        let files = Files::new(&self.roots, id);
        let mut pauses = Pauses::within(MAX_TRANSITION);
        let mut read_again = false;
        loop {
            let error = match Record::read(&self.roots, id) {
                Ok(record) => return Ok(record),
                Err(_) if !files.dir.exists() => return Err(no_such(name)),
                Err(error) => error,
            };
            if files.config().exists() {
                // The record may have been written just after the read, so read again. A damaged
                // record fails again.
                if read_again {
                    return Err(error);
                }
                read_again = true;
                continue;
            }
            // `run` and `create` hold the monitor's lock from before the directory exists. The
            // record may have been written just before the lock was released, so check for the
            // record again.
            let is_being_made = is_watched(&files)? || files.config().exists();
            if !is_being_made || !pauses.wait() {
                return Err(error);
            }
        }
    }

    /// Returns the condition of the container. Waits while the container starts or ends.
    pub(super) fn condition(&self, record: &Record) -> Result<Condition> {
        self.condition_within(record, MAX_TRANSITION)
    }

    /// Like `condition`, but waits at most `limit`. After that, returns the condition of that
    /// moment.
    pub(super) fn condition_within(&self, record: &Record, limit: Duration) -> Result<Condition> {
        let mut pauses = Pauses::within(limit);
        loop {
            let found = self.present_condition(record)?;
            let passes = match &found {
                Condition::Starting => true,
                Condition::Running(state) => state.has_ended(),
                _ => false,
            };
            if !passes || !pauses.wait() {
                return Ok(found);
            }
        }
    }

    /// Returns the condition of the container at this moment, which may be a transition. Cleans up
    /// after a killed monitor.
    pub(super) fn present_condition(&self, record: &Record) -> Result<Condition> {
        state::condition(&self.roots, record, hooks::take_down)
    }

    /// Like `present_condition`, but waits until a container that is being started has started.
    /// Kills the container after `limit`, because a start can hang. For example, the open of a file
    /// can hang if another container has a lease on the file (F_SETLEASE of fcntl(2)).
    pub(super) fn await_start(
        &self,
        record: &Record,
        limit: Option<Duration>,
    ) -> Result<Condition> {
        let mut pauses = Pauses::short(limit);
        loop {
            match self.present_condition(record)? {
                Condition::Starting if pauses.wait() => {}
                Condition::Starting => break,
                found => return Ok(found),
            }
        }
        let mut pauses = Pauses::within(MAX_TRANSITION);
        while let Condition::Starting = self.present_condition(record)? {
            cgroup::kill(&cgroup::possible_paths(&record.cgroup_parent, &record.id)?);
            if !pauses.wait() {
                fail!(
                    "container {} is still starting, and its processes do not exit; try again later",
                    record.name
                );
            }
        }
        self.present_condition(record)
    }

    /// Returns the record and state of a running container. Fails if the container does not run.
    pub(super) fn running(&self, name: &str) -> Result<(Record, State)> {
        let record = self.record(name)?;
        match self.condition(&record)? {
            Condition::Running(state) => Ok((record, state)),
            Condition::Restarting(_) => {
                fail!("container {name} has ended and waits to be restarted; try again later")
            }
            Condition::Starting => fail!("container {name} is still being started"),
            Condition::Leftover => Err(no_such(name)),
            // The container was removed after its record was read.
            _ if !Files::new(&self.roots, &record.id).config().exists() => Err(no_such(name)),
            _ => fail!("container {name} is not running"),
        }
    }

    /// Reports whether a container is ending, for a command that could not reach the container's
    /// first process. An exiting process loses its files and namespaces before it has ended, and
    /// PID 1 ends after all other processes. So this function waits up to 2 seconds.
    pub(super) fn is_ending(&self, state: &State) -> bool {
        const MAX_END: Duration = Duration::from_secs(2);
        let mut pauses = Pauses::within(MAX_END);
        while !state.has_ended() {
            if !pauses.wait() {
                return false;
            }
        }
        true
    }

    /// If `result` is an error and the container has been removed, returns the error that there is
    /// no such container.
    pub(super) fn unless_gone<T>(
        &self,
        id: &ContainerId,
        name: &str,
        result: Result<T>,
    ) -> Result<T> {
        let gone = || !Files::new(&self.roots, id).config().exists();
        result.map_err(|error| if gone() { no_such(name) } else { error })
    }
}

/// Returns the error for a name or id that no container has.
pub(super) fn no_such(name: &str) -> Error {
    Error::absent(format!("no such container: {name}"))
}
