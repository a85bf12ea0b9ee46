//! The program of the built-in image `hello`: this binary, executed as `/hello` inside a container.
//! The program prints a greeting and what it sees in the container: its PID, user, capabilities,
//! limits, interfaces and mounts. The only files that the program reads are in /proc and
//! /sys/fs/cgroup, so the image has no file except the binary.

use std::fmt::Write;
use std::fs;
use std::process::ExitCode;

/// Prints the greeting. Returns the exit status.
pub fn main() -> ExitCode {
    let mut text = String::new();
    // Writing to a String can't fail.
    let _ = compose(&mut text);
    let output = crate::sys::stdio::write_all(rustix::stdio::stdout(), text.as_bytes());
    if output.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn compose(text: &mut String) -> std::fmt::Result {
    let host = rustix::system::uname();
    writeln!(text, "Hello from mydocker! This program runs in a container of its own.\n")?;
    writeln!(text, "I am PID        {}", std::process::id())?;
    writeln!(text, "on host         {}", host.nodename().to_string_lossy())?;
    writeln!(text, "with kernel     {}", host.release().to_string_lossy())?;
    let uid = rustix::process::getuid().as_raw();
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let field = |name: &str| {
        let value = status.lines().find_map(|line| line.strip_prefix(name));
        value.unwrap_or("unknown").trim().to_owned()
    };
    writeln!(text, "as user         {uid}, with capabilities {}", field("CapEff:"))?;
    let seccomp = match field("Seccomp:").as_str() {
        "2" => "filtered by seccomp",
        _ => "not filtered",
    };
    writeln!(text, "system calls    {seccomp}")?;
    writeln!(text, "processes       {}", processes())?;
    writeln!(text, "interfaces      {}", interfaces())?;
    for (label, value) in limits() {
        writeln!(text, "{label:<15} {value}")?;
    }
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    writeln!(text, "\nI see {} mounts:", mounts.lines().count())?;
    for mount in mounts.lines() {
        let mut words = mount.split(' ').skip(1);
        let (target, kind) = (words.next().unwrap_or(""), words.next().unwrap_or(""));
        let access = words.next().unwrap_or("").split(',').next().unwrap_or("");
        writeln!(text, "  {target:<32} {kind:<8} {access}")?;
    }
    writeln!(text, "\nNext: import a root file system as an image and run a program from it:")?;
    writeln!(text, "  mydocker import rootfs.tar mine")?;
    writeln!(text, "  mydocker run -it mine sh")
}

fn processes() -> usize {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries
        .filter(|entry| entry.file_name().to_string_lossy().bytes().all(|b| b.is_ascii_digit()))
        .count()
}

fn interfaces() -> String {
    let text = fs::read_to_string("/proc/self/net/dev").unwrap_or_default();
    let names = text.lines().skip(2).filter_map(|line| line.split_once(':'));
    names.map(|(name, _)| name.trim()).collect::<Vec<_>>().join(" ")
}

/// The limits of the container's cgroup, from the files of cgroup v1 or v2.
fn limits() -> Vec<(&'static str, String)> {
    let read = |paths: [&str; 2]| {
        let found =
            paths.iter().find_map(|path| fs::read_to_string(format!("/sys/fs/cgroup/{path}")).ok());
        found.map(|value| match value.trim() {
            "max" | "9223372036854771712" | "-1" => "no limit".to_owned(),
            value => value.to_owned(),
        })
    };
    [
        ("memory limit", ["memory.max", "memory/memory.limit_in_bytes"]),
        ("process limit", ["pids.max", "pids/pids.max"]),
        ("CPU quota", ["cpu.max", "cpu/cpu.cfs_quota_us"]),
    ]
    .into_iter()
    .filter_map(|(label, paths)| Some((label, read(paths)?)))
    .collect()
}
