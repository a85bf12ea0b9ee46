//! Compares `events` after the same commands in Docker 20.10 and in mydocker: the same events in
//! the same order, as text and as JSON. Ids and times are normalised, because they always differ.
//!
//! The dockerd of the comparison is the test's own (`support::dockerd`).

use std::process::Command;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::support::dockerd::Dockerd;
use crate::support::{self, Host};
use crate::{bip, normalised, skip};

/// Command lines, some of which fail on purpose. `wait-healthy` waits for a health check.
const SCENARIO: &[&str] = &[
    "run --name once -v vol1:/data bb:1 true",
    "run -d --name web --network net1 --label a=1 bb:1 sleep 1000",
    "exec web true",
    "exec web sh -c 'exit 3'",
    "exec web no-such-program",
    "exec -d web no-such-program",
    "pause web",
    "unpause web",
    "rename web shop",
    "update --restart no shop",
    "kill -s HUP shop",
    "restart -t 0 shop",
    "stop -t 0 shop",
    "start shop",
    "top shop",
    "cp shop:/etc/group -",
    "export -o ARCHIVE shop",
    "image prune -f --filter label=none",
    "network prune -f --filter label=none",
    "volume prune -f --filter label=none",
    "container prune -f --filter label=none",
    "network connect bridge shop",
    "network disconnect bridge shop",
    "rm -f shop",
    "cp once:/etc/group -",
    "rm once",
    "create --name made -v /anonymous bb:1 true",
    "rm -v made",
    "run --rm --name brief bb:1 false",
    "run --name bad bb:1 no-such-program",
    "rm bad",
    "run -d --name sick --health-cmd true --health-interval 1s bb:1 sleep 1000",
    "wait-healthy",
    "kill sick",
    "start sick",
    "rm -f sick",
    "volume create vol2",
    "volume rm vol2",
    "volume rm vol1",
    "network create net2",
    "network rm net2",
    "tag bb:1 other:2",
    "save -o ARCHIVE other:2",
    "rmi other:2",
    "load -i ARCHIVE",
    "rmi -f other:2 bb:1",
];

#[test]
fn events_are_the_same_as_dockers() {
    let host = Host::on_machine();
    host.mydocker(["rmi", "bb"]);
    let docker = match Dockerd::start(&host, &bip(&host)) {
        Ok(docker) => docker,
        Err(reason) => skip!("{reason}"),
    };
    let archive = host.scratch().join("ours.tar").display().to_string();
    let ours = play(&archive, Duration::ZERO, |args| host.command(args));
    let archive = host.scratch().join("theirs.tar").display().to_string();
    // Docker may log an event after its command has returned.
    let theirs =
        play(&archive, Duration::from_millis(200), |args| docker.command(args.iter().copied()));
    let pairs = ours.iter().zip(&theirs).zip(SCENARIO);
    let different = pairs.filter(|((ours, theirs), _)| ours != theirs);
    let faults: Vec<String> = different
        .map(|((ours, theirs), step)| format!("{step}\n--- ours\n{ours}--- docker\n{theirs}"))
        .collect();
    assert!(faults.is_empty(), "{} of {} differ:\n{}", faults.len(), ours.len(), faults.join("\n"));
}

/// Runs the scenario. Returns the events of each step.
fn play(archive: &str, settles: Duration, command: impl Fn(&[&str]) -> Command) -> Vec<String> {
    let text = |args: &[&str]| {
        let done = command(args).output().unwrap();
        assert!(done.status.success(), "{args:?}: {}", String::from_utf8_lossy(&done.stderr));
        String::from_utf8(done.stdout).unwrap()
    };
    let busybox = support::busybox_archive();
    text(&["import", "--change", "LABEL b=2", busybox.to_str().unwrap(), "bb:1"]);
    text(&["network", "create", "net1"]);
    let mut all = Vec::new();
    for step in SCENARIO {
        std::thread::sleep(settles);
        let since = now();
        if *step == "wait-healthy" {
            support::eventually("the container is healthy", || {
                let events = text(&["events", "--since", &since, "--until", &now()]);
                events.contains("health_status: healthy")
            });
        } else {
            let words = step.split('\'').enumerate().flat_map(|(at, part)| match at % 2 {
                0 => part.split_whitespace().collect(),
                _ => vec![part],
            });
            let words = words.map(|word| if word == "ARCHIVE" { archive } else { word });
            // Ignore the exit status: some commands fail on purpose.
            command(&words.collect::<Vec<_>>()).output().unwrap();
        }
        std::thread::sleep(settles);
        let until = now();
        let window = ["events", "--since", &since, "--until", &until];
        let (mut lines, mut json) = (String::new(), String::new());
        // On a busy machine Docker may log an event between the two calls.
        support::eventually("both formats list the same events", || {
            lines = text(&window);
            json = text(&[&window[..], &["--format", "{{json .}}"]].concat());
            lines.lines().count() == json.lines().count()
        });
        let events = lines.lines().zip(json.lines());
        let mut shown: Vec<String> = events
            .filter(|(line, _)| !is_of_a_probe(line))
            .map(|(line, json)| timeless(line) + "\n" + &timeless(json) + "\n")
            .collect();
        // Docker may report twice that a container leaves a network.
        shown.dedup();
        all.push(shown.concat());
    }
    all
}

/// A line whose ids and times are replaced or cut off.
fn timeless(line: &str) -> String {
    let line = normalised(line);
    match line.split_once("\"time\":") {
        Some((before, _)) => before.to_owned(),
        None => line,
    }
}

/// Whether a line is an event of a health check's process, which only Docker reports.
fn is_of_a_probe(line: &str) -> bool {
    line.contains("exec_") && line.contains("name=sick")
}

/// The present time in the format of `--since` and `--until`.
fn now() -> String {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    format!("{}.{:09}", since.as_secs(), since.subsec_nanos())
}
