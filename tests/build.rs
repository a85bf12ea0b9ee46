//! `build`: images from Dockerfiles with their files, config and history, stages that run at the
//! same time, and builds that fail or are ended.
//!
//! The tests read the files of an image by running it, and its config by `inspect`. One test
//! compares the files with those of buildah. The cache, the flags and hostile contexts have files
//! of their own.

mod support;

use support::{Host, run_command};

/// Builds the image `x` from these files.
fn build(host: &Host, files: &[(&str, &str)]) -> support::Done {
    let directory = host.directory("context", files);
    host.mydocker(["build", "-t", "x", directory.to_str().unwrap()])
}

#[test]
fn an_image_has_its_files_config_and_history() {
    let host = Host::with_busybox();
    let dockerfile = "ARG BASE=bb\nFROM $BASE AS first\nRUN echo made >/made && rm -r /home\n\
        FROM first\nARG V=1\nENV A=x$V B=\"two words\"\nLABEL l=$A\nWORKDIR /srv/app\n\
        COPY --chown=7:8 --chmod=640 a.txt sub ./\nCOPY --from=first /made /m/\n\
        ADD a.txt /old\nRUN echo $V-$A >v; pwd >>v\nEXPOSE 80 53/udp\nVOLUME /data\nUSER 7\n\
        STOPSIGNAL SIGQUIT\nENTRYPOINT [\"cat\"]\nCMD [\"v\"]\n";
    build(&host, &[("Dockerfile", dockerfile), ("a.txt", "aa"), ("sub/b/c", "cc")]).stdout("");
    host.mydocker(["run", "--rm", "x"]).stdout("1-x1\n/srv/app\n");
    let script = "cat /made /m/made b/c /old; stat -c '%u:%g %a %n' a.txt b/c /old; ls -d /home";
    host.mydocker(["run", "--rm", "-u", "0", "--entrypoint", "sh", "x", "-c", script])
        .exits(1)
        .stdout("made\nmade\nccaa7:8 640 a.txt\n7:8 640 b/c\n0:0 644 /old\n");
    let inspect = |format: &str| host.inspect("x", format);
    assert_eq!(inspect("{{.Config.Env}}").split(' ').next_back(), Some("words]"));
    assert_eq!(
        inspect("{{.Config.Labels.l}} {{.Config.User}} {{.Config.StopSignal}}"),
        "x1 7 SIGQUIT"
    );
    assert_eq!(inspect("{{json .Config.ExposedPorts}}"), "{\"53/udp\":{},\"80/tcp\":{}}");
    let history =
        host.mydocker(["history", "--no-trunc", "--format", "{{.CreatedBy}}", "x"]).text();
    let lines: Vec<&str> = history.lines().collect();
    assert_eq!(lines[0], "/bin/sh -c #(nop)  CMD [\"v\"]");
    assert!(lines.contains(&"|1 V=1 /bin/sh -c echo $V-$A >v; pwd >>v"), "{history}");
    assert!(lines.contains(&"/bin/sh -c #(nop) WORKDIR /srv/app"), "{history}");
    // No container of a step is left.
    host.mydocker(["ps", "-aq"]).stdout("");
}

#[test]
fn a_build_knows_dockerignore_wildcards_and_heredocs() {
    let host = Host::with_busybox();
    let dockerfile = "FROM bb\nCOPY *.txt /t/\nCOPY . /all/\nCOPY <<one <<\"two\" /h/\n$PATH\none\n$PATH\ntwo\n\
        RUN <<EOF\necho a >/r\necho b >>/r\nEOF\nRUN cat <<X >/s\nin s\nX\n";
    let files = [
        ("Dockerfile", dockerfile),
        (".dockerignore", "**/*.log\n!keep.log\nout\n!out/back\n"),
        ("a.txt", "a"),
        ("b.txt", "b"),
        ("n.log", ""),
        ("keep.log", ""),
        ("out/gone", ""),
        ("out/back", ""),
    ];
    build(&host, &files);
    let script = "cd /all; find . -type f | sort; ls /t; cat /h/two /r /s; grep -c bin /h/one";
    let listed = "./.dockerignore\n./Dockerfile\n./a.txt\n./b.txt\n./keep.log\n./out/back\n";
    host.mydocker(["run", "--rm", "x", "sh", "-c", script])
        .stdout(format!("{listed}a.txt\nb.txt\n$PATH\na\nb\nin s\n1\n").as_str());
}

