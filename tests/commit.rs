//! commit, diff, export and save: the changes of a container, and archives of containers and
//! images.
//!
//! As in Docker, a layer has no files of volumes and mounts, and records deletions as whiteouts.
//! Other tools read the archives to confirm their form.

mod support;

use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use support::{Host, MYDOCKER};

/// A stopped container `c` of busybox with changes of many kinds.
fn changed(host: &Host) {
    let script = "rm /etc/group; echo new >/new; mkdir -p /d/e; echo x >/d/e/f; ln /d/e/f /d/hard; \
                  rm -rf /home; mkdir /home; echo mine >/home/file; chmod 700 /var; \
                  ln -s /nowhere /link; mkfifo /pipe; dd if=/dev/zero of=/sparse bs=1 count=1 \
                  seek=9999999 2>/dev/null; chown 7:8 /new; rm -rf /usr; echo file >/usr";
    host.mydocker(["run", "--name", "c", "bb", "sh", "-ec", script]);
}

#[test]
fn diff_lists_added_changed_and_deleted_files() {
    let host = Host::with_busybox();
    host.mydocker(["create", "--name", "fresh", "bb", "true"]);
    host.mydocker(["diff", "fresh"]).stdout("");
    host.mydocker(["run", "--name", "idle", "-v", "/data", "bb", "true"]);
    host.mydocker(["diff", "idle"]).stdout("");
    changed(&host);
    let expected = "A /d\nA /d/e\nA /d/e/f\nA /d/hard\nC /etc\nD /etc/group\nC /home\nD /home/app\n\
                    A /home/file\nA /link\nA /new\nA /pipe\nA /sparse\nC /usr\nC /var\n";
    host.mydocker(["diff", "c"]).stdout(expected);
    host.mydocker(["run", "-d", "--name", "live", "bb", "sh", "-c", "echo 1 >/tmp/x; sleep 1000"]);
    support::eventually("it has written", || {
        host.mydocker(["diff", "live"]).text() == "C /tmp\nA /tmp/x"
    });
}

#[test]
fn a_commit_makes_a_layer_of_the_changes() {
    let host = Host::with_busybox();
    changed(&host);
    let id = host
        .mydocker([
            "commit",
            "-m",
            "why",
            "-a",
            "me",
            "-c",
            "CMD [\"cat\", \"/new\"]",
            "-c",
            "ENV A=b",
            "c",
            "made:1",
        ])
        .text();
    assert!(id.starts_with("sha256:"));
    host.mydocker(["run", "--rm", "made:1"]).stdout("new\n");
    let look = "ls /home /etc/group /usr/x; stat -c '%u:%g %a' /new /var; ls -i /d/e/f /d/hard | \
                cut -d' ' -f1 | uniq | wc -l; echo $A; readlink /link; stat -c %F /pipe; \
                stat -c %s /sparse; cat /usr";
    let done = host.mydocker(["run", "--rm", "made:1", "sh", "-c", look]);
    done.stdout("/home:\nfile\n7:8 644\n0:0 700\n1\nb\n/nowhere\nfifo\n10000000\nfile\n");
    // The image has the layer of its base and one new layer.
    let layers = host.mydocker(["inspect", "-f", "{{json .RootFS.Layers}}", "made:1"]).text();
    let base = host.mydocker(["inspect", "-f", "{{json .RootFS.Layers}}", "bb"]).text();
    assert!(layers.starts_with(base.trim_end_matches(']')), "{layers} {base}");
    assert_eq!(layers.matches("sha256:").count(), 2);
    // The image of a second commit has the changes of both commits.
    host.mydocker(["run", "--name", "again", "made:1", "rm", "/new"]);
    host.mydocker(["commit", "again", "made:2"]);
    host.mydocker(["run", "--rm", "made:2", "sh", "-c", "ls /new /home"])
        .exits(1)
        .stdout("/home:\nfile\n");
}

#[test]
fn a_commit_without_changes_adds_no_layer() {
    let host = Host::with_busybox();
    host.mydocker(["create", "--name", "c", "bb", "true"]);
    host.mydocker(["commit", "c", "same"]);
    let layers = |image| host.mydocker(["inspect", "-f", "{{json .RootFS.Layers}}", image]).text();
    assert_eq!(layers("same"), layers("bb"));
}

