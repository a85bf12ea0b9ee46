//! The commands that only read: `state`, `list`, `ps` and `events`; also `spec`, which writes a
//! template of config.json. The JSON is written by hand, because it is short and fixed. No command
//! of this file waits for a container's lock, so these commands also work while another command
//! changes the container.

use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt;

use miniserde::json;
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::Globals;
use super::args::Args;
use super::state::{Container, State, Status};
use super::stats;
use crate::error::{Context, Result, fail};
use crate::runtime::cgroup;
use crate::runtime::{OCI_VERSION, host_ps};
use crate::units::parse_duration_ns;

/// The config.json that `spec` writes: runc's template with three changes. The host name differs,
/// /proc has the options nosuid, noexec and nodev, and hosts with cgroup v1 get a cgroup namespace
/// too.
const DEFAULT_SPEC: &str = include_str!("spec.json");

/// A container's state as a JSON object: for `state` with a line for each field, for
/// `list --format json` in one line. The fields have runc's order.
fn describe(container: &Container, in_lines: bool) -> Result<String> {
    let status = container.status()?;
    let pid = if status == Status::Stopped { 0 } else { container.state.pid };
    let State { id, bundle, rootfs, created, annotations, .. } = &container.state;
    let object = |fields: &[(&str, String)], depth: usize| {
        let indent = |depth: usize| "  ".repeat(depth);
        let (before, after, colon) = if in_lines {
            (format!("\n{}", indent(depth)), format!("\n{}", indent(depth - 1)), ": ")
        } else {
            (String::new(), String::new(), ":")
        };
        let field = |(key, value): &(&str, String)| {
            format!("{before}{}{colon}{value}", json::to_string(*key))
        };
        format!("{{{}{after}}}", fields.iter().map(field).collect::<Vec<_>>().join(","))
    };
    let mut fields = vec![
        ("ociVersion", json::to_string(OCI_VERSION)),
        ("id", json::to_string(id)),
        ("pid", pid.to_string()),
        ("status", json::to_string(status.word())),
        ("bundle", json::to_string(bundle)),
        ("rootfs", json::to_string(rootfs)),
        ("created", json::to_string(created)),
    ];
    if !annotations.is_empty() {
        let pairs = annotations.iter().map(|(key, value)| (key.as_str(), json::to_string(value)));
        fields.push(("annotations", object(&pairs.collect::<Vec<_>>(), 2)));
    }
    fields.push(("owner", json::to_string("root")));
    Ok(object(&fields, 1))
}

fn print(text: &str) -> Result<u8> {
    super::print_text(&format!("{text}\n"))
}

/// The command `state`. Returns the exit status.
pub fn state(globals: &Globals, args: &Args) -> Result<u8> {
    let container = Container::look(&globals.root, args.id()?)?;
    print(&describe(&container, true)?)
}

/// The command `list`. Returns the exit status.
pub fn list(globals: &Globals, args: &Args) -> Result<u8> {
    let all = Container::all(&globals.root)?;
    if args.has("quiet") {
        let ids: Vec<&str> = all.iter().map(|container| container.state.id.as_str()).collect();
        return if ids.is_empty() { Ok(0) } else { print(&ids.join("\n")) };
    }
    match args.value("format").unwrap_or("table") {
        "json" => {
            let all = all.iter().map(|container| describe(container, false));
            let all = all.collect::<Result<Vec<_>>>()?;
            print(&format!("[{}]", all.join(",")))
        }
        "table" => {
            let mut rows =
                vec![["ID", "PID", "STATUS", "BUNDLE", "CREATED", "OWNER"].map(str::to_owned)];
            for container in &all {
                let status = container.status()?;
                let pid = if status == Status::Stopped { 0 } else { container.state.pid };
                rows.push([
                    container.state.id.clone(),
                    pid.to_string(),
                    status.word().to_owned(),
                    container.state.bundle.clone(),
                    container.state.created.clone(),
                    "root".to_owned(),
                ]);
            }
            let widths: [usize; 6] =
                std::array::from_fn(|at| rows.iter().map(|row| row[at].len()).max().unwrap_or(0));
            let line = |row: &[String; 6]| {
                let cells = row.iter().zip(widths).map(|(cell, width)| format!("{cell:width$}"));
                cells.collect::<Vec<_>>().join("   ").trim_end().to_owned()
            };
            print(&rows.iter().map(line).collect::<Vec<_>>().join("\n"))
        }
        other => fail!("--format should be table or json, not '{other}'"),
    }
}

