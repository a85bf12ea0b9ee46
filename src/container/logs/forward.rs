//! Sends a container's lines to syslog or to the journal (`--log-driver syslog|journald`), in
//! addition to the log file that the command `logs` reads.
//!
//! A line of at most `MAX_LINE` bytes is one datagram. The format for syslog is
//! `<PRIORITY>TAG[PID]: LINE`, which is that of syslog(3) without the time, or the format of RFC
//! 5424. The format for the journal is its native protocol (systemd.io/JOURNAL_NATIVE_PROTOCOL). If
//! the daemon was restarted, the forwarder connects again for the next line. A daemon that does not
//! read delays the program by at most `PATIENCE` for each datagram, and not at all with
//! `mode=non-blocking`. A datagram that the daemon has not accepted by then is not sent again.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;
use std::time::Duration;

use crate::container::protocol::Stream;
use crate::error::{Context, Result, fail};
use crate::time::Instant;

/// The socket of syslog(3).
const SYSLOG_SOCKET: &str = "/dev/log";
/// The socket of sd_journal_send(3).
const JOURNAL_SOCKET: &str = "/run/systemd/journal/socket";
const SYSLOG_PORT: u16 = 514;
/// The longest line that is sent in one piece, in bytes, as in Docker.
const MAX_LINE: usize = 16 << 10;
/// The longest time for which one datagram waits for the daemon.
const PATIENCE: Duration = Duration::from_millis(200);
/// The facilities of syslog(3), in the order of their numbers.
const FACILITIES: &str = "kern user mail daemon auth syslog lpr news uucp cron authpriv ftp - - - - \
                          local0 local1 local2 local3 local4 local5 local6 local7";
const DAEMON: u8 = 3;
const ERROR: u8 = 3;
const INFORMATION: u8 = 6;

/// The destination of a container's lines in addition to its log file.
#[derive(Clone, Debug)]
pub struct Destination {
    pub address: Address,
    pub frame: Frame,
    /// Whether to drop a line if the daemon does not accept it at once (`mode=non-blocking`).
    pub non_blocking: bool,
}

/// The address of a datagram socket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    Unix(PathBuf),
    Udp(SocketAddr),
}

/// The format of the datagram around a line.
#[derive(Clone, Debug)]
pub enum Frame {
    Syslog {
        tag: String,
        syslog: Syslog,
    },
    /// The encoded fields that are the same in all entries of a container.
    Journal(Vec<u8>),
}

/// The format of a line for syslog.
#[derive(Clone, Debug)]
pub struct Syslog {
    facility: u8,
    /// The host name for RFC 5424; `None` means the format of syslog(3).
    rfc5424: Option<String>,
}

impl Address {
    /// The address of the host's syslog daemon.
    pub fn syslog() -> Address {
        Address::Unix(SYSLOG_SOCKET.into())
    }

    /// The address of the journal.
    pub fn journal() -> Address {
        Address::Unix(JOURNAL_SOCKET.into())
    }

    /// Parses the value of `--log-opt syslog-address`: `unix://PATH`, `unixgram://PATH` or
    /// `udp://IP[:PORT]`.
    pub fn parse(text: &str) -> Result<Address> {
        let path = text.strip_prefix("unix://").or(text.strip_prefix("unixgram://"));
        if let Some(path) = path.filter(|path| path.starts_with('/')) {
            return Ok(Address::Unix(path.into()));
        }
        let host = text.strip_prefix("udp://").unwrap_or_default();
        let bare = host.trim_matches(['[', ']']);
        let alone = bare.parse::<Ipv4Addr>().map(Into::into);
        let alone = alone.or_else(|_| bare.parse::<Ipv6Addr>().map(Into::into));
        match (host.parse(), alone) {
            (Ok(address), _) => Ok(Address::Udp(address)),
            (_, Ok(host)) => Ok(Address::Udp(SocketAddr::new(host, SYSLOG_PORT))),
            _ => fail!(
                "bad address '{text}' of a syslog daemon: write unix:///PATH or udp://IP[:PORT]; \
                 lines are sent as datagrams, so tcp is not supported"
            ),
        }
    }
}

