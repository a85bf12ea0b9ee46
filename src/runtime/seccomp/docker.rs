//! A profile in Docker's JSON format (`--security-opt seccomp=FILE`), which the OCI runtime
//! specification's is a part of, compiled when the container starts.
//!
//! It means what runc and libseccomp make of it, but where they are lax it is taken strictly:
//! arguments that are ints to the kernel are compared as such, and a rule with conditions stands
//! beside one without if it is the stricter. `flags` are passed over: they log, or lift mitigations.

use std::collections::HashMap;

use super::bpf::{self, ALLOW, Condition, ERRNO, Instruction, Is, KILL_PROCESS, Rule, Table};
use super::syscalls::Arch;
use crate::error::{Error, Result, fail};
use crate::json::{self, Node};
use crate::runtime::capabilities::names;

/// Bytes of the longest profile that is read; Docker's own has 16 kB.
pub const MAX_PROFILE: u64 = 1 << 20;
/// Entries of any list in it.
const MAX_ENTRIES: usize = 4096;

const EPERM: u64 = 1;
const ENOSYS: u32 = 38;
/// The kernel's MAX_ERRNO.
const MAX_ERRNO: u64 = 4095;

/// What a call's entry says once everything about this host and container is known.
struct Entry {
    names: Vec<String>,
    conditions: Vec<Condition>,
    action: u32,
}

/// The filter that `text` describes, for a container with these capabilities.
pub fn compile(text: &str, capabilities: u64) -> Result<Vec<Instruction>> {
    let value = json::parse("seccomp profile", text.as_bytes())?;
    let profile = Node::root("seccomp profile", &value);
    let default = action(&profile, "defaultAction", "defaultErrnoRet")?;
    let mut entries = Vec::new();
    if let Some(calls) = profile.get("syscalls")? {
        let read = calls.each(MAX_ENTRIES, |call| entry(call, capabilities))?;
        // libseccomp drops what says no more than the default, so that it can't contradict.
        entries.extend(read.into_iter().flatten().filter(|entry| entry.action != default));
    }
    let mut by_name: HashMap<&str, Vec<&Entry>> = HashMap::new();
    for entry in &entries {
        for name in &entry.names {
            by_name.entry(name).or_default().push(entry);
        }
    }
    let listed = architectures(&profile)?;
    let family = Arch::family(std::env::consts::ARCH);
    let tables: Vec<Table> = family
        .iter()
        .enumerate()
        .filter_map(|(at, arch)| {
            // The native architecture is always there, as libseccomp has it.
            if at == 0 || listed.contains(arch) {
                Some(table(*arch, &by_name, default))
            } else {
                // Without this, x32's calls would be unknown ones of x86_64.
                (*arch == Arch::X32).then(killed_x32)
            }
        })
        .collect();
    let code = bpf::compile(&tables);
    if code.instructions.len() > bpf::MAX_INSTRUCTIONS {
        fail!(
            "the seccomp profile makes a program of {} instructions; the kernel takes {}",
            code.instructions.len(),
            bpf::MAX_INSTRUCTIONS
        );
    }
    Ok(code.instructions)
}

fn table(arch: Arch, by_name: &HashMap<&str, Vec<&Entry>>, default: u32) -> Table {
    let mut calls: Vec<_> = arch
        .calls()
        .map(|(number, name)| {
            let entries = by_name.get(name).map(Vec::as_slice).unwrap_or_default();
            (number, verdict(arch, name, entries, default))
        })
        .collect();
    calls.sort_by_key(|(number, _)| *number);
    // A call from after the profile's time: refused as one that the kernel doesn't have, so that
    // libraries fall back (runc does so too).
    let is_errno = default & 0xffff_0000 == ERRNO;
    let unknown = if is_errno { ERRNO | ENOSYS } else { default };
    Table { arch, calls, unknown: vec![Rule::always(unknown)] }
}

fn killed_x32() -> Table {
    let killed = vec![Rule::always(KILL_PROCESS)];
    let first = Arch::X32.calls().map(|(number, _)| number).min().unwrap_or_default();
    Table { arch: Arch::X32, calls: vec![(first, killed.clone())], unknown: killed }
}

