//! The host's mount namespace, the mount namespace of another process, and user namespaces that do
//! not map ID 0. `lifecycle.rs` tests namespaces of other kinds.
//!
//! The root of a container without a mount namespace of its own is mounted on the host, so tests
//! also count the mounts that are left there.

use std::process::{Command, Stdio};

use super::Bundle;
use super::support::eventually;

/// The number of mounts of this process at the bundle's root or below it.
fn mounts(bundle: &Bundle) -> usize {
    let all = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
    let root = bundle.rootfs().display().to_string();
    all.lines().filter(|line| line.split(' ').nth(4).unwrap().starts_with(&root)).count()
}

fn link_of(process: &str) -> String {
    std::fs::read_link(format!("/proc/{process}/ns/mnt")).unwrap().display().to_string()
}

#[test]
fn a_container_in_the_hosts_mount_namespace_leaves_no_mounts() {
    let bundle = Bundle::new();
    bundle.edit(", { \"type\": \"mount\" }", "");
    let good = bundle.config();
    bundle.runs("readlink /proc/self/ns/mnt; ls -d /proc/1 /bin; exec sleep 1000");
    bundle.create();
    bundle.call(&["start", &bundle.id]).stdout("");
    let expected = format!("{}\n/bin\n/proc/1\n", link_of("self"));
    eventually("its words", || bundle.output() == expected);
    assert!(mounts(&bundle) > 1);
    // A process of `exec` has the container's root, not the host's.
    let outside = bundle.dir().join("config.json").display().to_string();
    let script =
        format!("readlink /proc/self/ns/mnt; ls -d /proc/1; ls {outside} 2>/dev/null || pwd");
    let expected = format!("{}\n/proc/1\n/\n", link_of("self"));
    bundle.call(&["exec", &bundle.id, "sh", "-c", &script]).stdout(&expected);
    bundle.call(&["delete", "--force", &bundle.id]).stdout("");
    assert_eq!(mounts(&bundle), 0);
    // A `run` that fails undoes its mounts, but not the caller's mount on the root.
    let mount = |command: &str| {
        let mut command = Command::new(command);
        if command.get_program() == "mount" {
            command.arg("--bind").arg(bundle.rootfs());
        }
        assert!(command.arg(bundle.rootfs()).status().unwrap().success());
    };
    mount("mount");
    let failing = "\"maskedPaths\": [\"/loop\", ";
    std::os::unix::fs::symlink("loop", bundle.rootfs().join("loop")).unwrap();
    bundle.set_config_with(&good, "\"maskedPaths\": [", failing);
    bundle.run().exits(1).stderr_has("/loop");
    let left = mounts(&bundle);
    mount("umount");
    assert_eq!((left, mounts(&bundle)), (1, 0));
    bundle.set_config_with(&good, "\"path\": \"rootfs\"", "\"path\": \"/\"");
    bundle.run().exits(1).stderr_has("root.path should be another directory");
}

#[test]
fn a_container_joins_the_mount_namespace_of_a_path() {
    let bundle = Bundle::new();
    let mut other = Command::new("unshare");
    other.args(["--mount", "sleep", "1000"]).stdin(Stdio::null());
    let mut other = other.spawn().unwrap();
    let pid = other.id().to_string();
    eventually("it is elsewhere", || {
        std::fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|name| name == "sleep\n")
    });
    let by = format!("{{ \"type\": \"mount\", \"path\": \"/proc/{pid}/ns/mnt\" }}");
    bundle.edit("{ \"type\": \"mount\" }", &by);
    bundle.runs("readlink /proc/self/ns/mnt; ls -d /proc/1");
    let (theirs, found) = (link_of(&pid), bundle.run());
    other.kill().unwrap();
    other.wait().unwrap();
    found.stdout(&format!("{theirs}\n/proc/1\n"));
    assert_eq!(mounts(&bundle), 0);
}

#[test]
fn a_user_namespace_needs_no_root() {
    let bundle = Bundle::new();
    let map = "[{\"containerID\":1000,\"hostID\":100000,\"size\":1}]";
    let maps = format!("\"uidMappings\":{map},\"gidMappings\":{map},\"maskedPaths\"");
    bundle.edit("\"maskedPaths\"", &maps);
    bundle.edit("{ \"type\": \"mount\" }", "{ \"type\": \"mount\" }, { \"type\": \"user\" }");
    bundle.edit("\"uid\": 0, \"gid\": 0", "\"uid\": 1000, \"gid\": 1000");
    bundle.edit(", \"gid=5\"", "");
    bundle.runs("id -u; id -g; tr -s ' ' < /proc/self/uid_map; grep CapEff /proc/self/status; exec sleep 1000");
    bundle.create();
    bundle.call(&["start", &bundle.id]).stdout("");
    let expected = "1000\n1000\n 1000 100000 1\nCapEff:\t0000000000000000\n";
    eventually("its words", || bundle.output() == expected);
    bundle.call(&["exec", &bundle.id, "id", "-u"]).stdout("1000\n");
}