#[test]
fn a_commit_pauses_a_running_container() {
    let host = Host::with_busybox();
    // The program writes `a` and `b` in turn. If their numbers differ by more than one, the program
    // ran during the commit.
    let script = "i=0; while :; do i=$((i+1)); echo $i >/a; echo $i >/b; done";
    host.mydocker(["run", "-d", "--name", "busy", "bb", "sh", "-c", script]);
    support::eventually("it runs", || host.mydocker(["exec", "busy", "ls", "/b"]).status() == 0);
    for round in 0..5 {
        host.mydocker(["commit", "busy", "snap"]);
        let pair = host.mydocker(["run", "--rm", "snap", "cat", "/a", "/b"]).lines();
        let number = |at: usize| pair.get(at).map_or(0, |line| line.parse::<i64>().unwrap());
        // Only the write that was in progress at the pause may be missing.
        assert!((number(0) - number(1)).abs() <= 1 || pair.len() < 2, "{round}: {pair:?}");
    }
    let before = host.mydocker(["exec", "busy", "cat", "/a"]).text();
    support::eventually("it goes on", || {
        host.mydocker(["exec", "busy", "cat", "/a"]).text() != before
    });
    host.mydocker(["commit", "--pause=false", "busy", "snap"]);
    host.mydocker(["commit", "-q", "--no-pause", "busy", "snap"]).stdout_has("sha256:");
}

#[test]
fn a_killed_commit_leaves_the_container_running() {
    let host = Host::with_busybox();
    let script = "dd if=/dev/urandom of=/big bs=1M count=64 2>/dev/null; \
                  while :; do date +%s%N >/now; done";
    host.mydocker(["run", "-d", "--name", "busy", "bb", "sh", "-c", script]);
    support::eventually("it runs", || host.mydocker(["exec", "busy", "ls", "/now"]).status() == 0);
    for delay_ms in [1, 5, 20, 60] {
        let commit = host.background(["commit", "busy", "snap"]);
        std::thread::sleep(std::time::Duration::from_millis(delay_ms));
        commit.signal(rustix::process::Signal::KILL);
        commit.wait().status();
        let now = || host.mydocker(["exec", "busy", "cat", "/now"]).text();
        let before = now();
        support::eventually("it goes on", || now() != before);
    }
}

/// As in Docker, `-` after `-o` is a file name, not stdout.
#[test]
fn a_dash_after_output_names_a_file() {
    let host = Host::with_busybox();
    let mut save = host.command(["save", "-o", "-", "bb"]);
    let done = save.current_dir(host.scratch()).output().unwrap();
    assert!(done.status.success() && done.stdout.is_empty());
    assert!(host.scratch().join("-").metadata().unwrap().len() > 1000);
}

/// /dev/stdout is such a link too, if the caller redirected stdout to a file.
#[test]
fn an_archive_goes_to_the_file_that_a_link_leads_to() {
    let host = Host::with_busybox();
    let (archive, link) = (host.file("a.tar", ""), host.scratch().join("link"));
    std::os::unix::fs::symlink("a.tar", &link).unwrap();
    host.mydocker(["save", "-o", link.to_str().unwrap(), "bb"]);
    assert!(link.is_symlink());
    assert!(archive.metadata().unwrap().len() > 1000);
    // The file that is stdout keeps its content if the caller appends to it.
    let stdout = host.scratch().join("stdout");
    std::os::unix::fs::symlink("/proc/self/fd/1", &stdout).unwrap();
    let log = std::fs::File::options().append(true).open(host.file("log", "first")).unwrap();
    let mut save = host.command(["save", "-o", stdout.to_str().unwrap(), "bb"]);
    assert!(save.stdout(log).status().unwrap().success());
    assert!(stdout.is_symlink());
    let log = std::fs::read(host.scratch().join("log")).unwrap();
    assert!(log.starts_with(b"first") && log.len() > 1000);
}

