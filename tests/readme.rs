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
