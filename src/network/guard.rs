//! Keeps a container off the host's loopback: a filter at the host's end of its veth pair.
//!
//! A published port answers on the host's 127.0.0.1 only if the bridge has `route_localnet`, which
//! also lets packets from the bridge reach the host's 127.0.0.0/8 (CVE-2020-8558). Rules of
//! iptables or nf_tables are not enough, because administrators, firewalld and ufw may flush the
//! rules. So a traffic control filter (tc(8), rtnetlink(7)) drops packets to 127.0.0.0/8 before the
//! bridge gets them. The filter exists as long as the link. Without the filter, `route_localnet`
//! stays off. The filter is a program of classic BPF (Documentation/networking/filter.rst of the
//! kernel) and needs only the modules `sch_ingress` and `cls_bpf`.

use libc::sock_filter;
use linux_raw_sys::netlink::tcmsg;
use rustix::io::Errno;

use super::link;
use crate::error::Result;
use crate::sys::netlink::{Batch, CREATE, REPLACE, Socket, numbers};

numbers!(u16, linux_raw_sys::netlink: RTM_NEWQDISC, RTM_NEWTFILTER);
numbers!(u16, libc: TCA_KIND, TCA_OPTIONS);
// Constants of linux/pkt_sched.h and linux/pkt_cls.h, which the crates libc and linux-raw-sys lack.
const TC_H_INGRESS: u32 = 0xffff_fff1;
/// The handle that the kernel gives every ingress qdisc.
const INGRESS_HANDLE: u32 = 0xffff_0000;
/// The filter's handle, which is fixed so that a new filter replaces the former filter.
const FILTER_HANDLE: u32 = 1;
const TCA_BPF_OPS_LEN: u16 = 4;
const TCA_BPF_OPS: u16 = 5;
const TCA_BPF_FLAGS: u16 = 8;
/// With this flag, the program's return value is the action on the packet.
const TCA_BPF_FLAG_ACT_DIRECT: u32 = 1;
const TC_ACT_UNSPEC: u32 = u32::MAX;
const TC_ACT_SHOT: u32 = 2;

numbers!(u32, libc: ETH_P_IP, ETH_P_8021Q, ETH_P_8021AD);

const LOAD_HALF: u32 = libc::BPF_LD | libc::BPF_H | libc::BPF_ABS;
const LOAD_BYTE: u32 = libc::BPF_LD | libc::BPF_B | libc::BPF_ABS;
const JUMP_IF_EQUAL: u32 = libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K;
const RETURN: u32 = libc::BPF_RET | libc::BPF_K;
/// The offset of the protocol after the Ethernet header and, if there is one, the first VLAN tag.
const PROTOCOL: u32 = (libc::SKF_AD_OFF + libc::SKF_AD_PROTOCOL) as u32;
/// The offset of the first byte of the destination address in an IPv4 header.
const DESTINATION: u32 = libc::SKF_NET_OFF as u32 + 16;

const fn instruction(code: u32, jt: u8, jf: u8, k: u32) -> sock_filter {
    sock_filter { code: code as u16, jt, jf, k }
}

const PROGRAM: [sock_filter; 8] = [
    instruction(LOAD_HALF, 0, 0, PROTOCOL),
    instruction(JUMP_IF_EQUAL, 2, 0, ETH_P_IP),
    // Drop packets with a second VLAN tag: the kernel removes any number of tags of VLAN 0, but
    // this program sees only the protocol after the first tag, so a second tag would hide an IPv4
    // packet.
    instruction(JUMP_IF_EQUAL, 4, 0, ETH_P_8021Q),
    instruction(JUMP_IF_EQUAL, 3, 2, ETH_P_8021AD),
    instruction(LOAD_BYTE, 0, 0, DESTINATION),
    instruction(JUMP_IF_EQUAL, 1, 0, 127),
    instruction(RETURN, 0, 0, TC_ACT_UNSPEC),
    instruction(RETURN, 0, 0, TC_ACT_SHOT),
];

/// Puts the filter on the host's end `name`, in place of a former filter. Returns false if the
/// kernel has no such filters. If the link does not exist, does nothing and returns true.
pub fn set(host: &mut Socket, name: &str) -> Result<bool> {
    put(host, name, &PROGRAM)
}

/// Makes the filter drop all packets. Does nothing on a kernel without such filters.
pub fn close(host: &mut Socket, name: &str) -> Result<()> {
    put(host, name, &[instruction(RETURN, 0, 0, TC_ACT_SHOT)]).map(drop)
}

fn put(host: &mut Socket, name: &str, program: &[sock_filter]) -> Result<bool> {
    let Some(link) = link::find(host, name)? else { return Ok(true) };
    let mut batch = Batch::default();
    let header = header(link.index, TC_H_INGRESS, 0);
    batch.begin(RTM_NEWQDISC, CREATE | REPLACE, &header, format!("prepare {name} for a filter"));
    batch.text(TCA_KIND, "ingress");
    put_filter(&mut batch, link.index, name, program);
    match host.send(batch) {
        Ok(()) => Ok(true),
        Err(error) => match error.errno() {
            Some(Errno::NOENT | Errno::OPNOTSUPP) => Ok(false),
            Some(Errno::NODEV) => Ok(true),
            _ => Err(error),
        },
    }
}

fn put_filter(batch: &mut Batch, index: u32, name: &str, program: &[sock_filter]) {
    // The filter's priority (1), and its protocol (all) in network byte order.
    let info = 1 << 16 | u32::from((libc::ETH_P_ALL as u16).to_be());
    let header = tcmsg { tcm_handle: FILTER_HANDLE, ..header(index, INGRESS_HANDLE, info) };
    batch.begin(RTM_NEWTFILTER, CREATE | REPLACE, &header, format!("put a filter on {name}"));
    batch.text(TCA_KIND, "bpf");
    batch.nest(TCA_OPTIONS, |batch| {
        let mut bytes = Vec::with_capacity(program.len() * 8);
        for step in program {
            bytes.extend_from_slice(&step.code.to_ne_bytes());
            bytes.extend_from_slice(&[step.jt, step.jf]);
            bytes.extend_from_slice(&step.k.to_ne_bytes());
        }
        batch.attribute(TCA_BPF_OPS_LEN, &(program.len() as u16).to_ne_bytes());
        batch.attribute(TCA_BPF_OPS, &bytes);
        batch.attribute(TCA_BPF_FLAGS, &TCA_BPF_FLAG_ACT_DIRECT.to_ne_bytes());
    });
}

fn header(index: u32, parent: u32, info: u32) -> tcmsg {
    tcmsg {
        tcm_family: 0,
        tcm__pad1: 0,
        tcm__pad2: 0,
        tcm_ifindex: index as i32,
        tcm_handle: 0,
        tcm_parent: parent,
        tcm_info: info,
    }
}
