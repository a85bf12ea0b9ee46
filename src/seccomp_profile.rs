//! Reads a seccomp profile in JSON: `linux.seccomp` of the OCI runtime specification, or the file
//! of `--security-opt seccomp=FILE` with the fields that Docker adds (`archMap`, `includes`,
//! `excludes`, `name`). `runtime::seccomp::filter` compiles the resulting rules.

use linux_raw_sys::errno::EPERM;

use crate::error::{Result, fail};
use crate::json::{self, Node};
use crate::runtime::capabilities::names;
use crate::runtime::seccomp::filter::{Action, Condition, Filter, Is, Rule, Rules};
use crate::runtime::seccomp::listener::Listener;
use crate::runtime::seccomp::syscalls::Arch;
use crate::sys::seccomp::Flags;

/// The maximum size of a profile's file in bytes. Docker's default profile is far smaller.
pub const MAX_PROFILE: u64 = 1 << 20;
/// The maximum number of entries in each list of a profile.
const MAX_ENTRIES: usize = 4096;
/// The maximum size of `listenerMetadata` in bytes.
const MAX_METADATA: usize = 64 << 10;

/// The kernel's MAX_ERRNO: a filter can return no larger errno.
const MAX_ERRNO: u64 = 4095;

/// Architectures that a kernel for x86-64 or AArch64 does not have. These names in `architectures`
/// are ignored.
const FOREIGN: [&str; 17] = [
    "MIPS",
    "MIPS64",
    "MIPS64N32",
    "MIPSEL",
    "MIPSEL64",
    "MIPSEL64N32",
    "PPC",
    "PPC64",
    "PPC64LE",
    "S390",
    "S390X",
    "PARISC",
    "PARISC64",
    "RISCV64",
    "LOONGARCH64",
    "M68K",
    "SH",
];

/// Parses a profile in Docker's format, for a container with these capabilities.
pub fn of_file(text: &str, capabilities: u64) -> Result<Filter> {
    let value = json::parse("seccomp profile", text.as_bytes())?;
    parse(&Node::root("seccomp profile", &value), capabilities)
}

/// Parses `profile` for a container with these capabilities. An error about a single field names
/// the field.
pub fn parse(profile: &Node<'_>, capabilities: u64) -> Result<Filter> {
    let default = action(profile, "defaultAction", "defaultErrnoRet")?;
    let rules = profile.list("syscalls", MAX_ENTRIES, |call| rule(call, capabilities))?;
    let rules = rules.into_iter().flatten().collect();
    let (architectures, flags) = (architectures(profile)?, flags(profile)?);
    let listener = listener(profile)?;
    Rules { default, rules, architectures, flags, listener }.compile()
}

fn flags(profile: &Node<'_>) -> Result<Flags> {
    let flags = profile.list("flags", MAX_ENTRIES, |flag| {
        let name = flag.string()?;
        Ok(match name.strip_prefix("SECCOMP_FILTER_FLAG_") {
            // The process that installs the filter has one thread, so there is nothing to
            // synchronise.
            Some("TSYNC") => Flags::default(),
            Some("LOG") => Flags::LOG,
            Some("SPEC_ALLOW") => Flags::SPEC_ALLOW,
            Some("WAIT_KILLABLE_RECV") => Flags::WAIT_KILLABLE_RECV,
            _ => fail!("{} '{name}' is not a flag that seccomp(2) has", flag.path()),
        })
    })?;
    Ok(flags.into_iter().fold(Flags::default(), Flags::with))
}

fn listener(profile: &Node<'_>) -> Result<Option<Listener>> {
    let (path, metadata) = (profile.text("listenerPath")?, profile.text("listenerMetadata")?);
    if path.is_empty() && !metadata.is_empty() {
        fail!("{}.listenerMetadata needs listenerPath too", profile.path());
    }
    if metadata.len() > MAX_METADATA {
        fail!("{}.listenerMetadata has more than {MAX_METADATA} bytes", profile.path());
    }
    Ok((!path.is_empty()).then(|| Listener { path, metadata, ..Listener::default() }))
}

/// Parses an entry of `syscalls`; `None` if the entry does not apply to this container or host.
fn rule(call: &Node<'_>, capabilities: u64) -> Result<Option<Rule>> {
    let mut names = call.texts("names", MAX_ENTRIES)?.unwrap_or_default();
    match (call.text("name")?, names.is_empty()) {
        (name, true) if !name.is_empty() => names.push(name),
        (name, false) if !name.is_empty() => fail!("{} has both 'name' and 'names'", call.path()),
        (_, true) => fail!("{} has no field 'names' with the name of a call", call.path()),
        _ => {}
    }
    let action = action(call, "action", "errnoRet")?;
    let conditions = call.list("args", MAX_ENTRIES, condition)?;
    let holds = match call.get("includes")? {
        Some(includes) => matches(&includes, capabilities)?.all(),
        None => true,
    };
    let barred = match call.get("excludes")? {
        Some(excludes) => matches(&excludes, capabilities)?.any(),
        None => false,
    };
    Ok((holds && !barred).then_some(Rule { names, conditions, action }))
}

