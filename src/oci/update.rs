//! `update`: changes the limits of a container, from flags or from a JSON object in the form of
//! `linux.resources`.
//!
//! The new fields are merged into the container's current ones, because one limit may depend on
//! another (memory and swap). The result is saved as `resources.json` in the container's directory
//! before the cgroup's files are written. If an `update` is killed between these two steps, the
//! next `update` writes all limits again. Device rules can't change.

use std::io::Read as _;

use miniserde::json::{Object, Value};

use super::args::{Args, Flag};
use super::state::{Container, Status};
use super::{Globals, config, linux, resources, systemd};
use crate::error::{Context, Error, Result, fail};
use crate::json::{self, Node};
use crate::runtime::cgroup::Update;
use crate::store::{self, Durability};
use crate::units::ByteSize;

/// The maximum size of the JSON on stdin, in bytes.
const MAX_INPUT: u64 = 1 << 20;

/// The flags, each with the object and key of `linux.resources` that it sets.
const LIMITS: [(&str, &str, &str); 16] = [
    ("blkio-weight", "blockIO", "weight"),
    ("cpu-period", "cpu", "period"),
    ("cpu-quota", "cpu", "quota"),
    ("cpu-burst", "cpu", "burst"),
    ("cpu-rt-period", "cpu", "realtimePeriod"),
    ("cpu-rt-runtime", "cpu", "realtimeRuntime"),
    ("cpu-share", "cpu", "shares"),
    ("cpu-idle", "cpu", "idle"),
    ("cpuset-cpus", "cpu", "cpus"),
    ("cpuset-mems", "cpu", "mems"),
    ("memory", "memory", "limit"),
    ("memory-reservation", "memory", "reservation"),
    ("memory-swap", "memory", "swap"),
    ("kernel-memory", "memory", "kernel"),
    ("kernel-memory-tcp", "memory", "kernelTCP"),
    ("pids-limit", "pids", "limit"),
];

/// All flags of the command.
pub fn flags() -> Vec<Flag> {
    let limits = LIMITS.iter().map(|(name, ..)| (*name, ' ', true));
    let others =
        [("resources", 'r', true), ("l3-cache-schema", ' ', true), ("mem-bw-schema", ' ', true)];
    limits.chain(others).collect()
}

/// Runs the command `update`. Returns its exit status.
pub fn update(globals: &Globals, args: &Args) -> Result<u8> {
    let id = args.id()?;
    for flag in ["l3-cache-schema", "mem-bw-schema"] {
        if args.has(flag) {
            fail!("--{flag} is not supported: there is no resctrl here");
        }
    }
    let asked = match args.value("resources") {
        Some(path) => read_resources(path)?,
        None => of_flags(args)?,
    };
    let container = Container::open(&globals.root, id)?;
    if container.status()? == Status::Stopped {
        fail!("container not running");
    }
    let bytes = config::read(&container.config())?;
    let value = json::parse("config.json", &bytes)?;
    let root = Node::root("config.json", &value);
    let none = json::parse("config.json", b"{}")?;
    let linux = root.get("linux")?.unwrap_or(Node::root("config.json", &none));
    refuse_other_devices(&asked, &linux)?;

    let kept = container.dir.join("resources.json");
    let former = store::read(&kept)?;
    let mut all = match &former {
        Some(bytes) => json::parse("resources.json", bytes)?,
        None => linux_resources(&value),
    };
    drop_contradicted(&mut all, &asked);
    overlay(&mut all, &asked);
    let unit = container.state.unit.as_deref();
    let (mut cgroup, _) = linux::cgroup(&linux, id, unit.is_some())?;
    let limits = resources::limits(&Node::root("linux.resources", &all))?;
    (cgroup.resources, cgroup.further) = (limits.resources, limits.further);
    let plan = Update::plan(None, &cgroup)?;
    if checks_memory(&asked, &linux_resources(&value)) {
        plan.refuse_below_use()?;
    }
    let text = miniserde::json::to_string(&all);
    store::replace(&kept, text.as_bytes(), Durability::Lazy)?;
    let applied = plan.apply(&container.cgroups()).and_then(|applied| match unit {
        Some(unit) => systemd::update(unit, &cgroup).inspect_err(|_| applied.undo()),
        None => Ok(()),
    });
    if applied.is_err() {
        // The update failed, so the old limits apply again, and the file must have them too.
        match former {
            Some(bytes) => store::replace(&kept, &bytes, Durability::Lazy)?,
            None => store::remove_file(&kept)?,
        }
    }
    applied.map(|()| 0)
}

fn field(value: &Value, key: &str) -> Option<Value> {
    match value {
        Value::Object(object) => object.get(key).cloned(),
        _ => None,
    }
}

/// Whether the update must fail if the memory limit is below the present use. This is the value of
/// `checkBeforeUpdate` in this update, or in config.json if this update does not set it. The value
/// of an earlier update does not count.
fn checks_memory(asked: &Value, own: &Value) -> bool {
    let given = |resources: &Value| {
        let memory = field(resources, "memory")?;
        field(&memory, "checkBeforeUpdate").filter(|value| !matches!(value, Value::Null))
    };
    matches!(given(asked).or_else(|| given(own)), Some(Value::Bool(true)))
}

