//! A filter that the caller describes: a list of rules over the names of system calls, compiled to BPF
//! for this machine (seccomp(2)). Unknown names are skipped, as runc does, because newer kernels add
//! calls. Where libseccomp is lax the rules are taken strictly: arguments that the kernel reads as ints
//! are compared as ints, and if rules with and without conditions name one call, the stricter one wins.

use std::collections::HashMap;

use super::bpf::{self, ALLOW, ERRNO, KILL_PROCESS, Table};
use super::listener::Listener;
use super::simulator;
use super::syscalls::Arch;
use crate::error::{Result, fail};
use crate::sys::seccomp::Flags;

pub use super::bpf::{Condition, Is};

const ENOSYS: u32 = 38;

/// What happens to a system call (SECCOMP_RET_* of seccomp(2)).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    KillProcess,
    KillThread,
    Trap,
    /// The call fails with this error.
    Errno(u16),
    /// An agent outside of the container decides.
    Notify,
    /// A tracer decides; it gets this number.
    Trace(u16),
    Log,
    Allow,
}

impl Action {
    /// The value that the filter returns.
    fn value(self) -> u32 {
        match self {
            Action::KillProcess => KILL_PROCESS,
            Action::KillThread => 0,
            Action::Trap => 0x0003_0000,
            Action::Errno(errno) => ERRNO | u32::from(errno),
            Action::Notify => 0x7fc0_0000,
            Action::Trace(number) => 0x7ff0_0000 | u32::from(number),
            Action::Log => LOG,
            Action::Allow => ALLOW,
        }
    }
}

const LOG: u32 = 0x7ffc_0000;

/// The action for calls of these names if all conditions hold.
pub struct Rule {
    pub names: Vec<String>,
    pub conditions: Vec<Condition>,
    pub action: Action,
}

/// A filter as the caller describes it.
pub struct Rules {
    /// For calls that no rule names.
    pub default: Action,
    pub rules: Vec<Rule>,
    /// The architectures whose programs may run besides the machine's own.
    pub architectures: Vec<Arch>,
    pub flags: Flags,
    /// The agent that decides calls.
    pub listener: Option<Listener>,
}

/// A filter that is ready to be installed.
#[derive(Clone)]
pub struct Filter {
    pub program: Vec<bpf::Instruction>,
    pub flags: Flags,
    pub listener: Option<Listener>,
}

impl Rules {
    /// Compiles the filter for this machine.
    pub fn compile(self) -> Result<Filter> {
        let Rules { default, rules, architectures, mut flags, listener } = self;
        let notifies = [default].into_iter().chain(rules.iter().map(|rule| rule.action));
        let notifies = notifies.into_iter().any(|action| action == Action::Notify);
        let mut by_name: HashMap<&str, Vec<&Rule>> = HashMap::new();
        // libseccomp drops rules with the default's action, so that they can't contradict others.
        for rule in rules.iter().filter(|rule| rule.action != default) {
            for name in &rule.names {
                by_name.entry(name).or_default().push(rule);
            }
        }
        let family = Arch::family(std::env::consts::ARCH);
        let tables = family.iter().enumerate().filter_map(|(at, arch)| {
            // The native architecture is always included, as in libseccomp.
            if at == 0 || architectures.contains(arch) {
                Some(table(*arch, &by_name, default.value()))
            } else {
                // Without this, x32's calls would count as unknown calls of x86_64.
                (*arch == Arch::X32).then(killed_x32)
            }
        });
        let program = bpf::compile(&tables.collect::<Vec<_>>()).instructions;
        if program.len() > bpf::MAX_INSTRUCTIONS {
            fail!(
                "the seccomp profile makes a program of {} instructions; the kernel takes {}",
                program.len(),
                bpf::MAX_INSTRUCTIONS
            );
        }
        // Without such an action the listener is ignored.
        let listener = listener.filter(|_| notifies);
        if notifies {
            if listener.is_none() {
                fail!("the seccomp profile has an action SCMP_ACT_NOTIFY, but no listenerPath");
            }
            if !allows(&program, "sendmsg") {
                fail!(
                    "the seccomp profile has an action SCMP_ACT_NOTIFY, so it must allow sendmsg, \
                     by which the agent gets the calls"
                );
            }
            flags = flags.with(Flags::NEW_LISTENER);
        } else if flags.has(Flags::WAIT_KILLABLE_RECV) {
            fail!(
                "the seccomp profile's flag SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV needs an action \
                 SCMP_ACT_NOTIFY"
            );
        }
        Ok(Filter { program, flags, listener })
    }
}

