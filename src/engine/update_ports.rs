//! `update --publish-add` and `--publish-rm`: the ports that a container publishes after the
//! change.
//!
//! The record has the requested ports. The attachment (`network::attachment`) has the actual ports
//! of a running container. Docker lacks both flags. The values of the flags have the form of `-p`.

use std::os::fd::AsFd;

use super::Engine;
use super::options::UpdateOptions;
use crate::container::files::Files;
use crate::container::held_ports::MonitorPorts;
use crate::container::record::Record;
use crate::container_id::ContainerId;
use crate::error::{Result, fail};
use crate::network::attachment::republish::{Plan, has_container_port_of, has_host_port_of};
use crate::network::ports::{self, PortMap};
use crate::port::{PortRange, Publish};

/// Returns the ports that `record` publishes after the change. `present` has the actual ports of a
/// running container. Fails if a port to remove is not published, if a port to add collides with
/// another port, if the container cannot publish ports, or if there are too many ports.
pub(super) fn changed(
    record: &Record,
    present: &[PortMap],
    options: &UpdateOptions,
) -> Result<Vec<Publish>> {
    let name = &record.name;
    let mut publish = record.publish.clone();
    for removed in &options.publish_remove {
        let before = publish.iter().map(|known| known.container.len()).sum::<usize>();
        publish = publish.iter().flat_map(|known| without(known, removed, present)).collect();
        if publish.iter().map(|known| known.container.len()).sum::<usize>() == before {
            fail!("container {name} does not publish {removed}; see `mydocker port {name}`");
        }
    }
    if options.publish_add.is_empty() {
        return Ok(publish);
    }
    if let Some(other) = record.network.container() {
        fail!(
            "container {name} shares the network of {other}: publish the ports of that container"
        );
    }
    if record.networks.is_empty() {
        fail!("container {name} has --net {}: its ports can't be published", record.network);
    }
    for added in &options.publish_add {
        let taken = publish.iter().find(|known| {
            let units =
                || known.each().flat_map(|one| added.each().map(move |new| (one.clone(), new)));
            units().any(|(one, new)| collide(&one, &new))
        });
        if let Some(taken) = taken {
            fail!("container {name} publishes {taken} already: {added} needs the same port");
        }
        publish.push(added.clone());
    }
    ports::check_count(&publish)?;
    Ok(publish)
}

/// Returns the ports of `known` that `removed` does not name.
fn without(known: &Publish, removed: &Publish, present: &[PortMap]) -> Vec<Publish> {
    let mut left: Vec<Publish> = known.each().collect();
    left.retain(|one| !removed.each().any(|removed| names(&removed, one, present)));
    if left.len() == known.container.len() { vec![known.clone()] } else { left }
}

/// Reports whether the value `wanted` of `--publish-rm` names the port `one`. `wanted` may lack the
/// address or the host's port. If `one` does not fix the host's port, `wanted` may have the actual
/// port of the host, which `present` has.
fn names(wanted: &Publish, one: &Publish, present: &[PortMap]) -> bool {
    let is_host = |host: PortRange| {
        let chosen = present
            .iter()
            .find(|map| has_host_port_of(map, one) && has_container_port_of(map, one))
            .map(|map| PortRange::one(map.port));
        one.host == Some(host) || chosen == Some(host)
    };
    wanted.protocol == one.protocol
        && wanted.container == one.container
        && wanted.address.is_none_or(|address| match one.address {
            Some(own) => own == address,
            None => address.is_unspecified(),
        })
        && wanted.host.is_none_or(is_host)
}

/// Reports whether two ports need the same port of the host. Returns false if this is not certain.
/// An unspecified address such as 0.0.0.0 collides with all addresses.
fn collide(one: &Publish, other: &Publish) -> bool {
    let is_one = |port: &Publish| port.host.is_some_and(|host| host.len() == 1);
    let share_address = match (one.address, other.address) {
        (Some(one), Some(other)) => {
            let same_family = one.is_ipv4() == other.is_ipv4();
            one == other || same_family && (one.is_unspecified() || other.is_unspecified())
        }
        // A port without an address gets the network's default address, which is not known here.
        (None, None) => true,
        _ => false,
    };
    one.protocol == other.protocol && is_one(one) && one.host == other.host && share_address
}

/// A change of a running container's ports, and the connection to the container's monitor.
pub(super) struct Change {
    plan: Plan,
    monitor: MonitorPorts,
}