/// An archive may contain secrets, so its mode is 0600, whatever the mode of the replaced file is.
#[test]
fn only_its_owner_can_read_an_archive() {
    let host = Host::with_busybox();
    host.mydocker(["create", "--name", "c", "bb", "true"]);
    let archive = host.file("a.tar", "of everybody");
    let path = archive.to_str().unwrap();
    for args in
        [["save", "-o", path, "bb"], ["export", "-o", path, "c"], ["commit", "-o", path, "c"]]
    {
        std::fs::set_permissions(&archive, std::fs::Permissions::from_mode(0o644)).unwrap();
        host.mydocker(args);
        let mode = std::fs::metadata(&archive).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{args:?}");
    }
}

#[test]
fn an_export_writes_the_root_to_any_path() {
    let host = Host::with_busybox();
    changed(&host);
    let flat = host.scratch().join("flat.tar");
    let path = flat.to_str().unwrap();
    host.mydocker(["commit", "-o", path, "c"]).stdout("");
    let exported = host.mydocker(["export", "c"]).bytes();
    assert!(exported == std::fs::read(&flat).unwrap());
    host.mydocker(["import", path, "flat"]);
    host.mydocker(["run", "--rm", "flat", "sh", "-c", "cat /new /usr; ls /home /etc/group"])
        .exits(1)
        .stdout("new\nfile\n/home:\nfile\n");
    host.mydocker(["commit", "-o", "/nowhere/x.tar", "c"]).refused("/nowhere/x.tar");
    host.mydocker(["commit", "-o", path, "c", "name"]).refused("leave out the image's name");
    let leftovers = std::fs::read_dir(host.scratch()).unwrap().count();
    assert_eq!(leftovers, 1);
}

#[test]
fn an_export_has_no_files_of_volumes_or_mounts() {
    let host = Host::with_busybox();
    host.mydocker([
        "run",
        "-d",
        "--name",
        "live",
        "-v",
        "/data",
        "--tmpfs",
        "/tmp/t",
        "bb",
        "sh",
        "-c",
        "echo secret >/data/f; echo x >/tmp/t/f; echo root >/f; sleep 1000",
    ]);
    support::eventually("it has written", || {
        host.mydocker(["exec", "live", "ls", "/f"]).status() == 0
    });
    for _ in 0..2 {
        let tar = host.file("export.tar", host.mydocker(["export", "live"]).bytes());
        let list = Command::new("tar").arg("-tf").arg(&tar).output().unwrap();
        let names = String::from_utf8(list.stdout).unwrap();
        let has = |name: &str| names.lines().any(|line| line == name);
        assert!(has("f") && has("bin/busybox") && has("data/") && has("tmp/t/"), "{names}");
        assert!(!has("data/f") && !has("tmp/t/f") && !has("proc/version"), "{names}");
        host.mydocker(["stop", "-t", "0", "live"]);
    }
}

#[test]
fn a_saved_image_loads_as_the_same_image() {
    let host = Host::with_busybox();
    changed(&host);
    host.mydocker(["commit", "c", "made:1"]);
    host.mydocker(["tag", "made:1", "made:2"]);
    let id = |host: &Host, name: &str| host.mydocker(["inspect", "-f", "{{.Id}}", name]).text();
    for format in ["docker-archive", "oci-archive"] {
        let archive = host.scratch().join(format!("{format}.tar"));
        let path = archive.to_str().unwrap();
        host.mydocker(["save", "--format", format, "-o", path, "made", "bb"]);
        let other = Host::new();
        other.mydocker(["load", "-i", path]).stdout_has("made:2");
        for name in ["made:1", "made:2", "bb"] {
            assert_eq!(id(&host, name), id(&other, name), "{format} {name}");
        }
        other.mydocker(["run", "--rm", "made:1", "cat", "/new"]).stdout("new\n");
        // `save` on the other host writes the same bytes.
        let again = other.mydocker(["save", "--format", format, "made", "bb"]).bytes();
        assert!(again == std::fs::read(&archive).unwrap(), "{format}");
        // skopeo finds an image in an oci-archive by the annotation
        // `org.opencontainers.image.ref.name`, which is the tag.
        let name = if format == "oci-archive" { "1" } else { "made:1" };
        let inspected = Command::new("skopeo")
            .args(["inspect", "--raw"])
            .arg(format!("{format}:{path}:{name}"))
            .output()
            .unwrap();
        assert!(inspected.status.success(), "{}", String::from_utf8_lossy(&inspected.stderr));
    }
    host.mydocker(["save", "nosuch"]).refused("no such image: nosuch");
    let failed = Command::new(MYDOCKER).args(["save", "--format", "zip", "x"]).output().unwrap();
    assert_eq!(failed.status.code(), Some(125));
}

