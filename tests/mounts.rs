//! `-v`, `--mount`, `--tmpfs` and `--read-only`: files of the host, of volumes and of images in a
//! container.
//!
//! `--volumes-from` and volumes with options are tested here too. Attacks on mount targets are in
//! `tests/escapes/mounts.rs`.

mod support;

use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::process::Command;

use support::{Host, eventually};

#[test]
fn a_bind_mounts_a_directory_of_the_host() {
    let host = Host::with_busybox();
    let dir = host.scratch().join("data");
    std::fs::create_dir(&dir).unwrap();
    std::fs::write(dir.join("in"), "from host\n").unwrap();
    let flag = format!("{}:/data", dir.display());
    host.shell(&["-v", &flag], "cat /data/in; echo from container >/data/out")
        .stdout("from host\n");
    assert_eq!(std::fs::read_to_string(dir.join("out")).unwrap(), "from container\n");
    let read_only = format!("{flag}:ro");
    host.shell(&["-v", &read_only], "echo x >/data/in").exits(1).stderr_has("Read-only");
    host.shell(&["-v", &format!("{flag}:rw")], "echo x >/data/x");
    host.shell(&["-v", &format!("{flag}:bogus")], "true").refused("bogus");
}

#[test]
fn a_missing_directory_is_made_and_a_file_can_be_bound() {
    let host = Host::with_busybox();
    let missing = host.scratch().join("not/yet/there");
    host.shell(&["-v", &format!("{}:/new/place", missing.display())], "touch /new/place/x");
    assert!(missing.join("x").exists());
    let file = host.file("file", "content\n");
    let flag = format!("{}:/etc/app/conf", file.display());
    host.shell(&["-v", &flag], "cat /etc/app/conf; echo more >>/etc/app/conf").stdout("content\n");
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "content\nmore\n");
    // The mount covers a file of the image.
    let flag = format!("{}:/etc/passwd:ro", file.display());
    host.shell(&["-v", &flag], "head -n 1 /etc/passwd").stdout("content\n");
}

#[test]
fn a_bind_source_is_relative_to_the_working_directory() {
    let host = Host::with_busybox();
    host.file("near", "near\n");
    for source in [".", "./"] {
        let mut command =
            host.command(["run", "--rm", "-v", &format!("{source}:/d"), "bb", "cat", "/d/near"]);
        let output = command.current_dir(host.scratch()).output().unwrap();
        assert_eq!(String::from_utf8_lossy(&output.stdout), "near\n");
    }
}

#[test]
fn mounts_can_be_nested_in_any_order() {
    let host = Host::with_busybox();
    let dir = host.scratch();
    for name in ["a", "b", "c"] {
        std::fs::create_dir(dir.join(name)).unwrap();
        std::fs::write(dir.join(name).join("name"), format!("{name}\n")).unwrap();
    }
    let flag = |name: &str, to: &str| format!("{}:{to}", dir.join(name).display());
    // The inner mount comes first: the order on the command line must not matter.
    let flags = [&flag("b", "/m/inner"), &flag("a", "/m"), &flag("c", "/other")];
    host.shell(
        &["-v", flags[0], "-v", flags[1], "-v", flags[2]],
        "cat /m/name /m/inner/name /other/name",
    )
    .stdout("a\nb\nc\n");
    host.shell(&["-v", flags[1], "-v", &flag("b", "/m")], "true").refused("/m");
}

#[test]
fn a_named_volume_outlives_its_containers() {
    let host = Host::with_busybox();
    host.shell(&["-v", "data:/data"], "echo kept >/data/file");
    host.shell(&["-v", "data:/elsewhere"], "cat /elsewhere/file").stdout("kept\n");
    host.shell(&["--mount", "type=volume,src=data,dst=/d,readonly"], "echo x >/d/file")
        .exits(1)
        .stderr_has("Read-only");
    host.mydocker(["volume", "ls", "-q"]).stdout("data\n");
    host.mydocker(["create", "--name", "user", "-v", "data:/d", "bb", "true"]);
    host.mydocker(["volume", "rm", "data"]).exits(1).complains("user");
    host.mydocker(["rm", "user"]);
    host.mydocker(["volume", "rm", "data"]).stdout("data\n");
}

#[test]
fn an_empty_volume_is_filled_from_the_image() {
    let host = Host::with_busybox();
    host.shell(&["-v", "etc:/etc"], "grep -c app /etc/passwd; touch /etc/mine").stdout("1\n");
    host.shell(&["-v", "etc:/e"], "ls /e/mine /e/passwd").stdout("/e/mine\n/e/passwd\n");
    host.shell(&["--mount", "type=volume,src=bare,dst=/etc,volume-nocopy"], "ls /etc/passwd")
        .exits(1);
    // The volume also gets the owner and the mode of the image's directory.
    host.shell(&["-v", "tmp:/tmp"], "stat -c %a /tmp").stdout("1777\n");
}

