//! The network settings of a container in `container inspect`: its addresses and published ports
//! under Docker's field names.
//!
//! The facts come from the endpoints that `network` has recorded and not from the kernel, so this
//! process enters no network namespace.

use std::collections::BTreeMap;

use super::value::{array, mac, map, number, object, or_nil_list, or_nil_map, text};
use crate::address::Ip;
use crate::container::record::{EndpointSettings, Record};
use crate::container::state::Condition;
use crate::container_id::ContainerId;
use crate::engine::Engine;
use crate::error::{Context, Result};
use crate::network::attachment::record::{Address, Attachment, Endpoint};
use crate::network::naming::{self, DEFAULT};
use crate::network::record::Network;
use crate::network::subnet::Family;
use crate::network::{attachment, names};
use crate::port::Publish;
use crate::template::{Value, omit_empty};

/// Returns the ports of `-p` as the record has them, without the ports that a start chose:
/// `{"80/tcp": [{"HostIp": …, "HostPort": …}]}`.
pub(super) fn port_bindings(record: &Record) -> Value {
    // `-P` adds the exposed ports to the record; Docker does not count these as bindings.
    let exposed = || record.exposed.iter().filter_map(|port| Publish::exposed(port).ok());
    let is_added = |publish: &Publish| {
        let same = |port: Publish| {
            port.container == publish.container && port.protocol == publish.protocol
        };
        record.publish_all && publish.host.is_none() && exposed().any(same)
    };
    let mut bindings = Bindings::new();
    for publish in record.publish.iter().filter(|publish| !is_added(publish)) {
        let key = format!("{}/{}", publish.container, publish.protocol);
        let host = publish.host.map(|range| range.to_string()).unwrap_or_default();
        let address = publish.address.map(|address| address.to_string()).unwrap_or_default();
        let binding = object([("HostIp", text(address)), ("HostPort", text(host))]);
        bindings.entry(key).or_default().push(binding);
    }
    of_bindings(bindings)
}

/// The ports of a container, each with the addresses and ports of the host.
type Bindings = BTreeMap<String, Vec<Value>>;

/// Converts the bindings to a map. A port that is only exposed has a nil list.
fn of_bindings(bindings: Bindings) -> Value {
    Value::map(bindings.into_iter().map(|(port, hosts)| (port, or_nil_list(Value::list(hosts)))))
}

impl Engine {
    /// Returns the `NetworkSettings` of a container.
    pub(super) fn network_settings(&self, record: &Record, condition: &Condition) -> Result<Value> {
        let pid = match condition {
            Condition::Running(state) => Some(state.pid),
            _ => None,
        };
        let read = if pid.is_some() { attachment::find } else { Attachment::read };
        let attachment = read(&self.roots, &record.id)
            .context(|| format!("inspect the networks of container {}", record.name))?;
        let mut networks = BTreeMap::new();
        // As in Docker, the ids of the networks and the container's further names appear from its
        // first start on.
        let was_started = !matches!(condition, Condition::Created(_) | Condition::Starting);
        for wanted in &record.networks {
            let name = &wanted.name;
            let endpoint = attachment.endpoint(name);
            let of_network = || Some(Network::read(&self.roots, name).ok()??.id);
            let network_id = match endpoint {
                Some(endpoint) => endpoint.network_id.clone(),
                None => Some(())
                    .filter(|()| was_started)
                    .and_then(|()| of_network())
                    .unwrap_or_default(),
            };
            let mut aliases = wanted.settings.aliases.clone();
            if was_started && *name != DEFAULT {
                aliases.extend(names::further(&record.id, &record.hostname, &aliases));
            }
            let facts = Facts { record, endpoint, network_id, aliases };
            networks.insert(name.clone(), settings(facts, Some(&wanted.settings)));
        }
        if record.networks.is_empty() && record.network.container().is_none() {
            let name = record.network.to_string();
            let network_id =
                if was_started { naming::fixed_id(&self.roots, &name) } else { String::new() };
            let facts = Facts { record, endpoint: None, network_id, aliases: Vec::new() };
            networks.insert(name, settings(facts, None));
        }
        let mut ports = Bindings::new();
        for map in &attachment.ports {
            let key = format!("{}/{}", map.container_port, map.protocol);
            let binding = object([("HostIp", text(map.address)), ("HostPort", text(map.port))]);
            ports.entry(key).or_default().push(binding);
        }
        if pid.is_some() {
            for exposed in &record.exposed {
                ports.entry(exposed.clone()).or_default();
            }
        }
        let first = Addresses(attachment.endpoints.first());
        let namespace = pid.map(|pid| format!("/proc/{pid}/ns/net")).unwrap_or_default();
        Ok(object([
            ("Bridge", text("")),
            // A container has one network namespace, so the container's id also names the
            // namespace.
            ("SandboxID", text(pid.map_or("", |_| &record.id))),
            ("HairpinMode", Value::Bool(false)),
            ("LinkLocalIPv6Address", text("")),
            ("LinkLocalIPv6PrefixLen", number(0)),
            ("Ports", of_bindings(ports)),
            ("SandboxKey", text(namespace)),
            ("SecondaryIPAddresses", Value::NilList),
            ("SecondaryIPv6Addresses", Value::NilList),
            ("EndpointID", first.id(&record.id)),
            ("Gateway", first.gateway(Family::V4)),
            ("GlobalIPv6Address", first.address(Family::V6)),
            ("GlobalIPv6PrefixLen", first.prefix(Family::V6)),
            ("IPAddress", first.address(Family::V4)),
            ("IPPrefixLen", first.prefix(Family::V4)),
            ("IPv6Gateway", first.gateway(Family::V6)),
            ("MacAddress", first.mac()),
            ("Networks", Value::map(networks)),
        ]))
    }
}

