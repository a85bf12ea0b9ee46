//! The flags of build: where the image goes, what its steps get, and where the context comes from.

mod support;

use std::path::Path;
use std::process::Command;

use support::Host;

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// What tar lists of an archive.
fn listed(archive: &Path) -> String {
    let listed = Command::new("tar").arg("-tf").arg(archive).output().unwrap();
    assert!(listed.status.success(), "{}", String::from_utf8_lossy(&listed.stderr));
    String::from_utf8(listed.stdout).unwrap()
}

#[test]
fn outputs_are_archives_and_directories() {
    let host = Host::with_busybox();
    let context = host.directory(
        "context",
        &[("Dockerfile", "FROM bb\nRUN rm -r /home && echo made >/made && ln -s made /link\n")],
    );
    let path = |name: &str| host.scratch().join(name);
    let build = |args: &[&str]| {
        let mut all = vec!["build"];
        all.extend(args);
        all.push(text(&context));
        host.mydocker(all)
    };
    let before = host.mydocker(["images", "-aq"]).lines().len();
    build(&["--output", text(&path("out"))]);
    assert_eq!(std::fs::read(path("out/link")).unwrap(), b"made\n");
    assert!(path("out/bin/sh").is_symlink() && !path("out/home").exists());
    build(&["-o", &format!("type=tar,dest={}", text(&path("files.tar")))]);
    let files = listed(&path("files.tar"));
    assert!(files.contains("\nmade\n") && !files.contains("home"), "{files}");
    let tar = build(&["-o", "-"]).bytes();
    assert_eq!(tar, std::fs::read(path("files.tar")).unwrap());
    // Files alone leave no image.
    assert_eq!(host.mydocker(["images", "-aq"]).lines().len(), before);
    build(&["-t", "x:1", "-o", &format!("type=docker,dest={}", text(&path("docker.tar")))]);
    assert!(listed(&path("docker.tar")).contains("manifest.json"));
    build(&["-t", "x:1", "-o", &format!("type=oci,dest={}", text(&path("oci.tar")))]);
    assert!(listed(&path("oci.tar")).contains("oci-layout"));
    build(&["-o", "type=image,name=named:2"]);
    host.mydocker(["run", "--rm", "named:2", "cat", "/made"]).stdout("made\n");
    host.mydocker(["rmi", "x:1", "named:2"]);
    host.mydocker(["load", "-i", text(&path("docker.tar"))]).stdout_has("x:1");
    host.mydocker(["run", "--rm", "x:1", "cat", "/link"]).stdout("made\n");
    for (value, message) in [
        ("type=x", "unknown type 'x'; known: image docker oci tar local"),
        ("type=local", "type=local needs a directory"),
        ("type=registry", "build with -t, then mydocker push"),
    ] {
        host.mydocker(["build", "-o", value, "."]).exits(125).complains(message);
    }
}

#[test]
fn files_about_the_image() {
    let host = Host::with_busybox();
    let context = host.directory("context", &[("Dockerfile", "FROM bb\nENV A=1\n")]);
    let (id, metadata) = (host.scratch().join("id"), host.scratch().join("metadata"));
    let files = ["--iidfile", text(&id), "--metadata-file", text(&metadata)];
    let args = ["build", "--progress=tty", "--rm", "--load", "-t", "x", "-t", "y:2"];
    host.mydocker([&args[..], &files, &[text(&context)]].concat());
    let expected = host.inspect("y:2", "{{.Id}}");
    assert_eq!(std::fs::read_to_string(id).unwrap(), expected);
    assert_eq!(
        std::fs::read_to_string(metadata).unwrap(),
        format!(
            "{{\n  \"containerimage.config.digest\": \"{expected}\",\n  \"containerimage.digest\": \
             \"{expected}\",\n  \"image.name\": \"docker.io/library/x:latest,docker.io/library/y:2\"\n}}\n"
        )
    );
    let quiet = ["buildx", "build", "--quiet", text(&context)];
    host.mydocker(quiet).stdout(&format!("{expected}\n")).stderr("");
}

