//! `run`, `start` and `restart`: starts a container by forking its monitor. A command in the
//! foreground then stays attached to the container.
//!
//! The container's lock for changes is held until the monitor has its own lock, so two starts
//! exclude each other. `container::monitor` does the monitor's work, and `container::client` the
//! client's.

use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use super::condition::no_such;
use super::hooks::{self, HostResources};
use super::options::{AttachOptions, CreateOptions};
use super::warning::Warning;
use super::{Engine, anonymous_volumes, log_driver, stop};
use crate::container::files::Files;
use crate::container::monitor::{Watch, spawn};
use crate::container::record::Record;
use crate::container::state::{
    Condition, MAX_CLEANUP, Outcome, Span, State, Unlisted, at_rest, erase, find_unlisted, lives,
    monitor_ends_by, reclaim_locked, record_outcome, state_of_watched, unlisted_monitor,
};
use crate::container::{client, events, id_range, names};
use crate::container_id::ContainerId;
use crate::error::{Result, fail};
use crate::runtime::cgroup;
use crate::store::{self, Durability, Lock};
use crate::sys;
use crate::time::Instant;

impl Engine {
    /// Makes and starts a container in the foreground (`run`). Calls `made` with the id after the
    /// fork of the monitor. Returns the exit status of the container's program.
    pub fn run_attached(
        &self,
        options: &CreateOptions,
        attach: &AttachOptions,
        made: &dyn Fn(&str) -> Result<()>,
    ) -> Result<u8> {
        self.await_dependencies(&options.lifecycle.depends_on)?;
        let created = self.make(options, true)?;
        let socket = self.launch(&created.record, created.lock, Span::default(), true)?;
        made(&created.record.id)?;
        self.stay(&socket, None, &created.record, attach)
    }

    /// Makes and starts a container in the background (`run -d`). Returns its id when its program
    /// has started.
    pub fn run_detached(&self, options: &CreateOptions) -> Result<ContainerId> {
        self.await_dependencies(&options.lifecycle.depends_on)?;
        let created = self.make(options, true)?;
        let socket = self.launch(&created.record, created.lock, Span::default(), false)?;
        client::await_start(&socket)?;
        Ok(created.record.id)
    }

    /// Starts a container (`start`). Returns when its program has started, or at once if the
    /// container runs or waits for a restart.
    pub fn start(&self, name: &str) -> Result<()> {
        self.end_start(self.begin_start(name)?)
    }

    /// Starts a container, but does not wait until its program has started: `end_start` waits. So
    /// several containers can start at the same time.
    pub fn begin_start(&self, name: &str) -> Result<Starting> {
        Ok(Starting(self.start_again(name, None)?.map(|(_, socket)| socket)))
    }

    /// Waits until the program of a container has started. Fails if the program cannot be started.
    pub fn end_start(&self, starting: Starting) -> Result<()> {
        starting.0.map_or(Ok(()), |socket| client::await_start(&socket).map(drop))
    }

    /// Starts a container and attaches to it (`start -a`). Returns the exit status of its program.
    pub fn start_attached(&self, name: &str, attach: &AttachOptions) -> Result<u8> {
        match self.start_again(name, Some(attach))? {
            Some((record, socket)) => self.stay(&socket, None, &record, attach),
            None => self.attach(name, attach),
        }
    }

    /// Starts a container that exists already. Returns `None` if it runs or waits for its next
    /// restart.
    fn start_again(
        &self,
        name: &str,
        attach: Option<&AttachOptions>,
    ) -> Result<Option<(Record, OwnedFd)>> {
        let with_stdin = attach.is_some_and(|attach| attach.stdin);
        let id = names::resolve(&self.roots, name)?;
        let files = Files::new(&self.roots, &id);
        let record = self.record_of(&id, name)?;
        if !record.lifecycle.depends_on.is_empty() && !lives(&self.roots, &record)? {
            self.await_dependencies(&record.lifecycle.depends_on)?;
        }
        let deadline = std::time::Instant::now() + MAX_CLEANUP;
        let mut pause = Duration::from_millis(1);
        let mut ending = None;
        let (_change, mut record, outcome) = loop {
            let Some(change) = files.lock_changes()? else { return Err(no_such(name)) };
            let record = Record::read(&self.roots, &id)?;
            Engine::need_terminal(with_stdin && record.streams.interactive && record.streams.tty)?;
            match self.life(&record)? {
                Life::Alive(state) => {
                    if state.pid != 0 {
                        self.refuse_paused(&record, &state)?;
                    }
                    return Ok(None);
                }
                Life::Clean(outcome) if !files.run.exists() => {
                    break (change, record, Some(outcome));
                }
                Life::Clean(_) | Life::Unclean => break (change, record, None),
                Life::InTransition if std::time::Instant::now() > deadline => {
                    return Err(stop::hangs(&record.name));
                }
                // If the monitor's run directory was removed, its lock cannot be checked, so wait
                // for the monitor's process.
                Life::InTransition if ending.is_none() => {
                    ending = unlisted_monitor(&self.roots, &record)?;
                }
                Life::InTransition => {}
            }
            // Wait without the lock for changes, because the end of the container needs it.
            drop(change);
            std::thread::sleep(pause);
            pause = (pause * 2).min(Duration::from_millis(50));
        };
        // The monitor may still be cleaning up after it has recorded the end of the run.
        if let Some(monitor) = ending
            && !monitor_ends_by(&record, monitor.as_fd(), Some(deadline))?
        {
            return Err(stop::hangs(&record.name));
        }
        let condition = match outcome {
            Some(outcome) => at_rest(record.origin(), outcome)?,
            None => {
                reclaim_locked(&self.roots, &record, hooks::take_down)?;
                self.present_condition(&record)?
            }
        };
        // Keep `kept` in the outcome that is written below. Otherwise, if this process is killed
        // before the program runs, a container with --rm is removed although `restart` must keep
        // it.
        let (kept, before) = match condition {
            Condition::Leftover => {
                fail!(
                    "container {name} was made with --rm and has ended; remove the rest with `rm`"
                )
            }
            Condition::Exited(outcome) => (outcome.kept, outcome.span()),
            _ => (None, Span::default()),
        };
        let lock = files.lock_monitor()?;
        Outcome { kept, ..Outcome::started(Instant::now().0) }.write(&self.roots, &record)?;
        record.run = false;
        let socket = self.launch(&record, lock, before, attach.is_some())?;
        Ok(Some((record, socket)))
    }

