//! Published ports: how they are written, and who has them.
//!
//! A published port is held by a socket that is bound to it and never read, in the container's
//! monitor, for as long as the container runs: whoever else wants the port is refused by the
//! kernel, and so are we if it is taken. The firewall rewrites what comes for the port before any
//! socket is looked for.

use std::fmt;
use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::OwnedFd;
use std::path::Path;

use miniserde::{Deserialize, Serialize};
use rustix::io::Errno;
use rustix::net::{
    AddressFamily, SocketFlags, SocketType, bind, getsockname, socket_with, sockopt,
};

use super::wiring::{self, Wiring};
use crate::error::{Context, Error, Result, fail};
use crate::store::Roots;

/// More than any sane container publishes; each costs a socket and a rule.
const MAX_PORTS: usize = 4096;

/// The protocol of a published port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    Tcp,
    Udp,
}

impl Protocol {
    fn parse(text: &str) -> Result<Protocol> {
        match text.to_ascii_lowercase().as_str() {
            "tcp" => Ok(Protocol::Tcp),
            "udp" => Ok(Protocol::Udp),
            "sctp" => fail!("a port of protocol sctp can't be published; known: tcp udp"),
            _ => fail!("unknown protocol '{text}'; known: tcp udp"),
        }
    }

    /// `tcp` or `udp`.
    pub fn name(self) -> &'static str {
        match self {
            Protocol::Tcp => "tcp",
            Protocol::Udp => "udp",
        }
    }
}

/// Ports from the first to the last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Range {
    first: u16,
    last: u16,
}

impl Range {
    fn parse(text: &str) -> Result<Range> {
        let (first, last) = text.split_once('-').unwrap_or((text, text));
        let port = |text: &str| match text.parse() {
            Ok(port @ 1..) if text.bytes().all(|byte| byte.is_ascii_digit()) => Ok(port),
            _ => fail!("bad port '{text}': write a number from 1 to 65535"),
        };
        let range = Range { first: port(first)?, last: port(last)? };
        if range.first > range.last {
            fail!("bad port range '{text}': it runs backwards");
        }
        Ok(range)
    }

    fn len(&self) -> usize {
        usize::from(self.last - self.first) + 1
    }
}

impl fmt::Display for Range {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.first == self.last {
            true => write!(f, "{}", self.first),
            false => write!(f, "{}-{}", self.first, self.last),
        }
    }
}

/// `-p`, as asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Publish {
    pub address: Option<IpAddr>,
    /// `None`: any that is free.
    pub host: Option<Range>,
    pub container: Range,
    pub protocol: Protocol,
}

impl Publish {
    /// `[IP:][HOST[-END]:]CTR[-END][/tcp|udp]`; an IPv6 address stands in brackets.
    pub fn parse(text: &str) -> Result<Publish> {
        let (rest, protocol) = text.split_once('/').unwrap_or((text, "tcp"));
        let protocol = Protocol::parse(protocol)?;
        let bad = || Error::new(format!("bad port '{text}': write [IP:][HOST:]PORT[/tcp|udp]"));
        let (address, rest) = match rest.strip_prefix('[') {
            Some(rest) => {
                let (address, rest) = rest.split_once("]:").ok_or_else(bad)?;
                (Some(address), rest)
            }
            None => match rest.splitn(3, ':').collect::<Vec<_>>().as_slice() {
                [address, ..] if rest.matches(':').count() == 2 => {
                    (Some(*address), &rest[address.len() + 1..])
                }
                _ => (None, rest),
            },
        };
        let address = match address {
            Some("") | None => None,
            Some(address) => Some(address.parse().map_err(|_| bad())?),
        };
        let (host, container) = match rest.split_once(':') {
            // As in Docker, port 0 is any that is free.
            Some(("" | "0", container)) => (None, container),
            Some((host, container)) => (Some(Range::parse(host)?), container),
            None => (None, rest),
        };
        let container = Range::parse(container)?;
        if let Some(host) = host
            && host.len() != container.len()
            && container.len() != 1
        {
            fail!("bad ports '{text}': {host} and {container} have different lengths");
        }
        Ok(Publish { address, host, container, protocol })
    }

