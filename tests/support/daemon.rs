//! The daemon of another engine, in its own mount namespace and in the network namespace of a
//! test's machine. So the daemon's bridges and firewall rules stay off the host. The caller of
//! `start` gives the daemon a state directory of its own, by arguments or a configuration file.

use std::path::Path;
use std::process::{Child, Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};

use super::machine::{Machine, Side};
use super::{eventually, remove_cgroup};

/// A running daemon. Dropping this stops it.
pub struct Daemon {
    child: Child,
    /// The cgroup above the cgroups of the daemon's containers; removed after the daemon's end.
    cgroup: String,
    pub machine: Machine,
}

impl Daemon {
    /// Starts a daemon with its output in the file `log`. Waits until the command `client`
    /// succeeds. If the daemon ends before that, the error contains the last lines of `log`.
    pub fn start(
        line: &[&str],
        log: &Path,
        cgroup: &str,
        mut client: Command,
    ) -> Result<Daemon, String> {
        let file = std::fs::File::create(log).unwrap();
        let machine = Machine::new();
        let unshare = ["unshare", "--mount", "--propagation", "private"];
        let mut command = machine.command(Side::Here, &unshare);
        command.args(line).stdin(Stdio::null()).stdout(file.try_clone().unwrap()).stderr(file);
        let child = command.spawn().unwrap();
        let mut daemon = Daemon { child, cgroup: cgroup.to_owned(), machine };
        let mut has_answered = false;
        eventually(&format!("{} answers", line[0]), || {
            has_answered = client.output().unwrap().status.success();
            has_answered || daemon.child.try_wait().unwrap().is_some()
        });
        if !has_answered {
            let log = std::fs::read_to_string(log).unwrap();
            let last: Vec<&str> = log.lines().rev().take(3).collect();
            return Err(format!("{} doesn't start: {}", line[0], last.join(" | ")));
        }
        Ok(daemon)
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = kill_process(Pid::from_child(&self.child), Signal::TERM);
        let _ = self.child.wait();
        remove_cgroup(&self.cgroup);
    }
}
