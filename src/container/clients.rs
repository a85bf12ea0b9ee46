//! The clients of a monitor: which ones want the program's output, and how each gets all of it
//! without the program having to wait. The log is the buffer: a client whose socket is full reads
//! on from the log files at its own pace until it has caught up. Only the client that started the
//! container slows the program down, as the reader of a pipe does, as long as it keeps reading
//! (`mydocker run … | gzip`); one that reads nothing for `PATIENCE` becomes a lagging client too.
//! Before rotation removes unread output, a later client is disconnected, but the first one stops
//! the program: a pipeline never loses a byte. Without a log (`--log-driver none`, a full disk)
//! each client holds one chunk of its own.

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

/// The most clients at the same time; further ones are refused.
const MAX_CLIENTS: usize = 64;
/// How long the first client may read nothing before the program goes on without it.
const PATIENCE: Duration = Duration::from_secs(1);
/// The most chunks that one client gets in one turn before the others get theirs.
const MAX_TURN: usize = 16;

/// All clients of one container.
pub struct Clients {
    pub list: Vec<Client>,
}

/// One client: a connection to the attach socket.
pub struct Client {
    pub socket: OwnedFd,
    /// Whether it started the container.
    first: bool,
    /// Whether it has sent its first request.
    pub greeted: bool,
    /// Whether it wants the program's output.
    pub output: bool,
    /// The position in the log from which it reads on.
    behind: Option<Cursor>,
    /// Output that the log could not store, to be sent after the log's.
    pending: VecDeque<(Stream, Rc<[u8]>)>,
    /// When it last read something, or started to lag.
    took: Instant,
}

/// Whether the monitor may read more from the program.
#[derive(PartialEq, Eq)]
pub enum Hold {
    No,
    /// Not before this time, unless a client catches up.
    Until(Instant),
    /// Not before a client catches up.
    Firm,
}

impl Client {
    /// A client that has just connected.
    pub fn new(socket: OwnedFd) -> Client {
        let (behind, pending, took) = (None, VecDeque::new(), Instant::now());
        Client { socket, first: false, greeted: false, output: false, behind, pending, took }
    }

    /// The client that started the container.
    pub fn first(socket: OwnedFd, output: bool) -> Client {
        Client { first: true, greeted: true, output, ..Client::new(socket) }
    }

    /// Whether this client has output to get.
    pub fn lags(&self) -> bool {
        self.behind.is_some() || !self.pending.is_empty()
    }

    /// Sends a lagging client as much as its socket takes. Returns false if the client is gone.
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
                    // The client would miss output; the closed connection shows that.
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

    /// Called after a send failed because the client has closed its end. Bytes that it sent
    /// before may still be unread, such as the end of its input. The monitor drops the client once
    /// these are read.
    fn end_output(&mut self) {
        (self.output, self.behind) = (false, None);
        self.pending.clear();
    }

    /// Returns false if this client must be disconnected.
    fn offer(
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
            // If the disk is full and the reader slow, the program still goes on.
            return false;
        }
        let copy = copy.get_or_insert_with(|| data.into());
        self.pending.push_back((stream, copy.clone()));
        true
    }
}

impl Clients {
    /// Adds a client, or refuses it with the reason.
    pub fn add(&mut self, client: Client) {
        if self.list.len() < MAX_CLIENTS {
            self.list.push(client);
            return;
        }
        let message = "too many clients are attached to this container; detach one first";
        let reply = Reply::Failed { code: EXIT_ENGINE, message };
        // If the message can't be sent, the client finds the connection closed.
        let _ = reply.send(client.socket.as_fd(), SendFlags::DONTWAIT);
    }

    /// Sends a chunk to every client that wants output. `mark` is the chunk's position in the log, if the
    /// log has it.
    pub fn offer(&mut self, stream: Stream, data: &[u8], log: Option<&Writer>, mark: Option<Mark>) {
        let mut copy = None;
        self.list.retain_mut(|client| client.offer(stream, data, log, mark, &mut copy));
    }

    /// Disconnects the clients that would miss the output that the next rotation removes.
    pub fn drop_outrun(&mut self, log: &Writer) {
        self.list.retain(|client| {
            client.first || !client.behind.as_ref().is_some_and(|cursor| log.may_outrun(cursor))
        });
    }

    /// Whether the program's output must wait for a client, and for which reason.
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

    /// Opens the log files that each client has still to read, so that they can be removed.
    pub fn gather(&mut self, log: &Writer) {
        self.list.retain_mut(|client| match &mut client.behind {
            Some(cursor) => cursor.gather(log).is_ok(),
            None => true,
        });
    }

    /// Sends each client as much as its socket takes. A client that has all the output gets the
    /// exit status and is removed.
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

    /// Sends each client the rest and the exit status. Waits for each client as long as it lives.
    pub fn finish(mut self, log: Option<&Writer>, code: u8) {
        let mut buffer = vec![0; MAX_PACKET];
        while !self.list.is_empty() {
            let clients = self.list.iter();
            let mut fds: Vec<_> =
                clients.map(|client| PollFd::new(&client.socket, PollFlags::OUT)).collect();
            // The loop tries again, also after an interrupt.
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
    fn what_a_client_sent_before_it_left_is_still_read() {
        let (ours, theirs) = packet::pair().unwrap();
        Request::StdinEnd.send(theirs.as_fd(), SendFlags::empty()).unwrap();
        drop(theirs);
        let mut clients = Clients { list: vec![Client::first(ours, true)] };
        clients.offer(Stream::Stdout, b"out", None, None);
        let [client] = &clients.list[..] else { panic!("the client was dropped") };
        assert!(!client.output && !client.lags());
        let mut buffer = [0; 16];
        let mut receive =
            || packet::receive(client.socket.as_fd(), &mut buffer, RecvFlags::DONTWAIT);
        assert_ne!(receive(), Ok(0));
        assert_eq!(receive(), Ok(0));
    }
}
