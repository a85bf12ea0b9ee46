//! cp: Docker's rules, streams, volumes, and containers that try to lead it astray.

mod support;

use std::os::unix::fs::{MetadataExt, symlink};
use std::path::Path;

use support::Host;

/// A running container `live` and one at rest, `rest`, alike.
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
fn streams_of_tar_both_ways() {
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
fn relative_paths_of_the_host_begin_at_the_working_directory() {
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
        // Out: what the links lead to inside.
        let got = host.scratch().join("got");
        for path in ["/out/canary", "/up/canary", "/file"] {
            let from = format!("c:{path}");
            host.mydocker(["cp", "-L", &from, got.to_str().unwrap()]);
            assert!(["inside\n", "overwritten"].contains(&read(&got).as_str()), "{path}");
        }
        // In: never past the root.
        for path in ["/out/canary", "/up/canary", "/file", "/dangling", "/out/new"] {
            host.mydocker(["cp", payload, &format!("c:{path}")]);
        }
        assert_eq!(read(&canary), "alive");
        assert!(!host.scratch().join("made").exists() && !host.scratch().join("new").exists());
        host.mydocker(["stop", "-t", "0", "c"]);
    }
}

#[test]
fn a_swapped_link_never_opens_the_host() {
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
fn nothing_powerful_comes_out_by_itself() {
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
    // A link that is there on the host is not followed by what comes out.
    let link = host.scratch().join("link");
    std::fs::create_dir(&link).unwrap();
    symlink("/etc", link.join("d")).unwrap();
    host.mydocker(["cp", "c:/d", link.to_str().unwrap()]).refused("a directory can't replace");
}
