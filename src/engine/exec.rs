//! `exec`: runs another process in a running container.
//!
//! The defaults of the new process (environment, user, capabilities, seccomp) are those of the
//! container's first process. `runtime::exec` enters the namespaces, and `container::relay` relays
//! the streams. The process descends from this command and not from the monitor, so this command
//! returns the exit status.

use std::os::fd::OwnedFd;

use rustix::fs::{CWD, Mode, OFlags, openat};
use rustix::io::Errno;
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::{Pid, getpid};

use super::Engine;
use super::options::ExecOptions;
use crate::container::client::End;
use crate::container::files::Files;
use crate::container::record::Record;
use crate::container::relay::{self, Streams};
use crate::container::state::{Condition, State};
use crate::container::{events, updated};
use crate::digest::Digest;
use crate::error::{Context, EXIT_ENGINE, EXIT_NOT_EXECUTABLE, Result, fail};
use crate::runtime::seccomp::Seccomp;
use crate::runtime::spec::{Capabilities, IdMaps, Identity, NamedUser, Process};
use crate::runtime::{Stdio, capabilities, cgroup, exec};
use crate::sys::{self, clone::Child};

/// A started process.
struct StartedProcess {
    child: Child,
    /// This process's ends of the new process's streams.
    ours: Option<Streams>,
    console: Option<OwnedFd>,
    /// The record of the container.
    record: Record,
    /// The id of the process in events.
    id: String,
}

impl Engine {
    /// Runs the command and returns its exit status. With `detach`, returns 0 as soon as the
    /// command has started. Fails if the container does not run or is paused.
    pub fn exec(&self, options: &ExecOptions) -> Result<u8> {
        // A try fails if the container exits during the try. Usually the delay between restarts
        // doubles, so more tries are rarely needed.
        const MAX_TRIES: u32 = 16;
        if options.command.is_empty() {
            fail!("no command given; write it after the container's name");
        }
        let container = &options.container;
        for _ in 0..MAX_TRIES {
            let record = self.record(container)?;
            let (record, state) = match self.present_condition(&record)? {
                // If the first process has ended, the entry into its namespaces fails, so its end
                // is not checked here.
                Condition::Running(state) => (record, state),
                _ => self.running(container)?,
            };
            match self.exec_in(&record, &state, options) {
                Ok(started) => return self.follow(started, options),
                // The container exited during the entry, so its new state decides the result.
                Err(_) if state.has_ended() => drop(self.running(container)?),
                Err(error) => return Err(error),
            }
        }
        fail!("container {container} restarts again and again; try again")
    }

    /// Starts the process. Returns `None` with `detach`.
    fn exec_in(
        &self,
        record: &Record,
        state: &State,
        options: &ExecOptions,
    ) -> Result<Option<StartedProcess>> {
        self.refuse_paused(record, state)?;
        let terminal = options.tty && !options.detach;
        // If the links cannot be resolved, for example because a linked container has ended, the
        // links add no variables.
        let variables = self.links(record).unwrap_or_default().variables;
        let defaults = super::spec::process_with(record, terminal, variables)?;
        Engine::need_terminal(options.interactive && terminal)?;
        let privileged = options.privileged || record.privileged;
        let mut env = defaults.env.clone();
        for pair in &options.env {
            super::create::set_env(&mut env, pair);
        }
        env.retain(|pair| pair.contains('=') || !options.env.contains(pair));
        let user = match &options.user {
            Some(name) => {
                let (name, groups) = (Some(name.clone()).into(), record.user.groups.clone());
                Identity::Named(NamedUser { name, groups })
            }
            None => defaults.user,
        };
        let bounding = if privileged {
            capabilities::all()
        } else {
            // The first process may have fewer capabilities than the record names.
            defaults.capabilities.bounding & capabilities::bounding_set(state.pid)
        };
        let process = Process {
            args: options.command.clone(),
            env,
            cwd: options.workdir.clone().unwrap_or(defaults.cwd),
            user,
            capabilities: Capabilities { bounding, ..defaults.capabilities },
            seccomp: if privileged { Seccomp::Unconfined } else { defaults.seccomp },
            ..defaults
        };
        let cgroups = updated::cgroups(&Files::new(&self.roots, &record.id), state);
        let ids = record.ids().map(IdMaps::from);
        let target = exec::Target::new(state.pid, state.start_time, &cgroups, ids);
        if options.detach {
            let null = || openat(CWD, "/dev/null", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty());
            let streams = || -> Result<_, Errno> { Ok([null()?, null()?, null()?]) };
            let streams = streams().context(|| "open /dev/null")?;
            let started = exec::exec(&target, &process, Stdio::Given(streams));
            self.note_exec(record, options, &started);
            started?;
            return Ok(None);
        }
        // The terminal is made inside the container.
        let (theirs, ours) = if terminal {
            (Stdio::Terminal, None)
        } else {
            let (theirs, ours) =
                streams(options.interactive).context(|| "make the process's standard streams")?;
            (Stdio::Given(theirs), Some(ours))
        };
        // As in Docker, the exit status is 126 for an error of the engine, such as an unknown user.
        let started = exec::exec(&target, &process, theirs);
        let id = self.note_exec(record, options, &started);
        let (child, console) = started.map_err(|error| match error.exit_code() {
            EXIT_ENGINE => error.exit_with(EXIT_NOT_EXECUTABLE),
            _ => error,
        })?;
        Ok(Some(StartedProcess { child, ours, console, record: record.clone(), id }))
    }

