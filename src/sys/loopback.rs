//! Sets the loopback interface of a new network namespace up. The kernel creates `lo`, but leaves
//! `lo` down. One SIOCSIFFLAGS ioctl (netdevice(7)) suffices, so a container's start needs no
//! netlink socket for `lo`. `network::link` handles other interfaces.

use std::os::fd::AsRawFd;

use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType, socket_with};

use super::last_errno;

/// Sets `lo` up in the calling thread's network namespace. The kernel then adds the addresses
/// 127.0.0.1/8 and, with IPv6, ::1. Fails with the errors of socket(2) and netdevice(7).
pub fn bring_up() -> Result<(), Errno> {
    let socket = socket_with(AddressFamily::INET, SocketType::DGRAM, SocketFlags::CLOEXEC, None)?;
    // SAFETY: ifreq holds integers, structs of integers and a raw pointer, for which zeroes are
    // valid.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    request.ifr_name[0] = b'l' as _;
    request.ifr_name[1] = b'o' as _;
    request.ifr_ifru.ifru_flags = (libc::IFF_UP | libc::IFF_RUNNING) as libc::c_short;
    // SAFETY: SIOCSIFFLAGS reads an ifreq, which outlives the call.
    match unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCSIFFLAGS as _, &raw const request) } {
        0 => Ok(()),
        _ => Err(last_errno()),
    }
}
