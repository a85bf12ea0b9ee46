//! Attacks on the user and groups that a container's process gets.
//!
//! The image controls /etc/passwd and /etc/group: they may be huge, a FIFO, a device, or a file
//! that only the host's root can read. A process must never get more rights than the image's user
//! and the flags of `run` or `exec` give.

use std::fs::File;

use super::support::Host;
use super::{ATTACK, attack, call, with_attack};

/// CVE-2016-3697: a numeric user was looked up as a name. CVE-2024-40635, CVE-2026-46680: a number
/// above 2^31 or 2^32 wrapped around to root. CVE-2026-30892 is similar. The image's passwd has an
/// entry named "1000" with UID 0.
#[test]
fn a_numeric_user_is_that_user_or_an_error() {
    let host = Host::with_busybox();
    for (user, uid) in [("1", "1"), ("1000", "1000"), ("2147483647", "2147483647"), ("app", "1234")]
    {
        host.mydocker(["run", "--rm", "-u", user, "bb", "id", "-u"]).stdout(&format!("{uid}\n"));
    }
    for bad in [
        "2147483648",
        "4294967295",
        "4294967296",
        "4294967297",
        "18446744073709551616",
        "-1",
        "+0",
        "0x0",
        " 0",
        "1:4294967296",
        "1:-1",
        "nosuch",
        "1:nosuch",
        "",
    ] {
        let done = host.mydocker(["run", "--rm", &format!("--user={bad}"), "bb", "id", "-u"]);
        match bad {
            // An empty `--user` means the user of the image.
            "" => done.stdout("0\n"),
            _ => done.refused(bad.trim_start_matches("1:").trim()),
        };
        let _ = host.mydocker(["run", "-d", "--name", "box", "bb", "sleep", "1000"]).status();
        if !bad.is_empty() {
            let status = host.mydocker(["exec", &format!("--user={bad}"), "box", "id"]).status();
            assert!(status == 1 || status == 126, "exec -u {bad:?}: {status}");
        }
    }
}

/// CVE-2022-36109 and similar: a process had the wrong supplementary groups. It must have those of
/// the image, and none of the caller's.
#[test]
fn supplementary_groups_are_the_images() {
    let host = Host::with_busybox();
    let groups = |flags: &[&str]| {
        let mut args = vec!["run", "--rm"];
        args.extend(flags);
        args.extend(["bb", "id", "-G"]);
        // The caller is in a group that the image does not have.
        let like = host.command(args);
        let mut command = std::process::Command::new("setpriv");
        command.args(["--groups", "4242"]).arg(like.get_program()).args(like.get_args());
        let mut groups: Vec<u32> =
            call(command).text().split(' ').map(|group| group.parse().unwrap()).collect();
        groups.sort_unstable();
        groups
    };
    assert_eq!(groups(&[]), [0]);
    assert_eq!(groups(&["-u", "app"]), [29, 50, 1234]);
    assert_eq!(groups(&["-u", "1234"]), [29, 50, 1234]);
    assert_eq!(groups(&["-u", "5555"]), [0]);
    assert_eq!(groups(&["-u", "app:daemon"]), [1]);
}

/// The path of the set-group-ID copy of this test binary in the images of the next test.
const SET_GROUP_ID: &str = "/set-group-id";

/// CVE-2022-36109, CVE-2022-2989, CVE-2022-2990, CVE-2022-2995: the user's primary group was not
/// among the supplementary groups. So a set-group-ID program could drop this group and read a file
/// that refuses access only to this group. Guard: `user::look_up` puts the primary group first.
#[test]
fn a_set_group_id_program_keeps_the_group_that_a_file_refuses() {
    let host = Host::with_busybox();
    // No user of this test has group 1. The mode of the files refuses access only to their group.
    let script = format!(
        "cp {ATTACK} {SET_GROUP_ID} && chown 0:1 {SET_GROUP_ID} && chmod 2755 {SET_GROUP_ID} &&
         for group in 29 1234 4343; do echo secret >/but-$group; chown 0:$group /but-$group;
         chmod 604 /but-$group; done"
    );
    let flags = ["run", "--name", "maker", "-v", &with_attack(), "bb", "sh", "-c", &script];
    host.mydocker(flags);
    for (user, image) in [("app", "app"), ("4242:4343", "numbers"), ("app:audio", "audio")] {
        host.mydocker(["commit", "-c", &format!("USER {user}"), "maker", image]);
    }
    let mut program = attack("users::read_a_file_that_the_group_may_not_read").map(str::to_owned);
    program[0] = SET_GROUP_ID.into();
    let reads = |flags: &[&str], group: &str| {
        let denied = format!("DENIED=/but-{group}");
        let flags = flags.iter().map(|flag| flag.replace("DENIED", &denied));
        host.mydocker(flags.chain(program.iter().cloned())).stdout_has("1 passed");
    };
    for userns in ["host", "auto"] {
        let flags = ["run", "-d", "--name", userns, "--userns", userns, "audio", "sleep", "1000"];
        host.mydocker(flags);
        for (user, group, image) in [
            ("app", "1234", "app"),
            ("1234", "1234", "app"),
            ("4242:4343", "4343", "numbers"),
            ("app:audio", "29", "audio"),
        ] {
            let run = ["run", "--rm", "--userns", userns, "-e", "DENIED"];
            reads(&[&run[..], &["-u", user, "numbers"]].concat(), group);
            reads(&[&run[..], &[image]].concat(), group);
            reads(&["exec", "-e", "DENIED", "-u", user, userns], group);
        }
        reads(&["exec", "-e", "DENIED", userns], "29");
    }
}