impl Change {
    /// Claims the ports of `record` that the container does not publish yet. Changes nothing else.
    /// Fails if a port is in use, or if the monitor cannot change ports.
    pub fn begin(engine: &Engine, record: &Record) -> Result<Change> {
        let monitor = MonitorPorts::of(&Files::new(&engine.roots, &record.id))?;
        let plan = Plan::new(&engine.roots, &record.id, &record.publish, true)?;
        Ok(Change { plan, monitor })
    }

    /// Publishes the new ports. If this fails, the caller must call `undo`.
    pub fn carry_out(&self, engine: &Engine, id: &ContainerId) -> Result<()> {
        self.plan.held.iter().try_for_each(|socket| self.monitor.hold(socket.as_fd()))?;
        self.plan.carry_out(&engine.roots, engine.firewall, id)
    }

    /// Releases the ports that the container no longer publishes.
    pub fn finish(&self) -> Result<()> {
        self.plan.unneeded().iter().try_for_each(|name| self.monitor.release(name))
    }

    /// Publishes the former ports again.
    pub fn undo(self, engine: &Engine, id: &ContainerId) -> Result<()> {
        let back = Change { plan: self.plan.inverse(), ..self };
        back.carry_out(engine, id)?;
        back.finish()
    }

    /// Publishes the ports of a running container's record, after a change that was not finished.
    pub fn repair(engine: &Engine, record: &Record) -> Result<()> {
        let monitor = MonitorPorts::of(&Files::new(&engine.roots, &record.id))?;
        // It is unknown which sockets the monitor holds, so release all.
        monitor.release_all()?;
        let plan = Plan::new(&engine.roots, &record.id, &record.publish, false)?;
        Change { plan, monitor }.carry_out(engine, &record.id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn left(known: &str, removed: &str, present: &[PortMap]) -> String {
        let left = without(&known.parse().unwrap(), &removed.parse().unwrap(), present);
        left.iter().map(Publish::to_string).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn a_port_is_removed_by_a_value_that_names_it() {
        for (known, removed, expected) in [
            ("8080:80", "80", ""),
            ("8080:80", "8080:80", ""),
            ("8080:80", "8081:80", "8080:80/tcp"),
            ("8080:80", "80/udp", "8080:80/tcp"),
            ("8080:80", "0.0.0.0:8080:80", ""),
            ("8080:80", "127.0.0.1:8080:80", "8080:80/tcp"),
            ("127.0.0.1:8080:80", "127.0.0.1:8080:80", ""),
            ("127.0.0.1:8080:80", "80", ""),
            ("8000-8002:80-82", "81", "8000:80/tcp 8002:82/tcp"),
            ("8000-8002:80-82", "8001:81", "8000:80/tcp 8002:82/tcp"),
            ("8000-8002:80-82", "8000-8002:80-82", ""),
            ("8000-8002:80-82", "83", "8000-8002:80-82/tcp"),
            ("8000-8002:80", "80", ""),
            ("8000-8002:80", "8000-8002:80", ""),
            ("80", "49153:80", "80/tcp"),
        ] {
            assert_eq!(left(known, removed, &[]), expected, "{known} {removed}");
        }
        let chosen = PortMap {
            protocol: crate::port::Protocol::Tcp,
            address: "0.0.0.0".parse().unwrap(),
            port: 49153,
            container_port: 80,
        };
        assert_eq!(left("80", "49153:80", std::slice::from_ref(&chosen)), "");
        assert_eq!(left("80", "49154:80", &[chosen]), "80/tcp");
    }

    #[test]
    fn two_ports_that_need_the_same_host_port_collide() {
        let collide =
            |one: &str, other: &str| collide(&one.parse().unwrap(), &other.parse().unwrap());
        assert!(collide("8080:80", "8080:80"));
        assert!(collide("8080:80", "8080:81"));
        assert!(collide("0.0.0.0:8080:80", "127.0.0.1:8080:80"));
        assert!(!collide("8080:80", "8080:80/udp"));
        assert!(!collide("80", "80"));
        assert!(!collide("127.0.0.1:8080:80", "127.0.0.2:8080:80"));
        assert!(collide("[::]:8080:80", "[::1]:8080:80"));
        assert!(!collide("0.0.0.0:8080:80", "[::1]:8080:80"));
    }
}
