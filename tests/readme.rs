//! What the README says of the binary is what the binary says of itself.

mod support;

use support::Host;

/// `(command, what it does)` of the overview that `help` prints.
fn told_by_help(help: &str) -> Vec<(String, String)> {
    let groups = help.lines().skip_while(|line| *line != "Run containers:");
    let groups = groups.take_while(|line| !line.starts_with("Flags before"));
    let rows = groups.filter_map(|line| line.strip_prefix("  ")).filter_map(|line| {
        let (command, what) = line.split_once("  ")?;
        Some((command.to_owned(), what.trim().to_owned()))
    });
    rows.collect()
}

/// The rows of the README's table of commands.
fn told_by_readme(readme: &str) -> Vec<(String, String)> {
    let table = readme.lines().skip_while(|line| *line != "## Commands").skip(1);
    let table = table.take_while(|line| !line.starts_with("## "));
    let rows = table.filter_map(|line| {
        let (command, what) = line.strip_prefix("| `")?.strip_suffix(" |")?.split_once("` | ")?;
        Some((command.to_owned(), what.to_owned()))
    });
    rows.collect()
}

#[test]
fn the_readme_lists_the_commands_that_help_lists() {
    let host = Host::with_busybox();
    let help = told_by_help(&host.mydocker(["help"]).text());
    assert!(help.len() > 20, "help lists hardly anything: {help:?}");
    assert_eq!(told_by_readme(include_str!("../README.md")), help);
}

/// Whether `printed` is `pasted`, in which `…` stands for any text, and a line of it alone for any
/// lines.
fn is_as_pasted(printed: &[&str], pasted: &[&str]) -> bool {
    let Some((first, rest)) = pasted.split_first() else { return printed.is_empty() };
    if *first == "…" {
        return (1..=printed.len()).any(|count| is_as_pasted(&printed[count..], rest));
    }
    let Some((line, others)) = printed.split_first() else { return false };
    let same = match first.split_once('…') {
        Some((before, after)) => line.starts_with(before) && line.ends_with(after),
        None => line == first,
    };
    same && is_as_pasted(others, rest)
}

/// The commands of the `console` blocks, each with the output below it.
fn pasted(readme: &str) -> Vec<(&str, Vec<&str>)> {
    let mut commands: Vec<(&str, Vec<&str>)> = Vec::new();
    let mut is_inside = false;
    for line in readme.lines() {
        match (line.starts_with("```"), line.strip_prefix("$ ")) {
            (true, _) => is_inside = line == "```console",
            (false, Some(command)) if is_inside => commands.push((command, Vec::new())),
            (false, _) if is_inside => commands.last_mut().unwrap().1.push(line),
            _ => {}
        }
    }
    commands
}

#[test]
fn the_chinese_tour_prints_what_it_says() {
    let host = Host::on_machine();
    let (directory, path) = (host.scratch(), host.path_with_mydocker());
    let commands = pasted(include_str!("../README.zh-CN.md"));
    assert!(commands.len() > 20, "{commands:?}");
    for (command, expected) in commands {
        let mut shell = std::process::Command::new("sh");
        shell.args(["-c", command]).current_dir(&directory).env("PATH", &path);
        let printed = support::run_command(shell).text();
        let printed: Vec<&str> = printed.lines().collect();
        assert!(is_as_pasted(&printed, &expected), "{command}: {printed:#?}, not {expected:#?}");
    }
}

/// The last word of `line` as `shell` would complete it, one candidate on each line, by the script
/// of `mydocker completion`. The script calls `mydocker`, which is the host's here.
fn completed(host: &Host, shell: &str, line: &str) -> Vec<String> {
    let directory = host.scratch();
    let script = host.mydocker(["completion", shell]).text();
    let file = host.file(&format!("completion.{shell}"), script);
    let file = file.display();
    let program = match shell {
        "fish" => format!("alias docker=mydocker\nsource {file}\ncomplete -C \"{line}\""),
        _ => format!(
            "alias docker=mydocker; source {file}; COMP_LINE=\"{line}\" COMP_POINT=${{#COMP_LINE}}; \
             COMP_POINT=${{#COMP_LINE}}; complete -p docker >&2 || exit 1; _mydocker; \
             printf '%s\\n' \"${{COMPREPLY[@]}}\""
        ),
    };
    let done = std::process::Command::new(shell)
        .args(["-c", &program])
        .env("PATH", host.path_with_mydocker())
        .env("HOME", &directory)
        .output()
        .unwrap();
    assert!(done.status.success(), "{shell}: {}", String::from_utf8_lossy(&done.stderr));
    let words = String::from_utf8(done.stdout).unwrap();
    let words = words.lines().map(|line| line.split('\t').next().unwrap_or_default().to_owned());
    let mut words: Vec<String> = words.filter(|word| !word.is_empty()).collect();
    words.sort_unstable();
    words
}

#[test]
fn values_and_operands_complete_in_bash_and_fish_under_an_alias_too() {
    let host = Host::with_busybox();
    let run = |name: &str| {
        ["run", "-d", "--name", name, "--network", "none", "bb", "sleep", "1000"].map(str::to_owned)
    };
    for name in ["awake", "asleep"] {
        host.mydocker(run(name)).text();
    }
    host.mydocker(["kill", "asleep"]).text();
    host.mydocker(["wait", "asleep"]).text();
    host.mydocker(["volume", "create", "vault"]).text();
    for shell in ["bash", "fish"] {
        for (typed, expected) in [
            ("stop a", &["awake"][..]),
            ("start a", &["asleep"]),
            // Names alone: fish's own script for Docker offers ids too.
            ("start ", &["asleep"]),
            ("rm a", &["asleep", "awake"]),
            ("run --restart un", &["unless-stopped"]),
            ("run --cap-add NET_A", &["NET_ADMIN"]),
            ("kill -s WIN", &["WINCH"]),
            ("container stop a", &["awake"]),
            ("volume rm va", &["vault"]),
            ("completion fi", &["fish"]),
            ("expl", &["explain"]),
            ("run --pull-not-there", &[]),
        ] {
            for name in ["mydocker", "docker"] {
                let line = format!("{name} {typed}");
                assert_eq!(completed(&host, shell, &line), expected, "{shell}: {line}");
            }
        }
    }
    // bash takes what stands before the sign for another word, fish does not.
    assert_eq!(completed(&host, "bash", "mydocker ps --filter status=pau"), ["paused"]);
    assert_eq!(completed(&host, "fish", "mydocker ps --filter status=pau"), ["status=paused"]);
    assert_eq!(completed(&host, "bash", "mydocker run --pull=al"), ["always"]);
}

#[test]
fn the_manual_page_has_no_warning() {
    let host = Host::new();
    let page = host.file("mydocker.1", host.mydocker(["man"]).text());
    let done = std::process::Command::new("mandoc")
        .args(["-T", "lint", "-W", "warning"])
        .arg(&page)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&done.stdout).into_owned();
    assert!(done.status.success() && said.is_empty(), "{said}");
}
