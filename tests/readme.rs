//! The commands in the README's `console` blocks print what the README shows.
//!
//! Other tests here check the README's table of commands, the completion scripts and the manual
//! page. `tests/docs.rs` tests the other documents.

mod support;

use support::machine::Side;
use support::{Host, Terminal};

/// The commands in the overview of `help`, each with its description.
fn commands_of_help(help: &str) -> Vec<(String, String)> {
    let groups = help.lines().skip_while(|line| *line != "Run containers:");
    let groups = groups.take_while(|line| !line.starts_with("Flags before"));
    let rows = groups.filter_map(|line| line.strip_prefix("  ")).filter_map(|line| {
        let (command, what) = line.split_once("  ")?;
        Some((command.to_owned(), what.trim().to_owned()))
    });
    rows.collect()
}

/// The commands in the README's table, each with its description.
fn commands_of_readme(readme: &str) -> Vec<(String, String)> {
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
    let help = commands_of_help(&host.mydocker(["help"]).text());
    assert!(help.len() > 20, "help lists hardly anything: {help:?}");
    assert_eq!(commands_of_readme(include_str!("../README.md")), help);
}

/// Whether `line` matches `pattern`, in which each `…` stands for any text.
fn is_like(line: &str, pattern: &str) -> bool {
    let Some((before, after)) = pattern.split_once('…') else { return line == pattern };
    let Some(rest) = line.strip_prefix(before) else { return false };
    let ends = rest.char_indices().map(|(at, _)| at).chain([rest.len()]);
    ends.into_iter().any(|at| is_like(&rest[at..], after))
}

/// Whether `printed` matches `pasted`, in which a line `…` stands for any lines.
fn is_as_pasted(printed: &[&str], pasted: &[&str]) -> bool {
    let Some((first, rest)) = pasted.split_first() else { return printed.is_empty() };
    if *first == "…" {
        return (0..=printed.len()).any(|count| is_as_pasted(&printed[count..], rest));
    }
    let Some((line, others)) = printed.split_first() else { return false };
    is_like(line, first) && is_as_pasted(others, rest)
}

/// The code blocks of a kind (`sh` or `console`), as lists of lines.
fn blocks<'a>(readme: &'a str, kind: &str) -> Vec<Vec<&'a str>> {
    let mut blocks: Vec<Vec<&str>> = Vec::new();
    let (mut is_inside, mut is_wanted) = (false, false);
    for line in readme.lines() {
        match line.strip_prefix("```") {
            Some(_) if is_inside => is_inside = false,
            Some(found) => {
                (is_inside, is_wanted) = (true, found == kind);
                if is_wanted {
                    blocks.push(Vec::new());
                }
            }
            None if is_inside && is_wanted => blocks.last_mut().unwrap().push(line),
            None => {}
        }
    }
    blocks
}

/// The commands of the `console` blocks, each with its output.
fn pasted(readme: &str) -> Vec<(&str, Vec<&str>)> {
    let mut commands: Vec<(&str, Vec<&str>)> = Vec::new();
    for line in blocks(readme, "console").concat() {
        match line.strip_prefix("$ ") {
            Some(command) => commands.push((command, Vec::new())),
            None => commands.last_mut().unwrap().1.push(line),
        }
    }
    commands
}

/// Runs the commands of a README in order on the host's machine, and compares their output with the
/// README's. A command with `-it` runs on a terminal on which `exit` is typed; its output is not
/// compared.
fn run_commands(host: &Host, readme: &str) {
    let (mut directory, path) = (host.scratch(), host.path_with_mydocker());
    let commands = pasted(readme);
    assert!(commands.len() > 20, "{commands:?}");
    for (command, expected) in commands {
        if let Some(below) = command.strip_prefix("cd ") {
            directory = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(below);
            continue;
        }
        let shell = |line: &str| {
            let mut shell = host.machine().command(Side::Here, &["sh", "-c", line]);
            shell.current_dir(&directory).env("PATH", &path);
            shell
        };
        if command.contains(" -it ") {
            let mut terminal =
                Terminal::spawn(&shell(&format!("cd {}; {command}", directory.display())));
            terminal.expect("# ");
            terminal.type_in("exit\n");
            assert_eq!(terminal.wait().0, 0, "{command}");
            continue;
        }
        if command.starts_with("curl") {
            // The server may still be starting.
            let answers = || shell(command).output().unwrap().status.success();
            support::eventually("the server answers", answers);
        }
        let printed = support::run_command(shell(command)).text();
        let printed: Vec<&str> = printed.lines().collect();
        assert!(is_as_pasted(&printed, &expected), "{command}: {printed:#?}, not {expected:#?}");
    }
}

