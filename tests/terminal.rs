//! A user at a real terminal: -it, keys, sizes, detaching, attaching, and the terminal afterwards.

mod support;

use rustix::process::Signal;
use support::Host;

#[test]
fn a_shell_to_talk_to() {
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
fn the_terminal_is_put_back_whatever_happens() {
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
fn a_new_size_follows() {
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
fn keys_are_the_programs() {
    let host = Host::with_busybox();
    let mut terminal = host.terminal(["run", "--rm", "-it", "bb", "sh"]);
    terminal.expect("# ");
    // ctrl-c ends what runs in the container, not the client.
    // One process, in the foreground by the time it speaks: between two the shell takes the key.
    terminal.type_in("sh -c 'echo fall$((1))asleep; exec sleep 1000'\n");
    terminal.expect("fall1asleep");
    terminal.type_in("\x03");
    terminal.expect("# ");
    terminal.type_in("echo still $((1 + 1)) here\n");
    terminal.expect("still 2 here");
    // ctrl-d at the prompt ends the shell. Before the prompt it is no key but an end of input.
    terminal.expect("# ");
    terminal.type_in("\x04");
    assert_eq!(terminal.wait().0, 0);
}

#[test]
fn detached_by_keys_and_attached_again() {
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
    // ctrl-p alone is passed on: here it fetches the line before.
    again.type_in("\x10\n");
    again.expect("kept");
    again.type_in("exit 8\n");
    assert_eq!(again.wait().0, 8);
    assert!(!host.is_running("c"));
}

#[test]
fn other_keys_to_detach() {
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
fn two_at_one_terminal_see_the_same() {
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
fn exec_has_a_terminal_of_its_own() {
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
    // In one go with it, the escape would be the beginning of a key's name.
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
fn a_terminal_without_input() {
    let host = Host::with_busybox();
    let mut terminal = host.terminal(["run", "--rm", "-t", "bb", "sh", "-c", "tty; exit 2"]);
    terminal.expect("/dev/pts/0");
    assert_eq!(terminal.wait().0, 2);
    // And input without a terminal here, but one there: scripts do that.
    host.feed("", ["run", "--rm", "-t", "bb", "tty"]).stdout("/dev/pts/0\r\n");
}

#[test]
fn input_for_a_terminal_must_come_from_one() {
    let host = Host::with_busybox();
    let refused = |args: &[&str]| {
        host.feed("exit\n", args).exits(1).stdout("").complains("the input device is not a TTY");
    };
    refused(&["run", "-it", "--name", "c", "bb", "sh"]);
    // Nothing was made, and the image isn't even looked for.
    host.mydocker(["ps", "-aq"]).stdout("");
    refused(&["run", "-it", "no.such.registry.invalid/image", "sh"]);
    host.mydocker(["run", "-dit", "--name", "c", "bb", "sh"]);
    refused(&["exec", "-it", "c", "sh"]);
    refused(&["attach", "c"]);
    refused(&["start", "-ai", "c"]);
    host.mydocker(["stop", "-t", "0", "c"]);
    refused(&["start", "-ai", "c"]);
    host.mydocker(["ps", "-q"]).stdout("");
    // Without the terminal, or without the input, there is nothing to refuse.
    host.mydocker(["start", "c"]);
    host.feed("echo hi\n", ["exec", "-i", "c", "sh"]).stdout("hi\n");
    host.mydocker(["exec", "-t", "c", "echo", "hi"]).stdout("hi\r\n");
    host.mydocker(["exec", "-dit", "c", "true"]);
    host.mydocker(["rm", "-f", "c"]);
}

#[test]
fn a_background_shell_waits_for_its_user() {
    let host = Host::with_busybox();
    host.mydocker(["run", "-dit", "--name", "c", "bb", "sh"]);
    let mut terminal = host.terminal(["attach", "c"]);
    terminal.resize(33, 99);
    terminal.type_in("until stty size | grep '33 99'; do sleep 0.02; done; exit\n");
    terminal.expect("33 99");
    assert_eq!(terminal.wait().0, 0);
}
