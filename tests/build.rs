//! build: images from Dockerfiles, their files, config and history, and what a build must not do.

mod support;

use std::path::PathBuf;

use support::Host;

/// A context with these files.
fn context(host: &Host, files: &[(&str, &str)]) -> PathBuf {
    let directory = host.scratch().join("context");
    for (name, content) in files {
        let path = directory.join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
    }
    directory
}

/// Builds the image `x` from these files.
fn build(host: &Host, files: &[(&str, &str)]) -> support::Done {
    let directory = context(host, files);
    host.mydocker(["build", "-t", "x", directory.to_str().unwrap()])
}

#[test]
fn files_config_and_history() {
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
    // No container of a step stays.
    host.mydocker(["ps", "-aq"]).stdout("");
}

#[test]
fn dockerignore_wildcards_and_heredocs() {
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
fn a_failed_step_leaves_nothing_and_says_how_to_look() {
    let host = Host::with_busybox();
    let done = build(&host, &[("Dockerfile", "FROM bb\nRUN touch /a\nRUN echo out; exit 3\n")]);
    done.exits(1)
        .stderr_has("out")
        .stderr_has("   3 | >>> RUN echo out; exit 3")
        .stderr_has("returned the exit status 3; look into the image before it with: mydocker run");
    host.mydocker(["ps", "-aq"]).stdout("");
    host.mydocker(["inspect", "x"]).exits(1);
    let left = std::fs::read_dir(host.state_root().join("containers")).unwrap().flatten();
    let left: Vec<_> = left.map(|entry| entry.file_name()).filter(|name| name != "names").collect();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn a_killed_build_is_cleaned_up_by_the_next() {
    let host = Host::with_busybox();
    let directory = context(&host, &[("Dockerfile", "FROM bb\nRUN sleep 1000\n")]);
    let build = host.background(["build", directory.to_str().unwrap()]);
    support::eventually("the step runs", || !host.mydocker(["ps", "-q"]).text().is_empty());
    build.signal(rustix::process::Signal::KILL);
    build.wait().exits(137);
    assert!(!host.mydocker(["ps", "-q"]).text().is_empty());
    self::build(&host, &[("Dockerfile", "FROM bb\nRUN true\n")]);
    host.mydocker(["ps", "-aq"]).stdout("");
}

#[test]
fn links_lead_out_of_neither_context_nor_image() {
    let host = Host::with_busybox();
    let secret = host.file("secret", "host's own");
    let dockerfile = "FROM bb\nRUN ln -s ../../../../../.. /up\nCOPY a.txt /up/tmp/made-here/\n";
    let directory = context(&host, &[("Dockerfile", dockerfile), ("a.txt", "")]);
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
fn the_target_and_the_stages_that_it_needs() {
    let host = Host::with_busybox();
    let dockerfile = "FROM bb AS a\nRUN echo stage-a\nFROM bb AS b\nRUN false\nFROM scratch\n\
        COPY --from=0 /bin/busybox /bin/sh\nONBUILD COPY f /f\n";
    build(&host, &[("Dockerfile", dockerfile)]).stderr_has("stage-a");
    build(
        &host,
        &[("Dockerfile", "FROM x\nRUN read a </f; [ $a = triggered ]\n"), ("f", "triggered\n")],
    );
    assert_eq!(host.inspect("x", "{{json .Config.OnBuild}}"), "null");
    let stdin = host.feed("FROM bb\nRUN false\n", ["build", "-"]);
    stdin.exits(1).stderr_has("Dockerfile:2");
    let id = host.feed("FROM bb\nENV A=1\n", ["build", "-q", "-t", "y", "-"]).text();
    assert_eq!(host.inspect("y", "{{.Id}}"), id);
    host.feed("FROM bb\nCOPPY a b\n", ["build", "-"]).exits(1).stderr_has("did you mean COPY?");
}
