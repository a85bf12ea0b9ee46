//! Compiles a user's seccomp filter, a list of rules on the names of system calls, to BPF for this
//! machine (seccomp(2)).
//!
//! Unknown names are skipped, as in runc, because newer kernels add system calls. The filter is
//! stricter than libseccomp's in two points. The int arguments that `is_narrow` lists are compared
//! as ints. If one system call has rules with and without conditions, the stricter rule applies.

use std::collections::HashMap;

use linux_raw_sys::errno::ENOSYS;
use linux_raw_sys::ptrace::{
    SECCOMP_RET_ACTION_FULL, SECCOMP_RET_KILL_THREAD, SECCOMP_RET_LOG, SECCOMP_RET_TRACE,
    SECCOMP_RET_TRAP, SECCOMP_RET_USER_NOTIF,
};

use super::bpf::{self, ALLOW, ERRNO, KILL_PROCESS, Table};
use super::listener::Listener;
use super::simulator;
use super::syscalls::Arch;
use crate::error::{Result, fail};
use crate::order;
use crate::sys::seccomp::Flags;

pub use super::bpf::{Condition, Is};

/// The action for a system call (SECCOMP_RET_* of seccomp(2)).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    KillProcess,
    KillThread,
    Trap,
    /// The call fails with this errno.
    Errno(u16),
    /// An agent outside the container decides (seccomp_unotify(2)).
    Notify,
    /// A tracer decides, and gets this number (ptrace(2), PTRACE_EVENT_SECCOMP).
    Trace(u16),
    Log,
    Allow,
}

impl Action {
    /// The return value of the filter for this action.
    fn value(self) -> u32 {
        match self {
            Action::KillProcess => KILL_PROCESS,
            Action::KillThread => SECCOMP_RET_KILL_THREAD,
            Action::Trap => SECCOMP_RET_TRAP,
            Action::Errno(errno) => ERRNO | u32::from(errno),
            Action::Notify => SECCOMP_RET_USER_NOTIF,
            Action::Trace(number) => SECCOMP_RET_TRACE | u32::from(number),
            Action::Log => SECCOMP_RET_LOG,
            Action::Allow => ALLOW,
        }
    }
}

/// The action for system calls with these names, if all conditions are true. If two conditions are
/// about the same argument, any one true condition of the rule is enough.
pub struct Rule {
    pub names: Vec<String>,
    pub conditions: Vec<Condition>,
    pub action: Action,
}

/// A filter as the user describes it.
pub struct Rules {
    /// The action for calls to which no rule applies.
    pub default: Action,
    pub rules: Vec<Rule>,
    /// The architectures whose programs may run, in addition to the machine's own.
    pub architectures: Vec<Arch>,
    pub flags: Flags,
    /// The agent that decides the calls with `Action::Notify`.
    pub listener: Option<Listener>,
}

/// A compiled filter.
#[derive(Clone)]
pub struct Filter {
    pub program: Vec<bpf::Instruction>,
    pub flags: Flags,
    pub listener: Option<Listener>,
}

impl Rules {
    /// Compiles the filter for this machine. Fails if the program is longer than the kernel
    /// accepts, or if the rules, the flags and the listener do not fit together.
    pub fn compile(self) -> Result<Filter> {
        let Rules { default, rules, architectures, mut flags, listener } = self;
        let notifies = [default].into_iter().chain(rules.iter().map(|rule| rule.action));
        let notifies = notifies.into_iter().any(|action| action == Action::Notify);
        let mut by_name: HashMap<&str, Vec<&Rule>> = HashMap::new();
        // Drop rules with the default action, as runc does, so that they do not contradict other
        // rules.
        for rule in rules.iter().filter(|rule| rule.action != default) {
            for name in &rule.names {
                by_name.entry(name).or_default().push(rule);
            }
        }
        let family = Arch::family(std::env::consts::ARCH);
        let tables = family.iter().enumerate().filter_map(|(at, arch)| {
            // The machine's own architecture is always included, as in libseccomp.
            if at == 0 || architectures.contains(arch) {
                Some(table(*arch, &by_name, default.value()))
            } else {
                // Without this table, x32's calls would count as unknown calls of x86_64.
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
        // Without an action NOTIFY the listener is ignored, as in runc.
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

/// Whether the filter allows or logs the call `name` with arguments of 0, on the machine's own
/// architecture.
fn allows(program: &[bpf::Instruction], name: &str) -> bool {
    let native = Arch::family(std::env::consts::ARCH).first();
    native.is_some_and(|native| {
        let number = native.calls().find(|(_, known)| *known == name).map(|(number, _)| number);
        let call = |number| simulator::Call { arch: native.audit(), number, arguments: [0; 6] };
        number.is_some_and(|number| {
            [ALLOW, SECCOMP_RET_LOG].contains(&simulator::run(program, &call(number)).0)
        })
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
    order::sort_by_key(&mut calls, |(number, _)| *number);
    // If the default action is an errno, a call that is newer than the list in `syscalls` fails
    // with ENOSYS, as in runc, so that libraries use an older call.
    let is_errno = default & SECCOMP_RET_ACTION_FULL == ERRNO;
    let unknown = if is_errno { ERRNO | ENOSYS } else { default };
    Table { arch, calls, unknown: vec![bpf::Rule::always(unknown)], shared_below: 0 }
}

fn killed_x32() -> Table {
    let killed = vec![bpf::Rule::always(KILL_PROCESS)];
    let first = Arch::X32.calls().map(|(number, _)| number).min().unwrap_or_default();
    Table {
        arch: Arch::X32,
        calls: vec![(first, killed.clone())],
        unknown: killed,
        shared_below: 0,
    }
}

fn verdict(arch: Arch, name: &str, entries: &[&Rule], default: u32) -> bpf::Verdict {
    let always = entries.iter().find(|entry| entry.conditions.is_empty());
    // The kernel compares the upper half of actions as signed numbers. The lower number is the
    // stricter action.
    let rank = |action: u32| (action & SECCOMP_RET_ACTION_FULL) as i32;
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
        // If two conditions are about the same argument, all conditions are alternatives, as in
        // runc.
        if conditions.iter().any(twice) {
            verdict.extend(conditions.into_iter().map(|condition| rule(vec![condition])));
        } else {
            verdict.push(rule(conditions));
        }
    }
    verdict.push(bpf::Rule::always(always.map_or(default, |always| always.action.value())));
    verdict
}

/// Whether only the low 32 bits of the argument are compared: for each argument on i386 and arm,
/// and for the arguments in the list below. The kernel ignores the upper bits of an int argument,
/// so a program could evade a comparison of all 64 bits. Int arguments that are not in the list are
/// compared as 64 bits.
fn is_narrow(arch: Arch, name: &str, argument: u8) -> bool {
    matches!(arch, Arch::I386 | Arch::Arm)
        || matches!(
            (name, argument),
            ("socket" | "socketpair", 0..=2)
                | ("clone" | "unshare" | "personality" | "prctl" | "socketcall" | "ipc" | "bpf", 0)
                | ("ioctl" | "fcntl" | "keyctl" | "setns", 0 | 1)
        )
}
