//! The clients of a monitor: who wants the program's output, and how each gets all of it without
//! the program having to wait for them.
//!
//! The log is the buffer. A client whose socket is full is left behind: it reads on from the log
//! files, at its own pace, until it has caught up. Only the client that began the container holds
//! the program up, as the reader of a pipe does, for as long as it keeps taking what it is given
//! (`mydocker run … | gzip` goes at gzip's pace); one that takes nothing for `PATIENCE` is left
//! behind as well. When rotation is about to remove what a client has not read, a later client is
//! let go, and the first one holds the program up after all: a pipeline never loses a byte. What
//! isn't in the log (`--log-driver none`, a full disk) is held by the one chunk.

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

/// Clients that may be connected at once; more are turned away.
const MAX_CLIENTS: usize = 64;
/// How long the first client may take nothing before the program goes on without it.
const PATIENCE: Duration = Duration::from_secs(1);
/// Chunks that one client is given in one turn: the others have theirs.
const MAX_TURN: usize = 16;

pub struct Audience {
    pub clients: Vec<Client>,
}

pub struct Client {
    pub socket: OwnedFd,
    /// It began the container.
    first: bool,
    /// It has said what it wants.
    pub greeted: bool,
    /// Wants what the program writes.
    pub output: bool,
    /// Reads on from here.
    behind: Option<Cursor>,
    /// After that, what the log could not take.
    pending: VecDeque<(Stream, Rc<[u8]>)>,
    /// When it last took something, or began to lag.
    took: Instant,
}

/// Whether more may be read from the program.
#[derive(PartialEq, Eq)]
pub enum Hold {
    No,
    /// Not before then, unless somebody takes what waits for them.
    Until(Instant),
    /// Not before somebody takes what waits for them.
    Firm,
}

impl Client {
    pub fn new(socket: OwnedFd) -> Client {
        let (behind, pending, took) = (None, VecDeque::new(), Instant::now());
        Client { socket, first: false, greeted: false, output: false, behind, pending, took }
    }

    /// The one that began the container.
    pub fn first(socket: OwnedFd, output: bool) -> Client {
        Client { first: true, greeted: true, output, ..Client::new(socket) }
    }

    pub fn lags(&self) -> bool {
        self.behind.is_some() || !self.pending.is_empty()
    }

    /// Gives a lagging client what its socket takes; false if it is to be let go.
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
                    // It would miss some: better that it knows.
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

    /// After an output that could not be sent: the client has closed its end. What it sent before
    /// that may still be unread, such as the end of its input; the monitor drops the client when it
    /// has read that.
    fn end_output(&mut self) {
        (self.output, self.behind) = (false, None);
        self.pending.clear();
    }

    /// False if this client is to be let go.
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
            // A full disk and a slow reader: the program goes on.
            return false;
        }
        let copy = copy.get_or_insert_with(|| data.into());
        self.pending.push_back((stream, copy.clone()));
        true
    }
}

impl Audience {
    /// Takes a client in, or turns it away with the reason.
    pub fn admit(&mut self, client: Client) {
        if self.clients.len() < MAX_CLIENTS {
            self.clients.push(client);
            return;
        }
        let message = "too many are attached to this container already";
        let reply = Reply::Failed { code: EXIT_ENGINE, message };
        // If it can't even take that, it finds the connection closed.
        let _ = reply.send(client.socket.as_fd(), SendFlags::DONTWAIT);
    }

    /// Hands a chunk to everyone who wants it. `mark` is where it is in the log, if it is.
    pub fn offer(&mut self, stream: Stream, data: &[u8], log: Option<&Writer>, mark: Option<Mark>) {
        let mut copy = None;
        self.clients.retain_mut(|client| client.offer(stream, data, log, mark, &mut copy));
    }

    /// Lets those go who would miss what the next rotation removes.
    pub fn leave_behind(&mut self, log: &Writer) {
        self.clients.retain(|client| {
            client.first || !client.behind.as_ref().is_some_and(|cursor| log.may_outrun(cursor))
        });
    }

    pub fn hold(&self, log: Option<&Writer>) -> Hold {
        let mut hold = Hold::No;
        for client in self.clients.iter().filter(|client| client.lags()) {
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

    /// Before the log files may be removed: opens what each is still to read.
    pub fn gather(&mut self, log: &Writer) {
        self.clients.retain_mut(|client| match &mut client.behind {
            Some(cursor) => cursor.gather(log).is_ok(),
            None => true,
        });
    }

    /// Gives everyone what they take at once; who has had all gets the exit status and is let go.
    pub fn say_goodbye(&mut self, log: Option<&Writer>, code: u8, buffer: &mut [u8]) {
        self.clients.retain_mut(|client| {
            let alive = client.feed(log, buffer);
            if !alive || client.lags() {
                return alive;
            }
            let goodbye = Reply::Exited { code };
            goodbye.send(client.socket.as_fd(), SendFlags::DONTWAIT) == Err(Errno::AGAIN)
        });
    }

    /// Gives everyone the rest and the exit status, waiting for each as long as it lives.
    pub fn see_out(mut self, log: Option<&Writer>, code: u8) {
        let mut buffer = vec![0; MAX_PACKET];
        while !self.clients.is_empty() {
            let clients = self.clients.iter();
            let mut fds: Vec<_> =
                clients.map(|client| PollFd::new(&client.socket, PollFlags::OUT)).collect();
            // Interrupted or not: tried again below.
            let _ = poll(&mut fds, None);
            self.say_goodbye(log, code, &mut buffer);
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
        let mut audience = Audience { clients: vec![Client::first(ours, true)] };
        audience.offer(Stream::Stdout, b"out", None, None);
        let [client] = &audience.clients[..] else { panic!("the client was dropped") };
        assert!(!client.output && !client.lags());
        let mut buffer = [0; 16];
        let mut receive =
            || packet::receive(client.socket.as_fd(), &mut buffer, RecvFlags::DONTWAIT);
        assert_ne!(receive(), Ok(0));
        assert_eq!(receive(), Ok(0));
    }
}
