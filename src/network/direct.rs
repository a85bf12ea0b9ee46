//! Networks without a bridge: macvlan and ipvlan, as in Docker's drivers of these names. The
//! containers' interfaces are made on a parent, which is a link of the host. As in Docker, the host
//! normally can't reach the containers over the parent. This file has the kinds, their modes, and
//! the part of the record about the parent. `parent` makes missing parents, and `subinterface` the
//! containers' interfaces. References: Documentation/networking/ipvlan.rst of the kernel,
//! ip-link(8).

use std::fmt;
use std::str::FromStr;

use miniserde::{Deserialize, Serialize};

use super::link::Mode;
use crate::error::{Error, Result, fail};
use crate::store::stored_as_text;

/// The parent of a network without a bridge, and the kind of the interfaces on it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Direct {
    pub kind: Kind,
    /// The name of the host's link.
    pub parent: String,
    pub origin: Origin,
}

/// The driver of a network without a bridge, and its mode.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Macvlan(MacvlanMode),
    Ipvlan(IpvlanMode),
}

/// How macvlan interfaces of one parent reach each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MacvlanMode {
    Bridge,
    Private,
    /// Frames between the interfaces leave through the parent. An external switch sends the frames
    /// back (IEEE 802.1Qbg).
    Vepa,
    /// A single interface uses the parent exclusively.
    Passthru,
}

/// The layer at which the parent forwards the packets of ipvlan interfaces
/// (Documentation/networking/ipvlan.rst).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IpvlanMode {
    L2,
    /// The parent routes. The interfaces have neither broadcast nor a gateway.
    L3,
    /// As `L3`, but the host's connection tracking works for the packets too.
    L3s,
}

/// Whether the parent existed before the network, or which kind of link mydocker makes as the
/// parent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// The host had the link when the network was created.
    Host,
    /// A dummy interface, which mydocker makes if the user names no parent.
    Dummy,
    /// A VLAN, which mydocker makes on a link of the host.
    Vlan,
}

stored_as_text!(Kind, Origin);

const MACVLAN: [(&str, MacvlanMode, u32); 4] = [
    ("bridge", MacvlanMode::Bridge, 4),
    ("private", MacvlanMode::Private, 1),
    ("vepa", MacvlanMode::Vepa, 2),
    ("passthru", MacvlanMode::Passthru, 8),
];
const IPVLAN: [(&str, IpvlanMode, u16); 3] =
    [("l2", IpvlanMode::L2, 0), ("l3", IpvlanMode::L3, 1), ("l3s", IpvlanMode::L3s, 2)];

impl Kind {
    /// The kind for Docker's `driver` (`macvlan` or `ipvlan`) and `mode`. A `mode` of `None` means
    /// the driver's default mode. Fails if the driver has no such mode.
    pub fn new(driver: &str, mode: Option<&str>) -> Result<Kind> {
        let found = match driver {
            "macvlan" => {
                let mut modes = MACVLAN.iter();
                let wanted = |known: &&(&str, _, _)| mode.is_none_or(|mode| known.0 == mode);
                modes.find(wanted).map(|(_, mode, _)| Kind::Macvlan(*mode))
            }
            _ => {
                let mut modes = IPVLAN.iter();
                let wanted = |known: &&(&str, _, _)| mode.is_none_or(|mode| known.0 == mode);
                modes.find(wanted).map(|(_, mode, _)| Kind::Ipvlan(*mode))
            }
        };
        let known = if driver == "macvlan" { "bridge private vepa passthru" } else { "l2 l3 l3s" };
        match found {
            Some(kind) => Ok(kind),
            None => {
                let mode = mode.unwrap_or_default();
                fail!("unknown {driver}_mode '{mode}'; known: {known}")
            }
        }
    }

