//! `run`, `start`, `restart`: bringing a container to life and, in the foreground, staying with it.

use std::os::fd::OwnedFd;

use rustix::process::Pid;

use super::Engine;
use super::options::{AttachOptions, CreateOptions};
use crate::container::monitor::{Surroundings, Watch, spawn};
use crate::container::record::{Files, Record};
use crate::container::state::{Condition, Outcome, condition, is_watched};
use crate::container::{client, names};
use crate::error::{Result, fail};
use crate::runtime::cgroup;
use crate::store::{self, Durability, Lock, LockMode};
use crate::time::Instant;

impl Engine {
    /// `run` in the foreground: gives the command's exit status.
    pub fn run_attached(&self, options: &CreateOptions, attach: &AttachOptions) -> Result<u8> {
        let created = self.make(options, true)?;
        let socket = self.launch(&created.record, created.lock, true)?;
        self.stay(&socket, None, &created.record, attach)
    }

    /// `run -d`: gives the container's id once its command has begun.
    pub fn run_detached(&self, options: &CreateOptions) -> Result<String> {
        let created = self.make(options, true)?;
        let socket = self.launch(&created.record, created.lock, false)?;
        client::await_start(&socket)?;
        Ok(created.record.id)
    }

    pub fn start(&self, name: &str) -> Result<()> {
        if let Some((_, socket)) = self.start_again(name, false)? {
            client::await_start(&socket)?;
        }
        Ok(())
    }

    /// `start -a`: gives the command's exit status.
    pub fn start_attached(&self, name: &str, attach: &AttachOptions) -> Result<u8> {
        match self.start_again(name, true)? {
            Some((record, socket)) => self.stay(&socket, None, &record, attach),
            None => self.attach(name, attach),
        }
    }

    /// `None` if it runs already.
    fn start_again(&self, name: &str, attached: bool) -> Result<Option<(Record, OwnedFd)>> {
        let id = names::resolve(&self.roots, name)?;
        let files = Files::new(&self.roots, &id);
        let _change = Lock::wait(&files.change_lock(), LockMode::Exclusive)?;
        let mut record = Record::read(&self.roots, &id)?;
        if is_watched(&files)? {
            return Ok(None);
        }
        if files.run.exists() {
            // What a killed monitor left; its lock is free, the change lock is ours.
            crate::container::state::kill_leftovers(&id, &record.cgroup_parent, None)?;
            store::remove_tree(&files.run)?;
        }
        if let Condition::Leftover = condition(&self.roots, &record)? {
            fail!("container {name} was made with --rm and is over; `rm` removes what is left");
        }
        store::make_dir(&files.run)?;
        let lock = Lock::wait(&files.monitor_lock(), LockMode::Exclusive)?;
        Outcome::begun(Instant::now().0).write(&self.roots, &record)?;
        record.run = false;
        let socket = self.launch(&record, lock, attached)?;
        Ok(Some((record, socket)))
    }

    /// Forks the monitor. Comes back before the command has begun: the socket tells when.
    fn launch(&self, record: &Record, lock: Lock, attached: bool) -> Result<OwnedFd> {
        let files = Files::new(&self.roots, &record.id);
        self.find_cgroups()?;
        let launch = || {
            let spec = self.spec(record)?;
            let surroundings = &mut NoNetwork;
            let roots = &self.roots;
            spawn(Watch { roots, record, spec, lock, attached, surroundings })
        };
        launch().inspect_err(|_| {
            // Nothing runs: what `run --rm` made goes, else only the run directory.
            let _ = match record.remove && record.run {
                true => crate::container::state::erase(&self.roots, &record.id, &record.name),
                false => store::remove_tree(&files.run),
            };
        })
    }

    /// Sees to it that there are cgroups, on a host that didn't mount them. Without any, containers
    /// run unlimited, which is said once each boot; a limit that was asked for is refused later.
    fn find_cgroups(&self) -> Result<()> {
        let Err(reason) = cgroup::mount_missing() else { return Ok(()) };
        let told = self.roots.run.join(".without-cgroups");
        if !told.exists() {
            (self.tell)(&format!("containers run without limits: {reason}"));
            store::replace(&told, b"", Durability::Lazy)?;
        }
        Ok(())
    }

    /// Stays tied to a container until it ends or lets us go.
    pub(super) fn stay(
        &self,
        socket: &OwnedFd,
        program: Option<(i32, u64)>,
        record: &Record,
        attach: &AttachOptions,
    ) -> Result<u8> {
        let ties = client::Ties {
            stdin: attach.stdin && record.interactive,
            terminal: record.tty,
            redraw: record.tty && program.is_some(),
            sig_proxy: attach.sig_proxy,
            detach_keys: &attach.detach_keys,
        };
        let program = match program {
            Some(program) => program,
            None => client::await_start(socket)?,
        };
        match client::tie(socket, Some(program), &ties)? {
            client::End::Lost => self.status_of_lost(record),
            end => super::attach::exit_status(end, &record.name),
        }
    }

    pub fn restart(&self, name: &str, timeout: Option<i64>) -> Result<()> {
        self.stop(name, timeout, None)?;
        self.start(name)
    }
}

/// `--net none`, `host` and `container:`: nothing to set up beside what `runtime` does.
struct NoNetwork;

impl Surroundings for NoNetwork {
    fn set_up(&mut self, _pid: Pid) -> Result<()> {
        Ok(())
    }

    fn take_down(&mut self) -> Result<()> {
        Ok(())
    }
}
