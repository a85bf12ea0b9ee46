//! A user at a terminal: -it, keys, sizes, detaching, attaching, and the terminal's settings
//! afterwards.
//!
//! A pseudo-terminal stands for the user's terminal (`support::terminal`). Streams without a
//! terminal are in `tests/run.rs`.

mod support;

use rustix::process::Signal;
use support::{Host, Terminal};

#[test]
fn an_interactive_shell() {
    let host = Host::with_busybox();
    let mut terminal = host.terminal(["run", "--rm", "-it", "bb", "sh"]);
    terminal.expect("# ");
    terminal.type_in("tty; stty size; echo $TERM\n");
    terminal.expect("/dev/pts/0");
    terminal.expect("24 80");
    terminal.expect("xterm");
    terminal.type_in("exit 4\n");
    assert_eq!(terminal.wait().0, 4);
}

#[test]
fn a_password_that_is_interrupted_leaves_the_echo_on() {
    let host = Host::new();
    for (keys, status) in [("\x03", 130), ("\x1c", 131), ("abc\x04\x03", 130)] {
        let mut terminal = host.terminal(["login", "-u", "me", "127.0.0.1:1"]);
        terminal.expect("Password: ");
        assert_ne!(terminal.settings(), terminal.first_settings);
        terminal.type_in(keys);
        assert_eq!(terminal.wait().0, status);
        assert_eq!(terminal.settings(), terminal.first_settings, "{keys:?}");
    }
}

#[test]
fn the_terminals_settings_are_always_restored() {
    let host = Host::with_busybox();
    let ends: [(&str, &[&str], i32); 3] =
        [("exit", &["sh"], 0), ("fails", &["sh"], 7), ("gone", &["/no/such"], 127)];
    for (how, command, status) in ends {
        let mut args = vec!["run", "--rm", "-it", "bb"];
        args.extend(command);
        let mut terminal = host.terminal(args);
        let before = "ICANON";
        if status != 127 {
            terminal.expect("# ");
            assert!(terminal.is_raw(), "{how}");
            terminal.type_in(&format!("exit {status}\n"));
        }
        assert_eq!(terminal.wait().0, status, "{how}");
        assert!(!terminal.is_raw() && terminal.settings().contains(before), "{how}");
    }
    for signal in [Signal::TERM, Signal::HUP, Signal::INT] {
        let mut terminal = host.terminal(["run", "--rm", "-it", "bb", "sh"]);
        terminal.expect("# ");
        terminal.signal(signal);
        let (status, _) = terminal.wait();
        assert_eq!(status, 128 + signal.as_raw());
        assert_eq!(terminal.settings(), terminal.first_settings, "{signal:?}");
    }
}

#[test]
fn a_new_size_is_passed_on() {
    let host = Host::with_busybox();
    let mut terminal = host.terminal(["run", "--rm", "-it", "bb", "sh"]);
    terminal.expect("# ");
    terminal.type_in("trap 'stty size' WINCH; echo rea''dy\n");
    terminal.expect("ready");
    terminal.resize(41, 132);
    terminal.type_in("until stty size | grep '41 132'; do sleep 0.02; done; exit\n");
    terminal.expect("41 132");
    assert_eq!(terminal.wait().0, 0);
}

#[test]
fn keys_reach_the_program() {
    let host = Host::with_busybox();
    let mut terminal = host.terminal(["run", "--rm", "-it", "bb", "sh"]);
    terminal.expect("# ");
    // ctrl-c ends the program in the container, not the client. One process prints and then sleeps.
    // If the prompt's shell printed, it could get the key before the program starts.
    terminal.type_in("sh -c 'echo fall$((1))asleep; exec sleep 1000'\n");
    terminal.expect("fall1asleep");
    terminal.type_in("\x03");
    terminal.expect("# ");
    terminal.type_in("echo still $((1 + 1)) here\n");
    terminal.expect("still 2 here");
    // ctrl-d at the prompt ends the shell, so wait for the prompt.
    terminal.expect("# ");
    terminal.type_in("\x04");
    assert_eq!(terminal.wait().0, 0);
}

#[test]
fn keys_detach_and_attach_works_again() {
    let host = Host::with_busybox();
    let mut terminal = host.terminal(["run", "-it", "--name", "c", "bb", "sh"]);
    terminal.expect("# ");
    terminal.type_in("mine=kept\n");
    terminal.expect("# ");
    terminal.type_in("\x10\x11");
    assert_eq!(terminal.wait().0, 0);
    assert!(!terminal.is_raw());
    assert!(host.is_running("c"));
    let mut again = host.terminal(["attach", "c"]);
    again.type_in("echo $mine\n");
    again.expect("kept");
    // ctrl-p without ctrl-q is passed on, and the shell shows the previous line.
    again.type_in("\x10\n");
    again.expect("kept");
    again.type_in("exit 8\n");
    assert_eq!(again.wait().0, 8);
    assert!(!host.is_running("c"));
}

