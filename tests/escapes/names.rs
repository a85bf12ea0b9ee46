//! Attacks by names: paths in place of names, control characters, and names beyond limits.
//!
//! A user, an image or an archive gives these names, and the engine uses them for files, labels and
//! output. No name may lead out of the state directory, and none may control the user's terminal.

use std::path::Path;
use std::process::Command;

use super::support::Host;
use super::{CANARY, canary};

const TRICKS: [&str; 10] =
    ["..", ".", "../x", "../../etc", "/etc/passwd", "a/../../x", "a/b", "-x", "a\nb", "a\u{202e}b"];

/// Every file below `dir`, to see whether a command made or removed one.
fn tree(dir: &Path) -> Vec<String> {
    let find = Command::new("find").arg(dir).args(["-printf", "%p %s %m\\n"]).output().unwrap();
    let mut lines: Vec<String> =
        String::from_utf8(find.stdout).unwrap().lines().map(str::to_owned).collect();
    lines.sort();
    lines
}

#[test]
fn names_are_not_used_as_paths() {
    let host = Host::with_busybox();
    let canary = canary(&host);
    host.mydocker(["create", "--name", "box", "bb", "true"]);
    host.mydocker(["network", "create", "own"]);
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
        refused(&["rm", "--", name]);
        host.mydocker(["rm", "-f", "--", name]).exits(0).stderr_has("no such container");
        refused(&["logs", "--", name]);
        refused(&["volume", "create", "--", name]);
        refused(&["volume", "rm", "--", name]);
        refused(&["volume", "inspect", "--", name]);
        refused(&["rmi", "--", name]);
        refused(&["exec", name, "true"]);
        refused(&["network", "create", "--", name]);
        refused(&["network", "rm", "--", name]);
        refused(&["network", "inspect", "--", name]);
        refused(&["run", "--rm", &flag("--net"), "bb", "true"]);
        // As in Docker, a host name or an alias may start with a hyphen.
        if name != "-x" {
            refused(&["run", "--rm", "--net", "own", &flag("--network-alias"), "bb", "true"]);
            refused(&["run", "--rm", &flag("--hostname"), "bb", "true"]);
        }
        refused(&["create", &flag("--net=container:"), "bb", "true"]);
        refused(&["cp", "--", &format!("{name}:/etc/passwd"), "-"]);
        // CVE-2021-20206: the name of a network plugin could be the path of any program.
        refused(&["network", "create", &flag("--driver"), "new"]);
        if name != "a/b" {
            refused(&["tag", "--", "bb", name]);
            refused(&["tag", "--", "bb", &format!("x:{name}")]);
            refused(&["run", "--rm", &format!("bb@sha256:{name}"), "true"]);
            refused(&["run", "--rm", &format!("bb@{name}"), "true"]);
            refused(&["import", "/dev/null", name]);
            refused(&["commit", "box", name]);
            refused(&["pull", "--", &format!("localhost:1/{name}")]);
        }
    }
    assert_eq!(tree(&canary), before);
    assert_eq!(host.inspect("box", "{{.Name}}"), "/box");
}

/// A name that leads out of the drop folder is no image.
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

/// Names and values that are longer than a 16-bit length field, a file name or the kernel allows.
/// CVE-2021-43784: such a value overflowed a length field, and its end was read as further
/// settings.
#[test]
fn long_names_and_values_are_refused_or_kept_whole() {
    let host = Host::with_busybox();
    let long = "x".repeat(70_000);
    for args in [
        ["--name", &long],
        ["--hostname", &long],
        ["--net", &long],
        ["--network-alias", &long],
        ["--workdir", &long],
        ["--user", &long],
        ["-v", &format!("{long}:/x")],
        ["-v", &format!("/tmp:/{long}")],
        ["--sysctl", &format!("net.{long}=1")],
        ["--sysctl", &format!("kernel.domainname={long}")],
        ["--add-host", &format!("{long}:1.2.3.4")],
        ["--mac-address", &long],
        ["--ip", &long],
        ["--cgroup-parent", &long],
        ["--device", &long],
    ] {
        let status =
            host.mydocker([&["run", "--rm"][..], &args, &["bb", "true"]].concat()).status();
        assert!(matches!(status, 125 | 126), "{}: {status}", args[0]);
    }
    for args in [["network", "create", &long], ["volume", "create", &long], ["tag", "bb", &long]] {
        host.mydocker(args).refused(" name");
    }
    host.mydocker(["ps", "-aq"]).stdout("");
    host.mydocker(["network", "ls", "-q"]).stdout_lacks("xxx");
    let variable = format!("LONG={long}");
    let label = format!("long={long}");
    let flags = ["run", "--name", "box", "-e", &variable, "--label", &label, "bb"];
    host.mydocker([&flags[..], &["sh", "-c", "echo ${#LONG}"]].concat()).stdout("70000\n");
    let printed = host.mydocker(["ps", "-a", "--format", "{{.Labels}}"]).text();
    assert_eq!(printed, label);
}