/// The addresses of an endpoint as Docker's fields, which are empty without an endpoint.
struct Addresses<'a>(Option<&'a Endpoint>);

impl Addresses<'_> {
    fn of(&self, family: Family, of: fn(&Address) -> String) -> Value {
        let address = self.0.and_then(|endpoint| endpoint.address(family));
        text(address.map_or_else(String::new, of))
    }

    fn address(&self, family: Family) -> Value {
        self.of(family, |found| found.address.to_string())
    }

    fn gateway(&self, family: Family) -> Value {
        self.of(family, |found| found.gateway.to_string())
    }

    fn prefix(&self, family: Family) -> Value {
        let address = self.0.and_then(|endpoint| endpoint.address(family));
        number(address.map_or(0, |found| found.prefix.into()))
    }

    fn id(&self, owner: &ContainerId) -> Value {
        text(self.0.map_or_else(String::new, |endpoint| endpoint.id(owner)))
    }

    fn mac(&self) -> Value {
        self.0.map_or_else(|| text(""), mac)
    }
}

/// Returns the addresses that the user chose, or nil if there are none.
fn chosen(wanted: &EndpointSettings) -> Value {
    if wanted.addresses.is_empty() && wanted.link_local.is_empty() {
        return Value::Nil;
    }
    let of = |family: Family| {
        let found = wanted.addresses.iter().find(|address| family.has(address.0));
        omit_empty(text(found.map(Ip::to_string).unwrap_or_default()))
    };
    object([
        ("IPv4Address", of(Family::V4)),
        ("IPv6Address", of(Family::V6)),
        ("LinkLocalIPs", omit_empty(array(wanted.link_local.iter().map(text)))),
    ])
}

/// The facts about a container on a network, besides the settings that the user chose.
struct Facts<'a> {
    record: &'a Record,
    /// The recorded endpoint, if there is one.
    endpoint: Option<&'a Endpoint>,
    network_id: String,
    aliases: Vec<String>,
}

/// Returns Docker's fields of one endpoint, which are empty without an endpoint.
fn settings(facts: Facts<'_>, wanted: Option<&EndpointSettings>) -> Value {
    let addresses = Addresses(facts.endpoint);
    let links = wanted.map_or(&[][..], |wanted| &wanted.links);
    let links = links.iter().map(|(name, alias)| text(format!("{name}:{alias}")));
    let driver_options = wanted.map_or(&[][..], |wanted| &wanted.driver_options);
    object([
        ("IPAMConfig", wanted.map_or(Value::Nil, chosen)),
        ("Links", or_nil_list(array(links))),
        ("Aliases", or_nil_list(array(facts.aliases.iter().map(text)))),
        ("NetworkID", text(facts.network_id)),
        ("EndpointID", addresses.id(&facts.record.id)),
        ("Gateway", addresses.gateway(Family::V4)),
        ("IPAddress", addresses.address(Family::V4)),
        ("IPPrefixLen", addresses.prefix(Family::V4)),
        ("IPv6Gateway", addresses.gateway(Family::V6)),
        ("GlobalIPv6Address", addresses.address(Family::V6)),
        ("GlobalIPv6PrefixLen", addresses.prefix(Family::V6)),
        ("MacAddress", addresses.mac()),
        ("DriverOpts", or_nil_map(map(driver_options))),
    ])
}