    /// Finds out whether a container runs. The caller holds the container's lock for changes.
    pub(super) fn life(&self, record: &Record) -> Result<Life> {
        let files = Files::new(&self.roots, &record.id);
        let state = match Lock::find_holder(&files.monitor_lock())? {
            Some(true) => state_of_watched(&files, record)?,
            Some(false) => return Ok(Life::Unclean),
            None => {
                let outcome: Option<Outcome> = store::read_json(&files.outcome())?;
                match find_unlisted(&self.roots, record, outcome.as_ref())? {
                    Unlisted::Running(state) => Some(state),
                    Unlisted::InTransition => None,
                    Unlisted::Orphaned => return Ok(Life::Unclean),
                    Unlisted::Nothing => return Ok(Life::Clean(outcome)),
                }
            }
        };
        match state {
            // The monitor waits for the next restart.
            Some(state) if state.pid == 0 => Ok(Life::Alive(state)),
            Some(state) if state.find()?.living().is_some() => Ok(Life::Alive(state)),
            _ => Ok(Life::InTransition),
        }
    }

    /// Forks the monitor and returns a connection to it. The program may not have started yet: a
    /// message on the connection reports the start.
    pub(super) fn launch(
        &self,
        record: &Record,
        lock: Lock,
        before: Span,
        attached: bool,
    ) -> Result<OwnedFd> {
        let launch = || {
            cgroup::find_or_warn(&self.roots.run, |reason| {
                (self.warn)(&Warning::WithoutLimits(reason));
            })?;
            self.warn_of_short_files();
            record.make_sources()?;
            let spec = self.spec(record)?;
            let hooks = &mut HostResources::new(self, record);
            let roots = &self.roots;
            let process = |record: &Record| super::spec::process(record, false);
            let renew = &|record: &Record| self.spec(record);
            let forward = log_driver::destination(record)?;
            spawn(Watch {
                roots,
                record,
                spec,
                lock,
                before,
                attached,
                hooks,
                process,
                renew,
                forward,
            })
        };
        launch().inspect_err(|error| {
            // Nothing runs, so remove a container of `run --rm`. For any other container, record
            // the failed start and remove the run directory. Ignore errors here: the user must see
            // the first failure, and `system check` finds a mount that is left.
            let _ = hooks::release_volumes(&self.roots, record);
            let mut noted = Vec::new();
            if record.run {
                noted.push(events::of(record, "create", &[]));
            }
            let _ = if record.lifecycle.remove && record.run {
                noted.extend(anonymous_volumes::remove(&self.roots, record));
                noted.push(events::of(record, "destroy", &[]));
                erase(&self.roots, &record.id, &record.name, Durability::Lazy)
                    .and_then(|()| id_range::release_assigned(&self.roots, record))
            } else {
                record_outcome(&self.roots, record, &Outcome::not_started(error, before))
            };
            self.note(&noted);
        })
    }

    /// Warns if mydocker lacks the capability to raise the caller's limit on file sizes, because
    /// the monitor and the container inherit the limit (RLIMIT_FSIZE of getrlimit(2)).
    fn warn_of_short_files(&self) {
        if let Some(most) = sys::inherited::file_size_limit() {
            (self.warn)(&Warning::ShortFiles(most));
        }
    }

    /// Stays attached to a container until it exits or the client detaches. Returns the exit
    /// status.
    pub(super) fn stay(
        &self,
        socket: &OwnedFd,
        program: Option<(i32, u64)>,
        record: &Record,
        attach: &AttachOptions,
    ) -> Result<u8> {
        let options = client::Attach {
            stdin: attach.stdin && record.streams.interactive,
            stdout: attach.stdout,
            stderr: attach.stderr,
            terminal: record.streams.tty,
            redraw: record.streams.tty && program.is_some(),
            sig_proxy: attach.sig_proxy,
            detach_keys: &attach.detach_keys,
            output: None,
        };
        let program = match program {
            Some(program) => program,
            None => client::await_start(socket)?,
        };
        match client::attach(socket, Some(program), &options)? {
            client::End::Lost => self.status_of_lost(record),
            end => super::attach::exit_status(end, &record.name),
        }
    }
}

/// A container that is being started: the connection to its monitor, or `None` if the container had
/// a monitor already.
pub struct Starting(Option<OwnedFd>);

/// The result of [`Engine::life`]: whether a container runs.
pub(super) enum Life {
    /// The monitor lives, and the program runs or waits for a restart.
    Alive(State),
    /// The monitor is starting the program or cleaning up after it. The state changes soon.
    InTransition,
    /// The container has neither a monitor nor a lock file. The outcome is that of its last run, if
    /// there was one.
    Clean(Option<Outcome>),
    /// The container has no monitor, but its last run left something to clean up.
    Unclean,
}
