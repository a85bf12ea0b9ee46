//! The device rules of a container: an ordered list of rules that allow or deny. A later rule
//! overrides an earlier one, and the rules of the standard devices come last.
//!
//! In cgroup v1 the rules are text in devices.allow and devices.deny (cgroup-v1/devices.rst).
//! cgroup v2 has no such file, so the rules are compiled to a BPF program, which `sys::bpf`
//! attaches (cgroup-v2.rst, "Device controller"). `runtime::devices` creates the nodes in /dev; the
//! rules decide whether a process can open them.

use std::fmt;
use std::os::fd::BorrowedFd;
use std::path::Path;

use linux_raw_sys::ptrace::{
    BPF_AND, BPF_JEQ, BPF_JMP, BPF_K, BPF_LDX, BPF_MEM, BPF_RSH, BPF_W, BPF_X,
};
use rustix::fs::{CWD, Mode, OFlags, openat};
use rustix::io::Errno;

use crate::error::{Context, Result, fail};
use crate::runtime::spec::{DeviceKind, DeviceRule, DeviceVerdict};
use crate::sys;
use crate::sys::bpf::Instruction;
use crate::sys::trace::Traced;

/// A rule: the kind and number of its devices, and the kinds of access that it allows or denies.
/// `None` stands for every number.
#[derive(Clone, Copy, Debug)]
struct Rule {
    kind: Kind,
    major: Option<u32>,
    minor: Option<u32>,
    access: u8,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Block = 1,
    Character = 2,
}

/// Kinds of access, as bits: BPF_DEVCG_ACC_* of linux/bpf.h, which libc and linux-raw-sys lack.
const MKNOD: u8 = 1;
const READ: u8 = 2;
const WRITE: u8 = 4;
const ALL: u8 = MKNOD | READ | WRITE;

/// The rules that runc adds. They allow a container to create every node and to open the standard
/// devices.
const STANDARD: [Rule; 10] = [
    Rule { kind: Kind::Character, major: None, minor: None, access: MKNOD },
    Rule { kind: Kind::Block, major: None, minor: None, access: MKNOD },
    character(1, Some(3)),
    character(1, Some(5)),
    character(1, Some(7)),
    character(1, Some(8)),
    character(1, Some(9)),
    character(5, Some(0)),
    character(5, Some(2)),
    character(136, None),
];

const fn character(major: u32, minor: Option<u32>) -> Rule {
    Rule { kind: Kind::Character, major: Some(major), minor, access: ALL }
}

/// Writes a rule in the syntax of devices.allow in cgroup v1.
impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let number = |number: Option<u32>| number.map_or("*".to_owned(), |n| n.to_string());
        let kind = if self.kind == Kind::Block { 'b' } else { 'c' };
        write!(f, "{kind} {}:{} ", number(self.major), number(self.minor))?;
        [(READ, 'r'), (WRITE, 'w'), (MKNOD, 'm')]
            .into_iter()
            .filter(|(bit, _)| self.access & bit != 0)
            .try_for_each(|(_, letter)| write!(f, "{letter}"))
    }
}

/// A container's rules in order. The standard rules come last, so a rule that denies every device
/// does not deny the standard devices.
fn rules(given: &[(DeviceVerdict, DeviceRule)]) -> impl Iterator<Item = (DeviceVerdict, Rule)> {
    let of = |(verdict, rule): &(DeviceVerdict, DeviceRule)| {
        let verdict = *verdict;
        rules_of(rule).map(move |rule| (verdict, rule))
    };
    given.iter().flat_map(of).chain(STANDARD.map(|rule| (DeviceVerdict::Allow, rule)))
}

/// The rules for one rule of the spec: two for the kind `a`, otherwise one.
fn rules_of(rule: &DeviceRule) -> impl Iterator<Item = Rule> + use<> {
    let (block, character) = match rule.kind {
        DeviceKind::Any => (true, true),
        DeviceKind::Block => (true, false),
        DeviceKind::Character => (false, true),
    };
    let (major, minor, access) = (rule.major, rule.minor, access(&rule.access));
    [(block, Kind::Block), (character, Kind::Character)]
        .into_iter()
        .filter_map(move |(wanted, kind)| wanted.then_some(Rule { kind, major, minor, access }))
}

/// The bits of `letters`, which are some of `r`, `w` and `m`.
fn access(letters: &str) -> u8 {
    let bit = |letter: char| match letter {
        'r' => READ,
        'w' => WRITE,
        _ => MKNOD,
    };
    letters.chars().map(bit).fold(0, |access, bit| access | bit)
}

