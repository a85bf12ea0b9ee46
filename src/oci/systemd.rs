//! `--systemd-cgroup`: the container's cgroup is a transient scope of systemd, as kubelet and
//! Podman request on hosts with systemd (org.freedesktop.systemd1(5), systemd.resource-control(5)).
//!
//! `linux.cgroupsPath` is then `SLICE:PREFIX:NAME` or empty. systemd makes a scope only for
//! existing processes, but the container's first process must start in its cgroup. So a short-lived
//! process, the holder, is the first in the scope and ends when the container's process has joined.
//! systemd also gets the limits that `properties` supports, because otherwise systemd's next change
//! of the unit could undo them. The other limits are only written to the cgroup's files.

use std::collections::BTreeMap;
use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;

use rustix::pipe::{PipeFlags, pipe_with};

use super::dbus::{Body, Connection, Object, Value, system_bus};
use super::properties;
use crate::error::{Context, Error, Result, fail};
use crate::runtime::cgroup::Layout;
use crate::runtime::spec::Cgroup;
use crate::sys;
use crate::sys::clone::{Child, Flags, Fork, clone3};

const DEFAULT_SLICE: &str = "system.slice";
const DEFAULT_PREFIX: &str = "mydocker";

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
    /// Parses `linux.cgroupsPath` for the container `id`. An empty path means the defaults.
    /// Otherwise fails unless the path has the form `SLICE:PREFIX:NAME` with valid names.
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

/// The process that keeps a scope alive until the container's first process joins the scope. The
/// holder ends when this value is dropped, or when the parent ends.
pub struct Holder {
    child: Child,
    _pipe: OwnedFd,
}

impl Holder {
    fn make() -> Result<Holder> {
        let (theirs, ours) = pipe_with(PipeFlags::CLOEXEC).context(|| "make a pipe")?;
        match clone3(Flags::default(), None).context(|| "fork")? {
            Fork::Child => {
                // Only the parent keeps the pipe's other end. So the read below returns when the
                // parent closes that end, or when the parent ends.
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

/// Makes the scope with these limits and the properties that the annotations name. Returns the
/// holder, the first process in the scope.
pub fn start(
    unit: &Unit,
    id: &str,
    cgroup: &Cgroup,
    annotations: &BTreeMap<String, String>,
) -> Result<Holder> {
    let asked = properties::asked(annotations)?;
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
    properties.extend(limits(cgroup)?);
    // A property of the annotations replaces mydocker's property of the same name.
    properties.retain(|(name, _)| !asked.iter().any(|(asked, _)| asked == name));
    let asked: Vec<(&str, Value)> =
        asked.iter().map(|(name, value)| (name.as_str(), value.clone())).collect();
    properties.extend(asked);
    let call = |bus: &mut Connection| {
        let body = Body::default().with_text(&unit.name).with_text("replace");
        let body = body.with_properties(&properties).with_no_units();
        bus.call(&MANAGER, "StartTransientUnit", body)
    };
    let started = call(&mut bus).or_else(|_| {
        // Perhaps a unit of this name failed: systemd keeps a failed unit until it is reset.
        reset(&mut bus, unit)?;
        call(&mut bus)
    });
    let job = started.and_then(|answer| answer.body().string());
    let job = job.context(|| format!("start the scope {}", unit.name))?;
    await_job(&mut bus, &job).context(|| format!("start the scope {}", unit.name))?;
    Ok(holder)
}

/// Changes the limits of an existing scope.
pub fn update(unit: &str, cgroup: &Cgroup) -> Result<()> {
    let limits = limits(cgroup)?;
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
    // Ignore an error: systemd normally has no such unit any more. Only a failed scope stays.
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

/// Waits for the end of `job`. Fails if the job's result is not `done`. The signal JobRemoved
/// carries the job's number, the job's path, the unit and the result.
fn await_job(bus: &mut Connection, job: &str) -> Result<()> {
    let result = bus.signal("JobRemoved", |mut body| {
        body.number()?;
        let (path, _unit) = (body.string()?, body.string()?);
        let result = body.string()?;
        Ok((path == job).then_some(result))
    })?;
    if result == "done" { Ok(()) } else { fail!("systemd reports '{result}'") }
}

/// The limits that are passed to systemd, as properties of the scope.
fn limits(cgroup: &Cgroup) -> Result<Vec<(&'static str, Value)>> {
    let is_v2 = Layout::detect()?.v1.is_empty();
    Ok(properties::limits(cgroup, is_v2))
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
}