    /// A port that the image or `--expose` names, to be published by `-P`: `80`, `80/udp`, `80-82`.
    pub fn exposed(text: &str) -> Result<Publish> {
        let (range, protocol) = text.split_once('/').unwrap_or((text, "tcp"));
        let (container, protocol) = (Range::parse(range)?, Protocol::parse(protocol)?);
        Ok(Publish { address: None, host: None, container, protocol })
    }
}

impl fmt::Display for Publish {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.address {
            Some(IpAddr::V6(address)) => write!(f, "[{address}]:")?,
            Some(IpAddr::V4(address)) => write!(f, "{address}:")?,
            None => {}
        }
        match self.host {
            Some(host) => write!(f, "{host}:")?,
            None if self.address.is_some() => write!(f, ":")?,
            None => {}
        }
        write!(f, "{}/{}", self.container, self.protocol.name())
    }
}

/// A port that is published.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PortMap {
    /// `tcp`, `udp`
    pub protocol: String,
    /// On the host; unspecified is all of them.
    pub address: String,
    pub port: u16,
    pub container_port: u16,
}

impl PortMap {
    /// The protocol as a type.
    pub fn protocol(&self) -> Protocol {
        if self.protocol == "udp" { Protocol::Udp } else { Protocol::Tcp }
    }

    /// What the host listens on.
    pub fn socket_address(&self) -> Result<SocketAddr> {
        match self.address.parse::<IpAddr>() {
            Ok(address) => Ok(SocketAddr::new(address, self.port)),
            Err(_) => fail!("'{}' is no IP address", self.address),
        }
    }
}

/// Where a bare `-p` publishes.
pub struct Defaults {
    pub ipv4: Option<IpAddr>,
    pub ipv6: Option<IpAddr>,
}

/// What was claimed, and the sockets that hold it.
#[derive(Default)]
pub struct Claimed {
    pub maps: Vec<PortMap>,
    pub held: Vec<OwnedFd>,
}

/// Claims all ports of `wanted`, or says who has one of them.
pub fn claim(roots: &Roots, wanted: &[Publish], defaults: &Defaults) -> Result<Claimed> {
    let count: usize = wanted.iter().map(|publish| publish.container.len()).sum();
    if count > MAX_PORTS {
        fail!("{count} published ports are more than {MAX_PORTS}");
    }
    make_room(count * 2);
    let mut claimed = Claimed::default();
    for publish in wanted {
        let addresses: Vec<IpAddr> = match publish.address {
            Some(address) => vec![address],
            None => defaults.ipv4.into_iter().chain(defaults.ipv6).collect(),
        };
        for offset in 0..publish.container.len() {
            // Within the range by its length.
            let container_port = publish.container.first + offset as u16;
            let port = match publish.host {
                None => claim_any(publish, &addresses, &mut claimed)?,
                Some(host) if host.len() == publish.container.len() => {
                    let port = host.first + offset as u16;
                    hold_all(roots, publish.protocol, &addresses, port, &mut claimed)?;
                    port
                }
                Some(host) => claim_one_of(roots, publish, host, &addresses, &mut claimed)?,
            };
            claimed.maps.extend(addresses.iter().map(|address| PortMap {
                protocol: publish.protocol.name().to_owned(),
                address: address.to_string(),
                port,
                container_port,
            }));
        }
    }
    Ok(claimed)
}

