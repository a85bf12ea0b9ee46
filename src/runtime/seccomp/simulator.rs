//! Interprets a seccomp filter as the kernel does (classic BPF, seccomp(2)).
//!
//! The simulator shows whether a filter refuses a call, without making the call. A unit test runs
//! calls of each architecture in `Arch` through the compiled default filter and compares the
//! verdicts with the profile. The simulator supports only the instructions that `bpf` emits, and
//! panics on others.

use super::bpf::{
    AND, Instruction, JUMP, JUMP_AT_LEAST, JUMP_EQUAL, JUMP_GREATER, LOAD, MAX_INSTRUCTIONS, RETURN,
};

/// A system call: `struct seccomp_data` of seccomp(2) without the instruction pointer.
pub struct Call {
    pub arch: u32,
    pub number: u32,
    pub arguments: [u64; 6],
}

/// Runs `program` on `call`. Returns the filter's return value (SECCOMP_RET_*) and the number of
/// executed instructions. Panics on an instruction that `bpf` does not emit.
pub fn run(program: &[Instruction], call: &Call) -> (u32, usize) {
    assert!(program.len() <= MAX_INSTRUCTIONS);
    let (mut at, mut accumulator) = (0, 0);
    for steps in 1.. {
        let Instruction { code, jt, jf, k } = program[at];
        at += 1;
        let test = match code {
            LOAD => {
                accumulator = word(call, k);
                continue;
            }
            AND => {
                accumulator &= k;
                continue;
            }
            JUMP => {
                at += k as usize;
                continue;
            }
            RETURN => return (k, steps),
            JUMP_EQUAL => accumulator == k,
            JUMP_GREATER => accumulator > k,
            JUMP_AT_LEAST => accumulator >= k,
            other => panic!("unknown instruction {other:#x}"),
        };
        at += usize::from(if test { jt } else { jf });
    }
    unreachable!("jumps only lead forward")
}

fn word(call: &Call, offset: u32) -> u32 {
    match offset {
        0 => call.number,
        4 => call.arch,
        16..64 if offset.is_multiple_of(4) => {
            let argument = call.arguments[(offset as usize - 16) / 8];
            (argument >> (offset % 8 * 8)) as u32
        }
        _ => panic!("load from {offset}"),
    }
}