fn verdict(arch: Arch, name: &str, entries: &[&Entry], default: u32) -> bpf::Verdict {
    let always = entries.iter().find(|entry| entry.conditions.is_empty());
    // As the kernel ranks them: the action's upper half as a signed number, lower is stricter.
    let rank = |action: u32| (action & 0xffff_0000) as i32;
    let mut verdict = bpf::Verdict::new();
    for entry in entries.iter().filter(|entry| !entry.conditions.is_empty()) {
        if always.is_some_and(|always| rank(entry.action) >= rank(always.action)) {
            continue;
        }
        let narrow = |condition: &Condition| Condition {
            low: condition.low || is_narrow(arch, name, condition.argument),
            ..condition.clone()
        };
        let conditions: Vec<Condition> = entry.conditions.iter().map(narrow).collect();
        let rule = |conditions| Rule { capabilities: 0, conditions, action: entry.action };
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
    verdict.push(Rule::always(always.map_or(default, |always| always.action)));
    verdict
}

/// Whether the kernel takes only the low 32 bits of an argument: a comparison of all 64 could be
/// led astray by setting the others.
fn is_narrow(arch: Arch, name: &str, argument: u8) -> bool {
    matches!(arch, Arch::I386 | Arch::Arm)
        || matches!(
            (name, argument),
            ("socket" | "socketpair", 0..=2)
                | ("clone" | "unshare" | "personality" | "prctl" | "socketcall" | "ipc", 0)
                | ("ioctl" | "fcntl" | "keyctl" | "bpf" | "setns", 0 | 1)
        )
}

/// `None` if the entry isn't for this container or host.
fn entry(call: &Node<'_>, capabilities: u64) -> Result<Option<Entry>> {
    let mut names = call.texts("names", MAX_ENTRIES)?.unwrap_or_default();
    match (call.text("name")?, names.is_empty()) {
        (name, true) if !name.is_empty() => names.push(name),
        (name, false) if !name.is_empty() => fail!("seccomp profile: both 'name' and 'names'"),
        _ => {}
    }
    let action = action(call, "action", "errnoRet")?;
    let conditions = match call.get("args")? {
        Some(arguments) => arguments.each(MAX_ENTRIES, condition)?,
        None => Vec::new(),
    };
    let holds = match call.get("includes")? {
        Some(includes) => matches(&includes, capabilities)?.all(),
        None => true,
    };
    let barred = match call.get("excludes")? {
        Some(excludes) => matches(&excludes, capabilities)?.any(),
        None => false,
    };
    Ok((holds && !barred).then_some(Entry { names, conditions, action }))
}

/// How the parts of `includes` or `excludes` apply; `None` if they aren't there.
struct Applies {
    all_capabilities: Option<bool>,
    any_capability: Option<bool>,
    arch: Option<bool>,
    kernel: Option<bool>,
}

impl Applies {
    fn all(&self) -> bool {
        [self.all_capabilities, self.arch, self.kernel].into_iter().flatten().all(|holds| holds)
    }

    fn any(&self) -> bool {
        [self.any_capability, self.arch, self.kernel].into_iter().flatten().any(|holds| holds)
    }
}

fn matches(filter: &Node<'_>, capabilities: u64) -> Result<Applies> {
    let held = |name: &String| names::bit(name).is_some_and(|bit| capabilities & bit != 0);
    let caps = filter.texts("caps", MAX_ENTRIES)?.filter(|caps| !caps.is_empty());
    let arches = filter.texts("arches", MAX_ENTRIES)?.filter(|arches| !arches.is_empty());
    let native = match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    };
    let kernel = filter.text("minKernel")?;
    Ok(Applies {
        all_capabilities: caps.as_ref().map(|caps| caps.iter().all(held)),
        any_capability: caps.as_ref().map(|caps| caps.iter().any(held)),
        arch: arches.map(|arches| arches.iter().any(|arch| arch == native)),
        kernel: if kernel.is_empty() { None } else { Some(running_kernel() >= version(&kernel)?) },
    })
}

fn running_kernel() -> (u32, u32) {
    let release = rustix::system::uname().release().to_string_lossy().into_owned();
    let mut numbers = release.split(|c: char| !c.is_ascii_digit()).map(|part| part.parse().ok());
    let mut next = || numbers.next().flatten().unwrap_or(0);
    (next(), next())
}

