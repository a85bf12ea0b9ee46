//! The progress that a build shows on a terminal and elsewhere, and how a signal ends a build.
//!
//! The tests read the output from a pseudo-terminal, or from a pipe if the build has no terminal. A
//! signal may arrive at any step, so several moments are tested.

mod support;

use std::time::Duration;

use rustix::process::Signal;
use support::{Host, Terminal};

fn build(host: &Host, dockerfile: &str, flags: &[&str]) -> Vec<String> {
    let directory = host.directory("context", &[("Dockerfile", dockerfile)]);
    let context = directory.to_str().unwrap().to_owned();
    let flags = ["build", "--no-cache"].iter().chain(flags).map(|flag| (*flag).to_owned());
    flags.chain([context]).collect()
}

#[test]
fn a_terminal_shows_each_step_in_place() {
    let host = Host::with_busybox();
    let dockerfile = "FROM bb\nRUN i=0; until [ $i = 40 ]; do echo line-$i; i=$((i+1)); done; sleep 1\n\
        RUN printf '\\033[2Jwild\\n'\n";
    for flags in [&[][..], &["--progress=tty"], &["--progress=auto"]] {
        let mut terminal = host.terminal(build(&host, dockerfile, flags));
        terminal.expect("[+] Building ");
        terminal.expect(" => => # 0.");
        terminal.expect("line-39");
        // The new lines are drawn over the former ones.
        terminal.expect("A\x1b[J[+] Building ");
        terminal.expect(" (4/4) FINISHED");
        let (status, shown) = terminal.wait();
        assert_eq!(status, 0);
        assert!(shown.contains(" => [2/3] RUN i=0; until") && !shown.contains("line-3"), "{shown}");
        assert!(!shown.contains("\x1b[2J"), "{shown}");
        assert!(shown.lines().all(|line| !line.starts_with('#')), "{shown}");
    }
}

#[test]
fn a_terminal_shows_the_output_of_a_failed_step() {
    let host = Host::with_busybox();
    let args = build(&host, "FROM bb\nRUN echo because; exit 3\n", &[]);
    let mut terminal = host.terminal(args);
    terminal.expect(" => ERROR [2/2] RUN echo because");
    let (status, shown) = terminal.wait();
    assert_eq!(status, 1);
    let order = ["------\r\n > [2/2] RUN", " because\r\n------", "   2 | >>> RUN", "exit status 3"];
    let at: Vec<_> = order.iter().map(|part| shown.find(part)).collect();
    assert!(at.is_sorted() && at[0].is_some(), "{at:?} {shown}");
}

#[test]
fn a_failed_pull_and_a_failed_export_are_marked() {
    let host = Host::with_busybox();
    let copy = build(&host, "FROM bb\nCOPY --from=127.0.0.1:1/none /a /b\n", &[]);
    let log = host.mydocker(copy).exits(1).stderr_has("#2 [--from] 127.0.0.1:1/none\n");
    log.stderr_has("\n#2 ERROR: ");
    let file = host.file("file", "").to_str().unwrap().to_owned();
    for (flag, title) in [
        ("--cache-to=type=local,dest=FILE/below", "exporting the cache"),
        ("--output=type=local,dest=FILE/below", "exporting the files"),
        ("--output=type=tar,dest=FILE/below", "exporting the files"),
        ("--output=type=oci,dest=FILE/below", "exporting an archive"),
    ] {
        let args = build(&host, "FROM bb\n", &[&flag.replace("FILE", &file)]);
        let log = host.mydocker(args).exits(1).stderr_text();
        let step = log.lines().find_map(|line| line.strip_suffix(title)).unwrap();
        assert!(log.contains(&format!("\n{step}ERROR: ")), "{log}");
    }
}

#[test]
fn without_a_terminal_the_lines_are_plain() {
    let host = Host::with_busybox();
    let dockerfile = "FROM bb\nRUN echo hello\n";
    let plain = |mut terminal: Terminal| {
        terminal.expect("#2 [2/2] RUN echo hello");
        terminal.expect(" hello");
        let (status, shown) = terminal.wait();
        assert!(status == 0 && !shown.contains('\x1b'), "{shown}");
    };
    plain(host.terminal(build(&host, dockerfile, &["--progress=plain"])));
    for (name, value) in [("NO_COLOR", "1"), ("TERM", "dumb")] {
        let mut command = host.command(build(&host, dockerfile, &[]));
        command.env(name, value);
        plain(Terminal::spawn(&command));
    }
    // Without a terminal, --progress=tty prints the same plain lines.
    let done = host.mydocker(build(&host, dockerfile, &["--progress=tty"]));
    done.stderr_has("#2 [2/2] RUN echo hello\n").stderr_has("\n#2 DONE ");
    let quiet = host.mydocker(build(&host, dockerfile, &["--progress=quiet"])).stderr("").text();
    assert!(quiet.starts_with("sha256:"), "{quiet}");
}

