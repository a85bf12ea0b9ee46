//! The build cache: which steps a build takes from it, what makes a step run again, what a kill or
//! damage does to the cache, and how it is pruned.
//!
//! The output of the build shows whether a step ran. No test measures the time that the cache
//! saves.

mod support;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use support::Host;
use support::chance::Chance;

/// A host and a build context.
struct Project {
    host: Host,
    dir: PathBuf,
}

/// The result of a build.
struct Built {
    id: String,
    /// The instructions that were taken from the cache, and those that were executed.
    cached: Vec<String>,
    done: Vec<String>,
}

impl Project {
    fn new(dockerfile: &str) -> Project {
        let host = Host::with_busybox();
        let dir = host.directory("project", &[("Dockerfile", dockerfile)]);
        Project { host, dir }
    }

    fn write(&self, name: &str, content: &str) {
        self.host.file(&format!("project/{name}"), content);
    }

    fn path(&self) -> &str {
        self.dir.to_str().unwrap()
    }

    fn build(&self, flags: &[&str]) -> Built {
        let args = [&["build", "-t", "x"], flags, &[self.path()]].concat();
        let log = self.host.mydocker(args).stderr_text();
        let mut built =
            Built { id: self.host.inspect("x", "{{.Id}}"), cached: vec![], done: vec![] };
        let mut titles: Vec<(&str, &str)> = Vec::new();
        for line in log.lines() {
            let Some((number, rest)) = line.split_once(' ') else { continue };
            if let Some((_, title)) = rest.strip_prefix('[').and_then(|rest| rest.split_once("] "))
            {
                titles.push((number, title));
            } else if let Some((_, title)) = titles.iter().find(|(known, _)| *known == number)
                && !title.starts_with("FROM")
            {
                match rest {
                    "CACHED" => built.cached.push((*title).to_owned()),
                    _ if rest.starts_with("DONE") => built.done.push((*title).to_owned()),
                    _ => {}
                }
            }
        }
        built
    }

    /// The files of the cache's entries.
    fn entries(&self) -> Vec<PathBuf> {
        let entries = fs::read_dir(self.host.state_root().join("build")).unwrap().flatten();
        let entries = entries.map(|entry| entry.path());
        entries.filter(|path| path.file_name().unwrap().len() == 64).collect()
    }
}

const CHAIN: &str = "FROM bb\nENV A=1\nRUN echo $A >/one\nCOPY f d /files/\nWORKDIR /w\nRUN pwd >/two\n\
    RUN true\nLABEL a=b\n";

fn chain() -> Project {
    let project = Project::new(CHAIN);
    project.write("f", "f");
    project.write("d/g", "g");
    project
}

#[test]
fn a_build_without_the_cache_writes_to_it() {
    let project = chain();
    let first = project.build(&["--no-cache"]);
    let again = project.build(&[]);
    assert_eq!((again.cached, again.done.len()), (first.done.clone(), 0), "{:?}", first.done);
    assert_eq!(again.id, first.id);
    project.write("f", "other");
    let new = project.build(&["--no-cache"]);
    assert_eq!(project.build(&[]).id, new.id);
    assert_ne!(new.id, first.id);
}

#[test]
fn a_rebuild_runs_no_step_and_makes_the_same_image() {
    let project = chain();
    let first = project.build(&[]);
    assert_eq!((first.cached.len(), first.done.len()), (0, 5));
    let second = project.build(&[]);
    assert_eq!((second.cached.len(), second.done.len()), (5, 0));
    assert_eq!(second.id, first.id);
    // The images of steps are not listed, and the check finds no fault in layers or builds.
    assert_eq!(project.host.mydocker(["images", "-aq"]).lines().len(), 2);
    project.host.mydocker(["system", "check"]).stdout_lacks("layer").stdout_lacks("build");
    project
        .host
        .mydocker(["run", "--rm", "x", "cat", "/one", "/two", "/files/g"])
        .stdout("1\n/w\ng");
    let third = project.build(&["--no-cache"]);
    assert_eq!((third.cached.len(), third.done.len()), (0, 5));
}

