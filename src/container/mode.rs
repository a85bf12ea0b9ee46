//! Which namespaces a container has: its own, the host's, or another container's
//! (`--network`, `--pid`, `--ipc`, `--uts`; namespaces(7)). An option names the other container as
//! the user does; a record has its id. Records keep the text form that Docker prints.

use std::fmt;
use std::str::FromStr;

use crate::error::{Error, Result, fail};
use crate::network_name;
use crate::store::stored_as_text;

/// The text before the other container's name or id.
const CONTAINER: &str = "container:";

/// The PID, IPC or UTS namespace of a container.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum NamespaceMode {
    #[default]
    Private,
    Host,
    /// The namespace of another container.
    Container(String),
    /// IPC alone: a private one without /dev/shm.
    None,
    /// IPC alone: the same as private, which other containers may join here.
    Shareable,
}

/// The network namespace of a container, and what is in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NetworkMode {
    /// Only a loopback interface.
    None,
    Host,
    /// The namespace of another container.
    Container(String),
    /// On networks; this is the name of the first.
    Network(String),
}

stored_as_text!(NamespaceMode, NetworkMode);

impl NamespaceMode {
    /// The other container, if it is another's namespace.
    pub fn container(&self) -> Option<&str> {
        match self {
            NamespaceMode::Container(other) => Some(other),
            _ => None,
        }
    }
}

impl NetworkMode {
    /// The mode of a container on these networks.
    pub fn on(first: Option<&str>) -> NetworkMode {
        first.map_or(NetworkMode::None, |name| NetworkMode::Network(name.to_owned()))
    }

    /// The other container, if it is another's namespace.
    pub fn container(&self) -> Option<&str> {
        match self {
            NetworkMode::Container(other) => Some(other),
            _ => None,
        }
    }

    /// Whether the namespace belongs to the host or to another container, so that this container
    /// can't be given networks, ports or names.
    pub fn is_shared(&self) -> bool {
        matches!(self, NetworkMode::Host | NetworkMode::Container(_))
    }
}

impl fmt::Display for NamespaceMode {
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

impl FromStr for NamespaceMode {
    type Err = Error;

    fn from_str(text: &str) -> Result<NamespaceMode> {
        Ok(match text {
            "" | "private" => NamespaceMode::Private,
            "host" => NamespaceMode::Host,
            "none" => NamespaceMode::None,
            "shareable" => NamespaceMode::Shareable,
            _ => match text.strip_prefix(CONTAINER) {
                Some(other) if !other.is_empty() => NamespaceMode::Container(other.to_owned()),
                _ => fail!("bad namespace '{text}': write host, private or container:NAME"),
            },
        })
    }
}

impl fmt::Display for NetworkMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            NetworkMode::None => f.write_str("none"),
            NetworkMode::Host => f.write_str("host"),
            NetworkMode::Container(other) => write!(f, "{CONTAINER}{other}"),
            NetworkMode::Network(name) => f.write_str(name),
        }
    }
}

impl FromStr for NetworkMode {
    type Err = Error;

    fn from_str(text: &str) -> Result<NetworkMode> {
        Ok(match (text, text.split_once(':')) {
            ("none", _) => NetworkMode::None,
            ("host", _) => NetworkMode::Host,
            (_, Some(("container", other))) if !other.is_empty() => {
                NetworkMode::Container(other.to_owned())
            }
            ("", _) | (_, Some(_)) => {
                fail!("bad network '{text}': write none, host, container:NAME or a network's name")
            }
            (name, None) => NetworkMode::Network(network_name::given(name).to_owned()),
        })
    }
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
        // The name that earlier versions wrote.
        assert_eq!("mydocker0".parse::<NetworkMode>().unwrap().to_string(), "bridge");
    }
}
