//! Links, addresses and routes by rtnetlink(7): what `ip link`, `ip addr` and `ip route` do,
//! without starting a program. Functions with a `Batch` only add a message to it, so that several
//! changes go to the kernel in one system call; functions with a `Socket` send at once. Which links
//! there should be is decided in `bridge` and `endpoint`. The constants are linux-raw-sys'.

use std::net::IpAddr;
use std::os::fd::{AsRawFd, BorrowedFd};

use linux_raw_sys::net::{AF_INET6, AF_UNSPEC, IFALIASZ, IFNAMSIZ};
use linux_raw_sys::netlink::{IFA_F_NODAD, RTPROT_BOOT, ifaddrmsg, ifinfomsg, rtmsg};
use rustix::io::Errno;

use super::subnet::{Family, Subnet};
use crate::address::Mac;
use crate::error::Result;
use crate::sys::netlink::{Batch, CREATE, DUMP, EXCL, REPLACE, Socket, attribute, numbers, u32_at};

/// The longest name of a link, without its NUL.
pub const MAX_NAME: usize = IFNAMSIZ as usize - 1;
/// The longest alias of a link, without its NUL.
const MAX_ALIAS: usize = IFALIASZ as usize - 1;

numbers!(u16, linux_raw_sys::netlink: RTM_NEWLINK, RTM_DELLINK, RTM_GETLINK, RTM_NEWADDR, RTM_GETADDR, RTM_NEWROUTE, RTM_GETROUTE);
numbers!(u16, linux_raw_sys::netlink::rtattr_type_t: RTA_DST, RTA_OIF, RTA_GATEWAY);
numbers!(u16, linux_raw_sys::netlink: IFLA_ADDRESS, IFLA_IFNAME, IFLA_MTU, IFLA_MASTER, IFLA_LINKINFO, IFLA_IFALIAS, IFLA_AF_SPEC);
numbers!(u16, linux_raw_sys::netlink: IFLA_NET_NS_FD, IFLA_NUM_TX_QUEUES, IFLA_NUM_RX_QUEUES, IFLA_INET6_ADDR_GEN_MODE);
numbers!(u16, linux_raw_sys::netlink: IFLA_INFO_KIND, IFLA_INFO_DATA, IFLA_INFO_SLAVE_KIND, IFLA_INFO_SLAVE_DATA);
numbers!(u16, linux_raw_sys::netlink: IFLA_BRPORT_MODE, IFLA_BRPORT_FLUSH, IFLA_BRPORT_ISOLATED);
numbers!(u16, linux_raw_sys::netlink: IFA_ADDRESS, IFA_LOCAL, IFA_BROADCAST, IFA_FLAGS);
numbers!(u8, linux_raw_sys::netlink::rt_class_t: RT_TABLE_MAIN, RT_TABLE_LOCAL);
numbers!(u8, linux_raw_sys::netlink: RTN_UNICAST);
numbers!(u8, linux_raw_sys::netlink::in6_addr_gen_mode: IN6_ADDR_GEN_MODE_NONE);
numbers!(u32, linux_raw_sys::net::net_device_flags: IFF_UP);
/// linux/veth.h, which linux-raw-sys leaves out.
const VETH_INFO_PEER: u16 = 1;
/// The offset of the attributes in a message about a link, an address or a route.
const LINK_HEADER: usize = size_of::<ifinfomsg>();
const ADDRESS_HEADER: usize = size_of::<ifaddrmsg>();
const ROUTE_HEADER: usize = size_of::<rtmsg>();

/// The facts about a link that are needed here.
#[derive(Clone, Copy, Debug)]
pub struct Link {
    pub index: u32,
    pub mtu: u32,
    pub is_up: bool,
}

/// The link of that name, if there is one.
pub fn find(socket: &mut Socket, name: &str) -> Result<Option<Link>> {
    let mut batch = Batch::default();
    batch.begin(RTM_GETLINK, 0, &link_header(0, 0, 0), format!("look up link {name}"));
    batch.text(IFLA_IFNAME, name);
    let answers = match socket.ask(batch) {
        Err(error) if error.errno() == Some(Errno::NODEV) => return Ok(None),
        answers => answers?,
    };
    Ok(answers.first().and_then(|answer| link_of(&answer.payload)))
}

