//! The script for fish (fish-completions(1)): `complete` lines for commands, flags and operands.
//! A flag's line has the flag's help text. If `docker` leads to mydocker, the script completes
//! `docker` too. An alias must be defined before the script is read.

use super::source::{Names, Source, of_operands, of_value};
use super::{COMMANDS, MANAGEMENT, first_words, names, spellings};
use crate::cli::flag::FlagSpec;
use crate::cli::{flags_before, global, subcommands};

/// `__mydocker_next` prints the place of the first word after place `$argv[1]` that is neither a
/// flag nor the value of one of the flags that follow in `$argv`. `__mydocker_command` prints the
/// command as typed so far: at most two words, without the flags before them.
const FUNCTIONS: &str = "\
function __mydocker_next
    set -l words (commandline -opc)
    set -l at (math $argv[1] + 1)
    while test $at -le (count $words)
        if contains -- $words[$at] $argv[2..]
            set at (math $at + 2)
        else if string match -q -- '-*' $words[$at]
            set at (math $at + 1)
        else
            break
        end
    end
    echo $at
end
function __mydocker_command
    set -l words (commandline -opc)
    set -l at (__mydocker_next 1 $__mydocker_valued)
    set -l first \"$words[$at]\"
    if contains -- \"$first\" $__mydocker_management
        set -l valued __mydocker_valued_$first
        set at (__mydocker_next $at $$valued)
        echo (string trim -- \"$first $words[$at]\")
    else
        echo $first
    end
end
function __mydocker_typed
    for word in (commandline -opc)[3..]
        contains -- $word $argv; and return
    end
    return 1
end
function __mydocker_is
    contains -- \"$(__mydocker_command)\" $argv
end
";

/// fish ships completions for Docker's own `docker`. If an alias or a link `docker` leads to
/// mydocker, the script erases these completions. fish can erase only completions that are loaded,
/// so the script loads them first.
const DOCKER: &str = "\
set -l docker (path resolve (command -s docker) | path basename)
if test \"$docker\" = mydocker; or functions docker 2>/dev/null | string match -q '*--wraps=mydocker*'
    complete -C 'docker ' >/dev/null
    complete -c docker -e
    complete -c docker -w mydocker
end
";

/// Returns the script that `completion fish` prints.
pub fn script() -> String {
    let globals = global::MYDOCKER.specs();
    let mut out = String::from(
        "# fish completion for mydocker; load it with: mydocker completion fish | source\n",
    );
    out += &format!("set -g __mydocker_valued {}\n", spellings(&globals, true).join(" "));
    out += &format!("set -g __mydocker_management {}\n", MANAGEMENT.join(" "));
    out += FUNCTIONS;
    out += "complete -c mydocker -e\ncomplete -c mydocker -f\n";
    for word in first_words() {
        let about = COMMANDS.iter().find(|command| command.name == word);
        let about = about.map_or("", |command| command.summary);
        line(&mut out, "''", &format!("-a {} -d {}", quoted(word), quoted(about)));
    }
    for management in MANAGEMENT {
        let words = subcommands(management).join(" ");
        line(&mut out, management, &format!("-a {}", quoted(&words)));
        let flags = flags_before(management);
        let valued = spellings(&flags, true).join(" ");
        out += &format!("set -g __mydocker_valued_{management} {valued}\n");
        for flag in flags {
            push_flag(&mut out, management, flag, &Source::Files);
        }
    }
    for flag in &globals {
        push_flag(&mut out, "''", flag, &of_value(&global::MYDOCKER, flag));
    }
    for command in COMMANDS {
        let typed: Vec<String> = names(command).iter().map(|name| quoted(name)).collect();
        let typed = typed.join(" ");
        for flag in command.specs() {
            push_flag(&mut out, &typed, flag, &of_value(command, flag));
        }
        match of_operands(command) {
            Source::Nothing => {}
            Source::Files => line(&mut out, &typed, "-F"),
            source => line(&mut out, &typed, &format!("-a {}", arguments(&source))),
        }
    }
    out += DOCKER;
    out
}

fn line(out: &mut String, typed: &str, rest: &str) {
    out.push_str(&format!(
        "complete -c mydocker -n {} {rest}\n",
        quoted(&format!("__mydocker_is {typed}"))
    ));
}

fn push_flag(out: &mut String, typed: &str, flag: &FlagSpec, source: &Source) {
    let mut words = format!("-l {}", flag.long);
    if let Some(short) = flag.short {
        words += &format!(" -s {short}");
    }
    for spelling in flag.also {
        match spelling.strip_prefix("--") {
            Some(long) => words += &format!(" -l {long}"),
            None => words += &format!(" -o {}", spelling.trim_start_matches('-')),
        }
    }
    words += &format!(" -d {}", quoted(flag.doc));
    match source {
        _ if flag.value.is_none() => {}
        Source::Files | Source::Nothing => words += " -rF",
        Source::NamesOrFiles(_) => words += &format!(" -rF -a {}", arguments(source)),
        source => words += &format!(" -x -a {}", arguments(source)),
    }
    line(out, typed, &words);
}

fn arguments(source: &Source) -> String {
    match source {
        Source::Names(names) | Source::NamesOrFiles(names) => quoted(&words(names)),
        Source::After { marks, then, before } => quoted(&format!(
            "(if __mydocker_typed {}; {}; else; {}; end)",
            words(marks),
            lines(then),
            lines(before)
        )),
        Source::Files | Source::Nothing => "''".to_owned(),
    }
}

/// Returns the names as words for fish.
fn words(names: &Names) -> String {
    let calls = names.calls.iter().map(|call| format!("(mydocker {call} 2>/dev/null)"));
    names.words.iter().cloned().chain(calls).collect::<Vec<_>>().join(" ")
}

/// Returns commands that print the names, one a line.
fn lines(names: &Names) -> String {
    let words = names.words.iter().map(|word| format!("echo {word}"));
    let calls = names.calls.iter().map(|call| format!("mydocker {call} 2>/dev/null"));
    words.chain(calls).collect::<Vec<_>>().join("; ")
}

/// Quotes the text as one word for fish.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\\', "\\\\").replace('\'', "\\'"))
}
