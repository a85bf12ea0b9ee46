//! RUN --mount: what a step sees of the context, stages, caches and secrets. No mount leads out of
//! its tree, and no secret stays in the image.
//!
//! Docker's Dockerfile reference, "RUN --mount", is the specification. Mounts of `run` are in
//! `tests/mounts.rs`.

mod support;

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use support::{Done, Host, eventually};

struct Project {
    host: Host,
    dir: PathBuf,
}

impl Project {
    fn new() -> Project {
        let host = Host::with_busybox();
        let dir = host.directory("project", &[]);
        Project { host, dir }
    }

    fn write(&self, name: &str, content: &str) {
        self.host.file(&format!("project/{name}"), content);
    }

    fn build(&self, dockerfile: &str, flags: &[&str]) -> Done {
        self.write("Dockerfile", dockerfile);
        let args = [&["build", "-t", "x"], flags, &[self.dir.to_str().unwrap()]].concat();
        self.host.mydocker(args)
    }
}

/// Whether any file below `dir` contains the text.
fn holds(dir: &Path, text: &str) -> bool {
    let grep = std::process::Command::new("grep").args(["-rqsF", "--", text]).arg(dir).status();
    grep.unwrap().success()
}

#[test]
fn a_mount_shows_files_of_the_context_a_stage_or_an_image() {
    let project = Project::new();
    project.write("in/f", "from the context\n");
    project.write("in/hidden", "");
    project.write(".dockerignore", "in/hidden\n");
    let dockerfile = "FROM bb AS a\nRUN echo from a stage >/s\nFROM bb\n\
        RUN --mount=target=/m,source=in cat /m/f >/one; ls /m >/names; ! touch /m/new\n\
        RUN --mount=type=bind,source=in/f,target=/m/f,ro=true cat /m/f >>/one\n\
        RUN --mount=target=/m,rw,source=in echo changed >/m/f; cat /m/f >>/one\n\
        ARG STAGE=a\n\
        RUN --mount=from=a,target=/m cat /m/s >>/one; ! touch /m/new\n\
        RUN --mount=from=a,source=/s,target=/m/s cat /m/s >>/one\n\
        RUN --mount=from=a,target=/m,rw echo changed >/m/s; cat /m/s >>/one\n\
        RUN --mount=from=bb,source=bin,target=rel/m /rel/m/busybox echo bb >>/one\n\
        RUN --mount=type=tmpfs,target=/t,size=64k dd if=/dev/zero of=/t/x bs=1k count=100 || ls >/left\n";
    project.build(dockerfile, &[]);
    let expected =
        "from the context\nfrom the context\nchanged\nfrom a stage\nfrom a stage\nchanged\nbb\n";
    project.host.mydocker(["run", "--rm", "x", "cat", "/one"]).stdout(expected);
    project.host.mydocker(["run", "--rm", "x", "cat", "/names"]).stdout("f\n");
    assert_eq!(fs::read_to_string(project.dir.join("in/f")).unwrap(), "from the context\n");
    // The mount points are in no layer.
    let script = "[ ! -e /m ] && [ ! -e /t ] && [ ! -e /rel ]";
    project.host.mydocker(["run", "--rm", "x", "sh", "-c", script]);
    // A change of the mounted files makes the step run again; a change of other files does not.
    let cached = |name: &str| {
        project.write(name, "changed\n");
        let log = project.build(dockerfile, &[]).stderr_text();
        log.lines().filter(|line| line.ends_with(" CACHED")).count()
    };
    assert_eq!(cached("in/hidden"), 9);
    assert_eq!(cached("in/f"), 1);
}

