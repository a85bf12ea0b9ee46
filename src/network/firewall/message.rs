//! Messages of nf_tables (linux/netfilter/nf_tables.h) about tables, chains and rules. A test
//! compares messages with those that nft(8) sends.
//!
//! The kernel applies all messages between the begin and the end of a batch, or none of them. The
//! expressions of a rule are in `expression`.

use rustix::io::Errno;

use super::expression::{Rule, number};
use super::rules::PortRule;
use crate::error::{Context, Result, fail};
use crate::network::subnet::Family;
use crate::sys::netfilter::with_socket;
use crate::sys::netlink::{APPEND, Batch, CREATE, DUMP, Message, attribute, numbers};

numbers!(u16, libc: NFNL_MSG_BATCH_BEGIN, NFNL_MSG_BATCH_END, NFNL_SUBSYS_NFTABLES);

/// The netlink type of an nf_tables message, from its NFT_MSG_* number.
const fn message(kind: libc::c_int) -> u16 {
    NFNL_SUBSYS_NFTABLES << 8 | kind as u16
}
const NEW_TABLE: u16 = message(libc::NFT_MSG_NEWTABLE);
const GET_TABLE: u16 = message(libc::NFT_MSG_GETTABLE);
const DELETE_TABLE: u16 = message(libc::NFT_MSG_DELTABLE);
const NEW_CHAIN: u16 = message(libc::NFT_MSG_NEWCHAIN);
const NEW_RULE: u16 = message(libc::NFT_MSG_NEWRULE);
const GET_RULE: u16 = message(libc::NFT_MSG_GETRULE);
const DELETE_RULE: u16 = message(libc::NFT_MSG_DELRULE);

// Attributes (linux/netfilter/nf_tables.h), which the crates libc and linux-raw-sys lack.
const NFTA_TABLE_NAME: u16 = 1;
const NFTA_TABLE_FLAGS: u16 = 2;
const NFTA_CHAIN_TABLE: u16 = 1;
const NFTA_CHAIN_NAME: u16 = 3;
const NFTA_CHAIN_HOOK: u16 = 4;
const NFTA_CHAIN_TYPE: u16 = 7;
const NFTA_HOOK_HOOKNUM: u16 = 1;
const NFTA_HOOK_PRIORITY: u16 = 2;
const NFTA_RULE_TABLE: u16 = 1;
const NFTA_RULE_CHAIN: u16 = 2;
const NFTA_RULE_HANDLE: u16 = 3;
const NFTA_RULE_EXPRESSIONS: u16 = 4;
const NFTA_RULE_USERDATA: u16 = 7;
/// The comment of a rule in its user data, as nft(8) writes it: a type, a length, the text.
const NFTNL_UDATA_RULE_COMMENT: u8 = 0;

/// A table of nf_tables, by family and name.
#[derive(Clone, Copy)]
pub struct Table<'a> {
    pub family: Family,
    pub name: &'a str,
}

impl Table<'_> {
    /// Whether the table exists. Also false after an error, for example without nf_tables.
    pub fn exists(&self) -> bool {
        let mut batch = Batch::default();
        batch.begin(GET_TABLE, 0, &self.header(), "look for a table");
        batch.text(NFTA_TABLE_NAME, self.name);
        with_socket(|socket| socket.ask(batch)).is_ok()
    }

    /// The rules of a chain of the table; empty if the chain or the table does not exist.
    pub fn rules(&self, chain: &str) -> Result<Vec<RuleThere>> {
        let mut batch = Batch::default();
        let doing = format!("list the rules of chain {chain}");
        batch.begin(GET_RULE, DUMP, &self.header(), doing);
        batch.text(NFTA_RULE_TABLE, self.name);
        batch.text(NFTA_RULE_CHAIN, chain);
        let answers = with_socket(|socket| socket.ask(batch))?;
        Ok(answers.into_iter().filter_map(RuleThere::new).collect())
    }

    /// The header of a message: struct nfgenmsg.
    fn header(&self) -> [u8; 4] {
        [self.family.number(), 0, 0, 0]
    }
}

