//! One container's interface on a macvlan or ipvlan network: a link inside the container's network
//! namespace, whose parent is a link of the host.
//!
//! The host has no end of this link. To find the link when no process of the container is left, the
//! namespace gets a number in the host's namespace (RTM_NEWNSID). The link is made with the
//! endpoint's random name. Then one message gives the link its own name, such as `eth0`, and the
//! random name as its alias. So the link can be found at each of these steps. Needs Linux 4.16.

use std::net::IpAddr;
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use rustix::io::Errno;

use super::direct::Direct;
use super::endpoint::{self, NetworkNamespace, Plan};
use super::link::{self, Link, Subinterface};
use super::parent;
use super::record::Network;
use crate::error::{Context, Error, Result};
use crate::sys::netlink::{Batch, Socket};
use crate::sys::trace::Traced;

/// How long to try again to make the link and to set it up. The kernel removes the links of an
/// ended network namespace some time after its last process. Until then, a passthru link holds the
/// parent (`EINVAL` when a link is made), and so does a link of the other driver (`EBUSY`: a parent
/// serves either macvlan or ipvlan). A macvlan link holds its MAC address, and an ipvlan link its
/// IP addresses (`EADDRINUSE` when the new link is set up). The monitor removes the links that the
/// container had at its start. So a link remains only if the monitor was killed, or if the link is
/// from `network connect`.
const MAX_HELD: Duration = Duration::from_secs(2);
const PAUSE: Duration = Duration::from_millis(10);

/// Makes the interface, renames it and sets it up.
pub fn connect(
    host: &mut Socket,
    namespace: &mut NetworkNamespace,
    parent: Link,
    network: &Network,
    direct: &Direct,
    plan: &Plan<'_>,
) -> Result<()> {
    link::number_namespace(host, namespace.descriptor.as_fd())?;
    let kind = direct.kind;
    let mtu = network.mtu.unwrap_or(parent.mtu);
    let wanted = Subinterface {
        name: plan.name,
        parent: parent.index,
        mtu,
        mac: plan.mac,
        mode: kind.number(),
        namespace: namespace.descriptor.as_fd(),
    };
    let started = Instant::now();
    let made = while_held(started, &[Errno::INVAL, Errno::BUSY, Errno::ADDRINUSE], || {
        let mut batch = Batch::default();
        link::add_subinterface(&mut batch, &wanted);
        host.send(batch)
    });
    let made = made.traced("RTM_NEWLINK", || {
        let (driver, mode) = (kind.driver(), kind.mode());
        format!(
            "{driver} {} of {} in the container, mode {mode}, mtu {mtu}",
            plan.interface, direct.parent
        )
    });
    parent::explain_lack(made, kind.driver())?;
    let Some(made) = link::find(&mut namespace.socket, plan.name)? else {
        return Err(Error::from(Errno::NODEV))
            .context(|| format!("find {} in the container", plan.name));
    };
    let mut batch = Batch::default();
    let has_ipv6 = plan.addresses.iter().any(IpAddr::is_ipv6);
    link::rename(&mut batch, made.index, plan.interface, plan.name, has_ipv6);
    namespace.socket.send(batch)?;
    while_held(started, &[Errno::ADDRINUSE], || endpoint::configure(namespace, network, plan))
}

/// Calls `act` again while it fails with one of `errors`, until `MAX_HELD` after `started`.
fn while_held(
    started: Instant,
    errors: &[Errno],
    mut act: impl FnMut() -> Result<()>,
) -> Result<()> {
    loop {
        let done = act();
        let is_held = done
            .as_ref()
            .is_err_and(|error| error.errno().is_some_and(|errno| errors.contains(&errno)));
        if !is_held || started.elapsed() > MAX_HELD {
            return done;
        }
        std::thread::sleep(PAUSE);
    }
}

/// Removes an endpoint's interface, in any network namespace. A missing interface is no error.
pub fn remove(host: &mut Socket, name: &str, interface: &str) -> Result<()> {
    match link::find_elsewhere(host, name, interface)? {
        Some(found) => link::delete_elsewhere(host, found),
        None => Ok(()),
    }
}