#[test]
fn a_failed_step_leaves_nothing_and_names_an_image_to_look_into() {
    let host = Host::with_busybox();
    let done = build(&host, &[("Dockerfile", "FROM bb\nRUN touch /a\nRUN echo out; exit 3\n")]);
    done.exits(1).stderr_has("out").stderr_has("   3 | >>> RUN echo out; exit 3").stderr_has(
        "returned the exit status 3; look into the image before this step with: mydocker run",
    );
    host.mydocker(["ps", "-aq"]).stdout("");
    host.mydocker(["inspect", "x"]).exits(1);
    let left = std::fs::read_dir(host.state_root().join("containers")).unwrap().flatten();
    let left: Vec<_> = left.map(|entry| entry.file_name()).filter(|name| name != "names").collect();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn a_killed_build_is_cleaned_up_by_the_next() {
    let host = Host::with_busybox();
    let directory = host.directory("context", &[("Dockerfile", "FROM bb\nRUN sleep 1000\n")]);
    let build = host.background(["build", directory.to_str().unwrap()]);
    support::eventually("the step runs", || !host.mydocker(["ps", "-q"]).text().is_empty());
    build.signal(rustix::process::Signal::KILL);
    build.wait().exits(137);
    assert!(!host.mydocker(["ps", "-q"]).text().is_empty());
    self::build(&host, &[("Dockerfile", "FROM bb\nRUN true\n")]);
    host.mydocker(["ps", "-aq"]).stdout("");
}

#[test]
fn links_lead_neither_out_of_the_context_nor_out_of_the_image() {
    let host = Host::with_busybox();
    let secret = host.file("secret", "host's own");
    let dockerfile = "FROM bb\nRUN ln -s ../../../../../.. /up\nCOPY a.txt /up/tmp/made-here/\n";
    let directory = host.directory("context", &[("Dockerfile", dockerfile), ("a.txt", "")]);
    std::os::unix::fs::symlink(&secret, directory.join("absolute")).unwrap();
    std::os::unix::fs::symlink("../secret", directory.join("up")).unwrap();
    host.mydocker(["build", "-t", "x", directory.to_str().unwrap()]);
    host.mydocker(["run", "--rm", "x", "ls", "/tmp/made-here"]).stdout("a.txt\n");
    assert!(!std::path::Path::new("/tmp/made-here").exists());
    for link in ["absolute", "up"] {
        std::fs::write(directory.join("Dockerfile"), format!("FROM bb\nCOPY {link} /s\n")).unwrap();
        host.mydocker(["build", directory.to_str().unwrap()])
            .exits(1)
            .stderr_has("is not in the build context");
    }
}

#[test]
fn a_build_runs_the_target_and_the_stages_that_it_needs() {
    let host = Host::with_busybox();
    let dockerfile = "FROM bb AS a\nRUN echo stage-a\nFROM bb AS b\nRUN false\nFROM scratch\n\
        COPY --from=0 /bin/busybox /bin/sh\nONBUILD COPY f /f\n";
    build(&host, &[("Dockerfile", dockerfile)]).stderr_has("stage-a");
    assert_eq!(host.inspect("x", "{{json .Config.OnBuild}}"), r#"["COPY f /f"]"#);
    let next =
        [("Dockerfile", "FROM x\nRUN read a </f; [ $a = triggered ]\n"), ("f", "triggered\n")];
    build(&host, &next).stderr_has("[2/3] COPY f /f").stderr_has("[3/3] RUN read");
    assert_eq!(host.inspect("x", "{{json .Config.OnBuild}}"), "null");
    let stdin = host.feed("FROM bb\nRUN false\n", ["build", "-"]);
    stdin.exits(1).stderr_has("Dockerfile:2");
    let id = host.feed("FROM bb\nENV A=1\n", ["build", "-q", "-t", "y", "-"]).text();
    assert_eq!(host.inspect("y", "{{.Id}}"), id);
    host.feed("FROM bb\nCOPPY a b\n", ["build", "-"]).exits(1).stderr_has("did you mean COPY?");
}

/// Starts an HTTP server on 127.0.0.1, which answers each request with the response for its path,
/// or with 404. Returns the address.
fn serve(responses: &'static [(&'static str, &'static str)]) -> String {
    use std::io::{Read, Write};
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut request = Vec::new();
            while !request.ends_with(b"\r\n\r\n") {
                let mut byte = [0];
                if stream.read(&mut byte).unwrap_or(0) == 0 {
                    break;
                }
                request.push(byte[0]);
            }
            let request = String::from_utf8_lossy(&request).into_owned();
            let path = request.split(' ').nth(1).unwrap_or_default();
            let known = responses.iter().find(|(known, _)| *known == path);
            let response = known.map_or("404 Not Found\r\n\r\n", |(_, response)| response);
            let _ = stream.write_all(format!("HTTP/1.1 {response}").as_bytes());
        }
    });
    address
}