impl Syslog {
    /// Parses the values of `--log-opt syslog-facility` and `syslog-format`. Fails for an unknown
    /// value.
    pub fn parse(facility: Option<&str>, format: Option<&str>) -> Result<Syslog> {
        let facility = facility.map_or(Ok(DAEMON), parse_facility)?;
        let rfc5424 = match format.unwrap_or_default() {
            "" | "unix" => None,
            "rfc5424" | "rfc5424micro" => {
                Some(rustix::system::uname().nodename().to_string_lossy().into_owned())
            }
            other => fail!("unknown syslog-format '{other}'; known: unix rfc5424 rfc5424micro"),
        };
        Ok(Syslog { facility, rfc5424 })
    }
}

fn parse_facility(text: &str) -> Result<u8> {
    let known = || FACILITIES.split(' ');
    let named = known().position(|name| name == text && name != "-");
    match named.or_else(|| text.parse().ok().filter(|number| *number < known().count())) {
        Some(number) => Ok(number as u8),
        None => fail!("unknown facility '{text}'; known: {}", FACILITIES.replace(" -", "")),
    }
}

/// Appends a field of the journal's native protocol to `out`. A value with a newline is preceded by
/// its length.
pub fn add_field(out: &mut Vec<u8>, name: &str, value: &[u8]) {
    out.extend_from_slice(name.as_bytes());
    if value.contains(&b'\n') {
        out.push(b'\n');
        out.extend_from_slice(&(value.len() as u64).to_le_bytes());
    } else {
        out.push(b'=');
    }
    out.extend_from_slice(value);
    out.push(b'\n');
}

/// The connection to a destination, and the start of lines that are not complete yet.
pub struct Forwarder {
    destination: Destination,
    socket: Socket,
    /// The start of an incomplete line, for stdout and for stderr.
    open: [Vec<u8>; 2],
}

enum Socket {
    Unix(UnixDatagram),
    Udp(UdpSocket),
}

impl Forwarder {
    /// Connects to the daemon. With a Unix socket, fails if no daemon listens. With UDP, cannot
    /// find out whether a daemon listens.
    pub fn connect(destination: Destination) -> Result<Forwarder> {
        let socket = Socket::open(&destination);
        let socket = socket.context(|| match &destination.address {
            Address::Unix(path) => {
                format!("the log driver needs a daemon that reads {}", path.display())
            }
            Address::Udp(address) => format!("send log lines to {address}"),
        })?;
        Ok(Forwarder { destination, socket, open: [Vec::new(), Vec::new()] })
    }

    /// Sends the lines that end in `data`, and keeps the rest. A line of more than `MAX_LINE` bytes
    /// is sent in pieces.
    pub fn pass_on(&mut self, stream: Stream, data: &[u8]) {
        for piece in data.split_inclusive(|&byte| byte == b'\n') {
            let (line, ends) = match piece.split_last() {
                Some((b'\n', line)) => (line, true),
                _ => (piece, false),
            };
            let mut rest = line;
            loop {
                let open = &mut self.open[place(stream)];
                let room = (MAX_LINE - open.len()).min(rest.len());
                open.extend_from_slice(&rest[..room]);
                rest = &rest[room..];
                if rest.is_empty() {
                    break;
                }
                self.send(stream);
            }
            if ends {
                self.send(stream);
            }
        }
    }

    /// Sends the output after the last newline, because the program has ended.
    pub fn end_lines(&mut self) {
        for stream in [Stream::Stdout, Stream::Stderr] {
            if !self.open[place(stream)].is_empty() {
                self.send(stream);
            }
            self.open[place(stream)] = Vec::new();
        }
    }

    fn send(&mut self, stream: Stream) {
        let line = std::mem::take(&mut self.open[place(stream)]);
        let datagram = self.destination.frame.datagram(stream, &line);
        // Drop a line that cannot be sent, so that the container goes on.
        if let Err(error) = self.socket.send(&datagram)
            && error.kind() != io::ErrorKind::WouldBlock
            && let Ok(socket) = Socket::open(&self.destination)
        {
            self.socket = socket;
            let _ = self.socket.send(&datagram);
        }
    }
}