/// Makes the image `full`: busybox, and the directory /d with files that `script` makes.
fn full(host: &Host, script: &str) {
    let root = host.scratch().join("full");
    std::fs::create_dir_all(root.join("d")).unwrap();
    let made = Command::new("sh").args(["-ec", script]).current_dir(root.join("d")).status();
    assert!(made.unwrap().success());
    let tar = host.scratch().join("full.tar");
    let archive = support::busybox_archive();
    std::fs::copy(archive, &tar).unwrap();
    let added = Command::new("tar").arg("-C").arg(&root).arg("-Srf").arg(&tar).arg("d").status();
    assert!(added.unwrap().success());
    host.mydocker(["import", tar.to_str().unwrap(), "full"]);
    std::fs::remove_dir_all(&root).unwrap();
}

#[test]
fn filling_a_volume_keeps_the_files_of_a_container() {
    let host = Host::with_busybox();
    full(&host, "mkdir sub; echo one >sub/file; echo two >other; chmod 750 .; chown 3:4 .");
    host.mydocker(["run", "-d", "--name", "a", "-v", "v:/d", "bb", "sleep", "1000"]);
    let data = host.state_root().join("volumes/v/_data");
    let before = std::fs::metadata(&data).unwrap().ino();
    host.mydocker(["run", "--rm", "-v", "v:/d", "full", "cat", "/d/sub/file"]).stdout("one\n");
    let look = ["sh", "-c", "cat /d/sub/file /d/other; stat -c '%a %u:%g' /d; echo mine >/d/mine"];
    host.mydocker(["exec", "a"].iter().chain(&look)).stdout("one\ntwo\n750 3:4\n");
    assert_eq!(std::fs::metadata(&data).unwrap().ino(), before);
    host.mydocker(["run", "--rm", "-v", "v:/d", "full", "cat", "/d/mine"]).stdout("mine\n");
    // This volume is as after a kill: the copy in `_data.filled` is complete, but its files are not
    // in `_data` yet. Then a container has made the file `a`.
    let (volume, cut) = (host.state_root().join("volumes/w"), "echo a; cat /d/a /d/b; ls /d");
    for (place, file, text) in [
        ("_data", "a", "container's\n"),
        ("_data.filled", "a", "image's\n"),
        ("_data.filled", "b", "rest\n"),
        ("_data.filling", "c", "half\n"),
    ] {
        if !volume.exists() {
            host.mydocker(["volume", "create", "w"]);
        }
        std::fs::create_dir_all(volume.join(place)).unwrap();
        std::fs::write(volume.join(place).join(file), text).unwrap();
    }
    host.mydocker(["run", "--rm", "-v", "w:/d", "full", "sh", "-c", cut])
        .stdout("a\ncontainer's\nrest\na\nb\n");
    assert!(!volume.join("_data.filled").exists() && !volume.join("_data.filling").exists());
    // Here the copy in `_data.filling` is not complete, so the copy is made again.
    host.mydocker(["volume", "create", "x"]);
    let half = host.state_root().join("volumes/x/_data.filling");
    std::fs::create_dir(&half).unwrap();
    std::fs::write(half.join("half"), "").unwrap();
    host.mydocker(["run", "--rm", "-v", "x:/d", "full", "ls", "/d"]).stdout("other\nsub\n");
}

#[test]
fn a_volume_is_filled_with_holes_links_and_deep_directories() {
    let host = Host::with_busybox();
    full(
        &host,
        "truncate -s 8G hole; printf x | dd of=hole bs=1 seek=4G conv=notrunc status=none; \
         echo data >first; for i in $(seq 1500); do ln first link$i; echo $i >o$i; ln o$i p$i; done; \
         printf 'd/%.0s' $(seq 600) | xargs mkdir -p; echo deep >$(printf 'd/%.0s' $(seq 600))f",
    );
    let script = "stat -c %s /d/hole; [ $(stat -c %b /d/hole) -lt 100 ] && echo sparse; \
                  stat -c %h /d/first /d/o1; cat /d/link7; cat /$(printf 'd/%.0s' $(seq 601))f";
    let run = host.command(["run", "--rm", "--net", "none", "-v", "v:/d", "full", "sh", "-c"]);
    let done = Command::new("sh")
        .args(["-c", "ulimit -n 128; exec \"$@\"", "sh"])
        .arg(run.get_program())
        .args(run.get_args())
        .arg(script)
        .output()
        .unwrap();
    let printed = String::from_utf8_lossy(&done.stderr);
    let expected = "8589934592\nsparse\n1501\n2\ndata\ndeep\n";
    assert_eq!(String::from_utf8_lossy(&done.stdout), expected, "{printed}");
}

#[test]
fn anonymous_volumes_go_with_their_container() {
    let host = Host::with_busybox();
    let volumes = || host.mydocker(["volume", "ls", "-q"]).lines().len();
    host.shell(&["-v", "/data"], "touch /data/x");
    assert_eq!(volumes(), 0);
    host.mydocker(["run", "--name", "keeps", "-v", "/data", "bb", "touch", "/data/x"]);
    host.mydocker(["rm", "keeps"]);
    assert_eq!(volumes(), 1);
    host.mydocker(["run", "--name", "takes", "-v", "/data", "bb", "touch", "/data/x"]);
    assert_eq!(volumes(), 2);
    host.mydocker(["rm", "-v", "takes"]);
    assert_eq!(volumes(), 1);
}