/// A port that is free on all `addresses`.
fn claim_any(publish: &Publish, addresses: &[IpAddr], claimed: &mut Claimed) -> Result<u16> {
    const MAX_TRIES: u32 = 64;
    let Some((first, others)) = addresses.split_first() else {
        fail!("port {} can't be published: the container has no address", publish.container)
    };
    for _ in 0..MAX_TRIES {
        let socket = hold(publish.protocol, SocketAddr::new(*first, 0), false)
            .context(|| format!("find a free port on {first}"))?;
        let port = getsockname(&socket)
            .ok()
            .and_then(|address| SocketAddr::try_from(address).ok())
            .map_or(0, |address| address.port());
        let rest: Result<Vec<OwnedFd>, Errno> = others
            .iter()
            .map(|&other| hold(publish.protocol, SocketAddr::new(other, port), false))
            .collect();
        if let Ok(rest) = rest {
            claimed.held.push(socket);
            claimed.held.extend(rest);
            return Ok(port);
        }
    }
    fail!("no port is free on all of the host's addresses")
}

fn claim_one_of(
    roots: &Roots,
    publish: &Publish,
    host: Range,
    addresses: &[IpAddr],
    claimed: &mut Claimed,
) -> Result<u16> {
    for port in host.first..=host.last {
        if hold_all(roots, publish.protocol, addresses, port, claimed).is_ok() {
            return Ok(port);
        }
    }
    fail!("no port of {host} is free for the container's port {}", publish.container)
}

fn hold_all(
    roots: &Roots,
    protocol: Protocol,
    addresses: &[IpAddr],
    port: u16,
    claimed: &mut Claimed,
) -> Result<()> {
    let before = claimed.held.len();
    for &address in addresses {
        let at = SocketAddr::new(address, port);
        let held = match hold(protocol, at, false) {
            Err(Errno::ADDRINUSE) => match holder(roots, protocol, at) {
                Some(holder) => {
                    Err(Error::new(format!("port {at}/{} is in use by {holder}", protocol.name())))
                }
                // Connections of a server that is gone, in their last minute (TIME_WAIT).
                None => hold(protocol, at, true)
                    .context(|| format!("port {at}/{} is in use", protocol.name())),
            },
            Err(Errno::ADDRNOTAVAIL) => {
                Err(Error::new(format!("{address} is not an address of the host")))
            }
            held => held.context(|| format!("bind to {at}/{}", protocol.name())),
        };
        match held {
            Ok(socket) => claimed.held.push(socket),
            Err(error) => {
                claimed.held.truncate(before);
                return Err(error);
            }
        }
    }
    Ok(())
}

/// A socket bound to a port.
fn hold(protocol: Protocol, at: SocketAddr, reuse: bool) -> Result<OwnedFd, Errno> {
    let family = if at.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let kind = match protocol {
        Protocol::Tcp => SocketType::STREAM,
        Protocol::Udp => SocketType::DGRAM,
    };
    let socket = socket_with(family, kind, SocketFlags::CLOEXEC, None)?;
    if at.is_ipv6() {
        sockopt::set_ipv6_v6only(&socket, true)?;
    }
    sockopt::set_socket_reuseaddr(&socket, reuse)?;
    bind(&socket, &at)?;
    Ok(socket)
}

/// Each port is a descriptor of the monitor's.
fn make_room(sockets: usize) {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let mut limit = getrlimit(Resource::Nofile);
    let wanted = sockets as u64 + 256;
    if limit.current.is_some_and(|current| current < wanted) {
        limit.current = Some(limit.maximum.map_or(wanted, |maximum| maximum.min(wanted)));
        // If it isn't enough, the socket that fails says so.
        let _ = setrlimit(Resource::Nofile, limit);
    }
}

/// Who has a port: a container of ours, or a process.
fn holder(roots: &Roots, protocol: Protocol, at: SocketAddr) -> Option<String> {
    container_holding(roots, protocol, at)
        .map(|name| format!("container {name}"))
        .or_else(|| process_holding(protocol, at))
}

