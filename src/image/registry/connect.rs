//! Opens connections to registries, directly or through a proxy, plain or with TLS, and keeps them
//! for the next request. A connect has a timeout, and a read fails below a minimum rate, so a
//! stalled server can't block a pull. After a stall the caller may repeat the request, unless
//! another source can be asked. `http` implements HTTP, and `tls` checks certificates.

use std::io::{self, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use super::http::{
    Attempt, Body, Cause, Connection, Failure, Head, Payload, Request, Stream, connection, exchange,
};
use super::proxy::{Proxies, Proxy};
use super::tls::Trust;
use super::url::{Host, Origin, Url};
use crate::error::{Context, Error};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(15);
/// The maximum number of addresses of a host that are tried.
const MAX_ADDRESSES: usize = 8;
/// The minimum average rate, in bytes per second. The rate is measured each time the reads have
/// waited for `Connector::stall`. Several layers that share a slow mobile line still reach it.
const LEAST_RATE: u64 = 500;
/// The maximum number of idle connections: more than the number of parallel downloads.
const MAX_IDLE: usize = 8;

/// A stream that fails if the other side sends too little for too long. Only the time of waiting
/// counts, not the time that a slow disk on this side takes.
struct Paced {
    stream: TcpStream,
    stall: Duration,
    /// How long the reads of this turn waited. A turn ends with the next write, or after `stall` of
    /// waiting. `received` is the number of bytes that the reads got.
    waited: Duration,
    received: u64,
}

impl Paced {
    fn new(stream: TcpStream, stall: Duration) -> Paced {
        Paced { stream, stall, waited: Duration::ZERO, received: 0 }
    }

    fn begin_turn(&mut self) {
        (self.waited, self.received) = (Duration::ZERO, 0);
    }
}

impl Read for Paced {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let started = Instant::now();
        let count = self.stream.read(buffer)?;
        self.waited += started.elapsed();
        self.received += count as u64;
        if self.waited >= self.stall {
            if self.received < LEAST_RATE * self.stall.as_secs() {
                return Err(io::ErrorKind::TimedOut.into());
            }
            self.begin_turn();
        }
        Ok(count)
    }
}

impl Write for Paced {
    /// Starts a new turn, so that the waits for the answers to several requests do not add up.
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.begin_turn();
        self.stream.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.stream.flush()
    }
}

/// Sends requests to any origin and keeps idle connections.
pub struct Connector {
    trust: Trust,
    proxies: Proxies,
    /// The longest time without progress, or with less than `LEAST_RATE`.
    stall: Duration,
    /// Whether to repeat a stalled request. False if another source can be asked instead.
    again: bool,
    idle: Mutex<Vec<(Origin, Connection)>>,
}

impl Connector {
    /// Returns a connector without connections.
    pub fn new(trust: Trust, proxies: Proxies, stall: Duration, again: bool) -> Connector {
        Connector { trust, proxies, stall, again, idle: Mutex::default() }
    }