/// A rule in the kernel. The handle identifies the rule in its table; the kernel never reuses a
/// handle of the table.
pub struct RuleThere {
    pub handle: u64,
    payload: Vec<u8>,
}

impl RuleThere {
    fn new(message: Message) -> Option<RuleThere> {
        let handle = attribute(message.payload.get(4..)?, NFTA_RULE_HANDLE)?;
        let handle = u64::from_be_bytes(handle.try_into().ok()?);
        Some(RuleThere { handle, payload: message.payload })
    }

    /// Whether the rule jumps to the chain `name`, or has the comment `name` (of nft(8) or of
    /// xtables). A longer text that ends in `name` counts too. `name` must not be the chain that
    /// the rule is in.
    pub fn mentions(&self, name: &str) -> bool {
        let name: Vec<u8> = name.bytes().chain([0]).collect();
        self.payload.windows(name.len()).any(|part| part == name)
    }
}

/// A netfilter hook: the point of a packet's path at which the kernel calls a chain.
pub struct Hook {
    pub kind: &'static str,
    pub number: libc::c_int,
    pub priority: libc::c_int,
}

// The numbers and priorities of the hooks are the same for IPv4 and IPv6.
/// Packets that arrive: the nat chain that translates their destination.
pub const PREROUTING: Hook =
    Hook { kind: "nat", number: libc::NF_INET_PRE_ROUTING, priority: libc::NF_IP_PRI_NAT_DST };
/// Packets to the host itself.
pub const INPUT: Hook =
    Hook { kind: "filter", number: libc::NF_INET_LOCAL_IN, priority: libc::NF_IP_PRI_FILTER };
/// Packets that the host forwards.
pub const FORWARD: Hook =
    Hook { kind: "filter", number: libc::NF_INET_FORWARD, priority: libc::NF_IP_PRI_FILTER };
/// The host's own packets: the nat chain that translates their destination.
pub const OUTPUT: Hook =
    Hook { kind: "nat", number: libc::NF_INET_LOCAL_OUT, priority: libc::NF_IP_PRI_NAT_DST };
/// Packets that leave: the nat chain that translates their source.
pub const POSTROUTING: Hook =
    Hook { kind: "nat", number: libc::NF_INET_POST_ROUTING, priority: libc::NF_IP_PRI_NAT_SRC };

/// A change of tables, chains and rules, which the kernel applies completely or not at all.
pub struct Change {
    batch: Batch,
}

impl Change {
    /// An empty change.
    pub fn new() -> Change {
        let mut change = Change { batch: Batch::default() };
        let doing = "ask for nf_tables (CONFIG_NF_TABLES, module nf_tables)";
        change.batch.begin(NFNL_MSG_BATCH_BEGIN, 0, &batch_header(), doing);
        change
    }

    /// Makes a table unless it exists.
    pub fn make_table(&mut self, table: Table<'_>) {
        let kind = if table.family == Family::V4 { "IPV4" } else { "IPV6" };
        let doing = format!("make table {} (CONFIG_NF_TABLES_{kind})", table.name);
        self.batch.begin(NEW_TABLE, CREATE, &table.header(), doing);
        self.batch.text(NFTA_TABLE_NAME, table.name);
        number(&mut self.batch, NFTA_TABLE_FLAGS, 0);
    }

    /// Deletes a table with its chains and rules.
    pub fn delete_table(&mut self, table: Table<'_>) {
        let doing = format!("delete table {}", table.name);
        self.batch.begin(DELETE_TABLE, 0, &table.header(), doing);
        self.batch.text(NFTA_TABLE_NAME, table.name);
    }