fn container_holding(roots: &Roots, protocol: Protocol, at: SocketAddr) -> Option<String> {
    for id in wiring::all_ids(roots).ok()? {
        let Ok(wiring) = Wiring::read(roots, &id) else { continue };
        let holds = wiring.ports.iter().any(|map| {
            map.protocol() == protocol
                && map.socket_address().is_ok_and(|held| {
                    held.port() == at.port()
                        && held.is_ipv4() == at.is_ipv4()
                        && (held.ip() == at.ip()
                            || held.ip().is_unspecified()
                            || at.ip().is_unspecified())
                })
        });
        if holds {
            return Some(wiring.name);
        }
    }
    None
}

/// Looks through /proc/net/tcp and its kin (proc_pid_net(5)) for the socket, then for who has it.
fn process_holding(protocol: Protocol, at: SocketAddr) -> Option<String> {
    /// Nobody's any more.
    const TIME_WAIT: &str = "06";
    let name = protocol.name();
    let mut inode = None;
    for file in [format!("/proc/net/{name}"), format!("/proc/net/{name}6")] {
        // Line by line: there may be a hundred thousand sockets.
        let Ok(table) = File::open(file) else { continue };
        for line in BufReader::new(table).lines().map_while(io::Result::ok).skip(1) {
            let fields: Vec<&str> = line.split_whitespace().collect();
            let [_, local, _, state, _, _, _, _, _, found, ..] = fields.as_slice() else {
                continue;
            };
            let port = local.rsplit(':').next().and_then(|port| u16::from_str_radix(port, 16).ok());
            if port == Some(at.port()) && *state != TIME_WAIT {
                inode = Some((*found).to_owned());
            }
        }
    }
    let link = format!("socket:[{}]", inode?);
    for pid in std::fs::read_dir("/proc").ok()?.flatten() {
        let Ok(fds) = std::fs::read_dir(pid.path().join("fd")) else { continue };
        let has = |fd: std::fs::DirEntry| {
            std::fs::read_link(fd.path()).is_ok_and(|target| target == Path::new(&link))
        };
        if fds.flatten().any(has) {
            let command = std::fs::read_to_string(pid.path().join("comm")).unwrap_or_default();
            let pid = pid.file_name();
            return Some(format!("process {} ({})", pid.to_string_lossy(), command.trim_end()));
        }
    }
    Some("another program".to_owned())
}

/// All addresses of the family.
pub fn anywhere(ipv4: bool) -> IpAddr {
    if ipv4 { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_read_back_as_they_were_written() {
        for (text, canonical) in [
            ("80", "80/tcp"),
            ("8080:80", "8080:80/tcp"),
            ("8080:80/udp", "8080:80/udp"),
            ("127.0.0.1:8080:80", "127.0.0.1:8080:80/tcp"),
            ("127.0.0.1::80", "127.0.0.1::80/tcp"),
            ("[::1]:8080:80", "[::1]:8080:80/tcp"),
            ("8000-8002:80-82", "8000-8002:80-82/tcp"),
            ("8000-8010:80", "8000-8010:80/tcp"),
            (":80", "80/tcp"),
            ("0:80", "80/tcp"),
            ("127.0.0.1:0:80", "127.0.0.1::80/tcp"),
            ("80/TCP", "80/tcp"),
            ("8080:80/Udp", "8080:80/udp"),
        ] {
            let publish = Publish::parse(text).unwrap();
            assert_eq!(publish.to_string(), canonical, "{text}");
            assert_eq!(Publish::parse(canonical).unwrap(), publish);
        }
    }

    #[test]
    fn what_is_no_port() {
        for bad in [
            "",
            "x",
            "0",
            "65536",
            "80/sctp",
            "80/SCTP",
            "80:0",
            "0-1:80-81",
            "80:",
            "1:2:3:4",
            "300.1.1.1:80:80",
            "82-80:80-82",
            "8000-8001:80-82",
            "+80",
            "::1:80:80",
            "[::1]80",
            "80:80-81",
        ] {
            assert!(Publish::parse(bad).is_err(), "{bad}");
        }
    }
}