#[test]
fn add_downloads_urls() {
    let address = serve(&[
        ("/moved", "302 Found\r\nLocation: /a%20file.txt?x\r\nContent-Length: 0\r\n\r\n"),
        ("/a%20file.txt?x", "200 OK\r\nContent-Length: 6\r\n\r\nmoved\n"),
        (
            "/dir/f.tar",
            "200 OK\r\nLast-Modified: Sun, 06 Nov 1994 08:49:37 GMT\r\nContent-Length: 3\r\n\r\nabc",
        ),
        ("/cut", "200 OK\r\nContent-Length: 9\r\nConnection: close\r\n\r\nabc"),
    ]);
    let host = Host::with_busybox();
    let url = format!("http://{address}");
    let digest = "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
    let dockerfile = format!(
        "FROM bb\nARG HERE={url}\nADD $HERE/moved /m\nADD --chmod=u=rw,go=r --chown=7 {url}/moved \
         {url}/dir/f.tar a.txt /d/\nADD --checksum={digest} {url}/dir/f.tar /c\n"
    );
    build(&host, &[("Dockerfile", &dockerfile), ("a.txt", "a")]);
    let script = "cat /m /d/moved; stat -c '%a %u %Y %n' /m /d/* /c";
    host.mydocker(["run", "--rm", "x", "sh", "-c", script]).stdout(
        "moved\nmoved\n600 0 0 /m\n644 7 784111777 /d/a.txt\n644 7 784111777 /d/f.tar\n\
         644 7 0 /d/moved\n600 0 784111777 /c\n"
            .replace("644 7 784111777 /d/a.txt", &format!("644 7 {} /d/a.txt", mtime(&host)))
            .as_str(),
    );
    for (line, message) in [
        ("ADD --checksum=sha256:0 URL/m /c", "--checksum: bad digest 'sha256:0'"),
        ("ADD --checksum=DIGEST URL/moved /c", "and --checksum says sha256:ba78"),
        ("ADD --checksum=DIGEST a.txt /c", "--checksum is for one http or https URL"),
        ("ADD URL/none /c", "answers 404"),
        ("ADD URL /c/", "names no file; end the destination without a slash"),
        ("ADD URL/moved URL/moved /c", "several sources need a directory"),
    ] {
        let line = line.replace("URL", &url).replace("DIGEST", digest);
        let done = build(&host, &[("Dockerfile", &format!("FROM bb\n{line}\n"))]);
        done.exits(1).stderr_has(message).stderr_has("Dockerfile:2");
    }
}

/// The modification time of the context's a.txt.
fn mtime(host: &Host) -> u64 {
    let file = std::fs::metadata(host.scratch().join("context/a.txt")).unwrap();
    file.modified().unwrap().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs()
}