#[test]
fn the_content_that_a_step_reads_decides_and_times_do_not() {
    let project = chain();
    project.build(&[]);
    let expect = |project: &Project, cached: usize, what: &str| {
        let built = project.build(&[]);
        assert_eq!(built.cached.len(), cached, "{what}: {:?}", built.cached);
        assert_eq!(project.build(&[]).cached.len(), 5, "{what}, again");
    };
    // A changed time alone does not change the digest.
    let file = fs::File::open(project.dir.join("f")).unwrap();
    file.set_modified(std::time::UNIX_EPOCH).unwrap();
    expect(&project, 5, "a time");
    project.write("f", "F");
    expect(&project, 1, "a byte");
    fs::set_permissions(project.dir.join("d/g"), fs::Permissions::from_mode(0o600)).unwrap();
    expect(&project, 1, "a mode");
    fs::rename(project.dir.join("d/g"), project.dir.join("d/h")).unwrap();
    expect(&project, 1, "a name");
    project.write("new", "not copied");
    expect(&project, 5, "another file of the context");
    std::os::unix::fs::symlink("h", project.dir.join("d/l")).unwrap();
    expect(&project, 1, "a link");
    project.write("Dockerfile", &CHAIN.replace("A=1", "A=2"));
    expect(&project, 0, "a variable");
    project.write("Dockerfile", &CHAIN.replace("pwd", "echo other"));
    // The variable has its first value again, so all steps above the changed command are in the
    // cache.
    fs::remove_file(project.dir.join("d/l")).unwrap();
    expect(&project, 3, "a command");
}

/// CVE-2024-24557: with a changed HEALTHCHECK or ONBUILD, Docker's cache still returned an image
/// with the old config.
#[test]
fn the_config_comes_from_the_dockerfile_and_never_from_the_cache() {
    let project =
        Project::new("FROM bb\nRUN echo 1 >/one\nHEALTHCHECK CMD true\nONBUILD RUN old\n");
    project.build(&[]);
    project
        .write("Dockerfile", "FROM bb\nRUN echo 1 >/one\nHEALTHCHECK CMD false\nONBUILD RUN new\n");
    let built = project.build(&[]);
    assert_eq!(built.cached, ["RUN echo 1 >/one"]);
    project.host.feed("FROM x\n", ["build", "-"]).exits(1).stderr_has("new: not found");
    assert!(project.host.inspect("x", "{{json .Config.Healthcheck}}").contains("false"));
}

/// CVE-2024-24557: a loaded image may claim steps that were never executed.
#[test]
fn a_loaded_image_is_not_used_as_a_cache() {
    let project = Project::new("FROM bb\nRUN echo 1 >/one\n");
    let host = &project.host;
    project.build(&[]);
    let archive = host.scratch().join("x.tar");
    host.mydocker(["save", "-o", archive.to_str().unwrap(), "x"]);
    host.mydocker(["rmi", "x"]);
    fs::remove_dir_all(host.state_root().join("build")).unwrap();
    host.mydocker(["load", "-i", archive.to_str().unwrap()]);
    assert_eq!(project.build(&[]).done, ["RUN echo 1 >/one"]);
}

#[test]
fn arguments_count_where_they_are_used() {
    let project = Project::new("FROM bb\nRUN echo a\nARG V\nRUN echo b\nRUN echo $V >/v\n");
    let cached = |flags: &[&str]| project.build(flags).cached.len();
    assert_eq!(cached(&["--build-arg", "V=1"]), 0);
    assert_eq!(cached(&["--build-arg", "V=2"]), 1);
    assert_eq!(cached(&["--build-arg", "V=1"]), 3);
    // A proxy argument does not make a step run again.
    assert_eq!(cached(&["--build-arg", "V=1", "--build-arg", "http_proxy=http://127.0.0.1:1"]), 3);
}

#[test]
fn a_variable_in_exclude_counts_with_its_value() {
    let file = "FROM bb AS s\nRUN mkdir /d && touch /d/a /d/b\nFROM bb\nARG X\n\
                COPY --from=s --exclude=$X /d /e\n";
    let project = Project::new(file);
    for (name, left) in [("a", "b"), ("b", "a")] {
        project.build(&["--build-arg", &format!("X={name}")]);
        project.host.mydocker(["run", "--rm", "x", "ls", "/e"]).stdout(&format!("{left}\n"));
    }
}

#[test]
fn stages_are_cached_separately_and_a_copy_by_its_content() {
    let project = Project::new(
        "FROM bb AS a\nCOPY in /in\nRUN cp /in/one /out1; cat /in/* >/out2\n\
         FROM bb AS b\nRUN echo b\nCOPY --from=a /out1 /got\nRUN echo c >/c\n",
    );
    project.write("in/one", "1");
    project.write("in/two", "2");
    project.build(&[]);
    project.write("in/two", "3");
    // Stage `a` runs again, but the file that is copied from it is the same.
    let built = project.build(&[]);
    assert_eq!(built.done.len(), 2, "{:?}", built.done);
    assert_eq!(built.cached, ["RUN echo b", "COPY --from=a /out1 /got", "RUN echo c >/c"]);
    let built = project.build(&["--no-cache-filter", "b"]);
    assert_eq!((built.cached.len(), built.done.len()), (2, 3));
}