    /// Makes a chain. The kernel calls the chain at `hook`. A chain without a hook is reached only
    /// by jumps from other chains.
    pub fn make_chain(&mut self, table: Table<'_>, name: &str, hook: Option<Hook>) {
        let batch = &mut self.batch;
        batch.begin(NEW_CHAIN, CREATE, &table.header(), format!("make chain {name}"));
        batch.text(NFTA_CHAIN_TABLE, table.name);
        batch.text(NFTA_CHAIN_NAME, name);
        let Some(hook) = hook else { return };
        if hook.kind == "nat" {
            batch.remark(" (CONFIG_NFT_NAT, module nft_chain_nat)");
        }
        batch.text(NFTA_CHAIN_TYPE, hook.kind);
        batch.nest(NFTA_CHAIN_HOOK, |batch| {
            number(batch, NFTA_HOOK_HOOKNUM, hook.number as u32);
            number(batch, NFTA_HOOK_PRIORITY, hook.priority as u32);
        });
    }

    /// Adds a rule to the end of a chain. `owner`, a container's id, becomes the rule's comment.
    pub fn add_rule(
        &mut self,
        table: Table<'_>,
        chain: &str,
        owner: Option<&str>,
        expressions: impl FnOnce(&mut Rule<'_>),
    ) {
        let batch = &mut self.batch;
        let doing = format!("add a rule to chain {chain}");
        batch.begin(NEW_RULE, CREATE | APPEND, &table.header(), doing);
        batch.text(NFTA_RULE_TABLE, table.name);
        batch.text(NFTA_RULE_CHAIN, chain);
        batch.nest(NFTA_RULE_EXPRESSIONS, |batch| {
            expressions(&mut Rule::new(batch, table.family));
        });
        if let Some(owner) = owner {
            batch.attribute(NFTA_RULE_USERDATA, &comment(owner));
        }
    }

    /// Adds to the last rule a nested attribute, whose content `fill` adds.
    pub fn extend_rule(&mut self, kind: u16, fill: impl FnOnce(&mut Batch)) {
        self.batch.nest(kind, fill);
    }

    /// Deletes from a chain the rules whose comment is the owner of `ports`. All `ports` belong to
    /// one container. Fails if the chain has more or fewer such rules than `ports` has ports of the
    /// table's family. Does nothing without such a port.
    pub fn delete_ports(
        &mut self,
        table: Table<'_>,
        chain: &str,
        ports: &[PortRule],
    ) -> Result<()> {
        let mut ports = ports.iter().filter(|port| table.family.has(port.to.ip())).peekable();
        let Some(first) = ports.peek() else { return Ok(()) };
        let mut rules = table.rules(chain)?;
        rules.retain(|rule| rule.mentions(&first.owner));
        let (found, expected) = (rules.len(), ports.count());
        if found != expected {
            let table = table.name;
            fail!("chain {chain} of {table} should have {expected} port rules, but has {found}");
        }
        for rule in rules {
            self.delete_rule(table, chain, rule.handle);
        }
        Ok(())
    }

    /// Deletes the rule with this handle.
    fn delete_rule(&mut self, table: Table<'_>, chain: &str, handle: u64) {
        let doing = format!("delete a rule of chain {chain}");
        self.batch.begin(DELETE_RULE, 0, &table.header(), doing);
        self.batch.text(NFTA_RULE_TABLE, table.name);
        self.batch.text(NFTA_RULE_CHAIN, chain);
        self.batch.attribute(NFTA_RULE_HANDLE, &handle.to_be_bytes());
    }

    /// Sends the change. On an error, the kernel has changed nothing.
    pub fn carry_out(mut self) -> Result<()> {
        self.batch.begin(NFNL_MSG_BATCH_END, 0, &batch_header(), "change nf_tables");
        self.rehearse()
    }

    /// Sends the change. Without the end of the batch, which `carry_out` adds, the kernel checks
    /// every message and loads the modules that the messages need, but changes nothing.
    pub fn rehearse(self) -> Result<()> {
        with_socket(|socket| socket.commit(self.batch)).context(|| "nftables")
    }
}

/// Whether `errno` can mean that the kernel was built without a part of nf_tables.
pub fn is_lack(errno: Option<Errno>) -> bool {
    matches!(
        errno,
        Some(Errno::NOENT | Errno::OPNOTSUPP | Errno::AFNOSUPPORT | Errno::PROTONOSUPPORT)
    )
}

/// The header of a batch: struct nfgenmsg. Its last field is the subsystem of netfilter.
fn batch_header() -> [u8; 4] {
    let [high, low] = NFNL_SUBSYS_NFTABLES.to_be_bytes();
    [0, 0, high, low]
}

fn comment(text: &str) -> Vec<u8> {
    // Cut a text of more than 254 bytes, because the length has only one byte.
    let length = text.len().min(usize::from(u8::MAX) - 1);
    let mut data = vec![NFTNL_UDATA_RULE_COMMENT, length as u8 + 1];
    data.extend_from_slice(&text.as_bytes()[..length]);
    data.push(0);
    data
}

#[cfg(test)]
mod tests {
    use super::super::expression::{Flow, Links};
    use super::*;
    use crate::network::subnet::Subnet;
    use crate::port::Protocol;