    /// Sends one request, on a kept connection if there is one. Returns the head and the body of
    /// the answer, whatever its status is. Fails if the connection fails, if the payload can't be
    /// read, or if the answer is malformed.
    pub fn send(
        &self,
        method: &'static str,
        url: &Url,
        headers: &[(&'static str, String)],
        payload: Payload<'_>,
    ) -> Attempt<(Head, Body)> {
        let through = self.proxies.of(&url.origin).filter(|_| !url.origin.tls);
        let mut headers = headers.to_vec();
        if let Some(authorization) = through.and_then(|proxy| proxy.authorization.clone()) {
            headers.push(("Proxy-Authorization", authorization));
        }
        let absolute = through.is_some();
        let request = Request { method, url, headers: &headers, absolute };
        if let Some(kept) = self.take_idle(&url.origin) {
            // If the request fails here, for example because the server has closed the kept
            // connection, the request is sent again on a new connection. A stream can't be sent
            // again, so a stream always gets a new connection.
            if let Some(again) = payload.again()
                && let Ok(answer) = exchange(kept, &request, again)
            {
                return Ok(answer);
            }
        }
        let connection = self.connect(&url.origin)?;
        // Without a tunnel, the other side of the connection is the proxy. If the proxy has TLS, it
        // shows its own certificate.
        let peer = through.map_or(&url.origin, |proxy| &proxy.origin);
        exchange(connection, &request, payload).map_err(|error| self.failure(peer, error))
    }

    /// Sends one request and reads the whole answer. Fails as [`Connector::send`] and
    /// [`Connector::read_whole`] do.
    pub fn document(
        &self,
        method: &'static str,
        url: &Url,
        headers: &[(&'static str, String)],
        payload: Payload<'_>,
        limit: u64,
    ) -> Attempt<(Head, Vec<u8>)> {
        let (head, body) = self.send(method, url, headers, payload)?;
        let bytes = self.read_whole(&url.origin, body, limit)?;
        Ok((head, bytes))
    }

    /// Reads and decodes a body. Fails if the connection fails, if the body can't be decoded, or if
    /// the body is longer than `limit` bytes before or after the decoding.
    pub fn read_whole(&self, origin: &Origin, mut body: Body, limit: u64) -> Attempt<Vec<u8>> {
        let mut bytes = Vec::new();
        let read = body.by_ref().take(limit + 1).read_to_end(&mut bytes);
        read.map_err(|error| self.failure(origin, error))?;
        let host = || origin.host_and_port();
        if bytes.len() as u64 <= limit {
            bytes = body.decode(bytes, limit + 1).context(host)?;
        }
        if bytes.len() as u64 > limit {
            let host = host();
            return Err(Error::new(format!("{host} answers with more than {limit} bytes")).into());
        }
        self.recycle(origin, body);
        Ok(bytes)
    }

    /// Keeps the connection for the next request. Drops the connection if much of the body is left
    /// to read, if the server closes the connection, or if `MAX_IDLE` connections are kept.
    pub fn recycle(&self, origin: &Origin, body: Body) {
        if let Some(connection) = body.recycle() {
            let mut idle = self.idle.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
            if idle.len() < MAX_IDLE {
                idle.push((origin.clone(), connection));
            }
        }
    }

    fn take_idle(&self, origin: &Origin) -> Option<Connection> {
        let mut idle = self.idle.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        let at = idle.iter().position(|(of, _)| of == origin)?;
        Some(idle.swap_remove(at).1)
    }

    /// Returns the failure for an error on the connection to `origin`, with a message that names
    /// the host.
    pub fn failure(&self, origin: &Origin, error: io::Error) -> Failure {
        if let Some(failure) = self.trust.explain(origin, &error) {
            return failure;
        }
        let host = origin.host_and_port();
        let message = match error.kind() {
            io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => {
                let (least, seconds) = (LEAST_RATE, self.stall.as_secs());
                let message =
                    format!("{host} sent less than {least} bytes a second for {seconds} s");
                if !self.again {
                    return Failure::new(message);
                }
                Error::new(message)
            }
            io::ErrorKind::UnexpectedEof => Error::new(format!("the connection to {host} was cut")),
            _ => Err::<(), _>(error).context(|| host).unwrap_err(),
        };
        Failure::transient(message)
    }

    fn connect(&self, origin: &Origin) -> Attempt<Connection> {
        let stream = match self.proxies.of(origin) {
            None => self.dial(origin)?,
            Some(proxy) => {
                let dialled = self.dial(&proxy.origin);
                let mut stream =
                    dialled.map_err(|error| error.context(|| "ask the proxy".to_owned()))?;
                if proxy.origin.tls {
                    stream = self.trust.wrap(&proxy.origin, stream)?;
                }
                if origin.tls { self.tunnel(proxy, stream, origin)? } else { stream }
            }
        };
        let stream = if origin.tls { self.trust.wrap(origin, stream)? } else { stream };
        Ok(connection(stream))
    }

    fn dial(&self, origin: &Origin) -> Attempt<Box<dyn Stream>> {
        let host = origin.host_and_port();
        let unreachable = |error: Error| Failure { error, cause: Cause::Unreachable };
        let addresses = match &origin.host {
            Host::Name(name) => (name.as_str(), origin.port).to_socket_addrs(),
            Host::Address(address) => Ok(vec![(*address, origin.port).into()].into_iter()),
        };
        let addresses = addresses.context(|| format!("find the address of {}", origin.host));
        let mut last = Error::new(format!("{} has no address", origin.host));
        for address in addresses.map_err(unreachable)?.take(MAX_ADDRESSES) {
            let dialled = TcpStream::connect_timeout(&address, CONNECT_TIMEOUT);
            let dialled = dialled.and_then(|stream| {
                stream.set_read_timeout(Some(self.stall))?;
                stream.set_write_timeout(Some(self.stall))?;
                stream.set_nodelay(true)?;
                Ok(stream)
            });
            match dialled.context(|| format!("connect to {host}")) {
                Ok(stream) => return Ok(Box::new(Paced::new(stream, self.stall))),
                Err(error) => last = error,
            }
        }
        Err(unreachable(last))
    }

    /// Opens a tunnel to `origin` through a proxy (CONNECT, RFC 9110).
    fn tunnel(
        &self,
        proxy: &Proxy,
        stream: Box<dyn Stream>,
        origin: &Origin,
    ) -> Attempt<Box<dyn Stream>> {
        let url = Url { origin: origin.clone(), target: origin.host_and_port(), user: None };
        let authorization = proxy.authorization.clone();
        let headers: Vec<_> =
            authorization.map(|value| ("Proxy-Authorization", value)).into_iter().collect();
        let request = Request { method: "CONNECT", url: &url, headers: &headers, absolute: false };
        let answer = exchange(connection(stream), &request, Payload::Tunnel);
        let (head, body) = answer.map_err(|error| self.failure(&proxy.origin, error))?;
        let name = proxy.origin.host_and_port();
        let refused = |status| {
            Error::new(format!("the proxy {name} answers {status} to CONNECT {}", url.target))
        };
        match head.status {
            200..300 => body.into_stream().ok_or_else(|| refused(head.status).into()),
            502..=504 => Err(Failure::transient(refused(head.status))),
            status => Err(refused(status).into()),
        }
    }
}