/// Whether each condition of `includes` or `excludes` holds; `None` for a missing or empty
/// condition.
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

fn action(node: &Node<'_>, name: &str, errno: &str) -> Result<Action> {
    let given = node.get(errno)?.map(|errno| errno.unsigned()).transpose()?;
    let number = given.unwrap_or(EPERM.into());
    if number > MAX_ERRNO {
        fail!("{}.{errno} {number} is more than {MAX_ERRNO}", node.path());
    }
    let needed = node.need(name)?;
    let text = needed.string()?;
    let action = match text.strip_prefix("SCMP_ACT_") {
        Some("ALLOW") => Action::Allow,
        // `number` is at most MAX_ERRNO, so the cast keeps its value.
        Some("ERRNO") => return Ok(Action::Errno(number as u16)),
        Some("KILL" | "KILL_THREAD") => Action::KillThread,
        Some("KILL_PROCESS") => Action::KillProcess,
        Some("TRAP") => Action::Trap,
        Some("TRACE") => return Ok(Action::Trace(number as u16)),
        Some("LOG") => Action::Log,
        Some("NOTIFY") => Action::Notify,
        _ => fail!("{} has the unknown action '{text}'", needed.path()),
    };
    if given.is_some() {
        fail!(
            "{}.{errno} can't go with {text}: only SCMP_ACT_ERRNO and SCMP_ACT_TRACE have a number",
            node.path()
        );
    }
    Ok(action)
}

fn condition(argument: &Node<'_>) -> Result<Condition> {
    let number = |name: &str| argument.get(name)?.map_or(Ok(0), |number| number.unsigned());
    let (value, second) = (number("value")?, number("valueTwo")?);
    let index = match number("index")? {
        index @ 0..=5 => index as u8,
        _ => return Err(argument.need("index")?.wrong("from 0 to 5")),
    };
    let op = argument.need("op")?;
    let (is, mask, value) = match op.string()?.as_str() {
        "SCMP_CMP_EQ" => (Is::Equal, u64::MAX, value),
        "SCMP_CMP_NE" => (Is::NotEqual, u64::MAX, value),
        "SCMP_CMP_LT" => (Is::Less, u64::MAX, value),
        "SCMP_CMP_LE" => (Is::AtMost, u64::MAX, value),
        "SCMP_CMP_GT" => (Is::Greater, u64::MAX, value),
        "SCMP_CMP_GE" => (Is::AtLeast, u64::MAX, value),
        "SCMP_CMP_MASKED_EQ" => (Is::Equal, value, second),
        other => fail!("{} has the unknown comparison '{other}'", op.path()),
    };
    Ok(Condition { argument: index, mask, is, values: vec![value], low: false })
}

/// The architectures that `architectures` lists, and the sub-architectures that `archMap` has for
/// the native architecture.
fn architectures(profile: &Node<'_>) -> Result<Vec<Arch>> {
    let known = |name: &str| {
        Some(match name.strip_prefix("SCMP_ARCH_")? {
            "X86_64" => Arch::X86_64,
            "X32" => Arch::X32,
            "X86" => Arch::I386,
            "AARCH64" => Arch::Aarch64,
            "ARM" => Arch::Arm,
            _ => return None,
        })
    };
    let mut listed = Vec::new();
    profile.list("architectures", MAX_ENTRIES, |node| {
        let name = node.string()?;
        let foreign = name.strip_prefix("SCMP_ARCH_").is_some_and(|name| FOREIGN.contains(&name));
        match known(&name) {
            Some(arch) => listed.push(arch),
            None if foreign => {}
            None => fail!("{} '{name}' is not an architecture", node.path()),
        }
        Ok(())
    })?;
    let native = Arch::family(std::env::consts::ARCH).first();
    profile.list("archMap", MAX_ENTRIES, |entry| {
        let below = entry.texts("subArchitectures", MAX_ENTRIES)?.unwrap_or_default();
        if known(&entry.text("architecture")?).as_ref() == native {
            listed.extend(below.iter().filter_map(|name| known(name)));
        }
        Ok(())
    })?;
    Ok(listed)
}

#[cfg(test)]
mod tests {
    use linux_raw_sys::errno::ENOSYS;

    use super::*;
    use crate::runtime::capabilities;
    use crate::runtime::seccomp::bpf::{ALLOW, ERRNO, KILL_PROCESS};
    use crate::runtime::seccomp::simulator::{Call, run};

