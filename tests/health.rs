//! Health checks: their results, the output of `ps`, `inspect` and `wait`, and the actions on a
//! failure.
//!
//! Commands in the container decide the result. `src/container/probe.rs` runs them.

mod support;

use std::time::Duration;

use sha2::Digest;
use support::{Host, eventually};

/// A check every 100 ms. Two failures in a row make the container unhealthy.
const OFTEN: [&str; 4] = ["--health-interval", "100ms", "--health-retries", "2"];

fn run(host: &Host, name: &str, check: &str, flags: &[&str]) {
    let named = ["run", "-d", "--name", name, "--network", "none", "--health-cmd", check];
    let run = [&named[..], &OFTEN, flags, &["bb", "sleep", "1000"]].concat();
    host.mydocker(run);
}

fn status(host: &Host, name: &str) -> String {
    host.inspect(name, "{{.State.Health.Status}}")
}

fn shown(host: &Host, name: &str) -> String {
    host.mydocker(["ps", "-a", "--filter", &format!("name={name}"), "--format", "{{.Status}}"])
        .text()
}

#[test]
fn a_container_is_starting_then_unhealthy_then_healthy() {
    let host = Host::with_busybox();
    run(&host, "c", "echo looked; test -e /ok", &["--health-start-period", "1h"]);
    assert!(shown(&host, "c").ends_with(" (health: starting)"), "{}", shown(&host, "c"));
    // Failures in the start period do not count.
    eventually("five probes failed", || {
        let results = host.mydocker(["inspect", "c"]).text().matches("\"ExitCode\": 1").count();
        assert!(results <= 5, "{results}");
        results == 5
    });
    assert_eq!(status(&host, "c"), "starting");
    host.mydocker(["exec", "c", "touch", "/ok"]);
    host.mydocker(["wait", "--condition", "healthy", "c"]).stdout("healthy\n");
    assert!(shown(&host, "c").ends_with(" (healthy)"));
    host.mydocker(["exec", "c", "rm", "/ok"]);
    eventually("it is unhealthy", || status(&host, "c") == "unhealthy");
    assert!(shown(&host, "c").ends_with(" (unhealthy)"));
    host.mydocker(["inspect", "c"]).stdout_has("looked\\n").stdout_has("\"FailingStreak\": ");
    for (health, names) in [("unhealthy", "c\n"), ("healthy", ""), ("starting", ""), ("none", "")] {
        let filter = format!("health={health}");
        host.mydocker(["ps", "--filter", &filter, "--format", "{{.Names}}"]).stdout(names);
    }
    assert!(!host.succeeds(["ps", "--filter", "health=fine"]));
}

#[test]
fn probes_run_at_the_start_interval_during_the_start_period() {
    let host = Host::with_busybox();
    let flags = "--health-interval 1h --health-start-period 1h --health-start-interval 50ms";
    let flags: Vec<&str> = flags.split(' ').collect();
    run(&host, "c", "echo >>/n; test $(wc -l </n) -ge 4", &flags);
    eventually("the fourth probe succeeds", || status(&host, "c") == "healthy");
    host.mydocker(["exec", "c", "wc", "-l", "/n"]).stdout("4 /n\n");
}

#[test]
fn a_probe_runs_as_exec_does_and_its_output_is_bounded() {
    let host = Host::with_busybox();
    let check = "id -u; echo $V; pwd; cat /proc/self/status; yes | head -c 100000; exit 3";
    run(&host, "c", check, &["--user", "1234", "-e", "V=seen", "-w", "/tmp", "--cap-drop", "ALL"]);
    eventually("it is unhealthy", || status(&host, "c") == "unhealthy");
    let text = host.mydocker(["inspect", "c"]).text();
    assert!(text.contains("\"ExitCode\": 3"), "{text}");
    assert!(text.contains("1234\\nseen\\n/tmp\\n"), "{text}");
    assert!(text.contains("CapBnd:\\t0000000000000000"), "{text}");
    let output = text.lines().find(|line| line.contains("\"Output\"")).unwrap();
    // The line has 4,096 bytes of output, the key, and the escapes of the line ends.
    assert!(output.contains("...\"") && output.len() < 2 * 4096 + 40, "{}", output.len());
    run(&host, "d", "/no/such/program", &[]);
    eventually("it is unhealthy", || status(&host, "d") == "unhealthy");
    host.mydocker(["inspect", "d"]).stdout_has("\"ExitCode\": 127");
}

