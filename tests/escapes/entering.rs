//! Attacks on processes that enter a running container, by processes that are inside already.
//!
//! `exec` and init run code of the engine inside the container's namespaces for a moment. In this
//! moment the container's processes may try to trace the entering processes, to read their memory
//! in /proc, or to use their descriptors.

use std::fs::{self, File};
use std::io::Read;
use std::os::fd::AsRawFd;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::Instant;

use super::support::{Host, PATIENCE};
use super::{CANARY, attack, canary, must_be_inside, with_attack};

/// CVE-2016-9962: a process that entered by exec could be traced, and its descriptors and root
/// directory reached, before its setup was complete. This attacker has all capabilities in its
/// container, and may trace every process that it sees.
#[test]
fn an_entering_process_shows_nothing_of_the_host() {
    let host = Host::with_busybox();
    let canary = canary(&host);
    let attack_here = with_attack();
    let flags = ["run", "-d", "--name", "box", "--privileged", "-v", &attack_here, "bb"];
    host.mydocker(flags.iter().copied().chain(attack("entering::read_entering_processes")));
    let secret = canary.join("secret");
    for _ in rounds(&host, 200) {
        // A descriptor, the working directory and the environment of the caller lead to the canary.
        // The attack also looks for `--run-root`, which is in the caller's command line.
        let mut command = host.command(["exec", "-e", &slow_path(), "box", "true"]);
        command.current_dir(&canary).env("CANARY", CANARY).stdin(File::open(&secret).unwrap());
        if !command.status().unwrap().success() {
            // The attack has found something and has ended.
            break;
        }
    }
    assert_found_nothing(&host);
}

#[test]
#[ignore = "an attack, run inside a container"]
fn read_entering_processes() {
    must_be_inside();
    let own_root = fs::metadata("/").map(|root| (root.dev(), root.ino())).unwrap();
    let own_pid = std::process::id();
    let mut seen = false;
    while !Path::new("/stop").exists() {
        for entry in fs::read_dir("/proc").unwrap().flatten() {
            let name = entry.file_name();
            let Ok(pid) = name.to_string_lossy().parse::<u32>() else { continue };
            if pid == 1 || pid == own_pid {
                continue;
            }
            let proc = entry.path();
            let title = fs::read(proc.join("cmdline")).unwrap_or_default();
            if title.starts_with(b"mydocker-init") {
                note_that_one_was_seen(&mut seen);
            }
            for text in [title, fs::read(proc.join("environ")).unwrap_or_default()] {
                let text = String::from_utf8_lossy(&text).into_owned();
                assert!(!text.contains(CANARY) && !text.contains("--run-root"), "{text}");
            }
            for way in ["root", "cwd"] {
                if let Ok(there) = fs::metadata(proc.join(way)) {
                    let inside = (there.dev(), there.ino()) == own_root;
                    assert!(inside, "the {way} of a process that enters is the host's");
                }
            }
            for fd in fs::read_dir(proc.join("fd")).into_iter().flatten().flatten() {
                let target = fs::read_link(fd.path()).unwrap_or_default();
                let Ok(mut file) = File::open(fd.path()) else { continue };
                let kind = file.metadata().unwrap();
                let own = (kind.dev(), kind.ino()) == own_root;
                assert!(!kind.is_dir() || own, "a descriptor of {}", target.display());
                if kind.is_file() {
                    let mut text = String::new();
                    let _ = file.read_to_string(&mut text);
                    assert!(!text.contains(CANARY), "a descriptor of the host's file");
                }
            }
        }
    }
    assert!(seen, "never saw a process entering: the attack proves nothing");
}

/// Runs at least `least` rounds, and more until the attack in `box` has seen a process that enters,
/// or `PATIENCE` is over. On a machine with one CPU this may take many more rounds.
fn rounds(host: &Host, least: usize) -> impl Iterator<Item = usize> {
    let started = Instant::now();
    let has_seen = || host.succeeds(["exec", "box", "test", "-e", "/seen"]);
    (0..).take_while(move |round| *round < least || started.elapsed() < PATIENCE && !has_seen())
}

/// Ends the attack in `box`. The attack must have seen a process that enters, but nothing of the
/// host.
#[track_caller]
fn assert_found_nothing(host: &Host) {
    let _ = host.mydocker(["exec", "box", "touch", "/stop"]).status();
    let status = host.mydocker(["wait", "box"]).text();
    let log = super::call(host.command(["logs", "box"]));
    assert_eq!(status, "0", "{}", log.transcript());
}

/// Notifies `rounds` that the attack has seen a process.
fn note_that_one_was_seen(seen: &mut bool) {
    if !*seen {
        *seen = true;
        File::create("/seen").unwrap();
    }
}

/// A PATH in which a program is found late, so that the entering process is visible for longer.
fn slow_path() -> String {
    format!("PATH={}/bin", "/x:".repeat(1000))
}