#[test]
#[ignore = "an attack, run inside a container"]
fn read_a_file_that_the_group_may_not_read() {
    // If the kernel has not changed the group, the attack proves nothing.
    assert_eq!(std::env::current_exe().unwrap(), std::path::Path::new(SET_GROUP_ID));
    let (real, effective) = (rustix::process::getgid(), rustix::process::getegid());
    assert!(real != effective && effective.as_raw() == 1, "{real:?} {effective:?}");
    let denied = std::env::var("DENIED").unwrap();
    let error = File::open(&denied).expect_err("its group reads it");
    assert_eq!(error.kind(), std::io::ErrorKind::PermissionDenied, "{denied}: {error}");
}

/// If the container's root may not read the passwd file, the engine does not read it either.
#[test]
fn a_passwd_file_is_read_with_the_containers_capabilities() {
    let host = Host::with_busybox();
    let script = "echo app:x:1234:1234::/:/bin/sh >/etc/passwd; chmod 600 /etc/passwd; \
        chown 4242 /etc/passwd";
    host.mydocker(["run", "--name", "c", "bb", "sh", "-c", script]);
    host.mydocker(["commit", "c", "closed"]);
    for userns in ["host", "auto"] {
        let run = |flags: &[&str]| {
            let line = ["run", "--rm", "--net", "none", "--userns", userns, "-u", "app"];
            host.mydocker([&line[..], flags, &["closed", "id", "-u"]].concat())
        };
        // The container's root can read the file by CAP_DAC_OVERRIDE, which it has by default.
        run(&[]).stdout("1234\n");
        run(&["--cap-drop", "ALL"]).exits(125).complains("Permission denied");
    }
}

/// The groups of the command's caller do not help to read a container's file. Guard: `look_up_user`
/// first drops these groups.
#[test]
fn a_passwd_file_is_read_without_the_callers_groups() {
    let host = Host::with_busybox();
    let script = "echo app:x:1234:1234::/:/bin/sh >/etc/passwd; chmod 640 /etc/passwd; \
        chown 4242:4343 /etc/passwd";
    host.mydocker(["run", "--name", "c", "bb", "sh", "-c", script]);
    host.mydocker(["commit", "c", "closed"]);
    for userns in ["host", "auto"] {
        let flags = ["run", "--rm", "--net", "none", "--userns", userns, "--cap-drop", "ALL"];
        for of_caller in [&["--groups", "4343"][..], &["--regid", "4343", "--clear-groups"]] {
            let called = |args: &[&str]| {
                let like = host.command(args);
                let mut command = std::process::Command::new("setpriv");
                command.args(of_caller).arg(like.get_program()).args(like.get_args());
                call(command)
            };
            let run = [&flags[..], &["-u", "app", "closed", "true"]].concat();
            called(&run).exits(125).complains("Permission denied");
        }
    }
}

/// CVE-2026-47262: an endless passwd or group file used up the engine's memory, or took hours to
/// read. Guards: MAX_LINE limits the memory, and MAX_FILE the time.
#[test]
fn a_giant_passwd_file_is_bounded() {
    let host = Host::with_busybox();
    let root = host.scratch().join("root");
    for dir in ["bin", "etc"] {
        std::fs::create_dir_all(root.join(dir)).unwrap();
    }
    std::fs::copy("/bin/busybox", root.join("bin/busybox")).unwrap();
    for file in ["passwd", "group"] {
        // The file is sparse: its zero bytes take no disk space, and it has no newline.
        let file = std::fs::File::create(root.join("etc").join(file)).unwrap();
        file.set_len(1 << 42).unwrap();
    }
    for (user, complaint) in
        [("1234", ""), ("app", "no user 'app'"), ("1234:staff", "no group 'staff'")]
    {
        let root = root.to_str().unwrap();
        let args = ["run", "--rm", "-u", user, "--rootfs", root, "/bin/busybox", "true"];
        let like = host.command(args);
        let mut command = std::process::Command::new("prlimit");
        // The limit of address space in bytes, for the engine and for each of its children.
        command.arg("--as=16777216").arg(like.get_program()).args(like.get_args());
        let done = call(command);
        match complaint {
            "" => done.stdout(""),
            complaint => done.refused(complaint),
        };
    }
}