#[test]
fn detach_keys_can_be_changed() {
    let host = Host::with_busybox();
    let args = ["run", "-it", "--name", "c", "--detach-keys", "ctrl-x,q", "bb", "sh"];
    let mut terminal = host.terminal(args);
    terminal.expect("# ");
    terminal.type_in("\x18q");
    assert_eq!(terminal.wait().0, 0);
    let mut attached = host.terminal(["attach", "--detach-keys=ctrl-a", "c"]);
    attached.type_in("echo at$((1))\n");
    attached.expect("at1");
    attached.type_in("\x01");
    assert_eq!(attached.wait().0, 0);
    assert!(host.is_running("c"));
}

#[test]
fn a_killed_client_leaves_its_container_attachable() {
    let host = Host::with_busybox();
    let mut terminal = host.terminal(["run", "-it", "--name", "c", "bb", "sh"]);
    terminal.expect("# ");
    terminal.signal(Signal::KILL);
    assert_eq!(terminal.wait().0, 137);
    assert!(host.is_running("c"));
    let mut again = host.terminal(["attach", "c"]);
    again.type_in("exit 5\n");
    assert_eq!(again.wait().0, 5);
}

#[test]
fn two_clients_of_one_terminal_see_the_same() {
    let host = Host::with_busybox();
    let mut one = host.terminal(["run", "-it", "--name", "c", "bb", "sh"]);
    one.expect("# ");
    let mut two = host.terminal(["attach", "c"]);
    two.type_in("echo seen by $((1 + 1))\n");
    one.expect("seen by 2");
    two.expect("seen by 2");
    one.type_in("exit 6\n");
    assert_eq!((one.wait().0, two.wait().0), (6, 6));
}

#[test]
fn exec_has_its_own_terminal() {
    let host = Host::with_busybox();
    host.mydocker(["run", "-d", "--name", "c", "bb", "sleep", "1000"]);
    let mut terminal = host.terminal(["exec", "-it", "c", "sh"]);
    terminal.expect("# ");
    assert!(terminal.is_raw());
    terminal.type_in("tty; stty size; echo $TERM\n");
    terminal.expect("/dev/pts/");
    terminal.expect("24 80");
    terminal.expect("xterm");
    terminal.resize(30, 100);
    terminal.type_in("until stty size | grep '30 100'; do sleep 0.02; done\n");
    terminal.expect("30 100");
    terminal.type_in("exit 9\n");
    assert_eq!(terminal.wait().0, 9);
    assert!(!terminal.is_raw());
}

#[test]
fn full_screen_programs_work() {
    let host = Host::with_busybox();
    host.mydocker(["run", "-d", "--name", "c", "bb", "sleep", "1000"]);
    let mut vi = host.terminal(["exec", "-it", "c", "vi", "/note"]);
    vi.expect("/note");
    vi.type_in("iwritten in vi\x1b");
    // Wait: together with the next keys, the escape could start a key sequence.
    vi.expect("[Modified]");
    vi.type_in(":wq\n");
    assert_eq!(vi.wait().0, 0);
    host.mydocker(["exec", "c", "cat", "/note"]).stdout("written in vi\n");
    let mut top = host.terminal(["exec", "-it", "c", "top"]);
    top.expect("sleep 1000");
    top.type_in("q");
    assert_eq!(top.wait().0, 0);
}

#[test]
fn t_works_without_i() {
    let host = Host::with_busybox();
    let mut terminal = host.terminal(["run", "--rm", "-t", "bb", "sh", "-c", "tty; exit 2"]);
    terminal.expect("/dev/pts/0");
    assert_eq!(terminal.wait().0, 2);
    // Scripts use -t without a terminal; the container still gets one.
    host.feed("", ["run", "--rm", "-t", "bb", "tty"]).stdout("/dev/pts/0\r\n");
}

#[test]
fn it_needs_a_terminal_as_stdin() {
    let host = Host::with_busybox();
    let refused = |args: &[&str]| {
        host.feed("exit\n", args).exits(1).stdout("").complains("the input device is not a TTY");
    };
    refused(&["run", "-it", "--name", "c", "bb", "sh"]);
    // No container was made. Also, mydocker refuses before it looks up an image.
    host.mydocker(["ps", "-aq"]).stdout("");
    refused(&["run", "-it", "no.such.registry.invalid/image", "sh"]);
    host.mydocker(["run", "-dit", "--name", "c", "bb", "sh"]);
    refused(&["exec", "-it", "c", "sh"]);
    refused(&["attach", "c"]);
    refused(&["start", "-ai", "c"]);
    host.mydocker(["stop", "-t", "0", "c"]);
    refused(&["start", "-ai", "c"]);
    host.mydocker(["ps", "-q"]).stdout("");
    // These commands lack -t or -i, or have -d. So they are not refused.
    host.mydocker(["start", "c"]);
    host.feed("echo hi\n", ["exec", "-i", "c", "sh"]).stdout("hi\n");
    host.mydocker(["exec", "-t", "c", "echo", "hi"]).stdout("hi\r\n");
    host.mydocker(["exec", "-dit", "c", "true"]);
    host.mydocker(["rm", "-f", "c"]);
}

