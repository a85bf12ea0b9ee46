//! The projects of corpus.txt: each comes up, runs and goes down. If docker-compose 1.29 can read a
//! project, `config` prints the same services as docker-compose. busybox stands in for the images.
//! The examples of specification.txt are read too.

use std::path::Path;
use std::process::Command;

use crate::support::{self, Host};

const CORPUS: &str = include_str!("corpus.txt");

/// A file of a project.
struct File {
    project: &'static str,
    name: &'static str,
    is_new: bool,
    text: String,
}

fn files() -> Vec<File> {
    let mut files: Vec<File> = Vec::new();
    for line in CORPUS.lines() {
        if let Some(head) = line.strip_prefix("=== ") {
            let words: Vec<&'static str> = head.split(' ').collect();
            let is_new = words.get(2) == Some(&"new");
            files.push(File { project: words[0], name: words[1], is_new, text: String::new() });
        } else if let Some(file) = files.last_mut() {
            file.text.push_str(line);
            file.text.push('\n');
        }
    }
    files
}

/// Writes all projects below the host's scratch directory. Returns their names, and whether only
/// programs newer than docker-compose 1.29 read them.
fn projects(host: &Host) -> Vec<(&'static str, bool)> {
    let mut projects: Vec<(&str, bool)> = Vec::new();
    for file in files() {
        host.file(&format!("{}/{}", file.project, file.name), file.text);
        match projects.last_mut() {
            Some((name, is_new)) if *name == file.project => *is_new |= file.is_new,
            _ => projects.push((file.project, file.is_new)),
        }
    }
    assert!(projects.len() >= 40, "only {} projects", projects.len());
    projects
}

fn tool(name: &str) -> Command {
    // Only Debian's own Python has docker-compose as a library.
    let mut command = Command::new("/usr/bin/python3");
    command.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/compose").join(name));
    command
}

fn compose(host: &Host, project: &str, words: &[&str]) -> support::Done {
    let mut command = host.command(["compose"]);
    command.args(words).current_dir(host.scratch().join(project));
    support::run(command, None)
}

#[test]
fn config_prints_the_same_as_docker_compose() {
    let host = Host::new();
    let mut compare = tool("compare.py");
    for (project, is_new) in projects(&host) {
        let ours = compose(&host, project, &["config", "--format", "json"]).text();
        if !is_new {
            compare.arg(host.scratch().join(project));
            compare.arg(host.file(&format!("{project}.json"), ours));
        }
    }
    let found = compare.output().unwrap();
    assert!(found.status.success(), "{}", String::from_utf8_lossy(&found.stderr));
}

fn sorted(done: support::Done) -> Vec<String> {
    let mut lines = done.lines();
    lines.sort();
    lines
}

/// `config` reads its own output, and the hashes of the services stay the same.
#[test]
fn config_reads_its_own_output() {
    let host = Host::new();
    for (project, _) in projects(&host) {
        let yaml = compose(&host, project, &["config"]).text();
        let name = host.file(&format!("{project}.yaml"), yaml);
        let file = name.to_str().unwrap();
        let hashes = sorted(compose(&host, project, &["config", "--hash", "*"]));
        let again = compose(
            &host,
            project,
            &["--env-file", "/dev/null", "-f", file, "config", "--hash", "*"],
        );
        assert_eq!(sorted(again), hashes, "{project}");
    }
}

#[test]
fn every_project_comes_up_and_goes_down() {
    // Use a machine of the test's own: the projects publish ports and make networks.
    let host = Host::on_machine();
    let mut names: Vec<String> = vec!["bb".to_owned()];
    for (project, _) in projects(&host) {
        let json = compose(&host, project, &["config", "--format", "json"]).text();
        let json = host.file("project.json", json);
        let mut stand_ins = tool("stand_ins.py");
        stand_ins.stdin(std::fs::File::open(json).unwrap());
        let written = stand_ins.output().unwrap();
        assert!(written.status.success(), "{written:?}");
        let over = host.file("over.yaml", written.stdout);
        for image in String::from_utf8(written.stderr).unwrap().lines() {
            if !names.iter().any(|name| name == image) {
                host.mydocker(["tag", "bb", image]);
                names.push(image.to_owned());
            }
        }
        let mut given: Vec<&str> = Vec::new();
        let dir = host.scratch().join(project);
        for file in ["compose.yaml", "docker-compose.yml", "compose.override.yaml"] {
            if dir.join(file).exists() {
                given.extend(["-f", file]);
            }
        }
        given.extend(["-f", over.to_str().unwrap()]);
        let run = |words: &[&str]| compose(&host, project, &[given.as_slice(), words].concat());
        run(&["up", "-d", "--wait"]);
        let services = run(&["config", "--services"]).lines().len();
        let containers = run(&["ps", "-aq"]).lines().len();
        assert!(containers >= services, "{project}: {containers} containers, {services} services");
        // Nothing has changed, so no container is made again.
        let again = run(&["up", "-d"]).stderr_text();
        assert!(!again.contains("Recreate"), "{project}: {again}");
        run(&["down", "-v", "-t", "0"]);
        assert_eq!(host.mydocker(["ps", "-aq"]).text(), "", "{project}");
    }
    let networks = host.mydocker(["network", "ls", "-q", "--filter", "type=custom"]).text();
    assert_eq!(networks, "");
    assert_eq!(host.mydocker(["volume", "ls", "-q"]).text(), "");
}

/// specification.txt has examples that follow those of the Compose specification.
#[test]
fn the_examples_of_the_specification_are_read() {
    let host = Host::new();
    let mut count = 0;
    for example in include_str!("specification.txt").split("\n=== ").skip(1) {
        let (name, rest) = example.split_once('\n').unwrap();
        let (text, expected) = rest.split_once("\n---").unwrap();
        let (operands, expected) = expected.split_once('\n').unwrap();
        host.directory(name, &[("compose.yaml", text)]);
        let mut command = host.command(["compose", "config", "--format", "json"]);
        command.args(operands.split_whitespace()).current_dir(host.scratch().join(name));
        let done = command.output().unwrap();
        let texts = [done.stdout, done.stderr].map(|text| String::from_utf8(text).unwrap());
        let printed = texts.concat();
        for line in expected.lines().filter(|line| !line.is_empty()) {
            match line.strip_prefix('!') {
                Some(absent) => assert!(!printed.contains(absent), "{name}: {absent}\n{printed}"),
                None => assert!(printed.contains(line), "{name}: {line}\nis not in\n{printed}"),
            }
        }
        count += 1;
    }
    assert!(count > 50, "only {count} examples");
}
