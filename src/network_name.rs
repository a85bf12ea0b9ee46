//! The name of the default network, which records of containers and networks both carry.
//!
//! Users meet it as `bridge`, as in Docker. Earlier versions wrote `mydocker0`, the name of its
//! interface: their records are still read, and the name is still accepted. The directory of the
//! network keeps that name, so that containers that an earlier version started keep their leases.

/// The network that containers join by default. Every state root has its own.
pub const DEFAULT: &str = "bridge";
/// The default network's former name, its directory's, and that of its interface below the default
/// state root.
pub const DEFAULT_BRIDGE: &str = "mydocker0";

/// The present name of a network that a record names.
pub fn recorded(name: &mut String) {
    if name == DEFAULT_BRIDGE {
        *name = DEFAULT.to_owned();
    }
}

/// The name of the network that a user names.
pub fn given(name: &str) -> &str {
    match name {
        "default" | DEFAULT_BRIDGE => DEFAULT,
        name => name,
    }
}
