//! Compares the output of `--format` in Docker 20.10 and in mydocker. Both programs have the same
//! containers, image, network and volumes, and get the same command lines. Ids, times, sizes and
//! paths are normalised, because they may differ.
//!
//! `oracle/formats` lists the formats. `oracle/differences` lists the formats whose output differs,
//! and the reasons.

mod oracle {
    mod events;
    mod scripts;
}
mod support;

use std::io::Write;

use support::Host;
use support::dockerd::Dockerd;

/// Lines `= COMMAND`, each followed by its formats, one per line.
const FORMATS: &str = include_str!("oracle/formats");

/// The formats whose output differs, in the form of `FORMATS`, after lines `# REASON`. A reason
/// that starts with "missing" means that the difference is still to be removed.
const DIFFERENCES: &str = include_str!("oracle/differences");

/// The commands that make the compared containers, network and volumes in both programs.
const SETUP: &[&str] = &[
    "network create --subnet 10.77.0.0/24 --label a=1 net1",
    "volume create --label a=1 vol1",
    "run -d --name web --network net1 -h h -p 0.0.0.0:8080:80 -v vol1:/data --tmpfs /t \
     --label x=1 -e X=1 -m 64m --cpus 0.5 --restart on-failure:3 --add-host a:1.2.3.4 --dns 192.0.2.1 \
     bb:1 sleep 1000",
    "run -d --name plain -v /usr:/host:ro bb:1 sleep 1000",
    "run --name done -v /data --pid host bb:1 true",
    "run -d --name health --health-cmd true --health-interval 1h --health-retries 2 bb:1 sleep 1000",
    "create --name created -i -t --user app --entrypoint /bin/sleep --cap-add NET_ADMIN --cap-drop \
     MKNOD --ulimit nofile=64:128 --device /dev/fuse --sysctl net.ipv4.ip_forward=1 --security-opt \
     no-new-privileges --group-add 7 --ipc shareable --uts host --init --pids-limit 50 \
     --log-driver local --log-opt max-size=1m --tmpfs /t:size=1m --stop-signal INT --stop-timeout 3 \
     bb:1 1000",
];

const IMPORT: &[&str] =
    &["CMD [\"sh\"]", "ENV A=1 B=2", "LABEL org.example.x=1", "EXPOSE 80", "WORKDIR /w"];

/// A command line and a format.
struct Case {
    command: &'static str,
    format: &'static str,
    /// Why the output differs; empty in `FORMATS`.
    reason: &'static str,
}

/// The normalised result of a command line.
#[derive(Debug, PartialEq)]
struct Outcome {
    succeeded: bool,
    text: String,
}

#[test]
fn formats_print_the_same_as_docker() {
    let host = Host::on_machine();
    host.mydocker(["rmi", "bb"]);
    prepare(|args| host.mydocker(args).text());
    let docker = match Dockerd::start(&host, &bip(&host)) {
        Ok(docker) => docker,
        Err(reason) => skip!("{reason}"),
    };
    prepare(|args| docker.docker(args.iter().copied()).text());

    let cases = read(FORMATS);
    assert!(cases.len() >= 150);
    let ours =
        |args: &[&str]| outcome(host.command(args), &host.state_root().display().to_string());
    let theirs = |args: &[&str]| {
        outcome(docker.command(args.iter().copied()), &docker.data_root().display().to_string())
    };
    let (mut same, mut justified, mut missing, mut faults) = (0, 0, 0, Vec::new());
    let differences = read(DIFFERENCES);
    for Case { command, format, .. } in &cases {
        let mut args: Vec<&str> = command.split(' ').collect();
        let flags = args.iter().position(|word| !is_verb(word)).unwrap_or(args.len());
        args.splice(flags..flags, ["--format", format]);
        let (ours, mut outcome) = (ours(&args), theirs(&args));
        if command.starts_with("stats") && ours != outcome {
            // On a busy machine Docker's first sample may lack the number of processes.
            outcome = theirs(&args);
        }
        let theirs = outcome;
        let known =
            differences.iter().find(|known| (known.command, known.format) == (*command, *format));
        match (ours == theirs, known) {
            (true, None) => same += 1,
            (false, Some(known)) if known.reason.starts_with("missing") => missing += 1,
            (false, Some(_)) => justified += 1,
            (true, Some(_)) => faults.push(format!(
                "{command}: {format}\n  prints the same: take it off oracle/differences"
            )),
            (false, None) => {
                faults.push(format!("{command}: {format}\n  ours   {ours:?}\n  docker {theirs:?}"))
            }
        }
    }
    let known = |case: &Case| {
        cases.iter().any(|other| (other.command, other.format) == (case.command, case.format))
    };
    assert!(differences.iter().all(known), "oracle/differences has a format that is not compared");
    // println! would not work: the test harness hides its output if the test passes.
    let _ = writeln!(
        std::io::stderr(),
        "{} formats: {same} print the same as Docker, {justified} differ for a reason, {missing} are \
         still missing, {} are faults",
        cases.len(),
        faults.len()
    );
    assert!(faults.is_empty(), "{} faults:\n{}", faults.len(), faults.join("\n"));
}

/// The address of the default network of `host`. Docker gets the same address.
fn bip(host: &Host) -> String {
    let format = "{{range .IPAM.Config}}{{.Gateway}} {{.Subnet}}{{end}}";
    let addresses = host.mydocker(["network", "inspect", "-f", format, "bridge"]).text();
    let (gateway, subnet) = addresses.split_once(' ').unwrap();
    format!("{gateway}/{}", subnet.split_once('/').unwrap().1)
}