/// CVE-2024-1753, CVE-2024-9407: the source of a mount led to the host.
#[test]
fn a_source_leads_neither_out_of_the_context_nor_out_of_a_stage() {
    let project = Project::new();
    let canary = project.host.file("canary", "host's own");
    let canary = canary.to_str().unwrap();
    let below = canary.trim_start_matches('/');
    symlink("/", project.dir.join("root")).unwrap();
    symlink(canary, project.dir.join("absolute")).unwrap();
    symlink(format!("../../../../../../../{below}"), project.dir.join("up")).unwrap();
    let stage = format!("FROM bb AS a\nRUN ln -s / /whole; ln -s {canary} /absolute\nFROM bb\n");
    for (from, source) in [
        ("", format!("root/{below}")),
        ("", "absolute".to_owned()),
        ("", "up".to_owned()),
        ("", format!("../../../../../../../{below}")),
        ("from=a,", format!("/whole/{below}")),
        ("from=a,", "/absolute".to_owned()),
        ("from=a,", format!("../../../../../../../{below}")),
    ] {
        for rw in ["", ",rw"] {
            let mount = format!("--mount={from}source={source},target=/m{rw}");
            let done = project.build(&format!("{stage}RUN {mount} cat /m\n"), &[]);
            done.exits(1).stdout("").stderr_has("RUN --mount");
        }
        let mount = format!("--mount={from}source={source},target=/m");
        let log =
            project.build(&format!("{stage}RUN {mount} cat /m\n"), &[]).exits(1).stderr_text();
        assert!(!log.contains("host's own"), "{log}");
    }
    // Absolute links are resolved in the stage's own root.
    let own = format!("{stage}RUN --mount=from=a,source=/whole,target=/m [ -L /m/absolute ]\n");
    project.build(&own, &[]);
    for option in ["bind-propagation=rshared", "Z", "suid", "idmap", "type=devpts"] {
        let dockerfile = format!("FROM bb\nRUN --mount=target=/m,{option} true\n");
        project.build(&dockerfile, &[]).exits(1).stderr_has("unknown --mount");
    }
}

/// As in the test above, links lead to a file of the host. Here the tree of the mount has a file
/// with the same path, and a step must see the file of the tree.
#[test]
fn links_on_the_way_to_a_source_stay_in_its_tree() {
    let project = Project::new();
    let canary = project.host.file("canary/f", "host's own");
    let directory = canary.parent().unwrap().to_str().unwrap();
    let below = directory.trim_start_matches('/');
    project.write(&format!("{below}/f"), "in the context\n");
    symlink("/", project.dir.join("whole")).unwrap();
    symlink(directory, project.dir.join("absolute")).unwrap();
    symlink(format!("{}{below}", "../".repeat(20)), project.dir.join("up")).unwrap();
    let make = format!(
        "RUN mkdir -p {directory} && echo in the stage >{directory}/f && ln -s / /whole && \
         ln -s {directory} /absolute && ln -s {}{below} /up\n",
        "../".repeat(20)
    );
    let whole = format!("whole/{below}/f");
    let sources = [whole.as_str(), "absolute/f", "up/f"];
    for (ignored, from, flag, expected) in [
        (false, "", "", "in the context\n"),
        (false, "", ",rw", "in the context\n"),
        (true, "", "", "in the context\n"),
        (false, "from=a,", "", "in the stage\n"),
        (false, "from=a,", ",rw", "in the stage\n"),
    ] {
        project.write(".dockerignore", if ignored { "none\n" } else { "" });
        for source in sources {
            let mount = format!("--mount={from}source={source},target=/m{flag}");
            let file = format!("FROM bb AS a\n{make}FROM bb\nRUN {mount} cp /m /seen\n");
            project.build(&file, &[]);
            let seen = project.host.mydocker(["run", "--rm", "x", "cat", "/seen"]);
            assert_eq!(seen.text(), expected.trim(), "{mount}");
        }
    }
    // A cache mount that is filled from a stage also sees only the stage's file.
    let mount = "--mount=type=cache,id=links,target=/m,from=a,source=absolute";
    project.build(&format!("FROM bb AS a\n{make}FROM bb\nRUN {mount} cp /m/f /seen\n"), &[]);
    project.host.mydocker(["run", "--rm", "x", "cat", "/seen"]).stdout("in the stage\n");
}

