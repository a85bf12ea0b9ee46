//! Directory trees of hostile containers: deeper than a path may be, with odd names and many hard
//! links. The engine handles them with few descriptors, and its errors are short.
//!
//! A path of more than 4,095 bytes can't be given to the kernel (PATH_MAX), so the engine must walk
//! by descriptors. Attacks by links are in `tests/escapes`.

mod support;

use std::os::fd::OwnedFd;
use std::path::Path;
use std::process::{Command, Output};

use rustix::fs::{CWD, Mode, OFlags, mkdirat, openat};
use support::Host;

/// Runs `mydocker ARGS` with at most 128 descriptors.
fn few(host: &Host, args: &[&str]) -> Output {
    let command = host.command(args);
    Command::new("sh")
        .args(["-c", "ulimit -n 128; exec \"$@\"", "sh"])
        .arg(command.get_program())
        .args(command.get_args())
        .output()
        .unwrap()
}

#[track_caller]
fn succeeds(host: &Host, args: &[&str]) -> Vec<u8> {
    let done = few(host, args);
    let printed = String::from_utf8_lossy(&done.stderr);
    assert!(done.status.success(), "{args:?}: {}", &printed[..printed.len().min(2000)]);
    done.stdout
}

/// Makes `levels` nested directories with this name, and a file in the last.
fn nest(top: &Path, name: &str, levels: usize) {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let mut current: OwnedFd = openat(CWD, top, flags, Mode::empty()).unwrap();
    for _ in 0..levels {
        mkdirat(&current, name, Mode::from_raw_mode(0o755)).unwrap();
        current = openat(&current, name, flags, Mode::empty()).unwrap();
    }
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::CLOEXEC;
    openat(&current, "f", flags, Mode::from_raw_mode(0o644)).unwrap();
}

/// Creates the container `c`. Returns its upper directory.
fn container(host: &Host) -> std::path::PathBuf {
    let id = host.mydocker(["create", "--name", "c", "bb", "true"]).text();
    host.state_root().join("containers").join(id).join("upper")
}

/// The number of nested directories with this name below `top`. The last must have the file `f`.
fn levels(top: &Path, name: &str) -> usize {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let mut current: OwnedFd = openat(CWD, top, flags, Mode::empty()).unwrap();
    let mut levels = 0;
    while let Ok(below) = openat(&current, name, flags, Mode::empty()) {
        (current, levels) = (below, levels + 1);
    }
    openat(&current, "f", OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()).unwrap();
    levels
}

#[test]
fn a_tree_of_many_levels_works_in_every_command() {
    goes_everywhere("d", 2000);
}

/// The kernel resolves paths of at most 4,095 bytes; this path has 10,000.
#[test]
fn a_tree_deeper_than_a_path_works_in_every_command() {
    goes_everywhere(&"n".repeat(199), 50);
}

fn goes_everywhere(name: &str, depth: usize) {
    let host = Host::with_busybox();
    let upper = container(&host);
    nest(&upper, name, depth);
    let diff = succeeds(&host, &["diff", "c"]);
    assert_eq!(diff.iter().filter(|&&byte| byte == b'\n').count(), depth + 1);
    let scratch = host.scratch();
    let out = scratch.join("out.tar");
    succeeds(&host, &["export", "-o", out.to_str().unwrap(), "c"]);
    let exported = std::fs::read(&out).unwrap();
    let listed = Command::new("tar").arg("-tf").arg(&out).output().unwrap();
    let deepest = format!("{name}/").repeat(depth) + "f";
    assert!(String::from_utf8_lossy(&listed.stdout).lines().any(|line| line == deepest));
    succeeds(&host, &["commit", "c", "deep"]);
    succeeds(&host, &["import", out.to_str().unwrap(), "flat"]);
    succeeds(&host, &["create", "--name", "other", "bb", "true"]);
    for image in ["deep", "flat"] {
        succeeds(&host, &["create", "--name", image, image, "true"]);
        assert!(succeeds(&host, &["export", image]) == exported, "{image}: another archive");
        let copy = scratch.join(image);
        succeeds(&host, &["cp", &format!("{image}:/{name}"), copy.to_str().unwrap()]);
        assert_eq!(levels(&copy, name), depth - 1, "{image}");
        succeeds(&host, &["cp", copy.to_str().unwrap(), "other:/"]);
        succeeds(&host, &["rm", image]);
    }
    host.mydocker(["run", "--rm", "deep", "test", "-d", &format!("{name}/{name}")]);
    let saved = scratch.join("saved.tar");
    succeeds(&host, &["save", "-o", saved.to_str().unwrap(), "deep"]);
    succeeds(&host, &["rmi", "deep"]);
    succeeds(&host, &["load", "-i", saved.to_str().unwrap()]);
    succeeds(&host, &["rm", "c", "other"]);
    succeeds(&host, &["rmi", "deep", "flat"]);
    succeeds(&host, &["system", "check"]);
}

#[test]
fn errors_about_a_tree_that_is_too_deep_are_short() {
    let host = Host::with_busybox();
    let upper = container(&host);
    // The engine's archives hold paths of less than 128 KiB. This path has 130 KiB.
    let name = "d".repeat(255);
    nest(&upper, &name, 520);
    let half = host.scratch().join("half");
    for args in [
        &["diff", "c"][..],
        &["export", "c"],
        &["commit", "c", "deep"],
        &["cp", &format!("c:/{name}"), "-"],
        &["cp", &format!("c:/{name}"), half.to_str().unwrap()],
    ] {
        let done = few(&host, args);
        let printed = String::from_utf8_lossy(&done.stderr);
        assert_eq!(done.status.code(), Some(1), "{args:?}");
        assert!(printed.lines().count() == 1 && printed.len() < 700, "{args:?}: {}", printed.len());
        assert!(printed.contains(&"d".repeat(100)), "{args:?}: {printed}");
        assert_eq!(printed.matches('…').count(), 1, "{args:?}: {printed}");
    }
    succeeds(&host, &["rm", "c"]);
    assert!(!upper.exists());
}

#[test]
fn odd_names_and_many_links_are_kept() {
    let host = Host::with_busybox();
    let upper = container(&host);
    let odd = format!("\n\x1b[31m{}\\\"'", "n".repeat(240));
    std::fs::create_dir(upper.join("farm")).unwrap();
    for at in 0..3000 {
        let first = upper.join(format!("farm/a{at}"));
        std::fs::write(&first, at.to_string()).unwrap();
        std::fs::hard_link(&first, upper.join(format!("farm/b{at}"))).unwrap();
    }
    for at in 0..3000 {
        std::fs::hard_link(upper.join("farm/a0"), upper.join(format!("farm/c{at}"))).unwrap();
    }
    std::fs::write(upper.join(&odd), "odd").unwrap();
    let diff = String::from_utf8(succeeds(&host, &["diff", "c"])).unwrap();
    assert_eq!(diff.lines().count(), 9002, "a name with a newline takes one line");
    succeeds(&host, &["commit", "c", "made"]);
    let script = "cd /farm; ls | wc -l; stat -c %h a0 a7; cat b2999 c2999; cat /?*nnnn*";
    host.mydocker(["run", "--rm", "made", "sh", "-c", script]).stdout("9000\n3002\n2\n29990odd");
}
