//! The command `man`: prints the manual page as roff (man(7)). The page comes from the same tables
//! as the help, so that both agree. One page describes all commands. Text is escaped so that
//! hyphens stay hyphens and no line of text becomes a roff request.

use super::COMMANDS;
use super::flag::{Category, Command, FlagSpec, Group, Operand, spec};
use super::global;
use super::lifecycle::NO_FLAGS;
use super::output::print;
use super::version::VERSION_TEXT;

/// The command `man`.
pub static MAN: Command = Command {
    name: "man",
    group: Group::Engine,
    usage: "",
    summary: "Print the manual page (mydocker man | man -l -)",
    examples: &["mydocker man > /usr/local/share/man/man1/mydocker.1"],
    operand: Operand::Nothing,
    operands: (0, 0),
    trailing: false,
    flags: |at| spec(NO_FLAGS, at),
    run: |call| {
        call.parse(NO_FLAGS)?;
        print(&page())?;
        Ok(0)
    },
};

/// Escapes text for roff: a hyphen stays a hyphen, and a leading dot is not a request.
fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 8);
    for c in text.chars() {
        match c {
            '\\' => out.push_str("\\e"),
            '-' => out.push_str("\\-"),
            '…' => out.push_str("..."),
            '\'' => out.push_str("\\(aq"),
            '.' if out.is_empty() => out.push_str("\\&."),
            c => out.push(c),
        }
    }
    out
}

/// The date that the page shows. The date is fixed, so that two builds give the same bytes. Update
/// the date when the page's own words change.
const DATE: &str = "2026-11-28";

fn page() -> String {
    let mut out = format!(".TH MYDOCKER 1 {DATE} \"mydocker {VERSION_TEXT}\"\n");
    out.push_str(".SH NAME\nmydocker \\- run containers without a daemon\n");
    out.push_str(".SH SYNOPSIS\n.B mydocker\n[FLAGS] COMMAND [ARG...]\n");
    out.push_str(
        ".SH DESCRIPTION\nmydocker creates, runs and manages containers as docker(1) does, with one \
         program and no daemon. Each container has a small monitor process, and all state is in \
         plain files.\n",
    );
    out.push_str(".SH FLAGS BEFORE THE COMMAND\n");
    push_flags(&mut out, &global::MYDOCKER.specs());
    out.push_str(".SH COMMANDS\n");
    for group in Group::ALL {
        for command in COMMANDS.iter().filter(|command| command.group == group) {
            let head = format!("mydocker {} {}", command.name, command.usage);
            out.push_str(&format!(
                ".SS {}\n{}.\n",
                escape(head.trim_end()),
                escape(command.summary)
            ));
            let flags = command.specs();
            for category in Category::ALL {
                let of_it: Vec<&FlagSpec> =
                    flags.iter().copied().filter(|flag| flag.category == category).collect();
                push_flags(&mut out, &of_it);
            }
            for example in command.examples {
                out.push_str(&format!(".PP\n.EX\n{}\n.EE\n", escape(example)));
            }
        }
    }
    out.push_str(
        ".SH EXIT STATUS\nThe exit status of the command; 128 plus the signal's number if a signal ended it; for run \
         and exec 126 if the command cannot be executed and 127 if it does not exist; for run 125 if \
         mydocker itself failed; 125 for a flag that is unknown or has a bad value; 1 for every other failure. \
         A removal by force (\\-f) reports what does not exist and exits with 0.\n",
    );
    out.push_str(
        ".SH ENVIRONMENT\n.TP\n.B MYDOCKER_ROOT\nSame as \\-\\-root.\n.TP\n.B MYDOCKER_RUN_ROOT\nSame as \\-\\-run\\-root.\n\
         .TP\n.B MYDOCKER_FIREWALL\nSame as \\-\\-firewall.\n\
         .TP\n.B MYDOCKER_DEBUG\n1: same as \\-\\-debug. json: log one JSON object per line.\n\
         .TP\n.BR DOCKER_HOST \", \" DOCKER_CONTEXT\nMust be empty or name the default daemon of this host, \
         because mydocker has no daemon.\n",
    );
    out.push_str(
        ".SH FILES\n.TP\n.I /var/lib/mydocker\nImages, containers, networks and volumes.\n.TP\n.I /run/mydocker\n\
         The state of running containers.\n",
    );
    out.push_str(".SH SEE ALSO\n.BR namespaces (7),\n.BR cgroups (7),\n.BR capabilities (7)\n");
    out
}

fn push_flags(out: &mut String, flags: &[&FlagSpec]) {
    for flag in flags {
        let mut names = Vec::new();
        names.extend(flag.short.map(|short| format!("\\-{short}")));
        names.push(escape(&format!("--{}", flag.long)));
        names.extend(flag.also.iter().map(|spelling| escape(spelling)));
        let value = flag.value.map_or(String::new(), |value| format!(" \\fI{}\\fR", escape(value)));
        out.push_str(&format!(
            ".TP\n\\fB{}\\fR{value}\n{}.\n",
            names.join("\\fR, \\fB"),
            escape(flag.doc)
        ));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_holds_every_command_and_flag() {
        let text = page();
        for command in COMMANDS {
            assert!(
                text.contains(&format!(".SS {}", escape(&format!("mydocker {}", command.name))))
            );
            for flag in command.specs() {
                assert!(text.contains(&escape(&format!("--{}", flag.long))), "--{}", flag.long);
            }
        }
        // A line that starts with a dot or a quote is a request. roff drops an unknown request.
        for line in text.lines().filter(|line| line.starts_with(['.', '\''])) {
            let request = line[1..].split(' ').next().unwrap_or("");
            assert!(
                ["TH", "SH", "SS", "TP", "PP", "EX", "EE", "B", "BR", "I"].contains(&request),
                "{line}"
            );
        }
    }
}
