//! `--systemd-cgroup`: the container's cgroup is a transient scope of systemd, as kubelet and
//! Podman request on hosts with systemd (org.freedesktop.systemd1(5), systemd.resource-control(5)).
//!
//! `linux.cgroupsPath` is then `SLICE:PREFIX:NAME`. systemd makes a scope only for existing
//! processes, but the container's first process must start in its cgroup. So a short-lived process,
//! the holder, is the first in the scope and ends when the container's process has joined. systemd
//! also gets the limits, because otherwise its next change of the unit would undo them. Limits that
//! systemd does not know are only written to the cgroup's files.

use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;

use rustix::pipe::{PipeFlags, pipe_with};

use super::dbus::{Body, Connection, Object, Value, system_bus};
use crate::error::{Context, Error, Result, fail};
use crate::runtime::cgroup::{self, Layout};
use crate::runtime::spec::Resources;
use crate::sys;
use crate::sys::clone::{Child, Flags, Fork, clone3};

const DEFAULT_SLICE: &str = "system.slice";
const DEFAULT_PREFIX: &str = "mydocker";
/// Microseconds per second, the quota of one whole CPU.
const SECOND_US: u64 = 1_000_000;
/// systemd rounds quotas up to steps of 10 ms per second; in microseconds.
const QUOTA_STEP_US: u64 = 10_000;

const MANAGER: Object = Object {
    service: "org.freedesktop.systemd1",
    path: "/org/freedesktop/systemd1",
    interface: "org.freedesktop.systemd1.Manager",
};

/// The names of a scope and its slice. The scope may not exist yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unit {
    pub slice: String,
    pub name: String,
}

impl Unit {
    /// Parses `linux.cgroupsPath` for the container `id`. Fails if it is not of the form
    /// `SLICE:PREFIX:NAME`.
    pub fn parse(path: &str, id: &str) -> Result<Unit> {
        let words: Vec<&str> = path.split(':').collect();
        let (slice, prefix, name) = match words.as_slice() {
            [""] => ("", DEFAULT_PREFIX, id),
            [slice, prefix, name] => (*slice, *prefix, *name),
            _ => fail!(
                "config.json: linux.cgroupsPath should be SLICE:PREFIX:NAME with --systemd-cgroup, \
                 not '{path}'"
            ),
        };
        let slice = if slice.is_empty() { DEFAULT_SLICE } else { slice };
        let is_plain = |text: &str| {
            let plain = |c: char| c.is_ascii_alphanumeric() || "_.-\\@".contains(c);
            !text.is_empty() && text.chars().all(plain)
        };
        let name = if prefix.is_empty() { name.to_owned() } else { format!("{prefix}-{name}") };
        let stem = slice.strip_suffix(".slice").unwrap_or_default();
        let is_path = stem == "-" || stem.split('-').all(is_plain);
        if !is_plain(&name) || !is_path {
            fail!(
                "config.json: linux.cgroupsPath '{path}' should have a slice such as \
                 machine.slice, and a prefix and a name of letters, digits and _ . -"
            );
        }
        Ok(Unit { slice: slice.to_owned(), name: format!("{name}.scope") })
    }

    /// The scope's cgroup relative to a hierarchy's root. The cgroup of `a-b.slice` is inside that
    /// of `a.slice`.
    pub fn cgroup(&self) -> String {
        let mut path = PathBuf::from("/");
        let stem = self.slice.strip_suffix(".slice").unwrap_or_default();
        let ends = stem.match_indices('-').map(|(at, _)| at).chain([stem.len()]);
        if stem != "-" {
            path.extend(ends.map(|end| format!("{}.slice", &stem[..end])));
        }
        path.push(&self.name);
        path.display().to_string()
    }
}

/// The process that keeps a scope alive until the container's first process joins it. It ends when
/// this value is dropped, or when the parent ends.
pub struct Holder {
    child: Child,
    _pipe: OwnedFd,
}

