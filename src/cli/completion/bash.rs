//! The script for bash. One function finds the command among the words, then offers the command's
//! flags, values or operands. The script for zsh (`zsh`) calls the same function, so there is one
//! function to maintain. If an alias or a link `docker` leads to mydocker, the script completes
//! `docker` too.

use super::source::{Names, Source, of_operands, of_value};
use super::{COMMANDS, MANAGEMENT, first_words, names, spellings, spellings_of};
use crate::cli::flag::{Command, FlagSpec};
use crate::cli::{flags_before, global, subcommands};

/// bash splits words at `=` and `:`. So `_mydocker` splits the line again, only at spaces, and
/// `_mydocker_words` cuts the text up to the last `=` or `:` from each completion. zsh expects
/// whole words, and completes files itself if `_mydocker` offers nothing.
///
/// `_mydocker_next` moves `i` to the next word that is neither a flag nor the value of a flag in
/// `$1`. If no word before the cursor's word is of this kind, `_mydocker_next` completes the
/// cursor's word and fails. It completes the value of a flag in `$1` as a file, and other words
/// from `$2`.
const HEAD: &str = "\
_mydocker_words() {
    local before=${cur%\"${cur##*[=:]}\"}
    if [[ -n $ZSH_VERSION ]]; then
        COMPREPLY=($(compgen -P \"${words[last]%\"$cur\"}\" -W \"$1\" -- \"$cur\"))
        return
    fi
    COMPREPLY=($(compgen -W \"$1\" -- \"$cur\"))
    [[ ${#COMPREPLY[@]} == 1 && ${COMPREPLY[0]} == *[=:] ]] && compopt -o nospace 2>/dev/null
    COMPREPLY=(\"${COMPREPLY[@]#\"$before\"}\")
}

_mydocker_files() {
    [[ -n $ZSH_VERSION ]] || COMPREPLY=($(compgen -f -- \"$cur\"))
}

_mydocker_typed() {
    for ((i = i + 1; i < last; i++)); do
        [[ \" ${1//$'\\n'/ } \" == *\" ${words[i]} \"* ]] && return
    done
    return 1
}

_mydocker_next() {
    for ((i++; i < last; i++)); do
        if [[ $1 == *\" ${words[i]} \"* ]]; then ((i++))
        elif [[ ${words[i]} != -* ]]; then return 0; fi
    done
    if [[ $1 == *\" $previous \"* ]]; then _mydocker_files
    else COMPREPLY=($(compgen -W \"$2\" -- \"$cur\")); fi
    return 1
}

_mydocker() {
    local line=${COMP_LINE:0:$COMP_POINT} words last i=0
    local command flags='' valued='' cur previous
    set -f; words=($line); set +f
    [[ $line == *' ' ]] && words+=('')
    last=$((${#words[@]} - 1))
    cur=${words[last]} previous=${words[last - 1]}
    if [[ $cur == --*=* ]]; then previous=${cur%%=*} cur=${cur#*=}; fi
";

/// Registers the function with bash.
const TAIL: &str = "\
complete -o default -F _mydocker mydocker
if [[ $(alias docker 2>/dev/null) == *mydocker* ||
    $(readlink -f \"$(type -P docker)\" 2>/dev/null) == */mydocker ]]; then
    complete -o default -F _mydocker docker
fi
";

/// Returns the script that `completion bash` prints.
pub fn script() -> String {
    let head = "# bash completion for mydocker; load it with: source <(mydocker completion bash)\n";
    format!("{head}{}{TAIL}", functions())
}

/// Returns the function `_mydocker` and the functions that `_mydocker` calls.
pub fn functions() -> String {
    let mut out = String::from(HEAD);
    let find = |flags: &[&'static FlagSpec], offered: &[&str]| {
        format!(
            "_mydocker_next ' {} ' '{} {} {} --help' || return",
            spellings(flags, true).join(" "),
            offered.join(" "),
            spellings(flags, true).join(" "),
            spellings(flags, false).join(" ")
        )
    };
    out.push_str(&format!("    {}\n", find(&global::MYDOCKER.specs(), &first_words())));
    out.push_str("    command=${words[i]}\n    case $command in\n");
    for management in MANAGEMENT {
        out.push_str(&format!(
            "    {management})\n        \
                 {}\n        \
                 command=\"$command ${{words[i]}}\"\n        ;;\n",
            find(&flags_before(management), &subcommands(management))
        ));
    }
    out.push_str("    esac\n    case $command in\n");
    for command in COMMANDS {
        let flags = command.specs();
        let valued = spellings(&flags, true).join(" ");
        let pattern = patterns(command);
        out.push_str(&format!(
            "    {pattern})\n        valued=' {valued} '\n        flags='{valued} {} --help'\n",
            spellings(&flags, false).join(" ")
        ));
        let mut cases = String::new();
        for flag in flags.iter().filter(|flag| flag.value.is_some()) {
            let source = of_value(command, flag);
            if source != Source::Files {
                let spelled = spellings_of(flag).join("|");
                cases.push_str(&format!("        {spelled}) {}; return ;;\n", action(&source)));
            }
        }
        if !cases.is_empty() {
            out.push_str(&format!("        case $previous in\n{cases}        esac\n"));
        }
        out.push_str("        ;;\n");
    }
    out.push_str(
        "    esac\n    \
         if [[ $valued == *\" $previous \"* ]]; then _mydocker_files; return; fi\n    \
         if [[ $cur == -* ]]; then COMPREPLY=($(compgen -W \"$flags\" -- \"$cur\")); return; fi\n    \
         case $command in\n",
    );
    for command in COMMANDS {
        let action = action(&of_operands(command));
        out.push_str(&format!("    {}) {action} ;;\n", patterns(command)));
    }
    out.push_str("    esac\n}\n");
    out
}

/// Returns the shell command that offers the completions of a source.
fn action(source: &Source) -> String {
    match source {
        Source::Nothing => ":".to_owned(),
        Source::Files => "_mydocker_files".to_owned(),
        // If no name matches, the shell completes files itself (`-o default`), so `Names` and
        // `NamesOrFiles` are alike here.
        Source::Names(names) | Source::NamesOrFiles(names) => offer(names),
        Source::After { marks, then, before } => format!(
            "if _mydocker_typed {}; then {}; else {}; fi",
            words(marks),
            offer(then),
            offer(before)
        ),
    }
}

fn offer(names: &Names) -> String {
    format!("_mydocker_words {}", words(names))
}

/// Returns the names as one word for the shell.
fn words(names: &Names) -> String {
    let mut text = names.words.join(" ");
    if names.calls.is_empty() {
        return format!("'{text}'");
    }
    for call in &names.calls {
        text.push_str(&format!(" $(mydocker {call} 2>/dev/null)"));
    }
    format!("\"{}\"", text.trim_start())
}

/// The command's names as a pattern of `case`.
fn patterns(command: &Command) -> String {
    let quoted: Vec<String> = names(command).iter().map(|name| format!("'{name}'")).collect();
    quoted.join(" | ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_script_holds_every_command_and_flag() {
        let script = script();
        for command in COMMANDS {
            assert!(script.contains(&patterns(command)), "{}", command.name);
            for flag in command.specs() {
                assert!(script.contains(&format!("--{}", flag.long)), "--{}", flag.long);
            }
        }
    }
}
