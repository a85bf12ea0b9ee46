//! Runs the shell scripts of `oracle/scripts`, which are typical scripts of users, once with Docker
//! 20.10 as `docker` and once with mydocker. Both runs must print the same on stdout and exit with
//! the same status. Either both runs write to stderr, or neither does; the text on stderr is not
//! compared. Ids, times, sizes and paths are normalised. A script must leave no container, volume,
//! network or image. A script may have a line `# differs: REASON`; then the results must differ. If
//! the reason starts with "missing", the difference is still to be removed, and the results may be
//! the same.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::support::dockerd::Dockerd;
use crate::support::machine::{Machine, Side};
use crate::support::{self, Host};
use crate::{bip, normalised, skip};

/// The images that scripts use, each with the changes of its import.
const IMAGES: &[(&str, &[&str])] = &[
    ("alpine", &["CMD [\"/bin/sh\"]"]),
    ("busybox", &["CMD [\"sh\"]", "ENV BUSYBOX=1", "LABEL org.example.image=busybox"]),
    ("web:1", &["CMD [\"httpd\",\"-f\",\"-p\",\"80\"]", "EXPOSE 80", "WORKDIR /www"]),
];

/// A script that lists all containers, volumes and images, and the networks that were created.
const LEFT: &str = "docker ps -a --format '{{.Names}}'; docker volume ls -q; \
     docker network ls -q --filter type=custom; docker images --format '{{.Repository}}:{{.Tag}}' | sort";

/// A script that removes what a faulty script has left.
const REMOVE: &str = "docker ps -aq | xargs -r docker rm -fv; docker volume ls -q | xargs -r docker \
     volume rm; docker network prune -f; docker images --format '{{.Repository}}:{{.Tag}}' | \
     grep -vxE 'alpine:latest|busybox:latest|web:1' | xargs -r docker rmi -f";

/// What `LEFT` prints if a script has left nothing: the images of `IMAGES`.
const LEFT_BY_NONE: &str = "alpine:latest\nbusybox:latest\nweb:1\n";

/// The normalised result of a script.
struct Outcome {
    status: Option<i32>,
    stdout: String,
    /// The comparison asks only whether this text is empty.
    stderr: String,
    /// What `LEFT` prints after the script; `None` if the script has left nothing.
    left: Option<String>,
}

/// One of the two programs that scripts call as `docker`.
struct Program<'a> {
    /// The directory with `bin/docker` and a working directory for each script.
    dir: PathBuf,
    /// The machine with the program's bridge and published ports.
    machine: &'a Machine,
    /// The program's state directory.
    root: PathBuf,
}

/// A Docker and a mydocker, each in its own network namespace. Docker takes most of the test's
/// time, so there are two lanes, and the Docker of each runs a part of the scripts.
struct Lane {
    // This field is first, so that Docker stops before `host` removes Docker's files.
    docker: Dockerd,
    host: Host,
}

/// A list of scripts, and the index of the first one that has not been taken.
struct Queue<'a> {
    scripts: &'a [PathBuf],
    next: AtomicUsize,
}

#[test]
fn scripts_give_the_same_result_as_with_docker() {
    let scripts = scripts();
    let (first, second) = match (Lane::start(), Lane::start()) {
        (Ok(first), Ok(second)) => (first, second),
        (Err(reason), _) | (_, Err(reason)) => skip!("{reason}"),
    };
    assert!(scripts.len() >= 88 || std::env::var_os("ORACLE_SCRIPTS").is_some());
    let queue = Queue::new(&scripts);
    let (ours, theirs) = std::thread::scope(|scope| {
        let first_part = scope.spawn(|| queue.run(&first.theirs()));
        let second_part = scope.spawn(|| queue.run(&second.theirs()));
        let ours = Queue::new(&scripts).run(&first.ours());
        let theirs = first_part.join().unwrap().into_iter().chain(second_part.join().unwrap());
        (ours, theirs.collect::<BTreeMap<_, _>>())
    });
    let (ours, theirs) = (ours.values(), theirs.values());
    let (mut same, mut justified, mut missing, mut faults) = (0, 0, 0, Vec::new());
    for (script, (ours, theirs)) in scripts.iter().zip(ours.zip(theirs)) {
        let name = script.file_stem().unwrap().to_string_lossy();
        let text = std::fs::read_to_string(script).unwrap();
        let differs = text.lines().find_map(|line| line.strip_prefix("# differs: "));
        match (ours == theirs, differs) {
            (true, None) => same += 1,
            (false, Some(reason)) if reason.starts_with("missing") => missing += 1,
            (false, Some(_)) => justified += 1,
            // A change of mydocker may remove a difference but not the script's `# differs:` line.
            (true, Some(reason)) if reason.starts_with("missing") => same += 1,
            (true, Some(_)) => {
                faults.push(format!("{name}: does the same: remove its `# differs:`"))
            }
            (false, None) => faults.push(format!(
                "{name}:\n--- ours {}\n--- docker {}",
                described(ours),
                described(theirs)
            )),
        }
        if theirs.left.is_some() {
            faults.push(format!("{name}: leaves something behind: {:?}", theirs.left));
        }
    }
    // println would not work: its output is hidden if the test passes.
    let _ = writeln!(
        std::io::stderr(),
        "{} scripts: {same} do the same as with Docker, {justified} differ for a reason, {missing} \
         lack something, {} are faults",
        scripts.len(),
        faults.len()
    );
    assert!(faults.is_empty(), "{} faults:\n{}", faults.len(), faults.join("\n"));
}