#[test]
fn mount_takes_keys_and_values() {
    let host = Host::with_busybox();
    let dir = host.scratch();
    host.file("x", "x\n");
    let bind = format!("type=bind,source={},target=/d", dir.display());
    host.shell(&["--mount", &bind], "cat /d/x").stdout("x\n");
    for read_only in ["readonly", "ro", "readonly=true"] {
        host.shell(&["--mount", &format!("{bind},{read_only}")], "touch /d/y").exits(1);
    }
    let missing = format!("type=bind,src={}/missing,dst=/d", dir.display());
    host.shell(&["--mount", &missing], "true").refused("missing");
    host.shell(
        &["--mount", "type=tmpfs,dst=/t,tmpfs-size=1m,tmpfs-mode=700"],
        "stat -c %a /t; df -k /t | tail -n 1 | awk '{print $2}'",
    )
    .stdout("700\n1024\n");
    for (bad, part) in [
        ("type=nfs,dst=/d", "nfs"),
        ("type=bind,dst=/d", "source"),
        ("type=bind,src=/tmp", "target"),
        ("type=bind,src=/tmp,dst=/d,colour=red", "colour"),
        ("type=bind,src=relative,dst=/d", "'relative'"),
        ("type=bind,src=/tmp,dst=d", "'d'"),
    ] {
        host.shell(&["--mount", bad], "true").refused(part);
    }
}

#[test]
fn tmpfs_is_empty_and_in_memory() {
    let host = Host::with_busybox();
    host.shell(
        &["--tmpfs", "/etc"],
        "ls /etc | grep -vE 'hosts|hostname|resolv.conf'; \
        grep ' /etc ' /proc/mounts | cut -d' ' -f3",
    )
    .stdout("tmpfs\n");
    host.shell(
        &["--tmpfs", "/t:size=2m,mode=1777"],
        "stat -c %a /t; dd if=/dev/zero of=/t/x bs=1M count=3 2>&1",
    )
    .exits(1)
    .stdout_has("1777")
    .stdout_has("No space left");
    // The options are Docker's defaults.
    host.shell(&["--tmpfs", "/t"], "grep ' /t ' /proc/mounts").stdout_has("nosuid,nodev,noexec");
    host.shell(&["--tmpfs", "/t:exec"], "cp /bin/busybox /t/echo && /t/echo ran").stdout("ran\n");
    host.shell(&["--tmpfs", "/t:bogus=1"], "true").refused("bogus");
}

#[test]
fn a_read_only_root_can_have_writable_mounts() {
    let host = Host::with_busybox();
    host.shell(&["--read-only"], "touch /x").exits(1).stderr_has("Read-only");
    host.shell(&["--read-only"], "echo x >/dev/null; touch /dev/shm/x && echo ok").stdout("ok\n");
    host.shell(
        &["--read-only", "--tmpfs", "/run", "-v", "data:/data"],
        "touch /run/x /data/x && echo ok",
    )
    .stdout("ok\n");
    host.shell(&["--read-only", "-w", "/made/deep"], "pwd").stdout("/made/deep\n");
    host.shell(&["--read-only", "-w", "/made"], "touch x").exits(1).stderr_has("Read-only");
    host.shell(&["--read-only", "-w", "/made", "--userns", "auto"], "stat -c %u .").stdout("0\n");
    // With --read-only, the files that the engine mounts are read-only too.
    for file in ["hosts", "hostname", "resolv.conf"] {
        let script = format!("echo x >>/etc/{file}");
        host.shell(&["--read-only"], &script).exits(1).stderr_has("Read-only");
        host.shell(&[], &script);
    }
}

#[test]
fn changes_stay_in_the_container() {
    let host = Host::with_busybox();
    host.mydocker(["run", "--name", "w", "bb", "sh", "-c", "echo mine >/file; rm /etc/group"]);
    host.shell(&[], "ls /file /etc/group 2>/dev/null").exits(1).stdout("/etc/group\n");
    host.mydocker(["start", "-a", "w"]).exits(1).stderr_has("/etc/group");
    host.mydocker(["rm", "w"]);
}

#[test]
fn a_mount_point_through_a_link_stays_inside() {
    let host = Host::with_busybox();
    let outside = host.scratch().join("outside");
    std::fs::create_dir(&outside).unwrap();
    let rootfs = host.scratch().join("rootfs");
    std::fs::create_dir_all(rootfs.join("bin")).unwrap();
    std::fs::copy("/bin/busybox", rootfs.join("bin/busybox")).unwrap();
    // This path must exist inside too, or the mount would be refused.
    std::fs::create_dir_all(rootfs.join(outside.strip_prefix("/").unwrap())).unwrap();
    std::os::unix::fs::symlink(&outside, rootfs.join("absolute")).unwrap();
    std::os::unix::fs::symlink("../../../../../..", rootfs.join("up")).unwrap();
    let data = host.file("data", "data\n");
    let root = rootfs.to_str().unwrap();
    for target in ["/absolute/x", "/up/x"] {
        let flag = format!("{}:{target}", data.display());
        host.mydocker([
            "run",
            "--rm",
            "-v",
            &flag,
            "--rootfs",
            root,
            "/bin/busybox",
            "cat",
            target,
        ])
        .stdout("data\n");
    }
    assert_eq!(std::fs::read_dir(&outside).unwrap().count(), 0);
    assert!(!std::path::Path::new("/x").exists());
}