fn version(text: &str) -> Result<(u32, u32)> {
    let (major, minor) = text.split_once('.').unwrap_or((text, "0"));
    match (major.parse(), minor.parse()) {
        (Ok(major), Ok(minor)) => Ok((major, minor)),
        _ => fail!("seccomp profile: minKernel '{text}' is not MAJOR.MINOR"),
    }
}

fn action(node: &Node<'_>, name: &str, errno: &str) -> Result<u32> {
    let value = match node.get(errno)? {
        Some(errno) => errno.unsigned()?,
        None => EPERM,
    };
    if value > MAX_ERRNO {
        fail!("seccomp profile: {errno} {value} is more than {MAX_ERRNO}");
    }
    let action = node.need(name)?.string()?;
    Ok(match action.as_str() {
        "SCMP_ACT_ALLOW" => ALLOW,
        "SCMP_ACT_ERRNO" => ERRNO | value as u32,
        "SCMP_ACT_KILL" | "SCMP_ACT_KILL_THREAD" => 0,
        "SCMP_ACT_KILL_PROCESS" => KILL_PROCESS,
        "SCMP_ACT_TRAP" => 0x0003_0000,
        "SCMP_ACT_TRACE" => 0x7ff0_0000 | value as u32,
        "SCMP_ACT_LOG" => 0x7ffc_0000,
        "SCMP_ACT_NOTIFY" => fail!("seccomp profile: SCMP_ACT_NOTIFY needs an agent; unsupported"),
        other => fail!("seccomp profile: unknown action '{other}'"),
    })
}

fn condition(argument: &Node<'_>) -> Result<Condition> {
    let number = |name: &str| argument.get(name)?.map_or(Ok(0), |number| number.unsigned());
    let (index, value, second) = (number("index")?, number("value")?, number("valueTwo")?);
    let index = u8::try_from(index).ok().filter(|index| *index < 6);
    let index = index.ok_or_else(|| Error::new("seccomp profile: a call has arguments 0 to 5"))?;
    let op = argument.need("op")?.string()?;
    let (is, mask, value) = match op.as_str() {
        "SCMP_CMP_EQ" => (Is::Equal, u64::MAX, value),
        "SCMP_CMP_NE" => (Is::NotEqual, u64::MAX, value),
        "SCMP_CMP_LT" => (Is::Less, u64::MAX, value),
        "SCMP_CMP_LE" => (Is::AtMost, u64::MAX, value),
        "SCMP_CMP_GT" => (Is::Greater, u64::MAX, value),
        "SCMP_CMP_GE" => (Is::AtLeast, u64::MAX, value),
        "SCMP_CMP_MASKED_EQ" => (Is::Equal, value, second),
        other => fail!("seccomp profile: unknown comparison '{other}'"),
    };
    Ok(Condition { argument: index, mask, is, values: vec![value], low: false })
}

/// The architectures that the profile is for, beside the native one.
fn architectures(profile: &Node<'_>) -> Result<Vec<Arch>> {
    let known = |name: &String| match name.strip_prefix("SCMP_ARCH_") {
        Some("X86_64") => Some(Arch::X86_64),
        Some("X32") => Some(Arch::X32),
        Some("X86") => Some(Arch::I386),
        Some("AARCH64") => Some(Arch::Aarch64),
        Some("ARM") => Some(Arch::Arm),
        _ => None,
    };
    let plain = profile.texts("architectures", MAX_ENTRIES)?.unwrap_or_default();
    let mut listed: Vec<Arch> = plain.iter().filter_map(known).collect();
    let native = Arch::family(std::env::consts::ARCH).first();
    if let Some(map) = profile.get("archMap")? {
        map.each(MAX_ENTRIES, |entry| {
            let below = entry.texts("subArchitectures", MAX_ENTRIES)?.unwrap_or_default();
            if known(&entry.text("architecture")?).as_ref() == native {
                listed.extend(below.iter().filter_map(known));
            }
            Ok(())
        })?;
    }
    Ok(listed)
}

#[cfg(test)]
mod tests {
    use super::super::simulator::{Call, run};
    use super::*;
    use crate::runtime::capabilities;

