//! Links, addresses and routes by rtnetlink(7), as `ip link`, `ip addr` and `ip route` change them,
//! but without starting a program. A function with a `Batch` only adds messages to the batch, so
//! that several changes go to the kernel in one system call. A function with a `Socket` sends its
//! messages at once. Most constants are from linux-raw-sys.

use std::net::IpAddr;
use std::os::fd::{AsRawFd, BorrowedFd};

use linux_raw_sys::net::{AF_INET6, AF_UNSPEC, IFALIASZ, IFNAMSIZ};
use linux_raw_sys::netlink::{
    IFA_F_NODAD, IFA_F_PERMANENT, RTPROT_BOOT, ifaddrmsg, ifinfomsg, rtmsg,
};
use rustix::io::Errno;

use super::subnet::{Family, Subnet};
use crate::address::Mac;
use crate::error::Result;
use crate::sys::netlink::{Batch, CREATE, DUMP, EXCL, REPLACE, Socket, attribute, numbers, u32_at};

/// The longest name of a link in bytes, without its NUL.
pub const MAX_NAME: usize = IFNAMSIZ as usize - 1;
/// The longest alias of a link in bytes, without its NUL.
pub const MAX_ALIAS: usize = IFALIASZ as usize - 1;

numbers!(u16, linux_raw_sys::netlink: RTM_NEWLINK, RTM_DELLINK, RTM_GETLINK, RTM_NEWADDR, RTM_GETADDR, RTM_NEWROUTE, RTM_GETROUTE, RTM_NEWNSID, RTM_GETNSID);
numbers!(u16, linux_raw_sys::netlink::rtattr_type_t: RTA_DST, RTA_OIF, RTA_GATEWAY, RTA_MULTIPATH);
numbers!(u16, linux_raw_sys::netlink: IFLA_ADDRESS, IFLA_IFNAME, IFLA_MTU, IFLA_LINK, IFLA_MASTER, IFLA_LINKINFO, IFLA_IFALIAS, IFLA_AF_SPEC);
numbers!(u16, linux_raw_sys::netlink: IFLA_NET_NS_FD, IFLA_TARGET_NETNSID, IFLA_NUM_TX_QUEUES, IFLA_NUM_RX_QUEUES, IFLA_INET6_ADDR_GEN_MODE);
numbers!(u16, linux_raw_sys::netlink: IFLA_INFO_KIND, IFLA_INFO_DATA, IFLA_INFO_SLAVE_KIND, IFLA_INFO_SLAVE_DATA);
numbers!(u16, linux_raw_sys::netlink: IFLA_MACVLAN_MODE, IFLA_IPVLAN_MODE, IFLA_VLAN_ID);
numbers!(u16, linux_raw_sys::netlink: IFLA_BRPORT_MODE, IFLA_BRPORT_FLUSH, IFLA_BRPORT_ISOLATED);
numbers!(u16, linux_raw_sys::netlink: IFA_ADDRESS, IFA_LOCAL, IFA_BROADCAST, IFA_FLAGS);
numbers!(u8, linux_raw_sys::netlink::rt_class_t: RT_TABLE_MAIN, RT_TABLE_LOCAL);
numbers!(u8, linux_raw_sys::netlink::rt_scope_t: RT_SCOPE_UNIVERSE);
numbers!(u8, linux_raw_sys::netlink: RTN_UNICAST);
numbers!(u8, linux_raw_sys::netlink::rt_scope_t: RT_SCOPE_LINK);
numbers!(u8, linux_raw_sys::netlink::in6_addr_gen_mode: IN6_ADDR_GEN_MODE_NONE);
numbers!(u32, linux_raw_sys::net::net_device_flags: IFF_UP);
/// A constant of linux/veth.h, which linux-raw-sys lacks.
const VETH_INFO_PEER: u16 = 1;
/// Constants of linux/net_namespace.h, which linux-raw-sys lacks.
const NETNSA_NSID: u16 = 1;
const NETNSA_FD: u16 = 3;
/// The offsets of the attributes in the payloads of messages about links, addresses and routes.
const LINK_HEADER: usize = size_of::<ifinfomsg>();
const ADDRESS_HEADER: usize = size_of::<ifaddrmsg>();
const ROUTE_HEADER: usize = size_of::<rtmsg>();

/// The main rule that `is_plain_name` checks, for error messages.
pub const NAME_RULE: &str = "a link's name has 1 to 15 letters, digits, '_', '.' or '-'";

