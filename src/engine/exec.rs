//! `exec`: a further process in a running container.

use std::os::fd::OwnedFd;

use rustix::fs::{CWD, Mode, OFlags, openat};
use rustix::io::Errno;
use rustix::pipe::{PipeFlags, pipe_with};

use super::Engine;
use super::options::ExecOptions;
use crate::container::record::Record;
use crate::container::relay::{self, Streams};
use crate::container::state::{Condition, State};
use crate::container::tty;
use crate::error::{Context, Result, fail};
use crate::runtime::seccomp::Seccomp;
use crate::runtime::spec::Process;
use crate::runtime::{Stdio, capabilities, exec};
use crate::sys::clone::Child;

/// A process that has started, our ends of its streams and its console; none if it is detached.
type Begun = Option<(Child, Option<Streams>, Option<OwnedFd>)>;

impl Engine {
    /// Returns the command's exit status, or with `detach` 0 as soon as the command has started.
    pub fn exec(&self, options: &ExecOptions) -> Result<u8> {
        // One that a restart policy starts again each time can't end under us more often.
        const MAX_TRIES: u32 = 16;
        if options.command.is_empty() {
            fail!("no command given");
        }
        let container = &options.container;
        for _ in 0..MAX_TRIES {
            let record = self.record(container)?;
            let (record, state) = match self.glance(&record)? {
                // Whether its process lives is found out as it is entered.
                Condition::Running(state) => (record, state),
                _ => self.running(container)?,
            };
            match self.exec_in(&record, &state, options) {
                Ok(begun) => return self.follow(begun, options),
                // The container ended under us: the state that follows says what to answer.
                Err(_) if state.has_ended() => drop(self.running(container)?),
                Err(error) => return Err(error),
            }
        }
        fail!("container {container} starts and ends all the time; try again")
    }

    fn exec_in(&self, record: &Record, state: &State, options: &ExecOptions) -> Result<Begun> {
        self.refuse_paused(record, state)?;
        let defaults = super::spec::process(record);
        let terminal = options.tty && !options.detach;
        Engine::need_terminal(options.interactive && terminal)?;
        let privileged = options.privileged || record.privileged;
        let mut env = defaults.env.clone();
        if terminal {
            super::create::set_env(&mut env, "TERM=xterm");
        }
        for pair in &options.env {
            super::create::set_env(&mut env, pair);
        }
        env.retain(|pair| pair.contains('=') || !options.env.contains(pair));
        let process = Process {
            args: options.command.clone(),
            env,
            cwd: options.workdir.clone().unwrap_or(defaults.cwd),
            user: options.user.clone().unwrap_or(defaults.user),
            terminal,
            window: if terminal { tty::size() } else { None },
            capabilities: match privileged {
                true => capabilities::all(),
                // Its first process may have been denied more than was asked for.
                false => defaults.capabilities & capabilities::bounding_set(state.pid),
            },
            seccomp: if privileged { Seccomp::Unconfined } else { defaults.seccomp },
            ..defaults
        };
        let target = exec::Target {
            pid: state.pid,
            start_time: state.start_time,
            cgroups: &state.cgroups,
            ids: record.ids(),
        };
        if options.detach {
            let null = || openat(CWD, "/dev/null", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty());
            let streams = || -> Result<_, Errno> { Ok([null()?, null()?, null()?]) };
            let streams = streams().context(|| "open /dev/null")?;
            exec::exec(&target, &process, Stdio::Given(streams))?;
            return Ok(None);
        }
        let (theirs, ours) = streams(options.interactive, terminal)
            .context(|| "make the process's standard streams")?;
        let (child, console) = exec::exec(&target, &process, theirs)?;
        Ok(Some((child, ours, console)))
    }

    fn follow(&self, begun: Begun, options: &ExecOptions) -> Result<u8> {
        let Some((child, ours, console)) = begun else { return Ok(0) };
        let terminal = options.tty && !options.detach;
        let ours = match (ours, console) {
            (Some(ours), _) => ours,
            (None, Some(console)) => Streams {
                stdin: match options.interactive {
                    true => Some(console.try_clone().context(|| "duplicate the console")?),
                    false => None,
                },
                stdout: console,
                stderr: None,
            },
            (None, None) => fail!("the process gave no terminal"),
        };
        let end = relay::run(&child, ours, terminal, &options.detach_keys)?;
        super::attach::exit_status(end, &options.container)
    }
}

/// The process's streams and our ends of them; a terminal's end comes from the container.
fn streams(interactive: bool, terminal: bool) -> Result<(Stdio, Option<Streams>), Errno> {
    if terminal {
        return Ok((Stdio::Terminal, None));
    }
    let (stdin_theirs, stdin): (OwnedFd, _) = if interactive {
        let (read, write) = pipe_with(PipeFlags::CLOEXEC)?;
        (read, Some(write))
    } else {
        (openat(CWD, "/dev/null", OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?, None)
    };
    let (stdout, stdout_theirs) = pipe_with(PipeFlags::CLOEXEC)?;
    let (stderr, stderr_theirs) = pipe_with(PipeFlags::CLOEXEC)?;
    let ours = Streams { stdin, stdout, stderr: Some(stderr) };
    Ok((Stdio::Given([stdin_theirs, stdout_theirs, stderr_theirs]), Some(ours)))
}
