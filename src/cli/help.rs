//! `help` and `--help`: print the overview or a command's page. The overview and the pages come
//! from the tables that the parser uses, so a flag cannot be missing from its page. Unit tests
//! limit lines to 100 columns in the overview and to 110 in a page. `man` writes the manual page.

use super::COMMANDS;
use super::flag::{Category, Command, FlagSpec, Group, MANY, Operand, spec};
use super::global;
use super::lifecycle::NO_FLAGS;
use super::output::print;
use super::{Invocation, Outcome, find};
use crate::error::Result;

/// The command `help`.
pub static HELP: Command = Command {
    name: "help",
    group: Group::Engine,
    usage: "[COMMAND]",
    summary: "Print this page, or the help of a command",
    examples: &[],
    operand: Operand::Command,
    operands: (0, MANY),
    trailing: false,
    flags: |at| spec(NO_FLAGS, at),
    run: |call: &Invocation| {
        let (_, words) = call.parse(NO_FLAGS)?;
        match words.as_slice() {
            [] => print_overview(),
            [management] if super::MANAGEMENT.contains(&management.as_str()) => {
                print_management(management, &super::subcommands(management))?;
                Ok(0)
            }
            words => print_command(find(words)?.0),
        }
    },
};

/// `mydocker help`: prints the overview.
pub fn print_overview() -> Outcome {
    print(&overview())?;
    Ok(0)
}

fn overview() -> String {
    let mut out = String::from(
        "mydocker runs containers: one binary, no daemon.\n\n\
         Usage: mydocker [FLAGS] COMMAND [ARG…]\n\n\
         Try it:\n  \
         mydocker run hello                                    a first container, built in\n  \
         mydocker import rootfs.tar.gz base                    any root file system is an image\n  \
         mydocker run --rm -it base sh                         a shell in it, removed at exit\n  \
         mydocker run -d --name web -m 256m base httpd -f      in the background, with a limit\n  \
         mydocker exec -it web sh                              look around inside\n",
    );
    let alone = COMMANDS.iter().filter(|command| command.group != Group::Compose);
    let width = alone.map(|command| command.name.len()).max().unwrap_or(0);
    for group in Group::ALL {
        let mut of_it = COMMANDS.iter().filter(|command| command.group == group).peekable();
        if of_it.peek().is_some() {
            out.push_str(&format!("\n{}:\n", group.heading()));
        }
        if group == Group::Compose {
            // One line stands for all commands of `compose`: most do for services what the command
            // of the same name does for containers.
            of_it.by_ref().take(1).for_each(|_| {
                out.push_str(&format!("  {:width$}  {COMPOSE}\n", "compose"));
            });
            continue;
        }
        for command in of_it {
            out.push_str(&format!("  {:width$}  {}\n", command.name, command.summary));
        }
    }
    out.push_str("\nFlags before the command:\n");
    push_flags(&mut out, &global::MYDOCKER.specs());
    out.push_str(
        "\nRun 'mydocker COMMAND --help' for the flags of a command. Docker's longer spellings\n\
         (container ls, image rm …) work too. 'mydocker man' prints the manual page.\n",
    );
    out
}

/// The line of the overview that stands for all commands of `compose`.
const COMPOSE: &str = "Run the services of a compose file: up, down, ps, logs … (compose --help)";

/// Prints the help of a management word, such as `mydocker volume --help`: the subcommands. For
/// `compose`, also prints each subcommand's summary and the flags before a subcommand.
pub fn print_management(word: &str, subcommands: &[&str]) -> Result<()> {
    let own: Vec<&&Command> = COMMANDS
        .iter()
        .filter(|command| command.group == Group::Compose && word == "compose")
        .collect();
    if !own.is_empty() {
        let mut out = format!("Usage: mydocker {word} [FLAGS] COMMAND\n\nCommands:\n");
        for command in own {
            let name = command.name.trim_start_matches("compose ");
            out.push_str(&format!("  {name:8}  {}\n", command.summary));
        }
        out.push_str("\nFlags before the command:\n");
        push_flags(&mut out, &super::flags_before(word));
        return print(&out);
    }
    print(&format!("Usage: mydocker {word} COMMAND\n\nCommands: {}\n", subcommands.join(", ")))
}

/// `mydocker COMMAND --help`: prints the command's page.
pub fn print_command(command: &Command) -> Outcome {
    print(&page(command))?;
    Ok(0)
}

fn page(command: &Command) -> String {
    let usage = format!("Usage: mydocker {} {}", command.name, command.usage);
    let mut out = format!("{}\n\n{}\n", usage.trim_end(), command.summary);
    if !command.examples.is_empty() {
        out.push_str("\nExamples:\n");
        for example in command.examples {
            out.push_str(&format!("  {example}\n"));
        }
    }
    let flags = command.specs();
    for category in Category::ALL {
        let of_it: Vec<&FlagSpec> =
            flags.iter().copied().filter(|flag| flag.category == category).collect();
        if !of_it.is_empty() {
            out.push_str(&format!("\n{}:\n", category.heading()));
            push_flags(&mut out, &of_it);
        }
    }
    out
}

/// Appends one line for each flag: the long and the short spelling, the help text, and the further
/// spellings.
fn push_flags(out: &mut String, flags: &[&FlagSpec]) {
    let heads: Vec<String> = flags.iter().map(|flag| head(flag)).collect();
    let width = heads.iter().map(|head| head.chars().count()).max().unwrap_or(0);
    for (head, flag) in heads.iter().zip(flags) {
        let also = match flag.also {
            [] => String::new(),
            also => format!(" (also {})", also.join(" ")),
        };
        out.push_str(&format!("  {head:width$}  {}{also}\n", flag.doc));
    }
}

/// Returns a flag's short and long spelling and its placeholder, such as `-m, --memory SIZE`.
fn head(flag: &FlagSpec) -> String {
    let short = match flag.short {
        Some(short) => format!("-{short}, "),
        None => "    ".to_owned(),
    };
    match flag.value {
        Some(value) => format!("{short}--{} {value}", flag.long),
        None => format!("{short}--{}", flag.long),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_overview_names_every_command_once() {
        let text = overview();
        for command in COMMANDS {
            // One line stands for all commands of `compose`.
            let name = if command.group == Group::Compose { "compose" } else { command.name };
            let line = format!("\n  {name} ");
            assert_eq!(text.matches(&line).count(), 1, "{}", command.name);
        }
        for line in text.lines() {
            assert!(line.chars().count() <= 100, "{line}");
        }
    }

    #[test]
    fn a_page_names_every_flag_and_fits() {
        for command in COMMANDS {
            let text = page(command);
            for flag in command.specs() {
                assert!(text.contains(&head(flag)), "{} --{}", command.name, flag.long);
            }
            for line in text.lines() {
                assert!(line.chars().count() <= 110, "{}: {line}", command.name);
            }
        }
    }
}
