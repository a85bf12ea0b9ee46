//! Compiles verdicts on system calls to a classic BPF program (seccomp(2), linux/filter.h).
//!
//! A program first checks the architecture, then finds the call's number in a binary tree over
//! ranges of numbers with the same verdict. A verdict is a list of rules, and the first rule that
//! matches decides. A rule that depends on a capability starts with a jump over the rule, called a
//! guard. If the container has the capability, `open_guards` turns the guard into a jump to the
//! next instruction. So one program, compiled once, serves every set of capabilities. If a verdict
//! allows a call and reads no arguments, Linux 5.11 and later can cache the verdict at
//! installation, and then run no program for the call.

use std::mem::offset_of;

use linux_raw_sys::ptrace::{
    BPF_ABS, BPF_ALU, BPF_AND, BPF_JA, BPF_JEQ, BPF_JGE, BPF_JGT, BPF_JMP, BPF_K, BPF_LD,
    BPF_MAXINSNS, BPF_RET, BPF_W, SECCOMP_RET_ALLOW, SECCOMP_RET_ERRNO, SECCOMP_RET_KILL_PROCESS,
    seccomp_data,
};

pub use linux_raw_sys::ptrace::sock_filter as Instruction;

use crate::syscalls::{Arch, X32_BIT};

/// Loads a 32-bit word of `struct seccomp_data` into the accumulator A. This constant and the next
/// ones are opcodes (linux/bpf_common.h).
pub const LOAD: u16 = (BPF_LD | BPF_W | BPF_ABS) as u16;
/// `A &= k`.
pub const AND: u16 = (BPF_ALU | BPF_AND | BPF_K) as u16;
/// Jumps forward by k.
pub const JUMP: u16 = (BPF_JMP | BPF_JA) as u16;
/// Jumps by jt if A == k, otherwise by jf.
pub const JUMP_EQUAL: u16 = (BPF_JMP | BPF_JEQ | BPF_K) as u16;
/// Jumps by jt if A > k, otherwise by jf.
pub const JUMP_GREATER: u16 = (BPF_JMP | BPF_JGT | BPF_K) as u16;
/// Jumps by jt if A >= k, otherwise by jf.
pub const JUMP_AT_LEAST: u16 = (BPF_JMP | BPF_JGE | BPF_K) as u16;
/// Returns k.
pub const RETURN: u16 = (BPF_RET | BPF_K) as u16;

/// The return value of a filter that allows the call (linux/seccomp.h).
pub const ALLOW: u32 = SECCOMP_RET_ALLOW;
/// The call fails with the errno in the low 16 bits.
pub const ERRNO: u32 = SECCOMP_RET_ERRNO;
/// The kernel kills the process.
pub const KILL_PROCESS: u32 = SECCOMP_RET_KILL_PROCESS;

/// The offsets of the fields of `struct seccomp_data`, in bytes.
const NUMBER: u32 = offset_of!(seccomp_data, nr) as u32;
const ARCH: u32 = offset_of!(seccomp_data, arch) as u32;
const ARGUMENTS: u32 = offset_of!(seccomp_data, args) as u32;

/// The maximum number of instructions that the kernel accepts.
pub const MAX_INSTRUCTIONS: usize = BPF_MAXINSNS as usize;

/// How a condition compares an argument.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Is {
    Equal,
    NotEqual,
    Greater,
    AtLeast,
    Less,
    AtMost,
}

/// A condition on one argument of a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Condition {
    /// The index of the argument, 0 to 5.
    pub argument: u8,
    pub mask: u64,
    pub is: Is,
    /// The condition holds if the comparison with one of these values is true; for `NotEqual`, with
    /// each of them.
    pub values: Vec<u64>,
    /// Compare only the low 32 bits.
    pub low: bool,
}

/// An action and its conditions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// The rule applies only to a container that has one of these capabilities, as bits; 0 means
    /// any container.
    pub capabilities: u64,
    /// The rule applies only if all conditions hold.
    pub conditions: Vec<Condition>,
    pub action: u32,
}

impl Rule {
    /// A rule that always applies.
    pub fn always(action: u32) -> Rule {
        Rule { capabilities: 0, conditions: Vec::new(), action }
    }
}

/// A list of rules: the first that applies decides. The last rule has no conditions.
pub type Verdict = Vec<Rule>;

/// The verdicts for one architecture.
pub struct Table {
    pub arch: Arch,
    /// Pairs of number and verdict, sorted by number.
    pub calls: Vec<(u32, Verdict)>,
    /// The verdict on the numbers from `shared_below` up that `calls` lacks.
    pub unknown: Verdict,
    /// For x32: a number below this one has the verdict of x86_64 on the same number without x32's
    /// bit. 0 if `calls` has all numbers of the architecture.
    pub shared_below: u32,
}