#[test]
fn a_container_of_a_committed_image_has_the_same_tree() {
    let host = Host::with_busybox();
    let base = "mkdir -p /t/dir/sub /t/gone/sub /t/opq /t/ren/in /t/f2d; echo 1 >/t/dir/a; \
        echo 2 >/t/gone/sub/f; echo low >/t/opq/low; echo r >/t/ren/in/f; echo f >/t/file; \
        echo h >/t/h1; ln /t/h1 /t/h2; echo x >/t/d2f; echo y >/t/f2d/y";
    host.mydocker(["run", "--name", "base", "bb", "sh", "-ec", base]);
    host.mydocker(["commit", "base", "base"]);
    let changes = "rm -rf /t/gone /t/dir/a /t/opq; mkdir /t/opq; echo top >/t/opq/top; \
        mv /t/ren /t/ren2; mv /t/ren2/in /t/ren2/in2; ln /t/h1 /t/h3; echo more >>/t/h2; \
        rm /t/d2f; mkdir /t/d2f; echo in >/t/d2f/in; rm -rf /t/f2d; echo file >/t/f2d; \
        rm /t/file; mkdir /t/file; rmdir /t/file; echo back >/t/file; mkfifo /t/fifo; \
        mknod /t/null c 1 3; chown 12:34 /t/h1; chmod 6755 /t/h1; ln -s /etc /t/link; \
        touch -d @1000000000 /t/old; chmod 1777 /t/dir; mkdir /t/empty; chmod 000 /t/empty; \
        cp -a /etc/passwd /t/pw; mv /home /home2; rm -rf /usr; mkdir /usr; \
        echo 1 >\"/t/new\nline\"; echo 1 >/t/.whole; \
        dd if=/dev/zero of=/t/sparse bs=1 count=1 seek=5000000 2>/dev/null";
    host.mydocker(["run", "--name", "c", "base", "sh", "-ec", changes]);
    let id = host.inspect("c", "{{.Id}}");
    let upper = host.state_root().join("containers").join(id).join("upper/t");
    let set = |file: &str, name: &str, value: &[u8]| {
        let none = rustix::fs::XattrFlags::empty();
        rustix::fs::setxattr(upper.join(file), name, value, none).unwrap();
    };
    set("pw", "user.note", b"\0hello\n");
    set("old", "security.capability", &[&[1, 0, 0, 2, 0, 0x20][..], &[0; 14]].concat());
    let (socket, mode) = (rustix::fs::FileType::Socket, rustix::fs::Mode::from_raw_mode(0o600));
    rustix::fs::mknodat(rustix::fs::CWD, upper.join("socket"), socket, mode, 0).unwrap();
    host.mydocker(["commit", "c", "made"]);
    host.mydocker(["create", "--name", "d", "made", "true"]);
    let (before, after) =
        (host.mydocker(["export", "c"]).bytes(), host.mydocker(["export", "d"]).bytes());
    assert!(before.windows(9).any(|part| part == b"user.note"));
    assert!(before == after);
    // A commit of the unchanged container has the same layers.
    host.mydocker(["commit", "d", "same"]);
    let layers = |image| host.mydocker(["inspect", "-f", "{{json .RootFS.Layers}}", image]).text();
    assert_eq!(layers("made"), layers("same"));
}