/// A directory of the context is swapped for a link to the host while steps mount it.
#[test]
fn a_swapped_source_shows_nothing_of_the_host() {
    let project = Project::new();
    let canary = project.host.file("canary/f", "host's own");
    let outside = canary.parent().unwrap().to_owned();
    project.write("d/f", "in the context\n");
    let (dir, end) = (project.dir.clone(), AtomicBool::new(false));
    let seen = std::thread::scope(|scope| {
        scope.spawn(|| {
            while !end.load(Ordering::Relaxed) {
                fs::rename(dir.join("d"), dir.join("kept")).unwrap();
                symlink(&outside, dir.join("d")).unwrap();
                fs::remove_file(dir.join("d")).unwrap();
                fs::rename(dir.join("kept"), dir.join("d")).unwrap();
            }
        });
        let mut seen = String::new();
        for round in 0..15 {
            // With `rw`, the mount is a copy.
            let flag = ["", ",rw"][round % 2];
            let mount = format!("--mount=source=d,target=/m{flag}");
            let dockerfile = format!("FROM bb\nRUN {mount} cat /m/f; : {round}\n");
            project.write("Dockerfile", &dockerfile);
            // The build may fail, because the directory is missing for short times.
            let done = project.host.mydocker(["build", dir.to_str().unwrap()]);
            seen += &done.transcript();
            done.status();
        }
        end.store(true, Ordering::Relaxed);
        seen
    });
    assert!(!seen.contains("host's own"), "{seen}");
}

/// CVE-2024-9675: a cache's id led out of the directory of the caches.
#[test]
fn a_cache_stays_between_builds_and_its_id_names_no_path_outside() {
    let project = Project::new();
    let state = project.host.state_root();
    let list = |dir: &Path| {
        let names = fs::read_dir(dir).unwrap().flatten().map(|entry| entry.file_name());
        let mut names: Vec<_> = names.collect();
        names.sort();
        names
    };
    project.build("FROM bb\nRUN --mount=type=cache,target=/c echo 1 >/c/n\n", &[]);
    let before = (list(&state), list(&project.host.scratch()));
    let outside = project.host.scratch().join("outside");
    for id in ["../../x", "..", "/", outside.to_str().unwrap(), "a/../../../b"] {
        let mount = format!("--mount=type=cache,target=/c,id={id}");
        let dockerfile = format!("FROM bb\nRUN {mount} touch /c/made; ls -a /c\n");
        let log = project.build(&dockerfile, &[]).stderr_text();
        assert!(!log.contains("build") && !log.contains("layers"), "{log}");
    }
    assert_eq!((list(&state), list(&project.host.scratch())), before);
    // A link in a cache is resolved in the container.
    let link = format!("ln -s {} /c/link", project.host.scratch().display());
    project.build(&format!("FROM bb\nRUN --mount=type=cache,target=/c {link}\n"), &[]);
    let write = "RUN --mount=type=cache,target=/c touch /c/link/in || cat /c/n >/seen\n";
    project.build(&format!("FROM bb\n{write}"), &[]);
    assert_eq!(list(&project.host.scratch()), before.1);
    project.host.mydocker(["run", "--rm", "x", "cat", "/seen"]).stdout("1\n");
    // A new cache has the given owner and mode, and the content of the source.
    let mount = "--mount=type=cache,id=new,target=/c,from=bb,source=bin,mode=0711,uid=5,gid=6";
    let dockerfile = format!("FROM bb\nRUN {mount} stat -c '%u:%g %a' /c; ls /c/busybox\n");
    project.build(&dockerfile, &[]).stderr_has("5:6 711").stderr_has("/c/busybox");
    project.host.mydocker(["system", "df", "-v"]).stdout_has("cache mount ../../x");
    project.host.mydocker(["system", "check"]).stdout_lacks("build");
    project.host.mydocker(["builder", "prune", "-f"]).stdout_has("Deleted build cache objects:");
    assert!(list(&state.join("build/mounts")).is_empty());
}