#[test]
fn copy_has_parents_symbolic_modes_and_excludes() {
    let host = Host::with_busybox();
    let dockerfile = "FROM bb\nCOPY --parents x/./y/*.txt x/d /p/\nCOPY --parents **/*.cs /cs/\n\
        COPY --chmod=u=rwX,go= --exclude=**/no* x /m/\n\
        RUN cd / && find /p /cs /m -exec stat -c '%a %n' {} + | sort -k2 >/list\n";
    let files = [
        ("Dockerfile", dockerfile),
        ("x/y/a.txt", ""),
        ("x/y/b.txt", ""),
        ("x/y/no.cs", ""),
        ("x/d/e/f", ""),
        ("top.cs", ""),
    ];
    let directory = host.directory("context", &files);
    let mode = |path: &str, mode| {
        use std::os::unix::fs::PermissionsExt;
        let permissions = std::fs::Permissions::from_mode(mode);
        std::fs::set_permissions(directory.join(path), permissions).unwrap();
    };
    mode("x/d", 0o750);
    mode("x/d/e/f", 0o755);
    build(&host, &files);
    host.mydocker(["run", "--rm", "x", "cat", "/list"]).stdout(
        "755 /cs\n644 /cs/top.cs\n755 /cs/x\n755 /cs/x/y\n644 /cs/x/y/no.cs\n755 /m\n700 /m/d\n\
         700 /m/d/e\n700 /m/d/e/f\n700 /m/y\n600 /m/y/a.txt\n600 /m/y/b.txt\n755 /p\n755 /p/x\n\
         750 /p/x/d\n755 /p/x/d/e\n755 /p/x/d/e/f\n755 /p/y\n644 /p/y/a.txt\n644 /p/y/b.txt\n",
    );
}

/// The patterns of --exclude are relative to the copied directory. With --parents, the patterns are
/// relative to the directory in which the kept names start.
#[test]
fn excludes_start_in_each_source() {
    let host = Host::with_busybox();
    let dockerfile = "FROM bb AS other\nCOPY x /o/x\nFROM bb\n\
        COPY --exclude=no.txt --exclude=d/e x /a/\nCOPY --exclude=*.txt --exclude=!a.txt x/*.* x/d /b/\n\
        COPY --parents --exclude=x/*.txt --exclude=x/d/e x /c/\n\
        COPY --parents --exclude=d x/./d x/./b.c /d/\nCOPY --from=other --exclude=*.txt /o/x /e/\n\
        RUN cd / && find /? -type f ! -path '/?roc/*' | sort | tr '\\n' ' ' >/list\n";
    let files = [
        ("Dockerfile", dockerfile),
        ("x/a.txt", ""),
        ("x/no.txt", ""),
        ("x/b.c", ""),
        ("x/d/k", ""),
        ("x/d/e/f", ""),
    ];
    build(&host, &files);
    host.mydocker(["run", "--rm", "x", "cat", "/list"]).stdout(
        "/a/a.txt /a/b.c /a/d/k /b/a.txt /b/b.c /b/e/f /b/k /c/x/b.c /c/x/d/k /d/b.c /e/b.c \
         /e/d/e/f /e/d/k ",
    );
}

#[test]
fn a_heredoc_keeps_its_quotes() {
    let host = Host::with_busybox();
    let dockerfile =
        "FROM bb\nARG v=w\nCOPY <<E <<'L' /h/\nit's \"$v\" \\\"$v\\\" \\$v\nE\nit's \\\"$v\nL\n";
    build(&host, &[("Dockerfile", dockerfile)]);
    host.mydocker(["run", "--rm", "x", "cat", "/h/E", "/h/L"])
        .stdout("it's \"w\" \"w\" $v\nit's \\\"$v\n");
}

#[test]
fn heredocs_can_be_programs() {
    let host = Host::with_busybox();
    let dockerfile = "FROM bb\nRUN <<EOF\n#!/bin/cat\n$PATH\nEOF\nRUN <<-X\n\t#!/bin/sh\n\techo $0 >/n\nX\n\
        RUN <<A cat >/a && cat <<-'B' >/b\nin $PATH\nA\n\tin $PATH\n\tB\nRUN <<EOF sh\necho piped >/c\nEOF\n";
    let done = build(&host, &[("Dockerfile", dockerfile)]);
    done.stderr_has("#!/bin/cat\n").stderr_has(" $PATH\n");
    let read = ["run", "--rm", "x", "sh", "-c", "cat /n /b /c; grep -c /bin /a; ls /dev/pipes"];
    host.mydocker(read).exits(1).stdout("/dev/pipes/X\nin $PATH\npiped\n1\n");
}