impl Holder {
    fn make() -> Result<Holder> {
        let (theirs, ours) = pipe_with(PipeFlags::CLOEXEC).context(|| "make a pipe")?;
        match clone3(Flags::default(), None).context(|| "fork")? {
            Fork::Child => {
                // Only the parent has the other end, so the read below returns when the parent
                // closes it or ends.
                drop(ours);
                let _ = sys::fds::close_all_but(&[theirs.as_fd()]);
                while rustix::io::read(&theirs, &mut [0]) == Err(rustix::io::Errno::INTR) {}
                sys::exec::exit_now(0)
            }
            Fork::Parent(child) => Ok(Holder { child, _pipe: ours }),
        }
    }
}

impl Drop for Holder {
    fn drop(&mut self) {
        crate::runtime::end(self.child.pidfd.as_fd());
    }
}

/// Makes the scope with these limits. Returns the holder, the first process in the scope.
pub fn start(unit: &Unit, id: &str, resources: &Resources) -> Result<Holder> {
    let mut bus = connect()?;
    listen(&mut bus).context(|| "listen to systemd")?;
    let holder = Holder::make()?;
    let mut properties = vec![
        ("Description", Value::Text(format!("mydocker container {id}"))),
        ("Slice", Value::Text(unit.slice.clone())),
        ("Delegate", Value::Flag(true)),
        ("DefaultDependencies", Value::Flag(false)),
        ("PIDs", Value::Numbers(vec![holder.child.pid.as_raw_nonzero().get() as u32])),
        ("MemoryAccounting", Value::Flag(true)),
        ("CPUAccounting", Value::Flag(true)),
        ("TasksAccounting", Value::Flag(true)),
    ];
    properties.extend(limits(resources)?);
    let call = |bus: &mut Connection| {
        let body = Body::default().with_text(&unit.name).with_text("replace");
        let body = body.with_properties(&properties).with_no_units();
        bus.call(&MANAGER, "StartTransientUnit", body)
    };
    let started = call(&mut bus).or_else(|_| {
        // A failed unit of this name exists, which systemd keeps until it is reset.
        reset(&mut bus, unit)?;
        call(&mut bus)
    });
    let job = started.and_then(|answer| answer.body().string());
    let job = job.context(|| format!("start the scope {}", unit.name))?;
    await_job(&mut bus, &job).context(|| format!("start the scope {}", unit.name))?;
    Ok(holder)
}

/// Changes the limits of an existing scope.
pub fn update(unit: &str, resources: &Resources) -> Result<()> {
    let limits = limits(resources)?;
    let body = Body::default().with_text(unit).with_flag(true).with_properties(&limits);
    connect()?
        .call(&MANAGER, "SetUnitProperties", body)
        .map(drop)
        .context(|| format!("set the limits of {unit}"))
}

/// Stops a scope whose processes have ended. A missing scope is no error.
pub fn stop(unit: &str) -> Result<()> {
    let mut bus = connect()?;
    listen(&mut bus)?;
    let body = Body::default().with_text(unit).with_text("replace");
    if let Ok(answer) = bus.call(&MANAGER, "StopUnit", body) {
        await_job(&mut bus, &answer.body().string()?)?;
    }
    let unit = Unit { slice: String::new(), name: unit.to_owned() };
    // Ignore an error: only a scope that failed can be reset.
    let _ = reset(&mut bus, &unit);
    Ok(())
}

fn reset(bus: &mut Connection, unit: &Unit) -> Result<()> {
    bus.call(&MANAGER, "ResetFailedUnit", Body::default().with_text(&unit.name)).map(drop)
}

fn connect() -> Result<Connection> {
    let path = system_bus()?;
    Connection::open(&path).map_err(|error| {
        Error::new(format!(
            "--systemd-cgroup: no systemd answers on the bus {path}: {error}; leave the flag out \
             for cgroupfs"
        ))
    })
}