#[test]
fn host_files_keep_their_owners() {
    let host = Host::with_busybox();
    let dir = host.scratch().join("d");
    std::fs::create_dir(&dir).unwrap();
    std::fs::set_permissions(&dir, std::fs::Permissions::from_mode(0o777)).unwrap();
    host.shell(&["-u", "app", "-v", &format!("{}:/d", dir.display())], "touch /d/x");
    assert_eq!(std::fs::metadata(dir.join("x")).unwrap().uid(), 1234);
}

/// The mounts of a container's root are not visible on the host, even if the host's mounts are
/// shared, as on most hosts.
#[test]
fn mounts_of_a_containers_root_are_not_visible_on_the_host() {
    let host = Host::with_busybox();
    let run = host.command(["run", "-d", "--name", "c", "-v", "/tmp:/t", "bb", "sleep", "1000"]);
    let mut shared = std::process::Command::new("unshare");
    let script = "\"$@\" >/dev/null && cat /proc/self/mountinfo";
    shared.args(["--mount", "--propagation", "shared", "sh", "-c", script, "sh"]);
    let done = shared.arg(run.get_program()).args(run.get_args()).output().unwrap();
    let mounts = String::from_utf8(done.stdout).unwrap();
    assert!(done.status.success() && mounts.contains(" shared:"), "{mounts}");
    let state = host.state_root();
    let ours = mounts.lines().filter(|line| line.contains(state.to_str().unwrap()));
    assert_eq!(ours.count(), 0, "{mounts}");
    assert!(host.is_running("c"));
}

/// A tmpfs on `dir` that is a shared mount of the host. Dropping the value unmounts the tmpfs.
struct Shared {
    dir: std::path::PathBuf,
}

impl Shared {
    fn mount(dir: std::path::PathBuf) -> Shared {
        use rustix::mount::{MountFlags, MountPropagationFlags, mount, mount_change};
        std::fs::create_dir_all(&dir).unwrap();
        mount("tmpfs", &dir, "tmpfs", MountFlags::empty(), c"size=1m").unwrap();
        mount_change(&dir, MountPropagationFlags::SHARED).unwrap();
        for name in ["early", "late", "inner"] {
            std::fs::create_dir(dir.join(name)).unwrap();
        }
        Shared { dir }
    }

    /// Mounts another tmpfs on the directory `name` of this one, and makes a file in the new tmpfs.
    fn mount_below(&self, name: &str) {
        let dir = self.dir.join(name);
        let flags = rustix::mount::MountFlags::empty();
        rustix::mount::mount("tmpfs", &dir, "tmpfs", flags, c"size=64k").unwrap();
        std::fs::write(dir.join("file"), name).unwrap();
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        for name in ["early", "late", "inner", ""] {
            let detach = rustix::mount::UnmountFlags::DETACH;
            let _ = rustix::mount::unmount(self.dir.join(name), detach);
        }
    }
}

#[test]
fn later_mounts_of_the_host_are_visible_only_in_a_slave() {
    let host = Host::with_busybox();
    let shared = Shared::mount(host.scratch().join("shared"));
    shared.mount_below("early");
    let dir = shared.dir.to_str().unwrap();
    let run = |name: &str, flags: &[&str]| {
        let run = ["run", "-d", "--name", name, "--network", "none"];
        host.mydocker([&run[..], flags, &["bb", "sleep", "1000"]].concat());
    };
    let by_key = format!("type=bind,src={dir},dst=/m,bind-propagation=rslave");
    run("slave", &["-v", &format!("{dir}:/m:rslave"), "-v", &format!("{dir}:/p")]);
    run("key", &["--mount", &by_key]);
    run("private", &["-v", &format!("{dir}:/m")]);
    shared.mount_below("late");
    let sees = |name: &str, path: &str| host.succeeds(["exec", name, "test", "-e", path]);
    assert!(sees("slave", "/m/early/file") && sees("slave", "/m/late/file"));
    assert!(sees("key", "/m/late/file"));
    assert!(sees("slave", "/p/early/file") && !sees("slave", "/p/late/file"), "another bind of it");
    assert!(sees("private", "/m/early/file") && !sees("private", "/m/late/file"));
    host.mydocker(["inspect", "key"]).stdout_has("\"Propagation\": \"rslave\"");
    // Mounts inside the container are not visible outside.
    let mount = ["mount", "-t", "tmpfs", "tmpfs", "/m/inner"];
    host.mydocker([&["exec", "--privileged", "slave"][..], &mount].concat());
    host.mydocker(["exec", "--privileged", "slave", "touch", "/m/inner/file"]);
    assert!(!shared.dir.join("inner/file").exists());
    host.mydocker(["rm", "-f", "slave", "key", "private"]);
}

