//! `<run>/<id>/network.json`: the interfaces, addresses and ports of one running container.
//!
//! The file is written after the leases and before any link or firewall rule is made, so that the
//! clean-up knows what to undo, however the container ended. The file is in the run root, because a
//! reboot removes the links and the rules too. Addresses are text in the file, and typed in memory.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use miniserde::{Deserialize, Serialize, json};

use crate::address::{Ip, Mac};
use crate::container_id::ContainerId;
use crate::error::Result;
use crate::network::firewall::rules::PortRule;
use crate::network::naming;
use crate::network::ports::PortMap;
use crate::network::subnet::Family;
use crate::network_name;
use crate::store::{self, OrEmpty, Roots};

/// The networks of a running container.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Attachment {
    /// The container's name.
    pub name: String,
    pub endpoints: Vec<Endpoint>,
    pub ports: Vec<PortMap>,
}

/// One interface of a container.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Endpoint {
    pub network: String,
    pub network_id: String,
    /// The interface's name in the container.
    pub interface: String,
    /// The name of the veth pair's end on the host.
    pub link: String,
    /// `None` if the interface has the parent's MAC address.
    pub mac: Option<Mac>,
    pub addresses: Vec<Address>,
    /// `Some(true)` if the network has no bridge: then no end of the interface is on the host, and
    /// `link` is the alias that finds the interface. Missing in files of older versions.
    pub direct: Option<bool>,
}

/// One address of an interface.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Address {
    pub address: Ip,
    /// The length of the subnet's prefix, in bits.
    pub prefix: u8,
    /// Empty on an internal network, and if the parent routes (ipvlan l3, l3s).
    pub gateway: OrEmpty<Ip>,
}

impl Attachment {
    /// Reads the attachment of a container; empty if there is no file.
    pub fn read(roots: &Roots, id: &ContainerId) -> Result<Attachment> {
        Ok(Attachment::read_if_present(roots, id)?.unwrap_or_default())
    }

    /// Reads the attachment of a container; `None` if there is no file.
    pub(super) fn read_if_present(roots: &Roots, id: &ContainerId) -> Result<Option<Attachment>> {
        let mut attachment: Option<Attachment> = store::read_json(&path(roots, id))?;
        for endpoint in attachment.iter_mut().flat_map(|present| &mut present.endpoints) {
            network_name::recorded(&mut endpoint.network);
        }
        Ok(attachment)
    }

    /// Writes the attachment to the container's run directory.
    pub(super) fn write(&self, roots: &Roots, id: &ContainerId) -> Result<()> {
        store::replace_in_new_dir(&path(roots, id), json::to_string(self).as_bytes())
    }

    /// The endpoint on this network.
    pub fn endpoint(&self, network: &str) -> Option<&Endpoint> {
        self.endpoints.iter().find(|endpoint| endpoint.network == network)
    }

    /// The firewall's rules for the published ports. A port leads to the container's first address
    /// of the port's family that has a gateway and is on a network with a bridge.
    pub fn port_rules(&self, id: &ContainerId) -> Vec<PortRule> {
        let rule = |map: &PortMap| {
            let from = map.from();
            let target = self.target(Family::of(from.ip()))?;
            let to = SocketAddr::new(target, map.container_port);
            Some(PortRule { owner: id.to_owned(), protocol: map.protocol, from, to })
        };
        self.ports.iter().filter_map(rule).collect()
    }

    /// The container's address to which its published ports of a family lead.
    pub(super) fn target(&self, family: Family) -> Option<IpAddr> {
        // As in Docker, a macvlan or ipvlan interface publishes no ports.
        let bridged = self.endpoints.iter().filter(|endpoint| !endpoint.is_direct());
        let mut addresses = bridged.flat_map(|endpoint| &endpoint.addresses);
        let open = |address: &&Address| address.gateway.is_some() && family.has(address.address.0);
        addresses.find(open).map(|address| address.address.0)
    }
}

impl Endpoint {
    /// Whether the network has no bridge (macvlan or ipvlan).
    pub fn is_direct(&self) -> bool {
        self.direct == Some(true)
    }

    /// The endpoint's id in `inspect`. `owner` is the container.
    pub fn id(&self, owner: &ContainerId) -> String {
        naming::endpoint_id(&self.network_id, owner)
    }

    /// The IP addresses of the interface.
    pub fn ip_addresses(&self) -> impl Iterator<Item = IpAddr> {
        self.addresses.iter().map(|address| address.address.0)
    }

    /// The address of a family.
    pub fn address(&self, family: Family) -> Option<&Address> {
        self.addresses.iter().find(|address| family.has(address.address.0))
    }
}

/// The ids of all containers that have a run directory. Each may have an attachment.
pub fn all_ids(roots: &Roots) -> Result<Vec<ContainerId>> {
    // The run root has other files too. A container's id has 64 digits.
    Ok(store::list(&roots.run)?.iter().filter_map(|name| ContainerId::parse(name)).collect())
}

/// Returns the path of the attachment's file.
pub(super) fn path(roots: &Roots, id: &ContainerId) -> PathBuf {
    roots.run_dir(id).join("network.json")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A file of an earlier version, whose code held addresses and protocols as strings.
    const OLD: &str = r#"{"name":"web","endpoints":[{"network":"mydocker0","network_id":"ab12","interface":"eth0","link":"mdv0123456789ab","mac":"02:42:ac:12:00:02","addresses":[{"address":"172.18.0.2","prefix":20,"gateway":"172.18.0.1"},{"address":"fd00::2","prefix":64,"gateway":""}]}],"ports":[{"protocol":"tcp","address":"0.0.0.0","port":8080,"container_port":80},{"protocol":"udp","address":"::","port":53,"container_port":53}]}"#;

    #[test]
    fn an_old_attachment_is_read_and_written_as_it_was() {
        let attachment: Attachment = miniserde::json::from_str(OLD).unwrap();
        let newer = OLD.replace("]}],\"ports", "],\"direct\":null}],\"ports");
        assert_eq!(miniserde::json::to_string(&attachment), newer);
        let endpoint = attachment.endpoint("mydocker0").unwrap();
        assert_eq!(endpoint.mac, Some(Mac([0x02, 0x42, 0xac, 0x12, 0, 2])));
        let ipv4 = endpoint.address(Family::V4).unwrap();
        assert_eq!(*ipv4.gateway, Some("172.18.0.1".parse().unwrap()));
        assert_eq!(endpoint.address(Family::V6).unwrap().gateway, OrEmpty(None));
        // The IPv6 port gets no rule, because the IPv6 address has no gateway.
        let rules = attachment.port_rules(&ContainerId::of_none());
        assert_eq!(rules.len(), 1);
        assert_eq!(
            (rules[0].from.to_string(), rules[0].to.to_string()),
            ("0.0.0.0:8080".to_owned(), "172.18.0.2:80".to_owned())
        );
    }
}
