//! The name of the default network, in the records of containers and networks, and on the command
//! line.
//!
//! The default network is named `bridge`, as in Docker. Earlier versions named the network
//! `mydocker0`, after its interface. Their records are still read, and users may still type that
//! name. The network's directory keeps the former name, so that containers of earlier versions keep
//! their leases.

/// The network that containers join by default. Every state root has its own.
pub const DEFAULT: &str = "bridge";
/// The former name of the default network. The network's directory still has this name. In the
/// default state root, the network's bridge has this name too.
pub const DEFAULT_BRIDGE: &str = "mydocker0";

/// Replaces the former name in a record by the present one.
pub fn recorded(name: &mut String) {
    if name == DEFAULT_BRIDGE {
        *name = DEFAULT.to_owned();
    }
}

/// The network's name for the name that a user types: `default` and the former name mean the
/// default network.
pub fn given(name: &str) -> &str {
    match name {
        "default" | DEFAULT_BRIDGE => DEFAULT,
        name => name,
    }
}
