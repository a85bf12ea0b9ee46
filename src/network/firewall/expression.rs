//! What an nf_tables rule says (linux/netfilter/nf_tables.h).
//!
//! A rule is a list of expressions that the kernel works through in order: one loads something of
//! the packet into a register, the next compares it, and the first comparison that fails ends the
//! rule; what comes last is the verdict, or translates an address. What a register holds has the
//! byte order of where it came from: the packet's, or the host's.

use std::net::{IpAddr, SocketAddr};

use crate::network::subnet::{Family, Subnet};
use crate::port::Protocol;
use crate::sys::netlink::Batch;

const NFTA_LIST_ELEM: u16 = 1;
const NFTA_EXPR_NAME: u16 = 1;
const NFTA_EXPR_DATA: u16 = 2;
const NFTA_DATA_VALUE: u16 = 1;
const NFTA_DATA_VERDICT: u16 = 2;
const NFTA_VERDICT_CODE: u16 = 1;
const NFTA_VERDICT_CHAIN: u16 = 2;
const NFTA_IMMEDIATE_DREG: u16 = 1;
const NFTA_IMMEDIATE_DATA: u16 = 2;
const NFT_META_IIFNAME: u32 = 6;
const NFT_META_OIFNAME: u32 = 7;

// Registers.
const VERDICT: u32 = 0;
const FIRST: u32 = 1;
const SECOND: u32 = 2;

// Verdicts.
const NF_DROP: i32 = 0;
const NF_ACCEPT: i32 = 1;
const NFT_JUMP: i32 = -3;
const NFT_RETURN: i32 = -5;

/// A number, as all of nf_tables' are.
pub fn number(batch: &mut Batch, kind: u16, value: u32) {
    batch.attribute(kind, &value.to_be_bytes());
}

fn value(batch: &mut Batch, kind: u16, value: &[u8]) {
    batch.nest(kind, |batch| batch.attribute(NFTA_DATA_VALUE, value));
}

/// Network interfaces.
#[derive(Clone, Copy)]
pub enum Links<'a> {
    Named(&'a str),
    Beginning(&'a str),
}

/// What the kernel knows of the flow that a packet belongs to.
#[derive(Clone, Copy)]
pub enum Flow {
    /// Its state: a packet of it came back already, or it comes of another flow.
    Known,
    /// Its status: its destination was translated.
    Dnat,
}

/// A rule in the making: what a packet must be like, then what happens to it.
pub struct Rule<'a> {
    batch: &'a mut Batch,
    family: Family,
}