/// Whether a user may give a link this name. The name must also be a file name below /proc/sys/net,
/// where `all` means every link and `default` every new link.
pub fn is_plain_name(name: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte);
    (1..=MAX_NAME).contains(&name.len())
        && name.bytes().all(is_plain)
        && !name.starts_with('.')
        && !matches!(name, "all" | "default")
}

/// A link of the host or of a container's namespace.
#[derive(Clone, Copy, Debug)]
pub struct Link {
    pub index: u32,
    pub mtu: u32,
    pub is_up: bool,
}

/// The link with this name, if it exists.
pub fn find(socket: &mut Socket, name: &str) -> Result<Option<Link>> {
    Ok(look_up(socket, name)?.and_then(|payload| link_of(&payload)))
}

/// The kernel's message about the link with this name, if the link exists.
fn look_up(socket: &mut Socket, name: &str) -> Result<Option<Vec<u8>>> {
    let mut batch = Batch::default();
    batch.begin(RTM_GETLINK, 0, &link_header(0, 0, 0), format!("look up link {name}"));
    batch.text(IFLA_IFNAME, name);
    match socket.ask(batch) {
        Err(error) if error.errno() == Some(Errno::NODEV) => Ok(None),
        answers => Ok(answers?.into_iter().next().map(|answer| answer.payload)),
    }
}

/// The link with this index. Fails if there is no such link.
pub fn get(socket: &mut Socket, index: u32) -> Result<Option<Link>> {
    let mut batch = Batch::default();
    batch.begin(RTM_GETLINK, 0, &link_header(index, 0, 0), format!("look up link {index}"));
    Ok(socket.ask(batch)?.first().and_then(|answer| link_of(&answer.payload)))
}

/// The names and aliases of all links that have an alias and are the master of no other link. A
/// bridge is the master of its ports.
pub fn idle_aliases(socket: &mut Socket) -> Result<Vec<(String, String)>> {
    let mut batch = Batch::default();
    batch.begin(RTM_GETLINK, DUMP, &link_header(0, 0, 0), "list links");
    let answers = socket.ask(batch)?;
    let get = |payload: &[u8], kind| Some(attribute(payload.get(LINK_HEADER..)?, kind)?.to_vec());
    let masters: Vec<_> =
        answers.iter().filter_map(|answer| get(&answer.payload, IFLA_MASTER)).collect();
    let named = answers.iter().map(|answer| &answer.payload).filter_map(|payload| {
        let index = payload.get(4..8)?;
        let is_idle = !masters.iter().any(|master| master == index);
        Some((text_of(payload, IFLA_IFNAME)?, text_of(payload, IFLA_IFALIAS)?)).filter(|_| is_idle)
    });
    Ok(named.collect())
}

/// The alias of a link, empty if it has none; `None` if the link does not exist.
pub fn alias(socket: &mut Socket, name: &str) -> Result<Option<String>> {
    let alias = |payload: Vec<u8>| text_of(&payload, IFLA_IFALIAS).unwrap_or_default();
    Ok(look_up(socket, name)?.map(alias))
}

/// The text in an attribute of a message about a link.
fn text_of(payload: &[u8], kind: u16) -> Option<String> {
    let bytes = attribute(payload.get(LINK_HEADER..)?, kind)?;
    let text = std::str::from_utf8(bytes).ok()?;
    Some(text.trim_end_matches('\0').to_owned())
}

fn link_of(payload: &[u8]) -> Option<Link> {
    let mtu = attribute(payload.get(LINK_HEADER..)?, IFLA_MTU).and_then(|mtu| u32_at(mtu, 0));
    let is_up = u32_at(payload, 8)? & IFF_UP != 0;
    Some(Link { index: u32_at(payload, 4)?, mtu: mtu.unwrap_or(1500), is_up })
}

