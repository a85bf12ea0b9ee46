//! Published ports of the host, and the sockets that hold them.
//!
//! While the container runs, its monitor holds a bound socket for each published port and host
//! address, and never reads from the socket. So the kernel refuses the port to other programs. If
//! another program has the port already, `claim` fails. The firewall's rules for the port rewrite a
//! packet before the kernel looks for a socket, so such a packet does not arrive at the socket.

use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::net::{IpAddr, SocketAddr};
use std::os::fd::OwnedFd;
use std::path::Path;

use miniserde::{Deserialize, Serialize};
use rustix::io::Errno;
use rustix::net::{
    AddressFamily, SocketFlags, SocketType, bind, getsockname, socket_with, sockopt,
};

use crate::address::Ip;
use crate::error::{Context, Error, Result, fail};
use crate::port::{PortRange, Protocol, Publish};
use crate::sys;

/// The maximum number of published ports of a container. Each port costs a socket and a firewall
/// rule for each address.
const MAX_PORTS: usize = 4096;

/// A published port in a record.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PortMap {
    pub protocol: Protocol,
    /// The address on the host. An unspecified address means all addresses of the host.
    pub address: Ip,
    pub port: u16,
    pub container_port: u16,
}

impl PortMap {
    /// The address and port on the host.
    pub fn from(&self) -> SocketAddr {
        SocketAddr::new(self.address.0, self.port)
    }

    /// Whether a socket on `at` conflicts with this port.
    pub fn meets(&self, protocol: Protocol, at: SocketAddr) -> bool {
        let held = self.from();
        self.protocol == protocol
            && held.port() == at.port()
            && held.is_ipv4() == at.is_ipv4()
            && (held.ip() == at.ip() || held.ip().is_unspecified() || at.ip().is_unspecified())
    }
}

/// The host addresses for a `-p` that names no address; `None` for a family that is not published.
pub struct Defaults {
    pub ipv4: Option<IpAddr>,
    pub ipv6: Option<IpAddr>,
}

/// Finds the container that has published a port on the host, and returns the container's name.
pub type FindContainer<'a> = dyn Fn(Protocol, SocketAddr) -> Option<String> + 'a;

/// The claimed ports and the sockets that hold them. Dropping this releases the ports.
#[derive(Default)]
pub struct Claimed {
    pub maps: Vec<PortMap>,
    pub held: Vec<OwnedFd>,
}

/// The number of ports that `wanted` publishes. Fails if there are more than 4,096.
pub fn check_count(wanted: &[Publish]) -> Result<usize> {
    let count: usize = wanted.iter().map(|publish| publish.container.len()).sum();
    if count > MAX_PORTS {
        fail!("{count} published ports are more than {MAX_PORTS}");
    }
    Ok(count)
}

/// Claims the ports of `wanted`. Fails for example if a port is in use, or if an address is not one
/// of the host's. If any port of a host range would do, fails if all ports of the range fail.
pub fn claim(
    wanted: &[Publish],
    defaults: &Defaults,
    find_container: &FindContainer<'_>,
) -> Result<Claimed> {
    let count = check_count(wanted)?;
    sys::fds::raise_limit(count * 2);
    let mut claimed = Claimed::default();
    for publish in wanted {
        let addresses: Vec<IpAddr> = match publish.address {
            Some(address) => vec![address],
            None => defaults.ipv4.into_iter().chain(defaults.ipv6).collect(),
        };
        let Some((&first, others)) = addresses.split_first() else {
            fail!(
                "port {} can't be published: the container has no address of a family that its \
                 network publishes",
                publish.container
            )
        };
        for (offset, container_port) in publish.container.ports().enumerate() {
            let port = match publish.host {
                None => claim_any(publish, first, others, &mut claimed)?,
                Some(host) if host.len() == publish.container.len() => {
                    // Both ranges have the same length, so the port is in the host's range.
                    let port = host.ports().start() + offset as u16;
                    hold_all(publish.protocol, &addresses, port, &mut claimed, find_container)?;
                    port
                }
                Some(host) => {
                    claim_one_of(publish, host, &addresses, &mut claimed, find_container)?
                }
            };
            claimed.maps.extend(addresses.iter().map(|&address| PortMap {
                protocol: publish.protocol,
                address: Ip(address),
                port,
                container_port,
            }));
        }
    }
    Ok(claimed)
}