#[test]
fn steps_get_limits_and_hosts() {
    let host = Host::with_busybox();
    let dockerfile = "FROM bb\nRUN grep there /etc/hosts >/a; ulimit -n >>/a; df -k /dev/shm | tail -1 | \
        tr -s ' ' | cut -d' ' -f2 >>/a; cat /sys/fs/cgroup/memory/memory.limit_in_bytes >>/a; \
        ls /sys/class/net >>/a\n";
    let context = host.directory("context", &[("Dockerfile", dockerfile)]);
    let flags = "build --add-host there:192.0.2.1 --ulimit nofile=64:64 --shm-size 1m -m 64m --cpus 0.5 \
                 --network none -t x";
    let mut args: Vec<&str> = flags.split_whitespace().collect();
    args.push(text(&context));
    host.mydocker(args);
    let made = host.mydocker(["run", "--rm", "x", "cat", "/a"]).text();
    assert_eq!(made, "192.0.2.1\tthere\n64\n1024\n67108864\nlo");
}

#[test]
fn contexts_from_archives_and_other_directories() {
    let host = Host::with_busybox();
    let files = [
        (
            "Dockerfile",
            "FROM base\nCOPY --from=other a.txt sub /o/\nCOPY --from=OTHER b* /o/\nCOPY a.txt /\n",
        ),
        ("ci/Dockerfile", "FROM bb\nCOPY a.txt /ci\n"),
        ("ci/Dockerfile.dockerignore", "b.txt\n"),
        ("a.txt", "main"),
        ("b.txt", ""),
    ];
    let context = host.directory("context", &files);
    let other =
        [("a.txt", "other"), ("b1", ""), ("b2", ""), ("sub/c", ""), (".dockerignore", "b2")];
    let other = host.directory("other", &other);
    let named = format!("other={}", text(&other));
    let args = ["--build-context", &named, "--build-context", "base=docker-image://bb", "-t", "x"];
    host.mydocker([&["build"][..], &args, &[text(&context)]].concat());
    let read = ["run", "--rm", "x", "sh", "-c", "cat /o/a.txt /a.txt; ls /o"];
    host.mydocker(read).stdout("othermaina.txt\nb1\nc\n");
    // An archive as the context, as a file and on stdin; -f is a path in it.
    let archive = host.scratch().join("context.tar.gz");
    let tar =
        Command::new("tar").arg("-czf").arg(&archive).arg("-C").arg(&context).arg(".").status();
    assert!(tar.unwrap().success());
    host.mydocker(["build", "-t", "y", "-f", "ci/Dockerfile", text(&archive)]);
    host.mydocker(["run", "--rm", "y", "cat", "/ci"]).stdout("main");
    let bytes = std::fs::read(&archive).unwrap();
    host.feed(bytes, ["build", "-t", "z", "-f", "ci/Dockerfile", "-"]);
    host.mydocker(["run", "--rm", "z", "cat", "/ci"]).stdout("main");
    // An archive that can't be read is no Dockerfile.
    let xz = [&b"\xfd7zXZ\0"[..], &[0; 600]].concat();
    let refused = host.feed(xz, ["build", "-"]).exits(1);
    refused.stderr_has("xz compression is not supported");
    // A Dockerfile on stdin beside a directory.
    let dockerfile = "FROM bb\nCOPY a.txt /stdin\n";
    host.feed(dockerfile, ["build", "-t", "w", "-f", "-", text(&context)]);
    host.mydocker(["run", "--rm", "w", "cat", "/stdin"]).stdout("main");
    host.feed("FROM bb\nCOPY b.txt /\n", ["build", "-f", "-", text(&context)]);
    host.mydocker(["build", "-f", text(&context.join("ci/Dockerfile")), text(&context)]);
    for (args, message) in [
        (vec!["-f", "-", "-"], "-f - and the context - can't both be stdin"),
        (
            vec!["--build-context", "a=https://x.example/", text(&context)],
            "is remote; write a directory",
        ),
        (vec!["--build-context", "a", "."], "should be NAME=DIRECTORY"),
        (vec!["https://x.example/a.git"], "is remote; clone or download it first"),
    ] {
        host.mydocker([&["build"][..], &args].concat()).refused(message);
    }
}