    /// The messages that nft 1.0.6 sends, each without its netlink header, for:
    ///
    /// ```text
    /// table ip mydocker {
    ///   chain ports { }
    ///   chain prerouting { type nat hook prerouting priority dstnat; }
    /// }
    /// add rule ip mydocker ports ip daddr 10.0.0.1 tcp dport 8080 dnat to 172.17.0.2:80
    ///     comment "abcdef0123"
    /// add rule ip mydocker postrouting ip saddr 172.17.0.0/20 oifname != "mydocker0" ct status
    ///     dnat masquerade
    /// add rule ip mydocker prerouting fib daddr type local jump ports
    /// add rule ip mydocker input iifname "mydocker*" ip daddr 127.0.0.0/8 ct state
    ///     established,related drop
    /// ```
    const BY_NFT: [&str; 9] = [
        "0000000a",
        "020000000d0001006d79646f636b6572000000000800020000000000",
        "020000000d0001006d79646f636b6572000000000a000300706f727473000000",
        "020000000d0001006d79646f636b6572000000000f000300707265726f7574696e670000080007006e6174\
         0014000480080001000000000008000200ffffff9c",
        "020000000d0001006d79646f636b6572000000000a000200706f727473000000a4010480340001800c0001\
         007061796c6f61640024000280080001000000000108000200000000010800030000000010080004000000\
         00042c00018008000100636d700020000280080001000000000108000200000000000c000380080001000a\
         00000124000180090001006d6574610000000014000280080002000000001008000100000000012c000180\
         08000100636d700020000280080001000000000108000200000000000c0003800500010006000000340001\
         800c0001007061796c6f616400240002800800010000000001080002000000000208000300000000020800\
         0400000000022c00018008000100636d700020000280080001000000000108000200000000000c00038006\
         0001001f9000002c0001800e000100696d6d6564696174650000001800028008000100000000010c000280\
         08000100ac1100022c0001800e000100696d6d6564696174650000001800028008000100000000020c0002\
         80060001000050000038000180080001006e6174002c000280080001000000000108000200000000020800\
         0300000000010800050000000002080007000000000211000700000b6162636465663031323300000000",
        "020000000d0001006d79646f636b65720000000010000200706f7374726f7574696e6700a8010480340001\
         800c0001007061796c6f6164002400028008000100000000010800020000000001080003000000000c0800\
         040000000004440001800c0001006269747769736500340002800800010000000001080002000000000108\
         000300000000040c00048008000100fffff0000c00058008000100000000002c00018008000100636d7000\
         20000280080001000000000108000200000000000c00038008000100ac11000024000180090001006d6574\
         610000000014000280080002000000000708000100000000013800018008000100636d70002c0002800800\
         010000000001080002000000000118000380140001006d79646f636b657230000000000000002000018007\
         000100637400001400028008000200000000020800010000000001440001800c0001006269747769736500\
         340002800800010000000001080002000000000108000300000000040c00048008000100200000000c0005\
         8008000100000000002c00018008000100636d700020000280080001000000000108000200000000010c00\
         0380080001000000000014000180090001006d6173710000000004000280",
        "020000000d0001006d79646f636b6572000000000f000200707265726f7574696e67000094000480280001\
         8008000100666962001c0002800800030000000002080002000000000308000100000000012c0001800800\
         0100636d700020000280080001000000000108000200000000000c00038008000100020000003c0001800e\
         000100696d6d6564696174650000002800028008000100000000001c0002801800028008000100fffffffd\
         0a000200706f727473000000",
        "020000000d0001006d79646f636b6572000000000a000200696e7075740000007801048024000180090001\
         006d6574610000000014000280080002000000000608000100000000013000018008000100636d70002400\
         028008000100000000010800020000000000100003800c0001006d79646f636b6572340001800c00010070\
         61796c6f616400240002800800010000000001080002000000000108000300000000100800040000000001\
         2c00018008000100636d700020000280080001000000000108000200000000000c000380050001007f0000\
         002000018007000100637400001400028008000200000000000800010000000001440001800c0001006269\
         747769736500340002800800010000000001080002000000000108000300000000040c0004800800010006\
         0000000c00058008000100000000002c00018008000100636d700020000280080001000000000108000200\
         000000010c0003800800010000000000300001800e000100696d6d6564696174650000001c000280080001\
         0000000000100002800c0002800800010000000000",
        "0000000a",
    ];