/// CVE-2016-9962 for capabilities: a container with SYS_PTRACE, as for a debugger, took over an
/// entering process that still was root of the host. Guard: the process drops its privileges before
/// the container can see it.
#[test]
fn an_entering_process_has_no_more_capabilities_than_the_container() {
    let host = Host::with_busybox();
    let attack_here = with_attack();
    let flags = ["run", "-d", "--name", "box", "--cap-add", "SYS_PTRACE", "-v", &attack_here, "bb"];
    host.mydocker(
        flags
            .iter()
            .copied()
            .chain(attack("entering::watch_the_capabilities_of_entering_processes")),
    );
    for user in ["0", "1000"] {
        for _ in rounds(&host, 50) {
            let exec = ["exec", "-u", user, "-e", &slow_path(), "box", "true"];
            if host.mydocker(exec).status() != 0 {
                // The attack has found something and has ended.
                break;
            }
        }
    }
    assert_found_nothing(&host);
}

/// Calls `look` with the directory in /proc of each process, again and again until /stop exists.
/// PIDs are assigned in order, so looking at the next PID too shows an entering process early.
fn watch_processes(mut look: impl FnMut(&Path)) {
    while !Path::new("/stop").exists() {
        let entries = fs::read_dir("/proc").unwrap().flatten();
        for pid in entries.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok()) {
            for pid in [pid, pid + 1] {
                look(&Path::new("/proc").join(pid.to_string()));
            }
        }
    }
}

#[test]
#[ignore = "an attack, run inside a container"]
fn watch_the_capabilities_of_entering_processes() {
    must_be_inside();
    let field = |status: &str, name: &str| -> Option<u64> {
        let line = status.lines().find_map(|line| line.strip_prefix(name))?;
        u64::from_str_radix(line.trim_start_matches(':').trim(), 16).ok()
    };
    let own = fs::read_to_string("/proc/self/status").unwrap();
    let most = field(&own, "CapBnd").unwrap();
    let mut seen = false;
    watch_processes(|proc| {
        let Ok(status) = fs::read_to_string(proc.join("status")) else { return };
        for set in ["CapPrm", "CapEff", "CapBnd"] {
            let has = field(&status, set).unwrap();
            assert_eq!(has & !most, 0, "more powerful than the container: {status}");
        }
        assert_eq!(field(&status, "Seccomp"), Some(2), "no filter: {status}");
        let title = fs::read(proc.join("cmdline")).unwrap_or_default();
        if title.starts_with(b"mydocker-init") {
            note_that_one_was_seen(&mut seen);
        }
    });
    assert!(seen, "never saw a process entering: the attack proves nothing");
}

/// CVE-2016-9962 again, in a container with the default capabilities. The container's root may
/// trace processes of the same user that have no more capabilities. Guard: an entering process is
/// not dumpable until it executes the program (prctl(2), PR_SET_DUMPABLE).
#[test]
fn an_entering_process_cannot_be_traced() {
    let host = Host::with_busybox();
    let attack_here = with_attack();
    let flags = ["run", "-d", "--name", "box", "-v", &attack_here, "bb"];
    host.mydocker(flags.iter().copied().chain(attack("entering::try_to_trace_entering_processes")));
    for _ in rounds(&host, 50) {
        if host.mydocker(["exec", "-e", &slow_path(), "box", "true"]).status() != 0 {
            // The attack has found something and has ended.
            break;
        }
    }
    assert_found_nothing(&host);
}

#[test]
#[ignore = "an attack, run inside a container"]
fn try_to_trace_entering_processes() {
    must_be_inside();
    let mut seen = false;
    watch_processes(|proc| {
        let title = || fs::read(proc.join("cmdline")).unwrap_or_default();
        let enters = || title().starts_with(b"mydocker-init");
        if !enters() {
            return;
        }
        // Opening /proc/PID/mem needs the right to attach (proc_pid_mem(5)).
        let memory = File::open(proc.join("mem"));
        // Count this attempt only if the process has not executed its program yet.
        if enters() {
            note_that_one_was_seen(&mut seen);
            assert!(memory.is_err(), "process {} can be traced as it enters", proc.display());
        }
    });
    assert!(seen, "never saw a process entering: the attack proves nothing");
}

/// With `--init`, a process of mydocker stays in the container, with the engine's memory. Guard:
/// the process is not dumpable.
#[test]
fn the_init_process_cannot_be_read() {
    let host = Host::with_busybox();
    let script = "for file in environ maps; do cat /proc/1/$file >/dev/null 2>&1 && echo $file; \
                  done; readlink /proc/1/exe /proc/1/cwd /proc/1/fd/0; grep Name /proc/1/status";
    let seen = host.mydocker(["run", "--rm", "--init", "bb", "sh", "-c", script]).text();
    assert_eq!(seen.split_whitespace().next(), Some("Name:"), "{seen}");
}