#[test]
fn the_commands_of_the_chinese_readme_print_the_shown_output() {
    run_commands(&Host::on_machine(), include_str!("../README.zh-CN.md"));
}

/// The starts of the README's `sh` blocks, which are not run, each with the reason.
const NOT_RUN: [(&str, &str); 4] = [
    ("make test ", "this test is a part of it; the others take long and have tests of their own"),
    ("mydocker pull alpine ", "registries of the Internet; tests/registry has its own"),
    ("ln -s ", "it changes /usr/local of the machine; oci_engines.rs runs it elsewhere"),
    ("printf '::once", "it changes /etc of the machine; make test-hosts boots such a host"),
];

#[test]
fn the_commands_of_the_readme_print_the_shown_output() {
    let readme = include_str!("../README.md");
    let unrun = blocks(readme, "sh");
    let listed = |block: &Vec<&str>| NOT_RUN.iter().any(|(start, _)| block[0].starts_with(start));
    let missing: Vec<_> = unrun.iter().filter(|block| !listed(block)).collect();
    assert!(missing.is_empty() && unrun.len() == NOT_RUN.len(), "{missing:#?}");
    let host = Host::on_machine();
    // The images flask and redis get these scripts in place of the real programs, which take
    // minutes to install.
    for (image, program) in [("flask", "python3"), ("redis", "redis-server")] {
        let script = format!(
            "printf '#!/bin/sh\\nexec sleep 1000\\n' >/bin/{program}; chmod 755 /bin/{program}"
        );
        host.mydocker(["run", "--name", image, "--net", "none", "bb", "sh", "-c", &script]).text();
        host.mydocker(["commit", image, image]).text();
        host.mydocker(["rm", image]).text();
    }
    run_commands(&host, readme);
}

