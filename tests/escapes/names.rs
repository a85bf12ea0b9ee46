//! Paths in the clothes of names.

use std::path::Path;
use std::process::Command;

use super::support::Host;
use super::{CANARY, canary};

const TRICKS: [&str; 10] =
    ["..", ".", "../x", "../../etc", "/etc/passwd", "a/../../x", "a/b", "-x", "a\nb", "a\u{202e}b"];

/// Everything below `dir`, to see whether anything came or went.
fn tree(dir: &Path) -> Vec<String> {
    let find = Command::new("find").arg(dir).args(["-printf", "%p %s %m\\n"]).output().unwrap();
    let mut lines: Vec<String> =
        String::from_utf8(find.stdout).unwrap().lines().map(str::to_owned).collect();
    lines.sort();
    lines
}

#[test]
fn names_are_no_paths() {
    let host = Host::with_busybox();
    let canary = canary(&host);
    host.mydocker(["create", "--name", "box", "bb", "true"]);
    let before = tree(&canary);
    for name in TRICKS {
        let flag = |flag: &str| format!("{flag}={name}");
        let refused = |args: &[&str]| {
            let status = host.mydocker(args).status();
            assert!(status == 125 || status == 1, "{args:?}: {status}");
        };
        refused(&["create", &flag("--name"), "bb", "true"]);
        refused(&["rename", "--", "box", name]);
        refused(&["start", "--", name]);
        refused(&["rm", "-f", "--", name]);
        refused(&["logs", "--", name]);
        refused(&["volume", "create", "--", name]);
        refused(&["volume", "rm", "--", name]);
        refused(&["volume", "inspect", "--", name]);
        refused(&["rmi", "--", name]);
        refused(&["exec", name, "true"]);
        if name != "a/b" {
            refused(&["tag", "--", "bb", name]);
            refused(&["tag", "--", "bb", &format!("x:{name}")]);
            refused(&["run", "--rm", &format!("bb@sha256:{name}"), "true"]);
        }
    }
    assert_eq!(tree(&canary), before);
    assert_eq!(host.inspect("box", "{{.Name}}"), "/box");
}

/// A name in the drop folder is an image's; a link there is the user's own, a name that leads out
/// of it is none.
#[test]
fn drop_folder_names_stay_in_it() {
    let host = Host::with_busybox();
    let drop = host.state_root().join("images/drop");
    std::fs::create_dir_all(&drop).unwrap();
    std::fs::copy(super::support::busybox_archive(), host.state_root().join("images/x.tar"))
        .unwrap();
    for name in ["../x", "drop/../../x", "./../x"] {
        host.mydocker(["run", "--rm", name, "true"]).exits(125);
    }
}

#[test]
fn a_cidfile_replaces_nothing() {
    let host = Host::with_busybox();
    let canary = canary(&host);
    let secret = canary.join("secret");
    let link = host.scratch().join("link");
    std::os::unix::fs::symlink(&secret, &link).unwrap();
    let dangling = host.scratch().join("dangling");
    std::os::unix::fs::symlink(canary.join("new"), &dangling).unwrap();
    for path in [&secret, &link, &dangling, &canary] {
        let flag = format!("--cidfile={}", path.display());
        host.mydocker(["create", &flag, "bb", "true"]).refused("--cidfile");
    }
    assert_eq!(std::fs::read_to_string(&secret).unwrap(), CANARY);
    assert!(!canary.join("new").exists());
    host.mydocker(["ps", "-aq"]).stdout("");
}

#[test]
fn environment_files_are_lines_of_names_and_values() {
    let host = Host::with_busybox();
    for bad in ["=x\n", "a b=c\n", "A\0=b\n"] {
        let file = host.file("env", bad);
        let flag = format!("--env-file={}", file.display());
        host.mydocker(["run", "--rm", &flag, "bb", "env"]).refused("env");
    }
    let flag = "--env-file=/dev/zero";
    host.mydocker(["run", "--rm", flag, "bb", "env"]).refused("/dev/zero");
}