fn linux_resources(config: &Value) -> Value {
    let resources = field(config, "linux").and_then(|linux| field(&linux, "resources"));
    resources.unwrap_or_else(|| Value::Object(Object::new()))
}

fn read_resources(path: &str) -> Result<Value> {
    let bytes = if path == "-" {
        let mut bytes = Vec::new();
        let input = std::io::stdin().take(MAX_INPUT + 1).read_to_end(&mut bytes);
        input.context(|| "read the standard input")?;
        if bytes.len() as u64 > MAX_INPUT {
            fail!("--resources -: more than {MAX_INPUT} bytes");
        }
        bytes
    } else {
        config::read_given(path.as_ref())?
    };
    let value = json::parse("resources", &bytes)?;
    match value {
        Value::Object(_) => Ok(value),
        _ => fail!("resources: should be an object"),
    }
}

/// Builds the JSON object of `linux.resources` from the flags.
fn of_flags(args: &Args) -> Result<Value> {
    let mut all = Object::new();
    for (flag, group, field) in LIMITS {
        let Some(text) = args.value(flag) else { continue };
        let value = if field == "cpus" || field == "mems" {
            Value::String(text.to_owned())
        } else {
            let size = || {
                let size = ByteSize::parse(text).ok().filter(|_| group == "memory");
                size.and_then(|size| i64::try_from(size.0).ok())
            };
            let number = text.parse::<i64>().ok().or_else(size);
            let wrong = || Error::new(format!("--{flag} should be a whole number, not '{text}'"));
            let number = number.ok_or_else(wrong)?;
            miniserde::json::from_str(&number.to_string())
                .map_err(|_| Error::new(format!("--{flag} {number}")))?
        };
        let entry = all.entry(group.to_owned()).or_insert_with(|| Value::Object(Object::new()));
        if let Value::Object(group) = entry {
            group.insert(field.to_owned(), value);
        }
    }
    Ok(Value::Object(all))
}

/// Fails if the update changes the device rules. Unchanged rules are accepted, because containerd
/// sends them with every update.
fn refuse_other_devices(asked: &Value, linux: &Node<'_>) -> Result<()> {
    let asked = Node::root("resources", asked);
    if asked.get("devices")?.is_none_or(|rules| rules.is_empty()) {
        return Ok(());
    }
    let own = match linux.get("resources")? {
        Some(resources) => resources::device_access(&resources)?,
        None => resources::none(),
    };
    if resources::device_access(&asked)? != own {
        fail!("resources: devices can't be updated");
    }
    Ok(())
}

/// Drops two limits if they contradict the update and the update does not set them: the limit on
/// memory and swap together if memory becomes unlimited, and `idle` if the cgroup gets shares.
fn drop_contradicted(all: &mut Value, asked: &Value) {
    let has = |group: &str, key: &str| field(asked, group).and_then(|group| field(&group, key));
    let is_unlimited = has("memory", "limit")
        .is_some_and(|limit| matches!(limit, Value::Number(miniserde::json::Number::I64(..=-1))));
    let mut replace = |group: &str, key: &str, by: Value| {
        if let Value::Object(all) = all
            && let Some(Value::Object(group)) = all.get_mut(group)
            && let Some(value) = group.get_mut(key)
        {
            *value = by;
        }
    };
    if is_unlimited && has("memory", "swap").is_none() {
        replace("memory", "swap", Value::Null);
    }
    if has("cpu", "shares").is_some() && has("cpu", "idle").is_none() {
        replace("cpu", "idle", Value::Number(miniserde::json::Number::U64(0)));
    }
}

/// Merges the fields of `upper` into `lower`, object by object; `upper` wins, except for `null`.
fn overlay(lower: &mut Value, upper: &Value) {
    match (lower, upper) {
        (_, Value::Null) => {}
        (Value::Object(lower), Value::Object(upper)) => {
            for (key, value) in upper.iter() {
                match lower.get_mut(key) {
                    Some(known) => overlay(known, value),
                    None => drop(lower.insert(key.clone(), value.clone())),
                }
            }
        }
        (lower, upper) => *lower = upper.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_present_use_is_checked_as_this_update_or_the_configuration_says() {
        let checks = |asked: &str, own: &str| {
            let of = |text: &str| json::parse("resources", text.as_bytes()).unwrap();
            checks_memory(&of(asked), &of(own))
        };
        let [on, off, none, null] = ["true", "false", "1", "null"]
            .map(|value| format!("{{\"memory\":{{\"checkBeforeUpdate\":{value}}}}}"));
        assert!(checks(&on, "{}") && checks("{}", &on) && checks(&null, &on));
        assert!(!checks("{}", "{}") && !checks(&off, &on) && !checks(&none, "{}"));
    }
}
