//! `compose`: what a compose file means, by `config`, also beside Debian's docker-compose 1.29 on the
//! same files; and projects that come up, change and go down.

mod support;

use std::path::{Path, PathBuf};
use std::process::Command;

use support::Host;

/// A directory with these files, and `mydocker compose` in it.
struct Project {
    host: Host,
    dir: PathBuf,
}

impl Project {
    fn new(files: &[(&str, &str)]) -> Project {
        Project::on(Host::with_busybox(), files)
    }

    fn on(host: Host, files: &[(&str, &str)]) -> Project {
        let dir = host.scratch().join(support::unique("p"));
        std::fs::create_dir_all(&dir).unwrap();
        for (name, text) in files {
            let path = dir.join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        Project { host, dir }
    }

    fn command(&self, line: &str) -> Command {
        let words = std::iter::once("compose").chain(line.split_whitespace());
        let mut command = self.host.command(words);
        command.current_dir(&self.dir);
        command
    }

    fn compose(&self, line: &str) -> support::Done {
        support::run(self.command(line), None)
    }
}

fn config(files: &[(&str, &str)], line: &str) -> support::Done {
    Project::new(files).compose(line)
}

#[test]
fn a_project_is_found_upwards_and_named_by_its_directory() {
    let project = Project::new(&[
        ("My App/compose.yaml", "services: {web: {image: bb}}"),
        ("My App/compose.override.yaml", "services: {web: {command: echo hi}}"),
        ("My App/a/b/x", ""),
    ]);
    let mut command = project.command("config");
    command.current_dir(project.dir.join("My App/a/b"));
    support::run(command, None).stdout(
        "name: myapp\nservices:\n  web:\n    image: bb\n    command:\n      - echo\n      - hi\n    \
         networks:\n      default: null\nnetworks:\n  default:\n    name: myapp_default\n",
    );
}

#[test]
fn files_merge_by_the_rules_of_the_specification() {
    let project = Project::new(&[
        (
            "a.yaml",
            "services: {web: {image: bb, command: one two, environment: [A=1, B=2], \
             ports: ['80:80', '81:81'], volumes: ['d:/d', './x:/e'], cap_add: [NET_ADMIN], \
             labels: {k: v}, dns: 1.1.1.1}}\nvolumes: {d: }",
        ),
        (
            "b.yaml",
            "services:\n  web:\n    command: [three]\n    environment: {B: 3, C: 4}\n    \
             ports: ['80:80']\n    volumes: ['./y:/e']\n    cap_add: [SYS_TIME, NET_ADMIN]\n    \
             labels: !reset\n    dns: !override [8.8.8.8]",
        ),
    ]);
    let out = project.compose("-p m -f a.yaml -f b.yaml config --format json").text();
    for part in [
        r#""command":["three"]"#,
        r#""environment":{"A":"1","B":"3","C":"4"}"#,
        r#""cap_add":["NET_ADMIN","SYS_TIME"]"#,
        r#""dns":["8.8.8.8"]"#,
    ] {
        assert!(out.contains(part), "{part} in {out}");
    }
    assert!(!out.contains("labels") && out.matches("published").count() == 2, "{out}");
    assert!(out.contains("/y\"") && !out.contains("/x\""), "{out}");
}

#[test]
fn variables_come_from_the_caller_then_from_the_env_file() {
    let files = [
        ("compose.yaml", "services: {web: {image: '$A-${B:-b}-${C-c}', hostname: '${D:?set D}'}}"),
        (".env", "A=file\nC=\nD=\"${A}x\"\n"),
        ("other.env", "D=d"),
    ];
    let project = Project::new(&files);
    let mut command = project.command("config --images");
    command.env("A", "own");
    support::run(command, None).stdout("own-b-\n");
    project
        .compose("--env-file other.env config --images")
        .stderr_has("the variable A is not set")
        .stdout("-b-c\n");
    project
        .compose("--env-file /dev/null config")
        .exits(1)
        .stderr_has("required variable D is not set: set D");
}

#[test]
fn mistakes_are_reported_by_file_line_and_key() {
    for (text, part) in [
        (
            "services:\n  a: {imge: x}",
            "c.yaml:2: unknown key services.a.imge; did you mean 'image'?",
        ),
        (
            "services:\n  a:\n    image: x\n    gpus: all",
            "c.yaml:4: services.a.gpus is not supported",
        ),
        ("services:\n  a: {image: x, mem_limit: 1x}", "c.yaml:2: memory: bad size '1x'"),
        ("services:\n  a: {image: x, ports: [a]}", "c.yaml:2: bad port 'a'"),
        ("services:\n  a: {image: x, networks: [n]}", "no such network: n; declare it"),
        ("services:\n  a: {image: x, depends_on: [b]}", "depends on b, which does not exist"),
        (
            "services: {a: {image: x, depends_on: [b]}, b: {image: x, depends_on: [a]}}",
            "in a circle: a, b",
        ),
        ("services:\n  a: {image: x}\n  a: {image: y}", "c.yaml:3: 'a' stands here again"),
        ("services:\n  a: {image: x, volumes: ['d:/d:q']}", "unknown option 'q'"),
        ("services:\n  a: {image: x, tty: maybe}", "services.a.tty should be true or false"),
        ("services: {a: {}}", "services.a has neither image nor build"),
        ("{", "c.yaml:"),
        ("volumes: {v: {driver_opts: {type: nfs}}}\nservices: {a: {image: x}}", "bind the host's"),
    ] {
        config(&[("c.yaml", text)], "-f c.yaml config").exits(1).stderr_has(part);
    }
    Project::new(&[]).compose("-f no.yaml config").exits(1).stderr_has("read no.yaml");
}

#[test]
fn profiles_extends_includes_and_env_files() {
    let project = Project::new(&[
        (
            "compose.yaml",
            "include: [sub/inc.yaml]\nservices:\n  a: {extends: {file: base.yaml, service: base}, \
             env_file: [a.env, {path: no.env, required: false}], environment: {Y: mine}}\n  \
             b: {image: bb, profiles: [debug]}",
        ),
        (
            "base.yaml",
            "services: {base: {extends: root, command: hi}, root: {image: bb, tty: true}}",
        ),
        ("a.env", "X='1 2'\nY=file\n"),
        ("sub/inc.yaml", "services: {c: {image: bb, volumes: ['./d:/d']}}"),
    ]);
    project.compose("config --services").stdout("a\nc\n");
    project.compose("--profile debug config --services").stdout("a\nb\nc\n");
    let out = project.compose("config --format json").text();
    assert!(out.contains(r#""environment":{"X":"1 2","Y":"mine"}"#), "{out}");
    assert!(out.contains(r#""tty":true"#) && out.contains(r#""command":["hi"]"#), "{out}");
    assert!(out.contains("/sub/d\""), "{out}");
}

#[test]
fn the_hash_ignores_order_and_style() {
    let hash = |text: &str| config(&[("c.yaml", text)], "-p h -f c.yaml config --hash a").text();
    let one = hash("services: {a: {image: bb, environment: [A=1, B=2]}}");
    assert_eq!(
        one,
        hash("services:\n  a:\n    environment: {B: 2, A: '1'}\n    image: bb\n    scale: 3")
    );
    assert_ne!(one, hash("services: {a: {image: bb, environment: [A=1, B=3]}}"));
}

/// The projects of tests/compose and what docker-compose 1.29 makes of them: the same services with
/// the same images, commands, variables, labels, ports and mounts.
#[test]
fn config_says_what_docker_compose_says() {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/compose/compare.py");
    let host = Host::with_busybox();
    let mut compared = 0;
    let projects = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/compose");
    for entry in std::fs::read_dir(projects).unwrap() {
        let dir = entry.unwrap().path();
        // Files that only newer versions of Docker Compose read have no version line.
        let file = dir.join("compose.yaml");
        let Ok(text) = std::fs::read_to_string(&file) else { continue };
        if !text.starts_with("version:") {
            continue;
        }
        let mut theirs = Command::new("docker-compose");
        theirs.arg("-f").arg(&file).args(["-p", "same", "config"]);
        let theirs = theirs.output().unwrap();
        assert!(theirs.status.success(), "{}: {theirs:?}", file.display());
        let mut ours = host.command(["compose", "-p", "same", "-f"]);
        ours.arg(&file).args(["config"]);
        let ours = support::run(ours, None).text();
        let (a, b) = (host.file("theirs", theirs.stdout), host.file("ours", ours));
        let found = Command::new("python3").arg(&script).args([a, b]).output().unwrap();
        assert!(found.status.success(), "{}: {found:?}", file.display());
        compared += 1;
    }
    assert!(compared > 0);
}