/// Adds a bridge, which is down and has no IP address. Sets the bridge's MAC address: otherwise the
/// MAC address would change with the bridge's ports, and the ARP caches of containers would become
/// wrong. Leaves out an alias that is too long for the kernel. `ip link` shows the alias.
pub fn add_bridge(batch: &mut Batch, name: &str, alias: &str, mac: Mac, mtu: u32) {
    batch.begin(RTM_NEWLINK, CREATE | EXCL, &link_header(0, 0, 0), format!("make bridge {name}"));
    batch.text(IFLA_IFNAME, name);
    batch.attribute(IFLA_ADDRESS, &mac.0);
    batch.nest(IFLA_LINKINFO, |batch| batch.text(IFLA_INFO_KIND, "bridge"));
    // Set the MTU in a separate message: an MTU that is set at creation changes when ports come and
    // go.
    batch.begin(RTM_NEWLINK, 0, &link_header(0, 0, 0), format!("set the MTU of {name} to {mtu}"));
    batch.text(IFLA_IFNAME, name);
    batch.attribute(IFLA_MTU, &mtu.to_ne_bytes());
    if alias.len() <= MAX_ALIAS {
        batch.attribute(IFLA_IFALIAS, alias.as_bytes());
    }
}

/// Adds a dummy interface (no packet leaves through it) and sets it up.
pub fn add_dummy(batch: &mut Batch, name: &str, alias: &str) {
    add_parent(batch, name, alias, |batch| {
        batch.nest(IFLA_LINKINFO, |batch| batch.text(IFLA_INFO_KIND, "dummy"));
    });
}

/// Adds the VLAN with number `id` (IEEE 802.1Q) on the link with index `of`, and sets it up.
pub fn add_vlan(batch: &mut Batch, name: &str, alias: &str, of: u32, id: u16) {
    add_parent(batch, name, alias, |batch| {
        batch.attribute(IFLA_LINK, &of.to_ne_bytes());
        batch.nest(IFLA_LINKINFO, |batch| {
            batch.text(IFLA_INFO_KIND, "vlan");
            batch.nest(IFLA_INFO_DATA, |batch| batch.attribute(IFLA_VLAN_ID, &id.to_ne_bytes()));
        });
    });
}

fn add_parent(batch: &mut Batch, name: &str, alias: &str, describe: impl FnOnce(&mut Batch)) {
    batch.begin(RTM_NEWLINK, CREATE | EXCL, &link_header(0, 0, 0), format!("make link {name}"));
    batch.text(IFLA_IFNAME, name);
    describe(batch);
    // The kernel ignores an alias in the message that makes a link, so send a second message.
    let header = link_header(0, IFF_UP, IFF_UP);
    batch.begin(RTM_NEWLINK, 0, &header, format!("set {name} up"));
    batch.text(IFLA_IFNAME, name);
    if alias.len() <= MAX_ALIAS {
        batch.attribute(IFLA_IFALIAS, alias.as_bytes());
    }
}

/// The mode of a macvlan or ipvlan link, by the kernel's number.
#[derive(Clone, Copy)]
pub enum Mode {
    Macvlan(u32),
    Ipvlan(u16),
}

/// A macvlan or ipvlan link. The parent is in this network namespace, and the link in another.
pub struct Subinterface<'a> {
    pub name: &'a str,
    /// The index of the parent.
    pub parent: u32,
    pub mtu: u32,
    /// `None` lets the kernel choose.
    pub mac: Option<Mac>,
    pub mode: Mode,
    pub namespace: BorrowedFd<'a>,
}

/// Adds a macvlan or ipvlan link (Documentation/networking/ipvlan.rst of the kernel).
pub fn add_subinterface(batch: &mut Batch, wanted: &Subinterface<'_>) {
    let kind = match wanted.mode {
        Mode::Macvlan(_) => "macvlan",
        Mode::Ipvlan(_) => "ipvlan",
    };
    let doing = format!("make {kind} link {}", wanted.name);
    batch.begin(RTM_NEWLINK, CREATE | EXCL, &link_header(0, 0, 0), doing);
    batch.text(IFLA_IFNAME, wanted.name);
    batch.attribute(IFLA_LINK, &wanted.parent.to_ne_bytes());
    batch.attribute(IFLA_MTU, &wanted.mtu.to_ne_bytes());
    batch.attribute(IFLA_NET_NS_FD, &wanted.namespace.as_raw_fd().to_ne_bytes());
    if let Some(mac) = wanted.mac {
        batch.attribute(IFLA_ADDRESS, &mac.0);
    }
    batch.nest(IFLA_LINKINFO, |batch| {
        batch.text(IFLA_INFO_KIND, kind);
        batch.nest(IFLA_INFO_DATA, |batch| match wanted.mode {
            Mode::Macvlan(mode) => batch.attribute(IFLA_MACVLAN_MODE, &mode.to_ne_bytes()),
            Mode::Ipvlan(mode) => batch.attribute(IFLA_IPVLAN_MODE, &mode.to_ne_bytes()),
        });
    });
}

