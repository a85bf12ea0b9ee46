//! The expressions of an nf_tables rule (linux/netfilter/nf_tables.h).
//!
//! A rule is a list of expressions that the kernel executes in order. For example, one expression
//! loads a part of the packet into a register, and the next expression compares the register. If a
//! comparison fails, the rule does not match. The last expression is the verdict or translates an
//! address. A register keeps the byte order of its source: the packet's or the host's.

use std::net::{IpAddr, SocketAddr};

use crate::network::subnet::{Family, Subnet};
use crate::port::Protocol;
use crate::sys::netlink::{Batch, numbers};

// Attributes (linux/netfilter/nf_tables.h), which the crates libc and linux-raw-sys lack.
const NFTA_LIST_ELEM: u16 = 1;
const NFTA_EXPR_NAME: u16 = 1;
const NFTA_EXPR_DATA: u16 = 2;
const NFTA_DATA_VALUE: u16 = 1;
const NFTA_DATA_VERDICT: u16 = 2;
const NFTA_VERDICT_CODE: u16 = 1;
const NFTA_VERDICT_CHAIN: u16 = 2;
const NFTA_IMMEDIATE_DREG: u16 = 1;
const NFTA_IMMEDIATE_DATA: u16 = 2;
numbers!(u32, libc: NFT_META_IIFNAME, NFT_META_OIFNAME, NFT_META_L4PROTO);
numbers!(u32, libc: NFT_PAYLOAD_NETWORK_HEADER, NFT_PAYLOAD_TRANSPORT_HEADER);
numbers!(u32, libc: NFT_CT_STATE, NFT_CT_STATUS, NFT_NAT_DNAT, NFT_CMP_EQ, NFT_CMP_NEQ);
// The registers of nf_tables. NFT_REG_VERDICT is only for verdicts.
numbers!(u32, libc: NFT_REG_VERDICT, NFT_REG_1, NFT_REG_2);

/// Adds an attribute with a 32-bit number, in the network byte order that nf_tables expects.
pub fn number(batch: &mut Batch, kind: u16, value: u32) {
    batch.attribute(kind, &value.to_be_bytes());
}

fn value(batch: &mut Batch, kind: u16, value: &[u8]) {
    batch.nest(kind, |batch| batch.attribute(NFTA_DATA_VALUE, value));
}