#[test]
fn a_damaged_entry_or_a_missing_layer_makes_the_step_run() {
    let project = chain();
    project.build(&[]);
    let entries = project.entries();
    for (at, path) in entries.iter().enumerate() {
        let mut text = fs::read(path).unwrap();
        match at % 4 {
            0 => fs::write(path, &text[..text.len() / 2]).unwrap(),
            1 => fs::write(path, "").unwrap(),
            // Replace the entry by the entry of another step.
            2 => drop(fs::copy(&entries[at - 1], path).unwrap()),
            _ => {
                text[100] ^= 1;
                fs::write(path, text).unwrap();
            }
        }
    }
    project
        .host
        .mydocker(["system", "check"])
        .exits(1)
        .stdout_has("is no entry of the build cache");
    let built = project.build(&[]);
    assert_eq!(built.cached.len(), 0);
    project.host.mydocker(["run", "--rm", "x", "cat", "/one"]).stdout("1\n");
    // Remove all layers except the base's, as a user could by hand.
    let base = project.host.inspect("bb", "{{index .RootFS.Layers 0}}");
    project.host.mydocker(["rmi", "x"]);
    for entry in fs::read_dir(project.host.state_root().join("layers")).unwrap().flatten() {
        if !base.contains(entry.file_name().to_str().unwrap()) {
            fs::remove_dir_all(entry.path()).unwrap();
        }
    }
    let built = project.build(&[]);
    // `RUN true` makes no layer, so its entry stays valid.
    assert!(built.cached.len() <= 1, "{:?}", built.cached);
    project.host.mydocker(["run", "--rm", "x", "cat", "/two"]).stdout("/w\n");
}

#[test]
fn a_failed_step_keeps_the_steps_before_and_an_image_to_look_into() {
    let project = Project::new("FROM bb\nRUN echo 1 >/one\nRUN cat /one /none\n");
    let fail = || {
        let done = project.host.mydocker(["build", "-t", "x", project.path()]).exits(1);
        let log = done.stderr_text();
        assert!(log.contains("ERROR: the command '/bin/sh -c cat /one /none'"), "{log}");
        let (_, id) = log.split_once("mydocker run --rm -it ").unwrap();
        (id.split(' ').next().unwrap().to_owned(), log.contains("CACHED"))
    };
    let (first, cached) = fail();
    assert!(!cached);
    project.host.mydocker(["run", "--rm", &first, "cat", "/one"]).stdout("1\n");
    assert_eq!(fail(), (first.clone(), true));
    // At most one image of a failed build is kept, and only `images -a` lists it.
    project.write("Dockerfile", "FROM bb\nRUN echo 2 >/one\nRUN cat /one /none\n");
    let (second, _) = fail();
    assert_ne!(first, second);
    project.host.mydocker(["images", "-q"]).stdout_lacks(&second);
    project.host.mydocker(["images", "-aq"]).stdout_has(&second).stdout_lacks(&first);
    project.host.mydocker(["system", "check"]).stdout_lacks("layer").stdout_lacks("build");
}

#[test]
fn prune_and_df_include_the_cache() {
    let project =
        Project::new("FROM bb\nRUN head -c 3000000 /dev/urandom >/big\nRUN echo 2 >/two\n");
    let host = &project.host;
    let df = || {
        let lines =
            host.mydocker(["system", "df", "--format", "{{.Type}} {{.TotalCount}} {{.Size}}"]);
        lines.lines().into_iter().find(|line| line.starts_with("Build Cache")).unwrap()
    };
    assert_eq!(df(), "Build Cache 0 0B");
    project.build(&[]);
    // The image uses the layers, so a prune without -a keeps both entries.
    assert_eq!(df(), "Build Cache 2 0B");
    host.mydocker(["builder", "prune", "-f"]).stdout("Total reclaimed space: 0B\n");
    assert_eq!(project.build(&[]).cached.len(), 2);
    host.mydocker(["image", "prune", "-af", "--filter", "label=none"]);
    host.mydocker(["rmi", "x"]);
    // Without the image, only the cache keeps the layers.
    assert!(df().starts_with("Build Cache 2 3"), "{}", df());
    host.mydocker(["system", "df", "-v"])
        .stdout_has("Build cache usage: 3")
        .stdout_has("RUN echo 2");
    host.mydocker(["image", "prune", "-f"]).stdout("Total reclaimed space: 0B\n");
    host.mydocker(["builder", "prune", "-f", "--filter", "until=1h"])
        .stdout("Total reclaimed space: 0B\n");
    host.mydocker(["buildx", "prune", "-f", "--keep-storage", "1gb"])
        .stdout("Total reclaimed space: 0B\n");
    assert_eq!(project.build(&[]).cached.len(), 2);
    host.mydocker(["rmi", "x"]);
    // Both entries are removed: a step is useless without the step before it.
    host.mydocker(["builder", "prune", "-f", "--keep-storage", "1mb"])
        .stdout_has("Deleted build cache objects:\n")
        .stdout_has("Total reclaimed space: 3");
    assert!(df().starts_with("Build Cache 0"), "{}", df());
    project.build(&[]);
    host.mydocker(["system", "prune", "-af"]).stdout_has("Deleted build cache objects:\n");
    let layers = fs::read_dir(host.state_root().join("layers")).unwrap();
    assert_eq!(layers.count(), 0);
    for (filter, status) in [("label=a", 1), ("until", 125)] {
        host.mydocker(["builder", "prune", "-f", "--filter", filter]).exits(status).stdout("");
    }
}