/// Gives a link its name and its alias in one message. Without `link_local`, the link gets no
/// automatic IPv6 link-local address.
pub fn rename(batch: &mut Batch, index: u32, name: &str, alias: &str, link_local: bool) {
    batch.begin(RTM_NEWLINK, 0, &link_header(index, 0, 0), format!("name a link {name}"));
    batch.text(IFLA_IFNAME, name);
    batch.attribute(IFLA_IFALIAS, alias.as_bytes());
    // The message of `set_up` would forbid the address too late: the kernel first sets the link up.
    // A macvlan or ipvlan link may then have a carrier at once, and the kernel makes the address.
    // An end of a veth pair gets its carrier later.
    if !link_local {
        no_link_local(batch);
    }
}

/// Gives the network namespace `other` a number in the socket's namespace (RTM_NEWNSID). By this
/// number, the links in `other` can be found even if no process is in `other`. Does nothing if
/// `other` has a number already.
pub fn number_namespace(socket: &mut Socket, other: BorrowedFd<'_>) -> Result<()> {
    let mut batch = Batch::default();
    batch.begin(RTM_NEWNSID, 0, &[0u8; 4], "number a network namespace");
    // -1 lets the kernel choose the number.
    batch.attribute(NETNSA_NSID, &(-1i32).to_ne_bytes());
    batch.attribute(NETNSA_FD, &other.as_raw_fd().to_ne_bytes());
    match socket.send(batch) {
        Err(error) if error.errno() == Some(Errno::EXIST) => Ok(()),
        result => result,
    }
}

/// A link in another network namespace: the number of that namespace in the socket's namespace, and
/// the index of the link.
#[derive(Clone, Copy, Debug)]
pub struct LinkInContainer {
    namespace: u32,
    index: u32,
}

/// Finds a link in the network namespaces that have a number in the socket's namespace. This is a
/// link with the name `name`, or a link with the name `interface` and the alias `name`.
pub fn find_elsewhere(
    socket: &mut Socket,
    name: &str,
    interface: &str,
) -> Result<Option<LinkInContainer>> {
    let mut batch = Batch::default();
    batch.begin(RTM_GETNSID, DUMP, &[0u8; 4], "list network namespaces");
    const HEADER: usize = 4;
    for answer in socket.ask(batch)? {
        let attributes = answer.payload.get(HEADER..).unwrap_or_default();
        let number = attribute(attributes, NETNSA_NSID).and_then(|number| u32_at(number, 0));
        let Some(namespace) = number else { continue };
        for candidate in [name, interface] {
            let mut batch = Batch::default();
            let doing = format!("look up link {candidate} in a container");
            batch.begin(RTM_GETLINK, 0, &link_header(0, 0, 0), doing);
            batch.attribute(IFLA_TARGET_NETNSID, &namespace.to_ne_bytes());
            batch.text(IFLA_IFNAME, candidate);
            // The namespace has no such link, or the namespace is gone.
            let Ok(answers) = socket.ask(batch) else { continue };
            let Some(payload) = answers.first().map(|answer| &answer.payload) else { continue };
            let is_it =
                candidate == name || text_of(payload, IFLA_IFALIAS).as_deref() == Some(name);
            if is_it && let Some(index) = u32_at(payload, 4) {
                return Ok(Some(LinkInContainer { namespace, index }));
            }
        }
    }
    Ok(None)
}

/// Removes a link in another network namespace. A missing link is no error.
pub fn delete_elsewhere(socket: &mut Socket, found: LinkInContainer) -> Result<()> {
    let mut batch = Batch::default();
    let header = link_header(found.index, 0, 0);
    batch.begin(RTM_DELLINK, 0, &header, "remove a link in a container");
    batch.attribute(IFLA_TARGET_NETNSID, &found.namespace.to_ne_bytes());
    match socket.send(batch) {
        Err(error) if matches!(error.errno(), Some(Errno::NODEV | Errno::INVAL)) => Ok(()),
        result => result,
    }
}

/// Sets a link up. Without `link_local`, the link gets no automatic IPv6 link-local address.
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
    /// `None` lets the kernel choose.
    pub peer_mac: Option<Mac>,
    pub peer_namespace: BorrowedFd<'a>,
}

