//! Commands on a container that is starting, ending, being restarted or being removed: a command
//! works, or reports in one line that the container does not exist or does not run.
//!
//! An `exec` may also be killed with the container (status 137). Short programs make such moments
//! frequent, and most tests repeat their commands.

mod support;

use support::{Host, eventually};

#[test]
fn a_container_that_ends_at_once_has_its_files() {
    let host = Host::with_busybox();
    for round in 0..10 {
        let id = host.mydocker(["run", "-d", "bb", "sh", "-c", "echo said; echo x >/made"]).text();
        let command = match round % 5 {
            0 => vec!["cp", "ID:/etc/passwd", "-"],
            1 => vec!["export", "ID"],
            2 => vec!["diff", "ID"],
            3 => vec!["commit", "ID"],
            _ => vec!["cp", "ID:/etc", "-"],
        };
        let command = command.into_iter().map(|word| word.replace("ID", &id));
        host.mydocker(command.collect::<Vec<_>>()).exits(0);
    }
}

#[test]
fn exec_in_an_ending_container_reports_that_it_does_not_run() {
    let host = Host::with_busybox();
    let script = "for i in 1 2 3 4 5 6 7 8; do sleep 9 & done; usleep $0";
    for round in 0..30 {
        let micros = (round * 700).to_string();
        let id = host.mydocker(["run", "-d", "bb", "sh", "-c", script, &micros]).text();
        loop {
            let done = host.command(["exec", &id, "true"]).output().unwrap();
            if done.status.success() || done.status.code() == Some(137) {
                continue;
            }
            let said = String::from_utf8_lossy(&done.stderr);
            assert_eq!(said, format!("mydocker: container {id} is not running\n"));
            break;
        }
        for command in [["top", &id], ["attach", &id]] {
            host.mydocker(command).exits(1).complains("is not running");
        }
    }
}

#[test]
fn a_container_that_removes_itself_exists_or_does_not() {
    let host = Host::with_busybox();
    let name = "c";
    for round in 0..30 {
        let micros = (round * 500).to_string();
        host.mydocker(["run", "-d", "--rm", "--name", name, "bb", "usleep", &micros]);
        let commands: [&[&str]; 6] = [
            &["exec", name, "true"],
            &["cp", "c:/etc/passwd", "-"],
            &["diff", name],
            &["logs", name],
            &["top", name],
            &["inspect", name],
        ];
        for at in 0.. {
            let command = commands[at % commands.len()];
            let done = host.command(command).output().unwrap();
            let said = String::from_utf8_lossy(&done.stderr).into_owned();
            if said.contains("no such container") {
                break;
            }
            let may_say = said.is_empty() || said.contains("is not running");
            assert!(may_say, "{command:?}: {said}");
        }
        eventually("it is gone", || host.mydocker(["ps", "-aq"]).text().is_empty());
    }
}

#[test]
fn no_command_sees_a_half_made_container() {
    let host = Host::with_busybox();
    for _ in 0..12 {
        let run = host.background(["run", "-d", "--name", "c", "bb", "sleep", "1000"]);
        loop {
            let done = host.command(["exec", "c", "true"]).output().unwrap();
            if done.status.success() {
                break;
            }
            let said = String::from_utf8_lossy(&done.stderr);
            assert_eq!(said, "mydocker: no such container: c\n");
            let states = host.mydocker(["ps", "-a", "--format", "{{.State}}"]).text();
            assert!(["", "created", "running"].contains(&states.as_str()), "{states}");
        }
        run.wait();
        host.mydocker(["rm", "-f", "c"]);
    }
}

#[test]
fn rm_while_a_container_is_made_waits_for_it() {
    let host = Host::with_busybox();
    for _ in 0..12 {
        let run = host.background(["run", "-d", "--name", "c", "bb", "sleep", "1000"]);
        // A forced removal also succeeds without a container, so check its output.
        while host.mydocker(["rm", "-f", "c"]).exits(0).text() != "c" {}
        // Whether the removal came before or after the program's start, it left nothing.
        drop(run);
        eventually("it is gone", || host.mydocker(["ps", "-aq"]).text().is_empty());
    }
}

#[test]
fn a_container_between_restarts_is_listed_as_restarting() {
    let host = Host::with_busybox();
    host.mydocker(["run", "-d", "--restart", "always", "--name", "c", "bb", "sh", "-c", "exit 3"]);
    let state = || host.inspect("c", "{{.State.Status}}");
    // The pause before a restart doubles each time. So the commands below soon fit into one pause.
    eventually("it has been restarted often", || {
        host.inspect("c", "{{.RestartCount}}").parse::<u32>().unwrap() >= 4
    });
    eventually("it waits", || state() == "restarting");
    host.mydocker(["exec", "c", "true"]).exits(1).complains("waits to be restarted");
    host.mydocker(["cp", "c:/etc/passwd", "-"]).exits(0);
    host.mydocker(["export", "c"]).exits(0);
    host.mydocker(["diff", "c"]).exits(0);
    host.mydocker(["commit", "c"]).exits(0);
    host.mydocker(["kill", "c"]).stdout("c\n");
    assert_eq!(state(), "exited");
    host.mydocker(["start", "c"]);
    host.mydocker(["kill", "-s", "TERM", "c"]);
    eventually("it is not restarted", || state() == "exited");
}
