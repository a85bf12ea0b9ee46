//! `up` and `down` of a project of ten services on one network: `mydocker compose` beside
//! docker-compose.
//!
//! docker-compose needs a dockerd, which is started before the first turn and not measured.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use super::dockerd::Dockerd;
use super::peers::{Bench, US};
use super::table::{Budget, Table, Value};
use super::turns::{Contender, take, time};

const COMPOSE: &str = "docker-compose";
const SERVICES: usize = 10;

pub fn measure(bench: &Bench, table: &mut Table) {
    let project = bench.dir.join("project");
    fs::create_dir_all(&project).expect("make the project's directory");
    let mut text = String::from("services:\n");
    for number in 0..SERVICES {
        text.push_str(&format!("  s{number}: {{image: bb, command: sleep 100000}}\n"));
    }
    fs::write(project.join("compose.yaml"), text).expect("write the compose file");
    let docker = Dockerd::start(bench, COMPOSE);
    for (topic, what, is_up) in [
        ("compose-up", "compose up -d, 10 services", true),
        ("compose-down", "compose down, 10 services", false),
    ] {
        let ours = || {
            let mut command = bench.us();
            command.arg("compose");
            command
        };
        let mut contenders = vec![Contender::new(US, || turn(ours, &project, is_up))];
        if let Some(docker) = &docker {
            let turn = || turn(|| docker.command(COMPOSE), &project, is_up);
            contenders.push(Contender::new(COMPOSE, turn));
        }
        let figures = take(topic, bench.rounds.min(5), contenders);
        let ours = Value::Milliseconds(figures.median(US));
        if docker.is_none() {
            table.alone(what, ours, Budget::None);
        }
        for (peer, theirs) in figures.peers() {
            table.against(what, ours, peer, Value::Milliseconds(theirs), Budget::AtMost(0.1));
        }
    }
}

/// Runs `up`, then `down`. Returns the time of `up` if `is_up`, otherwise the time of `down`.
fn turn(compose: impl Fn() -> Command, project: &Path, is_up: bool) -> f64 {
    let call = |words: &[&str]| {
        let mut command = compose();
        command.args(["-f", "compose.yaml"]).args(words).current_dir(project);
        time(command.stderr(Stdio::null()))
    };
    let times = (call(&["up", "-d"]), call(&["down", "-t", "0"]));
    if is_up { times.0 } else { times.1 }
}