/// CVE-2024-21626: a descriptor that the runtime had left open was used as the working directory,
/// by `-w /proc/self/fd/N`, and led to the host's files. Guards: descriptors are closed or
/// close-on-exec, and the working directory is opened without following magic links.
#[test]
fn no_descriptor_is_a_working_directory() {
    let host = Host::with_busybox();
    let canary = canary(&host);
    let leaked = File::open(&canary).unwrap();
    host.mydocker(["run", "-d", "--name", "box", "bb", "sleep", "1000"]);
    for number in 3..64 {
        let cwd = format!("/proc/self/fd/{number}");
        for command in [
            vec!["run", "--rm", "-w", &cwd, "bb", "ls"],
            vec!["exec", "-w", &cwd, "box", "ls"],
            vec!["run", "--rm", "-w", "/proc/1/cwd", "bb", "ls"],
            vec!["exec", "-w", "/proc/1/cwd", "box", "ls"],
        ] {
            let done = super::call(leaking(host.command(command), &leaked));
            let status = done.status();
            assert!(status == 125 || status == 126, "{cwd}: {status}");
        }
    }
}

/// A program in the container has only the descriptors 0, 1 and 2.
#[test]
fn no_descriptor_of_the_caller_is_inherited() {
    let host = Host::with_busybox();
    let canary = canary(&host);
    let leaked = File::open(&canary).unwrap();
    host.mydocker(["run", "-d", "--name", "box", "bb", "sleep", "1000"]);
    let list = "cd /proc/self/fd; for fd in *; do if [ -e $fd ]; then echo $fd; fi; done";
    for command in [
        vec!["run", "--rm", "bb", "sh", "-c", list],
        vec!["exec", "box", "sh", "-c", list],
        vec!["run", "--rm", "--init", "bb", "sh", "-c", list],
    ] {
        super::call(leaking(host.command(command), &leaked)).stdout("0\n1\n2\n");
    }
}

/// A process inherits its caller's session keyring and could read the keys in it. Guard: a process
/// that enters a container joins a new session keyring (keyrings(7)).
#[test]
fn no_key_of_the_callers_keyring_is_inherited() {
    let host = Host::with_busybox();
    host.mydocker(["run", "-d", "--name", "box", "--privileged", "bb", "sleep", "1000"]);
    let mut caller = std::process::Command::new("cat");
    caller.arg("/proc/keys");
    super::call(with_a_key(caller)).stdout_has("of-the-caller");
    for command in [
        vec!["run", "--rm", "--privileged", "bb", "cat", "/proc/keys"],
        vec!["exec", "box", "cat", "/proc/keys"],
    ] {
        let keys = super::call(with_a_key(host.command(command))).text();
        assert!(!keys.contains("of-the-caller"), "{keys}");
    }
}

/// Gives `command` a session keyring with the key `of-the-caller`. Only processes with this keyring
/// see the key in /proc/keys (keyctl(2), add_key(2)).
fn with_a_key(mut command: std::process::Command) -> std::process::Command {
    use std::os::unix::process::CommandExt;
    const JOIN_SESSION_KEYRING: libc::c_int = 1;
    const SETPERM: libc::c_int = 5;
    const SESSION: libc::c_int = -3;
    const POSSESSOR_ALL: libc::c_int = 0x3f00_0000;
    let add = move || {
        let (kind, name) = (c"user".as_ptr(), c"of-the-caller".as_ptr());
        // SAFETY: constant strings, a null name for a new keyring, and integers.
        let result = unsafe {
            let anonymous = std::ptr::null::<libc::c_char>();
            libc::syscall(libc::SYS_keyctl, JOIN_SESSION_KEYRING, anonymous);
            let key = libc::syscall(libc::SYS_add_key, kind, name, name, 3, SESSION);
            libc::syscall(libc::SYS_keyctl, SETPERM, key, POSSESSOR_ALL)
        };
        if result == 0 { Ok(()) } else { Err(std::io::Error::last_os_error()) }
    };
    // SAFETY: `add` only makes system calls.
    unsafe { command.pre_exec(add) };
    command
}

/// Makes `command` inherit `leaked`.
fn leaking(mut command: std::process::Command, leaked: &File) -> std::process::Command {
    // The shell copies `leaked` to descriptors that stay open when the shell executes `command`.
    let fd = leaked.as_raw_fd();
    let mut shell = std::process::Command::new("bash");
    rustix::io::fcntl_setfd(leaked, rustix::io::FdFlags::empty()).unwrap();
    let script = format!("exec 5<&{fd} 6<&{fd} 7<&{fd}; exec \"$@\"");
    shell.args(["-c", &script, "sh"]).arg(command.get_program()).args(command.get_args());
    command.env_clear();
    shell
}
