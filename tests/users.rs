//! `-u`: a name is looked up in the container, and a number is the ID itself.
//!
//! The container's /etc/passwd and /etc/group decide, not the host's. Hostile versions of these
//! files are in `tests/escapes/users.rs`.

mod support;

use support::Host;

fn id(host: &Host, user: &str) -> support::Done {
    let script = "echo $(id -u) $(id -g) $(id -G) $HOME";
    host.mydocker(["run", "--rm", "-u", user, "bb", "sh", "-c", script])
}

#[test]
fn a_user_is_a_name_or_a_number_with_a_group() {
    let host = Host::with_busybox();
    for (user, expected) in [
        ("root", "0 0 0 /root"),
        ("0", "0 0 0 /root"),
        ("app", "1234 1234 1234 29 50 /home/app"),
        ("1234", "1234 1234 1234 29 50 /home/app"),
        ("app:staff", "1234 50 50 /home/app"),
        ("app:0", "1234 0 0 /home/app"),
        ("1:audio", "1 29 29 /usr/sbin"),
        ("4242", "4242 0 0 /"),
        ("4242:4343", "4242 4343 4343 /"),
        (":staff", "0 50 50 /root"),
    ] {
        id(&host, user).stdout(&format!("{expected}\n"));
    }
}

#[test]
fn a_number_is_never_a_name() {
    let host = Host::with_busybox();
    // The image has a user named "1000" with UID 0.
    let script = "echo $(id -u)";
    host.mydocker(["run", "--rm", "-u", "1000", "bb", "sh", "-c", script]).stdout("1000\n");
}

#[test]
fn unknown_and_invalid_users_are_refused() {
    let host = Host::with_busybox();
    for (user, part) in [
        ("nobodyknows", "nobodyknows"),
        ("app:nogroupknows", "nogroupknows"),
        ("2147483648", "2147483648"),
        ("4294967296", "4294967296"),
        ("-1", "-1"),
        ("18446744073709551616", "18446744073709551616"),
    ] {
        host.mydocker(["run", "--rm", &format!("--user={user}"), "bb", "id"]).refused(part);
    }
    host.mydocker(["ps", "-aq"]).stdout("");
}

#[test]
fn an_ordinary_user_has_no_capabilities() {
    let host = Host::with_busybox();
    let caps = "grep -E '^Cap(Inh|Prm|Eff)' /proc/self/status";
    host.mydocker(["run", "--rm", "-u", "app", "bb", "sh", "-c", caps]).stdout(
        "CapInh:\t0000000000000000\nCapPrm:\t0000000000000000\nCapEff:\t0000000000000000\n",
    );
    host.mydocker(["run", "--rm", "-u", "app", "bb", "touch", "/x"]).exits(1);
    host.mydocker(["run", "--rm", "-u", "app", "-w", "/home/app", "bb", "pwd"])
        .stdout("/home/app\n");
}

#[test]
fn a_working_directory_that_the_user_cannot_enter_is_refused() {
    let host = Host::with_busybox();
    // Let only the owner of the volume's directory enter it.
    host.mydocker(["run", "--rm", "-v", "v:/v", "bb", "chmod", "700", "/v"]);
    host.mydocker(["run", "--rm", "-v", "v:/v", "-w", "/v", "-u", "app", "bb", "pwd"])
        .exits(126)
        .complains("/v");
}