/// Commands print names, labels and file names of an image or a container. These texts must neither
/// control the terminal nor look like a line of mydocker's own output.
#[test]
fn an_image_does_not_control_the_terminal() {
    let host = Host::with_busybox();
    // This text clears the screen, sets a title, forges a line, clears the screen by the control
    // character CSI (U+009B), and reverses the direction of the text.
    let wild = "w\u{1b}[2J\u{1b}]0;title\u{7}\rforged\nforged\u{9b}2J\u{202e}drow";
    let label = format!("a={wild}");
    let variable = format!("E={wild}");
    let script = "f=$(printf 'w\\033[2J\\nforged\\302\\233'); echo >\"/$f\"; sleep 1000";
    host.mydocker([
        "run", "-d", "--name", "box", "--label", &label, "-e", &variable, "bb", "sh", "-c", script,
        wild,
    ]);
    host.mydocker(["volume", "create", "--label", &label, "v"]);
    host.mydocker(["network", "create", "--label", &label, "n"]);
    host.mydocker(["commit", "-m", wild, "-a", wild, "box", "image"]);
    super::support::eventually("the file is there", || {
        host.mydocker(["diff", "box"]).text().contains("forged")
    });
    for line in [
        &["ps", "-a", "--no-trunc"][..],
        &["ps", "-a", "--format", "{{.ID}} {{.Labels}} {{.Command}}"],
        &["ps", "-a", "--format", "table {{.ID}}\t{{.Labels}}"],
        &["ps", "-a", "--format", "json"],
        &["inspect", "box"],
        &["inspect", "image"],
        &["inspect", "--format", "{{.Config.Labels}}", "box"],
        &["inspect", "--format", "{{json .Config}}", "box"],
        &["history", "--no-trunc", "image"],
        &["history", "--format", "{{.CreatedBy}} {{.Comment}}", "image"],
        &["images", "-a"],
        &["diff", "box"],
        &["volume", "ls", "--format", "{{.Labels}}"],
        &["volume", "inspect", "v"],
        &["network", "ls", "--format", "{{.Labels}}"],
        &["network", "inspect", "n"],
        // These commands fail and print the text in an error.
        &["exec", "box", wild],
        &["exec", "-w", &format!("/{wild}"), "box", "true"],
        &["exec", "-u", wild, "box", "true"],
        &["run", "--rm", wild, "true"],
        &["inspect", wild],
        &["rm", wild],
        &["cp", &format!("box:/{wild}"), "-"],
        &["--debug", "exec", "box", wild],
        &["load", "-i", wild],
    ] {
        let output = host.command(line).output().unwrap();
        for stream in [output.stdout, output.stderr] {
            let text = String::from_utf8(stream).unwrap();
            let wild = |c: &char| c.is_control() && *c != '\n' || *c == '\u{202e}';
            assert_eq!(text.chars().find(wild), None, "{line:?}: {text:?}");
            // `inspect` with a template of the user keeps the newlines of a value.
            let forged = text.lines().any(|line| line.starts_with("forged"));
            assert!(!forged || line[0] == "inspect", "{line:?}: {text}");
        }
    }
    let object = host.mydocker(["inspect", "--format", "{{json .Config.Labels}}", "box"]).text();
    assert!(object.contains("\\u001b") && object.contains("\\u009b"), "{object}");
    host.mydocker(["rm", "-f", "box"]);
    host.mydocker(["network", "rm", "n"]);
}

/// A user of the host guesses the temporary name of an archive and puts a link there.
#[test]
fn an_archive_is_not_written_through_a_link() {
    let host = Host::with_busybox();
    let canary = canary(&host);
    host.mydocker(["create", "--name", "box", "bb", "true"]);
    for line in [["save", "bb"], ["export", "box"]] {
        let out = host.scratch().join("out");
        let mydocker = host.command([line[0], "-o", out.to_str().unwrap(), line[1]]);
        let script = format!(
            "ln -s {}/secret {}/.out.$$.tmp && exec \"$@\"",
            canary.display(),
            host.scratch().display()
        );
        let mut command = Command::new("sh");
        command.args(["-c", &script, "sh"]).arg(mydocker.get_program()).args(mydocker.get_args());
        super::call(command).stdout("");
        assert!(std::fs::metadata(&out).unwrap().len() > 100_000, "{line:?}");
        assert_eq!(std::fs::read_to_string(canary.join("secret")).unwrap(), CANARY, "{line:?}");
    }
}

