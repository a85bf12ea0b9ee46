//! `completion`: scripts for bash and zsh, written from the tables.
//!
//! The script holds the words of every command; names of containers, images and volumes are asked
//! of mydocker itself when the key is pressed.

use super::COMMANDS;
use super::flag::{Command, FlagSpec, Group, Operand, specs};
use super::global;
use super::lifecycle::NO_FLAGS;
use super::output::print;

/// The command `completion`.
pub static COMPLETION: Command = Command {
    name: "completion",
    group: Group::Engine,
    usage: "bash|zsh",
    summary: "Print a completion script for bash or zsh",
    examples: &["source <(mydocker completion bash)"],
    operand: Operand::Nothing,
    operands: (1, 1),
    trailing: false,
    flags: || specs(NO_FLAGS),
    run: |call| {
        let (_, names) = call.parse(NO_FLAGS)?;
        match names[0].as_str() {
            "bash" => print(&bash())?,
            "zsh" => print(&zsh())?,
            other => return call.refuse(format!("unknown shell '{other}'; known: bash zsh")),
        }
        Ok(0)
    },
};

/// All spellings of flags, those with a value first; `None` for the second list's switches.
fn spellings(flags: &[&'static FlagSpec], with_value: bool) -> String {
    let mut words = Vec::new();
    for flag in flags.iter().filter(|flag| flag.value.is_some() == with_value) {
        words.push(format!("--{}", flag.long));
        words.extend(flag.short.map(|short| format!("-{short}")));
        words.extend(flag.also.iter().map(|&spelling| spelling.to_owned()));
    }
    words.join(" ")
}

/// The function that offers what a command's operands name.
fn operand_action(operand: Operand) -> &'static str {
    match operand {
        Operand::Nothing => ":",
        Operand::Container => "_mydocker_names ps -a --format '{{.Names}}'",
        Operand::Image => "_mydocker_names images --format '{{.Repository}}:{{.Tag}}'",
        Operand::Volume => "_mydocker_names volume ls -q",
        Operand::Network => "_mydocker_names network ls -q",
        Operand::File => "COMPREPLY=($(compgen -f -- \"$cur\"))",
        Operand::Command => "COMPREPLY=($(compgen -W \"$commands\" -- \"$cur\"))",
    }
}

fn first_words() -> Vec<&'static str> {
    let mut words: Vec<&str> =
        COMMANDS.iter().filter_map(|command| command.name.split(' ').next()).collect();
    words.extend(super::MANAGEMENT);
    words.sort_unstable();
    words.dedup();
    words
}

fn bash() -> String {
    let globals = specs(global::FLAGS);
    let mut out = String::from(
        "# bash completion for mydocker; load it with: source <(mydocker completion bash)\n\
         _mydocker_names() {\n    \
             COMPREPLY=($(compgen -W \"$(mydocker \"$@\" 2>/dev/null)\" -- \"$cur\"))\n    \
             if declare -F __ltrim_colon_completions >/dev/null; then __ltrim_colon_completions \"$cur\"; fi\n\
         }\n\n\
         _mydocker() {\n    \
             local cur=${COMP_WORDS[COMP_CWORD]} command='' flags='' valued='' word i skip=0\n",
    );
    out.push_str(&format!("    local commands='{}'\n", first_words().join(" ")));
    out.push_str(&format!(
        "    local global_valued=' {} ' globals='{} {} --help'\n",
        spellings(&globals, true),
        spellings(&globals, true),
        spellings(&globals, false)
    ));
    // The command is the first word that is neither a flag nor a flag's value.
    out.push_str(
        "    for ((i = 1; i < COMP_CWORD; i++)); do\n        \
             word=${COMP_WORDS[i]}\n        \
             if ((skip)); then skip=0; continue; fi\n        \
             if [[ $word == -* ]]; then\n            \
                 [[ $global_valued == *\" $word \"* ]] && skip=1\n            \
                 continue\n        \
             fi\n        \
             command=$word\n        \
             break\n    \
         done\n",
    );
    out.push_str("    case $command in\n");
    for management in super::MANAGEMENT {
        let words = super::subcommands(management).join(" ");
        out.push_str(&format!(
            "    {management})\n        \
                 if ((COMP_CWORD == i + 1)); then COMPREPLY=($(compgen -W '{words}' -- \"$cur\")); return; fi\n        \
                 command=\"$command ${{COMP_WORDS[i + 1]}}\"\n        \
                 ((i++))\n        ;;\n"
        ));
    }
    out.push_str("    esac\n    case $command in\n    '')\n");
    out.push_str(
        "        COMPREPLY=($(compgen -W \"$commands $globals\" -- \"$cur\"))\n        \
         return\n        ;;\n",
    );
    for command in COMMANDS {
        let flags = (command.flags)();
        let valued = spellings(&flags, true);
        let pattern = patterns(command);
        out.push_str(&format!(
            "    {pattern})\n        valued=' {valued} '\n        flags='{valued} {} --help'\n        ;;\n",
            spellings(&flags, false)
        ));
    }
    out.push_str(
        "    esac\n    \
         if [[ $valued == *\" ${COMP_WORDS[COMP_CWORD - 1]} \"* ]]; then COMPREPLY=($(compgen -f -- \"$cur\")); return; fi\n    \
         if [[ $cur == -* ]]; then COMPREPLY=($(compgen -W \"$flags\" -- \"$cur\")); return; fi\n    \
         case $command in\n",
    );
    for command in COMMANDS {
        if command.name == "completion" {
            out.push_str("    completion) COMPREPLY=($(compgen -W 'bash zsh' -- \"$cur\")) ;;\n");
            continue;
        }
        out.push_str(&format!(
            "    {}) {} ;;\n",
            patterns(command),
            operand_action(command.operand)
        ));
    }
    out.push_str("    esac\n}\ncomplete -o default -F _mydocker mydocker\n");
    out
}

/// The command's name and its management spellings, as a pattern of `case`.
fn patterns(command: &Command) -> String {
    let mut names = vec![format!("'{}'", command.name)];
    for (typed, name, _) in super::ALIASES {
        if *name == command.name {
            names.push(format!("'{typed}'"));
        }
    }
    if super::is_container_command(command) {
        names.push(format!("'container {}'", command.name));
    }
    names.sort_unstable();
    names.dedup();
    names.join(" | ")
}

/// zsh reads the bash script by its own bridge, so that there is one script to keep right.
fn zsh() -> String {
    format!(
        "#compdef mydocker\n\
         # zsh completion for mydocker; load it with: source <(mydocker completion zsh)\n\
         autoload -U +X compinit && compinit -u\n\
         autoload -U +X bashcompinit && bashcompinit\n{}",
        bash()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_script_holds_every_command_and_flag() {
        let script = bash();
        for command in COMMANDS {
            assert!(script.contains(&patterns(command)), "{}", command.name);
            for flag in (command.flags)() {
                assert!(script.contains(&format!("--{}", flag.long)), "--{}", flag.long);
            }
        }
        assert!(zsh().contains(&script));
    }
}
