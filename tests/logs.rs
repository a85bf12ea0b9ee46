//! `logs`: what a container wrote, from where on, how much, and as it is written.

mod support;

use support::{Host, eventually};

#[test]
fn output_and_error_apart() {
    let host = Host::with_busybox();
    let script = "echo out1; echo err1 >&2; echo out2; printf unended";
    host.mydocker(["run", "--name", "c", "bb", "sh", "-c", script]);
    host.mydocker(["logs", "c"]).stdout("out1\nout2\nunended").stderr("err1\n");
    // A terminal has but one output.
    host.mydocker(["run", "-t", "--name", "t", "bb", "sh", "-c", "echo out; echo err >&2"]);
    host.mydocker(["logs", "t"]).stdout("out\r\nerr\r\n").stderr("");
}

#[test]
fn the_last_lines() {
    let host = Host::with_busybox();
    host.mydocker(["run", "--name", "c", "bb", "seq", "100"]);
    host.mydocker(["logs", "--tail", "3", "c"]).stdout("98\n99\n100\n");
    host.mydocker(["logs", "-n", "1", "c"]).stdout("100\n");
    host.mydocker(["logs", "--tail", "0", "c"]).stdout("");
    assert_eq!(host.mydocker(["logs", "--tail", "all", "c"]).lines().len(), 100);
    assert_eq!(host.mydocker(["logs", "--tail", "1000", "c"]).lines().len(), 100);
    host.mydocker(["logs", "--tail", "many", "c"]).refused("many");
}

#[test]
fn between_two_moments() {
    let host = Host::with_busybox();
    let script = "echo early; sleep 1.2; echo late";
    host.mydocker(["run", "--name", "c", "bb", "sh", "-c", script]);
    let dated = host.mydocker(["logs", "-t", "c"]).lines();
    let times: Vec<&str> = dated.iter().map(|line| line.split(' ').next().unwrap()).collect();
    assert!(times[0] < times[1] && times[0].ends_with('Z') && times[0].len() == 30, "{times:?}");
    assert!(dated[0].ends_with(" early"));
    host.mydocker(["logs", "--since", times[1], "c"]).stdout("late\n");
    host.mydocker(["logs", "--until", times[0], "c"]).stdout("early\n");
    host.mydocker(["logs", "--since", "1h", "c"]).stdout("early\nlate\n");
    host.mydocker(["logs", "--until", "1h", "c"]).stdout("");
    host.mydocker(["logs", "--since", "teatime", "c"]).refused("teatime");
}

#[test]
fn details_stand_before_each_line() {
    let host = Host::with_busybox();
    let run = "run --name c --label a=1 --label b=x,y --label c=3 -e E=1 -e F2=2 --log-opt labels=a,b \
               --log-opt env=E --log-opt env-regex=^F bb printf one\\ntwo";
    host.mydocker(run.split_whitespace());
    let details = "E=1,F2=2,a=1,b=x%2Cy";
    let both = format!("{details} one\n{details} two");
    host.mydocker(["logs", "--details", "c"]).stdout(&both);
    host.mydocker(["logs", "--details", "-n", "1", "c"]).stdout(&format!("{details} two"));
    host.mydocker(["logs", "--details", "-t", "c"]).stdout_has(&format!("Z {details} one\n"));
    host.mydocker(["logs", "c"]).stdout("one\ntwo");
    // Without one Docker prints the blank alone.
    host.mydocker(["run", "--name", "d", "bb", "echo", "one"]);
    host.mydocker(["logs", "--details", "d"]).stdout(" one\n");
}

#[test]
fn followed_until_the_end() {
    let host = Host::with_busybox();
    let script = "echo first; read line; echo $line; read line; echo $line >&2";
    host.mydocker(["run", "-di", "--name", "c", "bb", "sh", "-c", script]);
    let mut logs = host.background(["logs", "-f", "c"]);
    logs.expect("first\n");
    let mut typist = host.background(["attach", "c"]);
    typist.type_in("second\n");
    logs.expect("first\nsecond\n");
    typist.type_in("third\n");
    logs.wait().stdout("first\nsecond\n").stderr("third\n");
    host.mydocker(["logs", "-f", "c"]).stdout("first\nsecond\n");
    typist.wait().stdout("second\n").stderr("third\n");
}

