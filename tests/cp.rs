//! cp: Docker's rules, tar streams, volumes, and containers that try to redirect a copy.
//!
//! The rules are those of Docker's reference for `docker cp`. `tests/escapes/copies.rs` has more
//! attacks.

mod support;

use std::os::unix::fs::{MetadataExt, symlink};
use std::path::Path;

use support::Host;

/// Two containers with the same files: `live` runs, `rest` is stopped.
fn pair(host: &Host) {
    let script = "mkdir -p /src/sub; echo 1 >/src/a; echo 2 >/src/sub/b; ln -s a /src/link; \
                  ln -s /src /dirlink; mkdir /dst; chown -R 5:6 /src; echo vol >/data/v";
    host.mydocker(["run", "--name", "rest", "-v", "/data", "bb", "sh", "-ec", script]);
    let script = format!("{script}; touch /ready; sleep 1000");
    host.mydocker(["run", "-d", "--name", "live", "-v", "/data", "bb", "sh", "-ec", &script]);
    support::eventually("it is set up", || {
        host.mydocker(["exec", "live", "ls", "/ready"]).status() == 0
    });
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The names in the archive, as GNU tar lists them.
fn tar_names(tar: Vec<u8>) -> String {
    let mut command = std::process::Command::new("tar");
    command.arg("-t");
    let mut list = support::Background::spawn(command);
    list.type_in(tar);
    list.close_stdin();
    list.wait().text()
}

#[test]
fn files_and_directories_come_out() {
    let host = Host::with_busybox();
    pair(&host);
    for name in ["live", "rest"] {
        let out = host.scratch().join(name);
        std::fs::create_dir(&out).unwrap();
        let cp = |from: &str, to: &str| {
            host.mydocker(["cp", &format!("{name}:{from}"), out.join(to).to_str().unwrap()])
        };
        cp("/src/a", "file");
        assert_eq!(read(&out.join("file")), "1\n");
        assert_eq!(std::fs::metadata(out.join("file")).unwrap().uid(), 0);
        cp("src/a", "");
        assert_eq!(read(&out.join("a")), "1\n");
        cp("/src", "new");
        assert_eq!(read(&out.join("new/sub/b")), "2\n");
        cp("/src", "new");
        assert_eq!(read(&out.join("new/src/sub/b")), "2\n");
        cp("/src/.", "flat");
        assert_eq!(read(&out.join("flat/a")), "1\n");
        assert_eq!(std::fs::read_link(out.join("flat/link")).unwrap(), Path::new("a"));
        cp("/src/link", "link");
        assert!(out.join("link").is_symlink());
        cp("/dirlink/", "through");
        assert_eq!(read(&out.join("through/a")), "1\n");
        cp("/data/v", "volume");
        assert_eq!(read(&out.join("volume")), "vol\n");
        host.mydocker([
            "cp",
            "-L",
            &format!("{name}:/src/link"),
            out.join("real").to_str().unwrap(),
        ]);
        assert_eq!(read(&out.join("real")), "1\n");
        host.mydocker(["cp", "-a", &format!("{name}:/src/a"), out.join("own").to_str().unwrap()]);
        assert_eq!(std::fs::metadata(out.join("own")).unwrap().uid(), 5);
        cp("/src", "file").refused("a directory can't be copied to a file");
        cp("/src/a", "nowhere/").refused("no such directory");
        cp("/src/a", "nowhere/x").refused("no such directory");
        cp("/nothing", "x").refused("no such file or directory: /nothing");
        cp("/src/a/", "x").refused("not a directory");
    }
}

#[test]
fn files_and_directories_go_in() {
    let host = Host::with_busybox();
    pair(&host);
    let src = host.scratch().join("tree");
    std::fs::create_dir_all(src.join("sub")).unwrap();
    std::fs::write(src.join("f"), "in").unwrap();
    std::fs::write(src.join("sub/g"), "deep").unwrap();
    std::os::unix::fs::chown(src.join("f"), Some(77), Some(78)).unwrap();
    let tree = src.to_str().unwrap();
    for name in ["live", "rest"] {
        let cp = |from: &str, to: &str| host.mydocker(["cp", from, &format!("{name}:{to}")]);
        cp(tree, "/dst");
        cp(&format!("{tree}/."), "/dst");
        cp(&format!("{tree}/f"), "/dst/renamed");
        cp(&format!("{tree}/f"), "/dirlink/into");
        cp(&format!("{tree}/f"), "/data/put");
        cp(tree, "/fresh");
        host.mydocker(["cp", "-a", &format!("{tree}/f"), &format!("{name}:/owned")]);
        cp(tree, "/dst/f").refused("a directory can't be copied to a file");
        cp(&format!("{tree}/f"), "/dst/sub").stdout("");
        cp(&format!("{tree}/f"), "/none/x").refused("no such directory");
        cp(&format!("{tree}/sub"), "/dst/tree").stdout("");
    }
    host.mydocker(["start", "rest"]);
    host.mydocker(["rm", "-f", "rest"]);
    let look = "cat /dst/tree/f /dst/f /dst/sub/g /dst/renamed /src/into /data/put /fresh/f \
                /dst/sub/f; ls /dst/tree/sub/g >/dev/null; stat -c %u:%g /dst/f /owned";
    let expected = "inindeepininininin0:0\n77:78\n";
    host.mydocker(["exec", "live", "sh", "-ec", look]).stdout(expected);
}

#[test]
fn tar_streams_go_in_and_come_out() {
    let host = Host::with_busybox();
    pair(&host);
    let tar = host.mydocker(["cp", "live:/src", "-"]).bytes();
    for name in ["live", "rest"] {
        host.feed(tar.clone(), ["cp", "-", &format!("{name}:/dst")]);
        let back = host.mydocker(["cp", &format!("{name}:/dst/src"), "-"]).bytes();
        assert!(back == tar, "{name}");
    }
    host.mydocker(["exec", "live", "stat", "-c", "%u:%g", "/dst/src/a"]).stdout("5:6\n");
    host.feed(tar.clone(), ["cp", "-", "live:/nothing"]).refused("not a directory");
    host.feed(&tar[..700], ["cp", "-", "live:/dst"]).refused("truncated");
    host.mydocker(["cp", "live:/src", "rest:/x"]).refused("between containers");
    host.mydocker(["cp", "/a", "/b"]).refused("one side must be CONTAINER:PATH");
    host.mydocker(["cp", "/etc/hostname", "nosuch:/b"]).refused("nosuch");
}

#[test]
fn relative_paths_of_the_host_start_at_the_working_directory() {
    let host = Host::with_busybox();
    pair(&host);
    for name in ["live", "rest"] {
        let mut command = host.command(["cp", &format!("{name}:/src/a"), "here"]);
        assert!(command.current_dir(host.scratch()).status().unwrap().success());
        assert_eq!(read(&host.scratch().join("here")), "1\n");
        std::fs::remove_file(host.scratch().join("here")).unwrap();
        let mut command = host.command(["commit", "-o", "root.tar", name]);
        assert!(command.current_dir(host.scratch()).status().unwrap().success());
        std::fs::remove_file(host.scratch().join("root.tar")).unwrap();
    }
}

#[test]
fn links_of_a_container_lead_nowhere_on_the_host() {
    let host = Host::with_busybox();
    let canary = host.file("canary", "alive");
    let outside = host.scratch();
    let outside = outside.to_str().unwrap();
    let script = format!(
        "ln -s {outside} /out; ln -s {outside}/canary /file; ln -s ../../../../../../..{outside} /up; \
         ln -s {outside}/made /dangling; mkdir -p {outside}; echo inside >{outside}/canary; sleep 1000"
    );
    host.mydocker(["run", "-d", "--name", "c", "bb", "sh", "-ec", &script]);
    support::eventually("it is set up", || {
        host.mydocker(["exec", "c", "grep", "-q", "inside", &format!("{outside}/canary")]).status()
            == 0
    });
    let secret = host.file("payload", "overwritten");
    let payload = secret.to_str().unwrap();
    for _ in 0..2 {
        // A copy from the container reads the files that the links lead to inside the container.
        let got = host.scratch().join("got");
        for path in ["/out/canary", "/up/canary", "/file"] {
            let from = format!("c:{path}");
            host.mydocker(["cp", "-L", &from, got.to_str().unwrap()]);
            assert!(["inside\n", "overwritten"].contains(&read(&got).as_str()), "{path}");
        }
        // A copy to the container never writes outside the container's root.
        for path in ["/out/canary", "/up/canary", "/file", "/dangling", "/out/new"] {
            host.mydocker(["cp", payload, &format!("c:{path}")]);
        }
        assert_eq!(read(&canary), "alive");
        assert!(!host.scratch().join("made").exists() && !host.scratch().join("new").exists());
        host.mydocker(["stop", "-t", "0", "c"]);
    }
}

#[test]
fn a_link_that_is_swapped_during_cp_never_opens_the_host() {
    const ROUNDS: usize = 60;
    let host = Host::with_busybox();
    let canary = host.file("canary", "alive");
    let outside = host.scratch();
    let outside = outside.to_str().unwrap();
    let script = format!(
        "mkdir -p /real /x; cd /; while :; do ln -sfn {outside} t; mv -T t x 2>/dev/null; \
         rm -f x; mkdir x; echo in >x/canary; rm -rf x; done"
    );
    host.mydocker(["run", "-d", "--name", "swap", "bb", "sh", "-c", &script]);
    let payload = host.file("payload", "overwritten");
    let out = host.scratch().join("out");
    for _ in 0..ROUNDS {
        host.mydocker(["cp", payload.to_str().unwrap(), "swap:/x/canary"]).status();
        host.mydocker(["cp", "swap:/x/canary", out.to_str().unwrap()]).status();
        assert_eq!(read(&canary), "alive");
        assert!(!out.exists() || read(&out) != "alive");
    }
}

#[test]
fn set_id_bits_and_devices_need_a_flag_to_come_out() {
    let host = Host::with_busybox();
    let script = "mkdir /d; cp /bin/busybox /d/su; chmod 4755 /d/su; chown 1234 /d/su; \
                  chmod 6755 /d/su";
    host.mydocker(["run", "--name", "c", "bb", "sh", "-ec", script]);
    let out = host.scratch().join("out");
    host.mydocker(["cp", "c:/d", out.to_str().unwrap()]);
    let su = std::fs::metadata(out.join("su")).unwrap();
    assert_eq!((su.mode() & 0o7777, su.uid()), (0o755, 0));
    host.mydocker(["run", "--name", "dev", "bb", "mknod", "/d", "c", "1", "3"]);
    let node = host.scratch().join("node");
    host.mydocker(["cp", "dev:/d", node.to_str().unwrap()]).refused("is a device");
    assert!(!node.exists());
    host.mydocker(["cp", "-a", "dev:/d", node.to_str().unwrap()]);
    assert!(node.exists());
    // A copy follows no link that it finds inside its target directory.
    let link = host.scratch().join("link");
    std::fs::create_dir(&link).unwrap();
    symlink("/etc", link.join("d")).unwrap();
    host.mydocker(["cp", "c:/d", link.to_str().unwrap()]).refused("a directory can't replace");
}

#[test]
fn files_with_a_wrong_size_come_out_complete() {
    let host = Host::with_busybox();
    host.mydocker(["run", "-d", "--name", "live", "bb", "sleep", "1000"]);
    let out = host.scratch().join("out");
    let copied = |path: &str| {
        host.mydocker(["cp", &format!("live:{path}"), out.to_str().unwrap()]);
        read(&out)
    };
    // stat(2) reports 0 bytes for the files in /proc, and 4096 for the file in /sys.
    assert!(copied("/proc/1/status").contains("\nPid:\t"));
    assert!(copied("/proc/cpuinfo").ends_with("\n\n"));
    assert_eq!(copied("/sys/class/net/lo/mtu"), "65536\n");
    let tar = host.mydocker(["cp", "live:/proc/1/limits", "-"]).bytes();
    let limits = host.mydocker(["exec", "live", "cat", "/proc/1/limits"]).text();
    assert!(String::from_utf8_lossy(&tar).contains(&limits));
    for directory in ["/proc", "/proc/.", "/proc/1", "/sys/class/net/lo/"] {
        let new = host.scratch().join("new");
        host.mydocker(["cp", &format!("live:{directory}"), new.to_str().unwrap()])
            .refused("the kernel generates this directory");
        host.mydocker(["cp", &format!("live:{directory}"), "-"]).exits(1).complains(directory);
        assert!(!new.exists(), "{directory}");
    }
}

#[test]
fn a_copy_of_the_root_leaves_out_proc_and_sys() {
    let host = Host::with_busybox();
    pair(&host);
    for name in ["live", "rest"] {
        for flag in ["-q", "-a"] {
            let out = host.scratch().join(format!("{name}{flag}"));
            host.mydocker(["cp", flag, &format!("{name}:/"), out.to_str().unwrap()]);
            for full in ["bin/busybox", "etc/passwd", "src/sub/b", "data/v", "etc/hosts"] {
                assert!(out.join(full).metadata().unwrap().len() > 0, "{name} {flag} {full}");
            }
            for empty in ["dev", "proc", "sys"] {
                let found = std::fs::read_dir(out.join(empty)).unwrap().count();
                assert_eq!(found, 0, "{name} {flag} {empty}");
            }
        }
        let tar = host.mydocker(["cp", &format!("{name}:/"), "-"]).bytes();
        assert!(tar.len() > 1 << 20, "{name}: {}", tar.len());
        assert_eq!(tar[tar.len() - 1024..], [0; 1024], "{name}: no end mark");
    }
}

#[test]
fn a_stopped_container_has_its_own_name_files() {
    let host = Host::with_busybox();
    let names = ["--hostname", "alpha", "--add-host", "beta:10.1.2.3", "--dns", "10.4.5.6"];
    let run = ["run", "--name", "rest", "--network", "none"];
    host.mydocker(run.iter().chain(&names).chain(&["bb", "true"]));
    let shares = ["run", "--name", "guest", "--network", "container:live", "bb", "true"];
    let live = ["run", "-d", "--name", "live"];
    host.mydocker(live.iter().chain(&names).chain(&["bb", "sleep", "1000"]));
    host.mydocker(shares);
    for name in ["rest", "live", "guest"] {
        for (file, part) in
            [("hosts", "10.1.2.3"), ("hostname", "alpha"), ("resolv.conf", "10.4.5.6")]
        {
            let out = host.scratch().join(file);
            host.mydocker(["cp", &format!("{name}:/etc/{file}"), out.to_str().unwrap()]);
            assert!(read(&out).contains(part), "{name} {file}: {:?}", read(&out));
        }
    }
    // A container that was never started has only the files of its image.
    host.mydocker(["create", "--name", "fresh", "bb", "true"]);
    host.mydocker(["cp", "fresh:/etc/hosts", "-"]).stdout_has("hosts");
    host.mydocker(["diff", "rest"]).stdout("");
}

#[test]
fn an_empty_path_is_refused() {
    let host = Host::with_busybox();
    host.mydocker(["create", "--name", "c", "bb", "true"]);
    let out = host.scratch().join("out");
    let out = out.to_str().unwrap();
    for (from, to, part) in [
        ("c:", out, "'c:' has no path"),
        ("c:", "-", "'c:' has no path"),
        ("/etc/passwd", "c:", "'c:' has no path"),
        ("", "c:/x", "the path is empty"),
        ("c:/etc/passwd", "", "the path is empty"),
        (":/etc/passwd", out, "names no container"),
    ] {
        host.mydocker(["cp", from, to]).refused(part);
    }
    assert!(!Path::new(out).exists());
}

/// `cp` writes to the mounted file itself. A rename over the file would unmount it in the
/// container.
#[test]
fn a_mounted_file_is_written_in_place() {
    let host = Host::with_busybox();
    let (open, closed) = (host.file("open", "old"), host.file("closed", "old"));
    let new = host.file("new", "new\n");
    let new = new.to_str().unwrap();
    let (open_flag, closed_flag) =
        (format!("{}:/open", open.display()), format!("{}:/closed:ro", closed.display()));
    let flags = ["run", "-d", "--name", "c", "-v", &open_flag, "-v", &closed_flag];
    host.mydocker([&flags[..], &["bb", "sleep", "1000"]].concat());
    let mounts = || host.mydocker(["exec", "c", "cat", "/proc/1/mountinfo"]).text();
    let before = mounts();
    for _ in 0..2 {
        host.mydocker(["cp", new, "c:/etc/hosts"]);
        host.mydocker(["cp", new, "c:/open"]);
        host.mydocker(["cp", new, "c:/closed"]).refused("Read-only file system");
        assert_eq!((read(&open).as_str(), read(&closed).as_str()), ("new\n", "old"));
        std::fs::write(&open, "old").unwrap();
        let tar = host.mydocker(["cp", "c:/etc/hosts", "-"]).bytes();
        assert!(String::from_utf8_lossy(&tar).contains("new\n"));
        if host.is_running("c") {
            assert_eq!(mounts(), before);
            host.mydocker(["exec", "c", "cat", "/etc/hosts"]).stdout("new\n");
            host.mydocker(["stop", "-t", "0", "c"]);
        }
    }
    std::os::unix::fs::symlink("x", host.scratch().join("link")).unwrap();
    let link = host.scratch().join("link");
    host.mydocker(["cp", link.to_str().unwrap(), "c:/open"]).refused("a file is mounted there");
    // This container has CAP_SYS_ADMIN, so it can mount a kernel file on the path.
    let mount = "touch /trap; mount -o bind /proc/1/comm /trap; echo ready; exec sleep 1000";
    let flags = ["run", "-d", "--name", "trap", "--cap-add", "SYS_ADMIN", "bb"];
    host.mydocker([&flags[..], &["sh", "-ec", mount]].concat());
    support::eventually("it is mounted", || host.mydocker(["logs", "trap"]).text() == "ready");
    host.mydocker(["cp", new, "trap:/trap"]).refused("a file of the kernel's");
    host.mydocker(["exec", "trap", "cat", "/proc/1/comm"]).stdout("sleep\n");
}

#[test]
fn a_file_that_changes_during_a_copy_damages_nothing_else() {
    let host = Host::with_busybox();
    let script = "touch /d; mkdir /w; i=0; while :; do i=$((i+1)); echo line >>/w/grows; \
                  seq 20000 >/w/shrinks; : >/w/shrinks; : >/w/new$i; rm -f /w/new*; done";
    host.mydocker(["run", "-d", "--name", "c", "bb", "sh", "-c", script]);
    let grown = || host.mydocker(["exec", "c", "test", "-s", "/w/grows"]).status() == 0;
    support::eventually("it writes", grown);
    for round in 0..15 {
        let out = host.scratch().join(format!("out{round}"));
        host.mydocker(["cp", "c:/w", out.to_str().unwrap()]);
        let grows = read(&out.join("grows"));
        assert!(grows.lines().count() > 0 && grows.lines().all(|line| "line".starts_with(line)));
        for command in [&["export", "c"][..], &["cp", "c:/w", "-"]] {
            let tar = host.mydocker(command).bytes();
            let list = tar_names(tar);
            assert!(list.contains("w/grows"), "{list}");
        }
        host.mydocker(["commit", "--pause=false", "c", &format!("image{round}")]);
    }
    host.mydocker(["run", "--rm", "image0", "grep", "-q", "line", "/w/grows"]);
}

#[test]
fn sockets_fifos_and_holes_are_copied() {
    let host = Host::with_busybox();
    let dir = host.scratch().join("dir");
    std::fs::create_dir(&dir).unwrap();
    let _socket = std::os::unix::net::UnixListener::bind(dir.join("socket")).unwrap();
    let fifo = rustix::fs::FileType::Fifo;
    let mode = rustix::fs::Mode::from_raw_mode(0o640);
    rustix::fs::mknodat(rustix::fs::CWD, dir.join("fifo"), fifo, mode, 0).unwrap();
    let sparse = std::fs::File::create(dir.join("sparse")).unwrap();
    std::os::unix::fs::FileExt::write_at(&sparse, b"end", (1 << 30) - 3).unwrap();
    let volume = format!("{}:/v", dir.display());
    host.mydocker(["run", "-d", "--name", "c", "-v", &volume, "bb", "sleep", "1000"]);
    let out = host.scratch().join("out");
    host.mydocker(["cp", "c:/v", out.to_str().unwrap()]);
    host.mydocker(["cp", dir.to_str().unwrap(), "c:/in"]);
    let script = "ls /in; stat -c '%s %F' /in/fifo /in/sparse; tail -c 3 /in/sparse; \
                  test $(stat -c %b /in/sparse) -lt 200";
    host.mydocker(["exec", "c", "sh", "-ec", script])
        .stdout("fifo\nsparse\n0 fifo\n1073741824 regular file\nend");
    let copied = out.join("sparse").metadata().unwrap();
    assert!(copied.len() == 1 << 30 && copied.blocks() < 200, "{} blocks", copied.blocks());
    assert!(!out.join("socket").exists());
    host.mydocker(["cp", "c:/v/socket", "-"]).exits(1).complains("a socket can't be copied");
    host.mydocker(["cp", "c:/v/fifo", host.scratch().join("alone").to_str().unwrap()]);
    assert_eq!(host.scratch().join("alone").metadata().unwrap().mode(), 0o10640);
}