/// The interfaces that a rule matches: one name, or all names with a prefix.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Links<'a> {
    Named(&'a str),
    Beginning(&'a str),
}

/// What conntrack knows about a packet's connection.
#[derive(Clone, Copy)]
pub enum Flow {
    /// The connection's state is established or related.
    Known,
    /// The connection's destination was translated (IPS_DST_NAT).
    Dnat,
}

/// A rule under construction: first the expressions that match, then the verdict or translation.
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

    /// Matches packets that leave by an interface other than `links`.
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

    /// Matches packets to an address of the host itself.
    pub fn for_the_host(&mut self) -> &mut Self {
        const NFTA_FIB_DREG: u16 = 1;
        const NFTA_FIB_RESULT: u16 = 2;
        const NFTA_FIB_FLAGS: u16 = 3;
        const NFT_FIB_RESULT_ADDRTYPE: u32 = 3;
        const NFTA_FIB_F_DADDR: u32 = 2;
        self.batch.remark(match self.family {
            Family::V4 => " (CONFIG_NFT_FIB_IPV4, module nft_fib_ipv4)",
            Family::V6 => " (CONFIG_NFT_FIB_IPV6, module nft_fib_ipv6)",
        });
        self.expression("fib", |batch| {
            number(batch, NFTA_FIB_FLAGS, NFTA_FIB_F_DADDR);
            number(batch, NFTA_FIB_RESULT, NFT_FIB_RESULT_ADDRTYPE);
            number(batch, NFTA_FIB_DREG, NFT_REG_1);
        });
        self.compare(true, &u32::from(libc::RTN_LOCAL).to_ne_bytes())
    }

    /// Matches the protocol.
    pub fn protocol(&mut self, protocol: Protocol) -> &mut Self {
        self.load_meta(NFT_META_L4PROTO).compare(true, &[protocol_number(protocol)])
    }

    /// Matches the protocol and the destination port.
    pub fn dport(&mut self, protocol: Protocol, port: u16) -> &mut Self {
        self.protocol(protocol)
            .load(NFT_PAYLOAD_TRANSPORT_HEADER, 2, 2)
            .compare(true, &port.to_be_bytes())
    }

    /// Matches packets whose connection is in this state (conntrack).
    pub fn flow(&mut self, flow: Flow) -> &mut Self {
        self.load_flow(flow).compare(false, &[0; 4])
    }

    /// Matches packets whose connection is not in this state.
    pub fn not_flow(&mut self, flow: Flow) -> &mut Self {
        self.load_flow(flow).compare(true, &[0; 4])
    }

    /// The verdict accept.
    pub fn accept(&mut self) {
        self.verdict(libc::NF_ACCEPT, None);
    }

    /// The verdict drop.
    pub fn drop(&mut self) {
        self.verdict(libc::NF_DROP, None);
    }

    /// The verdict return: the packet leaves the chain.
    pub fn leave(&mut self) {
        self.verdict(libc::NFT_RETURN, None);
    }

    /// The verdict jump to `chain`.
    pub fn jump(&mut self, chain: &str) {
        self.verdict(libc::NFT_JUMP, Some(chain));
    }

    /// Translates the destination of the packet, and of the rest of its connection, to `to`.
    pub fn dnat(&mut self, to: SocketAddr) {
        const NFTA_NAT_TYPE: u16 = 1;
        const NFTA_NAT_FAMILY: u16 = 2;
        const NFTA_NAT_REG_ADDR_MIN: u16 = 3;
        const NFTA_NAT_REG_PROTO_MIN: u16 = 5;
        const NFTA_NAT_FLAGS: u16 = 7;
        const NF_NAT_RANGE_PROTO_SPECIFIED: u32 = 2;
        let family = u32::from(self.family.number());
        self.batch.remark(" (CONFIG_NFT_NAT, module nft_nat)");
        match to.ip() {
            IpAddr::V4(address) => self.immediate(NFT_REG_1, &address.octets()),
            IpAddr::V6(address) => self.immediate(NFT_REG_1, &address.octets()),
        }
        self.immediate(NFT_REG_2, &to.port().to_be_bytes());
        self.expression("nat", |batch| {
            number(batch, NFTA_NAT_TYPE, NFT_NAT_DNAT);
            number(batch, NFTA_NAT_FAMILY, family);
            number(batch, NFTA_NAT_REG_ADDR_MIN, NFT_REG_1);
            number(batch, NFTA_NAT_REG_PROTO_MIN, NFT_REG_2);
            number(batch, NFTA_NAT_FLAGS, NF_NAT_RANGE_PROTO_SPECIFIED);
        });
    }

    /// Translates the connection's source to the address of the interface by which it leaves.
    pub fn masquerade(&mut self) {
        self.batch.remark(" (CONFIG_NFT_MASQ, module nft_masq)");
        self.expression("masq", |_| {});
    }

    /// Executes a match or a target of xtables (`kind`) by its name and revision. `options` is the
    /// struct of the match or the target.
    pub fn xtables(&mut self, kind: &str, name: &str, revision: u32, options: &[u8]) -> &mut Self {
        // NFTA_MATCH_* and NFTA_TARGET_* are the same numbers.
        const NAME: u16 = 1;
        const REVISION: u16 = 2;
        const OPTIONS: u16 = 3;
        self.expression(kind, |batch| {
            batch.text(NAME, name);
            number(batch, REVISION, revision);
            batch.attribute(OPTIONS, options);
        })
    }

    /// Counts the packets and bytes that match.
    pub fn counter(&mut self) -> &mut Self {
        self.expression("counter", |_| {})
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
            number(batch, NFTA_META_DREG, NFT_REG_1);
        })
    }

    fn load(&mut self, base: u32, offset: u32, length: u32) -> &mut Self {
        const NFTA_PAYLOAD_DREG: u16 = 1;
        const NFTA_PAYLOAD_BASE: u16 = 2;
        const NFTA_PAYLOAD_OFFSET: u16 = 3;
        const NFTA_PAYLOAD_LEN: u16 = 4;
        self.expression("payload", |batch| {
            number(batch, NFTA_PAYLOAD_DREG, NFT_REG_1);
            number(batch, NFTA_PAYLOAD_BASE, base);
            number(batch, NFTA_PAYLOAD_OFFSET, offset);
            number(batch, NFTA_PAYLOAD_LEN, length);
        })
    }

    fn load_flow(&mut self, flow: Flow) -> &mut Self {
        const NFTA_CT_DREG: u16 = 1;
        const NFTA_CT_KEY: u16 = 2;
        const ESTABLISHED_OR_RELATED: u32 = 2 | 4;
        const IPS_DST_NAT: u32 = 1 << 5;
        let (key, bits) = match flow {
            Flow::Known => (NFT_CT_STATE, ESTABLISHED_OR_RELATED),
            Flow::Dnat => (NFT_CT_STATUS, IPS_DST_NAT),
        };
        self.batch.remark(" (CONFIG_NFT_CT, module nft_ct)");
        self.expression("ct", |batch| {
            number(batch, NFTA_CT_KEY, key);
            number(batch, NFTA_CT_DREG, NFT_REG_1);
        });
        self.mask(&bits.to_ne_bytes())
    }

    /// Keeps only the bits of the first register that are set in `bits`.
    fn mask(&mut self, bits: &[u8]) -> &mut Self {
        const NFTA_BITWISE_SREG: u16 = 1;
        const NFTA_BITWISE_DREG: u16 = 2;
        const NFTA_BITWISE_LEN: u16 = 3;
        const NFTA_BITWISE_MASK: u16 = 4;
        const NFTA_BITWISE_XOR: u16 = 5;
        self.expression("bitwise", |batch| {
            number(batch, NFTA_BITWISE_SREG, NFT_REG_1);
            number(batch, NFTA_BITWISE_DREG, NFT_REG_1);
            // The cast is safe: `bits` is at most an address, 16 bytes.
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
            number(batch, NFTA_CMP_SREG, NFT_REG_1);
            number(batch, NFTA_CMP_OP, if equal { NFT_CMP_EQ } else { NFT_CMP_NEQ });
            value(batch, NFTA_CMP_DATA, with);
        })
    }

    fn compare_name(&mut self, equal: bool, links: Links<'_>) -> &mut Self {
        match links {
            // Compare the whole register, so that a longer name does not match.
            Links::Named(name) => {
                let mut padded = [0; 16];
                let length = name.len().min(15);
                padded[..length].copy_from_slice(&name.as_bytes()[..length]);
                self.compare(equal, &padded)
            }
            Links::Beginning(name) => self.compare(equal, name.as_bytes()),
        }
    }

    /// Matches an address of `subnet` at `offset` in the network header.
    fn address(&mut self, offset: u32, subnet: &Subnet) -> &mut Self {
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
            number(batch, NFTA_IMMEDIATE_DREG, NFT_REG_VERDICT);
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

/// The number of a protocol in IP headers.
pub fn protocol_number(protocol: Protocol) -> u8 {
    match protocol {
        Protocol::Tcp => libc::IPPROTO_TCP as u8,
        Protocol::Udp => libc::IPPROTO_UDP as u8,
    }
}

fn octets(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    }
}
