//! The flags of `build`: its outputs, the settings of its steps, and the sources of its context.
//!
//! A flag is tested by its effect on an image or an archive, or by its one-line refusal.
//! `src/cli/build.rs` has the table of these flags.

mod support;

use std::path::Path;
use std::process::Command;

use support::Host;

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// The names in an archive, as tar lists them.
fn listed(archive: &Path) -> String {
    let listed = Command::new("tar").arg("-tf").arg(archive).output().unwrap();
    assert!(listed.status.success(), "{}", String::from_utf8_lossy(&listed.stderr));
    String::from_utf8(listed.stdout).unwrap()
}

#[test]
fn an_output_is_an_archive_or_a_directory() {
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
    // An output of only files leaves no image.
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
        ("type=registry", "name the image with -t and write --push"),
    ] {
        host.mydocker(["build", "-o", value, "."]).exits(125).complains(message);
    }
}

#[test]
fn the_id_and_metadata_are_written_to_files() {
    let host = Host::with_busybox();
    let context = host.directory("context", &[("Dockerfile", "FROM bb\nENV A=1\n")]);
    let (id, metadata) = (host.scratch().join("id"), host.scratch().join("metadata"));
    let files = ["--iidfile", text(&id), "--metadata-file", text(&metadata)];
    let args = ["build", "--progress=tty", "--rm", "--load", "-t", "x", "-t", "y:2"];
    host.mydocker([&args[..], &files, &[text(&context)]].concat());
    let expected = host.inspect("y:2", "{{.Id}}");
    assert_eq!(std::fs::read_to_string(&id).unwrap(), expected);
    assert_eq!(
        std::fs::read_to_string(metadata).unwrap(),
        format!(
            "{{\n  \"containerimage.config.digest\": \"{expected}\",\n  \"containerimage.digest\": \
             \"{expected}\",\n  \"image.name\": \"docker.io/library/x:latest,docker.io/library/y:2\"\n}}\n"
        )
    );
    let quiet = ["buildx", "build", "--quiet", text(&context)];
    host.mydocker(quiet).stdout(&format!("{expected}\n")).stderr("");
    // A failed build removes the file with the id of an earlier build, but not a device.
    for file in [text(&id), "/dev/null"] {
        let args = ["build", "--iidfile", file, "-"];
        host.feed("FROM bb\nRUN exit 1\n", args).exits(1).stderr_has("exit status 1");
    }
    assert!(!id.exists() && Path::new("/dev/null").exists());
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
fn a_context_is_an_archive_or_has_further_directories() {
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
    // The context is an archive, in a file or on stdin; -f is a path in the archive.
    let archive = host.scratch().join("context.tar.gz");
    let tar =
        Command::new("tar").arg("-czf").arg(&archive).arg("-C").arg(&context).arg(".").status();
    assert!(tar.unwrap().success());
    host.mydocker(["build", "-t", "y", "-f", "ci/Dockerfile", text(&archive)]);
    host.mydocker(["run", "--rm", "y", "cat", "/ci"]).stdout("main");
    let bytes = std::fs::read(&archive).unwrap();
    host.feed(bytes, ["build", "-t", "z", "-f", "ci/Dockerfile", "-"]);
    host.mydocker(["run", "--rm", "z", "cat", "/ci"]).stdout("main");
    // An archive with an unsupported compression is not taken for a Dockerfile.
    let xz = [&b"\xfd7zXZ\0"[..], &[0; 600]].concat();
    let refused = host.feed(xz, ["build", "-"]).exits(1);
    refused.stderr_has("xz compression is not supported");
    // The Dockerfile comes from stdin, the context from a directory.
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
fn the_ignore_file_of_a_dockerfile_is_beside_it() {
    let host = Host::new();
    let dockerfile = "FROM scratch\nCOPY . /\n";
    let files = [
        ("c/dockerfile", dockerfile),
        ("c/ci/Dockerfile", dockerfile),
        ("c/ci/own", dockerfile),
        ("c/ci/own.dockerignore", "one\nci\n"),
        ("c/.dockerignore", "two\n*ocker*\nci\n"),
        ("c/Dockerfile.dockerignore", "one\n"),
        ("c/one", ""),
        ("c/two", ""),
        ("far", dockerfile),
        ("far.dockerignore", "*\n"),
    ];
    let directory = host.directory("files", &files);
    let context = directory.join("c");
    let out = host.scratch().join("out");
    let built = |file: &[&str], stdin: &str| {
        let args = [&["build", "-o", text(&out)], file, &[text(&context)]].concat();
        host.feed(stdin, args);
        let mut names: Vec<String> = Vec::new();
        for entry in std::fs::read_dir(&out).unwrap() {
            names.push(entry.unwrap().file_name().into_string().unwrap());
        }
        names.sort();
        let _ = std::fs::remove_dir_all(&out);
        names.retain(|name| matches!(name.as_str(), "one" | "two"));
        names.concat()
    };
    // Like Docker, the build takes `dockerfile` if there is no `Dockerfile`. `dockerfile` has no
    // ignore file of its own.
    assert_eq!(built(&[], ""), "one");
    assert_eq!(built(&["-f", text(&context.join("ci/Dockerfile"))], ""), "one");
    assert_eq!(built(&["-f", text(&context.join("ci/own"))], ""), "two");
    assert_eq!(built(&["-f", "-"], dockerfile), "one");
    assert_eq!(built(&["-f", text(&directory.join("far"))], ""), "");
    std::fs::write(context.join("Dockerfile"), dockerfile).unwrap();
    assert_eq!(built(&[], ""), "two");
}

#[test]
fn a_build_context_replaces_stages_and_images_and_is_mounted() {
    let host = Host::with_busybox();
    host.feed("FROM bb\nRUN echo other >/other\n", ["build", "-q", "-t", "other", "-"]);
    let dockerfile = "FROM bb AS files\nRUN exit 1\n\
                      FROM bb AS root\nRUN exit 1\n\
                      FROM docker.io/library/one:latest\n\
                      COPY --from=files a /a\n\
                      RUN --mount=from=files,target=/m,source=d cat /m/b >/b\n\
                      RUN --mount=from=files,target=/m,rw rm /m/a; ls /m >/c\n\
                      RUN --mount=type=cache,from=files,target=/m ls /m >/d\n\
                      COPY --from=root /other /e\n";
    let files = host.directory("files", &[("a", "a\n"), ("d/b", "b\n"), ("hidden", "")]);
    let named = format!("files={}", text(&files));
    let arguments = [
        ["--build-context", &named],
        ["--build-context", "root=docker-image://other"],
        ["--build-context", "one=docker-image://bb"],
    ];
    let build = |expected: &str| {
        let args = [&["build", "-q", "-t", "x"], arguments.as_flattened(), &["-"]].concat();
        host.feed(dockerfile, args);
        let read = ["run", "--rm", "x", "sh", "-c", "cat /a /b /c /d /e"];
        host.mydocker(read).stdout(expected);
    };
    build("a\nb\nd\nhidden\na\nd\nhidden\nother\n");
    // A step runs again if a file that it reads has changed. The directory's .dockerignore counts.
    std::fs::write(files.join("d/b"), "new\n").unwrap();
    std::fs::write(files.join(".dockerignore"), "hidden\n.d*\n").unwrap();
    build("a\nnew\nd\na\nd\nhidden\nother\n");
}

#[test]
fn unsupported_flags_are_refused() {
    let host = Host::with_busybox();
    let context = host.directory("context", &[("Dockerfile", "FROM bb\n")]);
    for (flag, message) in [
        ("--ssh=default", "no step gets an SSH agent"),
        ("--annotation=a=b", "write an archive with -o type=oci,dest=FILE, or use --label"),
        ("--cache-from=type=registry,ref=x", "only a directory can hold a cache: type=local,src="),
        ("--cache-from=user/app:cache", "only a directory can hold a cache: type=local,src="),
        ("--cache-to=type=inline", "only a directory can hold a cache: type=local,dest="),
        ("--cache-to=type=local,src=x", "unknown key 'src'"),
        ("--allow=network.host", "can't be allowed"),
        ("--platform=a/b/c/d", "it should be OS/ARCHITECTURE"),
        ("--isolation=process", "only on Windows"),
        ("--secret=id=s,src=/no/such", "secret s: read /no/such: No such file"),
        ("--annotation=index:a=b", "only the manifest gets annotations; write NAME=VALUE"),
        ("--push", "--push needs the image's name: -t NAME"),
        ("--provenance=mode=max", "no attestation is made; write false"),
        ("--sbom=true", "no attestation is made; write false"),
        ("--build-arg==x", "'=x' should be NAME=VALUE or NAME"),
        ("--label==x", "bad label '=x': its key is empty"),
        ("--output=", "'' should be KEY=VALUE"),
        ("--progress=fancy", "use auto, tty, plain or quiet"),
    ] {
        host.mydocker(["build", flag, text(&context)]).refused(message);
    }
    let native = host.mydocker(["version", "-f", "{{.Server.Os}}/{{.Server.Arch}}"]).text();
    host.mydocker(["build", "--platform", &native, "--isolation=default", text(&context)]);
    let accepted = ["--platform=local", "--builder=x", "--provenance=false", "--sbom=false"];
    host.mydocker([&["build"], &accepted[..], &[text(&context)]].concat());
    let other = host.mydocker(["build", "--platform=linux/s390x", text(&context)]).exits(1);
    other.stderr_has("the image 'bb' here is for linux/");
    let dockerfile = context.join("Dockerfile");
    std::fs::write(&dockerfile, format!("FROM --platform={native} bb\n")).unwrap();
    host.mydocker(["build", text(&context)]);
    // This platform's name only starts like the name of this machine's platform.
    std::fs::write(&dockerfile, format!("FROM --platform={native}x bb\n")).unwrap();
    host.mydocker(["build", text(&context)]).exits(1).stderr_has("here is for linux/");
}

#[test]
fn base_images_are_pulled_if_they_are_missing_or_with_pull() {
    let host = Host::with_busybox();
    // No registry listens on port 1; the error shows that the build tried to pull.
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

/// The files of an image outside of /bin and /etc, with attributes and MD5 sums, and the names in
/// /etc.
fn files_of(host: &Host, image: &str) -> String {
    let script = "cd / && find . -xdev ! -path './dev*' ! -path './proc*' ! -path './sys*' \
        ! -path './bin/*' ! -path './etc*' ! -path . -exec stat -c '%n %F %a %u %g %Y' {} + | sort; \
        find . -xdev -type f ! -path './bin/*' ! -path './etc/*' -exec md5sum {} + | sort; ls /etc";
    host.mydocker(["run", "--rm", image, "sh", "-c", script]).text()
}

#[test]
fn squash_makes_one_layer_with_the_same_files() {
    let host = Host::with_busybox();
    let dockerfile = "FROM bb AS first\nRUN echo a >/a && mkdir -p /d/e && echo 1 >/d/1\n\
        FROM first\nRUN rm /a /etc/group && rm -r /d && mkdir /d && echo 2 >/d/2\nENV X=1\n\
        RUN rm -r /home && echo h >/home && ln /home /h && chown 5:6 /home && chmod 4711 /d\n\
        RUN rm -r /root && mkdir /root && touch -d 2001-02-03 /root/n && rm /h && rmdir /var\n";
    let context = host.directory("context", &[("Dockerfile", dockerfile)]);
    let layers = |image: &str| {
        let layers = host.inspect(image, "{{json .RootFS.Layers}}");
        layers.split(',').map(str::to_owned).collect::<Vec<_>>()
    };
    host.mydocker(["build", "-t", "many", text(&context)]);
    host.mydocker(["build", "-t", "one", "--squash", text(&context)]);
    assert_eq!((layers("many").len(), layers("one").len()), (5, 2));
    assert_eq!(layers("one")[0], layers("bb")[0].replace(']', ""));
    let files = files_of(&host, "one");
    assert!(files.contains("./d directory 4711 0 0") && !files.contains("./var"), "{files}");
    assert_eq!(files, files_of(&host, "many"));
    let history = ["history", "--format", "{{.Comment}} {{.CreatedBy}}", "one"];
    let history = host.mydocker(history).text();
    assert!(history.starts_with("4 layers of the build as one"), "{history}");
    assert!(history.contains("ENV X=1"), "{history}");
    // Both the layers and the squashed layer come from the cache, and the image is the same.
    let id = host.inspect("one", "{{.Id}}");
    let again = host.mydocker(["build", "-t", "one", "--squash", text(&context)]);
    again.stderr_has("CACHED");
    assert_eq!(host.inspect("one", "{{.Id}}"), id);
    // This build makes no layer, so there is nothing to squash.
    host.feed("FROM bb\nCMD [\"x\"]\n", ["build", "--squash", "-t", "none", "-"]);
    assert_eq!(layers("none").len(), 1);
    host.mydocker(["system", "check"]);
}

#[test]
fn a_cache_in_a_directory_serves_another_host() {
    let host = Host::with_busybox();
    let dockerfile = "FROM bb AS other\nRUN echo other >/o\nFROM bb\nRUN echo made >/made\n\
        COPY f /f\nCOPY --from=other /o /o\n";
    let context = host.directory("context", &[("Dockerfile", dockerfile), ("f", "f")]);
    let cache = host.scratch().join("cache");
    let to = format!("--cache-to=type=local,dest={},mode=max", text(&cache));
    let from = format!("--cache-from=type=local,src={}", text(&cache));
    host.mydocker(["build", "-t", "x", &from, &to, text(&context)]);
    let layers = |host: &Host| {
        let layers = host.inspect("x", "{{json .RootFS.Layers}}");
        layers
            + &host.mydocker(["history", "--format", "{{.CreatedAt}}", "x"]).lines()[..3].concat()
    };
    // All steps come from the directory, with the same layers and times.
    let other = host.neighbour();
    let args = ["build", "-t", "x", &from, text(&context)];
    let log = other.mydocker(args).stderr_text();
    assert_eq!(log.matches("CACHED").count(), 4, "{log}");
    assert_eq!(layers(&other), layers(&host));
    other.mydocker(["run", "--rm", "x", "cat", "/made", "/f", "/o"]).stdout("made\nfother\n");
    // Now the steps come from the host's own cache.
    std::fs::remove_dir_all(&cache).unwrap();
    let log = other.mydocker(args).stderr_text();
    assert_eq!(log.matches("CACHED").count(), 4, "{log}");
    other.mydocker(["system", "check"]);
}

#[test]
fn a_damaged_cache_in_a_directory_is_not_used() {
    let host = Host::with_busybox();
    let files = [("Dockerfile", "FROM bb\nRUN echo made >/made\n")];
    let context = host.directory("context", &files);
    let cache = host.scratch().join("cache");
    let to = format!("--cache-to=type=local,dest={}", text(&cache));
    let from = format!("--cache-from=type=local,src={}", text(&cache));
    host.mydocker(["build", &to, text(&context)]);
    let written = || std::fs::read_dir(&cache).unwrap().flatten().map(|entry| entry.path());
    let is_tar = |path: &std::path::PathBuf| path.extension().is_some_and(|end| end == "tar");
    let tar = written().find(is_tar).unwrap();
    let mut bytes = std::fs::read(&tar).unwrap();
    let at = bytes.windows(5).position(|piece| piece == b"made\n").unwrap();
    bytes[at] = b'M';
    std::fs::write(&tar, &bytes).unwrap();
    let other = host.neighbour();
    let args = ["build", "-t", "x", &from, text(&context)];
    other.mydocker(args).exits(1).stderr_has("is damaged: its digest is sha256:");
    // Without the layer, the entry is useless.
    std::fs::remove_file(&tar).unwrap();
    let log = other.mydocker(args).stderr_text();
    assert!(log.contains("DONE") && !log.contains("CACHED"), "{log}");
    for entry in written() {
        std::fs::write(entry, "no entry").unwrap();
    }
    let log = host.neighbour().mydocker(args).stderr_text();
    assert!(!log.contains("CACHED"), "{log}");
}

#[test]
fn an_archive_has_the_annotations() {
    let host = Host::with_busybox();
    let archive = host.scratch().join("x.tar");
    let output = format!("type=oci,dest={}", text(&archive));
    let given = ["--annotation", "a.b=c d", "--annotation", "manifest:e=", "-o", &output, "-"];
    host.feed("FROM bb\n", [&["build"], &given[..]].concat());
    let out = std::process::Command::new("tar").args(["-xOf", text(&archive)]).output().unwrap();
    let all = String::from_utf8_lossy(&out.stdout).into_owned();
    assert!(all.contains(r#""annotations":{"a.b":"c d","e":""}"#), "{all:.500}");
}

/// qemu-user runs programs of another architecture if it is registered with binfmt_misc. A
/// registration counts for the whole machine, so the test uses its own name and removes the
/// registration after each build.
#[test]
fn another_platform_is_built_by_an_emulator() {
    const NAME: &str = "mydocker-test";
    const ARM: &str = r"\x7fELF\x02\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\xb7\x00";
    const MASK: &str =
        r"\xff\xff\xff\xff\xff\xff\xff\x00\xff\xff\xff\xff\xff\xff\xff\xff\xfe\xff\xff\xff";
    let host = Host::with_busybox();
    let source = "#include <sys/utsname.h>\n#include <stdio.h>\nint main(int c, char **v) {\n\
        struct utsname u; uname(&u); FILE *f = fopen(\"/made\", \"a\");\n\
        fprintf(f, \"%s %s\\n\", u.machine, v[1]); return fclose(f); }\n";
    let dockerfile = "FROM --platform=$BUILDPLATFORM bb AS native\nARG BUILDARCH TARGETARCH\n\
        RUN echo $BUILDARCH $(uname -m) for $TARGETARCH >/n\n\
        FROM scratch\nARG TARGETPLATFORM\nCOPY p /p\nCOPY --from=native /n /n\n\
        RUN [\"/p\", \"runs\"]\nENTRYPOINT [\"/p\"]\n";
    let files = [("Dockerfile", dockerfile), ("p.c", source), (".dockerignore", "p.c\n")];
    let context = host.directory("context", &files);
    let compiled = std::process::Command::new("aarch64-linux-gnu-gcc")
        .args(["-static", "-O", "-o"])
        .args([context.join("p"), context.join("p.c")])
        .output()
        .unwrap();
    assert!(compiled.status.success(), "{}", String::from_utf8_lossy(&compiled.stderr));
    let out = host.scratch().join("out");
    let flags = ["build", "--platform", "linux/arm64", "-t", "arm", text(&context)];
    // Without a registration for riscv64, the build fails before it runs a step.
    let within = |script: &str, args: &[&str]| {
        let build = host.command(args);
        let mut inside = std::process::Command::new("unshare");
        inside
            .args(["-m", "sh", "-c", script, "sh"])
            .arg(build.get_program())
            .args(build.get_args());
        inside
    };
    let plain = "mount -t binfmt_misc none /proc/sys/fs/binfmt_misc && exec \"$@\"";
    let riscv: Vec<&str> = flags
        .iter()
        .map(|flag| if *flag == "linux/arm64" { "linux/riscv64" } else { flag })
        .collect();
    let refused = support::run_command(within(plain, &riscv)).exits(1).stderr_text();
    assert!(refused.contains("RUN for linux/riscv64 needs an emulator"), "{refused}");
    assert!(refused.lines().all(|line| !line.starts_with('#')), "{refused}");
    let registered = format!(
        "mount -t binfmt_misc none /proc/sys/fs/binfmt_misc && cd /proc/sys/fs/binfmt_misc || exit 99
        end() {{ [ ! -e {NAME} ] || echo -1 >{NAME}; }}
        end; trap end EXIT
        echo ':{NAME}:M::{ARM}:{MASK}:/usr/bin/qemu-aarch64-static:F' >register || exit 98
        \"$@\""
    );
    support::run_command(within(&registered, &flags));
    host.mydocker(["inspect", "-f", "{{.Architecture}}", "arm"]).stdout("arm64\n");
    let dest = format!("type=local,dest={}", text(&out));
    support::run_command(within(&registered, &[&flags[..], &["-o", &dest]].concat()));
    let read = |name: &str| std::fs::read_to_string(out.join(name)).unwrap();
    assert_eq!(read("made"), "aarch64 runs\n");
    let native = host.mydocker(["version", "-f", "{{.Server.Arch}}"]).text();
    let machine = std::env::consts::ARCH;
    assert_eq!(read("n"), format!("{} {machine} for arm64\n", native.trim()));
}
