//! Detects whether the packet filter's rules have changed, without listing them at each start.
//!
//! nf_tables has a generation number, which changes with the rules (NFT_MSG_GETGEN of
//! linux/netfilter/nf_tables.h). The legacy iptables has no such number. For legacy iptables this
//! file reads the number of rules and their size in bytes (IPT_SO_GET_INFO of
//! linux/netfilter_ipv4/ip_tables.h). A change that keeps the number and the size stays unnoticed.
//! `network::firewall` makes and reads the rules themselves.

use std::cell::RefCell;
use std::fmt::Write;
use std::os::fd::AsRawFd;

use rustix::net::{AddressFamily, Protocol, SocketFlags, SocketType, ipproto, socket_with};

use super::netlink::{Batch, Family, Socket, attribute};
use crate::error::Result;

/// The netlink message type that requests the generation number.
const GET_GENERATION: u16 = (libc::NFNL_SUBSYS_NFTABLES << 8 | libc::NFT_MSG_GETGEN) as u16;
/// An attribute of linux/netfilter/nf_tables.h, which libc lacks.
const NFTA_GEN_ID: u16 = 1;

/// Calls `act` with this thread's netfilter socket, which stays open until the thread ends. Fails
/// if the socket cannot be made, or as `act` does.
///
/// close(2) of a netfilter socket waits until the kernel has freed the last deleted rules, for an
/// RCU grace period of milliseconds. So the socket stays open between two calls.
pub fn with_socket<T>(act: impl FnOnce(&mut Socket) -> Result<T>) -> Result<T> {
    thread_local! {
        static SOCKET: RefCell<Option<(u32, Socket)>> = const { RefCell::new(None) };
    }
    SOCKET.with_borrow_mut(|kept| {
        let own = match kept.take() {
            Some((pid, socket)) if pid == std::process::id() => (pid, socket),
            other => {
                // An inherited socket belongs to the parent process, and this process must not use
                // or close the socket. A child may have closed its inherited descriptors, so the
                // number may already be another file's.
                std::mem::forget(other);
                (std::process::id(), Socket::new(Family::Netfilter)?)
            }
        };
        act(&mut kept.insert(own).1)
    })
}

/// The generation number of the nf_tables rules in this network namespace; `None` if the number
/// cannot be read, for example because the kernel has no nf_tables.
pub fn generation() -> Option<u32> {
    let mut batch = Batch::default();
    // The header is a struct nfgenmsg.
    batch.begin(GET_GENERATION, 0, &[0; 4], "ask for nf_tables' generation");
    let answers = with_socket(|socket| socket.ask(batch)).ok()?;
    let id = attribute(answers.first()?.payload.get(4..)?, NFTA_GEN_ID)?;
    Some(u32::from_be_bytes(id.try_into().ok()?))
}

/// struct ipt_getinfo of ip_tables.h, which libc lacks. struct ip6t_getinfo has the same layout.
#[repr(C)]
#[derive(Default)]
struct GetInfo {
    name: [u8; 32],
    valid_hooks: u32,
    hook_entry: [u32; 5],
    underflow: [u32; 5],
    num_entries: u32,
    size: u32,
}

/// The value of IPT_SO_GET_INFO and of IP6T_SO_GET_INFO, which libc lacks.
const SO_GET_INFO: libc::c_int = 64;

/// The number of rules and their size in bytes in the legacy tables `filter` and `nat`, as one text
/// for comparison; `None` if a table cannot be read. `ipv6` adds the tables of ip6tables.
pub fn legacy_stamp(ipv6: bool) -> Option<String> {
    let mut text = String::from("legacy");
    let ipv4 = (AddressFamily::INET, libc::SOL_IP);
    let ipv6 = ipv6.then_some((AddressFamily::INET6, libc::SOL_IPV6));
    for (family, level) in std::iter::once(ipv4).chain(ipv6) {
        for table in ["filter", "nat"] {
            let info = table_info(family, level, table)?;
            let _ = write!(text, " {}:{}", info.num_entries, info.size);
        }
    }
    Some(text)
}

fn table_info(family: AddressFamily, level: libc::c_int, table: &str) -> Option<GetInfo> {
    let raw: Protocol = ipproto::RAW;
    let socket = socket_with(family, SocketType::RAW, SocketFlags::CLOEXEC, Some(raw)).ok()?;
    let mut info = GetInfo::default();
    info.name[..table.len()].copy_from_slice(table.as_bytes());
    let mut size = std::mem::size_of::<GetInfo>() as libc::socklen_t;
    // SAFETY: the kernel reads the name and fills the struct, whose size is passed. The struct
    // holds integers only and has C's layout.
    let result = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            level,
            SO_GET_INFO,
            (&raw mut info).cast(),
            &raw mut size,
        )
    };
    (result == 0).then_some(info)
}