/// CVE-2024-23651: a step swaps a directory of a cache for a link while another step mounts on it.
#[test]
fn a_swapped_mount_point_in_a_cache_is_made_inside() {
    let project = Project::new();
    let outside = project.host.scratch().join("outside");
    fs::create_dir(&outside).unwrap();
    let link = format!("ln -s {} /c/x", outside.display());
    let cache = "--mount=type=cache,id=r,target=/c";
    let on_it = "--mount=type=tmpfs,target=/c/x/made --mount=target=/c/x/file,source=Dockerfile";
    let untouched = || assert_eq!(fs::read_dir(&outside).unwrap().count(), 0);
    // First the link exists all the time, and leads to a directory of the image.
    let base = format!("FROM bb\nRUN mkdir -p {}\n", outside.display());
    project.build(&format!("{base}RUN {cache} {link}\n"), &[]);
    project.build(&format!("{base}RUN {cache} {on_it} ls /c/x/made /c/x/file\n"), &[]);
    untouched();
    // Now a build in the background makes and removes the link while other builds mount.
    let swap = format!("until [ -e /c/end ]; do rm -rf /c/x; {link}; rm /c/x; mkdir /c/x; done");
    let swapping = format!("FROM bb AS a\nRUN {cache} {swap}\nFROM bb AS b\nRUN {cache} ls /c\n");
    let both = format!("{swapping}FROM bb\nCOPY --from=a /bin/sh /a\nCOPY --from=b /bin/sh /b\n");
    let dir = project.host.directory("swap", &[("Dockerfile", &both)]);
    let build = project.host.background(["build", dir.to_str().unwrap()]);
    for round in 0..20 {
        project.write("Dockerfile", &format!("{base}RUN {cache} {on_it} : {round}\n"));
        // The build may fail, because the directory is missing for short times.
        project.host.mydocker(["build", project.dir.to_str().unwrap()]).status();
    }
    project.build(&format!("FROM bb\nRUN {cache} touch /c/end\n"), &[]);
    build.wait().exits(0);
    untouched();
}

/// The size of all cache mounts together is limited to a tenth of the disk, and to 10 GiB. The most
/// recently used caches stay.
#[test]
fn the_size_of_cache_mounts_is_limited() {
    let project = Project::new();
    let (host, dir) = (&project.host, project.dir.to_str().unwrap());
    for id in ["a", "b", "c"] {
        let mount = format!("--mount=type=cache,id={id},target=/c");
        let lines = format!("FROM bb\nRUN {mount} dd if=/dev/zero of=/c/f bs=1M count=4\n");
        project.write(&format!("{id}.docker"), &lines);
    }
    // The state root is on its own disk of 100 MiB.
    let script = "root=$1; shift; mount -t tmpfs -o size=100m none $root && \"$@\" import -q $0 bb >/dev/null && \
        for id in a b c; do \"$@\" build -q -f $1/$id.docker $1 >/dev/null || exit; sleep 0.1; done; \
        \"$@\" system df -v | grep -o 'cache mount .'";
    let command = host.command([""; 0]);
    let mut inside = std::process::Command::new("unshare");
    inside
        .args(["-m", "sh", "-c"])
        .arg(script.replace("$1/", &format!("{dir}/")).replace(" $1 >", &format!(" {dir} >")));
    inside.arg(support::busybox_archive()).arg(host.state_root());
    inside.arg(command.get_program()).args(command.get_args());
    support::run_command(inside).stdout("cache mount b\ncache mount c\n");
}

/// CVE-2024-23651, CVE-2024-11218: two steps use one cache at the same time.
#[test]
fn steps_that_lock_a_cache_wait_for_each_other() {
    let project = Project::new();
    let step = |sharing: &str, text: &str| {
        let mount = format!("--mount=type=cache,id=q,target=/c,sharing={sharing}");
        format!("FROM bb\nRUN {mount} {text}\n")
    };
    let start = |name: &str, dockerfile: String| {
        let dir = project.host.directory(name, &[("Dockerfile", &dockerfile)]);
        project.host.background(["build", "--progress", "plain", dir.to_str().unwrap()])
    };
    let alone = "mkdir /c/lock && sleep 0.3 && rmdir /c/lock";
    let builds: Vec<_> = ["a", "b", "c"]
        .iter()
        .map(|name| start(name, step("locked", &format!("echo {name}; {alone}"))))
        .collect();
    builds.into_iter().for_each(|build| drop(build.wait().exits(0)));
    // While a step holds the cache, a private step gets another cache, and a prune leaves the
    // cache.
    let held = start("d", step("locked", "touch /c/mine; until [ -e /c/end ]; do sleep 0.1; done"));
    let mounts = project.host.state_root().join("build/mounts");
    let file = |name: &str| {
        let dirs = fs::read_dir(&mounts).unwrap().flatten();
        dirs.map(|dir| dir.path().join("data").join(name)).find(|path| path.exists())
    };
    eventually("the step runs", || mounts.is_dir() && file("mine").is_some());
    start("e", step("private", "[ ! -e /c/mine ]")).wait().exits(0);
    project.host.mydocker(["builder", "prune", "-af"]);
    fs::write(file("mine").unwrap().with_file_name("end"), "").unwrap();
    held.wait().exits(0);
}