#[test]
fn mounts_of_a_container_are_visible_on_the_host_if_the_bind_is_shared() {
    let host = Host::with_busybox();
    let shared = Shared::mount(host.scratch().join("shared"));
    let bind = format!("{}:/m:rshared", shared.dir.display());
    let script = "mount -t tmpfs tmpfs /m/inner && touch /m/inner/file && sleep 1000";
    let run = ["run", "-d", "--name", "c", "--network", "none", "--privileged", "-v", &bind];
    host.mydocker([&run[..], &["bb", "sh", "-c", script]].concat());
    support::eventually("it shows", || shared.dir.join("inner/file").exists());
    shared.mount_below("late");
    host.mydocker(["exec", "c", "cat", "/m/late/file"]).stdout("late");
    // No other mount of the container reaches the host.
    let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
    let id = host.inspect("c", "{{.Id}}");
    assert!(!mounts.contains(&format!("containers/{id}")), "{mounts}");
    host.mydocker(["rm", "-f", "c"]);
    host.mydocker(["run", "--rm", "--userns", "auto", "-v", &bind, "bb", "true"])
        .exits(125)
        .stderr_has("a container's mounts can't reach the host; write rslave");
    drop(shared);
    let plain = host.scratch().join("plain");
    let plain = Shared::mount(plain);
    use rustix::mount::{MountPropagationFlags, mount_change};
    mount_change(&plain.dir, MountPropagationFlags::PRIVATE).unwrap();
    for mode in ["rshared", "rslave"] {
        let bind = format!("{}:/m:{mode}", plain.dir.display());
        host.mydocker(["run", "--rm", "-v", &bind, "bb", "true"])
            .exits(125)
            .stderr_has("is not on a shared mount of the host");
    }
}

#[test]
fn a_bind_can_leave_out_submounts_or_be_read_only_without_them() {
    let host = Host::with_busybox();
    let shared = Shared::mount(host.scratch().join("shared"));
    shared.mount_below("early");
    let run = |keys: &str, script: &str| {
        let mount = format!("type=bind,src={},dst=/m{keys}", shared.dir.display());
        let run = ["run", "--rm", "--network", "none", "--mount", &mount];
        host.mydocker([&run[..], &["bb", "sh", "-c", script]].concat())
    };
    let write = "touch /m/x 2>/dev/null && echo top; touch /m/early/x 2>/dev/null && echo below; \
                 rm -f /m/x /m/early/x; ls /m/early 2>/dev/null";
    run("", write).stdout("top\nbelow\nfile\n");
    run(",bind-recursive=disabled", write).stdout("top\nbelow\n");
    run(",bind-nonrecursive", write).stdout("top\nbelow\n");
    run(",readonly", write).stdout("file\n");
    run(",readonly,bind-recursive=readonly", write).stdout("file\n");
    run(",readonly,bind-recursive=writable", write).stdout("below\nfile\n");
    let missing = shared.dir.join("missing");
    let mount = format!("type=bind,src={},dst=/m,bind-create-src", missing.display());
    host.mydocker(["run", "--rm", "--mount", &mount, "bb", "touch", "/m/made"]);
    assert!(missing.join("made").exists());
}

