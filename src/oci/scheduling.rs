//! Reads `scheduler`, `ioPriority` and `execCPUAffinity` of `process` (config.md), and
//! `memoryPolicy` and `personality` of `linux` (config-linux.md). The constants are from
//! linux/sched.h, linux/ioprio.h, linux/mempolicy.h and linux/personality.h.

use linux_raw_sys::general::{
    SCHED_BATCH, SCHED_DEADLINE, SCHED_FIFO, SCHED_FLAG_DL_OVERRUN, SCHED_FLAG_KEEP_PARAMS,
    SCHED_FLAG_KEEP_POLICY, SCHED_FLAG_RECLAIM, SCHED_FLAG_RESET_ON_FORK,
    SCHED_FLAG_UTIL_CLAMP_MAX, SCHED_FLAG_UTIL_CLAMP_MIN, SCHED_IDLE, SCHED_NORMAL, SCHED_RR,
};

use super::field::{MAX_ENTRIES, one_of};
use crate::error::Result;
use crate::json::Node;
use crate::order;
use crate::runtime::spec::{Scheduler, Scheduling};

/// The modes of a memory policy; each is at the index of its number.
pub const MEMORY_MODES: [&str; 7] = [
    "MPOL_DEFAULT",
    "MPOL_PREFERRED",
    "MPOL_BIND",
    "MPOL_INTERLEAVE",
    "MPOL_LOCAL",
    "MPOL_PREFERRED_MANY",
    "MPOL_WEIGHTED_INTERLEAVE",
];
/// The flags of a memory policy: the first is bit 13, the next bit 14, and so on.
pub const MEMORY_FLAGS: [&str; 3] =
    ["MPOL_F_NUMA_BALANCING", "MPOL_F_RELATIVE_NODES", "MPOL_F_STATIC_NODES"];
/// The highest NUMA node that a kernel can be built for.
const MAX_NODE: u32 = 1023;
/// The highest CPU number that is passed to sched_setaffinity(2).
const MAX_CPU: u32 = 1023;

/// Reads `scheduler` and `ioPriority` of `process`. An error names the field.
pub fn of_process(process: &Node<'_>) -> Result<Scheduling> {
    Ok(Scheduling {
        scheduler: process.get("scheduler")?.map(|node| scheduler(&node)).transpose()?,
        io_priority: process.get("ioPriority")?.map(|node| io_priority(&node)).transpose()?,
        ..Scheduling::default()
    })
}

/// Reads `memoryPolicy` and `personality` of `linux`. An error names the field.
pub fn of_linux(linux: &Node<'_>, scheduling: &mut Scheduling) -> Result<()> {
    let policy = linux.get("memoryPolicy")?.filter(|policy| !policy.is_empty());
    scheduling.memory_policy = policy.map(|policy| memory_policy(&policy)).transpose()?;
    scheduling.personality = match linux.get("personality")? {
        Some(node) => {
            if let Some(flags) = node.get("flags")?.filter(|flags| !flags.is_empty()) {
                return Err(flags.wrong("empty, because no flags are specified"));
            }
            /// PER_LINUX32 of linux/personality.h. No dependency defines this constant.
            const LINUX32: u32 = 8;
            Some(if one_of(&node.need("domain")?, &["LINUX", "LINUX32"])? == 1 {
                LINUX32
            } else {
                0
            })
        }
        None => None,
    };
    Ok(())
}

fn scheduler(node: &Node<'_>) -> Result<Scheduler> {
    const POLICIES: [(&str, u32); 7] = [
        ("SCHED_OTHER", SCHED_NORMAL),
        ("SCHED_FIFO", SCHED_FIFO),
        ("SCHED_RR", SCHED_RR),
        ("SCHED_BATCH", SCHED_BATCH),
        // linux/sched.h reserves the number 4 for SCHED_ISO. No dependency defines the constant.
        ("SCHED_ISO", 4),
        ("SCHED_IDLE", SCHED_IDLE),
        ("SCHED_DEADLINE", SCHED_DEADLINE),
    ];
    const FLAGS: [(&str, u32); 7] = [
        ("SCHED_FLAG_RESET_ON_FORK", SCHED_FLAG_RESET_ON_FORK),
        ("SCHED_FLAG_RECLAIM", SCHED_FLAG_RECLAIM),
        ("SCHED_FLAG_DL_OVERRUN", SCHED_FLAG_DL_OVERRUN),
        ("SCHED_FLAG_KEEP_POLICY", SCHED_FLAG_KEEP_POLICY),
        ("SCHED_FLAG_KEEP_PARAMS", SCHED_FLAG_KEEP_PARAMS),
        ("SCHED_FLAG_UTIL_CLAMP_MIN", SCHED_FLAG_UTIL_CLAMP_MIN),
        ("SCHED_FLAG_UTIL_CLAMP_MAX", SCHED_FLAG_UTIL_CLAMP_MAX),
    ];
    let policy = POLICIES[one_of(&node.need("policy")?, &POLICIES.map(|(name, _)| name))?].1;
    let flags = node.list("flags", MAX_ENTRIES, |flag| {
        Ok(FLAGS[one_of(flag, &FLAGS.map(|(name, _)| name))?].1)
    })?;
    let time = |key| node.get(key)?.map_or(Ok(0), |time| time.unsigned());
    let number = |key| -> Result<i32> {
        let Some(found) = node.get(key)? else { return Ok(0) };
        i32::try_from(found.signed()?).map_err(|_| found.wrong("a number of 32 bits"))
    };
    let nice = number("nice")?;
    if !(-20..=19).contains(&nice) {
        return Err(node.need("nice")?.wrong("from -20 to 19"));
    }
    let priority = number("priority")?;
    let mut scheduler = Scheduler::default();
    (scheduler.policy, scheduler.nice) = (policy, nice);
    scheduler.flags = flags.into_iter().fold(0, |all, flag| all | u64::from(flag));
    scheduler.priority = u32::try_from(priority)
        .map_err(|_| node.wrong("an object whose priority is not negative"))?;
    scheduler.runtime = time("runtime")?;
    scheduler.deadline = time("deadline")?;
    scheduler.period = time("period")?;
    Ok(scheduler)
}