#[test]
fn a_probe_is_killed_at_its_timeout_with_all_that_it_started() {
    let host = Host::with_busybox();
    // 901 runs in the background, 902 in a new session, and 903 after the end of its parent.
    let check = "sleep 901 & setsid sleep 902 & (sleep 903 &); sleep 904";
    run(&host, "c", check, &["--health-timeout", "300ms"]);
    eventually("it is unhealthy", || status(&host, "c") == "unhealthy");
    host.mydocker(["inspect", "c"])
        .stdout_has("\"ExitCode\": -1")
        .stdout_has("Health check exceeded timeout (300ms)");
    host.mydocker(["pause", "c"]);
    host.mydocker(["unpause", "c"]);
    // The present probe may be running, but no earlier one.
    let seen = host.mydocker(["top", "c"]).text();
    for sleep in ["sleep 901", "sleep 902", "sleep 903", "sleep 904"] {
        assert!(seen.matches(sleep).count() <= 1, "{seen}");
    }
}

#[test]
fn one_probe_runs_at_a_time() {
    let host = Host::with_busybox();
    let check = "echo x >>/n; if mkdir /busy; then sleep 0.4; rmdir /busy; else echo x >/twice; fi";
    run(&host, "c", check, &[]);
    eventually("four ran", || {
        host.mydocker(["exec", "c", "cat", "/n"]).status() == 0 && {
            host.mydocker(["exec", "c", "cat", "/n"]).lines().len() >= 4
        }
    });
    host.mydocker(["exec", "c", "test", "!", "-e", "/twice"]);
    assert_eq!(status(&host, "c"), "healthy");
}

#[test]
fn a_paused_container_is_not_probed_and_a_restart_resets_the_health() {
    let host = Host::with_busybox();
    run(&host, "c", "echo x >>/n", &[]);
    host.mydocker(["wait", "--condition", "healthy", "c"]);
    let probes = || host.inspect("c", "{{json .State.Health.Log}}");
    host.mydocker(["pause", "c"]);
    assert!(shown(&host, "c").ends_with(" (Paused)"));
    // The running probe may end, but no other starts.
    std::thread::sleep(Duration::from_millis(400));
    let before = probes();
    std::thread::sleep(Duration::from_millis(400));
    assert_eq!(probes(), before);
    host.mydocker(["unpause", "c"]);
    eventually("it is probed again", || probes() != before);
    assert_eq!(status(&host, "c"), "healthy");
    host.mydocker(["stop", "-t", "0", "c"]);
    host.mydocker(["inspect", "c"]).stdout_lacks("FailingStreak");
    assert!(!shown(&host, "c").contains("health"));
    let flags = ["--health-interval", "1h"];
    run(&host, "d", "true", &flags);
    host.mydocker(["restart", "-t", "0", "d"]);
    assert_eq!(status(&host, "d"), "starting");
}

#[test]
fn flags_change_the_health_check_of_an_image() {
    let host = Host::with_busybox();
    let archive = support::busybox_archive();
    let archive = archive.to_str().unwrap();
    let change = "HEALTHCHECK --interval=100ms --retries=1 CMD [\"test\", \"-e\", \"/ok\"]";
    host.mydocker(["import", "-c", change, archive, "checked"]);
    host.mydocker(["inspect", "checked"]).stdout_has("\"Interval\": 100000000");
    let run = |name: &str, image: &str, flags: &[&str]| {
        let run = ["run", "-d", "--name", name, "--network", "none"];
        host.mydocker([&run[..], flags, &[image, "sleep", "1000"]].concat());
    };
    run("a", "checked", &[]);
    eventually("it is unhealthy", || status(&host, "a") == "unhealthy");
    run("b", "checked", &["--health-cmd", "true"]);
    host.mydocker(["wait", "--condition", "healthy", "b"]);
    assert_eq!(host.inspect("b", "{{.Config.Healthcheck.Retries}}"), "1");
    run("c", "checked", &["--no-healthcheck"]);
    assert!(!shown(&host, "c").contains("health"));
    host.mydocker(["wait", "--condition", "healthy", "c"]).exits(1).stderr_has("no health check");
    // Commit keeps the check of the container. Save and load keep the check of the image.
    host.mydocker(["commit", "b", "of-b"]);
    host.mydocker(["inspect", "of-b"]).stdout_has("CMD-SHELL").stdout_has("100000000");
    host.mydocker(["commit", "c", "of-c"]);
    run("d", "of-c", &[]);
    assert!(!shown(&host, "d").contains("health"));
    let saved = host.scratch().join("saved.tar");
    host.mydocker(["save", "-o", saved.to_str().unwrap(), "checked"]);
    host.mydocker(["rm", "-f", "a", "b", "c", "d"]);
    host.mydocker(["rmi", "checked", "of-b", "of-c"]);
    host.mydocker(["load", "-i", saved.to_str().unwrap()]);
    run("e", "checked", &[]);
    eventually("it is unhealthy", || status(&host, "e") == "unhealthy");
}