#[test]
fn mistakes_get_suggestions() {
    let host = Host::with_busybox();
    for (lines, message) in [
        ("COPY man.c /", "'man.c' is not in the build context; did you mean 'main.c'?"),
        ("COPY src/xy.c /", "did you mean 'xyz.c'?"),
        ("COPY hidden /", ".dockerignore excludes it"),
        ("COPY --from=biuld /x /", "--from=biuld: no such image here: 'biuld': "),
        ("COPY --from=build /bin/bussybox /", "is not in the image; did you mean 'busybox'?"),
        ("COPY --from=biuld /x /", "; did you mean 'build'?"),
        ("COPY --from=${S:-build} /x /", "--from=build: a variable can't name a stage"),
        ("WORKDIR $none", "WORKDIR: the path is empty"),
        ("VOLUME /v \"$none\"", "VOLUME: a path is empty"),
        ("RUN --mount=type=secret true", "--mount needs an id or a target"),
        ("RUN --mount=target=/a/.. true", "--mount can't have the target /"),
        // The number must not be taken for the start of an image's id.
        ("COPY --from=7 /x /", "--from=7: the stages above have the numbers below 1"),
        ("COPY https://example.org/a /", "'https://example.org/a' is a URL; use ADD"),
        ("COPY *.h /", "'*.h' matches no file of the build context"),
        ("COPY --chmod=u=z a /", "--chmod: bad mode 'u=z'; it is like 755 or u=rwX,go=rX"),
        ("ADD git@example.org:a/b.git /", "mydocker reads no git repository; clone"),
        ("ADD https://example.org/a.git#main /", "mydocker reads no git repository"),
        ("ADD ftp://example.org/a /", "neither a path nor an http or https URL"),
        ("ADD x.tar.xz /", "xz compression is not supported; recompress it with gzip or zstd"),
        ("ADD x.tar.bz2 /", "bzip2 compression is not supported"),
    ] {
        let dockerfile = format!("FROM bb AS build\nFROM bb\n{lines}\n");
        let files = [
            ("Dockerfile", dockerfile.as_str()),
            (".dockerignore", "hidden\n"),
            ("main.c", ""),
            ("src/xyz.c", ""),
            ("hidden", ""),
            ("x.tar.xz", "\u{fd}"),
            ("x.tar.bz2", "BZh91AY"),
        ];
        let directory = host.directory("context", &files);
        std::fs::write(directory.join("x.tar.xz"), b"\xfd7zXZ\0\0").unwrap();
        let mut command = host.command(["build", directory.to_str().unwrap()]);
        // Nothing listens on port 1, so no pull leaves this machine.
        command.env("HTTPS_PROXY", "http://127.0.0.1:1");
        let done = run_command(command);
        done.exits(1).stderr_has(message).stderr_has("   3 | >>> ").stderr_has("Dockerfile:3: ");
    }
    host.feed("FROM bb AS test\n", ["build", "--target", "tset", "-"])
        .exits(1)
        .stderr_has("--target tset: no stage has this name; did you mean test?");
    let done =
        host.feed("FROM bb\nARG a\n", ["build", "--build-arg", "b=1", "--build-arg", "a=1", "-"]);
    done.stderr_has("[Warning] One or more build-args [b] were not consumed");
    // An ARG of an ONBUILD consumes the argument. The error names the command, and not the ARGs.
    let base = "FROM bb\nONBUILD ARG A\nONBUILD RUN exit $A\n";
    host.feed(base, ["build", "-t", "base", "-"]);
    for (value, status) in [("0", 0), ("3", 1)] {
        let argument = format!("A={value}");
        let done = host.feed("FROM base\n", ["build", "--build-arg", &argument, "-"]);
        let errors = done.exits(status).stderr_text();
        assert!(status == 1 || !errors.contains("not consumed"), "{errors}");
        assert!(status == 0 || errors.contains("the command '/bin/sh -c exit $A'"), "{errors}");
    }
}