/// Whether the machine's own programs may make a call.
fn allows(program: &[bpf::Instruction], name: &str) -> bool {
    let native = Arch::family(std::env::consts::ARCH).first();
    native.is_some_and(|native| {
        let number = native.calls().find(|(_, known)| *known == name).map(|(number, _)| number);
        let call = |number| simulator::Call { arch: native.audit(), number, arguments: [0; 6] };
        number
            .is_some_and(|number| [ALLOW, LOG].contains(&simulator::run(program, &call(number)).0))
    })
}

fn table(arch: Arch, by_name: &HashMap<&str, Vec<&Rule>>, default: u32) -> Table {
    let mut calls: Vec<_> = arch
        .calls()
        .map(|(number, name)| {
            let entries = by_name.get(name).map(Vec::as_slice).unwrap_or_default();
            (number, verdict(arch, name, entries, default))
        })
        .collect();
    calls.sort_by_key(|(number, _)| *number);
    // A call that is newer than the profile fails with ENOSYS, as on an older kernel, so that libraries
    // fall back (runc does so too).
    let is_errno = default & 0xffff_0000 == ERRNO;
    let unknown = if is_errno { ERRNO | ENOSYS } else { default };
    Table { arch, calls, unknown: vec![bpf::Rule::always(unknown)] }
}

fn killed_x32() -> Table {
    let killed = vec![bpf::Rule::always(KILL_PROCESS)];
    let first = Arch::X32.calls().map(|(number, _)| number).min().unwrap_or_default();
    Table { arch: Arch::X32, calls: vec![(first, killed.clone())], unknown: killed }
}

fn verdict(arch: Arch, name: &str, entries: &[&Rule], default: u32) -> bpf::Verdict {
    let always = entries.iter().find(|entry| entry.conditions.is_empty());
    // The kernel's order: the upper half of the action as a signed number; a lower one is stricter.
    let rank = |action: u32| (action & 0xffff_0000) as i32;
    let mut verdict = bpf::Verdict::new();
    for entry in entries.iter().filter(|entry| !entry.conditions.is_empty()) {
        if always.is_some_and(|always| rank(entry.action.value()) >= rank(always.action.value())) {
            continue;
        }
        let narrow = |condition: &Condition| Condition {
            low: condition.low || is_narrow(arch, name, condition.argument),
            ..condition.clone()
        };
        let conditions: Vec<Condition> = entry.conditions.iter().map(narrow).collect();
        let rule =
            |conditions| bpf::Rule { capabilities: 0, conditions, action: entry.action.value() };
        let twice = |condition: &Condition| {
            conditions.iter().filter(|other| other.argument == condition.argument).count() > 1
        };
        // Several conditions on one argument are alternatives, as in runc.
        if conditions.iter().any(twice) {
            verdict.extend(conditions.into_iter().map(|condition| rule(vec![condition])));
        } else {
            verdict.push(rule(conditions));
        }
    }
    verdict.push(bpf::Rule::always(always.map_or(default, |always| always.action.value())));
    verdict
}

/// Whether the kernel reads only the low 32 bits of an argument. A comparison of all 64 could be
/// evaded by setting the others.
fn is_narrow(arch: Arch, name: &str, argument: u8) -> bool {
    matches!(arch, Arch::I386 | Arch::Arm)
        || matches!(
            (name, argument),
            ("socket" | "socketpair", 0..=2)
                | ("clone" | "unshare" | "personality" | "prctl" | "socketcall" | "ipc", 0)
                | ("ioctl" | "fcntl" | "keyctl" | "bpf" | "setns", 0 | 1)
        )
}
