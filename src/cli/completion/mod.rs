//! The command `completion`: prints scripts for bash, zsh and fish, made from the tables of flags.
//!
//! A script contains the names and flags of every command. `source` decides what completes a value
//! or an operand: fixed words, files, or names that the script gets from mydocker at each
//! completion. `bash`, `zsh` and `fish` write these facts in the language of the shell. An alias
//! `docker` for mydocker is completed too.

mod bash;
mod fish;
mod source;
mod zsh;

use super::flag::{Command, FlagSpec, Group, Operand, spec};
use super::lifecycle::NO_FLAGS;
use super::output::print;
use super::{ALIASES, COMMANDS, MANAGEMENT, is_container_command};
use crate::order;

/// The command `completion`.
pub static COMPLETION: Command = Command {
    name: "completion",
    group: Group::Engine,
    usage: "bash|zsh|fish",
    summary: "Print a completion script for bash, zsh or fish",
    examples: &["source <(mydocker completion bash)", "mydocker completion fish | source"],
    operand: Operand::Nothing,
    operands: (1, 1),
    trailing: false,
    flags: |at| spec(NO_FLAGS, at),
    run: |call| {
        let (_, names) = call.parse(NO_FLAGS)?;
        match names[0].as_str() {
            "bash" => print(&bash::script())?,
            "zsh" => print(&zsh::script())?,
            "fish" => print(&fish::script())?,
            other => return call.refuse(format!("unknown shell '{other}'; known: bash zsh fish")),
        }
        Ok(0)
    },
};

/// If `with_value` is set, returns all spellings of the flags that take a value, otherwise those of
/// the switches.
fn spellings(flags: &[&'static FlagSpec], with_value: bool) -> Vec<String> {
    let chosen = flags.iter().filter(|flag| flag.value.is_some() == with_value);
    chosen.flat_map(|flag| spellings_of(flag)).collect()
}

fn spellings_of(flag: &FlagSpec) -> Vec<String> {
    let mut words = vec![format!("--{}", flag.long)];
    words.extend(flag.short.map(|short| format!("-{short}")));
    words.extend(flag.also.iter().map(|&spelling| spelling.to_owned()));
    words
}

/// The words that may follow the program's name.
fn first_words() -> Vec<&'static str> {
    let mut words: Vec<&str> =
        COMMANDS.iter().filter_map(|command| command.name.split(' ').next()).collect();
    words.extend(MANAGEMENT);
    order::sort(&mut words);
    words.dedup();
    words
}

/// The command's name and its other spellings, such as `image pull` and `container run`.
fn names(command: &Command) -> Vec<String> {
    let mut names = vec![command.name.to_owned()];
    let aliases = ALIASES.iter().filter(|(_, name, _)| *name == command.name);
    names.extend(aliases.map(|(typed, ..)| (*typed).to_owned()));
    if is_container_command(command) {
        names.push(format!("container {}", command.name));
    }
    order::sort(&mut names);
    names.dedup();
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_command_has_a_name_twice_and_every_name_leads_to_it() {
        for command in COMMANDS {
            for name in names(command) {
                let words: Vec<String> = name.split(' ').map(str::to_owned).collect();
                let found = crate::cli::find(&words).ok().map(|(found, _)| found.name);
                assert_eq!(found, Some(command.name), "{name}");
            }
        }
    }
}