/// The link of that index.
pub fn get(socket: &mut Socket, index: u32) -> Result<Option<Link>> {
    let mut batch = Batch::default();
    batch.begin(RTM_GETLINK, 0, &link_header(index, 0, 0), format!("look up link {index}"));
    Ok(socket.ask(batch)?.first().and_then(|answer| link_of(&answer.payload)))
}

/// The names and aliases of all links that have an alias and no port.
pub fn idle_aliases(socket: &mut Socket) -> Result<Vec<(String, String)>> {
    let mut batch = Batch::default();
    batch.begin(RTM_GETLINK, DUMP, &link_header(0, 0, 0), "list links");
    let answers = socket.ask(batch)?;
    let get = |payload: &[u8], kind| Some(attribute(payload.get(LINK_HEADER..)?, kind)?.to_vec());
    let masters: Vec<_> =
        answers.iter().filter_map(|answer| get(&answer.payload, IFLA_MASTER)).collect();
    let text = |payload: &[u8], kind| {
        let text = String::from_utf8(get(payload, kind)?).ok()?;
        Some(text.trim_end_matches('\0').to_owned())
    };
    let named = answers.iter().map(|answer| &answer.payload).filter_map(|payload| {
        let index = payload.get(4..8)?;
        let is_idle = !masters.iter().any(|master| master == index);
        Some((text(payload, IFLA_IFNAME)?, text(payload, IFLA_IFALIAS)?)).filter(|_| is_idle)
    });
    Ok(named.collect())
}

fn link_of(payload: &[u8]) -> Option<Link> {
    let mtu = attribute(payload.get(LINK_HEADER..)?, IFLA_MTU).and_then(|mtu| u32_at(mtu, 0));
    let is_up = u32_at(payload, 8)? & IFF_UP != 0;
    Some(Link { index: u32_at(payload, 4)?, mtu: mtu.unwrap_or(1500), is_up })
}

/// Adds a bridge, which is down and without an address. Its MAC address is set, because otherwise
/// it would change with its ports and the containers' ARP caches would be wrong. The alias, which
/// `ip link` shows, is left out if it is too long.
pub fn add_bridge(batch: &mut Batch, name: &str, alias: &str, mac: Mac, mtu: u32) {
    batch.begin(RTM_NEWLINK, CREATE | EXCL, &link_header(0, 0, 0), format!("make bridge {name}"));
    batch.text(IFLA_IFNAME, name);
    batch.attribute(IFLA_ADDRESS, &mac.0);
    batch.nest(IFLA_LINKINFO, |batch| batch.text(IFLA_INFO_KIND, "bridge"));
    // A separate message: an MTU set at creation would change when ports come and go.
    batch.begin(RTM_NEWLINK, 0, &link_header(0, 0, 0), format!("set the MTU of {name} to {mtu}"));
    batch.text(IFLA_IFNAME, name);
    batch.attribute(IFLA_MTU, &mtu.to_ne_bytes());
    if alias.len() <= MAX_ALIAS {
        batch.attribute(IFLA_IFALIAS, alias.as_bytes());
    }
}

/// Sets a link up, with or without IPv6's automatic link-local address.
pub fn set_up(batch: &mut Batch, name: &str, link_local: bool) {
    batch.begin(RTM_NEWLINK, 0, &link_header(0, IFF_UP, IFF_UP), format!("set {name} up"));
    batch.text(IFLA_IFNAME, name);
    if !link_local {
        no_link_local(batch);
    }
}

/// A veth pair whose peer is created in another network namespace. Both ends are down.
pub struct Veth<'a> {
    pub name: &'a str,
    pub mtu: u32,
    pub peer: &'a str,
    pub peer_mac: Mac,
    pub peer_namespace: BorrowedFd<'a>,
}