#[test]
fn a_detached_shell_waits_for_a_client() {
    let host = Host::with_busybox();
    host.mydocker(["run", "-dit", "--name", "c", "bb", "sh"]);
    let mut terminal = host.terminal(["attach", "c"]);
    terminal.resize(33, 99);
    terminal.type_in("until stty size | grep '33 99'; do sleep 0.02; done; exit\n");
    terminal.expect("33 99");
    assert_eq!(terminal.wait().0, 0);
}

/// Runs a line of shell on a terminal, with these environment variables. The line's `mydocker` uses
/// the roots of `host`. Returns the output.
fn on_terminal(host: &Host, environment: &[(&str, &str)], line: &str) -> String {
    let mut command = std::process::Command::new("sh");
    command.args(["-c", line]).env("PATH", host.path_with_mydocker());
    command.env("TERM", "xterm").env_remove("NO_COLOR").envs(environment.iter().copied());
    let (code, seen) = Terminal::spawn(&command).wait();
    assert_eq!(code, 0, "{line}: {seen:?}");
    seen
}

#[test]
fn a_long_command_shows_its_progress_only_on_a_terminal() {
    let host = Host::with_busybox();
    host.mydocker(["create", "--name", "box", "--network", "none", "bb", "true"]).text();
    let archive = support::busybox_archive();
    let archive = archive.display();
    let saved = host.scratch().join("saved.tar");
    let saved = saved.display();
    host.mydocker(["save", "-o", &saved.to_string(), "bb"]).text();
    // Each command takes more than a second: its input pauses after the first part, or the reader
    // of its output starts late.
    let slowly =
        |file: &str| format!("(head -c 1000000 {file}; sleep 1.5; tail -c +1000001 {file})");
    let reader = "(sleep 1.5; cat >/dev/null)";
    for (word, line) in [
        ("Importing", format!("{} | mydocker import - x", slowly(&archive.to_string()))),
        ("Loading", format!("{} | mydocker load", slowly(&saved.to_string()))),
        ("Saving", format!("mydocker save bb | {reader}")),
        ("Exporting", format!("mydocker export box | {reader}")),
        ("Copying", format!("mydocker cp box:/bin - | {reader}")),
    ] {
        let seen = on_terminal(&host, &[], &line);
        let (shown, after) = seen.rsplit_once("\x1b[1A\x1b[J").expect(&seen);
        assert!(shown.contains(&format!("{word}: ")) && shown.contains("B/s\r\n"), "{seen:?}");
        assert!(!after.contains(word), "not erased: {seen:?}");
        for dull in [("NO_COLOR", "1"), ("TERM", "dumb")] {
            if !matches!(word, "Loading" | "Saving") {
                break;
            }
            let seen = on_terminal(&host, &[dull], &line);
            assert!(!seen.contains('\x1b') && !seen.contains(word), "{dull:?}: {seen:?}");
        }
    }
    // A command that takes less than a second draws nothing, and a command with `-q` never does.
    for line in [
        "mydocker commit box y".to_owned(),
        format!("{} | mydocker import -q - x", slowly(&archive.to_string())),
    ] {
        let seen = on_terminal(&host, &[], &line);
        assert!(seen.starts_with("sha256:") && !seen.contains('\x1b'), "{line}: {seen:?}");
    }
}

#[test]
fn colours_and_cursor_codes_need_a_capable_terminal() {
    let host = Host::with_busybox();
    host.mydocker(["run", "-d", "--name", "up", "--network", "none", "bb", "sleep", "1000"]).text();
    host.mydocker(["run", "--name", "down", "--network", "none", "bb", "false"]).exits(1);
    let codes = [
        ("mydocker ps -a", "\x1b[32mUp "),
        ("mydocker ps -a", "\x1b[31mExited (1) "),
        ("mydocker explain up", "\x1b[1m"),
        ("mydocker rm nobody || true", "\x1b[31mmydocker rm\x1b[0m: no such container"),
        // timeout exits with 124.
        ("timeout 2 mydocker stats || true", "\x1b[H\x1b[2JCONTAINER ID"),
    ];
    for (line, code) in codes {
        let seen = on_terminal(&host, &[], line);
        assert!(seen.contains(code), "{line}: {seen:?}");
        for dull in [("NO_COLOR", "1"), ("TERM", "dumb")] {
            let seen = on_terminal(&host, &[dull], line);
            assert!(!seen.contains('\x1b') && !seen.contains("u001b"), "{dull:?}: {seen:?}");
            assert!(!seen.is_empty());
        }
    }
    let piped = on_terminal(&host, &[], "mydocker ps -a | cat");
    assert!(!piped.contains('\x1b'), "{piped:?}");
}