impl<'a> Rule<'a> {
    /// A rule whose expressions are added to the message in `batch`.
    pub fn new(batch: &'a mut Batch, family: Family) -> Rule<'a> {
        Rule { batch, family }
    }

    /// Matches the incoming interface.
    pub fn iifname(&mut self, links: Links<'_>) -> &mut Self {
        self.load_meta(NFT_META_IIFNAME).compare_name(true, links)
    }

    /// Matches the outgoing interface.
    pub fn oifname(&mut self, links: Links<'_>) -> &mut Self {
        self.load_meta(NFT_META_OIFNAME).compare_name(true, links)
    }

    /// Matches any other outgoing interface.
    pub fn oifname_not(&mut self, links: Links<'_>) -> &mut Self {
        self.load_meta(NFT_META_OIFNAME).compare_name(false, links)
    }

    /// Matches the source address.
    pub fn saddr(&mut self, subnet: &Subnet) -> &mut Self {
        self.address(if self.family == Family::V4 { 12 } else { 8 }, subnet)
    }

    /// Matches the destination address.
    pub fn daddr(&mut self, subnet: &Subnet) -> &mut Self {
        self.address(if self.family == Family::V4 { 16 } else { 24 }, subnet)
    }

    /// What is addressed to the host itself.
    pub fn for_the_host(&mut self) -> &mut Self {
        const NFTA_FIB_DREG: u16 = 1;
        const NFTA_FIB_RESULT: u16 = 2;
        const NFTA_FIB_FLAGS: u16 = 3;
        const NFT_FIB_RESULT_ADDRTYPE: u32 = 3;
        const NFTA_FIB_F_DADDR: u32 = 2;
        const RTN_LOCAL: u32 = 2;
        self.batch.remark(match self.family {
            Family::V4 => " (CONFIG_NFT_FIB_IPV4, module nft_fib_ipv4)",
            Family::V6 => " (CONFIG_NFT_FIB_IPV6, module nft_fib_ipv6)",
        });
        self.expression("fib", |batch| {
            number(batch, NFTA_FIB_FLAGS, NFTA_FIB_F_DADDR);
            number(batch, NFTA_FIB_RESULT, NFT_FIB_RESULT_ADDRTYPE);
            number(batch, NFTA_FIB_DREG, FIRST);
        });
        self.compare(true, &RTN_LOCAL.to_ne_bytes())
    }

    /// Matches the protocol and the destination port.
    pub fn dport(&mut self, protocol: Protocol, port: u16) -> &mut Self {
        const NFT_META_L4PROTO: u32 = 16;
        const NFT_PAYLOAD_TRANSPORT_HEADER: u32 = 2;
        let protocol = match protocol {
            Protocol::Tcp => libc::IPPROTO_TCP,
            Protocol::Udp => libc::IPPROTO_UDP,
        };
        self.load_meta(NFT_META_L4PROTO).compare(true, &[protocol as u8]);
        self.load(NFT_PAYLOAD_TRANSPORT_HEADER, 2, 2).compare(true, &port.to_be_bytes())
    }

    /// Matches the state of the connection (conntrack).
    pub fn flow(&mut self, flow: Flow) -> &mut Self {
        self.load_flow(flow).compare(false, &[0; 4])
    }

    /// Matches any other state of the connection.
    pub fn not_flow(&mut self, flow: Flow) -> &mut Self {
        self.load_flow(flow).compare(true, &[0; 4])
    }

    /// The verdict accept.
    pub fn accept(&mut self) {
        self.verdict(NF_ACCEPT, None);
    }

    /// The verdict drop.
    pub fn drop(&mut self) {
        self.verdict(NF_DROP, None);
    }

    /// Leaves the chain.
    pub fn leave(&mut self) {
        self.verdict(NFT_RETURN, None);
    }

    /// The verdict jump to `chain`.
    pub fn jump(&mut self, chain: &str) {
        self.verdict(NFT_JUMP, Some(chain));
    }

    /// Gives the packet, and all of its flow, another destination.
    pub fn dnat(&mut self, to: SocketAddr) {
        const NFTA_NAT_TYPE: u16 = 1;
        const NFTA_NAT_FAMILY: u16 = 2;
        const NFTA_NAT_REG_ADDR_MIN: u16 = 3;
        const NFTA_NAT_REG_PROTO_MIN: u16 = 5;
        const NFTA_NAT_FLAGS: u16 = 7;
        const NFT_NAT_DNAT: u32 = 1;
        const NF_NAT_RANGE_PROTO_SPECIFIED: u32 = 2;
        let family = u32::from(self.family.number());
        self.batch.remark(" (CONFIG_NFT_NAT, module nft_nat)");
        match to.ip() {
            IpAddr::V4(address) => self.immediate(FIRST, &address.octets()),
            IpAddr::V6(address) => self.immediate(FIRST, &address.octets()),
        }
        self.immediate(SECOND, &to.port().to_be_bytes());
        self.expression("nat", |batch| {
            number(batch, NFTA_NAT_TYPE, NFT_NAT_DNAT);
            number(batch, NFTA_NAT_FAMILY, family);
            number(batch, NFTA_NAT_REG_ADDR_MIN, FIRST);
            number(batch, NFTA_NAT_REG_PROTO_MIN, SECOND);
            number(batch, NFTA_NAT_FLAGS, NF_NAT_RANGE_PROTO_SPECIFIED);
        });
    }

    /// Gives the flow the address of the link that it leaves by.
    pub fn masquerade(&mut self) {
        self.batch.remark(" (CONFIG_NFT_MASQ, module nft_masq)");
        self.expression("masq", |_| {});
    }

    fn expression(&mut self, name: &str, data: impl FnOnce(&mut Batch)) -> &mut Self {
        self.batch.nest(NFTA_LIST_ELEM, |batch| {
            batch.text(NFTA_EXPR_NAME, name);
            batch.nest(NFTA_EXPR_DATA, data);
        });
        self
    }

    fn load_meta(&mut self, key: u32) -> &mut Self {
        const NFTA_META_DREG: u16 = 1;
        const NFTA_META_KEY: u16 = 2;
        self.expression("meta", |batch| {
            number(batch, NFTA_META_KEY, key);
            number(batch, NFTA_META_DREG, FIRST);
        })
    }

    fn load(&mut self, base: u32, offset: u32, length: u32) -> &mut Self {
        const NFTA_PAYLOAD_DREG: u16 = 1;
        const NFTA_PAYLOAD_BASE: u16 = 2;
        const NFTA_PAYLOAD_OFFSET: u16 = 3;
        const NFTA_PAYLOAD_LEN: u16 = 4;
        self.expression("payload", |batch| {
            number(batch, NFTA_PAYLOAD_DREG, FIRST);
            number(batch, NFTA_PAYLOAD_BASE, base);
            number(batch, NFTA_PAYLOAD_OFFSET, offset);
            number(batch, NFTA_PAYLOAD_LEN, length);
        })
    }

    fn load_flow(&mut self, flow: Flow) -> &mut Self {
        const NFTA_CT_DREG: u16 = 1;
        const NFTA_CT_KEY: u16 = 2;
        const NFT_CT_STATE: u32 = 0;
        const NFT_CT_STATUS: u32 = 2;
        const ESTABLISHED_OR_RELATED: u32 = 2 | 4;
        const IPS_DST_NAT: u32 = 1 << 5;
        let (key, bits) = match flow {
            Flow::Known => (NFT_CT_STATE, ESTABLISHED_OR_RELATED),
            Flow::Dnat => (NFT_CT_STATUS, IPS_DST_NAT),
        };
        self.batch.remark(" (CONFIG_NFT_CT, module nft_ct)");
        self.expression("ct", |batch| {
            number(batch, NFTA_CT_KEY, key);
            number(batch, NFTA_CT_DREG, FIRST);
        });
        self.mask(&bits.to_ne_bytes())
    }

    /// Keeps some of the first register's bits.
    fn mask(&mut self, bits: &[u8]) -> &mut Self {
        const NFTA_BITWISE_SREG: u16 = 1;
        const NFTA_BITWISE_DREG: u16 = 2;
        const NFTA_BITWISE_LEN: u16 = 3;
        const NFTA_BITWISE_MASK: u16 = 4;
        const NFTA_BITWISE_XOR: u16 = 5;
        self.expression("bitwise", |batch| {
            number(batch, NFTA_BITWISE_SREG, FIRST);
            number(batch, NFTA_BITWISE_DREG, FIRST);
            // An address at most.
            number(batch, NFTA_BITWISE_LEN, bits.len() as u32);
            value(batch, NFTA_BITWISE_MASK, bits);
            value(batch, NFTA_BITWISE_XOR, &[0; 16][..bits.len()]);
        })
    }

    fn compare(&mut self, equal: bool, with: &[u8]) -> &mut Self {
        const NFTA_CMP_SREG: u16 = 1;
        const NFTA_CMP_OP: u16 = 2;
        const NFTA_CMP_DATA: u16 = 3;
        self.expression("cmp", |batch| {
            number(batch, NFTA_CMP_SREG, FIRST);
            number(batch, NFTA_CMP_OP, u32::from(!equal));
            value(batch, NFTA_CMP_DATA, with);
        })
    }

    fn compare_name(&mut self, equal: bool, links: Links<'_>) -> &mut Self {
        match links {
            // The whole register: a longer name is another one.
            Links::Named(name) => {
                let mut padded = [0; 16];
                let length = name.len().min(15);
                padded[..length].copy_from_slice(&name.as_bytes()[..length]);
                self.compare(equal, &padded)
            }
            Links::Beginning(name) => self.compare(equal, name.as_bytes()),
        }
    }

    /// Compares the address at `offset` in the network header.
    fn address(&mut self, offset: u32, subnet: &Subnet) -> &mut Self {
        const NFT_PAYLOAD_NETWORK_HEADER: u32 = 1;
        let octets = octets(subnet.first());
        let (bytes, rest) = (usize::from(subnet.prefix() / 8), subnet.prefix() % 8);
        match rest {
            _ if subnet.prefix() == 0 => self,
            0 => self
                .load(NFT_PAYLOAD_NETWORK_HEADER, offset, bytes as u32)
                .compare(true, &octets[..bytes]),
            _ => {
                let mut mask = vec![0; octets.len()];
                mask[..bytes].fill(0xff);
                mask[bytes] = !(0xff >> rest);
                let length = u32::from(subnet.family().width() / 8);
                self.load(NFT_PAYLOAD_NETWORK_HEADER, offset, length)
                    .mask(&mask)
                    .compare(true, &octets)
            }
        }
    }

    fn immediate(&mut self, register: u32, data: &[u8]) {
        self.expression("immediate", |batch| {
            number(batch, NFTA_IMMEDIATE_DREG, register);
            value(batch, NFTA_IMMEDIATE_DATA, data);
        });
    }

    fn verdict(&mut self, code: i32, chain: Option<&str>) {
        self.expression("immediate", |batch| {
            number(batch, NFTA_IMMEDIATE_DREG, VERDICT);
            batch.nest(NFTA_IMMEDIATE_DATA, |batch| {
                batch.nest(NFTA_DATA_VERDICT, |batch| {
                    number(batch, NFTA_VERDICT_CODE, code as u32);
                    if let Some(chain) = chain {
                        batch.text(NFTA_VERDICT_CHAIN, chain);
                    }
                });
            });
        });
    }
}

fn octets(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    }
}