/// Claims a port that is free on the addresses `first` and `others`. The kernel chooses the port.
fn claim_any(
    publish: &Publish,
    first: IpAddr,
    others: &[IpAddr],
    claimed: &mut Claimed,
) -> Result<u16> {
    const MAX_TRIES: u32 = 64;
    for _ in 0..MAX_TRIES {
        let socket = hold(publish.protocol, SocketAddr::new(first, 0), false)
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
    publish: &Publish,
    host: PortRange,
    addresses: &[IpAddr],
    claimed: &mut Claimed,
    find_container: &FindContainer<'_>,
) -> Result<u16> {
    let mut last = None;
    for port in host.ports() {
        match hold_all(publish.protocol, addresses, port, claimed, find_container) {
            Ok(()) => return Ok(port),
            Err(error) => last = Some(error),
        }
    }
    let why = last.map(|error| format!(": {error}")).unwrap_or_default();
    fail!("no port of {host} is free for the container's port {}{why}", publish.container)
}

fn hold_all(
    protocol: Protocol,
    addresses: &[IpAddr],
    port: u16,
    claimed: &mut Claimed,
    find_container: &FindContainer<'_>,
) -> Result<()> {
    let before = claimed.held.len();
    for &address in addresses {
        let at = SocketAddr::new(address, port);
        let held = match hold(protocol, at, false) {
            Err(Errno::ADDRINUSE) => {
                let container =
                    find_container(protocol, at).map(|name| format!("container {name}"));
                match container.or_else(|| process_holding(protocol, at)) {
                    Some(holder) => {
                        Err(Error::new(format!("port {at}/{protocol} is in use by {holder}")))
                    }
                    // Perhaps only ended connections use the port (TIME_WAIT), so try again with
                    // SO_REUSEADDR.
                    None => hold(protocol, at, true)
                        .context(|| format!("port {at}/{protocol} is in use")),
                }
            }
            Err(Errno::ADDRNOTAVAIL) => {
                Err(Error::new(format!("{address} is not an address of the host")))
            }
            held => held.context(|| format!("bind to {at}/{protocol}")),
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

/// Returns a socket bound to `at`, with SO_REUSEADDR if `reuse` is set.
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

/// Whether a socket with the local address `local`, in the form of /proc/net/tcp (proc_pid_net(5)),
/// can keep other sockets from binding to `at`.
fn is_taken_by(local: &str, at: SocketAddr) -> bool {
    let Some((address, port)) = local.split_once(':') else { return false };
    // Each group of eight digits is four bytes of the address, as one number in this machine's byte
    // order.
    let bytes: Vec<u8> = (0..address.len() / 8)
        .filter_map(|group| u32::from_str_radix(address.get(group * 8..group * 8 + 8)?, 16).ok())
        .flat_map(u32::to_ne_bytes)
        .collect();
    let address = match (<[u8; 4]>::try_from(&bytes[..]), <[u8; 16]>::try_from(&bytes[..])) {
        (Ok(bytes), _) => IpAddr::from(bytes),
        (_, Ok(bytes)) => IpAddr::from(bytes).to_canonical(),
        _ => return false,
    };
    let overlaps = match (address, at.ip()) {
        // `hold` sets IPV6_V6ONLY, so an IPv4 socket does not conflict with its IPv6 socket.
        (IpAddr::V4(_), IpAddr::V6(_)) => false,
        (IpAddr::V6(address), IpAddr::V4(_)) => address.is_unspecified(),
        (one, other) => one == other || one.is_unspecified() || other.is_unspecified(),
    };
    overlaps && u16::from_str_radix(port, 16) == Ok(at.port())
}

/// Names the program that has a port: finds the socket in /proc/net/tcp or its siblings
/// (proc_pid_net(5)), then the process that has the socket open. Returns `None` if only ended
/// connections use the port, or if no socket is found.
fn process_holding(protocol: Protocol, at: SocketAddr) -> Option<String> {
    /// The state TIME_WAIT: no process has the connection open any more.
    const TIME_WAIT: &str = "06";
    let name = protocol.name();
    let mut inode = None;
    for file in [format!("/proc/net/{name}"), format!("/proc/net/{name}6")] {
        // Read line by line: the table may list a hundred thousand sockets.
        let Ok(table) = File::open(file) else { continue };
        for line in BufReader::new(table).lines().map_while(io::Result::ok).skip(1) {
            let fields: Vec<&str> = line.split_whitespace().collect();
            let [_, local, _, state, _, _, _, _, _, found, ..] = fields.as_slice() else {
                continue;
            };
            if is_taken_by(local, at) && *state != TIME_WAIT {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(target_endian = "little")]
    #[test]
    fn only_a_socket_of_the_same_address_takes_a_port() {
        let taken = |local: &str, at: &str| is_taken_by(local, at.parse().unwrap());
        let any6 = format!("{}:0050", "0".repeat(32));
        let mapped = "0000000000000000FFFF00000100007F:0050";
        let local6 = "00000000000000000000000001000000:0050";
        assert!(taken("0100007F:0050", "127.0.0.1:80"));
        assert!(taken("0100007F:0050", "0.0.0.0:80"));
        assert!(taken("00000000:0050", "127.0.0.1:80"));
        assert!(taken(&any6, "127.0.0.1:80") && taken(&any6, "[::1]:80"));
        assert!(taken(mapped, "127.0.0.1:80") && taken(local6, "[::1]:80"));
        assert!(!taken("0100007F:0050", "127.0.0.1:81"));
        assert!(!taken("0100007F:0050", "127.0.0.2:80"));
        assert!(!taken("00000000:0050", "[::]:80") && !taken(local6, "0.0.0.0:80"));
        assert!(!taken("local_address", "127.0.0.1:80") && !taken(":0050", "127.0.0.1:80"));
    }
}
