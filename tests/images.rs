//! Images from archives: import, load and save, the drop folder, names, defaults, platforms, prunes
//! and removal. `history`, `system df` and `explain` are here too.
//!
//! The archives come from tar and from the tests themselves. Registries are in `tests/registry`,
//! hostile archives in `tests/images_hostile.rs`.

mod support;

use std::fmt::Write as _;
use std::io::{Read, Write};
use std::process::{Command, Stdio};

use support::{Host, eventually};

/// The output of a shell script on the host, which must succeed.
fn sh(script: &str) -> Vec<u8> {
    let done = Command::new("sh").args(["-ec", script]).stderr(Stdio::inherit()).output().unwrap();
    assert!(done.status.success(), "{script}");
    done.stdout
}

fn busybox_tar() -> String {
    support::busybox_archive().to_str().unwrap().to_owned()
}

#[test]
fn an_import_fetches_a_url() {
    let host = Host::new();
    let archive = std::fs::read(support::busybox_archive()).unwrap();
    let server = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", server.local_addr().unwrap());
    std::thread::spawn(move || {
        for mut client in server.incoming().flatten() {
            let mut request = [0; 4096];
            let length = client.read(&mut request).unwrap();
            let (status, body) = match &request[..length] {
                [b'G', b'E', b'T', b' ', b'/', b'b', ..] => ("200 OK", &archive[..]),
                _ => ("404 Not Found", &b""[..]),
            };
            let head = format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\n\r\n", body.len());
            // Ignore an error: a client that has seen enough closes the connection.
            let _ = client.write_all(head.as_bytes()).and_then(|()| client.write_all(body));
        }
    });
    host.mydocker(["import", &format!("{url}/bb.tar"), "bb"]).stdout_has("sha256:");
    let comment = ["history", "--format", "{{.Comment}}", "bb"];
    host.mydocker(comment).stdout(&format!("Imported from {url}/bb.tar\n"));
    host.mydocker(["run", "--rm", "--network", "none", "bb", "echo", "up"]).stdout("up\n");
    let missing = format!("{url}/other.tar");
    host.mydocker(["import", &missing, "x"]).exits(1).complains("404");
    let left = std::fs::read_dir(host.state_root().join("images")).unwrap();
    let left = left.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    assert_eq!(left.filter(|name| name.starts_with(".spool")).count(), 0);
}

#[test]
fn an_import_reads_files_and_pipes_plain_and_compressed() {
    let tar = busybox_tar();
    let host = Host::new();
    let plain = std::fs::read(&tar).unwrap();
    let mut ids = Vec::new();
    for (name, packer) in [("plain", "cat"), ("gzip", "gzip -1"), ("zstd", "zstd -q")] {
        let packed = sh(&format!("{packer} <{tar}"));
        let file = host.file(name, &packed);
        host.mydocker(["import", file.to_str().unwrap(), &format!("{name}:file")]);
        host.feed(packed, ["import", "-", &format!("{name}:pipe")]);
        for tag in ["file", "pipe"] {
            let image = format!("{name}:{tag}");
            host.mydocker(["run", "--rm", &image, "echo", name]).stdout(&format!("{name}\n"));
            ids.push(host.mydocker(["inspect", "-f", "{{json .RootFS.Layers}}", &image]).text());
        }
    }
    ids.dedup();
    assert_eq!(ids.len(), 1, "one layer, however it was packed: {ids:?}");
    host.mydocker([
        "import",
        "-m",
        "why",
        "-c",
        "CMD [\"echo\", \"hi\"]",
        "-c",
        "ENV A=1",
        &tar,
        "c",
    ]);
    host.mydocker(["run", "--rm", "c"]).stdout("hi\n");
    host.mydocker(["history", "--format", "{{.Comment}}", "c"]).stdout("why\n");
    host.mydocker(["import", "-c", "ONBUILD RUN x", &tar, "c"]).refused("ONBUILD is for builds");
    for (name, bytes) in [("truncated", &plain[..plain.len() / 2]), ("empty", &[][..])] {
        host.mydocker(["import", host.file(name, bytes).to_str().unwrap(), name])
            .refused("truncated");
        host.mydocker(["image", "inspect", name]).exits(1);
    }
    host.mydocker(["import", "/nowhere.tar", "x"]).refused("/nowhere.tar");
}

#[test]
fn a_dropped_tar_is_an_image() {
    let tar = busybox_tar();
    let host = Host::new();
    host.mydocker(["run", "dropped", "true"]).exits(125);
    let drop = host.state_root().join("images/drop");
    std::fs::create_dir_all(&drop).unwrap();
    std::fs::copy(&tar, drop.join("dropped.tar")).unwrap();
    host.mydocker(["run", "--rm", "dropped", "echo", "hi"]).stdout("hi\n");
    host.mydocker(["images"]).stdout_has("dropped");
}

#[test]
fn a_directory_can_be_the_root() {
    let tar = busybox_tar();
    let host = Host::new();
    let root = host.scratch().join("root");
    std::fs::create_dir(&root).unwrap();
    sh(&format!("tar -C {} -xf {tar}", root.display()));
    let dir = root.to_str().unwrap();
    host.mydocker(["run", "--rm", "--rootfs", dir, "sh", "-c", "echo hi | tee /made"])
        .stdout("hi\n");
    assert_eq!(std::fs::read_to_string(root.join("made")).unwrap(), "hi\n");
}