/// The id of an image that is built from the same content each time. The files have the time
/// `touched`, and the name of the context's directory contains `touched`.
fn reproduced(base: &std::path::Path, epoch: Option<&str>, touched: u64) -> String {
    let host = Host::new();
    host.mydocker(["load", "-i", base.to_str().unwrap()]);
    let dockerfile = "FROM bb AS a\nENV A=1\nRUN mkdir -p /x/y && echo $A >/x/y/z && ln -s z /x/y/l\n\
        FROM bb\nLABEL a=b\nCOPY . /src\nCOPY <<E /here\nin it\nE\nCOPY --from=a /x /x\n\
        WORKDIR /new/w\nRUN cat /src/d/f >/copy && rm /bin/true && chmod 700 /src/d\nCMD [\"x\"]\n";
    let files = [("Dockerfile", dockerfile), ("d/f", "f"), ("g", "g")];
    let dir = host.directory(&format!("context-{touched}"), &files);
    for name in ["d/f", "d", "g", "Dockerfile", "."] {
        let file = fs::File::open(dir.join(name)).unwrap();
        file.set_modified(std::time::UNIX_EPOCH + std::time::Duration::from_secs(touched)).unwrap();
    }
    let mut build = host.command(["build", "-q", dir.to_str().unwrap()]);
    build.env_remove("SOURCE_DATE_EPOCH");
    if let Some(epoch) = epoch {
        build.env("SOURCE_DATE_EPOCH", epoch);
    }
    let id = support::run(build, None).text();
    if epoch.is_some() {
        assert!(host.inspect(id.trim(), "{{.Created}}").starts_with("2023-11-14T22:13:20"));
    }
    id
}

#[test]
fn with_source_date_epoch_the_same_input_makes_the_same_image() {
    let epoch = Some("1700000000");
    let host = Host::with_busybox();
    let base = host.scratch().join("bb.tar");
    host.mydocker(["save", "-o", base.to_str().unwrap(), "bb"]);
    let reproduced = |epoch, touched| reproduced(&base, epoch, touched);
    let first = reproduced(epoch, 1_000_000_000);
    // File times may be whole seconds, so wait for more than a second.
    std::thread::sleep(std::time::Duration::from_millis(1100));
    assert_eq!(reproduced(epoch, 1_600_000_000), first);
    assert_eq!(reproduced(epoch, 1_900_000_000), first);
    assert_ne!(reproduced(None, 1_000_000_000), first);
    host.feed("FROM bb\n", ["build", "--build-arg", "SOURCE_DATE_EPOCH=soon", "-"])
        .exits(1)
        .stderr_has("bad SOURCE_DATE_EPOCH 'soon'");
}

/// Kills builds at random moments. The next build continues, and nothing half made is left.
#[test]
fn a_killed_build_is_continued_by_the_next() {
    let mut chance = Chance::new();
    let mut dockerfile = "FROM bb\nARG ROUND\n".to_owned();
    for step in 0..6 {
        dockerfile += &format!("RUN echo $ROUND-{step} >/r{step}\nCOPY f /c{step}\n");
    }
    let project = Project::new(&dockerfile);
    project.write("f", "f");
    let mut continued = 0;
    for round in 0..10 {
        let argument = format!("ROUND={round}");
        let args = ["build", "--build-arg", &argument, project.path()];
        let build = project.host.background(args);
        std::thread::sleep(std::time::Duration::from_millis(chance.below(900)));
        build.signal(rustix::process::Signal::KILL);
        // The build may have ended before the signal.
        let _ = build.wait().status();
        let built = project.build(&["--build-arg", &argument]);
        assert_eq!(built.cached.len() + built.done.len(), 12);
        continued += built.cached.len();
        let expected = format!("{round}-5\n");
        project.host.mydocker(["run", "--rm", "x", "cat", "/r5"]).stdout(&expected);
        project.host.mydocker(["ps", "-aq"]).stdout("");
        let left = fs::read_dir(project.host.state_root().join("layers")).unwrap().flatten();
        let left: Vec<_> =
            left.map(|entry| entry.file_name()).filter(|name| name.len() != 64).collect();
        assert!(left.is_empty(), "{left:?}");
    }
    println!("{continued} steps of {} were continued", 10 * 12);
    project.host.mydocker(["system", "check"]).stdout_lacks("layer").stdout_lacks("build");
}