impl Frame {
    fn datagram(&self, stream: Stream, line: &[u8]) -> Vec<u8> {
        let severity = if stream == Stream::Stderr { ERROR } else { INFORMATION };
        let mut out = Vec::with_capacity(line.len() + 256);
        match self {
            Frame::Syslog { tag, syslog: Syslog { facility, rfc5424 } } => {
                let (priority, pid) = (facility << 3 | severity, std::process::id());
                let head = match rfc5424 {
                    Some(host) => {
                        let time = Instant::now().to_rfc3339();
                        // RFC 5424 allows at most six digits after the second.
                        let time = format!("{}Z", &time[..time.len().min(26)]);
                        format!("<{priority}>1 {time} {host} {tag} {pid} {tag} - ")
                    }
                    None => format!("<{priority}>{tag}[{pid}]: "),
                };
                out.extend_from_slice(head.as_bytes());
                out.extend_from_slice(line);
            }
            Frame::Journal(fields) => {
                out.extend_from_slice(fields);
                add_field(&mut out, "PRIORITY", severity.to_string().as_bytes());
                add_field(&mut out, "MESSAGE", line);
            }
        }
        out
    }
}

impl Socket {
    fn open(destination: &Destination) -> io::Result<Socket> {
        let wait = Some(PATIENCE);
        match &destination.address {
            Address::Unix(path) => {
                let socket = UnixDatagram::unbound()?;
                socket.connect(path)?;
                socket.set_write_timeout(wait)?;
                socket.set_nonblocking(destination.non_blocking)?;
                Ok(Socket::Unix(socket))
            }
            Address::Udp(address) => {
                let any = match address {
                    SocketAddr::V4(_) => SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)),
                    SocketAddr::V6(_) => SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0)),
                };
                let socket = UdpSocket::bind(any)?;
                socket.connect(address)?;
                socket.set_write_timeout(wait)?;
                socket.set_nonblocking(destination.non_blocking)?;
                Ok(Socket::Udp(socket))
            }
        }
    }

    fn send(&self, datagram: &[u8]) -> io::Result<usize> {
        match self {
            Socket::Unix(socket) => socket.send(datagram),
            Socket::Udp(socket) => socket.send(datagram),
        }
    }
}

fn place(stream: Stream) -> usize {
    if stream == Stream::Stderr { 1 } else { 0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_and_facilities_are_parsed() {
        assert_eq!(Address::parse("unix:///dev/log").unwrap(), Address::syslog());
        assert_eq!(Address::parse("unixgram:///a").unwrap(), Address::Unix("/a".into()));
        let udp = |text: &str| Address::Udp(text.parse().unwrap());
        assert_eq!(Address::parse("udp://192.0.2.1").unwrap(), udp("192.0.2.1:514"));
        assert_eq!(Address::parse("udp://[2001:db8::1]").unwrap(), udp("[2001:db8::1]:514"));
        assert_eq!(Address::parse("udp://[2001:db8::1]:99").unwrap(), udp("[2001:db8::1]:99"));
        for bad in ["", "tcp://192.0.2.1:514", "unix://log", "udp://", "udp://host", "/dev/log"] {
            assert!(Address::parse(bad).is_err(), "{bad}");
        }
        for (name, number) in [("kern", 0), ("daemon", DAEMON), ("local7", 23), ("16", 16)] {
            assert_eq!(parse_facility(name).unwrap(), number);
        }
        for bad in ["", "-", "24", "-1", "house"] {
            assert!(parse_facility(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn lines_have_the_format_of_the_destination() {
        let framed = |facility: Option<&str>, format: Option<&str>| Frame::Syslog {
            tag: "web".to_owned(),
            syslog: Syslog::parse(facility, format).unwrap(),
        };
        let syslog = framed(None, None);
        let pid = std::process::id();
        let sent = String::from_utf8(syslog.datagram(Stream::Stdout, b"hi")).unwrap();
        assert_eq!(sent, format!("<30>web[{pid}]: hi"));
        let syslog = framed(Some("local0"), Some("rfc5424"));
        let sent = String::from_utf8(syslog.datagram(Stream::Stderr, b"hi")).unwrap();
        let (head, rest) = sent.split_once("Z ").unwrap();
        assert!(head.starts_with("<131>1 2") && head.len() == "<131>1 ".len() + 26, "{sent}");
        let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
        assert_eq!(rest, format!("{host} web {pid} web - hi"));
        let mut fields = Vec::new();
        add_field(&mut fields, "NAME", b"a\nb");
        let journal = Frame::Journal(fields).datagram(Stream::Stderr, b"x=y");
        assert_eq!(journal, b"NAME\n\x03\0\0\0\0\0\0\0a\nb\nPRIORITY=3\nMESSAGE=x=y\n");
    }
}