#[test]
fn environment_files_are_lines_of_names_and_values() {
    let host = Host::with_busybox();
    for bad in ["=x\n", "a b=c\n", "A\0=b\n", "A=b\0c\n"] {
        let file = host.file("env", bad);
        let flag = format!("--env-file={}", file.display());
        host.mydocker(["run", "--rm", &flag, "bb", "env"]).refused("env");
    }
    for path in ["/dev/zero", "/proc/self/environ", "/proc/kcore", "/proc", "/nowhere"] {
        let flag = format!("--env-file={path}");
        host.mydocker(["run", "--rm", &flag, "bb", "env"]).refused(path);
    }
}

/// CVE-2026-50195: a user who can name an image could make the engine run this image in place of a
/// pinned image.
#[test]
fn a_digest_is_never_given_to_an_image() {
    let host = Host::with_busybox();
    let archive = host.scratch().join("bb.tar");
    let archive = archive.to_str().unwrap();
    host.mydocker(["save", "-o", archive, "bb"]);
    host.mydocker(["create", "--name", "c", "bb", "true"]);
    let digest = format!("sha256:{}", "a".repeat(64));
    for name in [format!("pinned@{digest}"), format!("pinned:1@{digest}")] {
        let refused = |args: &[&str]| {
            host.mydocker(args).refused("can't be named by a digest");
        };
        refused(&["tag", "bb", &name]);
        refused(&["commit", "c", &name]);
        refused(&["import", archive, &name]);
        // Now the name is inside the archive: first in manifest.json, then in index.json.
        for document in ["manifest.json", "index.json"] {
            let unpacked = host.scratch().join("unpacked");
            let unpacked = unpacked.to_str().unwrap();
            let alter = format!(
                "rm -rf {unpacked}; mkdir {unpacked}; tar -C {unpacked} -xf {archive} && \
                 cd {unpacked} && if [ {document} = index.json ]; then rm manifest.json; fi && \
                 sed -i 's#docker.io/library/bb:latest#{name}#g; s#bb:latest#{name}#g' {document} && \
                 tar -cf ../altered.tar *"
            );
            assert!(Command::new("sh").args(["-c", &alter]).status().unwrap().success());
            let altered = host.scratch().join("altered.tar");
            host.mydocker(["load", "-i", altered.to_str().unwrap()])
                .stdout_has("Loaded image ID: ")
                .stderr_has("in the archive is ignored");
        }
        host.mydocker(["run", "--rm", "--pull", "never", &name, "true"])
            .exits(125)
            .stderr_has("no such image");
    }
}

/// CVE-2026-53488: the author of an image chooses its labels. The container gets the labels, except
/// those of Compose. No label changes a setting of the container.
#[test]
fn labels_of_an_image_have_no_effect() {
    let host = Host::with_busybox();
    let labels = "LABEL com.docker.compose.project=x com.docker.compose.service=y restart=always \
        mydocker.privileged=true io.podman.annotations.privileged=TRUE log-driver=none \
        com.docker.volume.anonymous= org.projectatomic.user=root maintainer=/etc:/host";
    let with = |change: &str| ["import".to_owned(), "-c".to_owned(), change.to_owned()];
    let archive = host.scratch().join("root.tar");
    let archive = archive.to_str().unwrap();
    host.mydocker(["create", "--name", "plain", "-v", "/data", "bb", "true"]);
    host.mydocker(["export", "-o", archive, "plain"]);
    let changes = [
        with(labels).to_vec(),
        ["-c", "VOLUME /data", archive, "labelled"].map(str::to_owned).to_vec(),
    ];
    host.mydocker(changes.concat());
    host.mydocker(["create", "--name", "labelled", "labelled", "true"]);
    for fact in [
        "{{json .HostConfig.RestartPolicy}}",
        "{{json .HostConfig.LogConfig}}",
        "{{json .HostConfig.PortBindings}}",
        "{{json .HostConfig.Privileged}}",
        "{{json .Config.User}}",
    ] {
        assert_eq!(host.inspect("labelled", fact), host.inspect("plain", fact), "{fact}");
    }
    // The image's own volume is not listed among the user's bind mounts.
    assert_eq!(host.inspect("labelled", "{{json .HostConfig.Binds}}"), "null");
    let mounts = "{{range .Mounts}}{{.Type}} {{.Destination}} {{.RW}};{{end}}";
    assert_eq!(host.inspect("labelled", mounts), "volume /data true;");
    // No image sets the labels by which `compose` finds its containers (CVE-2026-53488).
    let kept = host.inspect("labelled", "{{json .Config.Labels}}");
    assert!(kept.contains("mydocker.privileged") && !kept.contains("com.docker.compose"), "{kept}");
    for volume in host.mydocker(["volume", "ls", "-q"]).lines() {
        let shown = host.mydocker(["volume", "inspect", &volume]).text();
        assert!(!shown.contains("compose"), "{shown}");
    }
}
