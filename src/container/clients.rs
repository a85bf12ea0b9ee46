//! The clients of a monitor and their output. Each client that wants output gets all of it or is
//! disconnected.
//!
//! The log is the buffer: a client whose socket is full gets its output from the log files until it
//! has caught up. So normally only the first client, which started the container, slows the program
//! down, as the reader of a pipe does (`mydocker run … | gzip`). If the first client reads nothing
//! for `PATIENCE`, the program goes on. Before a rotation removes unread output, a later client is
//! disconnected; for the first client the program waits instead, so a pipeline loses no byte.
//! Without a log, any client can slow the program down: the program waits until the socket of each
//! client has accepted the last chunk.

use std::collections::VecDeque;
use std::os::fd::{AsFd, OwnedFd};
use std::rc::Rc;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use rustix::net::SendFlags;

use super::logs::{Cursor, Mark, Writer};
use super::protocol::{MAX_PACKET, Reply, Stream};
use crate::error::EXIT_ENGINE;

/// The largest number of clients at the same time. Further clients are refused.
const MAX_CLIENTS: usize = 64;
/// How long the first client may read nothing before the program goes on.
const PATIENCE: Duration = Duration::from_secs(1);
/// The largest number of chunks that one call of `Client::feed` sends.
const MAX_TURN: usize = 16;

/// All clients of one container.
pub struct Clients {
    pub list: Vec<Client>,
}

/// One client: the monitor's end of its connection.
pub struct Client {
    pub socket: OwnedFd,
    /// Whether this client started the container.
    first: bool,
    /// Whether the client has sent `Request::Hello`. Always true for the first client, which sends
    /// no such message.
    pub greeted: bool,
    /// Whether the client gets the program's output.
    pub output: bool,
    /// The position in the log of the next chunk to send; `None` while the client gets no output
    /// from the log.
    behind: Option<Cursor>,
    /// Output that is kept in memory for the client. The client gets this output after the output
    /// from the log.
    pending: VecDeque<(Stream, Rc<[u8]>)>,
    /// The last time at which the socket of the lagging client accepted a chunk, or the time when
    /// the client started to lag.
    took: Instant,
}

/// Whether the monitor may read more output from the program.
#[derive(PartialEq, Eq)]
pub enum Hold {
    /// The monitor may read.
    No,
    /// The monitor must not read before this time, unless a client catches up.
    Until(Instant),
    /// The monitor must not read until a client has got more output.
    Firm,
}

impl Client {
    /// Creates a client for a new connection.
    pub fn new(socket: OwnedFd) -> Client {
        let (behind, pending, took) = (None, VecDeque::new(), Instant::now());
        Client { socket, first: false, greeted: false, output: false, behind, pending, took }
    }

    /// Creates the client that started the container.
    pub fn first(socket: OwnedFd, output: bool) -> Client {
        Client { first: true, greeted: true, output, ..Client::new(socket) }
    }

    /// Whether there is output that was not sent to this client yet.
    pub fn lags(&self) -> bool {
        self.behind.is_some() || !self.pending.is_empty()
    }

    /// Sends a lagging client as many chunks as its socket accepts, at most `MAX_TURN`. Returns
    /// false if the client must be disconnected because its output cannot be read from the log.
    pub fn feed(&mut self, log: Option<&Writer>, buffer: &mut [u8]) -> bool {
        for _ in 0..MAX_TURN {
            let sent = if let (Some(cursor), Some(log)) = (&mut self.behind, log) {
                match cursor.peek(log, buffer) {
                    Ok(Some((stream, data))) => {
                        let sent = give(&self.socket, stream, data);
                        if sent.is_ok() {
                            cursor.advance(data.len());
                        }
                        sent
                    }
                    Ok(None) => {
                        self.behind = None;
                        continue;
                    }
                    // Close the connection, to show the client that output is missing.
                    Err(_) => return false,
                }
            } else if let Some((stream, data)) = self.pending.front() {
                let sent = give(&self.socket, *stream, data);
                if sent.is_ok() {
                    self.pending.pop_front();
                }
                sent
            } else {
                return true;
            };
            match sent {
                Ok(()) => self.took = Instant::now(),
                Err(Errno::AGAIN) => return true,
                Err(_) => {
                    self.end_output();
                    return true;
                }
            }
        }
        true
    }

    /// Stops the output to a client that has closed its end. Messages that the client sent before
    /// may still be unread, such as the end of its input. The monitor reads these messages before
    /// it removes the client.
    fn end_output(&mut self) {
        (self.output, self.behind) = (false, None);
        self.pending.clear();
    }

    /// Sends a chunk to this client, or leaves the chunk to a later `feed`. Returns false if the
    /// client must be disconnected.
    fn send_output(
        &mut self,
        stream: Stream,
        data: &[u8],
        log: Option<&Writer>,
        mark: Option<Mark>,
        copy: &mut Option<Rc<[u8]>>,
    ) -> bool {
        if !self.output {
            return true;
        }
        if !self.lags() {
            match give(&self.socket, stream, data) {
                Ok(()) => return true,
                Err(Errno::AGAIN) => self.took = Instant::now(),
                Err(_) => {
                    self.end_output();
                    return true;
                }
            }
        }
        if let (Some(log), Some(mark), true) = (log, mark, self.pending.is_empty()) {
            if self.behind.is_some() {
                return true;
            }
            self.behind = log.cursor(mark).ok();
            if self.behind.is_some() {
                return true;
            }
        } else if log.is_some() && !self.first {
            // The client lags and cannot be served from the log, for example because the disk was
            // full. Disconnect the client, so that the program can go on.
            return false;
        }
        let copy = copy.get_or_insert_with(|| data.into());
        self.pending.push_back((stream, copy.clone()));
        true
    }
}

