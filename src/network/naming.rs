//! Names that belong to a network: its own, its bridge's, its directory's, and the suffix by which
//! the firewall's chains of one state root differ from another's.
//!
//! Every bridge of mydocker starts with one prefix, so that one pattern of the firewall matches all
//! of them. This file is the lowest of `network` and imports no other file of it.

use std::path::PathBuf;

use crate::error::{Context, Result};
pub use crate::network_name::{DEFAULT, DEFAULT_BRIDGE, given};
use crate::store::{DEFAULT_ROOT, Roots};

/// The start of every bridge's name.
pub const BRIDGE_PREFIX: &str = "mydocker";

/// Whether `name` can be a network's. Such a name is also one component of a path.
pub fn is_valid(name: &str) -> bool {
    name.len() <= 128
        && name.starts_with(|first: char| first.is_ascii_alphanumeric())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte))
}

/// The directory of a network's files. The default network's is named like its interface.
pub fn dir(roots: &Roots, name: &str) -> PathBuf {
    roots.networks().join(if name == DEFAULT { DEFAULT_BRIDGE } else { name })
}

/// The networks that have neither a record nor a bridge.
pub const WITHOUT_BRIDGE: [&str; 2] = ["host", "none"];

/// The id of `host` or `none`: always the same 64 hexadecimal digits below one state root.
pub fn fixed_id(roots: &Roots, name: &str) -> String {
    let root = roots.state.as_os_str().as_encoded_bytes();
    let part = |number: u8| hash(&[&[number], name.as_bytes(), root].concat());
    (0..8).map(|number| format!("{:08x}", part(number))).collect()
}

/// The suffix of the firewall's chains: empty for the default state root, otherwise digits made
/// from its path, so that two state roots on one host don't touch each other's rules.
pub fn chain_suffix(roots: &Roots) -> String {
    if is_default_root(roots) { String::new() } else { format!("-{:08x}", root_hash(roots)) }
}

/// Whether this is the state root of a command without `--root`.
pub fn is_default_root(roots: &Roots) -> bool {
    roots.state.as_os_str() == DEFAULT_ROOT
}

/// A number made from the path of the state root.
pub fn root_hash(roots: &Roots) -> u32 {
    hash(roots.state.as_os_str().as_encoded_bytes())
}

/// FNV-1a. It spreads names over numbers, and is no protection against chosen input.
pub fn hash(bytes: &[u8]) -> u32 {
    bytes.iter().fold(0x811c_9dc5, |hash, &byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193))
}

/// 64 random hexadecimal digits.
pub fn random_digits() -> Result<String> {
    let mut bytes = [0u8; 32];
    rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty())
        .context(|| "get random bytes")?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}