/// The image's config has a shell, as the instruction SHELL of a Dockerfile sets it.
#[test]
fn a_shell_command_runs_in_the_images_shell() {
    let host = Host::new();
    let layer = std::fs::read(support::busybox_archive()).unwrap();
    let digest = sha2::Sha256::digest(&layer);
    let digest: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
    let config = format!(
        r#"{{"architecture":"amd64","os":"linux","config":{{"Shell":["/bin/echo","by","echo:"],
            "Healthcheck":{{"Test":["CMD-SHELL","a line"],"Interval":100000000}}}},
            "rootfs":{{"type":"layers","diff_ids":["sha256:{digest}"]}}}}"#
    );
    let manifest = r#"[{"Config":"c.json","RepoTags":["shelled:latest"],"Layers":["l.tar"]}]"#;
    let archive =
        support::tar::Tar::default().file("c.json", &config).entry(b'0', "l.tar", "", &layer);
    host.feed(archive.file("manifest.json", manifest).end(), ["load"]);
    let run = ["run", "-d", "--name", "c", "--network", "none"];
    host.mydocker([&run[..], &["shelled", "sleep", "1000"]].concat());
    host.mydocker(["wait", "--condition", "healthy", "c"]);
    host.mydocker(["inspect", "c"]).stdout_has("by echo: a line\\n");
}

#[test]
fn an_unhealthy_container_can_be_killed_stopped_or_restarted() {
    let host = Host::with_busybox();
    let trap = "trap 'echo asked; exit 5' TERM; echo started; while :; do sleep 0.05; done";
    let run = |name: &str, check: &str, flags: &[&str]| {
        let run = ["run", "-d", "--name", name, "--network", "none", "--health-cmd", check];
        host.mydocker([&run[..], &OFTEN, flags, &["bb", "sh", "-c", trap]].concat());
    };
    run("k", "false", &["--health-on-failure", "kill"]);
    host.mydocker(["wait", "k"]).stdout("137\n");
    run("s", "false", &["--health-on-failure", "stop", "--restart", "always"]);
    host.mydocker(["wait", "s"]).stdout("5\n");
    host.mydocker(["logs", "s"]).stdout("started\nasked\n");
    // The container is healthy from its second start on.
    let check = "test -e /twice || { test -e /once && touch /twice; touch /once; false; }";
    run("r", check, &["--health-on-failure", "restart"]);
    host.mydocker(["wait", "--condition", "healthy", "r"]);
    host.mydocker(["logs", "r"]).stdout("started\nasked\nstarted\n");
    assert_eq!(host.inspect("r", "{{.RestartCount}}"), "1");
    host.mydocker(["stop", "r"]);
    assert!(!host.is_running("r"), "a stop ends its restarts");
    for (flags, part) in [
        (&["--health-on-failure", "weep"][..], "bad action 'weep'"),
        (&["--health-on-failure", "kill"], "needs a health check"),
        (&["--no-healthcheck", "--health-cmd", "x"], "can't go with"),
        (&["--health-interval", "5"], "bad duration '5'"),
        (&["--health-retries", "-1"], "bad number of retries"),
        (&["--rm", "--health-cmd", "x", "--health-on-failure", "restart"], "contradict"),
    ] {
        host.mydocker([&["run"][..], flags, &["bb", "true"]].concat()).refused(part);
    }
}

#[test]
fn a_container_waits_for_those_that_it_depends_on() {
    let host = Host::with_busybox();
    run(&host, "db", "test -e /ok", &["--health-start-period", "1h"]);
    let dependent = ["run", "--rm", "--network", "none", "--depends-on", "db:healthy", "bb"];
    let mut waiting = host.background([&dependent[..], &["echo", "ready"]].concat());
    std::thread::sleep(Duration::from_millis(300));
    host.mydocker(["exec", "db", "touch", "/ok"]);
    waiting.expect("ready");
    waiting.wait().exits(0);
    host.mydocker(["create", "--name", "app", "--depends-on", "db:healthy", "bb", "true"]);
    host.mydocker(["exec", "db", "rm", "/ok"]);
    eventually("it is unhealthy", || status(&host, "db") == "unhealthy");
    host.mydocker(["start", "app"]).exits(1).stderr_has("container db is unhealthy");
    host.mydocker(["stop", "-t", "0", "db"]);
    let on = |what: &str, part: &str| {
        host.mydocker(["run", "--rm", "--depends-on", what, "bb", "true"]).refused(part);
    };
    on("db", "--depends-on db: container db is not running");
    on("nobody", "no such container: nobody");
    host.mydocker(["run", "-d", "--name", "plain", "bb", "sleep", "1000"]);
    on("plain:healthy", "container plain has no health check");
    host.mydocker(["run", "--rm", "--depends-on", "plain", "bb", "echo", "hi"]).stdout("hi\n");
}

