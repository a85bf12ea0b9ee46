//! The seccomp filter of a container's processes (seccomp(2)).
//!
//! The default filter is `default.profile`, a readable list of rules. build.rs compiles this list
//! to a BPF program for the target's architecture. A rule that depends on a capability starts with
//! a guard: a jump over the rule. When a container starts, the guards of its capabilities are
//! opened, which enables those rules. A second program, for the default capabilities alone, is
//! shorter and takes less time to install. A user's filter is compiled when the container starts
//! (`filter`). The crate `seccomp-compiler` has the compiler, the profile and its parser.

pub mod filter;
pub mod listener;
pub mod simulator;

pub use seccomp_compiler::{bpf, syscalls};

use linux_raw_sys::ptrace::SECCOMP_RET_ACTION_FULL;
use syscalls::Arch;

use crate::order;
use crate::sys::seccomp::{Flags, Instruction};
use filter::Filter;

mod compiled {
    use super::Instruction;
    include!(concat!(env!("OUT_DIR"), "/seccomp.rs"));
}

/// The filter of a process: none, the default one, or the user's.
#[derive(Clone)]
pub enum Seccomp {
    Unconfined,
    Default,
    Filter(Box<Filter>),
}

/// A compiled filter for seccomp(2).
pub struct Program {
    pub instructions: Vec<Instruction>,
    pub flags: Flags,
}

impl Seccomp {
    /// The filter for a process with these capabilities; `None` for `Unconfined`.
    pub fn program(&self, capabilities: u64) -> Option<Program> {
        let instructions = self.instructions(capabilities)?;
        let flags = match self {
            Seccomp::Filter(filter) => filter.flags,
            _ => Flags::default(),
        };
        Some(Program { instructions, flags })
    }

