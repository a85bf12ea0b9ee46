//! A network on record: `networks/<name>/config.json`, and the locks that go with it.
//!
//! The record says what the network is, not which containers are on it: those are the leases of
//! `ipam`. New networks are made in `create`, and removed in `lifecycle`. The file is replaced by
//! rename(2) and synced, because it must survive a power cut.

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
use crate::error::{Context, Result, fail};
use crate::event::NetworkFacts;
use crate::network_name;
use crate::store::{self, Durability, Lock, LockMode, Roots};

/// The version of the file that is written, and the only one that is read.
pub const VERSION: u32 = 1;

/// A network.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Network {
    /// Of the file's format.
    pub version: u32,
    pub name: String,
    /// 64 hexadecimal digits.
    pub id: String,
    /// Nanoseconds since 1970.
    pub created: i64,
    /// Empty if `direct` is set.
    pub bridge: String,
    /// At most one of each family.
    pub pools: Vec<Pool>,
    /// Whether the containers have no way out and no published ports.
    pub internal: bool,
    /// `None` means the MTU of the host's default route.
    pub mtu: Option<u32>,
    /// The host address for a published port without one.
    pub publish_address: Option<Ip>,
    pub labels: Vec<(String, String)>,
    /// The options of `network create`, as given.
    pub options: Vec<(String, String)>,
    /// Missing in records of older versions, like the fields after it.
    pub attachable: Option<bool>,
    /// Addresses that containers never get, each with a name.
    pub auxiliary: Option<Vec<(String, Ip)>>,
    /// `--ipam-opt`, which `inspect` shows.
    pub ipam_options: Option<Vec<(String, String)>>,
    /// Set for the drivers macvlan and ipvlan.
    pub direct: Option<Direct>,
}

/// The driver of a network without another one.
pub const DEFAULT_DRIVER: &str = "bridge";

/// `-o`: whether containers on the network reach each other.
pub const ENABLE_ICC: &str = "com.docker.network.bridge.enable_icc";
/// `-o`: whether containers reach other machines by the host's address.
pub const ENABLE_MASQUERADE: &str = "com.docker.network.bridge.enable_ip_masquerade";
/// `-o`: whether the bridge has no IPv4 address, so that the gateway is another machine's.
pub const INHIBIT_IPV4: &str = "com.docker.network.bridge.inhibit_ipv4";
/// `-o`: the start of the interfaces' names in the containers.
pub const INTERFACE_PREFIX: &str = "com.docker.network.container_iface_prefix";

/// The truth value that an option has, as Docker reads it.
pub fn truth(value: &str) -> Option<bool> {
    match value {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Some(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Some(false),
        _ => None,
    }
}

impl Network {
    /// Reads the record of a network; `None` if there is none.
    pub fn read(roots: &Roots, name: &str) -> Result<Option<Network>> {
        let path = dir(roots, name).join("config.json");
        let Some(mut network) = store::read_json::<Network>(&path)? else { return Ok(None) };
        network_name::recorded(&mut network.name);
        if network.version != VERSION {
            fail!("{} is of version {}, not {VERSION}", path.display(), network.version);
        }
        let bridge = &network.bridge;
        if network.direct.is_some() && bridge.is_empty() {
            return Ok(Some(network));
        }
        if !link::is_plain_name(bridge) {
            fail!("read {}: '{bridge}' is no name of a bridge", path.display());
        }
        Ok(Some(network))
    }

    /// The pool of a family.
    pub fn pool(&self, family: Family) -> Option<&Pool> {
        self.pools.iter().find(|pool| pool.subnet.family() == family)
    }

    /// Docker's name of the driver.
    pub fn driver(&self) -> &'static str {
        self.direct.as_ref().map_or(DEFAULT_DRIVER, |direct| direct.kind.driver())
    }

    /// What the network's events name.
    pub fn facts(&self) -> NetworkFacts {
        NetworkFacts { id: self.id.clone(), name: self.name.clone(), driver: self.driver() }
    }

    /// The name of the host's link below the containers' interfaces.
    pub fn link(&self) -> &str {
        self.direct.as_ref().map_or(&self.bridge, |direct| &direct.parent)
    }

    /// Whether containers can publish ports on it: they need the host's firewall.
    pub fn can_publish(&self) -> bool {
        !self.internal && self.direct.is_none()
    }

    /// The containers' gateway in a pool; none if there is no way out, or the parent routes.
    pub fn gateway(&self, pool: &Pool) -> Option<IpAddr> {
        let has_gateway = self.direct.as_ref().is_none_or(|direct| direct.kind.has_gateway());
        (has_gateway && !self.internal).then_some(pool.gateway.0)
    }

    fn option(&self, wanted: &str) -> Option<&str> {
        let given = self.options.iter().rev().find(|(key, _)| key == wanted);
        given.map(|(_, value)| value.as_str())
    }

    /// Whether an option of `network create` is not set to false.
    pub fn enables(&self, option: &str) -> bool {
        self.option(option).and_then(truth) != Some(false)
    }

    /// The addresses of the bridge, each with its subnet.
    pub fn bridge_pools(&self) -> impl Iterator<Item = &Pool> {
        let inhibits_ipv4 = self.option(INHIBIT_IPV4).and_then(truth) == Some(true);
        self.pools.iter().filter(move |pool| !inhibits_ipv4 || pool.subnet.family() == Family::V6)
    }

    /// The start of the interfaces' names in the containers.
    pub fn interface_prefix(&self) -> &str {
        self.option(INTERFACE_PREFIX).unwrap_or("eth")
    }

    /// Whether an address is reserved for something that is no container.
    pub fn is_auxiliary(&self, address: IpAddr) -> bool {
        self.auxiliary.iter().flatten().any(|(_, kept)| kept.0 == address)
    }

    /// Locks the network for a change of its leases, its bridge or its containers' hosts files.
    /// Fails if the network was removed at the same time, because no record would name what the caller
    /// makes.
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

    /// Writes the directory and the file. A kill between them leaves an empty directory, which the
    /// next `create` of that name uses.
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

/// All networks on record, by name.
pub fn known(roots: &Roots) -> Result<Vec<Network>> {
    let mut networks = Vec::new();
    let mut names = store::list(&roots.networks())?;
    names.sort_unstable();
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

    /// As mydocker wrote it while subnets and addresses were strings in the code.
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
}