/// A program, or a part of one.
#[derive(Default)]
pub struct Code {
    pub instructions: Vec<Instruction>,
    /// Pairs of a guard's index in `instructions` and the capabilities, as bits, that open the
    /// guard.
    pub guards: Vec<(usize, u64)>,
}

/// Compiles the filter for these architectures, which start with the native one. The filter kills a
/// process that makes a call of any other architecture.
pub fn compile(tables: &[Table]) -> Code {
    let mut code = Code::default();
    code.emit(KILL_PROCESS_OTHERS);
    let mut audits: Vec<u32> = Vec::new();
    for table in tables {
        if !audits.contains(&table.arch.audit()) {
            audits.push(table.arch.audit());
        }
    }
    for audit in audits.into_iter().rev() {
        // x86_64 and x32 have the same audit value. If x32 has no `shared_below`, both share one
        // tree: bit 30 of x32's numbers puts them above x86_64's.
        let sharing = || tables.iter().filter(|table| table.arch.audit() == audit);
        let mut tree = Code::default();
        tree.emit(load(NUMBER));
        let own = sharing().filter(|table| table.shared_below == 0);
        if let Some(x32) = sharing().find(|table| table.shared_below > 0) {
            clear_x32_bit(&mut tree, x32);
        }
        tree.append(search(&ranges(own)));
        code = branch(JUMP_EQUAL, audit, tree, code, Next::Yes);
    }
    let mut program = Code::default();
    program.emit(load(ARCH));
    program.append(code);
    program
}

/// Emits the verdicts of x32 on its own numbers. For any other call, the program continues after
/// these verdicts with the call's number in A, without x32's bit.
fn clear_x32_bit(code: &mut Code, x32: &Table) {
    let own = search(&ranges(std::iter::once(x32)));
    // x32 has 36 numbers of its own, whose verdicts take fewer than 254 instructions.
    let length = u8::try_from(own.instructions.len()).expect("a short tree");
    let at_least = |k, jf| Instruction { code: JUMP_AT_LEAST, jt: 0, jf, k };
    code.emit(at_least(X32_BIT, length + 2));
    code.emit(at_least(x32.shared_below, length));
    code.append(own);
    code.emit(Instruction { code: AND, jt: 0, jf: 0, k: !X32_BIT });
}

const KILL_PROCESS_OTHERS: Instruction =
    Instruction { code: RETURN, jt: 0, jf: 0, k: KILL_PROCESS };

fn load(offset: u32) -> Instruction {
    Instruction { code: LOAD, jt: 0, jf: 0, k: offset }
}

fn jump(k: u32) -> Instruction {
    Instruction { code: JUMP, jt: 0, jf: 0, k }
}

/// The ranges of numbers with the same verdict, each with its first number, in order. The first
/// range starts at 0.
fn ranges<'a>(tables: impl Iterator<Item = &'a Table>) -> Vec<(u32, &'a Verdict)> {
    let mut ranges: Vec<(u32, &Verdict)> = Vec::new();
    for table in tables {
        // Below the first call of a second architecture, the numbers already have the `unknown` of
        // the first architecture.
        let first = table.calls.first().map_or(0, |(number, _)| *number);
        let mut next = if ranges.is_empty() { 0 } else { first };
        for (number, verdict) in &table.calls {
            if *number > next {
                extend(&mut ranges, next, &table.unknown);
            }
            extend(&mut ranges, *number, verdict);
            next = number + 1;
        }
        extend(&mut ranges, next, &table.unknown);
    }
    ranges
}

/// Starts a range at `number`, unless the last range has the same verdict.
fn extend<'a>(ranges: &mut Vec<(u32, &'a Verdict)>, number: u32, verdict: &'a Verdict) {
    match ranges.last_mut() {
        Some((_, last)) if *last == verdict => {}
        // The last range is empty, so it gets the new verdict.
        Some((first, last)) if *first == number => *last = verdict,
        _ => ranges.push((number, verdict)),
    }
}

fn search(ranges: &[(u32, &Verdict)]) -> Code {
    if let [(_, verdict)] = ranges {
        return decide(verdict);
    }
    let (below, above) = ranges.split_at(ranges.len() / 2);
    branch(JUMP_AT_LEAST, above[0].0, search(above), search(below), Next::No)
}

/// Which side of a branch comes directly after it. The other side may need a second jump, because a
/// conditional jump reaches only 255 instructions.
enum Next {
    Yes,
    No,
}

fn branch(test: u16, k: u32, yes: Code, no: Code, next: Next) -> Code {
    let (near, far) = match next {
        Next::Yes => (yes, no),
        Next::No => (no, yes),
    };
    let length = near.instructions.len();
    let mut code = Code::default();
    let to_far = if length <= 255 { length as u8 } else { 0 };
    let to_near = if length <= 255 { 0 } else { 1 };
    let (jt, jf) = match next {
        Next::Yes => (to_near, to_far),
        Next::No => (to_far, to_near),
    };
    code.emit(Instruction { code: test, jt, jf, k });
    if length > 255 {
        code.emit(jump(length as u32));
    }
    code.append(near);
    code.append(far);
    code
}