/// Adds a veth pair (veth(4)).
pub fn add_veth(batch: &mut Batch, veth: &Veth<'_>) {
    let doing = format!("make the pair of links {} and {}", veth.name, veth.peer);
    batch.begin(RTM_NEWLINK, CREATE | EXCL, &link_header(0, 0, 0), doing);
    let end = |batch: &mut Batch, name| {
        batch.text(IFLA_IFNAME, name);
        batch.attribute(IFLA_MTU, &veth.mtu.to_ne_bytes());
        // By default each end gets a queue for every CPU, which nothing uses here.
        batch.attribute(IFLA_NUM_TX_QUEUES, &1u32.to_ne_bytes());
        batch.attribute(IFLA_NUM_RX_QUEUES, &1u32.to_ne_bytes());
    };
    end(batch, veth.name);
    batch.nest(IFLA_LINKINFO, |batch| {
        batch.text(IFLA_INFO_KIND, "veth");
        batch.nest(IFLA_INFO_DATA, |batch| {
            batch.nest(VETH_INFO_PEER, |batch| {
                batch.header(&link_header(0, 0, 0));
                end(batch, veth.peer);
                batch.attribute(IFLA_ADDRESS, &veth.peer_mac.0);
                batch.attribute(IFLA_NET_NS_FD, &veth.peer_namespace.as_raw_fd().to_ne_bytes());
            });
        });
    });
}

/// Makes a link a port of a bridge and sets it up. A port in hairpin mode sends packets back to
/// where they came from: a container's way to its own published port if bridged packets pass the
/// firewall. The kernel passes no packet between two isolated ports.
pub fn add_port(batch: &mut Batch, name: &str, bridge: u32, isolated: bool) {
    let header = link_header(0, IFF_UP, IFF_UP);
    batch.begin(RTM_NEWLINK, 0, &header, format!("make {name} a port of the bridge"));
    batch.text(IFLA_IFNAME, name);
    batch.attribute(IFLA_MASTER, &bridge.to_ne_bytes());
    no_link_local(batch);
    change_port(batch, name, |batch| {
        batch.attribute(IFLA_BRPORT_MODE, &[1]);
        if isolated {
            batch.attribute(IFLA_BRPORT_ISOLATED, &[1]);
        }
    });
}

/// Makes the bridge forget the MAC addresses that it learned at a port. Disabling the port too
/// would not help: the kernel enables it again in the same call, because the link is up.
pub fn flush_port(batch: &mut Batch, name: &str) {
    change_port(batch, name, |batch| batch.attribute(IFLA_BRPORT_FLUSH, &[]));
}

fn change_port(batch: &mut Batch, name: &str, change: impl FnOnce(&mut Batch)) {
    batch.begin(RTM_NEWLINK, 0, &link_header(0, 0, 0), format!("change bridge port {name}"));
    batch.text(IFLA_IFNAME, name);
    batch.nest(IFLA_LINKINFO, |batch| {
        batch.text(IFLA_INFO_SLAVE_KIND, "bridge");
        batch.nest(IFLA_INFO_SLAVE_DATA, change);
    });
}

fn no_link_local(batch: &mut Batch) {
    batch.nest(IFLA_AF_SPEC, |batch| {
        batch.nest(AF_INET6 as u16, |batch| {
            batch.attribute(IFLA_INET6_ADDR_GEN_MODE, &[IN6_ADDR_GEN_MODE_NONE]);
        });
    });
}

/// Removes a link and its peer. A link that is already gone is not an error.
pub fn delete(socket: &mut Socket, name: &str) -> Result<()> {
    let mut batch = Batch::default();
    batch.begin(RTM_DELLINK, 0, &link_header(0, 0, 0), format!("remove link {name}"));
    batch.text(IFLA_IFNAME, name);
    match socket.send(batch) {
        Err(error) if error.errno() == Some(Errno::NODEV) => Ok(()),
        result => result,
    }
}

/// Adds an address to a link, and with it the route to its subnet.
pub fn add_address(batch: &mut Batch, index: u32, address: IpAddr, subnet: &Subnet) {
    let header = ifaddrmsg {
        ifa_prefixlen: subnet.prefix(),
        ifa_index: index,
        ..address_header(Family::of(address).number())
    };
    let doing = format!("add address {address}/{}", subnet.prefix());
    batch.begin(RTM_NEWADDR, CREATE | REPLACE, &header, doing);
    put_address(batch, IFA_LOCAL, address);
    put_address(batch, IFA_ADDRESS, address);
    match address {
        // A /31 has no broadcast (RFC 3021).
        IpAddr::V4(_) if subnet.prefix() < 31 => put_address(batch, IFA_BROADCAST, subnet.last()),
        IpAddr::V4(_) => {}
        // The address is leased, so duplicate address detection would only delay its use by a
        // second.
        IpAddr::V6(_) => batch.attribute(IFA_FLAGS, &IFA_F_NODAD.to_ne_bytes()),
    }
}

