//! `run`: a command in a container of its own, and what comes back of it.

mod support;

use support::Host;

#[test]
fn the_readmes_first_line() {
    let host = Host::with_busybox();
    host.mydocker(["run", "--rm", "bb", "echo", "hi"]).stdout("hi\n").stderr("");
}

#[test]
fn hello_needs_no_image() {
    let host = Host::new();
    host.mydocker(["run", "--rm", "hello"]).stdout_has("I am PID        1\n");
}

#[test]
fn the_commands_own_status_comes_back() {
    let host = Host::with_busybox();
    for status in [0, 1, 3, 255] {
        host.mydocker(["run", "--rm", "bb", "sh", "-c", &format!("exit {status}")]).exits(status);
    }
    // Process 1 of a PID namespace is deaf to its own SIGKILL; behind --init it is no process 1.
    host.mydocker(["run", "--rm", "--init", "bb", "sh", "-c", "kill -9 $$"]).exits(137);
}
