//! The ports of a container as `ps` prints them, in Docker's words: `80/tcp` is exposed, and
//! `0.0.0.0:8080->80/tcp` is published. Neighbouring published ports form one range. The command
//! `port` in `network` prints one line for each port instead.

use std::fmt;
use std::net::IpAddr;

use crate::engine::view::PublishedPort;
use crate::order;

/// One entry of the column PORTS.
pub enum Ports<'a> {
    /// An exposed port, or a range of exposed ports, as text.
    Exposed(&'a str),
    /// A range of published ports: the first port, and the number of ports.
    Published(PublishedPort, u16),
}

impl fmt::Display for Ports<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (map, length) = match self {
            Ports::Exposed(text) => return f.write_str(text),
            Ports::Published(map, length) => (map, *length),
        };
        let range = |first: u16| match length {
            1 => first.to_string(),
            _ => format!("{first}-{}", first + (length - 1)),
        };
        match map.host.ip() {
            IpAddr::V4(address) => write!(f, "{address}")?,
            IpAddr::V6(address) => write!(f, "[{address}]")?,
        }
        let (host, container) = (range(map.host.port()), range(map.container_port));
        write!(f, ":{host}->{container}/{}", map.protocol)
    }
}

/// Returns the entries of the column PORTS as text.
pub fn lines(published: &[PublishedPort], exposed: &[String]) -> Vec<String> {
    grouped(published, exposed).iter().map(Ports::to_string).collect()
}

/// Returns the entries in Docker's order. Exposed ports, and ports with the same number on the
/// host, come before the others; both groups are sorted by the container's port.
pub fn grouped<'a>(published: &[PublishedPort], exposed: &'a [String]) -> Vec<Ports<'a>> {
    let mut runs: Vec<(PublishedPort, u16)> = Vec::new();
    let mut sorted: Vec<&PublishedPort> = published.iter().collect();
    order::sort_by_key(&mut sorted, |map| {
        (map.host.ip(), map.protocol.name(), map.container_port, map.host.port())
    });
    for map in sorted {
        match runs.last_mut() {
            Some((first, length))
                if (first.host.ip(), first.protocol) == (map.host.ip(), map.protocol)
                    && first.host.port().checked_add(*length) == Some(map.host.port())
                    && first.container_port.checked_add(*length) == Some(map.container_port) =>
            {
                *length += 1;
            }
            _ => runs.push((map.clone(), 1)),
        }
    }
    let exposed = exposed.iter().map(|text| Ports::Exposed(text));
    let runs = runs.into_iter().map(|(first, length)| Ports::Published(first, length));
    let mut all: Vec<Ports<'_>> = exposed.chain(runs).collect();
    order::sort_by_key(&mut all, |ports| match ports {
        Ports::Exposed(text) => {
            let number = text.split(['/', '-']).next().and_then(|port| port.parse().ok());
            (false, number.unwrap_or(0))
        }
        Ports::Published(map, _) => (map.host.port() != map.container_port, map.container_port),
    });
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::options::Protocol;
    use std::net::SocketAddr;

    #[test]
    fn neighbouring_ports_are_shown_as_ranges() {
        let map = |port, container_port| PublishedPort {
            protocol: Protocol::Tcp,
            host: SocketAddr::from(([0; 4], port)),
            container_port,
        };
        assert_eq!(
            lines(&[map(8001, 81), map(8000, 80), map(9000, 82)], &[]),
            ["0.0.0.0:8000-8001->80-81/tcp", "0.0.0.0:9000->82/tcp"]
        );
    }

    #[test]
    fn ports_are_sorted_by_the_containers_number() {
        let map = |protocol, port, container_port| PublishedPort {
            protocol,
            host: SocketAddr::from(([0; 4], port)),
            container_port,
        };
        let maps = [map(Protocol::Tcp, 8090, 80), map(Protocol::Udp, 9053, 53)];
        let maps = [&maps[..], &[map(Protocol::Tcp, 443, 443)]].concat();
        assert_eq!(
            lines(&maps, &["25/tcp".to_owned(), "9000/tcp".to_owned()]),
            [
                "25/tcp",
                "0.0.0.0:443->443/tcp",
                "9000/tcp",
                "0.0.0.0:9053->53/udp",
                "0.0.0.0:8090->80/tcp"
            ]
        );
    }
}