fn decide(verdict: &Verdict) -> Code {
    let mut code = Code::default();
    for rule in verdict {
        let mut body = Code::default();
        for (done, condition) in rule.conditions.iter().enumerate() {
            // If this condition fails, the program skips the rest of the rule: the later conditions
            // and the return.
            let rest: usize = rule.conditions[done + 1..].iter().map(length).sum();
            check(&mut body, condition, rest + 1);
        }
        body.emit(Instruction { code: RETURN, jt: 0, jf: 0, k: rule.action });
        if rule.capabilities != 0 {
            code.guards.push((code.instructions.len(), rule.capabilities));
            code.emit(jump(body.instructions.len() as u32));
        }
        code.append(body);
    }
    code
}

/// The number of instructions that `check` emits.
fn length(condition: &Condition) -> usize {
    let mut code = Code::default();
    check(&mut code, condition, 0);
    code.instructions.len()
}

/// Emits the check of a condition. If the condition holds, the program continues after the check;
/// otherwise the program skips `rest` more instructions.
fn check(code: &mut Code, condition: &Condition, rest: usize) {
    let mut words = Vec::new();
    if !condition.low {
        words.push(32);
    }
    words.push(0);
    // Each value needs a load, a mask if there is one, and a jump, for each word.
    let masked = |shift: u32| (condition.mask >> shift) as u32 != u32::MAX;
    let per_value: usize = words.iter().map(|shift| 2 + usize::from(masked(*shift))).sum();
    // Ordered comparisons test the upper word twice: once for greater, once for equal.
    let ordered = !matches!(condition.is, Is::Equal | Is::NotEqual);
    let per_value = per_value + usize::from(ordered && words.len() == 2);
    for (at, value) in condition.values.iter().enumerate() {
        let after = (condition.values.len() - at - 1) * per_value;
        // `holds` and `fails` are distances from the end of this value's instructions.
        let (holds, fails) = match condition.is {
            // With several values, the argument must differ from each of them.
            Is::NotEqual => (0, after + rest),
            _ if after > 0 => (after, 0),
            _ => (0, rest),
        };
        let end = code.instructions.len() + per_value;
        for shift in &words {
            let offset = ARGUMENTS + u32::from(condition.argument) * 8 + (shift / 8);
            code.emit(load(offset));
            if masked(*shift) {
                let k = (condition.mask >> shift) as u32;
                code.emit(Instruction { code: AND, jt: 0, jf: 0, k });
            }
            let k = (value >> shift) as u32;
            let upper = *shift == 32;
            let to = |code: &Code, target: usize| -> u8 {
                // A rule has at most six conditions of five values, which are fewer than 255
                // instructions.
                u8::try_from(end + target - code.instructions.len() - 1).expect("a short rule")
            };
            let (yes, no) = (to(code, holds), to(code, fails));
            let (test, jt, jf) = match (condition.is, upper) {
                (Is::Equal, true) => (JUMP_EQUAL, 0, no),
                (Is::Equal, false) => (JUMP_EQUAL, yes, no),
                (Is::NotEqual, true) => (JUMP_EQUAL, 0, yes),
                (Is::NotEqual, false) => (JUMP_EQUAL, no, yes),
                (Is::Greater | Is::AtLeast, true) => (JUMP_GREATER, yes, 0),
                (Is::Less | Is::AtMost, true) => (JUMP_GREATER, no, 0),
                (Is::Greater, false) => (JUMP_GREATER, yes, no),
                (Is::AtLeast, false) => (JUMP_AT_LEAST, yes, no),
                (Is::Less, false) => (JUMP_AT_LEAST, no, yes),
                (Is::AtMost, false) => (JUMP_GREATER, no, yes),
            };
            code.emit(Instruction { code: test, jt, jf, k });
            if ordered && upper {
                // The argument's upper word is not greater. If it is equal, the lower word decides.
                // Otherwise the argument is less than the value.
                let (yes, no) = (to(code, holds), to(code, fails));
                let jf = match condition.is {
                    Is::Greater | Is::AtLeast => no,
                    _ => yes,
                };
                code.emit(Instruction { code: JUMP_EQUAL, jt: 0, jf, k });
            }
        }
    }
}

impl Code {
    fn emit(&mut self, instruction: Instruction) {
        self.instructions.push(instruction);
    }

    fn append(&mut self, other: Code) {
        let offset = self.instructions.len();
        self.instructions.extend(other.instructions);
        self.guards.extend(other.guards.into_iter().map(|(at, bits)| (at + offset, bits)));
    }
}

/// Opens the guards of a program that depend on one of these capabilities, which are bits.
pub fn open_guards(program: &mut [Instruction], guards: &[(usize, u64)], capabilities: u64) {
    for (at, bits) in guards {
        if capabilities & bits != 0 {
            program[*at] = jump(0);
        }
    }
}