/// CVE-2024-23652: BuildKit removed a step's mount points by their paths, after the step had
/// replaced a parent by a link.
#[test]
fn a_link_in_place_of_a_mount_points_parent_removes_nothing() {
    let project = Project::new();
    let canary = project.host.scratch().join("canary");
    fs::create_dir_all(canary.join("b")).unwrap();
    let link = format!("mv /a /moved && ln -s {} /a", canary.display());
    project.build(&format!("FROM bb\nRUN --mount=type=tmpfs,target=/a/b {link}\n"), &[]);
    assert!(canary.join("b").is_dir());
    assert_eq!(fs::read_dir(&canary).unwrap().count(), 1);
    // After the step, the copy of an `rw` mount is removed. The files to which the copy's links
    // lead stay.
    let link = format!("ln -s {} /m/link && mkdir /m/d && ln -s /m /m/d/up", canary.display());
    project.build(&format!("FROM bb\nRUN --mount=target=/m,rw {link}\n"), &[]);
    let link = format!("ln -s {} /c/link", canary.display());
    project.build(&format!("FROM bb\nRUN --mount=type=cache,target=/c {link}\n"), &[]);
    project.host.mydocker(["builder", "prune", "-af"]);
    assert!(canary.join("b").is_dir());
}

#[test]
fn only_its_step_sees_a_secret_and_no_file_keeps_it() {
    let project = Project::new();
    let secret = "s3cr3t-of-the-test";
    let file = project.host.file("secret", secret);
    let flag = format!("id=s,src={}", file.display());
    let dockerfile = "FROM bb\nRUN --mount=type=secret,id=s,uid=7,mode=0440 \
        stat -c '%u:%g %a' /run/secrets/s; tr a-z A-Z </run/secrets/s\n\
        RUN --mount=type=secret,id=s,target=/tmp/t,env=V [ \"$V\" = \"$(cat /tmp/t)\" ]\n\
        RUN --mount=type=secret,target=/opt/s [ \"$(wc -c </opt/s)\" = 18 ]\n\
        RUN --mount=type=secret,id=none ls /run/secrets || echo absent\n";
    let log = project.build(dockerfile, &["--secret", &flag]);
    log.stderr_has("7:0 440").stderr_has("S3CR3T-OF-THE-TEST").stderr_has("absent");
    assert!(!holds(&project.host.state_root(), secret) && !holds(&project.host.run_root(), secret));
    // Another value of the secret does not make the step run again. A variable can be the source,
    // like a file.
    let other = ["--secret", "id=s,env=PATH"];
    assert!(!project.build(dockerfile, &other).stderr_text().contains("7:0 440"));
    let required = "FROM bb\nRUN --mount=type=secret,id=r,required true\n";
    project.build(required, &[]).exits(1).stderr_has("the step needs the secret r");
    project.build(required, &["--secret", "id=r,src=/none"]).exits(1).stderr_has("/none");
    let long = project.host.file("long", vec![b'x'; (500 << 10) + 1]);
    let long = format!("id=r,src={}", long.display());
    project.build(required, &["--secret", &long]).exits(1).stderr_has("longer than");
    // The next build removes the secret of a killed build.
    let wait = "FROM bb\nRUN --mount=type=secret,id=s sleep 1000\n";
    project.write("Dockerfile", wait);
    let build =
        project.host.background(["build", "--secret", &flag, project.dir.to_str().unwrap()]);
    eventually("the step runs", || !project.host.mydocker(["ps", "-q"]).text().is_empty());
    build.signal(rustix::process::Signal::KILL);
    build.wait().exits(137);
    project.build("FROM bb\n", &[]);
    assert!(!holds(&project.host.state_root(), secret) && !holds(&project.host.run_root(), secret));
}
