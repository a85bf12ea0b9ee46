//! Which devices a container may use: a list of rules, first Docker's standard ones, then those of
//! the container. cgroup v1 gets them as text in devices.allow
//! (cgroup-v1/devices.rst). cgroup v2 has no file for them, so they are compiled to a BPF program
//! (cgroup-v2.rst, "Device controller") that `sys::bpf` attaches. Nodes in /dev are made in
//! `runtime::devices`; without a rule here they can't be opened.

use std::fmt;
use std::fs;
use std::os::fd::BorrowedFd;
use std::path::Path;

use rustix::io::Errno;

use crate::error::{Context, Result};
use crate::runtime::spec::{DeviceKind, DeviceRule};
use crate::sys;
use crate::sys::bpf::Instruction;

/// Allows `access` to the devices of this kind and number; `None` is any number.
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

/// The bits of linux/bpf.h (BPF_DEVCG_ACC_…).
const MKNOD: u8 = 1;
const READ: u8 = 2;
const WRITE: u8 = 4;
const ALL: u8 = MKNOD | READ | WRITE;

/// Docker's rules: every node may be made, but only the standard ones opened.
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

/// The syntax of v1's devices.allow.
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

/// A container's rules: the standard ones and those it was given.
fn rules(given: &[DeviceRule]) -> Vec<Rule> {
    STANDARD.into_iter().chain(given.iter().flat_map(rules_of)).collect()
}