/// The digest of the files before a copy must equal the digest of the copied files, for each of
/// these forms of COPY and ADD. Otherwise the step is never taken from the cache.
#[test]
fn each_form_of_a_copy_is_taken_from_the_cache() {
    let project = Project::new(
        "FROM bb\nCOPY f /\nCOPY --chmod=u+x --chown=7:8 f /one\nCOPY f sub /d/\nCOPY sub /sub/\n\
         ADD t.tar f /t/\nADD --chmod=600 --chown=3 t.tar /u/\nCOPY --exclude=*.x . /all\n",
    );
    project.write("f", "f");
    project.write("sub/deep/g", "g");
    project.write("sub/h.x", "h");
    let tar = project.dir.join("t.tar");
    let mut command = std::process::Command::new("tar");
    let status = command.arg("-cf").arg(&tar).arg("-C").arg(&project.dir).arg("sub").status();
    assert!(status.unwrap().success());
    // A tar that ends with a hole.
    fs::File::options().write(true).open(&tar).unwrap().set_len(4 << 20).unwrap();
    let first = project.build(&[]);
    assert_eq!(first.done.len(), 7, "{:?}", first.done);
    project
        .host
        .mydocker(["run", "--rm", "x", "cat", "/t/sub/deep/g", "/u/sub/deep/g"])
        .stdout("gg");
    let again = project.build(&[]);
    assert_eq!((again.cached.len(), again.id), (7, first.id), "{:?}", again.done);
}

/// The file changes after it is read for the cache key and before it is copied.
#[test]
fn a_file_that_changes_before_it_is_copied_does_not_poison_the_cache() {
    use rustix::fs::inotify;
    let project = Project::new("FROM bb\nCOPY . /c/\n");
    // This file is copied first, so the copy reaches the other file late.
    fs::write(project.dir.join("a-large"), vec![b'x'; 48 << 20]).unwrap();
    project.write("f", "A");
    let watch = inotify::init(inotify::CreateFlags::CLOEXEC).unwrap();
    let flags = inotify::WatchFlags::CLOSE_NOWRITE | inotify::WatchFlags::ONESHOT;
    inotify::add_watch(&watch, project.dir.join("f"), flags).unwrap();
    let build = project.host.background(["build", "-t", "x", project.path()]);
    rustix::io::read(&watch, &mut [0; 512]).unwrap();
    project.write("f", "B");
    build.wait();
    let content =
        |project: &Project| project.host.mydocker(["run", "--rm", "x", "cat", "/c/f"]).text();
    let copied = content(&project);
    project.write("f", "A");
    project.build(&[]);
    assert_eq!(content(&project), "A");
    project.write("f", "B");
    let built = project.build(&[]);
    assert_eq!(content(&project), "B");
    // The entry of the first build has the key of the content that its layer has.
    assert_eq!(built.cached.len(), usize::from(copied == "B"));
}

#[test]
fn a_file_that_changes_while_a_step_has_it_mounted_does_not_poison_the_cache() {
    let script = "echo waiting; until [ -e /m/go ]; do sleep 0.1; done; cp /m/f /got";
    let project = Project::new(&format!("FROM bb\nRUN --mount=type=bind,target=/m {script}\n"));
    for content in ["A", "B"] {
        // The first build sees A before the step and B during it; the second build sees only A.
        project.write("f", "A");
        let _ = fs::remove_file(project.dir.join("go"));
        let args = ["build", "-t", "x", project.path()];
        let mut build = project.host.background(args);
        build.expect_error("waiting");
        project.write("f", if content == "A" { "B" } else { "A" });
        project.write("go", "");
        build.wait();
        let expected = if content == "A" { "B" } else { "A" };
        project.host.mydocker(["run", "--rm", "x", "cat", "/got"]).stdout(expected);
    }
}