impl Rule {
    /// Whether this rule applies to every device to which `other` applies.
    fn covers(&self, other: &Rule) -> bool {
        let holds = |own: Option<u32>, other| own.is_none() || own == other;
        self.kind == other.kind && holds(self.major, other.major) && holds(self.minor, other.minor)
    }

    /// Whether both rules apply to at least one common device.
    fn meets(&self, other: &Rule) -> bool {
        let meet = |own: Option<u32>, other: Option<u32>| match (own, other) {
            (Some(own), Some(other)) => own == other,
            _ => true,
        };
        self.kind == other.kind && meet(self.major, other.major) && meet(self.minor, other.minor)
    }
}

/// The rules as cgroup v1 stores them: a verdict for every device, and unordered exceptions to the
/// verdict.
struct List {
    allows_all: bool,
    exceptions: Vec<Rule>,
}

impl List {
    /// Converts ordered rules to a list with the same meaning, except that cgroup v1 refuses to
    /// open a device for reading and writing if different rules allow the two. If the last rule
    /// about all devices allows them, the list holds the denied devices. Otherwise, or if that is
    /// impossible, the list holds the allowed devices. Fails if neither list can express the rules.
    fn of(given: &[(DeviceVerdict, DeviceRule)]) -> Result<List> {
        let all = given.iter().rposition(|(_, rule)| rule.is_all());
        if let Some(at) = all
            && given[at].0 == DeviceVerdict::Allow
            && let Ok(exceptions) = exceptions(DeviceVerdict::Deny, rules(&given[at + 1..]))
        {
            return Ok(List { allows_all: true, exceptions });
        }
        let exceptions = exceptions(DeviceVerdict::Allow, rules(given))?;
        Ok(List { allows_all: false, exceptions })
    }

