//! The properties of a container's scope (systemd.resource-control(5)): its limits, and what the
//! annotations `org.systemd.property.NAME` of config.json ask for, as runc and crun read them.
//!
//! When systemd changes the scope, it can write its own values of the limits again. So `limits`
//! turns the limits on memory, CPU and PIDs that systemd supports into properties, also those in
//! `unified`. The other limits are only written to the cgroup's files. The text of an annotation is
//! a value in GVariant's notation: `true`, `5`, `uint64 5`, `'text'`, `['a', 'b']`. If the name
//! ends in `Sec`, but not in `USec`, a number means seconds, and sets the property whose name ends
//! in `USec`.

use std::collections::BTreeMap;

use super::dbus::Value;
use crate::error::{Result, fail};
use crate::runtime::cgroup;
use crate::runtime::spec::Cgroup;

/// The start of the names of the annotations that set a property.
pub const PREFIX: &str = "org.systemd.property.";
/// Microseconds in a second.
const SECOND_US: u64 = 1_000_000;
/// systemd keeps a quota as the CPU time in each second, in steps of 10 ms.
const QUOTA_STEP_US: u64 = 10_000;

/// The limits that are passed to systemd, as properties.
pub fn limits(cgroup: &Cgroup, is_v2: bool) -> Vec<(&'static str, Value)> {
    let resources = &cgroup.resources;
    let most = |value: i64| Value::Number(u64::try_from(value).unwrap_or(u64::MAX));
    let mut all = Vec::new();
    if let Some(memory) = resources.memory {
        all.push((if is_v2 { "MemoryMax" } else { "MemoryLimit" }, most(memory)));
    }
    if is_v2 {
        if let Some(low) = resources.memory_reservation {
            all.push(("MemoryLow", most(low)));
        }
        if let Some(total) = resources.memory_swap {
            // systemd counts only swap, not memory and swap together.
            let swap = if total < 0 { -1 } else { total - resources.memory.unwrap_or(0).max(0) };
            all.push(("MemorySwapMax", most(swap)));
        }
        for (name, list) in [
            ("AllowedCPUs", &resources.cpuset_cpus),
            ("AllowedMemoryNodes", &resources.cpuset_mems),
        ] {
            if let Some(mask) = list.as_deref().and_then(mask) {
                all.push((name, Value::Bytes(mask)));
            }
        }
    }
    // An idle cgroup has no weight.
    if let Some(shares) = resources.cpu_shares.filter(|_| cgroup.further.cpu_idle != Some(true)) {
        all.push(if is_v2 {
            ("CPUWeight", Value::Number(cgroup::weight_of_shares(shares)))
        } else {
            ("CPUShares", Value::Number(shares))
        });
    }
    if let Some(period) = resources.cpu_period {
        all.push(("CPUQuotaPeriodUSec", Value::Number(period)));
    }
    if let Some(quota) = resources.cpu_quota {
        let period = resources.cpu_period.unwrap_or(100_000);
        all.push(("CPUQuotaPerSecUSec", each_second(u64::try_from(quota).ok(), period)));
    }
    if let Some(pids) = resources.pids {
        all.push(("TasksMax", most(pids)));
    }
    if is_v2 {
        let further = &cgroup.further.unified;
        for (name, value) in further.iter().flat_map(|(file, text)| of_file(file, text.trim())) {
            all.retain(|(known, _)| *known != name);
            all.push((name, value));
        }
    }
    all
}

