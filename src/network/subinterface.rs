//! One container's interface on a macvlan or ipvlan network: a link on the host's parent, made
//! inside the container's network namespace.
//!
//! The host has no end of this link. To find the link when no process of the container is left, the
//! namespace gets a number in the host's namespace (RTM_NEWNSID). The link is made with the
//! endpoint's random name; then it gets its own name, such as `eth0`, and the random name becomes
//! its alias in the same message. So the link can always be found. Needs Linux 4.16.

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

/// How long to try again to make the link. The kernel removes the links of an ended network
/// namespace some time after its last process. Until then a passthru link holds the parent
/// (`EINVAL`), and other links hold their MAC addresses (`EBUSY`, `EADDRINUSE`).
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
    let made = loop {
        let mut batch = Batch::default();
        link::add_subinterface(&mut batch, &wanted);
        let made = host.send(batch);
        let is_held = made.as_ref().is_err_and(|error| {
            matches!(error.errno(), Some(Errno::INVAL | Errno::BUSY | Errno::ADDRINUSE))
        });
        if !is_held || started.elapsed() > MAX_HELD {
            break made;
        }
        std::thread::sleep(PAUSE);
    };
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
    endpoint::configure(namespace, network, plan)
}

/// Removes an endpoint's interface, in any network namespace. A missing interface is no error.
pub fn remove(host: &mut Socket, name: &str, interface: &str) -> Result<()> {
    match link::find_elsewhere(host, name, interface)? {
        Some(found) => link::delete_elsewhere(host, found),
        None => Ok(()),
    }
}