#[test]
fn what_can_not_be_done_is_refused() {
    let host = Host::with_busybox();
    let context = host.directory("context", &[("Dockerfile", "FROM bb\n")]);
    for (flag, message) in [
        ("--ssh=default", "no SSH agent enters a step"),
        ("--squash", "add a last stage: FROM scratch, COPY --from=0 / /"),
        ("--annotation=a=b", "use --label"),
        ("--cache-from=type=registry,ref=x", "builds on this machine share one cache"),
        ("--cache-to=type=inline", "builds on this machine share one cache"),
        ("--allow=network.host", "can't be allowed"),
        ("--platform=linux/s390x", "this machine builds for linux/"),
        ("--platform=x", "platform"),
        ("--isolation=process", "only on Windows"),
        ("--progress=fancy", "use plain, auto, tty or quiet"),
    ] {
        host.mydocker(["build", flag, text(&context)]).refused(message);
    }
    let native = host.mydocker(["version", "-f", "{{.Server.Os}}/{{.Server.Arch}}"]).text();
    host.mydocker(["build", "--platform", &native, "--isolation=default", text(&context)]);
    let dockerfile = context.join("Dockerfile");
    std::fs::write(&dockerfile, format!("FROM --platform={native} bb\n")).unwrap();
    host.mydocker(["build", text(&context)]);
    // Its name only begins like this machine's.
    std::fs::write(&dockerfile, format!("FROM --platform={native}x bb\n")).unwrap();
    let refused = host.mydocker(["build", text(&context)]).exits(1);
    refused.stderr_has("this machine builds for linux/");
}

#[test]
fn base_images_are_pulled_if_they_are_missing_or_pull_says_so() {
    let host = Host::with_busybox();
    // A registry that nobody serves: the attempt is what is seen.
    let name = "127.0.0.1:1/base:1";
    let context = host.directory("context", &[("Dockerfile", &format!("FROM {name}\n"))]);
    let done = host.mydocker(["build", text(&context)]);
    done.exits(1)
        .stderr_has("no such image here: '127.0.0.1:1/base:1': ")
        .stderr_has("127.0.0.1:1");
    host.mydocker(["tag", "bb", name]);
    host.mydocker(["build", text(&context)]);
    host.mydocker(["build", "--pull", text(&context)])
        .exits(1)
        .stderr_has("connect to 127.0.0.1:1");
}

#[test]
fn check_prints_warnings_and_builds_nothing() {
    let host = Host::with_busybox();
    let files =
        [("Dockerfile", "FROM bb AS Base\nRUN false\nENV A b\nLABEL l=$PATH$UNSET\nCMD x\n")];
    let context = host.directory("context", &files);
    let done = host.mydocker(["build", "--check", text(&context)]).exits(1);
    let page = "https://docs.docker.com/go/dockerfile/rule/stage-name-casing/";
    done.stdout_has(&format!(
        "WARNING: StageNameCasing - {page}\nStage name 'Base' should be lowercase\n"
    ))
    .stdout_has("Dockerfile:1\n--------------------\n   1 | >>> FROM bb AS Base\n")
    .stdout_has("Usage of undefined variable '$UNSET'")
    .stdout_lacks("$PATH'")
    .stdout_has("Check complete, 4 warnings found!\n");
    host.feed("FROM bb\nCMD [\"x\"]\n", ["build", "--call=check", "-"])
        .stdout("Check complete, no warnings found.\n");
    let fatal = "# check=error=true;skip=JSONArgsRecommended\nFROM bb\nENV A b\n";
    host.feed(fatal, ["build", "-"])
        .exits(1)
        .stderr_has("says check=error=true, and has 1 warning");
    host.feed("FROM bb\nCOPPY a b\n", ["build", "--check", "-"])
        .exits(1)
        .stderr_has("did you mean COPY?");
}
