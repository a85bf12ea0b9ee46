//! `build` with hostile contexts, archives and images: links, `..` and file names that could reach
//! the host. A directory of the host is the canary: no build may read from it or write to it.
//!
//! The author of a Dockerfile is untrusted here, as on a build server. `docs/security.md` names the
//! guards.

mod support;

use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use support::Host;
use support::tar::Tar;

const SECRET: &str = "the host's own secret";
/// A step that prints STOLEN-2 if the secret is below /d in the image.
const STOLEN: &str = "RUN if grep -rq 'own sec[r]et' /d; then echo STOLEN-$((1 + 1)); fi\n";

/// A directory of the host with one file, which no build may read or change.
struct Canary(PathBuf);

impl Canary {
    fn new(host: &Host) -> Canary {
        let directory = host.scratch().join("canary");
        std::fs::create_dir(&directory).unwrap();
        std::fs::write(directory.join("secret"), SECRET).unwrap();
        Canary(directory)
    }

    fn path(&self) -> &str {
        self.0.to_str().unwrap()
    }

    /// Fails if anything was made or changed in the directory.
    fn check(&self, what: &str) {
        let entries = std::fs::read_dir(&self.0).unwrap().flatten();
        let names: Vec<_> = entries.map(|entry| entry.file_name()).collect();
        assert_eq!(names, ["secret"], "{what}");
        let content = std::fs::read_to_string(self.0.join("secret")).unwrap();
        assert_eq!(content, SECRET, "{what}");
    }
}

