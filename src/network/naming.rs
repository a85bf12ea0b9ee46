//! Names and ids that belong to a network: its name, the prefix of its bridge's name, its
//! directory, ids of networks and endpoints, and the suffix of the firewall's chains.
//!
//! Every bridge that mydocker names has the same prefix, so one pattern in the firewall matches all
//! of them. This file imports no other file of `network`.

use std::path::PathBuf;

use crate::container_id::ContainerId;
pub use crate::network_name::{DEFAULT, DEFAULT_BRIDGE, given};
use crate::store::{DEFAULT_ROOT, Roots};

/// The prefix of the bridge names that mydocker chooses.
pub const BRIDGE_PREFIX: &str = "mydocker";

/// Whether `name` can be the name of a network. Such a name is also a valid file name.
pub fn is_valid(name: &str) -> bool {
    crate::name::is_valid(name, 128)
}

/// The directory of a network's files. The default network's directory is named `mydocker0`.
pub fn dir(roots: &Roots, name: &str) -> PathBuf {
    roots.networks().join(if name == DEFAULT { DEFAULT_BRIDGE } else { name })
}

/// The names of the two networks that have neither a bridge nor a record.
pub const WITHOUT_BRIDGE: [&str; 2] = ["host", "none"];

/// The id of `host` or `none`: 64 hexadecimal digits that never change for a state root.
pub fn fixed_id(roots: &Roots, name: &str) -> String {
    derived_id(name.as_bytes(), roots.state.as_os_str().as_encoded_bytes())
}

/// The id of a container's endpoint on a network, derived from the ids of both.
pub fn endpoint_id(network: &str, container: &ContainerId) -> String {
    derived_id(network.as_bytes(), container.as_bytes())
}

/// 64 hexadecimal digits that are the same for the same two texts.
fn derived_id(first: &[u8], second: &[u8]) -> String {
    let part = |number: u8| hash(&[&[number], first, second].concat());
    (0..8).map(|number| format!("{:08x}", part(number))).collect()
}

/// The suffix of the firewall's chains: empty for the default state root, otherwise digits derived
/// from the root's path. So two state roots on a host don't change each other's rules.
pub fn chain_suffix(roots: &Roots) -> String {
    if is_default_root(roots) { String::new() } else { format!("-{:08x}", root_hash(roots)) }
}

/// Whether this is the default state root, which commands without `--root` use.
pub fn is_default_root(roots: &Roots) -> bool {
    roots.state.as_os_str() == DEFAULT_ROOT
}

/// A number derived from the path of the state root.
pub fn root_hash(roots: &Roots) -> u32 {
    hash(roots.state.as_os_str().as_encoded_bytes())
}

/// FNV-1a, to spread names over numbers. An attacker can easily find texts with the same hash.
pub fn hash(bytes: &[u8]) -> u32 {
    bytes.iter().fold(0x811c_9dc5, |hash, &byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193))
}