impl Clients {
    /// Adds a client. If there are `MAX_CLIENTS` already, sends the client an error and closes its
    /// connection.
    pub fn add(&mut self, client: Client) {
        if self.list.len() < MAX_CLIENTS {
            self.list.push(client);
            return;
        }
        let message = "too many clients are attached to this container; detach one first";
        let reply = Reply::Failed { code: EXIT_ENGINE, message };
        // If the send fails, the client only sees that the connection is closed.
        let _ = reply.send(client.socket.as_fd(), SendFlags::DONTWAIT);
    }

    /// Sends a chunk to every client that wants output, and disconnects each client that can no
    /// longer get all output. `mark` is the chunk's position in the log; `None` if the log lacks
    /// the chunk.
    pub fn send_output(
        &mut self,
        stream: Stream,
        data: &[u8],
        log: Option<&Writer>,
        mark: Option<Mark>,
    ) {
        let mut copy = None;
        self.list.retain_mut(|client| client.send_output(stream, data, log, mark, &mut copy));
    }

    /// Disconnects each client, except the first, if the next chunk may cause a rotation that
    /// removes output which was not sent to the client yet.
    pub fn disconnect_slow(&mut self, log: &Writer) {
        self.list.retain(|client| {
            client.first || !client.behind.as_ref().is_some_and(|cursor| log.may_outrun(cursor))
        });
    }

    /// Whether the monitor must stop reading the program's output because of a client.
    pub fn hold(&self, log: Option<&Writer>) -> Hold {
        let mut hold = Hold::No;
        for client in self.list.iter().filter(|client| client.lags()) {
            let outrun = client
                .behind
                .as_ref()
                .is_some_and(|cursor| log.is_some_and(|log| log.may_outrun(cursor)));
            if !client.pending.is_empty() || (client.first && outrun) {
                return Hold::Firm;
            }
            let until = client.took + PATIENCE;
            if client.first && until > Instant::now() {
                hold = Hold::Until(until);
            }
        }
        hold
    }

    /// Opens the log files that the clients have not read yet, so that the files can be removed.
    /// Disconnects a client if one of its files cannot be opened.
    pub fn open_unread(&mut self, log: &Writer) {
        self.list.retain_mut(|client| match &mut client.behind {
            Some(cursor) => cursor.open_unread(log).is_ok(),
            None => true,
        });
    }

    /// Sends each client more output, as [`Client::feed`] does. If a client has got all output,
    /// sends it the exit status and removes it. Also removes a client that has closed its
    /// connection.
    pub fn send_exit(&mut self, log: Option<&Writer>, code: u8, buffer: &mut [u8]) {
        self.list.retain_mut(|client| {
            let alive = client.feed(log, buffer);
            if !alive || client.lags() {
                return alive;
            }
            let goodbye = Reply::Exited { code };
            goodbye.send(client.socket.as_fd(), SendFlags::DONTWAIT) == Err(Errno::AGAIN)
        });
    }

    /// Sends each client the rest of the output and the exit status. Returns when every client has
    /// got all, has closed its connection or was disconnected.
    pub fn finish(mut self, log: Option<&Writer>, code: u8) {
        let mut buffer = vec![0; MAX_PACKET];
        while !self.list.is_empty() {
            let clients = self.list.iter();
            let mut fds: Vec<_> =
                clients.map(|client| PollFd::new(&client.socket, PollFlags::OUT)).collect();
            // An error, such as EINTR, makes the loop try again.
            let _ = poll(&mut fds, None);
            self.send_exit(log, code, &mut buffer);
        }
    }
}

fn give(socket: &OwnedFd, stream: Stream, data: &[u8]) -> Result<(), Errno> {
    let reply = match stream {
        Stream::Stdout => Reply::Stdout(data),
        Stream::Stderr => Reply::Stderr(data),
    };
    reply.send(socket.as_fd(), SendFlags::DONTWAIT)
}

#[cfg(test)]
mod tests {
    use rustix::net::RecvFlags;

    use super::*;
    use crate::container::protocol::Request;
    use crate::sys::packet;

    #[test]
    fn messages_of_a_client_that_has_left_are_still_read() {
        let (ours, theirs) = packet::pair().unwrap();
        Request::StdinEnd.send(theirs.as_fd(), SendFlags::empty()).unwrap();
        drop(theirs);
        let mut clients = Clients { list: vec![Client::first(ours, true)] };
        clients.send_output(Stream::Stdout, b"out", None, None);
        let [client] = &clients.list[..] else { panic!("the client was dropped") };
        assert!(!client.output && !client.lags());
        let mut buffer = [0; 16];
        let mut receive =
            || packet::receive(client.socket.as_fd(), &mut buffer, RecvFlags::DONTWAIT);
        assert_ne!(receive(), Ok(0));
        assert_eq!(receive(), Ok(0));
    }
}
