//! Keeps a container off the host's loopback: a filter at the host's end of its pair of links.
//!
//! A published port answers on the host's 127.0.0.1 only if the bridge has `route_localnet`, and that
//! lets whatever arrives by the bridge reach 127.0.0.0/8 as well (CVE-2020-8558). Rules of iptables or
//! nf_tables are no safe guard: the host's owner, firewalld and ufw flush them. So a traffic control
//! filter (tc(8), rtnetlink(7)) drops such packets before the bridge has them. No flush reaches it, it
//! goes with the link, and without it `route_localnet` stays off.
//!
//! The program is classic BPF (kernel: Documentation/networking/filter.rst), which needs no more of the
//! kernel than `sch_ingress` and `cls_bpf`.

use rustix::io::Errno;

use super::link;
use crate::error::Result;
use crate::sys::netlink::{Batch, CREATE, REPLACE, Socket};

// linux/rtnetlink.h, linux/pkt_sched.h, linux/pkt_cls.h
const RTM_NEWQDISC: u16 = 36;
const RTM_NEWTFILTER: u16 = 44;
const TC_H_INGRESS: u32 = 0xffff_fff1;
/// The handle that the kernel gives to every ingress qdisc.
const INGRESS_HANDLE: u32 = 0xffff_0000;
const TCA_KIND: u16 = 1;
const TCA_OPTIONS: u16 = 2;
const TCA_BPF_OPS_LEN: u16 = 4;
const TCA_BPF_OPS: u16 = 5;
const TCA_BPF_FLAGS: u16 = 8;
/// The program's result is what happens to the packet.
const TCA_BPF_FLAG_ACT_DIRECT: u32 = 1;
const TC_ACT_UNSPEC: u32 = u32::MAX;
const TC_ACT_SHOT: u32 = 2;

// linux/if_ether.h
const ETH_P_ALL: u16 = 3;
const ETH_P_IP: u32 = 0x0800;
const ETH_P_8021Q: u32 = 0x8100;
const ETH_P_8021AD: u32 = 0x88a8;

// linux/bpf_common.h, linux/filter.h
const LOAD_HALF: u16 = 0x28;
const LOAD_BYTE: u16 = 0x30;
const JUMP_IF_EQUAL: u16 = 0x15;
const RETURN: u16 = 0x06;
/// SKF_AD_OFF + SKF_AD_PROTOCOL: the type of what follows the Ethernet header and its first tag.
const PROTOCOL: u32 = 0xffff_f000;
/// SKF_NET_OFF: the network header.
const NETWORK_HEADER: u32 = 0xfff0_0000;
/// In an IPv4 header: the destination's first byte.
const DESTINATION: u32 = 16;

/// struct sock_filter: operation, steps to skip if true, if false, operand.
type Instruction = (u16, u8, u8, u32);

const PROGRAM: [Instruction; 8] = [
    (LOAD_HALF, 0, 0, PROTOCOL),
    (JUMP_IF_EQUAL, 2, 0, ETH_P_IP),
    // The kernel takes off any number of tags of VLAN 0, but shows this program only what follows
    // the first: a second tag would hide an IPv4 packet.
    (JUMP_IF_EQUAL, 4, 0, ETH_P_8021Q),
    (JUMP_IF_EQUAL, 3, 2, ETH_P_8021AD),
    (LOAD_BYTE, 0, 0, NETWORK_HEADER + DESTINATION),
    (JUMP_IF_EQUAL, 1, 0, 127),
    (RETURN, 0, 0, TC_ACT_UNSPEC),
    (RETURN, 0, 0, TC_ACT_SHOT),
];

/// Puts the filter on the host's end `name`, again if it is there. False if the kernel has no such
/// filters. A link that is gone needs none.
pub fn set(host: &mut Socket, name: &str) -> Result<bool> {
    put(host, name, &PROGRAM)
}

/// Lets nothing pass any more. A kernel without such filters does nothing.
pub fn close(host: &mut Socket, name: &str) -> Result<()> {
    put(host, name, &[(RETURN, 0, 0, TC_ACT_SHOT)]).map(drop)
}

fn put(host: &mut Socket, name: &str, program: &[Instruction]) -> Result<bool> {
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

fn put_filter(batch: &mut Batch, index: u32, name: &str, program: &[Instruction]) {
    let info = 1 << 16 | u32::from(ETH_P_ALL.to_be());
    let mut header = header(index, INGRESS_HANDLE, info);
    // One that is there is replaced.
    header[8] = 1;
    batch.begin(RTM_NEWTFILTER, CREATE | REPLACE, &header, format!("put a filter on {name}"));
    batch.text(TCA_KIND, "bpf");
    batch.nest(TCA_OPTIONS, |batch| {
        let mut bytes = Vec::with_capacity(program.len() * 8);
        for (operation, if_true, if_false, operand) in program {
            bytes.extend_from_slice(&operation.to_ne_bytes());
            bytes.extend_from_slice(&[*if_true, *if_false]);
            bytes.extend_from_slice(&operand.to_ne_bytes());
        }
        batch.attribute(TCA_BPF_OPS_LEN, &(program.len() as u16).to_ne_bytes());
        batch.attribute(TCA_BPF_OPS, &bytes);
        batch.attribute(TCA_BPF_FLAGS, &TCA_BPF_FLAG_ACT_DIRECT.to_ne_bytes());
    });
}

/// struct tcmsg
fn header(index: u32, parent: u32, info: u32) -> [u8; 20] {
    let mut header = [0; 20];
    header[4..8].copy_from_slice(&index.to_ne_bytes());
    header[12..16].copy_from_slice(&parent.to_ne_bytes());
    header[16..20].copy_from_slice(&info.to_ne_bytes());
    header
}
