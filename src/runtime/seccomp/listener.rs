//! Connects a seccomp filter to an agent outside the container, which decides the system calls with
//! the action NOTIFY (seccomp_unotify(2)).
//!
//! The agent listens on a unix socket. The container's first process and each process of `exec`
//! connect once. The process sends the filter's descriptor and the container process state as JSON
//! ("The Container Process State" in config-linux.md of the OCI runtime specification). The process
//! connects while the host's paths are reachable, and sends after the filter is installed and
//! before the program runs. For `exec`, the PID in the state is that of the helper, which installs
//! the filter and forks the program.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::net::{
    AddressFamily, SendFlags, Shutdown, SocketAddrUnix, SocketFlags, SocketType, connect, shutdown,
    socket_with,
};

use miniserde::json;

use super::Seccomp;
use crate::error::{Context, Result};
use crate::raw;
use crate::runtime::OCI_VERSION as VERSION;
use crate::sys::{packet, process};

/// The address of a filter's agent, and the data for the agent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Listener {
    /// The path of the agent's socket on the host.
    pub path: String,
    /// Data that the agent gets unchanged.
    pub metadata: String,
    /// The container's ID, which the engine and `oci` set after parsing. Only `oci` sets the
    /// following fields.
    pub id: String,
    /// The bundle's directory on the host.
    pub bundle: String,
    pub annotations: BTreeMap<String, String>,
}

/// A connection to the agent.
pub struct Agent {
    socket: OwnedFd,
    /// The container process state as JSON.
    message: String,
}

impl Agent {
    /// Connects to the agent of `seccomp`. Returns `None` if the filter has no agent. `status` is
    /// the container's status. `first` is the PID of the container's first process; `None` means
    /// the calling process. The host's /proc must be mounted. Fails if the agent cannot be reached,
    /// or if /proc/self cannot be read.
    pub fn connect(seccomp: &Seccomp, status: &str, first: Option<i32>) -> Result<Option<Agent>> {
        let Seccomp::Filter(filter) = seccomp else { return Ok(None) };
        let Some(listener) = &filter.listener else { return Ok(None) };
        let kind = SocketType::STREAM;
        let socket = socket_with(AddressFamily::UNIX, kind, SocketFlags::CLOEXEC, None)
            .context(|| "make a socket for the seccomp agent")?;
        SocketAddrUnix::new(&*raw::path(&listener.path))
            .and_then(|address| connect(&socket, &address))
            .context(|| format!("connect to the seccomp agent at {}", listener.path))?;
        let own = process::own_pid_in_proc().context(|| "read /proc/self")?;
        let message = message(listener, status, own, first.unwrap_or(own));
        Ok(Some(Agent { socket, message }))
    }

    /// The descriptor of the connection, which must stay open until `hand_over`.
    pub fn descriptor(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }

    /// Sends the filter's descriptor to the agent and closes the connection for writing. Fails with
    /// the errors of sendmsg(2).
    pub fn hand_over(&self, filter: BorrowedFd<'_>) -> Result<()> {
        let message = self.message.as_bytes();
        packet::send(self.descriptor(), &[message], Some(filter), SendFlags::NOSIGNAL)
            .context(|| "send the filter to the seccomp agent")?;
        // End the connection here, because a process that stays in the container keeps the
        // descriptor open. If the filter refuses shutdown(2), the connection ends when no process
        // has the descriptor open.
        let _ = shutdown(&self.socket, Shutdown::Write);
        Ok(())
    }
}

/// The container process state of the process `pid`, as JSON. `first` is the PID of the container's
/// first process.
fn message(listener: &Listener, status: &str, pid: i32, first: i32) -> String {
    let mut text = format!(r#"{{"ociVersion":"{VERSION}","fds":["seccompFd"],"pid":{pid}"#);
    if !listener.metadata.is_empty() {
        // Writing to a String can't fail.
        let _ = write!(text, r#","metadata":{}"#, json::to_string(&listener.metadata));
    }
    let id = json::to_string(&listener.id);
    let _ = write!(text, r#","state":{{"ociVersion":"{VERSION}","id":{id},"status":"{status}""#);
    let bundle = json::to_string(&listener.bundle);
    let _ = write!(text, r#","pid":{first},"bundle":{bundle}"#);
    if !listener.annotations.is_empty() {
        let _ = write!(text, r#","annotations":{}"#, json::to_string(&listener.annotations));
    }
    text + "}}"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_container_process_state_is_json() {
        let text = |text: &str| text.to_owned();
        let listener = Listener {
            path: String::new(),
            metadata: text("a\"b"),
            id: text("c1"),
            bundle: text("/b"),
            annotations: [(text("k"), text("v"))].into(),
        };
        assert_eq!(
            message(&listener, "creating", 7, 5),
            r#"{"ociVersion":"1.3.0","fds":["seccompFd"],"pid":7,"metadata":"a\"b","state":{"#
                .to_owned()
                + r#""ociVersion":"1.3.0","id":"c1","status":"creating","pid":5,"bundle":"/b","#
                + r#""annotations":{"k":"v"}}}"#
        );
    }
}