fn io_priority(node: &Node<'_>) -> Result<(u8, u8)> {
    const CLASSES: [&str; 3] = ["IOPRIO_CLASS_RT", "IOPRIO_CLASS_BE", "IOPRIO_CLASS_IDLE"];
    let class = one_of(&node.need("class")?, &CLASSES)? as u8 + 1;
    let Some(priority) = node.get("priority")? else { return Ok((class, 0)) };
    match priority.unsigned()? {
        level @ 0..=7 => Ok((class, level as u8)),
        _ => Err(priority.wrong("from 0 to 7")),
    }
}

fn memory_policy(node: &Node<'_>) -> Result<(u32, Vec<u64>)> {
    let mut mode = one_of(&node.need("mode")?, &MEMORY_MODES)? as u32;
    let flags =
        node.list("flags", MAX_ENTRIES, |flag| Ok(1 << (13 + one_of(flag, &MEMORY_FLAGS)?)))?;
    mode = flags.into_iter().fold(mode, |mode, flag: u32| mode | flag);
    let mut mask = Vec::new();
    if let Some(nodes) = node.get("nodes")? {
        for number in numbers(&nodes, MAX_NODE)? {
            let word = (number / 64) as usize;
            if mask.len() <= word {
                mask.resize(word + 1, 0);
            }
            mask[word] |= 1 << (number % 64);
        }
    }
    Ok((mode, mask))
}

/// Reads `execCPUAffinity`, which applies only to processes of `exec`.
pub fn affinity(process: &Node<'_>, scheduling: &mut Scheduling) -> Result<()> {
    let Some(node) = process.get("execCPUAffinity")? else { return Ok(()) };
    let list = |key| -> Result<Option<Vec<u32>>> {
        let list = node.get(key)?.filter(|list| !list.is_empty());
        list.map(|list| numbers(&list, MAX_CPU)).transpose()
    };
    (scheduling.first_cpus, scheduling.cpus) = (list("initial")?, list("final")?);
    Ok(())
}

/// Parses a list such as `0-3,7` (cpuset(7), "List format"). Fails if the list has another form or
/// a number above `max`.
fn numbers(node: &Node<'_>, max: u32) -> Result<Vec<u32>> {
    let mut all = Vec::new();
    for part in node.string()?.split(',').map(str::trim).filter(|part| !part.is_empty()) {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        match (first.parse::<u32>(), last.parse::<u32>()) {
            (Ok(first), Ok(last)) if first <= last && last <= max => all.extend(first..=last),
            _ => return Err(node.wrong("a list of numbers and ranges, such as 0-3,7")),
        }
    }
    order::sort(&mut all);
    all.dedup();
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with<T>(text: &str, read: impl FnOnce(&Node<'_>) -> Result<T>) -> Result<T> {
        let value = crate::json::parse("x", text.as_bytes()).unwrap();
        read(&Node::root("x", &value))
    }

    #[test]
    fn names_become_the_kernels_numbers() {
        let text = r#"{"policy":"SCHED_RR","priority":5,"nice":-3,"flags":["SCHED_FLAG_RECLAIM",
            "SCHED_FLAG_RESET_ON_FORK"]}"#;
        let read = with(text, scheduler).unwrap();
        assert_eq!((read.policy, read.priority, read.nice, read.flags), (2, 5, -3, 3));
        let text = r#"{"mode":"MPOL_BIND","nodes":"0-1,64","flags":["MPOL_F_STATIC_NODES"]}"#;
        assert_eq!(with(text, memory_policy).unwrap(), (2 | 1 << 15, vec![3, 1]));
        let text = r#"{"class":"IOPRIO_CLASS_IDLE","priority":7}"#;
        assert_eq!(with(text, io_priority).unwrap(), (3, 7));
        let mut read = Scheduling::default();
        with(r#"{"execCPUAffinity":{"initial":"1, 0-2"}}"#, |node| affinity(node, &mut read))
            .unwrap();
        assert_eq!((read.first_cpus.as_deref(), &read.cpus), (Some(&[0, 1, 2][..]), &None));
        for list in ["x", "3-1", "1-99999999", "-"] {
            let text = format!(r#"{{"execCPUAffinity":{{"final":"{list}"}}}}"#);
            let error = with(&text, |node| affinity(node, &mut read)).unwrap_err().to_string();
            assert!(error.contains("x: execCPUAffinity.final should be"), "{error}");
        }
    }
}