/// The properties for a file of cgroup v2 with this content. None if systemd has no property for
/// the file, or if the content is malformed.
fn of_file(file: &str, text: &str) -> Vec<(&'static str, Value)> {
    let name = match file {
        "cpu.max" => {
            let mut words = text.split_whitespace();
            let quota = words.next().and_then(|quota| quota.parse().ok());
            let period = words.next().and_then(|period| period.parse().ok()).unwrap_or(100_000);
            return vec![
                ("CPUQuotaPeriodUSec", Value::Number(period)),
                ("CPUQuotaPerSecUSec", each_second(quota, period)),
            ];
        }
        "cpuset.cpus" | "cpuset.mems" => {
            let name = if file == "cpuset.cpus" { "AllowedCPUs" } else { "AllowedMemoryNodes" };
            return mask(text).map(|mask| (name, Value::Bytes(mask))).into_iter().collect();
        }
        "cpu.weight" => "CPUWeight",
        "memory.min" => "MemoryMin",
        "memory.low" => "MemoryLow",
        "memory.high" => "MemoryHigh",
        "memory.max" => "MemoryMax",
        "memory.swap.max" => "MemorySwapMax",
        "pids.max" => "TasksMax",
        _ => return Vec::new(),
    };
    let number = if text == "max" { Some(u64::MAX) } else { text.parse().ok() };
    number.map(|number| (name, Value::Number(number))).into_iter().collect()
}

fn each_second(quota: Option<u64>, period: u64) -> Value {
    Value::Number(quota.map_or(u64::MAX, |quota| {
        (quota.saturating_mul(SECOND_US) / period.max(1)).next_multiple_of(QUOTA_STEP_US)
    }))
}

/// Converts a list such as `0-3,7` to a bit mask: number 0 is the lowest bit of the first byte.
/// `None` if the list is malformed or has a number above 8191.
fn mask(list: &str) -> Option<Vec<u8>> {
    let mut mask = Vec::new();
    for part in list.split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last): (usize, usize) = (first.trim().parse().ok()?, last.trim().parse().ok()?);
        // No kernel can be built for more than 8192 CPUs.
        if last > 8191 || first > last {
            return None;
        }
        for number in first..=last {
            if mask.len() <= number / 8 {
                mask.resize(number / 8 + 1, 0);
            }
            mask[number / 8] |= 1 << (number % 8);
        }
    }
    Some(mask)
}

/// The properties that annotations ask for. Fails if the name or the value of one is malformed.
pub fn asked(annotations: &BTreeMap<String, String>) -> Result<Vec<(String, Value)>> {
    let named =
        annotations.iter().filter_map(|(key, text)| Some((key.strip_prefix(PREFIX)?, text)));
    let mut all = Vec::new();
    for (name, text) in named {
        let is_name = name.starts_with(|c: char| c.is_ascii_uppercase())
            && name.chars().all(|c| c.is_ascii_alphanumeric());
        let (Some(value), true) = (parse(text.trim()), is_name) else {
            fail!(
                "config.json: annotations.{PREFIX}{name} should be a value such as true, 5, \
                 uint64 5, 'text' or ['a', 'b'], not '{text}'"
            )
        };
        let seconds = match value {
            Value::Signed(seconds) => Some(u64::try_from(seconds).unwrap_or_default()),
            Value::Unsigned(seconds) => Some(seconds.into()),
            Value::Number(seconds) => Some(seconds),
            _ => None,
        };
        let stem = name.strip_suffix("Sec").filter(|_| !name.ends_with("USec"));
        all.push(match (stem, seconds) {
            (Some(stem), Some(seconds)) => {
                (format!("{stem}USec"), Value::Number(seconds.saturating_mul(SECOND_US)))
            }
            _ => (name.to_owned(), value),
        });
    }
    Ok(all)
}

fn parse(text: &str) -> Option<Value> {
    if let Some(list) = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        let words = list.split(',').map(|word| quoted(word.trim()));
        return Some(Value::Texts(words.collect::<Option<Vec<_>>>()?));
    }
    match text.split_once(' ') {
        Some(("uint64", number)) => return number.trim().parse().ok().map(Value::Number),
        Some(("uint32", number)) => return number.trim().parse().ok().map(Value::Unsigned),
        Some(("int32", number)) => return number.trim().parse().ok().map(Value::Signed),
        _ => {}
    }
    match text {
        "true" => Some(Value::Flag(true)),
        "false" => Some(Value::Flag(false)),
        _ => quoted(text).map(Value::Text).or_else(|| text.parse().ok().map(Value::Signed)),
    }
}