#[test]
fn wait_knows_dockers_conditions() {
    let host = Host::with_busybox();
    let run = |name: &str, flags: &[&str], script: &str| {
        let run = ["run", "-d", "--name", name, "--network", "none"];
        host.mydocker([&run[..], flags, &["bb", "sh", "-c", script]].concat());
    };
    let wait = |condition, name| host.background(["wait", "--condition", condition, name]);
    run("a", &[], "while ! test -e /end; do sleep 0.05; done; exit 3");
    let (next, gone) = (wait("next-exit", "a"), wait("removed", "a"));
    host.mydocker(["exec", "a", "touch", "/end"]);
    next.wait().stdout("3\n");
    host.mydocker(["wait", "--condition", "not-running", "a"]).stdout("3\n");
    // The container has ended already, so `next-exit` waits for the next end.
    let next = wait("next-exit", "a");
    std::thread::sleep(Duration::from_millis(200));
    host.mydocker(["start", "a"]);
    next.wait().stdout("3\n");
    host.mydocker(["rm", "-f", "a"]);
    gone.wait().stdout("3\n");
    run("b", &["--restart", "always"], "sleep 0.3; exit 7");
    wait("next-exit", "b").wait().stdout("7\n");
    assert!(!host.succeeds(["wait", "--condition", "sad", "b"]));
}

/// A prober, the process that runs a probe, is a fork of the monitor. If the prober kept the
/// monitor's lock and the monitor was killed, no command could clean up after the container.
#[test]
fn a_prober_has_no_descriptor_of_the_monitor() {
    let host = Host::with_busybox();
    run(&host, "c", "touch /probed; sleep 1000", &["--health-timeout", "1h"]);
    eventually("it is probed", || host.succeeds(["exec", "c", "test", "-e", "/probed"]));
    let (monitor, first) = (host.monitor("c"), host.pid("c"));
    let children = std::fs::read_to_string(format!("/proc/{monitor}/task/{monitor}/children"));
    let children = children.unwrap();
    let probers: Vec<&str> =
        children.split_whitespace().filter(|pid| **pid != first.to_string()).collect();
    let [prober] = probers[..] else { panic!("one prober, not {probers:?}") };
    let open = std::fs::read_dir(format!("/proc/{prober}/fd")).unwrap();
    let open: Vec<_> = open.map(|fd| std::fs::read_link(fd.unwrap().path()).unwrap()).collect();
    let run = host.run_root();
    assert!(!open.iter().any(|file| file.starts_with(&run)), "{open:?}");
    assert!(!open.iter().any(|file| file.to_string_lossy().starts_with("socket:")), "{open:?}");
    let title = std::fs::read_to_string(format!("/proc/{prober}/cmdline")).unwrap();
    assert!(title.starts_with("mydocker: health check of c\0"), "{title}");
    host.kill(monitor);
    assert!(!host.is_running("c"));
    host.mydocker(["start", "c"]);
    assert!(host.is_running("c"));
}

/// The resident memory of a process, in KiB.
fn resident_kib(pid: i32) -> u64 {
    let rollup = std::fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap();
    let line = rollup.lines().find(|line| line.starts_with("Rss:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

#[test]
fn a_monitor_with_a_health_check_uses_no_more_memory() {
    let host = Host::with_busybox();
    host.mydocker(["run", "-d", "--name", "plain", "--network", "none", "bb", "sleep", "1000"]);
    let flags = ["--health-interval", "1s"];
    run(&host, "checked", "yes | head -c 100000", &flags);
    host.mydocker(["wait", "--condition", "healthy", "checked"]);
    // To start the first probe, the monitor used a few pages of stack and heap.
    const MORE_KIB: u64 = 24;
    let (plain, checked) = (host.monitor("plain"), host.monitor("checked"));
    eventually("it sleeps between two probes", || {
        resident_kib(checked) <= resident_kib(plain) + MORE_KIB
    });
}