    /// The names of the system calls that the filter refuses with arguments of 0, sorted, for this
    /// machine's own architecture; `None` without a filter. A call whose action is LOG, TRACE or
    /// NOTIFY is not refused.
    pub fn refused(&self, capabilities: u64) -> Option<Vec<&'static str>> {
        let program = self.instructions(capabilities)?;
        let native = *Arch::family(std::env::consts::ARCH).first()?;
        let is_refused = |number| {
            let call = simulator::Call { arch: native.audit(), number, arguments: [0; 6] };
            let action = simulator::run(&program, &call).0 & SECCOMP_RET_ACTION_FULL;
            // As a signed number, a smaller action is a stricter one (seccomp(2)).
            action as i32 <= bpf::ERRNO as i32
        };
        let calls = native.calls().filter(|(number, _)| is_refused(*number));
        let mut names: Vec<&str> = calls.map(|(_, name)| name).collect();
        order::sort(&mut names);
        Some(names)
    }

    fn instructions(&self, capabilities: u64) -> Option<Vec<Instruction>> {
        match self {
            Seccomp::Unconfined => None,
            Seccomp::Default if capabilities & compiled::GUARDED == compiled::DEFAULT_HELD => {
                Some(compiled::DEFAULT_PROGRAM.to_vec())
            }
            Seccomp::Default => {
                let mut program = compiled::PROGRAM.to_vec();
                bpf::open_guards(&mut program, &compiled::GUARDS, capabilities);
                Some(program)
            }
            Seccomp::Filter(filter) => Some(filter.program.clone()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use linux_raw_sys::errno;

    use super::bpf;
    use super::bpf::{Code, Condition, ERRNO, Instruction, Is};
    use super::simulator::{Call, run};
    use super::syscalls::Arch;
    use crate::runtime::capabilities;
    use seccomp_compiler::profile;

    const ENOSYS: u32 = ERRNO | errno::ENOSYS;
    const EPERM: u32 = ERRNO | errno::EPERM;
    const EINVAL: u32 = ERRNO | errno::EINVAL;

    fn groups() -> Vec<profile::Group> {
        profile::parse(profile::TEXT).unwrap()
    }

    fn compile(family: &[Arch], held: u64) -> Code {
        let mut code = bpf::compile(&profile::tables(&groups(), family));
        bpf::open_guards(&mut code.instructions, &code.guards, held);
        code
    }

    /// As `compile`, without guards.
    fn compile_settled(family: &[Arch], held: u64) -> Vec<bpf::Instruction> {
        let mut tables = profile::tables(&groups(), family);
        profile::settle(&mut tables, held);
        bpf::compile(&tables).instructions
    }

    fn bit(name: &str) -> u64 {
        capabilities::names::bit(name).unwrap()
    }

    /// For each system call of an architecture, the groups of the profile that list it, in the
    /// profile's order.
    fn groups_by_number(
        groups: &[profile::Group],
        arch: Arch,
    ) -> HashMap<u32, Vec<&profile::Group>> {
        let naming =
            |name| groups.iter().filter(move |group| group.names.iter().any(|n| n == name));
        arch.calls().map(|(number, name)| (number, naming(name).collect())).collect()
    }

    /// Evaluates the profile directly, from top to bottom. The compiled program must give the same
    /// verdict.
    fn read_linearly(groups: Option<&Vec<&profile::Group>>, call: &Call, held: u64) -> u32 {
        let Some(groups) = groups else { return ENOSYS };
        let holds = |condition: &Condition| {
            let value = call.arguments[usize::from(condition.argument)] & condition.mask;
            assert!(condition.low && condition.is == Is::Equal);
            condition.values.contains(&(value & 0xffff_ffff))
        };
        let fits = |group: &&&profile::Group| {
            (group.rule.capabilities == 0 || group.rule.capabilities & held != 0)
                && group.rule.conditions.iter().all(holds)
        };
        groups.iter().find(fits).map_or(EPERM, |group| group.rule.action)
    }

    #[test]
    fn the_compiled_program_agrees_with_the_profile() {
        let sets = [
            0,
            capabilities::DEFAULT,
            bit("SYS_ADMIN"),
            bit("BPF") | bit("SYS_PTRACE"),
            bit("AUDIT_WRITE") | bit("SYS_TIME"),
            u64::MAX,
        ];
        // The values in the profile's conditions, and some other values.
        let words = [0, 1, 2, 8, 9, 16, 38, 39, 40, 0x20000, 0x20008, 0x1000_0000, 0xffff_ffff];
        let groups = groups();
        for family in [Arch::family("x86_64"), Arch::family("aarch64")] {
            for held in sets {
                let program = compile(family, held).instructions;
                let settled = compile_settled(family, held);
                for arch in family {
                    let by_number = groups_by_number(&groups, *arch);
                    let by_shared_number = groups_by_number(&groups, Arch::X86_64);
                    let base = if *arch == Arch::X32 { 0x4000_0000 } else { 0 };
                    let private = [0xf_0000u32, 0xf_0005, u32::MAX - base];
                    for number in (0..1024).chain(private) {
                        let checked = [number, 0].map(|other| u64::from(other % 50));
                        for word in words.into_iter().chain(checked) {
                            // The kernel ignores the upper half of this argument, so the upper half
                            // must not change the verdict.
                            let first = word | 0x5_0000_0000;
                            let arguments = [first, 0, 9, 0, 0, 0];
                            let number = base + number;
                            let call = Call { arch: arch.audit(), number, arguments };
                            let groups = match number.checked_sub(base) {
                                Some(shared) if base > 0 && shared < 512 => {
                                    by_shared_number.get(&shared)
                                }
                                _ => by_number.get(&number),
                            };
                            let expected = read_linearly(groups, &call, held);
                            for program in [&program, &settled] {
                                let (verdict, _) = run(program, &call);
                                assert_eq!(
                                    verdict, expected,
                                    "{arch:?} {number} {word:#x} {held:#x}"
                                );
                            }
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn the_program_in_the_binary_is_compiled_from_this_profile() {
        let code = compile(Arch::family(std::env::consts::ARCH), 0);
        let fields = |program: &[Instruction]| {
            let fields = |i: &Instruction| (i.code, i.jt, i.jf, i.k);
            program.iter().map(fields).collect::<Vec<_>>()
        };
        assert_eq!(fields(&super::compiled::PROGRAM), fields(&code.instructions));
        assert_eq!(super::compiled::GUARDS.to_vec(), code.guards);
        let family = Arch::family(std::env::consts::ARCH);
        let settled = compile_settled(family, capabilities::DEFAULT);
        assert_eq!(fields(&super::compiled::DEFAULT_PROGRAM), fields(&settled));
        assert_eq!(capabilities::DEFAULT & super::compiled::GUARDED, super::compiled::DEFAULT_HELD);
    }

    #[test]
    fn a_call_that_is_only_logged_is_not_refused() {
        use super::filter::{Action, Rule, Rules};
        use super::{Flags, Seccomp};
        let rule = |name: &str, action| Rule {
            names: vec![name.to_owned()],
            conditions: Vec::new(),
            action,
        };
        let rules = Rules {
            default: Action::Allow,
            rules: vec![
                rule("chroot", Action::Log),
                rule("mount", Action::Trap),
                rule("swapon", Action::Errno(1)),
            ],
            architectures: Vec::new(),
            flags: Flags::default(),
            listener: None,
        };
        let seccomp = Seccomp::Filter(Box::new(rules.compile().unwrap()));
        assert_eq!(seccomp.refused(0).unwrap(), ["mount", "swapon"]);
    }

    fn ask(arch: Arch, name: &str, arguments: [u64; 6], held: u64) -> u32 {
        let (number, _) = arch.calls().find(|(_, known)| *known == name).unwrap();
        let family = if arch == Arch::Arm { "aarch64" } else { "x86_64" };
        let program = compile(Arch::family(family), held).instructions;
        run(&program, &Call { arch: arch.audit(), number, arguments }).0
    }

    #[test]
    fn system_calls_of_past_escapes_are_refused() {
        let plain = [0; 6];
        let first = |value| [value, 0, 0, 0, 0, 0];
        for arch in [Arch::X86_64, Arch::I386, Arch::Arm] {
            let default = |name, arguments| ask(arch, name, arguments, capabilities::DEFAULT);
            for name in [
                "mount",
                "unshare",
                "setns",
                "fsconfig",
                "bpf",
                "keyctl",
                "add_key",
                "io_uring_setup",
                "perf_event_open",
                "userfaultfd",
                "open_by_handle_at",
                "init_module",
                "kexec_load",
            ] {
                assert_eq!(default(name, plain), EPERM, "{arch:?} {name}");
            }
            assert_eq!(default("clone3", plain), ENOSYS);
            assert_eq!(default("clone", first(0x11)), bpf::ALLOW);
            // The flags CLONE_NEWNS, NEWCGROUP, NEWUTS, NEWIPC, NEWUSER and NEWPID.
            for flag in [0x2_0000, 0x200_0000, 0x400_0000, 0x800_0000, 0x1000_0000, 0x2000_0000] {
                assert_eq!(default("clone", first(flag | 0x11)), EPERM, "{flag:#x}");
            }
            for (family, verdict) in [(2, bpf::ALLOW), (38, EPERM), (39, bpf::ALLOW), (40, EPERM)] {
                assert_eq!(default("socket", first(family)), verdict, "{family}");
                assert_eq!(default("socket", first(1 << 32 | family)), verdict, "{family}");
            }
            assert_eq!(default("personality", first(0x40000)), EPERM);
            assert_eq!(default("ptrace", plain), bpf::ALLOW);
            assert_eq!(default("chroot", plain), bpf::ALLOW);
            assert_eq!(ask(arch, "chroot", plain, 0), EPERM);
            assert_eq!(ask(arch, "socket", [16, 3, 9, 0, 0, 0], 0), EINVAL);
            assert_eq!(ask(arch, "mount", plain, bit("SYS_ADMIN")), bpf::ALLOW);
            assert_eq!(ask(arch, "clone3", plain, bit("SYS_ADMIN")), bpf::ALLOW);
        }
        assert_eq!(ask(Arch::I386, "socketcall", first(1), u64::MAX), ENOSYS);
    }

    #[test]
    fn programs_of_other_architectures_are_killed() {
        let program = compile(Arch::family("x86_64"), u64::MAX).instructions;
        let call = Call { arch: Arch::Arm.audit(), number: 1, arguments: [0; 6] };
        assert_eq!(run(&program, &call).0, bpf::KILL_PROCESS);
    }

    #[test]
    fn a_verdict_takes_few_instructions() {
        let program = compile_settled(Arch::family("x86_64"), capabilities::DEFAULT);
        let steps = |number| {
            let call = Call { arch: Arch::X86_64.audit(), number, arguments: [0; 6] };
            run(&program, &call).1
        };
        let most = (0..512).map(steps).max().unwrap();
        let total: usize = (0..384).map(steps).sum();
        println!(
            "{} instructions; getppid {} of them; on average {:.1}, at most {most}",
            program.len(),
            steps(110),
            total as f64 / 384.0
        );
        assert!(most <= 24 && program.len() <= 512);
    }
}