/// A script that makes a tree with many kinds of tar entries.
const TREE: &str = "mkdir -p d/e deep; echo hi >d/f; ln d/f d/hard; ln d/f hard2; ln -s ../x d/link; \
    ln -s /abs abs; : >empty; head -c 70000 /dev/urandom >big; chmod 4755 big; chmod 1777 d/e; \
    chmod 2750 deep; truncate -s 5M hole; printf x | dd of=hole bs=1 seek=2097152 conv=notrunc \
    status=none; mkfifo fifo; mknod null c 1 3; mknod disk b 250 70000; \
    n=$(printf 'n%.0s' $(seq 120)); mkdir -p $n/$n; echo long >$n/$n/$n; ln -s $n/$n/$n longlink; \
    printf 'x' >'odd name
with newline'; printf x >\"$(printf 'latin\\351')\"; chown 70000:3000000 empty; chown -h 12:34 d/link; \
    cp /bin/busybox caps; setcap cap_net_raw+ep caps; touch -d 1960-01-02 old; \
    touch -d 2200-01-01 future; touch -d @1234567890.5 d; chmod 000 empty; touch -d 2001-02-03 .";

/// A script that lists every entry below the working directory with its attributes, and the SHA-256
/// of each file.
const LIST: &str = "find . -printf '%p %y %m %U:%G %s %Ts %l %n\\n' | sort; \
    find . -type f -print0 | sort -z | xargs -0 sha256sum; getcap caps; \
    stat -c '%n %t:%T' null disk; stat -c %b hole";

#[test]
fn layers_have_the_same_files_as_with_gnu_tar() {
    if Command::new("getcap").arg("-h").output().is_err() {
        skip!("getcap and setcap are missing: apt-get install libcap2-bin");
    }
    let host = Host::new();
    let base = host.scratch();
    let dir = base.display();
    sh(&format!("mkdir {dir}/tree; cd {dir}/tree; {TREE}"));
    for (at, format) in [
        "gnu --sparse",
        "pax --xattrs --xattrs-include=* --sparse",
        "pax --xattrs \
        --xattrs-include=* --sparse --sparse-version=0.1",
        "pax --xattrs --xattrs-include=*",
    ]
    .iter()
    .enumerate()
    {
        sh(&format!("tar -C {dir}/tree --format={format} -cf {dir}/{at}.tar ."));
        sh(&format!(
            "mkdir {dir}/{at}; tar -C {dir}/{at} --xattrs --xattrs-include=* --same-owner -xpf {dir}/{at}.tar"
        ));
        host.mydocker(["import", &format!("{dir}/{at}.tar"), &format!("t:{at}")]);
        let id =
            host.mydocker(["inspect", "-f", "{{json .RootFS.Layers}}", &format!("t:{at}")]).text();
        let id = id.trim_matches(['[', ']', '"']).replace("sha256:", "");
        let ours = host.state_root().join("layers").join(id).join("fs");
        let list =
            |dir: &str| String::from_utf8_lossy(&sh(&format!("cd {dir}; {LIST}"))).into_owned();
        let (ours, theirs) = (list(ours.to_str().unwrap()), list(&format!("{dir}/{at}")));
        for (ours, theirs) in ours.lines().zip(theirs.lines()) {
            assert_eq!(ours, theirs, "{format}");
        }
        assert_eq!(ours.lines().count(), theirs.lines().count(), "{format}");
    }
}

/// A docker-archive, made by the host's tools. Each layer is a script that fills a directory.
fn archive(host: &Host, name: &str, config: &str, layers: &[String]) -> String {
    let dir = host.scratch().join(format!("archive-{}", name.replace([':', '/'], "-")));
    std::fs::create_dir(&dir).unwrap();
    let at = dir.display();
    let mut ids = Vec::new();
    for (number, script) in layers.iter().enumerate() {
        sh(&format!(
            "mkdir {at}/{number} {at}/tree{number}; cd {at}/tree{number}; {script}; \
             tar --sort=name -cf {at}/{number}/layer.tar --null --verbatim-files-from -T /dev/null; \
             tar --sort=name -cf {at}/{number}/layer.tar *  .[!.]* 2>/dev/null || \
             tar --sort=name -cf {at}/{number}/layer.tar $(ls -A); rm -rf {at}/tree{number}"
        ));
        let sum = sh(&format!("sha256sum {at}/{number}/layer.tar"));
        ids.push(format!("\"sha256:{}\"", String::from_utf8_lossy(&sum[..64])));
    }
    let document = format!(
        r#"{{"architecture":"amd64","os":"linux","config":{config},"rootfs":{{"type":"layers","diff_ids":[{}]}}}}"#,
        ids.join(",")
    );
    std::fs::write(dir.join("config.json"), document).unwrap();
    let names: Vec<String> = (0..layers.len()).map(|at| format!("\"{at}/layer.tar\"")).collect();
    let manifest = format!(
        r#"[{{"Config":"config.json","RepoTags":["{name}"],"Layers":[{}]}}]"#,
        names.join(",")
    );
    std::fs::write(dir.join("manifest.json"), manifest).unwrap();
    let path = host.scratch().join(format!("{}.tar", name.replace([':', '/'], "-")));
    sh(&format!("tar -C {at} -cf {} .", path.display()));
    path.to_str().unwrap().to_owned()
}