/// Adds the default route.
pub fn add_default_route(batch: &mut Batch, index: u32, gateway: IpAddr) {
    let header = rtmsg {
        rtm_table: RT_TABLE_MAIN,
        rtm_protocol: RTPROT_BOOT as u8,
        rtm_type: RTN_UNICAST,
        ..route_header(Family::of(gateway).number())
    };
    let doing = format!("add the default route by {gateway}");
    batch.begin(RTM_NEWROUTE, CREATE | REPLACE, &header, doing);
    put_address(batch, RTA_GATEWAY, gateway);
    batch.attribute(RTA_OIF, &index.to_ne_bytes());
}

/// A route: its destination (`None` for the default route) and the index of its link.
pub struct Route {
    pub to: Option<Subnet>,
    pub link: u32,
}

/// The host's routes to other machines, of both families.
pub fn routes(socket: &mut Socket) -> Result<Vec<Route>> {
    let mut routes = Vec::new();
    for family in [Family::V4.number(), Family::V6.number()] {
        let header = route_header(family);
        let mut batch = Batch::default();
        batch.begin(RTM_GETROUTE, DUMP, &header, "list routes");
        for answer in socket.ask(batch)? {
            routes.extend(route_of(&answer.payload));
        }
    }
    Ok(routes)
}

fn route_of(payload: &[u8]) -> Option<Route> {
    let (prefix, table, kind) = (*payload.get(1)?, *payload.get(4)?, *payload.get(7)?);
    if kind != RTN_UNICAST || table == RT_TABLE_LOCAL {
        return None;
    }
    let attributes = payload.get(ROUTE_HEADER..)?;
    let link = attribute(attributes, RTA_OIF).and_then(|index| u32_at(index, 0)).unwrap_or(0);
    let to = match attribute(attributes, RTA_DST) {
        Some(to) => Some(Subnet::around(address_of(to)?, prefix)),
        None => None,
    };
    Some(Route { to, link })
}

/// All addresses of this network namespace.
pub fn addresses(socket: &mut Socket) -> Result<Vec<IpAddr>> {
    let mut addresses = Vec::new();
    for family in [Family::V4.number(), Family::V6.number()] {
        let header = address_header(family);
        let mut batch = Batch::default();
        batch.begin(RTM_GETADDR, DUMP, &header, "list addresses");
        addresses.extend(socket.ask(batch)?.iter().filter_map(|answer| {
            let attributes = answer.payload.get(ADDRESS_HEADER..)?;
            // On a point-to-point link IFA_ADDRESS is the peer's.
            let own =
                attribute(attributes, IFA_LOCAL).or_else(|| attribute(attributes, IFA_ADDRESS));
            address_of(own?)
        }));
    }
    Ok(addresses)
}

/// The address in an attribute of 4 or 16 bytes.
pub fn address_of(bytes: &[u8]) -> Option<IpAddr> {
    match bytes.len() {
        4 => Some(<[u8; 4]>::try_from(bytes).ok()?.into()),
        16 => Some(<[u8; 16]>::try_from(bytes).ok()?.into()),
        _ => None,
    }
}

fn put_address(batch: &mut Batch, kind: u16, address: IpAddr) {
    match address {
        IpAddr::V4(address) => batch.attribute(kind, &address.octets()),
        IpAddr::V6(address) => batch.attribute(kind, &address.octets()),
    }
}

fn link_header(index: u32, flags: u32, change: u32) -> ifinfomsg {
    ifinfomsg {
        ifi_family: AF_UNSPEC as u8,
        __ifi_pad: 0,
        ifi_type: 0,
        ifi_index: index as i32,
        ifi_flags: flags,
        ifi_change: change,
    }
}

fn address_header(family: u8) -> ifaddrmsg {
    ifaddrmsg { ifa_family: family, ifa_prefixlen: 0, ifa_flags: 0, ifa_scope: 0, ifa_index: 0 }
}

fn route_header(family: u8) -> rtmsg {
    rtmsg {
        rtm_family: family,
        rtm_dst_len: 0,
        rtm_src_len: 0,
        rtm_tos: 0,
        rtm_table: 0,
        rtm_protocol: 0,
        rtm_scope: 0,
        rtm_type: 0,
        rtm_flags: 0,
    }
}