/// Adds the message that makes a veth pair (veth(4)).
pub fn add_veth(batch: &mut Batch, veth: &Veth<'_>) {
    let doing = format!("make the pair of links {} and {}", veth.name, veth.peer);
    batch.begin(RTM_NEWLINK, CREATE | EXCL, &link_header(0, 0, 0), doing);
    let end = |batch: &mut Batch, name| {
        batch.text(IFLA_IFNAME, name);
        batch.attribute(IFLA_MTU, &veth.mtu.to_ne_bytes());
        // Use one queue. By default each end gets a queue for every CPU, which costs time and gains
        // nothing for a container.
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
                if let Some(mac) = veth.peer_mac {
                    batch.attribute(IFLA_ADDRESS, &mac.0);
                }
                batch.attribute(IFLA_NET_NS_FD, &veth.peer_namespace.as_raw_fd().to_ne_bytes());
            });
        });
    });
}

/// Makes a link a port of a bridge and sets it up. The port is in hairpin mode, so packets may
/// leave by the port that they came from: a container reaches its own published port in this way if
/// the firewall's rules see bridged packets too (bridge-nf-call-iptables). The kernel passes no
/// packet between two `isolated` ports.
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

/// Makes the bridge forget the MAC addresses that it learned at a port. Disabling the port instead
/// would have no effect: the kernel enables it again in the same call, because the link is up.
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

/// Moves a link to another network namespace under a new name. The kernel replaces `%d` in the name
/// by a free number.
pub fn hand_over(batch: &mut Batch, index: u32, name: &str, to: BorrowedFd<'_>) {
    // Before 6.2, Linux renames only a link that is down.
    batch.begin(RTM_NEWLINK, 0, &link_header(index, 0, IFF_UP), "set the interface down");
    let doing = format!("move the interface into the container as {name}");
    batch.begin(RTM_NEWLINK, 0, &link_header(index, 0, 0), doing);
    batch.attribute(IFLA_NET_NS_FD, &to.as_raw_fd().to_ne_bytes());
    batch.text(IFLA_IFNAME, name);
}

/// Sets a link up.
pub fn set_up_by_index(batch: &mut Batch, index: u32) {
    batch.begin(RTM_NEWLINK, 0, &link_header(index, IFF_UP, IFF_UP), "set the interface up");
}

/// The indices of all links in the socket's namespace.
pub fn indices(socket: &mut Socket) -> Result<Vec<u32>> {
    let mut batch = Batch::default();
    batch.begin(RTM_GETLINK, DUMP, &link_header(0, 0, 0), "list links");
    Ok(socket.ask(batch)?.iter().filter_map(|answer| u32_at(&answer.payload, 4)).collect())
}

/// An address of a link, with the attributes that are needed to add it again.
pub struct LastingAddress {
    family: u8,
    prefix: u8,
    attributes: Vec<(u16, Vec<u8>)>,
}

/// The permanent, global addresses of a link. Leaves out link-local addresses, and addresses with a
/// lifetime, such as DHCP leases.
pub fn lasting_addresses(socket: &mut Socket, index: u32) -> Result<Vec<LastingAddress>> {
    let mut batch = Batch::default();
    batch.begin(RTM_GETADDR, DUMP, &address_header(AF_UNSPEC as u8), "list addresses");
    let held = |payload: &[u8]| {
        let &[family, prefix, flags, scope, ..] = payload else { return None };
        let attributes = payload.get(ADDRESS_HEADER..)?;
        let flags =
            attribute(attributes, IFA_FLAGS).and_then(|all| u32_at(all, 0)).unwrap_or(flags.into());
        let is_lasting = flags & IFA_F_PERMANENT != 0 && scope == RT_SCOPE_UNIVERSE;
        if !is_lasting || u32_at(payload, 4)? != index {
            return None;
        }
        let kept = [IFA_LOCAL, IFA_ADDRESS, IFA_BROADCAST].into_iter();
        let kept = kept.filter_map(|kind| Some((kind, attribute(attributes, kind)?.to_vec())));
        Some(LastingAddress { family, prefix, attributes: kept.collect() })
    };
    Ok(socket.ask(batch)?.iter().filter_map(|answer| held(&answer.payload)).collect())
}