/// Typical images on top of Debian: a package from a local repository, a user that the
/// distribution's tools add, and a step as this user.
#[test]
fn a_build_installs_packages_and_adds_users_on_debian() {
    let host = Host::new();
    host.debian("deb", &[]);
    let dockerfile = "FROM deb AS package\nWORKDIR /repo\n\
        COPY <<EOF hello-x/DEBIAN/control\nPackage: hello-x\nVersion: 1.0\nArchitecture: all\n\
        Maintainer: A <a@example.org>\nDescription: x\nEOF\n\
        COPY --chmod=755 <<EOF hello-x/usr/bin/hello-x\n#!/bin/sh\necho hello\nEOF\n\
        RUN <<'EOF' bash\nset -eux\ndpkg-deb --build hello-x .\nrm -r hello-x\nfile=$(echo *.deb)\n\
        { dpkg-deb -f $file; echo Filename: ./$file; echo Size: $(stat -c %s $file); \
        echo SHA256: $(sha256sum <$file | cut -d' ' -f1); } >Packages\nEOF\n\
        FROM deb\nENV DEBIAN_FRONTEND=noninteractive\nCOPY --from=package /repo /repo\n\
        RUN set -eux; rm -f /etc/apt/sources.list.d/*; \\\n\
            echo 'deb [trusted=yes] file:/repo ./' >/etc/apt/sources.list; \\\n\
            apt-get update; apt-get install -y --no-install-recommends hello-x; \\\n\
            rm -rf /var/lib/apt/lists/*\n\
        RUN groupadd -r app --gid=999 && useradd -r -g app --uid=999 --home-dir=/srv app && \\\n\
            install -d -o app -g app -m 1777 /srv/data\n\
        USER app\nRUN id -un >/srv/data/who\nENTRYPOINT [\"hello-x\"]\n";
    let directory = host.directory("context", &[("Dockerfile", dockerfile)]);
    host.mydocker(["build", "--network", "none", "-t", "x", directory.to_str().unwrap()]);
    host.mydocker(["run", "--rm", "x"]).stdout("hello\n");
    let script = "cat /srv/data/who; stat -c '%a %U:%G' /srv/data; dpkg -s hello-x | grep ^Status; \
        ls /var/lib/apt/lists";
    host.mydocker(["run", "--rm", "--entrypoint", "sh", "x", "-c", script])
        .stdout("app\n1777 app:app\nStatus: install ok installed\n");
}

/// Debian's gcc builds a C program in one stage, and the last stage copies the program. The program
/// has the same bytes, mode and owner as with buildah.
#[test]
fn a_c_program_is_the_same_as_with_buildah() {
    let packages = &["gcc", "libc6-dev"];
    let host = Host::new();
    host.debian("gcc", packages);
    let dockerfile = "FROM gcc AS build\nWORKDIR /src\nCOPY hello.h ./\nCOPY *.c ./\nARG CFLAGS=-O2\n\
        RUN mkdir /out && gcc $CFLAGS -c hello.c main.c && gcc -static -s -o /out/hello *.o\n\
        FROM scratch\nCOPY --from=build --chown=0:7 --chmod=751 /out/ /bin/\nUSER 7\n\
        ENTRYPOINT [\"/bin/hello\"]\nCMD [\"world\"]\n";
    let files = [
        ("Dockerfile", dockerfile),
        ("hello.h", "void hello(const char *name);\n"),
        (
            "hello.c",
            "#include <stdio.h>\n#include \"hello.h\"\nvoid hello(const char *name) { printf(\"hello %s\\n\", name); }\n",
        ),
        (
            "main.c",
            "#include \"hello.h\"\nint main(int c, char **v) { hello(v[1]); return c - 2; }\n",
        ),
    ];
    build(&host, &files);
    host.mydocker(["run", "--rm", "x"]).stdout("hello world\n");
    let context = host.scratch().join("context");
    let (ours, theirs) = (host.scratch().join("ours"), host.scratch().join("theirs"));
    let dest = format!("type=local,dest={}", ours.display());
    host.mydocker(["build", "-q", "-o", &dest, context.to_str().unwrap()]);
    let mut import = host.podman();
    import.arg("import").arg(support::debian_image(packages)).arg("gcc");
    support::run_command(import).exits(0);
    let mut bud = host.buildah();
    bud.args(["bud", "--isolation", "chroot", "--pull-never", "-o"]).arg(&theirs).arg(&context);
    support::run_command(bud).exits(0);
    let list = |directory: &std::path::Path| {
        let mut find = std::process::Command::new("sh");
        find.args([
            "-c",
            "cd $0 && find . -mindepth 1 -exec stat -c '%n %a %u:%g %F' {} + | sort && md5sum bin/hello",
        ]);
        find.arg(directory);
        support::run_command(find).text()
    };
    assert_eq!(list(&ours), list(&theirs));
}