#[test]
fn followed_through_a_removal() {
    let host = Host::with_busybox();
    let script = "echo here; sleep 1000";
    host.mydocker(["run", "-d", "--rm", "--name", "c", "bb", "sh", "-c", script]);
    let mut logs = host.background(["logs", "--follow", "c"]);
    logs.expect("here\n");
    host.mydocker(["rm", "-f", "c"]);
    logs.wait().stdout("here\n");
}

#[test]
fn a_restart_appends() {
    let host = Host::with_busybox();
    host.mydocker(["run", "--name", "c", "bb", "echo", "again"]);
    host.mydocker(["start", "-a", "c"]).stdout("again\n");
    host.mydocker(["logs", "c"]).stdout("again\nagain\n");
}

#[test]
fn files_rotate_and_the_oldest_go() {
    let host = Host::with_busybox();
    let options = ["--log-opt", "max-size=64k", "--log-opt", "max-file=3"];
    let mut args = vec!["run", "-d", "--name", "c"];
    args.extend(options);
    args.extend(["bb", "seq", "200000"]);
    let id = host.mydocker(args).text();
    host.mydocker(["wait", "c"]);
    let dir = host.state_root().join("containers").join(&id);
    let mut logs: Vec<_> = std::fs::read_dir(&dir)
        .unwrap()
        .map(|entry| entry.unwrap())
        .filter(|entry| entry.file_name().to_string_lossy().starts_with("log"))
        .map(|entry| (entry.file_name().into_string().unwrap(), entry.metadata().unwrap().len()))
        .collect();
    logs.sort();
    let names: Vec<_> = logs.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["log", "log.1", "log.2"]);
    assert!(logs.iter().all(|(_, size)| *size <= 66_000), "{logs:?}");
    let lines = host.mydocker(["logs", "c"]).lines();
    assert_eq!(lines.last().unwrap(), "200000");
    // No gap in what is kept, however the files were cut.
    let kept: Vec<u32> = lines.iter().skip(1).map(|line| line.parse().unwrap()).collect();
    assert!(kept.len() > 5000 && kept.windows(2).all(|pair| pair[1] == pair[0] + 1));
    host.mydocker(["run", "--log-opt", "max-size=tiny", "bb", "true"]).refused("max-size");
    host.mydocker(["run", "--log-opt", "colour=red", "bb", "true"]).refused("colour");
}

#[test]
fn following_misses_nothing_while_files_rotate() {
    let host = Host::with_busybox();
    let script = "read go; seq 60000";
    host.mydocker([
        "run",
        "-di",
        "--name",
        "c",
        "--log-opt",
        "max-size=100k",
        "--log-opt",
        "max-file=5",
        "bb",
        "sh",
        "-c",
        script,
    ]);
    let logs = host.background(["logs", "-f", "c"]);
    let mut typist = host.background(["attach", "c"]);
    typist.type_in("go\n");
    let expected: String = (1..=60000).map(|number| format!("{number}\n")).collect();
    typist.wait().stdout(&expected);
    logs.wait().stdout(&expected);
}

#[test]
fn none_is_kept_when_none_is_wanted() {
    let host = Host::with_busybox();
    host.mydocker(["run", "--log-driver", "none", "--name", "c", "bb", "echo", "x"]).stdout("x\n");
    let logs = host.mydocker(["logs", "c"]);
    let status = logs.status();
    assert!(status == 0 || status == 1);
}

#[test]
fn every_byte_is_kept_as_it_was() {
    let host = Host::with_busybox();
    let script = "head -c 300000 /dev/urandom | tee /copy";
    let written = host.mydocker(["run", "--name", "c", "bb", "sh", "-c", script]).bytes();
    let logged = host.mydocker(["logs", "c"]).bytes();
    assert!(written == logged && written.len() == 300_000);
    eventually("it ended", || !host.is_running("c"));
}