/// The sorted paths of the scripts. If ORACLE_SCRIPTS is in the environment, only the paths that
/// contain its value.
fn scripts() -> Vec<PathBuf> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/oracle/scripts");
    let only = std::env::var("ORACLE_SCRIPTS").unwrap_or_default();
    let entries = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    let mut scripts: Vec<PathBuf> =
        entries.filter(|path| path.to_string_lossy().contains(&only)).collect();
    scripts.sort();
    scripts
}

impl Lane {
    /// Starts a Docker, and prepares a mydocker without images.
    fn start() -> Result<Lane, String> {
        let host = Host::on_machine();
        host.mydocker(["rmi", "bb"]);
        let docker = Dockerd::start(&host, &bip(&host))?;
        Ok(Lane { docker, host })
    }

    fn ours(&self) -> Program<'_> {
        let host = &self.host;
        let line = format!("unset DOCKER_HOST\n{}", host.shell_line());
        Program::new(&host.scratch().join("ours"), &line, host.machine(), host.state_root())
    }

    fn theirs(&self) -> Program<'_> {
        let docker = &self.docker;
        let dir = self.host.scratch().join("theirs");
        Program::new(&dir, &docker.shell_line(), docker.machine(), docker.data_root())
    }
}

impl Queue<'_> {
    fn new(scripts: &[PathBuf]) -> Queue<'_> {
        Queue { scripts, next: AtomicUsize::new(0) }
    }

    /// Runs the scripts that no other lane has taken, one after the other. The keys of the returned
    /// map are indices into the list of scripts.
    fn run(&self, program: &Program) -> BTreeMap<usize, Outcome> {
        program.import();
        let mut outcomes = BTreeMap::new();
        loop {
            let place = self.next.fetch_add(1, Ordering::Relaxed);
            let Some(script) = self.scripts.get(place) else {
                return outcomes;
            };
            outcomes.insert(place, program.run(script));
        }
    }
}

impl Program<'_> {
    fn new<'a>(dir: &Path, line: &str, machine: &'a Machine, root: PathBuf) -> Program<'a> {
        let bin = dir.join("bin");
        support::script(&bin.join("docker"), line);
        // Scripts fetch pages by wget, which the host may lack.
        std::os::unix::fs::symlink("/bin/busybox", bin.join("wget")).unwrap();
        Program { dir: dir.to_owned(), machine, root }
    }

    /// Imports the images. All have the files of the test image `bb`.
    fn import(&self) {
        let archive = support::busybox_archive();
        for (name, changes) in IMAGES {
            let mut command = self.command(&["docker", "import"], &self.dir);
            for change in *changes {
                command.args(["--change", change]);
            }
            let done = command.arg(&archive).arg(name).output().unwrap();
            assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
        }
    }

    /// Runs one script in a new working directory.
    fn run(&self, script: &Path) -> Outcome {
        let work = self.dir.join(script.file_stem().unwrap());
        std::fs::create_dir(&work).unwrap();
        let limit = support::PATIENCE.as_secs().to_string();
        let text = std::fs::read_to_string(script).unwrap();
        let shell = if text.starts_with("#!/bin/bash") { "bash" } else { "sh" };
        let mut command = self.command(&["timeout", "--signal=KILL", &limit, shell], &work);
        let done = command.arg(script).stdin(Stdio::null()).output().unwrap();
        let left = self.shell(LEFT);
        let left = (left != LEFT_BY_NONE).then_some(left);
        if left.is_some() {
            self.shell(REMOVE);
        }
        let comparable = |bytes: &[u8]| {
            let text = String::from_utf8_lossy(bytes);
            let text = text.replace(work.to_str().unwrap(), "WORK");
            normalised(&text.replace(self.root.to_str().unwrap(), "ROOT"))
        };
        Outcome {
            status: done.status.code(),
            stdout: comparable(&done.stdout),
            stderr: comparable(&done.stderr),
            left,
        }
    }

    fn shell(&self, line: &str) -> String {
        let done = self.command(&["sh", "-c", line], &self.dir).output().unwrap();
        String::from_utf8_lossy(&done.stdout).into_owned()
    }

    /// A command line in the program's network namespace, with the program as `docker`.
    fn command(&self, args: &[&str], directory: &Path) -> Command {
        let mut command = self.machine.command(Side::Here, args);
        command.env("PATH", support::path_with(&self.dir.join("bin")));
        for variable in ["DOCKER_HOST", "DOCKER_CONTEXT", "MYDOCKER_ROOT", "MYDOCKER_RUN_ROOT"] {
            command.env_remove(variable);
        }
        command.env("HOME", &self.dir).current_dir(directory);
        command
    }
}

impl PartialEq for Outcome {
    fn eq(&self, other: &Outcome) -> bool {
        (self.status, &self.stdout, self.stderr.is_empty(), &self.left)
            == (other.status, &other.stdout, other.stderr.is_empty(), &other.left)
    }
}

/// The result as text for a person.
fn described(outcome: &Outcome) -> String {
    let Outcome { status, stdout, stderr, left } = outcome;
    format!("(status {status:?}, left {left:?})\n{stdout}--- stderr\n{stderr}")
}