/// Subscribes to systemd's signals about the end of jobs.
fn listen(bus: &mut Connection) -> Result<()> {
    bus.listen(
        "type='signal',sender='org.freedesktop.systemd1',path='/org/freedesktop/systemd1',\
         interface='org.freedesktop.systemd1.Manager',member='JobRemoved'",
    )?;
    bus.call(&MANAGER, "Subscribe", Body::default()).map(drop)
}

/// Waits for the end of `job`. JobRemoved carries the job's number, its path, the unit and the
/// result.
fn await_job(bus: &mut Connection, job: &str) -> Result<()> {
    let result = bus.signal("JobRemoved", |mut body| {
        body.number()?;
        let (path, _unit) = (body.string()?, body.string()?);
        let result = body.string()?;
        Ok((path == job).then_some(result))
    })?;
    if result == "done" { Ok(()) } else { fail!("systemd reports '{result}'") }
}

/// The limits that systemd supports, as properties of the scope.
fn limits(resources: &Resources) -> Result<Vec<(&'static str, Value)>> {
    let is_v2 = Layout::detect()?.v1.is_empty();
    Ok(properties(resources, is_v2))
}

fn properties(resources: &Resources, is_v2: bool) -> Vec<(&'static str, Value)> {
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
            // systemd's limit is on swap alone; `memory_swap` is the sum of memory and swap.
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
    if let Some(shares) = resources.cpu_shares {
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
        let period = resources.cpu_period.unwrap_or(100_000).max(1);
        let quota = u64::try_from(quota).ok();
        let each_second = quota.map_or(u64::MAX, |quota| {
            (quota.saturating_mul(SECOND_US) / period).next_multiple_of(QUOTA_STEP_US)
        });
        all.push(("CPUQuotaPerSecUSec", Value::Number(each_second)));
    }
    if let Some(pids) = resources.pids {
        all.push(("TasksMax", most(pids)));
    }
    all
}

/// Parses a list such as `0-3,7` into a bit mask, the lowest bit first.
fn mask(list: &str) -> Option<Vec<u8>> {
    let mut mask = Vec::new();
    for part in list.split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last): (usize, usize) = (first.trim().parse().ok()?, last.trim().parse().ok()?);
        // No kernel supports more than 8,192 CPUs.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_names_a_scope_and_its_cgroup() {
        let cgroup = |path: &str| Unit::parse(path, "id").map(|unit| unit.cgroup());
        assert_eq!(cgroup("").unwrap(), "/system.slice/mydocker-id.scope");
        assert_eq!(cgroup("user.slice:libpod:x").unwrap(), "/user.slice/libpod-x.scope");
        assert_eq!(
            cgroup("kubepods-besteffort-pod1.slice:cri-containerd:x").unwrap(),
            "/kubepods.slice/kubepods-besteffort.slice/kubepods-besteffort-pod1.slice/\
             cri-containerd-x.scope"
        );
        assert_eq!(cgroup("-.slice::x").unwrap(), "/x.scope");
        for wrong in ["/a/b", "a:b", "a:b:c", "a.slice:b:../c", "a--b.slice:c:d", "a/b.slice:c:d"] {
            assert!(
                cgroup(wrong).unwrap_err().to_string().contains("linux.cgroupsPath"),
                "{wrong}"
            );
        }
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
            properties(&resources, true),
            [
                ("MemoryMax", Value::Number(100)),
                ("MemorySwapMax", Value::Number(50)),
                ("AllowedCPUs", Value::Bytes(vec![3, 2])),
                ("CPUWeight", Value::Number(100)),
                ("CPUQuotaPerSecUSec", Value::Number(none)),
                ("TasksMax", Value::Number(none)),
            ]
        );
        let resources = Resources { cpu_quota: Some(12_345), ..Resources::default() };
        let quota = Value::Number(130_000);
        assert_eq!(properties(&resources, false), [("CPUQuotaPerSecUSec", quota)]);
    }
}