/// The command `ps`: prints the container's processes in the format of the host's ps(1), or with
/// `--format json` only their PIDs.
pub fn ps(globals: &Globals, args: &Args) -> Result<u8> {
    let Some((id, options)) = args.operands.split_first() else {
        fail!("the container id is missing")
    };
    let container = Container::look(&globals.root, id)?;
    let pids = cgroup::members(&container.cgroups());
    match args.value("format").unwrap_or("table") {
        "json" => {
            let pids: Vec<String> = pids.iter().map(i32::to_string).collect();
            return print(&format!("[{}]", pids.join(",")));
        }
        "table" => {}
        other => fail!("--format should be table or json, not '{other}'"),
    }
    let default = ["-ef".to_owned()];
    let options = if options.is_empty() { &default[..] } else { options };
    let Some(shown) = host_ps::list(options, &pids)? else { fail!("this host has no ps") };
    print(&shown.join("\n"))
}

/// The command `events`: prints the container's resource use. Without `--stats`, prints the use
/// again after each interval until the container ends, and reports each kill by the OOM killer.
/// Fails if the container is not running.
pub fn events(globals: &Globals, args: &Args) -> Result<u8> {
    const INTERVAL_NS: i64 = 5_000_000_000;
    let interval = match args.value("interval") {
        Some(text) => match parse_duration_ns(text) {
            Some(nanoseconds @ 1..) => nanoseconds,
            _ => fail!("--interval should be a time such as 5s, not '{text}'"),
        },
        None => INTERVAL_NS,
    };
    let container = Container::look(&globals.root, args.id()?)?;
    let Some(process) = container.process()? else { fail!("container not running") };
    let quoted = json::to_string(&container.state.id);
    let mut reported = cgroup::oom_kills(&container.state.cgroups);
    loop {
        print_stats(&container, &quoted)?;
        if args.has("stats") {
            return Ok(0);
        }
        let interval =
            Timespec { tv_sec: interval / 1_000_000_000, tv_nsec: interval % 1_000_000_000 };
        let ended = poll(&mut [PollFd::new(&process, PollFlags::IN)], Some(&interval));
        let ended = matches!(ended, Ok(1..));
        let kills = cgroup::oom_kills(&container.state.cgroups);
        for _ in reported..kills {
            print(&format!("{{\"type\":\"oom\",\"id\":{quoted}}}"))?;
        }
        reported = reported.max(kills);
        if ended {
            return Ok(0);
        }
    }
}

fn print_stats(container: &Container, quoted_id: &str) -> Result<u8> {
    let data = stats::data(&container.cgroups());
    print(&format!("{{\"type\":\"stats\",\"id\":{quoted_id},\"data\":{data}}}"))
}

/// The command `spec`: writes a config.json to start from. Fails if the file exists.
pub fn spec(args: &Args) -> Result<u8> {
    let path = std::path::Path::new(args.value("bundle").unwrap_or(".")).join("config.json");
    let mut options = std::fs::OpenOptions::new();
    let file = options.write(true).create_new(true).mode(0o644).open(&path);
    let text = if args.has("rootless") { rootless_spec() } else { DEFAULT_SPEC.to_owned() };
    file.and_then(|mut file| file.write_all(text.as_bytes()))
        .context(|| format!("write {}", path.display()))?;
    Ok(0)
}

/// `DEFAULT_SPEC` with a user namespace that maps only the caller's user ID and group ID. The
/// container uses the host's network and has no limits on resources.
fn rootless_spec() -> String {
    let map = |id: u32| format!("[{{ \"containerID\": 0, \"hostID\": {id}, \"size\": 1 }}]");
    let maps = format!(
        "\"uidMappings\": {},\n    \"gidMappings\": {},",
        map(rustix::process::geteuid().as_raw()),
        map(rustix::process::getegid().as_raw())
    );
    [
        ("{ \"type\": \"network\" }", "{ \"type\": \"user\" }"),
        (", \"gid=5\"", ""),
        ("\"type\": \"sysfs\", \"source\": \"sysfs\", \"options\": [", SYS_OF_HOST),
        ("\"resources\": { \"devices\": [{ \"allow\": false, \"access\": \"rwm\" }] },", &maps),
    ]
    .iter()
    .fold(DEFAULT_SPEC.to_owned(), |text, (part, by)| text.replacen(part, by, 1))
}

/// A bind mount of the host's /sys. The container cannot mount a new sysfs, because its user
/// namespace does not own the host's network namespace.
const SYS_OF_HOST: &str = "\"type\": \"none\", \"source\": \"/sys\", \"options\": [\"rbind\", ";
