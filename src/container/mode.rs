//! The namespace modes of a container: its own namespace, the host's, or another container's
//! (`--network`, `--pid`, `--ipc`, `--uts`; namespaces(7)).
//!
//! An option has the other container's name or ID as the user writes it. A record has the other
//! container's full ID. A record stores a mode as text, such as `host` or `container:ID`.

use std::fmt;
use std::str::FromStr;

use crate::container_id::ContainerId;
use crate::error::{Error, Result, fail};
use crate::network_name;
use crate::store::{stored_as_text, stored_flat};

/// The prefix of a mode with another container's name or ID.
const CONTAINER: &str = "container:";

/// The mode of a PID, IPC or UTS namespace. `C` is the type of the other container's name or ID.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum NamespaceMode<C = String> {
    #[default]
    Private,
    Host,
    /// The namespace of another container.
    Container(C),
    /// Only for IPC: a private namespace without /dev/shm.
    None,
    /// Only for IPC: a private namespace that other containers may join.
    Shareable,
}

stored_flat! {
    /// The modes of a container's PID, IPC, UTS and cgroup namespaces.
    #[derive(Clone, Debug, Default, PartialEq, Eq)]
    pub struct NamespaceModes<C = ContainerId> {
        pub pid: NamespaceMode<C>,
        pub ipc: NamespaceMode<C>,
        pub uts: NamespaceMode<C>,
        /// Whether the container has the host's cgroup namespace (`--cgroupns host`).
        pub host_cgroups: bool => optional,
    }
}

/// The mode of a container's network namespace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NetworkMode<C = String> {
    /// A namespace with only a loopback interface.
    None,
    Host,
    /// The namespace of another container.
    Container(C),
    /// A namespace of its own, on networks. The value is the name of the first network.
    Network(String),
}

stored_as_text!(NamespaceMode<ContainerId>, NetworkMode<ContainerId>);

impl<C> NamespaceMode<C> {
    /// The same mode, with the other container converted by `find`, for example from a name to an
    /// ID. Fails as `find` does.
    pub fn find<D>(&self, find: impl FnOnce(&C) -> Result<D>) -> Result<NamespaceMode<D>> {
        Ok(match self {
            NamespaceMode::Private => NamespaceMode::Private,
            NamespaceMode::Host => NamespaceMode::Host,
            NamespaceMode::Container(other) => NamespaceMode::Container(find(other)?),
            NamespaceMode::None => NamespaceMode::None,
            NamespaceMode::Shareable => NamespaceMode::Shareable,
        })
    }

    /// The other container, if the mode names one.
    pub fn container(&self) -> Option<&C> {
        match self {
            NamespaceMode::Container(other) => Some(other),
            _ => None,
        }
    }
}

impl<C> NamespaceModes<C> {
    /// The same modes, with each other container converted by `find`.
    pub fn find<D>(&self, find: impl Fn(&C) -> Result<D>) -> Result<NamespaceModes<D>> {
        Ok(NamespaceModes {
            pid: self.pid.find(&find)?,
            ipc: self.ipc.find(&find)?,
            uts: self.uts.find(&find)?,
            host_cgroups: self.host_cgroups,
        })
    }

    /// Whether the PID, IPC or UTS namespace belongs to another container.
    pub fn joins(&self) -> bool {
        [&self.pid, &self.ipc, &self.uts].iter().any(|mode| mode.container().is_some())
    }
}

impl<C> NetworkMode<C> {
    /// The same mode, with the other container converted by `find`, for example from a name to an
    /// ID. Fails as `find` does.
    pub fn find<D>(&self, find: impl FnOnce(&C) -> Result<D>) -> Result<NetworkMode<D>> {
        Ok(match self {
            NetworkMode::None => NetworkMode::None,
            NetworkMode::Host => NetworkMode::Host,
            NetworkMode::Container(other) => NetworkMode::Container(find(other)?),
            NetworkMode::Network(name) => NetworkMode::Network(name.clone()),
        })
    }