const BASH: &str = r#"
alias docker=mydocker
source ./completion.bash
complete -p docker >&2 || exit 1
while IFS= read -r COMP_LINE; do
    COMP_POINT=${#COMP_LINE} COMPREPLY=()
    _mydocker
    printf '%s\n' "${COMPREPLY[@]}" END
done <lines
"#;

const FISH: &str = r#"
alias docker=mydocker
source ./completion.fish
while read -l line
    complete -C "$line"
    echo END
end <lines
"#;

/// zsh completes only on a terminal, which `zpty` makes. The function `compadd` gets all
/// candidates, and writes those that fit the typed text to the file `found`.
const ZSH: &str = r#"
zmodload zsh/zpty
cat >init.zsh <<'INIT'
autoload -U compinit && compinit -u -D
alias docker=mydocker
source ./completion.zsh
compadd() {
    local -a fitting
    if [[ ${@[1,(i)(-|--)]} != *-(O|A|D)\ * ]]; then
        builtin compadd -O fitting "$@"
        (( $#fitting )) && print -rl -- $fitting >>found
    fi
    builtin compadd "$@"
}
finish() { zle complete-word; print END >>found; zle kill-buffer }
zle -N finish
bindkey '^I' finish
INIT
: >found
zpty terminal zsh -f -i
zpty -w terminal 'source ./init.zsh'
integer count=0
while IFS= read -r line; do
    zpty -w -n terminal "$line"$'\t'
    (( ++count ))
    until (( $(grep -cx END found) == count )); do sleep 0.01; done
done <lines
zpty -d terminal
cat found
"#;

/// For each of `lines`, all candidates with which `shell` would complete the last word, by the
/// script of `mydocker completion`. The script calls the mydocker of this host.
fn completed(host: &Host, shell: &str, lines: &[String]) -> Vec<Vec<String>> {
    let path = host.path_with_mydocker();
    host.file(&format!("completion.{shell}"), host.mydocker(["completion", shell]).text());
    host.file("lines", lines.iter().map(|line| format!("{line}\n")).collect::<String>());
    let program = match shell {
        "bash" => ["--norc", "-c", BASH],
        "zsh" => ["-f", "-c", ZSH],
        _ => ["--no-config", "-c", FISH],
    };
    let mut command = std::process::Command::new(shell);
    let directory = host.scratch();
    command.args(program).current_dir(&directory).env("PATH", path).env("HOME", directory);
    let text = support::run_command(command).text();
    let all = text.strip_suffix("END").unwrap_or(&text).split("END\n").map(|words| {
        let words = words.lines().map(|line| line.split('\t').next().unwrap_or_default());
        let mut words: Vec<String> =
            words.filter(|word| !word.is_empty()).map(str::to_owned).collect();
        words.sort_unstable();
        words.dedup();
        words
    });
    all.collect()
}

#[test]
fn values_and_operands_complete_in_three_shells_under_an_alias_too() {
    let host = Host::with_busybox();
    let run = |name: &str| {
        ["run", "-d", "--name", name, "--network", "none", "bb", "sleep", "1000"].map(str::to_owned)
    };
    for name in ["awake", "asleep", "frozen"] {
        host.mydocker(run(name)).text();
    }
    host.mydocker(["kill", "asleep"]).text();
    host.mydocker(["wait", "asleep"]).text();
    host.mydocker(["pause", "frozen"]).text();
    host.mydocker(["volume", "create", "vault"]).text();
    host.file("archive.tar", "");
    let cases = [
        ("stop a", &["awake"][..]),
        ("stop ", &["awake", "frozen"]),
        ("exec ", &["awake"]),
        ("unpause ", &["frozen"]),
        ("start a", &["asleep"]),
        // Only names are offered, no ids.
        ("start ", &["asleep"]),
        ("rm ", &["asleep"]),
        ("rm -f a", &["asleep", "awake"]),
        ("run -v va", &["vault:"]),
        ("network connect no", &["none"]),
        ("network connect --ip 10.0.0.9 none a", &["asleep", "awake"]),
        ("explain no", &["none"]),
        ("explain b", &["bb:latest", "bridge"]),
        ("explain aw", &["awake"]),
        ("run b", &["bb:latest"]),
        ("run --network ho", &["host"]),
        ("network inspect no", &["none"]),
        ("run --restart un", &["unless-stopped"]),
        ("run --cap-add NET_A", &["NET_ADMIN"]),
        ("kill -s WIN", &["WINCH"]),
        ("container stop a", &["awake"]),
        ("volume rm va", &["vault"]),
        ("completion fi", &["fish"]),
        ("expl", &["explain"]),
        ("load -i arch", &["archive.tar"]),
        ("run --pull-not-there", &[]),
        ("ps --filter iso", &["isolation=default"]),
        ("builder prune --filter u", &["until=", "unused-for="]),
        ("container pru", &["prune"]),
        ("compose eve", &["events"]),
        ("compose -f archive.tar -p shop eve", &["events"]),
        (
            "compose --file=archive.tar --compatibility up --abort-on-container-e",
            &["--abort-on-container-exit"],
        ),
        ("compose -f arch", &["archive.tar"]),
        ("compose --project-n", &["--project-name"]),
    ];
    for (shell, status, pull, joined) in [
        // bash completes only the part after `=` or `:`; zsh and fish complete the whole word.
        ("bash", "paused", "always", "awake"),
        ("zsh", "status=paused", "--pull=always", "container:awake"),
        ("fish", "status=paused", "--pull=always", "container:awake"),
    ] {
        let own = [
            ("ps --filter status=pau", &[status][..]),
            ("run --pull=al", &[pull]),
            ("run --pid container:aw", &[joined]),
        ];
        let cases: Vec<(String, &[&str])> = ["mydocker", "docker"]
            .into_iter()
            .flat_map(|name| {
                let cases = cases.iter().chain(&own);
                cases.map(move |(typed, expected)| (format!("{name} {typed}"), *expected))
            })
            .collect();
        let lines: Vec<String> = cases.iter().map(|(line, _)| line.clone()).collect();
        let found = completed(&host, shell, &lines);
        assert_eq!(found.len(), cases.len(), "{shell}: {found:?}");
        for ((line, expected), found) in cases.iter().zip(found) {
            assert_eq!(found, *expected, "{shell}: {line}");
        }
    }
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
