//! The ports of a container as `ps` prints them, in Docker's words: `80/tcp` is exposed, and
//! `0.0.0.0:8080->80/tcp` is published. Neighbouring ports are one range. `mydocker port` prints a line for
//! each port instead, in `cli::network`.

use std::net::IpAddr;

use crate::engine::view::PublishedPort;

/// `80/tcp` for an exposed port, `0.0.0.0:8080->80/tcp` for a published one, and ranges for neighbouring
/// ports. In Docker's order: ports with one number come first, each by the container's port.
pub fn lines(published: &[PublishedPort], exposed: &[String]) -> Vec<String> {
    let mut runs: Vec<(PublishedPort, u16)> = Vec::new();
    let mut sorted: Vec<&PublishedPort> = published.iter().collect();
    sorted.sort_unstable_by_key(|map| {
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
    let line = |(map, length): &(PublishedPort, u16)| {
        let range = |first: u16| match length {
            1 => first.to_string(),
            _ => format!("{first}-{}", first + (length - 1)),
        };
        let address = match map.host.ip() {
            IpAddr::V4(address) => address.to_string(),
            IpAddr::V6(address) => format!("[{address}]"),
        };
        let line = format!(
            "{address}:{}->{}/{}",
            range(map.host.port()),
            range(map.container_port),
            map.protocol
        );
        (map.host.port() != map.container_port, map.container_port, line)
    };
    let number =
        |exposed: &str| exposed.split(['/', '-']).next().and_then(|port| port.parse().ok());
    let exposed = exposed.iter().map(|port| (false, number(port).unwrap_or(0), port.clone()));
    let mut lines: Vec<(bool, u16, String)> = exposed.chain(runs.iter().map(line)).collect();
    lines.sort_by_key(|(is_mapped, port, _)| (*is_mapped, *port));
    lines.into_iter().map(|(_, _, line)| line).collect()
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