/// Makes the compared objects; `run` executes one command line.
fn prepare(run: impl Fn(&[&str]) -> String) {
    let archive = support::busybox_archive();
    let changes = ["--message", "imported"];
    let changes = changes.into_iter().chain(IMPORT.iter().flat_map(|change| ["--change", change]));
    let import: Vec<&str> =
        ["import"].into_iter().chain(changes).chain([archive.to_str().unwrap(), "bb:1"]).collect();
    run(&import);
    for line in SETUP {
        run(&line.split_whitespace().collect::<Vec<_>>());
    }
}

/// Whether a word of a command line is part of the command's name.
fn is_verb(word: &str) -> bool {
    [
        "ps", "images", "history", "network", "volume", "image", "ls", "stats", "system", "df",
        "version", "info", "inspect",
    ]
    .contains(&word)
}

fn read(list: &'static str) -> Vec<Case> {
    let (mut command, mut reason) = ("", "");
    let mut cases = Vec::new();
    for line in list.lines() {
        if let Some(next) = line.strip_prefix("= ") {
            command = next;
        } else if let Some(next) = line.strip_prefix("# ") {
            reason = next;
        } else {
            cases.push(Case { command, format: line, reason });
        }
    }
    cases
}

fn outcome(mut command: std::process::Command, root: &str) -> Outcome {
    let done = command.output().unwrap();
    let succeeded = done.status.success();
    let mut text = String::from_utf8_lossy(&done.stdout).into_owned();
    if !succeeded {
        // Docker also prints output from before the error.
        text.clear();
        // Compare from the template's name on. The text before the name differs between the
        // programs.
        let stderr = String::from_utf8_lossy(&done.stderr);
        let at = stderr.rfind("template: ").unwrap_or(0);
        text.push_str(stderr[at..].trim());
    }
    let text = text.replace(root, "ROOT");
    // Docker prints labels in random order.
    let text = text.replace("x=1,org.example.x=1", "org.example.x=1,x=1");
    Outcome { succeeded, text: normalised(&text) }
}

/// Replaces ids, MAC addresses, times, durations and sizes in `text` by the name of their kind.
fn normalised(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    let mut before = ' ';
    while let Some(c) = rest.chars().next() {
        // Compare columns without their width, which depends on the replaced values.
        if rest.starts_with("    ") {
            rest = &rest[1..];
            continue;
        }
        let found = if before.is_ascii_alphanumeric() { None } else { kind(rest) };
        let (length, word) = found.unwrap_or((c.len_utf8(), &rest[..c.len_utf8()]));
        out.push_str(word);
        before = rest[..length].chars().next_back().unwrap_or(' ');
        rest = &rest[length..];
    }
    out
}

/// If `text` starts with a value to replace: the value's length and the name of its kind.
fn kind(text: &str) -> Option<(usize, &'static str)> {
    let run = |is: fn(char) -> bool| text.find(|c| !is(c)).unwrap_or(text.len());
    let hex = run(|c| matches!(c, '0'..='9' | 'a'..='f'));
    if matches!(hex, 12 | 64) || hex == 14 && text[hex..].starts_with('…') {
        return Some((hex, "ID"));
    }
    const PATTERNS: &[(&str, &str)] = &[
        ("hh:hh:hh:hh:hh:hh", "MAC"),
        ("dddd-dd-ddTdd:dd:dd", "TIME"),
        ("dddd-dd-dd dd:dd:dd", "TIME"),
    ];
    for (pattern, word) in PATTERNS {
        let fits = pattern.len() <= text.len()
            && pattern.bytes().zip(text.bytes()).all(|(wanted, byte)| match wanted {
                b'd' => byte.is_ascii_digit(),
                b'h' => byte.is_ascii_hexdigit(),
                _ => byte == wanted,
            });
        // Docker's time for "never" is not replaced.
        if fits && !text.starts_with("0001-") {
            let fraction = &text[pattern.len()..];
            let fraction = match (*word, fraction.strip_prefix('.')) {
                ("TIME", Some(digits)) => {
                    1 + digits.find(|c: char| !c.is_ascii_digit()).unwrap_or(digits.len())
                }
                _ => 0,
            };
            return Some((pattern.len() + fraction, word));
        }
    }
    // A template may change the case.
    for span in ["less than a second", "about a minute"] {
        if text.get(..span.len()).is_some_and(|start| start.eq_ignore_ascii_case(span)) {
            return Some((span.len(), "SPAN"));
        }
    }
    let digits = run(|c| c.is_ascii_digit() || c == '.');
    let (number, after) = text.split_at(digits);
    if number.is_empty() {
        return None;
    }
    for unit in [" seconds", " second", " minutes", " minute"] {
        if after.starts_with(unit) {
            return Some((digits + unit.len(), "SPAN"));
        }
    }
    for unit in ["kB", "MB", "GB", "KiB", "MiB", "GiB", "B"] {
        if after.starts_with(unit)
            && !after[unit.len()..].starts_with(|c: char| c.is_ascii_alphanumeric())
        {
            return Some((digits + unit.len(), "SIZE"));
        }
    }
    None
}

#[test]
fn ids_times_and_sizes_are_normalised() {
    let id = "0123456789ab";
    assert_eq!(normalised(&format!("{id} {id}cd… x{id}")), format!("ID ID… x{id}"));
    assert_eq!(
        normalised("2026-11-28T20:08:30.03Z 0001-01-01T00:00:00Z"),
        "TIMEZ 0001-01-01T00:00:00Z"
    );
    assert_eq!(
        normalised("Up 2 seconds, 1.98MB / 0B 10.77.0.2 8080"),
        "Up SPAN, SIZE / SIZE 10.77.0.2 8080"
    );
    assert_eq!(normalised("02:42:0a:4d:00:02"), "MAC");
}