    /// Writes Docker's events `exec_create` and `exec_start`, also for a process that could not be
    /// started. Returns the id of the process.
    fn note_exec(
        &self,
        record: &Record,
        options: &ExecOptions,
        started: &Result<(Child, Option<OwnedFd>)>,
    ) -> String {
        let pid = started.as_ref().map_or_else(|_| getpid(), |(child, _)| child.pid);
        let id = exec_id(&record.id, pid);
        let (program, args) = options.command.split_first().unwrap_or((&options.container, &[]));
        let note = |step| {
            let action = format!("{step}: {program} {}", args.join(" "));
            events::of(record, &action, &[("execID", &id)])
        };
        self.note(&[note("exec_create"), note("exec_start")]);
        id
    }

    fn follow(&self, started: Option<StartedProcess>, options: &ExecOptions) -> Result<u8> {
        let Some(StartedProcess { child, ours, console, record, id }) = started else {
            return Ok(0);
        };
        let terminal = options.tty && !options.detach;
        let ours = match (ours, console) {
            (Some(ours), _) => ours,
            (None, Some(console)) => Streams {
                stdin: if options.interactive {
                    Some(console.try_clone().context(|| "duplicate the console")?)
                } else {
                    None
                },
                stdout: console,
                stderr: None,
            },
            (None, None) => fail!("the process ended before it sent its terminal; try again"),
        };
        let end = relay::run(&child, ours, terminal, &options.detach_keys)?;
        if let End::Exited(code) = end {
            let facts = [("execID", &*id), ("exitCode", &code.to_string())];
            self.note(&[events::of(&record, "exec_die", &facts)]);
        }
        super::attach::exit_status(end, &options.container)
    }
}

/// Returns the id of a process that `exec` started. `helper` is the go-between, the process that
/// `runtime::exec` puts between this command and the program. The id is a digest of the container's
/// id and the go-between's PID and start time. So each command computes the same id, and no file
/// stores it.
fn exec_id(container: &str, helper: Pid) -> String {
    // A go-between that has ended has no start time.
    let started = sys::process::start_time(helper).ok().flatten().unwrap_or_default();
    let text = format!("{container} {} {started}", helper.as_raw_nonzero());
    Digest::of(text.as_bytes()).hex()
}

impl Engine {
    /// Returns the ids of the processes that `exec` runs in a container, for `inspect`.
    pub(super) fn exec_ids(&self, record: &Record, state: &State) -> Vec<String> {
        let go_betweens = exec::go_betweens(&cgroup::members(&state.cgroups), state.pid);
        go_betweens.into_iter().map(|pid| exec_id(&record.id, pid)).collect()
    }
}

/// Makes the streams of a process without a terminal, and this process's ends of them.
fn streams(interactive: bool) -> Result<([OwnedFd; 3], Streams), Errno> {
    let (stdin_theirs, stdin): (OwnedFd, _) = if interactive {
        let (read, write) = pipe_with(PipeFlags::CLOEXEC)?;
        (read, Some(write))
    } else {
        (openat(CWD, "/dev/null", OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?, None)
    };
    let (stdout, stdout_theirs) = pipe_with(PipeFlags::CLOEXEC)?;
    let (stderr, stderr_theirs) = pipe_with(PipeFlags::CLOEXEC)?;
    let ours = Streams { stdin, stdout, stderr: Some(stderr) };
    Ok(([stdin_theirs, stdout_theirs, stderr_theirs], ours))
}
