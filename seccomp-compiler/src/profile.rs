//! Reads `default.profile`, the default seccomp profile, and turns it into verdicts per
//! architecture and call. The text format is described in the comment at the profile's top.
//! mydocker's build.rs compiles the verdicts to BPF, and mydocker's unit tests check the result.
//! The binary contains nothing of this file. mydocker's `seccomp_profile` reads user profiles in
//! Docker's JSON format.

use linux_raw_sys::errno::{EINVAL, ENOSYS, EPERM};

use crate::bpf::{ALLOW, Condition, ERRNO, Is, Rule, Table, Verdict};
use crate::capabilities;
use crate::syscalls::{self, Arch, X32_FIRST_OWN};

/// The text of the default profile.
pub const TEXT: &str = include_str!("default.profile");

/// A rule and the names of the calls that it applies to.
pub struct Group {
    pub rule: Rule,
    pub names: Vec<String>,
}

/// Parses the profile. An error starts with the number of the line.
pub fn parse(text: &str) -> Result<Vec<Group>, String> {
    let mut groups: Vec<Group> = Vec::new();
    for (at, line) in text.lines().enumerate() {
        let wrong = |what: &str| format!("line {}: {what}: {line}", at + 1);
        let content = line.split('#').next().unwrap_or_default();
        if content.trim().is_empty() {
            continue;
        }
        if !content.starts_with(' ') {
            let rule = rule(content).map_err(|error| wrong(&error))?;
            groups.push(Group { rule, names: Vec::new() });
            continue;
        }
        let group = groups.last_mut().ok_or_else(|| wrong("names without an action"))?;
        for name in content.split_whitespace() {
            if !syscalls::exists(name) {
                return Err(wrong(&format!("no system call is named '{name}'")));
            }
            group.names.push(name.to_owned());
        }
    }
    Ok(groups)
}

fn rule(line: &str) -> Result<Rule, String> {
    let (head, conditions) = line.split_once(" if ").unwrap_or((line, ""));
    let (action, with) = head.split_once(" with ").unwrap_or((head, ""));
    let action = match action.trim() {
        "allow" => ALLOW,
        "EPERM" => ERRNO | EPERM,
        "EINVAL" => ERRNO | EINVAL,
        "ENOSYS" => ERRNO | ENOSYS,
        other => return Err(format!("unknown action '{other}'")),
    };
    let mut held = 0;
    for name in with.split_whitespace() {
        let bit = capabilities::bit(name);
        held |= bit.ok_or_else(|| format!("unknown capability '{name}'"))?;
    }
    let conditions = conditions.split(" and ").filter(|text| !text.trim().is_empty());
    let conditions = conditions.map(condition).collect::<Result<_, _>>()?;
    Ok(Rule { capabilities: held, conditions, action })
}

/// Parses `ARG is N [N…]` or `ARG & MASK is N [N…]`.
fn condition(text: &str) -> Result<Condition, String> {
    let wrong = || format!("bad condition '{}'", text.trim());
    let (left, values) = text.split_once(" is ").ok_or_else(wrong)?;
    let (argument, mask) = match left.split_once('&') {
        Some((argument, mask)) => (argument, number(mask).ok_or_else(wrong)?),
        None => (left, u64::from(u32::MAX)),
    };
    let argument = argument.trim().strip_prefix("arg").and_then(|digit| digit.parse().ok());
    let argument = argument.filter(|argument| *argument < 6).ok_or_else(wrong)?;
    let values: Option<Vec<u64>> = values.split_whitespace().map(number).collect();
    let values = values.filter(|values| (1..=5).contains(&values.len())).ok_or_else(wrong)?;
    Ok(Condition { argument, mask, is: Is::Equal, values, low: true })
}

fn number(text: &str) -> Option<u64> {
    let text = text.trim();
    match text.strip_prefix("0x") {
        Some(digits) => u32::from_str_radix(digits, 16).ok().map(u64::from),
        None => text.parse::<u32>().ok().map(u64::from),
    }
}

/// The tables of verdicts, one for each architecture of `family`.
pub fn tables(groups: &[Group], family: &[Arch]) -> Vec<Table> {
    let table = |arch: &Arch| {
        let mut calls: Vec<(u32, Verdict)> =
            arch.calls().map(|(number, name)| (number, verdict(groups, name))).collect();
        calls.sort_by_key(|(number, _)| *number);
        // Below `X32_FIRST_OWN`, x32 has the same call as x86_64, or the kernel itself returns
        // ENOSYS. So x32 can use the verdicts of x86_64, which makes the program shorter.
        let shared_below = if *arch == Arch::X32 { X32_FIRST_OWN } else { 0 };
        calls.retain(|(number, _)| *number >= shared_below);
        Table { arch: *arch, calls, unknown: vec![Rule::always(ERRNO | ENOSYS)], shared_below }
    };
    family.iter().map(table).collect()
}

/// Applies or drops the rules that depend on a capability, for a process with the capabilities
/// `held`. If neighbouring numbers then have the same verdict, `bpf::compile` merges their ranges.
pub fn settle(tables: &mut [Table], held: u64) {
    let settle = |verdict: &mut Verdict| {
        verdict.retain(|rule| rule.capabilities == 0 || rule.capabilities & held != 0);
        let last = verdict.iter().position(|rule| rule.conditions.is_empty());
        verdict.truncate(last.map_or(verdict.len(), |last| last + 1));
        verdict.iter_mut().for_each(|rule| rule.capabilities = 0);
    };
    for table in tables {
        table.calls.iter_mut().for_each(|(_, verdict)| settle(verdict));
        settle(&mut table.unknown);
    }
}

/// The rules for one call, up to the first rule that always applies. If none does, EPERM is last.
fn verdict(groups: &[Group], name: &str) -> Verdict {
    let mut verdict = Verdict::new();
    for group in groups.iter().filter(|group| group.names.iter().any(|known| known == name)) {
        let rule = group.rule.clone();
        let last = rule.capabilities == 0 && rule.conditions.is_empty();
        verdict.push(rule);
        if last {
            return verdict;
        }
    }
    verdict.push(Rule::always(ERRNO | EPERM));
    verdict
}