#[test]
fn a_key_on_the_terminal_ends_a_build_and_leaves_nothing() {
    let host = Host::with_busybox();
    let mut terminal = host.terminal(build(&host, "FROM bb\nRUN echo r''uns; sleep 1000\n", &[]));
    terminal.expect("runs");
    terminal.type_in("\x03");
    terminal.expect("the build was interrupted by SIGINT");
    assert_eq!(terminal.wait().0, 130);
    host.nothing_of_builds_is_left();
}

#[test]
fn a_signal_ends_a_build_wherever_it_is() {
    let host = Host::with_busybox();
    for (signal, status) in [(Signal::INT, 130), (Signal::TERM, 143), (Signal::HUP, 129)] {
        // The build waits for a Dockerfile on stdin.
        let build = host.background(["build", "-"]);
        support::eventually("the build has a workplace", || {
            let names = std::fs::read_dir(host.state_root().join("containers")).unwrap().flatten();
            names
                .map(|entry| entry.file_name().into_string().unwrap())
                .any(|name| name.starts_with(".build-"))
        });
        build.signal(signal);
        build.wait().exits(status).stderr_has("the build was interrupted by SIG");
        host.nothing_of_builds_is_left();
        // The build waits for a server during ADD.
        let args = build_that_waits_for_a_server(&host);
        let mut build = host.background(args);
        build.expect_error("ADD");
        build.signal(signal);
        build.wait().exits(status).stderr_has("the build was interrupted by SIG");
        host.nothing_of_builds_is_left();
    }
    // The layer that was complete before the signal stays in the cache.
    let directory =
        host.directory("context", &[("Dockerfile", "FROM bb\nRUN echo 1 >/one\nRUN sleep 1000\n")]);
    let args = ["build", directory.to_str().unwrap()];
    let mut build = host.background(args);
    build.expect_error("sleep 1000");
    build.signal(Signal::TERM);
    build.wait().exits(143);
    let done = host.mydocker(["build", "--target", "x", args[1]]);
    done.exits(1);
    std::fs::write(directory.join("Dockerfile"), "FROM bb\nRUN echo 1 >/one\n").unwrap();
    host.mydocker(args).stderr_has("#2 CACHED");
}

/// Returns the arguments of a build whose ADD waits for a server that never answers.
fn build_that_waits_for_a_server(host: &Host) -> Vec<String> {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/f", listener.local_addr().unwrap());
    // Keep the listener open until the test's process ends.
    std::mem::forget(listener);
    build(host, &format!("FROM bb\nRUN echo ADD\nADD {url} /f\n"), &[])
}

#[test]
fn a_second_signal_ends_the_cleaning_up_too() {
    let host = Host::with_busybox();
    let mut build =
        host.background(build(&host, "FROM bb\nRUN echo 1 >/one\nRUN echo up; sleep 1000\n", &[]));
    build.expect_error(" up");
    // The clean-up keeps the layer of the first step, and waits for this lock to add it.
    let lock = std::fs::File::open(host.state_root().join("images/.lock")).unwrap();
    lock.lock().unwrap();
    build.signal(Signal::INT);
    std::thread::sleep(Duration::from_millis(500));
    build.signal(Signal::INT);
    let story = build.wait().exits(130).stderr_text();
    assert!(!story.contains("interrupted"), "{story}");
    drop(lock);
    // The next build finishes the clean-up.
    host.feed("FROM bb\n", ["build", "-"]);
    host.nothing_of_builds_is_left();
}

/// nohup(1) makes the build ignore SIGHUP, so the build continues after the terminal has closed.
#[test]
fn a_build_under_nohup_outlives_its_terminal() {
    let host = Host::with_busybox();
    let args = build(&host, "FROM bb\nRUN echo up; sleep 1; echo then\n", &["-t", "x"]);
    let inner = host.command(&args);
    let mut nohup = std::process::Command::new("nohup");
    nohup.arg(inner.get_program()).args(inner.get_args());
    let mut build = support::Background::spawn(nohup);
    build.expect_error(" up");
    build.signal(Signal::HUP);
    build.wait().stderr_has(" then");
    host.mydocker(["run", "--rm", "x", "true"]);
}