#[test]
fn mount_takes_a_subpath_and_labels_of_a_volume() {
    let host = Host::with_busybox();
    let run = |keys: &str, script: &str| {
        let mount = format!("type=volume,src=data,dst=/m{keys}");
        let run = ["run", "--rm", "--network", "none", "--mount", &mount];
        host.mydocker([&run[..], &["bb", "sh", "-c", script]].concat())
    };
    let make = "mkdir -p /m/a/b && echo inside >/m/a/b/file && ln -s / /m/out && ln -s a/b /m/in";
    run(",volume-label=k=v,volume-label=l", make);
    assert_eq!(host.inspect("data", "{{json .Labels}}"), r#"{"k":"v","l":""}"#);
    let mount = "type=volume,dst=/m,volume-label=without=name";
    host.mydocker(["create", "--mount", mount, "bb", "true"]);
    host.mydocker(["volume", "ls", "-q", "--filter", "label=without=name"]).stdout_has("\n");
    run(",volume-subpath=a/b", "cat /m/file; ls /m").stdout("inside\nfile\n");
    run(",volume-subpath=a/b/file", "cat /m").stdout("inside\n");
    run(",volume-subpath=in", "cat /m/file").stdout("inside\n");
    // A link that leads out of the volume is resolved inside the volume.
    run(",volume-subpath=out", "ls /m").stdout("a\nin\nout\n");
    run(",volume-subpath=none", "true").exits(125).stderr_has("open none in");
    let mount = "type=volume,src=data,dst=/m,volume-subpath=a/b";
    host.mydocker(["create", "--name", "c", "--mount", mount, "bb", "true"]);
    let copy = host.scratch().join("copy");
    host.mydocker(["cp", "c:/m/file", copy.to_str().unwrap()]);
    assert_eq!(std::fs::read_to_string(copy).unwrap(), "inside\n");
}

#[test]
fn volumes_from_another_container_outlive_it() {
    let host = Host::with_busybox();
    let bind = format!("{}:/bound", host.scratch().display());
    let run =
        ["run", "-d", "--name", "a", "--network", "none", "-v", "/anonymous", "-v", "named:/n"];
    host.mydocker([&run[..], &["-v", &bind, "--tmpfs", "/t", "bb", "sleep", "1000"]].concat());
    host.mydocker([
        "exec",
        "a",
        "sh",
        "-c",
        "echo 1 >/anonymous/f; echo 2 >/n/f; echo 3 >/bound/f",
    ]);
    let read = "cat /anonymous/f /n/f /bound/f; test -e /t && echo tmpfs; touch /n/x && echo wrote";
    let from = |flag: &str| {
        let run = ["run", "--rm", "--network", "none", "--volumes-from", flag];
        host.mydocker([&run[..], &["bb", "sh", "-c", read]].concat())
    };
    from("a").stdout("1\n2\n3\nwrote\n");
    from("a:ro").exits(1).stdout("1\n2\n3\n").stderr_has("Read-only");
    // As in Docker, the last `--volumes-from` provides the mount on /n, which both containers have.
    host.mydocker(["create", "--name", "c", "-v", "other:/n", "bb", "true"]);
    for (first, last, there) in [("c", "a", "f\nx\n"), ("a", "c", "")] {
        let both = ["run", "--rm", "--network", "none", "--volumes-from", first];
        let last = format!("{last}:ro,z");
        host.mydocker([&both[..], &["--volumes-from", &last, "bb", "ls", "/n"]].concat())
            .stdout(there);
    }
    host.mydocker(["rm", "c"]);
    host.mydocker(["volume", "rm", "other"]);
    // A mount of the new container takes precedence at the same path.
    let own = ["run", "--rm", "--network", "none", "--volumes-from", "a", "--tmpfs", "/n"];
    host.mydocker([&own[..], &["bb", "ls", "/n"]].concat()).stdout("");
    let keep = ["create", "--name", "b", "--network", "none", "--volumes-from", "a"];
    host.mydocker([&keep[..], &["bb", "cat", "/anonymous/f"]].concat());
    host.mydocker(["rm", "-f", "-v", "a"]);
    host.mydocker(["start", "-a", "b"]).stdout("1\n");
    host.mydocker(["volume", "ls", "-q"]).stdout_has("named\n");
    assert_eq!(host.mydocker(["volume", "ls", "-q"]).lines().len(), 2);
    host.mydocker(["rm", "-v", "b"]);
    host.mydocker(["volume", "ls", "-q"]).stdout("named\n");
    host.mydocker(["run", "--rm", "--volumes-from", "nobody", "bb", "true"])
        .refused("--volumes-from nobody: no such container");
    assert!(!host.succeeds(["create", "--volumes-from", "a:maybe", "bb", "true"]));
}

#[test]
fn a_failed_create_leaves_no_volume_and_no_directory() {
    let host = Host::with_busybox();
    let source = host.scratch().join("new/deep");
    let bind = format!("{}:/b", source.display());
    let wanted = ["create", "-v", "new:/a", "-v", &bind, "-v", "/anonymous"];
    for (bad, part) in [
        // The first mistake is found before a volume exists, the last one when all volumes exist.
        (["--mount", "type=bind,src=/nosuch,dst=/c"], "/nosuch"),
        (["--mount", "dst=/c,volume-opt=type=nosuch"], "device="),
        (["--network", "nosuch"], "nosuch"),
        (["--cidfile", "/nosuch/file"], "/nosuch/file"),
    ] {
        host.mydocker([&wanted[..], &bad, &["bb", "true"]].concat()).exits(1).complains(part);
        host.mydocker(["volume", "ls", "-q"]).stdout("");
        assert!(!source.parent().unwrap().exists(), "{part}");
        assert_eq!(std::fs::read_dir(host.state_root().join("containers")).unwrap().count(), 1);
    }
    // A volume that was there before stays.
    host.mydocker(["volume", "create", "new"]);
    let bad = ["--cidfile", "/nosuch/file", "bb", "true"];
    host.mydocker([&wanted[..], &bad].concat()).exits(1);
    host.mydocker(["volume", "ls", "-q"]).stdout("new\n");
    host.mydocker([&wanted[..], &["--name", "c", "bb", "true"]].concat()).exits(0);
    host.mydocker(["start", "-a", "c"]).exits(0);
    assert!(source.exists());
}

#[test]
fn an_image_can_be_mounted_read_only() {
    let host = Host::with_busybox();
    let make = "mkdir -p /data/in; echo one >/data/in/file; ln -s / /data/out";
    host.mydocker(["run", "--name", "made", "--network", "none", "bb", "sh", "-c", make]);
    host.mydocker(["commit", "made", "tools"]);
    let run = |keys: &str, flags: &[&str], script: &str| {
        let mount = format!("type=image,src=tools,dst=/m{keys}");
        let run = ["run", "--rm", "--network", "none", "--mount", &mount];
        host.mydocker([&run[..], flags, &["bb", "sh", "-c", script]].concat())
    };
    run("", &[], "cat /m/data/in/file; test -e /m/bin/busybox && echo all").stdout("one\nall\n");
    run(",image-subpath=data/in", &[], "ls /m").stdout("file\n");
    run(",image-subpath=data/in/file", &[], "cat /m").stdout("one\n");
    // A link is resolved in the image's root, not in the host's.
    run(",image-subpath=data/out", &[], "cat /m/data/in/file").stdout("one\n");
    run(",image-subpath=none", &[], "true").exits(125).stderr_has("open none in the image");
    // Even a container that may mount can't write to the image, with one layer or several.
    let write = "mount -o remount,rw /m 2>/dev/null; touch /m/x 2>/dev/null && echo wrote";
    let may_mount = ["--cap-add", "SYS_ADMIN", "--security-opt", "seccomp=unconfined"];
    run("", &may_mount, write).exits(1).stdout("");
    let one = ["run", "--rm", "--network", "none", "--mount", "type=image,src=bb,dst=/m"];
    host.mydocker([&one[..], &may_mount, &["bb", "sh", "-c", write]].concat()).exits(1).stdout("");
    host.mydocker(["run", "--rm", "bb", "test", "-e", "/x"]).exits(1);
    let mount = "type=image,src=tools,dst=/m";
    host.mydocker(["create", "--name", "c", "--mount", mount, "bb", "cat", "/m/data/in/file"]);
    host.mydocker(["rm", "made"]);
    host.mydocker(["rmi", "tools"]).exits(1).stderr_has("c");
    host.mydocker(["start", "-a", "c"]).stdout("one\n");
    host.mydocker(["inspect", "c"]).stdout_has("\"Type\": \"image\"");
    host.mydocker(["rm", "c"]);
    host.mydocker(["rmi", "tools"]);
    run("", &[], "true").refused("no such image: 'tools'");
}

#[test]
fn volumes_are_named_and_filtered_as_in_docker() {
    let host = Host::with_busybox();
    host.mydocker(["volume", "create", "--name", "one", "--label", "a=1", "--label", "b"])
        .stdout("one\n");
    host.mydocker(["volume", "create", "--label", "a=1", "two"]);
    host.mydocker(["create", "-v", "two:/v", "bb", "true"]);
    for (filters, names) in [
        (&["dangling=true"][..], "one\n"),
        (&["dangling=0"], "two\n"),
        (&["label=a", "label=b"], "one\n"),
        (&["label=a=1"], "one\ntwo\n"),
        (&["driver=local", "name=w"], "two\n"),
        (&["driver=nfs"], ""),
    ] {
        let filters = filters.iter().flat_map(|filter| ["-f", filter]);
        host.mydocker(["volume", "ls", "-q"].into_iter().chain(filters)).stdout(names);
    }
    host.mydocker(["volume", "ls", "-f", "dangling=x"]).exits(1).stderr_has("true or false");
    host.mydocker(["volume", "create", "--name", "a", "b"])
        .exits(1)
        .stderr_has("both name the volume");
    host.mydocker(["volume", "create", "-o", "type=nfs", "x"]).exits(1).stderr_has("lack device=");
    host.mydocker(["volume", "update", "one"]).exits(1).stderr_has("only a volume of a cluster");
}

#[test]
fn removing_a_volume_keeps_files_that_are_mounted_on_it() {
    let host = Host::with_busybox();
    host.mydocker(["volume", "create", "v"]);
    let data = host.inspect("v", "{{.Mountpoint}}");
    let disk = host.scratch().join("disk");
    std::fs::create_dir(&disk).unwrap();
    std::fs::write(disk.join("kept"), "x").unwrap();
    let command = host.command(["volume", "rm", "v"]);
    let mut within = std::process::Command::new("unshare");
    within.args(["-m", "sh", "-c", "mount --bind \"$1\" \"$2\" && shift 2 && exec \"$@\"", "sh"]);
    within.arg(&disk).arg(&data).arg(command.get_program()).args(command.get_args());
    let done = within.output().unwrap();
    let stderr = String::from_utf8_lossy(&done.stderr).into_owned();
    assert!(disk.join("kept").exists(), "{stderr}");
    assert!(stderr.contains("unmount it first"), "{stderr}");
    // The volume still exists: the failed removal has not hidden it.
    host.mydocker(["volume", "ls", "-q"]).stdout("v\n");
    host.mydocker(["volume", "rm", "v"]);
}

/// The mount points on the machine that lie in volumes of `host`.
fn mounted_volumes(host: &Host) -> Vec<String> {
    let mounts = std::fs::read_to_string("/proc/self/mounts").unwrap();
    let place = host.state_root().join("volumes").display().to_string();
    let mine = mounts.lines().filter_map(|line| line.split(' ').nth(1));
    mine.filter(|target| target.starts_with(&place)).map(str::to_owned).collect()
}

#[test]
fn volumes_with_options_are_mounted_while_containers_use_them() {
    let host = Host::with_busybox();
    let served = host.file("served/page", "served");
    let served = served.parent().unwrap().to_str().unwrap().to_owned();
    let create = |name: &str, options: &[&str]| {
        let options = options.iter().flat_map(|option| ["-o", option]);
        host.mydocker(["volume", "create"].into_iter().chain(options).chain([name]))
    };
    create("fast", &["type=tmpfs", "device=tmpfs", "o=size=1m,uid=1000,noexec"]);
    create("served", &["type=none", &format!("device={served}"), "o=bind,ro"]);
    // As in Docker, a second `volume create` with the same options has no effect.
    create("fast", &["type=tmpfs", "device=tmpfs", "o=size=1m,uid=1000,noexec"]);
    create("fast", &["type=tmpfs", "device=tmpfs"]).exits(1).stderr_has("other options");
    host.mydocker(["volume", "inspect", "-f", "{{.Options.o}} {{.Driver}}", "fast"])
        .stdout("size=1m,uid=1000,noexec local\n");
    assert!(mounted_volumes(&host).is_empty());
    let run = |name: &str| {
        host.mydocker([
            "run",
            "-d",
            "--name",
            name,
            "-v",
            "fast:/fast",
            "-v",
            "served:/served",
            "bb",
            "sleep",
            "1000",
        ])
    };
    run("a");
    run("b");
    assert_eq!(mounted_volumes(&host).len(), 2);
    host.mydocker(["exec", "a", "sh", "-c", "echo shared >/fast/x"]);
    host.mydocker(["exec", "b", "cat", "/fast/x", "/served/page"]).stdout("shared\nserved");
    let explained = host.mydocker(["explain", "b"]).text();
    let explained = explained.split_whitespace().collect::<Vec<_>>().join(" ");
    for part in ["volume fast", "options type=tmpfs device=tmpfs o=size=1m"] {
        assert!(explained.contains(part), "{part}: {explained}");
    }
    host.mydocker(["exec", "b", "touch", "/served/x"]).exits(1).stderr_has("Read-only");
    let seen = host.mydocker(["exec", "b", "grep", " /fast ", "/proc/mounts"]).text();
    assert!(seen.contains("size=1024k,uid=1000") && seen.contains("noexec"), "{seen}");
    host.mydocker(["rm", "-f", "a"]);
    host.mydocker(["exec", "b", "cat", "/fast/x"]).stdout("shared\n");
    host.mydocker(["volume", "rm", "fast"]).exits(1).stderr_has("in use by container b");
    host.mydocker(["stop", "-t", "0", "b"]);
    assert!(mounted_volumes(&host).is_empty());
    // For a stopped container, the volume is mounted only while `cp` runs.
    host.mydocker(["cp", "b:/served/page", "-"]).stdout_has("served");
    assert!(mounted_volumes(&host).is_empty());
    host.mydocker(["start", "b"]);
    host.mydocker(["exec", "b", "cat", "/served/page"]).stdout("served");
    // The mount is also removed if the monitor was killed, or if the marks in the run root were
    // removed.
    host.kill(host.monitor("b"));
    eventually("the mounts go", || {
        host.mydocker(["ps", "-a"]);
        mounted_volumes(&host).is_empty()
    });
    host.mydocker(["start", "b"]);
    std::fs::remove_dir_all(host.run_root().join(".volumes")).unwrap();
    host.mydocker(["system", "check"]).stdout("");
    host.mydocker(["stop", "-t", "0", "b"]);
    host.mydocker(["system", "check"]).exits(1).stdout_has("volume fast is mounted");
    host.mydocker(["system", "check", "--repair"]);
    assert!(mounted_volumes(&host).is_empty());
    host.mydocker(["rm", "b"]);
    host.mydocker(["volume", "rm", "fast", "served"]);
    assert_eq!(std::fs::read_to_string(format!("{served}/page")).unwrap(), "served");
    host.mydocker(["system", "check"]).stdout("");
}

#[test]
fn mount_takes_volume_options_and_bad_ones_fail() {
    let host = Host::with_busybox();
    let mount = "type=volume,dst=/x,volume-driver=local,volume-opt=type=tmpfs,volume-opt=device=t,\
                 \"volume-opt=o=size=2m,uid=5\"";
    host.mydocker(["run", "--rm", "--mount", mount, "bb", "grep", "/x", "/proc/mounts"])
        .stdout_has("size=2048k,uid=5");
    host.mydocker(["volume", "ls", "-q"]).stdout("");
    for (options, part) in [
        (&["type=tmpfs"][..], "lack device="),
        (&["device=/x"], "lack type="),
        (&["type=none", "device=x", "o=bind"], "absolute path"),
        (&["size=1g"], "needs a quota"),
    ] {
        let options = options.iter().flat_map(|option| ["-o", option]);
        host.mydocker(["volume", "create"].into_iter().chain(options).chain(["v"]))
            .exits(1)
            .stderr_has(part);
    }
    for (options, part) in [
        (["type=nonesuch", "device=x", "o=ro"], "no file system 'nonesuch'"),
        (["type=none", "device=/nonesuch", "o=bind"], "there is no /nonesuch"),
        (["type=tmpfs", "device=tmpfs", "o=nonesuch=1"], "refuses the options"),
    ] {
        let options = options.iter().flat_map(|option| ["-o", option]);
        host.mydocker(["volume", "create"].into_iter().chain(options).chain(["v"]));
        host.mydocker(["run", "--rm", "-v", "v:/v", "bb", "true"])
            .exits(125)
            .stderr_has("mount volume v")
            .stderr_has(part);
        host.mydocker(["volume", "rm", "v"]);
    }
    host.mydocker(["ps", "-aq"]).stdout("");
    assert!(mounted_volumes(&host).is_empty());
}
