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

/// zsh completes only what is typed on a terminal: `zpty` makes one. Its `compadd`, which gets all
/// candidates, notes those that fit what is typed.
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

/// The last word of each of `lines` as `shell` would complete it by the script of `mydocker
/// completion`: all candidates. The script calls `mydocker`, which is the host's here.
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
        // Names alone: fish's own script for Docker offers ids too.
        ("start ", &["asleep"]),
        ("rm a", &["asleep", "awake"]),
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
    ];
    for (shell, status, pull) in [
        // bash takes what stands before the sign for another word, the others do not.
        ("bash", "paused", "always"),
        ("zsh", "status=paused", "--pull=always"),
        ("fish", "status=paused", "--pull=always"),
    ] {
        let own = [("ps --filter status=pau", &[status][..]), ("run --pull=al", &[pull])];
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