#[test]
fn mount_points_are_not_in_the_layer() {
    let host = Host::with_busybox();
    let file = host.file("file", "host's");
    let bind = format!("{}:/made/for/file", file.display());
    let mounts = ["-v", "/anon", "-v", "named:/home/vol", "-v", &bind, "--tmpfs", "/tmp/t/u"];
    let script = "echo x >/anon/x; echo x >/home/vol/x; echo x >/tmp/t/u/x; echo x >/home/kept";
    let run = [&["run", "--name", "c"][..], &mounts, &["bb", "sh", "-c", script]].concat();
    host.mydocker(run);
    host.mydocker(["diff", "c"]).stdout("C /home\nA /home/kept\n");
    host.mydocker(["commit", "c", "made"]);
    let look = "ls -A / /home /tmp; cat /home/kept";
    host.mydocker(["run", "--rm", "made", "sh", "-c", look])
        .stdout_lacks("vol")
        .stdout_lacks("made")
        .stdout_has("kept\n\n/tmp:\nx\n");
    let saved = host.file("made.tar", host.mydocker(["save", "made"]).bytes());
    let list = format!(
        "tar -xOf {} manifest.json | grep -o 'blobs/sha256/[0-9a-f]*' | tail -1 | \
         xargs tar -xOf {0} | tar -t",
        saved.display()
    );
    let list = Command::new("sh").args(["-c", &list]).output().unwrap();
    assert_eq!(String::from_utf8(list.stdout).unwrap(), "home/\nhome/kept\n");
}

#[test]
fn a_commit_keeps_the_owner_and_mode_of_the_root() {
    let host = Host::with_busybox();
    let look = |image: &str| host.mydocker(["run", "--rm", image, "stat", "-c", "%a %u:%g", "/"]);
    host.mydocker(["run", "--name", "c", "bb", "sh", "-c", "chmod 711 /; chown 5:6 /"]);
    host.mydocker(["commit", "c", "one"]);
    look("one").stdout("711 5:6\n");
    host.mydocker(["run", "--name", "d", "one", "touch", "/x"]);
    host.mydocker(["commit", "d", "two"]);
    look("two").stdout("711 5:6\n");
    host.mydocker(["run", "--name", "e", "two", "sh", "-c", "chmod 755 /; chown 0:0 /"]);
    host.mydocker(["commit", "e", "three"]);
    look("three").stdout("755 0:0\n");
    host.mydocker(["create", "--name", "f", "two", "true"]);
    host.mydocker(["commit", "f", "same"]);
    let layers = |image| host.mydocker(["inspect", "-f", "{{json .RootFS.Layers}}", image]).text();
    assert_eq!(layers("same"), layers("two"));
}

#[test]
fn other_tools_read_a_saved_image_unchanged() {
    let host = Host::new();
    let drop = host.state_root().join("images/drop");
    std::fs::create_dir_all(&drop).unwrap();
    std::fs::copy(support::busybox_archive(), drop.join("dropped.tar")).unwrap();
    host.mydocker(["run", "--name", "c", "dropped", "sh", "-c", "echo 1 >/f; rm -r /home"]);
    host.mydocker(["commit", "c", "made:1"]);
    // If a tar has two entries for one file, the layer can't be written again with the same bytes.
    let script = "echo a >a; tar -cf twice.tar a; echo bb >a; tar -rf twice.tar a";
    let sh = Command::new("sh").args(["-ec", script]).current_dir(host.scratch()).status();
    assert!(sh.unwrap().success());
    host.mydocker(["import", host.scratch().join("twice.tar").to_str().unwrap(), "twice"]);
    for format in ["docker-archive", "oci-archive"] {
        for image in ["dropped", "made:1", "twice"] {
            let saved = host.mydocker(["save", "--format", format, image]).bytes();
            let path = host.file("saved.tar", &saved);
            let path = path.to_str().unwrap();
            let other = Host::new();
            other.mydocker(["load", "-i", path]);
            assert!(other.mydocker(["save", "--format", format, image]).bytes() == saved);
            let copied = Command::new("skopeo")
                .args(["copy", "-q", "--insecure-policy", &format!("{format}:{path}")])
                .arg(format!("dir:{}", host.scratch().join("copied").display()))
                .output()
                .expect("apt-get install skopeo");
            assert!(copied.status.success(), "{}", String::from_utf8_lossy(&copied.stderr));
            let loaded = host
                .podman()
                .args(["load", "-q", "-i", path])
                .output()
                .expect("apt-get install podman");
            assert!(loaded.status.success(), "{}", String::from_utf8_lossy(&loaded.stderr));
        }
    }
}