    fn ask(profile: &str, arch: Arch, name: &str, arguments: [u64; 6]) -> u32 {
        let program = compile(profile, capabilities::DEFAULT).unwrap();
        let (number, _) = arch.calls().find(|(_, known)| *known == name).unwrap();
        run(&program, &Call { arch: arch.audit(), number, arguments }).0
    }

    fn native() -> Arch {
        Arch::family(std::env::consts::ARCH)[0]
    }

    fn profile(default: &str, entries: &str) -> String {
        format!(r#"{{"defaultAction":"SCMP_ACT_{default}","syscalls":[{entries}]}}"#)
    }

    #[test]
    fn every_comparison_over_all_64_bits() {
        let big = 5 << 32 | 7;
        let around = [0, 7, 8, big - 1, big, big + 1, 6 << 32, 5 << 32, 4 << 32 | 9, u64::MAX];
        type Compare = fn(u64, u64) -> bool;
        let compares: [(&str, Compare); 6] = [
            ("EQ", |a, b| a == b),
            ("NE", |a, b| a != b),
            ("LT", |a, b| a < b),
            ("LE", |a, b| a <= b),
            ("GT", |a, b| a > b),
            ("GE", |a, b| a >= b),
        ];
        for (op, compare) in compares {
            for value in [7, big] {
                let text = profile(
                    "ERRNO",
                    &format!(
                        r#"{{"names":["lseek"],"action":"SCMP_ACT_ALLOW",
                        "args":[{{"index":1,"value":{value},"op":"SCMP_CMP_{op}"}}]}}"#
                    ),
                );
                for given in around {
                    let verdict = ask(&text, native(), "lseek", [0, given, 0, 0, 0, 0]);
                    let expected = if compare(given, value) { ALLOW } else { ERRNO | 1 };
                    assert_eq!(verdict, expected, "{given:#x} {op} {value:#x}");
                }
            }
        }
        let text = profile(
            "ALLOW",
            r#"{"names":["lseek"],"action":"SCMP_ACT_KILL_PROCESS",
            "args":[{"index":0,"value":4294967299,"valueTwo":4294967298,"op":"SCMP_CMP_MASKED_EQ"},
                    {"index":2,"value":1,"op":"SCMP_CMP_EQ"}]}"#,
        );
        let masked = |first, third| ask(&text, native(), "lseek", [first, 0, third, 0, 0, 0]);
        assert_eq!(masked(1 << 32 | 0xf2, 1), KILL_PROCESS);
        assert_eq!(masked(1 << 32 | 0xf2, 2), ALLOW);
        assert_eq!(masked(0xf2, 1), ALLOW);
        assert_eq!(masked(1 << 32 | 0xf3, 1), ALLOW);
    }

    #[test]
    fn several_conditions_on_one_argument_are_alternatives() {
        let text = profile(
            "ERRNO",
            r#"{"names":["lseek"],"action":"SCMP_ACT_ALLOW","args":[
            {"index":0,"value":3,"op":"SCMP_CMP_EQ"},{"index":0,"value":5,"op":"SCMP_CMP_EQ"}]}"#,
        );
        for (given, allowed) in [(3, true), (4, false), (5, true)] {
            let verdict = ask(&text, native(), "lseek", [given, 0, 0, 0, 0, 0]);
            assert_eq!(verdict == ALLOW, allowed);
        }
    }

    #[test]
    fn ints_are_compared_as_ints() {
        let text = profile(
            "ERRNO",
            r#"{"names":["socket"],"action":"SCMP_ACT_ALLOW","args":[
            {"index":0,"value":40,"op":"SCMP_CMP_NE"}]}"#,
        );
        let socket = |family| ask(&text, native(), "socket", [family, 0, 0, 0, 0, 0]);
        assert_eq!(socket(2), ALLOW);
        assert_eq!(socket(40), ERRNO | 1);
        assert_eq!(socket(1 << 32 | 40), ERRNO | 1);
    }

    #[test]
    fn entries_depend_on_capabilities_architecture_and_kernel() {
        let allows = |filter: &str| {
            let text = profile(
                "ERRNO",
                &format!(r#"{{"names":["mount"],"action":"SCMP_ACT_ALLOW",{filter}}}"#),
            );
            ask(&text, native(), "mount", [0; 6]) == ALLOW
        };
        assert!(allows(r#""includes":{"caps":["CAP_CHOWN"]}"#));
        assert!(!allows(r#""includes":{"caps":["CAP_CHOWN","CAP_SYS_ADMIN"]}"#));
        assert!(!allows(r#""excludes":{"caps":["CAP_SYS_ADMIN","CAP_CHOWN"]}"#));
        assert!(allows(r#""excludes":{"caps":["CAP_SYS_ADMIN"]},"includes":{}"#));
        assert!(allows(r#""includes":{"arches":["amd64","arm64"],"minKernel":"4.8"}"#));
        assert!(!allows(r#""includes":{"arches":["s390x"]}"#));
        assert!(!allows(r#""includes":{"minKernel":"99.1"}"#));
    }

    #[test]
    fn errors_actions_and_calls_from_the_future() {
        let text = r#"{"defaultAction":"SCMP_ACT_ERRNO","defaultErrnoRet":13,"syscalls":[
            {"names":["read","no_such_call"],"action":"SCMP_ACT_ALLOW"},
            {"name":"write","action":"SCMP_ACT_ERRNO","errnoRet":5},
            {"names":["close"],"action":"SCMP_ACT_TRACE","errnoRet":9},
            {"names":["dup"],"action":"SCMP_ACT_LOG"}]}"#;
        let plain = |name| ask(text, native(), name, [0; 6]);
        assert_eq!((plain("read"), plain("write")), (ALLOW, ERRNO | 5));
        assert_eq!((plain("close"), plain("dup")), (0x7ff0_0009, 0x7ffc_0000));
        assert_eq!(plain("fsync"), ERRNO | 13);
        let program = compile(text, 0).unwrap();
        let call = Call { arch: native().audit(), number: 3000, arguments: [0; 6] };
        assert_eq!(run(&program, &call).0, ERRNO | ENOSYS);
    }

    #[test]
    fn a_list_of_denials_has_no_way_round_it() {
        let text = profile("ALLOW", r#"{"names":["mount"],"action":"SCMP_ACT_ERRNO"}"#);
        assert_eq!(ask(&text, native(), "mount", [0; 6]), ERRNO | 1);
        assert_eq!(ask(&text, native(), "read", [0; 6]), ALLOW);
        // By the numbers of architectures that the profile doesn't speak of.
        for arch in &Arch::family(std::env::consts::ARCH)[1..] {
            assert_eq!(ask(&text, *arch, "mount", [0; 6]), KILL_PROCESS, "{arch:?}");
        }
        let both = r#"{"names":["mount"],"action":"SCMP_ACT_ERRNO"},
            {"names":["mount"],"action":"SCMP_ACT_ALLOW",
             "args":[{"index":0,"value":1,"op":"SCMP_CMP_EQ"}]}"#;
        assert_eq!(ask(&profile("TRAP", both), native(), "mount", [1, 0, 0, 0, 0, 0]), ERRNO | 1);
    }

    #[test]
    fn mistakes_are_named() {
        for (text, part) in [
            ("{", "not valid JSON"),
            ("{}", "no field 'defaultAction'"),
            (r#"{"defaultAction":"SCMP_ACT_MAYBE"}"#, "'SCMP_ACT_MAYBE'"),
            (&profile("ALLOW", r#"{"names":["read"]}"#), "syscalls[0] has no field 'action'"),
            (&profile("NOTIFY", ""), "SCMP_ACT_NOTIFY"),
            (
                &profile(
                    "ALLOW",
                    r#"{"names":["a"],"action":"SCMP_ACT_TRAP","args":[
                {"index":6,"value":1,"op":"SCMP_CMP_EQ"}]}"#,
                ),
                "arguments 0 to 5",
            ),
            (
                &profile("ALLOW", r#"{"names":["a"],"action":"SCMP_ACT_TRAP","errnoRet":5000}"#),
                "5000",
            ),
        ] {
            let error = compile(text, 0).map(|_| ()).unwrap_err().to_string();
            assert!(error.contains(part), "{text}: {error}");
        }
    }
}