/// A step's upper directory is moved and becomes the step's layer. If the containers are on another
/// file system than the layers, the layer is unpacked from a tar instead. The digest of the tar
/// names the layer, so both ways must give the same tar.
#[test]
fn a_moved_layer_has_the_same_digest_as_a_copied_layer() {
    let host = Host::with_busybox();
    let script = "ln -s /sock /dev/log && syslogd && sleep 0.2; test -S /sock && mkdir -p /d/e && \
        touch -d 2031-01-01 /d/late /d/e && echo a >/d/a && ln /d/a /d/b && mkfifo /d/fifo && \
        ln -s a /d/link && chmod 4711 /d/a && chown 5:6 /d/e && rm -r /home && rm -r /root && \
        mkdir /root && touch /root/new && truncate -s 3M /d/holes && echo end >>/d/holes && \
        chmod 700 / && rm /etc/group && mv /sock /d/e/sock";
    let dockerfile = format!("FROM bb\nCOPY . /c/\nRUN {script}\nRUN rm /d/b && touch /d/a\n");
    let directory = host.directory("context", &[("Dockerfile", &dockerfile), ("a/b", "b")]);
    let build = |name: &str| {
        let flags = ["build", "--build-arg", "SOURCE_DATE_EPOCH=1000000000", "--no-cache", "-q"];
        host.command(flags.iter().copied().chain(["-t", name, directory.to_str().unwrap()]))
    };
    let moved = support::run(build("moved"), None).text();
    let build = build("copied");
    let mut elsewhere = std::process::Command::new("unshare");
    let script = "mount -t tmpfs none $0 && exec \"$@\"";
    elsewhere.args(["-m", "sh", "-c", script]).arg(host.state_root().join("containers"));
    elsewhere.arg(build.get_program()).args(build.get_args());
    let copied = support::run(elsewhere, None).text();
    assert_eq!(moved, copied);
    // Another host unpacks the tar that the recipe produces, and gets the same files.
    let listing = "cd / && find . -xdev ! -path './dev*' ! -path './proc*' ! -path './sys*' \
        ! -path ./.dockerenv -exec stat -c '%n %F %a %u %g %Y' {} + | \
        grep -vE '^[.](/etc(/hosts|/hostname|/resolv.conf|/mtab)?)? ' | sort && cat /d/a /c/a/b && md5sum /d/holes";
    let list = |host: &Host| host.mydocker(["run", "--rm", "moved", "sh", "-c", listing]).text();
    let here = list(&host);
    assert!(here.contains("./d/late regular empty file 644 0 0 1000000000"), "{here}");
    assert!(here.contains("./d/e directory 755 5 6 1000000000"), "{here}");
    assert!(here.contains("./d/a regular file 4711 0 0 1000000000"), "{here}");
    assert!(!here.contains("socket"), "{here}");
    let archive = host.scratch().join("moved.tar");
    let archive = archive.to_str().unwrap();
    host.mydocker(["save", "-o", archive, "moved"]);
    let other = host.neighbour();
    other.mydocker(["load", "-i", archive]);
    assert_eq!(here, list(&other));
    host.mydocker(["system", "check"]);
}

/// A step that waits for the step of the other stage, and then runs `then`. Both steps use the
/// shared cache mount `r`.
fn meeting(own: &str, other: &str, then: &str) -> String {
    format!(
        "RUN --mount=type=cache,id=r,target=/r touch /r/{own}; echo met-{own}; \
         i=0; until [ -e /r/{other} ] || [ $i = 300 ]; do sleep 0.1; i=$((i+1)); done; \
         test -e /r/{other} && {then}\n"
    )
}