    /// Docker's name of the driver.
    pub fn driver(self) -> &'static str {
        match self {
            Kind::Macvlan(_) => "macvlan",
            Kind::Ipvlan(_) => "ipvlan",
        }
    }

    /// Docker's name of the mode, such as `bridge` or `l2`.
    pub fn mode(self) -> &'static str {
        let found = match self {
            Kind::Macvlan(mode) => {
                MACVLAN.iter().find(|known| known.1 == mode).map(|known| known.0)
            }
            Kind::Ipvlan(mode) => IPVLAN.iter().find(|known| known.1 == mode).map(|known| known.0),
        };
        // Each mode is in its driver's table, so the default is never used.
        found.unwrap_or_default()
    }

    /// The kernel's number of the mode (MACVLAN_MODE_*, IPVLAN_MODE_*).
    pub fn number(self) -> Mode {
        match self {
            Kind::Macvlan(mode) => Mode::Macvlan(
                MACVLAN.iter().find(|known| known.1 == mode).map_or(4, |known| known.2),
            ),
            Kind::Ipvlan(mode) => {
                Mode::Ipvlan(IPVLAN.iter().find(|known| known.1 == mode).map_or(0, |known| known.2))
            }
        }
    }

    /// Whether an interface has the parent's MAC address. Then the user can't choose another.
    pub fn has_mac_of_parent(self) -> bool {
        matches!(self, Kind::Ipvlan(_) | Kind::Macvlan(MacvlanMode::Passthru))
    }

    /// Whether packets leave through a gateway; otherwise the parent routes them.
    pub fn has_gateway(self) -> bool {
        !matches!(self, Kind::Ipvlan(IpvlanMode::L3 | IpvlanMode::L3s))
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.driver(), self.mode())
    }
}

impl FromStr for Kind {
    type Err = Error;

    fn from_str(text: &str) -> Result<Kind> {
        match text.split_once('/') {
            Some((driver @ ("macvlan" | "ipvlan"), mode)) if !mode.is_empty() => {
                Kind::new(driver, Some(mode))
            }
            _ => fail!("'{text}' is neither macvlan nor ipvlan"),
        }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Origin::Host => "host",
            Origin::Dummy => "dummy",
            Origin::Vlan => "vlan",
        })
    }
}

impl FromStr for Origin {
    type Err = Error;

    fn from_str(text: &str) -> Result<Origin> {
        Ok(match text {
            "host" => Origin::Host,
            "dummy" => Origin::Dummy,
            "vlan" => Origin::Vlan,
            _ => fail!("'{text}' is no origin of a parent"),
        })
    }
}

/// Splits the name of a VLAN into its link and its number, from 1 to 4094: `eth0.20` becomes
/// `eth0`, 20.
pub fn vlan_of(name: &str) -> Option<(&str, u16)> {
    let (below, id) = name.rsplit_once('.')?;
    let is_plain = id.bytes().all(|byte| byte.is_ascii_digit()) && !id.starts_with('0');
    let id = id.parse().ok().filter(|id| is_plain && (1..=4094).contains(id))?;
    (!below.is_empty()).then_some((below, id))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_are_stored_as_driver_and_mode() {
        for text in ["macvlan/bridge", "macvlan/passthru", "ipvlan/l2", "ipvlan/l3s"] {
            assert_eq!(text.parse::<Kind>().unwrap().to_string(), text);
        }
        for bad in ["macvlan", "macvlan/", "macvlan/l2", "ipvlan/bridge", "bridge/x", ""] {
            assert!(bad.parse::<Kind>().is_err(), "{bad}");
        }
        assert_eq!(Kind::new("macvlan", None).unwrap(), Kind::Macvlan(MacvlanMode::Bridge));
        assert_eq!(Kind::new("ipvlan", None).unwrap(), Kind::Ipvlan(IpvlanMode::L2));
    }

    #[test]
    fn names_of_vlans() {
        assert_eq!(vlan_of("eth0.20"), Some(("eth0", 20)));
        assert_eq!(vlan_of("a.b.4094"), Some(("a.b", 4094)));
        for bad in ["eth0", "eth0.", ".5", "eth0.0", "eth0.4095", "eth0.x", "eth0.+5", "eth0.05"] {
            assert_eq!(vlan_of(bad), None, "{bad}");
        }
    }
}