    fn compile(
        text: &str,
        capabilities: u64,
    ) -> Result<Vec<crate::runtime::seccomp::bpf::Instruction>> {
        Ok(of_file(text, capabilities)?.program)
    }

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
    fn arguments_of_type_int_are_compared_by_32_bits() {
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
    fn errors_actions_and_unknown_calls() {
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
    fn a_denied_call_is_denied_on_every_architecture() {
        let text = profile("ALLOW", r#"{"names":["mount"],"action":"SCMP_ACT_ERRNO"}"#);
        assert_eq!(ask(&text, native(), "mount", [0; 6]), ERRNO | 1);
        assert_eq!(ask(&text, native(), "read", [0; 6]), ALLOW);
        // Call by the numbers of architectures that the profile does not list.
        for arch in &Arch::family(std::env::consts::ARCH)[1..] {
            assert_eq!(ask(&text, *arch, "mount", [0; 6]), KILL_PROCESS, "{arch:?}");
        }
        let both = r#"{"names":["mount"],"action":"SCMP_ACT_ERRNO"},
            {"names":["mount"],"action":"SCMP_ACT_ALLOW",
             "args":[{"index":0,"value":1,"op":"SCMP_CMP_EQ"}]}"#;
        assert_eq!(ask(&profile("TRAP", both), native(), "mount", [1, 0, 0, 0, 0, 0]), ERRNO | 1);
    }

    #[test]
    fn an_agent_decides_the_calls_with_act_notify() {
        let text = r#"{"defaultAction":"SCMP_ACT_ALLOW","listenerPath":"/run/agent","listenerMetadata":"m",
            "flags":["SECCOMP_FILTER_FLAG_LOG","SECCOMP_FILTER_FLAG_TSYNC"],
            "architectures":["SCMP_ARCH_S390X"],
            "syscalls":[{"names":["mkdir","mkdirat"],"action":"SCMP_ACT_NOTIFY"},
                        {"names":["kill"],"action":"SCMP_ACT_KILL_THREAD"},
                        {"names":["tkill"],"action":"SCMP_ACT_TRAP"}]}"#;
        let filter = of_file(text, 0).unwrap();
        assert_eq!(filter.flags, Flags::LOG.with(Flags::NEW_LISTENER));
        let listener = filter.listener.unwrap();
        assert_eq!((listener.path.as_str(), listener.metadata.as_str()), ("/run/agent", "m"));
        assert_eq!(ask(text, native(), "mkdirat", [0; 6]), 0x7fc0_0000);
        assert_eq!(ask(text, native(), "kill", [0; 6]), 0);
        assert_eq!(ask(text, native(), "tkill", [0; 6]), 0x0003_0000);
        // If no action is SCMP_ACT_NOTIFY, the listener is ignored.
        let text = r#"{"defaultAction":"SCMP_ACT_ALLOW","listenerPath":"/run/agent"}"#;
        let filter = of_file(text, 0).unwrap();
        assert!(filter.listener.is_none() && filter.flags == Flags::default());
    }

    #[test]
    fn an_error_names_the_mistake() {
        for (text, part) in [
            ("{", "not valid JSON"),
            ("{}", "no field 'defaultAction'"),
            (r#"{"defaultAction":"SCMP_ACT_MAYBE"}"#, "'SCMP_ACT_MAYBE'"),
            (&profile("ALLOW", r#"{"names":["read"]}"#), "syscalls[0] has no field 'action'"),
            (&profile("NOTIFY", ""), "no listenerPath"),
            (
                r#"{"defaultAction":"SCMP_ACT_NOTIFY","listenerPath":"/run/agent"}"#,
                "must allow sendmsg",
            ),
            (r#"{"defaultAction":"SCMP_ACT_LOG","listenerMetadata":"x"}"#, "needs listenerPath"),
            (
                r#"{"defaultAction":"SCMP_ACT_LOG","flags":["SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV"]}"#,
                "needs an action SCMP_ACT_NOTIFY",
            ),
            (r#"{"defaultAction":"SCMP_ACT_LOG","flags":["FAST"]}"#, "flags[0] 'FAST'"),
            (r#"{"defaultAction":"SCMP_ACT_LOG","architectures":["SCMP_ARCH_VAX"]}"#, "VAX"),
            (
                r#"{"defaultAction":"SCMP_ACT_ALLOW","defaultErrnoRet":1}"#,
                "defaultErrnoRet can't go",
            ),
            (&profile("ALLOW", r#"{"names":[],"action":"SCMP_ACT_TRAP"}"#), "syscalls[0] has no"),
            (
                &profile(
                    "ALLOW",
                    r#"{"names":["a"],"action":"SCMP_ACT_TRAP","args":[
                {"index":6,"value":1,"op":"SCMP_CMP_EQ"}]}"#,
                ),
                "args[0].index should be from 0 to 5",
            ),
            (
                &profile(
                    "ALLOW",
                    r#"{"names":["a"],"action":"SCMP_ACT_TRAP","args":[
                {"index":5,"value":1,"op":"SCMP_CMP_X"}]}"#,
                ),
                "syscalls[0].args[0].op has the unknown comparison 'SCMP_CMP_X'",
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