fn quoted(text: &str) -> Option<String> {
    let quote = text.chars().next().filter(|quote| "'\"".contains(*quote))?;
    let inner = text.strip_prefix(quote)?.strip_suffix(quote)?;
    (!inner.contains([quote, '\\'])).then(|| inner.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::spec::{FurtherLimits, Resources};

    fn of(
        resources: Resources,
        unified: &[(&str, &str)],
        is_v2: bool,
    ) -> Vec<(&'static str, Value)> {
        let owned = |(file, text): &(&str, &str)| ((*file).to_owned(), (*text).to_owned());
        let further = FurtherLimits {
            unified: unified.iter().map(owned).collect(),
            ..FurtherLimits::default()
        };
        let cgroup = Cgroup {
            path: String::new(),
            resources,
            further,
            default_pids: None,
            default_memory_swap: None,
            every_controller: true,
            name_limit: str::to_owned,
        };
        limits(&cgroup, is_v2)
    }

    #[test]
    fn limits_are_systemds_properties() {
        let resources = Resources {
            memory: Some(100),
            memory_swap: Some(150),
            cpu_shares: Some(1024),
            cpu_quota: Some(-1),
            cpuset_cpus: Some("0-1,9".to_owned()),
            pids: Some(-1),
            ..Resources::default()
        };
        let none = u64::MAX;
        assert_eq!(
            of(resources, &[("pids.max", "9"), ("cpu.max", "5000 50000"), ("x.y", "1")], true),
            [
                ("MemoryMax", Value::Number(100)),
                ("MemorySwapMax", Value::Number(50)),
                ("AllowedCPUs", Value::Bytes(vec![3, 2])),
                ("CPUWeight", Value::Number(100)),
                ("TasksMax", Value::Number(9)),
                ("CPUQuotaPeriodUSec", Value::Number(50_000)),
                ("CPUQuotaPerSecUSec", Value::Number(100_000)),
            ]
        );
        let unified = [("memory.high", "max"), ("cpuset.mems", "0")];
        assert_eq!(
            of(Resources::default(), &unified, true),
            [("MemoryHigh", Value::Number(none)), ("AllowedMemoryNodes", Value::Bytes(vec![1]))]
        );
        let resources = Resources { cpu_quota: Some(12_345), ..Resources::default() };
        let quota = Value::Number(130_000);
        assert_eq!(of(resources, &[], false), [("CPUQuotaPerSecUSec", quota)]);
    }

    #[test]
    fn annotations_become_properties() {
        let read = |name: &str, text: &str| {
            asked(&BTreeMap::from([(format!("{PREFIX}{name}"), text.to_owned())]))
        };
        for (name, text, found, value) in [
            (
                "CollectMode",
                "'inactive-or-failed'",
                "CollectMode",
                Value::Text("inactive-or-failed".to_owned()),
            ),
            ("TimeoutStopUSec", "uint64 30000000", "TimeoutStopUSec", Value::Number(30_000_000)),
            ("TimeoutStopSec", "2", "TimeoutStopUSec", Value::Number(2_000_000)),
            ("TimeoutStopSec", "uint64 2", "TimeoutStopUSec", Value::Number(2_000_000)),
            ("TimeoutStopSec", "uint32 2", "TimeoutStopUSec", Value::Number(2_000_000)),
            (
                "After",
                "['a.service', \"b.service\"]",
                "After",
                Value::Texts(vec!["a.service".to_owned(), "b.service".to_owned()]),
            ),
            ("DefaultDependencies", "true", "DefaultDependencies", Value::Flag(true)),
            ("Nice", "-5", "Nice", Value::Signed(-5)),
        ] {
            assert_eq!(read(name, text).unwrap(), [(found.to_owned(), value)]);
        }
        for (name, text) in [("A", "x"), ("A", "'x"), ("A", "['a' 'b']"), ("", "1"), ("a", "1")] {
            let error = read(name, text).unwrap_err().to_string();
            assert!(error.contains("annotations.org.systemd.property."), "{error}");
        }
        assert!(asked(&BTreeMap::from([("x".to_owned(), "y".to_owned())])).unwrap().is_empty());
    }
}