/// Adds an address that a link had in another namespace.
pub fn give_address(batch: &mut Batch, index: u32, held: &LastingAddress) {
    let header =
        ifaddrmsg { ifa_prefixlen: held.prefix, ifa_index: index, ..address_header(held.family) };
    batch.begin(RTM_NEWADDR, CREATE | REPLACE, &header, "give the interface its address again");
    for (kind, value) in &held.attributes {
        batch.attribute(*kind, value);
    }
}

/// Removes a link. If it is an end of a veth pair, the kernel removes the other end too. A missing
/// link is no error.
pub fn delete(socket: &mut Socket, name: &str) -> Result<()> {
    let mut batch = Batch::default();
    batch.begin(RTM_DELLINK, 0, &link_header(0, 0, 0), format!("remove link {name}"));
    batch.text(IFLA_IFNAME, name);
    match socket.send(batch) {
        Err(error) if error.errno() == Some(Errno::NODEV) => Ok(()),
        result => result,
    }
}

/// Adds an address to a link. The kernel adds the route to the subnet.
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
        // A /31 subnet has no broadcast address (RFC 3021).
        IpAddr::V4(_) if subnet.prefix() < 31 => put_address(batch, IFA_BROADCAST, subnet.last()),
        IpAddr::V4(_) => {}
        // Skip duplicate address detection, which delays the use of the address by about a second.
        // No two leases of a network have the same address.
        IpAddr::V6(_) => batch.attribute(IFA_FLAGS, &IFA_F_NODAD.to_ne_bytes()),
    }
}

/// Adds the default route of a family: through the gateway, or directly through the link if there
/// is no gateway. A default route that exists is replaced.
pub fn add_default_route(batch: &mut Batch, index: u32, family: Family, gateway: Option<IpAddr>) {
    default_route(batch, REPLACE, index, family, gateway);
}

/// As [`add_default_route`], but the kernel refuses the route with EEXIST if the family has a
/// default route.
pub fn add_missing_default_route(
    batch: &mut Batch,
    index: u32,
    family: Family,
    gateway: Option<IpAddr>,
) {
    default_route(batch, EXCL, index, family, gateway);
}

fn default_route(
    batch: &mut Batch,
    mode: u16,
    index: u32,
    family: Family,
    gateway: Option<IpAddr>,
) {
    let header = rtmsg {
        rtm_table: RT_TABLE_MAIN,
        rtm_protocol: RTPROT_BOOT as u8,
        rtm_type: RTN_UNICAST,
        rtm_scope: if gateway.is_none() { RT_SCOPE_LINK } else { 0 },
        ..route_header(family.number())
    };
    let by = gateway.map(|gateway| format!(" by {gateway}")).unwrap_or_default();
    batch.begin(RTM_NEWROUTE, CREATE | mode, &header, format!("add the default route{by}"));
    if let Some(gateway) = gateway {
        put_address(batch, RTA_GATEWAY, gateway);
    }
    batch.attribute(RTA_OIF, &index.to_ne_bytes());
}

/// A route. `to` is its destination, or `None` for the default route. `link` is the index of its
/// first link, or `None` if the kernel names no link.
pub struct Route {
    pub to: Option<Subnet>,
    pub link: Option<u32>,
}

/// The routes of both families to other machines, in the socket's namespace.
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
    let link = attribute(attributes, RTA_OIF).and_then(|index| u32_at(index, 0));
    // A route with several next hops has no RTA_OIF, but a list of struct rtnexthop. The index of
    // the first hop's link is at offset 4.
    let first_hop = || attribute(attributes, RTA_MULTIPATH).and_then(|hops| u32_at(hops, 4));
    let link = link.or_else(first_hop);
    let to = match attribute(attributes, RTA_DST) {
        Some(to) => Some(Subnet::around(address_of(to)?, prefix)),
        None => None,
    };
    Some(Route { to, link })
}

/// All addresses in the socket's network namespace.
pub fn addresses(socket: &mut Socket) -> Result<Vec<IpAddr>> {
    let mut addresses = Vec::new();
    for family in [Family::V4.number(), Family::V6.number()] {
        let header = address_header(family);
        let mut batch = Batch::default();
        batch.begin(RTM_GETADDR, DUMP, &header, "list addresses");
        addresses.extend(socket.ask(batch)?.iter().filter_map(|answer| {
            let attributes = answer.payload.get(ADDRESS_HEADER..)?;
            // On a point-to-point link, IFA_ADDRESS is the peer's address.
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