fn context(host: &Host, dockerfile: &str) -> PathBuf {
    host.directory("context", &[("Dockerfile", dockerfile)])
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// Archives whose entries lead outside by a name, a symbolic link or a hard link.
fn hostile_archives(canary: &Canary) -> Vec<(&'static str, Vec<u8>)> {
    let outside = canary.path();
    let up = "../".repeat(20);
    let (up_file, up_secret) =
        (format!("{up}{}/x", &outside[1..]), format!("{up}{}/secret", &outside[1..]));
    let absolute_secret = format!("{outside}/secret");
    let absolute = format!("{outside}/x");
    vec![
        ("a name with ..", Tar::default().file(&up_file, "x").end()),
        ("an absolute name", Tar::default().file(&absolute, "x").end()),
        ("through a link", Tar::default().link("l", outside).file("l/x", "x").end()),
        (
            "through a relative link",
            Tar::default().link("l", &up_file[..up_file.len() - 2]).file("l/x", "x").end(),
        ),
        ("over a link", Tar::default().link("l", &absolute_secret).file("l", "x").end()),
        (
            "a directory over a link",
            Tar::default().link("l", outside).directory("l").file("l/x", "x").end(),
        ),
        ("a hard link to a name with ..", Tar::default().entry(b'1', "h", &up_secret, b"").end()),
        (
            "a hard link to an absolute name",
            Tar::default().entry(b'1', "h", &absolute_secret, b"").end(),
        ),
        (
            "a hard link through a link",
            Tar::default().link("l", outside).entry(b'1', "h", "l/secret", b"").end(),
        ),
    ]
}

#[test]
fn archives_that_add_unpacks_stay_in_the_image() {
    let host = Host::with_busybox();
    let canary = Canary::new(&host);
    for (what, archive) in hostile_archives(&canary) {
        let directory = context(&host, &format!("FROM bb\nADD a.tar /d/\n{STOLEN}"));
        std::fs::write(directory.join("a.tar"), archive).unwrap();
        // Some archives are refused; the others must be unpacked inside the image.
        let done = host.mydocker(["build", text(&directory)]);
        assert!(!done.transcript().contains("STOLEN-2"), "{what}: {}", done.transcript());
        done.status();
        canary.check(what);
    }
}

#[test]
fn archives_as_context_stay_in_the_workplace() {
    let host = Host::with_busybox();
    let canary = Canary::new(&host);
    for (what, archive) in hostile_archives(&canary) {
        let mut bytes =
            Tar::default().file("Dockerfile", &format!("FROM bb\nCOPY . /d/\n{STOLEN}")).end();
        bytes.truncate(bytes.len() - 1024);
        bytes.extend(archive);
        let done = host.feed(bytes, ["build", "-"]);
        assert!(!done.transcript().contains("STOLEN-2"), "{what}: {}", done.transcript());
        done.status();
        canary.check(what);
    }
}

/// An archive of less than 1 MiB unpacks to 3 GiB, as the source of ADD and as the context, on a
/// disk of 100 MiB. Each build prints the error once, and the two builds together leave at most
/// 200 KiB on the disk.
#[test]
fn a_decompression_bomb_leaves_the_disk_as_it_was() {
    let host = Host::new();
    let directory = context(&host, "FROM bb\nADD bomb /d/\n");
    let bomb = directory.join("bomb");
    let make = "truncate -s 3G big && tar -c big | zstd -q -1 -o bomb && rm big";
    let mut made = std::process::Command::new("sh");
    assert!(made.args(["-c", make]).current_dir(&directory).status().unwrap().success());
    assert!(std::fs::metadata(&bomb).unwrap().len() < 1 << 20);
    let script = "state=$1 bb=$2 ctx=$3; shift 3; mkdir -p $state; mount -t tmpfs -o size=100m none $state || exit\n\
        \"$@\" import -q $bb bb >/dev/null || exit\n\
        used() { df -k --output=used $state | tail -1; }; before=$(used)\n\
        for context in $ctx $ctx/bomb; do \"$@\" build -q $context; echo $?; done\n\
        [ $(used) -le $((before + 200)) ] && echo clean; \"$@\" system check";
    let call = host.command([""; 0]);
    let mut inside = std::process::Command::new("unshare");
    inside.args(["-m", "bash", "-c", script, "bash"]).arg(host.state_root());
    inside.arg(support::busybox_archive()).arg(&directory);
    inside.arg(call.get_program()).args(call.get_args());
    let done = support::run_command(inside);
    let done = done.stdout_has("1\n1\nclean\n");
    let said = done.stderr_text();
    assert_eq!(said.matches("unpack 'big': No space left on device").count(), 2, "{said}");
}

#[test]
fn links_of_a_context_lead_nowhere_outside() {
    let host = Host::with_busybox();
    let canary = Canary::new(&host);
    let directory = context(&host, "");
    symlink(canary.path(), directory.join("out")).unwrap();
    symlink(canary.0.join("secret"), directory.join("file")).unwrap();
    symlink("../canary", directory.join("up")).unwrap();
    std::fs::create_dir(directory.join("d")).unwrap();
    symlink(canary.path(), directory.join("d/out")).unwrap();
    for line in [
        "COPY out/secret /x",
        "COPY out /x",
        "COPY out/* /x/",
        "COPY file /x",
        "COPY up/secret /x",
        "COPY d/../../canary/secret /x",
        "COPY --parents **/secret /x/",
        "COPY --parents out/./secret /x/",
        "ADD file /x",
    ] {
        std::fs::write(directory.join("Dockerfile"), format!("FROM bb\n{line}\n")).unwrap();
        let done = host.mydocker(["build", text(&directory)]).exits(1);
        assert!(
            done.transcript().contains("is not in the build context")
                || done.transcript().contains("matches no file"),
            "{line}: {}",
            done.transcript()
        );
    }
    // A link that is part of a copied directory is copied as a link.
    std::fs::write(directory.join("Dockerfile"), "FROM bb\nCOPY d /d\n").unwrap();
    host.mydocker(["build", "-t", "x", text(&directory)]);
    host.mydocker(["run", "--rm", "x", "readlink", "/d/out"])
        .stdout(&format!("{}\n", canary.path()));
    // The build itself reads two files: the Dockerfile and .dockerignore.
    let dockerfile = directory.join("Dockerfile");
    std::fs::remove_file(&dockerfile).unwrap();
    symlink(canary.0.join("secret"), &dockerfile).unwrap();
    let done = host.mydocker(["build", text(&directory)]).exits(1);
    assert!(!done.transcript().contains("own secret"), "{}", done.transcript());
    std::fs::remove_file(&dockerfile).unwrap();
    std::fs::write(&dockerfile, "FROM bb\nCOPY . /c\n").unwrap();
    symlink(canary.0.join("secret"), directory.join(".dockerignore")).unwrap();
    host.mydocker(["build", text(&directory)]);
    canary.check("links of the context");
}

/// A walk that follows these links would find about 2^40 paths, because the kernel follows up to 40
/// links in each path (path_resolution(7)).
#[test]
fn links_in_an_ignored_directory_are_not_followed() {
    let host = Host::with_busybox();
    let directory = context(&host, "FROM bb\nCOPY . /c\n");
    std::fs::create_dir_all(directory.join("d/below")).unwrap();
    symlink(".", directory.join("d/one")).unwrap();
    symlink("..", directory.join("d/below/two")).unwrap();
    symlink(".", directory.join("d/below/three")).unwrap();
    std::fs::write(directory.join("d/below/kept"), "").unwrap();
    std::fs::write(directory.join(".dockerignore"), "*\n!d/below/kept\n").unwrap();
    host.mydocker(["build", "-t", "x", text(&directory)]);
    let listed = "/c\n/c/d\n/c/d/below\n/c/d/below/kept\n";
    host.mydocker(["run", "--rm", "x", "sh", "-c", "find /c | sort"]).stdout(listed);
    std::fs::write(directory.join(".dockerignore"), "*\n!nothing\n").unwrap();
    std::fs::write(directory.join("Dockerfile"), "FROM bb\nCOPY d /c\n").unwrap();
    host.mydocker(["build", text(&directory)]).exits(1).stderr_has(".dockerignore excludes it");
}

#[test]
fn links_of_an_image_lead_nowhere_outside() {
    let host = Host::with_busybox();
    let canary = Canary::new(&host);
    let up = format!("{}{}", "../".repeat(20), &canary.path()[1..]);
    let links =
        format!("RUN ln -s {0} /abs && ln -s {up} /rel && ln -s {0}/secret /file", canary.path());
    for line in [
        "WORKDIR /abs/made",
        "WORKDIR /rel/made/deep",
        "COPY a /abs/x",
        "COPY a /rel/",
        "COPY a /file",
        "COPY --chown=7:7 --chmod=777 a /abs/deep/x",
        "COPY --parents a /rel/p/",
        "COPY <<x /abs/\nmade\nx",
        "ADD a.tar /abs",
        "ADD a.tar /rel/",
        "VOLUME /abs\nRUN touch /abs/x",
        "WORKDIR /rel\nRUN touch x; echo x >>secret",
        "USER 7\nWORKDIR /abs/mine",
    ] {
        let directory = context(&host, &format!("FROM bb\n{links}\n{line}\n"));
        std::fs::write(directory.join("a"), "a").unwrap();
        std::fs::write(directory.join("a.tar"), Tar::default().file("t", "t").end()).unwrap();
        // A volume on a link may be refused, so ignore the status.
        let _ = host.mydocker(["build", text(&directory)]).status();
        canary.check(line);
    }
    // Now the links are in a stage that is the source of a copy.
    let dockerfile = format!("FROM bb AS one\n{links}\nFROM bb\n");
    for line in
        ["COPY --from=one /abs/secret /x", "COPY --from=one /rel/* /x/", "COPY --from=one /file /x"]
    {
        let directory = context(&host, &format!("{dockerfile}{line}\n"));
        let done = host.mydocker(["build", text(&directory)]).exits(1);
        assert!(!done.transcript().contains("own secret"), "{line}");
        done.stderr_has(" the image");
    }
}

#[test]
fn names_of_heredocs_and_stages_are_not_used_as_paths() {
    let host = Host::with_busybox();
    let canary = Canary::new(&host);
    for (dockerfile, message) in [
        ("FROM bb\nCOPY <<../x /d/\nmade\n../x\n", "unknown instruction 'MADE'"),
        ("FROM bb\nCOPY <<.. /d/\nmade\n..\n", "write "),
        ("FROM bb\nRUN <<..\n#!/bin/sh\n..\n", "write "),
        ("FROM bb AS ../x\n", "bad stage name '../x'"),
        ("FROM bb\nCOPY --from=../canary secret /x\n", "--from=../canary"),
        ("FROM ../canary\n", "../canary"),
    ] {
        let directory = context(&host, dockerfile);
        host.mydocker(["build", text(&directory)]).exits(1).stderr_has(message);
        canary.check(dockerfile);
    }
}