    /// The names of the two files, in the order of the writes, each with its lines.
    fn lines(&self) -> [(&'static str, Vec<String>); 2] {
        let (allow, deny) = ("devices.allow", "devices.deny");
        let (start, other) = if self.allows_all { (allow, deny) } else { (deny, allow) };
        [
            (start, vec!["a".to_owned()]),
            (other, self.exceptions.iter().map(Rule::to_string).collect()),
        ]
    }
}

/// The rules with the verdict `kind`, as exceptions to the other verdict. A later rule with the
/// other verdict removes its kinds of access from the earlier rules that it covers. Fails if such a
/// rule takes an access from only some devices of an earlier rule, because cgroup v1 cannot express
/// that.
fn exceptions(
    kind: DeviceVerdict,
    rules: impl Iterator<Item = (DeviceVerdict, Rule)>,
) -> Result<Vec<Rule>> {
    let mut list: Vec<Rule> = Vec::new();
    for (verdict, rule) in rules {
        if verdict == kind {
            list.push(rule);
            continue;
        }
        for earlier in &mut list {
            if rule.covers(earlier) {
                earlier.access &= !rule.access;
            } else if rule.meets(earlier) && rule.access & earlier.access != 0 {
                fail!(
                    "cgroup v1 can't deny the devices '{rule}' while '{earlier}' are allowed: \
                     allow single devices instead"
                );
            }
        }
        list.retain(|rule| rule.access != 0);
    }
    Ok(list)
}

/// Restricts the devices of a v1 cgroup to those that the container's rules and the standard rules
/// allow. Fails if cgroup v1 cannot express the rules, or with the errors of open(2) and write(2).
pub fn restrict_v1(directory: &Path, given: &[(DeviceVerdict, DeviceRule)]) -> Result<()> {
    for (file, lines) in List::of(given)?.lines() {
        let path = directory.join(file);
        let opened = openat(CWD, &path, OFlags::WRONLY | OFlags::CLOEXEC, Mode::empty())
            .context(|| format!("open {}", path.display()))?;
        for line in lines {
            rustix::io::write(&opened, line.as_bytes())
                .traced("write", || format!("{line} to {}", path.display()))
                .context(|| format!("write '{line}' to {file}"))?;
        }
    }
    Ok(())
}

/// As [`restrict_v1`], for a v2 cgroup. Returns false if the kernel supports no device programs.
/// Fails with the errors of `sys::bpf::restrict_devices`.
pub fn restrict_v2(
    directory: BorrowedFd<'_>,
    given: &[(DeviceVerdict, DeviceRule)],
) -> Result<bool> {
    let rules: Vec<(DeviceVerdict, Rule)> = rules(given).collect();
    let program = compile(&rules);
    let restricted = sys::bpf::restrict_devices(directory, &program)
        .traced("bpf", || format!("{} rules for devices as a program of the cgroup", rules.len()));
    match restricted {
        Ok(()) => Ok(true),
        // The kernel lacks CONFIG_BPF_SYSCALL or CONFIG_CGROUP_BPF, or is older than Linux 4.15.
        Err(Errno::NOSYS | Errno::INVAL) => Ok(false),
        Err(error) => Err(error).context(|| "restrict the container's devices by BPF"),
    }
}

/// Offsets in struct bpf_cgroup_dev_ctx, in bytes (linux/bpf.h). The first word holds the kind of
/// device in its lower 16 bits and the access in its upper 16 bits.
const ACCESS_AND_KIND: i16 = 0;
const MAJOR: i16 = 4;
const MINOR: i16 = 8;

/// Parts of eBPF's opcodes that classic BPF lacks (linux/bpf.h). libc and linux-raw-sys lack them.
const ALU64: u32 = 0x07;
const MOVE: u32 = 0xb0;
const NOT_EQUAL: u32 = 0x50;
const END: u32 = 0x90;
/// The opcodes of the instructions that `compile` emits.
const LOAD: u8 = (BPF_LDX | BPF_MEM | BPF_W) as u8;
const SET: u8 = (ALU64 | MOVE | BPF_K) as u8;
const COPY: u8 = (ALU64 | MOVE | BPF_X) as u8;
const AND: u8 = (ALU64 | BPF_AND | BPF_K) as u8;
const SHIFT_RIGHT: u8 = (ALU64 | BPF_RSH | BPF_K) as u8;
const JUMP_NOT_EQUAL: u8 = (BPF_JMP | NOT_EQUAL | BPF_K) as u8;
const JUMP_EQUAL: u8 = (BPF_JMP | BPF_JEQ | BPF_K) as u8;
const EXIT: u8 = (BPF_JMP | END) as u8;

/// Compiles the rules to a program that checks them from the last to the first.
///
/// The register ACCESS holds the kinds of access that no rule has allowed yet. An allow rule
/// removes its kinds of access from ACCESS. If ACCESS is then empty, the program returns 1. If a
/// deny rule has a kind of access that is in ACCESS, the program returns 0. If no rule has decided,
/// the program returns 0. The kernel passes the context in register 1.
fn compile(rules: &[(DeviceVerdict, Rule)]) -> Vec<Instruction> {
    const RESULT: u8 = 0;
    const CONTEXT: u8 = 1;
    const KIND: u8 = 2;
    const ACCESS: u8 = 3;
    const MAJOR_NUMBER: u8 = 4;
    const MINOR_NUMBER: u8 = 5;
    const NAMED: u8 = 6;
    let load = |to: u8, offset| instruction(LOAD, to | CONTEXT << 4, offset, 0);
    let set = |to: u8, value| instruction(SET, to, 0, value);
    let copy = |to: u8, from: u8| instruction(COPY, to | from << 4, 0, 0);
    let and = |to: u8, value| instruction(AND, to, 0, value);
    let shift_right = |to: u8, bits| instruction(SHIFT_RIGHT, to, 0, bits);
    let exit = instruction(EXIT, 0, 0, 0);
    // Both instructions jump over the rest of the rule.
    let skip_unless = |register: u8, value| instruction(JUMP_NOT_EQUAL, register, 0, value);
    let skip_if = |register: u8, value| instruction(JUMP_EQUAL, register, 0, value);

    let mut program = vec![
        load(KIND, ACCESS_AND_KIND),
        copy(ACCESS, KIND),
        and(KIND, 0xffff),
        shift_right(ACCESS, 16),
        load(MAJOR_NUMBER, MAJOR),
        load(MINOR_NUMBER, MINOR),
    ];
    for (verdict, rule) in rules.iter().rev() {
        let mut block = vec![skip_unless(KIND, rule.kind as i32)];
        block.extend(rule.major.map(|major| skip_unless(MAJOR_NUMBER, major as i32)));
        block.extend(rule.minor.map(|minor| skip_unless(MINOR_NUMBER, minor as i32)));
        match verdict {
            DeviceVerdict::Allow => block.extend([
                and(ACCESS, i32::from(!rule.access & ALL)),
                skip_unless(ACCESS, 0),
                set(RESULT, 1),
                exit,
            ]),
            DeviceVerdict::Deny => block.extend([
                copy(NAMED, ACCESS),
                and(NAMED, rule.access.into()),
                skip_if(NAMED, 0),
                set(RESULT, 0),
                exit,
            ]),
        }
        let length = block.len();
        let jumps = |step: &Instruction| matches!(step.code, JUMP_NOT_EQUAL | JUMP_EQUAL);
        for (at, step) in block.iter_mut().enumerate().filter(|(_, step)| jumps(step)) {
            // A rule has at most 8 instructions, so the distance fits an i16.
            step.offset = (length - at - 1) as i16;
        }
        program.extend(block);
    }
    program.extend([set(RESULT, 0), exit]);
    program
}

const fn instruction(code: u8, registers: u8, offset: i16, immediate: i32) -> Instruction {
    Instruction { code, registers, offset, immediate }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Runs a program as the kernel does. Supports only the instructions that `compile` emits.
    fn allows(program: &[Instruction], kind: Kind, major: u64, minor: u64, access: u8) -> bool {
        let context = [u64::from(access) << 16 | kind as u64, major, minor];
        let mut registers = [0u64; 11];
        let mut at = 0;
        loop {
            let step = program[at];
            let (to, from) = ((step.registers & 15) as usize, (step.registers >> 4) as usize);
            let immediate = step.immediate as u64;
            at += 1;
            match step.code {
                LOAD => registers[to] = context[step.offset as usize / 4],
                SET => registers[to] = immediate,
                COPY => registers[to] = registers[from],
                AND => registers[to] &= immediate,
                SHIFT_RIGHT => registers[to] >>= immediate,
                JUMP_NOT_EQUAL if registers[to] != immediate => at += step.offset as usize,
                JUMP_EQUAL if registers[to] == immediate => at += step.offset as usize,
                JUMP_NOT_EQUAL | JUMP_EQUAL => {}
                EXIT => return registers[0] == 1,
                code => panic!("unknown instruction {code:#x}"),
            }
        }
    }

    fn given(verdict: DeviceVerdict, text: &str) -> (DeviceVerdict, DeviceRule) {
        let mut words = text.split([' ', ':']);
        let kind = match words.next() {
            Some("a") => DeviceKind::Any,
            Some("b") => DeviceKind::Block,
            _ => DeviceKind::Character,
        };
        let mut number = || words.next().and_then(|number| number.parse().ok());
        let (major, minor) = (number(), number());
        (verdict, DeviceRule { kind, major, minor, access: words.next().unwrap().to_owned() })
    }

    fn allow(text: &str) -> (DeviceVerdict, DeviceRule) {
        given(DeviceVerdict::Allow, text)
    }

    fn deny(text: &str) -> (DeviceVerdict, DeviceRule) {
        given(DeviceVerdict::Deny, text)
    }

    fn program(given: &[(DeviceVerdict, DeviceRule)]) -> Vec<Instruction> {
        compile(&rules(given).collect::<Vec<_>>())
    }

    #[test]
    fn standard_devices_open_and_others_do_not() {
        for given in [vec![], vec![deny("a *:* rwm")], vec![allow("a *:* rwm"), deny("a *:* rwm")]]
        {
            let program = program(&given);
            assert!(allows(&program, Kind::Character, 1, 3, READ | WRITE));
            assert!(allows(&program, Kind::Character, 136, 17, WRITE));
            assert!(allows(&program, Kind::Block, 8, 0, MKNOD));
            assert!(!allows(&program, Kind::Block, 8, 0, READ));
            assert!(!allows(&program, Kind::Block, 8, 0, MKNOD | READ));
            assert!(!allows(&program, Kind::Block, 1, 3, READ));
            assert!(!allows(&program, Kind::Character, 1, 1, READ));
            assert!(!allows(&program, Kind::Character, 10, 200, WRITE));
        }
    }

    #[test]
    fn a_later_rule_counts_more_for_each_access() {
        let program = program(&[
            deny("a *:* rwm"),
            allow("c 10:* rw"),
            deny("c 10:5 w"),
            allow("b *:* rwm"),
            deny("b 8:* rwm"),
            allow("b 8:1 r"),
        ]);
        let character = |minor, access| allows(&program, Kind::Character, 10, minor, access);
        // The standard rules allow the creation of every node.
        assert!(character(4, READ | WRITE) && character(4, READ | MKNOD));
        assert!(character(5, READ) && !character(5, WRITE) && !character(5, READ | WRITE));
        let block = |major, minor, access| allows(&program, Kind::Block, major, minor, access);
        assert!(block(9, 0, READ | WRITE | MKNOD) && !block(8, 0, READ));
        assert!(block(8, 1, READ) && !block(8, 1, READ | WRITE));
    }

    #[test]
    fn v1_and_v2_allow_the_same_devices() {
        let lists = [
            vec![],
            vec![allow("a *:* rwm")],
            vec![deny("a *:* rwm"), allow("c 10:229 rw"), allow("b 8:0 r")],
            vec![allow("c 10:229 rw"), allow("c 10:230 rw"), deny("c 10:* w")],
            vec![allow("b 8:0 rwm"), deny("b *:* rw"), allow("b 8:1 r")],
            vec![allow("a 7:* rw"), deny("b 7:* r")],
            vec![allow("a *:* rwm"), deny("c 10:229 rw"), deny("b *:* r")],
            vec![allow("a *:* rwm"), deny("c 10:* rwm"), allow("c 10:* r")],
            vec![deny("c 10:229 w"), allow("a *:* rwm"), deny("b 8:0 rwm"), allow("b 8:0 r")],
            vec![allow("a *:* rwm"), deny("c *:* rwm"), allow("c 10:230 rw")],
        ];
        for given in lists {
            let program = program(&given);
            let list = List::of(&given).unwrap();
            for kind in [Kind::Block, Kind::Character] {
                for (major, minor) in [(1, 3), (7, 0), (8, 0), (8, 1), (10, 229), (10, 230)] {
                    for access in 1..=ALL {
                        let one = Rule { kind, major: Some(major), minor: Some(minor), access };
                        // Each kind of access is checked by itself, because no list here allows
                        // reading and writing by different rules. With such a list, cgroup v1
                        // refuses to open a device for both.
                        let by_list = [MKNOD, READ, WRITE].into_iter().all(|bit| {
                            let names = |rule: &Rule| rule.covers(&one) && rule.access & bit != 0;
                            access & bit == 0
                                || list.exceptions.iter().any(names) != list.allows_all
                        });
                        let numbers = (major.into(), minor.into());
                        let by_program = allows(&program, kind, numbers.0, numbers.1, access);
                        assert_eq!(by_list, by_program, "{given:?}: {one}");
                    }
                }
            }
        }
        let lines = |given: &[_]| {
            let each = |(file, lines): (&str, Vec<String>)| {
                lines.into_iter().map(|line| format!("{file} {line}")).collect::<Vec<_>>()
            };
            List::of(given).unwrap().lines().map(each).concat()
        };
        assert_eq!(lines(&[allow("a *:* rwm")]), ["devices.allow a"]);
        let but_one = lines(&[allow("a *:* rwm"), deny("c 10:200 rwm")]);
        assert_eq!(but_one, ["devices.allow a", "devices.deny c 10:200 rw"]);
        assert_eq!(
            lines(&[allow("b *:* rwm")])[..2],
            ["devices.deny a", "devices.allow b *:* rwm"]
        );
        let refused = |given: &[_]| List::of(given).err().unwrap().to_string();
        let hole = refused(&[allow("c 10:* rw"), deny("c 10:5 w")]);
        assert!(hole.contains("'c 10:5 w' while 'c 10:* rw'"), "{hole}");
        // These rules deny all character devices with major number 1, and the standard rules then
        // allow some of these. So neither a list of denied devices nor a list of allowed devices
        // can express all rules.
        refused(&[allow("a *:* rwm"), deny("c 1:* rwm")]);
    }

    #[test]
    fn a_device_opens_with_the_given_access_only() {
        let program = program(&[allow("c 1:7 r"), allow("c 42:7 r")]);
        assert!(allows(&program, Kind::Character, 42, 7, READ));
        assert!(!allows(&program, Kind::Character, 42, 7, READ | WRITE));
    }

    #[test]
    fn a_rule_of_any_kind_becomes_two_rules() {
        let text = |(_, rule): (DeviceVerdict, DeviceRule)| {
            rules_of(&rule).map(|rule| rule.to_string()).collect::<Vec<_>>()
        };
        assert_eq!(text(allow("c 42:* mr")), ["c 42:* rm"]);
        assert_eq!(text(allow("a 42:1 mr")), ["b 42:1 rm", "c 42:1 rm"]);
    }

    #[test]
    fn v1_rules_have_dockers_syntax() {
        let text: Vec<String> = STANDARD.iter().map(Rule::to_string).collect();
        assert_eq!(text[..3], ["c *:* m", "b *:* m", "c 1:3 rwm"]);
        assert_eq!(text[9], "c 136:* rwm");
    }
}