/// A FIFO in place of passwd or group could block the engine until a process writes to the FIFO.
/// Guard: `user::for_each_line` opens the path with O_NONBLOCK and reads only regular files.
#[test]
fn a_fifo_in_place_of_passwd_is_refused_at_once() {
    let host = Host::with_busybox();
    for (file, user) in [("passwd", "app"), ("passwd", "1234"), ("group", "app:staff")] {
        for make in ["mkfifo", "mkdir"] {
            let script = format!("rm /etc/{file}; {make} /etc/{file}; echo made; sleep 1000");
            host.mydocker(["run", "-d", "--name", "box", "bb", "sh", "-ec", &script]);
            let made = || host.mydocker(["logs", "box"]).text() == "made";
            super::support::eventually("it is made", made);
            let refused = format!("/etc/{file} is not a regular file");
            let exec = host.mydocker(["exec", "-u", user, "box", "true"]);
            exec.exits(126).complains(&refused);
            host.mydocker(["commit", "box", "odd"]);
            host.mydocker(["run", "--rm", "-u", user, "odd", "true"]).refused(&refused);
            host.mydocker(["rm", "-f", "box"]);
        }
    }
}

/// A device in place of passwd or group may have no end. Guard: the engine never reads a device,
/// and treats it as an empty file.
#[test]
fn a_device_in_place_of_passwd_is_not_read() {
    let host = Host::with_busybox();
    let script =
        "rm /etc/passwd /etc/group; ln -s /dev/zero /etc/passwd; ln -s /dev/zero /etc/group";
    host.mydocker(["run", "--name", "box", "bb", "sh", "-ec", script]);
    host.mydocker(["commit", "box", "odd"]);
    let run = |user: &str| {
        let line = ["run", "--rm", "--net", "none", "-u", user, "odd", "echo", "ran"];
        host.mydocker(line)
    };
    run("1234").stdout("ran\n");
    run("app").refused("no user 'app'");
    run("1234:staff").refused("no group 'staff'");
}

/// CVE-2021-41091, CVE-2021-41103, CVE-2024-25621: the engine's directories were open to other
/// users, so a user of the host could run set-user-ID programs of images and connect to sockets. In
/// this test the root directories exist before the first command, and every user may enter them.
/// Guard: only root may enter the directories inside them.
#[test]
fn other_users_of_the_host_reach_no_file_of_a_container() {
    let host = Host::new();
    for root in [host.state_root(), host.run_root()] {
        std::fs::create_dir_all(&root).unwrap();
        std::fs::set_permissions(&root, std::os::unix::fs::PermissionsExt::from_mode(0o755))
            .unwrap();
    }
    let archive = super::support::busybox_archive();
    host.mydocker(["import", archive.to_str().unwrap(), "bb"]);
    let script = "cp /bin/busybox /data/su; cp /bin/busybox /su; chmod 4755 /su /data/su; \
        echo secret; exec sleep 1000";
    let flags = ["run", "-d", "--name", "box", "--network", "none", "-v", "named:/data", "bb"];
    host.mydocker([&flags[..], &["sh", "-c", script]].concat());
    super::support::eventually("it is set up", || {
        host.mydocker(["logs", "box"]).text().contains("secret")
    });
    host.mydocker(["commit", "box", "powerful"]);
    let roots = [host.state_root(), host.run_root()];
    let find = |nobody: bool, wanted: &[&str]| {
        let mut command = std::process::Command::new("setpriv");
        if nobody {
            command.args(["--reuid", "65534", "--regid", "65534", "--clear-groups"]);
        }
        let output = command.arg("find").args(&roots).args(wanted).output().unwrap();
        String::from_utf8(output.stdout).unwrap()
    };
    for wanted in [&["-perm", "/6000"][..], &["-type", "s"], &["-name", "log"]] {
        assert!(!find(false, wanted).is_empty(), "{wanted:?}: nothing there to be reached");
        assert_eq!(find(true, wanted), "");
    }
    assert_eq!(find(true, &["-type", "f", "-readable"]), "");
    host.mydocker(["rm", "-f", "box"]);
}