/// One rule as given: the kind `a` becomes two.
fn rules_of(rule: &DeviceRule) -> impl Iterator<Item = Rule> {
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

/// Some of `rwm`.
fn access(letters: &str) -> u8 {
    let bit = |letter: char| match letter {
        'r' => READ,
        'w' => WRITE,
        _ => MKNOD,
    };
    letters.chars().map(bit).fold(0, |access, bit| access | bit)
}

/// Denies all devices except the container's in a v1 cgroup directory.
pub fn restrict_v1(directory: &Path, given: &[DeviceRule]) -> Result<()> {
    let write = |file: &str, rule: &str| {
        fs::write(directory.join(file), rule).context(|| format!("write '{rule}' to {file}"))
    };
    write("devices.deny", "a")?;
    rules(given).iter().try_for_each(|rule| write("devices.allow", &rule.to_string()))
}

/// The same for a v2 cgroup directory. Returns false if this kernel has no device programs.
pub fn restrict_v2(directory: BorrowedFd<'_>, given: &[DeviceRule]) -> Result<bool> {
    match sys::bpf::restrict_devices(directory, &compile(&rules(given))) {
        Ok(()) => Ok(true),
        // Without CONFIG_BPF_SYSCALL, without CONFIG_CGROUP_BPF.
        Err(Errno::NOSYS | Errno::INVAL) => Ok(false),
        Err(error) => Err(error).context(|| "restrict the container's devices by BPF"),
    }
}

/// Offsets into struct bpf_cgroup_dev_ctx. The first word has the kind of device in its lower and
/// the wanted access in its upper 16 bits.
const ACCESS_AND_KIND: i16 = 0;
const MAJOR: i16 = 4;
const MINOR: i16 = 8;

/// Compiles a program that returns 1 at the first rule that allows the whole access, and 0 at its
/// end. The kernel passes the context in register 1.
fn compile(rules: &[Rule]) -> Vec<Instruction> {
    const RESULT: u8 = 0;
    const CONTEXT: u8 = 1;
    const KIND: u8 = 2;
    const ACCESS: u8 = 3;
    const MAJOR_NUMBER: u8 = 4;
    const MINOR_NUMBER: u8 = 5;
    const EXCESS: u8 = 6;
    // linux/bpf_common.h and linux/bpf.h
    let load = |to: u8, offset| instruction(0x61, to | CONTEXT << 4, offset, 0);
    let set = |to: u8, value| instruction(0xb7, to, 0, value);
    let copy = |to: u8, from: u8| instruction(0xbf, to | from << 4, 0, 0);
    let and = |to: u8, value| instruction(0x57, to, 0, value);
    let shift_right = |to: u8, bits| instruction(0x77, to, 0, bits);
    let skip_unless = |register: u8, value| instruction(0x55, register, 0, value);
    let exit = instruction(0x95, 0, 0, 0);

    let mut program = vec![
        load(KIND, ACCESS_AND_KIND),
        copy(ACCESS, KIND),
        and(KIND, 0xffff),
        shift_right(ACCESS, 16),
        load(MAJOR_NUMBER, MAJOR),
        load(MINOR_NUMBER, MINOR),
    ];
    for rule in rules {
        let mut block = vec![
            skip_unless(KIND, rule.kind as i32),
            copy(EXCESS, ACCESS),
            and(EXCESS, i32::from(!rule.access & ALL)),
            skip_unless(EXCESS, 0),
        ];
        block.extend(rule.major.map(|major| skip_unless(MAJOR_NUMBER, major as i32)));
        block.extend(rule.minor.map(|minor| skip_unless(MINOR_NUMBER, minor as i32)));
        block.extend([set(RESULT, 1), exit]);
        let length = block.len();
        for (at, step) in block.iter_mut().enumerate().filter(|(_, step)| step.code == 0x55) {
            // A rule has a few instructions, so the distance fits an i16.
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

    /// Runs a program as the kernel would; only what `compile` emits is known.
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
                0x61 => registers[to] = context[step.offset as usize / 4],
                0xb7 => registers[to] = immediate,
                0xbf => registers[to] = registers[from],
                0x57 => registers[to] &= immediate,
                0x77 => registers[to] >>= immediate,
                0x55 if registers[to] != immediate => at += step.offset as usize,
                0x55 => {}
                0x95 => return registers[0] == 1,
                code => panic!("unknown instruction {code:#x}"),
            }
        }
    }

    #[test]
    fn standard_devices_open_and_others_do_not() {
        let program = compile(&STANDARD);
        assert!(allows(&program, Kind::Character, 1, 3, READ | WRITE));
        assert!(allows(&program, Kind::Character, 136, 17, WRITE));
        assert!(allows(&program, Kind::Block, 8, 0, MKNOD));
        assert!(!allows(&program, Kind::Block, 8, 0, READ));
        assert!(!allows(&program, Kind::Block, 8, 0, MKNOD | READ));
        assert!(!allows(&program, Kind::Block, 1, 3, READ));
        assert!(!allows(&program, Kind::Character, 1, 1, READ));
        assert!(!allows(&program, Kind::Character, 10, 200, WRITE));
    }

    #[test]
    fn a_device_opens_as_it_was_given() {
        let (kind, access) = (DeviceKind::Character, "r".to_owned());
        let given = DeviceRule { kind, major: Some(1), minor: Some(7), access };
        let rule = rules_of(&given).next().unwrap();
        assert_eq!(rule.to_string(), "c 1:7 r");
        let program = compile(&[rule]);
        assert!(allows(&program, Kind::Character, 1, 7, READ));
        assert!(!allows(&program, Kind::Character, 1, 7, READ | WRITE));
    }

    #[test]
    fn rules_as_given() {
        let rule =
            |kind, minor| DeviceRule { kind, major: Some(42), minor, access: "mr".to_owned() };
        let text =
            |rule: &DeviceRule| rules_of(rule).map(|rule| rule.to_string()).collect::<Vec<_>>();
        assert_eq!(text(&rule(DeviceKind::Character, None)), ["c 42:* rm"]);
        assert_eq!(text(&rule(DeviceKind::Any, Some(1))), ["b 42:1 rm", "c 42:1 rm"]);
    }

    #[test]
    fn v1_reads_the_rules_as_docker_writes_them() {
        let text: Vec<String> = STANDARD.iter().map(Rule::to_string).collect();
        assert_eq!(text[..3], ["c *:* m", "b *:* m", "c 1:3 rwm"]);
        assert_eq!(text[9], "c 136:* rwm");
    }
}
