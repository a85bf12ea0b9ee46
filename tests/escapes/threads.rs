//! A container whose first process has lost its main thread: /proc/PID/stat shows a zombie, while
//! other threads of the process still run. Every command must treat the container as running.
//!
//! The main thread can end by pthread_exit(3) while the process lives on. A program can do this on
//! purpose, so that the engine takes its container for stopped.

use super::support::{Host, eventually};
use super::{attack, must_be_inside, with_attack};

/// Starts `box` and waits until its first process has lost its main thread. Returns the process's
/// PID.
fn start(host: &Host, flags: &[&str]) -> i32 {
    let attack_here = with_attack();
    let run = ["run", "-d", "--name", "box", "--restart", "unless-stopped", "-v", &attack_here];
    let run = run.iter().chain(flags).chain(&["bb"]).copied();
    host.mydocker(run.chain(attack("threads::lose_the_main_thread")));
    let pid = host.pid("box");
    eventually("its main thread has ended", || state(pid) == Some('Z'));
    pid
}

/// The state of the main thread in /proc/PID/stat.
fn state(pid: i32) -> Option<char> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit_once(") ")?.1.chars().next()
}

#[test]
#[ignore = "an attack, run inside a container"]
fn lose_the_main_thread() {
    extern "C" fn say_so(_signal: libc::c_int) {
        let text = b"caught\n";
        // SAFETY: write(2) is async-signal-safe; the buffer has the given length.
        unsafe { libc::write(1, text.as_ptr().cast(), text.len()) };
    }
    extern "C" fn end_this_thread(_signal: libc::c_int) {
        // SAFETY: the call ends only the calling thread, whose stack stays mapped.
        unsafe { libc::syscall(libc::SYS_exit, 0) };
    }
    must_be_inside();
    let own = rustix::process::getpid();
    assert_ne!(
        rustix::thread::gettid(),
        own,
        "the harness runs this in a thread beside the main one"
    );
    let own = own.as_raw_nonzero().get();
    // SAFETY: both handlers only make a system call.
    unsafe {
        libc::signal(libc::SIGTERM, say_so as *const () as libc::sighandler_t);
        libc::signal(libc::SIGUSR1, end_this_thread as *const () as libc::sighandler_t);
        libc::syscall(libc::SYS_tgkill, own, own, libc::SIGUSR1);
    }
    loop {
        std::thread::sleep(std::time::Duration::from_secs(1000));
    }
}

#[test]
fn a_container_without_its_main_thread_is_signalled_and_stopped() {
    let host = Host::with_busybox();
    let pid = start(&host, &[]);
    host.mydocker(["kill", "-s", "TERM", "box"]);
    eventually("the signal is caught", || {
        host.mydocker(["logs", "box"]).text().ends_with("caught")
    });
    host.mydocker(["stop", "-t", "0", "box"]);
    assert_eq!(state(pid), None);
    assert_eq!(host.inspect("box", "{{.State.Status}} {{.State.ExitCode}}"), "exited 137");
}

#[test]
fn a_container_without_its_main_thread_counts_as_running() {
    let host = Host::with_busybox();
    let pid = start(&host, &[]);
    // The container runs already, so `start` returns at once.
    host.mydocker(["start", "box"]);
    assert_eq!(host.pid("box"), pid);
    host.mydocker(["rm", "box"]).exits(1).stderr_has("is running");
    host.mydocker(["ps", "-q", "--no-trunc"]).stdout(&(host.inspect("box", "{{.Id}}") + "\n"));
    host.mydocker(["restart", "-t", "0", "box"]);
    assert_eq!(state(pid), None);
    assert_ne!(host.pid("box"), pid);
    host.mydocker(["kill", "box"]);
    assert!(!host.is_running("box"));
}

#[test]
fn a_container_without_its_main_thread_can_be_entered_and_copied_from() {
    let host = Host::with_busybox();
    for flags in [&[][..], &["--userns", "auto"]] {
        let pid = start(&host, flags);
        let own = |name: &str| host.mydocker(["exec", "box", "readlink", name]).text();
        let kept = std::fs::read_dir(format!("/proc/{pid}/task")).unwrap().flatten();
        let thread = kept.map(|thread| thread.path()).find(|path| !path.ends_with(pid.to_string()));
        let thread = thread.unwrap();
        for kind in ["pid", "mnt", "uts", "ipc", "net", "cgroup", "user"] {
            let theirs = std::fs::read_link(thread.join("ns").join(kind)).unwrap();
            assert_eq!(own(&format!("/proc/self/ns/{kind}")), theirs.to_str().unwrap());
        }
        host.mydocker(["exec", "box", "sh", "-c", "echo data >/tmp/file"]);
        host.mydocker(["cp", "box:/tmp/file", "-"]).stdout_has("data");
        host.mydocker(["export", "box"]).stdout_has("tmp/file");
        host.mydocker(["diff", "box"]).stdout_has("A /tmp/file");
        host.mydocker(["stats", "--no-stream", "box"]).stdout_has("box");
        if flags.is_empty() {
            host.mydocker(["run", "--rm", "--network", "container:box", "bb", "true"]);
        }
        host.mydocker(["rm", "-f", "box"]);
        assert_eq!(state(pid), None);
    }
}

#[test]
fn a_container_without_its_main_thread_changes_networks() {
    let host = Host::on_machine();
    let pid = start(&host, &["--net", "none"]);
    host.mydocker(["network", "create", "other"]);
    let links = || host.mydocker(["exec", "box", "ls", "/sys/class/net"]).text();
    host.mydocker(["network", "connect", "other", "box"]);
    assert!(links().contains("eth0"), "{}", links());
    host.mydocker(["network", "disconnect", "other", "box"]);
    assert!(!links().contains("eth0"), "{}", links());
    host.mydocker(["rm", "-f", "box"]);
    assert_eq!(state(pid), None);
}

#[test]
fn a_halt_ends_a_container_without_its_main_thread() {
    let host = Host::with_busybox();
    let pid = start(&host, &[]);
    host.mydocker(["halt", "-t", "1"]);
    assert_eq!(state(pid), None);
    assert!(!host.is_running("box"));
}

/// If a container does not end, `stop` and `start` wait for a limited time and then fail, and
/// `rename` does not wait for them. In this test SIGSTOP keeps the monitor from cleaning up.
/// Guards: `MAX_CLEANUP` limits both waits, and `start` releases the lock for changes while it
/// waits.
#[test]
fn a_container_that_does_not_end_is_an_error() {
    let host = Host::with_busybox();
    host.mydocker(["run", "-d", "--name", "box", "bb", "sleep", "1000"]);
    let (pid, monitor) = (host.pid("box"), host.monitor("box"));
    let id = host.inspect("box", "{{.Id}}");
    let signal = |signal| {
        let monitor = rustix::process::Pid::from_raw(monitor).unwrap();
        rustix::process::kill_process(monitor, signal).unwrap();
    };
    signal(rustix::process::Signal::STOP);
    let stop = host.background(["stop", "-t", "0", "box"]);
    eventually("it is killed", || state(pid) == Some('Z'));
    // Use the id: the rename may come before this command looks up the name.
    let start = host.background(["start", &id]);
    // `stop` and `start` wait, but do not block `rename`.
    host.mydocker(["rename", "box", "case"]);
    stop.wait().exits(1).complains("box has not exited");
    start.wait().exits(1).complains("has not exited");
    signal(rustix::process::Signal::CONT);
    host.mydocker(["rm", "-f", "case"]);
}