#[test]
fn stages_that_do_not_need_each_other_run_at_the_same_time() {
    let host = Host::with_busybox();
    let dockerfile = format!(
        "FROM bb AS base\nENV E=1\nFROM base AS a\nARG V=2\n{}FROM base AS b\nWORKDIR /w\n{}FROM bb\n\
         COPY --from=a /a /a\nCOPY --from=b /w/b /b\n",
        meeting("a", "b", "echo $E$V >/a"),
        meeting("b", "a", "pwd >b")
    );
    let done = build(&host, &[("Dockerfile", &dockerfile)]);
    let log = done.stderr_text();
    host.mydocker(["run", "--rm", "x", "cat", "/a", "/b"]).stdout("12\n/w\n");
    // Each step has one number, and each line of output has the number of its step.
    for stage in ["a", "b"] {
        let titles = log.lines().filter(|line| line.contains(&format!("touch /r/{stage};")));
        let mut numbers: Vec<&str> = titles.map(|title| title.split(' ').next().unwrap()).collect();
        numbers.dedup();
        assert_eq!(numbers.len(), 1, "{log}");
        let output = log.lines().find(|line| line.ends_with(&format!(" met-{stage}"))).unwrap();
        assert_eq!(output.split(' ').next().unwrap(), numbers[0], "{log}");
    }
    let again = build(&host, &[("Dockerfile", &dockerfile)]).stderr_text();
    assert_eq!(again.matches("CACHED").count(), 5, "{again}");
    host.mydocker(["system", "check"]);
}

/// The steps of ONBUILD, in a stage or in an image, count when the stages are chosen and ordered.
#[test]
fn steps_of_onbuild_need_the_stages_that_they_name() {
    let host = Host::with_busybox();
    let trigger = "ONBUILD COPY --from=made /f /copied\n";
    host.feed(format!("FROM bb\n{trigger}"), ["build", "-t", "parent", "-"]);
    let made = "FROM bb AS made\nRUN sleep 0.5; echo made >/f\n";
    for last in ["FROM parent\n".to_owned(), format!("FROM bb AS base\n{trigger}FROM base\n")] {
        // No stage needs the stage `unused`, so `unused` must not run.
        let dockerfile = format!("{made}FROM bb AS unused\nRUN exit 1\n{last}");
        build(&host, &[("Dockerfile", &dockerfile)]);
        host.mydocker(["run", "--rm", "x", "cat", "/copied"]).stdout("made\n");
    }
    host.feed("FROM parent\n", ["build", "-"]).exits(1).stderr_has("--from=made");
}

#[test]
fn a_stage_that_fails_ends_the_others() {
    let host = Host::with_busybox();
    let dockerfile = format!(
        "FROM bb AS a\nRUN echo kept >/k\n{}FROM bb AS b\n{}FROM bb\nCOPY --from=a / /\n\
         COPY --from=b / /\n",
        meeting("a", "b", "exit 7"),
        meeting("b", "a", "sleep 1000")
    );
    let directory = host.directory("context", &[("Dockerfile", &dockerfile)]);
    let command = host.command(["build", directory.to_str().unwrap()]);
    let text = support::run(command, None).exits(1).stderr_text();
    assert!(text.contains("   3 | >>> RUN --mount"), "{text}");
    let hint = "returned the exit status 7; look into the image before this step with: \
                mydocker run --rm -it ";
    let image = text.split(hint).nth(1).unwrap().split(' ').next().unwrap();
    host.nothing_of_builds_is_left();
    host.mydocker(["run", "--rm", image, "cat", "/k"]).stdout("kept\n");
}

#[test]
fn a_signal_ends_all_stages_and_a_kill_is_cleaned_up() {
    let host = Host::with_busybox();
    let dockerfile = format!(
        "FROM bb AS a\n{}FROM bb AS b\n{}FROM bb\nCOPY --from=a / /\nCOPY --from=b / /\n",
        meeting("a", "b", "sleep 1000"),
        meeting("b", "a", "sleep 1000")
    );
    let directory = host.directory("context", &[("Dockerfile", &dockerfile)]);
    let args = ["build", directory.to_str().unwrap()];
    for signal in [rustix::process::Signal::INT, rustix::process::Signal::KILL] {
        let mut build = host.background(args);
        build.expect_error("met-a");
        support::eventually("both steps run", || {
            host.mydocker(["ps", "-q"]).text().lines().count() == 2
        });
        build.signal(signal);
        if signal == rustix::process::Signal::INT {
            build.wait().exits(130).stderr_has("interrupted by SIGINT");
        } else {
            build.wait().exits(137);
            self::build(&host, &[("Dockerfile", "FROM bb\nRUN true\n")]);
        }
        host.nothing_of_builds_is_left();
    }
}
