//! The record of a network: the file `config.json` in the network's directory (`naming::dir`). Also
//! the locks on networks.
//!
//! The record describes the network, but not the containers on it: the leases of `ipam` do that.
//! `create` makes networks and `lifecycle` removes them. The file is replaced by rename(2) and
//! synced, because the record must survive a power cut.

use std::fs;
use std::io::ErrorKind;
use std::net::IpAddr;
use std::os::unix::fs::DirBuilderExt;

use miniserde::{Deserialize, Serialize};

use super::direct::Direct;
use super::link;
use super::naming::dir;
use super::pool::Pool;
use super::subnet::Family;
use crate::address::Ip;
use crate::error::{Context, Error, Result, fail};
use crate::event::NetworkFacts;
use crate::network_name;
use crate::order;
use crate::store::{self, Durability, Lock, LockMode, Roots};

/// The version of the file's format. Files of other versions are refused.
pub const VERSION: u32 = 1;

/// A network.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Network {
    /// The version of the file's format.
    pub version: u32,
    pub name: String,
    /// 64 hexadecimal digits.
    pub id: String,
    /// Nanoseconds since 1970.
    pub created: i64,
    /// The name of the bridge; `None` if `direct` is set.
    pub bridge: Option<String>,
    /// At most one subnet per family; none with `--ipam-driver null`.
    pub pools: Vec<Pool>,
    /// Containers have no route to other networks and no published ports. Set by `--internal`, and
    /// for a parent that is a dummy interface.
    pub internal: bool,
    /// `None` means the MTU of the host's default route, or of the parent.
    pub mtu: Option<u32>,
    /// The host address for a published port for which the user names no address.
    pub publish_address: Option<Ip>,
    pub labels: Vec<(String, String)>,
    /// The `-o` options of `network create`, as given.
    pub options: Vec<(String, String)>,
    /// Missing in records of older versions, like all fields below.
    pub attachable: Option<bool>,
    /// `--aux-address`: pairs of a name and an address that containers never get.
    pub auxiliary: Option<Vec<(String, Ip)>>,
    /// `--ipam-opt`, which `inspect` shows.
    pub ipam_options: Option<Vec<(String, String)>>,
    /// Set for macvlan and ipvlan networks.
    pub direct: Option<Direct>,
}

/// The driver of a network if the user names no driver.
pub const DEFAULT_DRIVER: &str = "bridge";

/// `-o`: whether the network's containers may reach each other. Docker's key, like the keys below.
pub const ENABLE_ICC: &str = "com.docker.network.bridge.enable_icc";
/// `-o`: whether packets to other machines get the host's address as their source.
pub const ENABLE_MASQUERADE: &str = "com.docker.network.bridge.enable_ip_masquerade";
/// `-o`: whether the bridge gets no IPv4 address; then another machine is the gateway.
pub const INHIBIT_IPV4: &str = "com.docker.network.bridge.inhibit_ipv4";
/// `-o`: the prefix of the interfaces' names in the containers.
pub const INTERFACE_PREFIX: &str = "com.docker.network.container_iface_prefix";