    /// The mode of a container whose first network is `first`; `None` means no network.
    pub fn on(first: Option<&str>) -> NetworkMode<C> {
        first.map_or(NetworkMode::None, |name| NetworkMode::Network(name.to_owned()))
    }

    /// The other container, if the mode names one.
    pub fn container(&self) -> Option<&C> {
        match self {
            NetworkMode::Container(other) => Some(other),
            _ => None,
        }
    }

    /// Whether the namespace belongs to the host or to another container. A container with such a
    /// mode cannot be connected to networks.
    pub fn is_shared(&self) -> bool {
        matches!(self, NetworkMode::Host | NetworkMode::Container(_))
    }
}

impl<C: fmt::Display> fmt::Display for NamespaceMode<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            NamespaceMode::Private => f.write_str("private"),
            NamespaceMode::Host => f.write_str("host"),
            NamespaceMode::Container(other) => write!(f, "{CONTAINER}{other}"),
            NamespaceMode::None => f.write_str("none"),
            NamespaceMode::Shareable => f.write_str("shareable"),
        }
    }
}

impl<C: FromStr> FromStr for NamespaceMode<C> {
    type Err = Error;

    fn from_str(text: &str) -> Result<NamespaceMode<C>> {
        Ok(match text {
            "" | "private" => NamespaceMode::Private,
            "host" => NamespaceMode::Host,
            "none" => NamespaceMode::None,
            "shareable" => NamespaceMode::Shareable,
            _ => {
                match text.strip_prefix(CONTAINER).map(|other| (other.is_empty(), other.parse())) {
                    Some((false, Ok(other))) => NamespaceMode::Container(other),
                    _ => fail!("bad namespace '{text}': write host, private or container:NAME"),
                }
            }
        })
    }
}

impl<C: fmt::Display> fmt::Display for NetworkMode<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            NetworkMode::None => f.write_str("none"),
            NetworkMode::Host => f.write_str("host"),
            NetworkMode::Container(other) => write!(f, "{CONTAINER}{other}"),
            NetworkMode::Network(name) => f.write_str(name),
        }
    }
}

impl<C: FromStr> FromStr for NetworkMode<C> {
    type Err = Error;

    fn from_str(text: &str) -> Result<NetworkMode<C>> {
        if let Some(("container", other)) = text.split_once(':')
            && !other.is_empty()
            && let Ok(other) = other.parse()
        {
            return Ok(NetworkMode::Container(other));
        }
        Ok(match text {
            "none" => NetworkMode::None,
            "host" => NetworkMode::Host,
            "" => return Err(bad_network(text)),
            name if name.contains(':') => return Err(bad_network(text)),
            name => NetworkMode::Network(network_name::given(name).to_owned()),
        })
    }
}

fn bad_network(text: &str) -> Error {
    Error::new(format!(
        "bad network '{text}': write none, host, container:NAME or a network's name"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modes_are_stored_as_docker_prints_them() {
        for text in ["private", "host", "container:0123", "none", "shareable"] {
            assert_eq!(text.parse::<NamespaceMode>().unwrap().to_string(), text);
        }
        for text in ["none", "host", "container:0123", "bridge", "lan.1"] {
            assert_eq!(text.parse::<NetworkMode>().unwrap().to_string(), text);
        }
        assert_eq!("".parse::<NamespaceMode>().unwrap(), NamespaceMode::Private);
        for bad in ["", "container:", "other:x"] {
            assert!(bad.parse::<NetworkMode>().is_err(), "{bad}");
        }
        for bad in ["hots", "container:"] {
            assert!(bad.parse::<NamespaceMode>().is_err(), "{bad}");
        }
        // Earlier versions wrote this name for the default network.
        assert_eq!("mydocker0".parse::<NetworkMode>().unwrap().to_string(), "bridge");
    }
}
