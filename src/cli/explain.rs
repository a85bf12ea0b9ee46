//! The command `explain`: prints the engine's tree of facts about a container, an image or a
//! network. The tree is as wide as the terminal, but at least 40 and at most 120 columns; without a
//! terminal it has 80 columns. Most headings have a note, which often names a manual page. `--json`
//! prints the tree as JSON. `engine::explain` collects the facts.

use miniserde::json;

use super::escape;
use super::flag::{Command, Flag, Group, Operand, spec};
use super::json::push_pretty;
use super::output::{print, print_painted};
use super::style::{self, Style};
use crate::engine::explain::Fact;
use crate::tty::columns;

#[derive(Default)]
struct ExplainArgs {
    json: bool,
}

static FLAGS: &[Flag<ExplainArgs>] =
    &[Flag::<ExplainArgs>::switch("json", "Print the tree as JSON", |a, on| a.json = on)];

/// The command `explain`.
pub static EXPLAIN: Command = Command {
    name: "explain",
    group: Group::Watch,
    usage: "[FLAGS] CONTAINER|IMAGE|NETWORK",
    summary: "Show how a container, an image or a network is made",
    examples: &["mydocker explain web"],
    operand: Operand::Container,
    operands: (1, 1),
    trailing: false,
    flags: |at| spec(FLAGS, at),
    run: |call| {
        let (args, names) = call.parse(FLAGS)?;
        let tree = call.engine()?.explain(&names[0])?;
        if args.json {
            let (mut compact, mut out) = (String::new(), String::new());
            push_json(&mut compact, &tree);
            push_pretty(&mut out, &compact, 0);
            out.push('\n');
            print(&out)?;
            return Ok(0);
        }
        let width = columns().map_or(WIDTH, usize::from).clamp(40, MAX_WIDTH);
        let page = Page { width, colour: style::on_stdout() };
        let mut out = String::new();
        page.push(&mut out, &tree, "", "");
        print_painted(&out)?;
        Ok(0)
    },
};

/// The columns to use when there is no terminal, or the terminal reports no size.
const WIDTH: usize = 80;
/// The most columns: longer lines are hard to read.
const MAX_WIDTH: usize = 120;

/// The headings. Each has the fact's key, the printed words and the note, which may be empty.
static HEADINGS: &[(&str, &str, &str)] = &[
    ("process", "process", "what execve(2) started as PID 1"),
    ("namespaces", "namespaces", "what it sees, by inode: namespaces(7)"),
    ("root", "root file system", "layers from the top down: the upper one takes all writes"),
    ("mounts", "mounts", "its own table: proc_pid_mountinfo(5)"),
    ("cgroups", "cgroups", "how much it may use: cgroups(7)"),
    ("network", "network", "interfaces and the way out: veth(4)"),
    ("rules", "firewall rules", "how packets pass and ports are published"),
    ("capabilities", "capabilities", "root's powers, divided: capabilities(7)"),
    ("seccomp", "seccomp", "which system calls are refused: seccomp(2)"),
    ("no_new_privileges", "no new privileges", ""),
    ("limits", "limits", "of each process, soft of hard: getrlimit(2)"),
    ("monitor", "monitor", "the process of mydocker that stays beside it"),
    ("layers", "layers", "from the top down, with the instruction that made each"),
    ("settings", "settings", "what a container gets unless flags change it"),
    ("users", "used by", ""),
    ("members", "members", "containers with an address here"),
    ("sysctls", "sysctls", "how the kernel forwards"),
    ("next_mounts", "mounts", "at the next start, besides those of every container"),
    ("upper", "upper, writable", ""),
    ("lower", "lower, read-only", ""),
    ("bounding", "can be gained", ""),
    ("link", "veth, the host's end", ""),
    ("cwd", "working directory", ""),
];

/// The layout of a tree.
struct Page {
    width: usize,
    colour: bool,
}

impl Page {
    /// Appends a fact and the facts below it. `first` is the text before the fact's first line, and
    /// `rest` the text before all other lines.
    fn push(&self, out: &mut String, fact: &Fact, first: &str, rest: &str) {
        let known = HEADINGS.iter().find(|(key, ..)| *key == fact.key);
        let (words, note) = known.map_or((fact.key.as_str(), ""), |(_, words, note)| (words, note));
        let is_heading = !fact.parts.is_empty() || first.chars().count() <= 3;
        let is_empty = fact.value.is_empty() && fact.parts.is_empty();
        let value = if is_empty { "none" } else { &fact.value };
        let (words, value) = (escape::line(words), escape::line(value));
        let below = if fact.parts.is_empty() { rest.to_owned() } else { format!("{rest}│ ") };
        out.push_str(&Style::Dim.paint(first, self.colour));
        let style = if is_heading { Style::Bold } else { Style::Cyan };
        out.push_str(&style.paint(&words, self.colour));
        let mut at = first.chars().count() + words.chars().count();
        self.wrap(out, &value, &mut at, &below, None);
        if first.chars().count() <= 3 {
            self.wrap(out, note, &mut at, &below, Some(Style::Dim));
        }
        out.push('\n');
        let mut parts = fact.parts.iter().peekable();
        while let Some(part) = parts.next() {
            let (branch, trunk) =
                if parts.peek().is_some() { ("├─ ", "│  ") } else { ("└─ ", "   ") };
            self.push(out, part, &format!("{rest}{branch}"), &format!("{rest}{trunk}"));
        }
    }

    /// Appends words. A word that does not fit starts a new line, with `indent` and two spaces
    /// before it.
    fn wrap(
        &self,
        out: &mut String,
        text: &str,
        at: &mut usize,
        indent: &str,
        style: Option<Style>,
    ) {
        for (nth, word) in text.split(' ').filter(|word| !word.is_empty()).enumerate() {
            let gap = if nth == 0 { "  " } else { " " };
            let mut word = word;
            if *at + gap.len() + word.chars().count() > self.width {
                self.break_line(out, at, indent);
            } else {
                out.push_str(gap);
                *at += gap.len();
            }
            // Cut a word that is longer than a line, such as a path.
            while *at + word.chars().count() > self.width {
                let room = self.width.saturating_sub(*at).max(1);
                let cut = word.char_indices().nth(room).map_or(word.len(), |(cut, _)| cut);
                out.push_str(&word[..cut]);
                word = &word[cut..];
                self.break_line(out, at, indent);
            }
            out.push_str(&style.map_or(word.to_owned(), |style| style.paint(word, self.colour)));
            *at += word.chars().count();
        }
    }

    fn break_line(&self, out: &mut String, at: &mut usize, indent: &str) {
        out.push('\n');
        out.push_str(&Style::Dim.paint(indent, self.colour));
        out.push_str("  ");
        *at = indent.chars().count() + 2;
    }
}

/// Appends `{"key":…,"value":…,"parts":[…]}`, without `parts` if there are none.
fn push_json(out: &mut String, fact: &Fact) {
    out.push_str("{\"key\":");
    out.push_str(&json::to_string(&fact.key));
    out.push_str(",\"value\":");
    out.push_str(&json::to_string(&fact.value));
    if !fact.parts.is_empty() {
        out.push_str(",\"parts\":[");
        for (at, part) in fact.parts.iter().enumerate() {
            if at > 0 {
                out.push(',');
            }
            push_json(out, part);
        }
        out.push(']');
    }
    out.push('}');
}