/// Parses a truth value as Docker does (Go's strconv.ParseBool); `None` for any other text.
pub fn truth(value: &str) -> Option<bool> {
    match value {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Some(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Some(false),
        _ => None,
    }
}

impl Network {
    /// Reads the record of a network; `None` if there is none. Fails if the file is damaged or has
    /// another version.
    pub fn read(roots: &Roots, name: &str) -> Result<Option<Network>> {
        let path = dir(roots, name).join("config.json");
        let Some(network) = store::read_json::<Network>(&path)? else { return Ok(None) };
        if network.version != VERSION {
            fail!("{} is of version {}, not {VERSION}", path.display(), network.version);
        }
        network.checked().context(|| format!("read {}", path.display())).map(Some)
    }

    /// Checks the bridge's name, and corrects names that older versions of mydocker wrote.
    fn checked(mut self) -> Result<Network> {
        network_name::recorded(&mut self.name);
        if self.direct.is_some() {
            // Older versions wrote an empty bridge name.
            self.bridge = None;
            return Ok(self);
        }
        let bridge = self.bridge()?;
        if !link::is_plain_name(bridge) {
            fail!("'{bridge}' is no name of a bridge");
        }
        Ok(self)
    }

    /// The subnet of a family, if the network has one.
    pub fn pool(&self, family: Family) -> Option<&Pool> {
        self.pools.iter().find(|pool| pool.subnet.family() == family)
    }

    /// Docker's name of the driver.
    pub fn driver(&self) -> &'static str {
        self.direct.as_ref().map_or(DEFAULT_DRIVER, |direct| direct.kind.driver())
    }

    /// The facts that the network's events print.
    pub fn facts(&self) -> NetworkFacts {
        NetworkFacts { id: self.id.clone(), name: self.name.clone(), driver: self.driver() }
    }

    /// The name of the bridge. Fails if the network has none (macvlan and ipvlan).
    pub fn bridge(&self) -> Result<&str> {
        let name = self.bridge.as_deref();
        name.ok_or_else(|| Error::new(format!("network {} has no bridge", self.name)))
    }

    /// The name of the host's link below the containers' interfaces: the parent or the bridge.
    pub fn link(&self) -> Option<&str> {
        match &self.direct {
            Some(direct) => Some(&direct.parent),
            None => self.bridge.as_deref(),
        }
    }

    /// Whether containers can publish ports on the network: it has a bridge and is not internal.
    pub fn can_publish(&self) -> bool {
        !self.internal && self.direct.is_none()
    }

    /// The containers' gateway in a subnet; `None` on an internal network, or in ipvlan's L3 modes.
    pub fn gateway(&self, pool: &Pool) -> Option<IpAddr> {
        let has_gateway = self.direct.as_ref().is_none_or(|direct| direct.kind.has_gateway());
        (has_gateway && !self.internal).then_some(pool.gateway.0)
    }

    fn option(&self, wanted: &str) -> Option<&str> {
        let given = self.options.iter().rev().find(|(key, _)| key == wanted);
        given.map(|(_, value)| value.as_str())
    }

    /// Whether an `-o` option is on. An option is on unless the user sets it to false.
    pub fn enables(&self, option: &str) -> bool {
        self.option(option).and_then(truth) != Some(false)
    }

    /// The subnets from which the bridge gets an address.
    pub fn bridge_pools(&self) -> impl Iterator<Item = &Pool> {
        let inhibits_ipv4 = self.option(INHIBIT_IPV4).and_then(truth) == Some(true);
        self.pools.iter().filter(move |pool| !inhibits_ipv4 || pool.subnet.family() == Family::V6)
    }

    /// The prefix of the interfaces' names in the containers, by default `eth`.
    pub fn interface_prefix(&self) -> &str {
        self.option(INTERFACE_PREFIX).unwrap_or("eth")
    }

    /// Whether `--aux-address` reserves the address.
    pub fn is_auxiliary(&self, address: IpAddr) -> bool {
        self.auxiliary.iter().flatten().any(|(_, kept)| kept.0 == address)
    }

    /// Locks the network for a change of its leases, its bridge or parent, or its containers' hosts
    /// files. Fails if the network was removed at the same time: otherwise the caller could make a
    /// link that no record names.
    pub fn lock(&self, roots: &Roots) -> Result<Lock> {
        let path = dir(roots, &self.name).join(".lock");
        let lock = match Lock::wait(&path, LockMode::Exclusive) {
            Err(error) if error.errno() == Some(rustix::io::Errno::NOENT) => None,
            lock => Some(lock?),
        };
        match (lock, Network::read(roots, &self.name)?) {
            (Some(lock), Some(present)) if present.id == self.id => Ok(lock),
            _ => fail!("network {} was removed at the same time", self.name),
        }
    }

    /// Writes the directory and the file. A kill in between leaves a directory without a record,
    /// which the next `create` of this name uses.
    pub fn write(&self, roots: &Roots) -> Result<()> {
        let dir = dir(roots, &self.name);
        store::make_dir(&roots.networks())?;
        match fs::DirBuilder::new().mode(0o700).create(&dir) {
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
            made => made.context(|| format!("make {}", dir.display()))?,
        }
        store::replace_json(&dir.join("config.json"), self, Durability::Synced)?;
        store::sync_parent(&dir)
    }
}

/// The networks that have a record, sorted by the name of their directory.
pub fn known(roots: &Roots) -> Result<Vec<Network>> {
    let mut networks = Vec::new();
    let mut names = store::list(&roots.networks())?;
    order::sort(&mut names);
    for name in names {
        networks.extend(Network::read(roots, &name)?);
    }
    Ok(networks)
}

/// Locks the set of networks, so that two commands don't choose the same subnet.
pub fn lock_all(roots: &Roots) -> Result<Lock> {
    store::make_dir(&roots.networks())?;
    Lock::wait(&roots.networks().join(".lock"), LockMode::Exclusive)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::subnet::Subnet;

    /// A record that an earlier version wrote, whose code held subnets and addresses as strings.
    const OLD: &str = r#"{"version":1,"name":"web","id":"ab12","created":5,"bridge":"mydocker-ab12cd","pools":[{"subnet":"10.1.2.0/24","gateway":"10.1.2.1","range":"10.1.2.128/25"},{"subnet":"fd00::/64","gateway":"fd00::1","range":null}],"internal":false,"mtu":1450,"publish_address":"127.0.0.1","labels":[["a","b"]],"options":[["mtu","1450"]]}"#;

    #[test]
    fn an_old_record_is_read_and_written_as_it_was() {
        let network: Network = miniserde::json::from_str(OLD).unwrap();
        let newer = r#","attachable":null,"auxiliary":null,"ipam_options":null,"direct":null}"#;
        let written = miniserde::json::to_string(&network);
        assert_eq!(written, OLD.replace("]]}", &format!("]]{newer}")));
        let range = Subnet::around("10.1.2.128".parse().unwrap(), 25);
        assert_eq!(network.pool(Family::V4).unwrap().range, Some(range));
        assert_eq!(network.pool(Family::V6).unwrap().range, None);
        let without = OLD.replace("\"127.0.0.1\"", "null");
        assert_eq!(miniserde::json::from_str::<Network>(&without).unwrap().publish_address, None);
        for bad in ["10.1.2.300", "10.1.2.1/24", ""] {
            let damaged = OLD.replace("10.1.2.1\"", &format!("{bad}\""));
            assert!(miniserde::json::from_str::<Network>(&damaged).is_err(), "{bad}");
        }
    }

    #[test]
    fn an_old_record_with_an_empty_name_has_no_bridge() {
        let direct = r#"]],"direct":{"kind":"macvlan/bridge","parent":"eth0","origin":"host"}}"#;
        let record = OLD.replace("mydocker-ab12cd", "").replace("]]}", direct);
        let network = miniserde::json::from_str::<Network>(&record).unwrap().checked().unwrap();
        assert_eq!((network.bridge.as_deref(), network.link()), (None, Some("eth0")));
        network.bridge().unwrap_err();
    }
}