    #[test]
    fn messages_are_those_of_nft() {
        let table = Table { family: Family::V4, name: "mydocker" };
        let subnet = |text: &str, prefix| Subnet::around(text.parse().unwrap(), prefix);
        let mut change = Change::new();
        change.make_table(table);
        change.make_chain(table, "ports", None);
        change.make_chain(table, "prerouting", Some(PREROUTING));
        change.add_rule(table, "ports", Some("abcdef0123"), |rule| {
            let to = "172.17.0.2:80".parse().unwrap();
            rule.daddr(&subnet("10.0.0.1", 32)).dport(Protocol::Tcp, 8080).dnat(to);
        });
        change.add_rule(table, "postrouting", None, |rule| {
            let bridge = Links::Named("mydocker0");
            rule.saddr(&subnet("172.17.0.0", 20)).oifname_not(bridge).flow(Flow::Dnat).masquerade();
        });
        change.add_rule(table, "prerouting", None, |rule| rule.for_the_host().jump("ports"));
        change.add_rule(table, "input", None, |rule| {
            let ours = Links::Beginning("mydocker");
            rule.iifname(ours).daddr(&subnet("127.0.0.0", 8)).flow(Flow::Known).drop();
        });
        change.batch.begin(NFNL_MSG_BATCH_END, 0, &batch_header(), "");
        let messages: Vec<String> = change
            .batch
            .payloads()
            .map(|payload| payload.iter().map(|byte| format!("{byte:02x}")).collect())
            .collect();
        assert_eq!(messages, BY_NFT);
    }

    #[test]
    fn a_rehearsal_changes_nothing() {
        let table = Table { family: Family::V4, name: "mydocker-rehearsal" };
        let mut change = Change::new();
        change.make_table(table);
        change.rehearse().unwrap();
        assert!(!table.exists());
        let mut change = Change::new();
        change.make_table(table);
        change.add_rule(table, "none", None, |rule| rule.masquerade());
        let error = change.carry_out().unwrap_err();
        assert!(is_lack(error.errno()), "{error}");
        let start = "nftables: add a rule to chain none (CONFIG_NFT_MASQ, module nft_masq): ";
        assert!(error.to_string().starts_with(start), "{error}");
        assert!(!table.exists());
    }
}