fn base() -> String {
    "mkdir -p bin dir/sub other opq; cp /bin/busybox bin/; ln -s busybox bin/sh; ln -s busybox bin/ls; \
     ln -s busybox bin/cat; ln -s busybox bin/echo; echo base >dir/file; echo x >dir/sub/deep; echo x >other/gone; \
     echo low >opq/low; echo old >replaced"
        .to_owned()
}

#[test]
fn whiteouts_hide_files_and_opaque_directories_hide_all_below() {
    let host = Host::new();
    let layers = [
        base(),
        "mkdir -p dir opq other; : >dir/.wh.file; : >dir/.wh.sub; : >opq/.wh..wh..opq; echo top >opq/top; \
         : >other/.wh.gone; : >.wh.replaced"
            .to_owned(),
        "mkdir -p replaced dir; echo new >replaced/inside; echo again >dir/file".to_owned(),
    ];
    host.mydocker(["load", "-i", &archive(&host, "w:1", r#"{"Cmd":["/bin/sh"]}"#, &layers)])
        .stdout("Loaded image: w:1\n");
    host.mydocker([
        "run",
        "--rm",
        "w:1",
        "/bin/sh",
        "-c",
        "/bin/ls dir opq other replaced; /bin/cat dir/file replaced/inside",
    ])
    .stdout("dir:\nfile\n\nopq:\ntop\n\nother:\n\nreplaced:\ninside\nagain\nnew\n");
}

#[test]
fn an_image_can_have_a_hundred_layers() {
    let host = Host::new();
    let mut layers = vec![base()];
    for at in 1..100 {
        let mut script = format!("mkdir -p dir; echo {at} >file{at}; echo {at} >dir/last");
        if at > 1 {
            let _ = write!(script, "; : >.wh.file{}", at - 1);
        }
        layers.push(script);
    }
    host.mydocker(["load", "-i", &archive(&host, "hundred", r#"{"Env":["PATH=/bin"]}"#, &layers)]);
    host.mydocker(["run", "--rm", "hundred", "sh", "-c", "ls -d file*; cat dir/last"])
        .stdout("file99\n99\n");
    let run = ["run", "--name", "c", "hundred", "sh", "-c", "echo more >/more"];
    host.mydocker(run);
    host.mydocker(["commit", "c", "more"]);
    let saved = host.mydocker(["save", "more"]).bytes();
    let other = Host::new();
    other.feed(saved, ["load"]);
    other.mydocker(["run", "--rm", "more", "cat", "/more", "/dir/last"]).stdout("more\n99\n");
}

#[test]
fn a_container_gets_the_defaults_of_its_image() {
    let host = Host::new();
    let config = r#"{"Env":["PATH=/bin","A=image","B=image"],"Entrypoint":["sh","-c"],
        "Cmd":["echo $A $B $PWD $(id -u):$(id -g) $0","zero"],"WorkingDir":"/dir/sub","User":"12:34",
        "StopSignal":"SIGUSR1","Volumes":{"/vol":{}},"Labels":{"k":"v"},"ExposedPorts":{"80/tcp":{}}}"#;
    let layer = base()
        + "; ln -s busybox bin/id; ln -s busybox bin/sleep; ln -s busybox bin/touch; \
        mkdir -m 777 vol; echo seed >vol/seed";
    host.mydocker(["load", "-i", &archive(&host, "d", config, &[layer])]);
    host.mydocker(["run", "--rm", "-e", "B=mine", "d"]).stdout("image mine /dir/sub 12:34 zero\n");
    host.mydocker(["run", "--rm", "d", "echo other"]).stdout("other\n");
    host.mydocker(["run", "--rm", "--entrypoint", "echo", "d"]).stdout("\n");
    host.mydocker(["run", "--rm", "--entrypoint", "echo", "d", "x"]).stdout("x\n");
    host.mydocker(["run", "--rm", "-w", "/", "-u", "0", "d", "echo $PWD $(id -u)"]).stdout("/ 0\n");
    host.mydocker(["run", "--rm", "d", "cat /vol/seed"]).stdout("seed\n");
    host.mydocker([
        "run",
        "-d",
        "--name",
        "c",
        "d",
        "trap 'echo usr1; exit 3' USR1; echo ready; while :; do sleep 0.1; done",
    ]);
    eventually("its trap is set", || host.mydocker(["logs", "c"]).text() == "ready");
    host.mydocker(["stop", "-t", "100", "c"]);
    assert_eq!(host.inspect("c", "{{.State.ExitCode}}"), "3");
    host.mydocker(["logs", "c"]).stdout("ready\nusr1\n");
    assert_eq!(host.inspect("c", "{{.Config.Labels.k}}"), "v");
    assert_eq!(host.inspect("c", "{{json .Config.ExposedPorts}}"), "{\"80/tcp\":{}}");
    assert_eq!(host.mydocker(["image", "inspect", "-f", "{{.Config.User}}", "d"]).text(), "12:34");
}

#[test]
fn an_unknown_stop_signal_of_an_image_becomes_sigterm() {
    let host = Host::new();
    let config = r#"{"Env":["PATH=/bin"],"StopSignal":"SIGNOSUCH"}"#;
    let layer = base() + "; ln -s busybox bin/sleep";
    host.mydocker(["load", "-i", &archive(&host, "odd", config, &[layer])]);
    let script = "trap 'echo term; exit 3' TERM; echo ready; while :; do sleep 0.1; done";
    host.mydocker(["run", "-d", "--name", "c", "odd", "sh", "-c", script]);
    eventually("its trap is set", || host.mydocker(["logs", "c"]).text() == "ready");
    host.mydocker(["stop", "-t", "100", "c"]);
    host.mydocker(["logs", "c"]).stdout("ready\nterm\n");
}

#[test]
fn an_image_with_tens_of_thousands_of_variables() {
    let host = Host::new();
    let variables: Vec<String> = (0..65_535).map(|at| format!("\"V{at}={at}\"")).collect();
    let config = format!(r#"{{"Env":["PATH=/bin",{}]}}"#, variables.join(","));
    let layer = base() + "; ln -s busybox bin/env";
    host.mydocker(["load", "-i", &archive(&host, "many", &config, &[layer])]);
    let run = ["run", "--rm", "-e", "V7=seven", "-e", "V65534=last", "many", "env"];
    let printed = host.mydocker(run).text();
    assert_eq!(printed.lines().filter(|line| line.starts_with('V')).count(), 65_535);
    for line in ["V7=seven", "V8=8", "V65534=last"] {
        assert!(printed.lines().any(|printed| printed == line), "{line}");
    }
}

/// A container is not created if its record would be too large to be read again.
#[test]
fn an_image_with_more_labels_than_a_record_holds() {
    let host = Host::new();
    let long = "x".repeat(64 << 10);
    let labels: Vec<String> = (0..127).map(|at| format!("\"l{at}\":\"{long}\"")).collect();
    let config = format!(r#"{{"Env":["PATH=/bin"],"Labels":{{{}}}}}"#, labels.join(","));
    host.mydocker(["load", "-i", &archive(&host, "labels", &config, &[base()])]);
    let more = format!("more={long}");
    for command in ["run", "create"] {
        let line = [command, "--name", "c", "-l", &more, "-l", &more.replace('=', "2="), "labels"];
        host.mydocker(line.iter().chain(&["sh", "-c", "true"])).refused("labels, variables");
    }
    host.mydocker(["ps", "-aq"]).stdout("");
    host.mydocker(["system", "check"]).stdout("");
    // A record that is not too large can be read again.
    host.mydocker(["run", "-d", "--name", "c", "labels", "sh", "-c", "echo said; read x"]);
    host.mydocker(["wait", "c"]);
    host.mydocker(["logs", "c"]).stdout("said\n");
    host.mydocker(["rm", "c"]);
}

#[test]
fn images_are_tagged_and_removed() {
    let host = Host::with_busybox();
    let id = host.mydocker(["images", "-q", "--no-trunc"]).text();
    host.mydocker(["tag", "bb", "me/two:2"]);
    host.mydocker(["images", "--format", "{{.Repository}}:{{.Tag}}", "--filter", "reference=me/*"])
        .stdout("me/two:2\n");
    // As in Docker, the id is printed once for each name.
    host.mydocker(["images", "-q", "--no-trunc"]).stdout(&format!("{id}\n{id}\n"));
    host.mydocker(["images", "--digests"]).stdout_has("<none>");
    host.mydocker(["rmi", &id]).exits(1).stderr_has("several names");
    host.mydocker(["create", "--name", "user", "bb", "true"]);
    host.mydocker(["rmi", "bb", "nosuch"])
        .exits(1)
        .stdout_has("Untagged: bb:latest")
        .stderr_has("nosuch");
    host.mydocker(["rmi", "me/two:2"]).exits(1).stderr_has("user");
    host.mydocker(["rmi", "-f", "me/two:2"]).stdout("Untagged: me/two:2\n");
    host.mydocker(["images", "-q", "--filter", "dangling=true", "--no-trunc"])
        .stdout(&format!("{id}\n"));
    host.mydocker(["image", "prune", "-f"]).stdout("Total reclaimed space: 0B\n");
    host.mydocker(["start", "-a", "user"]);
    host.mydocker(["system", "df"]).stdout_has("Images").stdout_has("Local Volumes");
    host.mydocker(["container", "prune", "-f"]).stdout_has("Deleted Containers:");
    host.mydocker(["system", "prune", "-a", "-f", "--volumes"])
        // A prune prints `deleted:` in lower case, as in Docker.
        .stdout_has(&format!("Deleted Images:\ndeleted: {id}\ndeleted: sha256:"));
    host.mydocker(["images", "-q"]).stdout("");
    let layers = std::fs::read_dir(host.state_root().join("layers")).unwrap();
    let layers: Vec<_> = layers.map(|entry| entry.unwrap().file_name()).collect();
    assert!(layers.iter().all(|name| name.len() != 64), "{layers:?}");
    host.mydocker(["tag", "nosuch", "x"]).refused("no such image: nosuch");
}

#[test]
fn images_takes_a_pattern_of_names() {
    let host = Host::with_busybox();
    for name in ["me/web:1", "me/web:2", "me/mail:1", "you/web:1"] {
        host.mydocker(["tag", "bb", name]);
    }
    for (pattern, names) in [
        ("me/web", &["me/web:1", "me/web:2"][..]),
        ("me/web:2", &["me/web:2"]),
        ("*/web:1", &["me/web:1", "you/web:1"]),
        ("me/[m-w]*", &["me/mail:1", "me/web:1", "me/web:2"]),
        ("*", &["bb:latest"]),
        ("we", &[]),
    ] {
        let listed = host.mydocker(["images", "--format", "{{.Repository}}:{{.Tag}}", pattern]);
        let listed = listed.text();
        let mut listed: Vec<&str> = listed.lines().collect();
        listed.sort_unstable();
        assert_eq!(listed, names, "{pattern}");
    }
}

#[test]
fn rmi_with_force_ignores_missing_images() {
    let host = Host::with_busybox();
    host.mydocker(["rmi", "nosuch"]).exits(1).stderr_has("no such image: nosuch");
    host.mydocker(["rmi", "-f", "nosuch", "bb"])
        .exits(0)
        .stderr_has("no such image: nosuch")
        .stdout_has("Untagged: bb:latest");
    // Only errors about missing images are ignored.
    host.mydocker(["rmi", "-f", "BAD"]).exits(1);
}

#[test]
fn a_platform_other_than_the_images_is_refused() {
    let host = Host::with_busybox();
    let tar = busybox_tar();
    let ours = host.inspect("bb", "linux/{{.Architecture}}");
    host.mydocker(["import", "-q", "--platform", "linux/s390x", &tar, "far"]);
    assert_eq!(host.inspect("far", "{{.Architecture}}"), "s390x");
    let warning = format!("the image is for linux/s390x, and this machine is {ours}");
    let create = ["create", "--name", "c"];
    host.mydocker([&create[..], &["far", "true"]].concat()).stderr_has(&warning);
    host.mydocker(["rm", "c"]);
    let meant = ["--platform", "linux/s390x", "far", "true"];
    host.mydocker([&create[..], &meant].concat()).stderr("");
    host.mydocker(["rm", "c"]);
    host.mydocker([&create[..], &["bb", "true"]].concat()).stderr("");
    host.mydocker(["rm", "c"]);
    host.mydocker(["import", "--platform", "linux/arm/v7", &tar]).refused("keeps no variant");
    host.mydocker(["import", "--platform", "plan9/amd64", &tar]).refused("only linux runs here");
    let file = host.scratch().join("far.tar").display().to_string();
    let save = ["save", "-o", &file, "far", "--platform"];
    let far_is_for = format!("image far is for linux/s390x, not for {ours}");
    host.mydocker([&save[..], &[&ours]].concat()).refused(&far_is_for);
    assert!(!std::path::Path::new(&file).exists());
    host.mydocker([&save[..], &["linux/s390x"]].concat()).exits(0);
    host.mydocker(["history", "--platform", &ours, "far"]).refused(&far_is_for);
    host.mydocker(["history", "--platform", "s390x", "far"]).stdout_has("Imported from");
    host.mydocker(["push", "--platform", &ours, "--disable-content-trust", "far"])
        .exits(1)
        .stderr_has(&far_is_for);
    host.mydocker(["rmi", "--platform", &ours, "far"]).exits(1).stderr_has(&far_is_for);
    host.mydocker(["rmi", "--no-prune", "--platform", "linux/s390x", "far"])
        .stdout_has("Untagged: far:latest");
    // The first archive has one platform, the second has two. `load` takes only the requested one.
    host.mydocker(["load", "-i", &file, "--platform", &ours])
        .refused(&format!("the archive has no image for {ours}, only for linux/s390x"));
    host.mydocker(["load", "-i", &file, "--platform", "linux/s390x"]).stdout_has("far:latest");
    host.mydocker(["save", "-o", &file, "far", "bb"]);
    host.mydocker(["rmi", "far", "bb"]);
    host.mydocker(["load", "-i", &file, "--platform", "linux/s390x"])
        .stdout("Loaded image: far:latest\n")
        .stderr_has(&format!("an image for {ours} is skipped"));
    host.mydocker(["system", "check"]).stdout("");
}

#[test]
fn disable_content_trust_has_no_effect() {
    let host = Host::with_busybox();
    let run = ["run", "--rm", "--disable-content-trust", "--net", "none", "bb", "echo", "hi"];
    host.mydocker(run).stdout("hi\n");
    host.mydocker(["create", "--disable-content-trust=false", "bb", "true"]).exits(0);
    host.mydocker(["pull", "--disable-content-trust", "BAD"]).refused("BAD");
}

#[test]
fn images_are_chosen_by_time_and_label() {
    let host = Host::with_busybox();
    let tar = busybox_tar();
    for (name, label) in [("old", "keep=1"), ("middle", "tmp=1"), ("new", "tmp=2")] {
        host.mydocker(["import", "-c", &format!("LABEL {label}"), &tar, name]);
    }
    let named = |filter: &str| {
        let listed =
            host.mydocker(["images", "--format", "{{.Repository}}", "--filter", filter]).text();
        let names = listed.lines().filter(|name| *name != "bb").map(str::to_owned);
        names.collect::<Vec<_>>()
    };
    assert_eq!(named("since=old"), ["new", "middle"]);
    assert_eq!(named("before=middle"), ["old"]);
    assert_eq!(named("label!=tmp"), ["old"]);
    assert_eq!(named("until=24h"), [""; 0]);
    host.mydocker(["images", "--filter", "before=nosuch"]).refused("no such image: nosuch");

    let prune = |filters: &[&str]| {
        host.mydocker([&["image", "prune", "-a", "-f"], filters].concat()).exits(0);
        named("dangling=false")
    };
    host.mydocker(["create", "bb", "true"]);
    assert_eq!(prune(&["--filter", "until=24h"]), ["new", "middle", "old"]);
    assert_eq!(prune(&["--filter", "label=tmp=2"]), ["middle", "old"]);
    assert_eq!(prune(&["--filter", "label!=keep", "--filter", "until=0s"]), ["old"]);
    host.mydocker(["image", "prune", "-f", "--filter", "since=old"])
        .refused("dangling label until");
    assert_eq!(prune(&[]), [""; 0]);
}

#[test]
fn every_prune_keeps_what_its_filters_do_not_match() {
    let host = Host::with_busybox();
    let (keep, drop) = ("keep".to_owned(), "drop".to_owned());
    let fill = || {
        for (name, label) in [(&keep, "env=prod"), (&drop, "env=test")] {
            host.mydocker(["create", "--name", name, "--label", label, "bb", "true"]).exits(0);
            host.mydocker(["volume", "create", "--label", label, name]).exits(0);
            host.mydocker(["network", "create", "--label", label, name]).exits(0);
            host.mydocker(["import", "-c", &format!("LABEL {label}"), &busybox_tar(), "tmp"]);
            host.mydocker(["tag", "tmp", name]);
            host.mydocker(["rmi", "tmp"]);
        }
    };
    let left = |noun: &str| {
        let (all, field): (&[&str], &str) = match noun {
            "container" => (&["-a"], "{{.Names}}"),
            "image" => (&[], "{{.Repository}}"),
            _ => (&[], "{{.Name}}"),
        };
        let listed = host.mydocker([&[noun, "ls", "--format", field], all].concat()).text();
        let ours = listed.lines().filter(|name| **name == keep || **name == drop);
        let mut names: Vec<String> = ours.map(str::to_owned).collect();
        names.sort_unstable();
        names
    };
    let both = [drop.clone(), keep.clone()];
    fill();
    for noun in ["container", "volume", "network", "image"] {
        let prune = |filters: &[&str]| {
            let all: &[&str] = if matches!(noun, "image" | "volume") { &["-a"] } else { &[] };
            host.mydocker([&[noun, "prune", "-f"], all, filters].concat())
        };
        prune(&["--filter", "until=24h"]).exits(0);
        prune(&["--filter", "label=env=other"]).exits(0);
        prune(&["--filter", "label=env", "--filter", "label!=env"]).exits(0);
        prune(&["--filter", "name=x"]).refused("unknown filter 'name'; known:");
        assert_eq!(left(noun), both, "{noun}");
        prune(&["--filter", "until=0s", "--filter", "label!=env=prod"]).exits(0);
        assert_eq!(left(noun), [keep.as_str()], "{noun}");
    }
    // One command prunes all kinds. Named volumes stay.
    host.mydocker(["system", "prune", "-a", "-f", "--volumes", "--filter", "label=env=other"]);
    for noun in ["container", "network", "image"] {
        assert_eq!(left(noun), [keep.as_str()], "{noun}");
    }
    host.mydocker(["system", "prune", "-a", "-f", "--volumes", "--filter", "label=env=prod"])
        .stdout_has("Deleted Containers:")
        .stdout_has("Deleted Networks:");
    for noun in ["container", "network", "image"] {
        assert_eq!(left(noun), [""; 0], "{noun}");
    }
    host.mydocker(["volume", "prune", "-f", "--filter", "all=1"])
        .stdout_has(&format!("Deleted Volumes:\n{keep}\n\nTotal reclaimed space: "));
    host.mydocker(["volume", "prune", "-f"]).stdout("Total reclaimed space: 0B\n");
}

#[test]
fn history_prints_human_or_exact_values() {
    let host = Host::with_busybox();
    let columns = "{{.CreatedSince}} {{.Size}}";
    host.mydocker(["history", "--format", columns, "bb"]).stdout_has(" ago ").stdout_has("MB\n");
    // As in Docker, `-H=false` makes CreatedSince a time.
    host.mydocker(["history", "-H=false", "--format", columns, "bb"])
        .stdout_has("T")
        .stdout_has("Z ");
    let columns = "{{.CreatedAt}} {{.Size}}";
    let exact = host.mydocker(["history", "-H=false", "--format", columns, "bb"]).text();
    let (created, size) = exact.split_once(' ').unwrap();
    assert!(created.len() == 20 && created.ends_with('Z'), "{exact}");
    assert!(size.parse::<u64>().is_ok_and(|size| size > 1_000_000), "{exact}");
    host.mydocker(["history", "--format", "{{.CreatedAt}}", "bb"]).stdout(&format!("{created}\n"));
}

#[test]
fn df_lists_each_object_with_its_size() {
    let host = Host::with_busybox();
    host.mydocker(["run", "--name", "c", "-v", "data:/d", "bb", "sh", "-c", "seq 999 >/d/f"]);
    host.mydocker(["commit", "-c", "ENV A=1", "c", "two"]);
    host.mydocker(["create", "--name", "other", "-v", "data:/d", "bb", "true"]);
    let printed = host.mydocker(["system", "df", "-v"]).text();
    let row = |begin: &str| {
        let line = printed.lines().find(|line| line.starts_with(begin));
        let line = line.unwrap_or_else(|| panic!("no {begin}: {printed}"));
        line.split("  ").map(str::trim).filter(|cell| !cell.is_empty()).collect::<Vec<_>>()
    };
    for heading in ["Images", "Containers", "Local Volumes"] {
        assert!(printed.contains(&format!("{heading} space usage:\n\n")), "{printed}");
    }
    // Both images have the same single layer.
    let (image, two) = (row("bb "), row("two "));
    assert_eq!((image[4], image[5], image[6], image[7]), (two[5], two[5], "0B", "2"));
    assert_eq!(two[7], "0");
    assert_eq!(row("data ")[1], "2");
    assert!(row("data ")[2].ends_with("kB"), "{printed}");
    let containers = printed.lines().filter(|line| line.contains(" bb "));
    assert_eq!(containers.filter(|line| line.contains("   1   ")).count(), 2, "{printed}");
    let json = host.mydocker(["system", "df", "-v", "--format", "json"]).text();
    assert!(json.starts_with("{\"Images\":[{\"Containers\":"), "{json}");
}

#[test]
fn an_imported_gnu_tar_is_saved_in_a_standard_format() {
    let host = Host::new();
    let dir = host.scratch();
    let tar = format!("tar -C {}/tree", dir.display());
    sh(&format!(
        "mkdir -p {0}/tree/d; cd {0}/tree; truncate -s 3M hole; printf x | dd of=hole bs=1 \
         seek=1M conv=notrunc status=none; echo text >d/f",
        dir.display()
    ));
    for (name, flags) in
        [("sparse", "--format=gnu -S"), ("label", "-V mine"), ("dumpdir", "-g ../snapshot-of-it")]
    {
        host.feed(
            sh(&format!("cd {}/tree; {tar} {flags} -c .", dir.display())),
            ["import", "-", name],
        );
        let saved = host.mydocker(["save", name]).bytes();
        let id = host.mydocker(["inspect", "-f", "{{json .RootFS.Layers}}", name]).text();
        let id = id.trim_matches(['[', ']', '"']).replace("sha256:", "");
        let archive = host.file("saved.tar", &saved);
        let layer = sh(&format!("tar -xOf {} blobs/sha256/{id}", archive.display()));
        // Collect the types of all entries, and skip the data.
        let (mut at, mut kinds) = (0, Vec::new());
        while layer[at] != 0 {
            let size = std::str::from_utf8(&layer[at + 124..at + 135]).unwrap();
            kinds.push(char::from(layer[at + 156]));
            let size = usize::from_str_radix(size, 8).unwrap();
            at += 512 + if kinds.last() == Some(&'5') { 0 } else { size.next_multiple_of(512) };
        }
        assert!(kinds.iter().all(|kind| "05x".contains(*kind)), "{name}: {kinds:?}");
        let layer = host.file("layer.tar", &layer);
        let list = format!("tar -xOf {} ./d/f || tar -xOf {0} d/f", layer.display());
        assert_eq!(sh(&format!("({list}) 2>/dev/null")), b"text\n", "{name}");
        let other = Host::new();
        other.feed(saved, ["load"]);
        other.mydocker(["create", "--name", "c", name, "true"]);
        let hole = other.mydocker(["cp", "c:/hole", "-"]).bytes();
        assert!(name != "sparse" || hole.len() < 100_000, "{name} lost its holes: {}", hole.len());
    }
}

#[test]
fn explain_shows_how_a_container_its_image_and_its_network_are_made() {
    let host = Host::on_machine();
    host.mydocker(["network", "create", "--subnet", "192.168.77.0/24", "lan"]).text();
    let flags = ["-d", "--name", "web", "--network", "lan", "-p", "8080:80", "--pids-limit", "77"];
    let more = ["--cap-drop", "CHOWN", "-v", "/etc:/given:ro", "bb", "sleep", "1000"];
    host.mydocker([&["run"][..], &flags, &more].concat()).text();
    let pid = host.pid("web");
    let explained = host.mydocker(["explain", "web"]).text();
    let words = explained.split_whitespace().collect::<Vec<_>>().join(" ");
    let link = std::fs::read_link(format!("/proc/{pid}/ns/net")).unwrap();
    let inode =
        link.to_string_lossy().trim_start_matches("net:").trim_matches(['[', ']']).to_owned();
    let net = format!("net {inode} private");
    for part in [
        net.as_str(),
        "user root",
        "/given",
        "upper, writable",
        "pids.max 77",
        "192.168.77.1",
        "0.0.0.0:8080 to 80/tcp",
        "seccomp default",
        "init_module",
        "attach.sock",
        "command sleep 1000",
        // The rules that jump to the container's own rules.
        "-t nat -A PREROUTING",
        // The chain that guards the host's loopback. Its rules name no container's bridge.
        "MYDOCKER-INPUT",
    ] {
        assert!(words.contains(part), "no {part} in {explained}");
    }
    let too_wide = explained.lines().find(|line| line.chars().count() > 80);
    assert_eq!(too_wide, None, "{explained}");
    assert!(!explained.contains('\x1b'), "colour without a terminal: {explained}");
    let held = explained.lines().find(|line| line.contains("held")).unwrap_or_default();
    assert!(held.contains("DAC_OVERRIDE") && !held.contains("CHOWN"), "{explained}");
    let json = host.mydocker(["explain", "--json", "web"]).text();
    assert!(json.contains("\"key\": \"namespaces\"") && json.contains(&inode), "{json}");
    let image = host.mydocker(["explain", "bb"]).text();
    assert!(image.contains("layers  1") && image.contains("web"), "{image}");
    let network = host.mydocker(["explain", "lan"]).text();
    for part in ["192.168.77.0/24", "container  web", "ip_forward = 1", "rules"] {
        assert!(network.contains(part), "no {part} in {network}");
    }
    let joined = ["--name", "guest", "--network", "container:web", "bb", "sleep", "1000"];
    host.mydocker([&["run", "-d"][..], &joined].concat()).text();
    host.mydocker(["explain", "guest"])
        .stdout_has(&format!("{inode} of web"))
        .stdout_has("network  container:web");
    host.mydocker(["explain", "web"]).stdout_has(&format!("{inode} shared with guest"));
    host.mydocker(["explain", "nothing"]).exits(1).complains("no such container, image or");
}

#[test]
fn explain_shows_settings_and_says_where_there_are_none() {
    let host = Host::with_busybox();
    let none = ["--network", "none"];
    let change = ["commit", "-c", "EXPOSE 80", "-c", "VOLUME /data", "-c", "HEALTHCHECK CMD true"];
    host.mydocker([&["run", "--name", "plain"][..], &none, &["bb", "true"]].concat()).text();
    host.mydocker([&change[..], &["plain", "served"]].concat()).text();
    let image = host.mydocker(["explain", "served"]).text();
    for part in
        ["exposed port  80/tcp", "volume  /data", "health check  CMD-SHELL true", "used by  none"]
    {
        assert!(image.contains(part), "no {part} in {image}");
    }
    // A stopped container has no table of mounts.
    host.mydocker(["explain", "plain"]).stdout_has("mounts  none  at the next start");
    // A program that runs as a user other than root has no capabilities.
    let user = ["run", "-d", "--name", "user", "--user", "7", "--cpus", "0.5"];
    host.mydocker([&user[..], &none, &["bb", "sleep", "1000"]].concat()).text();
    let explained = host.mydocker(["explain", "user"]).text();
    assert!(explained.contains("held  none\n"), "{explained}");
    assert!(explained.contains("can be gained  CHOWN"), "{explained}");
    // A quota of CPU time says nothing without its period.
    let period = explained.contains("cpu.cfs_period_us  100000")
        || explained.contains("cpu.max  50000 100000");
    assert!(period, "{explained}");
}

#[test]
fn sizes_count_only_files() {
    let host = Host::with_busybox();
    host.mydocker(["run", "--name", "idle", "--network", "none", "bb", "mkdir", "/a", "/b"]);
    host.mydocker([
        "run",
        "--name",
        "busy",
        "--network",
        "none",
        "bb",
        "sh",
        "-c",
        "yes | head -c 65536 >/f",
    ]);
    assert_eq!(host.inspect("idle", "{{.SizeRw}}"), "<nil>");
    let size = |name: &str| host.mydocker(["inspect", "-s", "-f", "{{.SizeRw}}", name]).text();
    assert_eq!(size("idle"), "0");
    assert_eq!(size("busy"), "65536");
    let format = "{{range .Containers}}{{.Names}} {{.Size}};{{end}}{{len .Images}}";
    let text = host.mydocker(["system", "df", "-v", "--format", format]).text();
    assert_eq!(text, "busy 65.5kB;idle 0B;1");
    host.mydocker(["system", "df", "-v", "--format", "{{.Nope}}"]).exits(1).stderr_has("Nope");
}
